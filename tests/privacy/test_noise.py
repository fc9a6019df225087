"""Is the noise as large as the policy says, Gaussian to its tails, fresh at each release, and beyond any seed?

privacy.md, test 3. Production noise has no seed, so these tests differ from run to run: each fails by chance with
probability below 1e-6, and each is seen to reject what is wrong by 3 %.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from tests.doubles import (
    FULL_BATCH_SIGMA,
    RecordedNoise,
    SeededNoise,
    drawn_patients,
    drawn_weights,
    local_privacy,
    model_spec,
    study_plan,
)

from oncofed.client.training import local_contribution
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.mechanism import BoundedSum, PrivateOptimizer, clipped_gradient_sum
from oncofed.privacy.noise import NoiseSource, NoNoise, OperatingSystemNoise
from oncofed.protocol.plan import TrainingMode, TrainingSpec
from oncofed.survival.network import network_with, parameter_count

FloatArray = NDArray[np.float64]

BY_CHANCE = 1e-6
DRAWS = 400_000
WIDE = model_spec(columns=10_000, hidden_units=())
"""Many parameters, so that one release says much about its noise."""


def optimizer_for(
    noise: NoiseSource, *, noise_multiplier: float, bound: float, expected_batch_size: float | None = None
) -> PrivateOptimizer:
    network = network_with(WIDE, drawn_weights(WIDE, seed=0))
    return PrivateOptimizer(
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise_multiplier=noise_multiplier,
        l2_norm_bound=bound,
        expected_batch_size=expected_batch_size,
        noise=noise,
    )


def noise_of_releases(count: int, *, noise_multiplier: float, bound: float) -> FloatArray:
    """(count, parameters): what was added to one and the same sum."""
    total = BoundedSum(np.linspace(-1, 1, parameter_count(WIDE)), bound)
    optimizer = optimizer_for(OperatingSystemNoise(), noise_multiplier=noise_multiplier, bound=bound)
    return np.stack([optimizer.noised(total) - total.vector for _ in range(count)])


def p_of_scale(noise: FloatArray, sigma: float) -> float:
    """Two-sided, exact for Gaussian noise: sum of squares over sigma^2 is chi-squared."""
    statistic = float(np.square(noise / sigma).sum())
    return float(2 * min(stats.chi2.cdf(statistic, noise.size), stats.chi2.sf(statistic, noise.size)))


@pytest.mark.parametrize(("noise_multiplier", "bound"), [(FULL_BATCH_SIGMA, 1.0), (3.73, 0.2), (0.7, 50.0)])
def test_sigma_is_the_policys(noise_multiplier: float, bound: float) -> None:
    sigma = noise_multiplier * bound
    noise = noise_of_releases(DRAWS // parameter_count(WIDE), noise_multiplier=noise_multiplier, bound=bound)
    assert noise.std() == pytest.approx(sigma, rel=0.01)
    assert p_of_scale(noise, sigma) > BY_CHANCE
    for wrong in (0.97, 1.03):
        assert p_of_scale(noise, wrong * sigma) < BY_CHANCE
    assert abs(noise.mean()) < 4.9 * sigma / np.sqrt(noise.size)


def test_every_parameter_gets_its_noise() -> None:
    noise = noise_of_releases(400, noise_multiplier=2.0, bound=1.0)
    by_parameter = np.square(noise / 2.0).sum(axis=0)
    p_of_any = BY_CHANCE / noise.shape[1] / 2
    assert stats.chi2.ppf(p_of_any, 400) < by_parameter.min()
    assert by_parameter.max() < stats.chi2.isf(p_of_any, 400)


def test_the_noise_is_gaussian_to_its_tails() -> None:
    noise = OperatingSystemNoise().standard_normal(DRAWS)
    assert stats.kstest(noise, stats.norm.cdf).pvalue > BY_CHANCE
    for wrong in (0.97, 1.03):
        assert stats.kstest(noise, stats.norm(scale=wrong).cdf).pvalue < BY_CHANCE
    for threshold in (3.0, 4.0):
        expected = 2 * stats.norm.sf(threshold)
        beyond = int((np.abs(noise) > threshold).sum())
        assert stats.binomtest(beyond, noise.size, expected).pvalue > BY_CHANCE
        assert stats.binomtest(0, noise.size, expected).pvalue < BY_CHANCE  # tails cut there would be noticed


def _draws_from_words(monkeypatch: pytest.MonkeyPatch, *words: int) -> FloatArray:
    """standard_normal(2) as it comes out when the operating system gives these four 64-bit words."""
    entropy = np.array(words, dtype=np.uint64).tobytes()
    monkeypatch.setattr(os, "urandom", lambda size: entropy[:size])
    return OperatingSystemNoise().standard_normal(2)


def test_draws_beyond_the_float32_tail_can_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.normal` ends at 5.77; a delta of 1e-5 over many rounds needs what lies beyond."""
    all_ones, quarter = 2**64 - 1, 2**62
    both_small = _draws_from_words(monkeypatch, 0, 0, 0, 0)
    assert both_small[0] > 12
    one_small = _draws_from_words(monkeypatch, 0, all_ones, 0, 0)
    assert 5.77 < one_small[0] < 6.1
    assert _draws_from_words(monkeypatch, 0, 0, 2 * quarter, 2 * quarter)[0] < -12  # and on the other side
    assert _draws_from_words(monkeypatch, 0, 0, quarter, quarter)[1] > 12  # and in the other half of the draw


def test_extreme_entropy_gives_finite_draws_and_open_uniforms(monkeypatch: pytest.MonkeyPatch) -> None:
    for byte in (b"\x00", b"\xff", b"\x80", b"\x7f"):
        monkeypatch.setattr(os, "urandom", lambda size, byte=byte: byte * size)
        uniform = OperatingSystemNoise().uniform(3)
        assert ((uniform > 0) & (uniform < 1)).all()
        assert np.isfinite(OperatingSystemNoise().standard_normal(5)).all()


def test_the_transform_is_box_and_mullers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the formula in plain words, for uniforms that are known."""
    uniforms = np.random.default_rng(5).random(8)
    monkeypatch.setattr(OperatingSystemNoise, "uniform", lambda _self, size: uniforms[:size])
    radius = np.sqrt(-2 * np.log(uniforms[:4]))
    cosine, sine = radius * np.cos(2 * np.pi * uniforms[4:]), radius * np.sin(2 * np.pi * uniforms[4:])
    expected = np.array([cosine[0] + cosine[2], cosine[1] + cosine[3], sine[0] + sine[2], sine[1] + sine[3]])
    np.testing.assert_allclose(OperatingSystemNoise().standard_normal(4), expected / np.sqrt(2), rtol=1e-12)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 6, 7, 101, 8191, 8192, 8193, 16_385])  # draws come 8192 at once
def test_any_number_of_draws(size: int) -> None:
    draws = OperatingSystemNoise().standard_normal(size)
    assert draws.shape == (size,)
    assert draws.dtype == np.float64
    assert len(set(draws.tolist())) == size  # none is used twice
    assert OperatingSystemNoise().uniform(size).shape == (size,)


def test_uniforms_are_uniform_and_independent() -> None:
    uniform = OperatingSystemNoise().uniform(DRAWS)
    assert stats.kstest(uniform, "uniform").pvalue > BY_CHANCE
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < 4.9 / np.sqrt(DRAWS)


def test_a_uniform_draw_uses_all_of_its_52_bits() -> None:
    """A coarser grid passes every test of distribution, and tells neighbours apart. Fails by chance below 1e-58."""
    steps = (OperatingSystemNoise().uniform(200) * 2.0**52 - 0.5).astype(np.uint64)
    assert np.bitwise_or.reduce(steps) == 2**52 - 1
    assert np.bitwise_and.reduce(steps) == 0


def test_draws_within_a_release_are_uncorrelated() -> None:
    noise = OperatingSystemNoise().standard_normal(DRAWS)
    limit = 4.9 / np.sqrt(DRAWS // 2)
    for lag in (1, 2, DRAWS // 4, DRAWS // 2, DRAWS // 2 + 1):
        assert abs(np.corrcoef(noise[:-lag], noise[lag:])[0, 1]) < 4.9 / np.sqrt(DRAWS - lag)
    halves = noise.reshape(2, -1)
    squares = np.square(halves)  # a shared radius would leave the values uncorrelated and the squares not
    assert abs(np.corrcoef(squares)[0, 1]) < limit


def test_two_releases_are_uncorrelated() -> None:
    first, second = noise_of_releases(20, noise_multiplier=2.0, bound=1.0).reshape(2, -1)
    limit = 4.9 / np.sqrt(first.size)
    assert abs(np.corrcoef(first, second)[0, 1]) < limit
    partly_reused = 0.03 * first + second
    assert abs(np.corrcoef(first, partly_reused)[0, 1]) > 0.5 * limit  # 3 % of the noise reused shows already
    assert not np.intersect1d(first, second).size


def _seed_everything() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)


def _global_states() -> tuple[bytes, str, str]:
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), repr(random.getstate())


@pytest.mark.parametrize("mode", TrainingMode)
def test_seeds_have_no_effect(mode: TrainingMode) -> None:
    plan = study_plan(training=TrainingSpec(mode=mode, sampling_rate=0.5, local_steps=2))
    patients, weights = drawn_patients(plan.model, 20, seed=0), drawn_weights(plan.model, seed=0)
    released = []
    for _ in range(2):
        _seed_everything()
        before = _global_states()
        released.append(local_contribution(plan, weights, patients, noise=OperatingSystemNoise()))
        assert _global_states() == before  # nothing was drawn from a generator that has a seed
    assert not np.intersect1d(released[0], released[1]).size


def test_torch_noise_would_be_noticed() -> None:
    """Opacus' own noise, for which the test above must fail: it repeats after a seed, and it moves the state."""

    class TorchNoise(SeededNoise):
        def standard_normal(self, size: int) -> FloatArray:
            return np.asarray(torch.randn(size, dtype=torch.float64).numpy())

    plan = study_plan()
    patients, weights = drawn_patients(plan.model, 20, seed=0), drawn_weights(plan.model, seed=0)
    released = []
    for _ in range(2):
        _seed_everything()
        before = _global_states()
        released.append(local_contribution(plan, weights, patients, noise=TorchNoise(0)))
        assert _global_states() != before
    np.testing.assert_array_equal(released[0], released[1])


@pytest.mark.parametrize("mode", TrainingMode)
def test_the_number_of_patients_cannot_be_read_from_the_noise(mode: TrainingMode) -> None:
    """A mean's noise would be 100 times as small at n = 1,000 as at n = 10."""
    training = TrainingSpec(mode=mode, local_steps=1, sampling_rate=1.0, expected_batch_size=32.0)
    plan = study_plan(
        model=WIDE, training=training, privacy=local_privacy(noise_multiplier=FULL_BATCH_SIGMA, l2_norm_bound=0.1)
    )
    weights = drawn_weights(WIDE, seed=0, scale=0.01)
    # Full batch: in units of the bound. Epochs: what the plan's public constants make of it.
    sigma = FULL_BATCH_SIGMA * (1.0 if mode is TrainingMode.FULL_BATCH else 0.1 * training.local_learning_rate / 32.0)
    for n in (10, 1000):
        patients = drawn_patients(WIDE, n, seed=n, scale=0.01)
        first, second = (local_contribution(plan, weights, patients, noise=OperatingSystemNoise()) for _ in range(2))
        difference = (first - second) / np.sqrt(2)
        assert p_of_scale(difference, sigma) > BY_CHANCE
        assert p_of_scale(difference, 1.1 * sigma) < BY_CHANCE


def test_noise_is_added_to_the_sum_in_the_order_of_parameters() -> None:
    """The release is the sum plus sigma times exactly the drawn vector: nothing is drawn twice or left without."""
    spec = model_spec(hidden_units=(4, 3), endpoints=2)
    plan = study_plan(model=spec, privacy=local_privacy(noise_multiplier=5.0, l2_norm_bound=0.3))
    patients, weights = drawn_patients(spec, 25, seed=1), drawn_weights(spec, seed=1)
    noise = RecordedNoise(SeededNoise(4))
    released = local_contribution(plan, weights, patients, noise=noise)
    (drawn,) = noise.normals
    total = clipped_gradient_sum(network_with(spec, weights), patients, l2_norm_bound=0.3).vector
    np.testing.assert_allclose(released, -(total + 5.0 * 0.3 * drawn) / 0.3, rtol=1e-12, atol=1e-12)


def test_each_local_step_draws_fresh_noise_and_a_fresh_batch() -> None:
    training = TrainingSpec(mode=TrainingMode.EPOCHS, local_steps=6, sampling_rate=0.5)
    plan = study_plan(training=training)
    noise = RecordedNoise(SeededNoise(4))
    local_contribution(plan, drawn_weights(plan.model, seed=1), drawn_patients(plan.model, 25, seed=1), noise=noise)
    assert [len(draw) for draw in noise.normals] == [parameter_count(plan.model)] * 6
    assert [len(draw) for draw in noise.uniforms] == [25] * 6


def test_a_sum_of_another_bound_is_not_noised() -> None:
    optimizer = optimizer_for(OperatingSystemNoise(), noise_multiplier=1.0, bound=1.0)
    with pytest.raises(PrivacyRefusal, match="another bound"):
        optimizer.noised(BoundedSum(np.zeros(parameter_count(WIDE)), 2.0))


def test_an_unbounded_sum_is_not_noised() -> None:
    optimizer = optimizer_for(OperatingSystemNoise(), noise_multiplier=1.0, bound=np.inf)
    with pytest.raises(PrivacyRefusal, match="clip norm"):
        optimizer.noised(BoundedSum(np.zeros(parameter_count(WIDE)), np.inf))


def test_a_step_that_opacus_skips_releases_nothing() -> None:
    """Opacus leaves the sum without noise in `.grad` then."""
    optimizer = optimizer_for(OperatingSystemNoise(), noise_multiplier=1.0, bound=1.0)
    optimizer.signal_skip_step()
    with pytest.raises(PrivacyRefusal, match="no noise"):
        optimizer.noised(BoundedSum(np.ones(parameter_count(WIDE)), 1.0))


def test_a_release_does_not_remember_the_one_before() -> None:
    optimizer = optimizer_for(NoNoise(seed=0), noise_multiplier=0.0, bound=1.0)
    total = BoundedSum(np.linspace(0, 1, parameter_count(WIDE)), 1.0)
    for _ in range(3):
        np.testing.assert_array_equal(optimizer.noised(total), total.vector)


def test_a_noised_step_moves_the_weights_by_the_release() -> None:
    network = network_with(WIDE, drawn_weights(WIDE, seed=0, scale=0.0))
    noise = RecordedNoise(SeededNoise(9))
    optimizer = PrivateOptimizer(
        torch.optim.SGD(network.parameters(), lr=0.5),
        noise_multiplier=2.0,
        l2_norm_bound=0.1,
        expected_batch_size=16.0,
        noise=noise,
    )
    optimizer.noised_step(BoundedSum(np.ones(parameter_count(WIDE)), 0.1))
    moved = torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()]).numpy()
    np.testing.assert_allclose(moved, -0.5 * (1.0 + 0.2 * noise.normals[0]) / 16.0, rtol=1e-12)
