"""Which plans did a person of this hospital approve, for which patients, and which did they decline?

An approval is one file, ``<plan hash>.json``: the plan, the data source, the hash of the cohort as it was then, who and
when. The cohort is frozen with it: patients that differ later take part in nothing until somebody approves again.

Promises: `approve` looks at everything the policy says, and at what the ledger has already spent, and tells every
objection at once. The file of approved bundles, which the hospital's SuperNode obeys, holds those of approved plans and
no others. Refused: a table with faults, a cohort below the policy's smallest, a plan of another schema or without this
hospital, and another data source for a plan that already has one: its requests would be answered twice. Torch-free.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from oncofed.client.held_out_split import split_name, split_secret
from oncofed.client.policy_file import NodePolicy, SourcePolicy
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.sources import read_source_cohort
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.durable import replace_durably, unwritable
from oncofed.errors import PrivacyRefusal, RecordDamaged, UnaccountedEvent
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.ledger import Ledger, refuse_unless_one_collection
from oncofed.privacy.policy import releases_of
from oncofed.protocol.plan import PrivacyMode, StudyPlan

_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_BUNDLES_MODE = 0o644
"""The SuperNode's user reads which bundles are approved; a hash of public code tells nothing."""


class Decision(StrEnum):
    APPROVED = "approved"
    DECLINED = "declined"


@dataclass(frozen=True)
class Approval:
    """One decision.

    cohort_hash  of the patients in the order of their identifiers; empty when declined.
    split        names the secret by which patients are set aside (`held_out_split`); empty where none are.
    """

    plan_hash: str
    decision: Decision
    data_source: str
    cohort_hash: str
    bundle_sha256: str
    decided_by: str
    decided_at: str
    split: str = ""


@dataclass(frozen=True)
class Approvals:
    """The decisions of one hospital.

    folder        ``approvals/``.
    bundles_file  the SHA-256 of each approved plan's bundle, one a line.
    audit         where each decision is told.
    held_out_secret  made when a study that sets patients aside is first approved.
    """

    folder: Path
    bundles_file: Path
    audit: AuditLog
    held_out_secret: Path

    def find(self, plan_hash: str) -> Approval | None:
        """The latest decision about a plan, None without one. Raises RecordDamaged."""
        if not _PLAN_HASH.fullmatch(plan_hash):  # it may come from outside, and becomes the name of a file
            return None
        path = self._path(plan_hash)
        with unwritable(path):
            if not path.exists():
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
    ) -> Approval:
        """Approve a plan for the patients that the source holds now.

        ledger  of that source. Raises PrivacyRefusal with every objection, InvalidInput with every fault of the table;
                then nothing is approved. What was approved before stays as it was.
        """
        before = self.find(plan.hash)
        if before is not None and before.data_source not in ("", source.name):
            raise PrivacyRefusal(
                f"this plan was approved for the data source {before.data_source}. Approve it for that one, or ask the "
                "coordinator for a new plan."
            )
        source.site_policy.refuse_unless_allowed(plan)
        split = split_name(split_secret(self.held_out_secret)) if plan.held_out_fraction else ""
        objections = [*_of_the_plan(plan, schema, site=site), *_of_the_ledger(plan, source, ledger)]
        if before is not None and before.split not in ("", split):
            objections.append(
                f"{self.held_out_secret.name} is another one than when it was first approved, and would set other "
                "patients aside: restore it, or ask the coordinator for a new plan"
            )
        if objections:
            raise PrivacyRefusal("this plan cannot be approved: " + "; ".join(objections))
        cohort = read_source_cohort(source.source, schema)
        _refuse_small(cohort, policy)
        approval = Approval(
            plan_hash=plan.hash,
            decision=Decision.APPROVED,
            data_source=source.name,
            cohort_hash=cohort.content_hash,
            bundle_sha256=plan.bundle_sha256,
            decided_by=approved_by,
            decided_at=now.astimezone(UTC).isoformat(timespec="seconds"),
            split=split,
        )
        self._write(approval)
        return approval

    def decline(self, plan: StudyPlan, *, declined_by: str, now: datetime) -> Approval:
        """Decline a plan, or withdraw its approval: from now on its requests are refused."""
        before = self.find(plan.hash)
        declined = Approval(
            plan_hash=plan.hash,
            decision=Decision.DECLINED,
            data_source="" if before is None else before.data_source,  # so that it cannot come back on another source
            cohort_hash="",
            bundle_sha256="",
            decided_by=declined_by,
            decided_at=now.astimezone(UTC).isoformat(timespec="seconds"),
            split="" if before is None else before.split,
        )
        self._write(declined)
        return declined

    def _path(self, plan_hash: str) -> Path:
        return self.folder / f"{plan_hash}.json"

    def _write(self, approval: Approval) -> None:
        # Told first: a kill in between leaves a decision that was told and is not in force, never the other way round.
        self.audit.append(approval.decision.value, plan_hash=approval.plan_hash, by=approval.decided_by)
        with unwritable(self.folder):
            self.folder.mkdir(mode=0o700, exist_ok=True)
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


def _refuse_small(cohort: Cohort, policy: NodePolicy) -> None:
    if len(cohort) < policy.smallest_cohort:
        raise PrivacyRefusal(
            f"this data source holds fewer patients than the policy's smallest_cohort, {policy.smallest_cohort}"
        )


def _read(content: bytes, path: Path, plan_hash: str) -> Approval:
    try:
        fields = json.loads(content)
        approval = Approval(**{**fields, "decision": Decision(fields["decision"])})
    except (ValueError, KeyError, TypeError):
        approval = None
    texts = [] if approval is None else list(asdict(approval).values())
    if approval is None or approval.plan_hash != plan_hash or not all(isinstance(text, str) for text in texts):
        raise RecordDamaged(f"{path.name} is no decision about its plan. Remove it, and approve or decline again.")
    return approval
