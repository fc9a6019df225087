"""Do the coordinator's pages say what is in the folder and what the server said, each in its place?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.coordinator_pages import BEGAN, Shown, running_study, shown
from tests.html_pages import Page
from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study, row

from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.messages import PlanState
from oncofed.server.deployment.at_work import at_work
from oncofed.server.deployment.member_files import Standing
from oncofed.server.deployment.study_files import note_written
from oncofed.server.report.decisions import said_by
from oncofed.server.report.pace import lasting, seconds_left, seconds_of_a_round
from oncofed.server.report.study import DeployedStudy


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shown]:
    with shown(tmp_path) as found:
        yield found


def text_of(here: Shown, path: str = "/") -> str:
    answer = here.signed_in().get(path)
    assert answer.status_code == 200, answer.text
    return Page(answer.text).text


def rows_of(here: Shown, path: str, caption: str) -> dict[str, list[str]]:
    """Cells of the table with this hidden caption, by the head of each row."""
    html = here.signed_in().get(path).text
    (table,) = (each for each in re.findall(r"<table.*?</table>", html, flags=re.DOTALL) if caption in each)
    found = {}
    for line in re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2], flags=re.DOTALL):
        head, *cells = (Page(each).text for each in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line, flags=re.DOTALL))
        found[head] = cells
    return found


def test_hospitals_are_told_with_their_state_and_since_when(here: Shown) -> None:
    assert "3 of 3 hospitals online" in text_of(here)
    here.hears(
        {"Aachen": "online", "Bonn": "offline"},
        since={"Aachen": BEGAN - timedelta(days=2), "Bonn": BEGAN - timedelta(minutes=12)},
    )
    assert oncofed("coordinator", "suspend", here.folder.root, "Coburg").code == 0
    rows = rows_of(here, "/", "Every hospital")
    assert rows["Aachen"] == ["online", "2026-02-28 08:00:00 UTC (2 days ago)"]
    assert rows["Bonn"] == ["offline", "2026-03-02 07:48:00 UTC (12 minutes ago)"]
    assert rows["Coburg"][0] == Standing.SUSPENDED.value
    assert "UTC" in rows["Coburg"][1]
    assert "1 of 2 hospitals online" in text_of(here)


def test_a_server_that_does_not_run_is_the_first_thing_that_is_said(here: Shown) -> None:
    text = text_of(here)
    assert "superlink does not run" in text
    assert "superexec does not run" in text


def test_a_running_study_is_told_with_its_round_and_the_time_left(here: Shown) -> None:
    with running_study(here) as study:
        rows = rows_of(here, "/", "Every study")
        (name,) = rows
        assert name.startswith("lung")
        state, rounds, left, now = rows[name]
        assert (state, rounds, left) == ("under way", "2 of 4", "about 10 minutes")
        assert "round 2 of 4 is done" in now
        of_study = text_of(here, f"/studies/{study.plan.hash}")
        assert "Time left: about 10 minutes" in of_study
        assert "last round finished 2026-03-02 10:36:00 UTC (1 minute ago)" in of_study
    state, rounds, left, now = rows_of(here, "/", "Every study")[name]
    assert (state, rounds, left) == ("stopped", "2 of 4", "\N{EN DASH}")
    assert now == "Nothing works on it now: round 2 of 4 is done; it can be resumed."


def test_a_study_is_told_as_starting_while_its_process_has_noted_nothing(here: Shown) -> None:
    study = here.study()
    for context, words in ((nullcontext(), "Not started: none"), (at_work(study.folder), "Starting: none")):
        with context:
            (row,) = rows_of(here, "/", "Every study").values()
            assert row[3].startswith(words)


def test_the_plan_is_told_by_hospital_with_dates(here: Shown) -> None:
    with running_study(here) as study:
        rows = rows_of(here, f"/studies/{study.plan.hash}", "said of the plan")
    assert rows["Aachen"][0] == "online"
    assert "08:00:00" in rows["Aachen"][1]
    assert rows["Aachen"][2:] == ["approved", "2026-03-02 10:00:00 UTC (37 minutes ago)"]
    assert "10:30:00" in rows["Bonn"][3]
    state, reached, said, since = rows["Coburg"]
    assert state == "offline"
    assert "08:00:00" in reached
    assert "08:00:00" in since, "a silence is no other answer"
    assert said == "has it; nobody there has decided at the last asking: no answer within 60 s"


@pytest.mark.parametrize("state", [PlanState.DECLINED, PlanState.REFUSED])
def test_a_no_is_told_with_what_to_do(here: Shown, state: PlanState) -> None:
    study = here.study()
    study.said(Bonn=state.value)
    here.clock.at += timedelta(days=3)
    study.said(Bonn=state.value, Aachen="approved")
    said, heard = rows_of(here, f"/studies/{study.plan.hash}", "said of the plan")["Bonn"][2:]
    assert {PlanState.DECLINED: "ask there", PlanState.REFUSED: "its own log says which"}[state] in said
    assert heard == "2026-03-02 08:00:00 UTC (3 days ago)"


def test_refusals_are_told_in_words_with_their_rounds(here: Shown) -> None:
    with running_study(here) as study:
        html = here.signed_in().get(f"/studies/{study.plan.hash}").text
    table = Page(html[html.index("Why a finished round") :].partition("</table>")[0]).text
    assert "refused: not_ready its guard is down" in table
    assert "Coburg no answer within 60 s 1" in table
    assert "nobody there has approved the plan" in table


def test_epsilon_is_that_of_the_answers_and_of_the_plan(here: Shown) -> None:
    """By hand: one and two releases of a round, and all four of the plan."""
    with running_study(here) as study:
        rows = rows_of(here, f"/studies/{study.plan.hash}", "epsilon")
    event, delta = release_of_round(study.plan).event, study.plan.privacy.delta

    def epsilon(rounds: int) -> str:
        return f"{epsilon_of([event] * rounds, delta=delta):.2f}"

    assert rows["Aachen"] == ["2 of 2", epsilon(2), epsilon(4), epsilon(4), epsilon(4)]
    assert rows["Bonn"][:2] == ["1 of 2", epsilon(1)]
    assert rows["Coburg"][:2] == ["0 of 2", "0.00"]
    assert len({epsilon(number) for number in (0, 1, 2, 4)}) == 4


def test_a_plan_that_nobody_was_asked_has_cost_nothing(here: Shown) -> None:
    study = here.study()
    row = rows_of(here, f"/studies/{study.plan.hash}", "epsilon")["Aachen"]
    assert row[1:3] == ["0.00", "0.00"]
    assert float(row[3]) > 0


def test_a_plan_without_noise_promises_nothing(here: Shown) -> None:
    study = here.study(private=False)
    assert "no noise, and so no promise" in text_of(here, f"/studies/{study.plan.hash}")


@pytest.mark.parametrize(
    "line",
    [
        '{"at": "2026-03-02T08:00:00+00:00", "what": "report", "path": "/LONG"}',
        '{"at": "0001-01-01T00:00:00+09:00", "what": "report", "path": "/a"}',
        '{"at": "9999-12-31T23:59:59-09:00", "what": "report", "path": "/a"}',
    ],
)
def test_no_place_and_no_time_of_a_report_takes_the_page_away(line: str, here: Shown) -> None:
    study = here.study(rounds=1)
    (study.folder / "written.jsonl").write_text(line.replace("LONG", 5000 * "x") + "\n")
    assert here.signed_in().get(f"/studies/{study.plan.hash}").status_code == 200


def test_reports_are_told_with_where_they_are_and_whether_they_still_are(here: Shown, tmp_path: Path) -> None:
    study = here.study(rounds=1)
    address = f"/studies/{study.plan.hash}"
    assert "No report of it and no package has been written yet." in text_of(here, address)
    study.round(1)
    study.finish(here.folder, Bonn="refused")
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    for _ in range(2):
        note_written(study.folder, "package", first)
    assert oncofed("coordinator", "report", here.folder.root, "--out", second).code == 0
    html = here.signed_in().get(address).text
    assert (html.count(str(first)), html.count(str(second))) == (1, 1)
    assert re.search(rf"{re.escape(str(first))}<small>not found there", html)
    assert not re.search(rf"{re.escape(str(second))}<small>", html)
    assert "refused: not of a plan" in Page(html).text
    shown_report = here.signed_in().get(f"{address}/report")
    assert shown_report.text == second.read_text()


def test_a_study_that_cannot_be_read_is_told_and_hides_none_of_the_others(here: Shown) -> None:
    whole, torn = here.study("whole"), here.study("torn", rounds=3)
    (torn.folder / "rounds.jsonl").write_text('{"round": 0}\n')
    text = text_of(here)
    assert "whole" in text
    assert "unreadable" in text
    assert "rounds.jsonl, line 1" in text
    assert "cannot be read" in text_of(here, f"/studies/{torn.plan.hash}")
    assert "cannot be read" in text_of(here, f"/studies/{torn.plan.hash}/report")
    assert "round" in text_of(here, f"/studies/{whole.plan.hash}")
    (whole.folder / "written.jsonl").write_text("{}\n")
    assert "No report of it" in text_of(here, f"/studies/{whole.plan.hash}"), "a damaged note hides no study"


def test_what_hospitals_said_is_told_apart_by_their_names() -> None:
    words = "said Bonn: approved; Bonn-West: refused: not_ready; Essen: no answer within 60 s"
    assert said_by(words, ("Bonn", "Bonn-West", "Essen")) == {
        "Bonn": "approved",
        "Bonn-West": "refused: not_ready",
        "Essen": "no answer within 60 s",
    }


def paced(*minutes: float, planned: int = 10) -> DeployedStudy:
    """Rounds that ended so many minutes after the study began."""
    rows = [row(number, ()) for number, _ in enumerate(minutes, start=1)]
    rows = [
        type(each)(**{**vars(each), "finished_at": BEGAN + timedelta(minutes=at)})
        for each, at in zip(rows, minutes, strict=True)
    ]
    return fake_study(done=len(rows), rows=rows, plan=fake_plan(fake_schema(), rounds=planned))


def test_time_left_is_what_the_last_rounds_took_and_no_single_pause() -> None:
    assert seconds_left(paced()) is None
    assert seconds_left(paced(3)) == pytest.approx(9 * 2.5), "of a single round: what it took itself"
    assert seconds_left(paced(1, 2, 3, 4)) == pytest.approx(6 * 60)
    assert seconds_of_a_round(paced(1, 2, 3, 4, 4004, 4005)) == pytest.approx(60), "a night between two runs"
    slow_then_quick = [9.0 * number for number in range(20)] + [171.0 + number for number in range(1, 21)]
    assert seconds_of_a_round(paced(*slow_then_quick, planned=60)) == pytest.approx(60), "the last ten count"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (59, "less than a minute"),
        (61, "1 minute"),
        (3599, "1 hour"),
        (7500, "2 hours 5 minutes"),
        (86_399, "24 hours"),
        (200_000, "2 days"),
    ],
)
def test_a_time_is_told_as_a_person_says_it(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def test_no_word_that_comes_from_elsewhere_runs_as_code(here: Shown) -> None:
    with running_study(here) as study:
        study.round(3, rejected={"Bonn": "<img src=x>"})
        study.files.note("waiting", cause="<b>\n\u202e<script>")
        for path in ("/", f"/studies/{study.plan.hash}"):
            html = here.signed_in().get(path).text
            assert "&lt;script&gt;" in html
            assert not Page(html).tags["b"] + Page(html).tags["img"]
            assert "\u202e" not in html
            assert Page(html).tags["script"] == 1, "the pages' own"
    assert "&lt;img src=x&gt;" in html
