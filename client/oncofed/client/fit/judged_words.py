"""How is what was judged told: on a terminal, and to programs?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict

from oncofed.client.fit.adoption import Adoption
from oncofed.client.fit.before_after import FitFigures
from oncofed.client.fit.closed_testing import Degree, LevelAndSlope
from oncofed.client.fit.judging import Judged
from oncofed.survival.expected_events import Expected
from oncofed.survival.grid import TimeGrid
from oncofed.words.names import plain_name
from oncofed.words.numbers import counted, decimals, whole

FORM = 1
_WIDE = 34
OWN_EYES = "For this hospital's own eyes: counts are exact. Show it to nobody outside."
ADJUSTS = {
    Degree.NONE: "adjust nothing",
    Degree.LEVEL: "adjust the level",
    Degree.LEVEL_AND_SLOPE: "adjust level and slope",
}
_WHY = {
    Degree.NONE: "that nothing differs here is not ruled out",
    Degree.LEVEL: "something differs here, and the level alone explains it",
    Degree.LEVEL_AND_SLOPE: "something differs here, and the level alone does not explain it",
}


def judged_lines(found: tuple[Judged, ...], grid: TimeGrid) -> Iterator[str]:
    """Before and after, and what is proposed."""
    yield OWN_EYES
    for each in found:
        names = " and ".join(plain_name(name) for name in each.names)
        choice = each.found.choice
        patients = counted(each.patients, "patient who was", "patients who were")
        yield f"\n{names}: {patients} set aside and never learned from"
        yield (
            f"  Proposed: {ADJUSTS[choice.degree]}: {_WHY[choice.degree]} (closed test: {_p(choice.p_any)}"
            + ("" if choice.degree is Degree.NONE else f", then {_p(choice.p_slope)}")
            + f"; the same in {each.found.chosen_again} of {each.found.parts} parts)."
        )
        for name, before, after, told in zip(each.names, each.found.before, each.found.after, each.told, strict=True):
            of = "" if len(each.names) == 1 else f"{plain_name(name)}, "
            yield f"  {of}observed over expected events (1 is right), with 95 % limits"
            yield f"    {'':28s}{'as released':{_WIDE}s}after, in patients not seen"
            for label, old, new in _rows(before, after, grid):
                yield f"    {label:28s}{old:{_WIDE}s}{new}"
            if choice.degree is not Degree.NONE:
                yield f"    {_pages(told)}"
    if any(each.found.choice.degree is not Degree.NONE for each in found):
        yield (
            "\nAfter: the adjustment was learned without the patients on whom it is counted, a tenth of them at a "
            "time. Nothing is changed until somebody adopts it."
        )


def _rows(before: FitFigures, after: FitFigures, grid: TimeGrid) -> Iterator[tuple[str, str, str]]:
    yield "all", _ratio(before.whole), _ratio(after.whole)
    for (first, last, old), (_, _, new) in zip(before.windows, after.windows, strict=True):
        yield f"{grid.bounds[first]:g} to {grid.bounds[last + 1]:g} {grid.unit}", _ratio(old), _ratio(new)
    for name, old, new in zip(("low", "middle", "high"), before.thirds, after.thirds, strict=True):
        yield f"{name} third of risk", _ratio(old), _ratio(new)
    yield "slope (1 is right)", _slope(before), _slope(after)


def _pages(told: LevelAndSlope | None) -> str:
    if told is None:
        return "Not to be adopted: with so few events the steps in which pages may tell it would spoil it."
    slope = "" if told.slope == 1 else f", log hazard ratios times {decimals(told.slope, 2)}"
    return f"Adopted, pages would show: hazards times {decimals(math.exp(told.level), 2)}{slope}."


def _ratio(found: Expected) -> str:
    low, high = found.interval()
    events = f"{whole(found.observed)}/{decimals(found.expected, 1)}"
    return f"{decimals(found.ratio, 2)} ({decimals(low, 2)}-{decimals(high, 2)}) {events}"


def _slope(found: FitFigures) -> str:
    if math.isnan(found.slope):
        return "not known"
    return f"{decimals(found.slope, 2)} ({decimals(found.slope_low, 2)}-{decimals(found.slope_high, 2)})"


def _p(value: float) -> str:
    return "p below 0.0001" if value < 1e-4 else f"p = {decimals(value, 4)}"


def adoption_lines(adoption: Adoption | None) -> Iterator[str]:
    """What patients' pages show now."""
    if adoption is None:
        yield "Patients' pages show the model as released: nothing is adopted."
        return
    yield f"Adopted on {adoption.day} by {adoption.by}; patients' pages show it once they are started again:"
    for each in adoption.endpoints:
        line = f"  {plain_name(each.name)}: {each.degree.value}"
        if each.fit is not None:
            line += f", from at least {whole(each.fit.patients)} patients"
            line += f"; hazards times {decimals(math.exp(each.fit.corrections[0]), 2)}"
            line += f", log hazard ratios times {decimals(each.fit.slope, 2)}" if each.fit.with_slope else ""
        yield line


def judged_fields(found: tuple[Judged, ...], adoption: Adoption | None) -> dict[str, object]:
    """For programs. What is not known is null."""
    return {
        "form": FORM,
        "own_eyes": OWN_EYES,
        "groups": [
            {
                "endpoints": list(each.names),
                "patients": each.patients,
                "proposed": each.found.choice.degree.value,
                "p_any": each.found.choice.p_any,
                "p_slope": each.found.choice.p_slope,
                "chosen_again": each.found.chosen_again,
                "parts": each.found.parts,
                "before": [_figures(one) for one in each.found.before],
                "after": [_figures(one) for one in each.found.after],
                "pages": [None if one is None else {"level": one.level, "slope": one.slope} for one in each.told],
            }
            for each in found
        ],
        "adopted": None
        if adoption is None
        else {
            "at": adoption.at,
            "by": adoption.by,
            "endpoints": [{"name": each.name, "degree": each.degree.value} for each in adoption.endpoints],
        },
    }


def _figures(found: FitFigures) -> dict[str, object]:
    return {
        "patients": found.patients,
        "all": _fields(found.whole),
        "windows": [{"first": first, "last": last, **_fields(each)} for first, last, each in found.windows],
        "thirds": [_fields(each) for each in found.thirds],
        "slope": [_known(each) for each in (found.slope, found.slope_low, found.slope_high)],
    }


def _fields(found: Expected) -> dict[str, object]:
    limits = [_known(each) for each in found.interval()]
    return {**asdict(found), "ratio": _known(found.ratio), "limits": limits}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
