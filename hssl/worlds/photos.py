"""Real photographs, each with its author and licence, and the edges in them.

What patches of them have in common is left to `patches` and `pairing`; contours whose law is known, to `contours`.
"""

import json
import math
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree
from sklearn.datasets import load_sample_images
from torch import Tensor

SAMPLES = ("china", "flower")  # scikit-learn's own
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


class EdgeElements(NamedTuple):
    """Short pieces of edges; rows belong together."""

    places: Tensor  #: shape (m, 2), x and y, pixels from the upper left corner, between pixels
    orientations: Tensor  #: shape (m,), radians in [0, π), of the edge: 0 is level, and y points downwards
    contrasts: Tensor  #: shape (m,): height of the step; positive where it is brighter towards (−sin, cos)


def names() -> list[str]:
    """All photographs: nine that come with the package, and scikit-learn's two."""
    return sorted([*_credits(), *SAMPLES])


def load(name: str, size: int | None = None) -> Tensor:
    """A photograph, shape (3, h, w), float32 in [0, 1].

    Args:
        size: longest edge in pixels, 16 up to what is stored; None means as it is stored.
    Raises:
        ValueError: an unknown name, or size out of range.
    """
    _check_name(name)
    if name in SAMPLES:
        photograph = Image.fromarray(_samples()[name])
    else:
        with (_folder() / f"{name}.jpg").open("rb") as file:
            photograph = Image.open(file).convert("RGB")
    if size is not None:
        longest = max(photograph.size)
        if not 16 <= size <= longest:
            raise ValueError(f"size: wanted 16 to {longest} pixels, got {size}")
        edges = [max(1, round(edge * size / longest)) for edge in photograph.size]
        photograph = photograph.resize(edges, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(photograph, dtype=np.float32) / 255).permute(2, 0, 1).contiguous()


def grey(photograph: Tensor) -> Tensor:
    """Its luma, shape (..., 1, h, w), from shape (..., 3, h, w)."""
    if not photograph.is_floating_point():
        raise TypeError(f"photograph: wanted floating-point numbers, got {photograph.dtype}")
    if photograph.ndim < 3 or photograph.shape[-3] != 3:
        raise ValueError(f"photograph: wanted shape (..., 3, h, w), got {tuple(photograph.shape)}")
    return (photograph * photograph.new_tensor(LUMA)[:, None, None]).sum(-3, keepdim=True)


def attribution(name: str) -> str:
    """Who made a photograph, under what licence it is here, and what was changed, in a line."""
    _check_name(name)
    if name in SAMPLES:
        return _sample_attribution(name)
    credit = _credits()[name]
    return '"{title}", {author}, {year}. {licence}, from {source}; {changes}.'.format(**credit)


def edge_elements(
    image: Tensor, sigma: float, count: int, generator: torch.Generator, *, least: float = 0.05
) -> EdgeElements:
    """Where the edges of a picture run, as single elements that lie apart.

    The gradient is taken with derivatives of a Gaussian. An edge is where it is steepest along its own direction,
    found to a fraction of a pixel. Neighbours along an edge would count it many times over: so elements are taken in
    random order, and none within 2 sigma of one that was taken. Statistics of pairs say nothing below that distance.

    Args:
        image: shape (1, h, w), in [0, 1].
        sigma: of the Gaussian, pixels; elements keep 3 sigma from the rim.
        count: how many elements are wanted at most.
        least: height of the lowest step that counts as an edge; a sharp step of height c has contrast c.
    Raises:
        TypeError: the image is no floating-point tensor.
        ValueError: another shape, a value outside [0, 1] or NaN, sigma outside 0.5 to 20, count < 1, least <= 0, or an
            image too small for any element.
    Source: Canny 1986; how natural edges follow each other, Geisler et al. 2001.
    """
    _check_image(image, sigma, count, least)
    pixels = image[0].double().cpu().numpy()
    dy, dx = (gaussian_filter(pixels, sigma, order=order) for order in ((1, 0), (0, 1)))
    steep = np.hypot(dx, dy) * sigma * math.sqrt(2 * math.pi)  # height of an ideal step
    places, steepest = _ridge(steep, dx, dy, math.ceil(3 * sigma))
    kept = steepest >= least
    places, steepest = places[kept], steepest[kept]
    order = torch.randperm(len(places), generator=generator, device=generator.device).tolist()
    chosen = _apart(places, order, 2 * sigma, count)
    places, steepest = places[chosen], steepest[chosen]
    gx, gy = (map_coordinates(slope, places.T[::-1], order=1) for slope in (dx, dy))
    course = np.arctan2(-gx, gy)  # with the brighter side towards (−sin, cos)
    contrasts = np.where((course >= 0) & (course < math.pi), steepest, -steepest)
    found = (places + 0.5, course % math.pi, contrasts)
    return EdgeElements(*(torch.from_numpy(values).to(image) for values in found))


def _ridge(steep: np.ndarray, dx: np.ndarray, dy: np.ndarray, rim: int) -> tuple[np.ndarray, np.ndarray]:
    """Where steepness is highest along the gradient: x and y as indices, shape (m, 2), and how high, shape (m,)."""
    inner = (slice(rim, -rim), slice(rim, -rim))
    y, x = (axis[inner].ravel() for axis in np.indices(steep.shape))
    length = np.hypot(dx, dy)[inner].ravel().clip(1e-12)
    ux, uy = dx[inner].ravel() / length, dy[inner].ravel() / length
    here = steep[inner].ravel()
    before, after = (map_coordinates(steep, [y + k * uy, x + k * ux], order=1) for k in (-1, 1))
    top = (here > before) & (here >= after) & (here > 1e-9)
    ux, uy, here, before, after = (values[top] for values in (ux, uy, here, before, after))
    shift = (before - after) / (2 * (before - 2 * here + after))  # vertex of the parabola through the three
    places = np.stack([x[top] + shift * ux, y[top] + shift * uy], 1)
    return places, here - (before - after) * shift / 4


def _apart(places: np.ndarray, order: list[int], distance: float, count: int) -> list[int]:
    """Indices in this order, each left out that lies within the distance of an earlier one, at most so many."""
    if not order:
        return []
    tree, taken, chosen = cKDTree(places), np.zeros(len(places), bool), []
    for index in order:
        if not taken[index]:
            chosen.append(index)
            taken[tree.query_ball_point(places[index], distance)] = True
            if len(chosen) == count:
                break
    return chosen


def _folder():
    return files("hssl.worlds") / "photographs"


@cache
def _credits() -> dict[str, dict[str, str]]:
    return json.loads((_folder() / "ATTRIBUTION.json").read_text(encoding="utf-8"))


@cache
def _samples() -> dict[str, np.ndarray]:
    bunch = load_sample_images()
    return {Path(path).stem: image for path, image in zip(bunch.filenames, bunch.images, strict=True)}


def _sample_attribution(name: str) -> str:
    """What scikit-learn's own note says of one of its two photographs."""
    (note,) = (part for part in load_sample_images().DESCR.split("Image: ") if part.startswith(f"{name}.jpg"))
    links = dict(re.findall(r"^\[(\d)\] (\S+)$", note, re.MULTILINE))
    words = " ".join(line for line in note.split("\n") if line and not line.startswith("["))
    return re.sub(r"\[(\d)\]", lambda match: f"({links[match[1]]})", words)


def _check_name(name: str) -> None:
    if name not in names():
        raise ValueError(f"name: wanted one of {', '.join(names())}, got {name!r}")


def _check_image(image: Tensor, sigma: float, count: int, least: float) -> None:
    if not (isinstance(image, Tensor) and image.is_floating_point()):
        raise TypeError(f"image: wanted a floating-point tensor, got {getattr(image, 'dtype', type(image))}")
    if image.ndim != 3 or image.shape[0] != 1:
        raise ValueError(f"image: wanted shape (1, h, w), got {tuple(image.shape)}")
    if not ((image >= 0) & (image <= 1)).all():
        raise ValueError("image: wanted values in [0, 1]")
    if not 0.5 <= sigma <= 20:
        raise ValueError(f"sigma: wanted 0.5 to 20 pixels, got {sigma}")
    if min(image.shape[1:]) <= 2 * math.ceil(3 * sigma):
        raise ValueError(f"image: wanted edges of more than {2 * math.ceil(3 * sigma)} pixels for that sigma")
    if count < 1 or not 0 < least < math.inf:
        raise ValueError(f"count, least: wanted at least 1, and above 0; got {count} and {least}")
