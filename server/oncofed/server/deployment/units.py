"""Which systemd unit runs a coordinator?

One service with one user, who owns COORD; it supervises SuperLink and SuperExec itself.

Refused: a user that does not exist, and a folder that is not the user's, or that the service could not see.
"""

from __future__ import annotations

import pwd
from pathlib import Path

from oncofed.errors import Fault, InvalidInput
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings
from oncofed.unit_files import fill, installed_command, plain_path, plain_words

NAMES = ("oncofed-coordinator.service",)
OF_METRICS = ("oncofed-coordinator-metrics.service", "oncofed-coordinator-metrics.timer")
"""For node_exporter."""
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - refused, not used
"""What ProtectHome and PrivateTmp take from a service's sight."""


def coordinator_units(folder: CoordinatorFolder, *, user: str, metrics: Path | None = None) -> dict[str, str]:
    """The text of each unit by file name. Raises InvalidInput.

    metrics  the folder that node_exporter's textfile collector reads; None: no figures are written.
    """
    settings = read_settings(folder)
    faults = [
        Fault("COORD", f"lies below {hidden}, which the service does not see", "Put it below /srv, for instance.")
        for hidden in _HIDDEN
        if folder.root.is_relative_to(hidden)
    ]
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        remedy = f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {user}"
        faults.append(Fault("--user", f'there is no user "{user}"', remedy))
    else:
        if folder.root.stat().st_uid != uid:
            remedy = f"Make it as {user}. Or give it to {user} (chown -R), while its owner has no process."
            faults.append(Fault("COORD", "does not belong to the user", remedy))
    if faults:
        raise InvalidInput(faults)
    return fill(
        "oncofed.server",
        NAMES if metrics is None else (*NAMES, *OF_METRICS),
        {
            "textfiles": "" if metrics is None else plain_path(metrics, where="--metrics"),
            "name": plain_words(settings.name),
            "coordinator": plain_path(folder.root, where="COORD"),
            "oncofed": installed_command(),
            "user": user,
        },
    )
