"""In which form are patients kept between their approval and the end of their study?

One safetensors file an approval, ``<plan hash>.<SHA-256>.safetensors``: x, events and at_risk of those who are trained
on, and of those who are set aside. No identifier, no date. Its SHA-256 stands in the approval, so that what is read is
what was approved or nothing; and in its name, so that approving again writes beside the file before, never over it.

Promises: `read_frozen` gives what `freeze` wrote, bit for bit. Refused, with RecordDamaged: a file that is not there or
is another than the approval says, whatever is in it. Imports no torch.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import safetensors.numpy

from oncofed.durable import replace_durably, sync_folder, unwritable
from oncofed.errors import RecordDamaged
from oncofed.plain_file import opened, pieces_of
from oncofed.survival.encoded_patients import EncodedPatients

LARGEST_FROZEN = 20 * 10**9
"""Bytes, and of all of them at a node, which a backup holds (`install.backup_file`)."""
_GROUPS = ("trained_on", "held_out")
_FROZEN = re.compile(r"\.?[0-9a-f]{64}\.")
"""A name begins so: of a whole file, of one half-written, of a copy."""
_PARTS = ("x", "events", "at_risk")


def frozen_file(folder: Path, *, plan_hash: str, sha256: str) -> Path:
    """Where they are frozen."""
    return folder / f"{plan_hash}.{sha256}.safetensors"


def freeze(folder: Path, *, plan_hash: str, trained_on: EncodedPatients, held_out: EncodedPatients) -> str:
    """Write them for the owner alone. The file's SHA-256. Raises RecordUnwritable."""
    groups = zip(_GROUPS, (trained_on, held_out), strict=True)
    arrays = {f"{name}.{part}": getattr(group, part) for name, group in groups for part in _PARTS}
    content = safetensors.numpy.save(arrays)
    sha256 = hashlib.sha256(content).hexdigest()
    replace_durably(frozen_file(folder, plan_hash=plan_hash, sha256=sha256), content)
    return sha256


def read_frozen(path: Path, *, sha256: str) -> tuple[EncodedPatients, EncodedPatients]:
    """Those who are trained on, and those who are set aside. Raises RecordDamaged."""
    content = b""
    with suppress(OSError), opened(path) as file:
        content = file.read(_bytes_to_read(file))
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _another(path)
    arrays = safetensors.numpy.load(content)
    trained_on, held_out = (EncodedPatients(*(arrays[f"{name}.{part}"] for part in _PARTS)) for name in _GROUPS)
    return trained_on, held_out


def refuse_another(path: Path, *, sha256: str) -> None:
    """Raises RecordDamaged as `read_frozen`; of the file, which may be anybody's work, nothing is held or read."""
    found = hashlib.sha256()
    with suppress(OSError), opened(path) as file:
        for piece in pieces_of(file, size=_bytes_to_read(file)):
            found.update(piece)
    if found.hexdigest() != sha256:
        raise _another(path)


def _bytes_to_read(file: BinaryIO) -> int:
    """None of a file that nobody can have frozen."""
    size = os.fstat(file.fileno()).st_size
    return size if size <= LARGEST_FROZEN else 0


def _another(path: Path) -> RecordDamaged:
    return RecordDamaged(
        f"{path} is lost, unreadable or not what was frozen at the approval. Approve the plan again "
        "(oncofed site approve): that freezes the table as it is then."
    )


def thaw(folder: Path, *, unless: Callable[[Path], bool]) -> None:
    """Remove what is frozen there, and what a kill left half-written, but for some files. Raises RecordUnwritable.

    What else somebody has laid there is left alone.
    """
    with unwritable(folder):
        if folder.exists():
            for path in sorted(folder.iterdir()):
                if _FROZEN.match(path.name) and not path.is_dir() and not unless(path):
                    path.unlink()
            sync_folder(folder)
