"""How do the values of the guard's port look as protobuf? Shared by the two ends of the unix socket.

Promises: each value has one form. What is read is refused (`WrongForm`) unless it is of exactly that form: an unknown
field, an enum outside its list or another encoding of the same content is enough. Imports neither torch nor Flower.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from oncofed.errors import RefusalCode
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import ContributeRequest, DeliveryState, PlanState, SummariseRequest

SERVICE: Final = "oncofed.protocol.Guard"
LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes, both ways."""
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


def contribute_message(request: ContributeRequest) -> pb.ContributeRequest:
    return pb.ContributeRequest(
        plan_hash=request.plan_hash,
        site=request.site,
        round=request.round,
        attempt=request.attempt,
        roster=request.roster,
        weights=vector_bytes(request.weights),
    )


def contribute_request(message: pb.ContributeRequest) -> ContributeRequest:
    """Raises WrongForm when the weights are no vector of float64; the guard checks the rest."""
    return ContributeRequest(
        plan_hash=message.plan_hash,
        site=message.site,
        round=message.round,
        attempt=message.attempt,
        roster=tuple(message.roster),
        weights=vector_of(message.weights),
    )


def summarise_message(request: SummariseRequest) -> pb.SummariseRequest:
    return pb.SummariseRequest(
        plan_hash=request.plan_hash,
        site=request.site,
        summary=request.summary,
        attempt=request.attempt,
        roster=request.roster,
        weights=vector_bytes(request.weights),
        cells=request.cells,
    )


def summarise_request(message: pb.SummariseRequest) -> SummariseRequest:
    """As `contribute_request`. A number of cells that no message could answer is no form, either."""
    if not 1 <= message.cells <= LARGEST_MESSAGE // BYTES_A_NUMBER:
        raise WrongForm("no number of cells")
    return SummariseRequest(
        plan_hash=message.plan_hash,
        site=message.site,
        summary=message.summary,
        attempt=message.attempt,
        roster=tuple(message.roster),
        weights=vector_of(message.weights),
        cells=message.cells,
    )


def code_of(number: int, codes: dict[_Code, int]) -> _Code:
    """The value with this number. Raises WrongForm for a number outside the list."""
    for code, known in codes.items():
        if known == number:
            return code
    raise WrongForm("a number outside its list")
