"""Real icons with and without their slash, and what belongs to what in them: Tabler's outlines, four of Google's.

How a line becomes ink is left to `strokes`; pairs of patches on either side of a slash, to `slashes`.
"""

import json
from functools import cache
from importlib.resources import files
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hssl.checks import checked, one_of
from hssl.worlds.strokes import BOX, WIDTH, distance_to, fill, polylines, resample, stroke

#: The icons of the pair that is drawn filled: the microphone and the camera, each of them also with "-off".
GOOGLE = ("baseline-mic", "baseline-videocam")
STEEP = 14.0  # units that a slash covers at least, along either axis
SAME = 0.5  # units; within it of an icon's line, a line counts as the same
LONGEST_GAP = 6.0  # units of a stroke that a slash may hide
ALIKE = 0.95  # share of an icon's `-off` variant that must be the same, for a pair to be clean
ALWAYS_HELD_OUT = ("camera", "microphone", "video")  # what Google's pairs show


class Slash(NamedTuple):
    """A straight bar over an icon, units."""

    start: Tensor  #: shape (2,): upper left
    end: Tensor  #: shape (2,): lower right
    width: float


class Layers(NamedTuple):
    """What an icon with a slash is made of, pixel by pixel."""

    ink: Tensor  #: shape (size, size): the whole drawing, in [0, 1]
    slash: Tensor  #: shape (size, size): the slash alone
    elements: Tensor  #: shape (k, size, size): each element of the icon without its slash, whole
    halves: Tensor  #: shape (2, size, size): what is seen of the icon on either side: below left, above right
    owner: Tensor  #: shape (size, size), int64: the element that a pixel seen of the icon is of; −1 for all others


def names(of: str = "tabler") -> list[str]:
    """All icons of a set, "tabler" (outlines, drawn as strokes) or "google" (filled), in the order of the alphabet.

    >>> len(names()), names("google")
    (5166, ['baseline-mic', 'baseline-mic-off', 'baseline-videocam', 'baseline-videocam-off'])
    """
    one_of("of", of, _sets())
    return list(_sets()[of])


@cache
def pairs() -> tuple[str, ...]:
    """The outlines that also come with a slash, cleanly: `name + "-off"` is the icon with parts cut out, and one slash.

    One element of it is a slash, none of the icon itself; and 95 % of its other lines run where the icon's lines run.
    """
    return tuple(filter(_is_clean, names()))


@cache
def held_out_pairs() -> tuple[str, ...]:
    """Half of the pairs, no concept of which is in `train_names`.

    A concept is the shortest name of a pair that begins an icon's name: "microphone" is that of "microphone-2-off".
    Every second one is held out, in the order of the alphabet, and those that Google's pairs show.
    """
    return tuple(name for name in pairs() if _concept(name) in _held_out())


@cache
def train_names(*, slashed: bool = False) -> tuple[str, ...]:
    """The outlines of all concepts that are not held out; those with a slash ("-off") only if `slashed`.

    Nor is an outline among them that has all lines of a held-out one, whatever its name.
    """
    return tuple(name for name in names() if is_for_training(name, slashed=slashed))


def is_for_training(name: str, *, slashed: bool = False) -> bool:
    """Whether `train_names` has an icon, without reading all others."""
    if _concept(name) in _held_out() or (not slashed and "-off-" in f"{name}-"):
        return False
    return not any(lines <= _lines(name) for lines in map(_lines, held_out_pairs()))


@checked
def draw(which: str | list[str] | tuple[str, ...], size: int = 64) -> Float[Tensor, "n 1 {size} {size}"]:
    """Icons as ink on nothing, anti-aliased; strokes are 2 of 24 units wide, with round caps.

    Args:
        which: a name, or several.
        size: edge of the picture, pixels.
    Returns:
        Shape (n, 1, size, size), in [0, 1].
    Raises:
        ValueError: an unknown name, none at all, or size not 8 to 1024.

    >>> draw(["eye", "bell"], 32).shape
    torch.Size([2, 1, 32, 32])
    """
    which = [which] if isinstance(which, str) else list(which)
    if not which:
        raise ValueError("which: wanted at least one name")
    batches = [which[start : start + 256] for start in range(0, len(which), 256)]
    ink = torch.cat([stroke([strokes(name) for name in batch], size) for batch in batches])
    for picture, name in zip(ink, which, strict=True):
        for group in fills(name):
            torch.maximum(picture, fill(group, size), out=picture)
    return ink[:, None]


@cache
def strokes(name: str) -> list[Tensor]:
    """The lines of an icon, shape (points, 2) each, units."""
    return [line for path in _paths(name) if not path.startswith("fill:") for line in polylines(path)]


@cache
def fills(name: str) -> list[list[Tensor]]:
    """The filled shapes of an icon: the closed lines of each, shape (points, 2), units."""
    return [polylines(path.removeprefix("fill:")) for path in _paths(name) if path.startswith("fill:")]


def elements(name: str) -> list[Tensor]:
    """What an icon is made of: its strokes, or the outlines of its filled shapes; shape (points, 2) each, units."""
    return strokes(name) or [line for shape in fills(name) for line in shape]


@cache
def slash(name: str) -> Slash:
    """The slash over an icon of `pairs` or `GOOGLE`.

    That of a filled icon is the diagonal band which holds all that the icon with the slash has and the icon has not.

    >>> slash("eye")
    Slash(start=tensor([3., 3.]), end=tensor([21., 21.]), width=2.0)
    """
    if name not in GOOGLE:
        (line,) = (line for line in strokes(_off(name)) if _is_slash(line))
        return Slash(line[0], line[-1], WIDTH)
    size = 480
    added = (draw(_off(name), size) - draw(name, size))[0, 0] > 0.5
    y, x = (added.nonzero().T + 0.5) * BOX / size
    (low, high), (start, end) = (torch.quantile(at, torch.tensor([0.005, 0.995])) for at in (x - y, x + y))
    middle = torch.stack([low + high, -low - high]) / 4
    return Slash(start / 2 + middle, end / 2 + middle, (high - low).item() / 2**0.5)


def across(points: Tensor, bar: Slash) -> tuple[Tensor, Tensor]:
    """How far points, shape (..., 2), are from the middle line of a slash (positive above), and how far along it.

    >>> across(torch.tensor([4.0, 3.0]), Slash(torch.zeros(2), torch.tensor([0.0, 9.0]), 2.0))
    (tensor(4.), tensor(3.))
    """
    along = (bar.end - bar.start) / (bar.end - bar.start).norm()
    x, y = (points - bar.start).unbind(-1)
    return x * along[1] - y * along[0], x * along[0] + y * along[1]


def gaps(points: Tensor, sides: Tensor, closed: bool, *, step: float, reach: int) -> list[list[Tensor]]:
    """Where a slash hides a line that comes out on its other side: points from each gap outwards, below and above.

    Args:
        points: along the line, shape (n, 2), `step` units apart.
        sides: of each point, shape (n,), int64: 0 hidden, 1 below the slash, 2 above it.
        closed: the line ends where it starts, and a gap may run across that point.
        step: units. reach: how many points are given on either side, at most.

    >>> points = resample(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), 1.0)
    >>> [(below, above)] = gaps(points, torch.tensor([1, 1, 1, 0, 0, 2, 2, 2, 2, 2]), False, step=1.0, reach=3)
    >>> below[:, 0].tolist(), above[:, 0].tolist()
    ([2.0, 1.0, 0.0], [5.0, 6.0, 7.0])
    """
    once, found = len(points) if closed else torch.inf, []
    if closed:  # once more round
        points, sides = torch.cat([points, points[1:]]), torch.cat([sides, sides[1:]])
    bounds = runs(sides)
    for before, (start, end, side), after in zip(bounds, bounds[1:], bounds[2:], strict=False):
        if not side and start < once and (end - start) * step <= LONGEST_GAP and {before[2], after[2]} == {1, 2}:
            ends = [points[max(before[0], start - reach) : start].flip(0), points[end : min(after[1], end + reach)]]
            found.append(ends if before[2] == 1 else ends[::-1])
    return found


def runs(values: Tensor) -> list[tuple[int, int, int]]:
    """Start, end and value of the runs of equal values, shape (n,).

    >>> runs(torch.tensor([7, 7, 0]))
    [(0, 2, 7), (2, 3, 0)]
    """
    bounds = [0, *(values.diff().nonzero()[:, 0] + 1).tolist(), len(values)]
    return [(start, end, int(values[start])) for start, end in pairwise(bounds)]


def layers(name: str, size: int = 64) -> Layers:
    """An icon with its slash, taken apart: pixels of one owner on both sides of it are one thing that is cut in two.

    Args:
        name: of `pairs` or `GOOGLE`, without "-off".
        size: edge of the picture, pixels.
    Raises:
        ValueError: another name, or size not 8 to 1024.

    >>> parts = layers("eye", 32)
    >>> parts.elements.shape, parts.owner.unique().tolist()
    (torch.Size([2, 32, 32]), [-1, 0, 1])
    """
    bar, parts, at = slash(name), elements(name), pixel_centres(size)
    ink = draw(_off(name), size)[0, 0]
    if name in GOOGLE:
        beside, along = across(at, bar)
        within = torch.minimum(bar.width / 2 - beside.abs(), torch.minimum(along, (bar.end - bar.start).norm() - along))
        cover = torch.minimum((0.5 + within * size / BOX).clamp(0, 1), ink)
        rest, apart = ink - cover, torch.stack([fill([part], size) for part in parts])
        nearest = apart.argmax(0)
    else:
        apart, cover = stroke([[part] for part in parts], size), stroke([[torch.stack(bar[:2])]], size)[0]
        rest = stroke([unslashed(name)], size)[0] * (1 - cover)
        nearest = torch.stack([distance_to(at.view(-1, 2), [part]) for part in parts]).argmin(0).view(size, size)
    above = (across(at, bar)[0] > 0).float()
    owner = torch.where((rest > 0.5) & (cover < 0.5), nearest, -1)
    return Layers(ink, cover, apart, torch.stack([rest * (1 - above), rest * above]), owner)


def unslashed(name: str) -> list[Tensor]:
    """The strokes of an icon's "-off" variant but for its slash, or the outlines of its filled shapes."""
    return [line for line in elements(_off(name)) if name in GOOGLE or not _is_slash(line)]


def pixel_centres(size: int) -> Tensor:
    """Where pixels are, x and y in units, shape (size, size, 2)."""
    at = (torch.arange(size) + 0.5) * BOX / size
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)


@cache
def _sets() -> dict[str, dict[str, list[str]]]:
    text = (files("hssl.worlds") / "icons.json").read_text()
    return {of: entry["icons"] for of, entry in json.loads(text).items()}


def _paths(name: str) -> list[str]:
    for icons in _sets().values():
        if name in icons:
            return icons[name]
    raise ValueError(f"unknown icon {name!r}; `names()` lists them")


def _off(name: str) -> str:
    if name not in GOOGLE and not _is_clean(name):
        raise ValueError(f"name: wanted an icon of `pairs()` or {', '.join(GOOGLE)}, got {name!r}")
    return f"{name}-off"


def _is_slash(line: Tensor) -> bool:
    run = (line[-1] - line[0]).abs()
    return len(line) == 2 and bool((run > STEEP).all() and (run[0] - run[1]).abs() < SAME)


@cache
def _is_clean(name: str) -> bool:
    if f"{name}-off" not in _sets()["tabler"] or name not in _sets()["tabler"]:
        return False
    lines, off = strokes(name), strokes(f"{name}-off")
    rest = [line for line in off if not _is_slash(line)]
    if len(off) - len(rest) != 1 or not rest or any(map(_is_slash, lines)):
        return False
    (bar,) = (line for line in off if _is_slash(line))
    points = torch.cat([resample(line, 0.25) for line in rest])
    downwards = bool(((bar[-1] - bar[0]) > 0).all())
    return downwards and (distance_to(points, lines) < SAME).float().mean().item() >= ALIKE


@cache
def _lines(name: str) -> frozenset[tuple[float, ...]]:
    return frozenset(tuple(line.flatten().tolist()) for line in strokes(name))


@cache
def _concepts() -> dict[str, None]:
    return dict.fromkeys(name for name in pairs() if not any(name.startswith(f"{other}-") for other in pairs()))


@cache
def _held_out() -> frozenset[str]:
    return frozenset(list(_concepts())[::2]) | frozenset(ALWAYS_HELD_OUT)


@cache
def _concept(name: str) -> str:
    return next((start for start in accumulate(name.split("-"), "{}-{}".format) if start in _concepts()), name)
