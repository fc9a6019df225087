"""How does something happen at a chosen step of what a process writes down?

The steps are those that make a record last: each `os.fsync`, each `os.replace`, each statement of SQLite. They are the
same for the same work, so that a number of a step says the same moment again, which a time does not.

`Trap.install` changes these functions for its whole process, so it is for a process that serves a soak alone.
"""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_FSYNC, _REPLACE, _CONNECT = os.fsync, os.replace, sqlite3.connect


class Trap:
    """Calls `act` before the so-many-th step after it was set, once."""

    def __init__(self) -> None:
        self._left = 0
        self._act: Callable[[], None] = lambda: None

    def set(self, step: int, act: Callable[[], None]) -> None:
        """step: 1 is the next one; 0 sets none."""
        self._left, self._act = step, act

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Steps inside are not counted."""
        left, self._left = self._left, 0
        try:
            yield
        finally:
            self._left = left

    def install(self) -> None:
        """From now on, in this process."""
        trap = self

        class Trapped(sqlite3.Connection):
            def execute(self, *arguments: Any) -> sqlite3.Cursor:
                trap.step()
                return super().execute(*arguments)

        def before(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def counted(*arguments: Any, **named: Any) -> Any:
                self.step()
                return function(*arguments, **named)

            return counted

        vars(os)["fsync"], vars(os)["replace"] = before(_FSYNC), before(_REPLACE)
        vars(sqlite3)["connect"] = functools.partial(_CONNECT, factory=Trapped)

    @staticmethod
    def uninstall() -> None:
        """As if there had been none."""
        vars(os)["fsync"], vars(os)["replace"], vars(sqlite3)["connect"] = _FSYNC, _REPLACE, _CONNECT

    def step(self) -> None:
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                self._act()
