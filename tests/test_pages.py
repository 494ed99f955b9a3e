"""The built pages: every local link leads somewhere, every picture has words, nothing is taken from elsewhere."""

import os
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from PIL import Image

SITE = Path(__file__).parents[1] / "_build" / "html"
NOT_BUILT = "the book is not built; make book"
PAGES = sorted(p for p in SITE.rglob("*.html") if "_static" not in p.parts and not p.name.endswith("macros.html"))
pytestmark = pytest.mark.slow
each = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(SITE).as_posix())


@cache
def soup(path):
    return BeautifulSoup(path.read_text(), "html.parser")


@cache
def anchors(path):
    return {tag.get("id") for tag in soup(path).find_all(id=True)} | {
        tag.get("name") for tag in soup(path).find_all("a")
    }


def test_the_book_is_built():
    if not PAGES and not os.environ.get("CI"):
        pytest.skip(NOT_BUILT)
    assert (SITE / "index.html").exists(), NOT_BUILT
    assert len(PAGES) >= 5


@each
def test_local_links_lead_somewhere(path):
    for tag in soup(path).find_all("a", href=True):
        link = urlsplit(tag["href"])
        if link.scheme or link.netloc:
            continue
        target = (path.parent / unquote(link.path)).resolve() if link.path else path
        assert target.exists(), f"{tag['href']} leads nowhere"
        if link.fragment and target.suffix == ".html":
            assert unquote(link.fragment) in anchors(target), f"{tag['href']}: no such place on the page"


@each
def test_no_link_leads_to_an_address_that_is_not_set(path):
    links = [tag["href"] for tag in soup(path).find_all(href=True)]
    assert not [link for link in links if re.search(r"[/.]example[/.]", link)]


@each
def test_pictures_have_alt_text(path):
    for tag in soup(path).find_all("img"):
        assert tag.get("alt", "").strip() or tag.get("role") == "presentation", tag


@each
def test_everything_a_page_loads_is_its_own(path):
    loaded = [tag.get("src") for tag in soup(path).find_all(["script", "img", "iframe", "source"])]
    loaded += [
        tag.get("href") for tag in soup(path).find_all("link", rel=lambda r: r not in ("canonical", "next", "prev"))
    ]
    for address in filter(None, loaded):
        parts = urlsplit(address)
        assert parts.scheme == "data" or not parts.netloc, f"{address} comes from elsewhere"
        assert parts.scheme == "data" or (path.parent / unquote(parts.path)).exists(), f"{address} is missing"


@each
def test_images_below_the_first_wait_and_leave_room(path):
    images = [tag for tag in soup(path).find_all("img", src=True) if not tag["src"].startswith("data:")]
    images = [tag for tag in images if (path.parent / unquote(tag["src"])).is_file()]
    for tag in images[1:]:
        assert (tag.get("loading"), tag.get("decoding")) == ("lazy", "async"), tag
    for tag in images:
        with Image.open(path.parent / unquote(tag["src"])) as image:
            assert (int(tag["width"]), int(tag["height"])) == image.size, tag
    for tag in soup(path).select("a.image-reference"):
        assert tag["href"] == tag.img["src"]


@each
def test_mathjax_is_loaded_where_there_is_a_formula(path):
    loaded = any("/mathjax/" in tag["src"] for tag in soup(path).find_all("script", src=True))
    assert loaded == bool(soup(path).select(".math"))
