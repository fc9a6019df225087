"""Is a plan refused whose times are too short for a hospital's patients, before anybody approves it?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import installed_node as here
from tests.installed_node import SITE, SOURCE, InstalledNode, installed_node
from tests.summaries import counting, gains_of
from torch import Tensor

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.guard.trial import STEPS_SECONDS, Seconds, measured, refuse_if_slow
from oncofed.client.patients import gain_sums
from oncofed.client.patients.calibration_sums import calibration_sum
from oncofed.client.patients.entity_sums import entity_sum
from oncofed.client.patients.gain_sums import shares_held
from oncofed.cohort.schema import ModalityEncoding
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.survival.comparators import Comparator
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.layers import Layer


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as here:
        yield here


def plan_with(node: InstalledNode, *, round_: float = 1.0, summary: float = 10.0) -> StudyPlan:
    return replace(node.plan(), answer_seconds=round_, summary_answer_seconds=summary)


WITHIN = [
    Seconds(0.0, 0.5, 0.0),
    Seconds(2.0, 0.5, 5.0),  # four times as long for reading patients
    Seconds(0.0, 0.0, 5.0),
]
BEYOND = {
    "a round": (Seconds(0.0, 0.51, 0.0), "answer_seconds of 2 or more (it has 1)"),
    "reading": (Seconds(2.1, 0.1, 0.0), "answer_seconds of 2 or more (it has 1)"),
    "a summary": (Seconds(0.0, 0.1, 5.1), "summary_answer_seconds of 20 or more (it has 10)"),
    "what no plan allows": (Seconds(0.0, 31.0, 0.0), "No answer_seconds that a plan may have would do"),
}


@pytest.mark.parametrize("took", WITHIN)
def test_a_plan_with_room_is_approved(node: InstalledNode, took: Seconds) -> None:
    refuse_if_slow(plan_with(node), took)


@pytest.mark.parametrize(("took", "words"), BEYOND.values(), ids=BEYOND)
def test_a_plan_without_it_is_refused_with_times_that_would_do(node: InstalledNode, took: Seconds, words: str) -> None:
    with pytest.raises(PrivacyRefusal) as refusal:
        refuse_if_slow(plan_with(node), took)
    assert words in str(refusal.value)


def test_a_plan_that_only_counts_is_tried_with_its_count_alone(node: InstalledNode) -> None:
    plan = counting(plan_with(node), flags=(1, 3), noise_multiplier=9.0)
    approval = node.approve(plan)
    policy = read_policy(node.folder.policy).source(SOURCE).site_policy
    file = node.approvals.patients_file(approval)
    took = measured(plan, site=SITE, policy=policy, file=file, sha256=approval.patients_sha256)
    assert took.round_ == 0
    assert took.summary > 0
    assert took.reading > 0


@pytest.mark.parametrize("seconds", [0.03, 0.2, 0.9, 4.0, 12.0])
def test_the_time_that_is_named_is_a_coarse_one_and_would_do(node: InstalledNode, seconds: float) -> None:
    took = Seconds(0.0, seconds, 0.0)
    with pytest.raises(PrivacyRefusal) as refusal:
        refuse_if_slow(plan_with(node, round_=0.05), took)
    named = float(str(refusal.value).split("answer_seconds of ")[1].split()[0])
    assert named in STEPS_SECONDS
    refuse_if_slow(plan_with(node, round_=named), took)


def tried(node: InstalledNode, plan: StudyPlan, *clocks: Callable[[], float]) -> Seconds:
    approval = node.approve(plan)
    return measured(
        plan,
        site=SITE,
        policy=read_policy(node.folder.policy).source(SOURCE).site_policy,
        file=node.approvals.patients_file(approval),
        sha256=approval.patients_sha256,
        clocks=clocks,
    )


def test_reading_and_each_kind_of_answer_are_measured_and_nothing_is_charged(node: InstalledNode) -> None:
    ticks = iter([0, 3, 10, 12, 20, 24, 30, 37, 40, 46, 50, 58])
    slower = itertools.count(0, 9)
    took = tried(node, node.plan(), lambda: float(next(ticks)), lambda: float(next(slower)))
    assert took == Seconds(2.0, 6.0, 0.0)
    assert node.charges() == ()
    assert not node.folder.answers.exists() or not list(node.folder.answers.iterdir())


def test_a_calibration_round_is_measured_as_well(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It computes something else than the first round."""
    now = [0.0]

    def slowly(*given: Any) -> BoundedSum:
        now[0] += 50.0
        return calibration_sum(*given)

    monkeypatch.setattr(guard_module, "calibration_sum", slowly)
    plan = node.plan()
    calibrated = replace(plan, training=replace(plan.training, calibration_rounds=1))
    node.guard().offer_plan(node.offer(calibrated))
    assert tried(node, plan, lambda: now[0]).round_ == 0.0
    assert tried(node, calibrated, lambda: now[0]).round_ == 50.0


def test_a_calibration_round_of_tumour_entities_is_measured_as_well(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many entities it takes longer than any other round."""
    now = [0.0]

    def slowly(*given: Any) -> BoundedSum:
        now[0] += 50.0
        return entity_sum(*given)

    monkeypatch.setattr(guard_module, "entity_sum", slowly)
    plan = node.plan()
    levels = replace(plan.model, entity_levels=EntityLevels((0,), 1.0))
    training = replace(plan.training, rounds=5, calibration_rounds=4)
    privacy = replace(plan.privacy, noise_multiplier=12.0)
    by_entity = replace(plan, model=levels, training=training, privacy=privacy)
    approval = node.approve(plan)
    took = measured(
        by_entity,
        site=SITE,
        policy=read_policy(node.folder.policy).source(SOURCE).site_policy,
        file=node.approvals.patients_file(approval),
        sha256=approval.patients_sha256,
        clocks=(lambda: now[0],),
    )
    assert took.round_ == 50.0


@pytest.mark.parametrize("kind", [SummaryKind.COMPARISON, SummaryKind.VALUE])
def test_gains_are_measured_where_everybody_is_held_by_every_step(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch, kind: SummaryKind
) -> None:
    """With the first weights no model adds anything, and nobody is held: the shortest answer there is."""
    shares: list[Tensor] = []

    def held(*given: Any, **named: Any) -> Tensor:
        shares.append(shares_held(*given, **named))
        return shares[-1]

    monkeypatch.setattr(gain_sums, "shares_held", held)
    schema = here.SCHEMA.replace('"age"\nmodality = "clinical"', '"age"\nmodality = "laboratory"')
    monkeypatch.setattr(here, "SCHEMA", schema)
    plan = node.plan()
    model = replace(  # columns: sex and its flag, age and its flag
        plan.model,
        comparators=(Comparator("age", (2, 3), (3,), 0.5),),
        layers=(Layer("laboratory", (2, 3), (3,), ModalityEncoding().missing_weight),),
    )
    plan = replace(plan, model=model, held_out_fraction=0.2)
    plan = replace(plan, summaries=(gains_of(plan, kind, noise_multiplier=9.0),))
    node.guard().offer_plan(node.offer(plan))
    tried(node, plan, lambda: 0.0)
    assert float(torch.cat(shares).mean()) < 0.1


def test_a_plan_for_which_no_answer_can_be_made_is_refused(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("patient 47")

    monkeypatch.setattr(guard_module, "ascent_sum", fail)
    with pytest.raises(PrivacyRefusal, match="no answer to it can be made here") as refusal:
        tried(node, node.plan(), lambda: 0.0)
    assert "47" not in str(refusal.value)


def test_what_a_trial_refuses_is_not_approved_and_leaves_no_patient_behind(node: InstalledNode) -> None:
    seen: list[Path] = []

    def too_slow(file: Path, sha256: str) -> None:
        seen.append(file)
        assert file.exists()
        raise PrivacyRefusal("too slow")

    with pytest.raises(PrivacyRefusal, match="too slow"):
        node.approve(trial=too_slow)
    assert node.approvals.find(node.plan().hash) is None
    assert not seen[0].exists()
    before = node.approve()
    with pytest.raises(PrivacyRefusal, match="too slow"):
        node.approve(trial=too_slow)
    assert node.approvals.find(node.plan().hash) == before
    assert node.approvals.patients_file(before).exists()
