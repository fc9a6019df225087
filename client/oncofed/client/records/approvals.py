"""Which plans did a person of this hospital approve, for which patients, and which did they decline?

An approval is one file, ``<plan hash>.json``: the plan, the data source, the hash of the cohort as it was then, who and
when. The patients are frozen with it (`frozen_patients`): until somebody approves again, or declines, every answer is
made from them, whatever becomes of the table. Whether there are too few or too many of them is decided here, by a
person, and never again: a refusal at a request would tell the coordinator of the table.

Promises: `approve` looks at everything the policy says, and at what the ledger has already spent, and tells every
objection at once. Whatever fails, and at whatever instant a kill comes, a decision stands with the patients it names:
the one before or the new one; patients that no decision names are removed by the next decision, or when the guard
starts. The file of approved bundles, which the hospital's SuperNode obeys, holds those of approved plans and
no others. Refused: a table with faults, fewer patients than the policy's smallest cohort or more than the plan's
promise holds for, a plan of another schema or without this hospital, and another data source for a plan that already
has one: its requests would be answered twice. Torch-free.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import numpy as np

from oncofed.client.held_out_split import HeldOutSplit, split_name, split_secret
from oncofed.client.policy_file import NodePolicy, SourcePolicy
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.frozen_patients import freeze, frozen_file, thaw
from oncofed.client.records.plan_keys import PlanKeys
from oncofed.client.sources import read_source_cohort
from oncofed.client.trust import Untrusted, refuse_second_key
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import PrivacyRefusal, RecordDamaged, RecordFailure, UnaccountedEvent
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.ledger import Ledger, refuse_unless_one_collection
from oncofed.privacy.policy import releases_of
from oncofed.privacy.releases import largest_patients
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.survival.encoded_patients import EncodedPatients, encoded_patients

_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_FOLDER_MODE = 0o700
_BUNDLES_MODE = 0o644
"""The SuperNode's user reads which bundles are approved; a hash of public code tells nothing."""


Trial = Callable[[Path, str], None]
"""Is given the file of frozen patients and its SHA-256. Raises PrivacyRefusal where answers would not do."""


def no_trial(file: Path, sha256: str) -> None:
    """The null trial."""


class Decision(StrEnum):
    APPROVED = "approved"
    DECLINED = "declined"


@dataclass(frozen=True)
class Approval:
    """One decision.

    cohort_hash      of the patients in the order of their identifiers, to tell people here that the table is another
                     one by now, and that a second source holds the same; of a plan that was declined, those that it
                     was last approved for.
    split            names the secret by which patients are set aside (`held_out_split`); empty where none are.
    patients_sha256  of the file of frozen patients; empty when declined, and in approvals of earlier versions, which
                     must be given again.
    masking_key      this hospital's for the plan, public, where the plan shares its noise; kept when it is declined,
                     because a plan gets no second one (`client.trust`).
    """

    plan_hash: str
    decision: Decision
    data_source: str
    cohort_hash: str
    bundle_sha256: str
    decided_by: str
    decided_at: str
    split: str = ""
    patients_sha256: str = ""
    masking_key: str = ""


@dataclass(frozen=True)
class Approvals:
    """The decisions of one hospital.

    folder        ``approvals/``.
    bundles_file  the SHA-256 of each approved plan's bundle, one a line.
    audit         where each decision is told.
    held_out_secret  made when a study that sets patients aside is first approved.
    patients      where approved patients are frozen, ``patients/``.
    masking       the masking keys of approved plans.
    """

    folder: Path
    bundles_file: Path
    audit: AuditLog
    held_out_secret: Path
    patients: Path
    masking: PlanKeys

    def patients_file(self, approval: Approval) -> Path:
        """Where the patients of an approval are frozen."""
        return frozen_file(self.patients, plan_hash=approval.plan_hash, sha256=approval.patients_sha256)

    def find(self, plan_hash: str) -> Approval | None:
        """The latest decision about a plan, None without one. Raises RecordDamaged."""
        if not _PLAN_HASH.fullmatch(plan_hash):  # it may come from outside, and becomes the name of a file
            return None
        path = self._path(plan_hash)
        with unwritable(path):
            if not os.path.lexists(path):
                return None
            content = path.read_bytes()
        return _read(content, path, plan_hash)

    def all(self) -> tuple[Approval, ...]:
        """Every decision, by plan hash. Raises RecordDamaged."""
        with unwritable(self.folder):
            names = sorted(path.stem for path in self.folder.glob("*.json"))
        found = (self.find(name) for name in names)
        return tuple(approval for approval in found if approval is not None)

    def approve(
        self,
        plan: StudyPlan,
        schema: StudySchema,
        *,
        site: str,
        policy: NodePolicy,
        source: SourcePolicy,
        ledger: Ledger,
        approved_by: str,
        now: datetime,
        trial: Trial = no_trial,
    ) -> Approval:
        """Approve a plan for the patients that the source holds now, and freeze them.

        ledger  of that source.
        trial   of the frozen patients, before the approval is in force.

        Raises PrivacyRefusal with every objection (the trial's apart), InvalidInput with every fault of the table; then
        nothing is approved. What was approved before stays as it was.
        """
        before = self.find(plan.hash)
        if before is not None and before.data_source not in ("", source.name):
            raise PrivacyRefusal(
                f"this plan was approved for the data source {before.data_source}. Approve it for that one, or ask the "
                "coordinator for a new plan."
            )
        source.site_policy.refuse_unless_allowed(plan, site=site)
        self._refuse_second_key(plan, before)
        secret = split_secret(self.held_out_secret) if plan.held_out_fraction else b""
        split = split_name(secret) if secret else ""
        objections = [*_of_the_plan(plan, schema, site=site), *_of_the_ledger(plan, source, ledger)]
        if plan.hash in policy.plans_with_lost_answers:
            objections.append(
                "the policy names it in plans_with_lost_answers: it was answered before, and would be answered more "
                "often than it promised; ask the coordinator for a new plan"
            )
        if before is not None and before.split not in ("", split):
            objections.append(
                f"{self.held_out_secret.name} is another one than when it was first approved, and would set other "
                "patients aside: restore it, or ask the coordinator for a new plan"
            )
        if objections:
            raise PrivacyRefusal("this plan cannot be approved: " + "; ".join(objections))
        cohort = read_source_cohort(source.source, schema)
        _refuse_number(cohort, plan, policy)
        _refuse_copy(cohort, source, self.all())
        trained_on, held_out = _parted(cohort, plan, secret=secret, data_source=source.name)
        with self._one_at_a_time():
            approval = Approval(
                plan_hash=plan.hash,
                decision=Decision.APPROVED,
                data_source=source.name,
                cohort_hash=cohort.content_hash,
                bundle_sha256=plan.bundle_sha256,
                decided_by=approved_by,
                decided_at=now.astimezone(UTC).isoformat(timespec="seconds"),
                split=split,
                # First, and beside the file of the approval before, which is in force until this one is written.
                patients_sha256=freeze(self.patients, plan_hash=plan.hash, trained_on=trained_on, held_out=held_out),
                masking_key=self.masking.make(plan.hash) if plan.needs_masking_keys else "",
            )
            trial(self.patients_file(approval), approval.patients_sha256)
            self._write(approval)
        return approval

    def decline(self, plan: StudyPlan, *, declined_by: str, now: datetime) -> Approval:
        """Decline a plan, or withdraw its approval: its requests are refused from now on, and nobody stays frozen."""
        before = self.find(plan.hash)
        declined = Approval(
            plan_hash=plan.hash,
            decision=Decision.DECLINED,
            data_source="" if before is None else before.data_source,  # so that it cannot come back on another source
            cohort_hash="" if before is None else before.cohort_hash,
            bundle_sha256="",
            decided_by=declined_by,
            decided_at=now.astimezone(UTC).isoformat(timespec="seconds"),
            split="" if before is None else before.split,
            masking_key="" if before is None else before.masking_key,
        )
        with self._one_at_a_time():
            self._write(declined)
        return declined

    def tidy(self) -> None:
        """Remove patients and keys that no decision names: a kill left them. Raises RecordUnwritable."""
        with self.at_rest():
            pass

    def at_rest(self) -> AbstractContextManager[None]:
        """While inside nobody decides, so that decisions and patients can be copied. Raises RecordUnwritable."""
        return self._one_at_a_time()

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Until the end nobody else decides or tidies. Then, and when it fails, patients that nobody names are gone."""
        with unwritable(self.patients):
            self.patients.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            lock = os.open(self.patients, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            try:
                yield
            finally:
                thaw(self.patients, unless=self._is_named)
                self.masking.tidy(unless=self._needs_key)
        finally:
            os.close(lock)

    def _is_named(self, file: Path) -> bool:
        """Or may be: of a decision that cannot be read nothing is removed."""
        try:
            decided = self.find(file.name.partition(".")[0])
        except RecordFailure:
            return True
        return decided is not None and file == self.patients_file(decided)

    def _needs_key(self, plan_hash: str) -> bool:
        """Likewise."""
        try:
            decided = self.find(plan_hash)
        except RecordFailure:
            return True
        return decided is not None and decided.decision is Decision.APPROVED and bool(decided.masking_key)

    def _refuse_second_key(self, plan: StudyPlan, before: Approval | None) -> None:
        if not plan.needs_masking_keys or before is None or not before.masking_key:
            return
        try:
            refuse_second_key(before=before.masking_key, held=self.masking.held(plan.hash))
        except Untrusted as refusal:
            raise PrivacyRefusal(f"this plan cannot be approved: {refusal.told}") from None

    def _path(self, plan_hash: str) -> Path:
        return self.folder / f"{plan_hash}.json"

    def _write(self, approval: Approval) -> None:
        # Told first: a kill in between leaves a decision that was told and is not in force, never the other way round.
        self.audit.append(approval.decision.value, plan_hash=approval.plan_hash, by=approval.decided_by)
        with unwritable(self.folder):
            self.folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        path = self._path(approval.plan_hash)
        if approval.decision is Decision.APPROVED:
            replace_durably(path, json.dumps(asdict(approval), sort_keys=True, indent=1).encode() + b"\n")
            self._write_bundles(self.all())
        else:
            # The code may no longer run before anybody learns that the plan was declined.
            self._write_bundles(one for one in self.all() if one.plan_hash != approval.plan_hash)
            replace_durably(path, json.dumps(asdict(approval), sort_keys=True, indent=1).encode() + b"\n")

    def _write_bundles(self, approvals: Iterable[Approval]) -> None:
        bundles = {one.bundle_sha256 for one in approvals if one.decision is Decision.APPROVED and one.bundle_sha256}
        replace_durably(self.bundles_file, "".join(f"{one}\n" for one in sorted(bundles)).encode(), mode=_BUNDLES_MODE)


def _of_the_plan(plan: StudyPlan, schema: StudySchema, *, site: str) -> list[str]:
    objections = []
    if schema.hash != plan.schema_hash:
        objections.append("its schema is not the one that came with it")
    if plan.model.columns != len(columns(schema)):
        objections.append("its model has another number of inputs than its schema")
    if plan.model.endpoints != tuple(endpoint.name for endpoint in schema.endpoints) or plan.model.grid != schema.grid:
        objections.append("its model has other endpoints or another time grid than its schema")
    if site not in plan.roster:
        objections.append("this hospital is not in its roster")
    return objections


def _of_the_ledger(plan: StudyPlan, source: SourcePolicy, ledger: Ledger) -> list[str]:
    """What the plan's rounds and its reserve come to, beside all that the source was charged for already."""
    if plan.privacy.mode is PrivacyMode.NONE:
        return []
    charges = ledger.charges()
    made = Counter(charge.event for charge in charges if charge.identity.startswith(f"{plan.hash}/"))
    to_come = tuple((Counter(releases_of(plan)) - made).elements())  # an approval that is given again half-way
    budget = ledger.budget
    if budget != source.site_policy.budget:
        return ["the ledger keeps another budget than the policy of this data source gives"]
    try:
        refuse_unless_one_collection(
            [*((charge.plan_hash, charge.event) for charge in charges), *((plan.hash, event) for event in to_come)]
        )
    except UnaccountedEvent as refusal:
        return [str(refusal)]
    needed = epsilon_of([*(charge.event for charge in charges), *to_come], delta=budget.delta)
    if needed <= budget.largest_epsilon:
        return []
    return [
        f"with what {source.name} has spent already its releases come to epsilon {needed:.3f}, above "
        f"{budget.largest_epsilon:g}"
    ]


def _refuse_number(cohort: Cohort, plan: StudyPlan, policy: NodePolicy) -> None:
    """Too few for the policy, or too many for the plan. Says neither how many there are."""
    if len(cohort) < policy.smallest_cohort:
        raise PrivacyRefusal(
            f"this data source holds fewer patients than the policy's smallest_cohort, {policy.smallest_cohort}"
        )
    if plan.privacy.mode is PrivacyMode.NONE:
        return
    most = largest_patients(plan.privacy.delta)
    if len(cohort) > most:
        raise PrivacyRefusal(
            f"this data source holds more than the {most:,} patients that the plan's promise holds for (delta is to be "
            "at most 1 / (10 x patients)). Ask the coordinator for a plan with a smaller delta."
        )


def _refuse_copy(cohort: Cohort, source: SourcePolicy, decisions: Iterable[Approval]) -> None:
    """The same patients under two names would have two budgets. Found only where not one value differs."""
    same = (one.data_source for one in decisions if one.cohort_hash == cohort.content_hash)
    for other in sorted({*same} - {source.name, *source.counted_with}):
        raise PrivacyRefusal(
            f"{source.name} holds the very patients that were approved as {other}, and would give them a second "
            f'budget. Approve it as {other}, or write same_patients_as = "{other}" into the [[source]] {source.name}.'
        )


def _parted(
    cohort: Cohort, plan: StudyPlan, *, secret: bytes, data_source: str
) -> tuple[EncodedPatients, EncodedPatients]:
    """Those who are trained on, and those who are set aside."""
    if plan.held_out_fraction == 0:
        set_aside = np.zeros(len(cohort), np.bool_)
    else:
        set_aside = HeldOutSplit(secret, data_source, plan.held_out_fraction).held_out(cohort.patient_ids)
    trained_on, held_out = (cohort.subset(np.flatnonzero(chosen)) for chosen in (~set_aside, set_aside))
    return encoded_patients(trained_on), encoded_patients(held_out)


def _read(content: bytes, path: Path, plan_hash: str) -> Approval:
    try:
        fields = json.loads(content)
        approval = Approval(**{**fields, "decision": Decision(fields["decision"])})
    except (ValueError, KeyError, TypeError, RecursionError):
        approval = None
    texts = [] if approval is None else list(asdict(approval).values())
    if approval is None or approval.plan_hash != plan_hash or not all(isinstance(text, str) for text in texts):
        raise RecordDamaged(f"{path.name} is no decision about its plan. Remove it, and approve or decline again.")
    return approval
