"""Which pages does a clinician use to find and read one patient?

An identifier is only ever sent in a form's body. The address of a patient's page holds a random word of the session,
which means nothing in any other session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.desk import Form, FormOf, Visit, refusal, visit_of
from oncofed.client.pages.figures import incidence_figure, survival_figure
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.marker_figures import reason_bar, waterfall_figure
from oncofed.client.pages.marker_rows import MarkerRow
from oncofed.client.pages.marker_search import LONGEST_NAME, Filter, found_markers, kinds
from oncofed.client.pages.patient_times import (
    at_times,
    beside_at_times,
    first_at_times,
    incidence_at_times,
    median_limits,
)
from oncofed.client.pages.patient_view import PatientView, patient_view
from oncofed.client.pages.patient_words import (
    HELD_TOGETHER,
    answer,
    completeness_words,
    decided_on,
    headline,
    in_years,
    known_course,
    starts,
    starts_of,
    told_times,
)
from oncofed.client.pages.recalibration import Fitted
from oncofed.client.pages.rendering import page
from oncofed.client.pages.usual_patient import against_usual
from oncofed.client.pages.viewing_record import NOT_FOUND, PATIENT, SEARCH, UNKNOWN_PAGE, UNKNOWN_PATIENT
from oncofed.client.pages.wording import DATIVE, time
from oncofed.survival.curves import NOT_REACHED
from oncofed.words.language import Language, later
from oncofed.words.markers import endpoint_label
from oncofed.words.time_shapes import when_words

router = APIRouter()

_SEE_OTHER = 303
_ROWS_AT_FIRST = 15
_MISSING_AT_FIRST = 10
_RECENT = 8

Clinician = Annotated[Visit, Depends(visit_of(Role.CLINICIAN))]
ClinicianForm = Annotated[Form, Depends(FormOf(Role.CLINICIAN))]


@router.get("/patients")
def search_page(visit: Clinician) -> Response:
    """The form in which an identifier is typed, and who was opened in this session."""
    return _search(visit, "", status=200)


def _search(visit: Visit, said: str, *, status: int, part: str = "") -> Response:
    """part: of the identifiers that are listed."""
    ids = visit.desk.hospital.cohort.patient_ids
    opened = [(word, ids[row]) for word, row in visit.session.last_opened()]
    listed = [(word, name) for word, name in opened if part.casefold() in name.casefold()]
    hospital = visit.desk.hospital
    content = {
        "recent": listed if part else listed[:_RECENT],
        "opened": len(opened),
        "more": len(opened) > _RECENT,
        "part": part,
        "said": said,
        "patients": hospital.at_least(hospital.everybody),
        "here": "/patients",
    }
    return page("search.html.j2", visit, content, status=status)


@router.post("/patients/opened")
def opened(form: ClinicianForm) -> Response:
    """Of the patients who were opened in this session, those whose identifier has a part."""
    return _search(form.visit, "", status=200, part=form.text("part").strip())


@router.post("/patients/find")
def find(form: ClinicianForm) -> Response:
    """Lead to a patient's page."""
    desk, patient_id = form.desk, form.text("patient_id").strip()
    row = desk.hospital.row_of(patient_id)
    if row is None:
        desk.record.viewed(form.by, SEARCH, NOT_FOUND)
        return _search(
            form.visit, form.visit.say("No patient of this hospital's table has this identifier."), status=404
        )
    desk.record.patient(form.by, SEARCH, desk.hospital.cohort.patient_ids[row])
    return RedirectResponse(f"/patients/{form.visit.session.word_for(row)}", _SEE_OTHER)


@router.get("/patients/{word}")
def patient(
    visit: Clinician, word: str, endpoint: str = "0", since: str = "0", kind: str = "", named: str = ""
) -> Response:
    """One patient's prognosis. since: the place among `starts_of` of the time that was lived through already.

    kind, named  of the markers that are shown: a modality and a part of their name.
    """
    hospital, row = visit.desk.hospital, opened_row(visit, word)
    asked, say = _filter(visit, kind, named), visit.say
    view = viewed(visit, row, PATIENT, endpoint=endpoint, since=since)
    values = hospital.cohort.values[row]
    found = found_markers(hospital.schema, asked, view.markers, values, say=say) if asked else None
    shown = {"since": since, "asked": asked, "found": found, "all_kinds": kinds(hospital.schema, say=say)}
    return page("patient.html.j2", visit, content_of(hospital, view, row, word, say) | shown)


def viewed(visit: Visit, row: int, event: str, *, endpoint: str, since: str) -> PatientView:
    """Of a patient, in an entry of the log first. event: what it says. Raises PageRefused."""
    hospital = visit.desk.hospital
    number, begin = endpoint_number(visit, endpoint), _start(visit, since)
    visit.desk.record.patient(visit.by, event, hospital.cohort.patient_ids[row])
    view = patient_view(hospital, row, endpoint=number, since=begin, say=visit.say)
    if begin and view.may_come_first:
        said = later("Of this endpoint no curve begins later: what else may come first is counted apart.")
        raise refusal(visit, UNKNOWN_PAGE, 404, said)
    return view


def opened_row(visit: Visit, word: str) -> int:
    """The row of a patient who was opened in this session. Raises PageRefused."""
    row = visit.session.row_of(word)
    if row is None:
        said = later("This address belongs to no patient that you opened in this session. Search for the patient.")
        raise refusal(visit, UNKNOWN_PATIENT, 404, said)
    return row


def _start(visit: Visit, text: str) -> float:
    """Raises PageRefused for a time that no page offers."""
    times = starts_of(visit.desk.hospital.grid)
    if not (text.isascii() and text.isdigit() and len(text) < 3 and int(text) < len(times)):
        raise refusal(visit, UNKNOWN_PAGE, 404, later("No curve begins at this time."))
    return times[int(text)]


def _filter(visit: Visit, kind: str, named: str) -> Filter:
    """Raises PageRefused for a kind of data that the study does not have."""
    chosen = next((each for each, _ in kinds(visit.desk.hospital.schema) if each.value == kind), None)
    if kind and chosen is None:
        raise refusal(visit, UNKNOWN_PAGE, 404, later("The study has no such kind of data."))
    return Filter(chosen, " ".join(named[:LONGEST_NAME].split()))


def endpoint_number(visit: Visit, text: str) -> int:
    """An endpoint of the study. Raises PageRefused."""
    names = visit.desk.hospital.endpoint_names
    if not (text.isascii() and text.isdigit() and len(text) < 3 and int(text) < len(names)):
        raise refusal(visit, UNKNOWN_PAGE, 404, later("The study has no such endpoint."))
    return int(text)


def content_of(hospital: HospitalPrognosis, view: PatientView, row: int, word: str, say: Language) -> dict[str, object]:
    grid, curve, recalibration = hospital.grid, view.curve, view.endpoint.recalibration
    schema = hospital.schema
    told = answer(schema, view.endpoint.number, curve, view.competing, say=say)
    names = [endpoint_label(each, say=say) for each in schema.endpoints]
    words, first = told.words, told.first
    missing = [each for each in view.missing if each.moves]
    biology = [each for each in view.markers if not each.is_treatment]
    return {
        "view": view,
        "sheet": False,
        "word": word,
        "here": "/patients",
        "name": names[view.endpoint.number],
        "headline": headline(hospital, row, between=HELD_TOGETHER, say=say),
        "words": words,
        "sentence": told.sentence,
        "scenarios": told.scenarios,
        "first": None if first is None else first_at_times(hospital, view, say),
        "others": [] if view.competing is None else [names[each] for each in view.competing.causes[1:]],
        "status": known_course(schema, view, words, say=say),
        "started": next((place for place, each in enumerate(starts(view, grid)) if each == curve.since), 0),
        "since_words": in_years(curve.since, grid.unit, say=say, case=DATIVE),
        "starts": [
            (place, in_years(each, grid.unit, say=say, case=DATIVE)) for place, each in enumerate(starts(view, grid))
        ],
        "completeness": completeness_words(view.complete, say=say),
        "reasons": [(each, reason_bar(each, view.reasons)) for each in view.reasons],
        "endpoints": names,
        "unit": grid.unit,
        "floor": hospital.smallest_group,
        "crowd": hospital.disclosure.crowd,
        "peers": hospital.at_least(view.peers),
        "usual": view.peers.words(say),
        "noise_in_model": hospital.noise_in_model,
        "noise_is_told": hospital.weight_noise is not None,
        "survival": survival_figure(view, schema, say=say)
        if first is None
        else incidence_figure(view, schema, say=say),
        "waterfall": waterfall_figure(view, say=say),
        "first_markers": biology[:_ROWS_AT_FIRST],
        "kinds": _by_kind(biology[_ROWS_AT_FIRST:]),
        "treatment_rows": [each for each in view.markers if each.is_treatment],
        "first_missing": missing[:_MISSING_AT_FIRST],
        "other_missing": missing[_MISSING_AT_FIRST:],
        "hardly": sum(each.markers for each in view.missing if each.change is not None and not each.moves),
        "not_known": sum(each.markers for each in view.missing if each.change is None),
        "interval": median_limits(view, grid.unit, say),
        "times": at_times(hospital, view, say),
        "incidence": incidence_at_times(hospital, view, say),
        "against_usual": against_usual(hospital, row, view.peers, endpoint=view.endpoint.number, say=say),
        "beside": beside_at_times(hospital, view, row, say),
        "beside_times": [time(each, grid.unit, say=say) for each in told_times(grid)],
        "entity_is_rare": hospital.schema.tumour_entity is not None and not view.peers.same_tumour,
        "not_reached": curve.median == NOT_REACHED,
        "last_bound": time(grid.bounds[-1], grid.unit, say=say, case=DATIVE),
        "recalibration": recalibration,
        "decided": hospital.decided,
        "decided_on": decided_on(hospital, say),
        "when_words": when_words(hospital.network.spec, say=say),
        "fitted": None if recalibration is None else Fitted.of(recalibration, hospital.disclosure),
        "similar_median": None if view.similar is None else view.similar.outcome.median_words(grid.unit, say=say),
    }


def _by_kind(rows: Sequence[MarkerRow]) -> list[tuple[str, list[MarkerRow]]]:
    """Each kind of data with its markers, strongest first; kinds in the order of their strongest."""
    found: dict[str, list[MarkerRow]] = {}
    for row in rows:
        found.setdefault(row.modality, []).append(row)
    return list(found.items())
