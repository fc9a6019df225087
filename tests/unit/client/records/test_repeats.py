"""Is what happens again told once an hour, what differs at once, and what could not be told the next time?"""

from __future__ import annotations

import pytest

from oncofed.client.records.repeats import Repeats


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


def test_a_flood_of_different_things_is_told_and_takes_no_more_memory() -> None:
    told = list[int]()
    repeats = Repeats()
    for number in range(1000):
        repeats.note(number, lambda number=number: told.append(number))  # type: ignore[misc]
    assert len(told) == 1000
    assert len(repeats._noted) == 256
