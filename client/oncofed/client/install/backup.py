"""How does a node's folder go into one file that agrees with itself, and back without spending anything twice?

`back_up` copies while the guard runs, in an order that follows from the order in which a charge is written (announced
in the audit log, charged to the ledger, kept in answers/, told in the log as left):

1. what may change at any time and is compared with nothing: keys, settings, plans, models, bytes of answers;
2. while nobody can decide: approvals and the patients they name;
3. while nobody can write to the audit log either: which answers were given, then the ledger by SQLite's own copy, then
   the log. Nobody charges then: it could not be announced.

Then the copy is verified as a guard verifies its folder, before the file gets its name. The file is for root (or who
runs the node) alone, and holds all that the folder holds, frozen patients too; but no masking key, which is to be gone
after its study, no log of the services, and nothing of a moment (sockets, locks).

`restore` lays a whole folder beside the present one and then takes its place; the present one stays beside it. Refused:
a file that is not whole; another hospital's; a node that runs; a present folder whose ledger, answers or audit log hold
anything that the backup does not know, or cannot be compared. An audit log that only has gone on since, about no plan,
is kept. What a lost disk knew, nobody here can tell: then the coordinator's questions do (`records.agreement`).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp

from oncofed.client.install.folder import NodeFolder, SiteSettings, read_site
from oncofed.client.install.inbox import approvals_of
from oncofed.client.install.setup import create
from oncofed.client.records.agreement import refuse_disagreement
from oncofed.client.records.audit_files import locked
from oncofed.client.records.audit_log import verify_audit_log
from oncofed.client.records.sqlite_ledger import copy_ledger, read_ledger, verify_ledger
from oncofed.durable import UNFINISHED, sync_folder, unwritable
from oncofed.errors import Fault, InvalidInput, RecordDamaged, RecordFailure

_FORM = 1
_MANIFEST = "backup.json"
_LEDGER = "guard/ledger.sqlite"
_PARTS = ("site.toml", "policy.toml", "node.pub", "approved/", "guard/", "node/", "relay/")
_SECTION = "docs/install-hospital.md, section 8, says what to do."


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


def back_up(folder: NodeFolder, file: Path, *, now: datetime) -> Backup:
    """Write the backup; what is in it. Raises InvalidInput, RecordFailure; then `file` is as it was."""
    site = read_site(folder)
    _refuse_other_users(site)
    target = file.absolute()
    if target.resolve().is_relative_to(folder.root.resolve()):
        raise InvalidInput([Fault(str(file), "lies inside the node's folder", "Choose a file on another disk.")])
    with unwritable(target), TemporaryDirectory(dir=target.parent, prefix=".oncofed-backup.") as made:
        copy = NodeFolder(Path(made))
        _copy(folder, copy, of=_freely)
        with approvals_of(folder).at_rest():
            _copy(folder, copy, of=_decisions)
            with _log_at_rest(folder):
                _copy(folder, copy, of=_answered)
                copy_ledger(folder.ledger, copy.ledger)
                _copy(folder, copy, of=_log)
        ledger = _sound(copy)
        names = sorted(str(path.relative_to(copy.root)) for path in copy.root.rglob("*") if path.is_file())
        files = {name: hashlib.sha256((copy.root / name).read_bytes()).hexdigest() for name in names}
        head = str(verify_audit_log(copy.audit_log).head)
        backup = Backup(site.name, now.astimezone(UTC).isoformat(timespec="seconds"), ledger, head, files)
        _write(target, copy.root, backup)
    return backup


def restore(folder: NodeFolder, file: Path, *, now: datetime) -> tuple[Backup, Path | None]:
    """Put a backup in place of the folder; what was in it, and where the former folder is now.

    Raises InvalidInput, RecordFailure; then the folder is as it was.
    """
    folder.root.parent.mkdir(parents=True, exist_ok=True)
    made = Path(mkdtemp(dir=folder.root.parent, prefix=f".{folder.root.name}.restoring."))
    copy = NodeFolder(made)
    try:
        with _stopped(folder):
            backup = _read(file, made)
            site = read_site(copy)
            _refuse_other_users(site)
            _sound(copy)
            _refuse_other_site(folder, site)
            _keep_newer_log(folder, copy, _compared(folder, copy))
            create(copy, site)
            former = _swapped(folder, made, now=now)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return backup, former


def _refuse_other_users(site: SiteSettings) -> None:
    if site.users is not None and os.geteuid() != 0:
        raise InvalidInput([Fault("this command", "is for root: the folder belongs to three users", "Use sudo.")])


# What is copied when


def _freely(name: str) -> bool:
    return not (_decisions(name) or _answered(name) or _log(name))


def _decisions(name: str) -> bool:
    return name.startswith(("guard/approvals/", "guard/patients/", "approved/")) or name == "guard/held_out.key"


def _answered(name: str) -> bool:
    return name.startswith("guard/answers/") and not name.endswith(".answer")


def _log(name: str) -> bool:
    return name.startswith("guard/audit.")


def _left_out(name: str) -> bool:
    """Whatever is no part of a node, such as a table that lies beside its rules, too."""
    return (
        not name.startswith(_PARTS)
        or name.startswith(("guard/masking/", _LEDGER))
        or name.endswith((UNFINISHED, ".lock"))
    )


def _copy(folder: NodeFolder, copy: NodeFolder, *, of: Callable[[str], bool]) -> None:
    """Regular files alone, found by open folders, never by a link: root reads what other users may have laid there."""
    for place, _, names, descriptor in os.fwalk(folder.root):
        for each in names:
            name = str((Path(place) / each).relative_to(folder.root))
            if _left_out(name) or not of(name):
                continue
            with suppress(FileNotFoundError):  # the guard is at work, and its files come and go
                content, mode = _content(each, descriptor, where=Path(place) / each)
                target = copy.root / name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                target.write_bytes(content)
                target.chmod(mode)


def _content(name: str, folder: int, *, where: Path) -> tuple[bytes, int]:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        remedy = "Find out what it is, take it out of the folder, and back up again."
        raise InvalidInput([Fault(str(where), "is a link or no regular file", remedy)])
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        return file.read(), stat.S_IMODE(found.st_mode)


@contextmanager
def _log_at_rest(folder: NodeFolder) -> Iterator[None]:
    if not folder.audit_log.exists():  # then nothing was released; root may not make the guard's file
        yield
        return
    with locked(folder.audit_log):
        yield


def _sound(copy: NodeFolder) -> str:
    """The ledger's head, once all is verified. Leaves the folder as it was."""
    head = str(verify_ledger(copy.ledger, anchor=None))
    refuse_disagreement(copy)
    for beside in copy.guard.glob("ledger.sqlite-*"):
        beside.unlink()
    return head


# The file


def _write(target: Path, root: Path, backup: Backup) -> None:
    unfinished = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
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


def _read(file: Path, root: Path) -> Backup:
    """Unpack into an empty folder. Nothing outside of it is written, whatever the file holds."""
    try:
        with tarfile.open(file, mode="r:") as tar:
            manifest, _ = _member(tar, tar.next())
            fields = json.loads(manifest)
            if fields.pop("form") != _FORM:
                raise ValueError("another form")
            backup = Backup(**fields)
            left = dict(backup.files)
            while (member := tar.next()) is not None:
                content, mode = _member(tar, member)
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or (_left_out(member.name) and member.name != _LEDGER):
                    raise ValueError("a path that no backup has")
                if left.pop(member.name) != hashlib.sha256(content).hexdigest():
                    raise ValueError("another content")
                path = root / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(mode & 0o640)
        if left or not (root / _LEDGER).exists():
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


# What restoring refuses


@contextmanager
def _stopped(folder: NodeFolder) -> Iterator[None]:
    """While inside neither guard nor supervisor of the folder starts."""
    with ExitStack() as held:
        for lock in (folder.socket.with_suffix(".lock"), folder.logs / "supervisor.lock"):
            with suppress(FileNotFoundError):
                descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                held.callback(os.close, descriptor)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    remedy = "Stop it first: systemctl stop oncofed.target"
                    raise InvalidInput([Fault(str(folder.root), "is running", remedy)]) from None
        yield


def _refuse_other_site(folder: NodeFolder, site: SiteSettings) -> None:
    if os.path.lexists(folder.settings):
        with suppress(InvalidInput):  # a damaged one is among what is to be replaced
            if (here := read_site(folder).name) != site.name:
                raise RecordDamaged(f"{folder.root} is the node of {here}, and the backup is of {site.name}.")


def _compared(folder: NodeFolder, copy: NodeFolder) -> bool:
    """Whether the folder's audit log has gone on since the backup, and is to be kept.

    Raises RecordDamaged when a record here knows of anything that the backup does not, or cannot be compared.
    """
    found, goes_on = [], False
    for compare in (_ledger_knows_more, _answers_know_more):
        try:
            found += compare(folder, copy)
        except RecordFailure as failure:
            found.append(_not_comparable(str(failure)))
    try:
        told, goes_on = _log_knows_more(folder, copy)
        found += told
    except RecordFailure as failure:
        found.append(_not_comparable(str(failure)))
    if found:
        raise RecordDamaged(f"not restored, and nothing was changed: {'; '.join(found)}. {_SECTION}")
    return goes_on


def _not_comparable(why: str) -> str:
    return (
        f"a record that is here cannot be compared with the backup ({why.rstrip('.')}). If it is lost for good, move "
        "it out of the folder, keep it, and restore again"
    )


def _ledger_knows_more(folder: NodeFolder, copy: NodeFolder) -> list[str]:
    if not os.path.lexists(folder.ledger):
        left = [path.name for path in folder.guard.glob(f"{folder.ledger.name}-*")]
        return [_not_comparable(f"{name} is what is left of a ledger") for name in left if name.endswith("-wal")]
    here, kept = read_ledger(folder.ledger), read_ledger(copy.ledger)
    if [entry.hash for entry in here] == [entry.hash for entry in kept[: len(here)]]:
        return []
    return [f"the ledger that is here holds {len(here)} charges, and the backup does not know all of them"]


def _answers_know_more(folder: NodeFolder, copy: NodeFolder) -> list[str]:
    charged = {hashlib.sha256(entry.charge.identity.encode()).hexdigest() for entry in read_ledger(copy.ledger)}
    with unwritable(folder.answers):
        more = {path.stem for path in folder.answers.glob("*.asked")} - charged
    return [f"the answers that are here tell of {len(more)} that the backup does not know"] if more else []


def _log_knows_more(folder: NodeFolder, copy: NodeFolder) -> tuple[list[str], bool]:
    here, kept = verify_audit_log(folder.audit_log).entries, verify_audit_log(copy.audit_log).entries
    shared = min(len(here), len(kept))
    if here[:shared] != kept[:shared]:
        return ["the audit log that is here is another one than the backup's"], False
    since = here[shared:]
    if any(entry.plan_hash for entry in since):
        return ["the audit log that is here has gone on about plans since the backup"], False
    return [], bool(since)


def _keep_newer_log(folder: NodeFolder, copy: NodeFolder, goes_on: bool) -> None:
    if goes_on:
        for older in copy.guard.glob("audit.*"):
            older.unlink()
        _copy(folder, copy, of=_log)


def _swapped(folder: NodeFolder, made: Path, *, now: datetime) -> Path | None:
    former = folder.root.with_name(f"{folder.root.name}.before-{now.astimezone(UTC):%Y%m%dT%H%M%S}")
    here = folder.root.exists()
    if here:
        folder.root.rename(former)
    try:
        made.rename(folder.root)
    except OSError:
        if here:
            former.rename(folder.root)
        raise
    keys = NodeFolder(former).masking
    if here and keys.is_dir():  # made once and never again, so no backup has them
        shutil.rmtree(folder.masking, ignore_errors=True)
        keys.rename(folder.masking)
    sync_folder(folder.root.parent)
    return former if here else None
