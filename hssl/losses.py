"""The InfoNCE family: what asks an encoder to keep whatever the two members of a pair share.

What a batch of pairs is, is left to the worlds; how the loss is minimised, to `training`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

SIMILARITIES = ("cosine", "dot", "euclidean")


def similarity_matrix(anchors: Tensor, positives: Tensor, similarity: str = "cosine") -> Tensor:
    """Similarity of every anchor to every positive, shape (batch, batch).

    "cosine" of the angle, "dot" product, or "euclidean": minus the squared distance.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity: wanted one of {', '.join(SIMILARITIES)}, got {similarity!r}")
    if similarity == "cosine":
        anchors, positives = normalize(anchors, dim=1), normalize(positives, dim=1)
    dots = anchors @ positives.T
    if similarity == "euclidean":
        return 2 * dots - (anchors**2).sum(1, keepdim=True) - (positives**2).sum(1)
    return dots


def info_nce(
    anchors: Tensor,
    positives: Tensor,
    *,
    temperature: float = 1.0,
    similarity: str = "cosine",
    symmetric: bool = False,
) -> Tensor:
    """Tell each anchor's positive from the positives of all others in the batch.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair.
        temperature: softmax temperature, dimensionless, > 0.
        similarity: "cosine", "dot", or "euclidean" (minus the squared distance).
        symmetric: average with the same question asked of each positive about the anchors.
    Returns:
        Mean cross-entropy in nats, shape (); guessing gives log(batch).
    Raises:
        ValueError: shapes differ, batch < 2, temperature <= 0, unknown similarity, or NaN.
        TypeError: the embeddings are not floating-point tensors.
    Source: van den Oord et al. 2018, eq. 4. Taught in: content_style, "The objective".
    """
    _check_pair(anchors, positives, least=2)
    _check_temperature(temperature)
    logits = similarity_matrix(anchors, positives, similarity) / temperature
    target = torch.arange(len(logits), device=logits.device)
    loss = cross_entropy(logits, target)
    return (loss + cross_entropy(logits.T, target)) / 2 if symmetric else loss


def debiased_info_nce(
    anchors: Tensor,
    positives: Tensor,
    *,
    temperature: float = 1.0,
    positive_rate: float,
    similarity: str = "cosine",
) -> Tensor:
    """InfoNCE that takes off what the false negatives among the others of the batch add to the denominator.

    The sum S over the N = batch − 1 others becomes (S − positive_rate · N · e^positive) / (1 − positive_rate): what N
    true negatives would give, if false ones look like the positive. It is held at N times the least possible term:
    e^(−1/temperature) for the cosine; other similarities have no least value, so there the anchor's least one counts.

    Args:
        anchors, positives: embeddings, shape (batch, dim); row i of both is a pair.
        temperature: softmax temperature, dimensionless, > 0.
        positive_rate: share of the others that belong with the anchor in truth, 0 ≤ rate < 1; 0 gives `info_nce`.
        similarity: "cosine", "dot", or "euclidean" (minus the squared distance).
    Returns:
        Mean loss in nats, shape (); log(batch) when all embeddings coincide.
    Raises:
        ValueError, TypeError: as `info_nce`, and a positive_rate outside [0, 1).
    Source: Chuang et al. 2020, eq. 8, with one positive (M = 1).
    Taught in: patch_pairs, "False negatives, at a known rate".
    """
    _check_pair(anchors, positives, least=2)
    _check_temperature(temperature)
    if not 0 <= positive_rate < 1:
        raise ValueError(f"positive_rate: wanted 0 ≤ rate < 1, got {positive_rate}")
    logits = similarity_matrix(anchors, positives, similarity) / temperature
    top = logits.detach().amax(1)  # taken off, so that nothing overflows
    own = (logits.diagonal() - top).exp()
    others = len(logits) - 1
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    total = (logits - top[:, None]).exp().masked_fill(itself, 0).sum(1)
    least = torch.full_like(top, -1 / temperature) if similarity == "cosine" else logits.detach().amin(1)
    true = (total - positive_rate * others * own) / (1 - positive_rate)
    floor = others * (least - top).exp()
    return ((own + torch.where(true < floor, floor, true)).log() + top - logits.diagonal()).mean()


def masked_info_nce(similarities: Tensor, positive: Tensor, negative: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Tell every positive from all negatives of the same anchor, where masks say which is which.

    Args:
        similarities: of anchors (rows) to candidates, shape (n, m).
        positive, negative: shape (n, m), bool; a pair may be in neither, but not in both.
        temperature: softmax temperature, dimensionless, > 0.
    Returns:
        Mean over all positive pairs, in nats, shape (); an anchor without a positive has no part in it, and a pair
        without negatives adds 0. Without any positive it is 0, with gradients of 0: a rule may die, not the run.
    Raises:
        ValueError: shapes differ, a pair in both masks, temperature <= 0, or NaN.
        TypeError: similarities are no floating-point tensor, or masks not bool.
    Source: after Khosla et al. 2020, eq. 2; here the denominator holds no other positive, and every pair weighs
        the same.
    """
    _check_temperature(temperature)
    _check_critic("similarities", similarities, ndim=2)
    for name, mask in (("positive", positive), ("negative", negative)):
        if mask.dtype != torch.bool:
            raise TypeError(f"{name}: wanted a bool mask, got {mask.dtype}")
        if mask.shape != similarities.shape:
            raise ValueError(f"{name}: wanted shape {tuple(similarities.shape)}, got {tuple(mask.shape)}")
    if (positive & negative).any():
        raise ValueError("positive, negative: some pairs are in both masks")
    if not positive.any():
        return similarities.sum() * 0
    logits = similarities / temperature
    against = logits.masked_fill(~negative, -torch.inf).logsumexp(1, keepdim=True)
    return softplus(against - logits)[positive].mean()


def density_ratio(joint: Tensor, product: Tensor) -> Tensor:
    """Tell pairs that were seen together from pairs drawn independently: logistic regression on a critic.

    The best critic is log p(x, y) / p(x)p(y), with no free constant, as many pairs as there may be of either.

    Args:
        joint: the critic's values for pairs seen together, shape (n,).
        product: for pairs drawn independently, shape (m,).
    Returns:
        Cross-entropy in nats, both kinds weighing the same, shape (); guessing gives log 2.
    Raises:
        ValueError: another shape, no pairs, or NaN.
        TypeError: not floating-point tensors.
    Source: Gutmann & Hyvärinen 2010, with independent pairs for the noise.
    Taught in: continuation, "From pairs that occur together to a probability".
    """
    _check_critic("joint", joint, ndim=1)
    _check_critic("product", product, ndim=1)
    return (softplus(-joint).mean() + softplus(product).mean()) / 2


def level_sum(losses: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Σ w_k · CL_k: the one number that all levels minimise together.

    Args:
        losses: a scalar a level. weights: a number ≥ 0 a level, not all 0; None means 1 for each.
    Returns:
        Shape (), in nats; a level of weight 0 has no part in it, whatever its loss.
    Raises:
        ValueError: no loss, not one weight a loss, a weight < 0 or not finite, all of them 0, or a loss no scalar.
    Taught in: hierarchy, "Two schedules, one loop".
    """
    weights = [1.0] * len(losses) if weights is None else check_weights(weights, len(losses))
    for value in losses:
        if value.ndim:
            raise ValueError(f"losses: wanted scalars, got shape {tuple(value.shape)}")
    if not losses:
        raise ValueError("losses: wanted at least one")
    return sum(weight * value for weight, value in zip(weights, losses, strict=True) if weight)


def check_weights(weights: Sequence[float], levels: int) -> list[float]:
    """The weights as a list; raises ValueError unless there is a finite one ≥ 0 a level, and one above 0."""
    weights = list(weights)
    if len(weights) != levels or not all(0 <= w < float("inf") for w in weights) or not any(weights):
        raise ValueError(f"weights: wanted {levels} finite numbers ≥ 0, not all 0; got {weights}")
    return weights


def alignment(anchors: Tensor, positives: Tensor) -> Tensor:
    """Mean squared distance within pairs, shape (): the attracting half of InfoNCE, 0 when all pairs meet.

    Source: Wang & Isola 2020, eq. 3. Taught in: content_style, "Without uniformity".
    """
    _check_pair(anchors, positives, least=1)
    return ((anchors - positives) ** 2).sum(1).mean()


def uniformity(embeddings: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log of the mean of exp(−squared distance / temperature) over distinct embeddings, shape ().

    The repelling half of InfoNCE: 0 when all embeddings coincide, the lower the more they spread.
    Source: Wang & Isola 2020, eq. 5. Taught in: content_style, "Without uniformity".
    """
    _check_pair(embeddings, embeddings, least=2)
    _check_temperature(temperature)
    distances = torch.pdist(embeddings) ** 2
    return (-distances / temperature).logsumexp(0) - torch.log(torch.tensor(float(len(distances))))


def _check_pair(anchors: Tensor, positives: Tensor, least: int) -> None:
    for name, value in (("anchors", anchors), ("positives", positives)):
        if not (isinstance(value, Tensor) and value.is_floating_point()):
            raise TypeError(f"{name}: wanted a floating-point tensor, got {getattr(value, 'dtype', type(value))}")
        if value.ndim != 2:
            raise ValueError(f"{name}: wanted shape (batch, dim), got {tuple(value.shape)}")
    if anchors.shape != positives.shape:
        raise ValueError(f"positives: wanted the anchors' shape {tuple(anchors.shape)}, got {tuple(positives.shape)}")
    if anchors.shape[0] < least or anchors.shape[1] < 1:
        raise ValueError(f"anchors: wanted a batch of at least {least} embeddings, got shape {tuple(anchors.shape)}")
    if torch.isnan(anchors).any() or torch.isnan(positives).any():
        raise ValueError("anchors, positives: there are NaNs among the embeddings; was the learning rate too high?")


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: wanted a finite number > 0, got {temperature}")


def _check_critic(name: str, value: Tensor, ndim: int) -> None:
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        raise TypeError(f"{name}: wanted a floating-point tensor, got {getattr(value, 'dtype', type(value))}")
    if value.ndim != ndim or not value.numel():
        raise ValueError(f"{name}: wanted {ndim} dimension(s) and at least one value, got shape {tuple(value.shape)}")
    if not value.isfinite().all():
        raise ValueError(f"{name}: there are values that are not finite; was the learning rate too high?")
