"""What are patients to a model from which layers are taken away? As if these had not been measured of anybody.

Each row from itself alone and, as it goes into a sum, on the grid of `survival.one_by_one` anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from oncofed.survival.layers import Layer
from oncofed.survival.likelihood import PatientTensors


def without(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """(patients, columns), a copy: values of these layers at the reference, their missing flags set."""
    taken = x.clone()
    for layer in layers:
        taken[:, list(layer.columns)] = 0.0
        taken[:, list(layer.missing_columns)] = layer.missing_value
    return taken


def patients_without(patients: PatientTensors, layers: Sequence[Layer]) -> PatientTensors:
    """The same patients and outcomes. Who was not usable stays so, with a row of zeros for what is left."""
    if not layers:
        return patients
    taken = PatientTensors.of(without(patients.x, layers), patients.events, patients.at_risk)
    return replace(taken, usable=taken.usable & patients.usable)


def measured(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """(patients,): of whom something of each of these layers is recorded, by their missing flags."""
    found = torch.ones(len(x), dtype=torch.bool)
    for layer in layers:
        found &= (x[:, list(layer.missing_columns)] == 0).any(dim=1)
    return found
