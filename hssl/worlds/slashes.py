"""Patches on either side of an icon's slash, also as a world: of one stroke that it cuts, and four controls for them.

All patches are cut from images whose slash hides what is beneath it and is then taken away. How similar or how
probable a pair is, is left to `encoders`; icons and their slashes are those of `icons`. Taught in: icons, "Controls".
"""

from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from scipy.ndimage import label
from torch import Tensor
from torch.nn.functional import pad

from hssl.checks import Count, checked, one_of
from hssl.pairs import Pairs
from hssl.worlds import icons
from hssl.worlds.icons import GOOGLE, Names, across, pixel_centres, slash, unslashed
from hssl.worlds.strokes import BOX, distance_to, fill, resample, stroke

CONTROLS = ("offset_half", "from_two_icons", "rotated_half", "mirrored_half")  # the seldom found first
SHIFT = 3.0  #: units, along either axis, that the second half of `offset_half` is shifted along the slash
TURN = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # a quarter, about the middle of the patch
INK = 0.05  #: a control's second patch has this much more or less ink than the true one, at most
STEP = 0.1  # units between points of a stroke
NEAR = 0.3  # units; within it of a line, a point is on the line
POINTS_FOLLOWED = 35  # of a stroke, from the gap: 3.5 units
ALIKE = 0.3  # correlation; second patches at nearly the same place that are more alike are no control
BESIDE = 1.0  # units along either axis; nearer than that is nearly the same place
TRIES = 40  # places along a stroke that are tried for a cut, and ends of other icons for a place


class Cut(NamedTuple):
    """A stroke that a slash cuts: points on it every tenth of a unit, from the gap outwards, in units.

    >>> cuts("bell")[0].below.shape
    torch.Size([35, 2])
    """

    below: Tensor  #: shape (k, 2): below the slash
    above: Tensor  #: shape (l, 2)


class Patches(NamedTuple):
    """Pairs of patches; rows belong together, also those of the controls.

    >>> across_slash(["bell"], g, controls=())["same"].centres.shape[1:]
    torch.Size([2, 2])
    """

    first: Tensor  #: shape (m, 1, window, window), ink in [0, 1]
    second: Tensor  #: same shape
    offset: Tensor  #: shape (m, 2), x and y from the first to the second, pixels
    centres: Tensor  #: shape (m, 2, 2): of the first and of the second, x and y, pixels from the upper left corner
    pictures: Tensor  #: shape (m, 1, size, size): what they are cut from, without the slash
    slashes: Tensor  #: shape (m, 1, size, size): the ink of the slash
    bend: Tensor  #: shape (m,), degrees that the true stroke turns from the first centre to the second; 0 is straight
    icons: list[str]  #: of the first; a name may come more than once

    def pairs(self) -> Pairs:
        """They as a finite world, with what is true of them: "bend" and "offset".

        >>> sorted(across_slash(["bell"], g, controls=())["same"].pairs().sample(1, g).truth)
        ['bend', 'offset']
        """
        return Pairs(self.first, self.second, {"bend": self.bend, "offset": self.offset})


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
        shown = (distance_to(points, rest) < NEAR) & (beside.abs() > bar.width / 2 + NEAR)
        sides = shown.long() * (1 + (beside > 0).long())
        found += icons.gaps(points, sides, torch.equal(line[0], line[-1]), step=STEP, reach=POINTS_FOLLOWED)
    return [Cut(below, above) for below, above in found]


@checked
def across_slash(
    names: Names, generator: torch.Generator, *, size: Count = 64, window: Count = 12, controls: Names = CONTROLS
) -> dict[str, Patches]:
    """Pairs of patches that one stroke joins beneath a slash, and controls matched to them row by row.

    Patches are centred on the stroke, do not overlap, and are not connected, not even by way of the slash. Which side
    of the slash is the first is drawn by lot. Every control keeps the first patch of its row, and in place of the
    second has one with ink within 5 % of it, at the same distance to half a pixel, which is not connected either:

    - from_two_icons: the second half is that of another icon of `names`, and its patch lies on a stroke that the same
      slash cuts there, as the true one does: so that by itself it looks no different.
    - offset_half: the second half is shifted along the slash, 3 units along either axis, one way or the other.
    - rotated_half: the second half is turned by 90 degrees about the middle of the patch, one way or the other. Where
      the stroke ended at the slash, it now ends beside it: the second patch alone may give this control away.
    - mirrored_half: the second half is mirrored about the normal of the slash through the middle of the patch. It ends
      at the slash as before, coming from the other side.

    A cut for which all this cannot be found in a number of tries is left out.

    Args:
        names: of `icons.pairs()`, or `icons.GOOGLE`.
        size: edge of the pictures, pixels.
        window: edge of the patches, pixels, even.
        controls: which ones are wanted.
    Returns:
        "same" and the controls, by name.
    Raises:
        ValueError: an unknown name or control, both kinds of icons at once, window odd or out of range, or no pair.

    >>> found = across_slash(["bell", "eye"], g, controls=("mirrored_half",))
    >>> list(found), found["same"].first.shape[1:]
    (['same', 'mirrored_half'], torch.Size([1, 12, 12]))
    """
    if len({name in GOOGLE for name in names}) > 1:
        raise ValueError("names: wanted outlines or filled icons, not both at once")
    icons.check_window(window, size)
    for control in controls:
        one_of("controls", control, CONTROLS)
    drawn, rows = [_Icon(name, size) for name in names], []
    ends = [_ends(drawn if "from_two_icons" in controls else [], side, window) for side in (0, 1)]
    for icon in drawn:
        for cut in icon.cuts:
            sides = _shuffled(torch.arange(2), generator).tolist()
            found = (_Row(icon, cut, side, window, ends[side], generator).draw(controls) for side in sides)
            rows += islice(filter(None, found), 1)
    if not rows:
        raise ValueError("names: no cut was found for which all controls could be matched")
    return {kind: _stack([row[kind] for row in rows]) for kind in ("same", *controls)}


@checked
def connected(patches: Patches, *, with_slash: bool = False) -> Bool[Tensor, " m"]:
    """Whether ink connects the middles of the two patches in their picture, shape (m,), bool: the baseline that fails.

    Args:
        with_slash: the slash counts as ink, as if it had the icon's colour.

    >>> connected(across_slash(["bell"], g, controls=())["same"]).any()
    tensor(False)
    """
    inks = torch.maximum(patches.pictures, patches.slashes) if with_slash else patches.pictures
    return torch.tensor([_are_connected(ink[0], at) for ink, at in zip(inks, patches.centres, strict=True)])


class _Icon:
    """What is needed of an icon with a slash, drawn once."""

    def __init__(self, name: str, size: int):
        self.name, self.size, self.bar, self.cuts = name, size, slash(name), cuts(name)
        self.first_word = name.removeprefix("baseline-").split("-")[0]
        self.cover, rest, _ = icons.layers(name, size)
        self.rest = rest if name in GOOGLE else stroke([unslashed(name)], size)[0]
        beside, _ = across(pixel_centres(size), self.bar)
        self.seen = (1 - self.cover) * torch.stack([beside < 0, beside > 0])  # of each side, what the slash leaves free

    def moved(self, about: Tensor, kind: str) -> Tensor:
        """The icon without its slash, turned or mirrored about a point in units, shape (ways, size, size)."""
        start, run = self.bar.start, self.bar.end - self.bar.start
        mirror = torch.eye(2) - 2 * torch.outer(run / run.norm(), run / run.norm())
        ways = {"rotated_half": [TURN, TURN.T], "mirrored_half": [mirror]}[kind]
        bar = torch.stack([1.05 * start - 0.05 * self.bar.end, 1.05 * self.bar.end - 0.05 * start])
        moved = [[(line - about) @ way + about for line in [bar, *unslashed(self.name)]] for way in ways]
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
    """A true pair at a place along a cut that is drawn by lot, and its controls."""

    def __init__(self, icon: _Icon, cut: Cut, side: int, window: int, ends: tuple, generator: torch.Generator):
        self.icon, self.side, self.window = icon, side, window  # side 1: the second patch is above the slash
        self.ends, self.generator = ends, generator
        self.pixel = BOX / icon.size
        points = cut if side else cut[::-1]
        self.corners = [_corners(of, window, icon.size) for of in points]
        self.courses = [torch.atan2(*torch.gradient(of, dim=0)[0].T.flip(0)) for of in points]  # outwards

    def draw(self, controls: Names) -> dict[str, Patches] | None:
        """None if there is no place where a true pair and all controls are found."""
        first, second = self.corners
        apart = (second[None] - first[:, None]).abs().amax(2)  # overlapping patches would share pixels
        for i, j in _shuffled((apart >= self.window).nonzero(), self.generator)[:TRIES].tolist():
            bend = (self.courses[1][j] - self.courses[0][i] - torch.pi).rad2deg()
            self.bend = ((bend + 180) % 360 - 180).abs()
            true, found = self._pair(first[i], second[j], self.icon.rest[None]), {}
            for kind in filter(controls.__contains__, CONTROLS):
                if true and all(found.values()):
                    found[kind] = self._control(kind, true, first[i], second[j])
            if true and all(found.values()):
                return {"same": true} | found
        return None

    def _control(self, kind: str, true: Patches, a: Tensor, b: Tensor) -> Patches | None:
        if kind == "from_two_icons":
            return self._from_two_icons(true, a, b)
        if kind == "offset_half":
            return self._offset_half(true, a, b)
        return self._pair(a, b, self.icon.moved((b + self.window / 2) * self.pixel, kind), true)

    def _from_two_icons(self, true: Patches, a: Tensor, b: Tensor) -> Patches | None:
        corners, patches, owners = self.ends
        near = self._fitting(corners, a, b).nonzero()[:, 0]
        near = near[self._beside(true, patches[near], corners[near] - a)]
        for k in _shuffled(near, self.generator)[:TRIES].tolist():
            other = owners[k]
            fits = other.first_word != self.icon.first_word and torch.equal(other.bar.end, self.icon.bar.end)
            if fits and (found := self._pair(a, corners[k], other.rest[None], true)):
                return found
        return None

    def _offset_half(self, true: Patches, a: Tensor, b: Tensor) -> Patches | None:
        steps, found = round(SHIFT / self.pixel), []
        for shift in (steps, -steps):
            drawing = pad(self.icon.rest, (shift, -shift) * 2)[None]  # to the right and down
            moved = torch.unique(self.corners[1] + shift, dim=0)
            found += [self._pair(a, corner, drawing, true) for corner in moved[self._fitting(moved, a, b)]]
        return min(filter(None, found), key=lambda pair: (pair.second.sum() - true.second.sum()).abs(), default=None)

    def _beside(self, true: Patches, seconds: Tensor, offset: Tensor) -> Tensor:
        """Which second patches have the true one's ink, and are unlike it if they lie where it lies; shape (n,)."""
        elsewhere = ((offset - true.offset).abs() * self.pixel > BESIDE).any(-1)
        inked = (seconds.sum((1, 2)) / true.second.sum() - 1).abs() <= INK
        x, y = (each.flatten(1) - each.mean((1, 2))[:, None] for each in (seconds, true.second))
        correlation = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-6)
        return inked & (elsewhere | (correlation < ALIKE))

    def _fitting(self, corners: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Which corners lie as far from a as b does, to half a pixel, with windows that do not overlap; shape (n,)."""
        near = ((corners - a).float().norm(dim=1) - (b - a).float().norm()).abs() <= 0.5
        return near & ((corners - a).abs().amax(1) >= self.window)

    def _pair(self, a: Tensor, b: Tensor, drawings: Tensor, true: Patches | None = None) -> Patches | None:
        """Windows with upper left corners at a and b, the second one from one of the drawings.

        None if no drawing has ink in the middle that is not connected to the first, and can stand beside the true one.
        """
        if min(*a, *b) < 0 or max(*a, *b) > self.icon.size - self.window:
            return None
        centres = torch.stack([a, b]) + self.window // 2
        here, there = ((..., *(slice(k, k + self.window) for k in corner.flip(0).tolist())) for corner in (a, b))
        seconds = drawings[there] * self.icon.seen[self.side][there]
        middle = slice(self.window // 2 - 1, self.window // 2 + 1)
        good = (seconds[:, middle, middle].mean((1, 2)) - (0.5 if self.icon.name in GOOGLE else 1.0)).abs() <= 0.25
        if true is not None:
            good &= self._beside(true, seconds, b - a)
        first = self.icon.rest * self.icon.seen[1 - self.side]
        for k in _shuffled(good.nonzero()[:, 0], self.generator).tolist():
            picture = first + drawings[k] * self.icon.seen[self.side]
            if not _are_connected(torch.maximum(picture, self.icon.cover), centres):
                of = picture[None], self.icon.cover[None], self.bend, [self.icon.name]
                return Patches(first[here][None], seconds[k, None], (b - a).float(), centres.float(), *of)
        return None


def _corners(points: Tensor, window: int, size: int) -> Tensor:
    """Upper left corners, pixels, of the windows whose middles are points in units."""
    return (points * size / BOX - window / 2).round().long()


def _are_connected(ink: Tensor, centres: Tensor) -> bool:
    """Whether one component of ink has pixels at both centres; a centre is the corner between four pixels."""
    parts = np.zeros(ink.shape, np.int32)
    label((ink > 0.5).numpy(), np.ones((3, 3)), parts)
    one, two = (set(parts[y - 1 : y + 1, x - 1 : x + 1].flatten()) - {0} for x, y in centres.long().tolist())
    return bool(one & two)


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)]


def _stack(pairs: list[Patches]) -> Patches:
    *tensors, names = zip(*pairs, strict=True)
    return Patches._make([*map(torch.stack, tensors), [name for own in names for name in own]])
