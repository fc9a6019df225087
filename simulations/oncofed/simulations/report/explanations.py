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
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import category_label, marker_label
from oncofed.words.names import MODALITY_NAMES

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
    """name  Patient A, B or C. place: that it has the lowest, the median or the highest of the hospital.
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


def explanations(relevance: Relevance, cohort: Cohort, *, say: Language = ENGLISH) -> Explanations | None:
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
        _strength(str(table.columns[index]), float(strength[index]), total, relevances[:, index], cohort, say)
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
        examples=_examples(relevance, cohort, say),
    )


def _marker(schema: StudySchema, name: str) -> Marker | None:
    """None for the row of a modality that is missing as a whole."""
    return next((marker for marker in schema.markers if marker.name == name), None)


def _strength(
    name: str, strength: float, total: float, relevance: FloatArray, cohort: Cohort, say: Language
) -> MarkerStrength:
    marker = _marker(cohort.schema, name)
    if marker is None:
        modality, unit = Modality(name), ""
        direction = RAISES if relevance.sum() > 0 else LOWERS
        higher, lower = say("not measured at all: higher hazard"), say("not measured at all: lower hazard")
        effect = higher if direction == RAISES else lower
    else:
        modality, unit = marker.modality, say(marker.unit)
        direction, effect = _effect(marker, cohort.marker_values(name), relevance, say)
    return MarkerStrength(
        name=_shown(name, marker, say),
        modality=modality,
        unit=unit,
        strength=strength,
        share=strength / total,
        direction=direction,
        effect=effect,
    )


def _shown(name: str, marker: Marker | None, say: Language) -> str:
    if marker is not None:
        return marker_label(marker, say=say)
    return say("%(kind)s not measured", kind=say(MODALITY_NAMES[Modality(name)]))


def _effect(marker: Marker, values: FloatArray, relevance: FloatArray, say: Language) -> tuple[Direction, str]:
    direction, _ = direction_of(marker, values, relevance)
    if marker.kind is Kind.CATEGORICAL:
        measured = ~np.isnan(values)
        return direction, _categories(marker, values[measured], relevance[measured], say)
    if direction is MIXED:
        return direction, say(MIXED.value)
    if marker.kind is Kind.BINARY:
        return direction, say("yes: higher hazard") if direction is RAISES else say("yes: lower hazard")
    return direction, say("higher value: higher hazard") if direction is RAISES else say("higher value: lower hazard")


def _categories(marker: Marker, values: FloatArray, relevance: FloatArray, say: Language) -> str:
    means = {}
    for index, category in enumerate(marker.categories):
        member = values == index
        if member.sum() >= SMALLEST_CATEGORY:
            means[category] = float(relevance[member].mean())
    if len(means) < 2:
        return say("by category")
    worst, best = max(means, key=lambda each: means[each]), min(means, key=lambda each: means[each])
    return say(
        "highest hazard: %(worst)s; lowest: %(best)s",
        worst=category_label(marker, worst, say=say),
        best=category_label(marker, best, say=say),
    )


def _examples(relevance: Relevance, cohort: Cohort, say: Language) -> tuple[ExamplePatient, ...]:
    order = np.argsort(relevance.totals, kind="stable")
    rows = {
        int(order[0]): say("lowest log hazard ratio"),
        int(order[len(order) // 2]): say("median log hazard ratio"),
        int(order[-1]): say("highest log hazard ratio"),
    }
    chosen = sorted(rows, key=lambda row: list(order).index(row))
    return tuple(
        _example(name, rows[row], row, relevance, cohort, say) for name, row in zip("ABC", chosen, strict=False)
    )


def _example(name: str, place: str, row: int, relevance: Relevance, cohort: Cohort, say: Language) -> ExamplePatient:
    parts = relevance.table.iloc[row].to_numpy(dtype=np.float64)
    order = np.argsort(-np.abs(parts), kind="stable")
    kept = [int(index) for index in order[:IN_AN_EXAMPLE] if parts[index] != 0]
    total = float(relevance.totals[row])
    return ExamplePatient(
        name=say("Patient %(name)s", name=name),
        place=place,
        parts=tuple(
            _part(str(relevance.table.columns[index]), float(parts[index]), row, cohort, say) for index in kept
        ),
        others=total - float(parts[kept].sum()),
        other_count=len(parts) - len(kept),
        total=total,
    )


def _part(name: str, log_hazard_ratio: float, row: int, cohort: Cohort, say: Language) -> Part:
    marker = _marker(cohort.schema, name)
    level = "" if marker is None else _level(marker, float(cohort.marker_values(name)[row]), say)
    return Part(_shown(name, marker, say), level, log_hazard_ratio)


def _level(marker: Marker, value: float, say: Language) -> str:
    if np.isnan(value):
        return say("not measured")
    if marker.kind is Kind.CATEGORICAL:
        return category_label(marker, marker.categories[int(value)], say=say)
    if marker.kind is Kind.BINARY:
        return say("yes") if value > 0.5 else say("no")
    distance = (value - marker.centre) / marker.scale
    return say("high") if distance > 0.5 else say("low") if distance < -0.5 else say("near reference")
