"""Does the relay pass on what the guard says, and nothing that went wrong inside?"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from oncofed.client.relay import build_client_app
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import decode_answer, encode_request, question_of
from oncofed.protocol.messages import ContributeRequest, Contribution, GuardPort, SummariseRequest

PLANTED = "MRN-0047-11"
REQUEST = ContributeRequest(
    plan_hash="ab12", site="Bonn", round=1, attempt=0, roster=("Bonn", "Essen"), weights=np.arange(4.0)
)
CONTEXT = Context(run_id=1, node_id=1000, node_config={"partition-id": 0}, state=RecordDict(), run_config={})


def message_with(content: RecordDict) -> Message:
    metadata = Metadata(
        run_id=1,
        message_id="question-1",
        src_node_id=1,
        dst_node_id=1000,
        reply_to_message_id="",
        group_id="1",
        created_at=0.0,
        ttl=1e10,
        message_type="train",
    )
    return make_message(metadata, content)


def wire_bytes(message: Message) -> bytes:
    """All that Flower would send for this message."""
    return b"".join(part.deflate() for part in get_all_nested_objects(message).values())


class Guard:
    """Answers with a function."""

    def __init__(self, answer: Callable[[ContributeRequest], object]) -> None:
        self.answer = answer

    def contribute(self, request: ContributeRequest) -> Contribution:
        return cast(Contribution, self.answer(request))

    def summarise(self, request: SummariseRequest) -> Contribution:
        raise AssertionError("this plan has no summaries")


def relay(answer: Callable[[ContributeRequest], object]) -> ClientApp:
    return build_client_app(lambda context: Guard(answer))


def raising(error: BaseException) -> Callable[[object], GuardPort]:
    def fail(_: object) -> GuardPort:
        raise error

    return fail


class TalkativeRefusal(RequestRefused):
    """A refusal whose code is a text."""

    def __init__(self) -> None:
        super().__init__(RefusalCode.INTERNAL)
        self.code = PLANTED  # type: ignore[assignment]


def test_the_guards_vector_and_the_question_come_back() -> None:
    reply = relay(lambda request: Contribution(2.0 * request.weights))(message_with(encode_request(REQUEST)), CONTEXT)
    question, contribution = decode_answer(reply.content)
    assert reply.metadata.reply_to_message_id == "question-1"
    assert question == question_of(REQUEST)
    assert contribution.vector.tolist() == [0.0, 2.0, 4.0, 6.0]


def test_the_guard_is_found_by_the_nodes_context() -> None:
    seen: list[Context] = []

    def connect(context: Context) -> GuardPort:
        seen.append(context)
        return Guard(lambda request: Contribution(np.zeros(4)))

    build_client_app(connect)(message_with(encode_request(REQUEST)), CONTEXT)
    assert seen == [CONTEXT]


@pytest.mark.parametrize("code", list(RefusalCode))
def test_a_refusal_leaves_as_its_code(code: RefusalCode) -> None:
    reply = relay(raising(RequestRefused(code)))(message_with(encode_request(REQUEST)), CONTEXT)
    with pytest.raises(RequestRefused) as refusal:
        decode_answer(reply.content)
    assert refusal.value.code is code


def test_a_malformed_request_never_reaches_the_guard() -> None:
    called: list[object] = []
    content = encode_request(REQUEST)
    del content["weights"]
    reply = relay(called.append)(message_with(content), CONTEXT)
    with pytest.raises(RequestRefused) as refusal:
        decode_answer(reply.content)
    assert refusal.value.code is RefusalCode.MALFORMED_WEIGHTS
    assert not called


FAILURES: dict[str, ClientApp] = {
    "guard raises": relay(raising(RuntimeError(f"patient {PLANTED} has no stage"))),
    "guard raises in a chain": relay(raising(ExceptionGroup(PLANTED, [KeyError(PLANTED)]))),
    "guard refuses in words": relay(raising(TalkativeRefusal())),
    "no connection": build_client_app(raising(OSError(f"/data/{PLANTED}.csv"))),
    "a text in place of a contribution": relay(lambda _: PLANTED),
    "a text in place of a vector": relay(lambda _: Contribution(PLANTED)),  # type: ignore[arg-type]
    "texts in a vector": relay(lambda _: Contribution(np.array([PLANTED] * 4, dtype=object))),
    "bytes in a longer vector": relay(lambda _: Contribution(np.frombuffer(PLANTED.encode() * 8))),
}


@pytest.mark.parametrize("app", FAILURES.values(), ids=FAILURES)
def test_nothing_of_a_failure_leaves_but_the_code_internal(app: ClientApp, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        reply = app(message_with(encode_request(REQUEST)), CONTEXT)
    assert PLANTED.encode() not in wire_bytes(reply)
    assert PLANTED not in caplog.text
    assert not reply.has_error()
    with pytest.raises(RequestRefused) as refusal:
        decode_answer(reply.content)
    assert refusal.value.code is RefusalCode.INTERNAL


def test_the_search_finds_a_leak_that_is_planted_on_purpose() -> None:
    """Twelve numbers of a vector may carry any text: what keeps it out is the guard, and the search can see it."""
    numbers = np.frombuffer((PLANTED + " " * (32 - len(PLANTED))).encode())
    reply = relay(lambda _: Contribution(numbers))(message_with(encode_request(REQUEST)), CONTEXT)
    assert PLANTED.encode() in wire_bytes(reply)


def test_an_unexpected_failure_is_told_locally_by_type_and_place(caplog: pytest.LogCaptureFixture) -> None:
    FAILURES["guard raises"](message_with(encode_request(REQUEST)), CONTEXT)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "RuntimeError" in caplog.text
    assert "test_relay.py" in caplog.text


def test_the_relay_imports_no_torch_and_no_table_reader() -> None:
    code = "import sys, oncofed.client.relay; print([m for m in ('torch', 'pandas', 'opacus') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
