"""Does the deployed relay pass on all three kinds of message, say nothing else, and start fast?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from tests.node_guards import REQUEST, TOKEN, HonestGuard, HostileGuard, Served, raising, served

from oncofed.client import relay_app
from oncofed.client.service.guard_channel import SOCKET_VARIABLE, TOKEN_FILE_VARIABLE
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import (
    decode_answer,
    decode_delivery_state,
    decode_plan_state,
    encode_delivery,
    encode_offer,
    encode_request,
    question_of,
)
from oncofed.protocol.messages import Delivery, DeliveryState, NodeGuardPort, PlanState

PLANTED = "MRN-0047-11"
CONTEXT = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})
QUESTIONS: dict[str, tuple[RecordDict, Callable[[RecordDict], object]]] = {
    "train": (encode_request(REQUEST), decode_answer),
    "query.offer": (encode_offer(b"document"), decode_plan_state),
    "query.deliver": (encode_delivery(Delivery(REQUEST.plan_hash, b"model", b"s")), decode_delivery_state),
}


def asked(kind: str, content: RecordDict) -> RecordDict:
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
    reply: Message = relay_app.app(make_message(metadata, content), CONTEXT)
    assert reply.metadata.reply_to_message_id == "question-1"
    assert not reply.has_error()
    return reply.content


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Served], None]]:
    """Sets the relay's environment up for a served guard."""
    relay_app._guard.cache_clear()

    def set_up(here: Served) -> None:
        (here.folder / "token").write_text(TOKEN)
        monkeypatch.setenv(SOCKET_VARIABLE, str(here.socket))
        monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(here.folder / "token"))

    yield set_up
    if relay_app._guard.cache_info().currsize:
        relay_app._guard().close()
    relay_app._guard.cache_clear()


def served_to(guard: NodeGuardPort, connect: Callable[[Served], None]) -> dict[str, RecordDict]:
    with served(guard) as here:
        connect(here)
        return {kind: asked(kind, content) for kind, (content, _) in QUESTIONS.items()}


def test_each_kind_of_message_reaches_the_guard(connect: Callable[[Served], None]) -> None:
    guard = HonestGuard()
    answers = served_to(guard, connect)
    assert decode_answer(answers["train"])[0] == question_of(REQUEST)
    assert decode_plan_state(answers["query.offer"]) is PlanState.OFFERED
    assert decode_delivery_state(answers["query.deliver"]) is DeliveryState.ACCEPTED
    assert guard.asked[1:] == [b"document", (b"model", b"s", REQUEST.plan_hash)]


def test_nothing_of_a_failure_leaves_but_its_code(connect: Callable[[Served], None]) -> None:
    answers = served_to(HostileGuard(raising(RuntimeError(PLANTED))), connect)
    for kind, (_, decode) in QUESTIONS.items():
        with pytest.raises(RequestRefused) as refusal:
            decode(answers[kind])
        assert refusal.value.code is RefusalCode.INTERNAL
        assert PLANTED not in str(answers[kind])


@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_relay_that_is_not_set_up_says_not_ready(
    kind: str, connect: Callable[[Served], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SOCKET_VARIABLE, raising=False)
    content, decode = QUESTIONS[kind]
    with pytest.raises(RequestRefused) as refusal:
        decode(asked(kind, content))
    assert refusal.value.code is RefusalCode.NOT_READY


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_beside_flower_the_relay_imports_only_a_few_modules_of_ours() -> None:
    """Each message may start a process that imports this; Flower itself needs half a second already."""
    loaded, flower = modules_after("import oncofed.client.relay_app"), modules_after("import flwr.clientapp")
    assert not {"torch", "pandas", "opacus", "captum", "scipy", "pyarrow", "dp_accounting", "sqlalchemy"} & loaded
    ours = {name for name in loaded if name.startswith("oncofed.")}
    assert {name for name in ours if "service" in name or "guard" in name} == {
        "oncofed.client.service",
        "oncofed.client.service.guard_channel",
        "oncofed.client.service.token",
        "oncofed.client.service.wire_form",
        "oncofed.protocol.guard_pb2",
    }
    foreign = {name.partition(".")[0] for name in loaded - flower} - {"oncofed"}
    assert foreign <= set(sys.stdlib_module_names) | {"flwr", "google"}
