"""Figures: what they must not get wrong, and whose numbers they draw."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from hssl.reporting import plots, records, results

RUNS = pd.DataFrame({"k": [1, 1, 3, 3], "seed": [0, 1] * 2, "content": [0.2, 0.4, 0.9, 0.9], "style": [0.0] * 4})


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """The tidy frame of an experiment that was recorded (quick: content .3 and .9), as a person or a page draws it."""
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("HSSL_BUDGET", "quick")

    def measure(mode, frame=RUNS, budget="quick"):
        monkeypatch.setattr(records, "_fresh", {})
        monkeypatch.setenv("HSSL_BUDGET", budget)
        monkeypatch.setenv("HSSL_RESULTS", mode)
        asked = {"rows": "k", "measures": ["content", "style"], "limit": {"content": {1: 0.33, 3: 1.0}}}
        results.record_frame("demo", frame, "outputs.{k}.{measure}", **asked, tolerance=0.5)
        return results.tidy("demo", "outputs.")

    measure("record")
    return measure


def axes():
    return Figure().subplots()


def test_a_page_draws_the_recorded_numbers_of_the_full_budget_if_there_are_any(drawn):
    for mode, budget, mean in (("verify", "quick", 0.3), ("record", "full", 0.5), ("verify", "quick", 0.5)):
        frame = drawn(mode, RUNS.assign(content=0.5) if budget == "full" else RUNS, budget)
        ax = plots.points(axes(), frame.query("measure == 'content'"), "k", color="k", label="content")
        assert len(ax.containers) == 1 and ax.get_legend_handles_labels()[1] == ["content"]
        assert ax.containers[0].lines[0].get_ydata()[0] == mean
    low, high = ax.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert low == high == 0.5


def test_a_person_s_own_numbers_are_strong_and_the_recorded_ones_faint(drawn):
    frame = drawn("show", RUNS.assign(content=[0.6, 0.8, 0.9, 0.9])).query("measure == 'content'")
    ax = plots.points(axes(), frame, "k", color="k", label="content")
    recorded, own = (container.lines[0] for container in ax.containers)
    assert recorded.get_ydata().tolist() == [0.3, 0.9] and own.get_ydata().tolist() == [0.7, 0.9]
    assert recorded.get_alpha() < 0.5 and own.get_alpha() == 1.0
    assert ax.get_legend_handles_labels()[1] == ["content, recorded", "content"]
    low, high = ax.containers[1].lines[2][0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(np.std([0.6, 0.8], ddof=1), abs=1e-4)


def test_a_person_s_run_stands_before_the_record_of_its_own_budget(drawn):
    drawn("record", RUNS.assign(content=0.5), "full")
    strong, faint = plots.layers(drawn("show").query("measure == 'content'"))
    assert set(strong["budget"]) == {"this run"} and set(faint["budget"]) == {"quick"}
    strong, faint = plots.layers(drawn("show", budget="full").query("measure == 'content'"))
    assert set(faint["budget"]) == {"full"}


def test_predictions_are_drawn_once_and_bands_if_asked(drawn):
    frame = drawn("show").query("measure == 'content'")
    ax = plots.points(axes(), frame, "k", color="k", label="content", value="limit")
    assert len(ax.lines) == 1 and ax.lines[0].get_ydata().tolist() == [0.33, 1.0]
    ax = plots.points(axes(), frame, "k", color="k", label="content", fill=True)
    assert len(ax.lines) == len(ax.collections) == 2


def test_without_numbers_a_figure_says_so_once():
    ax, nothing = axes(), results.tidy("no_such_chapter", measure="content")
    for label in ("content", "style"):
        assert plots.points(ax, nothing, "k", color="k", label=label) is ax
    assert [text.get_text() for text in ax.texts] == ["no recorded numbers here"]
    assert plots.heat(axes(), nothing, "k", "measure").texts[0].get_text() == "no recorded numbers here"


def test_in_a_heat_map_a_person_s_own_numbers_win_and_the_others_stay(drawn):
    ax = plots.heat(axes(), drawn("verify"), "k", "measure", title="ours", framed={(3, "content")})
    assert [text.get_text() for text in ax.texts] == ["0.30", "0.00", "0.90", "0.00"]
    assert ax.get_title() == "ours" and len(ax.patches) == 1
    frame = ax.patches[0]
    assert frame.get_x() < 0 < frame.get_x() + frame.get_width() and 0.5 < frame.get_y() < 1
    ax = plots.heat(axes(), drawn("show", RUNS[:2].assign(content=0.7)), "k", "measure", title="ours")
    assert [text.get_text() for text in ax.texts] == ["0.70", "0.00", "0.90", "0.00"]
    assert ax.get_title() == "ours (this run)"
    ax = plots.heat(axes(), drawn("verify"), "k", "measure", value="limit")
    assert [text.get_text() for text in ax.texts] == ["0.33", "1.00"]


def light(color):
    """Relative luminance, as the accessibility guidelines (WCAG 2.2) define it."""
    low = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * low[0] + 0.7152 * low[1] + 0.0722 * low[2]


def test_numbers_and_frames_stand_out_from_every_colour_of_the_map():
    values = np.linspace(0, 1, 101)
    frame = pd.DataFrame({"budget": "full", "i": range(101), "measure": "class", "value": values})
    ax = plots.heat(axes(), frame, "i", "measure", framed={(i, "class") for i in range(101)})
    colors = [ax.images[0].to_rgba(value) for value in values]
    for color, text, frame in zip(colors, ax.texts, ax.patches, strict=True):
        dark, bright = sorted([light(color), light(text.get_color())])
        assert (bright + 0.05) / (dark + 0.05) >= 4.5
        assert to_rgb(text.get_color()) == frame.get_edgecolor()[:3]


def test_a_limit_is_a_line_with_a_name():
    ax = plots.limit(axes(), 0.5, "chance")
    assert ax.lines[0].get_ydata() == [0.5, 0.5] and ax.lines[0].get_linestyle() == "--"


def test_a_graph_has_its_nodes_and_its_arrows():
    ax = plots.arrows(axes(), {"c": (0, 1), "x": (0, 0)}, [("c", "x", ":")])
    circles, arrow = ax.texts[:2], ax.texts[2]
    assert [text.get_text() for text in circles] == ["c", "x"]
    assert arrow.xy == (0, 0) and arrow.get_position() == (0, 1) and arrow.arrow_patch.get_linestyle() == ":"


def test_strokes_have_both_ends_and_y_points_downwards():
    ax = plots.strokes(Figure().subplots(), [[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 3.0]], color=["red", "blue"])
    (drawn,) = ax.collections
    assert [path.vertices.tolist() for path in drawn.get_paths()] == [[[0, 0], [1, 0]], [[0, 2], [0, 3]]]
    assert ax.yaxis_inverted() and plots.strokes(ax, [[0, 0, 1, 1]]).yaxis_inverted()


def test_a_band_shows_mean_and_spread():
    ax = plots.band(plt.figure().gca(), [1, 2], [[0.0, 1.0], [2.0, 2.0]], color="k", label="runs")
    assert ax.lines[0].get_ydata().tolist() == [0.5, 2.0]
    with pytest.raises(ValueError, match=r"wanted shape \(3, seeds\)"):
        plots.band(ax, [1, 2, 3], [[0.0], [1.0]], color="k", label="runs")
