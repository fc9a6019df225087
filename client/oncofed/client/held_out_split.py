"""Which of a hospital's patients are set aside, to be measured and never trained on?

Each patient's own identifier decides, by an HMAC under a secret that the hospital keeps with its records and nobody
else knows. So nobody outside can tell who is set aside, one patient's presence moves no other, and the same patient
falls on the same side after a restart and in the next study with the same fraction.

A split has a name, the hash of its secret, that is written into each approval: with another secret a study would train
on patients whom it has measured, so it is refused. Torch-free.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oncofed.durable import create_durably
from oncofed.secret_files import read_secret

_DOMAIN = b"oncofed held-out patients 1"
_SECRET_BYTES = 32


@dataclass(frozen=True)
class HeldOutSplit:
    """secret: of the hospital. data_source: as its policy names it. fraction: of the plan, in (0, 1)."""

    secret: bytes
    data_source: str
    fraction: float

    def held_out(self, patient_ids: Sequence[str]) -> NDArray[np.bool_]:
        """(patients,): who is set aside; on average `fraction` of them."""
        key = hmac.digest(self.secret, _DOMAIN + b"\n" + self.data_source.encode(), "sha256")
        below = int(self.fraction * 2**64)
        drawn = (hmac.digest(key, patient.encode(), "sha256")[:8] for patient in patient_ids)
        return np.array([int.from_bytes(digest, "big") < below for digest in drawn], dtype=np.bool_)


def split_secret(path: Path) -> bytes:
    """The node's secret, made when there is none. Raises InvalidInput, RecordUnwritable."""
    if not path.exists():
        create_durably(path, os.urandom(_SECRET_BYTES), mode=0o600)
    return read_secret(path)


def split_name(secret: bytes) -> str:
    """Tells one secret from another and nothing else."""
    return hashlib.sha256(_DOMAIN + secret).hexdigest()
