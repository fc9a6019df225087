"""Can a coordinator, a relay, a listener or another hospital bring a hospital to believe something that is not so?

An adversary that has the coordinator's key, carries every byte, and owns one hospital of the plan, against three
hospitals in memory. First each lie of docs/secure-aggregation.md by name; then lies in any order, by a machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray
from tests.privacy.trusting_hospitals import (
    COLLUDING,
    COORDINATOR,
    HONEST,
    MEMBERS,
    OTHER,
    PLAN,
    POLICY,
    SITES,
    STRANGER,
    Adversary,
    Hospital,
    code_of_keys,
    forged,
    model_of,
    offer_of,
    plan_with,
    request_to,
    weights_of,
)

from oncofed.client.guard.trust import Reason, Standing, Untrusted, decided, exchanged
from oncofed.errors import RequestRefused
from oncofed.privacy.masking import Attempt, content_hash_of, new_masking_key, public_masking_key_of
from oncofed.protocol.messages import ContributeRequest, DeliveryState, PlanState
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.wire_form import Method, contribution_in, plan_state_in, question_of
from oncofed.simulations.audit.pair_streams import pair_secret, without_pair

BONN, ESSEN, HOF = HONEST
SMALL = 2**45
"""A sum of thirty patients is far below; a masked number is by chance once in 2^18."""


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(RequestRefused) as refused:
        act()
    return refused.value.code.value


def reason_of(act: Callable[[], object]) -> Reason:
    with pytest.raises(Untrusted) as refused:
        act()
    return refused.value.reason


def is_open(words: NDArray[np.uint64]) -> bool:
    """Whether these are a sum of patients, and not masked."""
    return bool((np.abs(words.view(np.int64).astype(np.float64)) < SMALL).all())


def unmasked_by_colluder(
    words: NDArray[np.uint64], site: str, request: ContributeRequest, adversary: Adversary, told: dict[str, bytes]
) -> NDArray[np.uint64]:
    """What is left of a hospital's vector once the adversary has taken its own stream off. told: the site's keys."""
    if COLLUDING not in request.roster:
        return words
    content = content_hash_of(request.weights)
    attempt = Attempt(request.plan_hash, request.round, request.attempt, request.roster, content)
    secret = pair_secret(adversary.own_key, told[site])
    return without_pair(words, own=site, peer=COLLUDING, secret=secret, attempt=attempt, keys=told)


def test_an_honest_study_opens() -> None:
    """Else nothing below would show anything."""
    adversary = Adversary()
    told = {site: key.public_key for site, key in adversary.begin().items()}
    requests = {site: request_to(site) for site in HONEST}
    vectors = {site: adversary.vector(site, request) for site, request in requests.items()}
    left = [unmasked_by_colluder(vectors[site], site, requests[site], adversary, told) for site in HONEST]
    assert is_open(np.sum(left, axis=0, dtype=np.uint64))
    assert not any(is_open(each) for each in left)
    assert adversary.deliver(BONN, model_of()) is DeliveryState.ACCEPTED


# --- Offer


def changed_byte(document: bytes) -> bytes:
    place = document.index(b'"rounds":3') + len(b'"rounds":')
    return document[:place] + b"2" + document[place + 1 :]


STRANGERS = plan_with(coordinator=STRANGER)
OFFERS = {
    "a stranger's own plan": lambda: offer_of(STRANGERS, key=STRANGER),
    "a changed byte": lambda: changed_byte(offer_of(PLAN)),
    "another node key for this hospital": lambda: offer_of(
        plan_with(members=(replace(MEMBERS[0], node_public_key="x"), *MEMBERS[1:]))
    ),
    "another answer key for this hospital": lambda: offer_of(
        plan_with(members=(replace(MEMBERS[0], answer_public_key="ab" * 32), *MEMBERS[1:]))
    ),
    "without this hospital": lambda: offer_of(plan_with(members=MEMBERS[1:])),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("document", OFFERS.values(), ids=OFFERS)
def test_a_plan_that_is_not_the_coordinators_for_this_hospital_is_not_kept(document: Callable[[], bytes]) -> None:
    adversary = Adversary()
    assert adversary.offer(BONN, document()) is PlanState.REFUSED
    assert not adversary.hospitals[BONN].standings


def test_a_declined_plan_stays_declined_however_often_it_is_offered() -> None:
    adversary = Adversary()
    adversary.begin()
    adversary.hospitals[BONN].decline(PLAN.hash)
    assert adversary.offer(BONN, offer_of(PLAN)) is PlanState.DECLINED
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN))) == "not_approved"


# --- Verify, approve


def test_a_coordinator_that_invents_the_other_hospitals_is_not_approved() -> None:
    invented = tuple(replace(each, answer_public_key=public_key_of(new_signing_key()).hex()) for each in MEMBERS[1:])
    plan, adversary = plan_with(members=(MEMBERS[0], *invented)), Adversary()
    adversary.offer(BONN, offer_of(plan))
    assert reason_of(lambda: adversary.hospitals[BONN].approve(plan.hash)) is Reason.AGAINST_THE_POLICY
    assert not adversary.hospitals[BONN].private_keys


@pytest.mark.parametrize("change", [{"node_public_key": "x"}, {"answer_public_key": "ab" * 32}, {"site": "Hamm"}])
def test_a_verified_hospital_with_another_key_or_name_counts_as_one_of_the_coordinators(change: dict[str, str]) -> None:
    members = tuple(sorted((*MEMBERS[:2], replace(MEMBERS[2], **change), MEMBERS[3]), key=lambda each: each.site))
    plan, adversary = plan_with(members=members), Adversary()
    adversary.offer(BONN, offer_of(plan))
    assert reason_of(lambda: adversary.hospitals[BONN].approve(plan.hash)) is Reason.AGAINST_THE_POLICY


def test_an_approval_is_of_one_plan_and_no_other() -> None:
    adversary = Adversary()
    adversary.begin()
    adversary.offer(BONN, offer_of(OTHER))
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN, plan=OTHER))) == "not_approved"
    assert code_of(lambda: adversary.give_keys(BONN, (), plan=OTHER)) == "not_approved"
    assert adversary.deliver(BONN, model_of(OTHER), plan=OTHER) is DeliveryState.REFUSED


def test_a_decision_about_one_plan_is_none_about_another_document() -> None:
    """The file of an approved document was changed for another one's that the coordinator signed, too."""
    stale = partial(decided, Standing(OTHER), plan_hash=PLAN.hash, state=PlanState.APPROVED, masking_key="")
    assert reason_of(stale) is Reason.ANOTHER_PLAN
    adversary = Adversary()
    adversary.offer(BONN, offer_of(OTHER))
    adversary.hospitals[BONN].standings[PLAN.hash] = adversary.hospitals[BONN].standings[OTHER.hash]
    assert reason_of(lambda: adversary.hospitals[BONN].approve(PLAN.hash)) is Reason.ANOTHER_PLAN


# --- Exchange


def test_keys_are_exchanged_under_an_approval_that_is_in_force() -> None:
    adversary = Adversary()
    keys = adversary.begin()
    in_force = adversary.hospitals[BONN].standings[PLAN.hash]
    assert exchanged(in_force, keys.values(), own=BONN).keys == in_force.keys
    declined = decided(in_force, plan_hash=PLAN.hash, state=PlanState.DECLINED, masking_key=in_force.masking_key)
    for standing in (Standing(PLAN), declined):
        assert reason_of(partial(exchanged, standing, keys.values(), own=BONN)) is Reason.NOT_APPROVED


def test_before_anybody_approves_no_key_leaves_and_nothing_is_answered() -> None:
    adversary = Adversary()
    adversary.offer(BONN, offer_of(PLAN))
    assert code_of(lambda: adversary.give_keys(BONN, ())) == "not_approved"
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN))) == "not_approved"


def test_a_key_that_the_hospital_did_not_sign_for_this_plan_is_not_kept() -> None:
    """The coordinator's own for a verified hospital; that hospital's of another plan; one hospital's for another."""
    adversary = Adversary()
    adversary.approved_by_all(PLAN, OTHER)
    true, of_other = adversary.give_keys(ESSEN, ()), adversary.give_keys(ESSEN, (), plan=OTHER)
    of_hof, own = adversary.give_keys(HOF, ()), public_masking_key_of(new_masking_key())
    by_colluder = adversary.own_keys()
    for name, key in {
        "the coordinator's own": forged(true, public_key=own),
        "unsigned": forged(true, public_key=own, signature=b""),
        "signed by another hospital": forged(by_colluder, site=ESSEN),
        "of another plan": of_other,
        "Hof's as Essen's": forged(of_hof, site=ESSEN),
        "of nobody": forged(by_colluder, site="Ahlen"),
        "too long": forged(true, public_key=true.public_key + b"x"),
    }.items():
        assert code_of_keys(adversary, BONN, key) == "wrong_keys", name
        assert code_of_keys(adversary, BONN, of_hof, key) == "wrong_keys", f"{name}, behind a true one"
    assert not adversary.hospitals[BONN].standings[PLAN.hash].keys
    assert code_of_keys(adversary, BONN, true) == "kept"


def test_the_first_key_of_a_hospital_counts() -> None:
    adversary = Adversary()
    first = adversary.begin()[COLLUDING]
    second = adversary.own_keys(new_masking_key())
    assert code_of_keys(adversary, BONN, second) == "wrong_keys"
    assert adversary.hospitals[BONN].standings[PLAN.hash].keys[COLLUDING] == first
    assert code_of_keys(adversary, BONN, first) == "kept"


def test_one_key_for_two_hospitals_is_not_kept() -> None:
    """The colluding hospital signs Essen's key, or Bonn's own, as its own."""
    for whose in (ESSEN, BONN):
        adversary = Adversary()
        adversary.approved_by_all(PLAN)
        true = {site: adversary.give_keys(site, ()) for site in HONEST}
        stolen = adversary.signed_as_own(true[whose].public_key)
        assert code_of_keys(adversary, BONN, true[ESSEN], stolen) == "wrong_keys"


def test_hospitals_that_were_told_different_keys_have_no_stream_in_common() -> None:
    """The colluding hospital gives Bonn one key and the others another; its own streams it can take off both."""
    adversary = Adversary()
    adversary.approved_by_all(PLAN)
    keys = {site: adversary.give_keys(site, ()) for site in HONEST}
    for_bonn, for_others = new_masking_key(), new_masking_key()
    left = []
    for site in HONEST:
        adversary.own_key = for_bonn if site == BONN else for_others
        keys[COLLUDING] = adversary.own_keys()
        adversary.give_keys(site, keys.values())
        told = {name: key.public_key for name, key in keys.items()}
        request = request_to(site)
        left.append(unmasked_by_colluder(adversary.vector(site, request), site, request, adversary, told))
    assert not is_open(np.sum(left, axis=0, dtype=np.uint64))


def test_a_question_about_a_hospital_whose_key_is_not_known_is_refused_and_free() -> None:
    adversary = Adversary()
    adversary.approved_by_all(PLAN)
    adversary.give_keys(BONN, [adversary.give_keys(ESSEN, ())])
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN))) == "wrong_keys"
    assert not adversary.hospitals[BONN].ledger.charges()


@pytest.mark.parametrize("found", [{}, {PLAN.hash: new_masking_key()}], ids=["none", "another one"])
def test_a_hospital_whose_key_is_lost_makes_no_second_one(found: dict[str, bytes]) -> None:
    """A folder that was restored; its peers keep the first."""
    adversary = Adversary()
    adversary.begin()
    hospital = adversary.hospitals[BONN]
    hospital.private_keys = dict(found)
    hospital.guards.clear()
    assert code_of(lambda: adversary.give_keys(BONN, ())) == "not_ready"
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN))) == "not_ready"
    assert reason_of(lambda: hospital.approve(PLAN.hash)) is Reason.NO_MASKING_KEY


def test_a_hospital_that_forgot_its_approval_learns_from_its_own_signature_that_it_gave_another_key() -> None:
    adversary = Adversary()
    before = adversary.begin()[BONN]
    adversary.hospitals[BONN] = restored = Hospital(BONN)
    adversary.offer(BONN, offer_of(PLAN))
    restored.approve(PLAN.hash)
    assert code_of_keys(adversary, BONN, before) == "not_ready"


# --- Ask


def test_a_question_is_the_coordinators_put_to_this_method() -> None:
    adversary = Adversary()
    adversary.begin()
    request = request_to(BONN)
    assert code_of(lambda: adversary.vector(BONN, request, key=STRANGER)) == "not_signed"
    reply = adversary.ask(BONN, Method.CONTRIBUTE, question_of(request), as_method=Method.SUMMARISE)
    assert code_of(lambda: contribution_in(reply)) == "not_signed"
    assert code_of(lambda: plan_state_in(adversary.ask(BONN, Method.OFFER_PLAN, b"", key=STRANGER))) == "not_signed"
    assert not adversary.hospitals[BONN].ledger.charges()


def test_another_hospitals_question_is_not_answered() -> None:
    adversary = Adversary()
    adversary.begin()
    assert code_of(lambda: adversary.vector(BONN, request_to(ESSEN))) == "wrong_site"


def test_a_question_asked_again_has_the_same_answer_and_with_other_words_none() -> None:
    adversary = Adversary()
    adversary.begin()
    first = adversary.vector(BONN, request_to(BONN))
    assert np.array_equal(adversary.vector(BONN, request_to(BONN)), first)
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN, seed=1))) == "request_conflict"
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN, roster=SITES[:3]))) == "request_conflict"
    assert len(adversary.hospitals[BONN].ledger.charges()) == 1


def test_too_few_hospitals_are_not_answered() -> None:
    adversary = Adversary()
    adversary.begin()
    for roster in ((BONN,), (BONN, COLLUDING), (*SITES, "Zwickau"), tuple(reversed(SITES)), SITES[1:]):
        request = request_to(BONN, roster=roster)
        assert code_of(partial(adversary.vector, BONN, request)) == "wrong_site"


def test_a_policy_that_was_tightened_counts_at_once() -> None:
    adversary = Adversary()
    adversary.begin()
    hospital = adversary.hospitals[BONN]
    hospital.guards.clear()
    hospital.policy = replace(POLICY, verified_cards=frozenset())
    with pytest.raises(RequestRefused):
        adversary.vector(BONN, request_to(BONN))
    assert not hospital.ledger.charges()


# --- Deliver, decline


def test_one_model_a_plan_signed_by_the_coordinator_for_it() -> None:
    adversary = Adversary()
    adversary.offer(BONN, offer_of(PLAN))
    assert adversary.deliver(BONN, model_of()) is DeliveryState.REFUSED, "nobody approved it"
    adversary.begin()
    for model in (
        model_of(key=STRANGER),
        model_of(OTHER),
        replace(model_of(), signature=model_of(seed=1).signature),
        replace(model_of(), content=model_of().content + b" "),
    ):
        assert adversary.deliver(BONN, model) is DeliveryState.REFUSED
        assert adversary.hospitals[BONN].private_keys, "what is no model ends no study"
    assert adversary.deliver(BONN, model_of()) is DeliveryState.ACCEPTED
    assert adversary.deliver(BONN, model_of(seed=1)) is DeliveryState.REFUSED
    kept = adversary.hospitals[BONN].standings[PLAN.hash].model
    assert kept is not None
    assert np.array_equal(kept, weights_of(PLAN))


@pytest.mark.parametrize("end", ["delivered", "declined"])
def test_after_the_end_nothing_is_answered_and_whoever_takes_everything_opens_nothing(end: str) -> None:
    adversary = Adversary()
    told = {site: key.public_key for site, key in adversary.begin().items()}
    request = request_to(BONN)
    recorded = adversary.vector(BONN, request)
    left = unmasked_by_colluder(recorded, BONN, request, adversary, told)
    hospital = adversary.hospitals[BONN]
    stolen_too_early = dict(hospital.private_keys)
    if end == "delivered":
        adversary.deliver(BONN, model_of())
    else:
        hospital.decline(PLAN.hash)
    assert code_of(lambda: adversary.vector(BONN, request_to(BONN, round_=2))) in ("not_ready", "not_approved")
    assert code_of(lambda: adversary.give_keys(BONN, ())) in ("not_ready", "not_approved")
    assert not opened_with(hospital.private_keys, left, request, told)
    assert opened_with(stolen_too_early, left, request, told), "with the key of the plan it would have been open"
    if end == "declined":
        assert reason_of(lambda: hospital.approve(PLAN.hash)) is Reason.NO_MASKING_KEY


def opened_with(
    keys: dict[str, bytes], left: NDArray[np.uint64], request: ContributeRequest, told: dict[str, bytes]
) -> bool:
    """With what a thief finds at Bonn."""
    attempt = Attempt(PLAN.hash, request.round, request.attempt, request.roster, content_hash_of(request.weights))
    for key in keys.values():
        words = left
        for peer in (ESSEN, HOF):
            secret = pair_secret(key, told[peer])
            words = without_pair(words, own=BONN, peer=peer, secret=secret, attempt=attempt, keys=told)
        if is_open(words):
            return True
    return False


# --- Any of it, in any order

PLANS = (PLAN, OTHER)
sites = st.sampled_from(HONEST)
plans = st.sampled_from(PLANS)


class AnyOrder(RuleBasedStateMachine):
    """What holds, whatever the adversary sends, and whenever persons approve and decline."""

    def __init__(self) -> None:
        super().__init__()
        self.adversary = Adversary()
        self.in_force: set[tuple[str, str]] = set()
        self.over: set[tuple[str, str]] = set()
        self.models: dict[tuple[str, str], NDArray[np.float64]] = {}
        self.true: dict[tuple[str, str], bytes] = {}
        self.vectors: list[tuple[str, ContributeRequest, NDArray[np.uint64], dict[str, bytes]]] = []
        self.collected = {
            plan.hash: [
                self.adversary.own_keys(plan=plan),
                self.adversary.own_keys(new_masking_key(), plan=plan),
            ]
            for plan in PLANS
        }

    @rule(site=sites, plan=plans, key=st.sampled_from([COORDINATOR, STRANGER]))
    def offer(self, site: str, plan: StudyPlan, key: bytes) -> None:
        document = offer_of(plan) if key is COORDINATOR else offer_of(STRANGERS, key=STRANGER)
        self.adversary.offer(site, document)

    @rule(site=sites, plan=plans)
    def person_approves(self, site: str, plan: StudyPlan) -> None:
        hospital = self.adversary.hospitals[site]
        if plan.hash not in hospital.standings:
            return
        try:
            hospital.approve(plan.hash)
        except Untrusted:
            assert (site, plan.hash) in self.over
        else:
            self.in_force.add((site, plan.hash))

    @rule(site=sites, plan=plans)
    def person_declines(self, site: str, plan: StudyPlan) -> None:
        hospital = self.adversary.hospitals[site]
        if plan.hash in hospital.standings:
            hospital.decline(plan.hash)
            if (site, plan.hash) in self.in_force:
                self.over.add((site, plan.hash))
            self.in_force.discard((site, plan.hash))

    @rule(site=sites, plan=plans, of=plans, chosen=st.lists(st.integers(0, 9), max_size=4), names=st.booleans())
    def give_keys(self, site: str, plan: StudyPlan, of: StudyPlan, chosen: list[int], names: bool) -> None:
        """Those of this plan or another one, under their own names or the next one's."""
        pool = self.collected[of.hash]
        keys = [pool[number % len(pool)] for number in chosen]
        if names:
            keys = [forged(key, site=SITES[(SITES.index(key.site) + 1) % len(SITES)]) for key in keys]
        try:
            given = self.adversary.give_keys(site, keys, plan=plan)
        except RequestRefused:
            return
        assert (site, plan.hash) in self.in_force
        self.collected[plan.hash].append(given)
        assert self.true.setdefault((site, plan.hash), given.public_key) == given.public_key

    @rule(
        site=sites,
        plan=plans,
        round_=st.integers(0, 4),
        attempt=st.integers(0, 2),
        roster=st.sampled_from([SITES, SITES[:3], SITES[1:], (BONN, HOF, COLLUDING), (BONN,), HONEST[:2]]),
        to=sites,
    )
    def ask(self, site: str, plan: StudyPlan, round_: int, attempt: int, roster: tuple[str, ...], to: str) -> None:
        request = request_to(site, plan=plan, round_=round_, attempt=attempt, roster=roster)
        try:
            vector = self.adversary.vector(to, request)
        except RequestRefused:
            return
        assert to == site
        assert (site, plan.hash) in self.in_force
        assert (site, plan.hash) not in self.models
        assert len(roster) >= 3
        told = self.adversary.hospitals[site].standings[plan.hash].public_keys(own=site)
        self.vectors.append((site, request, vector, told))

    @rule(site=sites, plan=plans, of=plans, seed=st.integers(0, 1), key=st.sampled_from([COORDINATOR, STRANGER]))
    def deliver(self, site: str, plan: StudyPlan, of: StudyPlan, seed: int, key: bytes) -> None:
        state = self.adversary.deliver(site, model_of(of, seed=seed, key=key), plan=plan)
        if state is DeliveryState.ACCEPTED:
            assert (site, plan.hash) in self.in_force
            assert key is COORDINATOR
            assert of is plan
            self.models.setdefault((site, plan.hash), weights_of(plan, seed=seed))
            self.over.add((site, plan.hash))

    @rule(number=st.integers(0, 200), to=sites)
    def replay(self, number: int, to: str) -> None:
        """Anything that was ever said, to anybody; what comes back is looked at by the invariants."""
        if self.adversary.said:
            method, question = self.adversary.said[number % len(self.adversary.said)]
            before = set(self.models)
            self.adversary.hospitals[to].ask(method, question)
            for plan in PLANS:
                kept = self.adversary.hospitals[to].standings.get(plan.hash)
                if kept is not None and kept.model is not None and (to, plan.hash) not in before:
                    self.models[to, plan.hash] = kept.model
                    self.over.add((to, plan.hash))

    @invariant()
    def keys_of_honest_hospitals_are_their_own(self) -> None:
        for site, hospital in self.adversary.hospitals.items():
            for plan_hash, standing in hospital.standings.items():
                for peer, key in standing.keys.items():
                    if peer != COLLUDING:
                        assert self.true[peer, plan_hash] == key.public_key, (site, peer)
                assert len(hospital.signed.get(plan_hash, set())) <= 1

    @invariant()
    def private_keys_are_of_studies_under_way(self) -> None:
        for site, hospital in self.adversary.hospitals.items():
            for plan_hash in hospital.private_keys:
                assert (site, plan_hash) in self.in_force
                assert (site, plan_hash) not in self.models

    @invariant()
    def models_never_change(self) -> None:
        for (site, plan_hash), model in self.models.items():
            kept = self.adversary.hospitals[site].standings[plan_hash].model
            assert kept is not None
            assert np.array_equal(kept, model)

    @invariant()
    def no_single_vector_is_open(self) -> None:
        for site, request, vector, told in self.vectors[-1:]:
            left = vector
            if told.get(COLLUDING) == public_masking_key_of(self.adversary.own_key):
                left = unmasked_by_colluder(vector, site, request, self.adversary, told)
            assert not is_open(left)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
