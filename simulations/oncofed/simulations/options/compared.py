"""How do simulated hospitals compare two options? By a second plan beside the prognosis, on the same budget.

The plan's rounds train the models of option, death and loss (`options.heads`), with the rounds, admission, noise, masks
and ledgers of every federated training; its one summary releases everything else (`options.release`). Each plan has its
part of the study's epsilon (`study.budget_part`), and each hospital's ledger goes on from what the prognosis was
charged (`federation.Earlier`), so that all charges together stay within it.

No hospital's node answers such a plan: its guard knows neither these models nor this kind of summary. Here a guard of a
simulation's own (`OptionsGuard`) computes them. What one patient adds is bounded in floating point, not to the last
bit, and the plan's model is only as long as the models' numbers are many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.guard.guard import Guard
from oncofed.client.patients.summaries import PatientRows
from oncofed.cohort.cohort import Cohort
from oncofed.privacy.accounting import PrivacyEvent
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.policy import WantedSummary
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import Bounding, ModelSpec, StudyPlan, TrainingSpec
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.server.rounds.checkpoint import has_checkpoint
from oncofed.server.rounds.course import Unsummarised
from oncofed.simulations.federation import Earlier, Engine, federate, simulated_plan
from oncofed.simulations.options.heads import HAZARD_CAP, as_vector, bounded_sum, from_vector
from oncofed.simulations.options.question import Question
from oncofed.simulations.options.release import Options, cells_of, options_of, release_rows
from oncofed.simulations.progress import Progress
from oncofed.study.budget_part import with_part
from oncofed.study.explanation_settings import ExplanationRequest
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings
from oncofed.study.value_settings import ValueRequest
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

OPTIONS = "options"
"""The name of the summary, and of the folder in a run's."""

RELEASE_SHARE = 1 / 6
"""Of what the comparison may spend; the rest trains its models."""


@dataclass(frozen=True, eq=False)
class OptionsCompared:
    """What came of it.

    released  None where hospitals did not answer; the run's notes say why.
    releases  what each hospital's ledger was charged for, by site, in both plans; empty in mode `none`.
    """

    question: Question
    plan: StudyPlan
    released: Options | None
    releases: Mapping[str, tuple[PrivacyEvent, ...]]


def options_plan(question: Question, settings: PlanSettings, *, study: str, quorum: int | None, seed: int) -> StudyPlan:
    """The plan of the comparison. settings: the study's, of whose budget it has the section's share."""
    settings = with_part(settings, question.asked.budget_share)
    spec = SummarySpec(OPTIONS, SummaryKind.OPTIONS, cells_of(question), noise_multiplier=0.0)
    own = replace(
        settings,
        training=TrainingSpec(rounds=question.asked.rounds),
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
        left_open=(),
    )
    return simulated_plan(
        own,
        question.schema,
        study=f"{study}_{OPTIONS}",
        roster=question.hospitals,
        quorum=quorum,
        seed=seed,
        model=_as_long_as(as_vector(question.first_heads()).size),
        beside=(WantedSummary(spec, RELEASE_SHARE),),
    )


def _as_long_as(numbers: int) -> ModelSpec:
    """So many numbers travel."""
    return ModelSpec(
        columns=numbers - 1, endpoints=(OPTIONS,), grid=TimeGrid((0.0, 1.0)), baseline_hazard=(1.0,), hidden_units=()
    )


class OptionsGuard(Guard):
    """A simulated hospital's guard that answers a comparison's plan. Only here: no hospital has one."""

    def __init__(
        self, *, question: Question, compared: Mapping[str, PatientTensors], site: str, **of_guard: Any
    ) -> None:
        self._question = question
        kind = PatientRows(
            held_out=False,
            faults=lambda plan, spec: [],
            rows=lambda plan, spec, weights, patients: release_rows(question, weights, patients),
        )
        own = {"patients": lambda: compared[site], "kinds": {SummaryKind.OPTIONS: kind}}
        super().__init__(site=site, **(of_guard | own))

    def _round_sum(self, request: ContributeRequest, patients: PatientTensors) -> BoundedSum:
        heads = from_vector(request.weights, self._question.first_heads())
        return BoundedSum(-bounded_sum(heads, self._question.observed(patients)), 1.0)


def compared_options(
    question: Question,
    plan: StudyPlan,
    hospitals: Mapping[str, Cohort],
    *,
    earlier: Earlier,
    run_folder: Path,
    resume: bool,
    progress: Progress,
    unsummarised: Unsummarised,
) -> OptionsCompared:
    """Train and release, in this process. earlier: the prognosis, of the same patients.

    run_folder: what is finished is kept in a folder in it, for `resume`. Raises FederationFailure.
    """
    folder = run_folder / OPTIONS
    folder.mkdir(exist_ok=True)
    everybody = {site: question.patients(cohort, hospital=site) for site, cohort in hospitals.items()}
    progress(OPTIONS, 0, plan.training.rounds)

    def told(state: Any, report: Any) -> dict[str, Any]:
        progress(OPTIONS, state.round, plan.training.rounds)
        return {}

    federated = federate(
        plan,
        hospitals,
        run_folder=folder,
        engine=Engine.GRID,
        resume=resume and has_checkpoint(folder),
        figures=told,
        unsummarised=unsummarised,
        first_weights=as_vector(question.first_heads()),
        guard=partial(OptionsGuard, question=question, compared=everybody),
        earlier=earlier,
    )
    summary, found = plan.summary(OPTIONS), federated.state.summaries.get(OPTIONS)
    assert summary is not None
    released = None
    if found is not None:
        noise = release_of_summary(plan, summary).noise_of_sum(hospitals=len(found.answered))
        released = options_of(question, found.vector, noise=noise)
    return OptionsCompared(question, plan, released, federated.releases)
