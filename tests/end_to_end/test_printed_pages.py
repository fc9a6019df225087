"""Is a printed page whole, does it say whose it is, and is every sheet of it told from a medical device's?

What Chromium makes of the page as PDF is read back word by word, with the places where the words stand.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from tests.end_to_end.page_tour import states, whole_hospital
from tests.end_to_end.pages_browser import Visited, serving
from tests.pages_hospital import PLAN_HASH, hospital

from oncofed.client.pages.accounts import Role
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

PDFTOTEXT, PDFINFO = shutil.which("pdftotext"), shutil.which("pdfinfo")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or PDFTOTEXT is None or PDFINFO is None,
    reason="NOT TESTED: a hospital's pages on paper. apt-get install chromium poppler-utils to test it.",
)

HOSPITAL = hospital()
PATIENT = HOSPITAL.cohort.patient_ids[7]
WARNING = "Research software. Not a medical device, and not a recommendation for any treatment."
BUTTONS = (
    "Put on the list",
    "Remove",
    "Clear the list",
    "Print or save",
    "Save picture",
    "Sign out",
    "Password",
    "CSV",
    "Skip to",
    "The numbers",
)
SIDE_POINTS = 15 / 25.4 * 72
"""The margin of the style sheet, in points."""


@dataclass(frozen=True)
class Sheet:
    """words: each with its left and right end, in points."""

    width: float
    text: str
    words: tuple[tuple[float, float, str], ...]


def printed(page: Page, folder: Path) -> list[Sheet]:
    assert PDFTOTEXT is not None
    path = folder / "printed.pdf"
    page.pdf(path=path, prefer_css_page_size=True)
    boxes = subprocess.run([PDFTOTEXT, "-bbox", path, "-"], capture_output=True, text=True, check=True).stdout
    sheets = []
    for width, inner in re.findall(r'<page width="([\d.]+)"[^>]*>(.*?)</page>', boxes, flags=re.DOTALL):
        found = re.findall(r'<word xMin="([\d.]+)"[^>]*xMax="([\d.]+)"[^>]*>(.*?)</word>', inner)
        words = tuple((float(left), float(right), unescape(word)) for left, right, word in found)
        sheets.append(Sheet(float(width), " ".join(word for *_, word in words), words))
    return sheets


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def visit(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with serving(tmp_path_factory.mktemp("pages"), HOSPITAL) as (_, address):
        context = browser.new_context(viewport={"width": 1180, "height": 900})
        found = Visited(context.new_page(), address)
        found.sign_in(Role.CLINICIAN)
        yield found
        context.close()


@pytest.fixture
def patient(visit: Visited) -> Page:
    visit.page.goto(f"{visit.address}/patients")
    visit.find(PATIENT)
    return visit.page


@pytest.fixture
def twin(visit: Visited, patient: Page) -> Page:
    patient.get_by_role("link", name="Kinds of data, what to measure, options").click()
    patient.locator("#layers").wait_for()
    return patient


@pytest.fixture
def sheet(patient: Page) -> Page:
    patient.get_by_role("link", name="Tumour-board sheet").click()
    patient.locator(".sheet").wait_for()
    return patient


@pytest.fixture
def board(visit: Visited) -> Page:
    """Eight patients."""
    for patient_id in HOSPITAL.cohort.patient_ids[3:11]:
        visit.page.goto(f"{visit.address}/board")
        visit.page.fill("#patient_id", patient_id)
        visit.page.keyboard.press("Enter")
        visit.page.get_by_role("link", name=patient_id).wait_for()
    return visit.page


@pytest.fixture
def cohort(visit: Visited) -> Page:
    visit.page.goto(f"{visit.address}/cohort")
    visit.drawn(4)
    return visit.page


@pytest.mark.parametrize(
    ("name", "about", "sheets"),
    [
        ("patient", f"Patient {PATIENT}", range(2, 5)),
        ("sheet", f"Patient {PATIENT}", range(1, 2)),
        ("twin", f"Patient {PATIENT}", range(1, 5)),
        ("cohort", "Cohort", range(2, 6)),
        ("board", "Tumour board", range(1, 2)),
    ],
)
def test_every_sheet_says_what_it_is_whose_and_when(
    name: str, about: str, sheets: range, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    found = printed(request.getfixturevalue(name), tmp_path)
    assert len(found) in sheets
    for number, sheet in enumerate(found, start=1):
        assert sheet.text.startswith(WARNING)
        head = sheet.text.removeprefix(WARNING)[:250]
        assert head.startswith(f" Bonn \N{MIDDLE DOT} {about}, overall survival")
        assert f"model of study lung ({PLAN_HASH[:12]})" in head
        assert re.search(r"\d{1,2} [A-Z][a-z]+ 20\d\d, \d\d:\d\d \S+, clinician", head)
        assert sheet.text.endswith(f"Page {number} of {len(found)}")


@pytest.mark.parametrize("name", ["patient", "sheet", "twin", "cohort", "board"])
def test_nothing_of_a_table_or_picture_is_cut_off_or_lost(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    page: Page = request.getfixturevalue(name)
    cells = [
        *page.locator(":not(details) > .scroll td:not(.ask), .reasons td").all_inner_texts(),
        *page.locator(".reasons tbody th, .sheet li, .board tbody th a").all_inner_texts(),
        *page.locator("h1, :not(.ask) > h2").all_inner_texts(),
    ]
    drawn = page.locator(".plot svg text").all_text_contents()
    assert len(cells) > 20
    sheets = printed(page, tmp_path)
    # Where a line breaks is the printer's affair.
    text = re.sub(r"\s", "", " ".join(sheet.text for sheet in sheets))
    lost = [said for said in (*cells, *drawn) if re.sub(r"\s", "", said) not in text]
    assert lost == []
    for sheet in sheets:
        for left, right, word in sheet.words:
            assert left >= SIDE_POINTS - 3, word
            assert right <= sheet.width - SIDE_POINTS + 3, word
    assert not [button for button in BUTTONS for sheet in sheets if button in sheet.text]


def test_a_picture_is_never_torn_from_itself_or_its_caption(patient: Page, tmp_path: Path) -> None:
    pictures = {
        "Months since time zero": ("100 %", "Out of 100 patients whom"),
        "hazard ratio, against the reference": ("Age: ", "Orange, to the right"),
    }
    seen = set()
    for centimetres in range(0, 18, 2):
        patient.evaluate(f"document.querySelector('h1').style.marginBottom = '{centimetres}cm'")
        texts = [sheet.text.replace("\N{NO-BREAK SPACE}", " ") for sheet in printed(patient, tmp_path)]
        for axis, parts in pictures.items():
            (on,) = (place for place, text in enumerate(texts) if axis in text)
            assert [part for part in parts if part not in texts[on]] == []
            seen.add((axis, on))
    assert len(seen) > len(pictures), "the pictures must have been moved over an edge"


def test_paper_is_white_and_ink_is_dark(patient: Page) -> None:
    patient.emulate_media(media="print")
    shown = "element => { const s = getComputedStyle(element); return [s.backgroundColor, s.color]; }"
    for selector in ("body", "main", "td", ".note"):
        background, ink = patient.locator(selector).first.evaluate(shown)
        assert background in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")
        assert max(map(int, re.findall(r"\d+", ink)[:3])) < 128, selector
    patient.emulate_media(media="screen")


def test_a_german_page_is_printed_in_german(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, HOSPITAL) as (_, address):
        context = browser.new_context(viewport={"width": 1180, "height": 900}, locale="de-DE")
        visited = Visited(context.new_page(), address)
        visited.sign_in(Role.CLINICIAN)
        visited.find(PATIENT)
        sheets = printed(visited.page, tmp_path)
        context.close()
    for number, sheet in enumerate(sheets, start=1):
        assert sheet.text.startswith("Forschungssoftware. Kein Medizinprodukt")
        assert sheet.text.endswith(f"Seite {number} von {len(sheets)}")
    text = " ".join(sheet.text for sheet in sheets)
    assert re.search(r"Hazard Ratio an dieses Krankenhaus angepasst \d,\d\d", text)
    assert not re.search(r"\d\.\d\d\b(?!\.)", re.sub(r"\d{1,2}\.\d{1,2}\.20\d\d", "", text))


# --- one sheet for the tumour board, four for the file


def pages_of(path: Path) -> int:
    """As pdfinfo counts them; all of A4."""
    assert PDFINFO is not None
    said = subprocess.run([PDFINFO, path], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Page size:\s+59[45][\d.]* x 84[12][\d.]* pts \(A4\)", said), said
    found = re.search(r"Pages:\s+(\d+)", said)
    assert found is not None
    return int(found[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """All 350 markers; the identifier of a patient of each state."""
    logging.disable(logging.INFO)
    with serving(tmp_path_factory.mktemp("whole"), whole_hospital()) as (here, address):
        of = here.desk.hospital
        yield address, {state: of.cohort.patient_ids[row] for state, row in states(of).items()}
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_a_board_gets_one_sheet_and_the_file_four_at_most(
    browser: Browser, whole: tuple[str, dict[str, str]], locale: str, tmp_path: Path
) -> None:
    address, patients = whole
    context = browser.new_context(viewport={"width": 1180, "height": 900}, locale=locale)
    context.set_default_timeout(180_000)
    visited = Visited(context.new_page(), address)
    visited.sign_in(Role.CLINICIAN)
    page, found = visited.page, {}
    for state, patient_id in patients.items():
        page.goto(f"{address}/patients")
        visited.find(patient_id)
        own = page.url.partition("?")[0]
        for endpoint in (0, 1):
            page.goto(f"{own}?endpoint={endpoint}")
            printed(page, tmp_path)
            file = pages_of(tmp_path / "printed.pdf")
            page.goto(f"{own}/sheet?endpoint={endpoint}")
            said = [
                *page.locator("main li, main td, tbody th, tfoot th, .answer, .scenarios, .known, h1").all_inner_texts()
            ]
            said += page.locator(".plot svg text").all_text_contents()
            (only,) = printed(page, tmp_path)[:1]
            text = re.sub(r"\s", "", only.text)
            found[state, endpoint] = (pages_of(tmp_path / "printed.pdf"), 1 <= file <= 4)
            lost = [each for each in said if re.sub(r"\s", "", each) not in text]
            assert not lost, (state, endpoint)
            assert patient_id in only.text
    context.close()
    assert found == dict.fromkeys(found, (1, True))
    assert len(found) == 8
