"""Do groups of risk, and local steps, follow a model whose hazards run differently in each tumour entity?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import drawn_patients, drawn_weights, model_spec, round_contribution, study_plan
from tests.summaries import evaluation_of

from oncofed.client.patients.summaries import KINDS
from oncofed.privacy.noise import NoNoise
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.plan import TrainingMode, TrainingSpec
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import network_with
from oncofed.survival.time_shapes import TimeShapes

GRID = TimeGrid((0.0, 6.0, 12.0, 36.0, 84.0))
SPEC = model_spec(columns=4, hidden_units=(3,), grid=GRID, time_shapes=TimeShapes(2, 24.0, 1.0, (0, 1)))
WEIGHTS = drawn_weights(SPEC, seed=1, scale=0.6)


@pytest.mark.parametrize("horizon", [6.0, 36.0])
def test_groups_of_risk_are_cut_by_the_risk_by_the_horizon(horizon: float) -> None:
    """As the server says it of an edge: the reference patient's hazard up to then, times exp of the edge."""
    patients, network = drawn_patients(SPEC, 200, seed=2), network_with(SPEC, WEIGHTS)
    plan = study_plan(model=SPEC)
    edges = (-0.5, 0.0, 0.5)
    spec = replace(evaluation_of(plan, edges=edges), horizon=horizon)
    rows = KINDS[SummaryKind.EVALUATION].rows(plan, spec, WEIGHTS, patients)
    until = GRID.bounds.index(horizon)
    gathered = network.log_hazard(patients.x).exp()[:, 0, :until].sum(dim=1).detach().numpy()
    of_reference = np.exp(network.reference_log_hazard[0, :until]).sum()
    group = np.searchsorted(edges, np.log(gathered / of_reference))
    counted = rows.reshape(200, 1, 4, -1).sum(axis=3)[:, 0]
    seen = counted.any(axis=1)
    assert seen.sum() > 50
    np.testing.assert_array_equal(counted[seen].argmax(axis=1), group[seen])
    plain = network(patients.x)[:, 0].detach().numpy()
    assert (np.searchsorted(edges, plain)[seen] != group[seen]).any()


def test_local_steps_pull_at_shapes_with_a_decay_of_their_own() -> None:
    training = TrainingSpec(
        mode=TrainingMode.EPOCHS,
        local_steps=1,
        local_learning_rate=0.1,
        sampling_rate=1e-6,
        weight_decay=2.0,
        shape_weight_decay=3.0,
    )
    plan = study_plan(model=SPEC, training=training, privacy=without_privacy(l2_norm_bound=1.0))
    found = round_contribution(plan, WEIGHTS, drawn_patients(SPEC, 3, seed=3), noise=NoNoise(seed=0))
    decay = np.full(len(WEIGHTS), 2.0)
    decay[SPEC.baseline_parameters : SPEC.ratio_begins] = 3.0
    decay[: SPEC.baseline_parameters] = 0.0
    np.testing.assert_allclose(found, WEIGHTS * (1 - 0.1 * decay), rtol=1e-12)
