"""How do a deployed study's rounds, its model and what hospitals released of its markers look?

Each function draws one figure of the report as inline SVG. What cannot be drawn is None, and the page says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup

from oncofed.picture.axes import Axis, Key, across, counts, legend, shares, to_limits, width_of
from oncofed.picture.courses import Course, courses_picture
from oncofed.picture.drawing import (
    BLUE,
    FONT_SIZE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    REPORT_WIDTH,
    SKY,
    VERMILLION,
    Stroke,
    line,
    polygon,
    rectangle,
    report_picture,
    text,
)
from oncofed.picture.rows import BELOW, Rows, left_of_bars
from oncofed.server.report.attendance import Presence
from oncofed.server.report.linear_effects import LinearEffect
from oncofed.server.report.released_explanations import MarkerRow
from oncofed.server.report.study import RoundRow
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import one_line, shortened
from oncofed.words.numbers import decimals, hazard_ratio, signed

LONGEST_NAME = 28
LONGEST_EFFECT = 56
STRONGEST = 20
_TALLEST_MATRIX = 1250.0
_PITCH, _RIGHT = 25.0, REPORT_WIDTH - 24
_LEGEND_LEFT, _WIDEST_NAMES = 8.0, 460.0

COLOURS = {
    Presence.ANSWERED: SKY,
    Presence.SILENT: ORANGE,
    Presence.REFUSED: VERMILLION,
    Presence.NOT_ADMITTED: PURPLE,
    Presence.UNRECORDED: GREY,
    Presence.AHEAD: "#EEF1F4",
}


def attendance_picture(
    matrix: Mapping[str, Sequence[Presence]], *, repeated: Sequence[int], say: Language = ENGLISH
) -> Markup:
    """Hospitals down, rounds across, a colour for what became of each. repeated: rounds that took several attempts."""
    sites, rounds = list(matrix), len(next(iter(matrix.values())))
    pitch = min(28.0 if len(sites) <= 12 else 20.0, _TALLEST_MATRIX / len(sites))
    seen = {state for row in matrix.values() for state in row}
    troubled = [site for site, row in matrix.items() if seen & set(row) - {Presence.ANSWERED, Presence.AHEAD}]
    grid = say(
        "A grid of %(hospitals)s by %(rounds)s.",
        hospitals=say.several("%(count)s hospital", "%(count)s hospitals", len(sites)),
        rounds=say.several("%(count)s round", "%(count)s rounds", rounds),
    )
    whole_time = say.several(
        "%(count)s hospital answered in every finished round.",
        "%(count)s hospitals answered in every finished round.",
        len(sites) - len(troubled),
    )
    alternative = f"{grid} {whole_time} {say('The table below says what happened at the others.')}"

    keys = [Key.area(say(state.value), COLOURS[state]) for state in Presence if state in seen]
    entries, high = legend(keys, left=_LEGEND_LEFT, top=0, right=REPORT_WIDTH)
    size = min(14.0, 0.95 * pitch)
    names = [shortened(one_line(site), LONGEST_NAME) for site in sites]
    left = max(width_of(name) for name in names) * size / FONT_SIZE + 16
    top = high + (22 if repeated else 6)
    bottom = top + pitch * len(sites)
    ticks = tuple(tick for tick in counts(rounds, about=min(rounds, 12), say=say) if tick[0] >= 1) or ((1.0, "1"),)
    x = Axis(0.5, rounds + 0.5, left, _RIGHT, ticks)
    marks = [*entries, *across(x, top=bottom, bottom=bottom, title=say("round"))]
    for row, (name, states) in enumerate(zip(names, matrix.values(), strict=True)):
        y = top + row * pitch
        marks.append(text(left - 8, y + pitch / 2 + 0.35 * size, name, anchor="end", size=size))
        begin = 0.5
        for state, members in groupby(states):
            end = begin + sum(1 for _ in members)
            cells: dict[str, str | float] = {"fill": COLOURS[state]}
            marks.append(rectangle(x.at(begin), y, x.at(end) - x.at(begin), pitch, cells))
            begin = end
    # Lines between the cells, so that those of a run need not be drawn one by one.
    between = Stroke("#ffffff", width=min(2.5, 90 / rounds))
    marks += [line(x.at(each + 0.5), top, x.at(each + 0.5), bottom, between) for each in range(1, rounds)]
    apart = Stroke("#ffffff", width=min(3.0, pitch / 8))
    marks += [line(left, top + each * pitch, _RIGHT, top + each * pitch, apart) for each in range(1, len(sites))]
    for number in repeated:
        at = x.at(number)
        marks.append(polygon(((at - 5, top - 12), (at + 5, top - 12), (at, top - 3)), INK))
    return report_picture(height=bottom + 52, marks=marks, alternative=alternative)


def rounds_picture(rows: Sequence[RoundRow], *, planned: int, say: Language = ENGLISH) -> Markup | None:
    """Length of the update and seconds, round by round; a round that was not recorded is a gap."""
    if not rows:
        return None
    last = max(row.round for row in rows)
    update, seconds = np.full(last, np.nan), np.full(last, np.nan)
    for row in rows:
        update[row.round - 1], seconds[row.round - 1] = row.update_l2_norm, row.seconds
    first, final = (pick(rows, key=lambda row: row.round) for pick in (min, max))
    alternative = say.several(
        "Two curves over %(count)s round: the length of the update goes from %(first)s to %(final)s; a round takes "
        "%(median)s seconds in the middle, %(most)s at most.",
        "Two curves over %(count)s rounds: the length of the update goes from %(first)s to %(final)s; a round takes "
        "%(median)s seconds in the middle, %(most)s at most.",
        len(rows),
        first=decimals(first.update_l2_norm, say=say),
        final=decimals(final.update_l2_norm, say=say),
        median=decimals(float(np.nanmedian(seconds)), 1, say=say),
        most=decimals(float(np.nanmax(seconds)), 1, say=say),
    )
    courses = (
        Course(say("Length of the update (L2 norm)"), update, VERMILLION, low=0.0),
        Course(say("Seconds"), seconds, BLUE, low=0.0),
    )
    return courses_picture(courses, rounds=max(planned, last), alternative=alternative, say=say)


def effects_picture(effects: Sequence[LinearEffect], *, endpoint: str, say: Language = ENGLISH) -> Markup | None:
    """The strongest effects of the linear part as bars from 0; None when all are 0."""
    shown = [effect for effect in effects[:STRONGEST] if effect.log_hazard_ratio != 0]
    if not shown:
        return None
    alternative = say.several(
        "%(endpoint)s: bars of the %(count)s strongest effect in the linear part.",
        "%(endpoint)s: bars of the %(count)s strongest effects in the linear part.",
        len(shown),
        endpoint=endpoint,
    )
    for effect in shown[:3]:
        alternative += f" {effect.marker}, {effect.step}: {signed(effect.log_hazard_ratio, 3, say=say)}."

    values = [effect.log_hazard_ratio for effect in shown]
    low, high = min(0.0, *values), max(0.0, *values)
    names = [shortened(one_line(f"{effect.marker}: {_short(effect.step, say)}"), LONGEST_EFFECT) for effect in shown]
    told = [f"{signed(value, 3, say=say)} (\N{MULTIPLICATION SIGN} {hazard_ratio(value, say=say)})" for value in values]
    left = left_of_bars(names, _WIDEST_NAMES)
    # Room for the figures beside the bars, on the sides on which there are any.
    before, after = (
        max((width_of(words) for words, value in zip(told, values, strict=True) if value * side > 0), default=0.0) + 12
        for side in (-1, 1)
    )
    unit = (high - low) / (_RIGHT - left - before - after)
    low, high = low - before * unit, high + after * unit
    entries, above = legend(
        [
            Key.area(say("higher hazard, worse prognosis"), VERMILLION),
            Key.area(say("lower hazard, better prognosis"), BLUE),
        ],
        left=_LEGEND_LEFT,
        top=0,
        right=REPORT_WIDTH,
    )
    frame = Rows(
        names,
        (low, high, to_limits(low, high, say=say)),
        say("log hazard ratio (in brackets: hazard ratio)"),
        right=_RIGHT,
        pitch=_PITCH,
        above=above + 4,
        left=left,
    )
    marks = [*entries, *frame.marks]
    for row, (value, said) in enumerate(zip(values, told, strict=True)):
        marks += frame.bar(row, 0.0, value, VERMILLION if value > 0 else BLUE, said, before=value < 0)
    marks.append(frame.zero())
    return report_picture(height=frame.bottom + BELOW, marks=marks, alternative=alternative)


def key_markers_picture(rows: Sequence[MarkerRow], *, alternative: str, say: Language = ENGLISH) -> Markup | None:
    """In how many of the patients each marker is among the strongest, with the noise's interval; None without rows."""
    shown = rows[:STRONGEST]
    if not shown:
        return None
    colours = {1: VERMILLION, -1: BLUE, 0: GREY}
    named = {
        1: say("raises the hazard"),
        -1: say("lowers the hazard"),
        0: say("by category, or lost in the noise"),
    }
    present = {row.direction for row in shown}
    keys = [Key.area(label, colours[each]) for each, label in named.items() if each in present]
    entries, above = legend(keys, left=_LEGEND_LEFT, top=0, right=REPORT_WIDTH)
    low = min(0.0, *(row.share_low for row in shown))
    high = max(max(row.share, row.share_high) for row in shown)
    high = high + 0.05 * (high - low) or 1.0
    frame = Rows(
        [shortened(one_line(row.name), LONGEST_EFFECT) for row in shown],
        (low, high, shares(low, high, say=say)),
        say("patients of whose strongest markers it is one"),
        right=_RIGHT,
        pitch=_PITCH,
        widest_names=_WIDEST_NAMES,
        above=above + 4,
    )
    marks = [*entries, *frame.marks]
    for place, row in enumerate(shown):
        marks += frame.bar(place, 0.0, row.share, colours[row.direction])
        if row.share_low < row.share_high:
            marks += frame.whisker(place, row.share_low, row.share_high, Stroke(INK, width=1.4))
    marks.append(frame.zero())
    return report_picture(height=frame.bottom + BELOW, marks=marks, alternative=alternative)


def _short(step: str, say: Language) -> str:
    """Without what it is compared against, which the table beneath says."""
    return step.partition(say(" against "))[0].rstrip(",")
