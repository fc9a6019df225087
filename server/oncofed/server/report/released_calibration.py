"""What does a page say of whether the final model's risks are right, as hospitals released it?

Rows of a table, and the sentences that stand at the top of a page, before any C-index, where risks are wrong. Nothing
here is computed anew: figures are those of `evaluation.calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from oncofed.cohort.schema import StudySchema
from oncofed.server.evaluation.calibration import EndpointCalibration, MeasuredCalibration, Ratio
from oncofed.server.evaluation.concordance import Estimate
from oncofed.study.explanation_settings import entity_names
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import endpoint_called
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, whole

_MOST_NAMED = 4
_EXTREME = later(
    "Predicted risks are too extreme: high risks are told too high and low ones too low (released slope %(slope)s, "
    "95 %% interval %(low)s to %(high)s, where 1 is right)."
)
_TIMID = later(
    "Predicted risks are too timid: high risks are told too low and low ones too high (released slope %(slope)s, "
    "95 %% interval %(low)s to %(high)s, where 1 is right)."
)


@dataclass(frozen=True)
class RatioRow:
    """patients  whose. cells: one a window, and all along."""

    patients: str
    cells: tuple[Ratio, ...]


@dataclass(frozen=True)
class PageOfCalibration:
    """endpoints  (name, slope, rows of a table). windows: its headings. warnings: empty where nothing stands out."""

    found: MeasuredCalibration
    windows: tuple[str, ...]
    endpoints: tuple[tuple[str, Estimate | None, tuple[RatioRow, ...]], ...]
    warnings: tuple[str, ...]


def page_of_calibration(
    found: MeasuredCalibration, schema: StudySchema, *, say: Language = ENGLISH
) -> PageOfCalibration:
    """What stands on it."""
    unit, entities = schema.grid.unit, entity_names(schema)
    spans = [
        say(
            "%(begin)s to %(end)s %(unit)s",
            begin=decimals(begin, 0, say=say),
            end=decimals(end, 0, say=say),
            unit=say(unit),
        )
        for begin, end in pairwise(found.spec.time_bounds)
    ]
    windows = (*(spans if len(spans) > 1 else ()), say("all along"))
    named = {name: endpoint_called(schema, name, say=say) for name in found.endpoints}
    endpoints = tuple((named[name], each.slope, _rows(each, entities, say)) for name, each in found.endpoints.items())
    warnings = tuple(
        sentence
        for name, each in found.endpoints.items()
        for sentence in _warnings(
            each, _rows(each, entities, say), windows, of=f"{named[name]}: " if len(named) > 1 else "", say=say
        )
    )
    return PageOfCalibration(found, windows, endpoints, warnings)


def _rows(each: EndpointCalibration, entities: tuple[str, ...], say: Language) -> tuple[RatioRow, ...]:
    groups = (group if len(group) > 2 else group[-1:] for group in each.groups)  # of one window, all along is that one
    return (
        RatioRow(say("everybody"), (*each.windows, each.overall)),
        *(RatioRow(plain_name(name), group) for name, group in zip(entities, groups, strict=False)),
    )


def _warnings(
    each: EndpointCalibration, rows: tuple[RatioRow, ...], windows: tuple[str, ...], *, of: str, say: Language
) -> list[str]:
    found = []
    if each.slope is not None and each.slope_wrong:
        text = _EXTREME if each.slope.value < 1 else _TIMID
        slope, low, high = (decimals(it, 2, say=say) for it in (each.slope.value, each.slope.low, each.slope.high))
        found.append(of + say(text, slope=slope, low=low, high=high))
    wrong = [
        say(
            "%(patients)s, %(window)s: %(times)s times the %(expected)s predicted",
            patients=row.patients,
            window=window,
            times=decimals(cell.ratio.value, 2, say=say),
            expected=whole(cell.expected, say=say),
        )
        for row in rows
        for window, cell in zip(windows, row.cells, strict=True)
        if cell.wrong and cell.ratio is not None
    ]
    if wrong:
        further = len(wrong) - _MOST_NAMED
        more = say(" (%(more)s more in the table)", more=whole(further, say=say)) if further > 0 else ""
        named = "; ".join(wrong[:_MOST_NAMED])
        found.append(
            of + say("More or fewer events came than the model predicts: %(named)s%(rest)s.", named=named, rest=more)
        )
    return found
