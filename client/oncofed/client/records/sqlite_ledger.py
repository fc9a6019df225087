"""How does a hospital's ledger survive kills, restarts, full disks and second processes?

One SQLite file for all data sources of a hospital: append-only, each row chained to the one before it by its hash. A
charge is one transaction under SQLite's write lock: read and check all that was charged, refuse, or insert and commit
to the disk (write-ahead log, full sync). Only then does `charge` return. Releases are kept as events; epsilon is
derived, so that a better accountant later makes old charges cheaper, never forgotten.

Promises: what `charge` returned from survives a power failure; two processes never spend the same rest of a budget; a
row that was changed, taken out or moved is noticed by every read of the file (an end that was cut off, only with an
outside anchor, `verify_ledger`). Refused: a file that is missing, since an empty new one would be a fresh budget
(`create_ledger` makes the first); one whose append-only triggers are gone; and, with RecordUnwritable, to go on when
the disk is full, failing, or the file is locked for long. Nothing is then recorded, and nothing may be released.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from oncofed.client.records.chain import START, Anchor, head_of, link, refuse_unless_anchored
from oncofed.durable import create_durably, unwritable
from oncofed.errors import RecordDamaged, RecordUnwritable, RefusalCode, RequestRefused
from oncofed.plain_file import kind_of, opened, pieces_of, plain_bytes
from oncofed.privacy.ledger import Budget, Charge, charge_from_json, charge_to_json, refuse_if_over_budget

SECONDS_TO_WAIT_FOR_A_LOCK = 30.0
_LARGEST_EMPTY = 1_000_000
"""Bytes of a ledger without a charge, which SQLite makes of a few pages."""

_APPLICATION_ID = 0x6F6E6366  # "oncf": a file of another program is not taken for a ledger
_SCHEMA = {
    "charge": """CREATE TABLE charge (
    number INTEGER PRIMARY KEY,
    data_source TEXT NOT NULL,
    identity TEXT NOT NULL,
    charged_at TEXT NOT NULL,
    record TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (data_source, identity)
) STRICT""",
    "charge_is_never_changed": """CREATE TRIGGER charge_is_never_changed BEFORE UPDATE ON charge
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    "charge_is_never_removed": """CREATE TRIGGER charge_is_never_removed BEFORE DELETE ON charge
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    # INSERT OR REPLACE removes rows without asking the trigger above.
    "charge_is_only_appended": """CREATE TRIGGER charge_is_only_appended BEFORE INSERT ON charge
WHEN NEW.number != (SELECT COUNT(*) + 1 FROM charge)
  OR EXISTS (SELECT 1 FROM charge WHERE data_source = NEW.data_source AND identity = NEW.identity)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
}
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_SCHEMA", "SQLITE_MISMATCH", "SQLITE_TOOBIG")
"""What SQLite calls a file that is not a sound ledger; everything else is a disk or a lock."""


_NO_OLDER_COPY = (
    "Do not release anything, and put no copy back before its head is the newest that you noted outside: an older one "
    "would spend the same privacy twice. docs/install-hospital.md, section 8."
)


@dataclass(frozen=True)
class Entry:
    """One row. charged_at: UTC, ISO 8601. hash: over the row before it and all of this one."""

    number: int
    data_source: str
    charged_at: str
    charge: Charge
    hash: str


class SqliteLedger:
    """The ledger of one data source in a file that several share; implements `privacy.ledger.Ledger`.

    data_source   the stable id of the hospital's policy. Studies, plan versions and restarts all count under it.
    counted_with  the ids of sources that share patients with it. What is charged to them counts here, too.
    """

    def __init__(
        self,
        path: Path,
        *,
        data_source: str,
        budget: Budget,
        counted_with: Sequence[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lock_timeout_seconds: float = SECONDS_TO_WAIT_FOR_A_LOCK,
    ) -> None:
        self._path = path
        self._data_source = data_source
        self._counted = frozenset([data_source, *counted_with])
        self._budget = budget
        self._clock = clock
        self._lock_timeout_seconds = lock_timeout_seconds
        self.charges()  # a damaged file is refused before anything is asked of it

    @property
    def budget(self) -> Budget:
        """As `privacy.ledger.Ledger` says."""
        return self._budget

    def charges(self) -> Sequence[Charge]:
        """As `privacy.ledger.Ledger` says."""
        with _to_read(self._path, lock_timeout_seconds=self._lock_timeout_seconds) as connection:
            return _charges_of(self._counted, _entries(connection, self._path))

    def charge(self, charge: Charge) -> None:
        """As `privacy.ledger.Ledger` says. Raises RecordDamaged or RecordUnwritable; then nothing is charged."""
        with _opened(self._path, lock_timeout_seconds=self._lock_timeout_seconds) as connection:
            connection.execute("BEGIN IMMEDIATE")  # from here on no other process can charge
            try:
                entries = _entries(connection, self._path)
                made = _charges_of(self._counted, entries)
                if any(other.identity == charge.identity for other in made):
                    raise RequestRefused(RefusalCode.REQUEST_CONFLICT)
                refuse_if_over_budget(_Frozen(self._budget, made), charge)
                _insert(connection, entries, data_source=self._data_source, charge=charge, now=self._clock())
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def create_ledger(path: Path, *, owner: tuple[int, int] | None = None) -> None:
    """Make the first, empty ledger. Raises RecordDamaged when there is one: it is never replaced by an empty one.

    owner  user and group whose it is; None: one's own.
    """
    if not create_durably(path, _empty_ledger(path), owner=owner):
        raise RecordDamaged(f"{path.name} exists already; a new one would forget what was charged.")


def _empty_ledger(path: Path) -> bytes:
    """Made where nobody else may write: SQLite opens files by name, and root may be at work. path: for messages."""
    with unwritable(path), TemporaryDirectory() as work:
        made = Path(work) / path.name
        with _sqlite_failures(path), closing(sqlite3.connect(made, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            for statement in _SCHEMA.values():
                connection.execute(statement)
        return plain_bytes(made, most=_LARGEST_EMPTY)


def copy_ledger(path: Path, copy: Path) -> None:
    """Make a whole copy under a name that is free, while others may charge: each charge is in it, or none of it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as held:
        with _to_read(path) as connection:
            connection.backup(held)
        with unwritable(copy):
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with _sqlite_failures(copy), closing(sqlite3.connect(copy, isolation_level=None)) as target:
            held.backup(target)


def read_ledger(path: Path) -> tuple[Entry, ...]:
    """Every row of every data source, oldest first. Raises RecordDamaged when the chain does not hold."""
    with _to_read(path) as connection:
        return _entries(connection, path)


def ledger_head(path: Path) -> Anchor:
    """The head to note outside the hospital's machine, for `verify_ledger`."""
    return head_of([entry.hash for entry in read_ledger(path)])


def verify_ledger(path: Path, *, anchor: str | None) -> Anchor:
    """The head of a sound ledger. Raises RecordDamaged for a row that was changed, taken out or moved.

    anchor  a head that was noted earlier; without one, rows taken off the end do not show.
    """
    with _to_read(path) as connection:
        answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
        entries = _entries(connection, path)
    if answer != "ok":
        raise RecordDamaged(f"{path.name} is damaged on the disk. {_NO_OLDER_COPY}")
    hashes = [entry.hash for entry in entries]
    if anchor is not None:
        refuse_unless_anchored(hashes, anchor, record=path.name)
    return head_of(hashes)


@dataclass(frozen=True)
class _Frozen:
    """What the ledger holds while nobody else can write: for the rule of `refuse_if_over_budget`."""

    budget: Budget
    made: tuple[Charge, ...]

    def charges(self) -> Sequence[Charge]:
        return self.made

    def charge(self, charge: Charge) -> None:
        raise AssertionError("a snapshot is only read")


def _charges_of(data_sources: Collection[str], entries: Sequence[Entry]) -> tuple[Charge, ...]:
    return tuple(entry.charge for entry in entries if entry.data_source in data_sources)


_LARGEST = 2**28
"""Bytes of one file: half a million charges."""
_LONGEST_RECORD = 1_000_000
"""Bytes of a row. A file may say that its rows share their pages, and be read as many times its size."""
_BESIDE = ("-journal", "-wal", "-shm")
_BEGINNING = 100
"""Bytes of SQLite's header; the first 32 of a write-ahead log are its own."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_LOOKS = 100
_SECONDS_BETWEEN_LOOKS = 0.05


@contextmanager
def _to_read(path: Path, *, lock_timeout_seconds: float = SECONDS_TO_WAIT_FOR_A_LOCK) -> Iterator[sqlite3.Connection]:
    """A connection that is only read from: to another user's ledger, such as the guard's for root, by a copy.

    SQLite opens and removes files by names that stand in other files. A journal that this user laid beside the ledger
    may name any file as its own, and root would remove it; and whoever shares SQLite's index with root can cut it
    short while root has it in memory.
    """
    with unwritable(path):
        _refuse_lost(path)
        own = {path.parent.stat().st_uid, path.stat().st_uid} == {os.geteuid()}
        if path.lstat().st_uid == os.geteuid():  # a link that this user made, to another disk: SQLite follows it, too
            path = path.resolve()
    if own:
        with _opened(path, lock_timeout_seconds=lock_timeout_seconds) as connection:
            yield connection
        return
    with _room_for_copies():
        folder = TemporaryDirectory()
    with folder as work:
        copy = Path(work) / path.name
        _copied_at_rest(path, copy)
        with _opened(copy, lock_timeout_seconds=lock_timeout_seconds) as connection:
            yield connection


def _copied_at_rest(path: Path, copy: Path) -> None:
    """The ledger and its write-ahead log, neither of which changed meanwhile: each charge is in it, or none of it."""
    for _ in range(_LOOKS):
        before = _state(path)
        for end in ("", "-wal"):
            target = copy.with_name(f"{copy.name}{end}")
            target.unlink(missing_ok=True)
            found = path.with_name(f"{path.name}{end}")
            with unwritable(path), suppress(FileNotFoundError), opened(found, follow=False) as file:
                size = os.fstat(file.fileno()).st_size
                _refuse_size(path, end, size)
                with _room_for_copies(), os.fdopen(os.open(target, _NEW, 0o600), "wb") as written:
                    written.writelines(pieces_of(file, size=size))
        if copy.exists() and _state(path) == before:
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise RecordUnwritable(f"{path.name} is written to all the time, so it cannot be read. Look again in a minute.")


def _room_for_copies() -> AbstractContextManager[None]:
    """A full disk there is not the ledger's."""
    return unwritable(Path(gettempdir()))


def _state(path: Path) -> tuple[object, ...]:
    """Which files there are, how large, when they were written to, and how they begin.

    A log that is begun anew has new numbers there: between two ticks of the clock its time may be the same.
    """
    found: list[object] = []
    for end in ("", "-wal"):
        place = path.with_name(f"{path.name}{end}")
        with unwritable(path), suppress(FileNotFoundError), opened(place, follow=False) as file:
            now = os.fstat(file.fileno())
            found.append((end, now.st_ino, now.st_size, now.st_mtime_ns, file.read(_BEGINNING)))
    return tuple(found)


def _refuse_lost(path: Path) -> None:
    if not path.exists():
        raise RecordDamaged(
            f"{path.name} does not exist in {path.parent}. {_NO_OLDER_COPY} Only a new installation, which has "
            "never released anything, may start with an empty ledger."
        )


def _refuse_size(path: Path, end: str, size: int) -> None:
    if size > _LARGEST:
        raise RecordDamaged(f"{path.name}{end} is larger than any ledger. {_NO_OLDER_COPY}")


@contextmanager
def _opened(path: Path, *, lock_timeout_seconds: float) -> Iterator[sqlite3.Connection]:
    """A connection for one piece of work: it can be used from any thread, and a fork inherits none."""
    with unwritable(path):
        for end in ("", *_BESIDE):
            # Looked at, never opened: closing it would give up the locks that another thread holds on it.
            with suppress(FileNotFoundError):
                found = path.with_name(f"{path.name}{end}").stat()
                if not stat.S_ISREG(found.st_mode):  # SQLite would wait for a pipe
                    raise RecordDamaged(f"{path.name}{end} is {kind_of(found.st_mode)}. {_NO_OLDER_COPY}")
                _refuse_size(path, end, found.st_size)
        _refuse_lost(path)
    with _sqlite_failures(path):
        # Mode rw: SQLite never makes a missing file anew.
        address = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=lock_timeout_seconds)
        with closing(connection):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_RECORD)
            connection.execute("PRAGMA synchronous = FULL")
            found_here = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
            of_us = connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION_ID
            if not of_us or found_here != _SCHEMA:
                raise RecordDamaged(
                    f"{path.name} is not a ledger of this program, or what keeps it append-only was taken out. "
                    f"{_NO_OLDER_COPY}"
                )
            yield connection


@contextmanager
def _sqlite_failures(path: Path) -> Iterator[None]:
    """Turn SQLite's own errors into ours. Its text may quote a row, so only the name of the error goes on."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if name.startswith(_DAMAGED):
            raise RecordDamaged(f"{path.name} is not a sound ledger ({name}). {_NO_OLDER_COPY}") from None
        raise RecordUnwritable(
            f"{path.name} cannot be written or read ({name}). Nothing was charged and nothing was released. "
            "Free space on its disk, check its owner and rights and that no other program holds it open, and try again."
        ) from None


def _entries(connection: sqlite3.Connection, path: Path) -> tuple[Entry, ...]:
    rows = connection.execute(
        "SELECT number, data_source, identity, charged_at, record, previous, hash FROM charge ORDER BY number"
    )
    entries: list[Entry] = []
    previous = START
    for expected, (number, data_source, identity, charged_at, record, before, hash_) in enumerate(rows, start=1):
        content = _content(number, data_source, charged_at, record)
        if number != expected or before != previous or hash_ != link(previous, content):
            raise _broken(path, expected)
        try:
            charge = charge_from_json(json.loads(record))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _broken(path, expected) from None
        if charge.identity != identity:
            raise _broken(path, expected)
        entries.append(Entry(number, data_source, charged_at, charge, hash_))
        previous = hash_
    return tuple(entries)


def _broken(path: Path, number: int) -> RecordDamaged:
    return RecordDamaged(
        f"{path.name}: entry {number} is not the one that was written there; it, or one before it, was changed, taken "
        f"out or moved. {_NO_OLDER_COPY}"
    )


def _content(number: int, data_source: str, charged_at: str, record: str) -> bytes:
    return json.dumps([number, data_source, charged_at, record]).encode()


def _insert(
    connection: sqlite3.Connection, entries: Sequence[Entry], *, data_source: str, charge: Charge, now: datetime
) -> None:
    head = head_of([entry.hash for entry in entries])
    number, charged_at = head.entries + 1, now.astimezone(UTC).isoformat(timespec="seconds")
    record = json.dumps(charge_to_json(charge), sort_keys=True, allow_nan=False)
    hash_ = link(head.hash, _content(number, data_source, charged_at, record))
    connection.execute(
        "INSERT INTO charge VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, data_source, charge.identity, charged_at, record, head.hash, hash_),
    )
