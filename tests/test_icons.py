"""hssl.worlds.icons.icons: the baked file, what is held out, what belongs to what, and bad input."""

import json
from importlib.resources import files

import bake_icons
import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from hssl.worlds.icons import icons
from hssl.worlds.icons.icons import (
    GOOGLE,
    across,
    draw,
    elements,
    gaps,
    held_out_pairs,
    is_for_training,
    layers,
    names,
    pairs,
    slash,
    strokes,
    train_names,
)
from hssl.worlds.icons.rasteriser import fill, stroke

STROKED = '<g fill="none" stroke="currentColor" stroke-width="2">{}</g>'
BODIES = {
    "line": STROKED.format('<path d="M3 3h4"/><line x1="1" y1="2" x2="3" y2="4"/>'),
    "box": STROKED.format('<rect x="4" y="4" width="6" height="16" rx="2"/>'),
    "dot": STROKED.format('<circle cx="12" cy="5" r="2"/><path fill="currentColor" d="M1 1h2v2z"/>'),
    "pie": STROKED.format('<path fill="currentColor" stroke="none" d="M9 9h2v2z"/>'),
    "twin": '<defs><path id="a" d="M5 5v2"/></defs>' + STROKED.format('<use href="#a"/><use href="#a"/>'),
    "solid-filled": '<path fill="currentColor" d="M1 1h9v9z"/>',
}


@pytest.fixture
def packages(tmp_path):
    google = {name: {"body": '<path fill="currentColor" d="M0 0h9v9z"/>'} for name in (*bake_icons.GOOGLE, "other")}
    tabler = {name: {"body": body} for name, body in BODIES.items()} | {"old": {"body": BODIES["line"], "hidden": True}}
    for folder, entries in (("tabler", tabler), ("google", google)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "icons.json").write_text(json.dumps({"icons": entries}))
        (tmp_path / folder / "info.json").write_text('{"version": "1.2.3"}')
    return tmp_path / "tabler", tmp_path / "google"


def test_what_is_baked(packages):
    text = bake_icons.bake(*packages)
    baked = json.loads(text)
    assert baked["tabler"] == {
        "version": "1.2.3",
        "icons": {
            "box": ["M6,4 H8 A2,2 0 0 1 10,6 V18 A2,2 0 0 1 8,20 H6 A2,2 0 0 1 4,18 V6 A2,2 0 0 1 6,4 z"],
            "dot": ["M10,5 A2,2 0 1 1 14,5 A2,2 0 1 1 10,5", "fill:M1 1h2v2z", "M1 1h2v2z"],
            "line": ["M3 3h4", "M1,2 L3,4"],
            "pie": ["fill:M9 9h2v2z"],
            "twin": ["M5 5v2"],
        },
    }
    assert baked["google"]["icons"] == {name: ["fill:M0 0h9v9z"] for name in bake_icons.GOOGLE}
    assert text == bake_icons.bake(*packages)


@pytest.mark.parametrize("body", ['<text x="1">a</text>', '<path transform="rotate(45)" d="M1 1h2"/>'])
def test_what_cannot_be_baked_is_named(body):
    with pytest.raises(ValueError, match="cannot draw"):
        bake_icons.paths(body)


def test_the_file_is_as_the_script_writes_it():
    text = bake_icons.FILE.read_text()
    assert len(text) < 1.2e6
    sets = json.loads(text)
    lines = {
        of: ",\n".join(f"{json.dumps(name)}:{json.dumps(paths)}" for name, paths in sorted(entry["icons"].items()))
        for of, entry in sets.items()
    }
    head = {of: f'"{of}":{{"version":"{entry["version"]}","icons":{{\n' for of, entry in sets.items()}
    assert text == f"{{{head['tabler']}{lines['tabler']}\n}}}},\n{head['google']}{lines['google']}\n}}}}}}\n"
    assert len(names()) == 5166
    assert list(icons._sets()["google"]) == sorted(bake_icons.GOOGLE)


def test_licences_come_with_the_icons():
    folder = files("hssl.worlds.icons") / "licences"
    tabler = (folder / "tabler-icons-MIT.txt").read_text()
    assert "MIT License" in tabler
    assert "Kuna" in tabler
    google = (folder / "google-material-icons-Apache-2.0.txt").read_text()
    assert "Apache License" in google
    assert "END OF TERMS AND CONDITIONS" in google


@pytest.mark.slow
def test_every_icon_draws_something():
    shown = draw(names(), 16)
    assert shown.shape == (5166, 1, 16, 16)
    assert shown.flatten(1).amax(1).min() > 0.3
    assert 0 <= shown.min() <= shown.max() <= 1


def test_pairs_are_clean():
    assert len(pairs()) >= 400
    chosen = pairs()[::7]
    on, off = (draw([name + suffix for name in chosen], 48) for suffix in ("", "-off"))
    bars = torch.stack([layers(name, 48).slash for name in chosen])[:, None]
    stray = ((off - on).clamp_min(0) * (bars == 0)).sum((1, 2, 3)) / off.sum((1, 2, 3))
    assert stray.max() < 0.1


def is_diagonal(line):
    (x, y), (x2, y2) = line[0].tolist(), line[-1].tolist()
    return len(line) == 2 and min(abs(x2 - x), abs(y2 - y)) > 14 and abs(abs(x2 - x) - abs(y2 - y)) < 0.5


def dense(lines, spacing):
    ends = [end for line in lines for end in zip(line[:-1].numpy(), line[1:].numpy(), strict=True)]
    return np.concatenate([np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / spacing)) for a, b in ends])


def test_clean_pairs_are_those_with_one_slash_and_19_of_20_other_points_on_the_icon():
    """The rule again, by clouds of points, every .02 units: all but the shares next to the bound agree."""
    clean, close = set(), set()
    for name in set(names()) & {name.removesuffix("-off") for name in names() if name.endswith("-off")}:
        lines, off = strokes(name), strokes(f"{name}-off")
        bars, rest = [line for line in off if is_diagonal(line)], [line for line in off if not is_diagonal(line)]
        if len(bars) == 1 and lines and rest and not any(map(is_diagonal, lines)):
            near = KDTree(dense(lines, 0.02)).query(dense(rest, 0.02))[0] < 0.5
            clean |= {name} if near.mean() >= 0.95 and (bars[0][-1] > bars[0][0]).all() else set()
            close |= {name} if abs(near.mean() - 0.95) < 0.01 else set()
    assert clean - close == set(pairs()) - close
    assert len(close) < 20


def test_every_second_concept_is_held_out_and_those_of_google():
    concepts = [name for name in pairs() if not any(name.startswith(f"{other}-") for other in pairs())]
    held_out = {*concepts[::2], "camera", "microphone", "video"}
    wanted = [name for name in pairs() if any(f"{name}-".startswith(f"{concept}-") for concept in held_out)]
    assert list(held_out_pairs()) == wanted


def test_one_name_is_for_training_or_not():
    assert is_for_training("bell") == ("bell" in train_names())
    assert not is_for_training("microphone")
    assert not is_for_training("ear-off") and is_for_training("ear")


@pytest.mark.parametrize(("hidden", "found"), [(1, 1), (6, 1), (7, 0)])
def test_a_gap_is_at_most_six_units_long(hidden, found):
    points = torch.arange(20.0)[:, None].expand(-1, 2)
    sides = torch.tensor([1] * 5 + [0] * hidden + [2] * (15 - hidden))
    ends = gaps(points, sides, False, step=1.0, reach=3)
    assert len(ends) == found
    for below, above in ends:
        assert below[:, 0].tolist() == [4, 3, 2]
        assert above[:, 0].tolist() == [5 + hidden, 6 + hidden, 7 + hidden]


def test_gaps_have_a_side_each_and_may_cross_the_point_where_a_line_closes():
    points = torch.arange(12.0)[:, None].expand(-1, 2)
    same_side = torch.tensor([1, 1, 0, 1, 1, 0, 2, 2, 2, 2, 2, 2])
    ((below, above),) = gaps(points, same_side, False, step=1.0, reach=9)
    assert below[:, 0].tolist() == [4, 3]
    assert above[:, 0].tolist() == [6, 7, 8, 9, 10, 11]
    ring = torch.cat([points[:11], points[:1]])
    sides = torch.tensor([0, 1, 1, 1, 0, 2, 2, 2, 2, 0, 0, 0])
    first, second = gaps(ring, sides, True, step=1.0, reach=2)
    assert [side[:, 0].tolist() for side in first] == [[3, 2], [5, 6]]
    assert [side[:, 0].tolist() for side in second] == [[1, 2], [8, 7]]
    assert len(gaps(ring, sides, False, step=1.0, reach=2)) == 1


def test_no_concept_is_in_both_halves():
    training, held_out = train_names(), held_out_pairs()
    assert len(held_out) >= 200
    assert len(training) > 3000
    assert {"microphone", "video", "camera"} <= set(held_out)
    for name in held_out:
        assert not any(f"{other}-".startswith(f"{name}-") for other in training)
    assert set(held_out) <= set(pairs()) - set(training)
    assert not any("off" in name.split("-") for name in training)


def test_no_training_icon_contains_a_held_out_one():
    training = draw(train_names()[::5], 32).flatten(1)
    for image in draw(held_out_pairs()[::10], 32).flatten(1):
        overlap = torch.minimum(training, image).sum(1) / torch.maximum(training, image).sum(1)
        assert overlap.max() < 0.98


def test_what_is_filled_is_drawn_filled():
    microphone = draw("baseline-mic", 48)[0, 0]
    assert microphone[16, 24] == 1  # within the capsule
    assert draw("microphone", 48)[0, 0, 16, 24] == 0  # an outline
    pie = draw("percentage-50", 48)[0, 0]
    assert pie[24, 30] == 1
    assert pie[24, 16] == 0


@pytest.mark.parametrize("name", ["microphone", "eye", "baseline-mic", "baseline-videocam"])
def test_layers_add_up(name):
    parts = layers(name, 64)
    ink, whole = draw(f"{name}-off", 64)[0, 0], parts.slash + parts.rest
    torch.testing.assert_close(whole.clamp_max(1), ink, atol=0.3, rtol=0)
    assert (whole - ink).abs().mean() < 0.005


@pytest.mark.parametrize("name", ["microphone", "eye", "baseline-mic", "baseline-videocam"])
def test_an_owner_is_on_both_sides_of_the_slash(name):
    parts, lines = layers(name, 64), elements(name)
    assert set(parts.owner.unique().tolist()) <= set(range(-1, len(lines)))
    y, x = torch.meshgrid(*2 * [torch.arange(64)], indexing="ij")
    sides = []
    for owner, line in enumerate(lines):
        own = parts.owner == owner
        whole = fill([line], 64) if name in GOOGLE else stroke([[line]], 64)[0]
        assert (whole[own] > 0.4).float().mean() > 0.95
        assert (parts.rest[own] > 0.5).all()
        sides.append({*(x > y)[own].tolist()})
    assert {True, False} in sides
    assert (parts.owner[parts.slash > 0.9] == -1).all()


def test_slashes_are_where_they_are_drawn():
    bar = slash("eye")
    assert bar.start.tolist() == [3, 3]
    assert bar.end.tolist() == [21, 21]
    assert bar.width == 2
    fitted = slash("baseline-mic")  # its corners are (3, 4.27), (4.27, 3), (21, 19.73) and (19.73, 21)
    torch.testing.assert_close(fitted.start, torch.full((2,), 3.635), atol=0.1, rtol=0)
    torch.testing.assert_close(fitted.end, torch.full((2,), 20.365), atol=0.1, rtol=0)
    assert fitted.width == pytest.approx(1.27 * 2**0.5, abs=0.05)
    beside, along = across(torch.tensor([[12.0, 10.0], [10.0, 12.0], [4.0, 4.0]]), bar)
    torch.testing.assert_close(beside, torch.tensor([2**0.5, -(2**0.5), 0.0]), atol=1e-5, rtol=0)
    assert along[2].item() == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw("no-such-icon"), "unknown icon 'no-such-icon'"),
        (lambda: draw([]), "which: wanted at least one"),
        (lambda: draw("eye", 4), "size"),
        (lambda: layers("eye-off"), "name: wanted an icon of `pairs"),
        (lambda: layers("eye", 2000), "size"),
        (lambda: slash("heartbeat"), "name: wanted an icon of `pairs"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_names_of_one_set_are_not_names_of_the_other():
    assert not set(names()) & set(icons._sets()["google"])
    assert set(GOOGLE) < set(icons._sets()["google"])
