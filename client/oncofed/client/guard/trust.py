"""What can somebody who sends bytes bring this hospital to believe of a plan? A state machine without I/O.

`Standing` is where the hospital stands with one plan; each step gives a new one, or refuses with `Untrusted` and leaves
the old one as it was. Files, clocks and logs are the callers' (`guard.node_guard`, `records.approvals`,
`site.inbox`), and nobody but it decides.

 1. Offer. A document is signed by the pinned coordinator, has the one form, names that coordinator, has each number
    in its range, and names this hospital with this hospital's own keys. What was decided about a plan is not undone by
    offering it again.
 2. Verify. Of the plan's other hospitals those are known whose card (name and keys) is pinned in this hospital's
    policy; each other one counts as one that sides with the coordinator (`privacy.policy`).
 3. Approve. A person approves one hash, with a policy that allows that plan. Where noise is shared, a fresh masking key
    is made then, and the approval names it; a plan never gets a second one.
 4. Exchange. A masking key is of a member of the plan, and signed for this plan with that member's answer key. The
    first one of each hospital counts. One that is named for this hospital is its own.
 5. Ask. A question is answered under an approval that is in force, and, where noise is shared, with the very masking
    key that the approval names.
 6. Deliver. A model is of an approved plan that makes one, of its size, and signed by the pinned coordinator for it.
    The first one counts; with it the plan's masking key is no longer needed, and goes.
 7. Decline (`decided`). At any time, and by the plan's hash alone, for its document may be lost; no question is
    answered from then on, and the masking key goes.

That a question is the coordinator's is looked at before (`protocol.question`). Whether the policy allows the plan
still, what may be asked, among which hospitals and how often, is looked at after (`guard.guard`). As python-tuf's
`TrustedMetadataSet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import Fault, InvalidInput, PrivacyRefusal, SignatureInvalid
from oncofed.privacy.policy import SitePolicy
from oncofed.protocol.masking_keys import SignedMaskingKey, verify_masking_key
from oncofed.protocol.messages import PlanState
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.options_layout import question_of
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.protocol.study_document import (
    SealedDocument,
    StudyDocument,
    read_document,
    schema_of,
    sealed_document,
    verify_document,
)
from oncofed.ranges import outside
from oncofed.treatment.question import Question

LARGEST_HEADER_BYTES = 10_008
"""Of a model's file."""


class Reason(StrEnum):
    """Why a step is refused; a word for the audit log."""

    ANOTHER_FORM = "another_form"
    ANOTHER_SIGNATURE = "another_signature"
    OUTSIDE_RANGES = "outside_ranges"
    """A number of the plan lies outside its range (`oncofed.ranges`)."""
    NOT_A_MEMBER = "not_a_member"
    ANOTHER_PLAN = "another_plan"
    NOT_APPROVED = "not_approved"
    AGAINST_THE_POLICY = "against_the_policy"
    TOO_LARGE = "too_large"
    ANOTHER_MODEL = "another_model"
    NO_MODEL = "no_model"
    """Of a plan by which no prognosis is made: one that counts, measures, or compares options."""
    NO_MASKING_KEY = "no_masking_key"
    """This hospital's own for the plan: the plan shares no noise, or its key is gone and there is no second one."""
    ANOTHER_OWN_KEY = "another_own_key"
    """This hospital signed it, and does not hold it: its folder was restored."""
    ANOTHER_KEY = "another_key"
    """A second one of a hospital whose first one is kept."""
    UNSIGNED_KEY = "unsigned_key"
    KEY_TWICE = "key_twice"
    """One key for two hospitals."""


class Untrusted(Exception):
    """A step that is not made.

    told       for people here; nothing of it leaves.
    plan_hash  of a document that the coordinator signed.
    faults     of a document of another form.
    """

    def __init__(self, reason: Reason, told: str = "", *, plan_hash: str = "", faults: tuple[Fault, ...] = ()) -> None:
        self.reason = reason
        self.told = told
        self.plan_hash = plan_hash
        self.faults = faults
        super().__init__(reason.value)


@dataclass(frozen=True)
class Pinned:
    """What the hospital knows before any plan. coordinator: Ed25519, 32 bytes. own: as plans must name it."""

    coordinator: bytes
    own: Member


@dataclass(frozen=True, eq=False)
class Standing:
    """Where this hospital stands with one plan.

    state        OFFERED, APPROVED or DECLINED.
    masking_key  public, hexadecimal, as the approval named it; kept when the plan is declined. Empty: none was made.
    keys         the signed masking keys of other hospitals, by name.
    model        the numbers of the model that was delivered.
    """

    plan: StudyPlan
    state: PlanState = PlanState.OFFERED
    masking_key: str = ""
    keys: Mapping[str, SignedMaskingKey] = field(default_factory=lambda: MappingProxyType({}))
    model: NDArray[np.float64] | None = None

    def public_keys(self, *, own: str) -> dict[str, bytes]:
        """All that are known, this hospital's among them: what masks are made with."""
        others = {site: key.public_key for site, key in self.keys.items()}
        return {**others, own: bytes.fromhex(self.masking_key)}


def offered(content: bytes, *, pinned: Pinned) -> Standing:
    """Step 1. Raises Untrusted: another form, another signature, outside its ranges, not a member."""
    standing = from_coordinator(content, pinned=pinned)
    if outside(standing.plan):  # nobody could approve it, and to tell what it asks for might take for ever
        raise Untrusted(Reason.OUTSIDE_RANGES, plan_hash=standing.plan.hash)
    if pinned.own not in standing.plan.members:
        raise Untrusted(Reason.NOT_A_MEMBER, plan_hash=standing.plan.hash)
    return standing


def from_coordinator(content: bytes, *, pinned: Pinned) -> Standing:
    """The first half of step 1, for a document of which the second half was looked at before."""
    return Standing(document_of(content, coordinator=pinned.coordinator).plan)


def question_in(content: bytes, *, pinned: Pinned) -> Question | None:
    """What such a document asks about treatment options, by the schema in it; None where it compares none."""
    document = document_of(content, coordinator=pinned.coordinator)
    return None if document.plan.target_trial is None else question_of(document.plan, schema_of(document))


def sealed(content: bytes, *, coordinator: bytes, where: str = "study plan") -> SealedDocument:
    """A document that the coordinator signed, before any of it is parsed: anybody else's bytes cost a hash of them.

    where  how faults of its form call it. Raises Untrusted.
    """
    with _refusals():
        found = sealed_document(content, where=where)
        found.refuse_unless_signed(public_key=coordinator)
    return found


def document_of(content: bytes, *, coordinator: bytes, where: str = "study plan") -> StudyDocument:
    """The same, parsed, for those who read it. Raises Untrusted."""
    sealed(content, coordinator=coordinator, where=where)
    with _refusals():
        document = read_document(content, where=where)
        verify_document(document, public_key=coordinator)
    return document


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except InvalidInput as refused:
        raise Untrusted(Reason.ANOTHER_FORM, faults=refused.faults) from None
    except SignatureInvalid as refused:
        raise Untrusted(Reason.ANOTHER_SIGNATURE, str(refused)) from None


def approved(standing: Standing, *, plan_hash: str, policy: SitePolicy, site: str, key_held: str) -> Standing:
    """Steps 2 and 3. A person at the hospital approves the plan of this hash; an earlier decision may stand.

    key_held  the masking key that there is, public, hexadecimal; empty without one.

    Raises Untrusted.
    """
    try:
        policy.refuse_unless_allowed(standing.plan, site=site)
    except PrivacyRefusal as refusal:
        raise Untrusted(Reason.AGAINST_THE_POLICY, str(refusal)) from None
    masking_key = ""
    if standing.plan.needs_masking_keys:
        refuse_second_key(before=standing.masking_key, held=key_held)
        masking_key = key_held
    return decided(standing, plan_hash=plan_hash, state=PlanState.APPROVED, masking_key=masking_key)


def decided(standing: Standing, *, plan_hash: str, state: PlanState, masking_key: str) -> Standing:
    """As a decision about the plan of this hash says that was made before. Raises Untrusted for another plan's."""
    if standing.plan.hash != plan_hash:
        raise Untrusted(Reason.ANOTHER_PLAN)
    return replace(standing, state=state, masking_key=masking_key)


def refuse_second_key(*, before: str, held: str) -> None:
    """Raises Untrusted unless the masking key that is held is the plan's first."""
    if not held or before not in ("", held):
        raise Untrusted(
            Reason.NO_MASKING_KEY,
            "this hospital's masking key for this plan is gone: its model has come, it was declined, or the folder was "
            "restored. A second key would not cancel against the others'. Ask the coordinator for a new plan",
        )


def exchanged(standing: Standing, keys: Iterable[SignedMaskingKey], *, own: str) -> Standing:
    """Step 4. All of these keys are kept, or none. Raises Untrusted."""
    _refuse_unapproved(standing)
    if not standing.masking_key:
        raise Untrusted(Reason.NO_MASKING_KEY, "this plan shares no noise, or was approved by an earlier version")
    kept = dict(standing.keys)
    for key in keys:
        try:
            verify_masking_key(key, plan=standing.plan)
        except SignatureInvalid:
            raise Untrusted(Reason.UNSIGNED_KEY) from None
        if key.site == own:
            if key.public_key.hex() != standing.masking_key:
                raise Untrusted(
                    Reason.ANOTHER_OWN_KEY,
                    "this hospital gave another masking key for this plan before than it has now: its folder was "
                    "restored. Ask the coordinator for a new plan",
                )
        elif kept.setdefault(key.site, key).public_key != key.public_key:
            raise Untrusted(Reason.ANOTHER_KEY, "a hospital signed a second masking key for this plan; ask it why")
    after = replace(standing, keys=MappingProxyType(kept))
    known = after.public_keys(own=own)
    if len(set(known.values())) != len(known):
        raise Untrusted(Reason.KEY_TWICE)
    return after


def refuse_unanswerable(standing: Standing, *, key_held: str) -> None:
    """Step 5. key_held: as in `approved`. Raises Untrusted unless questions about the plan may be answered."""
    _refuse_unapproved(standing)
    if standing.plan.needs_masking_keys:
        if not standing.masking_key:
            raise Untrusted(Reason.NO_MASKING_KEY, "this plan was approved by an earlier version: approve it again")
        refuse_second_key(before=standing.masking_key, held=key_held)


def delivered(standing: Standing, sent: SignedModel, *, pinned: Pinned) -> Standing:
    """Step 6. Raises Untrusted. The very model that is kept is no fault."""
    _refuse_unapproved(standing)
    if not standing.plan.makes_model:  # it would be shown as a prognosis
        raise Untrusted(Reason.NO_MODEL)
    parameters = standing.plan.model.parameters
    if len(sent.content) > parameters * 8 + LARGEST_HEADER_BYTES:
        raise Untrusted(Reason.TOO_LARGE)
    try:
        weights = verified_weights(
            sent, public_key=pinned.coordinator, plan_hash=standing.plan.hash, parameters=parameters
        )
    except SignatureInvalid:
        raise Untrusted(Reason.ANOTHER_SIGNATURE) from None
    except InvalidInput:
        raise Untrusted(Reason.ANOTHER_FORM) from None
    # By its numbers: safetensors writes the same model's header in one order or another.
    if standing.model is not None and not np.array_equal(standing.model, weights):
        raise Untrusted(Reason.ANOTHER_MODEL)
    return replace(standing, model=weights)


def _refuse_unapproved(standing: Standing) -> None:
    if standing.state is not PlanState.APPROVED:
        raise Untrusted(Reason.NOT_APPROVED)
