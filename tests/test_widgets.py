"""hssl.widgets: the numbers that a page shows, held against other ways to them; and that a page is safe and small."""

import base64
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from PIL import Image
from scipy import stats
from sklearn.metrics.pairwise import cosine_similarity
from torch import nn
from traitlets import TraitError

from hssl import calibration
from hssl.encoders import ConvNet
from hssl.widgets import SIZE_LIMIT, AcrossSlash, Continuation, Flipbook, PatchSimilarity, mounting
from hssl.widgets.continuation import HYPOTHESES
from hssl.widgets.mounting import decode
from hssl.widgets.observers import FIELD, association_field, ideal_logits, relate, settings_of
from hssl.worlds.contours import Contours
from hssl.worlds.contours.stimuli import PAIRINGS as OF_ARMS

WORLD = Contours()
EVIL = '</script><img src=x onerror="alert(1)">'


def pictures():
    random = np.random.default_rng(0)
    images = {"grey": random.random((32, 48)), "colour": random.integers(0, 256, (64, 32, 3), dtype=np.uint8)}
    shapes = {"grey": {"8 px": (4, 6, 5), "16 px": (2, 3, 7)}, "colour": {"8 px": (8, 4, 5), "16 px": (4, 2, 7)}}
    vectors = {
        name: {level: random.standard_normal(shape) for level, shape in levels.items()}
        for name, levels in shapes.items()
    }
    return images, vectors


def critic(*activations, hidden=8, seed=0):
    torch.manual_seed(seed)
    widths = [6, *[hidden] * len(activations), 1]
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(*[part for pair in zip(layers, activations, strict=False) for part in pair], layers[-1])


def state(widget):
    return json.loads(re.search(r'json">(.*?)</script>', widget.static_html(), re.DOTALL)[1])


# Patch similarity


def test_values_are_cosines_to_eight_bits():
    images, vectors = pictures()
    widget = PatchSimilarity(images, vectors)
    widget.selection = {"image": "colour", "level": "16 px", "row": 3, "column": 1}
    flat = vectors["colour"]["16 px"].reshape(8, 7)
    wanted = cosine_similarity(flat, flat[[3 * 2 + 1]]).reshape(4, 2)
    np.testing.assert_allclose(widget.values("16 px"), wanted, atol=0.01)
    assert widget.values("16 px")[3, 1] == pytest.approx(1, abs=1e-12)


def test_cosine_knows_no_length_and_nothing_is_similar_to_nothing():
    images, vectors = pictures()
    longer = {name: {level: 1000 * vector for level, vector in of.items()} for name, of in vectors.items()}
    assert PatchSimilarity(images, longer).data == PatchSimilarity(images, vectors).data
    vectors["grey"]["8 px"][0, 0] = 0
    assert PatchSimilarity(images, vectors).values("8 px")[0, 0] == 0


def test_probability_is_the_sigmoid_of_a_line_in_the_cosine():
    images, vectors = pictures()
    widget = PatchSimilarity(images, vectors, logits={"16 px": (2.0, -1.0), "8 px": (5.0, 0.5)})
    cosines = widget.values("8 px")
    widget.measure = "probability"
    np.testing.assert_allclose(widget.values("8 px"), stats.logistic.cdf(5 * cosines + 0.5), rtol=1e-12)


def test_other_window_sizes_follow_the_chosen_patch():
    widget = PatchSimilarity(*pictures())
    widget.selection = {"image": "grey", "level": "8 px", "row": 3, "column": 1}
    assert widget.patch("8 px") == (3, 1)
    assert widget.patch("16 px") == (1, 0)
    widget.selection = {"image": "grey", "level": "16 px", "row": 1, "column": 2}
    assert widget.patch("8 px") == (3, 5)


def test_the_second_patch_is_the_most_similar_one_or_a_pinned_one():
    widget = PatchSimilarity(*pictures())
    widget.selection = chosen = {"image": "grey", "level": "8 px", "row": 3, "column": 1}
    values = widget.values("8 px")
    values[3, 1] = -2
    assert widget.second("8 px") == np.unravel_index(values.argmax(), values.shape)
    widget.selection = chosen | {"second": [0, 5]}
    assert (widget.second("8 px"), widget.second("16 px")) == ((0, 5), (0, 2))
    assert f"similarity {widget.values('8 px')[0, 5]:.2f}".replace("-", "−") in repr(widget)
    alone = PatchSimilarity({"a": np.zeros((4, 4))}, {"a": {"x": np.ones((1, 1, 2))}})
    assert alone.second("x") == (0, 0)


def test_measures_are_named_and_held_out_images_marked():
    images, vectors = pictures()
    data = PatchSimilarity(images, vectors, logits={"16 px": (1, 0), "8 px": (1, 0)}, held_out=["grey"]).data
    assert [scale["name"] for scale in data["measures"].values()] == ["similarity", "probability of one boundary"]
    assert [picture["note"] for picture in data["pictures"]] == ["held out", "seen in training"]
    data = PatchSimilarity(images, vectors, logits={"16 px": (1, 0), "8 px": (1, 0)}, probability_of="one icon").data
    assert data["measures"]["probability"]["name"] == "probability of one icon"
    assert "note" not in data["pictures"][0]


def test_networks_for_the_readers_own_picture_are_sent_by_window_size():
    data = PatchSimilarity(*pictures(), networks={"16 px": ConvNet(3, 4, 16, (4,), 4)}).data
    assert data["longest"] == 64
    assert data["networks"][0] is None
    assert (data["networks"][1]["size"], data["networks"][1]["channels"]) == (16, 3)


def test_large_pictures_are_reduced():
    shown = PatchSimilarity({"a": np.zeros((100, 400))}, {"a": {"x": np.ones((1, 4, 2))}}, image_size=80).data
    assert (shown["pictures"][0]["width"], shown["pictures"][0]["height"]) == (80, 20)


def test_other_vectors_can_be_shown():
    images, vectors = pictures()
    widget = PatchSimilarity(images, vectors)
    turned = {name: {level: -np.flip(vector, 2) for level, vector in of.items()} for name, of in vectors.items()}
    widget.selection = chosen = {"image": "colour", "level": "8 px", "row": 7, "column": 0}
    before = widget.values("16 px")
    widget.update(turned)
    assert widget.selection == chosen
    np.testing.assert_allclose(widget.values("16 px"), before, atol=1e-12)
    assert widget.data != PatchSimilarity(images, vectors).data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": {}}, "images: wanted at least one"),
        ({"images": [np.zeros((4, 4))]}, "images: wanted dict"),
        ({"images": {"a": np.zeros((5, 5, 5))}}, r"images\['a'\]: wanted shape .* got \(5, 5, 5\)"),
        ({"images": {"a": np.full((4, 4), 2.0)}}, r"images\['a'\]: wanted floating-point numbers in \[0, 1\]"),
        ({"images": {"a": np.full((4, 4), np.nan)}}, r"images\['a'\]: wanted floating-point numbers"),
        ({"image_size": 15}, "image_size: wanted at least 16 pixels, got 15"),
        ({"image_size": 20.5}, "image_size: wanted a whole number ≥ 1, got 20.5"),
        ({"vectors": {}}, r"vectors: wanted the names \['a'\]"),
        ({"vectors": {"a": {}}}, "wanted at least one window size"),
        ({"vectors": {"a": {"x": np.ones((2, 2))}}}, r"vectors\['a'\]\['x'\]: wanted numbers of shape \(rows"),
        ({"vectors": {"a": {"x": np.full((2, 2, 2), np.nan)}}}, "not finite"),
        ({"networks": {"y": ConvNet(3, 2, 2, (2,), 2)}}, r"networks: wanted some of the window sizes \['x'\]"),
        ({"networks": {"x": ConvNet(2, 2, 2, (2,), 2)}}, r"networks\['x'\]: wanted 1 or 3 channels, got 2"),
        ({"networks": {"x": nn.Linear(2, 2)}}, "networks: wanted"),
        ({"held_out": ["b"]}, r"held_out: wanted some of \['a'\], got \['b'\]"),
        ({"logits": {"y": (1, 0)}}, r"logits: wanted the names \['x'\], got \['y'\]"),
        ({"logits": {"x": (np.inf, 0)}}, r"logits\['x'\]: there are values that are not finite"),
        ({"logits": {"x": (1, 0, 0)}}, r"logits: wanted \(slope, offset\) a window size"),
        ({"vectors": {"a": {"x": np.ones((90, 90, 64))}}}, "weighs .* kB, wanted at most 300 kB: show fewer images"),
    ],
)
def test_bad_pictures_are_named(change, message):
    good = {"images": {"a": np.zeros((4, 4))}, "vectors": {"a": {"x": np.ones((2, 2, 3))}}}
    with pytest.raises(ValueError, match=message):
        PatchSimilarity(**(good | change))


def test_a_widget_that_would_be_too_large_stays_as_it_was():
    widget = PatchSimilarity({"a": np.zeros((4, 4))}, {"a": {"x": np.ones((2, 2, 3))}})
    before = widget.static_html()
    with pytest.raises(ValueError, match="weighs"):
        widget.update({"a": {"x": np.ones((90, 90, 64))}})
    assert widget.static_html() == before


def test_vectors_are_sent_in_eight_bits_each_scaled_by_its_largest_number():
    sent = PatchSimilarity({"a": np.zeros((4, 4))}, {"a": {"x": [[[0.25, -0.5], [3.0, 1.0]]]}}).data["maps"][0][0]
    assert decode(sent["vectors"], "i1").tolist() == [64, -127, 127, 42]


def test_colours_from_least_to_most():
    images, vectors = pictures()
    data = PatchSimilarity(images, vectors, logits={"16 px": (1, 0), "8 px": (1, 0)}).data["measures"]
    cosine, probability = data["cosine"], data["probability"]
    assert (cosine["low"], cosine["high"], probability["low"], probability["high"]) == (-1, 1, 0, 1)
    wanted = [to_rgb(colour) for colour in ("#a8dcff", "#0072b2", "#1c1c1c", "#d55e00", "#ffdfb0")]
    np.testing.assert_allclose(
        [to_rgb(colour) for colour in cosine["colours"][::4]], wanted, atol=2.5 / 255
    )  # 256 steps
    assert probability["colours"] == [to_hex(colormaps["cividis"](k / 16)) for k in range(17)]


def test_the_still_picture_shows_the_values_as_the_page_does():
    widget = PatchSimilarity({"a": np.zeros((32, 32))}, {"a": {"x": [[[1, 0], [0, 1]], [[-2, 0], [3, 0]]]}})
    opacity = float(re.search(r"\.hssl-map \{[^}]*opacity: ([\d.]+)", str(widget._css))[1])
    widget.selection = {"image": "a", "level": "x", "row": 0, "column": 0}  # cosines 1, 0, −1, 1
    shown = np.array(still(widget), float)
    assert shown.shape == (200, 408, 3)  # the picture, a gap of eight, one panel
    for (row, column), colour in (((50, 150), "#1c1c1c"), ((150, 50), "#a8dcff"), ((150, 150), "#ffdfb0")):
        wanted = opacity * 255 * np.array(to_rgb(colour))  # over a black picture
        np.testing.assert_allclose(shown[row, 208 + column], wanted, atol=4)
    np.testing.assert_allclose(shown[0, 208:300], 255, atol=60)  # the frame around the first patch


@pytest.mark.parametrize(("shape", "size"), [((32, 48), (200, 133)), ((64, 32), (100, 200)), ((640, 4), (8, 200))])
def test_panels_of_the_still_picture(shape, size):
    widget = PatchSimilarity({"a": np.zeros(shape)}, {"a": {"x": np.ones((2, 2, 1)), "y": np.ones((1, 1, 1))}})
    assert still(widget).size == (3 * (size[0] + 8) - 8, size[1])


def test_pictures_may_be_sixteen_pixels_small():
    (shown,) = PatchSimilarity({"a": np.zeros((32, 32))}, {"a": {"x": np.ones((2, 2, 1))}}, image_size=16).data[
        "pictures"
    ]
    assert (shown["width"], shown["height"]) == (16, 16)
    (usual,) = PatchSimilarity({"a": np.zeros((640, 640))}, {"a": {"x": np.ones((2, 2, 1))}}).data["pictures"]
    assert usual["width"] == 320


# Continuation


def log_ratio(x, y, turn, first, second):
    """The model's log-likelihood ratio of one pair, from the densities of scipy."""
    gamma = stats.gamma(WORLD.shape, scale=WORLD.mean / WORLD.shape)
    near, far = WORLD.smallest, WORLD.largest
    d, phi = np.hypot(x, y), np.arctan2(y, x)
    bend, skew = stats.vonmises(WORLD.kappa_bend), stats.vonmises(WORLD.kappa_turn)
    same = gamma.pdf(d) / (gamma.cdf(far) - gamma.cdf(near))
    same *= (bend.pdf(phi) + bend.pdf(phi - np.pi)) / 2
    same *= skew.pdf(turn - 2 * phi) + skew.pdf(turn - 2 * phi + np.pi)
    same *= stats.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).pdf([first, second])
    other = 2 * d / (far**2 - near**2) / (2 * np.pi) / np.pi * stats.norm.pdf(first) * stats.norm.pdf(second)
    return np.log(same / other)


def torch_answer(network, first, second, contrasts=(0.0, 0.0), rate=1.0, shift=0.0):
    """The network's logit for two strokes (x, y, angle), in torch."""
    (x, y, angle), (x2, y2, angle2) = first, second
    cos, sin = np.cos(angle), np.sin(angle)
    dx, dy = (x2 - x) * cos + (y2 - y) * sin, (y2 - y) * cos - (x2 - x) * sin
    turn = angle2 - angle
    seen = torch.tensor([[dx, dy, np.cos(2 * turn), np.sin(2 * turn), *contrasts]], dtype=torch.float64)
    with torch.no_grad():
        f = network.double()(seen).item()
    return calibration.same_logit(torch.tensor(f + shift, dtype=torch.float64), rate).item()


def test_the_ideal_observer_is_that_of_the_world():
    pairs = WORLD.relations(1000, 0.5, torch.Generator().manual_seed(0))
    at = [field.double().numpy() for field in pairs]
    ours = ideal_logits(settings_of(WORLD), *at[:3], at[3:])
    assert np.allclose(ours, WORLD.log_likelihood_ratio(pairs), atol=1e-4)


def test_the_four_arms_are_paired_as_in_the_figure():
    crossing, meeting = list(HYPOTHESES.values())[:2]
    assert torch.equal(torch.tensor([*crossing, *meeting]), OF_ARMS)


@pytest.mark.parametrize("kind", [nn.GELU, nn.LeakyReLU, nn.Tanh])
def test_strokes_against_torch_and_scipy(kind):
    network = critic(kind(), kind())
    widget = Continuation(network, WORLD, rate=0.6, shift=0.3)
    random = np.random.default_rng(1)
    for _ in range(20):
        ends = random.uniform(-1.5, 1.5, (4, 2))
        widget.points = widget.points | {"strokes": ends.tolist()}
        widget.contrasts = random.standard_normal(2).tolist()
        first, second = (
            (*(a + b) / 2, np.arctan2(*(b - a)[::-1])) for a, b in ((ends[0], ends[1]), (ends[2], ends[3]))
        )
        if np.hypot(second[0] - first[0], second[1] - first[1]) < WORLD.smallest:
            continue
        found = widget.probabilities()
        learned = torch_answer(network, first, second, widget.contrasts, 0.6, 0.3)
        assert found["learned"] == pytest.approx(stats.logistic.cdf(learned), abs=1e-10)
        place = np.exp(-1j * first[2]) * complex(second[0] - first[0], second[1] - first[1])
        ideal = log_ratio(place.real, place.imag, second[2] - first[2], *widget.contrasts)
        assert found["ideal"] == pytest.approx(stats.logistic.cdf(ideal), abs=1e-9)
        assert found["difference"] == found["learned"] - found["ideal"]


def test_the_likelihood_ratio_averages_to_one_over_the_background():
    random, n = np.random.default_rng(0), 400_000
    distance = np.sqrt(random.uniform(WORLD.smallest**2, WORLD.largest**2, n))
    azimuth, turn, contrasts = *random.uniform(0, 2 * np.pi, (2, n)), random.standard_normal((2, n))
    assert np.exp(ideal_logits(settings_of(WORLD), distance, azimuth, turn, contrasts)).mean() == pytest.approx(1, 0.02)


PAIRINGS = {"two lines": [[(0, 2), (1, 3)]], "others": [[(0, 1), (3, 2)], [(3, 0), (1, 2)]]}


def test_four_arms_weigh_pairings():
    network = critic(nn.GELU())
    widget = Continuation(network, WORLD, hypotheses=PAIRINGS)
    widget.mode = "arms"
    angles, far = np.array([0.1, 1.3, 3.4, 4.5]), np.array([1.3, 1.5, 1.2, 1.4])
    widget.points = widget.points | {"arms": np.stack([far * np.cos(angles), far * np.sin(angles)], 1).tolist()}
    arms = [((r - 0.45) * np.cos(a), (r - 0.45) * np.sin(a), a) for r, a in zip(far, angles, strict=True)]
    weights = [
        np.exp(sum(torch_answer(network, arms[i], arms[j]) for i, j in pairing))
        for pairing in [[(0, 2), (1, 3)], [(0, 1), (2, 3)], [(0, 3), (1, 2)]]
    ]
    assert widget.probabilities()["learned"] == pytest.approx(weights[0] / sum(weights), rel=1e-9)
    assert widget.hypotheses()["others"]["learned"] == pytest.approx(sum(weights[1:]) / sum(weights), rel=1e-9)


def test_four_lines_that_end_weigh_one():
    widget = Continuation(constant(np.log(2)), WORLD)  # every link is twice as likely as none
    widget.mode = "arms"
    found = {name: of["learned"] for name, of in widget.hypotheses().items()}
    weights = {"two crossing lines": 4, "two bends that meet": 8, "one line, two that end there": 12}
    weights |= {"four lines that end there": 1}
    assert found == pytest.approx({name: weight / 25 for name, weight in weights.items()})
    for observer in ("learned", "ideal"):
        assert sum(of[observer] for of in widget.hypotheses().values()) == pytest.approx(1)
    widget.mode = "strokes"
    with pytest.raises(ValueError, match="mode: wanted 'arms'"):
        widget.hypotheses()


def test_a_right_angled_crossing_is_seen_by_the_ideal_observer():
    widget = Continuation(critic(nn.Tanh()), WORLD, hypotheses=PAIRINGS)
    widget.mode = "arms"
    crossing = [[1.3, 0], [0, 1.3], [-1.3, 0], [0, -1.3]]
    widget.points = widget.points | {"arms": crossing}
    assert widget.probabilities()["ideal"] > 0.9
    widget.points = widget.points | {"arms": [[1.3, 0], [1.25, 0.35], [-1.3, 0], [-1.25, -0.35]]}
    slanted = widget.probabilities()["ideal"]
    widget.points = widget.points | {"arms": [[1.3, 0], [-1.3, 0], [0, 1.3], [0, -1.3]]}
    assert widget.probabilities()["ideal"] < 0.05 < slanted


def test_beyond_the_model_the_nearest_distance_counts():
    settings = settings_of(WORLD)
    strokes = np.array([[0, 0, 0.0], [0.1, 0, 0.0], [0.5, 0, 0.0], [9.0, 0, 0.0], [5.0, 0, 0.0]])
    near, at_near, far, at_far = ideal_logits(settings, *relate(strokes[[0] * 4], strokes[1:], settings))
    assert (near, far) == (at_near, at_far)


def test_turning_everything_changes_nothing():
    widget = Continuation(critic(nn.GELU()), WORLD)
    before = widget.probabilities()
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    widget.points = widget.points | {"strokes": (np.array(widget.points["strokes"]) @ turn + 0.3).tolist()}
    assert widget.probabilities() == pytest.approx(before, abs=1e-12)


def test_the_field_is_that_of_the_second_stroke_as_it_is_turned_and_as_bright():
    network = critic(nn.GELU())
    widget = Continuation(network, WORLD, rate=0.6)
    field = association_field(widget.data, 0.7, (1.0, -0.5))
    at = ((np.arange(FIELD) + 0.5) / FIELD * 2 - 1) * WORLD.largest
    for row, column in ((40, 45), (20, 25), (32, 50)):
        wanted = torch_answer(network, (0, 0, 0), (at[column], at[row], 0.7), (1.0, -0.5), 0.6)
        assert field[row, column] == pytest.approx(stats.logistic.cdf(wanted), abs=1e-9)
    assert field[0, 0] == 0  # beyond the farthest


def test_another_critic_can_be_shown():
    widget = Continuation(critic(nn.GELU()), WORLD)
    widget.update(critic(nn.ReLU(), seed=3), WORLD, rate=0.5)
    assert widget.probabilities() == Continuation(critic(nn.ReLU(), seed=3), WORLD, rate=0.5).probabilities()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"critic": torch.sigmoid}, "critic: wanted Module, got"),
        ({"critic": nn.Sequential(nn.GELU())}, "6 numbers in and 1 out"),
        ({"critic": critic(nn.Sigmoid())}, "critic: wanted layers that the page can run"),
        ({"critic": nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))}, "6 numbers in and 1 out"),
        ({"critic": nn.Sequential(nn.Linear(6, 4), nn.ReLU())}, "6 numbers in and 1 out"),
        ({"critic": critic(nn.ReLU(), nn.ReLU(), hidden=300)}, "kB, wanted at most 300 kB: take a narrower critic"),
        ({"hypotheses": {}}, "hypotheses: wanted at least one"),
        ({"hypotheses": {"a": []}}, r"hypotheses\['a'\]: wanted matchings of the arms 0 to 3"),
        ({"hypotheses": {"a": [[(0, 1), (1, 2)]]}}, "wanted matchings"),
        ({"hypotheses": {"a": [[(0, 4)]]}}, "wanted matchings"),
        ({"rate": 0.0}, "rate: wanted 0 < rate"),
        ({"rate": float("nan")}, "rate: wanted 0 < rate"),
        ({"shift": float("inf")}, "shift: wanted a finite number, got inf"),
        ({"shift": float("nan")}, "shift: wanted a finite number, got nan"),
        ({"rate": 1.01}, "rate: wanted 0 < rate"),
        ({"rate": "all"}, "rate: wanted float, got 'all'"),
        ({"contours": None}, "contours: wanted Contours, got None"),
    ],
)
def test_bad_critics_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Continuation(**({"critic": critic(nn.GELU()), "contours": WORLD} | change))


def test_weights_that_are_not_finite_are_refused():
    network = critic(nn.GELU())
    network[0].weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="critic: there are values that are not finite"):
        Continuation(network, WORLD)


def constant(answer):
    """A critic that gives every pair the same F."""
    network = nn.Sequential(nn.Linear(6, 1), nn.ReLU(), nn.Linear(1, 1))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(network[2].bias, answer)
    return network


def test_probabilities_do_not_fall_below_that_of_the_floor():
    widget = Continuation(constant(-20.0), WORLD)
    assert widget.probabilities()["learned"] == pytest.approx(1 / (1 + np.exp(7)), rel=1e-9)
    assert widget.data["floor"] == pytest.approx(np.exp(calibration.FLOOR))
    half = Continuation(constant(-20.0), WORLD, rate=0.5)  # F cannot be below log(1 − rate) but by an error
    assert half.probabilities()["learned"] == pytest.approx(1 / (1 + np.exp(7)), rel=1e-9)


def test_strokes_are_drawn_as_long_as_they_are():
    widget = Continuation(constant(-20.0), WORLD)
    ends = [[-2.0, 0.0], [1.0, 0.0], [2.0, 1.0], [2.0, 3.0]]  # middles at (−0.5, 0) and (2, 2)
    widget.points = widget.points | {"strokes": ends}
    dark = np.array(still(widget).convert("L")) < 128
    pixel = 320 / (2 * 4.0)  # a unit; the frame reaches 4 units from its middle
    for across, down, wide, high in ((-0.5, 0, 0.9, 0), (2, 2, 0, 0.9)):
        y, x = np.nonzero(dark[:130] if down else dark[130:])
        y = y if down else y + 130
        assert np.ptp(x) + 1 == pytest.approx(max(wide * pixel, 5), abs=2)
        assert np.ptp(y) + 1 == pytest.approx(max(high * pixel, 5), abs=2)
        assert (x.min() + x.max()) / 2 == pytest.approx(160 + across * pixel, abs=2)
        assert (y.min() + y.max()) / 2 == pytest.approx(160 - down * pixel, abs=2)


def test_the_learned_field_lies_behind_the_first_stroke_in_the_pages_colour():
    warm = np.array(json.loads(re.search(r"const WARM = (\[.*?\]);", str(Continuation._esm))[1]))
    widget = Continuation(constant(20.0), WORLD)  # a probability of one, wherever the model reaches
    widget.points = widget.points | {"strokes": [[0.0, 0.0], [0.9, 0.0], [1.0, 1.0], [1.5, 1.5]]}
    picture = np.array(still(widget), float)
    np.testing.assert_allclose(picture[250, 100], 255 + 0.8 * (warm - 255), atol=4)
    np.testing.assert_allclose(picture[2, 2], 255, atol=4)  # (−3.95, 3.95) is more than 5 away
    field = association_field(Continuation(constant(0.0), WORLD).data, 0.0)
    assert set(field.ravel()) == {0, 0.5}  # F = 0: as likely as not
    x, y = np.meshgrid(*[(np.arange(64) - 31.5) * WORLD.largest / 32] * 2)
    np.testing.assert_array_equal(field > 0, np.hypot(x, y) <= WORLD.largest)


def test_how_far_and_how_near_ends_may_lie():
    widget = Continuation(constant(0.0), WORLD)
    corners = [[-4.0, 4.0], [4.0, 4.0], [4.0, -4.0], [-4.0, -4.0]]
    arms = [[0.9, 0.0], [0.0, 0.9], [-2.4, 0.0], [2.4, 2.4]]
    widget.points = widget.points | {"strokes": corners}
    widget.points = widget.points | {"arms": arms}
    for mode, points in (
        ("strokes", [[-4.04, 4.0], *corners[1:]]),
        ("arms", [*arms[:3], [2.42, 2.4]]),
        ("arms", [[0.89, 0.0], *arms[1:]]),
    ):
        with pytest.raises(TraitError, match="points: wanted four ends in view"):
            widget.points = widget.points | {mode: points}


def test_what_is_seen_first():
    widget = Continuation(constant(0.0), WORLD)
    strokes, arms = (np.array(widget.points[mode]) for mode in ("strokes", "arms"))
    np.testing.assert_allclose(np.hypot(*(strokes[1::2] - strokes[::2]).T), 0.9, atol=0.005)
    np.testing.assert_array_equal(arms[:2], -arms[2:])  # two crossing lines
    assert (widget.mode, widget.contrasts) == ("strokes", [0.0, 0.0])
    assert widget.data["length"] == 0.9
    assert widget.data["views"] == {"strokes": 4.0, "arms": 2.4}


# Flipbook

STRIPS = {"x": np.zeros((13, 8, 12, 3)), EVIL: np.linspace(0, 1, 13)[:, None, None, None] * np.ones((13, 8, 12, 3))}
MEASURES = {name: {"far": np.linspace(0, 1, 13), EVIL: np.zeros(13)} for name in STRIPS}


def flipbook(**settings):
    return Flipbook(STRIPS, MEASURES, **({"label": "a scene"} | settings))


def test_a_flipbook_says_what_it_shows():
    widget = flipbook(choose="tint", slide="share", at=np.linspace(-1, 1, 13))
    assert (widget.strip, widget.frame) == ("x", 6)
    assert repr(widget) == f"Flipbook: a scene; tint x, share 0.00: far 0.50, {EVIL} 0.00"
    widget.strip, widget.frame = EVIL, 0
    assert repr(widget).startswith(f"Flipbook: a scene; tint {EVIL}, share −1.00: far 0.00")
    assert flipbook().data["at"][12] == "13 of 13"
    assert flipbook(at=["before", *"abcdefghijk", "after"]).data["at"][12] == "after"


def test_a_strip_holds_its_frames_side_by_side():
    data = flipbook().data
    strip = next(strip for strip in data["strips"] if strip["name"] == EVIL)
    image = np.array(Image.open(io.BytesIO(base64.b64decode(strip["url"].split(",")[1]))).convert("L"), float)
    assert image.shape == (8, 13 * 12)
    np.testing.assert_allclose(image[4, 6::12], np.linspace(0, 255, 13), atol=3)
    small = Flipbook({"x": np.zeros((2, 50, 100, 3))}, {"x": {}}, label="", image_size=40).data
    assert (small["width"], small["height"]) == (40, 20)


def test_the_still_of_a_flipbook_is_a_table_of_frames_and_numbers():
    page = BeautifulSoup(flipbook(at=np.linspace(-1, 1, 13)).static_html(), "html.parser")
    rows = [[cell.text for cell in row.find_all("td")] for row in page.find("table").find_all("tr")]
    assert [image["alt"] for image in page.find_all("img")][::3] == ["value −1.00", "value 0.00", "value 1.00"]
    assert rows[1:] == [
        ["−1.00", "−0.67", "−0.33", "0.00", "0.33", "0.67", "1.00"],
        ["0.00", "0.17", "0.33", "0.50", "0.67", "0.83", "1.00"],
        ["0.00"] * 7,
    ]
    for frames, shown in ((1, 1), (4, 4), (7, 7), (8, 7), (11, 6)):
        short = Flipbook({"x": np.zeros((frames, 2, 2, 3))}, {"x": {}}, label="").static_html()
        assert short.count("<img") == shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strips": {}}, "strips: wanted at least one"),
        ({"strips": {"x": np.zeros((3, 8, 8))}}, "strips: wanted Mapping"),
        ({"strips": {"x": np.full((2, 8, 8, 3), 2.0)}}, r"strips\['x'\]: wanted floating-point numbers in \[0, 1\]"),
        ({"strips": {"x": np.zeros((2, 8, 8, 3)), "y": np.zeros((3, 8, 8, 3))}}, r"measures: wanted the names"),
        ({"measures": {"x": {"far": [0.0]}}}, r"measures\['x'\]: wanted far, 2 numbers from 0 to 1 each, got \[0.0\]"),
        ({"measures": {"x": {"far": [0.0, 1.1]}}}, "2 numbers from 0 to 1 each"),
        ({"measures": {"x": {"far": [0.0, float("nan")]}}}, "not finite"),
        ({"at": [1.0]}, "at: wanted one for each of 2 frames, got 1"),
        ({"label": 3}, "label: wanted str, got 3"),
    ],
)
def test_bad_strips_are_named(change, message):
    good = {"strips": {"x": np.zeros((2, 8, 8, 3))}, "measures": {"x": {"far": [0.0, 1.0]}}, "label": ""}
    with pytest.raises(ValueError, match=message):
        Flipbook(**(good | change))


def test_strips_are_alike():
    with pytest.raises(ValueError, match=r"strips\['y'\]: wanted shape \(2, 8, 8, 3\), got \(3, 8, 8, 3\)"):
        Flipbook({"x": np.zeros((2, 8, 8, 3)), "y": np.zeros((3, 8, 8, 3))}, {"x": {}, "y": {}}, label="")
    with pytest.raises(ValueError, match=r"measures\['y'\]: wanted far, .* got near"):
        of = {"x": {"far": [0.0, 1.0]}, "y": {"near": [0.0, 1.0]}}
        Flipbook({name: np.zeros((2, 8, 8, 3)) for name in "xy"}, of, label="")


# Across the slash

INK = np.random.default_rng(0).random((20, 24))


def icon(**settings):
    torch.manual_seed(0)
    networks = {
        "embed": ConvNet(1, 3, 8, (4,), 6),
        "judge": nn.Sequential(nn.Linear(6 + 14, 5), nn.GELU(), nn.Linear(5, 1)),
    }
    sides = {"first": [[5, 4], [4.5, 12]], "second": [[19, 15], [12, 15], [20, 6]]}
    return AcrossSlash(
        **({"ink": INK, "window": 8, "alt": "an icon", "exact": np.full((2, 3), 0.25)} | sides | networks | settings)
    )


def test_the_critic_sees_both_patches_and_the_way_between():
    torch.manual_seed(1)
    embed, judge = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), nn.Linear(20, 1)
    widget, turned = (icon(embed=embed, judge=judge, logit=(0.5, -0.2), exact=None, turned=of) for of in (False, True))
    ink = torch.tensor(np.round(255 * INK) / 255, dtype=torch.float32)
    x, y = embed(ink[None, 8:16, 1:9]), embed(ink[None, 11:19, 8:16])  # centres (4.5, 12) and (12, 15)
    way = torch.tensor([[7.5, 3.0]]) / 8
    waves = (way[:, :, None] * torch.tensor([1.0, 2.0, 4.0])).flatten(1)
    for of, second in ((widget, y), (turned, embed(ink[None, 11:19, 8:16].flip(1, 2)))):
        wanted = torch.sigmoid(0.5 * judge(torch.cat([x, second, way, waves.sin(), waves.cos()], 1)) - 0.2)
        assert of.probabilities()[1, 1] == pytest.approx(wanted.item(), abs=1e-3)  # weights have three digits
    assert icon(waves=(), judge=nn.Linear(8, 1)).probabilities().shape == (2, 3)


def test_each_side_may_have_an_ink_of_its_own():
    torch.manual_seed(1)
    networks = {"embed": nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "judge": nn.Linear(20, 1)}
    both, one, other = (icon(ink=of, **networks) for of in (np.stack([INK, 1 - INK]), INK, 1 - INK))
    assert np.array_equal(icon(ink=np.stack([INK, INK]), **networks).probabilities(), one.probabilities())
    assert not np.allclose(both.probabilities(), one.probabilities(), atol=1e-3)
    assert not np.allclose(both.probabilities(), other.probabilities(), atol=1e-3)
    assert len(both.data["ink"]) == 2 and len(one.data["ink"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ink": INK * 2}, r"ink: wanted floating-point numbers in \[0, 1\]"),
        ({"ink": np.stack([INK] * 3)}, r"ink: wanted shape \(height, width\) or \(2, height, width\), got \(3,"),
        ({"first": [[3, 4]]}, "first: wanted centres .* of windows within the image"),
        ({"second": [[19, 15], [21, 5], [12, 15]]}, "second: wanted centres"),
        ({"second": [[19, 15, 0]]}, "second: wanted centres"),
        ({"exact": np.zeros((3, 2))}, r"exact: wanted probabilities of shape \(2, 3\), got shape \(3, 2\)"),
        ({"exact": np.full((2, 3), 1.5)}, "exact: wanted probabilities"),
        ({"judge": nn.Linear(19, 1)}, r"wanted networks from a patch to k numbers, and from 2 k \+ 14 to 1"),
        ({"embed": nn.Sigmoid()}, "embed: wanted layers that the page can run"),
        ({"shown": np.zeros((3, 4, 5))}, "shown: wanted numbers of shape"),
        ({"window": 0}, "window: wanted a whole number ≥ 1"),
    ],
)
def test_bad_icons_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        icon(**change)


# All


def still(widget):
    """The picture that a page shows where scripts do not run."""
    found = re.search(r'<img src="data:image/(?:png|webp);base64,([^"]+)"', widget.static_html())[1]
    return Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB")


def test_a_page_weighs_at_most_three_hundred_thousand_bytes(monkeypatch):
    assert SIZE_LIMIT == 300_000
    images, vectors = pictures()
    weight = len(PatchSimilarity(images, vectors).static_html().encode())
    monkeypatch.setattr(mounting, "SIZE_LIMIT", weight)
    PatchSimilarity(images, vectors)
    monkeypatch.setattr(mounting, "SIZE_LIMIT", weight - 1)
    with pytest.raises(ValueError, match="weighs"):
        PatchSimilarity(images, vectors)


ROOT = Path(__file__).parents[1]
ROOM = 0.03  # of the limit: trained vectors, and with them a widget, weigh a little more on some processors


def weights(path):
    """Bytes of the widgets that a notebook stores."""
    outputs = [output for cell in json.loads(path.read_text("utf-8"))["cells"] for output in cell.get("outputs", ())]
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    return [len(page.encode()) for page in pages if 'class="hssl-widget"' in page]


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "book").glob("*.ipynb")) if weights(path)])
def test_a_stored_widget_may_weigh_a_little_more_elsewhere(name):
    heavy = [weight for weight in weights(ROOT / "book" / f"{name}.ipynb") if weight > (1 - ROOM) * SIZE_LIMIT]
    assert not heavy, f"{heavy} bytes; wanted at most {(1 - ROOM) * SIZE_LIMIT:.0f}: show less, or smaller images"


def both():
    return [PatchSimilarity(*pictures()), Continuation(critic(nn.GELU()), WORLD)]


def all_of_them():
    return [*both(), flipbook(), icon()]


@pytest.mark.parametrize(
    ("which", "trait", "value"),
    [
        (0, "selection", {"image": "nobody", "level": "8 px", "row": 0, "column": 0}),
        (0, "selection", {"image": "grey", "level": "8 px", "row": 4, "column": 0}),
        (0, "selection", {"image": "grey", "level": "8 px", "row": -1, "column": 0}),
        (0, "selection", {"image": "grey"}),
        (0, "measure", "probability"),
        (1, "mode", "arcs"),
        (1, "contrasts", [0.0]),
        (1, "contrasts", [0.0, float("nan")]),
        (1, "points", {"strokes": [[0, 0]] * 4, "arms": [[1.3, 0]] * 4}),
        (1, "points", {"strokes": [[9, 0], [1, 0], [2, 0], [3, 0]], "arms": [[1.3, 0]] * 4}),
        (1, "points", {"strokes": [[0, 0], [1, 0], [2, 0], [3, 0]], "arms": [[0.1, 0]] * 4}),
        (1, "points", {"strokes": [[0, 0], [1, 0], [2, 0], [3, 0]]}),
        (2, "strip", "y"),
        (2, "frame", 13),
        (2, "frame", -1),
        (3, "first", 2),
        (3, "second", -1),
        (0, "selection", {"image": "grey", "level": "8 px", "row": 0, "column": 0, "second": [4, 0]}),
    ],
)
def test_a_choice_that_cannot_be_is_refused(which, trait, value):
    widget = all_of_them()[which]
    before = widget.static_html()
    with pytest.raises(TraitError):
        setattr(widget, trait, value)
    assert widget.static_html() == before


def test_python_hears_what_the_page_chooses():
    patches, strokes = both()
    heard = []
    patches.observe(lambda change: heard.append(change["new"]), "selection")
    strokes.observe(lambda change: heard.append(change["new"]), ["mode", "contrasts"])
    there = {"image": "colour", "level": "16 px", "row": 1, "column": 1}
    patches.set_state({"selection": there})  # what a message from the page does
    strokes.set_state({"mode": "arms", "contrasts": [0.5, 0.5]})
    assert there in heard
    assert "arms" in heard
    assert [0.5, 0.5] in heard
    assert strokes.probabilities()["learned"] != both()[1].probabilities()["learned"]


def test_pages_are_the_same_at_every_run_and_differ_with_their_content():
    for first, again in zip(all_of_them(), all_of_them(), strict=True):
        assert first.static_html() == again.static_html()
        assert repr(first) == repr(again)
    pages = [widget.static_html() for widget in all_of_them()] + [Continuation(critic(nn.ReLU()), WORLD).static_html()]
    assert len({re.search(r'id="(hssl-\w{12})"', page)[1] for page in pages}) == 5


def test_a_notebook_stores_the_page_and_the_live_view():
    for widget in all_of_them():
        bundle, _ = widget._repr_mimebundle_()
        assert bundle["text/html"] == widget.static_html() == widget.static().data
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert "object at" not in bundle["text/plain"]
        assert len(bundle["text/html"].encode()) < SIZE_LIMIT


def test_names_never_become_html():
    _, vectors = pictures()
    widget = PatchSimilarity({EVIL: np.zeros((8, 8))}, {EVIL: {EVIL: vectors["grey"]["8 px"]}}, alt={EVIL: EVIL})
    page = widget.static_html()
    assert "<img src=x" not in page
    assert page.count("</script>") == page.count("<script") == 2
    assert state(widget)["data"]["levels"] == [EVIL]
    page = flipbook(label=EVIL, choose=EVIL, slide=EVIL, at=[EVIL] * 13).static_html()
    assert "<img src=x" not in page
    assert page.count("</script>") == page.count("<script") == 2


def test_without_scripts_there_is_a_picture_with_words():
    for widget in (*both(), icon()):
        picture, words = re.search(
            r'<img src="data:image/(?:png|webp);base64,([^"]+)" alt="([^"]+)"', widget.static_html()
        ).groups()
        assert len(picture) > 500
        assert len(words) > 50


def test_a_page_asks_for_nothing():
    for widget in all_of_them():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", widget.static_html())
        assert not re.search(r"innerHTML|insertAdjacentHTML|fetch\(", str(widget._esm))
