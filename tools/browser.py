"""Find the Chromium that the page tests drive; with --install, try to get one where there is none.

With --found, nothing is said but by the exit status: 0 if there is one.
CHROMIUM=/path/to/browser names one. Otherwise: a Chromium or Chrome on the PATH, then Playwright's own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """Path of a browser, or None."""
    if named := os.environ.get("CHROMIUM"):
        return named
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or _playwrights_own()


def found() -> list[str]:
    """Chromium, which is looked for anew when it is needed, and Firefox where Playwright has its own."""
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    return ["chromium", *(["firefox"] if any(folder.glob("firefox-*")) else [])]


def install() -> None:
    """Debian's package where we may install it, else Playwright's download. Failure is only reported."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        commands = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]]
    else:
        commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    for command in commands:
        print("No browser was found; trying:", *command, flush=True)
        subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        )


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


if __name__ == "__main__":
    if "--found" in sys.argv:
        sys.exit(not find())
    if not find() and "--install" in sys.argv:
        install()
    print("browser:", find() or "none found; the page tests will be skipped (set CHROMIUM to name one)")
