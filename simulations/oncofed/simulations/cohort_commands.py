"""Where does a researcher without patients get a consortium? `oncofed cohort generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from oncofed.simulations.synthetic.consortium import SyntheticConsortium
    from oncofed.simulations.synthetic.layered import LayeredConsortium


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
@click.option(
    "--layers", is_flag=True, help="Another consortium: of which the true value of each layer of data is known."
)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def generate(
    patients: int, hospitals: int, seed: int, folder: Path, table_format: str, layers: bool, quiet: bool
) -> None:
    """Make an invented consortium in the shape of the published pan-cancer study, with a known hazard.

    38 tumour entities, 350 markers of all modalities, overall survival and time to next treatment, over any number of
    hospitals. FOLDER gets the table, its schema.toml, and the truth: which markers matter, which pairs interact
    (ground_truth.json), and every patient's true log hazard (true_log_hazard.parquet).

    With --layers: clinical history, laboratory, mutations, copy number, RNA and protein, each measured of a patient as
    a whole or not; what each adds to a patient's log hazard (true_log_hazard.parquet), and what each is worth to a
    prognosis (true_values.json).

    \b
    Examples:
      oncofed cohort generate --out consortium
      oncofed cohort generate --patients 2000 --hospitals 5 --seed 7 --format csv --out small
      oncofed cohort generate --hospitals 1000 --out many_small_hospitals
      oncofed cohort generate --layers --patients 12000 --out layered
    """
    # Imported here so that `oncofed --help` answers at once.
    import rich.console  # noqa: PLC0415

    from oncofed.simulations.synthetic.consortium import generate as generate_consortium  # noqa: PLC0415
    from oncofed.simulations.synthetic.files import TableFormat, write  # noqa: PLC0415
    from oncofed.simulations.synthetic.layered import generate_layered  # noqa: PLC0415
    from oncofed.simulations.synthetic.layered_files import write_layered  # noqa: PLC0415

    console = rich.console.Console(stderr=True, quiet=quiet)
    if layers:
        with console.status("Drawing patients"):
            layered = generate_layered(patients=patients, hospitals=hospitals, seed=seed)
        with console.status("Computing true values and writing files"):
            paths = write_layered(layered, folder, table_format=TableFormat(table_format))
        if not quiet:
            click.echo(_layered_summary(layered, paths))
        return
    with console.status("Drawing patients"):
        consortium = generate_consortium(patients=patients, hospitals=hospitals, seed=seed)
    with console.status("Writing files"):
        paths = write(consortium, folder, table_format=TableFormat(table_format))
    if not quiet:
        click.echo(_summary(consortium, paths))


def _layered_summary(consortium: LayeredConsortium, paths: tuple[Path, ...]) -> str:
    from oncofed.simulations.synthetic.layered import LAYERS  # noqa: PLC0415

    table, measured = consortium.table, consortium.patients.measured
    shares = zip((layer.value for layer in LAYERS), measured.mean(axis=0), strict=True)
    rows = {
        "patients": f"{len(table):,} in {table['hospital'].nunique()} hospitals",
        "deaths": f"{table['death_observed'].sum():,} ({table['death_observed'].mean():.0%})",
        "measured": ", ".join(f"{name} {share:.0%}" for name, share in shares),
        "all layers": f"{measured.all(axis=1).sum():,} patients",
    }
    return "\n".join(
        [
            f"Layered consortium, seed {consortium.seed}",
            *(f"  {name:21s}{value}" for name, value in rows.items()),
            f"Wrote {', '.join(path.name for path in paths)} to {paths[0].parent}",
        ]
    )


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
