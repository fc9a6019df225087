"""Who can reach the guard's socket, and is another guard listening on it already?

The folder is 0750 and the socket 0660, both of the guard's user and the relay's group; the socket has these rights from
its first moment, before anybody can connect. A lock beside it, held as long as the process lives, says that a guard is
running: gRPC by itself would silently take a live guard's socket away, and two guards would share one ledger.

Refused with InvalidInput: a folder of another user, a path that is too long for a socket, something that is no socket,
a guard that is alive.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oncofed.errors import Fault, InvalidInput

_FOLDER_RIGHTS = 0o750
_SOCKET_RIGHTS = 0o660
_LOCK_RIGHTS = 0o600
_LONGEST_PATH = 107
"""Bytes of a unix socket's path on Linux, see unix(7)."""
_PROBE_SECONDS = 2.0


@contextmanager
def claimed_place(path: Path) -> Iterator[None]:
    """While inside, this process alone may listen at `path`; leaving it removes the socket."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise _fault(path, f"is longer than {_LONGEST_PATH} bytes", "Choose a folder with a shorter path.")
    _prepare_folder(path.parent)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _LOCK_RIGHTS)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _alive(path) from None
        _remove_stale(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)


@contextmanager
def socket_rights() -> Iterator[None]:
    """A socket bound inside has its rights at once. Changes the process's umask, so only while starting."""
    before = os.umask(0o777 & ~_SOCKET_RIGHTS)
    try:
        yield
    finally:
        os.umask(before)


def give_to_group_of_folder(path: Path) -> None:
    """The relay's group, which the folder has, may connect. Raises InvalidInput when this user cannot arrange that."""
    group = path.parent.stat().st_gid
    if path.stat().st_gid == group:
        return
    try:
        os.chown(path, -1, group)
    except PermissionError:
        raise _fault(
            path,
            "cannot be given to its folder's group",
            "Make the guard's user a member of the relay's group, or set the folder's set-group-ID bit (chmod g+s).",
        ) from None


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(mode=_FOLDER_RIGHTS, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise _fault(folder, "belongs to another user", "Give it to the guard's user (chown).")
    wanted = found.st_mode & stat.S_ISGID | _FOLDER_RIGHTS
    # Not when it is so already: chmod by somebody outside the folder's group would take its set-group-ID bit away.
    if stat.S_IMODE(found.st_mode) != wanted:
        os.chmod(folder, wanted)


def _remove_stale(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise _fault(path, "is no socket", "Move it away.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:
            pass  # full or slow, so somebody is there
    raise _alive(path)


def _alive(path: Path) -> InvalidInput:
    return _fault(path, "is in use by a guard that is running", "Stop that one first.")


def _fault(path: Path, what: str, remedy: str) -> InvalidInput:
    return InvalidInput([Fault(path.name, what, remedy)])
