"""Which plans has this hospital been offered, and what did it decide about each?

The documents lie in guard/plans, where the guard keeps what the coordinator sends, and where `oncofed site plans --add`
keeps one that came by mail: the same checks for both. Every document's size, hash and signature are verified again
when it is listed, over its bytes; it is parsed when somebody reads what it asks for, and then once.

Promises: a document that is lost or damaged stands in the way of no other plan, and is told with its remedy; its plan
can be declined, and forgotten, by the hash alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from oncofed.client.guard import trust
from oncofed.client.guard.trust import Untrusted
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.install.rights import away
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Approval, Decision
from oncofed.client.records.offers import MOST_WAITING, Offers
from oncofed.client.records.plan_keys import PlanKeys
from oncofed.errors import Fault, InvalidInput, RecordDamaged, SignatureInvalid
from oncofed.plain_file import file_content
from oncofed.protocol.plan_hash import digits_apart, refuse_short, shown_of
from oncofed.protocol.study_document import LARGEST_BYTES, SealedDocument, StudyDocument


@dataclass(frozen=True, eq=False)
class OfferedPlan:
    """sealed: what the coordinator signed. where: its file. coordinator: the pinned key.

    decision: None while nobody here has decided. lost: why it is not known; then nothing is answered.
    is_closed: signed with a key that the coordinator has replaced, so that nothing is answered of it.
    """

    sealed: SealedDocument
    where: str
    coordinator: bytes
    decision: Approval | None
    lost: str = ""
    is_closed: bool = False

    @property
    def plan_hash(self) -> str:
        return self.sealed.plan_hash

    @property
    def study(self) -> str:
        """Its name."""
        return self.sealed.study

    @cached_property
    def document(self) -> StudyDocument:
        """All that it asks for. Raises InvalidInput for one of another form, SignatureInvalid."""
        try:
            return trust.document_of(self.sealed.content, coordinator=self.coordinator, where=self.where)
        except Untrusted as refused:
            if refused.faults:
                raise InvalidInput(refused.faults) from None
            raise SignatureInvalid(f"{self.where}: {refused.told}") from None

    @property
    def waits(self) -> bool:
        """For its first decision."""
        return self.decision is None and not self.lost

    @property
    def state(self) -> str:
        """For a list: waits for a decision, approved, declined."""
        if self.lost:
            return "was decided, and is not answered: approve or decline it again"
        if self.is_closed and self.decision is not None:
            return f"was {self.decision.decision.value}; its coordinator has another key, and nothing is answered"
        return "waits for a decision" if self.decision is None else self.decision.decision.value


@dataclass(frozen=True)
class UnreadPlan:
    """A plan whose document is lost or damaged.

    shown  as much of its hash as names it. what: which file, and what is wrong with it. remedy: the commands.
    decision, lost  as of an `OfferedPlan`.
    """

    plan_hash: str
    shown: str
    what: str
    remedy: str
    decision: Approval | None
    lost: str = ""

    @property
    def waits(self) -> bool:
        """Nobody here has decided on it."""
        return self.decision is None and not self.lost

    def __str__(self) -> str:
        return f"{self.shown}  {self.what}. {self.remedy}"


@dataclass(frozen=True)
class OfferedPlans:
    """read: those that wait first. unread: by hash; of documents that are not there, those that are needed."""

    read: tuple[OfferedPlan, ...]
    unread: tuple[UnreadPlan, ...]

    @property
    def digits(self) -> int:
        """As many as tell them apart."""
        return digits_apart([*(plan.plan_hash for plan in self.read), *(plan.plan_hash for plan in self.unread)])


def approvals_of(folder: NodeFolder) -> Approvals:
    """The node's decisions."""
    return Approvals(
        folder.approvals,
        folder.bundles,
        AuditLog(folder.audit_log),
        folder.held_out_secret,
        folder.patients,
        PlanKeys(folder.masking),
    )


def offers_of(folder: NodeFolder, decisions: Approvals | None = None) -> Offers:
    """The plans that lie here. decisions: the node's, whose audit log may have been read already; here and below."""
    return Offers(folder.plans, (decisions or approvals_of(folder)).find)


def offered_plans(folder: NodeFolder, decisions: Approvals | None = None) -> OfferedPlans:
    """All of them. Raises OSError where the folder may not be read, which is not an empty one."""
    read, unread, decisions = [], [], decisions or approvals_of(folder)
    known = _known(folder, decisions)
    for plan_hash in known:
        found = _plan(folder, plan_hash, decisions, known)
        if isinstance(found, OfferedPlan):
            read.append(found)
        elif not _gave_way(folder, found):
            unread.append(found)
    read.sort(key=lambda plan: (plan.decision is not None, plan.study))
    return OfferedPlans(tuple(read), tuple(unread))


def refuse_unread(unread: Sequence[UnreadPlan]) -> None:
    """Raises RecordDamaged that tells each, after whatever could be told of the others."""
    if unread:
        said = "a plan's document" if len(unread) == 1 else f"the documents of {len(unread)} plans"
        raise RecordDamaged("\n".join([f"{said} cannot be read", *(f"  - {plan}" for plan in unread)]))


def shown(folder: NodeFolder, plan_hash: str) -> str:
    """As much of a plan's hash as names it here."""
    return shown_of(plan_hash, among=_known(folder, approvals_of(folder)))


def find_hash(folder: NodeFolder, beginning: str, decisions: Approvals | None = None) -> str:
    """The whole hash of the plan that begins so, be its document lost.

    Raises InvalidInput: none, more than one, too few digits.
    """
    refuse_short(beginning, where="plan")
    names = _known(folder, decisions or approvals_of(folder))
    found = [name for name in names if name.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    what = "several plans have a hash that begins so" if found else "no plan here has a hash that begins so"
    listed = ", ".join(shown_of(name, among=names) for name in names) or "none; the coordinator has not offered any"
    remedy = (
        f"Known: {listed}. One that nobody here has looked at gives way when the coordinator offers more than "
        f"{MOST_WAITING}; while it waits for an answer, it offers the plan again."
    )
    raise InvalidInput([Fault("plan", what, remedy)])


def find_plan(folder: NodeFolder, beginning: str, decisions: Approvals | None = None) -> OfferedPlan:
    """The plan whose hash begins so. Raises InvalidInput as `find_hash`, RecordDamaged where it cannot be read."""
    decisions = decisions or approvals_of(folder)
    plan_hash = find_hash(folder, beginning, decisions)
    found = _plan(folder, plan_hash, decisions, _known(folder, decisions))
    if isinstance(found, OfferedPlan):
        return found
    if _gave_way(folder, found):
        return find_plan(folder, beginning, decisions)  # if it is not here again, that says so
    refuse_unread([found])
    raise AssertionError("it is refused")


def study_of(folder: NodeFolder, plan_hash: str) -> str:
    """How a plan is called; in words where its document cannot be read."""
    decisions = approvals_of(folder)
    found = _plan(folder, plan_hash, decisions, _known(folder, decisions))
    return found.study if isinstance(found, OfferedPlan) else "a plan whose document cannot be read"


def looked_at(folder: NodeFolder, beginning: str, decisions: Approvals | None = None) -> OfferedPlan:
    """The same, and from now on it gives way to none: somebody here looks at it, or decides."""
    plan = find_plan(folder, beginning, decisions)
    with suppress(FileNotFoundError):
        offers_of(folder, decisions).show(plan.plan_hash)
        return plan
    return looked_at(folder, beginning, decisions)  # it gave way in between; if it is not here again, that says so


def approved_on(plans: Iterable[OfferedPlan], data_source: str) -> tuple[StudyDocument, ...]:
    """Of these plans, those that may charge a data source."""
    return tuple(
        plan.document
        for plan in plans
        if plan.decision is not None
        and plan.decision.decision is Decision.APPROVED
        and plan.decision.data_source == data_source
    )


def _known(folder: NodeFolder, decisions: Approvals) -> list[str]:
    """Those whose document lies here, and those that need one and may have lost it."""
    names = set(offers_of(folder, decisions).hashes())
    with suppress(RecordDamaged):  # the audit log: who needs one is not known
        names.update(decisions.not_declined())
    return sorted(names)


def _gave_way(folder: NodeFolder, plan: UnreadPlan) -> bool:
    """To another one, just now: nobody has decided on it, and it is not here."""
    return plan.waits and not os.path.lexists(offers_of(folder).path(plan.plan_hash))


def _plan(folder: NodeFolder, plan_hash: str, decisions: Approvals, known: Sequence[str]) -> OfferedPlan | UnreadPlan:
    decision, lost = None, ""
    try:
        decision = decisions.find(plan_hash)
    except RecordDamaged as damaged:  # deciding again is the remedy, so it must be possible
        lost = str(damaged)
    path = offers_of(folder).path(plan_hash)
    pinned = read_site(folder).enrolled
    # What was decided while a former key counted can be read, and its model explains; nothing is answered of it.
    for coordinator in (pinned.key, *(pinned.former_keys if decision is not None else ())):
        read = _document(path, coordinator=coordinator)
        if isinstance(read, SealedDocument):
            return OfferedPlan(read, path.name, coordinator, decision, lost, is_closed=coordinator != pinned.key)
    read = _document(path, coordinator=pinned.key)
    assert isinstance(read, str)
    needed = lost or (decision is not None and decision.decision is Decision.APPROVED)
    short = shown_of(plan_hash, among=known)
    what, named = f"{path} {read}", f"{folder.root} {short}"
    if needed:
        what += ", so nothing of its plan is answered, and its patients stay frozen"
        remedy = (
            "Put the file back from any backup (oncofed site init sets its rights), or add the document as the "
            f"coordinator signed it: oncofed site plans {folder.root} --add FILE. Or withdraw "
            f"the approval: oncofed site decline {named}"
        )
    elif path.is_dir():
        remedy = f"{away()} The coordinator offers the plan again"
    else:
        remedy = f"oncofed site forget {named}  (the coordinator offers it again while it waits for an answer)"
    return UnreadPlan(plan_hash, short, what, remedy, decision, lost)


def _document(path: Path, *, coordinator: bytes) -> SealedDocument | str:
    """That of the plan which its name says; else what is wrong with it."""
    try:
        content = file_content(path, most=LARGEST_BYTES)
        sealed = trust.sealed(content, coordinator=coordinator, where=path.name)
    except InvalidInput as refused:
        if not os.path.lexists(path):
            return "is lost"
        return "; ".join(fault.what.removeprefix("the file ") for fault in refused.faults)
    except Untrusted as refused:
        told = refused.told or "; ".join(fault.what for fault in refused.faults)
        return f"was changed, or is of a coordinator that this hospital has left ({told})"
    if sealed.plan_hash != path.stem:
        return "holds another plan than its name says"
    try:
        sealed.study  # noqa: B018  # all that is read of it for a list
    except InvalidInput as refused:
        return "; ".join(fault.what for fault in refused.faults)
    return sealed
