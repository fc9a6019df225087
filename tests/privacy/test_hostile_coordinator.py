"""Can anything a coordinator sends change what leaves a hospital?

privacy.md, test 10, through the deployed chain: a Flower message, the relay, the socket, the hospital's guard with its
own policy, approval and patients. Whatever is in a message, the answer is a refusal by code, or exactly the vector that
the approved plan prescribes, with the plan's noise and one charge of the plan's own release.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.doubles import SeededNoise
from tests.installed_node import SITE, InstalledNode, installed_node
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, TOKEN, Asker, signed

from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.token import token_sha256
from oncofed.client.patients.sources import SourceKind, SourceSpec, read_source_cohort
from oncofed.client.patients.training import ascent_sum
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.client.relay.relay import build_client_app
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.releases import release_of_round
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.codec import MESSAGE_TYPE, decode_answer, encode_question
from oncofed.protocol.messages import ContributeRequest, Contribution, PlanState
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.protocol.wire_form import Method, contribution_in, question_of, serialised
from oncofed.survival.likelihood import patient_tensors

CONTEXT = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})
CHARGED = SharedIntegerRelease(9.0, 22, 20, 1.0, sites=1, dropouts=0, colluding=0)


def message_with(content: RecordDict, kind: str = MESSAGE_TYPE) -> Message:
    metadata = Metadata(
        run_id=1,
        message_id="question-1",
        src_node_id=1,
        dst_node_id=1000,
        reply_to_message_id="",
        group_id="1",
        created_at=0.0,
        ttl=1e10,
        message_type=kind,
    )
    return make_message(metadata, content)


class _Said:
    """`BytesPort` of one answer."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def ask(self, method: str, question: bytes) -> bytes:
        return self._answer


class Hospital:
    """A node behind its relay. Noise from a seed, so that what must leave can be computed beside it."""

    def __init__(self, node: InstalledNode) -> None:
        self.node = node
        self.channel = GuardChannel(socket=node.folder.socket, token=TOKEN, answer_seconds=20, start_seconds=1)
        self.app = build_client_app(lambda _: self.channel)

    def asked(self, content: RecordDict, kind: str = MESSAGE_TYPE) -> RecordDict:
        return self.app(message_with(content, kind), CONTEXT).content

    def ask(self, method: str, question: bytes) -> bytes:
        """`BytesPort` through Flower's records."""
        return decode_answer(self.asked(encode_question(Method(method), question)))

    def answered(self, content: RecordDict, question: bytes) -> Contribution:
        """What the answer to this content holds, if it is one to this question."""
        answer = decode_answer(self.asked(content))
        return contribution_in(Asker(_Said(answer)).content(Method.CONTRIBUTE, question))

    def prescribed(self, request: ContributeRequest) -> bytes:
        schema = parse_schema(self.node.document().schema_toml, where="schema")
        source = SourceSpec("registry", SourceKind.CSV, path=self.node.table_path)
        patients = patient_tensors(read_source_cohort(source, schema))
        plan = self.node.plan()
        total = ascent_sum(plan, request.weights, patients)
        return bytes(release_of_round(plan).sealed(total, noise=SeededNoise(0)).tobytes())


@contextmanager
def deployed() -> Iterator[Hospital]:
    with installed_node() as node:
        guard = NodeGuard(node.folder, site=SITE, keys=node.keys, noise=SeededNoise(0))
        with serving(
            guard,
            socket=node.folder.socket,
            token_sha256=token_sha256(TOKEN),
            site=SITE,
            audit=node.audit_log,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        ):
            here = Hospital(node)
            Asker(here.channel).offer_plan(node.offer())
            node.approve()
            yield here
            here.channel.close()


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with deployed() as here:
        yield here


def test_the_question_itself_gets_what_the_plan_prescribes(hospital: Hospital) -> None:
    """What the fuzzed questions are compared with."""
    request = hospital.node.request()
    contribution = Asker(hospital).contribute(request)
    assert contribution.vector.tobytes() == hospital.prescribed(request)
    assert [charge.event for charge in hospital.node.charges()] == [CHARGED]


SETTINGS = (
    "noise-multiplier",
    "noise_multiplier",
    "sigma",
    "epsilon",
    "delta",
    "l2-norm-bound",
    "clip",
    "rounds",
    "local-steps",
    "sampling-rate",
    "mode",
    "privacy",
    "policy",
    "seed",
    "data-source",
    "path",
    "files",
    "model",
    "debug",
    "allow_no_privacy",
    "largest_epsilon",
    "num-examples",
)
VALUES = st.one_of(
    st.sampled_from([0, 0.0, -1, 1e9, True, "none", "", "/etc/passwd", "SELECT 1"]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=9),
    st.binary(max_size=9),
)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """What a coordinator writes into, beside or over a well-formed request."""
    return {
        "unknown": draw(st.sampled_from([(), (), (), (2,), (9,), (15,), (9, 9)])),
        "added": draw(st.dictionaries(st.sampled_from(SETTINGS), VALUES, max_size=3)),
        "beside": draw(st.sampled_from([None, "config", "metrics", "arrays"])),
        "round": draw(st.sampled_from([1, 1, 1, 0, 4, -1, 2**40])),
        "attempt": draw(st.sampled_from([0, 0, 0, 1, -1, 2**40])),
        "site": draw(st.sampled_from([SITE, SITE, SITE, "Essen", "bonn", ""])),
        "roster": draw(st.sampled_from([(SITE, "Essen"), (SITE, "Essen"), (SITE,), (), ("Essen",), (SITE,) * 50])),
        "plan": draw(st.sampled_from(["own", "own", "own", "weaker", "empty", "upper case"])),
        "weights": draw(st.sampled_from(["own", "own", "longer", "shorter", "NaN", "huge", "none"])),
    }


def questioned(node: InstalledNode, change: dict[str, Any]) -> tuple[ContributeRequest, bytes, RecordDict]:
    own = node.request()
    plans = {"own": own.plan_hash, "weaker": node.weaker().hash, "empty": "", "upper case": own.plan_hash.upper()}
    weights = {
        "own": own.weights,
        "longer": np.append(own.weights, 0.0),
        "shorter": own.weights[:-1],
        "NaN": np.where(np.arange(own.weights.size) == 0, np.nan, own.weights),
        "huge": own.weights * 1e300,
        "none": own.weights[:0],
    }
    request = replace(
        own,
        plan_hash=plans[change["plan"]],
        site=change["site"],
        round=change["round"],
        attempt=change["attempt"],
        roster=change["roster"],
        weights=weights[change["weights"]],
    )
    question = question_of(request)
    for number in change["unknown"]:
        question += bytes([number << 3 | 2, 3]) + b"abc"
    content = encode_question(Method.CONTRIBUTE, signed(question))
    for key, value in change["added"].items():
        content.config_records["question"][key] = value
    beside: dict[str, ArrayRecord | ConfigRecord | MetricRecord] = {
        "config": ConfigRecord({"noise-multiplier": 0.0}),
        "metrics": MetricRecord({"epsilon": 100.0}),
        "arrays": ArrayRecord([np.zeros(2)]),
    }
    if change["beside"]:
        content["privacy"] = beside[change["beside"]]
    return request, question, content


HARMLESS: dict[str, Any] = {
    "unknown": (),
    "added": {},
    "beside": None,
    "round": 1,
    "attempt": 0,
    "site": SITE,
    "roster": (SITE, "Essen"),
    "plan": "own",
    "weights": "own",
}


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(change=changes())
@example(change=HARMLESS)
@example(change=HARMLESS | {"added": {"noise-multiplier": 0.0}})
@example(change=HARMLESS | {"unknown": (9,)})
@example(change=HARMLESS | {"plan": "weaker"})
@example(change=HARMLESS | {"round": 4})
def test_no_key_of_a_message_changes_what_leaves(change: dict[str, Any]) -> None:
    with deployed() as hospital:
        request, question, content = questioned(hospital.node, change)
        try:
            vector = hospital.answered(content, question).vector.tobytes()
        except RequestRefused:
            vector = b""
        charged = [charge.event for charge in hospital.node.charges()]
        prescribed = hospital.prescribed(request) if vector else b""
    if vector:
        assert not change["added"]
        assert not change["unknown"]
        assert change["beside"] is None
        assert vector == prescribed
        assert charged == [CHARGED]
    else:
        assert charged in ([], [CHARGED])
        assert change != HARMLESS


def plans(node: InstalledNode) -> dict[str, StudyPlan]:
    """Signed by the pinned coordinator itself, each to be had only if the hospital's policy does not hold."""
    plan = node.plan()
    privacy, training = plan.privacy, plan.training
    return {
        "less noise": replace(plan, privacy=replace(privacy, noise_multiplier=1.0)),
        "no noise": replace(plan, privacy=replace(privacy, noise_multiplier=0.0)),
        "no privacy": replace(plan, privacy=replace(privacy, mode=PrivacyMode.NONE, epsilon=None, l2_norm_bound=None)),
        "no clip": replace(plan, privacy=replace(privacy, l2_norm_bound=None)),
        "a larger epsilon": replace(plan, privacy=replace(privacy, noise_multiplier=5.0, epsilon=9.0)),
        "another relation": replace(plan, privacy=replace(privacy, relation="replace_one_patient")),
        "more rounds": replace(plan, training=replace(training, rounds=600)),
        "a larger model": replace(plan, model=replace(plan.model, hidden_units=(500,))),
        "another schema's columns": replace(plan, model=replace(plan.model, columns=9)),
    }


FORBIDDEN = (
    "less noise",
    "no noise",
    "no privacy",
    "no clip",
    "a larger epsilon",
    "another relation",
    "more rounds",
    "a larger model",
    "another schema's columns",
)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_plan_that_the_policy_forbids_is_never_answered(hospital: Hospital, name: str) -> None:
    """Kept, so that people can read it; refused when they would approve it; and no approval, no answer."""
    node, plan = hospital.node, plans(hospital.node)[name]
    assert Asker(hospital).offer_plan(node.offer(plan)) is PlanState.OFFERED
    with pytest.raises(PrivacyRefusal):
        node.approve(plan)
    with pytest.raises(RequestRefused) as refusal:
        Asker(hospital).contribute(node.request(plan))
    assert refusal.value.code is RefusalCode.NOT_APPROVED
    assert node.charges() == ()


def test_a_plan_beyond_the_ranges_is_not_even_kept(hospital: Hospital) -> None:
    node, plan = hospital.node, hospital.node.plan()
    beyond = replace(plan, privacy=replace(plan.privacy, delta=0.1))
    assert Asker(hospital).offer_plan(node.offer(beyond)) is PlanState.REFUSED
    with pytest.raises(RequestRefused) as refusal:
        Asker(hospital).contribute(node.request(beyond))
    assert refusal.value.code is RefusalCode.NOT_APPROVED
    assert node.charges() == ()


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    key=st.text(max_size=12),
    record=st.sampled_from(["question", "offer", "delivery", "plan", "files"]),
    method=st.sampled_from(["OfferPlan", "DeliverModel", "PlanStatus", "Describe", "ListFiles", "../Contribute"]),
    value=VALUES,
)
def test_no_other_key_and_no_other_method_is_read(
    query_hospital: Hospital, key: str, record: str, method: str, value: object
) -> None:
    if method in ("OfferPlan", "DeliverModel") and record == "question" and key == "content" and type(value) is bytes:
        return
    content = RecordDict({record: ConfigRecord({key: value, "method": method})})  # type: ignore[dict-item]  # any value
    before = len(query_hospital.node.entries())
    with pytest.raises(RequestRefused) as refusal:
        decode_answer(query_hospital.asked(content))
    assert refusal.value.code is RefusalCode.INTERNAL
    assert len(query_hospital.node.entries()) == before, "the guard is not even asked"
    assert len(list(query_hospital.node.folder.plans.glob("*.json"))) == 1
    assert list(query_hospital.node.folder.models.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xff", serialised(pb.PlanStatusRequest(plan_hash="x"))])
def test_another_document_or_model_is_not_kept(query_hospital: Hospital, content: bytes) -> None:
    for method in (Method.OFFER_PLAN, Method.DELIVER_MODEL):
        Asker(query_hospital).content(method, content)
    assert len(list(query_hospital.node.folder.plans.glob("*.json"))) == 1
    assert list(query_hospital.node.folder.models.iterdir()) == []


@pytest.fixture(scope="module")
def query_hospital() -> Iterator[Hospital]:
    with deployed() as here:
        yield here


def test_there_is_no_question_for_files(hospital: Hospital) -> None:
    for kind in ("query.files", "query", "train", "evaluate"):
        with pytest.raises(ValueError, match=r"No .* function"):
            hospital.asked(RecordDict({"files": ConfigRecord({"path": "/"})}), kind)
