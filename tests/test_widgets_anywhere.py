"""All four widgets wherever they are read: on paper, without scripts, in forced colours, enlarged, by ear, for long.

What is held is what is seen (pixels, words) and what is heard (names), not how it is made.
"""

import base64
import io
import re

import numpy as np
import pytest
from browser import BROWSERS
from PIL import Image
from playwright.sync_api import expect
from test_widgets_browser import EVIL, PAGE, book, chosen, icon, patches, show, strokes  # noqa: F401

from hssl.widgets import Continuation, Flipbook, PatchSimilarity

ABSENT = "This control does not run here: scripts are switched off, or not allowed on this page."
MOVED = ".hssl-frame[tabindex], .hssl-handle, .hssl-slide input, .hssl-choice"  # what arrow keys move
everywhere = pytest.mark.parametrize("browser", BROWSERS, indirect=True, scope="module")
emulated = pytest.mark.usefixtures("emulates")


@pytest.fixture(params=["patches", "strokes", "book", "icon"])
def widget(request):
    return request.getfixturevalue(request.param)


def pixels(locator):
    """What is seen of an element, shape (height, width, 3)."""
    return np.array(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), float)


def rest(page):
    """Waits until all is said and the field is fine; then nothing changes by itself."""
    expect(page.locator(".hssl-live").get_by_role("status")).not_to_be_empty()
    page.wait_for_function("[...document.querySelectorAll('.hssl-field')].every((one) => one.width === 64)")


def coarse(file):
    """An image in blocks but for its edge: they do not depend on where between two pixels it lies."""
    blocks = Image.open(io.BytesIO(file)).convert("RGB").resize((8, 6), Image.Resampling.BOX)
    return np.array(blocks, float)[1:-1, 1:-1]


# Without the control


def assert_still(page, widget):
    """The still is seen, its images pixel by pixel, with its words; the control is not."""
    images = page.locator(".hssl-still img")
    assert images.count() == (7 if isinstance(widget, Flipbook) else 1)
    for image in images.all():
        sent = base64.b64decode(image.get_attribute("src").split(",")[1])
        assert np.abs(coarse(image.screenshot()) - coarse(sent)).mean() < 6  # other ones: 14 and more
    assert_words(page, widget)
    assert page.locator(".hssl-live:visible").count() == 0


def assert_words(page, widget):
    words = page.locator(".hssl-still").inner_text()
    if isinstance(widget, Flipbook):
        assert widget.data["label"] in words and all(bar in words for bar in widget.data["bars"])
        assert all(f"{value:.2f}" in words for value in widget.data["strips"][0]["values"][0][::2])
    else:
        assert widget._words() in words


@emulated
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_has_the_still_and_its_words(show, widget, scheme):  # noqa: F811
    page = show(widget, scheme=scheme)
    page.emulate_media(media="print")
    assert_still(page, widget)
    assert not page.get_by_text(ABSENT).is_visible()
    assert len(re.findall(rb"/Subtype\s*/Image", page.pdf())) >= 1


@emulated
def test_without_scripts_the_still_stays_and_says_so(browser, tmp_path, widget):
    (tmp_path / "page.html").write_text(PAGE.format(widget.static_html()), "utf-8")
    page = browser.new_page(java_script_enabled=False)
    page.goto((tmp_path / "page.html").as_uri())
    expect(page.get_by_text(ABSENT)).to_be_visible()
    assert_still(page, widget)
    page.close()


@pytest.fixture
def under(browser, tmp_path):
    """Opens a page for a widget under a policy for its content."""
    pages = []

    def open_page(widget, policy, before=""):
        head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        whole = PAGE.format(widget.static_html()).replace('<meta charset="utf-8">', head, 1)
        (tmp_path / "page.html").write_text(whole, "utf-8")
        page = browser.new_page(viewport={"width": 800, "height": 900})
        page.add_init_script(before)
        page.goto((tmp_path / "page.html").as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


AGAINST = ["'none'", "'self' data: blob:", "'nonce-abc' 'unsafe-inline'"]  # scripts that stand in the page
IN_FIREFOX = [("firefox", AGAINST[0])]


@pytest.mark.parametrize(
    ("browser", "scripts"), [*(("chromium", of) for of in AGAINST), *IN_FIREFOX], indirect=["browser"], scope="module"
)
def test_a_policy_against_scripts_leaves_the_still_which_says_so(browser, under, widget, scripts):
    page = under(widget, f"script-src {scripts}")
    expect(page.get_by_text(ABSENT)).to_be_visible()
    assert_words(page, widget)
    if browser.browser_type.name == "chromium":  # in Firefox such a policy keeps Playwright from looking
        assert_still(page, widget)


def test_a_policy_against_everything_leaves_the_words(under, widget):
    page = under(widget, "default-src 'none'")
    expect(page.get_by_text(ABSENT)).to_be_visible()
    assert_words(page, widget)


@everywhere
def test_a_control_needs_no_more_than_its_own_script_style_and_images(under, widget):
    allowed = "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    page = under(widget, f"default-src 'none'; {allowed}; require-trusted-types-for 'script'")
    page.wait_for_selector("[data-mounted]")
    assert page.locator(".hssl-still:visible").count() == 0
    before = page.locator(".hssl-live").inner_text()
    page.locator(".hssl-live").locator(MOVED).first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".hssl-live").inner_text() != before


@everywhere
def test_a_control_that_fails_leaves_the_still_which_says_so(under, widget):
    page = under(widget, "img-src data:", before="delete Element.prototype.replaceChildren")  # as in an old browser
    expect(page.get_by_text(ABSENT)).to_be_visible()
    assert_still(page, widget)


# In other colours

#: What must be seen of each widget.
PARTS = {
    "PatchSimilarity": [
        *(".hssl-picture", ".hssl-map >> nth=1", ".hssl-frame .hssl-first", ".hssl-frame .hssl-second", ".hssl-tile"),
        *(".hssl-answer > div", ".hssl-colours", "select", "figcaption data"),
    ],
    "Continuation": [
        *("line[stroke]", "text", ".hssl-handle circle:not(.hssl-target)", ".hssl-field", ".hssl-colours"),
        *(".hssl-ideal > div", "input[type=range]", "input[type=radio]", ".hssl-question"),
    ],
    "Flipbook": [".hssl-picture", ".hssl-slide input", ".hssl-slide data", ".hssl-answer > div", "select"],
    "AcrossSlash": [
        *(".hssl-picture", ".hssl-link", ".hssl-frame .hssl-outline", ".hssl-choice", ".hssl-choice:not(:checked)"),
        *(".hssl-tile", ".hssl-answer > div", ".hssl-question"),
    ],
}
COLOURS = [{"scheme": "light"}, {"scheme": "dark"}, {"forced_colors": "active"}]


def differ(image, other):
    """How many pixels are clearly of another colour."""
    return int((np.abs(image - other).max(-1) > 48).sum())


@emulated
@pytest.mark.parametrize("colours", COLOURS, ids=["light", "dark", "forced"])
def test_every_part_is_seen(show, widget, colours):  # noqa: F811
    page = show(widget, **colours)
    live = page.locator(".hssl-live")
    rest(page)
    whole = pixels(live)
    for part in PARTS[type(widget).__name__]:
        one = live.locator(part).first
        one.evaluate("one => (one.style.visibility = 'hidden')")
        assert differ(pixels(live), whole) > 20, part
        one.evaluate("one => (one.style.visibility = '')")
    assert differ(pixels(live), whole) == 0


BARS = """all => all.filter((bar) => bar.offsetParent).map((bar) => [bar.matches(".hssl-difference, .hssl-pair *"),
    +bar.nextElementSibling.value])"""


@emulated
@pytest.mark.parametrize("colours", COLOURS, ids=["light", "dark", "forced"])
def test_bars_are_as_long_as_their_numbers(show, widget, colours):  # noqa: F811
    page = show(widget, **colours)
    numbers = page.eval_on_selector_all(".hssl-answer", BARS)
    bars = [bar for bar in page.locator(".hssl-answer").all() if bar.is_visible()]
    assert len(bars) == len(numbers) > 0
    for bar, (has_sign, number) in zip(bars, numbers, strict=True):
        full = pixels(bar)
        bar.evaluate("one => (one.firstChild.style.visibility = 'hidden')")
        lit = (np.abs(full - pixels(bar)).max(-1) > 48)[full.shape[0] // 2]
        assert lit.mean() == pytest.approx(abs(number) / (2 if has_sign else 1), abs=0.03)


@emulated
@pytest.mark.parametrize("colours", COLOURS, ids=["light", "dark", "forced"])
def test_what_is_chosen_looks_chosen(show, patches, icon, colours):  # noqa: F811
    page = show(patches, **colours)
    first, second = page.locator(".hssl-pin").all()
    chosen = pixels(first)
    second.click()
    page.mouse.move(2, 2)
    assert differ(pixels(first), chosen) > 100
    page = show(icon, **colours)
    first, second = page.locator(".hssl-choice").all()[:2]
    chosen = pixels(first)
    second.click()
    page.mouse.move(2, 2)
    assert differ(pixels(first), chosen) > 50


# Small, and enlarged

TEXT = """() => {
  const live = document.querySelector(".hssl-live"), found = [], seen = [];
  const walk = document.createTreeWalker(live, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode()); ) {
    const { parentElement: of, data } = node;
    if (!data.trim() || of.closest(".hssl-unseen, option") || !of.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.left < -1 || box.right > innerWidth + 1) found.push(["beyond the window", data]);
      for (let around = of; around !== live; around = around.parentElement) {
        const edge = around.getBoundingClientRect();
        const clips = getComputedStyle(around).overflowX !== "visible";
        if (clips && (box.left < edge.left - 1 || box.right > edge.right + 1)) found.push(["cut", data]);
      }
      seen.push([box, node]);
    }
  }
  const both = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  seen.forEach(([a, one], k) => seen.slice(0, k).forEach(([b, other]) => {
    if (one !== other && both(a, b)) found.push(["covered", one.data, other.data]);
  }));
  return found;
}"""
LETTERS = "all => all.map((one) => parseFloat(getComputedStyle(one).fontSize))"
SIZES = {
    "320 pixels": {"width": 320},
    "page at 200 %": {"width": 400, "device_scale_factor": 2},  # of a window of 800 pixels
    "text at 200 %": {"width": 800},
    "text at 200 % on 320 pixels": {"width": 320},
}


@emulated
@pytest.mark.parametrize("size", SIZES)
def test_no_text_is_cut_or_covered(show, widget, size, sideways):  # noqa: F811
    page = show(widget, **SIZES[size])
    if "text" in size:
        page.add_style_tag(content="html { font-size: 200% }")
    assert page.evaluate(TEXT) == []
    assert page.evaluate(sideways) <= 0
    letters = page.eval_on_selector_all(".hssl-live :is(select, button, input[type=file])", LETTERS)
    assert min(letters, default=24) >= (24 if "text" in size else 12)
    for bar in page.locator(".hssl-answer:visible").all():
        assert bar.bounding_box()["width"] >= 24
    if page.locator("input[value=arms]").count():
        page.get_by_role("radio", name="four arms").check()
        assert page.evaluate(TEXT) == [] and page.evaluate(sideways) <= 0


# By keys, by touch, by ear


def heard(locator):
    """Role and name of an element, as a screen reader has them."""
    role, name = re.match(r"""- '?(\w+)(?: "((?:\\.|[^"])*)")?""", locator.aria_snapshot()).groups()
    return f"{role} {name}".replace('\\"', '"')


KEYS = "arrow keys move the patch, Enter takes the other one."
#: What is heard, one after the other, at the stops of the tab key.
STOPS = {
    "PatchSimilarity": [
        *("combobox picture", "combobox colour"),
        "button your own picture, chosen or dropped here (it stays in this page)",
        *("button first row 3, column 4", "button second row 2, column 6", "button second: the most similar one"),
        f"application The picture: {KEYS}",
        *(f"application Windows of {size}: {KEYS}" for size in ("8 px", f"16 px {EVIL}")),
    ],
    "Continuation": [
        *(f"slider Stroke {of}, {part}" for of in "AB" for part in ("as a whole", "first end", "second end")),
        *("radio two strokes", "slider contrast of A 0.0", "slider contrast of B 0.0", "combobox field behind A"),
    ],
    "Flipbook": ["combobox latent", "slider value 0.00"],
    "AcrossSlash": ["radio first side, patch 1 of 3", "radio second side, patch 1 of 2"],
}


@everywhere
def test_every_stop_of_the_tab_key_has_a_name_and_a_ring(show, widget):  # noqa: F811
    page = show(widget)
    page.set_viewport_size({"width": 800, "height": 2400})  # nothing scrolls
    page.evaluate("document.querySelector('main > p').style.height = '2000px'")
    around, names = page.locator("main"), []
    idle = pixels(around)
    while True:
        page.keyboard.press("Tab")
        focused = page.locator(".hssl-live :focus")
        if not focused.count():
            break
        names.append(heard(focused))
        assert differ(pixels(around), idle) > 30, names[-1]
    assert names == STOPS[type(widget).__name__]


@emulated
def test_touch_slides_along_a_strip(show, book):  # noqa: F811
    page = show(book, width=320, has_touch=True)
    box = page.get_by_role("slider").bounding_box()
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    assert 10 <= chosen(page, "frame") <= 12


# For long

#: A thousand choices of each widget, and a hundred times other data, as a kernel sends them.
CHOICES = """([choices, times]) => {
  const { model } = document.querySelector(".hssl-widget");
  for (let k = 0; k < times; k++) {
    const [trait, value] = choices[k % choices.length];
    model.set(trait, value);
    const frame = document.querySelector(".hssl-frame > :last-child");
    const at = { bubbles: true, pointerType: "mouse", clientX: 20 + (k % 200), clientY: 120 };
    for (const name of ["pointermove", "pointerleave"]) frame.dispatchEvent(new PointerEvent(name, at));
    if (k % 10 === 0) model.set("data", model.get("data"));
  }
}"""


def choices_of(widget):
    """Some choices of a widget, as [trait, value]."""
    if isinstance(widget, PatchSimilarity):
        at = [{"image": "tall", "level": "8 px", "row": k % 8, "column": k % 4} for k in range(9)]
        return [*(["selection", of] for of in at), ["measure", "probability"], ["measure", "cosine"]]
    if isinstance(widget, Continuation):
        points = [widget.points | {"strokes": [[-2, 0], [-1, 0], [0, k / 9], [1, 0]]} for k in range(9)]
        return [*(["points", of] for of in points), ["mode", "arms"], ["mode", "strokes"], ["contrasts", [1, 0.5]]]
    if isinstance(widget, Flipbook):
        return [*(["frame", k] for k in range(13)), ["strip", EVIL], ["strip", "hue"]]
    return [["first", 1], ["second", 1], ["first", 2], ["second", 0], ["first", 0]]


@emulated
def test_a_thousand_interactions_leave_nothing_behind(show, widget):  # noqa: F811
    page = show(widget)
    session = page.context.new_cdp_session(page)

    def weigh():
        rest(page)
        session.send("HeapProfiler.collectGarbage")
        counters = session.send("Memory.getDOMCounters")
        return np.array(
            [session.send("Runtime.getHeapUsage")["usedSize"], counters["nodes"], counters["jsEventListeners"]]
        )

    page.evaluate(CHOICES, [choices_of(widget), 1000])  # all is compiled
    before = weigh()
    page.evaluate(CHOICES, [choices_of(widget), 1000])
    grown, nodes, listeners = weigh() - before
    assert grown < 300_000 and nodes <= 20 and listeners <= 5, (grown, nodes, listeners)
