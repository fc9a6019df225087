"""What does a clinician see of one patient's prognosis? Values only; `figures` draws them and a template lays them out.

All hazard ratios are the released model's, against the reference patient; they multiply up to the patient's own. The
curve, its band and the median are adjusted to this hospital's outcomes (`recalibration`) where these are enough, else
they are the released model's and the page says so. The patient's own values are exact; what is said of others goes
through `disclosure`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import NINE_IN_TEN, Share
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, OwnPrognosis, Peers
from oncofed.client.pages.missing_markers import CouldChange, could_change
from oncofed.client.pages.recalibration import Band, band
from oncofed.client.pages.similar import SimilarPatients, similar_patients
from oncofed.client.pages.usual_values import Usual, usual_values
from oncofed.client.pages.wording import (
    NOT_MEASURED,
    against_reference,
    marker_label,
    marker_value,
    reference_range,
    reference_value,
    shown_number,
    shown_unit,
    source_label,
)
from oncofed.cohort.schema import DeathPolicy, Kind, Marker, Modality
from oncofed.survival.curves import cumulative_incidence, median_survival, survival_curves
from oncofed.words.names import MODALITY_NAMES, capital
from oncofed.words.numbers import hazard_ratio

FloatArray = NDArray[np.float64]

_POINTS = 241
_RARE = 0.1
_FLAT = 5e-4
"""A contribution that no reader would see: its hazard ratio is written 1.00."""


@dataclass(frozen=True)
class MarkerRow:
    """One line of the table, in words but for the numbers that a picture needs.

    reference    the reference patient's value. reference_range: of health, empty where the schema has none.
    outside      "low" or "high" against that range, or "".
    usual_range  what is usual in these peers. unusual: "", or in which way the value is not.
    """

    label: str
    modality: str
    value: str
    unit: str
    reference: str
    reference_range: str
    outside: str
    usual_range: str
    unusual: str
    log_hazard_ratio: float
    hazard_ratio: str
    measured: bool


@dataclass(frozen=True)
class ModalityTotal:
    """A modality's contributions multiplied up. measured: such as "18 of 20"."""

    name: str
    measured: str
    log_hazard_ratio: float
    hazard_ratio: str


@dataclass(frozen=True, eq=False)
class Curve:
    """times, released  (times,): survival by the released model. adjusted: to this hospital, or None."""

    times: FloatArray
    released: FloatArray
    released_median: float
    adjusted: Band | None

    @property
    def survival(self) -> FloatArray:
        """The one that is shown as the patient's."""
        return self.released if self.adjusted is None else self.adjusted.survival

    @property
    def median(self) -> float:
        return self.released_median if self.adjusted is None else self.adjusted.median


@dataclass(frozen=True, eq=False)
class Incidence:
    """Of an endpoint for which death ends the follow-up: (times,) of the curve, the share who have had the event by
    then, and who died before they had it. None: the study has no endpoint for death, so neither is known.
    """

    event: FloatArray | None
    died_before: FloatArray | None


@dataclass(frozen=True, eq=False)
class PatientView:
    """percentile  share of the peers with a lower log hazard ratio; None when they are too few.

    markers      all that contribute, strongest first; those that were not measured are among them.
    incidence    None for an endpoint whose curve is of everything that may happen, as of overall survival.
    """

    patient_id: str
    endpoint: EndpointPrognosis
    peers: Peers
    log_hazard_ratio: float
    curve: Curve
    percentile: Share | None
    markers: tuple[MarkerRow, ...]
    modalities: tuple[ModalityTotal, ...]
    missing: tuple[CouldChange, ...]
    similar: SimilarPatients | None
    incidence: Incidence | None


def patient_view(hospital: HospitalPrognosis, row: int, *, endpoint: int) -> PatientView:
    """Raises IndexError for an endpoint that does not exist."""
    prognosis, peers, own = hospital.endpoint(endpoint), hospital.peers(row), hospital.own(endpoint, row)
    ratio = own.log_hazard_ratio
    lower = prognosis.log_hazard_ratio[peers.rows] < ratio
    return PatientView(
        patient_id=hospital.cohort.patient_ids[row],
        endpoint=prognosis,
        peers=peers,
        log_hazard_ratio=ratio,
        curve=_curve(hospital, prognosis, ratio),
        percentile=hospital.disclosure.share_of_strata(lower, hospital.units.strata[peers.rows]),
        markers=_markers(hospital, prognosis, own, row, peers),
        modalities=_modalities(hospital, prognosis, own, row),
        missing=could_change(hospital, row, peers, endpoint=endpoint),
        similar=similar_patients(hospital, prognosis, row, own),
        incidence=_incidence(hospital, prognosis, ratio, row),
    )


def _curve(hospital: HospitalPrognosis, prognosis: EndpointPrognosis, ratio: float) -> Curve:
    grid, baseline = hospital.grid, prognosis.log_baseline_hazard
    times = np.linspace(0.0, grid.bounds[-1], _POINTS)
    asked = np.array([ratio])
    adjusted = None
    if prognosis.recalibration is not None:
        adjusted = band(prognosis.recalibration, ratio, log_baseline_hazard=baseline, grid=grid, times=times)
    return Curve(
        times,
        survival_curves(asked, log_baseline_hazard=baseline, grid=grid, times=times)[0],
        float(median_survival(asked, log_baseline_hazard=baseline, grid=grid)[0]),
        adjusted,
    )


def _incidence(hospital: HospitalPrognosis, prognosis: EndpointPrognosis, ratio: float, row: int) -> Incidence | None:
    """From the two hazards that the model has, each adjusted to this hospital as far as its curve is."""
    endpoint = hospital.schema.endpoints[prognosis.number]
    if endpoint.death_event_column is None or endpoint.death is not DeathPolicy.CENSORING:
        return None
    death = next(
        (
            number
            for number, each in enumerate(hospital.schema.endpoints)
            if each.event_column == endpoint.death_event_column
        ),
        None,
    )
    if death is None:
        return Incidence(None, None)
    of_death = hospital.endpoint(death)
    hazards = np.stack(
        [
            _cumulative_hazards(prognosis, ratio),
            _cumulative_hazards(of_death, hospital.own(death, row).log_hazard_ratio),
        ]
    )
    times = np.linspace(0.0, hospital.grid.bounds[-1], _POINTS)
    return Incidence(*cumulative_incidence(hazards, grid=hospital.grid, times=times))


def _cumulative_hazards(prognosis: EndpointPrognosis, ratio: float) -> FloatArray:
    """(intervals,)"""
    adjusted = prognosis.recalibration
    if adjusted is None:
        return np.asarray(np.exp(prognosis.log_baseline_hazard + ratio))
    return np.asarray(np.exp(prognosis.log_baseline_hazard + adjusted.corrections + adjusted.slope * ratio))


def _markers(
    hospital: HospitalPrognosis, prognosis: EndpointPrognosis, own: OwnPrognosis, row: int, peers: Peers
) -> tuple[MarkerRow, ...]:
    relevance, values = own.relevance, hospital.cohort.values[row]
    position = {marker.name: index for index, marker in enumerate(hospital.schema.markers)}
    usual = usual_values(hospital, peers)
    found = []
    for place in np.argsort(-np.abs(relevance), kind="stable"):
        source, part = prognosis.sources[place], float(relevance[place])
        column = position.get(source)
        if column is None:
            if abs(part) >= _FLAT:
                found.append(_whole_modality(hospital, source, part))
            continue
        marker, value = hospital.schema.markers[column], float(values[column])
        if np.isnan(value) and abs(part) < _FLAT:
            continue  # it stands among what is missing
        found.append(_marker_row(marker, value, part, usual[column]))
    return tuple(found)


def _whole_modality(hospital: HospitalPrognosis, source: str, part: float) -> MarkerRow:
    label, modality = source_label(hospital.schema, source), capital(MODALITY_NAMES[Modality(source)])
    return MarkerRow(label, modality, NOT_MEASURED, "", "measured", "", "", "", "", part, hazard_ratio(part), False)


def _marker_row(marker: Marker, value: float, part: float, usual: Usual) -> MarkerRow:
    usual_range, unusual = _usual(marker, value, usual)
    return MarkerRow(
        label=marker_label(marker),
        modality=capital(MODALITY_NAMES[marker.modality]),
        value=marker_value(marker, value),
        unit=shown_unit(marker) if not np.isnan(value) else "",
        reference=reference_value(marker),
        reference_range=reference_range(marker),
        outside=against_reference(marker, value),
        usual_range=usual_range,
        unusual=unusual,
        log_hazard_ratio=part,
        hazard_ratio=hazard_ratio(part),
        measured=not np.isnan(value),
    )


def _usual(marker: Marker, value: float, usual: Usual) -> tuple[str, str]:
    """What is usual in the group, and in which way this value is not."""
    if marker.kind is not Kind.CONTINUOUS:
        share = None if np.isnan(value) else usual.share_of(value)
        if share is None:
            return "", ""
        return f"{marker_value(marker, value)} in {share}", "rare" if share.high <= _RARE else ""
    if usual.spread is None:
        return "too few measured", ""
    spread = usual.spread
    told = f"{shown_number(marker, spread.low, 3)} to {shown_number(marker, spread.high, 3)}"
    told += "" if spread.holds == NINE_IN_TEN else f" ({spread.holds})"
    return told, "above" if value > spread.high else "below" if value < spread.low else ""


def _modalities(
    hospital: HospitalPrognosis, prognosis: EndpointPrognosis, own: OwnPrognosis, row: int
) -> tuple[ModalityTotal, ...]:
    by_name = {marker.name: marker.modality for marker in hospital.schema.markers}
    totals: dict[Modality, float] = {}
    for source, part in zip(prognosis.sources, own.relevance, strict=True):
        modality = by_name.get(source) or Modality(source)
        totals[modality] = totals.get(modality, 0.0) + float(part)
    found = []
    for modality, total in sorted(totals.items(), key=lambda item: -abs(item[1])):
        members = [index for index, marker in enumerate(hospital.schema.markers) if marker.modality is modality]
        measured = int((~np.isnan(hospital.cohort.values[row, members])).sum())
        told = f"{measured} of {len(members)}"
        found.append(ModalityTotal(capital(MODALITY_NAMES[modality]), told, total, hazard_ratio(total)))
    return tuple(found)
