"""Patients of known hazards, and what hospitals release of whether a model's risks are right on them.

The truth is in how patients are drawn: their hazard is `level` times the model's, with log hazard ratios `slope` times
the model's, in a world where many come under observation late, where who is ill is lost sooner, and where the hazard is
no multiple of one baseline that the test's estimator knows. Nothing of it comes from the estimator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from tests.doubles import model_spec, study_plan
from tests.summaries import calibration_of

from oncofed.client.patients.summaries import KINDS, cut
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.expected_layout import expected_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.server.evaluation.calibration import EndpointCalibration, calibration_figures, sums_of
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 36.0, 60.0, 120.0))
HAZARD = 0.03
"""Of the reference patient, a month."""
SPREAD = 0.7
"""Standard deviation of the log hazard ratio."""
PATIENTS = 1144
NOISE = 3.48
"""On a unit row: 20 hospitals of which 2 may be missing and 2 collude, epsilon 3, 90 rounds, a fifth of the budget."""


@dataclass(frozen=True)
class World:
    """level, slope: the truth. late: mean time of entry, in months; 0: everybody from the beginning.

    lost        of the reference patient, a month; lost_by_risk: how fast that grows with the log hazard ratio.
    """

    level: float = 1.0
    slope: float = 1.0
    late: float = 5.0
    lost: float = 0.006
    lost_by_risk: float = 0.5


def plan_of(
    *, cap: float = 1.0, windows: tuple[float, ...] = (0.0, 12.0, 36.0, 120.0)
) -> tuple[StudyPlan, SummarySpec]:
    model = replace(model_spec(columns=1, hidden_units=(), grid=GRID), baseline_hazard=(HAZARD,))
    plan = study_plan(model=model, privacy=without_privacy(l2_norm_bound=None, hazard_cap=cap))
    return plan, calibration_of(plan, windows=windows)


def weights_of(plan: StudyPlan) -> FloatArray:
    """A log hazard ratio of SPREAD times the one column."""
    return np.concatenate([np.zeros(plan.model.baseline_parameters), [SPREAD]])


def drawn(world: World, count: int, rng: np.random.Generator) -> PatientTensors:
    """Of so many who are under observation at all: who dies or is lost before entry is never seen."""
    x, entry, exit_, event = (np.zeros(0) for _ in range(4))
    while len(x) < count:
        more = rng.normal(size=count)
        ratio = SPREAD * more
        death = rng.exponential(size=count) / (HAZARD * world.level * np.exp(world.slope * ratio))
        loss = rng.exponential(size=count) / (world.lost * np.exp(world.lost_by_risk * ratio))
        enters = rng.exponential(world.late, count) if world.late else np.zeros(count)
        end = np.minimum(np.minimum(death, loss), rng.uniform(12, 120, count))
        seen = end > enters
        x, entry, exit_, event = (
            np.concatenate([old, new[seen]])
            for old, new in ((x, more), (entry, enters), (exit_, end), (event, (death <= end).astype(float)))
        )
    entry, exit_ = entry[:count], exit_[:count]
    return PatientTensors.of(
        torch.as_tensor(x[:count, None]),
        torch.as_tensor(GRID.events(exit_, event[:count] > 0)[:, None]),
        torch.as_tensor(GRID.at_risk(entry, exit_)[:, None]),
    )


def releases(
    world: World,
    count: int,
    *,
    noise: float = NOISE,
    cap: float = 1.0,
    patients: int = PATIENTS,
    seed: int = 20261129,
) -> list[EndpointCalibration]:
    """So many, each of other patients and with other noise."""
    rng = np.random.default_rng(seed)
    plan, spec = plan_of(cap=cap)
    layout, found = expected_layout(plan, spec), []
    for first in range(0, count, 100):
        many = drawn(world, min(100, count - first) * patients, rng)
        rows = cut(torch.as_tensor(KINDS[spec.kind].rows(plan, spec, weights_of(plan), many)), usable=many.usable)
        for total in rows.numpy().reshape(-1, patients, spec.cells).sum(axis=1):
            noised = total + noise * rng.standard_normal(spec.cells)
            (sums,) = sums_of(layout, noised, noise_of_sum=noise)
            found.append(calibration_figures(sums, spread=layout.spread, smallest_expected=10.0))
    return found
