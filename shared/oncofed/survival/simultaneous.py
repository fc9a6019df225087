"""How far may many figures be off, if all of their intervals together should be right as often as one of them?

Of twenty groups one is off by chance at 95 %. Here all intervals of a family are wider by one factor, the quantile of
the largest of their deviations, so that with 95 % none of them misses (max-t). Groups may overlap: what they have in
common moves them together, and costs less than Bonferroni's.

The quantile is found by drawing normal deviations with the figures' own covariances, which are sums over patients of
products of influences: as if each patient's influences were multiplied by one standard normal number (multiplier
bootstrap), and quicker. It is right for large groups; a group of few events has no interval worth the name, and the
caller leaves it out.

Sources: Hothorn, Bretz and Westfall, Biometrical Journal 50 (2008), max-t; Chernozhukov, Chetverikov and Kato, Annals
of Statistics 41 (2013), the multiplier bootstrap of a largest deviation.
"""

from __future__ import annotations

import numpy as np

from oncofed.survival.follow_up import FloatArray

DRAWS = 20_000


def deviations(influence: FloatArray) -> FloatArray:
    """(figures,): standard deviation of each. influence: (figures, patients), 0 for who is not in the group."""
    return np.asarray(np.sqrt(np.square(influence).sum(axis=1)))


def max_t_quantile(
    influence: FloatArray, rng: np.random.Generator, *, level: float = 0.95, draws: int = DRAWS
) -> float:
    """How many standard deviations all intervals of the family are wide, to each side.

    influence  (figures, patients), none NaN, each figure with some that are not 0. NaN where there is no figure.
    """
    if not len(influence):
        return float("nan")
    scaled = influence / deviations(influence)[:, None]
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    drawn = (vectors * np.sqrt(np.maximum(values, 0.0))) @ rng.standard_normal((len(influence), draws))
    return float(np.quantile(np.abs(drawn).max(axis=0), level))
