"""Between real processes: do hospitals release key markers within their budgets, and nothing of a single patient?"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.installed_consortium import NO_NOISE, NOISE, SHARED_NOISE, Hospital, Installed, cli, installed
from tests.installed_node import SOURCE
from tests.leaks import fractions_in, leaks_in

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.sources import read_source_cohort
from oncofed.client.patients.summaries import bounded_sum
from oncofed.explanation.relevance import column_relevance
from oncofed.protocol.study_document import StudyDocument, schema_of
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.server.rounds.state import FederationState
from oncofed.survival.likelihood import PatientTensors, patient_tensors
from oncofed.survival.network import network_with

pytestmark = pytest.mark.slow

EXPLAINED = "\n[explanations]\nbudget_share = 0.4\npairs = true\nmost_votes = 1\nattempts = 2\n"
SUMMARIES = ("key_markers", "interactions")


def patients_of(hospital: Hospital, document: StudyDocument) -> PatientTensors:
    source = read_policy(hospital.folder.policy).source(SOURCE).source
    return patient_tensors(read_source_cohort(source, schema_of(document)))


def state_after(four: Installed, document: StudyDocument) -> FederationState:
    return load_checkpoint(four.base.coordinator.study(document.plan.hash), plan_hash=document.plan.hash).state


def relevances(hospital: Hospital, document: StudyDocument, state: FederationState) -> list[float]:
    """Of every patient, by column, and the log hazard ratios that they add up to."""
    found = column_relevance(
        network_with(document.plan.model, state.weights), patients_of(hospital, document).x, endpoint=0
    )
    return [*np.asarray(found).ravel().tolist(), *np.asarray(found).sum(axis=1).tolist()]


def test_each_mode_releases_key_markers_and_nothing_of_a_patient(tmp_path: Path) -> None:
    with installed() as four:
        four.start()
        for mode, privacy in {"local": NOISE, "none": NO_NOISE, "distributed": SHARED_NOISE}.items():
            document = four.study(mode, rounds=2, privacy=privacy + EXPLAINED, reserve=2)
            charged = {site: len(one.charges()) for site, one in four.hospitals.items()}
            assert four.run(document, seconds=300).finished
            plan, state = document.plan, state_after(four, document)
            assert [summary.name for summary in plan.summaries] == list(SUMMARIES)
            for spec in plan.summaries:
                released = state.summaries[spec.name]
                assert released.answered == plan.roster
                exact = sum(
                    bounded_sum(plan, spec, state.weights, patients_of(one, document)).vector
                    for one in four.hospitals.values()
                )
                off = np.abs(released.vector - exact)
                assert off.max() < 1e-9 if mode == "none" else off.max() > 0.1
            told = cli("study", "explain", str(four.base.coordinator.root), plan.hash, "--csv", str(tmp_path / mode))
            assert "age" in told
            assert "voters_noise_sd" in (tmp_path / mode).read_text()
            path = tmp_path / f"{mode}.html"
            cli("coordinator", "report", str(four.base.coordinator.root), plan.hash, "--out", str(path))
            page = " ".join(re.sub("<[^>]+>", " ", path.read_text()).split())
            assert "Each patient of 4 hospitals votes for the 1 marker" in page
            for site, hospital in four.hospitals.items():
                assert len(hospital.charges()) - charged[site] == (0 if mode == "none" else 4)
                left = [entry.left[0].name for entry in hospital.audit() if entry.event == "summarise"]
                assert [name.partition(".")[0] for name in left[-2:]] == list(SUMMARIES)
                hidden = relevances(hospital, document, state)
                assert len(set(hidden)) > 500
                assert fractions_in([*hospital.left_guard(), *hospital.left_relay()], hidden) == []
        for hospital in four.hospitals.values():  # exact counts may leave in mode none, and do
            only_texts = replace(hospital.planted, numbers=())
            assert leaks_in(hospital.left_guard(), only_texts) == []
            assert leaks_in(hospital.left_relay(), only_texts) == []


def test_the_search_finds_a_patients_relevances_at_each_exit() -> None:
    with installed(sites=("Berlin", "Bonn")) as two:
        two.start(guards={"Berlin": ("tests.end_to_end.odd_guard", "tells_of_one")})
        document = two.study("one", rounds=1, quorum=1, privacy=NO_NOISE + EXPLAINED)
        assert two.run(document, seconds=200).finished
        state = state_after(two, document)
        berlin, bonn = (two.hospitals[site] for site in ("Berlin", "Bonn"))
        hidden = relevances(berlin, document, state)
        first = {value for value in hidden[: document.plan.model.columns] if value}
        assert first
        assert first <= set(fractions_in(berlin.left_guard(), hidden))
        assert first <= set(fractions_in(berlin.left_relay(), hidden))
        assert fractions_in(bonn.left_guard(), relevances(bonn, document, state)) == []
