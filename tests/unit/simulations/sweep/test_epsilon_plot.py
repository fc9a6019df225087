"""Does the picture of C-index against epsilon show the table's means, of each way to add noise?"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.drawn import Bar, Dot, Drawn, Line, Scale, coloured, drawn

from oncofed.simulations.sweep.epsilon_plot import (
    best_mean,
    draw_epsilon,
    epsilon_picture,
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


def panels(found: Drawn) -> list[tuple[Drawn, Scale, Scale]]:
    """Each with its level and upright axis, from left to right."""
    frames = [
        (min(line.points[:, 0]), max(line.points[:, 0]))
        for line in found.lines
        if np.ptp(line.points[:, 1]) == 0 and np.ptp(line.points[:, 0]) > 200 and not line.dash
    ]
    parts = []
    for left, right in sorted(set(frames)):
        part = found.between(left=left - 45, right=right + 20)
        ticks = [words for words in part.words if words.anchor == "middle" and words.text in ("0.5", "1", "3", "8")]
        level = Scale(tuple(each.x for each in ticks), tuple(math.log10(float(each.text)) for each in ticks))
        top = min(float(line.points[:, 1].min()) for line in part.lines if np.ptp(line.points[:, 1]) > 200)
        parts.append((part.between(top=top), level, part.upright()))
    return parts


def level_lines(part: Drawn, key: Bar | Line | Dot, upright: Scale) -> list[float]:
    assert isinstance(key, Line)
    return [
        upright.value(line.points[0, 1])
        for line in coloured(part, key.colour).lines
        if line.dash == key.dash and np.ptp(line.points[:, 0]) > 200
    ]


def test_means_stand_at_their_epsilon_with_whiskers_of_one_standard_deviation_as_their_key_says() -> None:
    found = drawn(epsilon_picture(TABLE, title="A study"))
    expected: list[dict[str, list[tuple[float, float, float | None]]]] = [
        {"noise distributed": [(1, 0.70, 0.02 / 2**0.5)], "noise local": [(1, 0.64, None), (3, 0.69, 0.02 / 2**0.5)]},
        {"noise distributed": [(1, 0.62, 0.02 / 2**0.5)], "noise local": [(1, 0.56, None), (3, 0.62, 0.02 / 2**0.5)]},
    ]
    assert found.key("noise distributed").colour != found.key("noise local").colour
    for (part, level, upright), of_panel in zip(panels(found), expected, strict=True):
        for name, points in of_panel.items():
            own = coloured(part, found.key(name).colour)
            dots = sorted(own.dots, key=lambda dot: dot.x)
            assert [10 ** level.value(dot.x) for dot in dots] == pytest.approx([each[0] for each in points], rel=0.02)
            assert [upright.value(dot.y) for dot in dots] == pytest.approx([each[1] for each in points], abs=5e-4)
            joined = [line for line in own.lines if np.ptp(line.points[:, 0]) > 20]
            assert [line.points.tolist() for line in joined] == (
                [[[pytest.approx(dot.x, abs=0.06), pytest.approx(dot.y, abs=0.06)] for dot in dots]]
                if len(dots) > 1
                else []
            )
            for dot, (_, mean, deviation) in zip(dots, points, strict=True):
                whiskers = [
                    sorted(upright.value(y) for y in line.points[:, 1])
                    for line in own.lines
                    if len(line.points) == 2 and np.ptp(line.points[:, 0]) == 0 and line.points[0, 0] == dot.x
                ]
                limits = [] if deviation is None else [[mean - deviation, mean + deviation]]
                assert whiskers == [pytest.approx(each, abs=5e-4) for each in limits]


def test_level_lines_lie_at_what_there_is_without_privacy_and_without_a_federation() -> None:
    found = drawn(epsilon_picture(TABLE, title="A study"))
    (overall, _, first), (within, _, second) = panels(found)
    for name, both in (
        ("no privacy", ([0.73], [0.65])),
        ("pooled ridge Cox", ([0.72], [0.64])),
        ("each site alone", ([0.63], [])),
    ):
        key = found.key(name)
        assert level_lines(overall, key, first) == pytest.approx(both[0], abs=5e-4), name
        assert level_lines(within, key, second) == pytest.approx(both[1], abs=5e-4), name
    looks = [
        (key.colour, key.dash) for key in map(found.key, ("no privacy", "pooled", "each site")) if isinstance(key, Line)
    ]
    assert len(set(looks)) == 3


def test_what_there_is_without_privacy_is_of_runs_without_it_though_noise_did_better_by_chance() -> None:
    lucky = TABLE.assign(c_index=TABLE["c_index"].mask(TABLE["noise"] == "distributed", 0.8))
    found = drawn(epsilon_picture(lucky, title="A study"))
    (part, _, upright), _ = panels(found)
    assert level_lines(part, found.key("no privacy"), upright) == pytest.approx([0.73], abs=5e-4)


def test_a_noise_has_one_colour_in_both_panels_also_where_one_of_them_lacks_another() -> None:
    lacking = TABLE["noise"] == "distributed"
    table = TABLE.assign(c_index=TABLE["c_index"].mask(lacking))
    found = drawn(epsilon_picture(table, title="A study"))
    (overall, _, _), (within, _, _) = panels(found)
    keys = {name: found.key(f"noise {name}").colour for name in ("distributed", "local")}
    assert {dot.colour for dot in overall.dots} == {keys["local"]}
    assert {dot.colour for dot in within.dots} == set(keys.values())


def test_epsilons_that_are_close_are_not_written_over_each_other() -> None:
    close = ["1", "1.01", "1.02", "1.03", "8"]
    rows = [("fedadam", "full_batch", each, "a", 1, "local", 0.6, np.nan, np.nan, np.nan, np.nan) for each in close]
    found = drawn(epsilon_picture(pd.DataFrame(rows, columns=TABLE.columns), title="A study"))
    ticks = [each.text for each in found.words if each.anchor == "middle" and each.text in close]
    assert ticks == ["1", "8"]
    assert len({dot.x for dot in found.dots if dot.y > 60}) == len(close)


def test_a_level_line_is_of_the_best_setting_and_not_of_all_together() -> None:
    worse = TABLE[TABLE["privacy"] == "none"].assign(c_index=0.5, pooled_ridge_cox=0.5, **{"sweep.variant": "poor"})
    table = pd.concat([TABLE, worse], ignore_index=True)
    assert best_mean(table[table["privacy"] == "none"], "c_index") == pytest.approx(0.73)
    assert best_mean(table, "pooled_ridge_cox") == pytest.approx(0.72)
    assert best_mean(table.assign(c_index=np.nan), "c_index") is None


def test_a_table_without_types_has_one_panel(tmp_path: Path) -> None:
    table = TABLE.assign(c_index_within_type=np.nan)
    assert len(panels(drawn(epsilon_picture(table, title="A study")))) == 1
    for name in ("one", "two"):
        draw_epsilon(table, svg=tmp_path / f"{name}.svg", title="A study")
    written = (tmp_path / "one.svg").read_bytes()
    assert written == (tmp_path / "two.svg").read_bytes()
    assert written.startswith(b'<svg xmlns="http://www.w3.org/2000/svg"'), "a file of its own, not an element of a page"


def test_one_epsilon_makes_no_picture() -> None:
    assert has_several_epsilons(TABLE)
    assert not has_several_epsilons(TABLE[TABLE["privacy"] != "1"])


def test_the_picture_in_the_documents_shows_what_their_table_says() -> None:
    """It is drawn from means and standard deviations of a run that takes hours."""
    documents = Path(__file__).resolve().parents[4] / "docs"
    found = drawn((documents / "epsilon.svg").read_text(encoding="utf-8"))
    told = re.findall(
        r"^\| `(distributed|local)`, epsilon ([\d.]+)(, 6 may collude)? \| \*\*(\S+) ± (\S+)\*\* \| (\S+) ± (\S+) ",
        (documents / "benchmarks.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(told) == 9
    for place, (part, level, upright) in enumerate(panels(found)):
        assert len(part.dots) == len(told)
        for noise, epsilon, six, *figures in told:
            name = "noise local" if noise == "local" else f"noise distributed, 2 absent and {6 if six else 2} colluding"
            own = coloured(part, found.key(name).colour)
            (dot,) = (dot for dot in own.dots if abs(level.value(dot.x) - math.log10(float(epsilon))) < 0.05)
            mean, deviation = (float(each) for each in figures[2 * place : 2 * place + 2])
            assert upright.value(dot.y) == pytest.approx(mean, abs=6e-4)
            (whisker,) = (line for line in own.lines if line.points[:, 0].tolist() == [dot.x, dot.x])
            ends = [upright.value(y) for y in sorted(whisker.points[:, 1], reverse=True)]
            assert ends == pytest.approx([mean - deviation, mean + deviation], abs=1e-3)
