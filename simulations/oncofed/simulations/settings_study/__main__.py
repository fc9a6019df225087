"""Would a person who tunes have done better than the settings that a study may leave open?

python -m oncofed.simulations.settings_study STUDY.toml --out FOLDER [--seeds 11,12,13,14,15] [--only NAME]
    [--set SECTION.KEY=VALUE]

The study is trained with all of its settings left open, with those of its file, and with about a dozen others, each on
several seeds, and judged on validation patients alone. FOLDER gets runs.csv (one row a run, after each run) and
settings.md. The same command again goes on where it stopped; runs with settings that have changed are made anew.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
import rich.console

from oncofed.durable import replace_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.federation import expecting, simulated_plan
from oncofed.simulations.settings_study.judging import folds_of, judged, with_validation
from oncofed.simulations.settings_study.variants import LEFT_OPEN, variants_of
from oncofed.simulations.settings_study.verdict import table_of
from oncofed.simulations.study import read_study
from oncofed.simulations.study_table import table_of as table_of_study

RUNS, PAGE = "runs.csv", "settings.md"


@click.command()
@click.argument("study_file", metavar="STUDY.toml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", "folder", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seeds", default="11,12,13,14,15", show_default=True, help="Pick who trains and who judges.")
@click.option("--only", multiple=True, metavar="NAME", help="Besides what is left open, these alone. Repeatable.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="The same in every run.")
def settings_study(
    study_file: Path, folder: Path, seeds: str, only: tuple[str, ...], overrides: tuple[str, ...]
) -> None:
    """Compare what a study may leave open with other settings, on validation patients; minutes to an hour."""
    studies = [read_study(study_file, overrides=overrides, seed=seed) for seed in _whole_numbers(seeds)]
    if len({study.seed % folds_of(study) for study in studies}) < 2:
        what = "are all judged by the same patients, by whom nobody can tell luck from tuning"
        raise InvalidInput([Fault("--seeds", what, "Give some that follow each other, such as 11,12,13.")])
    table, schema, where = table_of_study(studies[0])
    file = folder / RUNS
    before = pd.read_csv(file).to_dict("records") if file.exists() else []
    made: dict[str, dict[Any, Any]] = {str(row["settings"]): row for row in before}
    folder.mkdir(parents=True, exist_ok=True)
    wanted = []
    for study in studies:
        patients = with_validation(study, table, schema, where=where)
        roster = tuple(patients.hospitals)
        written = expecting(study.settings, sum(map(len, patients.hospitals.values())))
        for variant in variants_of(written, schema, hospitals=len(roster)):
            if only and variant.name not in (LEFT_OPEN, *only):
                continue
            key = replace(study, settings=variant.settings).hash  # whatever the settings are called
            if key not in made:
                began = time.perf_counter()
                plan = simulated_plan(
                    variant.settings, schema, study=study.name, roster=roster, quorum=None, seed=study.seed
                )
                found = judged(plan, patients, study)
                made[key] = {
                    "settings": key,
                    "variant": variant.name,
                    "seed": study.seed,
                    "part": study.seed % folds_of(study),
                    "judged": len(patients.test),
                    **asdict(found),
                    "seconds": round(time.perf_counter() - began, 2),
                }
                replace_durably(file, pd.DataFrame(made.values()).to_csv(index=False).encode(), mode=0o644)
                click.echo(f"seed {study.seed}, {variant.name}: {found.c_index:.3f}, slope {found.slope:.2f}", err=True)
            wanted.append(made[key] | {"variant": variant.name})
    told = table_of(pd.DataFrame(wanted), title=studies[0].title or studies[0].name)
    told.show(rich.console.Console(width=160))
    (folder / PAGE).write_text(told.markdown(), encoding="utf-8")


def _whole_numbers(text: str) -> tuple[int, ...]:
    items = [item.strip() for item in text.split(",")]
    if not all(item.isdecimal() for item in items) or len(set(items)) < len(items):
        raise InvalidInput([Fault("--seeds", "are not distinct whole numbers", "Write 11,12,13.")])
    return tuple(map(int, items))


if __name__ == "__main__":
    try:
        settings_study()
    except InvalidInput as refused:
        click.echo(f"settings_study: {refused}", err=True)
        sys.exit(2)
