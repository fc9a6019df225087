"""What a run notes survives a line that a kill cut short."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from oncofed.server.deployment.study_files import EVENTS, StudyFiles


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
