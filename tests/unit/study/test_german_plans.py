"""Does whoever approves a plan read all of it in German, whatever the plan asks for?

Names that the plan and its schema give stand there as they were written, and fields of settings, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.german_reports import foreign, with_a_point, words_in
from tests.options_asked import ASKED, BENCHMARK
from tests.summaries import at_risk_of
from tests.unit.server.report import test_released_gains as of_gains
from tests.unit.server.report.fake_studies import fake_plan, fake_schema
from tests.unit.server.report.test_counted_page import plan as counting_plan
from tests.unit.server.report.test_measured import measured_plan
from tests.unit.server.report.test_released_calibration import calibrated_plan
from tests.unit.server.report.test_released_explanations import SCHEMA as OF_TUMOURS
from tests.unit.server.report.test_released_explanations import explained_plan
from tests.unit.server.report.test_validated_page import plan as validating_plan
from tests.unit.study import test_expected_effects as of_effects
from tests.unit.study.test_target_trial_settings import plan_of as options_plan

from oncofed.cohort.schema import StudySchema
from oncofed.protocol.plan import Bounding, PrivacyMode, SharedNoise, StudyPlan, TrainingMode
from oncofed.protocol.plan_words import plan_in_words
from oncofed.ranges import RANGES
from oncofed.simulations.synthetic.treated import treated_schema
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.time_shapes import TimeShapes
from oncofed.words.languages import language_called

GERMAN = language_called("de")
SCHEMA = fake_schema()
Made = Callable[[Path], tuple[StudyPlan, StudySchema]]


def trained(**privacy: object) -> StudyPlan:
    plan = fake_plan(SCHEMA)
    return replace(plan, privacy=replace(plan.privacy, **privacy))  # type: ignore[arg-type]  # of the test's own


def with_epochs() -> StudyPlan:
    plan = replace(measured_plan(), held_out_fraction=0.2)
    return replace(plan, training=replace(plan.training, mode=TrainingMode.EPOCHS))


def with_late_entry() -> StudyPlan:
    plan = measured_plan()
    return replace(plan, summaries=(at_risk_of(plan, noise_multiplier=4.0, attempts=2),))


def with_calibration_rounds() -> StudyPlan:
    plan = trained(bounding=Bounding.STOPPED)
    return replace(plan, training=replace(plan.training, calibration_rounds=2))


def with_neighbours() -> StudyPlan:
    plan = fake_plan(SCHEMA, sites=tuple("abcdefghi"))
    shares = SharedNoise(9, 1, 1, mask_neighbours=3)
    return replace(plan, privacy=replace(plan.privacy, mode=PrivacyMode.DISTRIBUTED, shares=shares))


def with_levels() -> StudyPlan:
    plan = with_calibration_rounds()
    return replace(plan, model=replace(plan.model, entity_levels=EntityLevels((1, 2), 1.0)))


def compared() -> StudyPlan:
    """Markers of which nothing tells that they are missing."""
    plan = of_gains.plan_of()
    return replace(plan, model=replace(plan.model, time_shapes=TimeShapes(1, 6.0, 1.0, ())))


PLANS: dict[str, Made] = {
    "trained": lambda _: (trained(), SCHEMA),
    "not private": lambda _: (fake_plan(SCHEMA, private=False), SCHEMA),
    "masked": lambda _: (trained(mode=PrivacyMode.DISTRIBUTED, shares=SharedNoise(4, 1, 1)), SCHEMA),
    "neighbours": lambda _: (with_neighbours(), SCHEMA),
    "levels": lambda _: (with_levels(), SCHEMA),
    "epochs": lambda _: (with_epochs(), SCHEMA),
    "late entry": lambda _: (with_late_entry(), SCHEMA),
    "calibrated": lambda _: (calibrated_plan(), SCHEMA),
    "calibration rounds": lambda _: (with_calibration_rounds(), SCHEMA),
    "gains": lambda _: (compared(), SCHEMA),
    "markers": lambda _: (explained_plan(), OF_TUMOURS),
    "counted": lambda _: (counting_plan(), SCHEMA),
    "validated": lambda _: (validating_plan(), SCHEMA),
    "options": lambda folder: (options_plan(folder, section=ASKED + BENCHMARK), treated_schema()),
    "effects": lambda folder: (
        of_effects.plan_of(folder, of_effects.SCHEMA.format(age=of_effects.AGE, stage=of_effects.STAGE)),
        of_effects.schema(),
    ),
}


def told(made: Made, folder: Path, **asked: int) -> tuple[str, set[str]]:
    """The words on one line, and the names among them."""
    plan, schema = made(folder)
    words = plan_in_words(plan, schema, parameters=12_345, say=GERMAN, **asked)
    names = [schema.name, plan.study, *plan.roster, *plan.released, plan.hash, *RANGES, "policy toml", "weight decay"]
    names += [each for marker in schema.markers for each in (marker.name, marker.unit, *marker.categories)]
    names += [marker.expected_source for marker in schema.markers]
    names += [*plan.model.endpoints, *(each.name for each in plan.summaries)]
    names += [each.name for each in plan.model.comparators]
    trial = plan.target_trial
    if trial is not None:
        names += [
            *trial.options,
            *trial.outcomes,
            trial.time_zero,
            trial.treatment,
            "show treatment comparison true",
            "target",
        ]
        names += ["" if trial.benchmark is None else trial.benchmark.source]
    return re.sub(r"[0-9a-f]{64}", "", words.replace("\n  ", " ")), words_in(names)


@pytest.mark.parametrize("name", PLANS)
def test_no_word_of_a_plan_is_another_languages_and_no_number_has_a_point(name: str, tmp_path: Path) -> None:
    words, names = told(PLANS[name], tmp_path)
    assert not foreign([words], names)
    assert not with_a_point([words])
    assert words.startswith("STUDIE ")


def test_figures_are_german() -> None:
    words, _ = told(PLANS["trained"], Path(), patients=400)
    assert "eine Liste von 12\N{NARROW NO-BREAK SPACE}345 Zahlen" in words
    assert "12,0 Patienten zusammen" in words
    assert "(3\N{NO-BREAK SPACE}% bei 400 Patienten)" in words  # 12 / 400


@pytest.mark.parametrize(
    ("taken", "name", "word"),
    [
        ("WHAT LEAVES: %(what)s No model is trained, and none comes.", "counted", "trained"),
        ("Taken into account: %(names)s.", "options", "Taken"),
        ("without any noise", "not private", "any"),
    ],
)
def test_a_text_that_is_taken_from_the_catalog_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, taken: str, name: str, word: str
) -> None:
    catalog = dict(GERMAN.translations._catalog)  # type: ignore[attr-defined]  # of gettext
    assert catalog.pop(taken)
    monkeypatch.setattr(GERMAN.translations, "_catalog", catalog)
    words, names = told(PLANS[name], tmp_path)
    assert word in foreign([words], names)
