"""Does whatever one of a node's users lays into a folder end every backup, or fill the memory of root who takes it?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.installed_node import InstalledNode, installed_node

from oncofed.client.install import doctor
from oncofed.client.install.backup import back_up
from oncofed.client.install.backup_file import copy_files, too_large
from oncofed.client.install.findings import Verdict
from oncofed.client.install.folder import NodeFolder
from oncofed.errors import InvalidInput

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SPARSE = 50 << 30


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as installed:
        installed.enrol()
        yield installed


@pytest.fixture
def file(node: InstalledNode) -> Path:
    return node.folder.root.parent / "tonight.tar"


def sparse(path: Path, size: int = SPARSE) -> None:
    with path.open("wb") as made:
        made.truncate(size)


def test_files_without_end_are_told_by_name_all_at_once(node: InstalledNode, file: Path) -> None:
    for part in (node.folder.guard, node.folder.node, node.folder.relay):
        sparse(part / "a big; one")
    said = oncofed("site", "backup", node.folder.root, file)
    assert said.code == 2, said.text
    for part in (node.folder.guard, node.folder.node, node.folder.relay):
        assert f"'{part}/a big; one': is of 53.7 GB" in said.text
    assert not file.exists()


def test_the_doctor_tells_what_no_backup_takes(node: InstalledNode) -> None:
    assert [each for each in doctor.examine(node.folder) if each.topic == "disk"][-1].verdict is Verdict.FINE
    sparse(node.folder.relay / "big")
    told = [each for each in doctor.examine(node.folder) if each.topic == "disk" and each.verdict is Verdict.FAULT]
    assert [str(node.folder.relay / "big") in each.what and "no backup" in each.what for each in told] == [True]


def test_many_files_take_no_more_room_than_one(node: InstalledNode, file: Path) -> None:
    for number in range(60):
        sparse(node.folder.relay / f"{number}", 20_000_000)
    assert [fault.what for fault in too_large(node.folder) if "relay takes more than 1 GB" in fault.what] != []
    with pytest.raises(InvalidInput, match="relay takes more than 1 GB"):
        back_up(node.folder, file, now=NOW)


def test_a_file_that_grows_after_it_was_looked_at_is_not_copied(node: InstalledNode, tmp_path: Path) -> None:
    """`copy_files` measures again what it has open."""
    sparse(node.folder.relay / "big")
    with pytest.raises(InvalidInput, match="no node's does"):
        copy_files(node.folder, NodeFolder(tmp_path / "copy"), of=lambda _: True)
    assert not (tmp_path / "copy" / "relay" / "big").exists()


def test_folders_without_end_are_one_fault(node: InstalledNode, file: Path) -> None:
    before = os.getcwd()
    os.chdir(node.folder.relay)
    try:
        for _ in range(1_500):
            os.mkdir("deep")
            os.chdir("deep")
        with pytest.raises(InvalidInput, match=f"{node.folder.relay}: holds folders more than 29 deep"):
            back_up(node.folder, file, now=NOW)
    finally:
        os.chdir(before)
        subprocess.run(["rm", "-r", node.folder.relay / "deep"], check=True)


def test_what_is_no_part_of_a_node_may_be_deep_and_large(node: InstalledNode, file: Path) -> None:
    (node.folder.root / "logs" / Path(*["deep"] * 40)).mkdir(parents=True)
    sparse(node.folder.root / "logs" / "big")
    back_up(node.folder, file, now=NOW)
    assert file.exists()


def test_no_file_is_held_in_memory_by_backup_or_restore(node: InstalledNode, file: Path) -> None:
    """Each goes in pieces: 400 MB more would show in what the process has ever had."""
    sparse(node.folder.relay / "large", 400_000_000)
    code = (
        "import re, sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from oncofed.client.install.backup import back_up, restore\n"
        "from oncofed.client.install.folder import NodeFolder\n"
        "node, file, again = map(Path, sys.argv[1:])\n"
        "most = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "had = most()\n"
        "back_up(NodeFolder(node), file, now=datetime.now(UTC))\n"
        "restore(NodeFolder(again), file, now=datetime.now(UTC))\n"
        "print(most() - had)"
    )
    again = node.folder.root.parent / "again"
    ran = subprocess.run(
        [sys.executable, "-c", code, node.folder.root, file, again], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 200_000  # KiB
    assert (again / "relay" / "large").stat().st_size == 400_000_000
