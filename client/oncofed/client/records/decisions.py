"""What has this hospital decided about each plan, by what its audit log says?

A decision is told in the log before it is in force, with what may never be forgotten of it: a word that no other
decision has, the data source, the secret of the split, the masking key. Files of decisions (`approvals`) can be lost,
damaged or put back from an older copy; the log, whose ends are compared with ledger and answers, says which file is
the last, and what it said where it is gone.

Promises: what is told of a plan is known to every later decision about it, whatever became of the files between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from oncofed.client.records.followed_log import FollowedLog, Line
from oncofed.protocol.study_document import LARGEST_BYTES

LARGEST_APPROVAL = 4 * LARGEST_BYTES
"""Bytes of its file, many times what a decision takes."""


class Decision(StrEnum):
    APPROVED = "approved"
    DECLINED = "declined"


@dataclass(frozen=True)
class Approval:
    """One decision.

    cohort_hash      of the patients in the order of their identifiers, to tell people here that the table is another
                     one by now, and that a second source holds the same; of a plan that was declined, those that it
                     was last approved for.
    split            names the secret by which patients are set aside (`held_out_split`); empty where none are.
    patients_sha256  of the file of frozen patients; empty when declined, and in approvals of earlier versions, which
                     must be given again.
    masking_key      this hospital's for the plan, public, where the plan shares its noise; kept when it is declined,
                     because a plan gets no second one (`guard.trust`).
    patients_mark    of their identifiers (`patients_mark`), to find the same patients under another schema; kept as
                     `cohort_hash` is. Empty in approvals of earlier versions.
    outcome_marks    the same of their outcomes, by endpoint, to find them under other identifiers.
    file_mark        the same of the bytes of the table's file; empty for a database.
    told_as          the word by which the audit log tells this decision from others; empty in those of earlier
                     versions.
    """

    plan_hash: str
    decision: Decision
    data_source: str
    cohort_hash: str
    bundle_sha256: str
    decided_by: str
    decided_at: str
    split: str = ""
    patients_sha256: str = ""
    masking_key: str = ""
    told_as: str = ""
    patients_mark: str = ""
    outcome_marks: str = ""
    file_mark: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What the audit log keeps of it."""
        return {
            "decision": self.told_as,
            "data_source": self.data_source,
            "split": self.split,
            "masking_key": self.masking_key,
        }

    def declined(self, *, by: str, at: str, told_as: str) -> Approval:
        """The decision against the plan after this one: no code may run for it, nobody is frozen."""
        against = replace(self, decision=Decision.DECLINED, bundle_sha256="", patients_sha256="")
        return replace(against, decided_by=by, decided_at=at, told_as=told_as)


def undecided(plan_hash: str) -> Approval:
    """What is known of a plan that nobody has decided on: nothing, and nothing is approved."""
    return Approval(plan_hash, Decision.DECLINED, "", "", "", "", "")


def approval_in(content: bytes, plan_hash: str) -> Approval | None:
    """The decision about this plan in the bytes of its file, None where there is none."""
    try:
        fields = json.loads(content)
        approval = Approval(**{**fields, "decision": Decision(fields["decision"])})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = asdict(approval).values()
    return approval if approval.plan_hash == plan_hash and all(isinstance(text, str) for text in texts) else None


def content_of(approval: Approval) -> bytes:
    """The inverse."""
    return json.dumps(asdict(approval), sort_keys=True, indent=1).encode() + b"\n"


@dataclass(frozen=True)
class Told:
    """The last decision about a plan in the log, and what all of them said. told_as: empty of earlier versions."""

    decision: Decision
    by: str
    at: str
    told_as: str
    data_source: str
    split: str
    masking_key: str

    def is_of(self, approval: Approval) -> bool:
        """Whether it is this decision that was told."""
        if not self.told_as:
            return not approval.told_as and approval.decision is self.decision
        return approval.told_as == self.told_as and approval.decision is self.decision

    def as_declined(self, plan_hash: str, before: Approval | None) -> Approval:
        """What was told, where its file is not there. before: an older decision whose file is."""
        before = before or undecided(plan_hash)
        return replace(
            before.declined(by=self.by, at=self.at, told_as=self.told_as),
            data_source=self.data_source or before.data_source,
            split=self.split or before.split,
            masking_key=self.masking_key or before.masking_key,
        )


def told_after(told: Mapping[str, Told], lines: Iterable[Line]) -> dict[str, Told]:
    """`told`, and what these lines add."""
    found = dict(told)
    for line in lines:
        if line.event not in tuple(Decision):
            continue
        before = found.get(line.plan_hash)

        def kept(key: str, before: Told | None = before, facts: Mapping[str, str] = line.facts) -> str:
            return facts.get(key, "") or ("" if before is None else str(getattr(before, key)))

        found[line.plan_hash] = Told(
            Decision(line.event),
            line.by,
            line.time,
            line.facts.get("decision", ""),
            kept("data_source"),
            kept("split"),
            kept("masking_key"),
        )
    return found


class ToldDecisions:
    """Of one audit log. For several threads."""

    def __init__(self, audit_log: Path) -> None:
        self._log: FollowedLog[Mapping[str, Told]] = FollowedLog(audit_log, empty={}, after=told_after)

    def by_plan(self) -> Mapping[str, Told]:
        """As the log is now. Raises RecordDamaged, RecordUnwritable."""
        return self._log.read()
