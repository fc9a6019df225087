"""Are hospitals counted, and their patients followed, as the page says?"""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.nonparametric import kaplan_meier_estimator
from tests.unit.simulations.report.fake_results import fake_cohort, fake_schema

from oncofed.cohort.cohort import Cohort
from oncofed.simulations.report.cohorts import LARGEST_TABLE, cohort_row, cohort_rows, table_rows


def cohort_of(patients: int, seed: int = 1) -> Cohort:
    return fake_cohort(fake_schema(), patients=patients, prefix="P", rng=np.random.default_rng(seed))


def test_a_row_counts() -> None:
    cohort = cohort_of(80)
    row = cohort_row("here", [cohort])
    assert (row.name, row.patients, row.events) == ("here", 80, int(cohort.observed[:, 0].sum()))
    assert row.share_with_event == row.events / 80
    missing = sum(np.isnan(value) for patient in cohort.values for value in patient)
    assert row.share_missing == missing / (80 * 22)


def test_median_follow_up_is_that_of_the_censoring_by_scikit_survival() -> None:
    cohort = cohort_of(150)
    cohort = Cohort(
        cohort.schema, cohort.patient_ids, cohort.values, 0 * cohort.entry, cohort.exit.copy(), cohort.observed.copy()
    )
    time, survival = kaplan_meier_estimator(~cohort.observed[:, 0], cohort.exit[:, 0])
    row = cohort_row("here", [cohort])
    assert row.median_follow_up == time[survival <= 0.5][0]
    assert row.median_follow_up != pytest.approx(float(np.median(cohort.exit[:, 0])))


def test_follow_up_that_never_falls_to_half_is_not_a_number() -> None:
    cohort = cohort_of(20)
    all_dead = Cohort(
        cohort.schema,
        cohort.patient_ids,
        cohort.values,
        cohort.entry.copy(),
        cohort.exit.copy(),
        np.ones_like(cohort.observed),
    )
    assert np.isnan(cohort_row("here", [all_dead]).median_follow_up)


def test_nobody_is_no_error() -> None:
    row = cohort_row("empty", [cohort_of(5).subset([])])
    assert (row.patients, row.events) == (0, 0)
    assert np.isnan([row.share_with_event, row.share_missing, row.median_follow_up]).all()


def test_a_long_table_adds_up_its_smallest_hospitals() -> None:
    hospitals = {f"h{size}": cohort_of(size, seed=size) for size in range(1, LARGEST_TABLE + 12)}
    rows = table_rows(hospitals)
    assert len(rows) == LARGEST_TABLE
    assert rows[-1].name == "12 smaller hospitals together"
    assert rows[-1].patients == sum(range(1, 13))
    everyone = cohort_row("all", list(hospitals.values()))
    assert sum(row.patients for row in rows) == everyone.patients
    assert sum(row.events for row in rows) == everyone.events
    few = dict(list(hospitals.items())[:LARGEST_TABLE])
    assert [row.name for row in table_rows(few)] == [row.name for row in cohort_rows(few)] == list(few)
