"""Does a release of gains tell what a model adds, and what layers are worth, with limits that hold what they promise?

The truth is computed of the patients as they were drawn, in continuous time, with hazards that do not change: no grid,
no network, no layout, and orders of layers one by one. Hazards are a multiple of the model's, so it may be wrong; many
come under observation late, and who is ill is lost sooner. The noise is that of epsilon 3 in mode `distributed`, 20
hospitals, a fifth of the budget. Seeded, so that nothing flakes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.calibration_cohorts import GRID, NOISE
from tests.doubles import model_spec, study_plan
from tests.summaries import gains_of
from torch import Tensor

from oncofed.client.patients import gain_sums
from oncofed.client.patients.summaries import KINDS, cut
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.gain_layout import gain_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.server.evaluation import gains as evaluation
from oncofed.server.evaluation.gains import EndpointGains, EndpointValues, endpoint_gains, endpoint_values, sums_of
from oncofed.survival.comparators import Comparator
from oncofed.survival.layer_values import Value
from oncofed.survival.layers import Layer
from oncofed.survival.likelihood import PatientTensors, cumulative_hazard

FloatArray = NDArray[np.float64]

HAZARD = 0.03
"""Of the reference patient, a month."""
COMPARISON, VALUE = SummaryKind.COMPARISON, SummaryKind.VALUE
QUICK, MANY = 200, 2000
EFFECTS = np.array([0.5, 0.3, 0.4, 0.2])
"""Of what is always known, and of three layers. Column 2 k is layer k, column 2 k + 1 its flag."""
COMPARATORS = (Comparator("stage", (0,), (), 0.5), Comparator("score", (0, 2, 3), (3,), 0.5))
LAYERS = tuple(Layer(name, (2 * k, 2 * k + 1), (2 * k + 1,), 0.5) for k, name in ((1, "a"), (2, "b"), (3, "c")))
MEASURED = 0.85


@dataclass(frozen=True)
class World:
    """Hazards are level times the model's, with log hazard ratios of slope times the model's; late: mean entry."""

    level: float = 1.0
    slope: float = 1.0
    late: float = 5.0


@dataclass(frozen=True)
class Pool:
    """Patients, from whom releases draw. x: (patients, columns). ratio: (patients, 4), what each part adds to the log
    hazard ratio of the model.
    """

    x: FloatArray
    ratio: FloatArray
    entry: FloatArray
    exit: FloatArray
    died: NDArray[np.bool_]

    @property
    def tensors(self) -> PatientTensors:
        return PatientTensors.of(
            torch.as_tensor(self.x),
            torch.as_tensor(GRID.events(self.exit, self.died)[:, None]),
            torch.as_tensor(GRID.at_risk(self.entry, self.exit)[:, None]),
        )


def plan_of(kind: SummaryKind, *, within: float) -> tuple[StudyPlan, SummarySpec]:
    model = replace(
        model_spec(columns=8, hidden_units=(), grid=GRID, comparators=COMPARATORS, layers=LAYERS),
        baseline_hazard=(HAZARD,),
    )
    plan = study_plan(model=model, privacy=without_privacy(l2_norm_bound=None))
    return plan, gains_of(plan, kind, within=within)


SCORES = (0.5, np.array([0.45, 0.35, 0.0]))
"""Log hazard ratios of the comparators' columns; the baseline of the second is higher by a tenth."""
HIGHER = 0.1


def weights_of(plan: StudyPlan) -> FloatArray:
    of_columns = np.zeros(8)
    of_columns[::2] = EFFECTS
    of_columns[1] = 0.0
    baseline = np.zeros(GRID.intervals)
    return np.concatenate([baseline, of_columns, baseline, np.array([SCORES[0]]), baseline + HIGHER, SCORES[1]])


@cache
def pool_of(world: World, count: int = 40_000) -> Pool:
    rng = np.random.default_rng(14)
    kept: list[tuple[FloatArray, ...]] = []
    while sum(len(each[0]) for each in kept) < count:
        values = rng.normal(size=(count, 4))
        seen = np.concatenate([np.ones((count, 1)), rng.random((count, 3)) < MEASURED], axis=1)
        x = np.stack([values * seen, 0.5 * (1 - seen)], axis=2).reshape(count, 8)
        f = (values * seen) @ EFFECTS
        death = rng.exponential(size=count) / (HAZARD * world.level * np.exp(world.slope * f))
        loss = rng.exponential(size=count) / (0.006 * np.exp(0.5 * f))
        enters = rng.exponential(world.late, count) if world.late else np.zeros(count)
        end = np.minimum(np.minimum(death, loss), rng.uniform(12, 119, count))
        there = end > enters
        kept.append((x[there], (values * seen * EFFECTS)[there], enters[there], end[there], (death <= end)[there]))
    x, ratio, entry, end, died = (np.concatenate(parts)[:count] for parts in zip(*kept, strict=True))
    return Pool(x, ratio, entry, end, died.astype(bool))


def gain(pool: Pool, mine: FloatArray, theirs: FloatArray, stopping: FloatArray) -> FloatArray:
    """(patients,), of log hazard ratios; follow-up ends where the stopping hazard adds up to 1."""
    until = np.minimum(pool.exit, pool.entry + 1 / (HAZARD * np.exp(stopping)))
    died = pool.died & (until == pool.exit)
    spent = HAZARD * (until - pool.entry)
    found: FloatArray = died * (mine - theirs) - spent * (np.exp(mine) - np.exp(theirs))
    return found


def true_gains(pool: Pool) -> list[float]:
    """Over both comparators, of whom each is recorded."""
    mine = pool.ratio.sum(axis=1)
    stage = SCORES[0] * pool.x[:, 0]
    score = HIGHER + pool.x[:, [0, 2, 3]] @ SCORES[1]
    recorded = pool.x[:, 3] == 0
    return [
        float(gain(pool, mine, stage, np.maximum(mine, stage)).mean()),
        float(gain(pool, mine, score, np.maximum(mine, score))[recorded].mean()),
    ]


def true_values(pool: Pool) -> FloatArray:
    """(3, layers): share, alone, last; by orders of layers."""
    has_all = (pool.x[:, 3::2] == 0).all(axis=1)
    always = pool.ratio[:, 0]

    def worth(kept: Sequence[int]) -> float:
        mine = always + pool.ratio[:, [1 + each for each in kept]].sum(axis=1)
        return float(gain(pool, mine, always, always)[has_all].mean())

    added = np.zeros((6, 3))
    for order, each in zip(permutations(range(3)), added, strict=True):
        for place, layer in enumerate(order):
            each[layer] = worth(order[: place + 1]) - worth(order[:place])
    alone = [worth([layer]) for layer in range(3)]
    last = [worth([0, 1, 2]) - worth([each for each in range(3) if each != layer]) for layer in range(3)]
    return np.array([added.mean(axis=0), alone, last])


def released(
    kind: SummaryKind, world: World, count: int, *, patients: int, noise: float = NOISE, within: float = 2.5
) -> list[EndpointGains] | list[EndpointValues]:
    """So many, each of other patients of the pool and with other noise."""
    rng = np.random.default_rng(2026)
    plan, spec = plan_of(kind, within=within)
    layout, pool = gain_layout(plan, spec), pool_of(world).tensors
    rows = cut(torch.as_tensor(KINDS[kind].rows(plan, spec, weights_of(plan), pool)), usable=pool.usable).numpy()
    found = []
    for _ in range(count):
        total = rows[rng.integers(0, len(rows), patients)].sum(axis=0)
        (sums,) = sums_of(layout, total + noise * rng.standard_normal(spec.cells), noise_of_sum=noise)
        names = [each.name for each in (COMPARATORS if kind is COMPARISON else LAYERS)]
        found.append((endpoint_gains if kind is COMPARISON else endpoint_values)(sums, names, fewest=50.0))
    return found  # type: ignore[return-value]  # of one kind


def gains_told(world: World, count: int, **how: float) -> list[list[Value]]:
    """(comparators, releases)."""
    found = released(COMPARISON, world, count, patients=1144, **how)
    told = [[over.gain for over in each.over] for each in found if isinstance(each, EndpointGains)]
    assert all(value is not None for each in told for value in each)
    return [[value for value in each if value is not None] for each in zip(*told, strict=True)]


def values_told(world: World, count: int, **how: float) -> list[list[list[Value]]]:
    """(kinds, layers, releases)."""
    found = released(VALUE, world, count, patients=3000, **how)
    tables = [each.values.layers for each in found if isinstance(each, EndpointValues) and each.values is not None]
    assert len(tables) == count
    return [
        [[getattr(table[layer], kind) for table in tables] for layer in range(3)] for kind in ("share", "alone", "last")
    ]


def all_at_once(told: Sequence[Sequence[Value]], truth: Sequence[float]) -> float:
    """In how many releases all limits of a family hold their truth."""
    held = [[each.low <= true <= each.high for each in values] for values, true in zip(told, truth, strict=True)]
    return float(np.all(held, axis=0).mean())


def off(values: Sequence[Value], truth: float) -> float:
    """Of the mean over releases, in its standard errors."""
    means = np.array([each.mean for each in values])
    return float((means.mean() - truth) / (means.std() / math.sqrt(len(means))))


TIMES = pytest.mark.parametrize(
    ("count", "least", "most"),
    [
        pytest.param(QUICK, 0.91, 1.0, id="200"),  # less than 0.91 of 200 are 2.6 deviations off
        pytest.param(MANY, 0.93, 0.985, id="2000", marks=pytest.mark.slow),
    ],
)
WORLDS = pytest.mark.parametrize(
    "world", [World(), World(level=0.7, slope=0.8), World(level=1.3, slope=1.2, late=15.0)], ids=str
)


@TIMES
@WORLDS
def test_gains_over_comparators_are_covered_all_at_once_and_unbiased(
    world: World, count: int, least: float, most: float
) -> None:
    truth, told = true_gains(pool_of(world)), gains_told(world, count)
    assert least <= all_at_once(told, truth) <= most
    for values, true in zip(told, truth, strict=True):
        assert abs(off(values, true)) < 4


@TIMES
@WORLDS
def test_values_of_layers_are_covered_column_by_column_and_unbiased(
    world: World, count: int, least: float, most: float
) -> None:
    truth, told = true_values(pool_of(world)), values_told(world, count)
    for column, true in zip(told, truth, strict=True):
        assert least <= all_at_once(column, true.tolist()) <= most
        for values, one in zip(column, true, strict=True):
            assert abs(off(values, float(one))) < 4


def test_standard_errors_are_what_releases_vary_by() -> None:
    for values in (*gains_told(World(), QUICK), *(each for kind in values_told(World(), QUICK) for each in kind)):
        spread = float(np.std([each.mean for each in values]))
        assert np.mean([each.standard_error for each in values]) == pytest.approx(spread, rel=0.2)


def test_who_is_compared_and_who_is_not_is_told_as_it_is() -> None:
    found = released(VALUE, World(), QUICK, patients=3000)
    pool = pool_of(World())
    has_all = (pool.x[:, 3::2] == 0).all(axis=1)
    until = pool.entry + 1 / (HAZARD * np.exp(pool.ratio[:, 0]))
    for name, rows in (("compared", has_all), ("others", ~has_all)):
        some = [getattr(each, name) for each in found]
        assert np.mean([each.patients for each in some]) == pytest.approx(3000 * rows.mean(), rel=0.01)
        events = (pool.died & (pool.exit < until))[rows].mean()
        assert np.mean([each.events for each in some]) == pytest.approx(events, rel=0.02)
        ratio = pool.ratio[rows, 0].mean()
        assert np.mean([each.log_hazard_ratio for each in some]) == pytest.approx(ratio, abs=0.01)


# What the tests notice


def unstopped(log_hazard: Tensor, events: Tensor, at_risk: Tensor, *, cap: float) -> Tensor:
    return at_risk * cumulative_hazard(log_hazard) - events


@pytest.mark.parametrize("kind", [COMPARISON, VALUE])
def test_cut_and_not_stopped_they_are_wrong(kind: SummaryKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the stop gains are of another follow-up; and long rows are cut, by what happened."""
    world = World(level=0.7, slope=0.8)
    truth = true_gains(pool_of(world)) if kind is COMPARISON else true_values(pool_of(world))[0].tolist()
    told = gains_told(world, QUICK) if kind is COMPARISON else values_told(world, QUICK)[0]
    monkeypatch.setattr(gain_sums, "stopped_residuals", unstopped)
    broken = gains_told(world, QUICK) if kind is COMPARISON else values_told(world, QUICK)[0]
    assert max(abs(off(values, true)) for values, true in zip(told, truth, strict=True)) < 4
    assert max(abs(off(values, true)) for values, true in zip(broken, truth, strict=True)) > 6


def test_limits_that_forget_the_noise_or_the_spread_are_refused_by_the_same_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = true_gains(pool_of(World()))
    honest = all_at_once(gains_told(World(), QUICK, noise=3 * NOISE), truth)
    whole = evaluation.sums_of
    name = "tests.statistical.test_gain_release.sums_of"
    monkeypatch.setattr(name, lambda layout, vector, noise_of_sum: whole(layout, vector, noise_of_sum=0.0))
    forgets_noise = all_at_once(gains_told(World(), QUICK, noise=3 * NOISE), truth)
    monkeypatch.undo()

    def without_squares(*args: object, **how: object) -> object:
        (sums,) = whole(*args, **how)  # type: ignore[arg-type]  # as it was called
        return (replace(sums, squares=np.zeros_like(sums.squares)),)

    monkeypatch.setattr(name, without_squares)
    forgets_spread = all_at_once(gains_told(World(), QUICK, noise=NOISE / 100), truth)
    assert honest >= 0.91
    assert forgets_noise < 0.85
    assert forgets_spread < 0.85
