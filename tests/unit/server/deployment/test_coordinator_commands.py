"""Does `oncofed coordinator` make keys once, enrol whom the telephone confirmed, and say in words what is wrong?"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import free_port, new_node

from oncofed.client.install.enrolment import make_request
from oncofed.protocol.enrolment import fingerprint, request_bytes
from oncofed.server.deployment.enrolment import own_fingerprint
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings
from oncofed.server.deployment.member_files import read_sites


@pytest.fixture
def coordinator(tmp_path: Path) -> CoordinatorFolder:
    folder = CoordinatorFolder(tmp_path / "coordinator")
    address = f"127.0.0.1:{free_port()}"
    said = oncofed("coordinator", "init", folder.root, "--name", "Lung", "--address", address, "--listen", address)
    assert said.code == 0, said.text
    assert own_fingerprint(folder) in said.text
    return folder


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    path = tmp_path / "bonn.request.json"
    path.write_bytes(request_bytes(make_request(new_node(tmp_path / "Bonn", "Bonn"))))
    return path


def keys_of(folder: CoordinatorFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.keys.iterdir()}


def test_a_second_init_changes_nothing(coordinator: CoordinatorFolder) -> None:
    before = keys_of(coordinator)
    said = oncofed("coordinator", "init", coordinator.root, "--name", "Other", "--address", "other.example:1")
    assert said.code == 2
    assert "holds a coordinator already" in said.text
    assert keys_of(coordinator) == before
    assert read_settings(coordinator).name == "Lung"


def test_a_folder_that_was_there_and_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    assert oncofed("coordinator", "init", tmp_path / "open", "--name", "x", "--address", "h.example:1").code == 0
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("--name", "x", "--address", "no-port"), "host:port"),
        (("--name", "x", "--address", "h.example:1", "--also", "two words"), "no host name"),
        (("--name", "x", "--address", "h.example:1", "--also", "münchen.example"), "no host name"),
        (("--name", 'x"', "--address", "h.example:1"), "quote"),
        (("--name", "x", "--address", "h.example:1", "--listen", "10.1.2.3:1"), "another address"),
        (("--address", "h.example:1"), "--name"),
        (("--name", "x"), "--address"),
    ],
)
def test_what_cannot_be_used_leaves_no_folder_behind(settings: tuple[str, ...], told: str, tmp_path: Path) -> None:
    said = oncofed("coordinator", "init", tmp_path / "new", *settings)
    assert said.code == 2
    assert told in said.text
    assert not (tmp_path / "new").exists()


def test_renewing_the_certificate_needs_nothing_but_the_folder_and_keeps_the_authority(
    coordinator: CoordinatorFolder,
) -> None:
    """The very words that stand in coordinator.toml."""
    assert "oncofed coordinator init COORD --renew-certificate" in coordinator.settings.read_text()
    text = coordinator.settings.read_text()
    coordinator.settings.write_text(text.replace("names = [", 'names = ["new.example", '))
    before = keys_of(coordinator)
    said = oncofed("coordinator", "init", coordinator.root, "--renew-certificate")
    assert said.code == 0, said.text
    after = keys_of(coordinator)
    assert {name for name in after if after[name] != before[name]} == {"server.key", "server.pem"}
    names = x509.load_pem_x509_certificate(after["server.pem"]).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "new.example" in names.value.get_values_for_type(x509.DNSName)


def test_a_certificate_of_no_coordinator_cannot_be_renewed(tmp_path: Path) -> None:
    assert oncofed("coordinator", "init", tmp_path / "none", "--renew-certificate").code == 2
    assert not (tmp_path / "none").exists()


def test_a_hospital_is_enrolled_by_the_fingerprint_it_reads_out(
    coordinator: CoordinatorFolder, request_file: Path, tmp_path: Path
) -> None:
    heard = fingerprint(request_file.read_bytes())
    answer = tmp_path / "bonn.acceptance.json"
    said = oncofed("coordinator", "approve", coordinator.root, request_file, "--out", answer, answers=f"{heard}\n")
    assert said.code == 0, said.text
    assert "when it starts" in said.text
    assert own_fingerprint(coordinator) in said.text
    assert set(read_sites(coordinator)) == {"Bonn"}
    first = answer.read_bytes()
    again = ("coordinator", "approve", coordinator.root, request_file, "--out", answer, "--fingerprint", heard)
    assert oncofed(*again).code == 0
    assert answer.read_bytes() == first
    listed = oncofed("coordinator", "enrol", coordinator.root)
    assert (listed.code, heard in listed.text) == (0, True)


def test_another_fingerprint_enrols_nobody(coordinator: CoordinatorFolder, request_file: Path, tmp_path: Path) -> None:
    heard = "0000 " * 7 + "0000"
    answer = tmp_path / "answer.json"
    said = oncofed(*("coordinator", "approve", coordinator.root, request_file, "--out", answer, "--fingerprint", heard))
    assert said.code == 2
    assert "not the one you heard" in said.text
    assert read_sites(coordinator) == {}
    assert not answer.exists()


def test_where_nothing_can_be_written_the_words_name_the_file(
    coordinator: CoordinatorFolder, request_file: Path, tmp_path: Path
) -> None:
    heard = fingerprint(request_file.read_bytes())
    missing = tmp_path / "no" / "such" / "folder.json"
    said = oncofed(
        *("coordinator", "approve", coordinator.root, request_file, "--out", missing, "--fingerprint", heard)
    )
    assert said.code == 1
    assert str(missing) in said.text
    assert "Traceback" not in said.text


@pytest.mark.parametrize(
    "arguments", [("enrol",), ("status",), ("start",), ("resume",), ("stop",), ("report", "--out", "r.html")]
)
def test_a_folder_of_no_coordinator_is_told_as_that(arguments: tuple[str, ...], tmp_path: Path) -> None:
    said = oncofed("coordinator", arguments[0], tmp_path / "nobody", *arguments[1:])
    assert said.code == 2
    assert "Traceback" not in said.text
    assert not (tmp_path / "nobody").exists()


def test_status_without_a_server_and_with_several_studies(coordinator: CoordinatorFolder) -> None:
    for digit in "ab":
        (coordinator.study(digit * 64)).mkdir(parents=True)
        (coordinator.study(digit * 64) / "plan.json").touch()
    said = oncofed("coordinator", "status", coordinator.root)
    assert said.code == 1, said.text
    assert "The server is not running" in said.text
    assert "2 studies: aaaaaaaaaaaa, bbbbbbbbbbbb" in said.text


@pytest.mark.parametrize("command", ["resume", "stop"])
def test_without_a_server_the_remedy_is_named(coordinator: CoordinatorFolder, command: str) -> None:
    study = coordinator.study("a" * 64)
    study.mkdir(parents=True)
    (study / "plan.json").touch()
    (study / "run.json").write_text('{"run_id": 5}')
    said = oncofed("coordinator", command, coordinator.root)
    assert said.code == 1
    assert "Is the coordinator started?" in said.text
