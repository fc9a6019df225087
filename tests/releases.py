"""How does a guard write down releases, without patients? Or as a process: `releases.py NODE FIRST MOST`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from oncofed.client.install.folder import NodeFolder
from oncofed.client.records.audit_entries import Released
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.sqlite_ledger import SqliteLedger
from oncofed.privacy.ledger import Budget, Charge
from oncofed.privacy.shared_noise import SharedIntegerRelease

PLAN = "ab" * 32
_CHEAP = SharedIntegerRelease(900.0, 100, 20, 1.0, 1, 0, 0)


def releases(folder: NodeFolder, *, first: int, most: int) -> None:
    """Announced, charged, kept and told, in this order, as `NodeGuard` does it."""
    log = AuditLog(folder.audit_log)
    ledger = SqliteLedger(folder.ledger, data_source="registry", budget=Budget(1e6, 1e-5))
    for number in range(first, first + most):
        identity = f"{PLAN}/Bonn/{number}/0"
        log.announce("contributed", plan_hash=PLAN, round_=number, attempt=0)
        ledger.charge(Charge(identity, str(number), _CHEAP))
        asked = folder.answers / f"{hashlib.sha256(identity.encode()).hexdigest()}.asked"
        asked.write_text("0" * 64)
        left = (Released("update", (1,), "int64", 8, "0" * 64),)
        log.append("contributed", plan_hash=PLAN, round_=number, attempt=0, left=left)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    releases(NodeFolder(Path(sys.argv[1])), first=int(sys.argv[2]), most=int(sys.argv[3]))
