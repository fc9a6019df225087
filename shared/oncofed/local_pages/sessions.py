"""Who is signed in?

Sessions live in the server's memory under the hash of a random identifier that only the browser's cookie holds; a
restart ends them all. Each has a secret for its forms.

Promises: an identifier is made anew at each sign-in, so nobody can plant one; a session ends when it lies idle, after a
working day at most, and when what let it begin holds no longer.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_BYTES = 32
_MOST_SESSIONS = 1000


@dataclass(frozen=True)
class Timeouts:
    """In seconds."""

    idle: float = 15 * 60
    longest: float = 8 * 3600


@dataclass(eq=False, kw_only=True)
class OneSession:
    """began, last_seen: by the clock of all of them. form_secret: stands in each form."""

    began: float
    last_seen: float
    form_secret: str = field(default_factory=lambda: secrets.token_urlsafe(_BYTES))

    def is_own_form(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode(), self.form_secret.encode())


SessionT = TypeVar("SessionT", bound=OneSession)


class KeptSessions(Generic[SessionT]):
    """All of them. clock: seconds, monotonic."""

    def __init__(self, *, clock: Callable[[], float], timeouts: Timeouts | None = None) -> None:
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._by_hash: OrderedDict[str, SessionT] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, made: Callable[[float], SessionT]) -> str:
        """A new session's identifier, for the cookie. made: of now."""
        identifier, now = secrets.token_urlsafe(_BYTES), self._clock()
        with self._lock:
            self._forget_old(now)
            self._by_hash[_hash(identifier)] = made(now)
            if len(self._by_hash) > _MOST_SESSIONS:
                self._by_hash.popitem(last=False)
        return identifier

    def kept(self, identifier: str, *, holds: Callable[[SessionT], bool]) -> SessionT | None:
        """The session, seen now; None when it is unknown, over, or `holds` no longer, which ends it."""
        now, key = self._clock(), _hash(identifier)
        with self._lock:
            self._forget_old(now)
            session = self._by_hash.get(key)
            if session is None:
                return None
            if not holds(session):
                del self._by_hash[key]
                return None
            session.last_seen = now
            return session

    def end(self, identifier: str) -> None:
        with self._lock:
            self._by_hash.pop(_hash(identifier), None)

    def _forget_old(self, now: float) -> None:
        limits = self._timeouts
        over = [
            key
            for key, session in self._by_hash.items()
            if now - session.last_seen > limits.idle or now - session.began > limits.longest
        ]
        for key in over:
            del self._by_hash[key]


def _hash(identifier: str) -> str:
    return hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
