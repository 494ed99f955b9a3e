"""The page of all results: words instead of ids, links to sections, verdicts counted, a file to take away."""

import base64
import csv
import io
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from docutils.nodes import make_id

from hssl.reporting import overview, records, results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("HSSL_RESULTS", "record")
    monkeypatch.setenv("HSSL_BUDGET", "quick")
    monkeypatch.setattr(records, "_fresh", {})
    cells = [
        nbformat.v4.new_markdown_cell(text) for text in ("# Demo & more", "## The table\n\n```\n# no heading\n```")
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "demo.ipynb")
    return tmp_path


def keep(id, values, chapter="demo", **settings):
    results.record(chapter, id, values, tolerance=0.1, **settings)


def page(folder, **parts):
    return BeautifulSoup(overview.overview(parts, folder).data, "html.parser")


def test_rows_are_in_words_and_their_section_is_a_link(folder):
    keep("table.content", [0.98, 1.0], limit=1.0, published=0.99, label="p < 1: content", section="The table")
    keep("x.no_label", 0.5, limit=1.0, section="Renamed since")
    soup = page(folder, I=["demo"])
    first, second = soup.select("tbody")
    assert first.a["href"] == "demo.ipynb#the-table" and first.a.text == "The table"
    row = first.find_all("tr")[1]
    assert row.th.text == "p < 1: content" and row.th["title"] == "table.content"
    assert [cell.text for cell in row.find_all("td")[:4]] == ["0.99", "1.00", "0.990 ± 0.014 R²", "2, quick"]
    assert second.a["href"] == "demo.ipynb"  # no such section on the page: the chapter itself
    assert second.find_all("tr")[1].th.text == "x, no label"


def test_numbers_without_a_limit_are_in_a_fold_of_their_own(folder):
    keep("a", [0.99, 1.0], limit=1.0)
    keep("b", 0.5)
    keep("c", 0.5)
    outer = page(folder, I=["demo"]).details
    assert outer.summary.text == "Demo & more 3 numbers: 1 at the limit"
    assert outer.details.summary.text == "2 numbers without a limit"
    assert [row.th["title"] for row in outer.details.select("tbody tr:not(:first-child)")] == ["b", "c"]


def test_a_chapter_without_any_limit_has_one_fold(folder):
    keep("b", 0.5)
    assert not page(folder, I=["demo"]).details.details


def test_chapters_stand_in_their_parts_and_unknown_ones_last(folder):
    keep("a", 0.5)
    keep("a", 0.5, chapter="stray")
    soup = page(folder, Empty=["nothing"], I=["demo"])
    assert [head.text for head in soup.find_all("h3")] == ["I", overview.OTHERS]
    assert soup.find_all("b")[1].text == "stray"


def test_what_an_r2_cannot_be_is_no_limit(folder):
    keep("a", [0.0, 0.01], limit=-0.3)
    assert page(folder, I=["demo"]).select("td")[1].text == "0.00"


def test_the_file_holds_every_number_unrounded(folder):
    keep("a", [0.12345, 0.12347], limit=1.0, label="one, two")
    keep("b", 0.5)
    address = page(folder, I=["demo"]).find("a", download=True)["href"]
    text = base64.b64decode(address.partition("base64,")[2]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["a", "b"] and rows[0]["part"] == "I"
    assert rows[0]["label"] == "one, two" and float(rows[0]["value"]) == 0.12346


def test_verdicts_are_counted_in_one_order():
    found = results.counts(["0.1 above it; met", "undecided (one run)", "0.2 above it", "–"])
    assert list(found.items()) == [("above it", 2), ("undecided", 1), ("met", 1)]


@pytest.mark.parametrize(
    "title", ["The slides' own questions", "2. Über – and: more?", "Trained on objects, shown none"]
)
def test_sections_are_called_as_the_built_pages_call_them(title):
    assert overview.anchor(title) == make_id(title)


def test_the_parts_of_the_book_are_read_from_its_contents(folder):
    toc = folder / "_toc.yml"
    toc.write_text(
        "root: book/intro\nparts:\n  - chapters:\n      - file: book/first\n  - caption: 'A: one'\n"
        "    chapters:\n      - file: book/second\n        sections:\n          - file: book/in/third\n"
    )
    assert results.contents(toc) == {"": ["first"], "A: one": ["second", "third"]}


def test_without_the_contents_all_chapters_stand_in_no_part(folder):
    assert results.contents(folder / "_toc.yml") == {}
    keep("a", 0.5)
    soup = page(folder)
    assert soup.find_all("h3") == [] and len(soup.find_all("b")) == 1


def test_the_page_loads_nothing_and_leaves_no_mark_unfilled(folder):
    keep("a", 0.5)
    text = overview.overview({"I": ["demo"]}, folder).data
    assert not re.search(r"@[A-Z]+@|https?:", text)
