"""Does "stands out" of the noise of training tell markers that have an effect from those that have none?

The demonstration, whose true hazard is known, with tables that the limit was not chosen on, and fresh noise in each
run. Each prints its figures (`pytest -s`), as docs/explanations.md has them of other seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oncofed.cohort.encoding import Role
from oncofed.explanation.training_noise import deviation, in_words
from oncofed.server.report.linear_effects import against_noise
from oncofed.simulations.explanation_study.trained import Trained
from oncofed.simulations.federation import plan_of
from oncofed.simulations.study import read_study
from oncofed.simulations.synthetic.effects import STRONG
from oncofed.simulations.synthetic.hazard import death
from oncofed.survival.network import parameter_vector

pytestmark = pytest.mark.slow


def without_effect(names: list[str]) -> set[str]:
    truth = death()
    paired = {name for pair in truth.interactions for name in (pair.first, pair.second)}
    unmeasured = {modality.value for modality in truth.unmeasured_effects}
    return set(names) - set(truth.effects) - set(truth.category_effects) - paired - unmeasured


@pytest.mark.parametrize("seed", [8401, 8402])
def test_hardly_a_marker_without_effect_stands_out_and_strong_ones_do(seed: int, studies: Path) -> None:
    overrides = [f"data.synthetic={{patients = 6000, hospitals = 12, seed = {seed}}}"]
    study = read_study(studies / "demo" / "study.toml", overrides=overrides)
    trained = Trained.of(study, times=1)
    schema, weights = trained.train.schema, parameter_vector(trained.networks[0])
    plan = plan_of(study, schema, roster=tuple(trained.hospitals), patients=len(trained.train))
    found = against_noise(plan, schema, weights)
    none = without_effect(list(found))
    standing = {name for name, words in found.items() if words == in_words(9.0)}
    print(seed, len(standing), "stand out, without effect", sorted(standing & none))
    assert len(none) > 200
    assert len(standing & none) <= 1  # 0.24 are to be expected at 3.3 deviations
    assert len(standing & set(STRONG)) >= 2
    # The weights of markers without effect are hardly wider than noise alone, and those of others are.
    alone = deviation(plan)
    assert alone is not None
    start = plan.model.baseline_parameters
    values = [
        (each.source in none, weights[start + place])
        for place, each in enumerate(trained.columns)
        if each.role is not Role.MISSING
    ]
    nothing, some = (np.std([weight for is_none, weight in values if is_none is kind]) for kind in (True, False))
    assert 0.7 * alone < nothing < 1.15 * alone < some
