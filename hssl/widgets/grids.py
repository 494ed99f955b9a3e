"""Pictures, and grids of patch vectors on them, as the page takes them; and what is similar to what.

The widget computes the same in the page. Where the vectors come from is left to encoders.
"""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from PIL import Image, ImageDraw

from hssl.widgets.mounting import as_numbers, decode, encode

DIVERGING = LinearSegmentedColormap.from_list("diverging", ["#a8dcff", "#0072b2", "#1c1c1c", "#d55e00", "#ffdfb0"])
#: Lowest value, highest value, and the colours between.
SCALES = {"cosine": (-1.0, 1.0, DIVERGING), "probability": (0.0, 1.0, mpl.colormaps["cividis"])}
OPACITY = 0.8  # of the map over the grey picture, here and in the style sheet


def as_picture(name: str, image) -> Image.Image:
    """An RGB picture from an array, shape (height, width, 3) or (height, width), uint8 or in [0, 1].

    Raises:
        ValueError: another shape, type or range.

    >>> as_picture("photo", np.zeros((4, 6))).size
    (6, 4)
    """
    image = image.detach().cpu().numpy() if hasattr(image, "detach") else np.asarray(image)
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or 0 in image.shape:
        raise ValueError(f"{name}: wanted shape (height, width, 3) or (height, width), got {image.shape}")
    if np.issubdtype(image.dtype, np.floating) and ((image >= 0) & (image <= 1)).all():
        image = np.uint8(np.round(image * 255))
    if image.dtype != np.uint8:
        raise ValueError(f"{name}: wanted uint8, or floating-point numbers in [0, 1], got {image.dtype}")
    return Image.fromarray(image).convert("RGB")


def as_windows(windows: dict | None) -> dict | None:
    """Window and stride by window size, checked.

    >>> as_windows({"8 px": (8, 4)})
    {'8 px': (8, 4)}
    """
    for level, window in (windows or {}).items():
        whole = np.shape(window) == (2,) and all(isinstance(side, int | np.integer) and side >= 1 for side in window)
        if not whole:
            raise ValueError(f"windows[{level!r}]: wanted window and stride, whole pixels >= 1, got {window}")
    return windows


def as_grid(name: str, vectors, size: tuple[int, int], window: tuple[int, int] | None) -> dict:
    """8-bit vectors of a grid of patches, and where they lie, as shares of the image: (x, y).

    Args:
        vectors: shape (rows, columns, dim).
        size: width and height of the image, in pixels.
        window: its side and stride, in pixels. None: the patches tile the image.
    Raises:
        ValueError: a wrong shape, values that are not finite, or a grid that the windows do not make.

    >>> grid = as_grid("vectors", np.ones((3, 2, 5)), (32, 48), (16, 16))
    >>> grid["rows"], grid["columns"], grid["cell"]
    (3, 2, [0.5, 0.3333333333333333])
    """
    vectors = as_numbers(name, vectors, 3, "(rows, columns, dim)")
    rows, columns = vectors.shape[:2]
    if window is None:
        cell = span = 1 / np.array([columns, rows])
    else:
        span, cell = (length / np.array(size) for length in window)
        fit = tuple((side - window[0]) // window[1] + 1 for side in reversed(size))
        if fit != (rows, columns):
            raise ValueError(f"{name}: wanted a grid of {fit} for windows of {window} pixels, got {(rows, columns)}")
    largest = np.abs(vectors).max(2, keepdims=True)
    scaled = np.round(vectors / np.where(largest > 0, largest, 1) * 127)
    where = {"rows": rows, "columns": columns, "cell": cell.tolist(), "window": span.tolist()}
    return where | {"vectors": encode(scaled, "i1")}


def as_scale(measure: str) -> dict:
    """Lowest and highest value of a measure, and the colours between.

    >>> as_scale("cosine")["low"], len(as_scale("cosine")["colours"])
    (-1.0, 17)
    """
    low, high, colours = SCALES[measure]
    return {"low": low, "high": high, "colours": [to_hex(colour) for colour in colours(np.linspace(0, 1, 17))]}


def check_names(name: str, given: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise a ValueError unless both hold the same names.

    >>> check_names("logits", {"16 px": 1}, ["8 px"])
    Traceback (most recent call last):
    ValueError: logits: wanted the names ['8 px'], got ['16 px']
    """
    if not given or set(given) != set(wanted):
        raise ValueError(f"{name}: wanted the names {list(wanted)}, got {list(given)}")


def locate(grid: dict, other: dict, row: int, column: int) -> tuple[int, int]:
    """Row and column of the patch of a grid whose cell holds the middle of a patch of another grid.

    >>> fine, coarse = (as_grid("vectors", np.ones((n, n, 1)), (8, 8), None) for n in (4, 2))
    >>> locate(coarse, fine, 3, 0)
    (1, 0)
    """
    found = []
    for axis, at, count in ((1, row, grid["rows"]), (0, column, grid["columns"])):
        middle = at * other["cell"][axis] + other["window"][axis] / 2
        edge = (grid["window"][axis] - grid["cell"][axis]) / 2
        found.append(min(max(int((middle - edge) / grid["cell"][axis] + 1e-9), 0), count - 1))
    return tuple(found)


def cosines(grid: dict, row: int, column: int) -> np.ndarray:
    """Cosine of every patch's vector with one patch's, shape (rows, columns); 0 where a vector has no length.

    >>> cosines(as_grid("vectors", np.array([[[1, 0], [-2, 0], [0, 3], [0, 0]]]), (4, 1), None), 0, 0).tolist()
    [[1.0, -1.0, 0.0, 0.0]]
    """
    vectors = decode(grid["vectors"], "i1").reshape(grid["rows"], grid["columns"], -1)
    squares = (vectors**2).sum(2)
    lengths = np.sqrt(squares * squares[row, column])
    return np.divide(vectors @ vectors[row, column], lengths, out=np.zeros_like(lengths), where=lengths > 0)


def draw_map(
    picture: Image.Image, grid: dict, values: np.ndarray, measure: str, chosen: tuple[int, int]
) -> Image.Image:
    """The values over a grey image, and a frame around the chosen patch.

    >>> grid = as_grid("vectors", np.ones((2, 2, 1)), (8, 8), None)
    >>> draw_map(Image.new("RGB", (8, 8)), grid, np.zeros((2, 2)), "cosine", (0, 1)).size
    (8, 8)
    """
    low, high, colours = SCALES[measure]
    lit = Image.fromarray(np.uint8(255 * colours((values - low) / (high - low))[:, :, :3]))
    cell, window = (np.array(grid[name]) * picture.size for name in ("cell", "window"))
    corner = np.round((window - cell) / 2).astype(int)
    extent = np.round(cell * (grid["columns"], grid["rows"])).astype(int)
    panel = picture.convert("L").convert("RGB")
    under = panel.crop((*corner, *(corner + extent)))
    panel.paste(Image.blend(under, lit.resize(under.size, Image.Resampling.NEAREST), OPACITY), tuple(corner))
    start = np.array(chosen[::-1]) * cell
    frame = np.round([*start, *(start + window - 1)]).astype(int)
    ImageDraw.Draw(panel).rectangle(tuple(np.maximum(frame, [0, 0, *frame[:2]])), outline="white", width=2)
    return panel
