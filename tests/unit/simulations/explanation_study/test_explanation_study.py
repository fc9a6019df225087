"""Do the study's measures tell a good explanation from a bad one, and does its command run to the end?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, Role
from oncofed.cohort.validation import validate
from oncofed.explanation.interaction_evidence import InteractionEvidence
from oncofed.explanation.interactions import ModelInteractions
from oncofed.explanation.relevance import marker_relevance
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.explanation_study.__main__ import explanation_study
from oncofed.simulations.explanation_study.fidelity import areas, methods
from oncofed.simulations.explanation_study.interaction_strength import InteractionStrength, PairPrior
from oncofed.simulations.explanation_study.players import Players, sampled_shapley
from oncofed.simulations.explanation_study.recovery import marker_recovery, pair_recovery
from oncofed.simulations.explanation_study.stability import agreement, shuffled
from oncofed.simulations.synthetic.consortium import generate
from oncofed.simulations.synthetic.hazard import LogHazardRatio, death
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork, load_parameter_vector, parameter_count

GRID = TimeGrid((0, 6, 12, 24))
COLUMNS = tuple(Column(f"marker_{index // 2}", Role.VALUE, 1.0) for index in range(12))


def trained_network(hidden_units: tuple[int, ...] = (5,), *, seed: int = 3, columns: int = 12) -> PrognosisNetwork:
    spec = ModelSpec(columns, ("death",), GRID, (0.01,), hidden_units)
    network = PrognosisNetwork(spec, initialisation_seed=None)
    load_parameter_vector(network, np.random.default_rng(seed).normal(size=parameter_count(spec)))
    return network


def patients(count: int = 30) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(5).normal(size=(count, 12)))


def test_inserting_and_deleting_is_what_the_network_says_of_such_patients() -> None:
    for hidden_units in ((), (5,), (6, 4)):
        network, x = trained_network(hidden_units), patients(4)
        players = Players.of(network, x, COLUMNS, endpoint=0)
        order = np.random.default_rng(1).permuted(np.tile(np.arange(6), (4, 1)), axis=1)
        inserted, deleted = players.inserted(order), players.deleted(order)
        for patient in range(4):
            for known in range(7):
                mask = torch.zeros(12, dtype=torch.float64)
                for player in order[patient, :known]:
                    mask[2 * player : 2 * player + 2] = 1.0
                with torch.no_grad():
                    expected = [float(network(x[[patient]] * part)[0, 0]) for part in (mask, 1 - mask)]
                np.testing.assert_allclose([inserted[patient, known], deleted[patient, known]], expected, atol=1e-12)


def test_sampled_shapley_values_are_exact_where_markers_are_added_up_and_complete_everywhere() -> None:
    x, rng = patients(5), np.random.default_rng(2)
    linear, network = trained_network(()), trained_network()
    assert linear.linear_branch is not None
    exact = (x * linear.linear_branch.weight[0].detach()).numpy()
    found = sampled_shapley(Players.of(linear, x, COLUMNS, endpoint=0), orders=4, rng=rng)
    np.testing.assert_allclose(found, exact[:, ::2] + exact[:, 1::2], atol=1e-12)
    totals = sampled_shapley(Players.of(network, x, COLUMNS, endpoint=0), orders=4, rng=rng).sum(axis=1)
    np.testing.assert_allclose(totals, network(x)[:, 0].detach().numpy(), atol=1e-12)


def test_areas_prefer_the_truth_to_a_flipped_a_shuffled_and_a_half_explanation() -> None:
    network, x = trained_network(), patients()
    players = Players.of(network, x, COLUMNS, endpoint=0)
    _, good = marker_relevance(network, x, COLUMNS, endpoint=0)
    linear = trained_network()
    linear.relu_branch = None
    _, half = marker_relevance(linear, x, COLUMNS, endpoint=0)
    best = areas(players, good, markers=3)
    for worse in (-good, np.roll(good, 1, axis=1), half):
        found = areas(players, worse, markers=3)
        assert found.deletion.mean() < best.deletion.mean()
        assert found.insertion.mean() < best.insertion.mean()


def test_every_method_is_measured_and_captums_rules_leave_no_trace() -> None:
    network, x = trained_network(), patients(6)
    players = Players.of(network, x, COLUMNS, endpoint=0)
    before = network(x).detach().clone()
    found = {
        name: explain() for name, explain in methods(network, x, COLUMNS, players, rng=np.random.default_rng(1)).items()
    }
    assert {each.shape for each in found.values()} == {(6, 6)}
    np.testing.assert_allclose(found["epsilon rule"], found["gradient x input"], atol=1e-9)
    (integrated,) = (each for name, each in found.items() if name.startswith("integrated"))
    np.testing.assert_allclose(found["epsilon rule"], integrated, atol=1e-9)
    assert np.abs(found["averaged rule"] - found["epsilon rule"]).max() > 0.1
    assert torch.equal(network(x).detach(), before)


def test_agreement_knows_the_same_from_another_and_shuffling_makes_it_another() -> None:
    network, x = trained_network((5,)), patients()
    _, one = marker_relevance(network, x, COLUMNS, endpoint=0)
    assert (agreement(one, one).order, agreement(one, one).patients) == (1.0, 1.0)
    for linear, hidden in ((True, False), (False, True)):
        other = shuffled(network, linear=linear, hidden=hidden, generator=torch.Generator().manual_seed(1))
        assert agreement(one, marker_relevance(other, x, COLUMNS, endpoint=0)[1]).patients < 0.9
    same = shuffled(network, linear=False, hidden=False, generator=torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(marker_relevance(same, x, COLUMNS, endpoint=0)[1], one)


def test_a_patients_first_markers_agree_if_they_are_the_same_and_on_the_same_side() -> None:
    one = np.tile(np.arange(1.0, 31.0), (3, 1))  # the first ten are the last ten players
    one[:, ::2] *= -1
    other = one.copy()
    other[0, 20:25] *= -1
    other[1] = one[1, ::-1]
    assert agreement(one, one).of_a_patient == 1.0
    assert agreement(one, other).of_a_patient == pytest.approx((0.5 + 0 + 1) / 3)


def synthetic() -> tuple[Cohort, LogHazardRatio]:
    made = generate(patients=400, hospitals=2, seed=5)
    return validate(made.table, made.schema, where="synthetic"), death()


def test_the_true_contributions_recover_themselves_and_flipped_ones_point_the_wrong_way() -> None:
    cohort, truth = synthetic()
    names = tuple(marker.name for marker in cohort.schema.markers)
    contributions = truth.contributions(cohort.schema, cohort.values)
    found = marker_recovery(truth, names, contributions, cohort)
    assert (found.found, found.directed, found.missed) == (30, 30, ())
    flipped = marker_recovery(truth, names, -contributions, cohort)
    assert (flipped.found, flipped.directed) == (30, 0)
    assert marker_recovery(truth, names[::-1], contributions, cohort).found < 15


def test_true_pairs_are_counted_among_the_first_and_false_ones_among_the_claimed() -> None:
    cohort, truth = synthetic()
    names = tuple(marker.name for marker in cohort.schema.markers)
    place = {name: index for index, name in enumerate(names)}
    strength = np.zeros((len(names), len(names)))
    spread = truth.interaction_contributions(cohort.schema, cohort.values).std(axis=0)
    for pair, size in zip(truth.interactions, spread, strict=True):
        strength[place[pair.first], place[pair.second]] = strength[place[pair.second], place[pair.first]] = size
    q = np.where(strength > 0, 0.01, 1.0)
    q[0, 5] = q[5, 0] = 0.04
    evidence = InteractionEvidence(names, -strength, q, q, strength, q)
    likely = InteractionStrength(names, np.roll(strength, 1, axis=(0, 1)), PairPrior(-7.0, 0.0, 0.05))
    model = ModelInteractions(names, strength[::-1, ::-1].copy(), strength)
    found = pair_recovery(truth, likely, evidence, model, cohort)
    assert (found.by_evidence, found.significant, found.false) == (20, len(truth.interactions) + 1, 1)
    assert found.by_model < 5
    assert found.by_strength < 5
    assert pair_recovery(truth, replace(likely, strength=strength), evidence, model, cohort).by_strength == 20


def test_the_command_runs_to_its_end(studies: Path, tmp_path: Path) -> None:
    settings = (
        "data.synthetic={patients = 120, hospitals = 2, seed = 3}",
        "training.rounds=2",
        "training.calibration_rounds=0",
        "model.calibration_by_entity=false",
        "privacy.mode=none",
    )
    arguments = [str(studies / "demo" / "study.toml"), "--patients", "10", "--trainings", "2"]
    arguments += [part for setting in settings for part in ("--set", setting)]
    arguments += [part for name in ("completeness", "stability", "recovery", "entities") for part in ("--only", name)]
    done = CliRunner().invoke(explanation_study, [*arguments, "--out", str(tmp_path / "figures.md")])
    assert done.exit_code == 0, done.output
    written = (tmp_path / "figures.md").read_text()
    assert "relevances miss f by at most" in written
    assert "direction right for" in written
    assert "| all | 96 |" in written
