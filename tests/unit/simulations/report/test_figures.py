"""Do the figures of a run's report show the numbers that they are about? Read back from their SVG."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.read_back import Mark, bars, do_not_overlap, legend, level_axes, marks, of, texts, upright_axes, within
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.picture.survival import Group
from oncofed.picture.survival import survival_picture as groups_picture
from oncofed.simulations.report.cohorts import CohortRow, cohort_rows
from oncofed.simulations.report.explanations import ExamplePatient, Part
from oncofed.simulations.report.marker_plots import waterfall_limits, waterfall_picture
from oncofed.simulations.report.plots import (
    calibration_picture,
    cohorts_picture,
    comparison_picture,
    survival_picture,
    training_picture,
)
from oncofed.simulations.report.risk_groups import risk_groups

BLUE, SKY, GREY, VERMILLION, INK = "#0072b2", "#56b4e9", "#6b7680", "#d55e00", "#1f2a33"
RESULT = fake_result(sites=4, patients=400)


def rows_of(found: list[Mark], names: list[str]) -> dict[str, float]:
    """The middle of each named row."""
    return {each.words: each.at("y")[0] - 5 for each in of(found, "text") if each.words in names}


def test_bars_of_cohorts_end_at_events_and_patients_and_dots_lie_at_what_is_missing() -> None:
    rows = cohort_rows(RESULT.hospitals)
    found = marks(cohorts_picture(rows))
    assert within(found)
    patients, missing = level_axes(found)
    keys, heights = legend(found), rows_of(found, [row.name.replace("_", " ") for row in rows])
    dark, pale = bars(found, BLUE), bars(found, SKY)
    assert [keys[name].colour for name in ("with the event", "without the event")] == [BLUE, SKY]
    assert do_not_overlap(dark)
    dots = of(found, "circle", GREY)
    for row, event, other, dot in zip(rows, dark, pale, dots, strict=True):
        assert patients.value(event.at("x")[0]) == pytest.approx(0, abs=0.2)
        assert patients.value(sum(event.at("x", "width"))) == pytest.approx(row.events, abs=0.2)
        assert patients.value(other.at("x")[0]) == pytest.approx(row.events, abs=0.2)
        assert patients.value(sum(other.at("x", "width"))) == pytest.approx(row.patients, abs=0.2)
        assert missing.value(dot.at("cx")[0]) == pytest.approx(row.share_missing, abs=1e-3)
        middle = heights[row.name.replace("_", " ")]
        assert event.at("y")[0] < middle < sum(event.at("y", "height"))
        assert dot.at("cy")[0] == pytest.approx(middle, abs=0.1)


def test_many_cohorts_fall_from_the_largest() -> None:
    (template, *_) = cohort_rows(RESULT.hospitals)
    rows: list[CohortRow] = [
        replace(template, name=f"h{place}", patients=10 + 7 * place % 50, events=(7 * place % 50) // 2)
        for place in range(50)
    ]
    found = marks(cohorts_picture(rows))
    assert within(found)
    patients, _ = upright_axes(found)
    for colour, want in ((SKY, "patients"), (BLUE, "events")):
        (path,) = of(found, "path", colour)
        ordered = [getattr(row, want) for row in sorted(rows, key=lambda row: -row.patients)]
        upper = path.points[: 2 * len(rows) + 1]
        drawn = [patients.value(place) for place in upper[:-1:2, 1]]
        np.testing.assert_allclose(drawn, ordered, atol=0.3)
    counted = [sum(each.at("height")) for each in bars(found, GREY)]
    assert counted, "all have the same share missing, in one bar"


def test_training_lies_at_its_rounds_and_values() -> None:
    svg = training_picture(RESULT.rounds, measured_on="test patients")
    assert svg is not None
    found = marks(svg)
    assert within(found)
    levels, uprights = level_axes(found), upright_axes(found)
    for x, y, colour, column in zip(
        levels, uprights, (BLUE, VERMILLION), ("test_c_index", "update_l2_norm"), strict=True
    ):
        (path,) = of(found, "path", colour)
        np.testing.assert_allclose([x.value(each) for each in path.points[:, 0]], RESULT.rounds["round"], atol=0.05)
        np.testing.assert_allclose([y.value(each) for each in path.points[:, 1]], RESULT.rounds[column], atol=2e-3)
    (chance,) = (line for line in of(found, "line", GREY) if line.attributes.get("stroke-dasharray"))
    assert uprights[0].value(chance.at("y1")[0]) == pytest.approx(0.5, abs=2e-3)


def test_hospitals_alone_the_federation_and_the_pool_lie_at_their_c_index() -> None:
    assert RESULT.baselines is not None
    beside = replace(RESULT.baselines, local_only=(0.61, 0.55, 0.69, 0.58))
    names = ["first", "second", "third", "fourth"]
    found = marks(comparison_picture(RESULT.main, beside, sites=names, patients=[1, 20, 3000, 4]))
    assert within(found)
    (x,) = level_axes(found)
    heights = rows_of(found, texts(found))
    alone = {"third  (3,000)": 0.69, "first  (1)": 0.61, "fourth  (4)": 0.58, "second  (20)": 0.55}
    dots = of(found, "circle", GREY)
    for dot, (name, value) in zip(dots, alone.items(), strict=True):
        assert x.value(dot.at("cx")[0]) == pytest.approx(value, abs=1e-3)
        assert dot.at("cy")[0] == pytest.approx(heights[name], abs=0.1)
    (federated,) = of(found, "circle", BLUE)
    assert x.value(federated.at("cx")[0]) == pytest.approx(RESULT.main.c_index, abs=1e-3)
    interval = RESULT.main.c_index_ci95
    (whisker,) = (
        each
        for each in of(found, "line", BLUE)
        if each.attributes["y1"] == each.attributes["y2"] and each.at("y1")[0] == federated.at("cy")[0]
    )
    limits = pytest.approx([interval.low, interval.high], abs=1e-3)
    assert [x.value(each) for each in whisker.at("x1", "x2")] == limits
    (shade,) = bars(found, BLUE)
    assert [x.value(each) for each in (shade.at("x")[0], sum(shade.at("x", "width")))] == limits
    keys = legend(found)
    for name, value in (
        ("federated", RESULT.main.c_index),
        ("pooled", beside.pooled_ridge_cox),
        ("mean of hospitals alone", (0.61 + 0.69 + 0.58 + 0.55) / 4),
    ):
        look = [keys[name].attributes.get(each) for each in ("stroke", "stroke-dasharray")]
        (drawn,) = (
            each
            for each in of(found, "line")
            if each.attributes["x1"] == each.attributes["x2"]
            and [each.attributes.get(name) for name in ("stroke", "stroke-dasharray")] == look
            and abs(each.at("y2")[0] - each.at("y1")[0]) > 50
        )
        assert x.value(drawn.at("x1")[0]) == pytest.approx(value, abs=1e-3), name


def test_observed_curves_step_at_the_event_and_predicted_ones_are_dashed_and_apart() -> None:
    steps = np.array([5.0, 11.0, 30.0, 44.0])
    observed = np.array([0.9, 0.7, 0.7, 0.4])
    at, predicted = np.array([0.0, 12.0, 24.0, 48.0]), np.array([1.0, 0.85, 0.6, 0.5])
    group = Group(
        "low", BLUE, steps, observed, observed - 0.1, observed + 0.05, at, predicted, (9, 8, 7, 6, 5, 4, 3, 2, 1)
    )
    found = marks(groups_picture([group], end=48.0, unit="months", alternative="a"))
    assert within(found)
    (x,), (y,) = level_axes(found), upright_axes(found)
    keys = legend(found)
    lines = {
        bool(each.attributes.get("stroke-dasharray")): each
        for each in of(found, "path")
        if each.attributes["fill"] == "none"
    }
    assert "stroke-dasharray" not in keys["low risk, observed"].attributes
    assert "stroke-dasharray" in keys["low risk, predicted"].attributes
    drawn = [(x.value(place), y.value(height)) for place, height in lines[True].points]
    np.testing.assert_allclose(drawn, np.column_stack((at, predicted)), atol=0.03)
    corners = [(x.value(place), y.value(height)) for place, height in lines[False].points]
    for time, before, after in ((5, 1.0, 0.9), (11, 0.9, 0.7), (44, 0.7, 0.4)):
        here = [height for place, height in corners if abs(place - time) < 0.05]
        assert here[0] == pytest.approx(before, abs=2e-3), "level until the event"
        assert here[-1] == pytest.approx(after, abs=2e-3), "and down at it"
    (band,) = (each for each in of(found, "path") if each.attributes.get("fill-opacity"))
    edges = np.array([(x.value(place), y.value(height)) for place, height in band.points])
    at_20 = edges[np.abs(edges[:, 0] - 11) < 0.05][:, 1]
    assert [at_20.min(), at_20.max()] == pytest.approx([0.6, 0.95], abs=2e-3)
    risk = [
        each for each in of(found, "text") if each.words in "987654321" and each.attributes["text-anchor"] == "middle"
    ]
    beneath = [each for each in risk if each.at("y")[0] == max(other.at("y")[0] for other in risk)]
    ticks = [x.value(each.at("x")[0]) for each in beneath]
    np.testing.assert_allclose(ticks, np.arange(0, 49, 6), atol=0.05)


def test_a_runs_groups_are_drawn_in_their_colours_with_what_was_observed_as_steps() -> None:
    main, test = RESULT.main, RESULT.test
    groups = risk_groups(main, entry=test.entry[:, 0], exit_=test.exit[:, 0], observed=test.observed[:, 0])
    svg = survival_picture(groups, times=main.survival_times, unit="months", endpoint="overall survival")
    assert svg is not None
    found = marks(svg)
    assert within(found)
    x, y, keys = level_axes(found)[0], upright_axes(found)[0], legend(found)
    for group in groups:
        for kind, dashed in (("observed", False), ("predicted", True)):
            colour = keys[f"{group.name} risk, {kind}"].colour
            (path,) = (
                each
                for each in of(found, "path", colour)
                if each.attributes["fill"] == "none" and ("stroke-dasharray" in each.attributes) == dashed
            )
            corners = np.array([(x.value(place), y.value(height)) for place, height in path.points])
            if dashed:
                want = np.interp(corners[:, 0], [0.0, *main.survival_times], [1.0, *group.predicted])
                np.testing.assert_allclose(corners[:, 1], want, atol=4e-3)
            else:
                levels = corners[1::2][:-1]  # before each step
                want = group.observed.at(levels[:, 0] - 0.1)
                assert (np.abs(levels[:, 1] - want) < 4e-3).mean() > 0.8, "steps nearer than 0.1 months apart"


def test_calibration_has_predicted_level_and_observed_upright() -> None:
    calibration, risk = RESULT.main.calibration, RESULT.main.risk_at_horizon
    assert calibration is not None
    svg = calibration_picture(calibration, risk, unit="months")
    assert svg is not None
    found = marks(svg)
    assert within(found)
    x, y = level_axes(found)[0], upright_axes(found)[0]
    known = [group for group in calibration.groups if not math.isnan(group.observed)]
    dots = [each for each in of(found, "circle", BLUE) if each.at("cy")[0] > 30]
    assert {each.words for each in of(found, "text") if "transform" in each.attributes} == {
        "observed risk by 36 months",
        "patients",
    }
    for dot, group in zip(dots, known, strict=True):
        assert x.value(dot.at("cx")[0]) == pytest.approx(group.predicted, abs=2e-3)
        assert y.value(dot.at("cy")[0]) == pytest.approx(group.observed, abs=2e-3)
        whiskers = [
            each
            for each in of(found, "line", BLUE)
            if each.attributes["x1"] == each.attributes["x2"] == dot.attributes["cx"]
        ]
        if not math.isnan(group.low):
            (whisker,) = whiskers
            limits = [y.value(place) for place in whisker.at("y1", "y2")]
            assert limits == pytest.approx([group.low, group.high], abs=2e-3)
    counts = upright_axes(found)[1]
    most = sum(counts.value(each.at("y")[0]) for each in bars(found, SKY))
    assert most == pytest.approx(len(risk), abs=1.5)


def test_a_waterfall_begins_at_0_and_each_bar_where_the_last_has_ended() -> None:
    steps, others = [0.9, -0.25, 0.1], -0.05
    parts = tuple(Part(f"marker {place}", "high", step) for place, step in enumerate(steps))
    one = ExamplePatient("Patient A", "lowest", parts, others, 4, sum(steps) + others)
    found = marks(waterfall_picture(one, limits=waterfall_limits([one])))
    assert within(found)
    x = level_axes(found)[-1]
    drawn = [each for each in bars(found, VERMILLION, BLUE, INK) if each.colour != INK]
    at = 0.0
    for bar, step in zip(drawn, [*steps, others], strict=True):
        ends = sorted((at, at + step))
        assert [x.value(each) for each in (bar.at("x")[0], sum(bar.at("x", "width")))] == pytest.approx(ends, abs=4e-3)
        assert bar.colour == (VERMILLION if step > 0 else BLUE)
        at += step
    (whole,) = bars(found, INK)
    assert x.value(sum(whole.at("x", "width"))) == pytest.approx(one.total, abs=4e-3)
    assert do_not_overlap([*drawn, whole])
    for each in of(found, "text"):
        if each.at("y")[0] == 38:
            assert x.value(each.at("x")[0]) == pytest.approx(math.log(float(each.words)), abs=4e-3)
