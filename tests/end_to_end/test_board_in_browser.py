"""Can a clinician make the list for the tumour board by keyboard alone, and does nothing of it leave the host?"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.end_to_end.pages_browser import Visited, serving
from tests.pages_hospital import hospital

from oncofed.client.pages.accounts import Role
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: the tumour-board list by keyboard. apt-get install chromium to test it."
)

HOSPITAL = hospital()
FIRST, SECOND, THIRD = HOSPITAL.cohort.patient_ids[3:6]
FOCUSED = """() => document.activeElement.id || document.activeElement.getAttribute('aria-label')
  || document.activeElement.textContent.trim()"""


def tab_to(page: Page, name: str) -> None:
    """By Tab alone, as far as the page goes."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            return
    pytest.fail(f"no Tab leads to {name}")


def press_enter(page: Page) -> None:
    with page.expect_navigation():
        page.keyboard.press("Enter")


def listed(page: Page) -> list[str]:
    return page.locator(".board tbody th a").all_inner_texts()


def test_the_list_is_made_and_ordered_by_keyboard_alone_and_nothing_leaves_the_host(tmp_path: Path) -> None:
    with serving(tmp_path, HOSPITAL) as (_, address), chromium() as browser:
        context = browser.new_context(viewport={"width": 1180, "height": 900})
        visit = Visited(context.new_page(), address)
        page = visit.page
        visit.sign_in(Role.CLINICIAN)
        tab_to(page, "Tumour board")
        press_enter(page)
        assert page.get_by_text("Nobody is on your list.").is_visible()
        for patient_id in (FIRST, SECOND, THIRD):
            tab_to(page, "patient_id")
            page.keyboard.type(patient_id)
            press_enter(page)
        assert listed(page) == [FIRST, SECOND, THIRD]
        tab_to(page, f"Up: {THIRD}")
        press_enter(page)
        assert listed(page) == [FIRST, THIRD, SECOND]
        tab_to(page, f"Remove: {FIRST}")
        press_enter(page)
        assert listed(page) == [THIRD, SECOND]
        tab_to(page, SECOND)
        press_enter(page)
        assert f"Patient {SECOND}" in page.locator("h1").inner_text()
        assert SECOND not in page.url
        page.goto(f"{address}/board")
        tab_to(page, "Clear the list")
        press_enter(page)
        assert listed(page) == []
        assert visit.left_the_host() == []
        assert visit.troubles == []
        context.close()
