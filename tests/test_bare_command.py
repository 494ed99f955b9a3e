"""`pytest --nbval`, the user's own command, with nothing set and from any folder, on a book of one notebook."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
CELLS = (
    "from hssl.reporting import results\nresults.record('tiny', 'a', 0.5, tolerance=0.1)",
    "results.table('tiny', {'a': 'a number'})",
    "import warnings\nwarnings.warn('the path of a kernel differs from run to run')",
)
pytestmark = pytest.mark.slow


def clean():
    """The environment of a person who has set nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("HSSL_", "PYTEST_"))}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """What the command reads, around a notebook that has run once and recorded its number."""
    house = tmp_path_factory.mktemp("house")
    for name in ("conftest.py", "pyproject.toml", "tests/nbval.cfg"):
        (house / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, house / name)
    (house / "hssl").symlink_to(ROOT / "hssl")
    book = house / "book"
    (book / "results").mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    settings = {"HSSL_RESULTS": "record", "PYTHONPATH": str(ROOT)}
    client = NotebookClient(
        notebook, startup_timeout=3600, iopub_timeout=3600, resources={"metadata": {"path": str(book)}}
    )
    with client.setup_kernel(env={**clean(), **settings}):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    nbformat.write(notebook, book / "tiny.ipynb")
    return house


def bare(house, folder, *what):
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", *what]
    return subprocess.run(
        command,
        cwd=house / folder,
        env={**clean(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("folder", "what"), [(".", ["book"]), ("book", [])], ids=["root", "book"])
def test_it_passes_with_nothing_set(house, folder, what):
    done = bare(house, folder, *what)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_it_holds_numbers_to_the_recorded_ones(house):
    path = house / "book" / "results" / "quick" / "tiny.json"
    recorded = json.loads(path.read_text())
    path.write_text(json.dumps([{**recorded[0], "value": 0.7}]))
    done = bare(house, "book", "tiny.ipynb")
    assert done.returncode == 1
    assert "tiny: a: value came out as 0.5, recorded is 0.7" in done.stdout
