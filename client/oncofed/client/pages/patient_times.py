"""What stands in the tables of a patient's page: which shares by which times, in words?

At bounds of the public grid. One place for the page and for what is exported of it, so that they say the same.
"""

from __future__ import annotations

from oncofed.client.pages.beside import beside
from oncofed.client.pages.cause_words import told_shares
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.patient_view import PatientView
from oncofed.client.pages.patient_words import told_times
from oncofed.client.pages.wording import range_words, time
from oncofed.survival.curves import NOT_REACHED
from oncofed.words.language import ENGLISH, Language
from oncofed.words.numbers import percent


def median_limits(view: PatientView, unit: str, say: Language = ENGLISH) -> str:
    adjusted = view.curve.adjusted
    if adjusted is None:
        return ""
    low, high = (time(each, unit, say=say) for each in (adjusted.median_low, adjusted.median_high))
    if NOT_REACHED in (adjusted.median_low, adjusted.median_high):
        return high if low == high else say("from %(low)s, upper end not reached", low=low)
    return range_words(low, high, say=say)


def at_times(hospital: HospitalPrognosis, view: PatientView, say: Language) -> list[tuple[str, str, str, str]]:
    """Time; survival of such patients; its limits; what was observed of similar ones. At bounds of the public grid."""
    curve, found = view.curve, []
    for bound in [each for each in told_times(hospital.grid) if each > view.curve.since]:
        place = int(abs(curve.times - bound).argmin())
        band = curve.adjusted
        limits = "" if band is None else share_range(band.low[place], band.high[place], say=say)
        share = None if view.similar is None else view.similar.outcome.at(bound)
        observed = say("not known") if share is None else percent(share, say=say)
        own = percent(float(curve.survival[place]), say=say)
        found.append((time(bound, hospital.grid.unit, say=say), own, limits, observed))
    return found


def incidence_at_times(hospital: HospitalPrognosis, view: PatientView, say: Language) -> list[tuple[str, str, str]]:
    """Time; who had the event by then; who died before. Empty where that is not known, or the curve says it all."""
    found = view.incidence
    if found is None or found.event is None or found.died_before is None:
        return []
    rows = []
    for bound in [each for each in told_times(hospital.grid) if each > view.curve.since]:
        place = int(abs(view.curve.times - bound).argmin())
        event, died = (percent(float(each[place]), say=say) for each in (found.event, found.died_before))
        rows.append((time(bound, hospital.grid.unit, say=say), event, died))
    return rows


def beside_at_times(
    hospital: HospitalPrognosis, view: PatientView, row: int, say: Language
) -> list[tuple[str, str, list[str]]]:
    """Name; what it sees; at bounds of the public grid who are without the event, or of what competes have had it."""
    times = told_times(hospital.grid)
    rows = []
    for each in beside(hospital, row, endpoint=view.endpoint.number, times=times, say=say):
        if each.had is None:
            told = [say("not recorded")] * len(times)
        else:
            told = [percent(float(share), say=say) for share in (each.had if view.competing else 1 - each.had)]
        rows.append((each.name, each.sees, told))
    return rows


def first_at_times(
    hospital: HospitalPrognosis, view: PatientView, say: Language
) -> list[tuple[str, str, str, list[str], str, str]]:
    """Time; who have had the event by then; its limits; each that competes; none; observed of similar patients."""
    found, rows = view.competing, []
    assert found is not None
    for bound in told_times(hospital.grid):
        own, *others, spared = told_shares(found, bound, say=say)
        place = int(abs(found.times - bound).argmin())
        ends = None if found.low is None or found.high is None else (found.low[place], found.high[place])
        limits = "" if ends is None else share_range(*ends, say=say)
        share = None if view.similar is None else view.similar.outcome.at(bound)
        seen = say("not known") if share is None else percent(1 - share, say=say)
        rows.append((time(bound, hospital.grid.unit, say=say), own, limits, others, spared, seen))
    return rows


def share_range(low: float, high: float, *, say: Language = ENGLISH) -> str:
    """Of a share, as it is written beside it."""
    said = (percent(float(low), say=say), percent(float(high), say=say))
    return said[0] if said[0] == said[1] else range_words(*said, say=say)
