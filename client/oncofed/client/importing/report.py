"""What happened to a hospital's rows on their way into the study's table?

Counts are exact, so a report is for those who may know such counts of this hospital's patients. No cell and no
identifier is in it, no path of a folder and no time of day: the same import gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class SourceReport:
    """rows_read: of the file. rows_kept: by `keep`; and how many of these are of no patient of the study."""

    name: str
    file: str
    rows_read: int
    rows_kept: int
    rows_without_identifier: int
    rows_of_no_patient: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class OutcomeReport:
    """Of the patients that are in the table.

    without_date        an event whose day is not told: who were left out, or are followed to the last contact.
    ended_at_cut        followed beyond the data cut, and ended there.
    contact_after_event seen after their event: the event counts.
    entry_set_to_zero   came under observation before time zero.
    """

    endpoint: str
    events: int
    without_date: int
    ended_at_cut: int
    contact_after_event: int
    entry_set_to_zero: int


@dataclass(frozen=True)
class MarkerReport:
    """rows of the source that are of this marker and of a patient; of these:

    missing             empty, or a word for it.
    at_limit            beyond a limit of detection, and read as the mapping says.
    without_day         cannot be placed in time.
    outside_window      lie outside of the window.
    after_zero          are of days after time zero and count, since there is no window.
    after_today         are of days that have not come yet.
    Patients:
    with_several_rows   of which one counts.
    emptied_outside     whose value is outside the plausible range.
    emptied_same_day    several values on one day.
    filled_without_row  have no row, and get what the mapping says.
    not_measured        in the table, without a value.
    converted           from which units, by which factor.
    absent_codes        that no row has.
    """

    marker: str
    source: str
    told_by: str
    converted: tuple[str, ...]
    absent_codes: tuple[str, ...]
    rows: int
    missing: int
    at_limit: int
    without_day: int
    outside_window: int
    after_zero: int
    after_today: int
    with_several_rows: int
    emptied_same_day: int
    emptied_outside: int
    filled_without_row: int
    not_measured: int


@dataclass(frozen=True)
class ImportReport:
    """listed: patients that the sources name. left_out: how many, by reason. patients: rows of the table."""

    schema: str
    listed: int
    left_out: dict[str, int]
    patients: int
    sources: tuple[SourceReport, ...]
    outcomes: tuple[OutcomeReport, ...]
    markers: tuple[MarkerReport, ...]

    @property
    def as_json(self) -> str:
        content = asdict(self)
        for marker in content["markers"]:
            marker["missing_share"] = round(marker["not_measured"] / self.patients, 4) if self.patients else 0.0
        return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"

    @property
    def in_words(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"{self.listed:,} patients listed, {self.patients:,} in the table of the study {self.schema}"
        for reason, count in self.left_out.items():
            yield f"  left out: {count:,} ({reason})"
        for source in self.sources:
            yield f"source {source.name}: {source.rows_read:,} rows of {source.file}{_told(_of_source(source))}"
            yield from (f"  {note}" for note in source.notes)
        for outcome in self.outcomes:
            yield f"outcome {outcome.endpoint}: {outcome.events:,} events{_told(_of_outcome(outcome))}"
        for marker in self.markers:
            share = f"{marker.not_measured / self.patients:.0%}" if self.patients else "-"
            yield f"marker {marker.marker}: {share} not measured{_told(_of_marker(marker))}"


def _told(parts: Iterator[str]) -> str:
    said = ", ".join(parts)
    return f" ({said})" if said else ""


def _of_source(source: SourceReport) -> Iterator[str]:
    if source.rows_kept != source.rows_read:
        yield f"{source.rows_kept:,} kept"
    if source.rows_without_identifier:
        yield f"{source.rows_without_identifier:,} without an identifier"
    if source.rows_of_no_patient:
        yield f"{source.rows_of_no_patient:,} of nobody in the study"


def _of_outcome(outcome: OutcomeReport) -> Iterator[str]:
    for count, words in (
        (outcome.without_date, "with an event of unknown date"),
        (outcome.ended_at_cut, "ended at the data cut"),
        (outcome.contact_after_event, "seen after their event"),
        (outcome.entry_set_to_zero, "under observation before time zero"),
    ):
        if count:
            yield f"{count:,} {words}"


def _of_marker(marker: MarkerReport) -> Iterator[str]:
    if not marker.source:
        yield "this hospital does not have it"
        return
    yield f"from {marker.source}, {marker.told_by}"
    if marker.absent_codes:
        yield f"no row has {', '.join(marker.absent_codes)}"
    yield from marker.converted
    for count, words in (
        (marker.at_limit, "rows beyond a limit of detection"),
        (marker.without_day, "rows without a day"),
        (marker.outside_window, "rows outside the window"),
        (marker.after_zero, "rows from after time zero, which count without a window"),
        (marker.after_today, "rows of days after today"),
        (marker.with_several_rows, "patients with several rows"),
        (marker.emptied_same_day, "emptied: several values on one day"),
        (marker.emptied_outside, "emptied: outside the plausible range"),
        (marker.filled_without_row, "filled: without a row"),
    ):
        if count:
            yield f"{count:,} {words}"
