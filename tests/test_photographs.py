"""hssl.worlds.pictures.photographs: what is shipped and by whom, edges known in closed form, and bad input."""

import hashlib
import json
import math

import bake_photos
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import pdist
from scipy.special import ndtr

from hssl.worlds.pictures import photographs
from hssl.worlds.pictures.photographs import SAMPLES, Photographs, attribution, edge_elements, grey, load, names

COPYRIGHT = """Format: 1.0
Source: https://example.org/pictures

Files: 16.04/Big_tree_by_Ann.jpg
Copyright: Ann Other, 2018
License: CC-BY-4.0

Files: 16.04/free_by_Bo.jpg
Copyright: 2017. Bo
License: CC0-1.0

Files: 16.04/closed_by_Cy.jpg
Copyright: Cy, 2018
License: CC-BY-SA-4.0

License: CC-BY-4.0
 Attribution 4.0
 .
   indented

License: CC0-1.0
 No rights.

License: CC-BY-SA-4.0
 Share alike.
"""


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_what_is_baked(tmp_path):
    source, target = tmp_path / "package", tmp_path / "photographs"
    (source / "usr/share/doc/pictures").mkdir(parents=True)
    (source / "usr/share/backgrounds").mkdir()
    (source / "usr/share/doc/pictures/copyright").write_text(COPYRIGHT)
    for name, size in (("Big_tree_by_Ann", (2000, 1500)), ("free_by_Bo", (300, 600)), ("closed_by_Cy", (50, 50))):
        Image.new("RGB", size, (200, 100, 50)).save(source / f"usr/share/backgrounds/{name}.jpg")
    bake_photos.bake(source, target)
    wanted = {"ATTRIBUTION.json", "CC-BY-4.0.txt", "CC0-1.0.txt", "big_tree.jpg", "free.jpg"}
    assert {path.name for path in target.iterdir()} == wanted
    credits = json.loads((target / "ATTRIBUTION.json").read_text())
    assert credits["big_tree"] == {
        "title": "Big tree",
        "author": "Ann Other",
        "year": "2018",
        "licence": "CC-BY-4.0",
        "source": "https://example.org/pictures",
        "changes": "made smaller, from 2000 × 1500 to 1000 × 750 pixels, and stored as JPEG anew",
        "sha256": hashlib.sha256((target / "big_tree.jpg").read_bytes()).hexdigest(),
    }
    assert credits["free"]["author"] == "Bo"
    assert (target / "CC-BY-4.0.txt").read_text() == "Attribution 4.0\n\n  indented\n"
    with Image.open(target / "big_tree.jpg") as photograph:
        assert photograph.size == (1000, 750)


def test_what_is_shipped():
    files = list(bake_photos.FOLDER.iterdir())
    assert sum(path.stat().st_size for path in files) < 1.6e6
    credits = json.loads((bake_photos.FOLDER / "ATTRIBUTION.json").read_text())
    assert {path.stem for path in files if path.suffix == ".jpg"} == set(credits)
    assert len(credits) == 9
    for credit in credits.values():
        assert credit["licence"] in bake_photos.LICENCES
        assert (bake_photos.FOLDER / f"{credit['licence']}.txt").exists()
    text = (bake_photos.FOLDER / "CC-BY-4.0.txt").read_text()
    assert text.startswith("Attribution 4.0 International")


@pytest.mark.parametrize("name", names())
def test_photographs_load_whole_and_small(name):
    whole = load(name)
    assert whole.dtype == torch.float32
    assert max(whole.shape[1:]) == (640 if name in SAMPLES else 1000)
    assert 0 <= whole.min() < 0.2 < 0.8 < whole.max() <= 1
    small = load(name, 64)
    assert max(small.shape[1:]) == 64
    torch.testing.assert_close(small.mean((1, 2)), whole.mean((1, 2)), atol=0.01, rtol=0)


def test_who_made_them():
    assert len(names()) == 11
    said = attribution("seeding")
    assert said.startswith('"seeding", Clemens Engelhardt, 2018. CC0-1.0, from ')
    assert "made smaller" in said
    assert "danielbuechele" in attribution("china")
    assert attribution("china", short=True) == '"china", danielbuechele, CC-BY-2.0'
    for name in names():  # nothing of the short line is missing from the long one
        assert all(part.strip('"') in attribution(name) for part in attribution(name, short=True).split(", ")[1:2])
    assert "creativecommons.org/licenses/by/2.0" in attribution("flower")


def test_grey():
    colours = torch.eye(3).view(3, 1, 3)
    assert grey(colours).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert grey(torch.ones(2, 3, 4, 5)).shape == (2, 1, 4, 5)
    assert grey(torch.ones(3, 4, 5)).mean().item() == pytest.approx(1)


def step(angle, size=96, height=0.6, blur=1.0):
    """A blurred step through the middle that runs in this direction, brighter towards (−sin, cos)."""
    at = torch.arange(size) + 0.5 - size / 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    beside = y * math.cos(angle) - x * math.sin(angle)
    return 0.2 + height * torch.from_numpy(ndtr((beside / blur).double().numpy())).float()[None], (x, y)


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 118, 163])
@pytest.mark.parametrize("turned", [False, True])
def test_a_step_has_its_direction_place_and_height(degrees, turned):
    angle = math.radians(degrees + 180 * turned)  # turned by half a circle the other side is the brighter one
    image, _ = step(angle)
    found = edge_elements(image, 1.5, 50, seeded())
    assert len(found.positions) > 15
    off = (found.orientations - math.radians(degrees) + math.pi / 2) % math.pi - math.pi / 2
    assert off.abs().max() < math.radians(2)
    x, y = (found.positions - 48).T
    assert (y * math.cos(angle) - x * math.sin(angle)).abs().max() < 0.1
    assert (torch.sign(found.contrasts) == (-1 if turned else 1)).all()
    seen = 0.6 * 1.5 / math.hypot(1.5, 1)  # the picture's own blur makes the slope gentler
    torch.testing.assert_close(found.contrasts.abs(), torch.full_like(found.contrasts, seen), atol=0.02, rtol=0)


def test_edges_of_a_disc_are_tangents():
    at = torch.arange(96) + 0.5 - 48
    y, x = torch.meshgrid(at, at, indexing="ij")
    found = edge_elements(torch.sigmoid((30 - torch.hypot(x, y)) / 0.7)[None], 1.5, 200, seeded())
    place = found.positions - 48
    torch.testing.assert_close(place.norm(dim=1), torch.full((len(place),), 30.0), atol=0.3, rtol=0)
    along = torch.stack([found.orientations.cos(), found.orientations.sin()], 1)
    assert ((along * place).sum(1) / 30).abs().max() < math.sin(math.radians(2))
    brighter = torch.stack([-found.orientations.sin(), found.orientations.cos()], 1) * found.contrasts.sign()[:, None]
    assert ((brighter * place).sum(1) < 0).all()  # inside
    assert len(place) > 2 * math.pi * 30 / 6 * 0.7  # no long gap between neighbours


def test_elements_lie_apart_and_are_as_many_as_wanted():
    image = grey(load("life", 200))
    found = edge_elements(image, 1.0, 100_000, seeded())
    assert pdist(found.positions.numpy()).min() > 2
    few = edge_elements(image, 1.0, 40, seeded())
    assert len(few.positions) == 40
    assert torch.equal(few.positions, found.positions[:40])
    assert not torch.equal(few.positions, edge_elements(image, 1.0, 40, seeded(1)).positions)
    strong = edge_elements(image, 1.0, 100_000, seeded(), least=0.3)
    assert 0 < len(strong.positions) < len(found.positions)
    assert strong.contrasts.abs().min() >= 0.3
    assert ((found.orientations >= 0) & (found.orientations <= math.pi)).all()


@pytest.mark.parametrize(("height", "found"), [(0.045, False), (0.055, True)])
def test_steps_from_a_twentieth_on_are_edges_unless_you_say_otherwise(height, found):
    image, _ = step(0.3, height=height, blur=0.3)
    assert (len(edge_elements(image, 1.5, 50, seeded()).positions) > 0) == found


def test_an_even_image_has_no_edge():
    assert len(edge_elements(torch.full((1, 40, 40), 0.5), 2.0, 10, seeded()).positions) == 0


GOOD = torch.rand(1, 40, 40, generator=seeded())


@pytest.mark.parametrize(
    ("image", "settings", "error", "message"),
    [
        (GOOD.int(), {}, TypeError, r"image: wanted Float\[Tensor, '1 h w'\], got i32\[1,40,40\]"),
        (GOOD.numpy(), {}, TypeError, r"image: wanted .*, got f32\[1,40,40\]\(numpy\)"),
        (GOOD[0], {}, ValueError, r"image: wanted Float\[Tensor, '1 h w'\]"),
        (GOOD.expand(3, -1, -1), {}, ValueError, r"got f32\[3,40,40\]"),
        (GOOD + 1, {}, ValueError, r"\[0, 1\]"),
        (GOOD * math.nan, {}, ValueError, r"\[0, 1\]"),
        (GOOD, {"sigma": 0.1}, ValueError, "sigma"),
        (GOOD, {"sigma": 7.0}, ValueError, "more than 42 pixels"),
        (GOOD, {"count": 0}, ValueError, "count"),
        (GOOD, {"least": 0.0}, ValueError, "least"),
    ],
)
def test_bad_images_are_named(image, settings, error, message):
    with pytest.raises(error, match=message):
        edge_elements(image, **({"sigma": 1.0, "count": 5, "generator": seeded()} | settings))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: load("nobody"), ValueError, "name: wanted one of aitzgorri"),
        (lambda: attribution("nobody"), ValueError, "name: wanted one of aitzgorri"),
        (lambda: load("china", 4), ValueError, "size: wanted 16 to 640"),
        (lambda: load("china", 641), ValueError, "size: wanted 16 to 640"),
        (lambda: grey(torch.ones(1, 4, 4)), ValueError, r"photograph: wanted Float.*got f32\[1,4,4\]"),
        (lambda: grey(torch.ones(3, 4, 4, dtype=torch.uint8)), TypeError, r"photograph: wanted Float.*got u8\[3,4,4\]"),
    ],
)
def test_bad_names_and_sizes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.fixture
def coordinates(monkeypatch):
    """A world of two photographs that show x, y and their own number."""

    def ruler(name, size):
        height, width = (20, 32) if name == "china" else (32, 24)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        return torch.stack([x, y, torch.full_like(x, name == "flower")]).float()

    monkeypatch.setattr(photographs, "load", ruler)
    return Photographs(["china", "flower"], window=6, size=32)


def test_a_pair_is_two_windows_side_by_side_or_one_above_the_other(coordinates):
    pairs = coordinates.sample(20_000, seeded())
    corners = torch.stack([pairs.first[:, :2, 0, 0], pairs.second[:, :2, 0, 0]], 1)  # x and y
    for member, at in ((pairs.first, corners[:, 0]), (pairs.second, corners[:, 1])):
        assert torch.equal(member[:, 0], (at[:, :1, None] + torch.arange(6)).expand(-1, 6, -1))
        assert torch.equal(member[:, 1], (at[:, 1, None, None] + torch.arange(6)[:, None]).expand(-1, -1, 6))
        assert (member[:, 2] == pairs.truth["photograph"][:, None, None]).all()
    ways, counts = (corners[:, 1] - corners[:, 0]).unique(dim=0, return_counts=True)
    assert ways.tolist() == [[-6, 0], [0, -6], [0, 6], [6, 0]]
    assert (counts - 5000).abs().max() < 5 * 5000**0.5
    china = corners[pairs.truth["photograph"] == 0]
    assert len(china) == pytest.approx(10_000, abs=500)
    for axis, most in ((0, 32), (1, 20)):
        beside = (china[:, 1] - china[:, 0]).abs()[:, axis] > 0
        first = china.amin(1)[beside, axis]  # the nearer one of two along this axis, uniform to the last pixel
        assert first.unique().tolist() == list(range(most - 12 + 1))
        assert first.mean().item() == pytest.approx((most - 12) / 2, abs=0.3)


def test_photographs_as_a_world():
    world = Photographs(["china", "life"], window=8, size=64)
    pairs, again = (world.sample(300, seeded(1)) for _ in range(2))
    assert pairs.first.shape == (300, 3, 8, 8)
    assert torch.equal(pairs.second, again.second)
    near, far = ((pairs.first - of).square().mean() for of in (pairs.second, pairs.second.roll(1, 0)))
    assert near < far
    dark = Photographs(["china"], window=8, size=64, views=lambda images, generator: images / 2).sample(50, seeded())
    assert dark.first.max() <= 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Photographs("china"), "names: wanted"),
        (lambda: Photographs([]), "names: wanted at least one"),
        (lambda: Photographs(["nobody"]), "name: wanted one of aitzgorri"),
        (lambda: Photographs(["china"], window=30, size=64), "window: wanted at most 21"),
        (lambda: Photographs(["china"], size=64).sample(0, seeded()), "n: wanted"),
        (
            lambda: Photographs(["china"], size=64, views=lambda x, g: x[:, :1]).sample(3, seeded()),
            r"views: .*\(3, 1, ",
        ),
    ],
)
def test_a_bad_world_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
