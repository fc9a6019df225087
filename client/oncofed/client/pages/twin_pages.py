"""On which page does a clinician see a patient's data kind by kind, what measuring more would tell, and of options?

A view of it is an entry of the audit log, as of the patient's own page. What a clinician asks of it, and where it
answers, stands in docs/pages.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response

from oncofed.client.pages.disclosure import EIGHT_IN_TEN
from oncofed.client.pages.marker_figures import reason_bar
from oncofed.client.pages.marker_rows import Reason
from oncofed.client.pages.missing_markers import completeness
from oncofed.client.pages.next_measurement import Unsaid
from oncofed.client.pages.patient_pages import Clinician, endpoint_number, opened_row
from oncofed.client.pages.patient_view import leaves_out_deaths, outlook
from oncofed.client.pages.patient_words import (
    HELD_TOGETHER,
    answer,
    asked_moment,
    completeness_words,
    headline,
    in_years,
    of_a_hundred,
)
from oncofed.client.pages.rendering import page
from oncofed.client.pages.twin_view import Layer, NotSaid, ToMeasure, twin_view
from oncofed.client.pages.viewing_record import TWIN
from oncofed.client.pages.wording import DATIVE, range_words
from oncofed.cohort.schema import Modality
from oncofed.words.language import Language, later
from oncofed.words.markers import endpoint_label
from oncofed.words.names import capital
from oncofed.words.numbers import hazard_ratio, number, whole

router = APIRouter()

_AT_FIRST = 10

_WHY = {
    Unsaid.TOO_FEW: later(
        "Too few other patients of this hospital have it, and the study has released no means and spreads of markers."
    ),
    Unsaid.UNLIKE: later("Those who have it are too unlike this patient in what foretells its result."),
    Unsaid.GOES_WITH: later(
        "Its result goes with more of what is known of this patient than so few patients can tell apart: "
        "its spread over others would say too much."
    ),
    Unsaid.MAY_BE_NOISE: later(
        "What the model makes of it may be noise of its training: its answer might move, and say nothing."
    ),
}


@dataclass(frozen=True)
class LayerRow:
    """One kind of data, in words. usual: how far it moves such patients, as a factor; empty where that is not told."""

    reason: Reason
    usual: str


@dataclass(frozen=True)
class MeasureRow:
    """What could be measured, in words. change, after: of a hundred patients."""

    name: str
    change: str
    after: str
    goes_with: str
    price: str
    days: str


@dataclass(frozen=True)
class Why:
    """words: why nothing is said of these. names: what they are, with how many markers; at first: of a few."""

    words: str
    names: tuple[str, ...]
    markers: str

    @property
    def first(self) -> tuple[str, ...]:
        return self.names[:_AT_FIRST]

    @property
    def others(self) -> tuple[str, ...]:
        return self.names[_AT_FIRST:]


@router.get("/patients/{word}/twin")
def twin(visit: Clinician, word: str, endpoint: str = "0") -> Response:
    """The patient's data kind by kind, and what is missing."""
    hospital, row, say = visit.desk.hospital, opened_row(visit, word), visit.say
    number_ = endpoint_number(visit, endpoint)
    visit.desk.record.patient(visit.by, TWIN, hospital.cohort.patient_ids[row])
    schema, grid, peers = hospital.schema, hospital.grid, hospital.peers(row)
    found, moment = outlook(hospital, row, endpoint=number_), asked_moment(hospital.grid)
    view = twin_view(hospital, row, found, peers, moment=moment, say=say)
    names = [endpoint_label(each, say=say) for each in schema.endpoints]
    told = answer(schema, number_, found.curve, found.competing, say=say)
    known = completeness(hospital, row, peers, endpoint=number_, slope=found.endpoint.slope)
    layers = [_layer(each, say) for each in view.layers]
    content = {
        "word": word,
        "here": "/patients",
        "patient_id": hospital.cohort.patient_ids[row],
        "headline": headline(hospital, row, between=HELD_TOGETHER, say=say),
        "endpoint": found.endpoint,
        "name": names[number_],
        "endpoints": names,
        "sentence": told.sentence,
        "completeness": completeness_words(known, say=say),
        "recalibration": found.endpoint.recalibration,
        "leaves_out_deaths": leaves_out_deaths(schema.endpoints[number_]),
        "layers": [(each, reason_bar(each.reason, [one.reason for one in layers])) for each in layers],
        "whole": found.log_hazard_ratio,
        "usual": peers.words(say),
        "noise_in_model": hospital.noise_in_model,
        "noise_is_told": hospital.weight_noise is not None,
        "without": told.words.without,
        "now": say(of_a_hundred(view.now)),
        "when": in_years(moment, grid.unit, say=say, case=DATIVE),
        "first_measures": [_measure(each, say) for each in view.worth[:_AT_FIRST]],
        "other_measures": [_measure(each, say) for each in view.worth[_AT_FIRST:]],
        "hardly": view.hardly,
        "whys": _whys(view.not_said, say),
        "priced": view.priced,
        "options": hospital.options,
        "treatments": hospital.treatments,
        "floor": hospital.smallest_group,
    }
    return page("twin.html.j2", visit, content)


def _layer(found: Layer, say: Language) -> LayerRow:
    total = found.total
    usual = "" if found.usual is None else hazard_ratio(found.usual, say=say)
    is_treatment = total.kind is Modality.TREATMENT
    label = say("Treatments given") if is_treatment else capital(total.name)
    return LayerRow(Reason(label, total.measured, total.log_hazard_ratio, found.noise, is_treatment, say), usual)


def _measure(found: ToMeasure, say: Language) -> MeasureRow:
    after = range_words(*(say(of_a_hundred(each)) for each in (found.low, found.high)), say=say)
    return MeasureRow(
        _with_markers(found, say),
        whole(math.floor(100 * found.change + 1e-9), say=say),
        after if found.holds == EIGHT_IN_TEN else f"{after} ({say(found.holds)})",
        ", ".join(found.goes_with),
        _price(found.price, say),
        _price(found.days, say),
    )


def _with_markers(found: ToMeasure | NotSaid, say: Language) -> str:
    if found.price is None:
        return capital(found.name)
    many = say.several("%(count)s marker", "%(count)s markers", found.markers)
    return f"{capital(found.name)} ({many})"


def _price(told: float | None, say: Language) -> str:
    return "" if told is None else number(told, say=say)


def _whys(not_said: Sequence[NotSaid], say: Language) -> list[Why]:
    """In the order in which they are looked at."""
    found = []
    for why in Unsaid:
        these = [each for each in not_said if each.why is why]
        if these:
            markers = sum(each.markers for each in these)
            many = say.several("%(count)s marker", "%(count)s markers", markers)
            found.append(Why(say(_WHY[why]), tuple(_with_markers(each, say) for each in these), many))
    return found
