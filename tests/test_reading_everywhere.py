"""One reader under everything: kinds of images that people have × public functions that take images."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from PIL import Image

from hssl import augment, patches
from hssl.reading import read_image
from hssl.widgets.grids import as_picture
from hssl.worlds.pictures import Images, Photographs, inked
from hssl.worlds.pictures.labelled import coloured
from hssl.worlds.pictures.photographs import _folder, edge_elements, grey, load, names

COLOUR = (157, 69, 113)
WHITE = (255, 255, 255)
RED = Image.new("RGB", (6, 4), COLOUR)
CLEAR = Image.new("RGBA", (6, 4), (0, 0, 0, 0))


def exif(path):
    """Upright it is 4 × 6 and dark above; it lies on its side in the file."""
    image = Image.new("RGB", (48, 32), WHITE)
    image.paste(0, (0, 0, 24, 32))
    tags = Image.Exif()
    tags[0x0112] = 6
    image.save(path, exif=tags, quality=95)


def sixteen(path):
    Image.fromarray(np.full((4, 6), 13107, np.uint16)).save(path)  # a fifth


#: By name, how it is made, and what the pixel at the upper left is, and how exactly.
FILES = {
    "palette.gif": (lambda path: RED.quantize(8).save(path), COLOUR, 0),
    "palette.png": (lambda path: RED.quantize(8).save(path), COLOUR, 0),
    "colour.png": (RED.save, COLOUR, 0),
    "colour.webp": (lambda path: RED.save(path, lossless=True), COLOUR, 0),
    "colour.bmp": (RED.save, COLOUR, 0),
    "grey.png": (Image.new("L", (6, 4), 51).save, (51,) * 3, 0),
    "grey_alpha.png": (Image.new("LA", (6, 4), (0, 51)).save, (204,) * 3, 0.01),
    "clear.png": (CLEAR.save, WHITE, 0),
    "turned.jpg": (exif, (0, 0, 0), 3),
    "sixteen.png": (sixteen, (51,) * 3, 0),
    "cmyk.jpg": (lambda path: RED.resize((32, 32)).convert("CMYK").save(path, quality=100), COLOUR, 3),
    "cmyk.tif": (RED.convert("CMYK").save, COLOUR, 0),
    "one.png": (Image.new("RGB", (1, 1), COLOUR).save, COLOUR, 0),
    "bit.png": (Image.new("1", (6, 4), 1).save, WHITE, 0),
}
IN_MEMORY = {
    "HSV": (RED.convert("HSV"), COLOUR, 3),
    "CMYK": (RED.convert("CMYK"), COLOUR, 0),
    "RGBA": (CLEAR, WHITE, 0),
    "LA": (Image.new("LA", (6, 4), (0, 51)), (204,) * 3, 0.01),
    "uint8 array": (np.asarray(RED), COLOUR, 0),
    "uint16 array": (np.full((4, 6), 13107, np.uint16), (51,) * 3, 0),
    "float array": (np.asarray(RED) / 255, COLOUR, 1e-4),
    "uint8 tensor": (torch.from_numpy(np.array(RED)).permute(2, 0, 1), COLOUR, 0),
    "uint16 tensor": (torch.full((4, 6), 13107, dtype=torch.uint16), (51,) * 3, 0),
    "one pixel": (np.array([[COLOUR]], np.uint8), COLOUR, 0),
}
#: What takes images of every kind: from an image, the colour of its first pixel from 0 to 255.
TAKERS = {
    "read_image": lambda source: 255 * read_image(source)[:, 0, 0],
    "Images": lambda source: 255 * Images([source, source], augment.quarter_turn).images[1, :, 0, 0],
    "widgets": lambda source: torch.tensor(as_picture("image", source).getpixel((0, 0))).float(),
}
WINDOW = torch.zeros(1).long(), torch.zeros(1, 2).long()
#: What takes floating-point tensors alone, all else is refused with the way to get them.
REFUSERS = {
    "grid": lambda images: patches.grid(images, 2),
    "cut": lambda images: patches.cut(images, *WINDOW, 2),
    "orientations": lambda images: patches.orientations(images),
    "colour_histogram": lambda images: patches.colour_histogram(images),
    "inked": lambda images: inked(images, 2),
    "grey": lambda images: grey(images),
    "edge_elements": lambda images: edge_elements(images, 1.0, 9, torch.Generator()),
    "coloured": lambda images: coloured(images, torch.zeros(1)),
    "colour": lambda images: augment.colour(images, torch.Generator()),
    "crop": lambda images: augment.crop(images, torch.Generator()),
    "affine": lambda images: __import__("hssl.worlds.pictures", fromlist=["affine"]).affine(images, torch.Generator()),
}
RAW = {
    "path": "photo.jpg",
    "PIL": RED,
    "list": [RED],
    "uint8 array": np.asarray(RED)[None],
    "float array": np.zeros((1, 3, 4, 4)),
    "uint8 tensor": torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
    "uint16 tensor": torch.zeros(1, 1, 4, 4, dtype=torch.uint16),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind(tmp_path, name, taker):
    make, colour, exactly = FILES[name]
    make(tmp_path / name)
    found = TAKERS[taker](tmp_path / name)
    assert (found - torch.tensor(colour)).abs().max() <= exactly + (1e-4 if taker != "widgets" else 0.5)


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("name", IN_MEMORY)
def test_images_in_memory_of_every_kind(name, taker):
    source, colour, exactly = IN_MEMORY[name]
    assert (TAKERS[taker](source) - torch.tensor(colour)).abs().max() <= exactly + (1e-4 if taker != "widgets" else 0.5)


@pytest.mark.parametrize("function", REFUSERS)
@pytest.mark.parametrize("kind", RAW)
def test_whatever_was_not_read_is_refused_and_the_reader_named(function, kind):
    with pytest.raises(ValueError, match=r"^\w+: wanted .* got .*; hssl.reading.read_image makes"):
        REFUSERS[function](RAW[kind])


def test_masks_labels_and_half_precision_are_cut_as_they_are():
    for dtype in (torch.bool, torch.int64, torch.float16, torch.float64):
        images = torch.ones(1, 1, 4, 4, dtype=dtype)
        assert patches.grid(images, 2).dtype == patches.cut(images, *WINDOW, 2).dtype == dtype


def test_images_of_a_folder_of_arrays_and_of_tensors(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    wanted = torch.from_numpy(values).permute(0, 3, 1, 2).float() / 255
    for row, image in enumerate(values):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    paths = sorted(tmp_path.glob("*.png"))
    as_tensor = torch.from_numpy(values).permute(0, 3, 1, 2)
    for mine in (tmp_path, str(tmp_path), paths, [*map(str, paths)], values, [*values], tuple(wanted), as_tensor):
        assert torch.equal(Images(mine, augment.quarter_turn).images, wanted)
    beyond = torch.randn(3, 5, 4, 4)  # floating-point tensors stay as they are
    assert Images(beyond, augment.quarter_turn).images is beyond


@pytest.mark.parametrize(
    ("mine", "says"),
    [
        ([], "images: wanted at least one, got none"),
        ("no_such_folder", "no_such_folder: there is no such folder"),
        (["no_such.png"], "no_such.png: there is no such file"),
        ([RED, None], r"images\[1\]: wanted shape"),
        ([RED, np.full((4, 6), 7.0)], r"images\[1\]: wanted floating-point numbers in \[0, 1\], got 7 to 7"),
        ([RED, RED.resize((4, 6))], r"images\[1\]: wanted shape \(3, 4, 6\), as images\[0\], got \(3, 6, 4\); cut or"),
        (RED, r"images: wanted Float.*; hssl.reading.read_image"),
        (np.zeros((4, 6, 3)), r"images: wanted Float.*; hssl.reading.read_image"),
    ],
)
def test_what_is_no_set_of_images_is_refused_by_name(mine, says):
    with pytest.raises(ValueError, match=says):
        Images(mine, augment.quarter_turn)


@pytest.mark.parametrize("taker", ["read_image", "Images", "widgets"])
def test_a_damaged_file_is_refused_by_name(tmp_path, taker):
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(ValueError, match=r"half\.png: |image: "):
        TAKERS[taker](tmp_path / "half.png")


def test_the_photographs_that_come_with_the_book_are_read_bit_for_bit():
    for name in set(names()) - {"china", "flower"}:
        assert torch.equal(load(name), read_image(_folder() / f"{name}.jpg"))
    assert Photographs(["wine"]).images.shape[1] == 3


@pytest.mark.slow
def test_a_very_large_file_takes_bounded_memory(tmp_path):
    """108 million pixels of one bit: three bytes each at most, and never a float each."""
    Image.new("1", (12_000, 9_000), 1).save(tmp_path / "large.png")
    script = """
        import resource, sys
        from hssl.reading import read_image
        most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        before = most()
        read = read_image(sys.argv[1], size=64)
        print(most() - before, tuple(read.shape), read.min().item())
    """
    done = subprocess.check_output([sys.executable, "-c", textwrap.dedent(script), tmp_path / "large.png"], text=True)
    memory, _, rest = done.partition(" ")
    assert int(memory) < 4.5 * 12_000 * 9_000 and rest == "(3, 48, 64) 1.0\n"
