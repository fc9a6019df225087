"""How does one process at a time change a file or folder that may be replaced while another one waits for it?"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def in_turn(path: Path, *, opened: Callable[[], int]) -> Iterator[int]:
    """The descriptor of what `path` is, locked until the end. What was replaced while this waited is opened anew.

    opened  opens `path`, and may make it. What it raises is raised, and nothing stays open.
    """
    while True:
        descriptor = opened()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
