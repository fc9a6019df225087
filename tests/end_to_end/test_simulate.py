"""Does `oncofed simulate` do what a researcher expects: whole runs, resumed ones, refusals that write nothing?"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from tests.end_to_end.malformed_cases import CASES, PRIVATE, SCHEMA, MalformedCase, csv, table

from oncofed.cli import main
from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.server.rounds.checkpoint import FILE_NAME
from oncofed.simulations.progress import Progress
from oncofed.simulations.run import run_study
from oncofed.simulations.study import Study, read_study

SMALL = """
[study]
name = "small"
[data.synthetic]
patients = 400
hospitals = 3
seed = 2
[sites]
partition = "column"
[evaluation]
horizon = 24
bootstrap_resamples = 20
[model]
hidden_units = [4]
[training]
rounds = 4
[privacy]
mode = "local"
epsilon = 2
l2_norm_bound = 2
"""
WITHOUT_BASELINES = ("evaluation.baselines=false",)
"""They say nothing of the model, and take as long as its rounds."""
WITHOUT_PRIVACY = ("privacy.mode=none", *WITHOUT_BASELINES)


def small_study(folder: Path, *overrides: str, seed: int | None = None) -> Study:
    path = folder / "study.toml"
    path.write_text(SMALL)
    return read_study(path, overrides=overrides, seed=seed)


class Ended(NamedTuple):
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process: starting Python forty times would take minutes."""

    def call(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["oncofed", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as done:
            code = int(str(done.code))
        printed = capfd.readouterr()
        return Ended(code, printed.out, printed.err)

    return call


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_file(run / "model.safetensors")


@pytest.fixture(scope="module")
def private_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("private")
    run_study(small_study(folder, seed=5), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    run_study(small_study(folder, *WITHOUT_PRIVACY, seed=5), folder / "run")
    return folder / "run"


def test_a_run_leaves_a_model_its_figures_and_a_report(private_run: Path) -> None:
    run = private_run
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("c_index", "c_index_ci95", "c_index_within_type"):
        assert metrics["test"][name] is not None, name
    for name in ("uno_c_index", "integrated_brier"):  # the invented patients enter late, and neither is defined there
        assert metrics["test"][name] is None, name
    assert {"pooled_ridge_cox", "local_only_mean", "local_only"} <= set(metrics["baselines"])
    assert len(metrics["baselines"]["local_only"]) == metrics["sites"] == 3
    assert metrics["rounds"] == 4
    assert set(metrics["seconds"]) == {"total", "per_round"}
    assert metrics["privacy"]["mode"] == "local"
    assert metrics["privacy"]["relation"] == "add_or_remove_one_patient"
    rounds = pd.read_parquet(run / "rounds.parquet")
    assert list(rounds["round"]) == [1, 2, 3, 4]
    assert "<html" in (run / "report.html").read_text()
    explained = [pd.read_parquet(path) for path in sorted(run.glob("sites/*/explanations.parquet"))]
    assert len(explained) == 3
    for site in explained:
        parts = site.drop(columns=["patient_id", "log_hazard_ratio"]).sum(axis=1)
        np.testing.assert_allclose(parts, site["log_hazard_ratio"], atol=1e-7)


def test_the_epsilon_reported_is_that_of_an_independent_count_of_the_releases(private_run: Path) -> None:
    privacy = json.loads((private_run / "privacy.json").read_text())
    expected = epsilon_of([GaussianRelease(privacy["noise_multiplier"])] * 4, delta=privacy["delta"])
    assert privacy["epsilon"] == pytest.approx(expected, rel=1e-4)  # sums are rounded to steps of 2**-20
    assert 1.95 < privacy["epsilon"] <= 2.0
    assert set(privacy["epsilon_by_site"].values()) == {privacy["epsilon"]}
    assert privacy["epsilon_of_a_patient_in_two_hospitals"] > privacy["epsilon"]


def test_privacy_noise_does_not_follow_from_the_seed(private_run: Path, tmp_path: Path) -> None:
    run_study(small_study(tmp_path, *WITHOUT_BASELINES, seed=5), tmp_path / "second")
    first, second = weights(private_run), weights(tmp_path / "second")
    assert all(not np.array_equal(first[name], second[name]) for name in first)


def test_without_privacy_a_run_can_be_repeated_exactly_and_another_seed_differs(
    plain_run: Path, tmp_path: Path
) -> None:
    for name, seed in (("second", 5), ("third", 6)):
        run_study(small_study(tmp_path, *WITHOUT_PRIVACY, seed=seed), tmp_path / name)
    first, second, third = (weights(run) for run in (plain_run, tmp_path / "second", tmp_path / "third"))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], third[name]) for name in first)


class Stopped(Exception):
    """A test's own interruption."""


def stop_after(rounds: int) -> Progress:
    def progress(stage: str, done: int, total: int) -> None:
        if stage == "rounds" and done == rounds + 1:
            raise Stopped

    return progress


@pytest.mark.parametrize("finished", [1, 3])
def test_an_interrupted_run_goes_on_to_the_same_model(plain_run: Path, tmp_path: Path, finished: int) -> None:
    study = small_study(tmp_path, *WITHOUT_PRIVACY, seed=5)
    with pytest.raises(Stopped):
        run_study(study, tmp_path / "torn", progress=stop_after(finished))
    run_study(study, tmp_path / "torn", resume=True)
    whole, torn = weights(plain_run), weights(tmp_path / "torn")
    assert all(np.array_equal(whole[name], torn[name]) for name in whole)
    assert list(pd.read_parquet(tmp_path / "torn" / "rounds.parquet")["round"]) == [1, 2, 3, 4]


def test_a_resumed_run_charges_each_round_once(tmp_path: Path) -> None:
    study = small_study(tmp_path, *WITHOUT_BASELINES)
    with pytest.raises(Stopped):
        run_study(study, tmp_path / "run", progress=stop_after(2))
    result = run_study(study, tmp_path / "run", resume=True)
    expected = epsilon_of([GaussianRelease(result.plan.privacy.noise_multiplier)] * 4, delta=1e-6)
    (epsilon,) = set(result.epsilons.values())
    assert epsilon == pytest.approx(expected, rel=1e-4)


MANY_ROUNDS = 60
"""So many that a run is killed in one of them: they take seconds."""


def test_killed_in_a_round_a_run_goes_on_where_it_was(tmp_path: Path, command: Command) -> None:
    study, run = tmp_path / "study.toml", tmp_path / "run"
    study.write_text(SMALL.replace("rounds = 4", f"rounds = {MANY_ROUNDS}"))
    options = ("--out", str(run), "--quiet", "--set", *WITHOUT_BASELINES)
    call = [sys.executable, "-m", "oncofed.cli", "simulate", str(study), *options]
    process = subprocess.Popen(call)
    deadline = time.monotonic() + 120
    while not (run / FILE_NAME).exists():
        assert time.monotonic() < deadline, "no round was finished"
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run / "model.safetensors").exists()
    done = command("simulate", study, *options, "--resume")
    assert done.code == 0, done.err
    assert list(pd.read_parquet(run / "rounds.parquet")["round"]) == list(range(1, MANY_ROUNDS + 1))
    privacy = json.loads((run / "privacy.json").read_text())
    assert privacy["epsilon"] <= 2.0


def test_a_folder_that_is_not_empty_or_of_another_study_is_refused(tmp_path: Path, command: Command) -> None:
    study, run = tmp_path / "study.toml", tmp_path / "run"
    study.write_text(SMALL)
    run.mkdir()
    (run / "mine.txt").write_text("keep")
    refused = command("simulate", study, "--out", run)
    assert refused.code == 2
    assert "is not empty" in refused.err
    assert "--resume" in refused.err
    refused = command("simulate", study, "--out", run, "--resume")
    assert refused.code == 2
    assert "no finished round" in refused.err
    assert [path.name for path in run.iterdir()] == ["mine.txt"]


def test_resuming_with_other_settings_is_refused(tmp_path: Path, command: Command) -> None:
    with pytest.raises(Stopped):
        run_study(small_study(tmp_path), tmp_path / "run", progress=stop_after(1))
    refused = command("simulate", tmp_path / "study.toml", "--out", tmp_path / "run", "--resume", "--seed", "8")
    assert refused.code == 2
    assert "other settings" in refused.err


STUDY_OF_A_TABLE = """
[study]
name = "lung"
[data]
table = "{table}"
schema = "{schema}"
[sites]
partition = "column"
[evaluation]
horizon = 24
[training]
rounds = 2
[privacy]
mode = "none"
"""


def study_of(case: MalformedCase, folder: Path) -> Path:
    schema_path, table_path = case.write(folder)
    path = folder / "study.toml"
    path.write_text(STUDY_OF_A_TABLE.format(table=table_path.name, schema=schema_path.name))
    return path


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_input_ends_with_code_2_and_writes_nothing(
    case: MalformedCase, tmp_path: Path, command: Command
) -> None:
    refused = command("simulate", study_of(case, tmp_path), "--out", tmp_path / "run")
    assert refused.code == 2, refused.err
    for fragment in case.fragments:
        assert fragment in refused.err
    assert not [secret for secret in PRIVATE if secret in refused.out + refused.err]
    assert "Traceback" not in refused.err
    assert not (tmp_path / "run").exists()


MALFORMED_STUDIES = {
    "not TOML": ("[study\n", ("not valid TOML",)),
    "misspelt section": (SMALL.replace("[privacy]", "[privaci]"), ("privaci",)),
    "misspelt key": (SMALL.replace("rounds", "round"), ('"rounds"',)),
    "no epsilon": (SMALL.replace("epsilon = 2\n", ""), ("epsilon: is missing",)),
    "two wrong at once": (
        SMALL.replace("epsilon = 2", "epsilon = -1").replace("400", '"all"'),
        ("epsilon", "patients"),
    ),
    "unknown site to explain": (SMALL.replace("[study]", '[study]\nexplain_site = "nowhere"'), ("explain_site",)),
    "strategy of the other mode": (
        SMALL.partition("[privacy]")[0].replace(
            "rounds = 4", 'rounds = 4\nstrategy = "krum"\nmode = "epochs"\nmalicious_sites = 9'
        )
        + '[privacy]\nmode = "none"\n',
        ("malicious_sites",),
    ),
}


@pytest.mark.parametrize("name", MALFORMED_STUDIES)
def test_a_malformed_study_ends_with_code_2_and_writes_nothing(name: str, tmp_path: Path, command: Command) -> None:
    text, fragments = MALFORMED_STUDIES[name]
    (tmp_path / "study.toml").write_text(text)
    refused = command("simulate", tmp_path / "study.toml", "--out", tmp_path / "run")
    assert refused.code == 2, refused.err
    for fragment in fragments:
        assert fragment in refused.err
    assert "Traceback" not in refused.err
    assert not (tmp_path / "run").exists()


def test_the_unbroken_table_trains(tmp_path: Path, command: Command) -> None:
    case = MalformedCase("nothing is wrong", (), schema=SCHEMA, table=lambda: csv(table()))
    done = command(
        "simulate", study_of(case, tmp_path), "--out", tmp_path / "run", "--set", "evaluation.test_fraction=0.4"
    )
    assert done.code == 0, done.err
    assert "report.html" in done.out


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")
def test_the_ray_engine_trains_the_same_model_and_charges_the_same(tmp_path: Path) -> None:
    """In processes of their own: Ray leaves handles open that Python, with warnings as errors, complains about."""
    study = tmp_path / "study.toml"
    study.write_text(SMALL)
    call = [
        sys.executable,
        "-m",
        "oncofed.cli",
        "simulate",
        str(study),
        "--quiet",
        "--set",
        "evaluation.baselines=false",
    ]
    for name, more in (("grid", []), ("ray", ["--engine", "ray"]), ("private", ["--engine", "ray"])):
        mode = [] if name == "private" else ["--set", "privacy.mode=none"]
        done = subprocess.run(
            [*call, "--out", str(tmp_path / name), *mode, *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
    grid, ray, private = (weights(tmp_path / name) for name in ("grid", "ray", "private"))
    for name in grid:
        np.testing.assert_allclose(ray[name], grid[name], rtol=0, atol=1e-6)
        assert np.abs(private[name] - grid[name]).max() > 1e-3, "noise must be seen"
    privacy = json.loads((tmp_path / "private" / "privacy.json").read_text())
    expected = epsilon_of([GaussianRelease(privacy["noise_multiplier"])] * 4, delta=privacy["delta"])
    assert list(privacy["epsilon_by_site"].values()) == pytest.approx([expected] * 3, rel=1e-4)
    assert len(list((tmp_path / "private" / "sites").glob("*/ledger.jsonl"))) == 3
