"""What the runs of a page's sweeps gave when its numbers were recorded, so that a test may run one seed of each.

The runner writes this with the numbers (HSSL_RUNS_TO names the file). The tests read it (HSSL_RUNS_FROM): of every
sweep over seeds they run the first seed, and the results of the others come from here. Results that are no numbers,
such as networks, are not kept, and such a sweep is run whole; or, if other sweeps alone need its networks, `NotRun`
stands for those of the other seeds, and fails when it is used. Without these variables, as with a person at work,
every run is done.
"""

import json
import os
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from torch import Tensor

from hssl.files import read_file, write_whole

READ, WRITE = "HSSL_RUNS_FROM", "HSSL_RUNS_TO"
DIGITS = 6  # significant ones that are kept
MOST = 20_000  # characters of a result that is kept
_sweeps: list[dict] = []  # of this process so far, in order: what it writes
_read = 0  # how many sweeps of this process have looked for their results


class NotRun:
    """Stands for a result that was left out.

    >>> NotRun({"seed": 1}).weight
    Traceback (most recent call last):
    RuntimeError: the run with {'seed': 1} was left out: tests run the first seed alone, HSSL_SEEDS=all runs all of them
    """

    def __init__(self, setting: dict) -> None:
        self._setting = str(setting)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        why = "tests run the first seed alone, HSSL_SEEDS=all runs all of them"
        raise RuntimeError(f"the run with {self._setting} was left out: {why}")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self.__getattr__("call")

    def __repr__(self) -> str:
        return f"NotRun({self._setting})"


def left_out(settings: list[dict], only_for_sweeps: bool = False) -> dict[int, Any]:
    """By number, the results of the runs of this sweep that a test need not do; empty for all but tests.

    Args:
        only_for_sweeps: a result that is not kept may be left out, too.

    Raises:
        ValueError: the file is damaged, or was written by other sweeps than this page has now.
    """
    global _read
    if not (named := os.environ.get(READ)):
        return {}
    path, number = Path(named), _read
    _read += 1
    if not path.exists():
        return {}
    advice = f"record the page with `make run CHAPTER={path.stem}`"
    first = settings[0].get("seed")
    later = [i for i, setting in enumerate(settings) if setting.get("seed") != first]

    def parse(file: IO[bytes]) -> dict[int, Any] | None:
        sweeps = json.load(file)
        if number >= len(sweeps) or sweeps[number]["settings"] != described(settings):
            return None
        found = sweeps[number]["results"]
        whole = not only_for_sweeps and any(_lacks(found[i]) for i in later)
        return {} if whole else {i: restored(found[i], settings[i]) for i in later}

    known = read_file(path, parse, advice)
    if known is None:
        raise ValueError(f"{path} has no results of sweep {number + 1} as it is now; {advice}")
    return known


def note(settings: list[dict], results: list) -> None:
    """Keep the results of a sweep, if this process records."""
    if not (named := os.environ.get(WRITE)):
        return
    _sweeps.append({"settings": described(settings), "results": [kept(result) for result in results]})
    lines = ",\n".join(json.dumps(sweep, ensure_ascii=False, separators=(",", ":")) for sweep in _sweeps)
    Path(named).parent.mkdir(parents=True, exist_ok=True)
    write_whole(Path(named), lambda file: file.write(f"[\n{lines}\n]\n".encode()))


def described(settings: list[dict]) -> dict[str, list]:
    """What tells sweeps apart: the names of the settings, and the seed of each run."""
    return {"names": sorted(settings[0]), "seeds": [_number(setting.get("seed")) for setting in settings]}


def kept(result: Any) -> Any:
    """A result as JSON has it: numbers, words and collections of them. What is anything else, or long, becomes None:
    the whole result, or that one measure.

    >>> kept({"auc": np.float32(0.5), "encoder": object()})
    {'dict': [['auc', 0.5], ['encoder', None]]}
    >>> kept(object()) is None
    True
    """
    if isinstance(result, dict):
        return {"dict": [[_kept(name), kept(measure)] for name, measure in result.items()]}
    try:
        found = _kept(result)
    except TypeError:
        return None
    return found if len(json.dumps(found)) <= MOST else None


def restored(value: Any, setting: dict) -> Any:
    """What `kept` made into JSON, as it was; `NotRun` for what it could not keep.

    >>> restored(kept({3: [None, (1.5, True)], "encoder": object()}), {})
    {3: [None, (1.5, True)], 'encoder': NotRun({})}
    """
    if isinstance(value, dict) and "dict" in value:
        return {_restored(name): restored(measure, setting) for name, measure in value["dict"]}
    return NotRun(setting) if value is None else _restored(value)


def _lacks(value: Any) -> bool:
    """Whether a part of a result was not kept."""
    return value is None or (isinstance(value, dict) and any(_lacks(part) for _, part in value.get("dict", ())))


def _kept(of: Any) -> Any:
    of = _number(of)
    if isinstance(of, float):
        return float(f"{of:.{DIGITS}g}")
    if isinstance(of, bool | int | str):
        return of
    if of is None:
        return {"none": []}
    if isinstance(of, list):
        return [_kept(one) for one in of]
    if isinstance(of, tuple) and type(of) is tuple:
        return {"tuple": [_kept(one) for one in of]}
    if isinstance(of, dict):
        return {"dict": [[_kept(key), _kept(value)] for key, value in of.items()]}
    if isinstance(of, np.ndarray | Tensor) and not (isinstance(of, Tensor) and of.requires_grad):
        whole = np.asarray(of)
        return {type(of).__name__: [str(whole.dtype), _kept(whole.tolist())]}
    raise TypeError(f"not kept: {type(of)}")


def _restored(of: Any) -> Any:
    if isinstance(of, list):
        return [_restored(one) for one in of]
    if not isinstance(of, dict):
        return of
    ((kind, parts),) = of.items()
    match kind:
        case "none":
            return None
        case "tuple":
            return tuple(_restored(parts))
        case "dict":
            return {_restored(key): _restored(value) for key, value in parts}
        case "ndarray":
            return np.array(_restored(parts[1]), parts[0])
        case "Tensor":
            from torch import from_numpy

            return from_numpy(np.array(_restored(parts[1]), parts[0]))
    raise KeyError(kind)


def _number(of: Any) -> Any:
    return of.item() if isinstance(of, np.generic) else of
