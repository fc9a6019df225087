"""Does a report of a plan that only counted say what was counted, and nothing of a model that there is not?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.html_pages import Page, unsafe
from tests.unit.server.report.fake_studies import BEGAN, fake_plan, fake_schema

from oncofed.protocol.plan import StudyPlan, TrainingSpec
from oncofed.protocol.readiness_layout import readiness_layout
from oncofed.server.report.page import render_report
from oncofed.server.report.status import status_lines
from oncofed.server.report.study import DeployedStudy, StudyEvent, state_in_words
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.study.readiness_settings import ReadinessRequest, readiness_summary

SCHEMA = fake_schema()


def plan() -> StudyPlan:
    trains = fake_plan(SCHEMA)
    spec = replace(readiness_summary(ReadinessRequest(), SCHEMA), noise_multiplier=12.0)
    privacy = replace(trains.privacy, reserve_rounds=0)
    return replace(trains, training=TrainingSpec(rounds=0), privacy=privacy, summaries=(spec,))


def counted_study() -> DeployedStudy:
    """2,000 patients, 700 events, albumin measured in three quarters; Dessau was away."""
    counts = plan()
    layout = readiness_layout(counts, counts.summaries[0])
    vector = np.array([2000 * 0.3, 700 * layout.event, (1500 - 500) * layout.flag])
    summaries = {"readiness": ReleasedSummary(vector, ("Aachen", "Bonn", "Coburg"))}
    return DeployedStudy(plan=counts, schema=SCHEMA, rounds=(), summaries=summaries)


def test_the_page_tells_counts_with_half_widths_and_no_section_of_a_model() -> None:
    html = render_report(counted_study())
    assert unsafe(html) == []
    text = " ".join(Page(html).text.split())
    # The noise of three hospitals, each in full: 1.96 * 12 * sqrt(3), over 0.3 and 0.45. Of a share of 3 / 4 over twice
    # 2,000 patients, both over 0.84 and, since half as many are measured less unmeasured, half of that over 0.3.
    assert "Patients 2,000 136" in text
    assert "Events: os 700 91" in text
    assert "Measured: albumin 75 % 2 %" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "4 hospitals count who is there for os" in text
    assert "Aachen, Bonn, Coburg." in text
    assert "none: nothing is trained" in text
    for absent in (
        "How the rounds went",
        "The strongest weights",
        "How well it predicts",
        "not released yet",
        "Rounds done",
    ):
        assert absent not in text


def test_before_it_is_counted_the_page_says_so() -> None:
    text = Page(render_report(replace(counted_study(), summaries={}))).text
    assert "Not counted yet." in text
    assert "not counted yet" in text


def test_the_state_is_that_of_the_count() -> None:
    done, bare = counted_study(), replace(counted_study(), summaries={})
    started = StudyEvent(BEGAN, "started", "")
    assert done.finished
    assert not bare.finished
    assert state_in_words(done) == "finished; who is there is counted, and nothing was trained"
    assert state_in_words(bare) == "not started: nothing is counted yet"
    assert state_in_words(replace(bare, events=(started,))) == "under way: nothing is counted yet"
    stopped = replace(bare, events=(started, StudyEvent(BEGAN, "stopped", "too few")))
    assert state_in_words(stopped) == "stopped: nothing is counted yet; it can be resumed"


def test_status_lists_who_answered_the_count() -> None:
    lines = status_lines(counted_study())
    assert "answers to the count:" in lines
    assert "  Aachen     1" in lines
    assert "  Dessau     0" in lines
    assert lines[-1] == "model: none; this plan only counts who is there (`oncofed study readiness`)"
