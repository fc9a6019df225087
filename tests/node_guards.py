"""Guards for the tests of the service: an honest one, and one that does whatever a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from oncofed.client.records.audit_log import AuditEntry, AuditLog, verify_audit_log
from oncofed.client.service.guard_channel import GuardChannel
from oncofed.client.service.guard_server import serving
from oncofed.client.service.token import token_sha256
from oncofed.protocol.messages import (
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    NodeGuardPort,
    PlanState,
    SummariseRequest,
)

TOKEN = "0123456789abcdef" * 4
SITE = "Bonn"
REQUEST = ContributeRequest(
    plan_hash="ab" * 32, site=SITE, round=3, attempt=1, roster=(SITE, "Essen"), weights=np.linspace(0.1, 0.9, 5)
)
SUMMARY = SummariseRequest(REQUEST.plan_hash, SITE, "evaluation", 1, REQUEST.roster, REQUEST.weights, cells=5)


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

    def audit(self) -> tuple[AuditEntry, ...]:
        return verify_audit_log(self.folder / "audit.jsonl").entries


@contextmanager
def served(guard: NodeGuardPort) -> Iterator[Served]:
    """The guard behind a real server on a real socket."""
    with TemporaryDirectory(prefix="oncofed-") as name:
        here = Served(Path(name))
        audit = AuditLog(here.folder / "audit.jsonl")
        with serving(guard, socket=here.socket, token_sha256=token_sha256(TOKEN), site=SITE, audit=audit):
            yield here
