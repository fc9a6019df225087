"""How does the relevance of one marker change with the other: which pairs of markers does the model let interact?

The quantity: the Shapley interaction of two markers in the log hazard ratio of one patient, that is the mixed second
difference
    f(S with i and j) - f(S with i) - f(S with j) + f(S),
averaged over the subsets S of the patient's other markers that are known, all else standing at the reference patient.
It is 0 for two markers that the model merely adds up, whatever their effects. For the network of a study it has the
closed form of `explanation.rules`: sum over units of v * kappa * c_i * c_j, a marker's columns taken together.

For each pair, over the patients of one table,
    strength  root mean square of it, a log hazard ratio, as "sd of contribution" is for a true pair;
    slope     its regression through 0 on the product of the two standardised values: positive where the pair together
              is worse than the sum of both.

All 61,075 pairs of 350 markers and 15,726 patients take seconds, and memory for a few matrices of markers by markers.
Whether the patients' outcomes bear a pair out is asked by `explanation.interaction_evidence`.

Source: Grabisch, Roubens, Int. J. Game Theory 28 (1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.cohort.encoding import Column
from oncofed.explanation.marker_columns import MarkerColumns
from oncofed.explanation.rules import PLAIN, Products, curvature, hidden_layer_of, unit_sums
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]

PATIENTS_AT_ONCE = 16
"""Each needs a matrix of markers by markers."""


@dataclass(frozen=True, eq=False)
class ModelInteractions:
    """names     markers, in the order of the rows and columns of the rest.
    strength  (markers, markers), symmetric, not negative, log hazard ratio; the diagonal is 0 and no pair.
    slope     (markers, markers), symmetric, log hazard ratio per product of the two `values`.
    """

    names: tuple[str, ...]
    strength: FloatArray
    slope: FloatArray


def model_interactions(
    network: PrognosisNetwork,
    x: Tensor,
    columns: tuple[Column, ...],
    *,
    names: tuple[str, ...],
    values: FloatArray,
    endpoint: int,
) -> ModelInteractions:
    """Strength and slope of every pair of `names`.

    x        (patients, columns), as `encode` returns it.
    names    markers; modalities whose flag is a row of its own may be left out, and then count as context alone.
    values   (patients, names): what a slope is per; see `marker_values`.

    Raises ValueError for a network of more than one hidden layer, which has no closed form.
    """
    if network.relu_branch is not None and hidden_layer_of(network) is None:
        raise ValueError("interactions have a closed form for one hidden layer only")
    markers = len(names)
    squared, along = np.zeros((markers, markers)), np.zeros((markers, markers))
    layer = hidden_layer_of(network)
    if layer is not None:
        units, outputs = layer
        by_marker = _columns_of(names, columns)
        for start in range(0, len(x), PATIENTS_AT_ONCE):
            rows = slice(start, start + PATIENTS_AT_ONCE)
            found = patient_interactions(units, outputs[endpoint], x[rows], by_marker)
            products = torch.tensor(values[rows])
            squared += found.square().sum(dim=0).numpy()
            along += torch.einsum("pij,pi,pj->ij", found, products, products).numpy()
    spread = np.square(values).T @ np.square(values)
    slope = np.divide((along + along.T) / 2, spread, out=np.zeros_like(along), where=spread > 0)
    strength = np.sqrt((squared + squared.T) / (2 * max(len(x), 1)))
    for matrix in (strength, slope):
        np.fill_diagonal(matrix, 0.0)
    return ModelInteractions(names, strength, slope)


def patient_interactions(
    units: Tensor, output: Tensor, x: Tensor, by_marker: MarkerColumns, *, products: Products = PLAIN
) -> Tensor:
    """(patients, markers, markers): the interaction of every pair in every patient; the diagonal means nothing.

    units, output  (units, columns) and (units,): weights of the hidden layer, and of one endpoint's output.
    """
    kappa = curvature(*unit_sums(units, x, products=products))
    contributions = torch.as_tensor(by_marker.sums((x[:, None, :] * units).numpy()))  # (patients, units, markers)
    weighted = contributions * (kappa * output)[:, :, None]
    return products.inner(weighted, contributions)


def _columns_of(names: tuple[str, ...], columns: tuple[Column, ...]) -> MarkerColumns:
    place = {name: index for index, name in enumerate(names)}
    return MarkerColumns.of([place.get(column.source, len(names)) for column in columns], markers=len(names))


def ranked_pairs(strength: FloatArray) -> list[tuple[int, int]]:
    """All pairs i < j, strongest first."""
    first, second = np.triu_indices(len(strength), k=1)
    order = np.argsort(-strength[first, second], kind="stable")
    return list(zip(first[order].tolist(), second[order].tolist(), strict=True))
