"""What does Flower run at the coordinator for a study? `app`, which the bundle names.

It finds the coordinator's folder in ONCOFED_COORDINATOR and the study by ``plan-hash`` in the run's configuration,
waits (bounded) until the roster's nodes are online, and runs the rounds, from the checkpoint where there is one.

Promises: which node is which hospital is decided by the keys in the signed plan, matched with the keys the coordinator
registered. Each round is on disk before the next begins. What ends the run is in events.jsonl, in words; of a run that
was killed, the next one says so.

Refuses: a plan file with another hash than asked for, a hospital of the roster that is no member or has other keys than
the plan's, and a study that another process works on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from oncofed.errors import Fault, InvalidInput, OncofedError, QuorumLost, RecordUnwritable
from oncofed.protocol.bundle import PLAN_HASH
from oncofed.protocol.options_layout import question_of
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.prompt_transfer import ask_again_soon
from oncofed.protocol.study_document import StudyDocument, read_document, schema_of, verify_document
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.secret_files import read_signing_key
from oncofed.server.deployment.at_work import PATIENCE_SECONDS as LOCK_SECONDS
from oncofed.server.deployment.at_work import at_work
from oncofed.server.deployment.delivery import deliver_model, release_model
from oncofed.server.deployment.enrolment import member_fault
from oncofed.server.deployment.folder import CoordinatorFolder, coordinator_public_key
from oncofed.server.deployment.key_exchange import KeyExchange
from oncofed.server.deployment.member_files import Hospitals, look_at
from oncofed.server.deployment.offering import OfferPatience, offer_until_approved
from oncofed.server.deployment.past_answers import with_past_answers
from oncofed.server.deployment.study_files import PLAN, StudyFiles, round_fields
from oncofed.server.deployment.validated_model import validated_weights
from oncofed.server.flower.app import flower_says_errors_only
from oncofed.server.flower.prompt_grid import PromptGrid
from oncofed.server.flower.signing_grid import SigningGrid
from oncofed.server.flower.superexec import COORDINATOR
from oncofed.server.rounds.checkpoint import has_checkpoint, load_checkpoint
from oncofed.server.rounds.course import run_course
from oncofed.server.rounds.rounds import Patience, Ready, RoundReport, everybody_online
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.server.rounds.summaries import missing_summaries

PATIENCE_SECONDS = 180.0
"""How long a run waits for its quorum of hospitals to be online."""

_LOOK_SECONDS = 1.0
_ENDED_IN_WORDS = ("", "stopped", "finished")

Offer = Callable[[Grid, StudyDocument, Mapping[str, int], StudyFiles], None]
"""Puts the study before each hospital and returns when enough have approved; else raises an OncofedError."""

Deliver = Callable[[Grid, StudyDocument, Mapping[str, int], FederationState], Mapping[str, str]]
"""Gives the final model to each hospital; what each said of it, in words."""


def no_offer(grid: Grid, document: StudyDocument, nodes: Mapping[str, int], files: StudyFiles) -> None:
    """The null twin: hospitals know the plan already."""


def no_delivery(
    grid: Grid, document: StudyDocument, nodes: Mapping[str, int], state: FederationState
) -> Mapping[str, str]:
    """The null twin: the model stays in the last checkpoint."""
    return {}


def offer_and_wait(grid: Grid, document: StudyDocument, nodes: Mapping[str, int], files: StudyFiles) -> None:
    """Until the hospitals have decided; every change of what they say is noted."""
    patience = OfferPatience(seconds=document.plan.patience_seconds)

    def told(words: Mapping[str, str]) -> None:
        files.note_said(PLAN, words)

    offer_until_approved(grid, document, nodes, patience=patience, told=told)


def sign_and_deliver(
    grid: Grid, document: StudyDocument, nodes: Mapping[str, int], state: FederationState
) -> Mapping[str, str]:
    """With the signing key of the coordinator's folder."""
    folder = _own_folder()
    plan, study = document.plan, folder.study(document.plan.hash)
    model = release_model(study, state, plan_hash=plan.hash, signing_key=read_signing_key(folder.signing_key))
    return deliver_model(
        grid, study, model, nodes, plan_hash=plan.hash, answer_keys=plan.answer_keys, rounds=state.round
    )


def run_study(
    grid: Grid,
    *,
    folder: CoordinatorFolder,
    plan_hash: str,
    offer: Offer,
    deliver: Deliver,
    patience_seconds: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> FederationState:
    """The whole study over this Grid; the state after the last round and summary.

    clock, sleep  of the machine; others where hours are simulated.
    """
    with at_work(folder.study(plan_hash), patience_seconds=min(patience_seconds, LOCK_SECONDS)):
        return _run_alone(
            grid,
            folder=folder,
            plan_hash=plan_hash,
            offer=offer,
            deliver=deliver,
            patience_seconds=patience_seconds,
            clock=clock,
            sleep=sleep,
        )


def _run_alone(
    grid: Grid,
    *,
    folder: CoordinatorFolder,
    plan_hash: str,
    offer: Offer,
    deliver: Deliver,
    patience_seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> FederationState:
    files = StudyFiles(folder.study(plan_hash), lambda: datetime.now(UTC))
    if files.last_event() not in _ENDED_IN_WORDS:
        files.note("interrupted", cause="the run before this one was killed, or the coordinator's machine stopped")
    try:
        document = load_study(folder, plan_hash)
        plan = document.plan
        nodes = nodes_of(plan, look_at(folder))
        start = with_past_answers(start_of(document, folder.study(plan_hash)), plan=plan, folder=folder)
        if has_checkpoint(files.folder):
            files.note_untold(load_checkpoint(files.folder, plan_hash=plan.hash).extra)
        files.note("started", round=start.round, attempt=start.attempt)
        wait_for_nodes(grid, plan, nodes, patience_seconds=patience_seconds, clock=clock, sleep=sleep)
        if start.round < plan.training.rounds or (not plan.trains and missing_summaries(plan, start)):
            offer(grid, document, nodes, files)

        def summarised(summary: SummarySpec, state: FederationState, report: RoundReport) -> None:
            files.note("summary", name=summary.name, attempt=report.attempt, answered=", ".join(report.answered))

        told_last = ""

        def waiting(lost: QuorumLost) -> None:
            nonlocal told_last
            if str(lost) != told_last:
                told_last = str(lost)
                files.note("waiting", cause=told_last)

        def unready(words: Mapping[str, str]) -> None:
            files.note_said("masking_keys", words)

        ready: Ready = everybody_online
        if plan.needs_masking_keys:
            ready = KeyExchange(grid, plan, nodes, files.folder, unready, clock)
        state = run_course(
            grid,
            plan=plan,
            nodes=nodes,
            start=start,
            checkpoint_folder=files.folder,
            unsummarised=lambda failure: files.note("no_summary", cause=str(failure)),
            observer=lambda state, report: files.note_round(report),
            extra=lambda state, report: None if state.summaries else round_fields(report),
            summary_observer=summarised,
            patience=Patience(seconds=plan.patience_seconds, told=waiting, clock=clock, sleep=sleep),
            ready=ready,
        )
        # Weights that nobody trained are no model, nor are those by which options were compared: none is signed.
        said = deliver(grid, document, nodes, state) if plan.makes_model else {}
        if said:
            files.note_said("delivered", said)
    except OncofedError as error:
        with suppress(RecordUnwritable):  # a full disk may be the very cause
            files.note("stopped", cause=str(error))
        raise
    files.note("finished", round=state.round)
    return state


def load_study(folder: CoordinatorFolder, plan_hash: str) -> StudyDocument:
    """The signed study document, checked against its hash and this coordinator's key."""
    path = folder.study(plan_hash) / "plan.json"
    try:
        document = read_document(path.read_bytes())
    except FileNotFoundError:
        raise InvalidInput([Fault(str(path), "does not exist", "Sign the study first.")]) from None
    if document.plan.hash != plan_hash:
        raise InvalidInput([Fault(str(path), "holds another plan than its folder's name", "Sign the study again.")])
    verify_document(document, public_key=coordinator_public_key(folder))
    return document


def nodes_of(plan: StudyPlan, hospitals: Hospitals) -> dict[str, int]:
    """Node ids by hospital. Raises InvalidInput for each member without a registered node of the plan's key."""
    nodes, faults = {}, []
    for member in plan.members:
        fault, site = member_fault(member, hospitals), hospitals.known.get(member.site)
        if fault is not None:
            faults.append(fault)
        elif site is None or site.node_id is None:
            remedy = "Start the coordinator, which registers it."
            faults.append(Fault(f"sites/{member.site}.json", "its key is not registered yet", remedy))
        else:
            nodes[member.site] = site.node_id
    if faults:
        raise InvalidInput(faults)
    return nodes


def start_of(document: StudyDocument, study: Path) -> FederationState:
    """The checkpoint's state where there is one, else the model that the plan validates, or its first weights."""
    plan = document.plan
    if has_checkpoint(study):
        return load_checkpoint(study, plan_hash=plan.hash).state
    if plan.validates is not None:
        return initial_state(validated_weights(study, plan))
    from oncofed.survival.network import (  # noqa: PLC0415 - torch, which a resumed run does not need
        PrognosisNetwork,
        parameter_vector,
    )
    from oncofed.treatment.heads import as_vector, first_heads  # noqa: PLC0415 - likewise

    question = question_of(plan, schema_of(document))
    if question is not None:
        return initial_state(as_vector(first_heads(question)))
    return initial_state(parameter_vector(PrognosisNetwork(plan.model, initialisation_seed=plan.initialisation_seed)))


def wait_for_nodes(
    grid: Grid,
    plan: StudyPlan,
    nodes: Mapping[str, int],
    *,
    patience_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """The hospitals online: all of them, or after `patience_seconds` at least the quorum. Else QuorumLost."""
    deadline = clock() + patience_seconds
    while True:
        online = set(grid.get_node_ids())
        present = tuple(site for site in plan.roster if nodes[site] in online)
        if len(present) == len(plan.roster):
            return present
        if clock() >= deadline:
            if len(present) >= plan.quorum:
                return present
            absent = ", ".join(site for site in plan.roster if site not in present)
            raise QuorumLost(
                f"{len(present)} of {len(plan.roster)} hospitals are online after {patience_seconds:.0f} s, "
                f"{plan.quorum} must be. Not online: {absent}"
            )
        sleep(_LOOK_SECONDS)


def build_app(*, offer: Offer, deliver: Deliver) -> ServerApp:
    """The deployed ServerApp with these two steps."""
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        ask_again_soon()
        with flower_says_errors_only():
            folder = _own_folder()
            run_study(
                SigningGrid(PromptGrid(grid), signing_key=read_signing_key(folder.signing_key)),
                folder=folder,
                plan_hash=str(context.run_config[PLAN_HASH]),
                offer=offer,
                deliver=deliver,
            )

    return server_app


def _own_folder() -> CoordinatorFolder:
    return CoordinatorFolder(Path(os.environ[COORDINATOR]))


app = build_app(offer=offer_and_wait, deliver=sign_and_deliver)
