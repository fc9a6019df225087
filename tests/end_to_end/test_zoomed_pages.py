"""At 200 % (WCAG 2.2, 1.4.4) of a window of 1440 x 900: does no page move sideways, and is nothing of it cut off?

As Chromium zooms: 720 x 450 pixels of a page, each of four on the screen. Cut off are words beyond the edge of the page
or of what clips them, in pictures, too. What moves sideways in a frame of its own is not cut off, if the keyboard gets
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from tests.end_to_end.page_tour import Opened, of_coordinator, of_few, of_report, parts, whole_hospital
from tests.end_to_end.test_screens import UNREACHED, WIDER

from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: pages at 200 %. apt-get install chromium to test it."
)

WINDOW = (1440, 900)
ZOOM = 2
CUT = """() => {
  const found = [];
  const clips = style => [style.overflowX, style.overflowY].some(each => ['hidden', 'clip'].includes(each));
  const moves = each => ['auto', 'scroll'].includes(getComputedStyle(each).overflowX);
  const unseen = each => each.closest('.unseen, .skip, .running, option') || (each.closest('thead')
    && getComputedStyle(each.closest('thead')).position === 'absolute');
  const edges = each => {
    for (let at = each; at; at = at.parentElement) {
      if (moves(at)) { return null; }
      if (at.matches('svg') || clips(getComputedStyle(at))) { return at.getBoundingClientRect(); }
    }
    return { left: 0, right: document.documentElement.clientWidth, top: -1e9, bottom: 1e9 };
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = words.nextNode(); node; node = words.nextNode()) {
    const own = node.parentElement;
    if (!node.data.trim() || !own.checkVisibility() || own.matches('title, script, style') || unseen(own)) { continue; }
    const range = document.createRange();
    range.selectNodeContents(node);
    const picture = own.closest('svg');
    const within = picture ? picture.getBoundingClientRect() : edges(own);
    if (!within) { continue; }
    for (const box of range.getClientRects()) {
      if (box.right > within.right + 1 || box.left < within.left - 1
          || box.bottom > within.bottom + 2 || box.top < within.top - 2) {
        found.push(`cut off: ${node.data.trim().slice(0, 60)} in ${own.tagName}`);
        break;
      }
    }
  }
  for (const each of document.querySelectorAll('input:not([type=hidden]), select, button, svg, progress')) {
    const box = each.getBoundingClientRect();
    if (each.checkVisibility() && !unseen(each) && edges(each.parentElement)
        && (box.right > document.documentElement.clientWidth + 1 || box.left < -1)) {
      found.push(`cut off: ${each.outerHTML.slice(0, 80)}`);
    }
  }
  return found;
}"""


def zoomed(page: Page) -> None:
    width, height = (pixels // ZOOM for pixels in WINDOW)
    page.set_viewport_size({"width": width, "height": height})
    page.context.new_cdp_session(page).send(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": ZOOM, "mobile": False},
    )
    page.wait_for_function("() => innerWidth === 720 && devicePixelRatio === 2")


def faults(page: Page) -> list[str]:
    """As it is on the screen now."""
    assert page.evaluate("document.body.getBoundingClientRect().width") <= WINDOW[0] / ZOOM, "it is not zoomed"
    found: list[str] = [*page.evaluate(CUT), *page.evaluate(UNREACHED)]
    wider = page.evaluate(WIDER)
    return [*found, f"{wider} pixels wider than the screen"] if wider else found


def looked_at(opened: Opened) -> tuple[int, list[str]]:
    """How many pages, and all faults with where they are."""
    pages, found = 0, []
    for what, page in opened:
        pages += 1
        zoomed(page)
        found += [f"{what}: {each}" for each in faults(page)]
    return pages, found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_nothing_is_cut_off_a_patient_a_cohort_a_coordinators_page_and_a_report(
    browser: Browser, tmp_path: Path
) -> None:
    for part, pages in ((of_few, 3), (of_report, 4), (of_coordinator, 7)):
        (place := tmp_path / part.__name__).mkdir()
        assert looked_at(part(browser, place)) == (pages, [])


def test_each_kind_of_fault_is_found(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_content(
        "<html lang=en><title>A page</title><style>body { margin: 0 } .box { overflow: hidden; width: 300px }"
        " .frame { overflow-x: auto; width: 300px }</style><main><h1>A page</h1><p>Words that go on for a while</p>"
        "<div class=box><span>Words</span></div><svg width=100 height=40><text x=2 y=20>Words</text></svg>"
        "<div class=frame tabindex=0 role=region aria-label=Table><table><tr><td>Words</table></div></main>"
    )
    zoomed(page)
    assert faults(page) == []
    before = page.content()
    for fault, how in (
        ("pixels wider", "document.querySelector('p').style.width = '721px'"),
        (
            "cut off: Words that go on",
            "document.querySelector('p').style.cssText = 'white-space: nowrap; padding-left: 700px'",
        ),
        ("cut off: Words in SPAN", "document.querySelector('span').style.paddingLeft = '290px'"),
        ("cut off: Words in SPAN", "document.querySelector('.box').style.height = '8px'"),
        ("cut off: Words in text", "document.querySelector('text').setAttribute('x', '80')"),
        ("<div", "document.querySelector('.frame').removeAttribute('tabindex')"),
        ("cut off: <input", "document.querySelector('p').innerHTML = '<input style=\"width: 800px\">'"),
    ):
        page.evaluate("document.querySelector('td').style.minWidth = '900px'")
        assert faults(page) == [], "what moves in its own frame is not cut off"
        page.evaluate(how)
        assert any(fault in each for each in faults(page)), (fault, faults(page))
        page.set_content(before)
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("part", "pages"), [("hospital", 34), ("twin", 1), ("sign-on", 4), ("console", 16)])
def test_nothing_is_cut_off_any_page_in_any_state(browser: Browser, tmp_path: Path, part: str, pages: int) -> None:
    assert looked_at(parts(whole_hospital)[part](browser, tmp_path)) == (pages, [])
