"""Why is this patient's log hazard ratio what it is, marker by marker?

Layer-wise relevance propagation (Bach et al., PLoS ONE 2015) with Captum, against the reference patient whose log
hazard ratio is 0. The linear branch is explained exactly (weight times input); the ReLU branch, which has no biases, by
the epsilon rule, which conserves its output. The two branches are explained apart, because Captum counts double when it
is given them as one module (`../shared/design.md`, decision 10). Encoded columns fold back to their markers; the flags
of a modality that is missing as a whole are a row of their own.

Everything here stays in the hospital.
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LRP
from numpy.typing import NDArray
from torch import Tensor

from oncofed.cohort.encoding import Column
from oncofed.survival.network import PrognosisNetwork

PATIENTS_AT_ONCE = 4096


def column_relevance(network: PrognosisNetwork, x: Tensor, *, endpoint: int) -> NDArray[np.float64]:
    """Each input's part of the log hazard ratio.

    x        (patients, columns), float64.
    returns  (patients, columns); each row sums to the log hazard ratio of `endpoint` (to 1e-7 of its parts).
    """
    relevance = np.zeros(tuple(x.shape))
    for start in range(0, len(x), PATIENTS_AT_ONCE):
        rows = slice(start, start + PATIENTS_AT_ONCE)
        relevance[rows] = _relevance(network, x[rows], endpoint)
    return relevance


def _relevance(network: PrognosisNetwork, x: Tensor, endpoint: int) -> NDArray[np.float64]:
    total = torch.zeros_like(x)
    if network.linear_branch is not None:
        total = total + x * network.linear_branch.weight[endpoint].detach()
    if network.relu_branch is not None and len(x) > 0:
        total = (
            total + LRP(network.relu_branch).attribute(x.detach().clone().requires_grad_(), target=endpoint).detach()
        )
    return np.asarray(total.numpy(), dtype=np.float64)


def fold_to_markers(
    relevance: NDArray[np.float64], columns: tuple[Column, ...]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Add up the columns of each marker: its values, its categories and its missing flag.

    returns  names in order of first appearance, and (patients, names); row sums are unchanged.
    """
    names = tuple(dict.fromkeys(column.source for column in columns))
    place = {name: index for index, name in enumerate(names)}
    folded = np.zeros((len(relevance), len(names)))
    for index, column in enumerate(columns):
        folded[:, place[column.source]] += relevance[:, index]
    return names, folded
