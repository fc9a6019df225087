"""Is what happens again worth another line of the audit log? At its first time, and then once an hour.

A coordinator offers a plan every few seconds for as long as it waits for approvals; a hundred equal lines would hide
the one that matters. What leaves a hospital is never counted as a repetition: only fixed words may go unnoted.

Promises: what differs in anything is told at once; when the log could not be written, the next time counts as the
first. A new process has seen nothing yet. Holds a bounded number of things: of more, the oldest is told anew.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

PAUSE_SECONDS = 3600.0
_MOST = 256


class Repeats:
    """For several threads. clock: seconds that never go back."""

    def __init__(self, *, pause_seconds: float = PAUSE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._noted: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, what: Hashable, write: Callable[[], None]) -> None:
        """Calls `write` unless `what` was noted within the pause. What `write` raises is raised, and nothing noted."""
        with self._lock:
            before, now = self._noted.get(what), self._clock()
            if before is not None and now - before < self._pause_seconds:
                return
            write()
            self._noted[what] = now
            self._noted.move_to_end(what)
            while len(self._noted) > _MOST:
                self._noted.popitem(last=False)
