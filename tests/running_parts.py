"""How does a test say that a part runs? A process of its own holds the part's lock, as the part does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDS = """
import pathlib, sys, time
from oncofed.running import hold_while_running
hold_while_running(pathlib.Path(sys.argv[1]), what="a part")
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def held_by_another(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """While inside; then it is killed, as a part may be."""
    process = subprocess.Popen([sys.executable, "-c", _HOLDS, str(lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()
