"""tools/run.py: a notebook, its numbers and its run time are stored together or not at all."""

import json

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
