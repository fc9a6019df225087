"""Does a bucket give what it promises, to each on their own, and forget?"""

from __future__ import annotations

from oncofed.server.deployment import allowance
from oncofed.server.deployment.allowance import Allowances


class Clock:
    seconds = -5.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_and_then_the_rate_and_others_are_not_concerned() -> None:
    clock = Clock()
    two = Allowances[str](a_second=2.0, at_once=5, clock=clock)
    assert [two.take("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert two.take("b")
    clock.seconds += 1.0
    assert [two.take("a") for _ in range(3)] == [True, True, False]
    clock.seconds += 1000.0
    assert [two.take("a") for _ in range(6)] == [True] * 5 + [False]


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    clock = Clock()
    one = Allowances[str](a_second=2.0, at_once=1, clock=clock)
    for _ in range(100):
        assert one.take("a")
        clock.seconds += 0.5


def test_looking_takes_nothing() -> None:
    one = Allowances[str](a_second=1.0, at_once=1, clock=Clock())
    assert [one.left("a"), one.left("a"), one.take("a"), one.left("a")] == [1, 1, True, 0]


def test_who_has_a_full_bucket_again_is_forgotten() -> None:
    clock = Clock()
    many = Allowances[int](a_second=1.0, at_once=10, clock=clock)
    for who in range(200):
        many.take(who)
    clock.seconds += 11
    many.take(-1)
    assert len(many) == 1


def test_of_very_many_the_first_are_forgotten() -> None:
    many = Allowances[int](a_second=1e-9, at_once=1, clock=Clock())
    for who in range(allowance._MOST + 50):
        assert many.take(who)
    assert len(many) == allowance._MOST
    assert not many.take(allowance._MOST)
