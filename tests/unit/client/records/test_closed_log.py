"""Is a log that is closed and begun anew still one log, whatever fails meanwhile and whoever writes?"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from oncofed.client.records import audit_files, audit_log
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.audit_files import LOG_BEGUN, LOG_CLOSED, archive_of, closing_of, copies_beside
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.chain import Anchor
from oncofed.client.records.closed_log import signed_closing, verify_closing
from oncofed.durable import replace_durably, sync_folder
from oncofed.errors import InvalidInput, RecordDamaged, RecordFailure
from oncofed.protocol.signing import new_signing_key, public_key_of

KEY = new_signing_key()
VOUCHED = signed_closing(site="Bonn", answer_key=KEY)


def log(path: Path) -> AuditLog:
    return AuditLog(path, clock=lambda: datetime(2026, 11, 29, tzinfo=UTC))


def noted(path: Path, *names: str) -> None:
    for name in names:
        log(path).append(name)


def events(path: Path) -> list[str]:
    return [entry.event for entry in verify_audit_log(path).entries]


def closed(path: Path) -> tuple[Path, Anchor]:
    return log(path).close(by="Dr. Example", vouched=VOUCHED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three entries."""
    found = tmp_path / "audit.jsonl"
    noted(found, "one", "two", "three")
    return found


@pytest.fixture
def twice(path: Path) -> Path:
    """Closed twice, with an entry in between and one after."""
    closed(path)
    noted(path, "four")
    closed(path)
    noted(path, "five")
    return path


ALL = ["one", "two", "three", LOG_CLOSED, LOG_BEGUN, "four", LOG_CLOSED, LOG_BEGUN, "five"]


def test_it_is_one_chain_and_a_head_that_was_noted_stays_good(path: Path) -> None:
    before = str(verify_audit_log(path).head)
    archive, head = closed(path)
    assert (archive, head.entries) == (path.with_name("audit.4.jsonl"), 4)
    noted(path, "four")
    report = verify_audit_log(path, anchor=before)
    verify_audit_log(path, anchor=str(head))
    assert [entry.event for entry in report.entries] == ["one", "two", "three", LOG_CLOSED, LOG_BEGUN, "four"]
    assert [entry.number for entry in report.entries] == [1, 2, 3, 4, 5, 6]
    assert report.archives == ((archive, head),)
    assert (report.entries[3].by, report.entries[4].by) == ("Dr. Example", "Dr. Example")
    assert any("audit.4.jsonl" in line for line in report.lines())
    assert path.stat().st_mode & 0o777 == archive.stat().st_mode & 0o777 == 0o600


def test_it_can_be_closed_again_and_again(twice: Path) -> None:
    assert events(twice) == ALL
    assert [archive.name for archive, _ in verify_audit_log(twice).archives] == ["audit.4.jsonl", "audit.7.jsonl"]


def test_without_its_closing_a_closed_log_is_as_whole_as_before_and_nobody_vouches(twice: Path) -> None:
    """What is decided by the log is decided by its chain (`closed_log`)."""
    before = verify_audit_log(twice)
    archive, head = before.archives[0]
    assert verify_closing(archive, head, site="Bonn") == public_key_of(KEY).hex()
    closing_of(archive).unlink()
    assert verify_audit_log(twice) == before
    noted(twice, "six")
    assert events(twice) == [*ALL, "six"]
    with pytest.raises(RecordDamaged, match="any backup"):
        verify_closing(archive, head, site="Bonn")


def test_whoever_wrote_before_goes_on_in_the_new_log(path: Path) -> None:
    guard = log(path)
    guard.announce("contribute", plan_hash="ab" * 32, round_=1, attempt=0)
    closed(path)
    guard.append("contribute", plan_hash="ab" * 32, round_=1, attempt=0, code="not_ready")
    assert events(path)[-2:] == [LOG_BEGUN, "contribute"]
    assert len(path.read_bytes().splitlines()) == 2


def test_no_line_is_lost_when_many_write_while_it_is_closed(path: Path) -> None:
    def write(name: str) -> None:
        for number in range(30):
            log(path).append(f"{name}{number}")

    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        with suppress(InvalidInput):  # nobody has written since
            closed(path)
        verify_audit_log(path)
    for writer in writers:
        writer.join()
    found = [event for event in events(path) if event not in (LOG_CLOSED, LOG_BEGUN)]
    assert sorted(found[3:]) == sorted(f"{name}{number}" for name in "abc" for number in range(30))
    assert len(verify_audit_log(path).archives) > 1


def test_many_may_close_it_at_a_time(path: Path) -> None:
    def close() -> None:
        for number in range(10):
            log(path).append(f"line{number}")
            with suppress(InvalidInput):
                closed(path)

    closers = [threading.Thread(target=close) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    found = [event for event in events(path) if event.startswith("line")]
    assert sorted(found) == sorted(f"line{number}" for number in range(10) for _ in closers)


def test_a_log_that_is_closed_while_it_is_read_is_read_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest, looked = audit_files._newest, list[Path]()

    def closed_meanwhile(place: Path) -> BinaryIO | None:
        found = newest(place)
        looked.append(place)
        if len(looked) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(audit_files, "_newest", newest)
                closed(path)
        return found

    monkeypatch.setattr(audit_files, "_newest", closed_meanwhile)
    assert events(path) == ["one", "two", "three", LOG_CLOSED, LOG_BEGUN]


def test_there_must_be_something_to_close(path: Path, tmp_path: Path) -> None:
    closed(path)
    for empty in (path, tmp_path / "never.jsonl"):
        with pytest.raises(InvalidInput, match="no entry to close"):
            closed(empty)


def test_a_damaged_log_is_not_vouched_for(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"two", b"tow"))
    with pytest.raises(RecordDamaged):
        closed(path)
    assert not list(path.parent.glob("*.closing"))


class PowerCut(BaseException):
    """Not an Exception: nothing may catch it."""


STEPS = ("its last line", "the closing", "the new log", "its name", "flushed", "the new one's name", "flushed")
"""What closing does to the disk, one by one: see `closed_with_a_cut`."""


def closed_with_a_cut(path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> bool:
    """Whether the power failed, at the n-th of: a line written, a file replaced, a name changed, a folder flushed."""
    calls = [0]

    def cutting(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **settings: Any) -> Any:
            calls[0] += 1
            if calls[0] == at:
                raise PowerCut
            return original(*arguments, **settings)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "replace_durably", cutting(replace_durably))
        patch.setattr(audit_log, "sync_folder", cutting(sync_folder))
        patch.setattr(Path, "rename", cutting(Path.rename))
        patch.setattr(os, "write", cutting(os.write))
        try:
            closed(path)
        except PowerCut:
            return True
    return False


def test_what_is_tried_below_is_every_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not closed_with_a_cut(path, monkeypatch, len(STEPS) + 1)


@pytest.mark.parametrize("at", range(1, len(STEPS) + 1))
def test_after_a_kill_at_any_step_nothing_is_lost_and_the_next_run_completes_it(
    at: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert closed_with_a_cut(path, monkeypatch, at)
    before = events(path)
    assert before[:3] == ["one", "two", "three"]
    report = verify_audit_log(path)
    if report.closing_unfinished:
        assert any("close-log" in line for line in report.lines()), "told to a person"
    noted(path, "four")
    assert events(path) == [*before, "four"], "a guard that runs on notices nothing"
    archive, head = closed(path)
    noted(path, "five")
    assert [event for event in events(path) if not event.startswith("log_")] == ["one", "two", "three", "four", "five"]
    assert verify_closing(archive, head, site="Bonn") == public_key_of(KEY).hex()


def older_open_log(path: Path) -> None:
    """As of before the last closing."""
    archive_of(path, 7).replace(path)
    archive_of(path, 7).write_bytes(path.read_bytes())


def begun_at_one(path: Path) -> None:
    path.unlink()
    noted(path.with_name("other.jsonl"), "one")
    path.with_name("other.jsonl").rename(path)


def another_chain(path: Path) -> None:
    """A closed log of the right length and name, whose chain is sound by itself."""
    other = path.with_name("other.jsonl")
    noted(other, "one", "two", "four", "five")
    other.rename(archive_of(path, 4))


def joined(path: Path) -> None:
    archive_of(path, 7).write_bytes(archive_of(path, 4).read_bytes() + archive_of(path, 7).read_bytes())
    archive_of(path, 4).unlink()


def both_lost(path: Path) -> None:
    path.unlink()
    archive_of(path, 7).unlink()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a closed log is lost": lambda path: archive_of(path, 4).unlink(),
    "the newest closed log is lost": lambda path: archive_of(path, 7).unlink(),
    "a closed log has a byte changed": lambda path: archive_of(path, 4).write_bytes(
        archive_of(path, 4).read_bytes().replace(b"two", b"tow")
    ),
    "a closed log has lost its end": lambda path: archive_of(path, 7).write_bytes(
        b"".join(archive_of(path, 7).read_bytes().splitlines(keepends=True)[:-1])
    ),
    "a closed log is cut short": lambda path: archive_of(path, 7).write_bytes(archive_of(path, 7).read_bytes()[:-20]),
    "a closed log is empty": lambda path: archive_of(path, 4).write_bytes(b""),
    "the closed logs are exchanged": lambda path: (
        archive_of(path, 4).rename(path.with_name("x")),
        archive_of(path, 7).rename(archive_of(path, 4)),
        path.with_name("x").rename(archive_of(path, 7)),
    ),
    "another chain": another_chain,
    "the open log is older": older_open_log,
    "the open log is lost": lambda path: path.unlink(),
    "the open log is empty": lambda path: path.write_bytes(b""),
    "the open log has lost its first line": lambda path: path.write_bytes(
        b"".join(path.read_bytes().splitlines(keepends=True)[1:])
    ),
    "the open log is another one": begun_at_one,
    "the open log and the last closed one are lost": both_lost,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_told(damage: Callable[[Path], object], twice: Path) -> None:
    damage(twice)
    with pytest.raises(RecordDamaged):
        verify_audit_log(twice)


@pytest.mark.parametrize("which", ["the open log is lost", "the open log is empty"])
def test_a_lost_log_is_not_begun_anew_by_the_next_line(which: str, twice: Path) -> None:
    DAMAGES[which](twice)
    with pytest.raises(RecordFailure, match="section 8"):
        noted(twice, "six")


def test_a_closed_log_may_come_from_any_backup(twice: Path) -> None:
    copy = archive_of(twice, 4).read_bytes()
    archive_of(twice, 4).unlink()
    with pytest.raises(RecordDamaged, match=r"audit\.4\.jsonl.*any backup"):
        verify_audit_log(twice)
    archive_of(twice, 4).write_bytes(copy)
    assert events(twice) == ALL


def test_who_vouches_for_a_closed_log(path: Path) -> None:
    archive, head = closed(path)
    closing = closing_of(archive)
    assert verify_closing(archive, head, site="Bonn") == public_key_of(KEY).hex()
    fields = json.loads(closing.read_text())
    assert (fields["site"], fields["head"]) == ("Bonn", str(head))
    others: dict[str, Callable[[], object]] = {
        "another hospital": lambda: verify_closing(archive, head, site="Essen"),
        "another head": lambda: verify_closing(archive, Anchor(head.entries, "0" * 64), site="Bonn"),
    }
    for what, look in others.items():
        with pytest.raises(RecordDamaged, match="does not vouch"):
            look()
        assert what
    stranger = public_key_of(new_signing_key()).hex()
    contents: tuple[object, ...] = (
        {**fields, "public_key": stranger},
        {**fields, "signature": "00" * 64},
        *({}, [], "x", None),
    )
    for content in contents:
        closing.write_text("" if content is None else json.dumps(content))
        with pytest.raises(RecordDamaged, match="any backup"):
            verify_closing(archive, head, site="Bonn")
    closing.unlink()
    with pytest.raises(RecordDamaged, match="any backup"):
        verify_closing(archive, head, site="Bonn")


@pytest.mark.parametrize("closed_before", [False, True])
def test_a_copy_under_the_name_of_a_closed_log_closes_nothing_and_is_told(tmp_path: Path, closed_before: bool) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.append("guard_started")
    if closed_before:
        log.close(by="Dr. B", vouched=lambda _: b"")
    copy = tmp_path / "audit.2026.jsonl"
    copy.write_bytes(path.read_bytes())
    log.append("guard_started")
    assert verify_audit_log(path).entries[-1].event == "guard_started"
    assert copies_beside(path) == {copy}


def test_a_closed_log_under_its_own_name_is_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).append("guard_started")
    AuditLog(path).close(by="Dr. B", vouched=lambda _: b"")
    assert copies_beside(path) == frozenset()
    path.unlink()
    with pytest.raises(RecordDamaged, match="lost"):
        verify_audit_log(path)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_a_stray_file_with_the_name_of_a_closed_log_is_named(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).append("guard_started")
    make(tmp_path / "audit.20301201.jsonl")
    with pytest.raises(RecordDamaged, match=r"audit\.20301201\.jsonl beside it"):
        verify_audit_log(path)
