"""Are a released model's weights read off with the right sign, step, size and order? The network is the judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.unit.server.report.fake_studies import fake_plan, fake_schema

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import StudySchema
from oncofed.server.report.linear_effects import LinearEffect, against_noise, linear_effects
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector

SCHEMA = fake_schema()
WEIGHTS = (0.1, -0.4, 0.2, -0.7, 3.0, 8.0)
"""age, sex, former, current, albumin, albumin missing."""


def hand_made(*, hidden_units: tuple[int, ...] = (3,), endpoints: tuple[str, ...] = ("os",)) -> PrognosisNetwork:
    """A network whose linear branch is WEIGHTS for the first endpoint, and twice that, negated, for a second."""
    spec = fake_plan(SCHEMA, hidden_units=hidden_units, endpoints=endpoints).model
    network = PrognosisNetwork(spec, initialisation_seed=3)
    assert network.linear_branch is not None
    rows = torch.tensor([WEIGHTS, [-2 * weight for weight in WEIGHTS]], dtype=torch.float64)
    with torch.no_grad():
        network.baseline.correction.fill_(99.0)
        network.linear_branch.weight.copy_(rows[: len(endpoints)])
    return network


def test_sign_step_and_order_of_a_hand_made_network() -> None:
    network = hand_made()
    found = linear_effects(network.spec, SCHEMA, parameter_vector(network))["os"]
    assert [(effect.marker, effect.step) for effect in found] == [
        ("female sex", "yes against no"),
        ("albumin", "5 g/l more"),
        ("smoking", "current against never"),
        ("albumin", "not measured, against its reference value"),
        ("smoking", "former against never"),
        ("age", "15 years more"),
    ]
    # Weight x public multiplier; sex goes from -2 to +2 of its scale.
    expected = [-0.4 * 2 * 4, 3.0 * 0.5, -0.7 * 2, 8.0 * 0.1, 0.2 * 2, 0.1 * 2]
    assert [effect.log_hazard_ratio for effect in found] == pytest.approx(expected)


def test_each_endpoint_has_its_own() -> None:
    network = hand_made(endpoints=("os", "pfs"))
    found = linear_effects(network.spec, SCHEMA, parameter_vector(network))
    assert list(found) == ["os", "pfs"]
    assert [effect.log_hazard_ratio for effect in found["pfs"]] == pytest.approx(
        [-2 * effect.log_hazard_ratio for effect in found["os"]]
    )


STEPS = {
    ("age", "15 years more"): ({"age": 60.0}, {"age": 75.0}),
    ("female sex", "yes against no"): ({"female_sex": 0.0}, {"female_sex": 1.0}),
    ("smoking", "former against never"): ({"smoking": 0.0}, {"smoking": 1.0}),
    ("smoking", "current against never"): ({"smoking": 0.0}, {"smoking": 2.0}),
    ("albumin", "5 g/l more"): ({"albumin": 40.0}, {"albumin": 45.0}),
    ("albumin", "not measured, against its reference value"): ({"albumin": 40.0}, {"albumin": np.nan}),
}


@pytest.mark.parametrize("seed", range(3))
def test_an_effect_is_the_difference_between_two_patients(seed: int) -> None:
    """For a network of the linear part alone, through encoding and network."""
    spec = fake_plan(SCHEMA, hidden_units=()).model
    vector = np.random.default_rng(seed).normal(size=spec.parameters)
    network = network_with(spec, vector)
    found = linear_effects(spec, SCHEMA, vector)["os"]
    assert {(effect.marker, effect.step) for effect in found} == set(STEPS)
    for effect in found:
        before, after = (log_hazard_ratio(network, patient) for patient in STEPS[effect.marker, effect.step])
        assert effect.log_hazard_ratio == pytest.approx(after - before)


def test_a_yes_beyond_the_largest_encoded_value_counts_as_that() -> None:
    """A hospital may say that sex is told in hundredths: then "yes" is encoded as no more than the limit."""
    narrow = replace(
        SCHEMA,
        markers=tuple(replace(each, scale=0.01) if each.name == "female_sex" else each for each in SCHEMA.markers),
    )
    spec = fake_plan(narrow, hidden_units=()).model
    vector = np.random.default_rng(1).normal(size=spec.parameters)
    (found,) = [effect for effect in linear_effects(spec, narrow, vector)["os"] if effect.marker == "female sex"]
    yes, no = (log_hazard_ratio(network_with(spec, vector), {"female_sex": each}, narrow) for each in (1.0, 0.0))
    assert narrow.largest_encoded_value < 50, "half of a scale of 0.01"
    assert found.log_hazard_ratio == pytest.approx(yes - no)


def log_hazard_ratio(network: PrognosisNetwork, changed: dict[str, float], schema: StudySchema = SCHEMA) -> float:
    """Of a patient who has the reference value in all other markers."""
    reference = {"age": 60.0, "female_sex": 0.5, "smoking": 0.0, "albumin": 40.0}
    values = np.array([[(reference | changed)[marker.name] for marker in schema.markers]])
    cohort = Cohort(
        schema=schema,
        patient_ids=("a",),
        values=values,
        entry=np.zeros((1, 1)),
        exit=np.ones((1, 1)),
        observed=np.ones((1, 1), dtype=np.bool_),
    )
    with torch.no_grad():
        return float(network(torch.as_tensor(encode(cohort)))[0, 0])


def test_a_network_without_a_linear_part_has_no_effects() -> None:
    spec = fake_plan(SCHEMA, linear_branch=False).model
    assert linear_effects(spec, SCHEMA, np.ones(spec.parameters)) == {}


def test_equal_effects_keep_the_order_of_the_schema() -> None:
    spec = fake_plan(SCHEMA, hidden_units=()).model
    found = linear_effects(spec, SCHEMA, np.zeros(spec.parameters))["os"]
    assert len(found) == len(columns(SCHEMA))
    assert found[0] == LinearEffect("age", "15 years more", 0.0)


def test_of_a_marker_that_calibration_by_entity_moves_nobody_says_whether_it_stands_out() -> None:
    """Its weights have another noise than the others. Here smoking stands for the tumour entity."""
    plan, weights = fake_plan(SCHEMA), parameter_vector(hand_made())
    assert set(against_noise(plan, SCHEMA, weights)) == {"age", "female_sex", "smoking", "albumin"}
    by_entity = replace(plan, model=replace(plan.model, entity_levels=EntityLevels((2, 3), 1.0)))
    found = against_noise(by_entity, SCHEMA, weights)
    assert set(found) == {"age", "female_sex", "albumin"}
    assert found["albumin"] == "stands out"
