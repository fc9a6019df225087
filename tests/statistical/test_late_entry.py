"""Do figures of held-out patients hold the truth where patients come under observation late?

Hazards, entries and censoring are exponential, each with a rate of the patient's own group, some entering at time zero;
so the true risk by a time and the true C follow from these rates (the latter by a sum over a fine axis of time), and
nothing here is compared with the code's own figures of a larger table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from oncofed.server.evaluation import at_risk_concordance
from oncofed.server.evaluation.at_risk_concordance import concordance_at_risk
from oncofed.server.evaluation.at_risk_figures import GroupTimes, observed_risk_at_risk
from oncofed.server.evaluation.concordance import Estimate
from oncofed.server.evaluation.held_out_table import EndpointTimes
from oncofed.server.evaluation.observed_risk import observed_risk
from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout, counted
from oncofed.survival.time_at_risk import AtRiskLayout, followed

EDGES = (-1.0, -0.5, 0.0, 0.5, 1.0)
RATIOS = np.array([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25])
SHARES = np.array([0.08, 0.17, 0.25, 0.25, 0.17, 0.08])
GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 36.0, 60.0))
HORIZON = 3  # times: 24 months
TABLES = 600


@dataclass(frozen=True)
class World:
    """Rates a month of each group. late: the share who enter after time zero, after 1 / entry months on average."""

    hazard: np.ndarray
    entry: np.ndarray
    censoring: np.ndarray
    late: float = 1.0

    def draw(self, patients: int, rng: np.random.Generator) -> Patients:
        """Of a Poisson number around `patients`, before those are gone whose event came before their entry."""
        group = np.repeat(np.arange(len(self.hazard)), rng.poisson(patients * SHARES_OF[len(self.hazard)]))
        event = rng.exponential(1 / self.hazard[group])
        entry = np.where(rng.random(len(group)) < self.late, rng.exponential(1 / self.entry[group]), 0.0)
        exit_ = np.minimum(event, entry + rng.exponential(1 / self.censoring[group]))
        came = event > entry
        return Patients(*(each[came] for each in (group, entry, exit_, event == exit_)))

    def at_risk(self, time: np.ndarray) -> np.ndarray:
        """(groups, times): who has entered and had neither event nor censoring, of one patient before all selection."""
        h, e, c = self.hazard[:, None], self.entry[:, None], self.censoring[:, None]
        followed_late = e * (np.exp(-c * time) - np.exp(-e * time)) / (e - c)
        followed = self.late * followed_late + (1 - self.late) * np.exp(-c * time)
        return np.asarray(SHARES_OF[len(h)][:, None] * np.exp(-h * time) * followed)

    def risk(self, time: float) -> np.ndarray:
        return np.asarray(-np.expm1(-self.hazard * time))

    @property
    def c(self) -> float:
        """Up to the grid's end: of all pairs of an event and another at risk."""
        time = np.linspace(0, GRID.bounds[-1], 60_001)
        there = self.at_risk((time[:-1] + time[1:]) / 2)
        events = self.hazard[:, None] * there
        pairs = events @ there.T
        group = np.arange(len(there))
        higher = (group[:, None] > group[None, :]) + 0.5 * (group[:, None] == group[None, :])
        return float((pairs * higher).sum() / pairs.sum())


SHARES_OF = {1: np.ones(1), 6: SHARES}


@dataclass(frozen=True)
class Patients:
    group: np.ndarray
    entry: np.ndarray
    exit_: np.ndarray
    observed: np.ndarray


FIRST_INTERVAL = World(np.array([0.03]), np.array([1 / 5]), np.array([0.01]))
"""One group; entry 5 months after time zero on average."""
ALIKE = World(0.02 * np.exp(RATIOS), np.full(6, 1 / 5), np.full(6, 1 / 40))
BY_RISK = World(0.02 * np.exp(RATIOS), np.exp(0.3 * RATIOS) / 8, np.exp(-0.4 * RATIOS) / 40, late=0.7)
"""Who is at higher risk comes earlier, and is followed for longer."""
LATE = World(0.02 * np.exp(RATIOS), np.exp(0.3 * RATIOS) / 20, np.exp(-0.4 * RATIOS) / 40, late=0.7)
"""The same, and after the first interval most of them."""


def tensors(patients: Patients, grid: TimeGrid) -> dict[str, np.ndarray]:
    groups = int(patients.group.max()) + 1
    ratio = RATIOS[patients.group] if groups > 1 else np.zeros(len(patients.group))
    return {
        "log_hazard_ratio": ratio[:, None],
        "events": grid.events(patients.exit_, patients.observed)[:, None],
        "at_risk": grid.at_risk(patients.entry, patients.exit_)[:, None],
    }


def table(
    patients: Patients, *, noise: float, rng: np.random.Generator, grid: TimeGrid = GRID, groups: int = 6
) -> EndpointTimes:
    """noise: standard deviation on each number as it is released, in the length of one patient."""
    layout = AtRiskLayout(1, EDGES if groups > 1 else (), grid.bounds)
    total = followed(layout, grid, **tensors(patients, grid)).sum(axis=0).reshape(layout.shape)[0]
    numbers = (total + noise * rng.standard_normal(total.shape)) / layout.weights
    sds = noise / layout.weights
    return EndpointTimes(
        patients=numbers[:, 0],
        at_risk=numbers[:, layout.at_risk],
        events=numbers[:, layout.events],
        patients_sd=float(sds[0]),
        at_risk_sd=float(sds[1]),
        events_sd=float(sds[-1]),
        edges=layout.edges,
        time_bounds=layout.time_bounds,
    )


def of_group(found: EndpointTimes, group: int, times: int) -> GroupTimes:
    return GroupTimes(found.at_risk[group, :times], found.events[group, :times], found.at_risk_sd, found.events_sd)


def told_risk(found: EndpointTimes, group: int, times: int) -> float:
    return float(-np.expm1(-of_group(found, group, times).summed_hazard))


def counted_risk(patients: Patients, grid: TimeGrid, times: int) -> float:
    """As the counts by the end of follow-up tell it, which know no entry."""
    layout = CountLayout(1, (), grid.bounds)
    n = counted(layout, grid, **tensors(patients, grid)).sum(axis=0).reshape(-1, 2)
    return observed_risk(n, times=times)


# --- without noise


@pytest.mark.parametrize(
    ("bounds", "horizon", "counts_told"),
    [
        ((0.0, 6.0, 12.0, 24.0, 36.0, 60.0), 12.0, 0.250),
        ((0.0, 6.0, 12.0, 24.0, 36.0, 60.0), 36.0, 0.632),
        ((0.0, 3.0, 6.0, 12.0, 36.0), 12.0, 0.273),
        ((0.0, 12.0, 36.0, 60.0), 12.0, 0.219),
        ((0.0, 36.0, 60.0), 36.0, None),
    ],
)
def test_a_constant_hazard_is_told_as_it_is_however_coarse_the_times(
    bounds: tuple[float, ...], horizon: float, counts_told: float | None
) -> None:
    patients, grid = FIRST_INTERVAL.draw(400_000, np.random.default_rng(4)), TimeGrid(bounds)
    times, truth = bounds.index(horizon), float(FIRST_INTERVAL.risk(horizon)[0])
    found = table(patients, noise=0.0, rng=np.random.default_rng(0), grid=grid, groups=1)
    assert told_risk(found, 0, times) == pytest.approx(truth, abs=0.004)
    before = counted_risk(patients, grid, times)
    assert before < truth - 0.02, "immortal time"
    assert counts_told is None or before == pytest.approx(counts_told, abs=0.004)


@pytest.mark.parametrize("world", [ALIKE, BY_RISK, LATE])
def test_without_noise_risks_and_c_are_the_true_ones(world: World) -> None:
    found = table(world.draw(600_000, np.random.default_rng(6)), noise=0.0, rng=np.random.default_rng(0))
    told = [told_risk(found, group, HORIZON) for group in range(6)]
    np.testing.assert_allclose(told, world.risk(24.0), atol=0.008)
    assert concordance_at_risk(found).value == pytest.approx(world.c, abs=0.003)


def pairwise(patients: Patients, *, until: float) -> float:
    """Harrell's C of the groups, pair by pair, on the exact times."""
    agreeing = pairs = 0.0
    for i in np.flatnonzero(patients.observed & (patients.exit_ <= until)):
        for j in range(len(patients.group)):
            if i != j and patients.entry[j] < patients.exit_[i] < patients.exit_[j]:
                pairs += 1
                agreeing += (
                    1.0
                    if patients.group[i] > patients.group[j]
                    else 0.5
                    if patients.group[i] == patients.group[j]
                    else 0.0
                )
    return agreeing / pairs


@pytest.mark.parametrize("world", [ALIKE, BY_RISK, LATE])
@pytest.mark.parametrize("seed", range(3))
def test_c_is_that_of_a_direct_count_of_pairs_of_the_same_patients(world: World, seed: int) -> None:
    patients = world.draw(1500, np.random.default_rng(seed))
    direct = pairwise(patients, until=GRID.bounds[-1])
    found = table(patients, noise=0.0, rng=np.random.default_rng(0))
    assert concordance_at_risk(found).value == pytest.approx(direct, abs=0.004)
    noised = [concordance_at_risk(table(patients, noise=2.0, rng=np.random.default_rng([seed, n]))) for n in range(60)]
    values = np.array([each.value for each in noised])
    assert values.mean() == pytest.approx(direct, abs=0.004 + 3 * values.std() / len(values) ** 0.5)


# --- with the release's noise


def drawn(world: World, noise: float, *, tables: int = TABLES, patients: int = 1500) -> list[EndpointTimes]:
    rng = np.random.default_rng(20261201)
    return [table(world.draw(patients, rng), noise=noise, rng=rng) for _ in range(tables)]


def covered(told: list[Estimate], truth: float) -> list[bool]:
    return [each.low <= truth <= each.high for each in told]


def risks(found: list[EndpointTimes], world: World, group: int) -> list[Estimate]:
    predicted = float(world.risk(24.0)[group])
    told = (observed_risk_at_risk(of_group(each, group, HORIZON), predicted=predicted) for each in found)
    return [each for each in told if each is not None]


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0])
def test_intervals_cover_the_truth_in_95_of_100(noise: float) -> None:
    """In each world but for p < 0.01, and in all together within two in a hundred."""
    of_c: list[bool] = []
    of_risk: list[bool] = []
    for world in (ALIKE, BY_RISK, LATE):
        found = drawn(world, noise)
        told = [concordance_at_risk(each) for each in found]
        mean, spread = (float(of([each.value for each in told])) for of in (np.mean, np.std))
        assert mean == pytest.approx(world.c, abs=0.002 + 3 * spread / TABLES**0.5)
        assert 0.92 <= np.mean(covered(told, world.c)) <= 0.98
        of_c += covered(told, world.c)
        left = np.mean([each.at_risk[:, HORIZON - 1] for each in found], axis=0)
        for group, truth in enumerate(world.risk(24.0)):
            shown = risks(found, world, group)
            if len(shown) > 0.9 * TABLES and left[group] > 50:  # the floor of figures
                values = np.array([each.value for each in shown])
                assert values.mean() == pytest.approx(truth, abs=0.005 + 3 * values.std() / len(shown) ** 0.5)
                assert 0.92 <= np.mean(covered(shown, truth)) <= 0.98
                of_risk += covered(shown, truth)
    assert 0.93 <= np.mean(of_c) <= 0.97
    assert 0.93 <= np.mean(of_risk) <= 0.97
    assert len(of_risk) > (8 if noise < 5 else 5) * TABLES


def without_noise_in_mind(found: list[EndpointTimes]) -> list[EndpointTimes]:
    return [replace(each, at_risk_sd=0.0, events_sd=0.0) for each in found]


def test_intervals_that_forget_the_noise_fail_the_test() -> None:
    found = without_noise_in_mind(drawn(BY_RISK, 5.0, tables=300))
    assert np.mean(covered([concordance_at_risk(each) for each in found], BY_RISK.c)) < 0.7
    truth = float(BY_RISK.risk(24.0)[2])
    assert np.mean(covered(risks(found, BY_RISK, 2), truth)) < 0.9


def test_an_interval_of_c_that_takes_a_patients_times_for_those_of_others_fails_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if each time at risk were somebody else's, and events came to others: too wide for how C differs."""
    found = drawn(BY_RISK, 0.0)
    spread = 1.96 * float(np.std([concordance_at_risk(each).value for each in found]))

    def half_of_width() -> float:
        return float(np.median([(each.high - each.low) / 2 for each in map(concordance_at_risk, found[:50])]))

    assert half_of_width() == pytest.approx(spread, rel=0.07)
    covariances = at_risk_concordance._covariances

    def none_shared(each: EndpointTimes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        of_times, shared, of_events = covariances(each)
        return of_times * np.eye(of_times.shape[1]), np.zeros_like(shared), of_events

    monkeypatch.setattr(at_risk_concordance, "_covariances", none_shared)
    assert half_of_width() > 1.1 * spread


def test_what_noise_would_move_by_more_than_a_tenth_is_not_shown() -> None:
    own = GroupTimes(np.full(3, 100.0), np.full(3, 10.0), at_risk_sd=5.0, events_sd=9.0)
    assert observed_risk_at_risk(own, predicted=0.26) is None
    assert observed_risk_at_risk(replace(own, events_sd=5.0), predicted=0.26) is not None
    assert observed_risk_at_risk(replace(own, at_risk_sd=40.0), predicted=0.26) is None
