"""Do the figures of a coordinator's report show the numbers that they are about? Read back from their SVG."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from tests.read_back import bars, do_not_overlap, legend, level_axes, marks, of, texts, upright_axes, within

from oncofed.server.report.attendance import Presence
from oncofed.server.report.linear_effects import LinearEffect
from oncofed.server.report.plots import (
    COLOURS,
    attendance_picture,
    effects_picture,
    key_markers_picture,
    rounds_picture,
)
from oncofed.server.report.released_explanations import MarkerRow
from oncofed.server.report.study import RoundRow

VERMILLION, BLUE, GREY = "#d55e00", "#0072b2", "#6b7680"


def test_every_cell_of_attendance_lies_at_its_hospital_and_round() -> None:
    states = [Presence.ANSWERED, Presence.SILENT, Presence.REFUSED]
    matrix = {f"site {row}": [states[(row * 2 + number * number) % 3] for number in range(12)] for row in range(4)}
    found = marks(attendance_picture(matrix, repeated=[5]))
    assert within(found)
    (x,) = level_axes(found)
    keys = legend(found)
    assert {words: key.colour for words, key in keys.items()} == {each.value: COLOURS[each].lower() for each in states}
    cells = bars(found, *(key.colour for key in keys.values()))
    heights = {each.words: each.at("y")[0] - 5 for each in of(found, "text") if each.words in matrix}
    for site, row in matrix.items():
        for number, state in enumerate(row, start=1):
            here = [
                cell
                for cell in cells
                if x.value(cell.at("x")[0]) <= number <= x.value(sum(cell.at("x", "width")))
                and cell.at("y")[0] <= heights[site] <= sum(cell.at("y", "height"))
            ]
            assert [cell.colour for cell in here] == [keys[state.value].colour], (site, number)
    (triangle,) = of(found, "path")
    assert x.value(float(triangle.points[:, 0].mean())) == pytest.approx(5, abs=0.02)


def row(number: int, *, update: float, seconds: float) -> RoundRow:
    return RoundRow(
        round=number,
        attempt=0,
        answered=(),
        rejected=(),
        update_l2_norm=update,
        bytes_down=1,
        bytes_up=1,
        seconds=seconds,
        finished_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


def test_a_course_of_rounds_lies_at_its_rounds_and_values() -> None:
    rows = [row(number, update=2.0 / number, seconds=5.0 + number) for number in (1, 2, 3, 5, 7, 8)]
    svg = rounds_picture(rows, planned=10)
    assert svg is not None
    found = marks(svg)
    assert within(found)
    (left, right), (length, seconds) = level_axes(found), upright_axes(found)
    for x, y, colour, want in (
        (left, length, VERMILLION, {each: 2.0 / each for each in (1, 2, 3, 5, 7, 8)}),
        (right, seconds, BLUE, {each: 5.0 + each for each in (1, 2, 3, 5, 7, 8)}),
    ):
        (path,) = of(found, "path", colour)
        at, values = ([axis.value(each) for each in path.points[:, column]] for axis, column in ((x, 0), (y, 1)))
        np.testing.assert_allclose(at, [1, 2, 3, 5, 7, 8], atol=0.02)
        np.testing.assert_allclose(values, list(want.values()), atol=0.03)
        assert path.attributes["d"].count("M") == 3, "what was not recorded is a gap"
        (lone,) = of(found, "circle", colour)
        assert x.value(lone.at("cx")[0]) == pytest.approx(5, abs=0.02)
        assert y.value(lone.at("cy")[0]) == pytest.approx(want[5], abs=0.03)
    titles = {each.words: each.at("x")[0] for each in of(found, "text") if each.attributes["font-weight"] == "700"}
    assert titles["Length of the update (L2 norm)"] < titles["Seconds"]


def test_bars_of_effects_reach_their_values_on_the_side_and_in_the_colour_that_is_said() -> None:
    values = [0.9, -0.5, 0.25, -0.1]
    effects = [
        LinearEffect(marker=f"marker {place}", step="one more", log_hazard_ratio=value)
        for place, value in enumerate(values)
    ]
    svg = effects_picture(effects, endpoint="overall survival")
    assert svg is not None
    found = marks(svg)
    assert within(found)
    (x,) = level_axes(found)
    drawn = bars(found, VERMILLION, BLUE)
    assert do_not_overlap(drawn)
    keys = legend(found)
    for place, (bar, value) in enumerate(zip(drawn, values, strict=True)):
        begin, end = (x.value(each) for each in (bar.at("x")[0], sum(bar.at("x", "width"))))
        assert sorted((0.0, value)) == pytest.approx([begin, end], abs=0.01)
        said = "higher hazard, worse prognosis" if value > 0 else "lower hazard, better prognosis"
        assert bar.colour == keys[said].colour
        (name,) = (each for each in of(found, "text") if each.words.startswith(f"marker {place}:"))
        assert bar.at("y")[0] < name.at("y")[0] - 5 < sum(bar.at("y", "height"))
    assert "+0.900 (\N{MULTIPLICATION SIGN} 2.46)" in texts(found)


def test_whiskers_end_at_the_interval_and_bars_at_the_share() -> None:
    rows = [
        MarkerRow(
            name=f"marker {place}",
            voters=10,
            low=1,
            high=20,
            share=share,
            share_low=low,
            share_high=high,
            size="",
            effect="",
            direction=direction,
        )
        for place, (share, low, high, direction) in enumerate(
            [(0.6, 0.52, 0.71, 1), (0.3, 0.22, 0.38, -1), (0.04, -0.06, 0.1, 0)]
        )
    ]
    svg = key_markers_picture(rows, alternative="shares")
    assert svg is not None
    found = marks(svg)
    assert within(found)
    (x,) = level_axes(found)
    drawn = bars(found, VERMILLION, BLUE, GREY)
    assert do_not_overlap(drawn)
    keys = legend(found)
    named = {1: "raises the hazard", -1: "lowers the hazard", 0: "by category, or lost in the noise"}
    for bar, each in zip(drawn, rows, strict=True):
        assert x.value(bar.at("x")[0]) == pytest.approx(0, abs=0.004)
        assert x.value(sum(bar.at("x", "width"))) == pytest.approx(each.share, abs=0.004)
        assert bar.colour == keys[named[each.direction]].colour
        middle = bar.at("y")[0] + bar.at("height")[0] / 2
        (whisker,) = (
            mark for mark in of(found, "line") if mark.at("y1", "y2") == pytest.approx([middle, middle], abs=0.01)
        )
        ends = [x.value(place) for place in whisker.at("x1", "x2")]
        assert ends == pytest.approx([each.share_low, each.share_high], abs=0.004)
