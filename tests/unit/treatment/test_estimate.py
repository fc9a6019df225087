"""Are estimates and limits what the sums say? By hand, against proportions, and against published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oncofed.survival.grid import TimeGrid
from oncofed.treatment.balance import USUAL_LENGTH, balance_rows, imbalances
from oncofed.treatment.estimate import Comparison, Figure, by_modifier, compare, e_value
from oncofed.treatment.rows import COUNT_SHARE, NUMBERS, SUM_SHARE, SUMS, Nuisances, rows

GRID = TimeGrid((0.0, 12.0, 24.0))


def randomised(dead: tuple[int, int], of_each: int) -> np.ndarray:
    """Rows of a trial without loss, half of it each option; models that know nothing say that nobody dies."""
    patients = 2 * of_each
    second = np.arange(patients) >= of_each
    place = np.arange(patients) % of_each
    dies = place < np.where(second, dead[1], dead[0])
    nothing = np.zeros((2, patients, 2))
    end = np.where(dies, 18.0, 30.0)
    return rows(
        Nuisances(np.full(patients, 0.5), nothing, nothing),
        second,
        GRID.events(end, dies),
        GRID.at_risk(np.zeros(patients), end),
        GRID.widths,
    )


def test_a_randomised_trial_without_loss_gives_its_proportions_and_their_standard_errors() -> None:
    found = compare(randomised((400, 300), 1000).sum(axis=0), noise=0.0)
    assert found.patients == pytest.approx((1000, 1000))
    assert [each.value for each in found.survival] == pytest.approx([0.6, 0.7])
    assert found.difference.value == pytest.approx(0.1)
    # Of proportions in arms whose sizes were not fixed, by models that know nothing: E (2 d)^2 - p^2, over n.
    errors = [math.sqrt((2 * p - p**2) / 2000) for p in (0.4, 0.3)]
    assert [each.standard_error for each in found.survival] == pytest.approx(errors, rel=1e-6)
    assert found.difference.standard_error == pytest.approx(math.sqrt((2 * 0.4 + 2 * 0.3 - 0.1**2) / 2000), rel=1e-6)
    assert found.mean_time.value == pytest.approx(0.1 * 6 / 24)
    assert found.log_risk_ratio.value == pytest.approx(math.log(0.3 / 0.4))
    assert found.effective == pytest.approx(2000)
    assert found.predicted == 0.0


def test_the_standard_error_of_the_risk_ratio_is_the_slope_of_its_logarithm() -> None:
    """By moving one sum at a time."""
    sums = randomised((400, 300), 1000).sum(axis=0)
    step, noise = 1e-4, 3.0
    slopes = []
    for place in range(2, 2 + len(SUMS)):
        moved = sums.copy()
        moved[place] += step
        slopes.append(
            (compare(moved, noise=0.0).log_risk_ratio.value - compare(sums, noise=0.0).log_risk_ratio.value) / step
        )
    without, with_noise = (compare(sums, noise=each).log_risk_ratio.standard_error for each in (0.0, noise))
    assert with_noise**2 - without**2 == pytest.approx(noise**2 * float(np.square(slopes).sum()), rel=1e-3)


def test_without_noise_a_standard_error_is_of_what_each_patient_moves_the_figure_by() -> None:
    """The infinitesimal jackknife: slopes by moving one sum at a time, then each patient's own step along them."""
    each, step = randomised((400, 250), 500), 1e-4
    sums = each.sum(axis=0)

    def figures(of: np.ndarray) -> list[Figure]:
        found = compare(of, noise=0.0)
        return [*found.survival, found.difference, found.mean_time, found.log_risk_ratio]

    parts = np.arange(2, 2 + len(SUMS))
    slopes = np.zeros((len(figures(sums)), len(parts)))
    for place, part in enumerate(parts):
        for sign in (1, -1):
            moved = sums.copy()
            moved[part] += sign * step
            slopes[:, place] += [sign * found.value / (2 * step) for found in figures(moved)]
    errors = np.sqrt(np.square(slopes @ each[:, parts].T).sum(axis=1))
    assert [found.standard_error for found in figures(sums)] == pytest.approx(errors.tolist(), rel=1e-4)


def test_noise_widens_limits_by_what_it_moves_the_estimate() -> None:
    rng = np.random.default_rng(4)
    sums = np.stack([randomised((400, 300), 500).sum(axis=0)] * 4)
    noise = 5.0
    moved = [compare(sums + noise * rng.standard_normal(sums.shape), noise=noise) for _ in range(600)]
    for name in ("difference", "mean_time"):
        spread = np.std([getattr(each, name).value for each in moved])
        plain, wide = (getattr(compare(sums, noise=each), name).standard_error for each in (0.0, noise))
        assert math.sqrt(wide**2 - plain**2) == pytest.approx(spread, rel=0.12)


def test_groups_are_taken_by_the_modifier_that_is_asked_for() -> None:
    sums = np.stack([randomised((400, dead), 1000).sum(axis=0) for dead in (300, 200, 100, 0)])
    without, with_it = by_modifier(sums, 0, noise=0.0)
    assert (without.difference.value, with_it.difference.value) == pytest.approx((0.2, 0.3))
    without, with_it = by_modifier(sums, 1, noise=0.0)
    assert (without.difference.value, with_it.difference.value) == pytest.approx((0.15, 0.35))
    assert with_it.difference.less(without.difference).value == pytest.approx(0.2)


def test_nothing_is_said_of_nobody() -> None:
    found = compare(np.zeros(NUMBERS), noise=1.0)
    assert isinstance(found, Comparison)
    assert math.isnan(found.difference.value)
    assert not found.difference.holds_zero
    assert found.effective == 0
    assert found.overlap_noise == math.inf
    # Counts alone: three with the second option, seven with the first.
    counted = compare(np.array([3 * COUNT_SHARE, 7 * COUNT_SHARE, *[0.0] * (NUMBERS - 2)]), noise=1.0)
    assert counted.patients == pytest.approx((7, 3))


@pytest.mark.parametrize("dead", [(0, 300), (300, 0), (0, 0)])
def test_where_nobody_died_under_an_option_there_is_no_risk_ratio_and_a_difference(dead: tuple[int, int]) -> None:
    found = compare(randomised(dead, 1000).sum(axis=0), noise=0.0)
    assert math.isnan(found.log_risk_ratio.value)
    assert found.difference.value == pytest.approx((dead[0] - dead[1]) / 1000)


def test_groups_that_share_nobody_are_uncertain_apart_from_one_another() -> None:
    found = Figure(0.5, 0.03).less(Figure(0.2, 0.04))
    assert (found.value, found.standard_error) == pytest.approx((0.3, 0.05))


def test_the_e_value_is_that_of_its_paper() -> None:
    """VanderWeele and Ding 2017: a risk ratio of 3.9 (1.8 to 8.7) has 7.26, and 3.0 for the limit."""
    standard_error = (math.log(8.7) - math.log(1.8)) / (2 * 1.959964)
    estimate, limit = e_value(Figure(math.log(3.9), standard_error))
    assert estimate == pytest.approx(7.26, abs=0.01)
    assert limit == pytest.approx(3.0, abs=0.06)  # published limits are rounded
    assert e_value(Figure(-math.log(3.9), standard_error)) == pytest.approx((estimate, limit), abs=0.05)
    assert e_value(Figure(0.1, 0.2))[1] == 1.0


def test_weighting_by_the_right_chance_balances_and_by_a_wrong_one_does_not() -> None:
    rng = np.random.default_rng(5)
    z = rng.standard_normal((40_000, 2))
    chance = 1 / (1 + np.exp(-0.8 * z[:, 0]))
    second = rng.random(len(z)) < chance
    for pi, is_balanced in ((chance, True), (np.full(len(z), 0.5), False)):
        made = balance_rows(pi, second, z)
        assert np.linalg.norm(made, axis=1).max() <= 1 + 1e-12
        of_first, of_other = imbalances(made.sum(axis=0), ["first", "other"], noise=0.0)
        assert (abs(of_first.difference.value) < 4 * of_first.difference.standard_error) is is_balanced
        assert abs(of_other.difference.value) < 4 * of_other.difference.standard_error
    assert of_first.difference.value == pytest.approx(0.68, abs=0.1)  # that of the plain means, 2 x 0.34


def test_balance_is_right_for_each_patient_however_far_from_the_middle() -> None:
    """By the right chance the mean over both options is 0, patient by patient: what bounds a row looks at neither."""
    rng = np.random.default_rng(6)
    z, chance = 5 * rng.standard_normal((200, 3)), rng.uniform(0.02, 0.98, 200)
    first, second = (balance_rows(chance, np.full(200, given), z) for given in (False, True))
    np.testing.assert_allclose(first[:, 0], second[:, 0])
    mean = (1 - chance[:, None]) * first + chance[:, None] * second
    np.testing.assert_allclose(mean[:, 1:], 0.0, atol=1e-15)
    assert np.abs(first[:, 1:]).max() > 0.5


def test_the_noise_of_balance_is_in_its_limits() -> None:
    sums = np.array([100.0, 5.0])
    (found,) = imbalances(sums, ["age"], noise=4.0)
    assert found.difference.value == pytest.approx(0.05)
    assert found.difference.standard_error == pytest.approx(math.hypot(1 / math.sqrt(100 * USUAL_LENGTH), 0.04))
    assert SUM_SHARE < 1
