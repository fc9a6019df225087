"""What is a backup's file, and what of a node is in it?

A tar: first `backup.json`, with the SHA-256 of every other member, then the members. It is written beside its place and
gets its name once it is whole. No file is held in memory. Refused: to write over what is no backup; to read what is not
whole, or holds a link or a path that no backup has; to copy more than a node can have, which its users could lay there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.rights import LEVELS, away, opened_folder, quoted, walked
from oncofed.client.records.frozen_patients import LARGEST_FROZEN
from oncofed.durable import UNFINISHED, sync_folder
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import opened, pieces_of

LEDGER = "guard/ledger.sqlite"
OF_BACKUP = ".of-backup"
"""How the name of a file ends that a restore laid beside the one that was there."""
_FORM = 1
_MANIFEST = "backup.json"
_PARTS = ("site.toml", "policy.toml", "node.pub", "approved/", "guard/", "node/", "relay/")
_ROOM = {"guard": LARGEST_FROZEN}
"""Bytes of the files of a part altogether: frozen patients of many studies, and of every other part as follows."""
_ROOM_ELSEWHERE = 10**9
_AT_ONCE = 1 << 20
_REMEDY = f"See what it is. {away()}"


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
    taken: Counter[str] = Counter()
    for name, held in _files(folder):
        if not of(name):
            continue
        with suppress(FileNotFoundError), _plain(folder.root / name, held) as file:  # files of the guard come and go
            found = os.fstat(file.fileno())
            taken[_part(name)] += found.st_size
            if taken[_part(name)] > _room(_part(name)):
                raise InvalidInput([_too_large(folder.root / name, found.st_size, _part(name))])
            target = copy.root / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with target.open("wb") as written:
                written.writelines(pieces_of(file, size=found.st_size))
            target.chmod(stat.S_IMODE(found.st_mode))


def too_large(folder: NodeFolder) -> Iterator[Fault]:
    """Each part that takes more room than any node's, by its largest file. Raises InvalidInput for deep folders."""
    taken: Counter[str] = Counter()
    largest: dict[str, tuple[int, str]] = {}
    for name, held in _files(folder):
        with suppress(FileNotFoundError):
            size = os.stat(Path(name).name, dir_fd=held, follow_symlinks=False).st_size
            taken[_part(name)] += size
            largest[_part(name)] = max(largest.get(_part(name), (0, "")), (size, name))
    for part, (size, name) in sorted(largest.items()):
        if taken[part] > _room(part):
            yield _too_large(folder.root / name, size, part)


def _files(folder: NodeFolder) -> Iterator[tuple[str, int]]:
    """Names below the node's folder of what belongs into a backup, and the open folder that each lies in.

    Raises InvalidInput where folders lie too deep within one another.
    """
    with opened_folder(folder.root.resolve()) as start:
        for below, names, held in walked(start):
            if names is None and not left_out(f"{below}/"):
                what = f"holds folders more than {LEVELS - 1} deep within one another, as no node does"
                raise InvalidInput([Fault(str(folder.root / below.parts[0]), what, _REMEDY)])
            for each in names or ():
                if not left_out(name := str(below / each)):
                    yield name, held


def _plain(path: Path, folder: int) -> BinaryIO:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fault = Fault(quoted(path), "is a link or no regular file", f"{_REMEDY} Then try again.")
    if not stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise InvalidInput([fault])
    file = os.fdopen(os.open(path.name, flags, dir_fd=folder), "rb")
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        file.close()
        raise InvalidInput([fault])
    return file


def _part(name: str) -> str:
    return name.partition("/")[0]


def _room(part: str) -> int:
    return _ROOM.get(part, _ROOM_ELSEWHERE)


def _too_large(path: Path, size: int, part: str) -> Fault:
    what = (
        f"is of {size / 1e9:.1f} GB, and {part} takes more than {_room(part) / 1e9:g} GB with it, as no node's does: "
        "there is no backup meanwhile"
    )
    return Fault(quoted(path), what, _REMEDY)


def sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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
                told = json.dumps(manifest, sort_keys=True, indent=1).encode()
                _add(tar, _MANIFEST, io.BytesIO(told), len(told), 0o600)
                for name in backup.files:
                    with (root / name).open("rb") as content:
                        found = os.fstat(content.fileno())
                        _add(tar, name, content, found.st_size, stat.S_IMODE(found.st_mode))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(target.parent)


def _add(tar: tarfile.TarFile, name: str, content: BinaryIO, size: int, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    tar.addfile(member, content)


def read_backup(file: Path, root: Path) -> Backup:
    """Unpack into an empty folder. Nothing outside of it is written, whatever the file holds."""
    try:
        with opened(file) as packed, tarfile.open(fileobj=packed, mode="r:") as tar:
            fields = json.load(_member(tar, tar.next()))
            if fields.pop("form") != _FORM:
                raise ValueError("another form")
            backup = Backup(**fields)
            left = dict(backup.files)
            while (member := tar.next()) is not None:
                content = _member(tar, member)
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or (left_out(member.name) and member.name != LEDGER):
                    raise ValueError("a path that no backup has")
                promised, sha256 = left.pop(member.name), hashlib.sha256()
                path = root / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with path.open("wb") as file_of_node:
                    while piece := content.read(_AT_ONCE):
                        sha256.update(piece)
                        file_of_node.write(piece)
                if promised != sha256.hexdigest():
                    raise ValueError("another content")
                path.chmod(member.mode & 0o640)
        if left or not (root / LEDGER).exists():
            raise ValueError("files are missing")
    except (tarfile.TarError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        del error  # it may quote what is in the file
        remedy = "It was cut, changed, or written by something else. Take the file of another night."
        raise InvalidInput([Fault(str(file), "is no whole backup", remedy)]) from None
    return backup


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> IO[bytes]:
    content = None if member is None or not member.isreg() else tar.extractfile(member)
    if content is None:
        raise ValueError("no regular file")
    return content
