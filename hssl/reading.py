"""Images as people have them, of whatever kind, as the library takes them: RGB, upright, float32 in [0, 1].

What to learn from them is left to the worlds, how to cut them to `hssl.patches`.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from hssl.checks import Count, checked

#: Integers count up to this: 8 and 16 bits a channel, and yes or no.
_FULL = {"uint8": 255.0, "uint16": 65535.0, "bool": 1.0}
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@checked
def read_image(source: Any, *, size: Count | None = None, name: str | None = None) -> Float[Tensor, "3 h w"]:
    """An image, shape (3, h, w), float32 in [0, 1], from a path, a file's bytes, a PIL image, an array or a tensor.

    Grey, palette, CMYK, HSV and 16-bit images become RGB; what is transparent lies on white; a photograph stands
    upright as its EXIF orientation says; of an animation, the first frame is taken.

    Args:
        source: a path; the bytes of a file; a PIL image; or an array or a tensor of shape (h, w), (h, w, c) or
            (c, h, w) with c from 1 to 4: grey, grey and alpha, RGB, RGB and alpha. Where both readings are possible,
            the channels of a tensor come first and those of an array last. Of bool, uint8, uint16, or of
            floating-point numbers in [0, 1].
        size: longest side in pixels of what is returned; a smaller image is not enlarged. None: as it is.
        name: what errors call the image; None: its path, or "image".
    Raises:
        ValueError: no such file, a damaged one or no image; another shape, dtype or range. Names the image.

    >>> read_image(np.full((4, 6), 255, np.uint8))[:, 0, 0].tolist()
    [1.0, 1.0, 1.0]
    >>> read_image(Image.new("LA", (40, 20), (0, 0)), size=10).shape  # black, fully transparent
    torch.Size([3, 5, 10])
    >>> read_image(torch.full((3, 4, 5), 2.0), name="view")
    Traceback (most recent call last):
    ValueError: view: wanted floating-point numbers in [0, 1], got 2 to 2
    """
    name = name or (str(source) if isinstance(source, str | Path) else "image")
    try:
        found = _opened(source, size) if isinstance(source, str | Path | bytes | memoryview) else source
        found = _of_picture(found, size) if isinstance(found, Image.Image) else _of_array(found)
    except _DAMAGED as error:
        raise ValueError(f"{name}: {_reason(error)}") from error
    if len(found) in (2, 4):  # on white
        found = found[:-1] * found[-1:] + (1 - found[-1:])
    return _smaller(found.clamp(0, 1), size).expand(3, -1, -1).contiguous()


@checked
def read_folder(
    folder: str | Path, *, size: Count | None = None, least: Count = 1, progress: Callable[[Any], Any] = iter
) -> dict[str, Float[Tensor, "3 h w"]]:
    """All images of a folder, by the names of their files, in the order of these; folders in it are left out.

    Args:
        folder: the folder. size: as in `read_image`.
        least: how many images there must be. progress: what goes through the files, such as `tqdm`.
    Raises:
        ValueError: no such folder, fewer images than `least`, or one of them cannot be read; names it.
    Taught in: photograph_levels, "The hierarchy".

    >>> read_folder("no_such_folder")
    Traceback (most recent call last):
    ValueError: no_such_folder: there is no such folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    kinds = Image.registered_extensions()
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds and path.is_file())
    files = [path for path in files if not path.name.startswith(".")]
    if len(files) < least:
        raise ValueError(f"{folder}: wanted at least {least} images, got {len(files)} (.jpg, .png, .webp, …)")
    return {path.name: read_image(path, size=size) for path in progress(files)}


def _opened(source: str | Path | bytes | memoryview, size: int | None) -> Image.Image:
    """The first frame of a file, decoded; a large JPEG only as finely as `size` needs."""
    path = isinstance(source, str | Path)
    if path and not Path(source).is_file():
        raise ValueError("there is no such file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # beyond twice that size Pillow refuses
        with Image.open(source if path else io.BytesIO(source)) as image:
            if size is not None:
                image.draft(None, (size, size))
            image.load()
            return image


def _of_picture(image: Image.Image, size: int | None) -> Tensor:
    """Shape (1 to 4, h, w), upright."""
    if 0 in image.size:
        raise ValueError(f"wanted an image, got no pixels: size {image.size}")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return _of_array(np.asarray(image).astype(np.uint16))
    if image.mode == "I":  # 16 bits, as older versions of Pillow read them
        values = np.asarray(image)
        if values.min() < 0 or values.max() > _FULL["uint16"]:
            raise ValueError(f"wanted at most 16 bits a channel, got values from {values.min()} to {values.max()}")
        return _of_array(values.astype(np.uint16))
    if image.mode == "F":
        return _of_array(np.asarray(image))
    if image.mode == "LAB":
        raise ValueError("wanted RGB, grey, palette, CMYK, YCbCr or HSV, got mode LAB")
    clear = image.has_transparency_data
    image = image.convert("RGBA" if clear else "RGB")
    if size is not None:
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _of_array(values: Any) -> Tensor:
    """Shape (1 to 4, h, w): grey or RGB, with or without alpha."""
    if first := isinstance(values, Tensor):
        if values.is_meta or values.layout != torch.strided:
            raise ValueError(f"wanted a dense tensor with values, got {values.layout} on {values.device}")
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    values = np.asarray(values)
    if values.ndim == 2:
        values = values[None]
    elif values.ndim == 3 and ((channels_first := len(values) in range(1, 5)) or values.shape[2] in range(1, 5)):
        last = values.shape[2] in range(1, 5) and not (first and channels_first)
        values = np.moveaxis(values, 2, 0) if last else values
    else:
        raise ValueError(f"wanted shape (h, w), (h, w, 1 to 4) or (1 to 4, h, w), got {values.shape}")
    if 0 in values.shape:
        raise ValueError(f"wanted an image, got no pixels: shape {values.shape}")
    if np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float32)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"wanted floating-point numbers in [0, 1], got {low:.4g} to {high:.4g}")
    elif values.dtype.name not in _FULL:
        raise ValueError(f"wanted bool, uint8, uint16 or floating-point numbers in [0, 1], got {values.dtype}")
    return torch.from_numpy(values.astype(np.float32) / np.float32(_FULL.get(values.dtype.name, 1.0)))


def _smaller(image: Tensor, size: int | None) -> Tensor:
    longest = max(image.shape[1:])
    if size is None or longest <= size:
        return image
    sides = [max(1, round(side * size / longest)) for side in image.shape[1:]]
    small = torch.nn.functional.interpolate(image[None], sides, mode="bilinear", antialias=True)
    return small[0].clamp(0, 1)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "this is no image, or it is damaged"
    if isinstance(error, Image.DecompressionBombError):
        return f"wanted at most {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller first"
    return str(error) if isinstance(error, ValueError) else f"damaged ({error})"
