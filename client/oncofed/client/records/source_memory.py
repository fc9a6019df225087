"""Which data sources has this hospital had, and which of them share patients, whatever its policy says by now?

A budget belongs to patients, and the ledger knows them by the name of their source alone. Under another name, or
without `same_patients_as`, they would have a fresh one. So the audit log keeps, before anything can be charged under a
policy, what that policy calls its sources, where each one's patients lie (a hash) and who shares patients with whom;
and a policy that says less is refused. What is right all the same, a person says once, and the log names that person.

Refused, each with its remedy: beside a source that has spent, a name that is new, was gone meanwhile, or was never
charged and points to another table by now, unless it shares the budget of all that have spent; patients who lie, or lay
(a plan may be approved for them), where those of another source that has spent lay; a source that has spent, in a place
where it never lay, beside another one that has spent apart from it, for the two may have been exchanged, in one edit or
in two; two sources whose patients were shared and are no longer. So what is remembered is which name lay in which
place, and not what lay there: a table grows each night, and is another one then. Whoever moves one of two that have
spent says that it is not the other's; where only one has spent, nobody can gain by it, and `path` may be changed.

What it cannot find: the same patients in two sources that have had their own names and tables from the beginning; two
files that are exchanged in their places (while their tables stay the same, `objections` finds that at an approval).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from oncofed.client.guard.policy_file import NodePolicy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.patients.sources import SourceSpec
from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.sqlite_ledger import read_ledger
from oncofed.errors import Fault, InvalidInput

NAMED = "source_named"
"""The event for a source that the policy names, and where its patients lie."""
SHARED = "patients_shared"
"""The event for two sources that the policy says to share patients."""
GONE = "source_gone"
"""The event for a source that the policy names no longer, and that was never charged."""
OTHERS = "other_patients"
"""The event for a source of which somebody here says that its patients are nobody else's."""


@dataclass(frozen=True)
class SourceMemory:
    """tables: hashes of where the patients of each source lay. shared: pairs of sources. charged: by the ledger."""

    tables: Mapping[str, frozenset[str]]
    shared: frozenset[frozenset[str]]
    charged: frozenset[str]

    def faults(self, policy: NodePolicy, *, where: str, node: str) -> list[Fault]:
        """Why this policy may not be followed; node: the folder, for the remedy."""
        together = {source.name: {source.name, *source.counted_with} for source in policy.sources}
        found = []
        for source in policy.sources:
            name, group = source.name, together[source.name]
            place = f'{where}: [[source]] "{name}"'
            say_so = (
                f"if not one patient is the same, say so, which is logged: oncofed site other-patients {node} {name}"
            )
            if apart := sorted(self._lost_by(name, group, policy)):
                listed = ", ".join(apart)
                what = f"shared patients with {listed} before; now it would have a budget of its own"
                remedy = f"Write both, and same_patients_as, as they stood there; or, {say_so}"
                found.append(Fault(place, what, remedy))
            elif apart := sorted(self._spent_apart(source.source, group, policy)):
                listed = ", ".join(apart)
                what = f"would give patients a fresh budget if they are those of {listed}, which has spent already"
                remedy = (
                    "A source keeps its name for good: call it as it was called. Or write there "
                    f'same_patients_as = "{apart[0]}"; or, {say_so}'
                )
                found.append(Fault(place, what, remedy))
            elif apart := sorted(self._moved_apart(source.source, group)):
                listed = ", ".join(apart)
                what = (
                    f"lies where it never lay, and has spent; {listed}, too. If these are patients of {listed}, one "
                    "source would spend what another one has left"
                )
                remedy = f"Write path, statement or url_file as it was; or, if it was only moved: {say_so}"
                found.append(Fault(place, what, remedy))
        return found

    def news(self, policy: NodePolicy) -> list[tuple[str, dict[str, str]]]:
        """What the log does not know of this policy yet: events, with their facts."""
        names = {source.name for source in policy.sources}
        told = [
            (NAMED, {"data_source": each.name, "table": table})
            for each in policy.sources
            if (table := table_hash(each.source)) not in self.tables.get(each.name, frozenset())
        ]
        told += [(GONE, {"data_source": name}) for name in sorted(self.tables.keys() - names - self.charged)]
        pairs = {pair for each in policy.sources for pair in combinations(sorted({each.name, *each.counted_with}), 2)}
        told += [
            (SHARED, {"data_source": one, "shares_with": other})
            for one, other in sorted(pairs)
            if frozenset([one, other]) not in self.shared
        ]
        return told

    def _lost_by(self, name: str, group: Collection[str], policy: NodePolicy) -> set[str]:
        """Who shared its patients and does no more. One that is gone and never spent has no budget to lose."""
        still = {source.name for source in policy.sources} | self.charged
        partners = {other for pair in self.shared if name in pair for other in pair if other != name}
        return (partners - set(group)) & still

    def _spent_apart(self, source: SourceSpec, group: Collection[str], policy: NodePolicy) -> set[str]:
        """The sources that have spent, and whose patients these may be."""
        table, apart = table_hash(source), self.charged - set(group)
        if source.name not in self._known(policy) or (
            source.name not in self.charged and table not in self.tables.get(source.name, {table})
        ):
            return set(apart)
        lay = {table} | self.tables.get(source.name, frozenset())
        return {other for other in apart if lay & self.tables.get(other, frozenset())}

    def _moved_apart(self, source: SourceSpec, group: Collection[str]) -> set[str]:
        """The sources that have spent apart from this one, if it lies where it never lay.

        It has spent itself: of one that has not `_spent_apart` tells more.
        """
        lay = self.tables.get(source.name)  # an earlier version noted none
        if lay is None or table_hash(source) in lay:
            return set()
        return set(self.charged - set(group))

    def _known(self, policy: NodePolicy) -> frozenset[str]:
        names = frozenset(source.name for source in policy.sources)
        if not self.tables and self.charged <= names:  # as an earlier version left it, which noted no names
            return names
        return frozenset(self.tables) | self.charged


def memory_of(entries: Sequence[AuditEntry], *, charged: Collection[str]) -> SourceMemory:
    """What the audit log and the ledger tell. charged: names of sources in the ledger."""
    tables: dict[str, frozenset[str]] = {}
    shared: set[frozenset[str]] = set()
    for entry in entries:
        name, table = entry.facts.get("data_source", ""), entry.facts.get("table", "")
        if entry.event == NAMED:
            tables[name] = tables.get(name, frozenset()) | {table}
        elif entry.event == GONE:
            tables.pop(name, None)
        elif entry.event == SHARED:
            shared.add(frozenset([name, entry.facts.get("shares_with", "")]))
        elif entry.event == OTHERS:
            shared = {pair for pair in shared if name not in pair}
            tables = {other: lay - {table} for other, lay in tables.items()}
            tables[name] = frozenset([table])
    return SourceMemory(tables, frozenset(shared), frozenset(charged))


def table_hash(source: SourceSpec) -> str:
    """Tells one place of patients from another, and nothing else."""
    return hashlib.sha256(json.dumps(source.place).encode()).hexdigest()


def refuse_fresh_budgets(
    folder: NodeFolder, policy: NodePolicy, *, told: Sequence[AuditEntry] | None = None
) -> SourceMemory:
    """What is known. told: by the audit log, where it was just read.

    Raises InvalidInput for a policy under which patients would have a second budget.
    """
    charged = {entry.data_source for entry in read_ledger(folder.ledger)}
    entries = verify_audit_log(folder.audit_log).entries if told is None else told
    memory = memory_of(entries, charged=charged)
    if faults := memory.faults(policy, where=folder.policy.name, node=str(folder.root)):
        raise InvalidInput(faults)
    return memory


def remember_sources(
    folder: NodeFolder, policy: NodePolicy, audit: AuditLog, *, told: Sequence[AuditEntry] | None = None
) -> None:
    """The same, and note what is new of this policy: before anything is charged under it."""
    for event, facts in refuse_fresh_budgets(folder, policy, told=told).news(policy):
        audit.append(event, facts=facts)


def say_other_patients(folder: NodeFolder, policy: NodePolicy, audit: AuditLog, *, name: str, by: str) -> None:
    """Somebody says that no patient of this source is in another one that the policy does not name with it."""
    source = policy.source(name)
    audit.append(OTHERS, by=by, facts={"data_source": name, "table": table_hash(source.source)})
