"""Edge elements as pictures: bars, anti-aliased strokes, and the figures of perceptual grouping.

How likely two elements are to lie on one contour is left to `contours`, whose units of distance these are.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from hssl.worlds.strokes import BOX, stroke

#: The three ways to pair four arms, shape (3, 2, 2): as two lines that cross, or as two bends that meet.
PAIRINGS = torch.tensor([[[0, 2], [1, 3]], [[0, 1], [2, 3]], [[0, 3], [1, 2]]])
BACKGROUND = -1  # the group of elements that are on no contour
ATTEMPTS = 1000  # to find a path through the grid


class Elements(NamedTuple):
    """Elements of a figure; rows belong together, those of a contour in their order along it."""

    places: Tensor  #: shape (m, 2), x and y in units of the law, y downwards
    orientations: Tensor  #: shape (m,), in radians, from x towards y, in [0, π)
    groups: Tensor  #: shape (m,), int64: which contour, from 0, or BACKGROUND


def four_arms(angle: float, reach: float = 0.9) -> Elements:
    """Four arms around one point, as if two lines crossed there: groups are the first of the `PAIRINGS`.

    Arms 0 and 2 are opposite, and so are 1 and 3; each points at the centre.

    Args:
        angle: from arm 0 to arm 1, in radians. reach: of each arm's middle from the centre, > 0.
    """
    _check(angle=angle)
    _check_positive(reach=reach)
    directions = torch.tensor([0.0, angle, math.pi, math.pi + angle], dtype=torch.float32)
    return Elements(reach * _unit(directions), directions[:2].repeat(2) % math.pi, torch.tensor([0, 1, 0, 1]))


def ring(n: int, radius: float) -> Elements:
    """n ≥ 3 elements on a circle, equally spaced, each a tangent."""
    _check(n=n, least=3)
    _check_positive(radius=radius)
    around = torch.arange(n) * (2 * math.pi / n)
    return Elements(radius * _unit(around), (around + math.pi / 2) % math.pi, torch.zeros(n, dtype=torch.long))


def box(across: int, down: int, spacing: float = 1.6) -> Elements:
    """Elements on a rectangle, clockwise as seen: so many along the top and the bottom, so many along either side.

    Those on one side are `spacing` apart; each corner is an empty half of that away from its two neighbours.
    """
    _check(across=across, down=down, least=1)
    _check_positive(spacing=spacing)
    x, y = torch.arange(across) - (across - 1) / 2, torch.arange(down) - (down - 1) / 2
    top = torch.stack([x, torch.full((across,), -down / 2)], 1)
    right = torch.stack([torch.full((down,), across / 2), y], 1)
    orientations = torch.tensor([0.0, math.pi / 2] * 2).repeat_interleave(torch.tensor([across, down] * 2))
    return Elements(
        spacing * torch.cat([top, right, -top, -right]), orientations, torch.zeros(len(orientations), dtype=torch.long)
    )


def scrambled(elements: Elements, generator: torch.Generator) -> Elements:
    """The same places, and groups, with random orientations."""
    draws = torch.rand(len(elements.places), generator=generator, device=generator.device)
    return elements._replace(orientations=(math.pi * draws).to(elements.places))


def snake(
    n: int,
    generator: torch.Generator,
    *,
    grid: int = 9,
    spacing: float = 1.6,
    jitter: float = 0.25,
    sharpest: float = 0.7,
) -> Elements:
    """A contour of n elements among others: rows 0 to n − 1 in order, then the background.

    Every cell of a square grid holds one element, off its middle by up to `jitter`. Only then is a path chosen among
    them, from neighbour to neighbour, and its elements are turned along it: so the places do not tell which they are.

    Args:
        n: from 3 to `grid`². grid: cells along an edge, ≥ 3. spacing: edge of a cell.
        jitter: in cells, in [0, 0.5). sharpest: the largest turn between two links, in radians, in (0, π).
    Raises:
        ValueError: a setting is out of range, or no path was found in 1000 attempts.
    Source: after Field, Hayes & Hess 1993, whose path and background also have one spacing.
    """
    _check(grid=grid, least=3)
    _check(n=n, least=3, most=grid**2)
    _check_positive(spacing=spacing, sharpest=sharpest)
    if not 0 <= jitter < 0.5 or sharpest >= math.pi:
        raise ValueError(f"jitter, sharpest: wanted [0, 0.5) cells and (0, π), got {jitter}, {sharpest}")
    device = generator.device
    draws = torch.rand(grid**2, 3, generator=generator, device=device)
    cells = torch.cartesian_prod(*[torch.arange(grid, device=device) - (grid - 1) / 2] * 2)
    places = spacing * (cells + jitter * (2 * draws[:, :2] - 1))
    path = _find_path(places, cells, n, sharpest, generator)
    groups = torch.full((grid**2,), BACKGROUND, device=device)
    groups[path] = 0
    order = torch.cat([path, (groups == BACKGROUND).nonzero()[:, 0]])
    orientations = math.pi * draws[:, 2]
    orientations[path] = _along(places[path])
    return Elements(places[order], orientations[order], groups[order])


def as_segments(elements: Elements, *, length: float = 0.8, unit: float | None = None) -> Tensor:
    """Elements as strokes for `draw`, shape (m, 4): x and y of either end, in the frame [−1, 1].

    Args:
        length: of a stroke, in units of the law, > 0.
        unit: of the law, in the frame; None fits the places, and a stroke's half, into 0.9 of it.
    """
    _check_positive(length=length)
    unit = 0.9 / (elements.places.abs().max().item() + length / 2) if unit is None else unit
    _check_positive(unit=unit)
    half = length / 2 * _unit(elements.orientations)
    return unit * torch.cat([elements.places - half, elements.places + half], 1)


def draw(segments: Tensor, size: int = 64, width: float = 0.06) -> tuple[Tensor, Tensor]:
    """Straight strokes with round ends, anti-aliased by exact distance.

    Args:
        segments: shape (b, k, 4): x and y of either end in the frame [−1, 1], y downwards; rows with NaN are left out.
        size: edge of the picture in pixels, 8 to 1024.
        width: of a stroke, in the frame, at least a pixel: 2 / size.
    Returns:
        ink: shape (b, 1, size, size), in [0, 1]; coverage: that of each stroke, shape (b, k, size, size).
    Raises:
        TypeError: segments are no floating-point tensor.
        ValueError: another shape, nothing to draw, an infinite end, or size or width out of range.
    """
    if not segments.is_floating_point():
        raise TypeError(f"segments: wanted a floating-point tensor, got {segments.dtype}")
    if segments.ndim != 3 or segments.shape[-1] != 4 or not segments.numel() or segments.isinf().any():
        raise ValueError(f"segments: wanted finite ends, shape (b, k, 4), not empty, got shape {tuple(segments.shape)}")
    _check(size=size, least=8, most=1024)
    if not 2 / size <= width <= 2:
        raise ValueError(f"width: wanted at least a pixel, {2 / size:.3f}, and at most 2, got {width}")
    b, k, _ = segments.shape
    ends = (segments.detach().cpu().float().view(-1, 2, 2) + 1) * (BOX / 2)
    groups = [[line] if line.isfinite().all() else [] for line in ends]
    coverage = stroke(groups, size, width=width * BOX / 2).view(b, k, size, size).to(segments)
    return coverage.amax(1, keepdim=True), coverage


def draw_bars(
    orientations: Tensor,
    contrasts: Tensor,
    size: int = 12,
    generator: torch.Generator | None = None,
    noise: float = 0.0,
) -> Tensor:
    """Patches that hold one bar each in the middle, bright on black under a Gaussian window.

    Across the bar the width is 0.09 of the patch, the window's is 0.29 (standard deviations), and the brightness in
    the middle is the logistic function of the contrast. Exact for any angle, as the exponent is linear in
    cos 2θ and sin 2θ: −a² = −(x² + y²)/2 + cos 2θ (x² − y²)/2 + sin 2θ xy for the distance a from the axis.

    Args:
        orientations: θ, shape (n,), in radians, from x towards y, which is downwards.
        contrasts: shape (n,). size: 4 to 64 pixels.
        noise: standard deviation of what is added to each pixel, ≥ 0; above 0 it needs a generator.
    Returns:
        Shape (n, 1, size, size), in [0, 1] but for the noise.
    Raises:
        TypeError: orientations or contrasts are no floating-point tensor.
        ValueError: another shape, none at all, a value that is not finite, or a setting out of range.
    """
    for name, value in (("orientations", orientations), ("contrasts", contrasts)):
        if not value.is_floating_point():
            raise TypeError(f"{name}: wanted a floating-point tensor, got {value.dtype}")
        if value.shape != orientations.shape[:1] or not len(value) or not value.isfinite().all():
            raise ValueError(f"{name}: wanted finite values, shape (n,) with n ≥ 1, got shape {tuple(value.shape)}")
    _check(size=size, least=4, most=64)
    if not 0 <= noise < math.inf or (noise and generator is None):
        raise ValueError(f"noise, generator: wanted noise ≥ 0, and a generator if any, got {noise}, {generator}")
    at = ((torch.arange(size) + 0.5) / size - 0.5).to(orientations)
    y, x = (axis.flatten() for axis in torch.meshgrid(at, at, indexing="ij"))
    across, window = 1 / (2 * 0.09**2), 1 / (2 * 0.29**2)
    of_pixels = [across * (x * x - y * y) / 2, across * x * y, 1 + 0 * x, -(across / 2 + window) * (x * x + y * y)]
    of_bars = [(2 * orientations).cos(), (2 * orientations).sin(), logsigmoid(contrasts), 1 + 0 * contrasts]
    bars = (torch.stack(of_bars, 1) @ torch.stack(of_pixels)).exp_()
    if noise:
        bars += noise * torch.randn(bars.shape, generator=generator, device=generator.device).to(bars)
    return bars.view(-1, 1, size, size)


def _find_path(places: Tensor, cells: Tensor, n: int, sharpest: float, generator: torch.Generator) -> Tensor:
    """Indices of n neighbours in a row, none twice, with no turn above `sharpest`; shape (n,)."""
    links = places[None] - places[:, None]  # (m, m, 2)
    near = (cells[None] - cells[:, None]).abs().amax(-1) == 1
    heading = torch.atan2(links[..., 1], links[..., 0])
    for _ in range(ATTEMPTS):
        path = [int(torch.randint(len(places), (), generator=generator, device=places.device))]
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
            return torch.tensor(path, device=places.device)
    raise ValueError(f"n, grid, sharpest: no path of {n} elements was found in {ATTEMPTS} attempts")


def _along(places: Tensor) -> Tensor:
    """Orientations along a path, shape (n,): half way between its two links; at the ends as on a circle."""
    links = normalize(places.diff(dim=0), dim=1)
    inner = links[1:] + links[:-1]
    inner = torch.atan2(inner[:, 1], inner[:, 0])
    first, last = torch.atan2(links[[0, -1], 1], links[[0, -1], 0])
    return torch.cat([(2 * first - inner[0])[None], inner, (2 * last - inner[-1])[None]]) % math.pi


def _unit(directions: Tensor) -> Tensor:
    return torch.stack([directions.cos(), directions.sin()], -1)


def _check(*, least: float = -math.inf, most: float = math.inf, **values: float) -> None:
    for name, value in values.items():
        if not (least <= value <= most and math.isfinite(value)):
            raise ValueError(f"{name}: wanted a number from {least} to {most}, got {value}")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: wanted a finite number > 0, got {value}")
