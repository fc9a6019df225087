"""Who may reach which part of a SuperLink? An ASGI middleware outside all of Flower's own.

Flower serves three APIs on one port and, in the open-source version, asks nobody who they are before they list runs or
register nodes. So:

| path            | from                                       | and then                                          |
|-----------------|--------------------------------------------|---------------------------------------------------|
| /health         | anywhere                                   |                                                   |
| /v1/fleet/*     | anywhere; each signed timestamp only once  | Flower checks the node's signature                |
| /v1/runtime/*   | loopback                                   | Flower checks the SuperExec secret or a task token|
| /v1/control/*   | loopback, with the administrator's token   |                                                   |
| anything else   | nobody                                     |                                                   |

A SuperNode signs nothing but the time, and Flower accepts that signature for five minutes under any body; so whoever
saw one request could speak for the hospital. The gate remembers each (key, time) for as long as Flower would accept it.
What was signed before it started it cannot remember, so that is answered with 503: a node signs anew and asks again. (A
node whose clock is ahead leaves a rest: as many seconds before the start as it is ahead, which Flower limits to 5.)

When Flower fails inside (500: on a busy machine its SQLite says "database is locked"), the caller is told 503 instead:
upon 500 a SuperNode or a ServerApp ends itself, upon 503 it asks again.

Promises: the token is compared in constant time and never logged; a refused request reaches no Flower code. Memory is
bounded: what Flower refuses as unauthenticated is forgotten at once, so only enrolled nodes can fill it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from base64 import b64decode
from collections.abc import Callable, Iterable, MutableMapping
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADMIN_HEADER = "x-oncofed-admin"
REMEMBERED_SECONDS = 330.0
"""Flower's tolerance is 300 s into the past and 5 s of clock difference either way."""

_FLEET = "/v1/fleet/"
_RUNTIME = "/v1/runtime/"
_CONTROL = "/v1/control/"
_HEALTH = "/health"


class Gate:
    """Wraps a SuperLink's app. `monotonic` is a clock in seconds; `started` the time of day, with its zone."""

    def __init__(self, app: ASGIApp, *, admin_token: bytes, monotonic: Callable[[], float], started: datetime) -> None:
        self._app = app
        self._token_digest = hashlib.sha256(admin_token).digest()
        self._monotonic = monotonic
        self._started = started
        self._seen: MutableMapping[tuple[bytes, str], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401 or 403 at once."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("a SuperLink speaks plain HTTP requests only")
        refusal = self._refusal(scope)
        if refusal is not None:
            await PlainTextResponse(*refusal)(scope, receive, send)
        elif scope["path"].startswith(_FLEET):
            await self._once(scope, receive, _ask_again_after_failures(send))
        elif scope["path"].startswith(_RUNTIME):
            await self._app(scope, receive, _ask_again_after_failures(send))
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[str, int] | None:
        path: str = scope["path"]
        if path == _HEALTH or path.startswith(_FLEET):
            return None
        if path.startswith(_RUNTIME) and _from_loopback(scope):
            return None
        if path.startswith(_CONTROL) and _from_loopback(scope):
            given = _headers(scope, ADMIN_HEADER)
            digests = [hashlib.sha256(value).digest() for value in given]
            if len(digests) == 1 and hmac.compare_digest(digests[0], self._token_digest):
                return None
            return "the administrator's token is missing or wrong", 401
        return "forbidden", 403

    async def _once(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a fleet request on unless its signed time was used before."""
        identity = _identity(scope)
        if identity is None:  # Flower refuses what carries no key, or two
            await self._app(scope, receive, send)
            return
        if _signed_before(self._started, identity[1]):
            await PlainTextResponse("signed before this server started", 503)(scope, receive, send)
            return
        now = self._monotonic()
        self._forget(now)
        if identity in self._seen:
            await PlainTextResponse("this request was received before", 401)(scope, receive, send)
            return
        self._seen[identity] = now

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                self._seen.pop(identity, None)
            await send(message)

        await self._app(scope, receive, noting)

    def _forget(self, now: float) -> None:
        # Entries are in the order of their time, so the old ones are at the front.
        for identity, seen_at in list(_oldest(self._seen)):
            if now - seen_at <= REMEMBERED_SECONDS:
                break
            del self._seen[identity]


def _oldest(seen: MutableMapping[tuple[bytes, str], float]) -> Iterable[tuple[tuple[bytes, str], float]]:
    """A few at a time: each request adds one entry and may remove several."""
    return [entry for entry, _ in zip(seen.items(), range(8), strict=False)]


def _identity(scope: Scope) -> tuple[bytes, str] | None:
    keys, times = _headers(scope, FLEET_HTTP_PUBLIC_KEY_HEADER), _headers(scope, TIMESTAMP_HEADER)
    if len(keys) != 1 or len(times) != 1:
        return None
    try:
        # One key has several encodings; what is remembered must not depend on the one chosen.
        key = load_pem_public_key(b64decode(keys[0], validate=True))
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), times[0].decode("ascii")
    except ValueError:
        return None


def _ask_again_after_failures(send: Send) -> Send:
    async def sent(message: Message) -> None:
        failed = message["type"] == "http.response.start" and message["status"] == 500
        await send({**message, "status": 503} if failed else message)

    return sent


def _signed_before(started: datetime, time: str) -> bool:
    try:
        return datetime.fromisoformat(time) < started
    except (ValueError, TypeError):  # no time, or one without a zone: Flower cannot read it either
        return False


def _headers(scope: Scope, name: str) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name.encode()]


def _from_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    if not client:
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
