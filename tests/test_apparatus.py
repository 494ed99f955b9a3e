"""Glossary, notation, references and credits: complete, and true of what is here."""

import re
from pathlib import Path

import jupytext
import licences
import pytest

from hssl.worlds.pictures import photographs

ROOT = Path(__file__).parents[1]
BOOK, WORLDS = ROOT / "book", ROOT / "hssl" / "worlds"
ENTRIES = re.split(r"\n(?=@)", (BOOK / "references.bib").read_text().strip())
UNMARKED = ("bold", "Pixels", "no training.", "Same digit.", "Same hue.", "Same digit and hue.")  # no terms
TEXTS = [*ROOT.glob("text/*.md"), *BOOK.glob("*.md")]


def terms():
    blocks = re.findall(r"^```\{glossary\}\n(.*?)^```", (BOOK / "glossary.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.split("\n") if line and not line.startswith(" ")]


def test_no_term_is_explained_twice():
    assert len(terms()) == len(set(terms()))


def test_entries_of_the_glossary_are_short():
    for entry in re.findall(r"^  (\S.*)$", (BOOK / "glossary.md").read_text(), re.MULTILINE):
        assert len(entry.split()) <= 60, entry


@pytest.mark.parametrize("term", ["world", "ceiling", "twin", "flipbook", "budget"])
def test_words_that_only_this_book_uses_so_are_in_the_glossary(term):
    assert term in terms()


def test_every_bold_term_of_start_here_is_a_link_to_the_glossary():
    cells = jupytext.read(ROOT / "text" / "start_here.md").cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown").partition("We will")[2]
    bold = re.findall(r"\*\*([^*\n]+)\*\*", text)
    named = [re.fullmatch(r"\{term\}`(?:[^`<]+<)?([^`<>]+)>?`", words) for words in bold if words not in UNMARKED]
    assert all(named), bold
    assert {match[1] for match in named} <= set(terms())


def test_names_in_the_notation_exist():
    code = "\n".join(path.read_text() for path in [*ROOT.glob("hssl/**/*.py"), *ROOT.glob("text/*.md")])
    known = set(re.findall(r"\w+", code))
    for line in (BOOK / "notation.md").read_text().split("\n"):
        for name in re.findall(r"`([\w.]+)`", line.rpartition(" | ")[2] if line.startswith("|") else ""):
            assert set(name.split(".")) <= known, name


def test_a_symbol_has_one_row():
    rows = [line for line in (BOOK / "notation.md").read_text().split("\n") if re.match(r"\| [$A-Z]", line)]
    symbols = [symbol for row in rows for symbol in re.findall(r"\$[^$]+\$", row.split(" | ")[0])]
    assert len(symbols) == len(set(symbols)) > 40


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: re.match(r"@\w+\{(\w+)", entry)[1])
def test_every_reference_has_a_link(entry):
    assert re.search(r"^  doi = \{10\.\d+/\S+\}|^  url = \{https://\S+\}", entry, re.MULTILINE)
    assert "https://arxiv.org" not in entry  # arXiv has DOIs, and the list shows one kind of link for it


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: re.match(r"@\w+\{(\w+)", entry)[1])
def test_every_reference_says_by_whom_and_where(entry):
    fields = set(re.findall(r"^  (\w+) = \{", entry, re.MULTILINE))
    where = "booktitle" if entry.startswith(("@inproceedings", "@incollection")) else "journal"
    assert {"author", "title", "year", where} <= fields


def test_what_is_cited_is_on_the_list_and_cited_without_a_prefix():
    known = {re.match(r"@\w+\{(\w+)", entry)[1] for entry in ENTRIES}
    for path in TEXTS:
        cited = [key for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", path.read_text()) for key in keys.split(",")]
        assert set(map(str.strip, cited)) <= known, path.name


def test_there_is_one_list_of_references():
    assert [path.name for path in TEXTS if "{bibliography}" in path.read_text()] == ["references.md"]


def test_everything_that_ships_has_its_credit():
    credited = {path for of in licences.COLLECTIONS.values() for credit in of() for path in credit.files}
    shipped = {path for path in WORLDS.rglob("*") if path.suffix in (".png", ".jpg", ".npz", ".json")}
    assert shipped - {path for path in shipped if path.name == "ATTRIBUTION.json"} <= credited
    assert all(path.exists() for path in credited)


def test_every_licence_is_here_with_its_text():
    credits = [credit for of in licences.COLLECTIONS.values() for credit in of()]
    texts = {credit.text for credit in credits if credit.text}
    kept = {path for path in WORLDS.rglob("*.txt")}
    assert kept <= texts and all(path.exists() for path in texts)
    assert all(credit.text for credit in credits if credit.files)
    assert "Paweł Kuna" in (WORLDS / "icons" / "licences" / "tabler-icons-MIT.txt").read_text()


def test_authors_of_photographs_are_those_that_the_library_names():
    credits = {credit.what.strip("“”"): credit for credit in [*licences.photographs(), *licences.samples()]}
    for name in photographs.names():
        line = photographs.attribution(name)
        credit = credits.get(name) or next(of for what, of in credits.items() if what in line)
        assert re.split(",", credit.author)[0] in line


def test_the_page_shows_every_collection():
    shown = re.findall(r"^```\{credits\} (\w+)$", (BOOK / "credits.md").read_text(), re.MULTILINE)
    assert sorted(shown) == sorted(licences.COLLECTIONS)
