"""Do explanations stay when the model is trained again, and go when its weights are shuffled?

Stability: the same patients, another initialisation (and other privacy noise); how far the order of the markers, and
each patient's relevances, agree. Sanity (Adebayo et al., NeurIPS 2018): the weights of each layer are shuffled, linear
branch or ReLU branch or both; an explanation that stays as it was would not be of this model.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.patients.cohort_explanation import mean_absolute, rank_correlation
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]

STRONGEST = 20
STRONGEST_OF_A_PATIENT = 10


@dataclass(frozen=True)
class Agreement:
    """order         rank correlation of the markers' strengths.
    strongest     how many of the STRONGEST of one are among those of the other, as a share.
    patients      median over patients of the correlation of their relevances.
    of_a_patient  mean over patients: how many of their STRONGEST_OF_A_PATIENT markers are among those of the other, on
                  the same side, as a share.
    """

    order: float
    strongest: float
    patients: float
    of_a_patient: float

    def __str__(self) -> str:
        return f"{self.order:.3f} | {self.strongest:.2f} | {self.patients:.3f} | {self.of_a_patient:.2f}"


def agreement(one: FloatArray, other: FloatArray) -> Agreement:
    """Of two explanations (patients, players) of the same patients."""
    first, second = mean_absolute(one), mean_absolute(other)
    tops = [set(np.argsort(-strength, kind="stable")[:STRONGEST].tolist()) for strength in (first, second)]
    each = [_correlation(a, b) for a, b in zip(one, other, strict=True)]
    shown = [_of_each(relevance) for relevance in (one, other)]
    return Agreement(
        order=rank_correlation(first, second),
        strongest=len(tops[0] & tops[1]) / STRONGEST,
        patients=float(np.nanmedian(each)),
        of_a_patient=float((shown[0] * shown[1] > 0).sum(axis=1).mean()) / STRONGEST_OF_A_PATIENT,
    )


def mean_agreement(explanations: Sequence[FloatArray]) -> Agreement:
    """Over all pairs."""
    pairs = [agreement(one, other) for one, other in itertools.combinations(explanations, 2)]
    return Agreement(*(float(np.mean([getattr(pair, name) for pair in pairs])) for name in Agreement.__annotations__))


def shuffled(network: PrognosisNetwork, *, linear: bool, hidden: bool, generator: torch.Generator) -> PrognosisNetwork:
    """A copy whose weights have changed places within each layer of the named branches."""
    found = copy.deepcopy(network)
    chosen = [*([found.linear_branch] if linear else []), *([found.relu_branch] if hidden else [])]
    with torch.no_grad():
        for branch in chosen:
            for weight in () if branch is None else branch.parameters():
                order = torch.randperm(weight.numel(), generator=generator)
                weight.copy_(weight.reshape(-1)[order].view_as(weight))
    return found


def _of_each(relevance: FloatArray) -> FloatArray:
    """(patients, players): 1 or -1 for the patient's strongest, by their sign; 0 for the rest."""
    found = np.zeros_like(relevance)
    strongest = np.argsort(-np.abs(relevance), axis=1, kind="stable")[:, :STRONGEST_OF_A_PATIENT]
    np.put_along_axis(found, strongest, np.sign(np.take_along_axis(relevance, strongest, axis=1)), axis=1)
    return found


def _correlation(first: FloatArray, second: FloatArray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
