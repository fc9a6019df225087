"""Does one wait for another, but not for ever where that is asked, and whose is a file that is made to be locked?"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from oncofed.errors import RecordUnwritable
from oncofed.turns import in_turn, opened_lock


def test_nobody_waits_for_ever_for_who_never_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    held = os.open(path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with (
        pytest.raises(RecordUnwritable, match="held by another process"),
        in_turn(path, opened=lambda: os.open(path, os.O_RDONLY), seconds=0.2),
    ):
        pass
    os.close(held)
    with in_turn(path, opened=lambda: os.open(path, os.O_RDONLY), seconds=0.2) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), path.stat())


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root at work in another user's folder. Run as root.")
def test_what_root_makes_to_be_locked_is_of_the_user_whose_folder_it_is_in(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.chown(tmp_path, 65_534, 65_533)
    os.close(opened_lock(tmp_path / "lock"))
    made = (tmp_path / "lock").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (65_534, 65_533, 0o600)


def test_who_comes_second_takes_the_file_that_the_first_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"

    def is_just_made(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:  # between the look and the making
        path.touch()
        return os.stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", is_just_made)
    os.close(opened_lock(path))
    assert path.exists()


def test_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        opened_lock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
