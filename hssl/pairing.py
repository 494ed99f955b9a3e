"""The rules that decide which patches belong together, and what shows that a rule has failed.

A rule calls every pair of two different patches positive or negative. `training.fit(…, pairing=rule)` calls one as
`rule(h, x, *extras)`, with the embeddings h of all members of the batch, shape (n, dim), and their observations x,
shape (n, …), and takes `Masks`: each rule here becomes such a one by a lambda. What a loss makes of the masks is left
to `losses`; what a probe still finds in the embeddings, to `probes`.
Taught in: pairing, "Two stages".
"""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer, Real
from torch import Tensor, nn

from hssl.checks import (
    ArgumentError,
    Count,
    Fraction,
    Inside,
    NonNegative,
    Positive,
    checked,
    explained,
    finite,
)


class Masks(NamedTuple):
    """What a rule says of n patches; both masks are symmetric, and no patch is paired with itself.

    >>> positive, negative = same_image(torch.tensor([0, 0, 1]))
    >>> positive.sum().item(), negative.sum().item()
    (2, 4)
    """

    positive: Bool[Tensor, "n n"]
    negative: Bool[Tensor, "n n"]


@checked
def threshold(embeddings: Float[Tensor, "n dim"], distance: NonNegative) -> Masks:
    """Positive: at most an absolute Euclidean distance apart.

    In `fit`: `pairing=lambda h, x: threshold(h, 0.5)`.

    Args:
        embeddings: shape (n, dim), as they are; bring them to unit length before, if the cosine is to count.
        distance: in the embeddings' unit, finite, ≥ 0.
    Raises:
        ArgumentError: another shape, no floats, or a distance out of range.
        ValueError: fewer than 2 embeddings, NaN or ±inf.

    >>> threshold(torch.tensor([[0.0], [1.0], [3.0]]), 1.5).positive.nonzero().tolist()
    [[0, 1], [1, 0]]
    """
    return _masks(_distances(embeddings=embeddings) <= distance)


@checked
def quantile(embeddings: Float[Tensor, "n dim"], share: Inside) -> Masks:
    """Positive: the nearest fraction of all pairs; more where distances tie with the last of them.

    In `fit`: `pairing=lambda h, x: quantile(h, 0.1)`; by pixels, `quantile(x.flatten(1), 0.1)`; by a slow teacher,
    `quantile(teacher(x), 0.1)` with an `EMATeacher`.

    Args:
        embeddings: shape (n, dim).
        share: the fraction, 0 < share < 1; at least one pair is positive.
    Raises:
        ArgumentError, ValueError: as `threshold`, and a share out of range.

    >>> quantile(torch.tensor([[0.0], [1.0], [3.0]]), 0.3).positive.nonzero().tolist()
    [[0, 1], [1, 0]]
    """
    distances = _distances(embeddings=embeddings)
    n = len(distances)
    pairs = distances[*torch.triu_indices(n, n, 1, device=distances.device)]
    return _masks(distances <= pairs.kthvalue(max(1, round(share * len(pairs)))).values)


@checked
def mutual_nearest(embeddings: Float[Tensor, "n dim"], k: Count) -> Masks:
    """Positive: each is among the k nearest of the other; more where distances tie with the k-th.

    In `fit`: `pairing=lambda h, x: mutual_nearest(h, 8)`.

    Args:
        embeddings: shape (n, dim).
        k: 1 ≤ k < n.
    Raises:
        ArgumentError, ValueError: as `threshold`, and a k out of range.

    >>> mutual_nearest(torch.tensor([[0.0], [1.0], [3.0]]), 1).positive.nonzero().tolist()  # 3's nearest has a nearer
    [[0, 1], [1, 0]]
    """
    distances = _distances(embeddings=embeddings)
    if k >= len(distances):
        raise ValueError(f"k: wanted at most {len(distances) - 1}, the number of others, got {k}")
    distances.fill_diagonal_(torch.inf)
    near = distances <= distances.kthvalue(k, dim=1, keepdim=True).values
    return _masks(near & near.T)


@checked
def adjacent(positions: Real[Tensor, "n 2"], images: Integer[Tensor, " n"], reach: Positive) -> Masks:
    """Positive: of the same image, and at most `reach` apart.

    In `fit`, with positions and images as extras of the batch: `pairing=lambda h, x, *where: adjacent(*where, 1.5)`.

    Args:
        positions: (y, x), shape (n, 2), in windows or pixels. images: index of the image, shape (n,), integers.
        reach: Euclidean, in the unit of the positions, > 0; on a grid 1 means 4 neighbours, 1.5 means 8.
    Raises:
        ArgumentError: another shape or dtype, or a reach out of range.
        ValueError: fewer than 2 patches, NaN or ±inf.

    >>> corners = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    >>> adjacent(corners, torch.zeros(4).long(), 1).positive.sum(1)  # of 4 windows, each has 2 neighbours
    tensor([2, 2, 2, 2])
    """
    near = _distances(positions=positions if positions.is_floating_point() else positions.double()) <= reach
    return _masks(near & (images[:, None] == images))


@checked
def same_image(images: Integer[Tensor, " n"]) -> Masks:
    """Positive: windows of the same image, wherever they lie.

    In `fit`, with the images as an extra of the batch: `pairing=lambda h, x, images: same_image(images)`.

    Args:
        images: index of the image, shape (n,), integers.
    Raises:
        ArgumentError: another shape, or no integers. ValueError: fewer than 2 patches.

    >>> same_image(torch.tensor([7, 2, 7])).positive.nonzero().tolist()
    [[0, 2], [2, 0]]
    """
    return _masks(_several(images=images)[:, None] == images)


@checked
def probable(logits: Float[Tensor, "n n"], at_least: Inside = 0.5) -> Masks:
    """Positive: the probability that the two belong together is at least that.

    In `fit`: `pairing=lambda h, x: probable(h @ h.T + offset)`, say with `calibration.same_logit`.

    Args:
        logits: log p/(1 − p) of every pair, shape (n, n); the mean of both directions counts.
        at_least: probability, 0 < at_least < 1.
    Raises:
        ArgumentError: another shape, no floats, or a probability out of range.
        ValueError: fewer than 2 patches, NaN or ±inf.

    >>> probable(torch.tensor([[9.0, 2.0, -9.0], [1.0, 9.0, -9.0], [0.0, 0.0, 9.0]])).positive.nonzero().tolist()
    [[0, 1], [1, 0]]
    """
    mean = (_several(logits=logits).double() + logits.T) / 2
    return _masks(mean >= torch.logit(torch.tensor(at_least, dtype=torch.float64)).item())


@checked
def positive_share(masks: Masks) -> float:
    """Fraction of positive ones among all pairs: at 0 nothing attracts, at 1 nothing repels.

    >>> positive_share(same_image(torch.tensor([7, 2, 7, 7])))
    0.5
    """
    n = len(masks.positive)
    return masks.positive.sum().item() / (n * (n - 1))


@checked
def false_negative_rate(masks: Masks, truth: Bool[Tensor, "n n"]) -> float:
    """Fraction of the pairs that belong together which the rule calls negative.

    Args:
        truth: which belong together, shape (n, n), bool; its diagonal has no part in it.
    Raises:
        ArgumentError: another shape, or no bool. ValueError: no pair belongs together.

    >>> false_negative_rate(same_image(torch.tensor([0, 0, 1, 1])), torch.ones(4, 4) > 0)  # 4 of 6 are missed
    0.6666666666666666
    """
    if (shape := masks.negative.shape) != truth.shape:
        raise ArgumentError(f"truth: wanted shape {tuple(shape)}, as the masks, got {tuple(truth.shape)}")
    together = truth.clone().fill_diagonal_(False)
    if not together.any():
        raise ValueError("truth: no pair belongs together, so that the rate has no meaning")
    return (masks.negative & together).sum().item() / together.sum().item()


@checked
def uncentred_variance(embeddings: Float[Tensor, "n dim"]) -> float:
    """Spread of the directions: 1 − |mean of the unit embeddings|², the mean of 1 − cosine over all pairs.

    The embeddings are neither centred before nor scaled after: noise around one point remains as small as it is,
    while the effective rank, which centres, takes it for a rich code.

    Args:
        embeddings: shape (n, dim).
    Returns:
        Between 0, where all point the same way (collapse), and 1, where directions cancel.
    Raises:
        ArgumentError: another shape, or no floats. ValueError: fewer than 2 embeddings, NaN or ±inf.

    >>> round(uncentred_variance(torch.ones(9, 4)), 6), uncentred_variance(torch.eye(4))
    (0.0, 0.75)
    """
    unit = nn.functional.normalize(_several(embeddings=embeddings).double(), dim=1)
    return max(0.0, 1 - (unit.mean(0) ** 2).sum().item())


@checked
@torch.no_grad()
def effective_rank(embeddings: Float[Tensor, "n dim"], *, centred: bool = True) -> float:
    """How many dimensions the embeddings use: e to the entropy of the covariance's normalised eigenvalues.

    Args:
        embeddings: shape (n, dim).
        centred: take the mean off first. Without, a collapse to one point has rank 1; with, the noise around the
            point decides.
    Returns:
        Between 1 and dim; 0 where nothing is left but rounding errors.
    Raises:
        ArgumentError, ValueError: as `uncentred_variance`.
    Source: Roy & Vetterli 2007, of the covariance matrix.

    >>> round(effective_rank(torch.cat([torch.eye(6), -torch.eye(6)])), 6), effective_rank(torch.ones(9, 6))
    (6.0, 0.0)
    """
    z = _several(embeddings=embeddings).double()
    scale = z.norm()
    values = torch.linalg.svdvals(z - z.mean(0) if centred else z)
    if values[0] <= scale * len(z) * torch.finfo(torch.float64).eps:
        return 0.0
    p = values**2 / (values**2).sum()
    return torch.special.entr(p).sum().exp().item()


@checked
@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: Fraction) -> None:
    """Move a slow teacher towards its student, in place: momentum · teacher + (1 − momentum) · student (EMA).

    Parameters and buffers alike; what is no floating-point number, such as a count, is copied. A teacher starts as
    `copy.deepcopy(student)`; `EMATeacher` does both.

    Raises:
        ArgumentError: momentum outside [0, 1].
        ValueError: the same module twice, or modules that are not built alike.

    >>> teacher, student = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> wanted = 0.9 * teacher.weight + 0.1 * student.weight
    >>> follow(teacher, student, 0.9)
    >>> torch.allclose(teacher.weight, wanted)
    True
    """
    if teacher is student:
        raise ValueError("teacher: wanted a copy of the student, got the student itself")
    slow, fast = teacher.state_dict(), student.state_dict()
    if {k: v.shape for k, v in slow.items()} != {k: v.shape for k, v in fast.items()}:
        raise ValueError("teacher, student: wanted parameters and buffers of the same names and shapes")
    for name, value in slow.items():
        value.lerp_(fast[name], 1 - momentum) if value.is_floating_point() else value.copy_(fast[name])


class EMATeacher(nn.Module):
    """A slow copy of an encoder in training, whose embeddings decide the pairs.

    In `fit`: `pairing=lambda h, x: quantile(teacher(x), 0.1)`. Every call first moves the copy towards the student
    (see `follow`), then embeds without gradients. The copy keeps the mode that the student had when it was made;
    `eval` and `train` change it, and leave the student alone.

    Args:
        student: the encoder, which trains on; it is no part of the teacher's parameters.
        momentum: how much of the copy remains at every call, in [0, 1]; 1 freezes it.
    Raises:
        ArgumentError: momentum outside [0, 1].

    >>> student = nn.Linear(3, 2)
    >>> teacher = EMATeacher(student, momentum=0.99)
    >>> quantile(teacher(torch.randn(5, 3, generator=g)), 0.1).positive.sum()
    tensor(2)
    """

    @checked
    def __init__(self, student: nn.Module, momentum: Fraction):
        super().__init__()
        self.encoder = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum
        self._student = (student,)  # in a tuple, so that it is not registered as a part

    @explained
    @torch.no_grad()
    def forward(self, observations: Tensor) -> Tensor:
        """Embeddings of the copy, one step nearer to the student."""
        follow(self.encoder, *self._student, self.momentum)
        return self.encoder(observations)


def _masks(positive: Tensor) -> Masks:
    different = ~torch.eye(len(positive), dtype=torch.bool, device=positive.device)
    return Masks(positive & different, ~positive & different)


@torch.no_grad()
def _distances(**points: Tensor) -> Tensor:
    """Euclidean, shape (n, n); not by way of the dot product, so that both directions agree and twins are at 0."""
    x = _several(**points)
    x = x if x.dtype == torch.float64 else x.float()
    with torch.autocast(x.device.type, enabled=False):
        return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _several(**values: Tensor) -> Tensor:
    """The values; raises, with their name, what no type can say: fewer than 2 rows, NaN or ±inf."""
    finite(2, **values)
    return next(iter(values.values()))
