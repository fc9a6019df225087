"""Rounds over masked sums: the same result as over plain ones, and a hospital that stays away costs one attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from numpy.typing import NDArray
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

from oncofed.client.guard.desk import Desk, unsigned_desk
from oncofed.client.guard.guard import Guard
from oncofed.client.patients.calibration_sums import calibration_sum
from oncofed.client.relay.relay import build_client_app
from oncofed.errors import FederationFailure, QuorumLost, RefusalCode, RequestRefused
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.masking import new_masking_key
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.messages import ContributeRequest, Contribution, SummariseRequest
from oncofed.protocol.plan import SharedNoise, Strategy, StudyPlan, TrainingMode, TrainingSpec
from oncofed.server.flower.prompt_grid import PromptGrid
from oncofed.server.rounds.recalibration import recalibrated
from oncofed.server.rounds.rounds import Patience, RoundReport, run_rounds
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes

SITES = ("Bonn", "Celle", "Essen", "Hof")
KEYS = {site: new_masking_key() for site in SITES}
MODEL = model_spec()
TRAINING = TrainingSpec(rounds=3, server_learning_rate=0.1)
SHARES = SharedNoise(sites=4, dropouts=1, colluding=1)
POLICY = SitePolicy(
    "registry", 3.0, 1e-5, allow_no_privacy=True, fewest_colluding_tolerated=1, verified_cards=cards_of(KEYS)
)
START = drawn_weights(MODEL, seed=0)


def shared_plan(shares: SharedNoise = SHARES) -> StudyPlan:
    privacy = calibrated_privacy(
        TRAINING,
        epsilon=3.0,
        delta=1e-5,
        l2_norm_bound=1.0,
        reserve_rounds=3,
        shares=shares,
        parameters=MODEL.parameters,
        scale_bits=30,
    )
    members = members_of(SITES)
    plan = study_plan(model=MODEL, training=TRAINING, privacy=privacy)
    return replace(plan, roster=SITES, quorum=4 - shares.dropouts, members=members, round_timeout_seconds=30.0)


PLAN = shared_plan()


@dataclass
class Hospitals:
    """spoil: what a hospital does instead of answering, by name and round."""

    plan: StudyPlan
    spoil: Callable[[ContributeRequest], Contribution | None] = lambda request: None
    asked: list[tuple[str, int, int, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guards = {site: self._guard(site) for site in SITES}

    def _guard(self, site: str) -> Guard:
        patients = drawn_patients(MODEL, 30, seed=SITES.index(site))
        return Guard(
            site=site,
            plan=self.plan,
            policy=POLICY,
            patients=lambda: patients,
            ledger=MemoryLedger(POLICY.budget),
            noise=SilentNoise(),
            masks=masks_of(site, KEYS),
        )

    def contribute(self, request: ContributeRequest) -> Contribution:
        self.asked.append((request.site, request.round, request.attempt, request.roster))
        spoilt = self.spoil(request)
        return self.guards[request.site].contribute(request) if spoilt is None else spoilt

    def summarise(self, request: SummariseRequest) -> Contribution:
        raise AssertionError("this plan has no summaries")

    def charges(self) -> dict[str, int]:
        return {site: len(guard.ledger.charges()) for site, guard in self.guards.items()}


class OnlineGrid(PromptGrid):
    """The wrapped Grid, some of whose nodes are away."""

    def __init__(self, grid: Grid, online: Callable[[], list[int]]) -> None:
        super().__init__(grid, poll_seconds=0.0)
        self._online = online

    def get_node_ids(self) -> Iterable[int]:
        return self._online()


def run(
    hospitals: Hospitals, *, away: Callable[[], set[str]] = set, seconds: float = 100.0
) -> tuple[FederationState, list[RoundReport]]:
    states: list[FederationState] = []
    reports: list[RoundReport] = []

    def observe(state: FederationState, report: RoundReport) -> None:
        states.append(state)
        reports.append(report)

    def connect(context: Context) -> Desk:
        return unsigned_desk(hospitals)

    client: ClientApp = answer_partition_queries(build_client_app(connect))
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        nodes = dict(find_nodes(grid, roster=SITES))
        run_rounds(
            OnlineGrid(grid, lambda: [node for site, node in nodes.items() if site not in away()]),
            plan=hospitals.plan,
            nodes=nodes,
            start=initial_state(START),
            checkpoint_folder=None,
            observer=observe,
            patience=Patience(seconds=seconds, clock=count().__next__, sleep=lambda seconds: None),
        )

    run_in_process(server, client, node_count=len(SITES))
    return states[-1], reports


def test_masked_rounds_end_where_plain_ones_do() -> None:
    masked, reports = run(Hospitals(PLAN))
    plain = replace(PLAN, privacy=no_privacy(l2_norm_bound=1.0), members=())
    expected, _ = run(Hospitals(plain))
    assert np.abs(masked.weights - expected.weights).max() < 1e-6
    assert np.abs(expected.weights - START).max() > 0.1
    assert [report.answered for report in reports] == [SITES] * 3


def test_a_masked_calibration_round_moves_level_and_spread_by_the_sum_of_all() -> None:
    plan = replace(PLAN, training=replace(TRAINING, calibration_rounds=2))
    reached, _ = run(Hospitals(plan))
    expected, _ = run(Hospitals(replace(PLAN, training=replace(TRAINING, rounds=1))))
    weights, noise = expected.weights, release_of_round(plan).noise_of_sum(hospitals=4)
    for number in (1, 2):
        sums = sum(
            calibration_sum(plan, weights, drawn_patients(MODEL, 30, seed=seed)).vector for seed in range(len(SITES))
        )
        moved = recalibrated(weights, np.asarray(sums), model=MODEL, calibration_round=number, noise=noise)
        assert np.abs(moved - weights).max() > 1e-3
        weights = moved
    assert np.abs(reached.weights - weights).max() < 1e-5


def test_a_hospital_that_is_away_is_not_asked_and_costs_nothing() -> None:
    hospitals = Hospitals(PLAN)
    _, reports = run(hospitals, away=lambda: {"Essen"})
    assert [report.answered for report in reports] == [("Bonn", "Celle", "Hof")] * 3
    assert hospitals.charges() == {"Bonn": 3, "Celle": 3, "Essen": 0, "Hof": 3}


def test_as_long_as_too_few_are_there_nobody_is_asked_or_charged() -> None:
    hospitals, looks = Hospitals(PLAN), count()

    def two_away_at_first() -> set[str]:
        return {"Essen", "Hof"} if next(looks) < 6 else {"Hof"}

    _, reports = run(hospitals, away=two_away_at_first)
    assert [report.answered for report in reports] == [("Bonn", "Celle", "Essen")] * 3
    assert hospitals.charges() == {"Bonn": 3, "Celle": 3, "Essen": 3, "Hof": 0}
    hospitals = Hospitals(PLAN)
    with pytest.raises(QuorumLost, match="Not online: Essen, Hof"):
        run(hospitals, away=lambda: {"Essen", "Hof"}, seconds=0.0)
    assert hospitals.asked == []


def test_a_hospital_that_is_there_and_fails_costs_one_attempt_and_is_left_out() -> None:
    def essen_fails(request: ContributeRequest) -> Contribution | None:
        if request.site == "Essen" and request.round >= 2:
            raise RequestRefused(RefusalCode.INTERNAL)
        return None

    hospitals = Hospitals(PLAN, essen_fails)
    _, reports = run(hospitals)
    assert [(report.attempt, len(report.answered)) for report in reports] == [(0, 4), (1, 3), (0, 3)]
    assert hospitals.charges() == {"Bonn": 4, "Celle": 4, "Essen": 1, "Hof": 4}
    second = [(attempt, roster) for site, round_, attempt, roster in hospitals.asked if (site, round_) == ("Bonn", 2)]
    assert second == [(0, SITES), (0, SITES), (1, ("Bonn", "Celle", "Hof"))]


def test_two_hospitals_that_fail_in_turn_cost_one_attempt_each_and_no_third() -> None:
    """Who is left out stays so when another is."""

    def in_turn(request: ContributeRequest) -> Contribution | None:
        if request.site == {1: "Essen", 2: "Hof", 3: "Essen"}[request.round]:
            raise RequestRefused(RefusalCode.INTERNAL)
        return None

    hospitals = Hospitals(shared_plan(SharedNoise(sites=4, dropouts=2, colluding=1)), in_turn)
    _, reports = run(hospitals)
    assert [(report.attempt, report.answered) for report in reports] == [
        (1, ("Bonn", "Celle", "Hof")),
        (1, ("Bonn", "Celle")),
        (0, ("Bonn", "Celle")),
    ]
    assert hospitals.charges() == {"Bonn": 5, "Celle": 5, "Essen": 0, "Hof": 2}


def test_a_hospital_that_says_its_answer_is_lost_and_is_silent_then_costs_one_attempt() -> None:
    """One word after another may not buy one attempt after another."""

    def essen_lies(request: ContributeRequest) -> Contribution | None:
        if request.site == "Essen" and request.round >= 2:
            raise RequestRefused(RefusalCode.REQUEST_CONFLICT if request.attempt == 0 else RefusalCode.INTERNAL)
        return None

    hospitals = Hospitals(PLAN, essen_lies)
    _, reports = run(hospitals)
    assert [(report.attempt, len(report.answered)) for report in reports] == [(0, 4), (1, 3), (0, 3)]
    assert hospitals.charges() == {"Bonn": 4, "Celle": 4, "Essen": 1, "Hof": 4}


def test_a_round_that_was_begun_among_others_in_earlier_runs_goes_on_in_a_free_attempt() -> None:
    """A run that ended inside a round forgets its attempts; everybody remembers them."""
    hospitals = Hospitals(PLAN)
    for attempt in (0, 1):
        for site in SITES:
            hospitals.contribute(ContributeRequest(PLAN.hash, site, 1, attempt, SITES, START))
    _, reports = run(hospitals, away=lambda: {"Hof"})
    assert [report.attempt for report in reports] == [2, 0, 0]
    assert hospitals.charges() == {"Bonn": 5, "Celle": 5, "Essen": 5, "Hof": 2}


def test_with_more_missing_than_the_noise_allows_nothing_is_opened() -> None:
    def two_fail(request: ContributeRequest) -> Contribution | None:
        if request.site in ("Essen", "Hof"):
            raise RequestRefused(RefusalCode.INTERNAL)
        return None

    hospitals = Hospitals(PLAN, two_fail)
    with pytest.raises(QuorumLost, match="Hof: refused"):
        run(hospitals, seconds=0.0)
    assert {attempt for _, _, attempt, _ in hospitals.asked} == {0}


@pytest.mark.parametrize(
    "spoilt",
    [lambda words: words + np.uint64(2**50), lambda words: words.astype(np.float64)],
    ids=["changed", "unmasked"],
)
def test_what_does_not_cancel_moves_no_model(spoilt: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    def spoil(request: ContributeRequest) -> Contribution | None:
        if request.site != "Hof":
            return None
        return Contribution(spoilt(hospitals.guards["Hof"].contribute(request).vector))

    hospitals = Hospitals(PLAN, spoil)
    with pytest.raises(FederationFailure):
        run(hospitals, seconds=0.0)


def test_a_sum_that_could_wrap_or_another_quorum_than_the_sums_own_is_refused() -> None:
    wrapping = replace(PLAN, privacy=replace(PLAN.privacy, scale_bits=46))
    assert {fault.where for fault in strategy_faults(wrapping)} == {"privacy.scale_bits"}
    for quorum in (1, 2, 4):
        assert {fault.where for fault in strategy_faults(replace(PLAN, quorum=quorum))} == {"quorum"}


@pytest.mark.parametrize(
    ("training", "field_"),
    [
        (replace(TRAINING, strategy=Strategy.MEDIAN), "training.strategy"),
        (replace(TRAINING, strategy=Strategy.KRUM), "training.strategy"),
        (replace(TRAINING, mode=TrainingMode.EPOCHS), "training.mode"),
        (replace(TRAINING, site_weights=(1.0, 1.0, 1.0, 2.0)), "training.site_weights"),
    ],
)
def test_what_needs_single_updates_is_refused(training: TrainingSpec, field_: str) -> None:
    assert strategy_faults(PLAN) == ()
    assert field_ in {fault.where for fault in strategy_faults(replace(PLAN, training=training))}
