"""Is the unit that docs/pages.md has hospitals write down as hardened as those that are generated, and one to systemd?

Whether it serves with these users and rights is tried by tests/end_to_end/test_pages_behind_proxy.py.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tests.hardened_units import EVERYWHERE, complaints, lacking, settings_of, without

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pages.md").read_text()
(UNIT,) = re.findall(r"```ini\n(.*?)```", PAGE, flags=re.DOTALL)
(FOR_LAUNCHES,) = re.findall(r"```conf\n(.*?)```", PAGE, flags=re.DOTALL)
WRITTEN_BY_THE_GUARD = (
    *("ledger.sqlite", "approvals", "answers", "patients", "masking", "models"),
    *("answer.key", "held_out.key", "token.sha256"),
)
OWN = {
    "User": {"oncofed-guard"},
    "Group": {"www-data"},
    "SupplementaryGroups": {"oncofed-guard"},
    "ReadWritePaths": {"/etc/oncofed/guard"},
    "ReadOnlyPaths": {" ".join(f"-/etc/oncofed/guard/{name}" for name in WRITTEN_BY_THE_GUARD)},
    "InaccessiblePaths": {"/etc/oncofed/node /etc/oncofed/relay /etc/oncofed/run"},
    "PrivateNetwork": {"yes"},
    "RestrictAddressFamilies": {"AF_UNIX"},
    "IPAddressDeny": {"any"},
    "RuntimeDirectory": {"oncofed-pages"},
    "RuntimeDirectoryMode": {"2750"},
}


def test_the_unit_is_hardened_and_none_of_it_can_be_taken_out_unnoticed() -> None:
    demanded = EVERYWHERE | OWN
    assert lacking(UNIT, demanded) == set()
    for setting in demanded:
        assert lacking(without(UNIT, setting), demanded) == {setting}


def test_for_launches_one_address_is_let_through_and_nothing_else() -> None:
    let = settings_of(FOR_LAUNCHES)
    assert let.keys() == {"PrivateNetwork", "RestrictAddressFamilies", "IPAddressAllow"}
    assert [address.count(".") for address in let["IPAddressAllow"]] == [3], "one address, no network, not any"
    assert settings_of(UNIT)["IPAddressDeny"] == {"any"}, "all others stay shut"


def test_its_socket_lies_in_its_own_folder_and_its_name_is_the_proxys() -> None:
    (command,), (folder,) = settings_of(UNIT)["ExecStart"], OWN["RuntimeDirectory"]
    words = command.split()
    socket, name = (words[words.index(option) + 1] for option in ("--socket", "--name"))
    assert socket.startswith(f"/run/{folder}/")
    servers = re.findall(r"```nginx\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(servers) == 2
    for server in servers:
        assert f"server_name {name};" in server
        assert f"proxy_pass http://unix:{socket};" in server


def test_systemd_has_nothing_against_it(tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    path = units / "oncofed-pages.service"
    path.write_text(UNIT.replace("/usr/local/bin/oncofed", str(Path(sys.executable).with_name("oncofed"))))
    if (found := complaints(units)) is None:
        pytest.skip("NOT TESTED: systemd-analyze verify. Install systemd to test it.")
    assert found == []
    path.write_text(path.read_text().replace("ProtectHome=yes", "ProtectHome=surely"))
    assert complaints(units)
