"""How does a researcher compare strategies, privacy and settings over seeds? `oncofed sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from oncofed.simulations.sweep.sweep import Swept


@click.command()
@click.argument("study_file", metavar="STUDY.toml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", "folder", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seeds", default="", metavar="1,2,3", help="Pick split and initialisation, never the privacy noise.")
@click.option("--strategies", default="", metavar="NAME,...", help="fedadam, fedavg, fedprox, median and others.")
@click.option("--privacy", default="", metavar="none,3,1", help="Epsilon a patient, or none.")
@click.option("--vary", multiple=True, metavar="SECTION.KEY=V1,V2", help="One more axis. Repeatable.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="The same in every run.")
@click.option(
    "--variants",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="One more axis: named bundles of settings, [[variant]] tables with name and set.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at a time.  [default: the number of cores]")
@click.option("--reports", is_flag=True, help="Also write each run's report and explanations.")
@click.option("--quiet", is_flag=True, help="No progress bar and no table.")
def sweep(
    study_file: Path,
    folder: Path,
    seeds: str,
    strategies: str,
    privacy: str,
    vary: tuple[str, ...],
    overrides: tuple[str, ...],
    variants: Path | None,
    jobs: int | None,
    reports: bool,
    quiet: bool,
) -> None:
    """Run a study over seeds, strategies, privacy and settings, and compare.

    What is left out is as the study file has it. FOLDER gets one table (Parquet, CSV), a summary over seeds, a plot
    (two, when several epsilons were asked for), and every run's own folder. The same command again goes on where it
    stopped: finished runs are skipped, interrupted ones go on after their last round. With more seeds or strategies it
    adds their runs.

    A strategy other than the study's own trains in full batches where the server has the optimiser (fedadam, fedyogi,
    fedadagrad) and in local epochs where weights are averaged (all others), unless training.mode is given.

    \b
    Examples:
      oncofed sweep study.toml --out runs/privacy --seeds 1,2,3,4,5 --privacy none,3,1
      oncofed sweep study.toml --out runs/strategies --seeds 1,2,3 --privacy none \\
        --strategies fedadam,fedyogi,fedavg,fedprox --set training.proximal_mu=0.01
      oncofed sweep study.toml --out runs/tuning --set evaluation.part=validation \\
        --vary training.server_learning_rate=0.01,0.02,0.05 --vary model.hidden_units=[],[8]
      oncofed sweep study.toml --out runs/ablation --seeds 1,2,3 --variants ablation.toml
      oncofed sweep study.toml --out runs/new_hospitals --seeds 1,2,3 --set evaluation.split=hospitals \\
        --set evaluation.folds=4 --vary evaluation.fold=0,1,2,3
    """
    # Imported here so that `oncofed --help` answers at once.
    import rich.console  # noqa: PLC0415
    import rich.progress  # noqa: PLC0415

    from oncofed.simulations.sweep.grid import SweepOptions, sweep_runs  # noqa: PLC0415
    from oncofed.simulations.sweep.separate_processes import cores  # noqa: PLC0415
    from oncofed.simulations.sweep.sweep import run_sweep  # noqa: PLC0415

    runs = sweep_runs(study_file, SweepOptions(seeds, strategies, privacy, vary, overrides, variants))
    console = rich.console.Console(stderr=True, quiet=quiet)
    try:
        with rich.progress.Progress(
            rich.progress.TextColumn("{task.description:10s}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TimeRemainingColumn(),
            console=console,
        ) as bars:
            bar = bars.add_task("runs", total=len(runs))

            def show(name: str, done: int, total: int, failure: str | None) -> None:
                bars.update(bar, completed=done, total=total)
                if failure is not None:
                    bars.console.print(f"{name} failed: {failure}", markup=False, highlight=False, soft_wrap=True)

            swept = run_sweep(runs, folder, jobs=jobs or cores(), reports=reports, progress=show)
    except KeyboardInterrupt:
        click.echo("Interrupted. Nothing finished is lost: the same command goes on.", err=True)
        sys.exit(130)
    if not quiet:
        _print(swept, folder)
    if swept.failures:
        click.echo(f"oncofed: {len(swept.failures)} failed; the same command tries them again.", err=True)
        sys.exit(1)


def _print(swept: Swept, folder: Path) -> None:
    import rich.console  # noqa: PLC0415
    import rich.table  # noqa: PLC0415

    from oncofed.simulations.sweep.table import summary_lines  # noqa: PLC0415

    heading, lines = summary_lines(swept.summary)
    shown = rich.table.Table(*(rich.table.Column(title, no_wrap=True) for title in heading), box=None)
    for cells in lines:
        shown.add_row(*cells)
    # Wider than some terminals: lines that wrap can be read, cells that are cut off cannot.
    rich.console.Console(width=200).print(shown)
    click.echo("Mean ± standard deviation over seeds. Pooled, alone: ridge Cox on all patients, on each site's own.")
    pictures = [folder / name for name in ("plot.svg", "epsilon.svg") if (folder / name).exists()]
    pictures += [folder / name for name in ("left_out.html",) if (folder / name).exists()]
    click.echo(f"Look at {folder / 'table.csv'} and {', '.join(map(str, pictures))}")
