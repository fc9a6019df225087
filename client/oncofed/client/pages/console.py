"""What does an approver, or the hospital's IT, see of the node: plans, what each would spend, who said what, health?

Everything is read as the commands of `oncofed site` read it, by the same functions, from the guard's folder. Nothing is
decided here: what a person wants is noted in the audit log (`install.deciding`), and the guard takes the decision.

Promise: a plan's words are those that `oncofed site plans --show` writes, but for where lines are broken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from oncofed.client.guard.policy_file import NodePolicy, SourcePolicy, read_policy
from oncofed.client.install.deciding import Known, may_wish, plan_in_words, why_not_taken
from oncofed.client.install.doctor import CHECKS, examine
from oncofed.client.install.findings import Finding
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.install.inbox import OfferedPlan, OfferedPlans, looked_at, offered_plans
from oncofed.client.install.node_status import NodeStatus, node_status
from oncofed.client.install.spending import Spending, ledger_of, spending
from oncofed.client.pages.quality_record import TableQuality
from oncofed.client.pages.viewing_record import viewing_key
from oncofed.client.records import objections
from oncofed.client.records.decisions import Decision
from oncofed.client.records.followed_log import FollowedLog, Line
from oncofed.client.records.wishes import (
    APPROVAL_WANTED,
    DECLINE_WANTED,
    NOT_TAKEN,
    TRIED,
    Wish,
    decline_due,
    due,
)
from oncofed.errors import InvalidInput, RecordFailure
from oncofed.protocol.plan import StudyPlan
from oncofed.running import parts_of
from oncofed.words.language import ENGLISH, Language, later

_COLUMNS = 80
_GOES_ON = "\n  "
"""Where a terminal's line is broken: here the browser breaks lines."""
SEEN_HERE = ("versions", "disk", "policy", "ledger", "audit log", "records", "bundles")
"""Checks of the doctor that the guard's user makes without a network, without others' folders and without a table."""
_SECONDS_KEPT = 30.0
"""Of an examination, which verifies whole records: whoever loads a page again and again gets the last one."""
_LATE_SECONDS = 60.0
"""After which a guard that runs has begun to take a decision."""
_TOLD = {
    "plan_kept": later("the coordinator offered it"),
    APPROVAL_WANTED: later("wants it approved"),
    DECLINE_WANTED: later("wants it declined"),
    TRIED: later("the node began to check it"),
    Decision.APPROVED.value: later("approved"),
    Decision.DECLINED.value: later("declined"),
    NOT_TAKEN: later("could not be put into force"),
    "model_kept": later("its model came"),
}
"""Lines of the audit log that a plan's page tells."""
STATES = {
    None: later("waits for a decision"),
    Decision.APPROVED: later("approved"),
    Decision.DECLINED: later("declined"),
}
LOST = later("was decided, and is not answered: decide again")


@dataclass(frozen=True)
class PlanLine:
    """One plan of the inbox. state: in words. by, at: of the decision. wanting: who wants it approved, so far."""

    plan_hash: str
    shown: str
    study: str
    state: str
    waits: bool
    source: str
    by: str
    at: str
    wanting: tuple[str, ...]


@dataclass(frozen=True)
class SourceBudget:
    """What a data source has spent, and with all of a plan. against: what stands against it, in words of the node."""

    name: str
    spent: float
    after: float
    largest: float
    delta: float
    against: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """One line of a plan's history."""

    at: str
    by: str
    what: str
    of: str


@dataclass(frozen=True, eq=False)
class PlanPage:
    """persons: how many must approve. looked_on: `Wishes.ended`, as whoever decides has seen it.

    unreadable  why rules or ledger cannot be read; then there are no words and nobody approves. Empty where they can.
    taken_soon  enough persons want the same, and the guard is about to take it; late: it should have begun.
    refused     why the last decision was not taken.
    """

    line: PlanLine
    unreadable: str
    words: str
    sources: tuple[SourceBudget, ...]
    private: bool
    persons: int
    wanting: tuple[Wish, ...]
    looked_on: str
    taken_soon: bool
    late: bool
    refused: str
    history: tuple[Told, ...]


@dataclass(frozen=True)
class Health:
    """findings: what can be seen from here; unseen: the doctor's other checks."""

    status: NodeStatus
    findings: tuple[Finding, ...]
    unseen: tuple[str, ...]
    at: datetime


@dataclass(eq=False)
class Console:
    """Of one node. clock: seconds."""

    folder: NodeFolder
    clock: Callable[[], float] = time.monotonic
    known: Known = field(init=False)
    quality: TableQuality = field(init=False)
    _told: FollowedLog[Mapping[str, tuple[Told, ...]]] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _health: Health | None = None
    _examined_at: float = 0.0

    def __post_init__(self) -> None:
        self.known = Known.of(self.folder)
        self.quality = TableQuality(self.folder, lambda: viewing_key(self.folder.pages_key), clock=self.clock)
        self._told = FollowedLog(self.folder.audit_log, empty={}, after=_told_after)
        self.site = read_site(self.folder).name

    def follow(self) -> None:
        """Read the whole audit log, so that the first who comes need not wait. Raises RecordFailure."""
        self.known.by_plan.read()
        self.known.decisions.all()
        self._told.read()

    def inbox(self) -> tuple[tuple[PlanLine, ...], OfferedPlans]:
        """Every plan, those that wait first."""
        found, may, now = offered_plans(self.folder, self.known.decisions), may_wish(self.folder), datetime.now(UTC)
        lines = tuple(
            _line(plan, self.known.wishes(plan.plan_hash).waiting(now, may=may), digits=found.digits)
            for plan in found.read
        )
        return lines, found

    def plan(self, plan_hash: str, *, say: Language = ENGLISH) -> PlanPage:
        """From now on it gives way to none, since somebody looks at it. Raises InvalidInput, RecordDamaged."""
        plan, now = looked_at(self.folder, plan_hash, self.known.decisions), datetime.now(UTC)
        agreed, wishes, may = plan.document.plan, self.known.wishes(plan.plan_hash), may_wish(self.folder)
        wanting = wishes.waiting(now, may=may)
        is_due, unreadable, words, persons = decline_due(wishes) is not None, "", "", 1
        sources: tuple[SourceBudget, ...] = ()
        try:  # who declines needs neither rules nor ledger
            policy = read_policy(self.folder.policy)
            words = plan_in_words(self.folder, plan.document, columns=_COLUMNS, say=say).replace(_GOES_ON, " ")
            sources = tuple(self._budget(agreed, source, policy) for source in policy.sources)
            is_due, persons = due(wishes, policy, now=now, may=may) is not None, policy.persons_to_approve
        except (InvalidInput, RecordFailure) as failed:
            unreadable = str(failed)
        last = max([each.at for each in (*wanting, *wishes.declines)], default="")
        return PlanPage(
            line=_line(plan, wanting, digits=len(plan.plan_hash)),
            unreadable=unreadable,
            words=words,
            sources=sources,
            private=agreed.privacy.mode.private,
            persons=persons,
            wanting=wanting,
            looked_on=wishes.ended,
            taken_soon=is_due,
            late=is_due and _seconds_since(last, now) > _LATE_SECONDS,
            refused=why_not_taken(self.folder, plan.plan_hash) if wishes.refused else "",
            history=self._told.read().get(plan.plan_hash, ()),
        )

    def _budget(self, plan: StudyPlan, source: SourcePolicy, policy: NodePolicy) -> SourceBudget:
        ledger = ledger_of(self.folder, source)
        spent, after = objections.epsilon_with(plan, ledger)
        budget = source.site_policy.budget
        against = tuple(objections.of_the_ledger(plan, source, ledger))
        return SourceBudget(source.name, spent, after, budget.largest_epsilon, budget.delta, against)

    def spending(self) -> Spending:
        """As `oncofed site ledger` says it."""
        return spending(self.folder)

    def health(self) -> Health:
        """As `oncofed site status` and the doctor say it, as far as it can be seen from here."""
        with self._lock:
            if self._health is None or self.clock() - self._examined_at > _SECONDS_KEPT:
                now = datetime.now(UTC)
                parts = parts_of(self.folder.locks, logs=self.folder.logs, status=self.folder.status)
                unseen = tuple(name for name in CHECKS if name not in SEEN_HERE)
                self._health = Health(
                    node_status(self.folder, site=self.site, parts=parts, now=now),
                    examine(self.folder, without=unseen),
                    unseen,
                    now,
                )
                self._examined_at = self.clock()
            return self._health


def _line(plan: OfferedPlan, wanting: Sequence[Wish], *, digits: int) -> PlanLine:
    decided = plan.decision
    return PlanLine(
        plan_hash=plan.plan_hash,
        shown=plan.plan_hash[:digits],
        study=plan.study,
        state=LOST if plan.lost else STATES[None if decided is None else decided.decision],
        waits=plan.waits or bool(plan.lost),
        source="" if decided is None else decided.data_source,
        by="" if decided is None else decided.decided_by,
        at="" if decided is None else decided.decided_at,
        wanting=tuple(each.by for each in wanting),
    )


def _seconds_since(at: str, now: datetime) -> float:
    try:
        return (now - datetime.fromisoformat(at)).total_seconds()
    except (ValueError, TypeError):  # no time that we write
        return _LATE_SECONDS


def _told_after(told: Mapping[str, tuple[Told, ...]], lines: Iterable[Line]) -> dict[str, tuple[Told, ...]]:
    """By plan hash, newest first."""
    found = dict(told)
    for line in lines:
        if line.event in _TOLD:
            one = Told(line.time, line.by, _TOLD[line.event], line.code or line.facts.get("data_source", ""))
            found[line.plan_hash] = (one, *found.get(line.plan_hash, ()))
    return found
