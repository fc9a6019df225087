"""Is a plan with a number outside its range refused by name when it is signed, and by every policy?

And is what such a plan could do to a hospital gone without that refusal, too? The attack is a reviewer's: a huge finite
`baseline_weight` made the clip NaN, and the answer of a real node was `internal` exactly when a patient was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.doubles import model_spec, study_plan
from tests.installed_node import SCHEMA, SITE, InstalledNode, installed_node, table
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, TOKEN, Asker

from oncofed.client.guard import trust
from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.token import token_sha256
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput, PrivacyRefusal, RequestRefused
from oncofed.privacy import accounting, policy
from oncofed.privacy.policy import SitePolicy
from oncofed.protocol.cards import card_of
from oncofed.protocol.plan import (
    Member,
    PrivacyMode,
    PrivacySpec,
    SharedNoise,
    Strategy,
    StudyPlan,
    TrainingMode,
    TrainingSpec,
)
from oncofed.protocol.plan_words import cost_of, plan_in_words
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import signed_document
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.ranges import RANGES, PlacedNumber, Range, numbers_in, outside, unusual
from oncofed.survival.comparators import Comparator
from oncofed.survival.grid import TimeGrid
from oncofed.survival.layers import Layer
from oncofed.survival.network import network_with, parameter_vector

# --- each number of a plan

SIGNING_KEY = new_signing_key()
MODEL = replace(
    model_spec(),
    comparators=(Comparator("age", (0, 1), (1,), 0.5),),
    layers=(Layer("rna", (2, 3), (3,), 0.1),),
    expected_weights=(0.5,) * model_spec().columns,
)
SHARES = SharedNoise(sites=2, dropouts=0, colluding=0)
VOTES = VoteSpec((0, 1, 2, 3), markers=4, most_votes=2, entity_columns=(1, 2))
PLAN = replace(
    study_plan(model=MODEL, training=TrainingSpec(site_weights=(1.0, 2.0))),
    privacy=PrivacySpec(PrivacyMode.DISTRIBUTED, 1.0, 1e-6, 29.0, 1.0, shares=SHARES),
    members=(Member("Bonn", ""), Member("Essen", "")),
    coordinator_public_key=public_key_of(SIGNING_KEY).hex(),
    released=("the model",),
    summaries=(
        SummarySpec(
            "calibration",
            SummaryKind.CALIBRATION,
            9,
            30.0,
            edges=(0.0, 1.0),
            time_bounds=(0.0, 12.0),
            group_columns=(0, 1),
        ),
        SummarySpec("key_markers", SummaryKind.KEY_MARKERS, 9, 30.0, votes=VOTES),
        SummarySpec(
            "comparison", SummaryKind.COMPARISON, 6, 30.0, edges=(1.5,), time_bounds=(0.0, 12.0), group_columns=(0, 1)
        ),
    ),
)
PLACES = list(numbers_in(PLAN))
DERIVED = (
    "model.parameters",
    "model.grid.widths",
    "charged_local_steps",
    *(f"summaries[{place}].gains_within" for place in range(len(PLAN.summaries))),
)
POLICY = SitePolicy(
    "registry", 10.0, 1e-5, fewest_colluding_tolerated=0, verified_cards=frozenset(map(card_of, PLAN.members))
)


def put(record: Any, path: list[str], value: object) -> Any:
    """The record with another value at this path, such as ["training", "site_weights", "[1]"]."""
    if not path:
        return value
    first, *rest = path
    if first.startswith("["):
        place = int(first[1:-1])
        return (*record[:place], put(record[place], rest, value), *record[place + 1 :])
    assert is_dataclass(record)
    assert first in {each.name for each in fields(record)}
    return replace(record, **{first: put(getattr(record, first), rest, value)})  # type: ignore[type-var]  # a plan's


def spoilt(place: PlacedNumber) -> Iterator[StudyPlan]:
    """The plan with numbers at this place that are outside its range."""
    where = place.where.removesuffix(" (count)")
    path = re.findall(r"\w+|\[\d+\]", where)
    span = place.range
    if place.where.endswith("(count)"):
        items = place_of(PLAN, path)
        for length in (int(span.most) + 1, int(span.least) - 1):
            if length >= 0:
                yield put(PLAN, path, (items * (length + 1))[:length])
        return
    for number in (*beyond(span), float("nan"), float("inf"), -float("inf")):
        yield put(PLAN, path, number)


def place_of(record: Any, path: list[str]) -> Any:
    for step in path:
        record = record[int(step[1:-1])] if step.startswith("[") else getattr(record, step)
    return record


def beyond(span: Range) -> tuple[float, ...]:
    if span.whole:
        return int(span.most) + 1, int(span.least) - 1, 10**400
    return float(np.nextafter(span.most, np.inf)), float(np.nextafter(span.least, -np.inf)), 1e300


ITS_OWN_CHECK = ("model.grid.bounds", *(f"summaries[1].{name}" for name in ("edges", "time_bounds", "group_columns")))
"""Grids refuse most numbers themselves: the next test. Summary number 1 has none of these lists: number 0 has."""
TRIED = [place for place in PLACES if not place.where.startswith((*DERIVED, *ITS_OWN_CHECK))]


def test_the_plan_itself_is_inside_and_has_a_number_for_every_row_of_a_plan() -> None:
    assert outside(PLAN) == []
    of_plans = {
        name for name in RANGES if re.match(r"(StudyPlan|.*Spec|SharedNoise|TimeGrid|Comparator|Layer)\.", name)
    }
    only_simulated = {name for name in of_plans if re.match(r"(Data|Sites|Evaluation)Spec\.", name)}
    assert of_plans - only_simulated == {place.name for place in PLACES}


@pytest.mark.parametrize("place", TRIED, ids=lambda place: place.where)
def test_a_number_outside_its_range_is_refused_at_signing_and_by_the_policy(place: PlacedNumber) -> None:
    for plan in spoilt(place):
        with pytest.raises(InvalidInput) as unsigned:
            signed_document(plan, schema_toml=SCHEMA, signing_key=SIGNING_KEY)
        assert f"study plan: {place.where}" in [fault.where for fault in unsigned.value.faults]
        with pytest.raises(PrivacyRefusal, match=re.escape(f"its {place.where} is ")):
            POLICY.refuse_unless_allowed(plan)


@pytest.mark.parametrize(
    ("bounds", "where"),
    [
        ((0.0, 12.0, 50_001.0), "model.grid.bounds[2] is 50,001"),
        ((0.0, 12.0, 12.0005), "model.grid.widths[1] is 0.0005"),
        (tuple(map(float, range(202))), "model.grid.bounds (count) is 202"),
    ],
)
def test_a_grid_outside_its_ranges_is_refused(bounds: tuple[float, ...], where: str) -> None:
    plan = replace(PLAN, model=replace(MODEL, grid=TimeGrid(bounds)))
    with pytest.raises(PrivacyRefusal, match=re.escape(f"its {where}, outside")):
        POLICY.refuse_unless_allowed(plan)


@pytest.mark.parametrize("kind", [SummaryKind.COMPARISON, SummaryKind.VALUE])
def test_the_length_within_which_gains_are_held_has_a_range_of_its_own(kind: SummaryKind) -> None:
    """1e-200 squared is no number: a hospital would pay for a release that is noise alone."""

    def within(length: float) -> StudyPlan:
        return replace(PLAN, summaries=(SummarySpec("gains", kind, 9, 30.0, edges=(length,)),))

    for length, told in ((1e-200, "1e-200"), (5e-3, "0.005"), (-1.5, "-1.5")):
        words = f"its summaries[0].gains_within[0] is {told}, outside 0.01 to 50"
        with pytest.raises(PrivacyRefusal, match=re.escape(words)):
            POLICY.refuse_unless_allowed(within(length))
    assert "summaries[0].gains_within[0] is 0.02 (usual: 0.5 to 5)" in unusual(within(0.02))
    assert [each.where for each in outside(within(0.02))] == []


def test_what_is_wrong_with_a_plan_is_told_together() -> None:
    plan = replace(PLAN, quorum=0, round_timeout_seconds=float("nan"), model=replace(MODEL, baseline_weight=1e180))
    with pytest.raises(PrivacyRefusal) as refused:
        POLICY.refuse_unless_allowed(plan)
    for where in ("quorum", "round_timeout_seconds", "model.baseline_weight"):
        assert where in str(refused.value)


def test_nobody_counts_a_million_million_rounds_before_a_plan_is_refused() -> None:
    with pytest.raises(PrivacyRefusal, match=r"training.rounds is 1e12, outside 0 to 10,000"):
        POLICY.refuse_unless_allowed(replace(PLAN, training=replace(PLAN.training, rounds=10**12)))


def test_a_model_of_allowed_layers_that_is_too_large_as_a_whole_is_refused() -> None:
    model = replace(MODEL, columns=65_536, hidden_units=(4_096,))
    with pytest.raises(PrivacyRefusal, match=r"model.parameters is 268,[\d,]+, outside 1 to 8,000,000"):
        POLICY.refuse_unless_allowed(replace(PLAN, model=model))


def local_steps(rounds: int, reserve: int, steps: int) -> StudyPlan:
    """Each of these numbers is within its own range."""
    training = TrainingSpec(TrainingMode.EPOCHS, Strategy.FEDAVG, rounds=rounds, local_steps=steps)
    return replace(
        PLAN,
        training=training,
        privacy=PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-6, 9.0, 1.0, reserve_rounds=reserve),
        summaries=(),
    )


@pytest.mark.parametrize(
    ("asked", "told"),
    [((10_000, 10_000, 10_000), "200,000,000"), ((2_400, 101, 10), "25,010"), ((3, 0, 9_000), "27,000")],
)
def test_more_local_steps_than_can_be_accounted_for_are_refused_uncounted(
    asked: tuple[int, int, int], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At signing, by the policy, and when it is offered: nobody waits for an epsilon."""
    plan = local_steps(*asked)
    monkeypatch.setattr(accounting, "_epsilon", lambda *_: pytest.fail("an epsilon was computed"))
    words = f"charged_local_steps: is {told}, outside 0 to 25,000. Lower rounds, reserve_rounds or local_steps; usual"
    with pytest.raises(InvalidInput, match=words):
        signed_document(plan, schema_toml=SCHEMA, signing_key=SIGNING_KEY)
    with pytest.raises(PrivacyRefusal, match=f"its charged_local_steps is {told}, outside 0 to 25,000"):
        POLICY.refuse_unless_allowed(plan)
    with installed_node() as node:
        hostile = replace(node.plan(), training=plan.training, privacy=plan.privacy)
        with pytest.raises(trust.Untrusted) as untrusted:
            trust.offered(node.offer(hostile), pinned=node.keys.pinned(SITE))
    assert untrusted.value.reason is trust.Reason.OUTSIDE_RANGES


def test_as_many_local_steps_as_may_be_have_an_epsilon_also_at_two_hospitals() -> None:
    plan = local_steps(2_400, 100, 10)
    assert outside(plan) == []
    cost = cost_of(plan)
    assert cost is not None
    assert cost.largest < cost.two_hospitals < np.inf
    assert outside(local_steps(10_000, 10_000, 1)) == []
    full_batch = replace(PLAN, training=replace(PLAN.training, rounds=10_000, local_steps=10_000))
    assert full_batch.charged_local_steps == 0


# --- what is allowed and unusual


def test_the_plan_in_words_names_what_is_unusual_with_what_is_usual() -> None:
    schema = parse_schema(SCHEMA.replace("scale = 15", "scale = 1e-5"), where="schema")
    usual = parse_schema(SCHEMA, where="schema")
    assert "UNUSUAL" not in plan_in_words(PLAN, usual, parameters=9)
    strange = replace(PLAN, model=replace(MODEL, baseline_weight=500.0))
    told = " ".join(plan_in_words(strange, schema, parameters=9).split())
    assert "model.baseline_weight is 500 (usual: 0.05 to 5)" in told
    assert "schema markers[1].scale is 1e-5 (usual: 0.001 to 100,000)" in told


def test_no_list_of_unusual_numbers_hides_another_field() -> None:
    """A grid of 60 bounds, each unusual, and with them 60 widths; markers each with an unusual scale."""
    schema = parse_schema(SCHEMA, where="schema")
    marker = next(each for each in schema.markers if each.scale is not None)
    many = replace(schema, markers=tuple(replace(marker, name=f"m{number}", scale=1e-5) for number in range(500)))
    grid = TimeGrid((0.0, *(float(20_001 + number**2) for number in range(60))))
    privacy = replace(PLAN.privacy, l2_norm_bound=1e6, reserve_rounds=500, scale_bits=5)
    strange = replace(PLAN, model=replace(MODEL, grid=grid), privacy=privacy)
    assert len([each for each in numbers_in(strange) if not each.range.is_usual(each.number)]) > 60
    told = " ".join(plan_in_words(strange, many, parameters=9).split())
    listed = told.partition("Ask why: ")[2]
    assert listed.startswith("privacy.")
    for field in ("privacy.l2_norm_bound", "privacy.reserve_rounds", "privacy.scale_bits", "model.grid.bounds[60]"):
        assert f"{field} is " in listed, field
    assert "schema markers[0].scale is 1e-5 (usual: 0.001 to 100,000), and 499 more of that list are unusual" in listed
    assert "and 59 more of that list are unusual" in listed


@pytest.mark.parametrize(
    ("scales", "worst"),
    [((2e6, 1e9), 1), ((1e9, 2e6), 0), ((1e-4, 2e6), 1), ((1e-8, 1e6), 0), ((1e6, 2e5, 1e-9, 1e8), 2)],
)
def test_of_a_list_the_number_furthest_outside_is_told(scales: tuple[float, ...], worst: int) -> None:
    """By ratio: usual is 0.001 to 100,000, so 1e-8 is 1e5 times too small and 1e6 ten times too large."""
    schema = parse_schema(SCHEMA, where="schema")
    marker = next(each for each in schema.markers if each.scale is not None)
    named = [replace(marker, name=f"m{number}", scale=scale) for number, scale in enumerate(scales)]
    (said,) = [each for each in unusual(replace(schema, markers=tuple(named))) if "scale" in each]
    assert said.startswith(f"markers[{worst}].scale is ")
    assert said.endswith(f"and {len(scales) - 1} more of that list are unusual")


def test_what_is_outside_is_not_called_unusual() -> None:
    assert unusual(replace(PLAN, model=replace(MODEL, baseline_weight=1e180))) == []


# --- the attack


def crafted(node: InstalledNode, plan: StudyPlan) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights of a ReLU unit that fires for patients older than 60 only, and then without measure."""
    schema = parse_schema(node.document(plan).schema_toml, where="schema")
    (age,) = (place for place, column in enumerate(columns(schema)) if column.source == "age" and column.weight == 1)
    network = network_with(plan.model, np.zeros(plan.model.parameters))
    assert network.relu_branch is not None
    first, last = (each for each in network.relu_branch if isinstance(each, torch.nn.Linear))
    with torch.no_grad():
        first.weight[0, age] = 1e6
        last.weight[0, 0] = 1.0
    return parameter_vector(network)


def said_by_the_node(node: InstalledNode, *, baseline_weight: float, one_is_older: bool) -> list[str]:
    """What three requests are answered by a hospital all of whose patients but perhaps one are at most 60."""
    patients = table()
    patients["age"] = np.minimum(patients["age"], 60.0)
    if one_is_older:
        patients.loc[17, "age"] = 75.0
    patients.to_csv(node.table_path, index=False)
    plan = node.plan()
    plan = replace(
        plan,
        study=f"study-{one_is_older}",
        model=replace(plan.model, baseline_weight=baseline_weight),
        privacy=replace(plan.privacy, noise_multiplier=30.0),
    )
    guard = node.guard()
    guard.offer_plan(node.offer(plan))
    node.approve(plan)
    said = []
    with serving(
        guard,
        socket=node.folder.socket,
        token_sha256=token_sha256(TOKEN),
        site=SITE,
        audit=node.audit_log,
        answer_key=ANSWER_KEY,
        asker_key=COORDINATOR_PUBLIC,
    ):
        channel = Asker(GuardChannel(socket=node.folder.socket, token=TOKEN))
        for round_ in (1, 2, 3):
            request = replace(node.request(plan, round_=round_), weights=crafted(node, plan))
            try:
                channel.contribute(request)
                said.append("an answer")
            except RequestRefused as refusal:
                said.append(refusal.code.value)
        channel.close()
    return said


@pytest.mark.parametrize("baseline_weight", [1e180, 1e300])
def test_a_plan_with_a_baseline_weight_that_no_clip_survives_is_not_approved(baseline_weight: float) -> None:
    with (
        installed_node() as node,
        pytest.raises(PrivacyRefusal, match=r"model.baseline_weight is 1e(180|300), outside"),
    ):
        said_by_the_node(node, baseline_weight=baseline_weight, one_is_older=True)


@pytest.mark.parametrize("baseline_weight", [1e180, 1e300])
def test_and_without_that_refusal_the_answer_does_not_say_whether_a_patient_is_there(
    baseline_weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for home in (policy, trust):
        monkeypatch.setattr(home, "outside", lambda plan: [])
    policy._objections_to_constants.cache_clear()
    with installed_node() as node:
        for one_is_older in (False, True):
            said = said_by_the_node(node, baseline_weight=baseline_weight, one_is_older=one_is_older)
            assert said == ["an answer"] * 3
