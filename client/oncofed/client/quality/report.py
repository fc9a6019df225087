"""What is the quality of a hospital's table, for the hospital's own eyes?

All that this package finds, as one value, in words and for programs. Counts are exact: it is for those who may know
exact counts of this hospital's patients, and nothing of it may leave the hospital. No cell and no identifier is in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date

from oncofed.client.quality.content import TableContent
from oncofed.client.quality.findings import Finding, Level
from oncofed.client.quality.missing import MissingRow, MissingTable, missing_table
from oncofed.client.quality.study_needs import StudyNeeds, study_needs
from oncofed.client.quality.times import (
    EndpointTimes,
    endpoint_times,
    interval_names,
    time_findings,
    years_with_patients,
)
from oncofed.client.quality.units import unit_suspects
from oncofed.client.quality.values import value_findings
from oncofed.cohort.schema import StudySchema
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import modality_name
from oncofed.words.numbers import counted, percent

OWN_EYES = later("For this hospital's own eyes: counts are exact. Show it to nobody outside.")
_MOST_LISTED = 15
HEADINGS = {
    Level.FAULT: later("Faults, for which the table is refused"),
    Level.SUSPECT: later("Suspects, to look at"),
    Level.NOTE: later("Notes"),
}


@dataclass(frozen=True)
class QualityReport:
    """findings: faults, then suspects, then notes. imported: what an import left out or changed, in its words."""

    where: str
    schema: str
    unit: str
    patients: int
    endpoints: tuple[EndpointTimes, ...]
    intervals: tuple[str, ...]
    years: dict[int, int]
    missing: MissingTable
    findings: tuple[Finding, ...]
    study: StudyNeeds | None
    imported: tuple[str, ...]

    def of(self, level: Level) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.level is level)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.of(Level.FAULT) and not self.of(Level.SUSPECT)

    def modalities(self, *, say: Language = ENGLISH) -> tuple[tuple[str, tuple[MissingRow, ...]], ...]:
        """Markers by modality, each with the least measured first."""
        found: dict[str, list[MissingRow]] = {}
        for row in self.missing.rows:
            found.setdefault(modality_name(row.modality, say=say), []).append(row)
        return tuple((name, tuple(sorted(rows, key=lambda row: -row.share))) for name, rows in found.items())

    @property
    def as_json(self) -> str:
        """Shares that nobody makes up are null. What others are told instead is not in it."""
        content = asdict(self)
        for finding in (*content["findings"], *(content["study"]["findings"] if content["study"] else ())):
            del finding["told"]
        content["own_eyes"] = OWN_EYES
        return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def in_words(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        patients = counted(self.patients, "patient", "patients")
        yield f"{patients} of {self.where}, held against the schema {self.schema}"
        yield OWN_EYES
        for level in Level:
            found = self.of(level)
            if found or level is not Level.NOTE:
                yield f"{HEADINGS[level]}: {len(found) or 'none'}"
            yield from (f"  - {each}" for each in found)
        for endpoint in self.endpoints:
            yield (
                f'endpoint "{endpoint.name}": {counted(endpoint.events, "event", "events")}, {endpoint.inside:,} '
                f"inside the time grid"
            )
        yield from self._missing()
        if self.study is not None:
            yield from self._study(self.study)
        if self.imported:
            yield "what the import did:"
            yield from (f"  {line}" for line in self.imported)

    def _missing(self) -> Iterator[str]:
        for modality, rows in self.modalities():
            mean = sum(row.share for row in rows) / len(rows)
            markers = counted(len(rows), "marker", "markers")
            yield f"not measured, {modality.lower()} ({markers}): {percent(mean)} on average"
        least = sorted(self.missing.rows, key=lambda row: -row.share)[:_MOST_LISTED]
        yield from (f"  {percent(row.share):>9}  {row.marker}" for row in least if row.share > 0)

    def _study(self, study: StudyNeeds) -> Iterator[str]:
        markers = counted(study.markers, "marker", "markers")
        yield f"study {study.study}: {study.measured} of its {markers} are measured here"
        for names, what in ((study.never, "measured in nobody"), (study.rarely, "measured in fewer than a fifth")):
            if names:
                more = f", and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
                yield f"  {what}: {', '.join(names[:_MOST_LISTED])}{more}"


def quality_report(
    content: TableContent,
    *,
    cut: date | None,
    today: date,
    study: tuple[str, StudySchema] | None = None,
    imported: tuple[str, ...] = (),
) -> QualityReport:
    """
    cut       the day after which nobody looked, where it is known.
    study     name and schema of a study that the table is to serve.
    imported  what an import says of itself.
    """
    schema, missing = content.schema, missing_table(content)
    needs = None if study is None else study_needs(*study, schema, missing)
    found = [
        *map(Finding.of_fault, content.faults),
        *time_findings(content, cut=cut, today=today),
        *unit_suspects(content),
        *value_findings(content),
        *(() if needs is None else needs.findings),
    ]
    return QualityReport(
        where=content.where,
        schema=schema.name,
        unit=schema.grid.unit,
        patients=len(content),
        endpoints=tuple(endpoint_times(content, number) for number in range(len(schema.endpoints))),
        intervals=interval_names(schema.grid),
        years=years_with_patients(content),
        missing=missing,
        findings=tuple(each for level in Level for each in found if each.level is level),
        study=needs,
        imported=imported,
    )


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(each) for each in content]
    if isinstance(content, float):
        return round(content, 6) if math.isfinite(content) else None
    return content
