"""Which argument an error from deep inside means, or a result that is not finite."""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from hssl.checks._declarations import ArgumentError, all_parts, bind, describe, not_finite, odd_item, shorten, stub_of

LARGE = 1e9  # numbers beyond may overflow
_NAMED = re.compile(r"(\w+)[^ ]*?(, \w+[^ ]*)*: ")  # how an error begins that names an argument


def blame(function: Callable, args: tuple, kwargs: dict, fine: bool) -> None:
    """Raise which argument is not finite, or makes a result not finite unless that is fine."""
    given, bounded = bind(function, args, kwargs), not getattr(function, "unbounded", False)
    odd = next(not_finite(function, given), None)
    if odd and (bounded or not fine):
        raise ArgumentError(odd)
    if fine:
        return
    explain(function, args, kwargs)
    if large := _too_large(given):
        raise ArgumentError(f"{large}, the result is not finite")
    names = [name for name, value in given.items() if name != "self" and value is not None]
    if names and bounded:
        raise ArgumentError(f"{', '.join(names)}: what they give is not finite")


def explain(function: Callable, args: tuple, kwargs: dict, error: Exception | None = None) -> None:
    """Raise what is wrong with the arguments that made an error, or a result that is not finite; else note it."""
    names = {*inspect.signature(function).parameters, *kwargs}
    said = _names(error)
    if isinstance(error, FloatingPointError) or (said and said in names):
        return
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:  # what Python says of it itself is clear
        return
    given = dict(bound.arguments)
    fault = odd_item(function, given)
    bound.apply_defaults()
    try:
        stub_of(function)(*bound.args, **bound.kwargs)
    except TypeCheckError as wrong:
        fault = shorten(str(wrong), function, given) or fault
    named = said and any(part.endswith(said) for part in all_parts(given))
    if not fault and error and not named and not getattr(function, "unbounded", False):
        fault = next(not_finite(function, given), None)
    if not fault and not said:  # what names something else is clear, too
        fault = _odd_number(given) or (_fault(error, given) if error else None)
    if fault:
        wrong = ArgumentError(fault)
        for note in getattr(error, "__notes__", ()):
            wrong.add_note(note)
        raise wrong from error
    if error and not said and (suspect := _suspect(error, given)):
        error.add_note(suspect)


def _names(error: Exception | None) -> str | None:
    """What an error names by itself, as `name: wanted …`."""
    named = isinstance(error, ValueError | TypeError | LookupError) and _NAMED.match(str(error))
    return named[1] if named else None


def _odd_number(given: Mapping[str, Any]) -> str | None:
    odd = {name: of for name, of in all_parts(given).items() if isinstance(of, float) and not math.isfinite(of)}
    return next((f"{name}: wanted a finite number, got {value}" for name, value in odd.items()), None)


def _too_large(given: Mapping[str, Any]) -> str | None:
    """Which argument has the largest numbers, if these are what may overflow."""
    most = {}
    for name, value in all_parts(given).items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel() and not value.is_meta:
            most[name] = value.detach().abs().max().item()
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
            most[name] = float(np.abs(value).max())
        elif isinstance(value, int | float) and value:
            most[name] = max(abs(value), 1 / abs(value))
    name = max(most, key=most.__getitem__, default="")
    if not name or not most[name] > LARGE:
        return None
    value = all_parts(given)[name]
    shown = f"{value:.4g} is too {'small' if abs(value) < 1 else 'large'}" if isinstance(value, int | float) else None
    return f"{name}: {shown or f'numbers up to {most[name]:.4g} are too large'}"


def _fault(error: Exception, given: Mapping[str, Any]) -> str | None:
    """What is wrong with the arguments, beyond their types, where an error from deep inside does not name one."""
    parts, words = all_parts(given), str(error)
    if isinstance(error, MemoryError | OverflowError) or "memory" in words or "verflow" in words:
        counts = {name: value for name, value in parts.items() if isinstance(value, int) and value > 1}
        name = max(counts, key=counts.__getitem__, default="")
        return f"{name}: {counts[name]} is too large, it needs more memory than there is" if name else _too_large(given)
    if isinstance(error, LookupError) and (lacking := _lacking(words, given)):
        return lacking
    tensors = {name: value for name, value in parts.items() if isinstance(value, Tensor)}
    return _without_values(tensors) or _unlike(tensors, words) or _too_large(given)


def _suspect(error: Exception, given: Mapping[str, Any]) -> str | None:
    """The only array that an error of torch can mean, as a note: the error may be of the reader's network."""
    arrays = {name: value for name, value in all_parts(given).items() if isinstance(value, Tensor | np.ndarray)}
    if len(arrays) != 1 or not isinstance(error, RuntimeError | LookupError | ValueError | TypeError):
        return None
    ((name, value),) = arrays.items()
    return f"{name}: got {describe(value)}"


def _lacking(words: str, given: Mapping[str, Any]) -> str | None:
    """Which name is looked for in vain, be it an argument itself or one that a mapping should hold."""
    for name, value in given.items():
        if isinstance(value, str) and repr(value) in words:
            return f"{name}: there is no {value!r}"
    for name, value in given.items():
        if isinstance(value, dict) and re.fullmatch(r"'\w+'|\(.*\)", words) and words not in map(repr, value):
            return f"{name}: lacks {words}"
    return None


def _without_values(tensors: Mapping[str, Tensor]) -> str | None:
    for name, value in tensors.items():
        if value.is_complex():
            return f"{name}: wanted real numbers, got {value.dtype}"
        if value.is_meta or value.layout != torch.strided:
            return f"{name}: wanted a dense tensor with values, got {value.layout} on {value.device}"
        if not value.numel():
            return f"{name}: wanted at least one on every axis, got shape {tuple(value.shape)}"
    return None


def _unlike(tensors: Mapping[str, Tensor], words: str) -> str | None:
    """Which tensor has not the device or the type of the first, or not the usual type where the error is about it."""
    floats = {name: value for name, value in tensors.items() if value.is_floating_point()}
    for kind, of in (("device", tensors), ("dtype", floats)):
        found = {name: getattr(value, kind) for name, value in of.items()}
        first = next(iter(found), "")
        for name, value in found.items():
            if value != found[first] and re.search(kind.removeprefix("d"), words):
                return f"{name}: wanted {found[first]}, as {first}, got {value}"
    if "more than 1 value per channel" in words:
        first = next(iter(tensors), "")
        return f"{first}: wanted at least 2 rows, as batch normalisation needs them in training" if first else None
    for name, value in floats.items():
        if value.dtype != torch.float32 and re.search(r"type|Half|Double", words):
            return f"{name}: wanted torch.float32, got {value.dtype}"
    return None
