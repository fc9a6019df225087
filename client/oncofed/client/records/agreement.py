"""Do the hospital's records tell of the same releases?

Three of them do, and each is written at a moment of its own: the audit log (what was announced, and what left), the
ledger (what was charged) and the folder of answers (``.asked``: what is never answered in another way). A ledger that
was put back from an older copy is sound in itself, and would pay twice with the same epsilon; only the others know
better. So they are compared: when the guard starts, by the doctor, when a plan is approved, and before each charge with
what this process has seen itself (`WitnessedLedger`). Where they disagree nothing is released.

All three put back together agree with each other. Then only who had the answers knows: the coordinator tells with each
question the last answer it has had (`protocol.messages`), and `forgotten` looks whether the ledger was charged
for it. What the coordinator makes up costs it the hospital's answers; what it leaves out is not found. Neither is what
left and never reached it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.records.audit_entries import (
    FORGOTTEN,
    NOT_KEPT,
    TO_BE_CHARGED,
    AuditEntry,
    Released,
    verify_audit_log,
)
from oncofed.client.records.sqlite_ledger import read_ledger
from oncofed.durable import unwritable
from oncofed.errors import InvalidInput, RecordDamaged
from oncofed.privacy.ledger import Budget, Charge, Ledger
from oncofed.protocol.messages import release_of_identity
from oncofed.protocol.wire_form import is_hash

Release = tuple[str, int | str, int]
"""Plan hash, round or name of a summary, attempt."""
_Attempt = tuple[str, int | None, int | None]
"""As a line of the audit log has it: of a summary without its name."""

_MOST_NAMED = 8
_PUT_BACK = (
    "it was cut, or an older copy was put in its place. Nothing is released. Do not put back another copy; "
    "docs/install-hospital.md, section 8, says what to do."
)


def refuse_disagreement(folder: NodeFolder) -> Sequence[AuditEntry]:
    """What the audit log tells. Raises RecordDamaged when a record knows of a release that another does not."""
    # The log twice, because a guard may release meanwhile: what left is kept and charged before, announced earlier.
    left = left_after_a_charge(verify_audit_log(folder.audit_log).entries)
    with unwritable(folder.answers):
        asked = frozenset(path.stem for path in folder.answers.glob("*.asked"))
    charges = [entry.charge for entry in read_ledger(folder.ledger)]
    told = verify_audit_log(folder.audit_log).entries
    found = disagreements(left, announced_in(told), charges, asked)
    if found:
        raise RecordDamaged(f"the records disagree: {'; '.join(found)}: {_PUT_BACK}")
    return told


def forgotten(folder: NodeFolder, told: Collection[str], *, plan_hash: str) -> str:
    """Why nothing may be released, in words, when the ledger was not charged for one of `told`; else empty.

    told  identities of answers that the coordinator says it has had, of whatever data source. They come from outside:
          nothing of them is shown but hashes. plan_hash: of the plan it asks about now.

    Of other plans a policy may say that their answers are lost (`plans_with_lost_answers`): somebody here has paid for
    them otherwise. Those plans themselves `NodeGuard` never answers again, whatever is told.
    """
    if not told:
        return ""
    charged = {entry.charge.identity for entry in read_ledger(folder.ledger)}
    missing = {release.split("/", 1)[0] for release in told if release not in charged}
    given_up = _given_up(folder) if missing - {plan_hash} else frozenset()
    if not missing - given_up:
        return ""
    named = ", ".join([plan for plan in sorted(missing) if is_hash(plan)][:_MOST_NAMED]) or "unknown plans"
    return (
        "the coordinator has had answers that the ledger was not charged for: an older copy of all records was put in "
        "place of these, or the coordinator is mistaken. Nothing is released. Put nothing back but as "
        f"docs/install-hospital.md, section 8, says. They belong to {named}."
    )


def _given_up(folder: NodeFolder) -> frozenset[str]:
    try:
        return frozenset(read_policy(folder.policy).plans_with_lost_answers)
    except InvalidInput:  # then every request is refused anyway
        return frozenset()


def forgotten_since_the_last_answer(entries: Sequence[AuditEntry]) -> AuditEntry | None:
    """What a coordinator told, if it has had no answer since then: the newest line of it. For people."""
    for entry in reversed(entries):
        if entry.left or entry.event == FORGOTTEN:
            return entry if entry.event == FORGOTTEN else None
    return None


def left_after_a_charge(entries: Sequence[AuditEntry]) -> dict[Release, bool]:
    """What the audit log announced to be charged, and then let out; whether it was kept, too."""
    announced, lost = announced_in(entries), {_attempt(entry) for entry in entries if entry.event == NOT_KEPT}
    return {
        (entry.plan_hash, _release(entry, left), entry.attempt): _attempt(entry) not in lost
        for entry in entries
        for left in entry.left
        if entry.attempt is not None and _attempt(entry) in announced
    }


def announced_in(entries: Sequence[AuditEntry]) -> frozenset[_Attempt]:
    """What the audit log announced to be charged, whether it was or not."""
    return frozenset(_attempt(entry) for entry in entries if entry.event == TO_BE_CHARGED)


def disagreements(
    left: Mapping[Release, bool], announced: frozenset[_Attempt], charges: Sequence[Charge], asked: frozenset[str]
) -> tuple[str, ...]:
    """What one record knows and another does not, in words. asked: SHA-256 of the identities answered."""
    charged = {release_of_identity(charge.identity): charge.identity for charge in charges}
    unannounced = [
        each for each in charged if (each[0], each[1] if isinstance(each[1], int) else None, each[2]) not in announced
    ]
    unasked = [
        each
        for each, kept in left.items()
        if kept and each in charged and hashlib.sha256(charged[each].encode()).hexdigest() not in asked
    ]
    found = []
    known = {hashlib.sha256(identity.encode()).hexdigest() for identity in charged.values()}
    if missing := len(asked - known):
        found.append(f"the folder of answers tells of {missing} releases that the ledger was not charged for")
    if missing := len(left.keys() - charged.keys()):
        found.append(f"the audit log tells of {missing} releases that the ledger was not charged for")
    if unannounced:
        found.append(f"the ledger was charged for {len(unannounced)} releases that the audit log does not announce")
    if unasked:
        found.append(f"the folder of answers has lost {len(unasked)} releases that left")
    return tuple(found)


def _attempt(entry: AuditEntry) -> _Attempt:
    return entry.plan_hash, entry.round, entry.attempt


def _release(entry: AuditEntry, left: Released) -> int | str:
    """The round, or the summary, whose name stands before the dot."""
    return left.name.rpartition(".")[0] if entry.round is None else entry.round


@dataclass
class WitnessedLedger:
    """The ledger of one data source, which must still hold whatever was seen in it.

    seen  by this process, in this data source; added to.
    """

    ledger: Ledger
    seen: set[Release] = field(default_factory=set)

    @property
    def budget(self) -> Budget:
        """As `privacy.ledger.Ledger` says."""
        return self.ledger.budget

    def charges(self) -> Sequence[Charge]:
        """As `privacy.ledger.Ledger` says. Raises RecordDamaged when a charge that was seen is gone."""
        found = self.ledger.charges()
        releases = {release_of_identity(charge.identity) for charge in found}
        missing = len(self.seen - releases)
        if missing:
            raise RecordDamaged(f"the ledger has lost {missing} charges that were in it before: {_PUT_BACK}")
        self.seen |= releases
        return found

    def charge(self, charge: Charge) -> None:
        """As `privacy.ledger.Ledger` says."""
        self.charges()
        self.ledger.charge(charge)
        self.seen.add(release_of_identity(charge.identity))
