"""Does a part of ours run? A lock on a file of its own says so; the part's death, however it comes, frees it.

It tells the same under a supervisor, under systemd and from one container to another that shares the folder, where
process ids tell nothing. Promises: of several that `hold_while_running` the same file one goes on; to look changes
nothing, and reads nothing of the file, so that root may look where another user may write.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from oncofed.errors import Fault, InvalidInput
from oncofed.supervision import SUPERVISOR_LOCK, read_status

_PATIENCE_SECONDS = 2.0
"""Who looks holds the lock for an instant."""
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Part:
    """A part as it is now. runs: None where this user may not look.

    since, restarts  as its supervisor wrote them; "" and None where none of ours supervises it.
    """

    name: str
    runs: bool | None
    since: str = ""
    restarts: int | None = None

    def __str__(self) -> str:
        again = "" if self.restarts is None else f", started again {self.restarts} times"
        if self.runs is None:
            return f"{self.name:10s} this user cannot tell; root can"
        return f"{self.name:10s} {'does not run' if not self.runs else 'runs'}{_since(self)}{again}"

    def fields(self) -> dict[str, object]:
        """For JSON."""
        return {"name": self.name, "runs": self.runs, "since": self.since or None, "restarts": self.restarts}


def _since(part: Part) -> str:
    return f" since {part.since}" if part.runs and part.since else ""


def parts_of(locks: Mapping[str, Path], *, logs: Path, status: Path) -> tuple[Part, ...]:
    """Each part, by the lock that it holds. A status file counts as long as the supervisor that wrote it runs.

    logs, status  of that supervisor. Raises InvalidInput for a damaged status file.
    """
    told = read_status(status) if os.path.lexists(status) else ()
    seen = {each.process: each for each in told} if is_running(logs / SUPERVISOR_LOCK) else {}
    return tuple(
        Part(name, is_running(lock), seen[name].since, seen[name].restarts)
        if name in seen
        else Part(name, is_running(lock))
        for name, lock in locks.items()
    )


def hold_while_running(
    path: Path, *, what: str, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> None:
    """Hold the lock until this process ends. Raises InvalidInput when another one holds it.

    what  the part, for the message.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = clock() + _PATIENCE_SECONDS
    while not lock_taken(descriptor, fcntl.LOCK_EX):
        if clock() >= deadline:
            os.close(descriptor)
            raise InvalidInput([Fault(what, "runs already", "Stop that one first, or leave it running.")])
        sleep(_PAUSE_SECONDS)


def is_running(path: Path) -> bool | None:
    """Whether a process holds the lock; None where this user may not look."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except PermissionError:
        return None
    except OSError:  # it is not there; or somebody laid a link or a socket in its place, which no part of ours holds
        return False
    try:
        return not lock_taken(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def lock_taken(descriptor: int, kind: int) -> bool:
    """Whether this process has the lock now. kind: fcntl.LOCK_EX, or LOCK_SH to look."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
