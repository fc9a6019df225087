"""Which of the plans that a coordinator offers are kept, and what is it told of each?

Promises: only documents that the pinned coordinator signed, and that name this hospital with its own keys, are kept; no
number of offers keeps a further one out (`records.offers`); what was decided is told, and is not undone by an offer.
A document that is damaged counts as none: when it is offered again it is kept anew.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from oncofed.client.guard import trust
from oncofed.client.guard.trust import Pinned, Untrusted
from oncofed.client.records.approvals import STATES
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Approval
from oncofed.client.records.offers import Offers
from oncofed.client.records.repeats import Repeats
from oncofed.errors import InvalidInput
from oncofed.plain_file import file_content
from oncofed.protocol.messages import PlanState
from oncofed.protocol.study_document import LARGEST_BYTES
from oncofed.protocol.wire_form import is_hash

_log = logging.getLogger(__name__)

_MOST_TAKEN = 1_000
"""Plans of which it is remembered that they were looked at, and refused ones; of more, the first is parsed again."""


@dataclass(frozen=True)
class PlanOffers:
    """decision: what somebody here has decided on the plan of this hash, None if nothing.

    taken    the plans that this process has looked at, with the keys that are pinned, and found to be for this
             hospital.
    refused  documents that the coordinator signed and that are none, by SHA-256, with the reason and the hash in it: to
             find out takes seconds, and whoever carries offers can deliver one again for ever.
    """

    pinned: Pinned
    offers: Offers
    decision: Callable[[str], Approval | None]
    audit: AuditLog
    repeats: Repeats
    taken: dict[str, None] = field(default_factory=dict)
    refused: dict[bytes, tuple[str, str]] = field(default_factory=dict)

    def offered(self, document: bytes) -> PlanState:
        """Keep it, if it is a plan for this hospital; what is decided about it. REFUSED for one that is not kept."""
        sha256 = hashlib.sha256(document).digest()
        try:
            sealed = trust.sealed(document, coordinator=self.pinned.coordinator)
        except Untrusted as refusal:  # which is cheap to find out, and anybody's
            return self._refused(refusal.reason, sha256, refusal.plan_hash)
        if sha256 in self.refused:
            reason, plan_hash = self.refused[sha256]
            return self._refused(reason, sha256, plan_hash)
        try:
            # It comes every few seconds, and is as it was when this process looked at it, with the keys that it has.
            if sealed.plan_hash in self.taken and self.offers.holds(sealed.plan_hash, document):
                self._tell_kept(sealed.plan_hash)
                return self.state_of(sealed.plan_hash)
            plan = trust.offered(document, pinned=self.pinned).plan
        except Untrusted as refusal:
            _remember(self.refused, sha256, (refusal.reason, refusal.plan_hash))
            return self._refused(refusal.reason, sha256, refusal.plan_hash)
        _remember(self.taken, plan.hash, None)
        gave_way = not self._is_kept(plan.hash) and self.offers.keep(plan.hash, document)
        self._tell_kept(plan.hash, gave_way=gave_way)
        return self.state_of(plan.hash)

    def _tell_kept(self, plan_hash: str, *, gave_way: bool = False) -> None:
        """In the audit log, once; what could not be written there is written when it is offered again."""
        if not self.offers.is_untold(plan_hash):
            return
        # A coordinator that offers without end, or a relay that delivers its offers again, would else fill the log: a
        # large plan makes many small ones give way, which are then kept anew, a line each.
        if gave_way:
            self._note_once("plan_gave_way", plan_hash, of="plan_gave_way")
        else:
            self._note_once("plan_kept", plan_hash, of=("plan_kept", plan_hash))
        self.offers.told(plan_hash)

    def state_of(self, plan_hash: str) -> PlanState:
        """What is decided about a plan; REFUSED for one that is not kept, or whose document is damaged."""
        if not is_hash(plan_hash) or not self._is_kept(plan_hash):
            return PlanState.REFUSED
        decided = self.decision(plan_hash)
        return PlanState.OFFERED if decided is None else STATES[decided.decision]

    def _is_kept(self, plan_hash: str) -> bool:
        try:
            content = file_content(self.offers.path(plan_hash), most=LARGEST_BYTES)
            return trust.sealed(content, coordinator=self.pinned.coordinator).plan_hash == plan_hash
        except (InvalidInput, Untrusted):
            return False

    def _note_once(self, event: str, plan_hash: str, *, of: object) -> None:
        self.repeats.note(of, lambda: self.audit.append(event, plan_hash=plan_hash), first_of=event)

    def _refused(self, reason: str, sha256: bytes, plan_hash: str) -> PlanState:
        def note() -> None:
            _log.warning("a plan that was offered is not kept: %s", reason)
            self.audit.append("plan_not_kept", plan_hash=plan_hash, code=reason)

        self.repeats.note((reason, sha256), note)
        return PlanState.REFUSED


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _remember(known: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    known[key] = value
    if len(known) > _MOST_TAKEN:
        del known[next(iter(known))]
