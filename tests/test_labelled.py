"""hssl.worlds.labelled: what is counted, balanced and held out, and clear words when a file is damaged."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hssl.worlds import labelled


def test_digits_are_balanced_and_in_turn():
    found = labelled.digits()
    assert found.pictures.shape == (5000, 1, 32, 32) and found.pictures.dtype == torch.float32
    assert found.pictures.min() == 0 and found.pictures.max() == 1
    assert found.classes[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert (found.classes[:2500].bincount() == 250).all()
    assert found.pictures[:, :, :2].sum() == 0  # the margin


def test_digits_are_what_they_say():
    """Each class's mean picture is nearer to its other half's mean than to any other class's."""
    found = labelled.digits()
    halves = [
        torch.stack([half[0][half[1] == k].mean(0).flatten() for k in range(10)])
        for half in ((found.pictures[:2500], found.classes[:2500]), (found.pictures[2500:], found.classes[2500:]))
    ]
    assert torch.cdist(*halves).argmin(1).tolist() == list(range(10))


def test_every_concept_as_every_vendor_draws_it():
    found = labelled.emoji()
    n = len(found.names)
    assert n > 700 and found.pictures.shape == (4 * n, 3, 32, 32)
    assert (torch.stack([found.classes, found.styles]).unique(dim=1).shape[1]) == 4 * n
    assert (found.pictures.flatten(1).std(1) > 0.01).all()  # none is blank
    assert sorted(found.names) == list(found.names) and len(set(found.names)) == n
    assert len(found.groups) == n and len(set(found.groups)) == 5


def test_vendors_draw_the_same_concept_alike():
    """The same concept of another vendor is nearer than one of another concept, more often than not."""
    found = labelled.emoji()
    n = len(found.names)
    x = found.pictures.flatten(1) - found.pictures.flatten(1).mean(1, keepdim=True)
    one, other = torch.nn.functional.normalize(x[:n]), torch.nn.functional.normalize(x[n : 2 * n])
    likeness = one @ other.T
    assert (likeness.diagonal()[:, None] > likeness).float().mean() > 0.75


def test_half_of_the_concepts_are_held_out():
    learn, held_out, whole = (labelled.emoji(held_out=of) for of in (False, True, None))
    assert not set(learn.names) & set(held_out.names)
    assert sorted(learn.names + held_out.names) == list(whole.names)
    where = whole.names.index(held_out.names[3])
    n, m = len(whole.names), len(held_out.names)
    assert torch.equal(held_out.pictures[2 * m + 3], whole.pictures[2 * n + where])
    assert held_out.classes[2 * m + 3] == 3 and held_out.styles[2 * m + 3] == 2
    assert whole.groups[where] == held_out.groups[3]


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
        labelled.digits()


def test_a_damaged_file_is_named(folder):
    (folder / "digits.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"digits\.png: damaged; install"):
        labelled.digits()
    Image.fromarray(np.zeros((28, 56), np.uint8)).save(folder / "digits.png")
    with pytest.raises(ValueError, match=r"digits\.png: wanted 5000 pictures, found 2"):
        labelled.digits()
    (folder / "emoji.json").write_text("{")
    with pytest.raises(ValueError, match=r"emoji\.json: damaged"):
        labelled.emoji()
