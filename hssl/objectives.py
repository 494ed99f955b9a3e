"""Objectives without negatives, that say directly how the embeddings of a batch shall be spread.

Each is a function of the embeddings of the firsts and of the seconds, as the losses in `losses` are, where the
contrastive ones stand. Predictors, teachers and projection heads are left out.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hssl.checks import ArgumentError, Count, Fraction, NonNegative, checked, finite, in_floats

REACH, KNOTS = 5.0, 17  # of the integral over t: from −5 to 5, at so many points


@checked
def vicreg(
    anchors: Float[Tensor, "batch dim"],
    positives: Float[Tensor, "batch dim"],
    *,
    invariance: NonNegative = 25.0,
    variance: NonNegative = 25.0,
    covariance: NonNegative = 1.0,
) -> Float[Tensor, ""]:
    """Variance, invariance, covariance: pairs close, no output below standard deviation 1, no two correlated.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair.
        invariance, variance, covariance: weights ≥ 0 of the three terms.
    Returns:
        Shape (), ≥ 0; all alike and centred, embeddings cost twice `variance`.
    Raises:
        ArgumentError: shapes or dtypes differ, no floats, or a weight < 0. ValueError: batch < 2, NaN or ±inf.
    Source: Bardes et al. 2022, eq. 1 to 6. Taught in: objectives, "Four objectives".

    >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> vicreg(z, z), round(vicreg(z, z.flip(0)).item(), 3)  # mean squared distance 8
    (tensor(0.), 200.0)
    """
    a, b = in_floats(2, anchors=anchors, positives=positives)
    loss = invariance * ((a - b) ** 2).sum(1).mean()
    for z in (a, b):
        centred = z - z.mean(0)
        cov = centred.T @ centred / (len(z) - 1)  # (dim, dim)
        spread = (cov.diagonal() + 1e-4).sqrt()
        off = cov - torch.diag(cov.diagonal())
        loss = loss + variance * (1 - spread).relu().mean() + covariance * (off**2).sum() / len(cov)
    return loss


@checked
def barlow_twins(
    anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"], *, off_diagonal: NonNegative = 5e-3
) -> Float[Tensor, ""]:
    """Redundancy reduction: the correlations of first outputs with second ones shall be the identity matrix.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair. Their scale does not matter.
        off_diagonal: weight ≥ 0 of the correlations between different outputs.
    Returns:
        Shape (), ≥ 0; pairs that have nothing in common cost about dim.
    Raises:
        ArgumentError, ValueError: as `vicreg`.
    Source: Zbontar et al. 2021, eq. 1 and 2. Taught in: objectives, "Four objectives".

    >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> round(barlow_twins(z, 3 * z).item(), 4), round(barlow_twins(z, -z).item(), 4)
    (0.0, 8.0)
    """
    a, b = in_floats(2, anchors=anchors, positives=positives)
    a, b = ((z - z.mean(0)) / (z.std(0, correction=0) + 1e-6) for z in (a, b))
    c = a.T @ b / len(a)  # (dim, dim)
    on = c.diagonal()
    return ((1 - on) ** 2).sum() + off_diagonal * ((c**2).sum() - (on**2).sum())


@checked
def epps_pulley(samples: Float[Tensor, "n columns"]) -> Float[Tensor, " columns"]:
    """How far each column is from a standard normal sample, by its empirical characteristic function φ̂.

    n ∫ |φ̂(t) − e^(−t²/2)|² e^(−t²/2) dt, by the trapezoidal rule with 17 points from −5 to 5.

    Args:
        samples: shape (n, columns), each column a sample.
    Returns:
        Shape (columns,), ≥ 0; about 1.06 (√2π − √2π/√3) for a normal sample of any size, and of order n otherwise.
    Raises:
        ArgumentError: another shape, or no floats. ValueError: no samples, NaN or ±inf.
    Source: Epps & Pulley 1983, with mean and variance given; Balestriero & LeCun 2025, section 4.2.

    >>> x = torch.randn(1000, 1, generator=g)
    >>> epps_pulley(x).item() < 5 < epps_pulley(x + 1).item()
    True
    """
    finite(1, samples=samples)
    t = torch.linspace(-REACH, REACH, KNOTS, dtype=samples.dtype, device=samples.device)
    normal = (-(t**2) / 2).exp()
    angles = samples[:, :, None] * t  # (n, columns, knots)
    squared = (angles.cos().mean(0) - normal) ** 2 + angles.sin().mean(0) ** 2
    return len(samples) * torch.trapezoid(squared * normal, t, dim=1)


@checked
def sigreg(
    embeddings: Float[Tensor, "n dim"], *, directions: Count = 32, generator: torch.Generator | None = None
) -> Float[Tensor, ""]:
    """Sketched isotropic Gaussian regulariser: `epps_pulley` of projections on random directions, their mean.

    Only the standard normal distribution in all dim dimensions has standard normal projections in every direction
    (Cramér & Wold). So this asks for full support, not only for outputs that are not correlated.

    Args:
        embeddings: shape (n, dim). directions: how many, drawn anew at each call.
        generator: draws them; None means torch's own.
    Raises:
        ArgumentError: another shape, no floats, or directions < 1. ValueError: no embeddings, NaN or ±inf.
    Source: Balestriero & LeCun 2025, algorithm 1. Taught in: objectives, "Four objectives".

    >>> z = torch.randn(500, 3, generator=g)
    >>> sigreg(z, generator=g) < sigreg(z[:, :1].expand(-1, 3), generator=g)
    tensor(True)
    """
    if not len(embeddings):
        raise ArgumentError("embeddings: wanted at least one, got none")
    place = embeddings.device if generator is None else generator.device
    a = torch.randn(embeddings.shape[1], directions, generator=generator, dtype=embeddings.dtype, device=place)
    a = a.to(embeddings.device)
    return epps_pulley(embeddings @ (a / a.norm(dim=0))).mean()


@checked
def lejepa(
    anchors: Float[Tensor, "batch dim"],
    positives: Float[Tensor, "batch dim"],
    *,
    weight: Fraction = 0.05,
    directions: Count = 32,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """(1 − weight) · prediction + weight · SIGReg: pairs close, and the embeddings of all firsts (seconds) Gaussian.

    Prediction is the squared distance of either member to the mean of both, averaged over members and outputs.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair.
        weight: of the regulariser, from 0 to 1. directions, generator: as in `sigreg`.
    Raises:
        ArgumentError, ValueError: as `vicreg` and `sigreg`.
    Source: Balestriero & LeCun 2025, section 5.1, with two views. Taught in: objectives, "Four objectives".

    >>> lejepa(torch.zeros(4, 2), 2 * torch.ones(4, 2), weight=0)  # both 1 away from their mean
    tensor(1.)
    """
    a, b = in_floats(2, anchors=anchors, positives=positives)
    prediction = ((a - b) ** 2).mean() / 4
    spread = sum(sigreg(z, directions=directions, generator=generator) for z in (a, b)) / 2
    return (1 - weight) * prediction + weight * spread
