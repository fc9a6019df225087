"""How far is a plan at this hospital, in words? From what was decided, and from what the audit log says left.

Promises: a study whose model is here has ended, and is told as ended, with the rounds that this hospital answered.
Where a study ends and its model does not reach the hospital, only the coordinator knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from oncofed.client.install.inbox import OfferedPlan
from oncofed.client.records.audit_log import AuditEntry
from oncofed.client.records.decisions import Decision

MODEL_KEPT = "model_kept"
"""The audit log's event for a model that was delivered."""


def progress(plan: OfferedPlan, entries: Sequence[AuditEntry]) -> str:
    """entries: the audit log's, of all plans, in order."""
    if plan.decision is None:
        return plan.state
    study = plan.document.plan
    own = [entry for entry in entries if entry.plan_hash == study.hash]
    answers = [entry for entry in own if entry.event == "contribute" and entry.left]
    answered = f"{len({entry.round for entry in answers})} of {study.training.rounds} rounds answered"
    models = [entry for entry in own if entry.event == MODEL_KEPT]
    if models:
        return f"ended: {answered}; the model came {_when(models[0])}, and `oncofed site explain` explains with it"
    if plan.decision.decision is Decision.DECLINED:
        return f"declined by {plan.decision.decided_by}" + (f"; {answered} before" if answers else "")
    if not answers:
        return "approved; the coordinator has asked for no round yet"
    return f"approved; {answered}, the last {_when(answers[-1])}"


def _when(entry: AuditEntry) -> str:
    """2026-11-24 10:31 UTC."""
    return f"{entry.time[:16].replace('T', ' ')} UTC"
