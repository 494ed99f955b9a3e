"""Figures: functions that take an axes and give it back. What the numbers mean is left to the chapters.

Pages draw what is recorded. On a person's own screen their own numbers are drawn strongly, the recorded ones faintly.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import is_color_like, to_rgb
from matplotlib.patches import Rectangle
from matplotlib_inline.backend_inline import set_matplotlib_formats

from hssl.checks import Finite, NonNegative, Positive, explained
from hssl.files import read_text
from hssl.reporting.records import budget
from hssl.reporting.tables import NOTHING, OWN, plain

__all__ = ["arrows", "band", "cells", "heat", "layers", "limit", "points", "reliability", "strokes", "use_style"]

#: Okabe–Ito colours under the names of what they stand for throughout the book.
CONTENT, STYLE, LIMIT, PUBLISHED = "#0072B2", "#D55E00", "#000000", "#009E73"


def use_style() -> None:
    """The book's figure style, and sharp PNGs of the same bytes at every run.

    >>> with plt.rc_context():
    ...     use_style()
    ...     plt.rcParams["image.cmap"]
    'cividis'
    """
    read_text("reporting/book.mplstyle")  # of a damaged one Matplotlib would take what is left
    plt.style.use("hssl.reporting.book")
    set_matplotlib_formats("retina", metadata={"Software": None})


@explained
def layers(drawn: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What of a tidy frame is drawn strongly, and what faintly behind it.

    On a page: the recorded numbers, of the full budget if there are any, and nothing. To a person who has measured:
    their own, and the recorded ones of the same budget.

    >>> drawn = pd.DataFrame({"budget": ["quick", "full", "this run"], "value": [0.1, 0.2, 0.3]})
    >>> [layer["value"].tolist() for layer in layers(drawn)]
    [[0.3], [0.1]]
    >>> [layer["value"].tolist() for layer in layers(drawn[:2])]
    [[0.2], []]
    """
    if "budget" not in drawn:
        raise ValueError(f"drawn: wanted a column budget, got {', '.join(map(str, drawn.columns))}")
    there = set(drawn["budget"])
    recorded = next((name for name in ("full", "quick") if name in there), None)
    if OWN not in there:
        return drawn[drawn["budget"] == recorded], drawn[:0]
    behind = budget() if budget() in there else recorded
    return drawn[drawn["budget"] == OWN], drawn[drawn["budget"] == behind]


@explained
def points(
    ax: Axes, drawn: pd.DataFrame, x: str, *, color: str, label: str, value: str = "value", fill: bool = False
) -> Axes:
    """Means against a column of a tidy frame, with one standard deviation as bars, or as a band if `fill`.

    Args:
        drawn: from `results.tidy`; the strong and the faint part of it are drawn as `layers` says.
        x: the column along the axis; numbers, or words in the order in which they come.
        value: "value", or "limit" or "published" for dashed lines without spread, in the same way.

    >>> drawn = pd.DataFrame({"budget": ["full"] * 2, "k": [1, 2], "value": [0.3, 0.6], "spread": [0.1, None]})
    >>> points(plt.figure().gca(), drawn, "k", color="k", label="content").lines[0].get_ydata()
    array([0.3, 0.6])
    """
    if drawn.empty:
        return _nothing(ax)
    _check_columns(drawn, x=x, value=value)
    _check_colour(color)
    strong, faint = layers(drawn)
    if value != "value":
        ax.plot(strong[x].to_numpy(), strong[value].to_numpy(float), "--", color=color, linewidth=1)
        return ax
    for layer, alpha, words in ((faint, 0.3, f"{label}, recorded"), (strong, 1.0, label)):
        at, mean, spread = (layer[name].to_numpy() for name in (x, "value", "spread"))
        spread = np.nan_to_num(spread.astype(float))
        if fill and at.size:
            _band(ax, at, mean, spread, color=color, label=words, alpha=alpha)
        elif at.size:
            ax.errorbar(at, mean, spread, fmt="o-", capsize=3, color=color, alpha=alpha, label=words)
    return ax


@explained
def heat(
    ax: Axes,
    drawn: pd.DataFrame,
    rows: str,
    columns: str,
    *,
    value: str = "value",
    framed: Collection[tuple] = (),
    title: str = "",
) -> Axes:
    """A colour map of a tidy frame, from 0 to 1, with its numbers in the cells; a person's own win on their screen.

    Args:
        drawn: from `results.tidy`; a person's own numbers go before the recorded ones.
        rows, columns: the columns of the frame that make those of the map; their underscores become spaces.
        value: what is shown: "value", "limit" or "published". Cells without one are left grey.
        framed: the (row, column) pairs that get a frame. The rest is as in `cells`.

    >>> drawn = pd.DataFrame({"budget": "full", "pair": ["a", "b"], "measure": "class", "value": [0.2, -0.001]})
    >>> [text.get_text() for text in heat(plt.figure().gca(), drawn, "pair", "measure").texts]
    ['0.20', '0.00']
    """
    if not drawn.empty:
        _check_columns(drawn, rows=rows, columns=columns, value=value)
    layered = [] if drawn.empty else [layer.dropna(subset=[value]) for layer in reversed(layers(drawn))]
    numbers = {tuple(cell): number for layer in layered for *cell, number in layer[[rows, columns, value]].to_numpy()}
    if not numbers:
        return _nothing(ax)
    down, across = (list(dict.fromkeys(names)) for names in zip(*numbers, strict=True))
    shown = np.array([[numbers.get((row, column), np.nan) for column in across] for row in down], float)
    words = [re.sub("[_ ]", "\n", str(column)) for column in across]
    frames = [[(row, column) in framed for column in across] for row in down]
    ax.set_title(f"{title} ({OWN})" if OWN in set(drawn["budget"]) else title)
    return cells(ax, shown, frames, rows=[str(row).replace("_", " ") for row in down], columns=words)


@explained
def band(ax: Axes, x, runs, *, color: str, label: str) -> Axes:
    """Mean over runs as a line with a dot at each x, spread (one standard deviation) as a band.

    Args:
        x: shape (k,), positions. runs: shape (k, seeds), a row for each position.

    >>> band(plt.figure().gca(), [1, 2], [[0.0, 1.0], [2.0, 2.0]], color="k", label="runs").lines[0].get_ydata()
    array([0.5, 2. ])
    """
    x, runs = _floats("x", x), _floats("runs", runs)
    _check_colour(color)
    if x.ndim != 1:
        raise ValueError(f"x: wanted shape (k,), got {x.shape}")
    if runs.ndim != 2 or len(runs) != len(x):
        raise ValueError(f"runs: wanted shape ({len(x)}, seeds), got {runs.shape}")
    mean, spread = runs.mean(1), runs.std(1, ddof=min(1, runs.shape[1] - 1))
    return _band(ax, x, mean, spread, color=color, label=label)


@explained
def limit(ax: Axes, y: Finite, label: str, *, color: str = LIMIT) -> Axes:
    """A dashed line at a limit, a prediction or chance, with its name in the legend.

    >>> limit(plt.figure().gca(), 0.5, "chance").get_legend_handles_labels()[1]
    ['chance']
    """
    _check_colour(color)
    ax.axhline(y, color=color, linestyle="--", linewidth=1.2, label=label, zorder=1)
    return ax


@explained
def arrows(
    ax: Axes,
    nodes: dict[str, tuple[float, float]],
    edges: list[tuple[str, str, str]],
    *,
    fontsize: Positive = 13,
    shrink: NonNegative = 17,
) -> Axes:
    """A causal graph: named nodes at their places, and edges (from, to, line style), `shrink` points short of them.

    >>> len(arrows(plt.figure().gca(), {"c": (0, 1), "x": (0, 0)}, [("c", "x", "-")]).texts)  # two nodes and an arrow
    3
    """
    if missing := [end for *ends, _ in edges for end in ends if end not in nodes]:
        raise ValueError(f"edges: wanted ends among {', '.join(map(str, nodes))}, got {missing[0]!r}")
    circle = {"boxstyle": "circle", "fc": "white", "ec": "0.3"}
    for name, place in nodes.items():
        ax.text(*place, name, ha="center", va="center", fontsize=fontsize, bbox=circle)
    look = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": shrink, "shrinkB": shrink, "linewidth": 1.5}
    for start, end, style in edges:
        ax.annotate("", nodes[end], nodes[start], arrowprops={**look, "linestyle": style})
    ax.set_axis_off()
    return ax


@explained
def reliability(ax: Axes, curves: Mapping[str, Any]) -> Axes:
    """Observed against stated probabilities, a line with dots for each name, beside the diagonal of a calibrated model.

    Args:
        curves: by name, stated and observed, as the first two that `calibration.reliability` gives.

    >>> len(reliability(plt.figure().gca(), {"critic": ([0.2, 0.8], [0.3, 0.7])}).lines)  # the diagonal too
    2
    """
    ax.plot([0, 1], [0, 1], "--", color=LIMIT, linewidth=1)
    for color, (name, curve) in zip(("0.6", CONTENT, STYLE, PUBLISHED), curves.items(), strict=False):
        if len(curve) < 2:
            raise ValueError(f"curves[{name!r}]: wanted stated and observed probabilities, got {len(curve)} of the two")
        stated, observed, *_ = curve
        at, seen = _floats(f"curves[{name!r}]", stated), _floats(f"curves[{name!r}]", observed)
        if at.shape != seen.shape or at.ndim != 1:
            raise ValueError(f"curves[{name!r}]: wanted two of one length, got shapes {at.shape} and {seen.shape}")
        ax.plot(stated, observed, "o-", color=color, markersize=3, label=name)
    ax.set(xlabel="stated probability", ylabel="observed fraction", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    ax.legend()
    return ax


@explained
def strokes(ax: Axes, segments, *, color="0.15", width: Positive = 1.8) -> Axes:
    """Straight strokes, of one colour or one each, without axes.

    Args:
        segments: shape (m, 4): x and y of either end, as `stimuli.as_segments` gives them; y points downwards.

    >>> len(strokes(plt.figure().gca(), [[0, 0, 1, 1]]).collections)
    1
    """
    ends = _floats("segments", segments)
    if ends.size % 4:
        raise ValueError(f"segments: wanted shape (m, 4), got {ends.shape}")
    ends = ends.reshape(-1, 2, 2)
    ax.add_collection(LineCollection(list(ends), colors=color, linewidths=width, capstyle="round"))
    ax.autoscale_view()
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set(aspect="equal")
    ax.set_axis_off()
    return ax


@explained
def cells(ax: Axes, values, framed=None, *, rows: list[str] | None = None, columns: list[str] | None = None) -> Axes:
    """A table of numbers from 0 to 1 as coloured cells, dark to bright, with the numbers in them.

    Black or white, whichever stands out: numbers and frames have a contrast of at least 4.5 to 1 on any colour.

    Args:
        values: shape (rows, columns); NaN leaves a cell grey. framed: of that shape, bool: these cells get a frame.
        rows, columns: their names; without them they are counted from 0.

    >>> len(cells(plt.figure().gca(), [[0.1, 0.9]], [[True, False]]).patches)
    1
    """
    values = _floats("values", values)
    framed = np.zeros(values.shape) if framed is None else _floats("framed", framed)
    if values.ndim != 2 or framed.shape != values.shape:
        raise ValueError(f"values, framed: wanted one shape (rows, columns), got {values.shape}, {framed.shape}")
    image = ax.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    ax.set_facecolor("0.85")
    ax.grid(False)
    ax.set_xticks(range(values.shape[1]), columns)
    ax.set_yticks(range(values.shape[0]), rows)
    for (i, j), value in np.ndenumerate(values):
        ink = _ink("0.85" if np.isnan(value) else image.to_rgba(value))
        if not np.isnan(value):
            ax.text(j, i, plain(float(value)), ha="center", va="center", color=ink, size=8)
        if framed[i, j]:
            ax.add_patch(Rectangle((j - 0.45, i - 0.42), 0.9, 0.84, fill=False, edgecolor=ink, linewidth=1.5))
    return ax


def _floats(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: wanted numbers, in rows of one length, got {values!r:.80}") from error


def _check_columns(drawn: pd.DataFrame, **columns: str) -> None:
    for name, column in columns.items():
        if column not in drawn:
            raise ValueError(f"{name}: wanted one of {', '.join(map(str, drawn.columns))}; got {column!r}")


def _check_colour(color: Any) -> None:
    if not is_color_like(color):
        raise ValueError(f"color: wanted a colour of Matplotlib, got {color!r}")


def _band(ax: Axes, x, mean, spread, *, color: str, label: str, alpha: float = 1.0) -> Axes:
    ax.plot(x, mean, "o-", color=color, alpha=alpha, label=label)
    ax.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2 * alpha, linewidth=0)
    return ax


def _ink(color: Any) -> str:
    """Black or white: of the two the one that contrasts more with a colour, by relative luminance (WCAG 2)."""
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    return "black" if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else "white"


def _nothing(ax: Axes) -> Axes:
    if not ax.texts:
        ax.text(0.5, 0.5, NOTHING, transform=ax.transAxes, ha="center", va="center")
    return ax
