"""Does the relay pass on what the guard says, byte for byte, and nothing that went wrong inside?"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from hypothesis import given
from hypothesis import strategies as st

from oncofed.client.relay.relay import build_client_app
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import MESSAGE_TYPE, decode_answer, encode_question
from oncofed.protocol.messages import BytesPort
from oncofed.protocol.wire_form import Method

PLANTED = "MRN-0047-11"
QUESTION = encode_question(Method.CONTRIBUTE, b"a question")
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
        message_type=MESSAGE_TYPE,
    )
    return make_message(metadata, content)


def wire_bytes(message: Message) -> bytes:
    """All that Flower would send for this message."""
    return b"".join(part.deflate() for part in get_all_nested_objects(message).values())


class Guard:
    """Answers with a function."""

    def __init__(self, answer: Callable[[str, bytes], object]) -> None:
        self.answer = answer

    def ask(self, method: str, question: bytes) -> bytes:
        return cast(bytes, self.answer(method, question))


def relay(answer: Callable[[str, bytes], object]) -> ClientApp:
    return build_client_app(lambda context: Guard(answer))


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object) -> BytesPort:
        raise error

    return fail


class TalkativeRefusal(RequestRefused):
    """A refusal whose code is a text."""

    def __init__(self) -> None:
        super().__init__(RefusalCode.INTERNAL)
        self.code = PLANTED  # type: ignore[assignment]


@given(question=st.binary(), answer=st.binary())
def test_bytes_go_and_come_as_they_are(question: bytes, answer: bytes) -> None:
    """Whatever they are: what they mean is for the two ends."""
    seen: list[tuple[str, bytes]] = []

    def ask(method: str, asked: bytes) -> bytes:
        seen.append((method, asked))
        return answer

    reply = relay(ask)(message_with(encode_question(Method.SUMMARISE, question)), CONTEXT)
    assert reply.metadata.reply_to_message_id == "question-1"
    assert decode_answer(reply.content) == answer
    assert seen == [("Summarise", question)]


def test_the_guard_is_found_by_the_nodes_context() -> None:
    seen: list[Context] = []

    def connect(context: Context) -> BytesPort:
        seen.append(context)
        return Guard(lambda *_: b"")

    build_client_app(connect)(message_with(QUESTION), CONTEXT)
    assert seen == [CONTEXT]


def told(app: ClientApp, content: RecordDict = QUESTION) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        decode_answer(app(message_with(content), CONTEXT).content)
    return refusal.value.code


@pytest.mark.parametrize("code", list(RefusalCode))
def test_without_an_answer_the_server_gets_one_of_two_codes(code: RefusalCode) -> None:
    app = relay(raising(RequestRefused(code)))
    assert told(app) is (RefusalCode.NOT_READY if code is RefusalCode.NOT_READY else RefusalCode.INTERNAL)


@pytest.mark.parametrize(
    "change", [{"epsilon": 100.0}, {"method": "Describe"}, {"method": "ListFiles"}, {"content": "q"}]
)
def test_a_malformed_question_never_reaches_the_guard(change: dict[str, Any]) -> None:
    called: list[object] = []
    content = RecordDict({"question": ConfigRecord({"method": "Contribute", "content": b"q"} | change)})
    assert told(relay(lambda *asked: called.append(asked)), content) is RefusalCode.INTERNAL
    assert not called


FAILURES: dict[str, ClientApp] = {
    "guard raises": relay(raising(RuntimeError(f"patient {PLANTED} has no stage"))),
    "guard raises in a chain": relay(raising(ExceptionGroup(PLANTED, [KeyError(PLANTED)]))),
    "guard refuses in words": relay(raising(TalkativeRefusal())),
    "no connection": build_client_app(raising(OSError(f"/data/{PLANTED}.csv"))),
    "a text in place of bytes": relay(lambda *_: PLANTED),
    "a list in place of bytes": relay(lambda *_: [PLANTED.encode()]),
    "nothing": relay(lambda *_: None),
}


@pytest.mark.parametrize("app", FAILURES.values(), ids=FAILURES)
def test_nothing_of_a_failure_leaves_but_the_code_internal(app: ClientApp, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        reply = app(message_with(QUESTION), CONTEXT)
    assert PLANTED.encode() not in wire_bytes(reply)
    assert PLANTED not in caplog.text
    assert not reply.has_error()
    assert told(app) is RefusalCode.INTERNAL


def test_the_search_finds_a_leak_that_is_planted_on_purpose() -> None:
    """Bytes may carry any text: what keeps it out is the guard, and the search can see it."""
    reply = relay(lambda *_: PLANTED.encode())(message_with(QUESTION), CONTEXT)
    assert PLANTED.encode() in wire_bytes(reply)


def test_an_unexpected_failure_is_told_locally_by_type_and_place(caplog: pytest.LogCaptureFixture) -> None:
    FAILURES["guard raises"](message_with(QUESTION), CONTEXT)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "RuntimeError" in caplog.text
    assert "test_relay.py" in caplog.text


def test_the_relay_imports_no_torch_and_no_table_reader() -> None:
    code = (
        "import sys, oncofed.client.relay.relay; print([m for m in ('torch', 'pandas', 'opacus') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
