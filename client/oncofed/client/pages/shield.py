"""What holds for every request and every answer, whichever page it is about?

Refused before anything else sees it: a host name that is not ours (another site's name that was made to lead here),
and a connection of the users that run what the coordinator sends, or one of which the system does not say whose it
is. Every answer carries the same strict headers; pages are never kept by a browser or proxy. What fails inside
becomes a page without details; the log gets the kind and the place of the failure, and no text of it, which might
quote a patient.

The access log names the method, the page's pattern, the answer's status and the time that it took: no address as it
was asked for, no query.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oncofed.client.pages.desk import Desk
from oncofed.client.pages.peer_user import UserOf, ends_of, peer_of
from oncofed.client.pages.viewing_record import HOST, NODE_USER, UNKNOWN_USER

_log = logging.getLogger("oncofed.client.pages")

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src data:",  # the way from a picture to a PNG, and a page's icon
        "connect-src 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_NOT_KEPT = "no-store"
_KEPT = "public, max-age=86400"
_STATIC = "/static/"
_FAILED = "Something failed here. It was noted; please tell whoever runs these pages."


class Shield:
    """ASGI middleware, outermost. user_of: of a connection's two ends, who made it, or None when that is not known.

    What the desk needs to know of a connection, its peer, stands in the request's state.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        desk: Desk,
        refused_users: frozenset[int],
        user_of: UserOf,
    ) -> None:
        self._app = app
        self._desk = desk
        self._refused_users = refused_users
        self._user_of = user_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500
        sent = False

        async def with_headers(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status, sent = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                kept = scope["path"].startswith(_STATIC) and status == 200
                headers["cache-control"] = _KEPT if kept else _NOT_KEPT
            await send(message)

        try:
            reason = self._refuses(scope)
            if reason is None:
                await self._app(scope, receive, with_headers)
            else:
                self._desk.record.refused("", reason)
                answer = PlainTextResponse("These pages are not for this address or user.", status_code=421)
                await answer(scope, receive, with_headers)
        except Exception as failure:  # whatever it is, its text must reach neither the reader nor the log
            _log.error("a page failed: %s at %s", type(failure).__name__, _place(failure))
            if not sent:
                await PlainTextResponse(_FAILED, status_code=500)(scope, receive, with_headers)
        finally:
            milliseconds = 1000 * (time.monotonic() - began)
            _log.info("%s %s %d %.0f ms", _method(scope), _pattern(scope), status, milliseconds)

    def _refuses(self, scope: Scope) -> str | None:
        host = Headers(scope=scope).get("host", "")
        if host not in self._desk.hosts:
            return HOST
        ends = ends_of(scope)
        asked = self._refused_users or scope["method"] == "POST"
        user = self._user_of(*ends) if asked and ends is not None else None
        if self._refused_users and ends is not None:
            if user is None:
                _log.warning("a connection was refused: the system does not say which user of this machine made it")
                return UNKNOWN_USER
            if user in self._refused_users:
                return NODE_USER
        scope.setdefault("state", {})["peer"] = peer_of(scope, user)
        return None


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"


def _pattern(scope: Scope) -> str:
    """Such as /patients/{word}; never the address itself."""
    route = scope.get("route")
    return str(getattr(route, "path", "(no page)"))


def _place(failure: BaseException) -> str:
    frames = traceback.extract_tb(failure.__traceback__)
    return "unknown" if not frames else f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
