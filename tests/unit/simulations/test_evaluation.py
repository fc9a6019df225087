"""Which figures of a run are defined, and up to when?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.pages_hospital import hospital

from oncofed.cohort.cohort import Cohort
from oncofed.simulations.evaluation import endpoint_results
from oncofed.simulations.partition import Consortium
from oncofed.simulations.results import EndpointResult
from oncofed.simulations.study import EvaluationSpec, Split

EVERYBODY = hospital(900, seed=3)


def consortium(cohort: Cohort) -> Consortium:
    rows = np.arange(len(cohort))
    sites = np.where(rows % 3 == 0, "Bonn", "Essen")
    test = rows[600:]
    return Consortium(
        hospitals={name: cohort.subset(rows[:600][sites[:600] == name]) for name in ("Bonn", "Essen")},
        test=cohort.subset(test),
        held_out={name: cohort.subset(test[sites[test] == name]) for name in ("Bonn", "Essen")},
        left_out=0,
        test_sites=sites[test],
    )


def main(cohort: Cohort, *, horizon: float = 24.0) -> EndpointResult:
    evaluation = EvaluationSpec(horizon, Split.RANDOM, bootstrap_resamples=2)
    found = endpoint_results(EVERYBODY.network, patients=consortium(cohort), evaluation=evaluation, seed=1)
    return next(iter(found.values()))


def test_with_delayed_entry_what_weighs_by_censoring_is_not_told() -> None:
    assert not np.isnan(main(EVERYBODY.cohort).integrated_brier)
    late = EVERYBODY.cohort.entry.copy()
    late[600:] = 0.5 * EVERYBODY.cohort.exit[600:]
    found = main(replace(EVERYBODY.cohort, entry=late))
    assert np.isnan([found.uno_c_index, found.integrated_brier, found.brier_gain]).all()
    assert found.auc is None
    assert found.decisions is not None
    assert not np.isnan(found.decisions.model.value[3])
    assert "delayed entry" in " ".join(found.notes)
    assert not np.isnan(found.c_index)


def test_the_brier_score_ends_at_the_horizon_or_where_a_tenth_is_followed() -> None:
    """To the very last follow-up a single patient would stand for dozens."""
    assert main(EVERYBODY.cohort, horizon=24.0).brier_until == 24.0
    shorter = replace(EVERYBODY.cohort, exit=0.5 * EVERYBODY.cohort.exit)
    far = main(shorter, horizon=60.0)
    assert 5 < far.brier_until < 40
    assert (shorter.exit[600:, 0] > far.brier_until).mean() >= 0.1 - 1 / 300


def test_areas_are_told_up_to_the_same_time_and_follow_the_risks_by_each_of_them() -> None:
    """Of these patients, events were drawn from the network; the slow twin is a loop over pairs without censoring."""
    followed = replace(
        EVERYBODY.cohort,
        exit=np.where(EVERYBODY.cohort.observed, EVERYBODY.cohort.exit, 200.0),  # nobody is censored within the time
    )
    found = main(followed)
    assert found.auc is not None
    np.testing.assert_allclose(found.auc.times, np.arange(3.0, 25.0, 3.0), rtol=0, atol=0.3)
    time, observed = followed.exit[600:, 0], followed.observed[600:, 0]
    for at, told in zip(found.auc.times, found.auc.auc, strict=True):
        had = observed & (time <= at)
        apart = found.log_hazard_ratio[had][:, None] - found.log_hazard_ratio[~had][None, :]
        assert told == pytest.approx(np.mean(0.5 + 0.5 * np.sign(apart)), abs=1e-9)


def test_the_true_model_gains_over_one_curve_for_everybody_and_one_upside_down_does_harm() -> None:
    """These patients' events were drawn from the network itself."""
    assert main(EVERYBODY.cohort).brier_gain > 0.03
    mixed = EVERYBODY.cohort.values[np.random.default_rng(0).permutation(900)]
    assert main(replace(EVERYBODY.cohort, values=mixed)).brier_gain < 0
