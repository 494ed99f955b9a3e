"""What was published with Causal3DIdent: the scores, and the layout of its folder, which our renderer can fill.

How such a folder is read is left to `causal3dident`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
import torch
from beartype.vale import Is
from PIL import Image

from hssl.checks import MOST, WORDS, ImageSize, Whole, checked
from hssl.files import read_file, write_whole
from hssl.worlds.scenes import BATCH, CLASSES, LATENTS, VARIABLES, Latents, render, sample_latents

Several = Annotated[int, Is[lambda value: 2 <= value <= MOST]]
WORDS[Several] = "a whole number ≥ 2"
SCALE = np.array([2.0] * 3 + [np.pi / 2] * 7)  #: of each of `LATENTS`: latents_{k}.npy over raw_latents_{k}.npy
_ROWS = """hues 1 .59 .91 .3 0 0 .3|positions 1 .16 0 .46 0 .97 .29
rotations 1 .53 .9 .41 0 .97 .28|positions+hues 1 .22 .07 .32 0 .02 .34
rotations+hues 1 .57 .91 .3 0 0 .28|crop_small .14 0 0 0 0 1 0
crop_large .28 .09 .21 .87 .09 1 .02|rotation .33 .17 .23 .83 .3 .99 .05
colour .42 .61 .17 .1 .01 .01 .33|crop_large+colour .97 .59 .59 .28 .01 .01 .74
crop_small+colour 1 .69 .93 .3 0 .02 .56|rotation+colour .59 .58 .21 .12 .01 .01 .33"""
#: By views: accuracy of the class, and R² of all other variables as plain numbers (von Kügelgen et al. 2021, table 2).
PUBLISHED: dict[str, dict[str, float]] = {
    views: dict(zip(VARIABLES, map(float, row), strict=True))
    for views, *row in (line.split() for line in _ROWS.replace("|", "\n").split("\n"))
}


@checked
def write_rendered(
    root: str | Path,
    count: Several,
    *,
    size: ImageSize = 224,
    seed: Whole = 0,
    part: tuple[int, int] = (0, 1),
    progress: Callable[[Any], Any] = iter,
) -> None:
    """Fill a folder with scenes of our renderer, in the layout of the release: no image twice, each whole.

    Args:
        root: the folder; what is missing of it is made. One that was begun is finished.
        count: scenes of each class for training (36,000 in the release); a tenth of it, at least 2, for the test.
        size: side length in pixels (224 in the release). seed: of the latents.
        part: (k, n) renders the k-th of n parts of the images, so that n processes can share them.
        progress: what goes through the batches, such as `tqdm`.
    Raises:
        ValueError: the folder holds other latents: of the release, or of another count or seed; names the file.
    Taught in: full_size, "The released images".

    >>> from hssl.worlds.scenes.causal3dident import Causal3DIdent
    >>> folder = getfixture("tmp_path")
    >>> write_rendered(folder, 2, size=16)
    >>> len(Causal3DIdent(folder)), Causal3DIdent(folder, "test")[0][0].size
    (14, (16, 16))
    """
    if not 0 <= part[0] < part[1]:
        raise ValueError(f"part: wanted (k, n) with 0 ≤ k < n, got {part}")
    missing = []
    for number, split in enumerate(("train", "test")):
        each = count if split == "train" else max(2, count // 10)
        folder, generator = Path(root) / f"{split}set", torch.Generator().manual_seed(2 * seed + number)
        for k, latents in enumerate(_by_class(each, generator)):
            images = folder / f"images_{k}"
            images.mkdir(parents=True, exist_ok=True)
            _same(folder / f"raw_latents_{k}.npy", latents)
            _same(folder / f"latents_{k}.npy", (latents * SCALE).astype(np.float32))
            width = len(str(each - 1))
            files = [images / f"{i:0{width}d}.png" for i in range(part[0], each, part[1])]
            rows = torch.from_numpy(latents)[part[0] :: part[1]]
            missing += [(file, k, row) for file, row in zip(files, rows, strict=True) if not file.exists()]
    step = max(1, BATCH["cpu"] * 64**2 // size**2)
    for begin in progress(range(0, len(missing), step)):
        files, labels, values = zip(*missing[begin : begin + step], strict=True)
        drawn = render(Latents(torch.tensor(labels), torch.stack(values)), size)
        for file, image in zip(files, drawn, strict=True):
            picture = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())
            write_whole(file, partial(picture.save, format="png"))


@checked
def read_array(path: Path, advice: str) -> np.ndarray:
    """Latents from a file, shape (N, 10), float32; it takes no more memory than the file is long.

    Raises:
        FileNotFoundError, ValueError: the file is missing or damaged, or holds something else; names it.

    >>> np.save(file := getfixture("tmp_path") / "a.npy", np.zeros((3, 10)))
    >>> read_array(file, "unpack it again").shape
    (3, 10)
    """

    def parse(file: IO[bytes]) -> np.ndarray:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # a header may promise more than there is
        if not isinstance(array, np.ndarray):
            array.close()
            raise ValueError("wanted a single array, got an archive of arrays")
        numbers = array.dtype.kind in "fiu" and array.shape[1:] == (len(LATENTS),) and len(array)
        if not numbers or not np.isfinite(array).all():
            came = f"{array.dtype} of shape {array.shape}"
            raise ValueError(f"wanted finite numbers of shape (N, {len(LATENTS)}), got {came}")
        return array.astype(np.float32)

    return read_file(path, parse, advice)


def _by_class(each: int, generator: torch.Generator) -> list[np.ndarray]:
    """Raw latents of each class, shape (each, 10), float32, from the causal model."""
    found: list[list[torch.Tensor]] = [[] for _ in CLASSES]
    while min(sum(map(len, of)) for of in found) < each:
        labels, values = sample_latents(len(CLASSES) * each, generator)
        for k, of in enumerate(found):
            of.append(values[labels == k])
    return [torch.cat(of)[:each].numpy() for of in found]


def _same(path: Path, values: np.ndarray) -> None:
    """Write an array, unless it is there already."""
    if not path.exists():
        write_whole(path, lambda file: np.save(file, values))
        return
    if not np.array_equal(read_array(path, "delete it"), values):
        raise ValueError(f"{path}: holds other latents than those to be rendered; name another folder")
