"""Bad input: what an argument may not be, and what comes of a call that is given it. Good calls are in `good_calls`."""

import contextlib
import copy
import dataclasses
import gc
import inspect
import io
import math
import multiprocessing
import os
import re
import resource
import signal
import traceback
import typing
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import traitlets
from good_calls import Arguments, functions
from torch import Tensor, nn

from hssl.pairs import Pairs

HUGE, MANY = 1e30, 10**9
SECONDS, GIGABYTES = 10, 3  # that a call may take of the processor, and of memory
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
Bad = dict[str, tuple[str, Any]]  # by what is wrong: the kind of fault, and the value


# --- bad values ---------------------------------------------------------------------------------------------


def bad_values(value: Any, hint: Any = None) -> Bad:
    """Values that an argument should not have, made of a good one, or of its type where that is None."""
    common: Bad = {"None": ("type", None), "string": ("type", "no such thing")}
    for is_one, bad in (
        (isinstance(value, Tensor), _bad_tensors),
        (isinstance(value, np.ndarray), _bad_arrays),
        (isinstance(value, torch.Generator) or (value is None and _has(hint, torch.Generator)), _bad_generators),
        (isinstance(value, bool), lambda _: {"two": ("type", 2), "tensor": ("type", torch.ones(2))}),
        (isinstance(value, int | float) or (value is None and _has(hint, int, float)), _bad_numbers),
        (isinstance(value, str), _bad_texts),
        (isinstance(value, Path), lambda of: {"number": ("type", 5), "missing": ("range", of / "no" / "such")}),
        (isinstance(value, nn.Module), lambda of: {"class": ("type", type(of)), "number": ("type", 5)}),
        (isinstance(value, pd.DataFrame), lambda of: {"empty": ("shape", of[:0]), "none": ("shape", of[[]])}),
        (isinstance(value, Mapping), _bad_mappings),
        (hasattr(value, "_fields"), lambda of: _bad_records(of, of._asdict(), of.__class__._replace)),
        (_is_dataclass(value), lambda of: _bad_records(of, _fields(of), dataclasses.replace)),
        (isinstance(value, list | tuple), _bad_sequences),
    ):
        if is_one:
            return bad(value) | common
    return {"number": ("type", 5)} | common


def _has(hint: Any, *wanted: type) -> bool:
    return hint in wanted or any(_has(of, *wanted) for of in typing.get_args(hint))


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}


def _bad_generators(_: Any) -> Bad:
    return {"numpy's": ("generator", np.random.default_rng(0)), "seed": ("generator", 0)}


def _bad_numbers(_: Any) -> Bad:
    found: Bad = {"zero": ("range", 0), "negative": ("range", -1), "many": ("range", MANY), "huge": ("range", HUGE)}
    found |= {"tiny": ("range", 1e-30), "fraction": ("dtype", 2.5), "complex": ("dtype", 1j)}
    found |= {"numpy": ("dtype", np.float32(1.5)), "tensor": ("shape", torch.ones(2))}
    return found | {name: ("finiteness", bad) for name, bad in NOT_FINITE.items()}


def _bad_texts(value: str) -> Bad:
    return {"number": ("type", 5), "empty": ("range", ""), "list": ("type", [value]), "odd": ("range", "é\0/")}


def _bad_tensors(value: Tensor) -> Bad:
    value = value.detach()
    found: Bad = {
        "rank + 1": ("shape", value[None]),
        "rank − 1": ("shape", value.reshape(-1) if value.ndim != 1 else value.sum()),
        "empty": ("shape", value[:0] if value.ndim else value.new_zeros(0)),
        "numpy": ("dtype", value.numpy()),
        "list": ("dtype", value.flatten()[:100].tolist()),
        "complex": ("dtype", value.to(torch.complex64)),
        "meta": ("device", value.to("meta")),
        "zeros": ("range", torch.zeros_like(value)),
    }
    for axis, size in enumerate(value.shape):
        if size > 1:
            found[f"shorter {axis}"] = "shape", value.narrow(axis, 0, size - 1)
    if value.dtype == torch.bool:
        found |= {"whole": ("dtype", value.long()), "float": ("dtype", value.float())}
        return found | {"ones": ("range", torch.ones_like(value))}
    found["negative"] = "range", -1 - (value.short() if value.dtype == torch.uint8 else value).abs()
    if not value.is_floating_point():
        found |= {"float": ("dtype", value.float()), "bool": ("dtype", value.bool())}
        return found | {"many": ("range", torch.full_like(value, 100))}
    found |= {"whole": ("dtype", value.long()), "double": ("dtype", value.double()), "half": ("dtype", value.half())}
    most = min(HUGE, torch.finfo(value.dtype).max)
    found |= {"huge": ("range", torch.full_like(value, most)), "one huge": ("range", _with_last(value, most))}
    found["all nan"] = "finiteness", torch.full_like(value, math.nan)
    return found | {name: ("finiteness", _with_last(value, bad)) for name, bad in NOT_FINITE.items()}


def _with_last(value: Tensor, number: float) -> Tensor:
    value = value.clone(memory_format=torch.contiguous_format)
    if value.numel():
        value[(-1,) * value.ndim] = number
    return value


def _bad_arrays(value: np.ndarray) -> Bad:
    found: Bad = {
        "rank + 1": ("shape", value[None]),
        "rank − 1": ("shape", value.reshape(-1) if value.ndim != 1 else value[0]),
        "empty": ("shape", value[:0]),
        "tensor": ("dtype", torch.from_numpy(value.copy())),
        "complex": ("dtype", value.astype(complex)),
        "text": ("dtype", value.astype(str)),
        "objects": ("dtype", value.astype(object)),
    }
    if value.dtype.kind == "f":
        found |= {"negative": ("range", -1 - np.abs(value)), "huge": ("range", np.full_like(value, HUGE))}
        first = np.arange(value.size).reshape(value.shape) == 0
        found |= {name: ("finiteness", np.where(first, bad, value)) for name, bad in NOT_FINITE.items()}
    return found


def _bad_sequences(value: list | tuple) -> Bad:
    kind = type(value)
    found: Bad = {"empty": ("shape", kind()), "number": ("type", 5), "longer": ("shape", value + value[-1:])}
    found["shorter"] = "shape", value[:-1]
    inner = _half(bad_values(value[0])) if value else {}
    return found | {f"first {name}": (fault, kind([bad, *value[1:]])) for name, (fault, bad) in inner.items()}


def _half(bad: Bad) -> Bad:
    """Every other one: what a value holds is tried with fewer kinds, as there is much of it."""
    return dict([*bad.items()][::2])


def _bad_mappings(value: Mapping) -> Bad:
    found: Bad = {"empty": ("shape", {}), "list": ("type", [*value]), "number": ("type", 5)}
    for key, of in [*value.items()][:1]:
        found["other name"] = "range", {**value, "no such name": of}
        found |= {f"{key} {name}": (fault, {**value, key: bad}) for name, (fault, bad) in _half(bad_values(of)).items()}
    return found


def _bad_records(value: Any, fields: Mapping[str, Any], replace: Callable) -> Bad:
    found: Bad = {"number": ("type", 5), "bare": ("type", tuple(fields.values()))}
    for field, of in fields.items():
        for name, (fault, bad) in _half(bad_values(of)).items():
            with contextlib.suppress(Exception):  # a record that refuses it is tried by itself
                found[f"{field} {name}"] = fault, replace(value, **{field: bad})
    return found


# --- what is tried ------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A good call with one argument changed."""

    name: str  # of the function, in full
    argument: str
    what: str
    fault: str
    bad: Any


def cases(calls: Mapping[str, Arguments]) -> Iterator[Case]:
    """All that is tried."""
    for name, (_, plain) in functions().items():
        for argument, parameter in inspect.signature(plain).parameters.items():
            if name in calls and argument not in ("self", "cls"):
                for what, (fault, bad) in _bad_arguments(
                    parameter, calls[name][argument], _hint(plain, argument)
                ).items():
                    yield Case(name, argument, what, fault, bad)


def _hint(function: Callable, argument: str) -> Any:
    with contextlib.suppress(NameError):
        return typing.get_type_hints(function, include_extras=True).get(argument)


def _bad_arguments(parameter: inspect.Parameter, value: Any, hint: Any) -> Bad:
    if parameter.kind is parameter.VAR_POSITIONAL:
        inner = bad_values(value[0], hint) if value else {}
        return {"none": ("shape", ())} | {what: (fault, (bad, *value[1:])) for what, (fault, bad) in inner.items()}
    if parameter.kind is parameter.VAR_KEYWORD:
        name = next(iter(value), "")
        inner = bad_values(value[name], hint) if value else {}
        return {f"{name} {what}": (fault, {**value, name: bad}) for what, (fault, bad) in inner.items()}
    found = bad_values(value, hint)
    if parameter.default is None:
        del found["None"]
    return found


# --- what comes of it ---------------------------------------------------------------------------------------

CLEAR, RIGHT, SILENT, OBSCURE, HANG = "clear error", "result", "silent NaN or infinity", "obscure error", "hang"


class Outcome(NamedTuple):
    """What came of a case."""

    kind: str
    detail: str = ""


def outcomes(calls: Mapping[str, Arguments], todo: list[Case]) -> list[Outcome]:
    """What comes of all cases, in processes of their own: one that takes too long, or that a case ends, is a hang."""
    found: list[Outcome] = []
    fork = multiprocessing.get_context("fork")
    while len(found) < len(todo):
        ours, theirs = fork.Pipe(duplex=False)
        worker = fork.Process(target=_work, args=(calls, todo[len(found) :], theirs), daemon=True)
        worker.start()
        theirs.close()
        try:
            while len(found) < len(todo):
                found.append(ours.recv())
        except EOFError:
            worker.join()
            found.append(Outcome(HANG, f"exit status {worker.exitcode}"))
        worker.join()
    return found


def _work(calls: Mapping[str, Arguments], todo: list[Case], pipe: Any) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + GIGABYTES * 2**30,) * 2)
    for limit in (signal.SIGPROF, signal.SIGALRM):  # which end this process, wherever it is
        signal.signal(limit, signal.SIG_DFL)
    runner = _Runner(calls)
    gc.freeze()  # what is there already need not be looked through again and again
    for case in todo:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, 30 * SECONDS)  # for what waits
        pipe.send(runner.run(case))
        plt.close("all")
    pipe.close()
    os._exit(0)


class _Runner:
    """Calls functions with good and bad arguments."""

    def __init__(self, calls: Mapping[str, Arguments]):
        self.calls, self.functions = calls, functions()
        self.usual: dict[str, bool] = {}
        self.methods: dict[str, list[str]] = {}

    def run(self, case: Case) -> Outcome:
        """A case, and what comes of the methods of what it makes."""
        changed = {**self.calls[case.name], case.argument: case.bad}
        made, outcome = self._judge(case.name, changed, self._words(case.name, case.bad))
        if outcome.kind != RIGHT or not inspect.isclass(self.functions[case.name][0]):
            return outcome
        for method in self._methods(case.name):
            words = self._words(case.name, case.bad) | self._words(method) | set(dir(made))
            _, after = self._judge(method, {**self.calls[method], "self": made}, words)
            if after.kind not in (RIGHT, CLEAR):
                return after._replace(detail=f"then {method.rpartition('.')[2]}: {after.detail}")
        return outcome

    def _methods(self, name: str) -> list[str]:
        """The methods whose good calls work on what the constructor's good call makes, too."""
        if name in self.methods:
            return self.methods[name]
        found = self.methods[name] = []
        for method in self.calls:
            if method.rpartition(".")[0] == name and "self" in self.calls[method]:
                with contextlib.suppress(Exception), _quiet():
                    self.call(method, {**self.calls[method], "self": self.call(name, self.calls[name])})
                    found.append(method)
        return found

    def call(self, name: str, arguments: Arguments) -> Any:
        """The function's result; what is lazy is begun."""
        function, plain = self.functions[name]
        ordered, named = [], {}
        parameters = inspect.signature(plain).parameters
        varied = any(one.kind is one.VAR_POSITIONAL for one in parameters.values())
        for argument, one in parameters.items():
            if argument == "cls" or (argument == "self" and inspect.isclass(function)):
                continue
            value = arguments[argument] if argument == "self" else _fresh(arguments[argument])
            if one.kind is one.VAR_POSITIONAL:
                ordered += value
            elif one.kind is one.VAR_KEYWORD:
                named |= value
            elif one.kind is one.POSITIONAL_ONLY or argument == "self" or (varied and one.kind is not one.KEYWORD_ONLY):
                ordered.append(value)
            else:
                named[argument] = value
        if isinstance(function, classmethod):
            function = function.__get__(None, arguments["cls"])
        found = function(*ordered, **named)
        if isinstance(found, contextlib.AbstractContextManager) and hasattr(found, "gen"):
            with found as inside:
                return inside
        return [one for one, _ in zip(found, range(10), strict=False)] if inspect.isgenerator(found) else found

    def is_usual(self, name: str) -> bool:
        """Whether the good call gives finite numbers."""
        if name not in self.usual:
            self.usual[name] = is_finite(self.call(name, self.calls[name]))
        return self.usual[name]

    def _words(self, name: str, bad: Any = None) -> set[str]:
        """What an error may begin with: names of arguments, and of what they hold."""
        words = set(inspect.signature(self.functions[name][1]).parameters)
        for value in (*self.calls[name].values(), bad):
            words |= {key for key in value if isinstance(key, str)} if isinstance(value, Mapping) else set()
            words |= set(getattr(value, "_fields", ())) | set(getattr(value, "__dataclass_fields__", ()))
            words |= set(value.truth) if isinstance(value, Pairs) else set()
            texts = [value, *(vars(value).values() if _is_dataclass(value) else ())]
            words |= {str(text).rstrip("/") for text in texts if isinstance(text, str | Path)}
        return words

    def _judge(self, name: str, arguments: Arguments, words: set[str]) -> tuple[Any, Outcome]:
        try:
            usual = self.is_usual(name)
        except Exception as error:
            return None, Outcome(HANG, f"the good call fails: {error!r}")
        try:
            with warnings.catch_warnings(), _quiet():
                warnings.simplefilter("ignore")
                result = self.call(name, arguments)
        except SystemExit:  # argparse has said what is wrong
            return None, Outcome(CLEAR)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{type(error).__name__}: {str(error)[:160]!r} ({Path(where.filename).name}:{where.lineno})"
            return None, Outcome(CLEAR if names_it(error, words) else OBSCURE, detail)
        return result, Outcome(SILENT, " ".join(repr(result).split())[:100]) if usual and not is_finite(
            result
        ) else Outcome(RIGHT)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _fresh(value: Any) -> Any:
    """A copy that a call may change; generators begin anew."""
    if isinstance(value, torch.Generator):
        return torch.Generator().manual_seed(0)
    if isinstance(value, Tensor):
        return value if value.requires_grad else value.clone()
    if isinstance(value, nn.Module | np.ndarray | pd.DataFrame):
        with contextlib.suppress(Exception):
            return copy.deepcopy(value)
    if type(value) is dict:
        return {key: _fresh(of) for key, of in value.items()}
    return type(value)(map(_fresh, value)) if type(value) in (list, tuple) else value


def names_it(error: BaseException, words: Collection[str]) -> bool:
    """Whether a message begins with an argument's name, as `name: wanted …` or `one, other: …`, or its content."""
    said = [*getattr(error, "__notes__", ())]
    if isinstance(error, ValueError | TypeError | LookupError | OSError | traitlets.TraitError):
        said.append(str(getattr(error, "filename", None) or error))
    return any(_names_it(text.partition(": ")[0], words) for text in said)


def _names_it(head: str, words: Collection[str]) -> bool:
    if any(len(word) > 3 and (head.startswith(word) or word.startswith(head + "/")) for word in words):  # a file
        return True
    inner = [re.match(r"[\w ]*", part)[0] for part in re.split(r", ", head)]  # pyright: ignore
    last = {part for one in re.findall(r"[\w.]+", head) for part in one.split(".")}
    return (
        head in words
        or (bool(set(inner) & set(words)) and len(head) < 60)
        or (bool(last & set(words)) and " " not in head)
    )


def is_finite(value: Any, depth: int = 0) -> bool:
    """Whether no number in a result is NaN or infinite, as far as one can see."""
    if isinstance(value, Tensor):
        return bool(value.is_meta or not value.is_floating_point() or value.isfinite().all())
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, float | np.floating | complex):
        return bool(np.isfinite(value))
    if depth > 4:
        return True
    if isinstance(value, nn.Module):
        inner = value.state_dict().values()
    elif isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value[:50]
    elif isinstance(value, pd.DataFrame):
        inner = (value[column].to_numpy() for column in value)
    else:
        inner = (
            vars(value).values() if type(value).__module__.startswith("hssl.") and hasattr(value, "__dict__") else ()
        )
    return all(is_finite(of, depth + 1) for of in inner)
