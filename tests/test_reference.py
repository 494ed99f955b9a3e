"""The reference: every public name has an entry, names in the chapters lead there, and entries lead to the chapters."""

import re
from pathlib import Path

import pytest
import reference
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html" / "book"
PAGES = sorted((ROOT / "book" / "reference").glob("*.md"))


def directives(name):
    return [match for page in PAGES for match in re.findall(rf"^```\{{{name}\}} (.+)$", page.read_text(), re.MULTILINE)]


def test_every_public_name_has_an_entry():
    wanted = [module for module, things in reference.public().items() if things]
    assert sorted(directives("library")) == sorted(wanted)


def test_a_name_has_one_home():
    things = [id(thing) for found in reference.public().values() for thing in found.values()]
    assert len(things) == len(set(things)) > 200
    assert "fit" in reference.public()["hssl.training"]  # where one imports it from
    assert "fit" not in reference.public()["hssl.training.loop"]


def test_the_overview_names_modules_that_have_entries():
    listed = [module for line in directives("library-overview") for module in line.split()]
    assert len(listed) == len(set(listed)) and set(listed) <= set(directives("library"))


@pytest.mark.parametrize(
    ("words", "full"),
    [
        ("info_nce", "hssl.losses.info_nce"),
        ("losses.info_nce", "hssl.losses.info_nce"),
        ("info_nce(..., symmetric=True)", "hssl.losses.info_nce"),
        ("ContentStyle.observe", "hssl.worlds.latents.ContentStyle.observe"),
        ("sample", None),  # of several modules
        ("log_likelihood_ratio", None),  # a function of one, a method in another
        ("temperature", None),  # an argument
        ("cut(x)[0]", None),
        ("no_such_name", None),
    ],
)
def test_what_a_name_in_backticks_means(words, full):
    assert reference.entry_of(words, {}) == full


def test_what_a_page_imports_or_defines_decides():
    imported = {"draw": "hssl.worlds.icons.draw", "results": "hssl.reporting.results", "fit": "hssl.training.loop.fit"}
    assert reference.entry_of("draw", imported) == "hssl.worlds.icons.draw"
    assert reference.entry_of("results.record", imported) == "hssl.reporting.results.record"
    assert reference.entry_of("fit", imported) == "hssl.training.fit"  # exported from the package
    assert reference.entry_of("info_nce", {}, {"info_nce"}) is None  # the page has its own


def test_what_the_code_of_a_page_imports_and_defines():
    imported, defined = reference.names_on(ROOT / "book" / "start_here.ipynb")
    assert imported["fit"] == "hssl.training.fit" and imported["results"] == "hssl.reporting.results"
    assert "by_hand" in defined and "fit" not in defined


def test_a_docstring_becomes_restructured_text():
    lines = ["Ask `fit` for a*b and x_.", "Source: A 2020. Taught in: demo,", '"The table".', "", ">>> `a` * b", "c*"]
    assert reference.rewrite(lines) == [
        "Ask ``fit`` for a\\*b and x\\_.",
        "",
        "Source: A 2020. Taught in: :section:`demo|The table`.",
        "",
        ">>> `a` * b",
        "c*",
    ]


def test_a_signature_shows_shapes():
    from hssl.encoders import MLP
    from hssl.losses import info_nce
    from hssl.training import Phase

    arguments, result = reference.signature(info_nce)
    assert arguments.startswith("(anchors: Float[Tensor, 'batch dim'], ") and result == "Float[Tensor, '']"
    assert reference.signature(MLP)[0].startswith("(n_in: Count, n_out: Count, ")
    assert reference.signature(Phase)[0].startswith("(lowest: int, highest: int, gradient_scale: float = 1.0")


def soup(page):
    path = SITE / f"{page}.html"
    if not path.exists():
        pytest.skip("the book is not built; make book")
    return BeautifulSoup(path.read_text(), "html.parser")


@pytest.mark.slow
def test_the_built_entries_are_there_and_lead_to_the_chapters():
    anchors, taught = set(), []
    for page in PAGES:
        built = soup(f"reference/{page.stem}")
        anchors |= {tag["id"] for tag in built.select("dt[id]")}
        taught += [link["href"] for link in built.select("a.taught-in")]
    wanted = {f"{module}.{name}" for module, things in reference.public().items() for name in things}
    assert wanted <= anchors
    assert len(taught) >= 30 and all(re.search(r"\.html#.", link) for link in taught)


@pytest.mark.slow
def test_a_name_in_a_chapter_leads_to_its_entry():
    links = [link["href"] for link in soup("start_here").select("a:has(> code)")]
    assert "reference/learning.html#hssl.losses.info_nce" in links


@pytest.mark.slow
def test_arguments_that_are_explained_together_stay_together():
    entry = soup("reference/learning").find("dt", id="hssl.encoders.ConvNet").find_next_sibling("dd")
    names = [tag.get_text() for tag in entry.select("dl.field-list li > p > strong:first-child")]
    assert "n_in, n_out" in names
