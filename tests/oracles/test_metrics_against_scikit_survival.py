"""Do our measures equal scikit-survival's, with ties, no events and all events?"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sksurv.metrics import brier_score as sksurv_brier
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw
from sksurv.metrics import integrated_brier_score as sksurv_integrated_brier
from sksurv.nonparametric import CensoringDistributionEstimator, kaplan_meier_estimator
from sksurv.util import Surv

from oncofed.survival.brier import brier_score, integrated_brier_score
from oncofed.survival.concordance import concordance, concordance_index, uno_concordance_index
from oncofed.survival.kaplan_meier import censoring_distribution, kaplan_meier

FloatArray = NDArray[np.float64]

CENSORED_SHARES = (0.0, 0.3, 0.9)  # 0: all events
KINDS = ("continuous", "tied")


def cohort(seed: int, kind: str, censored: float, n: int = 300) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Risk, time, observed. `tied`: few distinct values of time and risk."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    time = rng.exponential(np.exp(-risk)) * 12 + 0.01
    observed = rng.random(n) >= censored
    if kind == "tied":
        risk, time = np.round(risk), np.ceil(time)
    return risk, time, observed


def never_both(time: FloatArray, observed: NDArray[np.bool_]) -> FloatArray:
    """Whoever is censored is so half a month later: at a time with both, scikit-survival weighs an event as if the
    censored had left before it, which is wrong (its issue 428) and which we do not follow.
    """
    return time + 0.5 * ~observed


@pytest.mark.parametrize("censored", CENSORED_SHARES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_harrell(seed: int, kind: str, censored: float) -> None:
    risk, time, observed = cohort(seed, kind, censored)
    theirs = concordance_index_censored(observed, time, risk)
    ours = concordance(risk=risk, time=time, observed=observed)
    assert (ours.concordant, ours.discordant, ours.tied) == tuple(theirs[1:4])
    assert ours.index == pytest.approx(theirs[0], abs=1e-12)
    # the direction matters: a survival probability in place of a risk must not pass
    assert abs(concordance_index(risk=-risk, time=time, observed=observed) - theirs[0]) > 0.1


def test_harrell_counts_differences_within_the_tolerance_as_ties() -> None:
    rng = np.random.default_rng(3)
    risk = rng.integers(0, 3, 200) + rng.choice([0.0, 4e-9, 3e-8], 200)
    time, observed = rng.exponential(size=200), rng.random(200) < 0.6
    theirs = concordance_index_censored(observed, time, risk)
    ours = concordance(risk=risk, time=time, observed=observed)
    assert (ours.concordant, ours.discordant, ours.tied) == tuple(theirs[1:4])
    exact = concordance_index_censored(observed, time, risk, tied_tol=0.0)
    assert ours.tied != exact[3]


def test_no_events_is_refused_there_and_undefined_here() -> None:
    risk, time, _ = cohort(0, "tied", 0.3)
    observed = np.zeros(len(time), dtype=bool)
    with pytest.raises(ValueError, match="All samples are censored"):
        concordance_index_censored(observed, time, risk)
    assert np.isnan(concordance_index(risk=risk, time=time, observed=observed))
    censoring = censoring_distribution(time=time, observed=np.ones(len(time), dtype=bool))
    assert np.isnan(uno_concordance_index(risk=risk, time=time, observed=observed, censoring=censoring))


@pytest.mark.parametrize("censored", CENSORED_SHARES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tau", [None, 5.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_uno(seed: int, tau: float | None, kind: str, censored: float) -> None:
    _, train_time, train_observed = cohort(seed + 100, kind, censored, n=500)
    risk, time, observed = cohort(seed, kind, censored)
    train_time, time = never_both(train_time, train_observed), never_both(time, observed)
    # scikit-survival refuses test times after the training follow-up, so end the test follow-up inside it
    end = train_time.max() - 1.0
    observed, time = observed & (time <= end), np.minimum(time, end)
    theirs = concordance_index_ipcw(
        Surv.from_arrays(train_observed, train_time), Surv.from_arrays(observed, time), risk, tau=tau
    )[0]
    censoring = censoring_distribution(time=train_time, observed=train_observed)
    ours = uno_concordance_index(risk=risk, time=time, observed=observed, censoring=censoring, tau=tau)
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_uno_differs_from_harrell_under_heavy_censoring() -> None:
    """The weights do something: without this the oracle could compare two Harrells."""
    rng = np.random.default_rng(5)
    death, censored_at = rng.exponential(size=400), rng.exponential(0.5, size=400)
    risk = np.where(death < 0.5, rng.normal(size=400) + 1, -death)  # orders late deaths only
    time, observed = np.minimum(death, censored_at), death <= censored_at
    censoring = censoring_distribution(time=time, observed=observed)
    uno = uno_concordance_index(risk=risk, time=time, observed=observed, censoring=censoring, tau=1.5)
    theirs = concordance_index_ipcw(Surv.from_arrays(observed, time), Surv.from_arrays(observed, time), risk, tau=1.5)[
        0
    ]
    assert uno == pytest.approx(theirs, abs=1e-9)
    assert abs(uno - concordance_index(risk=risk, time=time, observed=observed)) > 0.02


def prediction(risk: FloatArray, times: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-np.exp(risk)[:, None] * times[None, :] / 14.0))


@pytest.mark.parametrize("censored", CENSORED_SHARES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_brier(seed: int, kind: str, censored: float) -> None:
    _, train_time, train_observed = cohort(seed + 100, kind, censored, n=500)
    risk, time, observed = cohort(seed, kind, censored)
    train_time, time = never_both(train_time, train_observed), never_both(time, observed)
    end = train_time.max() - 1.25  # a time at which nobody has the event
    observed, time = observed & (time <= end), np.minimum(time, end)
    times = np.linspace(2.0, min(30.0, float(time.max()) - 0.1), 12)
    if kind == "tied":
        times = np.unique(np.floor(times))  # exactly at event times: the side of each inequality matters
    survival = prediction(risk, times)
    train, test = Surv.from_arrays(train_observed, train_time), Surv.from_arrays(observed, time)
    censoring = censoring_distribution(time=train_time, observed=train_observed)
    ours = brier_score(survival=survival, horizons=times, time=time, observed=observed, censoring=censoring)
    np.testing.assert_allclose(ours, sksurv_brier(train, test, survival, times)[1], atol=1e-12)
    integrated = integrated_brier_score(
        survival=survival, horizons=times, time=time, observed=observed, censoring=censoring
    )
    assert integrated == pytest.approx(sksurv_integrated_brier(train, test, survival, times), abs=1e-12)
    # a risk in the place of a survival probability is another number
    assert (
        abs(
            integrated_brier_score(
                survival=1 - survival, horizons=times, time=time, observed=observed, censoring=censoring
            )
            - integrated
        )
        > 0.01
    )


@pytest.mark.parametrize("censored", CENSORED_SHARES)
@pytest.mark.parametrize("kind", KINDS)
def test_censoring_distribution(kind: str, censored: float) -> None:
    _, time, observed = cohort(1, kind, censored)
    asked = np.concatenate((np.linspace(0.0, time.max(), 50), time))
    theirs = CensoringDistributionEstimator().fit(Surv.from_arrays(observed, time)).predict_proba(asked)
    np.testing.assert_allclose(censoring_distribution(time=time, observed=observed).at(asked), theirs, atol=1e-12)


@pytest.mark.parametrize("censored", [*CENSORED_SHARES, 1.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("late_entry", [False, True])
def test_kaplan_meier(kind: str, censored: float, late_entry: bool) -> None:
    _, time, observed = cohort(2, kind, censored)
    entry = np.random.default_rng(9).random(len(time)) * time * 0.9 if late_entry else None
    theirs = kaplan_meier_estimator(observed, time, entry, conf_type="log-log")
    ours = kaplan_meier(time=time, observed=observed, entry=entry)
    shared = np.isin(theirs[0], ours.times)  # with entries, theirs also steps (by nothing) at entry times
    np.testing.assert_array_equal(theirs[0][shared], ours.times)
    np.testing.assert_allclose(ours.survival, theirs[1][shared], atol=1e-12)
    inside = (ours.survival > 0) & (ours.survival < 1)
    np.testing.assert_allclose(ours.low[inside], theirs[2][0][shared][inside], atol=1e-9)
    np.testing.assert_allclose(ours.high[inside], theirs[2][1][shared][inside], atol=1e-9)
    assert np.isnan(ours.low[~inside]).all()
    assert inside.any() == (censored < 1)
