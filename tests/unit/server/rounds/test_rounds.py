"""Does the loop ask everybody, count the quorum, wait boundedly, and resume as if nothing had happened?

All through the real apps and the in-process grid; the hospitals are parabolas, so where to go is known.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from oncofed.client.guard.desk import Desk, unsigned_desk
from oncofed.client.relay.relay import build_client_app
from oncofed.errors import FederationFailure, InvalidInput, QuorumLost, RefusalCode, RequestRefused
from oncofed.protocol.messages import ContributeRequest, Contribution, SummariseRequest
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, Strategy, StudyPlan, TrainingMode
from oncofed.server.flower.app import build_server_app, flower_says_errors_only
from oncofed.server.rounds.admission import Rejection
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.server.rounds.rounds import Observer, RoundReport, no_observer, run_rounds
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.simulations.engines.in_process_grid import InProcessGrid, run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes, partition_of
from oncofed.simulations.engines.parabola_hospital import ParabolaHospital, optimum_of

PARAMETERS = 6
START = np.linspace(-1.0, 1.0, PARAMETERS)
Behaviour = Callable[[ContributeRequest], Contribution]


def hospitals(plan: StudyPlan, misbehaving: Mapping[str, Behaviour] | None = None) -> ClientApp:
    """Parabolas, but for those that are given another behaviour by name."""

    class Guard:
        def __init__(self, partition: int) -> None:
            self.partition = partition

        def contribute(self, request: ContributeRequest) -> Contribution:
            behaviour = (misbehaving or {}).get(plan.roster[self.partition])
            return (
                ParabolaHospital(plan, self.partition).contribute(request) if behaviour is None else behaviour(request)
            )

        def summarise(self, request: SummariseRequest) -> Contribution:
            raise AssertionError("this plan has no summaries")

    def connect(context: Context) -> Desk:
        return unsigned_desk(Guard(partition_of(context)))

    return answer_partition_queries(build_client_app(connect))


def run(
    plan: StudyPlan,
    *,
    start: FederationState | None = None,
    folder: Path | None = None,
    app: ClientApp | None = None,
    observer: Observer = no_observer,
) -> tuple[FederationState | None, list[RoundReport]]:
    """The last state and all reports."""
    seen: list[tuple[FederationState, RoundReport]] = []

    def observe(state: FederationState, report: RoundReport) -> None:
        seen.append((state, report))
        observer(state, report)

    server = build_server_app(
        plan=plan,
        nodes=lambda grid: find_nodes(grid, roster=plan.roster),
        start=initial_state(START) if start is None else start,
        checkpoint_folder=folder,
        observer=observe,
    )
    run_in_process(server, hospitals(plan) if app is None else app, node_count=len(plan.roster))
    return (seen[-1][0] if seen else None), [report for _, report in seen]


def with_strategy(plan: StudyPlan, strategy: Strategy, mode: TrainingMode = TrainingMode.FULL_BATCH) -> StudyPlan:
    training = replace(plan.training, strategy=strategy, mode=mode, malicious_sites=1, server_learning_rate=0.3)
    return replace(plan, training=training, quorum=5)


def test_one_full_step_of_gradient_ascent_reaches_the_mean_optimum(plan: StudyPlan) -> None:
    training = replace(
        plan.training, strategy=Strategy.FEDAVG, mode=TrainingMode.FULL_BATCH, server_learning_rate=1.0, rounds=1
    )
    state, _ = run(replace(plan, training=training))
    assert state is not None
    optimum = np.mean([optimum_of(partition, parameters=PARAMETERS) for partition in range(5)], axis=0)
    np.testing.assert_allclose(state.weights, optimum, rtol=1e-12)


def test_every_hospital_is_asked_in_every_round_with_the_weights_of_the_last(plan: StudyPlan) -> None:
    asked: list[ContributeRequest] = []
    states: list[FederationState] = [initial_state(START)]

    def remember(request: ContributeRequest) -> Contribution:
        asked.append(request)
        return Contribution(request.weights + 1.0)

    run(plan, app=hospitals(plan, dict.fromkeys(plan.roster, remember)), observer=lambda state, _: states.append(state))
    assert [request.identity for request in asked] == [
        (plan.hash, site, round_, 0) for round_ in (1, 2, 3, 4) for site in plan.roster
    ]
    assert {request.roster for request in asked} == {plan.roster}
    for request in asked:
        assert request.weights.tobytes() == states[request.round - 1].weights.tobytes()


def refuse(request: ContributeRequest) -> Contribution:
    raise RequestRefused(RefusalCode.BUDGET_EXCEEDED)


def fail(request: ContributeRequest) -> Contribution:
    raise RuntimeError("patient 4711 has no stage")


def answer_nan(request: ContributeRequest) -> Contribution:
    return Contribution(np.full_like(request.weights, np.nan))


def test_a_report_says_what_happened(plan: StudyPlan) -> None:
    states = [initial_state(START)]
    _, reports = run(plan, app=hospitals(plan, {"Bonn": refuse}), observer=lambda state, _: states.append(state))
    assert [report.round for report in reports] == [1, 2, 3, 4]
    assert [state.round for state in states] == [0, 1, 2, 3, 4]
    for report, before, after in zip(reports, states, states[1:], strict=False):
        assert report.answered == ("Aachen", "Coburg", "Dessau", "Essen")
        assert report.rejected == (Rejection("Bonn", "refused: budget_exceeded"),)
        assert 5 * PARAMETERS * 8 < report.bytes_down < 5 * (PARAMETERS * 8 + 200), "weights, and little beside them"
        assert 4 * PARAMETERS * 8 < report.bytes_up < 5 * (PARAMETERS * 8 + 200)
        assert report.update_l2_norm == pytest.approx(np.sqrt(np.sum((after.weights - before.weights) ** 2)))
        assert 0 < report.seconds < 10


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (refuse, "Bonn: refused: budget_exceeded"),
        (fail, "Bonn: refused: internal"),
        (answer_nan, "Bonn: refused: internal"),
    ],
)
def test_the_quorum_is_met_with_one_hospital_failing_and_missed_with_two(
    behaviour: Behaviour, words: str, plan: StudyPlan, tmp_path: Path
) -> None:
    _, reports = run(plan, app=hospitals(plan, {"Bonn": behaviour}))
    assert len(reports) == 4
    with pytest.raises(QuorumLost) as lost:
        run(plan, app=hospitals(plan, {"Bonn": behaviour, "Essen": refuse}), folder=tmp_path)
    assert "round 1: 3 of 5 hospitals answered, 4 must" in str(lost.value)
    assert words in str(lost.value)
    assert "Essen: refused: budget_exceeded" in str(lost.value)
    assert "Aachen" not in str(lost.value)
    assert "4711" not in str(lost.value)
    assert list(tmp_path.iterdir()) == []


def test_a_round_whose_weights_are_no_numbers_does_not_count(plan: StudyPlan, tmp_path: Path) -> None:
    """Without clipping no length is too long, and the squares of an optimiser overflow."""

    def huge(request: ContributeRequest) -> Contribution:
        return Contribution(np.append(np.full(PARAMETERS - 1, 1e300), 0.5))  # whole numbers alone would be held back

    def huge_later(request: ContributeRequest) -> Contribution:
        return huge(request) if request.round == 2 else Contribution(request.weights + 1.0)

    adam = with_strategy(plan, Strategy.FEDADAM)
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(FederationFailure, match=r"round 2: .* not finite; the largest numbers came from Bonn"),
    ):
        run(adam, app=hospitals(adam, {"Bonn": huge_later}), folder=tmp_path)
    assert load_checkpoint(tmp_path, plan_hash=adam.hash).state.round == 1


def test_an_absurd_vector_does_not_reach_the_average(plan: StudyPlan) -> None:
    """Finite, and in whole steps of the plan's noise, so that only its length gives it away."""
    privacy = PrivacySpec(PrivacyMode.LOCAL, 3.0, 1e-5, 4.0, 2.0)
    private = replace(with_strategy(plan, Strategy.FEDAVG), privacy=privacy, quorum=4)

    def in_steps(request: ContributeRequest) -> Contribution:
        honest = ParabolaHospital(private, plan.roster.index(request.site)).contribute(request)
        return Contribution(np.rint(honest.vector * 2**20) / 2**20 + 0.0)

    def absurd(request: ContributeRequest) -> Contribution:
        return Contribution(np.full_like(request.weights, 1e4 + 0.5))

    honest = dict.fromkeys(plan.roster, in_steps)
    _, all_admitted = run(private, app=hospitals(private, honest))
    _, reports = run(private, app=hospitals(private, honest | {"Bonn": absurd}))
    reason = "sent a vector longer than any honest one can be (10034 clip norms)"
    assert [report.rejected for report in reports] == [(Rejection("Bonn", reason),)] * 4
    assert max(report.update_l2_norm for report in reports) < 100
    came = [report.bytes_up for report in all_admitted]
    assert [report.bytes_up for report in reports] == came, "what is rejected came over the wire all the same"


def test_after_a_lost_quorum_a_resumed_run_asks_the_very_same_questions(plan: StudyPlan, tmp_path: Path) -> None:
    """So that a guard that did answer may repeat its answer, and charges no patient twice."""
    hashes: list[str] = []
    failing = {"on": False}

    def remember(request: ContributeRequest) -> Contribution:
        if request.round == 3:
            hashes.append(request.hash)
        return ParabolaHospital(plan, 0).contribute(request)

    def fail_in_round_three(request: ContributeRequest) -> Contribution:
        return fail(request) if failing["on"] and request.round == 3 else Contribution(request.weights)

    app = hospitals(plan, {"Aachen": remember, "Bonn": fail_in_round_three, "Essen": fail_in_round_three})
    failing["on"] = True
    with pytest.raises(QuorumLost, match="round 3"):
        run(plan, app=app, folder=tmp_path)
    failing["on"] = False
    resumed = load_checkpoint(tmp_path, plan_hash=plan.hash).state
    assert resumed.round == 2
    _, reports = run(plan, app=app, folder=tmp_path, start=resumed)
    assert [report.round for report in reports] == [3, 4]
    assert len(hashes) == 2
    assert hashes[0] == hashes[1]


def test_a_hospital_that_takes_too_long_is_left_behind(plan: StudyPlan) -> None:
    impatient = replace(plan, round_timeout_seconds=0.2, training=replace(plan.training, rounds=1))

    def dawdle(request: ContributeRequest) -> Contribution:
        time.sleep(0.3)
        return Contribution(request.weights)

    _, reports = run(impatient, app=hospitals(impatient, {"Dessau": dawdle}))
    assert reports[0].rejected == (Rejection("Dessau", "no answer within 0.2 s"),)


# All that may run: FedProx in full_batch is refused.
COMBINATIONS = [
    (strategy, mode)
    for strategy in Strategy
    for mode in TrainingMode
    if (strategy, mode) != (Strategy.FEDPROX, TrainingMode.FULL_BATCH)
]


@pytest.mark.parametrize(("strategy", "mode"), COMBINATIONS)
def test_a_run_resumed_after_any_round_ends_in_the_same_bits(
    strategy: Strategy, mode: TrainingMode, plan: StudyPlan, tmp_path: Path
) -> None:
    plan = with_strategy(plan, strategy, mode)
    whole, _ = run(plan)
    assert whole is not None
    for stop in (1, 2, 3):
        folder = tmp_path / str(stop)
        folder.mkdir()

        def interrupt(state: FederationState, report: RoundReport, stop: int = stop) -> None:
            if state.round == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(plan, folder=folder, observer=interrupt)
        resumed, reports = run(plan, folder=folder, start=load_checkpoint(folder, plan_hash=plan.hash).state)
        assert resumed is not None
        assert reports[0].round == stop + 1
        assert resumed.weights.tobytes() == whole.weights.tobytes()
        assert {name: array.tobytes() for name, array in resumed.optimiser.items()} == {
            name: array.tobytes() for name, array in whole.optimiser.items()
        }


def test_a_resumed_run_without_the_optimiser_would_end_elsewhere(plan: StudyPlan) -> None:
    """The power of the test above."""
    plan = with_strategy(plan, Strategy.FEDADAM)
    whole, _ = run(plan)
    states: list[FederationState] = []
    run(plan, observer=lambda state, _: states.append(state))
    assert whole is not None
    state = states[1]
    forgetful, _ = run(plan, start=replace(state, optimiser={}))
    assert forgetful is not None
    assert np.abs(forgetful.weights - whole.weights).max() > 1e-3


def test_a_finished_study_asks_nobody(plan: StudyPlan) -> None:
    _, reports = run(
        plan, start=FederationState(round=4, weights=START), app=hospitals(plan, dict.fromkeys(plan.roster, fail))
    )
    assert reports == []


class ShufflingGrid(InProcessGrid):
    """Replies arrive in another order each time."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = super().send_and_receive(messages, timeout=timeout)
        order = np.random.default_rng(len(replies)).permutation(len(replies))
        return [replies[place] for place in order]


@pytest.mark.parametrize(("strategy", "mode"), COMBINATIONS)
def test_the_order_of_arrival_changes_no_bit(strategy: Strategy, mode: TrainingMode, plan: StudyPlan) -> None:
    plan = with_strategy(plan, strategy, mode)
    whole, _ = run(plan)
    grid = ShufflingGrid(hospitals(plan), node_count=5)
    nodes = find_nodes(grid, roster=plan.roster)
    shuffled = run_rounds(grid, plan=plan, nodes=nodes, start=initial_state(START), checkpoint_folder=None)
    assert whole is not None
    assert shuffled.weights.tobytes() == whole.weights.tobytes()


def test_what_the_observer_is_told_is_on_the_disk_with_the_callers_extra(plan: StudyPlan, tmp_path: Path) -> None:
    seen: list[tuple[int, object]] = []

    def observe(state: FederationState, report: RoundReport) -> None:
        checkpoint = load_checkpoint(tmp_path, plan_hash=plan.hash)
        assert checkpoint.state.weights.tobytes() == state.weights.tobytes()
        seen.append((checkpoint.state.round, checkpoint.extra))

    server = build_server_app(
        plan=plan,
        nodes=lambda grid: find_nodes(grid, roster=plan.roster),
        start=initial_state(START),
        checkpoint_folder=tmp_path,
        observer=observe,
        extra=lambda state, report: {"charged rounds": report.round},
    )
    run_in_process(server, hospitals(plan), node_count=5)
    assert seen == [(round_, {"charged rounds": round_}) for round_ in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "nodes",
    [
        {"Aachen": 1000, "Bonn": 1001, "Coburg": 1002, "Dessau": 1003},
        {"Aachen": 1000, "Bonn": 1001, "Coburg": 1002, "Dessau": 1003, "Essen": 1003},
    ],
)
def test_every_hospital_needs_a_node_of_its_own(nodes: dict[str, int], plan: StudyPlan) -> None:
    grid = InProcessGrid(hospitals(plan), node_count=5)
    with pytest.raises(FederationFailure, match="node of its own"):
        run_rounds(grid, plan=plan, nodes=nodes, start=initial_state(START), checkpoint_folder=None)


def test_a_plan_whose_strategy_would_not_hold_is_refused_before_anything_runs(plan: StudyPlan) -> None:
    training = replace(plan.training, strategy=Strategy.KRUM, malicious_sites=2)
    with pytest.raises(InvalidInput, match="malicious_sites"):
        run(replace(plan, training=training))


def test_flowers_chatter_is_silenced_and_its_errors_are_not(
    plan: StudyPlan, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run(plan)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    logger = logging.getLogger("flwr")
    before = logger.level
    with flower_says_errors_only():
        logger.warning("chatter")
        logger.error("something is broken")
    assert logger.level == before
    assert "something is broken" in caplog.text
    assert "chatter" not in caplog.text


def test_a_grid_gets_the_plans_patience(plan: StudyPlan) -> None:
    patience: list[float | None] = []

    class NotingGrid(InProcessGrid):
        def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
            patience.append(timeout)
            return super().send_and_receive(messages, timeout=timeout)

    grid: Grid = NotingGrid(hospitals(plan), node_count=5)
    nodes = dict(zip(plan.roster, grid.get_node_ids(), strict=True))
    run_rounds(grid, plan=plan, nodes=nodes, start=initial_state(START), checkpoint_folder=None)
    assert patience == [30.0] * 4
