"""How many are still free of the event? Observed steps with their band beside predicted curves, and numbers at risk.

Promises: a step stands where the event is, level before it; what is observed is solid and steps, what is predicted is
dashed and straight between its times; nothing is drawn where nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.picture.axes import Axis, Key, across, legend, round_ticks, shares, upright
from oncofed.picture.drawing import QUIET, REPORT_WIDTH, Stroke, area, curve, report_picture, text
from oncofed.words.language import ENGLISH, Language
from oncofed.words.numbers import plainly, whole

FloatArray = NDArray[np.float64]

_LEFT, _RIGHT, _HIGH, _BAND = 92.0, REPORT_WIDTH - 30, 330.0, 0.16
_FINEST = 0.25
"""Of the picture: steps nearer than this are one."""


@dataclass(frozen=True, eq=False)
class Group:
    """steps      (steps,) times at which the observed curve falls; survival, low, high from there on.
    predicted_at  (times,) of the mean predicted curve, from 0; predicted: its survival.
    at_risk       patients under observation at each tick of `time_ticks`.
    """

    name: str
    colour: str
    steps: FloatArray
    survival: FloatArray
    low: FloatArray
    high: FloatArray
    predicted_at: FloatArray
    predicted: FloatArray
    at_risk: Sequence[int]


def time_ticks(end: float) -> tuple[float, ...]:
    """Round times: multiples of 12 where that suits months."""
    step = next((step for step in (3, 6, 12, 24, 36, 60) if end / step <= 8 and end >= 12), None)
    return round_ticks(0.0, end) if step is None else tuple(np.arange(0, end + 1e-9, step).tolist())


def survival_picture(
    groups: Sequence[Group], *, end: float, unit: str, alternative: str, say: Language = ENGLISH
) -> Markup:
    """end: of the axis of time."""
    keys = [Key(say("%(group)s risk, observed", group=group.name), Stroke(group.colour), _BAND) for group in groups]
    keys += [
        Key(say("%(group)s risk, predicted", group=group.name), Stroke(group.colour, "dash", 1.5)) for group in groups
    ]
    entries, top = legend(keys, left=_LEFT, top=0, right=REPORT_WIDTH)
    top += 8
    bottom = top + _HIGH
    ticks = time_ticks(end)
    x = Axis(0.0, end, _LEFT, _RIGHT, tuple((each, plainly(each, say=say)) for each in ticks))
    y = Axis(0.0, 1.0, bottom, top, shares(0.0, 1.0, say=say))
    marks = [*entries, *across(x, top=top, bottom=bottom, title=unit)]
    marks += upright(y, left=_LEFT, right=_RIGHT, title=say("free of the event"))
    drawn = [_places(group, x, y, end) for group in groups]
    marks += [
        area(at, low, high, group.colour, opacity=_BAND, step=True)
        for group, (at, _, low, high) in zip(groups, drawn, strict=True)
    ]
    for group, (at, survival, _, _) in zip(groups, drawn, strict=True):
        marks.append(curve(at, survival, Stroke(group.colour), step=True))
        inside = group.predicted_at <= end
        level = np.array([x.at(each) for each in group.predicted_at[inside].tolist()])
        high = np.array([y.at(each) for each in group.predicted[inside].tolist()])
        marks.append(curve(level, high, Stroke(group.colour, "dash", 1.5)))
    line = bottom + 76
    marks.append(text(_LEFT, line - 4, say("Patients at risk"), colour=QUIET))
    for group in groups:
        line += 22
        marks.append(text(_LEFT - 30, line, group.name, anchor="end"))
        marks += [
            text(x.at(tick), line, whole(count, say=say), anchor="middle")
            for tick, count in zip(ticks, group.at_risk, strict=True)
        ]
    return report_picture(height=line + 14, marks=marks, alternative=alternative)


def _places(group: Group, x: Axis, y: Axis, end: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Of the steps up to the end; many at one place of the picture are its last one."""
    inside = group.steps < end
    steps = group.steps[inside]
    level = np.array([x.at(each) for each in steps.tolist()])
    last = np.concatenate((np.diff(np.round(level / _FINEST)) > 0, [True]))[: len(level)]
    at = np.concatenate(([x.at(0.0)], level[last]))
    found = [
        np.concatenate(([first], values[inside][last]))
        for first, values in ((1.0, group.survival), (np.nan, group.low), (np.nan, group.high))
    ]
    # The last step is level up to the end, as far as anybody was followed.
    until = x.at(min(end, float(group.steps[-1]))) if len(group.steps) else at[-1]
    if until > at[-1]:
        at = np.concatenate((at, [until]))
        found = [np.concatenate((values, values[-1:])) for values in found]
    survival, low, high = (np.array([y.at(each) for each in values.tolist()]) for values in found)
    return at, survival, low, high
