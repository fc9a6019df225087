"""Whatever file of a node or of a coordinator is damaged: does each command that looks at it say so in words?

Each file of a folder in use is damaged in each way of `damages`, and each command is run, in this very process: one
that ends in a traceback fails the test. The whole table is slow; the gate tries each file and each command with the
damages that found something once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.command_line import Said, oncofed
from tests.damages import DAMAGES, Original
from tests.end_to_end.flower_processes import enrol, new_coordinator, new_node, signed_plan
from tests.installed_node import SOURCE, installed_node
from tests.releases import releases

from oncofed.client.records.audit_log import AuditLog

DOCUMENTED = (0, 1, 2)
QUICK = ("cut short", "binary", "deep")
QUICKEST = ("binary",)


@dataclass(frozen=True)
class InUse:
    """A folder with everything that it may hold. commands: by name."""

    original: Original
    commands: dict[str, tuple[str | Path, ...]]

    def each_file(
        self, commands: tuple[str, ...], damages: tuple[str, ...], *, below: str = ""
    ) -> Iterator[tuple[str, Path, Said]]:
        """What a command says: (for a message of the test, the damaged file, the words)."""
        for file in (each for each in self.original.files() if each.startswith(below)):
            for damage in damages:
                for command in commands:
                    self.original.put_back()
                    damaged = self.original.root / file
                    DAMAGES[damage](damaged)
                    about = f"{command}, {file} {damage}"
                    try:
                        yield about, damaged, oncofed(*self.commands[command])
                    except Exception as error:
                        raise AssertionError(f"{about}: a traceback, {type(error).__name__}") from error
        self.original.put_back()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InUse]:
    elsewhere = tmp_path_factory.mktemp("node")
    with installed_node() as made:
        made.enrol()
        made.guard().offer_plan(made.offer())
        made.approve()
        releases(made.folder, first=1, most=2)
        AuditLog(made.folder.audit_log).close(by="somebody", vouched=lambda head: b"{}")
        made.folder.status.write_text(
            '{"processes": [{"process": "guard", "pid": 1, "since": "2030", "restarts": 0, "last_exit": null}]}'
        )
        plan = elsewhere / "plan.json"
        plan.write_bytes(made.offer())
        root, beginning = made.folder.root, made.plan().hash[:12]
        yield InUse(
            Original(root, elsewhere / "original"),
            {
                "status": ("site", "status", root),
                "ledger": ("site", "ledger", root),
                "audit": ("site", "audit", root),
                "plans": ("site", "plans", root),
                "show": ("site", "plans", root, "--show", beginning),
                "add": ("site", "plans", root, "--add", plan),
                "check": ("site", "check", root),
                "peers": ("site", "peers", root),
                "card": ("site", "card", root),
                "request": ("site", "request", root, "--out", elsewhere / "request.json"),
                "decline": ("site", "decline", root, beginning),
                "close-log": ("site", "close-log", root),
                "backup": ("site", "backup", root, elsewhere / "backup.tar"),
                "doctor": ("site", "doctor", root),
                "explain": ("site", "explain", root, "--patient", "nobody"),
                "approve": ("site", "approve", root, beginning, "--source", SOURCE, "--yes"),
            },
        )


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> InUse:
    elsewhere = tmp_path_factory.mktemp("coordinator")
    folder = new_coordinator(elsewhere / "coordinator")
    for site in ("Bonn", "Essen"):
        enrol(folder, new_node(elsewhere / site, site))
    study = folder.study(signed_plan(folder, rounds=1).hash)
    at = '{"at": "2030-01-01T00:00:00.000+00:00"'
    (study / "rounds.jsonl").write_text(
        f'{at}, "round": 1, "attempt": 0, "answered": ["Bonn"], "rejected": [], "update_l2_norm": 1.0, "bytes_down": 1,'
        ' "bytes_up": 1, "seconds": 1.0}\n'
    )
    (study / "events.jsonl").write_text(f'{at}, "event": "started", "round": 0, "attempt": 0}}\n')
    (study / "run.json").write_text('{"run_id": 5}')
    folder.status.write_text('{"processes": []}')
    assert oncofed("study", "new", elsewhere / "lung").code == 0
    root, lung = folder.root, elsewhere / "lung" / "study.toml"
    return InUse(
        Original(root, elsewhere / "original"),
        {
            "enrol": ("coordinator", "enrol", root),
            "report": ("coordinator", "report", root, "--out", elsewhere / "report.html"),
            "sign": ("study", "sign", lung, "--coordinator", root, "--out", elsewhere / "plan.json"),
            "status": ("coordinator", "status", root),
            "suspend": ("coordinator", "suspend", root, "Essen"),
            "explain": ("study", "explain", root),
        },
    )


@pytest.mark.parametrize("command", ["status", "plans", "add"])
def test_a_damaged_file_of_a_node_is_told_in_words(command: str, node: InUse) -> None:
    for about, _, said in node.each_file((command,), QUICKEST):
        assert said.code in DOCUMENTED, about


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("status", "status.json"),
        ("add", "guard/answer.key"),
        ("add", "node.pub"),
        ("close-log", "guard/answer.key"),
        ("ledger", "guard/ledger.sqlite"),
        ("check", "policy.toml"),
    ],
)
def test_it_is_named_with_its_remedy_and_no_zero(command: str, file: str, node: InUse) -> None:
    damages = ("empty", *QUICK, "a folder", "a dangling link")
    for about, damaged, said in node.each_file((command,), damages, below=file):
        assert said.code in (1, 2), about
        assert damaged.name in said.text, (about, said.text)


def test_a_damaged_decision_closes_its_plan_alone_and_the_list_says_what_to_do(node: InUse) -> None:
    for about, _, said in node.each_file(("plans",), ("empty", *QUICK, "a dangling link"), below="guard/approvals"):
        assert said.code == 0, (about, said.text)
        assert "is not answered: approve or decline it again" in said.text, about


def test_a_damaged_file_of_a_coordinator_is_told_in_words(coordinator: InUse) -> None:
    for about, _, said in coordinator.each_file(("enrol",), QUICKEST):
        assert said.code in DOCUMENTED, about


@pytest.mark.slow
def test_whatever_is_damaged_at_a_node_no_command_ends_in_a_traceback(node: InUse) -> None:
    for about, _, said in node.each_file(tuple(node.commands), tuple(DAMAGES)):
        assert said.code in DOCUMENTED, about


@pytest.mark.slow
def test_whatever_is_damaged_at_a_coordinator_no_command_ends_in_a_traceback(coordinator: InUse) -> None:
    for about, _, said in coordinator.each_file(tuple(coordinator.commands), tuple(DAMAGES)):
        assert said.code in DOCUMENTED, about
