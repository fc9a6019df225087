"""How do the questions of a coordinator and the replies of a guard look as bytes? Shared by the two ends.

Promises: each value has one form, the deterministic serialisation of its message in `guard.proto`. What is read is
refused (`WrongForm`) unless it is of exactly that form: an unknown field, an enum outside its list or another encoding
of the same content is enough. A vector is its plain little-endian bytes, which a reader shares and may not write to.
Imports neither torch nor Flower. How a reply is bound to its question: `protocol.answer`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.masking_keys import SignedMaskingKey
from oncofed.protocol.messages import (
    AnyRequest,
    ContributeRequest,
    Contribution,
    Delivery,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)

SERVICE: Final = "oncofed.protocol.Guard"
LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes, both ways."""
MOST_ANSWERED: Final = 2_000
"""Former answers that a question names: one for each study of a coordinator with this hospital."""
_LONGEST_IDENTITY: Final = 256
_LONGEST_ROSTER: Final = 2_000_000
"""Bytes; ten thousand hospitals (`oncofed.ranges`) of names of any length that there is."""
_LARGEST_MASKING_KEYS: Final = 10_000 * 256
"""Bytes of as many signed keys as a plan can have hospitals."""
OPTIONS: Final = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
)
BYTES_A_NUMBER: Final = 8

REFUSALS: Final = {code: pb.Refusal.Value(f"REFUSAL_{code.name}") for code in RefusalCode}
PLAN_STATES: Final = {state: pb.PlanState.Value(f"PLAN_STATE_{state.name}") for state in PlanState}
DELIVERY_STATES: Final = {state: pb.DeliveryState.Value(f"DELIVERY_STATE_{state.name}") for state in DeliveryState}

_DIGITS = 64
_Message = TypeVar("_Message", bound=Message)
_Code = TypeVar("_Code", bound=StrEnum)


class Method(StrEnum):
    """What may be asked, as gRPC calls it."""

    CONTRIBUTE = "Contribute"
    SUMMARISE = "Summarise"
    OFFER_PLAN = "OfferPlan"
    PLAN_STATUS = "PlanStatus"
    DELIVER_MODEL = "DeliverModel"
    MASKING_KEYS = "MaskingKeys"
    DESCRIBE = "Describe"


ASKED_FROM_OUTSIDE: Final = (
    Method.CONTRIBUTE,
    Method.SUMMARISE,
    Method.OFFER_PLAN,
    Method.DELIVER_MODEL,
    Method.MASKING_KEYS,
)
"""By a coordinator, signed (`protocol.question`); the others are for the hospital itself, and bare."""


class WrongForm(Exception):
    """Bytes are not of the expected form; the text is one of ours."""


def parsed(kind: type[_Message], content: bytes) -> _Message:
    """The message in these bytes. Raises WrongForm unless they are its one deterministic serialisation."""
    message: _Message = kind()
    try:
        message.ParseFromString(content)
    except DecodeError:
        raise WrongForm("no message of this kind") from None
    message.DiscardUnknownFields()
    if serialised(message) != content:
        raise WrongForm("unknown fields, or not in the one form")
    return message


def serialised(message: Message) -> bytes:
    """The message's one form; `parsed` takes no other."""
    return bytes(message.SerializeToString(deterministic=True))


def is_hash(text: str) -> bool:
    """Whether this is a SHA-256 as we write it: 64 lower-case hexadecimal digits. Such a text is safe in a path."""
    return len(text) == _DIGITS and not set(text) - set("0123456789abcdef")


def masked_of(content: bytes) -> NDArray[np.uint64]:
    """(numbers,), read-only: a masked contribution. Raises WrongForm when the bytes are no whole numbers of uint64."""
    if len(content) % BYTES_A_NUMBER:
        raise WrongForm("no whole number of uint64")
    return np.frombuffer(content, dtype="<u8").astype(np.uint64, copy=False)


def vector_bytes(vector: NDArray[np.float64]) -> bytes:
    return np.asarray(vector, dtype="<f8").tobytes()


def vector_of(content: bytes) -> NDArray[np.float64]:
    """(numbers,), read-only. Raises WrongForm when the bytes are no whole numbers of float64."""
    if len(content) % BYTES_A_NUMBER:
        raise WrongForm("no whole number of float64")
    return np.frombuffer(content, dtype="<f8").astype(np.float64, copy=False)


def method_of(request: AnyRequest) -> Method:
    return Method.SUMMARISE if isinstance(request, SummariseRequest) else Method.CONTRIBUTE


def question_of(request: AnyRequest) -> bytes:
    """The question to the hospital that the request names."""
    return serialised(_request_message(request))


def questions_of(
    request: AnyRequest, *, sites: Iterable[str], answered: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, bytes, bytes]]:
    """The same question to each of `sites` in place of the request's own: the site, the bytes, their SHA-256.

    answered  by site, for the field of that name.

    `site` and `answered` are the last fields of both messages, so that what is before them is written and hashed once
    for all.
    """
    same_for_all = serialised(_request_message(replace(request, site="", answered=())))
    hashed = hashlib.sha256(same_for_all)
    for site in sites:
        last, digest = serialised(pb.ContributeRequest(site=site, answered=answered.get(site, ()))), hashed.copy()
        digest.update(last)
        yield site, same_for_all + last, digest.digest()


def offer_question(document: bytes, *, nonce: bytes) -> bytes:
    """nonce: another one each time."""
    return serialised(pb.OfferPlanRequest(document=document, nonce=nonce))


def delivery_question(delivery: Delivery) -> bytes:
    return serialised(
        pb.DeliverModelRequest(model=delivery.model, signature=delivery.signature, plan_hash=delivery.plan_hash)
    )


def masking_keys_question(plan_hash: str, keys: Iterable[SignedMaskingKey], *, nonce: bytes) -> bytes:
    """nonce: another one each time."""
    return serialised(pb.MaskingKeysRequest(plan_hash=plan_hash, key=[_key_message(key) for key in keys], nonce=nonce))


def masking_keys_in(question: bytes) -> tuple[str, tuple[SignedMaskingKey, ...]]:
    """The plan's hash and the keys, unverified. Raises WrongForm."""
    if len(question) > _LARGEST_MASKING_KEYS:  # before it is read: an empty key takes two bytes, and much memory
        raise WrongForm("more masking keys than a study can have")
    message = parsed(pb.MaskingKeysRequest, question)
    return message.plan_hash, tuple(SignedMaskingKey(key.site, key.public_key, key.signature) for key in message.key)


def masking_key_reply(key: SignedMaskingKey) -> bytes:
    return serialised(pb.MaskingKeysReply(key=_key_message(key)))


def _key_message(key: SignedMaskingKey) -> pb.SignedMaskingKey:
    return pb.SignedMaskingKey(site=key.site, public_key=key.public_key, signature=key.signature)


def _request_message(request: AnyRequest) -> pb.ContributeRequest | pb.SummariseRequest:
    weights, roster = vector_bytes(request.weights), serialised(pb.Roster(site=request.roster))
    if isinstance(request, SummariseRequest):
        return pb.SummariseRequest(
            plan_hash=request.plan_hash,
            site=request.site,
            summary=request.summary,
            attempt=request.attempt,
            roster=roster,
            weights=weights,
            cells=request.cells,
            answered=request.answered,
        )
    return pb.ContributeRequest(
        plan_hash=request.plan_hash,
        site=request.site,
        round=request.round,
        attempt=request.attempt,
        roster=roster,
        weights=weights,
        answered=request.answered,
    )


def contribute_request(question: bytes) -> ContributeRequest:
    """Raises WrongForm when the weights are no vector of float64, too; the guard checks the rest."""
    message = parsed(pb.ContributeRequest, question)
    return ContributeRequest(
        plan_hash=message.plan_hash,
        site=message.site,
        round=message.round,
        attempt=message.attempt,
        roster=_roster_in(message.roster),
        weights=vector_of(message.weights),
        answered=_answered_in(message),
    )


def _answered_in(message: pb.ContributeRequest | pb.SummariseRequest) -> tuple[str, ...]:
    """One for each study of a coordinator. They are in no hash, so that their number and length have a bound here."""
    told = message.answered
    if len(told) > MOST_ANSWERED or any(len(each) > _LONGEST_IDENTITY for each in told):
        raise WrongForm("more about former answers than a coordinator can know")
    found = tuple(told)
    if len(set(found)) != len(found):
        raise WrongForm("a former answer is named twice")
    return found


def summarise_request(question: bytes) -> SummariseRequest:
    """As `contribute_request`. A number of cells that no message could answer is no form, either."""
    message = parsed(pb.SummariseRequest, question)
    if not 1 <= message.cells <= LARGEST_MESSAGE // BYTES_A_NUMBER:
        raise WrongForm("no number of cells")
    return SummariseRequest(
        plan_hash=message.plan_hash,
        site=message.site,
        summary=message.summary,
        attempt=message.attempt,
        roster=_roster_in(message.roster),
        weights=vector_of(message.weights),
        cells=message.cells,
        answered=_answered_in(message),
    )


@lru_cache(maxsize=8)
def _roster_in(content: bytes) -> tuple[str, ...]:
    """Cached because each of a thousand simulated hospitals is sent the same thousand names."""
    if len(content) > _LONGEST_ROSTER:  # parsed it would take many times as much memory, and be kept
        raise WrongForm("more hospitals than a plan can name")
    return tuple(parsed(pb.Roster, content).site)


def contribution_in(content: bytes) -> Contribution:
    """The vector of a reply, its numbers unchecked: they may be NaN.

    This and the next four raise RequestRefused with the hospital's code when it refuses, and WrongForm.
    """
    reply = parsed(pb.ContributeReply, content)
    if reply.WhichOneof("reply") == "masked":
        return Contribution(masked_of(reply.masked))
    if reply.WhichOneof("reply") == "counts":
        return Contribution(vector_of(reply.counts), noised=False)
    return Contribution(vector_of(_given(reply, "vector")))


def plan_state_in(content: bytes) -> PlanState:
    return code_of(_given(parsed(pb.PlanReply, content), "state"), PLAN_STATES)


def delivery_state_in(content: bytes) -> DeliveryState:
    return code_of(_given(parsed(pb.DeliverModelReply, content), "state"), DELIVERY_STATES)


def masking_key_in(content: bytes) -> SignedMaskingKey:
    """A hospital's own, unverified."""
    key = _given(parsed(pb.MaskingKeysReply, content), "key")
    return SignedMaskingKey(key.site, key.public_key, key.signature)


def description_in(content: bytes) -> NodeDescription:
    description = _given(parsed(pb.DescribeReply, content), "description")
    return NodeDescription(description.site, description.protocol_version)


def _given(reply: Any, field: str) -> Any:
    if reply.WhichOneof("reply") == "refusal":
        raise RequestRefused(code_of(reply.refusal, REFUSALS))
    if reply.WhichOneof("reply") != field:
        raise WrongForm("a reply without content")
    return getattr(reply, field)


def code_of(number: int, codes: dict[_Code, int]) -> _Code:
    """The value with this number. Raises WrongForm for a number outside the list."""
    for code, known in codes.items():
        if known == number:
            return code
    raise WrongForm("a number outside its list")
