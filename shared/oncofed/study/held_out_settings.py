"""What does the section [held_out] of a study file ask for: is the final model measured, and how much may that cost?

Faults are added to the section's own list, so that a file is judged as a whole; what does not fit the schema raises
InvalidInput when the plan is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.policy import WantedSummary
from oncofed.protocol.plan import ModelSpec, SummaryKind, SummarySpec
from oncofed.ranges import count_of, range_of
from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout
from oncofed.toml_section import Section

EVALUATION = "evaluation"
"""The name of the summary that measures the model."""


@dataclass(frozen=True)
class HeldOutRequest:
    """How hospitals measure the final model on patients whom they set aside. budget_share 0: they do not.

    budget_share    of what the plan's noise lets through (in 1 / noise_multiplier^2); in mode `none` any above 0.
    fraction        of a real hospital's patients; a simulation sets aside its test patients.
    risk_edges, times, horizon, smallest_shown, attempts  as in `SummarySpec`; times None: chosen from the grid.
    """

    budget_share: float = 0.0
    horizon: float | None = None
    fraction: float = 0.2
    risk_edges: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    times: tuple[float, ...] | None = None
    smallest_shown: float = 50.0
    attempts: int = 1


def read_held_out(section: Section) -> HeldOutRequest:
    """The request; without the section, the one that asks for nothing."""
    default = HeldOutRequest()
    edges = section.numbers(
        "risk_edges", within=range_of(HeldOutRequest, "risk_edges"), count=count_of(HeldOutRequest, "risk_edges")
    )
    request = HeldOutRequest(
        budget_share=section.number_or(
            "budget_share", default.budget_share, within=range_of(HeldOutRequest, "budget_share")
        ),
        horizon=section.number("horizon", within=range_of(HeldOutRequest, "horizon")),
        fraction=section.number_or("fraction", default.fraction, within=range_of(HeldOutRequest, "fraction")),
        risk_edges=default.risk_edges if edges is None else edges,
        times=section.numbers(
            "times", within=range_of(HeldOutRequest, "times"), count=count_of(HeldOutRequest, "times")
        ),
        smallest_shown=section.number_or(
            "smallest_shown", default.smallest_shown, within=range_of(HeldOutRequest, "smallest_shown")
        ),
        attempts=section.whole_number_or("attempts", default.attempts, within=range_of(HeldOutRequest, "attempts")),
    )
    if list(request.risk_edges) != sorted(set(request.risk_edges)):
        section.fault("risk_edges", "do not rise", "List log hazard ratios from low to high, such as [-0.5, 0, 0.5].")
    if request.budget_share and request.horizon is None:
        section.fault("horizon", "is needed", "Name the time by which risks are compared, a bound of the schema's.")
    return request


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
