"""Which number of a summary of kind `comparison` or `value` means what, and how long is a patient's part at most?

Both tell gains in log likelihood (`survival.likelihood_gain`): of the network over each comparator of the plan, or, of
a plan whose rounds take layers of data away, the worth of each layer (`survival.layer_values`: shares, alone, last, all
together). Of an endpoint stand, in this order,

    GAINS    w_j u_j / b, of a patient's gains u_j, in nats, with public weights w_j and the public `within`, b;
    SQUARES  SQUARES_WEIGHT (w_j u_j / b)^2, by which the spread over patients is known;
    COUNTS   `comparison`: of each comparator 1 for whom it is recorded, times COUNTS_WEIGHT over the root of how many
             comparators there are; 1 for who is held (below); 1 for everybody.
             `value`: 1 for who is held; and 1, the event, and the log hazard ratio of what is always known over
             LARGEST_RATIO, cut to [-1, 1], of who has all layers, and then of who has not: who is compared, is told.

Bounded without looking at the outcome. A gain cut at a limit is biased: who is cut, follows from what happened. Here
three public rules hold a gain, and each leaves the log likelihood a proper score:

- Follow-up is stopped (`survival.stopped_residuals`), at one time for all models that are compared: `value` where the
  hazard by what is always known reaches `hazard_cap`; `comparison`, for each comparator by itself, where the larger one
  of the network's and the comparator's hazards adds up to it.
- The model is held. Of a patient whose numbers could be longer than b, whatever happens, the log hazards of the network
  are drawn towards those it is compared with, all in the same proportion t < 1, until they cannot be. t follows from
  the covariates and public weights. So what is measured is the gain of the network that is held so, without bias. Where
  a network is right about a log ratio r, r / 2 r of it is gained by t = 1 and about (2 t - t^2) of that by t; a patient
  held by a fifth keeps 0.96 of it. COUNTS tells how many are held.
- How long is found at the corners. u is affine in the stopped hazard, of which all that counts is the sum or a simplex,
  so its length is convex and largest at: no event and no hazard (0), no event and all of the cap, the event and no
  hazard, the event and all of the cap.

The length. GAINS are at most 1 long. SQUARES are at most SQUARES_WEIGHT, since the sum of fourth powers is at most the
square of the sum of squares. COUNTS are at most COUNTS_WEIGHT times the root of 3 (`comparison`: all recorded, held,
there) or 4 (`value`: held, there, the event, the ratio). Numbers are divided by the root of the sum of these squares,
and by that of the number of endpoints. Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec

SQUARES_WEIGHT = 0.5
COUNTS_WEIGHT = 0.25
"""Of counts: their noise is one of hundreds or thousands of patients, and moves a mean by as small a part of itself."""
SHARE_WEIGHT, OTHER_WEIGHT = 1.0, 0.5
"""Of a layer's share, and of its worth alone and as the last, and of all together."""
LARGEST_RATIO = 2.0
"""Log hazard ratio by what is always known, at which who is compared and who is not are cut."""
OF_GROUP = 3
"""Numbers of who has all layers, and of who has not: how many, events, log hazard ratio."""


@dataclass(frozen=True)
class GainLayout:
    """The numbers' shape: of each endpoint GAINS, SQUARES, COUNTS.

    gain_weights   w_j of each gain, in their order.
    count_weights  of COUNTS.
    counted        the most that the squares of COUNTS add up to.
    within         b, in nats: the most that the weighted gains of one endpoint of a patient are long.
    cap            expected events at which follow-up ends.
    """

    endpoints: int
    gain_weights: tuple[float, ...]
    count_weights: tuple[float, ...]
    counted: float
    within: float
    cap: float

    @property
    def gains(self) -> int:
        """Of an endpoint."""
        return len(self.gain_weights)

    @property
    def numbers(self) -> int:
        """Of an endpoint."""
        return 2 * self.gains + len(self.count_weights)

    @property
    def cells(self) -> int:
        return self.endpoints * self.numbers

    @property
    def weight(self) -> float:
        """Of everything, so that a patient's numbers together are at most 1 long."""
        return 1 / math.sqrt(self.endpoints * (1 + SQUARES_WEIGHT**2 + self.counted))

    @property
    def weights(self) -> tuple[float, ...]:
        """(numbers,): by which the sums of u_j, of u_j^2 and of COUNTS are multiplied."""
        of_gains = [each / self.within for each in self.gain_weights]
        both = (*of_gains, *(SQUARES_WEIGHT * each**2 for each in of_gains), *self.count_weights)
        return tuple(self.weight * each for each in both)


def gain_layout(plan: StudyPlan, spec: SummarySpec) -> GainLayout:
    """The numbers that the plan asks for, where `gain_faults` finds nothing."""
    count = len(plan.model.comparators if spec.kind is SummaryKind.COMPARISON else plan.model.layers)
    return layout_of(
        spec.kind, count, endpoints=len(plan.model.endpoints), within=spec.edges[0], cap=plan.privacy.hazard_cap
    )


def layout_of(kind: SummaryKind, count: int, *, endpoints: int, within: float, cap: float = 1.0) -> GainLayout:
    """count: of comparators, or of layers."""
    if kind is SummaryKind.COMPARISON:
        each = 1 / math.sqrt(count)
        counts = (*[COUNTS_WEIGHT * each] * count, COUNTS_WEIGHT, COUNTS_WEIGHT)
        return GainLayout(endpoints, (each,) * count, counts, 3 * COUNTS_WEIGHT**2, within, cap)
    weights = (*[SHARE_WEIGHT] * count, *[OTHER_WEIGHT] * (2 * count + 1))
    return GainLayout(endpoints, weights, (COUNTS_WEIGHT,) * (1 + 2 * OF_GROUP), 4 * COUNTS_WEIGHT**2, within, cap)


def gain_faults(plan: StudyPlan, spec: SummarySpec) -> list[str]:
    """Why it cannot be computed so, in words; empty when it can."""
    found = []
    if len(spec.edges) != 1 or not spec.edges[0] > 0:
        found.append("its bound in nats is not one number above 0")
    if spec.time_bounds or spec.group_columns:
        found.append("it asks for windows or groups, which gains do not have")
    model = plan.model
    if not (model.comparators if spec.kind is SummaryKind.COMPARISON else model.layers):
        found.append("the model has nothing to compare by it")
    if spec.kind is SummaryKind.VALUE and model.time_shapes is not None:
        of_entity = set(model.time_shapes.entity_columns)
        found += [
            f"its layer {each.name} holds the tumour entity, by which hazards run over time"
            for each in model.layers
            if of_entity & set(each.columns)
        ]
    if not found and (cells := gain_layout(plan, spec).cells) != spec.cells:
        found.append(f"it states {spec.cells} cells where the model makes {cells}")
    return found
