"""How does a hospital make the study's table of its own files?

`oncofed cohort draft`, `oncofed cohort import` and `oncofed schema catalogue`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from oncofed.client.importing.cohort_import import ImportedCohort
    from oncofed.client.importing.mapping import Source
    from oncofed.client.importing.mapping_file import CohortMapping

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command("draft")
@click.argument("sources", metavar="SOURCE...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", "folder", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--url-file", metavar="FILE", type=click.Path(path_type=Path), help="Of a database: its address.")
@click.option("--database-schema", metavar="NAME", help="Of OMOP's tables in that database.")
@click.option("--statement", "statements", multiple=True, metavar="SQL", help="A SELECT on a database. Repeatable.")
@click.option(
    "--schema",
    "schema_file",
    metavar="SCHEMA.toml",
    type=click.Path(path_type=Path),
    help="Of OMOP: the study's schema, whose markers are to be mapped; no other is written.",
)
def draft_files(
    sources: tuple[Path, ...],
    folder: Path,
    url_file: Path | None,
    database_schema: str | None,
    statements: tuple[str, ...],
    schema_file: Path | None,
) -> None:
    """Propose schema.toml and mapping.toml for a hospital's own files, or for a folder of FHIR resources, in FOLDER.

    SOURCE is a text, Parquet or Excel file (each sheet is a source), or a folder of OMOP's tables. Of a database,
    --url-file names a file with its address: an OMOP model is read by itself, other tables by a --statement each.

    From the names of columns, from whether they hold numbers, days or words, and from the public table of laboratory
    values: no other part of a cell is used. Each guess is marked "# confirm". Look through both files before anybody
    else sees them: in a file without a header line the names of columns are a patient's cells.

    \b
    Examples:
      oncofed cohort draft patients.csv laboratory.csv --out study
      oncofed cohort draft bundles --out study
      oncofed cohort draft --url-file address --database-schema cdm --out study
      oncofed cohort draft --url-file address --database-schema cdm --schema lung.schema.toml --out study
      oncofed cohort draft --url-file address --statement "SELECT * FROM research.patients" --out study
    """
    from oncofed.client.importing.drafted_sources import refuse_study_folders
    from oncofed.client.importing.drafting import Draft, draft
    from oncofed.client.importing.fhir.drafted import draft_of_resources, of_resources
    from oncofed.client.importing.omop_drafting import OmopPlace, StudysSchema, draft_omop, is_model
    from oncofed.cohort.schema_file import read_schema
    from oncofed.durable import create_durably
    from oncofed.errors import Fault, InvalidInput

    paths = [folder / name for name in ("schema.toml", "mapping.toml")[schema_file is not None :]]
    if taken := [path.name for path in paths if path.exists()]:
        remedy = "Choose another folder, or remove it: what people have confirmed is not overwritten."
        raise InvalidInput([Fault(name, "is there already", remedy) for name in taken])
    if statements and (url_file is None or database_schema is not None):
        raise click.UsageError("--statement needs --url-file, and no --database-schema: name the schema in it.")
    if not statements and bool(sources) is (url_file is not None):
        raise click.UsageError("Name files, a folder of OMOP's tables, or an OMOP database with --url-file.")
    model = len(sources) == 1 and is_model(sources[0])
    if schema_file is not None and (statements or (url_file is None and not model)):
        raise click.UsageError("--schema is for an OMOP model: a folder of its tables, or a database with --url-file.")
    refuse_study_folders(sources)
    study = None if schema_file is None else StudysSchema(schema_file, read_schema(schema_file))
    if statements:
        drafted = draft(sources, beside=folder, statements=statements, url_file=url_file)
    elif url_file is not None:
        place = OmopPlace(url_file=url_file, database_schema=database_schema)
        drafted = Draft(*draft_omop(place, beside=folder, study=study))
    elif model:
        drafted = Draft(*draft_omop(OmopPlace(sources[0]), beside=folder, study=study))
    elif of_resources(sources):
        drafted = draft_of_resources(sources[0], beside=folder)
    else:
        drafted = draft(sources, beside=folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        create_durably(path, (drafted.mapping if path is paths[-1] else drafted.schema).encode())
    click.echo(f"Wrote {' and '.join(str(path) for path in paths)}, with {drafted.guesses} guesses to confirm.")
    click.echo(f"Next: confirm or correct them, then oncofed cohort import {paths[-1]} --dry-run")


@click.command("catalogue")
@click.option(
    "--modality", "modalities", multiple=True, metavar="NAME", help="Only of these modalities, such as laboratory."
)
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Only of these groups, such as comorbidity.")
@click.option("--list", "as_list", is_flag=True, help="A line for each marker instead of a schema.")
def write_catalogue(modalities: tuple[str, ...], groups: tuple[str, ...], as_list: bool) -> None:
    """A schema to start from: 350 public markers, or those of some modalities and groups, on standard output.

    \b
    Examples:
      oncofed schema catalogue --modality clinical --modality laboratory > schema.toml
      oncofed schema catalogue --group tumour_markers --list
    """
    from oncofed.client.importing.catalogue import Group, catalogue_schema, chosen
    from oncofed.cohort.schema import Modality
    from oncofed.errors import Fault, InvalidInput
    from oncofed.toml_file import closest

    faults = [
        Fault(option, f"there is no {name!r}", closest(name, [each.value for each in known]))
        for option, names, known in (("--modality", modalities, Modality), ("--group", groups, Group))
        for name in names
        if name not in [each.value for each in known]
    ]
    if faults:
        raise InvalidInput(faults)
    found = chosen([Modality(name) for name in modalities], [Group(name) for name in groups])
    if not found:
        remedy = "Drop one of the two choices."
        raise InvalidInput([Fault("--group", "the catalogue has no marker of these modalities and groups", remedy)])
    if not as_list:
        click.echo(catalogue_schema(found), nl=False)
        return
    for each in found:
        codes = f"  LOINC {', '.join(each.loinc)}" if each.loinc else ""
        click.echo(f"{each.group.value}  {each.marker.name}  {each.marker.unit or each.marker.kind.value}{codes}")


@click.command("import")
@click.argument("mapping_file", metavar="MAPPING", type=click.Path(path_type=Path))
@click.option("--out", metavar="TABLE", type=click.Path(dir_okay=False, path_type=Path), help="A .parquet file.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, tell the report, and write nothing.")
@click.option("--quiet", is_flag=True, help="Do not tell the report.")
def import_table(mapping_file: Path, out: Path | None, dry_run: bool, quiet: bool) -> None:
    """Make the table of a study from a hospital's own files, as MAPPING says. docs/import.md goes through it.

    Reads only, on this machine. TABLE gets exactly what the schema names, in the order of the identifiers, and beside
    it come TABLE.report.json and TABLE.report.txt: what was left out, converted and emptied, in counts. What does not
    fit is a fault, and then nothing is written.

    \b
    Examples:
      oncofed cohort import mapping.toml --dry-run
      oncofed cohort import mapping.toml --out table.parquet
    """
    from oncofed.client.importing.cohort_import import import_cohort
    from oncofed.client.importing.mapping_file import read_mapping

    if (out is None) is not dry_run:
        raise click.UsageError("Name a table with --out, or only look with --dry-run.")
    mapping = read_mapping(mapping_file)
    if out is not None:
        _refuse_out(mapping, out)
    imported = import_cohort(mapping)
    if out is not None:
        _write(imported, out)
    if not quiet:
        click.echo(imported.report.in_words, nl=False)
        click.echo("Nothing was written." if out is None else f"Wrote {out} and its reports beside it.")


@click.command("check")
@click.argument("mapping_file", metavar="MAPPING", type=click.Path(path_type=Path))
@click.pass_context
def check_mapping(context: click.Context, mapping_file: Path) -> None:
    """Look at what `cohort import MAPPING` would make: its report, or all faults. The same as its --dry-run.

    \b
    Example:
      oncofed cohort check mapping.toml
    """
    context.invoke(import_table, mapping_file=mapping_file, out=None, dry_run=True, quiet=False)


def _refuse_out(mapping: CohortMapping, out: Path) -> None:
    """Before anything is read: a table that could not be written, or would lie on what it is made from."""
    from oncofed.errors import Fault, InvalidInput

    named = [path for each in mapping.file.source for path in (each.path, each.panels, each.url_file)]
    read_from = [mapping.folder / path for path in named if path is not None]
    read = {mapping.path, mapping.schema_path, *read_from}
    faults = []
    if out.suffix.lower() != ".parquet":
        faults.append(Fault("--out", "does not end in .parquet", "Let it: numbers keep their digits there."))
    if not out.parent.is_dir():
        faults.append(Fault("--out", "lies in no folder", "Make the folder first."))
    if out.resolve() in {path.resolve() for path in read}:
        faults.append(Fault("--out", "is a file that the table is made from", "Choose another name."))
    whole = {(mapping.folder / each.lies_at).resolve() for each in mapping.file.source if _is_read_whole(each)}
    if whole & {*out.resolve().parents}:
        what = "lies in a folder of FHIR resources or of a model's tables, which is read as a whole"
        faults.append(Fault("--out", what, "Choose another folder."))
    elif out.exists() and not _report_of(out).exists():
        what = "is a file without the report of an import beside it, so that no import wrote it"
        faults.append(Fault("--out", what, "Choose another name, or remove the file."))
    if faults:
        raise InvalidInput(faults)


def _is_read_whole(source: Source) -> bool:
    return source.part.is_fhir or (source.table is not None and not source.in_database)


def _report_of(table: Path) -> Path:
    return table.with_name(f"{table.name}.report.json")


def _write(imported: ImportedCohort, out: Path) -> None:
    """The reports, and then the table: where there is a table, there is its report."""
    import io

    import pyarrow.parquet

    from oncofed.durable import replace_durably

    content = io.BytesIO()
    pyarrow.parquet.write_table(imported.table, content, write_page_checksum=True)
    replace_durably(_report_of(out), imported.report.as_json.encode())
    replace_durably(out.with_name(f"{out.name}.report.txt"), imported.report.in_words.encode())
    replace_durably(out, content.getvalue())
