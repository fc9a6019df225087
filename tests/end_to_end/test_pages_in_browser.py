"""Do a hospital's pages work in a real browser: by keyboard, without a word to anybody outside, on paper?"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.end_to_end.pages_browser import CHROMIUM, Visited, chromium, serving
from tests.pages_hospital import Served, hospital

from oncofed.client.pages.accounts import Role

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
    page.keyboard.type(PATIENT)
    page.keyboard.press("Enter")
    visit.drawn(2)
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


def test_a_patient_prints_on_a_few_pages_with_the_warning_and_without_buttons(visit: Visited) -> None:
    page = visit.page
    visit.sign_in(Role.CLINICIAN)
    page.keyboard.type(PATIENT)
    page.keyboard.press("Enter")
    visit.drawn(2)
    printed = page.pdf(format="A4", print_background=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 2 <= pages <= 4
    page.emulate_media(media="print")
    assert page.locator(".research").is_visible()
    assert not page.locator("button.print").is_visible()
    assert not page.locator(".save-png").first.is_visible()
    assert visit.troubles == []


def test_an_old_page_is_not_left_on_an_unattended_screen(visit: Visited) -> None:
    visit.page.clock.install()
    visit.sign_in(Role.CLINICIAN)
    visit.page.keyboard.type(PATIENT)
    visit.page.keyboard.press("Enter")
    visit.drawn(2)
    visit.page.context.clear_cookies()  # as when the session is over at the server
    visit.page.clock.fast_forward(903_000)
    visit.page.wait_for_url(re.compile("sign-in"))


@pytest.mark.slow
def test_the_first_view_of_a_patient_takes_less_than_a_second_with_5000_patients(
    browser: Browser, tmp_path: Path
) -> None:
    from tests.end_to_end.large_hospital import large_hospital  # noqa: PLC0415 - takes seconds to import and make

    shown = large_hospital(5000)
    with serving(tmp_path, shown) as (_, address):
        took = []
        for row in (17, 400, 4000):
            context = browser.new_context()
            visit = Visited(context.new_page(), address)
            visit.sign_in(Role.CLINICIAN)
            visit.page.wait_for_load_state("networkidle")
            visit.page.keyboard.type(shown.cohort.patient_ids[row])
            began = time.perf_counter()
            visit.page.keyboard.press("Enter")
            visit.drawn(2)
            took.append(time.perf_counter() - began)
            assert visit.troubles == []
            context.close()
    print("first view of a patient, seconds:", [f"{each:.2f}" for each in took])
    assert sorted(took)[1] < 1.0
