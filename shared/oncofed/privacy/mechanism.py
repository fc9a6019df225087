"""How is one patient's influence on a hospital's gradient sum bounded?

Each patient's gradient is cut to `l2_norm_bound` and the cut gradients are summed (never averaged: a mean's noise scale
would give the number of patients away); `releases` adds the noise. Unit: one patient; neighbours: add or remove that
patient. A value that is bounded says so in its type, so noise cannot be scaled to another bound.

Clipping is in closed form. A patient's gradient of a bias-free linear layer is the outer product of the layer's input a
and the gradient g at its output, so its norm is |a| |g| and the clipped sum is one matrix product; no per-patient
gradient is ever formed (Goodfellow, "Efficient per-example gradient computations", 2015).

The bound is enforced on what is added: after the cut each patient's norm is computed once more, and the patient adds
exactly 0 unless it is within the bound. So no constant and no weight can make a cut that does not cut (NaN, say).

What one patient adds is a function of that patient and of public numbers, to the last bit: `survival.one_by_one` says
why it must be and how it is. Only the final sum over patients may be rounded in any order. That moves it by n^2 2^-53
bounds at most, and is charged for (`shared_noise.CLIP_ROUNDING`). Local steps: `private_optimizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import PrognosisNetwork
from oncofed.survival.one_by_one import GridRows, at_functions, norms_of, one_by_one, root, row_sums
from oncofed.survival.stopped_residuals import ShapeBounds, squared_bound, stopped_residuals

PatientLosses = Callable[[PrognosisNetwork, PatientTensors], Tensor]

ROUNDING_OF_A_NORM = 1e-7
"""What the computation of a norm may be off by, as a part of it; `shared_noise.CLIP_ROUNDING` covers it."""

PATIENTS_AT_ONCE = 4096
"""Bounds memory; sums are in float64, so the cut makes no difference above rounding."""


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
    | input, loss or gradient not finite, or with a | exactly nothing, and nobody is told |
    | number of 2^500 (3e150) or more, in any layer |      |
    | longer than the bound after the cut, or NaN   | exactly nothing, likewise |

    Raises PrivacyRefusal when `losses` does not return one number for each patient: a loss that is already summed or
    of shape (patients, 1) would silently not be clipped; and for a bound that is not positive.
    """
    return _sum_of(
        network,
        patients,
        l2_norm_bound=l2_norm_bound,
        parts_of=lambda some: cut_parts(network, some, l2_norm_bound=l2_norm_bound, losses=losses),
    )


def stopped_gradient_sum(
    network: PrognosisNetwork, patients: PatientTensors, *, hazard_cap: float, l2_norm_bound: float
) -> BoundedSum:
    """Sum over patients of each one's gradient of the likelihood, stopped at `hazard_cap` and weighted to the bound.

    `survival.stopped_residuals` says what is stopped, and why at the truth the expected sum is 0, as it is not when
    gradients are cut. A patient's weight is the bound over the most that any outcome could make of that patient's
    covariates, and at most 1: it does not look at the outcome. With an infinite bound, and a cap that nobody
    reaches, it is the plain gradient. Who adds nothing, and what is refused, is as in `clipped_gradient_sum`.
    """
    return _sum_of(
        network,
        patients,
        l2_norm_bound=l2_norm_bound,
        parts_of=lambda some: stopped_parts(network, some, hazard_cap=hazard_cap, l2_norm_bound=l2_norm_bound),
    )


def _sum_of(
    network: PrognosisNetwork,
    patients: PatientTensors,
    *,
    l2_norm_bound: float,
    parts_of: Callable[[PatientTensors], Sequence[CutPart]],
) -> BoundedSum:
    if not l2_norm_bound > 0:
        raise PrivacyRefusal("the bound on a patient's gradient must be positive")
    total = BoundedSum(np.zeros(sum(parameter.numel() for parameter in network.parameters())), l2_norm_bound)
    for start in range(0, len(patients), PATIENTS_AT_ONCE):
        some = patients.rows(slice(start, start + PATIENTS_AT_ONCE))
        total = total + BoundedSum(summed(network, parts_of(some)), l2_norm_bound)
    return total


def summed(network: PrognosisNetwork, parts: Sequence[CutPart]) -> NDArray[np.float64]:
    """(parameters,): over the patients of the parts, in the network's canonical order."""
    sums: dict[Tensor, Tensor] = {}
    for part in parts:
        summed = part.at_output.T @ part.input
        sums |= zip(part.parameters, torch.split(summed, part.outputs), strict=True)
    flat = torch.cat([sums[parameter].reshape(-1) for parameter in network.parameters()])
    return np.asarray(flat.numpy(), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class CutPart:
    """What each patient adds to layers with one and the same input: the outer product of the patient's two rows.

    input       (patients, inputs).
    at_output   (patients, outputs of all): the loss's gradient there, cut, layer by layer in the order of `parameters`.
    outputs     how many of them belong to each.
    """

    input: Tensor
    at_output: Tensor
    parameters: list[Tensor]
    outputs: list[int]


def cut_parts(
    network: PrognosisNetwork, patients: PatientTensors, *, l2_norm_bound: float, losses: PatientLosses
) -> list[CutPart]:
    """One for each input. A patient's rows are bit for bit the same whoever else is among the patients."""
    records: list[_LayerRecord] = []

    def note(parameter: Tensor, fed: GridRows, output: Tensor) -> None:
        assert all(parameter is not earlier.parameter for earlier in records)  # the closed form is for layers used once
        records.append(_LayerRecord(parameter, fed, output))

    with one_by_one(network, patients.fed, note=note):
        values = losses(network, patients)
    if values.shape != (len(patients),):
        raise PrivacyRefusal(
            f"a loss under privacy must return one number for each patient, shape ({len(patients)},); "
            f"this one returned {tuple(values.shape)}, which could not be clipped"
        )
    groups = _fed_alike(records, torch.autograd.grad(values.sum(), [record.output for record in records]))
    included = patients.usable & torch.isfinite(values.detach())
    norms = []
    for group in groups:
        of_output, fits = norms_of(group.at_output)
        norms.append(of_output * group.fed.norms)
        included &= fits
    factor = (l2_norm_bound / _length(norms)).clamp(max=1.0)
    cut = [group.at_output * factor[:, None] for group in groups]
    return _enforced(l2_norm_bound, groups, cut, included)


def stopped_parts(
    network: PrognosisNetwork, patients: PatientTensors, *, hazard_cap: float, l2_norm_bound: float
) -> list[CutPart]:
    """The same of `stopped_gradient_sum`."""
    records: list[_LayerRecord] = []

    def note(parameter: Tensor, fed: GridRows, output: Tensor) -> None:
        records.append(_LayerRecord(parameter, fed, output))

    with one_by_one(network, patients.fed, note=note):
        log_hazard_ratio = network(patients.x)
        of_ratio = len(records)
        log_hazard = network.log_hazard_of(patients.x, log_hazard_ratio).detach()
        of_network = len(records)
        of_heads = [head.log_hazard(patients.x).detach() for head in network.heads]
    layers, (baseline, *of_shapes) = records[:of_ratio], records[of_ratio:of_network]
    heads = [
        _StoppedHead(
            head.weight,
            stopped_residuals(hazard, patients.events, patients.at_risk, cap=hazard_cap),
            *records[place : place + 2],
        )
        for head, hazard, place in zip(network.heads, of_heads, range(of_network, len(records), 2), strict=True)
    ]
    residuals = stopped_residuals(log_hazard, patients.events, patients.at_risk, cap=hazard_cap)
    of_endpoints = [
        _fed_alike(layers, torch.autograd.grad(column.sum(), [layer.output for layer in layers], retain_graph=True))
        for column in log_hazard_ratio.unbind(dim=1)
    ]
    shapes = network.time_shapes
    most_of_shapes = (
        ShapeBounds() if shapes is None else ShapeBounds.of(shapes.functions, weight=shapes.weight, cap=hazard_cap)
    )
    weight = _weight(
        of_endpoints,
        cap=hazard_cap,
        baseline_weight=network.baseline.weight,
        shapes=most_of_shapes,
        of_heads=[head.squared_bound(cap=hazard_cap, baseline_weight=network.baseline.weight) for head in heads],
        l2_norm_bound=l2_norm_bound,
    )
    weighted = residuals * weight[:, None, None]
    together = row_sums(weighted.flatten(0, 1)).reshape(weighted.shape[:2])
    at_outputs = [weighted, *([] if shapes is None else [at_functions(shapes, weighted)])]
    of_ratios = [
        _weighted_sum([of[place].at_output for of in of_endpoints], together) for place in range(len(of_endpoints[0]))
    ]
    of_hazard = _fed_alike([baseline, *of_shapes], at_outputs)
    beside = [group for head in heads for group in head.weighted(weight)]
    groups = [*of_endpoints[0], *of_hazard, *beside]
    bounded = [*of_ratios, *(group.at_output for group in (*of_hazard, *beside))]
    return _enforced(l2_norm_bound, groups, bounded, patients.usable)


def _weight(
    of_endpoints: Sequence[Sequence[_FedAlike]],
    *,
    cap: float,
    baseline_weight: float,
    shapes: ShapeBounds,
    of_heads: Sequence[Tensor],
    l2_norm_bound: float,
) -> Tensor:
    """(patients,): at most 1, and such that no outcome makes the whole longer than the bound."""
    endpoints = range(len(of_endpoints))
    squared = [torch.zeros(len(of_endpoints[0][0].at_output), dtype=torch.float64) for _ in endpoints]
    for one in endpoints:
        for other in endpoints:
            inner = torch.zeros_like(squared[one])
            for group, same in zip(of_endpoints[one], of_endpoints[other], strict=True):
                inner = inner + row_sums(group.at_output * same.at_output) * group.fed.norms.square()
            squared[one] = squared[one] + inner.abs()
    most = squared_bound(torch.stack(squared, dim=1), cap=cap, baseline_weight=baseline_weight, shapes=shapes)
    for of_head in of_heads:
        most = most + of_head
    return (l2_norm_bound / root(most)).clamp(max=1.0)


def _weighted_sum(rows: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The endpoints' rows, each patient's times that patient's weight of the endpoint, one after the other."""
    total = rows[0] * weights[:, :1]
    for endpoint in range(1, len(rows)):
        total = total + rows[endpoint] * weights[:, endpoint : endpoint + 1]
    return total


def _enforced(
    l2_norm_bound: float, groups: Sequence[_FedAlike], bounded: Sequence[Tensor], included: Tensor
) -> list[CutPart]:
    """What is added: of each patient the bounded rows, if they are within the bound, else exactly nothing."""
    included = included & _within(l2_norm_bound, groups, bounded)
    for group in groups:
        included &= group.fed.fits
    excluded = torch.nonzero(~included)[:, 0]
    return [
        CutPart(group.fed.values, _without(excluded, rows), group.parameters, group.outputs)
        for group, rows in zip(groups, bounded, strict=True)
    ]


def _within(l2_norm_bound: float, groups: Sequence[_FedAlike], cut: Sequence[Tensor]) -> Tensor:
    """(patients,): whether what each would add is within the bound, as told by itself and not by how it was cut.

    In the plainest way: the sum of squares. One that overflows, or is NaN, is not within. One that underflows belongs
    to less than 1e-11 even where it meets the largest input that fits.
    """
    squares = torch.zeros(len(cut[0]), dtype=torch.float64)
    for group, rows in zip(groups, cut, strict=True):
        squares += row_sums(rows.square()) * group.fed.norms.square()
    return squares <= (l2_norm_bound * (1 + ROUNDING_OF_A_NORM)) ** 2


def _length(norms: Sequence[Tensor]) -> Tensor:
    """(patients,): of the whole, from those of its parts. Over the largest, so that no square is too large or small."""
    each = torch.stack(list(norms), dim=1)
    largest = each.amax(dim=1)
    over = torch.where(largest > 0, largest, 1.0)[:, None]
    return root(row_sums((each / over).square_())) * largest


def _without(excluded: Tensor, rows: Tensor) -> Tensor:
    """Exactly 0 in excluded rows even where they are infinite or NaN, which no factor would do."""
    return rows if len(excluded) == 0 else rows.index_fill(0, excluded, 0.0)


@dataclass(frozen=True, eq=False)
class _LayerRecord:
    """A layer's parameter, what was fed to it, and what came out, for a gradient to be taken at."""

    parameter: Tensor
    fed: GridRows
    output: Tensor


@dataclass(frozen=True, eq=False)
class _StoppedHead:
    """A comparator, stopped by its own hazard. It shares no parameter, so its part is at right angles to all else.

    residuals  (patients, endpoints, intervals).
    """

    weight: float
    residuals: Tensor
    linear: _LayerRecord
    baseline: _LayerRecord

    def squared_bound(self, *, cap: float, baseline_weight: float) -> Tensor:
        """(patients,): the most that its part's squared length can be, before the weight of the whole.

        Each endpoint has weights of its own, so its gradient at them is the head's input.
        """
        of_input = self.linear.fed.norms.square()[:, None].expand(-1, self.residuals.shape[1])
        return self.weight**2 * squared_bound(of_input, cap=cap, baseline_weight=baseline_weight)

    def weighted(self, weight: Tensor) -> list[_FedAlike]:
        """weight: (patients,), of the whole."""
        at_baseline = self.residuals * (self.weight * weight)[:, None, None]
        at_linear = row_sums(at_baseline.flatten(0, 1)).reshape(at_baseline.shape[:2])
        return _fed_alike([self.linear, self.baseline], [at_linear, at_baseline])


@dataclass(frozen=True, eq=False)
class _FedAlike:
    """Layers with one and the same input. For norms and sums they are one layer, so that the input is read once."""

    fed: GridRows
    at_output: Tensor
    parameters: list[Tensor]
    outputs: list[int]


def _fed_alike(records: Sequence[_LayerRecord], at_outputs: Sequence[Tensor]) -> list[_FedAlike]:
    found: dict[int, list[tuple[_LayerRecord, Tensor]]] = {}
    for record, at_output in zip(records, at_outputs, strict=True):
        found.setdefault(id(record.fed), []).append((record, at_output.flatten(1)))
    return [
        _FedAlike(
            fed=members[0][0].fed,
            at_output=torch.cat([at_output for _, at_output in members], dim=1),
            parameters=[record.parameter for record, _ in members],
            outputs=[at_output.shape[1] for _, at_output in members],
        )
        for members in found.values()
    ]
