"""Do the words about privacy say what was spent, never less?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr
from tests.unit.simulations.report.fake_results import NOISE_MULTIPLIER, ROUNDS, fake_result

from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease
from oncofed.protocol.plan import PrivacyMode, TrainingMode
from oncofed.simulations.report.privacy import FALSE_ALARMS, privacy_statement, recognised_at_most
from oncofed.simulations.results import RunResult

RELEASE = GaussianRelease(NOISE_MULTIPLIER)


@pytest.fixture(scope="module")
def result() -> RunResult:
    return fake_result(sites=3, patients=200)


def uneven(result: RunResult) -> RunResult:
    """Some hospitals released more than the planned rounds."""
    counts = dict(zip(result.hospitals, (ROUNDS, 90, 70), strict=True))
    return replace(result, releases={site: (RELEASE,) * count for site, count in counts.items()})


def analytic_delta(epsilon: float, *, distance: float) -> float:
    """Balle and Wang (2018), theorem 8, for one Gaussian sum with this signal-to-noise ratio."""
    half, moved = distance / 2, epsilon / distance
    return float(ndtr(half - moved) - np.exp(epsilon) * ndtr(-half - moved))


def analytic_epsilon(delta: float, *, distance: float) -> float:
    return float(brentq(lambda epsilon: analytic_delta(epsilon, distance=distance) - delta, 0, 100))


@pytest.mark.parametrize(("noise_multiplier", "count"), [(10.0, 60), (3.0, 1), (40.0, 7), (1.5, 4)])
def test_what_can_be_recognised_is_the_best_of_all_epsilon_delta_bounds(noise_multiplier: float, count: int) -> None:
    """A Gaussian sum keeps to (epsilon, delta(epsilon)) for every epsilon; together these bounds are exact."""
    distance = count**0.5 / noise_multiplier
    bounds = [
        np.exp(epsilon) * FALSE_ALARMS + analytic_delta(epsilon, distance=distance)
        for epsilon in np.linspace(0, 12, 4001)
    ]
    releases = [GaussianRelease(noise_multiplier)] * count
    found = recognised_at_most(releases, epsilon=epsilon_of(releases, delta=1e-5), delta=1e-5)
    assert found == pytest.approx(min(bounds), abs=1e-5)


def test_the_best_attack_on_a_gaussian_sum_recognises_that_many() -> None:
    rng = np.random.default_rng(5)
    out, taking_part = rng.normal(0, 1, 400_000), rng.normal(0.8, 1, 400_000)
    threshold = np.quantile(out, 1 - FALSE_ALARMS)
    found = recognised_at_most([GaussianRelease(1 / 0.8)], epsilon=5.0, delta=1e-5)
    assert (taking_part > threshold).mean() == pytest.approx(found, abs=0.004)


@pytest.mark.parametrize("sites", [1, 7])
def test_sums_with_integer_noise_are_told_as_the_gaussian_of_what_is_guaranteed(sites: int) -> None:
    """By hand: the guaranteed shares together, less the 4 of the proof, over one clip norm and the rounding."""
    shared = SharedIntegerRelease(10.0, 400, 8, 1.0, sites, 0, 0)
    sigma = math.sqrt(sites * shared.share_standard_deviation**2 - 4) / (256 * (1 + 1e-5) + 20)
    expected = recognised_at_most([GaussianRelease(sigma)] * 30, epsilon=5.0, delta=1e-5)
    assert recognised_at_most([shared] * 30, epsilon=5.0, delta=1e-5) == pytest.approx(expected, abs=1e-9)
    unrounded = recognised_at_most([GaussianRelease(10.0)] * 30, epsilon=5.0, delta=1e-5)
    assert expected > 1.01 * unrounded


def test_steps_with_everybody_are_told_as_so_many_sums() -> None:
    in_one = [SampledIntegerRelease(10.0, 400, 20, 1.0, 1.0, 30)]
    in_many = [SharedIntegerRelease(10.0, 400, 20, 1.0, 1, 0, 0)] * 30
    found = recognised_at_most(in_one, epsilon=5.0, delta=1e-5)
    assert found == pytest.approx(recognised_at_most(in_many, epsilon=5.0, delta=1e-5), abs=1e-9)


def test_sampled_sums_are_bounded_by_epsilon_and_delta_alone() -> None:
    release = [SampledIntegerRelease(1.0, 100, 20, 1.0, 0.1, 10)]
    assert recognised_at_most(release, epsilon=1.0, delta=1e-5) == pytest.approx(np.e * 0.01 + 1e-5)
    strict = recognised_at_most(release, epsilon=6.0, delta=0.0)
    assert strict == pytest.approx(1 - np.exp(-6.0) * 0.99)
    assert recognised_at_most(release, epsilon=float("inf"), delta=1e-5) == 1.0
    assert recognised_at_most([], epsilon=0.0, delta=0.0) == pytest.approx(FALSE_ALARMS)


def test_a_patient_of_two_hospitals_spends_both(result: RunResult) -> None:
    statement = privacy_statement(result)
    both = analytic_epsilon(1e-5, distance=(2 * ROUNDS) ** 0.5 / NOISE_MULTIPLIER)
    one = analytic_epsilon(1e-5, distance=ROUNDS**0.5 / NOISE_MULTIPLIER)
    assert statement.epsilon == pytest.approx(one, abs=0.02)
    assert statement.epsilon_two_hospitals == pytest.approx(both, abs=0.02)
    assert f"epsilon {both:.2f}" in " ".join(statement.meaning)


def test_a_repeated_attempt_counts_in_both_hospitals(result: RunResult) -> None:
    repeated = replace(result, releases=dict.fromkeys(result.hospitals, (RELEASE,) * 70))
    both = analytic_epsilon(1e-5, distance=140**0.5 / NOISE_MULTIPLIER)
    assert privacy_statement(repeated).epsilon_two_hospitals == pytest.approx(both, abs=0.02)


def test_the_largest_epsilon_of_all_hospitals_is_told(result: RunResult) -> None:
    statement = privacy_statement(uneven(result))
    assert statement.epsilon == epsilon_of([RELEASE] * 90, delta=1e-5)
    assert statement.epsilon_two_hospitals == epsilon_of([RELEASE] * 160, delta=1e-5)


def test_one_hospital_has_no_patient_of_two(result: RunResult) -> None:
    site, charged = next(iter(result.releases.items()))
    statement = privacy_statement(replace(result, releases={site: charged}))
    assert statement.epsilon_two_hospitals is None
    assert dict(statement.facts)["Epsilon of a patient treated at two hospitals"] == "not computed"


def test_every_fact_a_privacy_officer_asks_for_is_there(result: RunResult) -> None:
    facts = dict(privacy_statement(result).facts)
    assert facts["Mode"].startswith("local")
    assert facts["Delta"] == "1e-5 (1 in 100,000)"
    assert facts["Unit of protection"].startswith("one patient of one hospital")
    assert facts["Relation"] == "add or remove that patient"
    assert facts["Noise"].startswith("10.000 times the clip norm")
    assert facts["Clip norm"].startswith("2.000")
    assert facts["Releases"] == "60 rounds of 60 planned, with a reserve of 2 repeated rounds"


def test_sampling_is_told(result: RunResult) -> None:
    training = replace(result.plan.training, mode=TrainingMode.EPOCHS, local_steps=10, sampling_rate=0.1)
    plan = replace(result.plan, training=training, privacy=replace(result.plan.privacy, noise_multiplier=3.0))
    release = SampledIntegerRelease(3.0, plan.model.parameters, 20, 1.0, 0.1, 10)
    releases = dict.fromkeys(result.hospitals, (release,) * ROUNDS)
    statement = privacy_statement(replace(result, plan=plan, releases=releases))
    assert "10 steps a round, each patient in a step with probability 0.1" in dict(statement.facts)["Releases"]
    assert statement.epsilon_two_hospitals == epsilon_of([release] * 2 * ROUNDS, delta=1e-5)


def test_without_privacy_nothing_is_promised() -> None:
    result = fake_result(sites=2, patients=100, mode=PrivacyMode.NONE)
    statement = privacy_statement(result)
    assert not statement.private
    assert statement.epsilon is statement.epsilon_two_hospitals is None
    assert "Nothing in this run is private" in statement.meaning[0]
    clipped = replace(result, plan=replace(result.plan, privacy=replace(result.plan.privacy, l2_norm_bound=2.0)))
    assert "protects nobody" in dict(privacy_statement(clipped).facts)["Clip norm"]
