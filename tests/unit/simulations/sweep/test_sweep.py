"""Does a sweep run what is missing and nothing else, survive a run that fails, and say truly what came out?"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from tests.unit.simulations.sweep.sweep_study import write_study

from oncofed.errors import InvalidInput
from oncofed.file_model import pydantic_of
from oncofed.ranges import RANGES, Range
from oncofed.simulations.run import run_study
from oncofed.simulations.study import read_study
from oncofed.simulations.sweep import sweep as module
from oncofed.simulations.sweep.commands import sweep
from oncofed.simulations.sweep.grid import SweepOptions, sweep_runs
from oncofed.simulations.sweep.separate_processes import Outcome
from oncofed.simulations.sweep.sweep import Swept, run_sweep

FAILS = "training.server_learning_rate=0.02,1e308"
"""The second makes the weights overflow in the second round."""


@pytest.fixture(autouse=True)
def any_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting inside its range makes a run fail, and some run here must."""
    monkeypatch.setitem(RANGES, "TrainingSpec.server_learning_rate", Range(1e-8, 1e308, 1e-4, 1))
    monkeypatch.setattr("oncofed.file_reading.pydantic_of", pydantic_of.__wrapped__)  # no model of before


@dataclass
class InThisProcess:
    """Stands in for the processes. begun: names of the calls made. dies: the one whose process is said to end."""

    begun: list[str] = field(default_factory=list)
    dies: str | None = None

    def __call__(
        self,
        calls: Mapping[str, Callable[[], str | None]],
        *,
        processes: int,
        on_outcome: Callable[[str, Outcome[str | None]], None],
    ) -> None:
        for name, call in calls.items():
            self.begun.append(name)
            on_outcome(name, Outcome(None, "its process ended") if name == self.dies else Outcome(call()))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> InThisProcess:
    stand_in = InThisProcess()
    monkeypatch.setattr(module, "run_in_processes", stand_in)
    return stand_in


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def swept(study_file: Path, options: SweepOptions, *, reports: bool = False) -> Swept:
    folder = study_file.parent / "out"
    return run_sweep(sweep_runs(study_file, options), folder, jobs=1, reports=reports, progress=lambda *_: None)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # the run that is meant to fail
def test_the_tables_say_what_the_runs_found(study_file: Path, processes: InThisProcess) -> None:
    options = SweepOptions(seeds="1,2", privacy="none,3", vary=(FAILS,))
    found = swept(study_file, options)
    out = study_file.parent / "out"
    table = pd.read_parquet(out / "table.parquet")
    assert len(table) == 8
    failed = table["training.server_learning_rate"] == "1e308"
    assert table["c_index"].isna().tolist() == failed.tolist()
    assert (table["error"] != "").tolist() == failed.tolist()
    assert set(found.failures) == set(table["run"][failed])

    for row in table[~failed].to_dict("records"):
        metrics = json.loads((out / "runs" / row["run"] / "metrics.json").read_text())
        test = metrics["test"]
        assert (row["seed"], row["sites"], row["rounds"]) == (metrics["seed"], 3, 2)
        assert (row["c_index"], row["c_index_low"], row["c_index_high"]) == (test["c_index"], *test["c_index_ci95"])
        assert (row["uno_c_index"], row["integrated_brier"]) == (test["uno_c_index"], test["integrated_brier"])
        assert row["c_index_within_type"] == test["c_index_within_type"]
        assert row["seconds"] == metrics["seconds"]["total"]
    private = table[~failed & (table["privacy"] == "3")]
    assert private["epsilon"].between(2.9, 3.0).all()
    assert table[~failed & (table["privacy"] == "none")]["epsilon"].isna().all()

    summary = pd.read_csv(out / "summary.csv", dtype={"training.server_learning_rate": str})
    assert summary[["runs", "failed"]].to_numpy().tolist() == [[2, 0], [0, 2], [2, 0], [0, 2]]
    of_privacy = summary[summary["runs"] == 2].set_index("privacy").loc["3"]
    assert of_privacy["c_index_mean"] == pytest.approx(statistics.mean(private["c_index"]))
    assert of_privacy["c_index_sd"] == pytest.approx(statistics.stdev(private["c_index"]))
    assert f"{of_privacy['c_index_mean']:.3f} ± {of_privacy['c_index_sd']:.3f}" in (out / "summary.md").read_text()
    assert pd.read_csv(out / "table.csv")["c_index"].to_numpy() == pytest.approx(table["c_index"], nan_ok=True)
    assert "no privacy" in (out / "plot.svg").read_text()


def test_hospitals_left_out_by_its_runs_are_told_together(study_file: Path, processes: InThisProcess) -> None:
    leaves = ("evaluation.baselines=false", "evaluation.split=hospitals", "evaluation.folds=3")
    options = SweepOptions(seeds="1,2", vary=("evaluation.fold=0,1,2", "training.rounds=1,2"), overrides=leaves)
    swept(study_file, options)
    out = study_file.parent / "out"
    hospitals = pd.read_csv(out / "left_out.csv")
    assert hospitals.groupby(["setting", "seed"])["hospital"].agg(sorted).tolist() == [["H1", "H2", "H3"]] * 4
    assert (hospitals.groupby(["setting", "seed"])["patients"].sum() == 240).all()
    for row in hospitals.to_dict("records"):
        metrics = json.loads((out / "runs" / row["run"] / "metrics.json").read_text())
        (told,) = metrics["left_out_hospitals"]["overall_survival"]["by_hospital"].values()
        assert (row["patients"], row["events"]) == (told["patients"], told["events"])
        assert row["c_index"] == pytest.approx(told["c_index"][0])
        assert metrics["sites"] == 2
    summary = pd.read_csv(out / "left_out_summary.csv")
    assert summary["setting"].unique().tolist() == [
        "fedadam, no privacy, training.rounds = 1",
        "fedadam, no privacy, training.rounds = 2",
    ]
    assert summary[["runs", "folds", "c_index_hospitals"]].to_numpy().tolist() == [[3, 3, 3]] * 4
    assert (summary["c_index_next_low"] < summary["c_index_mean"]).all()
    assert "One more hospital" in (out / "left_out.html").read_text()


def test_a_sweep_that_leaves_no_hospital_out_tells_of_none(study_file: Path, processes: InThisProcess) -> None:
    swept(study_file, SweepOptions(overrides=("evaluation.baselines=false",)))
    assert not list((study_file.parent / "out").glob("left_out*"))


def test_baselines_are_computed_once_a_seed_and_filled_in(study_file: Path, processes: InThisProcess) -> None:
    table = swept(study_file, SweepOptions(seeds="1,2", vary=("training.rounds=1,2",))).table
    assert [name.partition(" (")[0] for name in processes.begun if "baselines" in name] == [
        "baselines of seed 1",
        "baselines of seed 2",
    ]
    # What a run would have computed itself.
    alone = read_study(study_file, overrides=["training.rounds=1"], seed=2)
    result = run_study(alone, study_file.parent / "alone", report=False)
    assert result.baselines is not None
    rows = table[table["seed"] == 2]
    assert len(rows) == 2
    assert (rows["pooled_ridge_cox"] == result.baselines.pooled_ridge_cox).all()
    assert (rows["local_only_mean"] == result.baselines.local_only_mean).all()
    assert (table[table["seed"] == 1]["pooled_ridge_cox"] != result.baselines.pooled_ridge_cox).all()


def test_a_study_without_baselines_gets_none(study_file: Path, processes: InThisProcess) -> None:
    table = swept(study_file, SweepOptions(overrides=("evaluation.baselines=false",))).table
    assert processes.begun == list(table["run"])
    assert table["pooled_ridge_cox"].isna().all()


def test_finished_runs_are_skipped_and_others_added(study_file: Path, processes: InThisProcess) -> None:
    overrides = ("evaluation.baselines=false",)
    first = swept(study_file, SweepOptions(seeds="1", overrides=overrides)).table
    processes.begun.clear()
    second = swept(study_file, SweepOptions(seeds="1,2", overrides=overrides)).table
    assert processes.begun == ["fedadam_none_seed2"]
    pd.testing.assert_frame_equal(second[second["seed"] == 1], first)
    processes.begun.clear()
    with_reports = swept(study_file, SweepOptions(seeds="1", overrides=overrides), reports=True).table
    assert processes.begun == ["fedadam_none_seed1"]
    assert with_reports["c_index"].tolist() == first["c_index"].tolist()
    run = study_file.parent / "out" / "runs" / "fedadam_none_seed1"
    assert (run / "report.html").exists()
    assert not (run.parent / "fedadam_none_seed2" / "report.html").exists()


@pytest.mark.parametrize("left", ["checkpoint", "damaged checkpoint", "nothing"])
def test_an_interrupted_run_goes_on_or_starts_anew(study_file: Path, processes: InThisProcess, left: str) -> None:
    options = SweepOptions(overrides=("evaluation.baselines=false",))
    whole = swept(study_file, options).table
    run = study_file.parent / "out" / "runs" / "fedadam_none_seed1"
    (run / "metrics.json").unlink()
    (run / "was here").touch()
    if left == "damaged checkpoint":
        (run / "round.checkpoint").write_bytes((run / "round.checkpoint").read_bytes()[:-1])
    elif left == "nothing":
        (run / "round.checkpoint").unlink()
    again = swept(study_file, options).table
    # Starting anew clears the folder, going on does not.
    assert (run / "was here").exists() == (left == "checkpoint")
    assert again["c_index"].tolist() == whole["c_index"].tolist()
    assert again["error"].tolist() == [""]


def test_a_process_that_dies_is_a_row_with_an_error_and_is_tried_again(
    study_file: Path, processes: InThisProcess
) -> None:
    options = SweepOptions(seeds="1,2", overrides=("evaluation.baselines=false",))
    processes.dies = "fedadam_none_seed1"
    table = swept(study_file, options).table
    assert table["error"].tolist() == ["its process ended", ""]
    assert table["c_index"].notna().tolist() == [False, True]
    processes.dies = None
    processes.begun.clear()
    assert swept(study_file, options).table["error"].tolist() == ["", ""]
    assert processes.begun == ["fedadam_none_seed1"]


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # the run that is meant to fail
def test_what_failed_is_told_without_a_traceback_and_kept_beside_the_run(
    study_file: Path, processes: InThisProcess
) -> None:
    options = SweepOptions(overrides=("evaluation.baselines=false", "training.server_learning_rate=1e308"))
    table = swept(study_file, options).table
    (reason,) = table["error"]
    assert "\n" not in reason
    kept = study_file.parent / "out" / "runs" / "fedadam_none_seed1" / "error.txt"
    assert "Traceback" in kept.read_text()


def test_a_folder_of_something_else_is_left_alone(study_file: Path, processes: InThisProcess) -> None:
    out = study_file.parent / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidInput, match="holds no sweep"):
        swept(study_file, SweepOptions())
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_run_with_other_settings_is_not_overwritten(study_file: Path, processes: InThisProcess) -> None:
    overrides = ("evaluation.baselines=false",)
    swept(study_file, SweepOptions(seeds="1", overrides=overrides))
    processes.begun.clear()
    with pytest.raises(InvalidInput, match="was begun with other settings"):
        swept(study_file, SweepOptions(seeds="1,2", overrides=(*overrides, "training.rounds=3")))
    assert processes.begun == []
    strange = study_file.parent / "out" / "runs" / "fedadam_none_seed3"
    strange.mkdir()
    with pytest.raises(InvalidInput, match="is not this sweep's"):
        swept(study_file, SweepOptions(seeds="3", overrides=overrides))
    assert strange.exists()


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # the run that is meant to fail
def test_the_command_prints_the_summary_and_its_exit_code_tells_of_failures(
    study_file: Path, processes: InThisProcess
) -> None:
    out = str(study_file.parent / "out")
    arguments = [str(study_file), "--out", out, "--seeds", "1,2", "--set", "evaluation.baselines=false"]
    good = CliRunner().invoke(sweep, arguments, catch_exceptions=False)
    assert good.exit_code == 0
    assert "±" in good.stdout
    assert "runs" not in good.stdout.partition("strategy")[0]
    bad = CliRunner().invoke(sweep, [*arguments, "--vary", FAILS], catch_exceptions=False)
    assert bad.exit_code == 1
    assert "2 failed" in bad.stderr


def test_the_command_refuses_before_it_writes(study_file: Path) -> None:
    out = study_file.parent / "out"
    refused = CliRunner().invoke(sweep, [str(study_file), "--out", str(out), "--seeds", "x", "--privacy", "y"])
    assert isinstance(refused.exception, InvalidInput)
    assert len(refused.exception.faults) == 2
    assert not out.exists()


def test_in_processes_of_its_own(study_file: Path) -> None:
    table = swept(study_file, SweepOptions(overrides=("evaluation.baselines=false",))).table
    assert table["error"].tolist() == [""]
    assert 0 < table["c_index"].item() < 1
