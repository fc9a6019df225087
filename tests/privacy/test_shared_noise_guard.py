"""Does a guard that shares the noise of a sum let out its masked part only, and only for attempts it may answer?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.doubles import (
    SilentNoise,
    calibrated_privacy,
    cards_of,
    drawn_patients,
    drawn_weights,
    members_of,
    model_spec,
    no_privacy,
    study_plan,
)

from oncofed.client.guard.guard import Guard
from oncofed.client.guard.sum_masks import SumMasks
from oncofed.client.patients.training import ascent_sum
from oncofed.errors import PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.privacy.ledger import MemoryLedger, charge_from_json, charge_to_json
from oncofed.privacy.masking import Attempt, content_hash_of, new_masking_key, public_masking_key_of
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy, releases_of
from oncofed.privacy.releases import Local, Masked, largest_patients, release_of_round
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, SharedNoise, StudyPlan, TrainingMode, TrainingSpec

SITES = ("Bonn", "Celle", "Essen", "Hof", "Ulm")
KEYS = {site: new_masking_key() for site in SITES}
PUBLIC_KEYS = {site: public_masking_key_of(key) for site, key in KEYS.items()}
MODEL = model_spec()
TRAINING = TrainingSpec(rounds=10)
SHARES = SharedNoise(sites=5, dropouts=1, colluding=1)


def privacy_at(delta: float, *, shares: SharedNoise | None = SHARES) -> PrivacySpec:
    return calibrated_privacy(
        TRAINING,
        epsilon=3.0,
        delta=delta,
        l2_norm_bound=1.5,
        reserve_rounds=2,
        shares=shares,
        parameters=MODEL.parameters,
    )


PRIVACY = privacy_at(1e-5)
POLICY = SitePolicy(
    "registry", largest_epsilon=3.0, delta=1e-5, fewest_colluding_tolerated=1, verified_cards=cards_of(KEYS)
)
WEIGHTS = drawn_weights(MODEL, seed=0)


def plan_with(privacy: PrivacySpec) -> StudyPlan:
    made = study_plan(model=MODEL, training=TRAINING, privacy=privacy)
    return replace(made, roster=SITES, quorum=4, members=members_of(SITES))


PLAN = plan_with(PRIVACY)
RELEASE = release_of_round(PLAN)


def guard_of(
    site: str,
    *,
    noise: NoiseSource | None = None,
    plan: StudyPlan = PLAN,
    policy: SitePolicy = POLICY,
    key: bytes | None = None,
    keys: Mapping[str, bytes] | None = None,
) -> Guard:
    patients = drawn_patients(MODEL, 40, seed=SITES.index(site))
    return Guard(
        site=site,
        plan=plan,
        policy=policy,
        patients=lambda: patients,
        ledger=MemoryLedger(policy.budget),
        noise=noise or OperatingSystemNoise(),
        masks=SumMasks(key or KEYS[site], PUBLIC_KEYS if keys is None else keys),
    )


def request(
    site: str, *, attempt: int = 0, roster: tuple[str, ...] = SITES, weights: NDArray[np.float64] = WEIGHTS
) -> ContributeRequest:
    return ContributeRequest(PLAN.hash, site, 1, attempt, roster, weights)


def opened(vectors: dict[str, NDArray[np.uint64]], *, attempt: int = 0) -> NDArray[np.float64]:
    """The sum, in units of the clip norm."""
    belongs = Attempt(PLAN.hash, 1, attempt, tuple(sorted(vectors)), content_hash_of(WEIGHTS))
    (total,) = RELEASE.opened(list(vectors.items()), attempt=belongs)
    return total


def plain_sum(sites: tuple[str, ...]) -> NDArray[np.float64]:
    """By the code of the mode without privacy, with the same clipping."""
    without = study_plan(model=MODEL, training=TRAINING, privacy=no_privacy(l2_norm_bound=1.5))
    parts = [ascent_sum(without, WEIGHTS, drawn_patients(MODEL, 40, seed=SITES.index(site))).vector for site in sites]
    total: NDArray[np.float64] = np.sum(parts, axis=0) / 1.5
    return total


def test_without_noise_the_opened_sum_is_the_plain_one() -> None:
    vectors = {site: guard_of(site, noise=SilentNoise()).contribute(request(site)).vector for site in SITES}
    assert np.abs(opened(vectors) - plain_sum(SITES)).max() <= len(SITES) * 0.5 / 2**20


def test_one_hospitals_part_tells_nothing_of_its_sum() -> None:
    """Even without noise: the mask alone makes it uniform."""
    vector = guard_of("Bonn", noise=SilentNoise()).contribute(request("Bonn")).vector
    assert vector.dtype == np.uint64
    upper = vector >> np.uint64(48)
    assert np.count_nonzero((upper == 0) | (upper == 0xFFFF)) <= 2
    again = guard_of("Bonn", noise=SilentNoise()).contribute(request("Bonn", attempt=1)).vector
    assert not (vector == again).any()


def test_the_noise_of_the_sum_is_what_the_guaranteed_shares_promise_and_the_others_add_to_it() -> None:
    noise = np.concatenate(
        [
            opened({site: guard_of(site).contribute(request(site, attempt=n)).vector for site in SITES}, attempt=n)
            - plain_sum(SITES)
            for n in range(8)
        ]
    )
    promised = PRIVACY.noise_multiplier
    expected = promised * math.sqrt(5 / 3)  # five present, three guaranteed
    spread = noise.std() / expected
    # Of a few hundred draws; a normal sample's spread is within 6 / sqrt(2 n) with p < 1e-8.
    assert abs(spread - 1) < 6 / math.sqrt(2 * noise.size)
    assert noise.std() > promised


def test_a_smaller_roster_within_the_plans_dropouts_opens_too() -> None:
    four = ("Bonn", "Celle", "Essen", "Ulm")
    vectors = {
        site: guard_of(site, noise=SilentNoise()).contribute(request(site, attempt=1, roster=four)).vector
        for site in four
    }
    assert np.abs(opened(vectors, attempt=1) - plain_sum(four)).max() <= 4 * 0.5 / 2**20


@pytest.mark.parametrize(
    "roster",
    [("Bonn",), ("Bonn", "Celle"), ("Bonn", "Celle", "Essen"), (*SITES, "Zwickau"), tuple(reversed(SITES)), SITES[1:]],
    ids=["alone", "two", "three", "a stranger", "unsorted", "without us"],
)
def test_a_roster_that_would_isolate_a_hospital_is_refused_and_free(roster: tuple[str, ...]) -> None:
    guard = guard_of("Bonn")
    with pytest.raises(RequestRefused) as refused:
        guard.contribute(request("Bonn", roster=roster))
    assert refused.value.code is RefusalCode.WRONG_SITE
    assert guard.ledger.charges() == ()


def test_the_same_attempt_with_another_roster_is_refused() -> None:
    """Reusing shares with another roster would open the difference: one hospital."""
    guard = guard_of("Bonn")
    guard.contribute(request("Bonn"))
    with pytest.raises(RequestRefused) as refused:
        guard.contribute(request("Bonn", roster=("Bonn", "Celle", "Essen", "Ulm")))
    assert refused.value.code is RefusalCode.REQUEST_CONFLICT


def nudged() -> NDArray[np.float64]:
    """The smallest change there is."""
    weights = WEIGHTS.copy()
    weights[-1] = np.nextafter(weights[-1], 1)
    return weights


def test_a_guard_whose_records_were_rolled_back_opens_nothing_to_other_weights() -> None:
    """A ledger and answers restored from a backup: the very attempt is answered again, with other weights.

    Were the masks the same, the difference of the two answers would be that of two sums, without a key.
    """
    before, restored = guard_of("Bonn", noise=SilentNoise()), guard_of("Bonn", noise=SilentNoise())
    one = before.contribute(request("Bonn")).vector
    other = restored.contribute(request("Bonn", weights=nudged())).vector
    upper = (one - other) >> np.uint64(48)
    assert np.count_nonzero((upper == 0) | (upper == 0xFFFF)) <= 2
    again = guard_of("Bonn", noise=SilentNoise()).contribute(request("Bonn")).vector
    assert (one == again).all()  # by which the comparison above is not one of noise


def test_a_server_that_sends_one_hospital_other_weights_opens_nothing() -> None:
    vectors = {site: guard_of(site, noise=SilentNoise()).contribute(request(site)).vector for site in SITES[1:]}
    vectors["Bonn"] = guard_of("Bonn", noise=SilentNoise()).contribute(request("Bonn", weights=nudged())).vector
    with pytest.raises(PrivacyRefusal, match="did not cancel"):
        opened(vectors)


def test_each_attempt_is_charged_and_the_identical_request_is_not() -> None:
    guard = guard_of("Bonn")
    first = guard.contribute(request("Bonn")).vector
    assert guard.contribute(request("Bonn")).vector.tolist() == first.tolist()
    guard.contribute(request("Bonn", attempt=1))
    charges = guard.ledger.charges()
    assert [charge.event for charge in charges] == [RELEASE.event] * 2
    assert charge_from_json(charge_to_json(charges[0])) == charges[0]


def test_the_budget_is_that_of_the_guaranteed_noise_alone() -> None:
    release = RELEASE.event
    assert release == SharedIntegerRelease(
        PRIVACY.noise_multiplier, MODEL.parameters, 20, 1.0, sites=5, dropouts=1, colluding=1
    )
    spent = epsilon_of([release] * 12, delta=1e-5)
    assert 2.99 <= spent <= 3.0
    gaussian = epsilon_of([GaussianRelease(PRIVACY.noise_multiplier)] * 12, delta=1e-5)
    assert gaussian <= spent <= gaussian + 0.02


BROKEN = {
    "mode local with shares": replace(PRIVACY, mode=PrivacyMode.LOCAL),
    "no shares": replace(PRIVACY, shares=None),
    "another roster": replace(PRIVACY, shares=replace(SHARES, sites=6)),
    "nobody guaranteed": replace(PRIVACY, shares=replace(SHARES, dropouts=4)),
    "too few colluding": replace(PRIVACY, shares=replace(SHARES, colluding=0)),
    "steps too fine for the sampler": replace(PRIVACY, scale_bits=46),
    "less noise": replace(PRIVACY, noise_multiplier=PRIVACY.noise_multiplier * 0.97),
}


@pytest.mark.parametrize("privacy", BROKEN.values(), ids=BROKEN)
def test_a_plan_whose_sharing_does_not_hold_is_refused(privacy: PrivacySpec) -> None:
    with pytest.raises(PrivacyRefusal):
        POLICY.refuse_unless_allowed(replace(PLAN, privacy=privacy))


@pytest.mark.parametrize("mode", [PrivacyMode.LOCAL, PrivacyMode.DISTRIBUTED])
@pytest.mark.parametrize("delta", [4e-7, 1e-9])  # below 1 / (10 x 200,000), where more patients are no reason to refuse
def test_better_privacy_by_a_smaller_delta_is_possible(mode: PrivacyMode, delta: float) -> None:
    """Calibrated for it, approved, answered, and opened with the noise that it needs."""
    shared = mode is PrivacyMode.DISTRIBUTED
    plan = plan_with(privacy_at(delta, shares=SHARES if shared else None))
    policy = replace(POLICY, delta=delta)
    policy.refuse_unless_allowed(plan)
    assert plan.privacy.noise_multiplier > 1.05 * PRIVACY.noise_multiplier
    assert 2.99 <= epsilon_of(releases_of(plan), delta=delta) <= 3.0
    assert epsilon_of([GaussianRelease(plan.privacy.noise_multiplier)] * 12, delta=delta) == pytest.approx(3, abs=0.02)
    release, noise = release_of_round(plan), []
    assert isinstance(release, Masked if shared else Local)
    for attempt in range(8):
        parts = []
        for site in SITES:
            question = replace(request(site, attempt=attempt), plan_hash=plan.hash)
            guard = guard_of(site, plan=plan, policy=policy)
            parts.append((site, guard.contribute(question).vector))
            assert [charge.event for charge in guard.ledger.charges()] == [release.event]
        belongs = Attempt(plan.hash, 1, attempt, SITES, content_hash_of(WEIGHTS))
        noise.append(np.sum(release.opened(parts, attempt=belongs), axis=0) - plain_sum(SITES))
    expected = plan.privacy.noise_multiplier * math.sqrt(5 / 3 if shared else 5)
    assert abs(np.concatenate(noise).std() / expected - 1) < 6 / math.sqrt(2 * np.concatenate(noise).size)


@pytest.mark.parametrize(
    ("delta", "most"),
    [
        (1e-2, 10),
        (1e-5, 10_000),
        (1e-6, 100_000),
        (5e-7, 200_000),
        (4.9e-7, 200_000),
        (1e-9, 200_000),
        (0.3, 1),
    ],
)
def test_the_promise_is_for_as_many_patients_as_delta_suits_and_float64_allows(delta: float, most: int) -> None:
    assert largest_patients(delta) == most
    for shares in (None, SHARES):
        mode = PrivacyMode.LOCAL if shares is None else PrivacyMode.DISTRIBUTED
        release = release_of_round(plan_with(replace(PRIVACY, mode=mode, delta=delta, shares=shares)))
        assert isinstance(release, Local | Masked)
        assert release.largest_patients == most
        release.refuse_unless_sound()


def test_sharing_needs_the_policys_word_and_full_batch_and_everybodys_key() -> None:
    POLICY.refuse_unless_allowed(PLAN)
    with pytest.raises(PrivacyRefusal, match="fewest_colluding_tolerated"):
        replace(POLICY, fewest_colluding_tolerated=None).refuse_unless_allowed(PLAN)
    epochs = replace(PLAN, training=replace(TRAINING, mode=TrainingMode.EPOCHS))
    with pytest.raises(PrivacyRefusal, match="full_batch"):
        POLICY.refuse_unless_allowed(epochs)
    for members in ((), PLAN.members[:-1]):  # who is not named could not be verified, either
        with pytest.raises(PrivacyRefusal, match="members"):
            POLICY.refuse_unless_allowed(replace(PLAN, members=members))


def test_a_guard_that_knows_no_key_of_a_hospital_asked_refuses_and_charges_nothing() -> None:
    known = {site: key for site, key in PUBLIC_KEYS.items() if site != SITES[-1]}
    guard = guard_of("Bonn", keys=known)
    with pytest.raises(RequestRefused) as refused:
        guard.contribute(request("Bonn"))
    assert refused.value.code is RefusalCode.WRONG_KEYS
    assert not guard.ledger.charges()
    assert guard.contribute(request("Bonn", roster=SITES[:-1])).vector.dtype == np.uint64


def test_a_guard_without_its_own_masking_key_does_not_start() -> None:
    with pytest.raises(PrivacyRefusal, match="another masking key"):
        guard_of("Bonn", key=KEYS["Celle"])
    patients = drawn_patients(MODEL, 4, seed=0)
    with pytest.raises(PrivacyRefusal, match="no masking key"):
        Guard(
            site="Bonn",
            plan=PLAN,
            policy=POLICY,
            patients=lambda: patients,
            ledger=MemoryLedger(POLICY.budget),
            noise=OperatingSystemNoise(),
        )


def test_a_plan_whose_dropouts_leave_a_hospital_by_itself_is_against_every_policy() -> None:
    """Its part could not be masked, and a charge for it would be in vain."""
    policy = replace(POLICY, fewest_colluding_tolerated=0)
    for dropouts, alone in ((3, False), (4, True)):
        shares = SharedNoise(sites=5, dropouts=dropouts, colluding=0)
        plan = replace(PLAN, privacy=replace(PRIVACY, shares=shares, noise_multiplier=200.0))
        with nullcontext() if not alone else pytest.raises(PrivacyRefusal, match="nobody to hide its part among"):
            policy.refuse_unless_allowed(plan)
