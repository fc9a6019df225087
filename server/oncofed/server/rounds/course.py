"""How does a whole study run over a Grid, whichever Grid it is: all rounds, and then all summaries?

Simulations and real consortia run this, so what ends one ends the other. A summary that cannot be had is told, and
keeps the model from nobody; those after it are not asked for, and whoever resumes the study asks for all that are
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flwr.serverapp import Grid

from oncofed.errors import FederationFailure
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.server.rounds.rounds import (
    NO_PATIENCE,
    ExtraSource,
    Observer,
    Patience,
    Ready,
    RoundReport,
    everybody_online,
    no_extra,
    no_observer,
    run_rounds,
)
from oncofed.server.rounds.state import FederationState
from oncofed.server.rounds.summaries import SummaryObserver, no_summary_observer, run_summaries

Unsummarised = Callable[[FederationFailure], None]
"""Told why a summary could not be had."""


def ends_the_run(failure: FederationFailure) -> None:
    """For whoever wants every summary or an error."""
    raise failure


def run_course(
    grid: Grid,
    *,
    plan: StudyPlan,
    nodes: Mapping[str, int],
    start: FederationState,
    checkpoint_folder: Path | None,
    observer: Observer = no_observer,
    summary_observer: SummaryObserver = no_summary_observer,
    unsummarised: Unsummarised = ends_the_run,
    extra: ExtraSource = no_extra,
    patience: Patience = NO_PATIENCE,
    ready: Ready = everybody_online,
) -> FederationState:
    """From `start` to the last round and every summary that can be had. Raises FederationFailure in a round only."""
    state = run_rounds(
        grid,
        plan=plan,
        nodes=nodes,
        start=start,
        checkpoint_folder=checkpoint_folder,
        observer=observer,
        extra=extra,
        patience=patience,
        ready=ready,
    )

    def kept(summary: SummarySpec, released: FederationState, report: RoundReport) -> None:
        nonlocal state
        state = released
        summary_observer(summary, released, report)

    try:
        run_summaries(
            grid,
            plan=plan,
            nodes=nodes,
            start=state,
            checkpoint_folder=checkpoint_folder,
            observer=kept,
            extra=extra,
            patience=patience,
            ready=ready,
        )
    except FederationFailure as failure:
        unsummarised(failure)
    return state
