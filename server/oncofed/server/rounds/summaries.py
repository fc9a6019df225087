"""How do the plan's summaries come in, once the last round is done?

Each is asked for as a round is (`rounds.asked_until_answered`): every hospital, answers admitted, a quorum, the same
attempt again while hospitals are merely missing, a new attempt (fresh noise, fresh masks, a charge everywhere) when an
answer was charged and is lost. Unlike rounds, there are no more attempts than the plan counts.

Promises: what is kept is on disk before the next one is asked for, so that a resumed run asks only for what is
missing, and with the very same question. Masked parts are added up before anything is read from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from oncofed.errors import FederationFailure
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.codec import payload_bytes
from oncofed.protocol.messages import SummariseRequest
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.server.rounds.admission import Admission, Question
from oncofed.server.rounds.checkpoint import save_checkpoint
from oncofed.server.rounds.opening import opened
from oncofed.server.rounds.rounds import (
    NO_PATIENCE,
    ExtraSource,
    Patience,
    Ready,
    RoundReport,
    addressed,
    admitted_quorum,
    asked_until_answered,
    credited,
    everybody_online,
    no_extra,
    refuse_without_nodes,
)
from oncofed.server.rounds.state import FederationState, ReleasedSummary

SummaryObserver = Callable[[SummarySpec, FederationState, RoundReport], None]
"""Told after each summary that is on disk. The report's round is the last one, whose model was asked about."""


def no_summary_observer(summary: SummarySpec, state: FederationState, report: RoundReport) -> None:
    """The null observer."""


def missing_summaries(plan: StudyPlan, state: FederationState) -> tuple[SummarySpec, ...]:
    """Those that are not released yet, in the plan's order."""
    return tuple(summary for summary in plan.summaries if summary.name not in state.summaries)


def run_summaries(
    grid: Grid,
    *,
    plan: StudyPlan,
    nodes: Mapping[str, int],
    start: FederationState,
    checkpoint_folder: Path | None,
    observer: SummaryObserver = no_summary_observer,
    extra: ExtraSource = no_extra,
    patience: Patience = NO_PATIENCE,
    ready: Ready = everybody_online,
) -> FederationState:
    """Ask for each summary that is missing. start: after the last round. Raises FederationFailure, see the module."""
    refuse_without_nodes(plan, nodes)
    assert start.round == plan.training.rounds, "summaries are of the final model"
    state = start
    for summary in missing_summaries(plan, state):
        asking = _Asking(summary)
        state, report = asked_until_answered(
            grid,
            state,
            asking.questions,
            asking.close,
            plan=plan,
            nodes=nodes,
            patience=patience,
            most_attempts=summary.attempts,
            ready=ready,
        )
        if checkpoint_folder is not None:
            save_checkpoint(checkpoint_folder, state=state, plan_hash=plan.hash, extra=extra(state, report))
        observer(summary, state, report)
    return state


class _Asking:
    """One summary as `rounds.asked_until_answered` asks for it."""

    def __init__(self, summary: SummarySpec) -> None:
        self._summary = summary

    def questions(
        self, state: FederationState, *, plan: StudyPlan, nodes: Mapping[str, int]
    ) -> list[tuple[Question, Message]]:
        """One for each hospital of the attempt's roster."""
        request = SummariseRequest(
            plan_hash=plan.hash,
            site="",
            summary=self._summary.name,
            attempt=state.attempt,
            roster=state.roster or plan.roster,
            weights=state.weights,
            cells=self._summary.cells,
        )
        return addressed(request, state, group=self._summary.name, plan=plan, nodes=nodes)

    def close(
        self,
        state: FederationState,
        replies: Iterable[Message],
        *,
        plan: StudyPlan,
        questions: Mapping[str, Question],
    ) -> tuple[FederationState, RoundReport]:
        """The state with the sum in it."""
        received, what = tuple(replies), f"summary {self._summary.name}"
        release = release_of_summary(plan, self._summary)
        admission = admitted_quorum(received, plan=plan, questions=questions, what=what, release=release)
        total, parts = self._total(admission, state=state, plan=plan, what=what)
        answered = tuple(part.site for part in admission.admitted)
        report = RoundReport(
            round=state.round,
            attempt=state.attempt,
            answered=answered,
            rejected=admission.rejected,
            update_l2_norm=0.0,
            bytes_down=sum(question.size_bytes for question in questions.values()),
            bytes_up=sum(payload_bytes(reply.content) for reply in received if reply.has_content()),
        )
        released = {**state.summaries, self._summary.name: ReleasedSummary(total, answered, state.attempt, parts)}
        credit = credited(state, questions.values(), answered=answered)
        return replace(state, attempt=0, roster=(), summaries=released, answered=credit), report

    def _total(
        self, admission: Admission, *, state: FederationState, plan: StudyPlan, what: str
    ) -> tuple[NDArray[np.float64], Mapping[str, NDArray[np.float64]]]:
        """Of all hospitals together, and each one's where the plan validates a model and that can be read."""
        release = release_of_summary(plan, self._summary)
        read = opened(admission.admitted, release=release, name=self._summary.name, state=state, plan=plan)
        total: NDArray[np.float64] = np.sum(read, axis=0, dtype=np.float64)
        if not np.isfinite(total).all():
            raise FederationFailure(f"{what}: the sum is not finite")
        if plan.validates is None or release.needs_everybody:
            return total, {}
        return total, {one.site: vector for one, vector in zip(admission.admitted, read, strict=True)}
