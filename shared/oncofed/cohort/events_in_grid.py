"""How many of a cohort's events can a model see, whose time grid ends somewhere?

Follow-up beyond the last bound is cut there, so a later event counts as the end of follow-up without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.cohort.cohort import Cohort


@dataclass(frozen=True)
class EventsInGrid:
    """events: all of one endpoint. inside: those not after `last_bound`, in the grid's unit."""

    events: int
    inside: int
    last_bound: float


def events_in_grid(cohort: Cohort) -> tuple[EventsInGrid, ...]:
    """One for each endpoint, in the schema's order."""
    last = cohort.schema.grid.bounds[-1]
    return tuple(
        EventsInGrid(
            events=int(observed.sum()),
            inside=int((observed & (exit_ <= last)).sum()),
            last_bound=last,
        )
        for observed, exit_ in zip(cohort.observed.T, cohort.exit.T, strict=True)
    )
