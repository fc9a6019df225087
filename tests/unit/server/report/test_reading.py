"""Does a study's folder give back what a run wrote there, and is a changed file refused?"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.unit.server.report.fake_studies import fake_plan

from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import CheckpointDamaged, InvalidInput, SignatureInvalid
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import document_bytes, signed_document
from oncofed.server.deployment.delivery import MODEL, RELEASE, release_model
from oncofed.server.deployment.study_files import EVENTS, ROUNDS, StudyFiles
from oncofed.server.report.page import render_report
from oncofed.server.report.reading import read_deployed_study
from oncofed.server.rounds.admission import Rejection
from oncofed.server.rounds.checkpoint import save_checkpoint
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState

KEY = new_signing_key()
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SCHEMA = """
[schema]
name = "tiny"
patient_id = "patient_id"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "os"
time = "survival_months"
event = "death_observed"
baseline_hazard = 0.02
[[marker]]
name = "sex_female"
modality = "clinical"
kind = "binary"
"""


def report(number: int, rejected: tuple[Rejection, ...] = ()) -> RoundReport:
    return RoundReport(number, 0, ("Aachen", "Bonn north"), rejected, 0.5, 100, 90, seconds=1.25)


@pytest.fixture
def plan() -> StudyPlan:
    schema = parse_schema(SCHEMA, where="schema")
    sites = ("Aachen", "Bonn", "Bonn north")
    return fake_plan(schema, sites=sites, rounds=3, coordinator_public_key=public_key_of(KEY).hex())


@pytest.fixture
def folder(tmp_path: Path, plan: StudyPlan) -> Path:
    """Two of three rounds done, through the run's own writers."""
    (tmp_path / "plan.json").write_bytes(document_bytes(signed_document(plan, schema_toml=SCHEMA, signing_key=KEY)))
    files = StudyFiles(tmp_path, lambda: NOW)
    files.note("started", round=0, attempt=0)
    files.note_round(report(1, (Rejection("Bonn", "no answer within 3 s: x"), Rejection("Bonn north", "late"))))
    files.note_round(report(2, (Rejection("node 12", "answered no question of this round"),)))
    files.note("stopped", cause="no quorum\n  - Bonn: gone")
    save_checkpoint(tmp_path, state=state_of(plan, 2), plan_hash=plan.hash)
    return tmp_path


def state_of(plan: StudyPlan, number: int) -> FederationState:
    return FederationState(round=number, weights=np.arange(float(plan.model.parameters)), optimiser={})


def release(folder: Path, plan: StudyPlan) -> None:
    """The last round without a line, the model signed and delivered."""
    state = state_of(plan, 3)
    save_checkpoint(folder, state=state, plan_hash=plan.hash)
    release_model(folder, state, plan_hash=plan.hash, signing_key=KEY)
    fields = json.loads((folder / RELEASE).read_text())
    (folder / RELEASE).write_text(json.dumps(fields | {"delivered": {"Aachen": "accepted"}}))


def test_a_running_study_is_read_as_it_was_written(folder: Path, plan: StudyPlan) -> None:
    study = read_deployed_study(folder)
    assert study.plan == plan
    assert [row.round for row in study.rounds] == [1, 2]
    first, second = study.rounds
    assert first.answered == ("Aachen", "Bonn north")
    assert first.rejected == (("Bonn", "no answer within 3 s: x"), ("Bonn north", "late"))
    assert second.rejected == (("node 12", "answered no question of this round"),)
    assert (first.update_l2_norm, first.bytes_down, first.bytes_up, first.seconds) == (0.5, 100, 90, 1.25)
    assert first.finished_at == NOW
    assert [(event.event, event.words) for event in study.events] == [
        ("started", "round 0; attempt 0"),
        ("stopped", "no quorum\n  - Bonn: gone"),
    ]
    assert study.stopped is not None
    assert (study.weights, study.model_sha256, study.rounds_done) == (None, None, 2)
    assert render_report(study)


def test_a_finished_study_has_its_model(folder: Path, plan: StudyPlan) -> None:
    release(folder, plan)
    study = read_deployed_study(folder)
    assert study.finished
    assert study.unrecorded == (3,)
    np.testing.assert_array_equal(study.weights, np.arange(float(plan.model.parameters)))
    assert study.model_sha256 == hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
    assert study.signature == json.loads((folder / RELEASE).read_text())["signature"]
    assert study.delivered == {"Aachen": "accepted"}
    assert render_report(study)


def test_a_study_without_any_round_is_read(folder: Path) -> None:
    for name in (ROUNDS, EVENTS, "round.checkpoint"):
        (folder / name).unlink()
    study = read_deployed_study(folder)
    assert (study.rounds, study.events, study.last_round) == ((), (), 0)


def test_a_torn_line_is_left_out(folder: Path) -> None:
    with (folder / ROUNDS).open("a") as file:
        file.write('{"at": "2026-03-02T08:0')
    assert [row.round for row in read_deployed_study(folder).rounds] == [1, 2]


def test_a_round_that_was_done_twice_counts_once_and_the_last_time(folder: Path) -> None:
    StudyFiles(folder, lambda: NOW).note_round(report(1))
    first, _ = read_deployed_study(folder).rounds
    assert first.rejected == ()


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        '{"at": "2026-03-02T08:00:00", "event": "started"}',
        '{"at": "yesterday", "event": "started"}',
    ],
)
def test_a_line_of_another_form_is_refused(folder: Path, line: str) -> None:
    with (folder / EVENTS).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InvalidInput, match=r"events\.jsonl, line 3: is not what a run writes"):
        read_deployed_study(folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"round": 4},
        {"round": 0},
        {"round": True},
        {"round": 1.0},
        {"answered": "Aachen"},
        {"seconds": "long"},
        {"bytes_up": -1},
        {"at": None},
    ],
)
def test_a_round_of_another_form_is_refused(folder: Path, changed: dict[str, object]) -> None:
    path = folder / ROUNDS
    path.write_text(json.dumps(json.loads(path.read_text().splitlines()[0]) | changed) + "\n")
    with pytest.raises(InvalidInput, match=r"rounds\.jsonl, line 1"):
        read_deployed_study(folder)


def test_a_model_that_the_coordinator_did_not_sign_is_refused(folder: Path, plan: StudyPlan) -> None:
    release(folder, plan)
    other = signed_model(np.zeros(plan.model.parameters), plan_hash=plan.hash, signing_key=new_signing_key())
    (folder / MODEL).write_bytes(other.content)
    with pytest.raises(SignatureInvalid):
        read_deployed_study(folder)


def test_a_release_that_names_another_model_is_refused(folder: Path, plan: StudyPlan) -> None:
    release(folder, plan)
    fields = json.loads((folder / RELEASE).read_text())
    (folder / RELEASE).write_text(json.dumps(fields | {"model_sha256": "0" * 64}))
    with pytest.raises(InvalidInput, match="names another model"):
        read_deployed_study(folder)
    (folder / RELEASE).write_text(json.dumps({"signature": 3}))
    with pytest.raises(InvalidInput, match="is not what a run writes"):
        read_deployed_study(folder)


def test_a_damaged_checkpoint_and_a_missing_plan_are_refused(folder: Path) -> None:
    (folder / "round.checkpoint").write_bytes(b"x")
    with pytest.raises(CheckpointDamaged):
        read_deployed_study(folder)
    (folder / "plan.json").unlink()
    with pytest.raises(InvalidInput, match=r"plan\.json: does not exist"):
        read_deployed_study(folder)
