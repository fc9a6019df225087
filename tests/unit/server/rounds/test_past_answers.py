"""What is a hospital told of the answers it gave, over attempts, summaries, restarts and studies?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.server.rounds.test_patience import Clock
from tests.unit.server.rounds.test_rounds import START, hospitals

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.past_answers import with_past_answers
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.checkpoint import load_checkpoint, save_checkpoint
from oncofed.server.rounds.rounds import Patience
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import find_nodes
from oncofed.simulations.engines.parabola_hospital import ParabolaHospital

Told = Mapping[str, list[tuple[int, int, tuple[str, ...]]]]
"""By hospital: round, attempt, and what it was told."""


def told_in(
    plan: StudyPlan,
    start: FederationState,
    *,
    refusals: Mapping[str, Mapping[tuple[int, int], list[RefusalCode]]] | None = None,
    folder: Path | None = None,
) -> Told:
    """What each hospital is told in the whole run. refusals: of one at a round and attempt, one after another."""
    told: Told = defaultdict(list)
    left = {site: {at: list(codes) for at, codes in by.items()} for site, by in (refusals or {}).items()}

    def behaviour(site: str, partition: int):  # type: ignore[no-untyped-def]
        def answer(request: ContributeRequest) -> Contribution:
            told[site].append((request.round, request.attempt, request.answered))
            codes = left.get(site, {}).get((request.round, request.attempt), [])
            if codes:
                raise RequestRefused(codes.pop(0))
            return ParabolaHospital(plan, partition).contribute(request)

        return answer

    clock = Clock()
    server = build_server_app(
        plan=plan,
        nodes=lambda grid: find_nodes(grid, roster=plan.roster),
        start=start,
        checkpoint_folder=folder,
        patience=Patience(seconds=100.0, pause_seconds=10.0, clock=clock.now, sleep=clock.sleep),
    )
    behaviours = {site: behaviour(site, number) for number, site in enumerate(plan.roster)}
    run_in_process(server, hospitals(plan, behaviours), node_count=len(plan.roster))
    return told


@pytest.fixture
def everybody(plan: StudyPlan) -> StudyPlan:
    return replace(plan, quorum=5, training=replace(plan.training, rounds=3))


COUNTING = replace(initial_state(START), answered={})


def of(plan: StudyPlan, site: str, round_: int, attempt: int = 0) -> str:
    return f"{plan.hash}/{site}/{round_}/{attempt}"


def test_each_is_told_its_own_last_answer(everybody: StudyPlan) -> None:
    told = told_in(everybody, COUNTING)
    for site in everybody.roster:
        assert told[site] == [
            (1, 0, ()),
            (2, 0, (of(everybody, site, 1),)),
            (3, 0, (of(everybody, site, 2),)),
        ]


def test_a_simulation_tells_nothing(everybody: StudyPlan) -> None:
    told = told_in(everybody, initial_state(START))
    assert {past for asked in told.values() for _, _, past in asked} == {()}


def test_an_attempt_that_is_asked_again_is_the_same_question_and_the_next_one_knows_of_it(everybody: StudyPlan) -> None:
    codes = {"Aachen": {(2, 0): [RefusalCode.INTERNAL, RefusalCode.REQUEST_CONFLICT]}}
    told = told_in(everybody, COUNTING, refusals=codes)
    for site in ("Bonn", "Essen"):
        assert told[site][1:5] == [
            (2, 0, (of(everybody, site, 1),)),
            (2, 0, (of(everybody, site, 1),)),
            (2, 1, (of(everybody, site, 2),)),
            (3, 0, (of(everybody, site, 2, 1),)),
        ]
    assert told["Aachen"][3:] == [
        (2, 1, (of(everybody, "Aachen", 1),)),
        (3, 0, (of(everybody, "Aachen", 2, 1),)),
    ], "an answer that never came is no answer that was had"


def test_who_was_away_is_told_what_it_last_answered(everybody: StudyPlan) -> None:
    four = replace(everybody, quorum=4)
    told = told_in(four, COUNTING, refusals={"Aachen": {(2, 0): [RefusalCode.INTERNAL]}})
    assert told["Aachen"][-1] == (3, 0, (of(four, "Aachen", 1),))


def test_what_was_had_is_told_after_a_restart(everybody: StudyPlan, tmp_path: Path) -> None:
    told_in(everybody, COUNTING, folder=tmp_path)
    state = load_checkpoint(tmp_path, plan_hash=everybody.hash).state
    assert state.answered == {site: of(everybody, site, 3) for site in everybody.roster}
    longer = replace(everybody, training=replace(everybody.training, rounds=4))
    (asked,) = told_in(longer, state)["Bonn"]
    assert asked == (4, 0, (of(everybody, "Bonn", 3),))


def charged(plan: StudyPlan) -> StudyPlan:
    return replace(plan, privacy=replace(plan.privacy, mode=PrivacyMode.LOCAL, epsilon=1.0, noise_multiplier=5.0))


def with_study(folder: CoordinatorFolder, plan_hash: str, answered: Mapping[str, str] | None) -> Path:
    study = folder.study(plan_hash)
    study.mkdir(parents=True)
    save_checkpoint(study, state=FederationState(3, np.ones(2), answered=answered), plan_hash=plan_hash)
    return study


def test_other_studies_answers_are_told_too_and_what_cannot_be_read_is_not(plan: StudyPlan, tmp_path: Path) -> None:
    folder, plan = CoordinatorFolder(tmp_path), charged(plan)
    with_study(folder, "a" * 64, {"Bonn": "a/Bonn/3/0", "Essen": "a/Essen/2/0"})
    with_study(folder, "b" * 64, {"Bonn": "b/Bonn/1/1"})
    with_study(folder, "c" * 64, None)
    damaged = with_study(folder, "d" * 64, {"Bonn": "d/Bonn/1/0"})
    (damaged / "round.checkpoint").write_bytes(b"torn")
    folder.study("e" * 64).mkdir()
    with_study(folder, plan.hash, {"Bonn": "own/Bonn/2/0"})
    state = with_past_answers(
        load_checkpoint(folder.study(plan.hash), plan_hash=plan.hash).state, plan=plan, folder=folder
    )
    assert state.answered == {"Bonn": "own/Bonn/2/0"}
    assert state.answered_elsewhere == {"Bonn": ("a/Bonn/3/0", "b/Bonn/1/1"), "Essen": ("a/Essen/2/0",)}


def test_a_first_study_tells_nothing_and_counts_from_then_on(plan: StudyPlan, tmp_path: Path) -> None:
    state = with_past_answers(initial_state(START), plan=charged(plan), folder=CoordinatorFolder(tmp_path))
    assert (state.answered, state.answered_elsewhere) == ({}, {})


def test_what_no_ledger_is_charged_for_is_not_counted(plan: StudyPlan, tmp_path: Path) -> None:
    assert plan.privacy.mode is PrivacyMode.NONE
    assert with_past_answers(COUNTING, plan=plan, folder=CoordinatorFolder(tmp_path)).answered is None


def test_own_and_other_studies_are_told_together_to_each_alone(everybody: StudyPlan) -> None:
    elsewhere = {"Bonn": ("x/Bonn/3/0", "y/Bonn/1/0"), "Nowhere": ("z",)}
    told = told_in(everybody, replace(COUNTING, answered_elsewhere=elsewhere))
    assert told["Bonn"][1] == (2, 0, (of(everybody, "Bonn", 1), *elsewhere["Bonn"]))
    assert told["Essen"][1] == (2, 0, (of(everybody, "Essen", 1),))
    only_elsewhere = replace(COUNTING, answered=None, answered_elsewhere=elsewhere)
    assert told_in(everybody, only_elsewhere)["Bonn"][2] == (3, 0, elsewhere["Bonn"])
