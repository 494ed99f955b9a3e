"""A control that lives in the static page, without a server: choose a strip of images, and slide along it."""

import base64
import hashlib
import html
import io
import json
import re
from importlib.resources import files

import numpy as np
from IPython.display import HTML
from PIL import Image


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

    >>> page = flipbook({"hue": np.zeros((3, 8, 8, 3))}, {"hue": {"far": [0.0, 0.5, 1.0]}}, label="a scene")
    >>> "<option>hue</option>" in page.data
    True
    """
    names, strips = list(pictures), {}
    bars = list(measures[names[0]])
    for name, strip in pictures.items():
        if list(measures[name]) != bars or any(len(measures[name][bar]) != len(strip) for bar in bars):
            raise ValueError(f"measures: wanted {', '.join(bars)}, {len(strip)} numbers each, for {name!r}")
        file = io.BytesIO()
        wide = np.hstack(list((np.clip(strip, 0, 1) * 255).round().astype(np.uint8)))
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
