"""Does a simulation on a cluster of Ray give the model of the own grid, on 1, 2 and 4 machines, and when one is lost?

The machines are Ray's own stand-ins: a raylet each, with a core and workers of its own, on this machine
(`ray.cluster_utils`). They run in a process of their own, since Ray leaves handles open.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed"),
]

STUDY = """
[study]
name = "cluster"
[data.synthetic]
patients = 300
hospitals = 6
[sites]
partition = "column"
[evaluation]
horizon = 24
baselines = false
[model]
hidden_units = [4]
baseline_weight = 0.5
[training]
rounds = {rounds}
server_learning_rate = 0.03
weight_decay = 1
calibration_rounds = 0
[privacy]
mode = "none"
"""
SCRIPT = """
import json, os, subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster

study, run, machines, lost_after = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def finished():
    try:
        return json.loads((run / "round.checkpoint").read_bytes().split(b"\\n")[1])["round"]
    except (OSError, IndexError, ValueError):
        return 0

# The head does no work, so that a machine with workers can be lost.
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
for _ in range(machines):
    cluster.add_node(num_cpus=1)
began = time.monotonic()
command = [sys.executable, "-m", "oncofed.cli", "simulate", study, "--out", str(run), "--engine", "ray", "--quiet"]
with open(run.with_suffix(".txt"), "w") as output:
    simulation = subprocess.Popen(
        command, env={**os.environ, "RAY_ADDRESS": cluster.address}, stdout=output, stderr=output
    )
    lost_at = None
    while simulation.poll() is None:
        if lost_after and lost_at is None and finished() >= lost_after:
            lost_at = finished()
            cluster.remove_node(list(cluster.worker_nodes)[0], allow_graceful=False)
        time.sleep(0.02)
print(json.dumps({"rc": simulation.returncode, "seconds": time.monotonic() - began, "lost_at": lost_at}))
cluster.shutdown()
"""


def simulated(folder: Path, rounds: int, engine: str) -> Path:
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY.format(rounds=rounds))
    if engine == "grid":
        command = [sys.executable, "-m", "oncofed.cli", "simulate", "study.toml", "--out", "grid", "--quiet"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


def on_cluster(folder: Path, name: str, *, machines: int, lost_after: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "study.toml", name, str(machines), str(lost_after)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["rc"] == 0, (folder / f"{name}.txt").read_text()[-4000:]
    return found


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_file(run / "model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    for name, array in weights(one).items():
        np.testing.assert_allclose(weights(other)[name], array, rtol=0, atol=1e-9, err_msg=name)


def test_one_two_and_four_machines_give_the_model_of_the_own_grid(tmp_path: Path) -> None:
    folder = simulated(tmp_path / "parity", 6, "grid")
    for machines in (1, 2, 4):
        on_cluster(folder, f"of_{machines}", machines=machines)
        assert_same(folder / "grid", folder / f"of_{machines}")


def test_a_machine_that_is_lost_within_a_round_costs_time_and_nothing_else(tmp_path: Path) -> None:
    folder = simulated(tmp_path / "lost", 60, "grid")
    found = on_cluster(folder, "lost", machines=2, lost_after=5)
    assert found["lost_at"] is not None
    assert 5 <= found["lost_at"] < 55, "it was lost while rounds were left"
    assert_same(folder / "grid", folder / "lost")
