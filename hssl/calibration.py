"""From a contrastive critic to a probability without labels, and how good a probability is.

What trains the critic is left to `losses`. The measures take arrays or tensors; labels say which pairs are the same.
Taught in: continuation, "From pairs that occur together to a probability".
"""

import math

import numpy as np
import torch
from torch import Tensor

from hssl.probes import scores_and_labels

FLOOR = -7.0  #: least log-likelihood ratio that is given out, nats: a ratio of 0.0009


@torch.no_grad()
def same_logit(critic: Tensor, rate: float, *, floor: float = FLOOR) -> Tensor:
    """Log of the likelihood ratio L = p(pair | same) / p(pair | background), from F = log(rate · L + 1 − rate).

    It is also the logit of "same" where both are equally likely. Where L → 0 the critic runs flat at log(1 − rate),
    and a small error of F becomes a large one of log L: hence the floor.

    Args:
        critic: F of pairs, any shape, in nats.
        rate: share of same among pairs that occur together, 0 < rate ≤ 1.
        floor: least value given out, in nats.
    Returns:
        log L in nats, the critic's shape, without gradients.
    Raises:
        ValueError: no value or one that is not finite, or a rate out of range.
        TypeError: the critic is no floating-point tensor.
    """
    _check("critic", critic, rate)
    above = (critic - _log_background(rate)).clamp(min=0)
    return (critic + torch.log(-torch.expm1(-above)) - math.log(rate)).clamp(min=floor)


@torch.no_grad()
def same_probability(critic: Tensor, rate: float) -> Tensor:
    """Probability that a pair that occurs together is the same: 1 − (1 − rate) · e^−F, held to [0, 1].

    Args:
        critic: F = log(rate · L + 1 − rate) of pairs, any shape, in nats.
        rate: share of same among pairs that occur together, 0 < rate ≤ 1.
    Returns:
        Probabilities, the critic's shape, without gradients.
    Raises:
        ValueError, TypeError: as `same_logit`.
    """
    _check("critic", critic, rate)
    return (-torch.expm1(_log_background(rate) - critic)).clamp(0, 1)


def normaliser(independent: Tensor) -> float:
    """The constant that a critic lacks: a = −log mean e^F over independent pairs, so that the mean of e^(F+a) is 1.

    A density ratio has that mean. InfoNCE leaves a constant open, the binary form does not.

    Args:
        independent: the critic on pairs drawn independently, any shape, in nats.
    Returns:
        What is to be added to the critic, in nats.
    Raises:
        ValueError: no value, or one that is not finite. TypeError: no floating-point tensor.
    """
    _check("independent", independent)
    values = independent.detach().double().flatten()
    return float(math.log(len(values)) - values.logsumexp(0))


def estimate_rate(independent: Tensor, quantile: float = 0.02) -> float:
    """Share of same among pairs that occur together, read off where the critic runs flat: 1 − e^(quantile of F).

    It holds if at least that share of independent pairs has L close to 0, so that F is close to log(1 − rate).

    Args:
        independent: the normalised critic on pairs drawn independently, any shape, in nats.
        quantile: which share of them lies lower, between 0 and 1; 0 takes the least one, noise and all.
    Returns:
        Between 0 and 1; 0 where the critic is not below 0.
    Raises:
        ValueError: no value, one that is not finite, or a quantile out of range. TypeError: no floating-point tensor.
    """
    _check("independent", independent)
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile: wanted 0 to 1, got {quantile}")
    return max(0.0, -math.expm1(np.quantile(independent.detach().cpu().double().numpy(), quantile)))


def log_loss(logits, labels) -> float:
    """Mean cross-entropy of the labels in nats; a logit of 0 everywhere gives log 2.

    Args:
        logits: log p/(1 − p) of label 1, shape (n,). labels: shape (n,), 0 or 1, or bool.
    Raises:
        ValueError: another shape, differing lengths, values that are not finite, or other labels.
    """
    logits, labels = scores_and_labels("logits", logits, labels)
    return float(np.logaddexp(0, np.where(labels, -logits, logits)).mean())


def log_loss_gap(logits, ideal_logits, labels) -> float:
    """Nats a sample above the ideal observer: 0 for a perfect model, below 0 only by chance of the sample.

    Args:
        logits, ideal_logits: the model's and the ideal's, shape (n,). labels: shape (n,), 0 or 1, or bool.
    Raises:
        ValueError: as `log_loss`.
    """
    scores_and_labels("ideal_logits", ideal_logits, labels)
    return log_loss(logits, labels) - log_loss(ideal_logits, labels)


def reliability(logits, labels, bins: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted against observed, in bins that hold as many samples each.

    Args:
        logits, labels: as in `log_loss`.
        bins: how many; fewer come back where many predictions are equal, for equal ones share a bin.
    Returns:
        Mean predicted probability, observed share of label 1, and number of samples; shape (b,) each, b ≤ bins.
    Raises:
        ValueError: as `log_loss`, or bins < 1 or more than there are samples.
    """
    logits, labels = scores_and_labels("logits", logits, labels)
    if not 1 <= bins <= len(logits):
        raise ValueError(f"bins: wanted 1 to {len(logits)}, the number of samples; got {bins}")
    p = np.exp(-np.logaddexp(0, -logits))
    edges = np.quantile(p, np.linspace(0, 1, bins + 1))
    at = np.searchsorted(edges[1:-1], p)
    count, predicted, observed = (np.bincount(at, w, minlength=bins) for w in (None, p, labels))
    filled = count > 0
    return predicted[filled] / count[filled], observed[filled] / count[filled], count[filled]


def calibration_error(logits, labels, bins: int = 15) -> float:
    """Expected calibration error: mean distance of predicted from observed over the bins of `reliability`.

    Sampling noise alone gives about 0.3 · √(bins / n) if the predictions are spread over 0 to 1.

    Returns:
        Between 0 and 1.
    Raises:
        ValueError: as `reliability`.
    Source: Naeini et al. 2015, there with bins of equal width.
    """
    predicted, observed, count = reliability(logits, labels, bins)
    return float(np.average(np.abs(predicted - observed), weights=count))


def _log_background(rate: float) -> float:
    return math.log1p(-rate) if rate < 1 else -math.inf


def _check(name: str, critic: Tensor, rate: float = 1.0) -> None:
    if not (isinstance(critic, Tensor) and critic.is_floating_point()):
        raise TypeError(f"{name}: wanted a floating-point tensor, got {getattr(critic, 'dtype', type(critic))}")
    if not critic.numel() or not critic.isfinite().all():
        raise ValueError(f"{name}: wanted at least one value and all of them finite, got shape {tuple(critic.shape)}")
    if not 0 < rate <= 1:
        raise ValueError(f"rate: wanted 0 < rate ≤ 1, got {rate}")
