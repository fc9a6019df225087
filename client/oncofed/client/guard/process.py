"""What is the guard as a process? `python -m oncofed.client.guard.process NODE` serves until SIGTERM or SIGINT.

It opens no network port. Ends with status 2, and says why, before it listens, when anything of its set-up is at fault:
an unknown or misspelt field of policy.toml, a site without a coordinator, a damaged ledger, a guard that runs already.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.pinned_keys import pinned_keys
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.guard.public_times import PublicTimes
from oncofed.client.guard.taking import DecisionTaker
from oncofed.client.guard.token import read_digits
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.records.agreement import refuse_disagreement
from oncofed.client.records.source_memory import remember_sources
from oncofed.client.records.sqlite_ledger import verify_ledger
from oncofed.errors import OncofedError
from oncofed.supervision import end_with_parent
from oncofed.texts import LogLines, shown

LOOK_SECONDS = 2.0
"""How often it looks whether patients in memory are approved still, and whether persons want a decision taken."""
_AT_FAULT = 2
_ARGUMENTS = 2

_log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """arguments: the program and the node's folder. Returns the exit status."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m oncofed.client.guard.process NODE\n")
        return _AT_FAULT
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # What this process writes is nobody else's, and a core file would hold patients.
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    end_with_parent()
    try:
        _serve(NodeFolder(Path(arguments[1]).absolute()), ended)
    except OncofedError as fault:
        sys.stderr.write(f"the guard does not start: {shown(str(fault))}\n")
        return _AT_FAULT
    return 0


def _serve(folder: NodeFolder, ended: threading.Event) -> None:
    settings = read_site(folder)
    policy = read_policy(folder.policy)
    keys = pinned_keys(folder, settings)
    verify_ledger(folder.ledger, anchor=None)
    told = refuse_disagreement(folder)
    times = PublicTimes()
    guard = NodeGuard(folder, site=settings.name, keys=keys, pace=times)
    remember_sources(folder, policy, guard.audit, told=told)
    token_sha256, decisions = read_digits(folder.token_sha256), DecisionTaker(folder, guard.decisions)
    try:
        decisions.decline()
        with serving(
            guard,
            socket=folder.socket,
            token_sha256=token_sha256,
            site=settings.name,
            audit=guard.audit,
            answer_key=keys.answer,
            asker_key=keys.coordinator,
            times=times,
        ):
            guard.audit.append("guard_started")
            _log.info("the guard of %s listens; its policy has %d data sources", settings.name, len(policy.sources))
            while not ended.wait(LOOK_SECONDS):
                guard.forget_unapproved()
                decisions.look()
            _log.info("the guard of %s ends", settings.name)
    finally:
        decisions.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
