"""What is adopted from exact outcomes: is it the best one on its step, and does a step hide the smallest group?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from tests.pages_hospital import GRID, hospital, with_causes

from oncofed.client.fit.closed_testing import Degree, best_level, level_and_slope
from oncofed.client.fit.judging import _told, judged, to_adopt
from oncofed.client.fit.node_drift import as_shown
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.recalibration import Decided, Recalibration, band
from oncofed.cohort.encoding import encode
from oncofed.errors import InvalidInput


@cache
def set_aside(patients: int = 900) -> HospitalPrognosis:
    """Half of the patients, by lot."""
    here = hospital(patients)
    return replace(here, drawn=np.random.default_rng(0).random(len(here.units.of)) < 0.5)


def test_a_level_is_the_best_one_to_within_half_a_step_and_as_sure_as_its_events() -> None:
    here = set_aside()
    (found, _) = judged(here, np.random.default_rng(1))
    outcomes = found.causes[0].outcomes
    told = _told(here, 0, found.causes[0], Degree.LEVEL)
    assert told is not None
    events = int(outcomes.events.sum())
    step = 10 / (events // 10 * 10)
    assert abs(told.corrections[0] - best_level(outcomes).level) <= step
    assert told.corrections[0] / step == pytest.approx(round(told.corrections[0] / step))
    assert (np.ptp(told.corrections), told.slope, told.with_slope) == (0.0, 1.0, False)
    assert told.covariance[0, -2] == pytest.approx(1 / events + step**2 / 6)
    assert (told.covariance[-1] == 0).all()
    assert told.events == events // 10 * 10
    assert told.patients % 10 == 0


def test_a_slope_is_taken_with_the_level_that_suits_it() -> None:
    here = set_aside()
    (found, _) = judged(here, np.random.default_rng(1))
    outcomes = found.causes[0].outcomes
    told, best = _told(here, 0, found.causes[0], Degree.LEVEL_AND_SLOPE), level_and_slope(outcomes)
    assert told is not None
    assert told.slope == pytest.approx(best.slope, abs=0.15)
    expected = outcomes.expected * np.exp(told.corrections[0] + (told.slope - 1) * outcomes.log_hazard_ratio)
    assert expected.sum() == pytest.approx(outcomes.events.sum(), rel=0.06)
    np.testing.assert_allclose(told.covariance[-1, -1], best.covariance[1, 1], rtol=0.3)
    limits = band(
        told, 1.0, log_baseline_hazard=np.log([0.02] * 4 * GRID.widths), grid=GRID, times=np.array([0.0, 20.0])
    )
    assert limits.low[1] < limits.survival[1] < limits.high[1]


def test_as_many_counts_of_events_as_the_smallest_group_agree_with_a_level() -> None:
    """Rule 9 of what pages may tell: another patient's event, or nine others', are not seen."""
    here = set_aside()
    (found, _) = judged(here, np.random.default_rng(1))
    cause = found.causes[0]
    rows, told_of = np.arange(len(cause.events)), {}
    for count in range(60, 180):
        events = np.zeros_like(cause.events)
        events[rows[:count], 0] = 1.0
        told = _told(here, 0, replace(cause, events=events), Degree.LEVEL)
        assert told is not None
        told_of[count] = (told.events, told.expected, round(float(told.corrections[0]), 9))
    assert set(Counter(told_of.values()).values()) == {10}
    assert len({level for *_, level in told_of.values()}) >= 6, "it says something"


def test_what_competes_is_adjusted_together_or_not_at_all() -> None:
    here = with_causes(1500)
    here = replace(here, drawn=np.random.default_rng(0).random(len(here.units.of)) < 0.5)
    (found,) = judged(here, np.random.default_rng(1))
    assert found.numbers == (0, 1)
    adopted = to_adopt(
        here, (replace(found, found=replace(found.found, choice=replace(found.found.choice, degree=Degree.LEVEL))),)
    )
    assert [each.degree for each in adopted] == [Degree.LEVEL] * 2
    fits = {number: each.fit for number, each in enumerate(adopted) if each.fit is not None}
    shown = replace(here, decided=Decided("2026-01-01", fits))
    assert [shown.endpoint(number).recalibration for number in (0, 1)] == [fits[0], fits[1]]
    assert shown.endpoint(0).fitted is not fits[0], "how it fits is told as before"


def test_with_nobody_set_aside_nothing_is_judged() -> None:
    with pytest.raises(InvalidInput, match=r"set aside from its training.*\[held_out\]"):
        judged(hospital(200), np.random.default_rng(0))
    few = hospital(300)
    few = replace(few, drawn=np.arange(len(few.units.of)) < 40)
    with pytest.raises(InvalidInput, match="fewer than 30 events"):
        judged(few, np.random.default_rng(0))


def test_hazards_are_watched_as_patients_pages_show_them() -> None:
    here = hospital(50)
    fit = Recalibration(np.full(4, 0.3), 1.2, np.diag([0.01] * 4 + [0.04]), 100, 60, 50.0)
    x = encode(here.cohort)
    shown, deviations = as_shown(here.network, x, Decided("2026-01-01", {1: fit}))
    with torch.no_grad():
        released = here.network.log_hazard(torch.as_tensor(x)).numpy()
        ratio = here.network(torch.as_tensor(x)).numpy()[:, 1]
    np.testing.assert_allclose(shown[:, 0], released[:, 0])
    np.testing.assert_allclose(shown[:, 1], released[:, 1] + 0.3 + 0.2 * ratio[:, None])
    assert deviations[0] == 0.0
    assert deviations[1] == pytest.approx((0.01 / 4 + 0.04 * ratio.mean() ** 2) ** 0.5)
    of_patient = replace(here, decided=Decided("2026-01-01", {1: fit})).own(1, 7)
    np.testing.assert_allclose(
        shown[7, 1], of_patient.log_baseline_hazard + fit.corrections + fit.slope * of_patient.log_hazard_ratio
    )
