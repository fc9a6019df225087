"""Do alerts and dashboards ask for figures that exist, does Prometheus take them, and is JSON as the page says?

That each alert fires by its cause: `tests/end_to_end/test_monitoring.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.installed_node import installed_node
from tests.prometheus import MONITORING, promtool

PAGE = (MONITORING.parent / "monitoring.md").read_text()
ENDS = ("node", "coordinator")


def judged(end: str) -> set[str]:
    """Names of figures in the page's table of this end."""
    rows = PAGE.split(f"`oncofed_{end}_` before it")[1].split("\n\n")[0]
    names = {name for row in re.findall(r"(?m)^\| (`.*?) \|", rows) for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 12
    return {f"oncofed_{end}_{name}" for name in names}


@pytest.mark.parametrize("end", ENDS)
def test_alerts_and_pictures_ask_for_figures_of_the_page_and_pictures_for_all(end: str) -> None:
    alerts = set(re.findall(r"oncofed_\w+", "\n".join(re.findall(r"expr: (.*)", rules(end).read_text()))))
    drawn = set(re.findall(r"oncofed_\w+", (MONITORING / f"grafana-{end}.json").read_text()))
    assert alerts <= judged(end)
    assert drawn == judged(end)


def rules(end: str) -> Path:
    return MONITORING / f"oncofed-{end}.rules.yml"


@pytest.mark.parametrize("end", ENDS)
def test_prometheus_own_tool_takes_the_rules(end: str, tmp_path: Path) -> None:
    done = promtool("check", "rules", rules(end))
    assert done.returncode == 0, done.stderr
    broken = tmp_path / "broken.yml"
    broken.write_text(rules(end).read_text().replace("== 0", "=== 0", 1))
    assert promtool("check", "rules", broken).returncode != 0


@pytest.mark.parametrize("end", ENDS)
def test_each_alert_says_what_is_to_be_done_with_a_command_that_exists(end: str) -> None:
    alerts = rules(end).read_text().split("- alert: ")[1:]
    assert all(re.search(r'remedy: ".+"', alert) and re.search(r'summary: ".+"', alert) for alert in alerts)
    for command in set(re.findall(r"oncofed (?:site|coordinator) \w+", "".join(alerts))):
        assert oncofed(*command.split()[1:], "--help").code == 0, command


@pytest.mark.parametrize("end", ENDS)
def test_a_dashboard_is_json_whose_pictures_do_not_lie_upon_one_another(end: str) -> None:
    board = json.loads((MONITORING / f"grafana-{end}.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
        assert panel["targets"], panel["title"]
    assert max(x for x, _ in taken) < 24


def test_a_nodes_json_has_the_fields_of_the_page() -> None:
    with installed_node() as node:
        node.enrol()
        (node.folder.plans / f"{node.plan().hash}.json").write_bytes(node.offer())
        node.approve()
        (node.folder.plans / f"{'a' * 64}.json").write_text("{")
        status = oncofed("site", "status", node.folder.root, "--json")
        doctor = oncofed("site", "doctor", node.folder.root, "--json")
    told, found = json.loads(status.text), json.loads(doctor.text)
    assert (status.code, doctor.code) == (1, 1)
    assert (told["form"], found["form"], told["all_run"], found["verdict"]) == (1, 1, False, "fault")
    assert [part["name"] for part in told["parts"]] == ["guard", "node", "relay"]
    assert [plan["stage"] for plan in told["plans"]] == ["approved"]
    assert told["unreadable_plans"] == ["a" * 64]
    assert {finding["verdict"] for finding in found["findings"]} == {"fine", "warning", "fault"}
    of_status, of_doctor = (PAGE.split(f"`oncofed site {name} NODE --json`")[1] for name in ("status", "doctor"))
    undocumented(of_status, told, told["parts"][0], told["last_entry"], told["plans"][0])
    undocumented(of_doctor, found, found["findings"][0])
    with pytest.raises(AssertionError):
        undocumented(of_doctor, {"surely_unknown": 1})


def undocumented(part: str, *fields: dict[str, object]) -> None:
    table = part.split("\n\n")[1] + part.split("\n\n")[2]
    names = {"form", "at", "version"} | set(re.findall(r"`(\w+)`", table))
    assert {name for each in fields for name in each} - names == set()
