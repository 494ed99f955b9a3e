"""hssl.worlds.contours.bar_grids: where bars and tints are, and ceilings against quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest, norm

from hssl.worlds.contours.bar_grids import SIDES, BarGrids, _bars


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sample(n, tint, generator, scope="cell", **settings):
    return BarGrids(tint, scope, **settings).draw(n, generator)


def ceiling(n, generator, of="cell", **settings):
    return BarGrids(0.5, **settings).ceiling(n, generator, of=of)


def folded(angle):
    """An angle known up to π, in [−π/2, π/2)."""
    return (angle + math.pi / 2) % math.pi - math.pi / 2


def scene_means():
    """Spelt out: [scene][row][column]."""
    means = np.zeros((8, 4, 4))
    for scene in range(8):
        for row in range(4):
            for column in range(4):
                position = 0.5 * (column - 1.5) + 0.5 * (row - 1.5)
                means[scene, row, column] = scene // 2 * math.pi / 4 + (2 * (scene % 2) - 1) * 0.5 * position
    return means


def wrapped_pdf(angle, jitter):
    return sum(norm.pdf(angle + k * math.pi, scale=jitter) for k in range(-3, 4))  # further turns by π add nothing


def fitted(patches):
    """Orientation of bars, the form's trace, and its linear terms, by a fit to each patch, shape (…, 64)."""
    y, x = torch.cartesian_prod(*[torch.linspace(-1, 1, 8, dtype=torch.float64)] * 2).T
    terms = torch.stack([x**2, x * y, y**2, x, y, torch.ones(64)], -1)
    xx, xy, yy, by_x, by_y, _ = (patches.double().log() @ torch.linalg.pinv(terms).T * -(2 * 0.22**2)).unbind(-1)
    return torch.atan2(-xy, yy - xx) / 2, xx + yy, by_x, by_y


# images
@pytest.mark.parametrize("scope", SIDES)
def test_shapes_and_determinism(scope):
    one, same, other = (sample(5, 0.5, seeded(s), scope=scope) for s in (1, 1, 2))
    side = SIDES[scope]
    assert [tuple(f.shape) for f in one] == [(5, 3, 32, 32), (5,), (5, 4, 4), (5, side, side, 3)]
    assert [f.dtype for f in one] == [torch.float32, torch.int64, torch.float32, torch.float32]
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.images, other.images) and one.images.is_contiguous()


def test_bars_lie_as_they_are_said_to():
    """The logarithm of a bar is −(x sin θ − y cos θ + shift)² / (2 · 0.22²): a quadratic form, fitted to each patch."""
    drawn = sample(500, 0.0, seeded(), noise=0.0, jitter=1.0)
    patches = drawn.images[:, 0].unfold(1, 8, 8).unfold(2, 8, 8).flatten(3)  # (n, 4, 4, 64), row by row
    found, trace, by_x, by_y = fitted(patches)
    torch.testing.assert_close(trace, torch.ones(500, 4, 4).double(), atol=1e-3, rtol=0)
    assert folded(found - drawn.orientations).abs().max() < 1e-3
    shifts = (by_x * found.sin() - by_y * found.cos()) / 2
    assert kstest(shifts.flatten(), norm(scale=0.3).cdf).pvalue > 0.01
    assert (drawn.orientations >= 0).all() and (drawn.orientations < math.pi).all()


def test_a_bar_turned_by_pi_is_the_same_bar():
    angle, shift = torch.rand(20, 4, 4, generator=seeded()), torch.randn(20, 4, 4, generator=seeded(1))
    bars = _bars(angle, shift)
    torch.testing.assert_close(_bars(angle + math.pi, -shift), bars, atol=1e-4, rtol=0)
    torch.testing.assert_close(_bars(math.pi / 2 - angle.mT, -shift.mT), bars.mT, atol=1e-5, rtol=0)  # mirrored
    assert not torch.allclose(_bars(angle + math.pi, shift), bars, atol=1e-1)


def test_orientations_are_those_of_the_scene_and_jitter():
    drawn, means = sample(20_000, 0.0, seeded()), scene_means()
    off = folded(drawn.orientations.double() - torch.tensor(means)[drawn.scenes])
    for place in off.flatten(1).T:
        assert kstest(place, norm(scale=0.25).cdf).pvalue > 0.001
    among = torch.corrcoef(off.flatten(1).T).fill_diagonal_(0).abs()
    assert among.max() < 4.5 / math.sqrt(20_000)
    still = sample(200, 0.0, seeded(), jitter=0.0)
    assert folded(still.orientations - torch.tensor(means)[still.scenes]).abs().max() < 1e-5


def test_scenes_are_balanced():
    scenes = sample(4000, 0.0, seeded()).scenes
    assert chisquare(torch.bincount(scenes, minlength=8)).pvalue > 0.01 and scenes.max() == 7


def test_without_tint_colours_differ_by_noise_only():
    grey, noisy = sample(50, 0.0, seeded(), noise=0.0), sample(2000, 0.0, seeded())
    assert torch.equal(grey.images[:, 0], grey.images[:, 1])
    assert torch.equal(grey.images[:, 0], grey.images[:, 2]) and not grey.tints.any()
    noise = noisy.images - sample(2000, 0.0, seeded(), noise=0.0).images
    assert kstest(noise.flatten()[::20], norm(scale=0.15).cdf).pvalue > 0.001
    between = torch.corrcoef(noise.transpose(0, 1).flatten(1)).fill_diagonal_(0)
    assert between.abs().max() < 4.5 / math.sqrt(2000 * 32**2)


@pytest.mark.parametrize("scope", SIDES)
def test_a_tint_is_the_same_wherever_its_scope_reaches(scope):
    """The same seed without tint has the same bars and noise, so that the difference is the tint."""
    tinted, plain = (sample(100, t, seeded(3), scope=scope) for t in (1.5, 0.0))
    assert torch.equal(tinted.scenes, plain.scenes) and torch.equal(tinted.orientations, plain.orientations)
    edge, patches = 32 // SIDES[scope], (tinted.images - plain.images).unfold(2, 8, 8).unfold(3, 8, 8)
    for row in range(4):
        for column in range(4):
            wanted = tinted.tints[:, 8 * row // edge, 8 * column // edge, :, None, None].expand(-1, -1, 8, 8)
            torch.testing.assert_close(patches[:, :, row, column], wanted, atol=1e-5, rtol=0)


def test_tints_are_normal_and_independent_of_all():
    drawn = sample(20_000, 0.5, seeded(4))
    assert kstest(drawn.tints.flatten(), norm(scale=0.5).cdf).pvalue > 0.01
    scene = torch.nn.functional.one_hot(drawn.scenes)[:, :7].T
    columns = torch.cat([drawn.tints.flatten(1).T, scene, (2 * drawn.orientations).sin().flatten(1).T])
    found = torch.corrcoef(columns.double())[:12].fill_diagonal_(0)
    assert found.abs().max() < 4.5 / math.sqrt(20_000)  # of 12 tints with each other, scenes and bars


# a world of pairs
def test_a_pair_is_a_patch_and_its_right_or_lower_neighbour_in_one_cell():
    """Without jitter the two bars are a quarter radian apart, rising or falling by the scene."""
    pairs = BarGrids(0.0, jitter=0.0, noise=0.0).sample(4000, seeded(1))
    first, second = (fitted(member[:, 0].flatten(1))[0] for member in (pairs.first, pairs.second))
    scene = pairs.truth["scene"]
    assert (folded(second - first) - 0.25 * (2 * (scene % 2) - 1)).abs().max() < 1e-3
    torch.testing.assert_close(
        torch.stack([(2 * first).sin(), (2 * first).cos()], 1).float(), pairs.truth["orientation"]
    )
    means = torch.tensor(scene_means())[scene]  # (n, 4, 4)
    sums = torch.stack([folded(means[:, d - d // 2, d // 2] - first).abs() < 0.01 for d in range(7)]).sum(1)
    assert chisquare(sums[:6], 4000 * np.array([1, 1, 2, 2, 1, 1]) / 8).pvalue > 0.001 and not sums[6]
    assert chisquare(torch.bincount(scene, minlength=8)).pvalue > 0.001


@pytest.mark.parametrize("scope", SIDES)
def test_a_pair_shares_its_tint_unless_each_patch_has_its_own(scope):
    pairs = BarGrids(1.5, scope, noise=0.0).sample(500, seeded(2))
    tint = pairs.truth["tint"][:, :, None, None]
    off = [(member - tint).var(1).amax((1, 2)) for member in (pairs.first, pairs.second)]  # bars are grey
    assert off[0].max() < 1e-9
    assert off[1].min() > 1e-6 if scope == "patch" else off[1].max() < 1e-9
    assert kstest(pairs.truth["tint"].flatten(), norm(scale=1.5).cdf).pvalue > 0.001


def test_pairs_have_the_noise_and_the_jitter_of_their_world():
    noisy, still = (BarGrids(0.0, noise=noise).sample(500, seeded(3)) for noise in (0.4, 0.0))
    assert kstest((noisy.first - still.first).flatten()[::20], norm(scale=0.4).cdf).pvalue > 0.001
    loose, stiff = (BarGrids(0.0, jitter=jitter).sample(5000, seeded(3)) for jitter in (0.5, 0.0))
    angle, straight = (torch.atan2(*of.truth["orientation"].T) / 2 for of in (loose, stiff))
    assert folded(angle - straight).std().item() == pytest.approx(0.5, rel=0.05)
    again = BarGrids(0.0, noise=0.4).sample(500, seeded(3))
    assert torch.equal(again.first, noisy.first) and torch.equal(again.second, noisy.second)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BarGrids(-1.0), "^tint: wanted a finite number ≥ 0"),
        (lambda: BarGrids(1.0, noise=math.inf), "^noise: wanted a finite number ≥ 0"),
        (lambda: BarGrids(1.0, jitter=math.nan), "^jitter: wanted a finite number ≥ 0"),
        (lambda: BarGrids(1.0, "row"), "^scope: wanted one of patch, cell, image, got 'row'"),
        (lambda: BarGrids(1.0).sample(0, seeded()), "^n: wanted a whole number ≥ 1"),
        (lambda: BarGrids(1.0).sample(1, 0), "^generator: wanted Generator, got 0"),
        (lambda: sample(1, 0.5, None), "^generator: wanted Generator, got None"),
        (lambda: ceiling(1, None), "^generator: wanted Generator, got None"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ceilings
def test_ceilings_of_a_patch_against_quadrature():
    angle, n = np.linspace(0, math.pi, 2001)[:-1], 20_000
    density = wrapped_pdf(angle - scene_means()[..., None], 0.25)  # (8, 4, 4, angles)
    wanted = density.max(0).mean(-1) * math.pi / 8
    found = ceiling(n, seeded(), of="patch")
    assert np.abs(found.numpy() - wanted).max() < 4.5 * 0.5 / math.sqrt(n)


@pytest.mark.parametrize(("of", "side"), [("cell", 2), ("image", 1)])
def test_ceilings_against_the_share_of_right_answers(of, side):
    """Of an observer written apart, on the orientations of `sample`: within 4.5 standard errors."""
    n, jitter = 20_000, 0.4
    drawn = sample(n, 0.0, seeded(5), jitter=jitter)
    away = folded(drawn.orientations.double().numpy()[:, None] - scene_means())  # (n, 8, 4, 4)
    score, step = np.log(wrapped_pdf(away, jitter)), 4 // side
    found = ceiling(n, seeded(6), of=of, jitter=jitter)
    assert found.shape == (side, side) and found.dtype == torch.float64
    for row in range(side):
        for column in range(side):
            here = score[:, :, row * step : (row + 1) * step, column * step : (column + 1) * step].sum((2, 3))
            right = (here.argmax(1) == drawn.scenes.numpy()).mean()
            error = math.sqrt((right * (1 - right) + 0.25 * (right < 1)) / n)
            assert found[row, column].item() == pytest.approx(right, abs=4.5 * error + 1e-3 * (side == 1))


def test_ceilings_are_ordered_and_symmetric():
    patch, cell, image = found = [ceiling(10_000, seeded(), of=of) for of in SIDES]
    assert patch.min() > 1 / 8 and patch.max() < cell.min() and cell.max() < image.min() <= 1 + 1e-9
    for accuracy in found:  # mirrored about the diagonal, and turned by π
        assert (accuracy - accuracy.T).abs().max() < 0.03
        assert (accuracy - accuracy.flip(0, 1)).abs().max() < 0.03


def test_the_book_s_ceilings():
    """Chance is 0.125; within 4.5 standard errors."""
    for of, wanted in (("patch", 0.514), ("cell", 0.933)):
        assert ceiling(20_000, seeded(8), of=of).mean().item() == pytest.approx(wanted, abs=0.005)
    assert ceiling(20_000, seeded(8), of="image").item() > 0.9999


def test_ceilings_without_and_with_overwhelming_jitter():
    still = ceiling(500, seeded(), of="patch", jitter=1e-3)
    middle = torch.eye(4).flip(0).bool()  # where the sign changes nothing
    torch.testing.assert_close(still, torch.where(middle, 0.5, 1.0).double(), atol=1e-9, rtol=0)
    assert ceiling(500, seeded(), of="image", jitter=8.0).item() == pytest.approx(1 / 8, abs=1e-6)
    assert torch.equal(ceiling(50, seeded(1)), ceiling(50, seeded(1)))


# bad input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n: wanted a whole number ≥ 1, got 0"),
        ({"tint": -1.0}, "tint: wanted a finite number"),
        ({"tint": math.nan}, "tint: wanted a finite number"),
        ({"jitter": math.inf}, "jitter: wanted a finite number"),
        ({"noise": -0.1}, "noise: wanted a finite number"),
        ({"scope": "row"}, "scope: wanted one of patch, cell, image, got 'row'"),
    ],
)
def test_bad_images_are_named(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        sample(**{"n": 3, "tint": 0.5, "generator": seeded(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n: wanted a whole number ≥ 1, got 0"),
        ({"of": "row"}, "of: wanted one of patch, cell, image, got 'row'"),
        ({"jitter": 0.0}, "jitter: wanted a finite number > 0, got 0"),
        ({"jitter": -1.0}, "jitter: wanted a finite number"),
    ],
)
def test_bad_ceilings_are_named(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ceiling(**{"n": 3, "generator": seeded(), **change})
