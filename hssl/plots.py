"""Pictures: functions that take an axes and give it back. What the numbers mean is left to the chapters."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib_inline.backend_inline import set_matplotlib_formats

#: Okabe–Ito colours under the names of what they stand for throughout the book.
CONTENT, STYLE, LIMIT, PUBLISHED = "#0072B2", "#D55E00", "#000000", "#009E73"


def use_style() -> None:
    """The book's figure style, and sharp PNGs of the same bytes at every run."""
    plt.style.use("hssl.book")
    set_matplotlib_formats("retina", metadata={"Software": None})


def band(ax: Axes, x, runs, *, color: str, label: str) -> Axes:
    """Mean over runs as a line with a dot at each x, spread (one standard deviation) as a band.

    Args:
        x: shape (k,), positions. runs: shape (k, seeds), a row for each position.
    """
    x, runs = np.asarray(x, float), np.asarray(runs, float)
    if runs.ndim != 2 or len(runs) != len(x):
        raise ValueError(f"runs: wanted shape ({len(x)}, seeds), got {runs.shape}")
    mean, spread = runs.mean(1), runs.std(1, ddof=min(1, runs.shape[1] - 1))
    ax.plot(x, mean, "o-", color=color, label=label)
    ax.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    return ax


def limit(ax: Axes, y: float, label: str, *, color: str = LIMIT) -> Axes:
    """A dashed line at a limit, a prediction or chance, with its name in the legend."""
    ax.axhline(y, color=color, linestyle="--", linewidth=1.2, label=label, zorder=1)
    return ax


def arrows(ax: Axes, nodes: dict[str, tuple[float, float]], edges: list[tuple[str, str, str]]) -> Axes:
    """A causal graph: named nodes at their places, and edges (from, to, line style) between them."""
    for name, place in nodes.items():
        ax.text(
            *place, name, ha="center", va="center", fontsize=13, bbox={"boxstyle": "circle", "fc": "white", "ec": "0.3"}
        )
    for start, end, style in edges:
        look = {"arrowstyle": "-|>", "color": "0.3", "linestyle": style, "shrinkA": 17, "shrinkB": 17, "linewidth": 1.5}
        ax.annotate("", nodes[end], nodes[start], arrowprops=look)
    ax.set_axis_off()
    return ax
