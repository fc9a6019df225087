"""Is the report of real hospitals German, whatever was released and whatever went wrong, and has it no decimal point?

Names of the schema, of hospitals and of what the plan says itself stand there as they were written. A cause that a run
wrote down in English is marked as that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.german_reports import foreign, read, with_a_point, words_in
from tests.unit.server.report import test_measured as of_measured
from tests.unit.server.report import test_page as of_page
from tests.unit.server.report import test_released_calibration as of_calibration
from tests.unit.server.report import test_released_explanations as of_markers
from tests.unit.server.report import test_released_gains as of_gains
from tests.unit.server.report.fake_studies import BEGAN, fake_plan, fake_schema, fake_study, row
from tests.unit.server.report.test_counted_page import counted_study
from tests.unit.server.report.test_validated_page import measured_study

from oncofed.errors import RefusalCode
from oncofed.protocol.plan import PrivacyMode, SharedNoise
from oncofed.server.report.page import render_report
from oncofed.server.report.study import DeployedStudy, StudyEvent
from oncofed.words.languages import language_called

GERMAN = language_called("de")


def troubled() -> DeployedStudy:
    """Every kind of event, and of reason why a hospital did not answer."""
    reasons = [
        *(f"refused: {code}" for code in RefusalCode),
        "no answer within 60 s",
        "no answer in time: it is slow or away, or a restart lost the question",
        "the answer was lost",
        "the node is unavailable",
        "answered 2 times",
        "node 7 answered in its place",
        "answered no question of this round",
        "sent a number larger than any hospital's can be",
        "said what nobody foresaw",
    ]
    plan = fake_plan(fake_schema(), rounds=len(reasons) + 2)
    rows = [row(number, ("Aachen",), {"Bonn": reason}) for number, reason in enumerate(reasons, start=1)]
    rows[0] = replace(rows[0], attempt=2)
    told = [
        ("started", "round 0; attempt 0"),
        ("plan", "said Aachen: approved; Bonn: offered; Coburg: no answer within 60 s"),
        ("interrupted", "the run before this one was killed, or the coordinator's machine stopped"),
        ("waiting", "round 5: 1 of 4 hospitals answered, 2 must.\n  - Bonn: gone"),
        ("waiting", "round 5: 1 of 4 hospitals answered, 2 must.\n  - Bonn: gone"),
        ("summary", "name evaluation; attempt 0; answered Aachen, Bonn"),
        ("no_summary", "evaluation: 1 of 4 hospitals answered"),
        ("delivered", "said Aachen: accepted; Bonn: refused"),
        ("finished", "round 3"),
        ("stopped", "The disk is full."),
    ]
    events = tuple(
        StudyEvent(BEGAN + timedelta(hours=hours), event, words) for hours, (event, words) in enumerate(told, start=9)
    )
    study = fake_study(done=0, plan=plan, rows=rows)
    delivered = {"Aachen": "accepted", "Bonn": "refused", "Coburg": "gone"}
    return replace(study, events=events, delivered=delivered, rounds_done=len(reasons) + 1)


def masked() -> DeployedStudy:
    plan = fake_plan(fake_schema())
    privacy = replace(plan.privacy, mode=PrivacyMode.DISTRIBUTED, shares=SharedNoise(4, 1, 1, mask_neighbours=2))
    return fake_study(plan=replace(plan, privacy=privacy))


def with_figures() -> DeployedStudy:
    plan = of_measured.measured_plan()
    return replace(fake_study(plan=plan), summaries={"evaluation": of_measured.released(plan)})


def with_calibration() -> DeployedStudy:
    plan = of_calibration.calibrated_plan()
    return replace(
        fake_study(plan=plan), summaries={"calibration": of_calibration.released(plan, ratio=0.6, slope=0.7)}
    )


def with_gains() -> DeployedStudy:
    plan = of_gains.plan_of()
    return replace(fake_study(plan=plan), summaries=of_gains.released(plan))


def not_released() -> DeployedStudy:
    return replace(with_figures(), summaries={})


STUDIES: dict[str, Callable[[], DeployedStudy]] = {
    **of_page.STUDIES,
    "troubled": troubled,
    "counted": counted_study,
    "not counted": lambda: replace(counted_study(), summaries={}),
    "validated": measured_study,
    "figures": with_figures,
    "not released": not_released,
    "calibration": with_calibration,
    "gains": with_gains,
    "markers": lambda: of_markers.study(of_markers.explained_plan()),
    "masked": masked,
}


def names_of(study: DeployedStudy) -> set[str]:
    plan, schema = study.plan, study.schema
    said = [schema.name, plan.study, *plan.roster, *plan.released, "oncofed", "UTC", "ε", "δ", "MB", "evaluation"]
    said += [each for marker in schema.markers for each in (marker.name, marker.unit, *marker.categories)]
    said += [*plan.model.endpoints, *(each.name for each in plan.summaries)]
    said += [each.name for each in plan.model.comparators]
    said += [plan.training.mode.value, plan.training.strategy.value, plan.privacy.mode.value, *RefusalCode]
    return words_in(said)


def page_of(study: DeployedStudy) -> list[str]:
    return read(render_report(study, say=GERMAN))


@pytest.mark.parametrize("name", STUDIES)
def test_no_word_of_it_is_another_languages_and_no_number_has_a_point(name: str) -> None:
    study = STUDIES[name]()
    page = page_of(study)
    assert not foreign(page, names_of(study))
    assert not with_a_point(page)


def test_its_dates_are_german_and_its_ranges_have_commas() -> None:
    page = " ".join(page_of(with_figures()))
    assert "die erste fertig am 02.03.2026 08:01:00 UTC" in page
    assert "400 (346 bis 454)" in page
    assert "Patientenzahlen in" in page
    assert "Standardabweichung 6,9 Patienten" in page  # 4 sqrt(3)


def test_what_a_run_wrote_down_in_english_is_marked_as_english() -> None:
    html = render_report(troubled(), say=GERMAN)
    assert '<span lang="en">said what nobody foresaw</span>' in html
    assert '<span lang="en">The disk is full.</span>' in html
    for told in ("zurückgewiesen: budget_exceeded", "keine Antwort innerhalb von 60 s", "Coburg: keine Antwort inner"):
        assert told in html
    assert "lang=" not in render_report(troubled()).replace('<html lang="en">', "")


@pytest.mark.parametrize(
    ("taken", "name", "word"),
    [
        ("How the rounds went", "finished", "went"),
        ("Events: %(endpoint)s", "counted", "Events"),
        ("Standard deviation", "validated", "deviation"),
        ("the node is unavailable", "troubled", "unavailable"),
        ("PUBLISHED: %(released)s.", "finished", "PUBLISHED"),
    ],
)
def test_a_text_that_is_taken_from_the_catalog_is_found(
    monkeypatch: pytest.MonkeyPatch, taken: str, name: str, word: str
) -> None:
    told = dict(GERMAN.translations._catalog)  # type: ignore[attr-defined]  # of gettext
    assert told.pop(taken)
    monkeypatch.setattr(GERMAN.translations, "_catalog", told)
    study = STUDIES[name]()
    assert word in foreign(page_of(study), names_of(study))


def test_a_number_that_is_written_in_english_is_found() -> None:
    assert with_a_point(read(render_report(with_figures())))
