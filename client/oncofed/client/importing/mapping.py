"""Which cell of a hospital's own tables becomes which cell of the study's table? What a mapping file declares.

A mapping is one form for every source. It names sources (`[[source]]`), says which column, or which code of a long
table, gives each marker (`[[marker]]`) and each outcome (`[[outcome]]`), and what becomes of whatever does not fit: a
fault, unless the mapping says otherwise, and then it is counted and told. Nothing here is computed from a table.

The classes are the file's tables, and their fields its keys (`oncofed.file_model`). Which words a key may have stands
in `mapping_choices`; reading a file is `mapping_file`, and what must suit the schema `mapping_plans`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from oncofed.client.importing.mapping_choices import (
    OF_FHIR,
    OF_STUDY_FOLDER,
    AfterCut,
    Decimal,
    Limits,
    Near,
    Outside,
    Part,
    SameDay,
    Separator,
    Take,
    Thousands,
    Transform,
    Without,
    WithoutDate,
)
from oncofed.client.importing.mapping_rules import (
    among_analytes,
    day_form,
    iso_day,
    known_zone,
    only_beside,
    only_where,
    rising_window,
    told_apart,
    true_alone,
)
from oncofed.client.importing.omop_tables import OmopTable
from oncofed.client.importing.partial_dates import PartialDate
from oncofed.client.importing.primary_samples import Samples
from oncofed.cohort.marker_section import name_or_names, some_names
from oncofed.cohort.schema import TimeUnit
from oncofed.cohort.text_form import Encoding
from oncofed.file_model import Rule, needed_where


@dataclass(frozen=True)
class MappingHead:
    """The section [mapping]."""

    schema: Path
    """The study's schema file"""
    patients: str
    """The source whose identifiers are the patients of the study"""
    site: str | None = None
    """The hospital of all patients, or of those for whom `site_column` is empty. One of the two is needed where the
    schema has a column for it"""
    site_column: str | None = None
    """The column that holds the hospital of a patient"""
    site_source: Annotated[str | None, only_beside("site_column")] = None
    """The source of that column; left out: that of the patients"""
    missing: tuple[str, ...] = ()
    """Words for "not known" in every source; a source or a marker may have its own instead. An empty cell always means
    it. A day means every moment of it; a word that is no whole number means it of identifiers, too"""
    outside_range: Outside = Outside.FAULT
    """Whether a value outside the schema's plausible range is a fault, or becomes missing and is counted; no other row
    of the patient takes its place"""
    time_zone: Annotated[str | None, Rule(known_zone)] = None
    """The hospital's, such as `Europe/Berlin`: a moment that is stored or written with another zone (UTC, say) is the
    day that it was there. Needed where a Parquet file or a text holds moments in UTC, or a database
    `timestamptz`"""
    without_outcome: Without = Without.FAULT
    """Whether a patient without a time zero or an end of follow-up is a fault, or is left out and counted"""


@dataclass(frozen=True)
class Source:
    """A section [[source]]: a file, a part of a study folder, a table of OMOP or FHIR, or a statement on a database."""

    name: str
    """How the mapping calls it"""
    path: Path | None = None
    """The file: text (also `.gz`), Parquet, a sheet of an `.xlsx` file; or the folder of cBioPortal's
    study, of OMOP's tables or of FHIR bundles or NDJSON. Needed unless a database is read"""
    part: Part = Part.TABLE
    """`table`; which part of a study folder; `omop`, a [table of OMOP](import-omop.md); `sql`; or a
    [table of FHIR resources](import-fhir.md#tables)"""
    table: Annotated[OmopTable | None, needed_where("part", Part.OMOP)] = None
    """Of `omop`: which table"""
    url_file: Annotated[Path | None, only_beside("path", beside=False)] = None
    """Of a database, instead of `path`: a file that you alone can read, with the address in one line, such as
    `postgresql://reader:password@host/name`"""
    url_variable: Annotated[str | None, only_beside("path", beside=False), only_beside("url_file", beside=False)] = None
    """Instead of `url_file`: the environment variable that holds the address"""
    database_schema: str | None = None
    """Of `omop` in a database: the schema of its tables; left out: that of the user"""
    statement: Annotated[str | None, needed_where("part", Part.SQL)] = None
    """Of `sql`: one SELECT"""
    sheet: str | None = None
    """Of an `.xlsx` file with several sheets: the name of one"""
    patient: str | None = None
    """The column of identifiers. Needed for a table, unless it is `numbered`; that of FHIR resources is `patient`"""
    numbered: Annotated[bool | None, only_beside("patient", beside=False)] = None
    """For a table without identifiers: the number of a row is one. The order of its rows then matters, and no other
    source can be joined to it"""
    separator: Separator | None = None
    """Between cells. Left out: `tab` for `.tsv`, `.tab` and `.txt`, else `comma`"""
    encoding: Encoding = Encoding.UTF_8
    """Of the letters of a text"""
    comment: str | None = None
    """Lines before the header that begin with it, such as `#`, are remarks. A first line `sep=;` is one anyway"""
    decimal: Decimal = Decimal.POINT
    """The decimal mark of numbers"""
    thousands: Thousands | None = None
    """What may stand between thousands. Without it, `1.234` under decimal commas is a fault, and no guess"""
    date: str | None = None
    """The column with the day of a row, for `window` and for `first` and `last`"""
    date_format: Annotated[str, Rule(day_form)] = "YYYY-MM-DD"
    """How days are written, with `YYYY`, `MM` and `DD`, such as `DD.MM.YYYY`. A time of day behind it is ignored"""
    time_zone: Annotated[str | None, Rule(known_zone)] = None
    """Instead of that in `[mapping]`"""
    code: str | None = None
    """Of a long table, with one value a row: the column that says what was measured"""
    value: Annotated[str | None, only_beside("code")] = None
    """Of a long table: the column with what was found"""
    unit: Annotated[str | None, only_beside("code")] = None
    """Of a long table: the column with its unit"""
    unit_words: Mapping[str, str] = field(default_factory=dict)
    """Units for words or concept ids that are not known as such: `{ "2000000001" = "mg/dl" }`"""
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Only rows whose cells are among these words: `{ "ICD-10" = ["C34*"] }`. A `*` at the end stands for any ending"""
    missing: tuple[str, ...] | None = None
    """Instead of that in `[mapping]`"""
    of_nobody: Without = Without.FAULT
    """Whether rows of others, of nobody in the study, are a fault where no row means something (`without_row`,
    variants, deaths), or left out and counted; in the source of the patients: rows without an identifier. A broken join
    stays a fault: where no row means something a source without a row of any patient"""
    without_code: Without = Without.FAULT
    """Of a long table, where a missing row means something (`without_row`): whether a patient's row without a code, or
    without one of the system in which the mapping names them, is a fault, or left out and counted"""
    near_identifiers: Near | None = None
    """Identifiers that would be a patient's by their letters and digits, but for capitals, accents, letters that look
    alike or zeros that a number may lack, `A-1` for `A1`, `1.0` for `1`: `alike` (the same patient) or `differ`
    (somebody else). Left out: a fault"""
    near_words: Near | None = None
    """Cells that would be a word of `keep` or `codes`, or a gene of the mapping, but for capitals, blanks, punctuation,
    accents or letters that look alike, `C341` for `C34.1`: `alike` (that word) or `differ` (another). Left out: a
    fault"""
    panels: Path | None = None
    """Of mutations: the folder of the gene panels' files, `data_gene_panel_*.txt`; left out: the study folder"""
    whole: tuple[str, ...] = ()
    """Of mutations: names in the gene panel matrix that stand for all genes, such as `WES`"""
    silent: tuple[str, ...] = (
        "Silent",
        "Intron",
        "3'UTR",
        "5'UTR",
        "3'Flank",
        "5'Flank",
        "IGR",
        "RNA",
    )
    """Of mutations: classes of variants that do not count. `5'Flank` of TERT is of another class, `promoter`"""
    file: str | None = None
    """Of a matrix, with genes in rows and samples in columns: its name in the study folder"""
    samples: Annotated[Samples | None, only_where("part", *OF_STUDY_FOLDER)] = None
    """Of a study folder, for a patient with several samples: `primary_first` (if left out), which for each value takes
    those of the primary tumour, and others only where it was not measured; or `all`"""
    system: Annotated[str | None, only_where("part", *OF_FHIR)] = None
    """Of FHIR: the code system of the column `code`, as an address. Left out: the usual one (ICD-10, LOINC, OPS, ATC),
    and where a resource has no such code, its first one"""
    identifier: Annotated[str | None, only_where("part", *OF_FHIR)] = None
    """Of FHIR: the system of the identifier by which other sources know a patient. Left out: the resource's id"""
    one_server: Annotated[bool | None, only_where("part", *OF_FHIR), Rule(true_alone)] = None
    """Of FHIR: `true` where an id is one resource's wherever it stands in the folder. Left out: a fault where addresses
    name several servers, or only some name one, and where copies of one id are of different patients or drugs, unless
    `servers` are named"""
    servers: Annotated[Mapping[str, tuple[str, ...]], only_beside("one_server", beside=False)] = field(
        default_factory=dict
    )
    """Of FHIR, where ids of several servers are apart: each by its address, with the files and folders (below `path`)
    whose resources are its without saying so. `"."` is whatever no other names, and the server by whose ids other
    sources know patients: `{ "https://our.example/fhir" = ["."], "https://drugs.example/fhir" = ["drugs.ndjson"] }`"""
    partial_dates: Annotated[PartialDate | None, only_where("part", *OF_FHIR)] = None
    """Of FHIR: what a day of which only the year or the month is told becomes; left out: a fault"""
    descendants: bool = False
    """Of `omop`: whether a concept of `keep`, `codes` or `words` also stands for those below it, by the table
    `concept_ancestor`; of `words` the nearest counts"""
    contact_tables: tuple[OmopTable, ...] = ()
    """Of OMOP's `person`: the tables whose last day is `last_contact`; left out: all that there are"""

    @property
    def lies_at(self) -> Path:
        """The path of a source that is no database."""
        assert self.path is not None, self.name
        return self.path

    @property
    def in_database(self) -> bool:
        return self.url_file is not None or self.url_variable is not None


@dataclass(frozen=True)
class TimeZero:
    """The section [time_zero]: the day from which everything is counted."""

    column: str
    """The column with the day from which everything is counted"""
    source: str | None = None
    """The source of that column; left out: that of the patients"""
    take: Take | None = None
    """Of several days of a patient, `first` or `last`. Left out: they must be one"""


@dataclass(frozen=True)
class MappedOutcome:
    """A section [[outcome]]: how one endpoint of the schema comes about."""

    name: str
    """Of an endpoint of the schema"""
    source: str | None = None
    """Left out: that of the patients"""
    event: str | None = None
    """The column with words for what happened. Left out: an event is that `event_date` or `event_time` is told"""
    yes: Annotated[tuple[str, ...], only_beside("event", needed=True)] = ()
    """Words for an event"""
    no: Annotated[tuple[str, ...], only_beside("event", needed=True)] = ()
    """Words for none"""
    time: Annotated[str | None, only_beside("event")] = None
    """The column with the time of event or last contact. Needs `event`"""
    event_time: Annotated[str | None, only_beside("time", beside=False)] = None
    """Instead of `time`: the column with the time of the event, which is empty without one"""
    last_time: Annotated[str | None, only_beside("event_time", needed=True)] = None
    """Beside `event_time`: the column with the time of the last contact"""
    time_unit: TimeUnit | None = None
    """Of these times, and of `entry`; left out: the schema's. A month is 30.4375 days, a year 365.25"""
    event_date: Annotated[str | None, only_beside("time", beside=False), only_beside("event_time", beside=False)] = None
    """Instead of times: the column with the day of the event, which is empty without one. Where it holds the day of the
    event or of the last contact, whichever `event` says, list it under `last_contact` as well"""
    contacts: Annotated[Mapping[str, tuple[str, ...]], only_beside("event_date")] = field(default_factory=dict)
    """Columns with days of contact in other sources, by the source's name: `{ laboratory = ["Entnahme"] }`"""
    last_contact: Annotated[tuple[str, ...], only_beside("event_date"), Rule(told_apart)] = ()
    """Beside `event_date`: columns with days of contact, of which the latest counts. Needed without
    `contacts`"""
    entry: str | None = None
    """Delayed entry: the column with the time at which the patient came under observation. Who came before time zero
    was there from the start, and is counted"""
    entry_date: Annotated[str | None, only_beside("entry", beside=False)] = None
    """Instead of `entry`: the column with the day"""
    death: str | None = None
    """For the schema's `death_event`, where no other outcome gives that column: the column with words"""
    death_yes: Annotated[tuple[str, ...], only_beside("death", needed=True)] = ()
    """Words for a death"""
    death_no: Annotated[tuple[str, ...], only_beside("death", needed=True)] = ()
    """Words for none"""
    without_date: WithoutDate = WithoutDate.FAULT
    """What becomes of a patient with an event whose day or time is not told: a fault; left out; or followed to the
    last contact without the event"""
    most_without_date: float = 0.03
    """Where they are more than this share of all events, it is a fault all the same: the result would change"""
    impossible: Without = Without.FAULT
    """Whether an end before time zero, or an entry at or after the end, is a fault, or the patient is left out"""
    may_be_of_nobody: bool = False
    """Whether it may be that no patient has the event. Left out: a fault"""
    data_cut: Annotated[str | None, only_beside("event_date"), Rule(iso_day)] = None
    """The day after which nobody looked, `YYYY-MM-DD`"""
    after_cut: AfterCut = AfterCut.FAULT
    """Whether an event or a contact after it is a fault, or follow-up ends there without the event"""

    @property
    def day_of_either(self) -> bool:
        """Whether one column has the day of the event, and of who had none that of the last contact."""
        return self.event_date in self.last_contact


@dataclass(frozen=True)
class MappedMarker:
    """A section [[marker]]: where one marker of the schema, or several alike, come from."""

    names: Annotated[tuple[str, ...] | None, Rule(some_names)] = None
    """Several markers of the schema that share everything else"""
    name: Annotated[str | None, Rule(name_or_names)] = None
    """A marker of the schema. Each is mapped once"""
    source: str | None = None
    """Left out: that of the patients"""
    column: str | None = None
    """Left out: that of the marker's own name, without `suffix`"""
    suffix: Annotated[str | None, only_beside("column", beside=False)] = None
    """What the marker's name has more than the column's: `_mut`"""
    codes: Annotated[tuple[str, ...], only_beside("column", beside=False)] = ()
    """Of a long table, instead of `column`: what its column `code` says"""
    not_measured: bool = False
    """Whether this hospital does not have it"""
    analyte: Annotated[str | None, Rule(among_analytes)] = None
    """A row of the [table of analytes](import.md#analytes), so that mg/dl becomes µmol/l"""
    unit: str | None = None
    """Of the cells; left out: the schema's. Beside a long table's column `unit`: that of rows without one"""
    limits: Limits = Limits.FAULT
    """What a cell such as `<0,5` becomes: a fault; the limit; half of a lower limit; or missing. For `take` it then
    counts like a measured value"""
    transform: Transform | None = None
    """After converting: `log10` or `log1p` (natural), where the schema's unit is `log10(mg/l)`; the `ratio` to the
    upper limit, where it is `ULN`; or the `age` at time zero, of a column with days, in the schema's unit of time"""
    upper_limit: float | None = None
    """Of a ratio, in `unit`"""
    upper_limit_column: Annotated[str | None, only_beside("upper_limit", beside=False)] = None
    """Of a ratio, instead: the column with each laboratory's own, in the unit of the same row"""
    words: Mapping[str, str] = field(default_factory=dict)
    """The schema's word or number for each of the source's: `{ "männlich" = "0" }`. Where it lists numbers or truths
    for a binary or ordinal marker, others are a fault"""
    missing: tuple[str, ...] | None = None
    """Instead of that of the source"""
    window: Annotated[tuple[int, ...] | None, Rule(rising_window)] = None
    """First and last day about time zero whose rows count, as `[-90, 0]`"""
    take: Take | None = None
    """Which of several rows counts; `any` is 1 if one says 1. Left out: they must agree (of mutations: `any`)"""
    same_day: SameDay = SameDay.FAULT
    """Of several values on the day that `first` or `last` means"""
    outside_range: Outside | None = None
    """Instead of that in `[mapping]`"""
    without_row: str | None = None
    """What a patient without any row (in the window) has, such as `"0"` where a table lists diagnoses. Left out: not
    measured"""
    may_be_of_nobody: bool = False
    """Whether all patients may have `without_row`, or no variant may name the gene. Left out: that no row of any
    patient says anything is a fault"""
    may_be_absent: tuple[str, ...] = ()
    """Beside `without_row`, and of variants: codes (or genes) that nothing in the source may have. Left out: a fault,
    since this hospital may write them otherwise"""

    @property
    def marker_names(self) -> tuple[str, ...]:
        return self.names or ((self.name,) if self.name is not None else ())


@dataclass(frozen=True)
class MappingFile:
    """A mapping file."""

    mapping: MappingHead
    """What holds for all"""
    source: tuple[Source, ...]
    """Where cells come from"""
    outcome: tuple[MappedOutcome, ...]
    """One for each endpoint of the schema, unless others give all of its columns"""
    marker: tuple[MappedMarker, ...]
    """One for each marker of the schema, or for several"""
    time_zero: TimeZero | None = None
    """Needed where days are told"""
