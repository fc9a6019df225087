"""Does a coordinator get from a study file to a signed count, and from its release to a judgement?"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from flwr.serverapp import Grid
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import enrol, new_coordinator, new_node
from tests.unit.study.test_budget import SCHEMA
from tests.unit.study.test_readiness_settings import STUDY

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.readiness_layout import readiness_layout
from oncofed.protocol.study_document import read_document
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.runs import take_in
from oncofed.server.flower import server_app
from oncofed.server.flower.server_app import run_study
from oncofed.server.rounds.checkpoint import save_checkpoint
from oncofed.server.rounds.state import FederationState, ReleasedSummary

SITES = ("Bonn", "Essen")


@dataclass(frozen=True)
class Coordinator:
    """With a count that is signed and taken in."""

    folder: CoordinatorFolder
    study: Path
    plan: StudyPlan

    def release(self, *, patients: float, events: float, measured: float) -> None:
        """Without noise. measured: the share, of each marker."""
        (spec,) = self.plan.summaries
        layout = readiness_layout(self.plan, spec)
        flags = [patients * (2 * measured - 1) * layout.flag] * layout.flags
        vector = np.array([0.3 * patients, events * layout.event, *flags])
        state = FederationState(
            0, np.zeros(self.plan.model.parameters), summaries={"readiness": ReleasedSummary(vector, SITES)}
        )
        save_checkpoint(self.folder.study(self.plan.hash), state=state, plan_hash=self.plan.hash)

    def told(self, *options: str | Path) -> str:
        said = oncofed("study", "readiness", self.folder.root, self.study, *options)
        return " ".join(said.text.split())


@pytest.fixture
def coordinator(tmp_path: Path) -> Coordinator:
    folder = new_coordinator(tmp_path / "coordinator")
    for site in SITES:
        enrol(folder, new_node(tmp_path / site, site))
    (tmp_path / "schema.toml").write_text(SCHEMA)
    study, out = tmp_path / "study.toml", tmp_path / "count.json"
    study.write_text(STUDY)
    said = oncofed("study", "sign", study, "--readiness", "--coordinator", folder.root, "--out", out)
    assert said.code == 0, said.text
    document = take_in(folder, out.read_bytes())
    assert read_document(out.read_bytes()).plan == document.plan
    return Coordinator(folder, study, document.plan)


def test_a_signed_count_trains_nothing_and_says_what_is_published(coordinator: Coordinator) -> None:
    assert not coordinator.plan.trains
    assert coordinator.plan.study == "lung_readiness"
    assert coordinator.plan.roster == SITES
    assert not any("model" in each for each in coordinator.plan.released)


def test_many_events_make_a_study_possible_and_few_do_not(coordinator: Coordinator, tmp_path: Path) -> None:
    coordinator.release(patients=400_000, events=200_000, measured=0.8)
    told = coordinator.told("--csv", tmp_path / "markers.csv")
    assert "2 hospitals answered (Bonn, Essen)" in told
    assert "patients 400,000 ± " in told
    assert "overall_survival: events 200,000 ± " in told
    assert "age 80% ± 0%" in told
    assert "The study is possible as it is planned." in told
    rows = list(csv.DictReader((tmp_path / "markers.csv").read_text().splitlines()))
    assert [row["marker"] for row in rows] == ["age", "a_rna", "b_rna", "c_rna"]
    assert {row["verdict"] for row in rows} == {"possible"}
    assert float(rows[0]["measured"]) == pytest.approx(0.8)
    coordinator.release(patients=4000, events=2000, measured=0.001)
    assert "0 are possible under the study's noise (epsilon 3)" in coordinator.told()
    coordinator.release(patients=4000, events=5, measured=0.5)
    assert "The study cannot be judged: the events counted are fewer than their noise." in coordinator.told()


def test_another_schema_and_a_count_that_is_not_done_are_refused(coordinator: Coordinator) -> None:
    assert "has not counted who is there" in coordinator.told()
    coordinator.release(patients=4000, events=2000, measured=0.8)
    schema = coordinator.study.with_name("schema.toml")
    schema.write_text(SCHEMA.replace("centre = 60", "centre = 61"))
    assert "has another schema than the count" in coordinator.told()


def test_without_a_count_the_way_to_one_is_told(tmp_path: Path) -> None:
    folder = new_coordinator(tmp_path / "coordinator")
    (tmp_path / "schema.toml").write_text(SCHEMA)
    (tmp_path / "study.toml").write_text(STUDY)
    said = oncofed("study", "readiness", folder.root, tmp_path / "study.toml")
    assert said.code == 2
    assert "no study here counts who is there" in said.text
    assert "oncofed study sign STUDY.toml --readiness" in said.text


@pytest.mark.parametrize("counted", [False, True])
def test_a_count_is_offered_until_it_is_done_and_no_model_is_ever_delivered(
    coordinator: Coordinator, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if counted:
        coordinator.release(patients=4000, events=2000, measured=0.8)
    offered: list[str] = []

    def course(*_: object, start: FederationState, **__: object) -> FederationState:
        return start

    def deliver(*_: object) -> dict[str, str]:
        raise AssertionError("weights that nobody trained are no model")

    monkeypatch.setattr(server_app, "run_course", course)
    monkeypatch.setattr(server_app, "wait_for_nodes", lambda *_, **__: ())
    monkeypatch.setattr(server_app, "nodes_of", lambda *_: {})
    run_study(
        cast(Grid, None),
        folder=coordinator.folder,
        plan_hash=coordinator.plan.hash,
        offer=lambda *_: offered.append("offered"),
        deliver=deliver,
        patience_seconds=0.0,
    )
    assert offered == ([] if counted else ["offered"])
