"""Is a question about two options read whole, with every fault, and refused in words where nobody answers it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.options_asked import ASKED, STUDY

from oncofed.errors import InvalidInput
from oncofed.privacy.accounting import part_of_epsilon
from oncofed.server.deployment.consortium_file import read_consortium
from oncofed.simulations.options.asked import Condition
from oncofed.simulations.study import Study, read_study
from oncofed.simulations.synthetic.treated import TRIAL, treated_schema


def study_of(folder: Path, *overrides: str, section: str = ASKED) -> Study:
    path = folder / "study.toml"
    path.write_text(STUDY + section)
    return read_study(path, overrides=overrides)


def test_the_section_is_the_trial_that_it_names(tmp_path: Path) -> None:
    found = study_of(tmp_path).target_trial
    assert found is not None
    assert replace(found.trial, options=TRIAL.options) == TRIAL
    found.refuse_unless_it_fits(treated_schema())
    assert found.causes == ("death_of_cancer", "death_of_other_causes")


def test_a_study_with_the_section_leaves_the_prognosis_the_rest_and_has_a_hash_of_its_own(tmp_path: Path) -> None:
    asked, without = study_of(tmp_path), study_of(tmp_path, section="")
    rest = part_of_epsilon(0.25, epsilon=3.0, delta=1e-5)
    assert (asked.first_settings.privacy.epsilon, without.first_settings.privacy.epsilon) == (rest, 3.0)
    other = study_of(tmp_path, "target_trial.horizon=12")
    assert len({each.hash for each in (asked, without, other)}) == 3


def test_every_fault_of_the_section_is_told_at_once(tmp_path: Path) -> None:
    wrong = (
        "[target_trial]\n"
        'treatment = "second_option"\nfirst = "A"\nsecond = ""\noutcomes = []\nhorizon = 24\nlandmark = 30\n'
        'adjust_for = ["age_years", "age_years"]\nmodifiers = ["a", "b", "c"]\neligible = ["age_years > 18"]\n'
        'budget_share = 1.0\nbest = "B"\n'
        "[target_trial.benchmark]\ndifference = 2.0\nlow = 0.0\nhigh = 0.1\n"
    )
    with pytest.raises(InvalidInput) as refused:
        study_of(tmp_path, section=wrong)
    told = str(refused.value)
    for said in (
        "[target_trial], second",
        "[target_trial], time_zero: is missing",
        "[target_trial], outcomes",
        "[target_trial], landmark: is not before the horizon",
        '"age_years" more than once',
        "[target_trial], modifiers",
        "[target_trial], eligible: holds a text that is no condition",
        "[target_trial], budget_share",
        "[target_trial], best: is not a known field",
        "[target_trial.benchmark], difference",
        "[target_trial.benchmark], source: is missing",
    ):
        assert said in told, said
    assert len(refused.value.faults) == 11


def test_patients_drawn_by_lot_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match='mode "full_batch"'):
        study_of(tmp_path, "training.mode=epochs", "privacy.mode=local")


def test_what_the_schema_does_not_have_is_told_together(tmp_path: Path) -> None:
    found = study_of(
        tmp_path,
        "target_trial.eligible=['weight <= 100']",
        "target_trial.landmark=1",
        "target_trial.treatment=dose",
        "target_trial.negative_outcome=accident",
    ).target_trial
    assert found is not None
    with pytest.raises(InvalidInput) as refused:
        found.refuse_unless_it_fits(treated_schema())
    assert [fault.where for fault in refused.value.faults] == [
        "[target_trial], treatment",
        "[target_trial], negative_outcome",
        "[target_trial], landmark",
        "[target_trial], eligible",
    ]


def test_a_coordinator_is_told_that_no_node_answers_it(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(STUDY + ASKED)
    with pytest.raises(InvalidInput, match="which no hospital's node answers yet"):
        read_consortium(path)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("age >= 18", [False, True, True, False]),
        ("age <= 18", [True, True, False, False]),
        ("age = 18", [False, True, False, False]),
    ],
)
def test_a_condition_holds_for_whom_it_says_and_for_nobody_not_recorded(text: str, who: list[bool]) -> None:
    condition = Condition.of(text)
    assert condition is not None
    np.testing.assert_array_equal(condition.holds(np.array([17.0, 18.0, 60.5, np.nan])), who)


@pytest.mark.parametrize("text", ["age > 18", "age>=18", ">= 18", "age >= many", "age >= 1e5", "age"])
def test_no_other_text_is_a_condition(text: str) -> None:
    assert Condition.of(text) is None
