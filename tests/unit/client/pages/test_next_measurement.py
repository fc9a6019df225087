"""Is what measuring something would tell what it would tell, where that is known in closed form?

Patients' values are normal with known covariance, the model's hazard is proportional and linear: given what is known
of a patient, the missing value is normal with a mean and variance that a textbook has, and the expected change of
survival is one integral. No truth here comes from the code that is tested.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm

from oncofed.client.pages.next_measurement import Answers, Unsaid, answers_of, may_be_noise

FloatArray = NDArray[np.float64]

FEWEST, CROWD = 40, 20
HAZARD = 0.6
"""Cumulative, by the time that is asked about, of a patient whose known values are the centre's."""


def survival(log_hazard_ratio: FloatArray | float) -> FloatArray:
    return np.asarray(np.exp(-HAZARD * np.exp(log_hazard_ratio)))


def true_change(mean: float, deviation: float, *, now: float) -> float:
    """E|S(Z) - S now|, Z normal: what measuring adds to the log hazard."""
    return float(
        quad(
            lambda z: abs(float(survival(z)) - now) * norm.pdf(z, mean, deviation),
            mean - 9 * deviation,
            mean + 9 * deviation,
            limit=200,
            points=[0.0],
        )[0]
    )


def asked(
    covariance: FloatArray, effect: float, own: FloatArray, *, patients: int, seed: int, gaps: float = 0.0
) -> Answers | Unsaid:
    """The last value of each patient is the one that is missing of ours, the others are known. gaps: a share of
    other patients' known values that is missing.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_normal(np.zeros(len(covariance)), covariance, size=patients)
    known = np.where(rng.random((patients, len(own))) < gaps, np.nan, drawn[:, :-1])
    return answers_of(float(survival(0.0)), survival(effect * drawn[:, -1]), known, own, fewest=FEWEST, crowd=CROWD)


def conditional(covariance: FloatArray, own: FloatArray) -> tuple[float, float]:
    """Mean and deviation of the last value given the others (Schur's complement)."""
    weights = np.linalg.solve(covariance[:-1, :-1], covariance[:-1, -1])
    return float(weights @ own), float(np.sqrt(covariance[-1, -1] - weights @ covariance[:-1, -1]))


TWO = np.array([[1.0, 0.8], [0.8, 1.0]])
FOUR = np.array([[1.0, 0.3, 0.0, 0.6], [0.3, 1.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0], [0.6, 0.5, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("covariance", "own"),
    [
        (np.eye(2), np.array([1.0])),
        (TWO, np.array([0.0])),
        (TWO, np.array([-1.5])),
        (FOUR, np.array([1.0, -0.5, 2.0])),
        (FOUR, np.array([0.7, 0.7, 0.0])),
    ],
)
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_it_is_the_expectation_given_what_is_known(covariance: FloatArray, own: FloatArray, gaps: float) -> None:
    effect = 0.7
    mean, deviation = conditional(covariance, own)
    now = float(survival(0.0))
    truth = true_change(effect * mean, effect * deviation, now=now)
    tables = [asked(covariance, effect, own, patients=6000, seed=seed, gaps=gaps) for seed in range(8)]
    found = [each for each in tables if isinstance(each, Answers)]
    assert len(found) == 8
    assert [each.now for each in found] == pytest.approx([now] * 8)
    assert np.mean([each.expected_change for each in found]) == pytest.approx(truth, abs=0.004)
    for tail in (0.1, 0.5, 0.9):
        there = float(survival(effect * (mean + deviation * norm.ppf(1 - tail))))
        assert np.mean([np.quantile(each.shares, tail) for each in found]) == pytest.approx(there, abs=0.006)


def test_a_spread_over_everybody_would_mislead() -> None:
    """The control: the same truth, and the answer of who forgets that one goes with the other."""
    effect, own = 0.7, np.array([0.0])
    truth = true_change(0.0, effect * 0.6, now=float(survival(0.0)))
    found = asked(TWO, effect, own, patients=6000, seed=1)
    forgetful = asked(TWO, effect, np.array([np.nan]), patients=6000, seed=1)
    assert isinstance(found, Answers)
    assert isinstance(forgetful, Answers)
    assert found.known == (0,)
    assert forgetful.known == ()
    assert forgetful.expected_change > truth + 0.05


def test_what_goes_with_nothing_is_hardly_ever_said_to() -> None:
    """Of ten known values that foretell nothing; at 5 % over all of them, and twice as many are allowed for chance."""
    said = [asked(np.eye(11), 0.5, np.ones(10), patients=120, seed=seed) for seed in range(300)]
    assert all(isinstance(each, Answers) for each in said)
    assert sum(bool(each.known) for each in said if isinstance(each, Answers)) <= 30


def test_few_patients_tell_nothing_that_a_fit_knows_by_heart() -> None:
    """The spread of the answers is that of new patients: residuals are left one out, in 60 patients with a strong
    predictor, over many tables.
    """
    effect, own = 0.7, np.array([1.0])
    mean, deviation = conditional(TWO, own)
    truth = true_change(effect * mean, effect * deviation, now=float(survival(0.0)))
    said = [asked(TWO, effect, own, patients=60, seed=seed) for seed in range(200)]
    found = [each for each in said if isinstance(each, Answers)]
    assert len(found) == 200
    changes = np.array([each.expected_change for each in found])
    assert changes.mean() == pytest.approx(truth, abs=3 * changes.std() / np.sqrt(200) + 0.002)
    spread = np.mean([each.moved.var(ddof=1) for each in found])
    # Of a residual left one out of n with two coefficients: sigma^2 (1 + about 2 / n), and a little more.
    assert effect**2 * deviation**2 < spread < 1.12 * effect**2 * deviation**2


def test_why_nothing_can_be_said() -> None:
    assert asked(TWO, 0.7, np.zeros(1), patients=FEWEST - 1, seed=0) is Unsaid.TOO_FEW
    assert isinstance(asked(TWO, 0.7, np.zeros(1), patients=FEWEST, seed=0), Answers)
    assert asked(TWO, 0.7, np.array([6.0]), patients=60, seed=0) is Unsaid.UNLIKE
    # A sum of six values that are all known: so few patients pay for two coefficients, and three times as much is left.
    of_six = np.eye(7)
    of_six[6, :6] = of_six[:6, 6] = np.sqrt(1 / 6) * 0.999
    assert asked(of_six, 0.7, np.zeros(6), patients=59, seed=0) is Unsaid.GOES_WITH
    many = asked(of_six, 0.7, np.zeros(6), patients=400, seed=0)
    assert isinstance(many, Answers)
    assert sorted(many.known) == [0, 1, 2, 3, 4, 5]
    assert many.expected_change < 0.02


def test_answers_are_one_for_each_patient_and_residuals_are_left_one_out() -> None:
    """A slow twin: each patient's own fit without this patient, written out."""
    rng = np.random.default_rng(5)
    drawn = rng.multivariate_normal(np.zeros(2), TWO, size=50)
    moved, own = 0.7 * drawn[:, 1], 0.4
    found = answers_of(float(survival(0.0)), survival(moved), drawn[:, :1], np.array([own]), fewest=FEWEST, crowd=CROWD)
    assert isinstance(found, Answers)
    slope, level = np.polyfit(drawn[:, 0], moved, 1)
    for patient in range(50):
        rest = np.arange(50) != patient
        without = np.polyfit(drawn[rest, 0], moved[rest], 1)
        left = moved[patient] - np.polyval(without, drawn[patient, 0])
        assert found.moved[patient] == pytest.approx(level + slope * own + left, abs=1e-9)
        assert found.shares[patient] == pytest.approx(float(survival(level + slope * own + left)), abs=1e-9)


def test_of_one_column_noise_is_told_as_for_a_weight() -> None:
    """What a column of length 1 moves is its weight: 3.3 deviations of it are the limit."""
    filled = np.ones((80, 1))
    for weight, noise in ((3.29, True), (3.31, False)):
        assert may_be_noise(weight * filled[:, 0], filled, weight_noise=1.0, deviations=3.3) is noise


@pytest.mark.parametrize("columns", [3, 40, 200])
def test_weights_of_noise_alone_are_noise_and_true_ones_are_not(columns: int) -> None:
    rng = np.random.default_rng(columns)
    filled, sigma = rng.normal(size=(150, columns)) * rng.uniform(0.2, 1, columns), 0.06
    stands_out = 0
    for _ in range(2000):
        weights = rng.normal(scale=sigma, size=columns)
        stands_out += not may_be_noise(filled @ weights, filled, weight_noise=sigma, deviations=3.3)
    assert stands_out <= 8, "one in a thousand of weights that are nothing but noise, or by chance a few more"
    true = np.zeros(columns)
    true[: max(3, columns // 10)] = 0.5
    assert not may_be_noise(filled @ true, filled, weight_noise=sigma, deviations=3.3)
    assert may_be_noise(np.zeros(150), np.zeros((150, columns)), weight_noise=sigma, deviations=3.3)
