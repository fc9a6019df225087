"""How does a person see how far a run is? Bars on a terminal, or below a notebook's cell.

rich draws in a notebook through ipywidgets alone, and only warns where there are none. IPython, which every notebook
has, can draw a bar by itself, so none of both is a dependency.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

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


@contextmanager
def notebook_bars(clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """The same below the cell that runs, redrawn in place and a few times a second at most."""
    display: Any = importlib.import_module("IPython.display")
    stages: dict[str, tuple[int, int]] = {}
    shown = display.display(display.HTML(""), display_id=True)
    drawn_at = -_REDRAWN_AFTER_SECONDS

    def show(stage: str, done: int, total: int) -> None:
        nonlocal drawn_at
        stages[stage] = (done, total)
        now = clock()
        if done >= total or now - drawn_at >= _REDRAWN_AFTER_SECONDS:
            drawn_at = now
            shown.update(display.HTML(_drawn(stages)))

    yield show


_REDRAWN_AFTER_SECONDS = 0.2


def _drawn(stages: dict[str, tuple[int, int]]) -> str:
    bars = [
        f'<div>{escape(stage)} <progress value="{done}" max="{total}"></progress> {done}/{total}</div>'
        for stage, (done, total) in stages.items()
    ]
    return "".join(bars)
