"""What a reader waits for before anything runs: processor seconds of `import hssl` and of each chapter's first cell.

    python benchmarks/imports.py                       # all; or names: hssl hssl.training patch_pairs

Beside each stands the ratio to `import torch`, measured in the same round, since machines and their load differ.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ("hssl", "hssl.training", "hssl.probes", "hssl.reporting.results", "hssl.widgets")
FIRST = re.compile(r"^```\{code-cell\}.*\n(?:(?:---\n(?:.*\n)*?---|:.*)\n)*((?:.*\n)*?)^```$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="modules of hssl and chapters; none: all")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    options = parser.parse_args()
    known = {name: f"import {name}" for name in LIBRARY} | first_cells()
    print(f"{'':24}{'CPU s':>8}{'× torch':>9}")
    for name in options.names or known:
        rounds = [(seconds(known[name]), seconds("import torch")) for _ in range(options.rounds)]
        ours, torch = map(min, zip(*rounds, strict=True))
        print(f"{name:24}{ours:8.2f}{ours / torch:9.2f}", flush=True)


def first_cells() -> dict[str, str]:
    """The code of each chapter's first cell, by the chapter's name: the imports."""
    found = {path.stem: FIRST.search(path.read_text()) for path in sorted((ROOT / "text").glob("*.md"))}
    return {name: cell[1] for name, cell in found.items() if cell}


def seconds(code: str) -> float:
    """Processor time of a fresh Python that runs this, its own start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "book", env=settings, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
