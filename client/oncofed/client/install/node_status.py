"""What runs at this node, what was asked last, and how far is each plan: in lines, in JSON, and as an exit code.

The form of the JSON is `FORM`'s; fields may be added to it, none is taken away or means something else. It holds what
the lines hold: names of studies, times and numbers of rounds, nothing of a patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import UnreadPlan, offered_plans
from oncofed.client.install.progress import Progress, progress
from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.protocol.plan_hash import shown_of
from oncofed.running import Part

FORM = 1


@dataclass(frozen=True)
class NodeStatus:
    """last: the audit log's last entry; last_about: its plan, by as many digits as tell it from others there.

    unread  plans whose document is lost or damaged. digits: of a plan's hash, as many as tell those here apart.
    """

    site: str
    at: datetime
    parts: tuple[Part, ...]
    last: AuditEntry | None
    plans: tuple[Progress, ...]
    unread: tuple[UnreadPlan, ...]
    last_about: str
    digits: int

    @property
    def all_run(self) -> bool:
        """Whether every part is known to run."""
        return all(part.runs for part in self.parts)

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield from map(str, self.parts)
        if self.last is not None:
            last = self.last
            where = f" (plan {self.last_about}, round {last.round})" if last.round is not None else ""
            yield f"Last entry of the audit log: {last.time} {last.event} {last.code}{where}"
        for plan in self.plans:
            yield f"Plan {plan.plan_hash[: self.digits]} {plan.study}: {plan}"

    def fields(self) -> dict[str, object]:
        """For JSON."""
        last = self.last
        return {
            "form": FORM,
            "site": self.site,
            "at": self.at.isoformat(timespec="seconds"),
            "version": version("oncofed"),
            "all_run": self.all_run,
            "parts": [part.fields() for part in self.parts],
            "last_entry": None
            if last is None
            else {"time": last.time, "event": last.event, "code": last.code, "plan": last.plan_hash or None},
            "plans": [plan.fields() for plan in self.plans],
            "unreadable_plans": [plan.plan_hash for plan in self.unread],
        }


def node_status(folder: NodeFolder, *, site: str, parts: tuple[Part, ...], now: datetime) -> NodeStatus:
    """parts: as root or their users saw them. The rest is read as the guard. Raises RecordDamaged for the audit log."""
    entries = verify_audit_log(folder.audit_log).entries  # none, where there is no log yet
    plans = offered_plans(folder)
    return NodeStatus(
        site=site,
        at=now,
        parts=parts,
        last=entries[-1] if entries else None,
        plans=tuple(progress(plan, entries) for plan in plans.read),
        unread=plans.unread,
        last_about=shown_of(entries[-1].plan_hash, among=[entry.plan_hash for entry in entries]) if entries else "",
        digits=plans.digits,
    )
