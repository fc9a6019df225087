"""Does axe-core find anything on any page that would shut somebody out: by eye, by ear, by keyboard?

The rules are axe's own, all of them, as it has them by default: WCAG 2.2 at A and AA, and good practice. Beside them
what axe does not look for: words beyond the edge of what holds them, a keyboard led back up the page, and weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page
from tests.end_to_end.page_tour import SCHEMES, WIDTHS, Opened, Scheme, of_few, of_report, parts, shaped, whole_hospital
from tests.end_to_end.test_screens import BROKEN, LARGEST_PAGE_BYTES, UNREACHED, WIDER

from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: axe on the pages. apt-get install chromium to test it."
)

_ASK = """() => axe.run({ resultTypes: ['violations'] }).then(found => found.violations.flatMap(each =>
  each.nodes.map(node => `${each.id}: ${node.target} ${node.html.slice(0, 120)}`)))"""
_BEYOND = """() => [...document.querySelectorAll('h1, h2, h3, p, th, td, dt, dd, a, button, input, select, caption')]
  .filter(each => each.checkVisibility() && !each.closest('.unseen, .skip, .running')
    && !(each.closest('thead') && getComputedStyle(each.closest('thead')).position === 'absolute')
    && each.getBoundingClientRect().right
       > each.parentElement.closest('.scroll, .panel, .card, main, body').getBoundingClientRect().right + 1)
  .map(each => `beyond the edge: ${each.outerHTML.slice(0, 120)}`)"""
_BACK = """() => [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, summary, [tabindex="0"]')]
  .filter(each => each.checkVisibility() && !each.closest('.skip') && !each.matches('.skip'))
  .map(each => [each, each.getBoundingClientRect()])
  .flatMap(([each, box], place, all) =>
    place && box.bottom <= all[place - 1][1].top && box.left <= all[place - 1][1].left
    ? [`led back up: ${each.outerHTML.slice(0, 120)}`] : [])"""
QUICK: tuple[tuple[int, Scheme], ...] = ((390, "dark"),)


def violations(page: Page) -> list[str]:
    """By rule and place."""
    page.evaluate(AXE_SCRIPT)
    found: list[str] = page.evaluate(_ASK)
    return found


def faults(page: Page) -> list[str]:
    """As it is on the screen now. A report's tables, of up to eight columns, may move sideways in their own frames."""
    found = violations(page)
    for question in (_BACK, UNREACHED) if page.url.startswith("file") else (_BEYOND, _BACK, UNREACHED):
        found += page.evaluate(question)
    found += [f"broken word: {each}" for each in page.evaluate(BROKEN)]
    wider = page.evaluate(WIDER)
    return [*found, f"{wider} pixels wider than the screen"] if wider else found


def looked_at(opened: Opened, screens: list[tuple[int, Scheme]]) -> tuple[int, list[str]]:
    """How many pages, and all faults with where they are."""
    pages, found = 0, []
    for what, page in opened:
        pages += 1
        if page.url.startswith("http") and (weight := len(page.content().encode())) > LARGEST_PAGE_BYTES:
            found.append(f"{what}: weighs {weight} bytes")
        for width, scheme in screens:
            shaped(page, width, scheme)
            found += [f"{what}, {width} {scheme}: {each}" for each in faults(page)]
    return pages, found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_nobody_is_shut_out_of_a_patient_a_cohort_and_a_report(browser: Browser, tmp_path: Path) -> None:
    for part, pages in ((of_few, 3), (of_report, 4)):
        assert looked_at(part(browser, tmp_path), list(QUICK)) == (pages, [])


def test_each_kind_of_fault_is_found(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_content("<html lang=en><title>A page</title><main><h1>A page</h1><p>Words</p><a href='/'>First</a></main>")
    assert faults(page) == []
    before = page.content()
    for fault, how in (
        ("color-contrast", "document.querySelector('p').style.color = '#ccc'"),
        ("label", "document.querySelector('main').append(document.createElement('input'))"),
        ("beyond the edge", "document.querySelector('p').style.width = '380px'"),
        ("led back up", "document.querySelector('main').insertAdjacentHTML('beforeend', '<a href=/ class=up>Up</a>')"),
    ):
        page.evaluate(how)
        page.add_style_tag(content=".up { position: absolute; top: 0; left: 0; }")
        assert any(each.startswith(fault) for each in faults(page)), fault
        page.set_content(before)
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "pages"),
    [("hospital", 34), ("few", 3), ("twin", 1), ("sign-on", 4), ("console", 16), ("coordinator", 7), ("report", 4)],
)
def test_nobody_is_shut_out_of_any_page_in_any_state(browser: Browser, tmp_path: Path, part: str, pages: int) -> None:
    opened = parts(whole_hospital)[part](browser, tmp_path)
    assert looked_at(opened, list(product(WIDTHS, SCHEMES))) == (pages, [])
