"""Which weights and which patients does a hostile coordinator, or an auditor, make up?

Weights travel as one vector in the network's canonical order; a hostile coordinator chooses all of them and nothing
else. Canaries are patients whose gradients are as long as a clip allows and point into directions of their own.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.protocol.plan import ModelSpec
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, parameter_vector

FloatArray = NDArray[np.float64]

_FAR_OUT = 1e3
"""A canary's input: far beyond any patient's, so that nothing but the clip bounds its gradient."""


def first_weights(spec: ModelSpec, *, seed: int = 0) -> FloatArray:
    """Those with which training begins."""
    return parameter_vector(PrognosisNetwork(spec, initialisation_seed=seed))


def weights_of(
    spec: ModelSpec,
    *,
    linear: FloatArray | None = None,
    hidden: FloatArray | None = None,
    output: FloatArray | None = None,
) -> FloatArray:
    """(parameters,): zero but for these.

    linear  (endpoints, columns).
    hidden  (first ReLU layer's units, columns). Deeper layers add up all its units in their own first unit.
    output  (endpoints, units of the last ReLU layer).
    """
    network = PrognosisNetwork(spec, initialisation_seed=None)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        if linear is not None and network.linear_branch is not None:
            network.linear_branch.weight.copy_(torch.as_tensor(linear))
        layers = [layer for layer in (network.relu_branch or ()) if isinstance(layer, torch.nn.Linear)]
        if layers and hidden is not None:
            layers[0].weight.copy_(torch.as_tensor(hidden))
            for deeper in layers[1:-1]:
                deeper.weight[0] = 1.0
        if layers and output is not None:
            layers[-1].weight.copy_(torch.as_tensor(output))
    return parameter_vector(network)


def relu_gradients(spec: ModelSpec, vector: FloatArray) -> FloatArray:
    """(units, columns): a release's part that belongs to the first ReLU layer."""
    start = spec.ratio_begins + (len(spec.endpoints) * spec.columns if spec.linear_branch else 0)
    units = spec.hidden_units[0]
    return vector[start : start + units * spec.columns].reshape(units, spec.columns)


def canaries(spec: ModelSpec) -> tuple[PatientTensors, FloatArray]:
    """Made-up patients, and weights at which their gradients are at right angles to each other (almost).

    One for each column and endpoint: that input alone is far out, and that endpoint has an event at once. At these
    weights the network is flat, so the gradient lies in the linear branch; without one, in the first ReLU unit's.
    """
    endpoints, intervals = len(spec.endpoints), spec.grid.intervals
    count = endpoints * spec.columns
    x = np.zeros((count, spec.columns))
    events, at_risk = np.zeros((count, endpoints, intervals)), np.zeros((count, endpoints, intervals))
    rows = np.arange(count)
    x[rows, rows % spec.columns] = _FAR_OUT
    events[rows, rows // spec.columns, 0] = 1.0
    at_risk[rows, rows // spec.columns, 0] = 0.01
    patients = PatientTensors.of(torch.as_tensor(x), torch.as_tensor(events), torch.as_tensor(at_risk))
    if spec.linear_branch:
        return patients, weights_of(spec)
    # Firing for all, and f next to 0 for all: 1e-9 times 1e3, while the gradient at the unit is the input times 1.
    hidden = np.zeros((spec.hidden_units[0], spec.columns))
    hidden[0] = 1e-9
    output = np.zeros((endpoints, spec.hidden_units[-1]))
    output[:, 0] = 1.0
    few = patients.rows(slice(0, spec.columns))
    return few, weights_of(spec, hidden=hidden, output=output)
