"""Do a node's figures say what its records say, and nothing of a patient, whatever is damaged?"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.command_line import oncofed
from tests.installed_node import SOURCE, InstalledNode, installed_node, planted, table
from tests.running_parts import held_by_another

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import read_site
from oncofed.client.install.node_metrics import TROUBLES, node_metrics
from oncofed.exposition import exposed

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PAGE = (Path(__file__).resolve().parents[4] / "docs" / "monitoring.md").read_text()


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    """A plan is approved, and two rounds were charged."""
    with installed_node() as here:
        here.enrol()
        (here.folder.plans / f"{here.plan().hash}.json").write_bytes(here.offer())
        here.approve()
        for number in (1, 2):
            here.guard().contribute(here.request(round_=number))
        yield here


def text_of(node: InstalledNode) -> str:
    return exposed(node_metrics(node.folder, read_site(node.folder), now=NOW))


def value(text: str, name: str, **labels: str) -> float:
    inside = ",".join(f'{key}="{told}"' for key, told in labels.items())
    (found,) = re.findall(rf"(?m)^oncofed_node_{name}{re.escape(f'{{{inside}}}') if inside else ''} (\S+)$", text)
    return float(found)


def test_they_say_what_the_records_say(node: InstalledNode) -> None:
    with held_by_another(node.folder.locks["relay"]):
        text = text_of(node)
    assert [value(text, "up", part=part) for part in ("guard", "node", "relay")] == [0, 0, 1]
    assert value(text, "metrics_timestamp_seconds") == NOW.timestamp()
    assert value(text, "plans", stage="approved") == 1
    assert value(text, "charges_total", source=SOURCE) == 2
    assert value(text, "audit_entries_total", event="to_be_charged") == 2
    assert value(text, "finding", topic="guard") == 2
    assert value(text, "finding", topic="versions") == 0
    assert value(text, "epsilon_largest", source=SOURCE) == 1.5
    spent = oncofed("site", "ledger", node.folder.root).text
    (left,) = re.findall(r"left: +epsilon ([\d.]+)", spent)
    assert value(text, "epsilon_left", source=SOURCE) == pytest.approx(float(left), abs=1e-3)
    assert 0 < float(left) < 1.5


def test_each_event_to_look_at_is_there_before_it_happens_or_its_first_time_would_be_no_increase(
    node: InstalledNode,
) -> None:
    text = text_of(node)
    assert {value(text, "audit_entries_total", event=event) for event in TROUBLES} == {0}


def test_nothing_of_a_patient_is_in_them_and_no_other_table_changes_them(node: InstalledNode) -> None:
    before = text_of(node)
    hidden = planted(table())
    assert [secret for secret in hidden.texts if secret in before] == []
    # Of numbers: those of the table that no clock or free disk could be by chance.
    assert not {str(number) for number in hidden.numbers} & set(re.findall(r"\S+$", before, re.MULTILINE))
    with shutil_with_free_space():
        before = text_of(node)
        table(311, prefix="OTHER", seed=5).to_csv(node.table_path, index=False)
        assert text_of(node) == before


def shutil_with_free_space() -> AbstractContextManager[object]:
    usage = shutil.disk_usage("/")
    return patch.object(shutil, "disk_usage", return_value=usage._replace(free=50_012_345_678))


def test_a_damaged_record_costs_its_own_figures_alone_and_is_a_finding(node: InstalledNode) -> None:
    whole = text_of(node)
    node.folder.ledger.write_bytes(b"no ledger")
    text = text_of(node)
    assert value(text, "finding", topic="ledger") == 2
    lost = {name for name in families(whole) if name not in families(text)}
    assert lost == {f"oncofed_node_{name}" for name in ("epsilon_largest", "epsilon_left", "charges_total")}
    node.folder.audit_log.write_bytes(b"no log\n")
    assert value(text_of(node), "finding", topic="audit_log") == 2


def families(text: str) -> set[str]:
    return set(re.findall(r"(?m)^# TYPE (\w+)", text))


def test_a_plan_that_nobody_approved_has_no_series_of_its_own(node: InstalledNode) -> None:
    other = replace(node.plan(), study="flood", initialisation_seed=5)
    (node.folder.plans / f"{other.hash}.json").write_bytes(node.offer(other))
    text = text_of(node)
    assert value(text, "plans", stage="waits") == 1
    assert "flood" not in text
    assert other.hash[:12] not in text


def test_what_is_shared_counts_for_both_sources(node: InstalledNode) -> None:
    policy = node.folder.policy.read_text()
    second = policy[policy.index("[[source]]") :].replace('"registry"', '"biobank"').replace(".csv", "-2.csv")
    node.folder.policy.write_text(policy + second + 'same_patients_as = "registry"\n')
    assert read_policy(node.folder.policy).source("biobank").counted_with
    text = text_of(node)
    assert value(text, "epsilon_left", source="biobank") == value(text, "epsilon_left", source=SOURCE)


def test_every_figure_is_judged_on_the_page_and_no_other(node: InstalledNode) -> None:
    rows = PAGE.split("`oncofed_node_` before it")[1].split("\n\n")[0]
    judged = {name for row in re.findall(r"(?m)^\| (`.*?) \|", rows) for name in re.findall(r"`(\w+)`", row)}
    # Only under a supervisor, enrolled, and once a round was answered by the server that notes it:
    elsewhere = {"restarts_total", "certificate_end_timestamp_seconds", "last_answer_timestamp_seconds"}
    assert {f"oncofed_node_{name}" for name in judged - elsewhere} == families(text_of(node))
    assert elsewhere < judged
