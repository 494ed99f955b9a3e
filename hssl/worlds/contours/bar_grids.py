"""Images of 4 × 4 patches whose bars depend on one scene, and tints that neighbours share: a shortcut.

Which patches of an image are a pair, and of what level, is left to `patches` and `pairing`; `BarGrids` pairs those of
one cell. Taught in: stacking_in_depth, "The phase diagram".
"""

import math
from typing import Annotated, Literal, NamedTuple

import torch
from beartype.vale import Is
from torch import Tensor

from hssl import patches
from hssl.checks import WORDS, Count, NonNegative, checked
from hssl.pairs import Pairs
from hssl.worlds.contours.contours import wrap

GRID, PATCH = 4, 8  # patches along an image, pixels along a patch
Scope = Literal["patch", "cell", "image"]
Jitter = Annotated[float, Is[lambda value: 0 <= value <= 100]]
WORDS[Jitter] = "a finite number ≥ 0, at most 100"
SIDES: dict[Scope, int] = {"patch": 4, "cell": 2, "image": 1}  # how many of each lie along an image
BASES = 4  # base orientations, π / 4 apart; with the sign of the curvature they make eight scenes
CURVATURE = 0.5  # radians, by which orientation changes over a unit of position
WIDTH, SHIFT = 0.22, 0.3  # standard deviations of a bar's profile, and of its shift across itself; a patch spans ± 1


class BarImages(NamedTuple):
    """A batch of images; rows belong together.

    >>> drawn = BarGrids(0.5, "patch").draw(5, g)
    >>> drawn.orientations.shape, drawn.tints.shape
    (torch.Size([5, 4, 4]), torch.Size([5, 4, 4, 3]))
    """

    images: Tensor  #: shape (n, 3, 32, 32), float32; a bar adds 1 along its ridge, and nothing is cut to a range
    scenes: Tensor  #: shape (n,), int64, 0 to 7: 2 · base, and 1 more where orientation rises along the diagonal
    orientations: Tensor  #: of the bars, shape (n, 4, 4), in radians, from x towards y (downwards), in [0, π)
    tints: Tensor  #: what is added to red, green and blue, shape (n, side, side, 3), side = 4, 2 or 1 by scope


class BarGrids:
    """Pairs of neighbouring patches of one cell: they share the scene, and the tint unless each patch has its own.

    All eight scenes are equally likely. A patch in row r and column c shows a bar of orientation
    base · π/4 ± ½ (r + c − 3) / 2, and jitter. Tints are independent of the scene. Red, green and blue have tints and
    noise of their own.

    Args:
        tint: standard deviation of the tints, ≥ 0.
        scope: what has one tint throughout: each "patch", each "cell" of 2 × 2 patches, or the whole "image".
        jitter: standard deviation of a bar's orientation about its scene's, in radians, 0 to 100.
        noise: standard deviation of every pixel, ≥ 0.
    Raises:
        ArgumentError: a standard deviation that is negative or not finite, or an unknown scope.

    >>> pairs = BarGrids(1.5).sample(4, g)
    >>> pairs.first.shape, {name: tuple(of.shape) for name, of in pairs.truth.items()}
    (torch.Size([4, 3, 8, 8]), {'scene': (4,), 'orientation': (4, 2), 'tint': (4, 3)})
    """

    @checked
    def __init__(self, tint: NonNegative, scope: Scope = "cell", *, jitter: Jitter = 0.25, noise: NonNegative = 0.15):
        self.scope: Scope = scope
        self.tint, self.jitter, self.noise = tint, jitter, noise

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs, one of each of n images: the second patch lies to the right of the first, or below it.

        Returns:
            Members of shape (n, 3, 8, 8). The truth of the first: its "scene", 0 to 7, shape (n,); the "orientation"
            of its bar, sine and cosine of twice the angle, shape (n, 2); and its "tint", shape (n, 3).
        Raises:
            ArgumentError: n < 1.
        """
        drawn = self.draw(n, generator)
        rows, cell = torch.arange(n, device=generator.device), torch.randint(4, (n,), **_chance(generator))
        within = patches.draw_neighbours(torch.ones(n, 2, 2, dtype=torch.bool, device=generator.device), generator)
        at = [2 * torch.stack([cell // 2, cell % 2], 1) + torch.stack([k // 2, k % 2], 1) for k in within]  # (n, 2)
        first, second = (patches.cut(drawn.images, rows, PATCH * corner, PATCH) for corner in at)
        (row, column), (above, before) = at[0].T, (at[0] * SIDES[self.scope] // GRID).T
        twice = 2 * drawn.orientations[rows, row, column]
        truth = {"scene": drawn.scenes, "orientation": torch.stack([twice.sin(), twice.cos()], 1)}
        return Pairs(first, second, truth | {"tint": drawn.tints[rows, above, before]})

    @checked
    def draw(self, n: Count, generator: torch.Generator) -> BarImages:
        """Draw n whole images, for encoders that see more than one patch.

        Raises:
            ArgumentError: n < 1.

        >>> BarGrids(0.5).draw(3, g).images.shape
        torch.Size([3, 3, 32, 32])
        """
        side, edge, chance = SIDES[self.scope], GRID * PATCH // SIDES[self.scope], _chance(generator)
        scenes, orientations = _draw(n, self.jitter, generator)
        tints = self.tint * torch.randn(n, side, side, 3, **chance)
        bars = _bars(orientations, SHIFT * torch.randn(n, GRID, GRID, **chance))
        images = torch.randn(n, 3, GRID * PATCH, GRID * PATCH, **chance).mul_(self.noise).add_(bars[:, None])
        images.view(n, 3, side, edge, side, edge).add_(tints.permute(0, 3, 1, 2)[:, :, :, None, :, None])
        return BarImages(images, scenes, wrap(orientations, 0.0, math.pi), tints)

    @checked
    def ceiling(self, n: Count, generator: torch.Generator, *, of: Scope = "cell") -> Tensor:
        """Best accuracy in naming the scene from the orientations of the bars in one window, known exactly up to π.

        Mean over n images of what the exact posterior gives the likeliest scene: the standard error is at most
        0.5 / √n. An encoder of pixels can reach less, as a bar's orientation is then not known exactly.

        Args:
            of: the window, whose position is known: "patch", "cell" or "image".
        Returns:
            Accuracy by position of the window, shape (side, side), side = 4, 2 or 1, float64.
        Raises:
            ArgumentError: n < 1, or an unknown window. ValueError: a world without jitter, which has no densities.

        >>> BarGrids(0.5).ceiling(100, g, of="image").item() > 0.99
        True
        """
        if not self.jitter:
            raise ValueError("jitter: wanted a finite number > 0, got 0")
        _, orientations = _draw(n, self.jitter, generator)
        away = wrap(orientations.double()[:, None] - _means(generator.device), 0.0, math.pi)  # (n, 8, 4, 4)
        reach = math.ceil(8 * self.jitter / math.pi) + 1  # further turns by π add nothing
        turned = torch.stack([away + math.pi * k for k in range(-reach, reach)])
        log_density = (-(turned**2) / (2 * self.jitter**2)).logsumexp(0)
        side = SIDES[of]
        window = log_density.view(n, 2 * BASES, side, GRID // side, side, GRID // side).sum((3, 5))
        return window.softmax(1).amax(1).mean(0)


def _draw(n: int, jitter: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    scenes = torch.randint(2 * BASES, (n,), **_chance(generator))
    return scenes, _means(generator.device)[scenes] + jitter * torch.randn(n, GRID, GRID, **_chance(generator))


def _means(device: torch.device) -> Tensor:
    """Orientations of each scene without jitter, shape (8, 4, 4)."""
    along = torch.arange(GRID, device=device)
    position = (along[:, None] + along - 3) / 2  # along the diagonal, −1.5 to 1.5
    base = torch.arange(BASES, device=device)[:, None, None, None] * (math.pi / BASES)
    sign = torch.tensor([-1.0, 1.0], device=device)[:, None, None]
    return (base + sign * CURVATURE * position).view(2 * BASES, GRID, GRID)


def _bars(orientations: Tensor, shifts: Tensor) -> Tensor:
    """A bar in each patch, of one colour, shape (n, 32, 32)."""
    at = torch.linspace(-1, 1, PATCH, device=orientations.device)
    across = at * orientations.sin()[:, :, None, :, None] - at[:, None, None] * orientations.cos()[:, :, None, :, None]
    across += shifts[:, :, None, :, None]  # (n, row, y, column, x)
    return across.square_().mul_(-1 / (2 * WIDTH**2)).exp_().reshape(-1, GRID * PATCH, GRID * PATCH)


def _chance(generator: torch.Generator) -> dict:
    return {"generator": generator, "device": generator.device}
