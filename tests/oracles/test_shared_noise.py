"""Does what the ledger charges for a sum with shared integer noise bound its true privacy loss?

The truth is had by enumeration: for few parameters and little noise, every outcome of the sum of the shares, and every
way in which one patient can move the rounded sum, are listed. The bound of Kairouz, Liu and Steinke (ICML 2021,
proposition 14), composed by dp-accounting as zCDP, is the second oracle: it must lie above ours.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from dp_accounting import NeighboringRelation
from dp_accounting.dp_event import ZCDpEvent
from dp_accounting.rdp import RdpAccountant
from numpy.typing import NDArray
from scipy import integrate, stats
from tests.oracles.test_accounting import epsilon_where, gaussian_delta, gaussian_epsilon

from oncofed.errors import UnaccountedEvent
from oncofed.privacy.accounting import (
    EXCESS_ALLOWED,
    GaussianRelease,
    PrivacyEvent,
    epsilon_of,
    smallest_noise_multiplier,
)
from oncofed.privacy.integer_noise import rounded
from oncofed.privacy.policy import of_two_hospitals
from oncofed.privacy.shared_noise import (
    GaussianEquivalent,
    SampledIntegerRelease,
    SharedIntegerRelease,
    equivalent_of_shares,
    gaussian_equivalent,
    share_variance,
)

FloatArray = NDArray[np.float64]
DELTA = 1e-5


def pmf_of_sum(variance: float, shares: int) -> FloatArray:
    """Probabilities of the sum at -size .. size; what is left out is below 1e-80."""
    reach = math.ceil(20 * math.sqrt(variance)) + 2
    one = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * variance))
    one /= one.sum()
    total = one
    for _ in range(shares - 1):
        total = np.convolve(total, one)
    return np.asarray(total)


def shifted(pmf: FloatArray, steps: int) -> tuple[FloatArray, FloatArray]:
    """The probabilities of one coordinate with and without the patient, over the same outcomes."""
    pad = np.zeros(abs(steps))
    pair = np.concatenate([pmf, pad]), np.concatenate([pad, pmf])
    return pair if steps >= 0 else (pair[1], pair[0])


def pair_of_vectors(pmf: FloatArray, shift: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    one, other = np.ones(1), np.ones(1)
    for steps in shift:
        first, second = shifted(pmf, steps)
        one, other = np.outer(one, first).ravel(), np.outer(other, second).ravel()
    return one, other


def true_delta(epsilon: float, pairs: list[tuple[FloatArray, FloatArray]]) -> float:
    """The largest delta over the pairs; the noise is symmetric, so both directions are the same."""
    return max(float(np.maximum(one - math.exp(min(epsilon, 700.0)) * other, 0).sum()) for one, other in pairs)


def shifts_within(norm: float, parameters: int) -> list[tuple[int, ...]]:
    """Integer vectors no longer than the norm, one of each set of mirror images."""
    ways = itertools.combinations_with_replacement(range(math.floor(norm + 1e-9) + 1), parameters)
    return [way for way in ways if sum(step**2 for step in way) <= norm**2 * (1 + 1e-9)]


def epsilon_of_equivalent(equivalent: GaussianEquivalent, delta: float) -> float:
    """Step 4 of the proof, with the analytic Gaussian instead of dp-accounting."""
    if equivalent.noise_multiplier == 0:
        return math.inf
    return gaussian_epsilon(equivalent.noise_multiplier, delta * math.exp(-equivalent.excess)) + 2 * equivalent.excess


@pytest.mark.parametrize("parameters", [1, 2])
@pytest.mark.parametrize("shares", [1, 2, 3])
@pytest.mark.parametrize("deviation", [0.5, 0.7, 1.0, 2.0, 3.0])
def test_the_bound_holds_for_every_move_of_one_patient(deviation: float, shares: int, parameters: int) -> None:
    variance, norm = deviation**2, 1 + math.sqrt(parameters)
    equivalent = equivalent_of_shares(variance, shares=shares, parameters=parameters, integer_sensitivity=norm)
    pmf = pmf_of_sum(variance, shares)
    pairs = [pair_of_vectors(pmf, shift) for shift in shifts_within(norm, parameters)]
    for delta in (1e-2, 1e-4, 1e-6):
        assert true_delta(epsilon_of_equivalent(equivalent, delta), pairs) <= delta


def without_excess(variance: float, shares: int, sensitivity: float) -> GaussianEquivalent:
    """As if the sum of discrete Gaussians were a Gaussian: the correction of Kairouz et al., and the blur, left out."""
    return GaussianEquivalent(math.sqrt(shares * variance) / sensitivity, 0.0)


@pytest.mark.parametrize(
    ("shares", "shift", "delta"), [(2, (1,), 1e-6), (3, (1, 1), 1e-1), (5, (1, 1), 1e-2), (10, (1, 1), 1e-4)]
)
def test_without_the_correction_for_sums_the_bound_would_not_hold(
    shares: int, shift: tuple[int, ...], delta: float
) -> None:
    """Shares far below one step: many are 0, so that their sum has less noise than their nominal variance says."""
    variance, norm = 0.3**2, math.sqrt(len(shift))
    pairs = [pair_of_vectors(pmf_of_sum(variance, shares), shift)]
    wrong = without_excess(variance, shares, norm)
    assert true_delta(epsilon_of_equivalent(wrong, delta), pairs) > delta
    right = equivalent_of_shares(variance, shares=shares, parameters=len(shift), integer_sensitivity=norm)
    assert true_delta(epsilon_of_equivalent(right, delta), pairs) <= delta
    assert math.isfinite(right.excess)


def worst_pairs(release: SharedIntegerRelease) -> list[tuple[FloatArray, FloatArray]]:
    """Every way in which one patient moves the sum that `rounded` makes, from all sums on a grid of an eighth."""
    steps = np.arange(-1.5, 1.5 + 1e-9, 0.125)
    points = [np.array(point) for point in itertools.product(steps, repeat=release.parameters)]
    images = np.stack([rounded(point, release=release, largest_patients=100) for point in points])
    table = np.stack(points)
    moves = set()
    for point, image in zip(table, images, strict=True):
        near = np.linalg.norm(table - point, axis=1) <= release.l2_norm_bound
        moves |= {tuple(sorted(abs(int(step)) for step in move)) for move in images[near] - image}
    pmf = pmf_of_sum(float(release.share_standard_deviation) ** 2, release.honest_shares)
    return [pair_of_vectors(pmf, move) for move in moves]


SMALL = [
    SharedIntegerRelease(1.5, 1, 0, 1.0, sites=2, dropouts=0, colluding=0),
    SharedIntegerRelease(1.5, 2, 0, 1.0, sites=4, dropouts=1, colluding=1),
    SharedIntegerRelease(2.5, 1, 0, 1.0, sites=5, dropouts=1, colluding=1),
    SharedIntegerRelease(2.0, 2, 1, 1.0, sites=3, dropouts=0, colluding=1),
    SharedIntegerRelease(3.0, 1, 2, 1.0, sites=3, dropouts=1, colluding=1),
]


@pytest.mark.parametrize("release", SMALL, ids=str)
def test_what_is_charged_bounds_what_rounding_and_noise_let_through(release: SharedIntegerRelease) -> None:
    pairs = worst_pairs(release)
    for delta in (1e-3, 1e-5):
        charged = epsilon_of([release], delta=delta)
        assert true_delta(charged, pairs) <= delta
        assert true_delta(charged / 3, pairs) > delta  # and the bound is not empty


@pytest.mark.parametrize("release", SMALL[:3], ids=str)
def test_without_the_root_of_the_parameters_the_bound_would_not_hold(release: SharedIntegerRelease) -> None:
    variance = float(release.share_standard_deviation) ** 2
    unrounded = equivalent_of_shares(
        variance,
        shares=release.honest_shares,
        parameters=release.parameters,
        integer_sensitivity=release.scale * release.l2_norm_bound,
    )
    assert true_delta(epsilon_of_equivalent(unrounded, DELTA), worst_pairs(release)) > DELTA


def test_rounds_with_shared_noise_and_other_releases_compose() -> None:
    """Three rounds listed in full, then beside a Gaussian release in closed form, against the ledger's epsilon."""
    release = SharedIntegerRelease(6.0, 1, 0, 1.0, sites=3, dropouts=1, colluding=0)
    pmf = pmf_of_sum(float(release.share_standard_deviation) ** 2, release.honest_shares)
    pmf = pmf[np.abs(np.arange(len(pmf)) - len(pmf) // 2) <= 45]  # what is cut off is below 1e-11
    one, other = pair_of_vectors(pmf, (2, 2, 2))
    assert true_delta(epsilon_of([release] * 3, delta=DELTA), [(one, other)]) <= DELTA
    assert true_delta(epsilon_of([release] * 2, delta=DELTA), [(one, other)]) > DELTA  # a round that is not charged

    gaussian = 2.0
    two, neighbour = pair_of_vectors(pmf, (2, 2))
    support = (two > 0) & (neighbour > 0)
    loss = np.log(two[support] / neighbour[support])

    def delta_beside_gaussian(epsilon: float) -> float:
        rest = epsilon - loss
        half, shift = 1 / (2 * gaussian), rest * gaussian
        given = stats.norm.cdf(half - shift) - np.exp(rest) * stats.norm.cdf(-half - shift)
        return float((two[support] * given).sum() + two[~support].sum())

    mixed: list[PrivacyEvent] = [release, GaussianRelease(gaussian), release]
    assert delta_beside_gaussian(epsilon_of(mixed, delta=DELTA)) <= DELTA
    assert delta_beside_gaussian(epsilon_of(mixed[:2], delta=DELTA)) > DELTA
    with_sampled = epsilon_of([*mixed, SampledIntegerRelease(2.0, 1, 4, 1.0, 0.05, 10)], delta=DELTA)
    assert with_sampled > epsilon_of(mixed, delta=DELTA)


def pmf_of_many(variance: float, shares: int) -> FloatArray:
    """As `pmf_of_sum`, by doubling, and without what lies beyond 14 standard deviations of the sum."""
    reach = math.ceil(14 * math.sqrt(shares * variance))
    one = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * variance))
    power, total = one / one.sum(), np.ones(1)
    while shares:
        if shares % 2:
            total = np.convolve(total, power)
        power, shares = np.convolve(power, power), shares // 2
        power, total = (wide[max(0, len(wide) // 2 - reach) : len(wide) // 2 + reach + 1] for wide in (power, total))
    return total


@pytest.mark.parametrize(("scale_bits", "noise_multiplier"), [(2, 5.2), (4, 1.5), (8, 2.1), (8, 1.0)])
def test_what_a_patient_of_two_hospitals_is_charged_bounds_the_true_loss(
    scale_bits: int, noise_multiplier: float
) -> None:
    """Both hospitals round by themselves, so with one parameter the patient moves the sum by 2 (scale + 1) steps."""
    release = SharedIntegerRelease(noise_multiplier, 1, scale_bits, 1.0, sites=100, dropouts=2, colluding=2)
    pmf = pmf_of_many(float(release.share_standard_deviation) ** 2, release.honest_shares)
    pair = shifted(pmf, 2 * (release.scale + 1))
    assert true_delta(epsilon_of(of_two_hospitals([release], [release]), delta=DELTA), [pair]) <= DELTA
    # Half the noise multiplier would be half the noise, had shares no whole steps to be rounded up to.
    halved = replace(release, noise_multiplier=noise_multiplier / 2)
    assert true_delta(epsilon_of([halved], delta=DELTA), [pair]) > DELTA


def test_two_hospitals_share_the_sums_that_both_were_charged_for_and_no_others() -> None:
    release, own = SharedIntegerRelease(30.0, 5, 20, 1.0, 5, 1, 1), GaussianRelease(30.0)
    assert of_two_hospitals([release] * 3, [release]) == (release,) * 6
    assert of_two_hospitals([release, own, own], [own, release]) == (release,) * 4 + (own,) * 3
    assert of_two_hospitals([own] * 2, [own]) == (own,) * 3
    # Precisions add up: four releases are one of half the noise multiplier.
    half = equivalent_of_shares(
        float(release.share_standard_deviation) ** 2,
        shares=release.honest_shares,
        parameters=release.parameters,
        integer_sensitivity=2 * release.integer_sensitivity,
    )
    charged = epsilon_of(of_two_hospitals([release], [release]), delta=DELTA)
    assert charged == pytest.approx(epsilon_of([GaussianRelease(half.noise_multiplier)], delta=DELTA), abs=1e-6)


def theta_excess(variance: float) -> float:
    """e(v) of the proof, term by term."""
    return 2 * sum(math.exp(-2 * math.pi**2 * variance * j * j) for j in range(1, 50))


@pytest.mark.parametrize("deviation", [0.5, 0.7, 1.0, 1.5])
@pytest.mark.parametrize("shares", [1, 2, 5])
def test_step_1_the_sum_of_shares_against_the_continuous_density(deviation: float, shares: int) -> None:
    variance = deviation**2
    pmf = pmf_of_sum(variance, shares)
    at = np.arange(len(pmf)) - len(pmf) // 2
    near = np.abs(at) <= 4 * deviation * shares  # beyond: numbers too small for a float64's ratio
    ratio = np.abs(np.log(pmf[near]) - stats.norm.logpdf(at[near], scale=math.sqrt(shares * variance)))
    inner = [theta_excess(variance * k / (k + 1)) for k in range(1, shares)]
    bound = -sum(math.log1p(-excess) for excess in inner) + shares * math.log1p(theta_excess(variance))
    assert ratio.max() <= bound + 1e-12
    if shares <= 2 and deviation <= 1:  # it is of this size, so a wrong exponent would be seen
        assert ratio.max() >= bound / 6


@pytest.mark.parametrize("blur", [0.15, 0.3, 0.5])
def test_step_2_a_blurred_gaussian_against_the_density(blur: float) -> None:
    """The post-processing is computed by quadrature: draw y, then an integer near it."""
    total, excess = 1.7, theta_excess(blur)
    integers = np.arange(-60, 61)
    seen = []
    for w in range(5):

        def density(y: float, w: int = w) -> float:
            near = np.exp(-((integers - y) ** 2) / (2 * blur))
            return float(stats.norm.pdf(y, scale=math.sqrt(total - blur)) * near[w + 60] / near.sum())

        mass, _ = integrate.quad(density, -12, 12, points=[w], limit=400, epsabs=1e-13, epsrel=1e-11)
        seen.append(math.log(mass / stats.norm.pdf(w, scale=math.sqrt(total))))
    assert -math.log1p(excess) - 1e-9 <= min(seen)
    assert max(seen) <= -math.log1p(-excess) + 1e-9


def kairouz_epsilon(release: SharedIntegerRelease, *, rounds: int, delta: float) -> float:
    """Kairouz, Liu, Steinke: zCDP with tau = 10 sum_k exp(-2 pi^2 sigma^2 k / (k + 1))."""
    variance, shares = float(release.share_standard_deviation) ** 2, release.honest_shares
    tau = 10 * sum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, shares))
    moved = release.integer_sensitivity / math.sqrt(shares * variance)
    rho = (moved + tau * math.sqrt(release.parameters)) ** 2 / 2
    accountant = RdpAccountant(neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(ZCDpEvent(rho * rounds))
    return float(accountant.get_epsilon(delta))


@pytest.mark.parametrize("epsilon", [1.0, 3.0])
@pytest.mark.parametrize("rounds", [30, 60])
@pytest.mark.parametrize(("scale_bits", "loosest"), [(16, 1.003), (20, 1.0002), (24, 1.0001)])
def test_at_usual_settings_the_bound_is_the_gaussians_and_below_kairouz(
    epsilon: float, rounds: int, scale_bits: int, loosest: float
) -> None:
    multiplier = smallest_noise_multiplier(lambda s: [GaussianRelease(s)] * rounds, epsilon=epsilon, delta=DELTA)
    release = SharedIntegerRelease(multiplier, 12_000, scale_bits, 0.7, sites=20, dropouts=2, colluding=2)
    ours = epsilon_of([release] * rounds, delta=DELTA)
    truth = gaussian_epsilon(multiplier / math.sqrt(rounds), DELTA)
    assert truth < ours < loosest * truth
    assert 1.07 < kairouz_epsilon(release, rounds=rounds, delta=DELTA) / ours < 1.11


def test_the_charge_is_that_of_the_guaranteed_shares_and_not_of_those_hoped_for() -> None:
    """privacy.md: shares sized for all 20 give 1.13 with 16 honest and present, 1.33 with 12."""
    multiplier = smallest_noise_multiplier(lambda s: [GaussianRelease(s)] * 60, epsilon=1.0, delta=DELTA)
    sized_for = {
        honest: SharedIntegerRelease(multiplier, 12_000, 20, 1.0, sites=20, dropouts=0, colluding=20 - honest)
        for honest in (20, 16, 12)
    }
    assert [release.share_standard_deviation for release in sized_for.values()] == sorted(
        release.share_standard_deviation for release in sized_for.values()
    )
    for release in sized_for.values():
        assert epsilon_of([release] * 60, delta=DELTA) == pytest.approx(1.0, abs=0.001)
    full_share = float(sized_for[20].share_standard_deviation) ** 2
    for honest, truth in ((16, 1.13), (12, 1.33)):
        left = equivalent_of_shares(
            full_share, shares=honest, parameters=12_000, integer_sensitivity=sized_for[20].integer_sensitivity
        )
        assert epsilon_of([GaussianRelease(left.noise_multiplier)] * 60, delta=DELTA) == pytest.approx(truth, abs=0.01)


def test_share_variance() -> None:
    assert share_variance(6.0, sites=20, dropouts=2, colluding=2) == 36 / 16
    assert share_variance(6.0, sites=1, dropouts=0, colluding=0) == 36
    for sites, dropouts, colluding in ((4, 2, 2), (4, 5, 0), (4, -1, 0), (4, 0, -1), (0, 0, 0)):
        with pytest.raises(ValueError, match="honest"):
            share_variance(6.0, sites=sites, dropouts=dropouts, colluding=colluding)


@pytest.mark.parametrize("dropouts", [0, 1, 2])
@pytest.mark.parametrize("colluding", [0, 2])
def test_a_share_is_never_smaller_than_what_is_promised(dropouts: int, colluding: int) -> None:
    for multiplier, bits in itertools.product((0.7, 3.73, 28.9), (0, 3, 20)):
        release = SharedIntegerRelease(multiplier, 5, bits, 0.3, 20, dropouts, colluding)
        together = release.honest_shares * float(release.share_standard_deviation) ** 2
        assert together >= (multiplier * 0.3 * 2**bits) ** 2 * (1 - 1e-12)


def test_next_to_no_noise_is_infinite() -> None:
    assert epsilon_of([SharedIntegerRelease(0.0, 5, 20, 1.0, 5, 1, 1)], delta=DELTA) == math.inf
    assert epsilon_of([SharedIntegerRelease(0.01, 5, 20, 1.0, 5, 1, 1)], delta=DELTA) == math.inf
    assert epsilon_of([SharedIntegerRelease(5.0, 10**9, 0, 1.0, 5, 1, 1)], delta=DELTA) == math.inf  # sqrt(P) drowns it
    assert epsilon_of([SharedIntegerRelease(1.0, 5, 20, 1.0, 5, 1, 1)] * 10_000, delta=DELTA) == math.inf
    too_small = equivalent_of_shares(0.02, shares=3, parameters=1, integer_sensitivity=1.0)
    assert too_small == GaussianEquivalent(0.0, math.inf)


def test_epsilon_falls_with_noise_and_rises_with_all_else() -> None:
    def epsilon(multiplier: float = 10.0, parameters: int = 100, bits: int = 10, sites: int = 10) -> float:
        release = SharedIntegerRelease(multiplier, parameters, bits, 1.0, sites, 1, 1)
        return epsilon_of([release] * 10, delta=DELTA)

    assert epsilon(multiplier=9.0) > epsilon() > epsilon(multiplier=11.0)
    assert epsilon(parameters=10_000) > epsilon() > epsilon(parameters=1)
    assert epsilon(bits=5) > epsilon() > epsilon(bits=15)


def release_with(**changed: object) -> SharedIntegerRelease:
    fields = {"noise_multiplier": 5.0, "parameters": 5, "scale_bits": 20, "l2_norm_bound": 1.0}
    return SharedIntegerRelease(**({**fields, "sites": 5, "dropouts": 1, "colluding": 1} | changed))  # type: ignore[arg-type]  # as a journal might hold it


@pytest.mark.parametrize(
    "changed",
    [
        {"noise_multiplier": -1.0},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": math.inf},
        {"noise_multiplier": 1e200},
        {"parameters": 0},
        {"parameters": -5},
        {"parameters": 2.5},
        {"parameters": True},
        {"scale_bits": -1},
        {"scale_bits": 53},
        {"l2_norm_bound": 0.0},
        {"l2_norm_bound": -1.0},
        {"l2_norm_bound": math.nan},
        {"l2_norm_bound": math.inf},
        {"dropouts": -1},
        {"colluding": -1},
        {"dropouts": 4},
        {"colluding": 4},
        {"sites": 2},
        {"sites": math.nan},
        {"sites": 10_001},
    ],
    ids=str,
)
def test_what_cannot_be_bounded_is_refused(changed: dict[str, object]) -> None:
    others: list[list[PrivacyEvent]] = [[], [GaussianRelease(30.0)], [GaussianRelease(0.0)]]
    for events in others:
        with pytest.raises(UnaccountedEvent):
            epsilon_of([*events, release_with(**changed)], delta=DELTA)
    assert math.isfinite(epsilon_of([release_with()], delta=DELTA))


def test_a_subclass_is_refused() -> None:
    class SkellamRelease(SharedIntegerRelease):
        """Another noise under the same numbers."""

    with pytest.raises(UnaccountedEvent):
        epsilon_of([SkellamRelease(5.0, 5, 20, 1.0, 5, 1, 1)], delta=DELTA)


def test_the_equivalent_in_numbers() -> None:
    """By hand: 4 shares of 10^2, less 4, over 8 + 3 steps; no visible excess."""
    release = SharedIntegerRelease(2.5, 9, 3, 1.0, sites=6, dropouts=1, colluding=1)
    assert release.share_standard_deviation == 10
    assert release.integer_sensitivity == pytest.approx(8 + 3, abs=1e-3)
    equivalent = gaussian_equivalent(release)
    assert equivalent.noise_multiplier == pytest.approx(math.sqrt(396) / 11, rel=1e-4)
    assert 0 < equivalent.excess < 1e-30
    assert epsilon_of([release], delta=DELTA) == pytest.approx(
        epsilon_where(lambda e: float(gaussian_delta(e, equivalent.noise_multiplier)), DELTA), abs=1e-3
    )


def test_shares_of_one_step_differ_too_much_from_a_gaussian_to_be_charged_as_one() -> None:
    """So small that the excess is seen: 0.02 of epsilon, above the accountant's own rounding."""
    release = SharedIntegerRelease(1.0, 100, 0, 1.0, sites=2, dropouts=0, colluding=0)
    assert release.share_standard_deviation == 1
    equivalent = gaussian_equivalent(release)
    charged, without = (
        epsilon_of_equivalent(GaussianEquivalent(equivalent.noise_multiplier, excess), DELTA)
        for excess in (equivalent.excess, 0.0)
    )
    assert charged - without > 0.02
    assert epsilon_of([GaussianRelease(equivalent.noise_multiplier)], delta=DELTA) < charged - 1e-3
    assert equivalent.excess > EXCESS_ALLOWED
    assert epsilon_of([release], delta=DELTA) == math.inf
    assert epsilon_of([SharedIntegerRelease(5.0, 5, 20, 1.0, 5, 1, 1), release], delta=DELTA) == math.inf


@pytest.mark.parametrize("releases", [1, 30])
def test_what_integers_may_differ_from_gaussians_is_charged_once_and_beforehand(releases: int) -> None:
    """Step 4 of the proof with the most H that is let in: 2 H of epsilon, and e^-H of delta; whatever is released."""
    release = SharedIntegerRelease(20.0, 100, 4, 1.0, sites=2, dropouts=0, colluding=0)
    equivalent = gaussian_equivalent(release)
    assert releases * equivalent.excess < EXCESS_ALLOWED
    charged = epsilon_of([release] * releases, delta=DELTA)
    as_gaussians = epsilon_of(
        [GaussianRelease(equivalent.noise_multiplier)] * releases, delta=DELTA * math.exp(-EXCESS_ALLOWED)
    )
    assert charged - as_gaussians == pytest.approx(2 * EXCESS_ALLOWED, rel=1e-3)
