"""The repository's one address: it stands in _config.yml, and everything else that names it is written from there.

    make address URL=https://github.com/you/book      once, when the book gets a home; then commit what changed

Until then the address says `example`: a build leaves out every link that would be dead, and no notebook installs from
it. A build on GitHub takes the repository that it runs in, but shows no button for Colab: the notebooks there could not
install hssl.
"""

import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
URL = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?=[\"'\s/]|\.git\b|$)")
SETUP = "# No module named 'hssl'? In the book's folder: pip install -r requirements.txt"
INSTALL = """try:
    import hssl  # noqa: F401
except ImportError:
    %pip install --quiet "hssl @ git+{url}\""""


def configured() -> str:
    """The address in _config.yml."""
    return re.search(r"^  url: (\S+)$", (ROOT / "_config.yml").read_text(), re.MULTILINE)[1]


def unset(url: str) -> bool:
    return urlsplit(url).path.startswith("/example/")


def site(url: str) -> str:
    """Where GitHub serves the pages of a repository."""
    owner, name = urlsplit(url).path.strip("/").split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def in_notebook(source: str, url: str) -> str:
    """The source of a notebook or twin, with the line above its first import of hssl as the address wants it."""
    block = re.escape(INSTALL).replace(re.escape("{url}"), r"\S+?")
    wanted = SETUP if unset(url) else INSTALL.format(url=url)
    return re.sub(rf"^(?:{re.escape(SETUP)}|{block})$", lambda _: wanted, source, count=1, flags=re.MULTILINE)


def write(url: str) -> None:
    """Put the address into every file that names it; notebooks keep their outputs."""
    import nbformat

    old = configured()
    for name in ("_config.yml", "README.md", *ROOT.glob("text/*.md")):
        path = ROOT / name
        _put(path, in_notebook(path.read_text().replace(old, url).replace(site(old), site(url)), url))
    path = ROOT / "CITATION.cff"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("repository-code:")]
    _put(path, "\n".join([*lines, *([] if unset(url) else [f"repository-code: {url}"])]) + "\n")
    for path in ROOT.glob("book/*.ipynb"):
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:
            cell.source = in_notebook(cell.source.replace(old, url), url)
        _put(path, nbformat.writes(notebook) + "\n")


def _put(path: Path, text: str) -> None:
    from hssl.files import write_whole

    write_whole(path, lambda file: file.write(text.encode()))


def setup(app):
    """To Sphinx: no dead links in what is built."""
    app.connect("config-inited", _use_address, priority=1)
    return {"parallel_read_safe": True}


def _use_address(app, config):
    options, url = config.html_theme_options, configured()
    if unset(url):
        url = os.environ.get("HSSL_ADDRESS", url)
        options["launch_buttons"] = {k: v for k, v in options["launch_buttons"].items() if k != "colab_url"}
    if unset(url):
        config.html_baseurl = ""
        for name in ("repository_url", "use_repository_button", "use_issues_button", "launch_buttons"):
            options.pop(name, None)
    else:
        config.html_baseurl = site(url)
        options["repository_url"] = url


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (match := URL.fullmatch(sys.argv[1])):
        raise SystemExit(__doc__)
    write(match[0])
