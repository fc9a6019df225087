"""Do the coordinator's pages fit every screen, follow a study by themselves, and say so when nobody answers?

Chromium, and the pages on loopback as they are served; the folder is a coordinator's, in states of the product's own
writers (`tests.coordinator_pages`).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page
from tests.coordinator_pages import Shown, Study, running_study, shown
from tests.end_to_end.pages_browser import Visited, listening
from tests.end_to_end.test_screens import FAINT, UNREACHED, WIDER

from oncofed.server.pages.application import FOLLOW_SECONDS
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: the coordinator's pages in a browser. apt-get install chromium to test it."
)

LARGEST_PAGE_BYTES = 150_000
WAIT_MILLISECONDS = 60_000
"""For what comes by itself every FOLLOW_SECONDS, on a machine that has much to do."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@contextmanager
def opened(browser: Browser, here: Shown, port: int, *, script: bool = True) -> Iterator[Visited]:
    """Signed in, by keyboard alone."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, java_script_enabled=script)
    found = Visited(context.new_page(), f"http://127.0.0.1:{port}")
    found.page.goto(found.address)
    found.page.locator("#credential").focus()
    found.page.keyboard.type(here.token)
    found.page.keyboard.press("Enter")
    found.page.wait_for_selector("text=Hospitals and studies")
    yield found
    context.close()


@pytest.fixture(scope="module")
def followed(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Visited, Shown, Study, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    host = frozenset({f"127.0.0.1:{port}"})
    with (
        shown(tmp_path_factory.mktemp("coordinator"), hosts=host) as here,
        running_study(here) as study,
    ):
        here.study("breast", rounds=60).said(Bonn="declined")
        with listening(here, port), opened(browser, here, port) as found:
            yield found, here, study, port


def pages(study: Study) -> tuple[str, ...]:
    return ("/", f"/studies/{study.plan.hash}")


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_every_page_fits_and_what_is_wider_is_moved_by_keyboard(
    followed: tuple[Visited, Shown, Study, int], width: int
) -> None:
    visit, _, study, _ = followed
    page = visit.page
    page.set_viewport_size({"width": width, "height": 844})
    for path in (*pages(study), "/nothing"):
        page.goto(visit.address + path)
        assert page.evaluate(WIDER) == 0, f"{path} at {width}"
        assert page.evaluate(UNREACHED) == [], f"{path} at {width}"
        assert len(page.content().encode()) < LARGEST_PAGE_BYTES
    page.evaluate("document.querySelector('h1').style.minWidth = '2000px'")
    assert page.evaluate(WIDER) > 0, "the check must be able to fail"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_its_ground(
    followed: tuple[Visited, Shown, Study, int], scheme: Literal["light", "dark"]
) -> None:
    visit, _, study, _ = followed
    page = visit.page
    page.emulate_media(color_scheme=scheme)
    for path in pages(study):
        page.goto(visit.address + path)
        assert page.evaluate(FAINT) == [], path
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    page.emulate_media(color_scheme="light")


NAMELESS = """() => [...document.querySelectorAll('a, button, input, progress, .scroll, table')].filter(each =>
  each.type !== 'hidden' && !each.hidden && !(each.getAttribute('aria-label') || each.labels?.length
    || each.caption?.textContent.trim() || each.textContent.trim())).map(each => each.outerHTML.slice(0, 80))"""
"""What a reader by ear could not tell from another."""
REPEATED = (
    "() => [...document.querySelectorAll('[id]')].map(each => each.id).filter((id, at, all) => all.indexOf(id) < at)"
)
LEVELS = "() => [...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))"


def test_a_reader_by_ear_is_told_everything_by_name_and_no_page_loads_itself_anew(
    followed: tuple[Visited, Shown, Study, int],
) -> None:
    visit, _, study, _ = followed
    page = visit.page
    for path in pages(study):
        page.goto(visit.address + path)
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(REPEATED) == []
        levels = page.evaluate(LEVELS)
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert page.locator("meta[http-equiv=refresh]").count() == 0, "it would take the reader's place away"
        assert page.get_attribute("html", "lang") == "en"
    page.evaluate("document.querySelector('progress').removeAttribute('aria-label')")
    assert len(page.evaluate(NAMELESS)) == 1, "the check must be able to fail"


def test_a_page_follows_the_study_by_itself_and_leaves_the_reader_where_he_is(
    followed: tuple[Visited, Shown, Study, int],
) -> None:
    visit, _, study, _ = followed
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 500})
    page.goto(visit.address + pages(study)[1])
    assert "Round 2 of 4" not in page.inner_text("main")
    assert "round 2 of 4 is done" in page.inner_text("main")
    page.evaluate("window.kept = 'the same page'; window.scrollTo(0, 400)")
    page.locator("#report").focus()
    page.evaluate("document.styleSheets[0].insertRule('.stack { min-width: 2000px !important; }')")
    page.locator(".scroll").first.evaluate("each => { each.scrollLeft = 60; }")
    place = page.evaluate("window.scrollY")
    study.round(3)
    page.wait_for_function(
        "() => document.querySelector('main').textContent.includes('round 3 of 4')", timeout=WAIT_MILLISECONDS
    )
    assert page.evaluate("window.kept") == "the same page"
    assert page.evaluate("document.activeElement.id") == "report"
    assert page.evaluate("window.scrollY") == place
    assert page.locator(".scroll").first.evaluate("each => each.scrollLeft") == 60
    page.get_by_role("button", name="Pause").click()
    before = len(visit.requests)
    page.wait_for_timeout(2500 * FOLLOW_SECONDS)
    assert len(visit.requests) == before, "paused"
    page.get_by_role("button", name="Go on").click()
    page.wait_for_timeout(100)
    assert len(visit.requests) > before
    assert visit.left_the_host() == []
    assert [each for each in visit.troubles if "404" not in each] == []  # /nothing, above


def test_while_nobody_answers_the_page_stays_and_says_since_when(
    browser: Browser, tmp_path: Path, followed: tuple[Visited, Shown, Study, int]
) -> None:
    """As when a tunnel breaks: what was there is not lost, and it goes on by itself."""
    _, here, _, _ = followed
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    before, here.desk = here.desk, type(here.desk)(**{**vars(here.desk), "hosts": frozenset({f"127.0.0.1:{port}"})})
    try:
        with listening(here, port):
            context = opened(browser, here, port)
            visit = context.__enter__()
        page: Page = visit.page
        page.wait_for_selector(".follow.lost", timeout=WAIT_MILLISECONDS)
        assert "Not reached since" in page.inner_text(".follow")
        assert "Aachen" in page.inner_text("main"), "what was there stays"
        with listening(here, port):
            page.wait_for_selector(".follow:not(.lost)", timeout=WAIT_MILLISECONDS)
            assert "As of" in page.inner_text(".follow")
            here.desk.credential.make(anew=True)
            page.wait_for_url("**/sign-in", timeout=WAIT_MILLISECONDS)
        context.__exit__(None, None, None)
    finally:
        here.desk = before


def test_without_a_script_a_page_loads_itself_anew(
    browser: Browser, followed: tuple[Visited, Shown, Study, int]
) -> None:
    _, here, _, port = followed
    with opened(browser, here, port, script=False) as visit:
        assert visit.page.locator("meta[http-equiv=refresh]").count() == 1
        assert not visit.page.get_by_role("button", name="Pause").is_visible()
        before = len([url for url in visit.requests if url == f"{visit.address}/"])
        visit.page.wait_for_event("load", timeout=WAIT_MILLISECONDS)
        assert len([url for url in visit.requests if url == f"{visit.address}/"]) > before
