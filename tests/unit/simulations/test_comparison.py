"""Is each comparator measured beside the network, on the patients of whom its scores are recorded?

The invented patients' events are drawn from the network itself, so what the figures must say is known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.pages_hospital import hospital
from tests.unit.simulations.test_evaluation import consortium

from oncofed.cohort.cohort import Cohort
from oncofed.simulations.comparison import compared
from oncofed.simulations.evaluation import endpoint_results
from oncofed.simulations.results import Compared
from oncofed.simulations.study import EvaluationSpec, Split
from oncofed.survival.comparators import Comparator
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector

EVERYBODY = hospital(2_400, seed=3)
EVALUATION = EvaluationSpec(24.0, Split.RANDOM, bootstrap_resamples=40)
AGE, NOTHING = Comparator("age", (0, 1), (1,), 0.5), Comparator("nothing", (2,), (), 0.5)


def with_comparators(*, level: float = 0.0) -> PrognosisNetwork:
    """Age has the network's own linear effect of it and a level of its own; the other knows nothing of anybody."""
    plain = EVERYBODY.network
    spec = replace(plain.spec, comparators=(AGE, NOTHING))
    found = np.zeros(spec.parameters)
    found[: spec.ratio_ends] = parameter_vector(plain)
    own = found[: spec.baseline_parameters]
    for of_baseline, _ in spec.comparator_parts:
        found[of_baseline] = own + level / spec.baseline_weight
    assert plain.linear_branch is not None
    effects = plain.linear_branch.weight.detach().numpy()[:, :2]
    found[spec.comparator_parts[0][1]] = effects.ravel()
    return network_with(spec, found)


def figures(cohort: Cohort = EVERYBODY.cohort, *, level: float = 0.0) -> tuple[Compared, ...]:
    found = compared(with_comparators(level=level), patients=consortium(cohort), evaluation=EVALUATION, seed=1)
    assert list(found) == ["overall_survival", "progression"]
    return found["overall_survival"]


def test_the_network_from_which_events_were_drawn_gains_over_what_knows_less() -> None:
    age, nothing = figures()
    assert (age.name, nothing.name) == ("age", "nothing")
    assert nothing.comparator.c_index == 0.5
    assert min(age.gain.low, nothing.gain.low) > 0
    assert 0.5 < age.comparator.c_index < age.network.c_index
    assert age.c_index_gain.low < age.network.c_index - age.comparator.c_index < age.c_index_gain.high
    assert age.network.brier_gain > age.comparator.brier_gain
    assert np.nanmax(nothing.benefit_gain.low) > 0, "at some threshold it does more good to know something"
    middle = list(age.decisions.thresholds).index(0.4)
    assert age.benefit_gain.low[middle] < age.benefit_gain.value[middle] < age.benefit_gain.high[middle]
    assert age.network.observed_to_expected == pytest.approx(1, abs=0.15)


def test_the_benefit_of_a_score_and_of_the_network_are_of_the_same_patients() -> None:
    values = EVERYBODY.cohort.values.copy()
    values[:, 0] = np.nan_to_num(values[:, 0], nan=60.0)  # the age of all is recorded
    recorded = figures(replace(EVERYBODY.cohort, values=values))[0]
    of_all = endpoint_results(
        EVERYBODY.network,
        patients=consortium(replace(EVERYBODY.cohort, values=values)),
        evaluation=EVALUATION,
        seed=1,
    )["overall_survival"].decisions
    assert of_all is not None
    np.testing.assert_allclose(
        recorded.benefit_gain.value, of_all.model.value - recorded.decisions.model.value, atol=1e-12
    )
    np.testing.assert_array_equal(recorded.decisions.everybody.value, of_all.everybody.value)


def test_a_score_at_a_wrong_level_shows_in_observed_to_expected_and_in_the_gain_and_not_in_the_c_index() -> None:
    right, wrong = figures()[0], figures(level=0.7)[0]
    assert wrong.comparator.c_index == right.comparator.c_index
    assert wrong.comparator.observed_to_expected == pytest.approx(right.comparator.observed_to_expected / np.exp(0.7))
    assert wrong.network == right.network
    assert wrong.gain.total > right.gain.total + 10


def test_who_lacks_a_marker_of_a_score_is_in_that_comparison_alone_not_counted() -> None:
    values = EVERYBODY.cohort.values.copy()
    lacking = np.zeros(2_400, dtype=np.bool_)
    lacking[600:1_100] = True  # all of them in the test part
    values[:, 0] = np.where(lacking, np.nan, np.nan_to_num(values[:, 0], nan=60.0))
    values[:, 1] = np.nan_to_num(values[:, 1], nan=5.0)
    cohort = replace(EVERYBODY.cohort, values=values)
    age, nothing = figures(cohort)
    assert (age.patients, nothing.patients) == (1_300, int((~np.isnan(values[600:, 1])).sum()))
    some = cohort.subset(np.flatnonzero(~lacking))
    network, *_ = endpoint_results(EVERYBODY.network, patients=consortium(some), evaluation=EVALUATION, seed=1).values()
    assert age.network.c_index == network.c_index
    assert age.events == network.events


def test_a_score_that_is_recorded_of_nobody_is_left_out_and_a_study_without_comparators_has_none() -> None:
    values = EVERYBODY.cohort.values.copy()
    values[600:, 0] = np.nan
    assert [each.name for each in figures(replace(EVERYBODY.cohort, values=values))] == ["nothing"]
    assert compared(EVERYBODY.network, patients=consortium(EVERYBODY.cohort), evaluation=EVALUATION, seed=1) == {}


def test_with_delayed_entry_the_brier_gain_is_not_told_and_the_rest_is() -> None:
    late = EVERYBODY.cohort.entry.copy()
    late[600:] = 0.5 * EVERYBODY.cohort.exit[600:]
    age, _ = figures(replace(EVERYBODY.cohort, entry=late))
    assert np.isnan(age.comparator.brier_gain)
    assert not np.isnan([age.comparator.c_index, age.gain.total, age.comparator.observed_to_expected]).any()
