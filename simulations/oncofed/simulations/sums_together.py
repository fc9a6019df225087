"""How do many small hospitals compute their sums of a round by one call of the network?

A network of a thousand hospitals of 16 patients each is called a thousand times a round, and each call costs the same
whether it is about 16 patients or 1,000. What one patient adds is the same bits whoever else is asked about
(`survival.one_by_one`), so here the patients of many hospitals are asked about at once, and each hospital then adds up
its own, by the very operations, on copies laid out in memory as its own would be. So each sum is the hospital's own to
the last bit (tests/privacy/test_sums_together.py holds it against that).

For simulations only. Sums are made when the first hospital of a batch is asked, so of some before they are charged; no
hospital's answer leaves before its charge, as ever. Held at a time: the sums of one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.client.guard.guard import Guard
from oncofed.client.patients.calibration_sums import bounded_rows, in_a_rounds_units
from oncofed.client.patients.entity_sums import bounded_entity_rows
from oncofed.client.patients.training import seen_in_round
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.mechanism import PATIENTS_AT_ONCE, CutPart, cut_parts, stopped_parts, summed
from oncofed.protocol.calibration_layout import calibration_round_of
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import Bounding, StudyPlan
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]


def sums_of_each(
    plan: StudyPlan, weights: FloatArray, hospitals: Sequence[PatientTensors], *, round_: int
) -> Iterator[BoundedSum]:
    """Of each hospital, what its guard would make of its patients: of at most PATIENTS_AT_ONCE all together."""
    network, everybody = network_with(plan.model, weights), PatientTensors.joined(hospitals)
    places, begin = [], 0
    for each in hospitals:
        places.append(slice(begin, begin + len(each)))
        begin += len(each)
    calibrates = calibration_round_of(plan, round_)
    if calibrates is not None:
        rows = (bounded_entity_rows if calibrates.of_entities else bounded_rows)(plan, network, everybody)
        for place in places:
            total = np.zeros(plan.model.parameters)
            total[: rows.shape[1]] += _apart(rows, place).sum(dim=0).numpy()
            yield in_a_rounds_units(plan, total)
        return
    bound = math.inf if plan.privacy.l2_norm_bound is None else plan.privacy.l2_norm_bound
    if plan.privacy.bounding is Bounding.STOPPED and math.isfinite(bound):
        parts = stopped_parts(network, everybody, hazard_cap=plan.privacy.hazard_cap, l2_norm_bound=bound)
    else:
        parts = cut_parts(network, everybody, l2_norm_bound=bound, losses=patient_losses)
    nobody = BoundedSum.of_nobody(plan.model.parameters, l2_norm_bound=bound)
    for place in places:
        own = [
            CutPart(_apart(part.input, place), _apart(part.at_output, place), part.parameters, part.outputs)
            for part in parts
        ]
        downhill = nobody + BoundedSum(summed(network, own), bound)
        yield BoundedSum(-downhill.vector, bound)


def _apart(rows: Tensor, place: slice) -> Tensor:
    """A copy, as a hospital that computes by itself has it: a product's order may depend on where numbers lie."""
    return rows[place].clone(memory_format=torch.contiguous_format)


class SumsTogether:
    """The sums of a plan's rounds. patients: by hospital, in the order in which they are asked."""

    def __init__(self, plan: StudyPlan, patients: Mapping[str, PatientTensors]) -> None:
        self._plan, self._plan_hash, self._patients = plan, plan.hash, patients
        self._batch_of = {site: batch for batch in _batches(patients) for site in batch}
        self._asked: tuple[int, bytes] = 0, b""
        self._made: dict[str, BoundedSum] = {}

    def of(self, site: str, request: ContributeRequest) -> BoundedSum:
        """Of one hospital, for the weights and the round that it is asked about."""
        asked = request.round, request.weights.tobytes()
        if asked != self._asked:
            self._asked, self._made = asked, {}
        if site not in self._made:
            batch = self._batch_of[site]
            seen = [
                seen_in_round(self._plan, self._patients[each], plan_hash=self._plan_hash, round_=request.round)
                for each in batch
            ]
            sums = sums_of_each(self._plan, request.weights, seen, round_=request.round)
            self._made = dict(zip(batch, sums, strict=True))
        return self._made.pop(site)


def _batches(patients: Mapping[str, PatientTensors]) -> list[tuple[str, ...]]:
    batches: list[list[str]] = [[]]
    free = PATIENTS_AT_ONCE
    for site, own in patients.items():
        if len(own) > free:
            batches.append([])
            free = PATIENTS_AT_ONCE
        batches[-1].append(site)
        free -= len(own)
    return [tuple(batch) for batch in batches]


class GuardInBatch(Guard):
    """A simulated hospital's guard, whose sum is made together with those of others. Only here: no hospital has one.

    together  of the same patients; a hospital of more than a batch holds is computed by itself.
    """

    def __init__(self, *, together: SumsTogether, **of_guard: Any) -> None:
        super().__init__(**of_guard)
        self._together = together

    def _round_sum(self, request: ContributeRequest, patients: PatientTensors) -> BoundedSum:
        if len(patients) > PATIENTS_AT_ONCE:
            return super()._round_sum(request, patients)
        return self._together.of(self.site, request)
