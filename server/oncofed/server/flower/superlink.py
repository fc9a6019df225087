"""How does Flower's SuperLink run at a coordinator? Inside our own process, behind our gate.

``python -m oncofed.server.flower.superlink COORD``: TLS, node authentication, SQLite, ServerApps in processes of
their own (`--isolation process`, so a kill of this process loses nothing), no installation of dependencies, no
telemetry, `door.Door` in front of TLS, and `gate.Gate` outside all of Flower's.

Refuses to start without its keys, or with secrets that others may read.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from flwr.common.constant import ISOLATION_MODE_PROCESS, TRANSPORT_TYPE_GRPC_RERE
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore import sql_mixin
from flwr.supercore.http_logging import get_uvicorn_log_config
from flwr.supercore.state.schema.linkstate_models import Node
from flwr.supercore.utils import uint64_to_int64
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig, load_control_authn_plugin
from flwr.superlink.main import create_app
from sqlalchemy import update

from oncofed.errors import FederationFailure, InvalidInput
from oncofed.flower_environment import flower_environment
from oncofed.running import hold_while_running
from oncofed.secret_files import read_secret
from oncofed.server.deployment.door import Door, Doorkeeper, door_protocol, limits_for, raise_open_files
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings
from oncofed.server.deployment.member_keys import MemberKeys
from oncofed.server.flower.few_writes import write_only_what_changes
from oncofed.server.flower.gate import Gate
from oncofed.server.flower.held_questions import HeldQuestions, nodes_with_work
from oncofed.supervision import end_with_parent

_WARNING = 30
_STOP_SECONDS = 5
_HOUR_SECONDS = 3600.0
LONGEST_LOCK_MILLISECONDS = 30_000
"""How long the SuperLink waits for its own database; Flower's 5 s were too few on a machine with a load of 20."""


def superlink_config(folder: CoordinatorFolder) -> SuperLinkLifespanConfig:
    """What Flower's command line would make of our flags."""
    settings = read_settings(folder)
    return SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host=settings.listen_hosts[0],
        port=settings.listen_port,
        insecure=False,
        certificates=(
            folder.ca_certificate.read_bytes(),
            folder.server_certificate.read_bytes(),
            read_secret(folder.server_key),
        ),
        superexec_auth_secret=read_secret(folder.superexec_secret),
        authn_plugin=load_control_authn_plugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=str(folder.ca_certificate),
        ssl_certfile=str(folder.server_certificate),
        ssl_keyfile=str(folder.server_key),
        database=str(folder.database),
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )


def wait_longer_for_the_database() -> None:
    """From now on connections of this process wait LONGEST_LOCK_MILLISECONDS. Raises RuntimeError if it cannot."""
    pragmas = dict(vars(sql_mixin)["SQLITE_PRAGMAS"])
    if "busy_timeout" not in pragmas:
        raise RuntimeError("sql_mixin sets no busy_timeout: this version of Flower does not suit this oncofed")
    longer = pragmas | {"busy_timeout": str(LONGEST_LOCK_MILLISECONDS)}
    setattr(sql_mixin, "SQLITE_PRAGMAS", tuple(longer.items()))  # noqa: B010 - a name it imports, and does not offer


def free_keys_of_unregistered_nodes() -> None:
    """From now on the key of a node that is unregistered can be registered again; in Flower it is used up for good."""
    unregister = SqlLinkState.delete_node

    def delete_node(self: SqlLinkState, owner_aid: str, node_id: int) -> None:
        unregister(self, owner_aid, node_id)
        with self.session() as session:
            session.execute(update(Node).where(Node.node_id == uint64_to_int64(node_id)).values(public_key=None))

    setattr(SqlLinkState, "delete_node", delete_node)  # noqa: B010 - assigning to a method is what mypy refuses


class OnceAnHour(logging.Filter):
    """Lets each text through once an hour: whoever connects can make uvicorn say some of them as often as he likes."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is let through."""
        now, text = self._monotonic(), str(record.msg)  # without what is filled in, so that there are few
        if now - self._said.get(text, float("-inf")) < _HOUR_SECONDS:
            return False
        self._said[text] = now
        return True


def serve(folder: CoordinatorFolder) -> None:
    """Run until SIGTERM or SIGINT."""
    wait_longer_for_the_database()
    free_keys_of_unregistered_nodes()
    write_only_what_changes()
    config = superlink_config(folder)
    keeper = Doorkeeper(limits_for(raise_open_files()), time.monotonic)
    app = create_app(config, SuperLinkLifespan)
    # Added last, so it stands outermost: nothing of Flower's sees a request that the gate refuses.
    app.add_middleware(
        Gate,
        admin_token=read_secret(folder.admin_token),
        members=MemberKeys(folder),
        know=keeper.know,
        monotonic=time.monotonic,
        now=lambda: datetime.now(UTC),
        started=datetime.now(UTC),
        # The server is made below, of this app.
        work=HeldQuestions(lambda: nodes_with_work(folder.database), ending=lambda: server.should_exit),
    )
    settings = uvicorn.Config(
        app,
        # The door counts at its own `accept`, which uvloop would go around; its protocol is this one, without a second.
        http=door_protocol(keeper),
        loop="asyncio",
        ws="none",
        ssl_certfile=config.ssl_certfile,
        ssl_keyfile=config.ssl_keyfile,
        workers=1,
        access_log=False,
        log_config=get_uvicorn_log_config(_WARNING),
        # A peer is who the socket says; else a header could make a stranger look local, or the reverse.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(OnceAnHour())
    server = uvicorn.Server(settings)
    with ExitStack() as doors:
        server.run(
            sockets=[
                doors.enter_context(_door(host, config.port, keeper)) for host in read_settings(folder).listen_hosts
            ]
        )


def _door(host: str, port: int, keeper: Doorkeeper) -> Door:
    try:
        return Door.at(host, port, keeper)
    except OSError as error:
        raise FederationFailure(f"cannot listen on {host}, port {port}: {error}") from None


def main() -> None:
    """The process."""
    folder = CoordinatorFolder(Path(sys.argv[1]))
    os.umask(0o077)
    os.environ.update(flower_environment(folder.flower_home, inherited=os.environ))
    end_with_parent()
    try:
        hold_while_running(folder.locks["superlink"], what=f"the SuperLink of {folder.root}")
    except InvalidInput as fault:
        sys.exit(f"the server does not start: {fault}")
    serve(folder)


if __name__ == "__main__":
    main()
