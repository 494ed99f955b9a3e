"""What can be read off a representation: R² of a factor, accuracy of a class, AUC of a score.

Estimators are scikit-learn's; here stands only how they are set up, and what counts as bad input. Whether a score is
a probability is left to `calibration`.
"""

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

METHODS = ("linear", "kernel_ridge")
GRID = [{"gamma": [0.01, 0.05], "alpha": [0.01]}, {"gamma": [0.2], "alpha": [0.1, 1.0]}]  # wide or narrow kernels
SEARCHED = 600  # samples that choose among the grid


def r2(representation, factor, method: str = "kernel_ridge") -> float:
    """How much of a factor's variance a regression on the representation explains, on held-out samples.

    Both are standardised; the first half of the samples is fitted, the second half is scored. Kernel ridge
    regression uses a Gaussian kernel, its two settings chosen by 3-fold search within the first half.

    Args:
        representation: shape (n, dim), an array or a tensor.
        factor: shape (n,) or (n, k); the score is the mean over its k columns.
        method: "kernel_ridge" or "linear".
    Returns:
        R² ≤ 1; 0 means no better than the mean, and it may fall below.
    Raises:
        ValueError: unknown method, differing lengths, fewer than 20 samples, NaN, or a factor that never varies.
    Source: von Kügelgen et al. 2021, section 5.1. Taught in: content_style, "One run from beginning to end".
    """
    if method not in METHODS:
        raise ValueError(f"method: wanted one of {', '.join(METHODS)}, got {method!r}")
    x, y = _as_matrix("representation", representation), _as_matrix("factor", factor)
    if len(x) != len(y) or len(x) < 20:
        raise ValueError(
            f"representation, factor: wanted as many samples in both, at least 20; got {len(x)} and {len(y)}"
        )
    if (y.std(0) == 0).any():
        raise ValueError("factor: a column never varies, so that its R² has no meaning")
    half = len(x) // 2
    x = StandardScaler().fit(x[:half]).transform(x)
    y = StandardScaler().fit(y[:half]).transform(y)
    model = LinearRegression() if method == "linear" else _choose_kernel_ridge(x[:half][:SEARCHED], y[:half][:SEARCHED])
    return float(r2_score(y[half:], model.fit(x[:half], y[:half]).predict(x[half:])))


def accuracy(representation, classes, *, labels: int | None = None) -> float:
    """Share of held-out samples whose class logistic regression on the representation tells.

    The first half of the samples is fitted, the second half is scored; the representation is standardised by all of
    the first half, which takes no labels.

    Args:
        representation: shape (n, dim), an array or a tensor.
        classes: shape (n,), integers.
        labels: how many samples of each class have one, the first ones; None means all of the first half.
    Returns:
        Between 0 and 1; chance is the share of the commonest class.
    Raises:
        ValueError: differing lengths, fewer than 20 samples, NaN, a single class, labels < 1, or more labels than
            there are samples of some class in the first half.
        TypeError: classes are no integers.
    Taught in: causal_scenes, "How much supervision do we need?".
    """
    x, y = _as_matrix("representation", representation), _as_matrix("classes", classes)[:, 0]
    if not np.issubdtype(np.asarray(classes).dtype, np.integer):
        raise TypeError(f"classes: wanted integers, got {np.asarray(classes).dtype}")
    if len(x) != len(y) or len(x) < 20:
        raise ValueError(
            f"representation, classes: wanted as many samples in both, at least 20; got {len(x)} and {len(y)}"
        )
    half = len(x) // 2
    x, chosen = StandardScaler().fit(x[:half]).transform(x), np.arange(half)
    counts = {k: (y[:half] == k).sum() for k in np.unique(y)}
    if len(counts) < 2:
        raise ValueError("classes: wanted at least two of them")
    if labels is not None:
        if not 1 <= labels <= min(counts.values()):
            raise ValueError(f"labels: wanted 1 to {min(counts.values())} a class, got {labels}")
        chosen = np.concatenate([np.flatnonzero(y[:half] == k)[:labels] for k in counts])
    model = LogisticRegression(max_iter=2000).fit(x[chosen], y[chosen])
    return float(model.score(x[half:], y[half:]))


def auc(scores, labels) -> float:
    """Chance that a sample with label 1 scores higher than one with label 0; a tie counts half.

    Args:
        scores: shape (n,), an array or a tensor; only their order matters.
        labels: shape (n,), 0 or 1, or bool.
    Returns:
        Between 0 and 1; guessing gives 0.5.
    Raises:
        ValueError: another shape, differing lengths, values that are not finite, other labels, or only one of them.
    """
    scores, labels = scores_and_labels("scores", scores, labels)
    if labels.all() or not labels.any():
        raise ValueError("labels: wanted both 0 and 1 among them")
    return float(roc_auc_score(labels, scores))


def scores_and_labels(name: str, scores, labels) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of shape (n,), float64 and bool; what is wrong with them is raised as a ValueError."""
    x, y = _as_matrix(name, scores), _as_matrix("labels", labels)
    if x.shape[1] != 1 or y.shape != x.shape or not len(x):
        raise ValueError(f"{name}, labels: wanted shape (n,) for both, n ≥ 1; got {x.shape} and {y.shape}")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels: wanted 0 or 1, got {y[~np.isin(y, (0, 1))][0]:g}")
    return x[:, 0], y[:, 0] == 1


def _choose_kernel_ridge(x: np.ndarray, y: np.ndarray) -> KernelRidge:
    search = GridSearchCV(KernelRidge(kernel="rbf"), GRID, cv=3, refit=False).fit(x, y)
    return KernelRidge(kernel="rbf", **search.best_params_)


def _as_matrix(name: str, value) -> np.ndarray:
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    value = value.reshape(-1, 1) if value.ndim == 1 else value
    if value.ndim != 2 or not (np.issubdtype(value.dtype, np.number) or value.dtype == bool):
        raise ValueError(f"{name}: wanted numbers of shape (n, k), got {value.dtype} of shape {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: there are values that are not finite")
    return value.astype(np.float64)
