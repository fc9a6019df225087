"""Does the whole command find the known effect of one option over another, and refuse where what decides is missing?

On invented consortia, at epsilon 3 with shared noise: nothing of the arithmetic is a copy here. Noise follows from no
seed, so limits are wide enough that they fail by chance in less than one of ten thousand.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.options_asked import ASKED, STUDY

from oncofed.simulations.run import run_study
from oncofed.simulations.study import read_study
from oncofed.simulations.synthetic.treated import Twist, generate_treated
from oncofed.simulations.synthetic.treated_files import write_treated
from oncofed.treatment.refusals import Reason
from oncofed.treatment.release import Options


def released(folder: Path, *overrides: str, patients: int, hospitals: int, twists: tuple[Twist, ...] = ()) -> Options:
    """Of a run of the study as a file, a fifth of the patients set aside."""
    made = generate_treated(patients=patients, hospitals=hospitals, seed=11, twists=twists)
    write_treated(made, folder, population=20_000)
    table = '[data]\ntable = "patients.parquet"\nschema = "schema.toml"\n'
    path = folder / "study.toml"
    path.write_text(STUDY.replace("[data.synthetic]\npatients = 400\nhospitals = 3\n", table) + ASKED)
    result = run_study(read_study(path, overrides=overrides), folder / "run", report=False)
    assert result.options is not None
    assert result.options.released is not None
    return result.options.released


def test_without_noise_a_few_hospitals_find_the_effect_that_plain_means_miss(tmp_path: Path) -> None:
    found = released(
        tmp_path,
        "privacy.mode=none",
        "target_trial.rounds=40",
        "target_trial.modifiers=[]",
        patients=2_500,
        hospitals=2,
    )
    difference, truth = found.everybody.compared.difference, json.loads((tmp_path / "true_effects.json").read_text())
    effect = truth["effects"]["all"]["overlap"]["survival_difference"]
    assert abs(difference.value - effect) < 4 * difference.standard_error
    assert truth["naive"] - difference.value > 4 * difference.standard_error
    assert difference.standard_error < 0.03


@pytest.mark.slow
def test_at_epsilon_3_the_effect_is_found_by_modifier_too(tmp_path: Path) -> None:
    found = released(tmp_path, patients=10_000, hospitals=20)
    truth = json.loads((tmp_path / "true_effects.json").read_text())
    for group in (found.everybody, *found.by_modifier):
        effect = truth["effects"][group.name]["overlap"]["survival_difference"]
        difference = group.compared.difference
        assert abs(difference.value - effect) < 4 * difference.standard_error, group.name
    assert found.everybody.compared.difference.standard_error < 0.025
    assert truth["naive"] - found.everybody.compared.difference.value > 0.1


@pytest.mark.slow
def test_at_epsilon_3_what_is_not_recorded_and_who_always_gets_one_option_are_refused(tmp_path: Path) -> None:
    for folder, twist in ((tmp_path / "frail", Twist.UNRECORDED_FRAILTY), (tmp_path / "always", Twist.NO_OVERLAP)):
        found = released(folder, patients=10_000, hospitals=20, twists=(twist,))
        refusal = found.everybody.refusal
        assert refusal is not None
        if twist is Twist.UNRECORDED_FRAILTY:
            assert refusal.reason in (Reason.NEGATIVE_OUTCOME, Reason.BALANCE)
        else:
            always = found.by_modifier[1].refusal
            assert always is not None
            assert always.reason is Reason.POSITIVITY
