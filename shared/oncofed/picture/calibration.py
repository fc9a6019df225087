"""Do as many have the event as were told to? Observed against predicted risk, above how many were told which risk.

Promises: predicted risk is level, observed upright; a dot above the diagonal means more events than predicted; a
whisker is drawn where its limits are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.picture.axes import Axis, Key, across, counts, legend, shares, upright
from oncofed.picture.drawing import BLUE, GREY, SKY, Stroke, circle, line, rectangle, report_picture
from oncofed.picture.rows import BELOW
from oncofed.words.language import ENGLISH, Language

FloatArray = NDArray[np.float64]

_WIDTH, _LEFT, _RIGHT, _SIDE, _COUNTS, _BINS = 520.0, 78.0, 500.0, 330.0, 70.0, 40


@dataclass(frozen=True)
class Point:
    """low, high: of the observed risk; NaN where there is no interval."""

    predicted: float
    observed: float
    low: float
    high: float


def calibration_picture(
    points: Sequence[Point], risk: FloatArray, *, top: float, risk_by: str, alternative: str, say: Language = ENGLISH
) -> Markup:
    """top: of both axes. risk: (patients,) as predicted. risk_by: the horizon in words."""
    keys = [
        Key(say("observed, 95 % interval"), Stroke(BLUE), dot=True),
        Key(say("perfect agreement"), Stroke(GREY, "dot", 1.2)),
    ]
    entries, begin = legend(keys, left=_LEFT, top=0, right=_WIDTH)
    begin += 8
    bottom = begin + _SIDE
    ticks = shares(0.0, top, say=say)
    x, y = Axis(0.0, top, _LEFT, _RIGHT, ticks), Axis(0.0, top, bottom, begin, ticks)
    marks = [*entries, *across(x, top=begin, bottom=bottom, title="")]
    marks += upright(y, left=_LEFT, right=_RIGHT, title=say("observed risk %(by)s", by=risk_by))
    marks.append(line(x.at(0.0), y.at(0.0), x.at(top), y.at(top), Stroke(GREY, "dot", 1.2)))
    for point in points:
        place, stroke = x.at(point.predicted), Stroke(BLUE, width=1.4)
        if np.isfinite(point.low) and np.isfinite(point.high):
            marks.append(line(place, y.at(point.low), place, y.at(point.high), stroke))
        marks.append(circle(place, y.at(point.observed), 4.5, BLUE))
    found, edges = np.histogram(risk, bins=np.linspace(0.0, top, _BINS + 1))
    most = float(max(found.max(), 1))
    low = bottom + 40 + _COUNTS
    z = Axis(0.0, 1.05 * most, low, low - _COUNTS, counts(most, about=2, say=say))
    marks += across(x, top=low - _COUNTS, bottom=low, title=say("predicted risk %(by)s", by=risk_by))
    marks += upright(z, left=_LEFT, right=_RIGHT, title=say("patients"))
    for number, left, right in zip(found.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if number:
            wide, high = x.at(right) - x.at(left), low - z.at(number)
            marks.append(rectangle(x.at(left), z.at(number), wide, high, {"fill": SKY}))
    return report_picture(height=low + BELOW, width=_WIDTH, marks=marks, alternative=alternative)
