"""Does the gate let through exactly what its table says?"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.types import Message, Receive, Scope, Send

from oncofed.server.deployment.gate import ADMIN_HEADER, REMEMBERED_SECONDS, Gate

TOKEN = b"the-administrator"
HOSPITAL = "192.0.2.7"
STARTED = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP384R1()).public_key()


class Inner:
    """Flower's app: notes what reaches it and answers with `status`."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["path"])
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(inner: Inner, clock: Clock) -> Gate:
    return Gate(inner, admin_token=TOKEN, monotonic=clock, started=STARTED)


def ask(
    gate: Gate, path: str, *, peer: str | None = "127.0.0.1", headers: Mapping[str, str] | None = None, twice: str = ""
) -> int:
    """The status of one POST. twice: a header that is sent a second time."""
    sent: list[Message] = []
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    pairs += [pair for pair in pairs if pair[0].decode() == twice]
    scope = {"type": "http", "method": "POST", "path": path, "headers": pairs, "client": peer and (peer, 4711)}

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    return int(sent[0]["status"])


def signed(time: str, encoding: Encoding = Encoding.PEM) -> dict[str, str]:
    key = KEY.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return {"flwr-public-key": b64encode(key).decode(), "flwr-timestamp": time, "flwr-signature": "AAAA"}


@pytest.mark.parametrize("path", ["/health", "/v1/fleet/pull-messages"])
def test_a_hospital_reaches_fleet_and_health(gate: Gate, path: str) -> None:
    assert ask(gate, path, peer=HOSPITAL) == 200


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
@pytest.mark.parametrize("peer", [HOSPITAL, "::ffff:192.0.2.7", "2001:db8::1", "unix:", None])
def test_a_hospital_reaches_nothing_else_even_with_the_token(
    gate: Gate, inner: Inner, path: str, peer: str | None
) -> None:
    assert ask(gate, path, peer=peer, headers={ADMIN_HEADER: TOKEN.decode()}) == 403
    assert inner.reached == []


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/v2/control/list-runs"])
def test_nobody_reaches_what_is_not_in_the_table(gate: Gate, path: str) -> None:
    assert ask(gate, path, headers={ADMIN_HEADER: TOKEN.decode()}) == 403


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1"])
def test_administration_is_from_loopback_with_the_token(gate: Gate, peer: str) -> None:
    assert ask(gate, "/v1/control/list-runs", peer=peer, headers={ADMIN_HEADER: TOKEN.decode()}) == 200


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


def test_a_signed_time_counts_once(gate: Gate, inner: Inner) -> None:
    assert ask(gate, "/v1/fleet/pull-messages", peer=HOSPITAL, headers=signed("12:00")) == 200
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=signed("12:00")) == 401
    assert ask(gate, "/v1/fleet/pull-messages", peer=HOSPITAL, headers=signed("12:01")) == 200
    assert len(inner.reached) == 2


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5))])
def test_what_was_signed_before_a_restart_is_to_be_signed_anew(zone: timezone, gate: Gate, inner: Inner) -> None:
    """The gate of the process before may have let it through; not 401, upon which a SuperNode ends itself."""
    before, after = ((STARTED + timedelta(seconds=each)).astimezone(zone).isoformat() for each in (-0.001, 0.001))
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=signed(before)) == 503
    assert inner.reached == []
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=signed(after)) == 200
    assert ask(gate, "/v1/fleet/push-messages", peer=HOSPITAL, headers=signed(after)) == 401


@pytest.mark.parametrize(("path", "headers"), [("/v1/fleet/pull-messages", True), ("/v1/runtime/push-messages", False)])
def test_a_failure_inside_flower_is_to_be_asked_again(path: str, headers: bool, gate: Gate, inner: Inner) -> None:
    """Upon 500 a SuperNode and a ServerApp end themselves; SQLite gives one when the machine is busy."""
    for status, told in ((500, 503), (404, 404), (200, 200)):
        inner.status = status
        assert ask(gate, path, headers=signed(f"time {status}") if headers else {}) == told


def test_the_same_key_written_otherwise_is_the_same_key(gate: Gate) -> None:
    other = signed("12:00")
    pem = KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    other["flwr-public-key"] = b64encode(b"a comment\n" + pem + b"\n").decode()
    assert ask(gate, "/v1/fleet/pull-messages", headers=signed("12:00")) == 200
    assert ask(gate, "/v1/fleet/pull-messages", headers=other) == 401


def test_what_flower_refused_is_not_remembered(gate: Gate, inner: Inner) -> None:
    inner.status = 401
    assert ask(gate, "/v1/fleet/pull-messages", headers=signed("12:00")) == 401
    assert len(gate._seen) == 0
    inner.status = 200
    assert ask(gate, "/v1/fleet/pull-messages", headers=signed("12:00")) == 200


def test_memory_holds_no_more_than_the_time_flower_accepts(gate: Gate, clock: Clock) -> None:
    for number in range(40):
        assert ask(gate, "/v1/fleet/pull-messages", headers=signed(f"time {number}")) == 200
    clock.seconds += REMEMBERED_SECONDS + 1
    for number in range(10):
        assert ask(gate, "/v1/fleet/pull-messages", headers=signed(f"later {number}")) == 200
    assert len(gate._seen) == 10


def test_other_protocols_are_refused(gate: Gate) -> None:
    async def nothing() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="plain HTTP"):
        asyncio.run(gate({"type": "websocket", "path": "/v1/fleet/x", "headers": []}, nothing, send))
