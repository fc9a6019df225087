"""How does a node's folder go into one file that agrees with itself, and back without spending anything twice?

`back_up` copies while the guard runs, in an order that follows from the order in which a charge is written (announced
in the audit log, charged to the ledger, kept in answers/, told in the log as left):

1. what may change at any time and is compared with nothing: keys, settings, plans, models, bytes of answers;
2. while nobody can decide: approvals and the patients they name;
3. while nobody can write to the audit log either: which answers were given and the accounts of the pages, then the
   ledger by SQLite's own copy, then the log. Nobody charges then: it could not be announced.

Then the copy is verified as a guard verifies its folder, before the file gets its name. The file is for root (or who
runs the node) alone, and holds all that the folder holds, frozen patients too; but no masking key, which is to be gone
after its study, no log of the services, and nothing of a moment (sockets, locks).

`restore` lays a whole folder beside the present one and then takes its place (`replacement`); the present one stays
beside it. Meanwhile nobody decides, and neither account nor audit log changes. Refused: a file that is not whole;
another hospital's; a node that runs; a present folder whose ledger, answers or audit log hold anything that the backup
does not know, or cannot be compared. An audit log that only has gone on since, about no plan, is kept, and so are all
settings, keys and accounts that are here (`kept_settings`). A last line of the log tells of the restore, and ends what
persons had wished to approve. What a lost disk knew, nobody here can tell: then the coordinator's questions do
(`records.agreement`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from oncofed.client.install.backup_file import (
    Backup,
    copy_files,
    read_backup,
    refuse_other_files,
    sha256_of,
    too_large,
    write_backup,
)
from oncofed.client.install.folder import NodeFolder, SiteSettings, read_site
from oncofed.client.install.inbox import approvals_of
from oncofed.client.install.kept_settings import Kept, accounts_of, keep_settings
from oncofed.client.install.replacement import refuse_missing, restoring, settle, take_place, working_folder
from oncofed.client.install.setup import create, refuse_unless_root
from oncofed.client.pages.accounts import accounts_at_rest
from oncofed.client.records.agreement import refuse_disagreement
from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.client.records.audit_files import at_rest, begun_of
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.sqlite_ledger import copy_ledger, read_ledger, verify_ledger
from oncofed.client.records.wishes import RESTORED
from oncofed.durable import unwritable
from oncofed.errors import Fault, InvalidInput, RecordDamaged, RecordFailure
from oncofed.supervision import SUPERVISOR_LOCK
from oncofed.turns import opened_lock

_WORK = ".oncofed-backup"
_SECONDS_TO_WAIT = 120.0
"""For whoever of the node is at work on a record. Freezing the patients of a plan takes seconds."""
_SECTION = "docs/install-hospital.md, section 8, says what to do."


@dataclass(frozen=True)
class Restored:
    """What a node is now.

    held       what was in the backup.
    audit_log  the head of the log, which may have gone on since; before the line that tells of the restore.
    former     where the folder is that was there before.
    """

    held: Backup
    audit_log: str
    former: Path | None
    kept: Kept


def back_up(folder: NodeFolder, file: Path, *, now: datetime) -> Backup:
    """Write the backup; what is in it. Raises InvalidInput, RecordFailure; then `file` is as it was."""
    site = read_site(folder)
    refuse_unless_root(site.users)
    target = file.absolute()
    if target.resolve().is_relative_to(folder.root.resolve()):
        raise InvalidInput([Fault(str(file), "lies inside the node's folder", "Choose a file on another disk.")])
    with unwritable(target):
        refuse_other_files(target)
        if faults := list(too_large(folder)):
            raise InvalidInput(faults)
        with working_folder(target.parent / _WORK) as work:
            copy = NodeFolder(work / "node")
            copy.root.mkdir(mode=0o700)
            copy_files(folder, copy, of=_freely)
            with _decisions_at_rest(folder):
                copy_files(folder, copy, of=_decisions)
                with _log_at_rest(folder):
                    copy_files(folder, copy, of=_answered)
                    copy_ledger(folder.ledger, copy.ledger)
                    copy_files(folder, copy, of=_log)
            ledger = _sound(copy)
            names = sorted(str(path.relative_to(copy.root)) for path in copy.root.rglob("*") if path.is_file())
            files = {name: sha256_of(copy.root / name) for name in names}
            head = str(verify_audit_log(copy.audit_log).head)
            backup = Backup(site.name, now.astimezone(UTC).isoformat(timespec="seconds"), ledger, head, files)
            write_backup(target, copy.root, backup, unfinished=work / "file")
    return backup


def restore(folder: NodeFolder, file: Path, *, now: datetime, by: str = "") -> Restored:
    """Put a backup in place of the folder. by: the person.

    Raises InvalidInput, RecordFailure; then the folder is as it was.
    """
    with unwritable(folder.root):
        folder.root.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(restoring(folder.root)) as made:
            settle(folder.root, now=now)
            refuse_missing(folder.root)
            copy = NodeFolder(made)
            with _stopped(folder), _at_rest(folder):
                with unwritable(file):
                    backup = read_backup(file, made)
                refuse_unless_root(read_site(copy).users)
                _sound(copy)
                _refuse_other_site(folder, read_site(copy))
                since = _compared(folder, copy)
                if since:
                    _keep_newer_log(folder, copy)
                kept = keep_settings(folder, copy, since=since)
                site = read_site(copy)
                refuse_unless_root(site.users)
                head = str(verify_audit_log(copy.audit_log).head)
                if os.path.lexists(copy.audit_log):  # else nobody has wished anything
                    AuditLog(copy.audit_log).append(RESTORED, by=by)
                create(copy, site)
                with _stopped(copy):
                    former = take_place(folder.root, made, now=now)
    return Restored(backup, head, former, kept)


# What is copied when


def _freely(name: str) -> bool:
    return not (_decisions(name) or _answered(name) or _log(name))


def _decisions(name: str) -> bool:
    return name.startswith(("guard/approvals/", "guard/patients/", "approved/")) or name == "guard/held_out.key"


def _answered(name: str) -> bool:
    answered = name.startswith("guard/answers/") and not name.endswith(".answer")
    return answered or name.startswith("guard/pages-")  # the log tells of them once they are changed


def _log(name: str) -> bool:
    return name.startswith("guard/audit.")


@contextmanager
def _decisions_at_rest(folder: NodeFolder) -> Iterator[None]:
    """While inside nobody decides about a plan. Nothing is tidied: root removes no file of the guard's by its name."""
    if not folder.patients.is_dir():  # then nobody has decided
        yield
        return
    with approvals_of(folder).held(seconds=_SECONDS_TO_WAIT):
        yield


@contextmanager
def _log_at_rest(folder: NodeFolder) -> Iterator[None]:
    """While inside nobody writes to the log. Nothing is made or renamed, either."""
    places = (
        folder.audit_log,
        begun_of(folder.audit_log),
    )  # one that is being closed gets its name from the next writer
    found = next((place for place in places if os.path.lexists(place)), None)
    if found is None:  # then nothing was released
        yield
        return
    with at_rest(found, seconds=_SECONDS_TO_WAIT):
        yield


def _sound(copy: NodeFolder) -> str:
    """The ledger's head, once all is verified. Leaves the folder as it was."""
    head = str(verify_ledger(copy.ledger, anchor=None))
    refuse_disagreement(copy)
    for beside in copy.guard.glob("ledger.sqlite-*"):
        beside.unlink()
    return head


# What restoring refuses


@contextmanager
def _stopped(folder: NodeFolder) -> Iterator[None]:
    """While inside no part of the folder starts, nor its supervisor."""
    with ExitStack() as held:
        for lock in (*folder.locks.values(), folder.logs / SUPERVISOR_LOCK):
            with suppress(FileNotFoundError):  # without run/ or logs/ nothing has ever started
                held.callback(os.close, descriptor := opened_lock(lock))
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    remedy = "Stop it first: systemctl stop oncofed.target"
                    raise InvalidInput([Fault(str(folder.root), "is running", remedy)]) from None
        yield


@contextmanager
def _at_rest(folder: NodeFolder) -> Iterator[None]:
    """While inside nobody decides about a plan or an account of the folder that is here, or writes to its log.

    Who waits meanwhile goes on with what lies there afterwards.
    """
    with ExitStack() as held:
        held.enter_context(_decisions_at_rest(folder))
        if folder.guard.is_dir():
            held.enter_context(accounts_at_rest(accounts_of(folder), seconds=_SECONDS_TO_WAIT))
        held.enter_context(_log_at_rest(folder))
        yield


def _refuse_other_site(folder: NodeFolder, site: SiteSettings) -> None:
    if os.path.lexists(folder.settings):
        with suppress(InvalidInput):  # a damaged one is among what is to be replaced
            if (here := read_site(folder).name) != site.name:
                raise RecordDamaged(f"{folder.root} is the node of {here}, and the backup is of {site.name}.")


def _compared(folder: NodeFolder, copy: NodeFolder) -> Sequence[AuditEntry]:
    """What the folder's audit log tells since the backup.

    Raises RecordDamaged when a record here knows of anything that the backup does not, or cannot be compared.
    """
    found: list[str] = []
    since: Sequence[AuditEntry] = ()
    for compare in (_ledger_knows_more, _answers_know_more):
        try:
            found += compare(folder, copy)
        except RecordFailure as failure:
            found.append(_not_comparable(str(failure)))
    try:
        told, since = _log_knows_more(folder, copy)
        found += told
    except RecordFailure as failure:
        found.append(_not_comparable(str(failure)))
    if found:
        raise RecordDamaged(f"not restored, and nothing was changed: {'; '.join(found)}. {_SECTION}")
    return since


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


def _log_knows_more(folder: NodeFolder, copy: NodeFolder) -> tuple[list[str], Sequence[AuditEntry]]:
    here, kept = verify_audit_log(folder.audit_log).entries, verify_audit_log(copy.audit_log).entries
    shared = min(len(here), len(kept))
    if here[:shared] != kept[:shared]:
        return ["the audit log that is here is another one than the backup's"], ()
    since = here[shared:]
    if any(entry.plan_hash for entry in since):
        return ["the audit log that is here has gone on about plans since the backup"], ()
    return [], since


def _keep_newer_log(folder: NodeFolder, copy: NodeFolder) -> None:
    for older in copy.guard.glob("audit.*"):
        older.unlink()
    copy_files(folder, copy, of=_log)
