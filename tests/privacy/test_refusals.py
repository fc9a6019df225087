"""Does any code that a coordinator sees tell of the table?

privacy.md, "One code": after an approval, real guards of installed nodes get the same fuzzed requests, right and wrong
ones. Their tables differ by one patient, or became something else after the approval: their sequences of codes must not
differ at all. Everything is at its limit: with one patient more or two fewer a person could not have approved. The same
comparison finds each refusal that was taken out when it is put back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pandas as pd
import pytest
from tests.installed_node import SCHEMA, SITE, SOURCE, InstalledNode, installed_node, table
from tests.summaries import evaluation_of

from oncofed.client.guard import node_guard
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import approvals_of
from oncofed.client.patients.approved_patients import ApprovedPatients
from oncofed.client.patients.sources import read_source_cohort
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import OncofedError, PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy import releases as releases_module
from oncofed.privacy.policy import WantedSummary, calibrated_together
from oncofed.protocol.messages import AnyRequest, ContributeRequest, Contribution, SummariseRequest
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.signing import new_signing_key
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import parameter_count

MOST = 400
"""Patients that the plan's promise holds for, in this test; the policy's smallest cohort is one below."""
SIGNING_KEY = new_signing_key()
UNKNOWN_HASH = "0" * 64

Table = pd.DataFrame
Become = Callable[[InstalledNode], object]


def base() -> Table:
    return table(MOST)


def one_changed() -> Table:
    found = base()
    found.loc[7, ["age", "survival_months", "death_observed"]] = [119.0, 0.01, 1]
    return found


def stays(_: InstalledNode) -> None:
    """Nothing becomes of the table."""


def becomes(found: Table) -> Become:
    return lambda node: found.to_csv(node.table_path, index=False)


@dataclass(frozen=True)
class World:
    """approved: the table when a person approved. become: what happens to it, or to the policy, afterwards."""

    approved: Table
    become: Become = stays


WORLDS = {
    "one patient fewer": World(base().iloc[1:]),
    "one patient changed": World(one_changed()),
    "one more than the delta suits, afterwards": World(base(), becomes(table(MOST + 1))),
    "fewer than the policy's smallest, afterwards": World(base(), becomes(table(MOST - 2))),
    "one changed, afterwards": World(base(), becomes(one_changed())),
    "unreadable, afterwards": World(base(), lambda node: node.table_path.write_text("nonsense")),
    "gone, afterwards": World(base(), lambda node: node.table_path.unlink()),
    "a larger smallest cohort, afterwards": World(
        base(), lambda node: node.set_policy(f"smallest_cohort = {MOST - 1}", "smallest_cohort = 5000")
    ),
}


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases_module, "LARGEST_PATIENTS", MOST)


def plan_of(node: InstalledNode) -> StudyPlan:
    return calibrated(node.plan())  # the same at each node: they share their keys


@cache
def calibrated(plan: StudyPlan) -> StudyPlan:
    plan = replace(plan, training=replace(plan.training, rounds=40), privacy=replace(plan.privacy, reserve_rounds=4))
    wanted = WantedSummary(evaluation_of(plan, attempts=2), 0.2)
    privacy, summaries = calibrated_together(plan.training, plan.privacy, (wanted,), parameters=plan.model.parameters)
    return replace(plan, privacy=privacy, summaries=summaries, held_out_fraction=0.3)


def prepared(stack: ExitStack, world: World) -> InstalledNode:
    """A node where the plan is approved and a second one declined, in this world."""
    node = stack.enter_context(installed_node(signing_key=SIGNING_KEY))
    node.set_policy("smallest_cohort = 50", f"smallest_cohort = {MOST - 1}")
    world.approved.to_csv(node.table_path, index=False)
    plan, declined = plan_of(node), replace(plan_of(node), study="declined")
    for each in (plan, declined):
        node.guard().offer_plan(node.offer(each))
    node.approve(plan)
    node.approvals.decline(declined.hash, declined_by="Dr. Example", now=datetime.now(UTC))
    world.become(node)
    return node


# Requests


def fuzzed(plan: StudyPlan, count: int, *, seed: int) -> list[AnyRequest]:
    """Right and wrong ones, the same ones again, and the same ids with other weights."""
    rng = np.random.default_rng(seed)
    numbers = parameter_count(plan.model)
    good = [rng.normal(scale=0.1, size=numbers) for _ in range(2)]
    odd = [
        np.full(numbers, np.nan),
        np.full(numbers, np.inf),
        np.full(numbers, 1e300),
        np.full(numbers, -1e3),
        np.zeros(numbers),
        np.zeros(numbers - 1),
        np.zeros(0),
        np.zeros(numbers, dtype=np.float32).view(np.float32),
    ]
    declined = replace(plan, study="declined").hash
    made: list[AnyRequest] = []

    def mostly(right: object, *wrong: object) -> object:
        return right if rng.random() < 0.93 else wrong[rng.integers(len(wrong))]

    def one() -> AnyRequest:
        weights = good[int(rng.random() < 0.15)] if rng.random() < 0.85 else odd[rng.integers(len(odd))]
        plan_hash = str(mostly(plan.hash, UNKNOWN_HASH, declined, "", "../" * 5))
        site = str(mostly(SITE, "Essen", "", SITE.lower()))
        roster = mostly(plan.roster, (SITE,), ("Essen",), (), plan.roster[::-1], (*plan.roster, "Köln"))
        assert isinstance(roster, tuple)
        attempt = int(rng.choice([0, 0, 0, 0, 1, 2, -1]))
        if rng.random() < 0.2:
            spec = plan.summaries[0]
            name = str(mostly(spec.name, "unknown", ""))
            cells = spec.cells + int(rng.choice([0, 0, 0, 0, 0, 1, -1]))
            return SummariseRequest(plan_hash, site, name, attempt, roster, weights, cells=cells)
        round_ = int(rng.integers(-1, plan.training.rounds + 3))
        return ContributeRequest(plan_hash, site, round_, attempt, roster, weights)

    while len(made) < count:
        made.append(made[rng.integers(len(made))] if made and rng.random() < 0.15 else one())
    return made


def asked(guard: NodeGuard, request: AnyRequest) -> Contribution:
    return guard.contribute(request) if isinstance(request, ContributeRequest) else guard.summarise(request)


def answers(node: InstalledNode, requests: list[AnyRequest]) -> list[str]:
    """What the coordinator sees of each: a code, or the form of an answer. A guard is started anew half-way."""
    found = []
    guard = node.guard()
    for number, request in enumerate(requests):
        if number == len(requests) // 2:
            guard = node.guard()
        try:
            answer = asked(guard, request)
            found.append(f"answered with {answer.vector.shape} {answer.vector.dtype} noised={answer.noised}")
        except RequestRefused as refusal:
            found.append(refusal.code.value)
    return found


def told(world: World, requests: int) -> tuple[list[str], list[object]]:
    """The codes, and what the hospital's own audit log and ledger hold afterwards."""
    with ExitStack() as stack:
        node = prepared(stack, world)
        codes = answers(node, fuzzed(plan_of(node), requests, seed=5))
        return codes, [charge.identity for charge in node.charges()]


@pytest.mark.parametrize("requests", [40, pytest.param(1_000, marks=pytest.mark.slow)])
def test_whatever_the_table_was_or_became_every_request_gets_the_same_code(requests: int) -> None:
    expected = told(World(base()), requests)
    for name, world in WORLDS.items():
        assert told(world, requests) == expected, name
    # The requests reach everything that a guard may say: else sameness would show nothing.
    codes = {code for code in expected[0] if not code.startswith("answered")}
    assert codes >= {"wrong_site", "malformed_weights", "round_out_of_range", "not_approved"}
    if requests == 1_000:
        assert codes >= {"request_conflict", "budget_exceeded"}
        # `not_signed` is said before a guard is asked at all: `guard.desk`. `wrong_keys`: of masked sums.
        unasked = {"internal", "not_ready", "wrong_plan", "not_signed", "wrong_keys"}
        assert codes == {code.value for code in RefusalCode} - unasked
    assert len({code for code in expected[0] if code.startswith("answered")}) == 2  # rounds and summaries


def test_one_more_or_two_fewer_could_not_have_been_approved() -> None:
    for count in (MOST + 1, MOST - 2):
        with ExitStack() as stack, pytest.raises(PrivacyRefusal):
            prepared(stack, World(table(count)))


# The refusals that were taken out, put back


def too_many(node: NodeFolder) -> bool:
    return len(cohort_now(node)) > MOST


def too_few(node: NodeFolder) -> bool:
    return len(cohort_now(node)) < read_policy(node.policy).smallest_cohort


def another_table(node: NodeFolder) -> bool:
    (approval,) = (each for each in approvals_of(node).all() if each.cohort_hash)
    return cohort_now(node).content_hash != approval.cohort_hash


def cohort_now(node: NodeFolder) -> Cohort:
    source = read_policy(node.policy).source(SOURCE).source
    return read_source_cohort(source, parse_schema(SCHEMA, where="schema"))


REFUSALS: dict[str, tuple[Callable[[NodeFolder], bool], set[str]]] = {
    "more patients than the delta suits": (too_many, {"one more than the delta suits, afterwards"}),
    "fewer than the policy's smallest cohort": (
        too_few,
        {"fewer than the policy's smallest, afterwards", "a larger smallest cohort, afterwards"},
    ),
    "another table than the approved one": (another_table, {"one changed, afterwards"}),
}
UNREADABLE = {"unreadable, afterwards", "gone, afterwards"}


@pytest.mark.parametrize(("refuses", "shown_by"), REFUSALS.values(), ids=REFUSALS)
def test_the_comparison_finds_a_refusal_that_looks_at_the_table(
    refuses: Callable[[NodeFolder], bool], shown_by: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Looking(ApprovedPatients):
        def _both(self) -> tuple[PatientTensors, PatientTensors]:
            try:
                refused = refuses(NodeFolder(self.file.parents[2]))
            except OncofedError:
                refused = True
            if refused:
                raise RequestRefused(RefusalCode.NOT_READY)
            return super()._both()

    monkeypatch.setattr(node_guard, "ApprovedPatients", Looking)
    expected = told(World(base()), 15)
    assert any(code.startswith("answered") for code in expected[0])
    different = {name for name in shown_by | UNREADABLE if told(WORLDS[name], 15) != expected}
    assert different == shown_by | UNREADABLE


def test_the_comparison_finds_a_refusal_that_looks_at_the_frozen_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looking(ApprovedPatients):
        def _both(self) -> tuple[PatientTensors, PatientTensors]:
            both = super()._both()
            if sum(len(patients) for patients in both) < MOST:
                raise RequestRefused(RefusalCode.NOT_READY)
            return both

    monkeypatch.setattr(node_guard, "ApprovedPatients", Looking)
    assert told(WORLDS["one patient fewer"], 15) != told(World(base()), 15)
