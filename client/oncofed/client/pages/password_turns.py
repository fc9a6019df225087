"""Who may have a password checked now? Around every scrypt of the pages: sign-in, change of a password, new accounts.

One check takes 128 MiB and a quarter of a second of a processor, so two run at once and no more. Who comes is known
by the *peer*: the browser's address behind a proxy, the user of this machine on loopback. So that nobody shuts out
anybody else:

- wrong passwords make a name wait *at this peer*: three tries, then twice as long each time. From elsewhere the same
  name is let in;
- a peer has one check at a time, and so many that fail in a minute, whatever names it gives;
- of the two checks at once, one at most is for peers at which nobody has signed in since the start: however many
  strangers come, those who work here are waited for by each other alone. Who does not get a turn within some seconds
  is asked to try again.

What is kept has a limit; the oldest is forgotten.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_AT_ONCE = 2
_STRANGERS_AT_ONCE = 1
_MOST_WAITING, _MOST_OF_A_PEER = 16, 3
_LONGEST_WAIT_SECONDS = 5.0
_MOST_KEPT = 10_000


class NoTurn(Exception):
    """Not now. seconds: after which it is worth while to try again."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(seconds)


class PasswordTurns:
    """All turns of one server. clock: seconds, monotonic."""

    FREE_TRIES = 3
    LONGEST_SECONDS = 300.0
    AT_A_TIME = 10
    SECONDS_FOR_ONE = 6.0
    """A peer's turns: so many in a row, then one each so many seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._failures: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._turns: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._of_peer: Counter[bytes] = Counter()
        self._served: set[bytes] = set()
        self._running = {True: 0, False: 0}
        self._waiting = {True: 0, False: 0}

    @contextmanager
    def turn(self, name: str, peer: str) -> Iterator[None]:
        """Scrypt may run inside, for this name. Raises NoTurn."""
        who, whose = _mark(peer), _mark(peer, name)
        with self._changed:
            left = self._seconds_left(whose)
            if left > 0:
                raise NoTurn(left)
            known = who in self._known
            if self._waiting[known] >= _MOST_WAITING or self._of_peer[who] >= _MOST_OF_A_PEER:
                raise NoTurn(_LONGEST_WAIT_SECONDS)
            self._take(who)
            self._waiting[known] += 1
            self._of_peer[who] += 1
            got = self._changed.wait_for(lambda: self._is_free(who, known), _LONGEST_WAIT_SECONDS)
            self._waiting[known] -= 1
            if not got:
                self._leave(who)
                raise NoTurn(_LONGEST_WAIT_SECONDS)
            self._served.add(who)
            self._running[known] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[known] -= 1
                self._served.discard(who)
                self._leave(who)
                self._changed.notify_all()

    @property
    def running(self) -> int:
        """How many checks run now."""
        return sum(self._running.values())

    def failed(self, name: str, peer: str) -> None:
        """A wrong password."""
        whose = _mark(peer, name)
        with self._changed:
            failures, _ = self._failures.pop(whose, (0, 0.0))
            self._failures[whose] = (failures + 1, self._clock())
            _forget_oldest(self._failures)

    def succeeded(self, name: str, peer: str) -> None:
        """The right one: the peer is no stranger any more."""
        with self._changed:
            who = _mark(peer)
            self._failures.pop(_mark(peer, name), None)
            self._known[who] = None
            self._known.move_to_end(who)
            _forget_oldest(self._known)
            if who in self._turns:
                turns, since = self._turns[who]
                self._turns[who] = (min(turns + 1, float(self.AT_A_TIME)), since)

    def _seconds_left(self, whose: bytes) -> float:
        failures, last = self._failures.get(whose, (0, 0.0))
        if failures < self.FREE_TRIES:
            return 0.0
        wait = min(2.0 ** (failures - self.FREE_TRIES), self.LONGEST_SECONDS)
        return max(0.0, last + wait - self._clock())

    def _take(self, who: bytes) -> None:
        """One of the peer's turns. Raises NoTurn."""
        now = self._clock()
        turns, since = self._turns.pop(who, (float(self.AT_A_TIME), now))
        turns = min(float(self.AT_A_TIME), turns + (now - since) / self.SECONDS_FOR_ONE)
        self._turns[who] = (turns - 1 if turns >= 1 else turns, now)
        _forget_oldest(self._turns)
        if turns < 1:
            raise NoTurn((1 - turns) * self.SECONDS_FOR_ONE)

    def _is_free(self, who: bytes, known: bool) -> bool:
        if sum(self._running.values()) >= _AT_ONCE or who in self._served:
            return False
        return known or self._running[False] < _STRANGERS_AT_ONCE

    def _leave(self, who: bytes) -> None:
        self._of_peer[who] -= 1
        if not self._of_peer[who]:
            del self._of_peer[who]


def _forget_oldest(kept: OrderedDict[bytes, Any]) -> None:
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)


def _mark(*parts: str) -> bytes:
    """So that nothing that people typed is kept."""
    found = hashlib.sha256()
    for part in parts:
        written = part.encode("utf-8", "surrogatepass")
        found.update(len(written).to_bytes(8, "big") + written)
    return found.digest()
