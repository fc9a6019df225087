"""Which markers carry the prognosis at this hospital, how, and how did its risk groups fare?

Everything is said of groups of at least the floor's patients: means, bins of values, thirds of the risk. No point in a
picture is a patient, so an analyst who may see no patient may see all of this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.cohort_explanation import MONOTONE, mean_absolute, rank_correlation
from oncofed.client.pages.group_outcome import GroupOutcome, group_outcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis
from oncofed.client.pages.wording import (
    MODALITY_NAMES,
    is_decimal_logarithm,
    marker_label,
    shown_unit,
    shown_value,
    source_label,
    words,
)
from oncofed.cohort.schema import Kind, Marker, Modality

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MOST_BINS = 12
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class MarkerStrength:
    """strength  mean absolute contribution, in log hazard ratio. share: of all markers' strength.

    direction  what a higher value does, in words.
    """

    source: str
    label: str
    modality: str
    unit: str
    strength: float
    share: float
    direction: str


@dataclass(frozen=True, eq=False)
class Dependence:
    """Contribution against value: one bin of values, or one category, at each place.

    at         (bins,) the median value of a bin in `unit`, or the category's place.
    labels     of categories; empty for numbers. logarithmic: whether these are best drawn on a logarithmic scale.
    low, median, high  (bins,) the tenth, fiftieth and ninetieth of a hundred contributions.
    counts     (bins,) patients, each at least the floor.
    left_out   categories that too few patients have.
    """

    label: str
    unit: str
    logarithmic: bool
    labels: tuple[str, ...]
    at: FloatArray
    low: FloatArray
    median: FloatArray
    high: FloatArray
    counts: tuple[int, ...]
    left_out: int


def strongest_markers(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, rows: BoolArray
) -> tuple[MarkerStrength, ...]:
    """Every marker with any strength, strongest first; nothing for fewer patients than the floor."""
    if int(rows.sum()) < hospital.smallest_group:
        return ()
    relevance = endpoint.relevance[rows]
    strength = mean_absolute(relevance)
    total = float(strength.sum())
    found = []
    for place in np.argsort(-strength, kind="stable"):
        if not strength[place] > 0:
            break
        source = endpoint.sources[place]
        marker = hospital.marker(source)
        found.append(
            MarkerStrength(
                source=source,
                label=source_label(hospital.schema, source),
                modality=MODALITY_NAMES[Modality(source) if marker is None else marker.modality],
                unit="" if marker is None else shown_unit(marker),
                strength=float(strength[place]),
                share=float(strength[place]) / total,
                direction=_direction(hospital, marker, relevance[:, place], rows),
            )
        )
    return tuple(found)


def _direction(hospital: HospitalPrognosis, marker: Marker | None, relevance: FloatArray, rows: BoolArray) -> str:
    if marker is None:
        return f"not measured: {_higher(float(relevance.sum()))}"
    if marker.kind is Kind.CATEGORICAL:
        return "by category"
    values = hospital.cohort.marker_values(marker.name)[rows]
    measured = ~np.isnan(values)
    if int(measured.sum()) < hospital.smallest_group:
        return "too few measured"
    correlation = rank_correlation(values[measured], relevance[measured])
    if not abs(correlation) >= MONOTONE:
        return "no single direction"
    return f"{'yes' if marker.kind is Kind.BINARY else 'higher value'}: {_higher(correlation)}"


def _higher(sign: float) -> str:
    return "higher hazard" if sign > 0 else "lower hazard"


def dependence(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, rows: BoolArray, *, source: str
) -> Dependence | None:
    """None for a name that is no marker, or when too few patients have it measured."""
    marker = hospital.marker(source)
    if marker is None:
        return None
    values = hospital.cohort.marker_values(source)
    measured = rows & ~np.isnan(values)
    if int(measured.sum()) < hospital.smallest_group:
        return None
    contribution = endpoint.relevance[measured, endpoint.sources.index(source)]
    values = values[measured]
    levels = np.unique(values)
    if marker.kind is Kind.CONTINUOUS or len(levels) > _MOST_BINS:
        groups, left_out = _bins(values, hospital.smallest_group), 0
    else:
        by_level = [values == level for level in levels]
        groups = [group for group in by_level if int(group.sum()) >= hospital.smallest_group]
        left_out = len(by_level) - len(groups)
    if not groups:
        return None
    quantiles = np.array([np.quantile(contribution[group], _QUANTILES) for group in groups])
    at = np.array([np.median(values[group]) for group in groups])
    named = marker.kind in (Kind.CATEGORICAL, Kind.BINARY)
    return Dependence(
        label=marker_label(marker),
        unit=shown_unit(marker),
        logarithmic=is_decimal_logarithm(marker),
        labels=tuple(_level(marker, value) for value in at) if named else (),
        at=np.arange(len(groups), dtype=np.float64) if named else np.array([shown_value(marker, each) for each in at]),
        low=quantiles[:, 0],
        median=quantiles[:, 1],
        high=quantiles[:, 2],
        counts=tuple(int(group.sum()) for group in groups),
        left_out=left_out,
    )


def _level(marker: Marker, value: float) -> str:
    if marker.kind is Kind.CATEGORICAL:
        return words(marker.categories[int(value)])
    return "yes" if value > 0.5 else "no"


def _bins(values: FloatArray, floor: int) -> list[BoolArray]:
    """About equally many patients in each, at least the floor; equal values are never parted."""
    wanted = max(1, min(_MOST_BINS, len(values) // floor))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, wanted + 1)[1:-1]))
    number = np.searchsorted(edges, values, side="left")
    groups: list[BoolArray] = []
    for each in range(len(edges) + 1):
        group = number == each
        if groups and int(groups[-1].sum()) < floor:
            groups[-1] = groups[-1] | group  # ties left the one before too small
        else:
            groups.append(group)
    if len(groups) > 1 and int(groups[-1].sum()) < floor:
        groups[-2:] = [groups[-2] | groups[-1]]
    return groups


def risk_groups(hospital: HospitalPrognosis, endpoint: EndpointPrognosis, rows: BoolArray) -> tuple[GroupOutcome, ...]:
    """Thirds of the predicted risk; nothing for a third that is smaller than the floor."""
    ratio = endpoint.log_hazard_ratio
    if not rows.any():
        return ()
    third = np.searchsorted(np.quantile(ratio[rows], (1 / 3, 2 / 3)), ratio, side="left")
    found = [
        group_outcome(
            name,
            hospital.cohort,
            rows & (third == each),
            endpoint=endpoint.number,
            grid=hospital.grid,
            floor=hospital.smallest_group,
        )
        for each, name in enumerate(("low risk", "middle risk", "high risk"))
    ]
    return tuple(group for group in found if group is not None)
