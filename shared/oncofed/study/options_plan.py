"""Which plan does [target_trial] of a study file ask for, beside that of the prognosis?

Its rounds train the models of option, death and loss, and its one summary releases everything else
(`protocol.options_layout`). It has its part of the study's epsilon (`study.budget_part`), so that both plans, on the
same patients, stay within it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from oncofed.cohort.schema import StudySchema
from oncofed.privacy.policy import WantedSummary
from oncofed.protocol.options_layout import OPTIONS, options_model
from oncofed.protocol.plan import Bounding, StudyPlan, TrainingSpec
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.study.budget_part import with_part
from oncofed.study.explanation_settings import ExplanationRequest
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings, plan_from
from oncofed.study.target_trial_settings import TargetTrialSection
from oncofed.study.value_settings import ValueRequest
from oncofed.treatment.question import HAZARD_CAP, Question
from oncofed.treatment.release import cells_of

RELEASE_SHARE = 1 / 6
"""Of what the comparison may spend; the rest trains its models."""


def options_plan_from(
    asked: TargetTrialSection,
    settings: PlanSettings,
    schema: StudySchema,
    *,
    study: str,
    roster: Sequence[str],
    quorum: int | None,
    seed: int,
) -> StudyPlan:
    """settings: the study's, of whose budget it has the section's share. quorum: as in `plan_from`.

    Raises InvalidInput with every fault of the section by this schema.
    """
    asked.trial.refuse_unless_it_fits(schema)
    question = Question(asked.trial, schema, tuple(roster))
    settings = with_part(settings, asked.budget_share)
    spec = SummarySpec(OPTIONS, SummaryKind.OPTIONS, cells_of(question), noise_multiplier=0.0)
    own = replace(
        settings,
        training=TrainingSpec(rounds=asked.rounds),
        privacy=replace(
            settings.privacy,
            l2_norm_bound=1.0,
            bounding=Bounding.STOPPED,
            hazard_cap=HAZARD_CAP,
            clip_without_noise=True,
        ),
        held_out=HeldOutRequest(),
        explanations=ExplanationRequest(),
        value=ValueRequest(),
        comparators=(),
        entity_time_shapes=0,
        calibration_by_entity=False,
        left_open=(),
    )
    plan = plan_from(
        own,
        schema,
        study=f"{study}_{OPTIONS}",
        roster=roster,
        quorum=quorum,
        initialisation_seed=seed,
        model=options_model(question),
        beside=(WantedSummary(spec, RELEASE_SHARE),),
    )
    return replace(plan, target_trial=asked.trial)
