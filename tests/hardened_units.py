"""What every unit of ours must say, and how a unit is read: for the tests of both ends' units."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

EVERYWHERE = {
    "AmbientCapabilities": {""},
    "CapabilityBoundingSet": {""},
    "KeyringMode": {"private"},
    "LimitCORE": {"0"},
    "LockPersonality": {"yes"},
    "MemoryDenyWriteExecute": {"yes"},
    "MemoryMax": {"75%"},
    "NoNewPrivileges": {"yes"},
    "PrivateDevices": {"yes"},
    "PrivateTmp": {"yes"},
    "ProtectClock": {"yes"},
    "ProtectControlGroups": {"yes"},
    "ProtectHome": {"yes"},
    "ProtectHostname": {"yes"},
    "ProtectKernelLogs": {"yes"},
    "ProtectKernelModules": {"yes"},
    "ProtectKernelTunables": {"yes"},
    "ProtectProc": {"invisible"},
    "ProtectSystem": {"strict"},
    "RemoveIPC": {"yes"},
    "Restart": {"always"},
    "RestrictNamespaces": {"yes"},
    "RestrictRealtime": {"yes"},
    "RestrictSUIDSGID": {"yes"},
    "StartLimitIntervalSec": {"0"},
    "SystemCallArchitectures": {"native"},
    "SystemCallErrorNumber": {"EPERM"},
    "SystemCallFilter": {"@system-service", "~@privileged"},
    "UMask": {"0077"},
}
"""Setting and its lines, no more and no fewer."""

OF_NEWER_SYSTEMD = ("RestartSteps", "RestartMaxDelaySec")
"""Known from 254 on; an older one passes over them, and says so."""


def settings_of(unit: str) -> dict[str, set[str]]:
    """Every line's value, by setting."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in unit.splitlines():
        if line and not line.startswith(("#", "[")):
            name, sign, value = line.partition("=")
            assert sign, line
            found[name].add(value)
    return dict(found)


def lacking(unit: str, demanded: Mapping[str, set[str]]) -> set[str]:
    """The settings that are not as demanded."""
    found = settings_of(unit)
    return {name for name, lines in demanded.items() if found.get(name) != lines}


def without(unit: str, setting: str) -> str:
    return "\n".join(line for line in unit.splitlines() if not line.startswith(f"{setting}="))


def complaints(folder: Path) -> list[str] | None:
    """What systemd itself has to say against the units in a folder; None where it is not installed."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return None
    units = sorted(map(str, folder.iterdir()))
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False, timeout=60
    )
    lines = (done.stdout + done.stderr).splitlines()
    # Of the machine's own units it may say something, too.
    return [line for line in lines if "oncofed" in line and not any(name in line for name in OF_NEWER_SYSTEMD)]
