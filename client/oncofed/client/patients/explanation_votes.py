"""For which markers, and which pairs of them, does a patient vote in the release of explanations?

Kinds `key_markers` and `interactions` of `patients.summaries`; what each number means is `protocol.vote_layout`. A
patient's votes follow from the model and the patient's own input alone. Votes rather than relevances are summed,
because a patient's influence must be bounded: with votes nobody's is wasted on having an extreme prognosis.

A row is the same bits whoever else is there, as `summaries` asks. Products of matrices are exact ones; what else
is done has one result, entry by entry; and of equally strong markers those that stand first get the votes.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.explanation.interactions import PATIENTS_AT_ONCE, patient_interactions
from oncofed.explanation.marker_columns import MarkerColumns
from oncofed.explanation.rules import EXACT, Rule, hidden_layer_of, relevance_of_columns
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import (
    COUNT_WEIGHT,
    EFFECTS_WEIGHT,
    OWN_EFFECTS_WEIGHT,
    OWN_WEIGHT,
    VOTES_WEIGHT,
    VoteLayout,
    vote_faults,
)
from oncofed.survival.categories import category_of
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]

ENDPOINT = 0
"""The study's first: the main one."""


def faults(plan: StudyPlan, spec: SummarySpec) -> list[str]:
    """Why it cannot be computed, in words; empty when it can."""
    found = vote_faults(spec, columns=plan.model.columns)
    if spec.kind is SummaryKind.INTERACTIONS and len(plan.model.hidden_units) > 1:
        found.append("interactions are computed for one hidden layer only")
    return found


def marker_rows(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    """(patients, cells), each row at most 1 long."""
    votes = spec.votes
    assert votes is not None
    layout, by_marker = VoteLayout.of(votes), _by_marker(votes)
    by_column = relevance_of_columns(
        network_with(plan.model, weights), patients.x, endpoint=ENDPOINT, rule=Rule.AVERAGED, products=EXACT
    )
    relevance = torch.as_tensor(by_marker.sums(by_column.numpy()))
    chosen, voted = _strongest(relevance.abs(), votes.most_votes)
    share = voted / math.sqrt(votes.most_votes)
    cut = (relevance.gather(1, chosen) / votes.largest_effect).clamp_(-1.0, 1.0)
    effects = share * cut * _value_signs(votes, patients.x).gather(1, chosen)
    rows = torch.zeros(len(patients), layout.own_effects.stop, dtype=torch.float64)
    rows[:, layout.count.start] = COUNT_WEIGHT
    rows.scatter_(1, layout.votes.start + chosen, VOTES_WEIGHT * share)
    rows.scatter_(1, layout.effects.start + chosen, EFFECTS_WEIGHT * effects)
    if votes.entities:
        entity = category_of(votes.entity_columns, patients.x)[:, None]
        own = entity * votes.markers + chosen
        rows.scatter_(1, layout.count.start + 1 + entity, COUNT_WEIGHT)
        rows.scatter_(1, layout.own.start + own, OWN_WEIGHT * share)
        rows.scatter_(1, layout.own_effects.start + own, OWN_EFFECTS_WEIGHT * effects)
    return np.asarray(rows.numpy())


def pair_rows(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    """(patients, cells), each row at most 1 long."""
    votes = spec.votes
    assert votes is not None
    rows = torch.zeros(len(patients), spec.cells, dtype=torch.float64)
    layer = hidden_layer_of(network_with(plan.model, weights))
    if layer is not None:
        for start in range(0, len(patients), PATIENTS_AT_ONCE):
            part = slice(start, start + PATIENTS_AT_ONCE)
            rows[part].scatter_(1, *_pair_votes(votes, layer, patients.x[part]))
    return np.asarray(rows.numpy())


def _pair_votes(votes: VoteSpec, layer: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """(patients, most), (patients, most): which cells, and what goes there."""
    first, second = _pairs(votes.markers)
    units, outputs = layer
    found = torch.as_tensor(
        np.take(  # of matrices that nobody holds on to: they are most of the memory
            patient_interactions(units, outputs[ENDPOINT], x, _by_marker(votes), products=EXACT).flatten(1).numpy(),
            first * votes.markers + second,
            axis=1,
        )
    )
    chosen, voted = _strongest(found.abs(), min(votes.most_votes, found.shape[1]))
    signs = _value_signs(votes, x)
    directions = signs.gather(1, first[chosen]) * signs.gather(1, second[chosen])
    return chosen, found.gather(1, chosen).sign() * directions * voted / math.sqrt(votes.most_votes)


def _strongest(strength: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Which are a patient's strongest, and for which of them (1.0) the patient votes: not for those of no strength.

    strength  (patients, candidates), at least 0; of equal ones the first are the stronger.
              NaN counts as the strongest, and nobody votes for it.
    returns   (patients, most), in the candidates' order; (patients, most).

    The same steps for everybody, tied or not: what a tie costs more would tell who has one, by the time it takes.
    """
    rank = torch.where(strength.isnan(), math.inf, strength)
    last = rank.topk(most, dim=1).values[:, -1:]
    larger, equal = rank > last, rank == last
    room = most - larger.sum(dim=1, keepdim=True)
    taken = larger | (equal & (equal.cumsum(dim=1) <= room))
    chosen = taken.nonzero()[:, 1].view(len(strength), most)
    return chosen, (strength.gather(1, chosen) > 0).double()


# Rows are made of some patients at a time (`patients.summaries`), so what depends on the plan alone is made once.


@lru_cache(maxsize=4)
def _pairs(markers: int) -> tuple[Tensor, Tensor]:
    """First and second marker of each pair, in the order of the cells."""
    first, second = np.triu_indices(markers, k=1)
    return torch.as_tensor(first), torch.as_tensor(second)


@lru_cache(maxsize=4)
def _by_marker(votes: VoteSpec) -> MarkerColumns:
    return MarkerColumns.of(votes.column_markers, markers=votes.markers)


def _value_signs(votes: VoteSpec, x: Tensor) -> Tensor:
    """(patients, markers): -1 where the value lies below the public centre, else 1: a category, a flag, the centre."""
    sums = torch.as_tensor(_by_marker(votes).sums(x.numpy()))
    return torch.where(sums < 0, -1.0, 1.0).double()  # flags and categories are never below 0
