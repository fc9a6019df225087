"""What is adopted from exact outcomes: is it the best one on its step, and does a step hide the smallest group?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from tests.pages_hospital import GRID, hospital, with_causes

from oncofed.client.fit.adoption import Adoption
from oncofed.client.fit.closed_testing import Degree, Outcomes, best_level, choose, level_and_slope
from oncofed.client.fit.judged_words import adoption_lines, judged_lines
from oncofed.client.fit.judging import Judged, judged, to_adopt
from oncofed.client.fit.node_drift import as_shown
from oncofed.client.fit.told_adjustment import as_told
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.recalibration import Decided, Recalibration, band
from oncofed.cohort.encoding import encode
from oncofed.errors import InvalidInput


@cache
def set_aside(patients: int = 900) -> HospitalPrognosis:
    """Half of the patients, by lot."""
    here = hospital(patients)
    return replace(here, drawn=np.random.default_rng(0).random(len(here.units.of)) < 0.5)


def adopting(found: Judged, degree: Degree, *, floor: int = 10) -> Judged:
    """As if this degree had been chosen."""
    told = tuple(as_told(each.outcomes, degree, smallest_group=floor) for each in found.causes)
    return replace(found, told=told, found=replace(found.found, choice=replace(found.found.choice, degree=degree)))


def told_of(here: HospitalPrognosis, found: Judged, degree: Degree) -> Recalibration:
    fit = to_adopt(here, (adopting(found, degree),))[0].fit
    assert fit is not None
    return fit


def test_a_level_is_the_best_one_to_within_half_a_step_and_as_sure_as_its_events() -> None:
    here = set_aside()
    (found, _) = judged(here, np.random.default_rng(1))
    outcomes = found.causes[0].outcomes
    told = told_of(here, found, Degree.LEVEL)
    events = int(outcomes.events.sum())
    step = 10 / (events // 10 * 10)
    assert abs(told.corrections[0] - best_level(outcomes).level) <= step
    assert told.corrections[0] / step == pytest.approx(round(told.corrections[0] / step))
    assert (np.ptp(told.corrections), told.slope, told.with_slope) == (0.0, 1.0, False)
    assert told.covariance[0, -2] == pytest.approx(1 / (events // 10 * 10 + 4.5) + step**2 / 6)
    assert (told.covariance[-1] == 0).all()
    assert told.events == events // 10 * 10
    assert told.patients % 10 == 0


def test_a_slope_is_taken_with_the_level_that_suits_it() -> None:
    here = set_aside()
    (found, _) = judged(here, np.random.default_rng(1))
    outcomes = found.causes[0].outcomes
    told, best = told_of(here, found, Degree.LEVEL_AND_SLOPE), level_and_slope(outcomes)
    assert told.slope == pytest.approx(best.slope, abs=0.15)
    expected = outcomes.expected * np.exp(told.corrections[0] + (told.slope - 1) * outcomes.log_hazard_ratio)
    assert expected.sum() == pytest.approx(outcomes.events.sum(), rel=0.06)
    np.testing.assert_allclose(told.covariance[-1, -1], best.covariance[1, 1], rtol=0.3)
    np.testing.assert_allclose(told.covariance[0, -1], best.covariance[0, 1], rtol=0.3, atol=1e-4)
    assert abs(best.covariance[0, 1]) > 5e-4, "the check must be able to fail"
    limits = band(
        told, 1.0, log_baseline_hazard=np.log([0.02] * 4 * GRID.widths), grid=GRID, times=np.array([0.0, 20.0])
    )
    assert limits.low[1] < limits.survival[1] < limits.high[1]


def test_as_many_counts_of_events_as_the_smallest_group_agree_with_a_level() -> None:
    """Rule 9 of what pages may tell: another patient's event, or nine others', are not seen."""
    here = set_aside()
    (found, _) = judged(here, np.random.default_rng(1))
    cause = found.causes[0]
    rows, levels = np.arange(len(cause.events)), {}
    for count in range(60, 180):
        events = np.zeros_like(cause.events)
        events[rows[:count], 0] = 1.0
        told = told_of(here, replace(found, causes=(replace(cause, events=events),)), Degree.LEVEL)
        levels[count] = (told.events, told.expected, round(float(told.corrections[0]), 9), told.covariance.tobytes())
    assert set(Counter(levels.values()).values()) == {10}
    assert len({level for *_, level, _ in levels.values()}) >= 6, "it says something"


def test_what_competes_is_adjusted_together_or_not_at_all() -> None:
    here = with_causes(1500)
    here = replace(here, drawn=np.random.default_rng(0).random(len(here.units.of)) < 0.5)
    (found,) = judged(here, np.random.default_rng(1))
    assert found.numbers == (0, 1)
    adopted = to_adopt(here, (adopting(found, Degree.LEVEL),))
    assert [each.degree for each in adopted] == [Degree.LEVEL] * 2
    fits = {number: each.fit for number, each in enumerate(adopted) if each.fit is not None}
    shown = replace(here, decided=Decided("2026-01-01", fits))
    assert [shown.endpoint(number).recalibration for number in (0, 1)] == [fits[0], fits[1]]
    assert shown.endpoint(0).fitted is not fits[0], "how it fits is told as before"


@pytest.mark.parametrize(
    ("events", "floor", "told"),
    [(37, 10, 1.40), (37, 20, None), (54, 50, None), (30, 50, None), (400, 50, 1.5), (2000, 20, 1.43)],
)
def test_an_adjustment_that_its_steps_would_spoil_is_not_adopted(events: int, floor: int, told: float | None) -> None:
    """The hospital has 1.44 times the events that are expected, or 1.68: with wide steps, 1.00 or 2.72 was shown."""
    ratio = 1.68 if (events, floor) == (37, 10) else 1.44
    patients = 4 * events
    event = np.asarray(np.arange(patients) % 4 == 0, dtype=np.float64)
    f = np.asarray(np.linspace(-1, 1, patients), dtype=np.float64)
    outcomes = Outcomes(f, event, np.full(patients, events / ratio / patients))
    found = as_told(outcomes, Degree.LEVEL, smallest_group=floor)
    assert (None if found is None else pytest.approx(np.exp(found.level), rel=0.04)) == told
    assert as_told(outcomes, Degree.NONE, smallest_group=floor) is not None


def test_whatever_is_adopted_fits_better_than_the_model_as_released() -> None:
    rng = np.random.default_rng(3)
    adopted = 0
    for _ in range(400):
        patients, slope = int(rng.integers(60, 800)), rng.uniform(0.4, 1.6)
        f = rng.normal(0, 0.8, patients)
        expected = 0.3 * np.exp(f)
        events = np.asarray(rng.poisson(0.3 * rng.uniform(0.4, 2.2) * np.exp(slope * f)), dtype=np.float64)
        outcomes = Outcomes(f, events, expected)
        chosen = choose([outcomes])
        if chosen.degree is Degree.NONE or events.sum() < 30:
            continue
        found = as_told(outcomes, chosen.degree, smallest_group=int(rng.choice([5, 10, 20, 50])))
        if found is not None:
            adopted += 1
            shift = found.level + (found.slope - 1) * f
            assert (events * shift).sum() > (expected * (np.exp(shift) - 1)).sum()
    assert adopted > 100


def test_who_adopts_reads_what_pages_will_show_and_is_refused_where_they_could_not() -> None:
    here = set_aside()
    (found, _) = judged(here, np.random.default_rng(1))
    chosen = adopting(found, Degree.LEVEL_AND_SLOPE)
    (told,) = chosen.told
    assert told is not None
    factors = f"hazards times {np.exp(told.level):.2f}, log hazard ratios times {told.slope:.2f}"
    assert f"Adopted, pages would show: {factors}." in "\n".join(judged_lines((chosen,), GRID))
    adoption = Adoption(
        plan_hash=here.plan_hash, at="2026-11-30T10:00:00+00:00", by="anna", endpoints=to_adopt(here, (chosen,))
    )
    assert factors in "\n".join(adoption_lines(adoption))
    coarse = replace(chosen, told=(None,))
    assert "Not to be adopted" in "\n".join(judged_lines((coarse,), GRID))
    with pytest.raises(InvalidInput, match="smallest_group = 10"):
        to_adopt(here, (coarse,))


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
