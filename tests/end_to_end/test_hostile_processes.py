"""Can a coordinator that has turned hostile get more out of an installed hospital than the one plan it approved?

privacy.md, tests 9 and 10, against real processes: more rounds, less noise, a larger clip, another model, another plan,
other code, a list of files, an unknown method. Each must be refused and logged, and nothing may leave. First through
the relay and the guard's own process alone; then through the whole chain, from a ServerApp that asks all this.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import grpc
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from tests.end_to_end.flower_processes import REPOSITORY, until
from tests.end_to_end.hostile_questions import (
    NO_SUCH_QUESTION,
    VECTOR,
    Asked,
    answer_in,
    message_type_of,
    phases,
)
from tests.end_to_end.hostile_server_app import ANSWERS, SITECUSTOMIZE
from tests.end_to_end.installed_consortium import Hospital, Installed, installed
from tests.leaks import leaks_in

from oncofed.client.guard.guard_server import UNKNOWN_METHOD
from oncofed.client.guard.token import read_digits
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.client.relay.relay import build_client_app
from oncofed.protocol.bundle import build_bundle, bundle_hash
from oncofed.protocol.study_document import StudyDocument
from oncofed.protocol.wire_form import SERVICE
from oncofed.secret_files import read_secret
from oncofed.server.flower.control import Control

SITE = "Bonn"
CONTEXT = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})
OTHER_CODE_SECONDS = 120
EVENTS = ("contribute", "offer_plan", "deliver_model", "malformed_message")


@dataclass(frozen=True)
class Alone:
    """One hospital whose guard runs, with a plan of two rounds that it has approved."""

    installed: Installed
    document: StudyDocument

    @property
    def hospital(self) -> Hospital:
        return self.installed.hospitals[SITE]

    @property
    def questions(self) -> tuple[Asked, ...]:
        signing_key = read_secret(self.installed.base.coordinator.signing_key)
        asked = tuple(one for phase in phases(self.document, SITE, signing_key=signing_key) for one in phase)
        assert len({one.name for one in asked}) == len(asked)
        return asked


@pytest.fixture(scope="module")
def bonn() -> Iterator[Alone]:
    with installed(sites=(SITE,)) as one:
        document = one.study("small", rounds=2)
        one.start_guard(SITE)
        one.approve(document, by_mail=True)
        # The proxy would take a question before there is anybody to answer it.
        until(one.hospitals[SITE].folder.socket.exists, seconds=60, what="the guard listens")
        yield Alone(one, document)


def asked_of(app: ClientApp, one: Asked) -> str:
    """The answer of a relay, as Flower would call it."""
    metadata = Metadata(
        run_id=1,
        message_id="question-1",
        src_node_id=1,
        dst_node_id=1000,
        reply_to_message_id="",
        group_id="1",
        created_at=0.0,
        ttl=1e10,
        message_type=message_type_of(one.kind),
    )
    try:
        reply = app(make_message(metadata, one.content), CONTEXT)
    except ValueError:  # Flower makes an error of it: no function of ours is called
        return NO_SUCH_QUESTION
    assert isinstance(reply, Message)
    return answer_in(one.kind, reply.content)


def test_a_guards_process_gives_the_plans_two_vectors_and_no_more(bonn: Alone) -> None:
    hospital = bonn.hospital
    # Through the recording proxy, as the relay.
    channel = GuardChannel(
        socket=hospital.relays_view.socket, token=read_digits(hospital.folder.token), answer_seconds=60
    )
    app = build_client_app(lambda _: channel)
    questions = bonn.questions
    assert {one.name: asked_of(app, one) for one in questions} == {one.name: one.answer for one in questions}
    channel.close()
    check_hospital(bonn, questions, vectors=2)


UNKNOWN_METHODS = (
    f"/{SERVICE}/ListFiles",
    f"/{SERVICE}/../Contribute",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)


def test_an_unknown_method_is_refused_and_logged(bonn: Alone) -> None:
    hospital = bonn.hospital
    charged = hospital.charges()
    metadata = [("authorization", f"Bearer {read_digits(hospital.folder.token)}")]
    with grpc.insecure_channel(f"unix:{hospital.relays_view.socket}") as channel:
        for method in UNKNOWN_METHODS:
            with pytest.raises(grpc.RpcError) as refusal:
                channel.unary_unary(method)(b"/etc/passwd", metadata=metadata, timeout=20)
            assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert [entry.event for entry in hospital.audit()].count(UNKNOWN_METHOD) == 1, "once an hour"
    assert hospital.charges() == charged
    assert leaks_in(hospital.left_guard(), hospital.planted) == []


@pytest.mark.slow
def test_a_hostile_server_app_gets_the_plans_two_vectors_and_no_more() -> None:
    with installed(sites=(SITE,)) as one:
        changed = one.root / "changed"
        changed.mkdir()
        (changed / "sitecustomize.py").write_text(SITECUSTOMIZE)
        one.start(coordinator={"PYTHONPATH": f"{changed}:{REPOSITORY}"})
        bonn = Alone(one, one.study("small", rounds=2))
        status = one.run(bonn.document, seconds=600)
        assert status.outcome == "completed", status.details
        questions = bonn.questions
        answers = json.loads((one.base.coordinator.study(bonn.document.plan.hash) / ANSWERS).read_text())
        assert answers == {asked.name: asked.answer for asked in questions}
        check_hospital(bonn, questions, vectors=2)
        relay = one.processes.text(f"{SITE}-relay")
        by_relay = [asked for asked in questions if not asked.in_audit_log and asked.answer == "internal"]
        assert relay.count("a question is not answered: internal") >= len(by_relay) - 1
        assert leaks_in(bonn.hospital.left_relay(), bonn.hospital.planted) == []
        check_other_code(bonn)


def check_other_code(bonn: Alone) -> None:
    """A bundle that differs in a byte, whatever plan it is started for."""
    other, one = build_bundle(version=f"{version('oncofed')}1"), bonn.installed
    before = len(bonn.hospital.audit())
    with Control.of(one.base.coordinator) as control:
        run_id = control.start_run(other, {"plan-hash": bonn.document.plan.hash})
        log = f"bundle {bundle_hash(other)} is NOT approved here: refused"
        until(
            lambda: log in one.processes.text(f"{SITE}-node"),
            seconds=OTHER_CODE_SECONDS,
            what="the SuperNode refuses the bundle",
        )
        control.stop_run(run_id)
    assert len(bonn.hospital.audit()) == before, "the guard is not even asked"


def check_hospital(bonn: Alone, questions: Sequence[Asked], *, vectors: int) -> None:
    """What its records say, and what left it."""
    hospital, plan = bonn.hospital, bonn.document.plan
    entries = [entry for entry in hospital.audit() if entry.event in EVENTS]
    noted = Counter(VECTOR if entry.left else entry.code for entry in entries)
    expected = Counter(one.in_audit_log for one in questions if one.in_audit_log)
    assert (set(noted), noted[VECTOR]) == (set(expected), expected[VECTOR])
    assert noted <= expected  # the same refusal of one round is noted once an hour
    assert [entry.round for entry in entries if entry.left] == [1, 2]
    assert all(entry.plan_hash == plan.hash for entry in entries if entry.left)
    assert len(hospital.charges()) == vectors
    large = [piece for piece in hospital.left_guard() if len(piece) > plan.model.parameters * 8]
    assert len(large) == vectors
    assert leaks_in(hospital.left_guard(), hospital.planted) == []
    kept = {path.stem for path in hospital.folder.approvals.glob("*.json")}
    assert kept == {plan.hash}
    assert list(hospital.folder.models.glob("*.safetensors")) == []
