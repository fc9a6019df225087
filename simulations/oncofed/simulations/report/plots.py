"""How do a run's cohorts, rounds and measures look?

Each function draws one figure of the report as inline SVG. What cannot be drawn is None, and the page says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from oncofed.server.report.svg import (
    BLUE,
    FAINT,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    picture,
    without_frame,
)
from oncofed.simulations.report.cohorts import CohortRow
from oncofed.simulations.report.risk_groups import RiskGroup
from oncofed.simulations.results import Baselines, EndpointResult
from oncofed.survival.calibration import Calibration
from oncofed.words.names import plain_name, shortened
from oncofed.words.numbers import counted, decimals, percent, whole

NAMED_SITES = 40
"""Up to so many hospitals each have a named row; beyond, only their distribution is drawn."""
LONGEST_NAME = 34

GROUP_COLOURS = {"low": BLUE, "middle": ORANGE, "high": VERMILLION}


def _per_cent() -> PercentFormatter:
    return PercentFormatter(1.0, decimals=0, symbol="\N{NO-BREAK SPACE}%")


def cohorts_picture(rows: Sequence[CohortRow]) -> Markup:
    """Patients and events of each hospital, and how much was not measured."""
    most, fewest = max(row.patients for row in rows), min(row.patients for row in rows)
    alternative = (
        f"Bars: patients and events of {counted(len(rows), 'hospital', 'hospitals')}, "
        f"from {whole(fewest)} to {whole(most)} patients; beside them the share of marker values that are missing."
    )
    named = len(rows) <= NAMED_SITES
    height = 0.9 + 0.235 * len(rows) if named else 2.8

    def paint(figure: Figure) -> None:
        if named:
            sizes, missing = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1.4))
            _named_cohorts(sizes, missing, rows)
        else:
            sizes, missing = figure.subplots(1, 2, width_ratios=(3, 1.4))
            _unnamed_cohorts(sizes, missing, rows)
        handles, labels = sizes.get_legend_handles_labels()
        sizes.legend(handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, borderaxespad=0.1)

    return picture(paint, name="cohorts", alternative=alternative, height_inches=height)


def _named_cohorts(sizes: Axes, missing: Axes, rows: Sequence[CohortRow]) -> None:
    places = np.arange(len(rows))
    events = np.array([row.events for row in rows])
    patients = np.array([row.patients for row in rows])
    sizes.barh(places, events, color=BLUE, height=0.68, label="with the event")
    sizes.barh(places, patients - events, left=events, color=SKY, alpha=0.55, height=0.68, label="without the event")
    sizes.set_yticks(places, [shortened(plain_name(row.name), LONGEST_NAME) for row in rows])
    sizes.set_xlabel("patients")
    sizes.invert_yaxis()
    without_frame(sizes, grid="x")
    missing.plot([row.share_missing for row in rows], places, "o", color=GREY, markersize=5)
    missing.set_xlabel("marker values missing")
    missing.set_xlim(0, max(0.05, 1.15 * float(np.nanmax([0.0, *(row.share_missing for row in rows)]))))
    missing.xaxis.set_major_formatter(_per_cent())
    missing.xaxis.set_major_locator(MaxNLocator(4))
    without_frame(missing, grid="x")
    missing.grid(visible=True, axis="y")
    missing.tick_params(labelleft=False)


def _unnamed_cohorts(sizes: Axes, missing: Axes, rows: Sequence[CohortRow]) -> None:
    largest_first = sorted(rows, key=lambda row: -row.patients)
    places = np.arange(len(rows)) + 0.5
    sizes.fill_between(
        places,
        [row.patients for row in largest_first],
        step="mid",
        color=SKY,
        alpha=0.55,
        linewidth=0,
        label="patients",
    )
    sizes.fill_between(
        places,
        [row.events for row in largest_first],
        step="mid",
        color=BLUE,
        linewidth=0,
        label="of these with the event",
    )
    sizes.set(xlabel="hospitals, largest first", ylabel="patients", xlim=(0, len(rows)), ylim=(0, None))
    missing.hist([row.share_missing for row in rows if row.patients], bins=20, color=GREY)
    missing.set(xlabel="marker values missing", ylabel="hospitals")
    missing.xaxis.set_major_formatter(_per_cent())
    missing.xaxis.set_major_locator(MaxNLocator(4))


def training_picture(rounds: pd.DataFrame, *, measured_on: str) -> Markup | None:
    """C-index and length of the update, round by round."""
    if rounds.empty:
        return None
    number = rounds["round"].to_numpy(dtype=np.float64)
    c_index = rounds["test_c_index"].to_numpy(dtype=np.float64)
    update = rounds["update_l2_norm"].to_numpy(dtype=np.float64)
    alternative = (
        f"Two curves over {counted(len(rounds), 'round', 'rounds')}: the C-index on {measured_on} goes from "
        f"{decimals(float(c_index[0]))} to {decimals(float(c_index[-1]))}, and the length of the update from "
        f"{decimals(float(update[0]))} to {decimals(float(update[-1]))}."
    )

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        marker = "o" if len(rounds) < 3 else ""
        left.plot(number, c_index, color=BLUE, marker=marker)
        left.axhline(0.5, color=GREY, linewidth=0.9, linestyle=":")
        left.text(1.0, 0.5, "chance ", color=GREY, ha="right", va="bottom", transform=left.get_yaxis_transform())
        left.set(title=f"C-index on {measured_on}", xlabel="round")
        right.plot(number, update, color=VERMILLION, marker=marker)
        right.set(title="Length of the update (L2 norm)", xlabel="round", ylim=(0, None))
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))

    return picture(paint, name="training", alternative=alternative, height_inches=2.7)


def comparison_picture(
    main: EndpointResult, baselines: Baselines, *, sites: Sequence[str], patients: Sequence[int]
) -> Markup:
    """The federation with its interval against pooled data and each hospital alone."""
    alone = np.array(baselines.local_only, dtype=np.float64)
    interval = main.c_index_ci95
    alternative = (
        f"C-index: federated {decimals(main.c_index)} with 95 % interval {decimals(interval.low)} to "
        f"{decimals(interval.high)}; pooled ridge Cox {decimals(baselines.pooled_ridge_cox)}; each hospital alone, "
        f"mean {decimals(baselines.local_only_mean)}."
    )
    named = len(sites) <= NAMED_SITES
    rows = len(sites) if named else 5

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _reference_lines(axes, main, baselines)
        if named:
            order = np.argsort(-alone, kind="stable")  # NaN comes last
            places = np.arange(len(order)) + 2.0
            for place, index in zip(places, order, strict=True):
                if np.isnan(alone[index]):
                    middle = axes.get_yaxis_transform()
                    axes.text(0.5, place, "not computed", color=GREY, ha="center", va="center", transform=middle)
            axes.plot(alone[order], places, "o", color=GREY, markersize=6)
            names = [
                f"{shortened(plain_name(sites[index]), LONGEST_NAME)}  ({whole(patients[index])})" for index in order
            ]
        else:
            known = alone[~np.isnan(alone)]
            low, high = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
            spread = 0.15 + 3.7 * ((np.arange(len(alone)) * 0.618034) % 1.0)  # evenly spread, and always the same
            axes.plot(alone, 2.0 + spread, "o", color=GREY, alpha=0.45, markersize=3.5, markeredgewidth=0)
            places = np.array([4.0])
            names = [f"{len(alone):,} hospitals alone\n{decimals(float(low), 2)} to {decimals(float(high), 2)}"]
        axes.set_yticks([0.0, 1.0, *places], ["Federated", "Pooled ridge Cox", *names])
        axes.set_ylim(rows + 1.6, -0.6)
        axes.set_xlabel("C-index (0.5 is chance, 1 is a perfect order)")
        without_frame(axes, grid="x")
        axes.axhline(1.5, color=FAINT, linewidth=0.8)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, borderaxespad=0.1)

    return picture(paint, name="comparison", alternative=alternative, height_inches=1.0 + 0.235 * (rows + 2))


def _reference_lines(axes: Axes, main: EndpointResult, baselines: Baselines) -> None:
    interval = main.c_index_ci95
    if not np.isnan(interval.low):
        axes.axvspan(interval.low, interval.high, color=BLUE, alpha=0.13, linewidth=0, label="95 % interval, federated")
        axes.plot([interval.low, interval.high], [0, 0], color=BLUE, linewidth=2)
    axes.axvline(main.c_index, color=BLUE, linewidth=0.9)
    axes.plot([main.c_index], [0], "o", color=BLUE, markersize=8)
    pooled = baselines.pooled_ridge_cox
    if not np.isnan(pooled):
        axes.plot([pooled], [1], "D", color=VERMILLION, markersize=7)
        axes.axvline(pooled, color=VERMILLION, linewidth=0.9, linestyle="--", label="pooled")
    if not np.isnan(baselines.local_only_mean):
        axes.axvline(
            baselines.local_only_mean, color=GREY, linewidth=0.9, linestyle=":", label="mean of hospitals alone"
        )


def survival_picture(
    groups: Sequence[RiskGroup], *, times: np.ndarray[tuple[int], np.dtype[np.float64]], unit: str, endpoint: str
) -> Markup | None:
    """Kaplan-Meier with 95 % bands, the mean predicted curve dashed, and numbers at risk beneath."""
    if not groups or not len(times):
        return None
    end = float(times[-1])
    at = np.linspace(0.0, end, 241)  # a step narrower than the line, whatever the number of patients
    ticks = _time_ticks(end)
    alternative = (
        f"Survival curves over {end:.0f} {unit} for {counted(len(groups), 'group', 'groups')} of predicted risk. "
        + " ".join(
            f"{group.name.capitalize()} risk, free of the event after {end / 2:.0f} {unit}: "
            f"{percent(float(group.observed.at(np.array([end / 2]))[0]))}."
            for group in groups
        )
    )

    def paint(figure: Figure) -> None:
        curves, counts = figure.subplots(2, 1, sharex=True, height_ratios=(5, 0.35 + 0.3 * len(groups)))
        for group in groups:
            colour = GROUP_COLOURS[group.name]
            low, high = group.observed.interval_at(at)
            curves.fill_between(at, low, high, step="post", color=colour, alpha=0.16, linewidth=0)
            curves.step(at, group.observed.at(at), where="post", color=colour, label=f"{group.name} risk, observed")
            curves.plot(
                [0.0, *times],
                [1.0, *group.predicted],
                "--",
                color=colour,
                linewidth=1.3,
                label=f"{group.name} risk, predicted",
            )
        curves.set(ylim=(0, 1.02), xlim=(0, end), ylabel="probability of being event-free")
        curves.yaxis.set_major_formatter(_per_cent())
        curves.set_xticks(ticks)
        curves.tick_params(labelbottom=True)
        curves.set_xlabel(f"{unit}")
        curves.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(groups), borderaxespad=0.1)
        _numbers_at_risk(counts, groups, ticks)

    return picture(paint, name="survival", alternative=f"{endpoint}. {alternative}", height_inches=5.2)


def _time_ticks(end: float) -> list[float]:
    """Round times: multiples of 12 where that suits months, else what matplotlib finds round."""
    step = next((step for step in (3, 6, 12, 24, 36, 60) if end / step <= 8 and end >= 12), None)
    found = np.arange(0, end + 1e-9, step) if step else MaxNLocator(7).tick_values(0, end)
    return [float(tick) for tick in found if 0 <= tick <= end]


def _numbers_at_risk(axes: Axes, groups: Sequence[RiskGroup], ticks: Sequence[float]) -> None:
    axes.set_ylim(len(groups) - 0.4, -1.1)
    axes.set_yticks(range(len(groups)), [group.name for group in groups])
    without_frame(axes)
    axes.tick_params(labelbottom=False)
    axes.tick_params(axis="y", pad=20)  # the first figure is centred under time zero
    axes.text(0, -0.95, "Patients at risk", color=GREY, va="center", ha="left")
    for place, group in enumerate(groups):
        for tick, count in zip(ticks, group.at_risk(np.array(ticks)), strict=True):
            axes.text(tick, place, whole(count), ha="center", va="center", clip_on=False)


def calibration_picture(
    calibration: Calibration, risk: np.ndarray[tuple[int], np.dtype[np.float64]], *, unit: str
) -> Markup | None:
    """Observed against predicted risk, and how many patients were told which risk."""
    known = [group for group in calibration.groups if not np.isnan(group.observed)]
    if not known:
        return None
    predicted = np.array([group.predicted for group in known])
    observed = np.array([group.observed for group in known])
    # Where nobody or everybody had the event there is no interval, so only the dot is drawn.
    below = np.array([0.0 if np.isnan(group.low) else group.observed - group.low for group in known])
    above = np.array([0.0 if np.isnan(group.high) else group.high - group.observed for group in known])
    top = min(1.0, 1.08 * float(max((observed + above).max(), predicted.max())))
    alternative = (
        f"Observed against predicted risk by {calibration.horizon:g} {unit} in {len(known)} groups: "
        + "; ".join(f"predicted {percent(p)}, observed {percent(o)}" for p, o in zip(predicted, observed, strict=True))
        + "."
    )

    def paint(figure: Figure) -> None:
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
        axes.plot([0, top], [0, top], color=GREY, linewidth=0.9, linestyle=":", label="perfect agreement")
        axes.errorbar(
            predicted,
            observed,
            yerr=np.vstack([below, above]),
            fmt="o",
            color=BLUE,
            markersize=5,
            linewidth=1.2,
            label="observed, 95 % interval",
        )
        axes.set(xlim=(0, top), ylim=(0, top), ylabel=f"observed risk by {calibration.horizon:g} {unit}")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.1)
        counts.hist(risk, bins=np.linspace(0, top, 41), color=SKY)
        counts.set(xlabel=f"predicted risk by {calibration.horizon:g} {unit}", ylabel="patients")
        counts.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_per_cent())

    return picture(paint, name="calibration", alternative=alternative, height_inches=5.0, width_inches=5.0)
