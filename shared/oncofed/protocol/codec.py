"""How do a question's and an answer's bytes travel inside Flower's records?

Question    ``question``    ConfigRecord  ``method`` and ``content`` (`protocol.wire_form`)
Answer      ``answer``      ConfigRecord  ``content`` (`protocol.answer`): the guard's own bytes
Unanswered  ``unanswered``  ConfigRecord  ``code``: the relay has no answer of the guard's. It signs nothing, so it may
            say no more than that its guard is not ready, or that something went wrong; never that it was charged.

Promises: what is encoded holds these keys and nothing else, and bytes come out as they went in; nothing in them is
parsed here. Refuses any missing or additional key and any other type: a question with RequestRefused(INTERNAL), an
answer with `AnswerRejected`.
"""

from __future__ import annotations

from typing import Any, Final

from flwr.app import ConfigRecord, RecordDict

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.answer import AnswerRejected
from oncofed.protocol.wire_form import ASKED_FROM_OUTSIDE, Method

GUARD_QUERY: Final = "guard"
MESSAGE_TYPE: Final = f"query.{GUARD_QUERY}"
"""Flower's type of every message."""

_QUESTION, _ANSWER, _UNANSWERED = "question", "answer", "unanswered"
_UNANSWERED_CODES = (RefusalCode.NOT_READY, RefusalCode.INTERNAL)


def encode_question(method: Method, content: bytes) -> RecordDict:
    return RecordDict({_QUESTION: ConfigRecord({"method": method.value, "content": content})})


def decode_question(content: RecordDict) -> tuple[Method, bytes]:
    """Raises RequestRefused(INTERNAL) for anything `encode_question` would not have made for a coordinator."""
    asked = _entries(content, _QUESTION)
    if asked.keys() != {"method", "content"} or type(asked["content"]) is not bytes:
        raise RequestRefused(RefusalCode.INTERNAL)
    if asked["method"] not in ASKED_FROM_OUTSIDE:
        raise RequestRefused(RefusalCode.INTERNAL)
    return Method(asked["method"]), asked["content"]


def encode_answer(answer: bytes) -> RecordDict:
    """Raises TypeError for anything but bytes."""
    if type(answer) is not bytes:
        raise TypeError("a guard's answer is bytes")
    return RecordDict({_ANSWER: ConfigRecord({"content": answer})})


def encode_unanswered(code: RefusalCode) -> RecordDict:
    """Another code than the two that a relay may give becomes INTERNAL."""
    said = code if code in _UNANSWERED_CODES else RefusalCode.INTERNAL
    return RecordDict({_UNANSWERED: ConfigRecord({"code": said.value})})


def decode_answer(content: RecordDict) -> bytes:
    """The guard's bytes. Raises RequestRefused with the relay's code, or AnswerRejected."""
    answer = _entries(content, _ANSWER)
    if answer.keys() == {"content"} and type(answer["content"]) is bytes:
        return answer["content"]
    said = _entries(content, _UNANSWERED)
    if said.keys() == {"code"} and said["code"] in _UNANSWERED_CODES:
        raise RequestRefused(RefusalCode(said["code"]))
    raise AnswerRejected("malformed answer: not in the protocol's records")


def payload_bytes(content: RecordDict) -> int:
    """Bytes of the question or answer inside, which is nearly all that travels; names and keys are not counted."""
    return sum(len(value) for record in content.values() for value in record.values() if isinstance(value, bytes))


def _entries(content: RecordDict, key: str) -> dict[str, Any]:
    """What is in the only record, if it is this one; else nothing."""
    record = content.get(key) if len(content) == 1 else None
    # A plain dictionary at once: each access to Flower's typed ones costs a microsecond.
    return dict(record.items()) if isinstance(record, ConfigRecord) else {}
