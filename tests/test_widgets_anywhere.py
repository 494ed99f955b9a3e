"""All four widgets wherever they are read: on paper, without scripts, in forced colours, enlarged, by ear, for long.

What is held is what is seen (pixels, words) and what is heard (names), not how it is made.
"""

import base64
import io
import math
import re
from itertools import chain

import numpy as np
import pytest
from browser import BROWSERS
from PIL import Image
from playwright.sync_api import expect
from test_widgets_browser import (
    EVIL,
    PAGE,
    chosen,
    everywhere,
    make_book,
    make_icon,
    make_patches,
    make_strokes,
    show,  # noqa: F401, a fixture
)

from hssl.widgets import Continuation, Flipbook, PatchSimilarity

ABSENT = "This control does not run here: scripts are switched off, or not allowed on this page."
MOVED = ".hssl-frame[tabindex], .hssl-handle, .hssl-slide input, .hssl-choice"  # what arrow keys move


KINDS = {"patches": make_patches, "strokes": make_strokes, "book": make_book, "icon": make_icon}


@pytest.fixture(scope="module")
def widgets():
    """One of each kind; a page has them all."""
    return [make() for make in KINDS.values()]


def each(page, widgets):
    """The parts of a page that the widgets have, with the widgets."""
    return zip(page.locator(".hssl-widget").all(), widgets, strict=True)


def pixels(shot):
    """An image that a browser made, shape (height, width, 3)."""
    return np.array(Image.open(io.BytesIO(shot)).convert("RGB"), float)


def area(page, *elements, room=0):
    """Where elements are on a page, in whole pixels, with some room around them."""
    boxes = [element.bounding_box() for element in elements]
    left, top = (max(0, min(math.floor(box[of]) for box in boxes) - room) for of in "xy")
    right = min(page.viewport_size["width"], max(math.ceil(box["x"] + box["width"]) for box in boxes) + room)
    bottom = max(math.ceil(box["y"] + box["height"]) for box in boxes) + room
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def cut(whole, at):
    """An area of an image."""
    return whole[at["y"] : at["y"] + at["height"], at["x"] : at["x"] + at["width"]]


def rest(page):
    """Waits until all is said and the field is fine; then nothing changes by itself."""
    for status in page.locator(".hssl-live [role=status]").all():
        expect(status).not_to_be_empty()
    page.wait_for_function("[...document.querySelectorAll('.hssl-field')].every((one) => one.width === 64)")


def coarse(image):
    """An image in blocks but for its edge: they do not depend on where between two pixels it lies."""
    blocks = Image.fromarray(image.astype(np.uint8)).resize((8, 6), Image.Resampling.BOX)
    return np.array(blocks, float)[1:-1, 1:-1]


# Without the control


def assert_stills(page, widgets):
    """The stills are seen, their images pixel by pixel, with their words; the controls are not."""
    clip = area(page, page.locator("main"))
    whole = np.zeros((clip["y"] + clip["height"], clip["x"] + clip["width"], 3))
    cut(whole, clip)[:] = pixels(page.screenshot(clip=clip, full_page=True))
    for part, widget in each(page, widgets):
        images = part.locator(".hssl-still img")
        assert images.count() == (7 if isinstance(widget, Flipbook) else 1)
        assert isinstance(widget, Flipbook) or images.get_attribute("alt") == widget._words()
        for image in images.all():
            sent = pixels(base64.b64decode(image.get_attribute("src").split(",")[1]))
            assert np.abs(coarse(cut(whole, area(page, image))) - coarse(sent)).mean() < 6  # other ones: 14 and more
        assert part.locator(".hssl-live:visible").count() == 0
    assert_words(page, widgets)


def assert_words(page, widgets):
    for part, widget in each(page, widgets):
        words = part.locator(".hssl-still").inner_text()
        if isinstance(widget, Flipbook):
            assert widget.data["label"] in words and all(bar in words for bar in widget.data["bars"])
            assert all(f"{value:.2f}" in words for value in widget.data["strips"][0]["values"][0][::2])
        else:
            assert widget._words() in words


def assert_absent(page):
    """All four say that they do not run."""
    assert page.get_by_text(ABSENT).count() == 4
    for words in page.get_by_text(ABSENT).all():
        expect(words).to_be_visible()


def test_paper_has_the_stills_and_their_words(show, widgets):  # noqa: F811
    page = show(*widgets)
    for scheme in ("light", "dark"):
        page.emulate_media(media="print", color_scheme=scheme)
        assert_stills(page, widgets)
    assert not any(words.is_visible() for words in page.get_by_text(ABSENT).all())


@everywhere
def test_a_print_has_the_images(show, widgets):  # noqa: F811
    assert len(re.findall(rb"/Subtype\s*/Image", show(*widgets).pdf())) >= 4


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page with widgets, under a policy for its content where one is given."""
    pages = []

    def open_page(widgets, policy="", before="", **settings):
        head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        whole = PAGE.format("".join(widget.static_html() for widget in widgets))
        (tmp_path / "page.html").write_text(whole.replace('<meta charset="utf-8">', head, 1), "utf-8")
        page = browser.new_page(viewport={"width": 800, "height": 900}, **settings)
        page.add_init_script(before)
        page.goto((tmp_path / "page.html").as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


def test_without_scripts_the_stills_stay_and_say_so(opened, widgets):
    page = opened(widgets, java_script_enabled=False)
    assert_absent(page)
    assert_stills(page, widgets)


@pytest.mark.parametrize(
    ("browser", "scripts"),
    [("firefox", "'none'"), ("chromium", "'self' data: blob:"), ("chromium", "'nonce-abc' 'unsafe-inline'")],
    indirect=["browser"],
    scope="module",
)
def test_a_policy_against_scripts_leaves_the_stills_which_say_so(browser, opened, widgets, scripts):
    page = opened(widgets, f"script-src {scripts}")
    assert_absent(page)
    assert_words(page, widgets)
    if browser.browser_type.name == "chromium":  # in Firefox such a policy keeps Playwright from looking
        assert_stills(page, widgets)


def test_a_policy_against_everything_leaves_the_words(opened, widgets):
    page = opened(widgets, "default-src 'none'")
    assert_absent(page)
    assert_words(page, widgets)


@everywhere
def test_controls_need_no_more_than_their_own_script_style_and_images(opened, widgets):
    allowed = "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    page = opened(widgets, f"default-src 'none'; {allowed}; require-trusted-types-for 'script'")
    for part, _ in each(page, widgets):
        assert part.locator(".hssl-still:visible").count() == 0
        live = part.locator(".hssl-live")
        before = live.inner_text()
        live.locator(MOVED).first.focus()
        page.keyboard.press("ArrowRight")
        assert live.inner_text() != before


def test_controls_that_fail_leave_the_stills_which_say_so(opened, widgets):
    page = opened(widgets, "img-src data:", before="delete Element.prototype.replaceChildren")  # as in an old browser
    assert_absent(page)
    assert_stills(page, widgets)


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
ASKED = {"scheme": "(prefers-color-scheme: dark)", "forced_colors": "(forced-colors: active)"}
COLOURS = {"dark": {"scheme": "dark"}, "forced": {"forced_colors": "active"}}
in_other_colours = pytest.mark.parametrize(
    ("browser", "colours"),
    [(browser, COLOURS[look]) for look in COLOURS for browser in ("chromium", f"firefox {look}")],
    ids=[f"{look}-{browser}" for look in COLOURS for browser in BROWSERS],
    indirect=["browser"],
    scope="module",
)


def differ(image, other):
    """How many pixels are clearly of another colour."""
    return int((np.abs(image - other).max(-1) > 48).sum())


def unscrolled(page):
    """Makes the window as high as the page."""
    page.add_style_tag(content="main > p:last-child { display: none }")
    page.set_viewport_size({"width": 800, "height": page.evaluate("document.documentElement.scrollHeight") + 9})


@in_other_colours
def test_every_part_is_seen(show, widgets, colours):  # noqa: F811
    page = show(*widgets, **colours)
    assert all(page.evaluate(f"matchMedia('{ASKED[of]}').matches") for of in colours)
    unscrolled(page)
    rest(page)
    whole = pixels(page.screenshot())
    for part, widget in each(page, widgets):
        for name in PARTS[type(widget).__name__]:
            one = part.locator(".hssl-live").locator(name).first
            at = area(page, one, room=2)
            one.evaluate("one => (one.style.visibility = 'hidden')")
            assert differ(pixels(page.screenshot(clip=at)), cut(whole, at)) > 20, name
            one.evaluate("one => (one.style.visibility = '')")
    assert differ(pixels(page.screenshot()), whole) == 0


BARS = """all => all.filter((bar) => bar.offsetParent).map((bar) => [bar.matches(".hssl-difference, .hssl-pair *"),
    +bar.nextElementSibling.value])"""


@in_other_colours
def test_bars_are_as_long_as_their_numbers(show, widgets, colours):  # noqa: F811
    page = show(*widgets, **colours)
    unscrolled(page)
    numbers = page.eval_on_selector_all(".hssl-answer", BARS)
    bars = [bar for bar in page.locator(".hssl-answer").all() if bar.is_visible()]
    assert len(bars) == len(numbers) >= 8
    full = pixels(page.screenshot())
    page.add_style_tag(content=".hssl-answer > div { visibility: hidden }")
    empty = pixels(page.screenshot())
    for bar, (has_sign, number) in zip(bars, numbers, strict=True):
        with_it, without = (cut(of, area(page, bar)) for of in (full, empty))
        lit = (np.abs(with_it - without).max(-1) > 48)[len(with_it) // 2]
        assert lit.mean() == pytest.approx(abs(number) / (2 if has_sign else 1), abs=0.03)


@in_other_colours
def test_what_is_chosen_looks_chosen(show, widgets, colours):  # noqa: F811
    page = show(*widgets, **colours)
    for of, least in ((".hssl-pin", 100), (".hssl-choice", 50)):
        first, second = page.locator(of).all()[:2]
        chosen = pixels(first.screenshot())
        second.click()
        page.mouse.move(2, 2)
        assert differ(pixels(first.screenshot()), chosen) > least


# Small, and enlarged

TEXT = """() => {
  const live = document.querySelector("main"), found = [], seen = [];
  const walk = document.createTreeWalker(live, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode()); ) {
    const { parentElement: of, data } = node;
    if (!data.trim() || of.closest(".hssl-unseen, option, style, script") || !of.checkVisibility()) continue;
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


@pytest.mark.parametrize("size", SIZES)
def test_no_text_is_cut_or_covered(show, widgets, size, sideways):  # noqa: F811
    page = show(*widgets, **SIZES[size])
    if "text" in size:
        page.add_style_tag(content="html { font-size: 200% }")
    assert page.evaluate(TEXT) == []
    assert page.evaluate(sideways) <= 0
    letters = page.eval_on_selector_all(".hssl-live :is(select, button, input[type=file])", LETTERS)
    assert min(letters) >= (24 if "text" in size else 12)
    for bar in page.locator(".hssl-answer:visible").all():
        assert bar.bounding_box()["width"] >= 24
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
def test_every_stop_of_the_tab_key_has_a_name_and_a_ring(browser, show, widgets):  # noqa: F811
    page = show(*widgets)
    unscrolled(page)
    rest(page)
    idle, names, rings = pixels(page.screenshot()), [], set()
    while page.keyboard.press("Tab") or (focused := page.locator(".hssl-live :focus")).count():
        names.append(heard(focused))
        role = names[-1].split()[0]
        if role not in rings or browser.browser_type.name == "chromium":  # the first of each kind: Firefox takes long
            rings.add(role)
            at = area(page, focused, room=8)
            assert differ(pixels(page.screenshot(clip=at)), cut(idle, at)) > 30, names[-1]
    assert names == list(chain(*STOPS.values()))


def test_touch_slides_along_a_strip(show):  # noqa: F811
    page = show(make_book(), width=320, has_touch=True)
    box = page.get_by_role("slider").bounding_box()
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    assert 10 <= chosen(page, "frame") <= 12


# For long

#: A thousand choices of each widget, and fifty times other data, as a kernel sends them.
CHOICES = """([choices, times]) => {
  const { model } = document.querySelector(".hssl-widget");
  for (let k = 0; k < times; k++) {
    const [trait, value] = choices[k % choices.length];
    model.set(trait, value);
    const frame = document.querySelector(".hssl-frame > :last-child");
    const at = { bubbles: true, pointerType: "mouse", clientX: 20 + (k % 200), clientY: 120 };
    for (const name of ["pointermove", "pointerleave"]) frame.dispatchEvent(new PointerEvent(name, at));
    if (k % 20 === 0) model.set("data", model.get("data"));
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_interactions_leave_nothing_behind(show, kind):  # noqa: F811
    widget = KINDS[kind]()
    page = show(widget)
    session = page.context.new_cdp_session(page)

    def weigh():
        rest(page)
        session.send("HeapProfiler.collectGarbage")
        counters = session.send("Memory.getDOMCounters")
        return np.array(
            [session.send("Runtime.getHeapUsage")["usedSize"], counters["nodes"], counters["jsEventListeners"]]
        )

    page.evaluate(CHOICES, [choices_of(widget), 100])  # all is compiled
    before = weigh()
    page.evaluate(CHOICES, [choices_of(widget), 1000])
    grown, nodes, listeners = weigh() - before
    assert grown < 300_000 and nodes <= 20 and listeners <= 5, (grown, nodes, listeners)
