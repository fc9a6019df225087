"""A hospital's systemd units: hardened, each with its own user and folders, refused where they would not protect."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tests.hardened_units import EVERYWHERE, complaints, lacking, settings_of, without

from oncofed.client.install import units
from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.units import NAMES, OF_METRICS, node_units
from oncofed.errors import InvalidInput
from oncofed.unit_files import write

SITE = '[site]\nname = "Bonn"\n'
USERS = '[users]\nguard = "oncofed-guard"\nnode = "oncofed-node"\nrelay = "oncofed-relay"\n'
POLICY = """
[node]
smallest_cohort = 50
largest_parameters = 1000
allowed_plans = ["any"]
[[source]]
name = "registry"
largest_epsilon = 1.5
delta = 1e-5
smallest_noise_multiplier = 5.0
"""
CSV = 'kind = "csv"\npath = "/srv/registry.csv"\n'
SQL = 'kind = "sql"\nstatement = "SELECT 1"\nurl_file = "/etc/database-address"\n'
OF_SERVICES = {"Restart", "StartLimitIntervalSec", "ProtectProc", "RemoveIPC"}
SERVICES = {"guard": "oncofed-guard.service", "node": "oncofed-node.service", "relay": "oncofed-relay.service"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeFolder:
    monkeypatch.setattr(units, "_HIDDEN", (Path("/home"),))  # tests work in what the services do not see
    node = NodeFolder(tmp_path)
    node.settings.write_text(SITE + USERS)
    node.policy.write_text(POLICY + CSV)
    return node


def own(folder: NodeFolder, part: str) -> dict[str, set[str]]:
    """What sets one part's unit apart from the others."""
    inside = {name: str(folder.root / name) for name in ("guard", "node", "relay", "run", "approved", "policy.toml")}
    if part == "guard":
        return {
            "ReadWritePaths": {f"{inside['guard']} {inside['run']} {inside['approved']}"},
            "InaccessiblePaths": {f"{inside['node']} {inside['relay']}"},
            "PrivateNetwork": {"yes"},
            "RestrictAddressFamilies": {"AF_UNIX"},
            "IPAddressDeny": {"any"},
        }
    if part == "node":
        return {
            "ReadWritePaths": {inside["node"]},
            "InaccessiblePaths": {f"{inside['guard']} {inside['relay']} {inside['run']} {inside['policy.toml']}"},
            "RestrictAddressFamilies": {"AF_UNIX AF_INET AF_INET6"},
        }
    return {
        "ReadWritePaths": {inside["relay"]},
        "InaccessiblePaths": {f"{inside['guard']} {inside['node']} {inside['policy.toml']}"},
        "RestrictAddressFamilies": {"AF_UNIX AF_INET"},
        "IPAddressDeny": {"any"},
        "IPAddressAllow": {"127.0.0.1"},
    }


@pytest.mark.parametrize("part", SERVICES)
def test_each_unit_is_hardened_and_none_of_it_can_be_taken_out_unnoticed(folder: NodeFolder, part: str) -> None:
    unit = node_units(folder, databases=())[SERVICES[part]]
    demanded = EVERYWHERE | own(folder, part) | {"User": {f"oncofed-{part}"}, "Group": {f"oncofed-{part}"}}
    assert lacking(unit, demanded) == set()
    for setting in demanded:
        assert lacking(without(unit, setting), demanded) == {setting}


@pytest.mark.parametrize("part", SERVICES)
def test_each_unit_starts_its_part_with_a_command_that_exists(folder: NodeFolder, part: str) -> None:
    (command,) = settings_of(node_units(folder, databases=())[SERVICES[part]])["ExecStart"]
    program, *arguments = command.split()
    assert Path(program).is_file()
    assert Path(program).parent == Path(sys.executable).parent
    assert arguments == ["site", "start", str(folder.root), "--only", part]


def test_a_killed_part_is_back_before_a_round_is_lost_and_backs_off_after(folder: NodeFolder) -> None:
    for name in SERVICES.values():
        found = settings_of(node_units(folder, databases=())[name])
        (seconds,), (longest,) = found["RestartSec"], found["RestartMaxDelaySec"]
        assert 1 <= int(seconds) <= 5
        assert int(longest) == 60
        assert found["RestartSteps"]


def test_the_target_holds_the_three_together(folder: NodeFolder) -> None:
    found = node_units(folder, databases=())
    assert settings_of(found["oncofed.target"])["Wants"] == {" ".join(SERVICES.values())}
    for name in SERVICES.values():
        assert settings_of(found[name])["PartOf"] == {"oncofed.target"}
        assert settings_of(found[name])["WantedBy"] == {"oncofed.target"}


def test_systemd_has_nothing_against_them(folder: NodeFolder, tmp_path: Path) -> None:
    out = tmp_path / "units"
    written = write(out, node_units(folder, databases=()))
    assert {path.name for path in written} == set(NAMES)
    if (found := complaints(out)) is None:
        pytest.skip("NOT TESTED: systemd-analyze verify. Install systemd to test it.")
    assert found == []
    path = out / "oncofed-guard.service"
    path.write_text(path.read_text().replace("ProtectHome=yes", "ProtectHome=surely"))
    assert complaints(out)


def test_the_timer_for_prometheus_comes_when_it_is_asked_for_and_its_service_reaches_little(
    folder: NodeFolder, tmp_path: Path
) -> None:
    assert set(node_units(folder, databases=())) == set(NAMES)
    found = node_units(folder, databases=(), metrics=Path("/var/lib/prometheus/node-exporter"))
    assert set(found) == {*NAMES, *OF_METRICS}
    service = found["oncofed-metrics.service"]
    command = f"site metrics {folder.root} --out /var/lib/prometheus/node-exporter/oncofed.prom"
    assert {line.partition(" ")[2] for line in settings_of(service)["ExecStart"]} == {command}
    # Root, which changes nothing of the node's. It runs once, and is no service to start again.
    demanded = {name: lines for name, lines in EVERYWHERE.items() if name not in OF_SERVICES} | {
        "ReadWritePaths": {"/var/lib/prometheus/node-exporter"},
        "CapabilityBoundingSet": {"CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH"},
        "SystemCallFilter": {"@system-service"},
    }
    assert lacking(service, demanded) == set()
    for setting in demanded:
        assert lacking(without(service, setting), demanded) == {setting}
    write(tmp_path / "units", found)
    assert not complaints(tmp_path / "units")


def test_with_a_database_the_guard_reaches_it_and_nothing_else(folder: NodeFolder) -> None:
    folder.policy.write_text(POLICY + SQL)
    guard = settings_of(node_units(folder, databases=("10.2.0.7", "fd00::7"))["oncofed-guard.service"])
    assert "PrivateNetwork" not in guard
    assert guard["IPAddressDeny"] == {"any"}
    assert guard["IPAddressAllow"] == {"10.2.0.7 fd00::7"}


def test_a_database_on_a_unix_socket_needs_no_network(folder: NodeFolder) -> None:
    folder.policy.write_text(POLICY + SQL)
    guard = settings_of(node_units(folder, databases=("local",))["oncofed-guard.service"])
    assert guard["PrivateNetwork"] == {"yes"}


def faults_of(folder: NodeFolder, *databases: str) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        node_units(folder, databases=databases)
    return [str(fault) for fault in refused.value.faults]


def test_a_database_without_an_address_to_let_through_is_refused(folder: NodeFolder) -> None:
    folder.policy.write_text(POLICY + SQL)
    assert "--database ADDRESS" in faults_of(folder)[0]
    assert "--database" in faults_of(folder, "database.example.org")[0]


def test_a_database_whose_address_is_in_a_variable_is_refused(folder: NodeFolder) -> None:
    folder.policy.write_text(POLICY + SQL.replace("url_file", "url_variable").replace("/etc/database-address", "URL"))
    assert "url_file" in faults_of(folder, "10.2.0.7")[0]


def test_what_the_services_cannot_see_is_refused(folder: NodeFolder) -> None:
    folder.policy.write_text(POLICY + CSV.replace("/srv", "/home/doe"))
    assert "/home" in faults_of(folder)[0]


def test_a_node_that_runs_as_one_user_gets_no_units(folder: NodeFolder) -> None:
    folder.settings.write_text(SITE)
    assert "--users" in faults_of(folder)[0]


def test_a_path_that_systemd_would_read_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "_HIDDEN", ())
    for name in ("a b", "50%n", 'a"b'):
        node = NodeFolder(tmp_path / name)
        node.root.mkdir()
        node.settings.write_text(SITE + USERS)
        node.policy.write_text(POLICY + CSV)
        assert "systemd unit" in faults_of(node)[0]


def test_units_of_several_nodes_share_no_name_and_no_dependency(folder: NodeFolder) -> None:
    one, other = (
        node_units(folder, databases=(), metrics=Path("/var/lib/textfiles"), instance=name) for name in (None, "ulm")
    )
    assert set(one) == {*NAMES, *OF_METRICS}
    assert set(other) == {name.replace("oncofed", "oncofed-ulm") for name in one}
    named = {
        word for text in other.values() for word in re.findall(r"oncofed[a-z-]*\.(?:service|target|timer|prom)", text)
    }
    assert named
    assert all(word.startswith("oncofed-ulm") for word in named)
    for name, text in one.items():
        assert text.count("oncofed.target") == other[name.replace("oncofed", "oncofed-ulm", 1)].count(
            "oncofed-ulm.target"
        )


@pytest.mark.parametrize("name", ["", "Ulm", "guard", "coordinator", "a b", "../ulm", "ulm\n", "u" * 33])
def test_a_name_that_no_unit_can_have_is_refused(name: str, folder: NodeFolder) -> None:
    with pytest.raises(InvalidInput, match="--instance"):
        node_units(folder, databases=(), instance=name)
