"""What do the noised counts of held-out patients hold, in patients, and how much noise lies on each count?

The noise of a sum is known: it follows from public numbers and from how many hospitals are in it. Counts keep their
signs. A negative one says that there are few patients and that the noise was negative; cutting it off would make all
sums too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.held_out import CountLayout
from oncofed.survival.time_at_risk import AtRiskLayout

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


@dataclass(frozen=True, eq=False)
class EndpointTimes:
    """The same of a table of time at risk. Everything with noise.

    patients     (groups,).
    at_risk      (groups, times): patients at risk, on average over the time.
    events       (groups, times).
    patients_sd, at_risk_sd, events_sd  of the noise on each of these numbers; 0 in mode `none`.
    edges, time_bounds  as in `survival.time_at_risk.AtRiskLayout`.
    """

    patients: FloatArray
    at_risk: FloatArray
    events: FloatArray
    patients_sd: float
    at_risk_sd: float
    events_sd: float
    edges: tuple[float, ...]
    time_bounds: tuple[float, ...]

    @property
    def noise_sd(self) -> float:
        """On a number of patients."""
        return self.patients_sd


def times_of(plan: StudyPlan, spec: SummarySpec, released: ReleasedSummary) -> dict[str, EndpointTimes]:
    """One table for each endpoint, in the plan's order, of a summary of kind `time_at_risk`."""
    layout = AtRiskLayout(len(plan.model.endpoints), spec.edges, spec.time_bounds)
    numbers = released.vector.reshape(layout.shape) / layout.weights
    noise_sd = release_of_summary(plan, spec).noise_of_sum(hospitals=len(released.answered)) / layout.weights
    return {
        endpoint: EndpointTimes(
            patients=numbers[place, :, 0],
            at_risk=numbers[place][:, layout.at_risk],
            events=numbers[place][:, layout.events],
            patients_sd=float(noise_sd[0]),
            at_risk_sd=float(noise_sd[layout.at_risk][0]),
            events_sd=float(noise_sd[layout.events][0]),
            edges=spec.edges,
            time_bounds=spec.time_bounds,
        )
        for place, endpoint in enumerate(plan.model.endpoints)
    }


def read_tables(
    plan: StudyPlan, spec: SummarySpec, released: ReleasedSummary
) -> Mapping[str, EndpointCounts | EndpointTimes]:
    """Of whichever of both kinds it is."""
    return (times_of if spec.kind is SummaryKind.TIME_AT_RISK else tables_of)(plan, spec, released)
