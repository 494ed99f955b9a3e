"""Measured times: how long a chapter runs, and how fast we are beside others. Kept, and never verified."""

import math

import pandas as pd

from hssl.checks import Count, NonNegative, Positive, checked, explained
from hssl.reporting.records import BUDGETS, add, folder, read, read_times

BENCHMARKS = "benchmarks.json"
NEEDED = {"id": str, "ours": Positive, "other": Positive, "unit": str, "what": str}
STOPPED = {"stopped": bool}


@explained
def minutes(seconds: NonNegative) -> str:
    """Seconds, for a person, to the next ten seconds.

    >>> minutes(33), minutes(121)
    ('40 s', '2 min 10 s')
    """
    tens = math.ceil(seconds / 10) * 10
    return f"{tens // 60} min {tens % 60:02d} s" if tens >= 60 else f"{tens} s"


@explained
def run_time(chapter: str) -> str:
    """How long the chapter ran when it was last recorded, for a person; empty if it never was.

    >>> run_time("no_such_chapter")
    ''
    """
    taken = run_times(chapter).items()
    cores = {name: "1 core" if t["cores"] == 1 else f"{t['cores']} cores" for name, t in taken}
    return ", ".join(f"{minutes(t['seconds'])} with the {name} budget on {cores[name]}" for name, t in taken)


@explained
def run_times(chapter: str) -> dict[str, dict[str, int]]:
    """The same as numbers, by budget: "seconds" and "cores".

    >>> run_times("no_such_chapter")
    {}
    """
    times = read_times(folder() / "run_times.json").get(chapter, {})
    return {name: times[name] for name in BUDGETS if name in times}


@explained
def machines(within: Positive = 600, *, budget: str = "full", cores: Count = 2) -> pd.DataFrame:
    """How many machines the notebooks need at least, together, to be done within a time; a row a chapter, and "all".

    The work of a notebook is its seconds times the cores it had. Its sweeps can be divided among machines, a single run
    of them cannot: where the longest takes more than the time, no number of machines is enough ("–"), and where it was
    not measured yet, the field is empty.

    Args:
        within: seconds. cores: of each machine.
    Returns:
        Columns "core minutes", "runs", "longest run" and "machines".

    >>> list(machines().columns)
    ['core minutes', 'runs', 'longest run', 'machines']
    """
    rows = {}
    for chapter, times in read_times(folder() / "run_times.json").items():
        if of := times.get(budget):
            rows[chapter] = of["seconds"] * of["cores"], of.get("runs", 0), of.get("longest", 0)
    if rows:
        work, runs, longest = zip(*rows.values(), strict=True)
        rows["all"] = sum(work), sum(runs), max(longest)
    texts = {
        chapter: (math.ceil(work / 60), runs or "", minutes(longest) if longest else "",
                  "–" if longest > within else math.ceil(work / (cores * within)))
        for chapter, (work, runs, longest) in rows.items()
    }  # fmt: skip
    columns = ["core minutes", "runs", "longest run", "machines"]
    return pd.DataFrame.from_dict(texts, orient="index", columns=columns)


@checked
def record_benchmark(id: str, *, ours: Positive, other: Positive, unit: str, what: str, stopped: bool = False) -> None:
    """Keep what a benchmark measured: our side and the other, in the same unit, and in words what was compared.

    Only the scripts in benchmarks/ call this, as timings differ between machines. If the other side was `stopped`
    before it was done, its time and the ratio are lower bounds.

    >>> import os, tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as room, patch.dict(os.environ, HSSL_RESULTS_DIR=room):
    ...     record_benchmark("draw", ours=300.0, other=3.0, unit="images/s", what="scenes")
    ...     benchmarks("draw").loc["scenes", "ratio"]
    '100×'
    """
    entry = {"id": id, "ours": ours, "other": other, "unit": unit, "what": what, "stopped": stopped}
    add(folder() / BENCHMARKS, entry)


@explained
def benchmarks(*ids: str) -> pd.DataFrame:
    """What the benchmarks measured when they were last run, a row an id (none given: all), with the ratio.

    >>> list(benchmarks("no_such_benchmark").columns)
    ['ours', 'other', 'ratio']
    """
    known = read(folder() / BENCHMARKS, NEEDED, STOPPED)
    rows = [known[id] for id in ids or known if id in known]
    ratio = [max(row["ours"], row["other"]) / min(row["ours"], row["other"]) for row in rows]
    least = [">" if row.get("stopped") else "" for row in rows]
    texts = {"ours": [f"{row['ours']:.3g} {row['unit']}" for row in rows]}
    texts["other"] = [f"{mark}{row['other']:.3g} {row['unit']}" for mark, row in zip(least, rows, strict=True)]
    texts["ratio"] = [f"{mark}{r:.2g}×" if r < 10 else f"{mark}{r:.0f}×" for mark, r in zip(least, ratio, strict=True)]
    columns = {"": [row["what"] for row in rows], **texts}
    return pd.DataFrame(columns).set_index("")
