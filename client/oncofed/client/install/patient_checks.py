"""Are the frozen patients of approved plans whole, and is the table still the one that was approved?

For the doctor, and told here alone. Another table is no fault: answers are made from the frozen patients until somebody
approves again. Of the table nothing is told but that it is another one.
"""

from __future__ import annotations

from collections.abc import Iterator

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.findings import Finding, Verdict
from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import OfferedPlan, approvals_of, offered_plans, shown
from oncofed.client.patients.sources import read_source_cohort
from oncofed.client.records.decisions import Approval, Decision
from oncofed.client.records.frozen_patients import refuse_another
from oncofed.errors import InvalidInput, RecordDamaged
from oncofed.protocol.study_document import schema_of

_TOPIC = "patients"


def patient_findings(folder: NodeFolder) -> Iterator[Finding]:
    """One for each approved plan that has no model yet, and each whose document is lost. Reads their tables."""
    here = offered_plans(folder)
    plans = here.read
    for unread in here.unread:
        yield Finding(_TOPIC, Verdict.FAULT, unread.what, unread.remedy)
    for plan in plans:
        if plan.lost:
            yield Finding(_TOPIC, Verdict.FAULT, plan.lost, f"oncofed site plans {folder.root}")
    running = [
        (plan, plan.decision)
        for plan in plans
        if plan.decision is not None
        and plan.decision.decision is Decision.APPROVED
        and not (folder.models / f"{plan.decision.plan_hash}.safetensors").exists()
    ]
    if not running and not here.unread:
        yield Finding(_TOPIC, Verdict.FINE, "no study is running")
    for plan, approval in running:
        yield _of(folder, plan, approval)


def _of(folder: NodeFolder, plan: OfferedPlan, approval: Approval) -> Finding:
    short = shown(folder, approval.plan_hash)
    study = f"{plan.study} ({short})"
    again = f"oncofed site approve {folder.root} {short} --source {approval.data_source}"
    try:
        refuse_another(approvals_of(folder).patients_file(approval), sha256=approval.patients_sha256)
    except RecordDamaged as damaged:
        return Finding(_TOPIC, Verdict.FAULT, f"{study} is not answered: {damaged}", again)
    try:
        source = read_policy(folder.policy).source(approval.data_source).source
        same = read_source_cohort(source, schema_of(plan.document)).content_hash == approval.cohort_hash
    except InvalidInput:
        what = f"{study} is answered from the patients as they were approved; {approval.data_source} cannot be read now"
        return Finding(_TOPIC, Verdict.WARNING, what, f"oncofed site check {folder.root}")
    if not same:
        what = (
            f"{study} is answered from the patients as they were approved; {approval.data_source} holds others by now"
        )
        return Finding(_TOPIC, Verdict.WARNING, what, f"If the study is to have those: {again}")
    return Finding(_TOPIC, Verdict.FINE, f"{study}: {approval.data_source} is as it was approved")
