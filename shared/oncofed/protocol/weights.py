"""Which numbers may a model's weights be, as they travel?

To a hospital: within `ranges.WEIGHT`. A guard refuses others before it charges for them, and a coordinator whose
training leads to others stops. From a hospital, in training mode `epochs`: within the range too, with one zero and
nothing else below the smallest normal float64, and not all whole, as counts are (`as_released`), so that an answer's
form can be checked by whoever gets it. Imports no torch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from oncofed.protocol.plan import ModelSpec
from oncofed.ranges import WEIGHT

FloatArray = NDArray[np.float64]

_NOT_WHOLE = 2.0**-20
"""A float64 within the range has room for it."""
_SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)


def expected_vector(model: ModelSpec) -> FloatArray:
    """(parameters,): what weight decay pulls to; 0 where the plan expects nothing."""
    found = np.zeros(model.parameters)
    for start, expected in model.expected_parts:
        found[start : start + len(expected)] = expected
    return found


def in_range(weights: FloatArray) -> bool:
    """Whether all are. NaN and infinities are not."""
    return bool(((weights >= WEIGHT.least) & (weights <= WEIGHT.most)).all())


def as_released(weights: FloatArray) -> FloatArray:
    """Those next to them that may leave, of anything but NaN."""
    within = np.clip(weights, WEIGHT.least, WEIGHT.most)
    found = np.where(np.abs(within) < _SMALLEST_NORMAL, 0.0, within)
    if _all_whole(found):
        found[0] -= math.copysign(_NOT_WHOLE, found[0])
    return found


def are_as_released(weights: FloatArray) -> bool:
    """Whether `as_released` gives such numbers."""
    tiny = weights[np.abs(weights) < _SMALLEST_NORMAL]
    return in_range(weights) and not tiny.any() and not np.signbit(tiny).any() and not _all_whole(weights)


def _all_whole(weights: FloatArray) -> bool:
    """As where a plan's steps vanish, or are whole: nobody's numbers, and not to be told from counts."""
    return bool(weights.any() and (weights == np.floor(weights)).all())
