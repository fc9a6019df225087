"""What do releases cost, by a count that shares nothing with the ledger's?

The ledger derives epsilon by dp-accounting's privacy loss distributions. Here full-batch releases are the closed form
of the Gaussian mechanism, sampled ones Opacus' PRV accountant, and a sum with shared integer noise is counted from the
share and the sensitivity that this module works out again from the plan's public numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from oncofed.privacy.accounting import GaussianRelease, PrivacyEvent, SampledGaussianRelease
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.simulations.audit.bounds import gaussian_epsilon

AGREEMENT = 0.02
"""Two accounts that differ by more are of different things; or by one part in a hundred, where epsilon is large."""


def independent_epsilon(events: Sequence[PrivacyEvent], *, delta: float) -> float:
    """Of all events together at delta. Infinity when an event has no noise."""
    multipliers = [multiplier for event in events if (multiplier := _of_one_sum(event)) is not None]
    sampled = [event for event in events if isinstance(event, SampledGaussianRelease)]
    if any(multiplier <= 0 for multiplier in multipliers) or any(event.noise_multiplier <= 0 for event in sampled):
        return math.inf
    if not sampled:
        return gaussian_epsilon(math.sqrt(math.fsum(multiplier**-2.0 for multiplier in multipliers)), delta)
    return _by_opacus([(multiplier, 1.0, 1) for multiplier in multipliers], sampled, delta)


def agree(one: float, other: float) -> bool:
    """Whether two accounts are of the same releases."""
    return one == other or abs(one - other) <= max(AGREEMENT, 0.01 * abs(other))


def _of_one_sum(event: PrivacyEvent) -> float | None:
    """Standard deviation of the noise over the sensitivity; None for a sampled release."""
    if isinstance(event, GaussianRelease):
        return event.noise_multiplier
    if isinstance(event, SharedIntegerRelease):
        honest = event.sites - event.dropouts - event.colluding
        scale = 2.0**event.scale_bits
        share = math.ceil(event.noise_multiplier * event.l2_norm_bound * scale / math.sqrt(honest))
        sensitivity = scale * event.l2_norm_bound + math.sqrt(event.parameters)
        return share * math.sqrt(honest) / sensitivity
    return None


def _by_opacus(
    whole: Sequence[tuple[float, float, int]], sampled: Sequence[SampledGaussianRelease], delta: float
) -> float:
    from opacus.accountants import PRVAccountant  # noqa: PLC0415 - takes seconds, and few plans sample

    accountant = PRVAccountant()
    accountant.history = [
        *whole,
        *((event.noise_multiplier, event.sampling_rate, event.steps) for event in sampled),
    ]
    with warnings.catch_warnings():  # it takes logarithms of zero on its way
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta=delta, eps_error=0.01, delta_error=delta * 1e-3))
