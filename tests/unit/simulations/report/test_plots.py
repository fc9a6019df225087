"""Are figures well-formed, and do they show what they were given?"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.simulations.report.explanations import ExamplePatient, Part
from oncofed.simulations.report.marker_plots import hazard_ratio_ticks, waterfall_limits, waterfall_picture
from oncofed.simulations.report.plots import comparison_picture, survival_picture
from oncofed.simulations.report.risk_groups import risk_groups

NAN = float("nan")


def parsed(svg: Markup) -> ET.Element:
    return ET.fromstring(f'<page xmlns:xlink="x">{svg}</page>')  # our own markup


def texts(svg: Markup) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter("text")]


def test_hospitals_stand_by_falling_c_index_and_the_unknown_last() -> None:
    result = fake_result(sites=3, patients=300)
    assert result.baselines is not None
    beside = replace(result.baselines, local_only=(0.61, NAN, 0.69))
    svg = comparison_picture(result.main, beside, sites=["first", "second", "third"], patients=[1, 20, 3000])
    found = texts(svg)
    assert [text for text in found if "(" in text and "chance" not in text] == [
        "third  (3,000)",
        "first  (1)",
        "second  (20)",
    ]
    assert found.count("not computed") == 1


def test_numbers_at_risk_stand_under_the_curves() -> None:
    result = fake_result(sites=2, patients=400)
    test = result.test
    groups = risk_groups(result.main, entry=test.entry[:, 0], exit_=test.exit[:, 0], observed=test.observed[:, 0])
    svg = survival_picture(groups, times=result.main.survival_times, unit="months", endpoint="overall survival")
    assert svg is not None
    found = texts(svg)
    beneath = found[found.index("Patients at risk") :] + found
    for group in groups:
        for count in group.at_risk(np.array([0.0, 24.0, 48.0])):
            assert str(count) in beneath


def patient(steps: list[float], others: float) -> ExamplePatient:
    parts = tuple(Part(f"marker {number}", "high", step) for number, step in enumerate(steps))
    return ExamplePatient("Patient A", "lowest log hazard ratio", parts, others, 4, sum(steps) + others)


def test_a_waterfall_shows_each_step_the_rest_and_the_sum() -> None:
    one = patient([0.9, -0.25, 0.1], -0.05)
    svg = waterfall_picture(one, limits=waterfall_limits([one]))
    found = texts(svg)
    minus = "\N{MINUS SIGN}"
    for text in (
        "+0.90",
        f"{minus}0.25",
        "+0.10",
        f"{minus}0.05",
        "+0.70",
        "marker 0: high",
        "4 other markers together",
    ):
        assert text in found
    assert "hazard ratio" in found
    label = parsed(svg)[0].get("aria-label") or ""
    assert label.startswith("Patient A, lowest log hazard ratio: +0.70, a hazard ratio of 2.01.")


@given(st.lists(st.floats(-30, 30), max_size=10), st.floats(-5, 5))
def test_an_axis_has_room_for_every_step(steps: list[float], others: float) -> None:
    one = patient(steps, others)
    low, high = waterfall_limits([one])
    for end in [0.0, *np.cumsum([*steps, others]), one.total]:
        assert low < end < high


@given(st.floats(-2000, 0), st.floats(0, 2000))
def test_hazard_ratio_ticks_lie_inside_and_are_few(low: float, high: float) -> None:
    ticks = hazard_ratio_ticks((low, high))
    assert len(ticks) <= 12
    assert ticks == sorted(set(ticks))
    assert all(low - 1e-9 <= np.log(tick) <= high + 1e-9 for tick in ticks)
    assert 1.0 in ticks
