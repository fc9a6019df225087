"""Does a process work on this study now? A lock on a file of its folder says so; the process's death frees it.

Flower notices the death of a ServerApp only when its heartbeat has been missing for about a minute, and never whether
the one of a stopped run has really ended. This lock knows both at once, since ServerApp and folder are on one machine.

A kill between the start of a run and the note of it would else let the same rounds be run twice at once.

Promises: at most one process is ever at work on a study, so that no round is run twice side by side.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from oncofed.errors import Fault, FederationFailure, InvalidInput
from oncofed.running import is_running, lock_taken

PATIENCE_SECONDS = 30.0
"""A run that was stopped notices within a second or two."""
_LOCK = "at_work.lock"
_PAUSE_SECONDS = 0.2


@contextmanager
def at_work(
    study: Path,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """While inside, this process alone works on the study. Raises FederationFailure when another one does not end."""
    if not study.is_dir():
        raise InvalidInput([Fault(str(study), "does not exist", "Sign the study first.")])
    deadline = monotonic() + patience_seconds
    descriptor = os.open(study / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not lock_taken(descriptor, fcntl.LOCK_EX):
            if monotonic() >= deadline:
                raise FederationFailure("another run works on this study already, and does not end")
            sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(descriptor)


def is_at_work(study: Path) -> bool:
    """Whether a process works on the study at this moment."""
    return is_running(study / _LOCK) is True
