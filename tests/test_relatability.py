"""hssl.worlds.icons.relatability: true pairs are on one stroke, controls are matched, and baselines see nothing."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import roc_auc_score

from hssl.worlds.icons.icons import GOOGLE, across, held_out_pairs, layers, slash, unslashed
from hssl.worlds.icons.rasteriser import BOX, distance_to
from hssl.worlds.icons.relatability import ANOTHER_STROKE, CONTROLS, NEAR, TIE, SlashedIcons, connected, cuts

SIZE, WINDOW = 64, 12


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


NAMES = held_out_pairs()[::4]


@pytest.fixture(scope="module")
def found():
    return SlashedIcons(NAMES, size=SIZE, window=WINDOW).with_controls(seeded())


def icons_of(pairs, names=NAMES):
    return [names[number] for number in pairs.images[:, 0]]


def test_the_slash_cuts_the_lens_of_an_eye_twice():
    both = [cut for cut in cuts("eye") if min(len(cut.below), len(cut.above)) > 20]
    assert len(both) == 2
    for cut in cuts("eye"):
        assert (cut.below[:, 0] < cut.below[:, 1]).all()
        assert (cut.above[:, 0] > cut.above[:, 1]).all()
        assert (cut.below[0] - cut.above[0]).norm() < 6


def test_windows_are_cut_from_their_images(found):
    for patches in found.values():
        assert patches.first.shape == (len(patches), 1, WINDOW, WINDOW)
        torch.testing.assert_close(patches.truth["offset"], patches.offset)
        assert (patches.offset.abs().amax(1) >= WINDOW).all()
        for i in range(0, len(patches), 9):
            x, y = (patches.centres[i, 1] - WINDOW / 2).long().tolist()
            seen = patches.whole[i, 0, y : y + WINDOW, x : x + WINDOW]
            assert (patches.second[i, 0] <= seen + 1e-6).all()
            assert (
                patches.second[i, 0, WINDOW // 2 - 1 : WINDOW // 2 + 1, WINDOW // 2 - 1 : WINDOW // 2 + 1].mean() > 0.7
            )


def test_a_true_pair_is_of_one_owner_on_either_side(found):
    true = found["same"]
    for i, name in enumerate(icons_of(true)):
        parts = layers(name, SIZE)
        owners, sides = [], []
        for x, y in true.centres[i].long().tolist():
            owners.append(set(parts.owner[y - 1 : y + 1, x - 1 : x + 1].flatten().tolist()) - {-1})
            sides.append(x > y)
        assert sorted(sides) == [False, True]
        assert owners[0] & owners[1], name


def test_rows_are_matched(found):
    true = found["same"]
    assert len(set(icons_of(true))) > 30
    for control in CONTROLS:
        other = found[control]
        assert torch.equal(other.images, true.images)
        assert torch.equal(other.first, true.first)
        assert (other.offset.norm(dim=1) - true.offset.norm(dim=1)).abs().max() <= 0.5
        assert (other.second.sum((1, 2, 3)) / true.second.sum((1, 2, 3)) - 1).abs().max() <= 0.05 + 1e-6
        changed = (other.second != true.second).flatten(1).any(1) | (other.offset != true.offset).any(1)
        assert changed.all()
    for control in ("rotated_half", "mirrored_half"):
        assert torch.equal(found[control].centres, true.centres)


def test_the_half_of_another_icon_is_a_true_end_at_the_slash(found):
    ends = {name: torch.cat([side for cut in cuts(name) for side in cut] or [torch.zeros(0, 2)]) for name in NAMES}
    ends = {name: (points * SIZE / BOX - WINDOW / 2).round() for name, points in ends.items()}
    other = found["from_two_icons"]
    for icon, centre in zip(icons_of(other), other.centres[:, 1], strict=True):
        corner = centre - WINDOW // 2
        owners = {name.split("-")[0] for name in NAMES if (ends[name] == corner).all(1).any()}
        assert owners - {icon.split("-")[0]}, icon


def test_another_stroke_of_the_same_icon_is_one_that_the_slash_cuts():
    found = SlashedIcons(held_out_pairs()[:60], size=SIZE, window=WINDOW).with_controls(
        seeded(), controls=(ANOTHER_STROKE,)
    )
    true, other = found["same"], found[ANOTHER_STROKE]
    assert len(true) > 5
    assert torch.equal(other.first, true.first) and torch.equal(other.images, true.images)
    assert torch.equal(other.whole, true.whole)
    assert (other.centres[:, 1] != true.centres[:, 1]).any(1).all()
    assert (other.offset.norm(dim=1) - true.offset.norm(dim=1)).abs().max() <= 0.5
    for icon, centre in zip(icons_of(true, held_out_pairs()), other.centres[:, 1], strict=True):
        ends = torch.cat([side for cut in cuts(icon) for side in cut])
        corners = (ends * SIZE / BOX - WINDOW / 2).round()
        assert (corners == centre - WINDOW // 2).all(1).any(), icon


def test_baselines_see_no_difference(found):
    true = found["same"]
    scores = {
        "distance": lambda patches: patches.offset.norm(dim=1),
        "ink": lambda patches: patches.second.sum((1, 2, 3)),
        "difference of ink": lambda patches: (patches.first - patches.second).mean((1, 2, 3)).abs(),
        "component": lambda patches: connected(patches).float(),
        "component with the slash": lambda patches: connected(patches, with_slash=True).float(),
    }
    for control in CONTROLS:
        for name, score in scores.items():
            here, there = score(true), score(found[control])
            truth = [1] * len(here) + [0] * len(there)
            assert roc_auc_score(truth, torch.cat([here, there])) == pytest.approx(0.5, abs=0.05), (control, name)


def test_connected_sees_what_is_connected(found):
    true = found["same"]
    same_place = replace(true, centres=true.centres[:, :1].expand(-1, 2, -1))
    assert connected(same_place).all()
    assert not connected(true).any()
    assert connected(replace(true, slashes=torch.ones_like(true.slashes)), with_slash=True).all()


def test_the_bend_of_a_circle_is_the_angle_between_its_places():
    true = SlashedIcons(["circle", "copyright", "clock", "coin"]).with_controls(seeded(), controls=())["same"]
    positions = true.centres * BOX / SIZE - 12
    on_circle = ((positions.norm(dim=2) - 9).abs() < 0.3).all(1)
    assert on_circle.sum() >= 6
    a, b = positions[on_circle].unbind(1)
    angle = torch.rad2deg(torch.arccos(torch.nn.functional.cosine_similarity(a, b)))
    torch.testing.assert_close(true.truth["bend"][on_circle], angle, atol=5, rtol=0)


def test_the_same_generator_gives_the_same_pairs():
    world = SlashedIcons(["eye", "bell", "book"])
    first, second = (world.with_controls(seeded(3), controls=("rotated_half",)) for _ in range(2))
    assert torch.equal(first["same"].centres, second["same"].centres)
    assert torch.equal(first["rotated_half"].second, second["rotated_half"].second)


def test_filled_icons_have_pairs_on_their_outlines():
    pairs = SlashedIcons(GOOGLE).with_controls(seeded(), controls=("offset_half", "rotated_half"))
    assert set(pairs) == {"same", "offset_half", "rotated_half"}
    assert "baseline-mic" in icons_of(pairs["same"], GOOGLE)
    bar = slash("baseline-mic")
    assert bar.width < 2
    assert (pairs["same"].whole * (pairs["same"].slashes > 0.99)).max() < 0.02


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        ([], {}, "names: no cut was found"),
        ("eye", {}, "names: wanted list or tuple or None, got 'eye'"),
        (["eye", "baseline-mic"], {}, "not both at once"),
        (["eye", "no-such-icon"], {}, "no-such-icon"),
        (["eye"], {"window": 11}, "window: wanted an even number"),
        (["eye"], {"window": 40}, "window: wanted an even number"),
        (["eye"], {"controls": ("mirrored",)}, "controls: wanted one of another_stroke, offset_half"),
        (["eye"], {"controls": ("from_two_icons",)}, "no cut was found"),
    ],
)
def test_bad_input_is_named(names, settings, message):
    with pytest.raises(ValueError, match=message):
        controls = settings.pop("controls", CONTROLS)
        SlashedIcons(names, **settings).with_controls(seeded(), controls=controls)


def test_strokes_are_followed_in_tenths_of_a_unit_for_three_and_a_half(monkeypatch):
    found = [side for name in ("eye", "circle", "bell", "copyright") for cut in cuts(name) for side in cut]
    steps = torch.cat([side.diff(dim=0).norm(dim=1) for side in found])
    torch.testing.assert_close(steps, torch.full_like(steps, 0.1), atol=0.005, rtol=0)
    assert max(len(side) for side in found) * 0.1 == pytest.approx(3.5)


def test_ends_are_seen_on_the_icon_with_the_slash(found):
    """A stroke ends where it was drawn anew: within .3 units of a line of the icon with the slash."""
    for name in held_out_pairs()[:30]:
        lines = unslashed(name)
        for cut in cuts(name):
            for side in cut:
                assert distance_to(side, lines).max() < NEAR + 2 * TIE
                assert across(side, slash(name))[0].abs().min() > slash(name).width / 2 + 0.3


def test_half_shifted_along_the_slash_by_three_units(found):
    moved = (found["offset_half"].centres[:, 1] - found["same"].centres[:, 1]) * BOX / SIZE
    # its patch lies on the stroke as shifted; where on it, is chosen anew within half a pixel of the distance
    run = moved @ torch.tensor([1.0, 1.0]) / 2
    assert (run.abs().median() - 3).abs() < 0.75
    assert (run > 0).any() and (run < 0).any()


def test_controls_at_nearly_the_same_place_look_different(found):
    true = found["same"]
    for control in CONTROLS:
        there = (found[control].offset - true.offset).abs().amax(1) * BOX / SIZE <= 1.0
        a, b = (of.second[there].flatten(1) for of in (true, found[control]))
        alike = [torch.corrcoef(torch.stack(both))[0, 1].item() for both in zip(a, b, strict=True)]
        assert max(alike, default=0) < 0.3 + 1e-5


def test_slashed_icons_give_every_cut_once_before_any_comes_again():
    world = SlashedIcons(["eye", "bell", "book"])
    once = world.with_controls(seeded(), controls=())["same"]
    pairs = world.sample(len(once), seeded(1))
    assert pairs.images[:, 0].bincount().tolist() == once.images[:, 0].bincount().tolist()
    assert not torch.equal(pairs.images, once.images)  # in random order
    many = world.sample(5 * len(once) + 1, seeded(1))
    assert len(many) == 5 * len(once) + 1 and torch.equal(many.first[: len(once)], pairs.first)
    assert len(many.first.flatten(1).unique(dim=0)) > len(once)  # at other positions along the stroke
    assert torch.equal(pairs.truth["offset"], pairs.offset)


def digest(pairs):
    """Where the patches of all rows lie: whole numbers of pixels."""
    return hashlib.sha256(torch.cat([pairs[kind].centres for kind in pairs]).long().numpy().tobytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["default", "avx2"])
def test_every_processor_selects_the_same_pairs(found, kernels):
    code = "import test_relatability as of; print(of.digest(of.SlashedIcons(of.NAMES).with_controls(of.seeded())))"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": kernels, "PYTHONPATH": os.path.dirname(__file__)}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert other.stdout.strip() == digest(found)
