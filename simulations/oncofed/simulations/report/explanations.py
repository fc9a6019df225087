"""Which markers carry the prognosis at one hospital, in which direction, and for three of its patients?

Strength is the mean absolute relevance: how far a marker moves the log hazard ratio of a patient of this hospital, on
average, from that of the reference patient. Direction is what the model does with the marker here; it is not a cause.

Patients are called A, B and C. Their values are shown only as high, near or low against the study's public reference
value, as yes or no, or by category: as much as is needed to read the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.patients.cohort_explanation import Direction, direction_of, markers_carrying, mean_absolute
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Kind, Marker, Modality, StudySchema
from oncofed.simulations.results import Relevance
from oncofed.words.markers import marker_label
from oncofed.words.names import MODALITY_NAMES, plain_name

FloatArray = NDArray[np.float64]

STRONGEST = 20
IN_AN_EXAMPLE = 10
SMALLEST_CATEGORY = 5
"""Patients a category needs before its effect is named."""

RAISES, LOWERS, MIXED = Direction.RAISES, Direction.LOWERS, Direction.MIXED


@dataclass(frozen=True)
class MarkerStrength:
    """strength  mean absolute relevance, in log hazard ratio.
    share     of the strength of all markers, in [0, 1].
    direction RAISES or LOWERS (what a higher value, or "yes", does to the hazard), or MIXED.
    effect    the same in words, for a table.
    """

    name: str
    modality: Modality
    unit: str
    strength: float
    share: float
    direction: Direction
    effect: str


@dataclass(frozen=True)
class Part:
    """One marker's part of a patient's log hazard ratio; `level` is the value in a word."""

    marker: str
    level: str
    log_hazard_ratio: float


@dataclass(frozen=True)
class ExamplePatient:
    """name  Patient A, B or C. place: lowest, median or highest of the hospital.
    parts  strongest first. others: the sum of the `other_count` markers not among them. total: f(x).
    """

    name: str
    place: str
    parts: tuple[Part, ...]
    others: float
    other_count: int
    total: float


@dataclass(frozen=True)
class Explanations:
    """markers   all of them, strongest first; names with a strength of 0 come last.
    modalities   (modality, share of the strength), largest first.
    carrying_90_percent  how many markers it takes to make up 90 % of the strength.
    """

    site: str
    patients: int
    markers: tuple[MarkerStrength, ...]
    modalities: tuple[tuple[Modality, float], ...]
    carrying_90_percent: int
    examples: tuple[ExamplePatient, ...]

    @property
    def strongest(self) -> tuple[MarkerStrength, ...]:
        return tuple(marker for marker in self.markers[:STRONGEST] if marker.strength > 0)


def explanations(relevance: Relevance, cohort: Cohort) -> Explanations | None:
    """What one hospital's relevances say; None when it has no patient or every relevance is 0.

    cohort  the same patients in the same order.
    """
    table = relevance.table
    assert len(table) == len(cohort) == len(relevance.totals)
    relevances: FloatArray = table.to_numpy(dtype=np.float64)
    strength = mean_absolute(relevances)
    total = float(strength.sum())
    if not total > 0:
        return None
    order = np.argsort(-strength, kind="stable")
    markers = tuple(
        _strength(str(table.columns[index]), float(strength[index]), total, relevances[:, index], cohort)
        for index in order
    )
    shares: dict[Modality, float] = {}
    for marker in markers:
        shares[marker.modality] = shares.get(marker.modality, 0.0) + marker.share
    return Explanations(
        site=relevance.site,
        patients=len(cohort),
        markers=markers,
        modalities=tuple(sorted(shares.items(), key=lambda item: -item[1])),
        carrying_90_percent=markers_carrying(relevances, share=0.9),
        examples=_examples(relevance, cohort),
    )


def _marker(schema: StudySchema, name: str) -> Marker | None:
    """None for the row of a modality that is missing as a whole."""
    return next((marker for marker in schema.markers if marker.name == name), None)


def _strength(name: str, strength: float, total: float, relevance: FloatArray, cohort: Cohort) -> MarkerStrength:
    marker = _marker(cohort.schema, name)
    if marker is None:
        modality, unit = Modality(name), ""
        direction = RAISES if relevance.sum() > 0 else LOWERS
        effect = f"not measured at all: {'higher' if direction == RAISES else 'lower'} hazard"
    else:
        modality, unit = marker.modality, marker.unit
        direction, effect = _effect(marker, cohort.marker_values(name), relevance)
    return MarkerStrength(
        name=_shown(name, marker),
        modality=modality,
        unit=unit,
        strength=strength,
        share=strength / total,
        direction=direction,
        effect=effect,
    )


def _shown(name: str, marker: Marker | None) -> str:
    return marker_label(marker) if marker is not None else f"{MODALITY_NAMES[Modality(name)]} not measured"


def _effect(marker: Marker, values: FloatArray, relevance: FloatArray) -> tuple[Direction, str]:
    direction, _ = direction_of(marker, values, relevance)
    if marker.kind is Kind.CATEGORICAL:
        measured = ~np.isnan(values)
        return direction, _categories(marker, values[measured], relevance[measured])
    if direction is MIXED:
        return direction, MIXED.value
    condition = "yes" if marker.kind is Kind.BINARY else "higher value"
    return direction, f"{condition}: {'higher' if direction is RAISES else 'lower'} hazard"


def _categories(marker: Marker, values: FloatArray, relevance: FloatArray) -> str:
    means = {}
    for index, category in enumerate(marker.categories):
        member = values == index
        if member.sum() >= SMALLEST_CATEGORY:
            means[category] = float(relevance[member].mean())
    if len(means) < 2:
        return "by category"
    worst, best = max(means, key=lambda each: means[each]), min(means, key=lambda each: means[each])
    return f"highest hazard: {plain_name(worst)}; lowest: {plain_name(best)}"


def _examples(relevance: Relevance, cohort: Cohort) -> tuple[ExamplePatient, ...]:
    order = np.argsort(relevance.totals, kind="stable")
    rows = {int(order[0]): "lowest", int(order[len(order) // 2]): "median", int(order[-1]): "highest"}
    chosen = sorted(rows, key=lambda row: list(order).index(row))
    return tuple(_example(name, rows[row], row, relevance, cohort) for name, row in zip("ABC", chosen, strict=False))


def _example(name: str, place: str, row: int, relevance: Relevance, cohort: Cohort) -> ExamplePatient:
    parts = relevance.table.iloc[row].to_numpy(dtype=np.float64)
    order = np.argsort(-np.abs(parts), kind="stable")
    kept = [int(index) for index in order[:IN_AN_EXAMPLE] if parts[index] != 0]
    total = float(relevance.totals[row])
    return ExamplePatient(
        name=f"Patient {name}",
        place=place,
        parts=tuple(_part(str(relevance.table.columns[index]), float(parts[index]), row, cohort) for index in kept),
        others=total - float(parts[kept].sum()),
        other_count=len(parts) - len(kept),
        total=total,
    )


def _part(name: str, log_hazard_ratio: float, row: int, cohort: Cohort) -> Part:
    marker = _marker(cohort.schema, name)
    level = "" if marker is None else _level(marker, float(cohort.marker_values(name)[row]))
    return Part(_shown(name, marker), level, log_hazard_ratio)


def _level(marker: Marker, value: float) -> str:
    if np.isnan(value):
        return "not measured"
    if marker.kind is Kind.CATEGORICAL:
        return plain_name(marker.categories[int(value)])
    if marker.kind is Kind.BINARY:
        return "yes" if value > 0.5 else "no"
    distance = (value - marker.centre) / marker.scale
    return "high" if distance > 0.5 else "low" if distance < -0.5 else "near reference"
