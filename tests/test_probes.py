"""hssl.probes: R² where it is known, what it must not depend on, and bad input."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, norm
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from hssl import patches, probes
from hssl.checks import ArgumentError
from hssl.pairs import Pairs
from hssl.probes import (
    METHODS,
    accuracy,
    auc,
    auc_between,
    decode,
    few_labels,
    neighbour_auc,
    r2,
    read_off,
    scores_and_labels,
)

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


def published_probe():
    """Kernel ridge with the settings that the reference searches, standardised by what it is fitted on."""
    ridge = KernelRidge(kernel="rbf")
    grid = {"alpha": [1, 0.1, 0.01, 0.001], "gamma": [0.01, 0.01 * 10 ** (4 / 3), 10 ** (2 / 3), 100]}
    searched = GridSearchCV(ridge, grid, cv=3)
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), searched), transformer=StandardScaler())


@pytest.mark.parametrize("case", range(6))
def test_kernel_ridge_is_scikit_learns_search_fitted_on_the_first_half(case):
    rng = np.random.default_rng(case)
    x = rng.normal(size=(400, 1 + case)) * [0.1, 1, 3, 0.5, 2, 1][: 1 + case]
    y = np.stack([np.sin((2 * case + 1) * x[:, 0]), x.sum(1)], 1) + 0.1 * case * rng.normal(size=(400, 2))
    x[200:] *= 1.7  # so that it matters which samples scale it, and where zero is
    y[200:] += 0.5
    wanted = published_probe().fit(x[:200], y[:200]).score(x[200:], y[200:])
    assert r2(x, y) == pytest.approx(wanted, abs=1e-6)


def test_600_samples_choose_the_penalty_and_all_the_width():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2400, 2))
    y = np.sin(8 * x[:, :1]) + 2 * rng.normal(size=(2400, 1))  # 600 are too few to see it
    few, many = (probes._choose_kernel_ridge(x[:n], [y[:n]])[0] for n in (600, 2400))
    search = GridSearchCV(
        KernelRidge(kernel="rbf"), {"gamma": np.logspace(-2, 2, 4), "alpha": [1, 0.1, 0.01, 0.001]}, cv=3
    )
    assert search.fit(x[:600], y[:600]).best_params_ == {"gamma": pytest.approx(few.gamma), "alpha": few.alpha}
    assert many.gamma == pytest.approx(10 ** (2 / 3)) != few.gamma
    search = GridSearchCV(KernelRidge(kernel="rbf", gamma=many.gamma), {"alpha": [1, 0.1, 0.01, 0.001]}, cv=3)
    assert search.fit(x[:600], y[:600]).best_params_ == {"alpha": many.alpha}


@pytest.mark.parametrize(("n", "method"), [(400, "kernel_ridge"), (1800, "kernel_ridge"), (400, "linear")])
def test_factors_that_share_their_factorisations_score_as_each_does_alone(n, method):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 3))
    values = {"slow": np.sin(x[:, 0]), "fast": np.sin(6 * x[:, 1:]), "noise": rng.normal(size=n)}
    truth = {name: torch.from_numpy(value + 0.3 * rng.normal(size=value.shape)) for name, value in values.items()}
    truth = {"class": torch.from_numpy(x[:, 2] > 0)} | truth
    alone = {name: r2(x, factor, method) for name, factor in truth.items() if name != "class"}
    together = decode(x, truth, method=method)
    assert list(together) == list(truth)
    assert together == pytest.approx(alone | {"class": together["class"]}, abs=1e-9)


@pytest.mark.parametrize(("true", "dim"), [(0.0, 10), (0.1, 32), (0.3, 10), (0.3, 32)])
def test_weak_signals_are_found_and_none_is_invented(true, dim):
    lost = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, noise = rng.normal(size=(2000, dim)), (1 - true) ** 0.5 * rng.normal(size=2000)
        y = true**0.5 * x.sum(1) / dim**0.5 + noise
        possible = 1 - (noise[1000:] ** 2).mean() / y[1000:].var() if true else 0.0
        lost.append(possible - r2(x, y))
    assert (
        -0.005 < np.mean(lost) < 0.01 + 1.2 * dim / 1000
    )  # a fit of dim coefficients to 1000 samples loses dim / 1000


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision(kind):
    x = torch.tensor(X).to(kind)
    for method in METHODS:
        assert r2(x, x[:, 0], method) == r2(x.double(), x[:, 0].double(), method) > 0.999
    assert accuracy(x, x[:, 0] > 0) == accuracy(x.double(), x[:, 0] > 0) > 0.95
    assert auc(x[:, 0], x[:, 0] > 0) == 1


def test_kernel_ridge_says_what_is_too_large_for_it_before_it_takes_the_memory():
    x = np.random.default_rng(0).normal(size=(100_000, 2)).astype(np.float32)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r'at most 20000 samples.*got 100000: pass fewer.*method="linear"'):
        r2(x, x[:, 0])
    assert tracemalloc.get_traced_memory()[1] < 20 * x.nbytes  # a matrix of all pairs is 80 GB
    tracemalloc.stop()
    assert r2(x, x[:, 0], "linear") > 0.999
    with pytest.raises(ValueError, match="got 20001"):
        r2(x[:20_001], x[:20_001, 0])


@pytest.mark.parametrize("method", METHODS)
def test_a_factor_that_rests_in_one_half_has_no_score(method):
    y = np.stack([X[:, 0], np.where(np.arange(800) < 400, X[:, 1], 0.1)], 1)
    with pytest.raises(ValueError, match="factor: a column never varies in the half that is scored"):
        r2(X, y, method)
    with pytest.raises(ValueError, match="factor: a column never varies in the half that is fitted"):
        r2(X, y[::-1], method)


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
        (X, X[:-1], r"factor: wanted Real.* n = 800.*got f64\[799,3\]"),
        (X[:19], X[:19], "representation: wanted at least 20 rows, got 19"),
        (X[:0], X[:0], "representation: wanted at least 20 rows, got 0"),
        (X, np.ones(800), "never varies"),
        (np.where(X > 3, np.nan, X) * np.nan, X, "representation: there are values that are not finite"),
        (X, np.full_like(X, np.inf), "factor: there are values that are not finite"),
        (X + np.inf, X, "representation: there are values that are not finite"),
        (X[None], X, r"representation: wanted Real.*got f64\[1,800,3\]"),
        (X[:, 0], X, r"representation: wanted Real.*got f64\[800\]"),
        (X, X[:, :, None], r"factor: wanted Real.*got f64\[800,3,1\]"),
        (X.astype(str), X, "representation: wanted Real"),
        (X + 1j, X, r"representation: wanted Real.*got c128\[800,3\]"),
        (X, torch.tensor(X + 1j), r"factor: wanted Real.*got c128\[800,3\]"),
        (X.tolist(), X, "representation: wanted Real"),
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


def test_sorted_classes():
    order = np.argsort(CLASSES, kind="stable")
    assert accuracy(np.eye(4)[CLASSES[order]], CLASSES[order]) == 1
    assert accuracy(POINTS[order], CLASSES[order]) == accuracy(POINTS, CLASSES)
    noisy = POINTS + 0.8 * np.random.default_rng(5).normal(size=POINTS.shape)
    few = accuracy(noisy[order], CLASSES[order], labels=2)
    assert few == accuracy(noisy, CLASSES, labels=2) < accuracy(noisy, CLASSES)


def test_each_class_is_fitted_on_its_first_half_and_scored_on_its_second():
    rng = np.random.default_rng(3)
    y = rng.choice([3, 7, 8], size=301, p=[0.1, 0.3, 0.6])
    x = np.eye(9)[y][:, [3, 7, 8]] + 0.5 * rng.normal(size=(301, 3))
    x[150:] *= 1.7  # so that it matters which samples scale it
    rank = np.array([(y[:i] == k).sum() for i, k in enumerate(y)])
    first = rank < np.array([(y == k).sum() // 2 for k in y])
    for labels, fitted in ((None, first), (4, rank < 4)):
        scale = StandardScaler().fit(x[first])
        model = LogisticRegression(max_iter=2000).fit(scale.transform(x[fitted]), y[fitted])
        wanted = model.score(scale.transform(x[~first]), y[~first])
        assert accuracy(x, y, labels=labels) == pytest.approx(wanted, abs=1e-9)


def test_more_labels_tell_more():
    noisy = np.eye(4)[CLASSES] + 0.8 * np.random.default_rng(0).standard_normal((400, 4))
    scores = [accuracy(noisy, CLASSES, labels=n) for n in (1, 5, 50)]
    assert scores[0] < scores[1] < scores[2]
    assert accuracy(noisy, CLASSES, labels=50) == accuracy(noisy, CLASSES)


def test_few_labels_are_drawn_by_the_seed_from_the_first_half_alone():
    noisy = np.eye(int(CLASSES.max()) + 1)[CLASSES] + RNG.normal(size=(len(CLASSES), int(CLASSES.max()) + 1))
    few = few_labels(noisy, CLASSES, 3, seed=1, draws=4)
    assert few.shape == (4,) and (few == few_labels(torch.tensor(noisy), CLASSES, 3, seed=1, draws=4)).all()
    assert (few != few_labels(noisy, CLASSES, 3, seed=2, draws=4)).any()
    first = np.concatenate([np.flatnonzero(k == CLASSES)[: (k == CLASSES).sum() // 2] for k in np.unique(CLASSES)])
    second = np.setdiff1d(np.arange(len(CLASSES)), first)
    model = KNeighborsClassifier(1).fit(noisy[first], CLASSES[first])  # all labels: nothing is left to draw
    most = (CLASSES == 0).sum() // 2
    found = few_labels(noisy, CLASSES, int(most), seed=0, draws=1, probe=KNeighborsClassifier(1), standardise=False)
    assert found[0] == pytest.approx(model.score(noisy[second], CLASSES[second]))


def test_few_labels_refuses_more_than_there_are():
    with pytest.raises(ValueError, match="labels: wanted 1 to"):
        few_labels(np.ones((len(CLASSES), 2)), CLASSES, len(CLASSES), seed=0)
    with pytest.raises(ValueError, match="of at least two classes"):
        few_labels(np.ones((40, 2)), np.zeros(40, int), 2, seed=0)


@pytest.mark.parametrize(
    ("x", "y", "settings", "error", "message"),
    [
        (POINTS[:300], CLASSES, {}, ValueError, r"classes: wanted Integer.*n = 300.*got i64\[400\]"),
        (POINTS[:19], CLASSES[:19], {}, ValueError, "representation: wanted at least 20 rows, got 19"),
        (POINTS * np.nan, CLASSES, {}, ValueError, "representation: there are values that are not finite"),
        (POINTS, CLASSES * 0, {}, ValueError, r"classes: wanted at least two, with two samples each; got \[400\]"),
        (POINTS, np.arange(400) // 399, {}, ValueError, r"two samples each; got \[1, 399\]"),
        (POINTS, CLASSES * 1.0, {}, TypeError, "classes: wanted Integer.* got f64"),
        (POINTS, np.stack([CLASSES, CLASSES], 1), {}, ValueError, r"classes: wanted Integer.*got i64\[400,2\]"),
        (POINTS, CLASSES, {"labels": 0}, ValueError, "labels: wanted a whole number ≥ 1 or None, got 0"),
        (POINTS, CLASSES, {"labels": 51}, ValueError, "labels: wanted 1 to 50"),
    ],
)
def test_bad_classes_are_named(x, y, settings, error, message):
    with pytest.raises(error, match=message):
        accuracy(x, y, **settings)


class Mean(nn.Module):
    """Two levels; batch norm and dropout, so that its mode shows."""

    def __init__(self, levels):
        super().__init__()
        self.norm, self.dropout, self.levels, self.sizes = nn.BatchNorm1d(3), nn.Dropout(0.5), levels, []
        self.norm.eval()  # one part is not in the mode of the whole

    def forward(self, x):
        assert not self.training and not torch.is_grad_enabled()
        self.sizes.append(len(x))
        h = self.dropout(self.norm(x))
        return [h[:, :1] * 0, h[:, None]] if self.levels else h


@pytest.mark.parametrize("levels", [False, True])
def test_read_off_scores_every_factor(levels):
    x = torch.tensor(X).float()
    truth = {"class": (x[:, 0] > 0).long(), "flag": x[:, 1] > 0, "one": x[:, 2], "two": x[:, :2].double().sin()}
    encoder = Mean(levels)
    scores = read_off(encoder, Pairs(x, -x, truth))
    assert scores == {name: (accuracy if name in ("class", "flag") else r2)(x, y) for name, y in truth.items()} | {
        name: pytest.approx(r2(x, truth[name]), abs=1e-4) for name in ("one", "two")
    }
    assert encoder.training and not encoder.norm.training and max(encoder.sizes) <= 500 < len(x)
    linear = read_off(encoder, Pairs(x, -x, truth), method="linear")["two"]
    assert linear == pytest.approx(r2(x, truth["two"], "linear"), abs=1e-4) and linear < scores["two"] - 0.05


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(800), "hue: factor: a column never varies"),
        (torch.zeros(800).long(), "hue: classes: wanted at least two"),
        (torch.zeros(800, 2).long(), "hue: classes: wanted Integer"),
        (torch.zeros(800, 2, dtype=torch.complex64), "hue: factor: wanted Real"),
    ],
)
def test_read_off_names_the_factor(value, message):
    x = torch.tensor(X)
    with pytest.raises(ValueError, match=message):
        read_off(nn.Identity(), Pairs(x, x, {"fine": x[:, 0], "hue": value}), method="linear")


def test_read_off_wants_a_known_method():
    with pytest.raises(ValueError, match="method: wanted one of linear, kernel_ridge"):
        read_off(nn.Identity(), Pairs(torch.tensor(X), torch.tensor(X), {"x": torch.tensor(X)}), method="boosting")


def test_auc_counts_pairs_in_the_right_order():
    up = np.array([1.0, 2.0, 3.0])
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])) == 0.75
    assert auc(up, np.array([0, 0, 1])) == 1
    assert auc(up, np.array([1, 0, 0])) == 0
    assert auc(np.array([5, 5, 5, 5]), np.array([0, 1, 1, 0])) == 0.5  # a tie counts half


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


UP = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (UP, np.array([0, 1, 1]), r"labels: wanted Real.* n = 2, got i64\[3\]"),
        (UP[None], np.array([[0, 1]]), r"scores: wanted Real.* got f64\[1,2\]"),
        (UP + 1j, np.array([0, 1]), r"scores: wanted Real.* got c128\[2\]"),
        (UP[:0], np.array([0, 1])[:0], "scores: wanted at least 1 rows"),
        (UP * np.nan, np.array([0, 1]), "scores: there are values that are not finite"),
        (UP + np.inf, np.array([0, 1]), "scores: there are values that are not finite"),
        (UP, np.array([1, 1]), "labels: wanted both 0 and 1"),
        (UP, np.array([0, 0]), "labels: wanted both 0 and 1"),
        (UP, np.array([0, 2]), "labels: wanted 0 or 1, got 2"),
        (UP, np.array([0, 0.5]), "labels: wanted 0 or 1, got 0.5"),
        (UP, np.array(["a", "b"]), "labels: wanted Real"),
        ([1.0, 2.0], np.array([0, 1]), "scores: wanted Real"),
    ],
)
def test_bad_scores_are_named(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        auc(scores, labels)


def test_scores_and_labels_come_as_arrays():
    scores, labels = scores_and_labels("scores", torch.tensor([0.5, 2.0]).bfloat16(), np.array([False, True]))
    assert scores.dtype == np.float64 and scores.tolist() == [0.5, 2] and labels.tolist() == [False, True]


def test_auc_between_two_sets_is_the_share_of_ordered_pairs(g):
    positive, negative = torch.randn(40, generator=g) + 1, torch.randn(30, generator=g)
    share = (positive[:, None] > negative).float().mean().item()
    assert auc_between(positive, negative.numpy()) == pytest.approx(share)


@pytest.mark.parametrize(("rows", "cols"), [(1, 3), (3, 1), (2, 2)])
def test_neighbours_that_face_each_other_are_told_from_those_of_other_images(g, rows, cols):
    z = torch.zeros(64, rows, cols, 4, 8)  # right, below, left, above
    borders = torch.randn(2, 64, rows, cols, 8, generator=g)
    z[:, :, :, 0], z[:, :, 1:, 2] = borders[0], borders[0, :, :, :-1]
    z[:, :, :, 1], z[:, 1:, :, 3] = borders[1], borders[1, :, :-1]
    valid = torch.ones(64, rows, cols).bool()
    assert neighbour_auc(z.flatten(3), valid, g) > 0.99  # 64 directions in 8 dimensions: hardly one is as similar
    noise = torch.randn(64, rows, cols, 32, generator=g)
    assert neighbour_auc(noise, valid, g, rounds=20) == pytest.approx(0.5, abs=0.06)
    with pytest.raises(ArgumentError, match="embeddings"):
        neighbour_auc(noise[:1], valid[:1], g)


def test_an_observer_of_positions_alone_finds_no_neighbour(g):
    """A window's embedding is that of its position in its row; valid windows differ from image to image."""
    valid = torch.rand(300, 2, 8, generator=g) < 0.6
    valid = valid[patches.have_neighbours(valid)]
    angle = torch.arange(8) * torch.pi / 8
    z = torch.stack([angle.cos(), angle.sin()], 1).repeat(1, 4).expand(len(valid), 2, 8, 8)
    assert neighbour_auc(z, valid, g) == 0.5
    apart = torch.tensor([[[True, True, False, False]], [[False, False, True, True]]])
    with pytest.raises(ArgumentError, match="valid: no two images have a valid window at one position"):
        neighbour_auc(torch.ones(2, 1, 4, 8), apart, g)


def test_decoding_embeddings_is_reading_off_what_was_embedded(g):
    x = torch.randn(80, 3, generator=g)
    truth = {"sign": (x[:, 0] > 0).long(), "value": x[:, 1:]}
    assert decode(x.numpy(), truth) == read_off(torch.nn.Identity(), Pairs(x, x, truth))
    with pytest.raises(ArgumentError, match="value: "):
        decode(x, {"value": x[:, 1] * 0})


def test_movement_is_one_for_unrelated_observations_and_ignores_scale_and_shift():
    before, other = torch.randn(2, 20_000, 4, generator=torch.Generator().manual_seed(0))
    assert probes.movement(before, before).max() == 0
    assert probes.movement(before, other).mean().item() == pytest.approx(1, abs=0.02)
    half = torch.cat([before[:, :2], other[:, 2:]], 1)  # half of the variance is kept
    assert probes.movement(before, half).mean().item() == pytest.approx(0.5, abs=0.02)
    moved = probes.movement(before, half)
    assert torch.allclose(probes.movement(3 * before + 5, 3 * half + 5), moved, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 2), "before: all embeddings are alike"),
        (torch.zeros(3, 2), torch.zeros(2, 2), "after: wanted"),
        (torch.zeros(1, 2), torch.zeros(1, 2), "before: wanted at least 2 rows"),
        (torch.full((3, 2), torch.nan), torch.zeros(3, 2), "before: there are values that are not finite"),
    ],
)
def test_movement_names_what_is_wrong(before, after, message):
    with pytest.raises(ValueError, match=message):
        probes.movement(before, after)


def test_bootstrap_gives_the_standard_error_of_a_mean_over_groups():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(150, generator=generator)
    measured = probes.bootstrap(lambda rows: values[rows].mean().item(), torch.arange(150), generator, draws=800)
    assert measured.std().item() == pytest.approx(values.std().item() / 150**0.5, rel=0.1)
    assert measured.mean().item() == pytest.approx(values.mean().item(), abs=0.02)
    twins, groups = values.repeat_interleave(2), torch.arange(300) // 2  # copies bring nothing new
    copied = probes.bootstrap(lambda rows: twins[rows].mean().item(), groups, generator, draws=800)
    assert copied.std().item() == pytest.approx(measured.std().item(), rel=0.15)


def test_bootstrap_draws_whole_groups():
    generator, groups, seen = torch.Generator().manual_seed(0), torch.tensor([7, 3, 7, 3, 3]), []
    probes.bootstrap(lambda rows: seen.append(rows.tolist()) or 0.0, groups, generator, draws=30)
    assert {tuple(rows) for rows in seen} == {(1, 3, 4, 1, 3, 4), (0, 2, 0, 2), (1, 3, 4, 0, 2), (0, 2, 1, 3, 4)}
    with pytest.raises(ArgumentError, match="draws: wanted"):
        probes.bootstrap(len, groups, generator, draws=0)
    with pytest.raises(ArgumentError, match="groups: wanted"):
        probes.bootstrap(len, groups.float(), generator)


def test_region_auc_compares_pairs_of_one_region_with_pairs_across_the_border():
    generator = torch.Generator().manual_seed(0)
    fraction = (torch.rand(200, 12, generator=generator) < 0.5).float()
    similarity = torch.rand(200, 12, 12, generator=generator)
    assert abs(probes.region_auc(similarity, fraction) - 0.5) < 0.02  # chance
    same = (fraction[:, :, None] == fraction[:, None]).float()
    assert probes.region_auc(same, fraction) == 1 and probes.region_auc(-same, fraction) == 0
    fraction[:, 0] = 0.5  # a window on the border, whatever it is similar to, does not count
    same[:, 0], same[:, :, 0] = 9.0, 9.0
    assert probes.region_auc(same, fraction) == 1
    with pytest.raises(ValueError, match="fraction: no image"):
        probes.region_auc(same, torch.full_like(fraction, 0.5))
