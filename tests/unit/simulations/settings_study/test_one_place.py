"""Does a plan of one hospital with everybody's patients give the model that the hospitals' own plan gives?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import FULL_BATCH_SIGMA, local_privacy, study_plan
from tests.settings_studies import written

from oncofed.cohort.cohort import Cohort
from oncofed.errors import InvalidInput
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import PrivacyMode, SharedNoise, StudyPlan, TrainingMode, TrainingSpec
from oncofed.simulations.federation import Engine, federate, plan_of
from oncofed.simulations.partition import consortium, pooled
from oncofed.simulations.settings_study.one_place import EVERYBODY, in_one_place
from oncofed.simulations.study import read_study
from oncofed.simulations.study_table import table_of
from oncofed.survival.follow_up import FloatArray


def weights_of(plan: StudyPlan, hospitals: Mapping[str, Cohort]) -> FloatArray:
    trained = federate(plan, hospitals, run_folder=None, engine=Engine.GRID, resume=False, figures=lambda *_: {})
    return trained.state.weights


@pytest.mark.parametrize("strategy", ["fedadam", "fedyogi", "fedadagrad"])
def test_without_noise_it_is_the_same_model(strategy: str, tmp_path: Path) -> None:
    study = read_study(written(tmp_path), overrides=[f"training.strategy={strategy}"])
    table, schema, where = table_of(study)
    cut = consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=1)
    plan = plan_of(study, schema, roster=tuple(cut.hospitals), patients=190)
    of_three, everybody = weights_of(plan, cut.hospitals), {EVERYBODY: pooled(cut.hospitals)}
    assert np.allclose(weights_of(in_one_place(plan), everybody), of_three, rtol=0, atol=1e-9)
    # The decay that stands beside a mean is too little beside a sum of three.
    weaker = replace(in_one_place(plan), training=plan.training)
    assert np.abs(weights_of(weaker, everybody) - of_three).max() > 1e-3


def test_its_noise_is_that_of_the_sum() -> None:
    five = tuple("abcde")
    own = replace(study_plan(), roster=five, quorum=5)  # each of five adds it in full
    assert noise_of(in_one_place(own)) == pytest.approx(FULL_BATCH_SIGMA * math.sqrt(5), rel=1e-6)
    shares = SharedNoise(5, dropouts=1, colluding=1)
    shared = replace(own, quorum=4, privacy=replace(local_privacy(), mode=PrivacyMode.DISTRIBUTED, shares=shares))
    assert noise_of(in_one_place(shared)) == pytest.approx(FULL_BATCH_SIGMA * math.sqrt(5 / 3), rel=1e-6)


def noise_of(plan: StudyPlan) -> float:
    assert plan.roster == (EVERYBODY,)
    return release_of_round(plan).noise_of_sum(hospitals=1)


def test_where_it_matters_whose_a_patient_is_there_is_none() -> None:
    weights = replace(study_plan(), training=TrainingSpec(site_weights=(1.0, 2.0)))
    with pytest.raises(InvalidInput, match="weighs hospitals"):
        in_one_place(weights)
    for training in (TrainingSpec(mode=TrainingMode.EPOCHS), TrainingSpec(strategy="median")):  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="otherwise than by their sum"):
            in_one_place(study_plan(training=training))
