"""Does each strategy compute what its name says, as written out slowly here from its paper?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from oncofed.errors import FederationFailure
from oncofed.explanation.training_noise import trained_on
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import ModelSpec, PrivacyMode, PrivacySpec, Strategy, StudyPlan, TrainingMode
from oncofed.ranges import WEIGHT
from oncofed.server.rounds.admission import admit
from oncofed.server.rounds.recalibration import recalibrated
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.server.rounds.strategies import combine, strategy_faults
from oncofed.survival.comparators import Comparator
from oncofed.survival.grid import TimeGrid
from oncofed.survival.time_shapes import TimeShapes

Vectors = list[NDArray[np.float64]]
RATE, BETA_1, BETA_2, TAU, DECAY = 0.05, 0.8, 0.95, 1e-7, 0.01
DECAYED = np.array([0.0, 1, 1, 1, 1, 1])
"""The one interval's baseline hazard is not pulled to zero."""
ADAPTIVE = (Strategy.FEDADAM, Strategy.FEDYOGI, Strategy.FEDADAGRAD)


@pytest.fixture
def run(exchange: Callable[..., Any]) -> Callable[[StudyPlan, Vectors, FederationState], FederationState]:
    """`combine` on the vectors of the first hospitals of the roster, through real messages."""

    def run_(plan: StudyPlan, vectors: Vectors, state: FederationState) -> FederationState:
        open_round = exchange(plan, round_=state.round + 1, weights=state.weights)
        replies = open_round.all_well(dict(zip(plan.roster, vectors, strict=False)))
        admission = admit(replies, questions=open_round.questions, patience_seconds=1.0, release=release_of_round(plan))
        assert len(admission.admitted) == len(vectors)
        weights, optimiser = combine(admission.admitted, state=state, plan=plan)
        return FederationState(round=state.round + 1, weights=weights, optimiser=optimiser)

    return run_


def with_training(plan: StudyPlan, **changes: Any) -> StudyPlan:
    numbers: dict[str, Any] = {
        "server_learning_rate": RATE,
        "beta_1": BETA_1,
        "beta_2": BETA_2,
        "tau": TAU,
        "weight_decay": DECAY,
    }
    return replace(plan, training=replace(plan.training, **(numbers | changes)))


def some_vectors(seed: int, *, count: int = 5) -> Vectors:
    return list(np.random.default_rng(seed).normal(size=(count, 6)))


def krum_slowly(vectors: Vectors, malicious: int) -> NDArray[np.float64]:
    """Blanchard et al. 2017: the vector with the least sum of squared distances to its n - f - 2 nearest."""
    nearest = max(1, len(vectors) - malicious - 2)
    scores = [
        sum(sorted(float(np.sum((one - other) ** 2)) for j, other in enumerate(vectors) if j != i)[:nearest])
        for i, one in enumerate(vectors)
    ]
    return vectors[int(np.argmin(scores))]


SLOW_AVERAGES: dict[Strategy, Callable[[Vectors], NDArray[np.float64]]] = {
    Strategy.FEDAVG: lambda vectors: np.mean(vectors, axis=0),
    Strategy.FEDPROX: lambda vectors: np.mean(vectors, axis=0),
    Strategy.MEDIAN: lambda vectors: np.median(vectors, axis=0),
    Strategy.TRIMMED_AVERAGE: lambda vectors: np.asarray(scipy.stats.trim_mean(vectors, 0.2, axis=0)),
    Strategy.KRUM: lambda vectors: krum_slowly(vectors, 1),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("strategy", SLOW_AVERAGES)
def test_in_epochs_mode_the_weights_themselves_are_combined(
    strategy: Strategy, seed: int, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    vectors = some_vectors(seed)
    plan = with_training(plan, strategy=strategy, malicious_sites=1, proximal_mu=0.1)
    after = run(plan, vectors, initial_state(np.full(6, 9.0)))
    np.testing.assert_allclose(after.weights, SLOW_AVERAGES[strategy](vectors), rtol=1e-9)
    assert after.optimiser == {}


def test_krum_expects_as_many_malicious_hospitals_as_the_plan_says(
    plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    telling = [
        vectors for vectors in map(some_vectors, range(100)) if krum_slowly(vectors, 0) is not krum_slowly(vectors, 1)
    ]
    assert telling
    for malicious in (0, 1):
        expecting = with_training(plan, strategy=Strategy.KRUM, malicious_sites=malicious)
        for vectors in telling:
            after = run(expecting, vectors, initial_state(np.zeros(6)))
            np.testing.assert_allclose(after.weights, krum_slowly(vectors, malicious), rtol=1e-12)


@pytest.mark.parametrize("strategy", SLOW_AVERAGES)
def test_in_full_batch_mode_they_are_steps_along_the_combined_gradient(
    strategy: Strategy, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    vectors, current = some_vectors(7), some_vectors(8)[0]
    plan = with_training(plan, strategy=strategy, mode=TrainingMode.FULL_BATCH, malicious_sites=1, proximal_mu=0.1)
    after = run(plan, vectors, initial_state(current))
    expected = current + RATE * (SLOW_AVERAGES[strategy](vectors) - DECAY * current * DECAYED)
    np.testing.assert_allclose(after.weights, expected, rtol=1e-9)


def adaptive_slowly(
    strategy: Strategy, current: NDArray[np.float64], deltas: Vectors
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Reddi et al. 2021, algorithm 2. FedAdam has Kingma and Ba's bias correction, which Flower counts from t = 2."""
    m, v = np.zeros(6), np.zeros(6)
    for round_, delta in enumerate(deltas, start=1):
        beta_1 = 0.0 if strategy is Strategy.FEDADAGRAD else BETA_1
        m = beta_1 * m + (1 - beta_1) * delta
        rate = RATE
        match strategy:
            case Strategy.FEDADAM:
                v = BETA_2 * v + (1 - BETA_2) * delta**2
                rate = RATE * np.sqrt(1 - BETA_2 ** (round_ + 1)) / (1 - BETA_1 ** (round_ + 1))
            case Strategy.FEDYOGI:
                v = v - (1 - BETA_2) * delta**2 * np.sign(v - delta**2)
            case Strategy.FEDADAGRAD:
                v = v + delta**2
        current = current + rate * m / (np.sqrt(v) + TAU)
    return current, m, v


@pytest.mark.parametrize("strategy", ADAPTIVE)
def test_adaptive_strategies_follow_the_mean_gradient_over_several_rounds(
    strategy: Strategy, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    plan = with_training(plan, strategy=strategy, mode=TrainingMode.FULL_BATCH, weight_decay=0.0)
    rounds = [some_vectors(seed) for seed in range(3)]
    start = some_vectors(9)[0]
    state = initial_state(start)
    for vectors in rounds:
        state = run(plan, vectors, state)
    weights, m, v = adaptive_slowly(strategy, start, [np.mean(vectors, axis=0) for vectors in rounds])
    np.testing.assert_allclose(state.weights, weights, rtol=1e-9)
    np.testing.assert_allclose(state.optimiser["m_t"], m, rtol=1e-9)
    np.testing.assert_allclose(state.optimiser["v_t"], v, rtol=1e-9)


@pytest.mark.parametrize("strategy", ADAPTIVE)
def test_adaptive_strategies_see_the_weight_decay_and_in_epochs_mode_the_difference(
    strategy: Strategy, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    vectors, current = some_vectors(7), some_vectors(8)[0]
    full = run(with_training(plan, strategy=strategy, mode=TrainingMode.FULL_BATCH), vectors, initial_state(current))
    delta = np.mean(vectors, axis=0) - DECAY * current * DECAYED
    np.testing.assert_allclose(full.weights, adaptive_slowly(strategy, current, [delta])[0], rtol=1e-9)
    epochs = run(with_training(plan, strategy=strategy), vectors, initial_state(current))
    difference = np.mean(vectors, axis=0) - current
    np.testing.assert_allclose(epochs.weights, adaptive_slowly(strategy, current, [difference])[0], rtol=1e-9)


def test_a_tiny_gradient_still_moves_fedadam(plan: StudyPlan, run: Callable[..., FederationState]) -> None:
    """With Flower's own tau of 1e-3 it would move by a thousandth of this."""
    plan = with_training(plan, strategy=Strategy.FEDADAM, mode=TrainingMode.FULL_BATCH, tau=1e-8)
    after = run(plan, [np.full(6, 1e-6)] * 5, initial_state(np.zeros(6)))
    assert after.weights.min() > 0.1 * RATE


@pytest.mark.parametrize("strategy", [Strategy.FEDAVG, Strategy.FEDADAM])
def test_averages_use_the_plans_public_weights(
    strategy: Strategy, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    public = (1.0, 2.0, 3.0, 4.0, 5.0)
    plan = with_training(plan, strategy=strategy, site_weights=public)
    vectors, current = some_vectors(3), np.zeros(6)
    mean = np.average(vectors, axis=0, weights=public)
    expected = mean if strategy is Strategy.FEDAVG else adaptive_slowly(strategy, current, [mean])[0]
    np.testing.assert_allclose(run(plan, vectors, initial_state(current)).weights, expected, rtol=1e-9)


def test_public_weights_stay_with_their_sites_when_one_is_missing(
    plan: StudyPlan, exchange: Callable[..., Any]
) -> None:
    plan = with_training(plan, strategy=Strategy.FEDAVG, site_weights=(1.0, 2.0, 3.0, 4.0, 5.0))
    open_round = exchange(plan)
    vectors = some_vectors(3)
    present = {site: vector for site, vector in zip(plan.roster, vectors, strict=True) if site != "Bonn"}
    admission = admit(
        open_round.all_well(present),
        questions=open_round.questions,
        patience_seconds=1.0,
        release=release_of_round(plan),
    )
    weights, _ = combine(admission.admitted, state=initial_state(np.zeros(6)), plan=plan)
    expected = np.average(list(present.values()), axis=0, weights=[1.0, 3.0, 4.0, 5.0])
    np.testing.assert_allclose(weights, expected, rtol=1e-12)


@pytest.mark.parametrize("absurd", [1e4, -1e9, 1e200])
@pytest.mark.parametrize("strategy", [Strategy.MEDIAN, Strategy.TRIMMED_AVERAGE, Strategy.KRUM])
def test_robust_strategies_resist_one_absurd_hospital_where_the_average_does_not(
    strategy: Strategy, absurd: float, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    honest = some_vectors(11, count=4)
    vectors = [honest[0], np.full(6, absurd), *honest[1:]]
    robust = run(with_training(plan, strategy=strategy, malicious_sites=1), vectors, initial_state(np.zeros(6)))
    assert (robust.weights >= np.min(honest, axis=0)).all()
    assert (robust.weights <= np.max(honest, axis=0)).all()
    average = with_training(plan, strategy=Strategy.FEDAVG)
    if absurd / 5 in WEIGHT:
        assert np.abs(run(average, vectors, initial_state(np.zeros(6))).weights).max() > 100.0
    else:
        with pytest.raises(FederationFailure, match=r"round 1: .* beyond 1e\+09 or not finite; .* came from Bonn"):
            run(average, vectors, initial_state(np.zeros(6)))


@pytest.mark.parametrize("mode", TrainingMode)
def test_weights_that_hospitals_would_refuse_end_the_training(
    mode: TrainingMode, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    plan = with_training(plan, strategy=Strategy.FEDAVG, mode=mode, server_learning_rate=1.0)
    most = np.full(6, WEIGHT.most)
    assert (run(plan, [most] * 5, initial_state(np.zeros(6))).weights == WEIGHT.most).all()
    for sign in (1, -1):
        with pytest.raises(FederationFailure, match="beyond"):
            run(plan, [np.nextafter(sign * most, sign * np.inf)] * 5, initial_state(np.zeros(6)))


@pytest.mark.parametrize(("strategy", "absurd"), [(Strategy.FEDAVG, 1.7e308), (Strategy.FEDADAM, 1e200)])
def test_an_overflow_is_reported_and_not_trained_on(
    strategy: Strategy, absurd: float, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    """FedAdam divides by the infinite second moment: its weights stay finite and would never move again."""
    plan = with_training(plan, strategy=strategy, mode=TrainingMode.FULL_BATCH, server_learning_rate=10.0)
    with pytest.raises(FederationFailure, match="not finite"):
        run(plan, [np.full(6, absurd)] * 5, initial_state(np.zeros(6)))


def test_nothing_that_is_given_is_changed(plan: StudyPlan, run: Callable[..., FederationState]) -> None:
    plan = with_training(plan, strategy=Strategy.FEDADAM)
    vectors = some_vectors(5)
    before = run(plan, vectors, initial_state(np.zeros(6)))
    copies = [array.copy() for array in (before.weights, *before.optimiser.values(), *vectors)]
    first = run(plan, vectors, before)
    again = run(plan, vectors, before)
    assert all(
        (one == other).all()
        for one, other in zip(copies, (before.weights, *before.optimiser.values(), *vectors), strict=True)
    )
    assert first.weights.tobytes() == again.weights.tobytes()


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "quorum 0": ({}, {"quorum": 0}, "quorum"),
    "quorum above roster": ({}, {"quorum": 6}, "quorum"),
    "too few site weights": ({"site_weights": (1.0,)}, {}, "training.site_weights"),
    "negative site weight": ({"site_weights": (1.0, 1.0, -1.0, 1.0, 1.0)}, {}, "training.site_weights"),
    "weights with median": (
        {"site_weights": (1.0,) * 5, "strategy": Strategy.MEDIAN},
        {},
        "training.site_weights",
    ),
    "trimming nobody": (
        {"strategy": Strategy.TRIMMED_AVERAGE, "trim_fraction": 0.2},
        {"quorum": 4},
        "training.trim_fraction",
    ),
    "trimming everybody": (
        {"strategy": Strategy.TRIMMED_AVERAGE, "trim_fraction": 0.5},
        {},
        "training.trim_fraction",
    ),
    "FedProx without local steps": (
        {"strategy": Strategy.FEDPROX, "mode": TrainingMode.FULL_BATCH, "proximal_mu": 0.1},
        {},
        "training.strategy",
    ),
    "calibration of local steps": ({"calibration_rounds": 1}, {}, "training.calibration_rounds"),
    "nothing but calibration": (
        {"calibration_rounds": 4, "mode": TrainingMode.FULL_BATCH},
        {},
        "training.calibration_rounds",
    ),
    "calibration by a robust sum": (
        {"calibration_rounds": 1, "mode": TrainingMode.FULL_BATCH, "strategy": Strategy.MEDIAN},
        {},
        "training.calibration_rounds",
    ),
    "weighted calibration": (
        {"calibration_rounds": 1, "mode": TrainingMode.FULL_BATCH, "site_weights": (1.0,) * 5},
        {},
        "training.calibration_rounds",
    ),
    "no room for calibration": (
        {"calibration_rounds": 1, "mode": TrainingMode.FULL_BATCH},
        {
            "model": ModelSpec(
                columns=3, endpoints=("os",), grid=TimeGrid((0.0, 12.0)), baseline_hazard=(0.1,), hidden_units=()
            )
        },
        "training.calibration_rounds",
    ),
    "Krum too small": (
        {"strategy": Strategy.KRUM, "malicious_sites": 1},
        {"quorum": 4},
        "training.malicious_sites",
    ),
}


@pytest.mark.parametrize(("training", "changes", "where"), FAULTS.values(), ids=FAULTS)
def test_settings_that_do_not_do_what_they_say_are_named(
    training: dict[str, Any], changes: dict[str, Any], where: str, plan: StudyPlan
) -> None:
    faulty = replace(with_training(plan, **training), **changes)
    assert [fault.where for fault in strategy_faults(faulty)] == [where]


@pytest.mark.parametrize("private", [False, True])
def test_calibration_rounds_move_level_and_spread_by_the_sum_over_hospitals(
    private: bool, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    plan = with_training(plan, mode=TrainingMode.FULL_BATCH, strategy=Strategy.FEDADAM, calibration_rounds=2)
    if private:
        plan = replace(plan, privacy=PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-5, 2.0, 1.0))
    state = run(plan, [np.round(vector) + 0.0 for vector in some_vectors(0)], initial_state(np.zeros(6)))
    state = run(plan, [np.round(vector) + 0.0 for vector in some_vectors(1)], state)
    of_one = np.array([-20.0, -12.0, 50.0, 4.0, 40.0, 0.0])
    for number in (1, 2):
        expected = recalibrated(
            state.weights,
            5 * of_one,
            model=plan.model,
            calibration_round=number,
            noise=2.0 * math.sqrt(5) if private else 0.0,
        )
        after = run(plan, [of_one] * 5, state)
        np.testing.assert_allclose(after.weights, expected, rtol=1e-5)
        assert (after.weights[1:] / state.weights[1:]).std() < 1e-12  # as a whole
        assert all((after.optimiser[name] == array).all() for name, array in state.optimiser.items())
        state = after
    assert abs(state.weights[1] / run(plan, [of_one] * 5, replace(state, round=1)).weights[1] - 1) > 1e-3  # no gradient


@pytest.mark.parametrize("strategy", list(Strategy))
def test_every_strategy_has_settings_without_fault(strategy: Strategy, plan: StudyPlan) -> None:
    fine = replace(with_training(plan, strategy=strategy, malicious_sites=1, trim_fraction=0.2), quorum=5)
    assert strategy_faults(fine) == ()


@pytest.mark.parametrize("strategy", [Strategy.FEDADAM, Strategy.FEDAVG])
def test_what_hospitals_reckon_of_noise_alone_is_what_these_strategies_make_of_it(
    strategy: Strategy, plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    """`explanation.training_noise` cannot import Flower; here it is held against it, round by round."""
    changed = with_training(plan, mode=TrainingMode.FULL_BATCH, strategy=strategy, rounds=8)
    state, means = initial_state(np.zeros(6)), []
    for number in range(8):
        vectors = some_vectors(number)
        means.append(np.mean(vectors, axis=0)[1:])  # the first is the baseline's, which has no decay
        state = run(changed, vectors, state)
        ours = trained_on(iter(means), changed.training)
        np.testing.assert_allclose(ours, state.weights[1:], rtol=1e-9)
    assert np.abs(state.weights[1:]).min() > 1e-3


def test_time_shapes_have_a_weight_decay_of_their_own(plan: StudyPlan, run: Callable[..., FederationState]) -> None:
    grid = TimeGrid((0.0, 6.0, 12.0, 24.0))
    shapes = TimeShapes(functions=1, centre=9.0, weight=1.0, entity_columns=(0,))
    model = ModelSpec(1, ("overall_survival",), grid, (0.02,), hidden_units=(), time_shapes=shapes)
    plan = with_training(
        replace(plan, model=model), strategy=Strategy.FEDAVG, mode=TrainingMode.FULL_BATCH, shape_weight_decay=7.0
    )
    current = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    after = run(plan, [np.zeros(6)] * 5, initial_state(current))
    decays = np.array([0.0, 0.0, 0.0, 7.0, 7.0, DECAY])
    np.testing.assert_allclose(after.weights, current * (1 - RATE * decays), rtol=1e-12)


def test_a_comparators_weights_decay_times_its_weight_and_its_baseline_does_not(
    plan: StudyPlan, run: Callable[..., FederationState]
) -> None:
    grid = TimeGrid((0.0, 6.0, 12.0))
    beside = (Comparator("stage", (0,), (), 0.25), Comparator("both", (0, 1), (), 2.0))
    model = ModelSpec(2, ("overall_survival",), grid, (0.02,), hidden_units=(), comparators=beside)
    plan = with_training(replace(plan, model=model), strategy=Strategy.FEDAVG, mode=TrainingMode.FULL_BATCH)
    current = np.arange(1.0, 12.0)
    after = run(plan, [np.zeros(11)] * 5, initial_state(current))
    decays = DECAY * np.array([0, 0, 1, 1, 0, 0, 0.25, 0, 0, 2, 2])
    np.testing.assert_allclose(after.weights, current * (1 - RATE * decays), rtol=1e-12)


def test_where_a_plan_expects_weights_decay_pulls_to_them(plan: StudyPlan, run: Callable[..., FederationState]) -> None:
    grid = TimeGrid((0.0, 6.0, 12.0))
    beside = (Comparator("second", (1,), (), 0.25),)
    model = ModelSpec(
        2, ("overall_survival",), grid, (0.02,), hidden_units=(), comparators=beside, expected_weights=(0.7, -0.3)
    )
    plan = with_training(replace(plan, model=model), strategy=Strategy.FEDAVG, mode=TrainingMode.FULL_BATCH)
    current = np.arange(1.0, 8.0)
    after = run(plan, [np.zeros(7)] * 5, initial_state(current))
    decays, centre = DECAY * np.array([0, 0, 1, 1, 0, 0, 0.25]), np.array([0, 0, 0.7, -0.3, 0, 0, -0.3])
    np.testing.assert_allclose(after.weights, current - RATE * decays * (current - centre), rtol=1e-12)
