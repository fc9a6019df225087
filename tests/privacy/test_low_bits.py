"""Do the low bits of what leaves tell that a patient is there? Not of whole numbers; of floats they do, and loudly.

A small float64 is a multiple of a much finer power of two than a large one, so a noised sum stays on the noise's own
lattice where it was exactly 0, and leaves it with one patient in it (Mironov, CCS 2012; Haney et al., 2022). The
attacker here knows the code: the table of likelihoods is drawn from the very mechanism under attack, and looks at the
size of a number and at the grids on which it lies, before and after the noise's scale is taken off. What the attacker
knows of the target is which numbers the target would move: those of a rare category that nobody else has, or of units
that fire for nobody else.

The attack is tried on what leaves: of rounds, of summaries, of local steps. And once more with float noise put back, by
which one sees that it works: then it tells with certainty.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.doubles import (
    SilentNoise,
    calibrated_privacy,
    drawn_patients,
    joined,
    model_spec,
    request_for,
    study_plan,
)
from tests.summaries import calibration_of, evaluation_of, summary_request

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard.guard import Guard
from oncofed.client.patients.summaries import bounded_sum
from oncofed.client.patients.training import ascent_sum
from oncofed.privacy import private_optimizer
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.mechanism import clipped_gradient_sum
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.release import Release
from oncofed.privacy.releases import Local, release_of_round, release_of_summary
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.plan import StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import cells_of
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector

FloatArray = NDArray[np.float64]
Places = NDArray[np.bool_]

UNSURE, CERTAIN = 5.0, 50.0
"""Log likelihood ratios. Chance in the table of likelihoods has a standard deviation of 0.5 over 800 numbers."""
ROUNDS = 60
COLUMNS, RARE, UNITS = 100, 10, 8
ENDPOINTS = tuple(f"endpoint_{number}" for number in range(8))
MODEL = replace(
    model_spec(columns=COLUMNS, hidden_units=(UNITS,)), endpoints=ENDPOINTS, baseline_hazard=(0.02,) * len(ENDPOINTS)
)
TRAINING = TrainingSpec(rounds=ROUNDS)
PRIVACY = calibrated_privacy(
    TRAINING, epsilon=1.0, delta=1e-5, l2_norm_bound=1.0, reserve_rounds=2, parameters=MODEL.parameters
)
SIGMA, SCALE = PRIVACY.noise_multiplier, 2**PRIVACY.scale_bits
POLICY = SitePolicy("registry", largest_epsilon=100.0, delta=1e-5)


# The mechanism that was: a float64 draw, added to the sum as it is


def float_draws(size: int) -> FloatArray:
    """(size,), independent N(0, 1), of the operating system's entropy: by Box and Muller, each the sum of two."""
    pairs = (size + 1) // 2
    words = np.frombuffer(os.urandom(32 * pairs), dtype=np.uint64) >> np.uint64(12)
    u = (words.astype(np.float64) + 0.5) * 2.0**-52
    radius, angle = np.sqrt(-np.log(u[: 2 * pairs])), (2.0 * np.pi) * u[2 * pairs :]
    across, along = radius * np.cos(angle), radius * np.sin(angle)
    return np.concatenate([across[:pairs] + across[pairs:], along[:pairs] + along[pairs:]])[:size]


class FloatNoise(Local):
    """The same bound and the same size of noise."""

    def noised(self, total: BoundedSum, noise: NoiseSource) -> FloatArray:
        return total.vector + self.sum_event.noise_multiplier * float_draws(self.numbers)

    def fault_of(self, vector: NDArray[Any]) -> str:
        return ""


def integers(release: Release) -> Local:
    """As it is."""
    assert type(release) is Local
    return release


def floats(release: Release) -> Local:
    """The same release with that noise. (Its bound is 1, so that a sum is in its own unit.)"""
    honest = integers(release)
    assert honest.l2_norm_bound == 1
    return FloatNoise(honest.sum_event, honest.l2_norm_bound, honest.largest_patients, honest.of_steps)


Mechanism = Callable[[Release], Local]


def put_in(monkeypatch: pytest.MonkeyPatch, mechanism: Mechanism) -> None:
    """So that each guard from now on releases by it."""
    monkeypatch.setattr(guard_module, "release_of_round", lambda plan: mechanism(release_of_round(plan)))
    monkeypatch.setattr(
        guard_module, "release_of_summary", lambda plan, spec: mechanism(release_of_summary(plan, spec))
    )


# The attack


def grid_of(numbers: FloatArray) -> NDArray[np.int64]:
    """g where a number is an odd multiple of 2^-g."""
    mantissa, exponent = np.frexp(numbers)
    whole = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
    return np.asarray(53 - exponent - np.log2((whole & -whole).astype(np.float64)).astype(np.int64))


SIZES, GRIDS, OWN_GRIDS = 16, 24, 64


def features(numbers: FloatArray) -> tuple[NDArray[np.int64], ...]:
    """Of each number that is not 0: its size, the coarsest grid of what the scale makes it of, and its own grid."""
    numbers = numbers[numbers != 0]
    middle = numbers / SIGMA
    size = np.clip(-np.floor(np.log2(np.abs(middle))).astype(np.int64), 0, SIZES - 1)
    grid = np.full(numbers.shape, GRIDS - 1)
    candidate = np.nextafter(np.nextafter(np.nextafter(middle, -np.inf), -np.inf), -np.inf)
    for _ in range(7):
        fits = candidate * SIGMA == numbers
        grid = np.where(fits, np.minimum(grid, np.clip(grid_of(candidate) - 48, 0, GRIDS - 2)), grid)
        candidate = np.nextafter(candidate, np.inf)
    return size, grid, np.clip(grid_of(numbers) + 4, 0, OWN_GRIDS - 1)


DRAWS, TOO_FEW, CAUTION = 500_000, 2_000, 20.0


@cache
def log_ratios(mechanism: Mechanism) -> FloatArray:
    """(sizes, grids, own grids): of the target's absence over its presence, from so many draws of either.

    Own grids that both have too seldom are one cell for each size and grid; a cell says nothing before it was seen.
    """
    event = SharedIntegerRelease(SIGMA, DRAWS, PRIVACY.scale_bits, 1.0, 1, 0, 0)
    release, rng = mechanism(Local(event, 1.0, 10_000)), np.random.default_rng(0)

    def counted(sums: FloatArray) -> FloatArray:
        counts = np.zeros((SIZES, GRIDS, OWN_GRIDS))
        np.add.at(counts, features(release.noised(BoundedSum(sums, 1.0), OperatingSystemNoise())), 1)
        return counts

    absent, present = counted(np.zeros(DRAWS)), counted(rng.normal(scale=0.03, size=DRAWS))
    seldom = absent + present < TOO_FEW
    for counts in (absent, present):
        counts[:] = np.where(seldom, np.where(seldom, counts, 0.0).sum(axis=2, keepdims=True), counts)
    return np.log((absent + CAUTION) / (present + CAUTION))


def log_ratio(mechanism: Mechanism, numbers: FloatArray) -> float:
    """What so many numbers that the target would move say: large for absence, small for presence."""
    return float(log_ratios(mechanism)[features(numbers)].sum())


# Who is there


def patients_without_the_rare() -> PatientTensors:
    """300 of them; the last columns are categories that none of them has."""
    drawn = drawn_patients(MODEL, 300, seed=1)
    drawn.x[:, -RARE:] = 0.0
    return PatientTensors.of(drawn.x, drawn.events, drawn.at_risk)


def the_target() -> PatientTensors:
    """Has all of them, and is counted for each endpoint from the beginning."""
    drawn = drawn_patients(MODEL, 1, seed=99)
    drawn.x[:, -RARE:] = 1.0
    at_risk = torch.ones_like(drawn.at_risk)
    return PatientTensors.of(drawn.x, torch.zeros_like(drawn.events), at_risk)


OTHERS, TARGET = patients_without_the_rare(), the_target()
WORLDS = {"absent": OTHERS, "present": joined(OTHERS, TARGET)}


def guard_of(plan: StudyPlan, patients: PatientTensors) -> Guard:
    return Guard(
        site="Bonn",
        plan=plan,
        policy=POLICY,
        patients=lambda: patients,
        held_out=lambda: patients,
        ledger=MemoryLedger(POLICY.budget),
        noise=OperatingSystemNoise(),
    )


def parameters_of(name: str) -> Places:
    """(parameters,): which of them belong to this layer."""
    places = [
        np.full(parameter.numel(), name == own)
        for own, parameter in network_with(MODEL, np.zeros(MODEL.parameters)).named_parameters()
    ]
    return np.concatenate(places)


def of_the_rarest_column() -> Places:
    """Weights by which the last column is multiplied: nobody but the target moves their gradient."""
    found = np.zeros(MODEL.parameters, np.bool_)
    for layer in ("linear_branch.weight", "relu_branch.0.weight"):
        found[np.flatnonzero(parameters_of(layer)).reshape(-1, COLUMNS)[:, -1]] = True
    return found


def moved_by_the_target(weights: FloatArray, among: Places) -> Places:
    plan = study_plan(model=MODEL, privacy=PRIVACY)
    moved: Places = (ascent_sum(plan, weights, TARGET).vector != 0) & among
    assert not ascent_sum(plan, weights, OTHERS).vector[moved].any(), "nobody else does"
    return moved


def crafted_weights() -> FloatArray:
    """Every hidden unit fires for the target alone."""
    network = network_with(MODEL, np.zeros(MODEL.parameters))
    named = dict(network.named_parameters())
    with torch.no_grad():
        named["relu_branch.0.weight"][:, -1] = 1.0
        named["relu_branch.2.weight"][:] = 0.3
    return parameter_vector(network)


@cache
def honest_weights(round_: int) -> tuple[FloatArray, Places]:
    """As after some steps with noise; and what the target moves then."""
    start = parameter_vector(PrognosisNetwork(MODEL, initialisation_seed=round_))
    weights = start + np.random.default_rng(1000 + round_).normal(scale=0.05, size=start.size)
    return weights, moved_by_the_target(weights, of_the_rarest_column())


# What the attacker sees of a study


PLAN = study_plan(model=MODEL, training=TRAINING, privacy=PRIVACY)


def one_crafted_round(patients: PatientTensors) -> FloatArray:
    weights = crafted_weights()
    moved = moved_by_the_target(weights, parameters_of("relu_branch.0.weight"))
    assert moved.sum() == UNITS * COLUMNS
    return np.asarray(guard_of(PLAN, patients).contribute(request_for(PLAN, weights=weights)).vector[moved])


def honest_rounds(patients: PatientTensors) -> FloatArray:
    guard, seen = guard_of(PLAN, patients), []
    for round_ in range(1, ROUNDS + 1):
        weights, moved = honest_weights(round_)
        seen.append(guard.contribute(request_for(PLAN, round_=round_, weights=weights)).vector[moved])
    return np.concatenate(seen)


def weights_for_summaries() -> FloatArray:
    """A linear model by which the rare columns weigh much more than any other."""
    weights = np.random.default_rng(5).normal(scale=0.01, size=MODEL.parameters)
    linear = np.flatnonzero(parameters_of("linear_branch.weight")).reshape(-1, COLUMNS)
    weights[linear[:, -RARE:]] = 0.3
    hidden = np.flatnonzero(parameters_of("relu_branch.0.weight")).reshape(-1, COLUMNS)
    weights[hidden[:, -RARE:]] = 0.0
    return weights


def asked_often(spec: SummarySpec, patients: PatientTensors) -> FloatArray:
    """As often as the plan allows, among few patients, to be quick."""
    privacy = replace(PRIVACY, epsilon=100.0)
    plan = replace(PLAN, summaries=(spec,), training=replace(TRAINING, rounds=1), privacy=privacy)
    few = patients.rows(slice(len(patients) - 40, len(patients)))
    weights = weights_for_summaries()
    moved = bounded_sum(plan, spec, weights, TARGET).vector != 0
    moved &= bounded_sum(plan, spec, weights, OTHERS).vector == 0
    assert moved.sum() >= len(ENDPOINTS)
    guard = guard_of(plan, few)
    questions = (summary_request(plan, attempt=attempt, weights=weights) for attempt in range(spec.attempts))
    return np.concatenate([guard.summarise(question).vector[moved] for question in questions])


def counts_of_held_out(patients: PatientTensors) -> FloatArray:
    """A hundred times the cells of a group of risk in which nobody else is."""
    return asked_often(evaluation_of(PLAN, noise_multiplier=SIGMA, attempts=100, edges=(0.0, 2.0)), patients)


def sums_of_held_out(patients: PatientTensors) -> FloatArray:
    """Forty times the sums of a group of patients in which nobody else is."""
    return asked_often(
        calibration_of(PLAN, noise_multiplier=SIGMA, attempts=40, group_columns=(COLUMNS - 1,)), patients
    )


def votes_for_markers(patients: PatientTensors) -> FloatArray:
    """Votes for ten markers that nobody else votes for."""
    votes = VoteSpec(column_markers=tuple(range(COLUMNS)), markers=COLUMNS, most_votes=RARE)
    kind = SummaryKind.KEY_MARKERS
    return asked_often(SummarySpec("key_markers", kind, cells_of(kind, votes), SIGMA, 40, votes=votes), patients)


def local_steps(count: int, *, learning_rate: float = 0.5) -> StudyPlan:
    training = TrainingSpec(
        mode=TrainingMode.EPOCHS,
        rounds=1,
        local_steps=count,
        sampling_rate=1.0,
        expected_batch_size=32.0,
        local_learning_rate=learning_rate,
    )
    return study_plan(model=MODEL, training=training, privacy=replace(PRIVACY, epsilon=100.0))


def sums_of_local_steps(patients: PatientTensors) -> FloatArray:
    """As the optimiser gets them, though they never leave: from all that a server sees follows less than from these."""
    plan, seen, moved = local_steps(ROUNDS, learning_rate=1e-3), [], []
    rarest = of_the_rarest_column()

    class Watched(private_optimizer.PrivateOptimizer):
        def take_gradients(self, clipped: BoundedSum) -> None:
            weights = torch.cat([parameter.detach().reshape(-1) for parameter in self.params])
            network = network_with(MODEL, np.asarray(weights.numpy()))
            of_target = clipped_gradient_sum(network, TARGET, l2_norm_bound=1.0).vector
            moved.append((of_target != 0) & rarest)
            super().take_gradients(clipped)
            gradients = torch.cat([parameter.grad.reshape(-1) for parameter in self.params])
            seen.append(np.asarray(gradients.numpy()) * plan.training.expected_batch_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_optimizer, "PrivateOptimizer", Watched)
        guard_of(plan, patients).contribute(request_for(plan, weights=honest_weights(1)[0]))
    assert len(seen) == ROUNDS
    return np.concatenate([numbers[places] for numbers, places in zip(seen, moved, strict=True)])


def weights_after_a_step(patients: PatientTensors) -> FloatArray:
    """One step from weights of which many are 0, so that they leave as the step made them: times 0.5 / 32."""
    weights = crafted_weights()
    moved = moved_by_the_target(weights, parameters_of("relu_branch.0.weight")) & (weights == 0)
    assert moved.sum() == UNITS * (COLUMNS - 1)
    plan = local_steps(1)
    return np.asarray(guard_of(plan, patients).contribute(request_for(plan, weights=weights)).vector[moved] * -64.0)


@dataclass(frozen=True)
class Attack:
    """seen: in one study, of the numbers that the target would move. quick: how often that takes but a moment."""

    seen: Callable[[PatientTensors], FloatArray]
    quick: int


ATTACKS = {
    "a crafted round": Attack(one_crafted_round, 40),
    "sixty honest rounds": Attack(honest_rounds, 2),
    "held-out counts": Attack(counts_of_held_out, 2),
    "held-out sums": Attack(sums_of_held_out, 2),
    "votes": Attack(votes_for_markers, 2),
    "sums of local steps": Attack(sums_of_local_steps, 2),
    "weights after a step": Attack(weights_after_a_step, 40),
}
EACH_ATTACK = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
EACH_WORLD = pytest.mark.parametrize("world", WORLDS)


def told_nothing(attack: Attack, world: str, *, times: int) -> int:
    """In how many studies the attacker stays unsure."""
    found = [log_ratio(integers, attack.seen(WORLDS[world])) for _ in range(times)]
    return sum(abs(ratio) < UNSURE for ratio in found)


@EACH_WORLD
@EACH_ATTACK
def test_the_low_bits_of_what_leaves_tell_nothing(attack: Attack, world: str) -> None:
    assert told_nothing(attack, world, times=attack.quick) == attack.quick


@pytest.mark.slow
@EACH_WORLD
@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.quick < 40])
def test_not_once_in_forty_studies(name: str, world: str) -> None:
    assert told_nothing(ATTACKS[name], world, times=40) == 40


@EACH_ATTACK
def test_of_float_noise_they_tell_it_with_certainty(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack, the same size of noise, the same charge."""
    put_in(monkeypatch, floats)
    absent, present = (log_ratio(floats, attack.seen(WORLDS[world])) for world in ("absent", "present"))
    assert present < -CERTAIN
    assert absent > 0


# Exactly


def is_in_whole_steps(numbers: FloatArray, *, scale_bits: int) -> bool:
    """By fractions; and no zero has a sign."""
    whole = all((Fraction(number) * 2**scale_bits).denominator == 1 for number in numbers.tolist())
    return whole and not np.signbit(numbers[numbers == 0]).any()


@settings(deadline=None, max_examples=150)
@given(
    scale_bits=st.integers(4, 40),
    bound=st.floats(1e-4, 1e6),
    sums=st.lists(
        st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, -0.0, -1e-300, -5e-324, 1e-9, -1e-9])), min_size=1
    ),
    noise_multiplier=st.floats(0.1, 10),
    silent=st.booleans(),
)
def test_every_number_of_a_release_is_a_whole_number_of_steps_with_one_zero(
    scale_bits: int, bound: float, sums: list[float], noise_multiplier: float, silent: bool
) -> None:
    event = SharedIntegerRelease(noise_multiplier, len(sums), scale_bits, 1.0, 1, 0, 0)
    release = Local(event, bound, 10)
    total = BoundedSum(np.array(sums) * bound, bound)
    noise: NoiseSource = SilentNoise() if silent else OperatingSystemNoise()
    for numbers in (release.sealed(total, noise=noise), release.sealed_without_patients(noise=noise)):
        assert is_in_whole_steps(numbers, scale_bits=scale_bits)
        assert release.fault_of(numbers) == ""


@pytest.mark.parametrize("scale_bits", [4, 20])
@pytest.mark.parametrize("noise", [OperatingSystemNoise(), SilentNoise()], ids=["noise", "no noise"])
def test_so_is_every_number_that_leaves_a_guard(scale_bits: int, noise: NoiseSource) -> None:
    """With few bits, many of them are zeros; without noise, many that were below zero become so."""
    privacy = replace(PRIVACY, scale_bits=scale_bits, epsilon=100.0)
    plan = study_plan(model=MODEL, training=replace(TRAINING, rounds=1), privacy=privacy)
    spec = evaluation_of(plan, noise_multiplier=SIGMA)
    plan = replace(plan, summaries=(spec,))
    guard = Guard(
        site="Bonn",
        plan=plan,
        policy=POLICY,
        patients=lambda: WORLDS["present"],
        held_out=lambda: WORLDS["present"],
        ledger=MemoryLedger(POLICY.budget),
        noise=noise,
    )
    of_round = guard.contribute(request_for(plan, weights=crafted_weights())).vector
    of_summary = guard.summarise(summary_request(plan, weights=weights_for_summaries())).vector
    numbers = np.concatenate([of_round, of_summary])
    assert numbers.dtype == np.float64
    assert is_in_whole_steps(numbers, scale_bits=scale_bits)
    assert isinstance(noise, OperatingSystemNoise) or (numbers == 0).any()


@pytest.mark.parametrize("numbers", [[0.5, -0.0], [2.0**-21], [1 / 3], [5e-324], [np.nextafter(1.0, 2.0)]], ids=str)
def test_other_numbers_are_noticed_here_and_by_the_release(numbers: list[float]) -> None:
    assert not is_in_whole_steps(np.array(numbers), scale_bits=20)
    release = Local(SharedIntegerRelease(1.0, len(numbers), 20, 1.0, 1, 0, 0), 1.0, 10)
    assert release.fault_of(np.array(numbers)) != ""


def test_a_float_draw_is_no_whole_number_of_steps() -> None:
    assert not is_in_whole_steps(float_draws(3), scale_bits=40)
