"""hssl.worlds.covers: a bar parts what lies on one stroke, and dealing anew changes nothing but that."""

import pytest
import torch

from hssl.worlds.covers import BAR, BEYOND, POINTS_FOLLOWED, cover, joined
from hssl.worlds.icons import across, pixel_centres, train_names
from hssl.worlds.strokes import BOX

SIZE, WINDOW = 64, 12


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def covered():
    return cover(train_names()[:300], seeded(), size=SIZE)


@pytest.fixture(scope="module")
def pairs(covered):
    return covered.sample(800, WINDOW, seeded(1))


def side_of(places):
    return across(places * BOX / SIZE, BAR)[0]


def test_places_lie_on_the_circle_that_is_covered():
    circles = cover(["circle"] * 8, seeded(), size=SIZE)
    kept = torch.arange(POINTS_FOLLOWED) < circles.counts[:, :, None]
    centres = circles.places * BOX / SIZE - BOX / 2
    shifts = {round(float(c), 1) for c in (centres[kept].norm(dim=1) - 9).abs() if c > 0.1}
    assert (centres[kept].norm(dim=1) - 9).abs().min() < 0.02  # unshifted ones lie on it
    assert all(shift < 2**0.5 + 0.1 for shift in shifts)
    assert len(circles.picture) == 16  # a bar cuts a circle twice


def test_places_go_outwards_from_the_bar_on_either_side(covered):
    nearest, farthest = (side_of(covered.places[:, :, k]) for k in (0, POINTS_FOLLOWED - 1))
    assert (nearest[:, 0] < 0).all() and (nearest[:, 1] > 0).all()
    assert nearest.abs().min() > BEYOND - 1e-4
    assert (farthest.abs() - nearest.abs()).mean() > 1


def test_nothing_is_seen_beneath_the_bar(covered):
    beside, _ = across(pixel_centres(SIZE), BAR)
    assert covered.halves[..., beside.abs() < 0.8].max() == 0
    assert covered.halves[:, 0][:, beside > 1.2].max() == 0
    assert covered.halves[:, 1][:, beside < -1.2].max() == 0
    assert covered.halves.float().mean() > 10


def test_a_pair_lies_on_either_side_with_ink_in_the_middle(pairs):
    assert len(pairs.first) > 300
    sides = side_of(pairs.middles)
    assert (sides.prod(1) < 0).all()
    assert (sides.sign() == sides.sign()[:1]).all()  # all the same way round, so that any two can be exchanged
    assert (pairs.offset.abs().amax(1) >= WINDOW).all()
    for patches in (pairs.first, pairs.second):
        assert patches[:, 5:7, 5:7].mean((1, 2)).min() >= 0.75


def test_either_side_may_be_the_first(covered):
    ways = {tuple((side_of(covered.sample(50, WINDOW, seeded(s)).middles)[0] > 0).tolist()) for s in range(20)}
    assert ways == {(True, False), (False, True)}


def test_patches_are_cut_where_they_say(covered):
    for seed in range(6):
        pairs = covered.sample(60, WINDOW, seeded(seed))
        views, hits = covered.halves.sum(1), 0
        sheets = torch.stack([views, views.transpose(1, 2), views.flip(1, 2), views.transpose(1, 2).flip(1, 2)], 1)
        for i in range(len(pairs.first)):
            x, y = (pairs.middles[i, 0] - WINDOW / 2).long().tolist()
            seen = sheets[pairs.pictures[i, 0], :, y : y + WINDOW, x : x + WINDOW].float() / 255
            hits += bool(((pairs.first[i] <= seen + 1e-6).flatten(1).all(1)).any())
        assert hits == len(pairs.first)


def test_dealt_anew_keeps_each_patch_and_the_distance(pairs):
    anew = pairs.dealt_anew(seeded(2), each=2, tolerance=0.5)
    assert (anew.pictures[:, 0] != anew.pictures[:, 1]).all()
    torch.testing.assert_close(anew.middles[:, 1] - anew.middles[:, 0], anew.offset)
    known = {tuple(middle.tolist()) for middle in pairs.middles[:, 1]}
    assert all(tuple(middle.tolist()) in known for middle in anew.middles[:, 1])
    rows = [(pairs.middles[:, 0] == middle).all(1).nonzero()[:, 0] for middle in anew.middles[:, 0]]
    for of, distance in zip(rows, anew.offset.norm(dim=1), strict=True):
        assert (pairs.offset[of].norm(dim=1) - distance).abs().min() <= 0.5 + 1e-4


def test_joined_pictures_keep_their_cuts(covered):
    other = cover(["eye", "bell"], seeded(), size=SIZE)
    both = joined([covered, other])
    assert torch.equal(both.halves[both.picture[len(covered.picture) :]], other.halves[other.picture])
    assert torch.equal(both.picture[: len(covered.picture)], covered.picture)


def test_pairs_at_chosen_places(covered):
    along = torch.stack([covered.counts[:, 0] // 2, covered.counts[:, 1] // 2], 1)
    pairs = covered.pairs(torch.arange(len(along)), along, WINDOW)
    places = covered.places[torch.arange(len(along))[:, None], torch.arange(2), along].round()
    assert {tuple(m) for m in pairs.middles.flatten(1).tolist()} <= {tuple(m) for m in places.flatten(1).tolist()}
    assert (side_of(pairs.middles)[:, 0] < 0).all()


def test_filled_icons_are_covered_as_outlines():
    microphone = cover(["baseline-mic"] * 4, seeded(), size=SIZE)
    assert len(microphone.halves) == 4
    assert microphone.halves.float().mean() < 255 * 0.25  # lines, not areas


def test_the_same_generator_gives_the_same_pairs(covered):
    first, second = (covered.sample(100, WINDOW, seeded(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(cover(["eye", "bell"], seeded(4)).halves, cover(["eye", "bell"], seeded(4)).halves)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, p: cover([], seeded()), "names: wanted icons"),
        (lambda c, p: cover(["no-such-icon"], seeded()), "no-such-icon"),
        (lambda c, p: cover(["eye"], seeded(), size=4), "size: wanted 8"),
        (lambda c, p: c.sample(0, WINDOW, seeded()), "n: wanted"),
        (lambda c, p: c.sample(10, 11, seeded()), "window: wanted"),
        (lambda c, p: c.sample(10, 40, seeded()), "window: wanted"),
        (lambda c, p: joined([]), "parts: wanted some"),
        (lambda c, p: joined([c, cover(["eye"], seeded(), size=32)]), "parts: wanted some"),
        (lambda c, p: p.dealt_anew(seeded(), each=0), "each: wanted a whole number ≥ 1"),
        (lambda c, p: p.dealt_anew(seeded(), tolerance=float("nan")), "tolerance: wanted a finite number > 0"),
        (lambda c, p: type(p)(*(of[:1] for of in p)).dealt_anew(seeded()), "take more pairs"),
    ],
)
def test_bad_input_is_named(covered, pairs, call, message):
    with pytest.raises(ValueError, match=message):
        call(covered, pairs)
