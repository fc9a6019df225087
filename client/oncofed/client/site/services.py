"""Which processes make up a node, and how is each started?

Guard, SuperNode and SuperExec, each as its own user where site.toml names users. The relay's environment says where
the guard's socket and the token are, and nothing else of the hospital.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from oncofed.client.node.folder import NodeFolder, SiteSettings
from oncofed.client.service.guard_channel import SOCKET_VARIABLE, TOKEN_FILE_VARIABLE
from oncofed.supervision import Service


def node_services(folder: NodeFolder, site: SiteSettings, *, inherited: Mapping[str, str]) -> tuple[Service, ...]:
    """In the order of starting: guard, node, relay."""
    users = site.users
    guard, node, relay = (None, None, None) if users is None else (users.guard, users.node, users.relay)

    def service(name: str, module: str, user: str | None, **environment: str) -> Service:
        command = (sys.executable, "-m", module, str(folder.root))
        return Service(name, command, {**inherited, **environment}, user=user)

    return (
        # One thread: hospitals' sums are small, and threads would wait for each other.
        service("guard", "oncofed.client.service.process", guard, OMP_NUM_THREADS="1"),
        service("node", "oncofed.client.node.supernode", node),
        service(
            "relay",
            "oncofed.client.node.superexec",
            relay,
            **{SOCKET_VARIABLE: str(folder.socket), TOKEN_FILE_VARIABLE: str(folder.token)},
        ),
    )
