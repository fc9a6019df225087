"""What does privacy cost? C-index against epsilon, a line for each way to add noise, with its spread over seeds.

Dashed lines are what there is without a federation or without privacy: no noise, pooled ridge Cox, each site alone.
Where several settings of a sweep have the same noise and epsilon, the best mean is drawn: a plan has the choice. So it
is with the dashed lines.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oncofed.simulations.sweep.grid import NO_PRIVACY
from oncofed.simulations.sweep.plot import COLOURS
from oncofed.simulations.sweep.table import setting_columns

_PANELS = {"c_index": "C-index", "c_index_within_type": "C-index within tumour types"}
_REFERENCES = {
    "c_index": {"pooled_ridge_cox": "pooled ridge Cox", "local_only_mean": "each site alone"},
    "c_index_within_type": {"pooled_ridge_cox_within_type": "pooled ridge Cox"},
}


def has_several_epsilons(table: pd.DataFrame) -> bool:
    return table["privacy"][table["privacy"] != NO_PRIVACY].nunique() > 1


def draw_epsilon(table: pd.DataFrame, *, svg: Path, png: Path, title: str) -> None:
    """Draw `epsilon_figure` into both files; the same table gives the same SVG."""
    with rc_context({"svg.hashsalt": "oncofed", "svg.fonttype": "none"}):
        figure = epsilon_figure(table, title=title)
        figure.savefig(svg, metadata={"Date": None})
        figure.savefig(png, dpi=150)


def epsilon_figure(table: pd.DataFrame, *, title: str) -> Figure:
    """A table of `table_of_runs`. A panel each for the C-index and, where it is known, the one within types."""
    panels = [measure for measure in _PANELS if table[measure].notna().any()] or ["c_index"]
    figure = Figure(figsize=(5.2 * len(panels), 4.6), layout="constrained")
    for axes, measure in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_lines(axes, means_by_epsilon(table, measure))
        _draw_references(axes, table, measure)
        axes.set_xscale("log")
        epsilons = sorted({float(text) for text in table["privacy"] if text != NO_PRIVACY})
        axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
        axes.minorticks_off()
        axes.set_xlabel("epsilon a patient (bars: SD over seeds)")
        axes.set_ylabel(_PANELS[measure])
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left")
    handles = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    return figure


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


def _draw_lines(axes: Axes, means: pd.DataFrame) -> None:
    for index, (noise, line) in enumerate(means.groupby("noise")):
        axes.errorbar(
            line["epsilon"] * (1 + 0.02 * index),  # side by side, so that bars do not hide each other
            line["mean"],
            yerr=line["sd"].fillna(0.0),
            marker="o",
            capsize=3,
            color=COLOURS[index % len(COLOURS)],
            label=f"noise {noise}",
        )


def _draw_references(axes: Axes, table: pd.DataFrame, measure: str) -> None:
    without = best_mean(table[table["privacy"] == NO_PRIVACY], measure)
    if without is not None:
        axes.axhline(without, color="black", linestyle=":", linewidth=1.3, label="no privacy")
    for (column, name), grey in zip(_REFERENCES[measure].items(), ("0.35", "0.6"), strict=False):
        found = best_mean(table, column)
        if found is not None:
            axes.axhline(found, color=grey, linestyle="--", linewidth=1.3, label=name)


def best_mean(table: pd.DataFrame, column: str) -> float | None:
    """Over the seeds of the setting in which it is largest; None where nothing is known."""
    known = table[table[column].notna()]
    if known.empty:
        return None
    return float(known.groupby(setting_columns(table), sort=False)[column].mean().max())
