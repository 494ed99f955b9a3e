"""The released Causal3DIdent (Zenodo 4784282, CC-BY-4.0), read from a folder that the reader names.

A counterfactual is the nearest scene that happens to have been rendered. Nothing is downloaded.
"""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import VisionDataset
from torchvision.transforms import v2

from hssl.checks import Count, ImageSize, Positive, checked
from hssl.files import read_file
from hssl.pairs import Pairs, View
from hssl.worlds.scenes import CLASSES, Latents, truth, untouched
from hssl.worlds.scenes.nearest import Bank
from hssl.worlds.scenes.release import SCALE, read_array

UNPACK = "unpack it again"
UNSORTED = 10  # rows that are in order by chance once in millions


class Causal3DIdent(VisionDataset):
    """Images with class and latents, as released; and a world of pairs by nearest latents.

    Item i is (image, class, latents): what `transform` makes of a PIL image (none: itself), an int, and a tensor
    of shape (10,) with the columns of `scenes.LATENTS`. Items are in the order of the classes, then of the numbers.

    A pair is made as the authors make it: the named latents of an item are drawn anew from a normal around their old
    values, standard deviation `sigma`, truncated to [−1, 1]; the second member is the item of the same class, never
    the first itself, whose latents come nearest. So what is not redrawn is shared only nearly. We search exactly,
    they search approximately.

    Args:
        root: the folder with `trainset/` and `testset/`, each with `images_{k}/{number}.png`, `raw_latents_{k}.npy`
            and `latents_{k}.npy` for the seven classes k.
        split: "train" or "test".
        redraw: latents or groups of them, joined by "+", as in `scenes.Scenes`; "" for none: then both members are one
            image. views: as in `scenes.Scenes`. size: side length of the members, in pixels. sigma: as published, 1.
    Raises:
        FileNotFoundError: a folder or a file is missing; names it.
        ValueError: an unknown split or name; or a file is damaged, truncated, or does not belong to the others; names
            it.
    Source: von Kügelgen et al. 2021, section 5.2 and released code. Taught in: sharing, "The released pairs".

    >>> Causal3DIdent("unpacked_here")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: unpacked_here/trainset/raw_latents_0.npy: missing; the folder is wanted as released ...
    """

    @checked
    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "test"] = "train",
        *,
        transform: Callable | None = None,
        redraw: str = "",
        views: View | None = None,
        size: ImageSize = 32,
        sigma: Positive = 1.0,
    ):
        super().__init__(root, transform=transform)
        self.redraw, self.views, self.size, self.sigma = redraw, views, size, sigma
        if redraw:
            untouched(redraw)  # names what is unknown
        folder = Path(root) / f"{split}set"
        values = [_latents(folder, k) for k in range(len(CLASSES))]
        for k, j in combinations(range(len(CLASSES)), 2):
            if np.array_equal(values[k], values[j]):
                raise ValueError(f"{folder}: raw_latents_{k}.npy and raw_latents_{j}.npy are the same; {UNPACK}")
        self.files = [file for k, rows in enumerate(values) for file in _images(folder, k, len(rows))]
        self.labels = torch.arange(len(CLASSES)).repeat_interleave(torch.tensor([len(rows) for rows in values]))
        self.values = torch.from_numpy(np.concatenate(values))
        self.bank = Bank(Latents(self.labels, self.values))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        image = self.image(index)
        return (self.transform(image) if self.transform else image), int(self.labels[index]), self.values[index]

    def image(self, index: int) -> Image.Image:
        """Image of an item.

        Raises:
            FileNotFoundError, ValueError: its file is missing or damaged, or has no 8 bits a channel; names it.
        """
        if not isinstance(index, int) or not -len(self) <= index < len(self):
            raise IndexError(f"index: wanted 0 to {len(self) - 1}, got {index!r}")
        return read_file(self.files[index], _image, UNPACK)

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs; the firsts with replacement. Class and latents of the first, as `scenes.truth` has them."""
        items, others = self.bank.pairs(n, self.redraw, self.sigma, generator)
        latents = self.bank.latents.rows(items)
        return Pairs(self._load(items), self._load(others), truth(latents)).viewed(self.views, generator)

    def _load(self, items: Tensor) -> Tensor:
        prepare = v2.Compose([v2.Resize((self.size,) * 2), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
        return torch.stack([prepare(self.image(item)) for item in items.tolist()])


def _latents(folder: Path, k: int) -> np.ndarray:
    """Raw latents of a class, shape (N, 10), float32, held against the scaled copy beside them."""
    raw, scaled = (_array(folder / f"{name}_{k}.npy") for name in ("raw_latents", "latents"))
    if not (np.abs(raw) <= 1).all():
        raise ValueError(f"{folder / f'raw_latents_{k}.npy'}: wanted values in [−1, 1]; is it latents_{k}.npy renamed?")
    steps = np.diff(raw, axis=0)
    if len(raw) >= UNSORTED and ((steps >= 0).all(0) & (steps > 0).any(0)).any():
        raise ValueError(f"{folder / f'raw_latents_{k}.npy'}: is sorted, so rows are not those of the images; {UNPACK}")
    if raw.shape != scaled.shape or not np.allclose(raw * SCALE, scaled, atol=1e-4):
        raise ValueError(f"{folder / f'latents_{k}.npy'}: does not belong to raw_latents_{k}.npy beside it; {UNPACK}")
    return raw


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; the folder is wanted as released (Zenodo 4784282)")
    return read_array(path, UNPACK)


def _image(file: IO[bytes]) -> Image.Image:
    with Image.open(file) as image:
        if image.mode not in ("RGB", "RGBA", "L", "P"):
            raise ValueError(f"wanted 8 bits a channel, got mode {image.mode}")
        return image.convert("RGB")


def _images(folder: Path, k: int, count: int) -> list[Path]:
    """Files of a class, in the order of their numbers, whatever the width they are padded to."""
    place = folder / f"images_{k}"
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: missing; the folder is wanted as released (Zenodo 4784282)")
    files = sorted(place.glob("*.png"), key=_number)
    for number, file in enumerate(files):
        if _number(file) != number:
            raise ValueError(
                f"{place}: image number {number} is missing or there twice; in its place is {file.name}; {UNPACK}"
            )
    if len(files) != count:
        raise ValueError(f"{place}: holds {len(files)} images, but raw_latents_{k}.npy {count} rows; {UNPACK}")
    return files


def _number(file: Path) -> int:
    if not file.stem.isdecimal():
        raise ValueError(f"{file}: wanted a number for a name; move it elsewhere")
    return int(file.stem)
