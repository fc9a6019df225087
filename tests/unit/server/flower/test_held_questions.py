"""Is a question for work held until there is some, and told apart from one that nobody waits for any more?"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from oncofed.server.flower.held_questions import HeldQuestions

BONN, ESSEN = b"Bonn", b"Essen"
FOREVER = 60.0


@dataclass
class Board:
    """Which nodes have work, reading by reading; the last one stays. An error is raised."""

    readings: list[Mapping[int, bool] | Exception]
    read: int = 0

    def __call__(self) -> Mapping[int, bool]:
        found = self.readings[min(self.read, len(self.readings) - 1)]
        self.read += 1
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Stopped:
    after: int
    asked: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    def __call__(self) -> bool:
        return next(self.asked) >= self.after


def questions(
    *readings: Mapping[int, bool] | Exception, longest: float = FOREVER, stopped: int = 10_000
) -> HeldQuestions:
    return HeldQuestions(Board(list(readings)), ending=Stopped(stopped), longest_seconds=longest, every_seconds=0.001)


async def within(seconds: float, held: HeldQuestions, caller: bytes = BONN, node: int = 7) -> bool:
    async with asyncio.timeout(seconds):
        return await held.hold(caller, node)


def test_it_is_passed_on_when_there_is_work() -> None:
    assert asyncio.run(within(5, questions({}, {}, {7: True})))


def test_it_is_passed_on_after_the_longest_time() -> None:
    """So that Flower can refuse a node that it no longer knows."""
    assert asyncio.run(within(5, questions({}, longest=0.02)))


@pytest.mark.parametrize("there", [{}, {8: True}, {7: False}, {7: False, 8: True}])
def test_it_is_held_while_there_is_no_whole_message_for_this_node(there: Mapping[int, bool]) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(within(0.1, questions(there)))


def test_a_message_without_all_its_parts_is_no_work_yet() -> None:
    assert not asyncio.run(within(5, questions({7: False}, longest=0.02)))
    assert asyncio.run(within(5, questions({7: False}, {7: False}, {7: True})))


def test_who_asks_anew_is_answered_in_place_of_the_former_question() -> None:
    """Else a message would go to a connection that a node has given up."""

    async def twice() -> tuple[bool, bool]:
        held = questions(*[{}] * 50, {7: True})
        former = asyncio.create_task(within(5, held))
        await asyncio.sleep(0)
        return await within(5, held), await former

    assert asyncio.run(twice()) == (True, False)


def test_nobody_replaces_another_callers_question() -> None:
    """The number of a node is only what a caller says."""

    async def both() -> tuple[bool, bool]:
        held = questions(*[{}] * 20, {7: True})
        return await asyncio.gather(within(5, held, BONN), within(5, held, ESSEN))

    assert asyncio.run(both()) == (True, True)


def test_nothing_is_held_when_the_database_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(within(5, questions(sqlite3.OperationalError("no such table: objects"))))
    assert "nothing is held" in caplog.text


def test_nothing_is_held_while_the_server_is_being_stopped() -> None:
    assert asyncio.run(within(5, questions({}, stopped=3)))


def test_the_database_is_read_for_all_together_and_only_while_somebody_waits() -> None:
    async def many() -> tuple[int, int]:
        board = Board([{}])
        held = HeldQuestions(board, longest_seconds=0.2, every_seconds=0.02)
        await asyncio.gather(*(held.hold(str(place).encode(), place) for place in range(100)))
        read = board.read
        await asyncio.sleep(0.1)
        return read, board.read

    read, later = asyncio.run(many())
    assert 1 <= read <= 11
    assert later <= read + 1


def test_a_caller_who_is_gone_leaves_nothing_behind() -> None:
    async def cancelled() -> HeldQuestions:
        held = questions({})
        task = asyncio.create_task(held.hold(BONN, 7))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.05)
        assert task.cancelled()
        return held

    held = asyncio.run(cancelled())
    assert (held._held, held._watch is not None and held._watch.done()) == ({}, True)
