"""What is a backup's file, and what of a node is in it?

A tar: first `backup.json`, with the SHA-256 of every other member, then the members. It is written beside its place and
gets its name once it is whole. Refused: to write over what is no backup; to read what is not whole, or holds a link or
a path that no backup has.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from oncofed.client.install.folder import NodeFolder
from oncofed.durable import UNFINISHED, sync_folder
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import opened

LEDGER = "guard/ledger.sqlite"
OF_BACKUP = ".of-backup"
"""How the name of a file ends that a restore laid beside the one that was there."""
_FORM = 1
_MANIFEST = "backup.json"
_PARTS = ("site.toml", "policy.toml", "node.pub", "approved/", "guard/", "node/", "relay/")


@dataclass(frozen=True)
class Backup:
    """What a file holds. ledger, audit_log: their heads. files: SHA-256 by path below the node's folder."""

    site: str
    taken_at: str
    ledger: str
    audit_log: str
    files: Mapping[str, str]

    @property
    def patients(self) -> int:
        """Files of frozen patients."""
        return sum(name.startswith("guard/patients/") for name in self.files)


def left_out(name: str) -> bool:
    """Whatever is no part of a node, such as a table that lies beside its rules, too."""
    return (
        not name.startswith(_PARTS)
        or name.startswith(("guard/masking/", LEDGER))
        or name.endswith((UNFINISHED, OF_BACKUP, ".lock"))
    )


def copy_files(folder: NodeFolder, copy: NodeFolder, *, of: Callable[[str], bool]) -> None:
    """Regular files alone, found by open folders, never by a link: root reads what other users may have laid there."""
    for place, _, names, descriptor in os.fwalk(folder.root):
        for each in names:
            name = str((Path(place) / each).relative_to(folder.root))
            if left_out(name) or not of(name):
                continue
            with suppress(FileNotFoundError):  # the guard is at work, and its files come and go
                content, mode = content_of(each, descriptor, where=Path(place) / each)
                target = copy.root / name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                target.write_bytes(content)
                target.chmod(mode)


def content_of(name: str, folder: int, *, where: Path) -> tuple[bytes, int]:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        remedy = "Find out what it is, take it out of the folder, and try again."
        raise InvalidInput([Fault(str(where), "is a link or no regular file", remedy)])
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        return file.read(), stat.S_IMODE(found.st_mode)


def refuse_other_files(target: Path) -> None:
    """Raises InvalidInput where something lies that a backup would destroy. An empty file may give way."""
    with suppress(FileNotFoundError):
        found = target.lstat()
        if not stat.S_ISREG(found.st_mode):
            what = "is a link, a device or no regular file"
            raise InvalidInput([Fault(str(target), what, "Choose the name of a new file.")])
        if found.st_size and not _begins_as_a_backup(target):
            raise InvalidInput([Fault(str(target), "is there, and is no backup", "Choose the name of a new file.")])


def _begins_as_a_backup(file: Path) -> bool:
    try:
        with opened(file) as content, tarfile.open(fileobj=content, mode="r:") as tar:
            first = tar.next()
    except (tarfile.TarError, EOFError):
        return False
    return first is not None and first.name == _MANIFEST


def write_backup(target: Path, root: Path, backup: Backup, *, unfinished: Path) -> None:
    """unfinished  a name on the same disk that nobody else uses, in a folder for the owner alone."""
    manifest = {"form": _FORM, **vars(backup)}
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                _add(tar, _MANIFEST, json.dumps(manifest, sort_keys=True, indent=1).encode(), 0o600)
                for name in backup.files:
                    path = root / name
                    _add(tar, name, path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(target.parent)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def read_backup(file: Path, root: Path) -> Backup:
    """Unpack into an empty folder. Nothing outside of it is written, whatever the file holds."""
    try:
        with opened(file) as packed, tarfile.open(fileobj=packed, mode="r:") as tar:
            manifest, _ = _member(tar, tar.next())
            fields = json.loads(manifest)
            if fields.pop("form") != _FORM:
                raise ValueError("another form")
            backup = Backup(**fields)
            left = dict(backup.files)
            while (member := tar.next()) is not None:
                content, mode = _member(tar, member)
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or (left_out(member.name) and member.name != LEDGER):
                    raise ValueError("a path that no backup has")
                if left.pop(member.name) != hashlib.sha256(content).hexdigest():
                    raise ValueError("another content")
                path = root / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(mode & 0o640)
        if left or not (root / LEDGER).exists():
            raise ValueError("files are missing")
    except (tarfile.TarError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        del error  # it may quote what is in the file
        remedy = "It was cut, changed, or written by something else. Take the file of another night."
        raise InvalidInput([Fault(str(file), "is no whole backup", remedy)]) from None
    return backup


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> tuple[bytes, int]:
    opened = None if member is None or not member.isreg() else tar.extractfile(member)
    if member is None or opened is None:
        raise ValueError("no regular file")
    return opened.read(), member.mode
