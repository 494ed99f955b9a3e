"""The InfoNCE family: losses that make an encoder keep whatever the two members of a pair share.

What a batch of pairs is, is left to the worlds; how the loss is minimised, to `training`.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from hssl.checks import ArgumentError, Count, Positive, checked, explained, in_floats, unbounded
from hssl.patches import draw_neighbours, facing

Similarity = Literal["cosine", "dot", "euclidean"]
SIMILARITIES = get_args(Similarity)


@checked
def similarity_matrix(
    anchors: Float[Tensor, "n dim"], positives: Float[Tensor, "m dim"], similarity: Similarity = "cosine"
) -> Float[Tensor, "n m"]:
    """Similarity of every anchor to every positive: "cosine", "dot" product, or "euclidean".

    Euclidean is minus the squared distance, as exact far from the origin as near it. Half precision is computed and
    given back in float32, under autocast too.

    Args:
        anchors, positives: embeddings of one dtype, shape (n, dim) and (m, dim).
        similarity: "cosine", "dot", or "euclidean".
    Raises:
        ArgumentError: other shapes, no floats, two dtypes, or an unknown similarity. ValueError: NaN or ±inf.

    >>> similarity_matrix(torch.tensor([[5000.0], [5001.0]]), torch.tensor([[5003.0]]), "euclidean").tolist()
    [[-9.0], [-4.0]]
    """
    return _similarities(anchors, positives, similarity)


@checked
def info_nce(
    anchors: Float[Tensor, "batch dim"],
    positives: Float[Tensor, "batch dim"],
    *,
    temperature: Positive = 1.0,
    similarity: Similarity = "cosine",
    symmetric: bool = False,
) -> Float[Tensor, ""]:
    """Cross-entropy of classifying each anchor's positive among the positives of the whole batch.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair.
        temperature: softmax temperature, dimensionless, > 0.
        similarity: "cosine", "dot", or "euclidean" (minus the squared distance).
        symmetric: average with the same loss of each positive against all anchors.
    Returns:
        Mean cross-entropy in nats, shape (); guessing gives log(batch).
    Raises:
        ArgumentError: shapes or dtypes differ, no floats, temperature <= 0, or an unknown similarity.
        ValueError: batch < 2, NaN or ±inf.
    Source: van den Oord et al. 2018, eq. 4. Taught in: content_style, "The objective".

    >>> h = torch.tensor([[5000.0], [5001.0]])
    >>> round(info_nce(h, h, similarity="euclidean").item(), 4)  # log(1 + 1/e)
    0.3133
    """
    logits = _similarities(anchors, positives, similarity, least=2) / temperature
    target = torch.arange(len(logits), device=logits.device)
    loss = cross_entropy(logits, target)
    return (loss + cross_entropy(logits.T, target)) / 2 if symmetric else loss


@checked
def debiased_info_nce(
    anchors: Float[Tensor, "batch dim"],
    positives: Float[Tensor, "batch dim"],
    *,
    temperature: Positive = 1.0,
    positive_rate: float,
    similarity: Similarity = "cosine",
) -> Float[Tensor, ""]:
    """InfoNCE without what the false negatives among the others of the batch add to the denominator.

    The sum S over the N = batch − 1 others becomes (S − positive_rate · N · e^positive) / (1 − positive_rate): what N
    true negatives would give, if false ones look like the positive. It is held at N times the least possible term:
    e^(−1/temperature) for the cosine; other similarities have no least value, so there the anchor's least one counts.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair.
        temperature: softmax temperature, dimensionless, > 0.
        positive_rate: fraction of the others that truly belong with the anchor, 0 ≤ rate < 1; 0 gives `info_nce`.
        similarity: "cosine", "dot", or "euclidean" (minus the squared distance).
    Returns:
        Mean loss in nats, shape (); log(batch) when all embeddings coincide.
    Raises:
        ArgumentError, ValueError: as `info_nce`, and a positive_rate outside [0, 1).
    Source: Chuang et al. 2020, eq. 8, with one positive (M = 1).
    Taught in: pairing, "Better than its teacher?".

    >>> h = torch.eye(2).repeat_interleave(2, dim=0)  # of three others one is false
    >>> round(debiased_info_nce(h, h, positive_rate=1 / 3).item(), 4)  # log(1 + 3/e)
    0.7437
    """
    if not 0 <= positive_rate < 1:
        raise ValueError(f"positive_rate: wanted 0 ≤ rate < 1, got {positive_rate}")
    logits = _similarities(anchors, positives, similarity, least=2) / temperature
    top = logits.detach().amax(1)  # taken off, so that nothing overflows
    own = (logits.diagonal() - top).exp()
    others = len(logits) - 1
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    total = (logits - top[:, None]).exp().masked_fill(itself, 0).sum(1)
    least = torch.full_like(top, -1 / temperature) if similarity == "cosine" else logits.detach().amin(1)
    true = (total - positive_rate * others * own) / (1 - positive_rate)
    floor = others * (least - top).exp()
    return ((own + torch.where(true < floor, floor, true)).log() + top - logits.diagonal()).mean()


@checked
def masked_info_nce(
    similarities: Float[Tensor, "n m"],
    positive: Bool[Tensor, "n m"],
    negative: Bool[Tensor, "n m"],
    *,
    temperature: Positive = 1.0,
) -> Float[Tensor, ""]:
    """InfoNCE where masks say which pairs are positive: each against all negatives of the same anchor.

    Args:
        similarities: of anchors (rows) to candidates, shape (n, m).
        positive, negative: shape (n, m), bool; a pair may be in neither, but not in both.
        temperature: softmax temperature, dimensionless, > 0.
    Returns:
        Mean over all positive pairs, in nats, shape (); an anchor without a positive has no part in it, and a pair
        without negatives adds 0. Without any positive it is 0, with gradients of 0: a rule may die, not the run.
    Raises:
        ArgumentError: shapes differ, no floats, masks not bool, or temperature <= 0.
        ValueError: a pair in both masks, NaN or ±inf.
    Source: after Khosla et al. 2020, eq. 2; here the denominator holds no other positive, and every pair weighs
        the same.

    >>> own = torch.eye(4, dtype=torch.bool)
    >>> round(masked_info_nce(torch.zeros(4, 4), own, ~own).item(), 4)  # guessing: log 4
    1.3863
    """
    (similarities,) = in_floats(similarities=similarities)
    if (positive & negative).any():
        raise ValueError("positive, negative: some pairs are in both masks")
    if not positive.any():
        return similarities.sum() * 0
    logits = similarities / temperature
    against = logits.masked_fill(~negative, -torch.inf).logsumexp(1, keepdim=True)
    return softplus(against - logits)[positive].mean()


@checked
def density_ratio(
    joint: Float[Tensor, " n"] | Float[Tensor, "n 1"], product: Float[Tensor, " m"] | Float[Tensor, "m 1"]
) -> Float[Tensor, ""]:
    """Logistic regression that classifies pairs of the joint distribution against the product of its marginals.

    The best critic is log p(x, y) / p(x)p(y), without a free constant, however many pairs there are of either kind.

    Args:
        joint: the critic's values for pairs that were drawn together, shape (n,) or (n, 1).
        product: for pairs that were drawn independently, shape (m,) or (m, 1).
    Returns:
        Cross-entropy in nats, both kinds weighing the same, shape (); guessing gives log 2.
    Raises:
        ArgumentError: another shape, or no floats. ValueError: no pairs, NaN or ±inf.
    Source: Gutmann & Hyvärinen 2010, with independent pairs as noise.
    Taught in: continuation, "From pairs that occur together to a probability".

    >>> round(density_ratio(torch.zeros(5), torch.zeros(3)).item(), 4)
    0.6931
    """
    joint, product = in_floats(1, joint=joint.flatten(), product=product.flatten())
    return (softplus(-joint).mean() + softplus(product).mean()) / 2


@explained
@unbounded
def level_sum(losses: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Σ w_k · CL_k: the one number that all levels minimise together.

    Args:
        losses: a scalar per level. weights: a number ≥ 0 per level, not all 0; None means 1 for each.
    Returns:
        Shape (), in nats; a level of weight 0 has no part in it, whatever its loss.
    Raises:
        ValueError: no loss, not one weight per loss, a weight < 0 or not finite, all of them 0, or a loss no scalar.
    Taught in: hierarchy, "Two schedules, one loop".

    >>> level_sum([torch.tensor(2.0), torch.tensor(3.0)], [1, 0.5])
    tensor(3.5000)
    """
    if not losses or any(value.ndim for value in losses):
        raise ValueError(f"losses: wanted at least one and all scalars, got shapes {[tuple(v.shape) for v in losses]}")
    weights = [1.0] * len(losses) if weights is None else check_weights(weights, len(losses))
    parts = (weight * value for weight, value in zip(weights, losses, strict=True) if weight)
    return sum(parts, start=losses[0].new_zeros(()))


@explained
def check_weights(weights: Sequence[float], levels: int) -> list[float]:
    """The weights as a list; raises ValueError unless there is a finite one ≥ 0 per level, and one above 0.

    >>> check_weights((1, 0.5), 2)
    [1, 0.5]
    """
    weights = list(weights)
    if len(weights) != levels or not all(0 <= w < math.inf for w in weights) or not any(weights):
        raise ValueError(f"weights: wanted {levels} finite numbers ≥ 0, not all 0; got {weights}")
    return weights


@checked
def neighbour_info_nce(
    embeddings: Float[Tensor, "n rows cols width"],
    *valid: Bool[Tensor, "n _ _"],
    level: int,
    generator: torch.Generator,
    each: Count = 4,
    temperature: Positive = 1.0,
) -> Float[Tensor, ""]:
    """InfoNCE of a level of windows: pairs of neighbouring windows of each image, in the blocks that face each other.

    Args:
        embeddings: of the windows, shape (n, rows, cols, 4 · dim), a block per side, as `patches.facing` takes them.
        valid: of every level, which windows may be drawn, shape (n, rows, cols), bool. level: which of them counts.
        generator: draws the pairs, `each` of them an image.
        temperature: of the softmax, > 0.
    Returns:
        Mean loss in nats over both directions, shape (); all pairs are one batch.
    Raises:
        ArgumentError, ValueError: a level that is not there, or as `patches.draw_neighbours`, `patches.facing` and
            `info_nce`.
    Taught in: joint_incremental, "Windows, pairs and heads".

    >>> z = torch.ones(3, 2, 2, 8)
    >>> loss = neighbour_info_nce(z, torch.ones(3, 2, 2).bool(), level=0, generator=g)
    >>> torch.allclose(loss, torch.tensor(12.0).log())  # 3 images with 4 pairs each: nothing is told apart
    True
    """
    if not 0 <= level < len(valid):
        raise ArgumentError(f"level: wanted 0 to {len(valid) - 1}, got {level}")
    if valid[level].shape != embeddings.shape[:3]:
        wanted, came = tuple(valid[level].shape), tuple(embeddings.shape[:3])
        raise ArgumentError(f"embeddings: wanted those of {wanted} windows, as valid[{level}], got {came}")
    first, second = facing(embeddings, *draw_neighbours(valid[level], generator, each))
    return info_nce(first, second, temperature=temperature, symmetric=True)


@checked
def alignment(anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    """Mean squared distance within pairs, shape (): the attracting half of InfoNCE, 0 when all pairs coincide.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair.
    Raises:
        ArgumentError: shapes differ, or no floats. ValueError: no pair, NaN or ±inf.
    Source: Wang & Isola 2020, eq. 3. Taught in: breaking, "Few negatives, or no uniformity".

    >>> alignment(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    tensor(25.)
    """
    anchors, positives = in_floats(1, anchors=anchors, positives=positives)
    return ((anchors - positives) ** 2).sum(1).mean()


@checked
def uniformity(embeddings: Float[Tensor, "n dim"], *, temperature: Positive = 1.0) -> Float[Tensor, ""]:
    """Log of the mean of exp(−squared distance / temperature) over distinct embeddings, shape ().

    The repelling half of InfoNCE: 0 when all embeddings coincide, the lower the more they spread. It is the log of a
    Gaussian kernel density estimate, averaged over the embeddings, but for the kernel's constant
    −(dim / 2) · log(π · temperature), which is omitted: compare values of one dim and one temperature only.

    Args:
        embeddings: shape (n, dim), n ≥ 2. temperature: squared distance at which e^−1 is left, > 0.
    Raises:
        ArgumentError: another shape, no floats, or temperature <= 0. ValueError: n < 2, NaN or ±inf.
    Source: Wang & Isola 2020, eq. 5. Taught in: content_in_depth, "Traps in the reference code".

    >>> uniformity(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor(-25.)
    """
    (embeddings,) = in_floats(2, embeddings=embeddings)
    squared = torch.pdist(embeddings) ** 2
    return (-squared / temperature).logsumexp(0) - math.log(len(squared))


def _similarities(anchors: Tensor, positives: Tensor, similarity: Similarity, least: int = 0) -> Tensor:
    a, b = in_floats(least, anchors=anchors, positives=positives)
    with torch.autocast(a.device.type, enabled=False):
        if similarity == "cosine":
            return normalize(a, dim=1) @ normalize(b, dim=1).T
        return a @ b.T if similarity == "dot" else -_squared_distances(a, b)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Shape (n, m). The value comes from differences, which lose no digits far from the origin; the gradient from dot
    products, which are twice as fast and exact enough once the mean is taken off."""
    with torch.no_grad():
        exact, centre = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2, a.mean(0)
    a, b = a - centre, b - centre
    squared = (a**2).sum(1, keepdim=True) + (b**2).sum(1) - 2 * a @ b.T
    return squared + (exact - squared).detach()
