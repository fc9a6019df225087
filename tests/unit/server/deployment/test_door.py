"""Does the door bound what is open, from one address and in all, and end what says nothing, with real TLS sockets?"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from tests.end_to_end.flower_processes import new_coordinator

from oncofed.server.deployment.allowance import whose
from oncofed.server.deployment.door import Door, Doorkeeper, DoorLimits, Peer, door_protocol, limits_for

LIMITS = DoorLimits(
    connections=10, of_an_address=6, of_loopback=4, opened_a_second=2.0, opened_at_once=20, silent_seconds=0.5
)
STRANGER, OTHER, HOSPITAL = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Comings:
    """Who comes to a doorkeeper, and whose connections it ended."""

    def __init__(self, limits: DoorLimits = LIMITS) -> None:
        self.clock = Clock()
        self.keeper = Doorkeeper(limits, self.clock)
        self.ended: list[Peer] = []

    def come(self, address: str, port: int) -> bool:
        return self.keeper.arrive((address, port), lambda: self.ended.append((address, port))) is not None

    def leave(self, peer: Peer) -> None:
        visit = self.keeper.visit_of(peer)
        assert visit is not None
        self.keeper.leave(visit)


def test_one_address_takes_the_room_of_its_own_oldest_connection() -> None:
    comings = Comings()
    assert all(comings.come(STRANGER, port) for port in range(8))
    assert comings.ended == [(STRANGER, 0), (STRANGER, 1)]
    assert len(comings.keeper) == 6


def test_who_is_known_is_not_ended_for_another_and_fills_no_more_than_the_room() -> None:
    comings = Comings()
    for port in range(6):
        assert comings.come(HOSPITAL, port)
        comings.keeper.know((HOSPITAL, port), "Bonn")
    assert not comings.come(HOSPITAL, 6)
    assert comings.ended == []
    comings.leave((HOSPITAL, 3))
    assert comings.come(HOSPITAL, 7)


def test_when_all_is_full_the_fullest_address_makes_room() -> None:
    comings = Comings()
    assert comings.come(HOSPITAL, 1)
    for port in range(6):
        assert comings.come(STRANGER, port)
    for port in range(3):
        assert comings.come(OTHER, port)
    assert comings.ended == []
    assert comings.come(HOSPITAL, 2)
    assert comings.ended == [(STRANGER, 0)]
    assert len(comings.keeper) == LIMITS.connections


def test_addresses_without_number_leave_room_for_a_hospital() -> None:
    """Each of them opens one connection, and says nothing."""
    comings = Comings()
    for number in range(1000):
        assert comings.come(f"10.0.{number // 256}.{number % 256}", 1)
    assert comings.come(HOSPITAL, 1)
    comings.keeper.know((HOSPITAL, 1), "Bonn")
    for number in range(1000):
        assert comings.come(f"10.1.{number // 256}.{number % 256}", 1)
    assert (HOSPITAL, 1) not in comings.ended
    assert len(comings.keeper) == LIMITS.connections


def test_a_network_of_ipv6_is_one_address_for_who_has_one_of_it_has_all() -> None:
    comings = Comings()
    assert all(comings.come(f"2001:db8::{port:x}", port) for port in range(8))
    assert len(comings.keeper) == 6
    assert comings.come("2001:db8:0:1::7", 9), "another network"
    assert len(comings.keeper) == 7
    comings.leave(("2001:db8::7", 7))
    assert len(comings.keeper) == 6
    assert (whose("2001:db8::7"), whose("fe80::1%eth0"), whose("192.0.2.1")) == (
        "2001:db8::/64",
        "fe80::/64",
        "192.0.2.1",
    )
    assert whose("::1") != whose("127.0.0.1"), "only the latter is where the coordinator's own processes come from"


def test_one_hospital_with_many_addresses_does_not_fill_the_room_of_another() -> None:
    comings = Comings(replace(LIMITS, of_a_hospital=3))
    for number in range(100):
        assert comings.come(f"10.0.0.{number}", 1)
        comings.keeper.know((f"10.0.0.{number}", 1), "Bonn")
    assert comings.come(HOSPITAL, 1)
    comings.keeper.know((HOSPITAL, 1), "Essen")
    for number in range(100, 200):
        assert comings.come(f"10.0.0.{number}", 1)
        comings.keeper.know((f"10.0.0.{number}", 1), "Bonn")
    assert comings.keeper.visit_of((HOSPITAL, 1)) is not None
    assert sorted(len(known) for known in comings.keeper._known.values()) == [1, 3]


def test_one_address_opens_so_many_a_second_and_others_as_they_like() -> None:
    comings = Comings()
    came = [comings.come(STRANGER, port) for port in range(40)]
    assert came == [True] * 20 + [False] * 20
    assert comings.come(HOSPITAL, 1)
    comings.clock.seconds += 1
    assert [comings.come(STRANGER, port) for port in range(50, 53)] == [True, True, False]


def test_the_coordinators_own_processes_have_their_own_room() -> None:
    comings = Comings()
    for port in range(100):
        comings.come(STRANGER, port)
        comings.come(OTHER, port)
    assert all(comings.come("127.0.0.1", port) for port in range(4))
    comings.ended.clear()
    assert all(comings.come("127.0.0.1", port) for port in range(4, 100))
    assert {peer[0] for peer in comings.ended} == {"127.0.0.1"}
    assert sum(comings.keeper.visit_of(("127.0.0.1", port)) is not None for port in range(100)) == 4


def test_nothing_is_left_of_what_has_left() -> None:
    comings = Comings()
    for port in range(3):
        assert comings.come(STRANGER, port)
        comings.keeper.know((STRANGER, port), "Bonn")
        visit = comings.keeper.visit_of((STRANGER, port))
        assert visit is not None
        comings.keeper.leave(visit)
        comings.keeper.leave(visit)
    assert len(comings.keeper) == 0
    assert comings.keeper.visit_of((STRANGER, 1)) is None
    assert not comings.keeper._of
    assert not comings.keeper._known


@pytest.mark.parametrize("files", [64, 256, 1024, 4096, 524_288])
def test_connections_leave_files_for_everything_else(files: int) -> None:
    limits = limits_for(files)
    assert 1 <= limits.of_an_address < limits.connections
    assert limits.of_loopback >= 1
    if files >= 256:
        assert limits.connections + limits.of_loopback <= files - 128


# With real sockets


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    refused = scope["path"] != "/"
    headers = [(b"content-length", b"2"), *([(b"connection", b"close")] if refused else [])]
    await send({"type": "http.response.start", "status": 401 if refused else 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


class Serving:
    def __init__(self, port: int, keeper: Doorkeeper, context: ssl.SSLContext) -> None:
        self.port, self.keeper, self._context = port, keeper, context

    def tcp(self, address: str = STRANGER) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5, source_address=(address, 0))

    def tls(self, address: str = STRANGER) -> ssl.SSLSocket:
        return self._context.wrap_socket(self.tcp(address), server_hostname="127.0.0.1")

    def asked(self, connection: ssl.SSLSocket) -> bytes:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"ok"):
            answer += connection.recv(4096)
        return answer[:12]

    def emptied(self, seconds: float = 5.0) -> bool:
        deadline = time.monotonic() + seconds
        while len(self.keeper) and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self.keeper) == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = new_coordinator(tmp_path_factory.mktemp("door") / "coordinator")
    return folder.ca_certificate, folder.server_certificate, folder.server_key


@contextmanager
def serving(certificate: tuple[Path, Path, Path], limits: DoorLimits) -> Iterator[Serving]:
    authority, own, key = certificate
    keeper = Doorkeeper(limits, time.monotonic)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=door_protocol(keeper),
            loop="asyncio",
            ws="none",
            ssl_certfile=str(own),
            ssl_keyfile=str(key),
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
    )
    with Door.at("127.0.0.1", 0, keeper) as door:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Serving(door.getsockname()[1], keeper, ssl.create_default_context(cafile=str(authority)))
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def is_ended(connection: socket.socket) -> bool:
    """By the other side; waits for as long as the socket's own limit."""
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


WAITING = replace(LIMITS, connections=100, of_an_address=50, opened_at_once=1000)


def test_an_honest_request_is_answered_and_its_end_is_noticed(certificate: tuple[Path, Path, Path]) -> None:
    with serving(certificate, WAITING) as here:
        with here.tls(HOSPITAL) as one, here.tls("127.0.0.1") as own:
            assert here.asked(one) == here.asked(own) == b"HTTP/1.1 200"
            assert len(here.keeper) == 2
        assert here.emptied()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_does_not_agree_upon_tls_is_ended(said: bytes, certificate: tuple[Path, Path, Path]) -> None:
    with serving(certificate, WAITING) as here, here.tcp() as silent:
        silent.sendall(said)
        assert is_ended(silent)
        assert here.emptied()


@pytest.mark.parametrize("said", [b"", b"POST /v1/fleet/push-object HTTP/1.1\r\nhost:"])
def test_who_does_not_finish_the_headers_is_ended(said: bytes, certificate: tuple[Path, Path, Path]) -> None:
    with serving(certificate, WAITING) as here, here.tls() as half:
        half.sendall(said)
        assert is_ended(half)
        assert here.emptied()


@pytest.mark.parametrize("first", [False, True])
def test_who_drips_headers_is_ended_also_after_a_good_request(
    first: bool, certificate: tuple[Path, Path, Path]
) -> None:
    with serving(certificate, WAITING) as here, here.tls() as dripping:
        if first:
            assert here.asked(dripping) == b"HTTP/1.1 200"
        began = time.monotonic()
        with suppress(OSError):
            dripping.sendall(b"GET / HTTP/1.1\r\nx: ")
            while time.monotonic() - began < 5:
                dripping.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 3
        assert here.emptied()


def test_an_honest_connection_is_asked_for_longer_than_the_silence(certificate: tuple[Path, Path, Path]) -> None:
    with serving(certificate, WAITING) as here, here.tls(HOSPITAL) as one:
        began = time.monotonic()
        while time.monotonic() - began < 3 * WAITING.silent_seconds:
            assert here.asked(one) == b"HTTP/1.1 200"
            time.sleep(0.05)


def test_half_open_connections_of_a_stranger_leave_a_hospital_its_own(certificate: tuple[Path, Path, Path]) -> None:
    limits = replace(WAITING, connections=40, of_an_address=20, silent_seconds=30.0)
    with serving(certificate, limits) as here, ExitStack() as open_:
        for _ in range(200):
            open_.enter_context(here.tcp())
        with here.tls(HOSPITAL) as one, here.tls() as of_the_same_address:
            assert here.asked(one) == here.asked(of_the_same_address) == b"HTTP/1.1 200"
            assert len(here.keeper) <= 21


def test_a_body_that_was_refused_is_not_taken_in(certificate: tuple[Path, Path, Path]) -> None:
    with serving(certificate, WAITING) as here, here.tls() as large:
        large.sendall(b"POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000000\r\n\r\n")
        taken = 0
        with suppress(OSError):
            while taken < 2_000_000_000:
                large.sendall(b"x" * 65536)
                taken += 65536
        assert taken < 20_000_000  # what lies in the buffers of two sockets
        assert here.emptied()
