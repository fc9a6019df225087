"""Who is set aside at an installed hospital, and does that stay so over restarts, approvals and studies?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.doubles import round_contribution
from tests.installed_node import SITE, InstalledNode, installed_node, table
from tests.summaries import evaluation_of, summary_request

from oncofed.client.guard.public_times import NoPace
from oncofed.client.patients.held_out_split import HeldOutSplit, split_name, split_secret
from oncofed.client.patients.summaries import bounded_sum
from oncofed.cohort.schema_file import parse_schema
from oncofed.cohort.validation import validate
from oncofed.errors import PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.noise import NoNoise
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.messages import SummariseRequest
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.likelihood import PatientTensors, patient_tensors

FRACTION = 0.3


def measuring(plan: StudyPlan, *, noise_multiplier: float = 9.0) -> StudyPlan:
    summary = evaluation_of(plan, noise_multiplier=noise_multiplier, attempts=1)
    return replace(plan, summaries=(summary,), held_out_fraction=FRACTION)


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as node:
        node.set_policy("smallest_noise_multiplier = 5.0", "smallest_noise_multiplier = 5.0\nallow_no_privacy = true")
        yield node


def approved(node: InstalledNode, plan: StudyPlan) -> StudyPlan:
    node.guard().offer_plan(node.offer(plan))
    node.approve(plan)
    return plan


def plain(node: InstalledNode) -> StudyPlan:
    """Mode none, so that who is in a sum can be seen."""
    return measuring(
        replace(node.plan(), privacy=without_privacy(l2_norm_bound=None)),
        noise_multiplier=0.0,
    )


def request(plan: StudyPlan, *, attempt: int = 0) -> SummariseRequest:
    return summary_request(plan, site=SITE, attempt=attempt)


def all_patients(node: InstalledNode) -> tuple[tuple[str, ...], PatientTensors]:
    cohort = validate(table(), parse_schema(node.document().schema_toml, where="schema"), where="table")
    return cohort.patient_ids, patient_tensors(cohort)


def test_an_answer_to_a_summary_has_the_time_of_summaries(node: InstalledNode) -> None:
    told: list[tuple[str, float]] = []

    class Pace(NoPace):
        def begins(self, seconds: float) -> None:
            told.append(("begins", seconds))

    plan = approved(node, replace(measuring(node.plan()), answer_seconds=0.07, summary_answer_seconds=0.9))
    guard = node.guard(pace=Pace())
    guard.summarise(request(plan))
    guard.contribute(node.request(plan))
    assert told == [("begins", 0.9), ("begins", 0.07)]


def test_who_is_measured_is_never_trained_on_and_nobody_is_lost(node: InstalledNode) -> None:
    plan = approved(node, plain(node))
    ids, patients = all_patients(node)
    secret = node.folder.held_out_secret.read_bytes()
    set_aside = HeldOutSplit(secret, "registry", FRACTION).held_out(ids)
    assert 0.15 < set_aside.mean() < 0.45
    asked = request(plan)
    measured = node.guard().summarise(asked)
    expected = bounded_sum(plan, plan.summaries[0], asked.weights, patients.rows(torch.as_tensor(set_aside)))
    np.testing.assert_array_equal(measured.vector, expected.vector)
    assert not measured.noised
    # The gradient of a round is that of the others: with everybody it is another one.
    trained = node.guard().contribute(node.request(plan)).vector
    everybody = replace(plan, summaries=(), held_out_fraction=0.0)
    approved(node, everybody)
    of_all = node.guard().contribute(node.request(everybody)).vector

    def gradient(rows: np.ndarray) -> np.ndarray:
        weights = node.request(plan).weights
        return round_contribution(plan, weights, patients.rows(torch.as_tensor(rows)), noise=NoNoise(seed=0))

    np.testing.assert_allclose(trained, gradient(~set_aside), atol=1e-9)
    np.testing.assert_allclose(of_all - trained, gradient(set_aside), atol=1e-9)


def test_a_measurement_is_charged_once_and_refused_beyond_its_attempts(node: InstalledNode) -> None:
    plan = approved(node, measuring(replace(node.plan(), privacy=replace(node.plan().privacy, epsilon=1.5))))
    first = node.guard().summarise(request(plan))
    assert first.noised
    assert node.guard().summarise(request(plan)).vector.tobytes() == first.vector.tobytes()
    assert [charge.identity for charge in node.charges()] == [f"{plan.hash}/{SITE}/summary/evaluation/0"]
    with pytest.raises(RequestRefused) as refused:
        node.guard().summarise(request(plan, attempt=1))
    assert refused.value.code is RefusalCode.ROUND_OUT_OF_RANGE
    for round_ in (1, 2, 3):  # and it takes nothing from the rounds
        node.guard().contribute(node.request(plan, round_=round_))
    node.guard().contribute(node.request(plan, round_=3, attempt=1))
    assert len(node.charges()) == 5


def test_an_approval_needs_the_secret_of_the_one_before(node: InstalledNode) -> None:
    plan = approved(node, plain(node))
    before = node.guard().summarise(request(plan)).vector
    kept = node.folder.held_out_secret.read_bytes()
    node.folder.held_out_secret.unlink()
    with pytest.raises(PrivacyRefusal, match="set other patients aside"):
        node.approve(plan)  # which makes another secret
    assert split_name(node.folder.held_out_secret.read_bytes()) != split_name(kept)
    # Who was set aside is written down, so that a running study needs the secret no more.
    assert node.guard().summarise(request(plan)).vector.tobytes() == before.tobytes()
    node.folder.held_out_secret.write_bytes(kept)
    node.approve(plan)


def test_declining_and_approving_again_keeps_the_split(node: InstalledNode) -> None:
    plan = approved(node, plain(node))
    node.approvals.decline(plan.hash, declined_by="Dr. A", now=datetime.now(UTC))
    node.folder.held_out_secret.unlink()
    with pytest.raises(PrivacyRefusal, match="set other patients aside"):
        node.approve(plan)


def test_a_study_that_measures_nobody_needs_no_secret(node: InstalledNode) -> None:
    approved(node, node.plan())
    assert not node.folder.held_out_secret.exists()


# The split itself

IDS = [f"MRN-{number:05d}" for number in range(4000)]


def test_each_patient_falls_by_its_own_identifier_alone() -> None:
    split = HeldOutSplit(b"k" * 32, "registry", 0.2)
    whole = split.held_out(IDS)
    assert abs(whole.mean() - 0.2) < 6 * (0.2 * 0.8 / 4000) ** 0.5
    assert (split.held_out(IDS[1000:]) == whole[1000:]).all()
    assert (split.held_out(IDS[::-1]) == whole[::-1]).all()
    larger = replace(split, fraction=0.5).held_out(IDS)
    assert (larger | ~whole).all()  # with a larger fraction nobody who was set aside is trained on
    for other in (replace(split, secret=b"l" * 32), replace(split, data_source="other")):
        together = (other.held_out(IDS) & whole).mean()
        assert abs(together - 0.04) < 6 * (0.04 * 0.96 / 4000) ** 0.5


def test_a_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "held_out.key"
    secret = split_secret(path)
    assert len(secret) == 32
    assert split_secret(path) == secret
    assert path.stat().st_mode & 0o077 == 0
