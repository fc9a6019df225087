"""With two masks a hospital, a simulated training is what it is with a real one's, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import calibrated_privacy, drawn_patients, drawn_weights, model_spec, study_plan
from tests.seeded_words import seeded_words

from oncofed.client.relay.relay import build_client_app
from oncofed.errors import PrivacyRefusal
from oncofed.privacy import noise as noise_module
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.masking import Attempt, MaskedVector, unmasked_sum
from oncofed.protocol.plan import SharedNoise, StudyPlan, TrainingSpec
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes
from oncofed.simulations.federation import LocalHospitals, MasksOf, simulated_guard
from oncofed.simulations.masking_keys import simulated_masks, simulated_member
from oncofed.simulations.ring_of_masks import RingMasks, ring_masks
from oncofed.simulations.site_policy import site_policy

LARGEST = 2**40


def drawn_study(seed: int) -> StudyPlan:
    rng = np.random.default_rng(seed)
    sites = tuple(f"H{number:02}" for number in range(int(rng.integers(2, 12))))
    missing = int(rng.integers(0, len(sites) - 1))
    colluding = int(rng.integers(0, len(sites) - missing))
    neighbours = 0 if seed % 2 else colluding + 1
    shares = SharedNoise(len(sites), missing, colluding, mask_neighbours=neighbours)
    model = model_spec(columns=int(rng.integers(2, 9)), endpoints=int(rng.integers(1, 3)))
    training = TrainingSpec(rounds=4, calibration_rounds=1)
    privacy = calibrated_privacy(
        training,
        epsilon=2.0,
        delta=1e-5,
        l2_norm_bound=0.7,
        reserve_rounds=0,
        shares=shares,
        parameters=model.parameters,
        scale_bits=int(rng.integers(8, 24)),
    )
    plan = study_plan(model=model, training=training, privacy=privacy)
    members = tuple(map(simulated_member, sites))
    return replace(plan, roster=sites, members=members, quorum=len(sites) - missing)


def weights_of_rounds(plan: StudyPlan, masks: MasksOf, *, seed: int, patch: pytest.MonkeyPatch) -> list[bytes]:
    patch.setattr(noise_module, "_words", seeded_words(seed))
    guards = tuple(
        simulated_guard(
            plan,
            site,
            drawn_patients(plan.model, 5 + 3 * number, seed=seed + number),
            MemoryLedger(site_policy(plan, site).budget),
            masks=masks,
        )
        for number, site in enumerate(plan.roster)
    )
    states: list[FederationState] = []
    server = build_server_app(
        plan=plan,
        nodes=lambda grid: find_nodes(grid, roster=plan.roster),
        start=initial_state(drawn_weights(plan.model, seed=seed)),
        checkpoint_folder=None,
        observer=lambda state, report: states.append(state),
    )
    client = answer_partition_queries(build_client_app(LocalHospitals(guards)))
    run_in_process(server, client, node_count=len(plan.roster))
    return [state.weights.tobytes() for state in states]


@pytest.mark.parametrize("seed", range(8))
def test_trainings_with_either_masks_are_the_same_bits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = drawn_study(seed)
    ring, all_pairs = (
        weights_of_rounds(plan, each, seed=seed, patch=monkeypatch) for each in (ring_masks, simulated_masks)
    )
    assert len(ring) == plan.training.rounds
    assert ring == all_pairs
    assert len(set(ring)) == len(ring), "else nothing was learned, and nothing compared"


def attempt_among(*sites: str, content: str = "") -> Attempt:
    return Attempt("a" * 64, 1, 0, sites, content)


def masked_by_ring(integers: dict[str, np.ndarray], of: Callable[[str], Attempt]) -> list[MaskedVector]:
    masks = RingMasks(frozenset(integers))
    named = attempt_among(*integers)
    return [MaskedVector(site, named, masks.of(of(site), own=site)(each, LARGEST)) for site, each in integers.items()]


@pytest.mark.parametrize("sites", [2, 3, 50])
def test_the_masked_sum_is_the_integer_sum_and_no_part_looks_unmasked(sites: int) -> None:
    rng = np.random.default_rng(sites)
    integers = {f"H{number:02}": rng.integers(-LARGEST, LARGEST + 1, 400) for number in range(sites)}
    integers["H00"][:2] = LARGEST, -LARGEST
    vectors = masked_by_ring(integers, lambda site: attempt_among(*integers))
    assert np.array_equal(unmasked_sum(vectors, largest_entry=LARGEST), sum(integers.values()))
    for vector in vectors:
        assert np.median(np.abs(vector.words.view(np.int64))) > 2.0**61


def test_a_hospital_that_was_sent_other_weights_is_noticed() -> None:
    integers = {f"H{number}": np.arange(30, dtype=np.int64) for number in range(4)}
    sites = tuple(integers)
    vectors = masked_by_ring(integers, lambda site: attempt_among(*sites, content="other" if site == "H2" else ""))
    with pytest.raises(PrivacyRefusal, match="did not cancel"):
        unmasked_sum(vectors, largest_entry=LARGEST)


def test_what_no_hospital_may_mask_is_refused_here_too() -> None:
    mask = RingMasks(frozenset({"A", "B"})).of(attempt_among("A", "B"), own="A")
    with pytest.raises(PrivacyRefusal, match="larger"):
        mask(np.array([LARGEST + 1]), LARGEST)
    with pytest.raises(PrivacyRefusal, match="64 bits"):
        mask(np.array([0]), 2**62)
    with pytest.raises(PrivacyRefusal, match="does not name"):
        RingMasks(frozenset({"A", "B"})).refuse_unless_fit(site="C")
