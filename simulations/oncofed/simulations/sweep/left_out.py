"""Where the runs of a sweep each leave other hospitals out, what do all these hospitals say together?

Internal-external cross-validation: every hospital is measured on by a model that has not seen it, and stands for the
next one. Runs that differ in `evaluation.fold` alone belong together, each seed by itself: with another seed the same
hospitals come again.

left_out.csv          one row a hospital and run
left_out_summary.csv  one row a setting and seed: means, intervals, one more hospital; and of how many hospitals the
                      prediction from all others held what was then estimated there, which should be 95 in 100
left_out.html         the same with pictures, of the first seed

Written only where a run leaves hospitals out. Of the first endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from oncofed.server.report.between_hospitals import between_hospitals, who_counts
from oncofed.server.report.html_page import rendered, write_page
from oncofed.simulations.figures_file import left_out_of
from oncofed.simulations.left_out import across_left_out
from oncofed.simulations.results import LeftOut, LeftOutHospital
from oncofed.simulations.study import Split
from oncofed.simulations.sweep.grid import SweepRun
from oncofed.survival.across_hospitals import AcrossHospitals
from oncofed.texts import spreadsheet_table

_FOLD = "evaluation.fold"
FIGURES = ("observed_to_expected", "calibration_slope", "c_index")


@dataclass(frozen=True)
class Together:
    """setting  in words. hospitals: of each run that there is, by the run's name."""

    setting: str
    seed: int
    folds: int
    hospitals: Mapping[str, tuple[LeftOutHospital, ...]]

    @property
    def found(self) -> LeftOut:
        hospitals = [each for several in self.hospitals.values() for each in several]
        return across_left_out(sorted(hospitals, key=lambda each: each.name))

    @property
    def figures(self) -> tuple[AcrossHospitals, ...]:
        """In the order of FIGURES."""
        found = self.found
        return found.ratio, found.slope, found.c_index


def together(runs: Sequence[SweepRun], metrics: Mapping[str, Mapping[str, Any] | None]) -> tuple[Together, ...]:
    """Settings in the grid's order, seeds within. metrics: by run's name, None where there is none."""
    groups: dict[tuple[str, int, int], dict[str, tuple[LeftOutHospital, ...]]] = {}
    for run in runs:
        found, evaluation = metrics[run.name], run.study.evaluation
        told = {} if found is None else found.get("left_out_hospitals") or {}
        if evaluation.split is not Split.HOSPITALS or not told:
            continue
        hospitals = tuple(left_out_of(next(iter(told.values()))))
        groups.setdefault((_setting(run), run.study.seed, evaluation.folds), {})[run.name] = hospitals
    return tuple(Together(*key, hospitals) for key, hospitals in groups.items())


def _setting(run: SweepRun) -> str:
    varied = [f"{key} = {value}" for key, value in run.varied if key != _FOLD]
    privacy = "no privacy" if run.privacy == "none" else f"epsilon {run.privacy}"
    return ", ".join([run.study.training.strategy.value, privacy, *varied])


def write_left_out(several: Sequence[Together], folder: Path, *, title: str) -> None:
    """The three files, where there is something to write."""
    if not several:
        return
    spreadsheet_table(hospitals_table(several)).to_csv(folder / "left_out.csv", index=False)
    summary = summary_table(several)
    spreadsheet_table(summary).to_csv(folder / "left_out_summary.csv", index=False)
    first = {each.setting: each for each in reversed(several)}
    content = {
        "title": title,
        "summary": summary.to_dict("records"),
        "figures": FIGURES,
        "settings": [
            (
                each.setting,
                each.seed,
                between_hospitals(ratio=each.found.ratio, slope=each.found.slope, c_index=each.found.c_index),
            )
            for each in reversed(first.values())
        ],
        "who_counts": who_counts(),
    }
    write_page(rendered("oncofed.simulations.sweep", content), folder / "left_out.html")


def hospitals_table(several: Sequence[Together]) -> pd.DataFrame:
    """One row a hospital and run."""
    return pd.DataFrame(
        [
            {
                "setting": each.setting,
                "seed": each.seed,
                "run": run,
                "hospital": one.name,
                "patients": one.patients,
                "events": one.events,
                "expected": one.expected,
                "observed_to_expected": one.events / one.expected if one.expected > 0 else float("nan"),
                "observed_to_expected_low": one.ratio_limits[0],
                "observed_to_expected_high": one.ratio_limits[1],
            }
            | _three("calibration_slope", one.slope)
            | _three("c_index", one.c_index)
            for each in several
            for run, hospitals in each.hospitals.items()
            for one in hospitals
        ]
    )


def _three(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def summary_table(several: Sequence[Together]) -> pd.DataFrame:
    """One row a setting and seed."""
    return pd.DataFrame(
        [
            {"setting": each.setting, "seed": each.seed, "runs": len(each.hospitals), "folds": each.folds}
            | {
                f"{name}_{column}": value
                for name, figure in zip(FIGURES, each.figures, strict=True)
                for column, value in _summary(figure).items()
            }
            for each in several
        ]
    )


def _summary(figure: AcrossHospitals) -> dict[str, float]:
    foretold = figure.foretold()
    return {
        "hospitals": figure.counted,
        "mean": figure.mean,
        "low": figure.interval[0],
        "high": figure.interval[1],
        "next_low": figure.prediction[0],
        "next_high": figure.prediction[1],
        "foretold": sum(foretold),
        "of": len(foretold),
    }
