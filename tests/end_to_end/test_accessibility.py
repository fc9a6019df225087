"""Does axe-core find anything on any page that would shut somebody out: by eye, by ear, by keyboard?

The rules are axe's own, all of them, as it has them by default: WCAG 2.2 at A and AA, and good practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page
from tests.end_to_end.page_tour import SCHEMES, WIDTHS, Opened, Scheme, of_coordinator, of_console, of_hospital, of_report
from tests.end_to_end.page_tour import parts, shaped, tour
from tests.pages_hospital import hospital

from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: axe on the pages. apt-get install chromium to test it."
)

_ASK = """() => axe.run({ resultTypes: ['violations'] }).then(found => found.violations.flatMap(each =>
  each.nodes.map(node => `${each.id}: ${node.target} ${node.html.slice(0, 120)}`)))"""


def violations(page: Page) -> list[str]:
    """By rule and place."""
    page.evaluate(AXE_SCRIPT)
    found: list[str] = page.evaluate(_ASK)
    return found
