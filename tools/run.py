"""Execute notebooks and store them with their outputs and numbers; all of a notebook is stored, or nothing.

    python tools/run.py              every notebook
    python tools/run.py content_style    one chapter, and the pages that show its numbers

With HSSL_BUDGET=full only numbers and run times are kept; the executed notebook goes to _build/full/. A long run that
fails leaves there what it had recorded, and the next chapter's turn comes. Without a name, chapters that have gone
through with the code that they have now are not run again.
"""

import base64
import json
import math
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NoReturn

import jupytext
import nbformat
from joblib import cpu_count
from jupytext.config import load_jupytext_config
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hssl.files import alone, write_together, write_whole  # noqa: E402
from hssl.reporting.records import read_times  # noqa: E402

BOOK, TEXT, RESULTS = ROOT / "book", ROOT / "text", ROOT / "book" / "results"
SUMMARIES = ("intro", "answers", "results")  # pages that show the numbers of the chapters
LAST = "results.finish("  # stands in the last cell of a chapter
PATIENCE = 3600  # seconds for a kernel to start, and for its outputs to arrive once a cell is done
KEPT_WITHIN = 0.2  # a run time that differs by less is the same run time


def main(names: list[str]) -> None:
    from hssl.reporting import results

    budget = results.budget()
    chapters = [path.stem for path in sorted(TEXT.glob("*.md")) if path.stem not in SUMMARIES]
    if unknown := set(names) - {*chapters, *SUMMARIES}:
        sys.exit(f"no such chapter: {', '.join(unknown)}; there are {', '.join((*chapters, *SUMMARIES))}")
    if budget == "full" and not names:
        names = [name for name in chapters if not went_through(name)]
        print(f"to do: {', '.join(names) or 'nothing'} (the other {len(chapters) - len(names)} have gone through)")
    elif not names:
        names = chapters
    for name in names:  # before any of them is executed
        read_twin(name)
    failed = [name for name in names if not attempt(name, budget)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; what they had recorded lies in {ROOT / '_build' / 'full'}")
    if budget == "full":
        print("Now `make run`, so that the pages show these numbers.")
        return
    for name in SUMMARIES:
        run(name, budget)
    write_readme_times(results)


def went_through(name: str) -> bool:
    """Whether a full run has stored numbers with the code that the chapter has now."""
    stored, numbers = ROOT / "_build" / "full" / f"{name}.ipynb", RESULTS / "full" / f"{name}.json"
    if not (stored.exists() and numbers.exists()):
        return False
    notebooks = read_twin(name), read_notebook(stored)
    now, then = ([cell.source.strip() for cell in of.cells if cell.cell_type == "code"] for of in notebooks)
    return now == then


def attempt(name: str, budget: str) -> bool:
    """Whether a notebook went through. A failure ends a quick recording; a full one says why and goes on."""
    try:
        run(name, budget)
    except CellExecutionError as error:
        if budget != "full":
            raise
        print(error)
        return False
    return True


def run(name: str, budget: str) -> None:
    """Execute one notebook on a copy of the results, then move notebook, numbers and run time into place."""
    with staging(name, budget) as staged:
        notebook = read_twin(name)
        numbers = staged / budget / f"{name}.json"
        runs = staged / "runs" / budget / f"{name}.json"
        for stale in (numbers, runs):
            stale.unlink(missing_ok=True)  # so that no number outlives the code that made it
        try:
            taken = execute(notebook, name, budget, staged)
        except CellExecutionError:
            if budget == "full" and numbers.exists():  # hours are not thrown away
                store({ROOT / "_build" / "full" / numbers.name: numbers.read_bytes()})
            raise
        tidy(notebook, name)
        target = BOOK if budget == "quick" else ROOT / "_build" / "full"
        made = {RESULTS / fresh.relative_to(staged): fresh.read_bytes() for fresh in (numbers, runs) if fresh.exists()}
        made[target / f"{name}.ipynb"] = (nbformat.writes(notebook) + "\n").encode()
        if budget == "quick":  # as JupyterLab would write it, and not older than the notebook
            made[TEXT / f"{name}.md"] = twin_of(notebook).encode()
        if name == "intro" and budget == "quick":
            made[ROOT / "assets" / "static" / "idea.png"] = cover(notebook)
        times = RESULTS / "run_times.json"
        store(made, {times: lambda file: file.write(with_time(times, name, budget, *taken))})
    print(f"stored {target.relative_to(ROOT) / name}.ipynb")


@contextmanager
def staging(name: str, budget: str) -> Iterator[Path]:
    """A copy of the results for this run alone; who runs the same notebook at the same time waits.

    It lies below _build/, so that a killed run leaves nothing elsewhere; the next one removes what it left there.
    """
    folder = ROOT / "_build" / "running" / f"{budget}-{name}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.with_name(f"{folder.name}.lock"), waiting=f"{name}: another process runs it; waiting"):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield Path(shutil.copytree(RESULTS, folder, ignore=shutil.ignore_patterns(".*")))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def store(made: Mapping[Path, bytes], others: Mapping[Path, Callable[[BinaryIO], Any]] = MappingProxyType({})) -> None:
    """All of these files, or none; `others` are written by functions."""
    writers = {path: partial(lambda content, file: file.write(content), content) for path, content in made.items()}
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_together({**writers, **others})


def read_twin(name: str):
    """The notebook as its text twin has it.

    Stops if the twin is damaged or ends too early, or if the notebook was edited later, so that nothing is lost.
    """
    twin, stored = TEXT / f"{name}.md", BOOK / f"{name}.ipynb"
    was = read_notebook(stored) if stored.exists() else None
    try:
        text = twin.read_text("utf-8")
        notebook = jupytext.read(twin)
    except Exception as error:
        sys.exit(f"{twin}: damaged; restore it ({type(error).__name__}: {str(error)[:200]})")
    if problem := cut_off(text, notebook, was):
        sys.exit(f"{twin}: {problem}; restore it, or delete {stored} if this is meant")
    if was and stored.stat().st_mtime > twin.stat().st_mtime:
        cells = [[(c.cell_type, c.source.strip()) for c in nb.cells] for nb in (notebook, was)]
        if cells[0] != cells[1]:
            sys.exit(
                f"{stored} was edited after {twin}; take it over with `jupytext --sync {stored}`, or touch the twin"
            )
    return notebook


def cut_off(text: str, notebook, was) -> str:
    """What shows that a twin has lost its end, beside the notebook as `was` stored; nothing if it is whole."""
    if not notebook.metadata.get("kernelspec"):
        return "its header is not whole"
    fence = ""
    for line in text.splitlines():
        ticks, rest = re.match(r"\s*(`*)(.*)", line).groups()
        if not fence and len(ticks) >= 3:
            fence = ticks
        elif fence and len(ticks) >= len(fence) and not rest.strip():
            fence = ""
    if fence:
        return "its last block has no end"
    if not text.endswith("\n"):
        return "its last line has no end"
    code, before = (
        [cell.source for cell in of.cells if cell.cell_type == "code"] for of in (notebook, was or notebook)
    )
    if not code:
        return "it has no code"
    if any(LAST in source for source in before) and not any(LAST in source for source in code):
        return f"its last cell is missing, the one with {LAST}…)"
    return "most of its cells are missing" if 2 * len(code) < len(before) else ""


def read_notebook(path: Path):
    """Stops if it is damaged."""
    try:
        return nbformat.read(path, 4)
    except Exception as error:
        sys.exit(f"{path}: damaged; restore or delete it ({type(error).__name__}: {str(error)[:200]})")


def execute(notebook, name: str, budget: str, staged: Path) -> tuple[float, list[float]]:
    """Run every cell; then the cell that shows the run time once more, now that it is known.

    Gives the seconds of the whole, and of each run of its sweeps.
    """
    modes = {"HSSL_RESULTS": "record", "HSSL_RESULTS_DIR": str(staged), "HSSL_PROGRESS": "0", "HSSL_BUDGET": budget}
    each = staged / "run_seconds"
    modes["HSSL_RUN_SECONDS"] = str(each)
    if budget == "quick":  # the tests run one seed and take the others from here
        modes["HSSL_RUNS_TO"] = str(staged / "runs" / budget / f"{name}.json")
    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=PATIENCE,
        iopub_timeout=PATIENCE,
        raise_on_iopub_timeout=True,  # otherwise the rest of the outputs would be lost in silence
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(BOOK)}},
    )
    client.create_kernel_manager().connection_file = str(staged / "kernel.json")
    with client.setup_kernel(env={**os.environ, **modes}):
        start = time.perf_counter()
        for index, cell in enumerate(tqdm(notebook.cells, desc=f"{name} ({budget})", unit="cell", leave=False)):
            client.execute_cell(cell, index)
        taken = time.perf_counter() - start
        runs = [float(line) for line in each.read_text().split()] if each.exists() else []
        times = staged / "run_times.json"
        times.write_bytes(with_time(times, name, budget, taken, runs))
        for index, cell in enumerate(notebook.cells):
            if "run-time" in cell.metadata.get("tags", []):
                client.execute_cell(cell, index, execution_count=cell.execution_count, store_history=False)
    return taken, runs


def with_time(path: Path, name: str, budget: str, seconds: float, runs: list[float]) -> bytes:
    """The file of run times with that of a notebook, how many runs its sweeps had, and how long the longest took."""
    times = read_times(path)
    known = times.setdefault(name, {}).get(budget)
    if name in SUMMARIES:
        del times[name]
    elif known is None or abs(seconds - known["seconds"]) > KEPT_WITHIN * known["seconds"] or "runs" not in known:
        longest = {"runs": len(runs), "longest": math.ceil(max(runs, default=0))}
        times[name][budget] = {"seconds": round(seconds), "cores": cpu_count(), **longest}
    return (json.dumps(times, indent=1, sort_keys=True) + "\n").encode()


def tidy(notebook, name: str) -> None:
    """What differs from run to run or from machine to machine is not stored; solutions are folded in JupyterLab too."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"{name}-{index:02d}"
        if "solution" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"outputs_hidden": True, "source_hidden": True}


def twin_of(notebook) -> str:
    return jupytext.writes(notebook, "md:myst", config=load_jupytext_config(str(TEXT)))


def cover(notebook) -> bytes:
    """The landing page's picture, for the README."""
    outputs = (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
    return base64.b64decode(next(data["image/png"] for data in outputs if "image/png" in data))


def write_readme_times(results) -> None:
    """Put the measured run times into the README's table of chapters."""
    path = ROOT / "README.md"

    def write(file: BinaryIO) -> None:
        lines = path.read_text().splitlines()
        for index, line in enumerate(lines):
            cells = line.split("|")
            if len(cells) == 5 and "book/" in cells[1]:
                chapter = cells[1].split("book/")[1].split(".ipynb")[0]
                cells[3] = f" {results.run_time(chapter) or '—'} "
                lines[index] = "|".join(cells)
        file.write(("\n".join(lines) + "\n").encode())

    write_whole(path, write)


def end(number: int, _) -> NoReturn:
    """What a closed terminal or a `kill` asks for, so that the kernel ends and nothing is left."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for asked in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(asked) != signal.SIG_IGN:  # as nohup has it
            signal.signal(asked, end)
    os.chdir(BOOK)
    main(sys.argv[1:])
