"""After a restore, are settings and keys those that were here, where somebody replaced them since the backup?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.installed_node import InstalledNode, installed_node

from oncofed.client.install.backup import back_up, restore
from oncofed.client.install.folder import read_site
from oncofed.client.install.kept_settings import Kept

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
FORMER, NEW = b"the former one", b"the new one"


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as installed:
        installed.enrol()
        yield installed


def written(node: InstalledNode, content: bytes, *names: str) -> None:
    for name in names:
        (node.folder.root / name).write_bytes(content)


def backed_up(node: InstalledNode) -> Path:
    file = node.folder.root.parent / "tonight.tar"
    back_up(node.folder, file, now=NOW)
    return file


def restored(node: InstalledNode, file: Path) -> Kept:
    return restore(node.folder, file, now=NOW).kept


@pytest.mark.parametrize(
    "name",
    ["guard/answer.key", "guard/held_out.key", "guard/pages.key", "node/node.key", "node/ca.crt"],
)
def test_a_key_that_was_replaced_stays_and_the_backups_lies_beside(name: str, node: InstalledNode) -> None:
    path = node.folder.root / name
    written(node, FORMER, name)
    file = backed_up(node)
    written(node, NEW, name)
    kept = restored(node, file)
    assert path.read_bytes() == NEW
    assert path.with_name(f"{path.name}.of-backup").read_bytes() == FORMER
    assert name in kept.stayed


@pytest.mark.parametrize("name", ["guard/answer.key", "node/node.key"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_key_that_is_lost_or_empty_comes_from_the_backup(name: str, empty: bool, node: InstalledNode) -> None:
    written(node, FORMER, name)
    file = backed_up(node)
    written(node, b"", name) if empty else (node.folder.root / name).unlink()
    kept = restored(node, file)
    assert (node.folder.root / name).read_bytes() == FORMER
    assert name in kept.came
    assert name not in kept.stayed


@pytest.mark.parametrize("lost", [False, True])
def test_the_public_key_is_that_of_the_key_that_the_node_has_afterwards(lost: bool, node: InstalledNode) -> None:
    written(node, FORMER, "node/node.key", "node.pub")
    file = backed_up(node)
    written(node, NEW, "node/node.key", "node.pub")
    if lost:
        node.folder.node_key.unlink()
    restored(node, file)
    assert node.folder.node_key.read_bytes() == node.folder.node_public_key.read_bytes() == (FORMER if lost else NEW)


@pytest.mark.parametrize("enrolled", [True, False])
def test_the_coordinator_is_the_one_that_is_pinned_here_if_one_is(enrolled: bool, node: InstalledNode) -> None:
    file = backed_up(node)
    text = node.folder.settings.read_text()
    here = text.replace("127.0.0.1:1", "127.0.0.1:2") if enrolled else text[: text.index("[coordinator]")]
    node.folder.settings.write_text(here)
    restored(node, file)
    assert read_site(node.folder).enrolled.address == ("127.0.0.1:2" if enrolled else "127.0.0.1:1")
