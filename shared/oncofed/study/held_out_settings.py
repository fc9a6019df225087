"""What does the section [held_out] of a study file ask for: is the final model measured, and how much may that cost?

What does not fit the schema raises InvalidInput when the plan is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import Known, Rule, Wrong
from oncofed.privacy.policy import WantedSummary
from oncofed.protocol.plan import ModelSpec, SummaryKind, SummarySpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout

EVALUATION = "evaluation"
"""The name of the summary that measures the model."""


def _rising(edges: tuple[float, ...] | None, known: Known) -> tuple[float, ...] | None:
    if edges is not None and list(edges) != sorted(set(edges)):
        raise Wrong("do not rise", "List log hazard ratios from low to high, such as [-0.5, 0, 0.5].")
    return edges


def _needed(horizon: float | None, known: Known) -> float | None:
    if horizon is None and known.before.get("budget_share"):
        raise Wrong("is needed", "Name the time by which risks are compared, a bound of the schema's.")
    return horizon


@dataclass(frozen=True)
class HeldOutRequest:
    """How hospitals measure the final model on patients whom they set aside. budget_share 0: they do not."""

    budget_share: float = 0.0
    """How much of what the plan's noise lets through goes to this one release; the noise of the rounds grows by 1 / √(1
    - share). `0.0`: nothing is measured. In mode `none`, any number above 0 asks for it."""
    horizon: Annotated[float | None, Rule(_needed)] = None
    """Required with a share: the time by which risks are compared, an interval bound of the schema."""
    fraction: float = 0.2
    """of a real hospital's patients who are set aside. A simulation passes over it."""
    risk_edges: Annotated[tuple[float, ...], Rule(_rising)] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    """The log hazard ratios that part the groups of risk. Fewer groups: less noise, and a C-index that sees less."""
    times: tuple[float, ...] | None = None
    """Where follow-up is cut, interval bounds of the schema; its ends and the horizon are added. Without it: about a
    third, two thirds and twice of the horizon."""
    smallest_shown: float = 50.0
    """No figure of fewer patients, as counted with their noise, is shown."""
    attempts: int = 1
    """How often hospitals may be asked afresh when an answer was lost; the share pays for all of them."""


def wanted_summaries(request: HeldOutRequest, model: ModelSpec) -> tuple[WantedSummary, ...]:
    """The evaluation, if one is asked for. Raises InvalidInput for times that the schema does not have."""
    if not request.budget_share:
        return ()
    assert request.horizon is not None
    times = _times(request, request.horizon, model.grid)
    cells = CountLayout(len(model.endpoints), request.risk_edges, times).cells
    spec = SummarySpec(
        name=EVALUATION,
        kind=SummaryKind.EVALUATION,
        cells=cells,
        noise_multiplier=0.0,
        attempts=request.attempts,
        smallest_shown=request.smallest_shown,
        edges=request.risk_edges,
        time_bounds=times,
        horizon=request.horizon,
    )
    return (WantedSummary(spec, request.budget_share),)


def _times(request: HeldOutRequest, horizon: float, grid: TimeGrid) -> tuple[float, ...]:
    """The times asked for, or about a third, two thirds, the whole and twice of the horizon; and the grid's ends."""
    bounds = grid.bounds
    remedy = f"The schema's bounds are {', '.join(f'{bound:g}' for bound in bounds)}."
    if horizon not in bounds[1:]:
        raise InvalidInput([Fault("[held_out], horizon", "is no interval bound of the schema", remedy)])
    near = {min(bounds, key=lambda bound: abs(bound - part * horizon)) for part in (1 / 3, 2 / 3, 2)}
    times = tuple(sorted({bounds[0], *(near if request.times is None else request.times), horizon, bounds[-1]}))
    if not set(times) <= set(bounds):
        raise InvalidInput([Fault("[held_out], times", "are not all interval bounds of the schema", remedy)])
    return times
