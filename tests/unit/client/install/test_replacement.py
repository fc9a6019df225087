"""Where a rename fails on the way, is the folder that was there in its place, and nothing half beside it?"""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oncofed.client.install.replacement import refuse_unsettled, restoring, take_place
from oncofed.errors import InvalidInput

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def failing_from(path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renaming this path fails."""
    before = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self == path:
            raise OSError(number, os.strerror(number))
        return before(self, target)

    monkeypatch.setattr(Path, "rename", rename)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With another folder laid out that is to take its place."""
    found = tmp_path / "node"
    for folder, content in ((found, "here"), (restoring(found), "of the backup")):
        folder.mkdir()
        (folder / "site.toml").write_text(content)
    return found


def is_as_it_was(root: Path) -> bool:
    refuse_unsettled(root)
    names = sorted(path.name for path in root.parent.iterdir())
    return (root / "site.toml").read_text() == "here" and names == [".node.restoring", "node"]


def test_what_was_there_comes_back_when_the_new_one_cannot_take_its_place(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_from(restoring(root), errno.EIO, monkeypatch)
    with pytest.raises(OSError, match="Input/output"):
        take_place(root, restoring(root), now=NOW)
    assert is_as_it_was(root)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_volume_is_refused_with_another_place(number: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_from(root, number, monkeypatch)
    with pytest.raises(InvalidInput, match=f"oncofed site restore {root}/node FILE"):
        take_place(root, restoring(root), now=NOW)
    assert is_as_it_was(root)


def test_another_failure_is_told_as_what_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_from(root, errno.EACCES, monkeypatch)
    with pytest.raises(PermissionError):
        take_place(root, restoring(root), now=NOW)
    assert is_as_it_was(root)
