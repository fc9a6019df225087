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
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, whole

_MOST_NAMED = 4


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


def page_of_calibration(found: MeasuredCalibration, schema: StudySchema) -> PageOfCalibration:
    """What stands on it."""
    unit, entities = schema.grid.unit, entity_names(schema)
    spans = [f"{decimals(begin, 0)} to {decimals(end, 0)} {unit}" for begin, end in pairwise(found.spec.time_bounds)]
    windows = (*(spans if len(spans) > 1 else ()), "all along")
    endpoints = tuple((plain_name(name), each.slope, _rows(each, entities)) for name, each in found.endpoints.items())
    warnings = tuple(
        sentence
        for name, each in found.endpoints.items()
        for sentence in _warnings(each, _rows(each, entities), windows, of=_of(name, found))
    )
    return PageOfCalibration(found, windows, endpoints, warnings)


def _of(name: str, found: MeasuredCalibration) -> str:
    return f"{plain_name(name)}: " if len(found.endpoints) > 1 else ""


def _rows(each: EndpointCalibration, entities: tuple[str, ...]) -> tuple[RatioRow, ...]:
    groups = (group if len(group) > 2 else group[-1:] for group in each.groups)  # of one window, all along is that one
    return (
        RatioRow("everybody", (*each.windows, each.overall)),
        *(RatioRow(plain_name(name), group) for name, group in zip(entities, groups, strict=False)),
    )


def _warnings(each: EndpointCalibration, rows: tuple[RatioRow, ...], windows: tuple[str, ...], *, of: str) -> list[str]:
    found = []
    if each.slope is not None and each.slope_wrong:
        what = (
            "too extreme: high risks are told too high and low ones too low"
            if each.slope.value < 1
            else "too timid: high risks are told too low and low ones too high"
        )
        found.append(
            f"{of}Predicted risks are {what} (released slope {decimals(each.slope.value, 2)}, 95 % interval "
            f"{decimals(each.slope.low, 2)} to {decimals(each.slope.high, 2)}, where 1 is right)."
        )
    wrong = [
        f"{row.patients}, {window}: {decimals(cell.ratio.value, 2)} times the {whole(cell.expected)} predicted"
        for row in rows
        for window, cell in zip(windows, row.cells, strict=True)
        if cell.wrong and cell.ratio is not None
    ]
    if wrong:
        more = f" ({whole(len(wrong) - _MOST_NAMED)} more in the table)" if len(wrong) > _MOST_NAMED else ""
        found.append(f"{of}More or fewer events came than the model predicts: {'; '.join(wrong[:_MOST_NAMED])}{more}.")
    return found
