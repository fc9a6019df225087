"""Which answers has this coordinator had of each hospital, in whatever study?

A hospital's records may be older than its past: a whole folder that was put back agrees with itself. Then only who had
the answers knows. So each question tells the hospital the last answer it was charged for, in each study (`protocol.
messages`), and its guard answers nothing when its ledger does not know of one.

A count that is too small tells less; one that is too large makes hospitals refuse. So what cannot be read is left out,
and never guessed: a study without a checkpoint, or with a damaged one, or that its folder no longer holds.
"""

from __future__ import annotations

from dataclasses import replace

from oncofed.errors import CheckpointDamaged
from oncofed.protocol.plan import StudyPlan
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.rounds.checkpoint import has_checkpoint, load_checkpoint
from oncofed.server.rounds.state import FederationState


def with_past_answers(state: FederationState, *, plan: StudyPlan, folder: CoordinatorFolder) -> FederationState:
    """The state with what hospitals answered before: here if this plan's answers are charged, and elsewhere."""
    # A plan without noise is charged to nobody, so no ledger knows its answers.
    own = dict(state.answered or {}) if plan.privacy.noise_multiplier > 0 else None
    return replace(state, answered=own, answered_elsewhere=_answered_elsewhere(folder, plan_hash=plan.hash))


def _answered_elsewhere(folder: CoordinatorFolder, *, plan_hash: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    studies = folder.study(plan_hash).parent
    for study in sorted(studies.iterdir()) if studies.exists() else ():
        if study.name == plan_hash or not has_checkpoint(study):
            continue
        try:
            answered = load_checkpoint(study, plan_hash=study.name).state.answered or {}
        except (CheckpointDamaged, OSError):
            continue
        for site, identity in answered.items():
            found[site] = (*found.get(site, ()), identity)
    return found
