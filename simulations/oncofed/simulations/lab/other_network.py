"""How does somebody else's network train privately? Per-patient gradients by Opacus, all else as for our own network.

Any `torch.nn.Module` that maps (patients, columns) to log hazard ratios, one a patient or one for each endpoint. Each
patient's gradient is formed, cut to the clip norm, and measured once more after the cut; a patient whose numbers
are not finite adds exactly nothing. The sum then goes the way of every sum: charged, rounded, noised in whole steps,
masked where noise is shared (`client.guard.guard`, `privacy.releases`).

What does *not* hold: matrix products of other networks are not exact (`survival.one_by_one` says what that is about),
so the last bits of what one patient adds may depend on who else is in the batch. That is why no hospital's guard runs
such a network, and why `BITS` is said of every result.

A plan describes our own network only. Of another one it says how many numbers travel, as if they were the weights of a
linear model with so many columns (`described`).

Refused before training (`refuse_unfit`, on made-up inputs): what Opacus cannot take, outputs that depend on other
patients of the batch or on chance, and layers whose per-patient gradients Opacus gets wrong or misses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from oncofed.client.guard.guard import Guard
from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.mechanism import ROUNDING_OF_A_NORM
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.ranges import range_of
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.likelihood import PatientTensors, negative_log_likelihood
from oncofed.survival.network import BaselineHazard, load_parameter_vector, parameter_vector

OWN_BITS = "What one patient adds is bounded to the last bit: this is the project's own network."
BITS = (
    "Each patient's gradient was formed by Opacus and cut in floating point. Bounds that hold to the last bit are "
    "promised for the project's own network only, and no hospital's guard runs another one."
)

NUMBERS_AT_ONCE = 4_000_000
"""A gradient is formed for each patient, so this bounds memory: 32 MB."""

_PROBES = 6
_MOVED = 0.05
"""Standard deviation of what is added to the weights for the second look."""
_ALIKE = 1e-6
"""Of a number's size: what other networks may differ by where they should not differ at all."""


@dataclass(frozen=True, eq=False)
class ReferencePatient:
    """Whose log hazard ratio is 0."""

    of: Tensor

    def log_hazard(self) -> Tensor:
        """(endpoints, intervals), log cumulative hazard over each whole interval."""
        return self.of


class OtherNetwork(nn.Module):
    """A network in float64 beside a baseline hazard that is learned with it. spec: of our own in its place.

    Calling it gives log hazard ratios against the reference patient, who is the zero vector: the network's output less
    its output there. `baseline` carries what was taken off.
    """

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.endpoints, self.columns = len(spec.endpoints), spec.columns
        self.correction = BaselineHazard(spec)
        self.network = deepcopy(network).double().train()  # always, so that what is measured is what was trained

    def outputs(self, x: Tensor) -> Tensor:
        """(patients, columns) -> (patients, endpoints)."""
        return shaped(self.network(x), patients=len(x), endpoints=self.endpoints)

    def forward(self, x: Tensor) -> Tensor:
        """(patients, columns) -> (patients, endpoints); positive is a worse prognosis."""
        return self.outputs(x) - self._at_reference()

    def _at_reference(self) -> Tensor:
        return self.outputs(torch.zeros(1, self.columns, dtype=torch.float64))

    @property
    def baseline(self) -> ReferencePatient:
        return ReferencePatient(self.correction.log_hazard() + self._at_reference().T)

    def log_baseline_hazard(self, x: Tensor) -> FloatArray:
        """(patients, columns) -> (patients, endpoints, intervals): the same of everybody."""
        with torch.no_grad():
            of_reference = self.baseline.log_hazard()
        return np.asarray(of_reference.expand(len(x), -1, -1).numpy(), dtype=np.float64)

    @property
    def trained(self) -> list[nn.Parameter]:
        """Those that travel, the baseline's correction first. Frozen ones stay as they are."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def shaped(output: Any, *, patients: int, endpoints: int) -> Tensor:
    """(patients, endpoints). Raises InvalidInput for any other output."""
    if isinstance(output, Tensor) and output.shape == (patients,) and endpoints == 1:
        return output[:, None]
    if isinstance(output, Tensor) and output.shape == (patients, endpoints):
        return output
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    what = f"returns {found} for {patients} patients, where ({patients}, {endpoints}) is needed"
    raise InvalidInput([Fault("network", what, "Return one log hazard ratio a patient for each endpoint.")])


def described(network: nn.Module, like: ModelSpec) -> ModelSpec:
    """How many numbers of it travel, in a plan's terms: a few zeros are added where they do not come out even."""
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return ModelSpec(
        columns=max(1, math.ceil(trained / len(like.endpoints))),
        endpoints=like.endpoints,
        grid=like.grid,
        baseline_hazard=like.baseline_hazard,
        hidden_units=(),
        baseline_weight=like.baseline_weight,
        linear_branch=True,
    )


class _Trained(nn.Module):
    """The parameters that travel, as if they were all of a network's."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__()
        self.each = nn.ParameterList(parameters)


def vector_of(network: OtherNetwork, spec: ModelSpec) -> FloatArray:
    """(parameters,) of the plan: the trained ones, and zeros up to its length."""
    found = parameter_vector(_Trained(network.trained))
    return np.concatenate([found, np.zeros(spec.parameters - len(found))])


def load_vector(network: OtherNetwork, vector: FloatArray) -> None:
    """The other way."""
    trained = _Trained(network.trained)
    load_parameter_vector(trained, vector[: sum(parameter.numel() for parameter in trained.parameters())])


class PatientGradients:
    """Sums of cut per-patient gradients of one network, at whichever weights."""

    def __init__(self, network: OtherNetwork) -> None:
        from opacus import GradSampleModule  # noqa: PLC0415 - only where such a network is trained

        self._network = deepcopy(network)  # Opacus hangs itself to each layer
        self._watched = GradSampleModule(self._network.network, batch_first=True, loss_reduction="sum")

    def ascent_sum(self, plan: StudyPlan, weights: FloatArray, patients: PatientTensors) -> BoundedSum:
        """As `patients.training.ascent_sum`: the clipped sum uphill, with NO noise yet."""
        bound = math.inf if plan.privacy.l2_norm_bound is None else plan.privacy.l2_norm_bound
        load_vector(self._network, weights)
        total = np.zeros(plan.model.parameters)
        at_once = max(1, NUMBERS_AT_ONCE // len(total))
        for start in range(0, len(patients), at_once):
            rows = self.cut(patients.rows(slice(start, start + at_once)), l2_norm_bound=bound)
            total[: rows.shape[1]] -= rows.sum(dim=0).numpy()
        return BoundedSum(total, bound)

    def cut(self, patients: PatientTensors, *, l2_norm_bound: float) -> Tensor:
        """(patients, trained parameters): each patient's gradient, at most the bound long; zeros where not finite."""
        rows, losses = self.gradients(patients)
        usable = patients.usable & torch.isfinite(losses) & torch.isfinite(rows).all(dim=1)
        rows = torch.where(usable[:, None], rows, 0.0)
        rows = rows * (l2_norm_bound / torch.linalg.vector_norm(rows, dim=1)).clamp(max=1.0)[:, None]
        within = rows.square().sum(dim=1) <= (l2_norm_bound * (1 + ROUNDING_OF_A_NORM)) ** 2
        return torch.where(within[:, None], rows, 0.0)

    def gradients(self, patients: PatientTensors) -> tuple[Tensor, Tensor]:
        """(patients, trained parameters), (patients,): of each patient's loss, and the losses."""
        correction = self._network.correction
        output = shaped(
            self._watched(patients.x.detach().clone().requires_grad_()),
            patients=len(patients),
            endpoints=self._network.endpoints,
        )
        log_hazard = correction(output).detach().requires_grad_()
        losses = negative_log_likelihood(log_hazard, patients.events, patients.at_risk)
        (at_log_hazard,) = torch.autograd.grad(losses.sum(), log_hazard)
        for parameter in self._network.trained:
            parameter.grad_sample = None  # type: ignore[attr-defined]  # Opacus keeps it there
        torch.autograd.backward(output, at_log_hazard.sum(dim=2))
        parts = [(at_log_hazard * correction.weight).flatten(1)]
        for parameter in self._network.trained[1:]:
            sample = getattr(parameter, "grad_sample", None)
            parts.append(torch.zeros(len(patients), parameter.numel()) if sample is None else sample.flatten(1))
            parameter.grad = parameter.grad_sample = None  # type: ignore[attr-defined]  # as above
        return torch.cat([part.detach().double() for part in parts], dim=1), losses.detach()


class OtherGuard(Guard):
    """A simulated hospital's guard that computes another network's sums. Only here: no hospital has one.

    failures  the kinds of exception that made it send noise alone.
    """

    def __init__(self, *, gradients: PatientGradients, failures: list[str], **of_guard: Any) -> None:
        super().__init__(**of_guard)
        self._gradients, self._failures = gradients, failures

    def _round_sum(self, request: ContributeRequest, patients: PatientTensors) -> BoundedSum:
        try:
            return self._gradients.ascent_sum(self.plan, request.weights, patients)
        except Exception as error:
            self._failures.append(type(error).__name__)  # its text may quote a patient
            raise


def copied(network: nn.Module) -> nn.Module:
    """Another one like it, so that the reader's own is not changed. Raises InvalidInput where there can be none."""
    if any(is_lazy(each) for each in (*network.parameters(), *network.buffers())):
        what, remedy = "has a lazy layer without a size", "Call it once on (1, columns) numbers, or give sizes."
        raise InvalidInput([Fault("network", what, remedy)])
    try:
        return deepcopy(network)
    except Exception as error:  # whatever an attribute of somebody's module raises
        what = f"cannot be copied ({type(error).__name__})"
        remedy = "Keep generators, open files and computed tensors out of its attributes."
        raise InvalidInput([Fault("network", what, remedy)]) from None


def refuse_unfit(network: nn.Module, *, spec: ModelSpec) -> None:
    """Raises InvalidInput with every reason why the network cannot be trained here. spec: of our own in its place."""
    faults = [*_faults_of_layers(network), *_faults_of_size(described(network, spec))]
    if not faults:
        faults = _faults_of_behaviour(OtherNetwork(network, spec), spec)
    if faults:
        raise InvalidInput(faults)


def _faults_of_size(spec: ModelSpec) -> Iterator[Fault]:
    within = range_of(ModelSpec, "columns")
    if spec.columns not in within:
        yield Fault("network", f"has more than {within.most:,.0f} trained parameters", "Make it smaller.")


def _faults_of_layers(network: nn.Module) -> Iterator[Fault]:
    from opacus.validators import ModuleValidator  # noqa: PLC0415 - as above

    if not any(parameter.requires_grad for parameter in network.parameters()):
        yield Fault("network", "has no parameter to train", "Set requires_grad where it is to learn.")
    for error in ModuleValidator.validate(deepcopy(network).train(), strict=False):
        first = str(error).strip().splitlines()[0]
        yield Fault("network", f"holds a layer that Opacus refuses ({first})", "Replace it, or see ModuleValidator.")


def _faults_of_behaviour(network: OtherNetwork, spec: ModelSpec) -> list[Fault]:
    """Tried on numbers that are no patients, at the first weights and at others: a first weight of 0 hides a layer."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(_PROBES, spec.columns, generator=generator, dtype=torch.float64)
    if faults := list(_faults_at_these_weights(network, x, spec)):
        return faults
    with torch.no_grad():
        for parameter in network.trained:
            parameter.add_(_MOVED * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return list(_faults_at_these_weights(network, x, spec))


def _faults_at_these_weights(network: OtherNetwork, x: Tensor, spec: ModelSpec) -> Iterator[Fault]:
    try:
        together = network.outputs(x).detach()
        again = network.outputs(x).detach()
        alone = torch.cat([network.outputs(x[row : row + 1]).detach() for row in range(_PROBES)])
    except InvalidInput as unfit:
        yield from unfit.faults
        return
    except Exception as error:
        what = f"fails on (patients, {spec.columns}) in float64 with {type(error).__name__}: {error}"
        yield Fault("network", what, "It must take encoded columns, one row a patient.")
        return
    if not torch.isfinite(together).all():
        yield Fault("network", "gives numbers that are not finite", "Check its first weights.")
    elif not _alike(together, again):
        yield Fault("network", "gives another answer when asked again", "Leave out dropout and other chance.")
    elif not _alike(together, alone):
        what = "gives a patient another answer when other patients are in the batch"
        yield Fault("network", what, "Compute each row by itself: no norms or sums over the batch.")
    elif not _gradients_fit(network, x, spec):
        what = "has a layer whose per-patient gradients Opacus does not get right"
        yield Fault("network", what, "Use layers by calling them, and such as Opacus knows.")


def _gradients_fit(network: OtherNetwork, x: Tensor, spec: ModelSpec) -> bool:
    """Each row against torch's own gradient for that row alone."""
    shape = (len(x), network.endpoints, spec.grid.intervals)
    patients = PatientTensors.of(x, torch.zeros(shape, dtype=torch.float64), torch.ones(shape, dtype=torch.float64))
    try:
        found, _ = PatientGradients(network).gradients(patients)
    except Exception:  # whatever Opacus or torch raise: the layer is not for them
        return False
    for row in range(len(x)):
        log_hazard = network.correction(network.outputs(patients.x[row : row + 1]))
        loss = negative_log_likelihood(log_hazard, patients.events[row : row + 1], patients.at_risk[row : row + 1])
        each = torch.autograd.grad(loss.sum(), network.trained, allow_unused=True)
        expected = torch.cat(
            [
                torch.zeros(parameter.numel()).double() if one is None else one.reshape(-1)
                for one, parameter in zip(each, network.trained, strict=True)
            ]
        )
        if not _alike(found[row], expected):
            return False
    return True


def _alike(one: Tensor, other: Tensor) -> bool:
    return bool(((one - other).abs() <= _ALIKE * (1 + other.abs())).all())
