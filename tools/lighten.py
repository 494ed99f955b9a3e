"""Less to load for the built pages: a Sphinx extension that goes over them when they stand.

- images become WebP without loss, nearly half as large, and load when they come near, at a size known before;
- icons are drawn by the theme's style sheet and font: its script, 1.5 MB with every icon there is, is left out;
- MathJax loads only where the page has a formula, the index of the search only where one searches.
"""

import html
import io
import re
from pathlib import Path
from urllib.parse import unquote

from PIL import Image

from hssl.files import write_whole

IMAGE = re.compile(r'<img\b[^>]*?\bsrc="([^":]+)"[^>]*>')
ICONS = re.compile(r"\s*<(?:script|link)\b[^>]*/fontawesome\.js\b[^>]*>(?:</script>)?")
MATHJAX = re.compile(r"\s*<script\b[^>]*/mathjax/[^>]*></script>|\s*<script>window\.MathJax = .*?</script>")
SEARCH = re.compile(r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
FORMULA = re.compile(r'<\w+ class="(?:[^"]* )?math[ "]')


def setup(app):
    app.connect("build-finished", _lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _lighten(app, exception):
    if exception is None and app.builder.format == "html":
        site = Path(app.outdir)
        replaced = [image for image in (site / "_images").glob("*.png") if recoded(image)]
        for path in site.rglob("*.html"):
            if "_static" not in path.parts:
                write(path, lighter(path.read_text("utf-8"), path.parent).encode())
        for image in replaced:  # no page shows them any more
            image.unlink()


def recoded(image: Path) -> bool:
    """Whether a PNG has become a smaller WebP beside it, with the same pixels."""
    with Image.open(image) as opened, io.BytesIO() as smaller:
        opened.save(smaller, "webp", lossless=True, quality=90, exact=True)
        content = smaller.getvalue()
    if len(content) >= image.stat().st_size:
        return False
    write_whole(image.with_suffix(".webp"), lambda file: file.write(content))
    return True


def lighter(page: str, folder: Path) -> str:
    """A page that lies in this folder; once it is lighter, it stays as it is.

    >>> lighter('<script defer src="_static/scripts/fontawesome.js?digest=5"></script><p>No formula.</p>', Path())
    '<p>No formula.</p>'
    """
    page = ICONS.sub("", page)
    if not FORMULA.search(page):
        page = MATHJAX.sub("", page)
    if 'id="search-results"' not in page:
        page = SEARCH.sub("", page)
    there = lambda match: (folder / unquote(match[1])).with_suffix(".webp").exists()  # noqa: E731
    page = re.sub(r'(?<=")([^":]*_images/[^":]+)\.png(?=")', lambda m: f"{m[1]}.webp" if there(m) else m[0], page)
    seen = 0

    def late(match: re.Match) -> str:
        nonlocal seen
        if not (path := folder / unquote(html.unescape(match[1]))).is_file():
            return match[0]  # an address that a script completes
        seen += 1
        wanted = {} if seen == 1 else {"loading": "lazy", "decoding": "async"}
        if path.suffix != ".svg" and " width=" not in match[0]:
            with Image.open(path) as image:
                wanted |= {"width": image.width, "height": image.height}
        added = "".join(f' {name}="{value}"' for name, value in wanted.items() if f" {name}=" not in match[0])
        return f"<img{added}{match[0].removeprefix('<img')}"

    return IMAGE.sub(late, page)


def write(path: Path, content: bytes) -> None:
    if content != path.read_bytes():
        write_whole(path, lambda file: file.write(content))
