"""What does a hospital's own policy file allow?

Promise: every fault of the file is told at once, with field and remedy; an unknown or misspelt field is a fault, and so
is a missing one: no limit on what leaves has a default, because one that somebody forgot to write nobody chose.
Nothing that a server sends is ever read here. Sources that share patients have one budget: each counts what is charged
to the others, under the smallest epsilon and the smallest delta of them all. Refused: a password in this file (a
database's address lies in a file or an environment variable of its own), two sources of one name, and one table under
two names that are not said to share their patients.

A whole file::

    [node]
    smallest_cohort = 50            # with fewer patients no plan is approved
    largest_parameters = 100_000    # of a model
    allowed_plans = ["any"]         # any that somebody here approves; or the hashes of the only ones
    # smallest_group = 10           # pages tell nothing of fewer patients
    # plans_with_lost_answers = []  # after a loss of records: docs/install-hospital.md, section 8

    [[source]]
    name = "tumour-registry"        # stable for good: the ledger counts under it
    kind = "parquet"                # or "csv", with path; or "sql", with statement and url_file or url_variable
    path = "/srv/oncofed/registry.parquet"
    largest_epsilon = 3.0           # of all studies together
    delta = 1e-6
    smallest_noise_multiplier = 5.0
    fewest_colluding_tolerated = 2  # only where studies may share their noise between hospitals; left out: they may not
    # same_patients_as = "biobank"  # another [[source]] with some of the same patients: one budget for both

    [[peer]]                        # another hospital, whose card somebody here compared over the telephone
    name = "essen"
    card = "4f1c 22aa 90b1 7d3e 5c0f 8812 aa31 0b7e"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from oncofed.client.patients.sources import SourceKind, SourceSpec
from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.policy import SitePolicy
from oncofed.ranges import range_of
from oncofed.texts import text_of
from oncofed.toml_section import Section, closest, read_toml

_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_ANY = "any"


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


@dataclass(frozen=True)
class Peer:
    """Another hospital. card: of its keys, as `protocol.cards` writes it; names differ, cards too."""

    name: str
    card: str


@dataclass(frozen=True)
class NodePolicy:
    """allowed_plans: None allows any that somebody approves. What holds for all sources stands in each one's policy.

    plans_with_lost_answers  their answers are not in the records any more, and somebody has paid for them otherwise.
    smallest_group           the floor of figures of groups on the pages, which do not leave the hospital.
    """

    smallest_cohort: int
    largest_parameters: int
    allowed_plans: tuple[str, ...] | None
    sources: tuple[SourcePolicy, ...]
    peers: tuple[Peer, ...] = ()
    plans_with_lost_answers: tuple[str, ...] = ()
    smallest_group: int = 10

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


def read_policy(path: Path) -> NodePolicy:
    """The policy in a TOML file. Raises InvalidInput with all faults."""
    faults: list[Fault] = []
    file = Section(path.name, read_toml(path), faults)
    node = file.section("node", heading=f"{path.name}: [node]", required=True)
    node = node or Section(f"{path.name}: [node]", {}, [])
    smallest_cohort = node.whole_number(
        "smallest_cohort", within=range_of(NodePolicy, "smallest_cohort"), required=True
    )
    largest_parameters = node.whole_number(
        "largest_parameters", within=range_of(NodePolicy, "largest_parameters"), required=True
    )
    smallest_group = node.whole_number("smallest_group", within=range_of(NodePolicy, "smallest_group"))
    allowed_plans = _allowed_plans(node)
    lost = _plan_hashes(node, "plans_with_lost_answers", node.texts("plans_with_lost_answers") or ())
    node.close()
    peers = _peers(path.name, file, faults)
    tables = file.sections("source")
    if not tables:
        faults.append(Fault(f"{path.name}: [[source]]", "there is none", "Add one for each table of patients."))
    sources = []
    for number, content in enumerate(tables, start=1):
        section = Section(f"{path.name}: [[source]] number {number}", content, faults)
        source = _source(section)
        same_patients_as = section.text("same_patients_as", kind=text_of(SourcePolicy, "same_patients_as"))
        site_policy = _site_policy(
            section,
            source.name,
            allowed_plans=allowed_plans,
            largest_parameters=largest_parameters or 0,
            verified_cards=frozenset(peer.card for peer in peers),
        )
        section.close()
        sources.append(SourcePolicy(source, site_policy, same_patients_as))
    file.close()
    names = [source.name for source in sources]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        faults.append(Fault(path.name, f'names the source "{name}" more than once', "Give each a name of its own."))
    faults += [*_patients_not_named_once(path.name, sources), *_tables_named_twice(path.name, sources)]
    if faults:
        raise InvalidInput(faults)
    together = tuple(_counted_together(source, sources) for source in sources)
    return NodePolicy(
        smallest_cohort or 0,
        largest_parameters or 0,
        allowed_plans,
        together,
        peers,
        lost,
        smallest_group or NodePolicy.smallest_group,
    )


def _peers(where: str, file: Section, faults: list[Fault]) -> tuple[Peer, ...]:
    peers = []
    for number, content in enumerate(file.sections("peer"), start=1):
        section = Section(f"{where}: [[peer]] number {number}", content, faults)
        name, card = section.required_text("name"), "".join(section.required_text("card").lower().split())
        if name and name not in text_of(Peer, "name"):
            section.fault("name", "is no hospital's name", "Write it as the plan does; see `oncofed site peers`.")
        if card and card not in text_of(Peer, "card"):
            remedy = "Write the eight groups of four digits that the hospital reads out from its `oncofed site card`."
            section.fault("card", "is no card", remedy)
        section.close()
        peers.append(Peer(name, card))
    for what, values in (("name", [peer.name for peer in peers]), ("card", [peer.card for peer in peers])):
        for value in sorted({value for value in values if value and values.count(value) > 1}):
            faults.append(Fault(where, f"has two peers of the {what} {value}", "Keep the one that was compared."))
    return tuple(peers)


def _tables_named_twice(where: str, sources: list[SourcePolicy]) -> list[Fault]:
    """One table under two names would have two budgets for the same patients."""
    found: dict[object, SourcePolicy] = {}
    faults = []
    for source in sources:
        spec = source.source
        table = spec.path.resolve() if spec.path is not None else (spec.statement, spec.url_file, spec.url_variable)
        if table in found and table != (None, None, None) and _first_of(found[table]) != _first_of(source):
            first = found[table].name
            what = f'names one table twice, as "{first}" and as "{source.name}", with two budgets for its patients'
            remedy = (
                "Keep the one under which the ledger has counted. If it has counted under both, say in one of them "
                f'that they are the same patients, such as same_patients_as = "{first}".'
            )
            faults.append(Fault(where, what, remedy))
        found.setdefault(table, source)
    return faults


def _first_of(source: SourcePolicy) -> str:
    """The source that stands for all that share patients with this one."""
    return source.same_patients_as or source.name


def _patients_not_named_once(where: str, sources: list[SourcePolicy]) -> list[Fault]:
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


def _counted_together(source: SourcePolicy, sources: list[SourcePolicy]) -> SourcePolicy:
    """The source with the budget of all that share its patients."""
    group = [each for each in sources if _first_of(each) == _first_of(source)]
    strictest = min(group, key=lambda each: each.site_policy.largest_epsilon)
    budget = replace(
        source.site_policy,
        largest_epsilon=strictest.site_policy.largest_epsilon,
        # A bound that holds at a smaller delta holds at a larger one.
        delta=min(each.site_policy.delta for each in group),
    )
    others = tuple(each.name for each in group if each.name != source.name)
    return replace(source, site_policy=budget, counted_with=others, epsilon_of=strictest.name)


def _allowed_plans(node: Section) -> tuple[str, ...] | None:
    plans = node.texts("allowed_plans", required=True) or ()
    if plans == (_ANY,):
        return None
    return _plan_hashes(node, "allowed_plans", plans, otherwise=f', or ["{_ANY}"]')


def _plan_hashes(node: Section, key: str, plans: tuple[str, ...], *, otherwise: str = "") -> tuple[str, ...]:
    if not all(_PLAN_HASH.fullmatch(plan) for plan in plans):
        remedy = f"Write the 64 digits that `oncofed site plans` shows for each{otherwise}."
        node.fault(key, "holds a text that is no plan's hash", remedy)
    return plans


def _source(section: Section) -> SourceSpec:
    name = section.required_text("name", kind=text_of(SourceSpec, "name"))
    kind = section.choice("kind", SourceKind, required=True)
    if kind is SourceKind.SQL:
        statement = section.required_text("statement", kind=text_of(SourceSpec, "statement"))
        url_file, url_variable = (
            section.text("url_file"),
            section.text("url_variable", kind=text_of(SourceSpec, "url_variable")),
        )
        if (url_file is None) == (url_variable is None):
            section.fault("url_file", "or url_variable must be given, and one only", "Say where the address lies.")
        return SourceSpec(
            name,
            kind,
            statement=statement,
            url_file=_absolute(section, "url_file", url_file),
            url_variable=url_variable,
        )
    path = _absolute(section, "path", section.text("path", required=kind is not None))
    return SourceSpec(name, kind or SourceKind.CSV, path=path)


def _absolute(section: Section, key: str, text: str | None) -> Path | None:
    """A path that means the same whoever starts the guard, and from where."""
    if text is None:
        return None
    if not Path(text).is_absolute():
        section.fault(key, "is not a whole path", "Begin it with /.")
    return Path(text)


def _site_policy(
    section: Section,
    name: str,
    *,
    allowed_plans: tuple[str, ...] | None,
    largest_parameters: int,
    verified_cards: frozenset[str],
) -> SitePolicy:
    def limit(key: str) -> float:
        return section.number(key, within=range_of(SitePolicy, key), required=True) or 0.0

    return SitePolicy(
        data_source=name,
        largest_epsilon=limit("largest_epsilon"),
        delta=limit("delta"),
        smallest_noise_multiplier=limit("smallest_noise_multiplier"),
        allow_no_privacy=section.flag("allow_no_privacy", False),
        allowed_plans=allowed_plans,
        largest_parameters=largest_parameters,
        fewest_colluding_tolerated=section.whole_number(
            "fewest_colluding_tolerated", within=range_of(SitePolicy, "fewest_colluding_tolerated")
        ),
        verified_cards=verified_cards,
    )
