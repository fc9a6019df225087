"""What holds for every request and every answer of pages that are served on this machine, whichever page it is?

Each end says which requests it refuses before anything else sees them; `has_other_host` is for both: a host name that
is not ours (another site's name that was made to lead here). Every answer carries the same strict headers; pages are
never kept by a browser or proxy. What fails inside becomes a page without details; the log gets the kind and the place
of the failure, and no text of it, which might quote a patient.

The access log names the method, the page's pattern, the answer's status and the time that it took: no address as it
was asked for, no query.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Refuses = Callable[[Scope], str | None]
"""Why a request is refused, in a word; None where it is not."""


def content_policy(*, connect: str = "'none'") -> str:
    """connect: what a page's script may ask for."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src data:",  # the way from a picture to a PNG, and a page's icon
            f"connect-src {connect}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


HEADERS: Mapping[str, str] = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_POLICY = "content-security-policy"
_NOT_KEPT = "no-store"
_KEPT = "public, max-age=86400"
_STATIC = "/static/"
_FAILED = "Something failed here. It was noted; please tell whoever runs these pages."


def has_other_host(scope: Scope, hosts: Collection[str]) -> bool:
    """Whether the request names another host than these."""
    return Headers(scope=scope).get("host", "") not in hosts


class Shield:
    """ASGI middleware, outermost. told: of each refusal. policy: of pages that name none of their own."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        refuses: Refuses,
        told: Callable[[str], None],
        log: logging.Logger,
        policy: str,
    ) -> None:
        self._app = app
        self._refuses = refuses
        self._told = told
        self._log = log
        self._policy = policy

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
                headers.setdefault(_POLICY, self._policy)
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
                self._told(reason)
                answer = PlainTextResponse("These pages are not for this address or user.", status_code=421)
                await answer(scope, receive, with_headers)
        except Exception as failure:  # whatever it is, its text must reach neither the reader nor the log
            self._log.error("a page failed: %s at %s", type(failure).__name__, _place(failure))
            if not sent:
                await PlainTextResponse(_FAILED, status_code=500)(scope, receive, with_headers)
        finally:
            milliseconds = 1000 * (time.monotonic() - began)
            self._log.info("%s %s %d %.0f ms", _method(scope), _pattern(scope), status, milliseconds)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"


def _pattern(scope: Scope) -> str:
    """Such as /patients/{word}, or the name of what answers; never the address itself."""
    route, endpoint = scope.get("route"), scope.get("endpoint")
    return str(getattr(route, "path", None) or getattr(endpoint, "__name__", "(no page)"))


def _place(failure: BaseException) -> str:
    frames = traceback.extract_tb(failure.__traceback__)
    return "unknown" if not frames else f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
