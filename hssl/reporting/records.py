"""Recorded numbers: the runner writes them, the tests verify them, and a person at work sees them beside fresh ones.

How they are shown is left to `tables` and `plots`, what follows from them to `verdicts`. The environment says which
budget runs (HSSL_BUDGET: quick or full), in which mode (HSSL_RESULTS: show, record or verify), and where the records
lie (HSSL_RESULTS_DIR). An installed package brings a copy of the book's records, for notebooks without the book.
"""

import json
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import IO, Any, BinaryIO, cast

import numpy as np

from hssl.checks import Count, Finite, NonNegative, Positive, Whole, check_fields, checked, explained, one_of
from hssl.files import ANEW, read_file, write_whole

BUDGETS = ("quick", "full")
MODES = ("show", "record", "verify")
EXACT = ("label", "section", "at", "seeds", "published", "same_data", "chance", "unit")
#: Of an entry, and the types of what they hold; those that were added later may be missing.
_number, _spread = cast(Any, Finite), cast(Any, NonNegative)
NEEDED: dict[str, Any] = {"id": str, "value": Finite, "tolerance": Positive, "seeds": Count, "unit": str}
NEEDED |= {"spread": _spread | None, "limit": _number | None, "published": _number | None}
LATER: dict[str, Any] = dict.fromkeys(("label", "section"), str | None)
LATER |= {"at": dict | None, "same_data": bool, "chance": _number | None}
FIELDS = (*NEEDED, *LATER)
AGAIN = "restore it, or run the chapter with `make run`"
NUMBERS = ("value", "spread", "limit", "published", "chance")
SHIPPED = Path(__file__).with_name("recorded")  # laid there by setup.py; not in a checkout
_fresh: dict[tuple[str, str], dict] = {}  # what this process has measured, by chapter and id
_missed: list[str] = []  # claims that a recording of the full budget did not bear out


def budget() -> str:
    """The budget that runs: "quick" (what a page runs) or "full" (more seeds and steps), by HSSL_BUDGET.

    Raises:
        ValueError: HSSL_BUDGET names no budget.

    >>> budget() in BUDGETS
    True
    """
    return _choice("HSSL_BUDGET", BUDGETS)


def mode() -> str:
    """What becomes of a number: "show" it to a person (the default), "record" or "verify" it, by HSSL_RESULTS.

    Raises:
        ValueError: HSSL_RESULTS names no mode.

    >>> mode() in MODES
    True
    """
    return _choice("HSSL_RESULTS", MODES)


@checked
def record(
    chapter: str,
    id: str,
    values: Any,
    *,
    tolerance: Positive,
    published: Finite | None = None,
    limit: Finite | None = None,
    unit: str = "R²",
    label: str | None = None,
    section: str | None = None,
    same_data: bool = False,
    chance: Finite | None = None,
    at: dict[str, Any] | None = None,
) -> None:
    """Keep a headline number: the mean of its values over seeds, and their standard deviation.

    To the runner this writes `<results>/<budget>/<chapter>.json`; to the tests it compares with what is there:
    value and limit within the tolerance, all other fields exactly. A field that an old record lacks is not compared.

    Args:
        values: one number, or one per seed.
        tolerance: how far another machine's mean may lie from the recorded one.
        published, limit: the same number elsewhere, and the best one possible, if there are such.
        label, section: the number in words, and the heading in the chapter under which it is measured.
        same_data: whether the published number was measured on the same data as ours.
        chance: what guessing gives; without it, what guessing gives in this unit.
        at: the settings that the number belongs to, by name.
    Raises:
        ValueError: a name that no file or id may have, values that are not finite, a tolerance that is not positive,
            or an id that this run has recorded with other numbers.
        AssertionError: (verify) the number was never recorded, or differs from what was.

    >>> record("../demo", "a", 0.5, tolerance=0.01)
    Traceback (most recent call last):
    ValueError: chapter: wanted letters, digits, "_", "+", "-" and single dots between them, got '../demo'
    """
    _named(chapter=chapter, id=id)
    try:
        numbers = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        numbers = np.array([])
    if numbers.ndim > 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"values: wanted finite numbers, one per seed, for {id!r}, got {values}")
    mean, spread = fmean(numbers.tolist()), stdev(numbers.tolist()) if numbers.size > 1 else None
    at = json.loads(json.dumps(at))  # as it will be read
    given = (label, section, at, numbers.size, published, same_data, chance, unit)
    fresh: dict[str, Any] = {"id": id, "value": mean, "spread": spread, "limit": limit}
    fresh |= {"tolerance": float(f"{tolerance:.5g}"), **dict(zip(EXACT, given, strict=True))}
    fresh |= {key: round(float(fresh[key]), 5) for key in NUMBERS if fresh[key] is not None}
    known = _fresh.get((chapter, id), fresh)
    if mode() != "show" and known != fresh:
        raise ValueError(f"id: {chapter} has recorded {id!r} in this run already, with other numbers")
    _fresh[chapter, id] = fresh
    if mode() == "record":
        add(_file(chapter, budget()), fresh)
    elif mode() == "verify":
        _verify(chapter, fresh)


@explained
def load(chapter: str, budget: str) -> dict[str, dict]:
    """The recorded numbers of a chapter under a budget, by id; empty if there are none.

    Raises:
        ValueError: no such budget, or the file is damaged.

    >>> load("no_such_chapter", "quick")
    {}
    """
    one_of("budget", budget, BUDGETS)
    return read(_file(chapter, budget), NEEDED, LATER)


def chapters() -> list[str]:
    """Names of all chapters with recorded numbers.

    >>> "no_such_chapter" in chapters()
    False
    """
    return sorted({path.stem for name in BUDGETS for path in (folder() / name).glob("*.json")})


@explained
def measured(chapter: str) -> dict[str, dict]:
    """What a person has measured in this process, by id; empty in the other modes, where pages show records alone.

    >>> measured("no_such_chapter")
    {}
    """
    return {id: entry for (of, id), entry in _fresh.items() if of == chapter} if mode() == "show" else {}


def best(chapter: str, id: str) -> dict:
    """A number with all its fields: of the full budget if there is one, else of the quick one, else of this process.

    To a person without any recorded numbers it warns of one that is missing, and gives NaN, which figures leave out.

    Raises:
        ValueError: the chapter has numbers, and this is none of them.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, HSSL_RESULTS="verify"):
    ...     best("no_such_chapter", "a")
    Traceback (most recent call last):
    ValueError: id: 'a' was never measured or recorded in 'no_such_chapter'
    """
    recorded = {**load(chapter, "quick"), **load(chapter, "full")}
    if entry := recorded.get(id) or _fresh.get((chapter, id)):
        return entry
    if recorded or mode() != "show":
        raise ValueError(f"id: {id!r} was never measured or recorded in {chapter!r}")
    _warn(f"{chapter}: no numbers are recorded here, and this process has not measured {id!r}")
    numbers = dict.fromkeys(("value", "spread", "limit"), math.nan)
    return {**dict.fromkeys(FIELDS), **numbers, "id": id, "seeds": 0, "unit": ""}


def claim(condition: Any, sentence: str) -> None:
    """Hold the text to a number: a false condition fails the runner and the tests, and warns a person.

    A person may change whatever they like; the sentence says what the chapter says, and no longer holds. A recording
    of the full budget goes on, as it takes up to an hour: `finish` then fails, with all such sentences.

    Raises:
        AssertionError: (record, verify) the condition is false.

    >>> claim(0.99 > 0.9, "content is found nearly whole")
    """
    if condition:
        return
    if mode() == "record" and budget() == "full":
        _missed.append(sentence)
    elif mode() != "show":
        raise AssertionError(sentence)
    else:
        _warn(f"this run does not show what the text says: {sentence}")


@explained
def finish(chapter: str) -> None:
    """The last line of a chapter: what is recorded under this budget is what this run has measured.

    Raises:
        AssertionError: (verify) a recorded number was not measured; (record, full budget) a claim does not hold.

    >>> finish("no_such_chapter")
    """
    if _missed:
        sentences = "; ".join(_missed)
        _missed.clear()
        raise AssertionError(f"{chapter}: this run does not show what the text says: {sentences}")
    left = [id for id in load(chapter, budget()) if (chapter, id) not in _fresh]
    if left and mode() == "verify":
        raise AssertionError(f"{chapter}: recorded but not measured: {', '.join(left)}; run it with `make run`")


def folder() -> Path:
    """Where records lie: HSSL_RESULTS_DIR, or `results` in or near the folder that the notebook runs in.

    Where there is none, a notebook that does not record reads those that came with the installed package.

    >>> isinstance(folder(), Path)
    True
    """
    if named := os.environ.get("HSSL_RESULTS_DIR"):
        return Path(named)
    near = (Path.cwd() / "results", Path.cwd() / "book" / "results", Path.cwd().parent / "book" / "results")
    known = near if mode() == "record" else (*near, SHIPPED)
    return next((path for path in known if path.is_dir()), near[0])


@explained
def read(path: Path, needed: Mapping[str, Any], others: Mapping[str, Any] = MappingProxyType({})) -> dict[str, dict]:
    """A file of entries, by id; empty if there is no such file.

    Args:
        needed, others: by name, the types of what an entry must have, and may have.
    Raises:
        ValueError: the file is damaged, or an entry lacks what is needed; names both.

    >>> read(Path("no_such_file"), {"id": str})
    {}
    """

    def parse(file: IO[bytes]) -> dict[str, dict]:
        found = {}
        for entry in json.load(file):
            check_fields(entry, needed, others)
            if found.setdefault(entry["id"], entry) is not entry:
                raise ValueError(f"{entry['id']}: is there twice")
        return found

    return _read(path, parse)


@explained
def add(path: Path, entry: dict[str, Any]) -> None:
    """Add an entry to a file of entries, or replace the one with its id; others may add theirs at the same time.

    Raises:
        ValueError: the file is damaged, or one of those that came with the package.

    >>> path = getfixture("tmp_path") / "a.json"
    >>> add(path, {"id": "b"}), read(path, {"id": str})
    (None, {'b': {'id': 'b'}})
    """
    if path.is_relative_to(SHIPPED):
        raise ValueError(f"{path} came with the package; name a folder of your own in HSSL_RESULTS_DIR")

    def write(file: BinaryIO) -> None:
        entries = {**read(path, {"id": str}), entry["id"]: entry}
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries.values())
        file.write(f"[\n{lines}\n]\n".encode())

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)


@explained
def read_times(path: Path) -> dict[str, dict[str, dict]]:
    """Measured times: by chapter, then by budget: "seconds", "cores", and of its sweeps "runs" and the "longest".

    Raises:
        ValueError: the file is damaged; names it.

    >>> read_times(Path("no_such_file"))
    {}
    """

    def parse(file: IO[bytes]) -> dict[str, dict[str, dict]]:
        times = json.load(file)
        for chapter, budgets in times.items():
            for of in budgets.values():
                try:
                    check_fields(of, {"seconds": NonNegative, "cores": Count}, {"runs": Whole, "longest": NonNegative})
                except ValueError as error:
                    raise ValueError(f"{chapter}: {error}") from None
        return times

    return _read(path, parse)


def _read(path: Path, parse: Callable[[IO[bytes]], dict]) -> dict:
    advice = ANEW if path.is_relative_to(SHIPPED) else AGAIN
    return read_file(path, parse, advice) if path.exists() else {}


def _verify(chapter: str, fresh: dict) -> None:
    recorded = load(chapter, budget()).get(fresh["id"])
    if recorded is None:
        raise AssertionError(f"{chapter}: {fresh['id']} has no recorded number; run the chapter with `make run`")
    allowed = recorded["tolerance"]
    near = {"value": allowed, "limit": allowed, "tolerance": 1e-3 * allowed}  # a tolerance may be computed, too
    differ = [
        f"{key} came out as {fresh[key]!r}, recorded is {recorded[key]!r}"
        for key in (*near, *EXACT)
        if key in recorded and fresh[key] != recorded[key]
        if key not in near or not _within(near[key], fresh[key], recorded[key])
    ]
    if differ:
        raise AssertionError(f"{chapter}: {fresh['id']}: {'; '.join(differ)} ({allowed} is allowed)")


def _within(near: float, one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= near + 1e-12


def _named(**names: str) -> None:
    for name, value in names.items():
        if not re.fullmatch(r"[\w+-]+(\.[\w+-]+)*", value):
            wanted = 'letters, digits, "_", "+", "-" and single dots between them'
            raise ValueError(f"{name}: wanted {wanted}, got {value!r}")


def _warn(sentence: str) -> None:
    with warnings.catch_warnings():  # also when the same cell runs again
        warnings.simplefilter("always")
        warnings.warn(sentence, stacklevel=3)


def _choice(variable: str, options: tuple[str, ...]) -> str:
    chosen = os.environ.get(variable) or options[0]
    one_of(variable, chosen, options)
    return chosen


def _file(chapter: str, budget: str) -> Path:
    _named(chapter=chapter)
    return folder() / budget / f"{chapter}.json"
