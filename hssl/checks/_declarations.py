"""What a signature declares, in words, and what of the arguments of a call is not so."""

import functools
import inspect
import itertools
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from beartype import BeartypeConf, beartype
from beartype.door import is_bearable
from beartype.vale import Is
from jaxtyping import TypeCheckError, jaxtyped
from torch import Tensor, nn

MOST = 10**8  #: the largest `Count`: what is more fills any machine
MANY = 1000  # items of a list that are looked at

Count = Annotated[int, Is[lambda value: 1 <= value <= MOST]]
Whole = Annotated[int, Is[lambda value: 0 <= value < 2**63]]
Pixels = Annotated[int, Is[lambda value: 1 <= value <= 16_384]]
ImageSize = Annotated[int, Is[lambda value: 8 <= value <= 1024]]
Positive = Annotated[float, Is[lambda value: 0 < value < math.inf]]
NonNegative = Annotated[float, Is[lambda value: 0 <= value < math.inf]]
Finite = Annotated[float, Is[lambda value: math.isfinite(value)]]
Fraction = Annotated[float, Is[lambda value: 0 <= value <= 1]]
Inside = Annotated[float, Is[lambda value: 0 < value < 1]]

#: What each of them is called in an error.
WORDS: dict[Any, str] = {
    Tensor: "a tensor",
    Count: "a whole number ≥ 1",
    Whole: "a whole number ≥ 0",
    Pixels: "1 to 16,384 pixels",
    ImageSize: "8 to 1024 pixels",
    Positive: "a finite number > 0",
    NonNegative: "a finite number ≥ 0",
    Finite: "a finite number",
    Fraction: "a number from 0 to 1",
    Inside: "a number between 0 and 1, neither of them",
}
#: Axes of declared images, and where to get such images from.
_IMAGES = re.compile(r"(h w|height width|size size|\{self\.size\} \{self\.size\})'\]")
_READ = "; hssl.reading.read_image makes float32 in [0, 1] of a file, a PIL image, an array or whole numbers"
TOWER = BeartypeConf(is_pep484_tower=True)  # an int is welcome where a float is declared
GUARD = jaxtyped(typechecker=beartype(conf=TOWER))


class ArgumentError(TypeError, ValueError):
    """An argument of another shape, type or range than declared; names it, what was wanted and what came.

    >>> issubclass(ArgumentError, TypeError), issubclass(ArgumentError, ValueError)
    (True, True)
    """

    __module__ = "hssl.checks"  # what a traceback calls it


def say(hint: Any) -> str:
    """A type, in words."""
    known = next((words for of, words in WORDS.items() if of == hint), None)
    if known is None and (isinstance(hint, types.UnionType) or get_origin(hint) is Union):
        return " or ".join(map(say, get_args(hint)))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return known or ("None" if hint is types.NoneType else getattr(hint, "__name__", str(hint)))


def describe(value: Any) -> str:
    return (
        f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor | np.ndarray) else f"{value!r:.80}"
    )


def shorten(message: str, function: Callable, given: dict[str, Any]) -> str | None:
    """`name: wanted …, got …` from jaxtyping's report, with the sizes that earlier arguments have set."""
    found = re.search(r"parameter '(\w+)'", message)
    came = re.search(r"Actual value: (.*?)\n(?:Expected|The)", message, re.DOTALL)
    if not found or not came:
        return None
    words = say(hints_of(function)[found[1]])
    sizes = re.findall(r"^(\w+)=(\d+)$", message, re.MULTILINE)
    bound = f" where {', '.join(f'{axis} = {size}' for axis, size in sizes)}" if sizes and "'" in words else ""
    value = given.get(found[1])
    beyond = f", beyond {MOST:,}" if isinstance(value, int) and value > MOST else ""
    unread = _IMAGES.search(words) and not (isinstance(value, Tensor) and value.is_floating_point())
    return f"{found[1]}: wanted {words.format(**given)}{bound}, got {came[1]}{beyond}{_READ if unread else ''}"


@functools.cache
def hints_of(function: Callable) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


@functools.cache
def stub_of(function: Callable) -> Callable:
    """What holds arguments to the declarations of a function, and does nothing else."""
    signature = inspect.signature(function)
    bare = [one.replace(annotation=one.empty, default=one.empty) for one in signature.parameters.values()]
    space: dict[str, Any] = {}
    exec(f"def stub{signature.replace(parameters=bare, return_annotation=signature.empty)}: pass", space)
    space["stub"].__annotations__ = {name: hint for name, hint in hints_of(function).items() if name != "return"}
    return GUARD(space["stub"])


def bind(function: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    try:
        return inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:  # what Python says of it itself is clear
        return {}


@functools.cache
def is_method(function: Callable) -> bool:
    return next(iter(inspect.signature(function).parameters), "") == "self"


def declared(function: Callable, given: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Names, values and declarations of arguments, those of *args and **kwargs each by itself."""
    hints, parameters = hints_of(function), inspect.signature(function).parameters
    for name, value in given.items():
        kind, hint = parameters[name].kind, hints.get(name, Any)
        if kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((key, of, hint) for key, of in value.items())
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((f"{name}[{row}]", of, hint) for row, of in enumerate(value))
        else:
            yield name, value, hint


def odd_item(function: Callable, given: Mapping[str, Any]) -> str | None:
    """What is wrong in a list, a tuple or a mapping: beartype looks at one of several items."""
    return next(filter(None, (_odd(name, value, hint) for name, value, hint in declared(function, given))), None)


def _odd(name: str, value: Any, hint: Any) -> str | None:
    if hasattr(hint, "_fields") and isinstance(value, hint):
        try:
            _record(hint)(hint, *value)
        except TypeCheckError as error:
            fields = dict(zip(hint._fields, value, strict=True))
            odd = shorten(str(error), hint.__new__, fields) or odd_item(hint.__new__, fields)
            return f"{name}.{odd}" if odd and "[" in name else odd
    for one in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        for key, of, wanted in _items(value, one):
            if (get_origin(wanted) or hasattr(wanted, "_fields")) and (odd := _odd(f"{name}[{key!r}]", of, wanted)):
                return odd
            if not is_bearable(of, wanted, conf=TOWER):
                return f"{name}: wanted {say(one)} of {say(wanted)}, got {describe(of)} at {key!r}"
    return None


def _items(value: Any, hint: Any) -> list[tuple[Any, Any, Any]]:
    """Keys, items and what these should be, of a list, a tuple or a mapping that is declared as such."""
    *_, wanted = [of for of in get_args(hint) if of is not ...] or [Any]
    if isinstance(value, dict) and get_origin(hint) in (dict, Mapping):
        found = value.items()
    elif isinstance(value, list | tuple) and len(get_args(hint)) == 1 + (... in get_args(hint)):
        found = enumerate(value)
    else:
        return []
    return [(key, of, wanted) for key, of in itertools.islice(found, MANY)]


@functools.cache
def _record(kind: type) -> Callable:
    """What holds the fields of a named tuple to their declarations."""
    return GUARD(kind.__new__)


def is_finite(value: Any) -> bool:
    """Whether the arrays in a value are finite; by their sums, which is ten to a hundred times as fast as by each."""
    if isinstance(value, Tensor):
        if value.is_meta:
            return False
        if not value.is_floating_point() or type(value) not in (Tensor, nn.Parameter):
            return True
        return math.isfinite(value.detach().sum().item()) or bool(value.isfinite().all())
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fc":
            return True
        with np.errstate(all="ignore"):
            return bool(np.isfinite(value.sum()) or np.isfinite(value).all())
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, float):
        return math.isfinite(value)
    return not _is_record(value) or all(map(is_finite, vars(value).values()))


def _is_record(value: Any) -> bool:
    return hasattr(type(value), "__dataclass_fields__")  # of its type, as a network looks long for what it lacks


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The arrays and numbers in a value, with their names."""
    if fields := getattr(value, "_fields", None):
        inner = {f"{name}.{field}": of for field, of in zip(fields, value, strict=True)}
    elif _is_record(value):
        inner = {f"{name}.{field}": of for field, of in vars(value).items()}
    elif isinstance(value, Mapping):
        inner = {f"{name}[{key!r}]": of for key, of in value.items()}
    elif isinstance(value, list | tuple):
        inner = {f"{name}[{row}]": of for row, of in enumerate(value)}
    else:
        yield name, value
        return
    for key, of in inner.items():
        yield from _parts(key, of)


def all_parts(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: of for key, value in given.items() if key != "self" for name, of in _parts(key, value)}


def not_finite(function: Callable, given: Mapping[str, Any]) -> Iterator[str]:
    """What is said of arrays that are not finite, or have no values; what may be anything is left to the function."""
    for name, value, hint in declared(function, given):
        for part, of in _parts(name, value) if hint not in (Any, dict) and name != "self" else ():
            if isinstance(of, Tensor) and of.is_meta:
                yield f"{part}: wanted values, got a tensor on the device meta"
            elif not isinstance(of, float) and not is_finite(of):
                yield f"{part}: there are values that are not finite"
