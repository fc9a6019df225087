"""Does the audit log show every change of itself, survive being cut short, and have room for no patient?"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.hardship import in_children, no_file_longer_than

from oncofed.client.records.audit_entries import HELD_BACK, NOT_CHARGED, TO_BE_CHARGED, Released, verify_audit_log
from oncofed.client.records.audit_files import locked
from oncofed.client.records.audit_line import line_of
from oncofed.client.records.audit_log import AuditLog
from oncofed.errors import InvalidInput, RecordDamaged, RecordUnwritable

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PLAN = "ab" * 32
PLANTED = "MRN-0047-11"


def log(path: Path) -> AuditLog:
    return AuditLog(path, clock=lambda: NOON)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Six entries."""
    found = tmp_path / "audit.jsonl"
    audit = log(found)
    audit.append("approved", plan_hash=PLAN, by="Dr. A. Weiß")
    for round_ in range(1, 5):
        vector = Released("vector", (17,), "float64", 136, "cd" * 32)
        audit.append("contribute", plan_hash=PLAN, round_=round_, attempt=0, left=[vector])
    audit.append("contribute", plan_hash=PLAN, round_=5, attempt=0, code="budget_exceeded")
    return found


def test_it_keeps_who_asked_what_and_what_left(path: Path) -> None:
    report = verify_audit_log(path)
    first, second, *_, last = report.entries
    assert (first.event, first.by, first.left) == ("approved", "Dr. A. Weiß", ())
    assert (second.plan_hash, second.round, second.attempt, second.code) == (PLAN, 1, 0, "")
    assert second.left == (Released("vector", (17,), "float64", 136, "cd" * 32),)
    assert last.code == "budget_exceeded"
    assert first.time == "2026-11-23T12:00:00.000+00:00"
    assert (report.closed_torn_lines, report.torn_bytes) == (0, 0)
    assert path.stat().st_mode & 0o777 == 0o600


CHANGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "one byte": (lambda x: [*x[:2], x[2].replace(b"contribute", b"contributf"), *x[3:]], 3),
    "a refusal made an answer": (lambda x: [*x[:5], x[5].replace(b"budget_exceeded", b"")], 6),
    "taken out": (lambda x: [*x[:2], *x[3:]], 3),
    "the first taken out": (lambda x: x[1:], 1),
    "two exchanged": (lambda x: [x[0], x[2], x[1], *x[3:]], 2),
    "twice": (lambda x: [*x[:3], x[2], *x[3:]], 4),
    "an empty line": (lambda x: [*x[:3], b"\n", *x[3:]], 4),
    "a line of something else": (lambda x: [*x, b"something else\n"], 7),
    "cut short in the middle": (lambda x: [*x[:2], x[2][:30] + b"\n", *x[3:]], 3),
    "marked as cut short": (lambda x: [*x[:2], x[2][:30] + b"#torn\n", *x[3:]], 4),
    "another key": (lambda x: [*x[:2], x[2].replace(b'"by":""', b'"by":"","n":1'), *x[3:]], 3),
    "other spacing": (lambda x: [*x[:2], x[2].replace(b",", b", "), *x[3:]], 3),
}


@pytest.mark.parametrize(("change", "line"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_told_with_the_first_bad_line(
    path: Path, change: Callable[[list[bytes]], list[bytes]], line: int
) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(RecordDamaged, match=f"line {line} "):
        verify_audit_log(path)


@pytest.mark.parametrize(
    "changed",
    [{"number": float("nan")}, {"previous": "\ud800"}],
    ids=["not a number", "half a character"],
)
def test_what_json_knows_and_no_line_holds_is_damage(path: Path, changed: dict[str, object]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    forged = json.dumps({**json.loads(lines[-1]), **changed}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(b"".join([*lines[:-1], forged]))
    with pytest.raises(RecordDamaged, match=f"line {len(lines)}"):
        verify_audit_log(path)


OTHER_TYPES: Sequence[Mapping[str, object]] = (
    *({"plan_hash": 5}, {"plan_hash": [PLAN]}, {"event": 5}, {"by": None}, {"time": 5}, {"code": {}}),
    *({"round": "1"}, {"attempt": [1]}, {"number": 7.0}),
    {"left": [{"name": 5, "shape": [17], "dtype": "float64", "size_bytes": 136, "sha256": "cd" * 32}]},
)


def test_a_line_of_other_types_is_damage_though_its_hash_is_right(path: Path) -> None:
    """A process that may append to the log can make the hash."""
    before, head = path.read_bytes(), verify_audit_log(path).head
    fields = json.loads(before.splitlines()[-1])
    for changed in ({}, *OTHER_TYPES):
        wanted = {"number": head.entries + 1, **changed}
        unsigned = {key: value for key, value in {**fields, **wanted}.items() if key not in ("previous", "hash")}
        line, _ = line_of(unsigned, after=head)
        path.write_bytes(before + line)
        with pytest.raises(RecordDamaged, match="line 7 ") if changed else nullcontext():
            verify_audit_log(path)


def test_what_keeps_a_line_from_being_written_is_asked_while_nobody_writes(path: Path) -> None:
    before = path.read_bytes()

    def refuses() -> None:
        with pytest.raises(BlockingIOError), path.open("rb") as log:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert verify_audit_log(path).entries, "it may be read"
        raise InvalidInput([])

    with pytest.raises(InvalidInput):
        AuditLog(path).append("approved", unless=refuses)
    assert path.read_bytes() == before
    AuditLog(path).append("approved", unless=lambda: None)
    assert path.read_bytes() != before


def test_lines_off_the_end_show_against_an_anchor(path: Path) -> None:
    anchor = str(verify_audit_log(path).head)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    assert len(verify_audit_log(path).entries) == 4
    with pytest.raises(RecordDamaged, match="4 entries, and had 6"):
        verify_audit_log(path, anchor=anchor)
    path.unlink()
    with pytest.raises(RecordDamaged, match="0 entries, and had 6"):
        verify_audit_log(path, anchor=anchor)


def test_an_anchor_stays_good_while_the_log_grows(path: Path) -> None:
    anchor = str(verify_audit_log(path).head)
    log(path).append("declined", plan_hash=PLAN)
    assert len(verify_audit_log(path, anchor=anchor).entries) == 7


# Cut short


@pytest.mark.parametrize("kept_bytes", [1, 5, 6, 100, -1])
def test_a_line_cut_short_by_a_kill_is_reported_and_closed_by_the_next(path: Path, kept_bytes: int) -> None:
    whole = path.read_bytes()
    log(path).append("declined", plan_hash=PLAN)
    torn = path.read_bytes()[len(whole) :][:kept_bytes]
    path.write_bytes(whole + torn)
    report = verify_audit_log(path)
    assert (len(report.entries), report.torn_bytes) == (6, len(torn))
    assert f"last {len(torn)} bytes" in "\n".join(report.lines())
    log(path).append("declined", plan_hash=PLAN)
    assert torn in path.read_bytes()  # nothing that was there is ever taken away
    healed = verify_audit_log(path)
    assert [entry.event for entry in healed.entries[6:]] == ["torn_line", "declined"]
    assert (healed.closed_torn_lines, healed.torn_bytes) == (1, 0)
    told = json.loads(path.read_bytes().splitlines()[-2])["torn"]
    assert told["bytes"] == len(torn)


def test_a_kill_while_a_cut_line_is_closed_does_no_harm(path: Path) -> None:
    whole = path.read_bytes() + b'{"half of'
    path.write_bytes(whole)
    log(path).append("declined")
    closing = path.read_bytes()[len(whole) :]
    for kept in range(0, len(closing), 7):
        path.write_bytes(whole + closing[:kept])
        verify_audit_log(path)
        log(path).append("declined")
        report = verify_audit_log(path)
        assert report.entries[-1].event == "declined"
        assert report.torn_bytes == 0
        assert report.closed_torn_lines >= 1


def test_what_was_cut_short_cannot_be_changed_afterwards(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"half of')
    log(path).append("declined")
    path.write_bytes(path.read_bytes().replace(b'{"half of', b'{"part of'))
    with pytest.raises(RecordDamaged, match="line 8 "):
        verify_audit_log(path)


def test_on_a_full_disk_the_caller_is_told_and_the_log_goes_on_later(path: Path) -> None:
    with no_file_longer_than(path.stat().st_size + 50), pytest.raises(RecordUnwritable, match="No space left"):
        log(path).append("declined")
    assert verify_audit_log(path).torn_bytes == 50
    log(path).append("declined")
    assert [entry.event for entry in verify_audit_log(path).entries[6:]] == ["torn_line", "declined"]


@pytest.mark.parametrize("content", [b"no log\n", b"\n", b'{"number":1}\n', b"x" * 400_000])
def test_a_file_that_is_no_log_is_not_written_to(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordDamaged):
        log(path).append("declined")
    assert path.read_bytes() == content


def test_a_last_line_that_was_changed_stops_the_next_entry(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"budget_exceeded", b""))
    with pytest.raises(RecordDamaged):
        log(path).append("declined")


# Announced before a charge


@contextmanager
def full(path: Path) -> Iterator[None]:
    with no_file_longer_than(path.stat().st_size):
        yield


VECTOR = Released("vector", (17,), "float64", 136, "ef" * 32)


def test_what_was_announced_may_be_told_late_and_nothing_else(path: Path) -> None:
    audit = log(path)
    audit.announce("contribute", plan_hash=PLAN, round_=6, attempt=0)
    with full(path):
        for round_, attempt in ((7, 0), (6, 1), (None, None)):
            with pytest.raises(RecordUnwritable):
                audit.append("contribute", plan_hash=PLAN, round_=round_, attempt=attempt)
        with pytest.raises(RecordUnwritable):
            audit.append("contribute", plan_hash="cd" * 32, round_=6, attempt=0)
        audit.append("answer_not_kept", plan_hash=PLAN, round_=6, attempt=0)
        audit.append("contribute", plan_hash=PLAN, round_=6, attempt=0, left=[VECTOR])
        with pytest.raises(RecordUnwritable):  # that was it
            audit.append("contribute", plan_hash=PLAN, round_=6, attempt=0, left=[VECTOR])
    assert [entry.number for entry in verify_audit_log(path).untold] == [7]
    audit.append("declined")
    told = verify_audit_log(path).entries[7:]
    assert [entry.event for entry in told] == ["answer_not_kept", "contribute", "declined"]
    assert told[1].left == (VECTOR,)
    audit.append("declined")
    assert len(verify_audit_log(path).entries) == 11, "what was owed is told once"


def test_what_cannot_be_announced_may_not_be_charged_and_is_told_once_as_not_charged(path: Path) -> None:
    audit = log(path)
    with full(path):
        for _ in range(20):
            with pytest.raises(RecordUnwritable):
                audit.announce("contribute", plan_hash=PLAN, round_=6, attempt=0)
    audit.append("declined")
    assert [entry.event for entry in verify_audit_log(path).entries[6:]] == [NOT_CHARGED, "declined"]


def test_only_so_much_is_owed(path: Path) -> None:
    audit = log(path)
    with full(path):
        for round_ in range(1000):
            with pytest.raises(RecordUnwritable):
                audit.announce("contribute", plan_hash=PLAN, round_=round_, attempt=0)
    audit.append("declined")
    assert len(verify_audit_log(path).entries) < 20


def test_no_charge_is_announced_before_what_is_owed_is_written(path: Path) -> None:
    audit = log(path)
    audit.announce("contribute", plan_hash=PLAN, round_=6, attempt=0)
    with full(path):
        audit.append("contribute", plan_hash=PLAN, round_=6, attempt=0, left=[VECTOR])
    audit.announce("contribute", plan_hash=PLAN, round_=7, attempt=0)
    assert [entry.event for entry in verify_audit_log(path).entries[6:]] == [
        TO_BE_CHARGED,
        "contribute",
        TO_BE_CHARGED,
    ]


CLOSING: dict[str, tuple[str, list[Released], int]] = {
    "what left": ("contribute", [VECTOR], 0),
    "not charged": (NOT_CHARGED, [], 0),
    "held back": (HELD_BACK, [], 0),
    "a refusal later": ("contribute", [], 1),
    "noise alone": ("noise_alone", [], 1),
}


@pytest.mark.parametrize(("event", "left", "untold"), CLOSING.values(), ids=CLOSING)
def test_which_lines_say_what_became_of_it(path: Path, event: str, left: list[Released], untold: int) -> None:
    audit = log(path)
    audit.announce("contribute", plan_hash=PLAN, round_=6, attempt=0)
    audit.append(event, plan_hash=PLAN, round_=6, attempt=1, left=left)
    assert len(verify_audit_log(path).untold) == 1, "another attempt's line says nothing"
    audit.append(event, plan_hash=PLAN, round_=6, attempt=0, left=left)
    assert len(verify_audit_log(path).untold) == untold


def test_of_two_that_were_announced_one_line_tells_of_one(path: Path) -> None:
    """Two summaries of a plan, say, whose lines have no round."""
    audit = log(path)
    for _ in range(2):
        audit.announce("summarise", plan_hash=PLAN, round_=None, attempt=0)
    audit.append("summarise", plan_hash=PLAN, attempt=0, left=[VECTOR])
    assert [entry.number for entry in verify_audit_log(path).untold] == [7]


# Several processes


def test_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def work(process: int) -> None:
        for number in range(25):
            log(path).append("contribute", round_=number, attempt=process)

    in_children(4, work)
    entries = verify_audit_log(path).entries
    assert len(entries) == 100
    for process in range(4):
        assert [entry.round for entry in entries if entry.attempt == process] == list(range(25))


def test_two_names_of_one_process_do_not_mix_either(path: Path) -> None:
    first, second = log(path), log(path)
    first.append("contribute")
    second.append("contribute")
    first.append("contribute")
    assert len(verify_audit_log(path).entries) == 9


# No room for a patient


def test_what_a_request_claims_is_cut_to_its_form(path: Path) -> None:
    log(path).append("contribute", plan_hash=PLANTED, round_=10**12, attempt=-(10**12), by=f"x\n{PLANTED}")
    last = verify_audit_log(path).entries[-1]
    assert (last.plan_hash, last.round, last.attempt, last.by) == ("malformed", None, None, "?")
    assert PLANTED.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("by", "kept"),
    [
        ("Dr. A. Weiß", True),
        ("meyer (claimed)", True),
        ("meyer (claimed) x", False),
        ("(claimed)", False),
        ("meyer (sure)", False),
        ("meyer (claimed)\n", False),
    ],
)
def test_a_name_is_told_as_it_is_known(by: str, kept: bool, path: Path) -> None:
    log(path).append("approved", by=by)
    assert verify_audit_log(path).entries[-1].by == (by if kept else "?")


@pytest.mark.parametrize("word", [PLANTED, "", "A text of an exception", "a" * 41, "x\n"])
def test_an_event_is_a_word_of_ours(path: Path, word: str) -> None:
    with pytest.raises(AssertionError):
        log(path).append(word)
    if word:
        with pytest.raises(AssertionError):
            log(path).append("contribute", code=word)
    assert len(verify_audit_log(path).entries) == 6


def test_it_is_durable_before_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are handed to the disk, and only then does the caller go on."""
    order: list[str] = []

    def noted(name: str) -> Callable[..., object]:
        inner = getattr(os, name)

        def call(*arguments: object) -> object:
            order.append(name)
            return inner(*arguments)

        return call

    for name in ("write", "fsync"):
        monkeypatch.setattr(os, name, noted(name))
    log(path).append("declined")
    assert order == ["write", "fsync"]


def test_a_log_is_made_by_no_link(tmp_path: Path) -> None:
    """A backup holds it still as root, and its folder is another user's, who could have it made anywhere."""
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "audit.jsonl").symlink_to(elsewhere)
    with pytest.raises((RecordUnwritable, OSError)), locked(tmp_path / "audit.jsonl"):
        pass
    assert not elsewhere.exists()
