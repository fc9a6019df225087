"""Is a small file on the disk whole, or not at all, and never readable by more than it should be?"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.hardship import in_children, no_file_longer_than

from oncofed.durable import UNFINISHED, create_durably, hold_room, replace_durably
from oncofed.errors import InvalidInput, RecordUnwritable
from oncofed.secret_files import read_secret, write_secret

WRITERS: list[Callable[..., object]] = [replace_durably, create_durably]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the disk is told, in order."""
    found: list[str] = []
    sync, rename, link = os.fsync, Path.replace, os.link

    def noted_sync(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        found.append("sync folder" if target == tmp_path else f"sync {target.stat().st_size} bytes")
        sync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        found.append("name")
        return rename(path, target)

    def noted_link(source: Path, target: Path) -> None:
        found.append("name")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    monkeypatch.setattr(os, "link", noted_link)
    return found


@pytest.mark.parametrize("write", WRITERS)
def test_content_then_name_then_folder_reach_the_disk(
    write: Callable[..., object], steps: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "record", b"twelve bytes")
    assert steps == ["sync 12 bytes", "name", "sync folder"]
    assert os.listdir(tmp_path) == ["record"]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("umask", [0, 0o077])
def test_rights_are_those_asked_for_whatever_the_umask(
    write: Callable[..., object], umask: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "secret", b"x")
        write(tmp_path / "public", b"x", mode=0o644)
    finally:
        os.umask(before)
    found = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("secret", "public")]
    assert found == [0o600, 0o644]


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_keeps_what_was_there_and_names_the_remedy(write: Callable[..., object], tmp_path: Path) -> None:
    old = tmp_path / "old"
    replace_durably(old, b"before")
    with no_file_longer_than(4), pytest.raises(RecordUnwritable, match="Free space"):
        write(tmp_path / ("old" if write is replace_durably else "new"), b"longer than four")
    assert old.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["old"], "a full disk needs what the attempt took"


@pytest.mark.parametrize(("step", "held"), [("fsync", False), ("fchmod", False), ("fsync", True)])
def test_whatever_fails_in_writing_nothing_is_left_beside_the_old_file(
    step: str, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, room = tmp_path / "old", tmp_path / f"room{UNFINISHED}"
    replace_durably(old, b"before")
    if held:
        hold_room(room, 100)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "the disk fails")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(RecordUnwritable):
        replace_durably(old, b"after", room=room if held else None)
    assert old.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["old"]


# Room


def test_what_has_room_is_written_into_it_and_gives_back_the_rest(tmp_path: Path, steps: list[str]) -> None:
    room, record = tmp_path / f"room{UNFINISHED}", tmp_path / "record"
    hold_room(room, 1_000_000)
    held = room.stat()
    assert held.st_blocks * 512 >= 1_000_000
    assert stat.S_IMODE(held.st_mode) == 0o600
    replace_durably(record, b"twelve bytes", room=room)
    assert record.read_bytes() == b"twelve bytes"
    assert record.stat().st_ino == held.st_ino, "the very blocks"
    assert record.stat().st_blocks * 512 < 1_000_000
    assert os.listdir(tmp_path) == ["record"]
    assert steps == ["sync 1000000 bytes", "sync folder", "sync 12 bytes", "name", "sync folder"]


def test_room_that_is_held_still_is_held_once(tmp_path: Path) -> None:
    room = tmp_path / "room"
    hold_room(room, 4_000)
    hold_room(room, 9_000)
    hold_room(room, 4_000)
    assert room.stat().st_size == 9_000
    assert os.listdir(tmp_path) == ["room"]


def test_a_full_disk_has_no_room_and_keeps_none(tmp_path: Path) -> None:
    with no_file_longer_than(4_000), pytest.raises(RecordUnwritable, match="Free space"):
        hold_room(tmp_path / "room", 4_001)
    assert os.listdir(tmp_path) == []
    replace_durably(tmp_path / "record", b"without room", room=tmp_path / "room")
    assert (tmp_path / "record").read_bytes() == b"without room"


def test_a_file_that_exists_is_not_created_again(tmp_path: Path) -> None:
    assert create_durably(tmp_path / "key", b"first")
    assert not create_durably(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["key"]
    with pytest.raises(InvalidInput, match="exists already"):
        write_secret(tmp_path / "key", b"third")
    assert read_secret(tmp_path / "key") == b"first"


def test_of_several_that_create_one_file_at_once_one_does(tmp_path: Path) -> None:
    def work(number: int) -> None:
        if create_durably(tmp_path / "key", str(number).encode()):
            (tmp_path / f"won-{number}").touch()

    in_children(8, work)
    (winner,) = tmp_path.glob("won-*")
    assert (tmp_path / "key").read_text() == winner.name.removeprefix("won-")


def test_a_link_laid_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """Root writes into folders of other users."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    victim.chmod(0o644)
    (tmp_path / f"record{UNFINISHED}").symlink_to(victim)
    replace_durably(tmp_path / "record", b"new")
    assert victim.read_bytes() == b"untouched"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644
    assert not (tmp_path / "record").is_symlink()
