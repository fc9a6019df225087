"""Is what happens again told once an hour, what differs at once, and what could not be told the next time?"""

from __future__ import annotations

import pytest

from oncofed.client.records.repeats import MOST, Repeats


def nobody(times: int) -> None:
    raise AssertionError("nothing is left out")


def test_it_is_told_once_in_each_pause() -> None:
    now, told = [0.0], list[str]()
    repeats = Repeats(nobody, pause_seconds=3600.0, clock=lambda: now[0])
    for second in range(0, 7300, 5):
        now[0] = float(second)
        repeats.note("offer", lambda: told.append("offer"))
        if second == 1000:
            repeats.note("another", lambda: told.append("another"))
    assert told == ["offer", "another", "offer", "offer"]


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    told = list[str]()
    repeats = Repeats(nobody)

    def full() -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        repeats.note("offer", full)
    repeats.note("offer", lambda: told.append("offer"))
    assert told == ["offer"]


def test_a_flood_of_different_things_fills_neither_log_nor_memory_is_counted_and_ends_with_the_hour() -> None:
    now, told, counted = [0.0], list[int](), list[int]()
    repeats = Repeats(counted.append, pause_seconds=3600.0, clock=lambda: now[0])
    for number in range(10_000):
        now[0] += 0.1
        repeats.note(number, lambda number=number: told.append(number))  # type: ignore[misc]
    assert told == list(range(MOST))
    assert len(repeats._noted) == MOST
    assert counted == [2**power for power in range(14)]
    now[0] = 3611.0
    repeats.note(-1, lambda: told.append(-1))
    assert told[-1] == -1
    assert counted[-1] == 10_000 - MOST
    lines = len(counted)
    now[0] = 7300.0
    repeats.note(-2, lambda: told.append(-2))
    assert len(counted) == lines, "it is told once"


def test_a_flood_without_end_costs_a_bounded_number_of_lines_each_hour() -> None:
    now, lines = [0.0], list[float]()
    repeats = Repeats(lambda _: lines.append(now[0]), pause_seconds=3600.0, clock=lambda: now[0])
    for number in range(100_000):
        now[0] += 0.5
        repeats.note(number, lambda: lines.append(now[0]))
    hours = [sum(hour <= line / 3600 < hour + 1 for line in lines) for hour in range(13)]
    assert max(hours) <= MOST + 16
    assert min(hours) >= MOST


def test_what_nobody_can_multiply_is_told_in_the_middle_of_a_flood() -> None:
    told, counted = list[str](), list[int]()
    repeats = Repeats(counted.append)
    for number in range(2 * MOST):
        repeats.note(number, lambda: None)
    for _ in range(2):
        repeats.note("the records are older", lambda: told.append("older"), first_of="older")
    assert told == ["older"]
    repeats.note("another", lambda: told.append("another"))
    assert told == ["older"]


def test_a_number_that_could_not_be_told_is_told_the_next_time() -> None:
    counted = list[int]()

    def first_fails(times: int) -> None:
        counted.append(times)
        if len(counted) == 1:
            raise OSError("no space")

    repeats = Repeats(first_fails)
    for number in range(MOST):
        repeats.note(number, lambda: None)
    with pytest.raises(OSError, match="no space"):
        repeats.note("more", lambda: None)
    repeats.note("more still", lambda: None)
    assert counted == [1, 2]


def test_of_few_things_each_has_room_once_and_what_they_do_later_is_counted_as_all_else() -> None:
    told, counted = list[str](), list[int]()
    repeats = Repeats(counted.append)
    for number in range(MOST):
        repeats.note(number, lambda: None)
    for attempt in range(3):
        repeats.note(("answer", attempt), lambda: told.append("answer"), first_of="answer")
        repeats.note(("another", 0), lambda: told.append("another"), first_of="another")
    assert told == ["answer", "another"]
    assert counted == [1, 2]


def test_what_it_remembers_is_small_however_long_a_thing_is() -> None:
    repeats = Repeats(nobody)
    for first_of in (None, "f" * 1_000_000):
        repeats.note("w" * 1_000_000, lambda: None, first_of=first_of)
    repeats.note("\ud800", lambda: None)
    assert {len(kept) for kept in (*repeats._noted, *repeats._few)} == {32}
