"""tools/run.py: a notebook, its numbers and its run time are stored together or not at all; killed, nothing is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
import run

CELL = """```{{code-cell}} ipython3
{}
```

"""
RECORD = "from hssl.reporting import results\nresults.record('demo', 'a', 0.5, tolerance=0.1)\nprint(results.budget())"

pytestmark = pytest.mark.slow  # each starts a kernel


@pytest.fixture
def house(tmp_path, monkeypatch):
    for name, folder in {"ROOT": ".", "BOOK": "book", "TEXT": "text", "RESULTS": "book/results"}.items():
        monkeypatch.setattr(run, name, tmp_path / folder)
    (tmp_path / "text").mkdir()
    (tmp_path / "book" / "results" / "quick").mkdir(parents=True)
    return tmp_path


def write(house, *cells):
    header = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n  language: python\n---\n\n# Demo\n\n"
    (house / "text" / "demo.md").write_text(header + "".join(CELL.format(cell) for cell in cells))


ROOT = Path(__file__).parents[1]
MEET = """
import os, time
from pathlib import Path
meet = Path(os.environ["MEET"])
(meet / "{0}").write_text(str(os.getpid()))
while not (meet / "{1}").exists():
    time.sleep(0.05)
from hssl.reporting import results
results.record("{0}", "a", 0.5, tolerance=0.1)
"""


@pytest.fixture
def started(house, as_started_by_hand, tmp_path):
    """Starts the runner itself, on a chapter that waits for another or for ever; says which process is its kernel."""
    runners = []
    for name in ("tools", "meet", "temporary", "runtime"):
        (house / name).mkdir()
    shutil.copy(ROOT / "tools" / "run.py", house / "tools" / "run.py")
    (house / "hssl").symlink_to(ROOT / "hssl")
    settings = {"HSSL_BUDGET": "full", "MEET": "meet", "TMPDIR": "temporary", "JUPYTER_RUNTIME_DIR": "runtime"}
    paths = {name: str(house / of) for name, of in settings.items() if name != "HSSL_BUDGET"}

    def start(name, other):
        write(house, MEET.format(name, other))
        (house / "text" / "demo.md").rename(house / "text" / f"{name}.md")
        command = [sys.executable, house / "tools" / "run.py", name]
        how: dict[str, Any] = {"env": {**os.environ, **settings, **paths}, "start_new_session": True}
        runners.append(subprocess.Popen(command, preexec_fn=as_started_by_hand, **how))
        return runners[-1]

    def kernel(name):
        while not (house / "meet" / name).exists() or not (house / "meet" / name).read_text():
            assert all(runner.poll() is None for runner in runners)
            time.sleep(0.05)
        return int((house / "meet" / name).read_text())

    start.kernel = kernel
    yield start
    for runner in runners:
        if runner.poll() is None:
            os.killpg(runner.pid, signal.SIGKILL)
            runner.wait()


def numbers(house):
    return json.loads((house / "book/results/quick/demo.json").read_text())


def test_what_a_run_stores(house):
    write(house, RECORD)
    run.run("demo", "quick")
    notebook = nbformat.read(house / "book" / "demo.ipynb", 4)
    assert notebook.cells[1].outputs[0].text == "quick\n"
    assert [cell.id for cell in notebook.cells] == ["demo-00", "demo-01"]
    assert numbers(house)[0]["value"] == 0.5
    assert list(json.loads((house / "book/results/run_times.json").read_text())["demo"]) == ["quick"]


def test_a_solution_is_folded_in_jupyterlab(house):
    write(house, RECORD, "1 + 1")
    twin = house / "text" / "demo.md"
    twin.write_text(twin.read_text().replace("ipython3\n1 +", "ipython3\n:tags: [solution]\n\n1 +"))
    run.run("demo", "quick")
    cells = nbformat.read(house / "book" / "demo.ipynb", 4).cells
    assert cells[2].metadata["jupyter"] == {"outputs_hidden": True, "source_hidden": True}
    assert "jupyter" not in cells[1].metadata


def test_a_run_that_fails_stores_nothing(house):
    write(house, RECORD, "1 / 0")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run.run("demo", "quick")
    assert [path.name for path in house.rglob("*") if path.is_file()] == ["demo.md"]


def test_numbers_that_are_no_longer_recorded_are_dropped(house):
    (house / "book/results/quick/demo.json").write_text('[{"id": "old"}]')
    write(house, RECORD)
    run.run("demo", "quick")
    assert [entry["id"] for entry in numbers(house)] == ["a"]


def test_the_full_budget_leaves_the_book_alone(house):
    write(house, RECORD)
    run.run("demo", "full")
    assert not (house / "book" / "demo.ipynb").exists()
    assert (house / "_build/full/demo.ipynb").exists()
    assert (house / "book/results/full/demo.json").exists()
    assert run.went_through("demo")
    twin = house / "text" / "demo.md"
    twin.write_text(twin.read_text() + "\nMore prose.\n")
    assert run.went_through("demo")
    twin.write_text(twin.read_text().replace("0.5, tol", "0.6, tol"))
    assert not run.went_through("demo")


def test_a_full_run_that_fails_leaves_what_it_had_recorded(house, capsys):
    write(house, RECORD, "results.claim(False, 'content is found')", "results.finish('demo')")
    assert not run.attempt("demo", "full")
    assert "content is found" in capsys.readouterr().out
    assert json.loads((house / "_build/full/demo.json").read_text())[0]["value"] == 0.5
    assert not (house / "book/results/full").exists()


def test_two_chapters_that_are_recorded_at_the_same_time_lose_nothing(house, started):
    runners = [started("one", "two"), started("two", "one")]
    assert [runner.wait() for runner in runners] == [0, 0]
    results = house / "book" / "results"
    assert set(json.loads((results / "run_times.json").read_text())) == {"one", "two"}
    assert sorted(path.name for path in (results / "full").iterdir()) == ["one.json", "two.json"]
    assert not list((house / "_build" / "running").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_killed_leaves_nothing(house, started, number):
    runner = started("one", "no other")
    kernel = started.kernel("one")
    runner.send_signal(number)
    assert runner.wait() != 0
    while subprocess.run(["kill", "-0", str(kernel)], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        time.sleep(0.05)  # it ends by itself, also where nobody is left to end it
    assert not list((house / "temporary").iterdir()) and not list((house / "runtime").iterdir())
    assert not list((house / "book").rglob("*.*"))
    if number == signal.SIGKILL:
        assert list((house / "_build" / "running").iterdir())
        (house / "meet" / "no other").touch()
        assert started("one", "no other").wait() == 0  # the next one cleans up
    assert not list((house / "_build" / "running").iterdir())


CUT = {
    "header": lambda text: text[:30],
    "all but the header": lambda text: text[: text.index("# Demo")],
    "code": lambda text: text[: text.index("```{code")],
    "end of a block": lambda text: text.rstrip().removesuffix("```"),
    "end of a line": lambda text: text.rstrip(),
    "last cell": lambda text: text[: text.rindex("```{code")],
    "most cells": lambda text: text[: text.index("```{code", text.index("```{code") + 1)] + "\n",
}


@pytest.mark.parametrize("lost", CUT)
def test_a_twin_that_was_cut_off_is_refused_before_anything_runs(house, lost):
    end = "results.finish('demo')" if lost == "last cell" else "2 + 2"
    write(house, RECORD, "1 + 1", end)
    run.run("demo", "quick")
    stored = {path: path.read_bytes() for path in (house / "book").rglob("*.*")}
    twin = house / "text" / "demo.md"
    twin.write_text(CUT[lost](twin.read_text()))
    with pytest.raises(SystemExit, match=r"demo\.md: .*; restore it"):
        run.run("demo", "quick")
    assert {path: path.read_bytes() for path in (house / "book").rglob("*.*")} == stored


def test_a_notebook_edited_after_its_twin_is_not_overwritten(house):
    write(house, RECORD)
    run.run("demo", "quick")
    path = house / "book" / "demo.ipynb"
    path.write_text(path.read_text().replace("# Demo", "# Mine"))
    with pytest.raises(SystemExit, match="was edited after"):
        run.run("demo", "quick")


@pytest.mark.parametrize(("known", "seconds", "kept"), [(100, 110, 100), (100, 130, 130), (100, 70, 70)])
def test_a_run_time_changes_only_when_it_really_did(house, known, seconds, kept):
    path = house / "times.json"
    path.write_text(json.dumps({"demo": {"quick": {"seconds": known, "cores": 64, "runs": 2, "longest": 9}}}))
    noted = json.loads(run.with_time(path, "demo", "quick", seconds, [3.2]))["demo"]["quick"]
    assert noted["seconds"] == kept and (noted["runs"], noted["longest"]) == ((2, 9) if kept == known else (1, 4))
