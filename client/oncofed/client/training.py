"""What does a hospital compute from its patients in one round?

Two modes, both on the closed-form clipped sum of `oncofed.privacy.mechanism`:
- full batch: one gradient sum over all patients; the optimiser is at the server;
- epochs: several local (DP-)SGD steps, FedAvg's family; the new weights leave.
All constants (sampling rate, steps, divisor) are the plan's, so none of them says how many patients there are.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.privacy.mechanism import PrivateOptimizer, clipped_gradient_sum
from oncofed.privacy.noise import NoiseSource, NoNoise
from oncofed.protocol.plan import StudyPlan, TrainingMode
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with, parameter_vector


def local_contribution(
    plan: StudyPlan, weights: NDArray[np.float64], patients: PatientTensors, *, noise: NoiseSource
) -> NDArray[np.float64]:
    """The vector that leaves the hospital in one round; see `protocol.messages.Contribution`.

    noise  also draws who joins a batch, because who took part must stay as secret as the noise.
    """
    if plan.training.mode is TrainingMode.FULL_BATCH:
        return _ascent_direction(plan, weights, patients, noise, noise_multiplier=plan.privacy.noise_multiplier)
    return _weights_after_local_steps(plan, weights, patients, noise)


def clipped_direction(plan: StudyPlan, weights: NDArray[np.float64], patients: PatientTensors) -> NDArray[np.float64]:
    """(parameters,): the clipped sum of `full_batch` in units of the clip norm, with NO noise: it may not leave so."""
    return _ascent_direction(plan, weights, patients, NoNoise(seed=0), noise_multiplier=0.0)


def _ascent_direction(
    plan: StudyPlan,
    weights: NDArray[np.float64],
    patients: PatientTensors,
    noise: NoiseSource,
    *,
    noise_multiplier: float,
) -> NDArray[np.float64]:
    network = network_with(plan.model, weights)
    bound = _bound(plan)
    optimizer = PrivateOptimizer(
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise_multiplier=noise_multiplier,
        l2_norm_bound=bound,
        expected_batch_size=None,
        noise=noise,
    )
    released = optimizer.noised(clipped_gradient_sum(network, patients, l2_norm_bound=bound))
    return -released / (bound if math.isfinite(bound) else 1.0)


def _weights_after_local_steps(
    plan: StudyPlan, weights: NDArray[np.float64], patients: PatientTensors, noise: NoiseSource
) -> NDArray[np.float64]:
    """DP-SGD (Abadi et al., CCS 2016) with Poisson sampling and a public divisor; mu pulls to the global weights."""
    training, bound = plan.training, _bound(plan)
    network = network_with(plan.model, weights)
    start = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = PrivateOptimizer(
        torch.optim.SGD(network.parameters(), lr=training.local_learning_rate),
        noise_multiplier=plan.privacy.noise_multiplier,
        l2_norm_bound=bound,
        expected_batch_size=training.expected_batch_size,
        noise=noise,
    )
    for _ in range(training.local_steps):
        joins = torch.as_tensor(noise.uniform(len(patients)) < training.sampling_rate)
        optimizer.noised(clipped_gradient_sum(network, patients.rows(joins), l2_norm_bound=bound))
        with torch.no_grad():
            for parameter, origin in zip(network.parameters(), start, strict=True):
                assert parameter.grad is not None
                parameter.grad += training.proximal_mu * (parameter - origin)
                if parameter is not network.baseline.correction:
                    parameter.grad += training.weight_decay * parameter
        optimizer.original_optimizer.step()
    return parameter_vector(network)


def _bound(plan: StudyPlan) -> float:
    return math.inf if plan.privacy.l2_norm_bound is None else plan.privacy.l2_norm_bound
