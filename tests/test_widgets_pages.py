"""The widgets where readers meet them: on the built pages, over http and from a file, held against torch."""

import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from test_browser import SITE, host  # noqa: F401, a fixture
from torch import nn

from hssl.calibration import same_logit
from hssl.worlds import contours

WIDGET = ".hssl-widget"
KEYS = ("weight", "bias")
MODEL = f"document.querySelector('{WIDGET}').model"


@pytest.fixture(params=["http", "file"])
def visit(browser, host, request):  # noqa: F811
    """Opens a built page in one of the two ways."""
    pages = []

    def open_page(name):
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        start = host if request.param == "http" else Path(SITE).as_uri()
        page.goto(f"{start}/book/{name}.html", wait_until="networkidle")
        page.wait_for_selector(f"{WIDGET} svg, {WIDGET} .hssl-frame")
        page.locator(WIDGET).first.scroll_into_view_if_needed()
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


def readings(page):
    found = page.eval_on_selector_all(f"{WIDGET} data", "all => all.map((one) => one.value)")
    return [float(value) for value in found if value]


def network_of(packed):
    """A network that the page has, in torch."""
    layers = []
    for layer in packed["layers"][::2]:
        raw = (np.frombuffer(base64.b64decode(layer[k]), packed["dtype"]).astype(np.float32) for k in KEYS)
        weight, bias = map(torch.from_numpy, raw)
        weight = weight.view(len(bias), -1)
        linear = nn.Linear(weight.shape[1], len(bias))
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers += [linear, nn.GELU()]
    return nn.Sequential(*layers[:-1])


def by_torch(page):
    """Learned and ideal probability of the two strokes as they lie now, by the library and not by the widget."""
    data = page.evaluate(f"{MODEL}.get('data')")
    ends = torch.tensor(page.evaluate(f"{MODEL}.get('points').strokes"), dtype=torch.float32).view(2, 2, 2)
    along = ends[:, 1] - ends[:, 0]
    world = contours.Contours(**{name: data["contours"][name] for name in contours.Contours.__dataclass_fields__})
    pair = world.between(ends.mean(1), torch.atan2(along[:, 1], along[:, 0]))
    pair = contours.Relations(*(field[:1, 1:].flatten() for field in pair))
    with torch.no_grad():
        learned = same_logit(network_of(data["critic"])(contours.features(pair))[:, 0] + data["shift"], data["rate"])
    return torch.sigmoid(torch.cat([learned, world.log_likelihood_ratio(pair)])).tolist()


def test_dragged_strokes_say_what_torch_says(visit):
    page = visit("continuation")
    assert readings(page)[:2] == pytest.approx(by_torch(page), abs=1e-5)
    before = readings(page)
    handle = page.get_by_label("Stroke B, second end")
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 45, steps=4)
    page.mouse.up()
    handle.focus()
    page.keyboard.press("ArrowLeft")
    assert readings(page) != before
    assert readings(page)[:2] == pytest.approx(by_torch(page), abs=1e-5)


def test_a_clicked_patch_says_what_torch_says(visit):
    page = visit("similarity")
    page.locator(f"{WIDGET} select").first.select_option(index=1)
    box = page.locator(f"{WIDGET} .hssl-frame").nth(1).bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    page.keyboard.press("ArrowRight")
    page.mouse.move(5, 5)
    data, chosen = (page.evaluate(f"{MODEL}.get('{name}')") for name in ("data", "selection"))
    assert chosen["level"] == data["levels"][0]
    grid = data["maps"][[picture["name"] for picture in data["pictures"]].index(chosen["image"])][0]
    vectors = torch.from_numpy(np.frombuffer(base64.b64decode(grid["vectors"]), np.int8).copy()).double()
    vectors = vectors.view(grid["rows"], grid["columns"], -1)
    cosines = nn.functional.cosine_similarity(vectors, vectors[chosen["row"], chosen["column"]], dim=2)
    cosines[chosen["row"], chosen["column"]] = -2  # what the page says is the best of the others
    page.get_by_role("button", name="most similar").click()
    assert readings(page)[0] == pytest.approx(cosines.max().item(), abs=1e-5)
    assert page.locator(f"{WIDGET} input[type=file]").count() == 1  # the reader's own picture


def test_patches_across_the_slash_say_what_torch_says(visit):
    page = visit("icons")
    assert page.locator(WIDGET).count() == 2  # the microphone and the camera
    page.get_by_label("first side, patch 2 of").first.click()
    page.get_by_label("second side, patch 1 of").first.focus()
    page.keyboard.press("ArrowDown")
    data = page.evaluate(f"{MODEL}.get('data')")
    pair = [page.evaluate(f"{MODEL}.get('{side}')") for side in ("first", "second")]
    assert pair == [1, 1]
    embed, judge, window = network_of(data["embed"]), network_of(data["judge"]), data["window"]
    embedded, centres = [], []
    for side, ink, k in zip(("first", "second"), data["ink"], pair, strict=True):
        pixels = torch.from_numpy(np.frombuffer(base64.b64decode(ink), np.uint8).copy()).view(data["height"], -1) / 255
        x, y = data["sides"][side]["corners"][k]
        patch = pixels[y : y + window, x : x + window].flatten()
        embedded.append(embed(patch.flip(0) if side == "second" else patch))
        centres.append(torch.tensor(data["sides"][side]["centres"][k]))
    way = (centres[1] - centres[0]) / window
    waves = (way[:, None] * torch.tensor(data["waves"])).flatten()
    learned = torch.sigmoid(judge(torch.cat([*embedded, way, waves.sin(), waves.cos()]))).item()
    assert readings(page)[:2] == pytest.approx([learned, data["exact"][1][1]], abs=1e-4)
