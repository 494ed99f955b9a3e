"""Names, texts and states that mean harm, or are odd: refused by name, or shown as they are; none of them is run."""

import json
import math
import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from test_widgets import all_of_them, critic
from test_widgets_browser import show  # noqa: F401, a fixture
from torch import nn
from traitlets import TraitError

from hssl.widgets import AcrossSlash, Continuation, Flipbook, PatchSimilarity
from hssl.widgets.mounting import isolated, module
from hssl.worlds.contours import Contours

RUN = "document.title = 1"  # what would be seen if a text were taken for code
EVIL = f"</script><img src=x onerror='{RUN}'>"
SHOWN = [
    *("__proto__", "constructor", "prototype", "toString", "valueOf", "hasOwnProperty", "__defineGetter__", "length"),
    *("null", "undefined", "NaN", "true", "0", "-1", "[object Object]", "change:data", "cosine", "first", "selection"),
    *(EVIL, f"<script>{RUN}</script>", "<!--<script>", "-->", "]]>", "</style>"),
    *("</div></div>", f"<svg onload='{RUN}'>", f'" onmouseover="{RUN}', f"' onfocus='{RUN}' autofocus='", "&lt;b&gt;"),
    *("`${document.title = 1}`", f"${{{RUN}}}", f"javascript:{RUN}", f"data:text/html,<script>{RUN}</script>", "&amp;"),
    *(
        'x"); background: url("http://127.0.0.1:9/',
        "\\",
        "\\u0000",
        "\\u003cscript>",
        '"',
        "'",
        "`",
        "@STATE@",
        "@MODULE@",
    ),
    *("a  b", " a", "{{constructor.constructor('document.title = 1')()}}", "%3Cscript%3E", "../../etc/passwd", "$&"),
    *(
        "\u05e9\u05dc\u05d5\u05dd",
        "\u0645\u0631\u062d\u0628\u0627 1",
        "\u200fgrey",
        "e\u0301",
        "\U0001f469\u200d\U0001f4bb",
    ),
    *("long" * 100, "a long name of many words " * 10, "\u00a0a", "\ue000", "\uffff", "\U0010ffff"),
]
REFUSED = [
    *("", " ", "\u200b", "\u200f", "\u00ad", "\x00", "a\x00", "a\nb", "a\tb", "\r", "\x1b[31m", "\x7f", "\x85"),
    *("\ud800", "a\udfff", "\u2028", "\u2029", "\u202egnp.x", "\u202a", "\u2066", "a\u2069", 3, 0.5, None, True, b"a"),
]


def image(k=0):
    return np.full((8, 8), k % 8 / 8)


def patches(names, levels=("8 px",), **settings):
    grids = {
        name: {level: np.random.default_rng(k).standard_normal((2, 2, 3)) for level in levels}
        for k, name in enumerate(names)
    }
    return PatchSimilarity({name: image(k) for k, name in enumerate(names)}, grids, **settings)


def flipbook(names, bars=("far",), **settings):
    measures = {name: {bar: [0.25, 0.5] for bar in bars} for name in names}
    return Flipbook(
        {name: np.stack([np.dstack([image(k)] * 3)] * 2) for k, name in enumerate(names)},
        measures,
        **({"label": "a scene"} | settings),
    )


def icon(**settings):
    torch.manual_seed(0)
    networks = {"embed": nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), "judge": nn.Linear(18, 1)}
    return AcrossSlash(image(), [[2, 2]], [[6, 6], [2, 6]], window=4, **networks, **({"alt": "an icon"} | settings))


def arms(names):
    return Continuation(critic(nn.GELU()), Contours(), hypotheses={name: [[(0, 1)]] for name in names})


#: What is named, and how a widget is made of names.
NAMED = {
    "images": patches,
    "vectors": lambda names: patches(["a"], names),
    "strips": flipbook,
    "measures": lambda names: flipbook(["a"], names),
    "hypotheses": arms,
}
#: Texts that may be empty.
TEXTS = {
    "alt": lambda text: (patches(["a"], alt={"a": text}), icon(alt=text)),
    "label": lambda text: (flipbook(["a"], label=text),),
    "choose": lambda text: (flipbook(["a"], choose=text),),
    "slide": lambda text: (flipbook(["a"], slide=text),),
    "at": lambda text: (flipbook(["a"], at=[text, "b"]),),
}


@pytest.mark.parametrize("where", NAMED)
@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_names_that_cannot_be_seen_are_refused(where, name):
    with pytest.raises(ValueError, match=rf"^{where}.*: wanted") as caught:
        NAMED[where](["before", name])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("where", NAMED)
def test_odd_names_are_sent_as_they_are(where):
    widget = NAMED[where](SHOWN)
    page = widget.static_html()
    data = json.loads(re.search(r'json">(.*?)</script>', page, re.DOTALL)[1])["data"]
    sent = {
        "images": lambda: [picture["name"] for picture in data["pictures"]],
        "vectors": lambda: data["levels"],
        "strips": lambda: [strip["name"] for strip in data["strips"]],
        "measures": lambda: data["bars"],
        "hypotheses": lambda: [hypothesis["name"] for hypothesis in data["hypotheses"]],
    }
    assert sent[where]() == SHOWN
    assert page.count("</script>") == page.count("<script") == 2 and page.count("</style>") == 1
    assert "<svg" not in page and "<!--" not in page


@pytest.mark.parametrize("where", TEXTS)
def test_texts_are_shown_or_refused(where):
    for text in (*SHOWN, "", " ", "two\nlines", "\u200b"):
        for widget in TEXTS[where](text):
            page = widget.static_html()
            assert page.count("</script>") == page.count("<script") == 2 and page.count("</style>") == 1
    for text in ("\x00", "a\x1b[31m", "\ud800", "\u202ea", "\u2066"):
        with pytest.raises(ValueError, match=f"^{where}: wanted visible text without control characters, got '"):
            TEXTS[where](text)
    for number in (math.nan, math.inf, 10**400, None, [1]):
        with pytest.raises(ValueError, match=f"^{where}: wanted"):
            TEXTS[where](number)


def test_the_readers_own_picture_keeps_its_name():
    with pytest.raises(ValueError, match="images: wanted another name than 'your own picture'"):
        patches(["a", "your own picture"])


def test_the_parts_of_a_page_do_not_end_it():
    for name in ("across_slash.js", "continuation.js", "flipbook.js", "network.js", "observers.js", "page.js"):
        assert not re.search(r"</|<!--|<script|@[A-Z]+@", module(name)), name
    assert "</" not in module("widgets.css")
    for widget in all_of_them():
        assert str(widget._esm).count("export default ") == 1


def place(**change):
    return {"image": "grey", "level": "8 px", "row": 0, "column": 0} | change


def ends(**change):
    strokes, arms = (
        [[-2.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]],
        [[1.3, 0.0], [0.0, 1.3], [-1.3, 0.0], [0.0, -1.3]],
    )
    return {"strokes": strokes, "arms": arms} | change


#: What a message from a page may ask of the widgets of `all_of_them`: which, trait and value.
STATES = [
    *((0, "selection", place(image=of)) for of in ("__proto__", "constructor", "", None, 0, ["grey"], {"grey": 1})),
    *((0, "selection", place(level=of)) for of in ("toString", "8 px ", None, 8, ["8 px"])),
    *((0, "selection", place(row=of)) for of in (-1, 4, 10**400, 1.5, "1", None, [0], {}, math.nan, math.inf)),
    *((0, "selection", place(second=of)) for of in ([], [0], [0, 0, 0], "00", [0.5, 0], [0, 6], {"0": 0}, 3)),
    *((0, "selection", of) for of in ({}, place(__proto__={}), {"image": "grey"}, place(extra=EVIL))),
    *((0, "measure", of) for of in ("__proto__", "constructor", "probability", "", EVIL)),
    *((1, "mode", of) for of in ("__proto__", "arcs", "", None, ["arms"])),
    *(
        (1, "contrasts", of)
        for of in ([], [0, 0, 0], ["0", "0"], [math.nan, 0], [math.inf, 0], [1e300, 0], [10**400, 0])
    ),
    *((1, "contrasts", of) for of in ([None, 0], [[0], [0]], [EVIL, EVIL])),
    *((1, "points", of) for of in ({}, {"__proto__": []}, ends(strokes=None), ends(strokes=[0.0] * 8), ends(arms=[]))),
    *((1, "points", ends(strokes=of)) for of in ([[math.nan, 0]] * 4, [[9, 0], *ends()["strokes"][1:]], [[0, 0]] * 4)),
    *((1, "points", ends(strokes=[[of, 0], [1, 0], [2, 0], [3, 0]])) for of in (EVIL, {}, [1], 10**400, 1j)),
    *((2, "strip", of) for of in ("__proto__", "constructor", "", EVIL)),
    *((2, "frame", of) for of in (-1, 13, 10**9, 10**400)),
    *((3, of, value) for of in ("first", "second") for value in (-1, 3, 10**400)),
    *((k, "data", of) for k in range(4) for of in ({}, {"pictures": [{"url": "javascript:alert(1)"}]})),
]


@pytest.fixture(scope="module")
def together():
    """All widgets, for tests that leave them as they are."""
    widgets = all_of_them()
    before = [widget.static_html() for widget in widgets]
    yield widgets
    assert [widget.static_html() for widget in widgets] == before


@pytest.mark.parametrize(("which", "trait", "value"), STATES, ids=map(str, range(len(STATES))))
def test_a_state_that_cannot_be_is_refused_and_changes_nothing(together, which, trait, value):
    widget = together[which]
    before = deepcopy({name: getattr(widget, name) for name in widget._state})
    with pytest.raises(TraitError):
        widget.set_state({trait: value})  # what a message from the page does
    with pytest.raises(TraitError):
        setattr(widget, trait, value)
    assert {name: getattr(widget, name) for name in widget._state} == before


@pytest.mark.parametrize(
    ("which", "trait", "value", "kept"),
    [
        (0, "selection", place(row=np.int64(3), second=(np.int8(1), 2)), place(row=3, second=[1, 2])),
        (0, "selection", place(second=None), place()),
        (1, "points", ends(strokes=np.array(ends()["strokes"], np.float32)), ends()),
        (1, "points", ends(extra=EVIL), ends()),
        (1, "contrasts", [1, -2], [1.0, -2.0]),
        (2, "frame", True, 1),
        (3, "first", True, 1),
    ],
)
def test_numbers_of_other_kinds_are_kept_as_the_page_takes_them(which, trait, value, kept):
    widget = all_of_them()[which]
    setattr(widget, trait, value)
    assert json.dumps(getattr(widget, trait), sort_keys=True) == json.dumps(kept, sort_keys=True)


TEXTS_OF = "all => all.map((one) => one.textContent)"
#: Chooses every option of a list in turn; what the widget then has, and where its image says that it is.
CHOOSE = """([list, trait]) => [...document.querySelector(list).options].map((_, k) => {
    const select = document.querySelector(list), { model } = document.querySelector(".hssl-widget");
    select.selectedIndex = k;
    select.dispatchEvent(new Event("change"));
    const label = document.querySelector(".hssl-picture").getAttribute("aria-label");
    return [model.get(trait), select.selectedIndex, label];
  })"""


def test_odd_names_of_images_are_shown_and_not_run(show, sideways):  # noqa: F811
    page = show(patches(SHOWN, across=3), width=320)
    assert page.eval_on_selector_all("select:first-of-type option", TEXTS_OF)[: len(SHOWN)] == SHOWN
    found = page.evaluate(CHOOSE, ["select", "selection"])
    assert [(chosen["image"], k, label) for chosen, k, label in found] == [(of, k, of) for k, of in enumerate(SHOWN)]
    assert page.locator(".hssl-across li:visible").count() == 3 and page.evaluate(sideways) <= 0
    assert page.title() == "Widgets"


def test_odd_names_of_window_sizes_are_shown_and_not_run(show, sideways):  # noqa: F811
    page = show(patches(["a"], SHOWN), width=320)
    assert page.eval_on_selector_all("figcaption span", TEXTS_OF)[1:] == SHOWN
    assert page.eval_on_selector_all(".hssl-answers > span", TEXTS_OF) == SHOWN
    assert page.evaluate(sideways) <= 0 and page.title() == "Widgets"


def test_odd_names_of_strips_and_measures_are_shown_and_not_run(show, sideways):  # noqa: F811
    page = show(flipbook(SHOWN, SHOWN, label=EVIL, choose=EVIL, slide=EVIL, at=[EVIL, "b"]), width=320)
    where = [f"{EVIL}; {EVIL} {isolated(name)}, {EVIL} b" for name in SHOWN]
    assert page.evaluate(CHOOSE, ["select", "strip"]) == [[name, k, where[k]] for k, name in enumerate(SHOWN)]
    assert page.eval_on_selector_all(".hssl-answers > span", TEXTS_OF) == SHOWN
    assert page.evaluate(sideways) <= 0 and page.title() == "Widgets"


def test_odd_names_of_hypotheses_are_shown_and_not_run(show, sideways):  # noqa: F811
    page = show(arms(SHOWN), icon(alt=EVIL), width=320)
    page.get_by_role("radio", name="four arms").check()
    assert page.eval_on_selector_all(".hssl-hypothesis", TEXTS_OF) == SHOWN
    assert page.evaluate(sideways) <= 0 and page.title() == "Widgets"


def test_what_stands_beside_a_name_from_right_to_left_keeps_its_order(show):  # noqa: F811
    page = show(patches(["\u05e9\u05dc\u05d5\u05dd"]))
    status = page.get_by_role("status")
    expect(status).to_contain_text("8 px")
    name, size, spot = status.evaluate(
        """(one) => ["\u05e9", "8 px", "First"].map((words) => {
          const range = document.createRange(), at = one.textContent.indexOf(words);
          range.setStart(one.firstChild, at);
          range.setEnd(one.firstChild, at + words.length);
          return range.getBoundingClientRect().left;
        })"""
    )
    assert name < size < spot


def test_the_page_and_python_isolate_the_same_texts(show):  # noqa: F811
    page, texts = show(icon()), [*SHOWN, "\u05be", "\u08c7", "\ufdfc", "\ufefc", "\U00010840", "\U0001e900", "\ufeff"]
    call = f"(texts) => {{ {module('page.js')}; return texts.map(isolated); }}"
    assert page.evaluate(call, texts) == [isolated(text) for text in texts]


def test_keys_that_are_no_arrows_move_nothing(show):  # noqa: F811
    for widget, trait in ((patches(["a"]), "selection"), (arms(["a"]), "points")):
        page = show(widget)
        call = """(trait) => { const { model } = document.querySelector(".hssl-widget");
          const before = JSON.stringify(model.get(trait));
          for (const key of ["constructor", "__proto__", "toString", "", "Unidentified"])
            for (const one of document.querySelectorAll("[tabindex]"))
              one.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          return [before, JSON.stringify(model.get(trait))]; }"""
        before, after = page.evaluate(call, trait)
        assert before == after
