"""What do a hospital's patients add where a plan compares two treatment options? To its rounds, and to its release.

Rows of `oncofed.treatment`, cut and measured once more as those of any summary (`patients.summaries`), so that whatever
weights are asked about a patient adds at most 1. Patients are those of the plan's target trial, in its own columns
(`treatment.question`): they are frozen so when somebody approves the plan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.client.patients.summaries import PatientRows, sum_of_rows
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.protocol.options_layout import options_faults
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.survival.encoded_patients import EncodedPatients
from oncofed.survival.likelihood import PatientTensors
from oncofed.treatment.heads import first_heads, from_vector, gradient_rows
from oncofed.treatment.question import Question
from oncofed.treatment.release import cells_of, release_rows

FloatArray = NDArray[np.float64]


def refuse_unless_asked(plan: StudyPlan, question: Question | None) -> None:
    """question: None where the plan compares no options. Raises PrivacyRefusal where it is not the plan's."""
    asked = None if question is None else question.trial
    if asked != plan.target_trial:
        raise PrivacyRefusal("this guard was given another question about options than the plan's")
    if question is not None and (faults := options_faults(plan, question.schema)):
        raise PrivacyRefusal("this plan compares no options that this hospital knows: " + "; ".join(faults))


def options_kind(question: Question) -> PatientRows:
    """The kind of summary."""

    def faults(plan: StudyPlan, spec: SummarySpec) -> list[str]:
        wanted = cells_of(question)
        return [] if spec.cells == wanted else [f"it has {spec.cells} numbers and not {wanted}"]

    return PatientRows(
        held_out=False,
        faults=faults,
        rows=lambda plan, spec, weights, patients: release_rows(question, weights, _encoded(patients)),
    )


def options_round_sum(question: Question, weights: FloatArray, patients: PatientTensors) -> BoundedSum:
    """Uphill, as any round's. Without any noise yet: it may not leave so."""
    heads = from_vector(weights, first_heads(question))
    return sum_of_rows(
        lambda some: -gradient_rows(heads, question.observed(_encoded(some))), patients, cells=question.numbers
    )


def _encoded(patients: PatientTensors) -> EncodedPatients:
    return EncodedPatients(patients.x.numpy(), patients.events.numpy(), patients.at_risk.numpy())
