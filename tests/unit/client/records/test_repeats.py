"""Is what happens again told once an hour, what differs at once, and what could not be told the next time?"""

from __future__ import annotations

import pytest

from oncofed.client.records.repeats import MOST, Repeats


def test_it_is_told_once_in_each_pause() -> None:
    now, told = [0.0], list[str]()
    repeats = Repeats(pause_seconds=3600.0, clock=lambda: now[0])
    for second in range(0, 7300, 5):
        now[0] = float(second)
        repeats.note("offer", lambda: told.append("offer"))
        if second == 1000:
            repeats.note("another", lambda: told.append("another"))
    assert told == ["offer", "another", "offer", "offer"]


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    told = list[str]()
    repeats = Repeats()

    def full() -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        repeats.note("offer", full)
    repeats.note("offer", lambda: told.append("offer"))
    assert told == ["offer"]


def test_a_flood_of_different_things_fills_neither_log_nor_memory_and_ends_with_the_hour() -> None:
    now, told = [0.0], list[int]()
    repeats = Repeats(pause_seconds=3600.0, clock=lambda: now[0])
    for number in range(10_000):
        now[0] += 0.1
        repeats.note(number, lambda number=number: told.append(number))  # type: ignore[misc]
    assert told == list(range(MOST))
    assert len(repeats._noted) == MOST
    now[0] = 3601.0
    repeats.note(-1, lambda: told.append(-1))
    assert told[-1] == -1
