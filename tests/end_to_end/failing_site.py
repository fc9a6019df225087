"""``python -m tests.end_to_end.failing_site NODE``: `oncofed site start`, with a guard and a relay to be troubled.

Everything else is the product's: its services, their environment, its supervisor.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.install.services import node_services
from oncofed.supervision import Service, Supervisor

MODULES = {"guard": "tests.end_to_end.failing_guard", "relay": "tests.end_to_end.hostile_relay_app"}


def lie_file(folder: NodeFolder) -> Path:
    """See `hostile_relay_app`."""
    return folder.root / "lie"


def _troubled(service: Service, folder: NodeFolder) -> Service:
    module = MODULES.get(service.name)
    if module is None:
        return service
    command = (sys.executable, "-m", module, str(folder.root))
    return replace(
        service, command=command, environment={**service.environment, "PYTHONPATH": os.environ["PYTHONPATH"]}
    )


if __name__ == "__main__":
    node = NodeFolder(Path(sys.argv[1]).resolve())
    services = node_services(node, read_site(node), inherited=os.environ)
    Supervisor([_troubled(each, node) for each in services], logs=node.logs, status=node.status, echo=print).run()
