"""Each notebook in book/ and its text twin say the same; what is stored is one whole run; style holds."""

import ast
import difflib
import io
import itertools
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext.config import load_jupytext_config

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
TWINS = sorted((ROOT / "text").glob("*.md"))
IN_PARTS = [  # one part of the book a line
    "intro start_here",
    "content_style breaking objectives causal_scenes sharing arrows arrows_scenes content_in_depth",
    "ood_limits ood_photographs ood_transfer",
    "patch_pairs pairing similarity continuation closure icons",
    "hierarchy joint_incremental levels threshold_levels photograph_levels own_images stacking_in_depth answers",
    "full_size",
]
FINISHED = " ".join(IN_PARTS).split()
FEW, ALIKE = 26, 0.9  # tokens of a function that is too short to share; share of tokens that two have in common
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(notebook):
    return [
        (c.cell_type, c.source.strip(), sorted(c.metadata.get("tags", [])), c.metadata.get("mystnb"))
        for c in notebook.cells
    ]


def code(path):
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


def test_every_notebook_has_its_twin():
    assert NOTEBOOKS
    assert [p.stem for p in NOTEBOOKS] == [p.stem for p in TWINS]


@each
def test_twins_are_in_sync(path):
    assert cells(jupytext.read(ROOT / "text" / f"{path.stem}.md")) == cells(nbformat.read(path, 4))


@each
def test_twins_are_as_jupyterlab_writes_them(path):
    twin = ROOT / "text" / f"{path.stem}.md"
    form = jupytext.writes(jupytext.read(twin), "md:myst", config=load_jupytext_config(str(twin)))
    assert twin.read_text() == form, "make format"


@each
def test_stored_run_is_whole(path):
    counts = [c.execution_count for c in code(path)]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_no_stored_error_that_was_not_announced(path):
    for cell in code(path):
        errors = [o for o in cell.outputs if o.output_type == "error"]
        assert not errors or "raises-exception" in cell.metadata.get("tags", [])


@each
def test_figures_have_alt_text_and_captions(path):
    for cell in code(path):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            shown = cell.metadata.get("mystnb", {})
            assert shown.get("image", {}).get("alt"), cell.source
            assert shown.get("figure", {}).get("caption"), cell.source


@each
def test_no_code_cell_is_over_25_lines(path):
    for cell in code(path):
        assert cell.source.count("\n") < 25, cell.source


@pytest.mark.parametrize("name", FINISHED)
def test_a_page_is_finished_in_one_sitting(name):
    notebook = nbformat.read(ROOT / "book" / f"{name}.ipynb", 4)
    words = sum(len(c.source.split()) for c in notebook.cells if c.cell_type == "markdown")
    hidden = {"remove-input", "remove-cell"}
    visible = [c.source for c in code(ROOT / "book" / f"{name}.ipynb") if not hidden & set(c.metadata.get("tags", []))]
    lines = [len([line for line in source.splitlines() if line.strip()]) for source in visible]
    rich = {"image/png", "text/html"}  # figures, tables and controls
    shown = sum(bool(rich & set(o.get("data", ()))) for c in notebook.cells for o in c.get("outputs", ()))
    assert words <= 1800 and len(notebook.cells) <= 40 and shown <= 8
    assert sum(lines) <= 150 and max(lines, default=0) <= 20 and sorted(lines or [0])[len(lines) // 2] <= 7
    assert not any("hide-input" in c.metadata.get("tags", []) for c in notebook.cells)


@pytest.mark.parametrize("name", FINISHED)
def test_an_exercise_has_room_for_an_attempt_and_a_folded_solution(name):
    inside = False
    cells = nbformat.read(ROOT / "book" / f"{name}.ipynb", 4).cells
    for cell, after in itertools.pairwise(cells):
        if "{exercise}" in cell.source:
            assert after.source == "# your attempt" and after.metadata.get("tags") == ["attempt"], cell.source
        inside = (inside or "{solution-start}" in cell.source) and "{solution-end}" not in cell.source
        if cell.cell_type == "code":
            folded = cell.metadata.get("jupyter") == {"outputs_hidden": True, "source_hidden": True}
            assert inside == folded == ("solution" in cell.metadata.get("tags", [])), cell.source


@each
def test_visible_lines_of_code_fit_on_the_page(path):
    for cell in code(path):
        if not {"hide-input", "remove-input", "hide-cell", "remove-cell"} & set(cell.metadata.get("tags", [])):
            assert max(map(len, cell.source.splitlines()), default=0) <= 84, cell.source


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_notebook_code_is_tidy(command):
    subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", "book"], cwd=ROOT, check=True)


@each
def test_nothing_of_this_machine_is_stored(path):
    assert not re.search(r"/(?:home|root|tmp|work|Users)/\w", path.read_text())


def test_what_docstrings_say_is_taught_somewhere_is_a_section_there():
    said = [
        match
        for path in (ROOT / "hssl").rglob("*.py")
        for match in re.findall(r'Taught in: (\w+),\s+"([^"]+)"', path.read_text())
    ]
    assert said
    for chapter, section in said:
        headings = re.findall(r"^#+ (.+)$", (ROOT / "text" / f"{chapter}.md").read_text(), re.MULTILINE)
        assert section in headings, (chapter, section)


def test_no_two_chapters_hold_a_function_of_like_shape():
    """A helper that two chapters use stands in the library. Shape: its tokens, whatever its variables are called."""
    found = [(path.stem, function.name, shape(function)) for path in NOTEBOOKS for function in functions_of(path)]
    alike = []
    for (chapter, name, tokens), (other, same, others) in itertools.combinations(found, 2):
        least = min(len(tokens), len(others))
        matcher = difflib.SequenceMatcher(None, tokens, others, autojunk=False)
        if chapter != other and least >= FEW and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE:
            alike.append(f"{chapter}.{name} and {other}.{same}")
    assert not alike


def functions_of(path):
    nodes = (node for cell in code(path) for node in ast.walk(ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", cell.source))))
    return [node for node in nodes if isinstance(node, ast.FunctionDef)]


def shape(function):
    """The tokens of a function but its docstring; names that it binds, numbers and strings are all alike."""
    names = {function.name}
    for node in ast.walk(function):
        names |= {node.arg} if isinstance(node, ast.arg) else set()
        names |= {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else set()
    if ast.get_docstring(function):
        function.body = function.body[1:] or [ast.Pass()]
    kinds = {tokenize.NUMBER: "number", tokenize.STRING: "string"}
    tokens = tokenize.generate_tokens(io.StringIO(ast.unparse(function)).readline)
    return [
        kinds.get(token.type, "name" if token.string in names else token.string)
        for token in tokens
        if token.string.strip()
    ]


def test_shapes_are_alike_whatever_names_and_numbers_they_have():
    one, two, three = (
        ast.parse(source).body[0]
        for source in (
            'def f(a):\n    """Twice."""\n    return [x + 2 for x in a]',
            "def g(items):\n    return [y + 3.5 for y in items]",
            "def h(a):\n    return [x * 2 for x in a]",
        )
    )
    assert shape(one) == shape(two) != shape(three)


@each
def test_prose_that_code_prints_holds_no_formula(path):
    """The built page shows it as it is written: what Markdown prints goes through CommonMark, which knows no math."""
    for cell in code(path):
        for output in cell.get("outputs", []):
            assert "$" not in "".join(output.get("data", {}).get("text/markdown", "")), cell.source
