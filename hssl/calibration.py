"""From a contrastive critic to a probability without labels, and how good a probability is.

What trains the critic is left to `losses`. The measures take arrays or tensors; labels say which pairs are the same.
Taught in: continuation, "From pairs that occur together to a probability".
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hssl.checks import Count, Finite, Fraction, checked, finite
from hssl.probes import Labels, Scores, scores_and_labels

FLOOR = -7.0  #: least log-likelihood ratio that is returned, nats: a ratio of 0.0009

Critic = Float[Tensor, "*shape"]


@checked
def same_logit(critic: Critic, rate: Fraction, *, floor: Finite = FLOOR) -> Critic:
    """Log of the likelihood ratio L = p(pair | same) / p(pair | background), from F = log(rate · L + 1 − rate).

    It is also the logit of "same" where both are equally likely. Where L → 0 the critic runs flat at log(1 − rate),
    and a small error of F becomes a large one of log L: hence the floor.

    Args:
        critic: F of pairs, any shape, in nats.
        rate: fraction of same among pairs drawn together, 0 < rate ≤ 1.
        floor: least value returned, in nats.
    Returns:
        log L in nats, the critic's shape and dtype, without gradients.
    Raises:
        ArgumentError: no floats, or a rate outside [0, 1]. ValueError: no value, NaN or ±inf, or a rate of 0.

    >>> ratio = torch.tensor([0.5, 1.0, 8.0])
    >>> same_logit(torch.log(0.3 * ratio + 0.7), 0.3).exp()
    tensor([0.5000, 1.0000, 8.0000])
    """
    f, background = _usable(critic=critic), _log_background(rate)
    above = (f - background).clamp(min=0)
    return (f + torch.log(-torch.expm1(-above)) - math.log(rate)).clamp(min=floor).to(critic.dtype)


@checked
def same_probability(critic: Critic, rate: Fraction) -> Critic:
    """Probability that a pair drawn together is the same: 1 − (1 − rate) · e^−F, held to [0, 1].

    Args:
        critic: F = log(rate · L + 1 − rate) of pairs, any shape, in nats.
        rate: fraction of same among pairs drawn together, 0 < rate ≤ 1.
    Returns:
        Probabilities, the critic's shape and dtype, without gradients.
    Raises:
        ArgumentError, ValueError: as `same_logit`.

    >>> same_probability(torch.tensor([0.0]), 0.3)  # a critic of 0: no evidence, so that the rate stands
    tensor([0.3000])
    """
    return (-torch.expm1(_log_background(rate) - _usable(critic=critic))).clamp(0, 1).to(critic.dtype)


@checked
def normaliser(independent: Critic) -> float:
    """The constant that a critic lacks: a = −log mean e^F over independent pairs, so that the mean of e^(F+a) is 1.

    A density ratio has that mean. InfoNCE leaves a constant open, the binary form does not.

    Args:
        independent: the critic on pairs drawn independently, any shape, in nats.
    Returns:
        What is to be added to the critic, in nats.
    Raises:
        ArgumentError: no floats. ValueError: no value, NaN or ±inf.

    >>> round(normaliser(torch.tensor([5.0, 5.0])), 4)
    -5.0
    """
    values = _usable(independent=independent).flatten()
    return float(math.log(len(values)) - values.logsumexp(0))


@checked
def estimate_rate(independent: Critic, quantile: Fraction = 0.02) -> float:
    """Fraction of same among pairs drawn together, estimated where the critic runs flat: 1 − e^(quantile of F).

    It holds if at least that fraction of independent pairs has L close to 0, so that F is close to log(1 − rate).

    Args:
        independent: the normalised critic on pairs drawn independently, any shape, in nats.
        quantile: which fraction of them lies lower, between 0 and 1; 0 takes the least one, noise included.
    Returns:
        Between 0 and 1; 0 where the critic is not below 0.
    Raises:
        ArgumentError: no floats, or a quantile out of range. ValueError: no value, NaN or ±inf.

    >>> round(estimate_rate(torch.full((100,), 0.6).log()), 4)
    0.4
    """
    return max(0.0, -math.expm1(np.quantile(_usable(independent=independent).cpu().numpy(), quantile)))


@checked
def offset_and_slope(logits: Scores, labels: Labels) -> tuple[float, float]:
    """The two numbers a, b for which the logits a + b · logit fit the labels best: they recalibrate what is too sure.

    Fit them on other data than those on which the critic was trained, and than those on which it is judged.

    Args:
        logits: log p/(1 − p) of label 1, shape (n,). labels: shape (n,), 0 or 1, or bool.
    Returns:
        Offset a in nats, and slope b: those of least mean cross-entropy.
    Raises:
        ArgumentError, ValueError: as `log_loss`; and where logits are all alike, or separate the labels.
    Source: Platt 1999. Taught in: closure, "Probabilities on photographs".

    >>> sure = torch.tensor([-4.0, -4.0, -4.0, 4.0, 4.0, 4.0])  # says 0.98, and is right two times in three
    >>> a, b = offset_and_slope(sure, torch.tensor([0, 0, 1, 1, 1, 0]))
    >>> round(abs(a), 4), round(b * 4, 4)  # log 2
    (0.0, 0.6931)
    """
    values, positive = scores_and_labels("logits", logits, labels)
    if np.ptp(values) == 0:
        raise ValueError("logits: wanted at least two different values")
    no, yes = values[positive == 0], values[positive == 1]
    if not (len(no) and len(yes) and no.min() < yes.max() and yes.min() < no.max()):
        raise ValueError("logits: no offset and slope fit best, as one threshold separates the labels")
    from sklearn.linear_model import LogisticRegression  # here, as `probes` does it

    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(values[:, None], positive)
    return float(fitted.intercept_[0]), float(fitted.coef_[0, 0])


@checked
def log_loss(logits: Scores, labels: Labels) -> float:
    """Mean cross-entropy of the labels in nats; a logit of 0 everywhere gives log 2.

    Args:
        logits: log p/(1 − p) of label 1, shape (n,). labels: shape (n,), 0 or 1, or bool.
    Raises:
        ArgumentError: another shape, or differing lengths. ValueError: no sample, NaN or ±inf, or other labels.

    >>> round(log_loss(torch.zeros(3), torch.tensor([0, 1, 1])), 4)
    0.6931
    """
    values, positive = scores_and_labels("logits", logits, labels)
    return float(np.logaddexp(0, np.where(positive, -values, values)).mean())


@checked
def log_loss_gap(logits: Scores, ideal_logits: Scores, labels: Labels) -> float:
    """Nats a sample above the ideal observer: 0 for a perfect model, below 0 only by chance of the sample.

    Args:
        logits, ideal_logits: the model's and the ideal's, shape (n,). labels: shape (n,), 0 or 1, or bool.
    Raises:
        ArgumentError, ValueError: as `log_loss`.

    >>> ideal = torch.tensor([2.0, -2.0])
    >>> log_loss_gap(ideal * 0, ideal, torch.tensor([1, 0])) > 0
    True
    """
    scores_and_labels("ideal_logits", ideal_logits, labels)
    return log_loss(logits, labels) - log_loss(ideal_logits, labels)


@checked
def reliability(logits: Scores, labels: Labels, bins: Count = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted against observed, in bins that hold as many samples each.

    Args:
        logits, labels: as in `log_loss`.
        bins: how many; fewer come back where many predictions are equal, for equal ones share a bin.
    Returns:
        Mean predicted probability, observed fraction of label 1, and number of samples; shape (b,) each, b ≤ bins.
    Raises:
        ArgumentError: as `log_loss`, or bins < 1. ValueError: as `log_loss`, or more bins than samples.

    >>> predicted, observed, count = reliability(torch.zeros(4), torch.tensor([0, 1, 1, 1]), bins=2)
    >>> predicted.tolist(), observed.tolist(), count.tolist()
    ([0.5], [0.75], [4])
    """
    values, positive = scores_and_labels("logits", logits, labels)
    if bins > len(values):
        raise ValueError(f"bins: wanted at most {len(values)}, the number of samples; got {bins}")
    p = np.exp(-np.logaddexp(0, -values))
    edges = np.quantile(p, np.linspace(0, 1, bins + 1))
    at = np.searchsorted(edges[1:-1], p)
    count, predicted, observed = (np.bincount(at, w, minlength=bins) for w in (None, p, positive))
    filled = count > 0
    return predicted[filled] / count[filled], observed[filled] / count[filled], count[filled]


@checked
def calibration_error(logits: Scores, labels: Labels, bins: Count = 15) -> float:
    """Expected calibration error: mean distance of predicted from observed over the bins of `reliability`.

    Sampling noise alone gives about 0.3 · √(bins / n) if the predictions are spread over 0 to 1.

    Returns:
        Between 0 and 1.
    Raises:
        ArgumentError, ValueError: as `reliability`.
    Source: Naeini et al. 2015, there with bins of equal width.

    >>> calibration_error(torch.zeros(4), torch.tensor([0, 1, 1, 1]), bins=2)  # says 1/2, is 3/4
    0.25
    """
    predicted, observed, count = reliability(logits, labels, bins)
    return float(np.average(np.abs(predicted - observed), weights=count))


@checked
def calibration_error_by_chance(
    logits: Scores, generator: torch.Generator, *, bins: Count = 15, draws: Count = 200
) -> Float[Tensor, " {draws}"]:
    """`calibration_error` of labels that are drawn with the stated probabilities: what a perfect model would get.

    Args:
        logits: shape (n,). bins: as in `calibration_error`.
    Returns:
        One error a draw, shape (draws,). An error within their range is no sign of bad calibration.
    Raises:
        ArgumentError, ValueError: as `reliability`, or draws < 1.
    Taught in: icons, "The probability".

    >>> errors = calibration_error_by_chance(torch.randn(400, generator=g), g, draws=20)
    >>> 0.02 < errors.mean().item() < 0.1
    True
    """
    p = torch.as_tensor(logits).detach().cpu().double().sigmoid()
    labels = torch.rand(draws, len(p), generator=generator, dtype=torch.float64) < p
    return torch.tensor([calibration_error(logits, drawn, bins) for drawn in labels])


def _log_background(rate: float) -> float:
    if not rate:
        raise ValueError("rate: wanted a number above 0, got 0")
    return math.log1p(-rate) if rate < 1 else -math.inf


def _usable(**critic: Tensor) -> Tensor:
    """The critic in float64, without gradients; raises, with its name, where it is empty or not finite."""
    ((name, value),) = critic.items()
    finite(1, **{name: value.flatten()})
    return value.detach().double()
