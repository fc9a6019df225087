"""Who are the patients that somebody approved, for a guard?

Those that were frozen at the approval, read from their file when a guard first needs them and kept in memory. The table
itself is not looked at again: whether it changed, grew, shrank or went away follows from patients, and a refusal
that depends on it would tell of them. A file that is lost or damaged is `NOT_READY` whatever is in it, nothing is
charged, and the local log names the file and the remedy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from oncofed.client.records.frozen_patients import read_frozen
from oncofed.errors import RecordFailure, RefusalCode, RequestRefused
from oncofed.survival.likelihood import PatientTensors, tensors_of

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class ApprovedPatients:
    """`trained_on` and `held_out` are `guard.LoadPatients` for one approval.

    file, sha256  as the approval froze them.
    reading       around each reading of the file: that takes longer with more patients.
    """

    file: Path
    sha256: str
    reading: Callable[[], AbstractContextManager[None]] = nullcontext
    _kept: tuple[PatientTensors, PatientTensors] | None = field(default=None, init=False)

    def trained_on(self) -> PatientTensors:
        """Raises RequestRefused(NOT_READY)."""
        return self._both()[0]

    def held_out(self) -> PatientTensors:
        """Raises RequestRefused(NOT_READY)."""
        return self._both()[1]

    def _both(self) -> tuple[PatientTensors, PatientTensors]:
        if self._kept is None:
            with self.reading():
                self._kept = self._read()
        return self._kept

    def _read(self) -> tuple[PatientTensors, PatientTensors]:
        try:
            trained_on, held_out = read_frozen(self.file, sha256=self.sha256)
            return tensors_of(trained_on), tensors_of(held_out)
        except RecordFailure as failure:  # our own words, and the remedy
            _log.error("the approved patients cannot be had, and nothing is released: %s", failure)
        except Exception as error:  # too little memory, say: one code for all, so that none of them tells how many
            _log.error("reading %s fails with %s, and nothing is released", self.file, type(error).__name__)
            _log.debug("the failure in full", exc_info=error)
        # Outside the handlers, so that no exception that saw patients travels along as this one's context.
        raise RequestRefused(RefusalCode.NOT_READY)
