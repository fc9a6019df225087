"""What does the audit attack in tests? A consortium so small that every check takes a moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tests.doubles import calibrated_privacy, drawn_patients, model_spec, study_plan
from tests.summaries import evaluation_of

from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.policy import releases_of
from oncofed.protocol.plan import PrivacyMode, SharedNoise, StudyPlan, TrainingSpec
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import cells_of
from oncofed.simulations.audit.audit import Effort
from oncofed.simulations.audit.target import Target
from oncofed.simulations.masking_keys import simulated_member
from oncofed.survival.likelihood import PatientTensors

SMALL = Effort(
    noise_pairs=24, canary_runs=40, models=14, members=60, left_out=4, inverted=40, mask_pairs=6, summary_draws=800
)

COLUMNS, CATEGORIES = 120, 4
MODEL = model_spec(columns=COLUMNS, hidden_units=(16,), baseline_weight=0.5)


def small_plan(mode: PrivacyMode, *, rounds: int) -> StudyPlan:
    """Epsilon 1; of four hospitals where the noise is shared, rounded coarsely so that it shows."""
    roster = ("Bonn", "Celle", "Essen", "Hof")
    shares = SharedNoise(4, 1, 1) if mode is PrivacyMode.DISTRIBUTED else None
    training = TrainingSpec(rounds=rounds, server_learning_rate=0.05)
    privacy = calibrated_privacy(
        training,
        epsilon=1.0,
        delta=1e-5,
        l2_norm_bound=0.5,
        reserve_rounds=1,
        shares=shares,
        parameters=MODEL.parameters,
        scale_bits=20 if shares is None else 6,
    )
    plan = replace(study_plan(model=MODEL, training=training, privacy=privacy), roster=roster, quorum=4)
    return plan if shares is None else replace(plan, members=tuple(map(simulated_member, roster)))


def small_patients(n: int, *, seed: int) -> PatientTensors:
    """Each in one of a few categories, which stand in the first columns; normal markers behind."""
    patients = drawn_patients(MODEL, n, seed=seed)
    category = np.random.default_rng(seed).integers(CATEGORIES, size=n)
    x = patients.x.clone()
    x[:, :CATEGORIES] = torch.as_tensor(np.eye(CATEGORIES)[category])
    return replace(patients, x=x)


FEW_ROUNDS, ROUNDS_TO_OVERFIT = 4, 40


def small_target(mode: PrivacyMode, *, rounds: int = FEW_ROUNDS) -> Target:
    discrete = np.zeros(COLUMNS)
    discrete[:CATEGORIES] = 1.0
    return Target(small_plan(mode, rounds=rounds), small_patients(160, seed=1), small_patients(120, seed=2), discrete)


def small_target_with_summaries(mode: PrivacyMode) -> Target:
    """The same whose plan counts held-out patients and lets patients vote for markers, too."""
    target = small_target(mode)
    votes = VoteSpec(column_markers=tuple(range(COLUMNS)), markers=COLUMNS)
    cells = cells_of(SummaryKind.KEY_MARKERS, votes)
    markers = SummarySpec("key_markers", SummaryKind.KEY_MARKERS, cells, 9.0, votes=votes)
    plan = replace(target.plan, summaries=(evaluation_of(target.plan, noise_multiplier=9.0), markers))
    total = epsilon_of(releases_of(plan), delta=plan.privacy.delta)
    return replace(target, plan=replace(plan, privacy=replace(plan.privacy, epsilon=total + 1e-6)))
