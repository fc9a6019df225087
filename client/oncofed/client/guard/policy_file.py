"""What does a hospital's own policy file allow?

Promise: every fault of the file is told at once, with field and remedy; an unknown or misspelt field is a fault, and so
is a missing one: no limit on what leaves has a default, because one that somebody forgot to write nobody chose.
Nothing that a server sends is ever read here. Sources that share patients have one budget: each counts what is charged
to the others, under the smallest epsilon and the smallest delta of them all. Refused: a password in this file (a
database's address lies in a file or an environment variable of its own), two sources of one name, and one table under
two names that are not said to share their patients.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from oncofed.client.patients.sources import SourceKind, SourceSpec
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import ABSENT, As, Known, Rule, Wrong
from oncofed.file_reading import read_declared
from oncofed.privacy.policy import SitePolicy
from oncofed.texts import text_of
from oncofed.toml_file import closest, read_toml

_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_ANY = ("any",)


@dataclass(frozen=True)
class SourcePolicy:
    """One data source: where it is, and what may be done with it.

    same_patients_as  the source that this one shares patients with, as the file says.
    counted_with      all that share patients with this one. site_policy has the budget of all of them together.
    epsilon_of        the source whose largest_epsilon that is.
    """

    source: SourceSpec
    site_policy: SitePolicy
    same_patients_as: str | None = None
    counted_with: tuple[str, ...] = ()
    epsilon_of: str = ""

    @property
    def name(self) -> str:
        return self.source.name


def _hospital(name: str, known: Known) -> str:
    if name not in text_of(Peer, "name"):
        raise Wrong("is no hospital's name", "Write it as the plan does; see `oncofed site peers`.")
    return name


def _read_out(card: str, known: Known) -> str:
    digits = "".join(card.lower().split())
    if digits not in text_of(Peer, "card"):
        remedy = "Write the eight groups of four digits that the hospital reads out from its `oncofed site card`."
        raise Wrong("is no card", remedy)
    return digits


@dataclass(frozen=True)
class Peer:
    """Another hospital. card: of its keys, as `protocol.cards` writes it; names differ, cards too."""

    name: Annotated[str, As("a name"), Rule(_hospital)]
    """Another hospital, as plans name it. `oncofed site verify` writes this section
    ([how](install-hospital.md#the-other-hospitals))."""
    card: Annotated[str, As("a card as it is read out"), Rule(_read_out)]
    """The fingerprint of its keys, which that hospital read out to you."""


@dataclass(frozen=True)
class NodePolicy:
    """allowed_plans: None allows any that somebody approves. What holds for all sources stands in each one's policy.

    plans_with_lost_answers  their answers are not in the records any more, and somebody has paid for them otherwise.
    smallest_group           the floor of figures of groups on the pages, which do not leave the hospital.
    persons_to_approve       how many must say yes to a plan; one is enough to decline it.
    """

    smallest_cohort: int
    largest_parameters: int
    allowed_plans: tuple[str, ...] | None
    sources: tuple[SourcePolicy, ...]
    peers: tuple[Peer, ...] = ()
    plans_with_lost_answers: tuple[str, ...] = ()
    smallest_group: int = 10
    persons_to_approve: int = 1

    def source(self, name: str) -> SourcePolicy:
        """The source of this name. Raises InvalidInput."""
        for source in self.sources:
            if source.name == name:
                return source
        known = [source.name for source in self.sources]
        raise InvalidInput([Fault("policy", f'has no data source "{name}"', closest(name, known))])


def shared_in_words(source: SourcePolicy) -> str:
    """What follows "epsilon 1.5 at delta 1e-05" where patients are shared."""
    if not source.counted_with:
        return ""
    return (
        f", together with {', '.join(source.counted_with)}: the same patients, and the epsilon of {source.epsilon_of}"
    )


def _plan_hashes(plans: tuple[str, ...] | None, *, otherwise: str = "") -> tuple[str, ...] | None:
    if plans is not None and not all(_PLAN_HASH.fullmatch(plan) for plan in plans):
        remedy = f"Write the 64 digits that `oncofed site plans` shows for each{otherwise}."
        raise Wrong("holds a text that is no plan's hash", remedy)
    return plans


_HASHES = Rule(lambda plans, known: _plan_hashes(plans))
_HASHES_OR_ANY = Rule(lambda plans, known: plans if plans == _ANY else _plan_hashes(plans, otherwise=', or ["any"]'))


@dataclass(frozen=True)
class NodeSection:
    """The section [node]."""

    smallest_cohort: Annotated[int, As("NodePolicy.smallest_cohort")]
    """With fewer patients than this, no plan can be approved. Raised later, it is for approvals to come; `decline` what
    you no longer want."""
    largest_parameters: Annotated[int, As("NodePolicy.largest_parameters")]
    """The largest model, in numbers. A few thousand are usual."""
    allowed_plans: Annotated[tuple[str, ...], _HASHES_OR_ANY]
    """`["any"]`: any plan that somebody here approves. Or the 64-digit hashes of the only ones."""
    smallest_group: Annotated[int, As("NodePolicy.smallest_group")] = NodePolicy.smallest_group
    """[pages](pages.md#what-is-told-of-groups-and-why-it-does-not-change-each-night) tell nothing of fewer patients; 10
    when left out, 5 to 1,000. A stricter one needs `oncofed site pages publish --anew`."""
    persons_to_approve: Annotated[int, As("NodePolicy.persons_to_approve")] = NodePolicy.persons_to_approve
    """How many persons must approve a plan before it is in force; 1 when left out. With 2, both need an account with
    the role `approver` ([console](pages.md#for-approvers-the-console)). One is always enough to decline."""
    plans_with_lost_answers: Annotated[tuple[str, ...], _HASHES] = ()
    """Leave it out. After a loss of records: the hashes of plans whose answers they have lost ([section
    8](install-hospital.md#8-backup-and-what-to-restore))."""


def _only_of(*kinds: SourceKind, needed: bool = False) -> Rule:
    def judge(value: Any, known: Known) -> Any:
        kind = known.before.get("kind")
        if value is not None and kind is not None and kind not in kinds:
            raise Wrong("is not a known field", f"Remove it: a source of kind {kind} has none.")
        if value is None and needed and kind in kinds:
            raise Wrong(*ABSENT)
        return value

    return Rule(judge)


def _whole(path: Path | None, known: Known) -> Path | None:
    """A path that means the same whoever starts the guard, and from where."""
    if path is not None and not path.is_absolute():
        raise Wrong("is not a whole path", "Begin it with /.")
    return path


def _one_address(path: Path | None, known: Known) -> Path | None:
    variable = known.before.get("url_variable", path)
    if known.before.get("kind") is SourceKind.SQL and (path is None) == (variable is None):
        raise Wrong("or url_variable must be given, and one only", "Say where the address lies.")
    return path


_OF_FILES = _only_of(SourceKind.CSV, SourceKind.PARQUET, needed=True)
_OF_DATABASES = _only_of(SourceKind.SQL)


@dataclass(frozen=True)
class SourceSection:
    """A section [[source]]."""

    name: Annotated[str, As("SourceSpec.name")]
    """Short, and **never changed**: the ledger counts under it, over all studies and for good. Renaming it would forget
    what patients have spent."""
    kind: SourceKind
    """`parquet`, `csv` or `sql`."""
    largest_epsilon: Annotated[float, As("SitePolicy.largest_epsilon")]
    """What all studies together may ever spend of one patient's privacy, 1 to 3 is usual."""
    delta: Annotated[float, As("SitePolicy.delta")]
    """At most 1 / (10 × patients)."""
    smallest_noise_multiplier: Annotated[float, As("SitePolicy.smallest_noise_multiplier")]
    """The least noise in a single answer, in units of the most that one patient can add. 1 is little; a plan says in
    words how much it has."""
    path: Annotated[Path | None, _OF_FILES, Rule(_whole)] = None
    """The whole path of the file; kinds `parquet` and `csv`."""
    statement: Annotated[str | None, As("SourceSpec.statement"), _only_of(SourceKind.SQL, needed=True)] = None
    """Kind `sql`: one SELECT that gives one row a patient."""
    url_variable: Annotated[str | None, As("SourceSpec.url_variable"), _OF_DATABASES] = None
    """Kind `sql`, instead of `url_file`: an environment variable, for trying out. Not for services."""
    url_file: Annotated[Path | None, _OF_DATABASES, Rule(_one_address), Rule(_whole)] = None
    """Kind `sql`: a file whose one line is `postgresql://user:password@10.2.0.7:5432/name`, readable by the guard
    alone: `install -m 400 -o oncofed-guard url /etc/oncofed/database.url` (a file that others may read is refused).
    Give that user SELECT on the one view."""
    same_patients_as: Annotated[str | None, As("SourcePolicy.same_patients_as")] = None
    """Leave it out, unless another `[[source]]` holds some of the same patients: then its name. What is charged to one
    counts in both, and the smallest `largest_epsilon` and `delta` of all that share hold for each; `site check`,
    `ledger` and the doctor name them. Of three or more, name the same one in all others. Never taken out again: that
    would forget what the others have spent, and is refused ([Data sources keep their
    names](install-hospital.md#data-sources-keep-their-names))."""
    allow_no_privacy: bool = False
    """`true` lets plans without any noise pass. For public data only; leave it out."""
    fewest_colluding_tolerated: Annotated[int | None, As("SitePolicy.fewest_colluding_tolerated")] = None
    """Leave it out, and no study may share its noise between hospitals (privacy mode `distributed`). With a number,
    such a study must withstand so many other hospitals that side with the coordinator."""
    show_treatment_comparison: bool = False
    """`true` lets plans pass that [compare two treatment options](options.md), and what they release be shown. Leave it
    out unless your hospital has decided so: a guard then refuses that plan, and answers the study's others."""

    @property
    def spec(self) -> SourceSpec:
        return SourceSpec(self.name, self.kind, self.path, self.statement, self.url_file, self.url_variable)


@dataclass(frozen=True)
class PolicyFile:
    """A hospital's policy.toml."""

    node: NodeSection
    source: tuple[SourceSection, ...]
    peer: tuple[Peer, ...] = ()


def read_policy(path: Path) -> NodePolicy:
    """The policy in a TOML file. Raises InvalidInput with all faults."""
    faults: list[Fault] = []
    file = read_declared(
        PolicyFile,
        read_toml(path),
        where=path.name,
        faults=faults,
        between=lambda right, all_: _between(path.name, right, all_),
    )
    if file is None:
        raise InvalidInput(faults)
    node = file.node
    allowed_plans = None if node.allowed_plans == _ANY else node.allowed_plans
    return NodePolicy(
        node.smallest_cohort,
        node.largest_parameters,
        allowed_plans,
        tuple(_counted_together(source, file, allowed_plans) for source in file.source),
        file.peer,
        node.plans_with_lost_answers,
        node.smallest_group,
        node.persons_to_approve,
    )


def _between(where: str, right: Sequence[object], all_: bool) -> list[Fault]:
    """Names that are not one's own, or lead nowhere."""
    sources = [section for section in right if isinstance(section, SourceSection)]
    peers = [section for section in right if isinstance(section, Peer)]
    faults = []
    for what, values in (("name", [peer.name for peer in peers]), ("card", [peer.card for peer in peers])):
        for value in _twice(values):
            faults.append(Fault(where, f"has two peers of the {what} {value}", "Keep the one that was compared."))
    for name in _twice([source.name for source in sources]):
        faults.append(Fault(where, f'names the source "{name}" more than once', "Give each a name of its own."))
    if all_:
        faults += _patients_not_named_once(where, sources)
    return [*faults, *_tables_named_twice(where, sources)]


def _twice(values: list[str]) -> list[str]:
    return sorted({value for value in values if values.count(value) > 1})


def _tables_named_twice(where: str, sources: list[SourceSection]) -> list[Fault]:
    """One table under two names would have two budgets for the same patients."""
    found: dict[tuple[str, ...], SourceSection] = {}
    faults = []
    for source in sources:
        table = source.spec.place
        if table in found and any(table) and _first_of(found[table]) != _first_of(source):
            first = found[table].name
            what = f'names one table twice, as "{first}" and as "{source.name}", with two budgets for its patients'
            remedy = (
                "Keep the one under which the ledger has counted. If it has counted under both, say in one of them "
                f'that they are the same patients, such as same_patients_as = "{first}".'
            )
            faults.append(Fault(where, what, remedy))
        found.setdefault(table, source)
    return faults


def _first_of(source: SourceSection) -> str:
    """The source that stands for all that share patients with this one."""
    return source.same_patients_as or source.name


def _patients_not_named_once(where: str, sources: list[SourceSection]) -> list[Fault]:
    """Who shares patients with whom is said of each source once, and of one source by all the others."""
    by_name = {source.name: source for source in sources}
    faults = []
    for source in sources:
        other = source.same_patients_as
        if other is None:
            continue
        if other == source.name:
            what, remedy = "names itself", "Leave it out, or name the other source."
        elif other not in by_name:
            what, remedy = f'names "{other}", which is no source', closest(other, list(by_name))
        elif by_name[other].same_patients_as is not None:
            what = f'names "{other}", which names another one itself'
            remedy = "Choose one of these sources, leave the field out there, and name that one in all others."
        else:
            continue
        faults.append(Fault(f'{where}: [[source]] "{source.name}": same_patients_as', what, remedy))
    return faults


def _counted_together(source: SourceSection, file: PolicyFile, allowed_plans: tuple[str, ...] | None) -> SourcePolicy:
    """The source with the budget of all that share its patients."""
    group = [each for each in file.source if _first_of(each) == _first_of(source)]
    strictest = min(group, key=lambda each: each.largest_epsilon)
    budget = SitePolicy(
        data_source=source.name,
        largest_epsilon=strictest.largest_epsilon,
        # A bound that holds at a smaller delta holds at a larger one.
        delta=min(each.delta for each in group),
        smallest_noise_multiplier=source.smallest_noise_multiplier,
        allow_no_privacy=source.allow_no_privacy,
        allowed_plans=allowed_plans,
        largest_parameters=file.node.largest_parameters,
        fewest_colluding_tolerated=source.fewest_colluding_tolerated,
        verified_cards=frozenset(peer.card for peer in file.peer),
        show_treatment_comparison=source.show_treatment_comparison,
    )
    others = tuple(each.name for each in group if each.name != source.name)
    return SourcePolicy(source.spec, budget, source.same_patients_as, others, strictest.name)
