"""Networks that turn an observation into an embedding; levels of them are built in `levels`."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init


class MLP(nn.Module):
    """A multilayer perceptron with leaky ReLU, a linear skip from input to output, and whitened input.

    In training mode `standardise` scales every output to mean 0 and variance 1 over the batch; in evaluation
    mode by the running mean and variance.

    Args:
        n_in, n_out: width of the observations and of the embeddings.
        hidden: widths of the hidden layers.
        skip: add a linear map of the input to the output, so that the layers learn what is not linear.
        standardise: no output may shrink, grow or drift.
        generator: draws the initial weights.
    Raises:
        ValueError: a layer less than 1 wide, or (when called) observations of another width.
        TypeError: (when called) observations of another dtype than the weights.
    Taught in: content_style, "The setting".
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        hidden: tuple[int, ...] = (128, 128, 128),
        *,
        skip: bool = True,
        standardise: bool = False,
        generator: torch.Generator,
    ):
        super().__init__()
        widths = (n_in, *hidden, n_out)
        if min(widths) < 1:
            raise ValueError(f"widths: wanted every layer at least 1 wide, got {widths}")
        layers = []
        for a, b in itertools.pairwise(widths):
            layers += [linear(a, b, generator), nn.LeakyReLU(0.01)]
        self.layers = nn.Sequential(*layers[:-1])
        self.skip = linear(n_in, n_out, generator) if skip else None
        self.output = nn.BatchNorm1d(n_out, affine=False, device=generator.device) if standardise else nn.Identity()
        self.register_buffer("mean", torch.zeros(n_in, device=generator.device))
        self.register_buffer("whitening", torch.eye(n_in, device=generator.device))

    @torch.no_grad()
    def whiten(self, observations: Tensor) -> "MLP":
        """Set the input's mean and whitening from observations of shape (n, n_in); gives itself back.

        Raises:
            ValueError: fewer than 2 n_in observations, a value that is not finite, or a coordinate that
                follows from the others, so that nothing can whiten it.
        """
        self._check(observations)
        least = 2 * len(self.mean)
        if len(observations) < least:
            raise ValueError(f"observations: wanted at least {least} to whiten by, got {len(observations)}")
        if not observations.isfinite().all():
            raise ValueError("observations: there are values that are not finite")
        covariance = torch.cov(observations.T)
        if torch.linalg.matrix_rank(covariance, hermitian=True) < len(covariance):
            raise ValueError("observations: their covariance is singular; a coordinate follows from the others")
        self.mean.copy_(observations.mean(0))
        self.whitening.copy_(torch.linalg.cholesky(torch.linalg.inv(covariance)))
        return self

    def forward(self, observations: Tensor) -> Tensor:
        """Embeddings, shape (n, n_out), of observations, shape (n, n_in)."""
        self._check(observations)
        x = (observations - self.mean) @ self.whitening
        return self.output(self.layers(x) + self.skip(x) if self.skip is not None else self.layers(x))

    def _check(self, observations: Tensor) -> None:
        if observations.ndim != 2 or observations.shape[1] != len(self.mean):
            raise ValueError(f"observations: wanted shape (n, {len(self.mean)}), got {tuple(observations.shape)}")
        if observations.dtype != self.mean.dtype:
            raise TypeError(f"observations: wanted {self.mean.dtype}, got {observations.dtype}; use .to()")


class ConvNet(nn.Module):
    """A small convolutional network for pictures: each layer halves the picture, and the last one is not pooled.

    What is where stays readable, therefore, which a mean over the picture would wipe out.

    Args:
        n_out: width of the embeddings.
        size: edge of the pictures in pixels, a multiple of 2 to the number of layers.
        channels: of the layers.
        hidden: width of the layer between the last picture and the embedding.
        n_in: channels of the pictures.
        generator: draws the initial weights.
    Raises:
        ValueError: a width below 1, a size that cannot be halved that often, or (when called) another shape.
        TypeError: (when called) pictures of another dtype than the weights.
    Taught in: causal_scenes, "The setting".
    """

    def __init__(
        self,
        n_out: int,
        size: int = 32,
        channels: tuple[int, ...] = (32, 64, 128),
        hidden: int = 256,
        *,
        n_in: int = 3,
        generator: torch.Generator,
    ):
        super().__init__()
        if min(n_out, hidden, n_in, *channels) < 1:
            raise ValueError(
                f"n_out, channels, hidden, n_in: wanted at least 1 of each, got {n_out}, {channels}, {hidden}, {n_in}"
            )
        if size < 1 or size % 2 ** len(channels):
            raise ValueError(f"size: wanted a multiple of {2 ** len(channels)}, got {size}")
        self.size, self.n_in = size, n_in

        def build() -> nn.Module:
            layers = []
            for a, b in itertools.pairwise((n_in, *channels)):
                layers += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            left = channels[-1] * (size // 2 ** len(channels)) ** 2
            return nn.Sequential(*layers, nn.Flatten(), nn.Linear(left, hidden), nn.ReLU(), nn.Linear(hidden, n_out))

        self.layers = drawn_from(generator, build).to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> Tensor:
        """Embeddings, shape (n, n_out), of pictures, shape (n, n_in, size, size), in [0, 1]."""
        wanted = (self.n_in, self.size, self.size)
        if pictures.ndim != 4 or pictures.shape[1:] != wanted:
            raise ValueError(f"pictures: wanted shape (n, {', '.join(map(str, wanted))}), got {tuple(pictures.shape)}")
        weights = next(self.parameters())
        if pictures.dtype != weights.dtype:
            raise TypeError(f"pictures: wanted {weights.dtype}, got {pictures.dtype}; use .to()")
        return self.layers((pictures - 0.5).to(memory_format=torch.channels_last))


@torch.no_grad()
def embed(encoder: nn.Module, pictures: Tensor, batch: int = 500) -> Tensor | list[Tensor]:
    """Embeddings, shape (n, …), of many pictures, some at a time; of `Levels` a list of them, a level each."""
    parts = [encoder(part) for part in pictures.split(batch)]
    return (
        torch.cat(parts) if isinstance(parts[0], Tensor) else [torch.cat(level) for level in zip(*parts, strict=True)]
    )


def drawn_from(generator: torch.Generator, build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` makes, with the random numbers that it takes from torch drawn from the generator; on its device."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator, device=generator.device)))
        return build().to(generator.device)


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """`nn.Linear` with its usual initial weights, drawn from the generator."""
    layer = skip_init(nn.Linear, n_in, n_out, device=generator.device)
    bound = n_in**-0.5
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
