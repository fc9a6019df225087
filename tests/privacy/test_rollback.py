"""An older copy of a record is put back: does the hospital spend the same privacy twice?

Each record is sound by itself. An older ledger would pay for answers whose charges it has forgotten; without the line
of the audit log, or without the answers that were given, nobody could tell afterwards. All of them from one night agree
with each other; then the coordinator, who has had the answers, tells.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.installed_node import SITE, SOURCE, InstalledNode, installed_node, table
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, Asker

from oncofed.client.guard import node_guard, process
from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.doctor import examine
from oncofed.client.install.findings import Verdict
from oncofed.client.records import agreement
from oncofed.client.records.agreement import refuse_disagreement
from oncofed.client.records.audit_entries import FORGOTTEN
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.source_memory import say_other_patients
from oncofed.client.records.sqlite_ledger import SqliteLedger
from oncofed.errors import PrivacyRefusal, RecordDamaged, RecordFailure, RefusalCode, RequestRefused
from oncofed.protocol.messages import identity_text
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.study_document import schema_of


def copied(ledger: Path, copy: Path) -> None:
    """As the page on backups says."""
    with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def put_back(copy: Path, ledger: Path) -> None:
    for file in ledger.parent.glob(f"{ledger.name}*"):
        file.unlink()
    shutil.copy(copy, ledger)
    ledger.chmod(0o600)


class Hospital:
    """Two rounds are answered, of which the copies know the first."""

    def __init__(self, node: InstalledNode) -> None:
        self.node, self.folder = node, node.folder
        self.started()
        self.guard.offer_plan(node.offer())
        node.approve()
        assert self.asked(1) is None
        self.old = node.folder.root / "old"
        self.old.mkdir()
        copied(self.folder.ledger, self.old / "ledger.sqlite")
        shutil.copy(self.folder.audit_log, self.old / "audit.jsonl")
        shutil.copytree(self.folder.answers, self.old / "answers")
        assert self.asked(2) is None

    def started(self) -> NodeGuard:
        self.guard = self.node.guard()
        self.desk = Desk(
            questions_to_node(self.guard, site=SITE),
            audit=self.guard.audit,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        )
        return self.guard

    def asked(self, round_: int, attempt: int = 0, *, answered: tuple[str, ...] = ()) -> RefusalCode | None:
        """None: it was answered. answered: what the coordinator says it has had."""
        request = self.node.request(round_=round_, attempt=attempt)
        try:
            Asker(self.desk).contribute(replace(request, answered=answered))
        except RequestRefused as refused:
            return refused.code
        return None


@contextmanager
def hospital() -> Iterator[Hospital]:
    with installed_node() as node:
        yield Hospital(node)


def older_ledger(here: Hospital) -> None:
    put_back(here.old / "ledger.sqlite", here.folder.ledger)


def cut_audit_log(here: Hospital) -> None:
    shutil.copy(here.old / "audit.jsonl", here.folder.audit_log)


def lost_answers(here: Hospital) -> None:
    for asked in here.folder.answers.glob("*.asked"):
        asked.unlink()


def older_answers(here: Hospital) -> None:
    shutil.rmtree(here.folder.answers)
    shutil.copytree(here.old / "answers", here.folder.answers)


def older_ledger_and_log(here: Hospital) -> None:
    """The natural mistake: both from one night."""
    older_ledger(here)
    cut_audit_log(here)


def older_ledger_and_answers(here: Hospital) -> None:
    older_ledger(here)
    older_answers(here)


ROLLED_BACK: dict[str, Callable[[Hospital], None]] = {
    "an older ledger": older_ledger,
    "an audit log whose end was cut": cut_audit_log,
    "the folder of answers emptied": lost_answers,
    "an older folder of answers": older_answers,
    "an older ledger and older answers": older_ledger_and_answers,
    "an older ledger and an older audit log": older_ledger_and_log,
}
EACH = pytest.mark.parametrize("roll_back", ROLLED_BACK.values(), ids=ROLLED_BACK)


@EACH
def test_after_a_start_nothing_is_released(roll_back: Callable[[Hospital], None]) -> None:
    with hospital() as here:
        roll_back(here)
        charges = len(here.node.charges())
        here.started()
        assert here.asked(3) is RefusalCode.NOT_READY
        assert len(here.node.charges()) == charges


@EACH
def test_the_records_are_said_to_disagree(roll_back: Callable[[Hospital], None]) -> None:
    with hospital() as here:
        refuse_disagreement(here.folder)
        roll_back(here)
        with pytest.raises(RecordDamaged, match="section 8"):
            refuse_disagreement(here.folder)


@EACH
def test_the_doctor_tells_of_it(roll_back: Callable[[Hospital], None]) -> None:
    with hospital() as here:

        def told() -> list[Verdict]:
            return [finding.verdict for finding in examine(here.folder) if finding.topic == "records"]

        here.node.enrol()
        assert told() == [Verdict.FINE]
        roll_back(here)
        assert told() == [Verdict.FAULT]


@EACH
def test_the_guards_process_does_not_start(roll_back: Callable[[Hospital], None]) -> None:
    with hospital() as here:
        here.node.enrol()
        roll_back(here)
        at_once = threading.Event()
        at_once.set()
        with pytest.raises(RecordDamaged, match="section 8"):
            process._serve(here.folder, at_once)
        assert not here.folder.socket.exists()


@EACH
def test_no_plan_is_approved(roll_back: Callable[[Hospital], None]) -> None:
    with hospital() as here:
        here.node.enrol()
        plan = replace(here.node.plan(), study="another")
        here.guard.offer_plan(here.node.offer(plan))
        roll_back(here)
        said = oncofed("site", "approve", here.folder.root, plan.hash, "--source", SOURCE, "--yes")
        assert said.code != 0
        assert "section 8" in said.text
        assert here.node.approvals.find(plan.hash) is None


def test_a_log_that_was_closed_still_tells_of_what_it_announced() -> None:
    with hospital() as here:
        archive, _ = AuditLog(here.folder.audit_log).close(by="", vouched=lambda _: b"")
        refuse_disagreement(here.folder)
        assert here.asked(3) is None, "the guard has not been told that it was closed"
        here.started()
        assert here.asked(3, 1) is None
        away = here.folder.root / "away"
        archive.rename(away)
        here.started()
        assert here.asked(3, 2) is RefusalCode.NOT_READY
        away.rename(archive)
        assert here.asked(3, 1) is None, "put back from any backup, the same bytes again"


def test_an_open_log_that_is_put_back_from_before_it_was_closed_is_told() -> None:
    with hospital() as here:
        AuditLog(here.folder.audit_log).close(by="", vouched=lambda _: b"")
        cut_audit_log(here)
        here.started()
        assert here.asked(3) is RefusalCode.NOT_READY


def test_a_ledger_that_is_put_back_while_the_guard_runs_pays_for_nothing() -> None:
    with hospital() as here:
        older_ledger(here)
        assert here.asked(3) is RefusalCode.NOT_READY
        assert len(here.node.charges()) == 1


def test_without_the_comparison_the_older_ledger_pays_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is for: three rounds and a reserve of one are promised, and five answers leave."""

    class Believing(agreement.WitnessedLedger):
        def charges(self):  # type: ignore[no-untyped-def]
            return self.ledger.charges()

    with hospital() as here:
        monkeypatch.setattr(node_guard, "refuse_disagreement", lambda _: None)
        monkeypatch.setattr(node_guard, "WitnessedLedger", Believing)
        older_ledger(here)
        here.started()
        answered = 2 + sum(here.asked(3, attempt) is None for attempt in range(9))
        assert answered == 5 > here.node.plan().charged_rounds


def test_a_sound_hospital_goes_on_after_a_restart_a_lost_answer_and_another_plan() -> None:
    with hospital() as here:
        for answer in here.folder.answers.glob("*.answer"):  # only the newest are kept
            answer.unlink()
        here.started()
        assert here.asked(2) is RefusalCode.REQUEST_CONFLICT
        assert here.asked(3) is None
        here.started()
        assert here.asked(3) is None, "the same bytes again"
        refuse_disagreement(here.folder)


def test_a_kill_between_announcement_and_charge_or_charge_and_answer_is_no_disagreement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    for place in ("charge", "keep"):
        with hospital() as here, monkeypatch.context() as patch:
            if place == "charge":
                patch.setattr(agreement.WitnessedLedger, "charge", kill)
            else:
                patch.setattr(here.guard._answers, "keep", lambda *_, **__: kill())
            with pytest.raises(BaseException):  # noqa: B017 - whatever comes through is no answer
                here.guard.contribute(here.node.request(round_=3))
            patch.undo()
            try:
                refuse_disagreement(here.folder)
            except RecordFailure as failure:
                raise AssertionError(place) from failure


def test_a_second_data_source_and_a_second_start_are_no_disagreement() -> None:
    with hospital() as here:
        node = here.node
        text = node.folder.policy.read_text()
        source = text[text.index("[[source]]") :]
        node.folder.policy.write_text(
            text + "\n" + source.replace(f'"{SOURCE}"', '"biobank"').replace("patients.csv", "biobank.csv")
        )
        table(600, prefix="B-11", seed=7).to_csv(node.folder.root / "biobank.csv", index=False)
        plan = replace(node.plan(), study="another")
        here.guard.offer_plan(node.offer(plan))
        document, policy = node.document(plan), read_policy(node.folder.policy)
        say_other_patients(node.folder, policy, node.audit_log, name="biobank", by="Dr. Example")
        biobank = policy.source("biobank")
        ledger = SqliteLedger(node.folder.ledger, data_source="biobank", budget=biobank.site_policy.budget)
        node.approvals.approve(
            document.plan,
            schema_of(document),
            site=SITE,
            policy=policy,
            source=biobank,
            ledger=ledger,
            approved_by="Dr. Example",
            now=datetime.now(UTC),
        )
        for start in (False, True):
            if start:
                here.started()
            Asker(here.desk).contribute(node.request(plan, round_=1 + start))
            refuse_disagreement(here.folder)
        assert here.asked(3) is None


def test_an_attempt_that_no_record_has_room_for_is_refused_before_it_is_charged() -> None:
    with hospital() as here:
        for attempt in (10**9, 2**62, here.node.plan().charged_rounds + 1):
            assert here.asked(3, attempt) is RefusalCode.ROUND_OUT_OF_RANGE
        assert len(here.node.charges()) == 2
        refuse_disagreement(here.folder)


def whole_older_folder(here: Hospital) -> None:
    """All that tells of the past, from one night."""
    older_ledger(here)
    cut_audit_log(here)
    older_answers(here)


def had(here: Hospital, round_: int, attempt: int = 0, *, plan: StudyPlan | None = None) -> str:
    """An answer as the coordinator names it."""
    return identity_text(here.node.request(plan, round_=round_, attempt=attempt))


def test_a_whole_older_folder_agrees_with_itself_and_is_told_by_the_coordinators_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with hospital() as here:
        whole_older_folder(here)
        refuse_disagreement(here.folder)
        here.started()
        for attempt in range(3):
            assert here.asked(3, attempt, answered=(had(here, 2),)) is RefusalCode.NOT_READY
        assert len(here.node.charges()) == 1
        assert here.node.events().count((FORGOTTEN, "")) == 1, "noted once an hour"
        told = [record.getMessage() for record in caplog.records if "has had answers" in record.getMessage()]
        assert len(told) == 1
        assert "section 8" in told[0]
        assert "Put nothing back but as" in told[0]
        assert here.node.plan().hash in told[0]


def test_without_the_coordinators_count_a_whole_older_folder_pays_again() -> None:
    with hospital() as here:
        whole_older_folder(here)
        here.started()
        assert here.asked(2, 1) is None, "a second answer to round 2"


def test_it_is_told_while_the_guard_runs_and_of_a_summary_or_another_attempt_too() -> None:
    with hospital() as here:
        known = had(here, 2)
        assert here.asked(3, answered=(known,)) is None
        for missing in (had(here, 2, 1), f"{here.node.plan().hash}/{SITE}/summary/evaluation/0", "nonsense", ""):
            assert here.asked(3, 1, answered=(known, missing)) is RefusalCode.NOT_READY, missing
        assert here.asked(3, 1, answered=(known,)) is None


def test_what_a_coordinator_makes_up_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with hospital() as here:
        nasty = "\x1b[2Jplan/../x/3/0"
        assert here.asked(3, answered=(nasty, f"{'AB' * 32}/{SITE}/1/0")) is RefusalCode.NOT_READY
        assert "unknown plans" in caplog.text
        assert "\x1b" not in caplog.text
        assert "ABAB" not in caplog.text
        assert b"\x1b" not in here.folder.audit_log.read_bytes()


def test_a_coordinator_that_knows_less_than_the_ledger_is_answered() -> None:
    """An answer was lost on its way, or the coordinator went on from an older checkpoint."""
    with hospital() as here:
        for past in ((), (had(here, 1),), (had(here, 1), had(here, 2))):
            here.started()
            assert here.asked(3, answered=past) is None, "the same question, with another past"
        assert len(here.node.charges()) == 3


def test_of_another_plan_a_person_may_say_that_its_answers_are_lost_and_of_this_one_not() -> None:
    with hospital() as here:
        node, another = here.node, replace(here.node.plan(), study="before the loss")
        lost = had(here, 7, plan=another)
        assert here.asked(3, answered=(lost,)) is RefusalCode.NOT_READY
        given_up = f'plans_with_lost_answers = ["{another.hash}"]\n'
        node.set_policy("[node]\n", f"[node]\n{given_up}")
        assert here.asked(3, answered=(lost,)) is None
        assert here.asked(3, 1, answered=(lost, had(here, 7))) is RefusalCode.NOT_READY
        here.node.set_policy(given_up, "")
        assert here.asked(3, 1, answered=(lost,)) is RefusalCode.NOT_READY, "somebody thought better of it"


def test_a_plan_whose_answers_are_lost_is_never_answered_again_whatever_a_coordinator_says_or_does_not() -> None:
    with hospital() as here:
        here.node.set_policy("[node]\n", f'[node]\nplans_with_lost_answers = ["{here.node.plan().hash}"]\n')
        before = here.node.charges()
        for past in ((), (had(here, 1),), (had(here, 7),)):
            assert here.asked(3, answered=past) is RefusalCode.NOT_READY
        assert here.node.charges() == before
        with pytest.raises(PrivacyRefusal, match="plans_with_lost_answers"):
            here.node.approve()


def test_the_doctor_says_what_the_coordinator_told_until_something_is_answered() -> None:
    with hospital() as here:
        here.node.enrol()
        whole_older_folder(here)
        here.started()
        here.asked(3, answered=(had(here, 2),))
        (found,) = (finding for finding in examine(here.folder) if finding.topic == "records")
        assert found.verdict is Verdict.FAULT
        assert "coordinator" in found.what
        assert "section 8" in found.remedy
        assert here.asked(3) is None
        (found,) = (finding for finding in examine(here.folder) if finding.topic == "records")
        assert found.verdict is Verdict.FINE


def test_what_the_page_on_removal_keeps_is_enough_to_go_on() -> None:
    with hospital() as here:
        for answer in here.folder.answers.iterdir():
            if answer.suffix != ".asked":
                answer.unlink()
        refuse_disagreement(here.folder)
