"""How does the relay ask the guard, and what does it get when the guard does not answer?

Promises: every call ends within its time; nothing but RequestRefused is raised. A guard that is down, busy or slow is
`NOT_READY`: whatever happened inside, the identical request may be asked again and is charged at most once. A wrong
token is `NOT_READY` too, and the local log names the cause. An answer of another form is `INTERNAL`. A guard that is
just starting is waited for a little while. Imports neither torch nor Flower.
"""

from __future__ import annotations

import logging
import os
import socket as sockets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from oncofed.client.service.token import read_digits
from oncofed.client.service.wire_form import (
    DELIVERY_STATES,
    OPTIONS,
    PLAN_STATES,
    REFUSALS,
    SERVICE,
    WrongForm,
    code_of,
    contribute_message,
    masked_of,
    parsed,
    serialised,
    summarise_message,
    vector_of,
)
from oncofed.errors import InvalidInput, RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import (
    ContributeRequest,
    Contribution,
    DeliveryState,
    NodeDescription,
    PlanState,
    SummariseRequest,
)

SOCKET_VARIABLE: Final = "ONCOFED_GUARD_SOCKET"
TOKEN_FILE_VARIABLE: Final = "ONCOFED_RELAY_TOKEN_FILE"  # noqa: S105  # names a file, holds no secret

_ANSWER_SECONDS = 300.0
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
_Reply = TypeVar("_Reply", pb.ContributeReply, pb.PlanReply, pb.DeliverModelReply, pb.DescribeReply)

_log = logging.getLogger(__name__)


class GuardChannel:
    """Implements `protocol.messages.NodeGuardPort` over a unix socket.

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

    def contribute(self, request: ContributeRequest) -> Contribution:
        """As the port says."""
        reply = self._ask("Contribute", contribute_message(request), pb.ContributeReply)
        return _contribution(reply, numbers=request.weights.size)

    def summarise(self, request: SummariseRequest) -> Contribution:
        """As the port says."""
        reply = self._ask("Summarise", summarise_message(request), pb.ContributeReply)
        return _contribution(reply, numbers=request.cells)

    def offer_plan(self, document: bytes) -> PlanState:
        """As the port says."""
        return _plan_state(self._ask("OfferPlan", pb.OfferPlanRequest(document=document), pb.PlanReply))

    def plan_status(self, plan_hash: str) -> PlanState:
        """As the port says."""
        return _plan_state(self._ask("PlanStatus", pb.PlanStatusRequest(plan_hash=plan_hash), pb.PlanReply))

    def deliver_model(self, model: bytes, signature: bytes, plan_hash: str) -> DeliveryState:
        """As the port says."""
        message = pb.DeliverModelRequest(model=model, signature=signature, plan_hash=plan_hash)
        reply = self._ask("DeliverModel", message, pb.DeliverModelReply)
        try:
            return code_of(_answer(reply, "state"), DELIVERY_STATES)
        except WrongForm:
            raise RequestRefused(RefusalCode.INTERNAL) from None

    def describe(self) -> NodeDescription:
        """As the port says."""
        description = _answer(self._ask("Describe", pb.DescribeRequest(), pb.DescribeReply), "description")
        return NodeDescription(description.site, description.protocol_version)

    def close(self) -> None:
        self._channel.close()

    def _ask(self, method: str, message: Message, kind: type[_Reply]) -> _Reply:
        self._wait_until_it_listens()
        try:
            content = self._channel.unary_unary(f"/{SERVICE}/{method}")(
                serialised(message), timeout=self._answer_seconds, metadata=self._metadata
            )
            return parsed(kind, content)
        except grpc.RpcError as error:
            status = error.code()
        except WrongForm:
            status = None
        _log.error("the guard did not answer %s: %s", method, status.name if status else "an answer of another form")
        raise RequestRefused(RefusalCode.NOT_READY if status in _NOT_READY else RefusalCode.INTERNAL)

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


def _contribution(reply: pb.ContributeReply, *, numbers: int) -> Contribution:
    given = reply.WhichOneof("reply")
    vector: NDArray[np.float64] | NDArray[np.uint64]
    try:
        if given == "masked":
            vector = masked_of(reply.masked)
        else:
            vector = vector_of(_answer(reply, "counts" if given == "counts" else "vector"))
    except WrongForm:
        raise RequestRefused(RefusalCode.INTERNAL) from None
    if vector.shape != (numbers,):
        raise RequestRefused(RefusalCode.INTERNAL)
    return Contribution(vector, noised=given != "counts")


def _plan_state(reply: pb.PlanReply) -> PlanState:
    try:
        return code_of(_answer(reply, "state"), PLAN_STATES)
    except WrongForm:
        raise RequestRefused(RefusalCode.INTERNAL) from None


def _answer(reply: Message, field: str) -> Any:
    """The field of this name. Raises RequestRefused with the guard's code, or INTERNAL for another answer."""
    given = reply.WhichOneof("reply")
    if given == field:
        return getattr(reply, field)
    try:
        code = code_of(reply.refusal, REFUSALS) if given == "refusal" else RefusalCode.INTERNAL
    except WrongForm:
        code = RefusalCode.INTERNAL
    raise RequestRefused(code)
