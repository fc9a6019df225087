"""Is this what the guard of that hospital answered to this very question?

An answer is the bytes of `guard.proto`'s `Answer`: the reply as `egress` let it out, the hash of the request's bytes
as the guard received them, and the signature of the guard's own key over method, hash and reply. The key never leaves
the guard; its public half stands in the plan. So whoever carries an answer can neither change it nor give it to another
question.

Promises: bytes are verified before the reply in them is parsed. An identical question and reply are the identical
answer: neither form nor Ed25519 has any randomness. Every part that is signed has its length before it.

Refuses, with `AnswerRejected`, whose words come from a fixed list: another form, another question, a signature that
does not fit or is missing where a key is known, one that nobody could verify where none is. Imports no torch.
"""

from __future__ import annotations

import hashlib

from oncofed.errors import FederationFailure, SignatureInvalid
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.signing import sign, verify
from oncofed.protocol.wire_form import WrongForm, parsed, serialised

_CONTEXT = "answer"


class AnswerRejected(FederationFailure):
    """A hospital's answer counts for nothing; the text says why."""


def answer_to(request: bytes, content: bytes, *, method: str, signing_key: bytes | None) -> bytes:
    """The answer with this reply to a request. signing_key: None in a simulation, whose answers nobody carries."""
    return answer_to_hash(question_hash(request), content, method=method, signing_key=signing_key)


def question_hash(request: bytes) -> bytes:
    """Takes longer with a longer question, so a guard makes it before it looks at a patient."""
    return hashlib.sha256(request).digest()


def answer_to_hash(asked: bytes, content: bytes, *, method: str, signing_key: bytes | None) -> bytes:
    """The same, to the request of this hash."""
    signature = b""
    if signing_key is not None:
        signature = sign(signing_key, context=_CONTEXT, message=_signed(method, asked, content))
    return serialised(pb.Answer(content=content, question=asked, signature=signature))


def content_of(answer: bytes, *, question_sha256: bytes, method: str, public_key: bytes | None) -> bytes:
    """The reply in an answer to a question.

    question_sha256  of the very request that was sent. public_key: the guard's Ed25519, if the plan names one.
    """
    try:
        found = parsed(pb.Answer, answer)
    except WrongForm as fault:
        raise AnswerRejected(f"malformed answer: {fault}") from None
    content: bytes = found.content
    if found.question != question_sha256:
        raise AnswerRejected("answered another question than the one it was sent")
    if public_key is None:
        if found.signature:
            raise AnswerRejected("malformed answer: a signature, and the plan names no key for it")
        return content
    if not found.signature:
        raise AnswerRejected("its guard has not signed the answer")
    try:
        verify(
            public_key,
            context=_CONTEXT,
            message=_signed(method, found.question, content),
            signature=found.signature,
        )
    except SignatureInvalid:
        raise AnswerRejected("the answer is not what its guard signed") from None
    return content


def _signed(method: str, question: bytes, content: bytes) -> bytes:
    parts = (method.encode(), question, content)
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
