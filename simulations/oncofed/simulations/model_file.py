"""How is the model of a simulation kept? As safetensors, with its plan and the hashes of plan and schema as metadata.

Nobody signs it, unlike the model that a consortium's hospitals receive (`protocol.model_file`).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save

from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content
from oncofed.protocol.plan import ModelSpec, StudyPlan
from oncofed.survival.comparators import Comparator
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.grid import TimeGrid
from oncofed.survival.layers import Layer
from oncofed.survival.time_shapes import TimeShapes

_Part = TypeVar("_Part", Comparator, Layer)


@dataclass(frozen=True, eq=False)
class SavedModel:
    """weights  by the network's own names. metadata: as it was written; `plan` in it is JSON."""

    weights: Mapping[str, torch.Tensor]
    metadata: Mapping[str, str]

    @property
    def plan(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.metadata["plan"])
        return found

    @property
    def spec(self) -> ModelSpec:
        """Raises InvalidInput when another version of the program wrote it."""
        try:
            found = self.plan["model"]
            read = {
                "endpoints": tuple(found["endpoints"]),
                "grid": TimeGrid(tuple(found["grid"]["bounds"]), found["grid"]["unit"]),
                "baseline_hazard": tuple(found["baseline_hazard"]),
                "hidden_units": tuple(found["hidden_units"]),
                "time_shapes": None if found["time_shapes"] is None else _time_shapes(found["time_shapes"]),
                "comparators": tuple(_with_columns(Comparator, each) for each in found.get("comparators", ())),
                "expected_weights": tuple(found.get("expected_weights", ())),
                "entity_levels": _entity_levels(found.get("entity_levels")),
                "layers": tuple(_with_columns(Layer, each) for each in found.get("layers", ())),
            }
            found = {**found, **read}
            return ModelSpec(**{field.name: found[field.name] for field in fields(ModelSpec)})
        except (KeyError, TypeError, ValueError):
            raise InvalidInput([Fault("the model", "is of another version of oncofed", "Train it again.")]) from None

    @property
    def vector(self) -> NDArray[np.float64]:
        """(parameters,), of the project's own network in the order in which they travel. Raises InvalidInput."""
        first = ("baseline.correction", "time_shapes.coefficients", "linear_branch.weight")
        order = [name for name in first if name in self.weights]
        branch = [name for name in self.weights if re.fullmatch(r"relu_branch\.\d+\.weight", name)]
        order += sorted(branch, key=lambda name: int(name.split(".")[1]))
        for place in range(len(self.spec.comparators)):
            order += [f"comparators.{place}.baseline.correction", f"comparators.{place}.linear.weight"]
        there = [name for name in order if name in self.weights]
        found = np.concatenate([np.zeros(0), *(self.weights[name].numpy().ravel() for name in there)])
        if set(order) != set(self.weights) or len(found) != self.spec.parameters:
            raise InvalidInput([Fault("the model", "has other weights than its plan says", "Train it again.")])
        return found


def _time_shapes(found: Mapping[str, Any]) -> TimeShapes:
    read = {"entity_columns": tuple(found["entity_columns"])}
    return TimeShapes(**{field.name: found[field.name] for field in fields(TimeShapes)} | read)


def _entity_levels(found: Mapping[str, Any] | None) -> EntityLevels | None:
    return None if found is None else EntityLevels(tuple(found["entity_columns"]), found["encoded"])


def _with_columns(kind: type[_Part], found: Mapping[str, Any]) -> _Part:
    read = {name: tuple(found[name]) for name in ("columns", "missing_columns")}
    return kind(**{field.name: found[field.name] for field in fields(kind)} | read)


def metadata_of(plan: StudyPlan, more: Mapping[str, str]) -> dict[str, str]:
    """What stands beside the weights. more: beside the plan's."""
    return {
        "oncofed": importlib.metadata.version("oncofed"),
        "plan": json.dumps(plan.content),
        "plan_hash": plan.hash,
        "schema_hash": plan.schema_hash,
        **more,
    }


def write_model(path: Path, network: torch.nn.Module, metadata: Mapping[str, str]) -> None:
    """Whole or not at all. Raises OSError."""
    weights = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    content = save(weights, metadata=dict(metadata))
    beside = Path(f"{path}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except BaseException:  # a full disk needs the bytes that it took
        beside.unlink(missing_ok=True)
        raise


def read_model(path: Path) -> SavedModel:
    """Raises InvalidInput for a file that `write_model` has not written."""
    content = file_content(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
        weights = load(content)
    except (OSError, safetensors.SafetensorError):
        raise InvalidInput([Fault(path.name, "is not a model", "Name a model.safetensors of a run.")]) from None
    if not {"plan", "plan_hash", "schema_hash"} <= set(metadata):
        raise InvalidInput([Fault(path.name, "is no model of a simulation", "Name a model.safetensors of a run.")])
    return SavedModel(weights, metadata)
