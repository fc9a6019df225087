"""How does the model see this patient against the usual one with the same tumour, of whom the same is known?

The usual patient has the middle value of each marker among the published patients of this tumour, on its public step,
and of a marker of few values the one that most have, as far as that is told; of what is told of too few the reference
patient's. What is missing of this patient is missing of the usual one, and treatments are this patient's own: neither
makes a difference. All follows from figures that `disclosure` lets be told, and from the public model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import step_of
from oncofed.client.pages.hospital import HospitalPrognosis, Peers
from oncofed.client.pages.usual_values import Usual, usual_values
from oncofed.client.pages.wording import with_unit
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.words.markers import source_label
from oncofed.words.names import capital

FloatArray = NDArray[np.float64]

_MOST = 5


@dataclass(frozen=True)
class Difference:
    """Of one marker, in words but for what it makes of the log hazard ratio."""

    label: str
    own: str
    usual: str
    log_hazard_ratio: float


@dataclass(frozen=True)
class AgainstUsual:
    """differences: the strongest. rest: all others together. log_hazard_ratio: against the usual patient, the sum."""

    differences: tuple[Difference, ...]
    rest: float
    log_hazard_ratio: float


def against_usual(hospital: HospitalPrognosis, row: int, peers: Peers, *, endpoint: int) -> AgainstUsual:
    """With the spread that is right here, as all of the page."""
    prognosis, own = hospital.endpoint(endpoint), hospital.cohort.values[row]
    usual = usual_patient(hospital, row, peers)
    apart = hospital.own(endpoint, row).relevance - hospital.as_if(row, usual).own(endpoint, 0).relevance
    apart = prognosis.slope * apart
    place = {marker.name: index for index, marker in enumerate(hospital.schema.markers)}
    found: list[Difference] = []
    for at in np.argsort(-np.abs(apart), kind="stable").tolist():
        index = place.get(prognosis.sources[at])
        if index is None or own[index] == usual[index] or np.isnan(own[index]) or len(found) == _MOST:
            continue
        marker = hospital.schema.markers[index]
        words = (with_unit(marker, float(each[index])) for each in (own, usual))
        label = capital(source_label(hospital.schema, marker.name))
        found.append(Difference(label, next(words), next(words), float(apart[at])))
    whole = float(apart.sum())
    return AgainstUsual(tuple(found), whole - sum(each.log_hazard_ratio for each in found), whole)


def usual_patient(hospital: HospitalPrognosis, row: int, peers: Peers) -> FloatArray:
    """(markers,), as a table has them."""
    own, usual = hospital.cohort.values[row], _usual_of(hospital, peers)
    fixed = [
        marker.modality is Modality.TREATMENT or marker.name == hospital.schema.tumour_entity
        for marker in hospital.schema.markers
    ]
    return np.where(np.isnan(own) | fixed, own, usual)


def _usual_of(hospital: HospitalPrognosis, peers: Peers) -> FloatArray:
    """Of the group, kept for its next patient."""

    def found() -> FloatArray:
        values = hospital.units.cohort.values[peers.rows].T
        each = zip(hospital.schema.markers, values, usual_values(hospital, peers), strict=True)
        return np.array([_usual(hospital, *one) for one in each])

    return cast("FloatArray", hospital.kept(("usual patient", peers.unit), found))


def _usual(hospital: HospitalPrognosis, marker: Marker, values: FloatArray, usual: Usual) -> float:
    if marker.kind is Kind.CONTINUOUS:
        measured, disclosure = values[~np.isnan(values)], hospital.disclosure
        if disclosure.told(len(measured)):
            return disclosure.middle(measured, step=step_of(marker.scale))
        return marker.centre
    told = {level: share.low for level, share in usual.shares.items() if share is not None and share.low > 0}
    if told:
        return max(told, key=lambda level: told[level])
    return float(marker.categories.index(marker.reference_category)) if marker.categories else marker.centre
