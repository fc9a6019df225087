"""What is asked after the last round, in which attempts, and what is on disk when it is interrupted?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import (
    SilentNoise,
    calibrated_privacy,
    cards_of,
    drawn_patients,
    drawn_weights,
    masks_of,
    members_of,
    model_spec,
    no_privacy,
    study_plan,
)
from tests.summaries import evaluation_of, validating

from oncofed.client.guard.desk import unsigned_desk
from oncofed.client.guard.guard import Guard
from oncofed.client.patients.summaries import bounded_sum
from oncofed.client.relay.relay import build_client_app
from oncofed.errors import FederationFailure, QuorumLost, RefusalCode, RequestRefused
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.masking import new_masking_key
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy, WantedSummary, calibrated_together
from oncofed.protocol.messages import ContributeRequest, Contribution, SummariseRequest
from oncofed.protocol.plan import PrivacyMode, SharedNoise, StudyPlan, TrainingSpec
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.server.rounds.course import Unsummarised, ends_the_run
from oncofed.server.rounds.rounds import NO_PATIENCE, Patience, RoundReport
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.server.rounds.summaries import missing_summaries
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes

SITES = ("Bonn", "Celle", "Essen", "Hof")
KEYS = {site: new_masking_key() for site in SITES}
MODEL = model_spec()
TRAINING = TrainingSpec(rounds=2, server_learning_rate=0.1)
POLICY = SitePolicy(
    "registry", 3.0, 1e-5, allow_no_privacy=True, fewest_colluding_tolerated=1, verified_cards=cards_of(KEYS)
)
SHARES = SharedNoise(sites=4, dropouts=1, colluding=1)
IMPATIENT = replace(NO_PATIENCE, seconds=10.0, clock=lambda: 0.0, sleep=lambda seconds: None)


def plan_of(mode: PrivacyMode, *, attempts: int = 2) -> StudyPlan:
    members = members_of(SITES)
    plan = replace(study_plan(model=MODEL, training=TRAINING), roster=SITES, members=members, quorum=3)
    privacy = no_privacy()
    if mode is not PrivacyMode.NONE:
        shares = SHARES if mode is PrivacyMode.DISTRIBUTED else None
        privacy = calibrated_privacy(
            TRAINING, epsilon=3.0, delta=1e-5, l2_norm_bound=1.0, reserve_rounds=3, shares=shares
        )
    plan = replace(plan, privacy=privacy)
    wanted = WantedSummary(evaluation_of(plan, attempts=attempts), 0.3)
    privacy, summaries = calibrated_together(TRAINING, privacy, [wanted], parameters=MODEL.parameters)
    return replace(plan, privacy=privacy, summaries=summaries)


HELD_OUT = {site: drawn_patients(MODEL, 25, seed=n) for n, site in enumerate(SITES)}


@dataclass
class Hospitals:
    """spoil: what a hospital does before it answers a summary, given how often it was asked for one."""

    plan: StudyPlan
    spoil: Callable[[SummariseRequest], None] = lambda request: None
    asked: list[tuple[str, int, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guards = {site: self._guard(site) for site in SITES}

    def _guard(self, site: str) -> Guard:
        trained_on = drawn_patients(MODEL, 30, seed=SITES.index(site) + 50)
        return Guard(
            site=site,
            plan=self.plan,
            policy=POLICY,
            patients=lambda: trained_on,
            ledger=MemoryLedger(POLICY.budget),
            noise=SilentNoise() if self.plan.privacy.shares else OperatingSystemNoise(),
            masks=masks_of(site, KEYS),
            held_out=lambda: HELD_OUT[site],
        )

    def contribute(self, request: ContributeRequest) -> Contribution:
        return self.guards[request.site].contribute(request)

    def summarise(self, request: SummariseRequest) -> Contribution:
        self.asked.append((request.site, request.attempt, request.roster))
        self.spoil(request)
        return self.guards[request.site].summarise(request)

    def charges(self, site: str = "Bonn") -> int:
        return len(self.guards[site].ledger.charges())


def run(
    hospitals: Hospitals,
    folder: Path,
    *,
    patience: Patience = NO_PATIENCE,
    start: FederationState | None = None,
    unsummarised: Unsummarised = ends_the_run,
) -> FederationState:
    client = answer_partition_queries(build_client_app(lambda context: unsigned_desk(hospitals)))
    server = build_server_app(
        plan=hospitals.plan,
        nodes=lambda grid: find_nodes(grid, roster=SITES),
        start=initial_state(drawn_weights(MODEL, seed=0)) if start is None else start,
        checkpoint_folder=folder,
        unsummarised=unsummarised,
        patience=patience,
    )
    run_in_process(server, client, node_count=len(SITES))
    return load_checkpoint(folder, plan_hash=hospitals.plan.hash).state


def plain_sum(plan: StudyPlan, weights: np.ndarray, sites: tuple[str, ...] = SITES) -> np.ndarray:
    parts = [bounded_sum(plan, plan.summaries[0], weights, HELD_OUT[site]).vector for site in sites]
    total: np.ndarray = np.sum(parts, axis=0)
    return total


@pytest.mark.parametrize("mode", list(PrivacyMode))
def test_after_the_last_round_the_sum_of_all_hospitals_is_kept(mode: PrivacyMode, tmp_path: Path) -> None:
    hospitals = Hospitals(plan_of(mode))
    state = run(hospitals, tmp_path)
    released = state.summaries["evaluation"]
    assert (state.round, released.answered, released.attempt) == (2, SITES, 0)
    off = np.abs(released.vector - plain_sum(hospitals.plan, state.weights))
    if mode is PrivacyMode.LOCAL:
        assert off.min() > 0  # its noise cannot be left out
    else:
        assert off.max() <= (4 * 0.5 / 2**20 if mode is PrivacyMode.DISTRIBUTED else 1e-12)
    assert hospitals.charges() == (0 if mode is PrivacyMode.NONE else 3)
    assert missing_summaries(hospitals.plan, state) == ()
    run(hospitals, tmp_path, start=state)  # all is there, and nobody is asked again
    assert len(hospitals.asked) == 4


@pytest.mark.parametrize("mode", list(PrivacyMode))
def test_each_hospitals_own_sum_is_kept_where_a_model_is_validated_and_it_can_be_read(
    mode: PrivacyMode, tmp_path: Path
) -> None:
    weights = drawn_weights(MODEL, seed=0)
    noise = 0.0 if mode is PrivacyMode.NONE else 2.0
    plan = validating(plan_of(mode), weights, noise_multiplier=noise, fraction=0.3)
    state = run(Hospitals(plan), tmp_path)
    np.testing.assert_array_equal(state.weights, weights)
    for released in state.summaries.values():
        if mode is PrivacyMode.DISTRIBUTED:
            assert released.parts == {}
            continue
        assert tuple(released.parts) == SITES
        np.testing.assert_allclose(sum(released.parts.values()), released.vector, atol=1e-9)
    own = state.summaries["calibration"].parts
    if mode is PrivacyMode.NONE:
        for site in SITES:
            exact = bounded_sum(plan, plan.summaries[1], weights, HELD_OUT[site]).vector
            np.testing.assert_allclose(own[site], exact, atol=1e-12)
    (tmp_path / "trains").mkdir()
    trained = run(Hospitals(plan_of(mode)), tmp_path / "trains")
    assert all(not each.parts for each in trained.summaries.values()), "else nobody is told of one hospital"


def test_a_hospital_that_does_not_answer_is_left_out_of_the_sum(tmp_path: Path) -> None:
    def essen_fails(request: SummariseRequest) -> None:
        if request.site == "Essen":
            raise RequestRefused(RefusalCode.INTERNAL)

    hospitals = Hospitals(plan_of(PrivacyMode.NONE), essen_fails)
    state = run(hospitals, tmp_path)
    present = ("Bonn", "Celle", "Hof")
    assert state.summaries["evaluation"].answered == present
    np.testing.assert_allclose(
        state.summaries["evaluation"].vector, plain_sum(hospitals.plan, state.weights, present), atol=1e-12
    )


def test_too_few_answers_lose_the_summary_and_not_the_model_and_the_next_run_asks_the_same_again(
    tmp_path: Path,
) -> None:
    away = {"Essen", "Hof"}

    def some_fail(request: SummariseRequest) -> None:
        if request.site in away:
            raise RequestRefused(RefusalCode.NOT_READY)

    hospitals = Hospitals(plan_of(PrivacyMode.LOCAL), some_fail)
    with pytest.raises(QuorumLost, match="summary evaluation: 2 of 4"):
        run(hospitals, tmp_path)
    kept = load_checkpoint(tmp_path, plan_hash=hospitals.plan.hash).state
    assert (kept.round, kept.summaries) == (2, {})
    told: list[FederationFailure] = []
    run(hospitals, tmp_path, start=kept, unsummarised=told.append)
    assert ["summary evaluation: 2 of 4" in str(failure) for failure in told] == [True], "and the run ends well"
    before = hospitals.charges()
    away.clear()
    state = run(hospitals, tmp_path, start=kept)
    assert state.summaries["evaluation"].attempt == 0
    assert state.weights.tobytes() == kept.weights.tobytes()
    assert hospitals.charges() == before  # the same question, so the same bytes and no charge


def test_an_answer_that_was_charged_and_lost_costs_a_new_attempt_and_no_more_than_the_plan_has(
    tmp_path: Path,
) -> None:
    def lost(request: SummariseRequest) -> None:
        if request.site != "Bonn":
            return
        if request.attempt < lost_attempts:
            raise RequestRefused(RefusalCode.REQUEST_CONFLICT)

    lost_attempts = 1
    plan = replace(plan_of(PrivacyMode.LOCAL), quorum=4)
    hospitals = Hospitals(plan, lost)
    state = run(hospitals, tmp_path, patience=IMPATIENT)
    assert state.summaries["evaluation"].attempt == 1
    assert hospitals.charges("Celle") == 2 + 2
    lost_attempts = 99
    hospitals = Hospitals(plan, lost)
    with pytest.raises(QuorumLost):
        run(hospitals, tmp_path, patience=replace(IMPATIENT, clock=count().__next__))
    assert hospitals.charges("Celle") == 2 + 2
    assert {attempt for _, attempt, _ in hospitals.asked} == {0, 1}


def test_masked_parts_of_a_smaller_roster_open_in_a_new_attempt(tmp_path: Path) -> None:
    def essen_fails(request: SummariseRequest) -> None:
        if request.site == "Essen":
            raise RequestRefused(RefusalCode.INTERNAL)

    hospitals = Hospitals(plan_of(PrivacyMode.DISTRIBUTED), essen_fails)
    state = run(hospitals, tmp_path, patience=IMPATIENT)
    released = state.summaries["evaluation"]
    assert (released.answered, released.attempt) == (("Bonn", "Celle", "Hof"), 1)
    assert np.abs(released.vector - plain_sum(hospitals.plan, state.weights, released.answered)).max() < 1e-5


def test_a_changed_masked_part_releases_nothing(tmp_path: Path) -> None:
    hospitals = Hospitals(plan_of(PrivacyMode.DISTRIBUTED))

    class Spoilt(Hospitals):
        def summarise(self, request: SummariseRequest) -> Contribution:
            answer = super().summarise(request)
            return Contribution(answer.vector + np.uint64(2**50)) if request.site == "Hof" else answer

    with pytest.raises(FederationFailure, match="cannot be opened"):
        run(Spoilt(hospitals.plan), tmp_path)
    assert load_checkpoint(tmp_path, plan_hash=hospitals.plan.hash).state.summaries == {}


def test_a_checkpoint_of_before_there_were_summaries_is_read(tmp_path: Path) -> None:
    hospitals = Hospitals(plan_of(PrivacyMode.NONE))
    run(hospitals, tmp_path)
    path = tmp_path / "round.checkpoint"
    _, _, body = path.read_bytes().partition(b"\n")
    header, _, arrays = body.partition(b"\n")
    fields = json.loads(header)
    del fields["summaries"]
    body = json.dumps(fields).encode() + b"\n" + arrays
    path.write_bytes(b"oncofed-checkpoint 1 " + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    state = load_checkpoint(tmp_path, plan_hash=hospitals.plan.hash).state
    assert (state.round, dict(state.summaries)) == (2, {})


def test_who_answered_is_told_it_with_the_next_question_and_a_summary_is_an_answer(tmp_path: Path) -> None:
    told: list[tuple[str, ...]] = []
    hospitals = Hospitals(plan_of(PrivacyMode.LOCAL), lambda request: told.append(request.answered))
    state = run(hospitals, tmp_path, start=replace(initial_state(drawn_weights(MODEL, seed=0)), answered={}))
    plan_hash = hospitals.plan.hash
    assert sorted(told) == sorted((f"{plan_hash}/{site}/2/0",) for site in SITES)
    assert state.answered is not None
    assert state.answered == {site: guard.ledger.charges()[-1].identity for site, guard in hospitals.guards.items()}, (
        "as the ledgers name them"
    )


def test_the_summary_report_tells_who_answered(tmp_path: Path) -> None:
    hospitals, told = Hospitals(plan_of(PrivacyMode.NONE)), list[tuple[str, RoundReport]]()
    client = answer_partition_queries(build_client_app(lambda context: unsigned_desk(hospitals)))
    server = build_server_app(
        plan=hospitals.plan,
        nodes=lambda grid: find_nodes(grid, roster=SITES),
        start=initial_state(drawn_weights(MODEL, seed=0)),
        checkpoint_folder=tmp_path,
        summary_observer=lambda summary, state, report: told.append((summary.name, report)),
    )
    run_in_process(server, client, node_count=4)
    ((name, report),) = told
    assert (name, report.round, report.answered) == ("evaluation", 2, SITES)
    numbers = 8 * hospitals.plan.summaries[0].cells
    assert 4 * numbers < report.bytes_up < 4 * (numbers + 100), "numbers, and little beside them"
