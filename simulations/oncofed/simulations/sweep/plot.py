"""How does a sweep look? C-index by strategy, grouped by privacy: a dot a seed, a bar for their mean.

Dashed lines are what the federation is measured against, where it was computed: pooled ridge Cox, and each site alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oncofed.simulations.sweep.table import setting_columns

# Okabe and Ito (2008): told apart with any colour vision, and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GROUP_WIDTH = 0.7


def draw_sweep(table: pd.DataFrame, *, svg: Path, png: Path, title: str) -> None:
    """Draw `sweep_figure` into both files; the same table gives the same SVG."""
    with rc_context({"svg.hashsalt": "oncofed", "svg.fonttype": "none"}):
        figure = sweep_figure(table, title=title)
        figure.savefig(svg, metadata={"Date": None})
        figure.savefig(png, dpi=150)


def sweep_figure(table: pd.DataFrame, *, title: str) -> Figure:
    """A table of `table_of_runs`. Runs without a C-index are left out, and counted below."""
    labels = _labels(table)
    groups, privacies = list(dict.fromkeys(labels)), list(dict.fromkeys(table["privacy"]))
    longest = max(len(line) for group in groups for line in group.split("\n"))
    width = 1.8 + max(1.3, 0.1 * longest) * len(groups)
    figure = Figure(figsize=(max(6.0, width), 4.8), layout="constrained")
    axes = figure.subplots()
    _draw_runs(axes, table, labels=labels, groups=groups, privacies=privacies)
    _draw_comparisons(axes, table)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_ylabel("C-index on the patients set aside\n(dot: a seed, bar: mean)")
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left")
    failed = int(table["c_index"].isna().sum())
    if failed:
        axes.set_xlabel(f"{failed} of {len(table)} runs gave no result", color="0.35")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _labels(table: pd.DataFrame) -> pd.Series[str]:
    """(runs,) the strategy, and below it what else tells the groups apart."""
    labels = table["strategy"].copy()
    for key in setting_columns(table):
        if key == "mode" and table.groupby("strategy")["mode"].nunique().gt(1).any():
            labels = labels + "\n" + table["mode"]
        elif key not in ("strategy", "mode", "privacy"):
            labels = labels + f"\n{key.partition('.')[2]} " + table[key]
    return labels


def _draw_runs(
    axes: Axes, table: pd.DataFrame, *, labels: pd.Series[str], groups: list[str], privacies: list[str]
) -> None:
    step = _GROUP_WIDTH / len(privacies)
    for index, privacy in enumerate(privacies):
        colour = COLOURS[index % len(COLOURS)]
        name = "no privacy" if privacy == "none" else f"epsilon {privacy}"
        for place, group in enumerate(groups):
            chosen = table["c_index"][(labels == group) & (table["privacy"] == privacy)].dropna().to_numpy()
            if len(chosen) == 0:
                continue
            centre = place + (index - (len(privacies) - 1) / 2) * step
            # Seeds side by side, in order, so that equal dots do not hide each other.
            across = centre + step * 0.4 * (np.linspace(-0.5, 0.5, len(chosen)) if len(chosen) > 1 else np.zeros(1))
            axes.scatter(across, chosen, s=22, color=colour, alpha=0.75, linewidths=0, zorder=3)
            axes.hlines(chosen.mean(), centre - 0.4 * step, centre + 0.4 * step, color=colour, linewidth=2.5, zorder=4)
        axes.plot([], [], "o", color=colour, label=name)


def _draw_comparisons(axes: Axes, table: pd.DataFrame) -> None:
    lines = {"pooled_ridge_cox": ("pooled ridge Cox", "0.25"), "local_only_mean": ("each site alone", "0.55")}
    for column, (name, grey) in lines.items():
        if table[column].notna().any():
            axes.axhline(table[column].mean(), color=grey, linestyle="--", linewidth=1.3, label=name, zorder=2)
