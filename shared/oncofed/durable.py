"""How does a small file come onto the disk whole, or not at all?

Promises: when `replace_durably` or `create_durably` returns, the content survives a power failure; a kill at any
instant leaves the old file or the new one, and no instant shows it with wider rights than `mode`, or with another owner
than it is to have. Refuses with RecordUnwritable when the disk does; then the old file is still there, and nothing
beside it. `create_durably` never replaces a file; what a kill leaves of its work `remove_leftovers` takes away. After
`hold_room` a file of that size does not fail for want of space, on file systems that write in place.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oncofed.errors import RecordUnwritable
from oncofed.plain_file import OtherKind

UNFINISHED = ".unfinished"
"""How the name of a file ends that is being written. What a kill leaves under it is nobody's record."""


def replace_durably(
    path: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None, room: Path | None = None
) -> None:
    """Write `content` under the name `path`, in place of what may be there.

    owner  user and group; None: one's own.
    room   held by `hold_room` in the same folder, and used up by this; it has its own rights, not `mode`.
    """
    held = room is not None and room.exists()
    unfinished = room if room is not None and held else path.with_name(path.name + UNFINISHED)
    with unwritable(path):
        try:
            if held:
                _fill(unfinished, content)
            else:
                with _written(unfinished, content, mode=mode, owner=owner):
                    pass
            unfinished.replace(path)
        except BaseException:  # a full disk needs the bytes that it took
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def hold_room(room: Path, size_bytes: int) -> None:
    """Take so many bytes of the disk for a file to come, for the owner alone. Raises RecordUnwritable."""
    with unwritable(room):
        descriptor = os.open(room, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
            os.fsync(descriptor)
        except BaseException:
            room.unlink()
            raise
        finally:
            os.close(descriptor)
        sync_folder(room.parent)


def create_durably(path: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> bool:
    """Write `content` under the name `path`; False, and nothing done, when the name is taken.

    owner  as of `replace_durably`. A kill once it has its name finds it whole: with its rights, and its owner's.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    with unwritable(path):
        try:
            with _written(unfinished, content, mode=mode, owner=owner):
                os.link(unfinished, path)  # not a rename: it fails where the name is taken
        except FileExistsError:
            return False
        finally:
            unfinished.unlink(missing_ok=True)
        sync_folder(path.parent)
    return True


def remove_leftovers(folder: int) -> None:
    """Take away, in an open folder, what kills left of `create_durably`: a part, or the second name of a whole file.

    folder  its descriptor. What a process is at work on stays.
    """
    for name in os.listdir(folder):
        if not (name.startswith(".") and name.endswith(UNFINISHED)):
            continue
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                continue
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)


@contextmanager
def _written(path: Path, content: bytes, *, mode: int, owner: tuple[int, int] | None) -> Iterator[None]:
    """While inside it is whole, and locked, which a kill ends: so `remove_leftovers` tells what somebody needs."""
    path.unlink(missing_ok=True)  # what a kill left, or a link that somebody laid there for root to follow
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        yield


def _fill(room: Path, content: bytes) -> None:
    """Write into the blocks that are held already, and give back those that are too many."""
    with os.fdopen(os.open(room, os.O_WRONLY | os.O_NOFOLLOW), "wb") as file:
        file.write(content)
        file.truncate()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """A new name is durable only once the folder itself is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Turn what the operating system says into RecordUnwritable, with the system's word for it and a remedy."""
    try:
        yield
    except OtherKind as other:
        raise RecordUnwritable(f"{path.name} cannot be read: {other.fault.place} {other}") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise RecordUnwritable(
            f"{path.name} cannot be written or read ({reason}). "
            "Free space on its disk, check its owner and rights, and try again."
        ) from None
