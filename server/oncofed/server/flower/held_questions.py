"""How does a hospital learn soon that there is work, without a hundred of them asking all the time?

A SuperNode asks for work, and asks again soon after it was told that there is none. Each time Flower reads and writes
its database: some 12 ms of processor time, so that thirty hospitals that wait keep a core busy. So the gate passes such
a question on only when a message for that node is there, with all its parts. Else it keeps it for up to
`LONGEST_HOLD_SECONDS`, and answers when there is work: ask again. Which nodes have some is read for all of them
together, `EVERY_SECONDS`.

Flower pushes a message's parts after the message, its own head last. A node that was told of it before asks for each
part until it comes: another load, and it grows with the number of hospitals.

Promises: what is passed on is a question that has just come, because Flower counts its message as delivered: a link
that went dead while a question was kept loses nothing. It is Flower's to answer, with all its checks. Where the
database cannot be read, every question is passed on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flwr.supercore.utils import int64_to_uint64

LONGEST_HOLD_SECONDS = 10.0
"""A SuperNode waits 30 s for an answer, and proxies between are said to end what is silent for as long."""
EVERY_SECONDS = 0.1

_MESSAGES = """
SELECT message_ins.dst_node_id, MAX(objects.is_available) FROM message_ins
JOIN objects ON objects.object_id = message_ins.message_id
WHERE message_ins.delivered_at = '' GROUP BY message_ins.dst_node_id
"""

_log = logging.getLogger(__name__)


def nodes_with_work(database: Path) -> dict[int, bool]:
    """Those for whom a message waits in the SuperLink's database: with all its parts? Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1.0)) as connection:
        return {int64_to_uint64(node): bool(whole) for node, whole in connection.execute(_MESSAGES)}


@dataclass(eq=False)
class _Held:
    node: int
    bell: asyncio.Event = field(default_factory=asyncio.Event)


class HeldQuestions:
    """For one event loop.

    with_work  blocks; which nodes have a message, and whether one of them is whole. ending: whether the server is being
               stopped, which ends every hold.
    """

    def __init__(
        self,
        with_work: Callable[[], Mapping[int, bool]],
        *,
        ending: Callable[[], bool] = lambda: False,
        longest_seconds: float = LONGEST_HOLD_SECONDS,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._with_work, self._ending = with_work, ending
        self._longest_seconds, self._every_seconds = longest_seconds, every_seconds
        self._held: set[_Held] = set()
        self._watch: asyncio.Task[None] | None = None

    async def is_there_work(self, node: int) -> bool:
        """True at once if there is. Else False, and only when there is some now, or after the longest time."""
        if await self._has_work(node):
            return True
        held = _Held(node)
        self._held.add(held)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._ring())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._longest_seconds):
                    await held.bell.wait()
        finally:
            self._held.remove(held)
        return False

    async def _ring(self) -> None:
        while self._held:
            nodes = await self._read()
            for held in self._held:
                if nodes is None or nodes.get(held.node) or self._ending():
                    held.bell.set()
            await asyncio.sleep(self._every_seconds)

    async def _has_work(self, node: int) -> bool:
        nodes = await self._read()
        return nodes is None or nodes.get(node, False)

    async def _read(self) -> Mapping[int, bool] | None:
        try:
            return await asyncio.to_thread(self._with_work)
        except sqlite3.Error as error:
            _log.warning("which hospitals have work cannot be read (%s): each question is passed on", error)
            return None
