"""When does a panel get more of the budget than it loses, by public numbers alone? Against arithmetic by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.study.test_budget import GUESS, SCHEMA, settings

from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.file_reading import read_declared
from oncofed.protocol.plan import PrivacyMode, TrainingMode
from oncofed.server.deployment.study_commands import study
from oncofed.study.budget import budget_in_words, offers
from oncofed.study.chosen_settings import OPEN, calibration_error, settled
from oncofed.study.panel_settings import (
    CALIBRATED_TO,
    MARKERS,
    PanelOffer,
    PanelRequest,
    decided,
    of_panel,
    panel_offer,
)
from oncofed.study.plan_settings import PlanSettings

AUTO = PanelRequest(auto=True)


def schema_of(*weights: float) -> StudySchema:
    """One number a marker, of that public weight."""
    markers = "".join(
        f"""
[[marker]]
name = "m{place}"
modality = "clinical"
weight = {weight}
kind = "continuous"
unit = "z"
plausible_range = [-10, 10]
centre = 0
scale = 1
"""
        for place, weight in enumerate(weights)
    )
    head = SCHEMA.partition("[modality.rna_expression]")[0] + 'missing_flags = "none"\n'
    return parse_schema(head + markers, where="schema.toml")


def asked(**privacy: object) -> PlanSettings:
    return replace(settings(**privacy), expected_patients=4_600)


def offer(weights: list[float], request: PanelRequest = AUTO, **privacy: object) -> PanelOffer:
    found = panel_offer(asked(**privacy), schema_of(*weights), hospitals=20, request=request)
    assert found is not None
    return found


def test_the_gain_is_of_the_rows_lengths_and_of_the_markers_with_the_largest_scales() -> None:
    """By hand: v^2 is the squares of baseline weight (1 by the settings, 1/2 chosen for a panel) and of all weights."""
    weights = [0.1] * 100 + [1.0] * 60
    found = offer(weights)
    assert found.markers == MARKERS == 40
    assert found.gain == pytest.approx(0.5 + 0.5 * (1 + 60 + 1) / (0.25 + 40))
    more = offer(weights, replace(AUTO, share=0.8))
    assert more.gain == pytest.approx(0.2 + 0.8 * (1 + 60 + 1) / (0.25 + 40))
    # What is shorter than the bound has noise of the bound: 2 for a clip, taken where there is little to learn.
    few = offer([0.1] * 200)
    assert few.gain == pytest.approx(0.5 + 0.5 * max(1 + 2, 4) / 4)


def test_two_halves_of_epsilon_3_are_2_03_each() -> None:
    """As docs/study.md has it."""
    first, second = offer([1.0] * 60).epsilon
    assert (round(first, 2), round(second, 2)) == (2.03, 2.03)
    assert offer([1.0] * 60, replace(AUTO, share=0.2)).epsilon[1] < 2.03 < offer([1.0] * 60, AUTO).epsilon[0] + 0.01


def test_a_panel_is_decided_for_where_it_gains_enough_and_noise_takes_something() -> None:
    many, few = schema_of(*[1.0] * 200), schema_of(*[1.0] * 60)

    def size(settings: PlanSettings, schema: StudySchema, request: PanelRequest = AUTO) -> int:
        return decided(settings, schema, hospitals=20, request=request)[0].markers

    assert size(asked(), many) == 40
    assert size(asked(), few) == 0, "60 markers are not much longer than 40"
    assert size(asked(epsilon=100.0, mode=PrivacyMode.DISTRIBUTED, colluding=2), many) == 0, "no noise to spare"
    assert size(asked(), schema_of(*[1.0] * 40)) == 0
    assert size(asked(mode=PrivacyMode.NONE, epsilon=None), many) == 0
    local_steps = replace(asked(), training=replace(asked().training, mode=TrainingMode.EPOCHS))
    assert size(local_steps, many) == 0
    assert decided(asked(), many, hospitals=20, request=PanelRequest(markers=7)) == (PanelRequest(markers=7), "")
    assert "maybe the better model" in decided(asked(), many, hospitals=20, request=AUTO)[1]
    assert "does not pay" in decided(asked(), few, hospitals=20, request=AUTO)[1]


def test_calibration_rounds_are_left_out_where_noise_makes_them_harmful() -> None:
    """By hand: 3.73 is the noise of epsilon 1 at delta 1e-5, times sqrt(2) for half of it, sqrt(20) for hospitals."""
    few = schema_of(*[1.0] * 40)
    request = PanelRequest(markers=40)
    noisy = of_panel(asked(epsilon=1.0), request, few, hospitals=20)
    fixed = settled(noisy, few, hospitals=20)
    assert fixed.training.calibration_rounds == 0
    assert fixed.training.rounds == 120
    by_hand = 3.73 * math.sqrt(2 * 20) * math.sqrt(120 / 3) * 2 / (0.3 * 4_600 * 0.65**2)
    assert fixed.privacy.l2_norm_bound == 2
    assert by_hand > CALIBRATED_TO
    assert calibration_error(fixed, few, hospitals=20) == pytest.approx(by_hand, rel=0.01)
    quiet = of_panel(asked(mode=PrivacyMode.DISTRIBUTED, dropouts=2, colluding=2), request, few, hospitals=20)
    assert settled(quiet, few, hospitals=20).training.calibration_rounds == 3


def test_without_calibration_rounds_a_panel_has_no_levels_of_entities() -> None:
    """Noise that makes three rounds harmful leaves enough of two entities, where patients are few."""
    head, _, rest = SCHEMA.partition("[modality.rna_expression]")[0].partition("[schema]\n")
    entity = """
[[marker]]
name = "tumour"
modality = "clinical"
kind = "categorical"
categories = ["lung", "bowel"]
reference_category = "lung"
"""
    numbers = "".join(
        f"""
[[marker]]
name = "m{place}"
modality = "clinical"
kind = "continuous"
unit = "z"
plausible_range = [-10, 10]
centre = 0
scale = 1
"""
        for place in range(39)
    )
    few = parse_schema(
        f'{head}[schema]\ntumour_entity = "tumour"\n{rest}missing_flags = "none"\n{entity}{numbers}', where="schema"
    )
    shared = {"mode": PrivacyMode.DISTRIBUTED, "dropouts": 2, "colluding": 2}
    noisy = replace(asked(epsilon=3.0, **shared), expected_patients=700)
    assert settled(replace(noisy, left_open=OPEN), few, hospitals=20).calibration_by_entity  # of itself
    fixed = settled(of_panel(noisy, PanelRequest(markers=40), few, hospitals=20), few, hospitals=20)
    assert fixed.training.calibration_rounds == 0
    assert not fixed.calibration_by_entity


def test_auto_and_a_size_are_one_too_many() -> None:
    for content, kept in (({"auto": True}, True), ({"markers": 9}, True), ({"auto": True, "markers": 9}, False)):
        faults: list[object] = []
        read_declared(PanelRequest, dict(content), where="study.toml", faults=faults)  # type: ignore[arg-type]
        assert (not faults) == kept, content


def test_the_plan_budget_says_what_a_panel_costs_and_when_it_is_the_better_model(tmp_path: Path) -> None:
    many = offers(settings(), schema_of(*[1.0] * 200), GUESS, epsilons=(3.0, 1.0))
    told = budget_in_words(many, GUESS)
    assert "Under noise a model of few markers may be the better one" in told
    gain = 0.5 + 0.5 * (1 + 200) / (0.25 + 40)
    line = next(each for each in told.splitlines() if "local, epsilon 3: a panel" in each)
    assert f"a panel of 40 has {gain:.1f} times the budget a marker" in line
    assert "maybe the better model (epsilon 2.03 for all markers, then 2.03 for the panel)" in line
    assert sum("a panel of 40 has" in each for each in told.splitlines()) == 4
    runner = CliRunner()
    assert runner.invoke(study, ["new", str(tmp_path / "new")]).exit_code == 0
    (tmp_path / "new" / "schema.toml").write_text(SCHEMA)
    command = ["plan-budget", str(tmp_path / "new" / "study.toml"), "--sites", "20", "--patients", "230"]
    answer = runner.invoke(study, [*command, "--event-rate", "0.3"])
    assert answer.exit_code == 0, answer.output
    assert "panel" not in answer.output, "of four markers there is no panel"


def test_what_noise_leaves_is_told_of_the_whole_budget() -> None:
    """By hand: events and information of chosen_settings, the noise of one release of epsilon 3 at delta 1e-5."""
    found = offer([1.0] * 200)
    information, noise = 0.3 * 4_600, 1.3808 * math.sqrt(20)  # 1.3808: analytic Gaussian mechanism at (3, 1e-5)
    assert found.left == pytest.approx(information / (information + noise**2 * 201), rel=0.05)
