"""What does a mapping ask of a source?

Only that is read: the columns that it names and, of a long table from which nothing but codes is asked, the rows of
these codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_file import CohortMapping


@dataclass(frozen=True)
class Asked:
    """columns  beside the source's own.
    codes       None where rows of other codes count as well.
    words       by column, the source's words that markers translate. named: the codes of all markers.
    uncoded        whether rows without a code count, too.
    missing        by column, the words for "not known" of its markers, where these have their own.
    may_be_absent  columns of which the mapping says that nothing may tell them.
    """

    columns: tuple[str, ...]
    codes: tuple[str, ...] | None = None
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    may_be_absent: frozenset[str] = frozenset()
    uncoded: bool = False
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def asked_of(mapping: CohortMapping, source: Source) -> Asked:
    head, zero = mapping.file.mapping, mapping.file.time_zero
    named: list[str | None] = []
    if zero is not None and mapping.source(zero.source) is source:
        named.append(zero.column)
    if mapping.source(head.site_source) is source:
        named.append(head.site_column)
    for _, outcome in mapping.outcomes:
        if mapping.source(outcome.source) is source:
            times = (outcome.event, outcome.time, outcome.event_time, outcome.last_time, outcome.event_date)
            named += [*times, *outcome.last_contact, outcome.entry, outcome.entry_date, outcome.death]
        named += outcome.contacts.get(source.name, ())
    plans = [plan for plan in mapping.markers if plan.source == source.name and not plan.mapped.not_measured]
    columns = [column for column in named if column is not None]
    columns += [plan.column for plan in plans if plan.column is not None]
    words: dict[str, tuple[str, ...]] = {}
    for plan in plans:
        if plan.column is not None:
            words[plan.column] = (*words.get(plan.column, ()), *plan.mapped.words)
    named_codes = tuple(dict.fromkeys(code for plan in plans for code in plan.mapped.codes))
    codes = None
    if source.name != head.patients and source.code is not None and not columns:
        codes = named_codes
    limits = [plan.mapped.upper_limit_column for plan in plans if plan.mapped.upper_limit_column is not None]
    may_be = frozenset(
        plan.column
        for plan in plans
        if plan.column is not None and (plan.mapped.may_be_of_nobody or plan.column in plan.mapped.may_be_absent)
    )
    uncoded = any(plan.fills_without_code(source) for plan in plans)
    missing = {
        plan.column: plan.mapped.missing
        for plan in plans
        if plan.column is not None and plan.mapped.missing is not None
    }
    return Asked(tuple(dict.fromkeys([*columns, *limits])), codes, words, named_codes, may_be, uncoded, missing)
