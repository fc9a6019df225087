"""Who is signed in, and which patients did this person open?

Sessions live in the server's memory under the hash of a random identifier that only the browser's cookie holds; a
restart ends them all. Each has a secret for its forms, and gives every patient that is opened a random word of its
own: an address says nothing of the patient, and means nothing in another session.

Promises: an identifier is made anew at each sign-in, so nobody can plant one; a session ends when it lies idle, after a
working day at most, and when the account's password or state changes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from oncofed.client.pages.accounts import Account, Role

_BYTES = 32
_MOST_SESSIONS = 1000
_MOST_PATIENTS = 2000
"""In one session: far more than a person opens in a day, and few enough to be no way to fill the memory."""


@dataclass(frozen=True)
class Timeouts:
    """In seconds."""

    idle: float = 15 * 60
    longest: float = 8 * 3600


@dataclass(eq=False)
class Session:
    """form_secret: stands in each form. opened: the row of each patient by its word, in the order of opening."""

    account: str
    role: Role
    version: int
    began: float
    last_seen: float
    form_secret: str = field(default_factory=lambda: secrets.token_urlsafe(_BYTES))
    opened: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def word_for(self, row: int) -> str:
        """The word of a patient in this session, the same each time it is opened."""
        word = next((word for word, each in self.opened.items() if each == row), None)
        if word is None:
            word = secrets.token_urlsafe(16)
            self.opened[word] = row
            if len(self.opened) > _MOST_PATIENTS:
                self.opened.popitem(last=False)
        self.opened.move_to_end(word)
        return word

    def row_of(self, word: str) -> int | None:
        """None for a word that is not of this session."""
        return self.opened.get(word)

    def is_own_form(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode(), self.form_secret.encode())


class Sessions:
    """All of them. clock: seconds, monotonic."""

    def __init__(self, *, clock: Callable[[], float], timeouts: Timeouts | None = None) -> None:
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._by_hash: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, account: Account) -> str:
        """A new session's identifier, for the cookie."""
        identifier, now = secrets.token_urlsafe(_BYTES), self._clock()
        with self._lock:
            self._forget_old(now)
            self._by_hash[_hash(identifier)] = Session(account.name, account.role, account.version, now, now)
            if len(self._by_hash) > _MOST_SESSIONS:
                self._by_hash.popitem(last=False)
        return identifier

    def find(self, identifier: str, *, account: Callable[[str], Account | None]) -> Session | None:
        """The session, seen now; None when it is unknown, over, or its account has changed. account: by name."""
        now, key = self._clock(), _hash(identifier)
        with self._lock:
            self._forget_old(now)
            session = self._by_hash.get(key)
            if session is None:
                return None
            present = account(session.account)
            if present is None or present.version != session.version or present.role is not session.role:
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
