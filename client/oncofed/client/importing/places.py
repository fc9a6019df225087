"""Where does a source lie, and what does it mean without saying it?

A table of a public model has columns of known names, so a mapping need not name them. Promise: where a source lies is
said once, and each key belongs to the kind of source that it stands at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from oncofed.client.importing.fhir.source import with_columns
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Part
from oncofed.client.importing.omop_tables import OMOP, OmopTable
from oncofed.errors import Fault

SPREADSHEET = ".xlsx"


def as_meant(source: Source) -> Source:
    """The source with the columns that its public model gives it, where it names no others."""
    if source.part.is_fhir:
        return with_columns(source)
    if source.part is not Part.OMOP or source.table is None:
        return source
    public = OMOP[source.table]
    return replace(
        source,
        patient=source.patient or public.patient,
        date=source.date or public.date,
        code=source.code or public.code,
        value=source.value or public.value,
        unit=source.unit or public.unit,
    )


def made_values(source: Source, codes: Sequence[str]) -> tuple[str, ...]:
    """What stands for "there is one" and "there is none", where the source's table has no such cells.

    codes  that are asked of it; else its columns are.
    """
    if source.part in (Part.MUTATIONS, Part.FHIR_VARIANTS):
        return ("0", "1")
    unvalued = source.part in (Part.FHIR_PROCEDURES, Part.FHIR_MEDICATIONS) or (
        source.part is Part.OMOP and source.table is not None and not OMOP[source.table].valued
    )
    return ("1",) if unvalued and codes else ()


def place_of_source(where: str, source: Source) -> Iterator[Fault]:
    """Its faults. where: of the section, as faults tell it."""
    if source.path is None and (source.part is not Part.OMOP and source.part is not Part.SQL):
        yield Fault(f"{where}, path", "is missing", "Add this field.")
    elif source.path is None and not source.in_database:
        remedy = "Name the file with the database's address (url_file)."
        if source.part is Part.OMOP:
            remedy = "Name the folder of the tables (path), or the file with the database's address (url_file)."
        yield Fault(f"{where}, url_file", "is missing", remedy)
    database = source.part in (Part.OMOP, Part.SQL)
    of_person = source.part is Part.OMOP and source.table is OmopTable.PERSON
    sheets = source.part is Part.TABLE and source.path is not None and source.path.suffix.lower() == SPREADSHEET
    for key, suits, kind in (
        ("path", source.part is not Part.SQL, 'every source but a part "sql"'),
        ("table", source.part is Part.OMOP, 'a part "omop"'),
        ("url_file", database, 'a part "omop" or "sql"'),
        ("url_variable", database, 'a part "omop" or "sql"'),
        ("database_schema", source.part is Part.OMOP and source.in_database, 'a part "omop" in a database'),
        ("statement", source.part is Part.SQL, 'a part "sql"'),
        ("sheet", sheets, f"a {SPREADSHEET} file"),
        ("descendants", source.part is Part.OMOP, 'a part "omop"'),
        ("contact_tables", of_person, 'the table "person" of a part "omop"'),
    ):
        if getattr(source, key) not in (None, (), False) and not suits:
            yield Fault(f"{where}, {key}", f"is only for {kind}", "Remove it.")
