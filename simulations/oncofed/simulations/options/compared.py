"""How do simulated hospitals compare two options? By the plan of real ones, beside the prognosis, on the same budget.

Rounds, admission, noise, masks, guards and ledgers are those of every federated training (`study.options_plan` says
what is asked). Each hospital's ledger goes on from what the prognosis was charged (`federation.Earlier`), so that all
charges together stay within the study's epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oncofed.client.guard.guard import Guard
from oncofed.cohort.cohort import Cohort
from oncofed.privacy.accounting import PrivacyEvent
from oncofed.privacy.ledger import Ledger
from oncofed.protocol.options_layout import OPTIONS, question_of
from oncofed.protocol.plan import StudyPlan
from oncofed.server.evaluation.options import released_options
from oncofed.server.rounds.checkpoint import has_checkpoint
from oncofed.server.rounds.course import Unsummarised
from oncofed.simulations.federation import Earlier, Engine, federate
from oncofed.simulations.progress import Progress
from oncofed.survival.likelihood import tensors_of
from oncofed.treatment.heads import as_vector, first_heads
from oncofed.treatment.question import Question
from oncofed.treatment.release import Options


@dataclass(frozen=True, eq=False)
class OptionsCompared:
    """What came of it.

    released  None where hospitals did not answer; the run's notes say why.
    releases  what each hospital's ledger was charged for, by site, in both plans; empty in mode `none`.
    ledgers   theirs, after it.
    """

    question: Question
    plan: StudyPlan
    released: Options | None
    releases: Mapping[str, tuple[PrivacyEvent, ...]]
    ledgers: Mapping[str, Ledger]


def compared_options(
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
    question = question_of(plan, next(iter(hospitals.values())).schema)
    assert question is not None
    everybody = {site: tensors_of(question.patients(cohort, hospital=site)) for site, cohort in hospitals.items()}
    progress(OPTIONS, 0, plan.training.rounds)

    def told(state: Any, report: Any) -> dict[str, Any]:
        progress(OPTIONS, state.round, plan.training.rounds)
        return {}

    def guard(*, site: str, **of_guard: Any) -> Guard:
        compared = {"patients": lambda: everybody[site], "question": question}
        return Guard(site=site, **(of_guard | compared))

    federated = federate(
        plan,
        hospitals,
        run_folder=folder,
        engine=Engine.GRID,
        resume=resume and has_checkpoint(folder),
        figures=told,
        unsummarised=unsummarised,
        first_weights=as_vector(first_heads(question)),
        guard=guard,
        earlier=earlier,
    )
    released = released_options(plan, question, federated.state.summaries)
    return OptionsCompared(question, plan, released, federated.releases, federated.ledgers)
