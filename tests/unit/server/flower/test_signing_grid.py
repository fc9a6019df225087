"""Does nothing leave the coordinator that a hospital would take for a stranger's?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from flwr.app import Message
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from tests.unit.server.flower.test_prompt_grid import SlowGrid

from oncofed.protocol.codec import MESSAGE_TYPE, decode_question, encode_question
from oncofed.protocol.question import request_in
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.wire_form import ASKED_FROM_OUTSIDE
from oncofed.server.flower.prompt_grid import PromptGrid
from oncofed.server.flower.signing_grid import SigningGrid

KEY = new_signing_key()


@pytest.fixture(autouse=True)
def task() -> None:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 2, 3


def pushed(grid: Grid, messages: Iterable[Message]) -> None:
    grid.push_messages(messages)


def sent(grid: Grid, messages: Iterable[Message]) -> None:
    list(grid.send_and_receive(messages, timeout=1.0))


@pytest.mark.parametrize("send", [pushed, sent])
def test_each_question_of_whatever_kind_is_signed(send: Callable[[Grid, Iterable[Message]], None]) -> None:
    flower = SlowGrid(after=1)
    requests = {method: f"a {method}".encode() for method in ASKED_FROM_OUTSIDE}
    messages = [
        Message(encode_question(method, request), dst_node_id=7, message_type=MESSAGE_TYPE)
        for method, request in requests.items()
    ]
    send(SigningGrid(PromptGrid(flower, sleep=lambda _: None), signing_key=KEY), messages)
    arrived = dict(decode_question(message.content) for message in flower.sent.values())
    read = {
        method: request_in(question, method=method, public_key=public_key_of(KEY))
        for method, question in arrived.items()
    }
    assert read == requests
