"""The command `oncofed schema`: what an editor and a reader may know of files, and what differs between two schemas.

Those that a hospital's side adds are entry points of `oncofed.schema_commands`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.cli import InstalledCommands

if TYPE_CHECKING:
    from oncofed.cohort.schema import StudySchema
    from oncofed.errors import Fault


class SchemaCommands(InstalledCommands):
    entry_points = "oncofed.schema_commands"


@click.group(cls=SchemaCommands)
def schema() -> None:
    """Schemas: a catalogue to start from, what differs between two; what files may hold.

    \b
    Examples:
      oncofed schema catalogue --modality laboratory > schema.toml
      oncofed schema diff ours.toml theirs.toml
    """


@schema.command("diff")
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--json", "for_programs", is_flag=True, help="For programs.")
def compare(first: Path, second: Path, for_programs: bool) -> None:
    """Tell what differs between two hospitals' schemas, in words.

    Exit code 0: a table that is right for one means the same to the other (constants of the network may still differ,
    and a study has one schema). 1: they do not fit.
    """
    from oncofed.cohort.schema_difference import as_json, differences  # noqa: PLC0415  # as above
    from oncofed.cohort.schema_file import read_schema  # noqa: PLC0415  # as above
    from oncofed.errors import InvalidInput  # noqa: PLC0415  # as above

    schemas: list[StudySchema] = []
    faults: list[Fault] = []
    for path in (first, second):
        try:
            schemas.append(read_schema(path))
        except InvalidInput as refused:
            faults += refused.faults
    if faults:
        raise InvalidInput(faults)
    found = differences(*schemas)
    if for_programs:
        click.echo(as_json(found), nl=False)
    else:
        click.echo(f"A: {first}\nB: {second}")
        for heading, told in (
            ("Tables do not fit:", [each for each in found if not each.fits]),
            ("Constants of the network, for which no table changes:", [each for each in found if each.fits]),
        ):
            if told:
                click.echo(heading)
            for each in told:
                click.echo(f"  - {each}")
        if not found:
            click.echo("The two say the same.")
    if not all(each.fits for each in found):
        sys.exit(1)


@schema.command("json-schema")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def write_json_schemas(folder: Path) -> None:
    """Write the JSON Schema of each kind of file into FOLDER.

    \b
    An editor that knows Taplo (VS Code: Even Better TOML) checks a file whose first line names one:
      #:schema ./schemas/study.schema.json
    """
    from oncofed.file_reference import declared_files, json_schema  # noqa: PLC0415  # --help imports nothing heavy

    _write(folder, {f"{kind}.schema.json": json_schema(kind, owner) for kind, owner in declared_files().items()})


@schema.command("reference")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def write_reference(folder: Path) -> None:
    """Write a page of tables for each kind of file into FOLDER (here: docs/reference)."""
    from oncofed.file_reference import declared_files, reference_page  # noqa: PLC0415  # as above

    _write(folder, {f"{kind}.md": reference_page(kind, owner) for kind, owner in declared_files().items()})


def _write(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
        click.echo(folder / name)
