"""What does each patient add to a summary, and what sum of it may be released?

`KINDS` is the fixed list of what this hospital computes; a plan with another kind, or with numbers that do not fit its
kind, is refused before any patient is read. A kind says whose patients it is about and gives one row a patient. The
bound is not the kind's affair: whatever it gives, each row is cut to length 1 here before rows are added, and a row
with a number that is not finite adds exactly nothing. Nor is it the kind's affair that a row is of one patient alone: a
kind is asked about one patient at a time. Given many, the last bits of a matrix product would depend on who else is
there, and with weights of a hostile server's choice such a bit decides a vote, for many patients at once (see
`survival.one_by_one`; a summary is computed once, so here it may take its time).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client import explanation_votes, held_out_counts
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.releases import SUMMARY_L2_NORM_BOUND
from oncofed.protocol.plan import StudyPlan, SummaryKind, SummarySpec
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PatientRows:
    """One kind of summary.

    held_out  whether it is about the patients that training never sees, or about those that it does.
    faults    why a plan's summary of this kind cannot be computed, in words; empty when it can.
    rows      (patients, cells): what each patient adds, from the patient and public numbers. Here, of one at a time.
    """

    held_out: bool
    faults: Callable[[StudyPlan, SummarySpec], list[str]]
    rows: Callable[[StudyPlan, SummarySpec, FloatArray, PatientTensors], FloatArray]


Kinds = Mapping[SummaryKind, PatientRows]

KINDS: Kinds = {
    SummaryKind.EVALUATION: PatientRows(held_out=True, faults=held_out_counts.faults, rows=held_out_counts.rows),
    SummaryKind.KEY_MARKERS: PatientRows(
        held_out=False, faults=explanation_votes.faults, rows=explanation_votes.marker_rows
    ),
    SummaryKind.INTERACTIONS: PatientRows(
        held_out=False, faults=explanation_votes.faults, rows=explanation_votes.pair_rows
    ),
}


def refuse_unknown(plan: StudyPlan, kinds: Kinds = KINDS) -> None:
    """Raises PrivacyRefusal for a plan with a summary that is not computed here."""
    faults = []
    for spec in plan.summaries:
        kind = kinds.get(spec.kind)
        found = [f"its kind {spec.kind} is not computed here"] if kind is None else kind.faults(plan, spec)
        faults += [f"{spec.name}: {fault}" for fault in found]
    if faults:
        raise PrivacyRefusal("this plan asks for what this hospital does not release: " + "; ".join(faults))


def bounded_sum(
    plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors, *, kinds: Kinds = KINDS
) -> BoundedSum:
    """The sum of all patients' rows, each cut to length 1. Without any noise yet: it may not leave so."""
    total = np.zeros(spec.cells)
    for place in range(len(patients)):
        alone = patients.rows(torch.tensor([place]))  # a copy: where it lies in memory must not matter either
        row = kinds[spec.kind].rows(plan, spec, weights, alone)
        assert row.shape == (1, spec.cells), "a kind gives one row a patient, as long as the plan says"
        total += _cut(row, usable=alone.usable.numpy())[0]
    return BoundedSum(total, SUMMARY_L2_NORM_BOUND)


def _cut(rows: FloatArray, *, usable: NDArray[np.bool_]) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(rows, axis=1)
    included = usable & np.isfinite(lengths)
    factor = SUMMARY_L2_NORM_BOUND / np.maximum(lengths, SUMMARY_L2_NORM_BOUND)
    return np.where(included[:, None], rows, 0.0) * np.where(included, factor, 0.0)[:, None]
