"""Which decisions do persons of this hospital want that are not taken yet, by what its audit log says?

Who signs in to the console, or names an account to a command, says what is wanted; the guard's own process, or that
command, takes the decision once as many persons want it as the policy asks for (`install.deciding`). A wish is nothing
but a line of the audit log: who, when, about which plan, for which data source or for which reason. So nobody can
wish anything that is not written down, and what is in force has no other record than before.

Promises: a decision, taken or refused, ends every wish for its plan; whoever wants it still says so again. One person
counts once, however often and from wherever it was said. A wish that waits longer than `LONGEST_WAIT` counts no more,
because table and budget are others by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from oncofed.client.guard.policy_file import NodePolicy
from oncofed.client.records.decisions import Decision
from oncofed.client.records.followed_log import FollowedLog, Line

APPROVAL_WANTED, DECLINE_WANTED, NOT_TAKEN = "approval_wanted", "decline_wanted", "decision_not_taken"
"""Events of the audit log. The last one: a decision was tried and refused, and its wishes are over."""
LONGEST_WAIT = timedelta(days=7)
_ENDS = (*Decision, NOT_TAKEN)


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
    """of: the data source to approve it for, or the reason to decline it. at: ISO 8601."""

    by: str
    at: str
    of: str


@dataclass(frozen=True)
class Wishes:
    """For one plan, since the last decision about it. ended: when that was, and which, as the log has it; or empty.

    approvals, declines  one a person, the oldest first.
    """

    ended: str = ""
    refused: bool = False
    approvals: tuple[Wish, ...] = ()
    declines: tuple[Wish, ...] = ()

    def approving(self, data_source: str, *, now: datetime) -> tuple[str, ...]:
        """Who wants it for this source, and has not waited too long."""
        return tuple(each.by for each in self.waiting(now) if each.of == data_source)

    def waiting(self, now: datetime) -> tuple[Wish, ...]:
        """The approvals that count."""
        return _fresh(self.approvals, now)

    def after(self, line: Line) -> Wishes:
        """With one more line about this plan."""
        if line.event in _ENDS:
            return Wishes(ended=f"{line.event} {line.time}", refused=line.event == NOT_TAKEN)
        if line.event == DECLINE_WANTED:
            return replace(self, declines=_with(self.declines, Wish(line.by, line.time, line.code)))
        wish = Wish(line.by, line.time, line.facts.get("data_source", ""))
        return replace(self, approvals=_with(self.approvals, wish))


NOBODY = Wishes()


def _with(wishes: tuple[Wish, ...], one: Wish) -> tuple[Wish, ...]:
    return (*(each for each in wishes if each.by != one.by), one)


def _fresh(wishes: tuple[Wish, ...], now: datetime) -> tuple[Wish, ...]:
    return tuple(each for each in wishes if now - datetime.fromisoformat(each.at) <= LONGEST_WAIT)


def wishes_after(known: Mapping[str, Wishes], lines: Iterable[Line]) -> dict[str, Wishes]:
    """By plan hash: what was known, and what these lines add."""
    found = dict(known)
    for line in lines:
        if line.event in (*_ENDS, APPROVAL_WANTED, DECLINE_WANTED):
            found[line.plan_hash] = found.get(line.plan_hash, NOBODY).after(line)
    return found


def _anybody(name: str) -> bool:
    return True


def decline_due(
    wishes: Wishes, *, now: datetime, may: Callable[[str], bool] = _anybody
) -> tuple[Decision, str, str] | None:
    """As `due`, of a decline alone, for which no policy is asked: one person is enough."""
    wish = next((each for each in _fresh(wishes.declines, now) if may(each.by)), None)
    return None if wish is None else (Decision.DECLINED, wish.of, wish.by)


def due(
    wishes: Wishes, policy: NodePolicy, *, now: datetime, may: Callable[[str], bool] = _anybody
) -> tuple[Decision, str, str] | None:
    """The decision that enough persons want: for which source or reason, and by whom; None where there is none.

    may  whether the account of this name may decide now.
    """
    declined = decline_due(wishes, now=now, may=may)
    if declined is not None:
        return declined
    for source in policy.sources:
        names = [name for name in wishes.approving(source.name, now=now) if may(name)]
        if len(names) >= policy.persons_to_approve:
            return Decision.APPROVED, source.name, " + ".join(names[: policy.persons_to_approve])
    return None


def wishes_in(audit_log: Path) -> FollowedLog[Mapping[str, Wishes]]:
    """Of one audit log, by plan hash."""
    return FollowedLog(audit_log, empty={}, after=wishes_after)
