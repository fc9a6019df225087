"""Is what happens again worth another line of the audit log? At its first time, and then once an hour.

A coordinator offers a plan every few seconds for as long as it waits for approvals; a hundred equal lines would hide
the one that matters; and whoever carries questions can deliver one that was answered without end.

Promises: what differs in anything is told at once, up to `MOST` different things within an hour. Of more, which only
somebody makes who wants to fill the disk, their number is told, each time that it has doubled and when the hour is
over: so the log is never silent about a flood, and a flood cannot fill it. What nobody can multiply (`first_of`) always
has room once. When the log could not be written, the next time counts as the first. A new process has seen nothing yet.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

PAUSE_SECONDS = 3600.0
MOST = 100
NOT_NOTED = "not_noted"
"""The event that tells how many things more there were within the hour."""

_log = logging.getLogger(__name__)


class Repeats:
    """For several threads. count: writes how many were not noted; clock: seconds that never go back."""

    def __init__(
        self,
        count: Callable[[int], None],
        *,
        pause_seconds: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._noted: OrderedDict[bytes, float] = OrderedDict()
        self._few: OrderedDict[bytes, float] = OrderedDict()
        self._more, self._told, self._more_since = 0, 0, 0.0
        self._lock = threading.Lock()

    def note(self, what: object, write: Callable[[], None], *, first_of: object = None) -> None:
        """Calls `write` unless `what` was noted within the pause. What `write` raises is raised, and nothing noted.

        what      told from others by its `repr`, of which a hash is kept: it may hold anything from outside.
        first_of  one of a few things that nobody can multiply, to which `what` belongs: each has room once, whatever
                  else there is. None: of none.
        """
        key, few = _hash_of(what), None if first_of is None else _hash_of((first_of,))
        with self._lock:
            now = self._clock()
            for noted in (self._noted, self._few):
                while noted and now - next(iter(noted.values())) >= self._pause_seconds:
                    noted.popitem(last=False)
            if self._more and now - self._more_since >= self._pause_seconds:
                self._tell()
                self._more = self._told = 0
            if key in self._noted or key in self._few:
                return
            if few is None or few in self._few:
                if len(self._noted) >= MOST:
                    self._one_more(now)
                    return
                write()
                self._noted[key] = now
            else:
                write()
                self._few[key] = self._few[few] = now

    def _one_more(self, now: float) -> None:
        if not self._more:
            _log.warning("more than %d different things an hour: the rest is counted", MOST)
            self._more_since = now
        self._more += 1
        if self._more >= 2 * self._told:
            self._tell()

    def _tell(self) -> None:
        if self._more != self._told:
            self._count(self._more)
            self._told = self._more


def _hash_of(what: object) -> bytes:
    return hashlib.sha256(repr(what).encode("utf-8", "surrogatepass")).digest()
