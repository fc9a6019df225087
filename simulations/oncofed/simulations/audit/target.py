"""What is attacked? A hospital's guard, as a hospital runs it, seen through the coordinator's eyes.

The attacker is the coordinator: it chooses the weights, asks, and sees what leaves. It may know every other patient, so
that a hospital under attack holds whatever patients an attack wants it to hold. A `Target` says of what its hospitals
are made; a mutant (`mutants`) is the same target with one of these parts broken.

Mode `local`: one guard, whose releases are what the plan calls a contribution. Mode `distributed`: a guard for each
hospital of the smallest roster that may answer. The one under attack holds the patients and the others hold nobody;
the plan's colluding hospitals side with the attacker, so they add no noise. A release is the opened sum.

Training mode `full_batch` only: of the mode `epochs`, a release is no sum over patients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oncofed.client.guard.guard import Guard
from oncofed.client.patients.training import ascent_sum
from oncofed.privacy.ledger import Budget, Charge, Ledger, MemoryLedger
from oncofed.privacy.masking import Attempt, MaskedVector, content_hash_of
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.privacy.release import Release
from oncofed.privacy.releases import Local, Masked, release_of_round, release_of_summary
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.messages import ContributeRequest, SummariseRequest
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.simulations.masking_keys import simulated_masks
from oncofed.simulations.site_policy import site_policy
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]
Breaks = Callable[[], AbstractContextManager[Any]]


class Hospital(Protocol):
    """One hospital under attack, with a ledger that starts empty."""

    def release(self, weights: FloatArray) -> FloatArray:
        """(parameters,): the answer to the next question, in units of the clip norm.

        Raises RequestRefused when the guard does not answer, for instance over budget.
        """
        ...

    def release_again(self) -> FloatArray:
        """The answer to the very same question as last time, once more."""
        ...

    @property
    def charges(self) -> Sequence[Charge]:
        """What its ledger holds."""
        ...


class SilentNoise(OperatingSystemNoise):
    """Draws zeros: takes the noise off a guard, and leaves all else."""

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        """(size,), zeros."""
        return np.zeros(size, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Target:
    """plan      of a private study.
    patients  whom an attack may put into a hospital.
    reference patients of the same kind whom the attacker knows, none of them among `patients`.
    discrete  (columns,) the public value of each category or flag column when it is set; 0 for other columns.
    noise, ledger   what each new guard is given.
    broken    entered whenever a guard is made or asked; of the real target it changes nothing.
    """

    plan: StudyPlan
    patients: PatientTensors
    reference: PatientTensors
    discrete: FloatArray
    noise: Callable[[], NoiseSource] = OperatingSystemNoise
    ledger: Callable[[Budget], Ledger] = MemoryLedger
    broken: Breaks = nullcontext

    def hospital(self, patients: PatientTensors) -> GuardHospital:
        """A new hospital that holds these patients."""
        return GuardHospital(self, patients)

    @property
    def without_noise(self) -> Target:
        """The same target with its noise taken off: what it adds up, for controls and for measuring sensitivity."""
        return replace(self, noise=SilentNoise)

    @property
    def release(self) -> Release:
        """Of a round."""
        return release_of_round(self.plan)

    @property
    def is_shared(self) -> bool:
        return self.release.needs_everybody

    @property
    def sigma(self) -> float:
        """Standard deviation that the noise of a release must have, in units of the clip norm."""
        return self.noise_of(self.release)

    def noise_of(self, release: Release) -> float:
        """The same of any. Of the guaranteed shares together, which rounding up makes a little more than the plan's."""
        event = sum_event_of(release)
        return release.noise_of_sum(hospitals=event.honest_shares)

    @property
    def sensitivity(self) -> float:
        """How far one patient may move a release, in units of the clip norm."""
        return self.sensitivity_of(self.release)

    def sensitivity_of(self, release: Release) -> float:
        """The same of any."""
        event = sum_event_of(release)
        return event.integer_sensitivity / event.scale

    @property
    def mu(self) -> float:
        """All releases that the plan pays for are together as private as one Gaussian of this shift."""
        return self.mu_of_canary * self.sensitivity

    @property
    def mu_of_canary(self) -> float:
        """The same of a patient who moves each release by one clip norm, to whom rounding adds nothing."""
        return math.sqrt(self.plan.charged_rounds) / self.sigma

    def clipped_sum(self, patients: PatientTensors, weights: FloatArray) -> FloatArray:
        """What honest code adds up for these patients, without noise. Never of a mutant: the attacker's knowledge."""
        total = ascent_sum(self.plan, weights, patients)
        return total.vector / total.l2_norm_bound


def sum_event_of(release: Release) -> SharedIntegerRelease:
    """What one sum of a protected release is charged."""
    assert isinstance(release, Local | Masked), "nothing is promised of an unprotected release"
    return release.sum_event


def nobody(target: Target) -> PatientTensors:
    """No patients at all."""
    return target.patients.rows(slice(0, 0))


class GuardHospital:
    """A `Hospital` made of the project's own guards."""

    def __init__(self, target: Target, patients: PatientTensors) -> None:
        plan = target.plan
        self.target = target
        self.roster = plan.roster[: max(1, plan.smallest_roster)]
        self.site = self.roster[0]
        colluding = self.roster[len(self.roster) - plan.privacy.colluding :]
        with target.broken():
            self._guards = {self.site: self._guard(self.site, patients, target.noise())}
            for site in self.roster[1:] if target.is_shared else ():
                source = SilentNoise() if site in colluding else target.noise()
                self._guards[site] = self._guard(site, nobody(target), source)
        self._plan_hash = plan.hash
        self.asked = 0
        self._last: ContributeRequest | None = None

    def _guard(self, site: str, patients: PatientTensors, noise: NoiseSource) -> Guard:
        plan, policy = self.target.plan, site_policy(self.target.plan, site)
        return Guard(
            site=site,
            plan=plan,
            policy=policy,
            patients=lambda: patients,
            ledger=self.target.ledger(policy.budget),
            noise=noise,
            masks=simulated_masks(plan, site),
            held_out=lambda: patients,  # whatever is released, it is of the patients under attack
        )

    def release(self, weights: FloatArray) -> FloatArray:
        plan = self.target.plan
        round_ = min(self.asked + 1, plan.training.rounds)
        self._last = ContributeRequest(
            self._plan_hash, self.site, round_, self.asked + 1 - round_, self.roster, weights
        )
        answer = self.release_again()
        self.asked += 1
        return answer

    def answer(self, request: ContributeRequest) -> NDArray[Any]:
        """What leaves the hospital under attack for this question, opened or not. Raises RequestRefused."""
        with self.target.broken():
            return self._guards[self.site].contribute(request).vector

    def release_again(self) -> FloatArray:
        assert self._last is not None
        return self._opened(self.target.release, self.parts(self._last))

    def summarise(self, spec: SummarySpec, weights: FloatArray) -> FloatArray:
        """(cells,): the answer to a summary of the plan, in units of its bound. Asked again, the very same question."""
        plan = self.target.plan
        request = SummariseRequest(self._plan_hash, self.site, spec.name, 0, self.roster, weights, spec.cells)
        with self.target.broken():
            attempt = Attempt(self._plan_hash, spec.name, 0, self.roster, content_hash_of(weights))
            parts = [
                MaskedVector(site, attempt, guard.summarise(replace(request, site=site)).vector)
                for site, guard in self._guards.items()
            ]
        return self._opened(release_of_summary(plan, spec), parts)

    @staticmethod
    def _opened(release: Release, parts: list[MaskedVector]) -> FloatArray:
        (read,) = release.opened([(part.site, part.words) for part in parts], attempt=parts[0].attempt)
        return read

    def parts(self, request: ContributeRequest) -> list[MaskedVector]:
        """What leaves each hospital of the roster; in mode `local`, the one under attack."""
        content = content_hash_of(request.weights)
        attempt = Attempt(request.plan_hash, request.round, request.attempt, request.roster, content)
        with self.target.broken():
            return [
                MaskedVector(site, attempt, guard.contribute(replace(request, site=site)).vector)
                for site, guard in self._guards.items()
            ]

    @property
    def charges(self) -> Sequence[Charge]:
        return self._guards[self.site].ledger.charges()


@contextmanager
def replaced(module: object, name: str, by: object) -> Iterator[None]:
    """A function of a module is another one, for a while. For mutants: the code under attack is the project's own."""
    original = getattr(module, name)
    setattr(module, name, by)
    try:
        yield
    finally:
        setattr(module, name, original)
