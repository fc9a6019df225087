"""What does a network say when only some of a patient's markers are known, and the rest stand at the reference?

A player is what is known or unknown as a whole: a marker with all its columns, or the flag of a modality that is
missing as a whole. Because nothing before the first ReLU is more than a sum, f of many nested sets of players comes
from one cumulative sum over what each player adds to the first layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from oncofed.cohort.encoding import Column
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Players:
    """names     the players, in the order of the schema's columns.
    inflow    (patients, players, units + 1): what each adds to each unit of the first layer, and last to w.x.
    upper     what follows the first layer; None for a linear model.
    endpoint  the output that is asked for.
    """

    names: tuple[str, ...]
    inflow: Tensor
    upper: nn.Sequential | None
    endpoint: int

    @staticmethod
    def of(network: PrognosisNetwork, x: Tensor, columns: tuple[Column, ...], *, endpoint: int) -> Players:
        names = tuple(dict.fromkeys(column.source for column in columns))
        place = {name: index for index, name in enumerate(names)}
        gather = torch.zeros(len(columns), len(names), dtype=torch.float64)
        for index, column in enumerate(columns):
            gather[index, place[column.source]] = 1.0
        rows: list[Tensor] = []
        upper: nn.Sequential | None = None
        if network.relu_branch is not None:
            first = network.relu_branch[0]
            assert isinstance(first, nn.Linear)
            rows.append(first.weight.detach())
            upper = nn.Sequential(*list(network.relu_branch)[1:])
        linear = network.linear_branch
        rows.append(torch.zeros(1, x.shape[1], dtype=x.dtype) if linear is None else linear.weight[[endpoint]].detach())
        inflow = torch.stack([(x * row) @ gather for row in torch.cat(rows)], dim=2)
        return Players(names, inflow, upper, endpoint)

    def log_hazard_ratio(self, sums: Tensor) -> Tensor:
        """(..., units + 1) -> (...): f from what reached the first layer."""
        if self.upper is None:
            return sums[..., -1]
        with torch.no_grad():
            found: Tensor = self.upper(sums[..., :-1])[..., self.endpoint] + sums[..., -1]
        return found

    def inserted(self, order: IntArray) -> FloatArray:
        """(patients, players + 1): f with the first k of `order` (patients, players) known, k = 0, 1, ..."""
        index = torch.as_tensor(order)[:, :, None].expand(-1, -1, self.inflow.shape[2])
        known = torch.gather(self.inflow, 1, index).cumsum(dim=1)
        return np.asarray(self.log_hazard_ratio(_with_nothing(known)).numpy())

    def deleted(self, order: IntArray) -> FloatArray:
        """(patients, players + 1): f with the first k of `order` unknown, k = 0, 1, ..."""
        index = torch.as_tensor(order)[:, :, None].expand(-1, -1, self.inflow.shape[2])
        gone = _with_nothing(torch.gather(self.inflow, 1, index).cumsum(dim=1))
        return np.asarray(self.log_hazard_ratio(gone[:, -1:] - gone).numpy())


def _with_nothing(sums: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)


def sampled_shapley(players: Players, *, orders: int, rng: np.random.Generator) -> FloatArray:
    """(patients, players): mean gain of each player over random orders, each order of its own for every patient.

    The orders come in pairs, each with its reverse, which halves the variance of what is nearly additive.
    """
    patients, count, _ = players.inflow.shape
    total = np.zeros((patients, count))
    for _ in range(orders // 2):
        order = rng.permuted(np.tile(np.arange(count), (patients, 1)), axis=1)
        for each in (order, order[:, ::-1].copy()):
            gains = np.diff(players.inserted(each), axis=1)
            np.put_along_axis(total, each, np.take_along_axis(total, each, axis=1) + gains, axis=1)
    return total / (2 * (orders // 2))
