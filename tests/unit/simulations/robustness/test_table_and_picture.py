"""Does the one table say what the runs gave, and does the plot show it where it belongs? Read back from both."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.drawn import Dot, Line, coloured, drawn

from oncofed.errors import InvalidInput
from oncofed.simulations.robustness.__main__ import Asked, refuse_impossible, rows_before, write
from oncofed.simulations.robustness.cells import RAN_AWAY, SUM_ALONE
from oncofed.simulations.robustness.picture import robustness_picture
from oncofed.simulations.robustness.table import markdown, summary_of

NAN = math.nan
ROWS = [
    # attack, defence, privacy, seed, c_index, slope, expected_to_observed, backdoor_success, outcome
    ("none", "mean", "none", 1, 0.70, 1.0, 1.1, 0.0, ""),
    ("none", "mean", "none", 2, 0.74, 1.2, 0.9, 0.1, ""),
    ("none", "mean", "distributed", 1, 0.69, 0.8, 1.0, 0.0, ""),
    ("none", "mean", "distributed", 2, 0.71, 0.8, 1.0, 0.0, ""),
    ("none", "median", "none", 1, 0.68, 1.0, 1.0, 0.0, ""),
    ("none", "median", "none", 2, 0.72, 1.0, 1.0, 0.0, ""),
    ("none", "median", "distributed", 1, NAN, NAN, NAN, NAN, SUM_ALONE),
    ("none", "median", "distributed", 2, NAN, NAN, NAN, NAN, SUM_ALONE),
    ("scaled update", "mean", "none", 1, NAN, NAN, NAN, NAN, RAN_AWAY),
    ("scaled update", "mean", "none", 2, 0.45, -0.3, 3.0, 0.0, ""),
    ("scaled update", "median", "none", 1, 0.66, 1.0, 1.0, 0.0, ""),
    ("scaled update", "median", "none", 2, 0.70, 1.0, 1.0, 0.0, ""),
]
TABLE = pd.DataFrame(
    ROWS,
    columns=[
        *("attack", "defence", "privacy", "seed"),
        *("c_index", "slope", "expected_to_observed", "backdoor_success", "outcome"),
    ],
).assign(hospitals=10, poisoned=[0] * 8 + [3] * 4)


def test_a_cell_has_mean_and_spread_over_the_seeds_that_gave_a_model() -> None:
    found = summary_of(TABLE)
    found = found.set_index(found["attack"] + ", " + found["defence"] + ", " + found["privacy"])
    first = found.loc["none, mean, none"]
    assert (first["runs"], first["share"]) == (2, 0.0)
    assert first["c_index_mean"] == pytest.approx(0.72)
    assert first["c_index_sd"] == pytest.approx(0.04 / math.sqrt(2))
    attacked = found.loc["scaled update, mean, none"]
    assert (attacked["runs"], attacked["share"], attacked["outcome"]) == (1, 0.3, RAN_AWAY)
    assert attacked["c_index_mean"] == pytest.approx(0.45)
    assert np.isnan(attacked["c_index_sd"])


def test_the_table_tells_in_words_what_has_no_number() -> None:
    lines = markdown(summary_of(TABLE), marked=("backdoor",)).splitlines()
    assert lines[0] == "| attack | defence | poisoned | none | distributed |"
    assert lines[2:] == [
        "| none | mean | 0 of 10 | 0.72 ± 0.03, 1.10 ± 0.14, 1.00 ± 0.14; mark 5% | "
        "0.70 ± 0.01, 0.80 ± 0.00, 1.00 ± 0.00; mark 0% |",
        f"| none | median | 0 of 10 | 0.70 ± 0.03, 1.00 ± 0.00, 1.00 ± 0.00; mark 0% | {SUM_ALONE} |",
        f"| scaled update | mean | 3 of 10 | 0.45, -0.30, 3.00 (1 of 2 {RAN_AWAY}) |  |",
        "| scaled update | median | 3 of 10 | 0.68 ± 0.03, 1.00 ± 0.00, 1.00 ± 0.00 |  |",
    ]


def test_dots_stand_at_their_c_index_in_the_panel_of_their_mode_over_their_attack() -> None:
    found = drawn(robustness_picture(TABLE, title="A study"))
    heads = [found.said(f"privacy mode {mode}").y for mode in ("none", "distributed")]
    seen = 0
    for mode, top, bottom in zip(("none", "distributed"), heads, (heads[1], math.inf), strict=True):
        panel = found.between(top=top + 1, bottom=bottom - 15)
        scale = panel.upright()
        chance = found.key("chance")
        assert isinstance(chance, Line)
        (level,) = (each for each in coloured(panel, chance.colour).lines if each.dash == chance.dash)
        assert [scale.value(y) for y in level.points[:, 1]] == pytest.approx([0.5, 0.5], abs=1e-3)
        middles = {attack: panel.said(attack).x for attack in ("none", "scaled update")}
        apart = abs(middles["none"] - middles["scaled update"])
        for defence in ("mean", "median"):
            key = found.key(defence)
            assert isinstance(key, Line | Dot)
            own = coloured(panel, key.colour)
            for attack, middle in middles.items():
                chosen = (TABLE["attack"] == attack) & (TABLE["defence"] == defence) & (TABLE["privacy"] == mode)
                rows = TABLE["c_index"][chosen].dropna()
                near = sorted((dot for dot in own.dots if abs(dot.x - middle) < apart / 2), key=lambda dot: dot.x)
                assert [scale.value(dot.y) for dot in near] == pytest.approx(rows.tolist(), abs=1e-3)
                side = -1 if defence == "mean" else 1
                assert all(side * (dot.x - middle) > 0 for dot in near), "defences beside each other"
                seen += len(near)
    assert seen == int(TABLE["c_index"].notna().sum()) == 9
    found.said(f"No dot in 2 runs: {SUM_ALONE}.")
    found.said(f"No dot in 1 run: {RAN_AWAY}.")


def test_many_attacks_and_a_long_title_stay_within_the_picture() -> None:
    wide = pd.concat([TABLE.assign(attack=f"a rather long attack number {number}") for number in range(9)])
    svg = robustness_picture(wide, title="poisoned " * 40)
    found = drawn(svg)
    width = float(svg.split('width="')[1].split('"')[0])
    assert all(0 <= words.x <= width for words in found.words)
    assert all(0 <= dot.x <= width for dot in found.dots)
    names = sorted({words.x for words in found.words if words.text.startswith("a rather")})
    assert len(names) == 9
    wide_name = 7 * len("a rather long attack number 1")
    assert np.diff(names).min() > wide_name
    assert wide_name / 2 < min(names)
    assert max(names) < width - wide_name / 2


def test_a_study_goes_on_where_it_stopped_and_not_in_anothers_folder(tmp_path: Path) -> None:
    asked = Asked()
    table = TABLE.assign(setting=asked.words)
    file = tmp_path / "table.csv"
    assert rows_before(file, asked) == []
    table.to_csv(file, index=False)
    again = pd.DataFrame(rows_before(file, asked))
    pd.testing.assert_frame_equal(again, table)
    write(tmp_path, again)
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")
    with pytest.raises(InvalidInput, match="holds runs of another study"):
        rows_before(file, Asked(rounds=7))


def test_a_refusal_of_the_command_is_in_words(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "oncofed.simulations.robustness", "--out", str(tmp_path / "out"), "--seeds", "1,x"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert "--seeds: are not distinct whole numbers. Write 1,2,3." in ended.stderr
    assert not (tmp_path / "out").exists()


def test_more_poisoned_hospitals_than_krum_is_about_are_refused() -> None:
    refuse_impossible(Asked(hospitals=9, poisoned=3))
    with pytest.raises(InvalidInput, match="are 4 of 10, and Krum needs 11 hospitals"):
        refuse_impossible(Asked(hospitals=10, poisoned=4))
