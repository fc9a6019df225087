"""How does Flower's SuperNode run at a hospital? Pinned: to one coordinator, one key, and the bundles approved here.

``python -m oncofed.client.relay.supernode NODE``. Flower's own `--trusted-entities` only knows apps of Flower's hub, so
its check of a bundle is replaced by ours: the SHA-256 of the bytes that arrived must stand in NODE/bundles, read anew
at each check. ClientApps run in other processes, under another user (`--isolation process`); this one never loads any.

Promises: TLS with the pinned authority alone. A restart takes seconds: Flower refuses a node whose former session has
not run out (up to 60 s after a kill), so the former session is ended first, with the node's own key.

Refuses to start without the node key, the pinned certificate, or the secret of its SuperExec. Imports no torch.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import ISOLATION_MODE_PROCESS, SYSTEM_TIME_TOLERANCE
from flwr.proto.fab_pb2 import Fab as FabProto
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.retry import http_retry
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import SuperNodeLifespanConfig, _start_supernode_http_api
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from flwr.supernode.nodestate import NodeStateFactory

from oncofed.client.install.folder import LOOPBACK, NodeFolder, approved_bundles, read_site
from oncofed.client.install.network_checks import TIME_SERVICE, clock_difference
from oncofed.client.relay.flower_names import replace_in
from oncofed.errors import InvalidInput
from oncofed.flower_environment import flower_environment
from oncofed.plain_file import plain_bytes
from oncofed.protocol.enrolment import load_node_key
from oncofed.protocol.prompt_transfer import ask_again_soon
from oncofed.running import hold_while_running
from oncofed.secret_files import LARGEST_SECRET, read_secret
from oncofed.supervision import end_with_parent

LONGEST_WAIT_SECONDS = 0.1
"""Flower waits 3 s between two questions for work. The coordinator's gate keeps each until there is some."""

LONGEST_RETRY_SECONDS = 5
"""Between two attempts to reach the coordinator; Flower's is 20."""

SMALLEST_TOLD_SKEW = timedelta(seconds=SYSTEM_TIME_TOLERANCE)
"""Flower forgives a clock that is ahead by no more."""

SEEN_OFFLINE_SECONDS = 2.0
"""Between ending the former session and a new one, so that a waiting ServerApp learns that its message was lost."""

_log = logging.getLogger("flwr")


def pin_bundles(allowed: Callable[[], frozenset[str]]) -> None:
    """From now on this process takes only bundles whose SHA-256 is in `allowed()` at that moment."""

    def bundle_from_proto(received: FabProto) -> Fab:
        # The name it goes by is what it is, whatever the sender called it. The mark makes Flower ask `approved`.
        return Fab(hashlib.sha256(received.content).hexdigest(), received.content, {"valid_license": "this hospital's"})

    def approved(bundle: Fab, _: Mapping[str, str]) -> bool:
        digest = hashlib.sha256(bundle.content).hexdigest()
        accepted = digest in allowed()
        _log.log(
            logging.INFO if accepted else logging.ERROR,
            "bundle %s %s",
            digest,
            "is approved here" if accepted else "is NOT approved here: refused",
        )
        return accepted

    replace_in(fleet_http_connection, "fab_from_proto", bundle_from_proto)
    replace_in(start_client_internal, "_verify_fab", approved)


def wait_less(longest_seconds: float) -> None:
    """Shorten Flower's fixed waits between two questions for work, and for a reply."""
    replace_in(start_client_internal, "time", _Clock(longest_seconds))  # it uses `sleep` alone


class _Clock:
    def __init__(self, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, self._longest_seconds))


def end_former_session(folder: NodeFolder) -> None:
    """From now on a connection starts with the end of the session that a killed process left, and notes the node id."""
    connect = fleet_http_connection.http_request_response

    @contextmanager
    def connected(  # Flower calls it by position
        server_address: str,
        insecure: bool,
        root_certificates: bytes | str | None = None,
        authentication_keys: tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey] | None = None,
        max_retries: int | None = None,
        max_wait_time: float | None = None,
    ) -> Iterator[Any]:
        assert authentication_keys is not None
        assert isinstance(root_certificates, bytes)
        if folder.node_id.exists() and _ended(
            int(plain_bytes(folder.node_id, most=LARGEST_SECRET)),
            server_address,
            root_certificates,
            authentication_keys,
        ):
            _log.info("ended the session of a former process")
            time.sleep(SEEN_OFFLINE_SECONDS)
        with connect(
            server_address, insecure, root_certificates, authentication_keys, max_retries, max_wait_time
        ) as connection:
            folder.node_id.write_text(str(connection[0]))
            yield connection

    replace_in(start_client_internal, "http_request_response", connected)


def _ended(
    node_id: int,
    address: str,
    ca_certificate: bytes,
    keys: tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey],
) -> bool:
    """Whether there was a session of ours to end. False too when the coordinator cannot be reached."""
    with FleetHttpClient.from_server_address(
        address,
        False,
        ca_certificate,
        [RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(*keys)],
    ) as client:
        try:
            client.DeactivateNode(DeactivateNodeRequest(node_id=node_id))
        except httpx.HTTPError:
            return False
    return True


class SaysWhyRefused(NodeAuthHttpInterceptor):
    """Flower ends itself upon a 401 without a word about why, and a wrong clock looks like a wrong key."""

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """As Flower's, and a refusal is logged with its likeliest cause."""
        response = super().intercept(context, call_next)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            _log.error("%s", words_of_refusal(response.headers.get("date"), datetime.now(UTC)))
        return response


def words_of_refusal(told: str | None, now: datetime) -> str:
    """Of a 401. told: the answer's header `Date`."""
    difference = clock_difference(told, now)
    if difference is not None and difference > SMALLEST_TOLD_SKEW:
        return (
            f"the coordinator refuses this node (401): this machine's clock differs from the coordinator's by "
            f"{difference.total_seconds():.0f} s, and what it signs counts for seconds only. {TIME_SERVICE}"
        )
    return (
        "the coordinator refuses this node (401), and the clock is right: it does not know this node's key, or has "
        "suspended or removed this hospital. Call it."
    )


def supernode_config(folder: NodeFolder) -> SuperNodeLifespanConfig:
    """What Flower's command line would make of our flags."""
    site = read_site(folder)
    key = load_node_key(read_secret(folder.node_key))
    return SuperNodeLifespanConfig(
        server_address=site.enrolled.address,
        root_certificates=plain_bytes(folder.ca_certificate, most=LARGEST_SECRET),
        insecure=False,
        authentication_keys=(key, key.public_key()),
        max_retries=None,
        max_wait_time=None,
        node_config={},
        isolation=ISOLATION_MODE_PROCESS,
        # Plain HTTP on loopback, behind the SuperExec secret and task tokens.
        runtime_certificates=None,
        runtime_root_certificates_path=None,
        health_server_address=None,
        trusted_entities={"this hospital": "NODE/bundles"},
        superexec_auth_secret=read_secret(folder.node_secret),
        runtime_dependency_install=False,
        host=LOOPBACK,
        port=site.runtime_port,
        runtime_ssl_certfile=None,
        runtime_ssl_keyfile=None,
    )


def serve(folder: NodeFolder) -> None:
    """Run until SIGTERM or SIGINT."""
    config = supernode_config(folder)
    pin_bundles(lambda: approved_bundles(folder))
    wait_less(LONGEST_WAIT_SECONDS)
    ask_again_soon()
    replace_in(http_retry, "MAX_RETRY_DELAY", LONGEST_RETRY_SECONDS)
    replace_in(fleet_http_connection, "NodeAuthHttpInterceptor", SaysWhyRefused)
    end_former_session(folder)
    state = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    server, thread = _start_supernode_http_api(config, state)
    try:
        start_client_internal.start_client_internal(
            state_factory=state,
            server_address=config.server_address,
            node_config=config.node_config,
            root_certificates=config.root_certificates,
            insecure=False,
            authentication_keys=config.authentication_keys,
            isolation=config.isolation,
            runtime_api_address=f"{config.host}:{config.port}",
            trusted_entities=config.trusted_entities,
            superexec_auth_secret=config.superexec_auth_secret,
            runtime_dependency_install=False,
        )
    finally:
        server.should_exit = True
        thread.join(timeout=2)


def main() -> None:
    """The process."""
    folder = NodeFolder(Path(sys.argv[1]).resolve())
    os.umask(0o077)
    os.environ.update(flower_environment(folder.node_flower_home, inherited=os.environ))
    end_with_parent()
    try:
        hold_while_running(folder.locks["node"], what=f"the SuperNode of {folder.root}")
    except InvalidInput as fault:
        sys.exit(f"the node does not start: {fault}")
    serve(folder)


if __name__ == "__main__":
    main()
