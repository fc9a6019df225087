"""In which form does a plan ask for two treatment options compared? Imports no torch.

Its rounds train the models of `treatment.heads`, so its `model` is none of a prognosis: it is only as long as those
have numbers. Its one summary is `treatment.release`'s. What a patient adds to either is at most 1 long.
"""

from __future__ import annotations

from oncofed.cohort.schema import StudySchema
from oncofed.errors import InvalidInput
from oncofed.protocol.plan import Bounding, ModelSpec, StudyPlan, TrainingMode
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.treatment.question import HAZARD_CAP, Question

OPTIONS = "options"
"""The name of the summary, and the end of the plan's."""


def question_of(plan: StudyPlan, schema: StudySchema) -> Question | None:
    """None where the plan compares no options."""
    return None if plan.target_trial is None else Question(plan.target_trial, schema, plan.roster)


def options_model(question: Question) -> ModelSpec:
    """So many numbers travel."""
    return ModelSpec(
        columns=question.numbers - question.grid.intervals,
        endpoints=(OPTIONS,),
        grid=question.grid,
        baseline_hazard=(1.0,),
        hidden_units=(),
    )


def form_faults(plan: StudyPlan) -> list[str]:
    """Why a plan that compares options, or has a summary of them, is none, in words."""
    kinds = [each.kind for each in plan.summaries]
    if plan.target_trial is None:
        return ["releases options compared, and names no target trial"] if SummaryKind.OPTIONS in kinds else []
    privacy, training = plan.privacy, plan.training
    wanted = {
        "releases something else than the options compared": kinds == [SummaryKind.OPTIONS],
        "trains nothing, or in another way than full_batch": plan.trains and training.mode is TrainingMode.FULL_BATCH,
        "has calibration rounds, which options have not": not training.calibration_rounds,
        "sets patients aside, and measures none": plan.held_out_fraction == 0,
        "bounds a patient otherwise than by 1, stopped": (privacy.bounding, privacy.l2_norm_bound)
        == (Bounding.STOPPED, 1.0),
        f"stops a patient elsewhere than at {HAZARD_CAP:g} expected events": privacy.hazard_cap == HAZARD_CAP,
    }
    return [f"compares options, and {what}" for what, holds in wanted.items() if not holds]


def options_faults(plan: StudyPlan, schema: StudySchema) -> list[str]:
    """Why a plan that compares options does not fit its schema, in words; empty for one that compares none."""
    question = question_of(plan, schema)
    if question is None:
        return []
    try:
        question.trial.refuse_unless_it_fits(schema)
    except InvalidInput as found:
        return [f"{fault.where.removeprefix('[target_trial], ')} {fault.what}" for fault in found.faults]
    if plan.model != options_model(question):
        return ["its models have other numbers than its target trial has by this schema"]
    return []
