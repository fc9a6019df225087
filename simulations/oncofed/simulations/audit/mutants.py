"""What would be wrong, if one defence were missing? The real target with exactly one thing broken.

`MUTANTS` are the defects that the audit is measured by: a check that passes all of them is worth nothing. Each is the
project's own guard but for one part, which is replaced as it is made or for as long as it answers.

The table of mutants against checks: python -m oncofed.simulations.audit.mutant_table
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard import sum_masks
from oncofed.client.guard.guard import Guard
from oncofed.client.guard.public_times import PublicTimes
from oncofed.client.patients import training
from oncofed.client.patients.summaries import Kinds, bounded_sum
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.privacy import mechanism, policy
from oncofed.privacy.accounting import PrivacyEvent
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.ledger import Budget, Charge, MemoryLedger
from oncofed.privacy.masking import Attempt, MaskedVector, MaskingPairs, masked
from oncofed.privacy.mechanism import clipped_gradient_sum
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.privacy.release import Release
from oncofed.privacy.releases import Local, release_of_round, release_of_summary
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.simulations.audit.pair_streams import peers_of, without_pair
from oncofed.simulations.audit.target import SilentNoise, Target, replaced, sum_event_of
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]

BOTH = (PrivacyMode.LOCAL, PrivacyMode.DISTRIBUTED)


@dataclass(frozen=True)
class Mutant:
    """defect  what is broken, in words. modes  of plans that have the part at all."""

    name: str
    defect: str
    modes: tuple[PrivacyMode, ...]
    of: Callable[[Target], Target]


def mutants_of(mode: PrivacyMode, *, with_summaries: bool = False) -> dict[str, Mutant]:
    """By name, those that a target of this mode can have. with_summaries: whether its plan has any."""
    possible = (*MUTANTS, *(SUMMARY_MUTANTS if with_summaries else ()))
    return {mutant.name: mutant for mutant in possible if mode in mutant.modes}


class HalfNoise(OperatingSystemNoise):
    """Half the standard deviation."""

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        return super().discrete_gaussian(size, standard_deviation=standard_deviation // 2)


class TorchNoise(OperatingSystemNoise):
    """torch's global generator, which anybody in the process may seed."""

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        drawn = torch.randn(size, dtype=torch.float64) * standard_deviation
        return np.asarray(drawn.round().to(torch.int64).numpy())


class RestartedNoise(OperatingSystemNoise):
    """A seed of its own, which each new guard begins with."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(0)

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        return np.rint(self._generator.normal(scale=standard_deviation, size=size)).astype(np.int64)


class ReusedShares(OperatingSystemNoise):
    """One share, drawn once and given again for each release."""

    def __init__(self) -> None:
        self._share: NDArray[np.int64] | None = None

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        if self._share is None:
            self._share = super().discrete_gaussian(size, standard_deviation=standard_deviation)
        return self._share


class ForgetfulLedger(MemoryLedger):
    """Charges every other release."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._asked = 0

    def charge(self, charge: Charge) -> None:
        self._asked += 1
        if self._asked % 2:
            super().charge(charge)


def cox_partial_likelihood(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """(patients,): each one's term of the negative log partial likelihood (Breslow), summed over endpoints.

    Each term holds all patients still at risk, and so the cut terms do not bound what one patient moves.
    """
    log_hazard_ratio = network.log_hazard(patients.x)[:, :, 0]
    intervals = torch.arange(patients.at_risk.shape[2], dtype=torch.float64)
    exit_ = torch.where(patients.at_risk > 0, intervals + patients.at_risk, 0.0).amax(dim=2)
    terms = torch.zeros(len(patients), dtype=torch.float64)
    for endpoint in range(log_hazard_ratio.shape[1]):
        latest_first = torch.argsort(exit_[:, endpoint], descending=True)
        f = log_hazard_ratio[:, endpoint]
        over_risk_set = torch.empty_like(f)
        over_risk_set[latest_first] = torch.logcumsumexp(f[latest_first], dim=0)
        terms = terms + patients.events[:, endpoint].sum(dim=1) * (over_risk_set - f)
    return terms


def _unclipped(network: PrognosisNetwork, patients: PatientTensors, *, l2_norm_bound: float) -> BoundedSum:
    return BoundedSum(clipped_gradient_sum(network, patients, l2_norm_bound=float("inf")).vector, l2_norm_bound)


def _cox(network: PrognosisNetwork, patients: PatientTensors, *, l2_norm_bound: float) -> BoundedSum:
    return clipped_gradient_sum(network, patients, l2_norm_bound=l2_norm_bound, losses=cox_partial_likelihood)


_answer_to_a_charge = Guard._whatever_fails  # a defect must come after the guard's own check of the form


def _mean(guard: Guard, request: Any, work: Any, patients: PatientTensors) -> FloatArray:
    vector, scale = _answer_to_a_charge(guard, request, work, patients), sum_event_of(work.release).scale
    return np.rint(vector * scale / max(1, len(patients))) / scale


def _charge_without_rounding(identity: str, request_hash: str, event: PrivacyEvent) -> Charge:
    # As if one number were rounded: the square root of the parameters is what rounding costs.
    free = replace(event, parameters=1) if isinstance(event, SharedIntegerRelease) else event
    return Charge(identity, request_hash, free)


def _one_stream_missing(
    vector: NDArray[np.int64], *, pairs: MaskingPairs, attempt: Attempt, largest_entry: int
) -> MaskedVector:
    honest = masked(vector, pairs=pairs, attempt=attempt, largest_entry=largest_entry)
    first, keys = attempt.roster[0], pairs.public_keys
    second = min(peers_of(first, attempt=attempt, keys=keys, neighbours=pairs.graph.neighbours))
    if pairs.own not in (first, second):
        return honest
    peer = second if pairs.own == first else first
    words = without_pair(honest.words, own=pairs.own, peer=peer, secret=pairs.secret(peer), attempt=attempt, keys=keys)
    return MaskedVector(pairs.own, attempt, words)


def _summed_twice(
    plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors, *, kinds: Kinds
) -> BoundedSum:
    honest = bounded_sum(plan, spec, weights, patients, kinds=kinds)
    return honest + honest


class _Floats(Local):
    """Noise in floats on a sum in floats, as a first version had it."""

    def noised(self, total: BoundedSum, noise: NoiseSource) -> FloatArray:
        scale = self.sum_event.noise_multiplier
        return total.vector / self.l2_norm_bound + scale * np.random.default_rng().standard_normal(self.numbers)

    def fault_of(self, vector: NDArray[Any]) -> str:
        return ""


def _round_in_floats(plan: StudyPlan) -> Release:
    honest = release_of_round(plan)
    assert isinstance(honest, Local)
    return _Floats(honest.sum_event, honest.l2_norm_bound, honest.largest_patients)


def _any_number(plan: StudyPlan) -> list[str]:
    return []


_load_and_charge = Guard._charged_patients


def _few_only(guard: Guard, request: Any, charge: Charge, work: Any) -> PatientTensors:
    if len(work.load()) > _FEW:
        raise RequestRefused(RefusalCode.NOT_READY)
    return _load_and_charge(guard, request, charge, work)


_FEW = 20


def _telling(guard: Guard, request: Any, work: Any, patients: PatientTensors) -> NDArray[Any]:
    return np.asarray(work.of(patients, guard._noise))


def _at_once(times: PublicTimes) -> float:
    return times._clock()


def _left_in(excluded: Tensor, rows: Tensor) -> Tensor:
    return rows


class _Silent(Local):
    def noised_integers(self, total: BoundedSum, noise: NoiseSource) -> NDArray[np.int64]:
        return super().noised_integers(total, SilentNoise())


def _summary_without_noise(plan: StudyPlan, spec: SummarySpec) -> Release:
    honest = release_of_summary(plan, spec)
    assert isinstance(honest, Local)
    return _Silent(honest.sum_event, honest.l2_norm_bound, honest.largest_patients)


def _while_answering(module: object, name: str, by: object) -> Callable[[Target], Target]:
    def enter() -> AbstractContextManager[Any]:
        return replaced(module, name, by)

    return lambda target: replace(target, broken=enter)


_LOCAL, _SHARED = (PrivacyMode.LOCAL,), (PrivacyMode.DISTRIBUTED,)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "no noise",
        "nothing is added to the sum",
        BOTH,
        lambda target: replace(target, noise=SilentNoise),
    ),
    Mutant(
        "half noise",
        "the noise has half its standard deviation",
        BOTH,
        lambda target: replace(target, noise=HalfNoise),
    ),
    Mutant(
        "float noise",
        "a float is drawn and added to the sum of floats",
        _LOCAL,
        _while_answering(guard_module, "release_of_round", _round_in_floats),
    ),
    Mutant(
        "odd patients left in",
        "a patient whose numbers are no numbers is added all the same",
        BOTH,
        _while_answering(mechanism, "_without", _left_in),
    ),
    Mutant(
        "any constant",
        "a policy looks at no range of a public constant",
        BOTH,
        _while_answering(policy, "_objections_to_constants", _any_number),
    ),
    Mutant(
        "refused by size",
        "a hospital of many patients refuses when it is asked",
        BOTH,
        _while_answering(Guard, "_charged_patients", _few_only),
    ),
    Mutant(
        "failures told",
        "a computation that fails after its charge is answered with a code",
        BOTH,
        _while_answering(Guard, "_whatever_fails", _telling),
    ),
    Mutant(
        "answers at once",
        "an installed guard lets an answer go as soon as it is computed",
        BOTH,
        _while_answering(PublicTimes, "_wait", _at_once),
    ),
    Mutant(
        "no clip",
        "a patient's gradient is added in full, and the noise scaled to the clip norm",
        BOTH,
        _while_answering(training, "clipped_gradient_sum", _unclipped),
    ),
    Mutant(
        "seeded noise",
        "the noise comes from torch's global generator",
        _LOCAL,
        lambda target: replace(target, noise=TorchNoise),
    ),
    Mutant(
        "restarted noise",
        "each restart of a guard begins the same stream of noise again",
        _LOCAL,
        lambda target: replace(target, noise=RestartedNoise),
    ),
    Mutant(
        "reused shares",
        "a hospital's share of the noise is drawn once and used in each release",
        _SHARED,
        lambda target: replace(target, noise=ReusedShares),
    ),
    Mutant(
        "uncharged rounds",
        "the ledger forgets every other release",
        BOTH,
        lambda target: replace(target, ledger=ForgetfulLedger),
    ),
    Mutant(
        "Cox loss",
        "the terms of the Cox partial likelihood are clipped, each of which holds other patients",
        BOTH,
        _while_answering(training, "clipped_gradient_sum", _cox),
    ),
    Mutant(
        "mean for sum",
        "the noised sum is divided by the number of patients",
        _LOCAL,
        _while_answering(Guard, "_whatever_fails", _mean),
    ),
    Mutant(
        "a mask left out",
        "the first hospital of a roster and the first that it masks with leave that out",
        _SHARED,
        _while_answering(sum_masks, "masked", _one_stream_missing),
    ),
    Mutant(
        "rounding for free",
        "the ledger charges the sensitivity without what rounding adds",
        _SHARED,
        _while_answering(guard_module, "Charge", _charge_without_rounding),
    ),
)

SUMMARY_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "summary without noise",
        "what is released after the last round gets no noise; the rounds get theirs",
        _LOCAL,
        _while_answering(guard_module, "release_of_summary", _summary_without_noise),
    ),
    Mutant(
        "patients counted twice",
        "each patient is added to a summary twice",
        BOTH,
        _while_answering(guard_module, "bounded_sum", _summed_twice),
    ),
)
"""Of targets whose plan has summaries."""
