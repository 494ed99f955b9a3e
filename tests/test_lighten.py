"""tools/lighten.py: the same pixels in fewer bytes, and no script that a page does not use."""

import numpy as np
import pytest
from lighten import lighter, recoded, write
from PIL import Image

MATHJAX = '<script defer src="_static/mathjax/startup.js?v=1"></script>'
INDEX = '<script src="searchindex.js"></script>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "_images").mkdir()
    values = np.random.default_rng(0).integers(0, 9, (40, 60, 4)).astype(np.uint8)  # transparent here and there
    Image.fromarray(values).save(tmp_path / "_images" / "a.png")
    return tmp_path


def test_a_recoded_image_has_the_same_pixels(site):
    path = site / "_images" / "a.png"
    assert recoded(path)
    smaller = path.with_suffix(".webp")
    assert smaller.stat().st_size < path.stat().st_size
    assert np.array_equal(np.asarray(Image.open(smaller)), np.asarray(Image.open(path)))
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.png", "a.webp"]  # nothing half-written


def test_images_after_the_first_wait_at_a_known_size(site):
    recoded(site / "_images" / "a.png")
    image = '<a href="_images/a.png"><img alt="a &gt; b" src="_images/a.png" /></a>'
    other = '<img src="data:image/png;base64,AA"><code>&lt;img src="_images/b.png"></code><img src="${address}">'
    page = lighter(image + other + image, site)
    size = 'width="60" height="40"'
    first = f'<a href="_images/a.webp"><img {size} alt="a &gt; b" src="_images/a.webp" /></a>'
    assert page == first + other + first.replace("<img", '<img loading="lazy" decoding="async"')
    assert lighter(page, site) == page


@pytest.mark.parametrize("formula", ['<span class="math notranslate">', '<div class="big math">', '<p class="math">'])
def test_mathjax_stays_where_there_is_a_formula(site, formula):
    assert MATHJAX in lighter(MATHJAX + formula, site)
    assert MATHJAX not in lighter(MATHJAX + '<p class="aftermath">', site)


def test_the_index_loads_where_one_searches(site):
    assert lighter(INDEX, site) == ""
    assert INDEX in lighter(f'{INDEX}<div id="search-results">', site)


def test_a_page_is_written_only_when_it_changes(site):
    path = site / "a.html"
    path.write_bytes(b"old")
    before = path.stat().st_mtime_ns
    write(path, b"old")
    assert path.stat().st_mtime_ns == before
    write(path, b"new")
    assert path.read_bytes() == b"new" and not list(site.glob("*.new"))
