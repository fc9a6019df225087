"""Is the area what counting pairs gives without censoring, what known hazards give with it, and scikit-survival's, and
does its interval cover the truth as often as it says?
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sksurv.metrics import cumulative_dynamic_auc
from sksurv.util import Surv

from oncofed.survival.auc_over_time import FEWEST_OF_EACH, AucOverTime, auc_over_time
from oncofed.survival.censoring import CensoringByGroup
from oncofed.survival.kaplan_meier import KaplanMeier, censoring_distribution
from oncofed.survival.status_by import status_by

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HAZARDS, RIVALS = np.array([0.005, 0.02, 0.06]), np.array([0.01, 0.03, 0.005])
TIMES = np.array([6.0, 12.0, 24.0])


def drawn(
    n: int, rng: np.random.Generator, *, competes: bool = False
) -> tuple[NDArray[np.int64], FloatArray, BoolArray, BoolArray]:
    """Kind, which is what is told as a risk; follow-up to between 4 and 30 months; event; rival."""
    kind = rng.integers(0, 3, n)
    event = rng.exponential(1 / HAZARDS[kind])
    rival = rng.exponential(1 / RIVALS[kind]) if competes else np.full(n, np.inf)
    time = np.minimum(np.minimum(event, rival), rng.uniform(4, 30, n))
    return kind, time, event == time, rival == time


def true_area(at: float, *, competes: bool) -> float:
    """Of three kinds as frequent as each other, ordered by number."""
    total = HAZARDS + (RIVALS if competes else 0)
    had = HAZARDS / total * -np.expm1(-total * at)
    return of_pairs(had, 1 - had)


def area(
    kind: NDArray[np.int64], time: FloatArray, event: BoolArray, rival: BoolArray, censoring: KaplanMeier
) -> AucOverTime:
    known = status_by(TIMES, time=time, observed=event, censoring=censoring, competing=rival)
    return auc_over_time(np.tile(kind[:, None], (1, len(TIMES))).astype(np.float64), TIMES, known=known)


def of_censoring(time: FloatArray, event: BoolArray, rival: BoolArray) -> KaplanMeier:
    return censoring_distribution(time=time, observed=event | rival)


@pytest.mark.parametrize("competes", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_without_censoring_it_is_the_share_of_pairs(seed: int, competes: bool) -> None:
    rng = np.random.default_rng(seed)
    risk, time = np.round(rng.random((30, 3)), 1), np.ceil(rng.exponential(15, 30))
    observed = rng.random(30) < 0.6 if competes else np.ones(30, dtype=np.bool_)
    last = time.max() + 1
    nobody = censoring_distribution(time=np.append(time, last), observed=np.append(np.ones(30, dtype=bool), False))
    known = status_by(
        TIMES,
        time=np.append(time, last),
        observed=np.append(observed, False),
        censoring=nobody,
        competing=np.append(~observed, False),
    )
    told = np.concatenate((risk, [[0.5, 0.5, 0.5]]))
    found = auc_over_time(told, TIMES, known=known)
    for place, at in enumerate(TIMES):
        had = np.append(observed & (time <= at), False)
        pairs = [
            0.5 + 0.5 * np.sign(told[i, place] - told[j, place])
            for i in np.flatnonzero(had)
            for j in np.flatnonzero(~had)
        ]
        assert found.auc[place] == pytest.approx(np.mean(pairs), abs=1e-12)
        assert found.cases[place] == had.sum()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_scikit_survival_with_one_censoring_curve(seed: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=300)
    time = rng.exponential(np.exp(-risk)) * 12 + 0.01
    observed = rng.random(300) < 0.6
    if tied:
        risk, time = np.round(risk), np.ceil(time) + 0.5 * ~observed  # never both: their weights are wrong there
    asked = np.quantile(time, [0.2, 0.5, 0.8])
    structured = Surv.from_arrays(event=observed, time=time)
    theirs, _ = cumulative_dynamic_auc(structured, structured, risk, asked)
    known = status_by(
        asked, time=time, observed=observed, censoring=censoring_distribution(time=time, observed=observed)
    )
    found = auc_over_time(np.tile(risk[:, None], (1, 3)), asked, known=known)
    np.testing.assert_allclose(found.auc, theirs, atol=1e-12)


@pytest.mark.parametrize("competes", [False, True])
def test_with_censoring_it_is_that_of_the_hazards(competes: bool) -> None:
    kind, time, event, rival = drawn(200_000, np.random.default_rng(1), competes=competes)
    truth = [true_area(at, competes=competes) for at in TIMES]
    found = area(kind, time, event, rival, of_censoring(time, event, rival))
    np.testing.assert_allclose(found.auc, truth, atol=0.006)


def test_patients_whose_status_is_not_known_are_spoken_for_by_others() -> None:
    """Of one kind 60 % have the event in the first 6 months, of the other half between 18 and 24, when many are gone:
    who leaves out those who are gone, and weighs nobody, finds early events almost alone.
    """
    rng, n = np.random.default_rng(6), 100_000
    kind = rng.integers(0, 2, n)
    comes = np.where(kind == 1, rng.uniform(0, 6, n), rng.uniform(18, 24, n))
    event = np.where(rng.random(n) < np.where(kind == 1, 0.6, 0.5), comes, np.inf)
    censored = rng.uniform(4, 30, n)
    time, observed = np.minimum(event, censored), event <= censored
    truth = of_pairs(np.array([0.5, 0.6]), np.array([0.5, 0.4]))
    found = area(kind, time, observed, ~observed & False, of_censoring(time, observed, ~observed & False)).auc[2]
    assert found == pytest.approx(truth, abs=0.01)
    had, free = observed & (time <= 24), time > 24
    unweighted = of_pairs(np.bincount(kind[had]), np.bincount(kind[free]))
    assert unweighted > truth + 0.05


def of_pairs(had: NDArray[np.float64] | NDArray[np.int64], free: NDArray[np.float64] | NDArray[np.int64]) -> float:
    """By kind, in the order of what they are told."""
    pairs = np.outer(had, free)
    return float((np.tril(pairs, -1).sum() + 0.5 * np.trace(pairs)) / pairs.sum())


@pytest.mark.parametrize("competes", [False, True])
def test_of_100_intervals_95_cover_the_truth(competes: bool) -> None:
    rng = np.random.default_rng(2)
    _, time, event, rival = drawn(20_000, rng, competes=competes)
    censoring = of_censoring(time, event, rival)
    truth = np.array([true_area(at, competes=competes) for at in TIMES])
    found = [area(*drawn(300, rng, competes=competes), censoring) for _ in range(600)]
    inside = np.mean([(each.low <= truth) & (truth <= each.high) for each in found], axis=0)
    assert ((inside > 0.92) & (inside < 0.98)).all()
    narrow = np.mean(
        [
            (each.auc - 0.8 * (each.auc - each.low) <= truth) & (truth <= each.auc + 0.8 * (each.high - each.auc))
            for each in found
        ],
        axis=0,
    )
    assert (narrow < 0.92).all()  # a fifth too narrow would be noticed


def test_hospitals_that_follow_for_different_times_are_weighed_by_their_own_follow_up() -> None:
    """The hospital with the sicker patients follows them for less long: one curve for both has another answer."""
    rng = np.random.default_rng(5)
    n = 200_000
    hospital = rng.integers(0, 2, n)
    kind = np.where(hospital == 0, rng.integers(0, 2, n), 1 + rng.integers(0, 2, n))
    event = rng.exponential(1 / HAZARDS[kind])
    censored = np.where(hospital == 0, 60.0, rng.uniform(0, 30, n))
    time, observed = np.minimum(event, censored), event <= censored
    own = CensoringByGroup(
        tuple(
            censoring_distribution(time=time[hospital == each], observed=observed[hospital == each]) for each in (0, 1)
        ),
        hospital.astype(np.intp),
    )
    told = np.tile(kind[:, None], (1, 3)).astype(np.float64)

    def at(censoring: KaplanMeier | CensoringByGroup) -> FloatArray:
        known = status_by(TIMES, time=time, observed=observed, censoring=censoring)
        return auc_over_time(told, TIMES, known=known).auc

    shares = np.array([1, 2, 1]) / 4
    had = -np.expm1(-HAZARDS * 24)
    truth = of_pairs(shares * had, shares * (1 - had))
    assert at(own)[2] == pytest.approx(truth, abs=0.004)
    assert abs(at(censoring_distribution(time=time, observed=observed))[2] - truth) > 0.01


def test_without_an_event_it_is_not_known_and_with_few_it_has_no_interval() -> None:
    time = np.concatenate(([1.0, 8.0, 9.0, 9.5, 11.0], np.full(60, 40.0)))
    observed = time < 40
    censoring = censoring_distribution(time=time, observed=observed)
    asked = np.array([0.5, 10.0, 12.0])
    known = status_by(asked, time=time, observed=observed, censoring=censoring)
    found = auc_over_time(np.random.default_rng(1).random((65, 3)), asked, known=known)
    np.testing.assert_array_equal(np.isnan(found.auc), [True, False, False])
    np.testing.assert_array_equal(np.isnan(found.low), [True, True, False])
    assert found.cases[2] == FEWEST_OF_EACH


def test_a_risk_that_is_not_of_each_patient_and_time_is_refused() -> None:
    known = status_by(
        TIMES, time=np.array([1.0, 30.0]), observed=np.array([True, False]), censoring=_nobody_is_censored()
    )
    with pytest.raises(ValueError, match="one row a patient"):
        auc_over_time(np.zeros((2, 2)), TIMES, known=known)
    with pytest.raises(ValueError, match="finite"):
        auc_over_time(np.full((2, 3), np.nan), TIMES, known=known)


def _nobody_is_censored() -> KaplanMeier:
    return censoring_distribution(time=np.array([1.0, 30.0]), observed=np.array([True, False]))
