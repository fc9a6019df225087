"""How does a hospital look at the quality of its own data? `oncofed cohort quality`."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from oncofed.client.quality.content import TableContent
    from oncofed.client.quality.report import QualityReport
    from oncofed.cohort.schema import StudySchema

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("quality")
@click.argument("source", metavar="TABLE|MAPPING", type=click.Path(path_type=Path))
@click.option("--schema", "schema_file", metavar="SCHEMA", type=click.Path(path_type=Path), help="Of a TABLE.")
@click.option("--time-zero", "zero_column", metavar="COLUMN", help="The TABLE's column with its day, or year.")
@click.option("--data-cut", "cut", metavar="DAY", type=_DAY, help="The day after which nobody looked, YYYY-MM-DD.")
@click.option(
    "--study", metavar="FILE", type=click.Path(path_type=Path), help="A coordinator's document, or a study's schema."
)
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of the page.")
@click.option(
    "--out", "folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path), help="For a page and a file."
)
def report_quality(
    source: Path,
    schema_file: Path | None,
    zero_column: str | None,
    cut: datetime | None,
    study: Path | None,
    language: str,
    folder: Path | None,
) -> None:
    """Tell the quality of a hospital's own data, for its own eyes: what is missing, and what looks wrong.

    Of a TABLE that follows a SCHEMA (.csv, .parquet), or of the table that an import by a MAPPING (.toml) would make;
    then days are known, too, and nothing is written of the table. FOLDER gets quality.html, which prints from a
    browser, also as PDF, and quality.json. Counts are exact: nothing of it is for anybody outside.

    Exit code 0: nothing to look at but notes. 1: a fault, or a suspect.

    \b
    Examples:
      oncofed cohort quality table.parquet --schema schema.toml --out quality
      oncofed cohort quality mapping.toml --study study.json
      oncofed cohort quality mapping.toml --out qualitaet --language de
    """
    from oncofed.client.quality.report import OWN_EYES

    of_mapping = source.suffix.lower() == ".toml"
    if of_mapping == (schema_file is not None):
        raise click.UsageError("Name a table and its --schema, or a mapping alone.")
    if of_mapping and zero_column is not None:
        raise click.UsageError("A mapping says itself what time zero is: leave out --time-zero.")
    wanted = _wanted(study)
    day = None if cut is None else cut.date()
    report = (
        _of_mapping(source, day, wanted) if of_mapping else _of_table(source, schema_file, zero_column, day, wanted)
    )
    click.echo(report.in_words, nl=False)
    if folder is not None:
        _write(report, folder, language)
        click.echo(f"Look at {folder / 'quality.html'}. {OWN_EYES}")
    if not report.clean:
        sys.exit(1)


def _wanted(study: Path | None) -> tuple[str, StudySchema] | None:
    from oncofed.client.quality.study_needs import study_schema

    return None if study is None else study_schema(study)


def _of_table(
    path: Path,
    schema_file: Path | None,
    zero_column: str | None,
    cut: date | None,
    study: tuple[str, StudySchema] | None,
) -> QualityReport:
    from oncofed.client.quality.content import table_content
    from oncofed.cohort.schema_file import read_schema
    from oncofed.cohort.table import read_table
    from oncofed.cohort.validation import named_columns
    from oncofed.errors import Fault, InvalidInput

    assert schema_file is not None
    schema = read_schema(schema_file)
    wanted = [*named_columns(schema), *([] if zero_column is None else [zero_column])]
    table = read_table(path, columns=wanted)
    if zero_column is not None and zero_column not in table.columns:
        where = f'{path.name}: column "{zero_column}"'
        raise InvalidInput([Fault(where, "is missing from the table", "Name the column with time zero.")])
    content = table_content(table, schema, where=path.name, zero_column=zero_column)
    return _report(content, cut, study, ())


def _of_mapping(path: Path, cut: date | None, study: tuple[str, StudySchema] | None) -> QualityReport:
    from oncofed.client.importing.cohort_import import import_cohort
    from oncofed.client.importing.mapping_file import read_mapping
    from oncofed.client.quality.content import table_content

    mapping = read_mapping(path)
    imported = import_cohort(mapping)
    cuts = [outcome.data_cut for outcome in mapping.file.outcome if outcome.data_cut is not None]
    if cut is None and cuts:
        cut = max(map(date.fromisoformat, cuts))
    content = table_content(
        imported.table.to_pandas(split_blocks=True), mapping.schema, where=path.name, zero_days=imported.zero_days
    )
    return _report(content, cut, study, tuple(imported.report.in_words.splitlines()))


def _report(
    content: TableContent, cut: date | None, study: tuple[str, StudySchema] | None, imported: tuple[str, ...]
) -> QualityReport:
    from oncofed.client.quality.report import quality_report

    return quality_report(content, cut=cut, today=datetime.now(UTC).date(), study=study, imported=imported)


def _write(report: QualityReport, folder: Path, language: str) -> None:
    from oncofed.client.quality.page import quality_page
    from oncofed.durable import replace_durably
    from oncofed.words.languages import language_called

    folder.mkdir(parents=True, exist_ok=True)
    page = quality_page(report, made_on=datetime.now(UTC).date(), say=language_called(language))
    replace_durably(folder / "quality.json", report.as_json.encode())
    replace_durably(folder / "quality.html", page.encode())
