"""Which decisions do persons of this hospital want that are not taken yet, by what its audit log says?

Who signs in to the console, or names an account to a command, says what is wanted; the guard's own process, or that
command, takes the decision once as many persons want it as the policy asks for (`install.deciding`). A wish is nothing
but a line of the audit log: who, when, about which plan, for which data source or for which reason. So nobody can
wish anything that is not written down, and what is in force has no other record than before.

Promises: a decision ends every wish for its plan; whoever wants it still says so again. One person counts once, however
often, from wherever and in whatever letters of the name it was said. A yes that waits longer than `LONGEST_WAIT`
counts no more, because table and budget are others by then; nor does one of a clock that was ahead, one of an account
that was changed since, or one from before a backup was put back. A no waits as long as it must: what could not be
approved, a backup, a clock, and whoever shuts out the account that it came from, end none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from oncofed.client.guard.policy_file import NodePolicy
from oncofed.client.records.decisions import Decision
from oncofed.client.records.followed_log import FollowedLog, Line

APPROVAL_WANTED, DECLINE_WANTED, NOT_TAKEN = "approval_wanted", "decline_wanted", "decision_not_taken"
"""Events of the audit log. The last one: an approval was tried and refused, and the wishes for it are over."""
TRIED = "approval_tried"
"""Before a table is read: what is killed then leaves nothing else that tells of it."""
RESTORED = "backup_restored"
"""Of the whole node: who said yes may have thought better of it since the backup."""
LONGEST_WAIT = timedelta(days=7)
_CLOCK_STEP = timedelta(minutes=5)
"""By so much a clock may be put back, and what was said before counts."""
_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_ENDS = (*Decision, NOT_TAKEN)
_FOLLOWED = (*_ENDS, APPROVAL_WANTED, DECLINE_WANTED, TRIED)


class Reason(StrEnum):
    """Why a plan is declined. Words of ours, so that no text about a patient comes into the audit log."""

    PURPOSE = "purpose"
    BUDGET = "budget"
    DATA = "data"
    PEERS = "peers"
    ETHICS = "ethics"
    ENDED = "ended"
    OTHER = "other"


@dataclass(frozen=True)
class Wish:
    """of: the data source to approve it for, or the reason to decline it. at: ISO 8601.

    account  of a yes: the mark of the account as it was then (`pages.accounts`). None: of a no.
    """

    by: str
    at: str
    of: str
    account: str | None = None


May = Callable[[Wish], bool]
"""Whether the account that a yes came from may say so still."""


def anybody(wish: Wish) -> bool:
    """For whoever knows no accounts."""
    return True


@dataclass(frozen=True)
class Wishes:
    """For one plan, since the last decision about it. ended: when that was, and which, as the log has it; or empty.

    approvals, declines  one a person, the oldest first.
    tries                how often it was begun to approve it since the last yes.
    """

    ended: str = ""
    refused: bool = False
    approvals: tuple[Wish, ...] = ()
    declines: tuple[Wish, ...] = ()
    tries: int = field(default=0, compare=False)

    def waiting(self, now: datetime, *, may: May = anybody) -> tuple[Wish, ...]:
        """The approvals that count."""
        return tuple(each for each in self.approvals if _is_of_now(each, now) and may(each))

    def after(self, line: Line) -> Wishes:
        """With one more line about this plan."""
        if line.event == TRIED:
            return replace(self, tries=self.tries + 1)
        if line.event in _ENDS:
            refused = line.event == NOT_TAKEN
            return Wishes(f"{line.event} {line.time}", refused, declines=self.declines if refused else ())
        if line.event == DECLINE_WANTED:
            reason = line.code if line.code in list(Reason) else ""
            return replace(self, declines=_with(self.declines, Wish(line.by, line.time, reason)))
        wish = Wish(line.by, line.time, line.facts.get("data_source", ""), line.facts.get("account", ""))
        return replace(self, approvals=_with(self.approvals, wish), tries=0)

    def after_restoring(self, line: Line) -> Wishes:
        """No page from before decides about it, either."""
        return replace(self, ended=f"{line.event} {line.time}", approvals=(), tries=0)


_ANY_OTHER = ""
"""In place of a plan's hash: every plan about which nobody has said anything."""


def wishes_about(plan_hash: str, known: Mapping[str, Wishes]) -> Wishes:
    """known: as `wishes_after` has them."""
    return known.get(plan_hash) or known.get(_ANY_OTHER) or Wishes()


def same_person(one: str, other: str) -> bool:
    """Whether these names of accounts are one person's."""
    return one.casefold() == other.casefold()


def _with(wishes: tuple[Wish, ...], one: Wish) -> tuple[Wish, ...]:
    return (*(each for each in wishes if not same_person(each.by, one.by)), one)


def _is_of_now(wish: Wish, now: datetime) -> bool:
    try:
        return -_CLOCK_STEP <= now - datetime.fromisoformat(wish.at) <= LONGEST_WAIT
    except (ValueError, TypeError):  # no time that we write
        return False


def wishes_after(known: Mapping[str, Wishes], lines: Iterable[Line]) -> dict[str, Wishes]:
    """By plan hash: what was known, and what these lines add. Of one plan: `wishes_about`."""
    found = dict(known)
    for line in lines:
        if line.event == RESTORED:
            found = {plan: wishes.after_restoring(line) for plan, wishes in {_ANY_OTHER: Wishes(), **found}.items()}
        elif line.event in _FOLLOWED and _PLAN_HASH.fullmatch(line.plan_hash):  # it becomes the name of a file
            found[line.plan_hash] = wishes_about(line.plan_hash, found).after(line)
    return found


def decline_due(wishes: Wishes) -> tuple[Decision, str, str] | None:
    """As `due`, of a decline alone, for which neither policy, clock nor accounts are asked: one person is enough."""
    wish = next(iter(wishes.declines), None)
    return None if wish is None else (Decision.DECLINED, wish.of, wish.by)


def due(wishes: Wishes, policy: NodePolicy, *, now: datetime, may: May = anybody) -> tuple[Decision, str, str] | None:
    """The decision that enough persons want: for which source or reason, and by whom; None where there is none."""
    declined = decline_due(wishes)
    if declined is not None:
        return declined
    waiting = wishes.waiting(now, may=may)
    for source in policy.sources:
        names = [each.by for each in waiting if each.of == source.name]
        if len(names) >= policy.persons_to_approve:
            return Decision.APPROVED, source.name, " + ".join(names[: policy.persons_to_approve])
    return None


def wishes_in(audit_log: Path) -> FollowedLog[Mapping[str, Wishes]]:
    """Of one audit log, by plan hash."""
    return FollowedLog(audit_log, empty={}, after=wishes_after)
