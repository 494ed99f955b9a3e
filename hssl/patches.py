"""Windows of a batch of images: all of them, neighbours, and what a larger window is made of.

Reading order throughout: window r · cols + c stands in row r and column c. Which pairs of windows are positive is
left to `pairing`.
"""

import math
from typing import Annotated

import torch
from beartype.vale import Is
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from hssl.checks import WORDS, ArgumentError, Count, Finite, Pixels, Positive, checked, explained

#: Of any dtype but those in which images lie in files, whose numbers go up to 255 or 65535.
Images = Float[Tensor, "n c height width"] | Int[Tensor, "n c height width"] | Bool[Tensor, "n c height width"]
Bins = Annotated[int, Is[lambda value: 1 <= value <= 256]]
WORDS[Bins] = "a whole number from 1 to 256"


@checked
def grid_shape(height: Count, width: Count, size: Count, stride: Count | None = None) -> tuple[int, int]:
    """How many rows and columns of windows fit into an image.

    Args:
        height, width: of the image, in pixels.
        size: side length of the windows, in pixels. stride: from one window to the next, in pixels; None means size.
    Raises:
        ArgumentError: a number < 1, or a window larger than the image.

    >>> grid_shape(32, 48, 8), grid_shape(32, 48, 8, 4)
    ((4, 6), (7, 11))
    """
    stride = size if stride is None else stride
    if size > min(height, width):
        raise ArgumentError(f"size: wanted at most {min(height, width)} for a {height}×{width} image, got {size}")
    return (height - size) // stride + 1, (width - size) // stride + 1


@checked
def grid(images: Images, size: Count, stride: Count | None = None) -> Tensor:
    """All windows of images, as a view of them. Pixels at the far edges that no window reaches are left out.

    Args:
        images: shape (n, c, height, width); a file, a PIL image, an array or uint8 goes through `read_image` first.
        size, stride: as in `grid_shape`.
    Returns:
        Shape (n, rows, cols, c, size, size), in the memory of the images: copy before you write.
    Raises:
        ArgumentError: another shape, uint8 or uint16, no image, or as `grid_shape`.

    >>> grid(torch.zeros(2, 3, 32, 48), 8).shape
    torch.Size([2, 4, 6, 3, 8, 8])
    """
    _not_empty(images=images)
    stride = size if stride is None else stride
    grid_shape(images.shape[2], images.shape[3], size, stride)
    windows = images.unfold(2, size, stride).unfold(3, size, stride)  # (n, c, rows, cols, size, size)
    return windows.permute(0, 2, 3, 1, 4, 5)


@checked
def cut(
    images: Images, rows: Int[Tensor, " m"], corners: Int[Tensor, "m 2"], size: Count
) -> Shaped[Tensor, "m c {size} {size}"]:
    """Windows of images, wherever they lie.

    Args:
        images: as in `grid`. rows: which image, shape (m,), int64.
        corners: row and column of the upper left pixel, shape (m, 2), int64.
        size: side length of the windows, in pixels.
    Returns:
        Shape (m, c, size, size), a copy.
    Raises:
        ArgumentError: another shape, uint8 or uint16, no window, an image that is not there, or a window that reaches
            out of its image.

    >>> images = torch.arange(12).view(1, 1, 3, 4)
    >>> cut(images, torch.tensor([0]), torch.tensor([[1, 2]]), 2).tolist()
    [[[[6, 7], [10, 11]]]]
    """
    _not_empty(images=images, rows=rows)
    n, _, height, width = images.shape
    grid_shape(height, width, size)
    _below(n, rows=rows)
    if (corners < 0).any() or (corners > corners.new_tensor([height - size, width - size])).any():
        raise ArgumentError(f"corners: some windows of {size} pixels reach out of a {height}×{width} image")
    within = torch.arange(size, device=images.device)
    down, right = corners[:, 0, None] + within, corners[:, 1, None] + within  # (m, size)
    return images[rows[:, None, None], :, down[:, :, None], right[:, None]].permute(0, 3, 1, 2)


@checked
def orientations(patches: Float[Tensor, "n 1 size size"], spread: Positive = 3.0) -> Float[Tensor, " n"]:
    """Of the line or the edge in the middle of each patch: it runs across the mean gradient there.

    Args:
        patches: shape (n, 1, size, size); one of a single tone gets an orientation that means nothing.
        spread: standard deviation of the Gaussian window round the middle, in pixels.
    Returns:
        Radians in [0, π), from x towards y, shape (n,).
    Raises:
        ArgumentError: another shape, no patch, or spread <= 0.
    Source: the structure tensor, Bigün & Granlund 1987.

    >>> patch = torch.zeros(1, 1, 16, 16)
    >>> patch[..., 7:9] = 1  # a line from top to bottom
    >>> round(torch.rad2deg(orientations(patch)).item())
    90
    """
    _not_empty(patches=patches)
    down, right = torch.gradient(patches[:, 0], dim=(1, 2))
    at = torch.arange(patches.shape[-1], device=patches.device) - (patches.shape[-1] - 1) / 2
    near = torch.exp(-(at**2) / (2 * spread**2))
    weight = near[:, None] * near
    twice = torch.atan2((2 * right * down * weight).sum((1, 2)), ((right**2 - down**2) * weight).sum((1, 2)))
    return (twice / 2 + math.pi / 2) % math.pi


@checked
def colour_histogram(windows: Float[Tensor, "n 3 height width"], bins: Bins = 4) -> Float[Tensor, "n colours"]:
    """Square root of the fraction of pixels in each of bins³ boxes of colour, shape (n, bins³): a vector of length 1.

    So the cosine of two of them is the overlap of the two histograms (the Bhattacharyya coefficient).

    Args:
        windows: in [0, 1], shape (n, 3, height, width). bins: per channel.
    Raises:
        ArgumentError: another shape, no window, or bins < 1.

    >>> black, grey = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)
    >>> (colour_histogram(torch.cat([black, grey]), bins=2) ** 2).tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]
    """
    _not_empty(windows=windows)
    level = (windows * bins).long().clamp(0, bins - 1).flatten(2)  # (n, 3, pixels)
    box = (level[:, 0] * bins + level[:, 1]) * bins + level[:, 2]
    count = windows.new_zeros(len(windows), bins**3).scatter_add_(1, box, windows.new_ones(box.shape))
    return (count / box.shape[1]).sqrt()


@checked
def neighbours(
    rows: Count, cols: Count, offset: tuple[int, int]
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """All pairs of windows of one image where the second lies at an offset from the first.

    Args:
        rows, cols: of the grid.
        offset: (down, right) in windows, either may be negative.
    Returns:
        Indices of the first and of the second, shape (pairs,) each, int64.
    Raises:
        ArgumentError: no rows or columns, an offset of (0, 0), or one that leads out of the grid from everywhere.

    >>> neighbours(2, 3, (0, 1))
    (tensor([0, 1, 3, 4]), tensor([1, 2, 4, 5]))
    """
    down, right = offset
    if (down, right) == (0, 0) or abs(down) >= rows or abs(right) >= cols:
        raise ArgumentError(f"offset: wanted another window of a {rows}×{cols} grid, got ({down}, {right})")
    numbers = torch.arange(rows * cols).view(rows, cols)
    first = numbers[max(0, -down) : rows - max(0, down), max(0, -right) : cols - max(0, right)]
    return first.flatten(), (first + down * cols + right).flatten()


@checked
def draw_neighbours(
    valid: Bool[Tensor, "n rows cols"], generator: torch.Generator, each: Count = 1
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """A pair of windows of each image that lie side by side or one above the other, all such pairs equally likely.

    Args:
        valid: which windows may be drawn, shape (n, rows, cols), bool.
        each: how many pairs of each image, drawn with replacement: one of every image, then the next of every image.
    Returns:
        Indices of the first (left or upper) and of the second, in reading order, shape (each · n,) each, int64.
    Raises:
        ArgumentError: another shape or type, a grid of one window, or images without two valid neighbours; says how
            many.

    >>> first, second = draw_neighbours(torch.tensor([[[True, True], [False, True]]]).expand(9, 2, 2), g)
    >>> sorted(set(zip(first.tolist(), second.tolist())))
    [(0, 1), (1, 3)]
    """
    _not_empty(valid=valid)
    if valid.shape[1:] == (1, 1):
        raise ArgumentError(f"valid: wanted at least two windows per image, got shape {tuple(valid.shape)}")
    rows, cols = valid.shape[1:]
    numbers = torch.arange(rows * cols, device=valid.device).view(rows, cols)
    first = torch.cat([numbers[:, :-1].flatten(), numbers[:-1].flatten()])
    second = torch.cat([numbers[:, 1:].flatten(), numbers[1:].flatten()])
    both = valid.flatten(1)[:, first] & valid.flatten(1)[:, second]  # (n, pairs)
    if lonely := (~both.any(1)).sum().item():
        raise ArgumentError(f"valid: {lonely} of {len(valid)} images have no two valid windows side by side")
    weights = both.float().to(generator.device)
    drawn = torch.cat([torch.multinomial(weights, 1, generator=generator)[:, 0] for _ in range(each)])
    chosen = drawn.to(valid.device)
    return first[chosen], second[chosen]


@checked
def have_neighbours(*valid: Bool[Tensor, "n _ _"]) -> Bool[Tensor, " n"]:
    """Which images have, on every grid, two valid windows side by side or one above the other.

    Args:
        valid: of each grid, which windows may be drawn, shape (n, rows, cols), bool.
    Returns:
        Shape (n,), bool: those that `draw_neighbours` takes.
    Raises:
        ArgumentError: no grid, another shape or type.

    >>> have_neighbours(torch.tensor([[[True, True], [False, False]], [[True, False], [False, True]]])).tolist()
    [True, False]
    """
    if not valid:
        raise ArgumentError("valid: wanted at least one grid, got none")
    above = [(grid[:, 1:] & grid[:, :-1]).flatten(1).any(1) for grid in valid]
    beside = [(grid[:, :, 1:] & grid[:, :, :-1]).flatten(1).any(1) for grid in valid]
    return (torch.stack(above) | torch.stack(beside)).all(0)


@checked
def facing(
    embeddings: Float[Tensor, "n rows cols width"],
    first: Int[Tensor, " pairs"],
    second: Int[Tensor, " pairs"],
    others: Int[Tensor, " pairs"] | None = None,
) -> tuple[Float[Tensor, "pairs dim"], Float[Tensor, "pairs dim"]]:
    """The blocks of two neighbouring windows that face each other: each embedding holds one block per side.

    The blocks are for what lies to the right, below, to the left and above, in this order. Of windows side by side
    these are the right block of the first and the left block of the second; of windows one above the other the lower
    block of the first and the upper one of the second.

    Args:
        embeddings: shape (n, rows, cols, 4 · dim), rows and cols of windows.
        first, second: as `draw_neighbours` gives them, shape (each · n,) each.
        others: images whose windows at the second's position take its place, shape (each · n,), int64; None means its
            own.
    Returns:
        The block of the first and that of the second, shape (each · n, dim) each.
    Raises:
        ArgumentError: another shape or type, no whole number of pairs an image, windows or images that are not there,
            or windows that are no neighbours.
    Taught in: joint_incremental, "Windows, pairs and heads".

    >>> z = torch.tensor([[[[0.0, 1, 2, 3], [4, 5, 6, 7]]]])  # one image, two windows side by side, blocks of one
    >>> facing(z, torch.tensor([0]), torch.tensor([1]))
    (tensor([[0.]]), tensor([[6.]]))
    """
    n, height, cols, width = embeddings.shape
    if not width or width % 4:
        raise ArgumentError(f"embeddings: wanted shape (n, rows, cols, 4 · dim), got {tuple(embeddings.shape)}")
    if not n or len(first) % n:
        raise ArgumentError(f"first, second: wanted a multiple of the {n} images, got {len(first)}")
    _below(height * cols, first=first, second=second)
    step = second - first
    if not ((step == cols) | ((step == 1) & (second % cols > 0))).all():
        raise ArgumentError("first, second: some of these windows are no neighbours")
    if others is not None:
        _below(n, others=others)
    rows = torch.arange(n, device=embeddings.device).repeat(len(first) // n)
    others = rows if others is None else others
    blocks, below = embeddings.flatten(1, 2).unflatten(2, (4, -1)), (step == cols).long()
    return blocks[rows, first, below], blocks[others, second, 2 + below]


@checked
def constituents(
    height: Count, width: Count, *, small: tuple[int, int], large: tuple[int, int]
) -> Int[Tensor, "windows tiles"]:
    """Which small windows tile each large one, side by side and in reading order.

    Args:
        height, width: of the image, in pixels.
        small, large: (size, stride) of either grid, in pixels. Small windows may overlap; those side by side count.
    Returns:
        Indices into the small grid, shape (rows · cols of the large grid, (large size / small size)²), int64.
    Raises:
        ArgumentError: as `grid_shape`, or the large windows are not tiled: the large size must be a multiple of the
            small size, and both the small size and the large stride of the small stride.

    >>> constituents(4, 8, small=(2, 2), large=(4, 4)).tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    (size, stride), (large_size, large_stride) = small, large
    (_, cols), (large_rows, large_cols) = (
        _grid_of(name, height, width, window) for name, window in (("small", small), ("large", large))
    )
    if large_size % size:
        raise ArgumentError(f"large: wanted a size that is a multiple of {size}, the small size; got {large_size}")
    side = large_size // size
    if side > 1 and size % stride:
        raise ArgumentError(f"small: wanted a stride that divides its size {size}, got {stride}")
    if max(large_rows, large_cols) > 1 and large_stride % stride:
        raise ArgumentError(f"large: wanted a stride that is a multiple of {stride}, the small one; got {large_stride}")
    step, within = large_stride // stride, torch.arange(side) * (size // stride)
    row, col = (torch.arange(count)[:, None] * step + within for count in (large_rows, large_cols))  # (count, side)
    return (row[:, None, :, None] * cols + col[None, :, None, :]).reshape(large_rows * large_cols, side**2)


def _grid_of(name: str, height: int, width: int, window: tuple[int, int]) -> tuple[int, int]:
    try:
        return grid_shape(height, width, *window)
    except ArgumentError as error:
        raise ArgumentError(f"{name}: {error}") from error


@explained
def pixel_grid(size: Pixels, edge: Finite = 1.0, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Where the centres of an image's pixels lie: x to the right and y downwards, shape (size, size) each.

    Args:
        size: side length of the image, in pixels. edge: the same length in the unit of x and y, counted from 0.

    >>> pixel_grid(2, 24.0)[0].tolist()
    [[6.0, 18.0], [6.0, 18.0]]
    """
    at = (torch.arange(size, device=device) + 0.5) * edge / size
    x, y = torch.meshgrid(at, at, indexing="xy")
    return x, y


@checked
def centres(height: Count, width: Count, size: Count, stride: Count | None = None) -> Float[Tensor, "windows 2"]:
    """Where the windows' centres lie.

    Args:
        height, width, size, stride: as in `grid_shape`.
    Returns:
        (y, x), shape (rows · cols, 2), float32, in pixels: 0 is the centre of the first pixel, y goes downwards.
    Raises:
        ArgumentError: as `grid_shape`.

    >>> centres(2, 4, 2)
    tensor([[0.5000, 0.5000],
            [0.5000, 2.5000]])
    """
    rows, cols = grid_shape(height, width, size, stride)
    stride = size if stride is None else stride
    y, x = (torch.arange(count) * stride + (size - 1) / 2 for count in (rows, cols))
    return torch.cartesian_prod(y, x)


def _not_empty(**tensors: Tensor) -> None:
    for name, value in tensors.items():
        if not value.numel():
            raise ArgumentError(f"{name}: wanted at least one on every axis, got shape {tuple(value.shape)}")


def _below(count: int, **indices: Tensor) -> None:
    for name, value in indices.items():
        if value.numel() and (value.min() < 0 or value.max() >= count):
            raise ArgumentError(f"{name}: wanted 0 to {count - 1}, got {value.min()} to {value.max()}")
