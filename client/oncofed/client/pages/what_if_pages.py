"""On which page does a clinician ask what the model would say of a patient if some values were others?

Values are typed into a form and sent in its body: no address, log or history of a browser holds one. Nothing is kept:
the next form brings all of them again. That somebody asked about a patient is an entry of the audit log, like a view.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from oncofed.client.pages.desk import Form, Visit, refusal
from oncofed.client.pages.figures import what_if_figure
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.patient_pages import Clinician, ClinicianForm, endpoint_number, opened_row
from oncofed.client.pages.patient_times import share_range
from oncofed.client.pages.patient_view import Outlook, leaves_out_deaths
from oncofed.client.pages.patient_words import answer, told_times
from oncofed.client.pages.rendering import page
from oncofed.client.pages.viewing_record import FORM, WHAT_IF
from oncofed.client.pages.what_if import (
    MOST_VALUES,
    Refused,
    WhatIf,
    changeable,
    found_by_name,
    is_never_changed,
    levels,
    plausible,
    read,
    what_if,
)
from oncofed.client.pages.wording import time, with_unit
from oncofed.cohort.schema import Marker
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import endpoint_label, marker_label, shown_unit
from oncofed.words.names import capital, modality_name
from oncofed.words.numbers import percent
from oncofed.words.time_shapes import when_words

router = APIRouter()

_VALUE = "value_"
_OWN_FIELDS = frozenset({"form_secret", "endpoint", "another"})
_UNKNOWN = later("No marker that may be changed is called so. Choose one of the list.")


@dataclass(frozen=True)
class Field:
    """One marker of the form. options: what may be chosen, with how it is sent. typed: what was; fault: what of it is
    wrong.
    """

    name: str
    label: str
    recorded: str
    unit: str
    plausible: str
    options: tuple[tuple[str, str], ...]
    typed: str
    fault: str


@router.get("/patients/{word}/what-if")
def ask(visit: Clinician, word: str, endpoint: str = "0", marker: str = "") -> Response:
    """The form, with the marker of this name if it may be changed."""
    number, row = endpoint_number(visit, endpoint), opened_row(visit, word)
    schema = visit.desk.hospital.schema
    places = [place for place in changeable(schema) if schema.markers[place].name == marker]
    return _page(visit, word, row, number, dict.fromkeys(places, ""))


@router.post("/patients/{word}/what-if")
def answered(form: ClinicianForm, word: str) -> Response:
    """The form again, with the answer if everything in it can be read."""
    number, row = endpoint_number(form.visit, form.text("endpoint")), opened_row(form.visit, word)
    return _page(form.visit, word, row, number, _typed(form), another=form.text("another"))


def _typed(form: Form) -> dict[int, str]:
    """By the marker's place. Raises PageRefused for what no form of these pages sends."""
    schema = form.desk.hospital.schema
    may_change, found = set(changeable(schema)), {}
    for name, typed in form.fields.items():
        if name in _OWN_FIELDS:
            continue
        number = name.removeprefix(_VALUE)
        place = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else -1
        sent = {each for _, each in _options(schema.markers[place])} if place in may_change else set()
        if name != f"{_VALUE}{place}" or place not in may_change or (sent and typed not in {"", *sent}):
            said = later("This form asks for something that may not be changed here.")
            raise refusal(form.visit, FORM, 403, said)
        found[place] = typed
    if len(found) > MOST_VALUES:
        said = later("This form asks for more values than may be changed at once.")
        raise refusal(form.visit, FORM, 403, said)
    return found


def _options(marker: Marker, say: Language = ENGLISH) -> tuple[tuple[str, str], ...]:
    return tuple((said, f"{value:g}") for said, value in levels(marker, say=say))


def _page(visit: Visit, word: str, row: int, endpoint: int, typed: dict[int, str], *, another: str = "") -> Response:
    """typed: by the marker's place. another: the name of a marker that is to stand in the form, too."""
    hospital, say = visit.desk.hospital, visit.say
    visit.desk.record.patient(visit.by, WHAT_IF, hospital.cohort.patient_ids[row])
    typed, not_added = _with_another(hospital, typed, another, say)
    asked: dict[int, float] = {}
    fields = []
    for place, text in typed.items():
        value = read(hospital.schema.markers[place], text, say=say) if text.strip() else None
        fault = say(value.why) if isinstance(value, Refused) else ""
        if isinstance(value, float) and value != hospital.cohort.values[row, place]:
            asked[place] = value
        fields.append(_field(hospital, row, place, text, fault, say))
    faulty = bool(not_added) or any(each.fault for each in fields)
    found = what_if(hospital, row, {} if faulty else asked, endpoint=endpoint, say=say)
    names = [endpoint_label(each, say=say) for each in hospital.schema.endpoints]
    content = {
        "word": word,
        "here": "/patients",
        "patient_id": hospital.cohort.patient_ids[row],
        "endpoint": found.recorded.endpoint,
        "name": names[endpoint],
        "endpoints": names,
        "fields": fields,
        "may_change": [_listed(hospital, place, say) for place in changeable(hospital.schema) if place not in typed],
        "full": len(typed) >= MOST_VALUES,
        "another": another if not_added else "",
        "not_added": not_added,
        "faulty": faulty,
        "adjusted": found.recorded.endpoint.recalibration is not None,
        "when_words": when_words(hospital.network.spec, say=say),
        "leaves_out_deaths": leaves_out_deaths(hospital.schema.endpoints[endpoint]),
        "recorded": answer(hospital.schema, endpoint, found.recorded.curve, found.recorded.competing, say=say),
        "found": found if found.changes else None,
        "instead": answer(hospital.schema, endpoint, found.instead.curve, found.instead.competing, say=say),
        "times": _at_times(hospital, found, say),
        "figure": what_if_figure(found, hospital.schema, say=say),
    }
    return page("what_if.html.j2", visit, content, status=400 if faulty else 200)


def _with_another(
    hospital: HospitalPrognosis, typed: dict[int, str], another: str, say: Language
) -> tuple[dict[int, str], str]:
    """With the markers of this name; and why there are none, in words."""
    if not another.strip():
        return typed, ""
    schema = hospital.schema
    named = found_by_name(schema, another, say=say)
    if not named:
        return typed, say(_UNKNOWN)
    why = say(next((why for place in named if (why := is_never_changed(schema, schema.markers[place]))), ""))
    more = typed | {place: "" for place in named if place not in typed}
    if not why and len(more) > MOST_VALUES:
        why = say("At most %(most)s values are changed at once.", most=MOST_VALUES)
    return (typed, why) if why else (more, "")


def _field(hospital: HospitalPrognosis, row: int, place: int, typed: str, fault: str, say: Language) -> Field:
    marker = hospital.schema.markers[place]
    return Field(
        name=f"{_VALUE}{place}",
        label=capital(marker_label(marker, say=say)),
        recorded=with_unit(marker, float(hospital.cohort.values[row, place]), say=say),
        unit=shown_unit(marker, say=say),
        plausible=plausible(marker, say=say),
        options=_options(marker, say),
        typed=typed,
        fault=fault,
    )


def _listed(hospital: HospitalPrognosis, place: int, say: Language) -> tuple[str, str]:
    marker = hospital.schema.markers[place]
    return capital(marker_label(marker, say=say)), modality_name(marker.modality, say=say)


def _at_times(hospital: HospitalPrognosis, found: WhatIf, say: Language) -> list[tuple[str, list[str]]]:
    """Time; then of the recorded values and of the others the share and its limits, at public times."""
    rows = []
    for bound in told_times(hospital.grid):
        told = [each for one in (found.recorded, found.instead) for each in _told(one, bound, say)]
        rows.append((time(bound, hospital.grid.unit, say=say), told))
    return rows


def _told(found: Outlook, moment: float, say: Language) -> list[str]:
    """The share, and its share_range where the curve is adjusted; of what competes, who have had it by then."""
    curve, place = found.curve, int(abs(found.curve.times - moment).argmin())
    band = curve.adjusted
    if found.competing is None:
        share, ends = curve.survival[place], None if band is None else (band.low[place], band.high[place])
    else:
        share, ends = 1 - curve.survival[place], None if band is None else (1 - band.high[place], 1 - band.low[place])
    own = percent(float(share), say=say)
    return [own] if ends is None else [own, share_range(*ends, say=say)]
