"""How do questions reach the guard's object over the unix socket, and only its checked answers the other side?

Promises: one question at a time; each call shows the token or ends as UNAUTHENTICATED; whatever the guard's object
does, the answer is a vector, a state, a public description or a code, passed by `egress` on its way out and noted in
the audit log before it leaves; the same plan offered again with the same answer, and a wrong token, are noted once an
hour (`records.repeats`). No text of an exception ever reaches gRPC: bytes go in, bytes come out, and every
failure in between is the code `internal`. When the ledger, the audit log or an answer cannot be written, nothing leaves
but the code `not_ready`, and the local log names the file and the remedy.

Refuses: an unknown method, a message above 64 MB, more than a few waiting questions; no reflection, no other service.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from oncofed.client.records.audit_log import AuditLog, Released
from oncofed.client.records.repeats import Repeats
from oncofed.client.service import egress
from oncofed.client.service.public_times import PublicTimes
from oncofed.client.service.token import fits
from oncofed.client.service.unix_socket import claimed_place, give_to_group_of_folder, socket_rights
from oncofed.client.service.wire_form import (
    BYTES_A_NUMBER,
    DELIVERY_STATES,
    OPTIONS,
    PLAN_STATES,
    REFUSALS,
    SERVICE,
    WrongForm,
    contribute_request,
    parsed,
    serialised,
    summarise_request,
)
from oncofed.errors import RecordFailure, RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import (
    DeliveryState,
    NodeDescription,
    NodeGuardPort,
    PlanState,
)

HELD_BACK = "held_back"
"""The audit log's event for an answer that `egress` stopped; its code is the rule."""
WRONG_TOKEN = "wrong_token"  # noqa: S105 - an event, no secret
"""The audit log's event for a call without the token, which no user but the relay's should be able to make."""
UNKNOWN_METHOD = "unknown_method"
"""The audit log's event for a question that there is none of; its name came from outside and is not kept."""

_WAITING_QUESTIONS = 8
_GRACE_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Asked:
    """What a question says about itself, for the audit log.

    sameness  of a question whose repetition need not be told each time: equal for equal content. Else empty.
    """

    event: str
    plan_hash: str = ""
    round: int | None = None
    attempt: int | None = None
    sameness: str = ""
    summary: str = ""


@dataclass(frozen=True)
class _Question:
    """asked: for the audit log. answer: asks the guard. check: what of it may leave."""

    asked: _Asked
    answer: Callable[[], bytes]
    check: egress.Check


@contextmanager
def serving(
    guard: NodeGuardPort,
    *,
    socket: Path,
    token_sha256: str,
    site: str,
    audit: AuditLog,
    times: PublicTimes | None = None,
) -> Iterator[grpc.Server]:
    """While inside, `guard` answers at `socket` to whoever holds the token. Raises InvalidInput, see `unix_socket`.

    times  when answers leave; None: at once, for a guard without patients.
    """
    desk = _Desk(guard, site=site, audit=audit)
    behaviours = {method: desk.respond_to(read) for method, read in desk.methods.items()}
    if times is not None:
        behaviours = {method: times.of(method, behaviour) for method, behaviour in behaviours.items()}
    handlers = {method: grpc.unary_unary_rpc_method_handler(behaviour) for method, behaviour in behaviours.items()}
    server = grpc.server(
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="guard"),
        handlers=[grpc.method_handlers_generic_handler(SERVICE, handlers)],
        interceptors=[_TokenCheck(token_sha256, audit)],
        maximum_concurrent_rpcs=_WAITING_QUESTIONS,
        options=[*OPTIONS, ("grpc.so_reuseport", 0)],
    )
    with claimed_place(socket):
        with socket_rights():
            server.add_insecure_port(f"unix:{socket}")
        give_to_group_of_folder(socket)
        server.start()
        try:
            yield server
        finally:
            server.stop(_GRACE_SECONDS).wait()


class _TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets a call on to its method, or ends it without a word. Notes a call to a method that does not exist."""

    def __init__(self, token_sha256: str, audit: AuditLog) -> None:
        self._token_sha256 = token_sha256
        self._audit = audit
        self._repeats = Repeats()
        self._refuse = grpc.unary_unary_rpc_method_handler(_unauthenticated)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        shown = [value for key, value in details.invocation_metadata if key == "authorization"]
        if len(shown) == 1 and _bearer_fits(shown[0], self._token_sha256):
            handler = continuation(details)
            if handler is None:
                self._note(UNKNOWN_METHOD, lambda: self._audit.append(UNKNOWN_METHOD))
            return handler
        # Anybody who reaches the socket could fill the disk with lines, so not each time.
        self._note(WRONG_TOKEN, lambda: self._repeats.note(WRONG_TOKEN, lambda: self._audit.append(WRONG_TOKEN)))
        return self._refuse

    def _note(self, event: str, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # gRPC would send its text; the call is refused all the same
            _log.error("%s: it cannot be noted (%s)", event, type(error).__name__)


def _bearer_fits(shown: object, sha256: str) -> bool:
    return isinstance(shown, str) and shown.startswith("Bearer ") and fits(shown.removeprefix("Bearer "), sha256=sha256)


def _unauthenticated(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "")
    raise AssertionError("abort raises")


class _Desk:
    """Turns bytes into a question to the guard and its answer into bytes."""

    def __init__(self, guard: NodeGuardPort, *, site: str, audit: AuditLog) -> None:
        self._guard = guard
        self._audit = audit
        self._repeats = Repeats()
        self._description = egress.description_of(site)
        self.methods: dict[str, Callable[[bytes], _Question]] = {
            "Contribute": self._contribute,
            "Summarise": self._summarise,
            "OfferPlan": self._offer_plan,
            "PlanStatus": self._plan_status,
            "DeliverModel": self._deliver_model,
            "Describe": self._describe,
        }

    def respond_to(self, read: Callable[[bytes], _Question]) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        """gRPC's behaviour for one method; never raises."""

        def behaviour(content: bytes, _: grpc.ServicerContext) -> bytes:
            try:
                return self._response(read, content)
            except RecordFailure as failure:  # our own words, and the remedy
                _log.error("a question cannot be answered, and nothing leaves: %s", failure)
                return _refusal(RefusalCode.NOT_READY)
            except BaseException as error:  # its text may quote data, and gRPC would send it
                _log.error("a question fails with %s; the answer is `internal`", type(error).__name__)
                _log.debug("the failure in full", exc_info=error)
                return _refusal(RefusalCode.INTERNAL)

        return behaviour

    def _response(self, read: Callable[[bytes], _Question], content: bytes) -> bytes:
        try:
            question = read(content)
        except WrongForm:
            question = _malformed()
        try:
            leaving = question.check(_answered(question.answer))
        except egress.EgressViolation as violation:
            _log.error("an answer was held back: %s", violation.rule)
            self._note(question.asked, event=HELD_BACK, code=violation.rule)
            return _refusal(RefusalCode.INTERNAL)
        if leaving.numbers:
            kind = "uint64" if leaving.what == "masked" else "float64"
            # Only the name of a summary of the plan is ever answered.
            name = f"{question.asked.summary}.{leaving.what}" if question.asked.summary else leaving.what
            vector = Released(name, (leaving.numbers,), kind, leaving.numbers * BYTES_A_NUMBER)
            self._note(question.asked, event=question.asked.event, left=(vector,))
        else:
            self._note_word(question.asked, leaving.what)
        return leaving.content

    def _note_word(self, asked: _Asked, code: str) -> None:
        """Nothing left but a word of a fixed list."""
        if asked.sameness:
            what = (asked.event, asked.sameness, code)
            self._repeats.note(what, lambda: self._note(asked, event=asked.event, code=code))
        else:
            self._note(asked, event=asked.event, code=code)

    def _note(self, asked: _Asked, *, event: str, code: str = "", left: tuple[Released, ...] = ()) -> None:
        self._audit.append(
            event, plan_hash=asked.plan_hash, round_=asked.round, attempt=asked.attempt, code=code, left=left
        )

    def _contribute(self, content: bytes) -> _Question:
        message = parsed(pb.ContributeRequest, content)
        request = contribute_request(message)

        def answer() -> bytes:
            if not np.isfinite(request.weights).all():
                raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
            return serialised(egress.only_a_vector(self._guard.contribute(request)))

        asked = _Asked("contribute", request.plan_hash, request.round, request.attempt)
        return _Question(asked, answer, egress.contribution_of(request.weights.size))

    def _summarise(self, content: bytes) -> _Question:
        request = summarise_request(parsed(pb.SummariseRequest, content))

        def answer() -> bytes:
            if not np.isfinite(request.weights).all():
                raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)
            return serialised(egress.only_a_vector(self._guard.summarise(request)))

        asked = _Asked("summarise", request.plan_hash, attempt=request.attempt, summary=request.summary)
        return _Question(asked, answer, egress.summary_of(request.cells))

    def _offer_plan(self, content: bytes) -> _Question:
        document = parsed(pb.OfferPlanRequest, content).document
        asked = _Asked("offer_plan", sameness=hashlib.sha256(document).hexdigest())
        return _Question(asked, lambda: _plan_reply(self._guard.offer_plan(document)), egress.plan_state)

    def _plan_status(self, content: bytes) -> _Question:
        plan_hash = parsed(pb.PlanStatusRequest, content).plan_hash
        return _Question(
            _Asked("plan_status", plan_hash),
            lambda: _plan_reply(self._guard.plan_status(plan_hash)),
            egress.plan_state,
        )

    def _deliver_model(self, content: bytes) -> _Question:
        message = parsed(pb.DeliverModelRequest, content)
        return _Question(
            _Asked("deliver_model", message.plan_hash),
            lambda: _delivery_reply(self._guard.deliver_model(message.model, message.signature, message.plan_hash)),
            egress.delivery_state,
        )

    def _describe(self, content: bytes) -> _Question:
        parsed(pb.DescribeRequest, content)
        return _Question(_Asked("describe"), lambda: _description_reply(self._guard.describe()), self._description)


def _malformed() -> _Question:
    def refuse() -> bytes:
        raise RequestRefused(RefusalCode.MALFORMED_WEIGHTS)

    return _Question(_Asked("malformed_message"), refuse, egress.plan_state)


def _answered(answer: Callable[[], bytes]) -> bytes:
    """The guard's answer, or its refusal; anything else it raises is `internal`, and its text stays here."""
    try:
        return answer()
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


def _plan_reply(state: object) -> bytes:
    if type(state) is not PlanState:
        raise egress.EgressViolation(egress.Rule.ANOTHER_VALUE)
    return serialised(pb.PlanReply(state=PLAN_STATES[state]))


def _delivery_reply(state: object) -> bytes:
    if type(state) is not DeliveryState:
        raise egress.EgressViolation(egress.Rule.ANOTHER_VALUE)
    return serialised(pb.DeliverModelReply(state=DELIVERY_STATES[state]))


def _description_reply(description: object) -> bytes:
    if type(description) is not NodeDescription:
        raise egress.EgressViolation(egress.Rule.ANOTHER_VALUE)
    return serialised(
        pb.DescribeReply(
            description=pb.Description(site=description.site, protocol_version=description.protocol_version)
        )
    )
