"""What does each patient add to a summary, and what sum of it may be released?

`KINDS` is the fixed list of what this hospital computes; a plan with another kind, or with numbers that do not fit its
kind, is refused before any patient is read. A kind says whose patients it is about and gives one row a patient. The
bound is not the kind's affair: whatever it gives, each row is cut to length 1 here before rows are added. What was cut
is measured once more, and a row adds exactly nothing unless it is finite and at most 1 long (and 1e-7 for rounding).

It is the kind's affair that a row is of one patient alone, to the last bit: a kind is asked about many patients at
once, since one at a time 15,000 took minutes. The last bits of a library's matrix product depend on who else is there,
and with weights of a hostile server's choice such a bit decides a vote, for many patients at once. So kinds compute as
`survival.one_by_one` says. What keeps them to it is a test that holds every kind in `KINDS` against itself, each
patient alone and among others (tests/privacy/test_row_independence.py). There is no check of it while a summary is
made: it would come after the charge, and whatever were done about what it finds would itself tell who is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.client.patients import explanation_votes, gain_sums, held_out_counts, held_out_sums, who_is_there
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.releases import SUMMARY_L2_NORM_BOUND
from oncofed.protocol.expected_layout import expected_faults
from oncofed.protocol.gain_layout import gain_faults
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.readiness_layout import readiness_faults
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.one_by_one import root, row_sums

FloatArray = NDArray[np.float64]

ROUNDING = 1e-7
"""By so much a cut row may be longer; the accounting has room for it (`privacy.shared_noise.CLIP_ROUNDING`)."""

PATIENTS_AT_ONCE = 1024
NUMBERS_AT_ONCE = 10**6
"""In the rows of patients who are asked about at once: 8 MiB. All pairs of 350 markers are 61,075 a patient."""


@dataclass(frozen=True)
class PatientRows:
    """One kind of summary.

    held_out  whether it is about the patients that training never sees, or about those that it does.
    faults    why a plan's summary of this kind cannot be computed, in words; empty when it can.
    rows      (patients, cells): what each patient adds, from the patient and public numbers alone. A row is the same
              bits whoever else is among the patients, in any order and place.
    """

    held_out: bool
    faults: Callable[[StudyPlan, SummarySpec], list[str]]
    rows: Callable[[StudyPlan, SummarySpec, FloatArray, PatientTensors], FloatArray]


Kinds = Mapping[SummaryKind, PatientRows]

KINDS: Kinds = {
    SummaryKind.EVALUATION: PatientRows(held_out=True, faults=held_out_counts.faults, rows=held_out_counts.rows),
    SummaryKind.TIME_AT_RISK: PatientRows(held_out=True, faults=held_out_counts.faults, rows=held_out_counts.rows),
    SummaryKind.CALIBRATION: PatientRows(held_out=True, faults=expected_faults, rows=held_out_sums.rows),
    SummaryKind.COMPARISON: PatientRows(held_out=True, faults=gain_faults, rows=gain_sums.comparison_rows),
    SummaryKind.VALUE: PatientRows(held_out=True, faults=gain_faults, rows=gain_sums.value_rows),
    SummaryKind.KEY_MARKERS: PatientRows(
        held_out=False, faults=explanation_votes.faults, rows=explanation_votes.marker_rows
    ),
    SummaryKind.INTERACTIONS: PatientRows(
        held_out=False, faults=explanation_votes.faults, rows=explanation_votes.pair_rows
    ),
    SummaryKind.READINESS: PatientRows(held_out=False, faults=readiness_faults, rows=who_is_there.rows),
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
    return sum_of_rows(lambda some: kinds[spec.kind].rows(plan, spec, weights, some), patients, cells=spec.cells)


def sum_of_rows(rows_of: Callable[[PatientTensors], FloatArray], patients: PatientTensors, *, cells: int) -> BoundedSum:
    """rows_of: (patients, cells), what each of some adds before it is cut; as `PatientRows.rows` is to be."""
    total = np.zeros(cells)
    at_once = max(1, min(PATIENTS_AT_ONCE, NUMBERS_AT_ONCE // cells))
    for start in range(0, len(patients), at_once):
        some = patients.rows(slice(start, start + at_once))
        rows = rows_of(some)
        assert rows.shape == (len(some), cells), "there is one row a patient, as long as the plan says"
        total += cut(torch.as_tensor(rows), usable=some.usable).sum(dim=0).numpy()
    return BoundedSum(total, SUMMARY_L2_NORM_BOUND)


def cut(rows: Tensor, *, usable: Tensor) -> Tensor:
    """(patients, cells): what is added. Each row is exactly 0, or finite and at most (1 + ROUNDING) bounds long.

    usable  (patients,): who is not adds nothing. Nor does a row with a number that is not finite, or of 1e154 or more.
    """
    lengths = _lengths(rows)
    longer = torch.nonzero(lengths > SUMMARY_L2_NORM_BOUND)[:, 0]
    if len(longer):
        rows = rows.index_copy(0, longer, rows[longer] * (SUMMARY_L2_NORM_BOUND / lengths[longer])[:, None])
        lengths = lengths.index_copy(0, longer, _lengths(rows[longer]))
    included = usable & (lengths <= SUMMARY_L2_NORM_BOUND * (1 + ROUNDING))  # NaN is not
    return rows if bool(included.all()) else rows.masked_fill(~included[:, None], 0.0)


def _lengths(rows: Tensor) -> Tensor:
    """(patients,), each from its own row alone, added up in one order."""
    return root(row_sums(rows.square()))
