"""Is an answer what the guard of that hospital said to this very question, or else rejected with a reason?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer import AnswerRejected, answer_to, content_of
from oncofed.protocol.signing import new_signing_key, public_key_of, sign

KEY = new_signing_key()
QUESTION, REPLY = b"the question", b"the reply"
UNSIGNED = answer_to(QUESTION, REPLY, method="Contribute", signing_key=None)
SIGNED = answer_to(QUESTION, REPLY, method="Contribute", signing_key=KEY)


@dataclass(frozen=True)
class Read:
    """How an answer is read; the fields are what an honest coordinator knows."""

    question: bytes = QUESTION
    method: str = "Contribute"
    key: bytes | None = public_key_of(KEY)

    def content(self, answer: bytes) -> bytes:
        return content_of(
            answer,
            question_sha256=hashlib.sha256(self.question).digest(),
            method=self.method,
            public_key=self.key,
        )


def reason(answer: bytes, read: Read) -> str:
    with pytest.raises(AnswerRejected) as rejected:
        read.content(answer)
    return str(rejected.value)


@given(question=st.binary(), reply=st.binary(), method=st.sampled_from(["Contribute", "OfferPlan"]))
def test_the_reply_comes_out_as_it_went_in(question: bytes, reply: bytes, method: str) -> None:
    read = Read(question, method)
    assert read.content(answer_to(question, reply, method=method, signing_key=KEY)) == reply
    unsigned = answer_to(question, reply, method=method, signing_key=None)
    assert replace(read, key=None).content(unsigned) == reply


def test_it_is_made_as_the_page_of_the_protocol_says() -> None:
    """Written out: hash of the question, and Ed25519 over context, method, hash and reply, each framed."""
    found = pb.Answer()
    found.ParseFromString(SIGNED)
    asked = hashlib.sha256(QUESTION).digest()
    assert (found.content, found.question) == (REPLY, asked)
    context = len(b"answer").to_bytes(2, "big") + b"answer"
    method = len(b"Contribute").to_bytes(8, "big") + b"Contribute"
    rest = (32).to_bytes(8, "big") + asked + len(REPLY).to_bytes(8, "big") + REPLY
    Ed25519PublicKey.from_public_bytes(public_key_of(KEY)).verify(found.signature, context + method + rest)


def test_the_same_question_and_reply_are_the_same_bytes() -> None:
    assert answer_to(QUESTION, REPLY, method="Contribute", signing_key=KEY) == SIGNED


ANOTHER_QUESTION = "answered another question than the one it was sent"
CHANGED = "the answer is not what its guard signed"


@pytest.mark.parametrize("place", range(len(SIGNED)))
def test_no_byte_can_be_changed(place: int) -> None:
    for flip in (0x01, 0x80):
        changed = SIGNED[:place] + bytes([SIGNED[place] ^ flip]) + SIGNED[place + 1 :]
        assert reason(changed, Read()) in (CHANGED, ANOTHER_QUESTION) or "malformed" in reason(changed, Read())


def test_an_answer_to_another_question_is_rejected_signed_or_not() -> None:
    assert reason(SIGNED, Read(question=b"the question of another round")) == ANOTHER_QUESTION
    assert reason(UNSIGNED, Read(question=b"the question of another round", key=None)) == ANOTHER_QUESTION


def test_a_relay_that_renames_the_question_cannot_sign_it() -> None:
    found = pb.Answer()
    found.ParseFromString(SIGNED)
    found.question = hashlib.sha256(b"another").digest()
    assert reason(found.SerializeToString(), Read(question=b"another")) == CHANGED


def test_other_keys_methods_and_contexts_do_not_pass() -> None:
    assert reason(SIGNED, Read(key=public_key_of(new_signing_key()))) == CHANGED
    assert reason(SIGNED, Read(method="Summarise")) == CHANGED
    found = pb.Answer()
    found.ParseFromString(SIGNED)
    found.signature = sign(KEY, context="study plan", message=REPLY)
    assert reason(found.SerializeToString(), Read()) == CHANGED


def test_without_a_signature_where_a_key_is_known_and_with_one_where_none_is() -> None:
    assert reason(UNSIGNED, Read()) == "its guard has not signed the answer"
    assert "malformed answer: a signature" in reason(SIGNED, Read(key=None))


@pytest.mark.parametrize(
    "answer", [b"", b"\xff\xff", UNSIGNED + b"\x7a\x03abc", UNSIGNED + pb.Answer(content=b"4711").SerializeToString()]
)
def test_another_form_is_rejected(answer: bytes) -> None:
    """Nothing rides along in a field that nobody knows, and nothing is said twice."""
    for read in (Read(), Read(key=None)):
        told = reason(answer, read)
        assert told.startswith("malformed answer") or (told == ANOTHER_QUESTION and answer == b"")
