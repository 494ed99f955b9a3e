"""hssl.worlds.scenes.causal3dident, on a small folder in the layout of the release."""

import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from hssl.worlds.scenes import LATENTS, Latents, resample
from hssl.worlds.scenes.causal3dident import Causal3DIdent
from hssl.worlds.scenes.release import SCALE

COUNT = 4  # pictures a class


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    root, random = tmp_path_factory.mktemp("released"), np.random.default_rng(0)
    for split in ("trainset", "testset"):
        for k in range(7):
            (root / split / f"images_{k}").mkdir(parents=True)
            raw = random.uniform(-1, 1, (COUNT, 10)).astype(np.float32)
            np.save(root / split / f"raw_latents_{k}.npy", raw)
            np.save(root / split / f"latents_{k}.npy", (raw * SCALE).astype(np.float32))
            for i in range(COUNT):
                pixels = np.full((224, 224, 3), 30 * k + i, np.uint8)
                Image.fromarray(pixels).save(root / split / f"images_{k}" / f"{i:0{2 + k}d}.png")
    return root


@pytest.fixture
def folder(released, tmp_path):
    return shutil.copytree(released, tmp_path / "copy")


def test_items(released):
    data = Causal3DIdent(released)
    assert len(data) == 7 * COUNT
    picture, k, latents = data[2 * COUNT + 3]
    assert (picture.size, picture.getpixel((5, 5)), k) == ((224, 224), (63, 63, 63), 2)
    np.testing.assert_array_equal(latents, np.load(released / "trainset" / "raw_latents_2.npy")[3])
    assert Causal3DIdent(released, "test", transform=lambda picture: picture.size)[0][0] == (224, 224)


def test_the_nearest_scene_is_of_the_same_class(released):
    data = Causal3DIdent(released)
    everything = Latents(data.labels, data.values)
    assert torch.equal(data.bank.nearest(everything), torch.arange(len(data)))
    changed = resample(everything, "hues", torch.Generator().manual_seed(0))
    found = data.bank.nearest(changed)
    assert torch.equal(data.labels[found], data.labels)
    distance = (data.values[found] - changed.values).norm(dim=1)
    for i in range(len(data)):
        same = data.values[data.labels == data.labels[i]]
        assert distance[i] == pytest.approx((same - changed.values[i]).norm(dim=1).min().item(), abs=1e-6)


def test_the_nearest_scene_but_itself(released):
    data = Causal3DIdent(released)
    everything = Latents(data.labels, data.values)
    found = data.bank.nearest(everything, but=torch.arange(len(data)))
    assert (found != torch.arange(len(data))).all()
    for i in range(len(data)):
        others = (data.labels == data.labels[i]) & (torch.arange(len(data)) != i)
        nearest = (data.values[others] - data.values[i]).norm(dim=1).min()
        assert (data.values[found[i]] - data.values[i]).norm() == pytest.approx(nearest.item(), abs=1e-6)


def test_pairs_are_two_items_of_one_class(released):
    pairs = Causal3DIdent(released, redraw="hues", size=16).sample(60, torch.Generator().manual_seed(0))
    assert pairs.first.shape == (60, 3, 16, 16)
    first, second = ((images[:, 0, 0, 0] * 255).round().long() for images in (pairs.first, pairs.second))
    assert torch.equal(first // 30, pairs.truth["class"]) and torch.equal(second // 30, pairs.truth["class"])
    assert (first != second).all()  # never the first itself
    alone = Causal3DIdent(released, size=16).sample(5, torch.Generator().manual_seed(0))
    assert torch.equal(alone.first, alone.second)


def test_named_latents_are_drawn_around_their_old_values(released, monkeypatch):
    data, asked = Causal3DIdent(released, redraw="rotations", sigma=0.01), []
    monkeypatch.setattr(data.bank, "nearest", lambda latents, but: asked.append((latents, but)) or but)
    pairs = data.sample(50, torch.Generator().manual_seed(0))
    ((latents, items),) = asked
    old, redrawn = data.values[items], [LATENTS.index(name) for name in ("alpha", "beta", "gamma")]
    kept = [column for column in range(10) if column not in redrawn]
    assert torch.equal(latents.values[:, kept], old[:, kept])
    change = latents.values[:, redrawn] - old[:, redrawn]
    assert (change != 0).all() and change.std().item() == pytest.approx(0.01, rel=0.2)
    assert torch.equal(latents.labels, pairs.truth["class"])


def test_a_class_of_one_item_has_no_pair(folder):
    for k in range(7):
        for name in ("raw_latents", "latents"):
            path = folder / f"trainset/{name}_{k}.npy"
            np.save(path, np.load(path)[:1])
        for path in sorted((folder / f"trainset/images_{k}").iterdir())[1:]:
            path.unlink()
    with pytest.raises(ValueError, match=r"class .* has a single item"):
        Causal3DIdent(folder, redraw="hues").sample(4, torch.Generator().manual_seed(0))


def test_an_image_of_16_bits_is_refused(folder):
    path = folder / "trainset/images_0/01.png"
    Image.fromarray(np.full((224, 224), 3000, np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"01\.png: .*wanted 8 bits a channel"):
        Causal3DIdent(folder).image(1)


def spoil_text(path):
    path.write_bytes(b"not this")


def shorten(path):
    path.write_bytes(path.read_bytes()[:-40])


def save(f, raw):
    """Latents of class 1, and the scaled ones that belong to them."""
    np.save(f / "trainset/raw_latents_1.npy", raw)
    np.save(f / "trainset/latents_1.npy", (raw * SCALE).astype(np.float32))


def archive(f, k=1):
    with (f / f"trainset/raw_latents_{k}.npy").open("wb") as file:
        np.savez_compressed(file, np.zeros((10**6, 10)))  # 80 MB in 80 kB


def promise(f, shape):
    """A header of more than any disk holds, before four rows."""
    with (f / "trainset/raw_latents_1.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(320))


def mixed_up(f):
    for name in ("latents", "raw_latents"):
        shutil.copy(f / f"trainset/{name}_0.npy", f / f"trainset/{name}_1.npy")


RAW = "raw_latents_1.npy: damaged; unpack it again .*"


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (archive, RAW + "wanted a single array, got an archive"),
        (lambda f: np.save(f / "trainset/raw_latents_1.npy", np.full((4, 10), "0.5")), RAW + "wanted finite numbers"),
        (lambda f: np.save(f / "trainset/raw_latents_1.npy", np.full((4, 10), None)), RAW),
        (lambda f: save(f, np.full((4, 10), 0.5j)), RAW + "wanted finite numbers .* got complex128"),
        (lambda f: save(f, np.full((4, 10), True)), RAW + "wanted finite numbers .* got bool"),
        (lambda f: save(f, np.zeros(())), RAW + r"got float64 of shape \(\)"),
        (lambda f: save(f, np.zeros((0, 10))), RAW + r"got float64 of shape \(0, 10\)"),
        (lambda f: promise(f, (10**12, 10)), RAW),
        (lambda f: promise(f, (10**18, 10**18)), RAW),
        (lambda f: promise(f, (-4, 10)), RAW),
        (
            lambda f: save(f, np.sort(np.random.default_rng(0).uniform(-1, 1, (12, 10)), 0)),
            "raw_latents_1.npy: is sorted",
        ),
        (mixed_up, "raw_latents_0.npy and raw_latents_1.npy are the same; unpack it again"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::numpy.exceptions.ComplexWarning")
def test_latents_that_are_something_else(folder, spoil, names):
    spoil(folder)
    with pytest.raises(ValueError, match=names):
        Causal3DIdent(folder)


def test_an_image_that_promises_more_than_there_is(folder):
    """A PNG of 10¹⁰ pixels in 100 bytes."""
    path = folder / "trainset/images_0/01.png"
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 10**5, 10**5, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(9))),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(ValueError, match=r"01\.png: damaged; unpack it again .*bomb"):
        Causal3DIdent(folder)[1]


@pytest.mark.parametrize(
    ("spoil", "error", "names"),
    [
        (lambda f: shutil.rmtree(f / "trainset"), FileNotFoundError, "raw_latents_0.npy"),
        (lambda f: (f / "trainset/latents_3.npy").unlink(), FileNotFoundError, "latents_3.npy"),
        (lambda f: shutil.rmtree(f / "trainset/images_5"), FileNotFoundError, "images_5"),
        (lambda f: shorten(f / "trainset/raw_latents_1.npy"), ValueError, "raw_latents_1.npy: damaged"),
        (lambda f: spoil_text(f / "trainset/latents_1.npy"), ValueError, "latents_1.npy: damaged"),
        (lambda f: np.save(f / "trainset/raw_latents_1.npy", np.zeros((4, 9))), ValueError, r"shape \(4, 9\)"),
        (lambda f: np.save(f / "trainset/raw_latents_1.npy", np.full((4, 10), np.nan)), ValueError, "finite"),
        (
            lambda f: shutil.copy(f / "trainset/raw_latents_0.npy", f / "trainset/raw_latents_1.npy"),
            ValueError,
            "latents_1.npy: does not belong",
        ),
        (
            lambda f: np.save(f / "trainset/raw_latents_1.npy", np.full((4, 10), 1.9)),
            ValueError,
            "raw_latents_1.npy: wanted values in",
        ),
        (lambda f: (f / "trainset/images_2/0003.png").unlink(), ValueError, "images_2: holds 3 images"),
        (lambda f: (f / "trainset/images_2/0001.png").unlink(), ValueError, "images_2: image number 1 is missing"),
        (
            lambda f: (f / "trainset/images_2/0001.png").rename(f / "trainset/images_2/cow.png"),
            ValueError,
            "cow.png: wanted a number",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(folder, spoil, error, names):
    spoil(folder)
    with pytest.raises(error, match=names):
        Causal3DIdent(folder)


@pytest.mark.parametrize("spoil", [spoil_text, shorten])
def test_a_damaged_picture_is_named_when_it_is_read(folder, spoil):
    path = folder / "trainset/images_0/01.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)).save(path)
    spoil(path)
    data = Causal3DIdent(folder)
    with pytest.raises(ValueError, match=r"01\.png: damaged"):
        data[1]


def test_an_unknown_split(released):
    with pytest.raises(ValueError, match="split: wanted one of train, test, got 'valid'"):
        Causal3DIdent(released, "valid")
