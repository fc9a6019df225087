"""What has a data source spent, what is left, and how many more rounds does that buy: in words?

Epsilon does not add up like money: one more round costs less the more were made. So what is left is told as rounds of a
given kind, counted with the accountant itself, and not as a difference alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from oncofed.client.records.chain import Anchor
from oncofed.client.records.sqlite_ledger import Entry
from oncofed.privacy.accounting import PrivacyEvent, epsilon_of, one_collection
from oncofed.privacy.ledger import Budget
from oncofed.protocol.plan_hash import shown_of

MOST_ROUNDS_COUNTED = 100_000
"""More rounds than this are told as "more than"; nobody plans them."""


@dataclass(frozen=True)
class StudySpending:
    """epsilon: of this plan's releases alone. The whole of a source is less than the sum over its plans."""

    plan_hash: str
    name: str
    releases: int
    epsilon: float
    last_at: str


@dataclass(frozen=True)
class LedgerView:
    """next_event: the kind of round asked about, None when nobody asked. rounds_left: how many of it still fit.

    shared  in words: the sources that share its patients, whose charges are counted with its own.
    """

    data_source: str
    budget: Budget
    spent_epsilon: float
    releases: int
    studies: tuple[StudySpending, ...]
    next_event: PrivacyEvent | None
    rounds_left: int | None
    head: Anchor
    shared: str = ""

    def lines(self) -> tuple[str, ...]:
        """For a person who decides about data, not about mathematics."""
        epsilon, delta = self.budget.largest_epsilon, self.budget.delta
        left = max(0.0, epsilon - self.spent_epsilon)
        found = [
            f"Data source {self.data_source}",
            f"  spent: epsilon {self.spent_epsilon:.3f} of {epsilon:.3f} at delta {delta:g}, "
            f"in {_counted(self.releases, 'release')}{self.shared}",
            f"  left:  epsilon {left:.3f}",
        ]
        if self.rounds_left is not None and self.next_event is not None:
            more = "more than " if self.rounds_left >= MOST_ROUNDS_COUNTED else ""
            found.append(f"  that buys {more}{_counted(self.rounds_left, 'more round')} with {_words(self.next_event)}")
        found += [
            f"  study {study.name}: {_counted(study.releases, 'release')}, epsilon {study.epsilon:.3f} by itself, "
            f"last on {study.last_at}"
            for study in self.studies
        ]
        found += [
            "  Epsilon bounds what all releases together can tell about one patient of this hospital (one is added or",
            "  removed). A patient who is treated at a second hospital spends there as well.",
            f"  Note this head outside this machine, to show later that nothing was taken off: {self.head}",
        ]
        return tuple(found)


def ledger_view(
    entries: Sequence[Entry],
    *,
    data_source: str,
    budget: Budget,
    head: Anchor,
    next_event: PrivacyEvent | None,
    study_names: Mapping[str, str],
    next_plan: str = "",
    counted_with: Collection[str] = (),
    shared: str = "",
) -> LedgerView:
    """The view of one data source.

    entries      of the whole file, as `sqlite_ledger.read_ledger` gives them.
    next_event   the round whose number is asked for: `releases.release_of_round(plan).event`.
    next_plan    the hash of its plan; a study that trains by epochs shares a source with no other.
    study_names  names by plan hash; a plan without one goes by the beginning of its hash.
    counted_with  sources that share its patients; shared: the same in words.
    """
    own = [entry for entry in entries if entry.data_source == data_source or entry.data_source in counted_with]
    events = [entry.charge.event for entry in own]
    by_plan: dict[str, list[Entry]] = {}
    for entry in own:
        by_plan.setdefault(entry.charge.identity.split("/", 1)[0], []).append(entry)
    return LedgerView(
        data_source=data_source,
        budget=budget,
        spent_epsilon=epsilon_of(events, delta=budget.delta),
        releases=len(own),
        studies=tuple(
            StudySpending(
                plan_hash=plan_hash,
                name=study_names.get(plan_hash, shown_of(plan_hash, among=by_plan)),
                releases=len(made),
                epsilon=epsilon_of([entry.charge.event for entry in made], delta=budget.delta),
                last_at=made[-1].charged_at,
            )
            for plan_hash, made in by_plan.items()
        ),
        next_event=next_event,
        rounds_left=None
        if next_event is None
        else rounds_left(
            [(entry.charge.plan_hash, entry.charge.event) for entry in own],
            next_event,
            plan_hash=next_plan,
            budget=budget,
        ),
        head=head,
        shared=shared,
    )


def rounds_left(
    charged: Sequence[tuple[str, PrivacyEvent]], event: PrivacyEvent, *, plan_hash: str, budget: Budget
) -> int:
    """How many more of a plan's `event` fit, up to MOST_ROUNDS_COUNTED: by the ledger's own rules for each next charge.

    charged  what was released, each with its plan.
    """
    if not one_collection([*charged, (plan_hash, event)]):
        return 0
    events = [made for _, made in charged]

    def fits(rounds: int) -> bool:
        return epsilon_of([*events, *[event] * rounds], delta=budget.delta) <= budget.largest_epsilon

    if not fits(1):
        return 0
    low, high = 1, 2
    while high < MOST_ROUNDS_COUNTED and fits(high):
        low, high = high, 2 * high
    high = min(high, MOST_ROUNDS_COUNTED + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _words(event: PrivacyEvent) -> str:
    noise = f"noise of {event.noise_multiplier:g} times one patient's largest part"
    if event.sampling_rate < 1:
        return f"{event.steps} steps of {noise}, each patient taking part with probability {event.sampling_rate:g}"
    return noise if event.sites == 1 else f"{noise} at least, in a sum of {event.sites} hospitals"
