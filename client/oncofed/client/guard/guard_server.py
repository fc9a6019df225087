"""Who may put a question to the desk over the unix socket, and how many at a time?

Promises: one question at a time; each call shows the token or ends as UNAUTHENTICATED; a wrong token is noted once an
hour (`records.repeats`). gRPC gets the desk's bytes and never an exception (`guard.desk`).

Refuses: an unknown method, a message above 64 MB, more than a few waiting questions; no reflection, no other service.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.public_times import PublicTimes
from oncofed.client.guard.token import fits
from oncofed.client.guard.unix_socket import claimed_place, give_to_group_of_folder, socket_rights
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.repeats import Repeats
from oncofed.protocol.answer_times import MOST_WAITING
from oncofed.protocol.messages import NodeGuardPort
from oncofed.protocol.wire_form import OPTIONS, SERVICE, Method

WRONG_TOKEN = "wrong_token"  # noqa: S105 - an event, no secret
"""The audit log's event for a call without the token, which no user but the relay's should be able to make."""
UNKNOWN_METHOD = "unknown_method"
"""The audit log's event for a question that there is none of; its name came from outside and is not kept."""

_GRACE_SECONDS = 5.0

_log = logging.getLogger(__name__)


@contextmanager
def serving(
    guard: NodeGuardPort,
    *,
    socket: Path,
    token_sha256: str,
    site: str,
    audit: AuditLog,
    answer_key: bytes,
    asker_key: bytes,
    times: PublicTimes | None = None,
) -> Iterator[grpc.Server]:
    """While inside, `guard` answers at `socket` to whoever holds the token. Raises InvalidInput, see `unix_socket`.

    answer_key  Ed25519, private: signs what leaves. asker_key: the coordinator's, public: it signs what is asked.
    times       when answers leave; None: at once, for a guard without patients.
    """
    desk = Desk(questions_to_node(guard, site=site), audit=audit, answer_key=answer_key, asker_key=asker_key)
    behaviours = {method.value: _answering(desk, method) for method in Method}
    if times is not None:
        behaviours = {method: times.of(method, behaviour) for method, behaviour in behaviours.items()}
    handlers = {method: grpc.unary_unary_rpc_method_handler(behaviour) for method, behaviour in behaviours.items()}
    one_by_one = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guard")
    server = grpc.server(
        one_by_one,
        handlers=[grpc.method_handlers_generic_handler(SERVICE, handlers)],
        interceptors=[_TokenCheck(token_sha256, audit)],
        maximum_concurrent_rpcs=MOST_WAITING,
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
            one_by_one.shutdown()  # an answer that is still being made has its charge and its line in the log


def _answering(desk: Desk, method: Method) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """gRPC's behaviour for one method; never raises. What it returns leaves."""

    def behaviour(question: bytes, _: grpc.ServicerContext) -> bytes:
        return desk.ask(method, question)

    return behaviour


class _TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets a call on to its method, or ends it without a word. Notes a call to a method that does not exist."""

    def __init__(self, token_sha256: str, audit: AuditLog) -> None:
        self._token_sha256 = token_sha256
        self._audit = audit
        self._repeats = Repeats(audit.count)
        self._refuse = grpc.unary_unary_rpc_method_handler(_unauthenticated)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        shown = [value for key, value in details.invocation_metadata if key == "authorization"]
        if len(shown) == 1 and _bearer_fits(shown[0], self._token_sha256):
            handler = continuation(details)
            if handler is None:
                self._seldom(UNKNOWN_METHOD)
            return handler
        self._seldom(WRONG_TOKEN)
        return self._refuse

    def _seldom(self, event: str) -> None:
        """Noted once an hour: whoever reaches the socket could fill the disk with lines."""
        try:
            self._repeats.note(event, lambda: self._audit.append(event), first_of=event)
        except Exception as error:  # gRPC would send its text; the call is refused all the same
            _log.error("%s: it cannot be noted (%s)", event, type(error).__name__)


def _bearer_fits(shown: object, sha256: str) -> bool:
    return isinstance(shown, str) and shown.startswith("Bearer ") and fits(shown.removeprefix("Bearer "), sha256=sha256)


def _unauthenticated(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "")
    raise AssertionError("abort raises")
