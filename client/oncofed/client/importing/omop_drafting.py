"""Which schema and which mapping might an OMOP model mean, as a first draft for people to confirm?

The model's columns are public, so little is left to guess: which diagnoses, which of the model's tables, which markers.
Promise: of the model only the names of its tables are asked, and in its table of concepts (public words, of no patient)
the concepts of the LOINC codes of the table of analytes and of the catalogue. Whatever is guessed is marked
`# confirm`. Of a study's own schema each marker gets a section: those whose codes the model knows, and one together for
all others, which are said to be not measured until people say where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oncofed.client.importing.analytes import ANALYTES, Analyte
from oncofed.client.importing.catalogue import BY_MARKER, CATALOGUE
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.drafted_sources import seen_from
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Part
from oncofed.client.importing.omop_rows import CdmRows, DatabaseRows, FolderRows, ids_in
from oncofed.client.importing.omop_tables import OmopTable
from oncofed.client.importing.proposed_schema import CONFIRM, analyte_marker, head_lines, marker_lines, quoted
from oncofed.client.importing.readings import Column
from oncofed.cohort.schema import Kind, StudySchema
from oncofed.cohort.table import keep_to_oneself
from oncofed.errors import Fault, InvalidInput

_CONCEPTS: Mapping[str, int] = {
    "718-7": 3000963,
    "777-3": 3024929,
    "6690-2": 3000905,
    "751-8": 3013650,
    "731-0": 3004327,
    "4544-3": 3023314,
    "1751-7": 3024561,
    "1988-5": 3020460,
    "2160-0": 3016723,
    "1975-2": 3024128,
    "14804-9": 3016436,
    "1742-6": 3006923,
    "1920-8": 3013721,
    "6768-6": 3035995,
    "2951-2": 3019550,
    "2823-3": 3023103,
    "17861-6": 3006906,
    "1834-1": 3009306,
}
"""The standard concept of a LOINC code, where the model has no table of concepts."""


@dataclass(frozen=True)
class OmopPlace:
    """Where a model lies: in a folder, or in a database."""

    path: Path | None = None
    url_file: Path | None = None
    database_schema: str | None = None

    def lines(self, beside: Path) -> Iterator[str]:
        """Of a source, in a mapping that lies in that folder."""
        yield 'part = "omop"'
        for key in ("path", "url_file"):
            if (place := getattr(self, key)) is not None:
                yield f"{key} = {quoted(seen_from(beside, place).as_posix())}"
        if self.database_schema is not None:
            yield f"database_schema = {quoted(self.database_schema)}"


def is_model(folder: Path) -> bool:
    """Whether a folder holds tables of an OMOP model."""
    return folder.is_dir() and any(each.name.casefold().partition(".")[0] == "person" for each in folder.iterdir())


@dataclass(frozen=True)
class StudysSchema:
    """That a coordinator gave. path: its file."""

    path: Path
    schema: StudySchema


def draft_omop(place: OmopPlace, *, beside: Path, study: StudysSchema | None = None) -> tuple[str, str]:
    """The texts of a schema and a mapping. Raises InvalidInput.

    beside  the folder in which the mapping will lie. study: whose markers are mapped; the schema's text is empty then.
    """
    source = Source(
        name="draft",
        path=None if place.path is None else place.path.absolute(),
        part=Part.OMOP,
        url_file=None if place.url_file is None else place.url_file.absolute(),
        database_schema=place.database_schema,
    )
    with OpenDatabases(beside) as databases:
        rows: CdmRows
        rows = DatabaseRows(source, databases) if source.in_database else FolderRows(source, beside, keep_to_oneself)
        there = [table for table in OmopTable if rows.has(table.value)]
        if not there:
            where = "database" if place.url_file is not None else "folder"
            remedy = "Name the schema of its tables (--database-schema); for other tables, a --statement for each."
            raise InvalidInput([Fault(where, "has no table of an OMOP model that this user can see", remedy)])
        concepts = _concepts(rows)
        descendants = rows.has("concept_ancestor")
    found = [(analyte, [concepts[code] for code in analyte.loinc if code in concepts]) for analyte in ANALYTES]
    analytes = [(analyte, ids) for analyte, ids in found if ids]
    schema = "" if study is not None else "\n".join(_schema(analytes)) + "\n"
    named = "schema.toml" if study is None else seen_from(beside, study.path).as_posix()
    endpoints = ["survival"] if study is None else [each.name for each in study.schema.endpoints]
    markers = list(_markers(analytes) if study is None else _markers_of_study(study.schema, concepts))
    head = _mapping(place, beside, there, named, endpoints, descendants=descendants, measured=_MEASURED in markers)
    return schema, "\n".join([*head, *markers, *_of_treatments(there)]) + "\n"


def _concepts(rows: CdmRows) -> Mapping[str, int]:
    if not rows.has("concept"):
        return _CONCEPTS
    frame = rows.read("concept", ["concept_id", "concept_code", "vocabulary_id"])
    loinc = Column(frame["vocabulary_id"]).among(["LOINC"])
    codes = Column(frame["concept_code"][loinc].reset_index(drop=True)).words(())
    ids, _ = ids_in(Column(frame["concept_id"][loinc].reset_index(drop=True)))
    known = dict(zip(codes, ids.tolist(), strict=True))
    wanted = {code for each in CATALOGUE for code in each.loinc}
    return {**_CONCEPTS, **{code: concept for code, concept in known.items() if code in wanted}}


def _schema(analytes: Sequence[tuple[Analyte, list[int]]]) -> Iterator[str]:
    yield "# A draft for an OMOP model. Confirm or correct each line that says so, and remove what does not belong into"
    yield "# the study. All constants are public: they come from knowledge, not from a table."
    yield from head_lines("omop")
    yield '\n[[marker]]\nname = "female"\nmodality = "clinical"\nkind = "binary"'
    yield '\n[[marker]]\nname = "age_years"\nmodality = "clinical"\nkind = "continuous"\nunit = "years"'
    yield f"plausible_range = [0, 120]  {CONFIRM}\ncentre = 65  {CONFIRM}\nscale = 12  {CONFIRM}"
    for analyte, _ in analytes:
        marker = analyte_marker(analyte)
        yield f"\n[[marker]]\nname = {quoted(marker.name)}"
        yield from (f"{line}  {CONFIRM}" for line in marker_lines(marker) if not line.startswith("reference_range"))


def _mapping(
    place: OmopPlace,
    beside: Path,
    there: Sequence[OmopTable],
    schema: str,
    endpoints: Sequence[str],
    *,
    descendants: bool,
    measured: bool,
) -> Iterator[str]:
    """Everything before the markers. measured: whether any of them is in the table of measurements."""
    yield "# A draft for an OMOP model. Confirm or correct each line that says so, then look:"
    yield "#   oncofed cohort import mapping.toml --dry-run"
    yield f'[mapping]\nschema = {quoted(schema)}\npatients = "diagnoses"'
    yield f'site = "our hospital"  {CONFIRM}: or site_column = "care_site_id" and site_source = "persons"'
    sections = [("persons", OmopTable.PERSON), ("diagnoses", OmopTable.CONDITION_OCCURRENCE)]
    sections += [("measurements", OmopTable.MEASUREMENT)] if measured else []
    for name, table in sections:
        yield f"\n[[source]]\nname = {quoted(name)}"
        yield from place.lines(beside)
        yield f'table = "{table.value}"'
        if name == "diagnoses":
            yield f"descendants = {str(descendants).lower()}  {CONFIRM}: do concepts stand for those below them?"
            yield f"keep = {{ condition_concept_id = [] }}  {CONFIRM}: which diagnoses is the study about?"
    yield f'\n[time_zero]\nsource = "diagnoses"\ncolumn = "condition_start_date"  {CONFIRM}'
    yield f'take = "first"  {CONFIRM}'
    first, *others = endpoints
    yield f'\n[[outcome]]\nname = {quoted(first)}\nsource = "persons"'
    yield 'event = "dead"\nyes = ["1"]\nno = ["0"]\nevent_date = "death_date"\nlast_contact = ["last_contact"]'
    yield f'# without_date = "leave_out"  {CONFIRM}: what becomes of deaths without a date?'
    yield f'# data_cut = "2024-12-31"  {CONFIRM}: until which day did anybody look?'
    for name in others:
        yield f"# [[outcome]] {quoted(name)}  {CONFIRM}: which table says it? None does by itself."


_MEASURED = 'source = "measurements"'
_FEMALE = (
    '\n[[marker]]\nname = "female"\nsource = "persons"\ncolumn = "gender_concept_id"',
    'words = { 8532 = "1", 8507 = "0" }',
)
_AGE = ('\n[[marker]]\nname = "age_years"\nsource = "persons"\ncolumn = "birth_date"\ntransform = "age"',)


def _markers(analytes: Sequence[tuple[Analyte, list[int]]]) -> Iterator[str]:
    yield from (*_FEMALE, *_AGE)
    for analyte, ids in analytes:
        yield from _measured(analyte_marker(analyte).name, ids, analyte)


def _measured(name: str, ids: Sequence[int], analyte: Analyte | None) -> Iterator[str]:
    yield f"\n[[marker]]\nname = {quoted(name)}"
    yield _MEASURED
    yield f"codes = [{', '.join(quoted(str(each)) for each in ids)}]  {CONFIRM}"
    if analyte is not None:
        yield f'analyte = "{analyte.name}"'
    yield f'window = [-30, 0]  {CONFIRM}\ntake = "last"  {CONFIRM}'
    if analyte is not None and analyte.skewed:
        yield f'limits = "at_limit"  {CONFIRM}\ntransform = "log10"'


def _markers_of_study(schema: StudySchema, concepts: Mapping[str, int]) -> Iterator[str]:
    """A marker is known by its name, kind and unit together: another unit may be another thing."""
    unknown = []
    for marker in schema.markers:
        listed = BY_MARKER.get(marker.name)
        if listed is None or (listed.marker.kind, listed.marker.unit) != (marker.kind, marker.unit):
            unknown.append(marker.name)
        elif marker.name in _OF_PERSONS:
            yield from _OF_PERSONS[marker.name]
        elif marker.kind in (Kind.CONTINUOUS, Kind.ORDINAL) and (
            ids := [concepts[code] for code in listed.loinc if code in concepts]
        ):
            yield from _measured(marker.name, ids, listed.analyte)
        else:
            unknown.append(marker.name)
    if unknown:
        yield f"\n# {CONFIRM.removeprefix('# ')}: what of this is in the model? Give each of those a section of its own"
        yield "# (docs/import-omop.md), and take it off this list."
        yield "[[marker]]\nnames = ["
        yield from (f"  {quoted(name)}," for name in unknown)
        yield "]\nnot_measured = true"


_OF_PERSONS = {"female": _FEMALE, "age_years": _AGE}


def _of_treatments(there: Sequence[OmopTable]) -> Iterator[str]:
    for name, table in (("drugs", OmopTable.DRUG_EXPOSURE), ("episodes", OmopTable.EPISODE)):
        if table in there:
            yield f"\n# For treatments: [[source]] {name} of the table {table.value}, and markers such as:"
            yield f'# [[marker]]\n# name = "..."\n# source = "{name}"'
            yield '# codes = ["..."]\n# take = "any"\n# without_row = "0"'
