"""Do the very same apps give the same weights on the in-process grid and on Flower's Ray engine?

Ray runs in a process of its own: it leaves handles open that Python, with warnings as errors, complains about, and so
its stdout can be seen to be clean.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from oncofed.errors import InvalidInput
from oncofed.simulations.engines import ray_engine

SCRIPT = """
import json, sys
from dataclasses import replace
import numpy as np
from oncofed.client.relay.relay import build_client_app
from oncofed.errors import QuorumLost
from oncofed.protocol.plan import *
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.state import initial_state
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes
from oncofed.simulations.engines.parabola_hospital import ConnectToParabola
from oncofed.simulations.engines.ray_engine import run_on_ray
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import parameter_count

folder = sys.argv[1]
roster = tuple(f"hospital {number}" for number in range(6))
plan = StudyPlan(
    study="parity", schema_hash="0", model=ModelSpec(50, ("os",), TimeGrid((0.0, 12.0)), (0.1,)),
    training=TrainingSpec(strategy=Strategy.FEDADAM, rounds=3),
    privacy=PrivacySpec(PrivacyMode.NONE, None, 1e-5, 0.0, 1.0), roster=roster, quorum=6,
)

start = np.linspace(-1, 1, parameter_count(plan.model))

def run(engine, hospitals):
    states, answered = [], []
    server = build_server_app(
        plan=plan, nodes=lambda grid: find_nodes(grid, roster=roster), start=initial_state(start),
        checkpoint_folder=None, observer=lambda state, report: (states.append(state), answered.append(report.answered)),
    )
    app = answer_partition_queries(build_client_app(ConnectToParabola(hospitals)))
    engine(server, app, node_count=6)
    return states, answered

own, _ = run(run_in_process, plan)
ray, answered = run(run_on_ray, plan)
np.savez(f"{folder}/weights.npz", own=[state.weights for state in own], ray=[state.weights for state in ray])
try:
    run(run_on_ray, replace(plan, version=2))  # hospitals that approved another plan
    lost = ""
except QuorumLost as error:
    lost = str(error)
with open(f"{folder}/report.json", "w") as file:
    json.dump({"answered": answered, "lost": lost}, file)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")
def test_own_grid_and_ray_give_the_same_weights_and_the_same_failures(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    weights = np.load(tmp_path / "weights.npz")
    assert weights["own"].shape[0] == 3
    np.testing.assert_allclose(weights["ray"], weights["own"], rtol=0, atol=1e-6)
    assert np.abs(np.diff(weights["own"], axis=0)).max() > 1e-2  # what is compared does move
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["answered"] == [[f"hospital {number}" for number in range(6)]] * 3
    assert "round 1: 0 of 6 hospitals answered" in report["lost"]
    assert "hospital 3: refused: wrong_plan" in report["lost"]


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"oncofed-lab\[ray\]"):
        ray_engine.run_on_ray(None, None, node_count=1)  # type: ignore[arg-type]
