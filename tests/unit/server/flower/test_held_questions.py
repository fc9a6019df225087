"""Is a question for work held until there is some, and told apart from one that nobody waits for any more?"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from oncofed.server.flower.held_questions import HeldQuestions

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


async def within(seconds: float, held: HeldQuestions, node: int = 7) -> bool:
    async with asyncio.timeout(seconds):
        return await held.is_there_work(node)


def test_it_is_passed_on_when_there_is_work() -> None:
    assert asyncio.run(within(5, questions({7: True})))


def test_work_that_comes_meanwhile_is_given_to_a_new_question_alone() -> None:
    """Who asked a while ago may be gone, and Flower would count the message as delivered."""
    assert not asyncio.run(within(5, questions({}, {}, {7: True})))


def test_it_is_told_of_no_work_after_the_longest_time() -> None:
    assert not asyncio.run(within(5, questions({}, longest=0.02)))


@pytest.mark.parametrize("there", [{}, {8: True}, {7: False}, {7: False, 8: True}])
def test_it_is_held_while_there_is_no_whole_message_for_this_node(there: Mapping[int, bool]) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(within(0.1, questions(there)))


def test_nothing_is_held_when_the_database_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    broken = sqlite3.OperationalError("no such table: objects")
    assert asyncio.run(within(5, questions(broken)))
    assert not asyncio.run(within(5, questions({}, broken)))
    assert "cannot be read" in caplog.text


def test_nothing_is_held_while_the_server_is_being_stopped() -> None:
    assert not asyncio.run(within(5, questions({}, stopped=3)))


def test_the_database_is_read_for_all_together_and_only_while_somebody_waits() -> None:
    async def many() -> tuple[int, int]:
        board = Board([{}])
        held = HeldQuestions(board, longest_seconds=0.2, every_seconds=0.02)
        await asyncio.gather(*(held.is_there_work(place) for place in range(100)))
        read = board.read
        await asyncio.sleep(0.1)
        return read, board.read

    read, later = asyncio.run(many())
    assert 101 <= read <= 111, "each question's own reading, and those of all together"
    assert later <= read + 1


def test_a_caller_who_is_gone_leaves_nothing_behind() -> None:
    async def cancelled() -> HeldQuestions:
        held = questions({})
        task = asyncio.create_task(held.is_there_work(7))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.05)
        assert task.cancelled()
        return held

    held = asyncio.run(cancelled())
    assert (held._held, held._watch is not None and held._watch.done()) == (set(), True)
