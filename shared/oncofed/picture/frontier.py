"""What does more money buy? Value against price, each choice a dot with its limits, the best of them joined by steps.

Promises: the steps never fall; a choice that is not among the best is fainter; each dot says in words what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from oncofed.picture.axes import Axis, across, to_limits, upright
from oncofed.picture.drawing import BLUE, GREY, QUIET, REPORT_WIDTH, Stroke, circle, curve, line, report_picture
from oncofed.words.language import ENGLISH, Language

_TOP, _BOTTOM, _LEFT, _RIGHT = 16.0, 316.0, 84.0, REPORT_WIDTH - 24
_BELOW = 58.0


@dataclass(frozen=True)
class Choice:
    """low, high: limits of the value, NaN where there are none. best: whether nothing as cheap is worth more."""

    name: str
    price: float
    value: float
    low: float
    high: float
    best: bool


def frontier_picture(
    choices: Sequence[Choice], *, price_title: str, value_title: str, alternative: str, say: Language = ENGLISH
) -> Markup:
    """At least one choice. alternative: for those who do not see it."""
    best = sorted((each for each in choices if each.best), key=lambda each: each.price)
    ends = [each.value for each in choices] + [
        limit for each in best for limit in (each.low, each.high) if math.isfinite(limit)
    ]
    x = _axis([each.price for each in choices], _LEFT, _RIGHT, say)
    y = _axis(ends, _BOTTOM, _TOP, say)
    marks = upright(y, left=_LEFT, right=_RIGHT, title=value_title)
    marks += across(x, top=_TOP, bottom=_BOTTOM, title=price_title)
    marks += [
        circle(x.at(each.price), y.at(each.value), 3.5, GREY, said=each.name, opacity=0.45)
        for each in choices
        if not each.best
    ]
    places = np.array([(x.at(each.price), y.at(each.value)) for each in best]).reshape(-1, 2)
    along = np.append(places[:, 0], _RIGHT), np.append(places[:, 1], places[-1:, 1])
    marks.append(curve(*along, Stroke(BLUE), step=True))
    for each in best:
        place = x.at(each.price)
        if each.low < each.high:
            marks.append(line(place, y.at(each.low), place, y.at(each.high), Stroke(QUIET, width=1.4)))
        marks.append(circle(place, y.at(each.value), 5.0, BLUE, said=each.name))
    return report_picture(height=_BOTTOM + _BELOW, marks=marks, alternative=alternative)


def _axis(values: Sequence[float], start: float, end: float, say: Language) -> Axis:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 1.0
    return Axis(low - room, high + room, start, end, to_limits(low - room, high + room, say=say))
