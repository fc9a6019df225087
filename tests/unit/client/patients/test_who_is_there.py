"""Does a patient add to the count just that there is one, which events were seen, and what was measured?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import drawn_patients, model_spec, study_plan
from tests.summaries import readiness_of
from tests.unit.study.test_budget import settings

from oncofed.client.patients.summaries import KINDS, bounded_sum
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.readiness_layout import ReadinessLayout, readiness_faults
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.study.plan_settings import PlanSettings, readiness_plan_from
from oncofed.study.readiness_settings import flags_of
from oncofed.survival.likelihood import patient_tensors

KIND = KINDS[SummaryKind.READINESS]
SCHEMA = """
[schema]
name = "who"
patient_id = "id"
[time]
unit = "months"
interval_bounds = [0, 12, 60]
[[endpoint]]
name = "overall_survival"
time = "months"
event = "died"
baseline_hazard = 0.01
[[endpoint]]
name = "relapse"
time = "relapse_months"
event = "relapsed"
baseline_hazard = 0.01
[modality.dna_mutation]
missing_flags = "modality"
[modality.treatment]
missing_flags = "none"
[modality.rna_expression]
missing_weight = 0
[[marker]]
name = "age"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 15
[[marker]]
name = "grade"
modality = "laboratory"
kind = "categorical"
categories = ["low", "high"]
reference_category = "low"
[[marker]]
names = ["kras", "tp53"]
modality = "dna_mutation"
kind = "binary"
[[marker]]
name = "chemotherapy"
modality = "treatment"
kind = "binary"
[[marker]]
name = "a_rna"
modality = "rna_expression"
kind = "continuous"
unit = "z"
plausible_range = [-10, 10]
centre = 0
scale = 1
"""
PATIENTS = 301


def plan_of(schema: StudySchema, asked: PlanSettings | None = None) -> StudyPlan:
    return readiness_plan_from(asked or settings(), schema, study="who", roster=("Bonn",), quorum=None)


def drawn_cohort(schema: StudySchema, patients: int = PATIENTS, *, seed: int = 3) -> Cohort:
    """With each cell missing or not by itself; some events beyond the grid's end of 60 months."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2, (patients, len(schema.markers))).astype(float)
    values[:, 0] = 60.0  # at the public centre: encoded as a missing one is, but for the flag
    values[rng.random(values.shape) < rng.uniform(0.1, 0.7, values.shape[1])] = np.nan
    times = rng.uniform(1, 90, (patients, 2))
    return Cohort(
        schema=schema,
        patient_ids=tuple(f"p{number}" for number in range(patients)),
        values=values,
        entry=np.zeros((patients, 2)),
        exit=times,
        observed=rng.random((patients, 2)) < 0.6,
    )


def test_the_sum_is_the_exact_count_of_patients_events_and_measured_markers() -> None:
    schema = parse_schema(SCHEMA, where="schema.toml")
    cohort, plan = drawn_cohort(schema), plan_of(schema)
    (spec,) = plan.summaries
    layout = ReadinessLayout(2, 3)
    total = bounded_sum(plan, spec, np.zeros(plan.model.parameters), patient_tensors(cohort)).vector
    assert total[0] / 0.3 == pytest.approx(PATIENTS)
    seen = (cohort.observed & (cohort.exit <= 60)).sum(axis=0)
    np.testing.assert_allclose(total[layout.events] / (0.45 / np.sqrt(2)), seen)
    there = ~np.isnan(cohort.values)
    names = {marker.name: place for place, marker in enumerate(schema.markers)}
    measured = [
        there[:, names["age"]].sum(),
        there[:, names["grade"]].sum(),
        (there[:, names["kras"]] | there[:, names["tp53"]]).sum(),
    ]
    found = (PATIENTS + total[layout.measured] / (0.84 / np.sqrt(3))) / 2
    np.testing.assert_allclose(found, measured)
    assert len(set(map(int, measured))) == 3
    assert min(measured) > 0
    assert max(measured) < PATIENTS


def test_flags_that_nobody_can_see_are_not_counted() -> None:
    """Of a modality without flags, and of one whose flags weigh nothing, which look measured in everybody."""
    told = [column.source for column in flags_of(parse_schema(SCHEMA, where="schema.toml")).values()]
    assert told == ["age", "grade", "dna_mutation"]


@pytest.mark.parametrize("endpoints", [1, 2, 3])
@pytest.mark.parametrize("flags", [0, 1, 350])
def test_a_row_is_no_longer_than_one_before_anybody_cuts_it(endpoints: int, flags: int) -> None:
    model = model_spec(columns=max(flags, 1), endpoints=endpoints)
    plan = study_plan(model=model)
    spec = readiness_of(plan, flags=tuple(range(flags)))
    rows = KIND.rows(plan, spec, np.zeros(plan.model.parameters), drawn_patients(model, 200, seed=1))
    lengths = np.linalg.norm(rows, axis=1)
    assert 0.8 * (flags > 0) < lengths.max() <= 1


def test_the_weights_of_the_question_have_no_part_in_it() -> None:
    plan = study_plan()
    spec, patients = readiness_of(plan), drawn_patients(plan.model, 30, seed=2)
    some, others = np.zeros(plan.model.parameters), np.full(plan.model.parameters, 1e6)
    assert (KIND.rows(plan, spec, some, patients) == KIND.rows(plan, spec, others, patients)).all()


def test_a_count_whose_numbers_do_not_fit_is_refused() -> None:
    plan = study_plan()
    spec = readiness_of(plan)
    assert not readiness_faults(plan, spec)
    for wrong in (
        replace(spec, cells=spec.cells + 1),
        replace(spec, group_columns=(0, plan.model.columns)),
        replace(spec, group_columns=(-1, 0)),
    ):
        assert readiness_faults(plan, wrong)
