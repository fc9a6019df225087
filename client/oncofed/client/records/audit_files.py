"""In which files does an audit log lie, and which of them is open?

``audit.jsonl`` is open. ``audit.<entries>.jsonl`` is closed, for good, with so many entries in all logs up to its end;
``audit.<entries>.closing`` says who vouches for it (`closed_log`). ``audit.jsonl.next`` is there while a log is closed:
the new one, until the old one has its other name. Whoever writes next puts it in its place if a kill came between.

Promises: one writer at a time, whatever the process, and never to a log that was closed while it waited. Refused, with
RecordDamaged: a log without the closed ones that it goes on from, and closed ones that the log does not go on from.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from oncofed.client.records.audit_line import LONGEST_LINE, LONGEST_TORN, fields_in
from oncofed.durable import sync_folder
from oncofed.errors import RecordDamaged
from oncofed.plain_file import a_link, lines_of, opened, refuse_other_kinds
from oncofed.turns import in_turn

LOG_CLOSED = "log_closed"
"""The last event of a closed log; also where a kill kept it from being closed, and then others follow."""
LOG_BEGUN = "log_begun"
"""The first event of a log that goes on from a closed one."""

_TO_WRITE = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK
_LOOKS = 3
"""A log that is closed between two looks is found whole by the next; nobody closes one twice in that time."""


def archive_of(path: Path, entries: int) -> Path:
    """Where a log is kept that was closed with so many entries in all."""
    return path.with_name(f"{path.stem}.{entries}{path.suffix}")


def closing_of(archive: Path) -> Path:
    """Where it is kept who vouches for a closed log."""
    return archive.with_suffix(".closing")


def begun_of(path: Path) -> Path:
    """Where the new log waits until the old one has its other name."""
    return path.with_name(path.name + ".next")


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The open log, for one writer at a time: not the one that was closed while it waited."""
    with in_turn(path, opened=lambda: _opened(path)) as descriptor:
        yield descriptor


@contextmanager
def at_rest(path: Path, *, seconds: float) -> Iterator[None]:
    """While inside nobody writes to the log. Nothing is made or renamed. Raises RecordUnwritable, OSError.

    seconds  how long to wait for a writer.
    """
    with in_turn(path, opened=lambda: _opened_as_it_is(path, os.O_RDONLY | os.O_NONBLOCK), seconds=seconds):
        yield


def _opened(path: Path) -> int:
    with suppress(FileNotFoundError):
        return _opened_as_it_is(path, _TO_WRITE)
    with suppress(FileNotFoundError):  # whoever closed the log is between two steps, or was killed there
        begun_of(path).rename(path)
        sync_folder(path.parent)
    # An empty one beside closed logs is no beginning: `AuditLog`.
    return os.open(path, _TO_WRITE | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _opened_as_it_is(path: Path, flags: int) -> int:
    if path.is_symlink():
        raise a_link(path)
    descriptor = os.open(path, flags | os.O_NOFOLLOW)
    refuse_other_kinds(path, descriptor)
    return descriptor


@contextmanager
def closing(path: Path) -> Iterator[None]:
    """While inside, nobody else closes the log: two would take each other's new one for their own."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def archives_beside(path: Path) -> frozenset[Path]:
    """Closed logs, whether this one goes on from them or not."""
    return _so_named(path) - copies_beside(path)


def copies_beside(path: Path) -> frozenset[Path]:
    """Files with the name of a closed log that end in another entry than their name says: somebody made a copy."""
    return frozenset(each for each in _so_named(path) if _is_copy(each))


def _so_named(path: Path) -> frozenset[Path]:
    found = path.parent.glob(f"{path.stem}.*{path.suffix}")
    return frozenset(each for each in found if each.stem.rpartition(".")[2].isdecimal())


def _is_copy(file: Path) -> bool:
    if not file.is_file():
        return False
    with opened(file) as content:
        content.seek(max(0, file.stat().st_size - 2 * LONGEST_LINE))
        tail = content.read(2 * LONGEST_LINE)
    last = fields_in(tail[tail.rfind(b"\n", 0, -1) + 1 :])
    return last is not None and str(last["number"]) != file.stem.rpartition(".")[2]


def lost(path: Path, *, unexplained: Iterable[Path]) -> RecordDamaged:
    """What to say of a log that does not go on from files beside it with the name of a closed one."""
    named = ", ".join(sorted(file.name for file in unexplained))
    return RecordDamaged(
        f"{path.name} does not go on from {named} beside it. Nothing is released. If that is a copy, or was made by "
        f"something else, move it to another folder. If it is a closed log, {path.name} is lost, or is another one: "
        "put no older copy in its place; docs/install-hospital.md, section 8, says what to do."
    )


@dataclass(frozen=True)
class LogFile:
    """One file of a log. inode: -1 where there is none. lines: to be read once, before the next file is asked for."""

    path: Path
    inode: int
    lines: Iterator[bytes]


def files_of(path: Path) -> Generator[LogFile]:
    """The closed logs that this one goes on from, oldest first, and itself, whatever there is of it. Checks no chain.

    A log may be long, so none is held in memory.
    """
    for _ in range(_LOOKS):
        newest = _newest(path)
        try:
            archives = _archives_before(newest, path)
            unexplained = archives_beside(path) - {*archives}
            if not unexplained:
                for archive in archives:
                    with opened(archive) as file:
                        yield _to_read(archive, file)
                yield _to_read(path, newest)
                return
        finally:
            if newest is not None:
                newest.close()
    raise lost(path, unexplained=unexplained)


def _to_read(path: Path, file: BinaryIO | None) -> LogFile:
    if file is None:
        return LogFile(path, -1, iter(()))
    return LogFile(path, os.fstat(file.fileno()).st_ino, lines_of(file, longest=LONGEST_TORN))


def _newest(path: Path) -> BinaryIO | None:
    for place in (path, begun_of(path), path):  # it may be closed at this moment
        with suppress(FileNotFoundError):
            return opened(place, follow=False)  # nobody writes through a link
    return None


def _archives_before(newest: BinaryIO | None, path: Path) -> list[Path]:
    found: list[Path] = []
    before = 0 if newest is None else _entries_before(newest)
    while before > 0:
        archive = archive_of(path, before)
        if not archive.exists() or archive in found:
            raise RecordDamaged(
                f"{archive.name}, a closed audit log, is lost. Put it back from any backup: it never changes, and "
                "whether it is the one is checked. Until then nothing is released."
            )
        found.insert(0, archive)
        with opened(archive) as file:
            before = _entries_before(file)
    return found


def _entries_before(file: BinaryIO) -> int:
    """How many there are in closed logs, by what the first line of this one says."""
    fields = fields_in(file.readline(LONGEST_LINE))
    if fields is None or fields["event"] != LOG_BEGUN or type(fields["number"]) is not int:
        return 0
    return fields["number"] - 1
