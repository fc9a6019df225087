"""Which figures of a run are defined, and up to when?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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
    assert "delayed entry" in " ".join(found.notes)
    assert not np.isnan(found.c_index)


def test_the_brier_score_ends_at_the_horizon_or_where_a_tenth_is_followed() -> None:
    """To the very last follow-up a single patient would stand for dozens."""
    assert main(EVERYBODY.cohort, horizon=24.0).brier_until == 24.0
    shorter = replace(EVERYBODY.cohort, exit=0.5 * EVERYBODY.cohort.exit)
    far = main(shorter, horizon=60.0)
    assert 5 < far.brier_until < 40
    assert (shorter.exit[600:, 0] > far.brier_until).mean() >= 0.1 - 1 / 300


def test_the_true_model_gains_over_one_curve_for_everybody_and_one_upside_down_does_harm() -> None:
    """These patients' events were drawn from the network itself."""
    assert main(EVERYBODY.cohort).brier_gain > 0.03
    mixed = EVERYBODY.cohort.values[np.random.default_rng(0).permutation(900)]
    assert main(replace(EVERYBODY.cohort, values=mixed)).brier_gain < 0
