"""Does the deployed relay pass on every question, say nothing else, and start fast?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from tests.node_guards import REQUEST, SUMMARY, TOKEN, Asker, HonestGuard, HostileGuard, Served, raising, served

from oncofed.client.relay import app as relay_app
from oncofed.client.relay.guard_channel import SOCKET_VARIABLE, TOKEN_FILE_VARIABLE
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import MESSAGE_TYPE, decode_answer, encode_question
from oncofed.protocol.messages import DeliveryState, PlanState
from oncofed.protocol.wire_form import Method

PLANTED = "MRN-0047-11"
CONTEXT = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})


class ThroughTheRelay:
    """`BytesPort` as the coordinator sees it: a Flower message to the deployed app, and its reply."""

    def ask(self, method: str, question: bytes) -> bytes:
        metadata = Metadata(
            run_id=1,
            message_id="question-1",
            src_node_id=1,
            dst_node_id=1000,
            reply_to_message_id="",
            group_id="1",
            created_at=0.0,
            ttl=1e10,
            message_type=MESSAGE_TYPE,
        )
        reply: Message = relay_app.app(make_message(metadata, encode_question(Method(method), question)), CONTEXT)
        assert reply.metadata.reply_to_message_id == "question-1"
        assert not reply.has_error()
        assert PLANTED not in str(reply.content)
        return decode_answer(reply.content)


COORDINATOR = Asker(ThroughTheRelay())
QUESTIONS: dict[str, Callable[[], object]] = {
    "round": lambda: COORDINATOR.contribute(REQUEST),
    "summary": lambda: COORDINATOR.summarise(SUMMARY),
    "offer": lambda: COORDINATOR.offer_plan(b"document"),
    "delivery": lambda: COORDINATOR.deliver_model(b"model", b"s", REQUEST.plan_hash),
}


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


def test_each_question_reaches_the_guard(connect: Callable[[Served], None]) -> None:
    guard = HonestGuard()
    with served(guard) as here:
        connect(here)
        assert COORDINATOR.contribute(REQUEST).vector.tolist() == (0.5 * REQUEST.weights).tolist()
        assert COORDINATOR.summarise(SUMMARY).vector.size == SUMMARY.cells
        assert COORDINATOR.offer_plan(b"document") is PlanState.OFFERED
        assert COORDINATOR.deliver_model(b"model", b"s", REQUEST.plan_hash) is DeliveryState.ACCEPTED
    assert guard.asked[2:] == [b"document", (b"model", b"s", REQUEST.plan_hash)]


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_nothing_of_a_failure_leaves_but_its_code(ask: Callable[[], object], connect: Callable[[Served], None]) -> None:
    with served(HostileGuard(raising(RuntimeError(PLANTED)))) as here:
        connect(here)
        with pytest.raises(RequestRefused) as refusal:
            ask()
    assert refusal.value.code is RefusalCode.INTERNAL


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_relay_that_is_not_set_up_says_not_ready(
    ask: Callable[[], object], connect: Callable[[Served], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SOCKET_VARIABLE, raising=False)
    with pytest.raises(RequestRefused) as refusal:
        ask()
    assert refusal.value.code is RefusalCode.NOT_READY


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_beside_flower_the_relay_imports_only_a_few_modules_of_ours() -> None:
    """Each message may start a process that imports this; Flower itself needs half a second already."""
    loaded, flower = modules_after("import oncofed.client.relay.app"), modules_after("import flwr.clientapp")
    assert not {"torch", "pandas", "opacus", "captum", "scipy", "pyarrow", "dp_accounting", "sqlalchemy"} & loaded
    ours = {name for name in loaded if name.startswith("oncofed.")}
    assert {name for name in ours if "service" in name or "guard" in name} == {
        "oncofed.client.guard",
        "oncofed.client.relay.guard_channel",
        "oncofed.client.guard.token",
        "oncofed.protocol.guard_pb2",
    }
    foreign = {name.partition(".")[0] for name in loaded - flower} - {"oncofed"}
    assert foreign <= set(sys.stdlib_module_names) | {"flwr", "google"}
