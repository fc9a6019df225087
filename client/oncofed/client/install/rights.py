"""Whose is each part of a node's folder, and how does root give it to them, whatever one of them laid there?

The users of a node may be at work in their folders, and of ill will: a link, or a second name of another's file, would
make root change what it leads to. So each folder is opened below the one above it, never by a name that could lead
elsewhere meanwhile; rights are set on what is open; and a file gets them only if it is a plain one with one name.

Refuses, before anything is changed: a link, a named pipe or a device where a folder or a file of the node should be.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from oncofed.client.install.folder import NodeFolder, NodeUsers
from oncofed.durable import remove_leftovers
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import kind_of
from oncofed.texts import shown

PRIVATE, SHOWN = 0o700, 0o755
SOCKETS = 0o2750
"""With the set-group-ID bit: the guard's socket gets the relay's group, of which the guard is no member."""


def away(user: str = "") -> str:
    """How root takes away what lies in a folder of this user, or of whose it is: by a name that nobody changes then.

    No command is given with a name in it, nor one for a terminal that a process of that user could type into.
    """
    whose = f"every process of {user} (pgrep -u {user} names none)" if user else "whatever else may write there"
    return f"Stop the node and {whose}, then remove it."


_REMEDY = f"Find out who laid it there. {away()} Give this command again."


@dataclass(frozen=True)
class Place:
    """A folder of the node. owner: guard, node or relay; group: of another user, where one may enter. mode: rights."""

    path: Path
    owner: str
    mode: int
    group: str | None = None


def places(folder: NodeFolder) -> tuple[Place, ...]:
    """Every folder below the node's root, and who may enter it."""
    return (
        *(Place(path, "guard", PRIVATE) for path in _of_the_guard(folder)),
        Place(folder.bundles.parent, "guard", SHOWN),
        Place(folder.run, "guard", SOCKETS, group="relay"),
        Place(folder.node, "node", PRIVATE),
        Place(folder.relay, "relay", PRIVATE),
    )


def _of_the_guard(folder: NodeFolder) -> tuple[Path, ...]:
    return (
        folder.guard,
        folder.plans,
        folder.approvals,
        folder.patients,
        folder.masking,
        folder.answers,
        folder.models,
    )


def refuse_other_kinds(folder: NodeFolder) -> None:
    """Raises InvalidInput with each folder and file of the node that is something else. What is missing is none."""
    faults = []
    for place in places(folder):
        if (mode := _mode_of(place.path)) is not None and not stat.S_ISDIR(mode):
            what = f"is {kind_of(mode)}, not a folder"
            faults.append(Fault(str(place.path), what, _REMEDY))
    for path in (
        folder.bundles,
        folder.ledger,
        folder.token_sha256,
        folder.answer_key,
        folder.node_key,
        folder.node_secret,
        folder.ca_certificate,
        folder.node / "request.json",
        folder.token,
        folder.relay_secret,
    ):
        if (mode := _mode_of(path)) is not None and not stat.S_ISREG(mode):
            faults.append(Fault(str(path), f"is {kind_of(mode)}, not a file", _REMEDY))
    if faults:
        raise InvalidInput(faults)


def _mode_of(path: Path) -> int | None:
    with suppress(FileNotFoundError, NotADirectoryError):
        return path.lstat().st_mode
    return None


def hand_over(folder: NodeFolder, users: NodeUsers | None) -> None:
    """Give every file to its user. Without users, or not as root, only the rights are set.

    What a kill left half-written goes. Raises InvalidInput for what is a link, as `refuse_other_kinds`.
    """
    os.chmod(folder.root, SHOWN)  # whatever the umask of who made it
    for place in places(folder):
        with _held(folder.root, place.path, directory=True) as held:
            os.chmod(held, place.mode)
    with _held(folder.root, folder.bundles, directory=False) as held:
        if _is_its_own(held):
            os.chmod(held, 0o644)
    for public in (folder.settings, folder.node_public_key):  # in a folder that only root can change
        if public.exists():
            os.chmod(public, 0o644)
    os.chmod(folder.policy, 0o640)
    for path in (folder.root, *(place.path for place in places(folder))):
        with _held(folder.root, path, directory=True) as held:
            _tidy(held)
    if users is None or os.geteuid() != 0:
        return
    for place in places(folder):
        uid, gid = users.ids(getattr(users, place.owner))
        if place.group is not None:
            gid = users.ids(getattr(users, place.group))[1]
        with _held(folder.root, place.path, directory=True) as held:
            _give(held, uid=uid, gid=gid)
    os.chown(folder.policy, 0, users.ids(users.guard)[1])  # the guard reads its rules and cannot loosen them


def wrong_files(folder: NodeFolder, users: NodeUsers | None) -> Iterator[Fault]:
    """Files that `hand_over` would leave alone, or that another has: for each part, how many, and which is the first.

    A snapshot by hard links (`cp -al`) gives all files a second name, and one inode has one owner. No remedy has root
    change by its name what lies in a folder where somebody is at work: a link could be there by then. Nor does one hold
    such a name, which its user chose; where one is told, it is quoted as a shell wants it.
    """
    for place in places(folder):
        if place.path.parent != folder.root:
            continue
        twice, others, deep = dict[Path, int](), [], []
        user = "" if users is None else getattr(users, place.owner)
        uid = None if users is None else users.ids(user)[0]
        with opened_folder(place.path) as start:
            for below, names, held in walked(start):
                if names is None:
                    deep.append(place.path / below)
                for name in names or ():
                    with suppress(FileNotFoundError):
                        found = os.stat(name, dir_fd=held, follow_symlinks=False)
                        if not stat.S_ISREG(found.st_mode):
                            continue
                        if found.st_nlink > 1:
                            twice[place.path / below / name] = found.st_ino
                        if uid is not None and found.st_uid != uid:
                            others.append(place.path / below / name)
        again = f"oncofed site init {shlex.quote(str(folder.root))}, as at first"
        if deep:
            what = (
                f"holds folders more than {LEVELS} deep within one another, as no node does; what is in them belongs "
                "to whom it did"
            )
            yield Fault(str(place.path), what, f"See what lies below that no part of the node made. {away(user)}")
        if twice:
            first = min(twice)
            disk = shlex.quote(str(disk_of(first.parent)))  # the folder may be a disk of its own
            remedy = (
                "A snapshot by hard links, or a kill, does that. The other name is found by the number that both have "
                f"(find {disk} -xdev -inum {twice[first]}). {away(user)} Paste "
                f"into no command a name that somebody else chose. Then {again}."
            )
            yield Fault(_first([*twice]), "has a second name, so its owner is not set", remedy)
        if others:
            yield Fault(_first(others), f"is not the {place.owner}'s, who cannot use it", f"{again} (as root).")


def disk_of(path: Path) -> Path:
    """Where the disk is mounted that it lies on: the number of a file means nothing on another one."""
    path = path.resolve()
    while path.parent != path and path.parent.stat().st_dev == path.stat().st_dev:
        path = path.parent
    return path


def _first(paths: list[Path]) -> str:
    more = f" (and {len(paths) - 1} more there)" if len(paths) > 1 else ""
    return f"{quoted(min(paths))}{more}"


def quoted(path: Path) -> str:
    """A path whose names others chose, as a shell takes it for one word; of a long one the folder that it is below."""
    while len(shlex.quote(shown(str(path)))) > _LONGEST_TOLD:
        path = path.parent
    return shlex.quote(shown(str(path)))


_LONGEST_TOLD = 340
"""Characters; a fault shortens a longer place, and would cut through the quotation marks."""


LEVELS = 30
"""Of folders within one another. Ours and SuperNode's are of three; a user could make thousands, one open file each."""


def walked(held: int, below: Path = Path(), *, levels: int = LEVELS) -> Iterator[tuple[Path, list[str] | None, int]]:
    """An open folder and each one in it: where it is, the names of its files, itself open. Links are files here.

    None instead of names where it is too deep to be looked into.
    """
    if not levels:
        yield below, None, held
        return
    folders: list[str] = []
    names: list[str] = []
    with os.scandir(held) as entries:
        for entry in entries:
            (folders if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
    yield below, names, held
    for name in folders:
        with suppress(FileNotFoundError, NotADirectoryError), opened_folder(Path(name), above=held) as inner:
            yield from walked(inner, below / name, levels=levels - 1)


@contextmanager
def opened_folder(path: Path, *, above: int | None = None) -> Iterator[int]:
    """To be listed. Raises NotADirectoryError for a link, too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _held(root: Path, path: Path, *, directory: bool) -> Iterator[str]:
    """A name in /proc for what is open, which leads nowhere else. Raises InvalidInput for a link on the way."""
    kept = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parts = path.relative_to(root).parts
        for number, name in enumerate(parts, start=1):
            is_folder = os.O_DIRECTORY if directory or number < len(parts) else 0
            below = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | is_folder, dir_fd=kept)
            os.close(kept)
            kept = below
        yield f"/proc/self/fd/{kept}"
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise InvalidInput([Fault(str(path), "is a link, or below one", _REMEDY)]) from None
    finally:
        os.close(kept)


def _is_its_own(held: str) -> bool:
    """A plain file, and under no other name."""
    found = os.stat(held)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _tidy(held: str) -> None:
    descriptor = os.open(held, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_leftovers(descriptor)
    finally:
        os.close(descriptor)


def _give(held: str, *, uid: int, gid: int) -> None:
    """A folder with all that is in it, to one user."""
    start = os.open(held, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _, names, folder in walked(start):
            os.chown(folder, uid, gid)
            for name in names or ():
                with suppress(FileNotFoundError):  # the guard may be at work, and its files come and go
                    file = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                    try:
                        if _is_its_own(f"/proc/self/fd/{file}"):
                            os.chown(f"/proc/self/fd/{file}", uid, gid)
                    finally:
                        os.close(file)
    finally:
        os.close(start)
