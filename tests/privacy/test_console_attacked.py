"""Does a no get lost, a yes come back, or a decision get told that was not taken, whatever fails, waits or is killed?

What decides is told by the files of the node. Where a process is killed, its handlers do not run: `Killed`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from pathlib import Path

import pytest
from starlette.requests import Request
from tests.command_line import oncofed
from tests.console_site import FIRST, Site, ask_for_two, console_site, hidden
from tests.installed_node import SOURCE
from tests.pages_hospital import PASSWORD, SECOND

from oncofed.client.guard import process, taking
from oncofed.client.install import deciding, plan_commands
from oncofed.client.install.backup import back_up, restore
from oncofed.client.install.inbox import looked_at
from oncofed.client.pages import console, desk
from oncofed.client.patients import sources
from oncofed.client.records import agreement, approvals, audit_entries, followed_log, source_memory
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Decision, content_of, undecided
from oncofed.durable import replace_durably
from oncofed.errors import InvalidInput, RecordUnwritable

NEW_PASSWORD = "amber harvest kettle"


class Killed(BaseException):
    """As by the kernel: nothing that would handle a failure runs."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with console_site(tmp_path) as found:
        yield found


@pytest.fixture
def two(site: Site) -> Site:
    ask_for_two(site)
    return site


def while_the_table_is_read(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    real = sources.read_source_cohort

    def read(*args: object) -> object:
        monkeypatch.setattr(approvals, "read_source_cohort", real)
        act()
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(approvals, "read_source_cohort", read)


def fail() -> None:
    raise RecordUnwritable("the disk is full")


def clock_of_wishes(monkeypatch: pytest.MonkeyPatch, *, ahead: timedelta) -> None:
    monkeypatch.setattr(deciding, "AuditLog", partial(AuditLog, clock=lambda: datetime.now(UTC) + ahead))


# --- a no is not lost


def test_a_withdrawal_outlives_an_approval_that_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.node.approve()
    site.says(site.here.signed_in(FIRST), "approve")
    other = site.here.signed_in(SECOND)
    page = other.get(site.address)

    def declined_and_failed() -> None:
        assert site.says(other, "decline", page).status_code == 303
        fail()

    while_the_table_is_read(monkeypatch, declined_and_failed)
    with suppress(RecordUnwritable):
        deciding.take(site.node.folder, site.hash)
    assert site.guard_looks() == 0
    assert site.state() is Decision.DECLINED


def test_an_approval_at_a_terminal_gives_way_to_a_no_that_waits_for_the_guard(site: Site) -> None:
    document = looked_at(site.node.folder, site.hash).document
    site.says(site.here.signed_in(SECOND), "decline")
    with pytest.raises(deciding.WishRefused):
        deciding.approve(site.node.folder, document, source=SOURCE, by="root", looked_on="")
    assert site.state() is Decision.DECLINED
    assert site.told()[-1] == ("declined", "budget", SECOND)


def test_a_terminal_does_not_say_approved_of_what_was_declined(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_commands, "_password_of", lambda account: PASSWORD)
    site.says(site.here.signed_in(SECOND), "decline")
    said = oncofed("site", "approve", site.node.folder.root, site.hash, "--source", SOURCE, "--yes", "--as", FIRST)
    assert site.state() is Decision.DECLINED
    assert "Approved" not in said.text
    assert SECOND in said.text
    assert said.code == 1


def test_a_no_waits_for_nobody_who_decides(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(*_: object, **__: object) -> None:
        raise AssertionError("somebody else is at work, for as long as a trial takes")

    client = site.here.signed_in(SECOND)
    page = client.get(site.address)
    monkeypatch.setattr(Approvals, "held", waits)
    assert site.says(client, "decline", page).status_code == 303


def test_a_no_that_comes_after_the_last_look_withdraws_the_approval(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the line that tells of the approval a file is written to the disk, which takes a while."""
    client = site.here.signed_in(SECOND)
    page = client.get(site.address)
    site.says(site.here.signed_in(FIRST), "approve")
    real = replace_durably

    def written(path: Path, content: bytes) -> None:
        real(path, content)
        if path.suffix == ".next":
            monkeypatch.setattr(approvals, "replace_durably", real)
            assert site.says(client, "decline", page).status_code == 303

    monkeypatch.setattr(approvals, "replace_durably", written)
    deciding.take(site.node.folder, site.hash)
    assert site.state() is Decision.DECLINED
    assert not list(site.node.folder.patients.glob("*"))
    assert site.told()[-2:] == [("decline_wanted", "budget", SECOND), ("declined", "budget", SECOND)]


def test_a_no_that_comes_while_an_approval_is_told_waits_and_withdraws_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = site.here.signed_in(SECOND)
    page = client.get(site.address)
    site.says(site.here.signed_in(FIRST), "approve")
    said: list[threading.Thread] = []
    real = AuditLog._append_locked

    def told(self: AuditLog, descriptor: int, fields: Mapping[str, object]) -> object:
        if fields["event"] == "approved":
            said.append(threading.Thread(target=site.says, args=(client, "decline", page)))
            said[0].start()
            said[0].join(1.0)
            assert said[0].is_alive(), "nobody writes between the last look and the line"
        return real(self, descriptor, fields)

    monkeypatch.setattr(AuditLog, "_append_locked", told)
    deciding.take(site.node.folder, site.hash)
    said[0].join(60)
    assert site.state() is Decision.APPROVED
    site.guard_looks()
    assert site.state() is Decision.DECLINED


def test_a_no_counts_from_a_page_of_before_an_approval(site: Site) -> None:
    client = site.here.signed_in(SECOND)
    old = client.get(site.address)
    site.node.approve()
    assert site.says(client, "decline", old).status_code == 303
    site.guard_looks()
    assert site.state() is Decision.DECLINED


@pytest.mark.parametrize("days", [-30, 30])
def test_a_no_counts_whatever_the_clock_says_and_however_long_the_guard_was_away(
    site: Site, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    site.node.approve()
    clock_of_wishes(monkeypatch, ahead=timedelta(days=days))
    site.says(site.here.signed_in(SECOND), "decline")
    assert site.guard_looks() == 0
    assert site.state() is Decision.DECLINED


def broken_policy(site: Site) -> None:
    site.node.folder.policy.write_text("broken = [")


def damaged_ledger(site: Site) -> None:
    for path in site.node.folder.guard.glob("ledger.sqlite*"):
        path.unlink()
    site.node.folder.ledger.write_bytes(b"no ledger at all" * 100)


@pytest.mark.parametrize("harm", [broken_policy, damaged_ledger])
def test_a_page_whose_rules_or_ledger_cannot_be_read_still_withdraws(site: Site, harm: Callable[[Site], None]) -> None:
    site.node.approve()
    client = site.here.signed_in(SECOND)
    harm(site)
    page = client.get(site.address)
    assert page.status_code == 200
    assert "Approve this plan" not in page.text
    assert site.says(client, "decline", page).status_code == 303
    assert client.get(site.address).status_code == 200
    site.guard_looks()
    assert site.state() is Decision.DECLINED


@pytest.mark.parametrize("lost", ["replace_durably", "write_bundles", "thaw"])
def test_a_no_that_failed_is_done_to_its_end_soon(site: Site, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    site.node.approve()
    clock = [1000.0]
    taker = site.taker(command=("/bin/false",), clock=lambda: clock[0])
    site.says(site.here.signed_in(SECOND), "decline")
    with monkeypatch.context() as patched:
        patched.setattr(approvals, lost, lambda *_, **__: fail())
        taker.look()
    assert list(site.node.folder.patients.glob("*"))
    taker.look()
    assert list(site.node.folder.patients.glob("*")), "not at once"
    clock[0] += 16
    taker.look()
    assert site.state() is Decision.DECLINED
    assert not list(site.node.folder.patients.glob("*"))
    assert not site.node.folder.bundles.read_text()
    assert site.told()[-1] == ("declined", "budget", SECOND)


def test_a_no_that_cannot_be_put_into_force_keeps_no_other_one_from_it(site: Site) -> None:
    other = "b" * 64
    site.node.folder.approvals.mkdir(exist_ok=True)
    (site.node.folder.approvals / f"{other}.json").write_text("damaged, of an earlier version")
    site.node.audit_log.append("decline_wanted", plan_hash=other, by=FIRST, code="other")
    site.says(site.here.signed_in(SECOND), "decline")
    site.taker().decline()
    assert site.state() is Decision.DECLINED


@pytest.mark.parametrize("plan_hash", ["../../policy", "../" * 30 + "tmp/oncofed-forged", "x", ""])
def test_a_forged_no_writes_no_file_elsewhere(site: Site, monkeypatch: pytest.MonkeyPatch, plan_hash: str) -> None:
    real = AuditLog._entry
    forged = {"plan_hash": plan_hash, "code": "No Word!"}
    monkeypatch.setattr(AuditLog, "_entry", lambda self, event, **named: {**real(self, event, **named), **forged})
    site.node.audit_log.append("decline_wanted", plan_hash=site.hash, by=FIRST, code="other")
    monkeypatch.setattr(AuditLog, "_entry", real)
    before = sorted(site.node.folder.root.parent.rglob("*"))
    site.taker().decline()
    assert sorted(site.node.folder.root.parent.rglob("*")) == before
    assert not Path("/tmp/oncofed-forged.json").exists()


def shut_out(site: Site) -> None:
    site.here.desk.accounts.set_enabled(SECOND, False)


def damaged_accounts(site: Site) -> None:
    (site.node.folder.guard / "pages-accounts.json").write_text("no accounts")


@pytest.mark.parametrize("harm", [shut_out, damaged_accounts])
def test_nobody_ends_a_no_that_waits_by_the_account_it_came_from(site: Site, harm: Callable[[Site], None]) -> None:
    site.node.approve()
    site.says(site.here.signed_in(SECOND), "decline")
    harm(site)
    site.taker().decline()
    assert site.state() is Decision.DECLINED


def test_a_no_that_was_said_while_the_guard_was_away_is_in_force_before_it_listens(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.node.approve()
    site.says(site.here.signed_in(SECOND), "decline")
    seen, ended = [], threading.Event()

    def listens(*_: object, **__: object) -> nullcontext[None]:
        seen.append(site.state())
        return nullcontext()

    monkeypatch.setattr(process, "serving", listens)
    ended.set()
    process._serve(site.node.folder, ended)
    assert seen == [Decision.DECLINED]


# --- a yes does not come back, and is of its own time


@pytest.mark.parametrize("fails", [False, True])
def test_a_yes_of_after_a_decline_is_not_taken_with_a_table_that_was_read_before(
    site: Site, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    client = site.here.signed_in(FIRST)
    site.says(client, "approve")

    def declined_and_wanted_again() -> None:
        deciding.decline(site.node.folder, site.hash, by="root")
        assert site.says(client, "approve").status_code == 303
        if fails:
            fail()

    while_the_table_is_read(monkeypatch, declined_and_wanted_again)
    with suppress(RecordUnwritable):
        deciding.take(site.node.folder, site.hash)
    assert site.state() is Decision.DECLINED
    assert site.told()[-1][0] == "approval_wanted", "what was said afterwards stands"
    site.guard_looks()
    assert site.state() is Decision.APPROVED


def test_rules_that_change_while_the_table_is_read_hold(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.says(site.here.signed_in(FIRST), "approve")
    while_the_table_is_read(monkeypatch, lambda: site.node.set_policy("smallest_cohort = 50", "smallest_cohort = 5000"))
    site.guard_looks()
    assert site.state() is None
    assert site.told()[-1] == ("decision_not_taken", "refused", FIRST)


def test_a_yes_of_a_clock_that_was_ahead_does_not_count(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = two.here.signed_in(FIRST)
    with monkeypatch.context() as patched:
        clock_of_wishes(patched, ahead=timedelta(days=3))
        two.says(first, "approve")
    two.says(two.here.signed_in(SECOND), "approve")
    two.guard_looks()
    assert two.state() is None
    assert two.says(first, "approve").status_code == 303, "it may be said again"
    two.guard_looks()
    assert two.state() is Decision.APPROVED


def new_password(site: Site) -> str:
    site.here.desk.accounts.set_password(FIRST, NEW_PASSWORD)
    return NEW_PASSWORD


def shut_out_for_a_while(site: Site) -> str:
    for enabled in (False, True):
        site.here.desk.accounts.set_enabled(FIRST, enabled)
    return PASSWORD


@pytest.mark.parametrize("change", [new_password, shut_out_for_a_while])
def test_a_yes_does_not_outlive_the_account_that_gave_it(two: Site, change: Callable[[Site], str]) -> None:
    two.says(two.here.signed_in(FIRST), "approve")
    password = change(two)
    second = two.here.signed_in(SECOND)
    assert f"{FIRST} wants it approved" not in second.get(two.address).text
    two.says(second, "approve")
    two.guard_looks()
    assert two.state() is None
    first = two.here.client()
    assert first.post("/sign-in", data={"name": FIRST, "password": password}).status_code == 303
    assert two.says(first, "approve", password=password).status_code == 303, "it may be said again"
    two.guard_looks()
    assert two.state() is Decision.APPROVED


def test_one_person_is_one_however_the_name_is_spelled(two: Site) -> None:
    accounts = two.here.desk.accounts
    with pytest.raises(InvalidInput, match="has an account already"):
        accounts.add(FIRST.upper(), accounts.all()[0].role, PASSWORD)
    file = two.node.folder.guard / "pages-accounts.json"
    listed = json.loads(file.read_text())
    own = next(each for each in listed if each["name"] == FIRST)
    file.write_text(json.dumps([*listed, {**own, "name": FIRST.upper()}]))  # as an earlier version allowed
    assert two.says(two.here.signed_in(FIRST), "approve").status_code == 303
    other = two.here.signed_in(FIRST.upper())
    assert two.says(other, "approve").status_code == 409
    assert two.told()[-1] == ("page_refused", "same_person", FIRST.upper())
    two.guard_looks()
    assert two.state() is None


def test_a_yes_does_not_come_back_with_a_backup(two: Site, tmp_path: Path) -> None:
    folder, file, now = two.node.folder, tmp_path / "tonight.tar", datetime.now(UTC)
    two.says(two.here.signed_in(FIRST), "approve")
    back_up(folder, file, now=now)
    kept = two.node.table_path.read_bytes()
    shutil.rmtree(folder.root)
    restore(folder, file, now=now)
    two.node.table_path.write_bytes(kept)
    second = two.here.signed_in(SECOND)
    assert f"{FIRST} wants it approved" not in second.get(two.address).text
    two.says(second, "approve")
    two.guard_looks()
    assert two.state() is None
    assert two.says(two.here.signed_in(FIRST), "approve").status_code == 303
    two.guard_looks()
    assert two.state() is Decision.APPROVED, "the check must be able to pass"


def test_a_page_from_before_a_restore_approves_nothing(site: Site) -> None:
    """Nobody has said anything of this plan."""
    client = site.here.signed_in(FIRST)
    page = client.get(site.address)
    AuditLog(site.node.folder.audit_log).append("backup_restored", by="root")
    assert site.says(client, "approve", page).status_code == 409
    assert site.says(client, "approve").status_code == 303, "who has read it since"


def test_a_no_comes_back_with_a_backup(site: Site, tmp_path: Path) -> None:
    folder, file, now = site.node.folder, tmp_path / "tonight.tar", datetime.now(UTC)
    site.node.approve()
    site.says(site.here.signed_in(FIRST), "decline")
    back_up(folder, file, now=now)
    restore(folder, file, now=now)
    assert site.guard_looks() == 0
    assert site.state() is Decision.DECLINED


def test_a_form_that_is_sent_slowly_does_not_outlive_the_session(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client = site.here.signed_in("administrator")
    fields = {**hidden(client.get("/accounts")), "name": "me", "role": "it", "password": NEW_PASSWORD}
    real = desk.fields_of

    async def slowly(request: Request) -> object:
        found = await real(request)
        site.here.desk.accounts.set_enabled("administrator", False)
        return found

    monkeypatch.setattr(desk, "fields_of", slowly)
    assert client.post("/accounts/add", data=fields).headers["location"] == "/sign-in"
    assert "me" not in [account.name for account in site.here.desk.accounts.all()]


# --- what is told is what happened


def test_what_is_in_force_is_not_told_as_failed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.says(site.here.signed_in(FIRST), "approve")
    monkeypatch.setattr(approvals, "write_bundles", lambda *args: fail())
    with suppress(RecordUnwritable):
        deciding.take(site.node.folder, site.hash)
    monkeypatch.undo()
    assert site.state() is Decision.APPROVED
    assert site.told()[-1] == ("approved", "", FIRST)
    assert "was not put into force" not in site.here.signed_in(FIRST).get(site.address).text


def test_a_page_opens_where_the_words_of_a_refusal_are_lost(site: Site) -> None:
    client = site.here.signed_in(FIRST)
    site.says(client, "approve")
    site.node.table_path.unlink()
    site.guard_looks()
    assert "was not put into force" in client.get(site.address).text
    for words in site.node.folder.approvals.glob("*.refused"):
        words.unlink()
    page = client.get(site.address)
    assert page.status_code == 200
    assert "Decline this plan" in page.text


def test_an_approval_that_is_killed_each_time_is_given_up_and_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client, reads = site.here.signed_in(FIRST), []

    def killed(*_: object) -> None:
        reads.append(1)
        raise Killed

    site.says(client, "approve")
    with monkeypatch.context() as patched:
        patched.setattr(approvals, "read_source_cohort", killed)
        for _ in range(6):
            with suppress(Killed):
                site.guard_looks()
    assert len(reads) == 3
    assert site.told()[-1] == ("decision_not_taken", "given_up", FIRST)
    page = unescape(client.get(site.address).text)
    assert "was not put into force" in page
    assert "begun 3 times" in page
    assert site.says(client, "approve").status_code == 303, "who wants it still says so again"
    site.guard_looks()
    assert site.state() is Decision.APPROVED


def test_an_approval_that_gave_way_to_a_changed_account_is_not_given_up(
    two: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = two.here.desk.accounts

    def changed() -> None:
        for enabled in (False, True):
            accounts.set_enabled(SECOND, enabled)

    two.says(two.here.signed_in(FIRST), "approve")
    for _ in range(deciding.MOST_TRIES):
        two.says(two.here.signed_in(SECOND), "approve")
        while_the_table_is_read(monkeypatch, changed)
        assert deciding.take(two.node.folder, two.hash) is None
    two.says(two.here.signed_in(SECOND), "approve")
    deciding.take(two.node.folder, two.hash)
    assert two.state() is Decision.APPROVED


def working(taker: taking.DecisionTaker) -> subprocess.Popen[bytes] | None:
    return taker._working


def test_a_try_alone_is_no_reason_to_try_at_once(site: Site) -> None:
    clock = [1000.0]
    taker = site.taker(command=("/bin/false",), clock=lambda: clock[0])
    site.says(site.here.signed_in(FIRST), "approve")
    taker.look()
    begun = working(taker)
    assert begun is not None
    begun.wait(60)
    site.node.audit_log.append("approval_tried", plan_hash=site.hash, by=FIRST)
    taker.look()
    assert working(taker) is None
    clock[0] += taking.SECONDS_BEFORE_AGAIN + 1
    taker.look()
    assert working(taker) is not None
    taker.end()


@pytest.mark.parametrize("failure", [Killed, RecordUnwritable])
def test_what_is_told_and_was_not_done_to_its_end_is_done_later(
    site: Site, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    def ended(*_: object) -> None:
        raise failure("in the middle")

    site.says(site.here.signed_in(FIRST), "approve")
    with monkeypatch.context() as patched:
        patched.setattr(approvals, "write_bundles", ended)
        with suppress(Killed):
            assert taking.main(["taking", str(site.node.folder.root)]) != 0
    assert site.state() is Decision.APPROVED
    assert not site.node.folder.bundles.exists() or not site.node.folder.bundles.read_text()
    assert taking.main(["taking", str(site.node.folder.root)]) == 0
    assert site.node.folder.bundles.read_text().split() == [site.node.plan().bundle_sha256]


def test_what_is_lost_of_one_plan_ends_no_decision_about_another(site: Site) -> None:
    """Approved, its file lost, and killed when it was to be approved again."""
    lost = "ab" * 32
    site.node.approve()
    site.node.audit_log.append("approved", plan_hash=lost, by=FIRST, facts={"decision": "cd" * 16})
    folder = site.node.folder.approvals
    (folder / f"{lost}.next").write_bytes(content_of(undecided(lost)))
    (folder / f"{'ef' * 32}.next").write_bytes(b"damaged")
    site.node.approve()
    deciding.decline(site.node.folder, site.hash, by="root")
    assert site.state() is Decision.DECLINED
    assert site.node.approvals.not_declined() == (lost,)
    assert site.node.approvals.find("ef" * 32) is None, "what was never told is no decision that was lost"


def test_the_guard_looks_again_after_a_process_that_ended_before_its_end(site: Site) -> None:
    clock = [1000.0]
    taker = site.taker(command=("/bin/false",), clock=lambda: clock[0])
    site.says(site.here.signed_in(FIRST), "approve")
    taker.look()
    begun = working(taker)
    assert begun is not None
    begun.wait(60)
    deciding.decline(site.node.folder, site.hash, by="root")
    taker.look()
    assert working(taker) is None
    clock[0] += taking.SECONDS_BEFORE_AGAIN + 1
    taker.look()
    assert working(taker) is not None, "though nobody wants anything any more"
    taker.end()


class Never(datetime):
    """A time that no log of ours has."""

    def astimezone(self, *_: object) -> Never:
        return self

    def isoformat(self, *_: object, **__: object) -> str:
        return "never"


def test_a_forged_time_does_not_end_the_guard(site: Site) -> None:
    forged = AuditLog(site.node.folder.audit_log, clock=lambda: Never(2026, 1, 1))
    forged.append("approval_wanted", plan_hash=site.hash, by=FIRST, facts=site.yes_of(FIRST, SOURCE))
    taker = site.taker(command=("/bin/false",))
    taker.look()
    assert taker._working is None


# --- the log is read once


def test_a_plans_page_reads_the_whole_log_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    real = audit_entries.verify_audit_log

    def counted(*args: object, **named: object) -> object:
        reads.append(1)
        return real(*args, **named)  # type: ignore[arg-type]

    for module in (followed_log, console):
        monkeypatch.setattr(module, "verify_audit_log", counted, raising=False)
    client = site.here.signed_in(FIRST)
    client.get(site.address)
    assert reads
    reads.clear()
    page = client.get(site.address)
    assert client.get("/plans").status_code == 200
    assert site.says(client, "approve", page).status_code == 303
    assert f"{FIRST} wants it approved" in client.get(site.address).text
    assert not reads, "what came since is read on from there"


def test_an_approval_reads_the_whole_log_no_more_often_than_it_must(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wanted, what is decided, and twice because a guard may release between the records."""
    reads = []
    real = audit_entries.verify_audit_log

    def counted(path: Path) -> object:
        reads.append(1)
        return real(path)

    site.says(site.here.signed_in(FIRST), "approve")
    for module in (followed_log, agreement, source_memory):
        monkeypatch.setattr(module, "verify_audit_log", counted)
    assert taking.main(["taking", str(site.node.folder.root)]) == 0
    assert len(reads) == 4
    assert site.state() is Decision.APPROVED


def test_the_page_of_the_log_still_verifies_all_of_it(site: Site) -> None:
    client = site.here.signed_in(FIRST)
    assert client.get("/audit").status_code == 200
    log = site.node.folder.audit_log
    log.write_bytes(log.read_bytes().replace(b"plan_kept", b"plan_kemt"))
    assert client.get("/audit").status_code == 500
