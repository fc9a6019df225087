"""Does coordinator.toml come back as it was written, and are its faults named together?"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from oncofed.errors import InvalidInput
from oncofed.secret_files import read_secret, write_secret
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, read_settings, settings_text

SETTINGS = CoordinatorSettings("Ruhr", "c.example.org:9443", "0.0.0.0:9444", ("c.example.org", "192.0.2.1"))


def written(folder: Path, text: str) -> CoordinatorFolder:
    coordinator = CoordinatorFolder(folder)
    coordinator.settings.write_text(text)
    return coordinator


def test_settings_come_back(tmp_path: Path) -> None:
    assert read_settings(written(tmp_path, settings_text(SETTINGS))) == SETTINGS
    assert SETTINGS.local_address == "127.0.0.1:9444"


def test_a_text_that_could_end_its_quotes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="quote"):
        settings_text(CoordinatorSettings('x"\nlisten = "', "a:1", "0.0.0.0:1", ()))


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    text = '[coordinator]\nname = ""\naddress = "https://c:1"\nlisten = "192.0.2.1:9443"\nnames = []\nport = 1\n'
    with pytest.raises(InvalidInput) as refusal:
        read_settings(written(tmp_path, text))
    assert [fault.where for fault in refusal.value.faults] == [
        "coordinator.toml: [coordinator], name",
        "coordinator.toml: [coordinator], address",
        "coordinator.toml: [coordinator], listen",
        "coordinator.toml: [coordinator], port",
    ]


@pytest.mark.parametrize(
    ("address", "listen", "hosts"),
    [
        ("[2001:db8::7]:9443", "[::]:9443", ("0.0.0.0", "::")),
        ("c.example.org:9443", "[::]:9443", ("0.0.0.0", "::")),
        ("192.0.2.1:9443", "127.0.0.1:9443", ("127.0.0.1",)),
    ],
)
def test_ipv6_is_written_in_brackets_and_has_a_socket_of_its_own(
    address: str, listen: str, hosts: tuple[str, ...], tmp_path: Path
) -> None:
    settings = CoordinatorSettings("Ruhr", address, listen, ("2001:db8::7",))
    assert read_settings(written(tmp_path, settings_text(settings))) == settings
    assert settings.listen_hosts == hosts
    assert settings.local_address == "127.0.0.1:9443"


@pytest.mark.parametrize(
    "address", ["2001:db8::7:9443", "[2001:db8::7]", "[2001:db8:::7]:1", "[::7]:65536", "[c.example]:1"]
)
def test_what_is_no_ipv6_address_with_a_port_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is not host:port|is not an address"):
        read_settings(written(tmp_path, settings_text(CoordinatorSettings("x", address, "[::]:1", ()))))


def test_a_secret_is_kept_and_never_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_secret(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InvalidInput, match="exists already"):
        write_secret(path, b"two")
    assert read_secret(path) == b"one"
    assert [found.name for found in tmp_path.iterdir()] == ["key"]
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(InvalidInput, match="others than its owner"):
            read_secret(path)


@pytest.mark.parametrize("content", [None, b""])
def test_a_missing_or_empty_secret_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        write_secret(tmp_path / "key", content)
    with pytest.raises(InvalidInput):
        read_secret(tmp_path / "key")
