"""What do the noised counts of held-out patients hold, in patients, and how much noise lies on each count?

The noise of a sum is known: it follows from public numbers and from how many hospitals are in it. Counts keep their
signs. A negative one says that there are few patients and that the noise was negative; cutting it off would make all
sums too large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.held_out import CountLayout

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EndpointCounts:
    """The table of one endpoint.

    counts       (groups, times, 2): patients, with noise; the last index is censored (0) or event (1).
    noise_sd     standard deviation of the noise on each count; 0 in mode `none`.
    edges, time_bounds  as in `survival.held_out.CountLayout`.
    """

    counts: FloatArray
    noise_sd: float
    edges: tuple[float, ...]
    time_bounds: tuple[float, ...]

    @property
    def patients(self) -> float:
        """All of them, with noise."""
        return float(self.counts.sum())

    @property
    def variances(self) -> FloatArray:
        """(groups, times, 2): of each count, from who happened to be there (Poisson) and from the noise."""
        return np.asarray(np.maximum(self.counts, 0.0) + self.noise_sd**2)


def tables_of(plan: StudyPlan, spec: SummarySpec, released: ReleasedSummary) -> dict[str, EndpointCounts]:
    """One table for each endpoint, in the plan's order."""
    layout = CountLayout(len(plan.model.endpoints), spec.edges, spec.time_bounds)
    counts = released.vector.reshape(layout.shape) / layout.weight
    noise_sd = release_of_summary(plan, spec).noise_of_sum(hospitals=len(released.answered)) / layout.weight
    return {
        endpoint: EndpointCounts(counts[number], noise_sd, spec.edges, spec.time_bounds)
        for number, endpoint in enumerate(plan.model.endpoints)
    }
