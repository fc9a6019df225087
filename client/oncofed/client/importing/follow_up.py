"""When was a patient last known, and what had happened by then?

From days or from times, from words or from whether the day of an event is told: one rule for every form, a patient at a
time. Times are in any one unit, from any one origin, so the same arithmetic serves both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.client.importing.readings import FloatArray, Mask


@dataclass(frozen=True, eq=False)
class FollowUp:
    """end (patients,), NaN where nobody knows. observed (patients,), 1, 0 or NaN. The others (patients,) are masks.

    without_date  an event is told, and no time of it.
    contradicted  a time of an event is told, and words that there was none.
    ended_at_cut  an event or a contact lies after the data cut.
    seen_after    a contact lies after the event.
    wordless      a time of an event is told, and no word whether there was one.
    """

    end: FloatArray
    observed: FloatArray
    without_date: Mask
    contradicted: Mask
    ended_at_cut: Mask
    seen_after: Mask
    wordless: Mask


def follow_up(
    words: FloatArray | None, event_at: FloatArray, last_at: FloatArray, *, cut: float | None = None
) -> FollowUp:
    """
    words     (patients,) 1 for an event, 0 for none, NaN for not told; None: an event is that `event_at` is told.
    event_at  (patients,) NaN where not told. last_at: of the last contact.
    cut       nobody looked after it.
    An event without a time is followed to the last contact; what becomes of the patient is the caller's matter.
    """
    told = ~np.isnan(event_at)
    happened = told.astype(np.float64) if words is None else words
    without_date = (happened == 1) & ~told
    contradicted = (happened == 0) & told
    observed = np.where(without_date, 0.0, happened)
    end = np.where(observed == 1, event_at, last_at)
    end = np.where(np.isnan(observed), np.nan, end)
    seen_after = (observed == 1) & (last_at > event_at)
    ended_at_cut = np.zeros(len(end), dtype=np.bool_)
    if cut is not None:
        ended_at_cut = end > cut
        end = np.where(ended_at_cut, cut, end)
        observed = np.where(ended_at_cut, 0.0, observed)
    return FollowUp(end, observed, without_date, contradicted, ended_at_cut, seen_after, np.isnan(happened) & told)
