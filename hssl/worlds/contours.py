"""Pairs of edge elements, on one contour or in the background, and how much likelier the first is: exactly.

Drawing elements, and arranging them into figures, is left to `figures`. Taught in: continuation, "The world".
"""

import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

ENTRIES, REACH = 8192, 6.0  # cells of a table of deviates, over ± so many standard deviations


class Pairs(NamedTuple):
    """Pairs of elements; the second as seen from the first. All fields have one shape, (n,) if sampled.

    Elements have no front and back, so that turning either by π changes nothing. Angles run from x towards y.
    """

    distance: Tensor  #: > 0, in units of the law
    azimuth: Tensor  #: φ: direction of the second from the first's orientation, in radians, in [−π, π)
    turn: Tensor  #: ψ: orientation of the second from that of the first, in radians, in [0, π)
    contrast_1: Tensor  #: of the first, standard normal
    contrast_2: Tensor  #: of the second, standard normal


@dataclass(frozen=True)
class Contours:
    """The law of pairs on one contour, and that of the background.

    On one contour, distance is gamma distributed, cut to a range. The contour bends by β on its way to the second
    element, β ~ von Mises; so φ = β, or β + π with probability ½, and ψ = 2β + ω, ω ~ von Mises: on a common circle
    but for ω. Contrasts are correlated. In the background the second lies anywhere in the ring between the
    smallest and the largest distance, with any orientation, and contrasts are independent.

    The bend is the one at the first element; at the second it is β + ω. So the law is not quite symmetric:
    seen from the second (`swapped`) a pair has another ratio, by its azimuth alone.

    Args:
        bend, turn: concentrations of β and ω, in (0, 10000].
        shape, mean: of the gamma distribution before it is cut; the shape in (0, 10000].
        smallest, largest: distances; the mean lies between them.
        correlation: of the contrasts, between −1 and 1.
    Raises:
        ValueError: a setting is out of range.
    Source: the forms are this book's; after Field, Hayes & Hess 1993 and Geisler et al. 2001.
    """

    bend: float = 8.0
    turn: float = 12.0
    shape: float = 4.0
    mean: float = 1.6
    smallest: float = 0.5
    largest: float = 5.0
    correlation: float = 0.6

    def __post_init__(self):
        for name, value in asdict(self).items():
            if name in ("bend", "turn", "shape") and not 0 < value <= 10_000:
                raise ValueError(f"{name}: wanted a number in (0, 10000], got {value}")
        if not 0 < self.smallest < self.mean < self.largest < math.inf:
            raise ValueError(
                "smallest, mean, largest: wanted distances > 0 in rising order, "
                f"got {self.smallest}, {self.mean}, {self.largest}"
            )
        if not -1 < self.correlation < 1:
            raise ValueError(f"correlation: wanted a number between −1 and 1, got {self.correlation}")

    def sample_pairs(self, n: int, same: bool | float | Tensor, generator: torch.Generator) -> Pairs:
        """Draw n pairs, fields of shape (n,), float32.

        Args:
            same: whether the two are on one contour: for all pairs, with that probability in each pair, or as
                booleans of shape (n,).
        Raises:
            ValueError: n < 1, a probability outside [0, 1], or booleans of another shape.
            TypeError: `same` is a tensor of something else.
        """
        if n < 1:
            raise ValueError(f"n: wanted at least one pair, got {n}")
        same, device = _as_booleans(n, same, generator), generator.device
        normal = torch.randn(5, n, generator=generator, device=device)
        coin, *uniform = torch.rand(4, n, generator=generator, device=device)
        on, ring = self.on_contour(normal, coin < 0.5), self.largest**2 - self.smallest**2
        return Pairs(
            torch.where(same, on.distance, (self.smallest**2 + ring * uniform[0]).sqrt().clamp_max(self.largest)),
            torch.where(same, on.azimuth, 2 * math.pi * (uniform[1] - 0.5)),
            torch.where(same, on.turn, math.pi * uniform[2]),
            on.contrast_1,
            torch.where(same, on.contrast_2, normal[4]),
        )

    def on_contour(self, normal: Tensor, forwards: Tensor) -> Pairs:
        """The pairs on one contour that given deviates make, fields of shape (n,), float32.

        Args:
            normal: standard normal deviates, shape (5, n), float32, in the order: bend β, ω, distance, first contrast,
                what the second contrast adds. Each quantity rises with its deviate.
            forwards: whether φ = β, and not β + π; shape (n,), bool.
        """
        distances, bends, turns = _tables(self, normal.device)
        bend, r = _look_up(bends, normal[0]), torch.tensor(self.correlation, device=normal.device)
        backwards = bend - torch.copysign(torch.full_like(bend, math.pi), bend)
        return Pairs(
            _look_up(distances, normal[2]).clamp(self.smallest, self.largest),
            torch.where(forwards, bend, backwards),
            wrap(2 * bend + _look_up(turns, normal[1]), 0.0, math.pi),
            normal[3],
            r * normal[3] + (1 - r**2).sqrt() * normal[4],
        )

    def cues(self, pairs: Pairs) -> dict[str, Tensor]:
        """What each cue adds to the log-likelihood ratio, in nats, in the shape and precision of the pairs.

        proximity: log p(d) − log 2d / (d₁² − d₀²). azimuth: log cosh(κ cos φ) − log I₀(κ), with κ of the bend.
        cocircular: the same of ψ − 2φ, with κ of the turn. luminance: log N(b₁, b₂; q) − log N(b₁, b₂; 0).
        Beyond the largest distance proximity goes on by the same formula, though no pair of either kind is there.

        Raises:
            TypeError: a field is no floating-point tensor.
            ValueError: fields differ in shape or are empty, a value is not finite, or a distance ≤ 0.
        """
        check_pairs(pairs)
        d, azimuth, turn, c1, c2 = (field.double() for field in pairs)
        rate, r = self.shape / self.mean, self.correlation
        inside = _gamma_cdf(self.shape, rate * self.largest) - _gamma_cdf(self.shape, rate * self.smallest)
        scale = self.shape * math.log(rate) - math.lgamma(self.shape) - math.log(inside)
        ring = math.log((self.largest**2 - self.smallest**2) / 2)
        found = {
            "proximity": (self.shape - 2) * d.log() - rate * d + (scale + ring),
            "azimuth": _axial(azimuth, self.bend),
            "cocircular": _axial(turn - 2 * azimuth, self.turn),
            "luminance": r * (2 * c1 * c2 - r * (c1**2 + c2**2)) / (2 * (1 - r**2)) - math.log(1 - r**2) / 2,
        }
        return {name: cue.to(pairs.distance.dtype) for name, cue in found.items()}

    def log_likelihood_ratio(self, pairs: Pairs) -> Tensor:
        """log p(pair | one contour) − log p(pair | background), in nats: the sum of the cues.

        Shape, precision and errors are those of `cues`.
        """
        return sum(self.cues(pairs).values())

    def between(self, places: Tensor, orientations: Tensor, contrasts: Tensor | None = None) -> Pairs:
        """Every element as seen from every other: fields of shape (m, m), first element by row, second by column.

        Distances below the law's smallest are set to it. The diagonal holds each element with itself: smallest
        distance, no azimuth and no turn; it is finite and means nothing.

        Args:
            places: shape (m, 2), x and y in units of the law.
            orientations: shape (m,), in radians, from x towards y; any value.
            contrasts: shape (m,); None means 0, the mean, for all.
        Raises:
            TypeError: an argument is no floating-point tensor.
            ValueError: another shape, no element at all, or a value that is not finite.
        """
        m = len(places)
        _check_tensor("places", places, (m, 2))
        _check_tensor("orientations", orientations, (m,))
        contrasts = torch.zeros_like(orientations) if contrasts is None else contrasts
        _check_tensor("contrasts", contrasts, (m,))
        dx, dy = (places[None] - places[:, None]).unbind(-1)
        itself = torch.eye(m, dtype=torch.bool, device=places.device)
        azimuth = torch.atan2(dy, dx) - orientations[:, None]
        return Pairs(
            torch.hypot(dx, dy).clamp_min(self.smallest),
            wrap(azimuth, -math.pi, math.pi).masked_fill(itself, 0.0),
            wrap(orientations[None] - orientations[:, None], 0.0, math.pi),
            contrasts[:, None].expand(m, m),
            contrasts[None].expand(m, m),
        )


def swapped(pairs: Pairs) -> Pairs:
    """The same pairs, the first as seen from the second; its azimuth is known up to π, as no element has a front."""
    azimuth = wrap(pairs.azimuth + math.pi - pairs.turn, -math.pi, math.pi)
    return Pairs(pairs.distance, azimuth, wrap(-pairs.turn, 0.0, math.pi), pairs.contrast_2, pairs.contrast_1)


def features(pairs: Pairs) -> Tensor:
    """What a network is given: d cos φ, d sin φ, cos 2ψ, sin 2ψ, b₁, b₂; shape (n, 6), or (m, m, 6).

    Errors are those of `cues`.
    """
    check_pairs(pairs)
    d, azimuth, turn, c1, c2 = pairs
    return torch.stack([d * azimuth.cos(), d * azimuth.sin(), (2 * turn).cos(), (2 * turn).sin(), c1, c2], -1)


@cache
def _tables(law: Contours, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Distance, bend and turn ω, each as a rising function of a standard normal deviate."""
    d, rate = np.linspace(law.smallest, law.largest, 2**16 + 1), law.shape / law.mean
    angle = np.linspace(-math.pi, math.pi, 2**16 + 1)
    logs = [(d, (law.shape - 1) * np.log(d) - rate * d)] + [(angle, k * np.cos(angle)) for k in (law.bend, law.turn)]
    chance = torch.special.ndtr(torch.linspace(-REACH, REACH, ENTRIES + 1, dtype=torch.float64)).numpy()
    tables = []
    for at, log_density in logs:
        density = np.exp(log_density - log_density.max())
        mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
        tables.append(torch.tensor(np.interp(chance, mass / mass[-1], at), dtype=torch.float32, device=device))
    return tuple(tables)


def _look_up(table: Tensor, normal: Tensor) -> Tensor:
    """The table's function of standard normal deviates, by linear interpolation, shape (n,)."""
    place = ((normal + REACH) * (ENTRIES / (2 * REACH))).clamp(0, ENTRIES - 0.01)
    cell = place.int()
    return torch.lerp(table.index_select(0, cell), table.index_select(0, cell + 1), place - cell)


def _axial(angle: Tensor, concentration: float) -> Tensor:
    """Log density of a von Mises angle known up to π, relative to the uniform one."""
    along = concentration * angle.cos()
    bessel = torch.special.i0e(torch.tensor(concentration, dtype=torch.float64)).log().item() + concentration
    return torch.logaddexp(along, -along) - (math.log(2) + bessel)


def _gamma_cdf(shape: float, x: float) -> float:
    return torch.special.gammainc(*torch.tensor([shape, x], dtype=torch.float64)).item()


def wrap(angle: Tensor, low: float, high: float) -> Tensor:
    """Into [low, high), also where rounding would give the upper end."""
    angle = torch.remainder(angle - low, high - low) + low
    return angle.masked_fill_(angle >= high, low)


def _as_booleans(n: int, same: bool | float | Tensor, generator: torch.Generator) -> Tensor:
    if isinstance(same, Tensor):
        if same.dtype != torch.bool:
            raise TypeError(f"same: wanted a tensor of booleans, got {same.dtype}")
        if same.shape != (n,):
            raise ValueError(f"same: wanted shape ({n},), got {tuple(same.shape)}")
        return same.to(generator.device)
    if not 0 <= same <= 1:
        raise ValueError(f"same: wanted a probability in [0, 1], got {same}")
    return torch.rand(n, generator=generator, device=generator.device) < same


def check_pairs(pairs: Pairs) -> None:
    """Raise what `Contours.cues` says of bad pairs."""
    for name, value in zip(Pairs._fields, pairs, strict=True):
        _check_tensor(name, value, getattr(pairs.distance, "shape", ()))
    if not (pairs.distance > 0).all():
        raise ValueError(f"distance: wanted distances > 0, got {pairs.distance.min().item()}")


def _check_tensor(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        raise TypeError(f"{name}: wanted a floating-point tensor, got {getattr(value, 'dtype', type(value))}")
    if value.shape != shape or not value.numel():
        raise ValueError(f"{name}: wanted shape {tuple(shape)}, not empty, got {tuple(value.shape)}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name}: there are values that are not finite")


#: The law that the book uses, and its functions.
law = Contours()
sample_pairs, cues, log_likelihood_ratio, between = law.sample_pairs, law.cues, law.log_likelihood_ratio, law.between
