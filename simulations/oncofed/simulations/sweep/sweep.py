"""How is a grid of runs worked off, and what does it leave behind?

FOLDER/                     what it is
  sweep.json                the settings of every run that was ever begun here, with their hash
  runs/NAME/                a run's folder (`oncofed.simulations.run`); error.txt where it failed
  baselines/KEY.json        pooled ridge Cox and each site alone, once for each table, split and seed
  table.parquet, table.csv  one row a run of the present grid
  summary.csv, summary.md   mean and standard deviation over seeds
  plot.svg                  C-index by strategy and privacy
  epsilon.svg               C-index against epsilon, when the grid has several
  left_out.*                hospitals that did not train, where runs leave some out (`sweep.left_out`)

Promises: what is finished is not run again; a run that was interrupted goes on after its last finished round, or starts
anew where it has none; a run that fails, even by ending its process, costs only itself, and is tried again next time.
Refuses, before anything is written, a folder that holds something else, or a run of the same name and other settings.
"""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from oncofed.errors import CheckpointDamaged, Fault, InvalidInput, OncofedError
from oncofed.server.rounds.checkpoint import has_checkpoint
from oncofed.simulations.evaluation import baselines
from oncofed.simulations.figures_file import write_json
from oncofed.simulations.partition import consortium, pooled
from oncofed.simulations.run import run_study
from oncofed.simulations.study import Study
from oncofed.simulations.study_table import table_of
from oncofed.simulations.sweep.epsilon_plot import draw_epsilon, has_several_epsilons
from oncofed.simulations.sweep.grid import SweepRun
from oncofed.simulations.sweep.left_out import together, write_left_out
from oncofed.simulations.sweep.plot import draw_sweep
from oncofed.simulations.sweep.separate_processes import Outcome, run_in_processes
from oncofed.simulations.sweep.table import summary_markdown, summary_of, table_of_runs
from oncofed.texts import spreadsheet_table

SweepProgress = Callable[[str, int, int, str | None], None]
"""Told the name of what has just ended, how much has, how much there is, and why it failed if it did."""


@dataclass(frozen=True, eq=False)
class Swept:
    """table, summary: as written. failures: by name of run or baseline, in words."""

    table: pd.DataFrame
    summary: pd.DataFrame
    failures: Mapping[str, str]


def run_sweep(
    runs: Sequence[SweepRun], folder: Path, *, jobs: int, reports: bool = False, progress: SweepProgress
) -> Swept:
    """Work off a grid. jobs: processes at a time. reports: also write each run's report.html and explanations."""
    _refuse_unfit(folder, runs)
    folder.mkdir(parents=True, exist_ok=True)
    began = _begun(folder) | {run.name: {"hash": run.study.hash, "settings": asdict(run.study)} for run in runs}
    write_json(folder / "sweep.json", {"runs": began})
    calls = _unfinished(runs, folder, reports=reports)
    failures: dict[str, str] = {}
    ended = 0

    def note(name: str, outcome: Outcome[str | None]) -> None:
        nonlocal ended
        ended += 1
        # A worker reports what it could catch as its value, and a process that died as the outcome's failure.
        reason = outcome.value or outcome.failure
        if reason is not None:
            failures[name] = reason
        progress(name, ended, len(calls), reason)

    progress("", 0, len(calls), None)
    run_in_processes(calls, processes=jobs, on_outcome=note)
    metrics = {run.name: _json_of(_run_folder(folder, run.name) / "metrics.json") for run in runs}
    table = table_of_runs(
        runs,
        metrics=metrics,
        baselines={run.comparison: _json_of(_baseline_file(folder, run)) for run in runs},
        errors=failures,
    )
    summary = summary_of(table)
    table.to_parquet(folder / "table.parquet", index=False)
    spreadsheet_table(table).to_csv(folder / "table.csv", index=False)
    spreadsheet_table(summary).to_csv(folder / "summary.csv", index=False)
    (folder / "summary.md").write_text(summary_markdown(summary))
    title = runs[0].study.title or runs[0].study.name
    draw_sweep(table, svg=folder / "plot.svg", title=title)
    if has_several_epsilons(table):
        draw_epsilon(table, svg=folder / "epsilon.svg", title=title)
    write_left_out(together(runs, metrics), folder, title=title)
    return Swept(table, summary, failures)


def _refuse_unfit(folder: Path, runs: Sequence[SweepRun]) -> None:
    if not folder.exists():
        return
    if any(folder.iterdir()) and not (folder / "sweep.json").is_file():
        raise InvalidInput([Fault(str(folder), "is not empty, and holds no sweep", "Choose another folder.")])
    began = _begun(folder)
    other = [run.name for run in runs if run.name in began and began[run.name]["hash"] != run.study.hash]
    faults = [
        Fault(f"{folder}/runs/{name}", "was begun with other settings", "Choose another folder for this grid.")
        for name in other
    ]
    strange = [run.name for run in runs if run.name not in began and _run_folder(folder, run.name).exists()]
    faults += [Fault(f"{folder}/runs/{name}", "is not this sweep's", "Move it away.") for name in strange]
    if faults:
        raise InvalidInput(faults)


def _begun(folder: Path) -> dict[str, Any]:
    content = _json_of(folder / "sweep.json")
    return {} if content is None else dict(content["runs"])


def _json_of(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    assert isinstance(content, dict)
    return content


def _run_folder(folder: Path, name: str) -> Path:
    return folder / "runs" / name


def _baseline_file(folder: Path, run: SweepRun) -> Path:
    return folder / "baselines" / f"{run.comparison}.json"


def _unfinished(runs: Sequence[SweepRun], folder: Path, *, reports: bool) -> dict[str, Callable[[], str | None]]:
    """By name, longest first where that is known: baselines take minutes, and would be the last alone otherwise."""
    calls: dict[str, Callable[[], str | None]] = {}
    for run in runs:
        file = _baseline_file(folder, run)
        name = f"baselines of seed {run.study.seed} ({run.comparison})"
        if run.wants_baselines and not file.exists():
            calls[name] = partial(_compute_baselines, run.study, file)
    for run in runs:
        wanted = _run_folder(folder, run.name) / ("report.html" if reports else "metrics.json")
        if not wanted.exists():
            calls[run.name] = partial(_compute_run, run.study, wanted.parent, report=reports)
    return calls


def _compute_run(study: Study, run_folder: Path, *, report: bool) -> str | None:
    """In a worker. Returns None, or why there is no result."""
    try:
        try:
            resume = has_checkpoint(run_folder)
            if not resume:
                _remove(run_folder)
            run_study(study, run_folder, resume=resume, report=report)
        except CheckpointDamaged:
            _remove(run_folder)
            run_study(study, run_folder, report=report)
    except Exception as error:  # whatever it is, the other runs go on
        return _written(error, run_folder)
    (run_folder / "error.txt").unlink(missing_ok=True)
    return None


def _compute_baselines(study: Study, file: Path) -> str | None:
    """In a worker. Returns None, or why there is no result."""
    try:
        table, schema, where = table_of(study)
        cut = consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed)
        found = baselines(cut.hospitals, train=pooled(cut.hospitals), test=cut.test)
        file.parent.mkdir(parents=True, exist_ok=True)
        figures = {
            "pooled_ridge_cox": found.pooled_ridge_cox,
            "pooled_ridge_cox_within_type": found.pooled_ridge_cox_within_type,
            "local_only_mean": found.local_only_mean,
            "local_only": dict(zip(cut.hospitals, found.local_only, strict=True)),
        }
        write_json(file, figures)
    except Exception as error:  # whatever it is, the runs go on
        return _written(error, file.parent / file.stem)
    return None


def _remove(run_folder: Path) -> None:
    """Only ever a folder that `sweep.json` names; see `_refuse_unfit`."""
    if run_folder.exists():
        shutil.rmtree(run_folder)


def _written(error: Exception, folder: Path) -> str:
    """The failure in full goes to a file; the table, which may travel, gets words without any value of a patient."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "error.txt").write_text("".join(traceback.format_exception(error)))
    if isinstance(error, OncofedError):
        return " ".join(str(error).split())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}; see error.txt"
