"""The order in which the suite runs: the longest notebooks first."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def order():
    """The hook of the conftest.py at the top, which has the same name as ours."""
    spec = importlib.util.spec_from_file_location("conftest_at_the_top", ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def order(root, *paths):
        items = [SimpleNamespace(path=Path(path), number=number) for path in paths for number in range(2)]
        module.pytest_collection_modifyitems(SimpleNamespace(rootpath=root), items)
        assert [item.number for item in items] == [0, 1] * len(paths)  # those of a file keep their order
        return [str(item.path) for item in items[::2]]

    return order


def test_the_longest_notebooks_run_first_and_the_tests_last(order, tmp_path):
    (tmp_path / "book/results").mkdir(parents=True)
    short, long = ({"quick": {"seconds": seconds, "cores": 2}} for seconds in (5, 90))
    times = {"short": short, "long": {**long, "full": {"seconds": 1, "cores": 2}}}
    (tmp_path / "book/results/run_times.json").write_text(json.dumps(times))
    given = ["hssl/a.py", "tests/test_long.py", "book/unknown.ipynb", "book/short.ipynb", "book/long.ipynb"]
    assert order(tmp_path, *given) == [*given[:1:-1], *given[:2]]


def test_without_run_times_notebooks_still_come_first(order, tmp_path):
    assert order(tmp_path, "tests/test_a.py", "book/b.ipynb") == ["book/b.ipynb", "tests/test_a.py"]
