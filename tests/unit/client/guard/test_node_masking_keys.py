"""When does an installed hospital have a masking key for a plan, and whose keys does it keep beside it?"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.installed_node import NODE_KEY, SITE, InstalledNode, installed_node
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, Asker

from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.records import approvals as approvals_module
from oncofed.client.records.plan_keys import PlanKeys
from oncofed.client.records.repeats import MOST, NOT_NOTED
from oncofed.errors import PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.masking import Attempt, content_hash_of, new_masking_key, public_masking_key_of
from oncofed.protocol.cards import card_in_words
from oncofed.protocol.masking_keys import SignedMaskingKey, signed_masking_key, verify_masking_key
from oncofed.protocol.messages import ContributeRequest, DeliveryState
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.plan import Member, PrivacyMode, SharedNoise, StudyPlan
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.secret_files import write_secret
from oncofed.simulations.audit.pair_streams import pair_secret, peers_of, without_pair
from oncofed.survival.network import parameter_count

ESSEN_KEY = new_signing_key()
ESSEN = Member("Essen", f"{NODE_KEY}-of-Essen", public_key_of(ESSEN_KEY).hex())


def shared_plan(node: InstalledNode) -> StudyPlan:
    plan = node.plan()
    privacy = replace(
        plan.privacy, mode=PrivacyMode.DISTRIBUTED, noise_multiplier=29.0, shares=SharedNoise(2, 0, 0), epsilon=1.0
    )
    return replace(plan, privacy=privacy, members=(plan.members[0], ESSEN))


def essens(plan: StudyPlan, private_key: bytes | None = None) -> SignedMaskingKey:
    public_key = public_masking_key_of(private_key or new_masking_key())
    return signed_masking_key(public_key, plan_hash=plan.hash, site="Essen", answer_key=ESSEN_KEY)


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as one:
        one.set_policy("largest_epsilon", "fewest_colluding_tolerated = 0\nlargest_epsilon")
        one.folder.policy.write_text(
            f'{one.folder.policy.read_text()}\n[[peer]]\nname = "Essen"\ncard = "{card_in_words(ESSEN)}"\n'
        )
        yield one


@pytest.fixture
def plan(node: InstalledNode) -> StudyPlan:
    """Offered and approved."""
    plan = shared_plan(node)
    node.guard().offer_plan(node.offer(plan))
    node.approve(plan)
    return plan


def request(plan: StudyPlan, *, round_: int = 1) -> ContributeRequest:
    return ContributeRequest(plan.hash, SITE, round_, 0, plan.roster, np.zeros(parameter_count(plan.model)))


def refused(guard: NodeGuard, plan: StudyPlan, *keys: SignedMaskingKey) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        guard.masking_keys(plan.hash, keys)
    return refusal.value.code


def unanswered(guard: NodeGuard, plan: StudyPlan, *, round_: int = 1) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        guard.contribute(request(plan, round_=round_))
    return refusal.value.code


def deliver(node: InstalledNode, guard: NodeGuard, plan: StudyPlan) -> DeliveryState:
    weights = np.ones(parameter_count(plan.model))
    model = signed_model(weights, plan_hash=plan.hash, signing_key=node.signing_key)
    return guard.deliver_model(model.content, model.signature, plan.hash)


def test_a_key_is_made_when_a_person_approves_for_the_guard_alone_and_given_signed(
    node: InstalledNode, plan: StudyPlan
) -> None:
    path = node.folder.masking / f"{plan.hash}.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    given = node.guard().masking_keys(plan.hash, ())
    assert given.public_key == public_masking_key_of(path.read_bytes())
    verify_masking_key(given, plan=plan)
    node.approve(plan)  # a newer table
    assert node.guard().masking_keys(plan.hash, ()) == given


def test_a_plan_that_shares_no_noise_has_no_key(node: InstalledNode) -> None:
    node.guard().offer_plan(node.offer())
    node.approve()
    assert not node.folder.masking.exists() or not list(node.folder.masking.iterdir())
    assert refused(node.guard(), node.plan()) is RefusalCode.NOT_READY


def test_without_an_approval_there_is_no_key_and_none_is_given(node: InstalledNode) -> None:
    plan = shared_plan(node)
    node.guard().offer_plan(node.offer(plan))
    assert refused(node.guard(), plan) is RefusalCode.NOT_APPROVED
    assert list(node.folder.masking.iterdir()) == []


def test_what_others_signed_is_kept_over_a_restart_and_the_first_one_counts(
    node: InstalledNode, plan: StudyPlan
) -> None:
    guard, key = node.guard(), essens(plan)
    assert unanswered(guard, plan) is RefusalCode.WRONG_KEYS
    guard.masking_keys(plan.hash, (key,))
    answered = guard.contribute(request(plan)).vector
    assert answered.dtype == np.uint64
    again = node.guard()
    assert np.array_equal(again.contribute(request(plan)).vector, answered)
    assert refused(again, plan, essens(plan)) is RefusalCode.WRONG_KEYS
    assert refused(again, plan, replace(key, site=SITE)) is RefusalCode.WRONG_KEYS
    again.masking_keys(plan.hash, (key,))
    assert again.contribute(request(plan, round_=2)).vector.dtype == np.uint64
    assert [code for event, code in node.events() if event == "masking_keys_not_kept"] == [
        "another_key",
        "unsigned_key",
    ]


def test_keys_that_were_changed_on_the_disk_are_not_believed(node: InstalledNode, plan: StudyPlan) -> None:
    node.guard().masking_keys(plan.hash, (essens(plan),))
    path = node.folder.masking / f"{plan.hash}.json"
    ((site, _, signature),) = json.loads(path.read_text())
    path.write_text(json.dumps([[site, public_masking_key_of(new_masking_key()).hex(), signature]]))
    assert unanswered(node.guard(), plan) is RefusalCode.NOT_READY
    assert refused(node.guard(), plan) is RefusalCode.WRONG_KEYS
    assert node.charges() == ()


def test_who_withdraws_has_no_key_any_more_and_gets_no_second_one(node: InstalledNode, plan: StudyPlan) -> None:
    guard = node.guard()
    guard.masking_keys(plan.hash, (essens(plan),))
    guard.contribute(request(plan))
    node.approvals.decline(plan.hash, declined_by="Dr. Example", now=datetime.now(UTC))
    assert not list(node.folder.masking.glob("*.key"))
    assert unanswered(guard, plan) is RefusalCode.NOT_APPROVED
    assert refused(guard, plan) is RefusalCode.NOT_APPROVED
    with pytest.raises(PrivacyRefusal, match="Ask the coordinator for a new plan"):
        node.approve(plan)
    assert not list(node.folder.masking.glob("*.key"))


def test_once_its_model_has_come_nothing_opens_what_was_recorded(node: InstalledNode, plan: StudyPlan) -> None:
    guard = node.guard()
    guard.masking_keys(plan.hash, (essens(plan),))
    guard.contribute(request(plan))
    assert deliver(node, guard, plan) is DeliveryState.ACCEPTED
    assert not list(node.folder.masking.glob("*.key"))
    assert unanswered(guard, plan, round_=2) is RefusalCode.NOT_READY
    assert refused(guard, plan) is RefusalCode.NOT_READY
    assert deliver(node, guard, plan) is DeliveryState.ACCEPTED
    with pytest.raises(PrivacyRefusal, match="Ask the coordinator for a new plan"):
        node.approve(plan)


@pytest.mark.parametrize("when", ["the table is read", "the patients are frozen", "the key is looked at"])
def test_a_model_that_comes_while_its_plan_is_approved_again_leaves_no_second_key(
    node: InstalledNode, plan: StudyPlan, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two steps of the approval the guard closes the plan."""
    guard, told = node.guard(), []
    first = guard.masking_keys(plan.hash, ())
    home, name = {
        "the table is read": (approvals_module, "read_source_cohort"),
        "the patients are frozen": (approvals_module, "freeze"),
        "the key is looked at": (PlanKeys, "own"),
    }[when]
    inner = getattr(home, name)

    def and_the_model_comes(*positional: Any, **named: Any) -> Any:
        found = inner(*positional, **named)
        monkeypatch.setattr(home, name, inner)
        told.append(deliver(node, guard, plan))
        return found

    monkeypatch.setattr(home, name, and_the_model_comes)
    with contextlib.suppress(PrivacyRefusal):
        assert node.approve(plan).masking_key == first.public_key.hex()
    assert told == [DeliveryState.ACCEPTED]
    assert not list(node.folder.masking.glob("*.key"))
    named = {entry.facts["masking_key"] for entry in node.entries() if "masking_key" in entry.facts}
    assert named == {first.public_key.hex()}
    assert refused(node.guard(), plan) is RefusalCode.NOT_READY
    assert unanswered(node.guard(), plan) is RefusalCode.NOT_READY


def test_a_masking_key_that_leaves_has_a_line_of_its_own_each_time_also_in_a_flood_of_refusals(
    node: InstalledNode, plan: StudyPlan
) -> None:
    guard = node.guard()
    desk = Desk(
        questions_to_node(guard, site=SITE), audit=guard.audit, answer_key=ANSWER_KEY, asker_key=COORDINATOR_PUBLIC
    )
    asker = Asker(desk)
    for number in range(2 * MOST):
        asker.offer_plan(number.to_bytes(4))
    for _ in range(2):
        asker.masking_keys(plan.hash, ())
    lines = [entry for entry in node.entries() if entry.code == "masking_key"]
    assert [(line.event, line.plan_hash) for line in lines] == [("masking_keys", plan.hash)] * 2
    counts = [int(entry.facts["times"]) for entry in node.entries() if entry.event == NOT_NOTED]
    assert max(counts) > MOST / 2, "the flood is counted"


def test_a_kill_between_the_model_and_the_end_of_the_key_is_made_good(node: InstalledNode, plan: StudyPlan) -> None:
    path = node.folder.masking / f"{plan.hash}.key"
    key = path.read_bytes()
    deliver(node, node.guard(), plan)
    write_secret(path, key)
    node.guard()
    assert not path.exists()


def test_a_kill_between_the_key_and_the_approval_is_made_good(node: InstalledNode) -> None:
    plan = shared_plan(node)
    node.approvals.masking.keep_own(plan.hash, new_masking_key())
    node.guard()
    assert not list(node.folder.masking.iterdir())


def test_a_folder_without_the_key_that_its_approval_names_answers_nothing(
    node: InstalledNode, plan: StudyPlan, caplog: pytest.LogCaptureFixture
) -> None:
    guard = node.guard()
    guard.masking_keys(plan.hash, (essens(plan),))
    (node.folder.masking / f"{plan.hash}.key").unlink()
    for one in (guard, node.guard()):
        assert unanswered(one, plan) is RefusalCode.NOT_READY
        assert refused(one, plan) is RefusalCode.NOT_READY
    assert "Ask the coordinator for a new plan" in caplog.text
    with pytest.raises(PrivacyRefusal, match="Ask the coordinator for a new plan"):
        node.approve(plan)
    assert node.charges() == ()


def test_a_folder_from_before_the_approval_gives_a_key_that_its_first_one_shows_to_be_another(
    node: InstalledNode, plan: StudyPlan
) -> None:
    first = node.guard().masking_keys(plan.hash, ())
    for path in (*node.folder.masking.iterdir(), *node.folder.approvals.iterdir()):
        path.unlink()
    with pytest.raises(PrivacyRefusal, match="Ask the coordinator for a new plan"):
        node.approve(plan)  # the audit log knows
    node.folder.audit_log.unlink()
    node.approve(plan)
    second = node.guard().masking_keys(plan.hash, ())
    assert second.public_key != first.public_key, "nobody here can know"
    assert refused(node.guard(), plan, first) is RefusalCode.NOT_READY


def test_a_key_that_others_can_read_is_not_used(node: InstalledNode, plan: StudyPlan) -> None:
    node.guard().masking_keys(plan.hash, (essens(plan),))
    (node.folder.masking / f"{plan.hash}.key").chmod(0o640)
    assert unanswered(node.guard(), plan) is RefusalCode.NOT_READY


# --- with whom it masks

OTHERS = ("Aalen", "Celle", "Essen", "Fulda", "Hof", "Jena", "Ulm")
OTHERS_KEYS = {name: new_signing_key() for name in OTHERS}


@pytest.mark.parametrize("neighbours", [0, 4])
def test_a_guard_masks_with_those_that_its_own_plan_leads_to(node: InstalledNode, neighbours: int) -> None:
    """Whoever has the keys of these opens its part, so there are no other masks; of one fewer, it stays closed."""
    others = {
        name: Member(name, f"{NODE_KEY}-of-{name}", public_key_of(key).hex()) for name, key in OTHERS_KEYS.items()
    }
    for name, member in others.items():
        node.folder.policy.write_text(
            f'{node.folder.policy.read_text()}\n[[peer]]\nname = "{name}"\ncard = "{card_in_words(member)}"\n'
            if name != "Essen"
            else node.folder.policy.read_text().replace(card_in_words(ESSEN), card_in_words(member))
        )
    first = shared_plan(node)
    members = tuple(sorted((first.members[0], *others.values()), key=lambda member: member.site))
    roster = tuple(member.site for member in members)
    shares = SharedNoise(len(roster), 0, 2, mask_neighbours=neighbours)
    plan = replace(
        first,
        members=members,
        roster=roster,
        quorum=len(roster),
        privacy=replace(first.privacy, shares=shares, noise_multiplier=29.0),
    )
    guard = node.guard()
    guard.offer_plan(node.offer(plan))
    node.approve(plan)
    masking = {name: new_masking_key() for name in OTHERS}
    signed = tuple(
        signed_masking_key(public_masking_key_of(key), plan_hash=plan.hash, site=name, answer_key=OTHERS_KEYS[name])
        for name, key in masking.items()
    )
    own = guard.masking_keys(plan.hash, signed).public_key
    asked = request(plan)
    words = guard.contribute(asked).vector
    attempt = Attempt(plan.hash, 1, 0, roster, content_hash_of(asked.weights))
    keys = {SITE: own, **{name: public_masking_key_of(key) for name, key in masking.items()}}
    around = sorted(peers_of(SITE, attempt=attempt, keys=keys, neighbours=neighbours))
    assert len(around) == (neighbours or len(OTHERS))
    for peer in around:
        assert not is_open(words)
        secret = pair_secret(masking[peer], own)
        words = without_pair(words, own=SITE, peer=peer, secret=secret, attempt=attempt, keys=keys)
    assert is_open(words)


def is_open(words: np.ndarray[Any, np.dtype[np.uint64]]) -> bool:
    """Whether these are a sum of patients with noise, and not masked: of each masked word by chance once in 2^18."""
    return bool((np.abs(words.view(np.int64).astype(np.float64)) < 2**45).all())
