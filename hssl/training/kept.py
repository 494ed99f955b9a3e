"""What the runs of a page's sweeps gave when its numbers were recorded, so that a test may run one seed of each.

The runner writes this with the numbers (HSSL_RUNS_TO names the file). The tests read it (HSSL_RUNS_FROM): of every
sweep over seeds they run the first seed, and the results of the others come from here. Results that are no numbers,
such as networks, are not kept; `NotRun` stands in their place, and fails when it is used. Without these variables, as
with a person at work, every run is done.
"""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from torch import Tensor

from hssl.files import write_whole

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


def left_out(settings: list[dict]) -> dict[int, Any]:
    """By number, the results of the runs of this sweep that a test need not do; empty for all but tests.

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
    try:
        sweeps = json.loads(path.read_text())
        known: dict = sweeps[number] if number < len(sweeps) else {"settings": None}
        if known["settings"] != described(settings):
            raise ValueError(f"{path} has no results of sweep {number + 1} as it is now; {advice}")
        first = settings[0].get("seed")
        later = [i for i, setting in enumerate(settings) if setting.get("seed") != first]
        return {i: restored(known["results"][i], settings[i]) for i in later}
    except (json.JSONDecodeError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); {advice}") from error


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
    """A result as JSON has it; None if it holds anything but numbers, words and collections of them, or is long.

    >>> kept({"auc": np.float32(0.5), "each": (1, 2)})
    {'dict': [['auc', 0.5], ['each', {'tuple': [1, 2]}]]}
    >>> kept([object()]) is None
    True
    """
    try:
        found = _kept(result)
    except TypeError:
        return None
    return found if len(json.dumps(found)) <= MOST else None


def restored(value: Any, setting: dict) -> Any:
    """What `kept` made into JSON, as it was; `NotRun` for what it could not keep.

    >>> restored(kept({3: [None, (1.5, True)]}), {})
    {3: [None, (1.5, True)]}
    """
    return NotRun(setting) if value is None else _restored(value)


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
