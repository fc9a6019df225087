"""How is a patient's prognosis written as a FHIR R4 RiskAssessment, for a hospital's own record system?

It is made of `ToldPrognosis` and of nothing else, so it says no more than the page. Probabilities are per cent, of the
event; a share that the page tells as "below 1 %" is a range. R4 takes a `whenRange` for an age of the patient, and no
page knows the day of time zero: so times are `whenPeriod`, as the standard extension for a time after an event has
them, and stand in the outcome's words, too. `basis` is what the hospital's table says of the patient, in words: it has
no resources to refer to. The status is `preliminary`, since nobody has looked at it.

Source: HL7 FHIR R4 (4.0.1), RiskAssessment and its extension cqf-relativeDateTime; UCUM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oncofed.client.pages.told_prognosis import NO_EFFECT_OF_TREATMENT, ToldMarker, ToldPrognosis, ToldTime, bounds_of
from oncofed.cohort.schema import TimeUnit

Resource = dict[str, Any]

UCUM = "http://unitsofmeasure.org"
RELATIVE = "http://hl7.org/fhir/StructureDefinition/cqf-relativeDateTime"
_CODES: Mapping[str, str] = {
    TimeUnit.DAYS.value: "d",
    TimeUnit.WEEKS.value: "wk",
    TimeUnit.MONTHS.value: "mo",
    TimeUnit.YEARS.value: "a",
}
_TEST = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST", "display": "test health data"}
_MODEL, _ZERO = "model", "time-zero"
_TIME_ZERO: Resource = {
    "resourceType": "Observation",
    "id": _ZERO,
    "status": "unknown",
    "code": {"text": "time zero of the study, of this patient; its day is not known here"},
}
"""What times are after: the extension names a resource, and the element of it that would have the day."""
_FIRST = 15
"""Markers that are told one by one, as many as the page lists first."""


def risk_assessment(told: ToldPrognosis, *, system: str | None = None, resource: str | None = None) -> Resource:
    """system: of the identifier by which the hospital's table knows its patients, where that was configured.

    resource  the patient's address in the record system, where the table knows that: an id is no identifier.
    """
    identifier = {"value": told.patient} if system is None else {"system": system, "value": told.patient}
    return {
        "resourceType": "RiskAssessment",
        **({"meta": {"security": [_TEST]}} if told.invented_patients else {}),
        "language": "en",
        "contained": [_device(told), _TIME_ZERO],
        "status": "preliminary",
        "method": {"text": f"{_name(told)}, {told.model.basis}; against the study's reference patient"},
        "code": {"text": f"Prognosis by a model: {told.endpoint}"},
        "subject": {"type": "Patient", **({"identifier": identifier} if resource is None else {"reference": resource})},
        "occurrenceDateTime": told.made_at,
        "performer": {"reference": f"#{_MODEL}"},
        "basis": [{"display": f"{each.name}: {_value(each)}"} for each in told.markers if each.measured]
        or [{"display": "nothing that the model contributes by is measured"}],
        "prediction": [each for moment in told.times for each in _predictions(told, moment)],
        "note": [{"text": _plain(text)} for text in (told.warning, told.recorded, *told.in_words, *told.notes)],
    }


def _name(told: ToldPrognosis) -> str:
    return f"Prognosis model of the study {told.model.study}"


def _device(told: ToldPrognosis) -> Resource:
    """The model: named by its study, its version is the hash of the plan by which it was trained."""
    return {
        "resourceType": "Device",
        "id": _MODEL,
        "deviceName": [{"name": _name(told), "type": "model-name"}],
        "version": [
            {"type": {"text": "plan hash of the model"}, "value": told.model.plan_hash},
            {"type": {"text": "software"}, "value": told.model.software},
        ],
        "note": [{"text": told.warning}],
    }


def _predictions(told: ToldPrognosis, moment: ToldTime) -> Iterator[Resource]:
    event = f"{told.endpoint}: {told.event}"
    yield {**_prediction(told, moment, event, moment.had), "rationale": _rationale(told, moment)}
    for name, share in moment.others:
        yield _prediction(told, moment, name, bounds_of(share))
    if moment.died_first:
        yield _prediction(told, moment, f"died before {told.endpoint}", bounds_of(moment.died_first))


def _prediction(told: ToldPrognosis, moment: ToldTime, event: str, had: tuple[int, int]) -> Resource:
    low, high = had
    within = f"{event} within {_plain(moment.after)} of time zero"
    if told.no_death_first and not moment.event:
        within += ", in a world in which nobody dies first"
    probability = (
        {"probabilityDecimal": low}
        if low == high
        else {"probabilityRange": {"low": _quantity(low, "%", "%"), "high": _quantity(high, "%", "%")}}
    )
    period = {"_start": _after(told.unit, 0.0), "_end": _after(told.unit, moment.time)}
    return {"outcome": {"text": within}, **probability, "whenPeriod": period}


def _quantity(value: float, unit: str, code: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": code}


def _after(unit: str, moment: float) -> Resource:
    offset = int(moment) if moment == int(moment) else moment
    inner = [
        {"url": "target", "valueReference": {"reference": f"#{_ZERO}", "display": "time zero of the study"}},
        {"url": "targetPath", "valueString": "effective"},
        {"url": "relationship", "valueCode": "after"},
        {"url": "offset", "valueDuration": _quantity(offset, unit, _CODES[unit])},
    ]
    return {"extension": [{"url": RELATIVE, "extension": inner}]}


def _rationale(told: ToldPrognosis, moment: ToldTime) -> str:
    """Marker by marker, as text: a factor on the hazard each, which multiply up."""
    biology = [each for each in told.markers if not each.is_treatment]
    lines = [f"Hazard ratio {told.hazard_ratio} against the study's reference patient. Markers, strongest first:"]
    lines += [_line(each) for each in biology[:_FIRST]]
    if len(biology) > _FIRST:
        lines.append(f"and {len(biology) - _FIRST} more that contribute less.")
    kinds = "; ".join(f"{each.kind} {each.hazard_ratio} ({each.measured} measured)" for each in told.kinds)
    lines.append(f"By kind of data: {kinds}.")
    if len(biology) < len(told.markers):
        lines.append(NO_EFFECT_OF_TREATMENT)
    if moment.band:
        of = "the share with the event" if moment.others else f"the share without the event ({moment.without})"
        lines.append(f"95 % band of {of}: {moment.band}.")
    if told.missing:
        lines.append(f"Not measured, and could move it: {', '.join(each.name for each in told.missing[:_FIRST])}.")
    return _plain("\n".join(lines))


def _plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def _line(marker: ToldMarker) -> str:
    noise = f"; {marker.noise}, noise alone {marker.noise_alone}" if marker.noise else ""
    return f"{marker.name}: {_value(marker)}, hazard times {marker.hazard_ratio}{noise}"


def _value(marker: ToldMarker) -> str:
    return _plain(f"{marker.value} {marker.unit}".strip())
