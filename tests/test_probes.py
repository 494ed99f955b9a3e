"""hssl.probes: R² where it is known, what it must not depend on, and bad input."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, norm
from sklearn.linear_model import LinearRegression

from hssl.probes import METHODS, accuracy, auc, r2

RNG = np.random.default_rng(0)
X = RNG.normal(size=(800, 3))
LONG = RNG.normal(size=(6000, 3))


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_factor_is_read_off_exactly(method):
    assert r2(X, X @ [1.0, -2.0, 0.5], method=method) > 0.999


@pytest.mark.parametrize("method", METHODS)
def test_an_independent_factor_is_not_read_off(method):
    assert abs(r2(LONG, RNG.normal(size=(6000, 2)), method=method)) < 0.02


def test_only_the_kernel_sees_a_square():
    square = X[:, 0] ** 2
    assert r2(X, square, method="linear") < 0.1
    assert r2(X, square) > 0.95


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_noise_caps_the_score_where_theory_says(noise):
    x = RNG.normal(size=(8000, 2))
    factor = x[:, 0] + noise * RNG.normal(size=8000)
    assert r2(x, factor, method="linear") == pytest.approx(1 / (1 + noise**2), abs=0.03)


def test_linear_is_scikit_learns_on_the_second_half():
    y = X[:, 0] + RNG.normal(size=800)
    wanted = LinearRegression().fit(X[:400], y[:400]).score(X[400:], y[400:])
    assert r2(X, y, method="linear") == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_scale_and_offset_do_not_matter(method):
    y = np.sin(X[:, :2])
    assert r2(X * 1e3 - 7, y * 0.01 + 3, method=method) == pytest.approx(r2(X, y, method=method), abs=1e-6)


def test_tensors_that_require_gradients_are_welcome():
    x = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    assert r2(x, x[:, 0]) > 0.999


def test_a_constant_representation_says_nothing():
    assert r2(np.ones((800, 2)), X) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, X[:-1], "as many samples"),
        (X[:10], X[:10], "at least 20"),
        (X, np.ones(800), "never varies"),
        (np.where(X > 3, np.nan, X) * np.nan, X, "representation: there are values that are not finite"),
        (X, np.full_like(X, np.inf), "factor: there are values that are not finite"),
        (X[None], X, r"representation: wanted numbers of shape"),
        (X.astype(str), X, "representation: wanted numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_bad_input_is_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        r2(x, y)


def test_unknown_method():
    with pytest.raises(ValueError, match="kernel_ridge"):
        r2(X, X, method="boosting")


CLASSES = np.arange(400) % 4
POINTS = np.eye(4)[CLASSES] + 0.2 * np.random.default_rng(0).standard_normal((400, 4))


def test_classes_that_lie_apart_are_told_apart():
    assert accuracy(POINTS, CLASSES) > 0.98
    assert accuracy(torch.tensor(POINTS), torch.tensor(CLASSES)) == accuracy(POINTS, CLASSES)


def test_classes_that_are_not_there_are_guessed():
    assert accuracy(np.random.default_rng(1).standard_normal((4000, 3)), np.arange(4000) % 4) < 0.3


def test_more_labels_tell_more():
    noisy = np.eye(4)[CLASSES] + 0.8 * np.random.default_rng(0).standard_normal((400, 4))
    scores = [accuracy(noisy, CLASSES, labels=n) for n in (1, 5, 50)]
    assert scores[0] < scores[1] < scores[2]
    assert accuracy(noisy, CLASSES, labels=50) == accuracy(noisy, CLASSES)


@pytest.mark.parametrize(
    ("x", "y", "settings", "error", "message"),
    [
        (POINTS[:300], CLASSES, {}, ValueError, "as many samples"),
        (POINTS[:10], CLASSES[:10], {}, ValueError, "at least 20"),
        (POINTS * np.nan, CLASSES, {}, ValueError, "not finite"),
        (POINTS, CLASSES * 0, {}, ValueError, "at least two"),
        (POINTS, CLASSES * 1.0, {}, TypeError, "wanted integers"),
        (POINTS, CLASSES, {"labels": 0}, ValueError, "labels: wanted 1 to 50"),
        (POINTS, CLASSES, {"labels": 51}, ValueError, "labels: wanted 1 to 50"),
    ],
)
def test_bad_classes_are_named(x, y, settings, error, message):
    with pytest.raises(error, match=message):
        accuracy(x, y, **settings)


def test_auc_counts_pairs_in_the_right_order():
    assert auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert auc([1.0, 2.0, 3.0], [0, 0, 1]) == 1
    assert auc([1.0, 2.0, 3.0], [1, 0, 0]) == 0
    assert auc([5, 5, 5, 5], [0, 1, 1, 0]) == 0.5  # a tie counts half


def test_auc_of_two_gaussians_and_the_rank_sum():
    labels = np.arange(20_000) % 2
    scores = np.random.default_rng(0).normal(size=20_000) + labels
    assert auc(scores, labels) == pytest.approx(norm.cdf(2**-0.5), abs=0.01)
    ranks = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic / 10_000**2
    assert auc(scores, labels) == pytest.approx(ranks, abs=1e-12)


def test_auc_knows_only_the_order():
    scores, labels = X[:, 0], X[:, 1] > 0
    assert auc(np.exp(scores) * 3, labels) == auc(scores, labels)
    assert auc(-scores, labels) == pytest.approx(1 - auc(scores, labels))
    assert auc(torch.tensor(scores), torch.tensor(labels)) == auc(scores, labels.astype(int))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [0, 1, 1], r"scores, labels: wanted shape \(n,\) for both"),
        ([[1.0, 2.0]], [[0, 1]], r"scores, labels: wanted shape \(n,\) for both"),
        ([], [], r"n ≥ 1"),
        ([1.0, np.nan], [0, 1], "scores: there are values that are not finite"),
        ([1.0, 2.0], [1, 1], "labels: wanted both 0 and 1"),
        ([1.0, 2.0], [0, 2], "labels: wanted 0 or 1, got 2"),
        ([1.0, 2.0], ["a", "b"], "labels: wanted numbers"),
    ],
)
def test_bad_scores_are_named(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        auc(scores, labels)
