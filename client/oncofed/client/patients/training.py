"""What does a hospital compute from its patients in one round?

Two modes, both on the closed-form clipped sum of `oncofed.privacy.mechanism`:
- full batch: one gradient sum over all patients, bounded as the plan says; the optimiser is at the server;
- epochs: several local (DP-)SGD steps on cut gradients, FedAvg's family; the new weights leave.
All constants (sampling rate, steps, divisor) are the plan's, so none of them says how many patients there are.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.mechanism import clipped_gradient_sum, stopped_gradient_sum
from oncofed.privacy.noise import NoiseSource
from oncofed.privacy.release import Release
from oncofed.protocol.plan import Bounding, StudyPlan
from oncofed.protocol.weights import as_released, expected_vector
from oncofed.ranges import WEIGHT
from oncofed.survival.layers import taken_away
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector
from oncofed.survival.unmeasured import patients_without

FloatArray = NDArray[np.float64]


def seen_in_round(plan: StudyPlan, patients: PatientTensors, *, plan_hash: str, round_: int) -> PatientTensors:
    """The patients as this round sees them: without the layers that it takes away of everybody.

    None in a calibration round, which sets right the model as it is used. plan_hash: the plan's, which a guard has.
    """
    if plan.training.calibration_round(round_):
        return patients
    return patients_without(patients, taken_away(plan.model.layers, plan_hash=plan_hash, round_=round_))


def ascent_sum(plan: StudyPlan, weights: FloatArray, patients: PatientTensors) -> BoundedSum:
    """What `full_batch` releases: the bounded sum uphill, with NO noise yet. It may not leave so."""
    network, bound = network_with(plan.model, weights), _bound(plan)
    if plan.privacy.bounding is Bounding.STOPPED and math.isfinite(bound):
        total = stopped_gradient_sum(network, patients, hazard_cap=plan.privacy.hazard_cap, l2_norm_bound=bound)
    else:
        total = clipped_gradient_sum(network, patients, l2_norm_bound=bound)
    return BoundedSum(-total.vector, total.l2_norm_bound)


def weights_after_local_steps(
    plan: StudyPlan, weights: FloatArray, patients: PatientTensors | None, *, release: Release, noise: NoiseSource
) -> FloatArray:
    """What `epochs` releases: the weights after DP-SGD (Abadi et al., CCS 2016), Poisson-sampled, over a public number.

    patients  None: nobody, so that the weights follow from noise alone.
    noise     also draws who joins a batch, because who took part must stay as secret as the noise.

    mu pulls to the global weights. Each step's sum is noised before anything is made of it, so the weights follow from
    noised sums and public numbers. They are kept within the range of weights after each step, so that no public
    constants, no noise and no `weights` (which are within it) make what leaves one of another form.
    """
    from oncofed.privacy.private_optimizer import PrivateOptimizer  # noqa: PLC0415 - Opacus; `guard` has loaded it

    training, bound = plan.training, _bound(plan)
    unit = bound if math.isfinite(bound) else 1.0
    network = network_with(plan.model, weights)
    start = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = PrivateOptimizer(
        torch.optim.SGD(network.parameters(), lr=training.local_learning_rate),
        l2_norm_bound=bound,
        expected_batch_size=training.expected_batch_size,
        noised=lambda total: release.noised(total, noise) * unit,
    )
    decays, expected = _decays(plan, network), _expected(plan, network)
    for _ in range(training.local_steps):
        optimizer.take_gradients(_sum_of_a_batch(plan, network, patients, noise))
        with torch.no_grad():
            for parameter, origin, decay, centre in zip(network.parameters(), start, decays, expected, strict=True):
                assert parameter.grad is not None
                parameter.grad += training.proximal_mu * (parameter - origin)
                if decay is not None:
                    parameter.grad += decay * (parameter - centre)
        optimizer.original_optimizer.step()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.clamp_(WEIGHT.least, WEIGHT.most)
    return as_released(parameter_vector(network))


def _decays(plan: StudyPlan, network: PrognosisNetwork) -> list[float | None]:
    """Of each parameter; None of baseline hazards."""
    training = plan.training
    others: dict[torch.Tensor, float | None] = {network.baseline.correction: None}
    if network.time_shapes is not None:
        others[network.time_shapes.coefficients] = training.shape_weight_decay
    for head in network.heads:
        others |= {head.baseline.correction: None, head.linear.weight: head.weight * training.weight_decay}
    return [others.get(parameter, training.weight_decay) for parameter in network.parameters()]


def _expected(plan: StudyPlan, network: PrognosisNetwork) -> list[torch.Tensor]:
    """Of each parameter, where its decay pulls to."""
    shapes = [parameter.shape for parameter in network.parameters()]
    each = torch.split(torch.as_tensor(expected_vector(plan.model)), [shape.numel() for shape in shapes])
    return [values.view(shape) for values, shape in zip(each, shapes, strict=True)]


def _sum_of_a_batch(
    plan: StudyPlan, network: PrognosisNetwork, patients: PatientTensors | None, noise: NoiseSource
) -> BoundedSum:
    if patients is None:
        return BoundedSum.of_nobody(plan.model.parameters, l2_norm_bound=_bound(plan))
    joins = torch.as_tensor(noise.chosen(len(patients), probability=plan.training.sampling_rate))
    return clipped_gradient_sum(network, patients.rows(joins), l2_norm_bound=_bound(plan))


def _bound(plan: StudyPlan) -> float:
    return math.inf if plan.privacy.l2_norm_bound is None else plan.privacy.l2_norm_bound
