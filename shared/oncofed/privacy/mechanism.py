"""How is one patient's influence on a hospital's gradient sum bounded, and how is it hidden?

Each patient's gradient is cut to `l2_norm_bound`, the cut gradients are summed (never averaged: a mean's noise scale
would give the number of patients away), and Gaussian noise of `noise_multiplier * l2_norm_bound` is added. Unit: one
patient; neighbours: add or remove that patient. A value that is bounded says so in its type, so noise cannot be scaled
to another bound.

Clipping is in closed form. A patient's gradient of a bias-free linear layer is the outer product of the layer's input a
and the gradient g at its output, so its norm is |a| |g| and the clipped sum is one matrix product; no per-patient
gradient is ever formed (Goodfellow, "Efficient per-example gradient computations", 2015). Noise and steps go through
Opacus' optimiser with its random numbers replaced by a `NoiseSource`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizerFastGradientClipping
from torch import Tensor, nn
from torch.optim import Optimizer

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.noise import NoiseSource
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import BaselineHazard, PrognosisNetwork

PatientLosses = Callable[[PrognosisNetwork, PatientTensors], Tensor]

PATIENTS_AT_ONCE = 4096
"""Bounds memory; sums are in float64, so the cut makes no difference above rounding."""


@dataclass(frozen=True, eq=False)
class BoundedSum:
    """A sum over patients to which each adds a vector of at most `l2_norm_bound` in the Euclidean norm.

    `a + b` is the sum over the union of two disjoint groups of patients; both must have the same bound.
    """

    vector: NDArray[np.float64]
    l2_norm_bound: float

    def __add__(self, other: BoundedSum) -> BoundedSum:
        if other.l2_norm_bound != self.l2_norm_bound:
            raise ValueError("sums of different bounds cannot be added")
        return BoundedSum(self.vector + other.vector, self.l2_norm_bound)


def clipped_gradient_sum(
    network: PrognosisNetwork,
    patients: PatientTensors,
    *,
    l2_norm_bound: float,
    losses: PatientLosses = patient_losses,
) -> BoundedSum:
    """Sum over patients of each patient's loss gradient, cut to `l2_norm_bound`.

    l2_norm_bound  positive; infinity means no clipping (privacy mode `none` only).
    returns        (parameters,) in the network's canonical order, float64.

    | patient                                       | adds |
    |-----------------------------------------------|------|
    | gradient within the bound                     | the gradient, unchanged |
    | longer gradient                               | the gradient scaled to the bound |
    | input, loss or gradient not finite, or longer | exactly nothing, and nobody is told |
    | than 1e154, where its square is not           |      |

    Raises PrivacyRefusal when `losses` does not return one number for each patient: a loss that is already summed or
    of shape (patients, 1) would silently not be clipped; and for a bound that is not positive.
    """
    if not l2_norm_bound > 0:
        raise PrivacyRefusal("the bound on a patient's gradient must be positive")
    total = BoundedSum(np.zeros(sum(parameter.numel() for parameter in network.parameters())), l2_norm_bound)
    for start in range(0, len(patients), PATIENTS_AT_ONCE):
        rows = slice(start, start + PATIENTS_AT_ONCE)
        clipped = _clipped_chunk(
            network,
            patients.rows(rows),
            squared_norms=patients.squared_norms[rows],
            l2_norm_bound=l2_norm_bound,
            losses=losses,
        )
        total = total + BoundedSum(clipped, l2_norm_bound)
    return total


def _clipped_chunk(
    network: PrognosisNetwork,
    patients: PatientTensors,
    *,
    squared_norms: Tensor,
    l2_norm_bound: float,
    losses: PatientLosses,
) -> NDArray[np.float64]:
    with _recorded(network) as records:
        values = losses(network, patients)
    if values.shape != (len(patients),):
        raise PrivacyRefusal(
            f"a loss under privacy must return one number for each patient, shape ({len(patients)},); "
            f"this one returned {tuple(values.shape)}, which could not be clipped"
        )
    groups = _fed_alike(records, torch.autograd.grad(values.sum(), [record.output for record in records]))
    squared_norm = torch.zeros(len(patients), dtype=torch.float64)
    for group in groups:
        of_input = squared_norms if _is_same(group.input, patients.x) else _squared_norms(group.input)
        squared_norm += _squared_norms(group.at_output) * of_input
    norm = squared_norm.sqrt()
    included = patients.usable & torch.isfinite(norm) & torch.isfinite(values)
    factor = (l2_norm_bound / norm).clamp(max=1.0)
    excluded = torch.nonzero(~included)[:, 0]
    sums: dict[Tensor, Tensor] = {}
    for group in groups:
        # Excluded rows become exactly 0 even where they are infinite or NaN, which no factor would do.
        cut = _without(excluded, group.at_output * factor[:, None])
        summed = cut.T @ _finite_at(excluded, group.input)
        sums |= zip(group.parameters, torch.split(summed, group.outputs), strict=True)
    flat = torch.cat([sums[parameter].reshape(-1) for parameter in network.parameters()])
    return np.asarray(flat.numpy(), dtype=np.float64)


def _squared_norms(rows: Tensor) -> Tensor:
    squared: Tensor = torch.linalg.vector_norm(rows, dim=1).square()
    return squared


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape


def _without(excluded: Tensor, rows: Tensor) -> Tensor:
    return rows if len(excluded) == 0 else rows.index_fill(0, excluded, 0.0)


def _finite_at(excluded: Tensor, inputs: Tensor) -> Tensor:
    """`inputs` with zeros in those excluded rows that are not finite: 0 times infinity is not 0. Seldom a copy."""
    if len(excluded) == 0:
        return inputs
    return _without(excluded[~torch.isfinite(inputs[excluded]).all(dim=1)], inputs)


@dataclass(frozen=True, eq=False)
class _LayerRecord:
    """What is fed to a layer, (patients, inputs), its parameter, and what comes out, for a gradient to be taken at."""

    parameter: Tensor
    input: Tensor
    output: Tensor


@dataclass(frozen=True, eq=False)
class _FedAlike:
    """Layers with one and the same input. For norms and sums they are one layer, so that the input is read once.

    at_output   (patients, outputs of all), the loss's gradient there, layer by layer in the order of `parameters`.
    outputs     how many of them belong to each.
    """

    input: Tensor
    at_output: Tensor
    parameters: list[Tensor]
    outputs: list[int]


def _fed_alike(records: Sequence[_LayerRecord], at_outputs: Sequence[Tensor]) -> list[_FedAlike]:
    found: dict[tuple[int, torch.Size], list[tuple[_LayerRecord, Tensor]]] = {}
    for record, at_output in zip(records, at_outputs, strict=True):
        found.setdefault((record.input.data_ptr(), record.input.shape), []).append((record, at_output.flatten(1)))
    return [
        _FedAlike(
            input=members[0][0].input,
            at_output=torch.cat([at_output for _, at_output in members], dim=1),
            parameters=[record.parameter for record, _ in members],
            outputs=[at_output.shape[1] for _, at_output in members],
        )
        for members in found.values()
    ]


@contextmanager
def _recorded(network: PrognosisNetwork) -> Iterator[list[_LayerRecord]]:
    """Record input and output of every layer that has parameters.

    The closed form holds for bias-free linear layers, and for the baseline hazard, which is such a layer with its
    public weight for an input; each used once. Anything else is our mistake.
    """
    records: list[_LayerRecord] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Linear | BaselineHazard)
        if isinstance(layer, BaselineHazard):
            parameter: Tensor = layer.correction
            fed = torch.full((len(output), 1), layer.weight, dtype=torch.float64)
        else:
            parameter, fed = layer.weight, inputs[0].detach()
        assert all(parameter is not earlier.parameter for earlier in records)
        records.append(_LayerRecord(parameter, fed, output))

    layers = [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None]
    assert all(isinstance(layer, BaselineHazard) or getattr(layer, "bias", 0) is None for layer in layers)
    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield records
    finally:
        for handle in handles:
            handle.remove()


class PrivateOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc]  # Opacus ships no types
    """Opacus' optimiser for gradients that are already clipped and summed, with noise from a `NoiseSource`.

    Opacus would draw from a `torch.Generator`, whose seed is 64 bits and whose float32 tails end at 5.77 standard
    deviations; its `secure_mode` needs a package that cannot be installed. `expected_batch_size` is a public constant.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        noise_multiplier: float,
        l2_norm_bound: float,
        expected_batch_size: float | None,
        noise: NoiseSource,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=l2_norm_bound,
            expected_batch_size=expected_batch_size,
            loss_reduction="sum" if expected_batch_size is None else "mean",
        )
        self._noise = noise

    def accumulate(self) -> None:
        """Opacus would copy each gradient; those of `noised` are nobody else's."""
        for parameter in self.params:
            parameter.summed_grad = parameter.grad

    def add_noise(self) -> None:
        """Sets each parameter's `.grad` to clipped sum plus noise of standard deviation noise_multiplier x bound."""
        sizes = [parameter.numel() for parameter in self.params]
        if self.noise_multiplier > 0 and not np.isfinite(self.max_grad_norm):
            raise PrivacyRefusal("noise cannot be scaled to an unbounded sum: state a clip norm")
        standard_deviation = self.noise_multiplier * self.max_grad_norm if self.noise_multiplier > 0 else 0.0
        draws = torch.as_tensor(self._noise.standard_normal(sum(sizes)) * standard_deviation)
        for parameter, draw in zip(self.params, torch.split(draws, sizes), strict=True):
            parameter.grad = parameter.summed_grad + draw.view_as(parameter)

    def noised(self, clipped: BoundedSum) -> NDArray[np.float64]:
        """(parameters,): one release of a clipped sum. Its bound must be the one the noise is scaled to."""
        if clipped.l2_norm_bound != self.max_grad_norm:
            raise PrivacyRefusal("the sum was clipped to another bound than the noise is scaled to")
        self.zero_grad(set_to_none=True)
        sizes = [parameter.numel() for parameter in self.params]
        parts = torch.split(torch.tensor(clipped.vector), sizes)
        for parameter, part in zip(self.params, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        if not self.pre_step():
            raise PrivacyRefusal("Opacus was told to skip this step, so no noise was added")
        flat = torch.cat([parameter.grad.reshape(-1) for parameter in self.params])
        return np.asarray(flat.numpy(), dtype=np.float64)

    def noised_step(self, clipped: BoundedSum) -> None:
        """One release of a clipped sum, and one step of the wrapped optimiser with it."""
        self.noised(clipped)
        self.original_optimizer.step()
