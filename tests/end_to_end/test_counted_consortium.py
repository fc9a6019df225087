"""Between real processes: do hospitals count who is there before a study, and does the coordinator hear of it?"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from tests.captured_answers import answers_in, hashes_of, noted_hashes
from tests.end_to_end.installed_consortium import NOISE, SHARED_NOISE, Installed, cli, installed
from tests.installed_node import SOURCE
from tests.leaks import leaks_in

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.sources import read_source_cohort
from oncofed.client.patients.summaries import bounded_sum
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.study_document import StudyDocument, schema_of
from oncofed.server.deployment.delivery import MODEL
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.survival.likelihood import patient_tensors

pytestmark = pytest.mark.slow

COUNTS = "\n[readiness]\nepsilon = 0.5\n"


def exact_sum(four: Installed, document: StudyDocument) -> np.ndarray:
    """From each hospital's own table."""
    plan, total = document.plan, np.zeros(document.plan.summaries[0].cells)
    for hospital in four.hospitals.values():
        source = read_policy(hospital.folder.policy).source(SOURCE).source
        patients = patient_tensors(read_source_cohort(source, schema_of(document)))
        total += bounded_sum(plan, plan.summaries[0], np.zeros(plan.model.parameters), patients).vector
    return total


def test_a_count_is_approved_charged_once_and_told_over_all_and_no_model_comes(tmp_path: Path) -> None:
    with installed() as four:
        four.start()
        coordinator = four.base.coordinator
        for mode, privacy in {"local": NOISE, "distributed": SHARED_NOISE}.items():
            document = four.study(mode, rounds=2, privacy=privacy + COUNTS, reserve=2, readiness=True)
            plan, (spec,) = document.plan, document.plan.summaries
            charged = {site: len(one.charges()) for site, one in four.hospitals.items()}
            assert four.run(document, seconds=300).finished
            state = load_checkpoint(coordinator.study(plan.hash), plan_hash=plan.hash).state
            released = state.summaries["readiness"]
            assert (state.round, released.answered) == (0, plan.roster)
            sd = release_of_summary(plan, spec).noise_of_sum(hospitals=4)
            off = np.abs(released.vector - exact_sum(four, document))
            assert 0.001 * sd < off.max() < 6 * sd
            assert not (coordinator.study(plan.hash) / MODEL).exists()
            for hospital in four.hospitals.values():
                charges = hospital.charges()[charged[hospital.folder.root.name] :]
                assert len(charges) == 1
                assert epsilon_of([charges[0].charge.event], delta=1e-5) <= 0.5
                kind = {"local": "vector", "distributed": "masked"}[mode]
                left = [entry.left[0].name for entry in hospital.audit() if entry.event == "summarise"]
                assert left[-1] == f"readiness.{kind}"
            told = told_of(four, document, tmp_path / f"{mode}.csv")
            patients = re.search(r"patients +([\d,]+) ± ([\d,]+)", told)
            assert patients is not None
            value, half = (int(number.replace(",", "")) for number in patients.groups())
            assert abs(value - (1237 + 1361 + 1489 + 1613)) <= 3.1 * half
            assert half == pytest.approx(1.96 * sd / 0.3, abs=1)
            page = page_of(four, document, tmp_path / f"{mode}.html")
            assert "hospitals count who is there" in page
            assert f"Patients {value:,} {half:,}" in page
            assert "none: nothing is trained" in page
        for hospital in four.hospitals.values():
            for pieces in (hospital.left_guard(), hospital.left_relay()):
                assert leaks_in(pieces, hospital.planted) == []
                assert hashes_of(set(answers_in(pieces, numbers=spec.cells))) == noted_hashes(hospital.audit())


def told_of(four: Installed, document: StudyDocument, path: Path) -> str:
    root = four.base.coordinator.root
    study_file = four.root / document.plan.study.removesuffix("_readiness") / "study.toml"
    told = cli("study", "readiness", str(root), str(study_file), document.plan.hash, "--csv", str(path))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["marker"] for row in rows] == ["sex_female", "age"]
    assert all(float(row["measured"]) > 0.5 for row in rows)  # nobody lacks a marker there
    assert {row["verdict"] for row in rows} <= {"possible", "open", "not possible"}
    assert "overall_survival: of 2 markers" in told
    assert "finished; who is there is counted" in cli("coordinator", "status", str(root), document.plan.hash)
    return told


def page_of(four: Installed, document: StudyDocument, path: Path) -> str:
    cli("coordinator", "report", str(four.base.coordinator.root), document.plan.hash, "--out", str(path))
    return " ".join(re.sub("<[^>]+>", " ", path.read_text()).split())
