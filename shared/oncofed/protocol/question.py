"""Did the coordinator put this very question?

A question from outside is the bytes of `guard.proto`'s `Question`: the request as `wire_form` writes it, and the
signature of the coordinator's key over the method and the request's SHA-256. A hospital has pinned the key. So whoever
carries a question can neither change it nor ask one of his own: what he could ask would be charged to patients.
He can deliver a question late, or again: what was answered before gets the same bytes and no charge.

Promises: nothing of the request is answered before its signature fits. A request signed again is the same bytes. In a
simulation, where nobody carries a question, it travels bare. Imports no torch.
"""

from __future__ import annotations

import hashlib

from oncofed.errors import RefusalCode, RequestRefused, SignatureInvalid
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.signing import sign, verify
from oncofed.protocol.wire_form import WrongForm, parsed, serialised

_CONTEXT = "question"


def signed_question(request: bytes, *, method: str, signing_key: bytes) -> bytes:
    """The request as its asker signs it. signing_key: Ed25519, the coordinator's."""
    signature = sign(signing_key, context=_CONTEXT, message=_signed(method, request))
    return serialised(pb.Question(request=request, signature=signature))


def request_in(question: bytes, *, method: str, public_key: bytes) -> bytes:
    """The request in a question. Raises RequestRefused(NOT_SIGNED) unless its coordinator put it to this method."""
    try:
        found = parsed(pb.Question, question)
        request: bytes = found.request
        verify(public_key, context=_CONTEXT, message=_signed(method, request), signature=found.signature)
    except (WrongForm, SignatureInvalid):
        raise RequestRefused(RefusalCode.NOT_SIGNED) from None
    return request


def unverified_request_in(question: bytes) -> bytes:
    """What whoever asked put where a request belongs, so that a refusal says what it refuses; else all of it."""
    try:
        request: bytes = parsed(pb.Question, question).request
    except WrongForm:
        return question
    return request


def _signed(method: str, request: bytes) -> bytes:
    name = method.encode()
    return len(name).to_bytes(8, "big") + name + hashlib.sha256(request).digest()
