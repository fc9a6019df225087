"""Sums of many hospitals by one call of the network are each hospital's own, to the last bit.

The truth is what a hospital's own guard computes, from its patients alone.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import drawn_patients, drawn_weights, local_privacy, model_spec, no_privacy, study_plan, with_inputs

from oncofed.client.patients.calibration_sums import calibration_sum
from oncofed.client.patients.entity_sums import entity_sum
from oncofed.client.patients.training import ascent_sum, seen_in_round
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.mechanism import cut_parts
from oncofed.protocol.calibration_layout import calibration_round_of
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import Bounding, ModelSpec, StudyPlan, TrainingSpec
from oncofed.simulations import sums_together
from oncofed.simulations.federation import simulated_guard
from oncofed.simulations.site_policy import site_policy
from oncofed.simulations.sums_together import SumsTogether, sums_of_each
from oncofed.survival.comparators import Comparator
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.layers import Layer
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.time_shapes import TimeShapes

ROUNDS = 6
MODELS = {
    "one endpoint": model_spec(),
    "as wide as a study": model_spec(columns=383, endpoints=2, hidden_units=(8,), baseline_weight=0.5),
    "linear": model_spec(columns=17, hidden_units=()),
    "two layers": model_spec(columns=9, hidden_units=(5, 3)),
    "time shapes": model_spec(columns=5, endpoints=2, time_shapes=TimeShapes(2, 7.0, 0.4, (0, 2))),
    "levels of entities": replace(model_spec(columns=16, endpoints=2), entity_levels=EntityLevels((0, 2), 0.7)),
    "comparators": model_spec(columns=6, comparators=(Comparator("stage", (4,), (), 0.5),)),
    "layers": model_spec(columns=6, layers=(Layer("a", (1, 2), (2,), 0.25), Layer("b", (3,), (3,), 0.5))),
}
BOUNDS = {
    "clipped": local_privacy(l2_norm_bound=0.7),
    "stopped": replace(local_privacy(l2_norm_bound=0.7), bounding=Bounding.STOPPED),
    "not bounded": no_privacy(),
}
SIZES = (13, 1, 2, 40, 16, 0, 7, 128, 3)


def hospitals_of(spec: ModelSpec, *, seed: int, scale: float = 1.0) -> dict[str, PatientTensors]:
    """Some of them with patients who cannot be used."""
    drawn = [drawn_patients(spec, size, seed=seed + number, scale=scale) for number, size in enumerate(SIZES)]
    drawn[0] = with_inputs(with_inputs(drawn[0], 3, math.nan), 7, 1e200)
    return {f"H{number}": patients for number, patients in enumerate(drawn)}


def own_sum(plan: StudyPlan, request: ContributeRequest, patients: PatientTensors) -> BoundedSum:
    """As `client.guard.guard.Guard` has it."""
    seen = seen_in_round(plan, patients, plan_hash=plan.hash, round_=request.round)
    calibrates = calibration_round_of(plan, request.round)
    if calibrates is None:
        return ascent_sum(plan, request.weights, seen)
    return (entity_sum if calibrates.of_entities else calibration_sum)(plan, request.weights, seen)


def plan_among(hospitals: dict[str, PatientTensors], spec: ModelSpec, bound: str) -> StudyPlan:
    training = TrainingSpec(rounds=ROUNDS, calibration_rounds=4)
    plan = study_plan(model=spec, training=training, privacy=BOUNDS[bound])
    return replace(plan, roster=tuple(hospitals), quorum=len(hospitals))


def asked(plan: StudyPlan, site: str, round_: int, *, seed: int = 0) -> ContributeRequest:
    weights = drawn_weights(plan.model, seed=100 * seed + round_, scale=0.3 * round_)
    return ContributeRequest(plan.hash, site, round_, 0, plan.roster, weights)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("model", MODELS)
def test_each_hospitals_sum_is_its_own_to_the_last_bit(model: str, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, at_once in ((1, 4096), (2, 60)):
        monkeypatch.setattr(sums_together, "PATIENTS_AT_ONCE", at_once)  # one batch, and several
        hospitals = hospitals_of(MODELS[model], seed=1000 * seed, scale=seed)
        plan = plan_among(hospitals, MODELS[model], bound)
        together = SumsTogether(plan, hospitals)
        for round_ in range(1, ROUNDS + 1):
            for site, patients in hospitals.items():
                request = asked(plan, site, round_, seed=seed)
                found, own = together.of(site, request), own_sum(plan, request, patients)
                assert found.vector.tobytes() == own.vector.tobytes()
                assert found.l2_norm_bound == own.l2_norm_bound


def test_other_weights_and_an_attempt_asked_again_get_their_own_sums() -> None:
    spec = MODELS["one endpoint"]
    hospitals = hospitals_of(spec, seed=5)
    plan = plan_among(hospitals, spec, "clipped")
    together = SumsTogether(plan, hospitals)
    for site, seed in (("H3", 1), ("H4", 2), ("H3", 2), ("H3", 2), ("H4", 1)):
        request = asked(plan, site, 1, seed=seed)
        assert np.array_equal(together.of(site, request).vector, own_sum(plan, request, hospitals[site]).vector)


def test_a_hospital_larger_than_a_batch_is_computed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums_together, "PATIENTS_AT_ONCE", 50)
    spec = MODELS["one endpoint"]
    hospitals = hospitals_of(spec, seed=6)
    plan = plan_among(hospitals, spec, "not bounded")
    together = SumsTogether(plan, hospitals)
    for site, patients in hospitals.items():
        guard = simulated_guard(
            plan,
            site,
            patients,
            MemoryLedger(site_policy(plan, site).budget),
            guard=lambda **given: sums_together.GuardInBatch(together=together, **given),
        )
        request = asked(plan, site, 1)
        assert np.array_equal(guard.contribute(request).vector, own_sum(plan, request, patients).vector)


def test_a_batch_of_rows_is_asked_about_at_once() -> None:
    """Else it would be right and slow."""
    spec = MODELS["one endpoint"]
    hospitals = hospitals_of(spec, seed=7)
    plan, calls = plan_among(hospitals, spec, "clipped"), []

    def counted(network: object, patients: PatientTensors, **given: object) -> object:
        calls.append(len(patients))
        return cut_parts(network, patients, **given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums_together, "cut_parts", counted)
        weights = drawn_weights(spec, seed=1)
        assert len(list(sums_of_each(plan, weights, list(hospitals.values()), round_=1))) == len(SIZES)
    assert calls == [sum(SIZES)]
