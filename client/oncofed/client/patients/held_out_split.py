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
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.durable import create_durably
from oncofed.protocol.options_layout import question_of
from oncofed.protocol.plan import StudyPlan
from oncofed.secret_files import read_secret
from oncofed.survival.encoded_patients import EncodedPatients, encoded_patients

_DOMAIN = b"oncofed held-out patients 1"
_SECRET_BYTES = 32


LotArray = NDArray[np.uint64]

NO_LOT = np.uint64(2**64 - 1)
"""Of somebody whose lot nobody knows any more: never set aside, whatever the fraction."""


@dataclass(frozen=True)
class Lots:
    """secret: of the hospital. data_source: as its policy names it. All studies draw the same lots."""

    secret: bytes = field(repr=False)
    data_source: str

    @property
    def name(self) -> str:
        """Tells these lots from others and nothing else."""
        return hashlib.sha256(_DOMAIN + b"\nlots\n" + self._key).hexdigest()

    @property
    def _key(self) -> bytes:
        return hmac.digest(self.secret, _DOMAIN + b"\n" + self.data_source.encode(), "sha256")

    def of(self, patient_ids: Sequence[str]) -> LotArray:
        """(patients,), by their identifiers in the table: a hash of one draws another lot."""
        key = self._key
        drawn = (hmac.digest(key, patient.encode(), "sha256")[:8] for patient in patient_ids)
        return np.array([int.from_bytes(digest, "big") for digest in drawn], dtype=np.uint64)


@dataclass(frozen=True)
class HeldOutSplit:
    """secret, data_source: of the lots. fraction: of the plan, in (0, 1)."""

    secret: bytes = field(repr=False)
    data_source: str
    fraction: float

    @property
    def lots(self) -> Lots:
        return Lots(self.secret, self.data_source)

    def held_out(self, patient_ids: Sequence[str]) -> NDArray[np.bool_]:
        """(patients,): who is set aside; on average `fraction` of them."""
        return self.drawn(self.lots.of(patient_ids))

    def drawn(self, lots: LotArray) -> NDArray[np.bool_]:
        """The same, of lots that were drawn before."""
        return np.asarray(lots < np.uint64(int(self.fraction * 2**64)))


def split_secret(path: Path) -> bytes:
    """The node's secret, made when there is none. Raises InvalidInput, RecordUnwritable."""
    if not path.exists():
        create_durably(path, os.urandom(_SECRET_BYTES), mode=0o600)
    return read_secret(path)


def split_name(secret: bytes) -> str:
    """Tells one secret from another and nothing else."""
    return hashlib.sha256(_DOMAIN + secret).hexdigest()


def parted(
    cohort: Cohort, plan: StudyPlan, *, site: str, secret: bytes, data_source: str
) -> tuple[EncodedPatients, EncodedPatients]:
    """Those who are trained on, and those who are set aside. site: this hospital's name in the plan."""
    question = question_of(plan, cohort.schema)
    if question is not None:  # whom it compares, and nobody is set aside
        nobody = cohort.subset(np.array([], dtype=np.intp))
        return question.patients(cohort, hospital=site), question.patients(nobody, hospital=site)
    if plan.held_out_fraction == 0:
        set_aside = np.zeros(len(cohort), np.bool_)
    else:
        set_aside = HeldOutSplit(secret, data_source, plan.held_out_fraction).held_out(cohort.patient_ids)
    trained_on, held_out = (cohort.subset(np.flatnonzero(chosen)) for chosen in (~set_aside, set_aside))
    return encoded_patients(trained_on), encoded_patients(held_out)
