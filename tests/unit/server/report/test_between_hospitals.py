"""Does the picture of hospitals, and of one more, show its numbers where they belong? Read back from the SVG."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.drawn import Drawn, drawn

from oncofed.picture.hospitals import MOST_NAMED, hospitals_picture
from oncofed.server.report.between_hospitals import between_hospitals
from oncofed.survival.across_hospitals import AcrossHospitals, Counts, Scale, ratios_across, with_interval

NAN = float("nan")
RATIOS = ratios_across(
    [
        Counts("north", 50, 50, 0.74, 1.32),
        Counts("south", 90, 60, 1.21, 1.84),
        Counts("west", 40, 44, 0.65, 1.24),
        Counts("east", 3, 4, 0.15, 2.19),
    ]
)

CONCORDANCE = {"a": 0.60, "b": 0.68, "c": 0.75}


def slopes(values: dict[str, float]) -> AcrossHospitals:
    return AcrossHospitals.of(
        Scale.PLAIN,
        [
            with_interval(Scale.PLAIN, name, value, value - 0.2, value + 0.2, counts=True)
            for name, value in values.items()
        ],
    )


def picture(found: AcrossHospitals) -> Drawn:
    svg = hospitals_picture(found, "Calibration slope", right=1.0)
    assert svg is not None
    return drawn(svg)


def level(found: Drawn, name: str) -> float:
    return found.said(name).y - 5


def test_each_hospital_has_its_dot_and_its_interval_and_the_next_one_a_bar() -> None:
    values = {"north": 0.7, "south": 0.9, "west": 1.1}
    told = slopes(values)
    found = picture(told)
    across = found.across()
    for name, value in values.items():
        (dot,) = [each for each in found.dots if abs(each.y - level(found, name)) < 3 and each.x > 100]
        assert across.value(dot.x) == pytest.approx(value, abs=0.005)
        spans = [
            line.points
            for line in found.lines
            if np.ptp(line.points[:, 1]) == 0 and abs(line.points[0, 1] - level(found, name)) < 3
        ]
        (span,) = [each for each in spans if np.ptp(each[:, 0]) > 20]
        ends = sorted(across.value(each) for each in span[:, 0])
        assert ends == pytest.approx([value - 0.2, value + 0.2], abs=0.005)
    (bar,) = [each for each in found.bars_at("One more hospital") if each.left > 100]
    assert (across.value(bar.left), across.value(bar.right)) == pytest.approx(told.prediction, abs=0.01)
    (mean,) = [each for each in found.areas if np.ptp(each.points[:, 1]) == pytest.approx(14)]
    ends = sorted((across.value(mean.points[:, 0].min()), across.value(mean.points[:, 0].max())))
    assert ends == pytest.approx(told.interval, abs=0.01)
    upright = [line.points for line in found.lines if np.ptp(line.points[:, 0]) == 0 and line.dash]
    assert [across.value(each[0, 0]) for each in upright] == pytest.approx([1.0], abs=0.005)


def test_of_ratios_all_stands_on_a_logarithmic_axis_and_the_mean_between_its_limits() -> None:
    svg = hospitals_picture(RATIOS, "Observed over expected events", right=1.0)
    assert svg is not None
    found = drawn(svg)
    across = found.across()
    slope, start = np.polyfit(across.along, np.log(across.values), 1)

    def ratio(x: float) -> float:
        return math.exp(start + slope * x)

    (right,) = [each.points[0, 0] for each in found.lines if np.ptp(each.points[:, 0]) == 0 and each.dash]
    assert ratio(right) == pytest.approx(1.0, rel=0.005)
    for name, value in (("north", 1.0), ("south", 1.5)):
        (dot,) = [each for each in found.dots if abs(each.y - level(found, name)) < 3 and each.x > 100]
        assert ratio(dot.x) == pytest.approx(value, rel=0.005)
    (mean,) = [each.points for each in found.areas if np.ptp(each.points[:, 1]) == pytest.approx(14)]
    above, below = mean[mean[:, 1].argmin()], mean[mean[:, 1].argmax()]
    assert [ratio(above[0]), ratio(below[0])] == pytest.approx([RATIOS.mean] * 2, rel=0.005)
    assert [ratio(mean[:, 0].min()), ratio(mean[:, 0].max())] == pytest.approx(RATIOS.interval, rel=0.005)


def test_an_interval_beyond_the_axis_is_cut_and_has_no_end_there() -> None:
    wide = with_interval(Scale.PLAIN, "wide", 1.0, -40.0, 42.0, counts=True)
    found = picture(AcrossHospitals.of(Scale.PLAIN, [*slopes({"a": 0.9, "b": 1.0, "c": 1.1}).hospitals, wide]))
    here = [
        line.points
        for line in found.lines
        if abs(line.points[:, 1].mean() - level(found, "wide")) < 3 and line.points[:, 0].min() > 50
    ]
    assert [np.ptp(each[:, 1]) for each in here if np.ptp(each[:, 0]) == 0 and np.ptp(each[:, 1]) < 15] == []
    assert max(each[:, 0].max() for each in here) <= 1000 - 24 + 1e-6


def test_a_hospital_that_does_not_count_is_hollow_and_named() -> None:
    svg = hospitals_picture(RATIOS, "Observed over expected events", right=1.0)
    assert svg is not None
    found = drawn(svg)
    inner = [each for each in found.dots if each.colour == "#ffffff"]
    assert [abs(each.y - level(found, "east")) < 3 for each in inner] == [True]


def test_beyond_forty_hospitals_the_mean_and_the_next_one_are_drawn_alone() -> None:
    found = picture(slopes({f"h{number}": 0.8 + 0.01 * number for number in range(MOST_NAMED + 1)}))
    assert [each.text for each in found.words if each.text.startswith("h") and each.text[1:].isdigit()] == []
    assert found.said("One more hospital")


def test_nothing_is_drawn_of_what_no_hospital_has() -> None:
    unknown = [with_interval(Scale.LOGIT, "north", NAN, NAN, NAN, counts=True)]
    assert hospitals_picture(AcrossHospitals.of(Scale.LOGIT, unknown), "C-index", right=None) is None


def test_the_table_tells_mean_difference_and_the_next_hospital() -> None:
    ratio, slope, c_index = between_hospitals(
        ratio=RATIOS,
        slope=slopes({"north": 0.9, "south": 1.0}),
        c_index=AcrossHospitals.of(Scale.LOGIT, [with_interval(Scale.LOGIT, "a", 0.7, 0.6, 0.8, counts=True)]),
    )
    assert RATIOS.effects is not None
    assert (ratio.counted, ratio.mean) == (3, f"{RATIOS.mean:.2f}")
    assert ratio.next_one == f"{RATIOS.prediction[0]:.2f} to {RATIOS.prediction[1]:.2f}"
    assert ratio.differ == f"a factor of {math.exp(RATIOS.effects.between_sd):.2f}"
    assert (slope.counted, slope.mean, slope.next_one) == (2, "0.95", "")
    assert (c_index.counted, c_index.mean, c_index.limits, c_index.differ) == (1, "", "", "")


def test_a_difference_of_c_indices_is_told_as_one_of_logits() -> None:
    c_index = AcrossHospitals.of(
        Scale.LOGIT,
        [with_interval(Scale.LOGIT, name, at, at - 0.02, at + 0.02, counts=True) for name, at in CONCORDANCE.items()],
    )
    assert c_index.effects is not None
    (told,) = [
        each
        for each in between_hospitals(ratio=RATIOS, slope=slopes({"a": 1.0, "b": 1.0}), c_index=c_index)
        if each.name == "C-index"
    ]
    assert told.differ == f"{c_index.effects.between_sd:.3f} in its logit"
    assert told.limits == f"{c_index.interval[0]:.3f} to {c_index.interval[1]:.3f}"


def test_ratio_and_slope_are_held_against_one_and_a_c_index_against_nothing() -> None:
    c_index = AcrossHospitals.of(
        Scale.LOGIT,
        [with_interval(Scale.LOGIT, name, at, at - 0.02, at + 0.02, counts=True) for name, at in CONCORDANCE.items()],
    )
    upright = []
    for each in between_hospitals(ratio=RATIOS, slope=slopes({"a": 0.9, "b": 1.2, "c": 1.1}), c_index=c_index):
        assert each.picture is not None
        found = drawn(each.picture)
        across = found.across()
        dashed = [line.points for line in found.lines if np.ptp(line.points[:, 0]) == 0 and line.dash]
        upright.append([across.value(points[0, 0]) for points in dashed])
    assert [len(each) for each in upright] == [1, 1, 0]
    assert upright[1] == pytest.approx([1.0], abs=0.005)
