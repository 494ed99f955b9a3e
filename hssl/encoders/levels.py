"""Level upon level: windows are embedded, and each larger window from the embeddings of the windows that tile it.

Which windows are pairs is left to `pairing`, which levels learn when to `schedules`.
"""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hssl import patches
from hssl.checks import ArgumentError, Count, checked
from hssl.encoders.networks import ConvNet, check_dtype, check_widths, drawn_from, seeded


class Levels(nn.Module):
    """Modules that stand upon each other: each makes its embeddings of those below it, the first of observations.

    Args:
        levels: bottom up. heads: what the loss sees of each level's embeddings; None means the embeddings themselves.
    Raises:
        ArgumentError: no level, or not one head per level; (when called) `upto` names no level, or the weights of a
            level are of another type than its input.
    Taught in: hierarchy, "Two schedules, one loop".

    >>> stack = Levels([torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)])
    >>> [tuple(z.shape) for z in stack(torch.ones(5, 4))], len(stack(torch.ones(5, 4), upto=1))
    ([(5, 3), (5, 2)], 1)
    """

    @checked
    def __init__(
        self,
        levels: Sequence[nn.Module] | nn.ModuleList,
        heads: Sequence[nn.Module] | nn.ModuleList | None = None,
    ):
        super().__init__()
        heads = [nn.Identity() for _ in levels] if heads is None else heads
        if not len(levels) or len(heads) != len(levels):
            raise ArgumentError(
                f"levels, heads: wanted at least one level, and a head for each; got {len(levels)}, {len(heads)}"
            )
        self.levels, self.heads = nn.ModuleList(levels), nn.ModuleList(heads)

    @checked
    def forward(self, observations: Tensor, *, upto: Count | None = None) -> list[Tensor]:
        """The embeddings of every level, bottom up; only up to level `upto`, 1 the lowest, if it is given."""
        if upto is not None and upto > len(self.levels):
            raise ArgumentError(f"upto: wanted a level from 1 to {len(self.levels)}, got {upto}")
        found = [observations]
        for k, level in enumerate(self.levels[:upto]):
            if found[-1].is_floating_point():
                check_dtype("observations" if not k else f"levels[{k}]", found[-1], level)
            try:
                found.append(level(found[-1]))
            except (RuntimeError, ValueError) as error:
                where = f"levels[{k}]" if k else "observations"
                error.add_note(f"{where}: got {found[-1].dtype} of shape {tuple(found[-1].shape)}")
                raise
        return found[1:]


class WindowEncoder(nn.Module):
    """Every window of an image through one network.

    Args:
        size, stride: of the windows, in pixels. network: takes images, shape (m, c, size, size).

    >>> flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    >>> WindowEncoder(4, 2, flat)(torch.zeros(3, 1, 8, 12)).shape
    torch.Size([3, 3, 5, 2])
    """

    @checked
    def __init__(self, size: Count, stride: Count, network: nn.Module):
        super().__init__()
        self.size, self.stride, self.network = size, stride, network

    @checked
    def forward(self, images: patches.Images) -> Tensor:
        """Embeddings, shape (n, rows, cols, dim), of images, shape (n, c, height, width)."""
        windows = patches.grid(images, self.size, self.stride)
        return self.network(windows.flatten(0, 2)).unflatten(0, windows.shape[:3])


class Merge(nn.Module):
    """Every larger window from the embeddings of the windows below that tile it, concatenated.

    The concatenation is standardised, so that what is frozen below may have any scale. One hidden layer,
    batch-normalised, reads it; each position in the large window has its own columns.

    Args:
        constituents: which windows below, shape (rows · cols, m), int64, as `patches.constituents` gives them.
        grid: (rows, cols) of the larger windows.
        n_in, n_out, hidden: width of an embedding below and here, and of the layer between.
        generator: draws the initial weights.
    Raises:
        ArgumentError: constituents that do not fit the grid, a width below 1, or (when called) embeddings of another
            shape than those that the constituents name.
    Taught in: hierarchy, "The construction".

    >>> tiles = patches.constituents(16, 16, small=(4, 4), large=(8, 8))
    >>> Merge(tiles, (2, 2), n_in=3, n_out=5, hidden=8, generator=g)(torch.zeros(6, 4, 4, 3)).shape
    torch.Size([6, 2, 2, 5])
    """

    constituents: Tensor

    @checked
    def __init__(
        self,
        constituents: Int[Tensor, "windows tiles"],
        grid: tuple[int, int],
        n_in: Count,
        n_out: Count,
        hidden: Count,
        *,
        generator: torch.Generator,
    ):
        super().__init__()
        if not constituents.numel() or min(grid) < 1 or len(constituents) != grid[0] * grid[1]:
            raise ArgumentError(
                f"constituents: wanted shape (rows · cols, m) for a grid of {grid}, got {tuple(constituents.shape)}"
            )
        if constituents.min() < 0:
            raise ArgumentError(f"constituents: wanted indices ≥ 0, got {constituents.min()}")
        self.grid, self.n_in, self.least = grid, n_in, int(constituents.max()) + 1
        self.register_buffer("constituents", constituents.to(generator.device))
        self.layers = _two_layers(constituents.shape[1] * n_in, hidden, n_out, generator, normalised=True)

    @checked
    def forward(self, below: Float[Tensor, "n rows cols {self.n_in}"]) -> Float[Tensor, "n _ _ n_out"]:
        """Embeddings, shape (n, rows, cols, n_out), of the level below's, shape (n, its rows, its cols, n_in)."""
        windows = below.flatten(1, 2)
        if windows.shape[1] < self.least:
            raise ArgumentError(f"below: wanted at least {self.least} windows, got {below.shape[1]} × {below.shape[2]}")
        tiles = windows[:, self.constituents].flatten(2)  # (n, rows · cols, m · n_in)
        return self.layers(tiles.flatten(0, 1)).unflatten(0, (len(below), *self.grid))


class Hierarchy(Levels):
    """Growing windows: a convolutional network embeds the smallest, an MLP per level what tiles the larger ones.

    Args:
        size: (height, width) of the images, in pixels.
        windows: (size, stride) per level, bottom up, in pixels; the windows of each must tile those of the next, and
            together they must reach every pixel.
        n_out: width of the embeddings, for all levels or a number per level.
        channels_in: of the images. channels: of the convolutional layers, each of which halves a window.
        hidden: width of the layer before the embeddings.
        head: width of what the loss sees of each level, through one hidden layer; None means the embedding itself.
        generator: draws the initial weights; None means a new one seeded 0, so the same weights at every call.
    Raises:
        ArgumentError: no level, windows that do not tile the next or leave pixels unseen, or a width below 1.
    Taught in: hierarchy, "The construction".

    >>> model = Hierarchy((32, 32), ((8, 8), (16, 16), (32, 32)), 5, generator=g)
    >>> [tuple(z.shape) for z in model(torch.zeros(2, 1, 32, 32))]
    [(2, 4, 4, 5), (2, 2, 2, 5), (2, 1, 1, 5)]
    """

    @checked
    def __init__(
        self,
        size: tuple[int, int],
        windows: Sequence[tuple[int, int]],
        n_out: Count | Sequence[int] = 32,
        *,
        channels_in: Count = 1,
        channels: tuple[int, ...] = (32, 32),
        hidden: Count = 128,
        head: Count | None = None,
        generator: torch.Generator | None = None,
    ):
        widths = [n_out] * len(windows) if isinstance(n_out, int) else list(n_out)
        check_widths(n_out=widths)
        if not windows or len(widths) != len(windows):
            raise ArgumentError(
                f"windows, n_out: wanted at least one level and a width each, got {len(windows)}, {len(widths)}"
            )
        tiles, generator = _tiles(size, windows), seeded(generator)
        grids = [patches.grid_shape(*size, *window) for window in windows]
        edge, stride = windows[0]
        network = ConvNet(channels_in, widths[0], edge, channels, hidden, generator=generator)
        larger = zip(tiles, grids[1:], itertools.pairwise(widths), strict=True)
        merges = [Merge(below, grid, a, b, hidden, generator=generator) for below, grid, (a, b) in larger]
        heads = None if head is None else [_two_layers(width, hidden, head, generator) for width in widths]
        super().__init__([WindowEncoder(edge, stride, network), *merges], heads)
        self.channels_in, self.size, self.grids = channels_in, size, tuple(grids)

    @checked
    def forward(
        self,
        observations: Float[Tensor, "n {self.channels_in} {self.size[0]} {self.size[1]}"],
        *,
        upto: Count | None = None,
    ) -> list[Tensor]:
        """The embeddings of every level, bottom up, each of shape (n, rows, cols, dim) as its windows lie.

        Args:
            observations: images, shape (n, channels_in, height, width), in [0, 1].
            upto: the last level that is wanted, 1 for the lowest; None means all.
        Raises:
            ArgumentError: images of another shape or another type than the weights, or `upto` names no level.
        """
        return super().forward(observations, upto=upto)


def _tiles(size: tuple[int, int], windows: Sequence[tuple[int, int]]) -> list[Tensor]:
    """What tiles the windows of every level but the lowest; an ArgumentError unless all pixels are reached."""
    try:
        found = [patches.constituents(*size, small=a, large=b) for a, b in itertools.pairwise(windows)]
        edge, stride = windows[-1]  # what tiles them reaches at least as far
        patches.grid_shape(*size, edge, stride)
    except ValueError as error:
        raise ArgumentError(f"windows: {error}") from error
    rest = sorted({side - edge for side in size} - {0})  # beyond the first window, down and to the right
    if any(stride > edge or more % stride for more in rest):
        raise ArgumentError(
            f"windows: ({edge}, {stride}) leaves pixels of a {size[0]}×{size[1]} image unseen; wanted a stride "
            f"≤ {edge} that divides {' and '.join(map(str, rest))}"
        )
    return found


def _two_layers(n_in: int, hidden: int, n_out: int, generator: torch.Generator, normalised=False) -> nn.Module:
    def build() -> nn.Sequential:
        before, between = ([nn.BatchNorm1d(n_in, affine=False)], [nn.BatchNorm1d(hidden)]) if normalised else ([], [])
        layers = [nn.Linear(n_in, hidden, bias=not normalised), *between, nn.ReLU(), nn.Linear(hidden, n_out)]
        return nn.Sequential(*before, *layers)

    return drawn_from(generator, build)
