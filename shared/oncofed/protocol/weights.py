"""Which numbers may a model's weights be, as they travel?

To a hospital: within `ranges.WEIGHT`. A guard refuses others before it charges for them, and a coordinator whose
training leads to others stops. From a hospital, in training mode `epochs`: within the range too, with one zero and
nothing else below the smallest normal float64 (`as_released`), so that an answer's form can be checked by whoever gets
it. Imports no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.ranges import WEIGHT

FloatArray = NDArray[np.float64]

_SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)


def in_range(weights: FloatArray) -> bool:
    """Whether all are. NaN and infinities are not."""
    return bool(((weights >= WEIGHT.least) & (weights <= WEIGHT.most)).all())


def as_released(weights: FloatArray) -> FloatArray:
    """The nearest that may leave, of anything but NaN."""
    within = np.clip(weights, WEIGHT.least, WEIGHT.most)
    return np.where(np.abs(within) < _SMALLEST_NORMAL, 0.0, within)


def are_as_released(weights: FloatArray) -> bool:
    """Whether `as_released` gives such numbers."""
    tiny = weights[np.abs(weights) < _SMALLEST_NORMAL]
    return in_range(weights) and not tiny.any() and not np.signbit(tiny).any()
