"""In which form are patients kept between their approval and the end of their study?

One safetensors file a plan, ``<plan hash>.safetensors``: x, events and at_risk of those who are trained on, and of
those who are set aside. No identifier, no date. Its SHA-256 stands in the approval, so that what is read is what was
approved or nothing.

Promises: `read_frozen` gives what `freeze` wrote, bit for bit. Refused, with RecordDamaged: a file that is not there or
is another than the approval says, whatever is in it. Imports no torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.numpy

from oncofed.durable import UNFINISHED, replace_durably, sync_folder, unwritable
from oncofed.errors import RecordDamaged
from oncofed.survival.encoded_patients import EncodedPatients

_GROUPS = ("trained_on", "held_out")
_PARTS = ("x", "events", "at_risk")
_FOLDER_MODE = 0o700


def freeze(path: Path, *, trained_on: EncodedPatients, held_out: EncodedPatients) -> str:
    """Write them for the owner alone, in place of those before. The file's SHA-256. Raises RecordUnwritable."""
    groups = zip(_GROUPS, (trained_on, held_out), strict=True)
    arrays = {f"{name}.{part}": getattr(group, part) for name, group in groups for part in _PARTS}
    content = safetensors.numpy.save(arrays)
    with unwritable(path.parent):
        path.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    replace_durably(path, content)
    return hashlib.sha256(content).hexdigest()


def read_frozen(path: Path, *, sha256: str) -> tuple[EncodedPatients, EncodedPatients]:
    """Those who are trained on, and those who are set aside. Raises RecordDamaged."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordDamaged(
            f"{path} is lost, unreadable or not what was frozen at the approval. Approve the plan again "
            "(oncofed site approve): that freezes the table as it is then."
        )
    arrays = safetensors.numpy.load(content)
    trained_on, held_out = (EncodedPatients(*(arrays[f"{name}.{part}"] for part in _PARTS)) for name in _GROUPS)
    return trained_on, held_out


def thaw(path: Path) -> None:
    """Remove what was frozen, and what a kill left half-written. Raises RecordUnwritable."""
    with unwritable(path):
        for each in (path, path.with_name(path.name + UNFINISHED)):
            each.unlink(missing_ok=True)
        if path.parent.exists():
            sync_folder(path.parent)
