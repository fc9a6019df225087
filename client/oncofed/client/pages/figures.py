"""Which picture belongs to a view? As plain values that Plotly draws in the browser.

Promises: no text of a table or schema is taken for markup (Plotly reads tags in labels); colours differ in lightness
and lines in their dashes, so that a picture can be read without seeing colours; nothing is fetched from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.cohort_view import Dependence, MarkerStrength
from oncofed.client.pages.group_outcome import GroupOutcome
from oncofed.client.pages.interaction_view import Interaction
from oncofed.client.pages.patient_view import PatientView
from oncofed.client.pages.recalibration import LEVEL
from oncofed.client.pages.wording import capital, hazard_ratio, words
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]
Figure = dict[str, Any]
"""data, layout: as Plotly takes them. name: of the file when it is saved."""

WORSE, BETTER, INK, QUIET, LINE = "#b34700", "#0b4f7a", "#1f2a33", "#55626d", "#d5dbe1"
_BAND = "rgba(11,79,122,0.16)"
_PURPLE = "#6a3d9a"
_GROUPS = (("#0b4f7a", "solid"), ("#6b7480", "dash"), ("#b34700", "dot"))
_FONT = '"Segoe UI", "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif'
_TOGETHER = {
    True: ("#b34700", "solid", "higher values together: worse than one by one"),
    False: ("#0b4f7a", "dash", "higher values together: better than one by one"),
    None: ("#6b7480", "dot", "depends on the category"),
}
_NAMES = {
    "autorange": "reversed",
    "automargin": True,
    "ticks": "outside",
    "ticklen": 5,
    "tickcolor": "#ffffff",
    "fixedrange": True,
}
_IN_A_WATERFALL = 12
_IN_A_BAR_CHART = 20
_LONGEST_LABEL = 44
_RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 4, 5, 10, 20, 50, 100)
_FEWEST_TICKS, _MOST_TICKS = 3, 9


def label(text: str) -> str:
    """A text for Plotly that is no markup, cut where it would crowd out the picture."""
    short = text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def survival_figure(view: PatientView, grid: TimeGrid) -> Figure:
    """The patient's curve with its band, the released model's, and the similar patients' observed one."""
    curve = view.curve
    traces: list[Figure] = []
    if curve.adjusted is not None:
        limits = {"x": _list(curve.times), "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        traces += [
            limits | {"y": _list(curve.adjusted.high), "showlegend": False},
            limits
            | {
                "y": _list(curve.adjusted.low),
                "fill": "tonexty",
                "fillcolor": _BAND,
                "name": f"{100 * LEVEL:.0f} % band of this hospital",
            },
        ]
        traces.append(_line(curve.times, curve.released, "model as released", QUIET, "dot", 1.6))
    if view.similar is not None:
        similar = view.similar.outcome
        name = f"observed: {similar.patients} similar patients"
        traces.append(_line(similar.times, similar.survival, name, _PURPLE, "dash", 1.8, shape="hv"))
    traces.append(_line(curve.times, curve.survival, "this patient", BETTER, "solid", 3))
    event_free = f"{capital(words(view.endpoint.name))}, % of such patients"
    return _figure("survival", traces, height=380, x=_time_axis(grid), y=_share_axis(event_free))


def waterfall_figure(view: PatientView) -> Figure:
    """From the reference patient's hazard to this patient's, marker by marker."""
    parts = [(row.label, row.value, row.log_hazard_ratio) for row in view.markers[:_IN_A_WATERFALL]]
    rest = view.log_hazard_ratio - sum(part for _, _, part in parts)
    names = [label(name if value == "" else f"{name}: {value}") for name, value, _ in parts]
    steps = [part for _, _, part in parts]
    shown = _distinct([*names, "all other markers", "this patient"])
    measures = ["relative"] * (len(steps) + 1) + ["total"]
    trace = {
        "type": "waterfall",
        "orientation": "h",
        "y": shown,
        "x": _list(np.array([*steps, rest, view.log_hazard_ratio])),
        "measure": measures,
        "text": [f"\N{MULTIPLICATION SIGN}\N{THIN SPACE}{hazard_ratio(each)}" for each in (*steps, rest)]
        + [f"HR {hazard_ratio(view.log_hazard_ratio)}"],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "y+text",
        "increasing": {"marker": {"color": WORSE}},
        "decreasing": {"marker": {"color": BETTER}},
        "totals": {"marker": {"color": INK}},
        "connector": {"line": {"color": LINE, "width": 1}},
    }
    sums = np.concatenate(([0.0], np.cumsum([*steps, rest])))
    x = _ratio_axis(float(sums.min()), float(sums.max()))
    return _figure("contributions", [trace], height=70 + 30 * len(shown), x=x, y=_NAMES, legend=False)


def strength_figure(markers: Sequence[MarkerStrength]) -> Figure:
    """The strongest markers, as bars."""
    strongest = markers[:_IN_A_BAR_CHART]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": _distinct([label(each.label) for each in strongest]),
        "x": _list(np.array([each.strength for each in strongest])),
        "marker": {"color": BETTER},
        "hoverinfo": "x+y",
    }
    x = _axis("mean absolute contribution, log hazard ratio") | {"rangemode": "tozero"}
    return _figure("strongest-markers", [trace], height=90 + 24 * len(strongest), x=x, y=_NAMES, legend=False)


def dependence_figure(found: Dependence) -> Figure:
    """Contribution against value: the middle, and where eight of ten patients of a bin lie."""
    ends = {"type": "data", "symmetric": False, "color": QUIET, "thickness": 1.4, "width": 4}
    trace = {
        "type": "scatter",
        "mode": "markers" if found.labels else "lines+markers",
        "x": _distinct([label(each) for each in found.labels]) if found.labels else _list(found.at),
        "y": _list(found.median),
        "error_y": ends | {"array": _list(found.high - found.median), "arrayminus": _list(found.median - found.low)},
        "marker": {"color": BETTER, "size": 9},
        "line": {"color": BETTER, "width": 2},
        "hoverinfo": "x+text",
        "text": [f"hazard ratio {hazard_ratio(each)}" for each in found.median],
    }
    low, high = min(0.0, float(found.low.min())), max(0.0, float(found.high.max()))
    unit = f" [{found.unit}]" if found.unit else ""
    x = _axis(label(f"{capital(found.label)}{unit}")) | {"automargin": True, "showgrid": False}
    return _figure("dependence", [trace], height=380, x=x, y=_ratio_axis(low, high), legend=False)


def groups_figure(groups: Sequence[GroupOutcome], grid: TimeGrid, *, endpoint: str) -> Figure:
    """Kaplan-Meier curves of risk groups, with their limits."""
    traces: list[Figure] = []
    for group, (colour, dash) in zip(groups, _GROUPS, strict=False):
        limits = {
            "x": _list(group.times),
            "mode": "lines",
            "line": {"width": 0, "shape": "hv"},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
        shade = f"rgba({red},{green},{blue},0.12)"
        traces += [
            limits | {"y": _list(group.high)},
            limits | {"y": _list(group.low), "fill": "tonexty", "fillcolor": shade},
            _line(group.times, group.survival, group.name, colour, dash, 2.4, shape="hv"),
        ]
    y = _share_axis(f"{capital(words(endpoint))}, % of patients")
    return _figure("risk-groups", traces, height=400, x=_time_axis(grid), y=y)


def network_figure(pairs: Sequence[Interaction]) -> Figure:
    """Markers on a circle, joined where the model lets them depend on each other: the thicker, the stronger."""
    totals: dict[str, float] = {}
    for pair in pairs:
        for name in (pair.first, pair.second):
            totals[name] = totals.get(name, 0.0) + pair.strength
    # Every third beside each other, so that the strongest three stand a third of the circle apart.
    falling = sorted(totals, key=lambda name: -totals[name])
    names = falling[::3] + falling[1::3] + falling[2::3]
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    place = {name: (float(np.cos(angle)), float(np.sin(angle))) for name, angle in zip(names, angles, strict=True)}
    traces, seen = [], set()
    for pair in reversed(pairs):
        colour, dash, said = _TOGETHER[pair.worse_together]
        (x0, y0), (x1, y1) = place[pair.first], place[pair.second]
        width = 1 + 7 * pair.strength / pairs[0].strength
        line = {"color": colour, "dash": dash, "width": width}
        traces.append(
            {"x": [x0, x1], "y": [y0, y1], "mode": "lines", "line": line, "opacity": 0.8, "name": said}
            | {"legendgroup": said, "showlegend": said not in seen, "hoverinfo": "skip"}
        )
        seen.add(said)
    sides = [
        "middle right" if x > 0.25 else "middle left" if x < -0.25 else "top center" if y > 0 else "bottom center"
        for x, y in (place[name] for name in names)
    ]
    traces.append(
        {
            "x": [place[name][0] for name in names],
            "y": [place[name][1] for name in names],
            "mode": "markers+text",
            "text": [f" {label(name)} " for name in names],
            "textposition": sides,
            "marker": {"color": INK, "size": 11},
            "showlegend": False,
            "hoverinfo": "text",
            "cliponaxis": False,
        }
    )
    hidden = {"visible": False, "fixedrange": True}
    x, y = hidden | {"range": [-2.1, 2.1]}, hidden | {"range": [-1.25, 1.25]}
    return _figure("interactions", traces, height=560, x=x, y=y)


def _line(
    x: FloatArray, y: FloatArray, name: str, colour: str, dash: str, width: float, *, shape: str = "linear"
) -> Figure:
    line = {"color": colour, "dash": dash, "width": width, "shape": shape}
    return {
        "x": _list(x),
        "y": _list(y),
        "name": name,
        "mode": "lines",
        "line": line,
        "hovertemplate": "%{y:.0%}<extra>%{fullData.name}</extra>",
    }


def _figure(
    name: str, traces: list[Figure], *, height: int, x: Mapping[str, Any], y: Mapping[str, Any], legend: bool = True
) -> Figure:
    layout: Figure = {
        "height": height,
        "margin": {"l": 62, "r": 24, "t": 12, "b": 52},
        "font": {"family": _FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hovermode": "closest",
        "dragmode": False,
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": dict(x),
        "yaxis": dict(y),
    }
    return {"name": name, "data": traces, "layout": layout}


def _axis(title: str) -> Figure:
    return {
        "title": {"text": title, "standoff": 10, "font": {"size": 13}},
        "gridcolor": "#e8ecf0",
        "zeroline": False,
        "linecolor": QUIET,
        "ticks": "outside",
        "tickcolor": QUIET,
        "fixedrange": True,
    }


def _time_axis(grid: TimeGrid) -> Figure:
    last = grid.bounds[-1]
    step = next((each for each in (1, 2, 3, 6, 12, 24, 60, 120) if last / each <= 12), last / 10)
    return _axis(f"{capital(grid.unit)} since time zero") | {"range": [0, last], "dtick": step}


def _share_axis(title: str) -> Figure:
    return _axis(title) | {"range": [0, 1.005], "tickformat": ".0%", "dtick": 0.2}


def _ratio_axis(low: float, high: float) -> Figure:
    """Log hazard ratios, with hazard ratios written at the ticks and a line at 1."""
    room = max(0.16 * (high - low), 0.08)
    start, end = low - room, high + room
    inside = [ratio for ratio in _RATIOS if start <= np.log(ratio) <= end]
    if len(inside) > _MOST_TICKS:
        kept = {0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10, 20, 50, 100}
        inside = [ratio for ratio in inside if ratio in kept]
    if len(inside) < _FEWEST_TICKS:
        inside = [round(float(np.exp(each)), 2) for each in np.linspace(start, end, 5)]
    return _axis("hazard ratio") | {
        "range": [start, end],
        "tickvals": [float(np.log(ratio)) for ratio in inside],
        "ticktext": [f"{ratio:g}" for ratio in inside],
        "zeroline": True,
        "zerolinecolor": QUIET,
        "zerolinewidth": 1.4,
    }


def _distinct(labels: Sequence[str]) -> list[str]:
    """Plotly lays equal labels on one place: each gets as many blanks more as it has come before."""
    seen: dict[str, int] = {}
    found = []
    for text in labels:
        seen[text] = seen.get(text, -1) + 1
        found.append(text + " " * seen[text])
    return found


def _list(values: FloatArray) -> list[float | None]:
    """For JSON, which has no NaN; five digits are more than a screen shows."""
    return [None if np.isnan(value) else round(float(value), 5) for value in values]
