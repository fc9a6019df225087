"""No weights before the quorum has approved; the model reaches every hospital, signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.relay.relay import build_client_app
from oncofed.errors import QuorumLost, RefusalCode, RequestRefused
from oncofed.protocol.codec import GUARD_QUERY
from oncofed.protocol.masking_keys import SignedMaskingKey
from oncofed.protocol.messages import (
    BytesPort,
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.plan import Member
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import StudyDocument, read_document, signed_document, verify_document
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.server.deployment.delivery import deliver_model, release_model
from oncofed.server.deployment.offering import OfferPatience, offer_until_approved
from oncofed.server.rounds.state import FederationState
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes, partition_of

KEY = new_signing_key()
SITES = ("aachen", "bonn", "celle")
STUDY = Path(__file__).parents[4] / "server" / "oncofed" / "server" / "templates" / "study.toml"


def document_with(quorum: int) -> StudyDocument:
    consortium = read_consortium(STUDY)
    consortium = replace(consortium, terms=replace(consortium.terms, quorum=quorum))
    members = tuple(Member(site, f"key of {site}") for site in SITES)
    plan = plan_for(consortium, members=members, coordinator_public_key=public_key_of(KEY), bundle_sha256="")
    return signed_document(plan, schema_toml=consortium.schema_toml, signing_key=KEY)


@dataclass
class Hospital:
    """Gives its states in turn, the last one for ever; remembers what it was sent."""

    states: list[PlanState | RefusalCode | Exception]
    replayed: bool = False
    offered: list[bytes] = field(default_factory=list)
    delivered: list[SignedModel] = field(default_factory=list)

    def offer_plan(self, document: bytes) -> PlanState:
        self.offered.append(document)
        state = self.states[min(len(self.offered), len(self.states)) - 1]
        if isinstance(state, RefusalCode):
            raise RequestRefused(state)
        if isinstance(state, Exception):
            raise state
        return state

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        self.delivered.append(SignedModel(model, signature))
        return DeliveryState.ACCEPTED

    def plan_status(self, plan_hash: str) -> PlanState:
        raise AssertionError

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        raise AssertionError

    def describe(self) -> NodeDescription:
        raise AssertionError

    def contribute(self, request: ContributeRequest) -> Contribution:
        raise AssertionError

    def summarise(self, request: SummariseRequest) -> Contribution:
        raise AssertionError


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Replaying:
    """A relay that gives the guard's first answer for ever; what it was asked later, the guard never hears."""

    desk: Desk
    first: bytes = b""

    def ask(self, method: str, question: bytes) -> bytes:
        self.first = self.first or self.desk.ask(method, question)
        return self.first


def over(hospitals: list[Hospital], ask: Callable[[Grid, Mapping[str, int]], None]) -> None:
    replaying: dict[int, Replaying] = {}

    def connect(context: Context) -> BytesPort:
        partition = partition_of(context)
        questions = questions_to_node(hospitals[partition], site=SITES[partition])
        desk = Desk(questions, audit=None, answer_key=None, asker_key=None)
        return replaying.setdefault(partition, Replaying(desk)) if hospitals[partition].replayed else desk

    client: ClientApp = answer_partition_queries(build_client_app(connect))
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        ask(grid, find_nodes(grid, roster=SITES))

    run_in_process(server, client, node_count=len(hospitals))


def offered(hospitals: list[Hospital], *, quorum: int, seconds: float) -> tuple[tuple[str, ...], list[str], Clock]:
    clock, told, approved = Clock(), list[str](), list[tuple[str, ...]]()

    def ask(grid: Grid, nodes: Mapping[str, int]) -> None:
        approved.append(
            offer_until_approved(
                grid,
                document_with(quorum),
                nodes,
                patience=OfferPatience(seconds, 5.0, clock=clock.now, sleep=clock.sleep),
                told=lambda words: told.append(", ".join(f"{site} {word}" for site, word in words.items())),
            )
        )

    over(hospitals, ask)
    return approved[0], told, clock


def test_it_waits_for_the_last_to_decide_and_tells_each_change() -> None:
    late = Hospital([PlanState.OFFERED, PlanState.OFFERED, PlanState.APPROVED])
    hospitals = [Hospital([PlanState.APPROVED]), late, Hospital([RefusalCode.NOT_READY, PlanState.APPROVED])]
    approved, told, clock = offered(hospitals, quorum=2, seconds=60.0)
    assert approved == SITES
    assert told == [
        "aachen approved, bonn offered, celle refused: not_ready",
        "aachen approved, bonn offered, celle approved",
        "aachen approved, bonn approved, celle approved",
    ]
    assert clock.seconds == 10.0
    document = read_document(late.offered[0])
    verify_document(document, public_key=public_key_of(KEY))
    assert document == document_with(2)


def test_what_a_hospital_said_to_an_earlier_offer_is_no_answer_to_this_one() -> None:
    """It approves and then declines, and its relay says `approved` for ever."""
    others = [Hospital([PlanState.APPROVED]), Hospital([PlanState.OFFERED, PlanState.APPROVED])]
    approved, told, _ = offered(
        [Hospital([PlanState.APPROVED, PlanState.DECLINED], replayed=True), *others], quorum=2, seconds=60.0
    )
    assert told[0] == "aachen approved, bonn approved, celle offered"
    assert "aachen answered another question than the one it was sent" in told[1]
    assert approved == ("bonn", "celle")


def test_with_the_quorum_it_goes_on_when_patience_ends() -> None:
    hospitals = [Hospital([PlanState.APPROVED]), Hospital([PlanState.OFFERED]), Hospital([PlanState.APPROVED])]
    approved, _, clock = offered(hospitals, quorum=2, seconds=60.0)
    assert approved == ("aachen", "celle")
    assert clock.seconds == 60.0


def test_without_the_quorum_it_names_who_has_not_approved() -> None:
    hospitals = [Hospital([PlanState.APPROVED]), Hospital([PlanState.OFFERED]), Hospital([ValueError("patient 4711")])]
    with pytest.raises(QuorumLost) as lost:
        offered(hospitals, quorum=2, seconds=60.0)
    assert "bonn: offered" in str(lost.value)
    assert "celle: refused: internal" in str(lost.value)
    assert "4711" not in str(lost.value)


def test_a_study_that_too_many_declined_ends_at_once() -> None:
    declined = [Hospital([PlanState.DECLINED]) for _ in range(2)]
    with pytest.raises(QuorumLost, match="aachen: declined"):
        offered([*declined, Hospital([PlanState.OFFERED])], quorum=2, seconds=1e9)
    assert len(declined[0].offered) == 1


def test_one_who_declines_stops_nobody_else() -> None:
    hospitals = [Hospital([PlanState.DECLINED]), Hospital([PlanState.APPROVED]), Hospital([PlanState.APPROVED])]
    approved, _, clock = offered(hospitals, quorum=2, seconds=60.0)
    assert approved == ("bonn", "celle")
    assert clock.seconds == 0.0


def test_the_model_reaches_everybody_signed_and_is_kept(tmp_path: Path) -> None:
    hospitals = [Hospital([PlanState.APPROVED]) for _ in SITES]
    state = FederationState(round=60, weights=np.linspace(-1.0, 1.0, 92))
    model = release_model(tmp_path, state, plan_hash="ab" * 32, signing_key=KEY)
    assert json.loads((tmp_path / "release.json").read_text())["delivered"] == {}

    def ask(grid: Grid, nodes: Mapping[str, int]) -> None:
        deliver_model(grid, tmp_path, model, nodes, plan_hash="ab" * 32, answer_keys={}, rounds=60)

    over(hospitals, ask)
    for hospital in hospitals:
        (received,) = hospital.delivered
        weights = verified_weights(received, public_key=public_key_of(KEY), plan_hash="ab" * 32, parameters=92)
        assert weights.tolist() == state.weights.tolist()
    release = json.loads((tmp_path / "release.json").read_text())
    assert release["delivered"] == dict.fromkeys(SITES, "accepted")
    assert release["model_sha256"] == model.hash
    assert (tmp_path / "model.safetensors").read_bytes() == model.content


def test_a_message_of_another_kind_is_no_state() -> None:
    client = ClientApp()

    @client.query(GUARD_QUERY)
    def nonsense(message: Message, context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    answer_partition_queries(client)
    server = ServerApp()
    clock = Clock()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        offer_until_approved(
            grid,
            document_with(2),
            find_nodes(grid, roster=SITES),
            patience=OfferPatience(0.0, clock=clock.now, sleep=clock.sleep),
            told=lambda words: None,
        )

    with pytest.raises(QuorumLost, match="bonn: malformed answer"):
        run_in_process(server, client, node_count=3)
