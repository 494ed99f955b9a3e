"""hssl.worlds.icons.occluders: a bar parts what lies on one stroke, and shuffling changes nothing but that."""

import math
import subprocess
import sys

import pytest
import torch

from hssl.patches import pixel_grid
from hssl.worlds.icons import icons, occluders
from hssl.worlds.icons.icons import across, names, slash, train_names
from hssl.worlds.icons.occluders import BAR, BEYOND, POINTS_FOLLOWED, OccludedIcons, joined, occlude
from hssl.worlds.icons.rasteriser import BOX, fill

SIZE, WINDOW = 64, 12


def pixel_centres(size):
    return torch.stack(pixel_grid(size, BOX), -1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def occluded():
    return occlude(train_names()[:300], seeded(), size=SIZE)


@pytest.fixture(scope="module")
def pairs(occluded):
    return occluded.sample(800, WINDOW, seeded(1))


def angles(pairs):
    """Orientation of the stroke in the first patches, radians in [0, π)."""
    return torch.atan2(*pairs.truth["orientation"].T) / 2 % math.pi


def side_of(positions):
    return across(positions * BOX / SIZE, BAR)[0]


def test_places_lie_on_the_circle_that_is_covered():
    circles = occlude(["circle"] * 8, seeded(), size=SIZE)
    kept = torch.arange(POINTS_FOLLOWED) < circles.counts[:, :, None]
    centres = circles.positions * BOX / SIZE - BOX / 2
    shifts = {round(float(c), 1) for c in (centres[kept].norm(dim=1) - 9).abs() if c > 0.1}
    assert (centres[kept].norm(dim=1) - 9).abs().min() < 0.02  # unshifted ones lie on it
    assert all(shift < 2**0.5 + 0.1 for shift in shifts)
    assert len(circles.image) == 16  # a bar cuts a circle twice


def test_places_go_outwards_from_the_bar_on_either_side(occluded):
    nearest, farthest = (side_of(occluded.positions[:, :, k]) for k in (0, POINTS_FOLLOWED - 1))
    assert (nearest[:, 0] < 0).all() and (nearest[:, 1] > 0).all()
    assert nearest.abs().min() > BEYOND - 1e-4
    assert (farthest.abs() - nearest.abs()).mean() > 1


def test_nothing_is_seen_beneath_the_bar(occluded):
    beside, _ = across(pixel_centres(SIZE), BAR)
    assert occluded.halves[..., beside.abs() < 0.8].max() == 0
    assert occluded.halves[:, 0][:, beside > 1.2].max() == 0
    assert occluded.halves[:, 1][:, beside < -1.2].max() == 0
    assert occluded.halves.float().mean() > 10


def test_a_pair_lies_on_either_side_with_ink_in_the_middle(pairs):
    assert len(pairs.first) > 300
    sides = side_of(pairs.centres)
    assert (sides.prod(1) < 0).all()
    assert (sides.sign() == sides.sign()[:1]).all()  # all the same way round, so that any two can be exchanged
    assert (pairs.offset.abs().amax(1) >= WINDOW).all()
    for patches in (pairs.first, pairs.second):
        assert patches[:, 0, 5:7, 5:7].mean((1, 2)).min() >= 0.75


@pytest.mark.parametrize(("ink", "kept"), [(192, True), (191, False)])
def test_three_quarters_of_ink_in_the_middle_are_enough(ink, kept):
    positions = torch.tensor([[[20.0, 40.0], [40.0, 20.0]]])[:, :, None].expand(1, 2, POINTS_FOLLOWED, 2)
    grey = torch.full((1, 2, SIZE, SIZE), ink, dtype=torch.uint8)
    even = occluders.Occluded(grey, torch.tensor([0]), positions, torch.tensor([[1, 1]]), torch.tensor([False]))
    where = torch.tensor([0]), torch.zeros(1, 2, dtype=torch.int64), WINDOW
    if kept:
        pair = even.pairs(*where)
        torch.testing.assert_close(pair.first, torch.full((1, 1, WINDOW, WINDOW), ink / 255))
        assert pair.offset.tolist() == [[20, -20]]
        assert angles(pair).item() == pytest.approx(3 * math.pi / 4)  # a lone point: across the gap
    else:
        with pytest.raises(ValueError, match="cuts: no pair was left of 1; take more"):
            even.pairs(*where)


def test_either_side_may_be_the_first(occluded):
    ways = {tuple((side_of(occluded.sample(50, WINDOW, seeded(s)).centres)[0] > 0).tolist()) for s in range(20)}
    assert ways == {(True, False), (False, True)}


def test_patches_are_cut_where_they_say(occluded):
    for seed in range(6):
        pairs = occluded.sample(60, WINDOW, seeded(seed))
        views, hits = occluded.halves.sum(1), 0
        sheets = torch.stack([views, views.transpose(1, 2), views.flip(1, 2), views.transpose(1, 2).flip(1, 2)], 1)
        for i in range(len(pairs.first)):
            x, y = (pairs.centres[i, 0] - WINDOW / 2).long().tolist()
            seen = sheets[pairs.images[i, 0], :, y : y + WINDOW, x : x + WINDOW].float() / 255
            hits += bool(((pairs.first[i, 0] <= seen + 1e-6).flatten(1).all(1)).any())
        assert hits == len(pairs.first)


def test_shuffling_keeps_each_patch_and_the_distance(pairs):
    anew = pairs.shuffled(seeded(2), tolerance=0.5)
    assert (anew.images[:, 0] != anew.images[:, 1]).all()
    torch.testing.assert_close(anew.centres[:, 1] - anew.centres[:, 0], anew.offset)
    known = {tuple(centre.tolist()) for centre in pairs.centres[:, 1]}
    assert all(tuple(centre.tolist()) in known for centre in anew.centres[:, 1])
    rows = [(pairs.centres[:, 0] == centre).all(1).nonzero()[:, 0] for centre in anew.centres[:, 0]]
    for of, distance in zip(rows, anew.offset.norm(dim=1), strict=True):
        assert (pairs.offset[of].norm(dim=1) - distance).abs().min() <= 0.5 + 1e-4


def test_joined_pictures_keep_their_cuts(occluded):
    other = occlude(["eye", "bell"], seeded(), size=SIZE)
    both = joined([occluded, other])
    assert torch.equal(both.halves[both.image[len(occluded.image) :]], other.halves[other.image])
    assert torch.equal(both.image[: len(occluded.image)], occluded.image)


def test_pairs_at_chosen_places(occluded):
    along = torch.stack([occluded.counts[:, 0] // 2, occluded.counts[:, 1] // 2], 1)
    pairs = occluded.pairs(torch.arange(len(along)), along, WINDOW)
    positions = occluded.positions[torch.arange(len(along))[:, None], torch.arange(2), along].round()
    assert {tuple(m) for m in pairs.centres.flatten(1).tolist()} <= {tuple(m) for m in positions.flatten(1).tolist()}
    assert (side_of(pairs.centres)[:, 0] < 0).all()


def test_filled_icons_are_covered_as_outlines():
    microphone = occlude(["baseline-mic"] * 4, seeded(), size=SIZE)
    assert len(microphone.halves) == 4
    assert microphone.halves.float().mean() < 255 * 0.25  # lines, not areas


def test_silhouettes_are_areas_whose_edges_the_bar_cuts():
    names_, generator = ["circle", "square", "minus", "microphone"] * 6, seeded()
    outlines, areas = (occlude(names_, seeded(), size=SIZE, filled=filled) for filled in (False, True))
    assert areas.filled.all() and not outlines.filled.any()
    assert len(areas.halves) < len(outlines.halves)  # a minus has nothing to fill
    assert areas.halves.float().mean() > 2 * outlines.halves.float().mean()
    pairs = joined([outlines, areas]).sample(2000, WINDOW, generator)
    of_areas = pairs.images >= len(outlines.halves)
    assert torch.equal(of_areas[:, 0], of_areas[:, 1])
    for side, patches in enumerate((pairs.first, pairs.second)):
        middle = patches[:, 0, 5:7, 5:7].mean((1, 2))
        edge = of_areas[:, side]
        assert middle[~edge].min() >= 0.75
        assert middle[edge].min() >= 0.25 and middle[edge].max() <= 0.75
    centres = pairs.truth["position"][of_areas[:, 0]]
    assert len(centres) > 100


def test_a_silhouette_is_the_filled_icon_but_for_the_bar(unshifted):
    areas = occlude(["circle"] * 4, seeded(), size=SIZE, filled=True, turning=False)
    disc = fill(icons.strokes("circle"), SIZE)
    away = across(pixel_centres(SIZE), BAR)[0].abs() > 2
    for ink in areas.halves.sum(1) / 255:
        torch.testing.assert_close(ink[away], disc[away], atol=0.1, rtol=0)


def test_the_same_generator_gives_the_same_pairs(occluded):
    first, second = (occluded.sample(100, WINDOW, seeded(3)) for _ in range(2))
    assert torch.equal(first.first, second.first) and torch.equal(first.second, second.second)
    assert torch.equal(first.centres, second.centres) and torch.equal(first.images, second.images)
    assert torch.equal(occlude(["eye", "bell"], seeded(4)).halves, occlude(["eye", "bell"], seeded(4)).halves)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, p: occlude([], seeded()), "names: wanted icons"),
        (lambda c, p: occlude(["no-such-icon"], seeded()), "no-such-icon"),
        (lambda c, p: occlude(["eye"], seeded(), size=4), "size: wanted 8"),
        (lambda c, p: c.sample(0, WINDOW, seeded()), "n: wanted"),
        (lambda c, p: c.sample(10, 11, seeded()), "window: wanted"),
        (lambda c, p: c.sample(10, 40, seeded()), "window: wanted"),
        (lambda c, p: joined([]), "parts: wanted some"),
        (lambda c, p: joined([c, occlude(["eye"], seeded(), size=32)]), "parts: wanted some"),
        (lambda c, p: p.shuffled(seeded(), tolerance=float("nan")), "tolerance: wanted a finite number > 0"),
        (lambda c, p: p[:1].shuffled(seeded()), "take more pairs"),
    ],
)
def test_bad_input_is_named(occluded, pairs, call, message):
    with pytest.raises(ValueError, match=message):
        call(occluded, pairs)


@pytest.mark.slow
def test_importing_draws_no_icon():
    """Nor does it read their file: a reader who imports the library for something else does not wait for it."""
    code = """
import importlib, pkgutil, hssl
for module in pkgutil.walk_packages(hssl.__path__, "hssl."):
    importlib.import_module(module.name)
from hssl.worlds.icons import icons
print(icons._sets.cache_info().misses, icons.strokes.cache_info().misses)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0", "0"]


def test_the_bar_lies_where_slashes_lie():
    bars = [slash(name) for name in icons.pairs()]
    same = [torch.equal(bar.start, BAR.start) and torch.equal(bar.end, BAR.end) for bar in bars]
    assert sum(same) > 0.95 * len(bars)
    assert all(bar.width == BAR.width for bar in bars)


@pytest.fixture
def unshifted(monkeypatch):
    monkeypatch.setattr(occluders, "SHIFT", 0.0)


def test_orientations_are_those_of_tangents(unshifted):
    circles = occlude(["circle"] * 8, seeded(), size=SIZE)
    seen = set()
    for seed in range(12):
        pairs = circles.sample(60, WINDOW, seeded(seed))
        from_middle = (pairs.centres[:, 0] - SIZE / 2) / (9 * SIZE / BOX)
        along = torch.stack([angles(pairs).cos(), angles(pairs).sin()], -1)
        assert (along * from_middle).sum(-1).abs().max() < 0.06  # centres are rounded to pixels
        seen.add(tuple((side_of(pairs.centres)[0] > 0).tolist()))
    assert len(seen) == 2


def test_shuffled_truth_stays_with_the_first_patches(pairs):
    anew = pairs.shuffled(seeded(2), tolerance=0.5)
    was, now = (torch.cat([of.truth["position"], of.truth["orientation"]], 1) for of in (pairs, anew))
    assert set(map(tuple, now.tolist())) <= set(map(tuple, was.tolist()))
    assert torch.equal(anew.truth["position"], anew.centres[:, 0])


def test_occluded_icons_are_a_world(unshifted):
    world = OccludedIcons(["circle"] * 8)
    for n in (1, 300):
        pairs, again = (world.sample(n, seeded(4)) for _ in range(2))
        assert pairs.first.shape == pairs.second.shape == (n, 1, WINDOW, WINDOW)
        assert torch.equal(pairs.first, again.first) and torch.equal(pairs.second, again.second)
    angle = torch.atan2(*(pairs.truth["position"] - SIZE / 2).T.flip(0)) + math.pi / 2  # of the tangent
    wanted = torch.stack([(2 * angle).sin(), (2 * angle).cos()], 1)
    torch.testing.assert_close(pairs.truth["orientation"], wanted, atol=0.15, rtol=0)
    sides = side_of(pairs.truth["position"]).sign()
    assert (sides == sides[0]).all()  # the side is no factor that a batch could be told by
    assert {side_of(world.sample(1, seeded(s)).truth["position"]).sign().item() for s in range(9)} == {-1, 1}


def test_occluded_icons_differ_from_each_other_and_are_seen_through_views():
    world = OccludedIcons(["eye", "bell", "book"], window=8, views=lambda images, generator: images / 2)
    pairs = world.sample(100, seeded())
    assert pairs.first.shape == (100, 1, 8, 8)
    assert 0 < pairs.first.max() <= 0.5
    assert len(pairs.first.unique(dim=0)) > len(world.occluded.image)  # several positions along each stroke
    again = OccludedIcons(["eye", "bell", "book"], window=8)
    assert torch.equal(again.occluded.positions, world.occluded.positions)


def test_by_default_every_25th_outline_that_is_not_held_out(monkeypatch):
    taken = []
    monkeypatch.setattr(occluders, "occlude", lambda chosen, *_, **__: taken.extend(chosen))
    OccludedIcons()
    assert taken == [name for name in names()[::25] if name in train_names()]
    assert len(taken) > 100


def test_what_is_drawn_by_lot_has_the_documented_distribution():
    """From the lines of an icon of one long level line: where it is cut off says what was drawn."""
    line = [torch.tensor([[0.0, 12.0], [24.0, 12.0]])]
    found = [occluders._outlines(*occluders._cut_off(line, True, seeded(s))[0]) for s in range(1000)]
    ends = [[across(torch.cat(side), BAR)[0].abs().min().item() for side in halves] for halves in found]
    short = torch.tensor(ends) > 2.8  # cut off short of the bar, below and above
    assert torch.tensor(ends)[short].max() < 2.83 + 0.2
    assert torch.tensor(ends)[~short].max() < 0.2
    assert short.any(1).all()
    assert short.all(1).float().mean().item() == pytest.approx(0.15, abs=0.04)
    assert short[~short.all(1)][:, 0].float().mean().item() == pytest.approx(0.5, abs=0.06)
    turned = torch.tensor([halves[0][0][:, 1].std() > 1 for halves in found])
    assert turned.float().mean().item() == pytest.approx(0.5, abs=0.06)
    shift = torch.tensor([halves[0][0][0, 1] - 12 for halves in found])[~turned]
    assert (shift == 0).float().mean().item() == pytest.approx(0.5, abs=0.08)
    moved = shift[shift != 0]
    assert 0.95 < moved.abs().max() <= 1
    assert moved.std().item() == pytest.approx(1 / 3**0.5, abs=0.06)


def test_the_bar_is_two_units_wide_and_strokes_are_followed_as_far_as_documented(unshifted):
    circles = occlude(["circle"] * 8, seeded(), size=192)
    beside, _ = across(pixel_centres(192), BAR)
    ink = circles.halves.sum(1).float() / 255
    full = ink.amax(0)
    assert full[beside.abs() < 1 - 24 / 192].max() == 0
    assert full[(beside.abs() > 1 + 12 / 192) & (beside.abs() < 1.2)].max() == 1
    kept = circles.counts.max()
    steps = (circles.positions[0, 0].diff(dim=0).norm(dim=1) * BOX / 192)[: circles.counts[0, 0] - 1]
    torch.testing.assert_close(steps, torch.full_like(steps, 0.2), atol=0.005, rtol=0)
    assert kept * 0.2 == pytest.approx(3.6)
    nearest = across(circles.positions[:, :, 0] * BOX / 192, BAR)[0].abs()
    assert nearest.min() == pytest.approx(1.3, abs=0.15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OccludedIcons("eye"), "names: wanted"),
        (lambda: OccludedIcons(["eye"], window=11).sample(5, seeded()), "window: wanted an even number"),
        (lambda: OccludedIcons(["eye"]).sample(0, seeded()), "n: wanted a whole number ≥ 1"),
        (lambda: OccludedIcons(["eye"]).sample(5, None), "generator: wanted Generator"),
        (lambda: OccludedIcons(["eye"], views=lambda x, g: x[:2]).sample(5, seeded()), r"views: .*\(2, 1, 12, 12\)"),
    ],
)
def test_a_bad_world_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
