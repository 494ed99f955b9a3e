"""What arguments must be, declared in signatures and enforced where the library is entered.

Shapes and dtypes are jaxtyping's (`Float[Tensor, "batch dim"]`), ranges are the types below. What no type can say,
such as two settings that exclude each other, is left to the functions.
"""

import functools
import inspect
import math
import re
import types
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import torch
from beartype import BeartypeConf, beartype
from beartype.door import is_bearable
from beartype.vale import Is
from jaxtyping import TypeCheckError, jaxtyped
from torch import Tensor

Count = Annotated[int, Is[lambda value: value >= 1]]
Whole = Annotated[int, Is[lambda value: value >= 0]]
Positive = Annotated[float, Is[lambda value: 0 < value < math.inf]]
NonNegative = Annotated[float, Is[lambda value: 0 <= value < math.inf]]
Finite = Annotated[float, Is[lambda value: math.isfinite(value)]]
Fraction = Annotated[float, Is[lambda value: 0 <= value <= 1]]
Inside = Annotated[float, Is[lambda value: 0 < value < 1]]

#: What each of them is called in an error.
WORDS = {
    Count: "a whole number ≥ 1",
    Whole: "a whole number ≥ 0",
    Positive: "a finite number > 0",
    NonNegative: "a finite number ≥ 0",
    Finite: "a finite number",
    Fraction: "a number from 0 to 1",
    Inside: "a number between 0 and 1, neither of them",
}
#: Axes of declared images, and where to get such images from.
_IMAGES = re.compile(r"(h w|height width|size size|\{self\.size\} \{self\.size\})'\]")
_READ = "; hssl.reading.read_image makes float32 in [0, 1] of a file, a PIL image, an array or whole numbers"
_TOWER = BeartypeConf(is_pep484_tower=True)  # an int is welcome where a float is declared
F = TypeVar("F", bound=Callable[..., Any])


class ArgumentError(TypeError, ValueError):
    """An argument of another shape, type or range than declared; names it, what was wanted and what came.

    >>> issubclass(ArgumentError, TypeError), issubclass(ArgumentError, ValueError)
    (True, True)
    """


def checked(function: F) -> F:
    """Hold a function to the shapes, dtypes and ranges in its signature, at every call.

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
    """
    guarded = jaxtyped(typechecker=beartype(conf=_TOWER))(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return guarded(*args, **kwargs)
        except TypeCheckError as error:
            message = _shorten(str(error), function, inspect.signature(function).bind(*args, **kwargs).arguments)
        raise ArgumentError(message)

    return cast(F, call)


def finite(least: int = 0, /, **values: Tensor | np.ndarray) -> None:
    """Raise a ValueError that names the first of these arrays with a NaN, an infinity, or fewer rows than `least`.

    >>> finite(embeddings=torch.tensor([1.0, torch.inf]))
    Traceback (most recent call last):
    ValueError: embeddings: there are values that are not finite
    """
    for name, value in values.items():
        if least and len(value) < least:
            raise ValueError(f"{name}: wanted at least {least} rows, got {len(value)}")
        if not (value.isfinite() if isinstance(value, Tensor) else np.isfinite(value)).all():
            raise ValueError(f"{name}: there are values that are not finite")


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
        if name in entry and not is_bearable(entry[name], hint, conf=_TOWER):
            raise ValueError(f"{name}: wanted {_say(hint)}, got {entry[name]!r:.80}")


def one_of(name: str, value: Any, options) -> None:
    """Raise a ValueError that lists the options, unless the value is among them.

    >>> one_of("method", "cubic", ("linear", "kernel_ridge"))
    Traceback (most recent call last):
    ValueError: method: wanted one of linear, kernel_ridge; got 'cubic'
    """
    if value not in options:
        raise ValueError(f"{name}: wanted one of {', '.join(map(str, options))}; got {value!r}")


def _shorten(message: str, function: Callable, given: dict[str, Any]) -> str:
    """`name: wanted …, got …` from jaxtyping's report, with the sizes that earlier arguments have set."""
    found = re.search(r"parameter '(\w+)'", message)
    came = re.search(r"Actual value: (.*?)\n(?:Expected|The)", message, re.DOTALL)
    if not found or not came:  # what the function gives back is not what it declares
        return f"{function.__qualname__}: {message}"
    words = _say(get_type_hints(function, include_extras=True)[found[1]])
    sizes = re.findall(r"^(\w+)=(\d+)$", message, re.MULTILINE)
    bound = f" where {', '.join(f'{axis} = {size}' for axis, size in sizes)}" if sizes and "'" in words else ""
    value = given.get(found[1])
    unread = _IMAGES.search(words) and not (isinstance(value, Tensor) and value.is_floating_point())
    return f"{found[1]}: wanted {words.format(**given)}{bound}, got {came[1]}{_READ if unread else ''}"


def _say(hint: Any) -> str:
    """A type, in words."""
    known = next((words for of, words in WORDS.items() if of == hint), None)
    if known is None and (isinstance(hint, types.UnionType) or get_origin(hint) is Union):
        return " or ".join(map(_say, get_args(hint)))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return known or ("None" if hint is types.NoneType else getattr(hint, "__name__", str(hint)))
