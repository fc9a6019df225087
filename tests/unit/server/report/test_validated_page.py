"""Does a report of a plan that measures another study's model tell it by hospital, and nothing of a training?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.html_pages import Page, unsafe
from tests.summaries import calibration_of, released_model
from tests.unit.server.report.fake_studies import fake_plan, fake_schema
from tests.unit.server.report.test_released_calibration import released as sums_of

from oncofed.protocol.plan import PrivacyMode, SharedNoise, StudyPlan, TrainingSpec
from oncofed.server.report.page import render_report
from oncofed.server.report.status import status_lines
from oncofed.server.report.study import DeployedStudy, state_in_words

SCHEMA = fake_schema()


def plan() -> StudyPlan:
    trains = fake_plan(SCHEMA)
    first, *_, last = trains.model.grid.bounds
    spec = replace(calibration_of(trains, noise_multiplier=1.0, windows=(first, last)), smallest_shown=10.0)
    return replace(
        trains,
        training=TrainingSpec(rounds=0),
        privacy=replace(trains.privacy, reserve_rounds=0, noise_multiplier=1.0),
        summaries=(spec,),
        validates=released_model(np.zeros(trains.model.parameters)),
    )


def measured_study() -> DeployedStudy:
    """Four hospitals' own sums, of which the fourth part of all is each."""
    asked = plan()
    whole = sums_of(asked, ratio=1.3, slope=0.7)
    sites = asked.roster
    parts = {site: whole.vector * weight for site, weight in zip(sites, (0.4, 0.3, 0.2, 0.1), strict=True)}
    assert asked.validates is not None
    return DeployedStudy(
        plan=asked,
        schema=SCHEMA,
        rounds=(),
        weights=np.zeros(asked.model.parameters),
        model_sha256=asked.validates.sha256,
        signature=asked.validates.signature,
        summaries={"calibration": replace(whole, answered=sites, parts=parts)},
    )


def test_the_page_tells_figures_by_hospital_and_for_the_next_one() -> None:
    study = measured_study()
    html = render_report(study)
    assert unsafe(html) == []
    text = " ".join(Page(html).text.split())
    for words in (
        "4 hospitals measure a model that they did not train for os",
        "Observed over expected events 1.30",
        "Who answered Aachen, Bonn, Coburg, Dessau.",
        "hospitals that did not train the model. All of it is privately released.",
        "none of them trained the model",
        "One more hospital",
        "Case mix",
        "On all patients of hospitals that did not train the model",
        "none: it measures a model of another plan",
    ):
        assert words in text, words
    assert study.plan.validates is not None
    assert study.plan.validates.coordinator_public_key in text
    for absent in ("How the rounds went", "Rounds done", "after the last round", "Patients counted", "set aside"):
        assert absent not in text, absent


def test_under_masks_the_page_says_that_nothing_is_known_of_one_hospital() -> None:
    study = measured_study()
    shares = SharedNoise(sites=4, dropouts=0, colluding=1)
    privacy = replace(study.plan.privacy, mode=PrivacyMode.DISTRIBUTED, shares=shares)
    (released,) = study.summaries.values()
    masked = replace(
        study, plan=replace(study.plan, privacy=privacy), summaries={"calibration": replace(released, parts={})}
    )
    text = Page(render_report(masked)).text
    assert "Nothing is known of a single hospital, or of the next." in text
    assert "Case mix" not in text


@pytest.mark.parametrize("bare", [True, False])
def test_the_state_is_that_of_the_figures(bare: bool) -> None:
    study = replace(measured_study(), summaries={}) if bare else measured_study()
    said = (
        "not started: nothing is measured yet" if bare else "finished; the model is measured, and nothing was trained"
    )
    assert state_in_words(study) == said
    lines = status_lines(study)
    assert "answers about the model:" in lines
    assert study.plan.validates is not None
    assert f"model: of another study, SHA-256 {study.plan.validates.sha256}" in lines[-1]
    if bare:
        text = Page(render_report(study)).text
        assert "Not released yet." in text
        assert "not measured yet" in text
