"""Does a real Prometheus take every figure of running processes, and does each example alert fire by its cause?

A coordinator and four hospitals under the product's own supervisors have run a study. What is shown to Prometheus is
what `oncofed site metrics` and `oncofed coordinator metrics` write then; each cause is made for real, but for a disk
that is nearly full and the passing of hours. The rules are those of docs/monitoring without their `for`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.end_to_end.flower_processes import SITES, until
from tests.end_to_end.installed_consortium import cli
from tests.end_to_end.supervised_consortium import Study, Supervised, supervised
from tests.prometheus import MONITORING, Prometheus, promtool, running_prometheus

from oncofed.client.install.folder import read_site
from oncofed.client.install.node_metrics import node_metrics
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.errors import RequestRefused
from oncofed.exposition import exposed
from oncofed.protocol.wire_form import Method
from oncofed.server.deployment.at_work import at_work
from oncofed.server.deployment.certificates import SERVER_DAYS, renew_server_certificate
from oncofed.server.deployment.coordinator_metrics import coordinator_metrics
from oncofed.server.deployment.folder import read_settings

pytestmark = pytest.mark.slow
HERE = SITES[0]
AWAY = SITES[1]
_SAMPLE = re.compile(r"(?m)^(\w+)(?:\{(.*)\})? (\S+)$")


@dataclass(frozen=True)
class Watched:
    """refused: a study in which HERE refused every round, and which counts without it."""

    consortium: Supervised
    finished: Study
    refused: Study

    def of_node(self, *, now: datetime | None = None) -> str:
        node = self.consortium.nodes[HERE]
        return exposed(node_metrics(node, read_site(node), now=now or datetime.now(UTC)))

    def of_coordinator(self, *, now: datetime | None = None) -> str:
        folder = self.consortium.coordinator
        return exposed(coordinator_metrics(folder, read_settings(folder), now=now or datetime.now(UTC)))


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[Watched, dict[str, str]]]:
    """And what was written after the first study, when all was well."""
    promtool("--version")  # skips before anything is started
    with supervised() as consortium:
        first = consortium.study("first", rounds=2)
        consortium.begin(first)
        assert consortium.finish(first).outcome == "completed"
        second = consortium.study("second", rounds=1, quorum=3, decided=False)
        here = Watched(consortium, first, second)
        calm = {"node": here.of_node(), "coordinator": here.of_coordinator()}
        yield here, calm


def scraped(text: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The text read by a pattern of its own, as Prometheus should have it."""
    found = {}
    for name, labels, value in _SAMPLE.findall(text):
        pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)
        found[tuple(sorted([("__name__", name), *pairs]))] = float(value)
    return found


def all_is_scraped(prometheus: Prometheus, text: str, families: int) -> None:
    prometheus.shows(text)
    expected = scraped(text)
    assert len({dict(key)["__name__"] for key in expected}) >= families
    assert prometheus.samples('{__name__=~"oncofed_.*"}') == expected
    assert prometheus.firing() == {}


def fires(prometheus: Prometheus, alert: str, text: str, **labels: str) -> None:
    """And not before."""
    assert alert not in prometheus.firing()
    prometheus.shows(text)
    found = prometheus.firing()
    assert alert in found, (alert, found)
    assert any(labels.items() <= told.items() for told in found[alert]), (alert, found[alert])


@contextmanager
def nearly_full() -> Iterator[None]:
    usage = shutil.disk_usage("/")
    with patch.object(shutil, "disk_usage", return_value=usage._replace(free=1_950_000_000)):
        yield


def kill_often(consortium: Supervised, side: str, part: str) -> None:
    for _ in range(5):
        before = consortium.pid(side, part)
        os.kill(before, signal.SIGKILL)

        def again(before: int = before) -> bool:
            with suppress(AssertionError):  # it waits to be started again
                return consortium.pid(side, part) != before
            return False

        until(again, seconds=90, what=f"{part} is started again")


def test_each_alert_of_a_node_fires_by_its_cause(watched: tuple[Watched, dict[str, str]]) -> None:
    here, calm = watched
    consortium, node = here.consortium, here.consortium.nodes[HERE]
    rules, told = MONITORING / "oncofed-node.rules.yml", set[str]()
    with running_prometheus(rules) as prometheus:

        def caused(alert: str, text: str, **labels: str) -> None:
            prometheus.shows(without(calm["node"], "plans"))  # a plan waits from now on, see below
            fires(prometheus, alert, text, **labels)
            told.add(alert)

        def without(text: str, family: str) -> str:
            return re.sub(rf"(?m)^oncofed_node_{family}\{{.*\n", "", text)

        all_is_scraped(prometheus, calm["node"].replace('plans{stage="waits"} 1', 'plans{stage="waits"} 0'), 17)
        caused("OncofedNodePlanWaits", here.of_node(), stage="waits")
        caused("OncofedNodeFiguresMissing", "")
        caused("OncofedNodeFiguresOld", here.of_node(now=datetime.now(UTC) - timedelta(minutes=20)))
        node.guard.chmod(0o755)
        caused("OncofedNodeFault", here.of_node(), topic="file_rights")
        node.guard.chmod(0o700)
        with nearly_full():
            caused("OncofedNodeDiskLow", here.of_node())
        policy = node.policy.read_text()
        spent = 100 - next(
            value for key, value in scraped(calm["node"]).items() if named(key, "oncofed_node_epsilon_left")
        )
        node.policy.write_text(policy.replace("largest_epsilon = 100.0", f"largest_epsilon = {spent / 0.95:.4f}"))
        caused("OncofedNodeBudgetLow", here.of_node(), source="registry")
        node.policy.write_text(policy)
        document = node.plans / f"{here.finished.plan_hash}.json"
        kept = document.read_bytes()
        document.unlink()
        caused("OncofedNodePlanUnreadable", here.of_node(), stage="unreadable")
        document.write_bytes(kept)
        channel = GuardChannel(socket=node.socket, token="0" * 64)
        with pytest.raises(RequestRefused):
            channel.ask(Method.DESCRIBE, b"")
        channel.close()
        caused("OncofedNodeAuditTrouble", here.of_node(), event="wrong_token")
        for site in consortium.nodes.values():
            cli("site", "approve", str(site.root), here.refused.plan_hash[:12], "--source", "registry", "--yes")
        node.policy.write_text("[nodes]")  # so that this hospital refuses, and the others are enough
        consortium.begin(here.refused)
        consortium.finish(here.refused)
        node.policy.write_text(policy)
        caused("OncofedNodeRefuses", here.of_node(), code="not_ready")
        kill_often(consortium, HERE, "relay")
        caused("OncofedNodeRestarts", here.of_node(), part="relay")
        with short_certificate(consortium):
            caused("OncofedNodeCertificateEnds", here.of_node(), certificate="server")
        consortium.stop(HERE)
        caused("OncofedNodePartDown", here.of_node(), part="guard")
        consortium.start_site(HERE)
    assert told == alerts_of(rules)


def test_each_alert_of_a_coordinator_fires_by_its_cause(watched: tuple[Watched, dict[str, str]]) -> None:
    here, calm = watched
    consortium, folder = here.consortium, here.consortium.coordinator
    rules, told = MONITORING / "oncofed-coordinator.rules.yml", set[str]()
    with running_prometheus(rules) as prometheus:

        def caused(alert: str, text: str, **labels: str) -> None:
            prometheus.shows(calm["coordinator"])
            fires(prometheus, alert, text, **labels)
            told.add(alert)

        all_is_scraped(prometheus, calm["coordinator"], 17)
        assert here.refused.rounds, "the test of the node runs first"
        caused("OncofedCoordinatorRefusals", here.of_coordinator(), code="not_ready")
        caused("OncofedCoordinatorFiguresMissing", "")
        caused("OncofedCoordinatorFiguresOld", here.of_coordinator(now=datetime.now(UTC) - timedelta(minutes=20)))
        with nearly_full():
            caused("OncofedCoordinatorDiskLow", here.of_coordinator())
        member = folder.sites / f"{AWAY}.json"
        kept = member.read_bytes()
        member.write_bytes(b"{")
        caused("OncofedCoordinatorRecordsDamaged", here.of_coordinator(), state="damaged")
        member.write_bytes(kept)
        third = consortium.study("third", rounds=1, decided=False)
        hours_ago = (datetime.now(UTC) - timedelta(hours=7)).isoformat()
        (third.folder / "events.jsonl").write_text(f'{{"at": "{hours_ago}", "event": "started", "round": 0}}\n')
        with at_work(third.folder):
            caused("OncofedCoordinatorStudyStands", here.of_coordinator(), study="third")
        caused("OncofedCoordinatorStudyStopped", here.of_coordinator(), study="third")
        consortium.stop(AWAY)
        until(lambda: consortium.base.online() < len(SITES), seconds=120, what="it is seen to be away")
        caused("OncofedCoordinatorHospitalOffline", here.of_coordinator(), hospital=AWAY)
        kill_often(consortium, "coordinator", "superexec")
        caused("OncofedCoordinatorRestarts", here.of_coordinator(), part="superexec")
        with short_certificate(consortium):
            caused("OncofedCoordinatorCertificateEnds", here.of_coordinator(), certificate="served")
        consortium.stop("coordinator")
        caused("OncofedCoordinatorPartDown", here.of_coordinator(), part="answers")
        consortium.start_coordinator()
    assert told == alerts_of(rules)


@contextmanager
def short_certificate(consortium: Supervised) -> Iterator[None]:
    """The server shows one that ends in 25 days."""
    folder, made = consortium.coordinator, datetime.now(UTC) - timedelta(days=SERVER_DAYS - 25)
    for now in (made, datetime.now(UTC)):
        consortium.stop("coordinator")
        renew_server_certificate(folder, read_settings(folder), now=now)
        consortium.start_coordinator()
        if now is made:
            yield


def alerts_of(rules: Path) -> set[str]:
    return set(re.findall(r"- alert: (\w+)", rules.read_text()))


def named(key: tuple[tuple[str, str], ...], name: str) -> bool:
    return dict(key)["__name__"] == name


def expressions(dashboard: Path) -> list[str]:
    return re.findall(r'"expr": "((?:[^"\\]|\\.)*)"', dashboard.read_text())


@pytest.mark.parametrize("end", ["node", "coordinator"])
def test_each_picture_of_the_dashboard_has_something_to_draw(end: str, watched: tuple[Watched, dict[str, str]]) -> None:
    _, calm = watched
    with running_prometheus(MONITORING / f"oncofed-{end}.rules.yml") as prometheus:
        prometheus.shows(calm[end])
        asked = expressions(MONITORING / f"grafana-{end}.json")
        assert len(asked) > 10
        may_be_empty = ("increase(", "at_work == 1", "rounds_without_total")
        empty = [each for each in asked if not prometheus.samples(each.encode().decode("unicode_escape"))]
        assert [each for each in empty if not any(mark in each for mark in may_be_empty)] == []
