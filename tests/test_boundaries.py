"""hssl.worlds.textures.boundaries: where the boundary is and which way it runs, what the factors do, what is random."""

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.ndimage import distance_transform_edt
from scipy.special import j0
from scipy.stats import kstest, uniform

from hssl.pairs import Pairs
from hssl.worlds.scenes.shading import hue_to_rgb
from hssl.worlds.textures import Boundaries

TEXTURE = Boundaries.texture


def boundary(latents, size):
    return Boundaries(size=size).boundary(latents)


def draw(n=20, seed=0, **factors):
    latents = TEXTURE.sample_latents(n, torch.Generator().manual_seed(seed))
    values = latents.values.clone()
    for name, value in factors.items():
        values[:, list(TEXTURE.factors).index(name)] = value
    return latents._replace(values=values)


def test_distance_is_that_to_the_boundary_near_it():
    size = 128
    for distance in boundary(draw(), size).distance.numpy():
        land = distance > 0
        exact = distance_transform_edt(land) - distance_transform_edt(~land)  # in pixels, to the centre of a pixel
        near = abs(exact) < 4
        assert abs(distance[near] * size - exact[near]).mean() < 0.7  # half a pixel comes from the grid


def test_orientation_is_that_of_the_lines_of_equal_distance():
    size = 256
    distance, orientation = boundary(draw(), size)
    near = (distance.abs() < 0.02)[:, 1:-1, 1:-1]
    dy = (distance[:, 2:, 1:-1] - distance[:, :-2, 1:-1])[near]
    dx = (distance[:, 1:-1, 2:] - distance[:, 1:-1, :-2])[near]
    along = orientation[:, 1:-1, 1:-1][near]
    off = (dx * along.cos() + dy * along.sin()).abs() / torch.hypot(dx, dy)
    assert off.median() < 0.02
    assert ((orientation >= 0) & (orientation < torch.pi)).all()


def test_without_tinge_either_side_has_its_own_hue():
    latents = draw(tinge=0.0, width=-2.0)
    images, (distance, _) = TEXTURE.render(latents, 64), boundary(latents, 64)
    for column, sign in ((2, 1), (3, -1)):
        colour = hue_to_rgb(latents.values[:, column], saturation=0.6, value=0.8)[:, :, None, None]
        far = (sign * distance > 0.08)[:, None]
        assert ((images - colour).abs() * far).max() < 1e-3


def test_tinge_is_a_standard_deviation_of_the_hue():
    pure, tinged = (TEXTURE.render(draw(n=60, tinge=t, hue_land=0.05, hue_water=0.45), 32) for t in (0.0, 0.02))
    land = (boundary(draw(n=60), 32).distance > 0.1)[:, None].expand_as(pure)
    # near hue 1/20 only green changes with the hue: by 6 · saturation · value a turn
    spread = (tinged - pure)[:, 1][land[:, 1]].std() / (6 * 0.6 * 0.8)
    assert abs(spread / 0.02 - 1) < 0.15


def test_width_is_how_slowly_one_colour_becomes_the_other():
    latents = draw(tinge=0.0, width=-1.0, hue_land=0.0, hue_water=0.5)
    red, (distance, _) = TEXTURE.render(latents, 64)[:, 0], boundary(latents, 64)
    share = (red - red.min()) / (red.max() - red.min())
    near = distance.abs() < 0.1
    assert torch.allclose(share[near], torch.sigmoid(distance[near] / 0.1), atol=0.02)


def test_the_seed_sets_the_boundary_and_factors_do_not_move_it():
    latents = draw()
    assert torch.equal(TEXTURE.render(latents, 32), TEXTURE.render(latents, 32))
    moved = latents._replace(values=draw(seed=1).values)
    assert torch.equal(boundary(latents, 32).distance, boundary(moved, 32).distance)
    other = latents._replace(seeds=draw(seed=1).seeds)
    assert not torch.equal(boundary(latents, 32).distance, boundary(other, 32).distance)


def test_the_same_latents_give_the_same_image_alone_and_in_a_batch():
    latents = draw(24)
    parts = list(zip(*(field.split(1) for field in latents), strict=True))
    alone = torch.cat([TEXTURE.render(latents._replace(values=v, seeds=s), 32) for v, s in parts])
    torch.testing.assert_close(alone, TEXTURE.render(latents, 32), atol=1e-6, rtol=0)


def test_factors_are_uniform():
    values = TEXTURE.sample_latents(20_000, torch.Generator().manual_seed(1)).values.double()
    for column, (low, high) in zip(values.T, [(-2.2, -1.0), (0.0, 0.08), (0.0, 0.3), (0.4, 0.8)], strict=True):
        assert kstest(column, uniform(low, high - low).cdf).pvalue > 0.001


def waves_correlate(distance, shortest, longest):
    """E J₀(k d), k = 2π / wavelength, which is uniform in its logarithm: of plane waves of any direction."""
    span = math.log(longest / shortest)
    return quad(lambda s: j0(2 * math.pi * distance / (shortest * math.exp(s))) / span, 0, span)[0]


def test_the_boundary_is_made_of_waves_of_its_wavelengths():
    """Points d apart lie on one side with probability ½ + asin(correlation) / π, were the sum of waves normal."""
    n, size = 4000, 32
    land = boundary(draw(n), size).distance > 0
    assert land.float().mean().item() == pytest.approx(0.5, abs=0.01)
    for steps in (4, 8, 16, 31):
        alike = [(land[:, :, steps:] == land[:, :, :-steps]), (land[:, steps:] == land[:, :-steps])]
        wanted = 0.5 + math.asin(waves_correlate(steps / size, 0.5, 1.6)) / math.pi
        for along in alike:  # from left to right, and from top to bottom
            assert along.float().mean().item() == pytest.approx(wanted, abs=0.015)


def test_tinge_is_made_of_waves_of_its_wavelengths():
    """Near hue 1/20 only green changes with the hue. Either side has a tinge of its own."""
    n, size = 1500, 32
    latents = draw(n, tinge=0.02, width=-2.2, hue_land=0.05)
    land = boundary(latents, size).distance > 0.05
    green = torch.where(land, TEXTURE.render(latents, size)[:, 1], torch.nan)
    tinge = green - green[land].mean()
    variance = tinge[land].square().mean()
    for steps in (2, 4, 8, 12):
        product = tinge[:, :, steps:] * tinge[:, :, :-steps]
        found = product[product.isfinite()].mean() / variance
        assert found.item() == pytest.approx(waves_correlate(steps / size, 0.2, 0.6), abs=0.05)


def test_bad_latents_are_named():
    with pytest.raises(ValueError, match="tinge"):
        boundary(draw(tinge=2.0), 64)
    with pytest.raises(TypeError, match=r"^generator: wanted Generator, got 3"):
        Boundaries().windows(draw(), 3)


# pairs
def seen_direction(windows):
    """Sine and cosine of twice the direction across which the colours change least, by the structure tensor."""
    x, y = windows.diff(dim=3)[:, :, 1:], windows.diff(dim=2)[:, :, :, 1:]
    xx, yy, xy = ((a * b).sum((1, 2, 3)) for a, b in ((x, x), (y, y), (x, y)))
    return torch.stack([-2 * xy, yy - xx], 1) / torch.hypot(2 * xy, yy - xx)[:, None]


def test_a_pair_shares_all_but_the_direction_and_its_truth_is_the_first_s():
    n = 600
    pairs = Boundaries().sample(n, torch.Generator().manual_seed(2))
    assert isinstance(pairs, Pairs) and pairs.first.shape == (n, 3, 16, 16)
    assert list(pairs.truth) == [*TEXTURE.factors, "orientation"] and pairs.truth["orientation"].shape == (n, 2)
    torch.testing.assert_close(pairs.truth["orientation"].norm(dim=1), torch.ones(n))
    agreed = [
        (seen_direction(member) * pairs.truth["orientation"]).sum(1).mean() for member in (pairs.first, pairs.second)
    ]
    assert agreed[0] > 0.85 > 0.4 > agreed[1]
    apart, by_chance = pairs.shuffled(torch.Generator().manual_seed(3)), 4.5 / math.sqrt(n)
    for measure in (
        lambda of: of.diff(dim=3).abs().amax((1, 2, 3)).log(),
        *[lambda of, k=k: of[:, k].mean((1, 2)) for k in range(3)],
    ):
        together, shuffled = (
            torch.corrcoef(torch.stack([measure(of.first), measure(of.second)]))[0, 1] for of in (pairs, apart)
        )
        assert together > 2 * by_chance and abs(shuffled) < by_chance  # the rows belong together: sharpness and colours


def test_pairs_are_as_many_as_asked_for_and_deterministic():
    world = Boundaries(size=32, window=16)  # where many an image has no room for two windows
    one, same = (world.sample(50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert len(one) == 50 and torch.equal(one.first, same.first) and torch.equal(one.second, same.second)
    dimmed = Boundaries(views=lambda x, generator: x * torch.rand(1, generator=generator))
    plain = Boundaries().sample(5, torch.Generator().manual_seed(4))
    seen = dimmed.sample(5, torch.Generator().manual_seed(4))
    factors = [(a / b).mean() for a, b in ((seen.first, plain.first), (seen.second, plain.second))]
    torch.testing.assert_close(seen.first, plain.first * factors[0])
    torch.testing.assert_close(seen.second, plain.second * factors[1])
    assert factors[0] != factors[1]


def test_a_varied_boundary_is_sharp_at_one_end_and_diffuse_at_the_other():
    """Its truth is the width where the window is, which the two windows of a pair do not share."""
    n = 800
    plain, varied = (Boundaries(varied=of).sample(n, torch.Generator().manual_seed(2)) for of in (False, True))
    assert list(varied.truth) == ["width", "tinge_land", "tinge_water", "hue_land", "hue_water", "orientation"]

    def steepness(windows):
        return windows.diff(dim=3).abs().amax((1, 2, 3)).log()

    def together(*values):
        return torch.corrcoef(torch.stack(values))[0, 1]

    for pairs in (plain, varied):
        assert together(steepness(pairs.first), pairs.truth["width"][:, 0]) < -0.6
    assert together(steepness(plain.first), steepness(plain.second)) > 0.6
    assert together(steepness(varied.first), steepness(varied.second)) < 0.1


def test_each_side_of_a_varied_image_has_a_tinge_of_its_own():
    world = Boundaries(varied=True)
    latents = world.texture.sample_latents(60, torch.Generator().manual_seed(1))
    latents = latents._replace(values=torch.tensor([0.0, 0.06, 0.1, 0.6]).expand(60, 4))  # land pure, water tinged
    images, distance = world.texture.render(latents, 64).movedim(1, -1), world.boundary(latents).distance
    pure = hue_to_rgb(torch.tensor(0.1), saturation=0.6, value=0.8)
    assert (images[distance > 0.25] - pure).abs().mean() < 0.02
    assert images[distance < -0.25].std(0).max() > 0.03


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Boundaries(size=4), ValueError, "^size, window: wanted"),
        (lambda: Boundaries(window=15), ValueError, "^size, window: wanted"),
        (lambda: Boundaries(window=40), ValueError, "^size, window: wanted"),
        (lambda: Boundaries().sample(0, torch.Generator()), ValueError, "^n: wanted"),
        (lambda: Boundaries().sample(2, 0), TypeError, "^generator: wanted Generator, got 0"),
    ],
)
def test_bad_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_windows_lie_on_the_boundary_and_apart():
    latents = draw(n=200)
    rows, corners, orientation = Boundaries().windows(latents, torch.Generator().manual_seed(0))
    distance, directions = boundary(latents, 64)
    assert 100 < len(rows) <= 200 and ((corners >= 0) & (corners <= 48)).all()
    assert ((corners[:, 0] - corners[:, 1]).abs().amax(1) >= 16).all()
    for which in (0, 1):
        down, right = (corners[:, which] + 8).T
        assert (distance[rows, down, right].abs() < 1 / 64).all()
        assert torch.equal(directions[rows, down, right], orientation[:, which])


@pytest.mark.parametrize("window", [2, 15, 40])
def test_windows_that_cannot_be_are_refused(window):
    with pytest.raises(ValueError, match="window"):
        Boundaries(window=window)
