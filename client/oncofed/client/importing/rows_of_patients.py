"""Which of a patient's rows counts?

Law: the answer does not depend on the order of the rows. Where one patient has several values that count alike, and the
mapping does not say which to take, that is told and nothing is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.client.importing.mapping_choices import SameDay, Take
from oncofed.client.importing.readings import FloatArray, Mask, Places


@dataclass(frozen=True, eq=False)
class Picked:
    """values    (patients,), NaN for none.
    disagreeing (patients,), several values and no way to choose; their value is NaN.
    several     how many patients had more than one row that counted.
    """

    values: FloatArray
    disagreeing: Mask
    several: int


def pick(
    patient: Places,
    values: FloatArray,
    *,
    patients: int,
    days: FloatArray | None = None,
    take: Take | None = None,
    same_day: SameDay = SameDay.FAULT,
) -> Picked:
    """One value for each patient.

    patient  (rows,) which patient a row is of; each at least 0.
    values   (rows,) finite: rows without a value are left out before.
    days     (rows,) finite; needed for first and last.
    take     None: all of a patient's values must be one.
    """
    if np.bincount(patient, minlength=1).max() <= 1:  # nothing to choose
        found = np.full(patients, np.nan)
        found[patient] = values
        return Picked(found, np.zeros(patients, dtype=np.bool_), 0)
    order = np.lexsort((values, np.zeros(len(values)) if days is None else days, patient))
    patient, values = patient[order], values[order]
    found = np.full(patients, np.nan)
    disagreeing = np.zeros(patients, dtype=np.bool_)
    begins = np.flatnonzero(np.append(True, patient[1:] != patient[:-1]))
    ends = np.append(begins[1:], len(patient)) - 1
    who = patient[begins]
    several = int((ends > begins).sum())
    lowest, highest = np.minimum.reduceat(values, begins), np.maximum.reduceat(values, begins)
    if take in (Take.FIRST, Take.LAST):
        assert days is not None
        days = days[order]
        wanted = days[begins] if take is Take.FIRST else days[ends]
        counts = days == np.repeat(wanted, ends - begins + 1)
        lowest = np.minimum.reduceat(np.where(counts, values, np.inf), begins)
        highest = np.maximum.reduceat(np.where(counts, values, -np.inf), begins)
        chosen = highest if same_day is SameDay.HIGHEST else lowest
        differ = (lowest != highest) & (same_day in (SameDay.FAULT, SameDay.MISSING))
    elif take is None:
        chosen, differ = lowest, lowest != highest
    else:
        chosen = lowest if take is Take.MIN else highest
        differ = np.zeros(len(who), dtype=np.bool_)
    found[who] = np.where(differ, np.nan, chosen)
    disagreeing[who] = differ
    return Picked(found, disagreeing, several)
