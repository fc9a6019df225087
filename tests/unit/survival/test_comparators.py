"""Is a comparator a model of its own columns, trained as if it were alone, and is the network none the other for it?

The truth is a model of nothing but those columns, and the plain network without comparators.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.doubles import drawn_patients, drawn_weights, local_privacy, model_spec, no_privacy, study_plan
from tests.hospital import SCHEMA
from tests.privacy.test_policy import PLAN, POLICY

from oncofed.client.patients.calibration_sums import calibration_rows, calibration_sum
from oncofed.client.patients.training import _decays
from oncofed.errors import InvalidInput, PrivacyRefusal
from oncofed.privacy.mechanism import clipped_gradient_sum, stopped_gradient_sum
from oncofed.protocol.plan import ModelSpec, TrainingSpec
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import plan_in_words
from oncofed.server.rounds.recalibration import recalibrated
from oncofed.survival.comparators import Comparator
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector
from oncofed.survival.one_by_one import one_by_one

FloatArray = NDArray[np.float64]

STAGE, BOTH = Comparator("stage", (4,), (), 0.5), Comparator("both", (1, 4, 3), (3,), 0.2)
SPEC = model_spec(columns=6, endpoints=2, hidden_units=(3,), baseline_weight=0.7, comparators=(STAGE, BOTH))
PLAIN = replace(SPEC, comparators=())


def alone(comparator: Comparator) -> ModelSpec:
    """A model of its columns and nothing else."""
    return model_spec(columns=len(comparator.columns), endpoints=2, hidden_units=(), baseline_weight=0.7)


def own_weights(weights: FloatArray, place: int) -> FloatArray:
    return np.concatenate([weights[part] for part in SPEC.comparator_parts[place]])


def own_patients(patients: PatientTensors, comparator: Comparator) -> PatientTensors:
    return PatientTensors.of(patients.x[:, list(comparator.columns)], patients.events, patients.at_risk)


def test_the_network_is_the_one_without_comparators() -> None:
    weights, patients = drawn_weights(SPEC, seed=1), drawn_patients(SPEC, 20, seed=1)
    plain = network_with(PLAIN, weights[: SPEC.ratio_ends])
    network = network_with(SPEC, weights)
    assert torch.equal(network(patients.x), plain(patients.x))
    assert torch.equal(network.log_hazard(patients.x), plain.log_hazard(patients.x))
    assert PLAIN.parameters == SPEC.ratio_ends == len(parameter_vector(plain))
    assert SPEC.parameters == SPEC.ratio_ends + 2 * (4 + 1) + 2 * (4 + 3) == len(parameter_vector(network))
    start = parameter_vector(PrognosisNetwork(SPEC, initialisation_seed=4))
    assert not start[SPEC.ratio_ends :].any()
    np.testing.assert_array_equal(
        start[: SPEC.ratio_ends], parameter_vector(PrognosisNetwork(PLAIN, initialisation_seed=4))
    )


@pytest.mark.parametrize("exactly", [False, True])
@pytest.mark.parametrize("place", [0, 1])
def test_a_comparator_is_the_model_of_its_own_columns(place: int, exactly: bool) -> None:
    weights, patients = drawn_weights(SPEC, seed=2), drawn_patients(SPEC, 20, seed=2)
    network, comparator = network_with(SPEC, weights), SPEC.comparators[place]
    twin = network_with(alone(comparator), own_weights(weights, place))
    head = network.heads[place]
    if exactly:
        with torch.no_grad(), one_by_one(network, patients.fed):
            found = head.log_hazard(patients.x)
    else:
        found = head.log_hazard(patients.x)
    expected = twin.log_hazard(own_patients(patients, comparator).x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7 if exactly else 1e-14)
    others = [column for column in range(6) if column not in comparator.columns]
    changed = patients.x.clone()
    changed[:, others] += 1.0
    assert torch.equal(head(changed), head(patients.x))
    np.testing.assert_allclose(head.log_baseline_hazard(patients.x), twin.log_baseline_hazard(patients.x), rtol=1e-14)


Sum = Callable[[PrognosisNetwork, PatientTensors], FloatArray]


def clipped(network: PrognosisNetwork, patients: PatientTensors) -> FloatArray:
    return clipped_gradient_sum(network, patients, l2_norm_bound=math.inf).vector


def stopped(network: PrognosisNetwork, patients: PatientTensors) -> FloatArray:
    """At a cap that many reach, each model by its own hazard."""
    return stopped_gradient_sum(network, patients, hazard_cap=0.3, l2_norm_bound=math.inf).vector


@pytest.mark.parametrize("summed", [clipped, stopped])
def test_its_part_of_a_gradient_is_its_weight_times_that_of_the_model_alone(summed: Sum) -> None:
    weights, patients = drawn_weights(SPEC, seed=3), drawn_patients(SPEC, 50, seed=3)
    found = summed(network_with(SPEC, weights), patients)
    of_network = summed(network_with(PLAIN, weights[: SPEC.ratio_ends]), patients)
    assert found[: SPEC.ratio_ends].tobytes() == of_network.tobytes()
    for place, comparator in enumerate(SPEC.comparators):
        twin = network_with(alone(comparator), own_weights(weights, place))
        expected = comparator.weight * summed(twin, own_patients(patients, comparator))
        np.testing.assert_allclose(own_weights(found, place), expected, rtol=0, atol=1e-6)
        assert np.abs(expected).min() > 1e-3


def test_all_parts_of_a_patient_are_bounded_together() -> None:
    """The gradient of a patient with comparators is longer, so it is cut by more."""
    weights, patients = drawn_weights(SPEC, seed=4), drawn_patients(SPEC, 1, seed=4)
    whole = clipped(network_with(SPEC, weights), patients)
    bound = float(np.linalg.norm(whole[: SPEC.ratio_ends]))  # the network alone would just fit
    assert bound < np.linalg.norm(whole)
    found = clipped_gradient_sum(network_with(SPEC, weights), patients, l2_norm_bound=bound).vector
    np.testing.assert_allclose(found, whole * bound / np.linalg.norm(whole), rtol=0, atol=1e-7)


# Calibration rounds


def test_a_calibration_round_holds_the_sums_of_each_model_times_its_weight() -> None:
    weights, patients = drawn_weights(SPEC, seed=5), drawn_patients(SPEC, 30, seed=5)
    rows = calibration_rows(network_with(SPEC, weights), patients, cap=1.0).view(30, 3, -1)
    of_network = calibration_rows(network_with(PLAIN, weights[: SPEC.ratio_ends]), patients, cap=1.0)
    numbers, alone_ = [of_network], [of_network]
    for place, comparator in enumerate(SPEC.comparators):
        twin = network_with(alone(comparator), own_weights(weights, place))
        alone_.append(calibration_rows(twin, own_patients(patients, comparator), cap=1.0))
        numbers.append(comparator.weight * alone_[-1])
    # By so much less than alone does each count: squared, these parts make up the whole, so that no length is wasted.
    parts = [
        (mine.norm(dim=1) / own.norm(dim=1)).square() for mine, own in zip(rows.unbind(dim=1), alone_, strict=True)
    ]
    torch.testing.assert_close(sum(parts), torch.ones(30, dtype=torch.float64), rtol=0, atol=1e-6)
    for mine, others in zip(rows.unbind(dim=1), numbers, strict=True):
        # Each row has been divided by a length of its own; directions are what is left of it.
        torch.testing.assert_close(
            mine / mine.norm(dim=1, keepdim=True), others / others.norm(dim=1, keepdim=True), rtol=0, atol=1e-6
        )
    assert bool((rows.flatten(1).norm(dim=1) <= 1 + 1e-9).all())
    assert bool((rows[:, 1].norm(dim=1) < rows[:, 0].norm(dim=1)).float().mean() > 0.5)  # they count for less


def test_calibration_rounds_set_each_comparator_right_by_its_own_sums() -> None:
    """Wrong by a common factor of the hazard and a wrong spread each, all models come to what is right again."""
    spec = replace(SPEC, endpoints=("overall_survival",), baseline_hazard=(0.02,), hidden_units=())
    rng, n = np.random.default_rng(6), 40_000
    x = rng.normal(size=(n, 6))
    right = np.zeros(spec.parameters)
    right[spec.ratio_begins + 4] = 0.6
    right[spec.comparator_parts[0][1]] = 0.6
    right[spec.comparator_parts[1][1]] = (0.0, 0.6, 0.0)
    death = rng.exponential(1 / (0.02 * np.exp(0.6 * x[:, 4])))
    patients = PatientTensors.of(
        *map(
            torch.as_tensor,
            (
                x,
                spec.grid.events(np.minimum(death, 40.0), death < 40)[:, None],
                spec.grid.at_risk(np.zeros(n), np.minimum(death, 40.0))[:, None],
            ),
        )
    )
    wrong = right.copy()
    for (of_baseline, of_ratio), level, spread in zip(
        ((slice(0, 4), slice(4, 10)), *spec.comparator_parts), (0.3, -0.3, 0.2), (1.3, 0.75, 1.25), strict=True
    ):
        wrong[of_baseline] += level / spec.baseline_weight
        wrong[of_ratio] *= spread
    plan = study_plan(model=spec, privacy=no_privacy(), training=TrainingSpec(calibration_rounds=3))
    for round_ in (1, 2, 3):
        sums = calibration_sum(plan, wrong, patients).vector
        wrong = recalibrated(wrong, sums, model=spec, calibration_round=round_, noise=0.0)
    np.testing.assert_allclose(wrong, right, atol=0.05)


def test_a_comparators_step_is_that_of_the_model_alone_with_as_much_more_noise_as_it_counts_for_less() -> None:
    weights, noise = drawn_weights(SPEC, seed=8), 9.0
    sums = np.random.default_rng(8).uniform(10.0, 60.0, 3 * 2 * 5)
    found = recalibrated(weights, sums, model=SPEC, calibration_round=1, noise=noise)
    for place, comparator in enumerate(SPEC.comparators):
        own, v = sums[10 * (place + 1) : 10 * (place + 2)], comparator.weight
        twin = own_weights(weights, place)
        expected = recalibrated(twin, own / v, model=alone(comparator), calibration_round=1, noise=noise / v)
        np.testing.assert_allclose(own_weights(found, place), expected, rtol=1e-12)
        without = recalibrated(twin, own, model=alone(comparator), calibration_round=1, noise=noise)
        assert np.abs(expected - without).max() > 1e-3


def test_in_local_steps_a_comparators_decay_is_times_its_weight() -> None:
    plan = study_plan(model=SPEC, privacy=local_privacy(), training=TrainingSpec(weight_decay=3.0))
    network = network_with(SPEC, drawn_weights(SPEC, seed=7))
    assert _decays(plan, network)[-4:] == [None, 1.5, None, pytest.approx(0.6)]
    assert _decays(plan, network)[:-4] == [None, 3.0, 3.0, 3.0]


# The plan


def test_plans_without_comparators_keep_the_hash_that_they_had_before_there_were_any() -> None:
    plan = study_plan()
    assert "comparators" not in plan.canonical
    assert plan.hash == "92e5565f4874fed3503582116f4b63ba5b29dbf26023a20e2593539d234011ae"  # of the version before
    assert plan_from_json(json.loads(plan.canonical)) == plan


def test_a_plan_with_comparators_is_read_back_as_it_was_and_an_empty_list_is_refused() -> None:
    plan = study_plan(model=SPEC)
    assert plan_from_json(json.loads(plan.canonical)) == plan
    assert len({plan.hash, study_plan(model=PLAIN).hash}) == 2
    content = json.loads(study_plan(model=PLAIN).canonical)
    content["model"]["comparators"] = []
    with pytest.raises(InvalidInput, match=r"plan\.model\.comparators: is there, and empty"):
        plan_from_json(content)


WRONG = {
    "columns that are not there": (Comparator("stage", (0, 4), (), 0.5),),
    "columns that are not there, below": (Comparator("stage", (-1,), (), 0.5),),
    "not each named once": (Comparator("stage", (0, 0), (), 0.5),),
    "not each named once, missing": (Comparator("stage", (0,), (1,), 0.5),),
    "a name of their own": (Comparator("stage", (0,), (), 0.5), Comparator("stage", (1,), (), 0.5)),
}


@pytest.mark.parametrize(("words", "comparators"), WRONG.items(), ids=WRONG)
def test_comparators_that_do_not_fit_the_model_are_refused_by_reader_and_policy(
    words: str, comparators: tuple[Comparator, ...]
) -> None:
    model = model_spec(columns=4, comparators=comparators)
    plan = replace(PLAN, model=model)
    words = words.partition(",")[0]
    with pytest.raises(InvalidInput, match=words):
        plan_from_json(json.loads(plan.canonical))
    with pytest.raises(PrivacyRefusal, match=words):
        POLICY.refuse_unless_allowed(plan)


def test_the_words_of_a_plan_name_them() -> None:
    told = " ".join(plan_in_words(study_plan(model=SPEC), SCHEMA, parameters=SPEC.parameters).split())
    assert "COMPARED WITH: among these numbers are those of simpler models" in told
    assert "(stage (smoker); both (age years, smoker, crp))" in told, "a name is the plan's, markers are the schema's"
    assert "COMPARED" not in plan_in_words(study_plan(), SCHEMA, parameters=9)
