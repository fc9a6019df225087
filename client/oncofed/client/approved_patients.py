"""Are these still the patients that somebody approved, who of them is set aside, and what are they for the likelihood?

The patients of one approved plan, read when a guard needs them. A file whose stamp has not changed is not read again; a
database always is. What was read must have the very content that was approved: else the request is refused as
`NOT_READY`, nothing is charged, and the local audit log (nobody else) is told whether the table changed or cannot be
read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np

from oncofed.client.held_out_split import HeldOutSplit
from oncofed.client.records.approvals import Approval, Decision
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.sources import SourceSpec, SourceStamp, read_source_cohort, stamp_of
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.errors import InvalidInput, RefusalCode, RequestRefused
from oncofed.survival.likelihood import PatientTensors, patient_tensors

_log = logging.getLogger(__name__)

REFUSED = "patients_refused"
CHANGED = "patients_changed"
UNREADABLE = "patients_unreadable"
"""An event of the audit log, and its two reasons."""


@dataclass(frozen=True, eq=False)
class _Read:
    trained_on: PatientTensors
    held_out: PatientTensors
    patients: int


@dataclass(eq=False)
class ApprovedPatients:
    """Implements `guard.LoadPatients` for one approval: called, it gives those who are trained on.

    split  who is set aside; None: nobody.
    """

    approval: Approval
    source: SourceSpec
    schema: StudySchema
    audit: AuditLog
    split: HeldOutSplit | None = None
    _kept: tuple[SourceStamp, _Read] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        assert self.approval.decision is Decision.APPROVED
        assert self.approval.data_source == self.source.name

    def __call__(self) -> PatientTensors:
        """The patients who are trained on. Raises RequestRefused(NOT_READY)."""
        return self._read().trained_on

    def held_out(self) -> PatientTensors:
        """The patients who are set aside. Raises RequestRefused(NOT_READY)."""
        return self._read().held_out

    def count(self) -> int:
        """All of them. Raises RequestRefused(NOT_READY)."""
        return self._read().patients

    def _read(self) -> _Read:
        stamp = stamp_of(self.source)  # before reading: what is written meanwhile is noticed the next time
        if stamp is not None and self._kept is not None and self._kept[0] == stamp:
            return self._kept[1]
        self._kept = None
        cohort = self._approved_cohort()
        set_aside = np.zeros(len(cohort), np.bool_) if self.split is None else self.split.held_out(cohort.patient_ids)
        read = _Read(
            trained_on=patient_tensors(cohort.subset(np.flatnonzero(~set_aside))),
            held_out=patient_tensors(cohort.subset(np.flatnonzero(set_aside))),
            patients=len(cohort),
        )
        if stamp is not None:
            self._kept = (stamp, read)
        return read

    def _approved_cohort(self) -> Cohort:
        try:
            cohort = read_source_cohort(self.source, self.schema)
        except InvalidInput as fault:
            _log.debug("the data source is at fault: %s", fault)
            reason = UNREADABLE
        else:
            if cohort.content_hash == self.approval.cohort_hash:
                return cohort
            reason = CHANGED
        _log.warning("plan %s is refused: %s since its approval", self.approval.plan_hash[:12], reason)
        self.audit.append(REFUSED, plan_hash=self.approval.plan_hash, code=reason)
        raise RequestRefused(RefusalCode.NOT_READY)
