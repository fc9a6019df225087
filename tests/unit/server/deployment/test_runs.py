"""Which plan becomes a run, when does it not, and does following it survive kills of what it follows?"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from click.testing import CliRunner
from flwr.serverapp import Grid
from tests.end_to_end.flower_processes import enrol, new_coordinator, new_node, signed_plan

from oncofed.errors import FederationFailure, InvalidInput, SignatureInvalid
from oncofed.protocol.bundle import build_bundle
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import document_bytes, read_document, signed_document
from oncofed.secret_files import read_secret
from oncofed.server.deployment import runs
from oncofed.server.deployment.at_work import at_work
from oncofed.server.deployment.coordinator_commands import coordinator
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.runs import (
    Progress,
    begin,
    current_run,
    find_study,
    follow,
    known_studies,
    shown,
    take_in,
)
from oncofed.server.deployment.study_commands import study
from oncofed.server.flower import server_app
from oncofed.server.flower.control import Control, ControlRefused, RunStatus, UnknownRun
from oncofed.server.flower.server_app import no_delivery, no_offer, run_study
from oncofed.server.rounds.checkpoint import save_checkpoint
from oncofed.server.rounds.state import FederationState

RUNNING, COMPLETED = RunStatus("running", "", ""), RunStatus("finished", "completed", "")
STARTED = 77


@dataclass
class FakeControl:
    """states: what each look says, the last one for ever."""

    states: Sequence[RunStatus | Exception] = field(default_factory=lambda: [COMPLETED])
    started: list[object] = field(default_factory=list)
    registered: list[bytes] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    looks: int = 0

    def stop_run(self, run_id: int) -> bool:
        self.stopped.append(run_id)
        return True

    def run_status(self, run_id: int) -> RunStatus:
        state = self.states[min(self.looks, len(self.states) - 1)]
        self.looks += 1
        if isinstance(state, Exception):
            raise state
        return state

    def start_run(self, bundle: bytes, run_config: object) -> int:
        self.started.append(run_config)
        return STARTED

    def node_ids(self) -> dict[bytes, int]:
        return {}

    def register_node(self, public_key: bytes) -> int:
        self.registered.append(public_key)
        return len(self.registered)

    def unregister_node(self, node_id: int) -> None:
        raise AssertionError("nobody is registered")


def control_of(fake: FakeControl) -> Control:
    return cast(Control, fake)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> CoordinatorFolder:
    root = tmp_path_factory.mktemp("consortium")
    folder = new_coordinator(root / "coordinator")
    for site in ("Bonn", "Essen"):
        enrol(folder, new_node(root / site, site))
    return folder


@dataclass(frozen=True)
class Signed:
    folder: CoordinatorFolder
    plan: StudyPlan
    content: bytes

    @property
    def study(self) -> Path:
        return self.folder.study(self.plan.hash)

    def resigned(self, plan: StudyPlan, *, key: bytes | None = None) -> bytes:
        key = key or read_secret(self.folder.signing_key)
        plan = replace(plan, coordinator_public_key=public_key_of(key).hex())
        toml = read_document(self.content).schema_toml
        return document_bytes(signed_document(plan, schema_toml=toml, signing_key=key))


@pytest.fixture
def signed(enrolled: CoordinatorFolder) -> Iterator[Signed]:
    plan = signed_plan(enrolled, rounds=3)
    study = enrolled.study(plan.hash)
    content = (study / "plan.json").read_bytes()
    yield Signed(enrolled, plan, content)
    for study in enrolled.root.glob("studies/*"):
        for path in study.iterdir():
            path.unlink()
        study.rmdir()


def test_a_plan_is_taken_in_under_its_hash_twice_as_well(signed: Signed) -> None:
    (signed.study / "plan.json").unlink()
    for _ in range(2):
        assert take_in(signed.folder, signed.content).plan == signed.plan
    assert (signed.study / "plan.json").read_bytes() == signed.content
    assert [path.name for path in signed.study.iterdir()] == ["plan.json"]


def test_what_another_coordinator_signed_is_refused(signed: Signed) -> None:
    foreign = signed.resigned(signed.plan, key=new_signing_key())
    before = known_studies(signed.folder)
    with pytest.raises(SignatureInvalid):
        take_in(signed.folder, foreign)
    assert known_studies(signed.folder) == before


def test_every_reason_against_a_plan_is_told_at_once_and_nothing_is_kept(signed: Signed) -> None:
    first, second = signed.plan.members
    members = (Member("Bonn", second.node_public_key, second.answer_public_key), Member("Kiel", first.node_public_key))
    plan = replace(signed.plan, members=members, roster=("Bonn", "Kiel"), bundle_sha256="0" * 64)
    before = known_studies(signed.folder)
    with pytest.raises(InvalidInput) as refused:
        take_in(signed.folder, signed.resigned(plan))
    told = " ".join(fault.what for fault in refused.value.faults)
    assert "Bonn is not enrolled with the key" in told
    assert "Kiel is not enrolled " in told
    assert "another version of oncofed" in told
    assert known_studies(signed.folder) == before


def test_a_study_of_another_version_is_neither_begun_nor_resumed(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeControl()
    monkeypatch.setattr(runs, "build_bundle", lambda: build_bundle(version="99.0.0"))
    with pytest.raises(InvalidInput, match="another version of oncofed"):
        begin(signed.folder, control_of(fake), signed.plan.hash)
    assert (fake.started, fake.registered) == ([], [])
    monkeypatch.undo()
    assert begin(signed.folder, control_of(fake), signed.plan.hash) == STARTED, "the version it was signed with"


def test_a_study_is_found_by_the_beginning_of_its_hash(signed: Signed) -> None:
    other = signed.folder.study("f" * 64 if not signed.plan.hash.startswith("f") else "e" * 64)
    assert find_study(signed.folder, None) == signed.plan.hash
    other.mkdir()
    (other / "plan.json").touch()
    assert find_study(signed.folder, signed.plan.hash[:6]) == signed.plan.hash
    for beginning, told in ((None, "several"), ("xyzv", "no study")):
        with pytest.raises(InvalidInput, match=told) as refused:
            find_study(signed.folder, beginning)
        assert signed.plan.hash[:12] in str(refused.value)


@pytest.mark.parametrize(
    "words", [["run", "{folder}", "{pipe}"], ["approve", "{folder}", "{pipe}", "--out", "answer"], ["show", "{pipe}"]]
)
def test_nobody_waits_for_a_pipe_that_is_named_as_a_plan_or_a_request(
    signed: Signed, words: list[str], tmp_path: Path
) -> None:
    """A limit of time of the tests' own ends one that hangs."""
    pipe = tmp_path / "plan.json"
    os.mkfifo(pipe)
    command = study if words[0] == "show" else coordinator
    said = [word.format(folder=signed.folder.root, pipe=pipe) for word in words]
    with pytest.raises(InvalidInput, match=r"plan\.json: is a named pipe"):
        CliRunner().invoke(command, said, catch_exceptions=False)


@pytest.mark.parametrize("command", [["status"], ["stop"], ["resume"], ["report", "--out", "report.html"]])
def test_an_empty_word_is_not_the_only_study(signed: Signed, command: list[str]) -> None:
    """As `oncofed coordinator stop COORD "$HASH"` gives it where nobody has set HASH."""
    words = [command[0], str(signed.folder.root), "", *command[1:]]
    with pytest.raises(InvalidInput, match="the beginning of the hash is empty"):
        CliRunner().invoke(coordinator, words, catch_exceptions=False)
    with pytest.raises(InvalidInput, match="the beginning of the hash is empty"):
        CliRunner().invoke(study, ["explain", str(signed.folder.root), ""], catch_exceptions=False)


def test_what_is_shown_of_a_study_names_it_though_another_begins_with_the_same_digits(signed: Signed) -> None:
    other = signed.folder.study(signed.plan.hash[:20] + ("0" if signed.plan.hash[20] != "0" else "1") * 44)
    other.mkdir()
    (other / "plan.json").touch()
    named = shown(signed.folder, signed.plan.hash)
    assert len(named) == 21
    assert find_study(signed.folder, named) == signed.plan.hash
    with pytest.raises(InvalidInput, match="several") as refused:
        find_study(signed.folder, named[:12])
    assert f"{named}." in str(refused.value) or f"{named}," in str(refused.value)
    listed = CliRunner().invoke(coordinator, ["status", str(signed.folder.root)], catch_exceptions=False).output
    assert named in listed


def test_a_study_that_is_running_is_not_begun_again(signed: Signed) -> None:
    first = FakeControl()
    assert begin(signed.folder, control_of(first), signed.plan.hash) == STARTED
    assert first.started == [{"plan-hash": signed.plan.hash}]
    running = FakeControl([RUNNING])
    with at_work(signed.study), pytest.raises(FederationFailure, match="running already"):
        begin(signed.folder, control_of(running), signed.plan.hash)
    assert running.started == running.stopped == []
    assert begin(signed.folder, control_of(FakeControl([COMPLETED])), signed.plan.hash) == STARTED


def test_a_run_whose_process_was_killed_is_stopped_and_replaced_before_flower_notices(signed: Signed) -> None:
    begin(signed.folder, control_of(FakeControl()), signed.plan.hash)
    with at_work(signed.study):
        pass  # and then killed
    running = FakeControl([RUNNING])
    assert begin(signed.folder, control_of(running), signed.plan.hash) == STARTED
    assert running.stopped == [STARTED]
    assert running.started == [{"plan-hash": signed.plan.hash}]


def test_a_run_that_the_superlink_has_forgotten_does_not_hold_the_study(signed: Signed) -> None:
    begin(signed.folder, control_of(FakeControl()), signed.plan.hash)
    forgetful = FakeControl([UnknownRun("no run 77")])
    assert current_run(signed.folder, control_of(forgetful), signed.plan.hash) is None
    assert begin(signed.folder, control_of(forgetful), signed.plan.hash) == STARTED


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run_id": null}', '{"run": 1}'])
def test_a_torn_note_of_the_run_is_told_with_its_remedy(content: str, signed: Signed) -> None:
    (signed.study / "run.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"run\.json: is damaged.*Remove it"):
        current_run(signed.folder, control_of(FakeControl()), signed.plan.hash)


def test_two_runs_never_work_on_one_study(signed: Signed) -> None:
    """As after a kill between the start of a run and the note of it."""
    seen: list[str] = []

    def offer(*_: object) -> None:
        raise AssertionError("no hospital is registered, so it does not come to that")

    class Nodes:
        def get_node_ids(self) -> list[int]:
            return []

    def second() -> None:
        with pytest.raises(FederationFailure, match="another run works on this study"):
            run_study(
                cast(Grid, Nodes()),
                folder=signed.folder,
                plan_hash=signed.plan.hash,
                offer=no_offer,
                deliver=no_delivery,
                patience_seconds=0.0,
            )
        seen.append("refused")

    begin(signed.folder, control_of(FakeControl()), signed.plan.hash)  # notes the node ids

    class Looks(Nodes):
        def get_node_ids(self) -> list[int]:
            second()
            return []

    with pytest.raises(FederationFailure, match="hospitals are online"):
        run_study(
            cast(Grid, Looks()),
            folder=signed.folder,
            plan_hash=signed.plan.hash,
            offer=offer,
            deliver=no_delivery,
            patience_seconds=0.0,
        )
    assert seen == ["refused"]
    events = [json.loads(line)["event"] for line in (signed.study / "events.jsonl").read_text().splitlines()]
    assert events == ["started", "stopped"], "the second run left no word in the study of the first"


@pytest.mark.parametrize(
    ("last", "told"), [("stopped", False), ("finished", False), ("waiting", True), ("started", True)]
)
def test_a_run_that_was_killed_is_told_of_by_the_next(last: str, told: bool, signed: Signed) -> None:
    (signed.study / "events.jsonl").write_text(json.dumps({"event": last}) + "\n")

    class Nobody:
        def get_node_ids(self) -> list[int]:
            return []

    begin(signed.folder, control_of(FakeControl()), signed.plan.hash)  # notes the node ids
    with pytest.raises(FederationFailure, match="hospitals are online"):
        run_study(
            cast(Grid, Nobody()),
            folder=signed.folder,
            plan_hash=signed.plan.hash,
            offer=no_offer,
            deliver=no_delivery,
            patience_seconds=0.0,
        )
    events = [json.loads(line)["event"] for line in (signed.study / "events.jsonl").read_text().splitlines()]
    assert events == [last, *(["interrupted"] if told else []), "started", "stopped"]


def test_a_run_tells_hospitals_what_they_answered_in_other_studies(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = signed.folder.study("ef" * 32)
    other.mkdir(parents=True)
    answered = {"Bonn": f"{'ef' * 32}/Bonn/2/0"}
    save_checkpoint(other, state=FederationState(2, np.ones(3), answered=answered), plan_hash=other.name)
    begun: list[FederationState] = []

    def rounds(*_: object, start: FederationState, **__: object) -> FederationState:
        begun.append(start)
        return start

    begin(signed.folder, control_of(FakeControl()), signed.plan.hash)  # notes the node ids
    monkeypatch.setattr(server_app, "run_course", rounds)
    monkeypatch.setattr(server_app, "wait_for_nodes", lambda *_, **__: ())
    run_study(
        cast(Grid, None),
        folder=signed.folder,
        plan_hash=signed.plan.hash,
        offer=no_offer,
        deliver=no_delivery,
        patience_seconds=0.0,
    )
    assert begun[0].answered_elsewhere == {"Bonn": (answered["Bonn"],)}


def lines_told(signed: Signed, fake: FakeControl, *, steps: dict[int, bytes]) -> list[Progress]:
    """What `follow` tells when these bytes are added to rounds.jsonl before the look of this number."""
    told: list[Progress] = []
    slept = [0]

    def sleep(seconds: float) -> None:
        slept[0] += 1
        with (signed.study / "rounds.jsonl").open("ab") as file:
            file.write(steps.get(slept[0], b""))

    follow(signed.folder, control_of(fake), signed.plan.hash, STARTED, told=told.append, sleep=sleep)
    return told


def test_half_a_line_is_told_when_it_is_whole_and_once(signed: Signed) -> None:
    (signed.study / "rounds.jsonl").write_bytes(b'{"round": 1}\n')
    steps = {1: b'{"round": 2}\n{"rou', 2: b'nd": 3', 3: b"}\n"}
    told = lines_told(signed, FakeControl([RUNNING] * 5 + [COMPLETED]), steps=steps)
    assert [progress.fields for progress in told] == [{"round": 2}, {"round": 3}]


def test_a_line_that_a_kill_cut_short_ends_nothing(signed: Signed) -> None:
    steps = {1: b'{"round": 2, "ans\n', 2: b'{"round": 3}\n'}
    told = lines_told(signed, FakeControl([RUNNING] * 4 + [COMPLETED]), steps=steps)
    assert [progress.fields for progress in told] == [{"round": 3}]


def test_following_outlives_a_superlink_that_is_started_again(signed: Signed) -> None:
    away = [ControlRefused("away")] * 20
    fake = FakeControl([RUNNING, *away, RUNNING, COMPLETED])
    told = lines_told(signed, fake, steps={3: b'{"round": 1}\n'})
    assert [progress.fields for progress in told] == [{"round": 1}]


def test_a_superlink_that_stays_away_ends_it(signed: Signed) -> None:
    fake = FakeControl([RUNNING, ControlRefused("gone for good")])
    with pytest.raises(ControlRefused, match=re.escape("gone for good")):
        lines_told(signed, fake, steps={})
    assert 20 < fake.looks < 1000
