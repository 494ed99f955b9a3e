"""Drawn stimuli: edge elements as images of bars, and as the figures of perceptual grouping.

How likely two elements are to lie on one contour is left to `contours`, whose units of distance these are.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from hssl.checks import Count, Finite, NonNegative, Positive, checked, finite
from hssl.patches import pixel_grid
from hssl.worlds.contours.contours import Relations

#: The three ways to pair four arms, shape (3, 2, 2): as two lines that cross, or as two bends that meet.
PAIRINGS = torch.tensor([[[0, 2], [1, 3]], [[0, 1], [2, 3]], [[0, 3], [1, 2]]])
BACKGROUND = -1  # the group of elements that are on no contour
ATTEMPTS = 1000  # to find a path through the grid


class Elements(NamedTuple):
    """Elements of a figure; rows belong together, those of a contour in their order along it.

    >>> Elements(torch.zeros(1, 2), torch.zeros(1), torch.tensor([BACKGROUND])).groups
    tensor([-1])
    """

    positions: Float[Tensor, "m 2"]  #: shape (m, 2), x and y in units of the model, y downwards
    orientations: Float[Tensor, " m"]  #: shape (m,), in radians, from x towards y, in [0, π)
    groups: Int[Tensor, " m"]  #: shape (m,), int64: which contour, from 0, or BACKGROUND


@checked
def four_arms(angle: Finite, reach: Positive = 0.9) -> Elements:
    """Four arms around one point, as if two lines crossed there: groups are the first of the `PAIRINGS`.

    Arms 0 and 2 are opposite, and so are 1 and 3; each points at the centre.

    Args:
        angle: from arm 0 to arm 1, in radians. reach: of each arm's middle from the centre, > 0.

    >>> four_arms(0.7).groups
    tensor([0, 1, 0, 1])
    """
    directions = torch.tensor([0.0, angle, math.pi, math.pi + angle], dtype=torch.float32)
    return Elements(reach * _unit(directions), directions[:2].repeat(2) % math.pi, torch.tensor([0, 1, 0, 1]))


@checked
def ring(n: Count, radius: Positive) -> Elements:
    """n ≥ 3 elements on a circle, equally spaced, each a tangent.

    >>> ring(8, 2.0).positions.norm(dim=1).round().unique()
    tensor([2.])
    """
    if n < 3:
        raise ValueError(f"n: wanted at least 3 elements, got {n}")
    around = torch.arange(n) * (2 * math.pi / n)
    return Elements(radius * _unit(around), (around + math.pi / 2) % math.pi, torch.zeros(n, dtype=torch.long))


@checked
def box(across: Count, down: Count, spacing: Positive = 1.6) -> Elements:
    """Elements on a rectangle, clockwise as seen: so many along the top and the bottom, so many along either side.

    Those on one side are `spacing` apart; each corner is an empty half of that away from its two neighbours.

    >>> len(box(3, 2).positions)
    10
    """
    x, y = torch.arange(across) - (across - 1) / 2, torch.arange(down) - (down - 1) / 2
    top = torch.stack([x, torch.full((across,), -down / 2)], 1)
    right = torch.stack([torch.full((down,), across / 2), y], 1)
    positions = spacing * torch.cat([top, right, -top, -right])
    orientations = torch.tensor([0.0, math.pi / 2] * 2).repeat_interleave(torch.tensor([across, down] * 2))
    return Elements(positions, orientations, torch.zeros(len(positions), dtype=torch.long))


@checked
def scrambled(elements: Elements, generator: torch.Generator) -> Elements:
    """The same positions, and groups, with random orientations.

    >>> torch.equal(scrambled(box(3, 2), g).positions, box(3, 2).positions)
    True
    """
    draws = torch.rand(len(elements.positions), generator=generator, device=generator.device)
    return elements._replace(orientations=(math.pi * draws).to(elements.positions))


@checked
def snake(
    n: Count,
    generator: torch.Generator,
    *,
    grid: Count = 9,
    spacing: Positive = 1.6,
    jitter: NonNegative = 0.25,
    sharpest: Positive = 0.7,
) -> Elements:
    """A contour of n elements among others: rows 0 to n − 1 in order, then the background.

    Every cell of a square grid holds one element, off its middle by up to `jitter`. Only then is a path chosen among
    them, from neighbour to neighbour, and its elements are turned along it: the positions do not show which they are.

    Args:
        n: from 3 to `grid`². grid: cells along an edge, ≥ 3. spacing: edge of a cell.
        jitter: in cells, in [0, 0.5). sharpest: the largest turn between two links, in radians, in (0, π).
    Raises:
        ValueError: a setting is out of range, or no path was found in 1000 attempts.
    Source: after Field, Hayes & Hess 1993, whose path and background also have one spacing.

    >>> snake(9, g).groups[:10].tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 0, -1]
    """
    if grid < 3 or not 3 <= n <= grid**2:
        raise ValueError(f"n, grid: wanted a grid of at least 3, and 3 to {grid**2} elements; got {n}, {grid}")
    if jitter >= 0.5 or sharpest >= math.pi:
        raise ValueError(f"jitter, sharpest: wanted [0, 0.5) cells and (0, π), got {jitter}, {sharpest}")
    device = generator.device
    draws = torch.rand(grid**2, 3, generator=generator, device=device)
    cells = torch.cartesian_prod(*[torch.arange(grid, device=device) - (grid - 1) / 2] * 2)
    positions = spacing * (cells + jitter * (2 * draws[:, :2] - 1))
    path = _find_path(positions, cells, n, sharpest, generator)
    groups = torch.full((grid**2,), BACKGROUND, device=device)
    groups[path] = 0
    order = torch.cat([path, (groups == BACKGROUND).nonzero()[:, 0]])
    orientations = math.pi * draws[:, 2]
    orientations[path] = _along(positions[path])
    return Elements(positions[order], orientations[order], groups[order])


@checked
def as_segments(elements: Elements, *, length: Positive = 0.8) -> Tensor:
    """Elements as strokes of that length, shape (m, 4): x and y of either end, all in units of the model.

    >>> as_segments(ring(8, 2.0)).shape
    torch.Size([8, 4])
    """
    half = length / 2 * _unit(elements.orientations)
    return torch.cat([elements.positions - half, elements.positions + half], 1)


@checked
def draw_bars(orientations: Float[Tensor, " n"], contrasts: Float[Tensor, " n"], size: int = 12) -> Tensor:
    """Patches that hold one bar each in the middle, bright on black under a Gaussian window.

    Across the bar the width is 0.09 of the patch, the window's is 0.29 (standard deviations), and the brightness in
    the middle is the logistic function of the contrast. Exact for any angle, as the exponent is linear in
    cos 2θ and sin 2θ: −a² = −(x² + y²)/2 + cos 2θ (x² − y²)/2 + sin 2θ xy for the distance a from the axis.

    Args:
        orientations: θ, shape (n,), in radians, from x towards y, which is downwards.
        contrasts: shape (n,). size: 4 to 64 pixels.
    Returns:
        Shape (n, 1, size, size), in [0, 1].
    Raises:
        ArgumentError: an argument of another shape, dtype or range.
        ValueError: no bar at all, a value that is not finite, or a size out of range.

    >>> draw_bars(torch.zeros(3), torch.zeros(3)).shape
    torch.Size([3, 1, 12, 12])
    """
    finite(orientations=orientations, contrasts=contrasts)
    n = len(orientations)
    if not n or not 4 <= size <= 64:
        raise ValueError(f"orientations, size: wanted a bar or more, and 4 to 64 pixels; got {n}, {size}")
    x, y = ((axis - 0.5).to(orientations).flatten() for axis in pixel_grid(size))
    across, window = 1 / (2 * 0.09**2), 1 / (2 * 0.29**2)
    of_pixels = [across * (x * x - y * y) / 2, across * x * y, 1 + 0 * x, -(across / 2 + window) * (x * x + y * y)]
    of_bars = [(2 * orientations).cos(), (2 * orientations).sin(), logsigmoid(contrasts), 1 + 0 * contrasts]
    return (torch.stack(of_bars, 1) @ torch.stack(of_pixels)).exp_().view(-1, 1, size, size)


@checked
def two_patches(pairs: Relations, generator: torch.Generator, size: int = 12) -> Tensor:
    """Pairs as pixels: a patch with the bar of either element, all turned at random, and where the second lies.

    Args:
        pairs: fields of shape (n,). generator: draws the orientation of each first bar. size: as in `draw_bars`.
    Returns:
        Shape (n, 2 · size² + 3): the pixels of both patches, row by row; d/2 − 1; cosine and sine of twice the
        direction from the first to the second in the frame of the pixels, as a bar has no front.
    Raises:
        ArgumentError, ValueError: as `draw_bars`.
    Taught in: continuation, "From pixels".

    >>> pairs = Relations(torch.ones(5), *torch.zeros(4, 5))
    >>> two_patches(pairs, g).shape
    torch.Size([5, 291])
    """
    d, azimuth, turn, *contrasts = pairs
    heading = math.pi * torch.rand(len(d), generator=generator, device=generator.device)
    bars = zip((heading, heading + turn), contrasts, strict=True)
    drawn = [draw_bars(angle, contrast, size).flatten(1) for angle, contrast in bars]
    direction = 2 * (heading + azimuth)
    return torch.cat([*drawn, torch.stack([d / 2 - 1, direction.cos(), direction.sin()], 1)], 1)


def _find_path(positions: Tensor, cells: Tensor, n: int, sharpest: float, generator: torch.Generator) -> Tensor:
    """Indices of n neighbours in a row, none twice, with no turn above `sharpest`; shape (n,)."""
    links = positions[None] - positions[:, None]  # (m, m, 2)
    near = (cells[None] - cells[:, None]).abs().amax(-1) == 1
    heading = torch.atan2(links[..., 1], links[..., 0])
    for _ in range(ATTEMPTS):
        path = [int(torch.randint(len(positions), (), generator=generator, device=positions.device))]
        while len(path) < n:
            free = near[path[-1]].clone()
            free[path] = False
            if len(path) > 1:
                turn = heading[path[-1]] - heading[path[-2], path[-1]]
                free &= turn.cos() >= math.cos(sharpest)
            if not free.any():
                break
            path.append(int(torch.multinomial(free.float(), 1, generator=generator)))
        if len(path) == n:
            return torch.tensor(path, device=positions.device)
    raise ValueError(f"n, grid, sharpest: no path of {n} elements was found in {ATTEMPTS} attempts")


def _along(positions: Tensor) -> Tensor:
    """Orientations along a path, shape (n,): half way between its two links; at the ends as on a circle."""
    links = normalize(positions.diff(dim=0), dim=1)
    inner = links[1:] + links[:-1]
    inner = torch.atan2(inner[:, 1], inner[:, 0])
    first, last = torch.atan2(links[[0, -1], 1], links[[0, -1], 0])
    return torch.cat([(2 * first - inner[0])[None], inner, (2 * last - inner[-1])[None]]) % math.pi


def _unit(directions: Tensor) -> Tensor:
    return torch.stack([directions.cos(), directions.sin()], -1)
