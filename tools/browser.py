"""Find the browsers that the page tests drive; with --install, try to get those that are not there.

With --found, nothing is said but by the exit status: 0 if there is a Chromium. CHROMIUM=/path/to/browser and
FIREFOX=/path/to/browser name one. Otherwise: a Chromium or Chrome, and a Firefox, on the PATH; then Playwright's own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
BROWSERS = tuple(NAMES)
PACKAGES = {"chromium": "chromium", "firefox": "firefox-esr"}  # of Debian


def find(name: str = "chromium") -> str | None:
    """Path of a browser, or None."""
    if named := os.environ.get(name.upper()):
        return named
    found = next(filter(None, map(shutil.which, NAMES[name])), None)
    return found or _playwrights_own(name)


def settings(name: str, path: str, folder: Path) -> dict[str, str]:
    """What Playwright is given to launch a browser; a program of its own, written into a folder, stands for Firefox."""
    if name == "firefox" and "ms-playwright" not in path:
        return {"executable_path": str(stand_in(path, folder)), "channel": "moz-firefox"}
    return {"executable_path": path}


def stand_in(firefox: str, folder: Path) -> Path:
    """A program that Playwright takes for a Firefox: `firefox.py` with its path, written into a folder."""
    path = folder / "firefox"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("firefox.py")}" "{firefox}" "$@"\n')
    path.chmod(0o755)
    return path


def install(missing: list[str]) -> None:
    """Debian's packages where we may install them, else Playwright's Chromium. Failure is only reported."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        commands = [["apt-get", "update", "-qq"]]
        commands += [["apt-get", "install", "-y", "-qq", PACKAGES[name]] for name in missing]  # each by itself
    elif "chromium" in missing:
        commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    else:
        return
    for command in commands:
        print(f"No {' or '.join(missing)} was found; trying:", *command, flush=True)
        subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        )


def _playwrights_own(name: str) -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = getattr(playwright, name).executable_path
    return path if Path(path).exists() else None


if __name__ == "__main__":
    if "--found" in sys.argv:
        sys.exit(not find())
    missing = [name for name in BROWSERS if not find(name)]
    if missing and "--install" in sys.argv:
        install(missing)
    for name in BROWSERS:
        lacking = f"none found; what needs it will be skipped (set {name.upper()} to name one)"
        print(f"{name}: {find(name) or lacking}")
