"""Two data sources with the same patients: do they have one budget, wherever it is asked for?

The truth is an independent sum: what both sources released, composed by the accountant as if it were one source.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.installed_node import SITE, SOURCE, InstalledNode, installed_node, table
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, Asker

from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.policy_file import NodePolicy, read_policy
from oncofed.client.install.doctor import examine
from oncofed.client.records.sqlite_ledger import SqliteLedger, read_ledger
from oncofed.errors import InvalidInput, PrivacyRefusal, RefusalCode, RequestRefused, UnaccountedEvent
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.ledger import Charge
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.study_document import schema_of

OTHER = "biobank"
SAID = f'same_patients_as = "{SOURCE}"\n'


class Hospital:
    """registry, and biobank whose patients are others in this table, but in truth the same people."""

    def __init__(self, node: InstalledNode, *, said: str = SAID, epsilons: tuple[float, float] = (1.5, 3.0)) -> None:
        self.node = node
        node.enrol()
        others = node.folder.root / "biobank.csv"
        table(800, prefix="B-11", seed=7).to_csv(others, index=False)
        text = node.folder.policy.read_text()
        source = text[text.index("[[source]]") :]
        second = source.replace(f'"{SOURCE}"', f'"{OTHER}"').replace("patients.csv", "biobank.csv") + said
        text = text.replace("largest_epsilon = 1.5", f"largest_epsilon = {epsilons[0]}")
        node.folder.policy.write_text(text + "\n" + second.replace("1.5", str(epsilons[1])))
        self.guard = node.guard()
        self.desk = Desk(
            questions_to_node(self.guard, site=SITE),
            audit=self.guard.audit,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        )

    @property
    def policy(self) -> NodePolicy:
        return read_policy(self.node.folder.policy)

    def plan(self, study: str, *, sigma: float = 9.0) -> StudyPlan:
        plan = self.node.plan()
        return replace(plan, study=study, privacy=replace(plan.privacy, noise_multiplier=sigma))

    def ledger(self, name: str) -> SqliteLedger:
        source = self.policy.source(name)
        budget, others = source.site_policy.budget, source.counted_with
        return SqliteLedger(self.node.folder.ledger, data_source=name, budget=budget, counted_with=others)

    def approve(self, plan: StudyPlan, name: str) -> None:
        self.guard.offer_plan(self.node.offer(plan))
        document = self.node.document(plan)
        self.node.approvals.approve(
            document.plan,
            schema_of(document),
            site=SITE,
            policy=self.policy,
            source=self.policy.source(name),
            ledger=self.ledger(name),
            approved_by="Dr. Example",
            now=datetime.now(UTC),
        )

    def asked(self, plan: StudyPlan, round_: int, attempt: int = 0) -> RefusalCode | None:
        try:
            Asker(self.desk).contribute(self.node.request(plan, round_=round_, attempt=attempt))
        except RequestRefused as refused:
            return refused.code
        return None

    def together(self, delta: float = 1e-5) -> float:
        """The truth."""
        return epsilon_of([entry.charge.event for entry in read_ledger(self.node.folder.ledger)], delta=delta)


@pytest.fixture
def here() -> Iterator[Hospital]:
    with installed_node() as node:
        yield Hospital(node)


def test_each_charge_counts_in_both(here: Hospital) -> None:
    one, two = here.plan("one"), here.plan("two")
    here.approve(one, SOURCE)
    for round_ in (1, 2, 3):
        assert here.asked(one, round_) is None
    assert len(here.ledger(SOURCE).charges()) == len(here.ledger(OTHER).charges()) == 3
    here.approve(two, OTHER)
    assert here.asked(two, 1) is None
    assert len(here.ledger(SOURCE).charges()) == 4
    assert [entry.data_source for entry in read_ledger(here.node.folder.ledger)] == [SOURCE] * 3 + [OTHER]


def test_a_plan_that_the_other_source_has_paid_for_is_not_approved_and_alone_it_would_be() -> None:
    for said, refused in ((SAID, True), ("", False)):
        with installed_node() as node:
            here = Hospital(node, said=said, epsilons=(1.0, 1.0))
            one, two = here.plan("one"), here.plan("two")
            here.approve(one, SOURCE)
            for round_ in (1, 2, 3):
                assert here.asked(one, round_) is None
            if refused:
                with pytest.raises(PrivacyRefusal, match="has spent already"):
                    here.approve(two, OTHER)
                told = oncofed("site", "approve", node.folder.root, two.hash, "--source", OTHER, "--yes")
                assert (told.code, "has spent already" in told.text) == (1, True)
            else:
                here.approve(two, OTHER)


def test_two_running_studies_never_spend_more_than_the_stricter_budget_together() -> None:
    """Approved when each could still pay by itself; then asked in turns."""
    with installed_node() as node:
        here = Hospital(node, epsilons=(1.2, 3.0))
        one, two = here.plan("one"), here.plan("two")
        here.approve(one, SOURCE)
        here.approve(two, OTHER)
        answered, refused = 0, set()
        for round_, (plan, attempt) in itertools.product((1, 2, 3), itertools.product((one, two), (0, 1))):
            code = here.asked(plan, round_, attempt)
            answered += code is None
            refused.add(code)
        assert refused == {None, RefusalCode.BUDGET_EXCEEDED}
        assert 1.0 < here.together() <= 1.2
        assert answered == len(read_ledger(node.folder.ledger))


@pytest.mark.parametrize(("epsilons", "of"), [((1.5, 3.0), SOURCE), ((3.0, 1.5), OTHER), ((2.0, 2.0), SOURCE)])
def test_the_stricter_budget_holds_for_both_and_is_named(epsilons: tuple[float, float], of: str) -> None:
    with installed_node() as node:
        here = Hospital(node, epsilons=epsilons)
        node.folder.policy.write_text(node.folder.policy.read_text()[::-1].replace("5-e1", "6-e1", 1)[::-1])
        registry, biobank = here.policy.sources
        assert registry.site_policy.budget == biobank.site_policy.budget
        assert (registry.site_policy.largest_epsilon, registry.site_policy.delta) == (min(epsilons), 1e-6)
        assert (registry.epsilon_of, biobank.epsilon_of) == (of, of)
        assert (registry.counted_with, biobank.counted_with) == ((OTHER,), (SOURCE,))
        one = here.plan("one")
        plan = replace(one, privacy=replace(one.privacy, delta=1e-6))
        here.approve(plan, SOURCE)
        assert here.asked(plan, 1) is None
        root = node.folder.root
        ledger, check = oncofed("site", "ledger", root), oncofed("site", "check", root)
        assert ledger.text.count("in 1 release, together with") == 2, ledger.text
        for text in (ledger.text, check.text):
            assert f"the same patients, and the epsilon of {of}" in text
        assert any(f"the epsilon of {of}" in finding.what for finding in examine(node.folder))


def test_a_study_by_epochs_wants_patients_whom_no_other_study_uses_under_either_name(here: Hospital) -> None:
    one = here.plan("one")
    here.approve(one, SOURCE)
    assert here.asked(one, 1) is None
    by_epochs = replace(one, training=TrainingSpec(mode=TrainingMode.EPOCHS, sampling_rate=0.1))
    sampled = Charge(f"{'e' * 64}/{SITE}/1/0", "hash", release_of_round(by_epochs).event)
    assert sampled.event.sampling_rate < 1
    with pytest.raises(UnaccountedEvent):
        here.ledger(OTHER).charge(sampled)
    here.node.set_policy(SAID, "")
    here.ledger(OTHER).charge(sampled)


def test_a_policy_that_takes_it_back_is_refused_until_somebody_says_so_and_that_is_no_lost_ledger(
    here: Hospital,
) -> None:
    """Whoever answers for data protection decides, by name; the guard that runs goes on then."""
    one, two = here.plan("one"), here.plan("two")
    here.approve(one, SOURCE)
    here.approve(two, OTHER)
    assert here.asked(one, 1) is None
    assert here.asked(two, 1) is None
    here.node.set_policy(SAID, "")
    assert here.asked(one, 2) is RefusalCode.NOT_READY
    assert oncofed("site", "other-patients", here.node.folder.root, OTHER, "--yes").code == 0
    here.node.set_policy("largest_epsilon = 3.0", "largest_epsilon = 2.9")
    assert here.asked(one, 2) is None
    assert here.asked(two, 2) is None
    assert len(here.ledger(OTHER).charges()) == 2


SOURCE_TEXT = """
[[source]]
name = "{name}"
kind = "csv"
path = "/srv/{path}.csv"
largest_epsilon = {epsilon}
delta = 1e-5
smallest_noise_multiplier = 5.0
"""


def policy_text(*sources: tuple[str, str | None], path: Callable[[str], str] = str) -> str:
    text = '[node]\nsmallest_cohort = 50\nlargest_parameters = 1000\nallowed_plans = ["any"]\n'
    for number, (name, same) in enumerate(sources):
        text += SOURCE_TEXT.format(name=name, path=path(name), epsilon=3 - number)
        text += "" if same is None else f'same_patients_as = "{same}"\n'
    return text


def test_three_may_share_with_one(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(("a", None), ("b", "a"), ("c", "a"), ("d", None)))
    a, b, c, d = read_policy(path).sources
    assert (a.counted_with, b.counted_with, c.counted_with, d.counted_with) == (("b", "c"), ("a", "c"), ("a", "b"), ())
    assert [each.site_policy.largest_epsilon for each in (a, b, c, d)] == [1.0, 1.0, 1.0, 0.0]
    assert [each.epsilon_of for each in (a, b, c, d)] == ["c", "c", "c", "d"]


FAULTS: dict[str, tuple[tuple[tuple[str, str | None], ...], str]] = {
    "itself": ((("a", "a"),), "names itself"),
    "an unknown name": ((("registry", None), ("b", "regsitry")), 'no source.*Did you mean "registry"'),
    "a chain": ((("a", None), ("b", "a"), ("c", "b")), "names another one itself"),
    "a cycle": ((("a", "b"), ("b", "a")), "names another one itself"),
    "a long cycle": ((("a", "b"), ("b", "c"), ("c", "a")), "names another one itself"),
    "no name": ((("a", None), ("b", "../a")), "same_patients_as"),
}


@pytest.mark.parametrize(("sources", "told"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_meant_is_a_fault(
    sources: tuple[tuple[str, str | None], ...], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(*sources))
    with pytest.raises(InvalidInput, match=told):
        read_policy(path)


def test_one_table_under_two_names_needs_to_be_said(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    for sources in (
        (("a", None), ("b", None)),
        (("a", None), ("b", None), ("c", "a")),
        (("a", None), ("b", "a"), ("c", None)),
    ):
        path.write_text(policy_text(*sources, path=lambda _: "one"))
        with pytest.raises(InvalidInput, match="same_patients_as"):
            read_policy(path)
    path.write_text(policy_text(("a", None), ("b", "a"), ("c", "a"), path=lambda _: "one"))
    read_policy(path)


def test_a_copy_of_a_table_under_another_name_is_refused_unless_it_is_said() -> None:
    for said, declined in itertools.product(("", SAID), (False, True)):
        with installed_node() as node:
            here = Hospital(node, said=said)
            shutil.copy(node.table_path, node.folder.root / "biobank.csv")
            one, two = here.plan("one"), here.plan("two")
            here.approve(one, SOURCE)
            if declined:
                node.approvals.decline(one.hash, declined_by="Dr. Example", now=datetime.now(UTC))
            if said:
                here.approve(two, OTHER)
                continue
            with pytest.raises(PrivacyRefusal, match=f'very patients.*same_patients_as = "{SOURCE}"'):
                here.approve(two, OTHER)
            assert node.approvals.find(two.hash) is None
