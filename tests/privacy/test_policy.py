"""Does a hospital's policy refuse every plan that promises its patients less than it demands?

privacy.md, test 10: nothing a server proposes weakens a policy. Each objection is provoked by itself, and all of them
are listed when there are several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.doubles import calibrated_privacy, drawn_patients, local_privacy, no_privacy, study_plan

from oncofed.client.guard.guard import Guard
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.policy import (
    SitePolicy,
    releases_of,
    without_privacy,
)
from oncofed.privacy.releases import largest_patients, release_of_round
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease
from oncofed.protocol.plan import Bounding, PrivacyMode, PrivacySpec, StudyPlan, TrainingMode, TrainingSpec
from oncofed.ranges import range_of
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import parameter_count

PLAN = study_plan()
POLICY = SitePolicy("registry", largest_epsilon=1.0, delta=1e-5)


def test_a_plan_of_this_policy_is_accepted() -> None:
    POLICY.refuse_unless_allowed(PLAN)


@pytest.mark.parametrize(("delta", "most"), [(1e-5, 10_000), (1e-6, 100_000), (1e-7, 200_000), (1e-9, 200_000)])
def test_how_many_patients_the_promise_of_a_delta_holds_for(delta: float, most: int) -> None:
    """Delta is to be at most 1 / (10 x patients); for more than 200,000 float64's rounding is not bounded."""
    assert largest_patients(delta) == most


OBJECTIONS: dict[str, tuple[Callable[[StudyPlan], StudyPlan], str]] = {
    "weaker noise": (lambda p: replace(p, privacy=replace(p.privacy, noise_multiplier=27.0)), "need epsilon 1.0"),
    "below the floor": (lambda p: replace(p, privacy=replace(p.privacy, noise_multiplier=4.0)), "too small"),
    "no noise": (lambda p: replace(p, privacy=replace(p.privacy, noise_multiplier=0.0)), "too small"),
    "negative noise": (
        lambda p: replace(p, privacy=replace(p.privacy, noise_multiplier=-30.0)),
        "noise_multiplier is -30,",
    ),
    "noise is not a number": (
        lambda p: replace(p, privacy=replace(p.privacy, noise_multiplier=float("nan"))),
        "noise_multiplier is not a number",
    ),
    "endless noise": (
        lambda p: replace(p, privacy=replace(p.privacy, noise_multiplier=float("inf"))),
        "noise_multiplier is beyond 1e300",
    ),
    "larger delta": (lambda p: replace(p, privacy=replace(p.privacy, delta=1e-4)), "delta is 0.0001, outside"),
    "delta is not a number": (
        lambda p: replace(p, privacy=replace(p.privacy, delta=float("nan"))),
        "delta is not a number",
    ),
    "delta 0": (lambda p: replace(p, privacy=replace(p.privacy, delta=0.0)), "delta 0"),
    "more rounds": (lambda p: replace(p, training=replace(p.training, rounds=90)), "need epsilon 1.2"),
    "no clip": (lambda p: replace(p, privacy=replace(p.privacy, l2_norm_bound=None)), "clip norm"),
    "endless clip": (
        lambda p: replace(p, privacy=replace(p.privacy, l2_norm_bound=float("inf"))),
        "l2_norm_bound is beyond",
    ),
    "clip 0": (lambda p: replace(p, privacy=replace(p.privacy, l2_norm_bound=0.0)), "l2_norm_bound is 0,"),
    "clip too small": (lambda p: replace(p, privacy=replace(p.privacy, l2_norm_bound=9.9e-5)), "outside 0.0001"),
    "clip is not a number": (
        lambda p: replace(p, privacy=replace(p.privacy, l2_norm_bound=float("nan"))),
        "l2_norm_bound is not",
    ),
    "another relation": (lambda p: replace(p, privacy=replace(p.privacy, relation="replace_one")), "relation"),
    "no privacy": (lambda p: replace(p, privacy=no_privacy()), "no privacy"),
    "a false promise": (lambda p: replace(p, privacy=replace(p.privacy, epsilon=0.5)), "promises patients 0.5"),
    "whole steps that a float64 does not hold": (
        lambda p: replace(p, privacy=replace(p.privacy, scale_bits=40)),
        "a float64 does not hold them",
    ),
    "steps as large as the noise": (
        lambda p: replace(p, privacy=replace(p.privacy, scale_bits=0)),
        "scale_bits is 0, outside",
    ),
    "steps that are no whole number": (
        lambda p: replace(p, privacy=replace(p.privacy, scale_bits=19.5)),  # type: ignore[arg-type]  # as a file may say
        "scale_bits is 19.5, outside",
    ),
    "no promise": (lambda p: replace(p, privacy=replace(p.privacy, epsilon=None)), "promises patients None"),
    "stopped residuals in local steps": (
        lambda p: replace(
            p,
            training=replace(p.training, mode=TrainingMode.EPOCHS),
            privacy=replace(p.privacy, bounding=Bounding.STOPPED),
        ),
        "mode epochs knows no bounding but clip",
    ),
    "no room for calibration": (
        lambda p: replace(
            p,
            model=replace(p.model, columns=1, hidden_units=(), grid=TimeGrid((0.0, 12.0))),
            training=replace(p.training, calibration_rounds=2),
        ),
        "no room for the sums of its calibration rounds",
    ),
    "a cap of nothing": (lambda p: replace(p, privacy=replace(p.privacy, hazard_cap=0.0)), "hazard_cap is 0, outside"),
    "sampling that cannot be": (
        lambda p: replace(p, training=replace(p.training, mode=TrainingMode.EPOCHS, sampling_rate=0.0)),
        "sampling_rate is 0, outside",
    ),
}


@pytest.mark.parametrize(("change", "words"), OBJECTIONS.values(), ids=OBJECTIONS.keys())
def test_a_weaker_plan_is_refused_when_the_guard_starts(change: Callable[[StudyPlan], StudyPlan], words: str) -> None:
    policy = replace(POLICY, smallest_noise_multiplier=5.0)
    with pytest.raises(PrivacyRefusal, match=words):
        policy.refuse_unless_allowed(change(PLAN))
    with pytest.raises(PrivacyRefusal, match=words):
        Guard(
            site="Bonn",
            plan=change(PLAN),
            policy=policy,
            patients=lambda: drawn_patients(PLAN.model, 3, seed=0),
            ledger=MemoryLedger(policy.budget),
            noise=OperatingSystemNoise(),
        )


def test_all_objections_are_listed_together() -> None:
    faulty = replace(
        PLAN,
        privacy=replace(PLAN.privacy, relation="replace_one", noise_multiplier=10.0),
    )
    with pytest.raises(PrivacyRefusal) as refusal:
        replace(POLICY, delta=1e-6).refuse_unless_allowed(faulty)
    for words in ("relation", "delta 1e-05", "need epsilon 3", "promises", "registry"):
        assert words in str(refusal.value)


def test_only_the_plans_that_are_named_run() -> None:
    replace(POLICY, allowed_plans=("0" * 64, PLAN.hash)).refuse_unless_allowed(PLAN)
    for allowed in ((), ("0" * 64,), (PLAN.hash.upper(),)):
        with pytest.raises(PrivacyRefusal, match="not among the allowed plans"):
            replace(POLICY, allowed_plans=allowed).refuse_unless_allowed(PLAN)


def test_a_model_is_no_larger_than_the_policy_says() -> None:
    parameters = parameter_count(PLAN.model)
    replace(POLICY, largest_parameters=parameters).refuse_unless_allowed(PLAN)
    with pytest.raises(PrivacyRefusal, match="parameters"):
        replace(POLICY, largest_parameters=parameters - 1).refuse_unless_allowed(PLAN)


@pytest.mark.parametrize("change", [{"allowed_plans": ()}, {"largest_parameters": 1}])
def test_that_holds_without_privacy_too(change: dict[str, Any]) -> None:
    plan = study_plan(privacy=no_privacy())
    policy = replace(POLICY, allow_no_privacy=True)
    policy.refuse_unless_allowed(plan)
    with pytest.raises(PrivacyRefusal):
        replace(policy, **change).refuse_unless_allowed(plan)


def test_the_reserve_for_repeated_rounds_is_counted() -> None:
    training = TrainingSpec(rounds=60)
    exact = calibrated_privacy(training, epsilon=1.0, delta=1e-5, l2_norm_bound=0.5, reserve_rounds=0)
    POLICY.refuse_unless_allowed(study_plan(training=training, privacy=exact))
    with pytest.raises(PrivacyRefusal, match="need epsilon"):
        POLICY.refuse_unless_allowed(study_plan(training=training, privacy=replace(exact, reserve_rounds=6)))


def test_the_smallest_clip_norm_is_allowed() -> None:
    smallest = replace(PLAN.privacy, l2_norm_bound=range_of(PrivacySpec, "l2_norm_bound").least)
    POLICY.refuse_unless_allowed(replace(PLAN, privacy=smallest))


@pytest.mark.parametrize("number", [float("nan"), -1.0, 0.0])
def test_a_policy_that_is_not_a_number_allows_nothing(number: float) -> None:
    for policy in (replace(POLICY, largest_epsilon=number), replace(POLICY, delta=number if number else float("nan"))):
        with pytest.raises((PrivacyRefusal, ValueError)):
            policy.refuse_unless_allowed(PLAN)


def test_a_floor_of_noise_that_is_not_a_number_allows_nothing() -> None:
    with pytest.raises(PrivacyRefusal, match="too small"):
        replace(POLICY, smallest_noise_multiplier=float("nan")).refuse_unless_allowed(PLAN)


def test_no_privacy_is_allowed_only_by_name() -> None:
    plan = replace(PLAN, privacy=without_privacy(l2_norm_bound=None))
    assert plan.privacy.mode is PrivacyMode.NONE
    replace(POLICY, allow_no_privacy=True).refuse_unless_allowed(plan)
    with pytest.raises(PrivacyRefusal, match="allow_no_privacy"):
        POLICY.refuse_unless_allowed(plan)


def test_a_calibrated_plan_is_accepted_by_the_policy_it_was_made_for() -> None:
    training = TrainingSpec(rounds=60)
    privacy = calibrated_privacy(training, epsilon=1.0, delta=1e-5, l2_norm_bound=0.5, reserve_rounds=3)
    POLICY.refuse_unless_allowed(study_plan(training=training, privacy=privacy))
    assert (privacy.l2_norm_bound, privacy.delta, privacy.epsilon) == (0.5, 1e-5, 1.0)


def test_a_round_costs_what_it_releases() -> None:
    """In units of the clip norm, whatever that is: one hospital and one share, once or in each step."""
    privacy, parameters = local_privacy(noise_multiplier=2.0, l2_norm_bound=0.3), parameter_count(PLAN.model)
    epochs = TrainingSpec(mode=TrainingMode.EPOCHS, rounds=3, local_steps=7, sampling_rate=0.3)
    assert release_of_round(study_plan(privacy=privacy)).event == SharedIntegerRelease(
        2.0, parameters, 20, 1.0, sites=1, dropouts=0, colluding=0
    )
    in_steps = study_plan(training=epochs, privacy=privacy)
    once = SampledIntegerRelease(2.0, parameters, 20, 1.0, sampling_rate=0.3, steps=7)
    assert release_of_round(in_steps).event == once
    assert releases_of(replace(in_steps, privacy=replace(privacy, reserve_rounds=2))) == (once,) * 5
    assert privacy.mode is PrivacyMode.LOCAL
