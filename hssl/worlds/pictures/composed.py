"""Images composed of two photographs, so that the border between them is known at every pixel.

Who learns from them, and what two of their windows are compared by, is left to others.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hssl.checks import Count, ImageSize, checked
from hssl.pairs import View
from hssl.patches import cut
from hssl.worlds.pictures.photographs import load
from hssl.worlds.textures import Boundaries

LEAST = 0.3  #: of the area, for either region


class Composed(NamedTuple):
    """Images of two regions.

    >>> compose(["china", "flower"], 3, g, size=32, scale=64).regions.shape
    torch.Size([3, 32, 32])
    """

    images: Tensor  #: shape (n, 3, size, size), in [0, 1]
    regions: Tensor  #: shape (n, size, size), bool: which pixels come from the first photograph
    sources: Tensor  #: shape (n, 2): the two photographs, as indices into the names


@checked
def compose(
    names: list[str] | tuple[str, ...],
    n: Count,
    generator: torch.Generator,
    *,
    size: ImageSize = 128,
    scale: Count = 480,
    matched: bool = False,
    views: View | None = None,
) -> Composed:
    """n images, each made of squares of two different photographs and divided by a line that wanders.

    The line is the boundary of `Boundaries`; each region has at least 30 % of the area.

    Args:
        names: of photographs, at least two.
        size: side length of the images, 8 to 1024 pixels. scale: longest side of the photographs, pixels.
        matched: give the second square mean and standard deviation of the first, channel by channel.
        views: called with all squares and a generator before the squares are joined; None leaves them as they are.
    Raises:
        ValueError: fewer than two photographs, an unknown one, or a size that is larger than one of them.
    Taught in: similarity, "A truth for photographs".

    >>> found = compose(["china", "flower"], 2, g, size=32, scale=64, matched=True)
    >>> found.images.shape, found.sources.sort(1).values.tolist()
    (torch.Size([2, 3, 32, 32]), [[0, 1], [0, 1]])
    """
    if len(names) < 2:
        raise ValueError(f"names: wanted at least two photographs, got {len(names)}")
    photographs = [load(name, scale) for name in names]
    shortest = min(min(photograph.shape[1:]) for photograph in photographs)
    if size > shortest:
        raise ValueError(f"size: wanted at most {shortest} pixels, the shortest side of the photographs, got {size}")
    sources = torch.stack([torch.randperm(len(names), generator=generator)[:2] for _ in range(n)])
    squares = [torch.cat([_square(photographs[k], size, generator) for k in column]) for column in sources.T]
    first, second = squares if views is None else (views(square, generator) for square in squares)
    second = _matched(second, first) if matched else second
    regions = _divided(n, size, generator)
    return Composed(torch.where(regions[:, None], first, second), regions, sources)


def _square(photograph: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """One square of a photograph, shape (1, 3, size, size), each equally likely."""
    room = torch.tensor(photograph.shape[1:]) - size + 1
    corner = (torch.rand(1, 2, generator=generator) * room).long()
    return cut(photograph[None], torch.zeros(1).long(), corner, size)


def _matched(squares: Tensor, to: Tensor) -> Tensor:
    """The squares with mean and standard deviation of others, channel by channel; held to [0, 1]."""
    mean, spread = squares.mean((2, 3), keepdim=True), squares.std((2, 3), keepdim=True)
    standard = (squares - mean) / spread.clamp_min(1e-3)
    return (standard * to.std((2, 3), keepdim=True) + to.mean((2, 3), keepdim=True)).clamp(0, 1)


def _divided(n: int, size: int, generator: torch.Generator) -> Tensor:
    """n divisions into two regions, shape (n, size, size), bool; drawn again where one of the two is too small."""
    world, kept = Boundaries(size=size, window=4), []
    while len(kept) < n:
        land = world.boundary(world.texture.sample_latents(n, generator)).distance > 0
        area = land.float().mean((1, 2))
        kept += land[(area > LEAST) & (area < 1 - LEAST)]
    return torch.stack(kept[:n])
