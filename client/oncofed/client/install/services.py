"""Which processes make up a node, and how is each started?

Guard, SuperNode and SuperExec, each as its own user where site.toml names users. The relay's environment says where
the guard's socket and the token are, and nothing else of the hospital: of the variables that were there, SuperNode and
relay get the few that they need, so that neither sees a database's address that is meant for the guard.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from oncofed.client.install.folder import NodeFolder, SiteSettings
from oncofed.client.relay.guard_channel import SOCKET_VARIABLE, TOKEN_FILE_VARIABLE
from oncofed.supervision import Service

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_WAY_OUT = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


def node_services(folder: NodeFolder, site: SiteSettings, *, inherited: Mapping[str, str]) -> tuple[Service, ...]:
    """In the order of starting: guard, node, relay."""
    users = site.users
    guard, node, relay = (None, None, None) if users is None else (users.guard, users.node, users.relay)

    # Without HOME, which would be root's, each finds the one of its own user.
    everything = {name: value for name, value in inherited.items() if users is None or name != "HOME"}
    few = {name: inherited[name] for name in _PASSED_ON if name in inherited}
    way_out = {name: inherited[name] for name in _WAY_OUT if name in inherited}

    def service(name: str, module: str, user: str | None, environment: Mapping[str, str]) -> Service:
        # -P: else a folder in which somebody happens to start it could hold modules of another's making.
        return Service(name, (sys.executable, "-P", "-m", module, str(folder.root)), environment, user=user)

    return (
        # One thread: hospitals' sums are small, and threads would wait for each other.
        service("guard", "oncofed.client.guard.process", guard, {**everything, "OMP_NUM_THREADS": "1"}),
        service("node", "oncofed.client.relay.supernode", node, {**few, **way_out}),
        service(
            "relay",
            "oncofed.client.relay.superexec",
            relay,
            {**few, SOCKET_VARIABLE: str(folder.socket), TOKEN_FILE_VARIABLE: str(folder.token)},
        ),
    )
