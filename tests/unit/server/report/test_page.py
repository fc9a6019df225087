"""Is the deployed report one safe page that says what is there, what is not, and nothing about held-out patients?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.html_pages import HOSTILE, Page, unsafe
from tests.unit.server.report.fake_studies import BEGAN, fake_plan, fake_schema, fake_study, row

from oncofed.protocol.plan import PrivacyMode, SharedNoise
from oncofed.server.report.attendance import Presence
from oncofed.server.report.page import render_report, write_report
from oncofed.server.report.plots import COLOURS, attendance_picture
from oncofed.server.report.study import DeployedStudy, StudyEvent

SCHEMA = fake_schema()
HELD_OUT = re.compile(
    r"c[- ]?index|concordance|calibrat|brier|\bauc\b|\broc\b|held[- ]out|sensitivity|specificity|accuracy|kaplan|"
    r"median survival|test patients|validation patients",
    re.IGNORECASE,
)


def text_of(study: DeployedStudy) -> str:
    return Page(render_report(study)).text


@pytest.fixture(scope="module")
def finished() -> str:
    return render_report(fake_study())


def stopped_study() -> DeployedStudy:
    events = (
        StudyEvent(BEGAN, "started", "round 0; attempt 0"),
        StudyEvent(BEGAN + timedelta(hours=1), "stopped", "round 5: 1 of 4 hospitals answered\n  - Bonn: gone"),
    )
    return replace(fake_study(done=4), events=events)


STUDIES: dict[str, Callable[[], DeployedStudy]] = {
    "finished": fake_study,
    "running": lambda: fake_study(done=4),
    "stopped": stopped_study,
    "not started": lambda: fake_study(done=0),
    "not private": lambda: fake_study(plan=fake_plan(SCHEMA, private=False)),
    "no linear part": lambda: fake_study(plan=fake_plan(SCHEMA, linear_branch=False)),
    "one round, one hospital": lambda: fake_study(done=1, plan=fake_plan(SCHEMA, rounds=1, sites=("Aachen",))),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_page_runs_nothing_and_has_no_held_out_figure(name: str) -> None:
    html = render_report(STUDIES[name]())
    assert unsafe(html) == []
    assert "default-src 'none'; style-src 'unsafe-inline'" in Page(html).values("content")
    assert HELD_OUT.findall(Page(html).text) == []
    assert "How well the model predicts is measured at each hospital" in Page(html).text
    assert not re.search(r"\b(nan|None(?!:)|inf)\b", Page(html).text)


def test_the_search_for_held_out_words_finds_them(finished: str) -> None:
    for planted in ("C-index 0.71", "calibration slope", "AUC", "accuracy"):
        assert HELD_OUT.findall(Page(finished.replace("</h1>", f"</h1><p>{planted}</p>")).text)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_and_reasons_stay_text(hostile: str) -> None:
    plan = replace(
        fake_plan(SCHEMA, sites=("Aachen", hostile), rounds=3),
        study=hostile,
        released=(hostile,),
        bundle_sha256=hostile,
    )
    rows = [
        row(1, ["Aachen", hostile]),
        row(2, ["Aachen"], {hostile: f"malformed answer: {hostile}"}),
        row(3, [hostile], {"Aachen": hostile, f"node {hostile}": hostile}),
    ]
    study = replace(
        fake_study(done=3, rows=rows, plan=plan),
        delivered={hostile: hostile},
        events=(StudyEvent(BEGAN, hostile, hostile),),
    )
    html = render_report(study)
    assert unsafe(html) == []
    assert Page(html).text.count(" ".join(hostile.replace("_", " ").split())) >= 6
    assert Page(html).tags["svg"] == 3


def test_control_characters_do_not_reach_the_page() -> None:
    name = "Aachen\x1b[31m\u202e\x00"
    plan = fake_plan(SCHEMA, sites=(name, "Bonn"), rounds=2)
    html = render_report(fake_study(done=2, rows=[row(1, ["Bonn"], {name: name}), row(2, ["Bonn"])], plan=plan))
    body = html[: html.index('id="plan"')]  # the plan in words repeats what hospitals have signed
    assert not set(body) & set("\x1b\u202e\x00")
    assert "Aachen\N{REPLACEMENT CHARACTER}[31m" in body


def test_the_same_study_gives_the_same_bytes() -> None:
    assert render_report(fake_study()) == render_report(fake_study())


def test_what_is_missing_is_said_in_words() -> None:
    text = text_of(fake_study(done=0))
    for words in (
        "not started: none of 10 rounds is done yet",
        "no round yet",
        "None: no round has finished yet.",
        "Nothing was noted.",
        "Nothing to show: no round has finished yet.",
        "not released yet",
        "Not delivered to any hospital yet.",
        "Not shown: the model is released after the last round.",
    ):
        assert words in text
    assert "The network has no linear part" in text_of(STUDIES["no linear part"]())
    zero = fake_study()
    assert zero.weights is not None
    assert "os: every weight is 0." in text_of(replace(zero, weights=0 * zero.weights))


def test_a_running_study_says_how_far_it_is() -> None:
    text = text_of(fake_study(done=4))
    assert "State: under way: round 4 of 10 is done." in text
    assert "4 of 10 under way" in text
    assert Presence.AHEAD.value in text


def test_a_stopped_study_says_why_until_it_has_gone_on() -> None:
    study = stopped_study()
    text = text_of(study)
    assert "stopped: round 4 of 10 is done; it can be resumed" in text
    assert "The last run stopped." in text
    assert "- Bonn: gone" in text
    later = replace(row(5, study.plan.roster), finished_at=BEGAN + timedelta(hours=2))
    assert "The last run stopped." not in text_of(replace(study, rounds=(*study.rounds, later), rounds_done=5))


def test_waiting_again_and_again_is_one_entry() -> None:
    minutes = [BEGAN + timedelta(minutes=minute) for minute in range(40)]
    events = [StudyEvent(at, "waiting", "round 5: 1 of 4 hospitals answered\n  - Bonn: late") for at in minutes]
    text = text_of(replace(fake_study(done=4), events=(*events, StudyEvent(minutes[-1], "plan", "Bonn approved"))))
    assert text.count("Bonn: late") == 1
    assert "40 times, the last at 2026-03-02 08:39:00 UTC" in text
    assert "Bonn approved" in text


def test_rounds_done_without_the_model_are_not_finished() -> None:
    assert "all 10 rounds are done; the model is not released yet" in text_of(fake_study(released=False))


def test_the_page_names_refusals_repeats_and_lost_records() -> None:
    plan = fake_plan(SCHEMA, sites=("Aachen", "Bonn"), rounds=4)
    rows = [
        row(1, ["Aachen"], {"Bonn": "refused: budget_exceeded"}),
        row(2, ["Aachen"], {"Bonn": "refused: budget_exceeded"}, attempt=1),
        row(4, ["Aachen", "Bonn"]),
    ]
    study = fake_study(done=4, rows=rows, plan=plan)
    text = text_of(replace(study, delivered={"Aachen": "accepted"}))
    assert "Bonn refused: budget_exceeded 2 1 to 2" in text
    assert "refused: budget_exceeded: its privacy budget is used up" in text
    assert "round 2 (2 attempts)" in text
    assert "interrupted before it was written: round 3." in text
    assert "Each hospital’s own ledger is the authority" in text
    assert "Bonn not asked" in text


def test_a_study_without_noise_is_said_to_protect_nobody() -> None:
    text = text_of(STUDIES["not private"]())
    assert "Nothing in this study is private." in text
    assert "No privacy cost is counted" in text


def test_a_page_says_whose_noise_it_is_and_who_is_trusted() -> None:
    assert "every hospital's own, in full: it trusts nobody" in text_of(fake_study())
    plan = fake_study().plan
    shares = SharedNoise(len(plan.roster), dropouts=1, colluding=0)
    shared = replace(plan, privacy=replace(plan.privacy, mode=PrivacyMode.DISTRIBUTED, shares=shares))
    text = text_of(fake_study(plan=shared))
    assert f"shared under masks by {len(plan.roster)} hospitals, of which 1 may be missing and 0 may side" in text
    assert "it trusts nobody" not in text
    assert "each masks with" not in text
    few = replace(shared, privacy=replace(shared.privacy, shares=replace(shares, mask_neighbours=2)))
    assert "are trusted to add theirs; each masks with 2 others at least" in text_of(fake_study(plan=few))


def test_every_finished_page_shows_the_plan_hash_and_the_model() -> None:
    study = fake_study()
    text = text_of(study)
    for word in (study.plan.hash, study.model_sha256, study.signature, study.plan.schema_hash):
        assert str(word) in text


@pytest.mark.parametrize(("sites", "rounds"), [(4, 10), (40, 120), (120, 12), (1, 1)])
def test_the_matrix_is_drawn_in_its_colours_and_stays_small(sites: int, rounds: int) -> None:
    states = [Presence.ANSWERED, Presence.SILENT, Presence.REFUSED, Presence.NOT_ADMITTED]
    matrix = {f"site {index:03d}": [states[(index + number) % 4] for number in range(rounds)] for index in range(sites)}
    svg = attendance_picture(matrix, repeated=[1])
    seen = {state for each in matrix.values() for state in each}
    shown = {state for state in Presence if f'fill="{COLOURS[state]}"' in svg}
    assert shown == seen
    assert all(f">{state.value}<" in svg for state in seen)
    assert all(f">{site}<" in svg for site in matrix)
    assert len(svg) < 100 * sites * rounds + 60_000


def test_a_report_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(fake_study(done=1), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]
