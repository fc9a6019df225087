"""How long does one wait for `oncofed --help`? By the clock on the wall, since that is what one waits by."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from oncofed.simulations.benchmarks.side_by_side import Spread
from oncofed.simulations.benchmarks.tables import Table, verdict


def command_line_table(*, repetitions: int) -> Table:
    """The command as it is installed, and an interpreter that does nothing."""
    commands = {
        "oncofed --help": [str(Path(sys.executable).with_name("oncofed")), "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repetitions):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - both commands are written above
            seconds[name].append(time.perf_counter() - began)
    spreads = {name: Spread.of(found) for name, found in seconds.items()}
    return Table(
        title="The command line",
        columns=("command", "seconds"),
        rows=tuple((name, str(spread)) for name, spread in spreads.items()),
        notes=(verdict("oncofed --help, seconds", spreads["oncofed --help"].median, at_most=0.5),),
    )
