"""Are these arrays follow-up records that a survival estimate can be computed from?

Every measure of this package takes the same three plain arrays and checks them here, once: `time` (when follow-up
ended), `observed` (whether it ended with the event) and optionally `entry` (when it began, for delayed entry). The
unit of time is the caller's, the same for all.

Refuses (ValueError) other lengths or shapes, an `observed` that is not boolean (a 0/1/2 status column would be read
wrongly), non-finite or negative times, and entry at or after exit. Messages carry no values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FollowUp:
    """Checked records of patients.

    `entry` is -inf where observation began at the origin, so that a risk set "entered before t" holds those patients
    at every t, zero included.
    """

    entry: FloatArray
    time: FloatArray
    observed: BoolArray

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, index: NDArray[np.intp]) -> FollowUp:
        return FollowUp(self.entry[index], self.time[index], self.observed[index])


def checked_follow_up(*, time: FloatArray, observed: BoolArray, entry: FloatArray | None = None) -> FollowUp:
    """The records, or ValueError. `entry` None means nobody entered late; an entry of 0 means the same."""
    exit_ = np.asarray(time, dtype=np.float64)
    seen = np.asarray(observed)
    if exit_.ndim != 1 or seen.shape != exit_.shape:
        raise ValueError("time and observed must be one-dimensional and of equal length")
    if seen.dtype != np.bool_:
        raise ValueError("observed must be boolean")
    if not np.isfinite(exit_).all() or (exit_ < 0).any():
        raise ValueError("times must be finite and not negative")
    if entry is None:
        return FollowUp(np.full(exit_.shape, -np.inf), exit_, seen)
    begin = np.asarray(entry, dtype=np.float64)
    if begin.shape != exit_.shape:
        raise ValueError("entry must be as long as time")
    # `not all(<)` also catches NaN
    if not (begin >= 0).all() or not ((begin < exit_) | (begin == 0)).all():
        raise ValueError("entry must not be negative and must lie before the end of follow-up")
    return FollowUp(np.where(begin == 0, -np.inf, begin), exit_, seen)


def checked_per_patient(values: FloatArray, *, patients: int, name: str) -> FloatArray:
    """(patients,) finite float64, or ValueError naming the argument."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (patients,):
        raise ValueError(f"{name} must be one-dimensional with one value a patient")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array
