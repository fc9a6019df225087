"""Is what a plan releases after its last round (held-out counts, votes for markers) bounded, noised and charged?

For each summary of the plan: it is asked for once and once more; differences of two hospitals that hold the same
patients show its noise; and with the noise taken off, single patients are left out, outliers among them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.privacy.releases import release_of_summary
from oncofed.privacy.shared_noise import CLIP_ROUNDING
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.simulations.audit.crafted import first_weights
from oncofed.simulations.audit.noise_scale import noticed_scale, scale_of
from oncofed.simulations.audit.sensitivity import crowd_with_outliers, several_weights
from oncofed.simulations.audit.target import Target
from oncofed.simulations.audit.verdict import BY_CHANCE, NOTICED, Outcome, Power, Verdict, not_applicable
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

SUMMARIES = "summaries"

_PATIENTS = 15


@dataclass(frozen=True)
class _Found:
    """Of one summary. ratio, low, high: its noise over the plan's, with the interval. largest: move by one patient."""

    name: str
    draws: int
    ratio: float
    low: float
    high: float
    largest: float
    charged: float
    charge_faults: tuple[str, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        noise = () if self.low <= 1 <= self.high else (f"its noise is {self.ratio:.3f} times the plan's",)
        move = (
            ()
            if self.largest <= self.charged * (1 + CLIP_ROUNDING)
            else (f"one patient moves it by {self.largest:.3g}",)
        )
        return tuple(f"{self.name}: {fault}" for fault in (*noise, *move, *self.charge_faults))


def summaries(target: Target, rng: np.random.Generator, *, draws: int, patients: int, left_out: int) -> Verdict:
    """Fails when one is not charged, has other noise than the plan's (by BY_CHANCE), or moves too far by one patient.

    draws  numbers with noise to look at, at least. patients, left_out  as in `sensitivity`.
    """
    if not target.plan.summaries:
        return not_applicable(SUMMARIES, "the plan releases nothing beside its rounds and its model")
    found = [
        _found(target, spec, rng, draws=draws, patients=patients, left_out=left_out) for spec in target.plan.summaries
    ]
    faults = [fault for each in found for fault in each.faults]
    reached = all(each.largest > 0.5 * each.charged for each in found)
    told = [
        f"{each.name}: {each.ratio:.4f} times the plan's noise ({each.low:.4f} to {each.high:.4f}), one patient moves "
        f"it by {each.largest:.6g} at most"
        for each in found
    ]
    return Verdict(
        SUMMARIES,
        Outcome.FAILED if faults else Outcome.PASSED if reached else Outcome.NO_POWER,
        "; ".join(told) + "".join(f"; {fault}" for fault in faults),
        f"each is charged once; the interval of its noise at 1 - {BY_CHANCE:g} holds 1; no patient moves it further "
        "than the ledger charges for, to a part in 100,000",
        Power(
            f"noise of {min(noticed_scale(each.draws) for each in found):.3f} times the plan's in any of them; a "
            "release that is not charged; a patient above the bound, at what was tried",
            NOTICED,
        ),
        {f"{name} of {each.name}": getattr(each, name) for each in found for name in ("ratio", "largest", "charged")},
    )


def _found(
    target: Target, spec: SummarySpec, rng: np.random.Generator, *, draws: int, patients: int, left_out: int
) -> _Found:
    rows = rng.permutation(len(target.patients))
    some = target.patients.rows(torch.as_tensor(rows[:_PATIENTS]))
    release = release_of_summary(target.plan, spec)
    noise = _differences(target, spec, some, pairs=math.ceil(draws / spec.cells)) / target.noise_of(release)
    ratio, low, high = scale_of(noise)
    everybody = target.patients.rows(torch.as_tensor(rows[:patients]))
    return _Found(
        name=spec.name,
        draws=noise.size,
        ratio=ratio,
        low=low,
        high=high,
        largest=_largest_move(target, spec, everybody, rng, left_out=left_out),
        charged=target.sensitivity_of(release),
        charge_faults=_charge_faults(target, spec, some),
    )


def _differences(target: Target, spec: SummarySpec, patients: PatientTensors, *, pairs: int) -> FloatArray:
    """(pairs, cells): of two hospitals, over the square root of 2. A summary is asked for once of each."""
    weights = first_weights(target.plan.model)
    made = [[target.hospital(patients).summarise(spec, weights) for _ in range(2)] for _ in range(pairs)]
    return np.asarray(np.stack([one - other for one, other in made]) / np.sqrt(2))


def _largest_move(
    target: Target, spec: SummarySpec, patients: PatientTensors, rng: np.random.Generator, *, left_out: int
) -> float:
    silent, largest = target.without_noise, 0.0
    for weights in several_weights(target, rng):
        crowd, outliers = crowd_with_outliers(patients, weights=weights, target=target)
        total = silent.hospital(crowd).summarise(spec, weights)
        for row in [*range(outliers), *rng.integers(outliers, len(crowd), left_out)]:
            others = crowd.rows(torch.arange(len(crowd)) != int(row))
            moved = total - silent.hospital(others).summarise(spec, weights)
            largest = max(largest, float(np.linalg.norm(moved)))
    return largest


def _charge_faults(target: Target, spec: SummarySpec, patients: PatientTensors) -> tuple[str, ...]:
    """The first of several questions may be charged by a ledger that forgets some, so a round is asked for before."""
    weights, hospital = first_weights(target.plan.model), target.hospital(patients)
    hospital.release(weights)
    before = len(hospital.charges)
    first, again = (hospital.summarise(spec, weights) for _ in range(2))
    events, due = [charge.event for charge in hospital.charges[before:]], release_of_summary(target.plan, spec).event
    return (
        *(() if events == [due] else (f"{len(events)} charges, or of something else",)),
        *(() if np.array_equal(first, again) else ("the same question is answered anew",)),
    )
