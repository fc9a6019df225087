"""How does a simulated hospital poison a training, and how does a server bound what arrives?

Everything else is the real guard's: requests, ledger, masks, answers. A poisoned hospital owns its machine, so it adds
no noise of its own: nothing makes it, and mode `distributed` counts it among the colluding. What it sends goes through
the same rounding and the same masks, so that the server can see no difference but in the numbers.

A bound on the length of a contribution is the server's; here it is laid on as the contribution leaves the simulated
hospital, poisoned or not, which gives the same numbers. It needs a contribution that can be looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.guard.guard import Guard
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.noise import NoNoise
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import StudyPlan
from oncofed.simulations.robustness.attacks import Attack, Known
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NormBound:
    """A contribution that is longer is shortened to the bound (Sun et al., arXiv:1911.07963, 2019).

    patients  the bound of a contribution without noise, in clip norms: a public guess. Where hospitals add noise, the
              length that noise has on average is allowed for.
    """

    patients: float

    def of(self, plan: StudyPlan) -> float:
        """In clip norms: the root of the sum of squares of both lengths."""
        release = release_of_round(plan)
        return math.hypot(self.patients, release.noise_of_sum(hospitals=1) * math.sqrt(release.numbers))

    def shortened(self, contribution: FloatArray, plan: StudyPlan) -> FloatArray:
        """(numbers,), in whole steps of the plan, so that admission takes it for an honest one."""
        length, bound = float(np.linalg.norm(contribution)), self.of(plan)
        if length <= bound:
            return contribution
        steps = 2.0**plan.privacy.scale_bits
        return np.trunc(contribution * (bound / length) * steps) / steps + 0.0  # no zero keeps a sign


@dataclass(eq=False)
class Coalition:
    """The poisoned hospitals of one training, who show each other all. guards: by name, as they are made."""

    attack: Attack
    guards: dict[str, PoisonedGuard] = field(default_factory=dict)
    _round: tuple[int, dict[str, BoundedSum]] = (0, {})

    def sums(self, request: ContributeRequest) -> dict[str, BoundedSum]:
        """What each of them would have sent in this round, by name, sorted."""
        if self._round[0] != request.round:
            self._round = request.round, {name: self.guards[name].own_sum(request) for name in sorted(self.guards)}
        return self._round[1]


class BoundingGuard(Guard):
    """An honest hospital, under the server's bound. norm_bound: None for no bound."""

    def __init__(self, *, norm_bound: NormBound | None, **of_guard: Any) -> None:
        super().__init__(**of_guard)
        self._norm_bound = norm_bound

    def contribute(self, request: ContributeRequest) -> Contribution:
        """As the server's bound leaves it."""
        contribution = super().contribute(request)
        if self._norm_bound is None:
            return contribution
        return Contribution(self._norm_bound.shortened(contribution.vector, self.plan))


class PoisonedGuard(BoundingGuard):
    """A hospital whose owner poisons the training. Only here: no hospital has one."""

    def __init__(self, *, coalition: Coalition, **of_guard: Any) -> None:
        super().__init__(**of_guard)
        self._coalition = coalition
        self._noise = NoNoise(seed=0)
        coalition.guards[self.site] = self

    def own_sum(self, request: ContributeRequest) -> BoundedSum:
        """What an honest hospital with the same patients would send, before its noise."""
        return super()._round_sum(request, self._patients())

    def _round_sum(self, request: ContributeRequest, patients: PatientTensors) -> BoundedSum:
        sums, release = self._coalition.sums(request), release_of_round(self.plan)
        own = sums[self.site]
        known = Known(
            own=own.vector,
            together=np.stack([each.vector for each in sums.values()]),
            hospitals=len(self.plan.roster),
            noise=release.noise_of_sum(hospitals=1) * own.l2_norm_bound if release.is_protected else 0.0,
        )
        return BoundedSum(self._coalition.attack.sent(known), own.l2_norm_bound)
