"""Is the model as good, and as right, for women as for men, for the old, for each tumour and hospital, for whom much is
missing?

C-index, observed over expected events and calibration slope of each group of the patients set aside, side by side:
a C-index says nothing of how high risks are. Of each of the three, the intervals of all groups together hold the truth
with 95 % (`survival.simultaneous`), so that looking at many groups finds no difference by looking. C-indices of groups
are not to be compared with each other: in a group of patients who are alike it is harder to tell who is worse.

Groups: of the study's `subgroups` (without it, of the markers that are called sex, gender or age), of the tumour
entity, of hospitals, and of what is missing. Ages are cut at 50, 65 and 75 years, other numbers at the public reference
value. A group of fewer than FEWEST_PATIENTS is not told of, and one of fewer than FEWEST_EVENTS has no intervals.
Nothing of it is privately released.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import Kind, Marker, StudySchema
from oncofed.errors import Fault
from oncofed.simulations.evaluation import Prognosis, compared_until, entry_of
from oncofed.simulations.partition import Consortium
from oncofed.simulations.results import Subgroup, Subgroups, WithLimits
from oncofed.simulations.study import EvaluationSpec
from oncofed.simulations.told import Told
from oncofed.survival.calibration_slope import calibration_slope
from oncofed.survival.concordance import concordance_index, concordance_influence
from oncofed.survival.follow_up import checked_follow_up
from oncofed.survival.simultaneous import deviations, max_t_quantile
from oncofed.toml_file import closest
from oncofed.words.names import MODALITY_NAMES, plain_name
from oncofed.words.numbers import number

FloatArray = NDArray[np.float64]
Rows = NDArray[np.bool_]

FEWEST_PATIENTS, FEWEST_EVENTS = 30, 20
AGES = (50.0, 65.0, 75.0)
"""Years at which ages are cut."""
HOSPITAL, MISSING = "the hospital", "what is missing"  # with a blank, which no marker has
GROUPED_BY = {HOSPITAL: "Hospital", MISSING: "What is missing"}
"""As headings, where no marker gives one."""
_PEOPLE = frozenset(("sex", "gender", "age"))
_MUCH = 0.1
"""Of a patient's markers: so many missing is much."""

Grouped = Mapping[str, Mapping[str, Rows]]
"""By what they have in common, by name: (patients,)."""


def subgroups(
    network: Prognosis, *, patients: Consortium, evaluation: EvaluationSpec, seed: int
) -> dict[str, Subgroups]:
    """By endpoint."""
    test = patients.test
    told = Told.of(network, torch.as_tensor(encode(test)))
    grouped = groups_of(patients, evaluation.subgroups)
    horizon = min(evaluation.horizon, test.schema.grid.bounds[-1])
    return {
        endpoint.name: _of_endpoint(told, index, test, grouped, horizon, np.random.default_rng([seed, index]))
        for index, endpoint in enumerate(test.schema.endpoints)
    }


def unknown_subgroups(evaluation: EvaluationSpec, schema: StudySchema) -> tuple[Fault, ...]:
    """Names that are no marker's."""
    names = [marker.name for marker in schema.markers]
    return tuple(
        Fault("[evaluation], subgroups", f'"{name}" is no marker of the schema', closest(name, names))
        for name in evaluation.subgroups or ()
        if name not in names
    )


def groups_of(patients: Consortium, named: tuple[str, ...] | None) -> Grouped:
    """Of the patients set aside. named: the study's markers; None: those of sex and age, by their names."""
    test, schema = patients.test, patients.test.schema
    wanted = _people(schema) if named is None else named
    if schema.tumour_entity is not None and schema.tumour_entity not in wanted:
        wanted = (*wanted, schema.tumour_entity)
    markers = {marker.name: marker for marker in schema.markers}
    found = {name: _by_value(markers[name], test.marker_values(name)) for name in wanted if name in markers}
    sites = {str(name): patients.test_sites == name for name in sorted(set(patients.test_sites.tolist()))}
    found[HOSPITAL] = {name: rows for name, rows in sites.items() if name}
    found[MISSING] = _by_what_is_missing(test)
    return {by: groups for by, groups in found.items() if len(groups) > 1}


def _people(schema: StudySchema) -> tuple[str, ...]:
    return tuple(marker.name for marker in schema.markers if _PEOPLE & set(marker.name.lower().split("_")))


def _by_value(marker: Marker, values: FloatArray) -> dict[str, Rows]:
    known = ~np.isnan(values)
    if marker.kind is Kind.CATEGORICAL:
        groups = {plain_name(name): values == code for code, name in enumerate(marker.categories)}
    elif marker.kind is Kind.BINARY:
        groups = {"no": values == 0, "yes": values == 1}
    elif marker.kind is Kind.ORDINAL:
        groups = {number(level): values == level for level in np.unique(values[known]).tolist()}
    else:
        bounds = AGES if marker.unit == "years" else (marker.centre,)
        groups = dict(_between(values, bounds))
    return {name: rows for name, rows in {**groups, "not recorded": ~known}.items() if rows.any()}


def _between(values: FloatArray, bounds: tuple[float, ...]) -> Iterator[tuple[str, Rows]]:
    yield f"below {number(bounds[0])}", values < bounds[0]
    for low, high in pairwise(bounds):
        yield f"{number(low)} to below {number(high)}", (values >= low) & (values < high)
    yield f"{number(bounds[-1])} and above", values >= bounds[-1]


def _by_what_is_missing(test: Cohort) -> dict[str, Rows]:
    """By the kinds of data of which a patient has nothing; where nobody lacks a whole kind, by how much is missing."""
    missing, markers = np.isnan(test.values), test.schema.markers
    kinds = list(dict.fromkeys(marker.modality for marker in markers))
    lacks = np.array(
        [missing[:, [each.modality is kind for each in markers]].all(axis=1) for kind in kinds], dtype=np.bool_
    ).T.reshape(len(test), len(kinds))
    if not lacks.any():
        share = missing.mean(axis=1)
        groups = {"nothing": share == 0, "up to a tenth": (share > 0) & (share <= _MUCH), "more": share > _MUCH}
        return {name: rows for name, rows in groups.items() if rows.any()}
    return {
        _listed([MODALITY_NAMES[kind] for kind, each in zip(kinds, pattern, strict=True) if each]): (
            lacks == pattern
        ).all(axis=1)
        for pattern in np.unique(lacks, axis=0)
    }


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "no whole kind of data"


@dataclass(frozen=True, eq=False)
class _Figure:
    """value, and influence: (patients of all groups,), on `scaled`, which has the even interval; None: no interval."""

    value: float
    scaled: float
    influence: FloatArray | None


def _of_endpoint(
    told: Told, index: int, test: Cohort, grouped: Grouped, horizon: float, rng: np.random.Generator
) -> Subgroups:
    every = [(by, name, rows) for by, groups in grouped.items() for name, rows in groups.items()]
    large = [(by, name, rows) for by, name, rows in every if rows.sum() >= FEWEST_PATIENTS]
    small = Counter(by for by, _, rows in every if rows.sum() < FEWEST_PATIENTS)
    order, alone = told.order(test, index, horizon), told.risk_alone(test, index, horizon)
    figures = [
        (
            _c_index(order, index, test, rows),
            _ratio(told, index, test, rows),
            _slope(alone, index, test, rows, horizon),
        )
        for _, _, rows in large
    ]
    inverses: tuple[Callable[[float], float], ...] = (_from_logit, math.exp, float)
    families = [_with_limits([each[place] for each in figures], inverse, rng) for place, inverse in enumerate(inverses)]
    return Subgroups(
        tuple(
            Subgroup(
                by, name, int(rows.sum()), int(test.observed[rows, index].sum()), *(each[place] for each in families)
            )
            for place, (by, name, rows) in enumerate(large)
        ),
        dict(small),
    )


def _with_limits(
    figures: Sequence[_Figure], inverse: Callable[[float], float], rng: np.random.Generator
) -> list[WithLimits]:
    """Of one family: as many deviations to each side for all."""
    known = [each.influence for each in figures if each.influence is not None]
    spread = deviations(np.array(known)) if known else np.zeros(0)
    quantile = max_t_quantile(np.array(known), rng)
    halves = iter((quantile * spread).tolist())
    found = []
    for each in figures:
        if each.influence is None:
            found.append(WithLimits(each.value, float("nan"), float("nan")))
        else:
            half = next(halves)
            found.append(WithLimits(each.value, inverse(each.scaled - half), inverse(each.scaled + half)))
    return found


def _from_logit(value: float) -> float:
    return float(expit(value))


def _everywhere(influence: FloatArray, rows: Rows) -> FloatArray:
    found = np.zeros(len(rows))
    found[rows] = influence
    return found


def _few(test: Cohort, index: int, rows: Rows) -> bool:
    return bool(test.observed[rows, index].sum() < FEWEST_EVENTS)


def _c_index(order: FloatArray, index: int, test: Cohort, rows: Rows) -> _Figure:
    entry = entry_of(test, index)
    risk, time, observed = (
        order[rows],
        compared_until(test, index)[rows],
        test.observed[rows, index],
    )
    since = None if entry is None else entry[rows]
    value = concordance_index(risk=risk, time=time, observed=observed, entry=since)
    if _few(test, index, rows) or not 0 < value < 1:
        return _Figure(value, value, None)
    influence = concordance_influence(risk=risk, time=time, observed=observed, entry=since)
    return _Figure(value, float(logit(value)), _everywhere(influence / (value * (1 - value)), rows))


def _ratio(told: Told, index: int, test: Cohort, rows: Rows) -> _Figure:
    """Of events: with O of them and E expected, a patient's influence on its logarithm is event / O - expected / E."""
    came, expected = (each[rows] for each in told.counts(test, index))
    observed, total = float(came.sum()), float(expected.sum())
    value = observed / total if total > 0 else float("nan")
    if _few(test, index, rows) or not value > 0:
        return _Figure(value, value, None)
    return _Figure(value, math.log(value), _everywhere(came / observed - expected / total, rows))


def _slope(alone: FloatArray, index: int, test: Cohort, rows: Rows, horizon: float) -> _Figure:
    entry = entry_of(test, index)
    follow_up = checked_follow_up(
        time=test.exit[rows, index], observed=test.observed[rows, index], entry=None if entry is None else entry[rows]
    )
    fitted = calibration_slope(horizon, alone[rows], follow_up)
    if _few(test, index, rows) or math.isnan(fitted.value):
        return _Figure(fitted.value, fitted.value, None)
    return _Figure(fitted.value, fitted.value, _everywhere(fitted.influence, rows))
