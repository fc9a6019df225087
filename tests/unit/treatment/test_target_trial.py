"""Is a question that cannot be answered refused before anybody is asked, with every fault?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oncofed.errors import InvalidInput
from oncofed.simulations.synthetic.treated import TRIAL, treated_schema
from oncofed.treatment.target_trial import Benchmark, TargetTrial

SCHEMA = treated_schema()
WRONG: list[tuple[TargetTrial, str]] = [
    (replace(TRIAL, treatment="age_years"), 'treatment: "age_years" is no binary marker'),
    (replace(TRIAL, modifiers=("uicc_stage",)), 'modifiers: "uicc_stage" is no binary marker'),
    (replace(TRIAL, modifiers=("biomarker_positive",) * 2), "named twice"),
    (replace(TRIAL, modifiers=("sex_male", *TRIAL.modifiers)), "more than 2"),
    (replace(TRIAL, adjust_for=(*TRIAL.adjust_for, "weight")), 'adjust_for: "weight" is no marker'),
    (replace(TRIAL, adjust_for=(*TRIAL.adjust_for, "second_option")), "names the treatment itself"),
    (replace(TRIAL, adjust_for=TRIAL.adjust_for[1:]), 'required: "age_years" is not adjusted for'),
    (replace(TRIAL, outcomes=()), "outcomes: names no endpoint"),
    (replace(TRIAL, outcomes=("relapse",)), 'outcomes: "relapse" is no endpoint'),
    (replace(TRIAL, negative_outcome="accident"), 'negative_outcome: "accident" is no endpoint'),
    (replace(TRIAL, outcomes=("accident",), negative_outcome="accident"), "negative_outcome: is the only outcome"),
    (replace(TRIAL, horizon=25.0), "horizon: is no bound"),
    (replace(TRIAL, horizon=0.0), "horizon: is no bound"),
    (replace(TRIAL, options=("same", "same")), "second: is not named, or like the first option"),
    (replace(TRIAL, options=("first", " ")), "second: is not named, or like the first option"),
    (replace(TRIAL, benchmark=Benchmark(0.1, 0.2, 0.3, "a trial")), "benchmark: is no difference"),
    (replace(TRIAL, benchmark=Benchmark(float("nan"), 0.0, 0.3, "a trial")), "benchmark: is no difference"),
    (replace(TRIAL, benchmark=Benchmark(0.1, 0.0, 0.3, "")), "benchmark: is no difference"),
    (replace(TRIAL, benchmark=Benchmark(0.1, 0.0, 0.3, " ")), "benchmark: is no difference"),
]


@pytest.mark.parametrize(("trial", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_fault_is_named_with_its_field(trial: TargetTrial, said: str) -> None:
    with pytest.raises(InvalidInput, match="target_trial") as refused:
        trial.refuse_unless_it_fits(SCHEMA)
    assert said in str(refused.value)


def test_a_sound_question_fits_and_faults_are_told_together() -> None:
    TRIAL.refuse_unless_it_fits(SCHEMA)
    replace(TRIAL, benchmark=Benchmark(0.1, -0.1, 0.3, "a trial")).refuse_unless_it_fits(SCHEMA)
    with pytest.raises(InvalidInput) as refused:
        replace(TRIAL, horizon=1.0, outcomes=(), options=("a", "a")).refuse_unless_it_fits(SCHEMA)
    assert len(refused.value.faults) == 3


def test_groups_are_all_combinations_of_modifiers_in_the_order_of_their_numbers() -> None:
    assert TRIAL.groups == ((False, False), (True, False), (False, True), (True, True))
    np.testing.assert_array_equal(TRIAL.group_of(np.array(TRIAL.groups)), [0, 1, 2, 3])
    assert replace(TRIAL, modifiers=()).groups == ((),)
