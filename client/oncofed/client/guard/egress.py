"""What may leave the guard? An allow-list, applied to the bytes of each answer just before they are sent.

Kind of answer   what it may hold, and nothing beside it
Contribute       `vector`: exactly as many float64 as the question's weights, all finite; or `masked`: exactly as many
                 uint64, which must look as masks make them; or a refusal
Summarise        the same, as many as the question's cells; or `counts`: as many finite float64, of which the guard says
                 that its plan hides nothing
OfferPlan, PlanStatus, DeliverModel    `state`: one of its list; or a refusal
MaskingKeys      the site's own name, a public key and a signature of just their lengths; or a refusal
Describe         the site's own name as configured, and the protocol's version; or a refusal

A refusal is one code of `errors.RefusalCode`. Two things that noise hardly makes are refused too: a number below
the smallest normal float64 (that is how a count looks when its integer's bytes are read as a float64), and a vector
whose numbers are all whole (counts). A second barrier, not the first: sixteen digits of noise can carry anything, so
what keeps data out of a vector is the guard's own mechanism, and its own look at what it made (`Release.fault_of`,
which knows the plan); this keeps out whatever a mistake elsewhere would add.

Promises: what passes is byte for byte the one serialisation of what was checked, so that no unknown field travels
along. Raises `EgressViolation`, which holds a rule of a fixed list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.masking_keys import KEY_BYTES, SIGNATURE_BYTES
from oncofed.protocol.messages import PROTOCOL_VERSION, Contribution, DeliveryState, PlanState
from oncofed.protocol.wire_form import (
    BYTES_A_NUMBER,
    DELIVERY_STATES,
    PLAN_STATES,
    REFUSALS,
    WrongForm,
    code_of,
    masked_of,
    parsed,
    vector_bytes,
    vector_of,
)


@dataclass(frozen=True)
class Leaving:
    """content: checked. numbers: length of the vector.

    what  `vector`, `masked`, `counts`, `masking_key`, `description`, a state or a refusal's code.
    """

    content: bytes
    what: str
    numbers: int = 0


MASKING_KEY = "masking_key"
"""What leaves where this hospital gives its own."""

Check = Callable[[bytes], Leaving]
"""Bytes that were to be sent -> the same bytes, checked. Raises EgressViolation."""

_Reply = TypeVar(
    "_Reply", pb.ContributeReply, pb.PlanReply, pb.DeliverModelReply, pb.DescribeReply, pb.MaskingKeysReply
)
_State = TypeVar("_State", PlanState, DeliveryState)
_MOST_SMALL_BY_CHANCE = 4
"""So many of a hundred masked numbers have equal upper bits with a probability below 1e-14."""
_TOO_MANY_TO_BE_WHOLE_BY_CHANCE = 5
"""Noised numbers are whole steps of 2**-4 at the coarsest, of 2**-20 usually: so many are all whole once in 10^6, and
once in 10^30. The answer is then lost; that follows from a noised answer alone, and tells no more."""
_SMALLEST_NORMAL = np.finfo(np.float64).tiny


class Rule(StrEnum):
    """Why something was held back; a word for the audit log."""

    ANOTHER_VALUE = "another_value"
    """The guard's object gave something else than the port says."""
    ANOTHER_ARRAY = "another_array"
    """No plain flat array of float64."""
    ANOTHER_FORM = "another_form"
    """The bytes are no answer, or hold more than its fields."""
    ANOTHER_LENGTH = "another_length"
    NOT_FINITE = "not_finite"
    INTEGER_BYTES = "integer_bytes"
    """A number below the smallest normal float64."""
    WHOLE_NUMBERS = "whole_numbers"
    NOT_NOISED = "not_noised"
    """A round's answer that says of itself that it hides nothing."""
    NOT_MASKED = "not_masked"
    """Integers of the size of a sum, not of a mask."""
    ANOTHER_DESCRIPTION = "another_description"
    ANOTHER_KEY = "another_key"
    """No key of this hospital's, or longer than a key and its signature are."""
    OUTSIDE_ITS_LIST = "outside_its_list"
    """A state or a code."""


class EgressViolation(Exception):
    """Something was about to leave that may not. Holds the rule and nothing of the answer."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        super().__init__(rule.value)


def only_a_vector(contribution: object) -> pb.ContributeReply:
    """A contribution's vector as a reply: of exactly our type, of exactly numpy's, float64 or masked, and flat.

    What is said to hide nothing is `counts`, which `contribution_of` lets nobody send in a round.

    A subclass may bring its own `tobytes`, and another integer vector is a count; neither is asked for its bytes.
    """
    if type(contribution) is not Contribution:
        raise EgressViolation(Rule.ANOTHER_VALUE)
    vector: object = contribution.vector
    if type(vector) is not np.ndarray:
        raise EgressViolation(Rule.ANOTHER_ARRAY)
    if vector.ndim == 1 and vector.dtype == np.uint64:
        return pb.ContributeReply(masked=np.asarray(vector, dtype="<u8").tobytes())
    if vector.dtype != np.float64 or vector.ndim != 1:
        raise EgressViolation(Rule.ANOTHER_ARRAY)
    if contribution.noised is False:
        return pb.ContributeReply(counts=vector_bytes(vector))
    return pb.ContributeReply(vector=vector_bytes(vector))


def summary_of(cells: int) -> Check:
    """Answers to a summary of so many cells."""
    as_in_a_round = contribution_of(cells)

    def released(content: bytes) -> Leaving:
        reply = _in_form(pb.ContributeReply, content)
        if reply.WhichOneof("reply") != "counts":
            return as_in_a_round(content)
        _finite_vector(reply.counts, cells)
        return Leaving(content, "counts", cells)

    return released


def contribution_of(numbers: int) -> Check:
    """Answers to a question with this many weights."""

    def released(content: bytes) -> Leaving:
        reply = _in_form(pb.ContributeReply, content)
        if reply.WhichOneof("reply") == "counts":
            raise EgressViolation(Rule.NOT_NOISED)
        if reply.WhichOneof("reply") == "vector":
            _refuse_unless_like_noise(reply.vector, numbers)
            return Leaving(content, "vector", numbers)
        if reply.WhichOneof("reply") == "masked":
            _refuse_unless_masked(reply.masked, numbers)
            return Leaving(content, "masked", numbers)
        return Leaving(content, _refusal_in(reply))

    return released


def plan_state(content: bytes) -> Leaving:
    """Answers to OfferPlan and PlanStatus."""
    reply = _in_form(pb.PlanReply, content)
    return Leaving(content, _state_in(reply, PLAN_STATES))


def delivery_state(content: bytes) -> Leaving:
    """Answers to DeliverModel."""
    reply = _in_form(pb.DeliverModelReply, content)
    return Leaving(content, _state_in(reply, DELIVERY_STATES))


def description_of(site: str) -> Check:
    """Answers to Describe of the guard of this site."""

    def released(content: bytes) -> Leaving:
        reply = _in_form(pb.DescribeReply, content)
        if reply.WhichOneof("reply") == "description":
            if reply.description.site != site or reply.description.protocol_version != PROTOCOL_VERSION:
                raise EgressViolation(Rule.ANOTHER_DESCRIPTION)
            return Leaving(content, "description")
        return Leaving(content, _refusal_in(reply))

    return released


def masking_key_of(site: str) -> Check:
    """Answers to MaskingKeys of the guard of this site."""

    def released(content: bytes) -> Leaving:
        reply = _in_form(pb.MaskingKeysReply, content)
        if reply.WhichOneof("reply") == "key":
            key = reply.key
            if key.site != site or (len(key.public_key), len(key.signature)) != (KEY_BYTES, SIGNATURE_BYTES):
                raise EgressViolation(Rule.ANOTHER_KEY)
            return Leaving(content, MASKING_KEY)
        return Leaving(content, _refusal_in(reply))

    return released


def _in_form(kind: type[_Reply], content: bytes) -> _Reply:
    if type(content) is not bytes:
        raise EgressViolation(Rule.ANOTHER_FORM)
    try:
        return parsed(kind, content)
    except WrongForm:
        raise EgressViolation(Rule.ANOTHER_FORM) from None


def _finite_vector(content: bytes, numbers: int) -> NDArray[np.float64]:
    if len(content) != numbers * BYTES_A_NUMBER:
        raise EgressViolation(Rule.ANOTHER_LENGTH)
    vector = vector_of(content)
    if not np.isfinite(vector).all():
        raise EgressViolation(Rule.NOT_FINITE)
    return vector


def _refuse_unless_like_noise(content: bytes, numbers: int) -> None:
    vector = _finite_vector(content, numbers)
    size = np.abs(vector[vector != 0])
    if (size < _SMALLEST_NORMAL).any():
        raise EgressViolation(Rule.INTEGER_BYTES)
    if size.size and numbers >= _TOO_MANY_TO_BE_WHOLE_BY_CHANCE and (size == np.floor(size)).all():
        raise EgressViolation(Rule.WHOLE_NUMBERS)


def _refuse_unless_masked(content: bytes, numbers: int) -> None:
    """A mask's upper 16 bits are all equal once in 2^15; those of a sum of patients nearly always are."""
    if len(content) != numbers * BYTES_A_NUMBER:
        raise EgressViolation(Rule.ANOTHER_LENGTH)
    upper = masked_of(content) >> np.uint64(48)
    unmasked = np.count_nonzero((upper == 0) | (upper == 0xFFFF))
    if unmasked > _MOST_SMALL_BY_CHANCE + numbers / 100:
        raise EgressViolation(Rule.NOT_MASKED)


def _state_in(reply: pb.PlanReply | pb.DeliverModelReply, states: dict[_State, int]) -> str:
    if reply.WhichOneof("reply") != "state":
        return _refusal_in(reply)
    try:
        return code_of(reply.state, states).value
    except WrongForm:
        raise EgressViolation(Rule.OUTSIDE_ITS_LIST) from None


def _refusal_in(
    reply: pb.ContributeReply | pb.PlanReply | pb.DeliverModelReply | pb.DescribeReply | pb.MaskingKeysReply,
) -> str:
    if reply.WhichOneof("reply") == "refusal":
        try:
            return code_of(reply.refusal, REFUSALS).value
        except WrongForm:
            pass
    raise EgressViolation(Rule.OUTSIDE_ITS_LIST)
