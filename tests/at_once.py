"""What if a command is given twice at the same moment? Threads that wait for each other where it would go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

import pytest

LONGEST_SECONDS = 0.5


@contextmanager
def meeting(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, most: int, *, after: bool = False
) -> Iterator[None]:
    """Whoever calls this function waits for the others before it, or after it, as long as somebody might come."""
    function, place = getattr(module, name), threading.Barrier(most)

    def wait() -> None:
        with suppress(threading.BrokenBarrierError):
            place.wait(timeout=LONGEST_SECONDS)

    def waiting(*arguments: object, **settings: object) -> object:
        if not after:
            wait()
        found = function(*arguments, **settings)
        if after:
            wait()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(module, name, waiting)
        yield


def at_once(*commands: Callable[[], object]) -> list[object]:
    """What each returned, or raised."""
    told: list[object] = []

    def call(command: Callable[[], object]) -> None:
        try:
            told.append(command())
        except Exception as error:
            told.append(error)

    threads = [threading.Thread(target=call, args=(command,)) for command in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told
