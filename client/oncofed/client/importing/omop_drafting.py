"""Which schema and which mapping might an OMOP model mean, as a first draft for people to confirm?

The model's columns are public, so little is left to guess: which diagnoses, which of the model's tables, which markers.
Promise: of the model only the names of its tables are asked, and in its table of concepts (public words, of no patient)
the concepts of the LOINC codes of the table of analytes. Whatever is guessed is marked `# confirm`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oncofed.client.importing.analytes import ANALYTES, Analyte
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.drafted_sources import seen_from
from oncofed.client.importing.mapping import Part, Source
from oncofed.client.importing.omop import ids_in
from oncofed.client.importing.omop_rows import CdmRows, DatabaseRows, FolderRows
from oncofed.client.importing.omop_tables import OmopTable
from oncofed.client.importing.proposed_schema import CONFIRM, analyte_marker, head_lines, marker_lines, quoted
from oncofed.client.importing.readings import Column
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


def draft_omop(place: OmopPlace, *, beside: Path) -> tuple[str, str]:
    """The texts of a schema and a mapping. Raises InvalidInput. beside: the folder in which the mapping will lie."""
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
    schema = "\n".join(_schema(analytes)) + "\n"
    return schema, "\n".join(_mapping(place, beside, there, analytes, descendants=descendants)) + "\n"


def _concepts(rows: CdmRows) -> Mapping[str, int]:
    if not rows.has("concept"):
        return _CONCEPTS
    frame = rows.read("concept", ["concept_id", "concept_code", "vocabulary_id"])
    loinc = Column(frame["vocabulary_id"]).among(["LOINC"])
    codes = Column(frame["concept_code"][loinc].reset_index(drop=True)).words(())
    ids, _ = ids_in(Column(frame["concept_id"][loinc].reset_index(drop=True)))
    known = dict(zip(codes, ids.tolist(), strict=True))
    wanted = {code for analyte in ANALYTES for code in analyte.loinc}
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
    analytes: Sequence[tuple[Analyte, list[int]]],
    *,
    descendants: bool,
) -> Iterator[str]:
    yield "# A draft for an OMOP model. Confirm or correct each line that says so, then look:"
    yield "#   oncofed cohort import mapping.toml --dry-run"
    yield '[mapping]\nschema = "schema.toml"\npatients = "diagnoses"'
    yield f'site = "our hospital"  {CONFIRM}: or site_column = "care_site_id" and site_source = "persons"'
    sections = [("persons", OmopTable.PERSON), ("diagnoses", OmopTable.CONDITION_OCCURRENCE)]
    sections += [("measurements", OmopTable.MEASUREMENT)] if analytes else []
    optional = (("drugs", OmopTable.DRUG_EXPOSURE), ("episodes", OmopTable.EPISODE))
    for name, table in sections:
        yield f"\n[[source]]\nname = {quoted(name)}"
        yield from place.lines(beside)
        yield f'table = "{table.value}"'
        if name == "diagnoses":
            yield f"descendants = {str(descendants).lower()}  {CONFIRM}: do concepts stand for those below them?"
            yield f"keep = {{ condition_concept_id = [] }}  {CONFIRM}: which diagnoses is the study about?"
    yield f'\n[time_zero]\nsource = "diagnoses"\ncolumn = "condition_start_date"  {CONFIRM}'
    yield f'take = "first"  {CONFIRM}'
    yield '\n[[outcome]]\nname = "survival"\nsource = "persons"'
    yield 'event = "dead"\nyes = ["1"]\nno = ["0"]\nevent_date = "death_date"\nlast_contact = ["last_contact"]'
    yield f'# without_date = "leave_out"  {CONFIRM}: what becomes of deaths without a date?'
    yield f'# data_cut = "2024-12-31"  {CONFIRM}: until which day did anybody look?'
    yield '\n[[marker]]\nname = "female"\nsource = "persons"\ncolumn = "gender_concept_id"'
    yield 'words = { 8532 = "1", 8507 = "0" }'
    yield '\n[[marker]]\nname = "age_years"\nsource = "persons"\ncolumn = "birth_date"\ntransform = "age"'
    for analyte, ids in analytes:
        yield f'\n[[marker]]\nname = {quoted(analyte_marker(analyte).name)}\nsource = "measurements"'
        yield f"codes = [{', '.join(quoted(str(each)) for each in ids)}]  {CONFIRM}"
        yield f'analyte = "{analyte.name}"'
        yield f'window = [-30, 0]  {CONFIRM}\ntake = "last"  {CONFIRM}'
        if analyte.skewed:
            yield f'limits = "at_limit"  {CONFIRM}\ntransform = "log10"'
    for name, table in optional:
        if table in there:
            yield f"\n# For treatments: [[source]] {name} of the table {table.value}, and markers such as:"
            yield f'# [[marker]]\n# name = "..."\n# source = "{name}"'
            yield '# codes = ["..."]\n# take = "any"\n# without_row = "0"'
