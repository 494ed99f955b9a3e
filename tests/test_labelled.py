"""hssl.worlds.pictures.labelled: what is counted, balanced and held out, and clear words when a file is damaged."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hssl.worlds.pictures import affine, labelled


def test_digits_are_balanced_and_in_turn():
    images, classes = labelled.Digits().images, labelled.Digits().truth["class"]
    assert images.shape == (5000, 1, 32, 32) and images.dtype == torch.float32
    assert images.min() == 0 and images.max() == 1
    assert classes[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert (classes[:2500].bincount() == 250).all()
    assert images[:, :, :2].sum() == 0  # the margin


def saturated(images):
    """The hue of the ink, in turns, where there is most of it; shape (n,)."""
    n = torch.arange(len(images))
    most = images.sum(1).flatten(1).argmax(1)
    rgb = images.flatten(2)[n, :, most]
    angle = 2 * torch.pi * torch.arange(3) / 3
    return torch.atan2((rgb * angle.sin()).sum(1), (rgb * angle.cos()).sum(1)) / (2 * torch.pi) % 1


@pytest.mark.parametrize("shared", ["digit", "hue", ("digit", "hue"), ()])
def test_coloured_digits_share_what_they_say(shared, g):
    world = labelled.ColouredDigits(shared, held_out=True)
    pairs = world.sample(2000, g)
    hues = [saturated(images) for images in (pairs.first, pairs.second)]
    angle = 2 * torch.pi * hues[0]
    torch.testing.assert_close(pairs.truth["hue"], torch.stack([angle.sin(), angle.cos()], 1), atol=1e-3, rtol=0)
    apart = (hues[0] - hues[1] + 0.5) % 1 - 0.5
    if "hue" in shared:
        assert apart.abs().max() < 1e-3
    else:  # the difference of two independent hues is uniform
        assert torch.histc(apart, 8, -0.5, 0.5).sub(250).abs().max() < 4 * 250**0.5
    inks = [images.amax(1).flatten(1) for images in (pairs.first, pairs.second)]
    inks = [ink / ink.norm(dim=1, keepdim=True) for ink in inks]
    alike = ((inks[0] * inks[1]).sum(1) > (inks[0] * inks[1].roll(1, 0)).sum(1)).float().mean()
    assert alike > 0.75 if "digit" in shared else 0.45 < alike < 0.55  # than the partner of another
    assert pairs.truth["digit"].bincount(minlength=10).min() > 150


def test_coloured_digits_are_no_more_than_there_are(g):
    with pytest.raises(ValueError, match="n: wanted at most 2500"):
        labelled.ColouredDigits("digit").sample(2501, g)
    with pytest.raises(ValueError, match="shared: wanted"):
        labelled.ColouredDigits(("digit", "size"))
    with pytest.raises(ValueError, match="shared: wanted"):
        labelled.ColouredDigits(5)


def test_colours_are_cosines_and_equally_bright():
    hue = torch.linspace(0, 1, 13)
    rgb = labelled.coloured(torch.ones(13, 1, 1, 1), hue).flatten(1)
    torch.testing.assert_close(rgb.sum(1), torch.full((13,), 1.5))
    assert rgb[[0, 4, 8]].argmax(1).tolist() == [0, 1, 2] and rgb[[0, 4, 8]].amax(1).min() > 0.999


def test_digits_are_what_they_say():
    """Each class's mean image is nearer to its other half's mean than to any other class's."""
    worlds = [labelled.Digits(held_out=of) for of in (False, True)]
    halves = [
        torch.stack([half.images[half.truth["class"] == k].mean(0).flatten() for k in range(10)]) for half in worlds
    ]
    assert torch.cdist(*halves).argmin(1).tolist() == list(range(10))


def test_every_concept_as_every_vendor_draws_it():
    world = labelled.Emoji()
    n = len(world)
    assert n > 700 and world.images.shape == (4, n, 3, 32, 32)
    assert (world.images.flatten(2).std(2) > 0.01).all()  # none is blank
    assert sorted(world.names) == list(world.names) and len(set(world.names)) == n
    assert len(world.group) == n and len(set(world.groups)) == 5


def test_vendors_draw_the_same_concept_alike():
    """The same concept of another vendor is nearer than one of another concept, more often than not."""
    x = labelled.Emoji().images.flatten(2)
    one, other = torch.nn.functional.normalize(x - x.mean(2, keepdim=True), dim=2)[:2]
    likeness = one @ other.T
    assert (likeness.diagonal()[:, None] > likeness).float().mean() > 0.75


def test_half_of_the_concepts_are_held_out():
    learn, held_out, whole = (labelled.Emoji(held_out=of) for of in (False, True, None))
    assert not set(learn.names) & set(held_out.names)
    assert sorted(learn.names + held_out.names) == list(whole.names)
    where = whole.names.index(held_out.names[3])
    assert torch.equal(held_out.images[2, 3], whole.images[2, where])
    assert whole.groups[whole.group[where]] == held_out.groups[held_out.group[3]]


def test_all_sources_have_a_credit_and_a_licence():
    credits = json.loads((labelled._folder() / "ATTRIBUTION.json").read_text())
    assert set(credits) == {*labelled.VENDORS, "digits"}
    for name, credit in credits.items():
        assert len((labelled._folder() / f"{name}-{credit['licence']}.txt").read_text()) > 500


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(labelled, "_folder", lambda: tmp_path)
    for function in (labelled._windows, labelled._concepts):
        function.cache_clear()
    yield tmp_path
    for function in (labelled._windows, labelled._concepts):
        function.cache_clear()


def test_a_missing_file_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"digits\.png: missing; install"):
        labelled.Digits()


def test_a_damaged_file_is_named(folder):
    (folder / "digits.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"digits\.png: damaged; install"):
        labelled.Digits()
    Image.fromarray(np.zeros((28, 56), np.uint8)).save(folder / "digits.png")
    with pytest.raises(ValueError, match=r"digits\.png: wanted 5000 images, found 2"):
        labelled.Digits()
    (folder / "emoji.json").write_text("{")
    with pytest.raises(ValueError, match=r"emoji\.json: damaged"):
        labelled.Emoji()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_pair_of_digits_is_one_digit_seen_twice():
    whole = labelled.Digits()
    pairs = labelled.Digits(views=lambda images, generator: images).sample(5000, seeded())
    assert torch.equal(pairs.first, pairs.second)
    assert pairs.truth["class"].bincount().tolist() == [500] * 10  # each once
    order = torch.randperm(5000, generator=seeded())
    assert torch.equal(pairs.first, whole.images[order])
    assert torch.equal(pairs.truth["class"], whole.truth["class"][order])


def test_digits_move_a_little_unless_you_say_otherwise():
    pairs, g = labelled.Digits().sample(200, seeded()), seeded()
    drawn = labelled.Digits().images[torch.randperm(5000, generator=g)[:200]]
    assert torch.equal(pairs.first, affine(drawn, g))
    assert torch.equal(pairs.second, affine(drawn, g))
    assert (pairs.first != pairs.second).flatten(1).any(1).all()


def test_halves_of_digits_are_apart():
    still = dict(views=lambda images, generator: images)
    learn, held_out = (labelled.Digits(**still, held_out=of).sample(2500, seeded()).first for of in (False, True))
    whole = labelled.Digits().images
    for own, wanted in ((learn, whole[:2500]), (held_out, whole[2500:])):
        torch.testing.assert_close(own.sum((0, 1)), wanted.sum((0, 1)))
    assert len(labelled.Digits(held_out=True)) == len(labelled.Digits(held_out=False)) == 2500


def test_a_pair_of_emoji_is_one_concept_of_two_vendors():
    world = labelled.Emoji()
    n = len(world)
    pairs = world.sample(n, seeded())
    concept, vendor = draws = [], []
    for member in (pairs.first, pairs.second):
        rows = torch.cdist(member.flatten(1), world.images.flatten(2).flatten(0, 1)).argmin(1)
        draws[0].append(rows % n)
        draws[1].append(rows // n)
    assert (concept[0] == concept[1]).float().mean() > 0.99  # a few concepts look the same
    assert concept[0].unique().shape[0] > 0.99 * n  # without replacement
    assert torch.equal(vendor[0], pairs.truth["vendor"])
    counts = torch.stack(vendor).T.unique(dim=0, return_counts=True)
    assert counts[0].tolist() == [[a, b] for a in range(4) for b in range(4) if a != b]
    assert (counts[1] - n / 12).abs().max() < 5 * (n / 12) ** 0.5
    assert (world.group[concept[0]] == pairs.truth["group"]).float().mean() > 0.99


def test_halves_of_emoji_and_views_of_them():
    learn, held_out = labelled.Emoji(held_out=False), labelled.Emoji(held_out=True)
    assert not set(learn.names) & set(held_out.names)
    black = labelled.Emoji(views=lambda images, generator: 0 * images, held_out=True).sample(5, seeded())
    assert black.first.max() == black.second.max() == 0
    assert torch.equal(held_out.sample(50, seeded()).second, held_out.sample(50, seeded()).second)
    assert len(held_out.sample(2000, seeded())) == 2000  # more than there are


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: labelled.Digits(held_out=1), "held_out: wanted bool or None, got 1"),
        (lambda: labelled.Emoji(held_out="half"), "held_out: wanted bool or None"),
        (lambda: labelled.Emoji(views=1), "views: wanted"),
        (lambda: labelled.Emoji().sample(0, seeded()), "n: wanted a whole number ≥ 1"),
        (lambda: labelled.Emoji(lambda images, g: images[..., :8]).sample(2, seeded()), r"views: .*\(2, 3, 32, 8\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
