"""What do the project's own parts cost, as ratios measured side by side in one run? `make bench`.

python -m oncofed.simulations.benchmarks [--quick] [--out FILE.md] [--only PART]
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import click
import rich.console
import torch

from oncofed.simulations.benchmarks.command_line import command_line_table
from oncofed.simulations.benchmarks.contribution import contribution_table
from oncofed.simulations.benchmarks.explanation import explanation_table
from oncofed.simulations.benchmarks.first_view import first_view_table
from oncofed.simulations.benchmarks.masking import masking_table
from oncofed.simulations.benchmarks.omop_import import omop_import_table
from oncofed.simulations.benchmarks.rounds import rounds_table
from oncofed.simulations.benchmarks.scale import scale_table
from oncofed.simulations.benchmarks.summaries import summaries_table
from oncofed.simulations.benchmarks.table_import import table_import_table
from oncofed.simulations.benchmarks.tables import Table
from oncofed.simulations.sweep.separate_processes import cores


def _omop_import(quick: bool, url_file: Path | None = None) -> Table:
    if quick:
        return omop_import_table(measurements=300_000, patients=5_000, url_file=url_file)
    return omop_import_table(url_file=url_file)


PARTS: dict[str, Callable[[bool], Table]] = {
    "command-line": lambda quick: command_line_table(repetitions=5 if quick else 10),
    "contribution": lambda quick: (
        contribution_table(repetitions=5, batches=(256, 2048)) if quick else contribution_table(repetitions=15)
    ),
    "explanation": lambda quick: explanation_table(repetitions=3 if quick else 9),
    "first-view": lambda quick: first_view_table(patients=5000, views=7 if quick else 25),
    "masking": lambda quick: masking_table(rounds=3, sites=(10, 50)) if quick else masking_table(rounds=9),
    "omop-import": _omop_import,
    "rounds": lambda quick: rounds_table(rounds=3, sites=(10, 100)) if quick else rounds_table(rounds=7),
    "scale": lambda quick: scale_table(rounds=2, sites=(200,)) if quick else scale_table(rounds=3),
    "summaries": lambda quick: summaries_table(many=1500, repetitions=1) if quick else summaries_table(),
    "table-import": lambda quick: table_import_table(patients=5_000) if quick else table_import_table(),
}


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the tables, as Markdown.")
@click.option("--quick", is_flag=True, help="Fewer sizes and repetitions: about a minute.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Repeatable.")
@click.option(
    "--postgresql",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With the address of a database, from which omop-import reads, too. It makes a schema there and removes it.",
)
def benchmarks(out: Path | None, quick: bool, only: tuple[str, ...], postgresql: Path | None) -> None:
    """Measure ratios of the project's own parts to what they are compared with; minutes on two cores."""
    console = rich.console.Console(width=200)
    machine = (
        f"{cores()} cores, Python {platform.python_version()}, torch {torch.__version__}. Times are processor time of "
        "one thread unless said otherwise; they belong to this machine and moment, the ratios are what counts."
    )
    console.print(machine + "\n", highlight=False)
    pages = ["# Benchmarks, last run\n", machine + "\n"]
    for name, measure in PARTS.items():
        if only and name not in only:
            continue
        click.echo(f"measuring: {name} ...", err=True)
        from_database = name == "omop-import" and postgresql is not None
        table = _omop_import(quick, postgresql) if from_database else measure(quick)
        table.show(console)
        sys.stdout.flush()
        pages.append(table.markdown())
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(pages))


if __name__ == "__main__":
    benchmarks()
