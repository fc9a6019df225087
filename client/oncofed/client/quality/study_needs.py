"""What does a study need, and what of it does this hospital lack?

A study is what a coordinator sends (a signed document, whose schema is in it) or its schema file. Held against it are
the schema that the hospital's table follows, and how often each of the study's markers is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oncofed.client.quality.findings import Finding, Level
from oncofed.client.quality.missing import MissingTable
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_difference import differences
from oncofed.cohort.schema_file import read_schema
from oncofed.plain_file import file_content
from oncofed.protocol.study_document import LARGEST_BYTES, read_document, schema_of

_RARELY, _MOST_HINTS = 0.2, 5
_REMEDY = "Import the table with the study's schema."


@dataclass(frozen=True)
class StudyNeeds:
    """measured: how many of the study's markers somebody here has; rarely: of these, in fewer than a fifth."""

    study: str
    markers: int
    measured: int
    rarely: tuple[str, ...]
    never: tuple[str, ...]
    findings: tuple[Finding, ...]


def study_schema(path: Path) -> tuple[str, StudySchema]:
    """Name and schema of the study in a file. Raises InvalidInput."""
    if path.suffix.lower() == ".toml":
        schema = read_schema(path)
        return schema.name, schema
    document = read_document(file_content(path, most=LARGEST_BYTES + 1), where=path.name)
    return document.plan.study, schema_of(document, where=path.name)


def study_needs(name: str, wanted: StudySchema, schema: StudySchema, missing: MissingTable) -> StudyNeeds:
    """
    wanted   the study's schema. schema: the table's.
    missing  of the table.
    """
    share = {row.marker: row.share for row in missing.rows}
    here = [marker.name for marker in wanted.markers if share.get(marker.name, 1.0) < 1.0]
    return StudyNeeds(
        study=name,
        markers=len(wanted.markers),
        measured=len(here),
        rarely=tuple(marker for marker in here if share[marker] > 1 - _RARELY),
        never=tuple(marker.name for marker in wanted.markers if marker.name not in here),
        findings=tuple(_findings(wanted, schema)),
    )


def _findings(wanted: StudySchema, schema: StudySchema) -> Iterator[Finding]:
    """What differs between the two schemas, but for what the table has beyond the study: nobody asks for that."""
    found = [each for each in differences(wanted, schema) if not each.fits]
    lacking = [each for each in found if each.field == "marker" and each.second is None]
    if lacking:
        what = "markers of the study are not in the table's schema"
        near = [each.hint for each in lacking if each.hint]
        told = f" ({'; '.join(near[:_MOST_HINTS])})" if near else ""
        yield Finding(Level.SUSPECT, "study", f"{len(lacking):,} {what}{told}", _REMEDY)
    for each in found:
        if each.field != "marker":
            yield Finding(Level.SUSPECT, "study", f"{each} (A is the study, B the table's schema)", _REMEDY)
