"""Where does a researcher without patients get a consortium? `oncofed cohort generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import rich.console

    from oncofed.simulations.synthetic.consortium import SyntheticConsortium
    from oncofed.simulations.synthetic.layered import LayeredConsortium
    from oncofed.simulations.synthetic.treated import TreatedConsortium


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
@click.option(
    "--treatments", is_flag=True, help="Another one: of which the true effect of one treatment option is known."
)
@click.option(
    "--twist",
    "twists",
    type=click.Choice(["no_effect", "unrecorded_frailty", "no_overlap"]),
    multiple=True,
    help="With --treatments: what is wrong with it. Repeatable.",
)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def generate(
    patients: int,
    hospitals: int,
    seed: int,
    folder: Path,
    table_format: str,
    layers: bool,
    treatments: bool,
    twists: tuple[str, ...],
    quiet: bool,
) -> None:
    """Make an invented consortium in the shape of the published pan-cancer study, with a known hazard.

    38 tumour entities, 350 markers of all modalities, overall survival and time to next treatment, over any number of
    hospitals. FOLDER gets the table, its schema.toml, and the truth: which markers matter, which pairs interact
    (ground_truth.json), and every patient's true log hazard (true_log_hazard.parquet).

    With --layers: clinical history, laboratory, mutations, copy number, RNA and protein, each measured of a patient as
    a whole or not; what each adds to a patient's log hazard (true_log_hazard.parquet), and what each is worth to a
    prognosis (true_values.json).

    With --treatments: patients get one of two options, the fitter ones the second, which helps more with a biomarker
    and less with liver metastases. The truth is each patient's survival under both options (true_options.parquet), and
    the effect over all and by modifier (true_effects.json). --twist makes it one in which the options are the same
    (no_effect), in which what decides is not all recorded (unrecorded_frailty), or in which some patients always get
    the second (no_overlap).

    \b
    Examples:
      oncofed cohort generate --out consortium
      oncofed cohort generate --patients 2000 --hospitals 5 --seed 7 --format csv --out small
      oncofed cohort generate --hospitals 1000 --out many_small_hospitals
      oncofed cohort generate --layers --patients 12000 --out layered
      oncofed cohort generate --treatments --patients 8000 --twist unrecorded_frailty --out treated
    """
    if layers and treatments:
        raise click.UsageError("--layers and --treatments are different consortia; ask for one of them.")
    if twists and not treatments:
        raise click.UsageError("--twist is of the consortium that --treatments makes.")
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
    if treatments:
        _generate_treated(console, patients, hospitals, seed, folder, table_format, twists, quiet)
        return
    with console.status("Drawing patients"):
        consortium = generate_consortium(patients=patients, hospitals=hospitals, seed=seed)
    with console.status("Writing files"):
        paths = write(consortium, folder, table_format=TableFormat(table_format))
    if not quiet:
        click.echo(_summary(consortium, paths))


def _generate_treated(
    console: rich.console.Console,
    patients: int,
    hospitals: int,
    seed: int,
    folder: Path,
    table_format: str,
    twists: tuple[str, ...],
    quiet: bool,
) -> None:
    from oncofed.simulations.synthetic.files import TableFormat  # noqa: PLC0415
    from oncofed.simulations.synthetic.treated import Twist, generate_treated  # noqa: PLC0415
    from oncofed.simulations.synthetic.treated_files import write_treated  # noqa: PLC0415

    with console.status("Drawing patients"):
        treated = generate_treated(
            patients=patients, hospitals=hospitals, seed=seed, twists=[Twist(twist) for twist in twists]
        )
    with console.status("Computing true effects and writing files"):
        paths = write_treated(treated, folder, table_format=TableFormat(table_format))
    if not quiet:
        click.echo(_treated_summary(treated, paths))


def _treated_summary(consortium: TreatedConsortium, paths: tuple[Path, ...]) -> str:
    table, drawn = consortium.table, consortium.patients
    rows = {
        "patients": f"{len(table):,} in {table['hospital'].nunique()} hospitals",
        "second option": f"{drawn.second.sum():,} ({drawn.second.mean():.0%})",
        "deaths of cancer": f"{drawn.died_of_cancer.sum():,} ({drawn.died_of_cancer.mean():.0%})",
        "of other causes": f"{drawn.died_otherwise.sum():,} ({drawn.died_otherwise.mean():.0%})",
        "twists": ", ".join(sorted(twist.value for twist in consortium.twists)) or "none",
    }
    return "\n".join(
        [
            f"Treated consortium, seed {consortium.seed}",
            *(f"  {name:21s}{value}" for name, value in rows.items()),
            f"Wrote {', '.join(path.name for path in paths)} to {paths[0].parent}",
        ]
    )


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
