"""Which values does an axis hold, and which are written: hazard ratios, whole numbers, powers of ten?

Promises: ticks lie within the axis, rise, and stand so far apart that two numbers do not touch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from oncofed.picture.axes import round_ticks
from oncofed.words.language import ENGLISH, Language
from oncofed.words.numbers import number

FloatArray = NDArray[np.float64]

Scale = tuple[float, float, tuple[tuple[float, str], ...]]
"""Lowest and highest value of an axis, and its ticks."""

_RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 4, 5, 10, 20, 50, 100)
_FEWEST_TICKS, _MOST_TICKS = 3, 9
_MOST_STAGES = 13
_CLOSEST_TICKS = 0.055
"""Of the axis: nearer, two numbers would touch."""
_LIKED = frozenset({0.1, 0.2, 0.5, 1, 2, 5, 10})


def ratio_limits(low: float, high: float, *, say: Language = ENGLISH) -> Scale:
    """Of log hazard ratios, with room on both sides; hazard ratios are written at the ticks."""
    room = max(0.16 * (high - low), 0.08)
    start, end = low - room, high + room
    inside = [ratio for ratio in _RATIOS if start <= np.log(ratio) <= end]
    if len(inside) > _MOST_TICKS:
        kept = {0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10, 20, 50, 100}
        inside = [ratio for ratio in inside if ratio in kept]
    if len(inside) < _FEWEST_TICKS:
        nearer = (round(each, 4) for each in round_ticks(float(np.exp(start)), float(np.exp(end))))
        inside = [ratio for ratio in nearer if ratio > 0 and start <= np.log(ratio) <= end]
    closest = _CLOSEST_TICKS * (end - start)
    spread: list[float] = [1.0] if 1 in inside else []
    for ratio in sorted(inside, key=lambda each: (each not in _LIKED, abs(np.log(each)))):
        if all(abs(np.log(ratio) - np.log(other)) >= closest for other in spread):
            spread.append(ratio)
    return start, end, tuple((float(np.log(ratio)), say.figures(f"{ratio:g}")) for ratio in sorted(spread))


def whole_or_round(
    low: float, high: float, values: FloatArray, *, say: Language = ENGLISH
) -> tuple[tuple[float, str], ...]:
    """Whole numbers alone where the values are few whole numbers, such as stages."""
    whole = bool((values == values.round()).all()) and high - low <= _MOST_STAGES
    ticks = np.arange(math.ceil(low), high).tolist() if whole else round_ticks(low, high)
    return tuple((float(value), number(value, say=say)) for value in ticks)


def decades(low: float, high: float, *, say: Language = ENGLISH) -> tuple[tuple[float, str], ...]:
    """Round numbers between two powers of ten."""
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        inside = [
            factor * 10.0**power
            for power in range(math.floor(low), math.ceil(high) + 1)
            for factor in factors
            if low <= math.log10(factor * 10.0**power) <= high
        ]
        if len(inside) >= _FEWEST_TICKS:
            break
    return tuple((math.log10(value), number(value, say=say)) for value in inside)
