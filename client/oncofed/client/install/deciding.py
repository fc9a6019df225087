"""How does a decision about a plan come into force, whoever says so: a command, or persons in the console?

The one way of both. `approve` and `decline` take a decision at once. Where several persons must agree, or somebody
says so in the console, each says it with an account of the pages (`want`), which is a line of the audit log and no
more; then `take` looks whether enough want the same and takes it: in the command that spoke last, or in the guard's own
process (`guard.taking`). The process of the pages takes none.

Promises: whatever the policy, the ledger and the table say is asked when a decision is taken, not when somebody wished
it, and an approval that was declined while the table was read is not put into force. To decline waits for no table, and
asks no policy. Wishes count of accounts that are approvers and enabled at that moment, and two persons are two
accounts. What cannot be taken ends its wishes, and the reason is kept for whoever looks. Refused: a wish for a plan
that was decided on since the person looked, for an unknown data source, and a second one by the same person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from oncofed.client.guard.policy_file import NodePolicy, read_policy
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.install.inbox import approvals_of, find_hash, looked_at, offers_of
from oncofed.client.install.kept_settings import accounts_of
from oncofed.client.install.peers import peers_in_words
from oncofed.client.install.spending import ledger_of
from oncofed.client.pages.accounts import Account, Role, accounts_in
from oncofed.client.records.agreement import refuse_disagreement
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Approval, Decision
from oncofed.client.records.source_memory import remember_sources
from oncofed.client.records.wishes import (
    APPROVAL_WANTED,
    DECLINE_WANTED,
    NOBODY,
    NOT_TAKEN,
    Reason,
    Wishes,
    decline_due,
    due,
    wishes_in,
)
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import Fault, InvalidInput, OncofedError, PrivacyRefusal
from oncofed.plain_file import OtherKind, plain_bytes
from oncofed.protocol.study_document import StudyDocument, document_bytes, schema_of

_LONGEST_WORDS = 20_000
"""Bytes that are kept of why a decision was not taken."""


class Refused(StrEnum):
    """Why somebody's wish is not noted."""

    DECIDED = "stale_plan"
    SAID = "same_person"
    SOURCE = "unknown_source"


class WishRefused(OncofedError):
    """A person of the hospital cannot want this now."""

    def __init__(self, why: Refused) -> None:
        self.why = why
        super().__init__(_REFUSED[why])


_REFUSED = {
    Refused.DECIDED: "This plan was decided on since you looked at it. Look again.",
    Refused.SAID: "You have said so already. Another person must say it, too.",
    Refused.SOURCE: "The policy has no data source of this name.",
}


def plan_in_words(folder: NodeFolder, document: StudyDocument, *, columns: int) -> str:
    """What a plan asks for, and who its hospitals are as far as this one knows."""
    from oncofed.protocol.plan_words import plan_in_words as words_of  # noqa: PLC0415 - these two load torch
    from oncofed.survival.network import parameter_count  # noqa: PLC0415

    said = words_of(
        document.plan, schema_of(document), parameters=parameter_count(document.plan.model), columns=columns
    )
    known = peers_in_words(document.plan, read_policy(folder.policy).peers, site=read_site(folder).name)
    return f"{said}\n{known}"


def approve(folder: NodeFolder, document: StudyDocument, *, source: str, by: str, looked_on: str) -> Approval:
    """Approve a plan for the patients that a data source holds now, and freeze them. One person says so.

    looked_on  `Wishes.ended` when this person read the plan.

    Raises InvalidInput (also where the policy asks for several persons by then), PrivacyRefusal, RecordFailure,
    WishRefused; then nothing is approved.
    """

    def still_wanted() -> None:
        refuse_one_person(read_policy(folder.policy))
        if looked_on != _wishes(folder, document.plan.hash).ended:
            raise WishRefused(Refused.DECIDED)

    still_wanted()
    return _approve(folder, document, source=source, by=by, still_wanted=still_wanted)


def refuse_one_person(policy: NodePolicy) -> None:
    """Raises InvalidInput where one person alone may not approve."""
    if policy.persons_to_approve > 1:
        what = f"asks for {policy.persons_to_approve} persons (persons_to_approve), and you have not said who you are"
        remedy = "Add --as NAME: your account with the role approver (oncofed site pages add-user). Or use the console."
        raise InvalidInput([Fault("policy: [node]", what, remedy)])


def decline(folder: NodeFolder, plan_hash: str, *, by: str, reason: str = "") -> Approval:
    """Decline a plan, or withdraw its approval. Its document may be lost. Waits for no table that is being read."""
    return approvals_of(folder).decline(plan_hash, declined_by=by, now=datetime.now(UTC), reason=reason)


def want(
    folder: NodeFolder,
    plan_hash: str,
    decision: Decision,
    *,
    of: str,
    by: str,
    looked_on: str,
) -> None:
    """Note that a person, who is known by an account's password, wants this.

    of         the data source, or the reason to decline.
    looked_on  `Wishes.ended` when this person read the plan.

    Raises WishRefused, InvalidInput for a plan that is not here, RecordFailure.
    """
    with approvals_of(folder).held():  # meanwhile nobody decides
        wishes = _wishes(folder, plan_hash)
        if looked_on != wishes.ended:
            raise WishRefused(Refused.DECIDED)
        log = AuditLog(folder.audit_log)
        if decision is Decision.DECLINED:
            log.append(DECLINE_WANTED, plan_hash=find_hash(folder, plan_hash), by=by, code=Reason(of))
            return
        looked_at(folder, plan_hash)
        if of not in [source.name for source in read_policy(folder.policy).sources]:
            raise WishRefused(Refused.SOURCE)
        if by in wishes.approving(of, now=datetime.now(UTC)):
            raise WishRefused(Refused.SAID)
        log.append(APPROVAL_WANTED, plan_hash=plan_hash, by=by, facts={"data_source": of})


def _wishes(folder: NodeFolder, plan_hash: str) -> Wishes:
    return wishes_in(folder.audit_log).read().get(plan_hash, NOBODY)


def approvers(folder: NodeFolder) -> frozenset[str]:
    """Accounts that may say yes or no now."""
    return frozenset(each.name for each in accounts_in(accounts_of(folder)) if may_decide(each))


def may_decide(account: Account) -> bool:
    return account.enabled and account.role is Role.APPROVER


def take(folder: NodeFolder, plan_hash: str) -> Approval | None:
    """Take the decision about this plan that enough persons want; None where too few do.

    A decline waits for nothing; an approval asks last whether the same is wanted still, and gives way where not.

    Raises as `approve`; then its wishes are over, and `why_not_taken` says why.
    """
    wanted = _due(folder, plan_hash)
    if wanted is None:
        return None
    decision, of, by = wanted
    if decision is Decision.DECLINED:
        return decline(folder, plan_hash, by=by, reason=of)

    def still_wanted() -> None:
        if _due(folder, plan_hash) != wanted:
            raise WishRefused(Refused.DECIDED)

    try:
        return _approve(folder, looked_at(folder, plan_hash).document, source=of, by=by, still_wanted=still_wanted)
    except WishRefused:  # decided meanwhile, by this process's twin or by somebody who declined
        return approvals_of(folder).find(plan_hash)
    except Exception as refused:
        content = str(refused).encode("utf-8", "replace")[:_LONGEST_WORDS]
        with unwritable(folder.approvals):
            folder.approvals.mkdir(mode=0o700, exist_ok=True)
        replace_durably(_words_file(folder, plan_hash), content)
        AuditLog(folder.audit_log).append(NOT_TAKEN, plan_hash=plan_hash, code=_kind(refused), by=by)
        raise


def _due(folder: NodeFolder, plan_hash: str) -> tuple[Decision, str, str] | None:
    wishes, may, now = _wishes(folder, plan_hash), approvers(folder).__contains__, datetime.now(UTC)
    declined = decline_due(wishes, now=now, may=may)  # whatever has become of the policy
    return declined or due(wishes, read_policy(folder.policy), now=now, may=may)


def all_due(folder: NodeFolder, known: Iterator[tuple[str, Wishes]], decision: Decision) -> list[str]:
    """The plans about which this decision is due. known: wishes by plan hash. Reads no more than it must."""
    waiting = [(plan_hash, wishes) for plan_hash, wishes in known if wishes.approvals or wishes.declines]
    if not waiting:
        return []
    may, now = approvers(folder).__contains__, datetime.now(UTC)
    declined = [plan_hash for plan_hash, wishes in waiting if decline_due(wishes, now=now, may=may)]
    if decision is Decision.DECLINED:
        return declined
    policy = read_policy(folder.policy)
    found = [plan_hash for plan_hash, wishes in waiting if due(wishes, policy, now=now, may=may)]
    return [plan_hash for plan_hash in found if plan_hash not in declined]


def why_not_taken(folder: NodeFolder, plan_hash: str) -> str:
    """What was said when the last try failed; empty where nothing is kept."""
    with suppress(FileNotFoundError, OtherKind), unwritable(folder.approvals):
        return plain_bytes(_words_file(folder, plan_hash), most=_LONGEST_WORDS).decode("utf-8", "replace")
    return ""


def _words_file(folder: NodeFolder, plan_hash: str) -> Path:
    return folder.approvals / f"{plan_hash}.refused"


def _kind(refused: Exception) -> str:
    kinds = ((InvalidInput, "faults"), (PrivacyRefusal, "refused"), (OncofedError, "records"))
    return next((kind for error, kind in kinds if isinstance(refused, error)), "failed")


def _approve(
    folder: NodeFolder, document: StudyDocument, *, source: str, by: str, still_wanted: Callable[[], None]
) -> Approval:
    from oncofed.client.guard.trial import measured, refuse_if_slow  # noqa: PLC0415 - it loads torch

    policy, plan, site = read_policy(folder.policy), document.plan, read_site(folder).name
    named = policy.source(source)
    refuse_disagreement(folder)
    remember_sources(folder, policy, AuditLog(folder.audit_log))
    approved = approvals_of(folder).approve(
        plan,
        schema_of(document),
        site=site,
        policy=policy,
        source=named,
        ledger=ledger_of(folder, named),
        approved_by=by,
        now=datetime.now(UTC),
        trial=lambda file, sha256: refuse_if_slow(
            plan, measured(plan, site=site, policy=named.site_policy, file=file, sha256=sha256)
        ),
        still_wanted=still_wanted,
    )
    if not offers_of(folder).path(plan.hash).exists():  # somebody else here has just said `forget`
        offers_of(folder).keep(plan.hash, document_bytes(document))
    return approved
