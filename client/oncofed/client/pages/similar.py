"""How did patients of this hospital fare whom the model sees like this one?

The published patients of a unit are parted once into groups of patients alike, by how each marker moves the hazard: in
halves, along the marker in whose contributions they differ most, as long as both halves are large enough. A patient
belongs to the group whose mean contributions are nearest. So what the model ignores does not count, and everybody is
in one group only: two patients' pages never show two groups that differ in a few (microaggregation: Domingo-Ferrer and
Mateo-Sanz, IEEE TKDE 14 (2002)). Only the group's outcome is shown; nobody of it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import LOG_RATIO_STEP, Disclosure
from oncofed.client.pages.group_outcome import GroupOutcome, group_outcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, OwnPrognosis

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

MOST = 50
_FAR = np.log(1.5)
"""Of a middle hazard ratio from the patient's: then the group is like the patient, but not as much at risk."""


@dataclass(frozen=True, eq=False)
class SimilarPatients:
    """How they fared, and the middle of the log hazard ratios that the model gives them.

    among   whose they are, such as "patients with melanoma".
    differ  "", or in which way the patient's own risk is not theirs: "higher", "lower".
    """

    outcome: GroupOutcome
    among: str
    log_hazard_ratio: float
    differ: str


@dataclass(frozen=True, eq=False)
class Parted:
    """groups: rows of the published patients. centres: (groups, sources)."""

    groups: tuple[IntArray, ...]
    centres: FloatArray


def similar_patients(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, row: int, own: OwnPrognosis
) -> SimilarPatients | None:
    """The outcome of the patient's group; None where the patient's unit is too small to be parted."""
    unit, disclosure = hospital.unit_now(row), hospital.disclosure
    parted = alike_kept(hospital, endpoint, unit)
    if not parted.groups:
        return None
    chosen = parted.groups[int(np.linalg.norm(parted.centres - own.relevance, axis=1).argmin())]
    rows = np.zeros(len(hospital.units.of), dtype=np.bool_)
    rows[chosen] = True
    outcome = group_outcome(
        "similar patients",
        hospital.units.cohort,
        rows,
        endpoint=endpoint.number,
        grid=hospital.grid,
        disclosure=disclosure,
    )
    if outcome is None:
        return None
    middle = disclosure.middle(endpoint.log_hazard_ratio[chosen], step=LOG_RATIO_STEP)
    above = own.log_hazard_ratio - middle
    differ = "higher" if above > _FAR else "lower" if above < -_FAR else ""
    return SimilarPatients(outcome, hospital.of_entity(unit).label, middle, differ)


def alike_kept(hospital: HospitalPrognosis, endpoint: EndpointPrognosis, unit: int) -> Parted:
    """Computed once for each endpoint and unit."""
    return cast("Parted", hospital.kept(("alike", endpoint.number, unit), lambda: _parted(hospital, endpoint, unit)))


def _parted(hospital: HospitalPrognosis, endpoint: EndpointPrognosis, unit: int) -> Parted:
    rows = np.flatnonzero(hospital.units.of == unit)
    relevance = endpoint.relevance[rows]
    groups = tuple(rows[group] for group in alike(relevance, hospital.disclosure))
    centres = [endpoint.relevance[group].mean(axis=0) for group in groups]
    return Parted(groups, np.array(centres).reshape(len(groups), relevance.shape[1]))


def alike(relevance: FloatArray, disclosure: Disclosure) -> tuple[IntArray, ...]:
    """Every row in one group; none where there are too few for two groups."""
    patients = len(relevance)
    fewest = max(disclosure.crowd, min(MOST, patients // 4))
    if patients < 2 * fewest:
        return ()
    found: list[IntArray] = []
    waiting = [np.arange(patients, dtype=np.intp)]
    while waiting:
        group = waiting.pop()
        if len(group) < 2 * fewest:
            found.append(group)
            continue
        along = relevance[group][:, int(relevance[group].var(axis=0).argmax())]
        order = group[np.argsort(along, kind="stable")]
        waiting += [order[: len(order) // 2], order[len(order) // 2 :]]
    return tuple(found)
