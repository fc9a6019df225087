"""The command `oncofed schema`: what an editor and a reader may know of the files."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def schema() -> None:
    """What the files may hold: JSON Schemas for an editor, tables for a reader."""


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
