"""What a budget buys, against patients, gradients and noise."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.calibration_cohorts import World, releases

from oncofed.client.patients.training import ascent_sum
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput
from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.plan import ModelSpec, PrivacyMode, StudyPlan, TrainingSpec
from oncofed.server.deployment.study_commands import study
from oncofed.study.budget import Guess, Offer, bought_by, budget_in_words, hazard_ratio_alone, offers
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings, PrivacyRequest
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors

SCHEMA = """
[schema]
name = "small"
patient_id = "id"
largest_encoded_value = 3.0
[time]
unit = "months"
interval_bounds = [0, 12, 60]
[[endpoint]]
name = "overall_survival"
time = "months"
event = "died"
baseline_hazard = 0.01
[modality.clinical]
weight = 1.0
[modality.rna_expression]
weight = 0.1
[[marker]]
name = "age"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 15
[[marker]]
names = ["a_rna", "b_rna", "c_rna"]
modality = "rna_expression"
kind = "continuous"
unit = "z"
plausible_range = [-10, 10]
centre = 0
scale = 1
"""
GUESS = Guess(sites=20, patients_per_site=230, event_rate=0.3)


@pytest.fixture(scope="module")
def schema() -> StudySchema:
    return parse_schema(SCHEMA, where="schema.toml")


def settings(**privacy: object) -> PlanSettings:
    request = PrivacyRequest(PrivacyMode.LOCAL, 3.0, 1e-5, 2.0, 0)
    asked = replace(request, **privacy)  # type: ignore[arg-type]
    return PlanSettings((), True, 1.0, TrainingSpec(rounds=60), asked, HeldOutRequest())


def the(found: tuple[Offer, ...], mode: PrivacyMode, epsilon: float, rounds: int) -> Offer:
    (one,) = [offer for offer in found if (offer.mode, offer.epsilon, offer.rounds) == (mode, epsilon, rounds)]
    return one


MIXED = (
    SCHEMA.replace('names = ["a_rna", "b_rna", "c_rna"]', 'names = ["a_rna"]\nweight = 8.0')
    + """
[[marker]]
names = ["b_rna", "c_rna"]
modality = "rna_expression"
kind = "continuous"
unit = "z"
plausible_range = [-10, 10]
centre = 0
scale = 1
[[marker]]
name = "stage"
modality = "laboratory"
kind = "categorical"
categories = ["one", "two", "three"]
reference_category = "one"
"""
)


def test_a_modality_is_judged_by_its_median_weight_a_category_by_half_a_step_and_no_flag_counts() -> None:
    """Oracle: E s^2 against the noise, with s of the column in the middle."""
    noise, events = 30.0, 500.0
    bought = {one.modality: one for one in bought_by(parse_schema(MIXED, where="x"), events=events, noise=noise)}
    spreads = {"clinical": 1.0, "rna_expression": 0.1, "laboratory": 0.5}  # of RNA: 0.8, 0.1 and 0.1
    for modality, spread in spreads.items():
        information = events * spread**2
        assert bought[modality].information_left == pytest.approx(information / (information + noise**2))
    assert {modality: one.columns for modality, one in bought.items()} == {
        "clinical": 1,
        "rna_expression": 3,
        "laboratory": 2,
    }


def test_a_tenth_of_the_hospitals_is_rounded_up_and_two_cannot_share_noise(schema: StudySchema) -> None:
    def shared(sites: int) -> list[Offer]:
        found = offers(settings(), schema, replace(GUESS, sites=sites), epsilons=(1.0,), rounds=(60,))
        return [one for one in found if one.mode is PrivacyMode.DISTRIBUTED]

    (eleven,) = shared(11)
    assert eleven.noise == pytest.approx(eleven.noise_multiplier * 2 * math.sqrt(11 / (11 - 2 - 2) / 60))
    assert len(shared(3)) == 1
    assert shared(2) == []


def test_the_information_left_is_what_noised_gradients_of_patients_give() -> None:
    """Oracle: patients with a known hazard, their real clipped sums, noise, one Newton step from the truth."""
    rng, patients, weight, columns = np.random.default_rng(4), 20_000, 0.3, 4
    grid = TimeGrid((0.0, 1.0))
    x = rng.normal(size=(patients, columns)) * weight
    time = rng.exponential(1 / 0.4, size=patients)
    died = time < 1
    tensors = PatientTensors.of(
        torch.as_tensor(x),
        torch.as_tensor(died[:, None, None] * 1.0),
        torch.as_tensor(np.minimum(time, 1)[:, None, None]),
    )
    model = ModelSpec(columns, ("death",), grid, (0.4,), hidden_units=())
    plan = StudyPlan("s", "0", model, TrainingSpec(), without_privacy(l2_norm_bound=1e6), ("only",), 1)
    gradient = ascent_sum(plan, np.zeros(model.parameters), tensors).vector[model.baseline_parameters :]
    information = x.T @ (x * np.minimum(time, 1)[:, None] * 0.4)
    noise = 40.0
    draws = rng.normal(scale=noise, size=(4000, columns))
    estimates = np.linalg.solve(information, (gradient + draws).T).T * weight  # per standard deviation
    # Sampling: the covariance of the estimate without noise is the inverse information.
    sampling = np.diag(np.linalg.inv(information)) * weight**2
    variance = estimates.var(axis=0) + sampling
    schema = parse_schema(SCHEMA.replace("weight = 0.1", f"weight = {weight}"), where="schema.toml")
    rna = bought_by(schema, events=float(died.sum()), noise=noise)[1]
    predicted = 1 / (died.sum() * rna.information_left)
    assert variance == pytest.approx(np.full(columns, predicted), rel=0.1)
    assert 0.2 < rna.information_left < 0.8, "the noise matters here, so forgetting it would be seen"
    assert math.log(rna.hazard_ratio) == pytest.approx(2.8 * math.sqrt(predicted))


def test_the_noise_is_that_of_plans_calibrated_to_epsilon(schema: StudySchema) -> None:
    found = offers(settings(), schema, GUESS, epsilons=(3.0, 1.0), rounds=(30, 60))
    for offer in found:
        if offer.mode is PrivacyMode.LOCAL:
            spent = epsilon_of([GaussianRelease(offer.noise_multiplier)] * offer.rounds, delta=1e-5)
            assert spent == pytest.approx(offer.epsilon, rel=1e-3)
            assert offer.noise == pytest.approx(offer.noise_multiplier * 2 * math.sqrt(20 / offer.rounds))


def test_calibration_rounds_move_no_weight_and_average_no_noise(schema: StudySchema) -> None:
    """Of 60 rounds, 15 are for level and spread: 45 gradients are averaged."""
    asked = settings()
    with_calibration = replace(asked, training=replace(asked.training, calibration_rounds=15))
    (offer, *_) = offers(with_calibration, schema, GUESS, epsilons=(3.0,), rounds=(60,))
    assert offer.mode is PrivacyMode.LOCAL
    assert offer.noise == pytest.approx(offer.noise_multiplier * 2 * math.sqrt(20 / 45))


def test_rounds_cost_nothing_and_sharing_divides_the_noise_by_the_root_of_the_guaranteed(schema: StudySchema) -> None:
    found = offers(settings(), schema, GUESS, epsilons=(1.0,), rounds=(30, 60))
    local, shared = the(found, PrivacyMode.LOCAL, 1.0, 60), the(found, PrivacyMode.DISTRIBUTED, 1.0, 60)
    assert the(found, PrivacyMode.LOCAL, 1.0, 30).noise == pytest.approx(local.noise, rel=1e-3)
    assert local.noise / shared.noise == pytest.approx(math.sqrt(20 - 2 - 2), rel=1e-3)


def test_a_reserve_for_repeated_rounds_costs_noise(schema: StudySchema) -> None:
    with_reserve = offers(settings(reserve_rounds=15), schema, GUESS, epsilons=(1.0,), rounds=(60,))
    without = offers(settings(), schema, GUESS, epsilons=(1.0,), rounds=(60,))
    assert with_reserve[0].noise / without[0].noise == pytest.approx(math.sqrt(75 / 60), rel=1e-3)


def test_a_study_that_shares_its_noise_keeps_its_own_dropouts_and_colluding(schema: StudySchema) -> None:
    own = settings(mode=PrivacyMode.DISTRIBUTED, dropouts=2, colluding=6)
    (shared,) = [
        one for one in offers(own, schema, GUESS, epsilons=(1.0,), rounds=(60,)) if one.mode is PrivacyMode.DISTRIBUTED
    ]
    assert shared.noise == pytest.approx(shared.noise_multiplier * 2 * math.sqrt(20 / 12 / 60))


def test_more_patients_make_small_weights_affordable(schema: StudySchema) -> None:
    small = offers(settings(), schema, GUESS, epsilons=(1.0,), rounds=(60,))[0]
    large = offers(settings(), schema, replace(GUESS, patients_per_site=2300), epsilons=(1.0,), rounds=(60,))[0]
    assert [one.is_affordable for one in small.bought] == [True, False]
    assert [one.is_affordable for one in large.bought] == [True, True]


def test_a_hospital_alone_has_its_own_events(schema: StudySchema) -> None:
    assert hazard_ratio_alone(GUESS) == pytest.approx(math.exp(2.8 / math.sqrt(69)))


def test_a_study_without_a_clip_norm_is_refused(schema: StudySchema) -> None:
    with pytest.raises(InvalidInput, match="l2_norm_bound"):
        offers(settings(l2_norm_bound=None), schema, GUESS, epsilons=(1.0,), rounds=(60,))


def test_the_command_reads_a_new_study_and_says_what_cannot_be_afforded(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(study, ["new", str(tmp_path / "new")]).exit_code == 0
    (tmp_path / "new" / "schema.toml").write_text(SCHEMA)
    command = ["plan-budget", str(tmp_path / "new" / "study.toml"), "--sites", "20", "--patients", "230"]
    answer = runner.invoke(study, [*command, "--event-rate", "0.3", "--epsilon", "1", "--rounds", "30,60"])
    assert answer.exit_code == 0, answer.output
    assert "1,380 events" in answer.output
    assert "Not affordable with local noise at epsilon 1 (below 5%): rna_expression." in answer.output
    assert "Not affordable with distributed" not in answer.output


def test_the_width_of_calibration_intervals_is_told_and_is_about_what_releases_have(schema: StudySchema) -> None:
    """Oracle: releases of patients who were drawn, with the noise of that very plan."""
    asked = replace(
        settings(mode=PrivacyMode.DISTRIBUTED, dropouts=2, colluding=2),
        held_out=HeldOutRequest(calibration_share=0.2, calibration_windows=()),
    )
    guess = replace(GUESS, patients_per_site=286, event_rate=0.57)
    found = offers(asked, schema, guess, epsilons=(3.0,), rounds=(60,))
    bought = the(found, PrivacyMode.DISTRIBUTED, 3.0, 60).calibration
    assert bought is not None
    assert bought.events == pytest.approx(0.2 * 0.9 * guess.events)
    seen = releases(World(), 60)
    for half, estimates in (
        (bought.ratio, [each.overall.ratio for each in seen]),
        (bought.slope, [each.slope for each in seen]),
    ):
        assert half == pytest.approx(np.mean([(e.high - e.low) / 2 for e in estimates if e is not None]), rel=0.2)
    assert all(offer.calibration is not None for offer in found)
    told = budget_in_words(found, guess)
    assert f"distributed, epsilon 3, 60 rounds: observed over expected {bought.ratio:.2f}, slope" in told
    assert "Calibration" not in budget_in_words(offers(settings(), schema, guess, epsilons=(3.0,), rounds=(60,)), guess)


def test_wrong_numbers_are_told_together(tmp_path: Path) -> None:
    runner = CliRunner()
    runner.invoke(study, ["new", str(tmp_path / "new")])
    (tmp_path / "new" / "schema.toml").write_text(SCHEMA)
    command = ["plan-budget", str(tmp_path / "new" / "study.toml"), "--sites", "20", "--patients", "230"]
    answer = runner.invoke(study, [*command, "--event-rate", "0.3", "--epsilon", "0,x", "--rounds", "1.5"])
    assert isinstance(answer.exception, InvalidInput)
    assert len(answer.exception.faults) == 3
