"""How does a sweep look? C-index by strategy, grouped by privacy: a dot a seed, a bar for their mean.

Level lines are what the federation is measured against, where it was computed: pooled ridge Cox, and each site alone.

Promises: every run that gave a C-index is a dot; the same table gives the same file; two privacies look alike only
where there are more than 24, and then stand in the order of the legend.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from oncofed.picture.axes import Axis, Key, legend, to_limits, upright, width_of
from oncofed.picture.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    OLIVE,
    ORANGE,
    PURPLE,
    QUIET,
    SKY,
    VERMILLION,
    Stroke,
    circle,
    file_picture,
    line,
    text,
)
from oncofed.simulations.sweep.grid import NO_PRIVACY
from oncofed.simulations.sweep.table import setting_columns
from oncofed.words.names import one_line, shortened
from oncofed.words.numbers import counted, decimals

POOLED, ALONE = Stroke(INK, "dash", 1.3), Stroke(GREY, "dash", 1.3)
_COMPARED = {"pooled_ridge_cox": ("pooled ridge Cox", POOLED), "local_only_mean": ("each site alone", ALONE)}
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, OLIVE, INK)
_DASHES = ("solid", "dash", "dot")
_LONGEST_TITLE, _LONGEST_LABEL = 80, 40
_LEFT, _MARGIN, _HIGH, _LINE = 78.0, 24.0, 320.0, 19.0
_NARROWEST, _NARROWEST_GROUP, _OF_A_GROUP = 640.0, 110.0, 0.7
_NARROWEST_SERIES = 16.0


def draw_sweep(table: pd.DataFrame, *, svg: Path, title: str) -> None:
    """`sweep_picture` as a file."""
    svg.write_text(sweep_picture(table, title=title), encoding="utf-8")


def sweep_picture(table: pd.DataFrame, *, title: str) -> Markup:
    """A table of `table_of_runs`. Runs without a C-index are left out, and counted below."""
    labels = _labels(table)
    groups, privacies = list(dict.fromkeys(labels)), list(dict.fromkeys(table["privacy"]))
    shown = [[shortened(one_line(each), _LONGEST_LABEL) for each in group.split("\n")] for group in groups]
    title = shortened(one_line(title), _LONGEST_TITLE)
    widest = max(width_of(each) for lines in shown for each in lines) + 14
    pitch = max(_NARROWEST_GROUP, widest, len(privacies) * _NARROWEST_SERIES / _OF_A_GROUP)
    pitch = max(pitch, (max(_NARROWEST, title_width(title)) - _LEFT - _MARGIN) / len(groups))
    right = _LEFT + pitch * len(groups)
    looks = {privacy: look(place, width=2.5) for place, privacy in enumerate(privacies)}
    compared = [
        (float(table[column].mean()), Key(name, stroke))
        for column, (name, stroke) in _COMPARED.items()
        if table[column].notna().any()
    ]
    keys = [Key(privacy_name(each), stroke, dot=True) for each, stroke in looks.items()]
    entries, high = legend(
        [*keys, *(key for _, key in compared)], left=_MARGIN / 2, top=TITLE_HIGH, right=right + _MARGIN
    )
    top = TITLE_HIGH + high + 8
    bottom = top + _HIGH
    y = axis_of([*table["c_index"].dropna().tolist(), *(value for value, _ in compared)], top=top, bottom=bottom)
    marks = [text(_MARGIN / 2, 20, title, weight=700), *entries]
    marks += upright(y, left=_LEFT, right=right, title="C-index on the patients set aside")
    marks.append(line(_LEFT, bottom, right, bottom, Stroke(QUIET, width=1)))
    marks += [line(_LEFT, y.at(value), right, y.at(value), key.stroke) for value, key in compared]
    alternative = []
    for place, (group, lines) in enumerate(zip(groups, shown, strict=True)):
        middle = _LEFT + (place + 0.5) * pitch
        marks += [text(middle, bottom + _LINE * (row + 1), words, anchor="middle") for row, words in enumerate(lines)]
        for number, (privacy, stroke) in enumerate(looks.items()):
            chosen = table["c_index"][(labels == group) & (table["privacy"] == privacy)].dropna().to_numpy()
            if len(chosen):
                wide = pitch * _OF_A_GROUP / len(privacies)
                at = middle + (number - (len(privacies) - 1) / 2) * wide
                marks += series(chosen, at=at, wide=0.8 * wide, y=y, stroke=stroke)
                alternative.append(f"{', '.join(lines)}, {privacy_name(privacy)}: {decimals(float(chosen.mean()))}")
    bottom += _LINE * max(len(lines) for lines in shown) + 8
    failed = int(table["c_index"].isna().sum())
    beneath = ["A dot is a seed, a bar the mean of its seeds."]
    if failed:
        beneath.append(f"{failed} of {counted(len(table), 'run', 'runs')} gave no result.")
    for words in beneath:
        bottom += _LINE
        marks.append(text((_LEFT + right) / 2, bottom, words, anchor="middle", colour=QUIET))
    said = f"{title}. Mean C-index over seeds. {'; '.join(alternative)}."
    return file_picture(width=right + _MARGIN, height=bottom + 14, marks=marks, alternative=said)


TITLE_HIGH = 30.0


def title_width(title: str) -> float:
    """Of a picture in which the title, which is bold, is not cut off."""
    return 1.15 * width_of(title) + _MARGIN


def look(place: int, *, width: float) -> Stroke:
    """Of one series among several: a colour first, then a dash."""
    return Stroke(_COLOURS[place % len(_COLOURS)], _DASHES[place // len(_COLOURS) % len(_DASHES)], width)


def privacy_name(privacy: str) -> str:
    return "no privacy" if privacy == NO_PRIVACY else f"epsilon {privacy}"


def axis_of(values: Sequence[float], *, top: float, bottom: float) -> Axis:
    """Upright, with room beyond the values."""
    low, high = min(values, default=0.5), max(values, default=1.0)
    room = max(0.06 * (high - low), 0.005)
    return Axis(low - room, high + room, bottom, top, to_limits(low - room, high + room, about=6))


def series(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], *, at: float, wide: float, y: Axis, stroke: Stroke
) -> list[Markup]:
    """Seeds side by side, in order, so that equal dots do not hide each other, and a bar for their mean."""
    spread = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else np.zeros(1)
    marks = [
        circle(at + wide * shift, y.at(value), 3, stroke.colour, opacity=0.75)
        for shift, value in zip(spread.tolist(), values.tolist(), strict=True)
    ]
    mean = y.at(float(values.mean()))
    return [*marks, line(at - wide / 2, mean, at + wide / 2, mean, stroke)]


def _labels(table: pd.DataFrame) -> pd.Series[str]:
    """(runs,) the strategy, and below it what else tells the groups apart."""
    labels = table["strategy"].copy()
    for key in setting_columns(table):
        if key == "mode" and table.groupby("strategy")["mode"].nunique().gt(1).any():
            labels = labels + "\n" + table["mode"]
        elif key not in ("strategy", "mode", "privacy"):
            labels = labels + f"\n{key.partition('.')[2]} " + table[key]
    return labels
