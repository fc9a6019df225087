"""Do calibration rounds by tumour entity set right the level of each entity and the common course, within the bound?

Patients of four entities are drawn from a known hazard; the model that is set right is the truth with wrong levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.doubles import drawn_patients, drawn_weights, local_privacy, model_spec, no_privacy, study_plan
from tests.oracles.test_likelihood import FollowUp
from tests.oracles.test_stopped_residuals import outcomes

from oncofed.client.patients import entity_sums
from oncofed.client.patients.calibration_sums import calibration_rows, calibration_sum
from oncofed.client.patients.entity_sums import entity_rows, entity_sum
from oncofed.protocol.calibration_layout import (
    CalibrationRound,
    calibration_numbers,
    calibration_round_of,
    entity_numbers,
)
from oncofed.protocol.plan import StudyPlan, TrainingSpec
from oncofed.server.rounds.checkpoint import load_checkpoint, save_checkpoint
from oncofed.server.rounds.entity_recalibration import entities_recalibrated, shrunken
from oncofed.server.rounds.recalibration import recalibrated
from oncofed.server.rounds.state import FederationState
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0))
INTERVALS, ENTITIES, ENCODED = 4, 4, 0.7
LEVELS = EntityLevels((1, 2, 3), ENCODED)
SPEC = replace(model_spec(columns=10, hidden_units=(), baseline_weight=0.5, grid=GRID), entity_levels=LEVELS)
TRUE_WEIGHTS = np.array([0.4, -0.2, 0.1, -0.3, 0.8, 0.6, -0.5, 0.2, *[0.0] * 6])
"""Four of the baseline, of a marker, of three entities beside the reference one, of six markers that tell nothing."""


def plan_of(rounds: int = 12, spec: object = SPEC) -> StudyPlan:
    training = TrainingSpec(rounds=rounds + 2, calibration_rounds=rounds)
    return study_plan(model=spec, training=training, privacy=no_privacy())  # type: ignore[arg-type]


PLAN = plan_of()


def drawn(n: int, *, seed: int) -> PatientTensors:
    """Delayed entry, and censoring that depends on the marker; entities of different sizes."""
    rng = np.random.default_rng(seed)
    entity = rng.choice(ENTITIES, size=n, p=[0.4, 0.3, 0.2, 0.1])
    x = rng.normal(size=(n, 10))
    x[:, 1:4] = 0.0
    x[np.arange(n), entity] = np.where(entity, ENCODED, x[:, 0])
    hazard = SPEC.baseline_hazard[0] * np.exp(0.5 * TRUE_WEIGHTS[:4] + (x @ TRUE_WEIGHTS[4:])[:, None])
    upto = np.concatenate([np.zeros((n, 1)), np.cumsum(hazard * GRID.widths, axis=1)], axis=1)
    wanted, row = rng.exponential(size=n), np.arange(n)
    interval = np.minimum((upto <= wanted[:, None]).sum(axis=1) - 1, INTERVALS - 1)
    death = np.array(GRID.bounds)[interval] + (wanted - upto[row, interval]) / hazard[row, interval]
    censored = rng.uniform(2, 80, n) / np.exp(0.5 * x[:, 0])
    entry = np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0, 15, n))
    exit_, observed = np.minimum(death, censored), death <= censored
    keep = exit_ > entry
    return FollowUp(x[keep], entry[keep], exit_[keep], observed[keep]).tensors(GRID)


def distorted(levels: list[float], *, course: Sequence[float] = (0.0,) * INTERVALS) -> FloatArray:
    """levels: of the four entities, added to their log hazard; course: to all patients', by interval."""
    weights = TRUE_WEIGHTS.copy()
    weights[:INTERVALS] += (levels[0] + np.array(course)) / 0.5
    weights[5:8] += (np.array(levels[1:]) - levels[0]) / ENCODED
    return weights


def log_hazards(weights: FloatArray) -> FloatArray:
    """(entities, intervals): of one whose marker is 0."""
    x = torch.zeros(ENTITIES, 10, dtype=torch.float64)
    x[1, 1] = x[2, 2] = x[3, 3] = ENCODED
    found: FloatArray = network_with(SPEC, weights).log_hazard(x)[:, 0].detach().numpy()
    return found


def set_right(
    weights: FloatArray, *, noise: float, patients: int = 20_000, seed: int = 1, plan: StudyPlan = PLAN
) -> FloatArray:
    people, rng = drawn(patients, seed=seed), np.random.default_rng(seed)
    averaged = None
    for round_ in range(3, plan.training.rounds + 1):
        kind = calibration_round_of(plan, round_)
        assert kind is not None
        sums = (entity_sum if kind.of_entities else calibration_sum)(plan, weights, people).vector
        sums = sums + noise * rng.standard_normal(len(sums))
        if kind.of_entities:
            weights, averaged = entities_recalibrated(
                weights, sums, model=plan.model, calibration=kind, noise=noise, cap=1.0, averaged=averaged
            )
        else:
            weights = recalibrated(weights, sums, model=plan.model, calibration_round=kind.number, noise=noise)
    return weights


@pytest.mark.parametrize("noise", [0.0, 15.0])
@pytest.mark.parametrize(
    ("levels", "course"),
    [
        ([0.0, 0.5, -0.6, 0.3], [0.0] * 4),
        ([-0.5, 0.2, 0.4, -0.3], [0.0] * 4),
        ([0.0] * 4, [0.5, -0.3, 0.2, -0.4]),
        ([0.3, -0.4, 0.2, 0.5], [-0.4, 0.3, 0.0, 0.3]),
        ([0.0] * 4, [0.0] * 4),
    ],
)
def test_each_entitys_level_and_the_common_course_become_the_true_ones(
    levels: list[float], course: list[float], noise: float
) -> None:
    reached = log_hazards(set_right(distorted(levels, course=course), noise=noise)) - log_hazards(TRUE_WEIGHTS)
    # The smallest entity has 700 events, of which chance alone is 0.04.
    assert np.abs(reached.mean(axis=1)).max() < (0.13 if noise else 0.1)
    assert np.abs(reached).max() < (0.25 if noise else 0.2)


def test_what_the_common_level_has_moved_the_course_does_not_move_again() -> None:
    wrong, people = distorted([-0.5] * 4), drawn(20_000, seed=1)
    sums = calibration_sum(PLAN, wrong, people).vector
    moved = recalibrated(wrong, sums, model=SPEC, calibration_round=1, noise=0.0)
    left = (log_hazards(moved) - log_hazards(TRUE_WEIGHTS))[0]
    # From 0.5 below, a Newton step of the level goes 0.15 beyond; that once more would be 0.6.
    assert np.abs(left).max() < 0.35


def test_without_the_plans_levels_all_keep_the_wrong_ones() -> None:
    """What is mended is not mended by the common level and spread."""
    without = plan_of(spec=replace(SPEC, entity_levels=None))
    wrong = distorted([0.0, 0.5, -0.6, 0.3])
    left = log_hazards(set_right(wrong, noise=0.0, plan=without)) - log_hazards(TRUE_WEIGHTS)
    assert np.ptp(left.mean(axis=1)) > 0.5


def levels_under_noise(noise: float, *, rounds: int, patients: int, seeds: int) -> FloatArray:
    """(seeds, entities): by how much rounds of entities alone move the levels of the truth."""
    found = []
    for seed in range(seeds):
        people, rng, weights = drawn(patients, seed=seed), np.random.default_rng(seed), TRUE_WEIGHTS
        averaged = None
        for number in range(1, rounds + 1):
            sums = entity_sum(PLAN, weights, people).vector + noise * rng.standard_normal(SPEC.parameters)
            kind = CalibrationRound(True, number, rounds)
            weights, averaged = entities_recalibrated(
                weights, sums, model=SPEC, calibration=kind, noise=noise, cap=1.0, averaged=averaged
            )
        found.append((log_hazards(weights) - log_hazards(TRUE_WEIGHTS)).mean(axis=1))
    return np.array(found)


def test_a_little_data_under_much_noise_moves_little() -> None:
    """Noise of 500 in each sum, of entities of 40 to 160 events: what is told is next to nothing."""
    assert levels_under_noise(500.0, rounds=4, patients=1000, seeds=12).std() < 0.1


def test_more_rounds_lessen_the_noise() -> None:
    few, many = (levels_under_noise(60.0, rounds=rounds, patients=2000, seeds=10) for rounds in (4, 32))
    assert many.std() < 0.75 * few.std()


# The rounds


@pytest.mark.parametrize(
    ("count", "kinds"),
    [(4, "aeea"), (5, "aeeea"), (12, "aaaeeeeeeaaa"), (24, "a" * 6 + "e" * 12 + "a" * 6), (3, "eee")],
)
def test_the_middle_half_of_them_are_of_entities(count: int, kinds: str) -> None:
    plan = plan_of(count)
    found = [calibration_round_of(plan, round_) for round_ in range(1, plan.training.rounds + 1)]
    assert found[:2] == [None, None]
    assert "".join("e" if each and each.of_entities else "a" for each in found[2:]) == kinds
    for is_of in (True, False):
        own = [each for each in found[2:] if each and each.of_entities == is_of]
        assert [each.number for each in own] == list(range(1, len(own) + 1))
        assert {each.of for each in own} <= {len(own)}


def test_weights_stay_throughout_a_half_and_the_average_is_what_moves_them() -> None:
    rng, weights = np.random.default_rng(0), TRUE_WEIGHTS
    averaged: FloatArray | None = None
    given = [rng.normal(size=SPEC.parameters) * 20 for _ in range(5)]
    moved = []
    for number, sums in enumerate(given, start=1):
        kind = CalibrationRound(True, number, 5)
        before = weights
        weights, averaged = entities_recalibrated(
            weights, sums, model=SPEC, calibration=kind, noise=3.0, cap=1.0, averaged=averaged
        )
        moved.append(bool((weights != before).any()))
    assert moved == [False, True, False, False, True]
    assert averaged is not None
    np.testing.assert_allclose(averaged, np.mean(given[2:], axis=0)[: entity_numbers(SPEC)], rtol=1e-12)


def test_a_study_that_stops_within_a_half_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sums = [rng.normal(size=SPEC.parameters) * 20 for _ in range(4)]

    def on(weights: FloatArray, averaged: FloatArray | None, number: int) -> tuple[FloatArray, FloatArray]:
        kind = CalibrationRound(True, number, 8)
        return entities_recalibrated(
            weights, sums[number - 1], model=SPEC, calibration=kind, noise=3.0, cap=1.0, averaged=averaged
        )

    weights, averaged = TRUE_WEIGHTS, None
    for number in range(1, 5):
        weights, averaged = on(weights, averaged, number)
    again, kept = on(*on(TRUE_WEIGHTS, None, 1), 2)
    save_checkpoint(tmp_path, state=FederationState(5, again, {"entity_sums": kept}), plan_hash="ab")
    state = load_checkpoint(tmp_path, plan_hash="ab").state
    again, kept = on(*on(state.weights, state.optimiser["entity_sums"], 3), 4)
    assert again.tobytes() == weights.tobytes()
    assert (weights != TRUE_WEIGHTS).any()


@pytest.mark.parametrize("absurd", [1e300, -1e300, 1e9, -1e9, math.inf, -math.inf, math.nan])
def test_absurd_sums_move_by_one_step_at_most(absurd: float) -> None:
    for sums in (np.full(SPEC.parameters, absurd), np.where(np.arange(SPEC.parameters) % 2, absurd, 1.0)):
        moved, _ = entities_recalibrated(
            TRUE_WEIGHTS, sums, model=SPEC, calibration=CalibrationRound(True, 1, 1), noise=1.0, cap=1.0, averaged=None
        )
        course = recalibrated(TRUE_WEIGHTS, sums, model=SPEC, calibration_round=1, noise=1.0)
        assert np.isfinite(moved).all()
        assert np.isfinite(course).all()
        assert np.abs(log_hazards(moved) - log_hazards(TRUE_WEIGHTS)).max() <= 0.7 + 1e-12


def test_numbers_under_noise_are_drawn_to_their_mean_as_far_as_noise_is_what_they_differ_by() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(50, 150, 4000)
    seen = truth + 100 * rng.standard_normal(4000)
    assert np.sqrt(((shrunken(seen, noise=100.0) - truth) ** 2).mean()) < 0.35 * np.sqrt(((seen - truth) ** 2).mean())
    np.testing.assert_allclose(shrunken(truth, noise=0.0), truth)
    assert (shrunken(np.array([-500.0, 20.0, 3.0]), noise=1.0) >= 0).all()


# What a patient adds


@pytest.mark.parametrize("cap", [0.3, 0.9, 1.0, 2.5])  # at 0.9 an event after the cap is the longest
@pytest.mark.parametrize("endpoints", [1, 2])
def test_no_outcome_passes_the_bound_before_it_is_enforced_and_some_reach_it(cap: float, endpoints: int) -> None:
    spec = replace(
        model_spec(columns=3, hidden_units=(), endpoints=endpoints, baseline_weight=0.5, grid=GRID),
        entity_levels=EntityLevels((1, 2), 1.0),
    )
    of_entities, of_all = [], []
    for seed in range(8):
        weights = drawn_weights(spec, seed=seed, scale=0.7)
        weights[: spec.baseline_parameters] += 6.0
        x = np.array([np.random.default_rng(seed).normal() * (seed > 3), float(seed % 2), 0.0])
        x[1:] *= seed > 1  # the reference patient is among them, of whom residuals alone count
        patients, network = outcomes(spec, x), network_with(spec, weights)
        of_entities.append(float(entity_rows(network, patients, cap=cap).norm(dim=1).max()))
        of_all.append(float(calibration_rows(network, patients, cap=cap).norm(dim=1).max()))
    assert 0.98 < max(of_entities) <= 1 + 1e-12
    assert 0.9 < max(of_all) <= 1 + 1e-12


def test_a_row_that_is_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    right = entity_sums.entity_rows
    monkeypatch.setattr(entity_sums, "entity_rows", lambda *given, **named: 1e3 * right(*given, **named))
    plan = replace(PLAN, privacy=local_privacy(l2_norm_bound=0.25))
    patients = drawn(40, seed=0)
    for row in range(len(patients)):
        total = entity_sum(plan, TRUE_WEIGHTS, patients.rows(slice(row, row + 1)))
        assert total.l2_norm_bound == 0.25
        assert np.linalg.norm(total.vector) == pytest.approx(0.25, rel=1e-6)


def test_a_patient_counts_at_the_own_entity_alone_and_an_unknown_one_at_the_first() -> None:
    network, people = network_with(SPEC, TRUE_WEIGHTS), drawn(200, seed=0)
    rows = entity_rows(network, people, cap=1.0).view(len(people), ENTITIES, 2)
    own = torch.where(people.x[:, 1:4].any(dim=1), people.x[:, 1:4].argmax(dim=1) + 1, 0)
    for row, entity in zip(rows, own, strict=True):
        assert [bool(each.any()) for each in row] == [place == int(entity) for place in range(ENTITIES)]


def test_sums_are_those_of_plain_counting() -> None:
    """Of few, whom no cap stops: expected less observed events, and half of the expected ones."""
    people, weights = drawn(300, seed=2), TRUE_WEIGHTS.copy()
    weights[:INTERVALS] -= 8.0  # next to no hazard
    sums = entity_sum(PLAN, weights, people).vector[: entity_numbers(SPEC)].reshape(ENTITIES, 2)
    own = np.where(people.x[:, 1:4].any(dim=1), people.x[:, 1:4].argmax(dim=1) + 1, 0)
    hazard = (people.at_risk * network_with(SPEC, weights).log_hazard(people.x).exp()).sum(dim=(1, 2)).detach().numpy()
    events = people.events.sum(dim=(1, 2)).numpy()
    for entity in range(ENTITIES):
        expected, came = hazard[own == entity].sum(), events[own == entity].sum()
        assert came > 10
        weight = 1 / math.sqrt(1.25)  # no hazard and an event: 1; the whole cap of 1 and none: 1 + 1/4
        np.testing.assert_allclose(sums[entity], [weight * (expected - came), weight * expected / 2], rtol=1e-9)


def test_what_is_not_finite_adds_nothing_and_the_rest_are_zeros() -> None:
    people = drawn(60, seed=0)
    weights = np.where(np.arange(SPEC.parameters) < INTERVALS, 0.0, 1e200)
    assert np.isfinite(entity_sum(PLAN, weights, people).vector).all()
    usual = entity_sum(PLAN, TRUE_WEIGHTS, people).vector
    assert usual[: entity_numbers(SPEC)].all()
    assert not usual[entity_numbers(SPEC) :].any()
    assert calibration_numbers(SPEC) == 5 + 2 * INTERVALS


@pytest.mark.parametrize("rows_of", [entity_rows, calibration_rows])
def test_a_row_is_the_same_bits_whoever_else_is_there(rows_of: object) -> None:
    assert callable(rows_of)
    for seed, n in enumerate((2, 3, 64, 251)):
        spec = replace(
            model_spec(columns=9, endpoints=2, hidden_units=(7, 5)), entity_levels=EntityLevels((2, 4, 5), 0.7)
        )
        weights = drawn_weights(spec, seed=seed) * 10.0 ** np.random.default_rng(seed).integers(-3, 2, spec.parameters)
        network, patients = network_with(spec, weights), drawn_patients(spec, n, seed=seed)
        together = rows_of(network, patients, cap=1.0)
        for index in (torch.arange(n)[1:], torch.arange(n).flip(0), torch.tensor([n // 2])):
            alone = rows_of(network, patients.rows(index), cap=1.0)
            assert alone.numpy().tobytes() == together[index].numpy().tobytes()


def test_at_the_truth_the_expected_slopes_are_zero() -> None:
    """By entity, and by interval, with late entry and censoring that depends on risk."""
    by_entity, by_interval = [], []
    for seed in range(60):
        people = drawn(1500, seed=seed)
        by_entity.append(entity_sum(PLAN, TRUE_WEIGHTS, people).vector[: entity_numbers(SPEC) : 2])
        by_interval.append(calibration_sum(PLAN, TRUE_WEIGHTS, people).vector[5 : 5 + 2 * INTERVALS : 2])
    for sums in (np.array(by_entity), np.array(by_interval)):
        assert (np.abs(sums.mean(axis=0)) / (sums.std(axis=0, ddof=1) / math.sqrt(60))).max() < 4
