"""What does privacy cost? C-index against epsilon, a line for each way to add noise, with its spread over seeds.

Level lines are what there is without a federation or without privacy: no noise, pooled ridge Cox, each site alone.
Where several settings of a sweep have the same noise and epsilon, the best mean is drawn: a plan has the choice. So it
is with the level lines.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from oncofed.picture.axes import Axis, Key, across, legend, upright, width_of
from oncofed.picture.drawing import INK, Stroke, circle, curve, file_picture, line, text
from oncofed.simulations.sweep.grid import NO_PRIVACY
from oncofed.simulations.sweep.plot import ALONE, POOLED, TITLE_HIGH, axis_of, look, title_width
from oncofed.simulations.sweep.table import setting_columns
from oncofed.words.names import one_line, shortened
from oncofed.words.numbers import decimals

_PANELS = {"c_index": "C-index", "c_index_within_type": "C-index within tumour types"}
_WITHOUT = Stroke(INK, "dot", 1.3)
_REFERENCES = {
    "c_index": {"pooled_ridge_cox": ("pooled ridge Cox", POOLED), "local_only_mean": ("each site alone", ALONE)},
    "c_index_within_type": {"pooled_ridge_cox_within_type": ("pooled ridge Cox", POOLED)},
}
_LONGEST_TITLE = 60
_LEFT, _WIDE, _GAP, _HIGH, _MARGIN = 78.0, 390.0, 88.0, 300.0, 24.0
_SIDE_BY_SIDE, _CAP = 6.0, 4.0


def has_several_epsilons(table: pd.DataFrame) -> bool:
    return table["privacy"][table["privacy"] != NO_PRIVACY].nunique() > 1


def draw_epsilon(table: pd.DataFrame, *, svg: Path, title: str) -> None:
    """`epsilon_picture` as a file."""
    svg.write_text(epsilon_picture(table, title=title), encoding="utf-8")


def epsilon_picture(table: pd.DataFrame, *, title: str) -> Markup:
    """A table of `table_of_runs`. A panel each for the C-index and, where it is known, the one within types."""
    measures = [measure for measure in _PANELS if table[measure].notna().any()] or ["c_index"]
    private = table[table["privacy"] != NO_PRIVACY]
    looks = {noise: look(place, width=2.0) for place, noise in enumerate(sorted(set(private["noise"])))}
    levels = {measure: _levels(table, measure) for measure in measures}
    keys = {name: Key(name, stroke) for found in levels.values() for _, name, stroke in found}
    keys |= {noise: Key(f"noise {noise}", stroke, dot=True) for noise, stroke in looks.items()}
    title = shortened(one_line(title), _LONGEST_TITLE)
    wide = max(_LEFT + _WIDE * len(measures) + _GAP * (len(measures) - 1) + _MARGIN, title_width(title))
    entries, high = legend(list(keys.values()), left=_MARGIN / 2, top=TITLE_HIGH, right=wide)
    top = TITLE_HIGH + high + 12
    marks = [text(_MARGIN / 2, 20, title, weight=700), *entries]
    alternative = []
    for place, measure in enumerate(measures):
        means = means_by_epsilon(table, measure)
        epsilons = sorted({float(each) for each in private["privacy"]})
        left = _LEFT + place * (_WIDE + _GAP)
        marks += _panel(
            means, levels[measure], looks, _level_axis(epsilons, left=left), top=top, title=_PANELS[measure]
        )
        alternative += [
            f"{_PANELS[measure]}, noise {noise}, epsilon {epsilon:g}: {decimals(mean)}"
            for noise, epsilon, mean in zip(means["noise"], means["epsilon"], means["mean"], strict=True)
        ]
    said = f"{title}. Means over seeds. {'; '.join(alternative)}."
    return file_picture(width=wide, height=top + _HIGH + 58, marks=marks, alternative=said)


def means_by_epsilon(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """noise, epsilon, mean, sd: the best setting of each, runs without a figure left out; sorted."""
    private = table[(table["privacy"] != NO_PRIVACY) & table[measure].notna()]
    by_setting = private.groupby(["noise", *setting_columns(table)], sort=False)[measure].agg(["mean", "std"])
    flat = by_setting.reset_index()
    best = flat.loc[flat.groupby(["noise", "privacy"])["mean"].idxmax()]
    found = pd.DataFrame(
        {"noise": best["noise"], "epsilon": best["privacy"].astype(float), "mean": best["mean"], "sd": best["std"]}
    )
    return found.sort_values(["noise", "epsilon"], ignore_index=True)


def _level_axis(epsilons: list[float], *, left: float) -> Axis:
    """Logarithmic; every epsilon is written but where it would touch the one before."""
    places = [math.log10(each) for each in epsilons]
    room = 0.12 * (places[-1] - places[0]) or 0.5
    low, high = places[0] - room, places[-1] + room
    ticks: list[tuple[float, str]] = []
    for place, epsilon in zip(places, epsilons, strict=True):
        said = f"{epsilon:g}"
        apart = (width_of(said) + width_of(ticks[-1][1])) / 2 + 6 if ticks else 0.0
        if not ticks or (place - ticks[-1][0]) / (high - low) * _WIDE >= apart:
            ticks.append((place, said))
    return Axis(low, high, left, left + _WIDE, tuple(ticks))


def _panel(
    means: pd.DataFrame,
    levels: list[tuple[float, str, Stroke]],
    looks: dict[str, Stroke],
    x: Axis,
    *,
    top: float,
    title: str,
) -> list[Markup]:
    spread = means["sd"].fillna(0.0)
    reached = [*(means["mean"] - spread), *(means["mean"] + spread), *(value for value, _, _ in levels)]
    y = axis_of(reached, top=top, bottom=top + _HIGH)
    marks = across(x, top=top, bottom=top + _HIGH, title="epsilon a patient (bars: SD over seeds)")
    marks += upright(y, left=x.start, right=x.end, title=title, title_at=x.start - 56)
    marks += [line(x.start, y.at(value), x.end, y.at(value), stroke) for value, _, stroke in levels]
    for place, (noise, stroke) in enumerate(looks.items()):
        own = means[means["noise"] == noise]
        # Side by side, so that bars do not hide each other.
        shift = _SIDE_BY_SIDE * (place - (len(looks) - 1) / 2)
        at = np.array([x.at(math.log10(each)) + shift for each in own["epsilon"]])
        marks.append(curve(at, np.array([y.at(each) for each in own["mean"]]), stroke))
        thin = Stroke(stroke.colour, width=1.4)
        for level, mean, deviation in zip(at.tolist(), own["mean"], own["sd"], strict=True):
            if deviation > 0:
                ends = [y.at(mean - deviation), y.at(mean + deviation)]
                marks.append(line(level, ends[0], level, ends[1], thin))
                marks += [line(level - _CAP, end, level + _CAP, end, thin) for end in ends]
            marks.append(circle(level, y.at(mean), 4, stroke.colour))
    return marks


def _levels(table: pd.DataFrame, measure: str) -> list[tuple[float, str, Stroke]]:
    """What is known of what the lines are compared with."""
    found = [(best_mean(table[table["privacy"] == NO_PRIVACY], measure), "no privacy", _WITHOUT)]
    found += [(best_mean(table, column), name, stroke) for column, (name, stroke) in _REFERENCES[measure].items()]
    return [(value, name, stroke) for value, name, stroke in found if value is not None]


def best_mean(table: pd.DataFrame, column: str) -> float | None:
    """Over the seeds of the setting in which it is largest; None where nothing is known."""
    known = table[table[column].notna()]
    if known.empty:
        return None
    return float(known.groupby(setting_columns(table), sort=False)[column].mean().max())
