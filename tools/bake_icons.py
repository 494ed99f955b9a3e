"""Bake the icons that the book draws into hssl/worlds/icons/icons.json, and put their licences beside it.

    npm pack @iconify-json/tabler @iconify-json/ic @tabler/icons     then unpack each into a folder of its own
    python tools/bake_icons.py TABLER_FOLDER IC_FOLDER TABLER_LICENCE APACHE_LICENCE

The folders hold an `icons.json` and an `info.json` each; @tabler/icons is wanted for its LICENSE alone;
Google's icons are under the Apache License 2.0, whose text Debian has in /usr/share/common-licenses. Kept are all
outline icons of Tabler, save those that it has withdrawn, and four of Google's. All shapes become path data; what is
filled says so in front, "fill:". One icon a line, in the order of names, so that the file is the same at every run.
"""

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from fontTools.svgLib.path.shapes import PathBuilder

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "hssl" / "worlds" / "icons" / "icons.json"
LICENCES = ROOT / "hssl" / "worlds" / "icons" / "licences"
GOOGLE = ("baseline-mic", "baseline-mic-off", "baseline-videocam", "baseline-videocam-off")


def paths(body: str) -> list[str]:
    """Path data of the shapes in an icon's body, in order; "fill:" before what is filled."""
    tree = ET.fromstring(f"<svg>{body}</svg>")
    named = {f"#{shape.get('id')}": shape for shape in tree.iterfind(".//defs/*")}
    found = []

    def visit(node, fill, stroke):
        if node.tag == "defs":
            return
        fill, stroke = node.get("fill", fill), node.get("stroke", stroke)
        if node.tag in ("svg", "g"):
            for child in node:
                visit(child, fill, stroke)
            return
        builder = PathBuilder()
        if "transform" in node.attrib or not builder.add_path_from_element(named.get(node.get("href"), node)):
            raise ValueError(f"body: cannot draw <{node.tag} {node.attrib}>")
        found.extend(["fill:" + builder.paths[-1]] * (fill != "none"))
        found.extend([builder.paths[-1]] * (stroke != "none"))

    visit(tree, "currentColor", "none")
    return list(dict.fromkeys(found))  # some shapes are drawn twice


def bake(tabler: Path, google: Path) -> str:
    """The text of icons.json."""
    sets = {}
    for name, folder in (("tabler", tabler), ("google", google)):
        icons = json.loads((folder / "icons.json").read_text())["icons"]
        bodies = {key: icon["body"] for key, icon in sorted(icons.items()) if not icon.get("hidden")}
        if name == "google":
            bodies = {key: bodies[key] for key in GOOGLE}
        else:
            bodies = {key: body for key, body in bodies.items() if 'stroke="currentColor"' in body}
        version = json.loads((folder / "info.json").read_text())["version"]
        lines = ",\n".join(f"{json.dumps(key)}:{json.dumps(paths(body))}" for key, body in bodies.items())
        sets[name] = f'{{"version":{json.dumps(version)},"icons":{{\n{lines}\n}}}}'
    return "{" + ",\n".join(f'"{name}":{text}' for name, text in sets.items()) + "}\n"


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    tabler, google, mit, apache = map(Path, sys.argv[1:])
    FILE.write_text(bake(tabler, google))
    LICENCES.mkdir(exist_ok=True)
    shutil.copyfile(mit, LICENCES / "tabler-icons-MIT.txt")
    shutil.copyfile(apache, LICENCES / "google-material-icons-Apache-2.0.txt")
    print(f"baked {FILE.relative_to(ROOT)}: {FILE.stat().st_size / 1e3:.0f} kB")
