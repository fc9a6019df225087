"""Is a ledger on the disk append-only, noticed when touched, shared without a race, and never begun anew by itself?

The rules of every ledger are in tests/privacy/test_ledger.py; kills are in tests/privacy/test_kills.py.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import BinaryIO

import pytest
from tests.hardship import in_children, no_file_longer_than

from oncofed.client.records import sqlite_ledger
from oncofed.client.records.chain import START, Anchor, link
from oncofed.client.records.sqlite_ledger import (
    SqliteLedger,
    copy_ledger,
    create_ledger,
    ledger_head,
    read_ledger,
    verify_ledger,
)
from oncofed.errors import BudgetExceeded, InvalidInput, RecordDamaged, RecordUnwritable, RequestRefused
from oncofed.plain_file import pieces_of
from oncofed.privacy.accounting import GaussianRelease
from oncofed.privacy.ledger import Budget, Charge

BUDGET = Budget(largest_epsilon=1.0, delta=1e-5)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def charge(number: int, *, sigma: float = 300.0) -> Charge:
    return Charge(f"{'a' * 64}/Bonn/{number}/0", f"hash-{number}", GaussianRelease(sigma))


def opened(path: Path, *, data_source: str = "registry", budget: Budget = BUDGET, wait: float = 30.0) -> SqliteLedger:
    return SqliteLedger(path, data_source=data_source, budget=budget, clock=lambda: NOON, lock_timeout_seconds=wait)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of five charges on two sources."""
    found = tmp_path / "ledger.sqlite"
    create_ledger(found)
    for number in range(5):
        opened(found, data_source="registry" if number % 2 == 0 else "trial").charge(charge(number))
    return found


def by_hand(path: Path, *statements: str) -> None:
    """What somebody does with a database tool; the append-only triggers are put back, or else they are missed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)


# One file, several sources


def test_each_source_has_its_own_charges_and_the_chain_is_common(path: Path) -> None:
    assert [one.identity[-3:] for one in opened(path).charges()] == ["0/0", "2/0", "4/0"]
    assert [one.identity[-3:] for one in opened(path, data_source="trial").charges()] == ["1/0", "3/0"]
    entries = read_ledger(path)
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].charged_at == "2026-11-23T12:00:00+00:00"
    assert verify_ledger(path, anchor=None) == Anchor(5, entries[-1].hash)


def test_another_source_has_a_budget_of_its_own(path: Path) -> None:
    for source in ("registry", "trial"):
        opened(path, data_source=source).charge(charge(90, sigma=4.5))
        with pytest.raises(BudgetExceeded):
            opened(path, data_source=source).charge(charge(91, sigma=4.5))


def test_only_its_owner_can_read_it(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


# Changes


FORGED = "UPDATE charge SET record = replace(record, '300.0', '900.0') WHERE number = 3"
TOUCHED = {
    "a charge made cheaper": (FORGED,),
    "moved to another source": ("UPDATE charge SET data_source = 'nobody' WHERE number = 3",),
    "another identity": ("UPDATE charge SET identity = 'x' WHERE number = 3",),
    "another day": ("UPDATE charge SET charged_at = '2020-01-01T00:00:00+00:00' WHERE number = 3",),
    "taken out": ("DELETE FROM charge WHERE number = 3",),
    "taken out and closed up": (
        "DELETE FROM charge WHERE number = 3",
        "UPDATE charge SET number = number - 1 WHERE number > 3",
    ),
    "the first taken out": ("DELETE FROM charge WHERE number = 1",),
    "two exchanged": (
        "UPDATE charge SET number = 99 WHERE number = 2",
        "UPDATE charge SET number = 2 WHERE number = 4",
        "UPDATE charge SET number = 4 WHERE number = 99",
    ),
    "another hash": (f"UPDATE charge SET hash = '{'0' * 64}' WHERE number = 5",),
    "no record": ("UPDATE charge SET record = '{}' WHERE number = 3",),
}


@pytest.mark.parametrize("statements", TOUCHED.values(), ids=TOUCHED.keys())
def test_a_row_that_was_touched_stops_every_use(path: Path, statements: tuple[str, ...]) -> None:
    ledger = opened(path)
    by_hand(path, *statements)
    with pytest.raises(RecordDamaged):
        verify_ledger(path, anchor=None)
    with pytest.raises(RecordDamaged):
        ledger.charge(charge(7))
    with pytest.raises(RecordDamaged):
        opened(path)


def test_rows_off_the_end_show_against_an_anchor(path: Path) -> None:
    anchor = str(ledger_head(path))
    by_hand(path, "DELETE FROM charge WHERE number >= 4")
    assert verify_ledger(path, anchor=None).entries == 3  # a shorter chain is a chain
    with pytest.raises(RecordDamaged, match="3 entries, and had 5"):
        verify_ledger(path, anchor=anchor)


def test_a_whole_chain_written_anew_shows_against_an_anchor(path: Path) -> None:
    anchor = str(ledger_head(path))
    path.unlink()
    create_ledger(path)
    for number in range(6):
        opened(path).charge(charge(number, sigma=900.0))
    assert verify_ledger(path, anchor=None).entries == 6
    with pytest.raises(RecordDamaged, match="another entry 5"):
        verify_ledger(path, anchor=anchor)


def test_an_anchor_stays_good_while_the_ledger_grows(path: Path) -> None:
    anchors = [str(ledger_head(path))]
    for number in range(10, 13):
        opened(path).charge(charge(number))
        anchors.append(str(ledger_head(path)))
    for anchor in [f"0:{START}", *anchors]:
        assert verify_ledger(path, anchor=anchor).entries == 8


@pytest.mark.parametrize("anchor", ["", "5", "5:abc", "x" * 70, f"-1:{START}"])
def test_what_is_no_anchor_is_told(path: Path, anchor: str) -> None:
    with pytest.raises(InvalidInput, match="Copy it whole"):
        verify_ledger(path, anchor=anchor)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE charge SET record = '{}' WHERE number = 1",
        "DELETE FROM charge WHERE number = 5",
        "INSERT OR REPLACE INTO charge SELECT * FROM charge WHERE number = 1",
        "INSERT OR REPLACE INTO charge SELECT 6, data_source, identity, charged_at, record, previous, hash "
        "FROM charge WHERE number = 1",
        "INSERT INTO charge SELECT 9, 'x', identity, charged_at, record, previous, hash FROM charge WHERE number = 1",
    ],
)
def test_the_file_itself_refuses_anything_but_an_appended_row(path: Path, statement: str) -> None:
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)
    assert verify_ledger(path, anchor=None).entries == 5


@pytest.mark.parametrize("name", ["charge_is_never_changed", "charge_is_never_removed", "charge_is_only_appended"])
def test_a_file_without_its_triggers_is_refused(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"DROP TRIGGER {name}")
    with pytest.raises(RecordDamaged, match="append-only"):
        opened(path)


@pytest.mark.parametrize("content", [b"", b"not a database\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_ledger_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RecordDamaged):
        opened(path)
    with pytest.raises(RecordDamaged):
        verify_ledger(path, anchor=None)


def test_a_ledger_that_was_taken_away_is_not_begun_anew(path: Path) -> None:
    ledger = opened(path)
    path.unlink()
    for use in (ledger.charges, lambda: ledger.charge(charge(7)), lambda: opened(path)):
        with pytest.raises(RecordDamaged, match="does not exist"):
            use()
    assert not path.exists()


def test_a_ledger_is_never_replaced_by_an_empty_one(path: Path) -> None:
    with pytest.raises(RecordDamaged, match="exists already"):
        create_ledger(path)
    assert len(read_ledger(path)) == 5


def test_the_chain_is_what_its_docstring_says() -> None:
    assert link(START, b"x") != link("1" + START[1:], b"x") != link(START, b"y")


# Disks and locks


def test_on_a_full_disk_nothing_is_charged_and_later_it_goes_on(path: Path) -> None:
    ledger = opened(path)
    with no_file_longer_than(16_384), pytest.raises(RecordUnwritable, match=r"Nothing was charged.*Free space"):
        ledger.charge(charge(7))
    assert verify_ledger(path, anchor=None).entries == 5
    ledger.charge(charge(7))
    assert verify_ledger(path, anchor=None).entries == 6


def test_a_ledger_that_another_holds_is_given_up_after_a_while(path: Path) -> None:
    ledger = opened(path, wait=0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordUnwritable, match="SQLITE_BUSY"):
            ledger.charge(charge(7))
        other.execute("ROLLBACK")
    ledger.charge(charge(7))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordUnwritable):
        create_ledger(tmp_path / "no such folder" / "ledger.sqlite")


# Several processes


def test_processes_that_charge_at_once_never_pass_the_budget(tmp_path: Path) -> None:
    """Forty releases are wanted by four processes, thirteen fit; a read before the lock would sell more."""
    path = tmp_path / "ledger.sqlite"
    create_ledger(path)

    def work(process: int) -> None:
        ledger = opened(path)
        for number in range(10):
            try:
                ledger.charge(charge(100 * process + number, sigma=13.5))
            except BudgetExceeded:
                return

    in_children(4, work)
    alone = opened(path, data_source="alone")
    fits = 0
    for number in range(40):
        try:
            alone.charge(charge(number, sigma=13.5))
        except BudgetExceeded:
            break
        fits += 1
    assert len(opened(path).charges()) == fits == 13
    verify_ledger(path, anchor=None)


def test_processes_that_ask_for_one_identity_charge_it_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    create_ledger(path)

    def work(process: int) -> None:
        try:
            opened(path).charge(charge(1))
        except RequestRefused:
            return
        (tmp_path / f"sold-{process}").touch()

    in_children(4, work)
    assert len(list(tmp_path.glob("sold-*"))) == 1
    assert len(opened(path).charges()) == 1


def hot_journal(ledger: bytes, *, names: str) -> bytes:
    """A rollback journal without pages, as SQLite's file format has it, that says which file belongs to it."""
    page = int.from_bytes(ledger[16:18], "big")
    magic, name = bytes.fromhex("d9d505f920a163d7"), names.encode()
    header = magic + struct.pack(">5I", 0, 1, len(ledger) // page, 512, page)
    end = struct.pack(">I", 2**30 // page + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    return header.ljust(512, b"\0") + end


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root at work on another user's ledger. Run as root.")
@pytest.mark.parametrize(
    "reads",
    [
        partial(verify_ledger, anchor=None),
        read_ledger,
        lambda path: copy_ledger(path, path.parents[1] / "copy"),
    ],
    ids=["verify", "read", "copy"],
)
def test_a_journal_that_the_guards_user_lays_has_root_remove_nothing(reads: Callable[[Path], object]) -> None:
    """SQLite removes the file that a journal names. Root reads a copy of the ledger, beside which none lies."""
    user = pwd.getpwnam("nobody")
    with TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        guard, of_root = Path(place) / "guard", Path(place) / "of-root"
        guard.mkdir()
        create_ledger(guard / "ledger.sqlite")
        of_root.write_text("two\nlines\n")
        journal = guard / "ledger.sqlite-journal"
        journal.write_bytes(hot_journal((guard / "ledger.sqlite").read_bytes(), names=str(of_root)))
        for path in (guard, *guard.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        before = {path.name: path.read_bytes() for path in guard.iterdir()}
        reads(guard / "ledger.sqlite")
        assert of_root.exists()
        assert {path.name: path.read_bytes() for path in guard.iterdir()} == before
        with closing(sqlite3.connect(guard / "ledger.sqlite")) as as_root, suppress(sqlite3.Error):
            as_root.execute("SELECT * FROM charge").fetchall()
        assert not of_root.exists()  # the journal is one that SQLite obeys


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root at work on another user's ledger. Run as root.")
def test_root_reads_what_stands_in_the_guards_write_ahead_log_alone(tmp_path: Path) -> None:
    """A charge is there before SQLite has moved it into the file; a copy of the file alone would forget it."""
    guard = tmp_path / "guard"
    guard.mkdir()
    path = guard / "ledger.sqlite"
    create_ledger(path)
    with closing(sqlite3.connect(path)) as keeps_open:
        keeps_open.execute("SELECT * FROM charge").fetchall()
        opened(path).charge(charge(1))
        for each in (guard, *guard.iterdir()):
            os.chown(each, *pwd.getpwnam("nobody")[2:4])
        assert (guard / "ledger.sqlite-wal").stat().st_size > 0
        assert [entry.charge.identity for entry in read_ledger(path)] == [charge(1).identity]


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root at work on another user's ledger. Run as root.")
@pytest.mark.parametrize("in_one_tick", [False, True])
def test_root_never_reads_a_ledger_that_is_written_to_while_it_is_copied(
    in_one_tick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one tick of the clock the time stays the same; a log that was begun anew has new numbers at its beginning."""
    path = tmp_path / "guard" / "ledger.sqlite"
    path.parent.mkdir()
    create_ledger(path)
    for each in (path.parent, path):
        os.chown(each, *pwd.getpwnam("nobody")[2:4])
    log = path.with_name("ledger.sqlite-wal")
    if in_one_tick:
        log.write_bytes(bytes(64))
    monkeypatch.setattr(sqlite_ledger, "_SECONDS_BETWEEN_LOOKS", 0.0)

    def written_to_meanwhile(file: BinaryIO, *, size: int) -> Iterator[bytes]:
        yield from pieces_of(file, size=size)
        if not in_one_tick:
            os.utime(path)
            return
        before = log.stat()
        log.write_bytes(os.urandom(64))
        os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))

    monkeypatch.setattr(sqlite_ledger, "pieces_of", written_to_meanwhile)
    with pytest.raises(RecordUnwritable, match="written to all the time"):
        read_ledger(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root at work on another user's ledger. Run as root.")
@pytest.mark.parametrize("made_by_root", [True, False])
def test_a_ledger_on_another_disk_is_read_by_a_link_that_root_made(tmp_path: Path, made_by_root: bool) -> None:
    """Of one that the guard's user laid root reads nothing: it may lead anywhere."""
    guard, elsewhere = tmp_path / "guard", tmp_path / "elsewhere"
    guard.mkdir()
    elsewhere.mkdir()
    create_ledger(elsewhere / "moved.sqlite")
    opened(elsewhere / "moved.sqlite").charge(charge(1))
    (guard / "ledger.sqlite").symlink_to(elsewhere / "moved.sqlite")
    for each in (guard, elsewhere, elsewhere / "moved.sqlite"):
        os.chown(each, 65_534, 65_534)
    if made_by_root:
        assert len(read_ledger(guard / "ledger.sqlite")) == 1
        return
    os.lchown(guard / "ledger.sqlite", 65_534, 65_534)
    with pytest.raises(RecordUnwritable, match="is a link"):
        read_ledger(guard / "ledger.sqlite")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root at work on another user's ledger. Run as root.")
def test_a_full_disk_for_copies_is_not_told_as_the_ledgers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (path.parent, *path.parent.iterdir()):
        os.chown(each, 65_534, 65_534)

    def full(*_: object, **__: object) -> Iterator[bytes]:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(sqlite_ledger, "pieces_of", full)
    with pytest.raises(RecordUnwritable, match=f"^{Path(gettempdir()).name} cannot be written"):
        read_ledger(path)


def test_a_read_in_one_thread_takes_no_lock_from_a_charge_in_another(path: Path) -> None:
    """Closing any descriptor of a file gives up all locks of the process on it (POSIX)."""
    with closing(sqlite3.connect(path, isolation_level=None)) as charging:
        charging.execute("BEGIN IMMEDIATE")
        read_ledger(path)

        program = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0.1).execute('BEGIN IMMEDIATE')"
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr
        charging.execute("ROLLBACK")


def test_a_row_that_is_longer_than_any_charge_is_not_read(path: Path) -> None:
    """Rows may share their pages, so that a file of 10 MB is read as gigabytes."""
    by_hand(path, "UPDATE charge SET record = record || printf('%.*c', 2000000, ' ') WHERE number = 5")
    with pytest.raises(RecordDamaged, match="SQLITE_TOOBIG"):
        read_ledger(path)


def test_a_record_of_brackets_within_brackets_is_damaged(path: Path) -> None:
    entries = read_ledger(path)
    record = "[" * 100_000
    content = json.dumps([5, "registry", entries[4].charged_at, record]).encode()
    by_hand(path, f"UPDATE charge SET record = '{record}', hash = '{link(entries[3].hash, content)}' WHERE number = 5")
    with pytest.raises(RecordDamaged, match="entry 5"):
        read_ledger(path)


def test_a_copy_is_a_ledger_of_its_own(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    copy_ledger(path, copy)
    assert [entry.hash for entry in read_ledger(copy)] == [entry.hash for entry in read_ledger(path)]
    opened(copy).charge(charge(9))
    assert len(read_ledger(copy)) == len(read_ledger(path)) + 1


@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm"])
def test_nobody_waits_for_a_pipe_beside_the_ledger(path: Path, end: str) -> None:
    found = path.with_name(f"{path.name}{end}")
    found.unlink(missing_ok=True)
    os.mkfifo(found)
    with pytest.raises(RecordDamaged, match="named pipe"):
        read_ledger(path)


def test_what_is_larger_than_any_ledger_is_not_read(path: Path) -> None:
    """Root reads it, and its user may have made it of any size."""
    os.truncate(path, 1 << 40)
    with pytest.raises(RecordDamaged, match="larger than any ledger"):
        verify_ledger(path, anchor=None)
