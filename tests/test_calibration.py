"""hssl.calibration: exact worlds where critic and probability are known, closed forms, scikit-learn, and bad input."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn import metrics
from sklearn.calibration import calibration_curve

from hssl.calibration import (
    calibration_error,
    calibration_error_by_chance,
    estimate_rate,
    log_loss,
    log_loss_gap,
    normaliser,
    offset_and_slope,
    reliability,
    same_logit,
    same_probability,
)

LOG_RATIO = torch.linspace(-6, 12, 50, dtype=torch.float64)  # log L
NINE = math.log(9)  # the logit of 0.9


def critic(log_ratio, rate):
    return torch.log(rate * log_ratio.exp() + 1 - rate)


def world(n, seed=0):
    """Pairs whose log L is known: same ones from N(2, 4), background ones from N(−2, 4), so that log L is the value."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.5
    return np.where(labels, 2, -2) + 2 * rng.normal(size=n), labels


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.6, 0.999, 1.0])
def test_the_critic_of_a_mixture_gives_back_the_ratio(rate):
    f = critic(LOG_RATIO, rate)
    torch.testing.assert_close(same_logit(f, rate), LOG_RATIO, rtol=1e-6, atol=1e-6)
    share = rate * LOG_RATIO.exp() / (rate * LOG_RATIO.exp() + 1 - rate)  # Bayes
    torch.testing.assert_close(same_probability(f, rate), share)


def test_the_floor():
    f = torch.tensor([-5.0, math.log(0.7), math.log(0.7) + 1e-7, 0.0])
    torch.testing.assert_close(same_logit(f, 0.3), torch.tensor([-7.0, -7.0, -7.0, 0.0]))
    assert same_logit(f, 0.3, floor=-2.0).min().item() == -2
    assert same_probability(f, 0.3).min().item() == 0


def test_no_overflow_and_no_gradient():
    f = torch.tensor([-300.0, 300.0], requires_grad=True)
    assert same_logit(f, 0.5).tolist() == pytest.approx([-7.0, 300 + math.log(2)])
    assert same_probability(f, 0.5).tolist() == [0.0, 1.0]
    assert not same_logit(f, 0.5).requires_grad and not same_probability(f, 0.5).requires_grad


def test_shapes_and_dtypes_are_kept():
    f = torch.zeros(2, 3)
    for correct in (same_logit, same_probability):
        assert correct(f, 0.3).shape == (2, 3) and correct(f, 0.3).dtype == torch.float32


@pytest.mark.parametrize("constant", [-40.0, 0.0, 3.0])
def test_the_normaliser_undoes_a_constant(constant):
    background = torch.tensor(np.random.default_rng(0).normal(-2, 2, size=400_000))  # E e^f = 1
    assert normaliser(background + constant) == pytest.approx(-constant, abs=0.05)
    shifted = background + constant + normaliser(background + constant)
    assert shifted.exp().mean().item() == pytest.approx(1)


def test_the_normaliser_does_not_overflow():
    assert normaliser(torch.tensor([1000.0, 1000.0])) == -1000


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_read_off_the_flat_part(rate):
    assert estimate_rate(critic(torch.linspace(-20, 3, 1000), rate)) == pytest.approx(rate, abs=1e-4)


def test_a_critic_that_is_never_below_0_knows_no_rate():
    assert estimate_rate(torch.ones(10)) == 0


def test_the_quantile_forgets_outliers():
    f = torch.full((1000,), math.log(0.6))
    f[:5] = -3
    assert estimate_rate(f, 0.02) == pytest.approx(0.4, abs=1e-6)
    assert estimate_rate(f, 0.0) == pytest.approx(1 - math.exp(-3), abs=1e-6)


def test_without_labels_all_the_way():
    # A critic off by a constant, of a mixture whose rate nobody tells: shift, rate, ratio; then as good as the ideal.
    ratio, labels = world(100_000)
    f = critic(torch.tensor(ratio), 0.4) + 1.3
    independent = f[torch.tensor(~labels)]
    f = f + normaliser(independent)
    got = same_logit(f, estimate_rate(independent + normaliser(independent)))
    assert log_loss_gap(got, ratio, labels) == pytest.approx(0, abs=0.003)
    assert calibration_error(got, labels) < 0.01
    assert calibration_error(critic(torch.tensor(ratio), 0.4), labels) > 0.05


BAD_CRITICS = [
    (torch.zeros(0), ValueError, "at least 1 rows"),
    (torch.tensor([0.0, torch.nan]), ValueError, "there are values that are not finite"),
    (torch.tensor([0.0, torch.inf]), ValueError, "there are values that are not finite"),
    (torch.zeros(3).long(), TypeError, r"wanted Float.*got i64\[3\]"),
    (np.zeros(3), TypeError, r"wanted Float.*got f64\[3\]\(numpy\)"),
]


@pytest.mark.parametrize(("f", "error", "message"), BAD_CRITICS)
def test_bad_critics_are_named(f, error, message):
    for correct in (same_logit, same_probability):
        with pytest.raises(error, match="critic: .*" + message):
            correct(f, 0.5)
    for estimate in (normaliser, estimate_rate):
        with pytest.raises(error, match="independent: .*" + message):
            estimate(f)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_bad_rates_are_named(rate):
    for correct in (same_logit, same_probability):
        with pytest.raises(ValueError, match=r"rate: wanted a number (from 0 to 1|above 0), got"):
            correct(torch.zeros(3), rate)


@pytest.mark.parametrize("quantile", [-0.1, 1.1, float("nan")])
def test_bad_quantiles_are_named(quantile):
    with pytest.raises(ValueError, match="quantile: wanted a number from 0 to 1"):
        estimate_rate(torch.zeros(3), quantile)


@pytest.mark.parametrize("floor", [float("nan"), -float("inf")])
def test_bad_floors_are_named(floor):
    with pytest.raises(ValueError, match="floor: wanted a finite number"):
        same_logit(torch.zeros(3), 0.5, floor=floor)


def test_log_loss_in_closed_form():
    assert log_loss(np.zeros(5), np.array([0, 1, 1, 0, 1])) == pytest.approx(math.log(2))
    assert log_loss(np.array([NINE]), np.array([1])) == pytest.approx(-math.log(0.9))
    assert log_loss(np.array([1000.0, -1000.0]), np.array([0, 0])) == 500


def test_log_loss_is_scikit_learns():
    logits, labels = world(500)
    assert log_loss(logits, labels) == pytest.approx(metrics.log_loss(labels, expit(logits)), rel=1e-9)
    assert log_loss(torch.tensor(logits), torch.tensor(labels)) == log_loss(logits, labels.astype(int))


def test_the_ideal_has_no_gap_and_nobody_beats_it():
    ideal, labels = world(20_000)
    assert log_loss_gap(ideal, ideal, labels) == 0
    for worse in (ideal * 2, ideal + 1, ideal * 0, ideal + np.random.default_rng(1).normal(size=20_000)):
        assert log_loss_gap(worse, ideal, labels) > 0.01


def test_constant_over_confidence_in_closed_form():
    labels = np.arange(1000) % 2
    assert calibration_error(np.full(1000, NINE), labels) == pytest.approx(0.4)  # says 0.9, is 0.5
    assert calibration_error(np.full(1000, NINE), np.sort(labels)) == pytest.approx(0.4)  # whatever the order
    right = np.arange(1000) % 10 < 7
    logits = np.where(np.arange(1000) < 500, NINE, -NINE)
    labels = np.where(logits > 0, right, ~right)
    assert calibration_error(logits, labels, bins=2) == pytest.approx(0.2)  # is 0.7 either way


def test_perfect_calibration_leaves_sampling_noise():
    rng = np.random.default_rng(0)
    n, bins, errors = 3000, 15, []
    for _ in range(20):
        p = rng.random(n)
        errors.append(calibration_error(np.log(p / (1 - p)), rng.random(n) < p, bins=bins))
    theory = math.sqrt(2 / math.pi) * math.pi / 8 * math.sqrt(bins / n)  # of a mean of n / bins binary labels
    assert np.mean(errors) == pytest.approx(theory, rel=0.15)


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability_is_scikit_learns(bins):
    logits, labels = world(998)  # so that no edge falls on a sample
    predicted, observed, count = reliability(logits, labels, bins=bins)
    wanted_observed, wanted_predicted = calibration_curve(labels, expit(logits), n_bins=bins, strategy="quantile")
    np.testing.assert_allclose(predicted, wanted_predicted)
    np.testing.assert_allclose(observed, wanted_observed)
    assert count.sum() == 998 and count.max() - count.min() <= 1
    gap = np.abs(predicted - observed) @ count / 998
    assert calibration_error(torch.tensor(logits), torch.tensor(labels), bins=bins) == pytest.approx(gap)


def test_equal_predictions_share_a_bin():
    predicted, observed, count = reliability(np.array([0.0, 0.0, 0.0, 0.0, NINE]), np.array([0, 1, 0, 1, 1]), bins=5)
    np.testing.assert_allclose(predicted, [0.5, 0.9])
    np.testing.assert_allclose(observed, [0.5, 1.0])
    assert count.tolist() == [4, 1]


def test_order_does_not_matter():
    logits, labels = world(300)
    order = np.random.default_rng(1).permutation(300)
    for measure in (log_loss, calibration_error):
        assert measure(logits[order], labels[order]) == pytest.approx(measure(logits, labels), rel=1e-12)


@pytest.mark.parametrize("measure", [log_loss, calibration_error, reliability])
@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros(4), np.zeros(5), r"labels: wanted Real.* n = 4, got f64\[5\]"),
        (np.zeros((4, 2)), np.zeros((4, 2)), r"logits: wanted Real.*got f64\[4,2\]"),
        (np.zeros(0), np.zeros(0), "logits: wanted at least 1 rows"),
        (np.array([0.0, np.inf]), np.array([0, 1]), "logits: there are values that are not finite"),
        (np.array([0.0, 1.0]), np.array([0, 0.5]), "labels: wanted 0 or 1, got 0.5"),
        (np.array(["a", "b"]), np.array([0, 1]), "logits: wanted Real"),
    ],
)
def test_bad_input_is_named(measure, logits, labels, message):
    with pytest.raises(ValueError, match=message):
        measure(logits, labels)


def test_other_bad_input_is_named():
    with pytest.raises(ValueError, match=r"ideal_logits: wanted Real.* n = 4, got f64\[5\]"):
        log_loss_gap(np.zeros(4), np.zeros(5), np.zeros(4))
    with pytest.raises(ValueError, match="ideal_logits: there are values that are not finite"):
        log_loss_gap(np.zeros(4), np.full(4, np.inf), np.zeros(4))
    for bins, message in ((0, "bins: wanted a whole number ≥ 1, got 0"), (5, "bins: wanted at most 4")):
        with pytest.raises(ValueError, match=message):
            calibration_error(np.zeros(4), np.array([0, 1, 0, 1]), bins=bins)


def test_half_precision_is_computed_in_double():
    f = torch.tensor([-0.2, 0.5, 3.0]).bfloat16()
    for correct in (same_logit, same_probability):
        assert correct(f, 0.3).dtype == torch.bfloat16
        torch.testing.assert_close(correct(f, 0.3), correct(f.double(), 0.3).bfloat16(), rtol=0, atol=0)
    assert normaliser(f) == normaliser(f.double()) and estimate_rate(f) == estimate_rate(f.double())


def test_a_calibrated_model_errs_as_chance_does():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(600, generator=generator)
    labels = torch.rand(600, generator=generator) < logits.sigmoid()
    errors = calibration_error_by_chance(logits, generator, draws=100)
    assert errors.shape == (100,)
    low, high = errors.quantile(0.005).item(), errors.quantile(0.995).item()
    assert low <= calibration_error(logits, labels) <= high
    assert calibration_error(2 * logits + 1, labels) > high
    again = calibration_error_by_chance(logits.repeat(16), generator, draws=20)
    assert again.mean() < errors.mean() / 3
    same = [calibration_error_by_chance(logits, torch.Generator().manual_seed(1), draws=3) for _ in range(2)]
    assert torch.equal(*same)
    with pytest.raises(ValueError, match="draws: wanted"):
        calibration_error_by_chance(logits, generator, draws=0)


def test_offset_and_slope_leave_no_residual():
    """At the least cross-entropy the residuals average to 0, alone and times the logits."""
    values, labels = world(4000)
    seen = 3 * values - 1
    a, b = offset_and_slope(seen, labels)
    residual = 1 / (1 + np.exp(-(a + b * seen))) - labels
    assert (residual.mean(), (residual * seen).mean()) == pytest.approx((0, 0), abs=1e-6)
    assert (a, b) == pytest.approx((1 / 3, 1 / 3), abs=0.06)  # the values are the exact log ratio


def test_recalibration_gives_back_what_was_distorted():
    values, labels = world(20000, seed=1)
    a, b = offset_and_slope(4 * values + 2, labels)
    again = offset_and_slope(a + b * (4 * values + 2), labels)
    assert again == pytest.approx((0, 1), abs=1e-6)
    assert calibration_error(a + b * (4 * values + 2), labels) < 0.02 < calibration_error(4 * values + 2, labels)


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [([1.0, 1.0], [0, 1], "different values"), ([-1.0, 1.0, 2.0], [0, 1, 1], "separates"), ([1.0], [2], "labels")],
)
def test_what_cannot_be_recalibrated_is_named(values, labels, message):
    with pytest.raises(ValueError, match=message):
        offset_and_slope(torch.tensor(values), torch.tensor(labels))
