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
from oncofed.protocol.plan import StudyPlan, SummarySpec
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
    everybody = torch.ones(len(patients), 1, dtype=torch.float64)
    blocks = []
    for endpoint in range(layout.endpoints):
        pairs = [Pair.of(own, other, patients, endpoint, cap=layout.cap) for other in others]

        def longest(rows: Tensor, share: float, pairs: list[Pair] = pairs) -> Tensor:
            return _length(layout, torch.stack([each.largest(rows, share) for each in pairs], dim=1) * recorded[rows])

        share = shares_held(longest, len(patients), within=layout.within)
        gains = torch.stack([each.gains(share) for each in pairs], dim=1) * recorded
        held = (share < 1).double()[:, None]
        blocks.append(_block(layout, gains, torch.cat([recorded, held, everybody], dim=1)))
    return np.asarray(torch.cat(blocks, dim=1).numpy())


@dataclass(frozen=True)
class Pair:
    """The network and one comparator, for one endpoint, on a follow-up that is stopped for both.

    log_ratio  (patients, intervals), of the network's hazard to the comparator's.
    events     (patients, intervals), those within the stopped follow-up.
    larger     (patients, intervals), the larger one of both hazards, up to where it adds up to the cap.
    """

    log_ratio: Tensor
    events: Tensor
    larger: Tensor
    cap: float

    @staticmethod
    def of(own: Tensor, other: Tensor, patients: PatientTensors, endpoint: int, *, cap: float) -> Pair:
        """own, other: (patients, endpoints, intervals), log hazards over whole intervals."""
        larger = torch.maximum(own, other)[:, endpoint : endpoint + 1]
        hazard, kept = _stopped(larger, patients, endpoint, cap=cap)
        events = patients.events[:, endpoint] * kept[:, None]
        return Pair((own - other)[:, endpoint], events, hazard, cap)

    def _lost(self, log_ratio: Tensor, share: float | Tensor) -> Tensor:
        """What is lost a unit of the larger hazard, while nothing happens; between -1 and 1."""
        more = exponential(share * log_ratio) - 1
        return more / exponential(log_ratio).clamp(min=1.0)

    def gains(self, share: Tensor) -> Tensor:
        """(patients,), in nats. share: (patients,), to which part each is held."""
        each = share[:, None]
        terms = self.events * (each * self.log_ratio) - self.larger * self._lost(self.log_ratio, each)
        return row_sums(terms)

    def largest(self, rows: Tensor, share: float) -> Tensor:
        """(rows,): the most that a gain or loss of these patients can be, whatever happens to them."""
        ratio = self.log_ratio[rows]
        of_event, of_hazard = share * ratio, self.cap * self._lost(ratio, share)
        up = of_event.amax(dim=1).clamp(min=0.0) - of_hazard.amin(dim=1).clamp(max=0.0)
        down = of_hazard.amax(dim=1).clamp(min=0.0) - of_event.amin(dim=1).clamp(max=0.0)
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
    combined = torch.as_tensor(contrasts(len(layers))[1:])
    compared = measured(patients.x, layers).double()
    blocks = []
    for endpoint in range(layout.endpoints):
        hazard, kept = _stopped(log_hazard[:, endpoint : endpoint + 1], patients, endpoint, cap=layout.cap)
        event, hazard = kept * row_sums(patients.events[:, endpoint]), row_sums(hazard)
        known = ratios[:, endpoint]

        def longest(rows: Tensor, share: float, known: Tensor = known) -> Tensor:
            ratio = share * known[rows]
            at_event, at_cap = _combined(ratio, combined), _combined(-layout.cap * (exponential(ratio) - 1), combined)
            corners = [_length(layout, each) for each in (at_event, at_cap, at_event + at_cap)]
            return torch.stack(corners, dim=1).amax(dim=1)

        share = shares_held(longest, len(patients), within=layout.within)
        ratio = share[:, None] * known
        gained = event[:, None] * ratio - hazard[:, None] * (exponential(ratio) - 1)
        gains = _combined(gained, combined) * compared[:, None]
        who = torch.stack([torch.ones_like(event), event, (always[:, endpoint] / LARGEST_RATIO).clamp(-1, 1)], dim=1)
        held = (compared * (share < 1))[:, None]
        counts = torch.cat([held, who * compared[:, None], who * (1 - compared)[:, None]], dim=1)
        blocks.append(_block(layout, gains, counts))
    return np.asarray(torch.cat(blocks, dim=1).numpy())


def _always_known(network: PrognosisNetwork, x: Tensor) -> tuple[Tensor, Tensor]:
    """Log hazard ratios and log hazards without any layer."""
    ratio = network(x)
    return ratio, network.log_hazard_of(x, ratio)


def shares_held(longest: Callable[[Tensor, float], Tensor], patients: int, *, within: float) -> Tensor:
    """(patients,): 1 for most; for others the largest of 1 - 1/STEPS, 1 - 2/STEPS, ..., 0 that keeps them within.

    longest  of the numbers of some patients and a share: (some,), the most that their gains can be long.
    """
    found, left = torch.zeros(patients, dtype=torch.float64), torch.arange(patients)
    for step in range(STEPS):
        share = 1 - step / STEPS
        fits = longest(left, share) <= within  # NaN is not
        found[left[fits]] = share
        left = left[~fits]
        if not len(left):
            break
    return found


def _stopped(log_hazard: Tensor, patients: PatientTensors, endpoint: int, *, cap: float) -> tuple[Tensor, Tensor]:
    """(patients, intervals), hazard up to the stop; (patients,), 1 where the end of follow-up is within it.

    log_hazard  (patients, 1, intervals).
    """
    at_risk = patients.at_risk[:, endpoint : endpoint + 1]
    nothing, end = torch.zeros_like(at_risk), torch.zeros_like(at_risk)
    end[:, :, 0] = 1.0
    hazard = stopped_residuals(log_hazard, nothing, at_risk, cap=cap)[:, 0]
    with_end = stopped_residuals(log_hazard, end, at_risk, cap=cap)[:, 0]
    return hazard, (with_end[:, 0] != hazard[:, 0]).double()


def _combined(gains: Tensor, combined: Tensor) -> Tensor:
    """(patients, sets), (sets, numbers) -> (patients, numbers): weighted sums, added up in one order."""
    return torch.stack([row_sums(gains * each) for each in combined.unbind(dim=1)], dim=1)


def _length(layout: GainLayout, gains: Tensor) -> Tensor:
    """(patients,): of weighted gains."""
    return root(row_sums((gains * torch.tensor(layout.gain_weights, dtype=torch.float64)).square()))


def _block(layout: GainLayout, gains: Tensor, counts: Tensor) -> Tensor:
    """(patients, numbers), of an endpoint."""
    numbers = torch.cat([gains, gains.square(), counts], dim=1)
    return numbers * torch.tensor(layout.weights, dtype=torch.float64)
