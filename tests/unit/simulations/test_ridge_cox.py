"""Ridge Cox: small hospitals, hard data, and the choice of the penalty."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from oncofed.simulations.ridge_cox import (
    FEWEST_EVENTS_TO_CHOOSE,
    NotConverged,
    cross_validated_penalty,
    fit_ridge_cox,
    partial_log_likelihood,
)

FloatArray = NDArray[np.float64]
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)


def cohort(seed: int, n: int, columns: int, effect: float) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """`effect` is the norm of the true coefficients, spread over all columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns))
    w = np.random.default_rng(0).normal(size=columns)
    death = rng.exponential(size=n) * np.exp(-x @ w * effect / np.linalg.norm(w))
    censored = rng.exponential(1.5, size=n)
    return x, np.minimum(death, censored), death <= censored


@pytest.mark.parametrize("columns", [3, 40])
def test_no_events_no_patients_no_effect(columns: int) -> None:
    x = np.random.default_rng(0).normal(size=(20, columns))
    time = np.arange(1.0, 21.0)
    eventless = fit_ridge_cox(x, time=time, observed=np.zeros(20, dtype=bool), penalty=1.0)
    np.testing.assert_array_equal(eventless.coefficients, np.zeros(columns))
    one = fit_ridge_cox(x[:1], time=time[:1], observed=np.ones(1, dtype=bool), penalty=1.0)
    np.testing.assert_allclose(one.coefficients, np.zeros(columns), atol=1e-12)
    empty = fit_ridge_cox(x[:0], time=time[:0], observed=np.zeros(0, dtype=bool), penalty=1.0)
    np.testing.assert_array_equal(empty.coefficients, np.zeros(columns))


def test_higher_is_worse() -> None:
    x = np.linspace(-1, 1, 50)[:, None]
    time = np.linspace(10, 1, 50)  # the larger x, the earlier the event
    fitted = fit_ridge_cox(x, time=time, observed=np.ones(50, dtype=bool), penalty=1.0)
    assert fitted.coefficients[0] > 1


def test_perfect_order_needs_a_penalty() -> None:
    x = np.linspace(-1, 1, 30)[:, None]
    time, observed = np.linspace(10, 1, 30), np.ones(30, dtype=bool)
    assert np.isfinite(fit_ridge_cox(x, time=time, observed=observed, penalty=1e-3).coefficients).all()
    with pytest.raises(NotConverged, match="run away"):
        fit_ridge_cox(x, time=time, observed=observed, penalty=0.0)


def test_badly_scaled_columns_still_reach_the_optimum() -> None:
    x, time, observed = cohort(1, 200, 5, 1.0)
    scale = np.array([1e-3, 1.0, 1e3, 30.0, 1.0])
    fitted = fit_ridge_cox(x, time=time, observed=observed, penalty=0.0)
    scaled = fit_ridge_cox(x * scale, time=time, observed=observed, penalty=0.0)
    np.testing.assert_allclose(scaled.coefficients * scale, fitted.coefficients, rtol=1e-4)


def test_outliers_do_not_stop_newton() -> None:
    x, time, observed = cohort(2, 300, 10, 2.0)
    x[:3] *= 200
    assert fit_ridge_cox(x, time=time, observed=observed, penalty=1e-2).newton_steps < 60


def test_rotation_changes_nothing_at_its_edge() -> None:
    """As many columns as patients is solved directly, one more (of zeros) rotated: the same answer."""
    x, time, observed = cohort(3, 40, 40, 1.0)
    direct = fit_ridge_cox(x, time=time, observed=observed, penalty=3.0)
    padded = fit_ridge_cox(np.hstack([x, np.zeros((40, 1))]), time=time, observed=observed, penalty=3.0)
    np.testing.assert_allclose(padded.coefficients, np.append(direct.coefficients, 0.0), atol=1e-8)


def test_penalty_follows_the_signal() -> None:
    """Strong effects want a small penalty, noise the largest; each choice is near the best in hindsight."""
    x, time, observed = cohort(5, 400, 20, 2.0)
    strong = cross_validated_penalty(
        x, time=time, observed=observed, penalties=PENALTIES, folds=5, rng=np.random.default_rng(0)
    )
    assert strong <= 10
    x, time, observed = cohort(6, 200, 50, 0.0)
    noise = cross_validated_penalty(
        x, time=time, observed=observed, penalties=PENALTIES, folds=5, rng=np.random.default_rng(0)
    )
    assert noise == 1000

    x, time, observed = cohort(7, 150, 60, 1.0)
    chosen = cross_validated_penalty(
        x, time=time, observed=observed, penalties=PENALTIES, folds=5, rng=np.random.default_rng(0)
    )
    new_x, new_time, new_observed = cohort(8, 3000, 60, 1.0)
    unseen = {
        penalty: partial_log_likelihood(
            fit_ridge_cox(x, time=time, observed=observed, penalty=penalty).log_hazard_ratio(new_x),
            time=new_time,
            observed=new_observed,
        )
        for penalty in PENALTIES
    }
    ranked = sorted(unseen, key=lambda penalty: -unseen[penalty])
    assert chosen in ranked[:2]
    assert unseen[ranked[0]] - unseen[ranked[-1]] > 50  # a wrong choice would cost something


def test_choice_is_the_brute_force_one() -> None:
    """The shared rotation and the warm starts are shortcuts only: refitting each fold from scratch chooses the same."""
    x, time, observed = cohort(9, 60, 80, 1.5)
    chosen = cross_validated_penalty(
        x, time=time, observed=observed, penalties=PENALTIES, folds=60, rng=np.random.default_rng(0)
    )
    score = dict.fromkeys(PENALTIES, 0.0)
    for left_out in range(60):  # sixty folds of one patient: the folds do not depend on the generator
        kept = np.arange(60) != left_out
        for penalty in PENALTIES:
            model = fit_ridge_cox(x[kept], time=time[kept], observed=observed[kept], penalty=penalty)
            with_it = partial_log_likelihood(model.log_hazard_ratio(x), time=time, observed=observed)
            score[penalty] += with_it - model.log_likelihood
    assert chosen == max(PENALTIES, key=lambda penalty: score[penalty])
    assert chosen not in (PENALTIES[0], PENALTIES[-1])  # else a constant would pass


def test_few_events_take_the_largest_penalty() -> None:
    x, time, _ = cohort(10, 60, 5, 2.0)
    observed = np.zeros(60, dtype=bool)
    observed[: FEWEST_EVENTS_TO_CHOOSE - 1] = True
    arguments = {"penalties": (5.0, 500.0, 0.5), "folds": 5, "rng": np.random.default_rng(0)}
    assert cross_validated_penalty(x, time=time, observed=observed, **arguments) == 500.0  # type: ignore[arg-type]
    none = cross_validated_penalty(x, time=time, observed=np.zeros(60, dtype=bool), **arguments)  # type: ignore[arg-type]
    assert none == 500.0


def test_a_hospital_smaller_than_its_folds() -> None:
    x, time, _ = cohort(11, 12, 30, 1.0)
    chosen = cross_validated_penalty(
        x, time=time, observed=np.ones(12, dtype=bool), penalties=PENALTIES, folds=20, rng=np.random.default_rng(0)
    )
    assert chosen in PENALTIES


def test_malformed_input_is_refused() -> None:
    x, time, observed = cohort(12, 20, 2, 1.0)
    for wrong in (np.full_like(x, np.nan), x[:-1], x[:, 0]):
        with pytest.raises(ValueError, match="x must"):
            fit_ridge_cox(wrong, time=time, observed=observed, penalty=1.0)
    for penalty in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="penalty"):
            fit_ridge_cox(x, time=time, observed=observed, penalty=penalty)
    with pytest.raises(ValueError, match="two folds"):
        cross_validated_penalty(
            x, time=time, observed=observed, penalties=(1.0,), folds=1, rng=np.random.default_rng(0)
        )
