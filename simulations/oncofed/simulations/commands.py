"""How does a researcher simulate many hospitals on one machine? `oncofed simulate`."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.texts import drawn_on_error

if TYPE_CHECKING:
    from oncofed.simulations.results import Panel, RunResult

_HELP = "Read it from the section and key of the study file, for instance privacy.epsilon=1. Repeatable."


@click.command()
@click.argument("study_file", metavar="STUDY.toml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", "run_folder", required=True, metavar="RUN", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), help="Picks split and initialisation, never the privacy noise.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help=_HELP)
@click.option("--panel", metavar="auto|N", help="Also a model of N markers; auto: of 40, if public numbers favour it.")
@click.option("--resume", is_flag=True, help="Go on after the last finished round of RUN.")
@click.option(
    "--engine", type=click.Choice(["grid", "ray"]), default="grid", show_default=True, help="Ray is an extra."
)
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of the report.")
@click.option("--quiet", is_flag=True, help="No progress bar and no summary.")
def simulate(
    study_file: Path,
    run_folder: Path,
    seed: int | None,
    overrides: tuple[str, ...],
    panel: str | None,
    resume: bool,
    engine: str,
    language: str,
    quiet: bool,
) -> None:
    """Train a study's model over simulated hospitals and write its report to RUN.

    \b
    Examples:
      oncofed simulate simulations/studies/demo/study.toml --out runs/demo
      oncofed simulate study.toml --out runs/strict --set privacy.epsilon=1 --seed 3
      oncofed simulate study.toml --out runs/strict --set privacy.epsilon=1 --seed 3 --resume
      oncofed simulate study.toml --out runs/few --set privacy.mode=local --panel auto
      oncofed simulate study.toml --out runs/bericht --language de

    Ctrl-C loses no finished round: the same command with --resume goes on.
    """
    # Hospitals are small matrices, one after the other: more threads than one mostly wait for each other, and beside
    # other work on the machine they made the demo eight times as slow. Must be said before torch and numpy are loaded.
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    # Imported here so that `oncofed --help` answers at once; torch only after the study file was found to be sound.
    from oncofed.simulations.study import read_study  # noqa: PLC0415

    if panel is not None:
        overrides = (*overrides, "panel.auto=true" if panel == "auto" else f"panel.markers={panel}")
    study = read_study(study_file, overrides=overrides, seed=seed)

    import rich.console  # noqa: PLC0415

    from oncofed.simulations.federation import Engine  # noqa: PLC0415
    from oncofed.simulations.progress import progress_bars  # noqa: PLC0415
    from oncofed.simulations.run import run_study  # noqa: PLC0415
    from oncofed.words.languages import language_called  # noqa: PLC0415

    console = rich.console.Console(file=drawn_on_error(), quiet=quiet)
    with progress_bars(console) as show:

        def tell(note: str) -> None:
            console.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)

        say = language_called(language)
        result = run_study(study, run_folder, engine=Engine(engine), resume=resume, progress=show, say=say, tell=tell)
    if not quiet:
        click.echo(_summary(result, run_folder))


def _summary(result: RunResult, run_folder: Path) -> str:
    from oncofed.simulations.privacy_spent import spent_at_one  # noqa: PLC0415 - as in `simulate`

    main, privacy = result.main, result.plan.privacy
    counted = f"{len(result.test)} patients, {main.events} events, {main.comparable_pairs:,} comparable pairs"
    interval = main.c_index_ci95
    spread = (
        "no interval is defined"
        if math.isnan(interval.low)
        else f"95 % interval {interval.low:.3f} to {interval.high:.3f}"
    )
    lines = [
        f"{result.study.title or result.study.name}: {len(result.hospitals)} hospitals, {len(result.rounds)} rounds, "
        f"{result.seconds_total:.0f} s",
        f"  C-index, federated        {_or_undefined(main.c_index)}  ({spread}; {counted})",
    ]
    if (found := main.calibration) is not None:
        lines.append(
            f"  calibration               slope {_or_undefined(found.slope)}, expected over observed "
            f"{_or_undefined(found.expected_to_observed)}  (1 is right)"
        )
    if not math.isnan(main.c_index_within_type):
        lines.append(f"  within tumour types       {main.c_index_within_type:.3f}")
    if result.panel is not None:
        lines += _panel_lines(result.panel)
    if result.baselines is not None:
        lines += [
            f"  each hospital alone       {_or_undefined(result.baselines.local_only_mean)}  (mean of ridge Cox)",
            f"  pooled ridge Cox          {_or_undefined(result.baselines.pooled_ridge_cox)}",
        ]
    spent = spent_at_one(result)
    if spent is not None:
        lines.append(
            f"  privacy                   epsilon {spent.epsilon:.2f} at delta {privacy.delta:g}, "
            "one patient of one hospital"
        )
    else:
        lines.append("  privacy                   none: the updates are not protected")
    lines.append(f"Look at {run_folder / 'report.html'}")
    return "\n".join(lines)


def _panel_lines(panel: Panel) -> list[str]:
    found = panel.main.calibration
    return [
        f"  panel of {f'{len(panel.markers)} markers':16} {_or_undefined(panel.main.c_index)}  (trained by itself)",
        *(
            [
                f"  its calibration           slope {_or_undefined(found.slope)}, expected over observed "
                f"{_or_undefined(found.expected_to_observed)}"
            ]
            if found is not None
            else []
        ),
    ]


def _or_undefined(value: float) -> str:
    """Where no two test patients can be compared there is no figure, and "nan" tells nobody why."""
    return "not defined" if math.isnan(value) else f"{value:.3f}"
