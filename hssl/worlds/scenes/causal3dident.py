"""The released Causal3DIdent (Zenodo 4784282, CC-BY-4.0), read from a folder that the reader names.

It speaks as `scenes` does, with what was rendered once: latents are those of the files, and a counterfactual is the
nearest scene there is. Nothing is downloaded.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from scipy.spatial import cKDTree
from torch import Tensor
from torchvision.datasets import VisionDataset
from torchvision.transforms import v2

from hssl.worlds.scenes.distribution import CLASSES, LATENTS, Latents

SPLITS = {"train": "trainset", "test": "testset"}
SCALE = np.array([2.0] * 3 + [np.pi / 2] * 7)  # latents_{k} over raw_latents_{k}
MEAN, SD = (0.4327, 0.2689, 0.2839), (0.1201, 0.1457, 0.1082)  # of the pictures' channels


class Causal3DIdent(VisionDataset):
    """Pictures with class and latents, as released; and pairs of them by nearest latents.

    Item i is (picture, class, latents): what `transform` makes of a PIL picture (none: itself), an int, and a tensor
    of shape (10,) with the columns of `scenes.LATENTS`. Items are in the order of the classes, then of the numbers.

    Args:
        root: the folder with `trainset/` and `testset/`, each with `images_{k}/{number}.png`, `raw_latents_{k}.npy`
            and `latents_{k}.npy` for the seven classes k.
        split: "train" or "test".
    Raises:
        FileNotFoundError: a folder or a file is missing; names it.
        ValueError: an unknown split; or a file is damaged, truncated, or does not belong to the others; names it.
    Source: von Kügelgen et al. 2021, section 5.2. Taught in: causal_scenes, "The released pictures".
    """

    def __init__(self, root: str | Path, split: str = "train", *, transform=None):
        super().__init__(root, transform=transform)
        if split not in SPLITS:
            raise ValueError(f"split: wanted one of {', '.join(SPLITS)}, got {split!r}")
        folder = Path(root) / SPLITS[split]
        values, files = zip(*[(_latents(folder, k), _pictures(folder, k)) for k in range(len(CLASSES))], strict=True)
        for k, (rows, names) in enumerate(zip(values, files, strict=True)):
            if len(rows) != len(names):
                raise ValueError(
                    f"{folder / f'images_{k}'}: holds {len(names)} pictures, but raw_latents_{k}.npy {len(rows)} rows; "
                    "one of them is truncated"
                )
        self.files = [name for names in files for name in names]
        self.labels = torch.arange(len(CLASSES)).repeat_interleave(torch.tensor([len(rows) for rows in values]))
        self.values = torch.from_numpy(np.concatenate(values))
        self.first = np.cumsum([0] + [len(rows) for rows in values])
        self.trees = [cKDTree(rows) for rows in values]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        picture = self.picture(index)
        return (self.transform(picture) if self.transform else picture), int(self.labels[index]), self.values[index]

    def picture(self, index: int) -> Image.Image:
        """Picture of an item.

        Raises:
            ValueError: its file is damaged; names it.
        """
        try:
            with Image.open(self.files[index]) as picture:
                return picture.convert("RGB")
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise ValueError(f"{self.files[index]}: damaged or no picture ({error}); unpack it again") from error

    def nearest(self, latents: Latents) -> Tensor:
        """Items that come nearest to the latents, of the same class, shape (n,): the paper's counterfactuals."""
        labels, values = Latents(*latents).check()
        found = torch.empty(len(values), dtype=torch.int64)
        for k, tree in enumerate(self.trees):
            of_class = labels == k
            if of_class.any():
                found[of_class] = torch.from_numpy(self.first[k] + tree.query(values[of_class].numpy())[1])
        return found

    def sample_latents(self, n: int, generator: torch.Generator) -> Latents:
        """Latents of n items, drawn with replacement.

        Raises:
            ValueError: n < 1.
        """
        if n < 1:
            raise ValueError(f"n: wanted at least one scene, got {n}")
        drawn = torch.randint(len(self), (n,), generator=generator)
        return Latents(self.labels[drawn], self.values[drawn])

    def render(self, latents: Latents, size: int = 64) -> Tensor:
        """Pictures of the nearest items, shape (n, 3, size, size), in [0, 1]."""
        prepare = v2.Compose([v2.Resize((size, size)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
        return torch.stack([prepare(self.picture(i)) for i in self.nearest(latents).tolist()])


def _latents(folder: Path, k: int) -> np.ndarray:
    """Raw latents of a class, shape (N, 10), float32, held against the scaled copy beside them."""
    raw, scaled = (_array(folder / f"{name}_{k}.npy") for name in ("raw_latents", "latents"))
    if not (np.abs(raw) <= 1).all():
        raise ValueError(f"{folder / f'raw_latents_{k}.npy'}: wanted values in [−1, 1]; is it latents_{k}.npy renamed?")
    if raw.shape != scaled.shape or not np.allclose(raw * SCALE, scaled, atol=1e-4):
        raise ValueError(f"{folder / f'latents_{k}.npy'}: does not belong to raw_latents_{k}.npy beside it")
    return raw


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; the folder is wanted as released (Zenodo 4784282)")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); unpack it again") from error
    if array.ndim != 2 or array.shape[1] != len(LATENTS) or not len(array) or not np.isfinite(array).all():
        raise ValueError(
            f"{path}: wanted finite numbers of shape (N, {len(LATENTS)}), got {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.float32)


def _pictures(folder: Path, k: int) -> list[Path]:
    """Files of a class, in the order of their numbers, whatever the width they are padded to."""
    place = folder / f"images_{k}"
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: missing; the folder is wanted as released (Zenodo 4784282)")
    files = sorted(place.glob("*.png"), key=_number)
    for number, file in enumerate(files):
        if _number(file) != number:
            raise ValueError(f"{place}: picture number {number} is missing or there twice; in its place is {file.name}")
    return files


def _number(file: Path) -> int:
    if not file.stem.isdecimal():
        raise ValueError(f"{file}: wanted a number for a name")
    return int(file.stem)
