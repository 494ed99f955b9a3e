"""Icons beneath a bar that we lay over them ourselves: pairs of patches that it parts, and the same ones dealt anew.

What is known of a real slash, and the controls beside it, are left to `slashes`.
Taught in: icons, "Learn it without a label".
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from hssl.worlds.icons import across, elements, pixel_centres, slash
from hssl.worlds.strokes import BOX, resample, stroke

STEP = 0.2  # units between points of a stroke
REACH = 18  # points of a stroke that are followed from the gap, 3.6 units
LONGEST_GAP = 6.0  # units along a stroke
HALF = 1.0  # units; half the width of the bar
BEYOND = 1.3  # units from the middle line of the bar; what is nearer is not seen
MARGIN = 2.83  # units from the middle line, at which the icon is cut off on one side of the bar: as a slash has it
SHIFT = 1.0  # units along either axis that an icon is shifted before, at most, in half of the drawings
INK = 0.75  # least mean ink of the four pixels in the middle of a patch
BAR = slash("eye")  # that of all outlines


class Pairs(NamedTuple):
    """Pairs of patches on either side of a bar; each shows its own side only."""

    first: Tensor  #: shape (n, window, window), ink in [0, 1]
    second: Tensor  #: same shape
    offset: Tensor  #: shape (n, 2), x and y from the first to the second, pixels
    middles: Tensor  #: shape (n, 2, 2): of both, x and y, pixels
    pictures: Tensor  #: shape (n, 2), int64: from which covered picture each is

    def dealt_anew(self, generator: torch.Generator, *, each: int = 3, tolerance: float = 1.0) -> "Pairs":
        """Every first with second ones of other pictures, where they lie, at the same distance to `tolerance` pixels.

        Each patch by itself looks as before, and so does the distance: only what the two have to do with each other
        is gone. Of up to `each` second ones a first, those are left out for which there is none.

        Raises:
            ValueError: each < 1, tolerance <= 0, or no pair at all can be dealt.
        """
        if each < 1 or not 0 < tolerance < float("inf"):
            raise ValueError(f"each, tolerance: wanted each ≥ 1 and a finite tolerance > 0, got {each} and {tolerance}")
        run = self.middles[None, :, 1] - self.middles[:, None, 0]  # (n, n, 2), from every first to every second
        fits = (run.norm(dim=2) - self.offset.norm(dim=1)[:, None]).abs() <= tolerance
        fits &= (self.pictures[:, :1] != self.pictures[None, :, 1]) & (run.abs().amax(2) >= self.first.shape[1])
        rows = fits.any(1).nonzero()[:, 0]
        if not len(rows):
            raise ValueError("tolerance: no second patch of another picture lies at the same distance; take more pairs")
        others = torch.multinomial(fits[rows].float(), each, replacement=True, generator=generator).flatten()
        rows = rows.repeat_interleave(each)
        both = ([side[rows, 0], side[others, 1]] for side in (self.middles, self.pictures))
        middles, pictures = (torch.stack(pair, 1) for pair in both)
        return Pairs(self.first[rows], self.second[others], middles[:, 1] - middles[:, 0], middles, pictures)


class Covered(NamedTuple):
    """Covered pictures, and what their bars cut."""

    halves: Tensor  #: shape (pictures, 2, size, size), uint8 ink: what is seen below left and above right of the bar
    picture: Tensor  #: shape (cuts,), int64: whose cut it is
    places: Tensor  #: shape (cuts, 2, REACH, 2): x and y of points on either side, from the gap outwards, pixels
    counts: Tensor  #: shape (cuts, 2), int64: how many of those points there are

    def sample(self, n: int, window: int, generator: torch.Generator) -> Pairs:
        """Pairs that a bar parts: their middles lie on one stroke, on either side of the bar.

        Which side is the first, and by which of the symmetries of the bar the pictures are turned, is drawn by lot
        for all of them at once, so that any two of them can be dealt anew.

        Args:
            n: tries; those that make no pair, as in `pairs`, are left out.
            window: edge of a patch, pixels, even.
        Raises:
            ValueError: n < 1, window odd or out of range, or no pair is left.
        """
        if n < 1:
            raise ValueError(f"n: wanted at least 1, got {n}")
        cuts = torch.randint(len(self.picture), (n,), generator=generator)
        along = (torch.rand(n, 2, generator=generator) * self.counts[cuts]).long()
        return _turned(self.pairs(cuts, along, window), self.halves.shape[-1], generator)

    def pairs(self, cuts: Tensor, along: Tensor, window: int) -> Pairs:
        """The pairs at chosen places; the first is below the bar.

        Args:
            cuts: which ones, shape (n,), int64.
            along: at how manyth point from the gap on either side, shape (n, 2), int64.
            window: edge of a patch, pixels, even.
        Returns:
            At most n pairs: those whose windows do not overlap, stay in the picture and hold ink in the middle.
        Raises:
            ValueError: window odd or out of range, or no pair is left.
        """
        size = self.halves.shape[-1]
        if window % 2 or not 4 <= window <= size // 2:
            raise ValueError(f"window: wanted an even number from 4 to {size // 2} pixels, got {window}")
        middles = self.places[cuts[:, None], torch.arange(2), along].round()
        corners = middles.long() - window // 2
        apart = (middles[:, 1] - middles[:, 0]).abs().amax(1) >= window
        inside = ((corners >= 0) & (corners <= size - window)).flatten(1).all(1)
        cuts, corners, middles = (of[apart & inside] for of in (cuts, corners, middles))
        patches = torch.stack([self._cut(cuts, side, corners[:, side], window) for side in (0, 1)], 1)
        at = slice(window // 2 - 1, window // 2 + 1)
        inked = (patches[:, :, at, at].mean((2, 3)) >= INK).all(1)
        if not inked.any():
            raise ValueError(f"cuts: no pair was left of {len(inked)}; take more")
        middles, picture = middles[inked], self.picture[cuts[inked]]
        return Pairs(*patches[inked].unbind(1), middles[:, 1] - middles[:, 0], middles, picture[:, None].expand(-1, 2))

    def _cut(self, cuts: Tensor, side: int, corners: Tensor, window: int) -> Tensor:
        within = torch.arange(window)
        y, x = (corners[:, axis, None] + within for axis in (1, 0))
        return self.halves[self.picture[cuts][:, None, None], side, y[:, :, None], x[:, None, :]].float() / 255


def cover(names, generator: torch.Generator, *, size: int = 64, turning: bool = True) -> Covered:
    """Lay a bar over icons, where a slash would be, and cut them off at it as slashed icons are.

    Icons are turned by a quarter or not, shifted a little or not, and cut off beneath the bar on one side and short of
    it on the other (or on both), all by lot. Icons of which the bar cuts nothing are left out.

    Args:
        names: of icons, filled ones as their outlines; one may come several times.
        size: edge of the pictures, pixels.
        turning: half of them are turned by a quarter.
    Raises:
        ValueError: an unknown name, none at all, nothing is cut, or size not 8 to 1024.
    """
    groups, picture, places, counts = [], [], [], []
    for name in names:
        halves, cuts = _cut_off(elements(name), turning, generator)
        groups += halves if cuts else []
        for cut in cuts:
            picture.append(len(groups) // 2 - 1)
            counts.append([len(side) for side in cut])
            places.append(torch.stack([torch.cat([side, side[-1:].expand(REACH - len(side), 2)]) for side in cut]))
    if not picture:
        raise ValueError("names: wanted icons of which the bar cuts a stroke")
    batches = [groups[start : start + 256] for start in range(0, len(groups), 256)]
    ink = torch.cat([stroke(batch, size) for batch in batches]).view(-1, 2, size, size)
    beside, _ = across(pixel_centres(size), BAR)
    seen = (0.5 + (beside.abs() - HALF) * size / BOX).clamp(0, 1)
    halves = (255 * ink * seen).round().to(torch.uint8)
    return Covered(halves, torch.tensor(picture), torch.stack(places) * size / BOX, torch.tensor(counts))


def joined(parts: list[Covered]) -> Covered:
    """Covered pictures of several calls of `cover` as one; all of the same size.

    Raises:
        ValueError: none, or their sizes differ.
    """
    if not parts or len({part.halves.shape[1:] for part in parts}) > 1:
        raise ValueError(f"parts: wanted some, all of one size, got {[tuple(part.halves.shape) for part in parts]}")
    before = [0, *torch.tensor([len(part.halves) for part in parts]).cumsum(0).tolist()]
    picture = torch.cat([part.picture + first for part, first in zip(parts, before, strict=False)])
    return Covered(*map(torch.cat, zip(*parts, strict=True)))._replace(picture=picture)


def _cut_off(lines: list[Tensor], turning: bool, generator) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """What is left of an icon on either side of the bar, and what the bar cuts: points on both sides of each gap."""
    lot = torch.rand(6, generator=generator)
    margins = MARGIN * torch.stack([lot[0] < 0.5, lot[0] >= 0.5]).logical_or(lot[1] < 0.15).float()
    shift = SHIFT * (2 * lot[2:4] - 1) * (lot[4] < 0.5)
    turned = turning and bool(lot[5] < 0.5)
    halves, cuts = [[], []], []
    for line in lines:
        points = resample(line, STEP) - BOX / 2
        points = (points.flip(1) * torch.tensor([1.0, -1.0]) if turned else points) + BOX / 2 + shift
        beside, _ = across(points, BAR)
        for start, end, side in _runs(_sides(beside, margins)):
            halves[side - 1] += [points[start:end]] if side and end - start > 1 else []
        closed = torch.equal(line[0], line[-1])
        cuts += _gaps(points, _sides(beside, margins.clamp_min(BEYOND)), closed)
    return halves, cuts


def _gaps(points: Tensor, sides: Tensor, closed: bool) -> list[list[Tensor]]:
    """Points from each gap outwards, below and above, where a line comes out on the other side."""
    found, once = [], len(points)
    if closed:  # once more round
        points, sides = torch.cat([points, points[1:]]), torch.cat([sides, sides[1:]])
    runs = _runs(sides)
    for before, gap, after in zip(runs, runs[1:], runs[2:], strict=False):
        start, end, side = gap
        if side or (closed and start >= once) or {before[2], after[2]} != {1, 2} or (end - start) * STEP > LONGEST_GAP:
            continue
        ends = [points[max(before[0], start - REACH) : start].flip(0), points[end : min(after[1], end + REACH)]]
        found.append(ends if before[2] == 1 else ends[::-1])
    return found


def _sides(beside: Tensor, margins: Tensor) -> Tensor:
    """0 beneath the bar, 1 below it, 2 above, shape (n,)."""
    return (beside < -margins[0]).long() + 2 * (beside > margins[1]).long()


def _runs(sides: Tensor) -> list[tuple[int, int, int]]:
    """Start, end and value of runs of equal values."""
    bounds = [0, *(sides.diff().nonzero()[:, 0] + 1).tolist(), len(sides)]
    return [(start, end, int(sides[start])) for start, end in pairwise(bounds)]


def _turned(pairs: Pairs, size: int, generator: torch.Generator) -> Pairs:
    """Pairs seen in one of the ways that leave the bar where it is; whoever changes sides changes places, too."""
    patches, middles = torch.stack([pairs.first, pairs.second], 1), pairs.middles
    transposed, reversed_, exchanged = (torch.rand(3, generator=generator) < 0.5).tolist()
    if transposed:
        patches, middles = patches.transpose(2, 3).flip(1), middles.flip(1, 2)
    if reversed_:
        patches, middles = patches.flip(1, 2, 3), size - middles.flip(1)
    if exchanged:
        patches, middles = patches.flip(1), middles.flip(1)
    return Pairs(*patches.unbind(1), middles[:, 1] - middles[:, 0], middles, pairs.pictures)
