"""Plans and patients of a wanted size for benchmarks. The numbers mean nothing."""

from __future__ import annotations

import numpy as np
import torch

from oncofed.privacy.accounting import RELATION
from oncofed.protocol.plan import ModelSpec, PrivacyMode, PrivacySpec, StudyPlan, TrainingSpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors

STUDY_COLUMNS = 730
"""About what 350 markers with their categories and missing flags are encoded to."""
GRID = TimeGrid((0.0, 6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 84.0, 120.0, 180.0))


def model(*, columns: int, hidden_units: tuple[int, ...]) -> ModelSpec:
    """One endpoint on ten intervals."""
    return ModelSpec(columns, ("overall_survival",), GRID, (0.01,), hidden_units)


def patients(count: int, *, columns: int, seed: int) -> PatientTensors:
    """Gaussian markers, exponential times, three in ten dead."""
    rng = np.random.default_rng(seed)
    months = rng.exponential(30.0, count) + 0.1
    events = GRID.events(months, rng.random(count) < 0.3)
    return PatientTensors.of(
        torch.as_tensor(rng.normal(size=(count, columns)) * 0.2),
        torch.as_tensor(events)[:, None],
        torch.as_tensor(GRID.at_risk(np.zeros(count), months))[:, None],
    )


def plan(spec: ModelSpec, *, sites: int, rounds: int, private: bool) -> StudyPlan:
    """Full-batch FedAdam; the noise is about that of epsilon 3 over 60 rounds, and the budget without end."""
    privacy = PrivacySpec(PrivacyMode.LOCAL, 1e3, 1e-5, 11.0, 2.0, RELATION)
    if not private:
        privacy = PrivacySpec(PrivacyMode.NONE, None, 0.0, 0.0, None, RELATION)
    roster = tuple(f"site_{number:04d}" for number in range(sites))
    return StudyPlan("benchmark", "0" * 64, spec, TrainingSpec(rounds=rounds), privacy, roster, quorum=sites)
