"""What can be read off a representation: R² of a factor, linear and by kernel ridge regression.

Estimators are scikit-learn's; here stands only how they are set up, and what counts as bad input.
"""

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
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


def _choose_kernel_ridge(x: np.ndarray, y: np.ndarray) -> KernelRidge:
    search = GridSearchCV(KernelRidge(kernel="rbf"), GRID, cv=3, refit=False).fit(x, y)
    return KernelRidge(kernel="rbf", **search.best_params_)


def _as_matrix(name: str, value) -> np.ndarray:
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    value = value.reshape(-1, 1) if value.ndim == 1 else value
    if value.ndim != 2 or not np.issubdtype(value.dtype, np.number):
        raise ValueError(f"{name}: wanted numbers of shape (n, k), got {value.dtype} of shape {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: there are values that are not finite")
    return value.astype(np.float64)
