"""Icons beneath a bar that we lay over them: pairs of patches that it parts, and where in the icons they lie.

What is known of a real slash, and the controls beside it, are left to `relatability`.
Taught in: icons, "Learn it without a label".
"""

import math
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

from hssl.checks import ArgumentError, Count, ImageSize, Positive, checked, explained
from hssl.pairs import Pairs, View
from hssl.patches import cut, pixel_grid
from hssl.worlds.icons import icons
from hssl.worlds.icons.icons import Names, across
from hssl.worlds.icons.rasteriser import BOX, WIDTH, fill, resample, stroke

STEP = 0.2  # units between points of a stroke
POINTS_FOLLOWED = 18  # of a stroke, from the gap: 3.6 units
HALF = 1.0  # units; half the width of the bar
BEYOND = 1.3  # units from the middle line of the bar; what is nearer is not seen
MARGIN = 2.83  # units from the middle line, at which the icon is cut off on one side of the bar: as a slash has it
SHIFT = 1.0  # units along either axis that an icon is shifted before, at most, in half of the drawings
INK = 0.75  # least mean ink of the four pixels in the middle of a patch; on the edge of a silhouette, the most
EDGE = 0.25  # least mean ink of the four pixels in the middle of a patch on the edge of a silhouette
BAR = icons.Slash(torch.tensor([3.0, 3.0]), torch.tensor([21.0, 21.0]), WIDTH)  # that of nearly all outlines
EVERY = 25  # which of all outlines `OccludedIcons` takes unless told: one in so many

Both = tuple[Tensor, Tensor, Tensor, Tensor]  # patches, centres, images and orientations, shape (n, 2, …) each


@checked
@dataclass(frozen=True)
class PatchPairs(Pairs):
    """Pairs of patches, shape (n, 1, window, window), ink in [0, 1], with where they lie in which images.

    >>> pairs = OccludedIcons(["eye", "bell"]).sample(20, g)
    >>> torch.equal(pairs.centres[:, 0] + pairs.offset, pairs.centres[:, 1]), pairs[:3].images.shape
    (True, torch.Size([3, 2]))
    """

    centres: Float[Tensor, "n 2 2"] = field(kw_only=True)  #: of both patches, x and y, pixels
    images: Int[Tensor, "n 2"] = field(kw_only=True)  #: number of the image that each patch is from

    @property
    def offset(self) -> Tensor:
        """From the first to the second, x and y, pixels, shape (n, 2)."""
        return self.centres[:, 1] - self.centres[:, 0]

    def __getitem__(self, rows) -> "PatchPairs":
        """Some of the pairs: a slice, a mask, or indices, shape (m,)."""
        truth = {name: value[rows] for name, value in self.truth.items()}
        where = {"centres": self.centres[rows], "images": self.images[rows]}
        return PatchPairs(self.first[rows], self.second[rows], truth, **where)

    @checked
    def shuffled(self, generator: torch.Generator, *, tolerance: Positive = 1.0) -> "PatchPairs":
        """Every first with the second of another image, where it lies, at the same distance to `tolerance` pixels.

        Each patch by itself is distributed as before, and so is the distance: only the dependence of the two is gone.
        A first for which there is no such second is left out.

        Raises:
            ValueError: tolerance <= 0, or no pair at all is left.

        >>> pairs = OccludedIcons(["eye", "bell"] * 9).sample(99, g).shuffled(g, tolerance=3.0)
        >>> bool((pairs.images[:, 0] == pairs.images[:, 1]).any())
        False
        """
        run = self.centres[None, :, 1] - self.centres[:, None, 0]  # (n, n, 2), from every first to every second
        fits = (run.norm(dim=2) - self.offset.norm(dim=1)[:, None]).abs() <= tolerance
        fits &= (self.images[:, :1] != self.images[None, :, 1]) & (run.abs().amax(2) >= self.first.shape[-1])
        rows = fits.any(1).nonzero()[:, 0]
        if not len(rows):
            raise ValueError("tolerance: no second patch of another image lies at the same distance; take more pairs")
        others = torch.multinomial(fits[rows].float(), 1, replacement=True, generator=generator)[:, 0]
        centres, images = (torch.stack([of[rows, 0], of[others, 1]], 1) for of in (self.centres, self.images))
        return replace(self[rows], second=self.second[others], centres=centres, images=images)


class Occluded(NamedTuple):
    """Drawings beneath bars, and what their bars cut."""

    halves: UInt8[Tensor, "images 2 size size"]  #: ink seen below left and above right of the bar
    image: Int[Tensor, " cuts"]  #: whose cut it is
    positions: Float[Tensor, "cuts 2 points 2"]  #: x and y on both sides, from the gap, pixels
    counts: Int[Tensor, "cuts 2"]  #: how many of those points there are
    filled: Bool[Tensor, " images"]  #: whether it is a silhouette, whose edge the bar cuts

    @checked
    def sample(self, n: Count, window: Count, generator: torch.Generator) -> PatchPairs:
        """Pairs that a bar parts, from n tries: their middles lie on one stroke, on either side of the bar.

        Which side is the first, and by which of the symmetries of the bar the images are turned, is drawn at random
        for all of them at once, so that any two of them can be exchanged.

        Args:
            n: tries; those that make no pair, as in `pairs`, are left out.
            window: side length of a patch, pixels, even.
        Raises:
            ValueError: n < 1, window odd or out of range, or no pair is left.

        >>> occlude(["eye", "bell"], g).sample(50, 12, g).first.shape[1:]
        torch.Size([1, 12, 12])
        """
        return _as_pairs(_turned(self.draw(n, window, generator), self.halves.shape[-1], generator))

    @checked
    def pairs(self, cuts: Int64[Tensor, " n"], along: Int64[Tensor, "n 2"], window: Count) -> PatchPairs:
        """The pairs at chosen positions; the first is below the bar.

        Args:
            cuts: which ones, shape (n,), int64.
            along: the number of the point from the gap on either side, shape (n, 2), int64.
            window: side length of a patch, pixels, even.
        Returns:
            At most n pairs: those whose windows do not overlap, stay in the image and hold ink in the middle, or an
            edge of ink in silhouettes.
        Raises:
            ValueError: window odd or out of range, or no pair is left.
        """
        for name, of, most in (("cuts", cuts, len(self.image)), ("along", along, self.positions.shape[2])):
            if len(of) and not 0 <= of.min() <= of.max() < most:
                raise ArgumentError(f"{name}: wanted 0 to {most - 1}, got {of.min()} to {of.max()}")
        return _as_pairs(self._both(cuts, along, window))

    @explained
    def draw(self, n: Count, window: Count, generator: torch.Generator) -> Both:
        """What n tries give, the first ones below the bar."""
        cuts = torch.randint(len(self.image), (n,), generator=generator)
        along = (torch.rand(n, 2, generator=generator) * self.counts[cuts]).long()
        return self._both(cuts, along, window)

    def _both(self, cuts: Tensor, along: Tensor, window: int) -> Both:
        size = self.halves.shape[-1]
        icons.check_window(window, size)
        tries, sides = len(cuts), torch.arange(2)
        centres = self.positions[cuts[:, None], sides, along].round()
        corners = centres.long() - window // 2
        apart = (centres[:, 1] - centres[:, 0]).abs().amax(1) >= window
        fits = apart & ((corners >= 0) & (corners <= size - window)).flatten(1).all(1)
        nothing = ValueError(f"cuts: no pair was left of {tries}; take more")
        if not fits.any():
            raise nothing
        cuts, along, corners, centres = (of[fits] for of in (cuts, along, corners, centres))
        rows = (2 * self.image[cuts, None] + sides).flatten()
        halves = self.halves.flatten(0, 1)[:, None].view(torch.int8)  # the same bits: uint8 is for `read_image`
        ink = cut(halves, rows, corners.flip(2).flatten(0, 1), window).view(torch.uint8)
        patches, at = ink.view(-1, 2, window, window).float() / 255, slice(window // 2 - 1, window // 2 + 1)
        middle, edge = patches[:, :, at, at].mean((2, 3)), self.filled[self.image[cuts], None]
        inked = torch.where(edge, (middle >= EDGE) & (middle <= INK), middle >= INK).all(1)
        if not inked.any():
            raise nothing
        both = patches, centres, self.image[cuts, None].expand(-1, 2), self._orientations(cuts, along)
        patches, centres, images, orientations = (of[inked] for of in both)
        return patches, centres, images, orientations

    def _orientations(self, cuts: Tensor, along: Tensor) -> Tensor:
        """Of the strokes at such points, from the points beside them, shape (n, 2); of a lone one, across the gap."""
        sides, last = torch.arange(2), self.counts[cuts] - 1
        before, after = (self.positions[cuts[:, None], sides, (along + k).clamp_min(0).minimum(last)] for k in (-1, 1))
        gap = self.positions[cuts, 1, 0] - self.positions[cuts, 0, 0]
        run = torch.where(last[:, :, None] > 0, after - before, gap[:, None])
        return torch.atan2(run[..., 1], run[..., 0]) % math.pi


class OccludedIcons:
    """Icons beneath a bar as a world: a pair is two patches that the bar parts, shape (n, 1, window, window).

    Which side is the first, and how the icons are turned, is the same for all pairs of a call, so that no side is
    given away. Truth, of the first: "orientation" of the stroke in its middle, as sine and cosine of twice the angle,
    and "position" of its middle in the image, x and y, pixels.

    Args:
        names: of icons; None means every 25th outline, in the order of the alphabet, those of held-out concepts left
            out. They are covered once, here, always in the same way, which takes about 10 ms an icon.
        size, window: side length of the images and of the patches, pixels; window even.
        views: of both members, as in `Images`; none unless you say otherwise.
    Raises:
        ValueError: as `occlude`, or (when sampled) as `Occluded.sample`.
    Taught in: icons, "Learn it without a label".

    >>> pairs = OccludedIcons(["eye", "bell"]).sample(20, g)
    >>> pairs.first.shape, {name: of.shape[1:] for name, of in pairs.truth.items()}
    (torch.Size([20, 1, 12, 12]), {'orientation': torch.Size([2]), 'position': torch.Size([2])})
    """

    @checked
    def __init__(
        self, names: Names | None = None, *, size: ImageSize = 64, window: Count = 12, views: View | None = None
    ):
        chosen = list(filter(icons.is_for_training, icons.names()[::EVERY])) if names is None else names
        self.occluded = occlude(chosen, torch.Generator().manual_seed(0), size=size)
        self.window, self.views = window, views

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """n pairs, as `PatchPairs`, drawn until there are as many."""
        found = []
        while sum(len(patches) for patches, *_ in found) < n:
            found.append(self.occluded.draw(3 * n + 256, self.window, generator))
        patches, centres, images, orientations = (torch.cat(of)[:n] for of in zip(*found, strict=True))
        both = _turned((patches, centres, images, orientations), self.occluded.halves.shape[-1], generator)
        return _as_pairs(both).viewed(self.views, generator)


@checked
def occlude(
    names: Names, generator: torch.Generator, *, size: ImageSize = 64, turning: bool = True, filled: bool = False
) -> Occluded:
    """Lay a bar over icons, where a slash would be, and cut them off at it as slashed icons are.

    Icons are turned by a quarter or not, shifted a little or not, and cut off beneath the bar on one side and short of
    it on the other (or on both), all at random. Icons of which the bar cuts nothing are left out.

    Args:
        names: of icons, filled ones as their outlines; one may come several times.
        size: side length of the images, pixels.
        turning: half of them are turned by a quarter.
        filled: as silhouettes: closed lines are filled, open ones left out, and what is cut is the edge of an area.
    Raises:
        ValueError: an unknown name, none at all, nothing is cut, or size not 8 to 1024.

    >>> occluded = occlude(["eye", "bell"], g, size=32)
    >>> occluded.halves.shape, occluded.positions.shape[1:]
    (torch.Size([2, 2, 32, 32]), torch.Size([2, 18, 2]))
    """
    halves, image, positions, counts = [], [], [], []
    for name in names:
        lines = icons.elements(name)
        lines = [line for line in lines if torch.equal(line[0], line[-1])] if filled else lines
        both, cuts = _cut_off(lines, turning, generator)
        if cuts:
            halves.append(_silhouettes(*both, size) if filled else _outlines(*both))
        for ends in cuts:
            image.append(len(halves) - 1)
            counts.append([len(side) for side in ends])
            followed = (torch.arange(POINTS_FOLLOWED).clamp_max(len(side) - 1) for side in ends)
            positions.append(torch.stack([side[at] for side, at in zip(ends, followed, strict=True)]))
    if not image:
        raise ValueError("names: wanted icons of which the bar cuts a stroke")
    if filled:
        ink = torch.stack(halves)
    else:
        ink = stroke(list(chain(*halves)), size).view(-1, 2, size, size) * _seen(torch.full((2,), HALF), size).amax(0)
    ink, places = (255 * ink).round().to(torch.uint8), torch.stack(positions) * size / BOX
    return Occluded(ink, torch.tensor(image), places, torch.tensor(counts), torch.full((len(ink),), filled))


@explained
def joined(parts: list[Occluded]) -> Occluded:
    """Drawings of several calls of `occlude` as one; all of the same size.

    Raises:
        ValueError: none, or their sizes differ.

    >>> parts = [occlude([name], g, size=32) for name in ("eye", "bell")]
    >>> joined(parts).image.tolist() == [0] * len(parts[0].image) + [1] * len(parts[1].image)
    True
    """
    if not parts or len({part.halves.shape[1:] for part in parts}) > 1:
        raise ValueError(f"parts: wanted some, all of one size, got {[tuple(part.halves.shape) for part in parts]}")
    before = accumulate((len(part.halves) for part in parts), initial=0)
    image = torch.cat([part.image + first for part, first in zip(parts, before, strict=False)])
    return Occluded._make(map(torch.cat, zip(*parts, strict=True)))._replace(image=image)


def _cut_off(lines: list[Tensor], turning: bool, generator) -> tuple[tuple[list[Tensor], Tensor], list[list[Tensor]]]:
    """An icon beneath the bar, and what the bar cuts: points on both sides of each gap.

    The icon is its lines, turned and shifted, and how far from the middle of the bar it ends on either side.
    """
    lot = torch.rand(6, generator=generator)
    margins = MARGIN * torch.stack([lot[0] < 0.5, lot[0] >= 0.5]).logical_or(lot[1] < 0.15).float()
    shift = SHIFT * (2 * lot[2:4] - 1) * (lot[4] < 0.5)
    turned = turning and bool(lot[5] < 0.5)
    moved, cuts = [], []
    for line in lines:
        points = resample(line, STEP) - BOX / 2
        points = (points.flip(1) * torch.tensor([1.0, -1.0]) if turned else points) + BOX / 2 + shift
        moved.append(points)
        closed = torch.equal(line[0], line[-1])
        sides = _sides(across(points, BAR)[0], margins.clamp_min(BEYOND))
        cuts += icons.gaps(points, sides, closed, step=STEP, reach=POINTS_FOLLOWED)
    return (moved, margins), cuts


def _outlines(lines: list[Tensor], margins: Tensor) -> list[list[Tensor]]:
    """The lines on either side, cut off at the margins."""
    halves = [[], []]
    for points in lines:
        for start, end, side in icons.runs(_sides(across(points, BAR)[0], margins)):
            halves[side - 1] += [points[start:end]] if side and end - start > 1 else []
    return halves


def _silhouettes(lines: list[Tensor], margins: Tensor, size: int) -> Tensor:
    """The ink of filled lines on either side, shape (2, size, size), which ends where that of outlines ends."""
    return fill(lines, size) * _seen((margins - WIDTH / 2).clamp_min(HALF), size)


def _seen(margins: Tensor, size: int) -> Tensor:
    """What is at least so far below, and above, the middle of the bar, shape (2, size, size)."""
    beside, _ = across(torch.stack(pixel_grid(size, BOX), -1), BAR)
    beyond = torch.stack([-beside, beside]) - margins[:, None, None]
    return (0.5 + beyond * size / BOX).clamp(0, 1)


def _sides(beside: Tensor, margins: Tensor) -> Tensor:
    """0 beneath the bar, 1 below it, 2 above, shape (n,)."""
    return (beside < -margins[0]).long() + 2 * (beside > margins[1]).long()


def _turned(both: Both, size: int, generator: torch.Generator) -> Both:
    """Pairs seen in one of the ways that leave the bar where it is; exchanging sides exchanges the members, too."""
    patches, centres, images, orientations = both
    transposed, reversed_, exchanged = (torch.rand(3, generator=generator) < 0.5).tolist()
    if transposed:
        patches, centres = patches.transpose(2, 3), centres.flip(2)
        orientations = (math.pi / 2 - orientations) % math.pi
    if reversed_:
        patches, centres = patches.flip(2, 3), size - centres
    if transposed ^ reversed_ ^ exchanged:
        patches, centres, images, orientations = (of.flip(1) for of in (patches, centres, images, orientations))
    return patches, centres, images, orientations


def _as_pairs(both: Both) -> PatchPairs:
    patches, centres, images, orientations = both
    twice = 2 * orientations[:, 0]
    truth = {"orientation": torch.stack([twice.sin(), twice.cos()], 1), "position": centres[:, 0]}
    return PatchPairs(patches[:, :1], patches[:, 1:], truth, centres=centres, images=images)
