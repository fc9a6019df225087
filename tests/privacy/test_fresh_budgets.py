"""Can a policy give patients who have spent a fresh budget, by calling their source otherwise?

Each way to write it is tried on a node that has spent, wherever a policy is looked at; and each honest change is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.installed_node import SITE, SOURCE, InstalledNode, installed_node, table
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, Asker

from oncofed.client.guard import process
from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.doctor import examine
from oncofed.client.install.findings import Verdict
from oncofed.client.patients.sources import SourceKind, SourceSpec
from oncofed.client.records import source_memory
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.source_memory import OTHERS, remember_sources, say_other_patients, table_hash
from oncofed.client.records.sqlite_ledger import SqliteLedger, read_ledger
from oncofed.errors import InvalidInput, RefusalCode, RequestRefused
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.study_document import schema_of

BIOBANK = """
[[source]]
name = "biobank"
kind = "csv"
path = "{folder}/biobank.csv"
largest_epsilon = 1.5
delta = 1e-5
smallest_noise_multiplier = 5.0
"""
SAID = f'same_patients_as = "{SOURCE}"\n'


def spent(node: InstalledNode, *, said: str = "", biobank: bool = True) -> None:
    """A node whose registry has answered a round under a policy with a biobank."""
    node.enrol()
    table(800, prefix="B-11", seed=7).to_csv(node.folder.root / "biobank.csv", index=False)
    if biobank:
        with node.folder.policy.open("a") as file:
            file.write(BIOBANK.format(folder=node.folder.root) + said)
    guard = node.guard()
    guard.offer_plan(node.offer())
    node.approve()
    assert asked(node, 1) is None
    assert {entry.data_source for entry in read_ledger(node.folder.ledger)} == {SOURCE}


def asked(node: InstalledNode, round_: int) -> RefusalCode | None:
    guard = node.guard()
    questions = questions_to_node(guard, site=SITE)
    desk = Desk(questions, audit=guard.audit, answer_key=ANSWER_KEY, asker_key=COORDINATOR_PUBLIC)
    try:
        Asker(desk).contribute(node.request(round_=round_))
    except RequestRefused as refused:
        return refused.code
    return None


def is_refused_everywhere(node: InstalledNode, source: str) -> bool:
    """At check, doctor, approve, the guard's start; the same everywhere, and with the remedy."""
    root = node.folder.root
    plan = replace(node.plan(), study="another")
    node.guard().offer_plan(node.offer(plan))
    texts = [
        told.text if (told := oncofed("site", *words)).code else ""
        for words in (
            ("check", root),
            ("doctor", root),
            ("approve", root, plan.hash, "--source", source, "--yes"),
        )
    ]
    try:
        process._serve(node.folder, Ended())
        texts.append("")
    except InvalidInput as refused:
        texts.append(str(refused))
    refused_by = ["site other-patients" in text for text in texts]
    assert len(set(refused_by)) == 1, texts
    return refused_by[0]


class Ended(threading.Event):
    """A guard that starts ends at once."""

    def wait(self, timeout: float | None = None) -> bool:
        return True


def renamed(node: InstalledNode) -> str:
    node.set_policy(f'name = "{SOURCE}"', 'name = "registry-2026"')
    return "registry-2026"


def renamed_with_another_file(node: InstalledNode) -> str:
    moved(node)
    return renamed(node)


def a_second_name_beside_the_first(node: InstalledNode) -> str:
    table(900, prefix="C-12", seed=8).to_csv(node.folder.root / "other.csv", index=False)
    with node.folder.policy.open("a") as file:
        file.write(BIOBANK.format(folder=node.folder.root).replace("biobank", "other"))
    return "other"


def names_exchanged(node: InstalledNode) -> str:
    """Both names are known, and biobank has spent nothing."""
    text = node.folder.policy.read_text()
    text = text.replace('"biobank"', '"x"').replace(f'"{SOURCE}"', '"biobank"').replace('"x"', f'"{SOURCE}"')
    node.folder.policy.write_text(text)
    return "biobank"


def what_has_not_spent_points_elsewhere(node: InstalledNode) -> str:
    node.table_path.with_name("copy.csv").write_bytes(node.table_path.read_bytes())
    node.set_policy("/biobank.csv", "/copy.csv")
    return "biobank"


def away_and_back(node: InstalledNode) -> str:
    text = node.folder.policy.read_text()
    start = text.index('[[source]]\nname = "biobank"')
    node.folder.policy.write_text(text[:start])
    remember_sources(node.folder, read_policy(node.folder.policy), node.audit_log)
    node.folder.policy.write_text(text)
    return "biobank"


EVASIONS = (
    renamed,
    renamed_with_another_file,
    a_second_name_beside_the_first,
    names_exchanged,
    what_has_not_spent_points_elsewhere,
    away_and_back,
)


@pytest.mark.parametrize("evade", EVASIONS)
def test_another_name_is_refused_everywhere_until_somebody_says_that_these_are_other_patients(
    evade: Callable[[InstalledNode], str],
) -> None:
    with installed_node() as node:
        spent(node)
        assert not is_refused_everywhere(node, "biobank")
        source = evade(node)
        assert is_refused_everywhere(node, source)
        assert asked(node, 2) in (RefusalCode.NOT_READY, RefusalCode.NOT_APPROVED)
        told = oncofed("site", "other-patients", node.folder.root, source, "--yes")
        assert (told.code, "Noted in the audit log" in told.text) == (0, True)
        (said,) = (entry for entry in node.entries() if entry.event == OTHERS)
        assert said.facts["data_source"] == source
        assert said.by
        assert not is_refused_everywhere(node, source)


def both_spent(node: InstalledNode, *, said: str = "") -> None:
    """Each has answered a round, with a budget of its own unless that is said."""
    spent(node, said=said)
    asker = Asker(desk_of(node))
    asker.contribute(node.request(approve(node, study="two", source="biobank")))
    assert {entry.data_source for entry in read_ledger(node.folder.ledger)} == {SOURCE, "biobank"}


def policy_with(node: InstalledNode, before: str, after: str) -> None:
    node.set_policy(f"/{before}.csv", f"/{after}.csv")


def exchanged_with_their_files(node: InstalledNode) -> str:
    """In one edit: both files lie elsewhere, and each name stands for the other one."""
    node.table_path.rename(node.table_path.with_name("b-new.csv"))
    node.table_path.with_name("biobank.csv").rename(node.table_path.with_name("a-new.csv"))
    policy_with(node, "patients", "a-new")
    policy_with(node, "biobank", "b-new")
    return SOURCE


def exchanged_by_one_file(node: InstalledNode) -> str:
    """The other one is to follow."""
    node.table_path.with_name("a-new.csv").write_bytes(node.table_path.with_name("biobank.csv").read_bytes())
    policy_with(node, "patients", "a-new")
    return SOURCE


def by_a_link(node: InstalledNode) -> str:
    """No word of the policy is changed."""
    other = node.table_path.with_name("a-new.csv")
    other.write_bytes(node.table_path.with_name("biobank.csv").read_bytes())
    node.table_path.unlink()
    node.table_path.symlink_to(other)
    return SOURCE


def the_other_is_gone_from_the_policy(node: InstalledNode) -> str:
    exchanged_by_one_file(node)
    without_the_other(node)
    return SOURCE


EXCHANGES = (exchanged_with_their_files, exchanged_by_one_file, by_a_link, the_other_is_gone_from_the_policy)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_table_of_two_that_have_spent_lies_elsewhere_only_when_somebody_says_that_it_is_not_the_others(
    exchange: Callable[[InstalledNode], str],
) -> None:
    with installed_node() as node:
        both_spent(node)
        assert not is_refused_everywhere(node, SOURCE)
        source = exchange(node)
        assert is_refused_everywhere(node, source)
        assert asked(node, 2) is RefusalCode.NOT_READY
        names = (SOURCE, "biobank") if exchange is exchanged_with_their_files else (SOURCE,)
        for said, name in enumerate(names):
            assert is_refused_everywhere(node, source), f"after {said} of them were said"
            told = oncofed("site", "other-patients", node.folder.root, name, "--yes")
            assert (told.code, "keeps what it has spent" in told.text) == (0, True), told.text
        assert not is_refused_everywhere(node, source)
        assert [entry.facts["data_source"] for entry in node.entries() if entry.event == OTHERS] == list(names)
        assert all(entry.by for entry in node.entries() if entry.event == OTHERS)
        assert {entry.data_source for entry in read_ledger(node.folder.ledger)} == {SOURCE, "biobank"}


def test_tables_that_share_a_budget_may_move() -> None:
    """Whichever name stands for them, all of them pay."""
    with installed_node() as node:
        both_spent(node, said=SAID)
        exchanged_with_their_files(node)
        assert not is_refused_everywhere(node, SOURCE)


def test_a_table_that_was_moved_back_is_where_it_was() -> None:
    with installed_node() as node:
        both_spent(node)
        before = node.folder.policy.read_text()
        exchanged_by_one_file(node)
        assert is_refused_everywhere(node, SOURCE)
        node.folder.policy.write_text(before)
        assert not is_refused_everywhere(node, SOURCE)


def test_without_the_memory_each_of_them_is_a_fresh_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_memory.SourceMemory, "faults", lambda *_, **__: [])
    for evade in (*EVASIONS, *EXCHANGES):
        with installed_node() as node:
            both_spent(node) if evade in EXCHANGES else spent(node)
            assert not is_refused_everywhere(node, evade(node))


def without_the_union(node: InstalledNode) -> None:
    node.set_policy(SAID, "")


def without_the_other(node: InstalledNode) -> None:
    text = node.folder.policy.read_text()
    node.folder.policy.write_text(text[: text.index('[[source]]\nname = "biobank"')])


@pytest.mark.parametrize("evade", [without_the_union, without_the_other])
@pytest.mark.parametrize("charged", [True, False])
def test_patients_who_were_shared_stay_so(evade: Callable[[InstalledNode], None], charged: bool) -> None:
    """A source that is gone and never spent takes nothing with it."""
    with installed_node() as node:
        spent(node, said=SAID)
        if charged:
            source, plan = read_policy(node.folder.policy).source("biobank"), replace(node.plan(), study="two")
            node.guard().offer_plan(node.offer(plan))
            told = oncofed("site", "approve", node.folder.root, plan.hash, "--source", source.name, "--yes")
            assert told.code == 0, told.text
            Asker(desk_of(node)).contribute(node.request(plan))
        evade(node)
        assert is_refused_everywhere(node, SOURCE) is (charged or evade is without_the_union)


def desk_of(node: InstalledNode) -> Desk:
    guard = node.guard()
    questions = questions_to_node(guard, site=SITE)
    return Desk(questions, audit=guard.audit, answer_key=ANSWER_KEY, asker_key=COORDINATOR_PUBLIC)


def moved(node: InstalledNode) -> None:
    node.table_path.rename(node.table_path.with_name("moved.csv"))
    node.set_policy("/patients.csv", "/moved.csv")


def another_budget(node: InstalledNode) -> None:
    node.set_policy("largest_epsilon = 1.5", "largest_epsilon = 1.2")


def now_shared(node: InstalledNode) -> None:
    with node.folder.policy.open("a") as file:
        file.write(SAID)


def new_and_shared(node: InstalledNode) -> None:
    a_second_name_beside_the_first(node)
    now_shared(node)


@pytest.mark.parametrize("change", [moved, another_budget, now_shared, new_and_shared, without_the_other])
def test_an_honest_change_is_none(change: Callable[[InstalledNode], object]) -> None:
    with installed_node() as node:
        spent(node)
        change(node)
        assert not is_refused_everywhere(node, SOURCE)
        assert asked(node, 2) is None


def test_as_long_as_nothing_was_spent_a_policy_may_be_written_anew() -> None:
    with installed_node() as node:
        node.enrol()
        remember_sources(node.folder, read_policy(node.folder.policy), node.audit_log)
        assert not is_refused_everywhere(node, renamed(node))


@pytest.mark.parametrize("renamed_before", [False, True])
def test_a_node_of_an_earlier_version_keeps_the_names_that_it_has(
    renamed_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log holds no names yet; a source that has spent and is gone was called otherwise meanwhile."""
    with installed_node() as node:
        with monkeypatch.context() as earlier:
            earlier.setattr(source_memory.SourceMemory, "news", lambda *_: [])
            spent(node)
        assert not [entry for entry in node.entries() if entry.event == source_memory.NAMED]
        source = renamed(node) if renamed_before else "biobank"
        assert is_refused_everywhere(node, source) is renamed_before


def test_two_that_have_spent_under_an_earlier_version_lie_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    with installed_node() as node:
        with monkeypatch.context() as earlier:
            earlier.setattr(source_memory.SourceMemory, "news", lambda *_: [])
            both_spent(node)
        assert not is_refused_everywhere(node, SOURCE)
        assert {entry.facts["data_source"] for entry in node.entries() if entry.event == source_memory.NAMED} == {
            SOURCE,
            "biobank",
        }
        assert is_refused_everywhere(node, exchanged_with_their_files(node))


def test_the_memory_is_in_the_chain_and_lives_on_when_the_log_is_closed() -> None:
    with installed_node() as node:
        spent(node, said=SAID)
        AuditLog(node.folder.audit_log).close(by="Dr. Example", vouched=lambda _: b"")
        without_the_union(node)
        with pytest.raises(InvalidInput, match="shared patients with"):
            remember_sources(node.folder, read_policy(node.folder.policy), node.audit_log)


def test_the_doctor_names_the_source_and_the_remedy() -> None:
    with installed_node() as node:
        spent(node)
        renamed(node)
        (fault,) = (found for found in examine(node.folder) if "fresh budget" in found.what)
        assert fault.verdict is Verdict.FAULT
        assert "other-patients" in fault.remedy
        assert SOURCE in fault.what


def approve(node: InstalledNode, *, study: str, source: str) -> StudyPlan:
    plan = replace(node.plan(), study=study)
    node.guard().offer_plan(node.offer(plan))
    policy = read_policy(node.folder.policy)
    remember_sources(node.folder, policy, node.audit_log)
    named = policy.source(source)
    budget = named.site_policy.budget
    node.approvals.approve(
        plan,
        schema_of(node.document(plan)),
        site=SITE,
        policy=policy,
        source=named,
        ledger=SqliteLedger(node.folder.ledger, data_source=source, budget=budget),
        approved_by="Dr. Example",
        now=datetime.now(UTC),
    )
    return plan


def exchanged_tables(node: InstalledNode) -> tuple[StudyPlan, StudyPlan]:
    """Two plans approved for one table, by mistake under two names, before anything is spent; a patient came between.

    returns  that of registry, and that of biobank, whose name stands for another table by now.
    """
    node.enrol()
    table(800, prefix="B-11", seed=7).to_csv(node.folder.root / "biobank.csv", index=False)
    rightly = node.folder.policy.read_text() + BIOBANK.format(folder=node.folder.root)
    node.folder.policy.write_text(
        rightly.replace("/patients.csv", "/elsewhere.csv").replace("/biobank.csv", "/patients.csv")
    )
    by_mistake = approve(node, study="second", source="biobank")
    node.folder.policy.write_text(rightly)
    table(1238).to_csv(node.table_path, index=False)
    return approve(node, study="first", source=SOURCE), by_mistake


@pytest.mark.parametrize("asked_before", [False, True])
def test_tables_exchanged_before_anything_was_spent_have_one_budget(asked_before: bool) -> None:
    """Also where a question that was refused has made the second plan's guard before the first one spends."""
    with installed_node() as node:
        first, second = exchanged_tables(node)
        guard = node.guard()
        if asked_before:
            with pytest.raises(RequestRefused, match=RefusalCode.ROUND_OUT_OF_RANGE):
                guard.contribute(node.request(second, round_=99))
        guard.contribute(node.request(first))
        with pytest.raises(RequestRefused, match=RefusalCode.NOT_READY):
            guard.contribute(node.request(second))
        assert {entry.data_source for entry in read_ledger(node.folder.ledger)} == {SOURCE}
        policy = read_policy(node.folder.policy)
        say_other_patients(node.folder, policy, node.audit_log, name="biobank", by="Dr. Example")
        guard.contribute(node.request(second))


def test_a_name_that_stood_for_a_table_which_another_has_spent_for_has_its_budget_at_each_charge() -> None:
    """A guard that was made before anything was spent looks again once another source has spent."""
    with installed_node() as node:
        first, second = exchanged_tables(node)
        names_exchanged(node)  # the present policy names that table as biobank again
        guard = node.guard()
        for plan in (first, second):
            with pytest.raises(RequestRefused, match=RefusalCode.ROUND_OUT_OF_RANGE):
                guard.contribute(node.request(plan, round_=99))
        guard.contribute(node.request(second))
        with pytest.raises(RequestRefused, match=RefusalCode.NOT_READY):
            guard.contribute(node.request(first))


def test_an_address_counts_by_where_its_link_leads(tmp_path: Path) -> None:
    """So two databases whose links are exchanged are found as two files are."""
    links = [tmp_path / "one.url", tmp_path / "two.url"]

    def lie(*names: str) -> list[str]:
        for link, name in zip(links, names, strict=True):
            link.unlink(missing_ok=True)
            link.symlink_to(tmp_path / name)
        return [table_hash(SourceSpec(SOURCE, SourceKind.SQL, statement="SELECT 1", url_file=link)) for link in links]

    assert lie("a", "b") == lie("b", "a")[::-1]
