"""Does every argument of the lab, wrong by type or value, end in the house's own refusal that names it?

Each public function, class and method is called as it should be, which works; then with one argument after the other
replaced by things that it is not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.lab_calls import EXAMPLE, THINGS, Call, called, calls
from torch import nn

import oncofed.lab as of
from oncofed.protocol import plan
from oncofed.simulations.lab import auditing
from oncofed.simulations.lab.arguments import came
from oncofed.simulations.lab.strategies import settings_of

UNTYPED: Any = of
NOTHING = of.no_privacy()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    return calls(tmp_path_factory.mktemp("lab"))


@pytest.fixture(autouse=True)
def _somewhere_with_both_logs_and_no_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mlflow", "mlflow.tracking", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["torch.utils.tensorboard"], "SummaryWriter", object, raising=False)
    monkeypatch.setattr(auditing, "audited", lambda *_, **__: ())  # a whole audit takes minutes


def test_all_that_can_be_called_is_called_here_with_every_argument(world: dict[str, Call]) -> None:
    assert {name: sorted(call.good) for name, call in world.items()} == {
        name: sorted(arguments) for name, arguments in called().items()
    }


@pytest.mark.parametrize("name", called())
def test_a_call_as_it_should_be_works(world: dict[str, Call], name: str) -> None:
    world[name].call(**world[name].good)


@pytest.mark.parametrize("name", called())
def test_what_an_argument_is_not_is_refused_and_the_refusal_names_it(world: dict[str, Call], name: str) -> None:
    call, taken, otherwise = world[name], set(), []
    for argument in call.good:
        for kind, thing in THINGS.items():
            try:
                call.call(**{**call.good, argument: thing})
            except of.InvalidInput as refused:
                names = [argument] + ([str(thing)] if isinstance(thing, str | Path) else [])
                if not any(each and each in str(refused) for each in names):
                    otherwise.append(f"{argument}, {kind}: {refused}")
            except Exception as error:
                otherwise.append(f"{argument}, {kind}: {type(error).__name__}: {error}")
            else:
                taken.add((argument, kind))
    assert otherwise == []
    assert taken == {(argument, kind) for argument, kinds in call.fits.items() for kind in kinds}


@pytest.fixture(scope="module")
def cut() -> tuple[of.Hospitals, of.Patients]:
    return of.split(of.read_cohort(EXAMPLE / "patients.csv", of.read_schema(EXAMPLE / "schema.toml")), seed=1)


def nobody(patients: of.Patients) -> of.Patients:
    return replace(patients, cohort=patients.cohort.subset(np.array([], dtype=np.int64)))


def test_all_of_them_are_told_at_once(cut: tuple[of.Hospitals, of.Patients]) -> None:
    hospitals, test = cut
    with pytest.raises(of.InvalidInput) as refused:
        UNTYPED.train(
            list(hospitals.values()),
            privacy=None,
            network="mlp",
            strategy=of.FedAdam,
            rounds=0,
            calibration_rounds=2.5,
            seed=-1,
            test=nobody(test),
            progress=1,
            log="run.log",
        )
    assert [str(fault) for fault in refused.value.faults] == [
        "hospitals: is a list, not patients by hospital. Give the first of the two that of.split returns, or a mapping "
        'such as {"north": patients}.',
        "privacy: is None, not a promise of privacy. Write of.local(epsilon=...), of.distributed(epsilon=...) or, for "
        "none, of.no_privacy().",
        "network: is a text, not a network. Write of.prognosis(hidden=[8]), or give a torch.nn.Module.",
        "strategy: is the class FedAdam, not a strategy. Write of.FedAdam() or another one, or its name, such as "
        '"fedadam".',
        "rounds: is 0, which trains nothing. Choose 1 or more.",
        "calibration_rounds: is 2.5, and not a whole number. Choose a whole number from 0 to 100; usual: 0 to 40.",
        "seed: is -1, outside 0 to 1e9. Choose a whole number from 0 to 1e9; usual: 0 to 1e9.",
        "test: is nobody. Give at least one patient.",
        "progress: is the number 1, neither True nor False. Write True or False.",
        "log: is a text, not a log. Write of.mlflow_log(...) or of.tensorboard_log(...), or leave it out.",
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda h, t: UNTYPED.prognosis(16), "hidden: is the number 16, not a list of widths. Write [8] for one layer"),
        (lambda h, t: of.prognosis([8, 0, 0]), "1 fault\n  - prognosis: hidden: is 0, outside 1 to 4,096."),
        (lambda h, t: UNTYPED.FedAdam("fast"), "FedAdam: learning_rate: is a text, not a number"),
        (lambda h, t: of.Krum(malicious=-1), "Krum: malicious: is -1, outside"),
        (lambda h, t: of.LocalSteps(batch=0), "LocalSteps: batch: is 0, outside"),
        (lambda h, t: of.local(epsilon=1, clip=0), "local: clip: is 0, outside"),
        (
            lambda h, t: of.train(h, privacy=NOTHING, strategy="adam"),
            'strategy: is "adam", which is unknown. Possible: ',
        ),
        (lambda h, t: of.train({}, privacy=NOTHING), "hospitals: are none. Give at least one"),
        (lambda h, t: of.train({"a": t, "b": nobody(t)}, privacy=NOTHING), 'hospitals["b"]: has nobody. Leave it out'),
        (lambda h, t: UNTYPED.train({"a": t.markers}, privacy=NOTHING), 'hospitals["a"]: is a DataFrame, not patients'),
        (lambda h, t: UNTYPED.train({1: t}, privacy=NOTHING), "hospitals: name a hospital by the number 1"),
        (lambda h, t: UNTYPED.train((h, t), privacy=NOTHING), "hospitals: is a tuple, not patients by hospital"),
        (
            lambda h, t: of.baselines({**h, "test": of.synthetic(100, 2)}, t),
            'hospitals["test"]: is described by another',
        ),
        (lambda h, t: UNTYPED.split(t, by=1.5), "by: is 1.5, and not a whole number"),
        (lambda h, t: UNTYPED.split(t, by=["hospital"]), "neither a column's name nor a number of hospitals"),
        (
            lambda h, t: of.train(
                h, privacy=NOTHING, rounds=100, strategy=of.FedProx(local=of.LocalSteps(steps=10_000))
            ),
            "strategy: local: makes 1,000,000 steps, outside 0 to 25,000",
        ),
        (
            lambda h, t: of.budget(
                of.local(epsilon=1, reserve_rounds=10_000),
                t.schema,
                rounds=1,
                hospitals=2,
                patients=10,
                events=1,
                strategy=of.FedAvg(local=of.LocalSteps(steps=3)),
            ),
            "strategy: local: makes 30,003 steps, outside",
        ),
        (
            lambda h, t: of.train(h, privacy=NOTHING, network=of.prognosis([4096, 4096])),
            "model.parameters: is 16,859,163, outside 1 to 8,000,000",
        ),
    ],
)
def test_what_is_wrong_is_told_by_the_name_that_the_reader_wrote(
    cut: tuple[of.Hospitals, of.Patients], wrong: Callable[[Any, Any], object], said: str
) -> None:
    with pytest.raises(of.InvalidInput) as refused:
        wrong(*cut)
    assert said in str(refused.value)


def test_a_refusal_repeats_nothing_that_may_be_of_a_patient(cut: tuple[of.Hospitals, of.Patients]) -> None:
    hospitals, _ = cut
    for wrong in ("L0007", Path("L0007"), ["L0007"], {"L0007": "L0007"}, pd.Series(["L0007"]), np.array(["L0007"])):
        with pytest.raises(of.InvalidInput) as refused:
            UNTYPED.train(hospitals, privacy=wrong, network=wrong, test=wrong, progress=wrong, rounds=wrong)
        assert len(refused.value.faults) == 5
        assert "L0007" not in str(refused.value)
    with pytest.raises(of.InvalidInput) as refused:
        of.train(hospitals, privacy=NOTHING, strategy="adam, as of patient L0007 and all of the others there")
    assert "L0007" not in str(refused.value)


def test_a_strategy_goes_by_its_name_in_a_study_file() -> None:
    classes = (of.FedAvg, of.FedProx, of.FedAdam, of.FedYogi, of.FedAdagrad, of.Median, of.TrimmedAverage, of.Krum)
    meant = {each.__name__.lower(): each() for each in classes}
    for name in plan.Strategy:
        by_class = settings_of(NOTHING, meant[name.replace("_", "")], rounds=1)
        assert by_class.training.strategy is name
        for written in (str(name), name):
            assert settings_of(NOTHING, written, rounds=1) == by_class, name


def test_what_came_is_told_in_words() -> None:
    assert {kind: came(thing) for kind, thing in THINGS.items()} == {
        "None": "None",
        "a text": "a text",
        "an empty text": "an empty text",
        "a text with NUL": "a text",
        "a number": "the number 16",
        "a negative number": "the number -1",
        "NaN": "NaN",
        "infinity": "the number beyond 1e300",
        "a huge number": "the number beyond 1e300",
        "True": "True",
        "a list": "a list",
        "an empty list": "a list",
        "a list of texts": "a list",
        "a tuple": "a tuple",
        "a set": "a set",
        "a mapping": "a dict",
        "a mapping by numbers": "a dict",
        "a frame": "a DataFrame",
        "an empty frame": "a DataFrame",
        "a column": "a Series",
        "an array": "an array",
        "an empty array": "an array",
        "a table of numbers": "an array",
        "a number of numpy's": "the number 0.5",
        "a truth of numpy's": "True",
        "pandas' nothing": "a NAType",
        "a tensor": "a Tensor",
        "a path": "a PosixPath",
        "bytes": "a bytes",
        "an object": "an object",
        "a class": "the class FedAdam",
        "a function": "the function a_function",
        "a complex number": "a complex",
        "a fraction": "a Fraction",
    }


def test_where_nothing_can_be_written_is_told_and_what_was_there_stays(
    cut: tuple[of.Hospitals, of.Patients], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospitals, test = cut
    model = of.train(hospitals, privacy=NOTHING, rounds=1, progress=False).model
    picture = of.explain(model, test).waterfall(0)
    for save in (model.save, picture.save):
        with pytest.raises(of.InvalidInput, match=r"path: cannot be written \(No such file or directory\). Check that"):
            save(tmp_path / "nowhere" / "kept")
        with pytest.raises(of.InvalidInput, match=r"path: cannot be written \(Is a directory\)"):
            save(str(tmp_path))
    (tmp_path / "kept").write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("oncofed.simulations.model_file.os.replace", full)
    with pytest.raises(of.InvalidInput, match="No space left"):
        model.save("kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert Path("kept").read_text() == "before"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    schema = of.read_schema(EXAMPLE / "schema.toml")
    for read in (of.load_model, of.read_schema, lambda path: of.read_cohort(path, schema)):
        with pytest.raises(of.InvalidInput, match="is a named pipe"):
            read(tmp_path / "pipe.csv")


class Holding(nn.Module):
    """Keeps something in an attribute."""

    def __init__(self, kept: object) -> None:
        super().__init__()
        self.layer = nn.Linear(19, 1)
        self.kept = kept

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 1)), "network: has a lazy layer without a size"),
        (Holding(each for each in range(0)), r"network: cannot be copied \(TypeError\). Keep generators"),
        (Holding(torch.ones(1, requires_grad=True) * 2), r"network: cannot be copied \(RuntimeError\)"),
    ],
)
def test_a_network_that_cannot_be_copied_is_refused(
    cut: tuple[of.Hospitals, of.Patients], tmp_path: Path, network: nn.Module, said: str
) -> None:
    hospitals, _ = cut
    with pytest.raises(of.InvalidInput, match=said):
        of.train(hospitals, privacy=NOTHING, network=network, progress=False)
    of.train(hospitals, privacy=NOTHING, network=nn.Linear(19, 1), rounds=1, progress=False).model.save(
        tmp_path / "kept"
    )
    with pytest.raises(of.InvalidInput, match=said):
        of.load_model(tmp_path / "kept", network=network)
