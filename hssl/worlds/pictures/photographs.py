"""Real photographs, the edges in them, and neighbouring windows of them as a world.

Their authors and licences are in data/photographs/ beside this file, and in scikit-learn's own note. Other pairs of
patches are left to `patches` and `pairing`; contours whose distribution is known, to `contours`.
"""

import hashlib
import io
import json
import math
import re
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import scipy  # its parts load when they are used
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from hssl.checks import Count, Positive, check_fields, checked, explained, one_of
from hssl.files import packaged, read_file
from hssl.pairs import Pairs, View
from hssl.patches import cut

SAMPLES = ("china", "flower")  # scikit-learn's own
CREDIT = ("title", "author", "year", "licence", "source", "changes", "sha256")
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


class EdgeElements(NamedTuple):
    """Short pieces of edges; rows belong together.

    >>> edge_elements(grey(load("china", 64)), 1.0, 9, g).positions.shape
    torch.Size([9, 2])
    """

    positions: Tensor  #: shape (m, 2), x and y, pixels from the upper left corner, between pixels
    orientations: Tensor  #: shape (m,), radians in [0, π), of the edge: 0 is level, and y points downwards
    contrasts: Tensor  #: shape (m,): height of the step; positive where it is brighter towards (−sin, cos)


class Photographs:
    """Photographs as a world: a pair is two windows side by side or one above the other, shape (n, 3, window, window).

    Photograph, direction, which of the two is the first and where they lie, to a pixel, are drawn uniformly.
    Truth: "photograph", in the order of `names`.

    Args:
        names: of photographs; None means all of them.
        window: side length of a window, pixels.
        size: longest side of the photographs, pixels; None means as they are stored, of several sizes.
        views: of both members, as in `Images`; none unless you say otherwise.
    Raises:
        ValueError: an unknown name, none at all, size out of range, or windows of which no two fit side by side.
    Taught in: similarity, "Photographs".

    >>> world = Photographs(["china", "flower"], window=8, size=64)
    >>> pairs = world.sample(20, g)
    >>> pairs.first.shape, pairs.truth["photograph"].unique()
    (torch.Size([20, 3, 8, 8]), tensor([0, 1]))
    """

    @checked
    def __init__(
        self,
        names: list[str] | tuple[str, ...] | None = None,
        *,
        window: Count = 16,
        size: Count | None = 320,
        views: View | None = None,
    ):
        self.names, self.window, self.views = _all_names() if names is None else list(names), window, views
        if not self.names:
            raise ValueError("names: wanted at least one photograph")
        photographs = [load(name, size) for name in self.names]
        self.sizes = torch.tensor([of.shape[1:] for of in photographs])  # (photographs, 2), height and width
        if 2 * window > self.sizes.min():
            raise ValueError(f"window: wanted at most {self.sizes.min() // 2}, half the shortest side, got {window}")
        height, width = self.sizes.amax(0).tolist()
        self.images = torch.stack(
            [torch.nn.functional.pad(of, (0, width - of.shape[2], 0, height - of.shape[1])) for of in photographs]
        )

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """n pairs of neighbouring windows."""

        def draw(count: int) -> Tensor:
            return torch.randint(count, (n,), generator=generator, device=generator.device).cpu()

        rows, down, swapped = draw(len(self.names)), draw(2), draw(2).bool()
        step = self.window * torch.stack([down, 1 - down], 1)  # from the upper or left window to the other, (n, 2)
        room = self.sizes[rows] - self.window - step + 1
        corner = (torch.rand(n, 2, generator=generator, device=generator.device).cpu() * room).long()
        one, other = (cut(self.images, rows, at, self.window) for at in (corner, corner + step))
        first, second = (torch.where(swapped[:, None, None, None], b, a) for a, b in ((one, other), (other, one)))
        return Pairs(first, second, {"photograph": rows}).viewed(self.views, generator)


def names() -> list[str]:
    """All photographs: nine that come with the package, and scikit-learn's two.

    >>> len(names()), names()[-1]
    (11, 'wine')
    """
    return sorted([*_credits(), *SAMPLES])


_all_names = names  # where `names` is an argument


@checked
def load(name: str, size: Count | None = None) -> Float[Tensor, "3 h w"]:
    """A photograph, shape (3, h, w), float32 in [0, 1].

    Args:
        size: longest side in pixels, 16 up to what is stored; None means as it is stored.
    Raises:
        ValueError: an unknown name, or size out of range. FileNotFoundError, ValueError: its file is missing or
            damaged; names it.

    >>> load("china", 64).shape
    torch.Size([3, 43, 64])
    """
    one_of("name", name, names())
    if name in SAMPLES:
        photograph = Image.fromarray(_samples()[name])
    else:
        photograph = read_file(_folder() / f"{name}.jpg", partial(_opened, digest=_credits()[name]["sha256"]))
    if size is not None:
        longest = max(photograph.size)
        if not 16 <= size <= longest:
            raise ValueError(f"size: wanted 16 to {longest} pixels, got {size}")
        sides = [max(1, round(side * size / longest)) for side in photograph.size]
        photograph = photograph.resize(sides, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(photograph, dtype=np.float32) / 255).permute(2, 0, 1).contiguous()


@checked
def grey(photograph: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 1 h w"]:
    """Its luma, shape (..., 1, h, w), from shape (..., 3, h, w).

    >>> grey(torch.ones(3, 4, 5)).shape
    torch.Size([1, 4, 5])
    """
    return (photograph * photograph.new_tensor(LUMA)[:, None, None]).sum(-3, keepdim=True)


@explained
def attribution(name: str, *, short: bool = False) -> str:
    """Who made a photograph, under what licence it is here, and what was changed, in a line; `short`: but for changes.

    >>> attribution("seeding", short=True)
    '"seeding", Clemens Engelhardt, CC0-1.0'
    """
    one_of("name", name, names())
    if name in SAMPLES:
        note = _sample_attribution(name)
        author = note.split("reserved by ")[1].split()[0]
        return f'"{name}", {author}, CC-BY-2.0' if short else note
    credit = _credits()[name]
    if short:
        return '"{title}", {author}, {licence}'.format(**credit)
    return '"{title}", {author}, {year}. {licence}, from {source}; {changes}.'.format(**credit)


@checked
def edge_elements(
    image: Float[Tensor, "1 h w"], sigma: Positive, count: Count, generator: torch.Generator, *, least: Positive = 0.05
) -> EdgeElements:
    """Where the edges of an image run, as single elements that lie apart.

    The gradient is taken with derivatives of a Gaussian. An edge is where it is steepest along its own direction,
    found to a fraction of a pixel. Neighbours along an edge would count it many times over: so elements are taken in
    random order, and none within 2 sigma of one that was taken. Statistics of pairs say nothing below that distance.

    Args:
        image: shape (1, h, w), in [0, 1].
        sigma: of the Gaussian, pixels; elements keep 3 sigma from the rim.
        count: how many elements are wanted at most.
        least: height of the lowest step that counts as an edge; a sharp step of height c has contrast c.
    Raises:
        ArgumentError: another shape or dtype, count < 1, or least <= 0.
        ValueError: a value outside [0, 1] or NaN, sigma outside 0.5 to 20, or an image too small for any element.
    Source: Canny 1986; how natural edges follow each other, Geisler et al. 2001.

    >>> image = torch.zeros(1, 40, 40)
    >>> image[..., 20:] = 1  # an edge that runs down, brighter towards (−1, 0)
    >>> found = edge_elements(image, 1.0, 50, g)
    >>> found.positions[:, 0].unique(), found.orientations.mul(2 / torch.pi).unique(), found.contrasts.sign().unique()
    (tensor([20.]), tensor([1.]), tensor([-1.]))
    """
    rim = math.ceil(3 * sigma)
    if not ((image >= 0) & (image <= 1)).all():
        raise ValueError("image: wanted values in [0, 1]")
    if not 0.5 <= sigma <= 20:
        raise ValueError(f"sigma: wanted 0.5 to 20 pixels, got {sigma}")
    if min(image.shape[1:]) <= 2 * rim:
        raise ValueError(f"image: wanted sides of more than {2 * rim} pixels for that sigma")
    pixels = image[0].double().cpu().numpy()
    orders: tuple[Any, ...] = ((1, 0), (0, 1))  # of the derivatives, along y and x
    dy, dx = (scipy.ndimage.gaussian_filter(pixels, sigma, order=order) for order in orders)
    steep = np.hypot(dx, dy) * sigma * math.sqrt(2 * math.pi)  # height of an ideal step
    positions, steepest = _ridge(steep, dx, dy, rim)
    kept = (steepest >= least).nonzero()[0]
    order = kept[torch.randperm(len(kept), generator=generator, device=generator.device).cpu()]
    chosen = _apart(positions, order, 2 * sigma, count)
    positions, steepest = positions[chosen], steepest[chosen]
    gx, gy = (scipy.ndimage.map_coordinates(slope, positions.T[::-1], order=1) for slope in (dx, dy))
    course = np.arctan2(-gx, gy)  # with the brighter side towards (−sin, cos)
    contrasts = np.where((course >= 0) & (course < math.pi), steepest, -steepest)
    found = (positions + 0.5, course % math.pi, contrasts)
    return EdgeElements(*(torch.from_numpy(values).to(image) for values in found))


def _ridge(steep: np.ndarray, dx: np.ndarray, dy: np.ndarray, rim: int) -> tuple[np.ndarray, np.ndarray]:
    """Where steepness is highest along the gradient: x and y as indices, shape (m, 2), and how high, shape (m,)."""
    inner = (slice(rim, -rim), slice(rim, -rim))
    y, x = np.indices(steep.shape)[:, *inner].reshape(2, -1)
    length = np.hypot(dx, dy)[inner].ravel().clip(1e-12)
    ux, uy = dx[inner].ravel() / length, dy[inner].ravel() / length
    here = steep[inner].ravel()
    before, after = (scipy.ndimage.map_coordinates(steep, [y + k * uy, x + k * ux], order=1) for k in (-1, 1))
    top = (here > before) & (here >= after) & (here > 1e-9)
    ux, uy, here, before, after = (values[top] for values in (ux, uy, here, before, after))
    shift = (before - after) / (2 * (before - 2 * here + after))  # vertex of the parabola through the three
    positions = np.stack([x[top] + shift * ux, y[top] + shift * uy], 1)
    return positions, here - (before - after) * shift / 4


def _apart(positions: np.ndarray, order: np.ndarray, distance: float, count: int) -> list[int]:
    """Indices in this order, each left out that lies within the distance of an earlier one, at most so many."""
    tree, taken, chosen = scipy.spatial.KDTree(positions), np.zeros(len(positions), bool), []
    for index in order:
        if not taken[index]:
            chosen.append(index)
            taken[tree.query_ball_point(positions[index], distance)] = True
            if len(chosen) == count:
                break
    return chosen


def _folder():
    return packaged("worlds/pictures/data/photographs")


@cache
def _credits() -> dict[str, dict[str, str]]:
    return read_file(_folder() / "ATTRIBUTION.json", _read_credits)


def _read_credits(file: IO[bytes]) -> dict[str, dict[str, str]]:
    credits = json.load(file)
    for credit in credits.values():
        check_fields(credit, dict.fromkeys(CREDIT, str))
    return credits


def _opened(file: IO[bytes], digest: str) -> Image.Image:
    """Of a JPEG that lost a part, Pillow would fill in grey."""
    content = file.read()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("wanted the file that ATTRIBUTION.json has the digest of")
    return Image.open(io.BytesIO(content)).convert("RGB")


def _bunch():
    from sklearn.datasets import load_sample_images  # here, for scikit-learn loads as long as PyTorch

    return load_sample_images()


@cache
def _samples() -> dict[str, np.ndarray]:
    bunch = _bunch()
    return {Path(path).stem: image for path, image in zip(bunch.filenames, bunch.images, strict=True)}


def _sample_attribution(name: str) -> str:
    """What scikit-learn's own note says of one of its two photographs."""
    (note,) = (part for part in _bunch().DESCR.split("Image: ") if part.startswith(f"{name}.jpg"))
    links = dict(re.findall(r"^\[(\d)\] (\S+)$", note, re.MULTILINE))
    words = " ".join(line for line in note.split("\n") if line and not line.startswith("["))
    return re.sub(r"\[(\d)\]", lambda match: f"({links[match[1]]})", words)
