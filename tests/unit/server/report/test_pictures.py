"""Does each figure of a deployed study's report show its numbers where they belong? Read back from the SVG."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.drawn import Bar, Dot, Drawn, Line, coloured, drawn
from tests.unit.server.report.fake_studies import row

from oncofed.server.report.attendance import Presence
from oncofed.server.report.linear_effects import LinearEffect
from oncofed.server.report.plots import attendance_picture, effects_picture, key_markers_picture, rounds_picture
from oncofed.server.report.released_explanations import MarkerRow

A, S, R, N, U, F = (
    Presence.ANSWERED,
    Presence.SILENT,
    Presence.REFUSED,
    Presence.NOT_ADMITTED,
    Presence.UNRECORDED,
    Presence.AHEAD,
)


def no_two_overlap(bars: list[Bar]) -> bool:
    levels = sorted(bars, key=lambda bar: bar.top)
    return all(above.bottom < below.top for above, below in pairwise(levels))


def in_the_plot(picture: Drawn) -> Drawn:
    """Without the legend above it: below the first line of the grid."""
    top = min(line.points[:, 1].min() for line in picture.lines if np.ptp(line.points[:, 1]) > 30)
    return picture.between(top=float(top) - 1)


def test_a_bar_of_an_effect_goes_from_nothing_to_the_effect_in_the_colour_of_its_way() -> None:
    sizes = {"age": 0.9, "sex": -0.5, "smoking": 0.3, "albumin": -0.05}
    picture = effects_picture([LinearEffect(name, "step", size) for name, size in sizes.items()], endpoint="os")
    assert picture is not None
    found = drawn(picture)
    across, body = found.across(), in_the_plot(found)
    colours = {True: found.key("higher hazard").colour, False: found.key("lower hazard").colour}
    assert colours[True] != colours[False]
    bars = []
    for name, size in sizes.items():
        (bar,) = body.bars_at(name)
        assert [across.value(bar.left), across.value(bar.right)] == pytest.approx(sorted((0.0, size)), abs=0.005)
        assert bar.colour == colours[size > 0]
        told = found.said(f"{size:+.3f}".replace("-", "\N{MINUS SIGN}"))
        assert bar.holds((bar.left + bar.right) / 2, told.y - 3), "its figure stands on its level"
        assert told.x > bar.right if size > 0 else told.x < bar.left
        bars.append(bar)
    assert no_two_overlap(bars)


def marker(name: str, share: float, low: float, high: float, direction: int) -> MarkerRow:
    return MarkerRow(name, 1.0, 1.0, 1.0, share, low, high, direction, "", "")


def test_a_bar_of_a_marker_is_its_share_with_a_whisker_from_low_to_high() -> None:
    rows = [
        marker("age", 0.8, 0.72, 0.83, 1),
        marker("sex", 0.4, 0.38, 0.5, -1),
        marker("entity", 0.2, 0.1, 0.22, 0),
    ]
    picture = key_markers_picture(rows, alternative="x")
    assert picture is not None
    found = drawn(picture)
    across, body = found.across(), in_the_plot(found)
    words = {1: "raises the hazard", -1: "lowers the hazard", 0: "by category"}
    keys = {direction: found.key(said).colour for direction, said in words.items()}
    assert len(set(keys.values())) == 3
    bars = []
    for each in rows:
        (bar,) = body.bars_at(each.name)
        bars.append(bar)
        assert [across.value(bar.left), across.value(bar.right)] == pytest.approx([0, each.share], abs=0.002)
        assert bar.colour == keys[each.direction]
        (whisker,) = [
            line
            for line in body.lines
            if np.ptp(line.points[:, 1]) == 0
            and bar.top < line.points[0, 1] < bar.bottom
            and np.ptp(line.points[:, 0]) > 12
        ]
        ends = sorted(across.value(x) for x in whisker.points[:, 0])
        assert ends == pytest.approx([each.share_low, each.share_high], abs=0.003)
    assert no_two_overlap(bars)


MATRIX = {
    "Aachen": (A, A, U, N, A, F),
    "Bonn": (A, S, S, S, U, F),
    "Coburg": (R, R, A, A, A, F),
}


def test_each_cell_of_the_matrix_has_the_colour_of_what_became_of_it() -> None:
    found = drawn(attendance_picture(MATRIX, repeated=[2, 4]))
    across = found.across()
    keys = {state: found.key(state.value).colour for state in Presence}
    assert len(set(keys.values())) == len(Presence)
    for site, states in MATRIX.items():
        level = found.said(site).y - 3
        for number, state in enumerate(states, start=1):
            last = [bar for bar in found.bars if bar.holds(across.place(number), level)][-1]
            assert last.colour == keys[state], (site, number)
    first = min(found.said(site).y for site in MATRIX)
    marks = [dot for dot in found.dots if first - 40 < dot.y < first - 3 and dot.x >= across.place(1) - 1]
    of_rounds = [dot for dot in marks if not _before_words(found, dot)]
    assert sorted(round(across.value(dot.x), 2) for dot in of_rounds) == [2, 4]


def _before_words(picture: Drawn, dot: Dot) -> bool:
    return any(0 < each.x - dot.x < 30 and abs(each.y - dot.y) < 8 for each in picture.words if each.anchor == "start")


def test_rows_of_the_matrix_do_not_lie_over_each_other() -> None:
    found = drawn(attendance_picture(MATRIX, repeated=()))
    heights = {site: found.said(site).y - 3 for site in MATRIX}
    for site, level in heights.items():
        for bar in found.bars:
            if bar.top < level < bar.bottom and bar.right - bar.left > 30:
                assert not any(bar.top < other < bar.bottom for name, other in heights.items() if name != site) or (
                    bar.bottom - bar.top > 100
                )


def test_each_round_is_drawn_at_its_number_with_its_own_figures() -> None:
    updates, seconds = {1: 0.9, 2: 0.3, 3: 0.6, 5: 0.2}, {1: 2.0, 2: 8.0, 3: 4.0, 5: 6.0}
    rows = [replace(row(number, ["a"]), update_l2_norm=updates[number], seconds=seconds[number]) for number in updates]
    picture = rounds_picture(rows, planned=6)
    assert picture is not None
    found = drawn(picture)
    middle = found.said("Seconds").x
    for part, figures in ((found.between(right=middle - 15), updates), (found.between(left=middle - 30), seconds)):
        across, upright = part.across(), part.upright()
        (curve,) = [line for line in part.lines if len(line.points) == 3]
        assert [across.value(x) for x in curve.points[:, 0]] == pytest.approx([1, 2, 3], abs=0.01)
        told = [upright.value(y) for y in curve.points[:, 1]]
        assert told == pytest.approx([figures[number] for number in (1, 2, 3)], rel=0.02)
        (lone,) = [dot for dot in part.dots if dot.colour == curve.colour]
        assert (across.value(lone.x), upright.value(lone.y)) == pytest.approx((5, figures[5]), rel=0.02)


WIDE = "W" * 60
WIDTH_OF_W = 0.944 * 14
"""In Arial and what has its widths, at the size of all words."""


def test_wide_names_and_long_figures_stay_within_the_picture() -> None:
    sizes = (1e6, -300.0)
    effects = effects_picture([LinearEffect(WIDE, "step", size) for size in sizes], endpoint="os")
    shares = key_markers_picture([marker(WIDE, 0.5, 0.4, 0.6, 1)], alternative="x")
    attendance = attendance_picture({WIDE: (A, S)}, repeated=())
    assert effects is not None
    assert shares is not None
    for svg in (effects, shares, attendance):
        found = drawn(svg)
        names = [words for words in found.words if words.text.startswith("WW")]
        assert names
        for words in names:
            assert words.anchor == "end"
            assert words.text.endswith("\N{HORIZONTAL ELLIPSIS}")
            assert words.x - WIDTH_OF_W * (len(words.text) - 1) - 14 >= 0
    found = drawn(effects)
    digit = 0.556 * 14
    (long,) = (words for words in found.words if words.text.startswith("+1,000,000.000"))
    assert long.x + digit * len(long.text) * 0.85 <= 1000
    (below,) = (words for words in found.words if words.text.startswith("\N{MINUS SIGN}300"))
    names_end = max(words.x for words in found.words if words.text.startswith("WW"))
    assert below.x - digit * len(below.text) * 0.85 >= names_end, "no figure over a name"


def test_what_reads_pictures_sees_a_bar_that_lies_over_another_and_a_colour_that_is_not_the_keys() -> None:
    over = (Bar(0, 1, 0, 11, "#d55e00"), Bar(0, 1, 10, 20, "#0072b2"))
    assert not no_two_overlap(list(over))
    assert no_two_overlap([over[0], replace(over[1], top=12.0)])
    bar = '<rect x="1" y="2" width="3" height="4" fill="#AB0000"/>'
    svg = f'<svg>{bar}<path d="M0 0L5 5" fill="none" stroke="#00f"/></svg>'
    found = drawn(svg)
    assert found.bars == (Bar(1, 4, 2, 6, "#ab0000"),)
    assert isinstance(found.lines[0], Line)
    assert math.isclose(found.lines[0].height_at(2.5), 2.5)
    assert coloured(found, "#AB0000").lines == ()
