"""Does a launch work in a real browser, which sends the session's cookie with nothing that another site began?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser
from tests.end_to_end.pages_browser import Visited, serving
from tests.pages_hospital import PASSWORD, Served, hospital
from tests.record_system import CLIENT, RecordSystem, record_system

from oncofed.client.launch.issuer import Issuer
from oncofed.client.launch.launches import Launches
from oncofed.client.launch.settings import KnownBy, LaunchSection
from oncofed.client.pages.accounts import Role
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: a launch in a browser. apt-get install chromium to test it."
)

HOSPITAL = hospital()
PATIENT = HOSPITAL.cohort.patient_ids[7]


@pytest.fixture(scope="module")
def system() -> Iterator[RecordSystem]:
    """Under another name than the pages, so that it is another site."""
    with record_system() as found:
        found.host = "localhost"
        found.launches = {"of-7": PATIENT}
        yield found


@pytest.fixture(scope="module")
def pages(system: RecordSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    section = LaunchSection(system.issuer, f"{system.root}/authorize", f"{system.root}/token", CLIENT, KnownBy.ID)

    def launches(address: str) -> Launches:
        return Launches(section, pages=address, ask=Issuer(section, None).patient, clock=time.monotonic)

    with serving(tmp_path_factory.mktemp("pages"), HOSPITAL, launches=launches) as (here, address):
        asked = urlencode({"iss": system.issuer, "launch": "of-7"})
        link = f'<a href="{address}/launch?{asked}">Prognosis</a>'
        system.page = f'<!doctype html><title>Record</title><link rel="icon" href="data:,">{link}'
        yield here, address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, pages: tuple[Served, str]) -> Iterator[Visited]:
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    yield Visited(context.new_page(), pages[1])
    context.close()


def test_a_click_in_the_record_system_opens_the_patient_of_who_is_signed_in(
    visit: Visited, system: RecordSystem
) -> None:
    page = visit.page
    visit.sign_in(Role.CLINICIAN)
    page.goto(f"{system.root}/record")
    page.get_by_role("link", name="Prognosis").click()
    visit.drawn(2)
    assert PATIENT in page.inner_text("h1")
    assert PATIENT not in page.url
    assert visit.troubles == []
    elsewhere = [url for url in visit.left_the_host() if not url.startswith(f"{system.root}/record")]
    assert [url.partition("?")[0] for url in elsewhere] == [f"{system.root}/authorize"]


def test_who_is_not_signed_in_signs_in_and_the_patient_opens(visit: Visited, system: RecordSystem) -> None:
    page = visit.page
    page.goto(f"{system.root}/record")
    page.get_by_role("link", name="Prognosis").click()
    page.wait_for_selector("#name:focus")
    page.keyboard.type("clinician")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    visit.drawn(2)
    assert PATIENT in page.inner_text("h1")
    assert visit.troubles == []


def test_the_cookie_goes_with_nothing_that_the_record_system_began(
    visit: Visited, system: RecordSystem, pages: tuple[Served, str]
) -> None:
    """So the ways in have to lead on by themselves: straight to where a session is needed, nobody is known."""
    page, before = visit.page, system.page
    visit.sign_in(Role.CLINICIAN)
    system.page = before.replace("/launch?", "/launch/begin?")
    try:
        page.goto(f"{system.root}/record")
        page.get_by_role("link", name="Prognosis").click()
        page.wait_for_selector("#name:focus")
    finally:
        system.page = before
