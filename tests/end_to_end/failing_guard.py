"""``python -m tests.end_to_end.failing_guard NODE``: the guard's process, to which one thing happens when a test asks.

A file NODE/trouble says what, and is gone once it happened:
die_after_charge     kill -9 by its own hand, after the charge and before anything was computed or kept
sleep SECONDS        after the charge, as long as a slow machine needs
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from oncofed.client.guard import guard, process
from oncofed.client.install.folder import NodeFolder
from oncofed.client.patients.training import ascent_sum


def trouble_file(folder: NodeFolder) -> Path:
    return folder.root / "trouble"


def _befall(folder: NodeFolder) -> None:
    path = trouble_file(folder)
    try:
        what, _, seconds = path.read_text().partition(" ")
    except FileNotFoundError:
        return
    path.unlink()
    if what == "die_after_charge":
        os.kill(os.getpid(), signal.SIGKILL)
    assert what == "sleep"
    time.sleep(float(seconds))


if __name__ == "__main__":
    node = NodeFolder(Path(sys.argv[1]))

    def troubled(*given: Any, **named: Any) -> Any:
        _befall(node)
        return ascent_sum(*given, **named)

    assert "ascent_sum" in vars(guard), "what is put in place is what is called"
    setattr(guard, "ascent_sum", troubled)  # noqa: B010 - a name that the guard imports, and does not offer
    sys.exit(process.main(sys.argv))
