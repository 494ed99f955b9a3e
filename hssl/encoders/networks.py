"""Networks that turn an observation into an embedding; levels of them are built in `levels`."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.utils import skip_init

from hssl.checks import MOST, ArgumentError, Count, checked, explained, finite

M = TypeVar("M", bound=nn.Module)


class MLP(nn.Module):
    """A multilayer perceptron with leaky ReLU, a linear skip from input to output, and whitened input.

    In training mode `standardise` scales every output to mean 0 and variance 1 over the batch; in evaluation
    mode by the running mean and variance.

    Args:
        n_in, n_out: width of the observations and of the embeddings.
        hidden: widths of the hidden layers.
        skip: add a linear map of the input to the output, so that the layers learn what is not linear.
        standardise: no output may shrink, grow or drift.
        generator: draws the initial weights; None means a new one seeded 0, so the same weights at every call.
    Raises:
        ArgumentError: a layer less than 1 wide, or (when called) observations of another width or type.
    Taught in: content_style, "The setting".

    >>> MLP(10, 5, (64, 64), generator=g)(torch.ones(8, 10)).shape
    torch.Size([8, 5])
    """

    mean: Tensor
    whitening: Tensor

    @checked
    def __init__(
        self,
        n_in: Count,
        n_out: Count,
        hidden: tuple[int, ...] = (128, 128, 128),
        *,
        skip: bool = True,
        standardise: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_widths(hidden=hidden)
        self.n_in, generator = n_in, seeded(generator)
        layers = []
        for a, b in itertools.pairwise((n_in, *hidden, n_out)):
            layers += [_linear(a, b, generator), nn.LeakyReLU(0.01)]
        self.layers = nn.Sequential(*layers[:-1])
        self.skip = _linear(n_in, n_out, generator) if skip else None
        self.output = nn.BatchNorm1d(n_out, affine=False, device=generator.device) if standardise else nn.Identity()
        self.register_buffer("mean", torch.zeros(n_in, device=generator.device))
        self.register_buffer("whitening", torch.eye(n_in, device=generator.device))

    @checked
    @torch.no_grad()
    def whiten(self, observations: Float[Tensor, "n {self.n_in}"]) -> "MLP":
        """Set the input's mean and whitening from observations, shape (n, n_in); returns the network itself.

        Raises:
            ValueError: fewer than 2 n_in observations, a value that is not finite, or a coordinate that
                follows from the others, so that nothing can whiten it.

        >>> MLP(2, 2).whiten(torch.tensor([[0.0, 0], [0, 3], [4, 0], [4, 3]])).mean
        tensor([2.0000, 1.5000])
        """
        check_dtype("observations", observations, self)
        finite(2 * self.n_in, observations=observations)
        covariance = torch.cov(observations.T)
        if torch.linalg.matrix_rank(covariance, hermitian=True) < len(covariance):
            raise ValueError("observations: their covariance is singular; a coordinate follows from the others")
        self.mean.copy_(observations.mean(0))
        self.whitening.copy_(torch.linalg.cholesky(torch.linalg.inv(covariance)))
        return self

    @checked
    def forward(self, observations: Float[Tensor, "n {self.n_in}"]) -> Float[Tensor, "n n_out"]:
        """Embeddings, shape (n, n_out), of observations, shape (n, n_in)."""
        check_dtype("observations", observations, self)
        x = (observations - self.mean) @ self.whitening
        return self.output(self.layers(x) + self.skip(x) if self.skip is not None else self.layers(x))


class ConvNet(nn.Module):
    """A small convolutional network for images: each layer halves the image, and the last one is not pooled.

    So the position of things can still be read from the embedding; a mean over the image would erase it.

    Args:
        n_in, n_out: channels of the images, and width of the embeddings.
        size: side length of the images, in pixels. A layer makes ceil(size / 2) of it.
        channels: of the layers.
        hidden: width of the layer between the last feature map and the embedding.
        generator: draws the initial weights; None means a new one seeded 0, so the same weights at every call.
    Raises:
        ArgumentError: a width or a size below 1, or (when called) images of another shape or type.
    Taught in: causal_scenes, "The setting".

    >>> ConvNet(3, 32)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 32])
    """

    @checked
    def __init__(
        self,
        n_in: Count,
        n_out: Count,
        size: Count = 32,
        channels: tuple[int, ...] = (32, 64, 128),
        hidden: Count = 256,
        *,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_widths(channels=channels)
        self.n_in, self.size = n_in, size

        def build() -> nn.Sequential:
            layers, widths, side = [], (n_in, *channels), math.ceil(size / 2 ** len(channels))
            for a, b in itertools.pairwise(widths):
                layers += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            to_hidden = nn.Linear(widths[-1] * side**2, hidden)
            return nn.Sequential(*layers, nn.Flatten(), to_hidden, nn.ReLU(), nn.Linear(hidden, n_out))

        self.layers = drawn_from(seeded(generator), build).to(memory_format=torch.channels_last)

    @checked
    def forward(self, images: Float[Tensor, "n {self.n_in} {self.size} {self.size}"]) -> Float[Tensor, "n n_out"]:
        """Embeddings, shape (n, n_out), of images, shape (n, n_in, size, size), in [0, 1]."""
        check_dtype("images", images, self)
        return self.layers((images - 0.5).to(memory_format=torch.channels_last))


@checked
def perceptron(*widths: Count, generator: torch.Generator | None = None) -> nn.Sequential:
    """Linear layers with GELU between them, and nothing else: the critics of small descriptions, which widgets can run.

    Args:
        widths: of the input, of each layer, and of the output: two or more.
        generator: draws the initial weights; None means a new one seeded 0, so the same weights at every call.
    Raises:
        ArgumentError: fewer than two widths, or one below 1.
    Taught in: continuation, "The critic".

    >>> perceptron(6, 96, 1)(torch.ones(8, 6)).shape
    torch.Size([8, 1])
    """
    check_widths(widths=widths)
    if len(widths) < 2:
        raise ArgumentError(f"widths: wanted two or more, got {widths}")
    generator, layers = seeded(generator), []
    for a, b in itertools.pairwise(widths):
        layers += [_linear(a, b, generator), nn.GELU()]
    return nn.Sequential(*layers[:-1])


@checked
@torch.no_grad()
def embed(encoder: nn.Module, observations: Shaped[Tensor, "n ..."], batch: Count = 500) -> Tensor | list[Tensor]:
    """Embeddings, shape (n, …), of many observations, some at a time; of `Levels` a list of them, one per level.

    The encoder runs in evaluation mode, whatever mode its parts are in; each is given back in the mode it had.

    Raises:
        ArgumentError: no observations, or batch < 1.

    >>> embed(MLP(3, 2), torch.zeros(1000, 3)).shape
    torch.Size([1000, 2])
    """
    if not len(observations):
        raise ArgumentError(f"observations: wanted at least one, got shape {tuple(observations.shape)}")
    with evaluating(encoder):
        parts = [encoder(part) for part in observations.split(batch)]
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return [torch.cat(level) for level in zip(*parts, strict=True)]


@contextmanager
@checked
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, whatever mode the parts are in; after it each has its own mode again.

    >>> network = nn.Sequential(nn.Linear(1, 1).eval(), nn.Dropout())
    >>> with evaluating(network):
    ...     network[1].training
    False
    >>> [part.training for part in network]
    [False, True]
    """
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@checked
def drawn_from(generator: torch.Generator, build: Callable[[], M]) -> M:
    """What `build` makes, with the random numbers that it takes from torch drawn from the generator; on its device.

    >>> first, second = (drawn_from(torch.Generator().manual_seed(1), lambda: torch.nn.Linear(2, 1)) for _ in "ab")
    >>> torch.equal(first.weight, second.weight)
    True
    """
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator, device=generator.device)))
        return build().to(generator.device)


@explained
def seeded(generator: torch.Generator | None) -> torch.Generator:
    """The generator that is given, or a new one seeded 0.

    >>> seeded(g) is g, seeded(None).initial_seed()
    (True, 0)
    """
    return torch.Generator().manual_seed(0) if generator is None else generator


@explained
def check_widths(**widths: Iterable[int]) -> None:
    """Raise an ArgumentError unless all of these are whole numbers ≥ 1; a declaration looks at only one of several.

    >>> check_widths(hidden=(8, 0))
    Traceback (most recent call last):
    hssl.checks.ArgumentError: hidden: wanted whole numbers ≥ 1, got (8, 0)
    """
    for name, of in widths.items():
        if not all(isinstance(width, int) and 1 <= width <= MOST for width in of):
            raise ArgumentError(f"{name}: wanted whole numbers ≥ 1, got {of}")


@explained
def check_dtype(name: str, value: Tensor, network: nn.Module) -> None:
    """Raise an ArgumentError unless a network's weights are of the type of its input; under autocast torch converts.

    >>> check_dtype("x", torch.zeros(1).double(), nn.Linear(1, 1))
    Traceback (most recent call last):
    hssl.checks.ArgumentError: x: wanted torch.float32, the type of the weights, got torch.float64; use .to()
    """
    weights = next(network.parameters(), None)
    if weights is None or value.dtype == weights.dtype or torch.is_autocast_enabled(value.device.type):
        return
    raise ArgumentError(f"{name}: wanted {weights.dtype}, the type of the weights, got {value.dtype}; use .to()")


def _linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """`nn.Linear` with its usual initial weights, drawn from the generator."""
    layer = cast(nn.Linear, skip_init(nn.Linear, n_in, n_out, device=generator.device))
    bound = n_in**-0.5
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
