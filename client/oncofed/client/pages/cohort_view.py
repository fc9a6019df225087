"""Which markers carry the prognosis at this hospital, how, and how did its risk groups fare?

Everything is about published patients and goes through `disclosure`: means, bins of values, thirds of the risk. No
point in a picture is a patient, so an analyst who may see no patient may see all of this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import Disclosure, Spread, step_of
from oncofed.client.pages.group_outcome import GroupOutcome, group_outcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, Peers
from oncofed.client.pages.outcome_parts import THIRDS, public_axis
from oncofed.client.pages.wording import TOO_FEW_MEASURED, marker_value
from oncofed.client.patients.cohort_explanation import MONOTONE, rank_correlation
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import (
    is_decimal_logarithm,
    marker_label,
    shown_unit,
    shown_value,
    source_label,
)
from oncofed.words.names import modality_name

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

_MOST_BINS = 12
_TAIL = 0.1
_NOT_MEASURED = {True: later("not measured: higher hazard"), False: later("not measured: lower hazard")}
_YES = {True: later("yes: higher hazard"), False: later("yes: lower hazard")}
_HIGHER_VALUE = {True: later("higher value: higher hazard"), False: later("higher value: lower hazard")}
_CROWDS_FOR_A_SPREAD = 2
"""In a bin, where there are enough patients for four such bins."""


@dataclass(frozen=True)
class MarkerStrength:
    """strength  mean absolute contribution, in log hazard ratio, rounded down. share: of all markers' strength.

    direction  what a higher value does, in English: `in_language` has all of it in another one.
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

    at         (bins,) the middle value of a bin in `unit`, or the category's place.
    labels     of categories; empty for numbers. logarithmic: whether these are best drawn on a logarithmic scale.
    middle     (bins,) contributions in the middle of a bin.
    spreads    (bins,) where most of its contributions lie; None where too few patients have such a value.
    """

    label: str
    unit: str
    logarithmic: bool
    labels: tuple[str, ...]
    at: FloatArray
    middle: FloatArray
    spreads: tuple[Spread | None, ...]


def strongest_markers(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, peers: Peers, *, with_direction: int | None = None
) -> tuple[MarkerStrength, ...]:
    """Every marker with a strength that may be told, strongest first; equally strong ones in the schema's order.

    with_direction  of how many the direction is found, too, which takes most of the time; left out: of all.
    """
    relevance = endpoint.relevance[peers.rows]
    strength = hospital.disclosure.means(np.abs(relevance), endpoint.tops)
    strata = hospital.units.strata[peers.rows]
    for place, source in enumerate(endpoint.sources):
        levels = _few_values(hospital, source, endpoint.relevance[:, place])
        if levels is not None:
            step = step_of(float(endpoint.tops[place]))
            strength[place] = _of_levels(levels[peers.rows], relevance[:, place], strata, hospital.disclosure, step)
    total = float(strength.sum())
    found: list[MarkerStrength] = []
    for place in np.argsort(-strength, kind="stable"):
        if not strength[place] > 0:
            break
        source = endpoint.sources[place]
        marker = hospital.marker(source)
        found.append(
            MarkerStrength(
                source=source,
                label=source_label(hospital.schema, source),
                modality=modality_name(Modality(source) if marker is None else marker.modality),
                unit="" if marker is None else shown_unit(marker),
                strength=float(strength[place]),
                share=float(strength[place]) / total,
                direction=_direction(hospital, endpoint, marker, source, peers)
                if with_direction is None or len(found) < with_direction
                else "",
            )
        )
    return tuple(found)


def in_language(
    hospital: HospitalPrognosis, strongest: tuple[MarkerStrength, ...], say: Language
) -> tuple[MarkerStrength, ...]:
    """The same, in other words: what they are made of is computed once for all languages."""
    found = []
    for each in strongest:
        marker = hospital.marker(each.source)
        found.append(
            replace(
                each,
                label=source_label(hospital.schema, each.source, say=say),
                modality=modality_name(Modality(each.source) if marker is None else marker.modality, say=say),
                unit="" if marker is None else shown_unit(marker, say=say),
                direction=say(each.direction),
            )
        )
    return tuple(found)


def _few_values(hospital: HospitalPrognosis, source: str, relevance: FloatArray) -> FloatArray | None:
    """(published patients,): which of its values each has, NaN for none; None for a marker of many values."""
    marker = hospital.marker(source)
    if marker is None:
        missing: FloatArray = (relevance != 0).astype(np.float64)  # of the whole modality
        return missing
    values: FloatArray = hospital.units.cohort.marker_values(source)
    return None if _has_many_values(marker, values) else values


def _has_many_values(marker: Marker, values: FloatArray) -> bool:
    return marker.kind is Kind.CONTINUOUS and len(np.unique(values[~np.isnan(values)])) > _MOST_BINS


def _of_levels(
    levels: FloatArray, relevance: FloatArray, strata: IntArray, disclosure: Disclosure, step: float
) -> float:
    """Of each value that a stratum tells: the middle of its share, times its middle contribution."""
    total, values = 0.0, _each_value(levels)
    for stratum in np.unique(strata):
        rows = strata == stratum
        patients = int(rows.sum())
        for group in (rows & same for same in values):
            if disclosure.told(int(group.sum())):
                share = disclosure.share(int(group.sum()), patients)
                middle = disclosure.middle(relevance[group], step=step)
                total += disclosure.count(patients) * (share.low + share.high) / 2 * abs(middle)
    weight = disclosure.count_of_strata(strata)
    return total / weight if weight else 0.0


def _each_value(levels: FloatArray) -> list[BoolArray]:
    missing = np.isnan(levels)
    return [missing, *(levels == level for level in np.unique(levels[~missing]))]


def _direction(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, marker: Marker | None, source: str, peers: Peers
) -> str:
    """From the middle contributions that are told."""
    if marker is None:
        missing = np.abs(endpoint.relevance[:, endpoint.sources.index(source)]) > 0
        told = levels_told(
            missing.astype(np.float64)[peers.rows], hospital.units.strata[peers.rows], hospital.disclosure
        )
        if 1.0 not in told:
            return later("too few without it")
        without = endpoint.relevance[peers.rows & missing, endpoint.sources.index(source)]
        middle = hospital.disclosure.middle(without, step=_step_of(endpoint, source))
        return _NOT_MEASURED[middle > 0]
    if marker.kind is Kind.CATEGORICAL:
        return later("by category")
    found = dependence(hospital, endpoint, peers, source=source)
    if found is None:
        return TOO_FEW_MEASURED
    correlation = rank_correlation(found.at, found.middle)
    if not abs(correlation) >= MONOTONE:
        return later("no single direction")
    return (_YES if marker.kind is Kind.BINARY else _HIGHER_VALUE)[correlation > 0]


def _step_of(endpoint: EndpointPrognosis, source: str) -> float:
    """Of contributions of one source."""
    return step_of(float(endpoint.tops[endpoint.sources.index(source)]))


def dependence(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, peers: Peers, *, source: str, say: Language = ENGLISH
) -> Dependence | None:
    """None for a name that is no marker, or when too few patients have it measured."""
    marker, disclosure = hospital.marker(source), hospital.disclosure
    if marker is None:
        return None
    every = hospital.units.cohort.marker_values(source)
    values = every[peers.rows]
    contribution = endpoint.relevance[peers.rows, endpoint.sources.index(source)]
    measured = ~np.isnan(values)
    if _has_many_values(marker, every):
        places = np.flatnonzero(measured)
        groups = [places[group] for group in bins(values[measured], disclosure)]
    else:
        levels = levels_told(values, hospital.units.strata[peers.rows], disclosure)
        groups = [np.flatnonzero(values == level) for level in levels]
    if not groups:
        return None
    named = marker.kind in (Kind.CATEGORICAL, Kind.BINARY)
    value_step = step_of(marker.scale) if marker.kind is Kind.CONTINUOUS else 1.0
    at = [disclosure.middle(values[group], step=value_step) for group in groups]
    step = _step_of(endpoint, source)
    return Dependence(
        label=marker_label(marker, say=say),
        unit=shown_unit(marker, say=say),
        logarithmic=is_decimal_logarithm(marker),
        labels=tuple(marker_value(marker, value, say=say) for value in at) if named else (),
        at=np.arange(len(groups), dtype=np.float64) if named else np.array([shown_value(marker, each) for each in at]),
        middle=np.array([disclosure.middle(contribution[group], step=step) for group in groups]),
        spreads=tuple(disclosure.spread(contribution[group], widest=_TAIL, step=step) for group in groups),
    )


def levels_told(values: FloatArray, strata: IntArray, disclosure: Disclosure) -> list[float]:
    """Which values of a marker are shown of a group: those that one of its strata shows.

    values, strata  (patients,)
    """
    told: set[float] = set()
    for stratum in np.unique(strata):
        found, counts = np.unique(values[(strata == stratum) & ~np.isnan(values)], return_counts=True)
        told |= {float(level) for level, count in zip(found, counts, strict=True) if disclosure.told(int(count))}
    return sorted(told)


def bins(values: FloatArray, disclosure: Disclosure) -> list[BoolArray]:
    """About equally many patients in each, at least as many as may be told; equal values are never parted."""
    crowd = disclosure.crowd
    if len(values) < crowd:
        return []
    roomy = _CROWDS_FOR_A_SPREAD * crowd
    size = roomy if len(values) >= 4 * roomy else crowd
    wanted = max(1, min(_MOST_BINS, len(values) // size))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, wanted + 1)[1:-1]))
    number = np.searchsorted(edges, values, side="left")
    groups: list[BoolArray] = []
    for each in range(len(edges) + 1):
        group = number == each
        if groups and int(groups[-1].sum()) < crowd:
            groups[-1] = groups[-1] | group  # ties left the one before too small
        else:
            groups.append(group)
    if len(groups) > 1 and int(groups[-1].sum()) < crowd:
        groups[-2:] = [groups[-2] | groups[-1]]
    return groups


def risk_groups(hospital: HospitalPrognosis, endpoint: EndpointPrognosis, peers: Peers) -> tuple[GroupOutcome, ...]:
    """Thirds of the predicted risk, each within the own tumour; nothing for a third of which too little may be told."""
    found = [
        group_outcome(
            name,
            [part for part in endpoint.parts if part.third == third and peers.unit in (None, part.unit)],
            axis=public_axis(hospital.grid),
            disclosure=hospital.disclosure,
        )
        for third, name in enumerate(THIRDS)
    ]
    return tuple(group for group in found if group is not None)
