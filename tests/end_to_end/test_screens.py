"""Does every page fit the screen it is read on: nothing cut off on a telephone, the answer above the fold on a desk?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from tests.end_to_end.page_tour import SCHEMES, reports
from tests.end_to_end.pages_browser import Visited, serving
from tests.installed_node import SOURCE, installed_node
from tests.pages_hospital import SECOND, Served, hospital

from oncofed.client.pages.accounts import Role
from oncofed.client.records.wishes import APPROVAL_WANTED
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium
from oncofed.simulations.benchmarks.large_hospital import large_hospital

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: pages on small screens. apt-get install chromium to test it."
)

SMALLEST_WORDS_PIXELS = 9.5
LARGEST_PAGE_BYTES = 150_000
WIDER = """() => {
  const wide = document.documentElement;
  return wide.scrollWidth - wide.clientWidth;
}"""
UNREACHED = """() => [...document.querySelectorAll('*')].filter(each =>
  ['auto', 'scroll'].includes(getComputedStyle(each).overflowX) && each.scrollWidth > each.clientWidth + 1
  && !(each.tabIndex === 0 && each.getAttribute('role') && each.getAttribute('aria-label'))
).map(each => each.outerHTML.slice(0, 80))"""
"""What moves sideways and cannot be reached by keyboard, or has no name there."""
WORDS = """() => Math.min(...[...document.querySelectorAll('svg text')].map(each =>
  parseFloat(getComputedStyle(each).fontSize) * Math.hypot(each.getScreenCTM().a, each.getScreenCTM().b)))"""
OFF_THE_SCREEN = """selector => [...document.querySelectorAll(selector)].filter(each => each.checkVisibility()
  && (each.getBoundingClientRect().right > document.documentElement.clientWidth
      || each.getBoundingClientRect().left < 0)).length"""
FAINT = """() => {
  const channels = colour => colour.match(/[0-9.]+/g).map(Number);
  const linear = each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4;
  const light = colour => {
    const [r, g, b] = channels(colour).map(each => linear(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = each => {
    const picture = each.closest('svg');
    if (picture) { return getComputedStyle(picture.querySelector('rect')).fill; }
    for (let at = each; at; at = at.parentElement) {
      const found = getComputedStyle(at).backgroundColor;
      if ((channels(found)[3] ?? 1) > 0) { return found; }
    }
  };
  const hasWords = each => each.checkVisibility() && each.tagName !== 'title'
    && [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll('body *')].filter(hasWords).map(each => {
    const style = getComputedStyle(each), words = light(each.closest('svg') ? style.fill : style.color);
    const [low, high] = [words, light(ground(each))].sort((one, other) => one - other);
    return [(high + 0.05) / (low + 0.05), each.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
}"""
"""Words that stand out from their ground by less than 4.5 to 1 (WCAG 2.2, 1.4.3)."""
BROKEN = """() => {
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const holder = node.parentElement;
    const heads = holder.closest('thead');
    if (!holder.checkVisibility() || holder.closest('.unseen, .skip, .running, svg, option')
        || (heads && getComputedStyle(heads).position === 'absolute')) { continue; }
    for (const word of node.data.matchAll(/(?<![^\\s(“])\\p{L}{2,24}(?![^\\s.,:;)”])/gu)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(each => Math.round(each.top))).size > 1) { found.push(word[0]); }
    }
    if (holder.closest('button, .bar nav a, .state') && holder.textContent.length < 25) {
      const range = document.createRange();
      range.selectNodeContents(node);
      if (new Set([...range.getClientRects()].map(each => Math.round(each.top))).size > 1) { found.push(node.data); }
    }
  }
  return found;
}"""
"""Words of letters alone that go on in the next line, and short names of buttons and of pages that do."""
ALONE = """() => [...document.querySelectorAll('.stack td[data-label]')].filter(each =>
  getComputedStyle(each).display === 'grid' && !each.textContent.trim()).map(each => each.outerHTML.slice(0, 80))"""
"""Names of columns that stand on a telephone with nothing beside them."""
BOTTOM = "selector => document.querySelector(selector).getBoundingClientRect().bottom"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """All 350 markers."""
    with serving(tmp_path_factory.mktemp("pages"), replace(large_hospital(600), weight_noise=0.03)) as found:
        yield found


@pytest.fixture(scope="module")
def visit(browser: Browser, pages: tuple[Served, str]) -> Iterator[Visited]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    found = Visited(context.new_page(), pages[1])
    found.sign_in(Role.CLINICIAN)
    cohort = pages[0].desk.hospital.cohort
    found.find(cohort.patient_ids[int(np.isnan(cohort.values).sum(axis=1).argmin())])  # the longest page
    yield found
    context.close()


@pytest.fixture(scope="module")
def console(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Visited, list[str]]]:
    """One plan that waits, with a first yes, and one that is approved; the addresses of all its pages."""
    with installed_node() as node:
        node.enrol()
        other = replace(node.plan(), study="a second study whose name is as long as they are now and then")
        for plan in (node.plan(), other):
            node.guard().offer_plan(node.offer(plan))
        node.approve(other)
        node.guard().contribute(node.request(other))
        node.set_policy("smallest_cohort = 50", "smallest_cohort = 50\npersons_to_approve = 2")
        facts = {"data_source": SOURCE}
        node.audit_log.append(APPROVAL_WANTED, plan_hash=node.plan().hash, by=SECOND, facts=facts)
        with serving(tmp_path_factory.mktemp("console"), None, node=node.folder) as (_, address):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            found = Visited(context.new_page(), address)
            found.sign_in(Role.APPROVER)
            plans = [f"/plans/{plan.hash}" for plan in (node.plan(), other)]
            yield found, [f"{address}{each}" for each in ("/plans", *plans, "/ledger", "/node", "/audit")]
            context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_every_page_of_the_console_fits_and_is_read_by_day_and_by_night(
    console: tuple[Visited, list[str]], width: int, scheme: Literal["light", "dark"]
) -> None:
    visit, addresses = console
    visit.page.emulate_media(color_scheme=scheme)
    for address in addresses:
        visit.page.goto(address)
        fits(visit.page, width)
        assert visit.page.evaluate(FAINT) == [], address
        assert visit.page.evaluate(ALONE) == [], address
        assert visit.page.evaluate(OFF_THE_SCREEN, "h1, .state, pre, button, input, select, caption") == 0, address
        assert visit.page.evaluate("document.documentElement.outerHTML.length") < LARGEST_PAGE_BYTES, address


def fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate(WIDER) == 0, f"{page.url} at {width}"
    assert page.evaluate(UNREACHED) == [], f"{page.url} at {width}"
    assert page.evaluate(BROKEN) == [], f"{page.url} at {width}"
    assert page.evaluate(WORDS) >= SMALLEST_WORDS_PIXELS, f"{page.url} at {width}"


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_a_patients_page_fits_and_its_hazard_ratios_are_on_the_screen(visit: Visited, width: int) -> None:
    page = visit.page
    fits(page, width)
    assert page.locator("table.markers tr").count() > 200
    assert page.locator("table.markers b").count() > 30
    assert page.evaluate(OFF_THE_SCREEN, "table.markers b, table.reasons b, .tiles dd, .answer, .known") == 0
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate(WIDER) == 0
    assert page.evaluate(OFF_THE_SCREEN, "table.markers b") == 0
    page.evaluate("document.querySelector('h1').style.minWidth = '2000px'")
    wider = page.evaluate(WIDER)
    page.reload()
    assert wider > 0, "the check must be able to fail"


def test_each_kind_of_broken_word_is_found(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    whole = "<p style='width: 9em'>Performance status of patients</p><button>Put on the list</button>"
    page.set_content(whole)
    assert page.evaluate(BROKEN) == []
    page.add_style_tag(content="p { max-width: 3em; overflow-wrap: anywhere; }")
    assert page.evaluate(BROKEN) == ["Performance", "patients"]
    page.add_style_tag(content="p { display: none; } button { max-width: 5em; }")
    assert page.evaluate(BROKEN) == ["Put on the list"]
    page.close()


def test_what_is_said_of_how_many_markers_adds_up(visit: Visited, pages: tuple[Served, str]) -> None:
    """Of whom little is known, whole kinds of data are among what nothing can be said of."""
    page, before, cohort = visit.page, visit.page.url, pages[0].desk.hospital.cohort
    page.goto(f"{visit.address}/patients")
    visit.find(cohort.patient_ids[int(np.isnan(cohort.values).sum(axis=1).argmax())])
    page.get_by_role("link", name="Kinds of data, what to measure, options").click()
    page.locator("#layers").wait_for()
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    lists = page.locator("dl.whys dd").all_inner_texts()
    assert any(re.search(r"\(all [1-9]\d+ markers\)", each) for each in lists), "a whole kind of data"
    for each in lists:
        many, _, names = re.sub(r"\s*and \d+ more\s*", ", ", each).partition(":")
        found = [re.search(r"\(all (\d+) markers\)", name) for name in names.split(",")]
        assert sum(int(several[1]) if several else 1 for several in found) == int(many.split()[0]), each
    page.goto(before)


def test_answer_curve_and_five_reasons_are_above_the_fold_of_a_desk(visit: Visited) -> None:
    page = visit.page
    page.set_viewport_size({"width": 1440, "height": 900})
    for selector in (".answer", ".scenarios", ".known", ".panel .plot svg", ".reasons tbody tr:nth-child(5)"):
        assert page.evaluate(BOTTOM, selector) <= 900, selector
    assert page.evaluate(BOTTOM, "#markers") > 900, "the check must be able to fail"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_its_ground_by_day_and_by_night(
    visit: Visited, scheme: Literal["light", "dark"]
) -> None:
    page, before = visit.page, visit.page.url
    page.emulate_media(color_scheme=scheme)
    for address in (
        before,
        f"{before.partition('?')[0]}/what-if",
        f"{before.partition('?')[0]}/twin",
        f"{visit.address}/cohort",
        f"{visit.address}/patients",
    ):
        page.goto(address)
        assert page.evaluate(FAINT) == [], address
    page.goto(before)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    page.evaluate("document.querySelector('.plot text').style.fill = getComputedStyle(document.body).backgroundColor")
    assert len(page.evaluate(FAINT)) == 1, "the check must be able to fail"
    page.emulate_media(color_scheme="light")
    page.reload()


def test_the_values_of_a_picture_are_read_by_keyboard_and_by_touch(visit: Visited) -> None:
    page = visit.page
    figure = page.locator("figure").first
    reading, titles = figure.locator(".reading"), figure.locator("title").all_text_contents()
    assert "arrow keys" in reading.inner_text()
    figure.locator(".scroll").focus()
    for key, place in (
        ("ArrowRight", 0),
        ("ArrowRight", 1),
        ("End", -1),
        ("ArrowRight", -1),
        ("ArrowLeft", -2),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert reading.inner_text() == titles[place].replace("\n", " \N{MIDDLE DOT} ")
    figure.locator("rect:has(title)").nth(30).click()
    assert reading.inner_text() == titles[30].replace("\n", " \N{MIDDLE DOT} ")
    assert "this patient" in reading.inner_text()


def test_a_page_of_350_markers_weighs_little(visit: Visited) -> None:
    answer = visit.page.context.request.get(visit.page.url)
    assert 60_000 < len(answer.body()) < LARGEST_PAGE_BYTES


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_a_what_if_and_a_list_of_some_markers_fit(visit: Visited, width: int) -> None:
    page, before = visit.page, visit.page.url
    page.goto(f"{before.partition('?')[0]}?named=a")
    fits(page, width)
    page.get_by_role("link", name="What if").click()
    page.fill("#another", "CRP")
    page.get_by_role("button", name="Choose this marker").click()
    page.locator("input[inputmode=decimal]").fill("99.25")  # its dot is in no port and in no patient's token
    page.get_by_role("button", name="Show what the model says").click()
    page.locator(".plot > svg").wait_for()
    assert "99.25" not in page.url
    assert len(page.content().encode()) < LARGEST_PAGE_BYTES
    fits(page, width)
    page.goto(before)


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_kinds_of_data_fit_and_their_figures_are_on_the_screen(visit: Visited, width: int) -> None:
    page, before = visit.page, visit.page.url
    page.get_by_role("link", name="Kinds of data, what to measure, options").click()
    page.locator("#layers").wait_for()
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate(WIDER) == 0
    assert page.locator("#layers tbody tr").count() > 4
    assert page.evaluate(OFF_THE_SCREEN, "#layers td.num > span, #measure td.num > span, .answer, .known") == 0
    assert len(page.content().encode()) < LARGEST_PAGE_BYTES
    page.goto(before)


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_cohort_board_and_search_fit(visit: Visited, width: int) -> None:
    page = visit.page
    before = page.url
    page.goto(f"{visit.address}/cohort")
    fits(page, width)
    for address in ("/board", "/patients"):
        page.goto(visit.address + address)
        fits(page, width)
    page.goto(before)


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_reports_fit_and_are_read_by_day_and_by_night(browser: Browser, tmp_path: Path, width: int) -> None:
    path, page = tmp_path / "report.html", browser.new_page()
    for what, text in reports().items():
        path.write_text(text)
        page.goto(path.as_uri())
        fits(page, width)
        grounds = []
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert page.evaluate(FAINT) == [], f"{what}, {scheme}"
        assert grounds[0] == "rgb(255, 255, 255)" != grounds[1]
    page.close()


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR])
def test_accounts_and_audit_log_fit_a_telephone(browser: Browser, tmp_path: Path, role: Role) -> None:
    with serving(tmp_path, hospital(60)) as (_, address):
        context = browser.new_context(viewport={"width": 390, "height": 844})
        found = Visited(context.new_page(), address)
        found.sign_in(role)
        for path in ("/accounts", "/audit"):
            found.page.goto(address + path)
            assert found.page.evaluate(WIDER) == 0, path
            assert found.page.evaluate(UNREACHED) == [], path
        context.close()
