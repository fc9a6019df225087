"""Does a simulation release its key markers through every hospital's guard, in each privacy mode, and show them?"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.end_to_end.test_measured_simulation import MODES
from tests.end_to_end.test_simulate import small_study

from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.simulations.progress import Progress
from oncofed.simulations.run import run_study

EXPLAINED = (
    "explanations.budget_share=0.3",
    "explanations.pairs=true",
    "explanations.smallest_shown=100",
    "evaluation.baselines=false",
)


def told_to(stages: list[tuple[str, int, int]]) -> Progress:
    return lambda *stage: stages.append(stage)


@pytest.mark.parametrize("mode", MODES)
def test_key_markers_are_released_and_charged(mode: str, tmp_path: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    study = small_study(tmp_path, *EXPLAINED, *MODES[mode])
    result = run_study(study, tmp_path / "run", progress=told_to(stages), report=mode != "distributed")
    told = json.loads((tmp_path / "run" / "metrics.json").read_text())["key_markers_privately_released"]
    trained_on = sum(map(len, result.hospitals.values()))
    spread = 0.0 if result.released_explanations is None else result.released_explanations.markers.everybody.patients_sd
    assert abs(told["patients"] - trained_on) <= 6 * spread + 1e-6  # of the patients trained on: p < 1e-8
    assert [stage for stage in stages if stage[0] == "releasing"] == [("releasing", done, 2) for done in (0, 1, 2)]
    markers, pairs = result.plan.summaries
    if mode == "none":
        assert result.releases == {}
        assert told["by_entity"]["all"]
        assert 0.9 < told["share_of_votes_shown"] <= 1.0 + 1e-9
        page = (tmp_path / "run" / "report.html").read_text()
        assert "would release privately of what it rests on" in page
        return
    assert {len(events) for events in result.releases.values()} == {4 + 2}
    assert all(1.95 < epsilon <= 2.0 for epsilon in result.epsilons.values())
    if mode == "local":
        expected = [GaussianRelease(result.plan.privacy.noise_multiplier)] * 4
        expected += [GaussianRelease(each.noise_multiplier) for each in (markers, pairs)]
        (epsilon,) = set(result.epsilons.values())
        assert epsilon == pytest.approx(epsilon_of(expected, delta=1e-6), rel=5e-4)  # rounded to steps of 2**-20
        assert "then key markers, once" in (tmp_path / "run" / "report.html").read_text()


def test_by_default_nothing_is_released(tmp_path: Path) -> None:
    result = run_study(small_study(tmp_path, "evaluation.baselines=false"), tmp_path / "run", report=False)
    assert result.released_explanations is None
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["key_markers_privately_released"] is None


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")
def test_flowers_ray_engine_releases_the_same_as_our_own_grid(tmp_path: Path) -> None:
    small_study(tmp_path)  # writes the file
    settings = (*EXPLAINED, "held_out.budget_share=0.2", "held_out.horizon=24", "privacy.mode=none")
    found = {}
    for engine in ("grid", "ray"):  # Ray in a process of its own, which leaves handles open
        call = [sys.executable, "-m", "oncofed.cli", "simulate", str(tmp_path / "study.toml"), "--engine", engine]
        call += [part for setting in settings for part in ("--set", setting)]
        run = tmp_path / engine
        done = subprocess.run([*call, "--out", str(run)], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        metrics = json.loads((run / "metrics.json").read_text(), parse_float=lambda digits: round(float(digits), 6))
        found[engine] = (metrics["privately_released"], metrics["key_markers_privately_released"])
    figures, markers = found["grid"]
    assert figures
    assert markers["by_entity"]["all"]
    assert markers["pairs"]
    assert found["ray"] == found["grid"]
