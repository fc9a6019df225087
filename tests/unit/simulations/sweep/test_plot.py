"""Does the plot show every run that gave something, where it belongs?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from oncofed.simulations.sweep.plot import draw_sweep, sweep_figure

ROWS = [
    # strategy, mode, privacy, seed, c_index, pooled, alone
    ("fedadam", "full_batch", "none", 1, 0.70, 0.69, 0.60),
    ("fedadam", "full_batch", "none", 2, 0.72, 0.71, 0.64),
    ("fedadam", "full_batch", "1", 1, 0.65, 0.69, 0.60),
    ("fedadam", "full_batch", "1", 2, 0.67, 0.71, 0.64),
    ("fedavg", "epochs", "none", 1, 0.68, 0.69, 0.60),
    ("fedavg", "epochs", "none", 2, 0.66, 0.71, 0.64),
    ("fedavg", "epochs", "1", 1, float("nan"), 0.69, 0.60),
    ("fedavg", "epochs", "1", 2, 0.58, 0.71, 0.64),
]
TABLE = pd.DataFrame(
    ROWS, columns=["strategy", "mode", "privacy", "seed", "c_index", "pooled_ridge_cox", "local_only_mean"]
)


def test_dots_means_and_lines_are_the_tables() -> None:
    (axes,) = sweep_figure(TABLE, title="A study").axes
    dots = [np.asarray(drawn.get_offsets()) for drawn in axes.collections if isinstance(drawn, PathCollection)]
    places: dict[int, list[list[float]]] = {0: [], 1: []}
    for each in dots:
        places[round(float(each[:, 0].mean()))].append(each[:, 1].tolist())
    assert places == {0: [[0.70, 0.72], [0.65, 0.67]], 1: [[0.68, 0.66], [0.58]]}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["fedadam", "fedavg"]

    bars = [np.asarray(drawn.get_segments()) for drawn in axes.collections if isinstance(drawn, LineCollection)]
    assert sorted(float(bar[0, 0, 1]) for bar in bars) == pytest.approx([0.58, 0.66, 0.67, 0.71])
    dashed = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]  # type: ignore[index]  # arrays
    assert dashed == pytest.approx([0.70, 0.62])
    assert axes.get_xlabel() == "1 of 8 runs gave no result"


def test_privacy_is_told_apart_by_colour_and_named() -> None:
    figure = sweep_figure(TABLE, title="A study")
    colours = [
        tuple(np.asarray(drawn.get_facecolor())[0])
        for drawn in figure.axes[0].collections
        if isinstance(drawn, PathCollection)
    ]
    assert len(set(colours)) == 2
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["no privacy", "epsilon 1", "pooled ridge Cox", "each site alone"]


def test_unknown_baselines_draw_no_line_and_varied_settings_make_groups(tmp_path: Path) -> None:
    table = TABLE.assign(pooled_ridge_cox=np.nan, local_only_mean=np.nan)
    table.insert(3, "training.rounds", ["30", "60"] * 4)
    figure = sweep_figure(table, title="A study")
    (axes,) = figure.axes
    assert not [line for line in axes.lines if line.get_linestyle() == "--"]
    groups = [label.get_text() for label in axes.get_xticklabels()]
    assert groups == ["fedadam\nrounds 30", "fedadam\nrounds 60", "fedavg\nrounds 30", "fedavg\nrounds 60"]


def test_the_same_table_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        draw_sweep(TABLE, svg=tmp_path / f"{name}.svg", png=tmp_path / f"{name}.png", title="A study")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
