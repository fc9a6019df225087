"""For which markers, and which pairs of them, does a patient vote in the release of explanations?

Kinds `key_markers` and `interactions` of `client.summaries`; what each number means is `protocol.vote_layout`. A
patient's votes follow from the model and the patient's own input alone. Votes rather than relevances are summed,
because a patient's influence must be bounded: with votes nobody's is wasted on having an extreme prognosis.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.client.explanation import column_relevance
from oncofed.client.interactions import PATIENTS_AT_ONCE, patient_interactions
from oncofed.client.relevance_rules import hidden_layer_of
from oncofed.protocol.plan import StudyPlan, SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import (
    COUNT_WEIGHT,
    EFFECTS_WEIGHT,
    OWN_EFFECTS_WEIGHT,
    OWN_WEIGHT,
    VOTES_WEIGHT,
    VoteLayout,
    vote_faults,
)
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
    layout, gather = VoteLayout.of(votes), _gather(votes)
    by_column = torch.as_tensor(column_relevance(network_with(plan.model, weights), patients.x, endpoint=ENDPOINT))
    relevance = by_column @ gather
    chosen = _strongest(relevance, votes.most_votes)
    share = 1 / math.sqrt(votes.most_votes)
    effects = (relevance / votes.largest_effect).clamp(-1.0, 1.0) * _value_signs(votes, patients.x)
    entity = _entity(votes, patients.x)
    rows = torch.zeros(len(patients), layout.own_effects.stop, dtype=torch.float64)
    everybody = torch.arange(len(patients))
    rows[:, layout.count.start] = COUNT_WEIGHT
    rows[:, layout.votes] = chosen * (VOTES_WEIGHT * share)
    rows[:, layout.effects] = chosen * effects * (EFFECTS_WEIGHT * share)
    if votes.entities:
        rows[everybody, layout.count.start + 1 + entity] = COUNT_WEIGHT
        for part, values, weight in (
            (layout.own, chosen, OWN_WEIGHT),
            (layout.own_effects, chosen * effects, OWN_EFFECTS_WEIGHT),
        ):
            own = rows[:, part].view(len(patients), votes.entities, votes.markers)
            own[everybody, entity] = values * (weight * share)
    return np.asarray(rows.numpy())


def pair_rows(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    """(patients, cells), each row at most 1 long."""
    votes = spec.votes
    assert votes is not None
    rows = torch.zeros(len(patients), spec.cells, dtype=torch.float64)
    layer = hidden_layer_of(network_with(plan.model, weights))
    if layer is not None:
        gather = _gather(votes)
        first, second = _pairs(votes.markers)
        for start in range(0, len(patients), PATIENTS_AT_ONCE):
            part = slice(start, start + PATIENTS_AT_ONCE)
            x = patients.x[part]
            found = patient_interactions(layer[0], layer[1][ENDPOINT], x, gather)[:, first, second]
            signs = _value_signs(votes, x)
            strongest = found.abs().topk(min(votes.most_votes, spec.cells), dim=1).indices
            signed = found.sign() * signs[:, first] * signs[:, second] / math.sqrt(votes.most_votes)
            rows[part].scatter_(1, strongest, signed.gather(1, strongest))
    return np.asarray(rows.numpy())


def _strongest(relevance: Tensor, most: int) -> Tensor:
    """(patients, markers), 1.0 where voted for: at most `most` a patient, never for a relevance of 0."""
    top = relevance.abs().topk(most, dim=1)
    chosen = torch.zeros_like(relevance)
    return chosen.scatter_(1, top.indices, (top.values > 0).double())


# Rows are made of one patient at a time (`client.summaries`), so what depends on the plan alone is made once.


@lru_cache(maxsize=4)
def _pairs(markers: int) -> tuple[Tensor, Tensor]:
    """First and second marker of each pair, in the order of the cells."""
    first, second = np.triu_indices(markers, k=1)
    return torch.as_tensor(first), torch.as_tensor(second)


@lru_cache(maxsize=4)
def _gather(votes: VoteSpec) -> Tensor:
    """(columns, markers): 1 where a column is of a marker that gets votes."""
    found = torch.zeros(len(votes.column_markers), votes.markers, dtype=torch.float64)
    for column, place in enumerate(votes.column_markers):
        if place < votes.markers:
            found[column, place] = 1.0
    return found


def _value_signs(votes: VoteSpec, x: Tensor) -> Tensor:
    """(patients, markers): -1 where the value lies below the public centre, else 1: a category, a flag, the centre."""
    return torch.where(x @ _gather(votes) < 0, -1.0, 1.0).double()  # flags and categories are never below 0


def _entity(votes: VoteSpec, x: Tensor) -> Tensor:
    """(patients,): which entity; 0 for the reference one, for unknown ones, and where none are asked for."""
    if not votes.entity_columns:
        return torch.zeros(len(x), dtype=torch.int64)
    of_category = x[:, list(votes.entity_columns)] != 0
    return torch.where(of_category.any(dim=1), of_category.double().argmax(dim=1) + 1, 0)
