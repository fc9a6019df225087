"""How does the coordinator tell its SuperLink what to do? Six calls over loopback, with the administrator's token.

Refuses nothing itself; what the SuperLink refuses becomes `ControlRefused` with Flower's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

import httpx
from flwr.app.user_config import UserConfig
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext

from oncofed.errors import Fault, FederationFailure, InvalidInput
from oncofed.protocol.bundle import bundle_hash
from oncofed.secret_files import read_secret
from oncofed.server.deployment.certificates import authority_certificate
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings
from oncofed.server.flower.gate import ADMIN_HEADER


class ControlRefused(FederationFailure):
    """The SuperLink is not there, or refuses."""


class NotThere(ControlRefused):
    """What was asked about does not exist (404)."""


class UnknownRun(FederationFailure):
    """The SuperLink has no such run: its database was removed, or is another one."""


@dataclass(frozen=True)
class Node:
    """public_key  PEM. status  registered | online | offline, as Flower says. since  when, where Flower knows it.

    A node that went without a word is offline since its last sign of life was too old, about a minute after it.
    """

    node_id: int
    public_key: bytes
    status: str
    since: datetime | None = None


@dataclass(frozen=True)
class RunStatus:
    """status  pending | starting | running | finished. outcome  of a finished run: completed | failed | stopped."""

    status: str
    outcome: str
    details: str

    @property
    def finished(self) -> bool:
        return self.status == "finished"


def _token(folder: CoordinatorFolder) -> bytes:
    token = read_secret(folder.admin_token)
    if not token.isascii():
        remedy = "Restore it from a backup of keys/."
        raise InvalidInput([Fault(str(folder.admin_token), "is no token", remedy)])
    return token


class Control:
    """A connection to the SuperLink of one coordinator. Use as a context manager."""

    def __init__(self, *, address: str, ca_certificate: bytes, admin_token: bytes) -> None:
        self._client = ControlHttpClient.from_server_address(
            address,
            False,
            ca_certificate,
            [RuntimeVersionHttpInterceptor(component_name="oncofed"), _Credential(admin_token)],
        )

    @staticmethod
    def of(folder: CoordinatorFolder) -> Control:
        """With the folder's address and token."""
        return Control(
            address=read_settings(folder).local_address,
            ca_certificate=authority_certificate(folder),
            admin_token=_token(folder),
        )

    def __enter__(self) -> Self:
        """The connection itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def register_node(self, public_key: bytes) -> int:
        """Let the holder of this key (PEM) connect; its node id."""
        with _refusals():
            return int(self._client.RegisterNode(RegisterNodeRequest(public_key=public_key)).node_id)

    def unregister_node(self, node_id: int) -> None:
        """Let it connect no longer, and take it off the nodes that are online; fine where there is none."""
        with suppress(NotThere), _refusals():
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node_id))

    def list_nodes(self) -> tuple[Node, ...]:
        """Every registered node."""
        with _refusals():
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return tuple(_node(info) for info in found if info.status != "unregistered")

    def node_ids(self) -> Mapping[bytes, int]:
        """Node ids by public key (PEM)."""
        return {node.public_key: node.node_id for node in self.list_nodes()}

    def start_run(self, bundle: bytes, run_config: UserConfig) -> int:
        """Start the bundle's ServerApp; the run's id. Every key of run_config must be in the bundle's own config."""
        request = StartRunRequest(
            fab=fab_to_proto(Fab(bundle_hash(bundle), bundle, {})), override_config=user_config_to_proto(run_config)
        )
        with _refusals():
            run_id = int(self._client.StartRun(request).run_id)
        if run_id == 0:
            raise ControlRefused("the SuperLink did not start the run: the bundle is larger than it allows")
        return run_id

    def run_status(self, run_id: int) -> RunStatus:
        """What became of a run. Raises UnknownRun for one that this SuperLink never had, or has forgotten."""
        try:
            with _refusals():
                run = self._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict[run_id]
        except (KeyError, NotThere):
            raise UnknownRun(f"the SuperLink knows no run {run_id}") from None
        return RunStatus(run.status.status, run.status.sub_status, run.status.details)

    def stop_run(self, run_id: int) -> bool:
        """Stop a run that is not finished; whether it was stopped."""
        with _refusals():
            return bool(self._client.StopRun(StopRunRequest(run_id=run_id)).success)


class _Credential:
    """Flower's hook for headers."""

    def __init__(self, admin_token: bytes) -> None:
        self._token = admin_token.decode("ascii")

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        context.request.headers[ADMIN_HEADER] = self._token
        return call_next(context)


class _refusals:  # noqa: N801 - read as a statement: with _refusals(): ...
    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, httpx.HTTPStatusError):
            kind = NotThere if error.response.status_code == httpx.codes.NOT_FOUND else ControlRefused
            raise kind(f"the SuperLink refuses ({error.response.status_code}): {error.response.text}") from None
        if isinstance(error, httpx.TransportError):
            raise ControlRefused(f"the SuperLink cannot be reached: {error}. Is the coordinator started?") from None


def _node(info: NodeInfo) -> Node:
    told = {"online": info.last_activated_at, "offline": info.last_deactivated_at, "registered": info.registered_at}
    return Node(int(info.node_id), bytes(info.public_key), str(info.status), _time(told.get(info.status, "")))


def _time(text: str) -> datetime | None:
    """Of ISO 8601 with a zone; None for anything else, since a time that is only shown stops nothing."""
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else None
    return None
