"""Does the coordinator's page say whether risks are right, before any C-index where they are wrong?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.summaries import calibration_of
from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study
from tests.unit.server.report.test_measured import measured_plan, words
from tests.unit.server.report.test_measured import released as counts_of

from oncofed.protocol.expected_layout import BLOCK_WEIGHTS, OVERALL_WEIGHTS, expected_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.server.evaluation.calibration import EndpointCalibration, MeasuredCalibration, Ratio
from oncofed.server.evaluation.concordance import Estimate
from oncofed.server.report.page import render_report
from oncofed.server.report.released_calibration import page_of_calibration
from oncofed.server.report.released_figures import released_calibration_figures
from oncofed.server.rounds.state import ReleasedSummary


def calibrated_plan() -> StudyPlan:
    plan = fake_plan(fake_schema())
    first, *_, last = plan.model.grid.bounds
    spec = replace(calibration_of(plan, noise_multiplier=1.0, windows=(first, last)), smallest_shown=10.0)
    return replace(plan, summaries=(spec,), held_out_fraction=0.2)


def released(plan: StudyPlan, *, ratio: float = 1.0, slope: float = 1.0, expected: float = 1000.0) -> ReleasedSummary:
    layout = expected_layout(plan, plan.summaries[-1])
    less, variance = (ratio - 1) * expected, 0.2
    less_z = (slope - 1) * layout.spread * variance * ratio * expected
    overall = np.array([less, less_z, expected, 0.0, variance * expected]) * OVERALL_WEIGHTS
    block = np.full((*layout.block[:2], 2), [less, expected]) * BLOCK_WEIGHTS
    return ReleasedSummary(np.concatenate([overall, block.ravel()]) / layout.bound, plan.roster[:3])


def told(**figures: float) -> str:
    plan = calibrated_plan()
    return words(replace(fake_study(plan=plan), summaries={"calibration": released(plan, **figures)}))


def test_right_risks_are_told_with_their_intervals_and_no_warning() -> None:
    page = told()
    assert "Slope: 1.00 (95 % interval 0.91 to 1.09)" in page
    assert "everybody 1.00 (0.94 to 1.06) 1,000 expected" in page
    assert "Released by 3 hospitals after the last round, with noise of standard deviation" in page
    assert "The predicted risks are wrong" not in page
    assert "All of it is privately released" in page


def test_wrong_risks_stand_at_the_top_before_everything_else() -> None:
    page = told(slope=0.7)
    assert "Predicted risks are too extreme" in page
    assert page.index("The predicted risks are wrong") < page.index("Rounds done")
    assert "Predicted risks are too timid" in told(slope=1.4)
    few = told(ratio=0.6)
    assert "More or fewer events came than the model predicts: everybody, all along: 0.60 times the 1,000" in few
    assert few.index("More or fewer events came") < few.index("Rounds done")


def test_figures_of_few_expected_events_are_not_shown() -> None:
    page = told(expected=8.0)
    assert "Slope: not shown: too few events for the noise" in page
    assert "everybody not shown" in page


def test_the_calibration_stands_before_the_c_index_and_what_is_missing_is_named() -> None:
    plan = measured_plan()
    both = replace(plan, summaries=(*plan.summaries, *calibrated_plan().summaries))
    study = fake_study(plan=both)
    all_there = {"evaluation": counts_of(both), "calibration": released(both)}
    page = words(replace(study, summaries=all_there))
    assert page.index("are the predicted risks right?") < page.index("C-index of the groups of risk")
    assert "Not released:" not in page
    for missing in all_there:
        some = {name: each for name, each in all_there.items() if name != missing}
        assert f"Not released: {missing}." in words(replace(study, summaries=some))


def test_of_several_tumours_each_has_a_row() -> None:
    schema = fake_schema()
    plan = calibrated_plan()
    bounds = plan.model.grid.bounds
    spec = calibration_of(plan, noise_multiplier=1.0, windows=bounds[:2] + bounds[-1:], group_columns=(0,))
    plan = replace(plan, summaries=(spec,))
    study = replace(fake_study(plan=plan), summaries={"calibration": released(plan, ratio=1.6)})
    page = words(study)
    assert schema.tumour_entity is None or "all along" in page
    assert "Predicted risks" not in page
    assert "1.60 times the" in page
    assert "<script" not in render_report(study)


def test_each_tumours_ratio_stands_under_its_own_name_and_each_warning_under_its_endpoints() -> None:
    """The reference category is the first, wherever the schema lists it."""
    schema = replace(fake_schema(), tumour_entity="smoking")
    entity = replace(schema.markers[2], categories=("former", "never", "current"))
    schema = replace(schema, markers=(*schema.markers[:2], entity, *schema.markers[3:]))
    ratios = {"never": 1.1, "former": 1.2, "current": 1.3}

    def all_along(ratio: float, *, wrong: bool = False) -> Ratio:
        return Ratio(50.0, Estimate(ratio, ratio - 0.1, ratio + 0.1), wrong)

    groups = tuple((all_along(9.0), all_along(each, wrong=each == 1.2)) for each in ratios.values())
    of_one = EndpointCalibration(all_along(1.0), None, slope_wrong=False, windows=(), groups=groups)
    none = replace(of_one, groups=())
    spec = calibrated_plan().summaries[0]
    found = MeasuredCalibration(spec, ("Bonn",), 1.0, 1.0, {"death": of_one, "relapse": none})
    page = page_of_calibration(found, schema)
    name, _, (everybody, *rows) = page.endpoints[0]
    assert (name, everybody.patients) == ("death", "everybody")
    told = {row.patients: [each.ratio.value for each in row.cells if each.ratio is not None] for row in rows}
    assert told == {entity: [ratio] for entity, ratio in ratios.items()}
    (warning,) = page.warnings
    assert warning.startswith("death: More or fewer events came")
    assert "former, all along: 1.20 times the 50 predicted" in warning
    by_type = released_calibration_figures(found, schema)["endpoints"]["death"]["by_type"]
    assert {each: figures[-1]["observed_to_expected"]["value"] for each, figures in by_type.items()} == ratios
