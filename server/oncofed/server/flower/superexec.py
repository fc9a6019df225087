"""What starts the ServerApp of a run? Flower's SuperExec, with the coordinator's secret.

``python -m oncofed.server.flower.superexec COORD``. It asks the SuperLink for work over loopback and starts
Flower's own `flwr-serverapp`, which finds the coordinator's folder in the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flwr.supercore.superexec.run_superexec import run_superexec

from oncofed.errors import InvalidInput
from oncofed.flower_environment import flower_environment
from oncofed.running import hold_while_running
from oncofed.secret_files import read_secret
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings
from oncofed.supervision import end_with_parent

COORDINATOR = "ONCOFED_COORDINATOR"
"""Names the coordinator's folder to the ServerApp."""

_POLL_SECONDS = 0.5


def main() -> None:
    """The process."""
    folder = CoordinatorFolder(Path(sys.argv[1]).resolve())
    os.umask(0o077)
    os.environ.update(
        flower_environment(folder.flower_home, inherited=os.environ, task_poll_seconds=_POLL_SECONDS)
        | {COORDINATOR: str(folder.root)}
    )
    end_with_parent()
    try:
        hold_while_running(folder.locks["superexec"], what=f"the SuperExec of {folder.root}")
    except InvalidInput as fault:
        sys.exit(f"the SuperExec does not start: {fault}")
    run_superexec(
        runtime_api_address=read_settings(folder).local_address,
        insecure=False,
        root_certificates_path=str(folder.ca_certificate),
        superexec_auth_secret=read_secret(folder.superexec_secret),
        runtime_dependency_install=False,
    )


if __name__ == "__main__":
    main()
