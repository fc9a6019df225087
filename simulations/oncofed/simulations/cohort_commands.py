"""Where does a researcher without patients get a consortium? `oncofed cohort generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from oncofed.simulations.synthetic.consortium import SyntheticConsortium


@click.command()
@click.option(
    "--patients",
    type=click.IntRange(min=1),
    default=15_726,
    show_default=True,
    help="Over all hospitals; the default is the size of the published study.",
)
@click.option("--hospitals", type=click.IntRange(min=1), default=12, show_default=True, help="At most --patients.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Same seed, same bytes.")
@click.option("--out", "folder", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "table_format", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def generate(patients: int, hospitals: int, seed: int, folder: Path, table_format: str, quiet: bool) -> None:
    """Make an invented consortium in the shape of the published pan-cancer study, with a known hazard.

    38 tumour entities, 350 markers of all modalities, overall survival and time to next treatment, over any number of
    hospitals. FOLDER gets the table, its schema.toml, and the truth: which markers matter, which pairs interact
    (ground_truth.json), and every patient's true log hazard (true_log_hazard.parquet).

    \b
    Examples:
      oncofed cohort generate --out consortium
      oncofed cohort generate --patients 2000 --hospitals 5 --seed 7 --format csv --out small
      oncofed cohort generate --hospitals 1000 --out many_small_hospitals
    """
    # Imported here so that `oncofed --help` answers at once.
    import rich.console  # noqa: PLC0415

    from oncofed.simulations.synthetic.consortium import generate as generate_consortium  # noqa: PLC0415
    from oncofed.simulations.synthetic.files import TableFormat, write  # noqa: PLC0415

    console = rich.console.Console(stderr=True, quiet=quiet)
    with console.status("Drawing patients"):
        consortium = generate_consortium(patients=patients, hospitals=hospitals, seed=seed)
    with console.status("Writing files"):
        paths = write(consortium, folder, table_format=TableFormat(table_format))
    if not quiet:
        click.echo(_summary(consortium, paths))


def _summary(consortium: SyntheticConsortium, paths: tuple[Path, ...]) -> str:
    from oncofed.simulations.synthetic.schema import OVERALL_SURVIVAL  # noqa: PLC0415

    table = consortium.table
    sizes = table["hospital"].value_counts()
    treated_again = table["next_treatment_observed"]
    rows = {
        "patients": f"{len(table):,} in {len(sizes)} hospitals (smallest {sizes.min():,}, largest {sizes.max():,})",
        "markers": f"{len(consortium.schema.markers)}, {consortium.missing_share:.0%} of their values not measured",
        "deaths": f"{table['death_observed'].sum():,} ({table['death_observed'].mean():.0%})",
        "next treatments": f"{treated_again.sum():,} ({treated_again.mean():.0%})",
        "delayed entry": f"{(table['entry_months'] > 0).mean():.0%} of the patients",
        "C-index of the truth": f"{consortium.c_index[OVERALL_SURVIVAL]:.3f} for overall survival",
    }
    return "\n".join(
        [
            f"Synthetic consortium, seed {consortium.seed}",
            *(f"  {name:21s}{value}" for name, value in rows.items()),
            f"Wrote {', '.join(path.name for path in paths)} to {paths[0].parent}",
            f"Next: name {paths[0].name} and {paths[1].name} under [data] of a study file (table, schema), then run",
            "  oncofed simulate study.toml --out runs/first",
        ]
    )
