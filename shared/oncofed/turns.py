"""How does one process at a time change a file or folder that may be replaced while another one waits for it?"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oncofed.errors import RecordUnwritable

_SECONDS_BETWEEN_LOOKS = 0.05


@contextmanager
def in_turn(path: Path, *, opened: Callable[[], int], seconds: float | None = None) -> Iterator[int]:
    """The descriptor of what `path` is, locked until the end. What was replaced while this waited is opened anew.

    opened   opens `path`, and may make it. What it raises is raised, and nothing stays open.
    seconds  how long to wait for whoever has it; None: as long as it takes. Raises RecordUnwritable afterwards: another
             user's process may hold its own file for ever, and root waits for nobody.
    """
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        descriptor = opened()
        try:
            _lock(descriptor, path, until)
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


def opened_lock(path: Path) -> int:
    """The descriptor of a file that is only locked. Made, where it is missing, for the user whose folder it is in.

    Raises OSError, also for a link.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, flags)
        owner = path.parent.stat()
        with suppress(FileExistsError):  # another one has just made it
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            if os.geteuid() == 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            return descriptor


def _lock(descriptor: int, path: Path, until: float | None) -> None:
    if until is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > until:
            raise RecordUnwritable(
                f"{path} is held by another process all the time. If no part of the node is at work on it, see which "
                "process that is (lsof), end it, and try again."
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)
