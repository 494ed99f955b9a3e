"""The rules that decide which patches belong together, and what tells that a rule has failed.

A rule calls every pair of two different patches positive or negative. What a loss makes of it is left to `losses`;
what a probe still finds in the embeddings, to `probes`. Taught in: patch_pairs, "Which patches are a pair?".
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Masks(NamedTuple):
    """What a rule says of n patches; both masks are symmetric, and no patch is paired with itself."""

    positive: Tensor  #: shape (n, n), bool
    negative: Tensor  #: shape (n, n), bool


@torch.no_grad()
def threshold(embeddings: Tensor, distance: float) -> Masks:
    """Positive: at most an absolute Euclidean distance apart.

    Args:
        embeddings: shape (n, dim), as they are; bring them to unit length before, if the cosine is to count.
        distance: in the embeddings' unit, finite, ≥ 0.
    Raises:
        ValueError: fewer than 2 embeddings, another shape, values that are not finite, or a distance out of range.
        TypeError: no floating-point tensor.
    """
    if not 0 <= distance < float("inf"):
        raise ValueError(f"distance: wanted a finite number ≥ 0, got {distance}")
    return _masks(_distances(embeddings) <= distance)


@torch.no_grad()
def quantile(embeddings: Tensor, share: float) -> Masks:
    """Positive: the nearest share of all pairs; more where distances tie with the last of them.

    Args:
        embeddings: shape (n, dim): those being trained, a slow teacher's (`follow`), or pixels.
        share: 0 < share < 1; at least one pair is positive.
    Raises:
        ValueError, TypeError: as `threshold`, and a share out of range.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: wanted 0 < share < 1, got {share}")
    distances = _distances(embeddings)
    n = len(distances)
    pairs = distances[*torch.triu_indices(n, n, 1, device=distances.device)]
    return _masks(distances <= pairs.kthvalue(max(1, round(share * len(pairs)))).values)


@torch.no_grad()
def mutual_nearest(embeddings: Tensor, k: int) -> Masks:
    """Positive: each is among the k nearest of the other; more where distances tie with the k-th.

    Args:
        embeddings: shape (n, dim).
        k: 1 ≤ k < n.
    Raises:
        ValueError, TypeError: as `threshold`, and a k out of range.
    """
    distances = _distances(embeddings)
    if not 1 <= k < len(distances):
        raise ValueError(f"k: wanted 1 to {len(distances) - 1}, got {k}")
    distances.fill_diagonal_(torch.inf)
    near = distances <= distances.kthvalue(k, dim=1, keepdim=True).values
    return _masks(near & near.T)


def adjacent(positions: Tensor, images: Tensor, reach: float) -> Masks:
    """Positive: of the same image, and at most `reach` apart.

    Args:
        positions: (y, x), shape (n, 2), in windows or pixels. images: whose window it is, shape (n,), integers.
        reach: Euclidean, in the unit of the positions, > 0; on a grid 1 means 4 neighbours, 1.5 means 8.
    Raises:
        ValueError: fewer than 2 patches, another shape, values that are not finite, or a reach out of range.
        TypeError: the images are no integers.
    """
    if not 0 < reach < float("inf"):
        raise ValueError(f"reach: wanted a finite number > 0, got {reach}")
    if positions.ndim != 2 or positions.shape[1] != 2 or len(positions) != len(images):
        raise ValueError(f"positions: wanted shape ({len(images)}, 2), got {tuple(positions.shape)}")
    near = _distances(positions if positions.is_floating_point() else positions.float()) <= reach
    return _masks(near & same_image(images).positive)


def same_image(images: Tensor) -> Masks:
    """Positive: windows of the same image, wherever they lie.

    Args:
        images: whose window it is, shape (n,), integers.
    Raises:
        ValueError: fewer than 2, or another shape. TypeError: no integers.
    """
    if images.is_floating_point() or images.dtype == torch.bool:
        raise TypeError(f"images: wanted integers, got {images.dtype}")
    if images.ndim != 1 or len(images) < 2:
        raise ValueError(f"images: wanted shape (n,) with n ≥ 2, got {tuple(images.shape)}")
    return _masks(images[:, None] == images)


@torch.no_grad()
def probable(logits: Tensor, at_least: float = 0.5) -> Masks:
    """Positive: the probability that the two belong together is at least that.

    Args:
        logits: log p/(1 − p) of every pair, shape (n, n); the mean of both directions counts.
        at_least: probability, 0 < at_least < 1.
    Raises:
        ValueError: fewer than 2 patches, another shape, values that are not finite, or a probability out of range.
        TypeError: no floating-point tensor.
    """
    if not 0 < at_least < 1:
        raise ValueError(f"at_least: wanted a probability between 0 and 1, got {at_least}")
    _check("logits", logits)
    if logits.shape[0] != logits.shape[1]:
        raise ValueError(f"logits: wanted shape (n, n), got {tuple(logits.shape)}")
    return _masks((logits + logits.T) / 2 >= torch.logit(torch.tensor(at_least, dtype=torch.float64)).item())


def positive_share(masks: Masks) -> float:
    """Share of positive ones among all pairs: at 0 nothing attracts, at 1 nothing repels."""
    n = len(masks.positive)
    return masks.positive.sum().item() / (n * (n - 1))


def false_negative_rate(masks: Masks, truth: Tensor) -> float:
    """Share of the pairs that belong together which the rule calls negative.

    Args:
        truth: which belong together, shape (n, n), bool; its diagonal has no part in it.
    Raises:
        ValueError: another shape, or no pair belongs together. TypeError: no bool.
    """
    return _share(masks.negative, truth, True)


def false_positive_rate(masks: Masks, truth: Tensor) -> float:
    """Share of the pairs that do not belong together which the rule calls positive.

    Args and Raises: as `false_negative_rate`; ValueError if all pairs belong together.
    """
    return _share(masks.positive, truth, False)


def contamination(masks: Masks, truth: Tensor) -> float:
    """Share of the negatives that belong together in truth: the `positive_rate` of `losses.debiased_info_nce`.

    0 where there are no negatives. Args and Raises: as `false_negative_rate`, but for a truth without any pair.
    """
    _check_truth(masks.negative, truth)
    return (masks.negative & truth).sum().item() / max(1, masks.negative.sum().item())


@torch.no_grad()
def uncentred_variance(embeddings: Tensor) -> float:
    """Spread of the directions: 1 − |mean of the unit embeddings|², the mean of 1 − cosine over all pairs.

    The embeddings are not centred before, and not scaled after: so noise around one point remains as small as it is,
    while the effective rank of what centring leaves takes it for a rich code.

    Args:
        embeddings: shape (n, dim).
    Returns:
        Between 0, where all point the same way (collapse), and 1, where directions cancel.
    Raises:
        ValueError, TypeError: as `threshold`.
    """
    _check("embeddings", embeddings)
    unit = nn.functional.normalize(embeddings.double(), dim=1)
    return max(0.0, 1 - (unit.mean(0) ** 2).sum().item())


@torch.no_grad()
def effective_rank(embeddings: Tensor, *, centred: bool = True) -> float:
    """How many dimensions the embeddings use: e to the entropy of the covariance's normalised eigenvalues.

    Args:
        embeddings: shape (n, dim).
        centred: take the mean off first. Without, a collapse to one point has rank 1; with, the noise around the
            point decides.
    Returns:
        Between 1 and dim; 0 where nothing is left but rounding errors.
    Raises:
        ValueError, TypeError: as `threshold`.
    Source: Roy & Vetterli 2007, of the covariance matrix.
    """
    _check("embeddings", embeddings)
    z, scale = embeddings.double(), embeddings.double().norm()
    values = torch.linalg.svdvals(z - z.mean(0) if centred else z)
    if values[0] <= scale * len(z) * torch.finfo(torch.float64).eps:
        return 0.0
    p = values**2 / (values**2).sum()
    return torch.special.entr(p).sum().exp().item()


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move a slow teacher towards its student, in place: momentum · teacher + (1 − momentum) · student.

    Parameters and buffers alike; what is no floating-point number, such as a count, is copied. A teacher starts as
    `copy.deepcopy(student)`.

    Raises:
        ValueError: momentum outside [0, 1], the same module twice, or modules that are not built alike.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum: wanted 0 to 1, got {momentum}")
    slow, fast = teacher.state_dict(), student.state_dict()
    if teacher is student:
        raise ValueError("teacher: wanted a copy of the student, got the student itself")
    if {k: v.shape for k, v in slow.items()} != {k: v.shape for k, v in fast.items()}:
        raise ValueError("teacher, student: wanted parameters and buffers of the same names and shapes")
    for name, value in slow.items():
        value.lerp_(fast[name], 1 - momentum) if value.is_floating_point() else value.copy_(fast[name])


def _masks(positive: Tensor) -> Masks:
    different = ~torch.eye(len(positive), dtype=torch.bool, device=positive.device)
    return Masks(positive & different, ~positive & different)


def _distances(embeddings: Tensor) -> Tensor:
    """Euclidean, shape (n, n); not by way of the dot product, so that both directions agree and twins are at 0."""
    _check("embeddings", embeddings)
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def _share(called: Tensor, truth: Tensor, together: bool) -> float:
    _check_truth(called, truth)
    of = (truth == together).fill_diagonal_(False)
    if not of.any():
        which = "no pair belongs" if together else "all pairs belong"
        raise ValueError(f"truth: {which} together, so that the rate has no meaning")
    return (called & of).sum().item() / of.sum().item()


def _check_truth(called: Tensor, truth: Tensor) -> None:
    if truth.dtype != torch.bool:
        raise TypeError(f"truth: wanted bool, got {truth.dtype}")
    if truth.shape != called.shape:
        raise ValueError(f"truth: wanted shape {tuple(called.shape)}, got {tuple(truth.shape)}")


def _check(name: str, value: Tensor) -> None:
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        raise TypeError(f"{name}: wanted a floating-point tensor, got {getattr(value, 'dtype', type(value))}")
    if value.ndim != 2 or len(value) < 2 or not value.shape[1]:
        raise ValueError(f"{name}: wanted two dimensions and at least 2 rows, got shape {tuple(value.shape)}")
    if not value.isfinite().all():
        raise ValueError(f"{name}: there are values that are not finite")
