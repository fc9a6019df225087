"""What does the file at a path hold, and if it holds nothing that can be read, why not?

The one way in for what people name or put in place, and what lies where another user of the machine may write: tables,
TOML files, plans, keys, records. Promises: what is no plain file is never
read, and told by what it is (a folder, a named pipe, a device), so that nobody waits for a pipe without a writer; no
more than `most` bytes are taken, and what grows without end is read in pieces. Links are followed, unless it is said
that they are not. Imports nothing of the package but its errors.
"""

from __future__ import annotations

import errno
import getpass
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from oncofed.errors import Fault, InvalidInput

_KINDS = (
    (stat.S_ISDIR, "is a folder, not a file", "Name the file inside it."),
    (stat.S_ISFIFO, "is a named pipe (FIFO), not a file", "Write what comes through it to a file, and name that."),
    (stat.S_ISSOCK, "is a socket, not a file", "Check the path."),
    (stat.S_ISCHR, "is a device, not a file", "Check the path."),
    (stat.S_ISBLK, "is a disk or another device, not a file", "Check the path."),
)


_AT_ONCE = 1 << 20


class OtherKind(OSError):
    """What lies there is no plain file, or larger than any of its kind. fault: what it is, and the remedy."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.what}. {fault.remedy}")
        self.fault = fault


def opened(path: Path, *, follow: bool = True) -> BufferedReader:
    """A plain file, to be read. Raises OtherKind for anything else, OSError.

    follow  False: a link is of another kind, whatever it leads to.
    """
    if not follow and path.is_symlink():
        raise a_link(path)
    _refuse_other_kinds(path, os.stat(path).st_mode)
    # Without waiting: another process may put a pipe in its place just now.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise a_link(path) from None
        raise
    refuse_other_kinds(path, descriptor)
    return open(descriptor, "rb")


def refuse_other_kinds(path: Path, descriptor: int) -> None:
    """Raises OtherKind where what is open is no plain file, and closes it. path: for what is said of it."""
    try:
        _refuse_other_kinds(path, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise


def plain_bytes(path: Path, *, most: int, follow: bool = True) -> bytes:
    """Everything in a plain file of no more than `most` bytes. Raises OtherKind, OSError. follow: as of `opened`."""
    with opened(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > most else file.read(most + 1)  # it may grow at this moment
    if max(size, len(content)) > most:
        what = f"is larger than {most:,} bytes, which no file of its kind is"
        raise OtherKind(Fault(path.name, what, "Check that it is the right file."))
    return content


def pieces_of(file: BinaryIO, *, size: int) -> Iterator[bytes]:
    """So many bytes of what is open, or as many as there are; no more, however it grows meanwhile."""
    while size > 0 and (piece := file.read(min(size, _AT_ONCE))):
        size -= len(piece)
        yield piece


def lines_of(file: BinaryIO, *, longest: int, start: int = 0) -> Iterator[bytes]:
    """Each line from a place on to where the file ends now, with its end: one is cut short only at the end.

    longest  bytes of a line; of a longer one no more are given, and what follows is given as further ones.
    """
    left = os.fstat(file.fileno()).st_size - start
    file.seek(start)
    while left > 0 and (line := file.readline(min(left, longest))):
        left -= len(line)
        yield line


def a_link(path: Path) -> OtherKind:
    """What to say of a link where none is followed."""
    remedy = "If you laid it there, move the file itself to this place instead; if not, find out who did."
    return OtherKind(Fault(path.name, "is a link, not a file", remedy))


def file_content(path: Path, *, most: int | None = None, follow: bool = True) -> bytes:
    """Everything in a file. Raises InvalidInput with one fault: missing, forbidden, no file, too large, a bad disk.

    most    bytes that it may have; None: any number.
    follow  as of `opened`.
    """
    try:
        if most is not None:
            return plain_bytes(path, most=most, follow=follow)
        with opened(path, follow=follow) as file:
            return file.read()
    except OtherKind as other:
        fault = other.fault
    except FileNotFoundError:
        fault = _missing(path)
    except PermissionError:
        what = f"the file may not be read by the user {_user()}"
        remedy = f"Give that user the right to read it, and to enter the folders above it: {path.parent}."
        fault = Fault(path.name, what, remedy)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidInput([_loop(path)]) from None
        fault = Fault(path.name, f"the file cannot be read ({type(error).__name__})", "Check the disk it is on.")
    raise InvalidInput([fault])


def kind_of(mode: int) -> str:
    """What a thing of this mode is, as one says it: a folder, a link, a named pipe (FIFO)."""
    if stat.S_ISLNK(mode):
        return "a link"
    told = (what.removeprefix("is ").removesuffix(", not a file") for is_kind, what, _ in _KINDS if is_kind(mode))
    return next(told, "a file")


def _refuse_other_kinds(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what, remedy = next(
        ((what, remedy) for is_kind, what, remedy in _KINDS if is_kind(mode)), ("is not a file", "Check the path.")
    )
    raise OtherKind(Fault(path.name, what, remedy))


def _missing(path: Path) -> Fault:
    if path.is_symlink():
        return Fault(
            path.name, "is a link to a file that does not exist", "Put the file in its place, or mend the link."
        )
    return Fault(path.name, "the file does not exist", "Check the path.")


def _loop(path: Path) -> Fault:
    return Fault(path.name, "is a link that leads back to itself", "Mend the link, or name the file.")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "of this process"
