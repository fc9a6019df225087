"""Is what noise alone makes of a weight what a slow training on it makes, and is it told only where it is known?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import local_privacy, model_spec, no_privacy, study_plan

from oncofed.explanation.training_noise import deviation
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import Strategy, TrainingMode, TrainingSpec

AVERAGED = TrainingSpec(strategy=Strategy.FEDAVG, rounds=20, server_learning_rate=0.01, weight_decay=2.0)
ADAM = replace(AVERAGED, strategy=Strategy.FEDADAM, server_learning_rate=0.02)


def test_of_plain_averaging_it_is_the_sum_of_a_geometric_series() -> None:
    """w_T = rate * sum of (1 - rate * decay)^(T - t) g_t, of independent g_t."""
    plan = study_plan(training=AVERAGED)
    scale = release_of_round(plan).noise_of_sum(hospitals=2) / 2
    kept = (1 - 0.01 * 2.0) ** 2
    exact = 0.01 * scale * np.sqrt((1 - kept**20) / (1 - kept))
    assert deviation(plan) == pytest.approx(exact, rel=0.02)
    calibrated = study_plan(training=replace(AVERAGED, calibration_rounds=5))
    assert deviation(calibrated) == pytest.approx(0.01 * scale * np.sqrt((1 - kept**15) / (1 - kept)), rel=0.02)


def test_of_adam_it_hardly_depends_on_how_loud_the_noise_is_and_falls_with_decay() -> None:
    """Each step is divided by its own size, so only what noise is beside the decay counts."""
    free = replace(ADAM, weight_decay=0.0)
    quiet, loud = (
        deviation(study_plan(training=free, privacy=local_privacy(noise_multiplier=each))) for each in (5.0, 50.0)
    )
    assert quiet is not None
    assert loud == pytest.approx(quiet, rel=1e-6)
    held = deviation(study_plan(training=replace(ADAM, weight_decay=50.0)))
    assert held is not None
    assert held < 0.8 * quiet
    assert deviation(study_plan(training=ADAM)) == deviation(study_plan(training=ADAM)), "the same plan, the same"


@pytest.mark.parametrize(
    "plan",
    [
        study_plan(training=ADAM, privacy=no_privacy(l2_norm_bound=1.0)),
        study_plan(training=replace(ADAM, strategy=Strategy.FEDYOGI)),
        study_plan(training=replace(ADAM, strategy=Strategy.FEDAVG, mode=TrainingMode.EPOCHS)),
        study_plan(training=ADAM, model=model_spec(linear_branch=False)),
    ],
)
def test_where_it_is_not_known_nothing_is_told(plan: object) -> None:
    assert deviation(plan) is None  # type: ignore[arg-type]
    assert deviation(study_plan(training=ADAM)) is not None
