"""Real icons with and without their slash, and what belongs to what in them: Tabler's outlines, four of Google's.

How a line becomes ink is left to `rasteriser`; pairs of patches on either side of a slash, to `relatability`.
"""

import json
from functools import cache
from itertools import pairwise
from typing import IO, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hssl.checks import ImageSize, Positive, Whole, checked, explained
from hssl.files import packaged, read_file
from hssl.patches import pixel_grid
from hssl.worlds.icons.rasteriser import BOX, WIDTH, distance_to, fill, polylines, resample, stroke

Names = list[str] | tuple[str, ...]

#: The icons of the pair that is drawn filled: the microphone and the camera, each of them also with "-off".
GOOGLE = ("baseline-mic", "baseline-videocam")
STEEP = 14.0  # units that a slash covers at least, along either axis
SAME = 0.5  # units; within it of an icon's line, a line counts as the same
LONGEST_GAP = 6.0  # units of a stroke that a slash may hide
ALIKE = 0.95  # share of an icon's `-off` variant that must be the same, for a pair to be clean
ALWAYS_HELD_OUT = ("camera", "microphone", "video")  # what Google's pairs show


class Slash(NamedTuple):
    """A straight bar over an icon, units.

    >>> Slash(torch.tensor([3.0, 3.0]), torch.tensor([21.0, 21.0]), 2.0).width
    2.0
    """

    start: Float[Tensor, "2"]  #: upper left
    end: Float[Tensor, "2"]  #: lower right
    width: float


class Layers(NamedTuple):
    """What an icon with a slash is made of, pixel by pixel.

    >>> layers("eye", 32).owner.unique()
    tensor([-1,  0,  1])
    """

    slash: Tensor  #: shape (size, size): the ink of the slash alone, in [0, 1]
    rest: Tensor  #: shape (size, size): what is seen of the icon beside it, in [0, 1]
    owner: Tensor  #: shape (size, size), int64: the element that a pixel seen of the icon is of; −1 for all others


def names() -> list[str]:
    """All outlines, which are drawn as strokes, in the order of the alphabet; `GOOGLE` are others, and filled.

    >>> len(names()), "eye-off" in names()
    (5166, True)
    """
    return list(_sets()["tabler"])


@cache
def pairs() -> tuple[str, ...]:
    """The outlines that also come with a slash, cleanly: `name + "-off"` is the icon with parts cut out, and one slash.

    One element of it is a slash, none of the icon itself; and 95 % of its other lines run where the icon's lines run.

    >>> "eye" in pairs(), "eye-off" in pairs()
    (True, False)
    """
    return tuple(filter(_is_clean, names()))


@cache
def held_out_pairs() -> tuple[str, ...]:
    """Half of the pairs, no concept of which is in `train_names`.

    A concept is the shortest name of a pair that begins an icon's name: "microphone" is that of "microphone-2-off".
    Every second one is held out, in the order of the alphabet, and those that Google's pairs show.

    >>> set(held_out_pairs()) < set(pairs())
    True
    """
    return tuple(filter(_is_held_out, pairs()))


@cache
def train_names() -> tuple[str, ...]:
    """The outlines of all concepts that are not held out, without those that have a slash ("-off").

    Nor is an outline among them that has all lines of a held-out one, whatever its name.

    >>> "ear" in train_names(), set(train_names()) & set(held_out_pairs())
    (True, set())
    """
    return tuple(filter(is_for_training, names()))


@explained
def is_for_training(name: str) -> bool:
    """Whether `train_names` has an icon, without reading all others.

    >>> is_for_training("microphone-2")
    False
    """
    if _is_held_out(name) or "-off-" in f"{name}-":
        return False
    return not any(lines <= _lines(name) for lines in map(_lines, held_out_pairs()))


@checked
def draw(which: str | Names, size: ImageSize = 64) -> Float[Tensor, "n 1 {size} {size}"]:
    """Icons as ink on nothing, anti-aliased; strokes are 2 of 24 units wide, with round caps.

    Args:
        which: a name, or several.
        size: side length of the image, pixels.
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
    ink = stroke([strokes(name) for name in which], size)
    for image, name in zip(ink, which, strict=True):
        for group in _fills(name):
            torch.maximum(image, fill(group, size), out=image)
    return ink[:, None]


@cache
@explained
def strokes(name: str) -> list[Tensor]:
    """The lines of an icon, shape (points, 2) each, units; none of one that is filled.

    >>> [line.tolist() for line in strokes("minus")]
    [[[5.0, 12.0], [19.0, 12.0]]]
    """
    return [line for path in _paths(name) if not path.startswith("fill:") for line in polylines(path)]


@cache
def _fills(name: str) -> list[list[Tensor]]:
    """The filled shapes of an icon: the closed lines of each, shape (points, 2), units."""
    return [polylines(path.removeprefix("fill:")) for path in _paths(name) if path.startswith("fill:")]


@explained
def elements(name: str) -> list[Tensor]:
    """What an icon is made of: its strokes, or the outlines of its filled shapes; shape (points, 2) each, units.

    >>> len(elements("eye")), len(elements("baseline-mic"))
    (2, 2)
    """
    return strokes(name) or [line for shape in _fills(name) for line in shape]


@cache
@explained
def slash(name: str) -> Slash:
    """The slash over an icon of `pairs` or `GOOGLE`.

    That of a filled icon is the diagonal band which holds all that the icon with the slash has and the icon has not.

    >>> slash("eye")
    Slash(start=tensor([3., 3.]), end=tensor([21., 21.]), width=2.0)
    """
    if name not in GOOGLE:
        (line,) = filter(_is_slash, strokes(_off(name)))
        return Slash(line[0], line[-1], WIDTH)
    size = 480
    added = (draw(_off(name), size) - draw(name, size))[0, 0] > 0.5
    y, x = (added.nonzero().T + 0.5) * BOX / size
    (low, high), (start, end) = (torch.quantile(at, torch.tensor([0.005, 0.995])) for at in (x - y, x + y))
    middle = torch.stack([low + high, -low - high]) / 4
    return Slash(start / 2 + middle, end / 2 + middle, (high - low).item() / 2**0.5)


@explained
def across(points: Float[Tensor, "*places 2"], bar: Slash) -> tuple[Float[Tensor, "*places"], Float[Tensor, "*places"]]:
    """How far points, shape (..., 2), are from the middle line of a slash (positive above), and how far along it.

    >>> across(torch.tensor([4.0, 3.0]), Slash(torch.zeros(2), torch.tensor([0.0, 9.0]), 2.0))
    (tensor(4.), tensor(3.))
    """
    along = (bar.end - bar.start) / (bar.end - bar.start).norm()
    x, y = (points - bar.start).unbind(-1)
    return x * along[1] - y * along[0], x * along[0] + y * along[1]


@explained
def gaps(
    points: Float[Tensor, "n 2"], sides: Int[Tensor, " n"], closed: bool, *, step: Positive, reach: Whole
) -> list[list[Tensor]]:
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


@explained
def runs(values: Int[Tensor, " n"]) -> list[tuple[int, int, int]]:
    """Start, end and value of the runs of equal values, shape (n,).

    >>> runs(torch.tensor([7, 7, 0]))
    [(0, 2, 7), (2, 3, 0)]
    """
    bounds = [0, *(values.diff().nonzero()[:, 0] + 1).tolist(), len(values)]
    return [(start, end, int(values[start])) for start, end in pairwise(bounds)]


@explained
def layers(name: str, size: ImageSize = 64) -> Layers:
    """An icon with its slash, taken apart: pixels of one owner on both sides of it are one thing that is cut in two.

    Args:
        name: of `pairs` or `GOOGLE`, without "-off".
        size: side length of the image, pixels.
    Raises:
        ValueError: another name, or size not 8 to 1024.

    >>> layers("eye", 32).rest.shape
    torch.Size([32, 32])
    """
    bar, parts, at = slash(name), elements(name), torch.stack(pixel_grid(size, BOX), -1)
    if name in GOOGLE:
        (beside, along), ink = across(at, bar), draw(_off(name), size)[0, 0]
        within = torch.minimum(bar.width / 2 - beside.abs(), torch.minimum(along, (bar.end - bar.start).norm() - along))
        cover = torch.minimum((0.5 + within * size / BOX).clamp(0, 1), ink)
        rest, nearest = ink - cover, torch.stack([fill([part], size) for part in parts]).argmax(0)
    else:
        cover = stroke([[torch.stack(bar[:2])]], size)[0]
        rest = stroke([unslashed(name)], size)[0] * (1 - cover)
        nearest = torch.stack([distance_to(at.view(-1, 2), [part]) for part in parts]).argmin(0).view(size, size)
    return Layers(cover, rest, torch.where((rest > 0.5) & (cover < 0.5), nearest, -1))


@explained
def unslashed(name: str) -> list[Tensor]:
    """The strokes of an icon's "-off" variant but for its slash, or the outlines of its filled shapes.

    >>> len(unslashed("eye")), len(strokes("eye-off"))
    (3, 4)
    """
    return [line for line in elements(_off(name)) if name in GOOGLE or not _is_slash(line)]


@explained
def check_window(window: int, size: int) -> None:
    """Raise a ValueError unless windows of an even number of pixels fit twice beside each other into an image.

    >>> check_window(11, 64)
    Traceback (most recent call last):
    ValueError: window: wanted an even number from 4 to 32 pixels, got 11
    """
    if window % 2 or not 4 <= window <= size // 2:
        raise ValueError(f"window: wanted an even number from 4 to {size // 2} pixels, got {window}")


@cache
def _sets() -> dict[str, dict[str, list[str]]]:
    return read_file(packaged("worlds/icons/icons.json"), _parsed)


def _parsed(file: IO[bytes]) -> dict[str, dict[str, list[str]]]:
    sets = {of: entry["icons"] for of, entry in json.load(file).items()}
    for of in ("tabler", "google"):
        for name, paths in sets[of].items():
            if not (paths and isinstance(paths, list) and all(isinstance(path, str) for path in paths)):
                raise ValueError(f"{name}: wanted its paths, got {paths!r:.80}")
    if missing := [name for name in GOOGLE if not {name, f"{name}-off"} <= sets["google"].keys()]:
        raise ValueError(f"{missing[0]}: missing")
    return sets


def _paths(name: str) -> list[str]:
    for icons in _sets().values():
        if name in icons:
            return icons[name]
    raise ValueError(f"name: unknown icon {name!r}; `names()` lists them")


def _off(name: str) -> str:
    if name not in GOOGLE and not _is_clean(name):
        raise ValueError(f"name: wanted an icon of `pairs()` or {', '.join(GOOGLE)}, got {name!r}")
    return f"{name}-off"


def _is_slash(line: Tensor) -> bool:
    run = (line[-1] - line[0]).abs()
    return len(line) == 2 and bool((run > STEEP).all() and (run[0] - run[1]).abs() < SAME)


@cache
def _is_clean(name: str) -> bool:
    if not {name, f"{name}-off"} <= _sets()["tabler"].keys():
        return False
    lines, off = strokes(name), strokes(f"{name}-off")
    bars, rest = ([line for line in off if _is_slash(line) == wanted] for wanted in (True, False))
    if len(bars) != 1 or not rest or any(map(_is_slash, lines)):
        return False
    points = torch.cat([resample(line, 0.25) for line in rest])
    downwards = bool((bars[0][-1] > bars[0][0]).all())
    return downwards and (distance_to(points, lines) < SAME).float().mean().item() >= ALIKE


@cache
def _lines(name: str) -> frozenset[tuple[float, ...]]:
    return frozenset(tuple(line.flatten().tolist()) for line in strokes(name))


@cache
def _held_out() -> tuple[str, ...]:
    """How the names begin of the icons of all concepts that are held out, a dash after each."""
    longer = tuple(f"{name}-" for name in pairs())
    concepts = [name for name in pairs() if not name.startswith(longer)]
    return tuple(f"{concept}-" for concept in (*concepts[::2], *ALWAYS_HELD_OUT))


def _is_held_out(name: str) -> bool:
    return f"{name}-".startswith(_held_out())
