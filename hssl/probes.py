"""What can be decoded from a representation: R² of a factor, accuracy of a class, AUC of a score.

Estimators are scikit-learn's; here stands only how they are set up. Whether a score is a probability is left to
`calibration`. Who uses an estimator imports it: to load scikit-learn takes nearly as long as to load PyTorch.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer, Real
from torch import Tensor, nn
from torch.nn.functional import normalize

from hssl.checks import ArgumentError, Count, Whole, checked, explained, finite
from hssl.encoders import embed
from hssl.pairs import Pairs
from hssl.patches import draw_neighbours, facing

Method = Literal["linear", "kernel_ridge"]
METHODS = get_args(Method)
GAMMAS = tuple(map(float, np.logspace(-2, 2, 4)))  # of exp(−gamma · squared distance): wide to narrow kernels
ALPHAS = (1.0, 0.1, 0.01, 0.001)  # penalty on the squared norm: strong to weak
SEARCHED = 600  # samples that choose among all settings
LIMIT = 20_000  # samples for kernel ridge: the matrix of their first half takes 0.8 GB

Matrix = Real[Tensor, "n dim"] | Real[np.ndarray, "n dim"]
Factor = Real[Tensor, " n"] | Real[Tensor, "n k"] | Real[np.ndarray, " n"] | Real[np.ndarray, "n k"]
Classes = Integer[Tensor, " n"] | Bool[Tensor, " n"] | Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"]
Scores = Real[Tensor, " n"] | Real[np.ndarray, " n"]
Labels = Real[Tensor, " n"] | Bool[Tensor, " n"] | Real[np.ndarray, " n"] | Bool[np.ndarray, " n"]


@checked
def r2(representation: Matrix, factor: Factor, method: Method = "kernel_ridge") -> float:
    """How much of a factor's variance a regression on the representation explains, on held-out samples.

    The first half of the samples is fitted, the second half is scored; both arguments are standardised by the first.
    Kernel ridge regression uses a Gaussian kernel, whose width and penalty are chosen within the first half.

    Args:
        representation: shape (n, dim), an array or a tensor.
        factor: shape (n,) or (n, k); the score is the mean over its k columns.
        method: "kernel_ridge" or "linear".
    Returns:
        R² ≤ 1; 0 means no better than the mean, and it may fall below.
    Raises:
        ArgumentError: shapes or dtypes other than declared, complex numbers among them, or an unknown method.
        ValueError: fewer than 20 samples, more than 20,000 for kernel ridge, NaN or ±inf, or a factor
            that never varies in one of the halves.
    Source: von Kügelgen et al. 2021, section 5.1, with the settings of their code.
    Taught in: content_style, "One run from beginning to end".

    >>> x = torch.randn(200, 2, generator=g)
    >>> round(r2(x, x[:, 0] ** 2), 1), r2(x, x[:, 0] ** 2, "linear") < 0.1
    (1.0, True)
    """
    x, y = _in_halves(representation, factor, method)
    return _regress(x, [y], method)[0]


@checked
def accuracy(representation: Matrix, classes: Classes, *, labels: Count | None = None) -> float:
    """Fraction of held-out samples that logistic regression on the representation classifies correctly.

    Of each class the first half of its samples is fitted and the second half is scored, so that both halves hold
    every class in whatever order the samples come. The representation is standardised by all samples of the fitted
    half, which takes no labels.

    Args:
        representation: shape (n, dim), an array or a tensor.
        classes: shape (n,), integers or bool.
        labels: how many samples per class have a label, the first ones; None means all of the fitted half.
    Returns:
        Between 0 and 1; chance is the fraction of the most frequent class.
    Raises:
        ArgumentError: shapes or dtypes other than declared, or labels < 1.
        ValueError: fewer than 20 samples, NaN or ±inf, a single class, a class with a single sample, or more labels
            than some class has samples in the fitted half.
    Taught in: causal_scenes, "How much supervision do we need?".

    >>> classes = torch.arange(60) // 20
    >>> accuracy(torch.eye(3)[classes], classes)
    1.0
    """
    x, y = _as_matrix("representation", representation, least=20), _as_matrix("classes", classes)[:, 0]
    rows = [np.flatnonzero(y == k) for k in np.unique(y)]
    fitted = [of[: len(of) // 2] for of in rows]
    least = min(map(len, fitted))
    if len(rows) < 2 or not least:
        raise ValueError(f"classes: wanted at least two, with two samples each; got {sorted(map(len, rows))} samples")
    if labels is not None and labels > least:
        raise ValueError(f"labels: wanted 1 to {least} per class, got {labels}")
    scored = np.concatenate([of[len(of) // 2 :] for of in rows])
    x = _standardised(x, x[np.concatenate(fitted)])
    chosen = np.sort(np.concatenate([of[:labels] for of in fitted]))
    model = _logistic_regression().fit(x[chosen], y[chosen])
    return float(model.score(x[scored], y[scored]))


@checked
def few_labels(
    representation: Matrix,
    classes: Classes,
    labels: Count,
    *,
    seed: Whole,
    draws: Count = 20,
    probe: Any = None,
    standardise: bool = True,
) -> np.ndarray:
    """Accuracy on held-out samples when few samples per class have a label: one value for each draw of these.

    Of each class the first half of its samples may be drawn, without replacement, and the second half is scored. Which
    samples get the labels often matters more than anything else; equal seeds draw the same ones.

    Args:
        representation: shape (n, dim), an array or a tensor.
        classes: shape (n,), integers or bool.
        labels: how many samples per class. seed: of the draws.
        probe: a classifier of scikit-learn; None means logistic regression.
        standardise: by all samples of the first half, which takes no labels.
    Returns:
        Shape (draws,), each between 0 and 1.
    Raises:
        ArgumentError: shapes or dtypes other than declared, or labels or draws < 1.
        ValueError: as `accuracy`.
    Taught in: levels, "A fair comparison".

    >>> classes = torch.arange(60) // 20
    >>> few_labels(torch.eye(3)[classes], classes, 2, seed=0, draws=3).tolist()
    [1.0, 1.0, 1.0]
    """
    x, y = _as_matrix("representation", representation, least=20), _as_matrix("classes", classes)[:, 0]
    rows = [np.flatnonzero(y == k) for k in np.unique(y)]
    fitted, scored = [of[: len(of) // 2] for of in rows], np.concatenate([of[len(of) // 2 :] for of in rows])
    least = min(map(len, fitted))
    if len(rows) < 2 or labels > least:
        raise ValueError(f"labels: wanted 1 to {least} per class, of at least two classes; got {labels}, {len(rows)}")
    x = _standardised(x, x[np.concatenate(fitted)]) if standardise else x
    rng, model, scores = np.random.default_rng(seed), probe or _logistic_regression(), []
    for _ in range(draws):
        chosen = np.concatenate([rng.choice(of, labels, replace=False) for of in fitted])
        scores.append(model.fit(x[chosen], y[chosen]).score(x[scored], y[scored]))
    return np.array(scores)


@explained
def read_off(encoder: nn.Module, pairs: Pairs, *, method: Method = "kernel_ridge") -> dict[str, float]:
    """The score of every factor of the first members: accuracy of a class, R² of what is measured in numbers.

    Args:
        encoder: gives embeddings, or a list of them, of which the last counts.
        pairs: with `truth`: a factor of integers is a class, one of floats is regressed.
        method: of the regression, "kernel_ridge" or "linear".
    Returns:
        The scores by the factors' names.
    Raises:
        ValueError: as `r2` and `accuracy`; names the factor.

    >>> x = torch.randn(100, 3, generator=g)
    >>> pairs = Pairs(x, x, {"sign": (x[:, 0] > 0).long(), "value": x[:, 1], "noise": torch.randn(100, generator=g)})
    >>> scores = read_off(torch.nn.Identity(), pairs, method="linear")
    >>> scores["sign"] > 0.9, round(scores["value"], 3), scores["noise"] < 0.1
    (True, 1.0, True)
    """
    embeddings = embed(encoder, pairs.first)
    h = (embeddings if isinstance(embeddings, Tensor) else embeddings[-1]).flatten(1)
    return decode(h, pairs.truth, method=method)


@explained
def decode(representation: Matrix, truth: Mapping[str, Tensor], *, method: Method = "kernel_ridge") -> dict[str, float]:
    """`read_off` of what is embedded already: the score of every factor by its name.

    Args:
        representation: shape (n, dim), an array or a tensor. truth, method: as in `read_off`.

    >>> x = torch.randn(100, 3, generator=g)
    >>> decode(x, {"sign": (x[:, 0] > 0).long(), "value": x[:, 1]}, method="linear")["value"] > 0.99
    True
    """
    scores, x, regressed = dict.fromkeys(truth, math.nan), None, {}
    for name, factor in truth.items():
        try:
            if factor.is_floating_point() or factor.is_complex():
                x, regressed[name] = _in_halves(representation, factor, method)
            else:
                scores[name] = accuracy(representation, factor)
        except ValueError as error:
            raise ArgumentError(f"{name}: {error}") from error
    if x is None:
        return scores
    return scores | dict(zip(regressed, _regress(x, list(regressed.values()), method), strict=True))


@checked
def movement(before: Float[Tensor, "n dim"], after: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
    """How far each embedding moves when something in its observation changes, in units of two unrelated observations.

    The squared distance, divided by its mean over two independent draws of the observations. No label is needed.

    Args:
        before, after: embeddings of the same n observations, before the change and after it, shape (n, dim).
    Returns:
        Shape (n,), ≥ 0: 0 means that the change cannot be seen; their mean is 1 where the change leaves nothing.
    Raises:
        ArgumentError: shapes differ, or no floats. ValueError: fewer than 2 rows, NaN or ±inf, or embeddings that are
            all alike.
    Taught in: arrows, "How far an embedding moves".

    >>> h = torch.randn(2000, 3, generator=g)
    >>> movement(h, h).max().item(), round(movement(h, torch.randn(2000, 3, generator=g)).mean().item(), 1)
    (0.0, 1.0)
    """
    finite(2, before=before, after=after)
    unit = 2 * before.var(0).sum()
    if not unit:
        raise ValueError("before: all embeddings are alike, so that nothing can move")
    return ((before - after) ** 2).sum(1) / unit


@checked
def auc(scores: Scores, labels: Labels) -> float:
    """Probability that a sample with label 1 scores higher than one with label 0; a tie counts half.

    Args:
        scores: shape (n,), an array or a tensor; only their order matters.
        labels: shape (n,), 0 or 1, or bool.
    Returns:
        Between 0 and 1; guessing gives 0.5.
    Raises:
        ArgumentError: another shape, or differing lengths.
        ValueError: no samples, NaN or ±inf, other labels, or only one of them.

    >>> auc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.75
    """
    from sklearn.metrics import roc_auc_score

    values, positive = scores_and_labels("scores", scores, labels)
    if positive.all() or not positive.any():
        raise ValueError("labels: wanted both 0 and 1 among them")
    return float(roc_auc_score(positive, values))


@checked
def auc_between(positive: Scores, negative: Real[Tensor, " m"] | Real[np.ndarray, " m"]) -> float:
    """`auc` of two sets of scores: the probability that one of the first set is higher than one of the second.

    Args:
        positive: shape (n,). negative: shape (m,). Arrays or tensors.
    Raises:
        ArgumentError, ValueError: as `auc`.

    >>> auc_between(torch.tensor([0.35, 0.8]), torch.tensor([0.1, 0.4]))
    0.75
    """
    finite(1, positive=positive, negative=negative)
    scores = [torch.as_tensor(of).detach().cpu().double() for of in (positive, negative)]
    return auc(torch.cat(scores), torch.arange(len(positive) + len(negative)) < len(positive))


@checked
def region_auc(similarity: Float[Tensor, "n w w"], fraction: Float[Tensor, "n w"]) -> float:
    """How often two windows of one region of an image are more similar than two windows of its two regions.

    The AUC inside each image, averaged over images. Windows on the border are left out, and images without pairs of
    both kinds.

    Args:
        similarity: of every two windows of each image, shape (n, w, w).
        fraction: how much of each window lies in the first region, shape (n, w): 1, 0, or between on the border.
    Raises:
        ArgumentError: shapes differ. ValueError: no image has pairs of both kinds.
    Taught in: photograph_levels, "Three scores for each level".

    >>> fraction = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.5]])
    >>> region_auc(-(fraction[:, :, None] - fraction[:, None]).abs(), fraction)
    1.0
    """
    found = []
    for of, inside in zip(similarity, fraction, strict=True):
        pure = ((inside == 0) | (inside == 1)).nonzero()[:, 0]
        i, j = pure[torch.triu_indices(len(pure), len(pure), 1)]
        same = inside[i] == inside[j]
        if same.any() and not same.all():
            found.append(auc(of[i, j], same))
    if not found:
        raise ValueError("fraction: no image has two windows of one region and two of different ones")
    return float(np.mean(found))


@checked
def bootstrap(
    measure: Callable[[Tensor], float], groups: Int[Tensor, " n"], generator: torch.Generator, *, draws: Count = 200
) -> Float[Tensor, " {draws}"]:
    """A measure of rows whose groups are drawn anew with replacement, as many as there are: how it would have varied.

    Args:
        measure: called with the indices of rows, shape (m,), int64; a row comes as often as its group was drawn.
        groups: which group each row is of, shape (n,), integers. Rows of one group are not independent.
    Returns:
        One value a draw, shape (draws,); their standard deviation is the measure's standard error.
    Raises:
        ArgumentError: another shape, or draws < 1.
    Source: the cluster bootstrap, Davison & Hinkley 1997, section 3.8.

    >>> values, groups = torch.randn(300, generator=g), torch.arange(300) // 3
    >>> 0.03 < bootstrap(lambda rows: values[rows].mean().item(), groups, g).std().item() < 0.09
    True
    """
    members = [(groups == group).nonzero()[:, 0] for group in groups.unique()]
    chosen = torch.randint(len(members), (draws, len(members)), generator=generator)
    return torch.tensor([measure(torch.cat([members[k] for k in row])) for row in chosen.tolist()])


@checked
def neighbour_auc(
    embeddings: Float[Tensor, "n rows cols width"],
    valid: Bool[Tensor, "n rows cols"],
    generator: torch.Generator,
    *,
    rounds: Count = 8,
) -> float:
    """How often a window's true neighbour is more similar to it than a window of another image at the same position.

    So an observer who knows only where windows lie scores 0.5. Similarity is the cosine of the sides that face each
    other.

    Args:
        embeddings: of the windows, shape (n, rows, cols, 4 · dim), a block per side, as `patches.facing` takes them.
        valid: which windows may be drawn, shape (n, rows, cols), bool.
        rounds: pairs drawn from each image; one is left out where no other image has a valid window there.
    Raises:
        ArgumentError: as `patches.draw_neighbours`, a single image, or no two images with a valid window in common.
    Taught in: joint_incremental, "A score without positions".

    >>> z = torch.randn(50, 1, 2, 32, generator=g)
    >>> z[:, 0, 1, 16:24] = z[:, 0, 0, :8]  # the blocks that face each other are the same
    >>> neighbour_auc(z, torch.ones(50, 1, 2).bool(), g) > 0.99
    True
    """
    if len(embeddings) < 2:
        raise ArgumentError("embeddings: wanted at least two images, got one")
    if embeddings.shape[3] % 4:
        raise ArgumentError(f"embeddings: wanted shape (n, rows, cols, 4 · dim), got {tuple(embeddings.shape)}")
    unit = normalize(embeddings.unflatten(3, (4, -1)), dim=4).flatten(3)
    true, false = [], []
    for _ in range(rounds):
        first, second = draw_neighbours(valid, generator)
        others = valid.flatten(1)[:, second].T.fill_diagonal_(False)  # (n, n): whose window at that position is valid
        if not (kept := others.any(1)).any():
            raise ArgumentError("valid: no two images have a valid window at one position")
        other = torch.multinomial(others[kept].float(), 1, generator=generator)[:, 0]
        # anchors of the images that have another one, beside their own neighbours and those of the others
        anchors, own = (blocks[kept] for blocks in facing(unit, first, second))
        stand_ins = torch.arange(len(unit)).masked_scatter(kept, other)
        another = facing(unit, first, second, stand_ins)[1][kept]
        true.append((anchors * own).sum(1))
        false.append((anchors * another).sum(1))
    return auc_between(torch.cat(true), torch.cat(false))


@explained
def scores_and_labels(name: str, scores: Scores, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of shape (n,), float64 and bool; raises a ValueError unless scores are finite and labels 0 or 1.

    >>> scores_and_labels("scores", torch.tensor([0.5, 2.0]), torch.tensor([0, 1]))
    (array([0.5, 2. ]), array([False,  True]))
    """
    x, y = _as_matrix(name, scores)[:, 0], _as_matrix("labels", labels)[:, 0]
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels: wanted 0 or 1, got {y[~np.isin(y, (0, 1))][0]:g}")
    return x, y == 1


@checked
def _in_halves(representation: Matrix, factor: Factor, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Both as matrices, standardised by their first halves; errors are those of `r2`."""
    x, y = _as_matrix("representation", representation, least=20), _as_matrix("factor", factor)
    if method == "kernel_ridge" and len(x) > LIMIT:
        raise ValueError(
            f"representation: kernel ridge takes at most {LIMIT} samples, for its memory grows with their square; "
            f'got {len(x)}: pass fewer of them, or method="linear"'
        )
    half = len(x) // 2
    for part, done in ((y[:half], "fitted"), (y[half:], "scored")):
        if not np.ptp(part, axis=0).all():
            raise ValueError(f"factor: a column never varies in the half that is {done}, so that R² has no meaning")
    return _standardised(x, x[:half]), _standardised(y, y[:half])


def _regress(x: np.ndarray, factors: list[np.ndarray], method: Method) -> list[float]:
    """R² of each factor, shape (n, k), in the second half of the samples, by what is fitted to the first."""
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    half = len(x) // 2
    known = [y[:half] for y in factors]
    models = [LinearRegression() for _ in factors] if method == "linear" else _choose_kernel_ridge(x[:half], known)
    predicted = [model.fit(x[:half], y).predict(x[half:]) for model, y in zip(models, known, strict=True)]
    return [float(r2_score(y[half:], guess)) for y, guess in zip(factors, predicted, strict=True)]


def _logistic_regression():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000)


def _choose_kernel_ridge(x: np.ndarray, factors: list[np.ndarray]) -> list:
    """Width and penalty for each factor as scikit-learn's GridSearchCV chooses them with 3 folds, of the first samples.

    What is best for few samples may be too narrow for many. So the best penalty of every width competes once more on
    a fold of all samples, where there are more.
    """
    from sklearn.kernel_ridge import KernelRidge

    found = _search(x[:SEARCHED], [y[:SEARCHED] for y in factors], dict.fromkeys(GAMMAS, ALPHAS), folds=3)
    if len(x) > SEARCHED:
        finalists = [[max(itertools.product([gamma], ALPHAS), key=of.__getitem__) for gamma in GAMMAS] for of in found]
        grid = {gamma: [alpha for alpha in ALPHAS if any((gamma, alpha) in of for of in finalists)] for gamma in GAMMAS}
        again = _search(x, factors, grid, folds=1)
        found = [{at: of[at] for at in these} for of, these in zip(again, finalists, strict=True)]
    best = [max(of, key=of.__getitem__) for of in found]
    return [KernelRidge(kernel="rbf").set_params(gamma=gamma, alpha=alpha) for gamma, alpha in best]


def _search(
    x: np.ndarray, factors: list[np.ndarray], grid: Mapping[float, Sequence[float]], folds: int
) -> list[dict[tuple[float, float], float]]:
    """Summed R² of every (gamma, alpha) for each factor, on the first folds of three.

    One distance matrix serves all settings, and one factorisation of the kernel all factors.
    """
    from scipy.linalg import cho_factor, cho_solve
    from sklearn.metrics import r2_score
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.model_selection import KFold

    scores, y = [defaultdict(float) for _ in factors], np.hstack(factors)
    ends = np.cumsum([of.shape[1] for of in factors])[:-1]
    for fitted, scored in itertools.islice(KFold(3).split(x), folds):
        distances = euclidean_distances(x, x[fitted], squared=True)
        for gamma, alphas in grid.items():
            kernel = np.exp(-gamma * distances)
            kernel[kernel < 1e-30] = 0  # too small to matter, and arithmetic near the smallest numbers is slow
            for alpha in alphas:
                root = cho_factor(kernel[fitted] + alpha * np.eye(len(fitted)), overwrite_a=True, check_finite=False)
                weights = cho_solve(root, y[fitted], check_finite=False)
                columns = r2_score(y[scored], kernel[scored] @ weights, multioutput="raw_values")
                for of, values in zip(scores, np.split(columns, ends), strict=True):
                    of[gamma, alpha] += float(values.mean())
    return [dict(of) for of in scores]


def _standardised(x: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    from sklearn.preprocessing import StandardScaler

    return np.asarray(StandardScaler().fit(fitted).transform(x))


def _as_matrix(name: str, values: Tensor | np.ndarray, least: int = 1) -> np.ndarray:
    """float64, shape (n, k), so many rows at least, all of it finite."""
    x = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values.astype(np.float64)
    finite(least, **{name: x})
    return x[:, None] if x.ndim == 1 else x
