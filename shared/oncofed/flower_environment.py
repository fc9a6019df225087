"""Which environment do Flower's processes need, at either end?

Promises: commands that Flower starts by name are found beside this interpreter, Flower's files stay in the given
folder, nothing is reported to Flower's makers, nothing is installed, and loopback never goes through a proxy.
Knows no Flower module, and so imports none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

FLOWER_HOME = "FLWR_HOME"
TASK_POLL_SECONDS = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def flower_environment(
    home: Path, *, inherited: Mapping[str, str], task_poll_seconds: float | None = None
) -> dict[str, str]:
    """The environment for a Flower process whose own files live in `home`.

    task_poll_seconds  how often a SuperExec asks for work; Flower's default is 1.
    """
    commands = str(Path(sys.executable).parent)
    not_proxied = [name for name in inherited.get("NO_PROXY", inherited.get("no_proxy", "")).split(",") if name]
    exempt = ",".join(dict.fromkeys((*not_proxied, *_LOOPBACK_NAMES)))
    environment = dict(inherited) | {
        "PATH": os.pathsep.join((commands, inherited.get("PATH", os.defpath))),
        FLOWER_HOME: str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": exempt,
        "no_proxy": exempt,
    }
    if task_poll_seconds is not None:
        environment[TASK_POLL_SECONDS] = f"{task_poll_seconds:g}"
    return environment
