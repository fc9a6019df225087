"""Do published effects of markers become what a model starts from and decays to, and nothing else?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.doubles import drawn_patients, round_contribution, study_plan
from tests.unit.study.test_explanation_settings import MEMBERS

from oncofed.client.records.objections import of_the_plan
from oncofed.cohort.encoding import encode
from oncofed.cohort.expected_effects import expected_weights
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_difference import differences
from oncofed.cohort.schema_file import parse_schema
from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.cohort.validation import validate
from oncofed.errors import InvalidInput
from oncofed.privacy.mechanism import clipped_gradient_sum, stopped_gradient_sum
from oncofed.privacy.noise import NoNoise
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.plan import Bounding, ModelSpec, StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import plan_in_words
from oncofed.protocol.weights import expected_vector
from oncofed.ranges import outside
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.simulations.study import DataSpec
from oncofed.simulations.study_table import _of_endpoints
from oncofed.survival.comparators import Comparator
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork, parameter_vector

SCHEMA = """
[schema]
name = "small"
patient_id = "id"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "os"
time = "months"
event = "died"
baseline_hazard = 0.02
[[endpoint]]
name = "progression"
time = "progression_months"
event = "progressed"
baseline_hazard = 0.04
[modality.clinical]
weight = 0.5
[[marker]]
name = "age"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 15
{age}
[[marker]]
name = "stage"
modality = "clinical"
kind = "categorical"
categories = ["one", "two", "three", "four"]
reference_category = "two"
weight = 3
{stage}
[[marker]]
name = "smoker"
modality = "laboratory"
kind = "binary"
"""
AGE = 'expected_log_hazard_ratio = 0.35\nexpected_source = "Smith, J Clin Oncol 2019"'
STAGE = 'expected_log_hazard_ratios = { one = -0.4, four = 1.2 }\nexpected_source = "Jones 2020"'
STUDY = """
[study]
name = "small"
[data]
schema = "schema.toml"
[model]
hidden_units = [4]
baseline_weight = 1
[training]
rounds = 30
server_learning_rate = 0.02
weight_decay = 1
calibration_rounds = 0
[privacy]
mode = "local"
epsilon = 2
l2_norm_bound = 1
bounding = "clip"
"""


def schema(age: str = AGE, stage: str = STAGE) -> StudySchema:
    return parse_schema(SCHEMA.format(age=age, stage=stage), where="schema.toml")


def plan_of(folder: Path, text: str) -> StudyPlan:
    (folder / "schema.toml").write_text(text)
    (folder / "study.toml").write_text(STUDY)
    consortium = read_consortium(folder / "study.toml")
    return plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")


def spec(expected: tuple[float, ...], *, linear_branch: bool = True) -> ModelSpec:
    beside = (Comparator("second", (1,), (), 0.25),)
    grid = TimeGrid((0.0, 6.0, 12.0))
    units = () if linear_branch else (2,)
    return ModelSpec(
        2,
        ("os", "progression"),
        grid,
        (0.02, 0.04),
        hidden_units=units,
        linear_branch=linear_branch,
        comparators=beside,
        expected_weights=expected,
    )


def test_before_any_round_each_patients_log_hazard_ratio_is_what_was_published(tmp_path: Path) -> None:
    read = schema()
    rows = pd.DataFrame(
        {
            "id": ["p1", "p2", "p3"],
            "age": [75.0, 45.0, np.nan],
            "stage": ["four", "one", "two"],
            "smoker": [1, 0, 1],
            **{name: [10.0, 11.0, 12.0] for name in ("months", "progression_months")},
            **{name: [1, 0, 1] for name in ("died", "progressed")},
        }
    )
    network = PrognosisNetwork(plan_of(tmp_path, SCHEMA.format(age=AGE, stage=STAGE)).model, initialisation_seed=1)
    with torch.no_grad():
        ratio = network(torch.as_tensor(encode(validate(rows, read, where="table"))))
    np.testing.assert_allclose(ratio[:, 0], [0.35 + 1.2, -0.35 - 0.4, 0.0], rtol=1e-12)
    np.testing.assert_array_equal(ratio[:, 1], 0.0)  # of the second endpoint nothing was published


def test_schemas_and_plans_that_expect_nothing_keep_their_hash(tmp_path: Path) -> None:
    # As they were written before there was such a field.
    assert schema("", "").hash == "c3e26064e9023ddc667290a0c73626ebf69aa2cc2d397ef843b93257d4da3b56"
    assert (
        plan_of(tmp_path, SCHEMA.format(age="", stage="")).hash
        == "af9fdf84a39e693801defcb57e6c288eb0a127cd1a86653e07882cdeca11a75b"
    )
    assert len({schema().hash, schema("", "").hash, schema(AGE.replace("Smith", "Smythe")).hash}) == 3


def test_the_plan_has_them_as_numbers_and_a_file_of_it_keeps_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SCHEMA.format(age=AGE, stage=STAGE))
    # age, its flag, stage one, three, four, its flag, smoker, its flag: over the columns' public weights
    assert plan.model.expected_weights == pytest.approx((0.7, 0, -0.4 / 1.5, 0, 0.8, 0, 0, 0), rel=1e-12)
    assert plan_from_json(json.loads(plan.canonical)) == plan
    short = replace(plan, model=replace(plan.model, expected_weights=(1.0,)))
    with pytest.raises(InvalidInput, match="expects 1 weights of 8 columns"):
        plan_from_json(json.loads(short.canonical))


def test_a_hospital_reads_what_is_expected_and_by_whom_and_refuses_a_plan_that_starts_from_something_else(
    tmp_path: Path,
) -> None:
    plan, read = plan_of(tmp_path, SCHEMA.format(age=AGE, stage=STAGE)), schema()
    told = " ".join(plan_in_words(plan, read, parameters=plan.model.parameters).split())
    assert "STARTS FROM what was published of os" in told
    assert "age 0.35 for 15 years (source: Smith, J Clin Oncol 2019)" in told
    assert "stage (one -0.4, four 1.2) (source: Jones 2020)" in told
    assert "STARTS FROM" not in plan_in_words(
        replace(plan, model=replace(plan.model, expected_weights=())), read, parameters=1
    )
    assert of_the_plan(plan, read, site="a") == []
    for other in ((), (9.0,) * 8):
        told_otherwise = replace(plan, model=replace(plan.model, expected_weights=other))
        assert of_the_plan(told_otherwise, read, site="a") == [
            "its model starts from other effects than its schema expects"
        ]


def test_no_effect_is_named_from_which_the_model_does_not_start(tmp_path: Path) -> None:
    """A column that is multiplied by 0 has no weight to start from."""
    text = SCHEMA.format(age=AGE, stage=STAGE).replace("weight = 3", "weight = 0")
    plan = plan_of(tmp_path, text)
    read = parse_schema(text, where="schema.toml")
    told = " ".join(plan_in_words(plan, read, parameters=plan.model.parameters).split())
    assert "age 0.35 for 15 years" in told
    assert "Jones" not in told
    assert "stage (one" not in told


def test_an_effect_over_a_weight_too_small_for_it_is_told_with_its_marker(tmp_path: Path) -> None:
    """The linear weight is the effect over the column's: no plan could be signed that starts from it."""
    for weight, told in (("1e-5", "3e-05"), ("1e-310", "3e-310")):
        text = SCHEMA.format(age="", stage=STAGE).replace("weight = 0.5", f"weight = {weight}")
        with pytest.raises(InvalidInput) as refused:
            parse_schema(text, where="schema.toml")
        assert str(refused.value).splitlines()[-1].strip().removeprefix("- ") == (
            'schema.toml: [[marker]] "stage", expected_log_hazard_ratio: is over a public weight of '
            f"{told} more than a model may start from (10,000). Raise weight of the marker or of its modality, or "
            "leave the effect out."
        )
    assert outside(plan_of(tmp_path, text.replace("1e-310", "1e-4")).model) == []


FAULTS = {
    "stage": ("", STAGE.replace("four", "fuor"), 'names "fuor", which is none of the categories'),
    "reference": ("", STAGE.replace("one", "two"), "names the reference category"),
    "nothing": ("", STAGE.replace("one = -0.4, four = 1.2", ""), "names no category"),
    "no source": (AGE.partition("\n")[0], "", "expected_source: is missing"),
    "a source alone": (AGE.partition("\n")[2], "", "is the source of no effect"),
    "of categories": ("", AGE, "expected_log_hazard_ratio: is not used by a categorical marker"),
    "of a number": (STAGE, "", "expected_log_hazard_ratios: is not used by a continuous marker"),
    "absurd": (AGE.replace("0.35", "35"), "", "is above 5"),
}


@pytest.mark.parametrize(("age", "stage", "words"), FAULTS.values(), ids=FAULTS)
def test_an_effect_that_means_nothing_is_told_with_its_place(age: str, stage: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        schema(age, stage)
    assert len(refused.value.faults) == 1
    assert words in str(refused.value)
    assert '[[marker]] "' in str(refused.value)


def test_a_schema_that_is_written_expects_the_same() -> None:
    assert parse_schema(schema_as_toml(schema()), where="again") == schema()


def test_the_difference_of_two_schemas_is_told_and_tables_fit_both() -> None:
    found = differences(schema(), schema("", STAGE))
    assert [(each.field, each.fits) for each in found] == [
        ("expected_log_hazard_ratios", True),
        ("expected_source", True),
    ]


def test_a_study_without_the_first_endpoint_expects_nothing() -> None:
    asked = DataSpec(None, None, endpoints=("progression",))
    assert expected_weights(_of_endpoints(asked, schema())) == ()
    assert expected_weights(_of_endpoints(replace(asked, endpoints=("os",)), schema())) == expected_weights(schema())


def test_branch_and_comparators_start_from_it_and_two_seeds_alike() -> None:
    made = [parameter_vector(PrognosisNetwork(spec((0.7, -0.3)), initialisation_seed=seed)) for seed in (1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], [0, 0, 0, 0, 0.7, -0.3, 0, 0, 0, 0, 0, 0, -0.3, 0])
    np.testing.assert_array_equal(expected_vector(spec((0.7, -0.3))), made[0])
    without = expected_vector(spec((0.7, -0.3), linear_branch=False))
    assert np.flatnonzero(without).tolist() == [without.size - 2]  # the comparator's


def test_local_steps_pull_to_what_is_expected() -> None:
    training = TrainingSpec(
        mode=TrainingMode.EPOCHS, local_steps=1, sampling_rate=1e-6, local_learning_rate=0.1, weight_decay=2.0
    )
    plan = study_plan(model=spec((0.7, -0.3)), training=training, privacy=without_privacy(l2_norm_bound=1.0))
    weights = np.arange(1.0, 15.0)
    found = round_contribution(plan, weights, drawn_patients(plan.model, 3, seed=3), noise=NoNoise(seed=0))
    decay = 2.0 * np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0.25, 0.25])
    centre = np.array([0, 0, 0, 0, 0.7, -0.3, 0, 0, 0, 0, 0, 0, -0.3, 0])
    np.testing.assert_allclose(found, weights - 0.1 * decay * (weights - centre), rtol=1e-12)


@pytest.mark.parametrize("bounding", Bounding)
def test_whatever_is_expected_no_patient_adds_more_than_the_bound(bounding: Bounding) -> None:
    model = replace(spec(()), comparators=())
    patients, bound = drawn_patients(model, 50, seed=3), 0.5
    for expected in ((0.3, -0.2), (1e3, -1e3), (-1e4, 1e4)):
        network = PrognosisNetwork(replace(model, expected_weights=expected), initialisation_seed=1)
        assert parameter_vector(network)[4] == expected[0]
        for row in range(50):
            one = patients.rows(slice(row, row + 1))
            total = (
                clipped_gradient_sum(network, one, l2_norm_bound=bound)
                if bounding is Bounding.CLIP
                else stopped_gradient_sum(network, one, hazard_cap=1.0, l2_norm_bound=bound)
            )
            assert np.linalg.norm(total.vector) <= bound * (1 + 1e-6)
