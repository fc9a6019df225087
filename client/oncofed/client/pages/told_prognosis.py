"""What does a patient's page say, as values that a program reads?

Every text is one of the page in English, rounded as there, and nothing stands here that does not stand on the page: not
a digit more of the patient's risk, and of other patients only what `disclosure` lets the page tell. Times count from
time zero; a curve that begins later is for eyes alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.marker_rows import MarkerRow
from oncofed.client.pages.patient_times import at_times, first_at_times, incidence_at_times, median_limits
from oncofed.client.pages.patient_view import PatientView, patient_view
from oncofed.client.pages.patient_words import (
    EventWords,
    answer,
    completeness_words,
    decided_on,
    headline,
    known_course,
    told_times,
)
from oncofed.client.pages.wording import time
from oncofed.words.language import ENGLISH
from oncofed.words.markers import endpoint_label
from oncofed.words.names import capital
from oncofed.words.numbers import hazard_ratio

FORMAT = "oncofed-prognosis-1"
NO_DEVICE = (
    "Research software. It is not a medical device. This is what a model says of patients like this one; it is no "
    "decision, and nothing in it is a recommendation for any treatment."
)
INVENTED = "The patients are invented."
NO_EFFECT_OF_TREATMENT = "Treatments say who is given them, not what they do."
_PERCENT = re.compile(r"(below |above )?([0-9]+)\N{NO-BREAK SPACE}%")


@dataclass(frozen=True)
class ToldModel:
    """plan_hash: of the plan by which it was trained, and its identity. basis: of curve and hazard ratios."""

    study: str
    plan_hash: str
    software: str
    basis: str


@dataclass(frozen=True)
class ToldTime:
    """Shares of such patients by one time, in words of the page; empty where the page has none.

    after       from time zero. time: the same as a number.
    without     who are without the event, or of endpoints that compete without any.
    event       who have had it, where the page tells that: whatever else may come first is counted.
    died_first  who died before they could have it.
    others      of each endpoint that competes.
    band        95 %, of `without`; of `event` where endpoints compete.
    observed    of similar patients here: what `band` is of.
    """

    after: str
    time: float
    without: str
    event: str = ""
    died_first: str = ""
    others: tuple[tuple[str, str], ...] = ()
    band: str = ""
    observed: str = ""

    @property
    def had(self) -> tuple[int, int]:
        """The share who have had the event, in whole per cent: between which two."""
        if self.event:
            return bounds_of(self.event)
        low, high = bounds_of(self.without)
        return 100 - high, 100 - low


@dataclass(frozen=True)
class ToldMarker:
    """A line of the table of markers. hazard_ratio: what it contributes, against the reference patient's value."""

    name: str
    kind: str
    value: str
    unit: str
    reference_range: str
    outside: str
    reference_patient: str
    usual: str
    unusual: str
    hazard_ratio: str
    noise: str
    noise_alone: str
    is_treatment: bool
    measured: bool


@dataclass(frozen=True)
class ToldKind:
    """A kind of data. measured: such as "18 of 20"."""

    kind: str
    measured: str
    hazard_ratio: str


@dataclass(frozen=True)
class ToldMissing:
    """What is not measured, and by what the hazard could be multiplied. of: "eight in ten" of the answers, or half."""

    name: str
    low: str
    high: str
    of: str


@dataclass(frozen=True)
class ToldPrognosis:
    """One endpoint of one patient. in_words: what comes first on the page. unit: of times.

    recorded       what is known of the event by now, which the prognosis leaves out: a dead patient has one, too.
    first_markers  how many of `markers` the page lists before it unfolds.
    """

    format: str
    warning: str
    invented_patients: bool
    made_at: str
    made_by: str
    hospital: str
    model: ToldModel
    patient: str
    headline: str
    endpoint: str
    event: str
    recorded: str
    in_words: tuple[str, ...]
    unit: str
    times: tuple[ToldTime, ...]
    no_death_first: bool
    median: str
    median_band: str
    hazard_ratio: str
    risk_percentile: str
    risk_percentile_among: str
    markers: tuple[ToldMarker, ...]
    kinds: tuple[ToldKind, ...]
    missing: tuple[ToldMissing, ...]
    similar_patients: str
    notes: tuple[str, ...]


def told_prognosis(hospital: HospitalPrognosis, row: int, *, endpoint: int, at: datetime, by: str) -> ToldPrognosis:
    """at, by: when, and by whose account. Raises IndexError for an endpoint that does not exist."""
    view = patient_view(hospital, row, endpoint=endpoint)
    schema, grid = hospital.schema, hospital.grid
    told = answer(schema, endpoint, view.curve, view.competing)
    return ToldPrognosis(
        format=FORMAT,
        warning=f"{NO_DEVICE} {INVENTED}" if hospital.example else NO_DEVICE,
        invented_patients=hospital.example,
        made_at=at.isoformat(timespec="seconds"),
        made_by=by,
        hospital=hospital.site,
        model=ToldModel(hospital.study, hospital.plan_hash, f"oncofed {version('oncofed')}", _basis(hospital, view)),
        patient=view.patient_id,
        headline=headline(hospital, row),
        endpoint=endpoint_label(schema.endpoints[endpoint]),
        event=told.words.had,
        recorded=_recorded(hospital, view, told.words),
        in_words=(told.sentence, told.scenarios, _completeness(view)),
        unit=grid.unit,
        times=_times(hospital, view),
        no_death_first=view.incidence is not None,
        median="" if view.competing else time(view.curve.median, grid.unit),
        median_band="" if view.competing else median_limits(view, grid.unit),
        hazard_ratio=hazard_ratio(view.log_hazard_ratio),
        risk_percentile="" if view.percentile is None else view.percentile.words(),
        risk_percentile_among="" if view.percentile is None else view.peers.words(),
        markers=tuple(_marker(each) for each in view.markers),
        kinds=tuple(ToldKind(each.name, each.measured, each.hazard_ratio) for each in view.modalities),
        missing=tuple(
            ToldMissing(
                capital(each.name), hazard_ratio(each.change.low), hazard_ratio(each.change.high), each.change.holds
            )
            for each in view.missing
            if each.change is not None and each.moves
        ),
        similar_patients="" if view.similar is None else view.similar.among,
        notes=tuple(_notes(hospital, view)),
    )


def _recorded(hospital: HospitalPrognosis, view: PatientView, words: EventWords) -> str:
    name = capital(endpoint_label(hospital.schema.endpoints[view.endpoint.number]))
    happened = ": this is what the model says of time zero" if view.status.is_over else ""
    return f"{name} since time zero · {known_course(hospital.schema, view, words)} (today's table){happened}"


def _completeness(view: PatientView) -> str:
    return ("Little is known of this patient: " if view.complete.little else "") + completeness_words(view.complete)


def _times(hospital: HospitalPrognosis, view: PatientView) -> tuple[ToldTime, ...]:
    times = told_times(hospital.grid)
    if view.competing is not None:
        names = [endpoint_label(hospital.schema.endpoints[each]) for each in view.competing.causes[1:]]
        return tuple(
            ToldTime(
                after, moment, spared, own, others=tuple(zip(names, others, strict=True)), band=band, observed=observed
            )
            for moment, (after, own, band, others, spared, observed) in zip(
                times, first_at_times(hospital, view, ENGLISH), strict=True
            )
        )
    shares = at_times(hospital, view, ENGLISH)
    first = incidence_at_times(hospital, view, ENGLISH) or [("", "", "")] * len(shares)
    return tuple(
        ToldTime(after, moment, without, event, died_first, band=band, observed=observed)
        for moment, (after, without, band, observed), (_, event, died_first) in zip(times, shares, first, strict=True)
    )


def _marker(row: MarkerRow) -> ToldMarker:
    return ToldMarker(
        name=capital(row.label),
        kind=row.modality,
        value=row.value,
        unit=row.unit,
        reference_range=row.reference_range,
        outside=row.outside,
        reference_patient=row.reference,
        usual=row.usual_range,
        unusual=row.unusual,
        hazard_ratio=row.hazard_ratio,
        noise=row.noise,
        noise_alone=row.noise_range if row.noise else "",
        is_treatment=row.is_treatment,
        measured=row.measured,
    )


def _basis(hospital: HospitalPrognosis, view: PatientView) -> str:
    adjusted = view.endpoint.recalibration
    if adjusted is None:
        return "by the model as released"
    on = decided_on(hospital, ENGLISH)
    said = "curve and hazard ratio" if adjusted.with_slope else "curve"
    return f"{said} adjusted to this hospital" + (f", adopted on {on}" if on else "")


def _notes(hospital: HospitalPrognosis, view: PatientView) -> list[str]:
    found = ["A contribution is what the model does with a value. It is not a cause."]
    if hospital.noise_in_model:
        found.append("The model was trained with privacy noise: read the first few markers, and not their order.")
    if any(each.is_treatment for each in view.markers):
        found.append(NO_EFFECT_OF_TREATMENT)
    if view.incidence is not None:
        found.append("Curve and scenarios are of a world in which nobody dies first.")
    if view.competing is not None:
        found.append("What comes first rules out the rest; shares of one time add up to 100 %.")
    return found


def bounds_of(percent: str) -> tuple[int, int]:
    """Between which whole per cent a share lies that the page writes so: 52 %, below 1 %, above 99 %."""
    found = _PERCENT.fullmatch(percent)
    assert found is not None, "the page writes shares in one way"
    side, number = found[1], int(found[2])
    return (0, number) if side == "below " else (number, 100) if side == "above " else (number, number)
