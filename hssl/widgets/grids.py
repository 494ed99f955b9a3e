"""Pictures, and grids of patch vectors on them, as the page takes them; and what is similar to what.

The widget computes the same in the page. Where the vectors come from is left to encoders.
"""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
from jaxtyping import Real
from matplotlib.colors import LinearSegmentedColormap, to_hex
from PIL import Image, ImageDraw

from hssl.checks import ArgumentError, Whole, explained, one_of
from hssl.reading import read_image
from hssl.widgets.mounting import as_numbers, decode, encode

DIVERGING = LinearSegmentedColormap.from_list("diverging", ["#a8dcff", "#0072b2", "#1c1c1c", "#d55e00", "#ffdfb0"])
#: Lowest value, highest value, and the colours between.
SCALES = {"cosine": (-1.0, 1.0, DIVERGING), "probability": (0.0, 1.0, mpl.colormaps["cividis"])}
OPACITY = 0.8  # of the map over the grey picture, here and in the style sheet


@explained
def as_picture(name: str, image) -> Image.Image:
    """An RGB picture of 8 bits from whatever `read_image` reads: a path, a PIL image, an array, a tensor.

    Raises:
        ValueError: another shape, type or range; or a file that cannot be read.

    >>> as_picture("photo", np.zeros((4, 6))).size
    (6, 4)
    """
    image = read_image(image, name=name).permute(1, 2, 0).numpy()
    return Image.fromarray(np.uint8(np.round(image * 255)))


@explained
def as_grid(name: str, vectors) -> dict:
    """8-bit vectors of the patches that tile an image, shape (rows, columns, dim), and where they lie.

    "cell" is the size of a patch as a share of the image, (x, y); the page takes it for the "window" as well.

    Raises:
        ValueError: a wrong shape, or values that are not finite.

    >>> grid = as_grid("vectors", np.ones((3, 2, 5)))
    >>> grid["rows"], grid["columns"], grid["cell"]
    (3, 2, [0.5, 0.3333333333333333])
    """
    vectors = as_numbers(name, vectors, 3, "(rows, columns, dim)")
    rows, columns = vectors.shape[:2]
    cell = [1 / columns, 1 / rows]
    largest = np.abs(vectors).max(2, keepdims=True)
    scaled = np.round(vectors / np.where(largest > 0, largest, 1) * 127)
    return {"rows": rows, "columns": columns, "cell": cell, "window": cell, "vectors": encode(scaled, "i1")}


@explained
def as_scale(measure: str) -> dict:
    """Lowest and highest value of a measure, and the colours between.

    >>> as_scale("cosine")["low"], len(as_scale("cosine")["colours"])
    (-1.0, 17)
    """
    one_of("measure", measure, SCALES)
    low, high, colours = SCALES[measure]
    return {"low": low, "high": high, "colours": [to_hex(colour) for colour in colours(np.linspace(0, 1, 17))]}


@explained
def check_names(name: str, given: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise a ValueError unless both hold the same names.

    >>> check_names("logits", {"16 px": 1}, ["8 px"])
    Traceback (most recent call last):
    ValueError: logits: wanted the names ['8 px'], got ['16 px']
    """
    if set(given) != set(wanted):
        raise ValueError(f"{name}: wanted the names {list(wanted)}, got {list(given)}")


@explained
def locate(grid: dict, other: dict, row: Whole, column: Whole) -> tuple[int, int]:
    """Row and column of the patch of a grid that holds the middle of a patch of another grid.

    >>> fine, coarse = (as_grid("vectors", np.ones((n, n, 1))) for n in (4, 2))
    >>> locate(coarse, fine, 3, 0)
    (1, 0)
    """
    down = (2 * row + 1) * grid["rows"] // (2 * other["rows"])
    return down, (2 * column + 1) * grid["columns"] // (2 * other["columns"])


@explained
def cosines(grid: dict, row: Whole, column: Whole, other: dict | None = None) -> np.ndarray:
    """Cosine of every patch's vector with one patch's, shape (rows, columns); 0 where a vector has no length.

    Args:
        grid: whose patches. row, column: of the one patch. other: the grid that it is of; None means the same.

    >>> cosines(as_grid("vectors", np.array([[[1, 0], [-2, 0], [0, 3], [0, 0]]])), 0, 0).tolist()
    [[1.0, -1.0, 0.0, 0.0]]
    """
    vectors, others = (
        decode(of["vectors"], "i1").reshape(of["rows"], of["columns"], -1) for of in (grid, other or grid)
    )
    if row >= others.shape[0] or column >= others.shape[1]:
        raise ArgumentError(
            f"row, column: wanted a patch of {others.shape[0]} × {others.shape[1]}, got {row}, {column}"
        )
    one = others[row, column]
    lengths = np.sqrt((vectors**2).sum(2) * (one @ one))
    return np.divide(vectors @ one, lengths, out=np.zeros_like(lengths), where=lengths > 0)


@explained
def draw_map(
    picture: Image.Image,
    grid: dict,
    values: Real[np.ndarray, "rows columns"],
    measure: str,
    pins: Iterable[tuple[int, int]],
) -> Image.Image:
    """The values over a grey image, and frames around the pinned patches, white and black.

    >>> grid = as_grid("vectors", np.ones((2, 2, 1)))
    >>> draw_map(Image.new("RGB", (8, 8)), grid, np.zeros((2, 2)), "cosine", [(0, 1), (1, 1)]).size
    (8, 8)
    """
    one_of("measure", measure, SCALES)
    if len(pins := list(pins)) != 2:
        raise ArgumentError(f"pins: wanted two, got {len(pins)}")
    low, high, colours = SCALES[measure]
    lit = Image.fromarray(np.uint8(255 * colours((values - low) / (high - low))[:, :, :3]))
    grey = picture.convert("L").convert("RGB")
    panel = Image.blend(grey, lit.resize(grey.size, Image.Resampling.NEAREST), OPACITY)
    cell = np.array(grid["cell"]) * picture.size
    for pin, colour in zip(pins, ("white", "black"), strict=True):
        start = np.array(pin[::-1]) * cell
        frame = np.round([*start, *(start + cell - 1)]).astype(int)
        ImageDraw.Draw(panel).rectangle(tuple(np.maximum(frame, [0, 0, *frame[:2]])), outline=colour, width=2)
    return panel
