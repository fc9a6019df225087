"""How many connections may be open to the SuperLink, from whom, and how long may one say nothing that makes sense?

`Doorkeeper` keeps the account, without I/O; `Door` is the listening socket that asks it at each arrival, before TLS and
before anything of Flower's; `door_protocol` is uvicorn's protocol, which says when a request's headers are complete.

A hospital's connection becomes *known* when the gate has verified a signature on it. Of the others:

| bound                                      | what happens to one too many                           |
|--------------------------------------------|--------------------------------------------------------|
| open at once, of an address                | it comes in; the address loses its oldest unknown one  |
| open at once, in all                       | it comes in; the fullest address loses such a one      |
| opened a second, of an address             | it is closed at once                                   |
| seconds until TLS and headers are complete | it ends                                                |

Of IPv6 a network of 64 bits is one address, for who has one of its addresses has all.

127.0.0.1 is where the coordinator's own processes come from: it has its own bound, which strangers cannot use up, and
may open as many a second as it likes. Other addresses of loopback are strangers.

Promises: an open connection that is known ends for none of these reasons but the last; where only known ones are open,
a new one is refused. Not promised: fairness between hospitals behind one address.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from uvicorn.protocols.http.h11_impl import H11Protocol

from oncofed.server.deployment.allowance import Allowances, whose
from oncofed.server.deployment.folder import LOOPBACK

Peer = tuple[str, int]

_FILES_FOR_OTHERS = 128
"""Database, libraries, logs, and connections that are just being closed."""
_ARRIVALS_AT_A_TIME = 64


@dataclass(frozen=True)
class DoorLimits:
    """connections       open at once, but for 127.0.0.1's own `of_loopback`.
    of_an_address     among them; several hospitals may stand behind one address.
    of_a_hospital     known ones: of more, its oldest is known no longer, else one that has many addresses could fill
                      all the room with them.
    opened_a_second   by one address, on average; `opened_at_once` in a burst.
    silent_seconds    from a connection's beginning, or a request's first byte, until its headers are complete.
    """

    connections: int = 2_048
    of_an_address: int = 256
    of_loopback: int = 1_024
    of_a_hospital: int = 32
    opened_a_second: float = 20.0
    opened_at_once: int = 300
    silent_seconds: float = 20.0


def limits_for(open_files: int) -> DoorLimits:
    """The usual ones, or less where a process may not open so many files."""
    usual, room = DoorLimits(), max(open_files - _FILES_FOR_OTHERS, 8)
    if room >= usual.connections + usual.of_loopback:
        return usual
    of_loopback = room // 4
    connections = room - of_loopback
    return replace(
        usual,
        connections=connections,
        of_loopback=of_loopback,
        of_an_address=min(usual.of_an_address, max(connections // 4, 1)),
    )


def raise_open_files() -> int:
    """As many open files as this process may have; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1_000_000


@dataclass(eq=False)
class Visit:
    """One open connection. end: closes it, from outside, whatever it is doing. known: which hospital's it is."""

    peer: Peer
    end: Callable[[], None]
    known: str | None = None
    _silence: asyncio.TimerHandle | None = None

    def await_headers(self, seconds: float) -> None:
        """It ends unless `headers_came` within so many seconds of the first call."""
        if self._silence is None:
            self._silence = asyncio.get_running_loop().call_later(seconds, self._end_silence)

    def _end_silence(self) -> None:
        self.end()

    def headers_came(self) -> None:
        """Or it has ended."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None


@dataclass
class Doorkeeper:
    """For one thread. clock: seconds that never go back."""

    limits: DoorLimits
    clock: Callable[[], float]
    _of: dict[str, OrderedDict[Visit, None]] = field(default_factory=dict)
    _peers: dict[Peer, Visit] = field(default_factory=dict)
    _known: dict[str, OrderedDict[Visit, None]] = field(default_factory=dict)
    _opened: Allowances[str] = field(init=False)

    def __post_init__(self) -> None:
        self._opened = Allowances(
            a_second=self.limits.opened_a_second, at_once=self.limits.opened_at_once, clock=self.clock
        )

    def __len__(self) -> int:
        return sum(len(visits) for visits in self._of.values())

    def arrive(self, peer: Peer, end: Callable[[], None]) -> Visit | None:
        """Note a new connection; None: it is to be closed at once. Ends another one where there is no more room."""
        address = whose(peer[0])
        if address == LOOPBACK:
            if not self._room(address, self.limits.of_loopback):
                return None
        elif not (
            self._opened.take(address)
            and self._room(address, self.limits.of_an_address)
            and self._room_in_all(self.limits.connections)
        ):
            return None
        visit = Visit(peer, end)
        self._of.setdefault(address, OrderedDict())[visit] = None
        self._peers[peer] = visit
        return visit

    def leave(self, visit: Visit) -> None:
        """It is closed. Twice is fine."""
        address = whose(visit.peer[0])
        visits = self._of.get(address, OrderedDict())
        visits.pop(visit, None)
        if not visits:
            self._of.pop(address, None)
        self._unknow(visit)
        if self._peers.get(visit.peer) is visit:
            del self._peers[visit.peer]

    def know(self, peer: Peer, hospital: str) -> None:
        """A hospital has shown on this connection that it is one."""
        visit = self._peers.get(peer)
        if visit is None or visit.known == hospital:
            return
        self._unknow(visit)
        visit.known = hospital
        known = self._known.setdefault(hospital, OrderedDict())
        known[visit] = None
        if len(known) > self.limits.of_a_hospital:
            self._unknow(next(iter(known)))

    def _unknow(self, visit: Visit) -> None:
        if visit.known is None:
            return
        known = self._known[visit.known]
        del known[visit]
        if not known:
            del self._known[visit.known]
        visit.known = None

    def visit_of(self, peer: Peer) -> Visit | None:
        """The open connection from there."""
        return self._peers.get(peer)

    def _room(self, address: str, most: int) -> bool:
        visits = self._of.get(address, OrderedDict())
        return len(visits) < most or self._ended(visits)

    def _room_in_all(self, most: int) -> bool:
        open_ = {address: visits for address, visits in self._of.items() if address != LOOPBACK}
        if sum(len(visits) for visits in open_.values()) < most:
            return True
        # From the fullest on: who takes the room is whom it is taken from.
        return any(self._ended(visits) for visits in sorted(open_.values(), key=len, reverse=True))

    def _ended(self, visits: OrderedDict[Visit, None]) -> bool:
        """Whether the oldest that nobody knows was ended."""
        oldest = next((visit for visit in visits if visit.known is None), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.end()
        return True


class Door(socket.socket):
    """A listening socket that lets in whom the doorkeeper does, for asyncio's own event loop."""

    def __init__(self, keeper: Doorkeeper, family: socket.AddressFamily = socket.AF_INET) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.keeper = keeper
        if family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a door of its own
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setblocking(False)

    @staticmethod
    def at(host: str, port: int, keeper: Doorkeeper) -> Door:
        """Bound; uvicorn begins to listen. Raises OSError."""
        door = Door(keeper, socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            door.bind((host, port))
        except OSError:
            door.close()
            raise
        return door

    def accept(self) -> tuple[socket.socket, Peer]:
        """The next connection that may come in. Raises BlockingIOError when there is none now."""
        for _ in range(_ARRIVALS_AT_A_TIME):
            descriptor, name = self._accept()  # type: ignore[attr-defined]  # what socket.accept itself is made of
            peer = (str(name[0]), int(name[1]))  # as uvicorn tells it; of IPv6 there are two numbers more
            arrived = _Arrival(descriptor, peer, self.keeper, self.family)
            if arrived.visit is not None:
                arrived.visit.await_headers(self.keeper.limits.silent_seconds)
                return arrived, peer
            arrived.close()
        raise BlockingIOError(errno.EAGAIN, "more have arrived than are seen to at a time")


class _Arrival(socket.socket):
    """A connection whose end the doorkeeper learns of."""

    def __init__(self, descriptor: int, peer: Peer, keeper: Doorkeeper, family: int) -> None:
        super().__init__(family, socket.SOCK_STREAM, 0, fileno=descriptor)
        self._keeper = keeper
        self.visit = keeper.arrive(peer, self._hang_up)

    def _hang_up(self) -> None:
        """While TLS is agreed upon: the event loop sees the end of it, and closes it."""
        with suppress(OSError):  # it is gone already
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self.visit is not None:
            self.visit.headers_came()
            self._keeper.leave(self.visit)
        super().close()


def door_protocol(keeper: Doorkeeper) -> type[H11Protocol]:
    """uvicorn's, on the connections of this doorkeeper's `Door`."""

    class DoorProtocol(H11Protocol):
        _visit: Visit | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
            super().connection_made(transport)
            self._visit = None if self.client is None else keeper.visit_of(self.client)
            if self._visit is not None:
                self._visit.end = transport.abort

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():  # of a body that was refused
                return
            before = self.cycle
            if self._visit is not None and (before is None or before.response_complete):
                self._visit.await_headers(keeper.limits.silent_seconds)
            super().data_received(data)
            if self._visit is not None and self.cycle is not before:
                self._visit.headers_came()

    return DoorProtocol
