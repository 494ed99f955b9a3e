"""Three elements in a row on one contour whose bend persists: neither pair of neighbours shows it, both together do.

Either pair is distributed as in `contours`, whatever the persistence. Taught in: hierarchy, "Why levels at all".
"""

import math
from functools import cache
from typing import Annotated, NamedTuple

import numpy as np
import torch
from beartype.vale import Is
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad, softplus

from hssl.checks import WORDS, Count, checked, explained, finite
from hssl.pairs import Pairs
from hssl.worlds.contours.contours import LARGEST_DEVIATE, Contours, features, wrap

CELLS = 2**16  # of the table of a bend's distribution function
NODES = 1200  # of the quadrature along either deviate, over ± LARGEST_DEVIATE
LARGEST = 0.999  # persistence that the quadrature resolves, and azimuths in single precision
Persistence = Annotated[float, Is[lambda value: 0 <= value <= LARGEST]]
WORDS |= {Persistence: f"a number in [0, {LARGEST}]"}


class Ceiling(NamedTuple):
    """What the best observer of both windows reaches; that of either alone is at chance.

    >>> Ceiling(nats=0.0, auc=0.5, information=0.0).auc
    0.5
    """

    nats: float  #: log 2 − log loss, distinguishing persistent triplets from independent windows at even odds
    auc: float  #: area under the curve of the same task
    information: (
        float  #: mean log-likelihood ratio of persistent triplets: what either window says of the other, in nats
    )


class ContourTriplets:
    """Pairs of windows of three elements on one contour: the first and the second, the second and the third.

    Each window is as its own first element sees it. Contrasts are measured anew in each window: were that of the
    middle element shared, the windows would depend on each other without any persistence.

    Args:
        persistence: a, how far the bend of the second window follows that of the first, in [0, 0.999]; at 0 the two
            are independent. contours: the distribution of either window; None means that of `Contours()`.
    Raises:
        ArgumentError: a persistence out of range.

    >>> pairs = ContourTriplets(0.8).sample(4, g)
    >>> pairs.first.shape, {name: tuple(of.shape) for name, of in pairs.truth.items()}
    (torch.Size([4, 6]), {'bend': (4, 2), 'distance': (4,)})
    """

    @checked
    def __init__(self, persistence: Persistence, *, contours: Contours | None = None):
        self.persistence, self.contours = persistence, contours or Contours()

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs of windows; `shuffled` makes them triplets of persistence 0, exactly and without a label.

        The bends are β = T(u), T rising from standard normal u to the bend of `contours`, and
        u₂ = a u₁ + √(1 − a²) u′, u′ another: each bend has its distribution, and with it each window. All else is
        independent.

        Returns:
            Members of shape (n, 6), as `contours.features` has them. The truth of the first: its "bend", which an
            azimuth shows up to π: sine and cosine of twice the azimuth, shape (n, 2); and its "distance", shape (n,).
        Raises:
            ArgumentError: n < 1.
        """
        a, normal = self.persistence, torch.randn(2, 5, n, generator=generator, device=generator.device)
        forwards = torch.rand(2, n, generator=generator, device=generator.device) < 0.5
        normal[1, 0] = a * normal[0, 0] + math.sqrt(1 - a**2) * normal[1, 0]
        first, second = map(self.contours.on_contour, normal, forwards)
        twice = 2 * first.azimuth
        truth = {"bend": torch.stack([twice.sin(), twice.cos()], 1), "distance": first.distance}
        return Pairs(features(first), features(second), truth)

    @explained
    def log_likelihood_ratio(self, pairs: Pairs) -> Tensor:
        """log p(pair | persistence) − log p(pair | 0), in nats, shape (n,), in the precision of the members.

        Only the azimuths matter. Each gives its bend up to π, so that the ratio c(u₁, u₂) of the bends' deviates is
        averaged over both readings of both, each as probable as it is by itself. The turn does not help: ψ = 2β + ω
        is known up to π, and 2 (β + π) differs by 2π. Deviates are cut to ± 6, which 2 in 10⁹ exceed.

        Raises:
            ArgumentError: members of another shape or dtype. ValueError: a value that is not finite.

        >>> world = ContourTriplets(0.8)
        >>> pairs = world.sample(1000, g)
        >>> [world.log_likelihood_ratio(of).mean().item() > 0 for of in (pairs, pairs.shuffled(g))]
        [True, False]
        """
        first, second = (_readings(self.contours, azimuth) for azimuth in _azimuths(pairs.first, pairs.second))
        return _log_ratio(first, second, self.persistence).to(pairs.first.dtype)

    def ceiling(self) -> Ceiling:
        """The best observer's figures, by quadrature over both deviates.

        With the book's model five digits after the point are right; where bends are nearly uniform (κ < 1), three
        are. The information is that of the bends, −½ log(1 − a²), less what azimuths hide as they leave bends open
        up to π: with the book's model, 0.4 % of it at a = ½.

        >>> round(ContourTriplets(0.8).ceiling().auc, 3)
        0.759
        """
        a, normal = self.persistence, torch.linspace(-LARGEST_DEVIATE, LARGEST_DEVIATE, NODES, dtype=torch.float64)
        chance, angle = _below(self.contours.kappa_bend, normal.device), np.linspace(-math.pi, 0, CELLS + 1)
        lower = np.interp(torch.special.ndtr(-normal.abs()), chance, angle)  # T, its table read the other way round
        u, log_p = _readings(self.contours, -torch.from_numpy(lower) * normal.sign())
        ratio = _log_ratio((u[:, :, None], log_p[:, :, None]), (u[:, None], log_p[:, None]), a).flatten()
        weight = torch.softmax(-(normal**2) / 2, 0)
        product = torch.outer(weight, weight).flatten()
        joint = product * _log_copula(normal[:, None], normal, a).exp().flatten()
        loss = (joint @ softplus(-ratio) + product @ softplus(ratio)) / 2
        order = ratio.argsort()
        below = product[order].cumsum(0) - product[order] / 2
        return Ceiling(math.log(2) - loss.item(), (joint[order] @ below).item(), (joint @ ratio).item())


@checked
def _azimuths(first: Float[Tensor, "n 6"], second: Float[Tensor, "n 6"]) -> list[Tensor]:
    """Those of both windows, from their features, shape (n,) each."""
    finite(first=first, second=second)
    return [torch.atan2(window[:, 1], window[:, 0]) for window in (first, second)]


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
