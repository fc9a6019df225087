"""How does one folder take another's place, so that a kill leaves one of the two, and the next command knows which?

    NODE                   the node.
    .NODE.restoring        what is to take its place. What a kill left of it the next restore removes.
    .NODE.former           what was there, between two renames. While it is there every command but `restore` refuses.
    NODE.before-<time>     what was there, once all is done; without masking keys, which are made once and never again.

Promises: one at a time. `settle`, of the next restore, puts `.NODE.former` back where nothing has taken its place, and
else completes what was begun. Refused: a node that is not there while a former one lies beside it (it would be begun
anew, and forget what was spent); a folder that cannot be renamed, because it is a volume.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from oncofed.client.install.folder import NodeFolder
from oncofed.durable import sync_folder, unwritable
from oncofed.errors import Fault, InvalidInput
from oncofed.turns import in_turn


@contextmanager
def working_folder(path: Path) -> Iterator[Path]:
    """An empty folder at `path` for its owner alone, for one command at a time; others wait. What a kill left goes."""
    lock = path.with_name(f"{path.name}.lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with in_turn(lock, opened=lambda: os.open(lock, flags, 0o600)):  # whoever had it before takes it away
        _remove(path)
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def restoring(root: Path) -> Path:
    """Where a folder is laid out that is to take the place of this one."""
    return root.with_name(f".{root.name}.restoring")


def _former(root: Path) -> Path:
    return root.with_name(f".{root.name}.former")


def refuse_unsettled(root: Path) -> None:
    """Raises InvalidInput where the node is not in its place, or half of what belongs to it."""
    if os.path.lexists(_former(root)):
        what = f"is being restored, or that was stopped on the way. What was there is in {_former(root)}"
        remedy = f"If no restore is at work: oncofed site restore {root} FILE puts it right first."
        raise InvalidInput([Fault(str(root), what, remedy)])
    refuse_missing(root)


def refuse_missing(root: Path) -> None:
    """Raises InvalidInput where nothing is in the node's place and a former one lies beside it."""
    if _something(root):
        return
    before = sorted(root.parent.glob(f"{root.name}.before-*"), key=lambda path: path.name)
    if before:
        there = shlex.quote(str(before[-1]))
        what = f"is not there, and beside it lies {there}, the node before it was restored"
        move = f"mv {there} {shlex.quote(str(root))}"
        remedy = f"If that is the node: {move}. If it is not wanted any more, move it elsewhere first."
        raise InvalidInput([Fault(str(root), what, remedy)])


def settle(root: Path, *, now: datetime) -> None:
    """Undo or complete what a kill left. Raises InvalidInput for what is neither."""
    former = _former(root)
    if not os.path.lexists(former):
        return
    if not _something(root):
        with suppress(FileNotFoundError):
            root.rmdir()
        former.rename(root)
        sync_folder(root.parent)
    elif NodeFolder(root).settings.exists():
        _complete(root, now=now)
    else:
        what = f"is no node. A restore was stopped, and what it was to replace is in {former}"
        raise InvalidInput([Fault(str(root), what, "Move it elsewhere, and restore again.")])


def take_place(root: Path, made: Path, *, now: datetime) -> Path | None:
    """Put `made` where `root` is; where the former folder is now, if there was one."""
    if not os.path.lexists(root):
        made.rename(root)
        sync_folder(root.parent)
        return None
    former = _former(root)
    try:
        root.rename(former)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        what = "is a volume of its own, and no other folder can take its place"
        remedy = (
            f"Restore into a folder inside of it, and run the node from there: oncofed site restore {root}/node FILE. "
            "Before, move what is in it now elsewhere if it is the node, and compare its heads with those shown."
        )
        raise InvalidInput([Fault(str(root), what, remedy)]) from None
    try:
        made.rename(root)
    except BaseException:
        former.rename(root)
        raise
    sync_folder(root.parent)
    return _complete(root, now=now)


def _complete(root: Path, *, now: datetime) -> Path:
    keys, place = NodeFolder(_former(root)).masking, NodeFolder(root).masking
    if keys.is_dir() and not _something(place):
        with unwritable(keys):
            with suppress(FileNotFoundError):
                place.rmdir()
            keys.rename(place)
    before = root.with_name(f"{root.name}.before-{now.astimezone(UTC):%Y%m%dT%H%M%S}")
    turn = 1
    while os.path.lexists(before):
        turn += 1
        before = root.with_name(f"{root.name}.before-{now.astimezone(UTC):%Y%m%dT%H%M%S}-{turn}")
    _former(root).rename(before)
    sync_folder(root.parent)
    return before


def _something(path: Path) -> bool:
    """Whether there is anything there but an empty folder."""
    try:
        return os.path.lexists(path) and (not path.is_dir() or any(path.iterdir()))
    except PermissionError:
        return True
