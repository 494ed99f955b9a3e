"""Icons beneath a bar that we lay over them: pairs of patches that it parts, also as a world, and the same dealt anew.

What is known of a real slash, and the controls beside it, are left to `slashes`.
Taught in: icons, "Learn it without a label".
"""

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from hssl.checks import Count, Positive, checked
from hssl.pairs import Pairs, View
from hssl.worlds import icons
from hssl.worlds.icons import Names, across
from hssl.worlds.strokes import BOX, WIDTH, resample, stroke

STEP = 0.2  # units between points of a stroke
POINTS_FOLLOWED = 18  # of a stroke, from the gap: 3.6 units
HALF = 1.0  # units; half the width of the bar
BEYOND = 1.3  # units from the middle line of the bar; what is nearer is not seen
MARGIN = 2.83  # units from the middle line, at which the icon is cut off on one side of the bar: as a slash has it
SHIFT = 1.0  # units along either axis that an icon is shifted before, at most, in half of the drawings
INK = 0.75  # least mean ink of the four pixels in the middle of a patch
BAR = icons.Slash(torch.tensor([3.0, 3.0]), torch.tensor([21.0, 21.0]), WIDTH)  # that of nearly all outlines
EVERY = 25  # which of all outlines `OccludedIcons` takes unless told: one in so many


class OccludedPatches(NamedTuple):
    """Pairs of patches on either side of a bar; each shows its own side only."""

    first: Tensor  #: shape (n, window, window), ink in [0, 1]
    second: Tensor  #: same shape
    offset: Tensor  #: shape (n, 2), x and y from the first to the second, pixels
    middles: Tensor  #: shape (n, 2, 2): of both, x and y, pixels
    pictures: Tensor  #: shape (n, 2), int64: from which covered picture each is
    orientations: Tensor  #: shape (n, 2): of the stroke in both middles, radians in [0, π), 0 is level, y downwards

    @checked
    def dealt_anew(
        self, generator: torch.Generator, *, each: Count = 3, tolerance: Positive = 1.0
    ) -> "OccludedPatches":
        """Every first with second ones of other pictures, where they lie, at the same distance to `tolerance` pixels.

        Each patch by itself looks as before, and so does the distance: only what the two have to do with each other
        is gone. Of up to `each` second ones a first, those are left out for which there is none.

        Raises:
            ValueError: each < 1, tolerance <= 0, or no pair at all can be dealt.

        >>> pairs = cover(["eye", "bell"] * 9, g).sample(99, 12, g)
        >>> anew = pairs.dealt_anew(g, each=1, tolerance=3.0)
        >>> bool((anew.pictures[:, 0] == anew.pictures[:, 1]).any())
        False
        """
        run = self.middles[None, :, 1] - self.middles[:, None, 0]  # (n, n, 2), from every first to every second
        fits = (run.norm(dim=2) - self.offset.norm(dim=1)[:, None]).abs() <= tolerance
        fits &= (self.pictures[:, :1] != self.pictures[None, :, 1]) & (run.abs().amax(2) >= self.first.shape[1])
        rows = fits.any(1).nonzero()[:, 0]
        if not len(rows):
            raise ValueError("tolerance: no second patch of another picture lies at the same distance; take more pairs")
        others = torch.multinomial(fits[rows].float(), each, replacement=True, generator=generator).flatten()
        rows = rows.repeat_interleave(each)
        return _from_both(torch.stack([of[rows, 0], of[others, 1]], 1) for of in _of_both(self))


class Covered(NamedTuple):
    """Covered pictures, and what their bars cut."""

    halves: Tensor  #: shape (pictures, 2, size, size), uint8 ink: what is seen below left and above right of the bar
    picture: Tensor  #: shape (cuts,), int64: whose cut it is
    places: Tensor  #: shape (cuts, 2, POINTS_FOLLOWED, 2): x and y of points on both sides, from the gap, pixels
    counts: Tensor  #: shape (cuts, 2), int64: how many of those points there are

    @checked
    def sample(self, n: Count, window: Count, generator: torch.Generator) -> OccludedPatches:
        """Pairs that a bar parts: their middles lie on one stroke, on either side of the bar.

        Which side is the first, and by which of the symmetries of the bar the pictures are turned, is drawn by lot
        for all of them at once, so that any two of them can be dealt anew.

        Args:
            n: tries; those that make no pair, as in `pairs`, are left out.
            window: edge of a patch, pixels, even.
        Raises:
            ValueError: n < 1, window odd or out of range, or no pair is left.

        >>> cover(["eye", "bell"], g).sample(50, 12, g).first.shape[1:]
        torch.Size([12, 12])
        """
        return _turned(self._try(n, window, generator), self.halves.shape[-1], generator)

    @checked
    def pairs(self, cuts: Int64[Tensor, " n"], along: Int64[Tensor, "n 2"], window: Count) -> OccludedPatches:
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
        icons.check_window(window, size)
        tries, sides = len(cuts), torch.arange(2)
        middles = self.places[cuts[:, None], sides, along].round()
        corners = middles.long() - window // 2
        apart = (middles[:, 1] - middles[:, 0]).abs().amax(1) >= window
        fits = apart & ((corners >= 0) & (corners <= size - window)).flatten(1).all(1)
        cuts, along, corners, middles = (of[fits] for of in (cuts, along, corners, middles))
        windows = self.halves.unfold(2, window, 1).unfold(3, window, 1)  # (pictures, 2, …, window, window)
        patches = windows[self.picture[cuts, None], sides, corners[..., 1], corners[..., 0]].float() / 255
        at = slice(window // 2 - 1, window // 2 + 1)
        inked = (patches[:, :, at, at].mean((2, 3)) >= INK).all(1)
        if not inked.any():
            raise ValueError(f"cuts: no pair was left of {tries}; take more")
        both = patches, middles, self.picture[cuts, None].expand(-1, 2), self._orientations(cuts, along)
        return _from_both(of[inked] for of in both)

    def _try(self, n: int, window: int, generator: torch.Generator) -> OccludedPatches:
        """The pairs at n places drawn by lot, the first ones below the bar."""
        cuts = torch.randint(len(self.picture), (n,), generator=generator)
        along = (torch.rand(n, 2, generator=generator) * self.counts[cuts]).long()
        return self.pairs(cuts, along, window)

    def _orientations(self, cuts: Tensor, along: Tensor) -> Tensor:
        """Of the strokes at such points, from the points beside them, shape (n, 2); of a lone one, across the gap."""
        sides, last = torch.arange(2), self.counts[cuts] - 1
        before, after = (self.places[cuts[:, None], sides, (along + k).clamp_min(0).minimum(last)] for k in (-1, 1))
        gap = self.places[cuts, 1, 0] - self.places[cuts, 0, 0]
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
        size, window: edge of the images and of the patches, pixels; window even.
        views: of both members, as in `Images`; none unless you say otherwise.
    Raises:
        ValueError: as `cover`, or (when sampled) as `Covered.sample`.
    Taught in: icons, "Learn it without a label".

    >>> pairs = OccludedIcons(["eye", "bell"]).sample(20, g)
    >>> pairs.first.shape, {name: of.shape[1:] for name, of in pairs.truth.items()}
    (torch.Size([20, 1, 12, 12]), {'orientation': torch.Size([2]), 'position': torch.Size([2])})
    """

    @checked
    def __init__(self, names: Names | None = None, *, size: Count = 64, window: Count = 12, views: View | None = None):
        chosen = list(filter(icons.is_for_training, icons.names()[::EVERY])) if names is None else names
        self.covered = cover(chosen, torch.Generator().manual_seed(0), size=size)
        self.window, self.views = window, views

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """n pairs, drawn until there are as many."""
        found = []
        while sum(len(of.first) for of in found) < n:
            found.append(self.covered._try(3 * n + 256, self.window, generator))
        first_n = OccludedPatches._make(torch.cat(of)[:n] for of in zip(*found, strict=True))
        turned = _turned(first_n, self.covered.halves.shape[-1], generator)
        twice = 2 * turned.orientations[:, 0]
        truth = {"orientation": torch.stack([twice.sin(), twice.cos()], 1), "position": turned.middles[:, 0]}
        return Pairs(turned.first[:, None], turned.second[:, None], truth).viewed(self.views, generator)


@checked
def cover(names: Names, generator: torch.Generator, *, size: Count = 64, turning: bool = True) -> Covered:
    """Lay a bar over icons, where a slash would be, and cut them off at it as slashed icons are.

    Icons are turned by a quarter or not, shifted a little or not, and cut off beneath the bar on one side and short of
    it on the other (or on both), all by lot. Icons of which the bar cuts nothing are left out.

    Args:
        names: of icons, filled ones as their outlines; one may come several times.
        size: edge of the pictures, pixels.
        turning: half of them are turned by a quarter.
    Raises:
        ValueError: an unknown name, none at all, nothing is cut, or size not 8 to 1024.

    >>> covered = cover(["eye", "bell"], g, size=32)
    >>> covered.halves.shape, covered.places.shape[1:]
    (torch.Size([2, 2, 32, 32]), torch.Size([2, 18, 2]))
    """
    groups, picture, places, counts = [], [], [], []
    for name in names:
        halves, cuts = _cut_off(icons.elements(name), turning, generator)
        groups += halves if cuts else []
        for ends in cuts:
            picture.append(len(groups) // 2 - 1)
            counts.append([len(side) for side in ends])
            places.append(torch.stack([side[torch.arange(POINTS_FOLLOWED).clamp_max(len(side) - 1)] for side in ends]))
    if not picture:
        raise ValueError("names: wanted icons of which the bar cuts a stroke")
    ink = stroke(groups, size).view(-1, 2, size, size)
    beside, _ = across(icons.pixel_centres(size), BAR)
    seen = (0.5 + (beside.abs() - HALF) * size / BOX).clamp(0, 1)
    halves = (255 * ink * seen).round().to(torch.uint8)
    return Covered(halves, torch.tensor(picture), torch.stack(places) * size / BOX, torch.tensor(counts))


def joined(parts: list[Covered]) -> Covered:
    """Covered pictures of several calls of `cover` as one; all of the same size.

    Raises:
        ValueError: none, or their sizes differ.

    >>> parts = [cover([name], g, size=32) for name in ("eye", "bell")]
    >>> joined(parts).picture.tolist() == [0] * len(parts[0].picture) + [1] * len(parts[1].picture)
    True
    """
    if not parts or len({part.halves.shape[1:] for part in parts}) > 1:
        raise ValueError(f"parts: wanted some, all of one size, got {[tuple(part.halves.shape) for part in parts]}")
    before = accumulate((len(part.halves) for part in parts), initial=0)
    picture = torch.cat([part.picture + first for part, first in zip(parts, before, strict=False)])
    return Covered._make(map(torch.cat, zip(*parts, strict=True)))._replace(picture=picture)


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
        for start, end, side in icons.runs(_sides(beside, margins)):
            halves[side - 1] += [points[start:end]] if side and end - start > 1 else []
        closed = torch.equal(line[0], line[-1])
        sides = _sides(beside, margins.clamp_min(BEYOND))
        cuts += icons.gaps(points, sides, closed, step=STEP, reach=POINTS_FOLLOWED)
    return halves, cuts


def _sides(beside: Tensor, margins: Tensor) -> Tensor:
    """0 beneath the bar, 1 below it, 2 above, shape (n,)."""
    return (beside < -margins[0]).long() + 2 * (beside > margins[1]).long()


def _turned(pairs: OccludedPatches, size: int, generator: torch.Generator) -> OccludedPatches:
    """Pairs seen in one of the ways that leave the bar where it is; whoever changes sides changes places, too."""
    patches, middles, pictures, orientations = _of_both(pairs)
    transposed, reversed_, exchanged = (torch.rand(3, generator=generator) < 0.5).tolist()
    if transposed:
        patches, middles = patches.transpose(2, 3), middles.flip(2)
        orientations = (math.pi / 2 - orientations) % math.pi
    if reversed_:
        patches, middles = patches.flip(2, 3), size - middles
    both = patches, middles, pictures, orientations
    return _from_both(of.flip(1) if transposed ^ reversed_ ^ exchanged else of for of in both)


def _of_both(pairs: OccludedPatches) -> tuple[Tensor, ...]:
    """Patches, middles, pictures and orientations, shape (n, 2, …) each."""
    return torch.stack([pairs.first, pairs.second], 1), pairs.middles, pairs.pictures, pairs.orientations


def _from_both(both: Iterable[Tensor]) -> OccludedPatches:
    patches, middles, pictures, orientations = both
    first, second = patches.unbind(1)
    return OccludedPatches(first, second, middles[:, 1] - middles[:, 0], middles, pictures, orientations)
