"""How does the model see this patient against the usual one with the same tumour, of whom the same is known?

The usual patient has the middle value of each marker among the published patients of this tumour, on its public step,
and of a marker of few values the most frequent one. Where too few have it measured for a middle, or shares are too
coarse to tell that one value is more frequent than each other, nothing is usual: there the usual patient has this
patient's own, as of treatments, and what is missing of this patient is missing of the usual one. None of these makes a
difference. All follows from figures that `disclosure` lets be told, and from the public model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import step_of
from oncofed.client.pages.hospital import HospitalPrognosis, Peers
from oncofed.client.pages.usual_values import Usual, usual_values
from oncofed.client.pages.wording import TOO_FEW_MEASURED, with_unit
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import source_label
from oncofed.words.names import capital

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MOST = 5


@dataclass(frozen=True)
class Difference:
    """Of one marker, in words but for what it makes of the log hazard ratio."""

    label: str
    own: str
    usual: str
    log_hazard_ratio: float


@dataclass(frozen=True)
class NotTold:
    """One marker of which nothing is usual, in words. why: what stands instead."""

    label: str
    own: str
    why: str


@dataclass(frozen=True)
class AgainstUsual:
    """differences: the strongest. rest: all others together. log_hazard_ratio: against the usual patient, the sum.

    not_told  of markers that contribute most to this patient's own hazard ratio.
    """

    differences: tuple[Difference, ...]
    not_told: tuple[NotTold, ...]
    rest: float
    log_hazard_ratio: float


def against_usual(
    hospital: HospitalPrognosis, row: int, peers: Peers, *, endpoint: int, say: Language = ENGLISH
) -> AgainstUsual:
    """With the spread that is right here, as all of the page."""
    prognosis, own = hospital.endpoint(endpoint), hospital.cohort.values[row]
    usual, relevance = usual_patient(hospital, row, peers), hospital.own(endpoint, row).relevance
    apart = prognosis.slope * (relevance - hospital.as_if(row, usual).own(endpoint, 0).relevance)
    place = {marker.name: index for index, marker in enumerate(hospital.schema.markers)}
    found: list[Difference] = []
    for at in np.argsort(-np.abs(apart), kind="stable").tolist():
        index = place.get(prognosis.sources[at])
        if index is None or own[index] == usual[index] or np.isnan(own[index]) or len(found) == _MOST:
            continue
        marker = hospital.schema.markers[index]
        words = (with_unit(marker, float(each[index]), say=say) for each in (own, usual))
        label = capital(source_label(hospital.schema, marker.name, say=say))
        found.append(Difference(label, next(words), next(words), float(apart[at])))
    whole = float(apart.sum())
    strongest = [place.get(prognosis.sources[at]) for at in np.argsort(-np.abs(relevance), kind="stable").tolist()]
    nothing = np.isnan(_usual_of(hospital, peers)) & ~np.isnan(own) & ~_fixed(hospital)
    untold = [index for index in strongest if index is not None and nothing[index]]
    not_told = tuple(_not_told(hospital, index, float(own[index]), say) for index in untold[:_MOST])
    return AgainstUsual(tuple(found), not_told, whole - sum(each.log_hazard_ratio for each in found), whole)


def usual_patient(hospital: HospitalPrognosis, row: int, peers: Peers) -> FloatArray:
    """(markers,), as a table has them."""
    own, usual = hospital.cohort.values[row], _usual_of(hospital, peers)
    return np.where(np.isnan(own) | np.isnan(usual) | _fixed(hospital), own, usual)


def _fixed(hospital: HospitalPrognosis) -> BoolArray:
    """(markers,): the usual patient's are this patient's own."""
    return np.array(
        [
            marker.modality is Modality.TREATMENT or marker.name == hospital.schema.tumour_entity
            for marker in hospital.schema.markers
        ]
    )


def _not_told(hospital: HospitalPrognosis, index: int, own: float, say: Language) -> NotTold:
    marker = hospital.schema.markers[index]
    why = say(TOO_FEW_MEASURED) if marker.kind is Kind.CONTINUOUS else say("none can be told")
    return NotTold(capital(source_label(hospital.schema, marker.name, say=say)), with_unit(marker, own, say=say), why)


def _usual_of(hospital: HospitalPrognosis, peers: Peers) -> FloatArray:
    """Of the group, NaN where nothing is; kept for its next patient."""

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
        return np.nan
    # Ranges may overlap, or begin at 0 for all: the most frequent is the one whose range lies above all others.
    for level, share in usual.shares.items():
        others = [1.0 if each is None else each.high for other, each in usual.shares.items() if other != level]
        if share is not None and share.low > 0 and share.low >= max(others, default=0.0):
            return level
    return np.nan
