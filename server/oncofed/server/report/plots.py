"""How do a deployed study's rounds, its model and what hospitals released of its markers look?

Each function draws one figure of the report as inline SVG. What cannot be drawn is None, and the page says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from oncofed.server.report.attendance import Presence
from oncofed.server.report.linear_effects import LinearEffect
from oncofed.server.report.released_explanations import MarkerRow
from oncofed.server.report.study import RoundRow
from oncofed.server.report.svg import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    picture,
    without_frame,
)
from oncofed.words.names import one_line, shortened
from oncofed.words.numbers import counted, decimals, hazard_ratio, signed

LONGEST_NAME = 28
LONGEST_EFFECT = 56
STRONGEST = 20
_TALLEST_MATRIX_INCHES = 13.0

COLOURS = {
    Presence.ANSWERED: SKY,
    Presence.SILENT: ORANGE,
    Presence.REFUSED: VERMILLION,
    Presence.NOT_ADMITTED: PURPLE,
    Presence.UNRECORDED: GREY,
    Presence.AHEAD: "#EEF1F4",
}


def attendance_picture(matrix: Mapping[str, Sequence[Presence]], *, repeated: Sequence[int]) -> Markup:
    """Hospitals down, rounds across, a colour for what became of each. repeated: rounds that took several attempts."""
    sites, rounds = list(matrix), len(next(iter(matrix.values())))
    row_inches = min(0.3 if len(sites) <= 12 else 0.21, _TALLEST_MATRIX_INCHES / len(sites))
    seen = {state for row in matrix.values() for state in row}
    troubled = [site for site, row in matrix.items() if seen & set(row) - {Presence.ANSWERED, Presence.AHEAD}]
    alternative = (
        f"A grid of {counted(len(sites), 'hospital', 'hospitals')} by {counted(rounds, 'round', 'rounds')}. "
        f"{counted(len(sites) - len(troubled), 'hospital', 'hospitals')} answered in every finished round. "
        "The table below says what happened at the others."
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for state, shape in _shapes(matrix).items():
            axes.add_patch(PathPatch(shape, facecolor=COLOURS[state], linewidth=0))
        # Lines between the cells, so that those of a run need not be drawn one by one.
        axes.vlines(np.arange(1, rounds) + 0.5, -0.5, len(sites) - 0.5, color="white", linewidth=min(2.0, 90 / rounds))
        axes.hlines(
            np.arange(1, len(sites)) - 0.5, 0.5, rounds + 0.5, color="white", linewidth=min(2.5, 9 * row_inches)
        )
        if repeated:
            axes.plot(list(repeated), [-0.5 - 0.09 / row_inches] * len(repeated), "v", color=INK, markersize=4)
        axes.set(xlim=(0.5, rounds + 0.5), ylim=(len(sites) - 0.5, -0.5 - 0.18 / row_inches), xlabel="round")
        size = min(9.0, 60 * row_inches)
        names = [shortened(one_line(site), LONGEST_NAME) for site in sites]
        axes.set_yticks(range(len(sites)), names, fontsize=size)
        axes.xaxis.set_major_locator(MaxNLocator(min(rounds, 12), integer=True, min_n_ticks=1))
        without_frame(axes)
        _legend(axes, seen, repeated=bool(repeated))

    height = (1.15 if len(seen) + bool(repeated) > 4 else 0.95) + row_inches * len(sites)
    return picture(paint, name="attendance", alternative=alternative, height_inches=height)


def _shapes(matrix: Mapping[str, Sequence[Presence]]) -> dict[Presence, Path]:
    """All cells of one state as one shape, a rectangle for each run of equal rounds: quick and small."""
    corners: dict[Presence, list[tuple[float, float]]] = {}
    for place, row in enumerate(matrix.values()):
        begin = 0.5
        for state, members in groupby(row):
            end = begin + sum(1 for _ in members)
            top, bottom = place - 0.5, place + 0.5
            corners.setdefault(state, []).extend(
                [(begin, top), (end, top), (end, bottom), (begin, bottom), (begin, top)]
            )
            begin = end
    rectangle = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return {state: Path(points, rectangle * (len(points) // 5)) for state, points in corners.items()}


def _legend(axes: Axes, seen: set[Presence], *, repeated: bool) -> None:
    handles: list[object] = [Patch(color=COLOURS[state], label=state.value) for state in Presence if state in seen]
    if repeated:
        handles += axes.plot([], [], "v", color=INK, markersize=4, linestyle="", label="asked more than once")
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=4,  # more would not fit beside long names, and shrink the grid
        borderaxespad=0.1,
        columnspacing=1.4,
    )


def rounds_picture(rows: Sequence[RoundRow], *, planned: int) -> Markup | None:
    """Length of the update and seconds, round by round; a round that was not recorded is a gap."""
    if not rows:
        return None
    last = max(row.round for row in rows)
    update, seconds = np.full(last, np.nan), np.full(last, np.nan)
    for row in rows:
        update[row.round - 1], seconds[row.round - 1] = row.update_l2_norm, row.seconds
    first, final = (pick(rows, key=lambda row: row.round) for pick in (min, max))
    alternative = (
        f"Two curves over {counted(len(rows), 'round', 'rounds')}: the length of the update goes from "
        f"{decimals(first.update_l2_norm)} to {decimals(final.update_l2_norm)}; a round takes "
        f"{decimals(float(np.nanmedian(seconds)), 1)} seconds in the middle, {decimals(float(np.nanmax(seconds)), 1)} "
        "at most."
    )
    number = np.arange(1, last + 1)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for axes, values, colour, title in (
            (left, update, VERMILLION, "Length of the update (L2 norm)"),
            (right, seconds, BLUE, "Seconds"),
        ):
            lone = np.isnan(np.r_[np.nan, values[:-1]]) & np.isnan(np.r_[values[1:], np.nan])
            axes.plot(number, values, color=colour)
            axes.plot(number[lone], values[lone], "o", color=colour, markersize=4)  # a line needs two points
            top = float(np.nanmax(values))
            axes.set(title=title, xlabel="round", xlim=(0.5, max(planned, last) + 0.5), ylim=(0, 1.08 * top or 1.0))
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))

    return picture(paint, name="rounds", alternative=alternative, height_inches=2.7)


def effects_picture(effects: Sequence[LinearEffect], *, endpoint: str, number: int) -> Markup | None:
    """The strongest effects of the linear part as bars from 0; None when all are 0. number: of the endpoint."""
    shown = [effect for effect in effects[:STRONGEST] if effect.log_hazard_ratio != 0]
    if not shown:
        return None
    alternative = (
        f"{endpoint}: bars of the {counted(len(shown), 'strongest effect', 'strongest effects')} in the linear part. "
        + " ".join(f"{effect.marker}, {effect.step}: {signed(effect.log_hazard_ratio, 3)}." for effect in shown[:3])
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(shown))
        values = [effect.log_hazard_ratio for effect in shown]
        axes.barh(places, values, height=0.62, color=[VERMILLION if value > 0 else BLUE for value in values])
        axes.axvline(0, color=GREY, linewidth=0.8)
        names = [shortened(one_line(f"{effect.marker}: {_short(effect.step)}"), LONGEST_EFFECT) for effect in shown]
        axes.set_yticks(places, names)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        low, high = min(0.0, *values), max(0.0, *values)
        room = 0.4 * (high - low)  # for the figures beside the bars
        axes.set_xlim(low - room * (low < 0), high + room * (high > 0))
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                f"{signed(value, 3)} (\N{MULTIPLICATION SIGN} {hazard_ratio(value)})",
                (value, place),
                xytext=(4 if value > 0 else -4, 0),
                textcoords="offset points",
                ha="left" if value > 0 else "right",
                va="center",
                fontsize=8,
                color=GREY,
            )
        axes.set_xlabel("log hazard ratio (in brackets: hazard ratio)")
        without_frame(axes, grid="x")
        handles = [
            Patch(color=VERMILLION, label="higher hazard, worse prognosis"),
            Patch(color=BLUE, label="lower hazard, better prognosis"),
        ]
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, borderaxespad=0.1)

    height = 0.95 + 0.235 * len(shown)
    return picture(paint, name=f"effects{number}", alternative=alternative, height_inches=height)


def key_markers_picture(rows: Sequence[MarkerRow], *, alternative: str) -> Markup | None:
    """In how many of the patients each marker is among the strongest, with the noise's interval; None without rows."""
    shown = rows[:STRONGEST]
    if not shown:
        return None
    colours = {1: VERMILLION, -1: BLUE, 0: GREY}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(shown))
        shares = np.array([row.share for row in shown])
        spread = np.array([[row.share - row.share_low for row in shown], [row.share_high - row.share for row in shown]])
        axes.barh(places, 100 * shares, height=0.62, color=[colours[row.direction] for row in shown])
        if spread.any():
            axes.errorbar(100 * shares, places, xerr=100 * spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        axes.set_yticks(places, [shortened(one_line(row.name), LONGEST_EFFECT) for row in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, None)
        axes.set_xlabel("per cent of patients of whose strongest markers it is one")
        without_frame(axes, grid="x")
        named = {1: "raises the hazard", -1: "lowers the hazard", 0: "by category, or lost in the noise"}
        present = {row.direction for row in shown}
        handles = [Patch(color=colours[each], label=label) for each, label in named.items() if each in present]
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, borderaxespad=0.1)

    height = 0.95 + 0.235 * len(shown)
    return picture(paint, name="key-markers", alternative=alternative, height_inches=height)


def _short(step: str) -> str:
    """Without what it is compared against, which the table beneath says."""
    return step.partition(" against ")[0].rstrip(",")
