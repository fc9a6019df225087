"""Do a hospital's pages work in a real browser: by keyboard, without a word to anybody outside, on paper?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.end_to_end.pages_browser import Visited, serving
from tests.pages_hospital import PASSWORD, Served, hospital

from oncofed.client.pages.accounts import Role
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: a hospital's pages in a browser. apt-get install chromium to test it."
)

HOSPITAL = hospital()
ROW = next(row for row in range(0, 400, 2) if HOSPITAL.cohort.values[row, 3] == 1)
PATIENT = HOSPITAL.cohort.patient_ids[ROW]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    with serving(tmp_path_factory.mktemp("pages"), HOSPITAL) as found:
        yield found


@pytest.fixture
def visit(browser: Browser, pages: tuple[Served, str]) -> Iterator[Visited]:
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    yield Visited(context.new_page(), pages[1])
    context.close()


def test_a_clinician_goes_all_the_way_by_keyboard_and_nothing_leaves_the_host(visit: Visited) -> None:
    page = visit.page
    visit.sign_in(Role.CLINICIAN)
    visit.find(PATIENT)
    assert PATIENT in page.inner_text("h1")
    assert PATIENT not in page.url
    text = page.inner_text("body")
    for said in ("Research software", "What the band covers", "What it does not cover", "Similar patients"):
        assert said in text
    # what somebody wrote into a category is text, in the table and in the picture
    assert "<script>window.planted" in page.inner_text("h1")
    assert "<script>window.planted" in "".join(page.locator(".plot svg text").all_text_contents())
    assert page.evaluate("window.planted") is None

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "(() => { const it = document.activeElement; const style = getComputedStyle(it);"
            " return [it.innerText, style.outlineStyle, parseFloat(style.outlineWidth), it.tagName]; })()"
        )
        if focus[3] == "BODY":  # once round
            break
        seen.append(focus[0])
        assert focus[1] == "solid", f"the focus must be seen: {focus}"
        assert focus[2] >= 3
    assert {"Patients", "Cohort", "Sign out", "Print or save as PDF"} <= set(seen)
    page.get_by_role("link", name="Progression").focus()
    page.keyboard.press("Enter")
    visit.drawn(2)
    assert "endpoint=1" in page.url

    page.get_by_role("link", name="Cohort").focus()
    page.keyboard.press("Enter")
    visit.drawn(4)
    page.get_by_label("Tumour", exact=True).select_option(index=2)
    page.get_by_label("Marker", exact=True).select_option("entity")
    page.get_by_role("button", name="Show").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("entity=1"))
    visit.drawn(4)
    assert page.evaluate("window.planted") is None
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("sign-in"))
    page.go_back()
    page.wait_for_url(re.compile("sign-in"))
    assert visit.troubles == []
    assert visit.left_the_host() == []
    assert len(visit.requests) > 15, "the check must see what is asked for"


def test_kinds_of_data_are_reached_by_keyboard_and_back(visit: Visited) -> None:
    page = visit.page
    visit.sign_in(Role.CLINICIAN)
    visit.find(PATIENT)
    page.get_by_role("link", name="Kinds of data, what to measure, options").focus()
    page.keyboard.press("Enter")
    page.locator("#layers").wait_for()
    assert PATIENT not in page.url
    text = page.inner_text("main")
    for said in ("What each kind of data adds", "Treatment options", "What this page does not know"):
        assert said in text
    assert page.evaluate("window.planted") is None
    page.get_by_role("link", name="Progression").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("twin.endpoint=1"))
    page.get_by_role("link", name="Back to the patient").focus()
    page.keyboard.press("Enter")
    visit.drawn(2)
    assert "endpoint=1" in page.url
    assert visit.troubles == []
    assert visit.left_the_host() == []


OUTSIDE = """() => [...document.querySelectorAll('.plot > svg')].flatMap(svg => {
  const { width, height } = svg.viewBox.baseVal, inverse = svg.getScreenCTM().inverse();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    const corners = [[box.left, box.top], [box.right, box.bottom]];
    const [low, high] = corners.map(at => new DOMPoint(...at).matrixTransform(inverse));
    return low.x < 0 || low.y < -1 || high.x > width || high.y > height + 1;
  }).map(text => text.textContent);
})"""
"""The words of pictures that stand outside them, as this browser's font has them."""


def test_no_word_of_a_picture_is_cut_off(visit: Visited) -> None:
    page = visit.page
    visit.sign_in(Role.CLINICIAN)
    visit.find(PATIENT)
    assert page.evaluate(OUTSIDE) == []
    for query in ("", "?marker=entity", "?marker=crp_mg_per_l"):
        page.goto(f"{visit.address}/cohort{query}")
        visit.drawn(4)
        assert page.evaluate(OUTSIDE) == []
    page.evaluate("document.querySelector('.plot text').setAttribute('x', '-400')")
    assert len(page.evaluate(OUTSIDE)) == 1, "the check must be able to fail"


def test_without_scripts_a_patients_page_shows_everything_all_the_same(
    browser: Browser, pages: tuple[Served, str]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages[1])
    page.fill("#name", Role.CLINICIAN.value)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.fill("#patient_id", PATIENT)
    page.click("main button")
    page.locator(".plot > svg").nth(1).wait_for()
    assert page.locator(".plot > svg").count() == 2
    context.close()


def test_pictures_and_tables_can_be_taken_away(visit: Visited, tmp_path: Path) -> None:
    page = visit.page
    visit.sign_in(Role.ANALYST)
    visit.drawn(4)
    with page.expect_download() as picture:
        page.get_by_role("button", name="Save picture (PNG)").first.click()
    assert picture.value.suggested_filename == "strongest-markers.png"
    picture.value.save_as(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    with page.expect_download() as table:
        page.get_by_role("link", name="The curves (CSV)").click()
    table.value.save_as(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().startswith("group,time_months,survival")
    assert visit.troubles == []
    assert visit.left_the_host() == []


def test_an_old_page_is_not_left_on_an_unattended_screen(visit: Visited) -> None:
    visit.page.clock.install()
    visit.sign_in(Role.CLINICIAN)
    visit.find(PATIENT)
    visit.page.context.clear_cookies()  # as when the session is over at the server
    visit.page.clock.fast_forward(903_000)
    visit.page.wait_for_url(re.compile("sign-in"))
