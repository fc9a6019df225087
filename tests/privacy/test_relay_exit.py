"""Is what leaves the relay, to the last bit, what the guard checked, signed and noted?

A real guard with patients behind its real socket, the product's relay, and its replies as Flower would send them.
Whole studies between real processes are looked at in the same way by tests/end_to_end/test_consortium.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from tests.captured_answers import answers_in, hashes_of, noted_hashes
from tests.installed_node import ANSWER_PUBLIC_KEY, SITE, InstalledNode, installed_node
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, TOKEN, signed

from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.token import token_sha256
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.client.relay.relay import build_client_app
from oncofed.errors import RequestRefused
from oncofed.protocol.answer import AnswerRejected, content_of
from oncofed.protocol.codec import MESSAGE_TYPE, decode_answer, encode_question
from oncofed.protocol.messages import AnyRequest, ContributeRequest
from oncofed.protocol.wire_form import contribution_in, method_of, question_of

CONTEXT = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})


class Relay:
    """Asks through the relay, and keeps every reply as Flower sends it."""

    def __init__(self, channel: GuardChannel) -> None:
        self._app = build_client_app(lambda _: channel)
        self.captured: list[bytes] = []

    def asked(self, request: AnyRequest) -> bytes:
        metadata = Metadata(1, "question-1", 1, 1000, "", "1", 0.0, 1e10, MESSAGE_TYPE)
        method = method_of(request)
        question = encode_question(method, signed(question_of(request), method))
        reply: Message = self._app(make_message(metadata, question), CONTEXT)
        self.captured += [part.deflate() for part in get_all_nested_objects(reply).values()]
        return decode_answer(reply.content)


def read(answer: bytes, request: AnyRequest) -> np.ndarray:
    """As the coordinator of the plan reads it."""
    content = content_of(
        answer,
        question_sha256=hashlib.sha256(question_of(request)).digest(),
        method=method_of(request),
        public_key=bytes.fromhex(ANSWER_PUBLIC_KEY),
    )
    return contribution_in(content).vector


@contextmanager
def at_work() -> Iterator[tuple[InstalledNode, Relay]]:
    with (
        installed_node() as node,
        serving(
            node.guard(),
            socket=node.folder.socket,
            token_sha256=token_sha256(TOKEN),
            site=SITE,
            audit=node.audit_log,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        ),
    ):
        channel = GuardChannel(socket=node.folder.socket, token=TOKEN, answer_seconds=20, start_seconds=1)
        node.guard().offer_plan(node.offer())
        node.approve()
        yield node, Relay(channel)
        channel.close()


def requests_of(node: InstalledNode) -> tuple[ContributeRequest, ...]:
    """Three rounds; the second is asked for twice, and one of them afresh."""
    second = node.request(round_=2)
    return (node.request(), second, second, node.request(round_=3), node.request(round_=3, attempt=1))


def test_what_leaves_the_relay_has_the_hashes_of_the_guards_audit_log() -> None:
    with at_work() as (node, relay):
        requests = requests_of(node)
        answers = [relay.asked(request) for request in requests]
        with pytest.raises(RequestRefused):
            read(relay.asked(replace(node.request(), site="Essen")), replace(node.request(), site="Essen"))
        vectors = {read(answer, request).tobytes() for answer, request in zip(answers, requests, strict=True)}
        found = answers_in(relay.captured, numbers=node.request().weights.size)
        assert found == set(answers)
        assert hashes_of(found) == noted_hashes(node.entries())
        left = [entry.left[0] for entry in node.entries() if entry.left]
        assert [one.sha256 for one in left] == [hashlib.sha256(answer).hexdigest() for answer in answers]
    assert len(vectors) == 4, "asked again, a guard gives the same bytes again"


def test_an_answer_fits_its_own_question_and_no_other() -> None:
    with at_work() as (node, relay):
        request = node.request()
        answer = relay.asked(request)
    read(answer, request)
    others = (
        replace(request, round=2),
        replace(request, attempt=1),
        replace(request, site="Essen"),
        replace(request, roster=(SITE, "Essen", "Kiel")),
        replace(request, plan_hash="0" * 64),
        replace(request, weights=np.nextafter(request.weights, 1)),
    )
    for other in others:
        with pytest.raises(AnswerRejected, match="another question"):
            read(answer, other)


def test_the_search_notices_one_bit_that_a_relay_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = GuardChannel.ask

    def changing(self: GuardChannel, method: str, question: bytes) -> bytes:
        answer = ask(self, method, question)
        return answer[:20] + bytes([answer[20] ^ 1]) + answer[21:]

    monkeypatch.setattr(GuardChannel, "ask", changing)
    with at_work() as (node, relay):
        request = node.request()
        answer = relay.asked(request)
        found = answers_in(relay.captured, numbers=request.weights.size)
        assert not hashes_of(found) & noted_hashes(node.entries())
    with pytest.raises(AnswerRejected, match="not what its guard signed"):
        read(answer, request)
