"""Which picture shows what markers do: a patient's waterfall; the cohort's strongest, their course, their pairs?

The same promises as in `figures`. Hazard ratios are drawn on a logarithmic scale: equal lengths are equal factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.client.pages.cohort_view import Dependence, MarkerStrength
from oncofed.client.pages.drawing import (
    INK,
    QUIET,
    WIDTH,
    Axis,
    Key,
    Picture,
    Stroke,
    across,
    circle,
    curve,
    legend,
    line,
    picture,
    rectangle,
    round_ticks,
    text,
    upright,
    width_of,
)
from oncofed.client.pages.figures import BETTER, WORSE
from oncofed.client.pages.interaction_view import Interaction
from oncofed.client.pages.patient_view import MarkerRow, PatientView
from oncofed.client.pages.wording import capital, hazard_ratio, number

FloatArray = NDArray[np.float64]

_TOGETHER = {
    True: ("#b34700", "solid", "higher values together: worse than one by one"),
    False: ("#0b4f7a", "dash", "higher values together: better than one by one"),
    None: ("#6b7480", "dot", "depends on the category"),
}
_IN_A_WATERFALL = 12
_IN_A_BAR_CHART = 20
_LONGEST_LABEL = 44
_RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 4, 5, 10, 20, 50, 100)
_FEWEST_TICKS, _MOST_TICKS = 3, 9
_ROW, _BAR, _BELOW = 30.0, 20.0, 58.0
_RIGHT = WIDTH - 24
_MOST_STAGES = 13
_CLOSEST_TICKS = 0.055
"""Of the axis: nearer, two numbers would touch."""
_LIKED = frozenset({0.1, 0.2, 0.5, 1, 2, 5, 10})
_WIDEST_NAMES = 330.0
_WHISKER = Stroke(QUIET, width=1.4)
_RADIUS, _BESIDE = 200.0, 0.25


def label(words: str) -> str:
    """Cut where it would crowd out the picture."""
    return words if len(words) <= _LONGEST_LABEL else f"{words[: _LONGEST_LABEL - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def waterfall_figure(view: PatientView) -> Picture:
    """From the reference patient's hazard to this patient's, marker by marker."""
    shown = view.markers[:_IN_A_WATERFALL]
    rest = view.log_hazard_ratio - sum(row.log_hazard_ratio for row in shown)
    steps = [*(row.log_hazard_ratio for row in shown), rest]
    sums = [0.0, *np.cumsum(steps).tolist()]
    names = [*(label(_named(row)) for row in shown), "All other markers", "This patient"]
    frame = _Rows(names, _ratio_limits(min(sums), max(sums)), "hazard ratio, against the reference patient")
    marks = list(frame.marks)
    for row, (begin, end) in enumerate(pairwise(sums)):
        marks.append(line(frame.x.at(end), frame.top(row), frame.x.at(end), frame.top(row + 1), Stroke(QUIET, width=1)))
        told = f"\N{MULTIPLICATION SIGN}\N{THIN SPACE}{hazard_ratio(end - begin)}"
        marks += frame.bar(row, begin, end, WORSE if end > begin else BETTER, told, before=end < begin)
    own = view.log_hazard_ratio
    marks += frame.bar(len(steps), 0.0, own, INK, f"HR {hazard_ratio(own)}", before=own < 0)
    one = frame.x.at(0.0)
    marks.append(line(one, frame.top(0), one, frame.bottom, Stroke(QUIET, width=1.4)))
    return picture("contributions", height=frame.bottom + _BELOW, marks=marks)


def _named(row: MarkerRow) -> str:
    value = f"{row.value} {row.unit}".strip()
    return capital(f"{row.label}: {value}" if value else row.label)


def strength_figure(markers: Sequence[MarkerStrength]) -> Picture:
    """The strongest markers, as bars."""
    strongest = markers[:_IN_A_BAR_CHART]
    most = max(each.strength for each in strongest)
    ticks = tuple((value, f"{value:g}") for value in round_ticks(0.0, most))
    scale = (0.0, 1.06 * most, ticks)
    frame = _Rows(
        [label(capital(each.label)) for each in strongest], scale, "mean absolute contribution, log hazard ratio"
    )
    marks = list(frame.marks)
    for row, each in enumerate(strongest):
        marks += frame.bar(row, 0.0, each.strength, BETTER, "", before=False)
    return picture("strongest-markers", height=frame.bottom + _BELOW, marks=marks)


def dependence_figure(found: Dependence) -> Picture:
    """Contribution against value: the middle, and where most patients of a bin lie, if that may be told."""
    ends = [0.0, *found.middle.tolist(), *(end for each in found.spreads if each for end in (each.low, each.high))]
    limits = _ratio_limits(min(ends), max(ends))
    return _by_category(found, limits) if found.labels else _by_value(found, limits)


def _by_category(found: Dependence, limits: _Scale) -> Picture:
    frame = _Rows([label(capital(each)) for each in found.labels], limits, "hazard ratio")
    marks = [*frame.marks, line(frame.x.at(0), frame.top(0), frame.x.at(0), frame.bottom, Stroke(QUIET, width=1.4))]
    for row in range(len(found.labels)):
        height = frame.top(row) + _ROW / 2
        spread, middle = found.spreads[row], float(found.middle[row])
        if spread is not None:
            ends = [frame.x.at(limit) for limit in (spread.low, spread.high)]
            marks.append(line(ends[0], height, ends[1], height, _WHISKER))
            marks += [line(end, height - 5, end, height + 5, _WHISKER) for end in ends]
        marks.append(circle(frame.x.at(middle), height, 4.5, BETTER, said=f"hazard ratio {hazard_ratio(middle)}"))
    return picture("dependence", height=frame.bottom + _BELOW, marks=marks)


def _by_value(found: Dependence, limits: _Scale) -> Picture:
    low, high, ticks = limits
    top, bottom, left = 12.0, 332.0, 66.0
    values = np.log10(found.at) if found.logarithmic else found.at
    room = max(0.04 * float(np.ptp(values)), 1e-3)
    begin, end = float(values[0]) - room, float(values[-1]) + room
    x = Axis(begin, end, left, _RIGHT, _decades(begin, end) if found.logarithmic else _rounds(begin, end, found.at))
    y = Axis(low, high, bottom, top, ticks)
    unit = f" [{found.unit}]" if found.unit else ""
    marks = across(x, top=top, bottom=bottom, title=capital(f"{found.label}{unit}"))
    marks += upright(y, left=left, right=_RIGHT, title="hazard ratio")
    marks.append(line(left, y.at(0), _RIGHT, y.at(0), Stroke(QUIET, width=1.4)))
    places = np.array([x.at(each) for each in values.tolist()])
    marks.append(curve(places, np.array([y.at(each) for each in found.middle.tolist()]), Stroke(BETTER, width=2)))
    for place, middle, spread in zip(places.tolist(), found.middle, found.spreads, strict=True):
        if spread is not None:
            ends = [y.at(spread.low), y.at(spread.high)]
            marks.append(line(place, ends[0], place, ends[1], _WHISKER))
            marks += [line(place - 5, each, place + 5, each, _WHISKER) for each in ends]
        marks.append(
            circle(place, y.at(float(middle)), 4.5, BETTER, said=f"hazard ratio {hazard_ratio(float(middle))}")
        )
    return picture("dependence", height=bottom + _BELOW, marks=marks)


def network_figure(pairs: Sequence[Interaction]) -> Picture:
    """Markers on a circle, joined where the model lets them depend on each other: the thicker, the stronger."""
    totals: dict[str, float] = {}
    for pair in pairs:
        for name in (pair.first, pair.second):
            totals[name] = totals.get(name, 0.0) + pair.strength
    # Every third beside each other, so that the strongest three stand a third of the circle apart.
    falling = sorted(totals, key=lambda name: -totals[name])
    names = falling[::3] + falling[1::3] + falling[2::3]
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    kinds = [kind for kind in _TOGETHER if any(pair.worse_together is kind for pair in pairs)]
    keys = [Key(said, Stroke(colour, dash, 4)) for colour, dash, said in (_TOGETHER[kind] for kind in kinds)]
    entries, high = legend(keys, left=24, top=0)
    middle_x, middle_y, radius = WIDTH / 2, high + 40 + _RADIUS, _RADIUS
    place = {
        name: (middle_x + radius * float(np.cos(angle)), middle_y - radius * float(np.sin(angle)))
        for name, angle in zip(names, angles, strict=True)
    }
    marks = list(entries)
    for pair in reversed(pairs):
        colour, dash, _ = _TOGETHER[pair.worse_together]
        stroke = Stroke(colour, dash, 1 + 7 * pair.strength / pairs[0].strength, 0.8)
        marks.append(line(*place[pair.first], *place[pair.second], stroke))
    for name, angle in zip(names, angles.tolist(), strict=True):
        x, y = place[name]
        marks.append(circle(x, y, 5.5, INK))
        side = float(np.cos(angle))
        anchor = "start" if side > _BESIDE else "end" if side < -_BESIDE else "middle"
        away = 12.0 if anchor == "start" else -12.0 if anchor == "end" else 0.0
        above_or_below = 5.0 if anchor != "middle" else -12.0 if np.sin(angle) > 0 else 22.0
        marks.append(text(x + away, y + above_or_below, label(capital(name)), anchor=anchor))
    return picture("interactions", height=middle_y + radius + 40, marks=marks)


_Scale = tuple[float, float, tuple[tuple[float, str], ...]]
"""Lowest and highest value of an axis, and its ticks."""


class _Rows:
    """One row for each name, at its left; a level axis below. Everything is laid out when it is made."""

    def __init__(self, names: Sequence[str], scale: _Scale, title: str) -> None:
        low, high, ticks = scale
        left = min(max(width_of(name) for name in names), _WIDEST_NAMES) + 16
        self.bottom = self.top(len(names)) + 6
        self.x = Axis(low, high, left, _RIGHT, ticks)
        self.marks: list[Markup] = across(self.x, top=self.top(0), bottom=self.bottom, title=title)
        self.marks += [text(left - 10, self.top(row) + 20, name, anchor="end") for row, name in enumerate(names)]

    def top(self, row: int) -> float:
        return 6 + _ROW * row

    def bar(self, row: int, begin: float, end: float, colour: str, told: str, *, before: bool) -> list[Markup]:
        """told: written before or after the bar."""
        left, right = sorted((self.x.at(begin), self.x.at(end)))
        height = self.top(row) + (_ROW - _BAR) / 2
        marks = [rectangle(left, height, max(right - left, 1.0), _BAR, {"fill": colour})]
        if told:
            place, anchor = (left - 5, "end") if before else (right + 5, "start")
            marks.append(text(place, height + 15, told, anchor=anchor))
        return marks


def _ratio_limits(low: float, high: float) -> _Scale:
    """Of log hazard ratios, with room on both sides; hazard ratios are written at the ticks."""
    room = max(0.16 * (high - low), 0.08)
    start, end = low - room, high + room
    inside = [ratio for ratio in _RATIOS if start <= np.log(ratio) <= end]
    if len(inside) > _MOST_TICKS:
        kept = {0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10, 20, 50, 100}
        inside = [ratio for ratio in inside if ratio in kept]
    if len(inside) < _FEWEST_TICKS:
        inside = [round(float(np.exp(each)), 2) for each in np.linspace(start, end, 5)]
    closest = _CLOSEST_TICKS * (end - start)
    spread: list[float] = [1.0] if 1 in inside else []
    for ratio in sorted(inside, key=lambda each: (each not in _LIKED, abs(np.log(each)))):
        if all(abs(np.log(ratio) - np.log(other)) >= closest for other in spread):
            spread.append(ratio)
    return start, end, tuple((float(np.log(ratio)), f"{ratio:g}") for ratio in sorted(spread))


def _rounds(low: float, high: float, values: FloatArray) -> tuple[tuple[float, str], ...]:
    """Whole numbers alone where the values are few whole numbers, such as stages."""
    whole = bool((values == values.round()).all()) and high - low <= _MOST_STAGES
    ticks = np.arange(math.ceil(low), high).tolist() if whole else round_ticks(low, high)
    return tuple((float(value), number(value)) for value in ticks)


def _decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
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
    return tuple((math.log10(value), number(value)) for value in inside)
