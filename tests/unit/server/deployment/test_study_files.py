"""What a run notes survives a line that a kill cut short."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oncofed.errors import RecordUnwritable
from oncofed.server.deployment.study_files import EVENTS, ROUNDS, StudyFiles, round_fields
from oncofed.server.rounds.rounds import RoundReport


def test_a_line_that_was_cut_short_swallows_no_other(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    files.note("started", round=0)
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"at": "2026')
    files.note("finished", round=3)
    lines = (tmp_path / EVENTS).read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2]) == {"at": "2026-01-02T00:00:00.000+00:00", "event": "finished", "round": 3}


def test_the_last_event_is_the_last_that_is_whole(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    assert files.last_event() == ""
    files.note("started", round=0)
    files.note("waiting", cause="Bonn is away")
    assert files.last_event() == "waiting"
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"at": "2026')
    assert files.last_event() == "waiting"


def test_the_line_of_a_round_that_a_kill_cut_off_is_written_once(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    first, second = (RoundReport(number, 0, ("Bonn",), (), 0.5, 10, 20, 1.25) for number in (1, 2))
    files.note_round(first)
    with (tmp_path / ROUNDS).open("a") as file:
        file.write('{"round": 2, "att')
    kept = json.loads(json.dumps(round_fields(second)))  # as a checkpoint keeps it
    for each in (kept, kept, None, json.loads(json.dumps(round_fields(first)))):
        files.note_untold(each)
    lines = [line for line in (tmp_path / ROUNDS).read_text().splitlines() if line.endswith("}")]
    told = [json.loads(line) for line in lines]
    assert [line["round"] for line in told] == [1, 2]
    assert told[1] == {"at": "2026-01-02T00:00:00.000+00:00", **kept}


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "gone", now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    with pytest.raises(RecordUnwritable, match="Free space"):
        files.note("started")
