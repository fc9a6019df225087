"""What stands against approving a plan for the patients of a data source?

What the plan, its schema and the ledger say is told all at once; of the patients, whose number nobody is told, whether
they are too few, too many, or those of another source. Pure functions; whether the policy allows the plan at all is
`guard.trust`. Torch-free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from oncofed.client.guard.policy_file import NodePolicy, SourcePolicy
from oncofed.client.records.columns_of_plan import of_the_columns
from oncofed.client.records.decisions import Approval
from oncofed.client.records.patients_mark import are_outcome_marks_of, is_file_mark_of, is_mark_of
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns
from oncofed.cohort.expected_effects import expected_weights
from oncofed.cohort.schema import StudySchema
from oncofed.errors import PrivacyRefusal, UnaccountedEvent
from oncofed.privacy.accounting import PrivacyEvent, epsilon_of
from oncofed.privacy.ledger import Ledger, refuse_unless_one_collection
from oncofed.privacy.policy import releases_of
from oncofed.privacy.releases import largest_patients
from oncofed.protocol.options_layout import options_faults
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_hash import SHOWN_DIGITS


def of_the_plan(plan: StudyPlan, schema: StudySchema, *, site: str) -> list[str]:
    """Where it does not fit its schema or this hospital."""
    objections = []
    if schema.hash != plan.schema_hash:
        objections.append("its schema is not the one that came with it")
    if plan.target_trial is not None:
        objections += [f"of the options that it compares: {fault}" for fault in options_faults(plan, schema)]
    else:
        objections += _of_the_prognosis(plan, schema)
    if site not in plan.roster:
        objections.append("this hospital is not in its roster")
    return objections


def _of_the_prognosis(plan: StudyPlan, schema: StudySchema) -> list[str]:
    objections = []
    if plan.model.columns != len(columns(schema)):
        objections.append("its model has another number of inputs than its schema")
    else:
        objections += of_the_columns(plan, schema)
    if plan.model.endpoints != tuple(endpoint.name for endpoint in schema.endpoints) or plan.model.grid != schema.grid:
        objections.append("its model has other endpoints or another time grid than its schema")
    elif plan.trains and plan.model.expected_weights != expected_weights(schema):
        objections.append("its model starts from other effects than its schema expects")
    return objections


def of_the_model(plan: StudyPlan, source: SourcePolicy, ledger: Ledger, decisions: Iterable[Approval]) -> list[str]:
    """Where its figures would be of patients who trained it, if the plan says truly who did.

    decisions  all that were ever made here. One for a plan without privacy is in no ledger.
    """
    if plan.validates is None:
        return []
    trained_by, own = plan.validates.plan_hash, {source.name, *source.counted_with}
    charged = any(charge.plan_hash == trained_by for charge in ledger.charges())
    approved = any(one.plan_hash == trained_by and one.data_source in own for one in decisions)
    if not (charged or approved):
        return []
    return [
        "its model was trained by a plan that this data source "
        f"{'was charged' if charged else 'was approved'} for ({trained_by[:SHOWN_DIGITS]}), and on patients who "
        "trained it a model looks better than on any others; ask the coordinator for a plan without this hospital"
    ]


def of_the_ledger(plan: StudyPlan, source: SourcePolicy, ledger: Ledger) -> list[str]:
    """What the plan's rounds and its reserve come to, beside all that the source was charged for already."""
    if not plan.privacy.mode.private:
        return []
    charges, to_come, budget = ledger.charges(), _to_come(plan, ledger), ledger.budget
    if budget != source.site_policy.budget:
        return ["the ledger keeps another budget than the policy of this data source gives"]
    try:
        refuse_unless_one_collection(
            [*((charge.plan_hash, charge.event) for charge in charges), *((plan.hash, event) for event in to_come)]
        )
    except UnaccountedEvent as refusal:
        return [str(refusal)]
    _, needed = epsilon_with(plan, ledger)
    if needed <= budget.largest_epsilon:
        return []
    return [
        f"with what {source.name} has spent already its releases come to epsilon {needed:.3f}, above "
        f"{budget.largest_epsilon:g}"
    ]


def epsilon_with(plan: StudyPlan, ledger: Ledger) -> tuple[float, float]:
    """What a source has spent, and what that comes to with all that this plan still releases and its reserve."""
    spent = [charge.event for charge in ledger.charges()]
    delta = ledger.budget.delta
    return epsilon_of(spent, delta=delta), epsilon_of([*spent, *_to_come(plan, ledger)], delta=delta)


def _to_come(plan: StudyPlan, ledger: Ledger) -> tuple[PrivacyEvent, ...]:
    """An approval may be given again half-way."""
    if not plan.privacy.mode.private:
        return ()
    made = Counter(charge.event for charge in ledger.charges() if charge.identity.startswith(f"{plan.hash}/"))
    return tuple((Counter(releases_of(plan)) - made).elements())


def of_decisions(
    plan: StudyPlan, policy: NodePolicy, before: Approval | None, *, split: str, split_file: str
) -> list[str]:
    """What this hospital said of it earlier.

    split  names the secret by which patients would be set aside now. split_file: the name of its file.
    """
    objections = []
    if plan.hash in policy.plans_with_lost_answers:
        objections.append(
            "the policy names it in plans_with_lost_answers: it was answered before, and would be answered more "
            "often than it promised; ask the coordinator for a new plan"
        )
    if before is not None and before.split not in ("", split):
        objections.append(
            f"{split_file} is another one than when it was first approved, and would set other patients aside: "
            "restore it, or ask the coordinator for a new plan"
        )
    return objections


def refuse_another_source(before: Approval | None, source: SourcePolicy) -> None:
    """A plan that already has one: its requests would be answered twice. Raises PrivacyRefusal."""
    if before is not None and before.data_source not in ("", source.name):
        raise PrivacyRefusal(
            f"this plan was approved for the data source {before.data_source}. Approve it for that one, or ask the "
            "coordinator for a new plan."
        )


def refuse_number(cohort: Cohort, plan: StudyPlan, policy: NodePolicy) -> None:
    """Too few for the policy, or too many for the plan. Says neither how many there are."""
    if len(cohort) < policy.smallest_cohort:
        raise PrivacyRefusal(
            f"this data source holds fewer patients than the policy's smallest_cohort, {policy.smallest_cohort}"
        )
    if not plan.privacy.mode.private:
        return
    most = largest_patients(plan.privacy.delta)
    if len(cohort) > most:
        raise PrivacyRefusal(
            f"this data source holds more than the {most:,} patients that the plan's promise holds for (delta is to be "
            "at most 1 / (10 x patients)). Ask the coordinator for a plan with a smaller delta."
        )


def refuse_copy(cohort: Cohort, file_digest: str, source: SourcePolicy, decisions: Iterable[Approval]) -> None:
    """The same patients under two names would have two budgets.

    Found where both tables have the same identifiers, outcomes or bytes, whatever schema they are read by
    (`patients_mark`).

    file_digest  of the table's file; empty for a database.
    """
    own = {source.name, *source.counted_with}
    for one in sorted(decisions, key=lambda one: one.data_source):
        other, found = one.data_source, _same_in(cohort, file_digest, one)
        if other in own or not found:
            continue
        raise PrivacyRefusal(
            f"{source.name} holds the very patients that were approved as {other}, by {' and '.join(found)}, and would "
            f"give them a second budget. Approve it as {other}, or write "
            f'same_patients_as = "{other}" into the [[source]] {source.name}. {_IF_OTHERS[found == [_IDENTIFIERS]]}'
        )


def _same_in(cohort: Cohort, file_digest: str, approved: Approval) -> list[str]:
    """By what the patients are those of a decision."""
    found = []
    if approved.cohort_hash == cohort.content_hash or is_mark_of(approved.patients_mark, cohort.patient_ids):
        found.append(_IDENTIFIERS)
    if are_outcome_marks_of(approved.outcome_marks, cohort):
        found.append("their outcomes")
    if is_file_mark_of(approved.file_mark, file_digest):
        found.append("the bytes of its file")
    return found


_IDENTIFIERS = "their identifiers"
_IF_OTHERS = {
    True: "If they are other people, whose numbers are the same by chance, begin their identifiers otherwise.",
    False: "Other people's are not the same by chance, and other identifiers do not help.",
}
