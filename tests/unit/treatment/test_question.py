"""Who is compared, from when on, and what does a patient's row of numbers say? By hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.options_asked import ASKED, BENCHMARK, STUDY

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.validation import validate
from oncofed.simulations.study import read_study
from oncofed.simulations.synthetic.treated import generate_treated, treated_schema
from oncofed.treatment.heads import as_vector, first_heads
from oncofed.treatment.question import Question

SCHEMA = treated_schema()


def question(folder: Path, *overrides: str) -> Question:
    path = folder / "study.toml"
    path.write_text(STUDY + ASKED)
    asked = read_study(path, overrides=overrides).target_trial
    assert asked is not None
    return Question(asked.trial, SCHEMA, ("one", "two"))


def patients(**columns: Any) -> Cohort:
    """Four patients, all alike but for these columns."""
    table = pd.concat([generate_treated(patients=1, hospitals=1, seed=1).table] * 4, ignore_index=True)
    table["patient_id"] = list("abcd")
    table["death_of_cancer_observed"] = 0
    table["death_of_other_causes_observed"] = 0
    return validate(table.assign(**columns), SCHEMA, "a table")


def test_who_has_no_option_or_modifier_recorded_or_meets_no_condition_is_left_out(tmp_path: Path) -> None:
    cohort = patients(
        second_option=[1, None, 0, 1],
        biomarker_positive=[0, 1, None, 1],
        age_years=[50, 60, 70, 80],
    )
    np.testing.assert_array_equal(question(tmp_path).eligible(cohort), [True, False, False, True])
    younger = question(tmp_path, "target_trial.eligible=['age_years >= 18', 'age_years <= 79']")
    np.testing.assert_array_equal(younger.eligible(cohort), [True, False, False, False])


def test_from_a_landmark_on_only_those_count_who_lived_until_then(tmp_path: Path) -> None:
    asked = question(tmp_path, "target_trial.landmark=6")
    cohort = patients(followed_months=[2.0, 6.0, 7.5, 30.0], death_of_cancer_observed=[1, 0, 1, 1])
    np.testing.assert_array_equal(asked.eligible(cohort), [False, False, True, True])
    assert asked.grid.bounds == (0.0, 6.0, 12.0, 18.0)
    found = asked.observed(asked.patients(cohort, hospital="two"))
    np.testing.assert_allclose(found.at_risk, np.array([[0.25, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    np.testing.assert_array_equal(found.events[0], [[1, 0, 0], [0, 0, 0]])  # beyond the horizon none is seen


def test_the_earliest_end_counts_with_its_cause_and_else_as_lost(tmp_path: Path) -> None:
    cohort = patients(
        followed_months=[4.0, 4.0, 4.0, 40.0],
        death_of_cancer_observed=[1, 0, 0, 0],
        death_of_other_causes_observed=[0, 1, 0, 0],
    )
    asked = question(tmp_path)
    events = asked.observed(asked.patients(cohort, hospital="one")).events
    np.testing.assert_array_equal(events[:, :, 1], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    assert events.sum() == 3


def test_a_row_says_option_group_hospital_and_what_is_recorded(tmp_path: Path) -> None:
    asked = question(tmp_path)
    cohort = patients(
        second_option=[0, 1, 0, 1],
        biomarker_positive=[0, 1, 0, 1],
        liver_metastases=[0, 0, 1, 1],
        uicc_stage=[1, None, 3, 4],
        age_years=[63, 75, 51, 63],
    )
    found = asked.patients(cohort, hospital="two")
    seen = asked.observed(found)
    assert found.x.shape == (4, asked.columns)
    np.testing.assert_array_equal(seen.second, [False, True, False, True])
    np.testing.assert_array_equal(asked.groups(found), [0, 1, 2, 3])
    np.testing.assert_array_equal(seen.hospital, [[0, 1]] * 4)
    np.testing.assert_array_equal(asked.recorded(found)[:, 2], [1, 0, 1, 1])
    age = [each.source for each in asked.confounders].index("age_years")
    np.testing.assert_allclose(seen.z[:, age], [0, 1, -1, 0], atol=1e-6)
    assert "uicc_stage" in asked.balanced_names
    assert len(asked.balanced_names) == 9


def test_whom_a_trial_would_have_taken_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(STUDY + ASKED + BENCHMARK)
    asked = read_study(path).target_trial
    assert asked is not None
    about = Question(asked.trial, SCHEMA, ("one",))
    found = about.patients(patients(age_years=[50, 70, 71, 90]), hospital="one")
    np.testing.assert_array_equal(about.trial_like(found), [1, 1, 0, 0])


def test_training_starts_from_public_hazards(tmp_path: Path) -> None:
    heads = first_heads(question(tmp_path))
    assert as_vector(heads).size == question(tmp_path).numbers
    np.testing.assert_allclose(np.exp(heads.baseline[1][:, 0]), [0.015 * 3, 0.005 * 3, 0.01 * 3])
    assert heads.chance(np.ones((1, len(question(tmp_path).confounders))))[0] == pytest.approx(0.5)
