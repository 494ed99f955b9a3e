"""Three elements in a row on one contour whose bend persists: neither pair of neighbours shows it, both together do.

The law of either pair is that of `contours`, whatever the persistence. Taught in: hierarchy, "Why levels at all".
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from hssl.worlds.contours import REACH, Contours, Pairs, check_pairs, law, wrap

CELLS = 2**16  # of the table of a bend's distribution function
NODES = 1200  # of the quadrature along either deviate, over ± REACH
LARGEST = 0.999  # persistence that the quadrature resolves, and azimuths in single precision


class Chain(NamedTuple):
    """Two windows of two elements each: the first and the second element of three, the second and the third.

    Each is as its own first element sees it. Contrasts are measured anew in each window: were that of the middle
    element shared, the windows would depend on each other without any persistence.
    """

    first: Pairs  #: fields of shape (n,)
    second: Pairs  #: fields of shape (n,); rows belong to those of the first


class Ceiling(NamedTuple):
    """What the best observer of both windows reaches; that of either alone is at chance."""

    nats: float  #: log 2 − log loss, telling persistent chains from independent ones at even odds
    auc: float  #: area under the curve of the same task
    information: float  #: mean log-likelihood ratio of persistent chains: what either window says of the other, in nats


def sample(n: int, persistence: float, generator: torch.Generator, *, contours: Contours = law) -> Chain:
    """Draw n chains, float32.

    The bends are β = T(u), T rising from standard normal u to the law's bend, and u₂ = a u₁ + √(1 − a²) u′, u′ anew:
    each bend has the law's distribution, and with it each window. All else is independent.

    Args:
        persistence: a, in [0, 0.999]; at 0 the two windows are independent.
        contours: the law of either window.
    Raises:
        ValueError: n < 1, or a persistence out of range.
    """
    if n < 1:
        raise ValueError(f"n: wanted at least one chain, got {n}")
    a = _checked(persistence)
    normal = torch.randn(2, 5, n, generator=generator, device=generator.device)
    forwards = torch.rand(2, n, generator=generator, device=generator.device) < 0.5
    normal[1, 0] = a * normal[0, 0] + math.sqrt(1 - a**2) * normal[1, 0]
    return Chain(contours.on_contour(normal[0], forwards[0]), contours.on_contour(normal[1], forwards[1]))


def dealt_anew(chain: Chain, generator: torch.Generator) -> Chain:
    """Every first window with the second of another chain, all second ones used once: exactly persistence 0.

    No label is needed for it. Row by row the two windows are independent, as none keeps its own.

    Raises:
        TypeError, ValueError: as `log_likelihood_ratio`, or a single chain.
    """
    _check(chain)
    n = len(chain.first.azimuth)
    if n < 2:
        raise ValueError(f"chain: wanted at least 2 chains to deal from, got {n}")
    order = torch.randperm(n, generator=generator, device=generator.device)
    other = torch.empty_like(order).scatter_(0, order, order.roll(1))  # one cycle through all: nobody's own
    return chain._replace(second=Pairs(*(field[other] for field in chain.second)))


def log_likelihood_ratio(chain: Chain, persistence: float, *, contours: Contours = law) -> Tensor:
    """log p(chain | persistence) − log p(chain | 0), in nats, in the shape and precision of the first azimuth.

    Only the azimuths matter. Each gives its bend up to π, so that the ratio c(u₁, u₂) of the bends' deviates is
    averaged over both readings of both, each as probable as it is by itself. The turn does not say which: ψ = 2β + ω
    is known up to π, and 2 (β + π) differs by 2π. Deviates are cut to ± 6, which 2 in 10⁹ exceed.

    Raises:
        TypeError: a field is no floating-point tensor.
        ValueError: bad pairs, as `Contours.cues` has it, windows of two shapes, or a persistence out of range.
    """
    a = _checked(persistence)
    _check(chain)
    ratio = _log_ratio(*(_readings(contours, window.azimuth) for window in chain), a)
    return ratio.to(chain.first.azimuth.dtype)


def exact(persistence: float, *, contours: Contours = law) -> Ceiling:
    """The best observer's figures, by quadrature over both deviates.

    With the book's law five digits after the point are right; where bends are nearly uniform (`bend` < 1), three are.

    The information is that of the bends, −½ log(1 − a²), less what azimuths hide as they leave bends open up to π:
    with the book's law, 0.4 % of it at a = ½.

    Raises:
        ValueError: a persistence out of range.
    """
    a, normal = _checked(persistence), torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)
    chance, angle = _below(contours.bend, normal.device), np.linspace(-math.pi, 0, CELLS + 1)
    lower = np.interp(torch.special.ndtr(-normal.abs()), chance, angle)  # T, its table read the other way round
    u, log_p = _readings(contours, -torch.from_numpy(lower) * normal.sign())
    ratio = _log_ratio((u[:, :, None], log_p[:, :, None]), (u[:, None], log_p[:, None]), a).flatten()
    weight = torch.softmax(-(normal**2) / 2, 0)
    apart = torch.outer(weight, weight).flatten()
    joint = apart * _log_copula(normal[:, None], normal, a).exp().flatten()
    loss = (joint @ softplus(-ratio) + apart @ softplus(ratio)) / 2
    order = ratio.argsort()
    below = apart[order].cumsum(0) - apart[order] / 2
    return Ceiling(math.log(2) - loss.item(), (joint[order] @ below).item(), (joint @ ratio).item())


def _readings(contours: Contours, azimuth: Tensor) -> tuple[Tensor, Tensor]:
    """Deviates of the two bends that an azimuth can stand for, and their log probabilities; shape (2, *shape) each."""
    bend = wrap(azimuth.double(), -math.pi, math.pi)
    bend = torch.stack([bend, bend - torch.copysign(torch.full_like(bend, math.pi), bend)])
    table = _below(contours.bend, bend.device)
    place = (1 - bend.abs() / math.pi).clamp(0, 1) * CELLS  # of −|β|: small chances keep their digits
    cell = place.long().clamp_max(CELLS - 1)
    chance = torch.lerp(table[cell], table[cell + 1], place - cell)
    normal = -torch.special.ndtri(chance).clamp_min(-REACH) * bend.sign()
    return normal, torch.log_softmax(contours.bend * bend.cos(), 0)


@cache
def _below(concentration: float, device: torch.device) -> Tensor:
    """Chances that the bend lies below each of the angles from −π to 0, shape (CELLS + 1,), float64."""
    angle = torch.linspace(-math.pi, 0, CELLS + 1, dtype=torch.float64, device=device)
    density = (concentration * (angle.cos() - 1)).exp()
    mass = pad((density[1:] + density[:-1]).cumsum(0), (1, 0))
    return mass / (2 * mass[-1])  # half of all bends are below 0


def _log_ratio(first, second, a: float) -> Tensor:
    """Log ratio of two windows from their readings, which broadcast."""
    (u, log_p), (v, log_q) = first, second
    u, log_p, v, log_q = u[:, None], log_p[:, None], v[None], log_q[None]
    return (log_p + log_q + _log_copula(u, v, a)).logsumexp((0, 1))


def _log_copula(u: Tensor, v: Tensor, a: float) -> Tensor:
    return a * (2 * u * v - a * (u**2 + v**2)) / (2 * (1 - a**2)) - math.log(1 - a**2) / 2


def _checked(persistence: float) -> float:
    if not 0 <= persistence <= LARGEST:
        raise ValueError(f"persistence: wanted a number in [0, {LARGEST}], got {persistence}")
    return persistence


def _check(chain: Chain) -> None:
    for window in chain:
        check_pairs(window)
    if chain.first.azimuth.shape != chain.second.azimuth.shape:
        shapes = " and ".join(str(tuple(window.azimuth.shape)) for window in chain)
        raise ValueError(f"chain: wanted windows of one shape, got {shapes}")
