"""What does a clinician see of one patient's prognosis? Values only; `figures` draws them and a template lays them out.

All hazard ratios are the released model's, against the reference patient; they multiply up to the patient's own. The
curve, its band and the median are adjusted to this hospital's outcomes (`recalibration`) where these are enough, else
they are the released model's and the page says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, Peers
from oncofed.client.pages.missing_markers import CouldChange, could_change
from oncofed.client.pages.recalibration import Band, band
from oncofed.client.pages.similar import SimilarPatients, similar_patients
from oncofed.client.pages.usual_values import Others, usual_values
from oncofed.client.pages.wording import (
    MODALITY_NAMES,
    NOT_MEASURED,
    against_reference,
    floored,
    hazard_ratio,
    marker_label,
    marker_value,
    percent,
    reference_range,
    reference_value,
    shown_number,
    shown_unit,
    source_label,
)
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.survival.curves import median_survival, survival_curves

FloatArray = NDArray[np.float64]

_POINTS = 241
_USUAL = (0.05, 0.95)
_RARE = 0.05
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
class PatientView:
    """percentile  share of the peers with a lower log hazard ratio, in [0, 1]; None when they are too few.

    markers      all that contribute, strongest first; those that were not measured are among them.
    """

    patient_id: str
    endpoint: EndpointPrognosis
    peers: Peers
    log_hazard_ratio: float
    curve: Curve
    percentile: float | None
    markers: tuple[MarkerRow, ...]
    modalities: tuple[ModalityTotal, ...]
    missing: tuple[CouldChange, ...]
    similar: SimilarPatients | None


def patient_view(hospital: HospitalPrognosis, row: int, *, endpoint: int) -> PatientView:
    """Raises IndexError for an endpoint that does not exist."""
    prognosis, peers = hospital.endpoint(endpoint), hospital.peers(row)
    ratio = float(prognosis.log_hazard_ratio[row])
    others = prognosis.log_hazard_ratio[peers.rows]
    enough = len(peers) > hospital.smallest_group
    return PatientView(
        patient_id=hospital.cohort.patient_ids[row],
        endpoint=prognosis,
        peers=peers,
        log_hazard_ratio=ratio,
        curve=_curve(hospital, prognosis, ratio),
        percentile=float(((others < ratio).sum() + 0.5 * ((others == ratio).sum() - 1)) / (len(others) - 1))
        if enough
        else None,
        markers=_markers(hospital, prognosis, row, peers),
        modalities=_modalities(hospital, prognosis, row),
        missing=could_change(hospital, row, peers, endpoint=endpoint),
        similar=similar_patients(hospital, prognosis, row, peers),
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


def _markers(
    hospital: HospitalPrognosis, prognosis: EndpointPrognosis, row: int, peers: Peers
) -> tuple[MarkerRow, ...]:
    relevance, values = prognosis.relevance[row], hospital.cohort.values[row]
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
        found.append(_marker_row(marker, value, part, usual.without(column, value), hospital.smallest_group))
    return tuple(found)


def _whole_modality(hospital: HospitalPrognosis, source: str, part: float) -> MarkerRow:
    label, modality = source_label(hospital.schema, source), MODALITY_NAMES[Modality(source)]
    return MarkerRow(label, modality, NOT_MEASURED, "", "measured", "", "", "", "", part, hazard_ratio(part), False)


def _marker_row(marker: Marker, value: float, part: float, others: Others, floor: int) -> MarkerRow:
    usual_range, unusual = _usual(marker, value, others, floor)
    return MarkerRow(
        label=marker_label(marker),
        modality=MODALITY_NAMES[marker.modality],
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


def _usual(marker: Marker, value: float, others: Others, floor: int) -> tuple[str, str]:
    """What is usual among the others, and in which way this value is not."""
    if len(others) < floor:
        return "too few measured", ""
    if marker.kind in (Kind.CATEGORICAL, Kind.BINARY):
        if np.isnan(value):
            return "", ""
        same = others.with_value(value)
        if same < floor:
            return f"{marker_value(marker, value)} in {floored(same, floor)} of {len(others):,}", "rare"
        share = same / len(others)
        return f"{marker_value(marker, value)} in {percent(share)}", "rare" if share < _RARE else ""
    low, high = (others.quantile(share) for share in _USUAL)
    told = f"{shown_number(marker, low, 3)} to {shown_number(marker, high, 3)}"
    return told, "above" if value > high else "below" if value < low else ""


def _modalities(hospital: HospitalPrognosis, prognosis: EndpointPrognosis, row: int) -> tuple[ModalityTotal, ...]:
    by_name = {marker.name: marker.modality for marker in hospital.schema.markers}
    totals: dict[Modality, float] = {}
    for source, part in zip(prognosis.sources, prognosis.relevance[row], strict=True):
        modality = by_name.get(source) or Modality(source)
        totals[modality] = totals.get(modality, 0.0) + float(part)
    found = []
    for modality, total in sorted(totals.items(), key=lambda item: -abs(item[1])):
        members = [index for index, marker in enumerate(hospital.schema.markers) if marker.modality is modality]
        measured = int((~np.isnan(hospital.cohort.values[row, members])).sum())
        told = f"{measured} of {len(members)}"
        found.append(ModalityTotal(MODALITY_NAMES[modality], told, total, hazard_ratio(total)))
    return tuple(found)
