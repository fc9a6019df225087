"""What is each layer of data worth to a trained model, on patients who were set aside, and who are they?

Only patients of whom something of every compared layer is recorded can be compared. They are selected: who is sent to
sequencing is younger, fitter or sicker than others (measured by indication). So it is told how many they are, and how
they differ from the others who were set aside. Nothing of it is privately released.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.simulations.evaluation import Prognosis
from oncofed.simulations.results import LayersCompared, SomePatients
from oncofed.survival.encoded_patients import encoded_patients
from oncofed.survival.layer_values import gains_of_each, layer_values
from oncofed.survival.layers import Layer
from oncofed.survival.unmeasured import measured, without

FloatArray = NDArray[np.float64]


def compared_layers(
    network: Prognosis,
    layers: Sequence[Layer],
    test: Cohort,
    *,
    trained_for: Sequence[Layer],
    rng: np.random.Generator,
) -> dict[str, LayersCompared]:
    """By endpoint; empty where nobody has all layers. trained_for: those that rounds took away."""
    encoded = encoded_patients(test)
    x = torch.as_tensor(encoded.x)
    has_all = measured(x, layers).numpy()
    if not layers or not has_all.any():
        return {}
    counts = {each.name: int(measured(x, [each]).sum()) for each in layers}
    always = _log_hazard(network, without(x, layers))
    found = {}
    for index, endpoint in enumerate(test.schema.endpoints):
        gains = gains_by_layers(network, layers, test.subset(np.flatnonzero(has_all)), index)
        ratio = always[:, index].mean(axis=1)
        compared, others = (_group(test, index, rows, ratio - ratio.mean()) for rows in (has_all, ~has_all))
        values = layer_values(gains, [each.name for each in layers], rng=rng)
        found[endpoint.name] = LayersCompared(values, counts, compared, others, set(layers) <= set(trained_for))
    return found


def gains_by_layers(network: Prognosis, layers: Sequence[Layer], patients: Cohort, endpoint: int) -> FloatArray:
    """(patients, 2^M), as `survival.layer_values.gains_of_each` has them."""
    encoded = encoded_patients(patients)
    x = torch.as_tensor(encoded.x)

    def log_hazard_of(kept: tuple[int, ...]) -> FloatArray:
        taken = [layer for number, layer in enumerate(layers) if number not in kept]
        hazard: FloatArray = _log_hazard(network, without(x, taken))[:, endpoint]
        return hazard

    return gains_of_each(log_hazard_of, encoded.events[:, endpoint], encoded.at_risk[:, endpoint], layers=len(layers))


def _log_hazard(network: Prognosis, x: torch.Tensor) -> FloatArray:
    """(patients, endpoints, intervals): log cumulative hazards over whole intervals."""
    with torch.no_grad():
        ratio = np.asarray(network(x).numpy())
    hazard: FloatArray = network.log_baseline_hazard(x) + ratio[:, :, None]
    return hazard


def _group(test: Cohort, endpoint: int, rows: NDArray[np.bool_], ratio: FloatArray) -> SomePatients:
    events = int(test.observed[rows, endpoint].sum())
    followed = float((test.exit - test.entry)[rows, endpoint].sum())
    return SomePatients(
        patients=int(rows.sum()),
        events=events,
        rate=100 * events / followed if followed else math.nan,
        log_hazard_ratio=float(ratio[rows].mean()) if rows.any() else math.nan,
    )
