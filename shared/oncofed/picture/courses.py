"""How did something go, round by round? One panel for each course, side by side.

Promises: a round that was not recorded is a gap; a round between two gaps is a dot; every panel has the same rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.picture.axes import Axis, across, counts, to_limits, upright
from oncofed.picture.drawing import (
    GREY,
    QUIET,
    REPORT_WIDTH,
    Stroke,
    circle,
    curve,
    line,
    report_picture,
    text,
)
from oncofed.words.language import ENGLISH, Language

FloatArray = NDArray[np.float64]

_TOP, _BOTTOM, _LEFT, _GAP = 34.0, 240.0, 56.0, 84.0


@dataclass(frozen=True, eq=False)
class Course:
    """values  (rounds,), that of the first round first; NaN where it was not recorded.
    low      of the axis; where it is None, what the values need.
    chance   a value that a level line shows, with its name.
    """

    title: str
    values: FloatArray
    colour: str
    low: float | None = None
    chance: tuple[float, str] | None = None


def courses_picture(courses: Sequence[Course], *, rounds: int, alternative: str, say: Language = ENGLISH) -> Markup:
    """rounds: of the level axis, which may be more than there have been."""
    wide = (REPORT_WIDTH - 24 - _LEFT - _GAP * (len(courses) - 1)) / len(courses)
    marks: list[Markup] = []
    for place, course in enumerate(courses):
        marks += _panel(course, left=_LEFT + place * (wide + _GAP), wide=wide, rounds=rounds, say=say)
    return report_picture(height=_BOTTOM + 52, marks=marks, alternative=alternative)


def _panel(course: Course, *, left: float, wide: float, rounds: int, say: Language) -> list[Markup]:
    known = course.values[np.isfinite(course.values)].tolist()
    ends = [*known, *([] if course.chance is None else [course.chance[0]])]
    low, high = min(ends, default=0.0) if course.low is None else course.low, max(ends, default=1.0)
    # Values that are the same but for rounding need an axis with different numbers, too.
    room = max(0.08 * (high - low), 0.002 * max(abs(low), abs(high))) or 1.0
    low -= room if course.low is None else 0.0
    high += room
    ticks = tuple(tick for tick in counts(rounds, about=6, say=say) if tick[0] >= 1) or ((1.0, "1"),)
    x = Axis(0.5, rounds + 0.5, left, left + wide, ticks)
    y = Axis(low, high, _BOTTOM, _TOP, to_limits(low, high, about=5, say=say))
    marks = [text(left, 18, course.title, weight=700)]
    marks += across(x, top=_TOP, bottom=_BOTTOM, title=say("round"))
    marks += upright(y, left=left, right=left + wide, title="")
    if course.chance is not None:
        at, name = course.chance
        marks.append(line(left, y.at(at), left + wide, y.at(at), Stroke(GREY, "dot", 1.2)))
        marks.append(text(left + wide - 4, y.at(at) - 5, name, anchor="end", colour=QUIET))
    places = np.array([x.at(number) for number in range(1, len(course.values) + 1)])
    marks.append(curve(places, np.array([y.at(value) for value in course.values.tolist()]), Stroke(course.colour)))
    finite = np.concatenate(([False], np.isfinite(course.values), [False]))
    lone = np.flatnonzero(finite[1:-1] & ~finite[:-2] & ~finite[2:])
    marks += [circle(places[each], y.at(float(course.values[each])), 3.5, course.colour) for each in lone]
    return marks
