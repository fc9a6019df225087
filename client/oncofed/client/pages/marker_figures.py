"""Which picture shows what markers do: a patient's waterfall; the cohort's strongest, their course, their pairs?

The same promises as in `figures`. Hazard ratios are drawn on a logarithmic scale: equal lengths are equal factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.cohort_view import Dependence, MarkerStrength
from oncofed.client.pages.figures import BETTER, WORSE
from oncofed.client.pages.interaction_view import Interaction
from oncofed.client.pages.marker_rows import MarkerRow, Reason
from oncofed.explanation.training_noise import WITHIN_NOISE
from oncofed.picture.axes import Axis, Key, across, fitted, legend, round_ticks, upright
from oncofed.picture.drawing import (
    INK,
    QUIET,
    WIDTH,
    Picture,
    Stroke,
    circle,
    curve,
    line,
    picture,
    rectangle,
    text,
)
from oncofed.picture.rows import BELOW, WHISKER, Rows
from oncofed.picture.scales import Scale, decades, ratio_limits, whole_or_round
from oncofed.picture.waterfall import sums, waterfall
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import capital, shortened
from oncofed.words.numbers import hazard_ratio

FloatArray = NDArray[np.float64]

_TOGETHER = {
    True: ("#b34700", "solid", later("higher values together: worse than one by one")),
    False: ("#0b4f7a", "dash", later("higher values together: better than one by one")),
    None: ("#6b7480", "dot", later("depends on the category")),
}
_IN_A_WATERFALL = 12
_IN_A_BAR_CHART = 20
_LONGEST_LABEL = 44
_RIGHT = WIDTH - 24
_RADIUS = 180.0
_LABEL_PITCH = 20.0
"""From one name of the network to the next on its side, at least."""
_BAR_WIDTH, _BAR_HEIGHT, _PALE = 120.0, 14.0, 0.4


def label(name: str) -> str:
    """Cut where it would crowd out the picture."""
    return shortened(name, _LONGEST_LABEL)


class Contributions(Protocol):
    """markers  strongest first; together with those that are not shown they add up to `log_hazard_ratio`."""

    @property
    def markers(self) -> Sequence[MarkerRow]: ...

    @property
    def log_hazard_ratio(self) -> float: ...


def waterfall_figure(view: Contributions, *, say: Language = ENGLISH) -> Picture:
    """From the reference patient's hazard to this patient's, marker by marker; treatments apart, as one bar."""
    shown = [row for row in view.markers if not row.is_treatment][:_IN_A_WATERFALL]
    given = [row.log_hazard_ratio for row in view.markers if row.is_treatment]
    last = [(say("Treatments given"), sum(given))] if given else []
    rest = view.log_hazard_ratio - sum(row.log_hazard_ratio for row in shown) - sum(given)
    steps = [*(row.log_hazard_ratio for row in shown), rest, *(part for _, part in last)]
    ends = sums(steps)
    others, own = say("All other markers"), say("This patient")
    names = [*(label(_named(row)) for row in shown), others, *(name for name, _ in last), own]
    limits = ratio_limits(min(ends), max(ends), say=say)
    frame = Rows(names, limits, say("hazard ratio, against the reference patient"))
    marks = waterfall(
        frame,
        steps,
        worse=WORSE,
        better=BETTER,
        said=lambda part: f"\N{MULTIPLICATION SIGN}\N{THIN SPACE}{hazard_ratio(part, say=say)}",
        said_whole=lambda whole: f"HR {hazard_ratio(whole, say=say)}",
        whole=view.log_hazard_ratio,
    )
    return picture("contributions", height=frame.bottom + BELOW, marks=marks)


def reason_bar(reason: Reason, reasons: Sequence[Reason]) -> Picture:
    """To the right of the middle where it raises the hazard, pale where it may be noise; all on one scale."""
    most = max(1e-9, *(abs(each.log_hazard_ratio) for each in reasons))
    wide = _BAR_WIDTH / 2 * abs(reason.log_hazard_ratio) / most
    worse = reason.log_hazard_ratio > 0
    look: dict[str, str | float] = {"fill": WORSE if worse else BETTER}
    if reason.noise == WITHIN_NOISE:
        look["fill-opacity"] = _PALE
    middle = _BAR_WIDTH / 2
    bar = rectangle(middle if worse else middle - wide, 2, max(wide, 0.5), _BAR_HEIGHT - 4, look)
    axis = line(middle, 0, middle, _BAR_HEIGHT, Stroke(QUIET, width=1))
    return picture("reason", height=_BAR_HEIGHT, width=_BAR_WIDTH, marks=[bar, axis])


def _named(row: MarkerRow) -> str:
    value = f"{row.value} {row.unit}".strip()
    return capital(f"{row.label}: {value}" if value else row.label)


def strength_figure(markers: Sequence[MarkerStrength], *, say: Language = ENGLISH) -> Picture:
    """The strongest markers, as bars."""
    strongest = markers[:_IN_A_BAR_CHART]
    most = max(each.strength for each in strongest)
    ticks = tuple((value, say.figures(f"{value:g}")) for value in round_ticks(0.0, most))
    scale = (0.0, 1.06 * most, ticks)
    title = say("mean absolute contribution, log hazard ratio")
    frame = Rows([label(capital(each.label)) for each in strongest], scale, title)
    marks = list(frame.marks)
    for row, each in enumerate(strongest):
        marks += frame.bar(row, 0.0, each.strength, BETTER, "", before=False)
    return picture("strongest-markers", height=frame.bottom + BELOW, marks=marks)


def dependence_figure(found: Dependence, *, say: Language = ENGLISH) -> Picture:
    """Contribution against value: the middle, and where most patients of a bin lie, if that may be told."""
    ends = [0.0, *found.middle.tolist(), *(end for each in found.spreads if each for end in (each.low, each.high))]
    limits = ratio_limits(min(ends), max(ends), say=say)
    return _by_category(found, limits, say) if found.labels else _by_value(found, limits, say)


def _by_category(found: Dependence, limits: Scale, say: Language) -> Picture:
    frame = Rows([label(capital(each)) for each in found.labels], limits, say("hazard ratio"))
    marks = [*frame.marks, frame.zero()]
    for row in range(len(found.labels)):
        spread, middle = found.spreads[row], float(found.middle[row])
        if spread is not None:
            marks += frame.whisker(row, spread.low, spread.high)
        marks.append(frame.dot(row, middle, BETTER, said=_ratio_said(middle, say)))
    return picture("dependence", height=frame.bottom + BELOW, marks=marks)


def _ratio_said(log_hazard_ratio: float, say: Language) -> str:
    return say("hazard ratio %(ratio)s", ratio=hazard_ratio(log_hazard_ratio, say=say))


def _by_value(found: Dependence, limits: Scale, say: Language) -> Picture:
    low, high, ticks = limits
    top, bottom, left = 12.0, 332.0, 66.0
    values = np.log10(found.at) if found.logarithmic else found.at
    room = max(0.04 * float(np.ptp(values)), 1e-3)
    begin, end = float(values[0]) - room, float(values[-1]) + room
    ticks_across = decades(begin, end, say=say) if found.logarithmic else whole_or_round(begin, end, found.at, say=say)
    x = Axis(begin, end, left, _RIGHT, ticks_across)
    y = Axis(low, high, bottom, top, ticks)
    unit = f" [{found.unit}]" if found.unit else ""
    marks = across(x, top=top, bottom=bottom, title=capital(f"{found.label}{unit}"))
    marks += upright(y, left=left, right=_RIGHT, title=say("hazard ratio"))
    marks.append(line(left, y.at(0), _RIGHT, y.at(0), WHISKER))
    places = np.array([x.at(each) for each in values.tolist()])
    marks.append(curve(places, np.array([y.at(each) for each in found.middle.tolist()]), Stroke(BETTER, width=2)))
    for place, middle, spread in zip(places.tolist(), found.middle, found.spreads, strict=True):
        if spread is not None:
            ends = [y.at(spread.low), y.at(spread.high)]
            marks.append(line(place, ends[0], place, ends[1], WHISKER))
            marks += [line(place - 5, each, place + 5, each, WHISKER) for each in ends]
        marks.append(circle(place, y.at(float(middle)), 4.5, BETTER, said=_ratio_said(float(middle), say)))
    return picture("dependence", height=bottom + BELOW, marks=marks)


def network_figure(pairs: Sequence[Interaction], *, say: Language = ENGLISH) -> Picture:
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
    keys = [Key(say(said), Stroke(colour, dash, 4)) for colour, dash, said in (_TOGETHER[kind] for kind in kinds)]
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
    for right in (True, False):
        # A name stands at its side, level with its marker or as near to it as its neighbours leave room.
        here = [name for name in names if (place[name][0] >= middle_x) == right]
        members = sorted(here, key=lambda each: place[each][1])
        levels = apart([place[name][1] for name in members], _LABEL_PITCH)
        at = middle_x + (radius + 24 if right else -radius - 24)
        room = WIDTH / 2 - radius - 24 - 14
        for name, level in zip(members, levels, strict=True):
            x, y = place[name]
            marks.append(line(x, y, at, level, Stroke(QUIET, width=0.8)))
            marks.append(circle(x, y, 5.5, INK))
            beside, anchor = (6, "start") if right else (-6, "end")
            marks.append(text(at + beside, level + 5, fitted(capital(name), room), anchor=anchor))
    return picture("interactions", height=middle_y + radius + 40, marks=marks)


def apart(wanted: Sequence[float], pitch: float) -> list[float]:
    """Places in the order given, no two nearer than the pitch, and each as near to where it is wanted as that allows.

    Pool adjacent violators: of those that touch the middle is where their middle is wanted. wanted: rising.
    """
    blocks: list[tuple[float, int]] = []  # the sum of (wanted - place in the block), and how many
    for each in wanted:
        total, count = each, 1
        while blocks and blocks[-1][0] / blocks[-1][1] + blocks[-1][1] * pitch > total / count:
            before, many = blocks.pop()
            total, count = before + total - count * many * pitch, many + count
        blocks.append((total, count))
    return [total / count + place * pitch for total, count in blocks for place in range(count)]
