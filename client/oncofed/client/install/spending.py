"""What has each data source of a node spent, and under which names that the policy does not have any more?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oncofed.client.guard.policy_file import SourcePolicy, read_policy, shared_in_words
from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import UnreadPlan, approved_on, offered_plans
from oncofed.client.records.ledger_view import LedgerView, ledger_view
from oncofed.client.records.sqlite_ledger import SqliteLedger, read_ledger, verify_ledger
from oncofed.privacy.releases import release_of_round


@dataclass(frozen=True)
class Spending:
    """gone: releases by names of sources that the policy does not name. unread: plans whose names are not known."""

    sources: tuple[LedgerView, ...]
    gone: dict[str, int]
    unread: tuple[UnreadPlan, ...]

    def lines(self, *, policy: str) -> Iterator[str]:
        """For a person. policy: the name of its file."""
        for view in self.sources:
            yield from view.lines()
        for name, releases in self.gone.items():
            yield f"Data source {name}: {releases} releases, and {policy} does not name it any more."
            yield "  The same patients under a new name would be given a new budget: restore the name."


def spending(folder: NodeFolder, *, anchor: str | None = None) -> Spending:
    """anchor: a head noted earlier. Raises RecordDamaged where the ledger is not sound, or lacks what it knew then."""
    head = verify_ledger(folder.ledger, anchor=anchor)
    entries = read_ledger(folder.ledger)
    plans = offered_plans(folder)
    names = {plan.plan_hash: plan.study for plan in plans.read}
    sources = read_policy(folder.policy).sources
    views = []
    for named in sources:
        private = [
            document.plan
            for document in approved_on(plans.read, named.name)
            if document.plan.privacy.noise_multiplier > 0
        ]
        views.append(
            ledger_view(
                entries,
                data_source=named.name,
                budget=named.site_policy.budget,
                head=head,
                next_event=release_of_round(private[-1]).event if private else None,
                next_plan=private[-1].hash if private else "",
                study_names=names,
                counted_with=named.counted_with,
                shared=shared_in_words(named),
            )
        )
    gone = sorted({entry.data_source for entry in entries} - {named.name for named in sources})
    return Spending(
        tuple(views), {name: sum(entry.data_source == name for entry in entries) for name in gone}, plans.unread
    )


def ledger_of(folder: NodeFolder, source: SourcePolicy) -> SqliteLedger:
    """Of one data source, with all that share its patients."""
    return SqliteLedger(
        folder.ledger,
        data_source=source.name,
        budget=source.site_policy.budget,
        counted_with=source.counted_with,
    )
