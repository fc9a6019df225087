"""Is what is published for figures of groups what the audit log says was published last?

A version is written under another name first, then noted in the log with the hash of the file, and only then takes its
place: a kill at any moment leaves the old version, or a new one that is noted and takes its place at the next start. A
file that is not the one that was noted last, or that is lost, is refused: with another one made from the table of that
night, two pictures of nearly the same patients could be compared. A person then restores it, or says that enough
patients have changed for all figures to be begun anew (`commands`), which the log tells.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.durable import replace_durably, sync_folder, unwritable
from oncofed.errors import RecordDamaged
from oncofed.secret_files import read_secret

TAKEN_BACK = b"taken back"
"""What lies where a publication was, until the next one."""
PUBLISHED, BEGUN_ANEW = "page_published", "page_published_anew"
_NAME_DIGITS, _FILE_DIGITS = 8, 30


def code_of(path: Path, content: bytes) -> str:
    """What stands for a file and its content in the log, in the letters that a word of it has room for."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{_beginning(path)}{digest[:_FILE_DIGITS]}"


def _beginning(path: Path) -> str:
    return f"f{hashlib.sha256(path.name.encode()).hexdigest()[:_NAME_DIGITS]}."


def publish_content(path: Path, content: bytes, *, log: Path, by: str, plan_hash: str, event: str = PUBLISHED) -> None:
    """Note it, and put it in its place. Raises RecordUnwritable."""
    waiting = _waiting(path)
    replace_durably(waiting, content, mode=0o600)
    AuditLog(log).append(event, plan_hash=plan_hash, code=code_of(path, content), by=by)
    _take_place(waiting, path)


def published_content(path: Path, *, log: Path) -> bytes | None:
    """None where nothing was ever published, or was taken back.

    Raises RecordDamaged, or InvalidInput for a file that cannot be read or that others may read.
    """
    noted = _noted_last(path, log)
    waiting = _waiting(path)
    with unwritable(path):
        if waiting.exists() and noted is not None and code_of(path, read_secret(waiting, most=None)) == noted:
            _take_place(waiting, path)
        exists = path.exists()
    if not exists and noted is None:
        return None
    remedy = (
        "Restore its newest copy, and that of the audit log. If there is none: when at least twice the policy's "
        "smallest_group of each tumour have come since, `oncofed site pages publish --anew --after-loss` begins anew."
    )
    if not exists:
        raise RecordDamaged(f"{path.name} is lost, which says what was told of groups before. {remedy}")
    content = read_secret(path, most=None)
    if code_of(path, content) != noted:
        raise RecordDamaged(f"{path.name} is not the one that the audit log says was published last. {remedy}")
    return None if content == TAKEN_BACK else content


def _noted_last(path: Path, log: Path) -> str | None:
    if not log.exists():
        return None
    beginning = _beginning(path)
    codes = [
        entry.code
        for entry in verify_audit_log(log).entries
        if entry.event in (PUBLISHED, BEGUN_ANEW) and entry.code.startswith(beginning)
    ]
    return codes[-1] if codes else None


def _waiting(path: Path) -> Path:
    return path.with_name(f"{path.name}.waiting")


def _take_place(waiting: Path, path: Path) -> None:
    with unwritable(path):
        os.replace(waiting, path)
        sync_folder(path.parent)
