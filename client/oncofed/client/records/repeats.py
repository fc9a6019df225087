"""Is what happens again worth another line of the audit log? At its first time, and then once an hour.

A coordinator offers a plan every few seconds for as long as it waits for approvals; a hundred equal lines would hide
the one that matters. Whatever leaves is never counted as a repetition, and does not come here; a state or a refusal's
code, which are words of a fixed list, does.

Promises: what differs in anything is told at once, up to `MOST` different things within an hour. Of more, which only
somebody makes who wants to fill the disk, their number is told, each time that it has doubled and when the hour is
over: so the log is never silent about a flood, and a flood cannot fill it. What nobody can multiply (`of_few`) always
has room. When the log could not be written, the next time counts as the first. A new process has seen nothing yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

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
        self._noted: OrderedDict[Hashable, float] = OrderedDict()
        self._few: OrderedDict[Hashable, float] = OrderedDict()
        self._more, self._told, self._more_since = 0, 0, 0.0
        self._lock = threading.Lock()

    def note(self, what: Hashable, write: Callable[[], None], *, of_few: bool = False) -> None:
        """Calls `write` unless `what` was noted within the pause. What `write` raises is raised, and nothing noted.

        of_few  `what` is one of a few fixed things, however often and by whomever they are brought about.
        """
        with self._lock:
            now = self._clock()
            for noted in (self._noted, self._few):
                while noted and now - next(iter(noted.values())) >= self._pause_seconds:
                    noted.popitem(last=False)
            if self._more and now - self._more_since >= self._pause_seconds:
                self._tell()
                self._more = self._told = 0
            noted = self._few if of_few else self._noted
            if what in noted:
                return
            if not of_few and len(noted) >= MOST:
                self._one_more(now)
                return
            write()
            noted[what] = now

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
