"""What people have as images, and what becomes of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from hssl.reading import read_folder, read_image

COLOUR = (157, 69, 113)
WANTED = torch.tensor(COLOUR) / 255


def plain(mode):
    image = Image.new("RGB", (6, 4), COLOUR)
    return image.quantize(4) if mode == "P" else image.convert(mode)


def gif(path):
    plain("RGB").quantize(8).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "RGBX"])
def test_every_mode_keeps_its_colour(mode):
    image = read_image(plain(mode))
    assert image.shape == (3, 4, 6) and image.dtype == torch.float32
    assert (image - WANTED[:, None, None]).abs().max() < 1e-6


def test_the_bytes_of_a_file_are_an_image_too(tmp_path):
    path = tmp_path / "a.png"
    plain("RGB").save(path)
    for source in (path.read_bytes(), memoryview(path.read_bytes())):
        assert torch.equal(read_image(source), read_image(path))
    with pytest.raises(ValueError, match="mine: this is no image, or it is damaged"):
        read_image(b"no image", name="mine")


@pytest.mark.parametrize("mode", ["HSV", "YCbCr"])
def test_other_colour_spaces(mode):
    assert (read_image(plain(mode)) - WANTED[:, None, None]).abs().max() < 3 / 255


def test_a_palette_keeps_its_colour(tmp_path):
    assert torch.allclose(read_image(gif(tmp_path / "a.gif"))[:, 1, 1], WANTED, atol=1e-6)


def test_grey_becomes_three_equal_channels():
    for image in (plain("L"), np.asarray(plain("L")), plain("1")):
        read = read_image(image)
        assert torch.equal(read[0], read[1]) and torch.equal(read[0], read[2])


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_alpha_lies_on_white(mode):
    image = Image.new("LA" if mode == "LA" else "RGBA", (2, 1), (0, 0) if mode == "LA" else (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 51) if mode == "LA" else (0, 0, 0, 51))  # a fifth of black
    if mode == "PA":
        image = image.convert("RGBA").quantize(4)
    assert torch.allclose(read_image(image)[:, 0], torch.tensor([1.0, 0.8]).expand(3, 2), atol=1e-6)


def test_a_transparent_palette_lies_on_white(tmp_path):
    image = Image.new("P", (2, 2), 0)
    image.putpalette([*COLOUR, 0, 0, 0])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "a.gif", transparency=1)
    read = read_image(tmp_path / "a.gif")
    assert read[:, 0, 0].tolist() == [1, 1, 1] and torch.allclose(read[:, 1, 1], WANTED)


def test_sixteen_bits_are_not_cut_off(tmp_path):
    values = np.linspace(0, 65535, 12).astype(np.uint16).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", values, Image.fromarray(values.astype(np.int32))):
        assert torch.allclose(read_image(source)[1].double(), torch.from_numpy(values / 65535), atol=1e-6)


def test_a_rotated_photograph_stands_upright(tmp_path):
    image = Image.new("RGB", (32, 16), "white")
    image.paste("black", (0, 0, 16, 16))  # left half black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    read = read_image(tmp_path / "a.jpg")
    assert read.shape == (3, 32, 16) and read[:, :8].mean() < 0.05 and read[:, 24:].mean() > 0.95


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.bool])
def test_every_dtype_gives_float32(dtype):
    read = read_image(torch.ones(3, 4, 5, dtype=dtype, requires_grad=dtype == torch.float32))
    assert read.dtype == torch.float32 and read.min() == 1 and not read.requires_grad


def test_shapes_of_arrays_and_tensors():
    for shape in ((5, 6), (5, 6, 1), (5, 6, 3), (5, 6, 4), (1, 5, 6), (3, 5, 6), (4, 5, 6), (2, 5, 6)):
        assert read_image(np.ones(shape)).shape == (3, 5, 6)
        assert read_image(torch.ones(shape)).shape == (3, 5, 6)
    ambiguous = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    assert read_image(ambiguous).shape == (3, 3, 4) and read_image(torch.from_numpy(ambiguous)).shape == (3, 4, 3)
    assert read_image(np.ones((1, 1, 3))).shape == (3, 1, 1)


@pytest.mark.parametrize("kind", ["file", "picture", "array", "clear"])
def test_size_is_that_of_the_longest_side(tmp_path, kind):
    values = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    picture.save(tmp_path / "a.jpg")
    clear = picture.convert("RGBA")
    source = {"file": tmp_path / "a.jpg", "picture": picture, "array": values, "clear": clear}[kind]
    assert read_image(source, size=40).shape == (3, 30, 40)
    assert read_image(source, size=4000).shape == (3, 90, 120)
    assert picture.size == (120, 90)  # the caller's image is left alone


def test_a_large_photograph_is_read_small(tmp_path):
    Image.new("L", (12_000, 9_000), 51).save(tmp_path / "large.jpg")
    read = read_image(tmp_path / "large.jpg", size=64)
    assert read.shape == (3, 48, 64) and torch.allclose(read, torch.tensor(0.2), atol=0.01)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.full((3, 3), 2.0), r"image: wanted floating-point numbers in \[0, 1\], got 2 to 2"),
        (np.full((3, 3), np.nan), r"image: wanted floating-point numbers in \[0, 1\], got nan"),
        (np.ones((3, 3), np.int64), "image: wanted bool, uint8, uint16 or .* got int64"),
        (np.ones((5, 5, 5)), "image: wanted shape"),
        (np.ones((0, 4)), "image: wanted an image, got no pixels"),
        (np.ones((2, 3, 4, 5)), "image: wanted shape"),
        ("nowhere.png", "nowhere.png: there is no such file"),
        ([["a"]], "image: wanted bool"),
        (None, "image: wanted shape"),
        (Image.new("RGB", (0, 3)), "image: wanted an image, got no pixels"),
        (torch.ones(3, 4, 4, device="meta"), "image: wanted a dense tensor with values, got .* on meta"),
        (torch.ones(4, 4).to_sparse(), "image: wanted a dense tensor"),
        (torch.ones(4, 4, dtype=torch.complex64), "image: wanted bool"),
        (Image.new("LAB", (2, 2)), "image: .*mode LAB"),
        (Image.fromarray(np.full((2, 2), 7.0, np.float32)), "image: wanted floating-point"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(source, says):
    with pytest.raises(ValueError, match=says):
        read_image(source)


def test_damaged_files_are_refused_by_name(tmp_path):
    plain("RGB").resize((200, 200)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.gif").write_bytes(b"")
    for name in ("half.png", "text.jpg", "empty.gif"):
        with pytest.raises(ValueError, match=name):
            read_image(tmp_path / name)


def test_a_folder_by_name(tmp_path):
    for name in ("b.png", "a.jpg", "C.PNG"):
        plain("RGB").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert list(read_folder(tmp_path)) == ["C.PNG", "a.jpg", "b.png"]
    with pytest.raises(ValueError, match="wanted at least 4 images, got 3"):
        read_folder(tmp_path, least=4)
    (tmp_path / "z.png").write_text("damaged")
    with pytest.raises(ValueError, match=r"z\.png: this is no image, or it is damaged"):
        read_folder(tmp_path)
