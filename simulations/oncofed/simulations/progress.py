"""How does a person see how far a run is? Bars on a terminal, or below a notebook's cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.console
import rich.progress

Progress = Callable[[str, int, int], None]
"""Told a stage's name, how much of it is done, and how much there is."""


def no_progress(stage: str, done: int, total: int) -> None:
    """The null listener."""


@contextmanager
def progress_bars(console: rich.console.Console) -> Iterator[Progress]:
    """A bar for each stage, from when it is first told of."""
    with rich.progress.Progress(
        rich.progress.TextColumn("{task.description:10s}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,  # rich would write past what makes texts harmless
        redirect_stderr=False,
    ) as bars:
        stages: dict[str, rich.progress.TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield show
