"""Where else does a run say how it goes? To MLflow or TensorBoard, for whoever has them.

Told are the settings and one row of figures a round, as in `run.rounds`, and at the end the epsilon that was spent.
Never a patient, a weight or the name of a hospital. `test_c_index` is exact and of the patients set aside, so whoever
may read the log may read it too.

Both programs are extras, imported only when one of these logs is made. A log that fails during a run is told of
once, as a warning, and given up: it costs no run.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.simulations.lab.arguments import a_path, a_text, instance, maybe, refuse_wrong

Settings = Mapping[str, str | int | float | None]
Figures = Mapping[str, float]


class Writing(Protocol):
    """One run's log while it is written."""

    def settings(self, settings: Settings) -> None:
        """Once, before the first round."""
        ...

    def figures(self, figures: Figures, *, round_: int) -> None:
        """After each round. All finite."""
        ...

    def close(self, *, finished: bool) -> None:
        """Once. finished: False where the run failed."""
        ...


@dataclass(frozen=True)
class Log:
    """What `mlflow_log` and `tensorboard_log` return. begin: a new run in it."""

    name: str
    begin: Callable[[], Writing]

    def __repr__(self) -> str:
        return f"<log: {self.name}>"


A_LOG = instance(Log, words="a log", remedy="Write of.mlflow_log(...) or of.tensorboard_log(...), or leave it out.")


def mlflow_log(experiment: str = "oncofed", *, run: str | None = None, tracking_uri: str | None = None) -> Log:
    """A run in MLflow for each training. Extra `mlflow`.

    experiment    made where it does not exist. run: its name; None lets MLflow choose.
    tracking_uri  a database (sqlite:///mlflow.db) or the address of a server; None: as MLflow is set up.
                  What is logged leaves this process.
    raises        InvalidInput where MLflow is not installed.

    >>> import oncofed.lab as of
    >>> log = of.mlflow_log("lung")  # doctest: +SKIP
    """
    refuse_wrong(experiment=(experiment, a_text), run=(run, maybe(a_text)), tracking_uri=(tracking_uri, maybe(a_text)))
    tracking = _extra("mlflow.tracking", extra="mlflow")

    def begin() -> Writing:
        client = tracking.MlflowClient(tracking_uri=tracking_uri)
        found = client.get_experiment_by_name(experiment)
        number = client.create_experiment(experiment) if found is None else found.experiment_id
        return _Mlflow(client, client.create_run(number, run_name=run).info.run_id)

    return Log("MLflow", begin)


def tensorboard_log(folder: Path | str) -> Log:
    """TensorBoard's event files in a folder, one folder a training. Extra `tensorboard`.

    raises  InvalidInput where TensorBoard is not installed.

    >>> import oncofed.lab as of
    >>> log = of.tensorboard_log("runs/lung")  # doctest: +SKIP
    """
    refuse_wrong(folder=(folder, a_path))
    writer = _extra("torch.utils.tensorboard", extra="tensorboard").SummaryWriter
    return Log("TensorBoard", lambda: _TensorBoard(writer(log_dir=str(folder))))


def _extra(module: str, *, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        remedy = f"Install the extra: pip install 'oncofed-lab[{extra}]'."
        raise InvalidInput([Fault(extra, "is not installed", remedy)]) from None


@dataclass(frozen=True)
class _Mlflow:
    """By its client and not its fluent calls, which would end a run that the reader has open."""

    client: Any
    run: str

    def settings(self, settings: Settings) -> None:
        for name, value in settings.items():
            self.client.log_param(self.run, name, value)

    def figures(self, figures: Figures, *, round_: int) -> None:
        for name, value in figures.items():
            self.client.log_metric(self.run, name, value, step=round_)

    def close(self, *, finished: bool) -> None:
        self.client.set_terminated(self.run, "FINISHED" if finished else "FAILED")


@dataclass(frozen=True)
class _TensorBoard:
    writer: Any

    def settings(self, settings: Settings) -> None:
        self.writer.add_text("settings", "\n".join(f"    {name}: {value}" for name, value in settings.items()))

    def figures(self, figures: Figures, *, round_: int) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, round_)

    def close(self, *, finished: bool) -> None:
        if not finished:
            self.writer.add_text("outcome", "failed")
        self.writer.close()


class Telling:
    """Tells a log, or nobody, and gives it up at its first failure."""

    def __init__(self, log: Log | None) -> None:
        self._writing: Writing | None = None
        self._name = "" if log is None else log.name
        if log is not None:
            with self._given_up_if_it_fails():
                self._writing = log.begin()

    def settings(self, plan: StudyPlan) -> None:
        with self._given_up_if_it_fails():
            if self._writing is not None:
                self._writing.settings(settings_of_plan(plan))

    def figures(self, row: Mapping[str, float], *, round_: int) -> None:
        finite = {name: float(value) for name, value in row.items() if math.isfinite(value)}
        with self._given_up_if_it_fails():
            if self._writing is not None:
                self._writing.figures(finite, round_=round_)

    def close(self, *, finished: bool) -> None:
        with self._given_up_if_it_fails():
            if self._writing is not None:
                self._writing.close(finished=finished)

    @contextmanager
    def _given_up_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a tracking server, a disk or another program raises
            self._writing = None
            warnings.warn(
                f"{self._name} fails with {type(error).__name__}: {error}. Nothing more is logged.", stacklevel=4
            )


def settings_of_plan(plan: StudyPlan) -> Settings:
    """What a reader compares runs by. No hospital's name: how many there are."""
    privacy, training, model = plan.privacy, plan.training, plan.model
    return {
        "plan_hash": plan.hash,
        "hospitals": len(plan.roster),
        "endpoints": ", ".join(model.endpoints),
        "hidden_units": ", ".join(map(str, model.hidden_units)),
        "parameters": model.parameters,
        "strategy": training.strategy.value,
        "training": training.mode.value,
        "rounds": training.rounds,
        "server_learning_rate": training.server_learning_rate,
        "weight_decay": training.weight_decay,
        "privacy": privacy.mode.value,
        "epsilon": privacy.epsilon,
        "delta": privacy.delta,
        "clip": privacy.l2_norm_bound,
        "noise_multiplier": privacy.noise_multiplier,
    }
