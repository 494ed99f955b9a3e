"""What several test files need: the browser, and what they ask it."""

import os

import pytest
import torch
from browser import find
from playwright.sync_api import sync_playwright

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


PATIENCE = 120_000  # milliseconds until a page that stands still is an error, however busy the machine is
NO_BROWSER = "no browser was found; install Chromium or name one in CHROMIUM"


def pytest_terminal_summary(terminalreporter, exitstatus):
    skipped = sum(NO_BROWSER in str(report.longrepr) for report in terminalreporter.getreports("skipped"))
    if skipped and exitstatus == pytest.ExitCode.OK:
        terminalreporter.write_line(f"passed without pages: {NO_BROWSER} ({skipped} left out)", yellow=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if {"browser", "host"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")  # its event loop must not outlive the file: notebooks run their own
def browser(request):
    """Chromium; without one the tests that need it are skipped, and fail in CI. A file may ask for others, too."""
    name, path = getattr(request, "param", "chromium"), find()
    if name == "chromium" and path is None:
        pytest.fail(NO_BROWSER) if os.environ.get("CI") else pytest.skip(NO_BROWSER)
    settings = {"chromium": {"executable_path": path, "args": FLAGS.split()}, "firefox": {}}
    with sync_playwright() as playwright:
        launched = getattr(playwright, name).launch(timeout=PATIENCE, **settings[name])
        launched.new_page, launched.new_context = map(_patient, (launched.new_page, launched.new_context))
        yield launched
        launched.close()


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
