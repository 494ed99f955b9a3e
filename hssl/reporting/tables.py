"""From a frame of runs to records, from records to a table that a paper could print, and to the tidy frame of a figure.

Pages print what is recorded, so that they read the same on every machine; a person sees this run beside it.
"""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, cast

import pandas as pd
from beartype.vale import Is

from hssl.checks import WORDS, explained
from hssl.reporting.records import BUDGETS, EXACT, budget, load, measured, mode, record
from hssl.reporting.verdicts import bound

OWN, NOTHING = "this run", "no recorded numbers here"
Digits = Annotated[int, Is[lambda value: 0 <= value <= 15]]
WORDS[Digits] = "a whole number from 0 to 15"
Given = float | str | Mapping[Any, Any] | None


@explained
@dataclass(frozen=True)
class Table:
    """What `record_frame` shows: the recorded numbers in words, and `table[row, measure]`, the mean of this run.

    >>> Table(pd.DataFrame({"full": ["0.99"]}, index=["content"]), {("p75", "content"): 0.98})["p75", "content"]
    0.98
    """

    words: pd.DataFrame
    means: dict[tuple, float]
    caption: str = ""

    def __getitem__(self, cell: tuple) -> float:
        return self.means[cell]

    @explained
    def newest(self, *, without: Sequence[tuple[str, str]] = ()) -> "Table":
        """The table for a narrow page: a measure that has numbers of the full budget is shown without the quick ones.

        Args:
            without: further columns to leave out, as (measure, column) in words, such as ("content", "limit").

        >>> words = pd.DataFrame([["1.00", "0.98", "0.99"]], columns=["limit", "quick", "full"])
        >>> list(Table(words, {}).newest().words)
        ['limit', 'full']
        """
        columns = list(self.words.columns)
        nested = [column if isinstance(column, tuple) else ("", column) for column in columns]
        old = {(measure, "quick") for measure, name in nested if name == "full"} | set(without)
        kept = [column for column, pair in zip(columns, nested, strict=True) if pair not in old]
        return replace(self, words=self.words[kept])

    def __repr__(self) -> str:
        return "\n".join(filter(None, (self.caption, self.words.to_string())))

    def _repr_html_(self) -> str:
        page = self.words.to_html(border=0)
        caption = f"\n  <caption>{html.escape(self.caption)}</caption>\n"
        return page.replace("\n", caption, 1) if self.caption else page


@explained
def record_frame(
    chapter: str,
    frame: pd.DataFrame,
    id: str,
    *,
    rows: str | Sequence[str],
    measures: Sequence[str] | Mapping[str, str],
    tolerance: Given,
    limit: Given = None,
    published: Given = None,
    unit: Given = "R²",
    chance: Given = None,
    section: str | None = None,
    labels: Mapping[Any, str] | None = None,
    caption: str = "",
    sparse: bool = False,
) -> Table:
    """Record every measure of every row of an experiment, over its seeds, and show them as a table.

    Args:
        frame: a run a row, as `sweep` gives it. Runs that agree in `rows` are repetitions of each other.
        id: what the records are called, a template such as "scenes.{law}.{measure}" with the columns in `rows`,
            {measure} and {row} (all of `rows`, joined by dots) as fields; without a field ".{row}.{measure}" follows.
        rows: the column or columns whose values make the rows.
        measures: the columns to record; or, by the name that each takes in its id, the column.
        tolerance, limit, published, unit, chance: as in `record`; one for all, or by row, by measure, by row and then
            measure or the reverse, or by (row, measure). A limit or a published number may be a column's name: then it
            is that column's mean. What is not given there is none (of units: R²).
        labels: rows, measures and columns of the table in words; without one their underscores become spaces. A column
            without any number is left out.
        sparse: a measure that no run of a row has (NaN in all of them) leaves its cell empty, instead of an error.
    Raises:
        ValueError: a column is missing, two cells share an id or a label, or `record` refuses a number.
        AssertionError: (verify) as `record`.

    >>> import os
    >>> from unittest.mock import patch
    >>> runs = pd.DataFrame({"net": ["small", "large"] * 2, "seed": [0, 0, 1, 1], "score": [0.5, 0.9, 0.6, 0.9]})
    >>> with patch.dict(os.environ, HSSL_RESULTS="show"):  # as a person works
    ...     table = record_frame("no_such_chapter", runs, "demo", rows="net", measures=["score"], tolerance=0.1)
    >>> table.words
    score     this run
    small  0.55 ± 0.07
    large  0.90 ± 0.00
    >>> table["small", "score"]
    0.55
    """
    rows, say = [rows] if isinstance(rows, str) else list(rows), _speaker(labels)
    sources = measures if isinstance(measures, Mapping) else {measure: measure for measure in measures}
    for name, of in (("frame", frame), ("measures", sources)):
        if not len(of):
            raise ValueError(f"{name}: wanted at least one, got none")
    if missing := [column for column in (*rows, *sources.values()) if column not in frame]:
        raise ValueError(f"frame: no column {', '.join(missing)}; there are {', '.join(map(str, frame.columns))}")
    template = id if "{" in id else f"{id}.{{row}}.{{measure}}"
    cells = [cell for cell in _cells(frame, rows, sources, template) if not (sparse and cell.values.isna().all())]
    places = [(", ".join(filter(None, map(say, cell.key))), say(cell.measure)) for cell in cells]
    if len({cell.id for cell in cells}) < len(cells) or len(set(places)) < len(cells):
        raise ValueError(f"id, labels: two of the {len(cells)} cells share an id ({template}) or a label")
    numbers = {"tolerance": tolerance, "limit": limit, "published": published, "unit": unit, "chance": chance}
    for cell, place in zip(cells, places, strict=True):
        given = {name: _given(value, cell, name) for name, value in numbers.items()}
        record(chapter, cell.id, cell.values.tolist(), label=": ".join(place), section=section, at=cell.at, **given)
    means = {(*cell.key, cell.measure): float(cell.values.mean()) for cell in cells}
    words = _pivot(places, _side_by_side(chapter, [cell.id for cell in cells]), say)
    return Table(words, means, ". ".join(filter(None, (caption, NOTHING if _alone(chapter) else ""))))


@explained
def tidy(chapter: str, prefix: str = "", **settings: Any) -> pd.DataFrame:
    """The recorded numbers of a chapter, one a row, as seaborn and `plots` draw from: both budgets, and a person's own.

    Columns: id, label, section, a column for each setting, measure, budget (quick, full or "this run"), value, spread,
    seeds, limit, published and so on.

    Args:
        prefix: how the ids begin.
        settings: only numbers at these settings, such as `measure="style"`.

    >>> list(tidy("no_such_chapter", measure="style").columns[:3])
    ['id', 'label', 'section']
    """
    entries = [(name, entry) for name in BUDGETS for entry in load(chapter, name).values()]
    entries += [(OWN, entry) for entry in measured(chapter).values()]
    found, known = [], dict.fromkeys(("id", "label", "section"))
    for name, entry in entries:
        at = entry.get("at") or {}
        if entry["id"].startswith(prefix) and settings.items() <= at.items():
            found.append({**known, **at, "budget": name, **{key: entry[key] for key in entry if key != "at"}})
    last = ("measure", "budget", "value", "spread", "tolerance", "limit", *EXACT[3:])
    between = dict.fromkeys(key for one in found for key in one if key not in (*known, *last))
    frame = pd.DataFrame(found, columns=[*known, *between, *last])
    return frame.astype(dict.fromkeys(("value", "spread", "limit", "published"), float))


@explained
def table(
    chapter: str, ids: dict[str, str], *, limit: str = "limit", title: str = "", digits: Digits = 2
) -> pd.DataFrame:
    """Recorded numbers of both budgets side by side: a row an id, under the label that `ids` gives it.

    `limit` heads the column of limits, which may be predictions; a column without any number is left out. A person at
    work sees a column more: this run, marked * where it lies beyond its tolerance.

    >>> import os
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, HSSL_RESULTS="show"):
    ...     table("no_such_chapter", {"a": "the claim"}).index.name
    'no recorded numbers here'
    """
    shown = _side_by_side(chapter, list(ids), digits)
    if _alone(chapter):
        title = f"{title} ({NOTHING})" if title else NOTHING
    elif all(set(words.values()) == {"–"} for words in shown):
        raise ValueError(f"ids: none of {', '.join(ids)} was ever measured or recorded in {chapter!r}")
    frame = pd.DataFrame(shown, index=pd.Index(ids.values(), name=title))
    return frame.loc[:, (frame != "–").any()].rename(columns={"limit": limit})


@explained
def plain(number: float | None, digits: Digits = 2) -> str:
    """A number for a table, "–" for none; never a negative zero.

    >>> plain(0.995, 1), plain(-0.001), plain(None)
    ('1.0', '0.00', '–')
    """
    return "–" if number is None or math.isnan(number) else f"{round(number, digits) + 0.0:.{digits}f}"


class _Cell(NamedTuple):
    """A measure of the runs that agree in the settings `at`."""

    key: tuple
    measure: str
    at: dict[str, Any]
    id: str
    values: pd.Series
    runs: pd.DataFrame


def _cells(frame: pd.DataFrame, rows: list[str], sources: Mapping[str, str], template: str) -> Iterator[_Cell]:
    for key, runs in frame.groupby(rows, sort=False, dropna=False):
        key = tuple(map(_plainly, cast(tuple, key)))
        for measure, source in sources.items():
            at = {**dict(zip(rows, key, strict=True)), "measure": measure}
            id = template.format(**{"row": ".".join(map(str, key)), **at}).replace(" ", "_")
            yield _Cell(key, measure, at, id, runs[source], runs)


def _plainly(value: Any) -> Any:
    """A setting as a record can hold it: no numpy scalar, None where pandas has put NaN."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _given(value: Any, cell: _Cell, name: str) -> Any:
    """What is given for a cell: by (row, measure), by row, by measure, or for all; "limit" may name a column."""
    row = cell.key[0] if len(cell.key) == 1 else cell.key
    if isinstance(value, Mapping):
        nested = {of: inner for of, inner in value.items() if isinstance(inner, Mapping)}
        known = {(of, at): given for of, inner in nested.items() for at, given in inner.items()}
        known |= {key: given for key, given in value.items() if key not in nested}
        keys = ((*cell.key, cell.measure), row, cell.measure, (row, cell.measure), (cell.measure, row))
        value = next((known[key] for key in keys if key in known), None)
    if name == "unit":
        return value or "R²"
    if isinstance(value, str) and value not in cell.runs:
        raise ValueError(f"{name}: no column {value!r}; there are {', '.join(map(str, cell.runs.columns))}")
    return float(cell.runs[value].mean()) if isinstance(value, str) else value


def _speaker(labels: Mapping[Any, str] | None):
    return lambda name: (labels or {}).get(name, str(name).replace("_", " "))


def _pivot(places: list[tuple[str, str]], shown: list[dict[str, str]], say) -> pd.DataFrame:
    """Rows by measures by columns; levels and columns that say nothing are left out."""
    frame = pd.DataFrame(shown, pd.MultiIndex.from_tuples(places)).rename(columns=say)
    parts = {measure: part.droplevel(1) for measure, part in frame.groupby(level=1, sort=False)}
    frame = pd.concat(parts, axis=1).fillna("–")
    frame = frame.loc[:, (frame != "–").any()]
    for level in (0, 1):
        heads = frame.columns.unique(level)
        if len(heads) == 1:  # said once, in the corner
            frame.columns = frame.columns.get_level_values(1 - level).rename(heads[0])
            break
    return frame


def _side_by_side(chapter: str, ids: list[str], digits: int = 2) -> list[dict[str, str]]:
    """By id: published, limit, quick, full and, to a person, this run, in words."""
    recorded, own, rows = {name: load(chapter, name) for name in BUDGETS}, measured(chapter), []
    for id in ids:
        entries = {name: recorded[name].get(id) for name in BUDGETS}
        newest = [*reversed(entries.values()), own.get(id)]  # whose limit belongs to the best numbers
        known = next(filter(None, newest), {"limit": None, "unit": "", "published": None})
        words = {"published": plain(known["published"], digits)}
        words |= {"limit": plain(bound(known["limit"], known["unit"]), digits)}
        words |= {name: _with_spread(entry, digits) for name, entry in entries.items()}
        if mode() == "show":
            fresh, old = own.get(id), entries[budget()]
            beyond = fresh and old and abs(fresh["value"] - old["value"]) > old["tolerance"]
            words[OWN] = _with_spread(fresh, digits) + (" *" if beyond else "")
        rows.append(words)
    return rows


def _alone(chapter: str) -> bool:
    """Whether a person works without the book's records, as with a single notebook on Colab."""
    return mode() == "show" and not any(load(chapter, name) for name in BUDGETS)


def _with_spread(entry: dict | None, digits: int) -> str:
    if entry is None:
        return "–"
    return plain(entry["value"], digits) + (f" ± {entry['spread']:.{digits}f}" if entry["spread"] is not None else "")
