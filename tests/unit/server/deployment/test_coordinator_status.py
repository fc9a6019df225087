"""Does a coordinator say when a part of it is down or a certificate ends, as words, JSON, exit code and figures?

The server in these tests is one on loopback that shows the certificate and refuses the rest; real processes:
`tests/end_to_end/test_monitoring.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import enrol, new_coordinator, new_node, signed_plan
from tests.loopback_servers import http_server
from tests.running_parts import held_by_another

from oncofed.exposition import exposed
from oncofed.running import Part
from oncofed.server.deployment import coordinator_status as looked_at
from oncofed.server.deployment.certificates import SERVER_DAYS, renew_server_certificate
from oncofed.server.deployment.coordinator_metrics import coordinator_metrics
from oncofed.server.deployment.coordinator_status import CoordinatorStatus, coordinator_status
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "monitoring.md").read_text()
NOW = datetime.now(UTC).replace(microsecond=0)


class Answers:
    """In place of `Control`: a server that knows no node."""

    @staticmethod
    def of(folder: CoordinatorFolder) -> Answers:
        return Answers()

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def list_nodes(self) -> tuple[()]:
        return ()


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    made = new_coordinator(tmp_path / "coordinator")
    for site in ("Bonn", "Essen"):
        enrol(made, new_node(tmp_path / site, site))
    return made


@contextmanager
def well(folder: CoordinatorFolder) -> Iterator[None]:
    port = read_settings(folder).listen_port
    with (
        held_by_another(folder.locks["superlink"]),
        held_by_another(folder.locks["superexec"]),
        http_server(port=port, certificate=folder.server_certificate),
        patch.object(looked_at, "Control", Answers),
    ):
        yield


def seen(folder: CoordinatorFolder, *, now: datetime = NOW) -> CoordinatorStatus:
    return coordinator_status(folder, read_settings(folder), studies=(), now=now)


def test_exit_code_1_when_any_part_is_down_and_0_when_all_is_well(folder: CoordinatorFolder) -> None:
    with well(folder):
        assert oncofed("coordinator", "status", folder.root).code == 0
        assert seen(folder).is_well
        for part in seen(folder).parts:
            down = tuple(Part(each.name, each.name != part.name) for each in seen(folder).parts)
            assert not replace(seen(folder), parts=down).is_well
    said = oncofed("coordinator", "status", folder.root)
    assert said.code == 1
    assert "superlink  does not run" in said.text


@pytest.mark.parametrize("days", [31, 29, -1])
def test_the_end_of_a_certificate_is_announced_thirty_days_before(days: int, folder: CoordinatorFolder) -> None:
    renew_server_certificate(folder, read_settings(folder), now=NOW)
    with well(folder):
        status = seen(folder, now=NOW + timedelta(days=SERVER_DAYS - days))
    told = [line for line in status.lines() if "certificate" in line]
    assert bool(told) == (days < 30)
    assert all(
        "--renew-certificate" in line and f"{NOW + timedelta(days=SERVER_DAYS):%Y-%m-%d}" in line for line in told
    )
    assert status.is_well == (days > 0)


def test_a_server_that_shows_the_former_certificate_is_told(folder: CoordinatorFolder) -> None:
    renew_server_certificate(folder, read_settings(folder), now=NOW - timedelta(days=SERVER_DAYS - 20))
    with well(folder):
        renew_server_certificate(folder, read_settings(folder), now=NOW)
        told = [line for line in seen(folder).lines() if "certificate" in line]
    assert len(told) == 1
    assert told[0].startswith("served certificate: ends on")
    assert "start it again" in told[0]


def test_a_lost_certificate_is_told_with_its_remedy(folder: CoordinatorFolder) -> None:
    folder.server_certificate.unlink()
    folder.ca_certificate.write_text("x")
    status = replace(seen_without_a_server(folder), states={})
    assert not status.is_well
    told = [line for line in status.lines() if "certificate" in line]
    assert ["--renew-certificate" in told[0], "backup" in told[1]] == [True, True]


def seen_without_a_server(folder: CoordinatorFolder) -> CoordinatorStatus:
    with patch.object(looked_at, "Control", Answers):
        return seen(folder)


def test_the_json_has_the_fields_of_the_page_and_no_study_hides_another(folder: CoordinatorFolder) -> None:
    plan = signed_plan(folder, rounds=2)
    (folder.study("a" * 64)).mkdir(parents=True)
    (folder.study("a" * 64) / "plan.json").write_text("{")
    said = oncofed("coordinator", "status", folder.root, "--json")
    told = json.loads(said.text)
    assert said.code == 1
    assert told["is_well"] is False
    states = {each["plan"]: each["state"] for each in told["studies"]}
    assert states == {plan.hash: "not started", "a" * 64: "unreadable"}
    part = PAGE.split("`oncofed coordinator status COORD --json`")[1].split("\n## ")[0]
    for fields in (told, told["parts"][0], told["certificates"][0], told["hospitals"][0], told["studies"][0]):
        assert [name for name in fields if f"`{name}`" not in part] == []


def test_figures_say_what_the_files_say_and_each_stands_on_the_page(folder: CoordinatorFolder) -> None:
    plan, waiting = signed_plan(folder, rounds=2), signed_plan(folder, rounds=3)
    at, study = f'{{"at": "{NOW.isoformat()}"', folder.study(plan.hash)
    for number, rejected, seconds in (
        (1, '"Essen: refused: not_ready"', 90.0),
        (2, '"Essen: no answer within 60 s", "node 7: malformed"', 12.5),
    ):
        with (study / "rounds.jsonl").open("a") as file:
            file.write(
                f'{at}, "round": {number}, "attempt": 0, "answered": ["Bonn"], "rejected": [{rejected}], '
                f'"update_l2_norm": 1.0, "bytes_down": 1, "bytes_up": 1, "seconds": {seconds}}}\n'
            )
    with well(folder):
        text = exposed(coordinator_metrics(folder, read_settings(folder), now=NOW))

    def value(name: str, **labels: str) -> float:
        inside = ",".join(f'{key}="{told}"' for key, told in labels.items())
        (found,) = re.findall(rf"(?m)^oncofed_coordinator_{name}{re.escape(f'{{{inside}}}')} (\S+)$", text)
        return float(found)

    of = {"plan": plan.hash[:12], "study": plan.study}
    assert value("up", part="answers") == 1
    assert value("rounds_done", **of) == 2
    assert value("last_round_seconds", **of) == 12.5
    assert value("answers_total", **of, hospital="Bonn") == 2
    assert value("rounds_without_total", **of, hospital="Essen", reason="not_ready") == 1
    assert value("rounds_without_total", **of, hospital="Essen", reason="no_answer") == 1
    assert value("rounds_without_total", **of, hospital="another node", reason="not_admitted") == 1
    assert value("refusals_total", code="not_ready") == 1
    assert value("study_stopped", **of) == 1, "a process was at work, is not now, and no model is there"
    assert value("study_stopped", plan=waiting.hash[:12], study=waiting.study) == 0, "nobody has begun it"
    assert value("last_progress_timestamp_seconds", **of) == NOW.timestamp()
    rows = PAGE.split("`oncofed_coordinator_` before it")[1]
    judged = {name for row in re.findall(r"(?m)^\| (`.*?) \|", rows) for name in re.findall(r"`(\w+)`", row)}
    families = set(re.findall(r"(?m)^# TYPE oncofed_coordinator_(\w+)", text))
    assert families == judged - {"restarts_total"}
