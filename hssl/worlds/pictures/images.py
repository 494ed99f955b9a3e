"""Images of any kind as a world, the reader's own too: a pair is two views of one image. Which windows show anything.

Images that come with the book are in `labelled` and `photographs`; what encoders make of them, to `training`.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hssl.checks import ArgumentError, Count, Fraction, NonNegative, checked, explained
from hssl.pairs import Pairs, View
from hssl.patches import grid
from hssl.reading import read_folder, read_image


class Images:
    """A finite set of images; a pair is two views of one of them.

    Images are drawn without replacement as long as there are enough of them, otherwise with.

    Args:
        images: shape (n, c, height, width), floating-point numbers; or a folder of images, or a sequence of what
            `read_image` reads, all of one shape: paths, PIL images, arrays, tensors.
        views: called as `views(images, generator)`, once for each member; gives images of the same shape.
        truth: by name, a factor of the images, as in `Pairs`; views are taken to keep it.
    Raises:
        ArgumentError: another shape or dtype, shapes that differ, a factor of another length, or (when sampled) views
            that change the shape.
        ValueError: an image that cannot be read; names it.

    >>> noisy = lambda x, g: x + 0.1 * torch.randn(x.shape, generator=g)
    >>> world = Images(torch.rand(50, 3, 8, 8, generator=g), noisy, {"parity": torch.arange(50) % 2})
    >>> pairs = world.sample(4, g)
    >>> pairs.first.shape, bool((pairs.first == pairs.second).any()), list(pairs.truth)
    (torch.Size([4, 3, 8, 8]), False, ['parity'])
    """

    @checked
    def __init__(self, images: Any, views: View, truth: dict[str, Tensor] | None = None):
        images = _read(images)
        self.images, self.views, self.truth = images, views, Pairs(images, images, truth or {}).truth

    def __len__(self) -> int:
        return len(self.images)

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """n pairs of views."""
        rows = draw_rows(n, len(self), generator)
        return Pairs(self.images, self.images, self.truth)[rows].viewed(self.views, generator)


def _read(images: Any) -> Tensor:
    """Shape (n, c, h, w): floating-point numbers as they are, all else through the reader."""
    if isinstance(images, str | Path):
        images = read_folder(images)
        names, images = [*images], [*images.values()]
    elif isinstance(images, list | tuple) or _unread(images):
        names = [str(one) if isinstance(one, str | Path) else f"images[{row}]" for row, one in enumerate(images)]
        if not len(images):
            raise ArgumentError("images: wanted at least one, got none")
        images = [read_image(one, name=name) for one, name in zip(images, names, strict=True)]
    else:
        return _batch(images)
    for name, image in zip(names, images, strict=True):
        if image.shape != images[0].shape:
            raise ArgumentError(
                f"{name}: wanted shape {tuple(images[0].shape)}, as {names[0]}, got {tuple(image.shape)}; cut or scale "
                "them to one shape"
            )
    return torch.stack(images)


def _unread(images: Any) -> bool:
    """Many images in one array of any dtype, or in one tensor of 8 or 16 bits."""
    if isinstance(images, np.ndarray):
        return images.ndim == 4
    return isinstance(images, Tensor) and images.ndim == 4 and images.dtype in (torch.uint8, torch.uint16)


@checked
def _batch(images: Float[Tensor, "n c h w"]) -> Tensor:
    return images


@checked
def affine(
    images: Float[Tensor, "n c size size"],
    generator: torch.Generator,
    *,
    rotation: NonNegative = 15.0,
    scale: Fraction = 0.15,
    shear: NonNegative = 0.2,
    shift: NonNegative = 2.0,
) -> Float[Tensor, "n c size size"]:
    """A view: each image turned, scaled, sheared and shifted a little, each by an amount of its own; 0 comes in.

    A pixel at (x, y) from the middle shows what was at (a·x cos t − (b·y sin t − h·y) + u, a·x sin t + b·y cos t + v).
    All amounts are uniform.

    Args:
        images: square ones.
        rotation: most degrees of t. scale: most that a and b depart from 1, each by itself; 0 to 1.
        shear: most of h. shift: most of u and of v, pixels.

    >>> affine(torch.ones(2, 1, 8, 8), g).shape
    torch.Size([2, 1, 8, 8])
    """

    most = [math.radians(rotation), scale, scale, shear, *[shift * 2 / images.shape[-1]] * 2]
    draws = 2 * torch.rand(6, len(images), generator=generator, device=generator.device) - 1
    t, a, b, h, u, v = (bound * draw for bound, draw in zip(most, draws, strict=True))
    a, b = 1 + a, 1 + b
    rows = [torch.stack(row, 1) for row in ((a * t.cos(), -b * t.sin() + h, u), (a * t.sin(), b * t.cos(), v))]
    field = torch.nn.functional.affine_grid(torch.stack(rows, 1).to(images), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, field, align_corners=False)


@checked
def inked(
    images: Float[Tensor, "n c h w"], size: Count, stride: Count | None = None, *, least: NonNegative = 0.02
) -> Bool[Tensor, "n rows cols"]:
    """Which windows of images show anything: in some channel their values deviate, by more than `least`.

    A window of one colour has nothing in it, whether that is the colour of the background or not.

    Args:
        size, stride: of the windows, as in `patches.grid`.
        least: standard deviation of the pixels of a window.
    Taught in: joint_incremental, "Windows, pairs and heads".

    >>> images = torch.zeros(1, 1, 4, 8)
    >>> images[0, 0, 1, 6] = 1
    >>> inked(images, 4)
    tensor([[[False,  True]]])
    """
    return (grid(images, size, stride).flatten(4).std(4) > least).any(3)


@explained
def draw_rows(n: Count, of: Count, generator: torch.Generator) -> Tensor:
    """n of so many rows, shape (n,), int64: without replacement as long as there are enough, otherwise with.

    >>> draw_rows(3, 3, g).sort().values
    tensor([0, 1, 2])
    """
    if n <= of:
        return torch.randperm(of, generator=generator, device=generator.device)[:n].cpu()
    return torch.randint(of, (n,), generator=generator, device=generator.device).cpu()
