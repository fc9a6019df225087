"""Are the predicted risks wrong, for whom and when, so that it must stand at the top of a report?

Told is what both matters and is no chance: a slope outside of 0.85 to 1.15 whose interval leaves 1 out; and events of a
group of patients in a window of time that are less than 3/4 or more than 4/3 of those expected, where the
chance of it is below 5 % for all groups and windows together (Bonferroni). What is not told may still be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from oncofed.server.evaluation.calibration import CHANCE, RIGHT_RATIO, RIGHT_SLOPE
from oncofed.simulations.results import EndpointResult, ExpectedByWindow
from oncofed.survival.expected_events import Expected, ExpectedOfGroup
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, whole

_MOST_NAMED = 4
REST_IN = later("section 6")
_EXTREME = later(
    "Predicted risks are too extreme: high risks are told too high and low ones too low (calibration slope %(slope)s, "
    "95 %% interval %(low)s to %(high)s, where 1 is right)."
)
_TIMID = later(
    "Predicted risks are too timid: high risks are told too low and low ones too high (calibration slope %(slope)s, "
    "95 %% interval %(low)s to %(high)s, where 1 is right)."
)
_ALL = "all"
"""What `survival.expected_events` calls everybody."""


@dataclass(frozen=True)
class ExpectedRow:
    """name of a group; of each window and all along: (events, expected, ratio with limits), and whether it is wrong."""

    name: str
    patients: int
    cells: tuple[tuple[Expected, bool], ...]


def expected_rows(groups: tuple[ExpectedOfGroup, ...], *, say: Language = ENGLISH) -> tuple[ExpectedRow, ...]:
    """Each group in each window, and all along."""
    tests = sum(len(group.windows) + 1 for group in groups)
    return tuple(
        ExpectedRow(
            say("all", context="patients") if group.name == _ALL else plain_name(group.name),
            group.patients,
            tuple((each, _is_wrong(each, tests)) for each in (*group.windows, group.all_along)),
        )
        for group in groups
    )


def window_names(bounds: tuple[float, ...], unit: str, *, say: Language = ENGLISH) -> tuple[str, ...]:
    """As a table's headings."""
    spans = [
        say(
            "%(begin)s to %(end)s %(unit)s",
            begin=decimals(begin, 0, say=say),
            end=decimals(end, 0, say=say),
            unit=say(unit),
        )
        for begin, end in pairwise(bounds)
    ]
    return (*spans, say("all along"))


def warnings(
    endpoint: EndpointResult, unit: str, *, rest_in: str = REST_IN, say: Language = ENGLISH
) -> tuple[str, ...]:
    """Sentences for the top; empty where nothing stands out. rest_in: where the groups that are not named are."""
    found = []
    calibration = endpoint.calibration
    if calibration is not None and not RIGHT_SLOPE[0] <= calibration.slope <= RIGHT_SLOPE[1]:
        low, high = calibration.slope_low, calibration.slope_high
        if high < 1 or low > 1:
            text = _EXTREME if calibration.slope < 1 else _TIMID
            slope, *limits = (decimals(each, 2, say=say) for each in (calibration.slope, low, high))
            found.append(say(text, slope=slope, low=limits[0], high=limits[1]))
    if endpoint.expected is not None:
        found += _of_windows(endpoint.expected, unit, rest_in=rest_in, say=say)
    return tuple(found)


def _of_windows(expected: ExpectedByWindow, unit: str, *, rest_in: str, say: Language) -> list[str]:
    names = window_names(expected.bounds, unit, say=say)
    wrong = [
        (row.name, names[place], cell)
        for groups in ((expected.everybody,), expected.entities)
        for row in expected_rows(groups)
        for place, (cell, is_wrong) in enumerate(row.cells)
        if is_wrong
    ]
    if not wrong:
        return []
    worst = sorted(wrong, key=lambda each: each[2].p_value)[:_MOST_NAMED]
    named = "; ".join(
        say(
            "%(name)s, %(window)s: %(observed)s events where %(expected)s were predicted",
            name=say("everybody") if name == _ALL else name,
            window=window,
            observed=whole(cell.observed, say=say),
            expected=decimals(cell.expected, 0, say=say),
        )
        for name, window, cell in worst
    )
    more = len(wrong) - len(worst)
    rest = say(" (%(more)s more in %(where)s)", more=whole(more, say=say), where=say(rest_in)) if more else ""
    return [say("More or fewer events came than the model predicts: %(named)s%(rest)s.", named=named, rest=rest)]


def _is_wrong(cell: Expected, tests: int) -> bool:
    return cell.expected > 0 and not RIGHT_RATIO[0] <= cell.ratio <= RIGHT_RATIO[1] and cell.p_value < CHANCE / tests
