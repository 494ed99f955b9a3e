"""Your own images: levels of windows are trained on a folder of them, and a page shows which windows belong together.

What a level is stands in `encoders`, how it is trained in `training`, the control in `widgets`. As a command:

    python -m hssl.own FOLDER -o page.html
"""

import argparse
import hashlib
import html
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
import pandas as pd
import torch
from beartype.vale import Is
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

import hssl
from hssl import losses
from hssl.checks import WORDS, ArgumentError, Count, NonNegative, Whole, checked, explained, one_of
from hssl.encoders import Hierarchy, embed
from hssl.files import read_text, write_whole
from hssl.reading import read_folder
from hssl.training import SCHEDULES, fit_levels
from hssl.training.loop import progress
from hssl.widgets import PatchSimilarity
from hssl.widgets.mounting import check_texts

SIZE, LEVELS, STEPS = 480, 3, 1000  # longest side in pixels, levels, steps of training
SMALLEST, DIM = 8, 32  # side length of the lowest windows in pixels, numbers that describe a window
ACROSS, SHOWN = 6, 24  # windows of other images, and images, that the page shows at most
EXPORTS = (".npz", ".parquet")
PAGE_LIMIT = 100_000_000  # bytes; beyond them a browser gives up
Few = Annotated[int, Is[lambda value: 1 <= value <= 8]]
WORDS[Few] = "a whole number from 1 to 8"
#: By name; values in [0, 1].
Images = Mapping[str, Float[Tensor, "3 _ _"]]
#: By name of the image, then by window size, shape (rows, cols, dim).
Vectors = Mapping[str, Mapping[str, Float[Tensor, "_ _ _"]]]


@checked
def read(
    folder: str | Path, *, size: Count = SIZE, levels: Few = LEVELS, progress: Callable[[Any], Any] = iter
) -> dict[str, Float[Tensor, "3 h w"]]:
    """All images of a folder by name, shape (3, h, w), if there are two or more and all are large enough.

    Args:
        folder, progress: as in `reading.read_folder`. size: longest side in pixels; larger ones are reduced.
        levels: of the hierarchy; with 3 the shorter side must have 64 pixels, and twice as many for each one more.
    Raises:
        ValueError: no folder, fewer than two images, one that cannot be read or that is too small; names it.
    Taught in: own_images, "The images".

    >>> read("no_such_folder")
    Traceback (most recent call last):
    ValueError: no_such_folder: there is no such folder
    """
    images = read_folder(folder, size=size, least=2, progress=progress)
    _check_sizes(images, levels, f", once reduced to {size}")
    return images


def _check_sizes(images: Mapping[str, Tensor], levels: int, reduced: str = "") -> None:
    """Raise a ValueError that names an image from which nothing can be learned, most likely one that is too small.

    >>> _check_sizes({"a.png": torch.zeros(3, 40, 80)}, 3)
    Traceback (most recent call last):
    ValueError: a.png: wanted 64 pixels or more on the shorter side, got 80 × 40
    """
    if not images:
        raise ArgumentError("images: wanted at least one, got none")
    for name, image in images.items():
        if not ((image >= 0) & (image <= 1)).all():
            raise ArgumentError(f"{name}: wanted values in [0, 1]")
    least = 2 * _sides(levels)[-1]
    small = {name: f"{x.shape[2]} × {x.shape[1]}" for name, x in images.items() if min(x.shape[1:]) < least}
    for name, got in small.items():
        others = f"; {len(small) - 1} more are too small" if len(small) > 1 else ""
        raise ValueError(f"{name}: wanted {least} pixels or more on the shorter side{reduced}, got {got}{others}")


def _sides(levels: int) -> list[int]:
    """Side lengths of the windows, in pixels, from the lowest level up.

    >>> _sides(3)
    [8, 16, 32]
    """
    return [SMALLEST * 2**k for k in range(levels)]


@checked
def hierarchy(
    levels: Few = LEVELS, *, size: tuple[int, int] | None = None, generator: torch.Generator | None = None
) -> Hierarchy:
    """Untrained levels of windows of 8, 16, 32, … pixels, in colour, each described by 32 numbers.

    Args:
        size: (height, width) of the images in pixels; None means the squares that are trained on, 64 by 64 for 3.
        generator: draws the initial weights.
    Taught in: own_images, "Which windows belong together?".

    >>> [tuple(z.shape) for z in hierarchy()(torch.zeros(2, 3, 64, 64))]
    [(2, 8, 8, 32), (2, 4, 4, 32), (2, 2, 2, 32)]
    """
    sides = _sides(levels)
    windows, size = [(side, side) for side in sides], size or (2 * sides[-1], 2 * sides[-1])
    return Hierarchy(size, windows, DIM, channels_in=3, channels=(16, 32), head=4 * DIM, generator=generator)


def _squares(images: Sequence[Tensor], n: int, side: int, generator: torch.Generator) -> Tensor:
    """Squares from anywhere in images, shape (n, 3, side, side): each image is as likely as any other.

    >>> _squares([torch.zeros(3, 70, 90), torch.zeros(3, 64, 64)], 5, 64, g).shape
    torch.Size([5, 3, 64, 64])
    """
    found = []
    for k in torch.randint(len(images), (n,), generator=generator).tolist():
        room = torch.tensor(images[k].shape[1:]) - side + 1
        y, x = (torch.rand(2, generator=generator) * room).long().tolist()
        found.append(images[k][:, y : y + side, x : x + side])
    return torch.stack(found)


@checked
def learn(
    images: Images,
    *,
    levels: Few = LEVELS,
    steps: Count = STEPS,
    schedule: str = "joint",
    seed: Whole = 0,
    checkpoint: str | Path | None = None,
    label: str | None = None,
) -> Hierarchy:
    """Train a hierarchy on images: pairs are neighbouring windows of one level, those of other squares are negatives.

    Args:
        images: by name, shape (3, h, w), in [0, 1]. steps: for each phase of the schedule, of 32 squares each.
        schedule, label: as in `fit_levels`. seed: of the weights and of all draws.
        checkpoint: where files are kept from which the same call goes on after an interruption, to the same numbers;
            their names begin so, and hold a digest of images and settings. Delete them afterwards.
    Returns:
        The hierarchy, in evaluation mode; the same for the same arguments.
    Raises:
        ValueError: an image that is too small, or as `fit_levels`.
    Taught in: own_images, "Which windows belong together?".

    >>> model = learn({"a": torch.rand(3, 64, 80, generator=g)}, steps=2)
    >>> len(model.levels), model.training
    (3, False)
    """
    _check_sizes(images, levels)
    generator = torch.Generator().manual_seed(seed)
    model = hierarchy(levels, generator=generator)
    each = [partial(_loss, model.grids, level, generator) for level in range(levels)]
    draw = partial(_squares, list(images.values()), 32, model.size[0], generator)
    if checkpoint is not None:
        checkpoint = _kept(checkpoint, images, levels, steps, schedule, seed)
    how: dict[str, Any] = {"generator": generator, "checkpoint": checkpoint, "label": label}
    fit_levels(model, draw, losses=each, steps=steps, schedule=schedule, learning_rate=3e-3, **how)
    return model


def _kept(checkpoint: str | Path, images: Mapping[str, Tensor], *settings) -> str:
    """How the names of the files begin that a training on these images with these settings keeps."""
    shapes = [x.shape for x in images.values()]
    digest = hashlib.sha256(repr([hssl.__version__, settings, shapes]).encode())
    for image in images.values():
        digest.update(image.contiguous().numpy().tobytes())
    return f"{checkpoint}.{digest.hexdigest()[:12]}"


def _loss(grids: Sequence[tuple[int, int]], level: int, generator: torch.Generator, h: Tensor) -> Tensor:
    """Of neighbouring windows of a level, four pairs a square; all windows may be drawn."""
    valid = [torch.ones(len(h), *grid).bool() for grid in grids]
    return losses.neighbour_info_nce(h, *valid, level=level, generator=generator, each=4, temperature=0.2)


@checked
def windows(
    model: Hierarchy, images: Images, *, progress: Callable[[Any], Any] = iter
) -> dict[str, dict[str, Float[Tensor, "rows cols dim"]]]:
    """Embeddings of all windows of images: by name, then by window size such as "8 px", shape (rows, cols, 32).

    The windows lie side by side from the upper left corner. Pixels that the largest ones do not reach are left out.

    Args:
        model: as `learn` or `hierarchy` gives it. images: by name, shape (3, h, w). progress: goes through the names.
    Taught in: own_images, "Which windows belong together?".

    >>> found = windows(hierarchy(), {"a": torch.zeros(3, 70, 100)})
    >>> {size: tuple(z.shape) for size, z in found["a"].items()}
    {'8 px': (8, 12, 32), '16 px': (4, 6, 32), '32 px': (2, 3, 32)}
    """
    sides = _sides(len(model.levels))
    weights = {name: value for name, value in model.state_dict().items() if not name.endswith("constituents")}
    found = {}
    for name in progress(list(images)):
        image = _cropped(images[name], sides[-1])
        if not image.numel():
            raise ArgumentError(f"images[{name!r}]: wanted at least {sides[-1]} pixels on either side")
        whole = hierarchy(len(sides), size=(image.shape[1], image.shape[2]))
        whole.load_state_dict(weights, strict=False)  # which windows tile which depends on the size
        levels = embed(whole, image[None])
        found[name] = {f"{side} px": z[0] for side, z in zip(sides, levels, strict=True)}
    return found


def _cropped(image: Tensor, side: int) -> Tensor:
    """What windows of that side length tile, from the upper left corner.

    >>> _cropped(torch.zeros(3, 70, 100), 32).shape
    torch.Size([3, 64, 96])
    """
    return image[:, : image.shape[1] // side * side, : image.shape[2] // side * side]


@checked
def same_image(vectors: Vectors, size: str, *, apart: NonNegative = 64.0) -> float:
    """Fraction of windows whose nearest window is of the same image; those nearer than `apart` do not count.

    The mean over images, so that each counts alike. Nearest is by the cosine.

    Args:
        vectors: as `windows` gives them, of two images or more. size: of the windows, such as "8 px".
        apart: between the middles of two windows of one image, in pixels.
    Raises:
        ValueError: fewer than two images, or a window size that is not there.
    Taught in: own_images, "A number".

    >>> two = {name: {"8 px": torch.eye(2)[k].expand(1, 20, 2)} for k, name in enumerate("ab")}
    >>> same_image(two, "8 px")
    1.0
    """
    if len(vectors) < 2:
        raise ArgumentError(f"vectors: wanted those of two images or more, got {len(vectors)}")
    _check_vectors(vectors)
    for of in vectors.values():
        one_of("size", size, list(of))
    if len(dims := {of[size].shape[2] for of in vectors.values()}) > 1:
        raise ArgumentError(f"vectors: wanted one length of all at {size}, got {sorted(dims)}")
    units = [normalize(of[size].flatten(0, 1), dim=1) for of in vectors.values()]
    found = []
    for k, (unit, of) in enumerate(zip(units, vectors.values(), strict=True)):
        rows, cols = (torch.arange(n).double() * int(size.split()[0]) for n in of[size].shape[:2])
        at = torch.cartesian_prod(rows, cols)
        near = [unit @ other.T for other in units]
        near[k] = near[k].masked_fill(torch.cdist(at, at) < apart, -torch.inf)
        best = torch.stack([other.amax(1) for other in near])
        found.append((best.argmax(0) == k).double().mean().item())
    return float(np.mean(found))


@checked
def control(images: Images, vectors: Vectors, *, across: Whole = ACROSS, **settings) -> PatchSimilarity:
    """A control of images: which windows of one belong together, and which windows of the others are most similar.

    Args:
        images, vectors: as `read` and `windows` give them. across, settings: as in `PatchSimilarity`.
    Taught in: own_images, "Which windows belong together?".

    >>> images = {name: torch.rand(3, 64, 64, generator=g) for name in "ab"}
    >>> [hit[0] for hit in control(images, windows(hierarchy(), images), across=1).elsewhere()]
    ['b']
    """
    _check_vectors(vectors)
    if missing := [name for name in vectors if name not in images]:
        raise ArgumentError(f"images: wanted all that vectors are of, got none named {missing[0]!r}")
    largest = max(int(size.split()[0]) for of in vectors.values() for size in of)
    shown = {name: _cropped(images[name], largest).permute(1, 2, 0).numpy() for name in vectors}
    arrays = {name: {size: z.numpy() for size, z in of.items()} for name, of in vectors.items()}
    widget = PatchSimilarity(shown, arrays, across=across, **settings)
    row, column = widget.patch(f"{largest} px")  # the largest windows show most
    widget.selection = widget.selection | {"level": f"{largest} px", "row": row, "column": column}
    return widget


@checked
def page(images: Images, vectors: Vectors, *, title: str = "Your own images", note: str = "") -> str:
    """The control as a page of its own, HTML: nothing is loaded from elsewhere, and nothing is sent.

    Args:
        images, vectors: as in `control`. note: what else the page says, plain text.
    Taught in: own_images, "Take it with you".

    >>> images = {name: torch.rand(3, 64, 64, generator=g) for name in "ab"}
    >>> page(images, windows(hierarchy(), images))[:15]
    '<!doctype html>'
    """
    shown = control(images, vectors, image_size=384, limit=PAGE_LIMIT)
    rows = [f"<li>{html.escape(name)}: {x.shape[2]} × {x.shape[1]} pixels</li>" for name, x in images.items()]
    values = {"TITLE": html.escape(title), "NOTE": html.escape(note), "COUNT": str(len(images))}
    values |= {"IMAGES": "\n".join(rows), "CONTROL": shown.static_html(), "VERSION": hssl.__version__}
    template = read_text("own.html")
    return re.sub("@([A-Z]+)@", lambda match: values[match[1]], template)


def _check_vectors(vectors: Vectors) -> None:
    """Raise an ArgumentError unless there are some, all of windows whose sizes have names such as "8 px".

    >>> _check_vectors({})
    Traceback (most recent call last):
    hssl.checks.ArgumentError: vectors: wanted those of one image or more, got none
    """
    if not vectors or not all(vectors.values()):
        raise ArgumentError("vectors: wanted those of one image or more, got none")
    for name, of in vectors.items():
        if odd := [size for size in of if not re.fullmatch(r"[1-9]\d* px", size)]:
            raise ArgumentError(f'vectors[{name!r}]: wanted window sizes such as "8 px", got {odd[0]!r}')


def _table(vectors: Vectors) -> pd.DataFrame:
    """Every window a row: image, level (1 the lowest), side in pixels, row and col from 0, and its numbers e0, e1, ….

    >>> images = {name: torch.zeros(3, 64, 64) for name in "ab"}
    >>> _table(windows(hierarchy(), images)).iloc[[0, -1], :6].values.tolist()  # doctest: +ELLIPSIS
    [['a', 1, 8, 0, 0, ...], ['b', 3, 32, 1, 1, ...]]
    """
    frames = []
    for name, of in vectors.items():
        for level, (size, z) in enumerate(of.items(), 1):
            row, col = np.indices(z.shape[:2]).reshape(2, -1)
            known = {"image": name, "level": level, "side": int(size.split()[0]), "row": row, "col": col}
            numbers = pd.DataFrame(z.flatten(0, 1).numpy()).add_prefix("e")
            frames.append(pd.concat([pd.DataFrame(known), numbers], axis=1))
    return pd.concat(frames, ignore_index=True)


@checked
def export(vectors: Vectors, path: str | Path) -> None:
    """Write the embeddings of all windows to a file: whole, or not at all.

    As .parquet, a row is a window: image, level (1 the lowest), side in pixels, row and col from 0, and its numbers
    e0, e1, …. As .npz, the same columns are arrays, with all numbers in one, "embedding", shape (windows, 32).

    Args:
        vectors: as `windows` gives them. path: ends with .npz or .parquet.
    Raises:
        ValueError: another ending, no such folder, or .parquet without `pyarrow`.
    Taught in: own_images, "Take it with you".

    >>> export({}, "windows.csv")
    Traceback (most recent call last):
    ValueError: windows.csv: wanted a file that ends with .npz or .parquet
    """
    path = Path(path)
    _check_output(path, EXPORTS)
    _check_vectors(vectors)
    frame = _table(vectors)

    def write(file: BinaryIO) -> None:
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(file, index=False)
            return
        numbers = frame.filter(regex=r"^e\d+$")
        known = {name: frame[name].to_numpy() for name in frame.columns.difference(numbers.columns)}
        known["image"] = known["image"].astype(str)
        np.savez_compressed(file, embedding=numbers.to_numpy(np.float32), **known)

    write_whole(path, write)


def _check_output(path: Path, endings: Sequence[str]) -> None:
    """Raise a ValueError where a file of one of these endings cannot be written; names it.

    >>> _check_output(Path("no_such_folder/page.html"), [".html"])
    Traceback (most recent call last):
    ValueError: no_such_folder/page.html: there is no folder no_such_folder
    """
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path}: wanted a file that ends with {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ValueError(f"{path}: cannot be written")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise ValueError(f"{path}: this needs pyarrow (pip install pyarrow); or export to .npz")


@explained
def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 when the page is written, 2 after an error, which is one line, 130 when interrupted.

    >>> main(["no_such_folder", "-o", "page.html"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (ValueError, OSError) as error:
        print(f"hssl.own: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("hssl.own: interrupted; the same command goes on from what is kept beside the output", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m hssl.own", description="From images to a page about their windows.")
    parser.add_argument("folder", help="with two images or more: .jpg, .png, .webp, …")
    parser.add_argument("-o", "--output", type=Path, default=Path("page.html"), help="the page (%(default)s)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="also write all embeddings, to .npz or .parquet")
    parser.add_argument("--size", type=_count, default=SIZE, help="longest side of the images, pixels (%(default)s)")
    parser.add_argument("--steps", type=_count, default=STEPS, help="of the training (%(default)s)")
    parser.add_argument("--levels", type=int, default=LEVELS, choices=range(1, 6), help="of windows (%(default)s)")
    parser.add_argument("--schedule", default="joint", choices=list(SCHEDULES), help="of the levels (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (%(default)s)")
    parser.add_argument("--show", type=_count, default=SHOWN, help="how many images the page has (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="do not go on from an interrupted run")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, got {text!r}")
    return int(text)


def _run(options: argparse.Namespace) -> None:
    if options.show < 2:
        raise ValueError(f"--show: wanted at least 2 images, got {options.show}")
    _check_output(options.output, (".html", ".htm"))
    if options.export:
        _check_output(options.export, EXPORTS)
    images = read(options.folder, size=options.size, levels=options.levels, progress=_bar("reading"))
    check_texts("images", images)  # the names of their files, before anything is learned
    how = {name: getattr(options, name) for name in ("levels", "steps", "schedule", "seed")}
    beside = options.output.with_name(f"{options.output.name}.partial")
    kept = _kept(beside, images, *how.values())
    if options.fresh:
        _forget(kept)
    model = learn(images, **how, checkpoint=beside, label="training")
    vectors = windows(model, images, progress=_bar("windows"))
    if options.export:
        export(vectors, options.export)
    shown = list(images)[: options.show]
    if len(shown) < len(images):
        print(f"The page has the first {len(shown)} of {len(images)} images; --show {len(images)} has all.")
    title = f"Windows of {Path(options.folder).resolve().name}"
    settings = ", ".join(f"{name} {value}" for name, value in how.items())
    note = f"Trained on all {len(images)} images, at most {options.size} pixels long; {settings}."
    text = page({name: images[name] for name in shown}, {name: vectors[name] for name in shown}, title=title, note=note)
    write_whole(options.output, lambda file: file.write(text.encode()))
    _forget(kept)
    print(f"{options.output}: {len(shown)} images, {len(text.encode()) / 1e6:.1f} MB. Open it in a browser.")


def _forget(kept: str) -> None:
    """Delete the files that a training has kept."""
    start = Path(kept)
    for path in start.parent.iterdir():
        if path.name.startswith(f"{start.name}."):
            path.unlink()


def _bar(label: str) -> Callable[[Any], Any]:
    return partial(progress, label=label)


if __name__ == "__main__":
    sys.exit(main())
