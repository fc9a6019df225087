"""What does a held-out patient add to the summaries of kind `comparison` and `value`?

By how much what happened is more likely under the network than under each comparator, or with a layer of data than
without it: the numbers of `protocol.gain_layout`, which also proves how long they are at most and why nothing is
biased. From the patient and public numbers alone, to the last bit: the network is computed one by one, sums are added
in one order, and all else is done entry by entry.

A comparator is compared on those of whom its own missing flags say that all its markers are recorded; layers on those
of whom something of every layer is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oncofed.protocol.gain_layout import LARGEST_RATIO, GainLayout, gain_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.survival.layer_values import coalitions, contrasts
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with
from oncofed.survival.one_by_one import exponential, one_by_one, root, row_sums
from oncofed.survival.stopped_residuals import stopped_residuals
from oncofed.survival.unmeasured import measured, without

FloatArray = NDArray[np.float64]

STEPS = 16
"""A patient who is held is drawn in by whole parts of so many."""


def comparison_rows(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    """(patients, cells), each row at most 1 long."""
    layout, network = gain_layout(plan, spec), network_with(plan.model, weights)
    with torch.no_grad(), one_by_one(network, patients.fed):
        own = network.log_hazard(patients.x)
        others = [head.log_hazard(patients.x) for head in network.heads]
    recorded = torch.stack(
        [(patients.x[:, list(each.missing_columns)] == 0).all(dim=1) for each in plan.model.comparators], dim=1
    ).double()
    recorded = recorded.repeat_interleave(layout.endpoints, dim=0)
    pairs = Pairs.of(own, others, patients, cap=layout.cap)

    def longest(rows: Tensor, share: float) -> Tensor:
        return _length(layout, pairs.largest(rows, share) * recorded[rows])

    share = shares_held(longest, len(recorded), within=layout.within)
    counts = [recorded, (share < 1).double()[:, None], torch.ones(len(recorded), 1, dtype=torch.float64)]
    return _rows(layout, pairs.gains(share) * recorded, torch.cat(counts, dim=1))


@dataclass(frozen=True)
class Pairs:
    """The network and each comparator, on a follow-up that is stopped for both.

    A row is a patient and an endpoint, the endpoint fastest. All are (rows, comparators, intervals):

    log_ratio  of the network's hazard to the comparator's. larger_ratio: e to that, at least 1.
    events     those within the stopped follow-up.
    hazard     the larger one of both hazards, up to where it adds up to the cap.
    """

    log_ratio: Tensor
    larger_ratio: Tensor
    events: Tensor
    hazard: Tensor
    cap: float

    @staticmethod
    def of(own: Tensor, others: list[Tensor], patients: PatientTensors, *, cap: float) -> Pairs:
        """own, others: (patients, endpoints, intervals), log hazards over whole intervals."""
        log_ratio = torch.stack([own - other for other in others], dim=2).flatten(0, 1)
        larger = torch.stack([torch.maximum(own, other) for other in others], dim=2).flatten(0, 1)
        at_risk = patients.at_risk.flatten(0, 1)[:, None].expand_as(larger)
        hazard, kept = _stopped(larger, at_risk, cap=cap)
        events = patients.events.flatten(0, 1)[:, None] * kept[:, :, None]
        return Pairs(log_ratio, exponential(log_ratio).clamp(min=1.0), events, hazard, cap)

    def gains(self, share: Tensor) -> Tensor:
        """(rows, comparators), in nats. share: (rows,), to which part each is held."""
        held = share[:, None, None] * self.log_ratio
        terms = self.events * held - self.hazard * ((exponential(held) - 1) / self.larger_ratio)
        return row_sums(terms.flatten(0, 1)).view(held.shape[:2])

    def largest(self, rows: Tensor, share: float) -> Tensor:
        """(some, comparators): the most that a gain or loss in these rows can be, whatever happens.

        What is lost a unit of the larger hazard, while nothing happens, lies between -1 and 1.
        """
        of_event = share * self.log_ratio[rows]
        of_hazard = self.cap * ((exponential(of_event) - 1) / self.larger_ratio[rows])
        up = of_event.amax(dim=2).clamp(min=0.0) - of_hazard.amin(dim=2).clamp(max=0.0)
        down = of_hazard.amax(dim=2).clamp(min=0.0) - of_event.amin(dim=2).clamp(max=0.0)
        return torch.maximum(up, down)


def value_rows(plan: StudyPlan, spec: SummarySpec, weights: FloatArray, patients: PatientTensors) -> FloatArray:
    """(patients, cells), each row at most 1 long."""
    layout, layers = gain_layout(plan, spec), plan.model.layers
    network = network_with(plan.model, weights)
    with torch.no_grad(), one_by_one(network, patients.fed):
        always, log_hazard = _always_known(network, without(patients.x, layers))
        ratios = torch.stack(
            [
                network(without(patients.x, [each for number, each in enumerate(layers) if number not in kept]))
                - always
                for kept in coalitions(len(layers))[1:]
            ],
            dim=2,
        )
    known = ratios.flatten(0, 1)
    combined = torch.as_tensor(contrasts(len(layers))[1:].T.copy())
    at_event = _combined(known, combined)

    def longest(rows: Tensor, share: float) -> Tensor:
        event = share * at_event[rows]
        at_cap = _combined(-layout.cap * (exponential(share * known[rows]) - 1), combined)
        return torch.stack([_length(layout, each) for each in (event, at_cap, event + at_cap)], dim=1).amax(dim=1)

    hazard, kept = _stopped(log_hazard, patients.at_risk, cap=layout.cap)
    hazard = row_sums(hazard.flatten(0, 1))
    event = kept.flatten() * row_sums(patients.events.flatten(0, 1))
    share = shares_held(longest, len(known), within=layout.within)
    ratio = share[:, None] * known
    compared = measured(patients.x, layers).double().repeat_interleave(layout.endpoints)
    gains = _combined(event[:, None] * ratio - hazard[:, None] * (exponential(ratio) - 1), combined)
    risk = (always.flatten() / LARGEST_RATIO).clamp(-1.0, 1.0)
    who = torch.stack([torch.ones_like(event), event, risk], dim=1)
    held = (compared * (share < 1))[:, None]
    counts = torch.cat([held, who * compared[:, None], who * (1 - compared)[:, None]], dim=1)
    return _rows(layout, gains * compared[:, None], counts)


def _always_known(network: PrognosisNetwork, x: Tensor) -> tuple[Tensor, Tensor]:
    """Log hazard ratios and log hazards without any layer."""
    ratio = network(x)
    return ratio, network.log_hazard_of(x, ratio)


def shares_held(longest: Callable[[Tensor, float], Tensor], rows: int, *, within: float) -> Tensor:
    """(rows,): 1 for most; for others the largest of 1 - 1/STEPS, 1 - 2/STEPS, ..., 0 that keeps them within.

    longest  of the numbers of some rows and a share: (some,), the most that their gains can be long.
    """
    found, left = torch.zeros(rows, dtype=torch.float64), torch.arange(rows)
    for step in range(STEPS):
        share = 1 - step / STEPS
        fits = longest(left, share) <= within  # NaN is not
        found[left[fits]] = share
        left = left[~fits]
        if not len(left):
            break
    return found


def _stopped(log_hazard: Tensor, at_risk: Tensor, *, cap: float) -> tuple[Tensor, Tensor]:
    """Hazard up to the stop; and, without intervals, 1 where the end of follow-up is within it.

    log_hazard, at_risk  (some, others, intervals), as `stopped_residuals` has them.
    """
    nothing, end = torch.zeros_like(log_hazard), torch.zeros_like(log_hazard)
    end[:, :, 0] = 1.0
    hazard, with_end = (stopped_residuals(log_hazard, each, at_risk, cap=cap) for each in (nothing, end))
    return hazard, (with_end[:, :, 0] != hazard[:, :, 0]).double()


def _combined(gains: Tensor, combined: Tensor) -> Tensor:
    """(rows, sets), (numbers, sets) -> (rows, numbers): weighted sums, added up in one order."""
    products = gains[:, None, :] * combined
    return row_sums(products.flatten(0, 1)).view(products.shape[:2])


def _length(layout: GainLayout, gains: Tensor) -> Tensor:
    """(rows,): of weighted gains."""
    return root(row_sums((gains * torch.tensor(layout.gain_weights, dtype=torch.float64)).square()))


def _rows(layout: GainLayout, gains: Tensor, counts: Tensor) -> FloatArray:
    """(patients, cells), of rows that are a patient and an endpoint each, the endpoint fastest."""
    numbers = torch.cat([gains, gains.square(), counts], dim=1)
    weighted = numbers * torch.tensor(layout.weights, dtype=torch.float64)
    return np.asarray(weighted.view(-1, layout.cells).numpy())
