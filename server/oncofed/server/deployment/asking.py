"""How is each hospital asked something that is no round: to consider a plan, to take a model?

`ask_all` sends one message to each hospital and says what each answered, in words where it is no answer. Replies are
matched by the message they answer and by their signatures, as in a round, and the text inside a Flower error is never
repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from flwr.app import Message
from flwr.serverapp import Grid

from oncofed.errors import RequestRefused
from oncofed.protocol.answer import AnswerRejected, content_of
from oncofed.protocol.codec import MESSAGE_TYPE, decode_answer, encode_question
from oncofed.protocol.wire_form import Method, WrongForm
from oncofed.server.rounds.admission import error_words

_State = TypeVar("_State")


def ask_all(
    grid: Grid,
    question: bytes,
    *,
    method: Method,
    nodes: Mapping[str, int],
    answer_keys: Mapping[str, bytes],
    decode: Callable[[bytes], _State],
    timeout_seconds: float,
) -> tuple[dict[str, _State], dict[str, str]]:
    """The state each hospital answered, and why each other one has none; both by hospital, in the order of `nodes`.

    answer_keys  of the plan. decode: as `protocol.wire_form` reads a reply.
    """
    content, sha256 = encode_question(method, question), hashlib.sha256(question).digest()
    messages = {
        site: Message(content, dst_node_id=node_id, message_type=MESSAGE_TYPE, ttl=timeout_seconds)
        for site, node_id in nodes.items()
    }
    replies = {
        reply.metadata.reply_to_message_id: reply
        for reply in grid.send_and_receive(list(messages.values()), timeout=timeout_seconds)
    }
    states: dict[str, _State] = {}
    silent: dict[str, str] = {}
    for site, message in messages.items():
        reply = replies.get(message.metadata.message_id)
        if reply is None:
            silent[site] = f"no answer within {timeout_seconds:g} s"
        elif reply.has_error():
            silent[site] = error_words(reply.error.code)
        elif reply.metadata.src_node_id != nodes[site]:
            silent[site] = "another node answered in its place"
        else:
            try:
                answer, key = decode_answer(reply.content), answer_keys.get(site)
                states[site] = decode(content_of(answer, question_sha256=sha256, method=method, public_key=key))
            except RequestRefused as refusal:
                silent[site] = f"refused: {refusal.code}"
            except AnswerRejected as fault:
                silent[site] = str(fault)
            except WrongForm as fault:
                silent[site] = f"malformed answer: {fault}"
    return states, silent
