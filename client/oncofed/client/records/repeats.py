"""Is what happens again worth another line of the audit log? At its first time, and then once an hour.

A coordinator offers a plan every few seconds for as long as it waits for approvals; a hundred equal lines would hide
the one that matters. A vector that leaves is never counted as a repetition: only fixed words, and a plan's one public
masking key, may go unnoted.

Promises: what differs in anything is told at once, up to `MOST` different things within an hour; of more, which only
somebody makes who wants to fill the disk, nothing is told until the hour is over. When the log could not be written,
the next time counts as the first. A new process has seen nothing yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

PAUSE_SECONDS = 3600.0
MOST = 100

_log = logging.getLogger(__name__)


class Repeats:
    """For several threads. clock: seconds that never go back."""

    def __init__(self, *, pause_seconds: float = PAUSE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._noted: OrderedDict[Hashable, float] = OrderedDict()
        self._full = False
        self._lock = threading.Lock()

    def note(self, what: Hashable, write: Callable[[], None]) -> None:
        """Calls `write` unless `what` was noted within the pause. What `write` raises is raised, and nothing noted."""
        with self._lock:
            now = self._clock()
            while self._noted and now - next(iter(self._noted.values())) >= self._pause_seconds:
                self._noted.popitem(last=False)
            if what in self._noted:
                return
            if len(self._noted) >= MOST:
                if not self._full:
                    _log.warning("more than %d different things an hour: no more of them are noted", MOST)
                self._full = True
                return
            write()
            self._noted[what] = now
            self._full = False
