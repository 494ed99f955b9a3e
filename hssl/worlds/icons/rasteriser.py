"""Ink of vector drawings: SVG path data as polylines, and how much of each pixel their strokes or insides cover.

Lengths are in the drawing's own units, x to the right and y downwards; what is drawn is left to `icons`.
"""

import math

import numpy as np
import torch
from fontTools.pens.recordingPen import RecordingPen
from fontTools.svgLib.path import parse_path
from jaxtyping import Float
from torch import Tensor

from hssl.checks import Count, ImageSize, Positive, checked, explained, unbounded

BOX = 24.0  #: side length of a drawing, units
WIDTH = 2.0  #: of a stroke, units
TOLERANCE = 0.01  # of a polyline to its curve, units
LONGEST = 1.5  # units; longer segments are cut, so that each touches few pixels
BATCH = 256  # images that are drawn at a time, for the memory that they need


@explained
def polylines(path: str) -> list[Tensor]:
    """The subpaths of SVG path data, as polylines.

    Args:
        path: the `d` attribute of an SVG path; curves and arcs are welcome.
    Returns:
        One polyline a subpath, shape (points, 2), units; a closed one ends where it starts.
    Raises:
        ValueError: no path data.

    >>> polylines("M3 3h4v2z")[0].tolist()
    [[3.0, 3.0], [7.0, 3.0], [7.0, 5.0], [3.0, 3.0]]
    """
    pen = RecordingPen()
    found: list[list[complex]] = []
    try:
        parse_path(path, pen)
    except (ValueError, IndexError, TypeError, AssertionError) as error:
        raise ValueError(f"path: wanted SVG path data, got {path!r}") from error
    for verb, given in pen.value:
        points = [complex(*point) for point in given if point is not None]
        if verb == "moveTo":
            found.append([points[0]])
        elif verb == "closePath":
            found[-1] += found[-1][:1] if found[-1][-1] != found[-1][0] else []
            found.append([found[-1][0]])  # what follows starts there
        elif verb != "endPath":
            found[-1] += _curve([found[-1][-1], *points])
    lines = [torch.tensor([[z.real, z.imag] for z in line]) for line in found if len(line) > 1]
    if not lines:
        raise ValueError(f"path: wanted SVG path data that draws something, got {path!r}")
    return lines


@checked
def stroke(
    groups: list[list[Tensor]], size: ImageSize, *, width: Positive = WIDTH
) -> Float[Tensor, "{len(groups)} {size} {size}"]:
    """Draw lines with round caps and joins, an image for each group of polylines.

    Args:
        groups: polylines, shape (points, 2) each, units; an empty group gives an empty image.
        size: side length of the image, pixels.
        width: of the stroke, units.
    Returns:
        Share of each pixel that is covered, from the distance of its centre to the line, shape (groups, size, size).
    Raises:
        ValueError: a polyline that is no line, size not 8 to 1024, or width not above 0.

    >>> ink = stroke([polylines("M4 12h16"), []], 24)
    >>> ink[:, 11, 12].tolist(), round(ink[0].sum().item())
    ([1.0, 0.0], 35)
    """
    _check("groups", groups, size)
    if len(groups) > BATCH:
        return torch.cat([stroke(groups[k : k + BATCH], size, width=width) for k in range(0, len(groups), BATCH)])
    pixel = BOX / size
    start, end, owner = _segments(groups)
    block = math.ceil((LONGEST + width) / pixel + 1) + 1  # pixels that a segment may touch, along either axis
    corner = ((start + end) / 2 / pixel - block / 2).round().long()  # (s, 2)
    x, y = (corner[:, axis, None] + torch.arange(block) for axis in (0, 1))  # (s, block)
    across = [(grid + 0.5) * pixel - start[:, axis, None] for axis, grid in enumerate((x, y))]
    distance = _distance(across[0][:, None, :], across[1][:, :, None], *(end - start).T[:, :, None, None])
    inside = ((x >= 0) & (x < size))[:, None, :] & ((y >= 0) & (y < size))[:, :, None]
    place = (owner[:, None, None] * size + y[:, :, None]) * size + x[:, None, :]
    nearest = torch.full((len(groups) * size * size,), torch.inf)
    nearest.scatter_reduce_(0, place[inside], distance[inside], "amin")
    return (0.5 + (width / 2 - nearest) / pixel).clamp(0, 1).view(len(groups), size, size)


@checked
def fill(group: list[Tensor], size: ImageSize, *, supersampling: Count = 4) -> Float[Tensor, "{size} {size}"]:
    """Share of each pixel that lies inside the closed polylines, by their winding number, shape (size, size).

    Raises:
        ValueError: a polyline that is no line, or size not 8 to 1024.

    >>> fill(polylines("M4 4h16v16h-16z"), 24).sum().item()
    256.0
    """
    _check("group", [group], size)
    fine = size * supersampling
    a, b = (of / BOX * fine for of in _ends([torch.cat([points, points[:1]]) for points in group]))
    row = torch.arange(fine) + 0.5
    turn = (a[:, 1:] <= row).int() - (b[:, 1:] <= row).int()  # 1 where an edge goes down through the row, −1 up
    edge, at = turn.nonzero().T
    t = (row[at] - a[edge, 1]) / (b[edge, 1] - a[edge, 1])
    column = (a[edge, 0] + t * (b[edge, 0] - a[edge, 0]) + 0.5).floor().long().clamp(0, fine)  # the first one beyond
    winding = torch.zeros(fine, fine + 1, dtype=torch.int32)
    winding.index_put_((at, column), turn[edge, at].int(), accumulate=True)
    inside = winding.cumsum(1)[:, :fine] != 0
    return inside.float().view(size, supersampling, size, supersampling).mean((1, 3))


@explained
@unbounded
def distance_to(points: Float[Tensor, "n 2"], lines: list[Float[Tensor, "_ 2"]]) -> Float[Tensor, " n"]:
    """Distance from each point, shape (n, 2), to the nearest of the polylines, shape (n,), infinite if none.

    >>> distance_to(torch.tensor([[5.0, 7.0]]), polylines("M3 3h4"))
    tensor([4.])
    """
    if not lines:
        return torch.full((len(points),), torch.inf)
    start, end = _ends(lines)
    x, y = (points[:, axis, None] - start[:, axis] for axis in (0, 1))  # (n, s)
    return _distance(x, y, *(end - start).T).amin(1)


@explained
def resample(line: Float[Tensor, "points 2"], spacing: Positive) -> Float[Tensor, "k 2"]:
    """Points at equal distances along a polyline, about `spacing` apart, both ends among them, shape (k, 2).

    >>> resample(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), 1.9).tolist()
    [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]
    """
    length = torch.cat([torch.zeros(1), line.diff(dim=0).norm(dim=1).cumsum(0)])
    at = torch.linspace(0, length[-1].item(), max(2, round(length[-1].item() / spacing) + 1))
    return torch.from_numpy(np.stack([np.interp(at, length, line[:, axis]) for axis in (0, 1)], 1)).float()


def _curve(points: list[complex]) -> list[complex]:
    """Points on a line or a Bézier curve of degree 2 or 3 after its first one, dense enough for TOLERANCE."""
    degree = len(points) - 1
    bend = max((abs(a - 2 * b + c) for a, b, c in zip(points, points[1:], points[2:], strict=False)), default=0.0)
    pieces = max(1, math.ceil(math.sqrt(degree * (degree - 1) / 8 * bend / TOLERANCE)))
    t = np.arange(1, pieces + 1) / pieces
    parts = [math.comb(degree, k) * (1 - t) ** (degree - k) * t**k * point for k, point in enumerate(points)]
    return np.sum(parts, axis=0).tolist()


def _segments(groups: list[list[Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Starts, ends and group of all segments, none longer than LONGEST; shapes (s, 2), (s, 2), (s,)."""
    start, end = _ends([line for group in groups for line in group])
    counts = torch.tensor([sum(len(line) - 1 for line in group) for group in groups])
    owner = torch.arange(len(groups)).repeat_interleave(counts)
    pieces = ((end - start).norm(dim=1) / LONGEST).ceil().clamp_min(1).long()
    which = torch.arange(len(pieces)).repeat_interleave(pieces)
    nth = torch.arange(len(which)) - (pieces.cumsum(0) - pieces)[which]
    along = ((end - start) / pieces[:, None])[which]
    first = start[which] + nth[:, None] * along
    return first, first + along, owner[which]


def _ends(lines: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Starts and ends of all segments of polylines, shape (s, 2) each."""
    nothing = torch.zeros(0, 2)
    return torch.cat([nothing, *(line[:-1] for line in lines)]), torch.cat([nothing, *(line[1:] for line in lines)])


def _distance(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Distance of points, given from the start of segments, to those segments that run by (dx, dy)."""
    t = ((x * dx + y * dy) / (dx**2 + dy**2).clamp_min(1e-12)).clamp(0, 1)
    return torch.hypot(x - t * dx, y - t * dy)


def _check(name: str, groups: list[list[Tensor]], size: int) -> None:
    if not 8 <= size <= 1024:
        raise ValueError(f"size: wanted 8 to 1024 pixels, got {size}")
    for line in (line for group in groups for line in group):
        if line.ndim != 2 or line.shape[1] != 2 or len(line) < 2 or not torch.isfinite(line).all():
            raise ValueError(f"{name}: wanted polylines of finite points, shape (points, 2), got {tuple(line.shape)}")
