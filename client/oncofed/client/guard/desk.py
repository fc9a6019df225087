"""How do a question's bytes become a question to the guard's object, and only its checked answer bytes again?

Promises: whatever the guard's object does, what comes out is an `Answer` (`protocol.answer`) around a vector, a state,
a public description or a code, as bytes that `egress` has passed, and not one other; it is noted in the audit log
before it is returned, a vector with the hash of exactly the bytes that leave, each time that they do. What can be
delivered without end is noted once an hour: the same plan offered again with the same answer, the same round or summary
refused or held back again, bytes that are no question, and questions that the coordinator did not sign; of more than a
hundred different ones in it the number (`records.repeats`). What is answered or held back for the first time has its
line however much else there is; of more than a hundred repetitions of answers in an hour, too, the number is noted.
A question from outside is not answered before its signature fits.
`Desk.ask` never raises, so that no text of an exception goes anywhere: every failure in between is the code `internal`.
When the ledger or the audit log cannot be written, nothing leaves but the code `not_ready`, and the local log names the
file and the remedy.
Only what was announced in the log, and charged, leaves all the same, and its own line comes late (`AuditLog.announce`).

In a deployment `guard_server` puts it behind a socket; in a simulation it is called in the process.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from oncofed.client.guard import egress
from oncofed.client.records.audit_entries import HELD_BACK, Released
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.repeats import Repeats
from oncofed.errors import RecordFailure, RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer import answer_to_hash, question_hash
from oncofed.protocol.masking_keys import SignedMaskingKey
from oncofed.protocol.messages import (
    AnyRequest,
    Contribution,
    DeliveryState,
    GuardPort,
    NodeDescription,
    NodeGuardPort,
    PlanState,
)
from oncofed.protocol.question import request_in, unverified_request_in
from oncofed.protocol.wire_form import (
    ASKED_FROM_OUTSIDE,
    BYTES_A_NUMBER,
    DELIVERY_STATES,
    PLAN_STATES,
    REFUSALS,
    Method,
    WrongForm,
    contribute_request,
    masking_key_reply,
    masking_keys_in,
    masking_keys_question,
    parsed,
    serialised,
    summarise_request,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a question says about itself, for the audit log.

    sameness  equal for equal content; the event itself where there is nothing to tell apart.
    """

    event: str
    plan_hash: str = ""
    round: int | None = None
    attempt: int | None = None
    sameness: str
    summary: str = ""


@dataclass(frozen=True)
class Question:
    """asked: for the audit log. reply: asks the guard. check: what of its reply may leave."""

    asked: Asked
    reply: Callable[[], bytes]
    check: egress.Check


Read = Callable[[bytes], Question]
"""Raises WrongForm."""


class Desk:
    """Implements `protocol.messages.BytesPort`. For one thread at a time.

    audit       None in a simulation, which keeps no log.
    answer_key  Ed25519, private; None in a simulation, whose answers nobody carries.
    asker_key   Ed25519, public, of the coordinator, the only one who is answered from outside; None likewise.
    """

    def __init__(
        self,
        questions: Mapping[str, Read],
        *,
        audit: AuditLog | None,
        answer_key: bytes | None,
        asker_key: bytes | None,
    ) -> None:
        self._questions = questions
        self._audit = audit
        self._answer_key = answer_key
        self._asker_key = asker_key
        self._repeats = Repeats(self._count)
        self._leaving, self._number = Repeats(self._count), itertools.count()

    def ask(self, method: str, question: bytes) -> bytes:
        """The answer; never raises."""
        request = question
        try:
            request, known = self._request_in(method, question)
            # Before anything of a patient: a long question takes longer, and may not bring an answer near its time.
            asked_hash = question_hash(request)
            return self._answer(method, request, asked_hash, known=known)
        except RecordFailure as failure:  # our own words, and the remedy
            _log.error("a question cannot be answered, and nothing leaves: %s", failure)
            code = RefusalCode.NOT_READY
        except BaseException as error:  # its text may quote data, and gRPC would send it
            _log.error("a question fails with %s; the answer is `internal`", type(error).__name__)
            _log.debug("the failure in full", exc_info=error)
            code = RefusalCode.INTERNAL
        return self._sealed(_refusal(code), method, question_hash(request))

    def _request_in(self, method: str, question: bytes) -> tuple[bytes, bool]:
        """The bytes to answer, and whether they come from whom they must."""
        if self._asker_key is None or method not in ASKED_FROM_OUTSIDE:
            return question, True
        try:
            return request_in(question, method=method, public_key=self._asker_key), True
        except RequestRefused:
            return unverified_request_in(question), False

    def _answer(self, method: str, content: bytes, asked_hash: bytes, *, known: bool) -> bytes:
        try:
            question = self._questions[method](content) if known else _of_a_stranger()
        except WrongForm:
            question = _malformed()
        try:
            leaving = question.check(_reply_of(question.reply))
        except egress.EgressViolation as violation:
            _log.error("an answer was held back: %s", violation.rule)
            self._note_once(question.asked, event=HELD_BACK, code=violation.rule, first_of=question.asked.sameness)
            return self._sealed(_refusal(RefusalCode.INTERNAL), method, asked_hash)
        answer = self._sealed(leaving.content, method, asked_hash)
        if leaving.numbers:
            self._note_vector(question.asked, leaving, answer)
        else:
            self._note_word(question.asked, leaving.what)
        return answer

    def _sealed(self, reply: bytes, method: str, asked_hash: bytes) -> bytes:
        return answer_to_hash(asked_hash, reply, method=method, signing_key=self._answer_key)

    def _note_vector(self, asked: Asked, leaving: egress.Leaving, answer: bytes) -> None:
        if self._audit is None:  # before a hash is made in vain: a simulated hospital answers thousands of times
            return
        kind = "uint64" if leaving.what == "masked" else "float64"
        # Only the name of a summary of the plan is ever answered.
        name = f"{asked.summary}.{leaving.what}" if asked.summary else leaving.what
        size, sha256 = leaving.numbers * BYTES_A_NUMBER, hashlib.sha256(answer).hexdigest()
        left = (Released(name, (leaving.numbers,), kind, size, sha256),)
        self._note_leaving(asked.sameness, lambda: self._note(asked, event=asked.event, left=left))

    def _note_word(self, asked: Asked, code: str) -> None:
        """Nothing left but a word of a fixed list, or this hospital's masking key."""
        if code == egress.MASKING_KEY:
            self._note_leaving(asked.plan_hash, lambda: self._note(asked, event=asked.event, code=code))
        else:
            few = asked.sameness if asked.sameness == asked.event else None
            self._note_once(asked, event=asked.event, code=code, first_of=few)

    def _note_leaving(self, what: str, write: Callable[[], None]) -> None:
        """Each time that something leaves: the first time for certain, and a hundred more times an hour of all.

        what  that nobody can multiply: a round or summary, of which each attempt is charged; a plan, which has one key.
        """
        self._leaving.note(next(self._number), write, first_of=what)

    def _note_once(self, asked: Asked, *, event: str, code: str, first_of: str | None) -> None:
        """Once an hour. first_of: noted once at least, however much else there is, as what was charged must be."""
        self._repeats.note(
            (event, asked.sameness, code),
            lambda: self._note(asked, event=event, code=code),
            first_of=None if first_of is None else (event, code, first_of),
        )

    def _count(self, times: int) -> None:
        if self._audit is not None:
            self._audit.count(times)

    def _note(self, asked: Asked, *, event: str, code: str = "", left: tuple[Released, ...] = ()) -> None:
        if self._audit is not None:
            self._audit.append(
                event, plan_hash=asked.plan_hash, round_=asked.round, attempt=asked.attempt, code=code, left=left
            )


def questions_to(guard: GuardPort) -> dict[str, Read]:
    """What any guard may be asked, by method."""

    def contribute(content: bytes) -> Question:
        request = contribute_request(content)
        sameness = _sameness(request.plan_hash, str(request.round), request.attempt)
        asked = Asked(
            event="contribute",
            plan_hash=request.plan_hash,
            round=request.round,
            attempt=request.attempt,
            sameness=sameness,
        )
        check = egress.contribution_of(request.weights.size)
        return Question(asked, lambda: _vector_reply(request, lambda: guard.contribute(request)), check)

    def summarise(content: bytes) -> Question:
        request = summarise_request(content)
        sameness = _sameness(request.plan_hash, request.summary, request.attempt)
        asked = Asked(
            event="summarise",
            plan_hash=request.plan_hash,
            attempt=request.attempt,
            sameness=sameness,
            summary=request.summary,
        )
        check = egress.summary_of(request.cells)
        return Question(asked, lambda: _vector_reply(request, lambda: guard.summarise(request)), check)

    return {Method.CONTRIBUTE: contribute, Method.SUMMARISE: summarise}


def questions_to_node(guard: NodeGuardPort, *, site: str) -> dict[str, Read]:
    """What the guard of an installed hospital of this name may be asked."""

    def offer_plan(content: bytes) -> Question:
        document = parsed(pb.OfferPlanRequest, content).document
        asked = Asked(event="offer_plan", sameness=hashlib.sha256(document).hexdigest())
        return Question(asked, lambda: _plan_reply(guard.offer_plan(document)), egress.plan_state)

    def plan_status(content: bytes) -> Question:
        plan_hash = parsed(pb.PlanStatusRequest, content).plan_hash
        asked = Asked(event="plan_status", plan_hash=plan_hash, sameness="plan_status")
        return Question(asked, lambda: _plan_reply(guard.plan_status(plan_hash)), egress.plan_state)

    def deliver_model(content: bytes) -> Question:
        sent = parsed(pb.DeliverModelRequest, content)
        return Question(
            Asked(event="deliver_model", plan_hash=sent.plan_hash, sameness=hashlib.sha256(content).hexdigest()),
            lambda: _delivery_reply(guard.deliver_model(sent.model, sent.signature, sent.plan_hash)),
            egress.delivery_state,
        )

    def masking_keys(content: bytes) -> Question:
        plan_hash, keys = masking_keys_in(content)
        # Without the nonce, so that the same keys are the same question.
        sameness = hashlib.sha256(masking_keys_question(plan_hash, keys, nonce=b"")).hexdigest()
        return Question(
            Asked(event="masking_keys", plan_hash=plan_hash, sameness=sameness),
            lambda: _masking_key_reply(guard.masking_keys(plan_hash, keys)),
            egress.masking_key_of(site),
        )

    def describe(content: bytes) -> Question:
        parsed(pb.DescribeRequest, content)
        asked = Asked(event="describe", sameness="describe")
        return Question(asked, lambda: _description_reply(guard.describe()), egress.description_of(site))

    return {
        **questions_to(guard),
        Method.OFFER_PLAN: offer_plan,
        Method.PLAN_STATUS: plan_status,
        Method.DELIVER_MODEL: deliver_model,
        Method.MASKING_KEYS: masking_keys,
        Method.DESCRIBE: describe,
    }


def unsigned_desk(guard: GuardPort) -> Desk:
    """For a simulation: the same bytes travel as from hospital to coordinator; nothing is signed or logged."""
    return Desk(questions_to(guard), audit=None, answer_key=None, asker_key=None)


def _sameness(plan_hash: str, name: str, attempt: int) -> str:
    """Of a round or summary that is refused again and again: whoever carries questions can deliver one without end."""
    return hashlib.sha256(f"{plan_hash}/{name}/{attempt}".encode()).hexdigest()


def _malformed() -> Question:
    return _refused("malformed_message", RefusalCode.MALFORMED_WEIGHTS)


def _of_a_stranger() -> Question:
    return _refused("unsigned_question", RefusalCode.NOT_SIGNED)


def _refused(event: str, code: RefusalCode) -> Question:
    def refuse() -> bytes:
        raise RequestRefused(code)

    # These can be sent without end, so not each one is noted.
    return Question(Asked(event=event, sameness=event), refuse, egress.plan_state)


def _reply_of(reply: Callable[[], bytes]) -> bytes:
    """The guard's reply, or its refusal; anything else it raises is `internal`, and its text stays here."""
    try:
        return reply()
    except egress.EgressViolation:
        raise
    except RequestRefused as refusal:
        # A subclass could carry a text in the code's place.
        code = refusal.code if type(refusal.code) is RefusalCode else RefusalCode.INTERNAL
    except RecordFailure as failure:  # our own words, and the remedy
        _log.error("a question cannot be answered, and nothing is released: %s", failure)
        code = RefusalCode.NOT_READY
    except BaseException as error:  # its text may quote data
        _log.error("the guard fails with %s; the answer is `internal`", type(error).__name__)
        _log.debug("the failure in full", exc_info=error)
        code = RefusalCode.INTERNAL
    return _refusal(code)


def _refusal(code: RefusalCode) -> bytes:
    """`refusal` has number 2 in every reply, so that one form does for all of them."""
    return serialised(pb.PlanReply(refusal=REFUSALS[code]))


def _vector_reply(request: AnyRequest, ask: Callable[[], Contribution]) -> bytes:
    if not np.isfinite(request.weights).all():
        raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
    return serialised(egress.only_a_vector(ask()))


def _plan_reply(state: object) -> bytes:
    if type(state) is not PlanState:
        raise egress.EgressViolation(egress.Rule.ANOTHER_VALUE)
    return serialised(pb.PlanReply(state=PLAN_STATES[state]))


def _delivery_reply(state: object) -> bytes:
    if type(state) is not DeliveryState:
        raise egress.EgressViolation(egress.Rule.ANOTHER_VALUE)
    return serialised(pb.DeliverModelReply(state=DELIVERY_STATES[state]))


def _masking_key_reply(key: object) -> bytes:
    if type(key) is not SignedMaskingKey:
        raise egress.EgressViolation(egress.Rule.ANOTHER_VALUE)
    return masking_key_reply(key)


def _description_reply(description: object) -> bytes:
    if type(description) is not NodeDescription:
        raise egress.EgressViolation(egress.Rule.ANOTHER_VALUE)
    return serialised(
        pb.DescribeReply(
            description=pb.Description(site=description.site, protocol_version=description.protocol_version)
        )
    )
