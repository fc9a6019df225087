"""How far is a plan at this hospital? From what was decided, and from what the audit log says left.

Promises: a study whose model is here has ended, and is told as ended, with the rounds that this hospital answered.
Where a study ends and its model does not reach the hospital, only the coordinator knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from oncofed.client.install.inbox import OfferedPlan
from oncofed.client.records.audit_entries import AuditEntry
from oncofed.client.records.decisions import Decision

MODEL_KEPT = "model_kept"
"""The audit log's event for a model that was delivered."""
ROUND_ANSWERED, SUMMARY_ANSWERED = "contribute", "summarise"
"""Its events for an answer to a round and to a summary; what left stands in the line."""


class Stage(StrEnum):
    """WAITS  for a decision. LOST: was decided, and its decision cannot be read. ENDED: its model is here."""

    WAITS = "waits"
    APPROVED = "approved"
    DECLINED = "declined"
    ENDED = "ended"
    LOST = "lost"


@dataclass(frozen=True)
class Progress:
    """rounds_planned  None of a plan that waits: its document is not parsed for a list.

    rounds_answered  different ones; answers: to rounds and summaries, further attempts too.
    last_answer, model_came  ISO 8601, or "".
    validates        whether it measures a model that others trained.
    """

    plan_hash: str
    study: str
    stage: Stage
    rounds_planned: int | None = None
    rounds_answered: int = 0
    answers: int = 0
    last_answer: str = ""
    model_came: str = ""
    decided_by: str = ""
    words_of_state: str = ""
    validates: bool = False

    def __str__(self) -> str:
        answered = f"{self.rounds_answered} of {self.rounds_planned} rounds answered"
        if self.rounds_planned == 0:  # no model comes
            did = "measured" if self.validates else "counted"
            answered = did if self.answers else f"not {did} yet"
        match self.stage:
            case Stage.WAITS | Stage.LOST:
                return self.words_of_state
            case Stage.ENDED:
                when = _when(self.model_came)
                return f"ended: {answered}; the model came {when}, and `oncofed site explain` explains with it"
            case Stage.DECLINED:
                return f"declined by {self.decided_by}" + (f"; {answered} before" if self.answers else "")
            case Stage.APPROVED:
                if self.rounds_planned == 0:
                    return f"approved; {answered}" + (f", {_when(self.last_answer)}" if self.last_answer else "")
                if not self.rounds_answered:
                    return "approved; the coordinator has asked for no round yet"
                return f"approved; {answered}, the last {_when(self.last_answer)}"

    def fields(self) -> dict[str, object]:
        """For JSON."""
        return {
            "plan": self.plan_hash,
            "study": self.study,
            "stage": self.stage.value,
            "rounds_planned": self.rounds_planned,
            "rounds_answered": self.rounds_answered,
            "last_answer": self.last_answer or None,
            "model_came": self.model_came or None,
        }


def progress(plan: OfferedPlan, entries: Sequence[AuditEntry]) -> Progress:
    """entries: the audit log's, of all plans, in order."""
    if plan.decision is None:
        stage = Stage.LOST if plan.lost else Stage.WAITS
        return Progress(plan.plan_hash, plan.study, stage, words_of_state=plan.state)
    own = [entry for entry in entries if entry.plan_hash == plan.plan_hash]
    rounds = [entry for entry in own if entry.event == ROUND_ANSWERED and entry.left]
    summaries = [entry for entry in own if entry.event == SUMMARY_ANSWERED and entry.left]
    models = [entry for entry in own if entry.event == MODEL_KEPT]
    declined = plan.decision.decision is Decision.DECLINED
    return Progress(
        plan.plan_hash,
        plan.study,
        Stage.ENDED if models else Stage.DECLINED if declined else Stage.APPROVED,
        rounds_planned=plan.document.plan.training.rounds,
        rounds_answered=len({entry.round for entry in rounds}),
        answers=len(rounds) + len(summaries),
        last_answer=_last(rounds or summaries),
        model_came=models[0].time if models else "",
        decided_by=plan.decision.decided_by,
        validates=plan.document.plan.validates is not None,
    )


def _last(entries: Sequence[AuditEntry]) -> str:
    return entries[-1].time if entries else ""


def _when(time: str) -> str:
    """2026-11-24 10:31 UTC."""
    return f"{time[:16].replace('T', ' ')} UTC"
