"""Does the plot show every run that gave something, where it belongs? Read back from its SVG."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.drawn import Drawn, Line, coloured, drawn

from oncofed.simulations.sweep.plot import draw_sweep, look, sweep_picture

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


def in_the_plot(found: Drawn) -> Drawn:
    """Below the legend: from the upright axis on."""
    upright = max((line for line in found.lines), key=lambda line: float(np.ptp(line.points[:, 1])))
    return found.between(top=float(upright.points[:, 1].min()), bottom=float(upright.points[:, 1].max()))


def test_dots_and_means_stand_at_their_c_index_over_their_group_in_the_colour_of_their_privacy() -> None:
    found = drawn(sweep_picture(TABLE, title="A study"))
    upright, body = found.upright(), in_the_plot(found)
    middles = {group: found.said(group).x for group in ("fedadam", "fedavg")}
    seen = 0
    for privacy, name in (("none", "no privacy"), ("1", "epsilon 1")):
        own = coloured(body, found.key(name).colour)
        bars = [line for line in own.lines if np.ptp(line.points[:, 1]) == 0]
        for group, middle in middles.items():
            chosen = TABLE["c_index"][(TABLE["strategy"] == group) & (TABLE["privacy"] == privacy)].dropna().tolist()
            near = [dot for dot in own.dots if abs(dot.x - middle) < abs(middles["fedadam"] - middles["fedavg"]) / 2]
            told = [upright.value(dot.y) for dot in sorted(near, key=lambda dot: dot.x)]
            assert told == pytest.approx(chosen, abs=5e-4), "seeds side by side, in order"
            (bar,) = (line for line in bars if line.points[0, 0] <= near[0].x <= line.points[1, 0])
            assert upright.value(bar.points[0, 1]) == pytest.approx(np.mean(chosen), abs=5e-4)
            assert all(bar.points[0, 0] < dot.x < bar.points[1, 0] for dot in near)
            side = -1 if privacy == "none" else 1
            assert side * (bar.points[:, 0].mean() - middle) > 5, "privacies beside each other, in the legend's order"
            assert np.abs(bar.points[:, 0] - middle).max() < abs(middles["fedadam"] - middles["fedavg"]) / 2
            seen += len(near)
    assert seen == len(body.dots) == 7
    found.said("1 of 8 runs gave no result")


def test_what_a_sweep_is_compared_with_lies_level_with_its_mean_as_its_key_says() -> None:
    found = drawn(sweep_picture(TABLE, title="A study"))
    upright, body = found.upright(), in_the_plot(found)
    for name, value in (("pooled ridge Cox", 0.70), ("each site alone", 0.62)):
        key = found.key(name)
        assert isinstance(key, Line)
        (level,) = (line for line in coloured(body, key.colour).lines if line.dash == key.dash)
        assert [upright.value(y) for y in level.points[:, 1]] == pytest.approx([value, value], abs=5e-4)


def test_unknown_baselines_draw_no_line_and_varied_settings_make_groups() -> None:
    table = TABLE.assign(pooled_ridge_cox=np.nan, local_only_mean=np.nan)
    table.insert(3, "training.rounds", ["30", "60"] * 4)
    found = drawn(sweep_picture(table, title="A study"))
    assert not [line for line in found.lines if line.dash]
    assert not [words for words in found.words if words.text in ("pooled ridge Cox", "each site alone")]
    columns: dict[float, list[str]] = {}
    for words in found.words:
        if words.anchor == "middle" and words.text.startswith(("fed", "rounds")):
            columns.setdefault(words.x, []).append(words.text)
    assert [columns[x] for x in sorted(columns)] == [
        [strategy, f"rounds {rounds}"] for strategy in ("fedadam", "fedavg") for rounds in (30, 60)
    ]


def test_a_sweep_of_which_nothing_is_known_is_drawn_and_says_so() -> None:
    found = drawn(sweep_picture(TABLE.assign(c_index=np.nan), title="A study"))
    assert not in_the_plot(found).dots
    found.said("8 of 8 runs gave no result")


def test_a_long_grid_and_a_long_title_stay_within_the_picture_and_groups_beside_each_other() -> None:
    rows = [
        ("fedadam", f"m{place}", str(privacy), 1, 0.5 + privacy / 60, np.nan, np.nan)
        for place in range(7)
        for privacy in range(1, 24)
    ]
    table = pd.DataFrame(rows, columns=TABLE.columns)
    svg = sweep_picture(table, title="A study of whatever there is <b>to study</b> " * 9)
    wide = float(svg.partition('viewBox="0 0 ')[2].split()[0])
    found = drawn(svg)
    marks = [x for line in found.lines for x in line.points[:, 0]] + [dot.x for dot in found.dots]
    assert 0 <= min(marks) <= max(marks) <= wide
    bars = sorted((line.points[0, 0], line.points[1, 0]) for line in in_the_plot(found).lines if line.width == 2.5)
    assert len(bars) == 7 * 23
    assert all(first[1] < second[0] for first, second in pairwise(bars))


def test_up_to_24_series_look_different() -> None:
    assert len({(each.colour, each.dash) for each in (look(place, width=1) for place in range(24))}) == 24


def test_the_same_table_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        draw_sweep(TABLE, svg=tmp_path / f"{name}.svg", title="A study")
    written = (tmp_path / "first.svg").read_bytes()
    assert written == (tmp_path / "second.svg").read_bytes()
    assert written.startswith(b'<svg xmlns="http://www.w3.org/2000/svg"'), "a file of its own, not an element of a page"
