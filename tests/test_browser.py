"""Every page in headless Chromium: silent, self-contained, and never wider than the window, light and dark."""

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
NAMES = [*sorted(p.relative_to(SITE).as_posix() for p in (SITE / "book").rglob("*.html")), "index.html", "search.html"]
MOST = 3_000_000  # bytes of a page with all that it loads, not compressed
THEME = ("[PST]: ", "[togglebutton]: ")  # what the theme itself logs: the colour mode it chose, and so on


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host():
    if not os.environ.get("CI") and not (SITE / "index.html").exists():
        pytest.skip("the book is not built; make book")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def wait_for_images(page, loaded):
    """Until every image is there and its response is known: Playwright may tell of it after the page has it."""
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    for _ in range(1200):
        sources = page.evaluate("[...document.images].map((image) => image.currentSrc)")
        missing = {url for url in sources if url.startswith("http") and url not in loaded}
        if not missing:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"no response is known of {missing}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1400])
def test_page(browser, host, name, scheme, width, sideways):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: message.text.startswith(THEME) or said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda response: response.status < 400 or said.append(f"{response.status} {response.url}"))
    page.goto(f"{host}/{name}", wait_until="networkidle")
    assert not said
    assert all(url.startswith((host, "data:", "blob:")) for url in asked)
    page.wait_for_function(f"document.documentElement.dataset.theme == '{scheme}'")
    assert page.evaluate(sideways) <= 0
    page.close()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "index.html"])  # which leads on at once
def test_all_that_a_page_loads_is_light(browser, host, name):
    page = browser.new_page(viewport={"width": 1400, "height": 900}, device_scale_factor=2)
    loaded = {}
    page.on("response", lambda response: loaded.setdefault(response.url, response))
    page.goto(f"{host}/{name}", wait_until="networkidle")
    page.eval_on_selector_all("img[loading=lazy]", "all => all.forEach((image) => (image.loading = 'eager'))")
    wait_for_images(page, loaded)
    own = [response for url, response in loaded.items() if url.startswith(host) and response.ok]
    bytes_of = {response.url: len(response.body()) for response in own}
    assert sum(bytes_of.values()) <= MOST, sorted(bytes_of.items(), key=lambda item: -item[1])[:8]
    page.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_moves_when_images_arrive(browser, host, width):
    page, held = browser.new_page(viewport={"width": width, "height": 900}), []
    page.route("**/_images/*", lambda route: route.continue_() if held is None else held.append(route))
    page.goto(f"{host}/book/content_style.html", wait_until="domcontentloaded")
    room = "all => all.map((image) => [image.clientWidth, image.clientHeight])"
    before = page.eval_on_selector_all("figure img", room)
    waiting, held = held, None
    for route in waiting:
        route.continue_()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # which loads the others
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth)")
    assert page.eval_on_selector_all("figure img", room) == before and all(height for _, height in before)
    page.close()


def test_a_print_shows_images_that_were_never_seen(browser, host):
    page, asked = browser.new_page(), []
    page.on("response", lambda response: asked.append(response.url))
    page.goto(f"{host}/book/sharing.html", wait_until="networkidle")
    late = [image.get_attribute("src").removeprefix("..") for image in page.locator("img[loading=lazy]").all()]
    assert len(late) > 2 and not all(f"{host}{name}" in asked for name in late)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    wait_for_images(page, asked)
    assert all(f"{host}{name}" in asked for name in late)
    assert page.pdf().count(b"/Subtype /Image") > len(late)
    page.close()


def test_every_icon_is_drawn(browser, host):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(f"{host}/book/content_style.html", wait_until="networkidle")
    empty = """all => all.filter((icon) => ["none", "normal"].includes(getComputedStyle(icon, "::before").content))
        .map((icon) => icon.className)"""
    assert page.locator("[class*='fa-']").count() > 5
    assert page.eval_on_selector_all(".fa-solid, .fas, .fa-brands, .fab, .fa-regular, .far", empty) == []
    page.close()


TYPESET = "MathJax.startup.promise.then(() => null)"  # waits for all formulas


def test_formulas_are_typeset(browser, host):
    page = browser.new_page()
    page.goto(f"{host}/book/content_style.html", wait_until="networkidle")
    page.evaluate(TYPESET)
    assert page.locator("mjx-container").count() > 20
    assert page.locator("mjx-merror").count() == 0
    page.close()


@pytest.mark.parametrize(
    "name",
    [
        "content_style",
        "breaking",
        "causal_scenes",
        "sharing",
        "content_in_depth",
        "arrows",
        "similarity",
        "continuation",
        "icons",
    ],
)
def test_formulas_fit_a_phone(browser, host, name):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(f"{host}/book/{name}.html")
    page.evaluate(TYPESET)
    assert page.locator("mjx-container[display=true]").count()
    wide = """all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.closest("div.math").id)"""
    assert page.eval_on_selector_all("mjx-container[display=true]", wide) == []
    page.close()


def test_a_latent_is_swept_by_mouse_and_keyboard(browser, host):
    page = browser.new_page()
    page.goto(f"{host}/book/causal_scenes.html", wait_until="networkidle")
    book = page.locator(".hssl-live")
    slider, picture = book.locator("input"), book.get_by_role("img")

    def state():
        return picture.get_attribute("style"), book.locator(".hssl-answers data").all_inner_texts()

    first = state()
    slider.focus()
    page.keyboard.press("ArrowRight")
    moved = state()
    assert moved != first
    page.keyboard.press("ArrowLeft")
    assert state() == first
    book.locator("select").select_option("hue object")
    slider.fill("12")
    hue_redrawn, positions_redrawn = (float(text) for text in state()[1])
    assert positions_redrawn > hue_redrawn  # the encoder whose style is hues stays where it is
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    assert slider.input_value() == "0"
    page.close()


SLID = {  # page: what its text says of the slider's two ends
    "start_here": ("0 %", "100 %"),  # of the training
    "causal_scenes": ("−1.00", "1.00"),
    "stacking_in_depth": ("0.00", "1.00"),  # detached, joint
}


@pytest.mark.parametrize("name", SLID)
def test_a_slider_does_what_its_text_says(browser, host, name):
    page = browser.new_page()
    page.goto(f"{host}/book/{name}.html", wait_until="networkidle")
    slider, said = page.locator(".hssl-live .hssl-slide input"), []
    for key in ("Home", "End"):
        slider.press(key)
        said.append(slider.get_attribute("aria-valuetext"))
    assert tuple(said) == SLID[name]
    page.close()


def test_results_are_searched_from_the_keyboard(browser):
    if not (SITE / "book" / "results.html").exists():
        pytest.skip("the book is not built; make book")
    page = browser.new_page()
    page.goto((SITE / "book" / "results.html").as_uri())  # no server is needed
    root = page.locator(".hssl-results")
    folds = root.locator("details:visible")
    assert folds.count() > 3 and root.locator("tbody tr:visible").count() == 0  # all are closed
    root.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert root.locator("tbody tr:visible").count() > 1
    root.get_by_label("Search").fill("at the limit digit")
    shown = root.locator("tbody tr:visible:not(:first-child)")
    assert shown.count() >= 1
    assert all("at the limit" in text.lower() for text in shown.all_inner_texts())
    assert root.locator("output").inner_text().startswith(f"{shown.count()} of ")
    root.get_by_label("Search").fill("no such number")
    assert root.locator("tbody tr:visible").count() == 0
    root.get_by_label("Search").fill("")
    assert root.locator("tbody tr:visible").count() == 0 and folds.count() > 3
    with page.expect_download() as download:
        root.get_by_role("link", name="CSV").click()
    assert "chapter" in Path(download.value.path()).read_text().split("\n")[0]
    page.close()


CUT = """() => [...document.querySelectorAll('.bd-article pre, .bd-article div.math')]
    .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.textContent.slice(0, 60))"""


@pytest.mark.parametrize("name", ["content_style", "reference/measuring"])
def test_no_code_is_cut_at_the_edge_of_the_paper(browser, host, name):
    page = browser.new_page(viewport={"width": 680, "height": 1000})  # A4 without its margins
    page.goto(f"{host}/book/{name}.html", wait_until="networkidle")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # the theme opens the solutions
    assert page.locator(".bd-article pre").count() > 5
    assert page.evaluate(CUT) == []
    page.close()


def test_a_dark_page_is_printed_dark_on_white(browser, host):
    page = browser.new_page(color_scheme="dark")
    page.goto(f"{host}/book/content_style.html", wait_until="networkidle")
    page.emulate_media(media="print")
    colour = "(selector) => getComputedStyle(document.querySelector(selector)).{}"
    assert page.evaluate(colour.format("backgroundColor"), "body") == "rgb(255, 255, 255)"
    for text in (".bd-article p", ".bd-article div.highlight pre span.n", ".bd-article table.dataframe td"):
        channels = page.evaluate(colour.format("color"), text).strip("rgb()").split(", ")
        assert all(int(channel) < 0x60 for channel in channels), text
    page.close()


def test_a_click_enlarges_a_figure_and_escape_closes_it(browser, host):
    page = browser.new_page(viewport={"width": 360, "height": 700})
    page.goto(f"{host}/book/content_style.html", wait_until="networkidle")
    link = page.locator("figure a.image-reference").first
    small = link.locator("img")
    link.click()
    large = page.get_by_role("dialog").locator("img")
    assert large.get_attribute("alt") == small.get_attribute("alt")
    assert large.bounding_box()["width"] >= 700 > small.bounding_box()["width"]  # as wide as it was drawn
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert link.evaluate("link => link === document.activeElement")
    page.close()
