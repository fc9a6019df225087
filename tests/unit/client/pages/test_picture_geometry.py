"""Does each picture of a hospital's pages show its numbers where they belong, in the colours of its legend?"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.drawn import Bar, Drawn, Line, coloured, drawn
from tests.pages_hospital import hospital, with_causes

from oncofed.client.pages.cohort_view import dependence, strongest_markers
from oncofed.client.pages.disclosure import Spread
from oncofed.client.pages.figures import groups_figure, incidence_figure, survival_figure, what_if_figure
from oncofed.client.pages.group_outcome import GroupOutcome
from oncofed.client.pages.interaction_view import Interaction
from oncofed.client.pages.marker_figures import (
    apart,
    dependence_figure,
    network_figure,
    strength_figure,
    waterfall_figure,
)
from oncofed.client.pages.patient_view import patient_view
from oncofed.client.pages.what_if import what_if
from oncofed.picture.axes import Axis, width_of
from oncofed.picture.drawing import QUIET, Stroke, curve
from oncofed.picture.scales import ratio_limits
from oncofed.words.names import capital

HOSPITAL = hospital()
VIEW, ENDPOINT = patient_view(HOSPITAL, 4, endpoint=0), HOSPITAL.endpoint(0)
EVERYBODY = HOSPITAL.everybody
STRONGEST = strongest_markers(HOSPITAL, ENDPOINT, EVERYBODY)


def no_two_overlap(bars: list[Bar]) -> bool:
    levels = sorted(bars, key=lambda bar: bar.top)
    return all(above.bottom < below.top for above, below in pairwise(levels))


def curve_like(picture: Drawn, key: Line) -> Line:
    """The curve that is stroked as this key."""
    (found,) = [
        line
        for line in picture.lines
        if (line.colour, line.dash, line.width) == (key.colour, key.dash, key.width) and len(line.points) > 2
    ]
    return found


def test_each_curve_of_a_patient_is_the_one_that_its_key_names() -> None:
    assert VIEW.curve.adjusted is not None
    assert VIEW.similar is not None
    found = drawn(survival_figure(VIEW, HOSPITAL.schema).svg)
    across, upright = found.across(), found.upright()
    outcome = VIEW.similar.outcome
    curves = {
        "this patient": (VIEW.curve.times, VIEW.curve.survival),
        "model as released": (VIEW.curve.times, VIEW.curve.released),
        "observed: similar patients": (outcome.times, outcome.survival),
    }
    assert np.abs(VIEW.curve.released - VIEW.curve.survival).max() > 0.01, "the two could not be told apart"
    for name, (times, survival) in curves.items():
        key = found.key(name)
        assert isinstance(key, Line)
        own = curve_like(found, key)
        assert [across.value(x) for x in own.points[:, 0]] == pytest.approx(times.tolist(), abs=0.1)
        assert [upright.value(y) for y in own.points[:, 1]] == pytest.approx(survival.tolist(), abs=0.003)


def values_of(picture: Drawn, line: Line) -> list[float]:
    upright = picture.upright()
    return [upright.value(y) for y in line.points[:, 1]]


def test_what_may_come_is_stacked_the_endpoint_below_within_its_limits_beside_who_were_observed() -> None:
    here = with_causes(1500)
    views = (patient_view(here, row, endpoint=0) for row in range(50))
    view = next(each for each in views if each.similar is not None and each.similar.outcome.has_curve)
    shown, similar = view.competing, view.similar
    assert shown is not None
    assert shown.low is not None
    assert shown.high is not None
    assert similar is not None
    found = drawn(incidence_figure(view, here.schema).svg)
    (own, other), upright = shown.shares, found.upright()
    key = found.key("death of disease")
    assert isinstance(key, Line)
    assert values_of(found, curve_like(found, key)) == pytest.approx(own.tolist(), abs=0.003)
    stacks = sorted(([upright.value(y) for y in each.points[:, 1]] for each in found.areas), key=max)
    assert stacks[0] == pytest.approx([*own, *np.zeros(len(own))], abs=0.003)
    assert stacks[1] == pytest.approx([*(own + other), *own[::-1]], abs=0.003)
    limit, observed = found.key("its 95 % band"), found.key("observed: similar patients")
    assert isinstance(limit, Line)
    assert isinstance(observed, Line)
    limits = [values_of(found, each) for each in found.lines if (each.dash, each.width) == (limit.dash, limit.width)]
    limits = sorted((each for each in limits if len(each) > 2), key=sum)
    assert limits == [pytest.approx(each.tolist(), abs=0.003) for each in (shown.low, shown.high)]
    seen = values_of(found, curve_like(found, observed))
    assert seen == pytest.approx((1 - similar.outcome.survival).tolist(), abs=0.003)
    assert seen[-1] > seen[0], "who have had it, and not who have not"


@pytest.mark.parametrize("competing", [False, True])
def test_both_curves_of_a_what_if_are_those_that_their_keys_name(competing: bool) -> None:
    here = with_causes(600) if competing else HOSPITAL
    asked = what_if(here, 5, {0: 85.0}, endpoint=0)
    found = drawn(what_if_figure(asked, here.schema).svg)
    told = {}
    for name, of in (("as in the table", asked.recorded), ("what if: not the patient's values", asked.instead)):
        key = found.key(name)
        assert isinstance(key, Line)
        told[name] = values_of(found, curve_like(found, key))
        truth = of.curve.survival if of.competing is None else of.competing.shares[0]
        assert told[name] == pytest.approx(truth.tolist(), abs=0.003)
    first, second = told.values()
    assert abs(first[-1] - second[-1]) > 0.02, "the two could not be told apart"


def group(name: str, fall: float) -> GroupOutcome:
    times = np.linspace(0.0, 48.0, 9)
    survival = np.exp(-fall * times)
    return GroupOutcome(name, times, survival, survival**1.3, survival**0.8, float("inf"))


def test_each_group_is_drawn_as_its_key_says_within_its_limits() -> None:
    groups = [group("low risk", 0.005), group("middle risk", 0.02), group("high risk", 0.05)]
    found = drawn(groups_figure(groups, HOSPITAL.grid, endpoint="os").svg)
    across, upright = found.across(), found.upright()
    colours = set()
    for each in groups:
        key = found.key(each.name)
        assert isinstance(key, Line)
        colours.add(key.colour)
        own = curve_like(found, key)
        assert [across.value(x) for x in own.points[:, 0]] == pytest.approx(each.times.tolist(), abs=0.1)
        assert [upright.value(y) for y in own.points[:, 1]] == pytest.approx(each.survival.tolist(), abs=0.003)
        (band,) = coloured(found, key.colour).areas
        around = [upright.value(y) for y in band.points[:, 1]]
        assert around == pytest.approx([*each.high, *each.low[::-1]], abs=0.003)
    assert len(colours) == 3


def test_keys_that_take_two_rows_do_not_stand_on_each_other() -> None:
    groups = [group(f"{'a long name of a group of patients ' * 2}{number}", 0.01 * number) for number in (1, 2, 3)]
    found = drawn(groups_figure(groups, HOSPITAL.grid, endpoint="os").svg)
    keys = [words for words in found.words if words.text.startswith("a long name")]
    assert len({words.y for words in keys}) == 3
    first_of_the_grid = min(line.points[:, 1].min() for line in found.lines if np.ptp(line.points[:, 1]) > 30)
    assert max(words.y for words in keys) < first_of_the_grid


def test_a_strength_is_as_long_as_it_is_and_no_bar_lies_over_another() -> None:
    found = drawn(strength_figure(STRONGEST).svg)
    across, bars = found.across(), []
    for each in STRONGEST:
        (bar,) = found.bars_at(capital(each.label)[:40])
        assert [across.value(bar.left), across.value(bar.right)] == pytest.approx([0, each.strength], abs=0.004)
        bars.append(bar)
    assert no_two_overlap(bars)
    assert all(words.x - 0.4 * 14 * len(words.text) >= 0 for words in found.words if words.anchor == "end")


def test_steps_of_a_waterfall_do_not_lie_over_each_other() -> None:
    found = drawn(waterfall_figure(VIEW).svg)
    bars = [bar for bar in found.bars if bar.bottom - bar.top < 100]
    assert len(bars) >= 6
    assert no_two_overlap(bars)


def test_no_line_goes_through_a_number_of_a_waterfall() -> None:
    """What is drawn before a number ends at its ground; nothing but numbers is drawn after the first of them."""
    marks = [(each.tag.rpartition("}")[2], each) for each in ElementTree.fromstring(waterfall_figure(VIEW).svg)]
    numbers = [place for place, (_, each) in enumerate(marks) if (each.text or "").startswith(("×", "HR"))]
    assert len(numbers) >= 6
    assert numbers == list(range(numbers[0], len(marks)))
    for place in numbers:
        assert (marks[place][1].get("stroke"), marks[place][1].get("paint-order")) == ("#ffffff", "stroke")


@pytest.mark.parametrize(
    ("low", "high"), [(-0.04, 0.01), (-0.03, 0.02), (0.0, 0.0), (-1.2, -1.17), (3.69, 3.74), (-0.2, 0.3), (-4.0, 4.0)]
)
def test_hazard_ratios_at_an_axis_lie_within_it_and_are_round(low: float, high: float) -> None:
    start, end, ticks = ratio_limits(low, high)
    at, written = [place for place, _ in ticks], [float(words) for _, words in ticks]
    assert len(ticks) >= 3
    assert start <= at[0] < at[-1] <= end
    assert np.exp(at) == pytest.approx(written, rel=1e-9), "what is written is what it stands at"
    assert (1.0 in written) == (start <= 0.0 <= end)
    assert all(round(each * 200) == pytest.approx(each * 200) for each in written if each != 0.33), "of steps of 0.005"


def test_a_value_has_its_middle_and_a_whisker_from_low_to_high() -> None:
    by_value = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="age_years")
    assert by_value is not None
    assert not by_value.labels
    middle = np.array([0.1, -0.3, 0.2, 0.5])
    spreads = tuple(Spread(each - 0.05, each + 0.2, "nine in ten") for each in middle)
    found = drawn(
        dependence_figure(replace(by_value, at=np.array([40.0, 50.0, 60.0, 70.0]), middle=middle, spreads=spreads)).svg
    )
    across, upright = found.across(), found.upright()
    log_upright = [np.log(upright.values), upright.along]
    slope, start = np.polyfit(np.asarray(log_upright[1], dtype=float), np.asarray(log_upright[0], dtype=float), 1)
    assert [across.value(dot.x) for dot in found.dots] == pytest.approx([40, 50, 60, 70], abs=0.1)
    assert [start + slope * dot.y for dot in found.dots] == pytest.approx(middle.tolist(), abs=0.01)
    (joined,) = [line for line in found.lines if len(line.points) == 4]
    assert [start + slope * y for y in joined.points[:, 1]] == pytest.approx(middle.tolist(), abs=0.01)
    for dot, spread in zip(found.dots, spreads, strict=True):
        (whisker,) = [
            line
            for line in found.lines
            if np.ptp(line.points[:, 0]) == 0 and abs(line.points[0, 0] - dot.x) < 0.5 and line.colour == _WHISKER
        ]
        ends = sorted(float(start + slope * y) for y in whisker.points[:, 1])
        assert ends == pytest.approx([spread.low, spread.high], abs=0.01)


_WHISKER = "#55626d"


def test_a_category_has_its_middle_and_a_whisker_from_low_to_high() -> None:
    by_category = dependence(HOSPITAL, ENDPOINT, EVERYBODY, source="entity")
    assert by_category is not None
    middle = np.array([0.1, -0.3])
    spreads = (Spread(0.0, 0.4, "nine in ten"), None)
    found = drawn(dependence_figure(replace(by_category, labels=("lung", "skin"), middle=middle, spreads=spreads)).svg)
    across = found.across()
    slope, start = np.polyfit(across.along, np.log(across.values), 1)
    for name, value, spread in zip(("Lung", "Skin"), middle, spreads, strict=True):
        level = found.said(name).y - 5
        (dot,) = [dot for dot in found.dots if abs(dot.y - level) < 8]
        assert start + slope * dot.x == pytest.approx(value, abs=0.01)
        whiskers = [
            line for line in found.lines if np.ptp(line.points[:, 1]) == 0 and abs(line.points[0, 1] - dot.y) < 0.5
        ]
        ends = [sorted(float(start + slope * x) for x in line.points[:, 0]) for line in whiskers]
        assert ends == ([] if spread is None else [pytest.approx([spread.low, spread.high], abs=0.01)])


def test_a_pair_is_joined_in_the_stroke_of_its_key_the_stronger_the_thicker() -> None:
    pairs = (
        Interaction("alpha", "beta", 0.4, True),
        Interaction("gamma", "delta", 0.2, False),
        Interaction("epsilon", "zeta", 0.1, None),
    )
    found = drawn(network_figure(pairs).svg)
    keys = ("higher values together: worse", "higher values together: better", "depends on the category")
    places = {}
    for line in (line for line in found.lines if line.colour == QUIET):  # from a dot to its name
        (dot,) = [dot for dot in found.dots if (dot.x, dot.y) == pytest.approx(tuple(line.points[0]), abs=0.1)]
        x, y = line.points[1]
        places[dot] = found.words[int(np.argmin([np.hypot(words.x - x, words.y - y) for words in found.words]))]
    assert len(places) == 6
    widths = []
    for pair, key in zip(pairs, keys, strict=True):
        ends = [(dot.x, dot.y) for dot, words in places.items() if words.text.lower() in (pair.first, pair.second)]
        assert len(ends) == 2
        (line,) = [
            line
            for line in found.lines
            if sorted(map(tuple, line.points.round(1).tolist())) == sorted((round(x, 1), round(y, 1)) for x, y in ends)
        ]
        shown = found.key(key)
        assert isinstance(shown, Line)
        assert (line.colour, line.dash) == (shown.colour, shown.dash)
        widths.append(line.width)
    assert widths == sorted(widths, reverse=True)
    assert len({line.colour for line in found.lines} - {QUIET}) == 3


def overlapping(picture: Drawn) -> list[tuple[str, str]]:
    """Pairs of words whose boxes share a place, by the width that axes reckon with."""
    boxes = []
    for words in picture.words:
        left = words.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[words.anchor] * width_of(words.text)
        boxes.append((left, left + width_of(words.text), words.y - 12, words.y + 3, words.text))
    return [
        (one[4], other[4])
        for place, one in enumerate(boxes)
        for other in boxes[:place]
        if one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_no_two_names_of_the_network_overlap(count: int) -> None:
    """Each marker in one pair alone, with names as long as they may be: forty names at most."""
    pairs = tuple(
        Interaction(f"marker {2 * each} of a long name", f"marker {2 * each + 1} of a long name", 1 / (each + 1), True)
        for each in range(count)
    )
    found = drawn(network_figure(pairs).svg)
    names = [words for words in found.words if words.text.startswith("Marker")]
    assert len(names) == 2 * count
    assert overlapping(found) == []
    moved = replace(found, words=(*found.words, replace(names[0], y=names[0].y + 5)))
    assert overlapping(moved) != [], "the check must be able to fail"


def test_names_are_moved_no_further_than_their_neighbours_need() -> None:
    assert apart([10.0, 50.0, 90.0], 20.0) == [10.0, 50.0, 90.0]
    assert apart([50.0, 50.0, 50.0], 20.0) == [30.0, 50.0, 70.0]
    assert apart([0.0, 100.0, 101.0], 20.0) == [0.0, 90.5, 110.5]


def test_an_axis_reaches_from_its_lowest_value_to_its_highest() -> None:
    axis = Axis(-2.0, 3.0, 100.0, 600.0, ())
    assert [axis.at(value) for value in (-2.0, 0.0, 3.0)] == [100, 300, 600]
    found = drawn(waterfall_figure(VIEW).svg)
    frame = max(line.points[:, 0].max() for line in found.lines if np.ptp(line.points[:, 1]) == 0)
    marks = [*(bar.left for bar in found.bars if bar.bottom - bar.top < 100), *found.across().along]
    assert max(words.x for words in found.words if words.anchor == "end" and words.text[:1].isupper()) < min(marks)
    assert max(marks) <= frame + 0.1


def test_a_stepped_curve_stays_level_until_it_falls() -> None:
    x, y = np.array([0.0, 10.0, 20.0]), np.array([5.0, 6.0, 9.0])
    (line,) = drawn(f"<svg>{curve(x, y, Stroke('#000000'), step=True)}</svg>").lines
    assert line.points.tolist() == [[0, 5], [10, 5], [10, 6], [20, 6], [20, 9]]
