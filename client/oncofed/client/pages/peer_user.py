"""Which user of this machine opened a connection on loopback?

Linux lists every TCP socket of the machine with its user in /proc/net/tcp: the one whose own end is our peer, and whose
other end is ours, is the peer's. So a process of the relay's or the node's user, which may use loopback, is told from
a browser or a reverse proxy. Unknown (None): a peer that is not on this machine, or a system without that list.

Source: Linux, Documentation/networking/proc_net_tcp.rst.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _USER = 1, 2, 7


def user_of_connection(client: tuple[str, int], server: tuple[str, int]) -> int | None:
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


def _written(end: tuple[str, int]) -> str:
    """As the kernel writes it: the address in the machine's byte order (little-endian), then the port."""
    address = ipaddress.IPv4Address(end[0]).packed[::-1]
    return f"{address.hex().upper()}:{end[1]:04X}"
