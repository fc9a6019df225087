"""Who may reach which part of a SuperLink, with how much, how fast? An ASGI middleware outside all of Flower's own.

Flower serves three APIs on one port and, in the open-source version, asks nobody who they are before it reads whole
requests, lists runs or registers nodes. So:

| path            | from                          | body, at most                               | and then      |
|-----------------|-------------------------------|---------------------------------------------|---------------|
| /health         | anywhere                      | none                                        |               |
| /v1/fleet/*     | who holds a member's node key | `LARGEST_BODY` to push-object; `SMALL_BODY` | Flower checks |
| /v1/runtime/*   | 127.0.0.1                     | `LARGEST_BODY`                              | Flower checks |
| /v1/control/*   | 127.0.0.1, with the token     | `LARGEST_BODY`                              |               |
| anything else   | nobody                        |                                             |               |

Flower checks that a node speaks for itself, and at the runtime API its own secret or a task's token.

A SuperNode signs nothing but the time, and Flower accepts that signature for five minutes under any body; so whoever
saw one request could speak for the hospital. The gate verifies the signature itself, with the keys of those who are
members at this moment (`member_keys`), before it reads a byte of the body, and remembers each (key, time) for as long
as Flower would accept it. What was signed before it started it cannot remember, so that is answered with 503: a node
signs anew and asks again. (A node whose clock is ahead leaves a rest: as many seconds before the start as it is ahead,
which Flower limits to 5.)

A body's length must be announced. It is read whole before any code of Flower's runs, within a time that follows from
its length; so is the answer taken. `LARGEST_BODY` follows from the protocol: Flower sends an answer's bytes as one
object, and a hospital's guard and relay, as well as the coordinator, pass no message above `wire_form.LARGEST_MESSAGE`
on (a model of 8 million weights; a plan may ask for more only where its messages still fit). All else that a node sends
are names and numbers.

One hospital does not take the SuperLink from the others: each key has its own allowance of requests, open at once and a
second, and of large bodies. Strangers have one for each address. (How many connections there may be: `door`.)

A hospital's question for work reaches Flower when there is some (`held_questions`).

When Flower fails inside (500: on a busy machine its SQLite says "database is locked"), the caller is told 503 instead:
upon 500 a SuperNode or a ServerApp ends itself, upon 503 it asks again. So 503 is also the answer to "not now".

Promises: the token is compared in constant time and never logged; a refused request reaches no Flower code, and its
body is not read. Memory is bounded: only members can fill what is remembered, at the rate of their allowance.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, verify_signature
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oncofed.protocol.wire_form import LARGEST_MESSAGE, WrongForm, parsed
from oncofed.server.deployment.allowance import Allowances, whose
from oncofed.server.deployment.door import Peer
from oncofed.server.deployment.folder import LOOPBACK
from oncofed.server.deployment.member_keys import key_bytes

ADMIN_HEADER = "x-oncofed-admin"
REMEMBERED_SECONDS = 330.0
"""Flower's tolerance is 300 s into the past and 5 s of clock difference either way."""
SMALL_BODY = 1024 * 1024
LARGEST_BODY = LARGEST_MESSAGE + SMALL_BODY
"""With room for the names around it."""

_FLEET = "/v1/fleet/"
_RUNTIME = "/v1/runtime/"
_CONTROL = "/v1/control/"
_HEALTH = "/health"
_PUSH, _PULL = "/v1/fleet/push-object", "/v1/fleet/pull-object"
_ASK = "/v1/fleet/pull-messages"
_CHUNK = 64 * 1024
_HOUR_SECONDS = 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GateLimits:
    """requests_of_a_key      open at once: a SuperNode has some threads.
    a_second_of_a_key      on average; `at_once_of_a_key` in a burst.
    large_of_a_key         bodies above `SMALL_BODY` at once; pulls_of_a_key: answers that may be as large.
    large_bytes            of all such bodies of hospitals at once.
    a_second_of_a_stranger requests without a member's key, of one address; `at_once_of_a_stranger` in a burst.
    patience_seconds       for a body to come or an answer to be taken, and as many more as it has
                           `slowest_bytes_a_second`.
    """

    requests_of_a_key: int = 16
    a_second_of_a_key: float = 50.0
    at_once_of_a_key: int = 500
    large_of_a_key: int = 1
    pulls_of_a_key: int = 4
    large_bytes: int = 8 * LARGEST_BODY
    a_second_of_a_stranger: float = 5.0
    at_once_of_a_stranger: int = 100
    patience_seconds: float = 20.0
    slowest_bytes_a_second: int = 64 * 1024


class Holders(Protocol):
    """The part of `member_keys.MemberKeys` that the gate needs."""

    def site_of(self, key: bytes) -> str | None:
        """The member whose key this is, or None."""


class Work(Protocol):
    """The part of `held_questions.HeldQuestions` that the gate needs."""

    async def is_there_work(self, node: int) -> bool:
        """False: the caller is to be told that there is none; which may take a while."""


class _Refused(Exception):
    """What the caller is told, and with which status."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.words, self.status = words, status


class Gate:
    """Wraps a SuperLink's app. For one event loop.

    monotonic  a clock in seconds. now, started: the time of day, with its zone.
    know       is told of each connection on which a hospital has shown that it is one, and which.
    work       says which questions for work are passed on; None: all, at once.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        admin_token: bytes,
        members: Holders,
        know: Callable[[Peer, str], None],
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        started: datetime,
        work: Work | None = None,
        limits: GateLimits = GateLimits(),
    ) -> None:
        self._app, self._work = app, work
        self._token_digest = hashlib.sha256(admin_token).digest()
        self._members, self._know = members, know
        self._monotonic, self._now, self._started = monotonic, now, started
        self._limits = limits
        self._seen: MutableMapping[tuple[bytes, str], float] = {}
        self._open: Counter[tuple[bytes, str]] = Counter()
        self._large_bytes = 0
        self._told_of_clock: dict[str, float] = {}
        self._of_keys = Allowances[bytes](
            a_second=limits.a_second_of_a_key, at_once=limits.at_once_of_a_key, clock=monotonic
        )
        self._of_strangers = Allowances[str](
            a_second=limits.a_second_of_a_stranger, at_once=limits.at_once_of_a_stranger, clock=monotonic
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer at once."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("a SuperLink speaks plain HTTP requests only")
        try:
            await self._admit(scope, receive, send)
        except _Refused as refused:
            # The rest of a body that nobody wants is not waited for.
            answer = PlainTextResponse(refused.words, refused.status, headers={"connection": "close"})
            await answer(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        length = _announced(scope)
        if path.startswith(_FLEET):
            await self._of_a_member(scope, receive, send, length)
        elif path.startswith((_RUNTIME, _CONTROL)):
            if _address(scope) != LOOPBACK:
                raise self._stranger(scope, "forbidden", 403)
            if path.startswith(_CONTROL):
                self._refuse_without_token(scope)
            _refuse_larger(length, LARGEST_BODY)
            answer = _ask_again_after_failures(send) if path.startswith(_RUNTIME) else send
            await self._pass_on(scope, receive, answer, length)
        elif path == _HEALTH:
            if _address(scope) != LOOPBACK and not self._of_strangers.take(_address(scope)):
                raise _Refused("too many requests", 503)
            _refuse_larger(length, 0)
            await self._pass_on(scope, receive, send, length)
        else:
            raise self._stranger(scope, "forbidden", 403)

    def _stranger(self, scope: Scope, words: str, status: int) -> _Refused:
        """Refused so, and counted."""
        self._of_strangers.take(_address(scope))
        return _Refused(words, status)

    def _refuse_without_token(self, scope: Scope) -> None:
        digests = [hashlib.sha256(value).digest() for value in _headers(scope, ADMIN_HEADER)]
        if len(digests) != 1 or not hmac.compare_digest(digests[0], self._token_digest):
            raise _Refused("the administrator's token is missing or wrong", 401)

    async def _of_a_member(self, scope: Scope, receive: Receive, send: Send, length: int) -> None:
        """Pass a fleet request on unless its signature is no member's, its signed time was used, or it is too much."""
        key, time = identity = self._identity(scope)
        if datetime.fromisoformat(time) < self._started:
            raise _Refused("signed before this server started", 503)
        now = self._monotonic()
        self._forget(now)
        if identity in self._seen:
            raise _Refused("this request was received before", 401)
        if not self._of_keys.take(key):
            raise _Refused("too many requests", 503)
        self._seen[identity] = now
        self._know(_peer(scope), key.hex())
        _refuse_larger(length, LARGEST_BODY if scope["path"] == _PUSH else SMALL_BODY)
        answer = _ask_again_after_failures(send)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                self._seen.pop(identity, None)
            await answer(message)

        with self._room_for(key, length, pulls=scope["path"] == _PULL):
            await self._pass_on(scope, receive, noting, length, asks=scope["path"] == _ASK)

    def _identity(self, scope: Scope) -> tuple[bytes, str]:
        """A member's key, in one encoding, and the time that it signed. Raises _Refused."""
        address = _address(scope)
        keys, times, signatures = (
            _headers(scope, name)
            for name in (FLEET_HTTP_PUBLIC_KEY_HEADER, TIMESTAMP_HEADER, FLEET_HTTP_SIGNATURE_HEADER)
        )
        # A signature takes a millisecond to verify, and members' public keys are no secret.
        if address != LOOPBACK and self._of_strangers.left(address) < 1:
            raise _Refused("too many requests without a member's key", 503)
        try:
            (sent,), (time,), (signature,) = keys, times, signatures
            key = bytes_to_public_key(b64decode(sent, validate=True))
            own = key_bytes(key) if isinstance(key, ec.EllipticCurvePublicKey) else b""
            age = (self._now() - datetime.fromisoformat(time.decode("ascii"))).total_seconds()
            site = self._members.site_of(own)
            signed = site is not None and verify_signature(key, time, b64decode(signature, validate=True))
            sound = signed and -SYSTEM_TIME_TOLERANCE < age < TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE
            if site is not None and signed and not sound:
                self._tell_of_clock(site, age)
        except (ValueError, TypeError, AttributeError):  # of whatever form it is, Flower cannot read it either
            sound = False
        if not sound:
            raise self._stranger(scope, "no member's key, or not its signature of the time", 401)
        return own, time.decode("ascii")

    def _tell_of_clock(self, site: str, age: float) -> None:
        """Once an hour for each hospital: what it signed may come again from whoever carries it."""
        now = self._monotonic()
        if now - self._told_of_clock.get(site, float("-inf")) < _HOUR_SECONDS:
            return
        self._told_of_clock[site] = now
        when = f"{age:.0f} s ago" if age > 0 else f"in {-age:.0f} s"
        _log.warning(
            "%s is refused: what it sent was signed %s by this machine's clock. Is one of the two clocks wrong? Their "
            "oncofed site doctor says so",
            site,
            when,
        )

    @contextmanager
    def _room_for(self, key: bytes, length: int, *, pulls: bool) -> Iterator[None]:
        limits, large = self._limits, length if length > SMALL_BODY else 0
        taken = [("request", limits.requests_of_a_key)]
        taken += [("large", limits.large_of_a_key)] * bool(large) + [("pull", limits.pulls_of_a_key)] * pulls
        if any(self._open[key, what] >= most for what, most in taken) or self._large_bytes + large > limits.large_bytes:
            raise _Refused("too much at once", 503)
        self._open.update((key, what) for what, _ in taken)
        self._large_bytes += large
        try:
            yield
        finally:
            self._large_bytes -= large
            self._open.subtract((key, what) for what, _ in taken)
            self._open = +self._open  # forgets what is not there any more

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, length: int, *, asks: bool = False) -> None:
        """With the whole body, once it is there; what Flower answers is sent piece by piece, as it is taken.

        asks: it is a question for work.
        """
        try:
            async with asyncio.timeout(self._seconds_for(length)):
                body = await _body(receive, length)
        except TimeoutError:
            raise _Refused("the body took too long", 408) from None
        if body is None:  # the caller is gone
            return
        if asks and not await self._is_there_work(body):
            await Response(PullMessagesResponse().SerializeToString(), media_type=PROTOBUF_MEDIA_TYPE)(
                scope, receive, send
            )
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        del body  # one copy is enough

        async def replayed() -> Message:
            return whole.pop() if whole else await receive()

        stalled = False

        async def patiently(message: Message) -> None:
            nonlocal stalled
            try:
                async with asyncio.timeout(self._seconds_for(len(message.get("body", b"")))):
                    for piece in () if stalled else _pieces(message):
                        await send(piece)
            except TimeoutError:  # an answer that is not whole when Flower is done ends the connection
                stalled = True

        await self._app(scope, replayed, patiently)

    async def _is_there_work(self, question: bytes) -> bool:
        try:
            node = parsed(PullMessagesRequest, question).node.node_id
        except WrongForm:  # Flower says what is wrong with it
            return True
        return self._work is None or await self._work.is_there_work(node)

    def _seconds_for(self, length: int) -> float:
        return self._limits.patience_seconds + length / self._limits.slowest_bytes_a_second

    def _forget(self, now: float) -> None:
        # Entries are in the order of their time, so the old ones are at the front.
        for identity, seen_at in list(_oldest(self._seen)):
            if now - seen_at <= REMEMBERED_SECONDS:
                break
            del self._seen[identity]


async def _body(receive: Receive, length: int) -> bytes | None:
    """All of it; None when the caller hung up. Raises _Refused for more than was announced."""
    taken = bytearray()  # no list: of a body that comes byte by byte it would be a hundred times as large
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        taken += message.get("body", b"")
        if len(taken) > length:
            raise _Refused("the body is longer than announced", 413)
        if not message.get("more_body", False):
            return bytes(taken)


def _pieces(message: Message) -> Iterator[Message]:
    """An answer in one piece would lie in memory until the caller has taken it, long after it counts as sent."""
    content: bytes = message.get("body", b"")
    if message["type"] != "http.response.body" or len(content) <= _CHUNK:
        yield message
        return
    for start in range(0, len(content), _CHUNK):
        more = start + _CHUNK < len(content) or message.get("more_body", False)
        yield {**message, "body": content[start : start + _CHUNK], "more_body": more}


def _announced(scope: Scope) -> int:
    """Bytes of the body to come. Raises _Refused."""
    lengths = _headers(scope, "content-length")
    if _headers(scope, "transfer-encoding"):
        raise _Refused("a body's length must be announced", 411)
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 15:
        raise _Refused("the body's length is no number", 400)
    return int(lengths[0])


def _refuse_larger(length: int, most: int) -> None:
    if length > most:
        raise _Refused(f"a body may have {most} bytes here", 413)


def _oldest(seen: MutableMapping[tuple[bytes, str], float]) -> Iterable[tuple[tuple[bytes, str], float]]:
    """A few at a time: each request adds one entry and may remove several."""
    return [entry for entry, _ in zip(seen.items(), range(8), strict=False)]


def _ask_again_after_failures(send: Send) -> Send:
    async def sent(message: Message) -> None:
        failed = message["type"] == "http.response.start" and message["status"] == 500
        await send({**message, "status": 503} if failed else message)

    return sent


def _headers(scope: Scope, name: str) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name.encode()]


def _peer(scope: Scope) -> Peer:
    """Who the socket says; never a header."""
    client = scope.get("client")
    return (str(client[0]), int(client[1])) if client else ("", 0)


def _address(scope: Scope) -> str:
    return whose(_peer(scope)[0])
