"""How does a figure of a model differ between hospitals, and where would that of one more lie?

Each hospital has a dot with its 95 % interval; below them stand the mean with its interval, and as a bar the interval
for one more hospital. Hollow dots do not count in these two. A line marks what would be right.

Promises: an interval that goes beyond the axis is cut and has no end there; a figure that is not known has no mark.
"""

from __future__ import annotations

import math
from statistics import median

from markupsafe import Markup

from oncofed.picture.axes import Key, legend, to_limits
from oncofed.picture.drawing import (
    BLUE,
    GREY,
    INK,
    REPORT_WIDTH,
    SKY,
    VERMILLION,
    Stroke,
    circle,
    line,
    polygon,
    rectangle,
    report_picture,
)
from oncofed.picture.rows import BELOW, Rows
from oncofed.picture.scales import Scale as Axis
from oncofed.picture.scales import ratio_limits
from oncofed.survival.across_hospitals import AcrossHospitals, OfHospital, Scale
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import plain_name, shortened
from oncofed.words.numbers import decimals

MOST_NAMED = 40
"""Hospitals; beyond, only the mean and one more hospital are drawn."""
_LONGEST_NAME, _PITCH, _PALE = 34, 25.0, 0.35


def hospitals_picture(
    found: AcrossHospitals, title: str, *, right: float | None, digits: int = 2, say: Language = ENGLISH
) -> Markup | None:
    """right: what would be right; None where nothing would. None where no hospital has the figure."""
    known = [each for each in found.hospitals if _finite(each.value, found)]
    if not known:
        return None
    shown = known if len(known) <= MOST_NAMED else []
    summary = [say("Mean of hospitals"), say("One more hospital")] if found.effects is not None else []
    keys = [Key(say("hospital, 95 % interval"), Stroke(BLUE, width=2), dot=True)] if shown else []
    if summary:
        keys += [Key(say("mean"), Stroke(VERMILLION, width=2)), Key.area(say("one more hospital, 95 %"), SKY, _PALE)]
    if right is not None:
        keys.append(Key(say("right"), Stroke(INK, "dash", 1.2)))
    entries, above = legend(keys, left=8.0, top=0, right=REPORT_WIDTH)
    frame = Rows(
        [*(shortened(plain_name(each.name), _LONGEST_NAME) for each in shown), *summary],
        _axis(found, known, right, say),
        title,
        right=REPORT_WIDTH - 24,
        pitch=_PITCH,
        above=above + 4,
    )
    marks = [*entries, *frame.marks]
    if right is not None:
        at = frame.x.at(_place(right, found))
        marks.append(line(at, frame.top(0), at, frame.bottom, Stroke(INK, "dash", 1.2)))
    for row, each in enumerate(shown):
        marks += _hospital(row, each, found, frame)
    if summary:
        marks += _summary(len(shown), found, frame)
    return report_picture(
        height=frame.bottom + BELOW, marks=marks, alternative=_alternative(found, len(known), title, digits, say)
    )


def _place(value: float, found: AcrossHospitals) -> float:
    """On the axis. A C-index stands on its own scale: readers know where 0.7 is."""
    return math.log(value) if found.scale is Scale.LOG else value


def _finite(value: float, found: AcrossHospitals) -> bool:
    return math.isfinite(value) and (found.scale is not Scale.LOG or value > 0)


def _axis(found: AcrossHospitals, known: list[OfHospital], right: float | None, say: Language) -> Axis:
    """All that counts, and half of the intervals in full: the widest would leave no room for the others."""
    some = [each for each in known if each.compared is not None] or known
    wanted = [each.value for each in some]
    for ends in ([each.low for each in some], [each.high for each in some]):
        wanted.append(median([each for each in ends if _finite(each, found)] or wanted))
    wanted += [*found.interval, *found.prediction, *([] if right is None else [right])]
    places = [_place(each, found) for each in wanted if _finite(each, found)]
    low, high = min(places), max(places)
    if found.scale is Scale.LOG:
        return ratio_limits(low, high, say=say)
    room = max(0.08 * (high - low), 0.02)
    return low - room, high + room, to_limits(low - room, high + room, say=say)


def _within(low: float, high: float, found: AcrossHospitals, frame: Rows) -> tuple[float, float] | None:
    """On the axis, cut at its ends; None where nothing of it is there."""
    if math.isnan(low) or math.isnan(high):
        return None
    begin = frame.x.low if not _finite(low, found) else max(frame.x.low, _place(low, found))
    end = min(frame.x.high, _place(high, found))
    return (begin, end) if begin < end else None


def _hospital(row: int, each: OfHospital, found: AcrossHospitals, frame: Rows) -> list[Markup]:
    counts = each.compared is not None
    colour, marks = BLUE if counts else GREY, []
    if (span := _within(each.low, each.high, found, frame)) is not None:
        stroke, y = Stroke(colour, width=1.6), frame.middle(row)
        marks.append(line(frame.x.at(span[0]), y, frame.x.at(span[1]), y, stroke))
        ends = [frame.x.at(end) for end in span if frame.x.low < end < frame.x.high]  # no end where it is cut
        marks += [line(end, y - 5, end, y + 5, stroke) for end in ends]
    place = _place(each.value, found)
    if frame.x.low <= place <= frame.x.high:
        marks.append(frame.dot(row, place, colour, radius=5))
        if not counts:
            marks.append(circle(frame.x.at(place), frame.middle(row), 3, "#ffffff"))
    return marks


def _summary(row: int, found: AcrossHospitals, frame: Rows) -> list[Markup]:
    """The mean as a diamond as wide as its interval; one more hospital as a bar."""
    marks = []
    if (span := _within(*found.interval, found, frame)) is not None:
        begin, end = (frame.x.at(each) for each in span)
        middle, at = frame.middle(row), frame.x.at(_place(found.mean, found))
        marks.append(polygon(((begin, middle), (at, middle - 7), (end, middle), (at, middle + 7)), VERMILLION))
    if (span := _within(*found.prediction, found, frame)) is not None:
        begin, end = (frame.x.at(each) for each in span)
        pale: dict[str, str | float] = {"fill": SKY, "fill-opacity": _PALE}
        marks.append(rectangle(begin, frame.middle(row + 1) - 7, end - begin, 14, pale))
    return marks


def _alternative(found: AcrossHospitals, hospitals: int, title: str, digits: int, say: Language) -> str:
    told = say.several("%(title)s in %(count)s hospital", "%(title)s in %(count)s hospitals", hospitals, title=title)
    if found.effects is None:
        return say("%(told)s; too few for a mean.", told=told)
    (low, high), (lowest, highest) = found.interval, found.prediction
    mean = say(
        "mean %(mean)s, 95 %% interval %(low)s to %(high)s",
        mean=decimals(found.mean, digits, say=say),
        low=decimals(low, digits, say=say),
        high=decimals(high, digits, say=say),
    )
    if math.isnan(lowest):
        return f"{told}: {mean}."
    further = say(
        "one more hospital %(low)s to %(high)s",
        low=decimals(lowest, digits, say=say),
        high=decimals(highest, digits, say=say),
    )
    return f"{told}: {mean}; {further}."
