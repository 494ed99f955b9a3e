"""An invertible mixing of latents into observations: square layers with a leaky ReLU between them."""

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

SLOPE = 0.2  # of the leaky ReLU for negative values
CANDIDATES = 25_000  # random matrices, of which a layer is one of the best-conditioned


def draw_layers(n: int, generator: torch.Generator, layers: int = 3) -> Tensor:
    """Random square layers that are safe to invert, shape (layers, n, n).

    Entries are uniform and columns have unit length; condition numbers are among the 25 lowest of 25,000.
    Source: von Kügelgen et al. 2021, section 5.1.
    """
    draws = torch.rand(CANDIDATES, n, n, generator=generator, device=generator.device) * 2 - 1
    draws = draws / draws.norm(dim=1, keepdim=True)
    singular = torch.linalg.svdvals(draws)
    condition = singular[:, 0] / singular[:, -1]
    lowest = condition <= condition.kthvalue(25).values
    return draws[lowest][:layers]  # in the order of drawing, hence a random three of the 25


def mix(latents: Tensor, layers: Tensor) -> Tensor:
    """Observations, shape (batch, n), of latents, shape (batch, n)."""
    x = latents
    for i, weight in enumerate(layers):
        x = (leaky_relu(x, SLOPE) if i else x) @ weight.T
    return x


def unmix(observations: Tensor, layers: Tensor) -> Tensor:
    """The latents, shape (batch, n), behind observations, shape (batch, n)."""
    x = observations
    for i, weight in enumerate(layers.flip(0)):
        x = torch.linalg.solve(weight, leaky_relu(x, 1 / SLOPE).T if i else x.T).T
    return x
