"""What does one way to a table cost, when it has a process of its own? Its time, and its memory, which is its own then.

A benchmark's module is started with the name of a way and a folder; it writes the table there, and says what it cost.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

COLUMNS = ("seconds", "seconds of the processor", "peak of memory, MiB")


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of the processor; MiB at once, with all libraries."""

    wall: float
    seconds: float
    memory_mib: float

    @property
    def cells(self) -> tuple[str, str, str]:
        """As `COLUMNS` has them."""
        return f"{self.wall:.1f}", f"{self.seconds:.1f}", f"{self.memory_mib:.0f}"

    def over(self, other: Cost) -> str:
        """In words."""
        time, memory = self.seconds / other.seconds, self.memory_mib / other.memory_mib
        return f"time of the processor {time:.2f}, memory {memory:.2f}"


def apart(module: str, side: str, folder: Path) -> Cost:
    """Of a module that ends with `measured`."""
    command = [sys.executable, "-m", module, side, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - written above
    return Cost(**json.loads(done.stdout))


def measured(sides: Mapping[str, Callable[[Path], pd.DataFrame]]) -> None:
    """In the process of one of them: its table is SIDE.parquet of the folder."""
    side, folder = sys.argv[1], Path(sys.argv[2])
    began, began_at = time.process_time(), time.perf_counter()
    table = sides[side](folder)
    seconds, wall = time.process_time() - began, time.perf_counter() - began_at
    cost = Cost(wall, seconds, _peak_mib())
    table.to_parquet(folder / f"{side}.parquet", index=False)
    sys.stdout.write(json.dumps(asdict(cost)))


def _peak_mib() -> float:
    """Of this process alone. `getrusage` begins with what its parent held, of which this benchmark's holds the most."""
    status = Path("/proc/self/status").read_text()
    found = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(found.split()[1]) / 1024
