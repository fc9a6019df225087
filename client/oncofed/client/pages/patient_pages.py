"""Which pages does a clinician use to find and read one patient?

An identifier is only ever sent in a form's body. The address of a patient's page holds a random word of the session,
which means nothing in any other session.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.beside import beside
from oncofed.client.pages.cause_words import cause_words, told_shares
from oncofed.client.pages.desk import Form, FormOf, Visit, refusal, visit_of
from oncofed.client.pages.figures import incidence_figure, survival_figure
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.marker_figures import reason_bar, waterfall_figure
from oncofed.client.pages.marker_rows import MarkerRow
from oncofed.client.pages.marker_search import LONGEST_NAME, Filter, found_markers, kinds
from oncofed.client.pages.patient_view import PatientView, patient_view
from oncofed.client.pages.patient_words import (
    answer,
    completeness_words,
    headline,
    in_years,
    starts,
    starts_of,
    status_words,
    told_times,
)
from oncofed.client.pages.recalibration import Fitted
from oncofed.client.pages.rendering import page
from oncofed.client.pages.usual_patient import against_usual
from oncofed.client.pages.viewing_record import NOT_FOUND, PATIENT, SEARCH, UNKNOWN_PAGE, UNKNOWN_PATIENT
from oncofed.client.pages.wording import DATIVE, range_words, time
from oncofed.survival.curves import NOT_REACHED
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import endpoint_label
from oncofed.words.numbers import percent
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
    opened = [(word, ids[row]) for word, row in reversed(visit.session.opened.items())]
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
    number, begin, asked = endpoint_number(visit, endpoint), _start(visit, since), _filter(visit, kind, named)
    visit.desk.record.patient(visit.by, PATIENT, hospital.cohort.patient_ids[row])
    say = visit.say
    view = patient_view(hospital, row, endpoint=number, since=begin, say=say)
    if begin and view.may_come_first:
        said = later("Of this endpoint no curve begins later: what else may come first is counted apart.")
        raise refusal(visit, UNKNOWN_PAGE, 404, said)
    values = hospital.cohort.values[row]
    found = found_markers(hospital.schema, asked, view.markers, values, say=say) if asked else None
    shown = {"since": since, "asked": asked, "found": found, "all_kinds": kinds(hospital.schema, say=say)}
    return page("patient.html.j2", visit, _content(hospital, view, row, word, say) | shown)


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


def _content(hospital: HospitalPrognosis, view: PatientView, row: int, word: str, say: Language) -> dict[str, object]:
    grid, curve, recalibration = hospital.grid, view.curve, view.endpoint.recalibration
    schema = hospital.schema
    told = answer(schema, view.endpoint.number, curve, view.competing, say=say)
    names = [endpoint_label(each, say=say) for each in schema.endpoints]
    words, first = told.words, told.first
    instead = view.status.instead
    missing = [each for each in view.missing if each.moves]
    biology = [each for each in view.markers if not each.is_treatment]
    return {
        "view": view,
        "word": word,
        "here": "/patients",
        "name": names[view.endpoint.number],
        "headline": headline(hospital, row, say=say),
        "words": words,
        "sentence": told.sentence,
        "scenarios": told.scenarios,
        "first": None if first is None else _first_at_times(hospital, view, say),
        "others": [] if view.competing is None else [names[each] for each in view.competing.causes[1:]],
        "status": status_words(
            view.status,
            words,
            grid,
            instead="" if instead is None else cause_words(schema.endpoints[instead], say=say).came,
            say=say,
        ),
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
        "interval": _interval(view, grid.unit, say),
        "times": _at_times(hospital, view, say),
        "incidence": _incidence_at_times(hospital, view, say),
        "against_usual": against_usual(hospital, row, view.peers, endpoint=view.endpoint.number, say=say),
        "beside": _beside_at_times(hospital, view, row, say),
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


def decided_on(hospital: HospitalPrognosis, say: Language) -> str:
    """The day; empty where nobody has decided."""
    on = "" if hospital.decided is None else hospital.decided.on
    return say.date(date.fromisoformat(on)) if on else ""


def _interval(view: PatientView, unit: str, say: Language = ENGLISH) -> str:
    adjusted = view.curve.adjusted
    if adjusted is None:
        return ""
    low, high = (time(each, unit, say=say) for each in (adjusted.median_low, adjusted.median_high))
    if NOT_REACHED in (adjusted.median_low, adjusted.median_high):
        return high if low == high else say("from %(low)s, upper end not reached", low=low)
    return range_words(low, high, say=say)


def _at_times(hospital: HospitalPrognosis, view: PatientView, say: Language) -> list[tuple[str, str, str, str]]:
    """Time; survival of such patients; its limits; what was observed of similar ones. At bounds of the public grid."""
    curve, found = view.curve, []
    for bound in [each for each in told_times(hospital.grid) if each > view.curve.since]:
        place = int(abs(curve.times - bound).argmin())
        band = curve.adjusted
        limits = "" if band is None else share_range(band.low[place], band.high[place], say=say)
        share = None if view.similar is None else view.similar.outcome.at(bound)
        observed = say("not known") if share is None else percent(share, say=say)
        own = percent(float(curve.survival[place]), say=say)
        found.append((time(bound, hospital.grid.unit, say=say), own, limits, observed))
    return found


def _incidence_at_times(hospital: HospitalPrognosis, view: PatientView, say: Language) -> list[tuple[str, str, str]]:
    """Time; who had the event by then; who died before. Empty where that is not known, or the curve says it all."""
    found = view.incidence
    if found is None or found.event is None or found.died_before is None:
        return []
    rows = []
    for bound in [each for each in told_times(hospital.grid) if each > view.curve.since]:
        place = int(abs(view.curve.times - bound).argmin())
        event, died = (percent(float(each[place]), say=say) for each in (found.event, found.died_before))
        rows.append((time(bound, hospital.grid.unit, say=say), event, died))
    return rows


def _beside_at_times(
    hospital: HospitalPrognosis, view: PatientView, row: int, say: Language
) -> list[tuple[str, str, list[str]]]:
    """Name; what it sees; at bounds of the public grid who are without the event, or of what competes have had it."""
    times = told_times(hospital.grid)
    rows = []
    for each in beside(hospital, row, endpoint=view.endpoint.number, times=times, say=say):
        if each.had is None:
            told = [say("not recorded")] * len(times)
        else:
            told = [percent(float(share), say=say) for share in (each.had if view.competing else 1 - each.had)]
        rows.append((each.name, each.sees, told))
    return rows


def _first_at_times(
    hospital: HospitalPrognosis, view: PatientView, say: Language
) -> list[tuple[str, str, str, list[str], str, str]]:
    """Time; who have had the event by then; its limits; each that competes; none; observed of similar patients."""
    found, rows = view.competing, []
    assert found is not None
    for bound in told_times(hospital.grid):
        own, *others, spared = told_shares(found, bound, say=say)
        place = int(abs(found.times - bound).argmin())
        ends = None if found.low is None or found.high is None else (found.low[place], found.high[place])
        limits = "" if ends is None else share_range(*ends, say=say)
        share = None if view.similar is None else view.similar.outcome.at(bound)
        seen = say("not known") if share is None else percent(1 - share, say=say)
        rows.append((time(bound, hospital.grid.unit, say=say), own, limits, others, spared, seen))
    return rows


def share_range(low: float, high: float, *, say: Language = ENGLISH) -> str:
    """Of a share, as it is written beside it."""
    said = (percent(float(low), say=say), percent(float(high), say=say))
    return said[0] if said[0] == said[1] else range_words(*said, say=say)
