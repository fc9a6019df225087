"""Who is in which group, and what is told of each?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.pages_hospital import ENTITY, SCHEMA, hospital
from tests.unit.simulations.test_evaluation import consortium

from oncofed.cohort.cohort import Cohort
from oncofed.simulations.evaluation import endpoint_results
from oncofed.simulations.results import Subgroup, Subgroups
from oncofed.simulations.study import EvaluationSpec, Split
from oncofed.simulations.subgroups import (
    FEWEST_EVENTS,
    FEWEST_PATIENTS,
    HOSPITAL,
    MISSING,
    groups_of,
    subgroups,
    unknown_subgroups,
)
from oncofed.survival.network import PrognosisNetwork

EVERYBODY = hospital(2_400, seed=3)


def found(
    cohort: Cohort = EVERYBODY.cohort,
    *,
    by: tuple[str, ...] | None = None,
    network: PrognosisNetwork = EVERYBODY.network,
) -> Subgroups:
    """Of overall survival; events were drawn from the network itself."""
    evaluation = EvaluationSpec(24.0, Split.RANDOM, bootstrap_resamples=2, subgroups=by)
    told = subgroups(network, patients=consortium(cohort), evaluation=evaluation, seed=1)
    assert list(told) == ["overall_survival", "progression"]
    return told["overall_survival"]


def of(told: Subgroups, by: str) -> dict[str, Subgroup]:
    return {each.name: each for each in told.groups if each.by == by}


def test_ages_hospitals_entities_and_what_is_missing_are_looked_at_without_being_asked_for() -> None:
    told = found()
    assert list(dict.fromkeys(each.by for each in told.groups)) == ["age_years", "entity", HOSPITAL, MISSING]
    assert list(of(told, "age_years")) == ["below 50", "50 to below 65", "65 to below 75", "75 and above"]
    assert list(of(told, HOSPITAL)) == ["Bonn", "Essen"]
    assert list(of(told, MISSING)) == [
        "no whole kind of data",
        "RNA expression",
        "laboratory",
        "laboratory and RNA expression",
    ]
    assert list(of(found(by=("smoker",)), "smoker")) == ["no", "yes"]
    assert not of(found(by=()), "age_years")


def test_each_patient_who_is_set_aside_is_in_one_group_of_each_kind() -> None:
    grouped = groups_of(consortium(EVERYBODY.cohort), ("age_years", "smoker", "crp_mg_per_l", "entity"))
    for by, groups in grouped.items():
        assert (np.sum(list(groups.values()), axis=0) == 1).all(), by
    ages = EVERYBODY.cohort.values[600:, 0]
    np.testing.assert_array_equal(grouped["age_years"]["50 to below 65"], (ages >= 50) & (ages < 65))
    assert "not recorded" in grouped["crp_mg_per_l"]
    assert "below 5" in grouped["crp_mg_per_l"], "other numbers are cut at the public reference value"


def test_where_nobody_lacks_a_whole_kind_of_data_it_is_how_much_is_missing() -> None:
    values = np.nan_to_num(EVERYBODY.cohort.values, nan=0.0)
    values[600:900, 4] = np.nan
    grouped = groups_of(consortium(replace(EVERYBODY.cohort, values=values)), None)
    assert {name: int(rows.sum()) for name, rows in grouped[MISSING].items()} == {"nothing": 1_500, "more": 300}


def test_the_figures_of_a_group_are_those_of_its_patients_alone() -> None:
    told = of(found(), "age_years")["75 and above"]
    old = np.flatnonzero(EVERYBODY.cohort.values[:, 0] >= 75)
    evaluation = EvaluationSpec(24.0, Split.RANDOM, bootstrap_resamples=2)
    some = EVERYBODY.cohort.subset(np.concatenate((np.arange(600), old[old >= 600])))
    alone = endpoint_results(EVERYBODY.network, patients=consortium(some), evaluation=evaluation, seed=1)
    expected = alone["overall_survival"]
    assert told.patients == len(some) - 600
    assert told.events == expected.events
    assert told.c_index.value == pytest.approx(expected.c_index)
    assert expected.calibration is not None
    assert told.slope.value == pytest.approx(expected.calibration.slope)
    assert expected.expected is not None
    assert told.observed_to_expected.value == pytest.approx(expected.expected.everybody.all_along.ratio)
    for each in (told.c_index, told.slope, told.observed_to_expected):
        assert each.low < each.value < each.high


def test_a_group_whose_risks_are_told_too_low_is_found_and_the_others_are_not() -> None:
    """Smokers have an event for each that the model expects, and half of them had one more: a third of their time."""
    smokers = EVERYBODY.cohort.values[:, 2] == 1
    shorter = np.where(smokers[:, None], EVERYBODY.cohort.exit / 3, EVERYBODY.cohort.exit)
    told = of(found(replace(EVERYBODY.cohort, exit=shorter), by=("smoker",)), "smoker")
    assert told["yes"].observed_to_expected.low > 1.5
    assert told["no"].observed_to_expected.low < 1 < told["no"].observed_to_expected.high


def test_small_groups_are_counted_and_not_told_and_of_few_events_there_is_no_interval() -> None:
    values, observed = EVERYBODY.cohort.values.copy(), EVERYBODY.cohort.observed.copy()
    values[600:, ENTITY] = 0.0
    values[600 : 600 + FEWEST_PATIENTS, ENTITY] = 1.0
    values[700 : 700 + FEWEST_PATIENTS - 1, ENTITY] = 2.0
    observed[600 : 600 + FEWEST_PATIENTS] = False
    observed[600 : 600 + FEWEST_EVENTS - 1] = True
    told = found(replace(EVERYBODY.cohort, values=values, observed=observed))
    assert told.small["entity"] == 1
    assert "rare" not in of(told, "entity")
    few, many = (of(told, "entity")[name] for name in (f"skin {SCHEMA.markers[ENTITY].categories[1][5:]}", "lung"))
    assert few.patients == FEWEST_PATIENTS
    assert np.isnan([few.c_index.low, few.observed_to_expected.high, few.slope.low]).all()
    assert not np.isnan([few.c_index.value, few.observed_to_expected.value]).any()
    assert not np.isnan([many.c_index.low, many.observed_to_expected.high, many.slope.low]).any()


def test_a_group_in_which_nobody_has_an_event_has_no_c_index_and_fails_nothing() -> None:
    observed = EVERYBODY.cohort.observed.copy()
    observed[EVERYBODY.cohort.values[:, 0] >= 75] = False
    told = of(found(replace(EVERYBODY.cohort, observed=observed)), "age_years")["75 and above"]
    assert np.isnan([told.c_index.value, told.slope.value]).all()
    assert told.observed_to_expected.value == 0


def test_a_marker_that_is_not_in_the_schema_is_a_fault_with_a_remedy() -> None:
    evaluation = EvaluationSpec(24.0, Split.RANDOM, subgroups=("smoker", "age_year"))
    (fault,) = unknown_subgroups(evaluation, SCHEMA)
    assert '"age_year" is no marker' in str(fault)
    assert 'Did you mean "age_years"?' in str(fault)
    assert unknown_subgroups(EvaluationSpec(24.0, Split.RANDOM), SCHEMA) == ()
