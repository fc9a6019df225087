"""How does a researcher try federated prognosis in a notebook? `import oncofed.lab as of`.

This is the whole of what is promised to stay: everything else of the package may move. Hospitals are simulated in this
process by the very code that real ones run; no folder, study file or server is needed, and nothing is written. Values
are frozen, results are DataFrames, all faults of an input come at once as `InvalidInput`, and no message or picture of
a table names a patient. docs/lab.md goes through it.

| to                    | call |
|-----------------------|------|
| read                  | `read_schema`, `read_cohort`, `synthetic`, `synthetic_layers`, `split` |
| promise               | `no_privacy`, `local`, `distributed`, `budget` |
| choose                | `prognosis`, `FedAdam` and other strategies, `LocalSteps` |
| train                 | `train`, told to `mlflow_log` or `tensorboard_log` |
| measure               | `evaluate`, `calibration`, `subgroups`, `auc_over_time`, `decision_curve`, `baselines` |
| ask                   | `value`, `explain`, `audit`, `load_model` |

Privacy here is a simulation's: noise and accounting are real, but one process holds all patients.
"""

from __future__ import annotations

from oncofed.errors import FederationFailure, InvalidInput
from oncofed.simulations.lab.auditing import audit
from oncofed.simulations.lab.explaining import Explanation, explain
from oncofed.simulations.lab.logs import Log, mlflow_log, tensorboard_log
from oncofed.simulations.lab.measuring import auc_over_time, baselines, calibration, decision_curve, evaluate, subgroups
from oncofed.simulations.lab.model import Model, load_model
from oncofed.simulations.lab.patients import (
    Hospitals,
    Patients,
    read_cohort,
    read_schema,
    split,
    synthetic,
    synthetic_layers,
)
from oncofed.simulations.lab.privacy import budget, distributed, local, no_privacy
from oncofed.simulations.lab.strategies import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedProx,
    FedYogi,
    Krum,
    LocalSteps,
    Median,
    TrimmedAverage,
    prognosis,
)
from oncofed.simulations.lab.training import Run, train
from oncofed.simulations.lab.valuing import value

__all__ = [
    "Explanation",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedProx",
    "FedYogi",
    "FederationFailure",
    "Hospitals",
    "InvalidInput",
    "Krum",
    "LocalSteps",
    "Log",
    "Median",
    "Model",
    "Patients",
    "Run",
    "TrimmedAverage",
    "auc_over_time",
    "audit",
    "baselines",
    "budget",
    "calibration",
    "decision_curve",
    "distributed",
    "evaluate",
    "explain",
    "load_model",
    "local",
    "mlflow_log",
    "no_privacy",
    "prognosis",
    "read_cohort",
    "read_schema",
    "split",
    "subgroups",
    "synthetic",
    "synthetic_layers",
    "tensorboard_log",
    "train",
    "value",
]
