"""Does our ridge Cox regression equal scikit-survival's and lifelines', and a brute-force twin?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from numpy.typing import NDArray
from scipy.optimize import approx_fprime, minimize
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from oncofed.simulations.ridge_cox import fit_ridge_cox, partial_log_likelihood

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def cohort(
    seed: int, *, n: int = 150, columns: int = 6, ties: bool = False
) -> tuple[FloatArray, FloatArray, BoolArray, FloatArray]:
    """x, time, observed, entry: late for half of the patients."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns))
    death = rng.exponential(10.0, n) * np.exp(-x @ np.linspace(-1, 1, columns))
    entry = np.where(rng.random(n) < 0.5, rng.uniform(0, 3, n), 0.0)
    censored = entry + rng.exponential(20.0, n)
    if ties:
        death, censored, entry = np.ceil(death), np.ceil(censored), np.floor(entry)
    time = np.minimum(death, censored)
    kept = time > entry
    return x[kept], time[kept], (death <= censored)[kept], entry[kept]


def brute_force_log_likelihood(score: FloatArray, time: FloatArray, observed: BoolArray, entry: FloatArray) -> float:
    total = 0.0
    for i in np.flatnonzero(observed):
        at_risk = (time >= time[i]) & ((entry < time[i]) | (entry == 0))
        total += score[i] - np.log(np.exp(score[at_risk]).sum())
    return float(total)


@pytest.mark.parametrize("penalty", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("ties", [False, True])
def test_equals_scikit_survival(ties: bool, penalty: float) -> None:
    x, time, observed, _ = cohort(1, ties=ties)
    theirs = CoxPHSurvivalAnalysis(alpha=penalty, ties="breslow", tol=1e-14)
    theirs.fit(x, Surv.from_arrays(observed, time))
    ours = fit_ridge_cox(x, time=time, observed=observed, penalty=penalty)
    np.testing.assert_allclose(ours.coefficients, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.log_hazard_ratio(x), theirs.predict(x), atol=1e-5)
    # the penalty is seen: one a tenth larger gives other coefficients
    other = fit_ridge_cox(x, time=time, observed=observed, penalty=1.1 * penalty + 0.1)
    assert np.abs(other.coefficients - theirs.coef_).max() > 1e-4


def test_more_columns_than_patients_equals_scikit_survival() -> None:
    x, time, observed, _ = cohort(2, n=60, columns=90)
    x[:, 1] = x[:, 0]  # and not of full rank
    theirs = CoxPHSurvivalAnalysis(alpha=5.0, tol=1e-14).fit(x, Surv.from_arrays(observed, time))
    ours = fit_ridge_cox(x, time=time, observed=observed, penalty=5.0)
    np.testing.assert_allclose(ours.coefficients, theirs.coef_, atol=1e-7)


@pytest.mark.parametrize("late", [False, True])
def test_equals_lifelines(late: bool) -> None:
    """lifelines divides the likelihood by n, penalises penalizer / 2 |w|^2 and standardises: hence n and the scaling.

    It handles ties by Efron's method, so there are none here.
    """
    x, time, observed, entry = cohort(3)
    x = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    frame = pd.DataFrame(x).assign(time=time, observed=observed, entry=entry)
    frame.columns = frame.columns.map(str)
    penalty = 12.0
    fitter = CoxPHFitter(penalizer=penalty / len(x))
    fitter.fit(frame if late else frame.drop(columns="entry"), "time", "observed", entry_col="entry" if late else None)
    ours = fit_ridge_cox(x, time=time, observed=observed, penalty=penalty, entry=entry if late else None)
    np.testing.assert_allclose(ours.coefficients, fitter.params_.to_numpy(), atol=1e-4)
    without = fit_ridge_cox(x, time=time, observed=observed, penalty=penalty, entry=None if late else entry)
    assert np.abs(without.coefficients - fitter.params_.to_numpy()).max() > 1e-3


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_likelihood_and_optimum_equal_the_brute_force_twin(seed: int, ties: bool) -> None:
    x, time, observed, entry = cohort(seed, n=60, columns=3, ties=ties)
    w = np.random.default_rng(seed).normal(size=3)
    ours = partial_log_likelihood(x @ w, time=time, observed=observed, entry=entry)
    assert ours == pytest.approx(brute_force_log_likelihood(x @ w, time, observed, entry), rel=1e-12)

    penalty = 2.0

    def objective(v: FloatArray) -> float:
        return -brute_force_log_likelihood(x @ v, time, observed, entry) + penalty / 2 * float(v @ v)

    fitted = fit_ridge_cox(x, time=time, observed=observed, penalty=penalty, entry=entry)
    np.testing.assert_allclose(approx_fprime(fitted.coefficients, objective, 1e-6), 0.0, atol=1e-3)
    slow = minimize(objective, np.zeros(3), method="BFGS")
    np.testing.assert_allclose(fitted.coefficients, slow.x, atol=1e-4)
    assert fitted.log_likelihood == pytest.approx(
        brute_force_log_likelihood(x @ fitted.coefficients, time, observed, entry), rel=1e-12
    )
