"""Who is signed in at a hospital, and which patients did this person open?

A session (`local_pages.sessions`) gives every patient that is opened a random word of its own: an address says nothing
of the patient, and means nothing in another session. It ends when the account's password or state changes, too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from oncofed.client.launch.launches import UnderWay
from oncofed.client.pages.accounts import Account, Role
from oncofed.local_pages.sessions import KeptSessions, OneSession

_MOST_PATIENTS = 2000
"""In one session: far more than a person opens in a day, and few enough to be no way to fill the memory."""


_MOST_OF_ACCOUNT = 100
"""Sessions at a time: nobody signs on so often that the sessions of all others are forgotten."""


class Way(StrEnum):
    """By which somebody has signed in, as it stands in the audit log."""

    PASSWORD = "by_password"  # noqa: S105 - a word of the log
    PROXY = "by_proxy"


@dataclass(eq=False, kw_only=True)
class Session(OneSession):
    """opened: the row of each patient by its word, in the order of opening. launches: that it has begun."""

    account: str
    way: Way = Way.PASSWORD
    role: Role
    version: int
    opened: OrderedDict[str, int] = field(default_factory=OrderedDict)
    launches: UnderWay = field(default_factory=UnderWay)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)  # a browser has many tabs

    def seal(self, what: str) -> str:
        """What only this session's own page could have written beside `what`."""
        return hmac.new(self.form_secret.encode(), what.encode(), hashlib.sha256).hexdigest()

    def word_for(self, row: int) -> str:
        """The word of a patient in this session, the same each time it is opened."""
        with self._lock:
            word = next((word for word, each in self.opened.items() if each == row), None)
            if word is None:
                word = secrets.token_urlsafe(16)
                self.opened[word] = row
                if len(self.opened) > _MOST_PATIENTS:
                    self.opened.popitem(last=False)
            self.opened.move_to_end(word)
            return word

    def words_for(self, rows: Iterable[int]) -> list[str]:
        """Of several who are listed: who was opened before stays where it was among those."""
        with self._lock:
            known = {row: word for word, row in self.opened.items()}
        return [known.get(row) or self.word_for(row) for row in rows]

    def last_opened(self) -> list[tuple[str, int]]:
        """Word and row of each patient, the last one first."""
        with self._lock:
            return list(reversed(self.opened.items()))

    def row_of(self, word: str) -> int | None:
        """None for a word that is not of this session."""
        return self.opened.get(word)


class Sessions(KeptSessions[Session]):
    """All of a hospital's pages."""

    def begin(self, account: Account, way: Way = Way.PASSWORD) -> str:
        """A new session's identifier, for the cookie. Of too many of one account the oldest ends."""
        with self._lock:
            own = [key for key, session in self._by_hash.items() if session.account == account.name]
            for key in own[: max(0, len(own) - _MOST_OF_ACCOUNT + 1)]:
                del self._by_hash[key]
        who, role, version = account.name, account.role, account.version
        return self.keep(
            lambda now: Session(account=who, way=way, role=role, version=version, began=now, last_seen=now)
        )

    def find(self, identifier: str, *, account: Callable[[str], Account | None]) -> Session | None:
        """The session, seen now; None when it is unknown, over, or its account has changed. account: by name."""

        def holds(session: Session) -> bool:
            present = account(session.account)
            return present is not None and present.version == session.version and present.role is session.role

        return self.kept(identifier, holds=holds)
