"""Can a data source be read, and does it fit the studies that this hospital was offered?

Told to the hospital alone. Of patients nothing is told but how many rows have a fault; of events not even how many.
"""

from __future__ import annotations

from collections.abc import Sequence

from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import OfferedPlan, offered_plans
from oncofed.client.patients.sources import SourceSpec, read_source
from oncofed.client.records.decisions import Decision
from oncofed.cohort.events_in_grid import events_in_grid
from oncofed.cohort.identifiers import tell_alike
from oncofed.cohort.table import Tell
from oncofed.cohort.validation import named_columns, validate
from oncofed.errors import Fault, InvalidInput, OncofedError
from oncofed.protocol.study_document import schema_of


def plans_at_hand(folder: NodeFolder, *, tell: Tell) -> tuple[OfferedPlan, ...]:
    """Those offered that can be read: tables are checked all the same; the doctor says more."""
    try:
        plans = offered_plans(folder)
    except OncofedError as fault:
        tell(f"Tables are not held against plans: {fault}")
        return ()
    for unread in plans.unread:
        tell(f"Tables are not held against a plan: {unread}")
    return plans.read


def rows_of(source: SourceSpec, plans: Sequence[OfferedPlan], *, only_source: bool, tell: Tell) -> int:
    """How many rows the source holds now. Raises InvalidInput with every fault of it.

    plans        offered to the hospital. The table must fit those that are approved on this source; and those that wait
                 for a decision, if it is the `only_source` they could be approved on.
    """
    studies = [
        (plan.study, schema_of(plan.document))
        for plan in plans
        if (only_source if plan.waits else _is_approved_on(source, plan))
    ]
    wanted = {column for _, schema in studies for column in named_columns(schema)}
    table = read_source(source, columns=wanted, tell=tell)
    faults: list[Fault] = []
    for study, schema in studies:
        where = f"data source {source.name}, study {study}"
        try:
            cohort = validate(table, schema, where=where)
        except InvalidInput as refused:
            faults += refused.faults
            continue
        tell(f"{source.name}: fits the study {study}")
        tell_alike(cohort.patient_ids, where=source.name, tell=tell)
        for endpoint, found in zip(schema.endpoints, events_in_grid(cohort), strict=True):
            end = f"{found.last_bound:g} {schema.grid.unit}"
            if found.events and not found.inside:
                remedy = f"Check the unit of the times: the study looks at {end}, and follow-up is cut there."
                faults.append(Fault(f"{where}: {endpoint.name}", "no event lies in the time grid", remedy))
            elif found.inside < found.events:
                tell(f"{source.name}: some events of {endpoint.name} come after {end}, where follow-up is cut")
    if faults:
        raise InvalidInput(faults)
    return len(table)


def _is_approved_on(source: SourceSpec, plan: OfferedPlan) -> bool:
    decision = plan.decision
    return decision is not None and decision.decision is Decision.APPROVED and decision.data_source == source.name
