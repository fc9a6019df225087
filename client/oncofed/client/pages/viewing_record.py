"""Who looked at what? Every view, and every refusal, is an entry of the hospital's audit log.

An entry holds the account, what kind of view it was, and of a patient a keyed hash: without the key, which lies with
the guard, nobody can tell from the log which patient it was, not even by trying all identifiers. With it, the guard's
user can list who looked at one patient.

Promise: the entry is on the disk before the page leaves; if it cannot be written, nothing is shown. Refusals of who is
not signed in are written down up to a number in a minute and then summed up, so that nobody without an account can
fill the disk.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.durable import create_durably
from oncofed.secret_files import read_secret

PATIENT, PATIENT_EXPORT, TWIN, WHAT_IF, COHORT, EXPORT, AUDIT, ACCOUNTS = (
    "page_patient",
    "page_patient_export",
    "page_twin",
    "page_what_if",
    "page_cohort",
    "page_export",
    "page_audit",
    "page_accounts",
)
SEARCH, LAUNCH, SIGN_IN, SIGN_OUT, REFUSED = (
    "page_search",
    "page_launch",
    "page_sign_in",
    "page_sign_out",
    "page_refused",
)
PLANS, PLAN, LEDGER, NODE = "page_plans", "page_plan", "page_ledger", "page_node"
SHEET = "page_sheet"
BOARD, BOARD_ADDED, BOARD_REMOVED, BOARD_MOVED, BOARD_CLEARED = (
    "page_board",
    "page_board_added",
    "page_board_removed",
    "page_board_moved",
    "page_board_cleared",
)
QUALITY, QUALITY_MADE = "page_quality", "page_quality_made"
NOT_FOUND, WRONG_PASSWORD = "not_found", "wrong_password"
NO_SESSION, ROLE, FORM, UNKNOWN_PATIENT, HOST, NODE_USER, UNKNOWN_USER, UNKNOWN_PAGE, WAITS, MORE = (
    "no_session",
    "role",
    "form",
    "unknown_patient",
    "host",
    "node_user",
    "unknown_user",
    "unknown_page",
    "waits",
    "more_of_the_same",
)
"""Events and reasons, as they stand in the log."""

_KEY_BYTES = 32
_PREFIX = "patient."
_ANONYMOUS_A_MINUTE = 30


class ViewingRecord:
    """Writes to one audit log. plan_hash: of the study whose model is shown, if there is one. clock: seconds."""

    def __init__(self, log: AuditLog, *, key: bytes, plan_hash: str, clock: Callable[[], float]) -> None:
        assert len(key) >= _KEY_BYTES
        self._log = log
        self._key = key
        self._plan_hash = plan_hash
        self._clock = clock
        self._minute, self._in_minute = 0, 0
        self._lock = threading.Lock()

    def patient(self, by: str, event: str, patient_id: str) -> None:
        """A view or a find of one patient."""
        self._log.append(event, plan_hash=self._plan_hash, code=patient_code(self._key, patient_id), by=by)

    def code_of(self, patient_id: str) -> str:
        """What stands for a patient in the log."""
        return patient_code(self._key, patient_id)

    def viewed(self, by: str, event: str, what: str = "", *, plan_hash: str = "") -> None:
        """Any other view. what: a short word of ours. plan_hash: of another plan."""
        self._log.append(event, plan_hash=plan_hash or self._plan_hash, code=what, by=by)

    def changed(self, by: str, what: str, *, account: str, role: str = "") -> None:
        """An account. role: that it is given."""
        note_change(self._log, what, by=by, account=account, role=role, plan_hash=self._plan_hash)

    def refused(self, by: str, reason: str, *, plan_hash: str = "") -> None:
        """by: the account; empty for somebody who is not signed in. plan_hash: as of `viewed`."""
        if by:
            self._log.append(REFUSED, plan_hash=plan_hash or self._plan_hash, code=reason, by=by)
            return
        with self._lock:
            minute = int(self._clock() // 60)
            if minute != self._minute:
                self._minute, self._in_minute = minute, 0
            self._in_minute += 1
            count = self._in_minute
        if count <= _ANONYMOUS_A_MINUTE:
            self._log.append(REFUSED, plan_hash=self._plan_hash, code=reason)
        elif count == _ANONYMOUS_A_MINUTE + 1:
            self._log.append(REFUSED, plan_hash=self._plan_hash, code=MORE)


def note_change(log: AuditLog, what: str, *, by: str, account: str, role: str = "", plan_hash: str = "") -> None:
    """That somebody changes an account: on the pages, or by a command."""
    log.append(ACCOUNTS, plan_hash=plan_hash, code=what, by=by, facts={"of_account": account, "role": role})


def patient_code(key: bytes, patient_id: str) -> str:
    """What stands for a patient in the log."""
    return _PREFIX + hmac.new(key, patient_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def viewing_key(path: Path) -> bytes:
    """The key in a file of the guard's user, made when it is first needed."""
    create_durably(path, secrets.token_bytes(_KEY_BYTES))
    return read_secret(path)


def views_of(log: Path, *, key: bytes, patient_id: str) -> tuple[AuditEntry, ...]:
    """Every entry of a sound log that is about this patient. Raises RecordDamaged."""
    code = patient_code(key, patient_id)
    return tuple(entry for entry in verify_audit_log(log).entries if entry.code == code)
