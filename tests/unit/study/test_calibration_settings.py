"""Does [held_out] calibration_share of a study file become a summary that fits the schema, the model and the budget?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.study.test_explanation_settings import LOCAL, SCHEMA, SHARED, plan_of, share_of

from oncofed.client.patients.summaries import refuse_unknown
from oncofed.errors import InvalidInput
from oncofed.privacy.policy import releases_of
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import cost_of
from oncofed.protocol.summary_spec import SummaryKind

ASKED = "[held_out]\ncalibration_share = 0.2\ncalibration_windows = [12]\n"


@pytest.mark.parametrize("privacy", [LOCAL, SHARED], ids=["local", "distributed"])
def test_it_takes_its_share_is_charged_and_sets_patients_aside(privacy: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ASKED, privacy=privacy)
    (spec,) = plan.summaries
    assert (spec.name, spec.kind, spec.smallest_shown) == ("calibration", SummaryKind.CALIBRATION, 10.0)
    assert spec.time_bounds == (0.0, 12.0, 24.0)
    assert spec.edges == (-1.5, 1.5)
    assert spec.cells == 5 + 2 * 2
    assert share_of(plan, "calibration") == pytest.approx(0.2, abs=1e-3)
    assert len(releases_of(plan)) == plan.charged_rounds + 1
    cost = cost_of(plan)
    assert cost is not None
    assert 1.99 < cost.largest <= 2.0
    assert plan.held_out_fraction == 0.2
    refuse_unknown(plan)


def test_beside_the_evaluation_both_have_their_shares_and_windows_follow_the_horizon(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "[held_out]\nhorizon = 24\nbudget_share = 0.1\ncalibration_share = 0.3\nattempts = 2\n")
    assert [each.name for each in plan.summaries] == ["evaluation", "calibration"]
    assert (share_of(plan, "evaluation"), share_of(plan, "calibration")) == pytest.approx((0.1, 0.3), abs=1e-3)
    assert plan.summaries[1].attempts == 2
    assert plan.summaries[1].time_bounds == (0.0, 12.0, 24.0)  # a third of 24 is nearest to 12


def test_follow_up_is_cut_at_about_a_third_two_thirds_and_twice_of_the_horizon(tmp_path: Path) -> None:
    """Of 24 months that is 8, 16 and 48; and at both ends and the horizon itself."""
    schema = SCHEMA.replace("[0, 12, 24]", "[0, 6, 12, 24, 36, 48, 60]")
    (spec,) = plan_of(tmp_path, "[held_out]\nhorizon = 24\nbudget_share = 0.1\n", schema=schema).summaries
    assert spec.time_bounds == (0.0, 6.0, 12.0, 24.0, 48.0, 60.0)


def test_where_patients_may_come_late_the_counts_are_of_time_at_risk(tmp_path: Path) -> None:
    """One endpoint with an entry time is enough; the plan's cells, hash and words follow."""
    asked = "[held_out]\nhorizon = 24\nbudget_share = 0.1\n"
    (counts,) = plan_of(tmp_path, asked).summaries
    late = plan_of(tmp_path, asked, schema=SCHEMA.replace("event = ", 'entry = "entry_months"\nevent = ', 1))
    (times,) = late.summaries
    assert (counts.kind, times.kind) == (SummaryKind.EVALUATION, SummaryKind.TIME_AT_RISK)
    assert (counts.name, counts.edges, counts.time_bounds, counts.horizon) == (
        times.name,
        times.edges,
        times.time_bounds,
        times.horizon,
    )
    assert (counts.cells, times.cells) == (6 * 2 * 2, 6 * (1 + 2 * 2))
    assert late.held_out_fraction == 0.2
    assert share_of(late, "evaluation") == pytest.approx(0.1, abs=1e-3)
    assert plan_from_json(json.loads(late.canonical)) == late
    refuse_unknown(late)


def test_by_entity_there_is_a_group_for_each_category_after_the_reference_one(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"{ASKED}calibration_by_entity = true\n")
    (spec,) = plan.summaries
    assert len(spec.group_columns) == 2
    assert spec.cells == 5 + (1 + 3) * 2 * 2
    refuse_unknown(plan)


def test_no_share_is_no_release_and_nobody_set_aside(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "[held_out]\ncalibration_windows = [12]\n")
    assert (plan.summaries, plan.held_out_fraction) == ((), 0.0)


FAULTS = {
    "calibration_share = 0.2": "calibration_windows: is needed where .held_out. has no horizon",
    "calibration_share = 0.2\ncalibration_windows = [13]": "calibration_windows: are not all interval bounds",
    "calibration_share = 0.6\nhorizon = 12\nbudget_share = 0.4": "leaves, with budget_share, nothing for training",
    "calibration_share = 1.0": "calibration_share: is above 0.99",
    "calibration_share = 0.2\nhorizon = 12\ncalibration_risks = [1.0, 1.0]": "calibration_risks: are not two",
    "calibration_share = 0.2\nhorizon = 12\ncalibration_risks = [1.0]": "calibration_risks",
    "calibration_share = 0.2\nhorizon = 12\nsmallest_expected = -1": "smallest_expected",
}


@pytest.mark.parametrize(("text", "words"), FAULTS.items(), ids=FAULTS)
def test_faults_are_told_with_their_remedy(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan_of(tmp_path, f"[held_out]\n{text}\n")
