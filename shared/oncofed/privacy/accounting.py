"""What epsilon do the recorded releases of one data source add up to?

Events are kept and epsilon is derived from them, by dp-accounting's privacy-loss distributions (PLD) under the relation
"add or remove one patient". An event without a proven bound is refused, never assumed to be free. A sum with shared
integer noise counts as the Gaussian release that it provably is all but a post-processing of (`shared_noise`), so all
kinds compose on one ledger. Imports no torch.

Sources: Koskela, Jaelkoe, Honkela, AISTATS 2020 (PLD accounting); Doroshenko et al., PoPETs 2022 (connect-the-dots, as
in dp-accounting); Balle and Wang, ICML 2018 (analytic Gaussian, the oracle of the tests).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from oncofed.errors import UnaccountedEvent
from oncofed.privacy.shared_noise import SharedIntegerRelease, faults_of, gaussian_equivalent

RELATION = "add_or_remove_one_patient"

LEAST_NOISE_MULTIPLIER = 0.05
"""A release with less noise, alone or all Gaussian ones together, has an epsilon above 270. That is no protection and
takes a PLD minutes and gigabytes, so epsilon is then said to be infinite, which is an upper bound as well."""


_LARGEST_EXCESS = 100.0
"""Shares so small that epsilon would be above 200 for that alone: no protection, as above."""


@dataclass(frozen=True, order=True)
class GaussianRelease:
    """A sum in which each patient's part is at most the bound, plus Gaussian noise of noise_multiplier x bound."""

    noise_multiplier: float


@dataclass(frozen=True, order=True)
class SampledGaussianRelease:
    """`steps` such sums, each over patients drawn independently with probability `sampling_rate` (Poisson)."""

    noise_multiplier: float
    sampling_rate: float
    steps: int


PrivacyEvent = GaussianRelease | SampledGaussianRelease | SharedIntegerRelease


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
    counted = Counter(events)
    for event in counted:
        _refuse_unaccountable(event)
    if any(event.noise_multiplier < LEAST_NOISE_MULTIPLIER for event in counted):
        return math.inf
    return _epsilon(tuple(sorted(counted.items(), key=repr)), delta)


def _refuse_unaccountable(event: object) -> None:
    if type(event) not in (GaussianRelease, SampledGaussianRelease, SharedIntegerRelease):
        # Not isinstance: a subclass may mean another mechanism.
        raise UnaccountedEvent(f"no bound is known for a release of type {type(event).__name__}")
    assert isinstance(event, PrivacyEvent)
    if isinstance(event, SharedIntegerRelease):
        faults = faults_of(event)
        if faults:
            raise UnaccountedEvent("a release with shared noise cannot be accounted for: " + "; ".join(faults))
        return
    if isinstance(event, SampledGaussianRelease) and not (
        0 < event.sampling_rate <= 1 and isinstance(event.steps, int) and event.steps >= 1
    ):
        raise UnaccountedEvent("a sampled release needs a sampling rate in (0, 1] and a whole number of steps")
    if not (math.isfinite(event.noise_multiplier) and event.noise_multiplier >= 0):
        raise UnaccountedEvent("a noise multiplier must be finite and not negative")


@lru_cache(maxsize=4096)
def _epsilon(counted: tuple[tuple[PrivacyEvent, int], ...], delta: float) -> float:
    # dp-accounting takes half a second to import, so only those who ask for an epsilon wait for it.
    from dp_accounting.dp_event import (  # noqa: PLC0415
        GaussianDpEvent,
        PoissonSampledDpEvent,
        SelfComposedDpEvent,
    )
    from dp_accounting.pld.pld_privacy_accountant import PLDAccountant  # noqa: PLC0415
    from dp_accounting.privacy_accountant import NeighboringRelation  # noqa: PLC0415

    sampled = any(isinstance(event, SampledGaussianRelease) for event, _ in counted)
    # PLDs are rounded pessimistically at any step. One Gaussian is exact to 1e-6 at the coarse one, ten times as fast.
    accountant = PLDAccountant(
        NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=1e-4 if sampled else 1e-3
    )
    # Gaussian sums compose exactly: precisions 1/sigma^2 add up (a PLD of one Gaussian instead of many convolutions).
    precision, excess = 0.0, 0.0
    for event, count in counted:
        if isinstance(event, GaussianRelease):
            precision += count * (1 / event.noise_multiplier) ** 2
        elif isinstance(event, SharedIntegerRelease):
            equivalent = gaussian_equivalent(event)
            if equivalent.noise_multiplier < LEAST_NOISE_MULTIPLIER:
                return math.inf
            precision += count * (1 / equivalent.noise_multiplier) ** 2
            excess += count * equivalent.excess
    if precision > LEAST_NOISE_MULTIPLIER**-2 or not excess < _LARGEST_EXCESS:
        return math.inf
    if precision > 0:
        accountant.compose(GaussianDpEvent(precision**-0.5))
    for event, count in counted:
        if isinstance(event, SampledGaussianRelease):
            step = PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
            accountant.compose(SelfComposedDpEvent(step, event.steps * count))
    # Each probability of the integer releases is within exp(+-excess) of the one accounted for: `shared_noise`, step 4.
    return float(accountant.get_epsilon(delta * math.exp(-excess))) + 2 * excess if counted else 0.0


def smallest_noise_multiplier(
    releases: Callable[[float], Iterable[PrivacyEvent]], *, epsilon: float, delta: float
) -> float:
    """The smallest noise multiplier, to four digits and rounded up, with which all releases stay within epsilon.

    releases  the events of the whole study as a function of the noise multiplier, in which epsilon falls.
    """
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError("epsilon must be positive and finite")
    high = 2.0**20  # from above, since little noise is the slow and the pointless end
    if epsilon_of(releases(high), delta=delta) > epsilon:
        raise UnaccountedEvent("no noise multiplier below 2^20 reaches this epsilon")
    while epsilon_of(releases(high / 2), delta=delta) <= epsilon:
        high /= 2
    low = high / 2
    while high / low > 1 + 1e-4:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if epsilon_of(releases(middle), delta=delta) <= epsilon else (middle, high)
    return high
