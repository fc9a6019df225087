"""Do real public tables come in by mapping files alone, and how good is a federation on them, beside lifelines' Cox?

    python simulations/studies/public_tables/compare.py runs/public_tables [--seeds 1,2,3] [--tables lung,gbsg2]

Each table is the packages' own, as they ship it, and goes the way of docs/import.md and docs/own-data.md: mapping,
import, run. Of each seed a fifth of the patients is set aside; every figure is of those. The Cox regression is fitted
to all training patients in one place, on the same columns (`oncofed.cohort.encoding`) without those that are constant
there, with a penalty of 0.01 a patient so that a rare column does not run away. Calibration is measured of both in the
same way: the slope at the study's horizon, and events that came over those that the model expects, of the whole
follow-up.

The packages are of development (lifelines, scikit-survival); their tables are no part of the project.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow.parquet

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.cohort.encoding import encode
from oncofed.simulations.partition import consortium, pooled
from oncofed.simulations.run import run_study
from oncofed.simulations.study import Study, read_study
from oncofed.simulations.study_table import table_of
from oncofed.survival.calibration import calibration_at
from oncofed.survival.concordance import concordance_index

HERE = Path(__file__).resolve().parent
PENALTY = 0.01
WAYS = {"federation, no privacy": ("privacy.mode=none",), "federation, `local`, epsilon 3": ("privacy.epsilon=3",)}
COX = "Cox of lifelines, pooled"


@dataclass(frozen=True)
class Figures:
    """Of patients set aside: C-index; calibration slope at the horizon; events over expected ones. 1 is right."""

    c_index: float
    slope: float
    observed_over_expected: float


def as_shipped(name: str, path: Path) -> None:
    """The table as a CSV file, without an edit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "flchain":  # of R's format of attributes
            from sksurv.datasets import load_flchain  # noqa: PLC0415 - it is slow to import, and warns

            covariates, outcome = load_flchain()
            frame = pd.DataFrame(covariates).assign(death=outcome["death"], futime=outcome["futime"])
            frame.to_csv(path, index=False)
            return
        from lifelines import datasets  # noqa: PLC0415 - likewise
    shutil.copyfile(Path(datasets.__file__).with_name(f"{name}.csv"), path)


TABLES = ("lung", "gbsg2", "lymph_node", "flchain")


def imported(name: str, folder: Path) -> Path:
    """The study's file beside the table that its mapping makes. Raises InvalidInput."""
    folder.mkdir(parents=True)
    for file in ("schema.toml", "mapping.toml", "study.toml"):
        shutil.copyfile(HERE / name / file, folder / file)
    as_shipped(name, folder / "table.csv")
    table = import_cohort(read_mapping(folder / "mapping.toml")).table
    pyarrow.parquet.write_table(table, folder / "patients.parquet")
    return folder / "study.toml"


def of_run(study: Study, run: Path) -> Figures:
    """Of a federation."""
    run_study(study, run, report=False)
    test = json.loads((run / "metrics.json").read_text())["test"]
    came, expected = np.sum(test["events_and_expected"]["all"], axis=0)
    return Figures(test["c_index"], test["calibration_slope"], float(came / expected))


def of_cox(study: Study) -> Figures:
    """Of lifelines' Cox regression on the same patients, in one place."""
    from lifelines import CoxPHFitter  # noqa: PLC0415 - as above

    table, schema, where = table_of(study)
    patients = consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed)
    train, test = pooled(patients.hospitals), patients.test
    x, x_test = encode(train), encode(test)
    varies = np.ptp(x, axis=0) > 0
    names = [str(number) for number in range(x.shape[1])]
    frame = pd.DataFrame(x, columns=names).loc[:, varies].assign(time=train.exit[:, 0], event=train.observed[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cox = CoxPHFitter(penalizer=PENALTY).fit(frame, "time", "event")
    known = pd.DataFrame(x_test, columns=names).loc[:, varies]
    ratio = np.exp(cox.predict_log_partial_hazard(known).to_numpy())
    steps = cox.baseline_cumulative_hazard_.iloc[:, 0]
    hazard = np.concatenate([[0.0], steps.to_numpy()])
    time, observed, horizon = test.exit[:, 0], test.observed[:, 0], study.evaluation.horizon

    def cumulative(at: np.ndarray | float) -> np.ndarray:
        return np.asarray(hazard[np.searchsorted(steps.index.to_numpy(), at, side="right")] * ratio)

    calibration = calibration_at(horizon, predicted_risk=-np.expm1(-cumulative(horizon)), time=time, observed=observed)
    return Figures(
        c_index=concordance_index(risk=ratio, time=time, observed=observed),
        slope=calibration.slope,
        observed_over_expected=float(observed.sum() / cumulative(time).sum()),
    )


def compared(
    folder: Path, *, tables: Sequence[str], seeds: Sequence[int], tell: Callable[[str], object]
) -> Iterator[tuple[str, str, list[Figures]]]:
    """Table, model, and its figures, one a seed."""
    for name in tables:
        path = imported(name, folder / name)
        for way, settings in WAYS.items():
            found: list[Figures] = []
            for seed in seeds:
                study = read_study(path, overrides=[*settings, "evaluation.baselines=false"], seed=seed)
                found.append(of_run(study, folder / name / f"{seed}, {len(found)}, {way.rpartition(' ')[2]}"))
                tell(f"{name}, {way}, seed {seed}: {found[-1]}")
            yield name, way, found
        yield name, COX, [of_cox(read_study(path, seed=seed)) for seed in seeds]


def _row(name: str, model: str, found: Sequence[Figures]) -> str:
    cells = []
    for field in fields(Figures):
        values = [getattr(each, field.name) for each in found]
        digits = 3 if field.name == "c_index" else 2
        spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.{digits}f}{spread}")
    return f"| {name} | {model} | {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Public tables, by mapping files alone, beside lifelines' Cox.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--tables", default=",".join(TABLES))
    asked = parser.parse_args(arguments)
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    click.echo("| table | model | C-index | slope | observed over expected |\n|---|---|---|---|---|")
    for name, model, found in compared(
        asked.folder, tables=asked.tables.split(","), seeds=seeds, tell=lambda words: click.echo(words, err=True)
    ):
        click.echo(_row(name, model, found))


if __name__ == "__main__":
    main(sys.argv[1:])
