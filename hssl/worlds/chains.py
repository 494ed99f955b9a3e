"""Three elements in a row on one contour whose bend persists: neither pair of neighbours shows it, both together do.

Either pair is distributed as in `contours`, whatever the persistence. Taught in: hierarchy, "Why levels at all".
"""

import math
from functools import cache
from typing import Annotated, NamedTuple

import numpy as np
import torch
from beartype.vale import Is
from torch import Tensor
from torch.nn.functional import pad, softplus

from hssl.checks import WORDS, Count, checked
from hssl.pairs import Pairs, derangement
from hssl.worlds.contours import LARGEST_DEVIATE, Contours, Relations, check_relations, features, law, wrap

CELLS = 2**16  # of the table of a bend's distribution function
NODES = 1200  # of the quadrature along either deviate, over ± LARGEST_DEVIATE
LARGEST = 0.999  # persistence that the quadrature resolves, and azimuths in single precision
Persistence = Annotated[float, Is[lambda value: 0 <= value <= LARGEST]]
WORDS |= {Persistence: f"a number in [0, {LARGEST}]"}


class Chain(NamedTuple):
    """Two windows of two elements each: the first and the second element of three, the second and the third.

    Each is as its own first element sees it. Contrasts are measured anew in each window: were that of the middle
    element shared, the windows would depend on each other without any persistence.

    >>> chain = sample(5, 0.8, g)
    >>> log_likelihood_ratio(Chain(chain.second, chain.first), 0.8).shape
    torch.Size([5])
    """

    first: Relations  #: fields of shape (n,)
    second: Relations  #: fields of shape (n,); rows belong to those of the first


class Ceiling(NamedTuple):
    """What the best observer of both windows reaches; that of either alone is at chance.

    >>> Ceiling(nats=0.0, auc=0.5, information=0.0).auc
    0.5
    """

    nats: float  #: log 2 − log loss, distinguishing persistent chains from independent ones at even odds
    auc: float  #: area under the curve of the same task
    information: float  #: mean log-likelihood ratio of persistent chains: what either window says of the other, in nats


class ContourTriplets:
    """Pairs of windows of one chain: the first and the second element of three, the second and the third.

    Args:
        persistence: how far the bend of the second window follows that of the first, in [0, 0.999]; at 0 the two are
            independent. contours: the distribution of either window.
    Raises:
        ArgumentError: a persistence out of range.

    >>> pairs = ContourTriplets(0.8).sample(4, g)
    >>> pairs.first.shape, {name: tuple(of.shape) for name, of in pairs.truth.items()}
    (torch.Size([4, 6]), {'bend': (4, 2), 'distance': (4,)})
    """

    @checked
    def __init__(self, persistence: Persistence, *, contours: Contours = law):
        self.persistence, self.contours = persistence, contours

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs of windows; `shuffled` makes them chains of persistence 0.

        Returns:
            Members of shape (n, 6), as `contours.features` has them. The truth of the first: its "bend", which an
            azimuth shows up to π: sine and cosine of twice the azimuth, shape (n, 2); and its "distance", shape (n,).
        Raises:
            ArgumentError: n < 1.
        """
        first, second = sample(n, self.persistence, generator, contours=self.contours)
        twice = 2 * first.azimuth
        truth = {"bend": torch.stack([twice.sin(), twice.cos()], 1), "distance": first.distance}
        return Pairs(features(first), features(second), truth)


@checked
def sample(n: Count, persistence: Persistence, generator: torch.Generator, *, contours: Contours = law) -> Chain:
    """Draw n chains, float32.

    The bends are β = T(u), T rising from standard normal u to the bend of `contours`, and
    u₂ = a u₁ + √(1 − a²) u′, u′ another: each bend has its distribution, and with it each window. All else is
    independent.

    Args:
        persistence: a, in [0, 0.999]; at 0 the two windows are independent.
        contours: the distribution of either window.
    Raises:
        ArgumentError: n < 1, or a persistence out of range.

    >>> sample(5, 0.8, g).second.azimuth.shape
    torch.Size([5])
    """
    a, normal = persistence, torch.randn(2, 5, n, generator=generator, device=generator.device)
    forwards = torch.rand(2, n, generator=generator, device=generator.device) < 0.5
    normal[1, 0] = a * normal[0, 0] + math.sqrt(1 - a**2) * normal[1, 0]
    return Chain(*map(contours.on_contour, normal, forwards))


@checked
def dealt_anew(chain: Chain, generator: torch.Generator) -> Chain:
    """Every first window with the second of another chain, all second ones used once: exactly persistence 0.

    No label is needed for it. Row by row the two windows are independent, as none keeps its own.

    Raises:
        ArgumentError, ValueError: as `log_likelihood_ratio`, or a single chain.

    >>> chain = sample(5, 0.8, g)
    >>> (dealt_anew(chain, g).second.distance == chain.second.distance).any().item()
    False
    """
    _check(chain)
    other = derangement(len(chain.first.azimuth), generator)
    return chain._replace(second=Relations(*(field[other] for field in chain.second)))


@checked
def log_likelihood_ratio(chain: Chain, persistence: Persistence, *, contours: Contours = law) -> Tensor:
    """log p(chain | persistence) − log p(chain | 0), in nats, in the shape and precision of the first azimuth.

    Only the azimuths matter. Each gives its bend up to π, so that the ratio c(u₁, u₂) of the bends' deviates is
    averaged over both readings of both, each as probable as it is by itself. The turn does not help: ψ = 2β + ω is
    known up to π, and 2 (β + π) differs by 2π. Deviates are cut to ± 6, which 2 in 10⁹ exceed.

    Raises:
        ArgumentError, ValueError: as `Contours.cues`, windows of two shapes, or a persistence out of range.

    >>> chain = sample(1000, 0.8, g)
    >>> [log_likelihood_ratio(of, 0.8).mean().item() > 0 for of in (chain, dealt_anew(chain, g))]
    [True, False]
    """
    _check(chain)
    first, second = (_readings(contours, window.azimuth) for window in chain)
    return _log_ratio(first, second, persistence).to(chain.first.azimuth.dtype)


@checked
def exact(persistence: Persistence, *, contours: Contours = law) -> Ceiling:
    """The best observer's figures, by quadrature over both deviates.

    With the book's model five digits after the point are right; where bends are nearly uniform (κ < 1), three are.

    The information is that of the bends, −½ log(1 − a²), less what azimuths hide as they leave bends open up to π:
    with the book's model, 0.4 % of it at a = ½.

    Raises:
        ArgumentError: a persistence out of range.

    >>> round(exact(0.8).auc, 3)
    0.759
    """
    a, normal = persistence, torch.linspace(-LARGEST_DEVIATE, LARGEST_DEVIATE, NODES, dtype=torch.float64)
    chance, angle = _below(contours.kappa_bend, normal.device), np.linspace(-math.pi, 0, CELLS + 1)
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
    table = _below(contours.kappa_bend, bend.device)
    place = (1 - bend.abs() / math.pi).clamp(0, 1) * CELLS  # of −|β|: small chances keep their digits
    cell = place.long().clamp_max(CELLS - 1)
    chance = torch.lerp(table[cell], table[cell + 1], place - cell)
    normal = -torch.special.ndtri(chance).clamp_min(-LARGEST_DEVIATE) * bend.sign()
    return normal, torch.log_softmax(contours.kappa_bend * bend.cos(), 0)


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


def _check(chain: Chain) -> None:
    for window in chain:
        check_relations(*window)
    first, second = (tuple(window.azimuth.shape) for window in chain)
    if first != second:
        raise ValueError(f"chain: wanted windows of one shape, got {first} and {second}")
