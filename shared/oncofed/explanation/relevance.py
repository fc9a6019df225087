"""Why is this patient's log hazard ratio what it is, marker by marker?

Relevances are log hazard ratios against the reference patient of `oncofed.cohort.encoding`, whose own is 0: every
marker measured and at its public centre or reference category. They add up to the patient's log hazard ratio. The
linear branch is explained exactly (weight times input), the ReLU branch by layer-wise relevance propagation (Bach et
al., PLoS ONE 2015) with the rule that docs/explanations.md measured to be the most faithful. Encoded columns fold back
to their markers. Being unmeasured is information: a marker's missing flag belongs to the marker, and the flag of a
modality that is missing as a whole is a row of its own.

A network of one hidden layer, as studies have, is explained in closed form (`explanation.rules`); any other by
Captum's LRP with the epsilon rule, which is also what the tests hold the closed form against. The two branches are
given to it apart, because Captum counts double when it is given them as one module. Memory is bounded by the batch.

Everything here stays in the hospital.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.cohort.encoding import Column
from oncofed.explanation.marker_columns import MarkerColumns
from oncofed.explanation.rules import Rule, hidden_layer_of, relevance_of_columns
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]

PATIENTS_AT_ONCE = 256
"""Few enough that the intermediate matrices of a study's columns stay in a processor's cache."""
DEFAULT_RULE = Rule.AVERAGED


def column_relevance(
    network: PrognosisNetwork, x: Tensor, *, endpoint: int, rule: Rule = DEFAULT_RULE
) -> NDArray[np.float64]:
    """Each input's part of the log hazard ratio.

    x        (patients, columns), float64.
    rule     for networks of one hidden layer; deeper ones have the epsilon rule.
    returns  (patients, columns); each row sums to the log hazard ratio of `endpoint` (to 1e-7 of its parts).
    """
    relevance = np.zeros(tuple(x.shape))
    for rows in _batches(len(x)):
        relevance[rows] = _relevance(network, x[rows], endpoint=endpoint, rule=rule).numpy()
    return relevance


def marker_relevance(
    network: PrognosisNetwork,
    x: Tensor,
    columns: tuple[Column, ...],
    *,
    endpoint: int,
    rule: Rule = DEFAULT_RULE,
) -> tuple[tuple[str, ...], FloatArray]:
    """Each marker's part of the log hazard ratio: `column_relevance`, folded batch by batch.

    columns  of the schema, as many as x has.
    returns  names in order of first appearance, and (patients, names).
    """
    names, by_marker = _by_marker(columns)
    relevance = np.empty((len(x), len(names)))
    for rows in _batches(len(x)):
        by_marker.into(relevance[rows], _relevance(network, x[rows], endpoint=endpoint, rule=rule).numpy())
    return names, relevance


def captum_relevance(network: PrognosisNetwork, x: Tensor, *, endpoint: int) -> Tensor:
    """(patients, columns): the epsilon rule by Captum's LRP, for a ReLU branch of any depth."""
    from captum.attr import LRP  # noqa: PLC0415 - only deeper networks than studies have need it

    total = torch.zeros_like(x)
    if network.linear_branch is not None:
        total = total + x * network.linear_branch.weight[endpoint].detach()
    if network.relu_branch is not None and len(x) > 0:
        of_branch = LRP(network.relu_branch).attribute(x.detach().clone().requires_grad_(), target=endpoint)
        total = total + of_branch.detach()
    return total


def _relevance(network: PrognosisNetwork, x: Tensor, *, endpoint: int, rule: Rule) -> Tensor:
    if network.relu_branch is not None and hidden_layer_of(network) is None:
        return captum_relevance(network, x, endpoint=endpoint)
    return relevance_of_columns(network, x, endpoint=endpoint, rule=rule)


def _batches(patients: int) -> Iterator[slice]:
    for start in range(0, patients, PATIENTS_AT_ONCE):
        yield slice(start, start + PATIENTS_AT_ONCE)


def fold_to_markers(relevance: FloatArray, columns: tuple[Column, ...]) -> tuple[tuple[str, ...], FloatArray]:
    """Add up the columns of each marker: its values, its categories and its missing flag.

    returns  names in order of first appearance, and (patients, names); row sums are unchanged.
    """
    names, by_marker = _by_marker(columns)
    return names, by_marker.sums(relevance)


@lru_cache(maxsize=4)  # a thousand simulated hospitals have the same columns
def _by_marker(columns: tuple[Column, ...]) -> tuple[tuple[str, ...], MarkerColumns]:
    names = tuple(dict.fromkeys(column.source for column in columns))
    place = {name: index for index, name in enumerate(names)}
    return names, MarkerColumns.of([place[column.source] for column in columns], markers=len(names))
