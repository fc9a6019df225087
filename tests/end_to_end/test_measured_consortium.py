"""Between real processes: does each hospital count those whom it set aside, and does the coordinator's page show it?"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.captured_answers import answers_in, hashes_of, noted_hashes
from tests.end_to_end.installed_consortium import NO_NOISE, NOISE, SHARED_NOISE, Installed, cli, installed
from tests.installed_node import SOURCE
from tests.leaks import leaks_in

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.held_out_split import HeldOutSplit
from oncofed.client.patients.sources import read_source_cohort
from oncofed.client.patients.summaries import bounded_sum
from oncofed.protocol.study_document import StudyDocument, schema_of
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.survival.likelihood import patient_tensors

pytestmark = pytest.mark.slow

MEASURED = "\n[held_out]\nbudget_share = 0.3\nhorizon = 24\nfraction = 0.3\nattempts = 2\n"


def page_of(four: Installed, document: StudyDocument, path: Path) -> str:
    cli("coordinator", "report", str(four.base.coordinator.root), document.plan.hash, "--out", str(path))
    return " ".join(re.sub("<[^>]+>", " ", path.read_text()).split())


def exact_sum(four: Installed, document: StudyDocument, weights: np.ndarray) -> np.ndarray:
    """From each hospital's own table and secret."""
    plan, total = document.plan, np.zeros(document.plan.summaries[0].cells)
    for hospital in four.hospitals.values():
        source = read_policy(hospital.folder.policy).source(SOURCE).source
        cohort = read_source_cohort(source, schema_of(document))
        split = HeldOutSplit(hospital.folder.held_out_secret.read_bytes(), SOURCE, plan.held_out_fraction)
        set_aside = cohort.subset(np.flatnonzero(split.held_out(cohort.patient_ids)))
        total += bounded_sum(plan, plan.summaries[0], weights, patient_tensors(set_aside)).vector
    return total


def test_each_mode_measures_the_patients_set_aside(tmp_path: Path) -> None:
    with installed() as four:
        four.start()
        for mode, privacy in {"local": NOISE, "none": NO_NOISE, "distributed": SHARED_NOISE}.items():
            document = four.study(mode, rounds=2, privacy=privacy + MEASURED, reserve=2)
            charged = {site: len(one.charges()) for site, one in four.hospitals.items()}
            status = four.run(document, seconds=300)
            assert status.finished
            state = load_checkpoint(four.base.coordinator.study(document.plan.hash), plan_hash=document.plan.hash).state
            released = state.summaries["evaluation"]
            assert released.answered == document.plan.roster
            off = np.abs(released.vector - exact_sum(four, document, state.weights))
            if mode == "none":
                assert off.max() == 0
            else:
                assert off.max() > 0.5
            page = page_of(four, document, tmp_path / f"{mode}.html")
            assert "C-index of the groups of risk" in page
            assert ("All of it is privately released" in page) == (mode != "none")
            for site, hospital in four.hospitals.items():
                assert len(hospital.charges()) - charged[site] == (0 if mode == "none" else 3)
                left = [entry.left[0].name for entry in hospital.audit() if entry.event == "summarise"]
                kind = {"local": "vector", "none": "counts", "distributed": "masked"}[mode]
                assert left[-1] == f"evaluation.{kind}"
        for hospital in four.hospitals.values():  # numbers may leave, in mode none, and are called counts there
            only_texts = replace(hospital.planted, numbers=())
            assert leaks_in(hospital.left_relay(), only_texts) == []
            lengths = (document.plan.model.parameters, document.plan.summaries[0].cells)
            for pieces in (hospital.left_guard(), hospital.left_relay()):
                captured = {one for numbers in lengths for one in answers_in(pieces, numbers=numbers)}
                assert hashes_of(captured) == noted_hashes(hospital.audit())
