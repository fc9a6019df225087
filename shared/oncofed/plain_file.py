"""What does the file at a path hold, and if it holds nothing that can be read, why not?

One way in for what people name or put in place: tables, TOML files, plans. Promises: what is no plain file is never
read, and told by what it is (a folder, a named pipe, a device), so that nobody waits for a pipe without a writer; no
more than `most` bytes are taken. Links are followed. Imports nothing of the package but its errors.
"""

from __future__ import annotations

import errno
import getpass
import os
import stat
from pathlib import Path

from oncofed.errors import Fault, InvalidInput

_KINDS = (
    (stat.S_ISDIR, "is a folder, not a file", "Name the file inside it."),
    (stat.S_ISFIFO, "is a named pipe (FIFO), not a file", "Write what comes through it to a file, and name that."),
    (stat.S_ISSOCK, "is a socket, not a file", "Check the path."),
    (stat.S_ISCHR, "is a device, not a file", "Check the path."),
    (stat.S_ISBLK, "is a disk or another device, not a file", "Check the path."),
)


def file_content(path: Path, *, most: int | None = None) -> bytes:
    """Everything in a file. Raises InvalidInput with one fault: missing, forbidden, no file, too large, a bad disk.

    most  bytes that it may have; None: any number.
    """
    try:
        _refuse_other_kinds(path, os.stat(path).st_mode)
        # Without waiting: another process may put a pipe in its place just now.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _refuse_other_kinds(path, os.fstat(file.fileno()).st_mode)
            content = file.read() if most is None else file.read(most + 1)
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
    else:
        if most is None or len(content) <= most:
            return content
        what = f"is larger than {most:,} bytes, which no file of its kind is"
        fault = Fault(path.name, what, "Check that it is the right file.")
    raise InvalidInput([fault])


def _refuse_other_kinds(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what, remedy = next(
        ((what, remedy) for is_kind, what, remedy in _KINDS if is_kind(mode)), ("is not a file", "Check the path.")
    )
    raise InvalidInput([Fault(path.name, what, remedy)])


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
