"""Which plans has this hospital been offered, and what did it decide about each?

The documents lie in guard/plans, where the guard keeps what the coordinator sends, and where `oncofed site plans --add`
keeps one that came by mail: the same checks for both. Every document's size, hash and signature are verified again
when it is listed, over its bytes; it is parsed when somebody reads what it asks for, and then once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property

from oncofed.client.guard import trust
from oncofed.client.guard.trust import Untrusted
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Approval, Decision
from oncofed.client.records.offers import MOST_WAITING, Offers
from oncofed.client.records.plan_keys import PlanKeys
from oncofed.errors import Fault, InvalidInput, RecordDamaged, SignatureInvalid
from oncofed.plain_file import file_content
from oncofed.protocol.study_document import LARGEST_BYTES, SealedDocument, StudyDocument


@dataclass(frozen=True, eq=False)
class OfferedPlan:
    """sealed: what the coordinator signed. where: its file. coordinator: the pinned key.

    decision: None while nobody here has decided. lost: why it is not known; then nothing is answered.
    """

    sealed: SealedDocument
    where: str
    coordinator: bytes
    decision: Approval | None
    lost: str = ""

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
        with _as_faults(self.where):
            return trust.document_of(self.sealed.content, coordinator=self.coordinator, where=self.where)

    @property
    def waits(self) -> bool:
        """For its first decision."""
        return self.decision is None and not self.lost

    @property
    def state(self) -> str:
        """For a list: waits for a decision, approved, declined."""
        if self.lost:
            return "was decided, and is not answered: approve or decline it again"
        return "waits for a decision" if self.decision is None else self.decision.decision.value


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


def offers_of(folder: NodeFolder) -> Offers:
    """The plans that lie here."""
    return Offers(folder.plans, approvals_of(folder).find)


def offered_plans(folder: NodeFolder) -> tuple[OfferedPlan, ...]:
    """All of them, those that wait first. Raises SignatureInvalid when a file was changed."""
    found, decisions, coordinator = [], approvals_of(folder), read_site(folder).enrolled.key
    for plan_hash in offers_of(folder).hashes():
        with suppress(FileNotFoundError):  # it has given way to a newer one, just now
            found.append(_read(folder, plan_hash, decisions, coordinator))
    return tuple(sorted(found, key=lambda plan: (plan.decision is not None, plan.study)))


def find_plan(folder: NodeFolder, beginning: str) -> OfferedPlan:
    """The plan whose hash begins so. Raises InvalidInput when there is none, or more than one."""
    names = offers_of(folder).hashes()
    found = [name for name in names if name.startswith(beginning)]
    if len(found) == 1:
        with suppress(FileNotFoundError):  # as in `offered_plans`
            return _read(folder, found[0], approvals_of(folder), read_site(folder).enrolled.key)
    what = "several plans have a hash that begins so" if len(found) > 1 else "no plan here has a hash that begins so"
    listed = ", ".join(name[:12] for name in names) or "none; the coordinator has not offered any"
    remedy = (
        f"Known: {listed}. One that nobody here has looked at gives way when the coordinator offers more than "
        f"{MOST_WAITING}; while it waits for an answer, it offers the plan again."
    )
    raise InvalidInput([Fault("plan", what, remedy)])


def looked_at(folder: NodeFolder, beginning: str) -> OfferedPlan:
    """The same, and from now on it gives way to none: somebody here looks at it, or decides."""
    plan = find_plan(folder, beginning)
    with suppress(FileNotFoundError):
        offers_of(folder).show(plan.plan_hash)
        return plan
    return looked_at(folder, beginning)  # it gave way in between; if it is not here again, that says so


def approved_on(plans: Iterable[OfferedPlan], data_source: str) -> tuple[StudyDocument, ...]:
    """Of these plans, those that may charge a data source."""
    return tuple(
        plan.document
        for plan in plans
        if plan.decision is not None
        and plan.decision.decision is Decision.APPROVED
        and plan.decision.data_source == data_source
    )


def _read(folder: NodeFolder, plan_hash: str, decisions: Approvals, coordinator: bytes) -> OfferedPlan:
    path = folder.plans / f"{plan_hash}.json"
    path.stat()  # raises FileNotFoundError where it has given way
    content = file_content(path, most=LARGEST_BYTES)
    with _as_faults(str(path)):
        sealed = trust.sealed(content, coordinator=coordinator, where=path.name)
    if sealed.plan_hash != plan_hash:
        remedy = "Remove it; the coordinator offers the plan again."
        raise InvalidInput([Fault(path.name, "holds another plan than its name says", remedy)])
    try:
        return OfferedPlan(sealed, path.name, coordinator, decisions.find(plan_hash))
    except RecordDamaged as damaged:  # deciding again is the remedy, so it must be possible
        return OfferedPlan(sealed, path.name, coordinator, None, str(damaged))


@contextmanager
def _as_faults(where: str) -> Iterator[None]:
    try:
        yield
    except Untrusted as refused:
        if refused.faults:
            raise InvalidInput(refused.faults) from None
        raise SignatureInvalid(
            f"{where}: {refused.told}. Was it changed, or is it of a coordinator this hospital has left? Take it out "
            "of the folder; the pinned coordinator offers its plans again."
        ) from None
