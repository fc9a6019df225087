"""Calibration: right predictions look right, wrong ones look wrong in the way they are wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from numpy.typing import NDArray

from oncofed.survival.calibration import Calibration, calibration_at

FloatArray = NDArray[np.float64]


def simulated(
    seed: int, n: int = 6_000, *, late: bool = False
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], FloatArray]:
    """True log cumulative hazard at 12 months, follow-up, entry."""
    rng = np.random.default_rng(seed)
    log_hazard = rng.normal(-1.0, 1.0, n)
    death = 12 * rng.exponential(size=n) / np.exp(log_hazard)
    censored = rng.uniform(2, 40, n)
    entry = np.maximum(rng.uniform(-5, 10, n), 0) if late else np.zeros(n)  # a third from the origin
    time = np.minimum(death, censored)
    kept = time > entry
    return log_hazard[kept], time[kept], (death <= censored)[kept], entry[kept]


def calibration(
    log_hazard: FloatArray, time: FloatArray, observed: NDArray[np.bool_], entry: FloatArray
) -> Calibration:
    return calibration_at(
        12.0, predicted_risk=-np.expm1(-np.exp(log_hazard)), time=time, observed=observed, entry=entry, groups=8
    )


@pytest.mark.parametrize("late", [False, True])
def test_true_risks_are_calibrated_and_distorted_ones_are_not(late: bool) -> None:
    f, time, observed, entry = simulated(1, late=late)
    right = calibration(f, time, observed, entry)
    assert right.slope == pytest.approx(1.0, abs=0.06)
    assert right.expected_to_observed == pytest.approx(1.0, abs=0.05)
    assert sum(group.low <= group.predicted <= group.high for group in right.groups) >= 7
    assert [group.predicted for group in right.groups] == sorted(group.predicted for group in right.groups)
    assert sum(group.patients for group in right.groups) == len(f)

    extreme = calibration(2 * (f + 1) - 1, time, observed, entry)
    assert extreme.slope == pytest.approx(0.5, abs=0.03)
    gloomy = calibration(f + 0.5, time, observed, entry)
    assert gloomy.expected_to_observed > 1.2
    assert gloomy.slope == pytest.approx(right.slope, abs=2e-3)  # a shift is no matter of slope
    assert sum(group.low <= group.predicted <= group.high for group in gloomy.groups) <= 2
    upside_down = calibration(-2 - f, time, observed, entry)
    assert upside_down.slope == pytest.approx(-right.slope, abs=2e-3)


def test_slope_is_the_cox_coefficient_of_lifelines() -> None:
    f, time, observed, entry = simulated(2, n=400, late=True)
    cut = np.minimum(time, 12.0)
    entered = entry < 12.0
    frame = pd.DataFrame({"f": f, "time": cut, "event": observed & (time <= 12.0), "entry": entry})[entered]
    fitter = CoxPHFitter().fit(frame, "time", "event", entry_col="entry")
    assert calibration(f, time, observed, entry).slope == pytest.approx(fitter.params_["f"], abs=1e-4)


def test_equal_predictions_share_a_group() -> None:
    _, time, observed, entry = simulated(3, n=300)
    risk = np.repeat([0.1, 0.4], [len(time) - 50, 50])
    result = calibration_at(12.0, predicted_risk=risk, time=time, observed=observed, entry=entry)
    assert [group.patients for group in result.groups] == [len(time) - 50, 50]
    np.testing.assert_allclose([group.predicted for group in result.groups], [0.1, 0.4])


def test_what_the_data_cannot_say_is_nan() -> None:
    time, risk = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.4, 0.1, 0.2, 0.3])
    beyond = calibration_at(9.0, predicted_risk=risk, time=time, observed=np.array([True, True, True, False]), groups=1)
    assert np.isnan([beyond.groups[0].observed, beyond.expected_to_observed]).all()
    eventless = calibration_at(2.5, predicted_risk=risk, time=time, observed=np.zeros(4, dtype=bool), groups=1)
    assert eventless.groups[0].observed == 0
    assert np.isnan([eventless.groups[0].low, eventless.expected_to_observed, eventless.slope]).all()
    equal = calibration_at(2.5, predicted_risk=np.full(4, 0.2), time=time, observed=np.ones(4, dtype=bool))
    assert np.isnan(equal.slope)
    perfect = calibration_at(5.0, predicted_risk=time[::-1] / 10, time=time, observed=np.ones(4, dtype=bool))
    assert np.isnan(perfect.slope)


@pytest.mark.parametrize("risk", [[0.1, 1.2], [-0.1, 0.5], [np.nan, 0.5], [0.5]])
def test_what_is_no_probability_is_refused(risk: list[float]) -> None:
    with pytest.raises(ValueError):
        calibration_at(1.0, predicted_risk=np.array(risk), time=np.array([1.0, 2.0]), observed=np.array([True, False]))
