"""Pictures: functions that take an axes and give it back. What the numbers mean is left to the chapters."""

import base64
import hashlib
import html
import io
import json
import re
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

#: Okabe–Ito colours under the names of what they stand for throughout the book.
CONTENT, STYLE, LIMIT, PUBLISHED = "#0072B2", "#D55E00", "#000000", "#009E73"


def use_style() -> None:
    """The book's figure style, and sharp PNGs of the same bytes at every run."""
    plt.style.use("hssl.reporting.book")
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


def arrows(
    ax: Axes,
    nodes: dict[str, tuple[float, float]],
    edges: list[tuple[str, str, str]],
    *,
    fontsize: float = 13,
    shrink: float = 17,
) -> Axes:
    """A causal graph: named nodes at their places, and edges (from, to, line style), `shrink` points short of them."""
    for name, place in nodes.items():
        ax.text(
            *place,
            name,
            ha="center",
            va="center",
            fontsize=fontsize,
            bbox={"boxstyle": "circle", "fc": "white", "ec": "0.3"},
        )
    for start, end, style in edges:
        look = {
            "arrowstyle": "-|>",
            "color": "0.3",
            "linestyle": style,
            "shrinkA": shrink,
            "shrinkB": shrink,
            "linewidth": 1.5,
        }
        ax.annotate("", nodes[end], nodes[start], arrowprops=look)
    ax.set_axis_off()
    return ax


def flipbook(
    pictures: dict[str, np.ndarray],
    measures: dict[str, dict[str, list[float]]],
    *,
    label: str,
    choose: str = "latent",
    slide: str = "value",
) -> HTML:
    """A control that lives in the static page: choose a strip of pictures, slide along it, and read what it measures.

    Args:
        pictures: by the name of the strip, shape (frames, size, size, 3), in [0, 1].
        measures: by the name of the strip, then of the measure: a number a frame, between 0 and 1.
        label: what is seen, for those who cannot see it.
        choose, slide: what the choice among the strips, and the slider, are called.
    Raises:
        ValueError: a strip has other measures than the first, or not one number a frame.
    """
    names = list(pictures)
    bars = list(measures[names[0]])
    for name, strip in pictures.items():
        if list(measures[name]) != bars or any(len(measures[name][bar]) != len(strip) for bar in bars):
            raise ValueError(f"measures: wanted {', '.join(bars)}, {len(strip)} numbers each, for {name!r}")
    strips = {}
    for name, strip in pictures.items():
        with io.BytesIO() as file:
            wide = np.concatenate(list((np.clip(strip, 0, 1) * 255).round().astype(np.uint8)), axis=1)
            Image.fromarray(wide).save(file, "JPEG", quality=90)
            strips[name] = base64.b64encode(file.getvalue()).decode()
    frames = len(pictures[names[0]])
    data = json.dumps({"strips": strips, "measures": measures, "frames": frames}).replace("<", "\\u003c")
    key = hashlib.sha256(data.encode()).hexdigest()[:8]
    options = "".join(f"<option>{html.escape(name)}</option>" for name in names)
    meters = "".join(
        f'<label class="hssl-bar">{html.escape(bar)} <meter min="0" max="1"></meter> <output></output></label>'
        for bar in bars
    )
    template = (files("hssl.reporting") / "flipbook.html").read_text()
    values = {"KEY": key, "OPTIONS": options, "METERS": meters, "LABEL": html.escape(label), "DATA": data}
    values |= {"CHOOSE": html.escape(choose), "SLIDE": html.escape(slide)}
    values |= {"LAST": str(frames - 1), "MIDDLE": str(frames // 2)}
    return HTML(re.sub("@([A-Z]+)@", lambda match: values[match[1]], template))
