"""Does a terminal show how a study stands, and nothing that steers the terminal?"""

from __future__ import annotations

from dataclasses import replace

from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study, row

from oncofed.server.report.status import status_lines
from oncofed.server.report.study import StudyEvent

SCHEMA = fake_schema()


def test_a_finished_study() -> None:
    study = fake_study()
    lines = status_lines(study)
    assert lines[0] == (
        f"study lung_survival (plan {study.plan.hash[:12]}): finished after 10 rounds; the model is signed and released"
    )
    assert "  Aachen    10  model: accepted" in lines
    assert lines[-1] == f"model: SHA-256 {study.model_sha256}"


def test_a_study_with_troubles() -> None:
    plan = fake_plan(SCHEMA, sites=("Aachen", "Bonn"), rounds=5)
    rows = [row(number, ["Aachen"], {"Bonn": "refused: not_ready"}) for number in (1, 2)]
    strays = row(4, ["Aachen", "Bonn"], {"node 9": "answered no question of this round"})
    study = fake_study(done=4, rows=[*rows, strays], plan=plan)
    lines = status_lines(replace(study, events=(StudyEvent(strays.finished_at, "stopped", "no quorum\n  - Bonn: x"),)))
    assert "stopped: round 4 of 5 is done; it can be resumed" in lines[0]
    assert lines[1:3] == ("  no quorum", "  - Bonn: x")
    assert lines[3] == "last recorded round: 4, finished 2026-03-02 08:04:00 UTC, 2.5 s, 2 of 2 answered"
    assert "rounds done but not recorded: 3" in lines
    assert lines[lines.index("  Bonn       1") + 1] == "      refused: not_ready: rounds 1 to 2"
    assert sum("not_ready" in line for line in lines) == 1, "what was wrong at one hospital is told of no other"
    assert "  node 9: answered no question of this round: round 4" in lines
    assert lines[-1] == "model: not released yet"


def test_a_study_that_has_not_begun() -> None:
    assert "not started: none of 10 rounds is done yet" in status_lines(fake_study(done=0))[0]


def test_what_a_study_waits_for_is_said_until_a_round_is_done() -> None:
    study = fake_study(done=4)
    waiting = StudyEvent(study.rounds[-1].finished_at, "waiting", "round 5: no quorum\n  - Bonn: late")
    line = "since 2026-03-02 08:04:00 UTC: waiting (round 5: no quorum; - Bonn: late)"
    assert line in status_lines(replace(study, events=(waiting,)))
    assert line not in status_lines(replace(fake_study(done=5), events=(waiting,)))


def test_control_characters_never_reach_the_terminal() -> None:
    evil = "Aachen\x1b]0;owned\x07\r\n\u202e\x9b2J"
    plan = replace(fake_plan(SCHEMA, sites=(evil, "Bonn"), rounds=3), study=evil)
    study = fake_study(done=2, rows=[row(1, ["Bonn"], {evil: evil, f"node {evil}": evil}), row(2, [evil])], plan=plan)
    study = replace(study, delivered={evil: evil}, events=(StudyEvent(row(2, []).finished_at, "stopped", evil),))
    lines = status_lines(study)
    assert all(line.isprintable() for line in lines)
    assert any("Aachen" in line for line in lines)
