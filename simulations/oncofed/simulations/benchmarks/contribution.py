"""What does privacy cost a hospital? Clip, sum and noise, against a plain gradient and Opacus' ways to clip.

A private contribution is every patient clipped, the sum, and noise from the operating system, with the product's own
functions; a plain gradient is the backward pass of the summed loss. Both in float64, as in the product, and on a
network that is there already; the whole of what a guard computes (`patients.training.ascent_sum`, sealed), which first
makes the network from the weights that came, stands beside them. Opacus' two ways draw their noise from torch's fast
generator, which we may not use.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import Tensor, nn

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.patients.training import ascent_sum
from oncofed.privacy.mechanism import clipped_gradient_sum
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.simulations.benchmarks.made_up import STUDY_COLUMNS, model, patients, plan
from oncofed.simulations.benchmarks.side_by_side import Spread, interleaved, ratio
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.survival.likelihood import PatientTensors, negative_log_likelihood, patient_losses
from oncofed.survival.network import PrognosisNetwork, parameter_count, parameter_vector

NETWORKS = {
    "study, 8 units": model(columns=STUDY_COLUMNS, hidden_units=(8,)),
    "study, 16 units": model(columns=STUDY_COLUMNS, hidden_units=(16,)),
    "large, 256 and 128": model(columns=STUDY_COLUMNS, hidden_units=(256, 128)),
}
BATCHES = (256, 2048, 8192)
WANTED_BATCH = 2048
LARGEST_HOOKED_BYTES = 10**9
"""Opacus' hooks form every patient's gradient; more than this is left out."""


@dataclass(frozen=True)
class _Row:
    cells: tuple[str, ...]
    batch: int
    speed: Spread


def contribution_table(*, repetitions: int, batches: tuple[int, ...] = BATCHES) -> Table:
    """Speeds are relative: 0.7 of the plain gradient's takes 1/0.7 as long; 20 of Opacus' takes a twentieth."""
    with one_thread():
        rows = [
            _row(name, spec, batch=batch, repetitions=repetitions)
            for name, spec in NETWORKS.items()
            for batch in batches
        ]
    wanted = [
        verdict(f"{row.cells[0]}, {row.batch:,} patients, private against plain", row.speed.median, at_least=0.5)
        for row in rows
        if row.batch == WANTED_BATCH
    ]
    return Table(
        title="A private contribution against a plain gradient and against Opacus",
        columns=(
            "network",
            "parameters",
            "patients",
            "private, ms",
            "speed of plain",
            "without noise",
            "network made, too",
            "of plain float32",
            "of Opacus hooks",
            "of Opacus ghost",
        ),
        rows=tuple(row.cells for row in rows),
        notes=(
            "Speed of a private contribution (clip, sum, noise) relative to each other way, as median and quartiles; "
            "above 1 it is the faster. Without noise, and with the network made from the weights that came: relative "
            "to the plain gradient on a network that is there. Hooks and ghost include their own noise and step.",
            *wanted,
        ),
    )


def _row(name: str, spec: ModelSpec, *, batch: int, repetitions: int) -> _Row:
    cohort = patients(batch, columns=spec.columns, seed=batch)
    study = plan(spec, sites=1, rounds=1, private=True)
    bound = study.privacy.l2_norm_bound
    assert bound is not None
    network = PrognosisNetwork(spec, initialisation_seed=1)
    weights, noise, release = parameter_vector(network), OperatingSystemNoise(), release_of_round(study)
    private: dict[str, Callable[[], object]] = {"private": _private(network, cohort, study, noise=noise)}
    ours = private | {
        "whole": lambda: release.sealed(ascent_sum(study, weights, cohort), noise=noise),
        "clipped": lambda: clipped_gradient_sum(network, cohort, l2_norm_bound=bound),
        "plain": lambda: torch.autograd.grad(patient_losses(network, cohort).sum(), list(network.parameters())),
        "float32": _plain_float32(network, cohort),
    }
    opacus = private | {"ghost": _ghost(network, cohort, bound=bound)}
    if 8 * batch * parameter_count(spec) <= LARGEST_HOOKED_BYTES:
        opacus["hooks"] = _hooks(network, cohort, bound=bound)
    found = interleaved(ours, repetitions=repetitions)
    speed = {way: ratio(seconds, found["private"]) for way, seconds in found.items()}
    # Apart, because hooks leave the caches and the allocator as nobody else does.
    with _opacus_quiet():
        beside = interleaved(opacus, repetitions=max(3, repetitions // 3))
    speed |= {way: ratio(seconds, beside["private"]) for way, seconds in beside.items() if way != "private"}
    return _Row(
        cells=(
            name,
            f"{parameter_count(spec):,}",
            f"{batch:,}",
            f"{1000 * Spread.of(found['private']).median:.2f}",
            str(speed["plain"]),
            f"{ratio(found['plain'], found['clipped']).median:.2f}",
            f"{ratio(found['plain'], found['whole']).median:.2f}",
            f"{speed['float32'].median:.2f}",
            f"{speed['hooks'].median:.1f}" if "hooks" in speed else "over 1 GB",
            f"{speed['ghost'].median:.1f}",
        ),
        batch=batch,
        speed=speed["plain"],
    )


def _private(
    network: PrognosisNetwork, cohort: PatientTensors, study: StudyPlan, *, noise: NoiseSource
) -> Callable[[], object]:
    """What a guard computes once it has a network."""
    bound, release = study.privacy.l2_norm_bound, release_of_round(study)
    assert bound is not None
    return lambda: release.sealed(clipped_gradient_sum(network, cohort, l2_norm_bound=bound), noise=noise)


def _plain_float32(network: PrognosisNetwork, cohort: PatientTensors) -> Callable[[], object]:
    """The product computes in float64 on purpose; its forward pass would turn everything back to it."""
    narrow = copy.deepcopy(network).float()
    narrow.baseline.public = narrow.baseline.public.float()
    linear, relu, baseline = narrow.linear_branch, narrow.relu_branch, narrow.baseline
    assert linear is not None
    assert relu is not None
    x, events, at_risk = cohort.x.float(), cohort.events.float(), cohort.at_risk.float()

    def work() -> object:
        losses = negative_log_likelihood(baseline(linear(x) + relu(x)), events, at_risk)
        return torch.autograd.grad(losses.sum(), list(narrow.parameters()))

    return work


class _HazardModel(nn.Module):
    """Opacus hooks into `forward`; ours is two steps."""

    def __init__(self, network: PrognosisNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(patients, columns) -> (patients, endpoints, intervals)."""
        return self.network.log_hazard(x)


def _hooks(network: PrognosisNetwork, cohort: PatientTensors, *, bound: float) -> Callable[[], object]:
    wrapped = GradSampleModule(_HazardModel(copy.deepcopy(network)), loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=1e-9),
        noise_multiplier=1.0,
        max_grad_norm=bound,
        expected_batch_size=None,
        loss_reduction="sum",
    )

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses = negative_log_likelihood(wrapped(cohort.x), cohort.events, cohort.at_risk)
        torch.autograd.backward(losses.sum())
        optimizer.step()

    return work


def _ghost(network: PrognosisNetwork, cohort: PatientTensors, *, bound: float) -> Callable[[], object]:
    wrapped = GradSampleModuleFastGradientClipping(
        _HazardModel(copy.deepcopy(network)), loss_reduction="sum", max_grad_norm=bound, use_ghost_clipping=True
    )
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(wrapped.parameters(), lr=1e-9),
        noise_multiplier=1.0,
        max_grad_norm=bound,
        expected_batch_size=None,
        loss_reduction="sum",
    )

    class Criterion:
        """Opacus asks for the reduction it must undo."""

        reduction = "sum"

        def __call__(self, log_hazard: Tensor, outcomes: PatientTensors) -> Tensor:
            return negative_log_likelihood(log_hazard, outcomes.events, outcomes.at_risk)

    criterion = DPLossFastGradientClipping(wrapped, optimizer, Criterion(), loss_reduction="sum")

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        criterion(wrapped(cohort.x), cohort).backward()
        optimizer.step()

    return work


@contextmanager
def _opacus_quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Opacus hooks into modules whose inputs are data and need no gradient.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield
