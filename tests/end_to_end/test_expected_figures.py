"""Do the studies that come with the project still give the figures they state, within the stated tolerance?

`expected.json` beside each study lists cases: overrides, seed, and each figure of metrics.json with its tolerance,
which is about three times the spread over seeds and noise. The figures come from the commands in docs/benchmarks.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oncofed.simulations.run import run_study
from oncofed.simulations.study import read_study

STUDIES = Path(__file__).resolve().parents[2] / "simulations" / "studies"


def cases() -> Iterator[Any]:
    for path in sorted(STUDIES.glob("*/expected.json")):
        for case in json.loads(path.read_text())["cases"]:
            yield pytest.param(path.parent.name, case, id=f"{path.parent.name}-{case['name']}")


def figure(metrics: dict[str, Any], name: str) -> float:
    found: Any = metrics
    for part in name.split("."):
        found = found[part]
    return float(found)


@pytest.mark.slow
@pytest.mark.parametrize(("study", "case"), list(cases()))
def test_a_study_gives_the_figures_it_states(study: str, case: dict[str, Any], tmp_path: Path) -> None:
    path = STUDIES / study / "study.toml"
    if "../shared/data" in path.read_text() and not (STUDIES.parents[2] / "shared" / "data").is_dir():
        pytest.skip("the real cohorts in ../shared/data are not on this machine")
    run_study(read_study(path, overrides=case["set"], seed=case["seed"]), tmp_path / "run", report=False)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    wrong = {
        name: (figure(metrics, name), expected, tolerance)
        for name, (expected, tolerance) in case["figures"].items()
        if abs(figure(metrics, name) - expected) > tolerance
    }
    assert not wrong
