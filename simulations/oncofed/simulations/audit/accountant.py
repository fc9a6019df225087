"""What do releases cost, by a count that shares nothing with the ledger's?

The ledger derives epsilon by dp-accounting's privacy loss distributions. Here full-batch releases are the closed form
of the Gaussian mechanism and sampled ones Opacus' PRV accountant; a sum with integer noise is counted from the share
and the sensitivity that this module works out again from the plan's public numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from oncofed.privacy.accounting import GaussianRelease, PrivacyEvent
from oncofed.simulations.audit.bounds import gaussian_epsilon

AGREEMENT = 0.02
"""Two accounts that differ by more are of different things; or by one part in a hundred, where epsilon is large."""


def independent_epsilon(events: Sequence[PrivacyEvent], *, delta: float) -> float:
    """Of all events together at delta. Infinity when an event has no noise."""
    history = [(_of_one_sum(event), event.sampling_rate, event.steps) for event in events]
    if any(multiplier <= 0 for multiplier, _, _ in history):
        return math.inf
    if any(rate < 1 for _, rate, _ in history):
        return _by_opacus(history, delta)
    return gaussian_epsilon(math.sqrt(math.fsum(steps * multiplier**-2.0 for multiplier, _, steps in history)), delta)


def agree(one: float, other: float) -> bool:
    """Whether two accounts are of the same releases."""
    return one == other or abs(one - other) <= max(AGREEMENT, 0.01 * abs(other))


def _of_one_sum(event: PrivacyEvent) -> float:
    """Standard deviation of the noise over the sensitivity, if everybody takes part."""
    if isinstance(event, GaussianRelease):
        return event.noise_multiplier
    one = event.of_one_step
    honest = one.sites - one.dropouts - one.colluding
    scale = 2.0**event.scale_bits
    share = math.ceil(one.noise_multiplier * one.l2_norm_bound * scale / math.sqrt(honest))
    sensitivity = scale * event.l2_norm_bound + math.sqrt(event.parameters)
    return share * math.sqrt(honest) / sensitivity if event.noise_multiplier > 0 else 0.0


def _by_opacus(history: list[tuple[float, float, int]], delta: float) -> float:
    from opacus.accountants import PRVAccountant  # noqa: PLC0415 - takes seconds, and few plans sample

    accountant = PRVAccountant()
    accountant.history = history
    with warnings.catch_warnings():  # it takes logarithms of zero on its way
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta=delta, eps_error=0.01, delta_error=delta * 1e-3))
