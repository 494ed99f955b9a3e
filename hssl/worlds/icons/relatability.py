"""Patches on either side of an icon's slash: of one stroke that it cuts, relatable across it, and four controls.

All patches are cut from images whose slash hides what is beneath it and is then taken away. Icons and their slashes
are those of `icons`, pairs beneath a bar of ours those of `occluders`. Taught in: icons, "Controls".
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
import scipy  # its parts load when they are used
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from hssl.checks import Count, ImageSize, checked, explained, one_of
from hssl.patches import pixel_grid
from hssl.worlds.icons import icons
from hssl.worlds.icons.icons import GOOGLE, Names, across, slash, unslashed
from hssl.worlds.icons.occluders import PatchPairs
from hssl.worlds.icons.rasteriser import BOX, distance_to, fill, resample, stroke

CONTROLS = ("offset_half", "from_two_icons", "rotated_half", "mirrored_half")  # the seldom found first
ANOTHER_STROKE = "another_stroke"  #: a fifth control, found too seldom to be asked of every cut
SHIFT = 3.0  #: units, along either axis, that the second half of `offset_half` is shifted along the slash
TURN = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # a quarter, about the middle of the patch
INK = 0.05  #: a control's second patch has this much more or less ink than the true one, at most
STEP = 0.1  # units between points of a stroke
NEAR = 0.3  # units; within it of a line, a point is on the line
TIE = 1e-3  # units or pixels; added where drawings of round numbers lie on an edge, which processors round apart
POINTS_FOLLOWED = 35  # of a stroke, from the gap: 3.5 units
ALIKE = 0.3  # correlation; second patches at nearly the same position that are more alike are no control
BESIDE = 1.0  # units along either axis; nearer than that is nearly the same position
TRIES = 40  # positions along a stroke that are tried for a cut, and ends of other icons for a position


class Cut(NamedTuple):
    """A stroke that a slash cuts: points on it every tenth of a unit, from the gap outwards, in units.

    >>> cuts("bell")[0].below.shape
    torch.Size([35, 2])
    """

    below: Tensor  #: shape (k, 2): below the slash
    above: Tensor  #: shape (l, 2)


@checked
@dataclass(frozen=True)
class SlashedPairs(PatchPairs):
    """Pairs of patches across a slash; rows belong together, also those of the controls.

    Truth: "bend", degrees that the true stroke turns from the first centre to the second, shape (n,), 0 is straight;
    and "offset" from the first to the second, pixels, shape (n, 2). `images` counts the names of the world, those of
    the first patches in both columns.

    >>> SlashedIcons(["bell"]).sample(1, g).whole.shape
    torch.Size([1, 1, 64, 64])
    """

    whole: Float[Tensor, "n 1 size size"] = field(kw_only=True)  #: what they are cut from, without the slash
    slashes: Float[Tensor, "n 1 size size"] = field(kw_only=True)  #: the ink of the slash

    def __getitem__(self, rows) -> "SlashedPairs":
        """Some of the pairs: a slice, a mask, or indices, shape (m,)."""
        truth = {name: value[rows] for name, value in self.truth.items()}
        fields = ("first", "second", "centres", "images", "whole", "slashes")
        return SlashedPairs(truth=truth, **{name: getattr(self, name)[rows] for name in fields})


@explained
def cuts(name: str) -> list[Cut]:
    """Where the slash cuts a stroke of an icon so that the icon with the slash has one end on either side of a gap.

    Args:
        name: of `icons.pairs()`, or of `icons.GOOGLE`, whose outlines then count as strokes.

    >>> below, above = cuts("bell")[0]
    >>> across(below, slash("bell"))[0].max() < 0 < across(above, slash("bell"))[0].min()
    tensor(True)
    """
    bar, rest, found = slash(name), unslashed(name), []
    for line in icons.elements(name):
        points = resample(line, STEP)
        beside, _ = across(points, bar)
        shown = (distance_to(points, rest) < NEAR + TIE) & (beside.abs() > bar.width / 2 + NEAR + TIE)
        sides = shown.long() * (1 + (beside > 0).long())
        found += icons.gaps(points, sides, torch.equal(line[0], line[-1]), step=STEP, reach=POINTS_FOLLOWED)
    return [Cut(below, above) for below, above in found]


class SlashedIcons:
    """Icons with a slash as a world: a pair is two patches that one stroke joins beneath it, (n, 1, window, window).

    Patches are centred on the stroke, do not overlap, and are not connected, not even by way of the slash. Which side
    of the slash is the first is drawn at random. Truth: see `SlashedPairs`.

    Args:
        names: of `icons.pairs()`, or `icons.GOOGLE`; None means `held_out_pairs()`.
        size, window: side length of the images and of the patches, pixels; window even.
    Raises:
        ValueError: an unknown name, both kinds of icons at once, window odd or out of range, or no pair.

    >>> pairs = SlashedIcons(["bell", "eye"]).sample(5, g)
    >>> pairs.first.shape, sorted(pairs.truth)
    (torch.Size([5, 1, 12, 12]), ['bend', 'offset'])
    """

    @checked
    def __init__(self, names: Names | None = None, *, size: ImageSize = 64, window: Count = 12):
        self.names, self.window = icons.held_out_pairs() if names is None else names, window
        if len({name in GOOGLE for name in self.names}) > 1:
            raise ValueError("names: wanted outlines or filled icons, not both at once")
        icons.check_window(window, size)
        self.icons = [_Icon(name, number, size) for number, name in enumerate(self.names)]

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> SlashedPairs:
        """n pairs, in random order: of all cuts once, then of all cuts again, as often as needed."""
        found = []
        while sum(map(len, found)) < n:
            once = self.with_controls(generator, controls=())["same"]
            found.append(once[torch.randperm(len(once), generator=generator)])
        return _stack(found)[:n]

    @checked
    def with_controls(self, generator: torch.Generator, *, controls: Names = CONTROLS) -> dict[str, SlashedPairs]:
        """A pair for each cut, and controls matched to them row by row.

        Every control keeps the first patch of its row, and in place of the second has one with ink within 5 % of it,
        at the same distance to half a pixel, which is not connected either:

        - from_two_icons: the second half is that of another icon of `names`, and its patch lies on a stroke that the
          same slash cuts there, as the true one does: so that by itself it looks no different.
        - offset_half: the second half is shifted along the slash, 3 units along either axis, one way or the other.
        - rotated_half: the second half is turned by 90 degrees about the middle of the patch, one way or the other.
          Where the stroke ended at the slash, it now ends beside it: the second patch alone may give this control
          away.
        - mirrored_half: the second half is mirrored about the normal of the slash through the middle of the patch. It
          ends at the slash as before, coming from the other side.
        - another_stroke: the second patch is of the same icon, on another stroke that the slash cuts. It is not among
          `CONTROLS`, since most icons have no such patch at the right distance.

        A cut for which all this cannot be found in a number of tries is left out.

        Returns:
            "same" and the controls, by name.
        Raises:
            ValueError: an unknown control, or no pair.

        >>> found = SlashedIcons(["bell", "eye"]).with_controls(g, controls=("mirrored_half",))
        >>> list(found), found["same"].first.shape[1:]
        (['same', 'mirrored_half'], torch.Size([1, 12, 12]))
        """
        for control in controls:
            one_of("controls", control, (ANOTHER_STROKE, *CONTROLS))
        rows, window = [], self.window
        ends = [_ends(self.icons if "from_two_icons" in controls else [], side, window) for side in (0, 1)]
        for icon in self.icons:
            for cut in icon.cuts:
                sides = _shuffled(torch.arange(2), generator).tolist()
                found = (_Row(icon, cut, side, window, ends[side], generator).draw(controls) for side in sides)
                rows += islice(filter(None, found), 1)
        if not rows:
            raise ValueError("names: no cut was found for which all controls could be matched")
        return {kind: _stack([row[kind] for row in rows]) for kind in ("same", *controls)}


@checked
def connected(pairs: SlashedPairs, *, with_slash: bool = False) -> Bool[Tensor, " n"]:
    """Whether ink connects the middles of the two patches in their image, shape (n,), bool: the baseline that fails.

    Args:
        with_slash: the slash counts as ink, as if it had the icon's colour.

    >>> connected(SlashedIcons(["bell"]).sample(1, g)).any()
    tensor(False)
    """
    inks = torch.maximum(pairs.whole, pairs.slashes) if with_slash else pairs.whole
    return torch.tensor([_are_connected(ink[0], at) for ink, at in zip(inks, pairs.centres, strict=True)])


class _Icon:
    """What is needed of an icon with a slash, drawn once."""

    def __init__(self, name: str, number: int, size: int):
        self.name, self.number, self.size = name, number, size
        self.bar, self.cuts = slash(name), cuts(name)
        self.first_word = name.removeprefix("baseline-").split("-")[0]
        self.cover, rest, _ = icons.layers(name, size)
        self.lines = unslashed(name)
        self.rest = rest if name in GOOGLE else stroke([self.lines], size)[0]
        beside, _ = across(torch.stack(pixel_grid(size, BOX), -1), self.bar)
        self.seen = (1 - self.cover) * torch.stack([beside < 0, beside > 0])  # of each side, what the slash leaves free

    def moved(self, about: Tensor, kind: str) -> Tensor:
        """The icon without its slash, turned or mirrored about a point in units, shape (ways, size, size)."""
        start, run = self.bar.start, self.bar.end - self.bar.start
        mirror = torch.eye(2) - 2 * torch.outer(run / run.norm(), run / run.norm())
        ways = {"rotated_half": [TURN, TURN.T], "mirrored_half": [mirror]}[kind]
        bar = torch.stack([1.05 * start - 0.05 * self.bar.end, 1.05 * self.bar.end - 0.05 * start])
        moved = [[(line - about) @ way + about for line in [bar, *self.lines]] for way in ways]
        if self.name not in GOOGLE:
            return stroke([lines for _, *lines in moved], self.size)
        hidden = stroke([[bar] for bar, *_ in moved], self.size, width=self.bar.width + 0.2)  # one shape with the slash
        return torch.stack([fill(lines, self.size) for _, *lines in moved]) * (1 - hidden)


def _ends(drawn: list[_Icon], side: int, window: int) -> tuple[Tensor, Tensor, list[_Icon]]:
    """All windows on strokes that a slash cuts, on one side of it: upper left corners, patches, and whose they are."""
    corners, patches, owners = [torch.zeros(0, 2, dtype=torch.int64)], [torch.zeros(0, window, window)], []
    for icon in drawn:
        points = torch.cat([torch.zeros(0, 2), *(cut[side] for cut in icon.cuts)])
        own = _corners(points, window, icon.size)
        own = own[((own >= 0) & (own <= icon.size - window)).all(1)]
        windows = (icon.rest * icon.seen[side]).unfold(0, window, 1).unfold(1, window, 1)
        corners.append(own)
        patches.append(windows[own[:, 1], own[:, 0]])
        owners += [icon] * len(own)
    return torch.cat(corners), torch.cat(patches), owners


class _Row:
    """A true pair at a position along a cut that is drawn at random, and its controls."""

    def __init__(self, icon: _Icon, cut: Cut, side: int, window: int, ends: tuple, generator: torch.Generator):
        self.icon, self.cut, self.side, self.window = (
            icon,
            cut,
            side,
            window,
        )  # side 1: the second patch is above the slash
        self.ends, self.generator = ends, generator
        self.pixel = BOX / icon.size
        points = cut if side else cut[::-1]
        self.corners = [_corners(of, window, icon.size) for of in points]
        self.seconds = torch.unique(self.corners[1], dim=0)
        self.courses = [torch.atan2(*torch.gradient(of, dim=0)[0].T.flip(0)) for of in points]  # outwards

    def draw(self, controls: Names) -> dict[str, SlashedPairs] | None:
        """None if there is no position where a true pair and all controls are found."""
        first, second = self.corners
        apart = (second[None] - first[:, None]).abs().amax(2)  # overlapping patches would share pixels
        for i, j in _shuffled((apart >= self.window).nonzero(), self.generator)[:TRIES].tolist():
            bend = (self.courses[1][j] - self.courses[0][i] - torch.pi).rad2deg()
            self.bend = ((bend + 180) % 360 - 180).abs()
            if (true := self._pair(first[i], second[j], self.icon.rest[None])) is None:
                continue
            found = {"same": true}
            for kind in filter(controls.__contains__, (ANOTHER_STROKE, *CONTROLS)):
                if (control := self._control(kind, true, first[i], second[j])) is None:
                    break
                found[kind] = control
            else:
                return found
        return None

    def _control(self, kind: str, true: SlashedPairs, a: Tensor, b: Tensor) -> SlashedPairs | None:
        if kind == "from_two_icons":
            return self._from_two_icons(true, a, b)
        if kind == ANOTHER_STROKE:
            return self._another_stroke(true, a, b)
        if kind == "offset_half":
            return self._offset_half(true, a, b)
        return self._pair(a, b, self.icon.moved((b + self.window / 2) * self.pixel, kind), true)

    def _from_two_icons(self, true: SlashedPairs, a: Tensor, b: Tensor) -> SlashedPairs | None:
        corners, patches, owners = self.ends
        near = self._fitting(corners, a, b).nonzero()[:, 0]
        near = near[self._beside(true, patches[near], corners[near] - a)]
        for k in _shuffled(near, self.generator)[:TRIES].tolist():
            other = owners[k]
            fits = other.first_word != self.icon.first_word and torch.equal(other.bar.end, self.icon.bar.end)
            if fits and (found := self._pair(a, corners[k], other.rest[None], true)):
                return found
        return None

    def _another_stroke(self, true: SlashedPairs, a: Tensor, b: Tensor) -> SlashedPairs | None:
        others = [torch.zeros(0, 2), *(cut[self.side] for cut in self.icon.cuts if cut is not self.cut)]
        corners = torch.unique(_corners(torch.cat(others), self.window, self.icon.size), dim=0)
        near = _shuffled(corners[self._fitting(corners, a, b)], self.generator)
        return next(filter(None, (self._pair(a, corner, self.icon.rest[None], true) for corner in near)), None)

    def _offset_half(self, true: SlashedPairs, a: Tensor, b: Tensor) -> SlashedPairs | None:
        steps, found = round(SHIFT / self.pixel), []
        for shift in (steps, -steps):
            drawing = pad(self.icon.rest, (shift, -shift) * 2)[None]  # to the right and down
            moved = self.seconds + shift
            found += [self._pair(a, corner, drawing, true) for corner in moved[self._fitting(moved, a, b)]]

        def gap(pair):
            return round((pair.second.sum() - true.second.sum()).abs().item(), 3)  # the first of equal ones

        return min(filter(None, found), key=gap, default=None)

    def _beside(self, true: SlashedPairs, seconds: Tensor, offset: Tensor) -> Tensor:
        """Which second patches have the true one's ink, and are unlike it if they lie where it lies; shape (n,)."""
        elsewhere = ((offset - true.offset).abs() * self.pixel > BESIDE).any(-1)
        inked = (seconds.sum((1, 2)) / true.second.sum() - 1).abs() <= INK
        x, y = (each.flatten(1) - each.mean((1, 2))[:, None] for each in (seconds, true.second[0]))
        correlation = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-6)
        return inked & (elsewhere | (correlation < ALIKE))

    def _fitting(self, corners: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Which corners lie as far from a as b does, to half a pixel, with windows that do not overlap; shape (n,)."""
        near = ((corners - a).float().norm(dim=1) - (b - a).float().norm()).abs() <= 0.5
        return near & ((corners - a).abs().amax(1) >= self.window)

    def _pair(self, a: Tensor, b: Tensor, drawings: Tensor, true: SlashedPairs | None = None) -> SlashedPairs | None:
        """Windows with upper left corners at a and b, the second one from one of the drawings.

        None if no drawing has ink in the middle that is not connected to the first, and can stand beside the true one.
        """
        at = [*a.tolist(), *b.tolist()]
        if min(at) < 0 or max(at) > self.icon.size - self.window:
            return None
        centres = torch.stack([a, b]) + self.window // 2
        here, there = ((..., *(slice(k, k + self.window) for k in corner.flip(0).tolist())) for corner in (a, b))
        seconds = drawings[there] * self.icon.seen[self.side][there]
        middle = slice(self.window // 2 - 1, self.window // 2 + 1)
        ink = 0.5 if self.icon.name in GOOGLE else 1.0
        good = (seconds[:, middle, middle].mean((1, 2)) - ink).abs() <= 0.25 + TIE
        if true is not None:
            good &= self._beside(true, seconds, b - a)
        first = self.icon.rest * self.icon.seen[1 - self.side]
        for k in _shuffled(good.nonzero()[:, 0], self.generator).tolist():
            whole = first + drawings[k] * self.icon.seen[self.side]
            if not _are_connected(torch.maximum(whole, self.icon.cover), centres):
                return SlashedPairs(
                    first[here][None, None],
                    seconds[k, None, None],
                    {"bend": self.bend[None], "offset": (b - a).float()[None]},
                    centres=centres.float()[None],
                    images=torch.tensor([[self.icon.number] * 2]),
                    whole=whole[None, None],
                    slashes=self.icon.cover[None, None],
                )
        return None


def _corners(points: Tensor, window: int, size: int) -> Tensor:
    """Upper left corners, pixels, of the windows whose middles are points in units."""
    return (points * size / BOX - window / 2 - TIE).round().long()


def _are_connected(ink: Tensor, centres: Tensor) -> bool:
    """Whether one component of ink has pixels at both centres; a centre is the corner between four pixels."""
    parts = np.zeros(ink.shape, np.int32)
    scipy.ndimage.label((ink > 0.5 + TIE).numpy(), np.ones((3, 3)), parts)
    one, two = (set(parts[y - 1 : y + 1, x - 1 : x + 1].flatten()) - {0} for x, y in centres.long().tolist())
    return bool(one & two)


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)]


def _stack(parts: list[SlashedPairs]) -> SlashedPairs:
    """Pairs of several as one."""
    truth = {name: torch.cat([part.truth[name] for part in parts]) for name in parts[0].truth}
    fields = ("first", "second", "centres", "images", "whole", "slashes")
    return SlashedPairs(truth=truth, **{name: torch.cat([getattr(part, name) for part in parts]) for name in fields})
