"""Every file that is read, damaged in every way: an error that names the file and says what to do with it."""

import json
import random
import re
from pathlib import Path
from types import SimpleNamespace

import licences
import nbformat
import numpy as np
import pytest
import run
import torch
from PIL import Image

from hssl import files, own, scale
from hssl.encoders import MLP
from hssl.losses import info_nce
from hssl.pairs import Pairs
from hssl.reporting import overview, plots, records, results
from hssl.training import fit, kept
from hssl.widgets.mounting import module
from hssl.worlds.icons import icons
from hssl.worlds.pictures import labelled, photographs
from hssl.worlds.scenes import tracing
from hssl.worlds.scenes.causal3dident import Causal3DIdent
from hssl.worlds.scenes.release import SCALE

HSSL = Path(files.__file__).parent
DATA = "worlds/pictures/data"
ADVICE = r"install|restore|delete|unpack|record|wanted as released"


def garbage(content):
    return random.Random(0).randbytes(len(content) or 100)


DAMAGES = {
    "missing": None,
    "empty": lambda content: b"",
    "first half": lambda content: content[: len(content) // 2],
    "nine tenths": lambda content: content[: len(content) * 9 // 10],
    "zeros at its end": lambda content: content[: len(content) // 2] + bytes(len(content) // 2),
    "zeros at its start": lambda content: bytes(len(content) // 2) + content[len(content) // 2 :],
    "zeros": lambda content: bytes(len(content)),
    "garbage": garbage,
    "words": lambda content: b"not this\n",
}
WRONG = ["null", "3", '"words"', "[3]", "[[]]", "[{}]", '{"a": null}', '{"a": 3}', '{"a": {}}', '{"a": {"b": null}}']
JSON = {text: lambda content, text=text: text.encode() for text in WRONG}
JSON |= {"nested": lambda content: b"[" * 10**5, "Latin-1": lambda content: b'["\xe9"]'}


# What ships with the package


def sheet(name):
    return labelled._windows.__wrapped__(name, 28 if name == "digits" else 32, "L" if name == "digits" else "RGB")


def credited(of):
    return lambda: [licences.whole(credit.text) for credit in licences.COLLECTIONS[of]()]


PACKAGE = {
    "worlds/scenes/shapes.npz": lambda: tracing.baked.__wrapped__(torch.device("cpu")),
    "worlds/icons/icons.json": lambda: icons._sets.__wrapped__(),
    f"{DATA}/labelled/emoji.json": lambda: labelled._concepts(),
    f"{DATA}/labelled/ATTRIBUTION.json": credited("labelled"),
    f"{DATA}/photographs/ATTRIBUTION.json": lambda: photographs._credits(),
    "own.html": lambda: own.page({}, {}),
    "reporting/overview.html": lambda: results.overview({}),
    "reporting/book.mplstyle": plots.use_style,
    "widgets/widgets.css": lambda: files.read_text("widgets/widgets.css"),
    "widgets/page.html": lambda: module("page.html"),
}
for path in sorted(HSSL.rglob("*")):
    name = path.relative_to(HSSL).as_posix()
    if path.suffix == ".js":
        PACKAGE[name] = lambda of=path.name: module(of)
    elif path.suffix == ".jpg":
        PACKAGE[name] = lambda of=path.stem: photographs.load(of)
    elif path.suffix == ".png":
        PACKAGE[name] = lambda of=path.stem: sheet(of)
    elif path.suffix == ".txt":
        PACKAGE[name] = credited({"icons": "icons", "worlds": "icons"}.get(path.parts[-3], path.parts[-2]))


def test_no_file_of_the_package_is_forgotten():
    shipped = {path.relative_to(HSSL).as_posix() for path in HSSL.rglob("*") if path.is_file()}
    assert {name for name in shipped if not name.endswith((".py", ".pyc", "py.typed"))} == set(PACKAGE)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of one file of the package at a time, and links to the others."""
    copy = tmp_path / "hssl"
    for name in PACKAGE:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).symlink_to(HSSL / name)
    monkeypatch.setattr(files, "_PACKAGE", copy)
    monkeypatch.setattr(own, "control", lambda *_, **__: SimpleNamespace(static_html=str))
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setattr(licences, "ROOT", tmp_path)
    monkeypatch.setattr(licences, "WORLDS", copy / "worlds")
    monkeypatch.setattr(licences, "DATA", copy / DATA)
    monkeypatch.setattr(photographs, "_credits", photographs._credits.__wrapped__)
    monkeypatch.setattr(labelled, "_concepts", labelled._concepts.__wrapped__)
    return copy


def refuses(path, damage, read):
    content = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage(content))
    with pytest.raises((ValueError, FileNotFoundError, SystemExit)) as caught:
        read()
    said = str(caught.value)
    assert re.search(rf"{re.escape(path.name)}\b.*({ADVICE})", said, re.DOTALL) and len(said) < 700, said


CASES = [(name, damage) for name in PACKAGE for damage in (*DAMAGES, *(JSON if name.endswith(".json") else ()))]


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_damaged_file_of_the_package(package, name, damage):
    PACKAGE[name]()
    refuses(package / name, {**DAMAGES, **JSON}[damage], PACKAGE[name])


# What the library, the runner and a reader have written


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A file of every kind that is written, by what reads it."""
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("HSSL_RESULTS", "record")
    monkeypatch.setattr(records, "_fresh", {})
    monkeypatch.setattr(kept, "_read", 0)
    monkeypatch.setattr(run, "BOOK", tmp_path)
    monkeypatch.setattr(run, "TEXT", tmp_path)
    return tmp_path


def entries(house):
    results.record("demo", "a", [0.4, 0.6], tolerance=0.1, limit=1.0)
    return house / "results" / "quick" / "demo.json", lambda: results.score("demo")


def run_times(house):
    path = house / "results" / "run_times.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(run.with_time(path, "demo", "quick", 33.0, [5.0]))
    return path, lambda: (results.run_time("demo"), results.machines())


def benchmarks(house):
    results.record_benchmark("a", ours=300.0, other=3.0, unit="images/s", what="scenes")
    return house / "results" / "benchmarks.json", results.benchmarks


def runs(house):
    path, settings = house / "demo.json", [{"seed": 0}, {"seed": 1}]
    text = json.dumps([{"settings": kept.described(settings), "results": [0.1, 0.2]}])
    path.write_text(text)

    def read():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(kept.READ, str(path))
            patch.setattr(kept, "_read", 0)
            kept.left_out(settings)

    return path, read


def notebook(house):
    path = house / "demo.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Demo")]), path)
    return path, lambda: run.read_notebook(path)


def headings(house):
    path, _ = notebook(house)
    return path, lambda: overview.sections(path)


def setting(house):
    given = scale.Setting(folder="released")
    scale._begin(house, given)
    return house / "setting.json", lambda: scale._begin(house, given)


def checkpoint(house):
    def train():
        g = torch.Generator().manual_seed(0)
        x = torch.randn(20, 4, generator=g)
        fit(MLP(4, 2, generator=g), Pairs(x, x), loss=info_nce, steps=2, batch=8, generator=g, checkpoint=path)

    path = house / "run.pt"
    train()
    return path, train


def released(house):
    random = np.random.default_rng(0)
    for k in range(7):
        (folder := house / "trainset" / f"images_{k}").mkdir(parents=True)
        raw = random.uniform(-1, 1, (2, 10)).astype(np.float32)
        np.save(house / "trainset" / f"raw_latents_{k}.npy", raw)
        np.save(house / "trainset" / f"latents_{k}.npy", (raw * SCALE).astype(np.float32))
        for i in range(2):
            Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / f"{i}.png")


def latents(house):
    released(house)
    return house / "trainset" / "latents_3.npy", lambda: Causal3DIdent(house)


def raw_latents(house):
    released(house)
    return house / "trainset" / "raw_latents_3.npy", lambda: Causal3DIdent(house)


def image(house):
    released(house)
    data = Causal3DIdent(house)
    return house / "trainset" / "images_0" / "1.png", lambda: data[1]


TWIN = """---
kernelspec:
  name: python3
  display_name: Python 3
---

# Demo

```{code-cell} ipython3
print(1)
```
"""


def twin(house):
    (house / "demo.md").write_text(TWIN)
    return house / "demo.md", lambda: run.read_twin("demo")


IN_JSON = [entries, run_times, benchmarks, runs, notebook, headings, setting]
WRITTEN = [*IN_JSON, checkpoint, latents, raw_latents, image, twin]
#: Nothing was measured or begun yet, which is no error.
NOTHING = {(made, "missing") for made in (entries, run_times, benchmarks, runs, headings, setting, checkpoint)}
NOTHING |= {(run_times, '{"a": {}}')}


@pytest.mark.parametrize(
    ("made", "damage"),
    [(made, damage) for made in WRITTEN for damage in (*DAMAGES, *(JSON if made in IN_JSON else ()))],
)
def test_a_damaged_file_that_was_written(house, made, damage):
    path, read = made(house)
    read()
    do = {**DAMAGES, **JSON}[damage]
    if (made, damage) in NOTHING:
        path.write_bytes(do(b"")) if do else path.unlink()
        read()
    else:
        refuses(path, do, read)


#: Values that a field may have.
RIGHT = {"value": [-1], "limit": [-1, None], "published": [-1, None], "spread": [None]}
RIGHT |= {name: ["3"] for name in ("id", "unit", "what")}
FIELDS = [(entries, name) for name in records.NEEDED] + [(benchmarks, name) for name in ("id", "ours", "unit", "what")]
FIELDS += [(run_times, name) for name in ("seconds", "cores")]


@pytest.mark.parametrize("value", ["missing", [], {}, float("nan"), float("inf"), -1, "3", None])
@pytest.mark.parametrize(("made", "field"), FIELDS)
def test_an_entry_that_lacks_a_field_or_holds_it_wrongly(house, made, field, value):
    path, read = made(house)
    content = json.loads(path.read_text())
    entry = content[0] if isinstance(content, list) else content["demo"]["quick"]
    if value == "missing":
        del entry[field]
    else:
        entry[field] = value
    path.write_text(json.dumps(content))
    if value in RIGHT.get(field, []):
        read()
    else:
        with pytest.raises(ValueError, match=rf"{path.name}: damaged; restore .*{field}: (wanted|missing)"):
            read()


def test_an_id_that_is_there_twice(house):
    path, read = entries(house)
    path.write_text(json.dumps(2 * json.loads(path.read_text())))
    with pytest.raises(ValueError, match=r"demo\.json: damaged; restore .*a: is there twice"):
        read()
