"""What stands in for what a test cannot use: noise from a seed, patients and weights from a seed, small plans.

Seeded noise exists here only: no product code may import this module, and the production source has no seed to give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.guard.sum_masks import SumMasks
from oncofed.client.patients.training import ascent_sum, weights_after_local_steps
from oncofed.cohort.schema import TimeUnit
from oncofed.privacy.accounting import RELATION
from oncofed.privacy.masking import public_masking_key_of
from oncofed.privacy.noise import NoiseSource
from oncofed.privacy.policy import calibrated_together
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.cards import card_of
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import (
    Member,
    ModelSpec,
    PrivacyMode,
    PrivacySpec,
    SharedNoise,
    StudyPlan,
    TrainingMode,
    TrainingSpec,
)
from oncofed.survival.comparators import Comparator
from oncofed.survival.grid import TimeGrid
from oncofed.survival.layers import Layer
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import parameter_count
from oncofed.survival.time_shapes import TimeShapes

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0), TimeUnit.MONTHS)
FULL_BATCH_SIGMA = 28.9
"""Sixty rounds of it are one Gaussian of 3.73: epsilon 1.00 at delta 1e-5."""


def members_of(sites: Iterable[str]) -> tuple[Member, ...]:
    """Hospitals that nobody carries messages for, so that they need no key of years."""
    return tuple(Member(site, "") for site in sites)


def cards_of(sites: Iterable[str]) -> frozenset[str]:
    """The cards of these."""
    return frozenset(map(card_of, members_of(sites)))


def masks_of(site: str, private_keys: Mapping[str, bytes]) -> SumMasks:
    """Of a hospital that knows the masking keys of all these."""
    return SumMasks(private_keys[site], {each: public_masking_key_of(key) for each, key in private_keys.items()})


class SeededNoise:
    """A NoiseSource whose draws can be asked for again."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        return np.rint(self._generator.normal(scale=standard_deviation, size=size)).astype(np.int64)

    def chosen(self, size: int, *, probability: float) -> NDArray[np.bool_]:
        return self._generator.random(size) < probability


class SilentNoise(SeededNoise):
    """Draws zeros and, unlike `NoNoise`, may stand in a guard whose plan promises noise."""

    def __init__(self) -> None:
        super().__init__(seed=0)

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        return np.zeros(size, dtype=np.int64)


@dataclass
class RecordedNoise:
    """Passes on another source's draws and remembers them, so that a test can take the noise off again."""

    source: NoiseSource

    def __post_init__(self) -> None:
        self.drawn: list[NDArray[np.int64]] = []
        self.batches: list[NDArray[np.bool_]] = []

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        self.drawn.append(self.source.discrete_gaussian(size, standard_deviation=standard_deviation))
        return self.drawn[-1]

    def chosen(self, size: int, *, probability: float) -> NDArray[np.bool_]:
        self.batches.append(self.source.chosen(size, probability=probability))
        return self.batches[-1]


def model_spec(
    *,
    columns: int = 4,
    endpoints: int = 1,
    hidden_units: tuple[int, ...] = (3,),
    linear_branch: bool = True,
    baseline_weight: float = 1.0,
    grid: TimeGrid = GRID,
    time_shapes: TimeShapes | None = None,
    comparators: tuple[Comparator, ...] = (),
    layers: tuple[Layer, ...] = (),
) -> ModelSpec:
    names = ("overall_survival", "time_to_next_treatment", "progression")[:endpoints]
    return ModelSpec(
        columns=columns,
        endpoints=names,
        grid=grid,
        baseline_hazard=(0.02, 0.03, 0.05)[:endpoints],
        hidden_units=hidden_units,
        baseline_weight=baseline_weight,
        linear_branch=linear_branch,
        time_shapes=time_shapes,
        comparators=comparators,
        layers=layers,
    )


def drawn_weights(spec: ModelSpec, *, seed: int, scale: float = 0.3) -> FloatArray:
    """(parameters,): every layer is away from its start, zero included."""
    return np.random.default_rng(seed).normal(scale=scale, size=parameter_count(spec))


def drawn_patients(spec: ModelSpec, n: int, *, seed: int, scale: float = 1.0) -> PatientTensors:
    """Patients with delayed entry, censoring and events inside intervals; independent endpoints."""
    rng = np.random.default_rng(seed)
    last = spec.grid.bounds[-1]
    events, at_risk = [], []
    for _ in spec.endpoints:
        exit_ = rng.uniform(0.01, 1.2, n) * last
        entry = np.where(rng.random(n) < 0.5, rng.uniform(0, 0.9, n) * exit_, 0.0)
        events.append(spec.grid.events(exit_, rng.random(n) < 0.6))
        at_risk.append(spec.grid.at_risk(entry, exit_))
    x = rng.normal(scale=scale, size=(n, spec.columns))
    if spec.time_shapes is not None:  # a tumour entity each, or the reference one
        own = rng.integers(0, spec.time_shapes.entities, n)
        for place, column in enumerate(spec.time_shapes.entity_columns):
            x[own != place + 1, column] = 0.0
    return PatientTensors.of(
        torch.as_tensor(x),
        torch.as_tensor(np.stack(events, axis=1)),
        torch.as_tensor(np.stack(at_risk, axis=1)),
    )


def joined(*groups: PatientTensors) -> PatientTensors:
    """All patients of the groups, in order."""
    return PatientTensors(
        *(torch.cat([getattr(group, field) for group in groups]) for field in ("x", "events", "at_risk", "usable"))
    )


def without(patients: PatientTensors, row: int) -> PatientTensors:
    return patients.rows(torch.arange(len(patients)) != row)


def with_inputs(patients: PatientTensors, row: int, value: float) -> PatientTensors:
    """The same patients, but every input of one of them is `value`: as a table might hold it, before any check."""
    x = patients.x.clone()
    x[row] = value
    return PatientTensors.of(x, patients.events, patients.at_risk)


def local_privacy(*, noise_multiplier: float = FULL_BATCH_SIGMA, l2_norm_bound: float = 1.0) -> PrivacySpec:
    return PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-5, noise_multiplier, l2_norm_bound, RELATION)


def no_privacy(*, l2_norm_bound: float | None = None) -> PrivacySpec:
    return PrivacySpec(PrivacyMode.NONE, None, 0.0, 0.0, l2_norm_bound, RELATION)


def study_plan(
    *, model: ModelSpec | None = None, training: TrainingSpec | None = None, privacy: PrivacySpec | None = None
) -> StudyPlan:
    return StudyPlan(
        study="test",
        schema_hash="0" * 64,
        model=model or model_spec(),
        training=training or TrainingSpec(),
        privacy=privacy or local_privacy(),
        roster=("Bonn", "Essen"),
        quorum=2,
    )


def request_for(
    plan: StudyPlan, *, round_: int = 1, attempt: int = 0, site: str = "Bonn", weights: FloatArray | None = None
) -> ContributeRequest:
    return ContributeRequest(
        plan_hash=plan.hash,
        site=site,
        round=round_,
        attempt=attempt,
        roster=plan.roster,
        weights=drawn_weights(plan.model, seed=0) if weights is None else weights,
    )


def round_contribution(
    plan: StudyPlan, weights: FloatArray, patients: PatientTensors, *, noise: NoiseSource
) -> FloatArray:
    """What a guard lets out in a round of the modes `none` and `local`, without its ledger and its checks."""
    release = release_of_round(plan)
    if plan.training.mode is TrainingMode.EPOCHS:
        return weights_after_local_steps(plan, weights, patients, release=release, noise=noise)
    return np.asarray(release.sealed(ascent_sum(plan, weights, patients), noise=noise))


def calibrated_privacy(
    training: TrainingSpec,
    *,
    epsilon: float,
    delta: float,
    l2_norm_bound: float,
    reserve_rounds: int,
    shares: SharedNoise | None = None,
    parameters: int = 100,
    scale_bits: int = 20,
) -> PrivacySpec:
    """As a study without summaries gets it. shares: None for mode `local`, else mode `distributed`."""
    mode = PrivacyMode.LOCAL if shares is None else PrivacyMode.DISTRIBUTED
    asked = PrivacySpec(mode, epsilon, delta, 0.0, l2_norm_bound, RELATION, reserve_rounds, shares, scale_bits)
    return calibrated_together(training, asked, [], parameters=parameters)[0]
