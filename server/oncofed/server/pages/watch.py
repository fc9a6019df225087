"""What did the server say last, for somebody who does not want to wait for it?

`Watch` asks in a thread of its own, one at a time and only when somebody looks, and waits for an answer no longer than
a reader would. Who looks meanwhile is given what was said before, and since when nothing newer has come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from oncofed.server.deployment.coordinator_status import ServerWords

NOT_YET = ServerWords(None, unreached="it was asked and has not answered yet")


@dataclass(frozen=True)
class Heard:
    """said, at: the last answer and its time; at is None before the first. late: a newer one is being waited for."""

    said: ServerWords
    at: datetime | None
    late: bool


class Watch:
    """ask: may take long, and raises nothing but for our own mistakes.

    fresh_seconds     so old an answer is given without another question.
    patience_seconds  so long somebody who looks waits.
    """

    def __init__(
        self,
        ask: Callable[[], ServerWords],
        *,
        now: Callable[[], datetime],
        fresh_seconds: float = 3.0,
        patience_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._now = now
        self._fresh_seconds = fresh_seconds
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._said = NOT_YET
        self._at: datetime | None = None
        self._heard_at = float("-inf")
        self._asking = False

    def heard(self) -> Heard:
        """What the server said last, or says now if it does so soon."""
        with self._changed:
            if not self._is_fresh():
                if not self._asking:
                    self._asking = True
                    threading.Thread(target=self._hear, daemon=True).start()
                self._changed.wait_for(lambda: not self._asking, self._patience_seconds)
            return Heard(self._said, self._at, late=self._asking)

    def _is_fresh(self) -> bool:
        return self._clock() - self._heard_at <= self._fresh_seconds

    def _hear(self) -> None:
        said = None
        try:
            said = self._ask()
        finally:  # a question that failed is asked again by whoever looks next
            with self._changed:
                if said is not None:
                    self._said, self._at, self._heard_at = said, self._now(), self._clock()
                self._asking = False
                self._changed.notify_all()
