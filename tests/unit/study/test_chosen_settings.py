"""What does a plan choose where its study file names no settings, and what does it follow from?"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.unit.study.test_explanation_settings import MEMBERS, SCHEMA

from oncofed.cohort.encoding import columns as columns_of
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import Bounding, StudyPlan
from oncofed.ranges import unusual
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.server.deployment.study_commands import study
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.simulations.federation import plan_of as simulated_plan_of
from oncofed.simulations.study import read_study
from oncofed.study.chosen_settings import (
    EVENTS,
    OPEN,
    SPREAD,
    Expectation,
    chosen,
    expectation,
    left_open,
    noise_of_all,
    patients_told,
    settled,
)

REQUIRED = '[study]\nname = "small"\n[data]\nschema = "schema.toml"\n'
LOCAL = '[privacy]\nmode = "local"\nepsilon = 3\n'
SHARED = LOCAL.replace("local", "distributed") + "dropouts = 1\ncolluding = 1\n"
NONE = '[privacy]\nmode = "none"\n'
SIMULATED = '[sites]\npartition = "column"\n[evaluation]\nhorizon = 12\n'
ALL = """
[model]
hidden_units = [4]
baseline_weight = 1
[training]
rounds = 30
server_learning_rate = 0.02
weight_decay = 1
calibration_rounds = 0
[privacy]
mode = "local"
epsilon = 3
l2_norm_bound = 1
bounding = "clip"
"""


def written(folder: Path, text: str) -> Path:
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "study.toml").write_text(REQUIRED + text)
    return folder / "study.toml"


def plan_of(folder: Path, text: str) -> StudyPlan:
    consortium = read_consortium(written(folder, text))
    return plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")


@pytest.mark.parametrize("privacy", [LOCAL, SHARED, NONE], ids=["local", "distributed", "none"])
def test_the_required_keys_alone_make_a_plan_with_every_number_in_it(privacy: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, privacy)
    training = plan.training
    assert training.rounds == 120
    assert training.server_learning_rate in (0.012, 0.013)
    assert 0 < training.weight_decay < 1_000
    assert plan.model.baseline_weight == 0.5
    assert plan.privacy.bounding is (Bounding.CLIP if privacy == NONE else Bounding.STOPPED)
    assert (plan.privacy.l2_norm_bound is None) == (privacy == NONE)
    assert strategy_faults(plan) == ()
    # Two digits: somebody may write it down.
    for number in (training.server_learning_rate, training.weight_decay):
        assert float(f"{number:.2g}") == number


def test_a_file_that_names_all_has_the_hashes_of_before(tmp_path: Path) -> None:
    # As they were written before anything could be left open.
    assert plan_of(tmp_path, ALL).hash == "7f57653eaafe9b6627023f9e1cc34e8300698f5534928767de4d5f372545805d"
    path = written(tmp_path, ALL + SIMULATED)
    path.write_text(path.read_text().replace('schema = "schema.toml"', "[data.synthetic]\npatients = 200"))
    assert read_study(path).hash == "0066fcb173407d53e2922a62cacc43fcf34bc22ff78bb89b9caf3af3242847db"
    assert (
        read_study(path, overrides=["study.expected_patients=200"]).hash
        != "0066fcb173407d53e2922a62cacc43fcf34bc22ff78bb89b9caf3af3242847db"
    )


def test_what_is_named_is_kept_and_the_others_follow_from_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, LOCAL + "l2_norm_bound = 3\n[training]\nrounds = 40\n[model]\nhidden_units = [3]\n")
    assert (plan.training.rounds, plan.model.hidden_units, plan.privacy.l2_norm_bound) == (40, (3,), 3.0)
    assert plan.training.server_learning_rate in (0.035, 0.04)
    free = plan_of(tmp_path, LOCAL)
    assert plan.training.weight_decay < free.training.weight_decay  # of sums in larger bounds


def test_the_bound_is_that_of_the_bounding_whoever_chose_it(tmp_path: Path) -> None:
    """Whom a clip cuts is cut at a usual length, 2; whom covariates bound, at any smaller one (docs/study.md)."""
    for named, bounding, bound in (
        ("", Bounding.STOPPED, 1.0),
        ('bounding = "stopped"\n', Bounding.STOPPED, 1.0),
        ('bounding = "clip"\n', Bounding.CLIP, 2.0),
    ):
        privacy = plan_of(tmp_path, SHARED + named).privacy
        assert (privacy.bounding, privacy.l2_norm_bound) == (bounding, bound)


@pytest.mark.parametrize(
    "training", ['mode = "epochs"', 'mode = "full_batch"\nstrategy = "median"', 'strategy = "fedavg"']
)
def test_of_other_strategies_the_settings_are_the_usual_ones(training: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"{LOCAL}[training]\n{training}\n")
    usual = (plan.training.rounds, plan.training.server_learning_rate, plan.training.weight_decay)
    assert usual == (60, 0.03, 0.0)
    assert plan.training.calibration_rounds == 0
    assert plan.privacy.bounding is (Bounding.CLIP if "epochs" in training else Bounding.STOPPED)
    assert strategy_faults(plan) == ()


def test_what_is_left_open_is_read_off_the_file() -> None:
    assert left_open({}) == OPEN
    assert left_open({"training": {"rounds": 3}, "model": "no section"}) == tuple(
        key for key in OPEN if key != "training.rounds"
    )


@pytest.mark.parametrize("privacy", [LOCAL, SHARED], ids=["local", "distributed"])
def test_the_noise_that_is_reckoned_with_is_the_plans(privacy: str, tmp_path: Path) -> None:
    consortium, plan = read_consortium(written(tmp_path, privacy)), plan_of(tmp_path, privacy)
    of_all = release_of_round(plan).noise_of_sum(hospitals=4) / math.sqrt(plan.training.rounds)
    assert noise_of_all(consortium.settings.privacy, hospitals=4) == pytest.approx(of_all, rel=2e-3)


def test_the_decay_is_the_one_that_estimates_normal_weights_best() -> None:
    """Against drawn weights: one column's gradient I (w* - w) + noise, from which a penalised w is estimated."""
    rng = np.random.default_rng(5)
    for information, noise in ((400.0, 4.0), (100.0, 20.0), (40.0, 30.0)):
        columns = 30
        deviation = SPREAD / math.sqrt(columns)  # of standardised columns
        truth = rng.normal(scale=deviation, size=200_000)
        gradient = information * truth + rng.normal(scale=math.sqrt(information + noise**2), size=truth.size)
        expected = Expectation(1_000, 4, columns, columns, information, noise, 1.0)
        penalty = columns / SPREAD**2 / expected.left
        errors = [
            float(np.square(gradient / (information + factor * penalty) - truth).mean()) for factor in (0.7, 1.0, 1.4)
        ]
        assert errors[1] < min(errors[0], errors[2])


def test_less_is_left_and_the_decay_rises_where_patients_are_fewer_or_epsilon_smaller(tmp_path: Path) -> None:
    settings = read_consortium(written(tmp_path, SHARED)).settings
    schema = parse_schema(SCHEMA, where="schema")

    def of(patients: int, epsilon: float) -> tuple[float, float]:
        asked = replace(settings, expected_patients=patients, privacy=replace(settings.privacy, epsilon=epsilon))
        found = expectation(asked, schema, hospitals=20, baseline_weight=0.5)
        return found.left, settled(asked, schema, hospitals=20).training.weight_decay

    rising = [of(300, 0.5), of(300, 3.0), of(3_000, 3.0), of(30_000, 3.0)]
    assert rising == sorted(rising, key=lambda each: each[0])
    assert [each[1] for each in rising] == sorted((each[1] for each in rising), reverse=True)
    assert rising[0][1] > 1.5 * rising[-1][1]
    # By hand: a lung, skin or colon tumour (2/9 of variance each), three z-scores, flags of weight 0.03 that one in
    # five has; an event of three in ten.
    variances = [2 / 9, 2 / 9, 1.0, 1.0, 1.0, 0.03**2 * 0.16, 0.03**2 * 0.16]
    found = expectation(replace(settings, expected_patients=1_000), schema, hospitals=20, baseline_weight=0.5)
    assert found.squares == pytest.approx(sum(variances), rel=1e-12)
    assert found.information == pytest.approx(EVENTS * 1_000 * sum(each**2 for each in variances) / sum(variances))
    assert found.length == pytest.approx(math.sqrt(0.25 + sum(variances)))


def test_no_hospital_reads_that_what_was_chosen_is_unusual(tmp_path: Path) -> None:
    """One hospital and next to no epsilon: by the rule alone the decay would be 1,000, at a huge weight 70."""
    for text in (LOCAL.replace("3", "0.01"), LOCAL + "[model]\nbaseline_weight = 1000\n"):
        settings = read_consortium(written(tmp_path, text)).settings
        found = settled(settings, parse_schema(SCHEMA, where="schema"), hospitals=1).training
        assert found.weight_decay == 20
        assert unusual(found) == []


def test_a_study_of_no_hospital_is_a_fault(tmp_path: Path) -> None:
    for text in (LOCAL, ALL):
        consortium = read_consortium(written(tmp_path, text))
        with pytest.raises(InvalidInput, match=r"the study: has no hospital\. Admit at least one"):
            plan_for(consortium, members=(), coordinator_public_key=b"", bundle_sha256="")


def test_units_are_there_where_events_pay_for_them(tmp_path: Path) -> None:
    def of(privacy: str, patients: int) -> tuple[tuple[int, ...], Bounding]:
        path = written(tmp_path, privacy)
        path.write_text(path.read_text().replace('"small"', f'"small"\nexpected_patients = {patients}'))
        plan = plan_for(read_consortium(path), members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")
        return plan.model.hidden_units, plan.privacy.bounding

    assert of(LOCAL, 5_000) == ((16,), Bounding.STOPPED)
    assert of(LOCAL.replace("3", "0.05"), 5_000) == ((), Bounding.CLIP)
    assert of(LOCAL, 150) == ((), Bounding.CLIP)
    assert of(NONE, 5_000) == ((16,), Bounding.CLIP)
    assert of(NONE, 150) == ((), Bounding.CLIP)


def test_units_have_two_events_a_weight(tmp_path: Path) -> None:
    """3 in 10 of the patients have the event: 10,000 of them pay for 93 columns, 32 events each."""
    settings = replace(read_consortium(written(tmp_path, NONE)).settings, expected_patients=10_000)

    def of(columns: int) -> tuple[int, ...]:
        schema = parse_schema(SCHEMA, where="schema")
        markers = tuple(Marker(f"m{number}", Modality.DNA_MUTATION, Kind.BINARY) for number in range(columns // 2))
        schema = replace(schema, markers=markers)
        assert len(columns_of(schema)) == columns, "each has a flag of its own"
        return settled(settings, schema, hospitals=3).hidden_units

    assert of(92) == (16,)
    assert of(94) == ()


def test_of_a_simulation_one_digit_of_its_patients_is_looked_at(tmp_path: Path) -> None:
    path = written(tmp_path, LOCAL + SIMULATED)
    path.write_text(path.read_text().replace('schema = "schema.toml"', "[data.synthetic]\npatients = 200"))
    asked, schema = read_study(path), parse_schema(SCHEMA, where="schema")
    plans = [simulated_plan_of(asked, schema, roster=("a", "b", "c"), patients=count) for count in (451, 549, 551)]
    assert [patients_told(count) for count in (20_034, 549, 551, 7)] == [20_000, 500, 600, 7]
    assert plans[0] == plans[1]
    assert plans[1].training.weight_decay != plans[2].training.weight_decay


def test_validate_and_plan_budget_say_what_was_chosen_and_why(tmp_path: Path) -> None:
    path = written(tmp_path, SHARED + 'bounding = "clip"\n')
    told = CliRunner().invoke(study, ["validate", str(path)], catch_exceptions=False).output
    choices = chosen(read_consortium(path).settings, parse_schema(SCHEMA, where="schema"), hospitals=3)
    assert [each.key for each in choices] == [key for key in OPEN if key != "privacy.bounding"]
    assert "Left open in the file, and chosen:" in told
    assert "[training] rounds = " in told
    assert "750 patients at 3 hospitals, 7 columns, noise leaves" in told
    budget = ["plan-budget", str(path), "--sites", "9", "--patients", "400", "--event-rate", "0.3"]
    told = CliRunner().invoke(study, budget, catch_exceptions=False).output
    assert "3,600 patients at 9 hospitals" in told
    whole = CliRunner().invoke(study, ["validate", str(written(tmp_path, ALL))], catch_exceptions=False).output
    assert "Left open" not in whole


@pytest.mark.parametrize("strategy", ["fedadam", "fedyogi", "fedadagrad"])
def test_of_each_strategy_that_scales_its_steps_rounds_and_steps_are_chosen(strategy: str, tmp_path: Path) -> None:
    """docs/study.md: they take a step of about the learning rate whatever the gradient's length."""
    training = plan_of(tmp_path, f'{LOCAL}[training]\nstrategy = "{strategy}"\n').training
    assert (training.rounds, training.calibration_rounds) == (120, 24)  # the schema names a tumour entity


def test_a_model_without_a_linear_part_has_units_however_few_events_pay_for_them(tmp_path: Path) -> None:
    assert plan_of(tmp_path, f"{LOCAL}[model]\nlinear_branch = false\n").model.hidden_units == (16,)
    assert plan_of(tmp_path, LOCAL).model.hidden_units == ()


def test_where_hospitals_weigh_differently_nothing_is_calibrated_in_rounds(tmp_path: Path) -> None:
    """The server refuses both together (`strategy_faults`)."""
    plan = plan_of(tmp_path, f"{LOCAL}[training]\nsite_weights = [1, 2, 1, 1]\n")
    assert plan.training.calibration_rounds == 0
    assert strategy_faults(plan) == ()


def test_a_bound_is_kept_whichever_bounding_is_chosen_and_the_decay_is_of_its_unit(tmp_path: Path) -> None:
    """Sums come in bounds, but a patient's row is no longer than its own length: 1.93 here (root of 1/4 and S)."""
    decays = {
        bound: plan_of(tmp_path, f"{LOCAL}l2_norm_bound = {bound}\n").training.weight_decay for bound in (1, 3, 6)
    }
    assert decays[3] / decays[6] == pytest.approx(2, rel=0.05)
    assert decays[1] / decays[6] == pytest.approx(6 / math.sqrt(0.25 + 3 + 4 / 9), rel=0.05)
