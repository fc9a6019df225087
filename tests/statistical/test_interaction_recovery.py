"""Which true pairs does a consortium find, whether strong markers are the ones that interact, or any, or none at all?

The seeds below were used for nothing else: the order of pairs was chosen on the seeds 21 to 26. Because the invented
consortium has the same pairs under every seed, most of them between strong markers, the order is also asked for pairs
that lie anywhere, and for none. Each run prints its figures (`pytest -s`), which docs/explanations.md quotes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import oncofed.simulations.synthetic.consortium as made
from oncofed.cohort.cohort import Cohort
from oncofed.explanation.interaction_evidence import fit_additive_to, interaction_evidence, marker_values, own_spreads
from oncofed.explanation.interactions import ModelInteractions
from oncofed.simulations.explanation_study.interaction_strength import interaction_strength
from oncofed.simulations.explanation_study.recovery import PairRecovery, pair_recovery
from oncofed.simulations.explanation_study.trained import Trained
from oncofed.simulations.study import read_study
from oncofed.simulations.synthetic.effects import Interaction
from oncofed.simulations.synthetic.hazard import LogHazardRatio, death, standardised

pytestmark = pytest.mark.slow


def training_patients(seed: int, studies: Path) -> Cohort:
    overrides = [f"data.synthetic={{patients = 15726, hospitals = 20, seed = {seed}}}", "privacy.mode=none"]
    return Trained.of(read_study(studies / "demo" / "study.toml", overrides=overrides), times=0).train


def recovered(truth: LogHazardRatio, cohort: Cohort) -> tuple[PairRecovery, float]:
    """And the learnt heredity."""
    additive = fit_additive_to(cohort, endpoint=0)
    names, values = marker_values(cohort, additive)
    evidence = interaction_evidence(values, names=names, residual=additive.residual, expected=additive.expected)
    strength = interaction_strength(evidence, values=values, own_spreads=own_spreads(cohort, additive))
    nothing = np.zeros_like(strength.strength)
    found = pair_recovery(truth, strength, evidence, ModelInteractions(names, nothing, nothing), cohort)
    print(found, f"heredity {strength.prior.heredity:.2f}")
    return found, strength.prior.heredity


@pytest.mark.parametrize("seed", [8301, 8302, 8303, 8311, 8312, 8313])
def test_twelve_of_the_twenty_strongest_pairs_are_among_the_first_forty(seed: int, studies: Path) -> None:
    found, heredity = recovered(death(), training_patients(seed, studies))
    assert found.by_strength >= 12
    assert heredity > 1


@pytest.mark.parametrize("seed", [8321, 8322, 8323])
def test_pairs_that_lie_anywhere_are_found_as_by_the_evidence_alone(
    seed: int, studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = replace(death(), interactions=_anywhere(training_patients(seed, studies), seed))
    monkeypatch.setattr(made, "death", lambda: truth)
    found, heredity = recovered(truth, training_patients(seed, studies))
    assert heredity < 1
    assert found.by_strength >= found.by_evidence - 1
    assert found.by_evidence >= 5


@pytest.mark.parametrize("seed", [8331, 8332, 8333])
def test_where_no_pair_interacts_hardly_one_is_claimed(
    seed: int, studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = replace(death(), interactions=())
    monkeypatch.setattr(made, "death", lambda: truth)
    found, _ = recovered(truth, training_patients(seed, studies))
    assert found.significant <= 1  # one in twenty seeds may claim one


def _anywhere(cohort: Cohort, seed: int) -> tuple[Interaction, ...]:
    """As many pairs as the truth has and as strong, between any two markers that are often enough measured together."""
    rng = np.random.default_rng(seed)
    z = standardised(cohort.schema, cohort.values)
    strengths = np.sort(death().interaction_contributions(cohort.schema, cohort.values).std(axis=0))[::-1]
    chosen: dict[tuple[int, int], Interaction] = {}
    while len(chosen) < len(strengths):
        first, second = sorted(rng.choice(z.shape[1], size=2, replace=False).tolist())
        spread = float((z[:, first] * z[:, second]).std())
        if spread > 0.15:
            markers = cohort.schema.markers
            coefficient = float(rng.choice([-1, 1]) * strengths[len(chosen)] / spread)
            pair = Interaction(markers[first].name, markers[second].name, coefficient)
            chosen.setdefault((first, second), pair)
    return tuple(chosen.values())
