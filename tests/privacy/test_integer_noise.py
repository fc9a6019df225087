"""Is one patient's effect on a rounded sum bounded as charged, and is the integer noise exactly a discrete Gaussian?

Production noise has no seed, so its tests fail by chance with probability below 1e-6, and are seen to reject a scale
that is wrong by 10 %.
"""

from __future__ import annotations

import inspect
import math
import random
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from tests.doubles import SeededNoise
from tests.seeded_words import SeededIntegerNoise, seeded_words

from oncofed.errors import PrivacyRefusal
from oncofed.privacy import integer_noise
from oncofed.privacy import noise as noise_module
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.integer_noise import (
    LARGEST_STANDARD_DEVIATION,
    discrete_gaussian,
    largest_entry,
    largest_sum_entry,
    refuse_unless_it_fits,
    rounded,
)
from oncofed.privacy.noise import NoNoise, OperatingSystemNoise
from oncofed.privacy.releases import Local, Masked
from oncofed.privacy.shared_noise import SharedIntegerRelease

BY_CHANCE = 1e-6
IntArray = NDArray[np.int64]


def release_of(
    *, parameters: int = 3, scale_bits: int = 4, bound: float = 1.0, noise_multiplier: float = 5.0, sites: int = 5
) -> SharedIntegerRelease:
    return SharedIntegerRelease(noise_multiplier, parameters, scale_bits, bound, sites, dropouts=1, colluding=1)


# --- rounding


def moved(one: NDArray[np.float64], other: NDArray[np.float64], release: SharedIntegerRelease, n: int = 1000) -> float:
    first, second = (rounded(vector, release=release, largest_patients=n) for vector in (one, other))
    return math.sqrt(sum(int(step) ** 2 for step in first - second))


@settings(deadline=None, max_examples=400)
@given(
    parameters=st.integers(1, 40),
    scale_bits=st.integers(0, 30),
    bound=st.floats(1e-3, 1e3),
    largest_patients=st.sampled_from([1, 3, 1000]),
    start=st.sampled_from(["anywhere", "half way", "at the limit", "huge"]),
    direction=st.sampled_from(["one coordinate", "all alike", "drawn"]),
    seed=st.integers(0, 2**32),
)
def test_one_patient_moves_the_rounded_sum_by_the_sensitivity_at_most(
    parameters: int, scale_bits: int, bound: float, largest_patients: int, start: str, direction: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    release = release_of(parameters=parameters, scale_bits=scale_bits, bound=bound)
    limit = largest_patients * bound
    whole = rng.integers(-5, 5, parameters)
    before = {
        "anywhere": rng.uniform(-limit, limit, parameters),
        "half way": (whole + 0.5 + rng.choice([0.0, 1e-9, -1e-9], parameters)) / release.scale,
        "at the limit": rng.choice([-limit, limit], parameters) * rng.uniform(0.99, 1.01, parameters),
        "huge": rng.choice([-1e300, 1e300, 1e19, 0.0], parameters),
    }[start]
    way = {"one coordinate": np.eye(parameters)[0], "all alike": np.ones(parameters)}.get(
        direction, rng.normal(size=parameters)
    )
    after = before + rng.choice([1.0, rng.random()]) * bound * way / np.linalg.norm(way)
    assert moved(before, after, release, largest_patients) <= release.integer_sensitivity


def test_the_root_of_the_parameters_is_reached_and_not_only_the_scaled_bound() -> None:
    """By 0.5 and 1.5, which are one apart and are rounded to 0 and 2. In many coordinates: nearly."""
    one = release_of(parameters=1, scale_bits=0)
    assert moved(np.array([0.5]), np.array([1.5]), one) == 2 == math.floor(one.integer_sensitivity)
    many = release_of(parameters=10_000, scale_bits=0)
    before = np.full(10_000, 0.5 - 1e-6)
    assert moved(before, before + 1e-2, many) == math.sqrt(10_000)
    assert math.sqrt(10_000) > 10 * many.scale * many.l2_norm_bound  # what would be charged without that term


def test_the_worst_neighbours_of_a_fine_grid_are_within_the_sensitivity_and_beyond_the_scaled_bound() -> None:
    """All pairs on a grid of a quarter step, two parameters: brute force."""
    release = release_of(parameters=2, scale_bits=1)
    grid = np.arange(-1.5, 1.5, 0.125)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    images = np.stack([rounded(point, release=release, largest_patients=10) for point in points])
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    steps = np.linalg.norm(images[:, None] - images[None], axis=-1)
    worst = float(steps[apart <= release.l2_norm_bound].max())
    assert release.scale * release.l2_norm_bound + 0.5 < worst <= release.integer_sensitivity


def test_entries_are_clamped_before_the_noise_to_what_the_plans_patients_can_add_up_to() -> None:
    release = release_of(parameters=4, scale_bits=4, bound=0.3)
    total = rounded(np.array([1e300, -1e300, 0.26, -2.9]), release=release, largest_patients=10)
    assert total.tolist() == [48, -48, 4, -46]
    assert largest_sum_entry(release, largest_patients=10) == 48
    assert largest_entry(release, largest_patients=10) == 48 + 40 * release.share_standard_deviation
    # In the units of a release, whose bound is 1: the noise itself is not cut, and its middle is where the sum was cut.
    part = Local(release_of(parameters=4, scale_bits=4), 0.3, largest_patients=10)
    sums = BoundedSum(np.array([1e300, -1e300, 0.0, 0.0]), 0.3)
    with_noise = np.stack([part.noised_integers(sums, OperatingSystemNoise()) for _ in range(400)])
    assert (np.abs(with_noise[:, :2]) > 160).any(axis=0).all()
    spread = part.sum_event.share_standard_deviation / math.sqrt(400)
    assert with_noise.mean(axis=0) == pytest.approx([160, -160, 0, 0], abs=6 * spread)


@pytest.mark.parametrize("vector", [np.zeros(2), np.array([0.0, np.nan, 0.0]), np.array([0.0, np.inf, 0.0])])
def test_a_sum_that_is_not_the_releases_is_not_rounded(vector: NDArray[np.float64]) -> None:
    with pytest.raises(PrivacyRefusal, match="finite and as long"):
        rounded(vector, release=release_of(), largest_patients=10)


@pytest.mark.parametrize(
    ("release", "largest_patients", "reason"),
    [
        (release_of(scale_bits=52), 2**10, "64 bits"),
        (release_of(scale_bits=43, sites=9), 2**20 // 9, "64 bits"),
        (release_of(scale_bits=45, noise_multiplier=4.0), 1, "sampler"),
        (release_of(), 200_001, "200000 patients"),
        (release_of(), 0, "200000 patients"),
    ],
)
def test_a_plan_whose_sums_may_not_fit_is_refused(
    release: SharedIntegerRelease, largest_patients: int, reason: str
) -> None:
    with pytest.raises(PrivacyRefusal, match=reason):
        refuse_unless_it_fits(release, largest_patients=largest_patients)
    with pytest.raises(PrivacyRefusal, match=reason):
        rounded(np.zeros(3), release=release, largest_patients=largest_patients)


@settings(deadline=None, max_examples=200)
@given(sites=st.integers(3, 200), bits=st.integers(0, 52), bound=st.floats(1e-3, 1e3), patients=st.integers(1, 200_000))
def test_what_fits_cannot_wrap_and_what_could_is_refused(sites: int, bits: int, bound: float, patients: int) -> None:
    """Against the inequality of the proof, in exact fractions."""
    release = release_of(sites=sites, scale_bits=bits, bound=bound)
    worst = sites * (patients * Fraction(bound) * 2**bits + 40 * release.share_standard_deviation)
    try:
        refuse_unless_it_fits(release, largest_patients=patients)
    except PrivacyRefusal:
        assert worst + sites >= 2**63 or release.share_standard_deviation > LARGEST_STANDARD_DEVIATION
    else:
        assert worst < 2**63


@pytest.mark.parametrize("kind", [Local, Masked])
def test_noise_is_added_once_to_each_parameter_with_the_releases_share(kind: type[Local | Masked]) -> None:
    event = release_of(parameters=500, scale_bits=10)
    part, total = kind(event, 0.25, largest_patients=10), np.linspace(-1, 1, 500)
    whole = rounded(total / 0.25, release=event, largest_patients=10)
    share = SeededNoise(3).discrete_gaussian(500, standard_deviation=event.share_standard_deviation)
    np.testing.assert_array_equal(part.noised_integers(BoundedSum(total, 0.25), SeededNoise(3)) - whole, share)
    np.testing.assert_array_equal(part.noised_integers(BoundedSum(total, 0.25), NoNoise(seed=0)), whole)


# --- the discrete Gaussian


def exact_probabilities(sigma: float, largest: int) -> NDArray[np.float64]:
    """Of -largest .. largest; the rest is at the two ends."""
    wide = np.arange(-60 * math.ceil(sigma) - 60, 60 * math.ceil(sigma) + 61)
    weights = np.exp(-(wide**2) / (2 * sigma**2))
    weights /= weights.sum()
    inner = np.array([weights[wide == x][0] for x in range(-largest, largest + 1)])
    inner[0] += weights[wide < -largest].sum()
    inner[-1] += weights[wide > largest].sum()
    return inner


def p_of_sigma(draws: IntArray, sigma: float, *, of: int) -> float:
    largest = 3 * of
    counts = np.bincount(np.clip(draws, -largest, largest) + largest, minlength=2 * largest + 1)
    return float(stats.chisquare(counts, exact_probabilities(sigma, largest) * draws.size).pvalue)


@pytest.mark.parametrize("sigma", [1, 2, 3, 5, 8])
def test_small_deviations_have_the_exact_probabilities(sigma: int) -> None:
    draws = OperatingSystemNoise().discrete_gaussian(200_000, standard_deviation=sigma)
    assert p_of_sigma(draws, sigma, of=sigma) > BY_CHANCE
    for wrong in (0.9, 1.1):
        assert p_of_sigma(draws, wrong * sigma, of=sigma) < BY_CHANCE
    rounded_gaussian = np.rint(np.random.default_rng(0).normal(scale=sigma, size=200_000)).astype(np.int64)
    if sigma <= 2:  # power: a continuous draw that is rounded is something else, if only just
        assert p_of_sigma(rounded_gaussian, sigma, of=sigma) < BY_CHANCE


@pytest.mark.parametrize("sigma", [1000, 7_575_962, 2**40 + 1, LARGEST_STANDARD_DEVIATION])
def test_large_deviations_are_gaussian_to_their_tails(sigma: int) -> None:
    scaled = OperatingSystemNoise().discrete_gaussian(200_000, standard_deviation=sigma) / sigma
    assert stats.kstest(scaled, "norm").pvalue > BY_CHANCE
    squares = float(np.square(scaled).sum())
    assert 2 * min(stats.chi2.cdf(squares, scaled.size), stats.chi2.sf(squares, scaled.size)) > BY_CHANCE
    for wrong in (0.9, 1.1):
        assert stats.kstest(scaled, stats.norm(scale=wrong).cdf).pvalue < BY_CHANCE
        tail = stats.chi2.sf if wrong < 1 else stats.chi2.cdf
        assert tail(squares / wrong**2, scaled.size) < BY_CHANCE
    for threshold in (3.0, 4.0):
        beyond = int((np.abs(scaled) > threshold).sum())
        assert stats.binomtest(beyond, scaled.size, 2 * stats.norm.sf(threshold)).pvalue > BY_CHANCE


@pytest.mark.parametrize(
    "s", [1, 2, 3, 5, 8, 1000, 4_329_121, 2**31 - 1, 2**31, 3 * 2**30 + 1, LARGEST_STANDARD_DEVIATION]
)
def test_what_is_below_a_bound_is_uniform(s: int) -> None:
    """Each third of the range equally often, both signs; and every value, where there are few."""
    j, negative, usable = integer_noise._below(s, noise_module._words(60_000))
    j, negative = j[usable], negative[usable]
    assert j.min() >= 0
    assert j.max() < s
    assert j.size > 25_000, "more than half are kept, but for chance"
    assert stats.binomtest(int(negative.sum()), negative.size, 0.5).pvalue > BY_CHANCE
    edges = [0, s // 3, 2 * s // 3, s] if s > 8 else range(s + 1)
    counts = [int(((j >= low) & (j < high)).sum()) for low, high in pairwise(edges)]
    shares = [(high - low) / s for low, high in pairwise(edges)]
    if s > 1:
        assert stats.chisquare(counts, [share * j.size for share in shares]).pvalue > BY_CHANCE


@pytest.mark.parametrize("s", [1, 2, 3, 5, 6, 7, 100, 127, 128])
def test_of_all_words_each_value_below_a_bound_comes_equally_often(s: int) -> None:
    """By enumeration of short words; and thrown away is less than one of each."""
    bits = 12
    j, kept = integer_noise._multiplied(np.arange(2**bits, dtype=np.uint64), s, bits=bits)
    assert np.bincount(j[kept].astype(np.int64)).tolist() == [2**bits // s] * s


def test_the_lowest_bits_of_a_large_deviation_are_fair() -> None:
    """A draw made of a float64 would have zeros there. Fails by chance below 1e-50."""
    draws = OperatingSystemNoise().discrete_gaussian(4000, standard_deviation=2**44)
    for bit in range(20):
        assert stats.binomtest(int((draws >> bit & 1).sum()), draws.size, 0.5).pvalue > BY_CHANCE


def test_the_shares_of_a_release_add_up_to_its_noise() -> None:
    release = SharedIntegerRelease(2.0, 20_000, 12, 0.5, sites=7, dropouts=1, colluding=2)
    shares = [
        OperatingSystemNoise().discrete_gaussian(20_000, standard_deviation=release.share_standard_deviation)
        for _ in range(release.honest_shares)
    ]
    sigma = release.noise_multiplier * release.l2_norm_bound * release.scale
    for count, share in ((release.honest_shares, sum(shares)), (1, shares[0])):
        assert count == (4 if count > 1 else 1)
        squares = float(np.square(np.asarray(share) / (sigma * math.sqrt(count / 4))).sum())
        assert 2 * min(stats.chi2.cdf(squares, 20_000), stats.chi2.sf(squares, 20_000)) > BY_CHANCE
    # Sized for all seven, four honest ones would fall short by far.
    assert stats.chi2.cdf(float(np.square(sum(shares) / sigma).sum()) * 4 / 7, 20_000) < BY_CHANCE


def test_draws_are_independent_and_none_is_used_twice() -> None:
    draws = OperatingSystemNoise().discrete_gaussian(200_000, standard_deviation=2**44)
    assert len(set(draws.tolist())) == draws.size
    for values in (draws / 2**44, np.square(draws / 2**44)):
        for lag in (1, 2, 100_000):
            assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 4.9 / math.sqrt(draws.size - lag)


def test_seeds_have_no_effect() -> None:
    released = []
    for _ in range(2):
        np.random.seed(1)
        random.seed(1)
        before = repr(np.random.get_state()), repr(random.getstate())
        released.append(OperatingSystemNoise().discrete_gaussian(1000, standard_deviation=2**40))
        assert (repr(np.random.get_state()), repr(random.getstate())) == before
    assert not np.intersect1d(released[0], released[1]).size
    assert "seed" not in inspect.signature(OperatingSystemNoise).parameters
    # The double of the tests, for which this must fail:
    one, again = (SeededIntegerNoise(1).discrete_gaussian(1000, standard_deviation=2**40) for _ in range(2))
    np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize("size", [0, 1, 2, 63, 64, 65, 1000])
def test_any_number_of_draws(size: int) -> None:
    draws = OperatingSystemNoise().discrete_gaussian(size, standard_deviation=2**40)
    assert draws.shape == (size,)
    assert draws.dtype == np.int64


@pytest.mark.parametrize("deviation", [0, -1, 2.0, True, LARGEST_STANDARD_DEVIATION + 1])
def test_a_deviation_that_is_no_positive_whole_number_is_refused(deviation: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        OperatingSystemNoise().discrete_gaussian(5, standard_deviation=deviation)


@pytest.mark.parametrize("sigma", [1, 3, 12_345, 2**44])
def test_float64_decides_as_exact_arithmetic_does(sigma: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no margin that settles anything, every comparison is made exactly: on the same words, the same draws."""
    quick = discrete_gaussian(seeded_words(5), 400, standard_deviation=sigma)
    monkeypatch.setattr(integer_noise, "_SURELY", 1e9)
    np.testing.assert_array_equal(discrete_gaussian(seeded_words(5), 400, standard_deviation=sigma), quick)


def test_a_comparison_that_the_first_bits_leave_open_draws_more() -> None:
    """U's first bits are those of exp(-1): which of the two is smaller is in the words to come."""
    with localcontext() as context:
        context.prec = 60
        bits = int(Decimal(-1).exp() * 2**96)
    leading, following = bits >> 64, bits & (2**64 - 1)
    for more, below in ((following - 1, True), (following + 1, False)):
        asked: list[int] = []

        def words(count: int, more: int = more, asked: list[int] = asked) -> NDArray[np.uint64]:
            asked.append(count)
            return np.array([more] * count, dtype=np.uint64)

        uniform = integer_noise._LazyUniform(leading, words)
        assert uniform.is_below_exp_of_minus(Fraction(1)) is below
        assert asked == [1]
    assert integer_noise._LazyUniform(2**32 - 1, words).is_below_exp_of_minus(Fraction(0))


def test_the_smallest_words_are_not_taken_for_numbers() -> None:
    """32 zeros say only that U is below 2^-32; the middle of that would be 2^-33."""

    def words_in_turn(*words: int) -> integer_noise.Words:
        left = iter(words)
        return lambda _: np.array([next(left)], dtype=np.uint64)

    zeros = np.array([0], dtype=np.uint64)
    # U = 2^-36: 36 x 2 log 2 = 49.9. The middle says 45.
    assert integer_noise._half_exponential_steps(words_in_turn(2**60), zeros).tolist() == [49]
    # gamma = 7 x 6 / 2 + 0.4 (7 + 0.2) = 23.88, and -log U = 22.5 or 26.3; the middle says 22.87.
    seven, two = np.array([7]), np.array([2])
    for following, kept in ((3 * 2**62, False), (2**58, True)):
        assert integer_noise._keep(words_in_turn(following), zeros, seven, two, s=5).tolist() == [kept]


@pytest.mark.parametrize("word", [1, 2, 1000, 2**31, 2**32 - 1])
def test_a_logarithm_is_as_near_as_it_says(word: int) -> None:
    """At both ends of what the first bits leave open, in exact arithmetic."""
    (middle,), (within,) = integer_noise._minus_log(np.array([word], dtype=np.uint64))
    with localcontext() as context:
        context.prec = 60
        ends = [float(-(Decimal(word + more) / 2**32).ln()) for more in (0, 1)]
    assert max(abs(end - middle) for end in ends) <= within - 2.0**-31
    assert within < 2.0**-30 + 1.01 / word, "else nothing would be decided in float64"
