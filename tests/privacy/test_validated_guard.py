"""Does a guard measure the one model that the plan names, where nobody trained it, and charge nothing else?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.doubles import SilentNoise, drawn_patients, drawn_weights, local_privacy, model_spec, study_plan
from tests.installed_node import SITE, SOURCE, installed_node
from tests.summaries import summary_request, validating

from oncofed.client.guard.guard import Guard
from oncofed.client.guard.policy_file import SourcePolicy, read_policy
from oncofed.client.guard.trial import measured
from oncofed.client.patients.sources import SourceKind, SourceSpec
from oncofed.client.patients.summaries import bounded_sum
from oncofed.client.records.objections import of_the_model
from oncofed.errors import PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.ledger import Charge, MemoryLedger
from oncofed.privacy.policy import SitePolicy, without_privacy
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import StudyPlan

MODEL = model_spec()
WEIGHTS = drawn_weights(MODEL, seed=3)
DATA = SourcePolicy(SourceSpec("registry", SourceKind.CSV), SitePolicy("registry", largest_epsilon=9.0, delta=1e-5))
POLICY = SitePolicy("registry", largest_epsilon=9.0, delta=1e-5)
TRAINED_ON, SET_ASIDE = drawn_patients(MODEL, 40, seed=1), drawn_patients(MODEL, 25, seed=2)


def plan(fraction: float = 0.0) -> StudyPlan:
    return validating(
        study_plan(model=MODEL, privacy=local_privacy()), WEIGHTS, noise_multiplier=30.0, fraction=fraction
    )


def guard_of(asked: StudyPlan) -> Guard:
    return Guard(
        site="Bonn",
        plan=asked,
        policy=POLICY,
        patients=lambda: TRAINED_ON,
        held_out=lambda: SET_ASIDE,
        ledger=MemoryLedger(POLICY.budget),
        noise=SilentNoise(),
    )


def test_the_model_of_the_plan_is_measured_on_all_patients_and_charged_once() -> None:
    asked = plan()
    guard = guard_of(asked)
    answer = guard.summarise(summary_request(asked, weights=WEIGHTS))
    release = release_of_summary(asked, asked.summaries[0])
    exact = bounded_sum(asked, asked.summaries[0], WEIGHTS, TRAINED_ON).vector
    np.testing.assert_allclose(answer.vector, exact, atol=1e-5)
    assert [charge.event for charge in guard.ledger.charges()] == [release.event]


def test_where_the_plan_says_a_share_those_set_aside_are_measured() -> None:
    asked = plan(fraction=0.4)
    answer = guard_of(asked).summarise(summary_request(asked, weights=WEIGHTS))
    exact = bounded_sum(asked, asked.summaries[0], WEIGHTS, SET_ASIDE).vector
    np.testing.assert_allclose(answer.vector, exact, atol=1e-5)


def test_another_model_is_refused_before_anything_is_charged_and_be_it_by_one_bit() -> None:
    asked = plan()
    guard = guard_of(asked)
    near = WEIGHTS.copy()
    near[0] = np.nextafter(near[0], 9.0)
    for weights in (near, np.zeros_like(WEIGHTS)):
        with pytest.raises(RequestRefused) as refusal:
            guard.summarise(summary_request(asked, weights=weights))
        assert refusal.value.code is RefusalCode.MALFORMED_WEIGHTS
    assert guard.ledger.charges() == ()


def test_a_model_whose_signature_is_another_ones_is_refused() -> None:
    right = plan()
    assert right.validates is not None
    asked = replace(right, validates=replace(right.validates, signature="ab" * 64))
    guard = guard_of(asked)
    with pytest.raises(RequestRefused):
        guard.summarise(summary_request(asked, weights=WEIGHTS))
    assert guard.ledger.charges() == ()


def test_a_data_source_that_was_charged_for_the_training_does_not_approve_the_validation() -> None:
    asked = plan()
    assert asked.validates is not None
    event = release_of_summary(asked, asked.summaries[0]).event
    ledger = MemoryLedger(POLICY.budget)
    assert of_the_model(asked, DATA, ledger, ()) == []
    ledger.charge(Charge(f"{'ee' * 32}/Bonn/1/0", "11" * 32, event))
    assert of_the_model(asked, DATA, ledger, ()) == []
    ledger.charge(Charge(f"{asked.validates.plan_hash}/Bonn/1/0", "22" * 32, event))
    (told,) = of_the_model(asked, DATA, ledger, ())
    assert "a plan that this data source was charged for (cdcdcdcdcdcd)" in told
    assert of_the_model(replace(asked, validates=None), DATA, ledger, ()) == []


def test_nor_does_one_that_was_approved_for_it_where_nothing_is_charged() -> None:
    """A plan in mode `none` trains, and stands in no ledger."""
    with installed_node() as node:
        node.set_policy("largest_epsilon = 1.5", "largest_epsilon = 9.0\nallow_no_privacy = true")
        trains = replace(node.plan(), privacy=without_privacy(l2_norm_bound=1.0))
        weights = np.zeros(trains.model.parameters)
        asked = validating(node.plan(), weights, noise_multiplier=9.0)
        assert asked.validates is not None
        asked = replace(asked, validates=replace(asked.validates, plan_hash=trains.hash))
        node.approve(trains)
        with pytest.raises(PrivacyRefusal, match=f"was approved for \\({trains.hash[:12]}\\)"):
            node.approve(asked)
        node.approvals.decline(trains.hash, declined_by="Dr. Example", now=datetime.now(UTC))
        with pytest.raises(PrivacyRefusal, match="was approved for"):
            node.approve(asked)
        assert node.ledger().charges() == ()


def test_an_installed_hospital_refuses_to_validate_what_it_trained_and_a_stranger_tries_its_times() -> None:
    with installed_node() as node:
        trains = node.plan()
        asked = validating(trains, np.zeros(trains.model.parameters), noise_multiplier=9.0)
        approval = node.approve(asked)
        policy = read_policy(node.folder.policy).source(SOURCE).site_policy
        file = node.approvals.patients_file(approval)
        took = measured(asked, site=SITE, policy=policy, file=file, sha256=approval.patients_sha256)
        assert (took.round_, took.summary > 0) == (0, True)
        node.ledger().charge(
            Charge(f"{'cd' * 32}/{SITE}/1/0", "33" * 32, release_of_summary(asked, asked.summaries[0]).event)
        )
        with pytest.raises(PrivacyRefusal, match="trained by a plan that this data source was charged for"):
            node.approve(replace(asked, study="another"))
