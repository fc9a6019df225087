"""What does a coordinator ask of a hospital's guard, and what comes back? Values only; no transport, no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oncofed.protocol.masking_keys import SignedMaskingKey


@dataclass(frozen=True, eq=False)
class ContributeRequest:
    """One hospital's share of one attempt at one round.

    plan_hash  the plan the hospital approved; any other is refused.
    site       the name of the hospital in the roster.
    round      1 is the first.
    attempt    0 is the first; a repeated round is a new attempt with fresh noise and a new charge.
    roster     the hospitals asked in this attempt, sorted.
    weights    (parameters,) float64, the global model in the network's canonical order.
    answered   what the coordinator knows of this hospital's past: for each of its studies the last answer of the
               hospital's that was charged and that it has had (`identity_text`), but for what this attempt brings.
               A ledger is a chain: one that holds the last holds all before it. It asks for nothing, so it is in
               neither identity nor hash: a question that is asked again after a restart is the same one.
    """

    plan_hash: str
    site: str
    round: int
    attempt: int
    roster: tuple[str, ...]
    weights: NDArray[np.float64]
    answered: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """What may be asked only once with one content."""
        return (self.plan_hash, self.site, self.round, self.attempt)

    @property
    def hash(self) -> str:
        """SHA-256 of all that is asked: the key under which a guard answers again without a charge."""
        digest = hashlib.sha256(_framed((self.plan_hash, self.site, str(self.round), str(self.attempt))))
        digest.update(_framed_roster(self.roster))
        digest.update(np.ascontiguousarray(self.weights).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class SummariseRequest:
    """One hospital's share of one attempt at one of the plan's summaries, with the model of the last round.

    summary  its name in the plan. cells: how many numbers are asked for; other than the plan's are refused.
    attempt, roster, weights, plan_hash, site, answered  as in `ContributeRequest`.
    """

    plan_hash: str
    site: str
    summary: str
    attempt: int
    roster: tuple[str, ...]
    weights: NDArray[np.float64]
    cells: int
    answered: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str, str, str, int]:
        """What may be asked only once with one content."""
        return (self.plan_hash, self.site, _SUMMARY, self.summary, self.attempt)

    @property
    def hash(self) -> str:
        """SHA-256 of all that is asked, never that of a `ContributeRequest`."""
        parts = (_SUMMARY, self.plan_hash, self.site, self.summary, str(self.attempt), str(self.cells))
        digest = hashlib.sha256(_framed(parts))
        digest.update(_framed_roster(self.roster))
        digest.update(np.ascontiguousarray(self.weights).tobytes())
        return digest.hexdigest()


AnyRequest = ContributeRequest | SummariseRequest
"""What a hospital answers with a sum over its patients."""

_SUMMARY = "summary"


def identity_text(request: AnyRequest) -> str:
    """The identity as ledger and answers keep it."""
    return "/".join(map(str, request.identity))


def release_of_identity(identity: str) -> tuple[str, int | str, int]:
    """Plan hash, round or name of a summary, and attempt of an identity as text. Raises ValueError for another text."""
    plan_hash, _, *rest = identity.split("/")
    if len(rest) == 3 and rest[0] == _SUMMARY:
        return plan_hash, rest[1], int(rest[2])
    round_, attempt = rest
    return plan_hash, int(round_), int(attempt)


def in_words(request: AnyRequest) -> str:
    """E.g. "round 3"."""
    return f"summary {request.summary}" if isinstance(request, SummariseRequest) else f"round {request.round}"


def numbers_asked_for(request: AnyRequest) -> int:
    """How long the vector is that answers this request."""
    return request.cells if isinstance(request, SummariseRequest) else int(request.weights.size)


def of_same_kind(identity: str, request: AnyRequest) -> bool:
    """Whether a charge's identity is that of another attempt at the same summary; of any round, for a contribution."""
    plan_and_site = f"{request.plan_hash}/{request.site}/"
    if isinstance(request, SummariseRequest):
        return identity.startswith(f"{plan_and_site}{_SUMMARY}/{request.summary}/")
    return identity.startswith(plan_and_site) and not identity.startswith(f"{plan_and_site}{_SUMMARY}/")


def _framed(parts: tuple[str, ...]) -> bytes:
    """Each part with its length before it, so that no two lists of parts give the same bytes."""
    return "".join(f"{len(part)}:{part}" for part in parts).encode()


# A thousand simulated hospitals are each sent the same thousand names; framing them costs more than hashing weights.
_framed_roster = lru_cache(maxsize=8)(_framed)


@dataclass(frozen=True, eq=False)
class Contribution:
    """What leaves a hospital: one vector, already noised where the plan says so.

    vector  (parameters,) float64. Training mode `full_batch`: the negative gradient sum over patients in units of the
            clip norm (an ascent direction of the likelihood). Mode `epochs`: the hospital's new weights.
            Privacy mode `distributed`: uint64, the same sum in integers with the hospital's share of the noise, masked
            (`privacy.masking`); it means nothing before those of the whole roster are added.
            A summary: (cells,), alike.
    noised  False where the plan hides nothing (mode `none`) and the vector is a summary: its numbers may be counts.
    """

    vector: NDArray[Any]
    noised: bool = True


class PlanState(StrEnum):
    """What a hospital says about a study plan it was offered."""

    OFFERED = "offered"
    """Kept, and waiting for somebody at the hospital to read it."""
    APPROVED = "approved"
    DECLINED = "declined"
    REFUSED = "refused"
    """Not kept: of another form, not signed by the pinned coordinator, or not meant for this hospital; or unknown."""


class DeliveryState(StrEnum):
    """What a hospital says about a final model."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """Not kept: of an unknown plan, not signed by the pinned coordinator, or not of the plan's form."""


@dataclass(frozen=True)
class Delivery:
    """The final model of a study, as the coordinator sends it.

    model      a safetensors file.
    signature  the coordinator's; see `protocol.model_file`.
    """

    plan_hash: str
    model: bytes
    signature: bytes


PROTOCOL_VERSION = 1
"""Raised when either end would misunderstand the other's messages."""


@dataclass(frozen=True)
class NodeDescription:
    """Public facts of a hospital's guard; none of its patients."""

    site: str
    protocol_version: int = PROTOCOL_VERSION


class GuardPort(Protocol):
    """The only door to a hospital's data: a guard's object, which knows requests and their answers as values."""

    def contribute(self, request: ContributeRequest) -> Contribution:
        """Raises RequestRefused with a code from a fixed list, and nothing else."""
        ...

    def summarise(self, request: SummariseRequest) -> Contribution:
        """As `contribute`, for a summary."""
        ...


class NodeGuardPort(GuardPort, Protocol):
    """The same door at an installed hospital, where plans and models arrive too. Each may raise RequestRefused."""

    def offer_plan(self, document: bytes) -> PlanState:
        """document: a signed study document (`protocol.study_document`). May be repeated at will."""
        ...

    def plan_status(self, plan_hash: str) -> PlanState: ...

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        """The fields of a `Delivery`. May be repeated at will."""
        ...

    def masking_keys(self, plan_hash: str, keys: tuple[SignedMaskingKey, ...]) -> SignedMaskingKey:
        """This hospital's masking key for the plan, once those of the others are kept. May be repeated at will."""
        ...

    def describe(self) -> NodeDescription: ...


class BytesPort(Protocol):
    """The guard as the relay knows it: bytes in, bytes out. In a deployment a unix socket, in a simulation the desk."""

    def ask(self, method: str, question: bytes) -> bytes:
        """The guard's answer (`protocol.answer`). Raises RequestRefused when there is none, and nothing else."""
        ...
