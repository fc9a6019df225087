"""How does a decision about a plan come into force, whoever says so: a command, or persons in the console?

The one way of both. `approve` and `decline` take a decision at once. Where several persons must agree, or somebody
says so in the console, each says it with an account of the pages (`want`), which is a line of the audit log and no
more; then `take` looks whether enough want the same and takes it: in the command that spoke last, or in the guard's own
process (`guard.taking`). The process of the pages takes none.

Promises: whatever the policy, the ledger and the table say is asked when a decision is taken, not when somebody wished
it, and an approval that was declined, or whose rules were changed, while the table was read is not put into force. To
decline waits for no table and nobody who decides, asks no policy, and counts whatever was decided since the person
looked, and whatever became of the account: a yes counts only of one that is an enabled approver's at that moment, and
was not changed since; two persons are two accounts. What the log tells first came first: an approval looks once more
while nobody can write there. What cannot be approved ends the wishes for it, and so does what was begun
`MOST_TRIES` times and never done; the reason is kept for whoever looks. Refused: a yes to a plan that was decided on
since the person looked, for an unknown data source, and a second one by the same person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
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
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Approval, Decision
from oncofed.client.records.followed_log import FollowedLog
from oncofed.client.records.source_memory import remember_sources
from oncofed.client.records.wishes import (
    APPROVAL_WANTED,
    DECLINE_WANTED,
    NOT_TAKEN,
    TRIED,
    May,
    Reason,
    Wish,
    Wishes,
    decline_due,
    due,
    same_person,
    wishes_about,
    wishes_in,
)
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import Fault, InvalidInput, OncofedError, PrivacyRefusal
from oncofed.plain_file import OtherKind, plain_bytes
from oncofed.protocol.options_layout import question_of
from oncofed.protocol.study_document import StudyDocument, document_bytes, schema_of
from oncofed.words.language import ENGLISH, Language

MOST_TRIES = 3
"""Then an approval that was begun and never done is given up: its process was killed each time."""
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


class GivenUp(OncofedError):
    """An approval was begun as often as it may be."""


_REFUSED = {
    Refused.DECIDED: "This plan was decided on since you looked at it. Look again.",
    Refused.SAID: "You have said so already. Another person must say it, too.",
    Refused.SOURCE: "The policy has no data source of this name.",
}


def plan_in_words(folder: NodeFolder, document: StudyDocument, *, columns: int, say: Language = ENGLISH) -> str:
    """What a plan asks for, and who its hospitals are as far as this one knows."""
    from oncofed.protocol.plan_words import plan_in_words as words_of  # noqa: PLC0415 - these two load torch
    from oncofed.survival.network import parameter_count  # noqa: PLC0415

    said = words_of(
        document.plan, schema_of(document), parameters=parameter_count(document.plan.model), columns=columns, say=say
    )
    known = peers_in_words(document.plan, read_policy(folder.policy).peers, site=read_site(folder).name, say=say)
    return f"{said}\n{known}"


def approve(folder: NodeFolder, document: StudyDocument, *, source: str, by: str, looked_on: str) -> Approval:
    """Approve a plan for the patients that a data source holds now, and freeze them. One person says so.

    looked_on  `Wishes.ended` when this person read the plan.

    Raises InvalidInput (also where the policy asks for several persons by then), PrivacyRefusal, RecordFailure,
    WishRefused, also where somebody wants it declined, which is then done; then nothing is approved.
    """
    known, plan_hash = Known.of(folder), document.plan.hash

    def still_wanted() -> None:
        refuse_one_person(read_policy(folder.policy))
        wishes = known.wishes(plan_hash)
        if looked_on != wishes.ended or decline_due(wishes) is not None:
            raise WishRefused(Refused.DECIDED)

    try:
        still_wanted()
        return _approve(known, document, source=source, by=by, still_wanted=still_wanted)
    except WishRefused:
        known.take_decline(plan_hash)
        raise


def refuse_one_person(policy: NodePolicy) -> None:
    """Raises InvalidInput where one person alone may not approve."""
    if policy.persons_to_approve > 1:
        what = f"asks for {policy.persons_to_approve} persons (persons_to_approve), and you have not said who you are"
        remedy = "Add --as NAME: your account with the role approver (oncofed site pages add-user). Or use the console."
        raise InvalidInput([Fault("policy: [node]", what, remedy)])


@dataclass(frozen=True, eq=False)
class Known:
    """What a node has decided and its persons want. A process that asks often reads the whole audit log once."""

    folder: NodeFolder
    decisions: Approvals
    by_plan: FollowedLog[Mapping[str, Wishes]]

    @staticmethod
    def of(folder: NodeFolder) -> Known:
        return Known(folder, approvals_of(folder), wishes_in(folder.audit_log))

    def wishes(self, plan_hash: str) -> Wishes:
        """Raises RecordDamaged, RecordUnwritable."""
        return wishes_about(plan_hash, self.by_plan.read())

    def decline(self, plan_hash: str, *, by: str, reason: str) -> Approval:
        """As the function."""
        return self.decisions.decline(plan_hash, declined_by=by, now=datetime.now(UTC), reason=reason)

    def take_decline(self, plan_hash: str) -> Approval | None:
        """None where nobody wants it."""
        wanted = decline_due(self.wishes(plan_hash))
        return None if wanted is None else self.decline(plan_hash, by=wanted[2], reason=wanted[1])

    def due(self, wishes: Wishes) -> tuple[Decision, str, str] | None:
        """As `wishes.due`, by policy, clock and accounts of now."""
        return due(wishes, read_policy(self.folder.policy), now=datetime.now(UTC), may=may_wish(self.folder))


def decline(folder: NodeFolder, plan_hash: str, *, by: str, reason: str = "") -> Approval:
    """Decline a plan, or withdraw its approval. Its document may be lost. Waits for no table that is being read."""
    return Known.of(folder).decline(plan_hash, by=by, reason=reason)


def want(known: Known, plan_hash: str, decision: Decision, *, of: str, by: Account, looked_on: str) -> None:
    """Note that a person, whose account's password was just checked, wants this.

    of         the data source, or the reason to decline.
    looked_on  `Wishes.ended` when this person read the plan.

    Raises WishRefused, InvalidInput for a plan that is not here, RecordFailure.
    """
    folder = known.folder
    if decision is Decision.DECLINED:
        found = find_hash(folder, plan_hash, known.decisions)
        AuditLog(folder.audit_log).append(DECLINE_WANTED, plan_hash=found, by=by.name, code=Reason(of))
        return
    with known.decisions.held():  # meanwhile nobody decides
        wishes = known.wishes(plan_hash)
        if looked_on != wishes.ended:
            raise WishRefused(Refused.DECIDED)
        looked_at(folder, plan_hash, known.decisions)
        if of not in [source.name for source in read_policy(folder.policy).sources]:
            raise WishRefused(Refused.SOURCE)
        waiting = wishes.waiting(datetime.now(UTC), may=may_wish(folder))
        if any(same_person(each.by, by.name) and each.of == of for each in waiting):
            raise WishRefused(Refused.SAID)
        facts = {"data_source": of, "account": by.mark}
        AuditLog(folder.audit_log).append(APPROVAL_WANTED, plan_hash=plan_hash, by=by.name, facts=facts)


def may_wish(folder: NodeFolder) -> May:
    """Who may say yes now. It is of the account as it was: nobody else's by a new password."""
    marks = {each.name: each.mark for each in accounts_in(accounts_of(folder)) if may_decide(each)}

    def may(wish: Wish) -> bool:
        return wish.by in marks and wish.account == marks[wish.by]

    return may


def may_decide(account: Account) -> bool:
    return account.enabled and account.role is Role.APPROVER


def take(folder: NodeFolder, plan_hash: str, known: Known | None = None) -> Approval | None:
    """Take the decision about this plan that enough persons want; None where too few do, or want it no more.

    A decline waits for nothing; an approval asks last whether the same is wanted still, and gives way where not.

    returns  the decision that is in force by then, whoever took it.

    Raises as `approve`; then the wishes for it are over, and `why_not_taken` says why.
    """
    known = known or Known.of(folder)
    declined = known.take_decline(plan_hash)
    if declined is not None:
        return declined
    before = known.wishes(plan_hash)
    wanted = known.due(before)
    if wanted is None:
        return None
    _, source, by = wanted

    def still_wanted() -> None:
        wishes = known.wishes(plan_hash)
        if wishes.ended != before.ended or known.due(wishes) != wanted:
            raise WishRefused(Refused.DECIDED)

    try:
        if before.tries >= MOST_TRIES:
            raise GivenUp(
                f"It was begun {before.tries} times, and its process ended each time before it was done. Perhaps the "
                "table needs more memory than there is, or the node was stopped each time: see the log of the guard "
                "(journalctl -u oncofed-guard), mend what it names, and say so again."
            )
        AuditLog(folder.audit_log).append(TRIED, plan_hash=plan_hash, by=by)
        document = looked_at(folder, plan_hash, known.decisions).document
        return _approve(known, document, source=source, by=by, still_wanted=still_wanted)
    except WishRefused:  # decided meanwhile, by this process's twin or by somebody who declined; or to be declined
        wishes = known.wishes(plan_hash)
        if wishes.ended == before.ended or wishes.refused:
            return known.take_decline(plan_hash)
        return known.decisions.find(plan_hash)
    except Exception as refused:
        _note(known, plan_hash, refused, before=before, by=by)
        raise


def _note(known: Known, plan_hash: str, refused: Exception, *, before: Wishes, by: str) -> None:
    """What cannot be approved, and why; unless it was decided on, and something failed afterwards."""
    folder = known.folder
    with known.decisions.held():
        if known.wishes(plan_hash).ended != before.ended:
            return
        content = str(refused).encode("utf-8", "replace")[:_LONGEST_WORDS]
        with unwritable(folder.approvals):
            folder.approvals.mkdir(mode=0o700, exist_ok=True)
        replace_durably(_words_file(folder, plan_hash), content)
        AuditLog(folder.audit_log).append(NOT_TAKEN, plan_hash=plan_hash, code=_kind(refused), by=by)


def all_due(known: Known) -> list[str]:
    """The plans about which an approval is due. Reads no more than it must."""
    waiting = {plan_hash: wishes for plan_hash, wishes in known.by_plan.read().items() if wishes.approvals}
    if not waiting:
        return []
    may, now, policy = may_wish(known.folder), datetime.now(UTC), read_policy(known.folder.policy)
    found = {plan_hash: due(wishes, policy, now=now, may=may) for plan_hash, wishes in waiting.items()}
    return [plan_hash for plan_hash, wanted in found.items() if wanted is not None and wanted[0] is Decision.APPROVED]


def why_not_taken(folder: NodeFolder, plan_hash: str) -> str:
    """What was said when the last try failed; empty where nothing is kept."""
    with unwritable(folder.approvals), suppress(FileNotFoundError, OtherKind):
        return plain_bytes(_words_file(folder, plan_hash), most=_LONGEST_WORDS).decode("utf-8", "replace")
    return ""


def _words_file(folder: NodeFolder, plan_hash: str) -> Path:
    return folder.approvals / f"{plan_hash}.refused"


def _kind(refused: Exception) -> str:
    kinds = (
        *((InvalidInput, "faults"), (PrivacyRefusal, "refused")),
        *((GivenUp, "given_up"), (OncofedError, "records")),
    )
    return next((kind for error, kind in kinds if isinstance(refused, error)), "failed")


def _approve(
    known: Known, document: StudyDocument, *, source: str, by: str, still_wanted: Callable[[], None]
) -> Approval:
    from oncofed.client.guard.trial import measured, refuse_if_slow  # noqa: PLC0415 - it loads torch

    folder, plan = known.folder, document.plan
    policy, own = read_policy(folder.policy), read_site(folder)
    if bytes.fromhex(plan.coordinator_public_key) != own.enrolled.key:
        what = "is signed with a key that its coordinator has replaced, so nothing would be answered"
        raise InvalidInput([Fault("plan", what, "Ask the coordinator for a new plan. Declining it still works.")])
    site, named = own.name, policy.source(source)

    def unchanged() -> None:
        still_wanted()
        if read_policy(folder.policy) != policy:
            raise PrivacyRefusal("policy.toml was changed while the table was read, and holds: say so again")

    remember_sources(folder, policy, AuditLog(folder.audit_log), told=refuse_disagreement(folder))
    approved = known.decisions.approve(
        plan,
        schema_of(document),
        site=site,
        policy=policy,
        source=named,
        ledger=ledger_of(folder, named),
        approved_by=by,
        now=datetime.now(UTC),
        trial=lambda file, sha256: refuse_if_slow(
            plan,
            measured(
                plan,
                site=site,
                policy=named.site_policy,
                file=file,
                sha256=sha256,
                question=question_of(plan, schema_of(document)),
            ),
        ),
        still_wanted=unchanged,
    )
    offers = offers_of(folder, known.decisions)
    if not offers.path(plan.hash).exists():  # somebody else here has just said `forget`
        offers.keep(plan.hash, document_bytes(document))
    return approved
