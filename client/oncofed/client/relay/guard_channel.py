"""How does the relay ask the guard, and what does it get when the guard does not answer?

Promises: bytes go and come as they are; every call ends within its time; nothing but RequestRefused is raised. A guard
that is down, busy or slow is `NOT_READY`: whatever happened inside, the identical question may be asked again and is
charged at most once. A wrong token is `NOT_READY` too, and the local log names the cause. Whatever else gRPC says is
`INTERNAL`. A guard that is just starting is waited for a little while. Imports neither torch nor Flower.
"""

from __future__ import annotations

import logging
import os
import socket as sockets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import grpc

from oncofed.client.guard.token import read_digits
from oncofed.errors import InvalidInput, RefusalCode, RequestRefused
from oncofed.protocol.answer_times import longest_wait_seconds
from oncofed.protocol.wire_form import OPTIONS, SERVICE

SOCKET_VARIABLE: Final = "ONCOFED_GUARD_SOCKET"
TOKEN_FILE_VARIABLE: Final = "ONCOFED_RELAY_TOKEN_FILE"  # noqa: S105  # names a file, holds no secret

_ANSWER_SECONDS = longest_wait_seconds() + 30.0
"""More than a guard waits on purpose, by what a busy machine may need."""
_START_SECONDS = 10.0
"""A guard needs four seconds to start, most of them for torch; a restart should not cost a round."""
_PAUSE_SECONDS = 0.05
_NOT_READY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
)

_log = logging.getLogger(__name__)


class GuardChannel:
    """Implements `protocol.messages.BytesPort` over a unix socket.

    answer_seconds  for one call, once the guard listens. start_seconds  how long to wait for it to listen.
    """

    def __init__(
        self,
        *,
        socket: Path,
        token: str,
        answer_seconds: float = _ANSWER_SECONDS,
        start_seconds: float = _START_SECONDS,
    ) -> None:
        self._socket = socket
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._answer_seconds = answer_seconds
        self._start_seconds = start_seconds
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=[*OPTIONS, ("grpc.enable_http_proxy", 0)])

    def ask(self, method: str, question: bytes) -> bytes:
        """As the port says."""
        self._wait_until_it_listens()
        try:
            answer: bytes = self._channel.unary_unary(f"/{SERVICE}/{method}")(
                question, timeout=self._answer_seconds, metadata=self._metadata
            )
            return answer
        except grpc.RpcError as error:
            status = error.code()
        _log.error("the guard did not answer %s: %s", method, status.name)
        raise RequestRefused(RefusalCode.NOT_READY if status in _NOT_READY else RefusalCode.INTERNAL)

    def close(self) -> None:
        self._channel.close()

    def _wait_until_it_listens(self) -> None:
        """Asks the socket itself: gRPC would wait a second and more between two tries."""
        deadline = time.monotonic() + self._start_seconds
        while True:
            try:
                with sockets.socket(sockets.AF_UNIX) as probe:
                    probe.settimeout(max(deadline - time.monotonic(), _PAUSE_SECONDS))
                    probe.connect(str(self._socket))
                return
            except OSError as error:
                if time.monotonic() >= deadline:
                    _log.error("no guard listens at %s (%s)", self._socket, type(error).__name__)
                    break
            time.sleep(_PAUSE_SECONDS)
        raise RequestRefused(RefusalCode.NOT_READY)


def channel_from_environment(environment: Mapping[str, str] = os.environ) -> GuardChannel:
    """The node's own guard. Raises RequestRefused(NOT_READY), and says locally what is not set up."""
    missing = [name for name in (SOCKET_VARIABLE, TOKEN_FILE_VARIABLE) if not environment.get(name)]
    if missing:
        _log.error("the relay is not set up: %s not set", " and ".join(missing))
        raise RequestRefused(RefusalCode.NOT_READY)
    try:
        token = read_digits(Path(environment[TOKEN_FILE_VARIABLE]))
    except InvalidInput as fault:
        _log.error("the relay is not set up: %s", fault)
        raise RequestRefused(RefusalCode.NOT_READY) from None
    return GuardChannel(socket=Path(environment[SOCKET_VARIABLE]), token=token)
