"""Who made the data that ships with hssl, and under which licence: entries of the page *Licences and credits*.

A Sphinx extension: the directive `credits` lists one collection. What it says is read from the package's
own files, where the scripts bake_*.py have put it.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

from hssl.checks import check_fields
from hssl.files import read_file

ROOT = Path(__file__).resolve().parents[1]
WORLDS = ROOT / "hssl" / "worlds"
DATA = WORLDS / "pictures" / "data"
PROJECT = "the authors of this book"
ICONS = {  # the two sets in icons.json
    "tabler": ("Paweł Kuna", "https://github.com/tabler/tabler-icons", "MIT", "tabler-icons-MIT"),
    "google": (
        "Google",
        "https://github.com/google/material-design-icons",
        "Apache-2.0",
        "google-material-icons-Apache-2.0",
    ),
}
RESTORE = "restore it with git"
ENDS = (  # of the licences' texts
    "OTHER DEALINGS IN THE SOFTWARE.",
    "limitations under the License.",
    "contacted at creativecommons.org.",
    "contacted at https://creativecommons.org/.",
    "/usr/share/common-licenses/CC0-1.0'.",
)
DRAWN = {"digits": "handwritten digits", "noto": "Noto emoji", "twemoji": "Twemoji", "openmoji": "OpenMoji"}
DRAWN |= {"fluent": "Fluent emoji"}


@dataclass(frozen=True)
class Credit:
    """One thing that ships: what it is, who made it, where it is from, its licence, and what was changed.

    `files` are in the repository; `text` is the file with the licence's text, where it is there too.
    """

    what: str
    author: str
    source: str
    licence: str
    changes: str
    files: list[Path] = field(default_factory=list)
    text: Path | None = None


def icons() -> list[Credit]:
    found = []
    for name, kept in _json(WORLDS / "icons" / "icons.json").items():
        author, source, licence, file = ICONS[name]
        what = f"{len(kept['icons']):,} icons of {name.capitalize()}, version {kept['version']}"
        text = WORLDS / "icons" / "licences" / f"{file}.txt"
        found.append(
            Credit(what, author, source, licence, "outlines as path data", [WORLDS / "icons" / "icons.json"], text)
        )
    return found


def labelled() -> list[Credit]:
    folder, found = DATA / "labelled", []
    for name, entry in _json(folder / "ATTRIBUTION.json", "author", "source", "licence", "changes").items():
        names = [folder / "emoji.json"] if name != "digits" else []
        text = folder / f"{name}-{entry['licence']}.txt"
        made = (entry["author"], entry["source"], entry["licence"], entry["changes"])
        found.append(Credit(DRAWN[name], *made, [folder / f"{name}.png", *names], text))
    return found


def photographs() -> list[Credit]:
    folder, found = DATA / "photographs", []
    fields = ("title", "author", "year", "source", "licence", "changes")
    for name, entry in _json(folder / "ATTRIBUTION.json", *fields).items():
        made = (f"{entry['author']}, {entry['year']}", entry["source"], entry["licence"], entry["changes"])
        found.append(Credit(f"“{entry['title']}”", *made, [folder / f"{name}.jpg"], folder / f"{entry['licence']}.txt"))
    return found


def samples() -> list[Credit]:
    """The two photographs that come with scikit-learn, by its own note."""
    from hssl.worlds.pictures.photographs import SAMPLES, attribution

    found = []
    for name in SAMPLES:
        note = attribution(name)
        if "/licenses/by/2.0/" not in note:
            raise ValueError(f"scikit-learn's note on {name} names another licence now: {note}")
        page = re.search(r"from \((\S+)\)", note)[1]
        author = re.search(r"flickr\.com/photos/(\w+)/", page)[1]
        found.append(Credit(f"“{name}”", f"{author}, on Flickr", page, "CC-BY-2.0", "none; not shipped here"))
    return found


def own() -> list[Credit]:
    shapes = [WORLDS / "scenes" / "shapes.npz"]
    mathjax = ROOT / "assets" / "static" / "mathjax"
    return [
        Credit("code, text and figures", PROJECT, "", "MIT", "", [], ROOT / "LICENSE"),
        Credit("the seven shapes of the rendered scenes", PROJECT, "", "MIT", "", shapes, ROOT / "LICENSE"),
        Credit(
            "MathJax, served with the pages",
            "The MathJax Consortium",
            "https://github.com/mathjax/MathJax",
            "Apache-2.0",
            "",
            sorted(mathjax.rglob("*.js")),
            mathjax / "LICENSE",
        ),
    ]


def whole(text: Path) -> Path:
    """The file of a licence's text; it ends as such texts do, or an error says that it is damaged."""
    read_file(text, _end, RESTORE)
    return text


def _end(file) -> None:
    words = " ".join(file.read().decode().split())
    if not words.endswith(ENDS) or "\0" in words:
        raise ValueError(f"wanted the end of a licence, got {words[-40:]!r}")


def _json(path: Path, *fields: str) -> dict[str, dict]:
    """Entries by name, each with these fields, which are words."""

    def parse(file) -> dict[str, dict]:
        entries = json.load(file)
        for entry in entries.values():
            check_fields(entry, dict.fromkeys(fields, str))
        return entries

    return read_file(path, parse, RESTORE)


COLLECTIONS = {of.__name__: of for of in (own, labelled, icons, photographs, samples)}


class Credits(SphinxDirective):
    """`credits`: the list of a collection; licences lead to their texts, sources to where the files are from."""

    required_arguments = 1

    def run(self):
        lines = []
        for credit in COLLECTIONS[self.arguments[0]]():
            text = credit.text and whole(credit.text).relative_to(ROOT)
            licence = f"{{download}}`{credit.licence} </{text}>`" if text else credit.licence
            host = re.sub(r"^https://(www\.)?|/.*$", "", credit.source)
            source = f", from [{host}]({credit.source})" if credit.source else ""
            changes = f" Changes: {credit.changes}." if credit.changes else ""
            lines.append(f"- **{credit.what}**, {credit.author}. {licence}{source}.{changes}")
        self.env.note_dependency(__file__)
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("credits", Credits)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
