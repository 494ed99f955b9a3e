"""The InfoNCE family: what asks an encoder to keep whatever the two members of a pair share.

What a batch of pairs is, is left to the worlds; how the loss is minimised, to `training`.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

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
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: wanted a finite number > 0, got {temperature}")
    logits = similarity_matrix(anchors, positives, similarity) / temperature
    target = torch.arange(len(logits), device=logits.device)
    loss = cross_entropy(logits, target)
    return (loss + cross_entropy(logits.T, target)) / 2 if symmetric else loss


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
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: wanted a finite number > 0, got {temperature}")
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
