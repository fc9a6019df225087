"""Guards for the tests of the service: an honest one, and one that does whatever a test tells it to; and who asks them.

`Asker` asks as a coordinator does, whose hospitals' answers are signed: values in, bytes between, values out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.token import token_sha256
from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer import content_of
from oncofed.protocol.masking_keys import SignedMaskingKey, signed_masking_key
from oncofed.protocol.messages import (
    BytesPort,
    ContributeRequest,
    Contribution,
    Delivery,
    DeliveryState,
    NodeDescription,
    NodeGuardPort,
    PlanState,
    SummariseRequest,
)
from oncofed.protocol.question import signed_question
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.wire_form import (
    ASKED_FROM_OUTSIDE,
    Method,
    contribution_in,
    delivery_question,
    delivery_state_in,
    description_in,
    masking_key_in,
    masking_keys_question,
    offer_question,
    plan_state_in,
    question_of,
    serialised,
)

TOKEN = "0123456789abcdef" * 4
ANSWER_KEY = new_signing_key()
COORDINATOR_KEY = new_signing_key()
COORDINATOR_PUBLIC = public_key_of(COORDINATOR_KEY)
SITE = "Bonn"
REQUEST = ContributeRequest(
    plan_hash="ab" * 32, site=SITE, round=3, attempt=1, roster=(SITE, "Essen"), weights=np.linspace(0.1, 0.9, 5)
)
OWN_MASKING_KEY = signed_masking_key(bytes(range(32)), plan_hash="ab" * 32, site=SITE, answer_key=ANSWER_KEY)
SUMMARY = SummariseRequest(REQUEST.plan_hash, SITE, "evaluation", 1, REQUEST.roster, REQUEST.weights, cells=5)


def signed(request: bytes, method: Method = Method.CONTRIBUTE) -> bytes:
    """The question of the tests' coordinator."""
    return signed_question(request, method=method, signing_key=COORDINATOR_KEY)


@dataclass(frozen=True)
class Asker:
    """Raises RequestRefused with a guard's code, AnswerRejected, or WrongForm.

    answer_key   the guard's public one. signing_key: the coordinator's; None asks like a stranger.
    """

    port: BytesPort
    answer_key: bytes | None = field(default_factory=lambda: public_key_of(ANSWER_KEY))
    signing_key: bytes | None = COORDINATOR_KEY

    def content(self, method: Method, request: bytes) -> bytes:
        """The reply in the answer to these bytes."""
        question = request
        if self.signing_key is not None and method in ASKED_FROM_OUTSIDE:
            question = signed_question(request, method=method, signing_key=self.signing_key)
        answer = self.port.ask(method, question)
        asked = hashlib.sha256(request).digest()
        return content_of(answer, question_sha256=asked, method=method, public_key=self.answer_key)

    def contribute(self, request: ContributeRequest) -> Contribution:
        return contribution_in(self.content(Method.CONTRIBUTE, question_of(request)))

    def summarise(self, request: SummariseRequest) -> Contribution:
        return contribution_in(self.content(Method.SUMMARISE, question_of(request)))

    def offer_plan(self, document: bytes) -> PlanState:
        return plan_state_in(self.content(Method.OFFER_PLAN, offer_question(document, nonce=b"")))

    def plan_status(self, plan_hash: str) -> PlanState:
        question = serialised(pb.PlanStatusRequest(plan_hash=plan_hash))
        return plan_state_in(self.content(Method.PLAN_STATUS, question))

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        question = delivery_question(Delivery(plan_hash, model, signature))
        return delivery_state_in(self.content(Method.DELIVER_MODEL, question))

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        question = masking_keys_question(plan_hash, keys, nonce=b"")
        return masking_key_in(self.content(Method.MASKING_KEYS, question))

    def describe(self) -> NodeDescription:
        return description_in(self.content(Method.DESCRIBE, b""))

    def close(self) -> None:
        if isinstance(self.port, GuardChannel):
            self.port.close()


@dataclass
class HonestGuard:
    """Answers with half of what it is sent, and remembers what it was asked."""

    asked: list[object] = field(default_factory=list)

    def contribute(self, request: ContributeRequest) -> Contribution:
        self.asked.append(request)
        return Contribution(0.5 * request.weights)

    def summarise(self, request: SummariseRequest) -> Contribution:
        self.asked.append(request)
        return Contribution(np.linspace(0.25, 0.75, request.cells))

    def offer_plan(self, document: bytes) -> PlanState:
        self.asked.append(document)
        return PlanState.OFFERED

    def plan_status(self, plan_hash: str) -> PlanState:
        self.asked.append(plan_hash)
        return PlanState.APPROVED

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        self.asked.append((model, signature, plan_hash))
        return DeliveryState.ACCEPTED

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        self.asked.append((plan_hash, keys))
        return OWN_MASKING_KEY

    def describe(self) -> NodeDescription:
        return NodeDescription(SITE)


@dataclass
class HostileGuard:
    """Does the same for every question, whatever the port says."""

    act: Callable[[], Any]

    def contribute(self, request: ContributeRequest) -> Contribution:
        return cast(Contribution, self.act())

    def summarise(self, request: SummariseRequest) -> Contribution:
        return cast(Contribution, self.act())

    def offer_plan(self, document: bytes) -> PlanState:
        return cast(PlanState, self.act())

    def plan_status(self, plan_hash: str) -> PlanState:
        return cast(PlanState, self.act())

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        return cast(DeliveryState, self.act())

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        return cast(SignedMaskingKey, self.act())

    def describe(self) -> NodeDescription:
        return cast(NodeDescription, self.act())


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@dataclass(frozen=True)
class Served:
    """A guard that is being served. folder: short enough for a socket, which a test's own folder may not be."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "guard.sock"

    def channel(self, *, socket: Path | None = None, token: str = TOKEN, answer_seconds: float = 10.0) -> GuardChannel:
        return GuardChannel(socket=socket or self.socket, token=token, answer_seconds=answer_seconds, start_seconds=0.5)

    def asker(self, *, socket: Path | None = None, token: str = TOKEN, answer_seconds: float = 10.0) -> Asker:
        return Asker(self.channel(socket=socket, token=token, answer_seconds=answer_seconds))

    def audit(self) -> tuple[AuditEntry, ...]:
        return verify_audit_log(self.folder / "audit.jsonl").entries


@contextmanager
def served(guard: NodeGuardPort) -> Iterator[Served]:
    """The guard behind a real server on a real socket."""
    with TemporaryDirectory(prefix="oncofed-") as name:
        here = Served(Path(name))
        audit = AuditLog(here.folder / "audit.jsonl")
        with serving(
            guard,
            socket=here.socket,
            token_sha256=token_sha256(TOKEN),
            site=SITE,
            audit=audit,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        ):
            yield here
