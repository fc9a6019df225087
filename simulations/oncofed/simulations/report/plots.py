"""How do a run's cohorts, rounds and measures look?

Each function draws one figure of the report as inline SVG. What cannot be drawn is None, and the page says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from oncofed.picture import calibration as calibration_drawing
from oncofed.picture import survival as survival_drawing
from oncofed.picture.axes import Axis, Key, across, counts, fitted, legend, shares, to_limits, upright, width_of
from oncofed.picture.courses import Course, courses_picture
from oncofed.picture.drawing import (
    BLUE,
    FAINT,
    GREY,
    ORANGE,
    QUIET,
    REPORT_WIDTH,
    SKY,
    VERMILLION,
    Stroke,
    area,
    circle,
    line,
    polygon,
    rectangle,
    report_picture,
    text,
)
from oncofed.picture.rows import BELOW, Rows
from oncofed.simulations.report.cohorts import CohortRow
from oncofed.simulations.report.risk_groups import RiskGroup
from oncofed.simulations.results import Baselines, EndpointResult
from oncofed.survival.calibration import Calibration
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import capital, plain_name, shortened
from oncofed.words.numbers import NOT_COMPUTED, decimals, percent, plainly, whole

NAMED_SITES = 40
"""Up to so many hospitals each have a named row; beyond, only their distribution is drawn."""
LONGEST_NAME = 34

GROUP_COLOURS = {"low": BLUE, "middle": ORANGE, "high": VERMILLION}


_PITCH, _RIGHT, _LEGEND_LEFT, _WIDEST_SITE = 25.0, REPORT_WIDTH - 24, 8.0, 310.0
_LEAST_ROOM = 0.005
"""Of a C-index: where all are the same but for rounding, the axis still has different numbers."""
_SIZES_END, _MISSING_BEGIN, _PALE = 660.0, 700.0, 0.55


def cohorts_picture(rows: Sequence[CohortRow], *, say: Language = ENGLISH) -> Markup:
    """Patients and events of each hospital, and how much was not measured."""
    most, fewest = max(row.patients for row in rows), min(row.patients for row in rows)
    alternative = say.several(
        "Bars: patients and events of %(count)s hospital, from %(fewest)s to %(most)s patients; beside them the share "
        "of marker values that are missing.",
        "Bars: patients and events of %(count)s hospitals, from %(fewest)s to %(most)s patients; beside them the share "
        "of marker values that are missing.",
        len(rows),
        fewest=whole(fewest, say=say),
        most=whole(most, say=say),
    )
    return (_named_cohorts if len(rows) <= NAMED_SITES else _unnamed_cohorts)(rows, alternative, say)


def _missing_axis(rows: Sequence[CohortRow], say: Language) -> Axis:
    most = max(0.05, 1.15 * float(np.nanmax([0.0, *(row.share_missing for row in rows)])))
    return Axis(0.0, most, _MISSING_BEGIN, _RIGHT, shares(0.0, most, about=4, say=say))


def _named_cohorts(rows: Sequence[CohortRow], alternative: str, say: Language) -> Markup:
    keys = [Key.area(say("with the event"), BLUE), Key.area(say("without the event"), SKY, _PALE)]
    entries, above = legend(keys, left=_LEGEND_LEFT, top=0, right=REPORT_WIDTH)
    most = 1.02 * max(1, *(row.patients for row in rows))
    frame = Rows(
        [shortened(plain_name(row.name), LONGEST_NAME) for row in rows],
        (0.0, most, counts(most, say=say)),
        say("patients"),
        right=_SIZES_END,
        pitch=_PITCH,
        above=above + 4,
    )
    missing = _missing_axis(rows, say)
    marks = [*entries, *frame.marks]
    marks += across(missing, top=frame.top(0), bottom=frame.bottom, title=say("marker values missing"))
    for place, row in enumerate(rows):
        begin, with_event, end = (frame.x.at(each) for each in (0, row.events, row.patients))
        top, high = frame.middle(place) - _PITCH / 3, _PITCH * 2 / 3
        pale: dict[str, str | float] = {"fill": SKY, "fill-opacity": _PALE}
        marks.append(rectangle(begin, top, with_event - begin, high, {"fill": BLUE}))
        marks.append(rectangle(with_event, top, end - with_event, high, pale))
        if not np.isnan(row.share_missing):
            marks.append(circle(missing.at(row.share_missing), frame.middle(place), 4.5, GREY))
    return report_picture(height=frame.bottom + BELOW, marks=marks, alternative=alternative)


def _unnamed_cohorts(rows: Sequence[CohortRow], alternative: str, say: Language) -> Markup:
    keys = [Key.area(say("patients"), SKY, _PALE), Key.area(say("of these with the event"), BLUE)]
    entries, above = legend(keys, left=_LEGEND_LEFT, top=0, right=REPORT_WIDTH)
    top, bottom, left = above + 8, above + 218, 78.0
    largest_first = sorted(rows, key=lambda row: -row.patients)
    most = 1.02 * max(1, *(row.patients for row in rows))
    x = Axis(0.0, float(len(rows)), left, _SIZES_END - 60, ())
    y = Axis(0.0, most, bottom, top, counts(most, about=5, say=say))
    marks = [*entries, *across(x, top=top, bottom=bottom, title=say("hospitals, largest first"))]
    marks += upright(y, left=left, right=x.end, title=say("patients"))
    edges = np.array([x.at(place) for place in range(len(rows) + 1)])
    for values, colour, opacity in (
        ([row.patients for row in largest_first], SKY, _PALE),
        ([row.events for row in largest_first], BLUE, 1.0),
    ):
        high = np.array([y.at(value) for value in [*values, values[-1]]])
        marks.append(area(edges, np.full(len(edges), bottom), high, colour, opacity=opacity, step=True))
    missing = _missing_axis(rows, say)
    known = [row.share_missing for row in rows if row.patients]
    found, bins = np.histogram(known, bins=20, range=(0.0, missing.high))
    z = Axis(0.0, 1.05 * max(1.0, float(found.max())), bottom, top, counts(float(found.max()), about=5, say=say))
    marks += across(missing, top=top, bottom=bottom, title=say("marker values missing"))
    marks += upright(z, left=_MISSING_BEGIN, right=_RIGHT, title=say("hospitals"), title_at=_MISSING_BEGIN - 44)
    for number, begin, end in zip(found.tolist(), bins[:-1].tolist(), bins[1:].tolist(), strict=True):
        if number:
            wide = missing.at(end) - missing.at(begin)
            marks.append(rectangle(missing.at(begin), z.at(number), wide, bottom - z.at(number), {"fill": GREY}))
    return report_picture(height=bottom + BELOW, marks=marks, alternative=alternative)


def training_picture(rounds: pd.DataFrame, *, measured_on: str, say: Language = ENGLISH) -> Markup | None:
    """C-index and length of the update, round by round."""
    if rounds.empty:
        return None
    c_index = rounds["test_c_index"].to_numpy(dtype=np.float64)
    update = rounds["update_l2_norm"].to_numpy(dtype=np.float64)
    alternative = say.several(
        "Two curves over %(count)s round: the C-index on %(measured_on)s goes from %(first)s to %(last)s, and the "
        "length of the update from %(first_update)s to %(last_update)s.",
        "Two curves over %(count)s rounds: the C-index on %(measured_on)s goes from %(first)s to %(last)s, and the "
        "length of the update from %(first_update)s to %(last_update)s.",
        len(rounds),
        measured_on=measured_on,
        first=decimals(float(c_index[0]), say=say),
        last=decimals(float(c_index[-1]), say=say),
        first_update=decimals(float(update[0]), say=say),
        last_update=decimals(float(update[-1]), say=say),
    )

    places = rounds["round"].to_numpy(dtype=np.int64) - 1
    last = int(places.max()) + 1
    watched, moved = np.full(last, np.nan), np.full(last, np.nan)
    watched[places], moved[places] = c_index, update
    courses = (
        Course(say("C-index on %(measured_on)s", measured_on=measured_on), watched, BLUE, chance=(0.5, say("chance"))),
        Course(say("Length of the update (L2 norm)"), moved, VERMILLION, low=0.0),
    )
    return courses_picture(courses, rounds=last, alternative=alternative, say=say)


def comparison_picture(
    main: EndpointResult,
    baselines: Baselines,
    *,
    sites: Sequence[str],
    patients: Sequence[int],
    say: Language = ENGLISH,
) -> Markup:
    """The federation with its interval against pooled data and each hospital alone."""
    alone = np.array(baselines.local_only, dtype=np.float64)
    interval = main.c_index_ci95
    alternative = say(
        "C-index: federated %(federated)s with 95 %% interval %(low)s to %(high)s; pooled ridge Cox %(pooled)s; each "
        "hospital alone, mean %(alone)s.",
        federated=decimals(main.c_index, say=say),
        low=decimals(interval.low, say=say),
        high=decimals(interval.high, say=say),
        pooled=decimals(baselines.pooled_ridge_cox, say=say),
        alone=decimals(baselines.local_only_mean, say=say),
    )
    named = len(sites) <= NAMED_SITES
    order = np.argsort(-alone, kind="stable").tolist() if named else []  # NaN comes last
    known = alone[~np.isnan(alone)]
    crowd = 0 if named else 5
    names = [say("Federated"), say("Pooled ridge Cox")]
    for each in order:
        count = f"  ({whole(patients[each], say=say)})"
        name = fitted(shortened(plain_name(sites[each]), LONGEST_NAME), _WIDEST_SITE - width_of(count))
        names.append(f"{name}{count}")
    if crowd:
        low, high = (float(each) for each in ((known.min(), known.max()) if len(known) else (np.nan, np.nan)))
        hospitals = say("%(count)s hospitals alone", count=whole(len(alone), say=say))
        ends_of = say("%(low)s to %(high)s", low=decimals(low, 2, say=say), high=decimals(high, 2, say=say))
        names += ["", hospitals, ends_of, "", ""]
    lines = _lines(main, baselines, say)
    ends = [*known.tolist(), *(value for value, _ in lines)]
    ends += [each for each in (interval.low, interval.high) if not np.isnan(each)]
    begin, end = min(ends, default=0.5), max(ends, default=1.0)
    room = max(0.06 * (end - begin), _LEAST_ROOM)
    shade = [] if np.isnan(interval.low) else [Key.area(say("95 % interval, federated"), BLUE, 0.13)]
    entries, above = legend([*shade, *(key for _, key in lines)], left=_LEGEND_LEFT, top=0, right=REPORT_WIDTH)
    frame = Rows(
        names,
        (begin - room, end + room, to_limits(begin - room, end + room, say=say)),
        say("C-index (0.5 is chance, 1 is a perfect order)"),
        right=_RIGHT,
        pitch=_PITCH,
        above=above + 4,
    )
    x, top, bottom = frame.x, frame.top(0), frame.bottom
    marks = [*entries]
    if shade:
        at = x.at(interval.low)
        faint: dict[str, str | float] = {"fill": BLUE, "fill-opacity": 0.13}
        marks.append(rectangle(at, top, x.at(interval.high) - at, bottom - top, faint))
    marks += [*frame.marks, line(x.start, frame.top(2), x.end, frame.top(2), Stroke(FAINT, width=1))]
    marks += [line(x.at(value), top, x.at(value), bottom, key.stroke) for value, key in lines]
    if shade:
        marks += frame.whisker(0, interval.low, interval.high, Stroke(BLUE, width=2))
    if not np.isnan(main.c_index):
        marks.append(frame.dot(0, main.c_index, BLUE, radius=6))
    if not np.isnan(baselines.pooled_ridge_cox):
        at, middle = x.at(baselines.pooled_ridge_cox), frame.middle(1)
        marks.append(polygon(((at, middle - 6), (at + 6, middle), (at, middle + 6), (at - 6, middle)), VERMILLION))
    for row, each in enumerate(order, start=2):
        if np.isnan(alone[each]):
            place = (x.start + x.end) / 2
            marks.append(text(place, frame.middle(row) + 5, say(NOT_COMPUTED), anchor="middle", colour=QUIET))
        else:
            marks.append(frame.dot(row, float(alone[each]), GREY))
    if crowd:
        room, spread = crowd * _PITCH - 16, (np.arange(len(alone)) * 0.618034) % 1.0  # always the same
        for value, height in zip(alone.tolist(), spread.tolist(), strict=True):
            if not np.isnan(value):
                marks.append(circle(x.at(value), frame.top(2) + 8 + height * room, 3, GREY, opacity=0.45))
    return report_picture(height=bottom + BELOW, marks=marks, alternative=alternative)


def _lines(main: EndpointResult, baselines: Baselines, say: Language) -> list[tuple[float, Key]]:
    """Level with every row, what hospitals are compared with: those that are known."""
    found = (
        (main.c_index, Key(say("federated"), Stroke(BLUE, width=1.2))),
        (baselines.pooled_ridge_cox, Key(say("pooled"), Stroke(VERMILLION, "dash", 1.2))),
        (baselines.local_only_mean, Key(say("mean of hospitals alone"), Stroke(GREY, "dot", 1.6))),
    )
    return [(value, key) for value, key in found if not np.isnan(value)]


def survival_picture(
    groups: Sequence[RiskGroup],
    *,
    times: np.ndarray[tuple[int], np.dtype[np.float64]],
    unit: str,
    endpoint: str,
    say: Language = ENGLISH,
) -> Markup | None:
    """Kaplan-Meier with 95 % bands, the mean predicted curve dashed, and numbers at risk beneath."""
    if not groups or not len(times):
        return None
    end = float(times[-1])
    ticks = np.array(survival_drawing.time_ticks(end))
    spans = {"end": f"{end:.0f}", "half": f"{end / 2:.0f}", "unit": say(unit), "after": say(unit, context="dative")}
    alternative = (
        say.several(
            "Survival curves over %(end)s %(unit)s for %(count)s group of predicted risk.",
            "Survival curves over %(end)s %(unit)s for %(count)s groups of predicted risk.",
            len(groups),
            **spans,
        )
        + " "
        + " ".join(
            say(
                "%(group)s risk, free of the event after %(half)s %(after)s: %(share)s.",
                group=capital(say(group.name, context="risk")),
                share=percent(float(group.observed.at(np.array([end / 2]))[0]), say=say),
                **spans,
            )
            for group in groups
        )
    )

    drawn = [
        survival_drawing.Group(
            name=say(group.name, context="risk"),
            colour=GROUP_COLOURS[group.name],
            steps=group.observed.times,
            survival=group.observed.survival,
            low=group.observed.low,
            high=group.observed.high,
            predicted_at=np.concatenate(([0.0], times)),
            predicted=np.concatenate(([1.0], group.predicted)),
            at_risk=group.at_risk(ticks),
        )
        for group in groups
    ]
    return survival_drawing.survival_picture(
        drawn, end=end, unit=say(unit), alternative=f"{endpoint}. {alternative}", say=say
    )


def calibration_picture(
    calibration: Calibration,
    risk: np.ndarray[tuple[int], np.dtype[np.float64]],
    *,
    unit: str,
    say: Language = ENGLISH,
) -> Markup | None:
    """Observed against predicted risk, and how many patients were told which risk."""
    known = [group for group in calibration.groups if not np.isnan(group.observed)]
    if not known:
        return None
    predicted = np.array([group.predicted for group in known])
    observed = np.array([group.observed for group in known])
    # Where nobody or everybody had the event there is no interval, so only the dot is drawn.
    above = np.array([0.0 if np.isnan(group.high) else group.high - group.observed for group in known])
    top = min(1.0, 1.08 * float(max((observed + above).max(), predicted.max())))
    at = {"horizon": plainly(calibration.horizon, say=say), "unit": say(unit)}
    alternative = (
        say(
            "Observed against predicted risk by %(horizon)s %(unit)s in %(count)s groups:",
            count=whole(len(known), say=say),
            **at,
        )
        + " "
        + "; ".join(
            say(
                "predicted %(predicted)s, observed %(observed)s",
                predicted=percent(p, say=say),
                observed=percent(o, say=say),
            )
            for p, o in zip(predicted, observed, strict=True)
        )
        + "."
    )

    points = [calibration_drawing.Point(group.predicted, group.observed, group.low, group.high) for group in known]
    by = say("by %(horizon)s %(unit)s", **at)
    return calibration_drawing.calibration_picture(points, risk, top=top, risk_by=by, alternative=alternative, say=say)
