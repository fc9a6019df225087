"""A coordinator's systemd unit: hardened, for a user who owns the folder."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest
from tests.hardened_units import EVERYWHERE, complaints, lacking, settings_of, without

from oncofed.errors import InvalidInput
from oncofed.server.deployment import units
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, settings_text
from oncofed.server.deployment.units import NAMES, OF_METRICS, coordinator_units
from oncofed.unit_files import write

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CoordinatorFolder:
    monkeypatch.setattr(units, "_HIDDEN", (Path("/home"),))  # tests work in what the services do not see
    settings = CoordinatorSettings("Lung 100%", "fl.example.org:9443", "0.0.0.0:9443", ("fl.example.org",))
    (tmp_path / "coordinator.toml").write_text(settings_text(settings))
    return CoordinatorFolder(tmp_path)


def test_the_unit_is_hardened_and_none_of_it_can_be_taken_out_unnoticed(folder: CoordinatorFolder) -> None:
    unit = coordinator_units(folder, user=ME)[NAMES[0]]
    demanded = EVERYWHERE | {
        "User": {ME},
        "Group": {ME},
        "ReadWritePaths": {str(folder.root)},
        "RestrictAddressFamilies": {"AF_UNIX AF_INET AF_INET6"},
        "KillMode": {"mixed"},
    }
    assert lacking(unit, demanded) == set()
    for setting in demanded:
        assert lacking(without(unit, setting), demanded) == {setting}


def test_the_unit_starts_a_command_that_exists(folder: CoordinatorFolder) -> None:
    (command,) = settings_of(coordinator_units(folder, user=ME)[NAMES[0]])["ExecStart"]
    program, *arguments = command.split()
    assert Path(program).is_file()
    assert Path(program).parent == Path(sys.executable).parent
    assert arguments == ["coordinator", "start", str(folder.root)]


def test_systemd_has_nothing_against_it(folder: CoordinatorFolder, tmp_path: Path) -> None:
    out = tmp_path / "units"
    write(out, coordinator_units(folder, user=ME))
    if (found := complaints(out)) is None:
        pytest.skip("NOT TESTED: systemd-analyze verify. Install systemd to test it.")
    assert found == []


def test_the_timer_for_prometheus_writes_one_folder_alone(folder: CoordinatorFolder, tmp_path: Path) -> None:
    found = coordinator_units(folder, user=ME, metrics=Path("/var/lib/prometheus/node-exporter"))
    assert set(found) == {*NAMES, *OF_METRICS}
    service = found["oncofed-coordinator-metrics.service"]
    assert (
        lacking(
            service,
            {
                "ReadWritePaths": {"/var/lib/prometheus/node-exporter"},
                "CapabilityBoundingSet": {"CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH"},
                "NoNewPrivileges": {"yes"},
                "ProtectSystem": {"strict"},
            },
        )
        == set()
    )
    write(tmp_path / "units", found)
    assert not complaints(tmp_path / "units")


def test_a_name_for_people_cannot_say_anything_to_systemd(folder: CoordinatorFolder) -> None:
    (description,) = settings_of(coordinator_units(folder, user=ME)[NAMES[0]])["Description"]
    assert description == "oncofed coordinator: Lung 100 "


def test_another_user_or_an_unknown_one_is_refused(folder: CoordinatorFolder) -> None:
    other = "nobody" if ME != "nobody" else "root"
    for user, word in ((other, "chown"), ("surely-unknown", "useradd")):
        with pytest.raises(InvalidInput, match=word):
            coordinator_units(folder, user=user)


def test_a_folder_that_the_service_cannot_see_is_refused(
    folder: CoordinatorFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "_HIDDEN", (folder.root.parent,))
    with pytest.raises(InvalidInput, match="does not see"):
        coordinator_units(folder, user=ME)
