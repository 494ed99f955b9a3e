"""What `make lab` starts keeps a notebook and its twin together: a real server, asked as JupyterLab asks it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import nbformat
import pytest
import run

ROOT = Path(__file__).parents[1]
TOKEN = "twins"
COPIED = "Makefile jupytext.toml pyproject.toml requirements.txt constraints.txt constraints.lock"
TEXT = """---
kernelspec:
  name: python3
  display_name: Python 3
  language: python
---

# Demo

```{code-cell} ipython3
:tags: [hide-input]

print("kept")
```

```{code-cell} ipython3
print("old")
```

```{code-cell} ipython3
:tags: [solution]

print("solved")
```
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A book of one chapter, just executed and stored by the runner."""
    house = tmp_path_factory.mktemp("house")
    for name in COPIED.split():
        shutil.copy(ROOT / name, house / name)
    (house / "book" / "results" / "quick").mkdir(parents=True)
    (house / "text").mkdir()
    (house / "text" / "demo.md").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in {"ROOT": ".", "BOOK": "book", "TEXT": "text", "RESULTS": "book/results"}.items():
            patch.setattr(run, name, house / folder)
        run.run("demo", "quick")
    return house


@pytest.fixture(scope="module")
def ask(house):
    """Asks the server for book/demo.ipynb, or stores it there; as JupyterLab does."""
    make = ["make", "--dry-run", "--no-print-directory", "lab"]
    done = subprocess.run(make, cwd=house, capture_output=True, text=True, check=True)
    command = shlex.split(done.stdout.splitlines()[-1])
    assert command[0].endswith("bin/jupyter")
    log = house / "log"
    settings = ["--no-browser", "--allow-root", "--port=0", f"--IdentityProvider.token={TOKEN}"]
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", *command[1:], *settings],
            cwd=house,
            stdout=out,
            stderr=out,
            env={**os.environ, "JUPYTER_RUNTIME_DIR": str(house / "runtime"), "JUPYTER_PREFER_ENV_PATH": "1"},
        )
    try:
        address = wait_for(house / "runtime", server, log)

        def ask(notebook=None):
            body = notebook and json.dumps({"type": "notebook", "format": "json", "content": notebook}).encode()
            request = Request(
                f"{address}api/contents/book/demo.ipynb?content=1&type=notebook",
                body,
                {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
                method="PUT" if body else "GET",
            )
            with urlopen(request) as answer:
                return json.load(answer).get("content")

        yield ask
    finally:
        server.terminate()
        server.wait()


def wait_for(runtime, server, log):
    while True:
        assert server.poll() is None, log.read_text()
        for found in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(found.read_text())["url"]
            except json.JSONDecodeError:
                pass
        time.sleep(0.1)


def outputs(notebook):
    return [cell["outputs"][0]["text"] for cell in notebook["cells"] if cell.get("outputs")]


def age(path, seconds):
    """As if it had been written so many seconds ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_both_stay_together(house, ask):
    stored, twin = house / "book" / "demo.ipynb", house / "text" / "demo.md"
    first = twin.read_text()
    age(twin, 3600)
    notebook = ask()  # a twin much older than its notebook is no reason to refuse
    assert outputs(notebook) == ["kept\n", "old\n", "solved\n"]
    assert notebook["cells"][3]["metadata"]["jupyter"] == {"outputs_hidden": True, "source_hidden": True}

    ask(notebook)
    assert twin.read_text() == first  # stored by the runner in the form in which JupyterLab writes

    notebook["cells"][2]["source"] = 'print("from the notebook")'
    ask(notebook)
    assert 'print("from the notebook")' in twin.read_text()
    assert 'print("from the notebook")' in nbformat.read(stored, 4).cells[2].source

    age(stored, 7200)
    age(twin, 3600)
    twin.write_text(twin.read_text().replace("# Demo", "# From the twin"))
    age(twin, 3600 * 24)  # even so: the twin is what is edited
    notebook = ask()
    assert notebook["cells"][0]["source"] == "# From the twin"
    assert outputs(notebook)[0] == "kept\n"
    assert notebook["cells"][3]["metadata"]["jupyter"] == {"outputs_hidden": True, "source_hidden": True}
