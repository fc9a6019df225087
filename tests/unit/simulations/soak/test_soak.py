"""Does a soak find what it is there to find, and find it again by its seed?

Faults are put into the product's code here, before the hospitals' processes are forked.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oncofed.client.records import sqlite_ledger
from oncofed.client.records.audit_log import AuditLog
from oncofed.privacy.ledger import Charge
from oncofed.server.deployment.study_files import StudyFiles
from oncofed.server.rounds import rounds
from oncofed.server.rounds.strategies import combine
from oncofed.simulations.soak.faults import Kind, of_a_question, of_a_run
from oncofed.simulations.soak.soak import soak
from oncofed.simulations.soak.traps import Trap
from oncofed.simulations.soak.witness import Broken

SEED = 1
"""Its first study has a kill between a round's checkpoint and its line."""


def story(folder: Path, *, hours: float = 0.1) -> tuple[list[str], str]:
    """What happened, and what was found to be broken."""
    told: list[str] = []
    try:
        soak(SEED, hours=hours, folder=folder, told=told.append)
    except Broken as broken:
        return told, str(broken)
    return told, ""


@pytest.mark.slow
def test_a_seed_tells_the_same_story_again(tmp_path: Path) -> None:
    told, broken = story(tmp_path / "one")
    assert (broken, len(told) > 20) == ("", True)
    assert story(tmp_path / "other") == (told, "")


def charges_nothing(ledger: sqlite_ledger.SqliteLedger, charge: Charge) -> None:
    """A fault: an answer is made without its charge."""


def counted_twice(found: Any, **named: Any) -> Any:
    """A fault: the first hospital's answer counts twice."""
    return COMBINE((*found, found[0]), **named)


COMBINE, APPEND = combine, AuditLog.append


def forgets_answers(log: AuditLog, event: str, **named: Any) -> None:
    """A fault: what left is not noted."""
    if event != "contribute":
        APPEND(log, event, **named)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "name", "fault", "found"),
    [
        (sqlite_ledger.SqliteLedger, "charge", charges_nothing, "left without a charge"),
        (AuditLog, "append", forgets_answers, "audit log does not tell"),
        (rounds, "combine", counted_twice, "another one than follows from the answers"),
        (StudyFiles, "note_untold", lambda files, kept: None, "rounds were noted as"),
    ],
    ids=["no charge", "not in the log", "counted twice", "round untold"],
)
def test_a_fault_in_the_code_is_found_and_found_again_by_its_seed(
    where: Any, name: str, fault: Callable[..., Any], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, fault)
    told, broken = story(tmp_path / "one")
    assert found in broken
    assert story(tmp_path / "again") == (told, broken)


def test_what_is_drawn_is_of_every_kind_and_follows_from_the_seed() -> None:
    def drawn(seed: int) -> list[object]:
        rng = np.random.default_rng(seed)
        return [draw(rng) for draw in (of_a_question, of_a_run) for _ in range(2000)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {fault.kind for fault in drawn(1)} == set(Kind)  # type: ignore[attr-defined]


def test_a_trap_springs_at_its_step_and_once(tmp_path: Path) -> None:
    sprung: list[int] = []
    trap = Trap()
    fsync = os.fsync
    trap.install()
    try:
        with (tmp_path / "file").open("w") as file:
            trap.set(3, lambda: sprung.append(1))
            for expected in ([], [], [1], [1]):
                os.fsync(file.fileno())
                assert sprung == expected
            trap.set(1, lambda: sprung.append(2))
            with trap.paused():
                os.fsync(file.fileno())
            assert sprung == [1]
            os.fsync(file.fileno())
            assert sprung == [1, 2]
    finally:
        Trap.uninstall()
    assert os.fsync is fsync
