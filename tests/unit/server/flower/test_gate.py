"""Does the gate let through exactly what its table says, and no more of it than one caller may have?"""

from __future__ import annotations

import asyncio
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse
from flwr.proto.node_pb2 import Node
from starlette.types import Message, Receive, Scope, Send

from oncofed.server.flower.gate import ADMIN_HEADER, LARGEST_BODY, REMEMBERED_SECONDS, SMALL_BODY, Gate, GateLimits

TOKEN = b"the-administrator"
HOSPITAL = "192.0.2.7"
STRANGER = "127.0.0.2"
NOW = datetime(2026, 1, 2, 13, 0, tzinfo=UTC)
STARTED = NOW - timedelta(hours=1)
BONN, ESSEN, NOBODY = (ec.generate_private_key(ec.SECP384R1()) for _ in range(3))
PULL, PUSH = "/v1/fleet/pull-messages", "/v1/fleet/push-object"
LIMITS = GateLimits(
    requests_of_a_key=3, at_once_of_a_key=60, a_second_of_a_key=1.0, at_once_of_a_stranger=20, patience_seconds=0.2
)


@dataclass
class Inner:
    """Flower's app: notes what reaches it and answers with `status` and `content`, once `wait` is over."""

    reached: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200
    content: bytes = b""
    wait: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["path"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        if self.wait is not None:
            await self.wait.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.content})


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000)


class Members:
    """Bonn and Essen, until taken off."""

    def __init__(self) -> None:
        self.sites = {der(BONN): "Bonn", der(ESSEN): "Essen"}

    def site_of(self, key: bytes) -> str | None:
        return self.sites.get(key)


def der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def members() -> Members:
    return Members()


@pytest.fixture
def known() -> list[tuple[str, int, str]]:
    return []


@pytest.fixture
def gate(inner: Inner, clock: Clock, members: Members, known: list[tuple[str, int, str]]) -> Gate:
    return Gate(
        inner,
        admin_token=TOKEN,
        members=members,
        know=lambda peer, key: known.append((*peer, key)),
        monotonic=clock,
        now=clock.now,
        started=STARTED,
        limits=LIMITS,
    )


@dataclass
class Body:
    """What the caller sends: `announced` None says nothing. read: how many bytes were taken of it."""

    parts: list[bytes] = field(default_factory=lambda: [b""])
    announced: int | str | None = None
    pause_seconds: float = 0.0
    read: int = 0

    async def receive(self) -> Message:
        await asyncio.sleep(self.pause_seconds)
        if not self.parts:
            return {"type": "http.disconnect"}
        part = self.parts.pop(0)
        self.read += len(part)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts)}


async def asking(
    gate: Gate,
    path: str,
    *,
    peer: str | None = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    twice: str = "",
    body: Body | None = None,
    sent: list[Message] | None = None,
    send_seconds: float = 0.0,
) -> int:
    """The status of one POST. twice: a header that is sent a second time."""
    sent, body = [] if sent is None else sent, body or Body()
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    if body.announced is not None:
        pairs.append((b"content-length", str(body.announced).encode()))
    pairs += [pair for pair in pairs if pair[0].decode() == twice]
    scope = {"type": "http", "method": "POST", "path": path, "headers": pairs, "client": peer and (peer, 4711)}

    async def send(message: Message) -> None:
        await asyncio.sleep(send_seconds)
        sent.append(message)

    await gate(scope, body.receive, send)
    return int(sent[0]["status"])


def ask(
    gate: Gate,
    path: str,
    *,
    peer: str | None = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    twice: str = "",
    body: Body | None = None,
    sent: list[Message] | None = None,
    send_seconds: float = 0.0,
) -> int:
    return asyncio.run(
        asking(gate, path, peer=peer, headers=headers, twice=twice, body=body, sent=sent, send_seconds=send_seconds)
    )


def signed(
    seconds: float = 0.0,
    *,
    key: ec.EllipticCurvePrivateKey = BONN,
    claims: ec.EllipticCurvePrivateKey | None = None,
    zone: timezone = UTC,
) -> dict[str, str]:
    """So many seconds after NOW, by `key` in the name of `claims`."""
    time = (NOW + timedelta(seconds=seconds)).astimezone(zone).isoformat()
    public = (claims or key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "flwr-public-key": b64encode(public).decode(),
        "flwr-timestamp": time,
        "flwr-signature": b64encode(key.sign(time.encode(), ec.ECDSA(hashes.SHA256()))).decode(),
    }


@contextmanager
def held(inner: Inner) -> Iterator[asyncio.Event]:
    """Flower answers nothing inside."""
    inner.wait = asyncio.Event()
    try:
        yield inner.wait
    finally:
        inner.wait.set()


# Who


def test_anybody_reaches_health(gate: Gate) -> None:
    assert ask(gate, "/health", peer=HOSPITAL) == 200


def test_a_stranger_reaches_health_so_often_and_this_machine_as_often_as_it_likes(gate: Gate) -> None:
    told = [ask(gate, "/health", peer=STRANGER) for _ in range(30)]
    assert told == [200] * LIMITS.at_once_of_a_stranger + [503] * (30 - LIMITS.at_once_of_a_stranger)
    assert {ask(gate, "/health") for _ in range(30)} == {200}


def test_a_member_reaches_fleet_and_its_connection_is_known(gate: Gate, known: list[tuple[str, int, str]]) -> None:
    assert ask(gate, PULL, peer=HOSPITAL, headers=signed()) == 200
    assert known == [(HOSPITAL, 4711, der(BONN).hex())]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/list-runs",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/docs",
        "/openapi.json",
        "/",
        "/v1/fleet",
        "/V1/fleet/pull-messages",
        "//v1/fleet/pull-messages",
        "/healthy",
        "/health/",
    ],
)
@pytest.mark.parametrize("peer", [HOSPITAL, STRANGER, "::1", "::ffff:127.0.0.1", "2001:db8::1", "unix:", None])
def test_a_hospital_reaches_nothing_else_even_with_the_token(
    gate: Gate, inner: Inner, path: str, peer: str | None
) -> None:
    """Only 127.0.0.1 is where the coordinator's own processes come from."""
    assert ask(gate, path, peer=peer, headers={ADMIN_HEADER: TOKEN.decode(), **signed()}) == 403
    assert inner.reached == []


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/v2/control/list-runs"])
def test_nobody_reaches_what_is_not_in_the_table(gate: Gate, path: str) -> None:
    assert ask(gate, path, headers={ADMIN_HEADER: TOKEN.decode()}) == 403


def test_administration_is_from_loopback_with_the_token(gate: Gate) -> None:
    assert ask(gate, "/v1/control/list-runs", headers={ADMIN_HEADER: TOKEN.decode()}) == 200


@pytest.mark.parametrize(
    "headers", [{}, {ADMIN_HEADER: ""}, {ADMIN_HEADER: "the-administratos"}, {"authorization": f"Bearer {TOKEN!r}"}]
)
def test_administration_without_the_token_is_refused_on_loopback(
    gate: Gate, inner: Inner, headers: dict[str, str]
) -> None:
    assert ask(gate, "/v1/control/list-runs", headers=headers) == 401
    assert inner.reached == []


def test_two_tokens_are_none(gate: Gate) -> None:
    assert ask(gate, "/v1/control/list-runs", headers={ADMIN_HEADER: TOKEN.decode()}, twice=ADMIN_HEADER) == 401


def test_the_runtime_api_is_open_to_loopback_where_flower_checks_it(gate: Gate) -> None:
    assert ask(gate, "/v1/runtime/acquire-task") == 200


def without(name: str) -> dict[str, str]:
    return {header: value for header, value in signed().items() if header != name}


FORGED: Mapping[str, Callable[[], dict[str, str]]] = {
    "nothing": dict,
    "no key": lambda: without("flwr-public-key"),
    "no time": lambda: without("flwr-timestamp"),
    "no signature": lambda: without("flwr-signature"),
    "a key that nobody approved": lambda: signed(key=NOBODY),
    "a member's key, signed by another member": lambda: signed(key=ESSEN, claims=BONN),
    "another time": lambda: {**signed(), "flwr-timestamp": (NOW + timedelta(seconds=1)).isoformat()},
    "a signature of zeros": lambda: {**signed(), "flwr-signature": "AAAA"},
    "a signature that is no base64": lambda: {**signed(), "flwr-signature": "***"},
    "a key that is none": lambda: {**signed(), "flwr-public-key": b64encode(b"key").decode()},
    "signed six seconds ahead": lambda: signed(6),
    "signed 306 seconds ago": lambda: signed(-306),
    "a time without a zone": lambda: {**signed(), "flwr-timestamp": "2026-01-02T13:00:00"},
    "a time that is none": lambda: {**signed(), "flwr-timestamp": "now"},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("path", [PULL, PUSH, "/v1/fleet/register-node", "/v1/fleet/activate-node"])
def test_without_a_members_signature_nothing_of_a_body_is_read(
    forged: Callable[[], dict[str, str]], path: str, gate: Gate, inner: Inner, known: list[tuple[str, int, str]]
) -> None:
    body, sent = Body([b"x" * 100] * 5, announced=500), list[Message]()
    assert ask(gate, path, peer=HOSPITAL, headers=forged(), body=body, sent=sent) == 401
    assert (inner.reached, body.read, known) == ([], 0, [])
    assert (b"connection", b"close") in sent[0]["headers"]  # else the rest would be taken in all the same


@pytest.mark.parametrize("name", ["flwr-public-key", "flwr-timestamp", "flwr-signature"])
def test_two_of_a_header_are_none(name: str, gate: Gate, inner: Inner) -> None:
    assert ask(gate, PULL, headers=signed(), twice=name) == 401
    assert inner.reached == []


def test_a_key_that_was_taken_off_is_refused_at_once(gate: Gate, members: Members) -> None:
    assert ask(gate, PULL, headers=signed(1)) == 200
    del members.sites[der(BONN)]
    assert ask(gate, PULL, headers=signed(2)) == 401
    assert ask(gate, PULL, headers=signed(2, key=ESSEN)) == 200


# Once


def test_a_signed_time_counts_once(gate: Gate, inner: Inner) -> None:
    assert ask(gate, PULL, peer=HOSPITAL, headers=signed(1)) == 200
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=signed(1)) == 401
    assert ask(gate, PULL, peer=HOSPITAL, headers=signed(2)) == 200
    assert len(inner.reached) == 2


@pytest.mark.parametrize("after", [1.0, 100.0, 200.0, 304.0, 309.0])
def test_a_signed_time_counts_once_for_as_long_as_flower_takes_it(
    after: float, gate: Gate, clock: Clock, inner: Inner
) -> None:
    """Of a hospital whose clock is 4.5 s ahead: Flower's tolerance is 300 s behind and 5 s either way."""
    assert ask(gate, PULL, peer=HOSPITAL, headers=signed(4.5)) == 200
    clock.seconds += after
    for number in range(10):  # each request makes room
        assert ask(gate, PULL, peer=HOSPITAL, headers=signed(after + number / 100, key=ESSEN)) == 200
    assert ask(gate, PULL, peer=HOSPITAL, headers=signed(4.5)) == 401
    assert len(inner.reached) == 11


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5))])
def test_what_was_signed_before_a_restart_is_to_be_signed_anew(
    zone: timezone, clock: Clock, gate: Gate, inner: Inner
) -> None:
    """The gate of the process before may have let it through; not 401, upon which a SuperNode ends itself."""
    clock.seconds -= 3600
    before, after = (signed(each - 3600, zone=zone) for each in (-0.001, 0.001))
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=before) == 503
    assert inner.reached == []
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=after) == 200
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=after) == 401


@pytest.mark.parametrize(("path", "headers"), [(PULL, True), ("/v1/runtime/push-messages", False)])
def test_a_failure_inside_flower_is_to_be_asked_again(path: str, headers: bool, gate: Gate, inner: Inner) -> None:
    """Upon 500 a SuperNode and a ServerApp end themselves; SQLite gives one when the machine is busy."""
    for status, told in ((500, 503), (404, 404), (200, 200)):
        inner.status = status
        assert ask(gate, path, headers=signed(status / 1000) if headers else {}) == told


def test_the_same_key_written_otherwise_is_the_same_key(gate: Gate) -> None:
    other = signed()
    pem = BONN.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    other["flwr-public-key"] = b64encode(b"a comment\n" + pem + b"\n").decode()
    assert ask(gate, PULL, headers={**signed(), **{"flwr-timestamp": other["flwr-timestamp"]}}) == 200
    assert ask(gate, PULL, headers=other) == 401


def test_what_flower_refused_is_not_remembered(gate: Gate, inner: Inner) -> None:
    inner.status = 401
    assert ask(gate, PULL, headers=signed()) == 401
    assert len(gate._seen) == 0
    inner.status = 200
    assert ask(gate, PULL, headers=signed()) == 200


def test_memory_holds_no_more_than_the_time_flower_accepts(gate: Gate, clock: Clock) -> None:
    for number in range(40):
        assert ask(gate, PULL, headers=signed(-number)) == 200
    clock.seconds += REMEMBERED_SECONDS + 1
    for number in range(10):
        assert ask(gate, PULL, headers=signed(REMEMBERED_SECONDS - number)) == 200
    assert len(gate._seen) == 10


# How much


def test_a_body_comes_to_flower_as_it_was_sent(gate: Gate, inner: Inner) -> None:
    body = Body([b"one, ", b"two, ", b"three"], announced=15)
    assert ask(gate, PUSH, headers=signed(), body=body) == 200
    assert inner.bodies == [b"one, two, three"]


@pytest.mark.parametrize(
    ("path", "most", "headers"),
    [
        (PUSH, LARGEST_BODY, signed()),
        (PULL, SMALL_BODY, signed()),
        ("/v1/fleet/activate-node", SMALL_BODY, signed()),
        ("/v1/runtime/push-object", LARGEST_BODY, {}),
        ("/v1/control/start-run", LARGEST_BODY, {ADMIN_HEADER: TOKEN.decode()}),
        ("/health", 0, {}),
    ],
)
def test_a_body_has_a_bound_that_is_known_before_it_is_read(
    path: str, most: int, headers: dict[str, str], gate: Gate, inner: Inner
) -> None:
    body, sent = Body([b"x"] * 3, announced=most + 1), list[Message]()
    assert ask(gate, path, headers=headers, body=body, sent=sent) == 413
    assert (inner.reached, body.read) == ([], 0)
    assert (b"connection", b"close") in sent[0]["headers"]


def test_the_bound_holds_the_largest_message_of_the_protocol(gate: Gate, inner: Inner) -> None:
    """64 MiB, as guards and relays have it, and the names around it."""
    content = b"x" * (64 * 1024 * 1024 + 1000)
    assert ask(gate, PUSH, headers=signed(), body=Body([content], announced=len(content))) == 200
    assert len(inner.bodies[0]) == len(content)


@pytest.mark.parametrize(
    ("announced", "headers", "status"),
    [
        ("-1", {}, 400),
        ("1e3", {}, 400),
        ("9" * 30, {}, 400),
        (None, {"transfer-encoding": "chunked"}, 411),
        (3, {"transfer-encoding": "chunked"}, 411),
    ],
)
def test_a_body_of_unknown_length_is_not_read(
    announced: int | str | None, headers: dict[str, str], status: int, gate: Gate, inner: Inner
) -> None:
    body = Body([b"x", b"y"], announced=announced)
    assert ask(gate, PUSH, headers={**signed(), **headers}, body=body) == status
    assert (inner.reached, body.read) == ([], 0)


@pytest.mark.parametrize("announced", [None, 2])
def test_more_than_was_announced_reaches_nobody(announced: int | None, gate: Gate, inner: Inner) -> None:
    body = Body([b"x"] * 100, announced=announced)
    assert ask(gate, PUSH, headers=signed(), body=body) == 413
    assert inner.reached == []
    assert body.read <= 3


def test_a_body_that_comes_in_small_pieces_takes_no_more_memory(gate: Gate, inner: Inner) -> None:
    """A list of 100,000 pieces of two bytes is 30 MB."""
    pieces = 100_000
    gate._limits = GateLimits()

    class Pieces(Body):
        async def receive(self) -> Message:
            self.read += 2
            return {"type": "http.request", "body": self.read.to_bytes(4)[2:], "more_body": self.read < 2 * pieces}

    tracemalloc.start()
    try:
        assert ask(gate, PUSH, headers=signed(), body=Pieces(announced=2 * pieces)) == 200
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(inner.bodies[0]) == 2 * pieces
    assert most < 3_000_000


# How long


@pytest.mark.parametrize("path", [PUSH, "/v1/runtime/push-object"])
def test_a_body_that_drips_ends(path: str, gate: Gate, inner: Inner) -> None:
    body = Body([b"x"] * 1000, announced=1000, pause_seconds=0.02)
    assert ask(gate, path, headers=signed(), body=body) == 408
    assert inner.reached == []
    assert body.read < 100


def test_a_longer_body_has_longer(gate: Gate) -> None:
    """0.2 s and then 64 KiB a second: 0.6 s are enough for 64 KiB and not for 1 KiB."""
    for kib, status in ((64, 200), (1, 408)):
        body = Body([b"x" * 1024 * kib, b"", b""], announced=1024 * kib, pause_seconds=0.2)
        assert ask(gate, PUSH, headers=signed(kib / 1000), body=body) == status


def test_an_answer_is_sent_as_it_is_taken_and_stops_when_nobody_does(gate: Gate, inner: Inner) -> None:
    inner.content = bytes(range(256)) * 1024
    sent = list[Message]()
    assert ask(gate, "/v1/fleet/pull-object", headers=signed(1), sent=sent) == 200
    assert b"".join(message["body"] for message in sent[1:]) == inner.content
    assert max(len(message["body"]) for message in sent[1:]) <= 64 * 1024
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    inner.content = b"x" * 100 * 64 * 1024
    sent.clear()
    gate._limits = GateLimits(patience_seconds=0.2, slowest_bytes_a_second=10**9)
    assert ask(gate, "/v1/fleet/pull-object", headers=signed(2), sent=sent, send_seconds=0.05) == 200
    assert len(sent) < 20
    assert sent[-1]["more_body"]  # so the server knows that it is not whole, and ends the connection


# How many


def test_one_key_has_so_many_requests_at_once_and_others_have_theirs(gate: Gate, inner: Inner) -> None:
    async def busy() -> list[int]:
        with held(inner):
            first = [asyncio.create_task(asking(gate, PULL, headers=signed(number))) for number in (1, 2, 3)]
            await asyncio.sleep(0)
            while len(inner.bodies) < 3:
                await asyncio.sleep(0)
            fourth = await asking(gate, PULL, headers=signed(4))
            other = asyncio.create_task(asking(gate, PULL, headers=signed(4, key=ESSEN)))
            while len(inner.bodies) < 4:
                await asyncio.sleep(0)
        return [fourth, *[await each for each in (*first, other)], await asking(gate, PULL, headers=signed(4.5))]

    assert asyncio.run(asyncio.wait_for(busy(), 10)) == [503, 200, 200, 200, 200, 200]
    assert not gate._open


def test_one_key_has_one_large_body_at_once(gate: Gate, inner: Inner) -> None:
    def large() -> Body:
        return Body([b"x" * (SMALL_BODY + 1)], announced=SMALL_BODY + 1)

    async def busy() -> list[int]:
        with held(inner):
            first = asyncio.create_task(asking(gate, PUSH, headers=signed(1), body=large()))
            while not inner.bodies:
                await asyncio.sleep(0)
            second = await asking(gate, PUSH, headers=signed(2), body=large())
            small = asyncio.create_task(asking(gate, PUSH, headers=signed(3)))
            other = asyncio.create_task(asking(gate, PUSH, headers=signed(2, key=ESSEN), body=large()))
            while len(inner.bodies) < 3:
                await asyncio.sleep(0)
        return [second, await first, await small, await other]

    assert asyncio.run(asyncio.wait_for(busy(), 10)) == [503, 200, 200, 200]
    assert gate._large_bytes == 0


def test_all_large_bodies_together_have_a_bound(inner: Inner, gate: Gate) -> None:
    gate._limits = GateLimits(large_bytes=3 * SMALL_BODY)

    async def busy() -> int:
        with held(inner):
            body = Body([b"x" * 2 * SMALL_BODY], announced=2 * SMALL_BODY)
            first = asyncio.create_task(asking(gate, PUSH, headers=signed(1), body=body))
            while not inner.bodies:
                await asyncio.sleep(0)
            again = Body([b"x" * 2 * SMALL_BODY], announced=2 * SMALL_BODY)
            second = await asking(gate, PUSH, headers=signed(1, key=ESSEN), body=again)
        await first
        return second

    assert asyncio.run(asyncio.wait_for(busy(), 10)) == 503


def test_one_key_has_so_many_requests_a_second_and_others_have_theirs(gate: Gate, clock: Clock) -> None:
    first = [ask(gate, PULL, headers=signed(-number / 10)) for number in range(61)]
    assert first == [200] * 60 + [503]
    assert ask(gate, PULL, headers=signed(key=ESSEN)) == 200
    clock.seconds += 1.5
    assert [ask(gate, PULL, headers=signed(1 + number / 10)) for number in range(2)] == [200, 503]


def test_a_strangers_signatures_are_verified_so_often_and_a_member_elsewhere_goes_on(
    gate: Gate, inner: Inner, clock: Clock
) -> None:
    """With a member's public key, which all members know, each costs a verification."""
    forged = [ask(gate, PULL, peer=STRANGER, headers=signed(key=NOBODY, claims=BONN)) for _ in range(30)]
    assert forged == [401] * 20 + [503] * 10
    assert ask(gate, PULL, peer=HOSPITAL, headers=signed(1)) == 200
    assert ask(gate, PULL, headers=signed(2)) == 200
    assert ask(gate, "/health", peer=STRANGER) == 503
    clock.seconds += 1
    assert ask(gate, "/health", peer=STRANGER) == 200


def test_other_protocols_are_refused(gate: Gate) -> None:
    async def nothing() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="plain HTTP"):
        asyncio.run(gate({"type": "websocket", "path": "/v1/fleet/x", "headers": []}, nothing, send))


def test_a_member_whose_clock_is_wrong_is_named_once_an_hour_and_nobody_else(
    gate: Gate, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(
        seconds: float, *, key: ec.EllipticCurvePrivateKey = BONN, claims: ec.EllipticCurvePrivateKey | None = None
    ) -> str:
        caplog.clear()
        assert ask(gate, PULL, peer=HOSPITAL, headers=signed(seconds, key=key, claims=claims)) == 401
        return "".join(record.getMessage() for record in caplog.records)

    assert refused(600, key=NOBODY) == ""
    assert refused(600, key=NOBODY, claims=BONN) == "", "nobody else can make a line about it"
    assert "Bonn is refused: what it sent was signed in 600 s" in refused(600)
    assert refused(601) == ""
    assert "Essen is refused: what it sent was signed 700 s ago" in refused(-700, key=ESSEN)
    clock.seconds += 3600
    assert "Bonn" in refused(-700)


# Held


@dataclass
class Work:
    """What is said, once `now` is set; of which node it was asked."""

    there: bool = True
    now: asyncio.Event | None = None
    asked: list[int] = field(default_factory=list)

    async def is_there_work(self, node: int) -> bool:
        self.asked.append(node)
        if self.now is not None:
            await self.now.wait()
        return self.there


def holding(inner: Inner, clock: Clock, members: Members, work: Work) -> Gate:
    return Gate(
        inner,
        admin_token=TOKEN,
        members=members,
        know=lambda peer, key: None,
        monotonic=clock,
        now=clock.now,
        started=STARTED,
        work=work,
        limits=LIMITS,
    )


def whole(content: bytes) -> Body:
    return Body([content], announced=len(content))


QUESTION = PullMessagesRequest(node=Node(node_id=2**64 - 5)).SerializeToString()


def test_a_question_for_work_waits_until_there_is_some(inner: Inner, clock: Clock, members: Members) -> None:
    async def asked_and_then_work() -> int:
        work = Work(now=asyncio.Event())
        gate = holding(inner, clock, members, work)
        question = asyncio.create_task(asking(gate, PULL, peer=HOSPITAL, headers=signed(), body=whole(QUESTION)))
        await asyncio.sleep(0.05)
        assert (inner.reached, question.done()) == ([], False)
        assert work.asked == [2**64 - 5]
        assert work.now is not None
        work.now.set()
        return await question

    assert asyncio.run(asked_and_then_work()) == 200
    assert (inner.reached, inner.bodies) == ([PULL], [QUESTION])


def test_who_is_not_to_ask_yet_is_told_of_no_work_in_flowers_words(
    inner: Inner, clock: Clock, members: Members
) -> None:
    async def told() -> list[Message]:
        sent: list[Message] = []
        gate = holding(inner, clock, members, Work(there=False))
        await asking(gate, PULL, peer=HOSPITAL, headers=signed(), body=whole(QUESTION), sent=sent)
        return sent

    head, body = asyncio.run(told())
    assert (head["status"], inner.reached) == (200, [])
    assert (b"content-type", b"application/protobuf") in head["headers"]
    assert not PullMessagesResponse.FromString(body["body"]).messages_list


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/fleet/push-messages", QUESTION),
        ("/v1/fleet/send-node-heartbeat", QUESTION),
        ("/v1/fleet/pull-object", QUESTION),
        (PULL, b"\xff\xff\xff"),  # Flower says what is wrong with it
    ],
)
def test_nothing_else_waits(path: str, content: bytes, inner: Inner, clock: Clock, members: Members) -> None:
    async def told() -> int:
        gate = holding(inner, clock, members, Work(now=asyncio.Event()))
        async with asyncio.timeout(5):
            return await asking(gate, path, peer=HOSPITAL, headers=signed(), body=whole(content))

    assert asyncio.run(told()) == 200
    assert inner.reached == [path]


def test_no_stranger_is_held(inner: Inner, clock: Clock, members: Members) -> None:
    work = Work(now=asyncio.Event())
    assert ask(holding(inner, clock, members, work), PULL, peer=HOSPITAL, headers=signed(key=NOBODY)) == 401
    assert work.asked == []
