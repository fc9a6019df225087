"""What one patient adds to a comparison: right on average, and never longer than 1?

The truth is integrals over the times of death, of hazards that the test chooses: no row is compared with another row.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oncofed.survival.grid import TimeGrid
from oncofed.treatment.rows import (
    COUNT_SHARE,
    NUMBERS,
    PRODUCT_SHARE,
    PRODUCTS,
    SUM_SHARE,
    SUMS,
    Nuisances,
    in_groups,
    population_weights,
    rows,
)

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 3.0, 6.0, 12.0, 24.0))
WIDTHS = GRID.widths
HAZARDS = np.array([[0.05, 0.1, 0.2, 0.15], [0.12, 0.04, 0.1, 0.3]])  # of each option, over whole intervals
OTHERS = np.array([[0.3, 0.02, 0.4, 0.05], [0.02, 0.2, 0.05, 0.6]])
LOST = np.array([[0.05, 0.1, 0.1, 0.1], [0.02, 0.05, 0.2, 0.1]])
NEVER = np.zeros((2, 4))
POINTS = 2_000


def models(pi: float, hazards: FloatArray, lost: FloatArray, patients: int) -> Nuisances:
    return Nuisances(
        np.full(patients, pi), *(np.repeat(each[:, None, :], patients, axis=1) for each in (hazards, lost))
    )


def time_of(hazard: FloatArray, cumulative: FloatArray) -> FloatArray:
    """When the cumulative hazard is reached; beyond the grid where it is not."""
    begins = np.concatenate([[0.0], np.cumsum(hazard)])
    return np.where(cumulative <= begins[-1], np.interp(cumulative, begins, GRID.bounds), 99.0)


def drawn_evenly(points: int) -> FloatArray:
    """Cumulative hazards at death, exponential, each as likely as any other."""
    return -np.log1p(-(np.arange(points) + 0.5) / points)


def parts(
    nuisances: Nuisances, second: bool, death: FloatArray, lost: FloatArray | float
) -> tuple[dict[str, FloatArray], FloatArray]:
    """The rows' sums by name, unscaled and over each one's public weight; and the rows."""
    end = np.minimum(death, lost)
    dies = death <= lost
    found = rows(
        nuisances,
        np.full(len(end), second),
        GRID.events(end, dies),
        GRID.at_risk(np.zeros(len(end)), end),
        WIDTHS,
    )
    pi = nuisances.propensity
    weight = population_weights(nuisances, WIDTHS) / (pi * (1 - pi))
    return dict(zip(SUMS, (found[:, 2:8] / SUM_SHARE / weight[:, None]).T, strict=True)), found


def survival(hazard: FloatArray) -> float:
    return float(np.exp(-hazard.sum()))


def mean_time(hazard: FloatArray) -> float:
    """In horizons."""
    times = np.linspace(0, 24, 24_001)
    reached = np.interp(times, GRID.bounds, np.concatenate([[0.0], np.cumsum(hazard)]))
    return float(np.trapezoid(np.exp(-reached), times) / 24)


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("lost_after", [2.0, 12.0, 17.0, 99.0])
@pytest.mark.parametrize("lost", [NEVER, LOST, 5 * LOST], ids=["never", "sometimes", "below the floor"])
def test_where_the_hazard_is_right_the_mean_is_right_whatever_is_said_of_the_option_and_of_loss(
    second: bool, lost_after: float, lost: FloatArray
) -> None:
    nuisances = models(0.3, HAZARDS, lost, POINTS)
    death = time_of(HAZARDS[int(second)], drawn_evenly(POINTS))
    found, _ = parts(nuisances, second, death, lost_after)
    for option in (0, 1):
        assert found[f"survival_{option}"].mean() == pytest.approx(0.21 * survival(HAZARDS[option]), abs=4e-4)
        assert found[f"mean_time_{option}"].mean() == pytest.approx(0.21 * mean_time(HAZARDS[option]), abs=4e-4)


@pytest.mark.parametrize("lost", [NEVER, LOST], ids=["nobody is lost", "some are lost"])
def test_where_the_hazard_is_wrong_the_chance_of_each_option_and_of_loss_mend_it(lost: FloatArray) -> None:
    """Weighted by the options' true chances; the same with a wrong chance is seen to be wrong."""
    side = 120
    death, gone = (each.ravel() for each in np.meshgrid(drawn_evenly(side), drawn_evenly(side)))
    nuisances = models(0.3, OTHERS, lost, side**2)
    by_option = [
        parts(nuisances, bool(option), time_of(HAZARDS[option], death), time_of(lost[option], gone))[0]
        for option in (0, 1)
    ]
    for share, is_right in ((0.3, True), (0.6, False)):
        found = {
            name: float((1 - share) * by_option[0][name].mean() + share * by_option[1][name].mean())
            for name in by_option[0]
        }
        for option in (0, 1):
            assert (
                found[f"survival_{option}"] == pytest.approx(0.21 * survival(HAZARDS[option]), abs=2e-3)
            ) is is_right
            assert (
                found[f"mean_time_{option}"] == pytest.approx(0.21 * mean_time(HAZARDS[option]), abs=2e-3)
            ) is is_right


def test_overlap_counts_and_prediction_are_what_they_say() -> None:
    found, made = parts(models(0.3, HAZARDS, LOST, 3), True, np.array([1.0, 9.0, 99.0]), 30.0)
    np.testing.assert_allclose(found["overlap"], 0.21)
    np.testing.assert_allclose(found["predicted"], 0.21 * (survival(HAZARDS[1]) - survival(HAZARDS[0])))
    np.testing.assert_allclose(made[:, :2], [[COUNT_SHARE, 0.0]] * 3)
    for place, (left, right) in enumerate(PRODUCTS):
        product = made[:, 2 + left] * made[:, 2 + right] / SUM_SHARE**2
        np.testing.assert_allclose(made[:, 8 + place], PRODUCT_SHARE * product)


_PI = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-9, 0.5, 1 - 1e-9, 1.0]))
_HAZARD = st.one_of(st.floats(0, 2), st.sampled_from([0.0, 1e-12, 1e3]))
_FOUR = st.lists(_HAZARD, min_size=8, max_size=8)


@settings(max_examples=60)
@given(_PI, _FOUR, _FOUR, st.floats(1e-6, 30), st.booleans(), st.booleans())
def test_no_row_is_longer_than_1_whatever_the_models_say_and_whatever_happens(
    pi: float, hazards: list[float], lost: list[float], end: float, dies: bool, second: bool
) -> None:
    nuisances = models(pi, np.reshape(hazards, (2, 4)), np.reshape(lost, (2, 4)), 1)
    made = rows(
        nuisances,
        np.array([second]),
        GRID.events(np.array([end]), np.array([dies])),
        GRID.at_risk(np.zeros(1), np.array([end])),
        WIDTHS,
    )
    assert made.shape == (1, NUMBERS)
    assert np.isfinite(made).all()
    assert np.linalg.norm(made) <= 1 + 1e-9


@pytest.mark.parametrize("pi", [0.001, 0.1, 0.5, 0.97])
@pytest.mark.parametrize(
    "lost", [[0.7, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.7], [0.17] * 4], ids=["early", "late", "evenly"]
)
def test_no_row_is_longer_than_1_at_any_time_of_death(pi: float, lost: list[float]) -> None:
    """Where hazards are low, long lives are foretold, and who dies pulls most."""
    end = np.concatenate([np.linspace(0.001, 24, 97), GRID.bounds[1:], [30.0]])
    for hazards in (np.full((2, 4), 1e-3), np.full((2, 4), 0.3), 5 * HAZARDS):
        nuisances = models(pi, hazards, np.array([lost, lost]), len(end))
        for second in (False, True):
            for after in (end, end / 2):  # dies, or is lost
                _, made = parts(nuisances, second, end, after)
                assert np.linalg.norm(made, axis=1).max() <= 1 + 1e-9


def test_the_bound_is_reached_but_for_a_fifth_and_weights_are_what_keeps_it() -> None:
    """Who hardly ever gets an option, got it and dies at the horizon: the longest."""
    nuisances = models(0.02, np.full((2, 4), 0.05), np.full((2, 4), 0.17), 1)
    found, made = parts(nuisances, True, np.array([24.0]), 99.0)
    assert np.linalg.norm(made) > 0.8
    without_weight = np.linalg.norm(list(found.values()))
    assert without_weight > 1.5


def test_a_row_is_of_one_patient_alone() -> None:
    rng = np.random.default_rng(3)
    nuisances = Nuisances(rng.uniform(size=6), rng.exponential(size=(2, 6, 4)), rng.exponential(size=(2, 6, 4)))
    end, second, dies = rng.uniform(0, 30, 6), rng.random(6) < 0.5, rng.random(6) < 0.5
    events, at_risk = GRID.events(end, dies), GRID.at_risk(np.zeros(6), end)
    together = rows(nuisances, second, events, at_risk, WIDTHS)
    for i in range(6):
        one = slice(i, i + 1)
        own = Nuisances(nuisances.propensity[one], nuisances.hazards[:, one], nuisances.censoring[:, one])
        np.testing.assert_allclose(
            rows(own, second[one], events[one], at_risk[one], WIDTHS)[0], together[i], rtol=1e-12
        )


def test_a_patient_is_in_one_group() -> None:
    made = np.arange(12.0).reshape(4, 3)
    sums = in_groups(made, np.array([1, 3, 1, 0]), groups=4)
    np.testing.assert_array_equal(sums, [[9, 10, 11], [6, 8, 10], [0, 0, 0], [3, 4, 5]])
