"""Is a log told what it should be, and nothing else; and does it never cost a run?

MLflow and TensorBoard are extras that this environment lacks: small stand-ins keep what their calls are given.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import oncofed.lab as of


@dataclass
class Kept:
    """What one run's log was told."""

    settings: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    def figure(self, name: str, value: float, round_: int) -> None:
        self.figures.setdefault(name, []).append((round_, value))


@dataclass
class Client:
    """The calls of `mlflow.tracking.MlflowClient` that are made."""

    tracking_uri: str | None
    runs: dict[str, Kept] = field(default_factory=dict)
    experiments: dict[str, str] = field(default_factory=dict)

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(experiment_id=self.experiments[name]) if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        assert name not in self.experiments, "MLflow refuses a name twice"
        self.experiments[name] = f"number of {name}"
        return self.experiments[name]

    def create_run(self, experiment_id: str, *, run_name: str | None) -> SimpleNamespace:
        number = f"{experiment_id}, run {len(self.runs)} {run_name}"
        self.runs[number] = Kept()
        return SimpleNamespace(info=SimpleNamespace(run_id=number))

    def log_param(self, run: str, name: str, value: Any) -> None:
        self.runs[run].settings[name] = value

    def log_metric(self, run: str, name: str, value: float, *, step: int) -> None:
        self.runs[run].figure(name, value, step)

    def set_terminated(self, run: str, status: str) -> None:
        self.runs[run].ended.append(status)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client("somewhere")
    tracking = ModuleType("mlflow.tracking")
    tracking.MlflowClient = lambda *, tracking_uri: made  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", tracking)
    return made


@pytest.fixture(scope="module")
def cut() -> tuple[of.Hospitals, of.Patients]:
    return of.split(of.synthetic(patients=150, hospitals=3), test=0.2)


def train(cut: tuple[of.Hospitals, of.Patients], log: of.Log, **choice: Any) -> of.Run:
    hospitals, test = cut
    usual: dict[str, Any] = {"privacy": of.local(epsilon=2), "network": of.prognosis([2]), "rounds": 2, "test": test}
    return of.train(hospitals, progress=False, log=log, **(usual | choice))


def test_mlflow_is_told_settings_and_each_rounds_figures(cut: tuple[of.Hospitals, of.Patients], client: Client) -> None:
    log = of.mlflow_log("lung", run="first")
    runs = [train(cut, log), train(cut, log)]
    assert list(client.runs) == ["number of lung, run 0 first", "number of lung, run 1 first"]
    for run, kept in zip(runs, client.runs.values(), strict=True):
        assert kept.ended == ["FINISHED"]
        assert kept.settings["plan_hash"] == run.plan.hash
        assert (kept.settings["privacy"], kept.settings["epsilon"], kept.settings["hospitals"]) == ("local", 2, 3)
        for name in ("update_l2_norm", "test_c_index", "answered"):
            assert kept.figures[name] == list(enumerate(run.rounds[name].tolist(), start=1)), name
        assert kept.figures["epsilon"] == [(2, run.spent["epsilon"].max())]


def test_no_log_names_a_hospital_or_a_patient(cut: tuple[of.Hospitals, of.Patients], client: Client) -> None:
    train(cut, of.mlflow_log())
    told = repr(client.runs)
    assert not [name for name in cut[0] if name in told]
    assert not [patient for patient in cut[1].cohort.patient_ids if patient in told]


def test_what_is_not_finite_is_not_told(cut: tuple[of.Hospitals, of.Patients], client: Client) -> None:
    train(cut, of.mlflow_log(), privacy=of.no_privacy(), test=None)
    (kept,) = client.runs.values()
    assert "epsilon" not in kept.figures
    assert "test_c_index" not in kept.figures
    assert all(math.isfinite(value) for rows in kept.figures.values() for _, value in rows)


def test_a_run_that_fails_is_closed_as_failed(cut: tuple[of.Hospitals, of.Patients], client: Client) -> None:
    with pytest.raises(of.FederationFailure):
        train(cut, of.mlflow_log(), privacy=of.no_privacy(), strategy=of.FedAvg(1000.0), rounds=40)
    assert [kept.ended for kept in client.runs.values()] == [["FAILED"]]


@pytest.mark.parametrize("call", ["create_run", "log_param", "log_metric", "set_terminated"])
def test_a_log_that_fails_costs_no_run_and_is_told_of_once(
    cut: tuple[of.Hospitals, of.Patients], client: Client, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    asked = []

    def fails(*_: Any, **__: Any) -> None:
        asked.append(call)
        raise OSError("no route to the server")

    monkeypatch.setattr(client, call, fails)
    log = of.mlflow_log()
    with pytest.warns(UserWarning, match="MLflow fails with OSError: no route") as told:
        run = train(cut, log)
    assert len(run.rounds) == 2
    assert (len(told), len(asked)) == (1, 1)


def test_tensorboard_is_told_the_same(
    cut: tuple[of.Hospitals, of.Patients], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = Kept()

    class SummaryWriter:
        def __init__(self, *, log_dir: str) -> None:
            kept.settings["folder"] = log_dir

        def add_text(self, name: str, text: str) -> None:
            kept.settings[name] = text

        def add_scalar(self, name: str, value: float, step: int) -> None:
            kept.figure(name, value, step)

        def close(self) -> None:
            kept.ended.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run = train(cut, of.tensorboard_log(tmp_path / "here"))
    assert kept.settings["folder"] == str(tmp_path / "here")
    assert f"plan_hash: {run.plan.hash}" in kept.settings["settings"]
    assert kept.figures["test_c_index"] == list(enumerate(run.rounds["test_c_index"].tolist(), start=1))
    assert kept.ended == ["closed"]


@pytest.mark.parametrize(
    ("missing", "extra", "make"),
    [
        ("mlflow", "mlflow", lambda folder: of.mlflow_log("lung")),
        ("torch.utils.tensorboard", "tensorboard", of.tensorboard_log),
    ],
)
def test_a_missing_extra_is_named_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, extra: str, make: Any
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(of.InvalidInput) as refused:
        make(tmp_path / "here")
    assert [str(fault) for fault in refused.value.faults] == [
        f"{extra}: is not installed. Install the extra: pip install 'oncofed-lab[{extra}]'."
    ]
    assert list(tmp_path.iterdir()) == []
