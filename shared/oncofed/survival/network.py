"""Which function of a patient's markers is the log hazard ratio, and in which order do its parameters travel?

f(x) = w.x + ReLU network(x), one output an endpoint, hidden units shared. No biases anywhere in f, so the reference
patient (the zero vector of `oncofed.cohort.encoding`) has f = 0 exactly, and layer-wise relevance propagation conserves
f. The log hazard of interval k is b_k + f(x); b starts at the study's public rate and its correction is learned.

Tumours differ in when patients die of them: with one course b for all, the risks of some are wrong by a factor of two
in the first year and of another two later, while a C-index, and the calibration of all together, are right. A plan may
ask for time shapes: the log hazard is b_k + f(x) + s_k(e), s_k(e) = sum_m phi_mk u_m(e), with e the tumour entity and
phi the public functions of `survival.time_shapes`. They are 0 in the interval at their centre, so that there f is the
log hazard ratio against the reference patient exactly, and so are its explanations. u starts at zero and is learned
with the rest, with a decay of its own; f does not change with time.

A plan may also ask for comparators (`survival.comparators`): models of a few columns each, that stand beside the
network and have no part in what it says of a patient.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from oncofed.protocol.plan import ModelSpec
from oncofed.survival.categories import category_of
from oncofed.survival.comparators import Comparator
from oncofed.survival.time_shapes import TimeShapes


class BaselineHazard(nn.Module):
    """b_k: the public log hazard of the reference patient plus a learned correction, public weight times parameter."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        rates = torch.as_tensor(spec.baseline_hazard, dtype=torch.float64)
        self.public = (rates[:, None] * torch.as_tensor(spec.grid.widths)).log()
        self.weight = spec.baseline_weight
        self.correction = nn.Parameter(torch.zeros_like(self.public))

    def log_hazard(self) -> Tensor:
        """(endpoints, intervals): log cumulative hazard of the reference patient over each whole interval."""
        return self.public + self.weight * self.correction

    def forward(self, log_hazard_ratio: Tensor) -> Tensor:
        """(patients, endpoints) -> (patients, endpoints, intervals): b_k + f."""
        return self.log_hazard() + log_hazard_ratio[:, :, None]


class EntityShapes(nn.Module):
    """s_k(e): how the hazard of a tumour entity runs over time, beside what is common to all.

    coefficients  (endpoints * functions, entities); times the public weight they are u.
    """

    def __init__(self, spec: ModelSpec, shapes: TimeShapes) -> None:
        super().__init__()
        self.endpoints, self.weight = len(spec.endpoints), shapes.weight
        self.columns, self.entities = shapes.entity_columns, shapes.entities
        self.functions = torch.as_tensor(shapes.on(spec.grid))
        rows = self.endpoints * shapes.functions
        self.coefficients = nn.Parameter(torch.zeros(rows, self.entities, dtype=torch.float64))

    def entity(self, x: Tensor) -> Tensor:
        """(patients, columns) -> (patients, entities): the public weight at the patient's own, else 0."""
        entity = category_of(self.columns, x)
        return torch.zeros(len(x), self.entities, dtype=torch.float64).scatter_(1, entity[:, None], self.weight)

    def over_time(self, u: Tensor) -> Tensor:
        """(patients, endpoints * functions) -> (patients, endpoints, intervals)."""
        each = u.view(len(u), self.endpoints, len(self.functions))
        total = each[:, :, :1] * self.functions[0]
        for place in range(1, len(self.functions)):
            total = total + each[:, :, place : place + 1] * self.functions[place]
        return total

    def forward(self, entity: Tensor) -> Tensor:
        """(patients, entities), as `entity` has them -> (patients, endpoints, intervals)."""
        return self.over_time(entity @ self.coefficients.T)


class ComparatorHead(nn.Module):
    """A comparator's own b_k, and w of its own columns; w starts at zero."""

    def __init__(self, spec: ModelSpec, comparator: Comparator) -> None:
        super().__init__()
        self.weight, self.columns = comparator.weight, list(comparator.columns)
        self.baseline = BaselineHazard(spec)
        self.linear = _bias_free(len(comparator.columns), len(spec.endpoints))

    def forward(self, x: Tensor) -> Tensor:
        """(patients, columns of the model) -> (patients, endpoints): its log hazard ratio."""
        ratio: Tensor = self.linear(x[:, self.columns])
        return ratio

    def log_hazard_of(self, log_hazard_ratio: Tensor) -> Tensor:
        """(patients, endpoints) -> (patients, endpoints, intervals)."""
        hazard: Tensor = self.baseline(log_hazard_ratio)
        return hazard

    def log_hazard(self, x: Tensor) -> Tensor:
        """The same of patients."""
        return self.log_hazard_of(self(x))

    def log_baseline_hazard(self, x: Tensor) -> NDArray[np.float64]:
        """(patients, endpoints, intervals), alike for all."""
        with torch.no_grad():
            return np.asarray(self.baseline.log_hazard().expand(len(x), -1, -1).numpy(), dtype=np.float64)


class PrognosisNetwork(nn.Module):
    """Proportional-hazards network on a public time grid, in float64; hazards of one tumour entity are proportional.

    The parameters, in the order in which they travel: baseline correction (endpoints, intervals), time shapes
    (endpoints * functions, entities) and linear branch (endpoints, columns) if the spec has them, then the ReLU branch
    layer by layer, then of each comparator its baseline and its weights. `initialisation_seed` picks the first ReLU
    layers alone; linear weights start from the spec's expected ones, or at zero, as everything else does, so two seeds
    start with the same f. None leaves the branches' weights unset, for `network_with`.
    """

    def __init__(self, spec: ModelSpec, *, initialisation_seed: int | None) -> None:
        super().__init__()
        self.spec = spec
        endpoints = len(spec.endpoints)
        self.baseline = BaselineHazard(spec)
        self.time_shapes = None if spec.time_shapes is None else EntityShapes(spec, spec.time_shapes)
        self.linear_branch = _bias_free(spec.columns, endpoints) if spec.linear_branch else None
        self.relu_branch: nn.Sequential | None = None
        if spec.hidden_units:
            layers: list[nn.Module] = []
            for inputs, units in itertools.pairwise((spec.columns, *spec.hidden_units)):
                layers += [_bias_free(inputs, units), nn.ReLU()]
            self.relu_branch = nn.Sequential(*layers, _bias_free(spec.hidden_units[-1], endpoints))
        self.comparators = nn.ModuleList(ComparatorHead(spec, each) for each in spec.comparators)
        if initialisation_seed is not None:
            self._initialise(initialisation_seed)

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        linear = [layer for layer in (self.relu_branch or ()) if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            for layer in linear[:-1]:
                layer.weight.normal_(std=math.sqrt(2 / layer.in_features), generator=generator)
            of_heads = [head.linear for head in self.heads]
            for output in (*linear[-1:], self.linear_branch, *of_heads):
                if output is not None:
                    output.weight.zero_()
            if expected := self.spec.expected_weights:
                of_branch = [] if self.linear_branch is None else [(self.linear_branch, range(self.spec.columns))]
                for layer, inputs in (*of_branch, *((head.linear, head.columns) for head in self.heads)):
                    layer.weight[0] = torch.tensor([expected[column] for column in inputs], dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """Log hazard ratio against the reference patient, with time shapes at their centre.

        x        (patients, columns), float64, as `encode` returns it.
        returns  (patients, endpoints); positive is a worse prognosis.
        """
        log_hazard_ratio = torch.zeros(len(x), len(self.spec.endpoints), dtype=torch.float64)
        if self.linear_branch is not None:
            log_hazard_ratio = log_hazard_ratio + self.linear_branch(x)
        if self.relu_branch is not None:
            log_hazard_ratio = log_hazard_ratio + self.relu_branch(x)
        return log_hazard_ratio

    @property
    def heads(self) -> tuple[ComparatorHead, ...]:
        """Its comparators, in the plan's order."""
        return tuple(head for head in self.comparators if isinstance(head, ComparatorHead))

    def log_hazard(self, x: Tensor) -> Tensor:
        """(patients, endpoints, intervals): log cumulative hazard over each whole interval, b_k + f(x) + s_k(e)."""
        return self.log_hazard_of(x, self(x))

    def log_hazard_of(self, x: Tensor, log_hazard_ratio: Tensor) -> Tensor:
        """The same, with f(x) (patients, endpoints) computed before."""
        hazard: Tensor = self.baseline(log_hazard_ratio)
        return hazard if self.time_shapes is None else hazard + self.shapes_of(x)

    def shapes_of(self, x: Tensor) -> Tensor:
        """(patients, columns) -> (patients, endpoints, intervals): s_k(e), of a network that has them."""
        assert self.time_shapes is not None
        shapes: Tensor = self.time_shapes(self.time_shapes.entity(x))
        return shapes

    def log_baseline_hazard(self, x: Tensor) -> NDArray[np.float64]:
        """(patients, endpoints, intervals): b_k + s_k(e), of patients of the same tumour entity whose f is 0."""
        with torch.no_grad():
            common = self.baseline.log_hazard().expand(len(x), -1, -1)
            own = common if self.time_shapes is None else common + self.shapes_of(x)
        return np.asarray(own.numpy(), dtype=np.float64)

    @property
    def reference_log_hazard(self) -> NDArray[np.float64]:
        """(endpoints, intervals): of the reference patient."""
        found: NDArray[np.float64] = self.log_baseline_hazard(torch.zeros(1, self.spec.columns, dtype=torch.float64))[0]
        return found


class _UnsetLinear(nn.Linear):
    def reset_parameters(self) -> None:
        """Nothing: torch would fill the weights from its global generator, only for us to overwrite them."""


def _bias_free(inputs: int, outputs: int) -> nn.Linear:
    """Its weights are not set yet."""
    layer = _UnsetLinear(inputs, outputs, bias=False, dtype=torch.float64)
    # Captum and Opacus know a layer by its very class.
    layer.__class__ = nn.Linear  # type: ignore[assignment]  # the subclass adds nothing that would be lost
    return layer


def parameter_count(spec: ModelSpec) -> int:
    """Length of the vector that travels."""
    return spec.parameters


def parameter_vector(network: nn.Module) -> NDArray[np.float64]:
    """(parameters,), a copy of all parameters in their canonical order."""
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])
    return np.array(flat.numpy(), dtype=np.float64)


def load_parameter_vector(network: nn.Module, vector: NDArray[np.float64]) -> None:
    """Set all parameters from `parameter_vector`'s order. Raises ValueError for any other length."""
    expected = sum(parameter.numel() for parameter in network.parameters())
    if vector.shape != (expected,):
        raise ValueError(f"the network has {expected} parameters, the vector has shape {vector.shape}")
    offset = 0
    with torch.no_grad():
        for parameter in network.parameters():
            values = torch.as_tensor(np.array(vector[offset : offset + parameter.numel()]))
            parameter.copy_(values.view_as(parameter))
            offset += parameter.numel()


def network_with(spec: ModelSpec, vector: NDArray[np.float64]) -> PrognosisNetwork:
    """A network with the given parameters."""
    network = PrognosisNetwork(spec, initialisation_seed=None)
    load_parameter_vector(network, vector)
    return network
