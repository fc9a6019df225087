"""Does the band hold the truth as often as it says, and is the adjustment the one that the likelihood asks for?"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import binomtest, multivariate_normal, norm
from tests.pages_hospital import GRID, follow_up

from oncofed.client.pages.recalibration import (
    FEWEST_EVENTS,
    Band,
    Recalibration,
    band,
    prior_covariance,
    recalibrate,
)
from oncofed.survival.curves import NOT_REACHED
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]

RELEASED = np.log(0.02 * GRID.widths)
CORRECTIONS = np.array([0.3, -0.2, 0.1, 0.4])
SLOPE = 1.4
TIMES = np.array([0.0, 3.0, 10.0, 20.0, 50.0])


def drawn(rng: np.random.Generator, patients: int = 300) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log hazard ratios, events and time at risk of patients who do not fare as the released model says."""
    ratio = rng.normal(0, 0.8, patients)
    time, observed = follow_up(RELEASED + CORRECTIONS + SLOPE * ratio[:, None], rng)
    return ratio, GRID.events(time, observed), GRID.at_risk(np.zeros(patients), time)


def fitted(ratio: FloatArray, events: FloatArray, at_risk: FloatArray) -> Recalibration:
    found = recalibrate(ratio, log_baseline_hazard=RELEASED, events=events, at_risk=at_risk, with_slope=True)
    assert found is not None
    return found


def shown(found: Recalibration, ratio: float, times: FloatArray = TIMES) -> Band:
    return band(found, ratio, log_baseline_hazard=RELEASED, grid=GRID, times=times)


def truth(ratio: float, times: FloatArray = TIMES) -> FloatArray:
    lived = np.clip((times[:, None] - np.asarray(GRID.bounds[:-1])) / GRID.widths, 0, 1)
    survival: FloatArray = np.exp(-(lived * np.exp(RELEASED + CORRECTIONS + SLOPE * ratio)).sum(axis=1))
    return survival


def coverage(repeats: int, *, widened: float = 1.0, without_slope: bool = False) -> FloatArray:
    """(times but the first, ratios): how often the truth lies in the band."""
    rng, ratios = np.random.default_rng(11), (-1.5, 0.0, 1.5)
    inside = np.zeros((len(TIMES), len(ratios)))
    for _ in range(repeats):
        found = fitted(*drawn(rng))
        covariance = found.covariance * widened
        if without_slope:
            covariance[-1, :] = covariance[:, -1] = 0
        found = Recalibration(found.corrections, found.slope, covariance, found.patients, found.events, 0.0)
        for place, ratio in enumerate(ratios):
            limits = shown(found, ratio)
            inside[:, place] += (limits.low <= truth(ratio)) & (truth(ratio) <= limits.high)
    return inside[1:]


def test_the_band_holds_the_true_curve_nineteen_times_of_twenty() -> None:
    """Of patients whose hazard is known; the same check notices a band that is too narrow."""
    repeats = 250
    for count in coverage(repeats).ravel():
        assert binomtest(int(count), repeats, 0.95).pvalue > 1e-4, count
    too_narrow = coverage(repeats, widened=0.5)
    assert all(binomtest(int(count), repeats, 0.95).pvalue < 1e-4 for count in too_narrow.ravel())
    far_from_the_middle = coverage(repeats, without_slope=True)[-1, [0, 2]]
    assert all(binomtest(int(count), repeats, 0.95).pvalue < 1e-6 for count in far_from_the_middle)


def test_the_adjustment_is_where_likelihood_and_priors_are_highest() -> None:
    ratio, events, at_risk = drawn(np.random.default_rng(5))

    # One level N(0, 9); steps of N(0, 0.25) from it, the first of them before the first interval; 0.01 for each alone.
    steps = np.tril(np.ones((4, 4)))
    walk = 9 * np.ones((4, 4)) + 0.25 * steps @ steps.T + 0.01 * np.eye(4)

    def loss(theta: FloatArray) -> float:
        log_hazard = RELEASED + theta[:-1] + theta[-1] * ratio[:, None]
        likelihood = (events * log_hazard - at_risk * np.exp(log_hazard)).sum()
        priors = multivariate_normal.logpdf(theta[:-1], cov=walk) + norm.logpdf(theta[-1], 1, 1)
        return -float(likelihood + priors)

    slow = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-7}).x
    found = fitted(ratio, events, at_risk)
    np.testing.assert_allclose([*found.corrections, found.slope], slow, atol=1e-4)
    curvature = np.array([[_second(loss, slow, i, j) for j in range(5)] for i in range(5)])
    np.testing.assert_allclose(np.linalg.inv(found.covariance), curvature, rtol=2e-3, atol=0.05)


def _second(loss, at: FloatArray, i: int, j: int, step: float = 1e-3) -> float:  # type: ignore[no-untyped-def]
    def moved(a: float, b: float) -> float:
        point = at.copy()
        point[i] += a * step
        point[j] += b * step
        return float(loss(point))

    return (moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)) / (4 * step**2)


def test_events_that_the_released_model_expects_are_counted() -> None:
    ratio, events, at_risk = drawn(np.random.default_rng(2))
    slowly = sum(
        at_risk[row, k] * np.exp(RELEASED[k] + ratio[row]) for row in range(len(ratio)) for k in range(GRID.intervals)
    )
    assert fitted(ratio, events, at_risk).expected == pytest.approx(slowly)
    assert fitted(ratio, events, at_risk).events == events.sum()


def test_with_few_events_nothing_is_adjusted() -> None:
    ratio, events, at_risk = drawn(np.random.default_rng(3))
    rows = np.flatnonzero(np.cumsum(events.sum(axis=1)) == FEWEST_EVENTS)[0]
    part = slice(0, rows)
    assert events[part].sum() == FEWEST_EVENTS - 1
    fewer = recalibrate(
        ratio[part], log_baseline_hazard=RELEASED, events=events[part], at_risk=at_risk[part], with_slope=True
    )
    assert fewer is None
    fitted(ratio[: rows + 1], events[: rows + 1], at_risk[: rows + 1])


def test_an_interval_without_events_stays_finite() -> None:
    ratio, events, at_risk = drawn(np.random.default_rng(4))
    events[:, 2] = 0
    found = shown(fitted(ratio, events, at_risk), 0.0)
    assert np.isfinite(found.low).all()
    assert (found.high > found.low)[1:].all()


def test_from_a_far_start_the_fit_arrives() -> None:
    """A model whose risks are ten times too high, and one whose ratios point the wrong way."""
    ratio, events, at_risk = drawn(np.random.default_rng(6))
    for baseline, ratios in ((RELEASED + 5, ratio), (RELEASED - 5, ratio), (RELEASED, -8 * ratio)):
        found = recalibrate(ratios, log_baseline_hazard=baseline, events=events, at_risk=at_risk, with_slope=True)
        assert found is not None
        log_hazard = baseline + found.corrections + found.slope * ratios[:, None]
        # at the mode, likelihood and prior pull each correction equally hard
        left = (events - at_risk * np.exp(log_hazard)).sum(axis=0)
        np.testing.assert_allclose(prior_covariance(4)[:-1, :-1] @ left, found.corrections, atol=1e-4)


def test_the_band_begins_at_one_and_its_median_is_where_it_falls_to_one_half() -> None:
    found = fitted(*drawn(np.random.default_rng(7)))
    times = np.linspace(0, 60, 601)
    limits = shown(found, 1.0, times)
    assert limits.survival[0] == limits.low[0] == limits.high[0] == 1
    assert (np.diff(limits.survival) <= 0).all()
    assert limits.median_low < limits.median < limits.median_high
    assert np.interp(limits.median, times, limits.survival) == pytest.approx(0.5, abs=1e-6)
    assert shown(found, -3.0, times).median == NOT_REACHED


# A hospital whose level is far from the model's, with few events and many intervals

MONTHS = TimeGrid((0.0, 3.0, 6.0, 9.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 84.0))


def followed(log_hazard: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Events and time at risk of patients with a hazard of exp(`log_hazard`) a month, who leave in 6 to 84 months."""
    event = rng.exponential(size=len(log_hazard)) / np.exp(log_hazard)
    left = rng.uniform(6, 84, len(log_hazard))
    time = np.minimum(event, left)
    return MONTHS.events(time, event <= left), MONTHS.at_risk(np.zeros(len(time)), time)


@pytest.mark.parametrize(("patients", "ratio"), [(150, 0.4), (130, 0.5), (300, 0.4), (100, 2.5), (80, 1.0)])
def test_a_hospital_with_few_events_and_another_level_is_covered(patients: int, ratio: float) -> None:
    """With a prior for each of ten intervals by itself 0.83 of bands hold 36 months at ratio 0.4, and the hazard is
    1.18 times too high.
    """
    rng, inside, times_too_high, repeats = np.random.default_rng(3), 0, [], 250
    as_released = np.log(0.02 * MONTHS.widths)
    for _ in range(repeats):
        f = rng.normal(0, 0.8, patients)
        events, at_risk = followed(np.log(0.02 * ratio) + f, rng)
        found = recalibrate(f, log_baseline_hazard=as_released, events=events, at_risk=at_risk, with_slope=True)
        if found is None:
            continue
        shown_36 = band(found, 0.0, log_baseline_hazard=as_released, grid=MONTHS, times=np.array([0.0, 36.0]))
        inside += bool(shown_36.low[1] <= np.exp(-36 * 0.02 * ratio) <= shown_36.high[1])
        times_too_high.append(-np.log(shown_36.survival[1]) / (36 * 0.02 * ratio))
    assert len(times_too_high) > 200
    assert 0.92 <= inside / len(times_too_high) <= 0.985
    assert np.mean(times_too_high) == pytest.approx(1.0, abs=0.05)


# A model that knows its patients by heart


def overfit(patients: int, columns: int, rng: np.random.Generator) -> tuple[FloatArray, list[tuple[FloatArray, ...]]]:
    """The log baseline of a hardly penalised fit, and (f, events, at risk) of its own patients and of others."""
    effects = rng.normal(0, 0.8 / columns**0.5, columns)
    groups = []
    for _ in range(2):
        x = rng.normal(size=(patients, columns))
        groups.append((x, *followed(np.log(0.02) + x @ effects, rng)))
    x, events, at_risk = groups[0]
    exposed, died = at_risk @ MONTHS.widths, events.sum(axis=1)
    design = np.column_stack((np.ones(patients), x))
    theta = np.concatenate(([np.log(died.sum() / exposed.sum())], np.zeros(columns)))
    for _ in range(25):
        expected = exposed * np.exp(design @ theta)
        penalty = np.concatenate(([0.0], np.full(columns, 1.0)))
        step = np.linalg.solve(
            (design * expected[:, None]).T @ design + np.diag(penalty), design.T @ (died - expected) - penalty * theta
        )
        theta += step * min(1.0, 1 / float(np.abs(step).max()))
    return theta[0] + np.log(MONTHS.widths), [(each[0] @ theta[1:], *each[1:]) for each in groups]


def test_what_a_model_knows_by_heart_shows_on_patients_set_aside_and_not_on_its_own() -> None:
    """Why a slope is never taken from patients whom nothing hid in training."""
    baseline, (own, others) = overfit(1500, 300, np.random.default_rng(8))

    def slope(of: tuple[FloatArray, ...], *, with_slope: bool = True) -> Recalibration:
        found = recalibrate(of[0], log_baseline_hazard=baseline, events=of[1], at_risk=of[2], with_slope=with_slope)
        assert found is not None
        return found

    assert slope(own).slope > 0.9
    assert slope(others).slope < 0.6
    held = slope(own, with_slope=False)
    assert (held.slope, held.covariance[-1].any(), held.with_slope) == (1.0, False, False)
