"""Since when is a model off, at a glance? Of each endpoint, observed minus expected events above, the two sums below.

Promises: time is level and the same above and below; a level line is where a model that is right stays about, or a
threshold; a dot is a signal.
"""

from __future__ import annotations

from datetime import date

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.client.fit.drift import Drift, Watched
from oncofed.picture.axes import Axis, Key, across, legend, to_limits, upright
from oncofed.picture.drawing import (
    BLUE,
    GREY,
    REPORT_WIDTH,
    VERMILLION,
    Stroke,
    circle,
    curve,
    file_picture,
    line,
    text,
)
from oncofed.words.names import capital, plain_name

FloatArray = NDArray[np.float64]

_LEFT, _RIGHT, _HIGH, _GAP, _BELOW = 78.0, REPORT_WIDTH - 24, 150.0, 26.0, 62.0
_MORE, _FEWER = Stroke(VERMILLION), Stroke(BLUE, "dash")
_LEVEL = Stroke(GREY, "dot", 1.2)
_MOST_TICKS = 8


def drift_picture(found: Drift) -> Markup:
    """As a file of its own."""
    marks: list[Markup] = []
    top = 0.0
    for each in found.endpoints:
        more, bottom = _endpoint(each, top)
        marks += more
        top = bottom + _BELOW
    signals = sum(len(one.signals) for each in found.endpoints for one in each.sums)
    said = f"Observed minus expected events over time, and two sums for each endpoint; {signals} signals."
    return file_picture(height=top, width=REPORT_WIDTH, marks=marks, alternative=said)


def _endpoint(found: Watched, top: float) -> tuple[list[Markup], float]:
    course = found.course
    marks = [text(_LEFT, top + 20, capital(plain_name(found.endpoint)), weight=700)]
    ticks = _ticks(course.start, course.end)
    x = Axis(course.start, course.end, _LEFT, _RIGHT, ticks)
    days = np.unique(np.concatenate((course.days, course.event_days)))
    excess = np.searchsorted(course.event_days, days, side="right") - course.expected_by(days)
    begin = top + 34
    marks += _panel(x, days, [(excess, Stroke(GREY))], (0.0,), begin, "observed - expected")
    begin += _HIGH + _GAP
    keys = [Key("more events than expected", _MORE), Key("fewer", _FEWER), Key("threshold", _LEVEL)]
    entries, high = legend(keys, left=_LEFT, top=begin, right=_RIGHT)
    marks += entries
    begin += high
    sums = [(each, stroke) for each, stroke in zip(found.sums, (_MORE, _FEWER), strict=False)]
    bottom = begin + _HIGH
    most = 1.1 * max((each.threshold for each, _ in sums), default=1.0)
    y = Axis(0.0, most, bottom, begin, to_limits(0.0, most, about=4))
    marks += across(x, top=begin, bottom=bottom, title="")
    marks += upright(y, left=_LEFT, right=_RIGHT, title="sum")
    for each, stroke in sums:
        marks.append(line(_LEFT, y.at(each.threshold), _RIGHT, y.at(each.threshold), _LEVEL))
        marks.append(curve(_places(x, each.days), _places(y, each.values), stroke))
        marks += [circle(x.at(one.day), y.at(each.threshold), 5, stroke.colour) for one in each.signals]
    return marks, bottom


def _panel(
    x: Axis,
    days: FloatArray,
    courses: list[tuple[FloatArray, Stroke]],
    levels: tuple[float, ...],
    top: float,
    title: str,
) -> list[Markup]:
    values = np.concatenate([each for each, _ in courses])
    low, high = min(float(values.min()), *levels, 0.0), max(float(values.max()), *levels, 0.0)
    room = 0.08 * (high - low) or 1.0
    y = Axis(low - room, high + room, top + _HIGH, top, to_limits(low - room, high + room, about=4))
    marks = [*across(x, top=top, bottom=top + _HIGH, title=""), *upright(y, left=_LEFT, right=_RIGHT, title=title)]
    marks += [line(_LEFT, y.at(level), _RIGHT, y.at(level), _LEVEL) for level in levels]
    marks += [curve(_places(x, days), _places(y, each), stroke) for each, stroke in courses]
    return marks


def _places(axis: Axis, values: FloatArray) -> FloatArray:
    return np.array([axis.at(value) for value in values.tolist()])


def _ticks(start: float, end: float) -> tuple[tuple[float, str], ...]:
    """First days of months, at most so many."""
    first, last = date.fromordinal(int(start)), date.fromordinal(int(end))
    months = range(first.year * 12 + first.month, last.year * 12 + last.month)
    step = next(each for each in (1, 2, 3, 6, 12, 24, 60, 120) if len(months) / each <= _MOST_TICKS or each == 120)
    days = [date(month // 12, month % 12 + 1, 1) for month in months if month % step == 0]
    return tuple((float(day.toordinal()), f"{day:%Y-%m}") for day in days)
