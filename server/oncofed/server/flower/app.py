"""What does Flower run at the coordinator? A ServerApp that holds the plan, and asks whichever Grid it is given.

Flower's `Strategy.start` always begins at round 1, samples nodes, waits for ever for the missing and goes on with
whoever answered, so the loop is ours (`rounds`) and the arithmetic Flower's (`strategies`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.server.rounds.course import Unsummarised, ends_the_run, run_course
from oncofed.server.rounds.rounds import NO_PATIENCE, ExtraSource, Observer, Patience, no_extra, no_observer
from oncofed.server.rounds.state import FederationState
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.server.rounds.summaries import SummaryObserver, no_summary_observer

NodeDirectory = Callable[[Grid], Mapping[str, int]]
"""Finds the node id of each hospital of the roster."""


def build_server_app(
    *,
    plan: StudyPlan,
    nodes: NodeDirectory,
    start: FederationState,
    checkpoint_folder: Path | None,
    observer: Observer = no_observer,
    summary_observer: SummaryObserver = no_summary_observer,
    unsummarised: Unsummarised = ends_the_run,
    extra: ExtraSource = no_extra,
    patience: Patience = NO_PATIENCE,
) -> ServerApp:
    """A ServerApp that runs the plan from `start` to its last round, and asks for its summaries.

    start              `initial_state(weights)`, or the state of `load_checkpoint`.
    checkpoint_folder  must exist; None keeps nothing. The result of a run is its last checkpoint, and what the
                       observer saw last.
    raises             InvalidInput at once for a plan whose strategy would not do what it says; while running,
                       QuorumLost and FederationFailure.
    """
    if faults := strategy_faults(plan):
        raise InvalidInput(faults)
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        with flower_says_errors_only():
            run_course(
                grid,
                plan=plan,
                nodes=nodes(grid),
                start=start,
                checkpoint_folder=checkpoint_folder,
                observer=observer,
                summary_observer=summary_observer,
                unsummarised=unsummarised,
                extra=extra,
                patience=patience,
            )

    return app


@contextmanager
def flower_says_errors_only() -> Iterator[None]:
    """Flower logs several lines a round at INFO, and repeats the text of error replies there."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
