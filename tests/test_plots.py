"""hssl.plots: what a picture must not get wrong, and the control of the static page."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hssl.reporting import plots

STRIPS = {"x": np.zeros((3, 8, 8, 3)), "<b>": np.ones((3, 8, 8, 3))}
MEASURES = {name: {"far": [0.0, 0.5, 1.0]} for name in STRIPS}


def test_a_band_shows_mean_and_spread():
    ax = plots.band(plt.figure().gca(), [1, 2], [[0.0, 1.0], [2.0, 2.0]], color="k", label="runs")
    assert ax.lines[0].get_ydata().tolist() == [0.5, 2.0]
    with pytest.raises(ValueError, match=r"wanted shape \(3, seeds\)"):
        plots.band(ax, [1, 2, 3], [[0.0], [1.0]], color="k", label="runs")


def test_a_flipbook_holds_its_frames_and_numbers():
    page = plots.flipbook(STRIPS, MEASURES, label="a scene").data
    assert page.count("<option>") == 2
    assert '"far": [0.0, 0.5, 1.0]' in page
    assert 'max="2" value="1"' in page
    assert "@" not in page.split("<script>")[0]


def test_text_in_a_flipbook_stays_text():
    page = plots.flipbook(STRIPS, MEASURES, label='"><script>').data
    assert "<b>" not in page
    assert page.count("<script>") == 1
    with pytest.raises(ValueError, match="3 numbers each, for 'x'"):
        plots.flipbook(STRIPS, MEASURES | {"x": {"far": [0.0]}}, label="")


def test_a_flipbook_says_what_is_chosen_and_what_slides():
    page = plots.flipbook(STRIPS, MEASURES, label="a scene", choose="tint <b>", slide="share").data
    assert "<label>tint &lt;b&gt; <select>" in page and "<label>share <input" in page
    assert "<label>latent <select>" in plots.flipbook(STRIPS, MEASURES, label="a scene").data
