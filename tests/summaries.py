"""Which summary does a small plan of a test ask for?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from oncofed.protocol.messages import SummariseRequest
from oncofed.protocol.plan import StudyPlan, SummaryKind, SummarySpec
from oncofed.survival.held_out import CountLayout

EDGES = (-0.5, 0.0, 0.7)


def evaluation_of(
    plan: StudyPlan, *, noise_multiplier: float = 2.0, attempts: int = 2, edges: tuple[float, ...] = EDGES
) -> SummarySpec:
    """Held-out counts on the plan's own grid."""
    bounds = plan.model.grid.bounds
    cells = CountLayout(len(plan.model.endpoints), edges, bounds).cells
    return SummarySpec(
        "evaluation", SummaryKind.EVALUATION, cells, noise_multiplier, attempts, 0.0, edges, bounds, bounds[-1]
    )


def summary_request(plan: StudyPlan, *, site: str = "Bonn", attempt: int = 0, **changes: object) -> SummariseRequest:
    """For the plan's first summary, with weights of zero but for the changes."""
    request = SummariseRequest(
        plan_hash=plan.hash,
        site=site,
        summary=plan.summaries[0].name,
        attempt=attempt,
        roster=plan.roster,
        weights=np.full(plan.model.parameters, 0.25),
        cells=plan.summaries[0].cells,
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # a test's own changes
