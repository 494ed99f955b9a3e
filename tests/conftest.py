"""What several test files need: the browsers, and what they ask them."""

import os
import signal
import sys
from contextlib import ExitStack
from functools import cache

import pytest
import torch
from browser import BROWSERS, PACKAGES, find, settings
from playwright.sync_api import expect, sync_playwright

FLAGS = {
    "chromium": "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync",
    "firefox": "",
}
#: Firefox takes from its preferences what Chromium is told for each page.
LOOKS = {
    "dark": {"layout.css.prefers-color-scheme.content-override": 0},
    "forced": {"browser.display.document_color_use": 2, "ui.useAccessibilityTheme": 1},
}
PATIENCE = 120_000  # milliseconds until a page that stands still is an error, however busy the machine is
NO_BROWSER = "no browser was found; install Chromium or name one in CHROMIUM"
NO_FIREFOX = f"no Firefox was found; install one (Debian: {PACKAGES['firefox']}) or name one in FIREFOX"
MISSING = {"chromium": NO_BROWSER, "firefox": NO_FIREFOX}


def pytest_terminal_summary(terminalreporter, exitstatus):
    skipped = sum(NO_BROWSER in str(report.longrepr) for report in terminalreporter.getreports("skipped"))
    if skipped and exitstatus == pytest.ExitCode.OK:
        terminalreporter.write_line(f"passed without pages: {NO_BROWSER} ({skipped} left out)", yellow=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if {"browser", "host"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def as_started_by_hand():
    """A `preexec_fn`: without it, what starts below nohup, or in the background of a shell, ignores signals."""

    def default():
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
            signal.signal(number, signal.SIG_DFL)

    return default


@pytest.fixture(scope="session")
def paths():
    """Where the browsers are."""
    return {name: find(name) for name in BROWSERS}


@pytest.fixture(scope="module")  # its event loop must not outlive the file: notebooks run their own
def launch(paths, tmp_path_factory):
    """Gives a browser by its name, such as "firefox" or "firefox dark": the same one each time that a file asks."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:

        @cache
        def launch(named):
            name, _, look = named.partition(" ")
            how = settings(name, paths[name], tmp_path_factory.mktemp("browser"))
            how |= {"firefox_user_prefs": LOOKS[look]} if look else {}
            launched = getattr(playwright, name).launch(timeout=PATIENCE, args=FLAGS[name].split(), **how)
            launched.new_page, launched.new_context = map(_patient, (launched.new_page, launched.new_context))
            stack.callback(launched.close)
            return launched

        with ExitStack() as stack:
            yield launch


@pytest.fixture(scope="module")
def browser(request, paths):
    """Chromium, or the browser that a test asks for; what needs it is skipped where it is missing. CI has both."""
    named = getattr(request, "param", "chromium")
    name = named.partition(" ")[0]
    if name == "firefox" and sys.platform == "win32":
        pytest.skip("the program that stands for Firefox needs a shell")
    if paths[name] is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING[name])
    return request.getfixturevalue("launch")(named)


def _patient(make):
    def call(*args, **settings):
        made = make(*args, **settings)
        made.set_default_timeout(PATIENCE)
        return made

    return call


@pytest.fixture
def g():
    """A seeded generator, as the examples in docstrings have it."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def sideways():
    """JavaScript: how many pixels wider a page is than its window."""
    return "document.documentElement.scrollWidth - document.documentElement.clientWidth"
