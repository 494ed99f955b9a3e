"""What arguments must be, declared in signatures and enforced where the library is entered.

Shapes and dtypes are jaxtyping's (`Float[Tensor, "batch dim"]`), ranges are the types below. What no type can say,
such as two settings that exclude each other, is left to the functions.
"""

import functools
import inspect
import itertools
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import torch
from beartype import BeartypeConf, beartype
from beartype.door import is_bearable
from beartype.vale import Is
from jaxtyping import TypeCheckError, jaxtyped
from torch import Tensor, nn

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
#: In a function that is checked, which arrays have been found finite.
_inside: ContextVar[set[int] | None] = ContextVar("inside", default=None)
_TOWER = BeartypeConf(is_pep484_tower=True)  # an int is welcome where a float is declared
_GUARD = jaxtyped(typechecker=beartype(conf=_TOWER))
_NAMED = re.compile(r"(\w+)[^ ]*?(, \w+[^ ]*)*: ")  # how an error begins that names an argument
MOST = 10**8  #: the largest `Count`: what is more fills any machine
LARGE = 1e9  # numbers beyond may overflow
MANY = 1000  # items of a list that are looked at
_PLAIN = {int, str, bool, types.NoneType, torch.Generator}
F = TypeVar("F", bound=Callable[..., Any])


class ArgumentError(TypeError, ValueError):
    """An argument of another shape, type or range than declared; names it, what was wanted and what came.

    >>> issubclass(ArgumentError, TypeError), issubclass(ArgumentError, ValueError)
    (True, True)
    """


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
    guarded = _GUARD(function)

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
    new, given = function.__name__ == "__init__", args[1:] if _is_method(function) else args
    try:
        result = run(*args, **kwargs)
        unseen = [value for value in (*given, *kwargs.values()) if id(value) not in seen]
        if run is not function and given is not args and not new and _PLAIN.issuperset(map(type, unseen)):
            return result  # as of `sample`: what it works with was looked at when it was made
        made = getattr(args[0], "__dict__", None) if new else result
        if not (_is_finite(unseen) and _is_finite(made)):
            _blame(function, args, kwargs, _is_finite(made))
        return result
    except (RuntimeError, ArithmeticError, LookupError, AttributeError, MemoryError, TypeError, ValueError) as error:
        _hold(function, args, kwargs, error)
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


def _blame(function: Callable, args: tuple, kwargs: dict, fine: bool) -> None:
    """Raise which argument is not finite, or makes a result not finite unless that is fine."""
    given, bounded = _given(function, args, kwargs), not getattr(function, "unbounded", False)
    odd = next(_not_finite(function, given), None)
    if odd and (bounded or not fine):
        raise ArgumentError(odd)
    if fine:
        return
    _hold(function, args, kwargs)
    if large := _too_large(given):
        raise ArgumentError(f"{large}, the result is not finite")
    names = [name for name, value in given.items() if name != "self" and value is not None]
    if names and bounded:
        raise ArgumentError(f"{', '.join(names)}: what they give is not finite")


def _typed(function: Callable, guarded: Callable, args: tuple, kwargs: dict) -> Any:
    try:
        return guarded(*args, **kwargs)
    except TypeCheckError as error:
        given = _given(function, args, kwargs)
        message = _shorten(str(error), function, given) or _odd_item(function, given)
        # what is left is that the function gives back something else than it declares
        message = message or f"{function.__qualname__}: {error}"
    raise ArgumentError(message)


def _given(function: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    try:
        return inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:  # what Python says of it itself is clear
        return {}


def finite(least: int = 0, /, **values: Tensor | np.ndarray) -> None:
    """Raise a ValueError that names the first of these arrays with a NaN, an infinity, or fewer rows than `least`.

    >>> finite(embeddings=torch.tensor([1.0, torch.inf]))
    Traceback (most recent call last):
    ValueError: embeddings: there are values that are not finite
    """
    for name, value in values.items():
        if least and len(value) < least:
            raise ValueError(f"{name}: wanted at least {least} rows, got {len(value)}")
        if not _is_finite(value):
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


def _shorten(message: str, function: Callable, given: dict[str, Any]) -> str | None:
    """`name: wanted …, got …` from jaxtyping's report, with the sizes that earlier arguments have set."""
    found = re.search(r"parameter '(\w+)'", message)
    came = re.search(r"Actual value: (.*?)\n(?:Expected|The)", message, re.DOTALL)
    if not found or not came:
        return None
    words = _say(_hints(function)[found[1]])
    sizes = re.findall(r"^(\w+)=(\d+)$", message, re.MULTILINE)
    bound = f" where {', '.join(f'{axis} = {size}' for axis, size in sizes)}" if sizes and "'" in words else ""
    value = given.get(found[1])
    beyond = f", beyond {MOST:,}" if isinstance(value, int) and value > MOST else ""
    unread = _IMAGES.search(words) and not (isinstance(value, Tensor) and value.is_floating_point())
    return f"{found[1]}: wanted {words.format(**given)}{bound}, got {came[1]}{beyond}{_READ if unread else ''}"


def _say(hint: Any) -> str:
    """A type, in words."""
    known = next((words for of, words in WORDS.items() if of == hint), None)
    if known is None and (isinstance(hint, types.UnionType) or get_origin(hint) is Union):
        return " or ".join(map(_say, get_args(hint)))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return known or ("None" if hint is types.NoneType else getattr(hint, "__name__", str(hint)))


def _is_finite(value: Any) -> bool:
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
        return all(map(_is_finite, value))
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, float):
        return math.isfinite(value)
    return not _is_record(value) or all(map(_is_finite, vars(value).values()))


@functools.cache
def _is_method(function: Callable) -> bool:
    return next(iter(inspect.signature(function).parameters), "") == "self"


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


def _all_parts(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: of for key, value in given.items() if key != "self" for name, of in _parts(key, value)}


def _not_finite(function: Callable, given: Mapping[str, Any]) -> Iterator[str]:
    """What is said of arrays that are not finite, or have no values; what may be anything is left to the function."""
    for name, value, hint in _declared(function, given):
        for part, of in _parts(name, value) if hint not in (Any, dict) and name != "self" else ():
            if isinstance(of, Tensor) and of.is_meta:
                yield f"{part}: wanted values, got a tensor on the device meta"
            elif not isinstance(of, float) and not _is_finite(of):
                yield f"{part}: there are values that are not finite"


@functools.cache
def _record(kind: type) -> Callable:
    """What holds the fields of a named tuple to their declarations."""
    return _GUARD(kind.__new__)


def _check_items(function: Callable, args: tuple, kwargs: dict) -> None:
    nested = any(isinstance(value, list | tuple | dict) for value in (*args, *kwargs.values()))
    if nested and (odd := _odd_item(function, _given(function, args, kwargs))):
        raise ArgumentError(odd)


def _hold(function: Callable, args: tuple, kwargs: dict, error: Exception | None = None) -> None:
    """Raise what is wrong with the arguments, if that made the error, or a result that is not finite."""
    names = {*inspect.signature(function).parameters, *kwargs}
    said = _names(error)
    if isinstance(error, FloatingPointError) or (said and said in names):
        return
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:  # what Python says of it itself is clear
        return
    given = dict(bound.arguments)
    fault = _odd_item(function, given)
    bound.apply_defaults()
    try:
        _stub(function)(*bound.args, **bound.kwargs)
    except TypeCheckError as wrong:
        fault = _shorten(str(wrong), function, given) or fault
    named = said and any(part.endswith(said) for part in _all_parts(given))
    if not fault and error and not named and not getattr(function, "unbounded", False):
        fault = next(_not_finite(function, given), None)
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
    odd = {name: of for name, of in _all_parts(given).items() if isinstance(of, float) and not math.isfinite(of)}
    return next((f"{name}: wanted a finite number, got {value}" for name, value in odd.items()), None)


def _odd_item(function: Callable, given: Mapping[str, Any]) -> str | None:
    """What is wrong in a list, a tuple or a mapping: beartype looks at one of several items."""
    return next(filter(None, (_odd(name, value, hint) for name, value, hint in _declared(function, given))), None)


def _odd(name: str, value: Any, hint: Any) -> str | None:
    if hasattr(hint, "_fields") and isinstance(value, hint):
        try:
            _record(hint)(hint, *value)
        except TypeCheckError as error:
            fields = dict(zip(hint._fields, value, strict=True))
            odd = _shorten(str(error), hint.__new__, fields) or _odd_item(hint.__new__, fields)
            return f"{name}.{odd}" if odd and "[" in name else odd
    for one in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        for key, of, wanted in _items(value, one):
            if (get_origin(wanted) or hasattr(wanted, "_fields")) and (odd := _odd(f"{name}[{key!r}]", of, wanted)):
                return odd
            if not is_bearable(of, wanted, conf=_TOWER):
                return f"{name}: wanted {_say(one)} of {_say(wanted)}, got {_seen(of)} at {key!r}"
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


def _seen(value: Any) -> str:
    return (
        f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor | np.ndarray) else f"{value!r:.80}"
    )


def _declared(function: Callable, given: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Names, values and declarations of arguments, those of *args and **kwargs each by itself."""
    hints, parameters = _hints(function), inspect.signature(function).parameters
    for name, value in given.items():
        kind, hint = parameters[name].kind, hints.get(name, Any)
        if kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((key, of, hint) for key, of in value.items())
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((f"{name}[{row}]", of, hint) for row, of in enumerate(value))
        else:
            yield name, value, hint


@functools.cache
def _hints(function: Callable) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


@functools.cache
def _stub(function: Callable) -> Callable:
    """What holds arguments to the declarations of a function, and does nothing else."""
    signature = inspect.signature(function)
    bare = [one.replace(annotation=one.empty, default=one.empty) for one in signature.parameters.values()]
    space: dict[str, Any] = {}
    exec(f"def stub{signature.replace(parameters=bare, return_annotation=signature.empty)}: pass", space)
    space["stub"].__annotations__ = {name: hint for name, hint in _hints(function).items() if name != "return"}
    return _GUARD(space["stub"])


def _too_large(given: Mapping[str, Any]) -> str | None:
    """Which argument has the largest numbers, if these are what may overflow."""
    most = {}
    for name, value in _all_parts(given).items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel() and not value.is_meta:
            most[name] = value.detach().abs().max().item()
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
            most[name] = float(np.abs(value).max())
        elif isinstance(value, int | float) and value:
            most[name] = max(abs(value), 1 / abs(value))
    name = max(most, key=most.__getitem__, default="")
    if not name or not most[name] > LARGE:
        return None
    value = _all_parts(given)[name]
    shown = f"{value:.4g} is too {'small' if abs(value) < 1 else 'large'}" if isinstance(value, int | float) else None
    return f"{name}: {shown or f'numbers up to {most[name]:.4g} are too large'}"


def _fault(error: Exception, given: Mapping[str, Any]) -> str | None:
    """What is wrong with the arguments, beyond their types, where an error from deep inside does not name one."""
    parts, words = _all_parts(given), str(error)
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
    arrays = {name: value for name, value in _all_parts(given).items() if isinstance(value, Tensor | np.ndarray)}
    if len(arrays) != 1 or not isinstance(error, RuntimeError | LookupError | ValueError | TypeError):
        return None
    ((name, value),) = arrays.items()
    return f"{name}: got {_seen(value)}"


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
