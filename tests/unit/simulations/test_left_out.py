"""Is each hospital that did not train measured by itself, and is what is wrong in one of them seen there?

Patients' events are drawn from the network that is measured, so it is right; in one hospital times are halved, so that
about twice as many events come as it expects.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.pages_hospital import hospital

from oncofed.server.report.released_figures import plain
from oncofed.simulations.evaluation import endpoint_results
from oncofed.simulations.figures_file import left_out_figures, left_out_of
from oncofed.simulations.left_out import across_left_out, left_out_hospitals
from oncofed.simulations.partition import Consortium
from oncofed.simulations.results import LeftOut
from oncofed.simulations.study import EvaluationSpec, Split

PATIENTS, SITES, WRONG = 2400, 8, "site_7"
EVALUATION = EvaluationSpec(24.0, Split.HOSPITALS, bootstrap_resamples=40)


@cache
def consortium(*, wrong: bool) -> Consortium:
    """Ten hospitals: two trained, eight did not."""
    here = hospital(PATIENTS, seed=5)
    sites = np.array([f"site_{row % (SITES + 2)}" for row in range(PATIENTS)])
    cohort = here.cohort
    if wrong:
        ends = cohort.exit.copy()
        ends[sites == WRONG] *= 0.5
        cohort = replace(cohort, exit=ends)
    trained = {name: cohort.subset(np.flatnonzero(sites == name)) for name in ("site_8", "site_9")}
    test = np.flatnonzero(~np.isin(sites, list(trained)))
    return Consortium(trained, cohort.subset(test), {}, left_out=0, test_sites=sites[test])


@cache
def found(*, wrong: bool = False) -> LeftOut:
    told = left_out_hospitals(
        hospital(2, seed=5).network, patients=consortium(wrong=wrong), evaluation=EVALUATION, seed=1
    )
    assert list(told) == ["overall_survival", "progression"]
    return told["overall_survival"]


def test_a_right_model_is_right_in_hospitals_that_it_never_saw() -> None:
    told = found()
    assert [each.name for each in told.hospitals] == [f"site_{number}" for number in range(SITES)]
    assert sum(each.patients for each in told.hospitals) == PATIENTS * SITES // (SITES + 2)
    for figure, least, most in ((told.ratio, 0.6, 1.6), (told.slope, 0.0, 2.0)):
        assert figure.counted == SITES
        assert figure.interval[0] < 1 < figure.interval[1]
        assert least < figure.prediction[0] < 1 < figure.prediction[1] < most
    assert 0.5 < told.c_index.prediction[0] < told.c_index.mean < told.c_index.prediction[1] < 0.9


def test_a_hospital_with_twice_the_hazard_stands_out_and_widens_what_the_next_may_be() -> None:
    told = found(wrong=True)
    by_name = {each.name: each for each in told.ratio.hospitals}
    assert by_name[WRONG].value > 1.4
    assert by_name[WRONG].low > 1.05
    assert max(each.value for name, each in by_name.items() if name != WRONG) < 1.35
    assert told.ratio.prediction[1] > found().ratio.prediction[1] + 0.1
    assert told.ratio.foretold()[SITES - 1] is False


def test_events_against_expected_ones_are_told_of_hospitals_that_did_not_train() -> None:
    told = endpoint_results(
        hospital(2, seed=5).network, patients=consortium(wrong=False), evaluation=EVALUATION, seed=1
    )["overall_survival"].expected
    assert told is not None
    assert [each.name for each in told.hospitals] == [f"site_{number}" for number in range(SITES)]
    counted = {each.name: (each.events, each.expected) for each in found().hospitals}
    for each in told.hospitals:
        assert counted[each.name] == pytest.approx((each.all_along.observed, each.all_along.expected))


def test_nothing_is_told_where_all_hospitals_train() -> None:
    patients = consortium(wrong=False)
    everybody = replace(patients, hospitals=dict.fromkeys(np.unique(patients.test_sites), patients.test))
    assert left_out_hospitals(hospital(2, seed=5).network, patients=everybody, evaluation=EVALUATION, seed=1) == {}


def test_what_is_written_of_them_is_read_again(tmp_path: Path) -> None:
    told = found()
    (tmp_path / "metrics.json").write_text(json.dumps(plain(left_out_figures(told))))
    written = json.loads((tmp_path / "metrics.json").read_text())
    again = across_left_out(left_out_of(written))
    assert again.hospitals == told.hospitals
    assert again.ratio.prediction == told.ratio.prediction
    assert written["observed_to_expected"]["prediction95"] == list(told.ratio.prediction)
    assert written["c_index"]["hospitals"] == SITES
