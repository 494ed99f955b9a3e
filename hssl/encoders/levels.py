"""Level upon level: windows are embedded, and each larger window from the embeddings of the windows that tile it.

Which windows are pairs is left to `pairing`, which levels learn when to `schedules`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hssl import patches
from hssl.encoders.networks import ConvNet, drawn_from


class Levels(nn.Module):
    """Modules that stand upon each other: each makes its embeddings of those below it, the first of observations.

    Args:
        levels: bottom up. heads: what the loss sees of each level's embeddings; None means the embeddings themselves.
    Raises:
        ValueError: no level, or not one head a level; (when called) `upto` names no level.
    Taught in: hierarchy, "Two schedules, one loop".
    """

    def __init__(self, levels: Sequence[nn.Module], heads: Sequence[nn.Module] | None = None):
        super().__init__()
        heads = [nn.Identity() for _ in levels] if heads is None else heads
        if not levels or len(heads) != len(levels):
            raise ValueError(
                f"levels, heads: wanted at least one level, and a head for each; got {len(levels)}, {len(heads)}"
            )
        self.levels, self.heads = nn.ModuleList(levels), nn.ModuleList(heads)

    def forward(self, observations: Tensor, *, upto: int | None = None) -> list[Tensor]:
        """The embeddings of every level, bottom up; only up to level `upto`, 1 the lowest, if it is given."""
        if upto is not None and not 1 <= upto <= len(self.levels):
            raise ValueError(f"upto: wanted a level from 1 to {len(self.levels)}, got {upto}")
        found = [observations]
        for level in self.levels[:upto]:
            found.append(level(found[-1]))
        return found[1:]


class Windows(nn.Module):
    """Every window of a picture through one network.

    Args:
        size, stride: of the windows, in pixels. network: takes pictures, shape (m, c, size, size).
    """

    def __init__(self, size: int, stride: int, network: nn.Module):
        super().__init__()
        self.size, self.stride, self.network = size, stride, network

    def forward(self, pictures: Tensor) -> Tensor:
        """Embeddings, shape (n, rows, cols, dim), of pictures, shape (n, c, height, width)."""
        windows = patches.grid(pictures, self.size, self.stride)
        return self.network(windows.flatten(0, 2)).unflatten(0, windows.shape[:3])


class Merge(nn.Module):
    """Every larger window from what the level below says of the windows that tile it, laid out side by side.

    One hidden layer, batch-normalised, looks at the concatenation, in which each place has its own columns.

    Args:
        constituents: which windows below, shape (rows · cols, m), int64, as `patches.constituents` gives them.
        grid: (rows, cols) of the larger windows.
        n_in, n_out, hidden: width of an embedding below and here, and of the layer between.
        generator: draws the initial weights.
    Raises:
        ValueError: (when called) embeddings of another shape than those that the constituents name.
    Taught in: hierarchy, "The construction".
    """

    def __init__(
        self,
        constituents: Tensor,
        grid: tuple[int, int],
        n_in: int,
        n_out: int,
        hidden: int,
        *,
        generator: torch.Generator,
    ):
        super().__init__()
        if constituents.ndim != 2 or len(constituents) != grid[0] * grid[1] or min(n_in, n_out, hidden) < 1:
            raise ValueError(
                f"constituents, n_in, n_out, hidden: wanted shape ({grid[0] * grid[1]}, m) and at least 1 of each, "
                f"got {tuple(constituents.shape)}, {n_in}, {n_out}, {hidden}"
            )
        self.grid, self.n_in = grid, n_in
        self.register_buffer("constituents", constituents.to(generator.device))
        wide = constituents.shape[1] * n_in

        def build() -> nn.Module:
            return nn.Sequential(
                nn.Linear(wide, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, n_out)
            )

        self.layers = drawn_from(generator, build)

    def forward(self, below: Tensor) -> Tensor:
        """Embeddings, shape (n, rows, cols, n_out), of the level below's, shape (n, its rows, its cols, n_in)."""
        if below.ndim != 4 or below.shape[3] != self.n_in or below.shape[1] * below.shape[2] <= self.constituents.max():
            raise ValueError(
                f"below: wanted shape (n, rows, cols, {self.n_in}), more than {self.constituents.max()} windows; "
                f"got {tuple(below.shape)}"
            )
        laid_out = below.flatten(1, 2)[:, self.constituents].flatten(2)  # (n, rows · cols, m · n_in)
        return self.layers(laid_out.flatten(0, 1)).unflatten(0, (len(below), *self.grid))


class Hierarchy(Levels):
    """Growing windows: a convolutional network looks at the smallest, an MLP a level at what is said of those below.

    Args:
        size: (height, width) of the pictures, in pixels.
        windows: (size, stride) a level, bottom up, in pixels; the windows of each must tile those of the next.
        n_out: width of the embeddings, for all levels or a number a level.
        channels_in: of the pictures. channels: of the convolutional layers, each of which halves a window.
        hidden: width of the layer before the embeddings.
        head: width of what the loss sees of each level, through one hidden layer; None means the embedding itself.
        generator: draws the initial weights.
    Raises:
        ValueError: no level, windows that do not tile the next, or a width below 1.
    Taught in: hierarchy, "The construction".
    """

    def __init__(
        self,
        size: tuple[int, int],
        windows: Sequence[tuple[int, int]],
        n_out: int | Sequence[int] = 32,
        *,
        channels_in: int = 1,
        channels: tuple[int, ...] = (32, 32),
        hidden: int = 128,
        head: int | None = None,
        generator: torch.Generator,
    ):
        widths = [n_out] * len(windows) if isinstance(n_out, int) else list(n_out)
        if not windows or len(widths) != len(windows):
            raise ValueError(
                f"windows, n_out: wanted at least one level and a width each, got {len(windows)}, {len(widths)}"
            )
        grids = [patches.grid_shape(*size, *window) for window in windows]
        (edge, stride), first = windows[0], widths[0]
        network = ConvNet(first, edge, channels, hidden, n_in=channels_in, generator=generator)
        levels: list[nn.Module] = [Windows(edge, stride, network)]
        for k in range(1, len(windows)):
            tiles = patches.constituents(*size, small=tuple(windows[k - 1]), large=tuple(windows[k]))
            levels.append(Merge(tiles, grids[k], widths[k - 1], widths[k], hidden, generator=generator))
        heads = None if head is None else [_head(width, hidden, head, generator) for width in widths]
        super().__init__(levels, heads)
        self.size, self.windows, self.grids = tuple(size), tuple(map(tuple, windows)), tuple(grids)

    def forward(self, observations: Tensor, *, upto: int | None = None) -> list[Tensor]:
        """The embeddings of every level, bottom up, each of shape (n, rows, cols, dim) as its windows lie.

        Args:
            observations: pictures, shape (n, channels_in, height, width), in [0, 1].
            upto: the last level that is wanted, 1 for the lowest; None means all.
        Raises:
            ValueError: pictures of another shape, or `upto` names no level.
            TypeError: pictures of another dtype than the weights.
        """
        if observations.ndim != 4 or observations.shape[2:] != self.size:
            raise ValueError(
                f"observations: wanted shape (n, c, {self.size[0]}, {self.size[1]}), got {tuple(observations.shape)}"
            )
        return super().forward(observations, upto=upto)


def _head(n_in: int, hidden: int, n_out: int, generator: torch.Generator) -> nn.Module:
    return drawn_from(generator, lambda: nn.Sequential(nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, n_out)))
