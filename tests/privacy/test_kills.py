"""Does a kill -9 at any step of a contribution ever let something out that was not charged?

privacy.md, test 5: a forked guard, on the ledger and the answers of a real installation, kills itself at each step;
then another guard starts in the same folder, as after a restart, and the coordinator asks again. Counted are the
different vectors that anybody received and the charges that stand in the file.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.doubles import drawn_patients, request_for, study_plan

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard.guard import Guard
from oncofed.client.records import answers as answers_module
from oncofed.client.records.answers import FolderAnswers
from oncofed.client.records.sqlite_ledger import SqliteLedger, create_ledger, verify_ledger
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import StudyPlan

PLAN = study_plan()
POLICY = SitePolicy("registry", largest_epsilon=1.0, delta=1e-5)
PATIENTS = drawn_patients(PLAN.model, 20, seed=0)


@pytest.fixture(scope="module", autouse=True)
def _accountant_is_loaded() -> None:
    """Once here, and not in every fork."""
    event = release_of_round(PLAN).event
    for releases in (1, 2, 3, PLAN.charged_rounds):
        epsilon_of([event] * releases, delta=POLICY.delta)


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes no further")


def at_statement(start: str, *, before: bool) -> Callable[[], None]:
    """Die before or after SQLite executes the statement that begins so."""

    class Deadly(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if before and sql.startswith(start):
                die()
            cursor = super().execute(sql, *rest)
            if not before and sql.startswith(start):
                die()
            return cursor

    def arm() -> None:
        vars(sqlite3)["connect"] = functools.partial(sqlite3.connect, factory=Deadly)  # in a forked child only

    return arm


def around(module: Any, name: str, *, call: int = 1, before: bool) -> Callable[[], None]:
    """Die before or after the so-many-th call of a function."""

    def arm() -> None:
        inner, calls = getattr(module, name), 0

        def deadly(*positional: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if before and calls == call:
                die()
            found = inner(*positional, **named)
            if not before and calls == call:
                die()
            return found

        setattr(module, name, deadly)

    return arm


@dataclass(frozen=True)
class Step:
    """arm: set the trap in the forked child. charged: whether the kill leaves a charge. kept: whether an answer."""

    arm: Callable[[], None]
    charged: bool
    kept: bool = False


STEPS = {
    "before BEGIN": Step(at_statement("BEGIN", before=True), charged=False),
    "after BEGIN": Step(at_statement("BEGIN", before=False), charged=False),
    "before INSERT": Step(at_statement("INSERT", before=True), charged=False),
    "after INSERT": Step(at_statement("INSERT", before=False), charged=False),
    "before COMMIT": Step(at_statement("COMMIT", before=True), charged=False),
    "after COMMIT": Step(at_statement("COMMIT", before=False), charged=True),
    "before computing": Step(around(guard_module, "ascent_sum", before=True), charged=True),
    "after computing": Step(around(guard_module, "ascent_sum", before=False), charged=True),
    "before the identity is kept": Step(around(answers_module, "replace_durably", before=True), charged=True),
    "before the answer is kept": Step(around(answers_module, "replace_durably", call=2, before=True), charged=True),
    "after the answer is kept": Step(
        around(answers_module, "replace_durably", call=2, before=False), charged=True, kept=True
    ),
    "before the reply": Step(around(os, "write", before=True), charged=True, kept=True),
}


def ask(folder: Path, *, attempt: int = 0, arm: Callable[[], None] = lambda: None) -> bytes:
    """What a new guard process in this folder answers: the vector's bytes, a refusal's code, nothing when it died."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receiving)
            guard = guard_of(PLAN, folder)
            arm()
            try:
                reply = guard.contribute(request_for(PLAN, attempt=attempt)).vector.tobytes()
            except RequestRefused as refusal:
                reply = refusal.code.value.encode()
            os.write(sending, reply)
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as stream:
        reply = stream.read()
    os.waitpid(child, 0)
    return reply


def guard_of(plan: StudyPlan, folder: Path) -> Guard:
    return Guard(
        site="Bonn",
        plan=plan,
        policy=POLICY,
        patients=lambda: PATIENTS,
        ledger=SqliteLedger(folder / "ledger.sqlite", data_source="registry", budget=POLICY.budget),
        noise=OperatingSystemNoise(),
        answers=FolderAnswers(folder / "answers"),
    )


def charges_in(folder: Path) -> int:
    return verify_ledger(folder / "ledger.sqlite", anchor=None).entries


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_kill_at_any_step_releases_nothing_uncharged_and_wastes_at_most_one_charge(
    step: Step, tmp_path: Path
) -> None:
    create_ledger(tmp_path / "ledger.sqlite")
    assert ask(tmp_path, arm=step.arm) == b""
    assert charges_in(tmp_path) == step.charged
    released = set()
    for attempt in (0, 0, 1, 1):  # the same question twice, as a coordinator does that got no answer; then anew
        reply = ask(tmp_path, attempt=attempt)
        if reply == RefusalCode.REQUEST_CONFLICT.value.encode():
            assert attempt == 0
            assert step.charged
            assert not step.kept
        else:
            released.add(reply)
        assert len(released) <= charges_in(tmp_path) <= len(released) + 1
    assert all(len(reply) == 8 * PLAN.model.parameters for reply in released)
    assert len(released) == (1 if step.charged and not step.kept else 2)
    assert charges_in(tmp_path) == 2


def test_without_a_kill_the_steps_end_in_one_answer_and_one_charge(tmp_path: Path) -> None:
    """Or else the traps above would prove nothing about a guard that works."""
    create_ledger(tmp_path / "ledger.sqlite")
    first = ask(tmp_path)
    assert len(first) == 8 * PLAN.model.parameters
    assert ask(tmp_path) == first
    assert charges_in(tmp_path) == 1
