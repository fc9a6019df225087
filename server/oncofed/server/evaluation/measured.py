"""What may be said of the final model, from what hospitals released after the last round?

Only noised counts and the released model go in. The same study gives the same figures: the draws behind intervals
follow from the plan's hash, and hide nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import COUNTING_KINDS, SummarySpec
from oncofed.server.evaluation.at_risk_figures import figures_at_risk
from oncofed.server.evaluation.figures import EndpointFigures, figures_of
from oncofed.server.evaluation.held_out_table import EndpointCounts, EndpointTimes, read_tables
from oncofed.server.rounds.state import ReleasedSummary


@dataclass(frozen=True)
class Measured:
    """spec: of the plan. hospitals: whose patients are in it. noise_sd: on each count of patients.

    endpoints  figures by name, in the plan's order.
    """

    spec: SummarySpec
    hospitals: tuple[str, ...]
    noise_sd: float
    endpoints: Mapping[str, EndpointFigures]


def evaluation_in(plan: StudyPlan) -> SummarySpec | None:
    """The summary of the plan that measures its model."""
    return next((each for each in plan.summaries if each.kind in COUNTING_KINDS), None)


def measured(
    plan: StudyPlan,
    summaries: Mapping[str, ReleasedSummary],
    weights: NDArray[np.float64],
    *,
    competing: Collection[str],
) -> Measured | None:
    """The figures; None when the plan asks for none, or they were not released. weights: of the final model.

    competing  names of the endpoints that compete with others, as the schema says (`StudySchema.competing_names`).
    """
    spec = evaluation_in(plan)
    released = None if spec is None else summaries.get(spec.name)
    if spec is None or released is None:
        return None
    from oncofed.survival.network import network_with  # noqa: PLC0415 - torch, which a report without figures spares

    log_baseline_hazard = network_with(plan.model, weights).reference_log_hazard
    tables = read_tables(plan, spec, released)
    rng = np.random.default_rng(int(plan.hash[:16], 16))
    return Measured(
        spec=spec,
        hospitals=released.answered,
        noise_sd=next(iter(tables.values())).noise_sd,
        endpoints={
            endpoint: _figures(plan, spec, table, log_baseline_hazard[number], rng, competes=endpoint in competing)
            for number, (endpoint, table) in enumerate(tables.items())
        },
    )


def _figures(
    plan: StudyPlan,
    spec: SummarySpec,
    table: EndpointCounts | EndpointTimes,
    log_baseline_hazard: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    competes: bool,
) -> EndpointFigures:
    if isinstance(table, EndpointTimes):
        return figures_at_risk(
            table,
            log_baseline_hazard=log_baseline_hazard,
            grid=plan.model.grid,
            horizon=spec.horizon,
            smallest_shown=spec.smallest_shown,
            competes=competes,
        )
    return figures_of(
        table,
        log_baseline_hazard=log_baseline_hazard,
        grid=plan.model.grid,
        horizon=spec.horizon,
        smallest_shown=spec.smallest_shown,
        rng=rng,
        competes=competes,
    )
