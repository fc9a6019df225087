"""How long may a test take? One that hangs fails by its name, with the line at which it hung, and the others go on.

A plugin of pytest, which tests/conftest.py brings in. The limit is for a test with its fixtures. A signal raises the
failure where the test waits; one that waits in C code, where no signal is heard, ends the process a minute later, with
the tracebacks of all threads (pytest-xdist then names the test and goes on with another process).
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

QUICK_SECONDS, SLOW_SECONDS = 600.0, 1800.0
"""Of a quick one, the start of a consortium of processes on two loaded cores (it took over 300 s); of a slow one, a
whole study."""
VARIABLE = "ONCOFED_TEST_SECONDS"
"""Another limit for both, to try it with."""
_AGAIN_SECONDS = 10.0
_HARD_AFTER_SECONDS = 60.0


def limit_of(item: pytest.Item) -> float:
    """In seconds."""
    usual = SLOW_SECONDS if item.get_closest_marker("slow") else QUICK_SECONDS
    return float(os.environ.get(VARIABLE, usual))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Around set-up, call and tear-down together."""
    seconds = limit_of(item)

    def over(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"{item.nodeid} took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    # Again and again: what a test catches once (a thread's `finally`, an `except BaseException`) it does not for ever.
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    faulthandler.dump_traceback_later(seconds + _HARD_AFTER_SECONDS, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
