"""The package on its own: the source distribution tests itself, and the wheel is enough for every notebook."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import requires
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
SUMMARIES = ["answers", "intro", "results"]  # pages that show what other chapters have recorded
EVERY = os.environ.get("HSSL_ALONE") == "all"  # the chapters, too: they take long
LEFT_OUT = (".git", ".venv", "_build", "__pycache__", "*.egg-info", ".ipynb_checkpoints", ".*_cache")
NAMED = {  # by page, files that only the book has; may only shrink
    ("results", "../_toc.yml"),  # without it the chapters stand in no parts
}
QUICKLY = "import hssl.training\nhssl.training.fit = lambda *args, **settings: None"
WHERE = "import hssl\nhssl.__file__"


def clean(**more):
    """The environment of a person who has set nothing."""
    ours = "HSSL_", "PYTEST_", "PYTHONPATH"
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def call(*command, cwd, **more):
    done = subprocess.run(command, cwd=cwd, env=clean(**more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The tree, its source distribution, what is in that, the wheel built from it, and the wheel installed."""
    house = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT, house / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT))
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    call(sys.executable, "-c", build, str(house), cwd=house / "tree")
    with tarfile.open(next(house.glob("*.tar.gz"))) as archive:
        archive.extractall(house, filter="data")
    next(house.glob("hssl-*/")).rename(house / "source")
    pip = sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"
    offline = "--no-index", "--no-deps"
    call(*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", ".", "./source", cwd=house)
    (wheel,) = house.glob("*.whl")
    call(*pip, "install", *offline, "--target", "installed", wheel.name, cwd=house)
    return house


@pytest.mark.slow
def test_the_source_distribution_holds_what_the_repository_holds(house):
    there = {str(path.relative_to(house / "tree")) for path in (house / "tree").rglob("*") if path.is_file()}
    packed = {str(path.relative_to(house / "source")) for path in (house / "source").rglob("*") if path.is_file()}
    there = {name for name in there if not re.search(r"\.egg-info/|\.pyc$", name)}
    assert there - packed == set()
    added = {name for name in packed - there if ".egg-info/" not in name and not name.startswith("build/")}
    assert added <= {"PKG-INFO", "setup.cfg"}


@pytest.mark.slow
def test_the_source_distribution_tests_itself(house):
    few = "tests/test_losses.py", "tests/test_install.py", "tests/test_reporting_records.py", "hssl/files.py"
    options = "-q", "-m", "not slow", "-p", "no:cacheprovider"
    said = call(sys.executable, "-m", "pytest", *options, *few, cwd=house / "source")
    assert int(re.search(r"(\d+) passed", said)[1]) > 50


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_the_records(house):
    (wheel,) = house.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    names = [path.relative_to(ROOT) for path in (ROOT / "hssl").rglob("*") if path.is_file()]
    library = {str(name) for name in names if "__pycache__" not in name.parts and "recorded" not in name.parts}
    results = [path.relative_to(ROOT / "book" / "results") for path in (ROOT / "book" / "results").rglob("*.*")]
    recorded = {f"hssl/reporting/recorded/{name}" for name in results if name.parts[0] != "runs"}
    assert packed == library | recorded


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS] if EVERY else SUMMARIES)
def test_a_notebook_runs_with_the_wheel_in_an_empty_folder(house, tmp_path, name):
    notebook = nbformat.read(ROOT / "book" / f"{name}.ipynb", 4)
    stored = shown(notebook)
    first = WHERE if EVERY or name != "intro" else f"{QUICKLY}\n{WHERE}"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    client = NotebookClient(
        notebook, startup_timeout=3600, iopub_timeout=3600, resources={"metadata": {"path": str(tmp_path)}}
    )
    with client.setup_kernel(env=clean(PYTHONPATH=str(house / "installed"), HSSL_PROGRESS="0", **one_seed(name))):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    file = ast.literal_eval(notebook.cells[0].outputs[0]["data"]["text/plain"])
    assert Path(file).is_relative_to(house / "installed")
    warned = "".join(
        one.text for cell in notebook.cells for one in cell.get("outputs", []) if one.get("name") == "stderr"
    )
    assert "recorded" not in warned  # no number is missing
    assert not list(tmp_path.iterdir())
    if name == "answers":
        assert shown(notebook)[1:] == stored  # nothing on it is measured


def one_seed(name):
    """As in the suite: of each sweep one seed, unless all are asked for."""
    kept = ROOT / "book" / "results" / "runs" / "quick" / f"{name}.json"
    return {} if os.environ.get("HSSL_SEEDS") == "all" else {"HSSL_RUNS_FROM": str(kept)}


def shown(notebook):
    """What the cells print, and their tables."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", []) if one.get("name") != "stderr"]
    return [one.get("text") or one["data"].get("text/html") or one["data"]["text/plain"] for one in outputs]


def code(path):
    """The syntax trees of a notebook's cells, without IPython's own lines."""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code":
            yield ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", cell.source))


def test_no_cell_names_a_file_that_only_the_book_has():
    named = set()
    for path in NOTEBOOKS:
        nodes = (node for tree in code(path) for node in ast.walk(tree) if isinstance(node, ast.Constant))
        words = {node.value for node in nodes if isinstance(node.value, str) and 0 < len(node.value) < 200}
        named |= {(path.stem, word) for word in words if "\0" not in word and (path.parent / word).is_file()}
    assert named == NAMED


def test_no_cell_imports_what_the_package_does_not_bring():
    names = {"hssl": "hssl", "scikit-learn": "sklearn", "pillow": "PIL", "fonttools": "fontTools"}
    declared = map(Requirement, requires("hssl") or [])
    brought = {names.get(one.name, one.name) for one in declared if not one.marker} | {"hssl"}
    brought |= {"IPython", "ipywidgets"}  # by anywidget
    for path in NOTEBOOKS:
        found = set()
        for node in (node for tree in code(path) for node in ast.walk(tree)):
            found |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            found |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
        outside = {name.split(".")[0] for name in found} - brought - sys.stdlib_module_names
        assert not outside, f"{path.name} imports {', '.join(outside)}"
