"""How is the system's Chromium started for a measurement or a test? Quietly, and asking nobody for anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium")
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """more: arguments of the command line."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS, *more])
        try:
            yield browser
        finally:
            browser.close()
