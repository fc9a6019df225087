"""Which picture belongs to a view? Drawn as SVG by `drawing`; curves here, bars, dots and networks in `marker_figures`.

Promises: colours differ in lightness and lines in their dashes, so that a picture can be read without seeing colours;
what a curve says at a time is told where the pointer rests; nothing is drawn where nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.client.pages.cause_words import told_shares
from oncofed.client.pages.group_outcome import GroupOutcome
from oncofed.client.pages.outcome_parts import told_times
from oncofed.client.pages.patient_view import PatientView
from oncofed.client.pages.recalibration import LEVEL
from oncofed.client.pages.what_if import WhatIf
from oncofed.client.pages.wording import DATIVE, range_words, time
from oncofed.cohort.schema import StudySchema
from oncofed.picture.axes import Axis, Key, across, legend, upright
from oncofed.picture.drawing import QUIET, WIDTH, Picture, Stroke, area, curve, picture, rectangle
from oncofed.survival.grid import TimeGrid
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import endpoint_label
from oncofed.words.names import capital
from oncofed.words.numbers import percent

FloatArray = NDArray[np.float64]

WORSE, BETTER = "#b34700", "#0b4f7a"
_PURPLE = "#6a3d9a"
_GROUPS = (Stroke("#0b4f7a", "solid", 2.4), Stroke("#6b7480", "dash", 2.4), Stroke("#b34700", "dot", 2.8))
_BAND, _GROUP_BAND = 0.16, 0.12
_LEFT, _MARGIN, _HEIGHT = 66.0, 24.0, 320.0
_BESIDE_WIDTH, _BESIDE_HEIGHT = 600.0, 200.0
"""Of a patient's curve, which stands beside the reasons."""
_BELOW = 58.0
_MOMENTS = 60
_HAVE_HAD_IT = later("Have had it")
_SHARES = tuple((share, f"{100 * share:.0f}\N{NO-BREAK SPACE}%") for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))


def survival_figure(view: PatientView, schema: StudySchema, *, say: Language = ENGLISH) -> Picture:
    """The patient's curve with its band, the released model's, and the similar patients' observed one."""
    grid, title = schema.grid, capital(endpoint_label(schema.endpoints[view.endpoint.number], say=say))
    course, similar = view.curve, None if view.similar is None else view.similar.outcome
    own, released, observed = Stroke(BETTER, "solid", 3), Stroke(QUIET, "dot", 2), Stroke(_PURPLE, "dash", 2)
    keys = [Key(say("this patient"), own)]
    if course.adjusted is not None:
        shade = Stroke(BETTER, width=0)
        keys.append(Key(say("%(level)s %% band of this hospital", level=f"{100 * LEVEL:.0f}"), shade, _BAND))
        keys.append(Key(say("model as released"), released))
    if similar is not None and similar.has_curve:
        keys.append(Key(say("observed: similar patients"), observed))
    frame = _Frame.under(keys, grid, title, say, width=_BESIDE_WIDTH, height=_BESIDE_HEIGHT)
    x, marks = frame.across(course.times), []
    if course.adjusted is not None:
        band = course.adjusted
        marks.append(area(x, frame.up(band.low), frame.up(band.high), BETTER, opacity=_BAND))
        marks.append(curve(x, frame.up(course.released), released))
    if similar is not None and similar.has_curve:
        marks.append(curve(frame.across(similar.times), frame.up(similar.survival), observed))
    marks.append(curve(x, frame.up(course.survival), own))
    return frame.picture("survival", [*marks, *frame.moments(grid, lambda moment: _said_of(view, moment, say))])


def _said_of(view: PatientView, moment: float, say: Language) -> list[str]:
    course, place = view.curve, int(abs(view.curve.times - moment).argmin())
    if moment < course.since:
        return []
    said = say("this patient %(share)s", share=percent(float(course.survival[place]), say=say))
    if course.adjusted is not None:
        limits = (percent(float(limit[place]), say=say) for limit in (course.adjusted.low, course.adjusted.high))
        said += say(" (band %(range)s)", range=range_words(*limits, say=say))
    lines = [said]
    share = None if view.similar is None else view.similar.outcome.at(moment)
    return lines if share is None else [*lines, say("similar patients %(share)s", share=percent(share, say=say))]


def incidence_figure(view: PatientView, schema: StudySchema, *, say: Language = ENGLISH) -> Picture:
    """How many have had what by each time, stacked: the endpoint at the bottom, with its limits, and on it the others.

    Dashed: of similar patients, who were observed to have had the endpoint.
    """
    found, similar = view.competing, None if view.similar is None else view.similar.outcome
    assert found is not None
    names = [endpoint_label(schema.endpoints[each], say=say) for each in found.causes]
    own, observed, limit = Stroke(WORSE, "solid", 3), Stroke(_PURPLE, "dash", 2), Stroke(WORSE, "dot", 1.5)
    fills = [(WORSE, 0.3), *((QUIET, opacity) for opacity in np.linspace(0.35, 0.15, len(names) - 1).tolist())]
    keys = [Key(names[0], own, fills[0][1])]
    keys += [Key.area(name, *fill) for name, fill in zip(names[1:], fills[1:], strict=True)]
    if found.low is not None:
        keys.append(Key(say("its %(level)s %% band", level=f"{100 * LEVEL:.0f}"), limit))
    if similar is not None and similar.has_curve:
        keys.append(Key(say("observed: similar patients"), observed))
    frame = _Frame.under(keys, schema.grid, say(_HAVE_HAD_IT), say, width=_BESIDE_WIDTH, height=_BESIDE_HEIGHT)
    x, tops = frame.across(found.times), np.cumsum(found.shares, axis=0)
    below = np.vstack([np.zeros(len(found.times)), tops[:-1]])
    marks = [
        area(x, frame.up(low), frame.up(high), colour, opacity=opacity)
        for low, high, (colour, opacity) in zip(below, tops, fills, strict=True)
    ]
    marks += [curve(x, frame.up(each), limit) for each in (found.low, found.high) if each is not None]
    if similar is not None and similar.has_curve:
        marks.append(curve(frame.across(similar.times), frame.up(1 - similar.survival), observed))
    marks.append(curve(x, frame.up(tops[0]), own))

    def said(moment: float) -> list[str]:
        told = [f"{name} {share}" for name, share in zip(names, told_shares(found, moment, say=say), strict=False)]
        share = None if similar is None else similar.at(moment)
        if share is None:
            return told
        seen = say("similar patients, %(event)s: %(share)s", event=names[0], share=percent(1 - share, say=say))
        return [*told, seen]

    return frame.picture("incidence", [*marks, *frame.moments(schema.grid, said)])


def what_if_figure(found: WhatIf, schema: StudySchema, *, say: Language = ENGLISH) -> Picture:
    """The patient's curve, and the one that other values would give; of what competes, who have had it by then.

    Which is which stands in the picture itself, for whoever sees it alone.
    """
    stacked = found.recorded.competing is not None
    drawn = (
        (say("as in the table"), found.recorded.curve, Stroke(BETTER, "solid", 3)),
        (say("what if: not the patient's values"), found.instead.curve, Stroke(WORSE, "dash", 3)),
    )
    named = endpoint_label(schema.endpoints[found.recorded.endpoint.number], say=say)
    title = say(_HAVE_HAD_IT) if stacked else capital(named)
    keys = [Key(name, stroke) for name, _, stroke in drawn]
    frame = _Frame.under(keys, schema.grid, title, say, width=_BESIDE_WIDTH, height=_BESIDE_HEIGHT)
    shares = {name: 1 - course.survival if stacked else course.survival for name, course, _ in drawn}
    marks = [curve(frame.across(course.times), frame.up(shares[name]), stroke) for name, course, stroke in drawn]
    times = found.recorded.curve.times

    def said(moment: float) -> list[str]:
        return [f"{name} {percent(float(np.interp(moment, times, share)), say=say)}" for name, share in shares.items()]

    return frame.picture("what-if", [*marks, *frame.moments(schema.grid, said)])


def groups_figure(groups: Sequence[GroupOutcome], grid: TimeGrid, *, endpoint: str, say: Language = ENGLISH) -> Picture:
    """Observed courses of risk groups, with their limits. endpoint: in words."""
    drawn = list(zip(groups, _GROUPS, strict=False))
    keys = [Key(say(group.name), stroke, _GROUP_BAND) for group, stroke in drawn]
    frame = _Frame.under(keys, grid, say("%(endpoint)s: without the event", endpoint=capital(endpoint)), say)
    marks = [
        area(
            frame.across(group.times),
            frame.up(group.low),
            frame.up(group.high),
            stroke.colour,
            opacity=_GROUP_BAND,
        )
        for group, stroke in drawn
    ]
    marks += [curve(frame.across(group.times), frame.up(group.survival), stroke) for group, stroke in drawn]

    def said(moment: float) -> list[str]:
        told = [(say(group.name), group.at(moment)) for group in groups]
        return [f"{name} {percent(share, say=say)}" for name, share in told if share is not None]

    return frame.picture("risk-groups", [*marks, *frame.moments(grid, said)])


@dataclass(frozen=True)
class _Frame:
    """Shares of patients against time, under a legend that may take several rows."""

    x: Axis
    y: Axis
    title: str
    unit: str
    keys: tuple[Markup, ...]
    width: float
    say: Language

    @staticmethod
    def under(
        keys: Sequence[Key], grid: TimeGrid, title: str, say: Language, *, width: float = WIDTH, height: float = _HEIGHT
    ) -> _Frame:
        entries, high = legend(keys, left=_LEFT, top=0, right=width)
        top, last = high + 8, grid.bounds[-1]
        x = Axis(
            0.0, last, _LEFT, width - _MARGIN, tuple((value, say.figures(f"{value:g}")) for value in told_times(grid))
        )
        return _Frame(x, Axis(0.0, 1.0, top + height, top, _SHARES), title, grid.unit, tuple(entries), width, say)

    def across(self, times: FloatArray) -> FloatArray:
        return np.array([self.x.at(each) for each in times.tolist()])

    def up(self, shares: FloatArray) -> FloatArray:
        return np.array([self.y.at(each) for each in shares.tolist()])

    def moments(self, grid: TimeGrid, said: Callable[[float], list[str]]) -> list[Markup]:
        """Unseen strips that tell what the curves say at their middle, the first and last at their edge."""
        middles = np.linspace(0.0, grid.bounds[-1], _MOMENTS + 1)
        edges = [0.0, *((middles[:-1] + middles[1:]) / 2).tolist(), grid.bounds[-1]]
        high, unseen = self.y.start - self.y.end, {"fill": "none", "pointer-events": "all"}
        marks = []
        for moment, (begin, end) in zip(middles.tolist(), pairwise(edges), strict=True):
            lines = said(moment)
            if lines:
                after = self.say("after %(when)s", when=time(moment, grid.unit, say=self.say, case=DATIVE))
                told = "\n".join([after, *lines])
                place = self.x.at(begin)
                marks.append(rectangle(place, self.y.end, self.x.at(end) - place, high, unseen, said=told))
        return marks

    def picture(self, name: str, marks: Sequence[Markup]) -> Picture:
        bottom, unit = self.y.start, capital(self.say(self.unit))
        frame = [
            *self.keys,
            *across(
                self.x,
                top=self.y.end,
                bottom=bottom,
                title=self.say("%(unit)s since time zero", unit=unit),
            ),
            *upright(self.y, left=_LEFT, right=self.x.end, title=self.title),
        ]
        return picture(name, height=bottom + _BELOW, marks=[*frame, *marks], width=self.width)
