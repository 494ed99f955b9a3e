"""Cells that only do something for a person with a kernel: run once, so that they do not rot unseen."""

from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[1]
CHAPTERS = [path.stem for path in sorted((ROOT / "text").glob("*.md")) if "live-only" in path.read_text()]


def live_cell(chapter):
    cells = jupytext.read(ROOT / "text" / f"{chapter}.md").cells
    return next(cell.source for cell in cells if "live-only" in cell.metadata.get("tags", []))


def test_a_chapter_with_a_widget_has_one():
    assert "continuation" in CHAPTERS


def test_the_continuation_is_trained_again_and_heard(monkeypatch):
    import torch

    from hssl.encoders import perceptron
    from hssl.widgets import Continuation
    from hssl.worlds.contours import Contours

    def critic_to_drag(steps, seed=0):
        return perceptron(6, steps, 1, generator=torch.Generator().manual_seed(seed))

    widget = Continuation(critic_to_drag(8), Contours(), rate=0.5)
    names = dict(widget=widget, critic_to_drag=critic_to_drag, contours=Contours())
    said, retrain = run_live("continuation", names, monkeypatch)
    before = widget.probabilities()
    retrain(steps=3, seed=1)
    assert widget.probabilities() != before
    widget.contrasts = [1.0, 0.0]
    assert "learned" in said()


def test_images_are_uploaded_and_learned_from(monkeypatch):
    import io
    import os

    import ipywidgets
    import numpy as np
    from PIL import Image

    from hssl import own
    from hssl.reading import read_image

    shown, said = [], []
    monkeypatch.setenv("HSSL_RESULTS", "show")
    monkeypatch.setattr(ipywidgets.Output, "append_stdout", lambda self, text: said.append(text))
    names = {"own": own, "read_image": read_image, "os": os, "display": lambda *what: shown.append(what)}
    exec(live_cell("own_images"), names)
    ((upload, below),) = shown
    assert isinstance(upload, ipywidgets.FileUpload) and upload.multiple

    def file(name, side):
        with io.BytesIO() as data:
            Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(data, "png")
            return {"name": name, "content": memoryview(data.getvalue())}

    names["learn_from_files"]([file("a.png", 64), file("b.png", 70)], below, steps=2)
    assert isinstance(shown[-1][0], own.PatchSimilarity) and not said
    names["learn_from_files"]([file("a.png", 64), file("small.png", 40)], below)
    names["learn_from_files"]([file("alone.png", 64)], below)
    assert "small.png: wanted 64 pixels or more" in said[0] and "wanted 2 images or more" in said[1]


def run_live(chapter, names, monkeypatch):
    """Execute the cell as for a person; what Python said of the control, and the function behind its button."""
    import os

    import ipywidgets

    heard, buttons = [], []
    monkeypatch.setenv("HSSL_RESULTS", "show")
    monkeypatch.setattr(ipywidgets.Output, "append_stdout", lambda self, text: heard.append(text))
    monkeypatch.setattr(ipywidgets, "interact_manual", lambda function, **settings: buttons.append(function))
    exec(live_cell(chapter), names | {"os": os, "display": lambda *what: None})
    assert len(buttons) == 1
    return (lambda: "".join(heard)), buttons[0]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_nothing_is_shown_without_a_person(chapter, monkeypatch):
    import os

    monkeypatch.setenv("HSSL_RESULTS", "verify")
    exec(live_cell(chapter), {"os": os})


def test_the_hierarchy_is_trained_again_and_shown(monkeypatch):
    import torch

    trained, shown = [], []

    class Widget:
        def update(self, vectors):
            shown.append(vectors)

    names = dict(
        torch=torch, widget=Widget(), what_to_show=lambda model: model, three_levels=torch.Generator.initial_seed
    )
    names |= dict(SCHEDULES={"detached": {"schedule": "detached"}}, own="icons")
    names |= dict(train=lambda model, x, g, steps, **how: trained.append((model, x, steps, how)) or "model")
    _, retrain = run_live("joint_incremental", names, monkeypatch)
    retrain(schedule="detached", steps=7, seed=3)
    assert trained == [(3, "icons", 7, {"schedule": "detached"})] and shown == ["model"]
