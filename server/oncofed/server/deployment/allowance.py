"""How often may one of many do something? So many times at once, and then so many a second: a bucket for each.

Promises: whoever keeps to the rate is never refused; others' use changes nothing for one. Memory is bounded: who has
not come for as long as a bucket takes to fill is forgotten, and of more than `_MOST` at a time the one that came first.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Who = TypeVar("_Who", bound=Hashable)
_MOST = 10_000


def whose(host: str) -> str:
    """By what an address is counted: itself, and of IPv6 its network of 64 bits."""
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


class Allowances(Generic[_Who]):
    """For one thread. clock: seconds that never go back."""

    def __init__(self, *, a_second: float, at_once: int, clock: Callable[[], float]) -> None:
        self._a_second, self._at_once, self._clock = a_second, at_once, clock
        self._left: OrderedDict[_Who, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def left(self, who: _Who) -> float:
        """How many more times, now."""
        if who not in self._left:
            return self._at_once
        left, at = self._left[who]
        return min(self._at_once, left + (self._clock() - at) * self._a_second)

    def take(self, who: _Who) -> bool:
        """Whether it may; if so, it has."""
        left = self.left(who)
        if left < 1:
            return False
        self._left[who] = (left - 1, self._clock())
        self._left.move_to_end(who)
        self._forget()
        return True

    def _forget(self) -> None:
        full_after = self._at_once / self._a_second
        while self._left:
            _, at = next(iter(self._left.values()))
            if len(self._left) <= _MOST and self._clock() - at < full_after:
                return
            self._left.popitem(last=False)
