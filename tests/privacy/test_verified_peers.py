"""In mode `distributed`, can a coordinator make up the other hospitals?

It writes the plan, so it could write every other hospital's keys into it, take all masks off, and see one hospital's
vector with that hospital's single share of the noise, where the ledger says that K - d - t shares are in it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.doubles import (
    calibrated_privacy,
    cards_of,
    drawn_patients,
    drawn_weights,
    masks_of,
    members_of,
    model_spec,
    study_plan,
)

from oncofed.client.guard.guard import Guard
from oncofed.client.guard.sum_masks import SumMasks
from oncofed.client.patients.training import ascent_sum
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.masking import (
    Attempt,
    MaskingPairs,
    content_hash_of,
    masked,
    new_masking_key,
    public_masking_key_of,
)
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.releases import Masked, release_of_round
from oncofed.protocol.cards import card_in_words, card_of
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import Member, SharedNoise, StudyPlan, TrainingSpec

OWN = "H00"
SITES = tuple(f"H{number:02d}" for number in range(20))
KEYS = {site: new_masking_key() for site in SITES}
DROPOUTS, COLLUDING = 2, 2
MODEL = model_spec(columns=50, hidden_units=(8,))
TRAINING = TrainingSpec(rounds=60)


def plan_with(colluding: int = COLLUDING) -> StudyPlan:
    privacy = calibrated_privacy(
        TRAINING,
        epsilon=1.0,
        delta=1e-5,
        l2_norm_bound=2.0,
        reserve_rounds=2,
        shares=SharedNoise(len(SITES), DROPOUTS, colluding),
        parameters=MODEL.parameters,
    )
    plan = study_plan(model=MODEL, training=TRAINING, privacy=privacy)
    return replace(plan, roster=SITES, quorum=len(SITES) - DROPOUTS, members=members_of(SITES))


PLAN = plan_with()
TRUSTING = SitePolicy("registry", 1.0, 1e-5, fewest_colluding_tolerated=0)


def knowing(*sites: str, fewest: int = 0) -> SitePolicy:
    cards = cards_of(sites)
    return replace(TRUSTING, fewest_colluding_tolerated=fewest, verified_cards=cards)


def guard_with(policy: SitePolicy) -> Guard:
    patients = drawn_patients(MODEL, 300, seed=1)
    return Guard(
        site=OWN,
        plan=PLAN,
        policy=policy,
        patients=lambda: patients,
        ledger=MemoryLedger(policy.budget),
        noise=OperatingSystemNoise(),
        masks=masks_of(OWN, KEYS),
    )


def seen_by_a_coordinator_that_is_everybody_else(guard: Guard) -> float:
    """The standard deviation of the noise in the one vector, in the sum's unit, once the known masks are off."""
    weights, roster = drawn_weights(MODEL, seed=0), SITES[: len(SITES) - DROPOUTS]
    answer = guard.contribute(ContributeRequest(PLAN.hash, OWN, 1, 0, roster, weights)).vector
    attempt = Attempt(PLAN.hash, 1, 0, roster, content_hash_of(weights))
    public = {site: public_masking_key_of(key) for site, key in KEYS.items()}
    total = np.array(answer)
    for peer in roster[1:]:  # the others' vectors, all of zeros, have just the masks in them
        pairs = MaskingPairs(own=peer, private_key=KEYS[peer], public_keys=public)
        total += masked(np.zeros(len(total), np.int64), pairs=pairs, attempt=attempt, largest_entry=2**40).words
    truth = ascent_sum(PLAN, weights, drawn_patients(MODEL, 300, seed=1)).vector
    bound = PLAN.privacy.l2_norm_bound
    assert bound is not None
    return float(np.std(total.view(np.int64) / 2**PLAN.privacy.scale_bits - truth / bound))


def test_a_coordinator_that_makes_up_all_others_is_refused_and_without_the_rule_sees_a_single_share() -> None:
    with pytest.raises(PrivacyRefusal, match="19 that nobody here has verified"):
        guard_with(TRUSTING)
    deceived = guard_with(knowing(*SITES))
    release = release_of_round(PLAN)
    assert isinstance(release, Masked)
    found = seen_by_a_coordinator_that_is_everybody_else(deceived)
    assert found < PLAN.privacy.noise_multiplier / 3, "the attack that the rule is there for works"


@settings(deadline=None, max_examples=60)
@given(verified=st.sets(st.sampled_from(SITES[1:])), fewest=st.integers(0, 6), colluding=st.sampled_from([0, 2, 5]))
@example(verified=set(SITES[1:-2]), fewest=1, colluding=2)  # enough for either of the two, and not for both
def test_each_hospital_that_is_not_verified_counts_as_one_that_sides_with_the_coordinator(
    verified: set[str], fewest: int, colluding: int
) -> None:
    privacy = replace(PLAN.privacy, shares=SharedNoise(len(SITES), DROPOUTS, colluding))
    plan = replace(PLAN, privacy=privacy)
    policy = knowing(*verified, fewest=fewest)
    unverified = len(SITES) - 1 - len(verified)
    said = "; ".join(policy._objections_to_shares(plan, OWN))
    assert ("side with the coordinator" in said) is (colluding < fewest + unverified)


def test_a_verified_hospital_with_another_key_is_not_verified() -> None:
    knowing(*SITES[1:]).refuse_unless_allowed(PLAN, site=OWN)
    for change in ({"node_public_key": "x"}, {"answer_public_key": "cd" * 32}):
        members = (*PLAN.members[:-3], *(replace(each, **change) for each in PLAN.members[-3:]))
        changed = replace(PLAN, members=members)
        assert knowing(*SITES[1:]).unverified(changed, site=OWN) == SITES[-3:]
        with pytest.raises(PrivacyRefusal, match="3 that nobody here has verified"):
            knowing(*SITES[1:]).refuse_unless_allowed(changed, site=OWN)


def test_ones_own_card_makes_nobody_else_known() -> None:
    assert len(knowing(OWN, *SITES[4:]).unverified(PLAN, site=OWN)) == 3
    with pytest.raises(PrivacyRefusal):
        knowing(OWN, *SITES[4:]).refuse_unless_allowed(PLAN, site=OWN)
    knowing(*SITES[3:]).refuse_unless_allowed(PLAN, site=OWN)


def test_a_card_is_of_the_name_and_every_key() -> None:
    card = Member("essen", "node", "answer")
    others = [replace(card, **{field: "other"}) for field in ("site", "node_public_key", "answer_public_key")]
    others += [Member("essen", "nodeanswer", ""), Member("essennode", "", "answer")]
    assert len({card_of(each) for each in (card, *others)}) == len(others) + 1
    assert card_in_words(card).replace(" ", "") == card_of(card)
    assert [len(group) for group in card_in_words(card).split()] == [4] * 8


@pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31])
def test_a_key_with_which_everybody_shares_one_secret_is_refused_before_anything_is_charged(key: str) -> None:
    """Verified or not: with it the masks of all others fail after each charge."""
    public = {site: public_masking_key_of(each) for site, each in KEYS.items()}
    with pytest.raises(PrivacyRefusal, match="no masking key"):
        SumMasks(KEYS[OWN], {**public, SITES[-1]: bytes.fromhex(key)}).refuse_unless_fit(site=OWN)
    SumMasks(KEYS[OWN], public).refuse_unless_fit(site=OWN)
