"""A chapter's headline numbers: recorded by the runner, verified by the tests, shown beside fresh ones to a person.

Tables print the recorded numbers, so that a page reads the same on every machine, and every machine proves it.
The environment says which budget runs (HSSL_BUDGET: quick or full), in which mood (HSSL_RESULTS: record or
verify; otherwise a person is at work), and where the records are (HSSL_RESULTS_DIR).
"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pandas as pd

BUDGETS = ("quick", "full")
MOODS = ("record", "verify", "show")
FIELDS = ("id", "value", "spread", "seeds", "published", "limit", "unit", "tolerance")
_fresh: dict[tuple[str, str], dict] = {}  # what this process has measured


def budget() -> str:
    """The budget that runs: "quick" (what a page runs) or "full" (more seeds and steps), by HSSL_BUDGET.

    Raises:
        ValueError: HSSL_BUDGET names no budget.
    """
    return _choice("HSSL_BUDGET", BUDGETS)


def record(
    chapter: str,
    id: str,
    values: float | Sequence[float],
    *,
    tolerance: float,
    published: float | None = None,
    limit: float | None = None,
    unit: str = "R²",
) -> None:
    """Keep a headline number: the mean of its values over seeds, and their standard deviation.

    To the runner this writes `<results>/<budget>/<chapter>.json`; to the tests it compares with what is there.

    Args:
        values: one number, or one a seed.
        tolerance: how far another machine's mean may lie from the recorded one.
        published, limit: the same number elsewhere, and the best one possible, if there are such.
    Raises:
        ValueError: no values, a value that is not finite, or a tolerance that is not positive.
        AssertionError: (verify) the number was never recorded, or lies beyond its tolerance.
    """
    values = [float(v) for v in np.atleast_1d(values)]
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"values: wanted finite numbers for {id!r}, got {values}")
    if not tolerance > 0:
        raise ValueError(f"tolerance: wanted a number > 0 for {id!r}, got {tolerance}")
    spread = stdev(values) if len(values) > 1 else None
    numbers = (fmean(values), spread, len(values), published, limit, unit, tolerance)
    fresh = dict(zip(FIELDS, (id, *(_round(n) for n in numbers)), strict=True))
    _fresh[chapter, id] = fresh
    mood = _choice("HSSL_RESULTS", MOODS, "show")
    if mood == "record":
        _write(_file(chapter, budget()), {**load(chapter, budget()), id: fresh})
    elif mood == "verify":
        _verify(chapter, fresh)


def load(chapter: str, budget: str) -> dict[str, dict]:
    """The recorded numbers of a chapter under a budget, by id; empty if there are none.

    Raises:
        ValueError: no such budget, or the file is damaged.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget: wanted one of {', '.join(BUDGETS)}, got {budget!r}")
    path = _file(chapter, budget)
    if not path.exists():
        return {}
    try:
        return {entry["id"]: entry for entry in json.loads(path.read_text())}
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it, or run the chapter with `make run`") from error


def chapters() -> list[str]:
    """Names of all chapters with recorded numbers."""
    return sorted({path.stem for name in BUDGETS for path in (_folder() / name).glob("*.json")})


def table(chapter: str, ids: dict[str, str], *, limit: str = "limit", title: str = "", digits: int = 2) -> pd.DataFrame:
    """Recorded numbers of both budgets side by side: a row an id, under the label that `ids` gives it.

    `limit` heads the column of limits, which may be predictions; a column without any number is left out, and
    a number that only one budget measures shows a dash under the other. A person at work sees a column more:
    what this process has measured, marked * where it lies beyond its tolerance.
    """
    recorded = {name: load(chapter, name) for name in BUDGETS}
    if not any(id in numbers or (chapter, id) in _fresh for id in ids for numbers in recorded.values()):
        raise ValueError(f"ids: none of {', '.join(ids)} was ever measured or recorded in {chapter!r}")
    rows = []
    for id, label in ids.items():
        entries = [recorded[name].get(id) for name in BUDGETS] + [_fresh.get((chapter, id))]
        known = next(filter(None, entries), dict.fromkeys(FIELDS))
        row = {"": label, "published": plain(known["published"], digits), limit: plain(known["limit"], digits)}
        row |= {name: _with_spread(e, digits) for name, e in zip(BUDGETS, entries, strict=False)}
        if _choice("HSSL_RESULTS", MOODS, "show") == "show":
            row["this run"] = _with_spread(entries[2], digits) + _mark(entries[2], recorded[budget()].get(id))
        rows.append(row)
    frame = pd.DataFrame(rows).set_index("").rename_axis(title)
    return frame.drop(columns=[c for c in ("published", limit) if (frame[c] == "–").all()])


def score(chapter: str) -> pd.DataFrame:
    """Every recorded number of a chapter, a row an id, with its verdict; from the full budget where there is one."""
    quick, full = (load(chapter, name) for name in BUDGETS)
    rows = []
    for id in {**full, **quick}:
        entry, name = (full[id], "full") if id in full else (quick[id], "quick")
        measured = f"{_with_spread(entry, 3)} ({entry['seeds']}, {name})"
        numbers = {"published": plain(entry["published"], 2), "limit": plain(entry["limit"], 3), "measured": measured}
        rows.append({"claim": id, **numbers, "unit": entry["unit"], "verdict": verdict(entry)})
    return pd.DataFrame(rows)


def verdict(entry: dict, near: float = 0.03, same: float = 0.02) -> str:
    """What follows from a recorded number: whether it lies at its limit, and how it stands to the published one.

    "at the limit" means within `near` or two standard errors, whichever is more. A published figure is "met" when
    ours is as near to the limit, give or take `same`; "beaten" when nearer; "not reproduced" when farther.
    """
    value, limit, published = entry["value"], entry["limit"], entry["published"]
    if limit is None:
        return "–"
    gap, error = abs(value - limit), 2 * (entry["spread"] or 0) / math.sqrt(entry["seeds"])
    words = ["at the limit" if gap <= max(near, error) else f"{gap:.2f} {'short of' if value < limit else 'above'} it"]
    if published is not None:
        theirs = abs(published - limit)
        words.append("met" if abs(gap - theirs) <= same else "beaten" if gap < theirs else "not reproduced")
    return "; ".join(words)


def best(chapter: str, id: str) -> dict:
    """A number with all its fields: of the full budget if there is one, else of the quick one, else fresh."""
    entry = load(chapter, "full").get(id) or load(chapter, "quick").get(id) or _fresh.get((chapter, id))
    if entry is None:
        raise ValueError(f"id: {id!r} was never measured or recorded in {chapter!r}")
    return entry


def run_time(chapter: str) -> str:
    """How long the chapter ran when it was last recorded, for a person; empty if it never was."""
    path = _folder() / "run_times.json"
    times = json.loads(path.read_text()).get(chapter, {}) if path.exists() else {}
    taken = [(name, times[name]) for name in BUDGETS if name in times]
    return ", ".join(f"{minutes(t['seconds'])} with the {name} budget on {t['cores']} cores" for name, t in taken)


def record_race(id: str, *, ours: float, other: float, unit: str, what: str) -> None:
    """Keep what a benchmark measured: our side and the other, in the same unit, and in words what was raced.

    Only the scripts in benchmarks/ call this; timings are never verified, as they differ between machines.
    """
    path = _folder() / "races.json"
    known = json.loads(path.read_text()) if path.exists() else []
    entry = {"id": id, "ours": ours, "other": other, "unit": unit, "what": what}
    _write(path, {**{race["id"]: race for race in known}, id: entry})


def races(*ids: str) -> pd.DataFrame:
    """What the benchmarks measured when they were last run, a row an id (none given: all), with the ratio."""
    path = _folder() / "races.json"
    known = {race["id"]: race for race in (json.loads(path.read_text()) if path.exists() else [])}
    rows = [known[id] for id in ids or known if id in known]
    ratio = [max(race["ours"], race["other"]) / min(race["ours"], race["other"]) for race in rows]
    texts = {key: [f"{race[key]:.3g} {race['unit']}" for race in rows] for key in ("ours", "other")}
    columns = {"race": [race["what"] for race in rows], **texts, "ratio": [f"{r:.0f}×" for r in ratio]}
    return pd.DataFrame(columns).set_index("race").rename_axis("")


def minutes(seconds: float) -> str:
    """Seconds, for a person: "40 s" or "2 min 10 s", to the next ten seconds."""
    tens = math.ceil(seconds / 10) * 10
    return f"{tens // 60} min {tens % 60:02d} s" if tens >= 60 else f"{tens} s"


def plain(number: float | None, digits: int = 2) -> str:
    """A number for a table, "–" for none; never a negative zero."""
    return "–" if number is None else f"{round(number, digits) + 0.0:.{digits}f}"


def _with_spread(entry: dict | None, digits: int) -> str:
    if entry is None:
        return "–"
    return plain(entry["value"], digits) + (f" ± {entry['spread']:.{digits}f}" if entry["spread"] is not None else "")


def _mark(fresh: dict | None, recorded: dict | None) -> str:
    beyond = fresh and recorded and abs(fresh["value"] - recorded["value"]) > recorded["tolerance"]
    return " *" if beyond else ""


def _verify(chapter: str, fresh: dict) -> None:
    recorded = load(chapter, budget()).get(fresh["id"])
    assert recorded, f"{chapter}: {fresh['id']} has no recorded number; run the chapter with `make run`"
    gap, allowed = abs(fresh["value"] - recorded["value"]), recorded["tolerance"]
    assert gap <= allowed, (
        f"{chapter}: {fresh['id']} came out as {fresh['value']}, recorded is {recorded['value']}; "
        f"they differ by {gap:.4f}, and {allowed} is allowed"
    )


def _choice(variable: str, options: tuple[str, ...], default: str | None = None) -> str:
    chosen = os.environ.get(variable) or default or options[0]
    if chosen not in options:
        raise ValueError(f"{variable}: wanted one of {', '.join(options)}, got {chosen!r}")
    return chosen


def _folder() -> Path:
    """HSSL_RESULTS_DIR, or `results` in or near the folder that the notebook runs in."""
    if named := os.environ.get("HSSL_RESULTS_DIR"):
        return Path(named)
    near = (Path.cwd() / "results", Path.cwd() / "book" / "results", Path.cwd().parent / "book" / "results")
    return next((path for path in near if path.is_dir()), near[0])


def _file(chapter: str, budget: str) -> Path:
    return _folder() / budget / f"{chapter}.json"


def _write(path: Path, entries: dict[str, dict]) -> None:
    """Whole or not at all: written beside, then moved into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries.values())
    beside.write_text(f"[\n{lines}\n]\n")
    beside.replace(path)


def _round(number):
    return round(number, 5) if isinstance(number, float) else number
