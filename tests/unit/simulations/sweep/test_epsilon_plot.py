"""Does the picture of C-index against epsilon show the table's means, of each way to add noise?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oncofed.simulations.sweep.epsilon_plot import (
    best_mean,
    draw_epsilon,
    epsilon_figure,
    has_several_epsilons,
    means_by_epsilon,
)

ROWS = [
    # privacy, variant, seed, noise, c_index, within, pooled, pooled within, alone
    ("none", "none", 1, "none", 0.72, 0.64, 0.71, 0.63, 0.62),
    ("none", "none", 2, "none", 0.74, 0.66, 0.73, 0.65, 0.64),
    ("3", "a", 1, "local", 0.68, 0.60, 0.71, 0.63, 0.62),
    ("3", "a", 2, "local", 0.70, 0.62, 0.73, 0.65, 0.64),
    ("3", "b", 1, "local", 0.60, 0.61, 0.71, 0.63, 0.62),
    ("3", "b", 2, "local", 0.60, 0.63, 0.73, 0.65, 0.64),
    ("1", "a", 1, "local", 0.64, 0.56, 0.71, 0.63, 0.62),
    ("1", "a", 2, "local", float("nan"), float("nan"), 0.73, 0.65, 0.64),
    ("1", "c", 1, "distributed", 0.69, 0.61, 0.71, 0.63, 0.62),
    ("1", "c", 2, "distributed", 0.71, 0.63, 0.73, 0.65, 0.64),
]
COLUMNS = ["privacy", "sweep.variant", "seed", "noise", "c_index", "c_index_within_type"]
COMPARED = ["pooled_ridge_cox", "pooled_ridge_cox_within_type", "local_only_mean"]
TABLE = pd.DataFrame(ROWS, columns=[*COLUMNS, *COMPARED])
TABLE.insert(0, "strategy", "fedadam")
TABLE.insert(1, "mode", "full_batch")


def test_means_are_of_the_best_setting_of_each_noise_and_epsilon() -> None:
    found = means_by_epsilon(TABLE, "c_index")
    assert found[["noise", "epsilon"]].to_numpy().tolist() == [["distributed", 1.0], ["local", 1.0], ["local", 3.0]]
    assert found["mean"].tolist() == pytest.approx([0.70, 0.64, 0.69])
    assert found["sd"].iloc[2] == pytest.approx(0.02 / 2**0.5)
    within = means_by_epsilon(TABLE, "c_index_within_type")
    assert within["mean"].tolist() == pytest.approx([0.62, 0.56, 0.62]), "b is the better one within types"


def test_lines_and_references_are_drawn_in_both_panels() -> None:
    overall, within = epsilon_figure(TABLE, title="A study").axes
    assert [line.get_ydata()[0] for line in overall.lines if line.get_linestyle() == "--"] == pytest.approx(  # type: ignore[index]
        [0.72, 0.63]
    )
    assert [line.get_ydata()[0] for line in overall.lines if line.get_linestyle() == ":"] == pytest.approx([0.73])  # type: ignore[index]
    drawn = {
        text: np.asarray(container.lines[0].get_ydata()).tolist()  # type: ignore[attr-defined]  # of an ErrorbarContainer
        for text, container in zip(("distributed", "local"), overall.containers, strict=True)
    }
    assert drawn["distributed"] == pytest.approx([0.70])
    assert drawn["local"] == pytest.approx([0.64, 0.69])
    assert [line.get_ydata()[0] for line in within.lines if line.get_linestyle() == "--"] == pytest.approx([0.64])  # type: ignore[index]


def test_a_dashed_line_is_of_the_best_setting_and_not_of_all_together() -> None:
    worse = TABLE[TABLE["privacy"] == "none"].assign(c_index=0.5, pooled_ridge_cox=0.5, **{"sweep.variant": "poor"})
    table = pd.concat([TABLE, worse], ignore_index=True)
    assert best_mean(table[table["privacy"] == "none"], "c_index") == pytest.approx(0.73)
    assert best_mean(table, "pooled_ridge_cox") == pytest.approx(0.72)
    assert best_mean(table.assign(c_index=np.nan), "c_index") is None


def test_a_table_without_types_has_one_panel(tmp_path: Path) -> None:
    table = TABLE.assign(c_index_within_type=np.nan)
    assert len(epsilon_figure(table, title="A study").axes) == 1
    draw_epsilon(table, svg=tmp_path / "one.svg", png=tmp_path / "one.png", title="A study")
    draw_epsilon(table, svg=tmp_path / "two.svg", png=tmp_path / "two.png", title="A study")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_one_epsilon_makes_no_picture() -> None:
    assert has_several_epsilons(TABLE)
    assert not has_several_epsilons(TABLE[TABLE["privacy"] != "1"])
