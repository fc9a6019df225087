"""How is each function, class and method of `oncofed.lab` called, and which things are no arguments of it?"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tests.conftest import REPOSITORY

import oncofed.lab as of
from oncofed.simulations.lab.explaining import Picture

EXAMPLE = REPOSITORY / "simulations/studies/own_table"


def a_function() -> None: ...


THINGS: Mapping[str, Any] = {
    "None": None,
    "a text": "neither here nor there",
    "an empty text": "",
    "a text with NUL": "no\0where",
    "a number": 16,
    "a negative number": -1,
    "NaN": math.nan,
    "infinity": math.inf,
    "a huge number": 10**400,
    "True": True,
    "a list": [1],
    "an empty list": [],
    "a list of texts": ["a", "b"],
    "a tuple": (1, 2),
    "a set": {1},
    "a mapping": {"a": 1},
    "a mapping by numbers": {1: "a"},
    "a frame": pd.DataFrame({"a": [1]}),
    "an empty frame": pd.DataFrame(),
    "a column": pd.Series([0.5, "a"]),
    "an array": np.array([1.5, math.nan]),
    "an empty array": np.array([]),
    "a table of numbers": np.zeros((2, 2)),
    "a number of numpy's": np.float64(0.5),
    "a truth of numpy's": np.bool_(True),
    "pandas' nothing": pd.NA,
    "a tensor": torch.tensor(0.5),
    "a path": Path("nowhere"),
    "bytes": b"nowhere",
    "an object": object(),
    "a class": of.FedAdam,
    "a function": a_function,
    "a complex number": 1 + 2j,
    "a fraction": Fraction(1, 3),
}


@dataclass(frozen=True)
class Call:
    """fits  by argument: the things that it takes as well, so far as they are not refused for what they say."""

    call: Callable[..., object]
    good: Mapping[str, Any]
    fits: Mapping[str, set[str]]


WHOLE = {"a number"}
POSITIVE = {"a number", "a number of numpy's"}
SHARE = {"a number of numpy's"}
NAME = {"a text", "a text with NUL"}
PATH = {"a text", "a path"}
TRUTH = {"True", "a truth of numpy's"}
OR_NONE = {"None"}
STEPS = {"learning_rate": POSITIVE, "weight_decay": POSITIVE, "local": OR_NONE}
ADAPTIVE = {**STEPS, "beta_1": SHARE, "beta_2": SHARE, "tau": POSITIVE}


def calls(folder: Path) -> dict[str, Call]:
    schema = of.read_schema(EXAMPLE / "schema.toml")
    cohort = of.read_cohort(EXAMPLE / "patients.csv", schema)
    hospitals, test = of.split(cohort, seed=1)
    run = of.train(hospitals, privacy=of.local(epsilon=3), network=of.prognosis([2]), rounds=1, progress=False)
    run.model.save(folder / "model")
    why = of.explain(run.model, test)
    combined = {"learning_rate": 0.1, "weight_decay": 0.0, "local": None}
    private = {"epsilon": 3, "delta": 1e-6, "clip": 2.0, "reserve_rounds": 0, "bounding": "clip", "hazard_cap": 1.0}
    fits_private = {"epsilon": POSITIVE, "clip": POSITIVE, "reserve_rounds": WHOLE, "hazard_cap": POSITIVE}
    shared = {"dropouts": 1, "colluding": 1}
    endpoint = {"endpoint": None}
    measured = {"model": run.model, "test": test, "hospitals": hospitals, "at": 24}
    fits_measured = {"hospitals": OR_NONE, "at": POSITIVE | OR_NONE}
    train = {
        "hospitals": hospitals,
        "privacy": of.no_privacy(),
        "network": of.prognosis([2]),
        "strategy": "fedadam",
        "rounds": 2,
        "calibration_rounds": 0,
        "layers": [],
        "seed": 1,
        "test": test,
        "progress": False,
        "log": None,
    }
    nothing = {"an empty list", "an empty array"}
    fits_train = {"rounds": WHOLE, "layers": nothing, "seed": WHOLE, "test": OR_NONE, "progress": TRUTH, "log": OR_NONE}
    budget = {
        "privacy": of.local(epsilon=3),
        "schema": schema,
        "rounds": 60,
        "hospitals": 3,
        "patients": 100,
        "events": 0.5,
        "strategy": of.FedAdam(),
    }
    network = {
        "hidden": [8],
        "linear": True,
        "baseline_weight": 1.0,
        "entity_time_shapes": 0,
        "shape_weight": 1.0,
        "calibration_by_entity": False,
    }
    some = {"a list", "an empty list", "a tuple", "an empty array"}
    return {
        "read_schema": Call(of.read_schema, {"path": EXAMPLE / "schema.toml"}, {}),
        "read_cohort": Call(of.read_cohort, {"table": EXAMPLE / "patients.csv", "schema": schema}, {}),
        "synthetic": Call(
            of.synthetic, {"patients": 100, "hospitals": 2, "seed": 1}, {"hospitals": WHOLE, "seed": WHOLE}
        ),
        "synthetic_layers": Call(
            of.synthetic_layers, {"patients": 100, "hospitals": 2, "seed": 1}, {"hospitals": WHOLE, "seed": WHOLE}
        ),
        "split": Call(
            of.split,
            {"patients": cohort, "by": "hospital", "test": 0.2, "seed": 1},
            {"by": WHOLE | OR_NONE, "test": SHARE, "seed": WHOLE},
        ),
        "no_privacy": Call(of.no_privacy, {"clip": 1.0}, {"clip": POSITIVE | OR_NONE}),
        "local": Call(of.local, private, fits_private),
        "distributed": Call(
            of.distributed, {**private, **shared}, {**fits_private, "dropouts": WHOLE, "colluding": WHOLE}
        ),
        "budget": Call(of.budget, budget, {"rounds": WHOLE, "hospitals": WHOLE, "patients": WHOLE, "events": SHARE}),
        "prognosis": Call(
            of.prognosis,
            network,
            {
                "hidden": some,
                "linear": TRUTH,
                "baseline_weight": POSITIVE,
                "shape_weight": POSITIVE,
                "calibration_by_entity": TRUTH,
            },
        ),
        "LocalSteps": Call(
            of.LocalSteps,
            {"steps": 2, "learning_rate": 0.1, "sampling_rate": 0.1, "batch": 32.0},
            {"steps": WHOLE, "learning_rate": POSITIVE, "sampling_rate": SHARE, "batch": POSITIVE},
        ),
        "FedAdam": Call(of.FedAdam, {**combined, "beta_1": 0.9, "beta_2": 0.9, "tau": 1e-8}, ADAPTIVE),
        "FedYogi": Call(of.FedYogi, {**combined, "beta_1": 0.9, "beta_2": 0.9, "tau": 1e-8}, ADAPTIVE),
        "FedAdagrad": Call(of.FedAdagrad, {**combined, "tau": 1e-8}, {**STEPS, "tau": POSITIVE}),
        "FedAvg": Call(of.FedAvg, combined, STEPS),
        "FedProx": Call(
            of.FedProx, {**combined, "local": of.LocalSteps(steps=1), "mu": 0.1}, {**STEPS, "mu": POSITIVE}
        ),
        "Median": Call(of.Median, combined, STEPS),
        "TrimmedAverage": Call(of.TrimmedAverage, {**combined, "trim": 0.3}, {**STEPS, "trim": set()}),
        "Krum": Call(of.Krum, {**combined, "malicious": 0}, {**STEPS, "malicious": WHOLE}),
        "Hospitals": Call(
            of.Hospitals,
            {"by_name": dict(hospitals), "notes": (), "set_aside": None},
            {"notes": {"a list of texts", "an empty list", "an empty array"}, "set_aside": OR_NONE},
        ),
        "train": Call(of.train, train, fits_train),
        "value": Call(
            of.value,
            {"model": run.model, "test": test, "layers": ["laboratory"], "seed": 1},
            {"seed": WHOLE},
        ),
        "evaluate": Call(of.evaluate, {**measured, "seed": 1}, {**fits_measured, "seed": WHOLE}),
        "calibration": Call(of.calibration, measured, fits_measured),
        "auc_over_time": Call(of.auc_over_time, measured, fits_measured),
        "decision_curve": Call(
            of.decision_curve, {"model": run.model, "test": test, "at": 24}, {"at": POSITIVE | OR_NONE}
        ),
        "subgroups": Call(
            of.subgroups,
            {"model": run.model, "test": test, "by": ["ecog"], "at": 24, "seed": 1},
            {"by": OR_NONE | {"an empty list", "an empty array"}, "at": POSITIVE | OR_NONE, "seed": WHOLE},
        ),
        "baselines": Call(of.baselines, {"hospitals": dict(hospitals), "test": test}, {}),
        "explain": Call(of.explain, {"model": run.model, "patients": test, **endpoint}, {"endpoint": OR_NONE}),
        "audit": Call(
            of.audit,
            {"run": run, "test": test, "only": ["ledger"], "thorough": False, "seed": 1},
            {"test": OR_NONE, "only": OR_NONE | {"an empty list", "an empty array"}, "thorough": TRUTH, "seed": WHOLE},
        ),
        "load_model": Call(of.load_model, {"path": folder / "model", "network": None}, {"network": OR_NONE}),
        "mlflow_log": Call(
            of.mlflow_log,
            {"experiment": "lung", "run": None, "tracking_uri": None},
            {"experiment": NAME, "run": NAME | OR_NONE, "tracking_uri": NAME | OR_NONE},
        ),
        "tensorboard_log": Call(of.tensorboard_log, {"folder": "runs"}, {"folder": PATH}),
        "Model.log_hazard_ratio": Call(
            run.model.log_hazard_ratio, {"patients": test, **endpoint}, {"endpoint": OR_NONE}
        ),
        "Model.predict_risk": Call(
            run.model.predict_risk, {"patients": test, "at": 24, **endpoint}, {"at": POSITIVE, "endpoint": OR_NONE}
        ),
        "Model.survival": Call(
            run.model.survival, {"patients": test, "times": [24], **endpoint}, {"times": some, "endpoint": OR_NONE}
        ),
        "Model.encoded": Call(run.model.encoded, {"patients": test}, {}),
        "Model.place_of": Call(run.model.place_of, endpoint, {"endpoint": OR_NONE}),
        "Model.save": Call(run.model.save, {"path": folder / "again"}, {"path": PATH}),
        "Explanation.waterfall": Call(why.waterfall, {"row": 0}, {"row": WHOLE}),
        "Picture.save": Call(why.waterfall(0).save, {"path": folder / "picture.svg"}, {"path": PATH}),
    }


VALUES = (of.Explanation, of.Log, of.Model, of.Patients, of.Run)
"""What functions return, and nobody makes by hand. Their methods are called all the same."""


def called() -> dict[str, list[str]]:
    """Each function, class and method of the lab, and the names of its arguments."""
    named = {name: getattr(of, name) for name in of.__all__}
    found = {
        name: each
        for name, each in named.items()
        if each not in VALUES and not (inspect.isclass(each) and issubclass(each, Exception))
    }
    for owner in (*VALUES, Picture):
        methods = {name: each for name, each in vars(owner).items() if inspect.isfunction(each)}
        found |= {f"{owner.__name__}.{name}": each for name, each in methods.items() if not name.startswith("_")}
    arguments = {
        name: [each for each in inspect.signature(of_it).parameters if each != "self"] for name, of_it in found.items()
    }
    return {name: each for name, each in arguments.items() if each and each != ["where", "value"]}
