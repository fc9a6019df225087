"""What epsilon do the recorded releases of one data source add up to?

Events are kept and epsilon is derived from them, by dp-accounting's privacy-loss distributions (PLD) under the relation
"add or remove one patient". An event without a proven bound is refused, never assumed to be free. A sum with integer
noise counts as the Gaussian release that it provably is all but a post-processing of (`shared_noise`). Torch-free.

What is composed is chosen on the way: the next weights, and the next study with its noise, depend on what was released.
- *Sums over everybody* are charged as Gaussians. The rule "stop before the sum of mu^2 passes a bound fixed beforehand"
  keeps the whole (mu-)Gaussian private, however noise and number of releases are chosen on the way (a filter: Smith and
  Thakurta 2022, theorem 3.1; Koskela, Tobaben, Honkela 2023). What integers add to it (the H of `shared_noise`) is
  charged as EXCESS_ALLOWED, once and fixed beforehand, and no more is let in, so that the bound on mu does not move.
- *Sums over patients drawn by lot* have no such filter as tight as their PLD. A PLD is proven for a collection of
  releases that is fixed beforehand, in whatever order and however early they are stopped (Zhu, Dong, Wang 2022, theorem
  10, with the order chosen by induction). A plan is such a collection. So a ledger takes them from one plan alone, and
  with them nothing of any other plan (`ledger.refuse_if_over_budget`); `one_collection` is that rule.

Sources: Koskela, Jaelkoe, Honkela, AISTATS 2020 (PLD accounting); Doroshenko et al., PoPETs 2022 (connect-the-dots, as
in dp-accounting); Balle and Wang, ICML 2018 (analytic Gaussian, the oracle of the tests); Smith and Thakurta,
arXiv:2210.17520; Koskela, Tobaben, Honkela, ICLR 2023; Zhu, Dong, Wang, AISTATS 2022.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from typing import TYPE_CHECKING

import numpy as np

from oncofed.errors import UnaccountedEvent
from oncofed.privacy.shared_noise import GaussianEquivalent, SampledIntegerRelease, SharedIntegerRelease

if TYPE_CHECKING:
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

RELATION = "add_or_remove_one_patient"

LEAST_NOISE_MULTIPLIER = 0.05
"""A release with less noise, alone or all Gaussian ones together, has an epsilon above 270. That is no protection and
takes a PLD minutes and gigabytes, so epsilon is then said to be infinite, which is an upper bound as well."""

EXCESS_ALLOWED = 1e-9
"""The H of `shared_noise`, for all releases of a source together; shares of a usual size use 1e-30. More is said to
have an infinite epsilon: the shares are too small, and more scale bits are the remedy."""


LEAST_SAMPLED_NOISE_MULTIPLIER = 0.4
"""The same of each release over patients drawn by lot. With less, whoever is drawn is given away (an epsilon above 15),
and what many of them come to takes minutes and gigabytes."""

MOST_MEAN_LOSS = 25.0
"""The same of all of those together: the mean of their privacy loss, near which epsilon lies at the least where there
are many of them."""

MOST_SAMPLED_STEPS = 50_000
"""More are said to have an infinite epsilon: composing them by Fourier transforms is off by about 1e-16 a step in
delta, of either sign: at a delta of 1e-9 and a large epsilon a part in 1,000 of it from 100,000 steps on."""


@dataclass(frozen=True, order=True)
class GaussianRelease:
    """A sum in which each patient's part is at most the bound, plus Gaussian noise of noise_multiplier x bound.

    Nothing releases it: noise here is of integers. It is what they are compared with, by tests and by reports.
    """

    noise_multiplier: float

    sites = 1
    sampling_rate = 1.0
    steps = 1

    @property
    def faults(self) -> list[str]:
        """Why no bound covers it; empty when one does."""
        sound = math.isfinite(self.noise_multiplier) and self.noise_multiplier >= 0
        return [] if sound else ["its noise multiplier must be finite and not negative"]

    @property
    def gaussian(self) -> GaussianEquivalent:
        """Itself."""
        return GaussianEquivalent(self.noise_multiplier, 0.0)


PrivacyEvent = GaussianRelease | SharedIntegerRelease | SampledIntegerRelease


def delta_for(largest_patients: int) -> float:
    """min(1e-5, 1 / (10 n_max)); n_max is a public upper bound on a hospital's patients, never the exact number."""
    if largest_patients < 1:
        raise ValueError("the largest number of patients must be positive")
    return min(1e-5, 1 / (10 * largest_patients))


def epsilon_of(events: Iterable[PrivacyEvent], *, delta: float) -> float:
    """Epsilon at `delta` of all events together, for one patient who took part in all of them.

    Infinity when an event has no noise, or next to none (LEAST_NOISE_MULTIPLIER). Raises UnaccountedEvent for an event
    of another type or with parameters that no bound covers, ValueError for a delta outside (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError("delta must lie between 0 and 1")
    counted = _counted(events)
    for event in counted:
        _refuse_unaccountable(event)
    if any(event.noise_multiplier < LEAST_NOISE_MULTIPLIER for event in counted):
        return math.inf
    return _epsilon(tuple(sorted(counted.items(), key=repr)), delta)


def one_collection(charged: Iterable[tuple[str, PrivacyEvent]]) -> bool:
    """Whether these releases, each with the plan it belongs to, have a proven bound together: see the module."""
    plans, events = set[str](), list[PrivacyEvent]()
    for plan, event in charged:
        plans.add(plan)
        events.append(event)
    sampled = False
    for event in {id(event): event for event in events}.values():
        _refuse_unaccountable(event)
        sampled |= event.sampling_rate < 1
    return not sampled or len(plans) <= 1


def _counted(events: Iterable[PrivacyEvent]) -> Counter[PrivacyEvent]:
    """How often each is there. Most are one object many times over, since a plan's rounds have one release: objects are
    counted before they are compared, which with thousands of ledgers is what takes the time.
    """
    listed = list(events)
    times, found = Counter(map(id, listed)), Counter[PrivacyEvent]()
    for event in {id(event): event for event in listed}.values():
        found[event] += times[id(event)]
    return found


def _refuse_unaccountable(event: object) -> None:
    if type(event) not in (GaussianRelease, SharedIntegerRelease, SampledIntegerRelease):
        # Not isinstance: a subclass may mean another mechanism.
        raise UnaccountedEvent(f"no bound is known for a release of type {type(event).__name__}")
    assert isinstance(event, PrivacyEvent)
    if event.faults:
        raise UnaccountedEvent("a release cannot be accounted for: " + "; ".join(event.faults))


@lru_cache(maxsize=4096)
def _epsilon(counted: tuple[tuple[PrivacyEvent, int], ...], delta: float) -> float:
    # Gaussian sums compose exactly: precisions 1/sigma^2 add up (a PLD of one Gaussian instead of many convolutions).
    # Nothing is composed before it is known that all of it can be.
    precision, excess, loss, steps = 0.0, 0.0, 0.0, list[tuple[float, float, int]]()
    for event, count in counted:
        sums, gaussian = count * event.steps, event.gaussian
        excess += sums * gaussian.excess
        if gaussian.noise_multiplier < LEAST_NOISE_MULTIPLIER:
            return math.inf
        if event.sampling_rate < 1:
            if gaussian.noise_multiplier < LEAST_SAMPLED_NOISE_MULTIPLIER:
                return math.inf
            steps.append((event.sampling_rate, gaussian.noise_multiplier, sums))
            loss += sums * _mean_loss(event.sampling_rate, gaussian.noise_multiplier)
        else:
            precision += sums * (1 / gaussian.noise_multiplier) ** 2
    if (
        precision > LEAST_NOISE_MULTIPLIER**-2
        or not excess <= EXCESS_ALLOWED
        or not loss <= MOST_MEAN_LOSS
        or sum(sums for _, _, sums in steps) > MOST_SAMPLED_STEPS
    ):
        return math.inf
    # PLDs are rounded pessimistically at any step. One Gaussian is exact to 1e-6 at the coarse one, ten times as fast.
    interval = 1e-4 if steps else 1e-3
    composed = [_loss_of_one(rate, sigma, interval).self_compose(sums) for rate, sigma, sums in steps]
    if precision > 0:
        composed.append(_loss_of_one(1.0, precision**-0.5, interval))
    if not composed:
        return 0.0
    # Each probability of the integer releases is within exp(+-H) of the one accounted for: `shared_noise`, step 4.
    allowed = EXCESS_ALLOWED if excess > 0 else 0.0
    together = reduce(lambda one, other: one.compose(other), composed)
    return float(together.get_epsilon_for_delta(delta * math.exp(-allowed))) + 2 * allowed


@lru_cache(maxsize=64)
def _loss_of_one(rate: float, sigma: float, interval: float) -> PrivacyLossDistribution:
    """The privacy loss of one Gaussian release, over patients drawn by lot or (rate 1) all, as in `PLDAccountant`.

    Kept, since making it takes longer than composing it with itself, which is asked for with several numbers of times.
    """
    # dp-accounting takes half a second to import, so only those who ask for an epsilon wait for it.
    from dp_accounting.pld import privacy_loss_distribution  # noqa: PLC0415
    from dp_accounting.privacy_accountant import NeighboringRelation  # noqa: PLC0415

    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=sigma,
        value_discretization_interval=interval,
        sampling_prob=rate,
        neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE,
    )


def _mean_loss(rate: float, sigma: float) -> float:
    """Of one release over patients drawn by lot: the Kullback-Leibler divergence of what is released with a patient,
    who takes part with probability `rate`, from what is released without.
    """
    x = np.linspace(-10 * sigma, 1 + 10 * sigma, 2_001)
    without, drawn = (np.exp(-((x - mean) ** 2) / (2 * sigma**2)) for mean in (0.0, 1.0))
    with_patient = ((1 - rate) * without + rate * drawn) / (sigma * math.sqrt(2 * math.pi))
    loss = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * x - 1) / (2 * sigma**2))
    return float(np.trapezoid(with_patient * loss, x))


def smallest_noise_multiplier(
    releases: Callable[[float], Iterable[PrivacyEvent]], *, epsilon: float, delta: float
) -> float:
    """The smallest noise multiplier, to four digits and rounded up, with which all releases stay within epsilon.

    releases  the events of the whole study as a function of the noise multiplier, in which epsilon falls.
    """
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError("epsilon must be positive and finite")
    spent = cache(lambda sigma: epsilon_of(releases(sigma), delta=delta))
    high = _MOST_NOISE
    if spent(high) > epsilon:
        raise UnaccountedEvent("no noise multiplier below 2^20 reaches this epsilon")
    too_little, enough = _about(spent, epsilon)

    def within(sigma: float) -> bool:
        if too_little < sigma < enough:
            return spent(sigma) <= epsilon
        return sigma >= enough

    # From above, since little noise is the slow and the pointless end. The same steps whatever is known before: a plan
    # has this number, and its hash shall stay.
    while within(high / 2):
        high /= 2
    low = high / 2
    while high / low > 1 + _FOUR_DIGITS:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if within(middle) else (middle, high)
    return high


_MOST_NOISE, _FOUR_DIGITS = 2.0**20, 1e-4
_FIRST_GUESS, _FARTHEST, _GUESSES = 32.0, 8.0, 12


def _about(spent: Callable[[float], float], epsilon: float) -> tuple[float, float]:
    """A noise multiplier that is too little, or 0, and one that is enough, mostly within four digits of each other.

    By false position in logarithms, which needs a quarter of the looks that halving does. Each guess lies a little
    beyond the root, so that the two close in from both sides.
    """
    low, high, of_low, of_high, guess = 0.0, _MOST_NOISE, math.inf, 0.0, _FIRST_GUESS
    for _ in range(_GUESSES):
        found = spent(guess)
        if found <= epsilon:
            high, of_high = guess, found
        else:
            low, of_low = guess, found
        if high <= low * (1 + _FOUR_DIGITS):
            break
        if math.isfinite(of_low) and of_high > 0:
            at = math.log(of_low / epsilon) / math.log(of_low / of_high)
            beyond = 1 + _FOUR_DIGITS / 3
            guess = low * (high / low) ** at * (1 / beyond if found <= epsilon else beyond)
        else:
            guess *= min(_FARTHEST, max(found / epsilon, 1 / _FARTHEST))
        if not low < guess < high:
            guess = math.sqrt(max(low, 1 / _MOST_NOISE) * high)
    return low, high


_ROOM = 1e-5
"""Of an epsilon that is cut into parts: more than rounding in losses and EXCESS_ALLOWED for each part come to."""


def part_of_epsilon(share: float, *, epsilon: float, delta: float) -> float:
    """What a plan may spend that is given this share of what (epsilon, delta) lets through, the sum of 1 / sigma^2.

    Law: plans of sums over everybody, each within its part at the same delta, stay within epsilon together as long as
    their shares add up to 1 at most, whatever each of them makes of its own. Parts do not add up to epsilon; they add
    up to more, for two halves about 1.4 times. share: above 0, and 1 at most.
    """
    if not 0 < share <= 1:
        raise ValueError("a share lies above 0, and is 1 at most")
    whole = smallest_noise_multiplier(
        lambda sigma: [GaussianRelease(sigma)], epsilon=epsilon * (1 - _ROOM), delta=delta
    )
    part = epsilon_of([GaussianRelease(whole / math.sqrt(share))], delta=delta)
    return math.floor(part * 1e4) / 1e4
