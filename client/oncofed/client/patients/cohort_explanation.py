"""What carries the prognosis of a hospital's patients as a whole, and of those of one tumour entity?

Pure functions on relevances (`client.explanation.marker_relevance`) and the cohort they belong to. Strength is the mean
absolute relevance: how far a marker moves a patient's log hazard ratio, on average, from that of the reference patient.
Direction is what the model does with the marker here; it is not a cause.

What is returned describes few patients where an entity has few: it stays in the hospital, as the relevances do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Kind, Marker
from oncofed.words.language import later

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

MONOTONE = 0.5
"""Rank correlation of value and relevance from which a marker is said to have a direction."""
SMALLEST_GROUP = 10
"""Patients below which an entity is not shown."""


class Direction(StrEnum):
    """What a higher value, or "yes", does to the hazard."""

    RAISES = later("raises")
    LOWERS = later("lowers")
    MIXED = later("no single direction")


@dataclass(frozen=True)
class MarkerRole:
    """strength     mean absolute relevance, log hazard ratio.
    share        of the strength of all markers together, in [0, 1].
    mean         mean relevance: positive where the marker, as it is among these patients, worsens the prognosis.
    direction    of its measured values; of a modality's missing flag: what being unmeasured does. MIXED if categorical.
    correlation  rank correlation of value and relevance among the measured; NaN where either does not vary.
    """

    name: str
    strength: float
    share: float
    mean: float
    direction: Direction
    correlation: float


@dataclass(frozen=True)
class CohortExplanation:
    """markers  all of them, strongest first. carrying_90_percent: how many make up 90 % of the strength."""

    patients: int
    markers: tuple[MarkerRole, ...]
    carrying_90_percent: int


def explain_cohort(names: tuple[str, ...], relevance: FloatArray, cohort: Cohort) -> CohortExplanation:
    """names, relevance  of `marker_relevance`, for the patients of `cohort` in their order."""
    assert relevance.shape == (len(cohort), len(names))
    strength = mean_absolute(relevance)
    total = float(strength.sum())
    order = np.argsort(-strength, kind="stable")
    return CohortExplanation(
        patients=len(cohort),
        markers=tuple(
            _role(names[place], relevance[:, place], cohort, strength=float(strength[place]), total=total)
            for place in order
        ),
        carrying_90_percent=markers_carrying(relevance, share=0.9),
    )


def explain_entities(names: tuple[str, ...], relevance: FloatArray, cohort: Cohort) -> dict[str, CohortExplanation]:
    """The same for each tumour entity of at least SMALLEST_GROUP patients, largest first; empty if there is no such."""
    found = {
        entity: explain_cohort(names, relevance[rows], cohort.subset(rows)) for entity, rows in entity_rows(cohort)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].patients))


def entity_rows(cohort: Cohort) -> Iterator[tuple[str, IntArray]]:
    """Each tumour entity of at least SMALLEST_GROUP patients, and their rows."""
    if cohort.schema.tumour_entity is None:
        return
    marker = marker_of(cohort, cohort.schema.tumour_entity)
    assert marker is not None
    values = cohort.marker_values(marker.name)
    for index, entity in enumerate(marker.categories):
        rows = np.flatnonzero(values == index)
        if len(rows) >= SMALLEST_GROUP:
            yield entity, rows


def mean_absolute(relevance: FloatArray) -> FloatArray:
    """(markers,): the strengths; 0 where there is no patient."""
    found: FloatArray = np.abs(relevance).mean(axis=0) if len(relevance) else np.zeros(relevance.shape[1])
    return found


def markers_carrying(relevance: FloatArray, *, share: float) -> int:
    """How many markers, strongest first, make up `share` of all strength; 0 where there is none."""
    falling = np.sort(mean_absolute(relevance))[::-1]
    total = float(falling.sum())
    if not total > 0:
        return 0
    # A hair less, so that rounding asks for no marker more.
    return int(np.searchsorted(np.cumsum(falling), share * total * (1 - 1e-12))) + 1


def marker_of(cohort: Cohort, name: str) -> Marker | None:
    """None for the row of a modality that is missing as a whole."""
    return next((marker for marker in cohort.schema.markers if marker.name == name), None)


def direction_of(marker: Marker, values: FloatArray, relevance: FloatArray) -> tuple[Direction, float]:
    """Direction and rank correlation among the measured. A categorical marker has no higher value: MIXED, NaN."""
    if marker.kind is Kind.CATEGORICAL:
        return Direction.MIXED, float("nan")
    measured = ~np.isnan(values)
    correlation = rank_correlation(values[measured], relevance[measured])
    if not abs(correlation) >= MONOTONE:
        return Direction.MIXED, correlation
    return (Direction.RAISES if correlation > 0 else Direction.LOWERS), correlation


def rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Spearman's; NaN when either does not vary."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(pd.Series(first).rank(), pd.Series(second).rank())[0, 1])


def _role(name: str, relevance: FloatArray, cohort: Cohort, *, strength: float, total: float) -> MarkerRole:
    marker = marker_of(cohort, name)
    if marker is None:
        direction, correlation = (Direction.RAISES if relevance.sum() > 0 else Direction.LOWERS), float("nan")
    else:
        direction, correlation = direction_of(marker, cohort.marker_values(name), relevance)
    return MarkerRole(
        name=name,
        strength=strength,
        share=strength / total if total > 0 else 0.0,
        mean=float(relevance.mean()) if len(relevance) else 0.0,
        direction=direction,
        correlation=correlation,
    )
