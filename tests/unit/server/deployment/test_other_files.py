"""Does whatever the coordinator's user lays in place of a file end or hold up what root runs to watch it?

A pipe without a writer is waited for without end by whoever opens it as a file; here a limit of seconds ends that. A
file of a terabyte, of which nothing but its beginning is on the disk, fits into nobody's memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import enrol, new_coordinator, new_node, signed_plan
from tests.unit.client.test_other_kinds import soon
from tests.unit.server.deployment.test_coordinator_status import Answers

from oncofed.secret_files import read_signing_key
from oncofed.server.deployment import coordinator_status as looked_at
from oncofed.server.deployment.delivery import release_model
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.study_files import StudyFiles
from oncofed.server.rounds.checkpoint import save_checkpoint
from oncofed.server.rounds.state import FederationState


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    """With all files of a study that was finished."""
    made = new_coordinator(tmp_path / "coordinator")
    enrol(made, new_node(tmp_path / "Bonn", "Bonn"))
    plan = signed_plan(made, rounds=2)
    study = made.study(plan.hash)
    StudyFiles(study, lambda: datetime.now(UTC)).note("started", round=0, attempt=0)
    (study / "rounds.jsonl").write_text("")
    (study / "at_work.lock").touch()
    state = FederationState(round=2, weights=np.zeros(plan.model.parameters), optimiser={})
    save_checkpoint(study, state=state, plan_hash=plan.hash)
    release_model(study, state, plan_hash=plan.hash, signing_key=read_signing_key(made.signing_key))
    return made


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    os.truncate(path, 1 << 40)


def watched(folder: CoordinatorFolder) -> Iterator[str]:
    for words in (("status", "--json"), ("status",), ("metrics",)):
        with soon():
            said = oncofed("coordinator", words[0], folder.root, *words[1:])
        assert "Traceback" not in said.text
        yield said.text


def test_all_is_read_where_nobody_laid_anything(folder: CoordinatorFolder) -> None:
    with patch.object(looked_at, "Control", Answers):
        as_json, *_ = watched(folder)
    (study,) = json.loads(as_json)["studies"]
    assert (study["state"], study["rounds_done"]) == ("finished", 2)


@pytest.mark.parametrize("lay", [a_pipe, endless])
def test_no_file_of_a_coordinator_ends_or_holds_up_who_watches_it(
    lay: Callable[[Path], None], folder: CoordinatorFolder
) -> None:
    """With a server that answers and one that does not: then its own files are read as well."""
    files = sorted(path for path in folder.root.rglob("*") if path.is_file())
    assert len(files) > 15
    for path in files:
        content, mode = path.read_bytes(), path.stat().st_mode
        lay(path)
        with patch.object(looked_at, "Control", Answers):
            [*watched(folder)]
        [*watched(folder)]
        path.unlink()
        path.write_bytes(content)
        path.chmod(mode)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("plan.json", "plan.json: is larger than"),
        ("rounds.jsonl", "rounds.jsonl, line 1: is not what a run writes"),
        ("events.jsonl", "events.jsonl, line 2: is not what a run writes"),
        ("round.checkpoint", "round.checkpoint is larger than"),
        ("model.safetensors", "model.safetensors: is larger than"),
        ("release.json", "release.json: is larger than"),
    ],
)
def test_a_study_with_a_file_without_end_is_told_by_its_name(name: str, what: str, folder: CoordinatorFolder) -> None:
    (study,) = folder.root.glob("studies/*")
    endless(study / name)
    with patch.object(looked_at, "Control", Answers):
        as_json, *_ = watched(folder)
    (told,) = json.loads(as_json)["studies"]
    assert told["state"] == "unreadable"
    assert what in told["words"]
