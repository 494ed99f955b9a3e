"""What arguments must be, declared in signatures and enforced where the library is entered.

Shapes and dtypes are jaxtyping's (`Float[Tensor, "batch dim"]`), ranges are the types below. What no type can say,
such as two settings that exclude each other, is left to the functions.
"""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeVar, cast

import numpy as np
import torch
from beartype.door import is_bearable
from jaxtyping import TypeCheckError
from torch import Tensor

from hssl.checks._declarations import (
    GUARD,
    MOST,
    TOWER,
    WORDS,
    ArgumentError,
    Count,
    Finite,
    Fraction,
    ImageSize,
    Inside,
    NonNegative,
    Pixels,
    Positive,
    Whole,
    bind,
    is_finite,
    is_method,
    odd_item,
    say,
    shorten,
)
from hssl.checks._diagnosis import blame, explain

__all__ = [
    "MOST",
    "WORDS",
    "ArgumentError",
    "Count",
    "Finite",
    "Fraction",
    "ImageSize",
    "Inside",
    "NonNegative",
    "Pixels",
    "Positive",
    "Whole",
    "check_fields",
    "checked",
    "explained",
    "finite",
    "in_floats",
    "one_of",
    "unbounded",
]

#: In a function that is checked, which arrays have been found finite.
_inside: ContextVar[set[int] | None] = ContextVar("inside", default=None)
_PLAIN = {int, str, bool, types.NoneType, torch.Generator}
F = TypeVar("F", bound=Callable[..., Any])


def checked(function: F) -> F:
    """Hold a function, or the constructor of a class, to the shapes, dtypes and ranges in its signature, at every call.

    Where a reader calls it, and not another function that is checked, no array may hold NaN or infinity either, be it
    an argument or in one; a result that overflows, or an error from deep inside, names the argument that caused it.

    Raises:
        ArgumentError: (when called) an argument is not as declared. It is a TypeError and a ValueError in one.

    >>> @checked
    ... def scale(rows: Float[Tensor, "n dim"], by: Positive) -> Float[Tensor, "n dim"]:
    ...     return rows * by
    >>> scale(torch.ones(2), 3.0)
    Traceback (most recent call last):
    hssl.checks.ArgumentError: rows: wanted Float[Tensor, 'n dim'], got f32[2](torch)
    >>> scale(torch.ones(2, 3), -1)
    Traceback (most recent call last):
    hssl.checks.ArgumentError: by: wanted a finite number > 0, got -1
    >>> scale(torch.full((2, 3), 1e20), 1e30)
    Traceback (most recent call last):
    hssl.checks.ArgumentError: by: 1e+30 is too large, the result is not finite
    """
    if inspect.isclass(function):
        function.__init__ = checked(function.__init__)
        return cast(F, function)
    guarded = GUARD(function)

    def entered(*args, **kwargs):
        _check_items(function, args, kwargs)
        return _typed(function, guarded, args, kwargs)

    @functools.wraps(function)
    def call(*args, **kwargs):
        if _is_inside():
            return _typed(function, guarded, args, kwargs)
        return _entered(function, entered, args, kwargs)

    return cast(F, call)


def explained(function: F) -> F:
    """Errors from deep inside a function, or a constructor, name the argument that is not as its signature declares it.

    For what works with more than it declares, and for what the library calls in its inner loops: within another
    checked function it costs nothing. No array may hold NaN or infinity, as with `checked`.

    >>> @explained
    ... def longest(rows: list[Tensor], least: Count = 1) -> int:
    ...     return max(least, *map(len, rows))
    >>> longest([torch.ones(2), torch.ones(3)])
    3
    >>> longest(5)
    Traceback (most recent call last):
    hssl.checks.ArgumentError: rows: wanted list, got 5
    """
    if inspect.isclass(function):
        function.__init__ = explained(function.__init__)
        return cast(F, function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs) if _is_inside() else _entered(function, function, args, kwargs)

    return cast(F, call)


def _is_inside() -> bool:  # a function of its own, by which others can be sent to other processes
    return _inside.get() is not None


def _entered(function: Callable, run: Callable, args: tuple, kwargs: dict) -> Any:
    """What `run` gives, where a reader calls the function."""
    token = _inside.set(seen := set())
    new, given = function.__name__ == "__init__", args[1:] if is_method(function) else args
    try:
        result = run(*args, **kwargs)
        unseen = [value for value in (*given, *kwargs.values()) if id(value) not in seen]
        if run is not function and given is not args and not new and _PLAIN.issuperset(map(type, unseen)):
            return result  # as of `sample`: what it works with was looked at when it was made
        made = getattr(args[0], "__dict__", None) if new else result
        if not (is_finite(unseen) and is_finite(made)):
            blame(function, args, kwargs, is_finite(made))
        return result
    except (RuntimeError, ArithmeticError, LookupError, AttributeError, MemoryError, TypeError, ValueError) as error:
        explain(function, args, kwargs, error)
        raise
    finally:
        _inside.reset(token)


def unbounded(function: F) -> F:
    """Mark a function below `checked` or `explained` that may be given, and may give, what is not finite.

    >>> @checked
    ... @unbounded
    ... def inverse(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    ...     return 1 / x
    >>> inverse(torch.zeros(1))
    tensor([inf])
    """
    vars(function)["unbounded"] = True
    return function


def _typed(function: Callable, guarded: Callable, args: tuple, kwargs: dict) -> Any:
    try:
        return guarded(*args, **kwargs)
    except TypeCheckError as error:
        given = bind(function, args, kwargs)
        message = shorten(str(error), function, given) or odd_item(function, given)
        # what is left is that the function gives back something else than it declares
        message = message or f"{function.__qualname__}: {error}"
    raise ArgumentError(message)


def finite(least: int = 0, /, **values: Tensor | np.ndarray) -> None:
    """Raise a ValueError that names the first of these arrays with a NaN, an infinity, or fewer rows than `least`.

    >>> finite(embeddings=torch.tensor([1.0, torch.inf]))
    Traceback (most recent call last):
    ValueError: embeddings: there are values that are not finite
    """
    for name, value in values.items():
        if least and len(value) < least:
            raise ValueError(f"{name}: wanted at least {least} rows, got {len(value)}")
        if not is_finite(value):
            raise ValueError(f"{name}: there are values that are not finite")
        if (seen := _inside.get()) is not None:
            seen.add(id(value))


def in_floats(least: int = 0, /, **values: Tensor) -> list[Tensor]:
    """The arrays in float32 at least: half precision has too few digits for differences and sums.

    Raises, with their names, what no type can say: fewer rows than `least`, two dtypes, NaN or ±inf.

    >>> [value.dtype for value in in_floats(a=torch.zeros(2).half(), b=torch.zeros(2).half())]
    [torch.float32, torch.float32]
    """
    finite(least, **values)
    first, *_ = values
    for name, value in values.items():
        if value.dtype != values[first].dtype:
            raise ArgumentError(f"{name}: wanted {values[first].dtype}, as {first}, got {value.dtype}")
    return [value if value.dtype == torch.float64 else value.float() for value in values.values()]


def check_fields(entry: Any, needed: Mapping[str, Any], others: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Raise a ValueError unless an entry of a file is a mapping with what is needed; names what differs first.

    Args:
        needed: by name, the type of what must be there; others: of what may be.

    >>> check_fields({"seconds": 3, "cores": 0}, {"seconds": NonNegative, "cores": Count})
    Traceback (most recent call last):
    ValueError: cores: wanted a whole number ≥ 1, got 0
    """
    if not isinstance(entry, Mapping):
        raise ValueError(f"wanted {', '.join(needed)} by name, got {entry!r:.80}")
    for name, hint in {**needed, **others}.items():
        if name not in entry and name in needed:
            raise ValueError(f"{name}: missing in {entry!r:.80}")
        if name in entry and not is_bearable(entry[name], hint, conf=TOWER):
            raise ValueError(f"{name}: wanted {say(hint)}, got {entry[name]!r:.80}")


def one_of(name: str, value: Any, options) -> None:
    """Raise a ValueError that lists the options, unless the value is among them.

    >>> one_of("method", "cubic", ("linear", "kernel_ridge"))
    Traceback (most recent call last):
    ValueError: method: wanted one of linear, kernel_ridge; got 'cubic'
    """
    if value not in options:
        raise ValueError(f"{name}: wanted one of {', '.join(map(str, options))}; got {value!r}")


def _check_items(function: Callable, args: tuple, kwargs: dict) -> None:
    nested = any(isinstance(value, list | tuple | dict) for value in (*args, *kwargs.values()))
    if nested and (odd := odd_item(function, bind(function, args, kwargs))):
        raise ArgumentError(odd)
