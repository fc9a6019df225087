"""Do the intervals of privately released figures hold what they promise, at little noise and at much?

Seeded, so that nothing flakes: of 400 tables an interval of 95 % covers between 92 % and 98 % but for p < 0.01; and the
same test refuses an interval that forgets the privacy noise, or who happened to be there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oncofed.server.evaluation.concordance import Estimate, concordance_of
from oncofed.server.evaluation.held_out_table import EndpointCounts
from oncofed.server.evaluation.observed_risk import observed_risk, observed_risk_with_interval
from oncofed.survival.grid import TimeGrid

TABLES = 400
EDGES = (-1.0, -0.5, 0.0, 0.5, 1.0)
GRID = TimeGrid((0.0, 12.0, 24.0, 36.0, 84.0, 180.0))


def expected_counts(patients: int = 1144) -> np.ndarray:
    """(groups, times, 2): about as TCGA's, with proportional hazards and censoring that looks at nobody's risk."""
    groups = np.array([0.11, 0.16, 0.25, 0.30, 0.16, 0.02])
    ratio = np.exp(np.array([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25]))
    hazard = np.array([0.13, 0.13, 0.13, 0.45, 0.8])[None, :] * ratio[:, None]
    censoring = np.array([0.35, 0.45, 0.45, 0.8, 3.0])[None, :]
    staying = np.exp(-np.cumsum(np.pad(hazard + censoring, ((0, 0), (1, 0)))[:, :-1], axis=1))
    leaving = staying * -np.expm1(-(hazard + censoring))
    event = leaving * hazard / (hazard + censoring)
    counts = patients * groups[:, None, None] * np.stack([leaving - event, event], axis=-1)
    counts[:, -1, 0] += patients * groups - counts.sum(axis=(1, 2))
    return np.asarray(counts)


TRUTH = expected_counts()
TRUE_C = concordance_of(EndpointCounts(TRUTH, 0.0, EDGES, GRID.bounds)).value


def tables(noise_sd: float) -> list[EndpointCounts]:
    rng = np.random.default_rng(20261124)
    return [
        EndpointCounts(rng.poisson(TRUTH) + noise_sd * rng.standard_normal(TRUTH.shape), noise_sd, EDGES, GRID.bounds)
        for _ in range(TABLES)
    ]


def coverage(found: list[EndpointCounts]) -> float:
    intervals = [concordance_of(table) for table in found]
    return float(np.mean([each.low <= TRUE_C <= each.high for each in intervals]))


@pytest.mark.parametrize("noise_sd", [0.0, 3.7, 15.0])
def test_the_interval_of_c_covers_the_truth_in_95_of_100(noise_sd: float) -> None:
    assert 0.92 <= coverage(tables(noise_sd)) <= 0.98


@pytest.mark.parametrize(("noise_sd", "below"), [(3.7, 0.88), (15.0, 0.5)])
def test_an_interval_that_forgets_the_noise_fails_the_test(noise_sd: float, below: float) -> None:
    assert coverage([replace(table, noise_sd=0.0) for table in tables(noise_sd)]) < below


def test_an_interval_that_forgets_who_happened_to_be_there_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tables(3.7)
    monkeypatch.setattr(
        EndpointCounts, "variances", property(lambda table: np.full(table.counts.shape, table.noise_sd**2))
    )
    assert coverage(found) < 0.9


def test_c_is_unbiased_at_little_noise_and_the_interval_says_when_nothing_is_known() -> None:
    values = [concordance_of(table).value for table in tables(3.7)]
    assert np.mean(values) == pytest.approx(TRUE_C, abs=4 * 0.026 / TABLES**0.5)
    widths = [each.high - each.low for each in map(concordance_of, tables(200.0)[:50])]
    assert np.median(widths) > 0.95
    assert coverage(tables(200.0)) > 0.97


# What share of a group had the event by 36 months. The truth is that of the hazards which made the counts.

UNKNOWN_SPREAD = np.full(3, 1 / 3)
HORIZON = 3  # times


def group_counts(patients: int, risk: float) -> np.ndarray:
    """(times, 2): what is expected of a group in which this share would have had the event by 36 months."""
    hazard = np.array([1, 1, 1, 3.5, 6]) * -np.log1p(-risk) / 3
    censoring = np.array([0.35, 0.45, 0.45, 0.8, 3.0])
    staying = np.exp(-np.cumsum(np.concatenate(([0.0], (hazard + censoring)[:-1]))))
    leaving = staying * -np.expm1(-(hazard + censoring))
    events = leaving * hazard / (hazard + censoring)
    counts = patients * np.stack([leaving - events, events], axis=-1)
    counts[-1, 0] += patients - counts.sum()
    return np.asarray(counts)


def groups_drawn(patients: int, risk: float, noise_sd: float, *, repeats: int = 600) -> list[np.ndarray]:
    rng, expected = np.random.default_rng(20261129), group_counts(patients, risk)
    return [rng.poisson(expected) + noise_sd * rng.standard_normal(expected.shape) for _ in range(repeats)]


def with_interval(drawn: list[np.ndarray], noise_sd: float, *, risk: float) -> list[Estimate]:
    found = (
        observed_risk_with_interval(n, noise_sd=noise_sd, predicted=risk, spread_of_hazard=UNKNOWN_SPREAD)
        for n in drawn
    )
    return [each for each in found if each is not None]


CASES = [
    (100, 0.03, 0.0),
    (150, 0.03, 0.0),
    (400, 0.03, 0.0),
    (150, 0.30, 0.0),
    (400, 0.30, 3.5),
    (400, 0.03, 9.3),
    (400, 0.30, 9.3),
    (1000, 0.03, 9.3),
    (400, 0.60, 3.5),
]


@pytest.mark.parametrize(("patients", "risk", "noise_sd"), CASES)
def test_the_observed_risk_of_a_group_is_unbiased_and_covered(patients: int, risk: float, noise_sd: float) -> None:
    found = with_interval(groups_drawn(patients, risk, noise_sd), noise_sd, risk=risk)
    assert len(found) > 300
    values = np.array([each.value for each in found])
    assert values.mean() == pytest.approx(risk, abs=0.008 + 3 * values.std() / len(found) ** 0.5)
    covered = float(np.mean([each.low <= risk <= each.high for each in found]))
    assert 0.92 <= covered <= 0.985
    forgetful = [
        observed_risk_with_interval(n, noise_sd=0.0, predicted=risk, spread_of_hazard=UNKNOWN_SPREAD)
        for n in groups_drawn(patients, risk, noise_sd)
    ]
    without = float(np.mean([each.low <= risk <= each.high for each in forgetful if each is not None]))
    assert noise_sd < 9 or without < 0.9, "an interval that forgets the noise fails"


def test_cutting_negative_events_would_make_low_risks_too_high() -> None:
    drawn = groups_drawn(400, 0.03, 9.3)
    cut = [np.stack([n[:, 0], np.maximum(n[:, 1], 0.0)], axis=-1) for n in drawn]
    kept, raised = (np.mean([observed_risk(n, times=HORIZON) for n in each]) for each in (drawn, cut))
    assert kept == pytest.approx(0.03, abs=0.01)
    assert raised > 0.05


@pytest.mark.parametrize("risk", [0.03, 0.3, 0.885, 0.987])
def test_of_many_patients_the_observed_risk_is_that_of_the_hazard(risk: float) -> None:
    """Without noise what is left is how coarse times blur; to leave out half of all who end 1.1 to 1.5 points."""
    rng, patients = np.random.default_rng(5), 400_000
    event, censored = 36 * rng.exponential(size=patients) / -np.log1p(-risk), rng.uniform(6, 60, patients)
    time = np.searchsorted(GRID.bounds, np.minimum(event, censored), side="left") - 1
    counts = np.bincount(2 * time + (event <= censored), minlength=10).reshape(5, 2).astype(float)
    assert observed_risk(counts, times=HORIZON) == pytest.approx(risk, abs=0.0055)
    ended = counts.sum(axis=1)
    begun = np.cumsum(ended[::-1])[::-1]
    old = 1 - np.exp(-(counts[:, 1][:HORIZON] / (begun - ended / 2)[:HORIZON]).sum())
    assert risk < 0.8 or old < risk - 0.01


def test_one_coarse_time_without_censoring_is_a_share() -> None:
    assert observed_risk(np.array([[0.0, 80.0], [20.0, 0.0]]), times=1) == pytest.approx(0.8)


def test_what_noise_would_move_by_more_than_a_tenth_is_not_shown() -> None:
    assert with_interval(groups_drawn(100, 0.03, 9.3, repeats=50), 9.3, risk=0.03) == []
    assert len(with_interval(groups_drawn(500, 0.03, 9.3, repeats=50), 9.3, risk=0.03)) > 45
