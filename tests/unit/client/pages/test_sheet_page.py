"""Does the one sheet for a tumour board say what the page says, with what must be kept in mind, to whom it may?

What is on the page and is not on the sheet is told by name; that it is one sheet of paper is looked at where it is
printed (tests/end_to_end/test_printed_pages.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from tests.html_pages import Page
from tests.pages_hospital import Served, hospital, served, with_causes

from oncofed.client.pages import sheet_pages
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.patient_view import patient_view
from oncofed.client.pages.sheet_pages import cautions, could_move
from oncofed.client.pages.viewing_record import patient_code

HOSPITAL = replace(hospital(), weight_noise=0.05)
ROW = 5


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, shown=HOSPITAL) as found:
        yield found


def part(text: str, tag: str) -> list[str]:
    """The words of each element of a class or name."""
    return [" ".join(unescape(re.sub(r"<[^>]*>", " ", each)).split()) for each in re.findall(tag, text, flags=re.S)]


SAME = (
    r'<p class="status">(.*?)(?= ·\s*of those|</p>)',
    r'<p class="answer">(.*?)</p>',
    r'<p class="scenarios">(.*?)</p>',
    r'<p class="known.*?>(.*?)</p>',
    r'<table class="reasons">(.*?)</table>',
    r"(<svg.*?</svg>)",
)


@pytest.mark.parametrize("asked", ["", "?endpoint=1", "?since=1"])
def test_it_says_what_the_page_says_in_the_same_words(here: Served, asked: str) -> None:
    client = here.signed_in(Role.CLINICIAN)
    address = here.opened(client, ROW)
    page, sheet = client.get(f"{address}{asked}").text, client.get(f"{address}/sheet{asked}").text
    for each in SAME[:-1]:
        assert part(sheet, each) == part(page, each) != [], each
    pictures, all_pictures = (re.findall(SAME[-1], text, flags=re.S) for text in (sheet, page))
    assert pictures == all_pictures[: len(pictures)], "the curve and the reasons' bars"
    assert len(all_pictures) == len(pictures) + 1, "and not the picture of all markers"


def test_nothing_else_of_the_page_stands_on_it(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    text = client.get(f"{here.opened(client, ROW)}/sheet").text
    assert re.findall(r'<h2 id="([^"]*)"', text) == ["h-curve", "h-why", "h-cautions"]
    assert "<details" not in text
    assert "prognosis.json" not in text


def test_the_page_leads_to_it_with_the_endpoint_and_the_time_that_are_shown(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    address = here.opened(client, ROW)
    assert f'href="{address}/sheet?endpoint=0&amp;since=1"' in client.get(f"{address}?since=1").text
    back = client.get(f"{address}/sheet?endpoint=1&since=1").text
    assert f'href="{address}?endpoint=1&amp;since=1"' in back


def test_a_view_is_written_down_with_the_patients_code(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    client.get(f"{here.opened(client, ROW)}/sheet")
    entry = here.entries()[-1]
    code = patient_code(b"k" * 32, HOSPITAL.cohort.patient_ids[ROW])
    assert (entry.event, entry.code, entry.by) == ("page_sheet", code, "clinician")


def test_every_route_is_tried_here() -> None:
    routes = [each.path for each in sheet_pages.router.routes if isinstance(each, APIRoute)]
    assert routes == ["/patients/{word}/sheet"]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CLINICIAN])
def test_another_role_is_refused_and_written_down(here: Served, role: Role) -> None:
    address = here.opened(here.signed_in(Role.CLINICIAN), ROW)
    answer = here.signed_in(role).get(f"{address}/sheet")
    assert answer.status_code == 403
    assert HOSPITAL.cohort.patient_ids[ROW] not in answer.text
    assert here.events()[-1] == ("page_refused", "role", role.value)


def test_another_sessions_patient_and_nobodys_session_are_refused_and_written_down(here: Served) -> None:
    address = here.opened(here.signed_in(Role.CLINICIAN), ROW)
    answer = here.signed_in(Role.CLINICIAN).get(f"{address}/sheet")
    assert answer.status_code == 404
    assert HOSPITAL.cohort.patient_ids[ROW] not in answer.text
    assert here.events()[-1] == ("page_refused", "unknown_patient", "clinician")
    client = here.client()
    assert client.get(f"{address}/sheet").headers["location"] == "/sign-in"
    client.cookies.set("oncofed_session", "made up")
    assert client.get(f"{address}/sheet").headers["location"] == "/sign-in"
    assert here.events()[-1] == ("page_refused", "no_session", "")


@pytest.mark.parametrize("asked", ["endpoint=2", "endpoint=x", "since=9", "since=-1"])
def test_what_no_page_offers_is_refused_and_written_down(here: Served, asked: str) -> None:
    client = here.signed_in(Role.CLINICIAN)
    assert client.get(f"{here.opened(client, ROW)}/sheet?{asked}").status_code == 404
    assert here.events()[-1] == ("page_refused", "unknown_page", "clinician")


def test_of_causes_that_compete_no_sheet_begins_later(tmp_path: Path) -> None:
    with served(tmp_path, shown=with_causes(600)) as found:
        client = found.signed_in(Role.CLINICIAN)
        address = found.opened(client)
        assert client.get(f"{address}/sheet?since=1").status_code == 404
        text = Page(client.get(f"{address}/sheet").text).text
    assert "What comes first rules out the rest." in text


def test_each_caution_stands_there_where_it_holds_and_nowhere_else() -> None:
    always = ["When the event comes", "A reason is what"]

    def first_words(shown: object, row: int = ROW) -> list[str]:
        view = patient_view(shown, row, endpoint=0)  # type: ignore[arg-type]
        return [" ".join(each.split()[:4]) for each in cautions(shown, view)]  # type: ignore[arg-type]

    told = first_words(HOSPITAL)
    assert [each[: len(word)] for each, word in zip(told, always, strict=False)] == always
    assert "The model was trained" in told
    assert "The curve is adjusted" in told
    assert "The model was trained" not in first_words(replace(HOSPITAL, noise_in_model=False))
    few = hospital(12)
    assert "The curve is the" in first_words(few, 4)
    assert "Nobody is compared. It" in first_words(few, 4)
    assert "The curve is adjusted" not in first_words(few, 4)


def test_events_of_the_adjustment_are_told_as_coarsely_as_on_the_page(here: Served) -> None:
    client = here.signed_in(Role.CLINICIAN)
    address = here.opened(client, ROW)
    page, sheet = (Page(client.get(each).text).text for each in (address, f"{address}/sheet"))
    (told,) = re.findall(r"adjusted to about ([\d,]+) events of this hospital", sheet)
    assert f"adjusted to about {told} events among" in page
    assert int(told.replace(",", "")) % 10 == 0


def test_what_is_missing_is_that_which_could_move_most() -> None:
    row = next(row for row in range(40) if len(could_move(patient_view(HOSPITAL, row, endpoint=0))) >= 2)
    view = patient_view(HOSPITAL, row, endpoint=0)
    widths = [each.width for each in view.missing if each.moves]
    named = [each.name for each in view.missing if each.moves][:3]
    assert widths == sorted(widths, reverse=True)
    assert [told.rpartition(" (")[0].lower() for told in could_move(view)] == [name.lower() for name in named]
