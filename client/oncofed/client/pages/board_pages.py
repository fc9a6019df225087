"""With which pages does a clinician put patients on a list for the tumour board, and print it?

One line a patient: what the patient's page says first, and nothing that it does not say. The order is the one that the
clinician gives it: patients are not ranked, by risk or by anything else. Whoever is on the list is seen, so each view
is an entry of the audit log for each of them; so is each change, before it is made.

Refused: an act that is none, a patient who was not opened in this session.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from oncofed.client.pages.account_pages import NO_SUCH_PAGE
from oncofed.client.pages.board_lists import MOST, Change
from oncofed.client.pages.desk import Form, Visit, refusal
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.missing_markers import Completeness
from oncofed.client.pages.patient_pages import Clinician, ClinicianForm, endpoint_number, opened_row
from oncofed.client.pages.patient_view import outlook, status_of
from oncofed.client.pages.patient_words import (
    HELD_TOGETHER,
    answer,
    completeness_words,
    course_words,
    decided_on,
    headline,
)
from oncofed.client.pages.rendering import page
from oncofed.client.pages.viewing_record import (
    BOARD,
    BOARD_ADDED,
    BOARD_CLEARED,
    BOARD_MOVED,
    BOARD_REMOVED,
    NOT_FOUND,
    SEARCH,
    UNKNOWN_PAGE,
)
from oncofed.words.language import Language
from oncofed.words.markers import endpoint_label

router = APIRouter()

_SEE_OTHER = 303
_EVENTS = {
    Change.ADD: BOARD_ADDED,
    Change.REMOVE: BOARD_REMOVED,
    Change.UP: BOARD_MOVED,
    Change.DOWN: BOARD_MOVED,
    Change.CLEAR: BOARD_CLEARED,
}


@dataclass(frozen=True)
class BoardLine:
    """One patient, in words of the patient's page. word: of the session."""

    word: str
    patient_id: str
    headline: str
    sentence: str
    status: str
    is_over: bool
    known: str
    little: bool


@router.get("/board")
def board_page(visit: Clinician, endpoint: str = "0") -> Response:
    """The list, and who may be put on it."""
    return _board(visit, "", endpoint=endpoint, status=200)


def _board(visit: Visit, said: str, *, endpoint: str = "0", status: int, part: str = "") -> Response:
    """part: of the identifiers of those who were opened in this session."""
    hospital, session, say = visit.desk.hospital, visit.session, visit.say
    number, ids = endpoint_number(visit, endpoint), hospital.cohort.patient_ids
    rows, gone = _rows(visit)
    for row in rows:
        visit.desk.record.patient(visit.by, BOARD, ids[row])
    if not rows:
        visit.desk.record.viewed(visit.by, BOARD)
    opened = [(word, ids[row]) for word, row in session.last_opened() if row not in rows]
    words = session.words_for(rows)
    content = {
        "here": "/board",
        "said": said,
        "part": part,
        "lines": [board_line(hospital, row, word, number, say) for row, word in zip(rows, words, strict=True)],
        "gone": gone,
        "opened": [(word, name) for word, name in opened if part.casefold() in name.casefold()],
        "any_opened": bool(opened),
        "endpoint": number,
        "endpoints": [endpoint_label(each, say=say) for each in hospital.schema.endpoints],
        "read_on": say.date(visit.desk.read_on),
        "decided_on": decided_on(hospital, say) if hospital.endpoint(number).recalibration is not None else "",
        "adjusted": hospital.endpoint(number).recalibration is not None,
        "most": MOST,
    }
    return page("board.html.j2", visit, content, status=status)


def _rows(visit: Visit) -> tuple[list[int], int]:
    """Of the list, in its order; and how many on it are not in the table any more."""
    codes = visit.desk.board.of(visit.by)
    if not codes:
        return [], 0
    wanted = set(codes)
    code_of, ids = visit.desk.record.code_of, visit.desk.hospital.cohort.patient_ids
    found = {code: row for row, patient_id in enumerate(ids) if (code := code_of(patient_id)) in wanted}
    return [found[code] for code in codes if code in found], len(wanted - found.keys())


def board_line(hospital: HospitalPrognosis, row: int, word: str, endpoint: int, say: Language) -> BoardLine:
    """endpoint: its number."""
    schema, found = hospital.schema, outlook(hospital, row, endpoint=endpoint)
    told = answer(schema, endpoint, found.curve, found.competing, say=say)
    status = status_of(hospital, row, endpoint)
    values = hospital.cohort.values[row]
    known = Completeness(int((~np.isnan(values)).sum()), len(values), None, 0)
    return BoardLine(
        word=word,
        patient_id=hospital.cohort.patient_ids[row],
        headline=headline(hospital, row, between=HELD_TOGETHER, say=say),
        sentence=told.sentence,
        status=course_words(schema, endpoint, status, told.words, say=say),
        is_over=status.is_over,
        known=completeness_words(known, say=say),
        little=known.little,
    )


@router.post("/board/filter")
def filtered(form: ClinicianForm) -> Response:
    """Of the patients who were opened in this session, those whose identifier has a part."""
    return _board(form.visit, "", status=200, part=form.text("part").strip())


@router.post("/board/find")
def find(form: ClinicianForm) -> Response:
    """Put a patient on the list by the identifier."""
    visit, hospital = form.visit, form.desk.hospital
    row = hospital.row_of(form.text("patient_id").strip())
    if row is None:
        form.desk.record.viewed(form.by, SEARCH, NOT_FOUND)
        said = visit.say("No patient of this hospital's table has this identifier.")
        return _board(visit, said, status=404)
    form.desk.record.patient(form.by, SEARCH, hospital.cohort.patient_ids[row])
    visit.session.word_for(row)
    return _make(form, Change.ADD, row)


@router.post("/board/{act}")
def change(form: ClinicianForm, act: str) -> Response:
    """Add or remove a patient of this session, move one up or down, or clear the list."""
    visit = form.visit
    if act not in list(Change):
        raise refusal(visit, UNKNOWN_PAGE, 404, NO_SUCH_PAGE)
    wanted = Change(act)
    row = None if wanted is Change.CLEAR else opened_row(visit, form.text("word"))
    return _make(form, wanted, row)


def _make(form: Form, wanted: Change, row: int | None) -> Response:
    """row: whom it is about; None to clear. Back to the endpoint that was shown."""
    visit, record = form.visit, form.desk.record
    endpoint = endpoint_number(visit, form.text("endpoint") or "0")
    patient_id = "" if row is None else visit.desk.hospital.cohort.patient_ids[row]

    def told() -> None:
        if row is None:
            record.viewed(visit.by, _EVENTS[wanted])
        else:
            record.patient(visit.by, _EVENTS[wanted], patient_id)

    code = "" if row is None else record.code_of(patient_id)
    if not visit.desk.board.change(visit.by, wanted, code, told=told):
        said = visit.say("The list is full: %(most)s patients at most. Remove some first.", most=MOST)
        return _board(visit, said, status=409)
    return RedirectResponse(f"/board?endpoint={endpoint}", _SEE_OTHER)
