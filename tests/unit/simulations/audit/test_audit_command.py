"""Does `oncofed audit` attack a study, look over a run, say what it found, and end with 1 when a check failed?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from safetensors import safe_open
from safetensors.numpy import save_file

from oncofed.errors import InvalidInput
from oncofed.server.rounds.checkpoint import load_checkpoint, save_checkpoint
from oncofed.simulations.audit.commands import audit
from oncofed.simulations.audit.plots import inversion_picture, roc_picture
from oncofed.simulations.audit.release import CALIBRATION, CHARGES, RELEASED_WEIGHTS, RERUN, audited_run
from oncofed.simulations.audit.verdict import InvertedPatients, Outcome, RocCurve
from oncofed.simulations.run import run_study
from oncofed.simulations.study import read_study

STUDY = """
[study]
name = "small"
[data]
modalities = ["clinical"]
[data.synthetic]
patients = 300
hospitals = 3
seed = 2
[sites]
partition = "column"
[evaluation]
horizon = 24
bootstrap_resamples = 20
baselines = false
[model]
hidden_units = [4]
[training]
rounds = 3
[privacy]
mode = "local"
epsilon = 2
l2_norm_bound = 2
"""
QUICK_ONES = "ledger,fresh noise,noise scale,gradient inversion"


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def finished(study_file: Path) -> Path:
    run = study_file.parent / "run"
    run_study(read_study(study_file), run, report=False)
    return run


def called(*arguments: str | Path) -> Result:
    return CliRunner().invoke(audit, [*map(str, arguments)])


def test_a_sound_study_ends_with_0_and_leaves_json_and_a_page(study_file: Path, tmp_path: Path) -> None:
    done = called(study_file, "--quick", "--checks", QUICK_ONES, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found["passed"]
    assert [verdict["check"] for verdict in found["verdicts"]] == QUICK_ONES.split(",")
    for verdict in found["verdicts"]:
        assert verdict["threshold"]
        assert verdict["power"]["defect"]
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "would notice" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_pictures_load_nothing_and_show_what_they_say() -> None:
    curve = RocCurve("model, private", np.array([0.0, 0.01, 1.0]), np.array([0.0, 0.02, 1.0]))
    strips = np.random.default_rng(0).normal(size=(3, 80))
    drawn = roc_picture([curve], mu=0.27) + inversion_picture(InvertedPatients(strips, strips, -strips))
    assert drawn.count("<svg") == 2
    assert "<image" not in drawn  # the page's policy would not show it
    assert "mathdefault" not in drawn
    assert "0.020 at 0.01" in drawn


def test_a_broken_guard_ends_with_1_and_says_which_check_noticed(study_file: Path, tmp_path: Path) -> None:
    done = called(study_file, "--quick", "--checks", QUICK_ONES, "--mutant", "half noise", "--out", tmp_path)
    assert done.exit_code == 1
    assert "failed: noise scale" in done.output
    assert not json.loads((tmp_path / "audit.json").read_text())["passed"]
    assert "Do not release anything more" in (tmp_path / "audit.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--checks", "nose scale"], "Possible: ledger"), (["--mutant", "none"], "Possible: no noise")],
)
def test_an_unknown_name_is_refused_with_the_known_ones(study_file: Path, arguments: list[str], said: str) -> None:
    done = called(study_file, *arguments)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("override", ["privacy.mode=none", "training.mode=epochs"])
def test_a_study_that_cannot_be_attacked_is_refused(study_file: Path, override: str) -> None:
    refused = called(study_file, "--set", override)
    assert isinstance(refused.exception, InvalidInput)
    assert "--set" in str(refused.exception)


def outcomes(run: Path) -> dict[str, Outcome]:
    return {verdict.check: verdict.outcome for verdict in audited_run(run).verdicts}


def test_a_finished_run_holds_together(finished: Path, tmp_path: Path) -> None:
    assert set(outcomes(finished).values()) == {Outcome.PASSED}
    done = called(finished, "--out", tmp_path)
    assert done.exit_code == 0
    assert "not kept" in " ".join(json.loads((tmp_path / "audit.json").read_text())["unseen"])


def test_options_of_a_study_are_refused_for_a_run(finished: Path) -> None:
    assert called(finished, "--quick").exit_code == 2


def drop_a_charge(run: Path) -> None:
    plan_hash = json.loads((run / "plan_hash.json").read_text())
    checkpoint = load_checkpoint(run, plan_hash=plan_hash)
    extra = checkpoint.extra
    assert isinstance(extra, dict)
    next(iter(extra["ledgers"].values())).pop()
    save_checkpoint(run, state=checkpoint.state, plan_hash=plan_hash, extra=extra)


def change_a_weight(run: Path) -> None:
    rewrite(run, lambda tensors: tensors | {"baseline.correction": np.nextafter(tensors["baseline.correction"], 9.0)})


def remove_the_noise(run: Path) -> None:
    """As if nothing had been added: the same study without noise, under the private run's plan."""
    silent = run.parent / "silent"
    overrides = ("privacy.mode=none", "privacy.clip_without_noise=true")
    run_study(read_study(run.parent / "study.toml", overrides=overrides), silent, report=False)
    with safe_open(silent / "model.safetensors", framework="numpy") as model:
        tensors = {name: model.get_tensor(name) for name in model.keys()}  # noqa: SIM118 - not a dictionary
    rewrite(run, lambda _: tensors)


def state_a_smaller_epsilon(run: Path) -> None:
    privacy = json.loads((run / "privacy.json").read_text())
    privacy["epsilon_by_site"] = {site: epsilon / 2 for site, epsilon in privacy["epsilon_by_site"].items()}
    (run / "privacy.json").write_text(json.dumps(privacy))


def promise_more(run: Path) -> None:
    rewrite(run, lambda tensors: tensors, plan={"epsilon": 1.0})


def rewrite(
    run: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], plan: dict[str, float] | None = None
) -> None:
    path = run / "model.safetensors"
    with safe_open(path, framework="numpy") as model:
        metadata, tensors = model.metadata(), {name: model.get_tensor(name) for name in model.keys()}  # noqa: SIM118
    if plan is not None:
        stated = json.loads(metadata["plan"])
        stated["privacy"] |= plan
        metadata["plan"] = json.dumps(stated)
    save_file(change(tensors), path, metadata=metadata)


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (change_a_weight, RELEASED_WEIGHTS),
        (promise_more, RELEASED_WEIGHTS),
        (promise_more, CALIBRATION),
        (drop_a_charge, CHARGES),
        (state_a_smaller_epsilon, CHARGES),
        (remove_the_noise, RERUN),
    ],
)
def test_a_run_that_was_tampered_with_is_noticed(
    finished: Path, study_file: Path, tmp_path: Path, damage: Callable[[Path], None], check: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.copy(study_file, tmp_path / "study.toml")
    with safe_open(run / "model.safetensors", framework="numpy") as model:
        (run / "plan_hash.json").write_text(json.dumps(model.metadata()["plan_hash"]))
    damage(run)
    assert outcomes(run)[check] is Outcome.FAILED


def test_a_contribution_more_than_charges_is_noticed(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    rounds = pd.read_parquet(run / "rounds.parquet")
    pd.concat([rounds, rounds.tail(1).assign(round=4)]).to_parquet(run / "rounds.parquet")
    assert outcomes(run)[CHARGES] is Outcome.FAILED


def test_a_run_without_privacy_is_looked_over_as_far_as_it_goes(study_file: Path, tmp_path: Path) -> None:
    run_study(read_study(study_file, overrides=("privacy.mode=none",)), tmp_path / "run", report=False)
    found = outcomes(tmp_path / "run")
    assert found.pop(RELEASED_WEIGHTS) is Outcome.PASSED
    assert set(found.values()) == {Outcome.NOT_APPLICABLE}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="finished run"):
        audited_run(tmp_path)
