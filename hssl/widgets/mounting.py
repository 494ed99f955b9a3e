"""One ES module, shown two ways: by a kernel that hears the clicks (anywidget), or by the page alone.

What is drawn is left to the module; what it is about, to the class that inherits from `Widget`.
"""

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Iterable
from typing import Literal, cast
from unicodedata import bidirectional, category

import anywidget
import numpy as np
import traitlets
from IPython.display import HTML
from jaxtyping import Real
from PIL import Image

from hssl.checks import Whole, explained, finite
from hssl.files import read_text

Stored = Literal["<f4", "<f2", "i1", "u1"]  # the types in which numbers are sent
#: Bytes of HTML that a widget may weigh with its data and its still picture.
SIZE_LIMIT = 300_000
_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, ends of lines and paragraphs
_UNSEEN = {*_HIDDEN, "Cf", "Me", "Mn", "Zs"}  # and formats, marks upon others, spaces: nothing where they stand alone
_ORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # change the order of what follows


class Widget(anywidget.AnyWidget):
    """What all widgets share: the static page, the limit of size, and a still for where no script runs and for paper.

    The page runs scripts that stand in it, and no others; where its policy forbids them, the still stays and says so.
    On the page `element.model` is there for whoever wants to listen.

    A subclass names its ES module in `_esm` and the traits that it reads and writes in `_state`, and says what is
    seen at first in `_words` and in `_picture`, or else in `_still`.

    >>> from hssl.widgets import PatchSimilarity
    >>> widget = PatchSimilarity({"grey": np.ones((4, 4))}, {"grey": {"2 px": np.ones((2, 2, 3))}})
    >>> isinstance(widget, Widget), widget.static_html() == widget.static().data
    (True, True)
    """

    _esm: str
    _css = read_text("widgets/widgets.css")
    _state = ("data",)
    _advice = "show less"
    _limit: int | None = None  # bytes of HTML; None means SIZE_LIMIT
    _made: dict = {}  # noqa: RUF012, replaced and never changed: the data as they were made here

    data = traitlets.Dict(help="all that does not change when the reader acts").tag(sync=True)

    def static_html(self) -> str:
        """HTML that mounts the widget as it stands now: no kernel, no network, the same bytes for the same state."""
        state = {name: getattr(self, name) for name in self._state}
        values = {
            "STYLE": self._css,
            "STATE": json.dumps(state, separators=(",", ":"), sort_keys=True, allow_nan=False).replace("<", "\\u003c"),
            "STILL": self._still(),
            "MODULE": str(self._esm).replace("export default ", "const control = "),
        }
        values["KEY"] = "hssl-" + hashlib.sha256("".join(values.values()).encode()).hexdigest()[:12]
        return re.sub("@([A-Z]+)@", lambda match: values[match[1]], module("page.html"))

    def static(self) -> HTML:
        """The widget of the static page alone, for cells whose stored output must be the same at every run."""
        return HTML(self.static_html())

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self._words()}"

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        bundle, metadata = cast(tuple[dict, dict], super()._repr_mimebundle_(**kwargs))  # None has no view to show
        return bundle | {"text/html": self.static_html()}, metadata

    def _replace_data(self, data: dict, **choice) -> None:
        """Show other data, unless they weigh too much: then all stays as it was."""
        before = {name: getattr(self, name) for name in self._state}
        self._put({"data": data, **choice})
        size = len(self.static_html().encode())
        if size > (limit := self._limit or SIZE_LIMIT):
            self._put(before)
            weight, most = (f"{weight / 1000:.0f} kB" for weight in (size, limit))
            raise ValueError(f"the widget weighs {weight}, wanted at most {most}: {self._advice}")

    def _put(self, state: dict) -> None:
        self._made = state["data"]
        for name, value in state.items():
            self.set_trait(name, value)

    @traitlets.validate("data")
    def _check_data(self, proposal):
        if proposal["value"] != self._made:  # by hand, or by a message from the page
            raise traitlets.TraitError("data: wanted those that the widget was made with; see update, or make another")
        return proposal["value"]

    def _still(self) -> str:
        """HTML of what is seen at first."""
        words = html.escape(self._words())
        return f'<img src="{data_url(self._picture())}" alt="{words}"><p aria-hidden="true">{words}</p>'

    def _picture(self) -> Image.Image:
        raise NotImplementedError

    def _words(self) -> str:
        raise NotImplementedError


@explained
def module(*names: str) -> str:
    """One text, such as an ES module, from files that stand beside this one.

    Raises:
        FileNotFoundError, ValueError: one of them is missing or damaged; names it.

    >>> "export default" in module("page.js", "patch_similarity.js")
    True
    """
    return "\n".join(read_text(f"widgets/{name}") for name in names)


@explained
def data_url(picture: Image.Image) -> str:
    """An image as a data URL: PNG or WebP, whichever is smaller.

    >>> data_url(Image.new("RGB", (400, 4)))[:23]
    'data:image/webp;base64,'
    """
    found = []
    for kind, settings in (("png", {"optimize": True}), ("webp", {"quality": 85})):
        with io.BytesIO() as file:
            picture.convert("RGB").save(file, kind, **settings)
            found.append(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}")
    return min(found, key=len)


def check_texts(name: str, texts: Iterable, *, empty: bool = False) -> None:
    r"""Raise a ValueError unless all are text that a page shows as it is: visible, and without control characters.

    Args:
        name: what errors call them. texts: names of one line. empty: they are no names; there may be none, or lines.

    >>> check_texts("images", ["__proto__", "grey\x00"])
    Traceback (most recent call last):
    ValueError: images: wanted visible text without control characters, got 'grey\x00'
    """
    for text in texts:
        seen = re.sub(r"[\t\r\n]", " ", text) if empty and isinstance(text, str) else text
        if (
            not isinstance(seen, str)
            or any(category(letter) in _HIDDEN or bidirectional(letter) in _ORDERING for letter in seen)
            or not (empty or any(category(letter) not in _UNSEEN for letter in seen))
        ):
            raise ValueError(f"{name}: wanted visible text without control characters, got {text!r}")


def isolated(text: str) -> str:
    r"""Text within a sentence: where it runs from right to left, what stands around it keeps its order.

    >>> isolated("grey"), isolated("\u05d0")
    ('grey', '\u2068א\u2069')
    """
    return f"\u2068{text}\u2069" if any(bidirectional(letter) in ("R", "AL") for letter in text) else text


@explained
def encode(array: Real[np.ndarray, "..."], dtype: Stored) -> str:
    """The numbers of an array, row by row, as base64 text.

    >>> encode(np.array([[1, 2], [3, -1]]), "i1")
    'AQID/w=='
    """
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()


@explained
def decode(text: str, dtype: Stored) -> np.ndarray:
    """The numbers that `encode` wrote, shape (n,), as float64.

    >>> decode("AQID/w==", "i1")
    array([ 1.,  2.,  3., -1.])
    """
    return np.frombuffer(base64.b64decode(text), dtype).astype(np.float64)


@explained
def as_numbers(name: str, value, ndim: Whole, wanted: str) -> np.ndarray:
    """An array or tensor as finite float64, or an error that says what was wanted.

    >>> as_numbers("slopes", torch.ones(2), 1, "(n,)")
    array([1., 1.])
    """
    try:
        value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: wanted numbers of shape {wanted}, got {type(value).__name__} ({error})") from error
    if value.ndim != ndim or not value.size or not np.issubdtype(value.dtype, np.number):
        raise ValueError(f"{name}: wanted numbers of shape {wanted}, got {value.dtype} of shape {value.shape}")
    finite(**{name: value})
    return value.astype(np.float64)
