"""Is a masked sum between real processes the plain one, and does the study go on when a hospital is lost?

Privacy mode `distributed`, d = t = 1 of four. The first part: guards that add no shares of the noise give the weights
of a simulation that has neither masks nor noise; they mask with their neighbours on a circle alone. The second:
supervised hospitals, one away from the start, one killed between question and answer. A study with all its noise is in
test_consortium.py, a hostile coordinator in test_hostile_masking.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.end_to_end.flower_processes import SITES, until
from tests.end_to_end.installed_consortium import SHARED_NOISE, Hospital, Installed, cli, installed
from tests.end_to_end.masked_checks import check_masked
from tests.end_to_end.supervised_consortium import DISTRIBUTED, TROUBLED, Study, Supervised, supervised
from tests.installed_node import SOURCE

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.sources import read_source_cohort
from oncofed.cohort.cohort import Cohort
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.study_document import StudyDocument, schema_of
from oncofed.simulations.federation import Engine, federate

pytestmark = pytest.mark.slow

ROUNDS = 10
OTHERS = SITES[:-1]


def received(hospital: Hospital, plan: StudyPlan) -> NDArray[np.float64]:
    """The weights in the file that the hospital's guard kept."""
    stem = hospital.folder.models / plan.hash
    model = SignedModel(stem.with_suffix(".safetensors").read_bytes(), stem.with_suffix(".signature").read_bytes())
    key = bytes.fromhex(plan.coordinator_public_key)
    return verified_weights(model, public_key=key, plan_hash=plan.hash, parameters=plan.model.parameters)


def cohorts_of(four: Installed, document: StudyDocument) -> dict[str, Cohort]:
    schema = schema_of(document)
    return {
        site: read_source_cohort(read_policy(hospital.folder.policy).source(SOURCE).source, schema)
        for site, hospital in four.hospitals.items()
    }


def simulated(plan: StudyPlan, cohorts: dict[str, Cohort], folder: Path) -> NDArray[np.float64]:
    """The same bound and optimiser, in one process, without privacy."""
    members = tuple(replace(member, answer_public_key="") for member in plan.members)  # where nobody signs
    private = plan.privacy
    privacy = without_privacy(
        l2_norm_bound=private.l2_norm_bound, bounding=private.bounding, hazard_cap=private.hazard_cap
    )
    bare = replace(plan, members=members, privacy=privacy)
    folder.mkdir()
    done = federate(bare, cohorts, run_folder=folder, engine=Engine.GRID, resume=False, figures=lambda *_: {})
    assert done.state.round == ROUNDS
    return done.state.weights


def test_without_its_noise_the_masked_study_gives_the_weights_of_a_plain_simulation(tmp_path: Path) -> None:
    silent = ("tests.end_to_end.odd_guard", "adds_no_share")
    with installed() as four:
        four.start(guards=dict.fromkeys(four.hospitals, silent))
        document = four.study("masked", rounds=ROUNDS, privacy=f"{SHARED_NOISE}\nmask_neighbours = 2")
        shares = document.plan.privacy.shares
        assert shares is not None
        assert shares.mask_neighbours == 2, "of three others: each on a circle of four"
        status = four.run(document, seconds=120.0 + 60.0 * ROUNDS)
        check_masked(four, document.plan, status)
        page = tmp_path / "report.html"
        cli("coordinator", "report", str(four.base.coordinator.root), document.plan.hash, "--out", str(page))
        assert all(site in page.read_text() for site in SITES)
        cohorts = cohorts_of(four, document)
        expected = simulated(document.plan, cohorts, tmp_path / "plain")
        for hospital in four.hospitals.values():
            assert np.abs(received(hospital, document.plan) - expected).max() < 1e-4
        # What the comparison would have noticed: one hospital in another's place.
        other = simulated(document.plan, {**cohorts, "Bonn": cohorts["Essen"]}, tmp_path / "other")
        assert np.abs(other - expected).max() > 1e-3
        print("largest difference", np.abs(received(four.hospitals["Bonn"], document.plan) - expected).max())


@pytest.fixture(scope="module")
def four() -> Iterator[Supervised]:
    with supervised() as one:
        yield one


def completed(four: Supervised, study: Study) -> None:
    status = four.finish(study, seconds=900)
    assert status.outcome == "completed", (status, study.lines("events.jsonl"))


def asked_of(four: Supervised, site: str, study: Study) -> list[tuple[int, int]]:
    return sorted(four.charges(site, study))


def test_a_hospital_is_killed_between_question_and_answer(four: Supervised) -> None:
    """The attempt is lost and was charged; the next one is among the others, with masks and noise of its own."""
    study = four.study("shared_killed", rounds=3, privacy=DISTRIBUTED)
    assert (study.document.plan.quorum, study.document.plan.smallest_roster) == (3, 3)
    four.begin(study)
    study.wait_for_round(1, seconds=500)
    four.trouble("die_after_charge")
    completed(four, study)
    assert TROUBLED in study.told("waiting")
    lost = [line for line in study.rounds if line["attempt"] == 1]
    assert len(lost) == 1, study.rounds
    assert lost[0]["answered"] == list(OTHERS)
    four.sound(study, wasted=1)
    assert {site: four.wasted(site, study) for site in SITES} == dict.fromkeys(SITES, 1)
    which = lost[0]["round"]
    for site in OTHERS:
        assert {(which, 0), (which, 1)} <= set(asked_of(four, site, study))


def test_a_hospital_is_away_from_the_start(four: Supervised) -> None:
    """It is not asked, so its absence costs nobody anything."""
    study = four.study("shared_away", rounds=2, privacy=DISTRIBUTED, patience=20)
    four.stop(TROUBLED)
    until(lambda: four.base.online() == len(OTHERS), seconds=120, what=f"{TROUBLED} is seen to be away")
    four.begin(study)
    completed(four, study)
    assert [(line["attempt"], line["answered"]) for line in study.rounds] == [(0, list(OTHERS))] * 2
    four.sound(study)
    assert asked_of(four, TROUBLED, study) == []
    four.start_site(TROUBLED)
    four.base.wait_online(len(SITES))


def test_two_are_away_which_is_one_too_many(four: Supervised) -> None:
    """Nothing opens, and what was lost with them is the charge of one attempt; one of them back, the study goes on."""
    study = four.study("shared_too_few", rounds=6, privacy=DISTRIBUTED, patience=30)
    four.begin(study)
    study.wait_for_round(1, seconds=500)
    for site in SITES[:2]:
        four.stop(site)
    status = four.finish(study, seconds=900)
    assert status.outcome == "failed"
    assert "must" in study.told("stopped")
    finished = len(study.rounds)
    assert finished < 6
    four.start_site(SITES[0])
    four.base.wait_online(3)
    assert "finished: round 6" in four.resume(study)
    without = [site for site in SITES if site != SITES[1]]
    assert all(line["answered"] == without for line in study.rounds[finished:])
    four.sound(study, wasted=1)
    four.start_site(SITES[1])
