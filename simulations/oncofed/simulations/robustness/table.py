"""What did each cell of a robustness study give over its seeds, in one table?

A row is an attack and a defence; beside it, each privacy mode has a cell with mean and standard deviation over seeds of
C-index, calibration slope and expected over observed risk. What cannot be, or ended, is told in words, never as a
number.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from oncofed.simulations.robustness.cells import FIGURES, NO_ATTACK

_CELL = ["attack", "defence", "privacy"]
_SHOWN = ("c_index", "slope", "expected_to_observed")


def summary_of(table: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, in order of appearance.

    table    rows of `cells.measured`.
    returns  attack, defence, privacy, hospitals, poisoned, share (of hospitals), runs (that gave a model), others
             (that did not), NAME_mean and NAME_sd of each figure over those runs (NaN sd of one run), and outcome: what
             the others came to, in words.
    """
    rows: list[dict[str, Any]] = []
    for names, group in table.groupby(_CELL, sort=False):
        finished = group[group["outcome"] == ""]
        others = group["outcome"][group["outcome"] != ""]
        hospitals, poisoned = int(group["hospitals"].max()), int(group["poisoned"].max())
        row = dict(zip(_CELL, names, strict=True)) | {"hospitals": hospitals, "poisoned": poisoned}
        row |= {"share": poisoned / hospitals, "runs": len(finished), "others": len(others)}
        for name in FIGURES:
            row |= {f"{name}_mean": finished[name].mean(), f"{name}_sd": finished[name].std(ddof=1)}
        rows.append(row | {"outcome": "; ".join(others.unique())})
    return pd.DataFrame(rows)


def markdown(summary: pd.DataFrame, *, marked: Sequence[str]) -> str:
    """One table. marked: the attacks in whose rows the backdoor's success is told; without an attack it always is."""
    modes = list(dict.fromkeys(summary["privacy"]))
    lines = ["| attack | defence | poisoned | " + " | ".join(modes) + " |", "|---|---|---|" + "---|" * len(modes)]
    for (attack, defence), group in summary.groupby(["attack", "defence"], sort=False):
        by_mode = {row["privacy"]: row for row in group.to_dict("records")}
        with_mark = attack in (*marked, NO_ATTACK)
        cells = [_cell(by_mode[mode], with_mark=with_mark) if mode in by_mode else "" for mode in modes]
        some = group.iloc[0]
        lines.append(f"| {attack} | {defence} | {some['poisoned']} of {some['hospitals']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[Hashable, Any], *, with_mark: bool) -> str:
    if not row["runs"]:
        return str(row["outcome"])
    said = ", ".join(_mean_and_sd(row[f"{name}_mean"], row[f"{name}_sd"]) for name in _SHOWN)
    if with_mark:
        said += f"; mark {row['backdoor_success_mean']:.0%}"
    return f"{said} ({row['others']} of {row['runs'] + row['others']} {row['outcome']})" if row["others"] else said


def _mean_and_sd(mean: float, deviation: float) -> str:
    if math.isnan(mean):
        return "-"
    digits = 2 if abs(mean) < 100 else 0
    return f"{mean:.{digits}f}" if math.isnan(deviation) else f"{mean:.{digits}f} ± {deviation:.{digits}f}"
