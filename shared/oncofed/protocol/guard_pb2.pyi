from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_UNSPECIFIED: _ClassVar[Refusal]
    REFUSAL_WRONG_PLAN: _ClassVar[Refusal]
    REFUSAL_WRONG_SITE: _ClassVar[Refusal]
    REFUSAL_ROUND_OUT_OF_RANGE: _ClassVar[Refusal]
    REFUSAL_REQUEST_CONFLICT: _ClassVar[Refusal]
    REFUSAL_MALFORMED_WEIGHTS: _ClassVar[Refusal]
    REFUSAL_BUDGET_EXCEEDED: _ClassVar[Refusal]
    REFUSAL_INTERNAL: _ClassVar[Refusal]
    REFUSAL_NOT_APPROVED: _ClassVar[Refusal]
    REFUSAL_NOT_READY: _ClassVar[Refusal]
    REFUSAL_NOT_SIGNED: _ClassVar[Refusal]
    REFUSAL_WRONG_KEYS: _ClassVar[Refusal]

class PlanState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLAN_STATE_UNSPECIFIED: _ClassVar[PlanState]
    PLAN_STATE_OFFERED: _ClassVar[PlanState]
    PLAN_STATE_APPROVED: _ClassVar[PlanState]
    PLAN_STATE_DECLINED: _ClassVar[PlanState]
    PLAN_STATE_REFUSED: _ClassVar[PlanState]

class DeliveryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_STATE_UNSPECIFIED: _ClassVar[DeliveryState]
    DELIVERY_STATE_ACCEPTED: _ClassVar[DeliveryState]
    DELIVERY_STATE_REFUSED: _ClassVar[DeliveryState]
REFUSAL_UNSPECIFIED: Refusal
REFUSAL_WRONG_PLAN: Refusal
REFUSAL_WRONG_SITE: Refusal
REFUSAL_ROUND_OUT_OF_RANGE: Refusal
REFUSAL_REQUEST_CONFLICT: Refusal
REFUSAL_MALFORMED_WEIGHTS: Refusal
REFUSAL_BUDGET_EXCEEDED: Refusal
REFUSAL_INTERNAL: Refusal
REFUSAL_NOT_APPROVED: Refusal
REFUSAL_NOT_READY: Refusal
REFUSAL_NOT_SIGNED: Refusal
REFUSAL_WRONG_KEYS: Refusal
PLAN_STATE_UNSPECIFIED: PlanState
PLAN_STATE_OFFERED: PlanState
PLAN_STATE_APPROVED: PlanState
PLAN_STATE_DECLINED: PlanState
PLAN_STATE_REFUSED: PlanState
DELIVERY_STATE_UNSPECIFIED: DeliveryState
DELIVERY_STATE_ACCEPTED: DeliveryState
DELIVERY_STATE_REFUSED: DeliveryState

class Question(_message.Message):
    __slots__ = ("request", "signature")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    signature: bytes
    def __init__(self, request: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("content", "question", "signature")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    question: bytes
    signature: bytes
    def __init__(self, content: _Optional[bytes] = ..., question: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Roster(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, site: _Optional[_Iterable[str]] = ...) -> None: ...

class ContributeRequest(_message.Message):
    __slots__ = ("plan_hash", "round", "attempt", "roster", "weights", "site", "answered")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    plan_hash: str
    round: int
    attempt: int
    roster: bytes
    weights: bytes
    site: str
    answered: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plan_hash: _Optional[str] = ..., round: _Optional[int] = ..., attempt: _Optional[int] = ..., roster: _Optional[bytes] = ..., weights: _Optional[bytes] = ..., site: _Optional[str] = ..., answered: _Optional[_Iterable[str]] = ...) -> None: ...

class SummariseRequest(_message.Message):
    __slots__ = ("plan_hash", "summary", "attempt", "roster", "weights", "cells", "site", "answered")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    plan_hash: str
    summary: str
    attempt: int
    roster: bytes
    weights: bytes
    cells: int
    site: str
    answered: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plan_hash: _Optional[str] = ..., summary: _Optional[str] = ..., attempt: _Optional[int] = ..., roster: _Optional[bytes] = ..., weights: _Optional[bytes] = ..., cells: _Optional[int] = ..., site: _Optional[str] = ..., answered: _Optional[_Iterable[str]] = ...) -> None: ...

class ContributeReply(_message.Message):
    __slots__ = ("vector", "refusal", "masked", "counts")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    MASKED_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    vector: bytes
    refusal: Refusal
    masked: bytes
    counts: bytes
    def __init__(self, vector: _Optional[bytes] = ..., refusal: _Optional[_Union[Refusal, str]] = ..., masked: _Optional[bytes] = ..., counts: _Optional[bytes] = ...) -> None: ...

class OfferPlanRequest(_message.Message):
    __slots__ = ("document", "nonce")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    nonce: bytes
    def __init__(self, document: _Optional[bytes] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class PlanStatusRequest(_message.Message):
    __slots__ = ("plan_hash",)
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    plan_hash: str
    def __init__(self, plan_hash: _Optional[str] = ...) -> None: ...

class PlanReply(_message.Message):
    __slots__ = ("state", "refusal")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    state: PlanState
    refusal: Refusal
    def __init__(self, state: _Optional[_Union[PlanState, str]] = ..., refusal: _Optional[_Union[Refusal, str]] = ...) -> None: ...

class DeliverModelRequest(_message.Message):
    __slots__ = ("model", "signature", "plan_hash")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    model: bytes
    signature: bytes
    plan_hash: str
    def __init__(self, model: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., plan_hash: _Optional[str] = ...) -> None: ...

class DeliverModelReply(_message.Message):
    __slots__ = ("state", "refusal")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    state: DeliveryState
    refusal: Refusal
    def __init__(self, state: _Optional[_Union[DeliveryState, str]] = ..., refusal: _Optional[_Union[Refusal, str]] = ...) -> None: ...

class SignedMaskingKey(_message.Message):
    __slots__ = ("site", "public_key", "signature")
    SITE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    site: str
    public_key: bytes
    signature: bytes
    def __init__(self, site: _Optional[str] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class MaskingKeysRequest(_message.Message):
    __slots__ = ("plan_hash", "key", "nonce")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    plan_hash: str
    key: _containers.RepeatedCompositeFieldContainer[SignedMaskingKey]
    nonce: bytes
    def __init__(self, plan_hash: _Optional[str] = ..., key: _Optional[_Iterable[_Union[SignedMaskingKey, _Mapping]]] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class MaskingKeysReply(_message.Message):
    __slots__ = ("key", "refusal")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    key: SignedMaskingKey
    refusal: Refusal
    def __init__(self, key: _Optional[_Union[SignedMaskingKey, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, str]] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("site", "protocol_version")
    SITE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    site: str
    protocol_version: int
    def __init__(self, site: _Optional[str] = ..., protocol_version: _Optional[int] = ...) -> None: ...

class DescribeReply(_message.Message):
    __slots__ = ("description", "refusal")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    description: Description
    refusal: Refusal
    def __init__(self, description: _Optional[_Union[Description, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, str]] = ...) -> None: ...
