"""Windows of a batch of pictures: all of them, the pictures back, neighbours, and what a larger window is made of.

Reading order throughout: window r · cols + c stands in row r and column c. Which pairs of windows are positive is
left to `pairing`.
"""

import torch
from torch import Tensor


def grid_shape(height: int, width: int, size: int, stride: int | None = None) -> tuple[int, int]:
    """How many rows and columns of windows fit into a picture.

    Args:
        height, width: of the picture, in pixels.
        size: edge of the windows, in pixels. stride: from one window to the next, in pixels; None means size.
    Raises:
        ValueError: size or stride < 1, or a window larger than the picture.
    """
    stride = size if stride is None else stride
    if size < 1 or stride < 1:
        raise ValueError(f"size, stride: wanted at least 1 pixel, got {size} and {stride}")
    if size > min(height, width):
        raise ValueError(f"size: wanted at most {min(height, width)} for a {height}×{width} picture, got {size}")
    return (height - size) // stride + 1, (width - size) // stride + 1


def grid(images: Tensor, size: int, stride: int | None = None) -> Tensor:
    """All windows of pictures, as a view of them. Pixels at the far edges that no window reaches are left out.

    Args:
        images: shape (n, c, height, width), any dtype.
        size, stride: as in `grid_shape`.
    Returns:
        Shape (n, rows, cols, c, size, size), in the memory of the pictures: copy before you write.
    Raises:
        ValueError: another shape, no picture, or as `grid_shape`.
    """
    if images.ndim != 4 or not images.shape[0] or not images.shape[1]:
        raise ValueError(f"images: wanted shape (n, c, height, width), n and c ≥ 1; got {tuple(images.shape)}")
    stride = size if stride is None else stride
    grid_shape(*images.shape[2:], size, stride)
    windows = images.unfold(2, size, stride).unfold(3, size, stride)  # (n, c, rows, cols, size, size)
    return windows.permute(0, 2, 3, 1, 4, 5)


def cut(images: Tensor, rows: Tensor, corners: Tensor, size: int) -> Tensor:
    """Windows of pictures, wherever they lie.

    Args:
        images: shape (n, c, height, width).
        rows: which picture, shape (m,), int64. corners: row and column of the upper left pixel, shape (m, 2), int64.
        size: edge of the windows, in pixels.
    Returns:
        Shape (m, c, size, size), a copy.
    Raises:
        ValueError: another shape, a picture that is not there, or a window that reaches out of its picture.
    """
    if images.ndim != 4 or rows.ndim != 1 or corners.shape != (len(rows), 2) or not len(rows):
        raise ValueError(
            f"images, rows, corners: wanted shapes (n, c, height, width), (m,) and (m, 2), m ≥ 1; got "
            f"{tuple(images.shape)}, {tuple(rows.shape)} and {tuple(corners.shape)}"
        )
    n, _, height, width = images.shape
    grid_shape(height, width, size)
    if not ((rows >= 0) & (rows < n)).all():
        raise ValueError(f"rows: wanted 0 to {n - 1}, got {rows.min()} to {rows.max()}")
    if (corners < 0).any() or (corners > corners.new_tensor([height - size, width - size])).any():
        raise ValueError(f"corners: some windows of {size} pixels reach out of a {height}×{width} picture")
    within = torch.arange(size, device=images.device)
    down, right = corners[:, 0, None] + within, corners[:, 1, None] + within  # (m, size)
    return images[rows[:, None, None], :, down[:, :, None], right[:, None]].permute(0, 3, 1, 2)


def assemble(patches: Tensor, stride: int | None = None) -> Tensor:
    """The pictures that windows were cut from; where windows overlap, their mean.

    Args:
        patches: shape (n, rows, cols, c, size, size), as `grid` gives them.
        stride: that of `grid`; None means size.
    Returns:
        Shape (n, c, (rows − 1) · stride + size, (cols − 1) · stride + size).
    Raises:
        TypeError: no floating-point numbers, of which means are taken.
        ValueError: another shape, or a stride < 1 or > size, which leaves pixels that no window holds.
    """
    if not patches.is_floating_point():
        raise TypeError(f"patches: wanted floating-point numbers, got {patches.dtype}")
    if patches.ndim != 6 or patches.shape[-1] != patches.shape[-2] or not patches.numel():
        raise ValueError(f"patches: wanted shape (n, rows, cols, c, size, size), got {tuple(patches.shape)}")
    n, rows, cols, c, size, _ = patches.shape
    stride = size if stride is None else stride
    if not 1 <= stride <= size:
        raise ValueError(f"stride: wanted 1 to {size}, the size of the windows; got {stride}")
    shape = ((rows - 1) * stride + size, (cols - 1) * stride + size)
    columns = patches.permute(0, 3, 4, 5, 1, 2).reshape(n, c * size**2, rows * cols)
    total = torch.nn.functional.fold(columns, shape, size, stride=stride)
    once = torch.ones_like(columns[:1, : size**2])
    return total / torch.nn.functional.fold(once, shape, size, stride=stride)


def neighbours(rows: int, cols: int, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """All pairs of windows of one picture where the second lies at an offset from the first.

    Args:
        rows, cols: of the grid.
        offset: (down, right) in windows, either may be negative.
    Returns:
        Indices of the first and of the second, shape (pairs,) each, int64.
    Raises:
        ValueError: no rows or columns, an offset of (0, 0), or one that leads out of the grid from everywhere.
    """
    down, right = offset
    if rows < 1 or cols < 1:
        raise ValueError(f"rows, cols: wanted at least 1 of each, got {rows} and {cols}")
    if (down, right) == (0, 0) or abs(down) >= rows or abs(right) >= cols:
        raise ValueError(f"offset: wanted another window of a {rows}×{cols} grid, got ({down}, {right})")
    numbers = torch.arange(rows * cols).view(rows, cols)
    first = numbers[max(0, -down) : rows - max(0, down), max(0, -right) : cols - max(0, right)]
    return first.flatten(), (first + down * cols + right).flatten()


def draw_neighbours(valid: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A pair of windows of each picture that lie side by side or one above the other, all such pairs alike.

    Args:
        valid: which windows may be drawn, shape (n, rows, cols), bool.
    Returns:
        Indices of the first (left or upper) and of the second, in reading order, shape (n,) each, int64.
    Raises:
        TypeError: `valid` is not bool.
        ValueError: another shape, a grid of one window, or pictures without two valid neighbours; says how many.
    """
    if valid.dtype != torch.bool:
        raise TypeError(f"valid: wanted booleans, got {valid.dtype}")
    if valid.ndim != 3 or not valid.numel() or valid.shape[1:] == (1, 1):
        raise ValueError(f"valid: wanted shape (n, rows, cols), at least two windows each; got {tuple(valid.shape)}")
    rows, cols = valid.shape[1:]
    offsets = [way for way, room in (((0, 1), cols > 1), ((1, 0), rows > 1)) if room]
    first, second = (
        torch.cat(of).to(valid.device) for of in zip(*(neighbours(rows, cols, o) for o in offsets), strict=True)
    )
    both = valid.flatten(1)[:, first] & valid.flatten(1)[:, second]  # (n, pairs)
    if lonely := (~both.any(1)).sum().item():
        raise ValueError(f"valid: {lonely} of {len(valid)} pictures have no two valid windows side by side")
    chosen = torch.multinomial(both.float(), 1, generator=generator)[:, 0]
    return first[chosen], second[chosen]


def facing(embeddings: Tensor, first: Tensor, second: Tensor, others: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What two neighbouring windows say of each other: each embedding holds four blocks, one for each of its sides.

    The blocks say what lies to the right, below, to the left and above. Of windows side by side the right block of
    the first and the left block of the second are given; of windows one above the other the lower and the upper one.

    Args:
        embeddings: shape (n, rows, cols, 4 · dim), rows and cols of windows.
        first, second: as `draw_neighbours` gives them, shape (n,) each.
        others: the pictures that the second windows are taken of, shape (n,), int64; None means the same ones.
    Returns:
        The block of the first and that of the second, shape (n, dim) each.
    Raises:
        ValueError: another shape, or windows that are no neighbours.
    Taught in: hierarchy, "Growing windows on real icons".
    """
    if embeddings.ndim != 4 or embeddings.shape[3] % 4 or first.shape != second.shape != (len(embeddings),):
        raise ValueError(f"embeddings: wanted shape (n, rows, cols, 4 · dim), got {tuple(embeddings.shape)}")
    cols, step = embeddings.shape[2], second - first
    if not ((step == cols) | ((step == 1) & (second % cols > 0))).all():
        raise ValueError("first, second: some of these windows are no neighbours")
    rows = torch.arange(len(embeddings), device=embeddings.device)
    blocks, below = embeddings.flatten(1, 2).unflatten(2, (4, -1)), (step == cols).long()
    return blocks[rows, first, below], blocks[rows if others is None else others, second, 2 + below]


def constituents(height: int, width: int, *, small: tuple[int, int], large: tuple[int, int]) -> Tensor:
    """Which small windows tile each large one, side by side and in reading order.

    Args:
        height, width: of the picture, in pixels.
        small, large: (size, stride) of either grid, in pixels. Small windows may overlap; those side by side count.
    Returns:
        Indices into the small grid, shape (rows · cols of the large grid, (large size / small size)²), int64.
    Raises:
        ValueError: as `grid_shape`, or the large windows are not tiled: the large size must be a multiple of the
            small size, and both the small size and the large stride of the small stride.
    """
    (size, stride), (large_size, large_stride) = small, large
    _, cols = grid_shape(height, width, size, stride)
    large_rows, large_cols = grid_shape(height, width, large_size, large_stride)
    if large_size % size:
        raise ValueError(f"large: wanted a size that is a multiple of {size}, the small size; got {large_size}")
    side = large_size // size
    if side > 1 and size % stride:
        raise ValueError(f"small: wanted a stride that divides its size {size}, got {stride}")
    if max(large_rows, large_cols) > 1 and large_stride % stride:
        raise ValueError(f"large: wanted a stride that is a multiple of {stride}, the small stride; got {large_stride}")
    step, within = large_stride // stride, torch.arange(side) * (size // stride)
    at_row = torch.arange(large_rows)[:, None] * step + within  # (large_rows, side)
    at_col = torch.arange(large_cols)[:, None] * step + within  # (large_cols, side)
    numbers = at_row[:, None, :, None] * cols + at_col[None, :, None, :]  # (large_rows, large_cols, side, side)
    return numbers.reshape(large_rows * large_cols, side**2)


def centres(height: int, width: int, size: int, stride: int | None = None) -> Tensor:
    """Where the windows' centres lie.

    Args:
        height, width, size, stride: as in `grid_shape`.
    Returns:
        (y, x), shape (rows · cols, 2), float32, in pixels: 0 is the centre of the first pixel, y goes downwards.
    Raises:
        ValueError: as `grid_shape`.
    """
    rows, cols = grid_shape(height, width, size, stride)
    stride = size if stride is None else stride
    y, x = (torch.arange(count) * stride + (size - 1) / 2 for count in (rows, cols))
    return torch.cartesian_prod(y, x)
