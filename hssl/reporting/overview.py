"""The page of all results: recorded numbers in words, by part, chapter and section, with a search box and a CSV file.

What a number says is left to `verdicts`. A record is found by its chapter and section, never by its id.
"""

import base64
import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import pandas as pd
from IPython.display import HTML

from hssl.checks import explained
from hssl.files import read_file, read_text
from hssl.reporting.records import AGAIN, BUDGETS, chapters, load
from hssl.reporting.tables import plain
from hssl.reporting.verdicts import bound, verdict

TO_LIMIT = ("at the limit", "short of it", "above it", "undecided")
TO_PUBLISHED = ("met", "beaten", "not reproduced", "too close to call", "other data")
HEADS = ("number", "published", "limit", "measured", "seeds", "verdict")
OTHERS = "Other pages"


@explained
def contents(toc: Path) -> dict[str, list[str]]:
    """The pages of each part, by the captions of a Jupyter Book's table of contents; those before any are under "".

    Empty without the file, as with a single notebook on Colab.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as room:
    ...     toc = Path(room) / "_toc.yml"
    ...     _ = toc.write_text("parts:\\n- caption: I · Points\\n  chapters:\\n  - file: book/a\\n")
    ...     contents(toc)
    {'I · Points': ['a']}
    """
    parts, here = {}, ""
    if not toc.exists():
        return parts
    for key, value in re.findall(r"^[\s-]*(caption|file): *(\S.*?)\s*$", toc.read_text(), re.MULTILINE):
        here = value.strip("\"'") if key == "caption" else here
        if key == "file":
            parts.setdefault(here, []).append(value.rpartition("/")[2])
    return parts


@explained
def sections(notebook: Path) -> dict[str, str]:
    """The headings of a notebook, the title first, and the address of each on its page; empty without a notebook.

    >>> sections(Path("no_such_chapter.ipynb"))
    {}
    """
    if not notebook.exists():
        return {}
    text = read_file(notebook, _prose, AGAIN)
    text = re.sub(r"(?ms)^(`{3,}).*?^\1", "", text)  # what is fenced has no headings
    return {title: f"{notebook.stem}.ipynb#{anchor(title)}" for title in re.findall(r"(?m)^#+ +(.+?) *$", text)}


def _prose(file: IO[bytes]) -> str:
    cells = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


@explained
def anchor(heading: str) -> str:
    """What a page calls the section under a heading.

    >>> anchor("Does it? The slides' own 2 questions")
    'does-it-the-slides-own-2-questions'
    """
    plain_letters = unicodedata.normalize("NFKD", heading.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"^[-0-9]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", plain_letters))


@explained
def score(chapter: str) -> pd.DataFrame:
    """Every recorded number of a chapter, one a row, with its verdict; of the full budget where there is one.

    Columns: chapter, section, label, id, budget, published, limit, value, spread, seeds, unit, verdict.

    >>> score("no_such_chapter").empty
    True
    """
    recorded, rows = {name: load(chapter, name) for name in BUDGETS}, []
    for id in dict.fromkeys(id for name in reversed(BUDGETS) for id in recorded[name]):
        name = next(name for name in reversed(BUDGETS) if id in recorded[name])
        entry = recorded[name][id]
        words = entry.get("label") or id.replace(".", ", ").replace("_", " ")
        row = {"chapter": chapter, "section": entry.get("section") or "", "label": words, "id": id, "budget": name}
        numbers = {key: entry[key] for key in ("published", "limit", "value", "spread", "seeds", "unit")}
        rows.append({**row, **numbers, "verdict": verdict(entry)})
    columns = ["chapter", "section", "label", "id", "budget", "published", "limit", "value", "spread", "seeds", "unit"]
    return pd.DataFrame(rows, columns=[*columns, "verdict"]).astype(
        {"published": float, "limit": float, "spread": float}
    )


@explained
def overview(parts: Mapping[str, Sequence[str]], folder: Path = Path()) -> HTML:
    """All recorded numbers: a fold per chapter with its verdict counts, rows that can be searched, a CSV file.

    Rows with a limit or a published number come first; a chapter's other numbers are in a fold of their own. Chapters
    with numbers that are in no part come last.

    Args:
        parts: the pages of each part, as `contents` gives them.
        folder: where the notebooks are, whose headings the rows lead to.

    >>> 'type="search"' in overview({"I": ["no_such_chapter"]}).data
    True
    """
    known = {name for names in parts.values() for name in names}
    left = [name for name in chapters() if name not in known]
    body, frames = [], []
    for part, names in [*parts.items(), (OTHERS if parts else "", left)]:
        shown = [(name, frame) for name in names if not (frame := score(name)).empty]
        body += [f"<h3>{html.escape(part)}</h3>"] if shown and part else []
        body += [_chapter(frame, sections(folder / f"{name}.ipynb")) for name, frame in shown]
        frames += [frame.assign(part=part) for _, frame in shown]
    table = pd.concat(frames).set_index("part").to_csv() if frames else ""
    values = {"BODY": "\n".join(body), "CSV": base64.b64encode(table.encode()).decode()}
    values["KEY"] = hashlib.sha256(values["BODY"].encode()).hexdigest()[:8]
    template = read_text("reporting/overview.html")
    return HTML(re.sub("@([A-Z]+)@", lambda match: values[match[1]], template))


@explained
def counts(verdicts: Sequence[str]) -> dict[str, int]:
    """How many numbers have each verdict, in the order of `TO_LIMIT` and `TO_PUBLISHED`; none are left out.

    >>> counts(["at the limit; met", "0.2 short of it", "–"])
    {'at the limit': 1, 'short of it': 1, 'met': 1}
    """
    parts = [part for one in verdicts for part in one.split("; ")]
    found = {words: sum(words in part for part in parts) for words in (*TO_LIMIT, *TO_PUBLISHED)}
    return {words: n for words, n in found.items() if n}


def _chapter(frame: pd.DataFrame, addresses: dict[str, str]) -> str:
    """A chapter's fold."""
    name = frame["chapter"].iloc[0]
    title = next(iter(addresses), name.replace("_", " "))
    head = frame["limit"].notna() | frame["published"].notna()
    told = ", ".join(f"{n} {words}" for words, n in counts(frame["verdict"].tolist()).items())
    summary = f"<b>{html.escape(title)}</b> <span>{len(frame)} numbers{': ' if told else ''}{told}</span>"
    inside = _table(frame[head], name, addresses) if head.any() else ""
    if not head.all():
        rest = _table(frame[~head], name, addresses)
        inside += (
            rest
            if not head.any()
            else (f"<details><summary>{(~head).sum()} numbers without a limit</summary>\n{rest}</details>")
        )
    return f"<details>\n<summary>{summary}</summary>\n{inside}</details>"


def _table(frame: pd.DataFrame, chapter: str, addresses: dict[str, str]) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    bodies = []
    for section, rows in frame.groupby("section", sort=False):
        address = addresses.get(str(section), f"{chapter}.ipynb")
        words = html.escape(str(section) or "in the chapter")
        link = f'<tr><th scope="rowgroup" colspan="{len(HEADS)}"><a href="{address}">{words}</a></th></tr>'
        lines = [_row(row) for row in rows.to_dict("records")]
        bodies.append("\n".join(["<tbody>", link, *lines, "</tbody>"]))
    return f'<table class="dataframe claims"><thead><tr>{heads}</tr></thead>\n{"".join(bodies)}</table>\n'


def _row(row: Mapping) -> str:
    spread = "" if pd.isna(row["spread"]) else f" ± {row['spread']:.3f}"
    limits = [plain(bound(None if pd.isna(row[key]) else row[key], row["unit"])) for key in ("published", "limit")]
    measured = f"{plain(row['value'], 3)}{spread} <small>{html.escape(row['unit'])}</small>"
    cells = [*limits, measured, f"{row['seeds']}, {row['budget']}", row["verdict"]]
    label = f'<th scope="row" title="{html.escape(row["id"])}">{html.escape(row["label"])}</th>'
    return f"<tr>{label}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
