"""Put small copies of the photographs of the book into hssl/worlds/pictures/data/photographs, with who made them.

    apt-get download lomiri-wallpapers-16.04, then unpack it with dpkg-deb -x
    python tools/bake_photos.py FOLDER

FOLDER holds `usr/share/backgrounds` and `usr/share/doc/lomiri-wallpapers-16.04/copyright`. Kept is what is a photograph
under CC BY 4.0 or CC0. Authors, years, licences and the licence's text are read from that copyright file.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "hssl" / "worlds" / "pictures" / "data" / "photographs"
LONGEST_EDGE, QUALITY = 1000, 82
LICENCES = ("CC-BY-4.0", "CC0-1.0")
NO_PHOTOGRAPH = ("umang",)  # an abstract drawing


def read_copyright(text: str) -> tuple[list[dict[str, str]], dict[str, str]]:
    """What a machine-readable Debian copyright file says of each file, and the text of each licence, by name."""
    fields = [
        {key: value.strip() for key, value in re.findall(r"^(\S+):(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE)}
        for paragraph in re.split(r"\n\s*\n", text)
    ]
    entries = [entry for entry in fields if "Files" in entry]
    licences = [entry["License"].split("\n", 1) for entry in fields if "License" in entry and "Files" not in entry]
    plain = {
        name: "\n".join("" if line == " ." else line.removeprefix(" ") for line in body.split("\n"))
        for name, body in licences
    }
    source = next(entry["Source"] for entry in fields if "Source" in entry)
    return [{**entry, "Source": source} for entry in entries], plain


def credit(entry: dict[str, str], size: tuple[int, int], small: tuple[int, int]) -> dict[str, str]:
    """Title, author, year, licence, source, and what was changed."""
    title = Path(entry["Files"]).stem.split("_by_")[0].replace("_", " ")
    year = re.search(r"\d{4}", entry["Copyright"]).group()
    author = re.sub(r"[,.]?\s*\d{4}[,.]?\s*", "", entry["Copyright"])
    changes = f"made smaller, from {size[0]} × {size[1]} to {small[0]} × {small[1]} pixels, and stored as JPEG anew"
    return {
        "title": title,
        "author": author,
        "year": year,
        "licence": entry["License"],
        "source": entry["Source"],
        "changes": changes,
    }


def bake(source: Path, target: Path) -> None:
    """Write the small photographs, ATTRIBUTION.json and the licences' texts into the target folder."""
    copyright_file = next(source.glob("usr/share/doc/*/copyright"))
    entries, texts = read_copyright(copyright_file.read_text())
    target.mkdir(parents=True, exist_ok=True)
    credits = {}
    for entry in entries:
        path = source / "usr" / "share" / "backgrounds" / Path(entry["Files"]).name
        name = path.stem.split("_by_")[0].lower()
        if entry["License"] not in LICENCES or name in NO_PHOTOGRAPH or not path.exists():
            continue
        with Image.open(path) as photograph:
            small = photograph.convert("RGB")
        small.thumbnail((LONGEST_EDGE, LONGEST_EDGE), Image.Resampling.LANCZOS)
        small.save(target / f"{name}.jpg", quality=QUALITY, optimize=True, progressive=True)
        digest = hashlib.sha256((target / f"{name}.jpg").read_bytes()).hexdigest()
        credits[name] = credit(entry, photograph.size, small.size) | {"sha256": digest}
    text = json.dumps(dict(sorted(credits.items())), indent=2, ensure_ascii=False)
    (target / "ATTRIBUTION.json").write_text(text + "\n")
    for licence in {entry["licence"] for entry in credits.values()}:
        (target / f"{licence}.txt").write_text(texts[licence] + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    bake(Path(sys.argv[1]), FOLDER)
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"baked {len(list(FOLDER.glob('*.jpg')))} photographs into {FOLDER.relative_to(ROOT)}: {total / 1e6:.1f} MB")
