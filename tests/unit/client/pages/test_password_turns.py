"""Does every scrypt wait for its turn, and can nobody take the turns of those who work here?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from tests.pages_hospital import Clock

from oncofed.client.pages import password_turns as module
from oncofed.client.pages.password_turns import NoTurn, PasswordTurns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_WAIT_SECONDS", 0.05)


def fails(turns: PasswordTurns, name: str, peer: str) -> float:
    """Seconds to wait, or 0 where there was a turn, and a wrong password in it."""
    try:
        with turns.turn(name, peer):
            pass
    except NoTurn as refused:
        return refused.seconds
    turns.failed(name, peer)
    return 0.0


def test_wrong_passwords_make_the_name_wait_longer_each_time_where_they_came_from(clock: Clock) -> None:
    turns, waits = PasswordTurns(clock=clock), []
    for _ in range(15):
        assert fails(turns, "dr.klein", "10.0.0.7") == 0
        waits.append(fails(turns, "dr.klein", "10.0.0.7"))
        if waits[-1] == 0:
            waits.append(fails(turns, "dr.klein", "10.0.0.7"))
        clock.seconds += max(waits[-1], PasswordTurns.SECONDS_FOR_ONE)
    assert waits[0] == 0
    assert waits[-1] == PasswordTurns.LONGEST_SECONDS
    assert sorted(waits) == waits
    assert fails(turns, "dr.klein", "10.0.0.7") == 0, "after the wait there is a turn"


def test_who_knows_a_name_locks_it_nowhere_else(clock: Clock) -> None:
    turns = PasswordTurns(clock=clock)
    for _ in range(200):
        fails(turns, "dr.klein", "10.0.0.7")
        clock.seconds += PasswordTurns.SECONDS_FOR_ONE
    assert fails(turns, "dr.klein", "10.0.0.7") > 60
    with turns.turn("dr.klein", "10.0.0.8"):
        assert turns.running == 1


def test_a_peer_has_so_many_turns_whatever_names_it_gives(clock: Clock) -> None:
    turns = PasswordTurns(clock=clock)
    got = [fails(turns, f"name{number}", "10.0.0.7") for number in range(60)]
    assert sum(wait == 0 for wait in got) == PasswordTurns.AT_A_TIME
    assert fails(turns, "name", "10.0.0.8") == 0
    clock.seconds += PasswordTurns.SECONDS_FOR_ONE
    assert [fails(turns, "name", "10.0.0.7") for _ in range(2)] == [0, pytest.approx(PasswordTurns.SECONDS_FOR_ONE)]


def test_right_passwords_use_no_turns_up(clock: Clock) -> None:
    """A whole hospital behind a proxy that does not say who is behind it."""
    turns = PasswordTurns(clock=clock)
    for number in range(100):
        with turns.turn(f"name{number}", "behind the proxy"):
            pass
        turns.succeeded(f"name{number}", "behind the proxy")


def test_however_many_strangers_come_a_place_is_left_for_those_who_work_here(clock: Clock) -> None:
    turns = PasswordTurns(clock=clock)
    with turns.turn("dr.klein", "10.0.0.1"):
        pass
    turns.succeeded("dr.klein", "10.0.0.1")
    inside, leave = threading.Barrier(2), threading.Event()

    def stranger() -> None:
        with turns.turn("x", "192.0.2.0"):
            inside.wait(5)
            leave.wait(5)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stranger)
        inside.wait(5)
        for number in range(1, 50):
            with pytest.raises(NoTurn), turns.turn("x", f"192.0.2.{number}"):
                pass
        with turns.turn("dr.klein", "10.0.0.1"):
            assert turns.running == 2
        leave.set()
        waiting.result(5)
    assert turns.running == 0


def test_two_run_at_once_and_one_of_each_peer(clock: Clock) -> None:
    turns = PasswordTurns(clock=clock)
    for peer in ("a", "b", "c"):
        turns.succeeded("x", peer)
    with ExitStack() as both:
        both.enter_context(turns.turn("x", "a"))
        with pytest.raises(NoTurn), turns.turn("y", "a"):
            pass
        both.enter_context(turns.turn("x", "b"))
        with pytest.raises(NoTurn), turns.turn("x", "c"):
            pass
    with turns.turn("x", "c"):
        pass


def test_who_waits_gets_the_turn_that_another_leaves(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_WAIT_SECONDS", 10.0)
    turns, order = PasswordTurns(clock=clock), list[int]()

    def check(number: int) -> None:
        with turns.turn("x", f"peer{number}"):
            order.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check, range(8)))
    assert sorted(order) == list(range(8))


def test_a_failure_inside_leaves_the_turn(clock: Clock) -> None:
    turns = PasswordTurns(clock=clock)
    for _ in range(3):
        with pytest.raises(KeyError), turns.turn("x", "a"):
            raise KeyError
        turns.succeeded("x", "a")
    assert turns.running == 0


def test_what_is_kept_has_a_limit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 50)
    turns = PasswordTurns(clock=clock)
    for number in range(300):
        fails(turns, f"name{number}", f"peer{number}")
        turns.succeeded("x", f"peer{number}")
    assert max(len(kept) for kept in (turns._failures, turns._turns, turns._known)) <= 50
    assert not turns._of_peer
