"""What has this hospital said about adjusting a delivered model, and is it still what it said?

One file beside the model, `models/<plan hash>.recalibration`, signed with the guard's key, so that nobody but the
guard's user changes what patients' pages show; each adoption and withdrawal is an entry of the audit log, which holds
the hash of what was signed. It never leaves the hospital, and nothing is charged for it. What it holds of patients'
outcomes is what the pages may tell of them (`pages.disclosure`).

Promises: with no file the model is shown as released. A file that somebody else wrote, or of another plan, or that is
not the last that the audit log tells of (an older copy that was put back, one that was withdrawn), is refused with
RecordDamaged and never taken for "nothing is adjusted".
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime

import numpy as np

from oncofed.client.fit.closed_testing import Degree
from oncofed.client.install.folder import NodeFolder
from oncofed.client.pages.recalibration import Decided, Recalibration
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.durable import replace_durably, sync_folder, unwritable
from oncofed.errors import RecordDamaged, SignatureInvalid
from oncofed.plain_file import plain_bytes
from oncofed.protocol.signing import public_key_of, sign, verify
from oncofed.secret_files import read_signing_key

ADOPTED, WITHDRAWN = "recalibration_adopted", "recalibration_withdrawn"
FORM = 1
_CONTEXT = "local recalibration"
_LARGEST = 1_000_000
"""Bytes."""
_CODE_DIGITS = 36


@dataclass(frozen=True, eq=False)
class AdoptedEndpoint:
    """fit: None where nothing is adjusted."""

    name: str
    degree: Degree
    fit: Recalibration | None


@dataclass(frozen=True, eq=False)
class Adoption:
    """plan_hash: of the model. at: when, ISO 8601 in UTC. by: the person."""

    plan_hash: str
    at: str
    by: str
    endpoints: tuple[AdoptedEndpoint, ...]

    @property
    def day(self) -> str:
        return self.at[:10]

    def decided(self) -> Decided:
        """For the pages. Endpoints are in the plan's order."""
        fits = {number: each.fit for number, each in enumerate(self.endpoints) if each.fit is not None}
        return Decided(self.day, fits)


NOBODY_DECIDED = Decided("", {})


def adopt(folder: NodeFolder, plan_hash: str, endpoints: tuple[AdoptedEndpoint, ...], *, by: str) -> Adoption:
    """Write it down, in the audit log too. Raises RecordFailure, InvalidInput."""
    adoption = Adoption(plan_hash, datetime.now(UTC).isoformat(timespec="seconds"), by, endpoints)
    message = _message(adoption)
    signature = sign(read_signing_key(folder.answer_key), context=_CONTEXT, message=message)
    content = json.dumps({"signed": message.decode(), "signature": signature.hex()}, indent=1).encode() + b"\n"
    AuditLog(folder.audit_log).append(ADOPTED, plan_hash=plan_hash, code=_code_of(message), by=by)
    replace_durably(folder.recalibration(plan_hash), content)
    return adoption


def withdraw(folder: NodeFolder, plan_hash: str, *, by: str) -> bool:
    """Show the model as released again; False where it is. Raises RecordFailure."""
    path = folder.recalibration(plan_hash)
    if not path.exists():
        return False
    AuditLog(folder.audit_log).append(WITHDRAWN, plan_hash=plan_hash, by=by)
    with unwritable(path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    return True


def adoption_of(folder: NodeFolder, plan_hash: str, *, endpoints: tuple[str, ...]) -> Adoption | None:
    """None where the hospital has adopted nothing. Raises RecordDamaged. endpoints: the model's, in order."""
    path = folder.recalibration(plan_hash)
    with unwritable(path):
        if not path.exists():
            return None
        content = plain_bytes(path, most=_LARGEST)
    adoption, message = None, b""
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError, SignatureInvalid):
        found = json.loads(content)
        message, key = found["signed"].encode(), public_key_of(read_signing_key(folder.answer_key))
        verify(key, context=_CONTEXT, message=message, signature=bytes.fromhex(found["signature"]))
        adoption = _adoption_in(json.loads(message))
    if adoption is None or adoption.plan_hash != plan_hash or tuple(e.name for e in adoption.endpoints) != endpoints:
        raise RecordDamaged(
            f"{path.name} is not what this node's guard signed for this model. `oncofed site recalibrate {folder.root} "
            "--adopt` writes it anew; with --withdraw the model is shown as released."
        )
    entries = verify_audit_log(folder.audit_log).entries
    told = [one for one in entries if one.plan_hash == plan_hash and one.event in (ADOPTED, WITHDRAWN)]
    if not told or (told[-1].event, told[-1].code) != (ADOPTED, _code_of(message)):
        raise RecordDamaged(
            f"{path.name} is a copy of an adoption that is not the last thing that the audit log tells of this model. "
            f"`oncofed site recalibrate {folder.root} --adopt` writes it anew; with --withdraw the model is shown as "
            "released."
        )
    return adoption


def _code_of(message: bytes) -> str:
    return f"s{hashlib.sha256(message).hexdigest()[:_CODE_DIGITS]}"


def _message(adoption: Adoption) -> bytes:
    told = {
        "form": FORM,
        "plan_hash": adoption.plan_hash,
        "at": adoption.at,
        "by": adoption.by,
        "endpoints": [
            {"name": each.name, "degree": each.degree.value, "fit": None if each.fit is None else _fields(each.fit)}
            for each in adoption.endpoints
        ],
    }
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _fields(fit: Recalibration) -> dict[str, object]:
    written = {each.name: getattr(fit, each.name) for each in fields(fit)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in written.items()}


def _adoption_in(told: dict[str, object]) -> Adoption:
    """Of what was signed. Raises one of what a wrong text raises."""
    listed = told["endpoints"]
    if told["form"] != FORM or not isinstance(listed, list):
        raise ValueError
    endpoints = tuple(
        AdoptedEndpoint(each["name"], Degree(each["degree"]), None if each["fit"] is None else _fit(each["fit"]))
        for each in listed
    )
    return Adoption(str(told["plan_hash"]), str(told["at"]), str(told["by"]), endpoints)


def _fit(told: dict[str, object]) -> Recalibration:
    arrays = {name: np.asarray(told[name], dtype=np.float64) for name in ("corrections", "covariance")}
    return Recalibration(**{**told, **arrays})  # type: ignore[arg-type]  # signed by us
