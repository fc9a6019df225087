"""What does a trained model say of patients, and how is it kept?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from oncofed.cohort.encoding import encode
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.lab.arguments import a_path, came, instance, maybe, plain, refuse_wrong, several, word, writing
from oncofed.simulations.lab.other_network import BITS, OWN_BITS, OtherNetwork, copied
from oncofed.simulations.lab.patients import PATIENTS, Patients, same_schema
from oncofed.simulations.model_file import read_model, write_model
from oncofed.simulations.predicted import predicted_risk, predicted_survival
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.network import PrognosisNetwork, network_with

COLUMNS = "lab_columns"
"""In the metadata of another network's file: how many columns it takes."""


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained network. What it says of patients is in the order of their rows; identifiers are never repeated.

    network   the project's own, or another one in its frame.
    spec      the project's own network, or the one in whose place another stands.
    metadata  what is kept with it: the plan as JSON, its hash and the schema's.
    """

    network: PrognosisNetwork | OtherNetwork
    spec: ModelSpec
    metadata: Mapping[str, str]

    @property
    def bits(self) -> str:
        """Whether the bound on a patient's part holds to the last bit, in words."""
        return OWN_BITS if isinstance(self.network, PrognosisNetwork) else BITS

    def log_hazard_ratio(self, patients: Patients, *, endpoint: str | None = None) -> FloatArray:
        """(patients,), against the reference patient of the schema; positive is a worse prognosis.

        Of a model with time shapes, around two years (`spec.time_shapes.centre`); before and after, an entity's differ.

        endpoint  its name; None is the first.
        raises    InvalidInput for an unknown endpoint, and for patients of another schema.
        """
        refuse_wrong(patients=(patients, PATIENTS), endpoint=(endpoint, maybe(self.an_endpoint)))
        return self._ratios(self.encoded(patients))[:, self.place_of(endpoint)]

    def predict_risk(self, patients: Patients, *, at: float, endpoint: str | None = None) -> FloatArray:
        """(patients,), the probability of having had the event by the time `at`, in the schema's unit.

        Of an endpoint that competes with others, with these counted: its cumulative incidence.

        raises  InvalidInput for a time beyond the last interval bound, and as `log_hazard_ratio`.
        """
        refuse_wrong(patients=(patients, PATIENTS), at=(at, self.a_time), endpoint=(endpoint, maybe(self.an_endpoint)))
        ratios, baseline = self._predicted(patients)
        return predicted_risk(at, ratios, baseline, schema=patients.cohort.schema, endpoint=self.place_of(endpoint))

    def survival(self, patients: Patients, times: Sequence[float], *, endpoint: str | None = None) -> pd.DataFrame:
        """Probability of not having had the event: one row a patient, one column a time in the schema's unit.

        Of an endpoint that competes with others, whatever came first.

        raises  as `predict_risk`.
        """
        some_times = several(self.a_time, words="a list of times", remedy="Write [24] for one.")
        refuse_wrong(
            patients=(patients, PATIENTS), times=(times, some_times), endpoint=(endpoint, maybe(self.an_endpoint))
        )
        asked, place = np.asarray(times, dtype=np.float64), self.place_of(endpoint)
        ratios, baseline = self._predicted(patients)
        curves = predicted_survival(ratios, baseline, schema=patients.cohort.schema, endpoint=place, times=asked)
        return pd.DataFrame(curves, columns=pd.Index(asked, name=self.spec.grid.unit))

    def save(self, path: Path | str) -> None:
        """As one safetensors file, for `load_model`. A model of mode none is to be kept as its patients are."""
        with writing(path):
            write_model(Path(path), self.network, self.metadata)

    def place_of(self, endpoint: str | None) -> int:
        """The endpoint's number. Raises InvalidInput."""
        refuse_wrong(endpoint=(endpoint, maybe(self.an_endpoint)))
        return 0 if endpoint is None else self.spec.endpoints.index(endpoint)

    def an_endpoint(self, where: str, value: Any) -> list[Fault]:
        """The kind of argument that is an endpoint of this model."""
        return word(*self.spec.endpoints)(where, value)

    def a_time(self, where: str, value: Any) -> list[Fault]:
        """The kind of argument that is a time of which this model says something."""
        grid, time = self.spec.grid, plain(value)
        remedy = f"Give a number of {grid.unit}, such as {grid.bounds[1]:g}."
        if not isinstance(time, int | float) or isinstance(time, bool):
            return [Fault(where, f"is {came(value)}, not a time", remedy)]
        if not 0 <= time <= grid.bounds[-1]:
            what = f"must lie between 0 and {grid.bounds[-1]:g} {grid.unit}, the last interval bound"
            return [Fault(where, what, "The model says nothing of other times.")]
        return []

    def encoded(self, patients: Patients) -> Tensor:
        """(patients, columns). Raises InvalidInput for patients of another schema."""
        refuse_wrong(patients=(patients, PATIENTS))
        same_schema(self.metadata["schema_hash"], patients=patients)
        return torch.as_tensor(encode(patients.cohort))

    def _ratios(self, x: Tensor) -> FloatArray:
        with torch.no_grad():
            return np.asarray(self.network(x).numpy(), dtype=np.float64)

    def _predicted(self, patients: Patients) -> tuple[FloatArray, FloatArray]:
        """(patients, endpoints), log hazard ratios, and (patients, endpoints, intervals), baselines."""
        x = self.encoded(patients)
        return self._ratios(x), self.network.log_baseline_hazard(x)

    def __repr__(self) -> str:
        own = isinstance(self.network, PrognosisNetwork)
        kind = "the project's own network" if own else type(self.network.network).__name__
        return f"<model of {', '.join(self.spec.endpoints)}: {kind}>"


MODEL = instance(Model, words="a model", remedy="Give the `model` of a run, or what of.load_model returns.")
_MODULE = instance(nn.Module, words="a network", remedy="Give a torch.nn.Module of the kind that was trained.")


def load_model(path: Path | str, *, network: nn.Module | None = None) -> Model:
    """What `Model.save` has written, or the `model.safetensors` of a run of `oncofed simulate`.

    network  for the model of a network of one's own: one of the same kind, whose weights are replaced in a copy.
    raises   InvalidInput for another file, or a network that does not fit.

    >>> import oncofed.lab as of
    >>> of.load_model("no_such_file.safetensors")
    Traceback (most recent call last):
    oncofed.errors.InvalidInput: 1 fault
      - no_such_file.safetensors: the file does not exist. Check the path.
    """
    refuse_wrong(path=(path, a_path), network=(network, maybe(_MODULE)))
    path = Path(path)
    saved = read_model(path)
    columns = saved.metadata.get(COLUMNS)
    if (columns is None) != (network is None):
        what = "holds the project's own network" if columns is None else "holds a network of somebody's own"
        remedy = "Leave `network` out." if columns is None else "Give one of the same kind as `network`."
        raise InvalidInput([Fault(path.name, what, remedy)])
    if network is None:
        return Model(network_with(saved.spec, saved.vector), saved.spec, saved.metadata)
    assert columns is not None
    spec = replace(saved.spec, columns=int(columns))
    other = OtherNetwork(copied(network), spec)
    try:
        other.load_state_dict(dict(saved.weights))
    except RuntimeError:
        raise InvalidInput([Fault("network", f"does not fit the weights of {path.name}", "Build it alike.")]) from None
    return Model(other, spec, saved.metadata)
