"""Choose a strip of images, slide along it, and read what is measured at each of them."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
import traitlets
from jaxtyping import Float
from PIL import Image

from hssl.checks import Count, checked
from hssl.widgets.grids import as_picture, check_names
from hssl.widgets.mounting import Widget, as_numbers, check_texts, data_url, isolated, module

MOST = 7  # images of the strip that stands in the page where no script runs, and on paper


class Flipbook(Widget):
    """A choice among strips of images, a slider along the chosen one, and a bar for each of its measures.

    Args:
        strips: by name, shape (frames, height, width, 3), in [0, 1]; all of one shape.
        measures: by the name of the strip, then of the measure: a number a frame, from 0 to 1.
        label: what is seen, for those who cannot see it.
        choose, slide: what the choice among the strips, and the slider, are called.
        at: what the slider says of each frame; numbers get two decimals. None: which of how many it is.
        image_size: longer side of the frames that are sent, in pixels; larger ones are reduced.
    Raises:
        ValueError: no strip, shapes that differ, other measures than those of the first strip, not one number from 0
            to 1 a frame, or more than `SIZE_LIMIT` bytes in all.

    Python may observe and set `strip`, the name of the chosen one, and `frame`, which counts from 0. Anything else
    raises a `traitlets.TraitError`.

    >>> widget = Flipbook({"hue": np.zeros((3, 8, 8, 3))}, {"hue": {"far": [0.0, 0.5, 1.0]}}, label="a scene")
    >>> widget.frame = 2
    >>> widget
    Flipbook: a scene; latent hue, value 3 of 3: far 1.00
    """

    _esm = module("page.js", "flipbook.js")
    _state = ("data", "strip", "frame")
    _advice = "show fewer strips, fewer or smaller frames (image_size)"

    strip = traitlets.Unicode(help="name of the chosen strip").tag(sync=True)
    frame = traitlets.Int(help="of the strip, from 0").tag(sync=True)

    @checked
    def __init__(
        self,
        strips: Mapping[str, Float[np.ndarray, "frames height width 3"]],
        measures: Mapping[str, Mapping],
        *,
        label: str,
        choose: str = "latent",
        slide: str = "value",
        at: Sequence | np.ndarray | None = None,
        image_size: Count = 320,
    ):
        super().__init__()
        if not strips or not all(map(len, strips.values())):
            raise ValueError("strips: wanted at least one, with at least one frame")
        first, *_ = strips
        check_texts("strips", strips)
        frames, height, width, _ = strips[first].shape
        check_names("measures", measures, strips)
        bars = list(measures[first])
        check_texts(f"measures[{first!r}]", bars)
        for name, text in {"label": label, "choose": choose, "slide": slide}.items():
            check_texts(name, [text], empty=True)
        shrink = min(1, image_size / max(height, width))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        self._frames, sent = {}, []
        for name, strip in strips.items():
            if strip.shape != strips[first].shape:
                raise ValueError(f"strips[{name!r}]: wanted shape {strips[first].shape}, got {strip.shape}")
            self._frames[name] = [as_picture(f"strips[{name!r}]", frame).resize(size) for frame in strip]
            values = _as_values(name, measures[name], bars, frames)
            sent.append({"name": name, "url": data_url(_beside(self._frames[name])), "values": values})
        data = {"label": label, "choose": choose, "slide": slide, "at": _as_texts(at, frames), "bars": bars}
        data |= {"strips": sent, "width": size[0], "height": size[1]}
        self._replace_data(data, strip=first, frame=frames // 2)

    @traitlets.validate("strip")
    def _check_strip(self, proposal):
        if self.data and proposal["value"] not in self._frames:
            raise traitlets.TraitError(f"strip: wanted one of {list(self._frames)}, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("frame")
    def _check_frame(self, proposal):
        if self.data and not 0 <= proposal["value"] < len(self.data["at"]):
            raise traitlets.TraitError(f"frame: wanted 0 to {len(self.data['at']) - 1}, got {proposal['value']}")
        return int(proposal["value"])

    def _values(self) -> list[list[float]]:
        """Of the chosen strip: by measure, then by frame."""
        return next(strip["values"] for strip in self.data["strips"] if strip["name"] == self.strip)

    def _still(self) -> str:
        """Some frames of the chosen strip as a table, with their numbers below."""
        data, count = self.data, len(self.data["at"])
        steps = [most for most in range(min(MOST, count), 3, -1) if (count - 1) % (most - 1) == 0]
        shown = np.linspace(0, count - 1, steps[0] if steps else min(MOST, count)).round().astype(int)
        frames = [self._frames[self.strip][k].copy() for k in shown]
        for frame in frames:
            frame.thumbnail((128, 128))
        words = [html.escape(f"{isolated(data['slide'])} {isolated(data['at'][k])}") for k in shown]
        cells = [
            f'<td><img src="{data_url(frame)}" alt="{word}"></td>' for frame, word in zip(frames, words, strict=True)
        ]
        rows = [("", cells), (data["slide"], [f"<td>{html.escape(data['at'][k])}</td>" for k in shown])]
        for bar, values in zip(data["bars"], self._values(), strict=True):
            rows.append((bar, [f"<td>{_shown(values[k])}</td>" for k in shown]))
        caption = html.escape(f"{isolated(data['label'])}; {isolated(data['choose'])} {isolated(self.strip)}")
        body = "".join(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(row)}</tr>' for name, row in rows)
        return f"<table><caption>{caption}</caption>{body}</table>"

    def _words(self) -> str:
        label, choose, slide = (isolated(self.data[name]) for name in ("label", "choose", "slide"))
        where = f"{label}; {choose} {isolated(self.strip)}, {slide} {isolated(self.data['at'][self.frame])}"
        pairs = zip(self.data["bars"], self._values(), strict=True)
        numbers = ", ".join(f"{isolated(bar)} {_shown(values[self.frame])}" for bar, values in pairs)
        return f"{where}: {numbers}" if numbers else where


def _beside(frames: list[Image.Image]) -> Image.Image:
    width, height = frames[0].size
    strip = Image.new("RGB", (width * len(frames), height))
    for k, frame in enumerate(frames):
        strip.paste(frame, (k * width, 0))
    return strip


def _as_values(name: str, measures: Mapping, bars: list[str], frames: int) -> list[list[float]]:
    wanted = f"measures[{name!r}]: wanted {', '.join(bars)}, {frames} numbers from 0 to 1 each"
    if list(measures) != bars:
        raise ValueError(f"{wanted}, got {', '.join(measures)}")
    values = [as_numbers(f"measures[{name!r}][{bar!r}]", measures[bar], 1, "(frames,)") for bar in bars]
    for bar, of in zip(bars, values, strict=True):
        if len(of) != frames or of.min() < 0 or of.max() > 1:
            raise ValueError(f"{wanted}, got {of.round(3).tolist()} for {bar}")
    return [np.round(of, 4).tolist() for of in values]


def _as_texts(at: Sequence | np.ndarray | None, frames: int) -> list[str]:
    if at is None:
        return [f"{k + 1} of {frames}" for k in range(frames)]
    if len(at) != frames:
        raise ValueError(f"at: wanted one for each of {frames} frames, got {len(at)}")
    check_texts("at", [value for value in at if isinstance(value, str)], empty=True)
    return [value if isinstance(value, str) else _shown(_as_number(value)) for value in at]


def _as_number(value) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"at: wanted finite numbers or text, got {value!r}")
    return number


def _shown(value: float) -> str:
    """Two decimals, and a true minus sign, as the page has it."""
    return f"{value:.2f}".replace("-", "−")
