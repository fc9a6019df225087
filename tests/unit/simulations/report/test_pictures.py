"""Does each figure of a simulation's report show its numbers where they belong? Read back from the SVG."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from tests.drawn import Bar, Drawn, FloatArray, Line, coloured, drawn
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.cohort.schema import Modality
from oncofed.picture.survival import Group
from oncofed.picture.survival import survival_picture as groups_picture
from oncofed.simulations.report.cohorts import CohortRow
from oncofed.simulations.report.explanations import (
    LOWERS,
    RAISES,
    ExamplePatient,
    MarkerStrength,
    Part,
)
from oncofed.simulations.report.marker_plots import (
    modalities_picture,
    strongest_picture,
    waterfall_limits,
    waterfall_picture,
)
from oncofed.simulations.report.plots import (
    calibration_picture,
    cohorts_picture,
    comparison_picture,
    survival_picture,
    training_picture,
)
from oncofed.simulations.report.risk_groups import RiskGroup
from oncofed.survival.bootstrap import BootstrapInterval
from oncofed.survival.calibration import Calibration, CalibrationGroup
from oncofed.survival.kaplan_meier import kaplan_meier
from oncofed.words.names import MODALITY_NAMES

NAN = float("nan")


def no_two_overlap(bars: list[Bar]) -> bool:
    levels = sorted(bars, key=lambda bar: bar.top)
    return all(above.bottom < below.top for above, below in pairwise(levels))


def in_the_plot(picture: Drawn) -> Drawn:
    """Without the legend above it: below the first line of the grid."""
    top = min(line.points[:, 1].min() for line in picture.lines if np.ptp(line.points[:, 1]) > 30)
    return picture.between(top=float(top) - 1)


COHORTS = [
    CohortRow("north", 100, 40, 20.0, 0.10),
    CohortRow("south", 60, 15, 20.0, 0.30),
    CohortRow("west", 30, 30, 20.0, 0.02),
]


def test_a_hospitals_bar_is_its_events_and_behind_them_the_others() -> None:
    found = drawn(cohorts_picture(COHORTS))
    split = found.said("marker values missing").x - 150
    sizes, missing = found.between(right=split), found.between(left=split)
    across, shares = sizes.across(), missing.across()
    colours = [found.key(said).colour for said in ("with the event", "without the event")]
    assert colours[0] != colours[1]
    body, firsts = in_the_plot(sizes), []
    for row in COHORTS:
        level = sizes.said(row.name).y - 3
        bars = [bar for bar in body.bars if bar.top < level < bar.bottom and bar.right - bar.left > 0.5]
        events, others = ([bar for bar in bars if bar.colour == colour] for colour in colours)
        (of_events,) = events
        assert (across.value(of_events.left), across.value(of_events.right)) == pytest.approx((0, row.events), abs=0.2)
        if row.events < row.patients:
            (of_others,) = others
            ends = (across.value(of_others.left), across.value(of_others.right))
            assert ends == pytest.approx((row.events, row.patients), abs=0.2)
        (dot,) = [dot for dot in missing.dots if abs(dot.y - events[0].middle) < 3]
        assert shares.value(dot.x) == pytest.approx(row.share_missing, abs=0.003)
        firsts += events
    assert no_two_overlap(firsts)


def test_each_round_is_drawn_at_its_number_with_its_own_figures() -> None:
    rounds = pd.DataFrame(
        {"round": [1, 2, 3, 4], "test_c_index": [0.55, 0.68, 0.61, 0.7], "update_l2_norm": [0.9, 0.4, 0.5, 0.1]}
    )
    picture = training_picture(rounds, measured_on="test patients")
    assert picture is not None
    found = drawn(picture)
    split = found.said("Length of the update").x
    for part, column in (
        (found.between(right=split - 10), "test_c_index"),
        (found.between(left=split - 30), "update_l2_norm"),
    ):
        across, upright = part.across(), part.upright()
        (curve,) = [line for line in part.lines if len(line.points) == 4]
        assert [across.value(x) for x in curve.points[:, 0]] == pytest.approx([1, 2, 3, 4], abs=0.01)
        assert [upright.value(y) for y in curve.points[:, 1]] == pytest.approx(rounds[column].tolist(), abs=0.004)


def test_rounds_that_are_the_same_but_for_rounding_have_an_axis_of_different_numbers() -> None:
    c_index = [0.5, 0.5 + 1e-16, 0.5 + 2e-16]
    rounds = pd.DataFrame({"round": [1, 2, 3], "test_c_index": c_index, "update_l2_norm": [0.0] * 3})
    picture = training_picture(rounds, measured_on="test patients")
    assert picture is not None
    ticks = [words.text for words in drawn(picture).between(right=60).words if words.anchor == "end"]
    assert len(ticks) == len(set(ticks)) > 1


def test_the_federation_stands_against_pooling_and_against_each_hospital_at_its_own_c_index() -> None:
    result = fake_result(sites=3, patients=300)
    assert result.baselines is not None
    main = replace(result.main, c_index=0.72, c_index_ci95=BootstrapInterval(0.69, 0.74, 0.95, 100, 0))
    beside = replace(result.baselines, pooled_ridge_cox=0.75, local_only=(0.61, 0.58, 0.66))
    found = drawn(comparison_picture(main, beside, sites=["first", "second", "third"], patients=[1, 20, 3000]))
    across, body = found.across(), in_the_plot(found)

    def at(name: str) -> list[float]:
        level = found.said(name).y - 3
        return [across.value(dot.x) for dot in body.dots if abs(dot.y - level) < 5]

    expected = {"Federated": 0.72, "Pooled ridge Cox": 0.75, "first": 0.61, "second": 0.58, "third": 0.66}
    for name, c_index in expected.items():
        assert at(name) == pytest.approx([c_index], abs=0.001), name
    levels = [found.said(name).y for name in ("Federated", "Pooled ridge Cox", "third", "first", "second")]
    assert levels == sorted(levels), "hospitals by falling C-index"
    level = found.said("Federated").y - 3
    (whisker,) = [line for line in body.lines if np.ptp(line.points[:, 1]) == 0 and abs(line.points[0, 1] - level) < 5]
    assert [across.value(x) for x in whisker.points[:, 0]] == pytest.approx([0.69, 0.74], abs=0.001)
    (band,) = [bar for bar in body.bars if bar.opacity < 0.5]
    assert (across.value(band.left), across.value(band.right)) == pytest.approx((0.69, 0.74), abs=0.001)
    pooled = found.key("pooled")
    assert isinstance(pooled, Line)
    upright = [line for line in coloured(body, pooled.colour).lines if np.ptp(line.points[:, 0]) == 0]
    assert [across.value(line.points[0, 0]) for line in upright] == pytest.approx([0.75], abs=0.001)
    assert all(line.dash for line in upright)


def test_hospitals_that_are_alike_have_an_axis_of_different_numbers_and_wide_names_keep_their_counts() -> None:
    result = fake_result(sites=3, patients=300)
    assert result.baselines is not None
    main = replace(result.main, c_index=0.7, c_index_ci95=BootstrapInterval(0.7, 0.7, 0.95, 100, 0))
    beside = replace(result.baselines, pooled_ridge_cox=0.7, local_only=(0.7, 0.7, 0.7 + 1e-16))
    found = drawn(comparison_picture(main, beside, sites=["W" * 60, "m" * 60, "i" * 60], patients=[1, 20, 3_000_000]))
    ticks = [words.text for words in found.words if words.anchor == "middle" and re.fullmatch(r"[\d.]+", words.text)]
    assert len(ticks) == len(set(ticks)) > 1
    for letter, width, count in (("W", 0.944, "(1)"), ("m", 0.833, "(20)"), ("i", 0.222, "(3,000,000)")):
        name = found.said(letter * 5)
        assert name.text.endswith(f"  {count}")
        assert name.x - 14 * width * name.text.count(letter) - 14 * 0.556 * (len(count) + 1) >= 0


END = 48.0
TIMES = np.linspace(0, END, 62)[1:-1]
STEP = END / 240
"""Curves are drawn at so many places, so an event just behind the middle of two is missed by an early step alone."""


def risk_group(name: str, *, seed: int, slope: float) -> RiskGroup:
    """60 patients, 12 of whom have the event at known times, the others being followed for long."""
    rng = np.random.default_rng(seed)
    event = (np.sort(rng.choice(200, size=12, replace=False)) + 0.6) * STEP
    exit_ = np.concatenate([event, np.full(48, END + 9)])
    observed = np.arange(60) < 12
    entry = np.zeros(60)
    curve = kaplan_meier(time=exit_, observed=observed, entry=entry)
    return RiskGroup(name, curve, np.exp(-slope * TIMES), entry, exit_)


def slow_survival(group: RiskGroup, time: float) -> float:
    """Nobody is censored before the last event."""
    return float(1 - (group.exit[:12] <= time).sum() / 60)


def test_survival_is_drawn_when_it_falls_and_what_was_predicted_is_drawn_as_predicted() -> None:
    groups = [
        risk_group(name, seed=seed, slope=0.004 * (seed + 1)) for seed, name in enumerate(("low", "middle", "high"))
    ]
    picture = survival_picture(groups, times=np.append(TIMES[:-1], END), unit="months", endpoint="os")
    assert picture is not None
    found = drawn(picture)
    curves = found.between(bottom=found.said("months").y)
    across, upright = curves.across(), curves.upright()
    body = in_the_plot(curves)
    keys = {
        (group.name, kind): found.key(f"{group.name} risk, {kind}")
        for group in groups
        for kind in ("observed", "predicted")
    }
    assert len({key.colour for key in keys.values()}) == 3
    for group in groups:
        observed, predicted = keys[group.name, "observed"], keys[group.name, "predicted"]
        assert isinstance(observed, Line)
        assert isinstance(predicted, Line)
        assert observed.colour == predicted.colour
        assert (bool(observed.dash), bool(predicted.dash)) == (False, True)
        own = coloured(body, observed.colour)
        (step,) = [line for line in own.lines if not line.dash and len(line.points) > 10]
        (dashed,) = [line for line in own.lines if line.dash and len(line.points) > 5]
        for time in (np.arange(200) + 0.5) * STEP:
            drawn_there = upright.value(step.height_at(across.place(time)))
            assert drawn_there == pytest.approx(slow_survival(group, time), abs=0.004), f"after {time} months"
        told = [upright.value(dashed.height_at(across.place(time))) for time in TIMES[1:-2:7]]
        assert told == pytest.approx(group.predicted[1:-2:7].tolist(), abs=0.006)
        (band,) = own.areas
        for time in (group.exit[3] + STEP * 0.9, group.exit[8] + STEP * 0.9):
            low, high = (float(limit[0]) for limit in group.observed.interval_at(np.array([time])))
            near = band.points[np.abs(band.points[:, 0] - across.place(time)) < 4]
            assert upright.value(near[:, 1].max()) == pytest.approx(low, abs=0.03)
            assert upright.value(near[:, 1].min()) == pytest.approx(high, abs=0.03)


def test_steps_stand_at_the_event_with_their_band_also_two_at_one_place_and_go_on_to_the_end() -> None:
    steps = np.array([5.0, 11.0, 30.0, 30.001, 60.0])
    observed = np.array([0.9, 0.7, 0.6, 0.4, 0.3])
    low, high = observed - 0.1, observed + 0.05
    at = np.array([0.0, 12.0, 24.0, 48.0])
    group = Group("low", "#0072b2", steps, observed, low, high, at, np.array([1.0, 0.85, 0.6, 0.5]), range(9))
    found = drawn(groups_picture([group], end=48.0, unit="months", alternative="a"))
    curves = found.between(bottom=found.said("months").y)
    across, upright, body = curves.across(), curves.upright(), in_the_plot(curves)
    (curve,) = (line for line in body.lines if not line.dash and len(line.points) > 5)
    (band,) = body.areas
    for places, before_first in ((curve.points, 0.0), (band.points, 5.0)):
        reach = [across.value(float(each)) for each in (places[:, 0].min(), places[:, 0].max())]
        assert reach == pytest.approx([before_first, 48.0], abs=0.03)
    for time, value in ((4.9, 1.0), (5.1, 0.9), (10.9, 0.9), (11.1, 0.7), (29.9, 0.7), (30.1, 0.4), (47.9, 0.4)):
        assert upright.value(curve.height_at(across.place(time))) == pytest.approx(value, abs=3e-3), time
    for time, place in ((8.0, 0), (20.0, 1), (40.0, 3)):
        edges = crossed(band.points, across.place(time))
        limits = pytest.approx([low[place], high[place]], abs=3e-3)
        assert sorted(upright.value(edge) for edge in edges) == limits, time


def crossed(outline: FloatArray, x: float) -> list[float]:
    """At which heights a closed outline goes through this place."""
    following = np.roll(outline, -1, axis=0)
    through = (outline[:, 0] - x) * (following[:, 0] - x) < 0
    return [float(y) for y in outline[through, 1]]


def test_numbers_at_risk_stand_beneath_their_time_and_beside_their_group() -> None:
    groups = [risk_group(name, seed=seed, slope=0.01) for seed, name in enumerate(("low", "high"))]
    groups[1] = replace(groups[1], entry=np.append(np.zeros(50), np.full(10, 5.0)))
    picture = survival_picture(groups, times=np.append(TIMES[:-1], END), unit="months", endpoint="os")
    assert picture is not None
    found = drawn(picture)
    beneath = found.between(top=found.said("months").y + 2)
    across = found.between(bottom=found.said("months").y).across()
    for group in groups:
        (level,) = [each.y for each in beneath.words if each.text == group.name]
        numbers = {
            round(across.value(each.x), 2): each.text
            for each in beneath.words
            if abs(each.y - level) < 3 and re.fullmatch(r"\d+", each.text)
        }
        expected = {
            time: sum((e < time or e == 0) and x >= time for e, x in zip(group.entry, group.exit, strict=True))
            for time in numbers
        }
        assert {time: int(text) for time, text in numbers.items()} == expected
        assert len(numbers) >= 5


def test_calibration_is_drawn_as_predicted_against_observed_with_its_interval_the_right_way_up() -> None:
    groups = (
        CalibrationGroup(50, 0.10, 0.15, 0.12, 0.22),
        CalibrationGroup(50, 0.30, 0.25, 0.15, 0.28),
        CalibrationGroup(50, 0.55, 0.60, 0.50, 0.64),
        CalibrationGroup(50, 0.02, 0.0, NAN, NAN),
    )
    risk = np.repeat([0.10, 0.30, 0.55, 0.02], 50)
    picture = calibration_picture(Calibration(36.0, groups, 1.0, 1.0, 0.9, 1.1), risk, unit="months")
    assert picture is not None
    found = drawn(picture)
    counts = found.said("patients")
    upper = found.between(bottom=counts.y - 40)
    across, upright = found.across(), upper.upright()
    body = in_the_plot(found)
    key = found.key("observed, 95 % interval")
    dots = sorted(coloured(body, key.colour).dots, key=lambda dot: dot.x)
    by_risk = sorted(groups, key=lambda group: group.predicted)
    assert [across.value(dot.x) for dot in dots] == pytest.approx([group.predicted for group in by_risk], abs=0.005)
    assert [upright.value(dot.y) for dot in dots] == pytest.approx([group.observed for group in by_risk], abs=0.005)
    for dot, group in zip(dots, by_risk, strict=True):
        whiskers = [
            line
            for line in coloured(body, key.colour).lines
            if np.ptp(line.points[:, 0]) == 0 and abs(line.points[0, 0] - dot.x) < 0.5 and np.ptp(line.points[:, 1]) > 1
        ]
        ends = [sorted(upright.value(y) for y in line.points[:, 1]) for line in whiskers]
        expected = (
            []
            if math.isnan(group.low)
            else [[pytest.approx(group.low, abs=0.005), pytest.approx(group.high, abs=0.005)]]
        )
        assert ends == expected
    agreement = found.key("perfect agreement")
    (diagonal,) = [
        line for line in coloured(body, agreement.colour).lines if line.dash and np.ptp(line.points[:, 0]) > 50
    ]
    for x, y in diagonal.points:
        assert across.value(x) == pytest.approx(upright.value(y), abs=0.005)


def test_many_hospitals_fall_from_the_largest_and_are_counted_by_what_they_lack() -> None:
    rows = [CohortRow(f"h{place}", 10 + 7 * place % 50, 3 + place % 5, 20.0, 0.01 * (place % 4)) for place in range(50)]
    found = drawn(cohorts_picture(rows))
    split = found.said("marker values missing").x - 190
    sizes, missing = found.between(right=split), found.between(left=split)
    upright, counted = sizes.upright(), missing.upright()
    ordered = sorted(rows, key=lambda row: -row.patients)
    bottom = upright.place(0.0)
    keys = found.between(bottom=26)
    for said, values in (
        ("patients", [row.patients for row in ordered]),
        ("of these with the event", [row.events for row in ordered]),
    ):
        colour = keys.key(said).colour
        (shape,) = coloured(sizes, colour).areas
        edges = np.linspace(shape.points[:, 0].min(), shape.points[:, 0].max(), len(rows) + 1)
        upper = shape.points[shape.points[:, 1] < bottom - 0.2]
        for place, value in enumerate(values):
            here = upper[(upper[:, 0] > edges[place] - 0.2) & (upper[:, 0] < edges[place + 1] + 0.2)]
            heights = [upright.value(y) for y in here[:, 1]]
            assert any(each == pytest.approx(value, abs=0.3) for each in heights), (said, place)
    assert keys.key("patients").colour != keys.key("of these").colour
    across = missing.across()
    bars = [bar for bar in missing.bars if bar.bottom == pytest.approx(bottom, abs=0.2) and bar.right - bar.left > 2]
    for share in (0.0, 0.01, 0.02, 0.03):
        (bar,) = (bar for bar in bars if bar.left - 0.1 <= across.place(share) < bar.right - 0.1)
        assert counted.value(bar.top) == pytest.approx(sum(row.share_missing == share for row in rows), abs=0.2)
    assert len(bars) == 4


def test_chance_is_a_line_at_one_half() -> None:
    rounds = pd.DataFrame({"round": [1, 2], "test_c_index": [0.55, 0.7], "update_l2_norm": [0.9, 0.4]})
    picture = training_picture(rounds, measured_on="test patients")
    assert picture is not None
    found = drawn(picture)
    left = found.between(right=found.said("Length of the update").x - 10)
    (chance,) = (line for line in left.lines if line.dash)
    assert [left.upright().value(y) for y in chance.points[:, 1]] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert found.said("chance").y == pytest.approx(chance.points[0, 1], abs=8)


def test_more_hospitals_than_can_be_named_are_dots_at_their_c_index_and_lines_are_what_their_keys_say() -> None:
    result = fake_result(sites=3, patients=300)
    assert result.baselines is not None
    alone = np.linspace(0.55, 0.69, 50)
    main = replace(result.main, c_index=0.72, c_index_ci95=BootstrapInterval(0.69, 0.74, 0.95, 100, 0))
    beside = replace(result.baselines, pooled_ridge_cox=0.75, local_only=tuple(alone.tolist()))
    found = drawn(comparison_picture(main, beside, sites=[f"h{place}" for place in range(50)], patients=[9] * 50))
    across, body = found.across(), in_the_plot(found)
    crowd = sorted(across.value(dot.x) for dot in body.dots if dot.y > found.said("Pooled ridge Cox").y + 8)
    assert crowd == pytest.approx(alone.tolist(), abs=1e-3)
    for said, value in (("federated", 0.72), ("pooled", 0.75), ("mean of hospitals alone", float(alone.mean()))):
        key = found.key(said)
        assert isinstance(key, Line)
        upright = [
            line
            for line in coloured(body, key.colour).lines
            if line.dash == key.dash and np.ptp(line.points[:, 0]) == 0 and np.ptp(line.points[:, 1]) > 50
        ]
        assert [across.value(line.points[0, 0]) for line in upright] == [pytest.approx(value, abs=1e-3)], said


def test_bars_beneath_calibration_count_whom_each_risk_was_told() -> None:
    groups = (CalibrationGroup(50, 0.10, 0.15, 0.12, 0.22), CalibrationGroup(50, 0.55, 0.60, 0.50, 0.64))
    risk = np.concatenate((np.full(30, 0.1), np.full(70, 0.55)))
    picture = calibration_picture(Calibration(36.0, groups, 1.0, 1.0, 0.9, 1.1), risk, unit="months")
    assert picture is not None
    found = drawn(picture)
    lower = found.between(top=found.said("patients").y - 45)
    across, counted = lower.across(), lower.upright()
    bars = [bar for bar in lower.bars if bar.bottom == pytest.approx(counted.place(0.0), abs=0.2)]
    assert len(bars) == 2
    for told, number in ((0.1, 30), (0.55, 70)):
        (bar,) = (bar for bar in bars if bar.left - 0.1 <= across.place(told) <= bar.right + 0.1)
        assert counted.value(bar.top) == pytest.approx(number, abs=1)


STRENGTHS = [
    MarkerStrength("crp", Modality.LABORATORY, "mg/l", 0.5, 0.5, RAISES, ""),
    MarkerStrength("age", Modality.CLINICAL, "years", 0.3, 0.3, LOWERS, ""),
    MarkerStrength("TP53", Modality.DNA_MUTATION, "", 0.2, 0.2, RAISES, ""),
]


def test_a_markers_bar_is_its_strength_in_the_colour_of_its_modality() -> None:
    found = drawn(strongest_picture(STRENGTHS))
    across, body = found.across(), in_the_plot(found)
    bars = []
    for each in STRENGTHS:
        (bar,) = body.bars_at(each.name)
        assert [across.value(bar.left), across.value(bar.right)] == pytest.approx([0, each.strength], abs=0.003)
        assert bar.colour == found.key(MODALITY_NAMES[each.modality]).colour
        (way,) = [words for words in body.words if words.x > bar.right and abs(words.y - 3 - bar.middle) < 4]
        assert ("raises" in way.text) == (each.direction == RAISES)
        bars.append(bar)
    assert len({bar.colour for bar in bars}) == 3
    assert no_two_overlap(bars)


def test_modalities_are_as_long_as_their_shares() -> None:
    found = drawn(modalities_picture([(Modality.CLINICAL, 0.6), (Modality.LABORATORY, 0.3), (Modality.TREATMENT, 0.1)]))
    bars = [
        found.bars_at(MODALITY_NAMES[each])[0] for each in (Modality.CLINICAL, Modality.LABORATORY, Modality.TREATMENT)
    ]
    lengths = np.array([bar.right - bar.left for bar in bars])
    assert (lengths / lengths.sum()).tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.003)
    assert len({bar.colour for bar in bars}) == 3
    assert no_two_overlap(bars)


def test_a_waterfall_begins_at_nothing_and_each_bar_where_the_last_has_ended() -> None:
    steps = [0.9, -0.4, 0.2, -0.1]
    parts = tuple(Part(f"marker {number}", "", step) for number, step in enumerate(steps))
    patient = ExamplePatient("Patient A", "lowest", parts, -0.25, 4, sum(steps) - 0.25)
    found = drawn(waterfall_picture(patient, limits=waterfall_limits([patient])))
    beneath = found.between(top=found.said("log hazard ratio against").y - 30)
    across = beneath.across()
    at, colours, bars = 0.0, {True: set[str](), False: set[str]()}, []
    for name, step in [*((part.marker, part.log_hazard_ratio) for part in parts), ("4 other", -0.25)]:
        level = found.said(name).y - 3
        (bar,) = [bar for bar in found.bars if bar.top < level < bar.bottom and bar.colour not in ("white", "#ffffff")]
        assert [across.value(bar.left), across.value(bar.right)] == pytest.approx(sorted((at, at + step)), abs=0.005)
        at += step
        colours[step > 0].add(bar.colour)
        bars.append(bar)
    level = found.said("log hazard ratio of").y - 3
    (own,) = [bar for bar in found.bars if bar.top < level < bar.bottom and bar.colour not in ("white", "#ffffff")]
    assert [across.value(own.left), across.value(own.right)] == pytest.approx(sorted((0.0, patient.total)), abs=0.005)
    assert {len(each) for each in colours.values()} == {1}
    assert not colours[True] & colours[False]
    assert no_two_overlap([*bars, own])
    above = found.between(bottom=beneath.words[0].y - 30).across()
    for ratio in above.values:
        assert across.value(above.along[above.values.index(ratio)]) == pytest.approx(math.log(ratio), abs=0.01)


def test_a_step_to_the_right_has_the_colour_that_all_reports_give_to_a_higher_hazard() -> None:
    """No legend stands beside a waterfall; the colours are those of the coordinator's report, which has one."""
    from oncofed.server.report.linear_effects import LinearEffect  # noqa: PLC0415 - of the other end, here alone
    from oncofed.server.report.plots import effects_picture  # noqa: PLC0415

    effects = effects_picture([LinearEffect("a", "b", 0.5), LinearEffect("c", "d", -0.5)], endpoint="os")
    assert effects is not None
    keys = [drawn(effects).key(said).colour for said in ("higher hazard", "lower hazard")]
    parts = (Part("up", "", 0.9), Part("down", "", -0.4))
    patient = ExamplePatient("Patient A", "lowest", parts, 0.0, 0, 0.5)
    found = drawn(waterfall_picture(patient, limits=waterfall_limits([patient])))
    for name, colour in zip(("up", "down"), keys, strict=True):
        level = found.said(name).y - 3
        (bar,) = [bar for bar in found.bars if bar.top < level < bar.bottom and bar.colour not in ("white", "#ffffff")]
        assert bar.colour == colour
