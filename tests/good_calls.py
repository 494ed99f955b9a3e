"""A good call of every public function, method and constructor, from the examples in the docstrings.

So a new function is tried with bad input as soon as it has an example; what has none, or only of an error, is in MORE.
"""

import contextlib
import doctest
import importlib
import inspect
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import reference
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hssl.pairs import Pairs

MORE = """
>>> import numpy as np
>>> from PIL import Image
>>> from hssl import own, reading, scale
>>> from hssl.encoders import Levels
>>> from hssl.reporting import results
>>> from hssl.training import Minibatches, batches
>>> from hssl.training.kept import NotRun, described
>>> from hssl.widgets import Continuation
>>> from hssl.worlds.contours import Contours
>>> from hssl.worlds.icons import occlude
>>> from hssl.worlds.latents import ContentStyle
>>> from hssl.worlds.scenes.causal3dident import Causal3DIdent
>>> from hssl.worlds.scenes.release import write_rendered
>>> world = ContentStyle.row("p75", n_content=2, n_style=2)
>>> _ = world.invert(world.sample(4, g).first), world.style_ceiling(g, 100)
>>> _ = world.content_ceiling(), world.change_ratios()
>>> occluded, k = occlude(["eye", "bell"], g), torch.arange(200)
>>> _ = occluded.pairs(k % len(occluded.image), torch.stack([k % 13, k % 11], 1), 12)
>>> widget = Continuation(nn.Linear(6, 1), Contours())
>>> widget.mode = "arms"
>>> _ = widget.hypotheses()
>>> _ = Minibatches([torch.ones(6, 2)], 3, g).precomputed(Levels([nn.Identity()]))
>>> batches.start_at(Pairs(torch.ones(2, 1), torch.ones(2, 1)), 1)
>>> _ = NotRun({"seed": 1}), described([{"seed": 1}])
>>> room = getfixture("tmp_path")
>>> (room / "images").mkdir(exist_ok=True)
>>> for name in "ab":
...     pixels = np.random.default_rng(0).integers(0, 255, (70, 64, 3), dtype=np.uint8)
...     Image.fromarray(pixels).save(room / "images" / f"{name}.png")
>>> images = own.read(str(room / "images")) | reading.read_folder(room / "images")
>>> own.export(own.windows(own.hierarchy(), images), room / "windows.npz")
>>> small = {name: torch.full((3, 16, 16), 0.5) for name in "ab"}
>>> vectors = own.windows(own.hierarchy(1), small)
>>> _ = own.control(small, vectors), own.page(small, vectors)
>>> _ = own.main([str(room / "images"), "-o", str(room / "page.html"), "--steps", "1", "--size", "70"])
>>> toc = room / "_toc.yml"
>>> _ = toc.write_text("parts:\\n- caption: one\\n  chapters:\\n  - file: book/a\\n"), results.contents(toc)
>>> results.record("demo", "a", 0.5, tolerance=0.01)
>>> _ = results.best("demo", "a")
>>> write_rendered(room / "made", 30, size=8)
>>> data = Causal3DIdent(room / "made", redraw="hues", size=8)
>>> _ = data.image(0), data.sample(3, g)
>>> small = {"backbone": "convnet", "size": 8, "batch": 4, "steps": 1, "probed": 21, "workers": 0, "device": "cpu"}
>>> setting = scale.Setting(str(room / "made"), output=str(room / "out"), **small)
>>> _ = scale.run(setting), scale.Scenes(data, setting).pixels(0)
>>> network = scale.Network(setting, g, False)
>>> _ = network.before(torch.zeros(2, 3, 8, 8).byte()), network(torch.zeros(2, 3, 8, 8).byte())
>>> _ = scale.main(["causal3dident", str(room / "nothing_here"), "--output", str(room / "out")])
"""
#: Those that only take long, to find what no argument decides.
SKIPPED = ("hssl.worlds.icons.train_names", "hssl.worlds.icons.held_out_pairs")
_BETWEEN = re.compile(r"hssl/checks/|jaxtyping|beartype|contextlib")  # code that calls what it decorates

Arguments = dict[str, Any]


def functions() -> dict[str, tuple[Callable, Callable]]:
    """By full name, every public function, method and constructor, and the plain function that it runs."""
    found = {}
    for module, things in reference.public().items():
        for key, thing in things.items():
            if not inspect.isclass(thing):
                found[f"{module}.{key}"] = thing, inspect.unwrap(thing)
            elif not issubclass(thing, BaseException) and not getattr(thing, "_is_protocol", False):
                found |= _of_class(f"{module}.{key}", thing)
    return found


def _of_class(name: str, thing: type) -> dict[str, tuple[Callable, Callable]]:
    """Its constructor and its methods; a named tuple has no constructor of its own."""
    found = {}
    if "__init__" in vars(thing):
        found[name] = thing, inspect.unwrap(thing.__init__)
    for method, member in vars(thing).items():
        plain = inspect.unwrap(member.__func__ if isinstance(member, classmethod | staticmethod) else member)
        if not method.startswith("_") and inspect.isfunction(plain):
            found[f"{name}.{method}"] = member, plain
    return found


def recorded(room: Path) -> dict[str, Arguments]:
    """By full name, the arguments of a call: the first in the function's own example, or else one on the way there."""
    known = functions()
    for name in known.keys() - set(SKIPPED):  # what another test has asked for would not be called again
        _forget(known[name][0])
    names = {plain.__code__: name for name, (_, plain) in known.items()}
    homes = {
        f"{plain.__module__}.{plain.__qualname__}".removesuffix(".__init__"): name for name, plain in _plain(known)
    }
    space = {"torch": torch, "Tensor": Tensor, "Float": Float, "nn": nn, "Pairs": Pairs}
    space |= {"g": torch.Generator().manual_seed(0), "getfixture": lambda _: room}
    direct: dict[str, Arguments] = {}
    on_the_way: dict[str, Arguments] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if name := names.get(frame.f_code):
            (direct if _is_direct(frame) else on_the_way).setdefault(name, _arguments(frame))

    _run(doctest.DocTestParser().get_doctest(MORE, space, "<example>", None, None), note, lambda: False)
    for module in reference.modules():
        for test in doctest.DocTestFinder().find(importlib.import_module(module), module, extraglobs=space):
            name = homes.get(test.name)
            if name and name not in SKIPPED:
                _run(test, note, lambda name=name: name in direct and not inspect.isclass(known[name][0]))
    return on_the_way | direct


def _forget(thing: Any) -> None:
    while thing is not None:
        getattr(thing, "cache_clear", lambda: None)()
        thing = getattr(thing, "__wrapped__", None)


def _plain(known: dict[str, tuple[Callable, Callable]]) -> list[tuple[str, Callable]]:
    return [(name, plain) for name, (_, plain) in known.items()]


def _arguments(frame: FrameType) -> Arguments:
    code: CodeType = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return {name: frame.f_locals[name] for name in code.co_varnames[:count]}


def _is_direct(frame: FrameType) -> bool:
    """Whether the example itself calls the function."""
    above = frame.f_back
    while above and _BETWEEN.search(above.f_code.co_filename):
        above = above.f_back
    return above is not None and above.f_code.co_filename == "<example>"


def _run(test: doctest.DocTest, note: Callable, done: Callable[[], bool]) -> None:
    """The lines of an example, until the call is found; those that raise are left out."""
    torch.manual_seed(0)  # the same calls each time
    for example in test.examples:
        if example.exc_msg is None and not done():
            code = compile(example.source, "<example>", "single")
            sys.settrace(note)
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    exec(code, test.globs)
            finally:
                sys.settrace(None)
