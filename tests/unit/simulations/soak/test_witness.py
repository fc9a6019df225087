"""Does the witness of a soak see what must never happen, in records that are made up here?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oncofed.server.deployment.study_files import ROUNDS
from oncofed.simulations.soak import witness
from oncofed.simulations.soak.witness import Broken, Seen, Which, counted_rounds, look_at_the_model

NOTHING = np.zeros(1)
PLANS: Any = {"p": SimpleNamespace(charged_rounds=3), "q": SimpleNamespace(charged_rounds=1)}


class Records:
    """A hospital's, as they lie. charges: in the ledger. told: answers of which the audit log tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.charges: list[Which] = []
        self.told: list[bytes] = []
        monkeypatch.setattr(witness, "verify_ledger", lambda path, anchor: "head")
        monkeypatch.setattr(witness, "verify_audit_log", lambda path, anchor=None: self._log())
        monkeypatch.setattr(witness, "read_ledger", lambda path: list(map(self._entry, self.charges)))
        node: Any = SimpleNamespace(ledger=Path("ledger"), audit_log=Path("log"))
        self.seen = Seen("Bonn", node)

    def _log(self) -> SimpleNamespace:
        left = [SimpleNamespace(sha256=hashlib.sha256(each).hexdigest()) for each in self.told]
        return SimpleNamespace(head="head", entries=[SimpleNamespace(left=left)])

    @staticmethod
    def _entry(which: Which) -> SimpleNamespace:
        plan_hash, round_, attempt = which
        return SimpleNamespace(charge=SimpleNamespace(identity=f"{plan_hash}/round/{round_}/{attempt}"))


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    return Records(monkeypatch)


def test_one_question_has_one_answer_to_the_byte_and_none_without_a_charge(records: Records) -> None:
    records.charges = [("p", 1, 0)]
    records.seen.left(("p", 1, 0), b"answer", NOTHING)
    records.seen.left(("p", 1, 0), b"answer", NOTHING)
    with pytest.raises(Broken, match="two different answers"):
        records.seen.left(("p", 1, 0), b"ANSWER", NOTHING)
    with pytest.raises(Broken, match="left without a charge"):
        records.seen.left(("p", 1, 1), b"answer", NOTHING)


@pytest.mark.parametrize(
    ("charges", "found"),
    [
        ([("p", 1, 0), ("p", 2, 0), ("p", 3, 0)], ""),
        ([("p", 1, 0), ("p", 2, 0), ("q", 1, 0)], ""),
        ([("p", 1, 0)], "lost or changed"),
        ([("p", 1, 0), ("p", 2, 1), ("p", 3, 0)], "lost or changed"),
        ([("p", 2, 0), ("p", 1, 0)], "lost or changed"),
        ([("p", 1, 0), ("p", 2, 0), ("p", 2, 0)], "charged twice"),
        ([("p", 1, 0), ("p", 2, 0), ("p", 2, 1), ("p", 2, 2)], "charged 4 times, and promised 3"),
        ([("p", 1, 0), ("p", 2, 0), ("q", 1, 0), ("q", 1, 1)], "charged 2 times, and promised 1"),
    ],
)
def test_no_charge_is_lost_doubled_or_beyond_the_promise(records: Records, charges: list[Which], found: str) -> None:
    records.charges = [("p", 1, 0), ("p", 2, 0)]
    records.seen.look(PLANS)
    records.charges = charges
    if not found:
        records.seen.look(PLANS)
        return
    with pytest.raises(Broken, match=found):
        records.seen.look(PLANS)


def test_at_the_end_the_log_tells_of_all_that_left(records: Records) -> None:
    records.charges = [("p", 1, 0), ("p", 2, 0)]
    for which, answer in zip(records.charges, (b"one", b"two"), strict=True):
        records.seen.left(which, answer, NOTHING)
    records.told = [b"one", b"two"]
    records.seen.look_at_the_end()
    records.told = [b"two"]
    with pytest.raises(Broken, match="round 1, attempt 0 left"):
        records.seen.look_at_the_end()


def noted(folder: Path, *answered: list[str]) -> Callable[[], list[tuple[int, int, tuple[str, ...]]]]:
    """Rounds from 1 on, of a plan with a quorum of two; Bonn's and Celle's answers reached."""
    lines = [json.dumps({"round": at, "attempt": 0, "answered": each}) for at, each in enumerate(answered, start=1)]
    (folder / ROUNDS).write_text("\n".join(lines))
    reached: Any = {("p", at, 0): None for at in range(1, 4)}
    seen: Any = {name: SimpleNamespace(reached=reached) for name in ("Bonn", "Celle")} | {
        "Essen": SimpleNamespace(reached={})
    }
    coordinator: Any = SimpleNamespace(study=lambda plan_hash: folder)
    plan: Any = SimpleNamespace(hash="p", quorum=2)
    return lambda: counted_rounds(coordinator, plan, seen)


def test_a_round_counts_a_quorum_each_once_and_nobody_whose_answer_never_came(tmp_path: Path) -> None:
    both = ["Bonn", "Celle"]
    assert noted(tmp_path, both, both)() == [(1, 0, ("Bonn", "Celle")), (2, 0, ("Bonn", "Celle"))]
    for answered, found in (
        (["Bonn"], "round 2 counted"),
        (["Bonn", "Bonn"], "round 2 counted"),
        (["Bonn", "Celle", "Bonn"], "round 2 counted"),
        (["Bonn", "Essen"], "never came"),
    ):
        with pytest.raises(Broken, match=found):
            noted(tmp_path, both, answered)()


def test_a_round_s_line_may_be_late_and_is_there_once_the_study_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[tuple[int, int, tuple[str, ...]]] = []
    state = SimpleNamespace(round=2, weights=NOTHING)
    monkeypatch.setattr(witness, "counted_rounds", lambda *_: rounds)
    monkeypatch.setattr(witness, "has_checkpoint", lambda study: True)
    monkeypatch.setattr(witness, "load_checkpoint", lambda study, plan_hash: SimpleNamespace(state=state))
    monkeypatch.setattr(witness, "load_study", lambda coordinator, plan_hash: None)
    monkeypatch.setattr(witness, "start_of", lambda document, path: None)
    monkeypatch.setattr(witness, "combine", lambda vectors, state, plan: (state, None))
    monkeypatch.setattr(witness, "replace", lambda state, **_: SimpleNamespace(weights=NOTHING))
    coordinator: Any = SimpleNamespace(study=lambda plan_hash: tmp_path)
    plan: Any = SimpleNamespace(hash="p")

    def look(*, lines: int, finished: bool) -> int:
        rounds[:] = [(at, 0, ()) for at in range(1, lines + 1)]
        return look_at_the_model(coordinator, plan, {}, finished=finished)

    assert [look(lines=1, finished=False), look(lines=2, finished=False), look(lines=2, finished=True)] == [1, 2, 2]
    for lines, finished in ((1, True), (0, False), (3, False)):
        with pytest.raises(Broken, match=f"{lines} rounds were noted"):
            look(lines=lines, finished=finished)
