"""What does a federation do when the hospitals' answers are known in closed form? The null twin of a guard.

Hospital i has no patients: its log likelihood is -|w - optimum_i|^2 / 2, with an optimum drawn from its number. So a
test knows where every strategy must go, and a benchmark measures the federation and not the training.

    full_batch   the gradient, optimum - w
    epochs       w + local_learning_rate * (optimum - w): one step of local ascent
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from oncofed.client.guard.desk import Desk, unsigned_desk
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.messages import ContributeRequest, Contribution, SummariseRequest
from oncofed.protocol.plan import StudyPlan, TrainingMode
from oncofed.simulations.engines.node_directory import partition_of


def optimum_of(partition: int, *, parameters: int) -> NDArray[np.float64]:
    """(parameters,) standard normal numbers that depend on the hospital's place in the roster alone."""
    return np.random.default_rng(partition).normal(size=parameters)


@lru_cache(maxsize=8)
def _hash_of(plan: StudyPlan) -> str:
    return plan.hash


@dataclass(frozen=True)
class ParabolaHospital:
    """A guard without data, noise or memory. Refuses requests of another plan and for another site."""

    plan: StudyPlan
    partition: int

    def contribute(self, request: ContributeRequest) -> Contribution:
        """The gradient, or the weights after one local step."""
        if request.plan_hash != _hash_of(self.plan):
            raise RequestRefused(RefusalCode.WRONG_PLAN)
        if request.site != self.plan.roster[self.partition]:
            raise RequestRefused(RefusalCode.WRONG_SITE)
        gradient = optimum_of(self.partition, parameters=request.weights.size) - request.weights
        if self.plan.training.mode is TrainingMode.FULL_BATCH:
            return Contribution(gradient)
        return Contribution(request.weights + self.plan.training.local_learning_rate * gradient)

    def summarise(self, request: SummariseRequest) -> Contribution:
        """Refused: it has no patients."""
        raise RequestRefused(RefusalCode.ROUND_OUT_OF_RANGE)


@dataclass(frozen=True)
class ConnectToParabola:
    """Finds the hospital of a simulated node. A value, so that it can travel to another process."""

    plan: StudyPlan

    def __call__(self, context: Context) -> Desk:
        """The hospital whose place in the roster is the node's partition."""
        return unsigned_desk(ParabolaHospital(self.plan, partition_of(context)))
