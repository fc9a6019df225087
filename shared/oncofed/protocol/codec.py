"""How do requests and their answers travel inside Flower's records?

Request   ``weights``  ArrayRecord   ``vector``: one (parameters,) float64 array
          ``request``  ConfigRecord  ``plan-hash``, ``site``, ``round``, ``attempt``, ``roster`` (a JSON list of names)
Summary   the same, but for ``summary`` (its name) and ``cells`` in place of ``round``
Answer    ``contribution`` ArrayRecord ``vector`` (float64, or uint64 when masked), and
          ``answers`` ConfigRecord ``question``: plan hash, round or summary, attempt and site in one string, so that an
          answer to another question is noticed
Refusal   ``refusal``  ConfigRecord  ``code``: one of `errors.RefusalCode`
Offer     ``offer``    ConfigRecord  ``document`` (bytes); its answer: ``plan`` with a ``state``
Delivery  ``delivery`` ConfigRecord  ``plan-hash``, ``model`` and ``signature`` (bytes); its answer: ``delivery`` with
          a ``state``

Promises: what is encoded holds these keys and nothing else, and decoding gives back bit-identical vectors. Numbers
travel as their plain little-endian bytes; nothing received is parsed as a file format, so a header cannot ask for a
terabyte. Vectors that come out of a decoder share the received bytes and are read-only.

Refuses: any missing or additional key, another type, dtype, shape or serialisation. A request is then refused with
`RefusalCode.MALFORMED_WEIGHTS`, an offer or a delivery with `INTERNAL`; an answer raises `MalformedAnswer`, whose words
come from a fixed list and never from the message. No weight for averages travels: the server takes it from the plan
(see `server.strategies`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from oncofed.errors import FederationFailure, RefusalCode, RequestRefused
from oncofed.protocol.messages import (
    AnyRequest,
    ContributeRequest,
    Contribution,
    Delivery,
    DeliveryState,
    PlanState,
    SummariseRequest,
    numbers_asked_for,
)

VECTOR = "vector"
WEIGHTS = "weights"
REQUEST = "request"
CONTRIBUTION = "contribution"
ANSWERS = "answers"
REFUSAL = "refusal"
OFFER = "offer"
PLAN = "plan"
DELIVERY = "delivery"

OFFER_QUERY = "offer"
DELIVERY_QUERY = "deliver"
SUMMARY_QUERY = "summarise"
"""Names of the queries: Flower's message types are ``query.offer``, ``query.deliver`` and ``query.summarise``."""

LARGEST_DOCUMENT = 4_000_000
LARGEST_MODEL = 48_000_000
"""Bytes; what is larger is not passed on. A guard has a limit of its own."""

_FLOAT = "float64"
_MASKED = "uint64"
_SERIALISATION = "little-endian"
_BYTES_A_NUMBER = 8
_LARGEST_SIGNATURE = 64
_REQUEST_KEYS = frozenset({"plan-hash", "site", "round", "attempt", "roster"})
_SUMMARY_KEYS = frozenset({"plan-hash", "site", "summary", "attempt", "roster", "cells"})
_LARGEST_SUMMARY = 6_000_000
"""Cells, so that an answer stays below what a guard's socket carries."""

_Record = RecordDict | ArrayRecord | ConfigRecord
_State = TypeVar("_State", PlanState, DeliveryState)


class MalformedAnswer(FederationFailure):
    """A hospital's answer does not have the form the protocol gives it."""


class _Unreadable(Exception):
    """A record is not of the expected form; the text is one of ours."""


def encode_request(request: AnyRequest) -> RecordDict:
    """A request to one hospital."""
    return encode_requests(request, sites=(request.site,))[request.site]


def encode_requests(request: AnyRequest, *, sites: Iterable[str]) -> dict[str, RecordDict]:
    """The same request to each of `sites` in place of its own.

    The weights are serialised once, and the records returned share the one that holds them: as with Flower's own
    strategies, it is for the Grid to see that a receiver cannot change what another receives.
    """
    weights = _vector_record(request.weights, kinds=(_FLOAT,))
    asked = ConfigRecord(
        {
            "plan-hash": request.plan_hash,
            "site": request.site,
            "attempt": request.attempt,
            "roster": json.dumps(request.roster),
        }
    )
    if isinstance(request, SummariseRequest):
        asked["summary"], asked["cells"] = request.summary, request.cells
    else:
        asked["round"] = request.round
    records = {}
    for site in sites:
        # A copy costs one checked assignment, a new ConfigRecord five: it counts with a thousand hospitals.
        own = asked.copy()
        own["site"] = site
        records[site] = RecordDict({WEIGHTS: weights, REQUEST: own})
    return records


def decode_request(content: RecordDict) -> ContributeRequest:
    """Raises RequestRefused(MALFORMED_WEIGHTS) for anything `encode_request` would not have made, NaN included."""
    asked, vector, roster = _read_request(content, _REQUEST_KEYS, texts=("plan-hash", "site"))
    return ContributeRequest(
        plan_hash=asked["plan-hash"],
        site=asked["site"],
        round=asked["round"],
        attempt=asked["attempt"],
        roster=roster,
        weights=vector,
    )


def decode_summary_request(content: RecordDict) -> SummariseRequest:
    """As `decode_request`, for a summary."""
    asked, vector, roster = _read_request(content, _SUMMARY_KEYS, texts=("plan-hash", "site", "summary"))
    if not 1 <= asked["cells"] <= _LARGEST_SUMMARY:
        raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
    return SummariseRequest(
        plan_hash=asked["plan-hash"],
        site=asked["site"],
        summary=asked["summary"],
        attempt=asked["attempt"],
        roster=roster,
        weights=vector,
        cells=asked["cells"],
    )


def _read_request(
    content: RecordDict, keys: Collection[str], *, texts: Collection[str]
) -> tuple[dict[str, Any], NDArray[np.float64], tuple[str, ...]]:
    """What was asked (but for the roster all else is whole numbers), the weights and the roster."""
    try:
        records = _entries(content, RecordDict, {WEIGHTS, REQUEST})
        vector = _read_vector(records[WEIGHTS], kinds=(_FLOAT,))
        asked = _entries(records[REQUEST], ConfigRecord, keys)
        roster = _read_roster(asked.pop("roster"))
        # `type` rather than isinstance: True is an int.
        if not all(type(value) is (str if key in texts else int) for key, value in asked.items()):
            raise _Unreadable("an entry is of a wrong type")
    except _Unreadable:
        raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS) from None
    if not np.isfinite(vector).all():
        raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
    return asked, vector, roster


def encode_contribution(contribution: Contribution, *, to: AnyRequest) -> RecordDict:
    """The last gate of a hospital: only a vector of the length that was asked for may pass; another raises TypeError.

    To a round that is the weights' own length, to a summary its cells.
    """
    if not isinstance(contribution, Contribution):
        raise TypeError("a guard gives a Contribution")
    vector = _vector_record(contribution.vector, kinds=(_FLOAT, _MASKED))
    if contribution.vector.shape != (numbers_asked_for(to),):
        raise TypeError("a contribution has the length that it was asked for")
    return RecordDict({CONTRIBUTION: vector, ANSWERS: ConfigRecord({"question": question_of(to)})})


def encode_refusal(code: RefusalCode) -> RecordDict:
    """A code of the fixed list and nothing else; another raises ValueError."""
    return RecordDict({REFUSAL: ConfigRecord({"code": RefusalCode(code).value})})


def decode_answer(content: RecordDict) -> tuple[str, Contribution]:
    """What was asked (`question_of`), as the hospital says, and its contribution (values unchecked: they may be NaN).

    Raises RequestRefused with the hospital's code when it refuses, MalformedAnswer otherwise.
    """
    try:
        if REFUSAL in content:
            code = _read_code(_entries(content, RecordDict, {REFUSAL})[REFUSAL])
        else:
            records = _entries(content, RecordDict, {CONTRIBUTION, ANSWERS})
            return _read_question(records[ANSWERS]), Contribution(
                _read_vector(records[CONTRIBUTION], kinds=(_FLOAT, _MASKED))
            )
    except _Unreadable as fault:
        raise MalformedAnswer(str(fault)) from None
    raise RequestRefused(code)


def encode_offer(document: bytes) -> RecordDict:
    """A signed study document, for any hospital."""
    return RecordDict({OFFER: ConfigRecord({"document": document})})


def decode_offer(content: RecordDict) -> bytes:
    """Raises RequestRefused(INTERNAL) for anything `encode_offer` would not have made, or a document too large."""
    try:
        asked = _entries(_entries(content, RecordDict, {OFFER})[OFFER], ConfigRecord, {"document"})
        return _read_bytes(asked["document"], at_most=LARGEST_DOCUMENT)
    except _Unreadable:
        raise RequestRefused(RefusalCode.INTERNAL) from None


def encode_plan_state(state: PlanState) -> RecordDict:
    """A state of the fixed list and nothing else; another raises ValueError."""
    return RecordDict({PLAN: ConfigRecord({"state": PlanState(state).value})})


def decode_plan_state(content: RecordDict) -> PlanState:
    """Raises RequestRefused with the hospital's code when it refuses, MalformedAnswer otherwise."""
    return _decode_state(content, PLAN, PlanState)


def encode_delivery(delivery: Delivery) -> RecordDict:
    """A final model, for any hospital."""
    return RecordDict(
        {
            DELIVERY: ConfigRecord(
                {"plan-hash": delivery.plan_hash, "model": delivery.model, "signature": delivery.signature}
            )
        }
    )


def decode_delivery(content: RecordDict) -> Delivery:
    """Raises RequestRefused(INTERNAL) for anything `encode_delivery` would not have made, or a model too large."""
    try:
        sent = _entries(
            _entries(content, RecordDict, {DELIVERY})[DELIVERY], ConfigRecord, {"plan-hash", "model", "signature"}
        )
        if type(sent["plan-hash"]) is not str:
            raise _Unreadable("the plan's hash is not a text")
        return Delivery(
            sent["plan-hash"],
            model=_read_bytes(sent["model"], at_most=LARGEST_MODEL),
            signature=_read_bytes(sent["signature"], at_most=_LARGEST_SIGNATURE),
        )
    except _Unreadable:
        raise RequestRefused(RefusalCode.INTERNAL) from None


def encode_delivery_state(state: DeliveryState) -> RecordDict:
    """A state of the fixed list and nothing else; another raises ValueError."""
    return RecordDict({DELIVERY: ConfigRecord({"state": DeliveryState(state).value})})


def decode_delivery_state(content: RecordDict) -> DeliveryState:
    """Raises RequestRefused with the hospital's code when it refuses, MalformedAnswer otherwise."""
    return _decode_state(content, DELIVERY, DeliveryState)


def question_of(request: AnyRequest) -> str:
    """What an answer to this request must repeat. The name of the site, which may hold anything, comes last."""
    release = f"summary {request.summary}" if isinstance(request, SummariseRequest) else request.round
    return f"{request.plan_hash}/{release}/{request.attempt}/{request.site}"


def payload_bytes(content: RecordDict) -> int:
    """Bytes of the vectors inside, which is nearly all that travels; names and keys are not counted."""
    return sum(
        len(array.data) for record in content.values() if isinstance(record, ArrayRecord) for array in record.values()
    )


def _vector_record(vector: NDArray[Any], *, kinds: Collection[str]) -> ArrayRecord:
    if not isinstance(vector, np.ndarray) or str(vector.dtype) not in kinds or vector.ndim != 1:
        raise TypeError(f"one flat vector of {' or '.join(kinds)} may travel here")
    record = ArrayRecord()
    little_endian = np.asarray(vector, dtype=vector.dtype.newbyteorder("<"))
    record[VECTOR] = Array(str(vector.dtype), (vector.size,), _SERIALISATION, little_endian.tobytes())
    return record


def _entries(record: object, kind: type[_Record], keys: Collection[str]) -> dict[str, Any]:
    if not isinstance(record, kind):
        raise _Unreadable("a record is of another kind than the protocol's")
    # A plain dictionary at once: each access to Flower's typed ones costs a microsecond.
    entries: dict[str, Any] = dict(record.items())
    if entries.keys() != keys:
        raise _Unreadable("keys are missing or there are others than the protocol's")
    return entries


def _read_bytes(value: object, *, at_most: int) -> bytes:
    if type(value) is not bytes or len(value) > at_most:
        raise _Unreadable("an entry is not bytes, or too large")
    return value


def _decode_state(content: RecordDict, key: str, kind: type[_State]) -> _State:
    try:
        if REFUSAL in content:
            code = _read_code(_entries(content, RecordDict, {REFUSAL})[REFUSAL])
        else:
            state = _entries(_entries(content, RecordDict, {key})[key], ConfigRecord, {"state"})["state"]
            if type(state) is not str or state not in set(kind):
                raise _Unreadable("the state is not in the list")
            return kind(state)
    except _Unreadable as fault:
        raise MalformedAnswer(str(fault)) from None
    raise RequestRefused(code)


def _read_vector(record: object, *, kinds: Collection[str]) -> NDArray[Any]:
    array: Array = _entries(record, ArrayRecord, {VECTOR})[VECTOR]
    if array.dtype not in kinds or array.stype != _SERIALISATION:
        raise _Unreadable("the vector is of another type, or not in plain bytes")
    if len(array.shape) != 1 or len(array.data) != array.shape[0] * _BYTES_A_NUMBER:
        raise _Unreadable("the vector's shape does not fit its bytes")
    kind = np.dtype(array.dtype)
    return np.frombuffer(array.data, dtype=kind.newbyteorder("<")).astype(kind, copy=False)


def _read_question(record: object) -> str:
    question = _entries(record, ConfigRecord, {"question"})["question"]
    if type(question) is not str:
        raise _Unreadable("it does not repeat what was asked")
    return question


def _read_roster(text: object) -> tuple[str, ...]:
    if type(text) is not str:
        raise _Unreadable("the roster is not a text")
    return _roster_from(text)


@lru_cache(maxsize=8)
def _roster_from(text: str) -> tuple[str, ...]:
    """Cached because each of a thousand simulated hospitals is sent the same thousand names."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(type(name) is str for name in names):
        raise _Unreadable("the roster is not a list of names")
    return tuple(names)


def _read_code(record: object) -> RefusalCode:
    try:
        return RefusalCode(str(_entries(record, ConfigRecord, {"code"})["code"]))
    except ValueError:
        raise _Unreadable("the refusal's code is not in the list") from None
