"""How does a federation get from one set of weights to the next, and from the first round to the last?

`step` is a round as a function of the replies; `run_rounds` asks, waits, steps, checkpoints and reports.

Promises: every hospital of the roster is asked in every round, and nobody is sampled. A round counts when at least
the plan's quorum is admitted, else `QuorumLost` names each missing hospital and why, and the state stays what it was,
so a repeated run asks the very same questions again (a guard answers an identical request without a second charge).
Waiting for answers is bounded by the plan's round_timeout_seconds. What the observer is told of is already on disk.

With `Patience` a round without quorum is asked again instead, for a bounded time: the very same attempt while hospitals
are merely missing, since those that answered give the same bytes again without a charge; a new attempt, with fresh
noise and a new charge everywhere, only when a hospital was charged and has no answer any more (it was killed between).
One hospital causes one such attempt at most before a person resumes the study (of masked sums two, if another one is
away at the first): each is paid for by the patients of all. After that it is waited for, and gone on without where the
quorum allows it. An attempt that nobody answers, because all
were asked it in an earlier run, costs nobody anything, and the next one is asked at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from oncofed.errors import FederationFailure, QuorumLost, RefusalCode
from oncofed.privacy.release import Release
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.codec import MESSAGE_TYPE, encode_question, payload_bytes
from oncofed.protocol.messages import AnyRequest, ContributeRequest, identity_text
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.wire_form import method_of
from oncofed.protocol.wire_form import questions_of as question_bytes_of
from oncofed.server.rounds.admission import REFUSAL_WORDS, Admission, Question, Rejection, admit
from oncofed.server.rounds.checkpoint import Json, save_checkpoint
from oncofed.server.rounds.state import FederationState
from oncofed.server.rounds.strategies import combine


@dataclass(frozen=True)
class RoundReport:
    """What happened in a finished round. Nothing here depends on more than what hospitals released.

    answered        admitted hospitals, in roster order.
    update_l2_norm  length of the change of the global weights.
    bytes_down, bytes_up  of questions and answers, all hospitals together; up counts every reply, admitted or not.
    seconds         from building the first message to the combined weights, checkpoint excluded.
    """

    round: int
    attempt: int
    answered: tuple[str, ...]
    rejected: tuple[Rejection, ...]
    update_l2_norm: float
    bytes_down: int
    bytes_up: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Patience:
    """How long a round without quorum is asked again.

    seconds        from the first question of the round; 0 gives up at once.
    pause_seconds  between two askings.
    told           of each asking that found no quorum, before the pause.
    clock, sleep   of the machine; others in tests.
    """

    seconds: float
    pause_seconds: float = 10.0
    told: Callable[[QuorumLost], None] = lambda lost: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


NO_PATIENCE = Patience(seconds=0.0)

Observer = Callable[[FederationState, RoundReport], None]
"""Told after each round that is finished and on disk."""

ExtraSource = Callable[[FederationState, RoundReport], Json]
"""Gives what a checkpoint shall keep besides the server's state, e.g. the ledgers of simulated hospitals."""


def no_observer(state: FederationState, report: RoundReport) -> None:
    """The null observer."""


def no_extra(state: FederationState, report: RoundReport) -> Json:
    """The null source."""
    return None


class Ready(Protocol):
    """Says which of the hospitals that are online can take part in a masked attempt together."""

    def __call__(self, online: Sequence[str]) -> tuple[str, ...]: ...


def everybody_online(online: Sequence[str]) -> tuple[str, ...]:
    """The null twin: hospitals know each other's masking keys already."""
    return tuple(online)


def questions_of(
    state: FederationState, *, plan: StudyPlan, nodes: Mapping[str, int]
) -> list[tuple[Question, Message]]:
    """One message for each hospital of the attempt's roster, in its order. The weights are serialised once for all."""
    roster = state.roster or plan.roster
    request = ContributeRequest(
        plan_hash=plan.hash,
        site="",
        round=state.round + 1,
        attempt=state.attempt,
        roster=roster,
        weights=state.weights,
    )
    return addressed(request, state, group=str(state.round + 1), plan=plan, nodes=nodes)


def addressed(
    request: AnyRequest, state: FederationState, *, group: str, plan: StudyPlan, nodes: Mapping[str, int]
) -> list[tuple[Question, Message]]:
    """The request to each hospital of its roster, in that order, with what it has answered before. group: Flower's."""
    messages, answer_keys, method = [], plan.answer_keys, method_of(request)
    answered = _answered_before(state, request.roster)
    for site, content, sha256 in question_bytes_of(request, sites=request.roster, answered=answered):
        message = Message(
            encode_question(method, content),
            dst_node_id=nodes[site],
            message_type=MESSAGE_TYPE,
            ttl=plan.round_timeout_seconds,
            group_id=group,
        )
        question = Question(nodes[site], replace(request, site=site), sha256, len(content), answer_keys.get(site))
        messages.append((question, message))
    return messages


def _answered_before(state: FederationState, roster: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    own = {site: (identity,) for site, identity in (state.answered or {}).items()}
    if not own:
        return state.answered_elsewhere
    return {site: (*own.get(site, ()), *state.answered_elsewhere.get(site, ())) for site in roster}


def credited(
    state: FederationState, questions: Iterable[Question], *, answered: Iterable[str]
) -> Mapping[str, str] | None:
    """`state.answered` after these hospitals have answered these questions."""
    if state.answered is None:
        return None
    asked = {question.request.site: question.request for question in questions}
    return {**state.answered, **{site: identity_text(asked[site]) for site in answered}}


def step(
    state: FederationState, replies: Iterable[Message], *, plan: StudyPlan, questions: Mapping[str, Question]
) -> tuple[FederationState, RoundReport]:
    """The state after the round that `questions` (by message id, in roster order) opened. Changes no argument."""
    received = tuple(replies)
    what = f"round {state.round + 1}"
    admission = admitted_quorum(received, plan=plan, questions=questions, what=what, release=release_of_round(plan))
    weights, optimiser = combine(admission.admitted, state=state, plan=plan)
    report = RoundReport(
        round=state.round + 1,
        attempt=state.attempt,
        answered=tuple(contribution.site for contribution in admission.admitted),
        rejected=admission.rejected,
        update_l2_norm=float(np.linalg.norm(weights - state.weights)),
        bytes_down=sum(question.size_bytes for question in questions.values()),
        bytes_up=sum(payload_bytes(reply.content) for reply in received if reply.has_content()),
    )
    after = FederationState(
        round=state.round + 1,
        weights=weights,
        optimiser=optimiser,
        left_out=state.left_out,
        asked_afresh=state.asked_afresh,
        answered=credited(state, questions.values(), answered=report.answered),
        answered_elsewhere=state.answered_elsewhere,
    )
    return after, report


def admitted_quorum(
    replies: Iterable[Message],
    *,
    plan: StudyPlan,
    questions: Mapping[str, Question],
    what: str,
    release: Release,
) -> Admission:
    """Enough answers, or QuorumLost with every cause. what: "round 3". release: that was asked for."""
    admission = admit(replies, questions=questions, patience_seconds=plan.round_timeout_seconds, release=release)
    needed = len(questions) if release.needs_everybody else plan.quorum
    if len(admission.admitted) < needed:
        causes = "\n".join(f"  - {rejection}{_explained(rejection)}" for rejection in admission.rejected)
        raise QuorumLost(
            f"{what}: {len(admission.admitted)} of {len(questions)} hospitals answered, {needed} must.\n{causes}",
            charged_without_answer=frozenset(each.site for each in admission.rejected if _charged_without_answer(each)),
            answered=tuple(contribution.site for contribution in admission.admitted),
        )
    return admission


def run_rounds(
    grid: Grid,
    *,
    plan: StudyPlan,
    nodes: Mapping[str, int],
    start: FederationState,
    checkpoint_folder: Path | None,
    observer: Observer = no_observer,
    extra: ExtraSource = no_extra,
    patience: Patience = NO_PATIENCE,
    ready: Ready = everybody_online,
) -> FederationState:
    """Run from `start` to the plan's last round. checkpoint_folder None keeps nothing (benchmarks)."""
    refuse_without_nodes(plan, nodes)
    state = start
    while state.round < plan.training.rounds:
        state, report = asked_until_answered(
            grid, state, questions_of, step, plan=plan, nodes=nodes, patience=patience, ready=ready
        )
        if checkpoint_folder is not None:
            save_checkpoint(checkpoint_folder, state=state, plan_hash=plan.hash, extra=extra(state, report))
        observer(state, report)
    return state


def refuse_without_nodes(plan: StudyPlan, nodes: Mapping[str, int]) -> None:
    """Raises FederationFailure unless each hospital of the roster has a node of its own."""
    missing = [site for site in plan.roster if site not in nodes]
    if missing or len({nodes[site] for site in plan.roster}) != len(plan.roster):
        raise FederationFailure(f"not every hospital has a node of its own; without one: {', '.join(missing) or '-'}")


class Ask(Protocol):
    """Opens an attempt: the questions, in roster order."""

    def __call__(
        self, state: FederationState, *, plan: StudyPlan, nodes: Mapping[str, int]
    ) -> list[tuple[Question, Message]]: ...


class Close(Protocol):
    """Closes it: the state after, and what happened. Raises QuorumLost."""

    def __call__(
        self,
        state: FederationState,
        replies: Iterable[Message],
        *,
        plan: StudyPlan,
        questions: Mapping[str, Question],
    ) -> tuple[FederationState, RoundReport]: ...


def asked_until_answered(
    grid: Grid,
    state: FederationState,
    ask: Ask,
    close: Close,
    *,
    plan: StudyPlan,
    nodes: Mapping[str, int],
    patience: Patience,
    most_attempts: int | None = None,
    ready: Ready = everybody_online,
) -> tuple[FederationState, RoundReport]:
    """One round, or one summary, in as many attempts as it takes. Raises QuorumLost when patience or attempts end."""
    began, asked_before = patience.clock(), False
    present = _present_in_time(grid, state, plan=plan, nodes=nodes, patience=patience, ready=ready)
    state = replace(state, roster=present)
    asked_at = patience.clock()
    while True:
        asked = ask(state, plan=plan, nodes=nodes)
        replies = grid.send_and_receive([message for _, message in asked], timeout=plan.round_timeout_seconds)
        # The grid gives a message its id when it is sent.
        questions = {message.metadata.message_id: question for question, message in asked}
        try:
            after, report = close(state, replies, plan=plan, questions=questions)
        except QuorumLost as lost:
            if patience.clock() - began >= patience.seconds:
                raise
            patience.told(lost)
            before, missing = state.attempt, set(state.roster or plan.roster) - set(lost.answered)
            enough = release_of_round(plan).needs_everybody and len(lost.answered) >= plan.smallest_roster
            free = lost.charged_without_answer == missing and not lost.answered
            if free:
                # Everybody was asked this in an earlier run, among others.
                state = replace(state, attempt=state.attempt + 1)
            elif enough and (asked_before or lost.charged_without_answer) and missing - state.left_out:
                # Among those that are there, with fresh masks and noise, and a charge for each.
                left_out = state.left_out | missing
                state = replace(state, attempt=state.attempt + 1, roster=lost.answered, left_out=left_out)
                asked_before = False
            elif lost.charged_without_answer - state.asked_afresh:
                asked_afresh = state.asked_afresh | lost.charged_without_answer
                state = replace(state, attempt=state.attempt + 1, asked_afresh=asked_afresh)
            else:
                asked_before = True
            if before < state.attempt:  # no sooner: an attempt that is asked again is the very same question
                credit = credited(state, questions.values(), answered=lost.answered)
                state = replace(state, answered=credit)
            if most_attempts is not None and before < state.attempt >= most_attempts:
                raise
            if not free:
                patience.sleep(patience.pause_seconds)
        else:
            return after, replace(report, seconds=patience.clock() - asked_at)


def _present_in_time(
    grid: Grid,
    state: FederationState,
    *,
    plan: StudyPlan,
    nodes: Mapping[str, int],
    patience: Patience,
    ready: Ready,
) -> tuple[str, ...]:
    """Whom to ask; empty means everybody. As long as too few for a masked sum are there, waits and asks nobody."""
    began = patience.clock()
    while release_of_round(plan).needs_everybody:
        nodes_online = set(grid.get_node_ids())
        online = tuple(site for site in plan.roster if nodes[site] in nodes_online)
        # Who cannot take part yet would be charged for nothing, and so would all others.
        able = ready(online) if len(online) >= plan.smallest_roster else ()
        present = _present(plan, able, left_out=state.left_out)
        if present:
            return present
        absent = ", ".join(site for site in plan.roster if site not in online)
        unready = ", ".join(site for site in online if site not in able)
        lost = QuorumLost(
            f"round {state.round + 1}: a masked sum needs {plan.smallest_roster} hospitals, so nobody is asked. "
            f"Not online: {absent or '-'}"
            + (f". Without the others' masking keys: {unready}" if len(online) >= plan.smallest_roster else "")
        )
        if patience.clock() - began >= patience.seconds:
            raise lost
        patience.told(lost)
        patience.sleep(patience.pause_seconds)
    return ()


def _present(plan: StudyPlan, present: tuple[str, ...], *, left_out: frozenset[str]) -> tuple[str, ...]:
    """Of whom to ask for a masked sum: it opens with everybody's part or not at all. Empty: too few are there."""
    willing = tuple(site for site in present if site not in left_out)
    return next((roster for roster in (willing, present) if len(roster) >= plan.smallest_roster), ())


def _explained(rejection: Rejection) -> str:
    return "" if rejection.code is None else f" ({REFUSAL_WORDS[rejection.code]})"


def _charged_without_answer(rejection: Rejection) -> bool:
    return rejection.code is RefusalCode.REQUEST_CONFLICT
