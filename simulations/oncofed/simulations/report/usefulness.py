"""Are early and late events told apart alike, and would it do good to treat by the risks that are told?

Pictures and rows of the report for `AucOverTime` and `DecisionCurve`. What cannot be drawn is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.picture.axes import Axis, Key, across, legend, shares, to_limits, upright
from oncofed.picture.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, Stroke, area, circle, curve, line
from oncofed.picture.drawing import report_picture as whole_picture
from oncofed.picture.rows import BELOW
from oncofed.picture.survival import time_ticks
from oncofed.simulations.results import Compared, RunResult
from oncofed.survival.auc_over_time import AucOverTime
from oncofed.survival.decision_curve import Benefit, DecisionCurve
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import plain_name, shortened
from oncofed.words.numbers import decimals, percent, plainly

FloatArray = NDArray[np.float64]

SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Of the thresholds: those with a row of a table."""

_WIDTH, _LEFT, _RIGHT, _HIGH, _BAND = 520.0, 78.0, 500.0, 300.0, 0.16
_SCORES = (Stroke(ORANGE, "dash"), Stroke(GREEN, "dot"), Stroke(PURPLE, "dash"), Stroke(VERMILLION, "dot"))
_LONGEST_NAME = 26
_BELOW_NOTHING = 0.25
"""How far below treating nobody the picture goes, as a share of the most that anything gains."""


def usefulness(result: RunResult, *, say: Language = ENGLISH) -> dict[str, object]:
    """What the section of the report shows of the first endpoint."""
    main, unit = result.main, result.test.schema.grid.unit
    return {
        "auc_figure": auc_picture(main.auc, unit=unit, say=say),
        "decision_figure": decision_picture(main.decisions, result.compared.get(main.name, ()), unit=unit, say=say),
        "benefit_rows": () if main.decisions is None else benefit_rows(main.decisions),
    }


@dataclass(frozen=True)
class BenefitRow:
    """One threshold. above: of the network, less treating all. Tuples are (value, low, high)."""

    threshold: float
    treated: float
    model: tuple[float, float, float]
    everybody: float
    above: tuple[float, float, float]

    @property
    def better_than_both(self) -> bool:
        """By both intervals: than treating all, and than treating nobody."""
        return self.model[1] > 0 and self.above[1] > 0


def benefit_rows(found: DecisionCurve) -> tuple[BenefitRow, ...]:
    """At the thresholds that are shown, of whom anybody is treated."""
    return tuple(
        BenefitRow(
            threshold,
            float(found.treated[place]),
            _triple(found.model, place),
            float(found.everybody.value[place]),
            _triple(found.above_everybody, place),
        )
        for place, threshold in enumerate(found.thresholds.tolist())
        if threshold in SHOWN and found.treated[place] > 0
    )


def _triple(found: Benefit, place: int) -> tuple[float, float, float]:
    return float(found.value[place]), float(found.low[place]), float(found.high[place])


def auc_picture(found: AucOverTime | None, *, unit: str, say: Language = ENGLISH) -> Markup | None:
    """The area at each time with its interval."""
    if found is None or np.isnan(found.auc).all():
        return None
    ends = np.concatenate((found.auc, found.low, found.high))
    low = min(0.5, float(np.nanmin(ends))) - 0.02
    high = min(1.0, float(np.nanmax(ends)) + 0.03)
    keys = [Key(say("95 % interval"), Stroke(BLUE), _BAND, dot=True), Key(say("chance"), Stroke(GREY, "dot", 1.2))]
    entries, top = legend(keys, left=_LEFT, top=0, right=_WIDTH)
    top += 8
    bottom = top + _HIGH
    end = float(found.times[-1])
    x = Axis(0.0, end, _LEFT, _RIGHT, tuple((each, plainly(each, say=say)) for each in time_ticks(end)))
    y = Axis(low, high, bottom, top, to_limits(low, high, say=say))
    marks = [*entries, *across(x, top=top, bottom=bottom, title=say(unit))]
    marks += upright(y, left=_LEFT, right=_RIGHT, title=say("area under the curve"))
    marks.append(line(x.start, y.at(0.5), x.end, y.at(0.5), Stroke(GREY, "dot", 1.2)))
    at, value = _places(x, found.times), _places(y, found.auc)
    marks.append(area(at, _places(y, found.low), _places(y, found.high), BLUE, opacity=_BAND))
    marks.append(curve(at, value, Stroke(BLUE)))
    known = ~np.isnan(value)
    marks += [circle(*place, 4, BLUE) for place in zip(at[known].tolist(), value[known].tolist(), strict=True)]
    over = say("Area under the curve over %(end)s %(unit)s:", end=plainly(end, say=say), unit=say(unit))
    alternative = f"{over} " + "; ".join(
        say("by %(time)s, %(value)s", time=f"{time:.0f}", value=decimals(each, say=say))
        for time, each in zip(found.times.tolist(), found.auc.tolist(), strict=True)
        if not np.isnan(each)
    )
    return whole_picture(height=bottom + BELOW, width=_WIDTH, marks=marks, alternative=f"{alternative}.")


def decision_picture(
    found: DecisionCurve | None, compared: Sequence[Compared], *, unit: str, say: Language = ENGLISH
) -> Markup | None:
    """The network with its interval, treating all, treating nobody, and treating by each score."""
    if found is None or np.isnan(found.model.value).all():
        return None
    scores = list(zip(compared, _SCORES, strict=False))
    gained = [found.model.value, found.model.high, found.everybody.value]
    most = max(0.01, float(np.nanmax(np.concatenate([*gained, *(each.decisions.model.value for each, _ in scores)]))))
    low, high = -_BELOW_NOTHING * most, 1.05 * most
    keys = [
        Key(say("by the network, 95 % interval"), Stroke(BLUE), _BAND),
        Key(say("all", context="patients"), Stroke(GREY, width=1.4)),
        Key(say("nobody"), Stroke(GREY, "dot", 1.6)),
        *(Key(shortened(plain_name(each.name), _LONGEST_NAME), stroke) for each, stroke in scores),
    ]
    entries, top = legend(keys, left=_LEFT, top=0, right=_WIDTH)
    top += 8
    bottom = top + _HIGH
    x = Axis(0.0, 1.0, _LEFT, _RIGHT, shares(0.0, 1.0, say=say))
    y = Axis(low, high, bottom, top, to_limits(low, high, say=say))
    at_horizon = {"horizon": plainly(found.horizon, say=say), "unit": say(unit)}
    title = say("treat from this risk by %(horizon)s %(unit)s on", **at_horizon)
    marks = [*entries, *across(x, top=top, bottom=bottom, title=title)]
    marks += upright(y, left=_LEFT, right=_RIGHT, title=say("net benefit"))
    at = _places(x, found.thresholds)

    def drawn(values: FloatArray) -> FloatArray:
        """In the picture; what is below it ends at its edge."""
        return _places(y, np.maximum(values, low))

    marks.append(area(at, drawn(found.model.low), drawn(found.model.high), BLUE, opacity=_BAND))
    marks.append(line(x.start, y.at(0.0), x.end, y.at(0.0), Stroke(GREY, "dot", 1.6)))
    marks.append(curve(at, drawn(_inside(found.everybody.value, low)), Stroke(GREY, width=1.4)))
    marks += [curve(at, drawn(_inside(each.decisions.model.value, low)), stroke) for each, stroke in scores]
    marks.append(curve(at, drawn(_inside(found.model.value, low)), Stroke(BLUE, width=2.4)))
    alternative = (
        say("Net benefit at %(horizon)s %(unit)s by threshold of risk:", **at_horizon)
        + " "
        + "; ".join(
            say(
                "%(threshold)s: by the network %(network)s, all %(everybody)s",
                threshold=percent(row.threshold, say=say),
                network=decimals(row.model[0], say=say),
                everybody=decimals(row.everybody, say=say),
            )
            for row in benefit_rows(found)
        )
    )
    return whole_picture(height=bottom + BELOW, width=_WIDTH, marks=marks, alternative=f"{alternative}.")


def _inside(values: FloatArray, low: float) -> FloatArray:
    """Up to the first value below the picture, which is drawn at its edge; then nothing."""
    below = np.flatnonzero(values < low)
    kept = values.copy()
    if len(below):
        kept[below[0] + 1 :] = np.nan
    return kept


def _places(axis: Axis, values: FloatArray) -> FloatArray:
    return np.array([axis.at(value) for value in values.tolist()])
