"""How does a ServerApp notice a reply soon? By asking more often than Flower's own Grid, which sleeps 3 s in between.

`PromptGrid` passes everything on to the Grid it wraps, except that it waits itself in `send_and_receive`. Questions
that a restart of the SuperLink cut off on their way count as unanswered there: Flower would end the ServerApp.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from flwr.app import Message
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from oncofed.server.flower.wrapped_grid import WrappedGrid

POLL_SECONDS = 0.2


class PromptGrid(WrappedGrid):
    """sleep and monotonic are clocks, as arguments for tests."""

    def __init__(
        self,
        grid: Grid,
        *,
        poll_seconds: float = POLL_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(grid)
        self._poll_seconds = poll_seconds
        self._sleep = sleep
        self._monotonic = monotonic

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Push, and pull until each message has its reply or `timeout` seconds have passed."""
        try:
            waiting = set(self._grid.push_messages(messages))
        except ObjectPushError:  # a SuperLink that was killed between the announcement of a message and its content
            return []
        began = self._monotonic()
        replies: list[Message] = []
        while waiting:
            received = list(self._grid.pull_messages(waiting))
            replies.extend(received)
            waiting -= {reply.metadata.reply_to_message_id for reply in received}
            if not waiting or (timeout is not None and self._monotonic() - began >= timeout):
                break
            self._sleep(self._poll_seconds)
        return replies
