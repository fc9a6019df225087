"""Whose is a connection: which user of this machine opened it on loopback, and which browser is it from?

Linux lists every TCP socket of the machine with its user in /proc/net/tcp: the one whose own end is our peer, and whose
other end is ours, is the peer's. So a process of the relay's or the node's user, which may use loopback, is told from
a browser or a reverse proxy. Unknown (None): a peer that is not on this machine, or a system without that list; where
some users are refused, so is who is unknown.

A browser behind the reverse proxy is known by the address that the proxy writes into `X-Real-IP`. It is believed on
the unix socket alone, which only the proxy may use; whoever can connect to loopback could write anything there.

Source: Linux, Documentation/networking/proc_net_tcp.rst.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import Scope

_TABLE = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _USER = 1, 2, 7
_NETWORK = 64
"""Bits of an IPv6 address that one subscriber is given whole."""

Ends = tuple[str, int]
UserOf = Callable[[Ends, Ends], int | None]


def ends_of(scope: Scope) -> tuple[Ends, Ends] | None:
    """Client and server of a TCP connection; None on a unix socket, whose server has no port."""
    client, server = scope.get("client"), scope.get("server")
    if server is not None and server[1] is None:
        return None
    # A client that is not told is none on this machine.
    return (client[0], client[1]) if client else ("", 0), (server[0], server[1]) if server else ("", 0)


def peer_of(scope: Scope, user: int | None) -> str:
    """By what the tries of one peer are counted together. user: of a TCP connection, if it was asked for."""
    ends = ends_of(scope)
    if ends is not None:
        return f"user {user} at {ends[0][0]}"
    try:
        address = ipaddress.ip_address(Headers(scope=scope).get("x-real-ip", ""))
    except ValueError:
        return "behind the proxy"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((address, _NETWORK), strict=False))
    return str(address)


def user_of_connection(client: Ends, server: Ends) -> int | None:
    """client, server  (IPv4 address, port) of the two ends. The uid of the client's end, or None."""
    try:
        wanted = (_written(client), _written(server))
        lines = _TABLE.read_text("ascii").splitlines()[1:]
    except (OSError, ValueError):
        return None
    for line in lines:
        words = line.split()
        if (words[_LOCAL], words[_REMOTE]) == wanted:
            return int(words[_USER])
    return None


def _written(end: Ends) -> str:
    """As the kernel writes it: the address in the machine's byte order (little-endian), then the port."""
    address = ipaddress.IPv4Address(end[0]).packed[::-1]
    return f"{address.hex().upper()}:{end[1]:04X}"
