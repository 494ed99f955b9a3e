"""What the book stands on: declared once, installable on every Python that is promised, imported one way."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
FLOORS = (
    ("checks", "files"),
    ("reading",),
    ("pairs",),
    ("patches",),
    ("worlds",),
    ("augment",),
    ("losses", "objectives", "encoders"),
    ("pairing", "probes", "calibration"),
    ("training",),
    ("reporting", "widgets"),
    ("own", "scale"),
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
SIDEWAYS = {("calibration", "probes")}  # may only shrink
LATE = {"IPython", "ipywidgets", "matplotlib", "pandas", "seaborn", "sklearn", "torchvision", "scipy.stats"}
LEARNING = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "hssl").rglob("*.py")
    # these show, or are torchvision's
    if not {"reporting", "widgets", "causal3dident", "scale", "own"} & {*path.parts, path.stem}
)


def test_every_direct_dependency_has_a_tested_version():
    pins = {canonicalize_name(name): pin for name, pin in PINS.items()}
    wanted = [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]
    for requirement in map(Requirement, wanted):
        assert pins.get(canonicalize_name(requirement.name)) in requirement.specifier, requirement


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_tested_versions_install_on_every_promised_python(python):
    assert python in SpecifierSet(PROJECT["requires-python"])
    for name, pin in PINS.items():
        try:
            installed = version(name) == pin
        except PackageNotFoundError:
            continue
        if installed and (asked := metadata(name).get("Requires-Python")):
            assert python in SpecifierSet(asked), f"{name} {pin} asks for Python {asked}"


def imports(path):
    """The parts of hssl that a module takes something from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out"
            names = [f"hssl.{alias.name}" for alias in node.names] if node.module == "hssl" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("hssl."))


def test_modules_import_from_lower_floors_only():
    found = set()
    for path in (ROOT / "hssl").rglob("*.py"):
        part = path.relative_to(ROOT / "hssl").with_suffix("").parts[0]
        if part != "__init__":
            found |= {(part, other) for other in imports(path) if other != part and FLOOR[other] >= FLOOR[part]}
    assert found == SIDEWAYS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "late"),
    [
        (["hssl"], LATE | {"torch", "numpy", "scipy"}),
        (LEARNING, LATE),
        (["hssl.reporting.results"], LATE - {"IPython", "pandas"}),
        (["hssl.widgets"], LATE - {"IPython", "ipywidgets", "matplotlib"}),
    ],
    ids=["hssl", "all that learns", "results", "widgets"],
)
def test_an_import_loads_nothing_heavy_before_it_is_used(modules, late):
    code = f"import sys, {', '.join(modules)}; print(*set({sorted(late)}) & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []
