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
import shutil
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from joblib import cpu_count
from jupytext.config import load_jupytext_config
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
BOOK, TEXT, RESULTS = ROOT / "book", ROOT / "text", ROOT / "book" / "results"
SUMMARIES = ("intro", "answers", "results")  # pages that show the numbers of the chapters
KEPT_WITHIN = 0.2  # a run time that differs by less is the same run time


def main(names: list[str]) -> None:
    sys.path.insert(0, str(ROOT))
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
    notebooks = jupytext.read(TEXT / f"{name}.md"), nbformat.read(stored, 4)
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
    notebook = read_twin(name)
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder) / "results"
        shutil.copytree(RESULTS, staged)
        numbers = staged / budget / f"{name}.json"
        runs = staged / "runs" / budget / f"{name}.json"
        for stale in (numbers, runs):
            stale.unlink(missing_ok=True)  # so that no number outlives the code that made it
        try:
            execute(notebook, name, budget, staged)
        except CellExecutionError:
            if budget == "full" and numbers.exists():  # hours are not thrown away
                replace(ROOT / "_build" / "full" / numbers.name, numbers.read_text())
            raise
        tidy(notebook, name)
        for fresh in (numbers, runs):
            if fresh.exists():
                replace(RESULTS / fresh.relative_to(staged), fresh.read_text())
        replace(RESULTS / "run_times.json", (staged / "run_times.json").read_text())
    twin = jupytext.writes(notebook, "md:myst", config=load_jupytext_config(str(TEXT)))
    target = BOOK if budget == "quick" else ROOT / "_build" / "full"
    replace(target / f"{name}.ipynb", nbformat.writes(notebook) + "\n")
    if budget == "quick":
        replace(TEXT / f"{name}.md", twin)  # as JupyterLab would write it, and not older than the notebook
    if name == "intro" and budget == "quick":
        store_cover(notebook)
    print(f"stored {target.relative_to(ROOT) / name}.ipynb")


def read_twin(name: str):
    """The notebook as its text twin has it; stops if the notebook itself was edited later, so that nothing is lost."""
    twin, stored = TEXT / f"{name}.md", BOOK / f"{name}.ipynb"
    notebook = jupytext.read(twin)
    if stored.exists() and stored.stat().st_mtime > twin.stat().st_mtime:
        cells = [[(c.cell_type, c.source.strip()) for c in nb.cells] for nb in (notebook, nbformat.read(stored, 4))]
        if cells[0] != cells[1]:
            sys.exit(
                f"{stored} was edited after {twin}; take it over with `jupytext --sync {stored}`, or touch the twin"
            )
    return notebook


def execute(notebook, name: str, budget: str, staged: Path) -> None:
    """Run every cell; then the cell that shows the run time once more, now that it is known."""
    modes = {"HSSL_RESULTS": "record", "HSSL_RESULTS_DIR": str(staged), "HSSL_PROGRESS": "0", "HSSL_BUDGET": budget}
    each = staged / "run_seconds"
    modes["HSSL_RUN_SECONDS"] = str(each)
    if budget == "quick":  # the tests run one seed and take the others from here
        modes["HSSL_RUNS_TO"] = str(staged / "runs" / budget / f"{name}.json")
    client = NotebookClient(
        notebook,
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(BOOK)}},
    )
    with client.setup_kernel(env={**os.environ, **modes}):
        start = time.perf_counter()
        for index, cell in enumerate(tqdm(notebook.cells, desc=f"{name} ({budget})", unit="cell", leave=False)):
            client.execute_cell(cell, index)
        taken = time.perf_counter() - start
        runs = [float(line) for line in each.read_text().split()] if each.exists() else []
        note_time(staged / "run_times.json", name, budget, taken, runs)
        for index, cell in enumerate(notebook.cells):
            if "run-time" in cell.metadata.get("tags", []):
                client.execute_cell(cell, index, execution_count=cell.execution_count, store_history=False)


def note_time(path: Path, name: str, budget: str, seconds: float, runs: list[float]) -> None:
    """Of the notebook, and how many runs its sweeps had and how long the longest took."""
    times = json.loads(path.read_text()) if path.exists() else {}
    known = times.setdefault(name, {}).get(budget)
    if name in SUMMARIES:
        del times[name]
    elif known is None or abs(seconds - known["seconds"]) > KEPT_WITHIN * known["seconds"] or "runs" not in known:
        longest = {"runs": len(runs), "longest": math.ceil(max(runs, default=0))}
        times[name][budget] = {"seconds": round(seconds), "cores": cpu_count(), **longest}
    path.write_text(json.dumps(times, indent=1, sort_keys=True) + "\n")


def tidy(notebook, name: str) -> None:
    """What differs from run to run or from machine to machine is not stored; solutions are folded in JupyterLab too."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"{name}-{index:02d}"
        if "solution" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"outputs_hidden": True, "source_hidden": True}


def store_cover(notebook) -> None:
    """The landing page's picture, for the README."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    picture = next(output.data["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    replace(ROOT / "assets" / "static" / "idea.png", base64.b64decode(picture))


def replace(path: Path, content: str | bytes) -> None:
    """Whole or not at all: written beside, then moved into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode())
    beside.replace(path)


def write_readme_times(results) -> None:
    """Put the measured run times into the README's table of chapters."""
    path = ROOT / "README.md"
    lines = path.read_text().splitlines()
    for index, line in enumerate(lines):
        cells = line.split("|")
        if len(cells) == 5 and "book/" in cells[1]:
            chapter = cells[1].split("book/")[1].split(".ipynb")[0]
            cells[3] = f" {results.run_time(chapter) or '—'} "
            lines[index] = "|".join(cells)
    replace(path, "\n".join(lines) + "\n")


if __name__ == "__main__":
    os.chdir(BOOK)
    main(sys.argv[1:])
