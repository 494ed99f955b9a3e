"""Pairs of edge elements, on one contour or in the background, and how much likelier the first is: exactly.

Drawing elements, and arranging them into figures, is left to `stimuli`. Taught in: continuation, "The world".
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy  # its parts load when they are used
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hssl.checks import ArgumentError, Count, Finite, Fraction, checked, explained, finite
from hssl.pairs import Pairs

ENTRIES, LARGEST_DEVIATE = 8192, 6.0  # cells of a table of deviates, over ± so many standard deviations
FIELD = 8.0  #: side length of the square in which the first elements of `Contours.sample` lie, in units of distance


class Relations(NamedTuple):
    """How the second of two elements lies, as seen from the first. All fields have one shape, (n,) if sampled.

    Elements have no front and back, so that turning either by π changes nothing. Angles run from x towards y.

    >>> straight_ahead = Relations(torch.tensor(1.6), *torch.zeros(4))
    >>> Contours().log_likelihood_ratio(straight_ahead).item() > 3
    True
    """

    distance: Float[Tensor, "*pairs"]  #: > 0, in units of the model
    azimuth: Float[Tensor, "*pairs"]  #: φ: direction of the second from the first's orientation, in radians, in [−π, π)
    turn: Float[Tensor, "*pairs"]  #: ψ: orientation of the second from that of the first, in radians, in [0, π)
    contrast_1: Float[Tensor, "*pairs"]  #: of the first, standard normal
    contrast_2: Float[Tensor, "*pairs"]  #: of the second, standard normal


@explained
@dataclass(frozen=True)
class Contours:
    """The distribution of pairs on one contour, and that in the background. A world: `sample` gives pairs.

    On one contour, distance is gamma distributed, cut to a range. The contour bends by β on its way to the second
    element, β ~ von Mises; so φ = β, or β + π with probability ½, and ψ = 2β + ω, ω ~ von Mises: on a common circle
    but for ω. Contrasts are correlated. In the background the second lies anywhere in the ring between the
    smallest and the largest distance, with any orientation, and contrasts are independent.

    The bend is the one at the first element; at the second it is β + ω. So the distribution is not quite symmetric:
    seen from the second (`swapped`) a pair has another ratio, by its azimuth alone.

    Args:
        kappa_bend, kappa_turn: concentrations of β and ω, in (0, 10000].
        shape, mean: of the gamma distribution before it is cut; the shape in (0, 10000].
        smallest, largest: distances; the mean lies between them.
        correlation: of the contrasts, between −1 and 1.
    Raises:
        ValueError: a setting is out of range.
    Source: the forms are this book's; after Field, Hayes & Hess 1993 and Geisler et al. 2001.

    >>> pairs = Contours().sample(4, g)
    >>> pairs.first.shape, {name: tuple(of.shape) for name, of in pairs.truth.items()}
    (torch.Size([4, 5]), {'position': (4, 2), 'orientation': (4, 2), 'contrast': (4,)})
    """

    kappa_bend: float = 8.0
    kappa_turn: float = 12.0
    shape: float = 4.0
    mean: float = 1.6
    smallest: float = 0.5
    largest: float = 5.0
    correlation: float = 0.6

    def __post_init__(self):
        for name in ("kappa_bend", "kappa_turn", "shape"):
            if not 0 < (value := getattr(self, name)) <= 10_000:
                raise ValueError(f"{name}: wanted a number in (0, 10000], got {value}")
        d = self.smallest, self.mean, self.largest
        if not 0 < d[0] < d[1] < d[2] < math.inf:
            raise ValueError("smallest, mean, largest: wanted distances > 0 in rising order, got {}, {}, {}".format(*d))
        if not -1 < self.correlation < 1:
            raise ValueError(f"correlation: wanted a number between −1 and 1, got {self.correlation}")

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs of elements on one contour, each described by itself, in a frame that both have in common.

        The first lies anywhere in a square of side `FIELD` round the origin, with any orientation θ.

        Returns:
            Members of shape (n, 5): x, y, cos 2θ, sin 2θ and contrast; `relate` gives the pairs back as `Relations`.
            The truth of the first: "position", shape (n, 2), "orientation", sine and cosine of 2θ, shape (n, 2), and
            "contrast", shape (n,).
        Raises:
            ArgumentError: n < 1.
        """
        seen = self.relations(n, True, generator)
        x, y, turned = torch.rand(3, n, generator=generator, device=generator.device)
        position, orientation = FIELD * (torch.stack([x, y], 1) - 0.5), math.pi * turned
        heading = orientation + seen.azimuth
        other = position + seen.distance[:, None] * torch.stack([heading.cos(), heading.sin()], 1)
        first = _describe(position, orientation, seen.contrast_1)
        truth = {"position": position, "orientation": first[:, [3, 2]], "contrast": seen.contrast_1}
        return Pairs(first, _describe(other, orientation + seen.turn, seen.contrast_2), truth)

    @checked
    def relations(self, n: Count, same: Fraction | Bool[Tensor, " n"], generator: torch.Generator) -> Relations:
        """Draw n pairs as the first element sees the second, on one contour or in the background; shape (n,), float32.

        Args:
            same: whether the two are on one contour: for all pairs, with that probability in each pair, or as
                booleans of shape (n,).
        Raises:
            ArgumentError: n < 1, a probability outside [0, 1], or booleans of another shape.

        >>> Contours().relations(3, 0.5, g).distance.shape
        torch.Size([3])
        """
        device = generator.device
        same = same.to(device) if isinstance(same, Tensor) else torch.rand(n, generator=generator, device=device) < same
        if len(same) != n:
            raise ValueError(f"same: wanted shape ({n},), got {tuple(same.shape)}")
        normal = torch.randn(5, n, generator=generator, device=device)
        coin, *uniform = torch.rand(4, n, generator=generator, device=device)
        on, ring = self.on_contour(normal, coin < 0.5), self.largest**2 - self.smallest**2
        return Relations(
            torch.where(same, on.distance, (self.smallest**2 + ring * uniform[0]).sqrt().clamp_max(self.largest)),
            torch.where(same, on.azimuth, 2 * math.pi * (uniform[1] - 0.5)),
            torch.where(same, on.turn, math.pi * uniform[2]),
            on.contrast_1,
            torch.where(same, on.contrast_2, normal[4]),
        )

    @checked
    def on_contour(self, normal: Float[Tensor, "5 n"], forwards: Bool[Tensor, " n"]) -> Relations:
        """The pairs on one contour that given deviates make, fields of shape (n,), float32.

        Args:
            normal: standard normal deviates, shape (5, n), float32, in the order: bend β, ω, distance, first contrast,
                what the second contrast adds. Each quantity rises with its deviate.
            forwards: whether φ = β, and not β + π; shape (n,), bool.

        >>> Contours().on_contour(torch.zeros(5, 1), torch.tensor([True])).azimuth.abs().item() < 1e-6
        True
        """
        distances, bends, turns = _tables(self, normal.device)
        bend, r = _look_up(bends, normal[0]), torch.tensor(self.correlation, device=normal.device)
        backwards = bend - torch.copysign(torch.full_like(bend, math.pi), bend)
        return Relations(
            _look_up(distances, normal[2]).clamp(self.smallest, self.largest),
            torch.where(forwards, bend, backwards),
            wrap(2 * bend + _look_up(turns, normal[1]), 0.0, math.pi),
            normal[3],
            r * normal[3] + (1 - r**2).sqrt() * normal[4],
        )

    @checked
    def cues(self, pairs: Relations) -> dict[str, Tensor]:
        """What each cue adds to the log-likelihood ratio, in nats, in the shape and precision of the pairs.

        proximity: log p(d) − log 2d / (d₁² − d₀²). azimuth: log cosh(κ cos φ) − log I₀(κ), with κ of the bend.
        cocircular: the same of ψ − 2φ, with κ of the turn. luminance: log N(b₁, b₂; q) − log N(b₁, b₂; 0).
        Beyond the largest distance proximity goes on by the same formula, though no pair of either kind is there.

        Raises:
            ArgumentError: a field is no floating-point tensor, or of another shape than the others.
            ValueError: fields are empty, a value is not finite, or a distance ≤ 0.

        >>> aligned = Contours().relate(torch.tensor([[0.0, 0, 1, 0, 1]]), torch.tensor([[1.6, 0, 1, 0, 1]]))
        >>> {name: cue.item() > 0 for name, cue in Contours().cues(aligned).items()}
        {'proximity': True, 'azimuth': True, 'cocircular': True, 'luminance': True}
        """
        check_relations(*pairs)
        d, azimuth, turn, c1, c2 = (field.double() for field in pairs)
        rate, r = self.shape / self.mean, self.correlation
        below = scipy.special.gammainc(self.shape, (rate * self.smallest, rate * self.largest))
        inside = below[1] - below[0]
        if not inside > 0:
            raise ValueError(f"shape, mean: no distance from {self.smallest} to {self.largest} has any probability")
        scale = self.shape * math.log(rate) - math.lgamma(self.shape) - math.log(inside)
        ring = math.log((self.largest**2 - self.smallest**2) / 2)
        found = {
            "proximity": (self.shape - 2) * d.log() - rate * d + (scale + ring),
            "azimuth": _axial(azimuth, self.kappa_bend),
            "cocircular": _axial(turn - 2 * azimuth, self.kappa_turn),
            "luminance": r * (2 * c1 * c2 - r * (c1**2 + c2**2)) / (2 * (1 - r**2)) - math.log(1 - r**2) / 2,
        }
        return {name: cue.to(pairs.distance.dtype) for name, cue in found.items()}

    @explained
    def log_likelihood_ratio(self, pairs: Relations) -> Tensor:
        """log p(pair | one contour) − log p(pair | background), in nats: the sum of the cues.

        Shape, precision and errors are those of `cues`.

        >>> world = Contours()
        >>> [world.log_likelihood_ratio(world.relations(1000, same, g)).mean().item() > 0 for same in (True, False)]
        [True, False]
        """
        proximity, azimuth, cocircular, luminance = self.cues(pairs).values()
        return proximity + azimuth + cocircular + luminance

    @checked
    def relate(self, first: Float[Tensor, "n 5"], second: Float[Tensor, "n 5"]) -> Relations:
        """The second members of pairs as seen from the first, both as `sample` gives them; fields of shape (n,).

        Distances below the smallest are set to it.

        >>> beside = Contours().relate(torch.tensor([[0.0, 0, 1, 0, 0]]), torch.tensor([[0.0, 2, -1, 0, 0]]))
        >>> [round(field.item(), 3) for field in beside[:3]]  # two away, at a right angle, and turned by another
        [2.0, 1.571, 1.571]
        """
        one, other = (torch.atan2(member[:, 3], member[:, 2]) / 2 for member in (first, second))
        return self._relate(second[:, :2] - first[:, :2], one, other, first[:, 4], second[:, 4])

    @checked
    def between(
        self,
        positions: Float[Tensor, "m 2"],
        orientations: Float[Tensor, " m"],
        contrasts: Float[Tensor, " m"] | None = None,
    ) -> Relations:
        """Every element as seen from every other: fields of shape (m, m), first element by row, second by column.

        Distances below the smallest are set to it. The diagonal holds each element with itself: smallest
        distance, no azimuth and no turn; it is finite and means nothing.

        Args:
            positions: shape (m, 2), x and y in units of the model.
            orientations: shape (m,), in radians, from x towards y; any value.
            contrasts: shape (m,); None means 0, the mean, for all.
        Raises:
            ArgumentError: an argument of another shape or dtype.
            ValueError: no element at all, or a value that is not finite.

        >>> Contours().between(torch.randn(7, 2, generator=g), torch.zeros(7)).distance.shape
        torch.Size([7, 7])
        """
        contrasts = torch.zeros_like(orientations) if contrasts is None else contrasts
        finite(positions=positions, orientations=orientations, contrasts=contrasts)
        if not len(positions):
            raise ValueError("positions: wanted at least one element, got none")
        itself = torch.eye(len(positions), dtype=torch.bool, device=positions.device)
        alike = contrasts.expand(len(positions), -1)
        displacement = positions[None] - positions[:, None]
        seen = self._relate(displacement, orientations[:, None], orientations[None], alike.T, alike)
        return seen._replace(azimuth=seen.azimuth.masked_fill(itself, 0.0))

    def _relate(self, displacement: Tensor, first: Tensor, second: Tensor, contrast_1: Tensor, contrast_2: Tensor):
        """By the displacement of the second from the first, shape (…, 2), and both orientations and contrasts."""
        return Relations(
            torch.hypot(*displacement.unbind(-1)).clamp_min(self.smallest),
            wrap(torch.atan2(displacement[..., 1], displacement[..., 0]) - first, -math.pi, math.pi),
            wrap(second - first, 0.0, math.pi),
            contrast_1,
            contrast_2,
        )


def _describe(position: Tensor, orientation: Tensor, contrast: Tensor) -> Tensor:
    """An element by itself: x, y, cos 2θ, sin 2θ and contrast, shape (n, 5)."""
    return torch.stack([*position.T, (2 * orientation).cos(), (2 * orientation).sin(), contrast], 1)


@checked
def swapped(pairs: Relations) -> Relations:
    """The same pairs, the first as seen from the second; its azimuth is known up to π, as no element has a front.

    >>> pairs = Contours().relations(5, True, g)
    >>> torch.equal(swapped(pairs).contrast_1, pairs.contrast_2)
    True
    """
    azimuth = wrap(pairs.azimuth + math.pi - pairs.turn, -math.pi, math.pi)
    return Relations(pairs.distance, azimuth, wrap(-pairs.turn, 0.0, math.pi), pairs.contrast_2, pairs.contrast_1)


@checked
def features(pairs: Relations) -> Tensor:
    """What a network is given: d cos φ, d sin φ, cos 2ψ, sin 2ψ, b₁, b₂; shape (n, 6), or (m, m, 6).

    Errors are those of `cues`.

    >>> features(Contours().relations(5, True, g)).shape
    torch.Size([5, 6])
    """
    check_relations(*pairs)
    d, azimuth, turn, c1, c2 = pairs
    return torch.stack([d * azimuth.cos(), d * azimuth.sin(), (2 * turn).cos(), (2 * turn).sin(), c1, c2], -1)


@cache
def _tables(model: Contours, device: torch.device) -> list[Tensor]:
    """Distance, bend and turn ω, each as a rising function of a standard normal deviate."""
    d, angle = (np.linspace(*ends, 2**16 + 1) for ends in ((model.smallest, model.largest), (-math.pi, math.pi)))
    logs = [(d, (model.shape - 1) * np.log(d) - model.shape / model.mean * d)]
    logs += [(angle, kappa * np.cos(angle)) for kappa in (model.kappa_bend, model.kappa_turn)]
    chance = torch.special.ndtr(torch.linspace(-LARGEST_DEVIATE, LARGEST_DEVIATE, ENTRIES + 1, dtype=torch.float64))
    tables = []
    for at, log_density in logs:
        mass = scipy.integrate.cumulative_trapezoid(np.exp(log_density - log_density.max()), initial=0)
        tables.append(torch.tensor(np.interp(chance, mass / mass[-1], at), dtype=torch.float32, device=device))
    return tables


def _look_up(table: Tensor, normal: Tensor) -> Tensor:
    """The table's function of standard normal deviates, by linear interpolation, shape (n,)."""
    place = ((normal + LARGEST_DEVIATE) * (ENTRIES / (2 * LARGEST_DEVIATE))).clamp(0, ENTRIES - 0.01)
    cell = place.int()
    return torch.lerp(table.index_select(0, cell), table.index_select(0, cell + 1), place - cell)


def _axial(angle: Tensor, concentration: float) -> Tensor:
    """Log density of a von Mises angle known up to π, relative to the uniform one."""
    along = concentration * angle.cos()
    bessel = torch.special.i0e(torch.tensor(concentration, dtype=torch.float64)).log().item() + concentration
    return torch.logaddexp(along, -along) - (math.log(2) + bessel)


@explained
def wrap(angle: Float[Tensor, "..."], low: Finite, high: Finite) -> Float[Tensor, "..."]:
    """Into [low, high), also where rounding would give the upper end.

    >>> wrap(torch.tensor([-0.5, 1.0, 2.5]), 0.0, 1.0)
    tensor([0.5000, 0.0000, 0.5000])
    """
    if not low < high:
        raise ArgumentError(f"low, high: wanted two numbers in rising order, got {low}, {high}")
    angle = torch.remainder(angle - low, high - low) + low
    return angle.masked_fill_(angle >= high, low)


Field = Float[Tensor, "*pairs"]


@checked
def check_relations(distance: Field, azimuth: Field, turn: Field, contrast_1: Field, contrast_2: Field) -> None:
    """Raise what `Contours.cues` says of bad pairs.

    >>> check_relations(*torch.zeros(5, 3))
    Traceback (most recent call last):
    ValueError: distance: wanted distances > 0, got 0.0
    """
    if not distance.numel():
        raise ValueError("distance: wanted at least one pair, got none")
    finite(distance=distance, azimuth=azimuth, turn=turn, contrast_1=contrast_1, contrast_2=contrast_2)
    if not (distance > 0).all():
        raise ValueError(f"distance: wanted distances > 0, got {distance.min().item()}")
